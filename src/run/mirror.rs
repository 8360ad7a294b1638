//! The mirror: what is read back goes at once into the row of the source's own table that a
//! request's record comes from, so that nobody waits for the next sync to see it.

use std::collections::BTreeMap;

use polars::prelude::{Column, IntoColumn, StringChunked};

use super::dependents::all_named;
use super::references::known_column;
use crate::destination::AnyDatabase;
use crate::destination::seam::{Destination, Transact};
use crate::domain::before::Before;
use crate::domain::change::Change;
use crate::domain::connection::Connection;
use crate::domain::dependent::{Dependents, MirroredColumn, misfit, record_of, retyped};
use crate::domain::error::{SystemError, chain};
use crate::domain::job::WriteBack;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::moment::Zones;
use crate::domain::object::{NamePart, Object, ObjectColumn, ObjectName};
use crate::domain::problem::{Problem, did_you_mean};

/// A table of a source that takes what is read back.
#[derive(Debug)]
pub(super) struct Mirror {
    /// The columns that the row is found by, and then those that are written.
    layout: Layout,
    /// The schema's columns of the key, in the layout's order.
    keys: Vec<String>,
    /// Of each column that is written: the field that it takes, and the column that this is.
    takes: Vec<(String, ObjectColumn)>,
    zones: Zones,
}

/// What became of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MirrorFate {
    Mirrored,
    /// The row held all of it already.
    Unchanged,
    /// Why it could not be written.
    NotMirrored(String),
}

/// Meets a write-back's mirror with its source.
/// Errors: all that keeps it from working.
pub(super) async fn meet(
    write_back: &WriteBack,
    source: &Connection,
    dependents: &[Dependents],
    zones: Zones,
) -> Result<Mirror, Vec<Problem>> {
    let mirror = write_back.read_back.mirror.as_slice();
    let Some(first) = mirror.first() else {
        return Err(Vec::new());
    };
    let part = |text: &String| NamePart {
        text: text.clone(),
        quoted: false,
    };
    let name = ObjectName {
        parts: write_back.schema.table.iter().map(part).collect(),
    };
    let described = async {
        let mut database = AnyDatabase::connect(source).await?;
        let object = database.describe(&name).await;
        database.close().await;
        object
    };
    let object = described.await.map_err(|error| {
        let message = format!("`mirror` cannot work: {}", chain(&error).join(": "));
        vec![Problem::mistake(first.location.clone(), message).hint_if(error.hint())]
    })?;
    let mut problems = Vec::new();
    problems.extend(obstacle(&object, first));
    let keys: Vec<String> = write_back
        .schema
        .key_columns()
        .map(|column| column.name.clone())
        .collect();
    let mut fields = Vec::new();
    for key in &keys {
        let column = known_column(&object, &part(key));
        let field = column.and_then(|column| {
            let kind = column.holds.kind()?;
            let plain = LayoutField::plain(column.clone(), kind);
            Some(LayoutField { key: true, ..plain })
        });
        if field.is_none() {
            let message = format!(
                "`mirror` finds no row of `{}` by `{key}`: there is no such column, or none that rows are found by",
                object.display_name()
            );
            problems.push(Problem::mistake(first.location.clone(), message));
        }
        fields.extend(field);
    }
    let back = Zones {
        source: zones.destination,
        destination: zones.source,
    };
    let mut takes = Vec::new();
    for column in mirror {
        let Some(from) = column_of(dependents, &column.field) else {
            continue;
        };
        match taken(&object, column, from, back) {
            Ok(field) => {
                takes.push((column.field.clone(), from.clone()));
                fields.push(field);
            }
            Err(problem) => problems.push(problem),
        }
    }
    match problems.is_empty() {
        true => Ok(Mirror {
            layout: Layout {
                fields,
                key: (0..keys.len()).collect(),
                ..Layout::of_rows(object)
            },
            keys,
            takes,
            zones: back,
        }),
        false => Err(problems),
    }
}

/// The column that a field which is read back is.
fn column_of<'a>(dependents: &'a [Dependents], name: &str) -> Option<&'a ObjectColumn> {
    all_named(dependents)
        .find(|(known, _)| *known == name)
        .map(|(_, field)| &field.column)
}

fn obstacle(object: &Object, first: &MirroredColumn) -> Option<Problem> {
    let mut obstacles = object.obstacles.iter();
    let obstacle = obstacles.find(|obstacle| obstacle.against.contains(&Change::Update))?;
    let message = format!(
        "`mirror` cannot work: `{}` {}",
        object.display_name(),
        obstacle.why
    );
    let mistake = Problem::mistake(first.location.clone(), message);
    Some(mistake.hint(obstacle.hint.clone()))
}

/// The source's column that takes a field.
/// Errors: why it cannot.
fn taken(
    object: &Object,
    mirrored: &MirroredColumn,
    from: &ObjectColumn,
    zones: Zones,
) -> Result<LayoutField, Problem> {
    let shown = object.display_name();
    let mistake = |message: String| Problem::mistake(mirrored.location.clone(), message);
    let Some(column) = known_column(object, &mirrored.column) else {
        let names = object.columns.iter().map(|column| column.name.as_str());
        let message = format!("column `{}` is not in `{shown}`", mirrored.column.text);
        return Err(mistake(message).hint_if(did_you_mean(&mirrored.column.text, names)));
    };
    let name = &column.name;
    if column.generated {
        return Err(mistake(format!("`{name}` of `{shown}` is computed")));
    }
    if !(column.may_update && column.may_select) {
        let right = format!("SELECT, UPDATE ({})", object.spelling.quoted(name));
        let message = format!("`{name}` of `{shown}` may not be read and updated");
        return Err(mistake(message).hint_if(object.grant(&right)));
    }
    if let Some(misfit) = misfit(from, column, zones) {
        let message = format!("`{}` does not fit `{name}`: {misfit}", mirrored.field);
        return Err(mistake(message));
    }
    let kind = column.holds.kind();
    let kind = kind.ok_or_else(|| mistake(format!("`{name}` of `{shown}` cannot be written")))?;
    Ok(LayoutField::plain(column.clone(), kind))
}

impl Mirror {
    /// Writes the fields that were read back into the one row of the source that has this key, by
    /// columns of the schema, in a transaction of its own.
    pub(super) async fn write(
        &self,
        database: &mut AnyDatabase,
        key: &BTreeMap<String, String>,
        read_back: &BTreeMap<String, Option<String>>,
    ) -> Result<MirrorFate, SystemError> {
        let (layout, known) = match self.record(key, read_back) {
            Ok(record) => record,
            Err(why) => return Ok(MirrorFate::NotMirrored(why)),
        };
        let record = record_of(&layout, &known);
        database.begin().await?;
        let (looked_up, updated) = database
            .update_differing(&layout, &record, Before::Unread)
            .await?;
        let found = looked_up.found.first().copied().unwrap_or_default();
        let fate = match (found.rows, found.differs, updated) {
            (1, false, _) => MirrorFate::Unchanged,
            (1, true, 1) => MirrorFate::Mirrored,
            (1, true, _) => MirrorFate::NotMirrored("the source left its row as it was".to_owned()),
            (0, _, _) => MirrorFate::NotMirrored("the source has no row with this key".to_owned()),
            (rows, _, _) => {
                MirrorFate::NotMirrored(format!("{rows} rows of the source have this key"))
            }
        };
        match fate {
            MirrorFate::Mirrored => database.commit().await?,
            MirrorFate::Unchanged | MirrorFate::NotMirrored(_) => database.rollback().await?,
        }
        Ok(fate)
    }

    /// The layout of the fields that are known, and their values as the source holds such.
    /// Errors: one of them does not fit.
    fn record(
        &self,
        key: &BTreeMap<String, String>,
        read_back: &BTreeMap<String, Option<String>>,
    ) -> Result<(Layout, Vec<Column>), String> {
        let mut positions = Vec::new();
        let mut columns = Vec::new();
        let keys = self.keys.iter().map(|name| key.get(name));
        for (position, text) in keys.enumerate() {
            let column = &self.layout.fields.get(position).map(|field| &field.column);
            let (Some(column), Some(text)) = (column, text) else {
                return Err("its key is not known".to_owned());
            };
            positions.push(position);
            columns.push(typed(Some(text), column, column, self.zones)?);
        }
        let taken = (self.keys.len()..).zip(&self.takes);
        for (position, (field, from)) in taken {
            let to = self.layout.fields.get(position);
            let (Some(value), Some(to)) = (read_back.get(field), to) else {
                continue;
            };
            positions.push(position);
            columns.push(typed(value.as_deref(), from, &to.column, self.zones)?);
        }
        Ok((self.layout.narrowed(&positions), columns))
    }
}

/// One value as another column holds it.
/// Errors: it does not fit, in words that do not tell it.
fn typed(
    text: Option<&str>,
    from: &ObjectColumn,
    to: &ObjectColumn,
    zones: Zones,
) -> Result<Column, String> {
    let name = &to.name;
    let texts = StringChunked::from_iter([text]);
    let converted = retyped(&texts, from, to, zones);
    let converted =
        converted.map_err(|misfit| format!("`{name}` takes no such value: {misfit}"))?;
    match converted.faults.first() {
        Some(fault) => Err(format!("`{name}` takes no such value: {}", fault.reason)),
        None => Ok(converted.values.with_name(name.into()).into_column()),
    }
}
