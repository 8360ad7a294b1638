//! What is known of a run that is to be taken back, met with its objects as they are now.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use super::UndoRequest;
use super::error::UndoError;
use crate::config::Project;
use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::change::Change;
use crate::domain::connection::Connection;
use crate::domain::error::{SystemError, chain};
use crate::domain::field::NullPolicy;
use crate::domain::journal_table as journal;
use crate::domain::layout::{Layout, LayoutField, altered_column};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::{Declaration, NamePart, Object, ObjectColumn, ObjectName};
use crate::ledger::{Ledger, MappedField, MappedFor, RunEntry, SentImages, WriteBackId, WrittenTo};
use crate::run::doubt;
use crate::run::error::RunError;
use crate::run::images;
use crate::run::journal_table::JournalWitness;
use crate::run::place::run_folder;
use crate::run::plan::{PlanError, mapped_fields};
use crate::run::prepared::{self, Home};
use crate::run::push::error::PushError;
use crate::run::push::{Assignment, Contents};
use crate::run::swap::{CreatedRows, Swap};

/// A write-back whose records can be taken back.
pub(super) struct UndoPlan {
    pub(super) write_back: String,
    pub(super) destination: Connection,
    pub(super) restoration: Arc<Swap>,
    /// The database that its object stands in.
    pub(super) home: Home,
    /// The table that told what the run wrote.
    pub(super) journal_table: Option<Layout>,
    /// Its before-images, without those of sendings that were rolled back; of a batch in doubt
    /// nobody can tell which records are written.
    pub(super) images: Vec<SentImages>,
    /// Where they stand.
    pub(super) folder: PathBuf,
    /// The first of its columns that is no longer as the run wrote it, and how: nothing can be
    /// restored then.
    pub(super) altered: Option<Altered>,
    /// Whether the run is made of requests.
    pub(super) of_requests: bool,
}

/// A column that is not what it was.
pub(super) struct Altered {
    pub(super) column: String,
    pub(super) how: String,
}

impl UndoPlan {
    /// What is pushed of it, and where to.
    pub(super) fn assignment(&self, project: &Project) -> Assignment<'_> {
        Assignment {
            write_back: &self.write_back,
            destination: &self.destination,
            layout: self.restoration.layout(),
            batch_records_max: project.defaults.batch_records_max,
            keeps_before_images: true,
            journal_table: self.journal_table.as_ref(),
            canary: None,
            contents: Contents::Swapped(&self.restoration),
            last_written: None,
            snapshot: None,
        }
    }

    /// What its records are made for.
    pub(super) fn mapped_for(&self) -> MappedFor {
        let layout = self.restoration.layout();
        MappedFor {
            layout: prepared::told(layout, &self.home),
            destination: self.destination.name.clone(),
            object: layout.object.path.clone(),
            fields: mapped_fields(layout),
            journal: self
                .journal_table
                .as_ref()
                .map(|journal| journal.object.path.clone()),
        }
    }
}

/// Meets the write-backs that are to be taken back with their objects. `is_alone` tells that nobody
/// else is at work on the job. Errors: `NoSuchWriteBack`; `NothingToUndo`; `NoBeforeImages`;
/// `Undescribed`, if an object or a connection is gone.
pub(super) async fn plan(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    entry: &RunEntry,
    is_alone: bool,
) -> Result<Vec<UndoPlan>, RunError> {
    let mut plans = Vec::new();
    for written in chosen(request, ledger, entry).await? {
        plans.push(plan_one(request, ledger, entry, written, is_alone).await?);
    }
    Ok(plans)
}

/// The write-backs that wrote something, or the one that is asked for.
async fn chosen(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    entry: &RunEntry,
) -> Result<Vec<WrittenTo>, RunError> {
    let mut all = ledger.written_to(request.run).await?;
    if let Some(name) = request.write_back
        && !all.iter().any(|written| is_called(&written.name, name))
    {
        let known = all
            .iter()
            .map(|written| format!("`{}`", written.name))
            .collect();
        return Err(PlanError::NoSuchWriteBack {
            name: name.to_owned(),
            job: entry.job.clone(),
            known,
        }
        .into());
    }
    all.retain(|written| {
        let is_meant = |name| is_called(&written.name, name);
        written.written > 0 && request.write_back.is_none_or(is_meant)
    });
    if all.is_empty() {
        Err(UndoError::NothingToUndo { run: request.run }.into())
    } else {
        Ok(all)
    }
}

/// Whether people mean a write-back, perhaps one of several destinations, by a name.
fn is_called(write_back: &str, name: &str) -> bool {
    let common = write_back.split_once('@').map(|(common, _)| common);
    write_back == name || common == Some(name)
}

async fn plan_one(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    entry: &RunEntry,
    written: WrittenTo,
    is_alone: bool,
) -> Result<UndoPlan, RunError> {
    let WrittenTo {
        position,
        name,
        mapped_for,
        has_images,
        ..
    } = written;
    let none = |why: &str| UndoError::NoBeforeImages {
        run: request.run,
        write_back: name.clone(),
        why: why.to_owned(),
    };
    let mapped_for =
        mapped_for.ok_or_else(|| none("an earlier version of this program wrote it"))?;
    if !has_images {
        return Err(none("they were not kept (`keep_before_images = false`)").into());
    }
    let folder = images::folder_in(&run_folder(request.project, request.run).join(&name));
    if !folder.exists() {
        return Err(none("they were removed after the `retention` of the job, or by hand").into());
    }
    let undescribed = |source| UndoError::Undescribed {
        object: mapped_for.object.join("."),
        connection: mapped_for.destination.clone(),
        source: Box::new(source),
    };
    let destination = connection(request.project, &mapped_for.destination).map_err(undescribed)?;
    let fields = mapped_for.fields.iter();
    let named: Vec<&str> = fields.map(|field| field.name.as_str()).collect();
    let (object, home) = describe(&destination, &mapped_for.object, &named)
        .await
        .map_err(undescribed)?;
    expect_no_obstacle(&destination, &object, request.created).map_err(undescribed)?;
    if request.created == CreatedRows::Delete {
        warn_of_dependents(&destination, &object)
            .await
            .map_err(undescribed)?;
    }
    let journal_table = journal_table(&destination, mapped_for.journal.as_deref()).await;
    let of = WriteBackId {
        run: request.run,
        position,
    };
    let witness = journal_table.as_ref().map(|layout| JournalWitness {
        layout,
        run: request.run,
        job: &entry.job,
        write_back: &name,
    });
    let sendings = ledger.images(of).await?;
    let images = match is_alone {
        true => {
            doubt::settled(
                &destination,
                witness.as_ref(),
                of,
                &mapped_for.object,
                sendings,
            )
            .await
        }
        false => Ok(sendings),
    };
    let of_requests = ledger.requests_day(request.run).await?.is_some();
    let mut images = images.map_err(|source| PushError::Push {
        write_back: name.clone(),
        connection: destination.name.clone(),
        source: Box::new(source),
    })?;
    if let Some(sequence) = request.sequence {
        images.retain(|sending| sending.span.partition == sequence);
    }
    if of_requests {
        images.sort_by_key(|sending| (sending.span, sending.image));
    }
    let altered = altered(&mapped_for.fields, &object);
    let layout = layout(&mapped_for.fields, object).map_err(undescribed)?;
    let restoration = Arc::new(Swap::back(layout, request.created, request.changed));
    Ok(UndoPlan {
        write_back: name,
        destination,
        restoration,
        home,
        journal_table,
        images,
        folder,
        altered,
        of_requests,
    })
}

fn connection(project: &Project, name: &str) -> Result<Connection, SystemError> {
    let known = project.connections.get(name).cloned();
    known.ok_or_else(|| SystemError::NotFound {
        what: format!("a connection `{name}` that can be used in `writeback.toml`"),
        hint: Some("the run wrote there; bring it back, under that name".to_owned()),
    })
}

async fn describe(
    connection: &Connection,
    path: &[String],
    columns: &[&str],
) -> Result<(Object, Home), SystemError> {
    let part = |text: &String| NamePart {
        text: text.clone(),
        quoted: true,
    };
    let name = ObjectName {
        parts: path.iter().map(part).collect(),
    };
    let mut destination = AnyDestination::connect(connection).await?;
    let object = match destination.describe(&name).await {
        Ok(object) => destination.completed(object, columns).await,
        Err(error) => Err(error),
    };
    let described = match object {
        Ok(object) => Home::of(&mut destination, connection)
            .await
            .map(|home| (object, home)),
        Err(error) => Err(error),
    };
    destination.close().await;
    described
}

/// What is taken back must be written as it is said.
fn expect_no_obstacle(
    connection: &Connection,
    object: &Object,
    created: CreatedRows,
) -> Result<(), SystemError> {
    let deletes = object
        .obstacle(Change::Delete)
        .filter(|_| created == CreatedRows::Delete);
    let Some(obstacle) = object.obstacle(Change::Update).or(deletes) else {
        return Ok(());
    };
    Err(SystemError::Failed {
        connection: connection.name.clone(),
        doing: "taking rows back".to_owned(),
        source: format!("`{}` {}", object.display_name(), obstacle.why).into(),
        hint: Some(obstacle.hint.clone()),
    })
}

/// What goes along with a row that is deleted is not ours, and is in no before-image.
async fn warn_of_dependents(connection: &Connection, object: &Object) -> Result<(), SystemError> {
    let mut destination = AnyDestination::connect(connection).await?;
    let dependents = destination.dependents(object).await;
    destination.close().await;
    let dependents = dependents?;
    if !dependents.is_empty() {
        let (object, tables) = (object.display_name(), dependents.join("`, `"));
        warn!(
            "rows of `{tables}` go along with rows of `{object}` that are deleted (ON DELETE …), for good"
        );
    }
    Ok(())
}

/// The journal that the run filled. Where it is no longer there, an undo goes without: it may be
/// urgent.
async fn journal_table(connection: &Connection, path: Option<&[String]>) -> Option<Layout> {
    let path = path?;
    let described = describe(connection, path, &[]).await;
    let why = match described {
        Ok((object, _)) => match journal::layout(&connection.system, &object) {
            Ok(layout) => return Some(layout),
            Err(problems) => problems
                .into_iter()
                .map(|(what, _)| what)
                .collect::<Vec<_>>()
                .join("; "),
        },
        Err(error) => chain(&error).join(": "),
    };
    warn!(journal = %path.join("."), why, "the journal cannot be filled; the undo goes without");
    None
}

fn altered(fields: &[MappedField], object: &Object) -> Option<Altered> {
    let declaration = |column: &ObjectColumn| Declaration {
        name: column.name.clone(),
        declared: column.declared.clone(),
    };
    let now: Vec<Declaration> = object.columns.iter().map(declaration).collect();
    fields.iter().find_map(|field| {
        let how = altered_column(&field.name, &field.declared, &now)?;
        Some(Altered {
            column: field.name.clone(),
            how,
        })
    })
}

/// The layout of what was sent, as far as its columns are still there.
/// Errors: `NotFound`, if a column of the match key is not.
fn layout(fields: &[MappedField], object: Object) -> Result<Layout, SystemError> {
    let known = |field: &MappedField| {
        let column = object
            .columns
            .iter()
            .find(|column| column.name == field.name)?
            .clone();
        let (kind, key) = (column.holds.kind()?, field.key.is_some());
        let laid = LayoutField {
            key,
            own_text: field.own_text,
            ..LayoutField::plain(column, kind)
        };
        Some((field.key, laid))
    };
    let laid: Vec<(Option<usize>, LayoutField)> = fields.iter().filter_map(known).collect();
    let mut key: Vec<(usize, usize)> = laid
        .iter()
        .enumerate()
        .filter_map(|(position, (key, _))| Some(((*key)?, position)))
        .collect();
    if key.len() < fields.iter().filter(|field| field.key.is_some()).count() {
        let what = format!(
            "every column of the match key in `{}`",
            object.display_name()
        );
        return Err(SystemError::NotFound { what, hint: None });
    }
    key.sort_unstable();
    let key = key.into_iter().map(|(_, position)| position).collect();
    let fields = laid.into_iter().map(|(_, field)| field).collect();
    Ok(Layout {
        object,
        mode: MatchMode::UpdateOnly,
        nulls: NullPolicy::Write,
        only_where: Vec::new(),
        fields,
        key,
    })
}
