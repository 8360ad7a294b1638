//! Micro-sync: what depends on the fields that a request wrote is read back and mirrored into the
//! source before it is answered. Whatever becomes of that, the request itself is written.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use polars::prelude::{Column, DataFrame, IntoColumn, StringChunked};
use tokio::time::timeout;
use tracing::warn;

use super::{Post, key_columns, named};
use crate::destination::seam::{Destination, LookUp};
use crate::destination::{AnyDatabase, AnyDestination};
use crate::domain::before::Before;
use crate::domain::dependent::{Dependents, record_of, referred, retyped};
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::ObjectColumn;
use crate::domain::record::key_parts;
use crate::run::mirror::{self, Mirror, MirrorFate};

/// How long reading back, and how long the mirror, may take: what is written is told within ten
/// seconds.
const DURATION_MAX: Duration = Duration::from_secs(2);

/// What became of the source's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirrorTold {
    pub(crate) fate: MirrorWord,
    /// By the source's columns, what they hold now; empty if it was not written.
    pub(crate) fields: BTreeMap<String, Option<String>>,
    /// Why it was not written.
    pub(crate) reason: Option<String>,
}

/// The fate in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MirrorWord {
    Mirrored,
    Unchanged,
    NotMirrored,
}

/// What followed a write.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// By the names of the job's file.
    pub(crate) read_back: BTreeMap<String, Option<String>>,
    /// `None`: there is nothing to be mirrored.
    pub(crate) mirror: Option<MirrorTold>,
}

/// A row that was written.
pub(super) struct WrittenRow<'a> {
    /// By columns of the schema.
    pub(super) key: &'a BTreeMap<String, String>,
    /// With the key's fields.
    pub(super) layout: &'a Layout,
    pub(super) record: &'a DataFrame,
    /// What it holds in the fields that were written.
    pub(super) held: &'a BTreeMap<String, Option<String>>,
}

impl Post {
    /// Reads back what depends on a row that was written, and mirrors it. The connection comes
    /// back if it can be used again.
    pub(super) async fn follow(
        &self,
        mut destination: AnyDestination,
        row: WrittenRow<'_>,
    ) -> (Followed, Option<AnyDestination>) {
        if self.plan.dependents.is_empty() {
            return (Followed::default(), Some(destination));
        }
        let reading = self.read_dependents(&mut destination, &row);
        match timeout(DURATION_MAX, reading).await {
            Ok(Ok(read_back)) => {
                let followed = self.follow_read(row.key, read_back).await;
                (followed, Some(destination))
            }
            Ok(Err(error)) => (self.unread(chain(&error).join(": ")), None),
            Err(_) => (self.unread("reading back took too long".to_owned()), None),
        }
    }

    /// What could not be read back is not mirrored.
    fn unread(&self, why: String) -> Followed {
        // Its answer tells why; the words of a system may hold values, which logs never do.
        warn!(job = %self.job, write_back = self.write_back(), "what depends on a request is not read back");
        let mirrors = !self.plan.write_back.read_back.mirror.is_empty();
        Followed {
            read_back: BTreeMap::new(),
            mirror: mirrors.then(|| not_mirrored(why)),
        }
    }

    async fn follow_read(
        &self,
        key: &BTreeMap<String, String>,
        read_back: BTreeMap<String, Option<String>>,
    ) -> Followed {
        let takes = self.plan.write_back.read_back.mirror.iter();
        let mut takes = takes.map(|column| &column.field);
        if !takes.any(|field| read_back.contains_key(field)) {
            return Followed {
                read_back,
                mirror: None,
            };
        }
        let mirrored = match timeout(DURATION_MAX, self.mirror(key, &read_back)).await {
            Ok(mirrored) => mirrored,
            Err(_) => {
                Err("the source took too long, and may have taken it all the same".to_owned())
            }
        };
        let mirror = mirrored.unwrap_or_else(|why| {
            warn!(job = %self.job, write_back = self.write_back(), "what depends on a request is not mirrored");
            not_mirrored(why)
        });
        Followed {
            read_back,
            mirror: Some(mirror),
        }
    }

    /// What followed a request that is settled later: of its row nothing but the key is known.
    /// Errors: the destination cannot be asked.
    pub(crate) async fn follow_settled(
        &self,
        record: &str,
        fields: &[String],
    ) -> Result<Followed, SystemError> {
        if self.plan.dependents.is_empty() {
            return Ok(Followed::default());
        }
        let columns = key_columns(&self.plan.write_back);
        let parts = match columns.len() {
            1 => vec![record.to_owned()],
            _ => key_parts(record).unwrap_or_default(),
        };
        let own = self.plan.layout.narrowed(&self.plan.layout.key);
        let typed = own.fields.iter().zip(&parts);
        let typed = typed.filter_map(|(field, part)| self.id_of(&field.column, part));
        let found_by: Vec<Column> = typed.collect();
        let key: BTreeMap<String, String> = columns.into_iter().zip(parts).collect();
        if found_by.len() < own.fields.len() {
            return Ok(Followed::default());
        }
        let references = self.plan.dependents.iter();
        let references = references.filter_map(|one| one.reference.as_ref());
        let written = references.filter(|column| fields.contains(&column.name));
        let mut layout = own.clone();
        for column in written {
            let is_known = layout
                .fields
                .iter()
                .any(|one| one.column.name == column.name);
            if let (false, Some(kind)) = (is_known, column.holds.kind()) {
                layout.fields.push(LayoutField::plain(column.clone(), kind));
            }
        }
        let mut tools = self.take_idle();
        let mut destination = match tools.destination.take() {
            Some(destination) => destination,
            None => AnyDestination::connect(&self.plan.destination).await?,
        };
        let asked = record_of(&layout, &found_by);
        let looked_up = destination.look_up(&layout, &asked, Before::OfAll).await?;
        let held = looked_up.before.of(0);
        let held = held.map(|held| named(&layout, &held)).unwrap_or_default();
        let row = WrittenRow {
            key: &key,
            layout: &own,
            record: &record_of(&own, &found_by),
            held: &held,
        };
        let (followed, usable) = self.follow(destination, row).await;
        tools.destination = usable;
        self.give_back(tools);
        Ok(followed)
    }

    /// Reads the fields that depend on those that were written; those of a row that is not there,
    /// or may not be seen, are left out.
    async fn read_dependents(
        &self,
        destination: &mut AnyDestination,
        row: &WrittenRow<'_>,
    ) -> Result<BTreeMap<String, Option<String>>, SystemError> {
        let mut all = BTreeMap::new();
        for dependents in &self.plan.dependents {
            match &dependents.reference {
                None => {
                    let layout = beside_key(row.layout, &dependents.layout);
                    let record = record_of(&layout, row.record.columns());
                    let first = layout.fields.len() - dependents.layout.fields.len();
                    all.extend(read(destination, &layout, &record, dependents, first).await?);
                }
                Some(reference) => match row.held.get(&reference.name) {
                    None => {}
                    Some(None) => {
                        let names = dependents
                            .named
                            .iter()
                            .map(|(name, _)| (name.clone(), None));
                        all.extend(names);
                    }
                    Some(Some(id)) => {
                        all.extend(self.referent(destination, dependents, id).await?);
                    }
                },
            }
        }
        Ok(all)
    }

    /// A value as the destination writes it, as one that rows are found by.
    fn id_of(&self, column: &ObjectColumn, text: &str) -> Option<Column> {
        let texts = StringChunked::from_iter([Some(text)]);
        let typed = retyped(&texts, column, column, self.plan.mapping.zones());
        let typed = typed.ok().filter(|typed| typed.faults.is_empty())?;
        let name = column.name.as_str().into();
        Some(typed.values.with_name(name).into_column())
    }

    /// The fields of the row with an id, as a reference holds that.
    async fn referent(
        &self,
        destination: &mut AnyDestination,
        dependents: &Dependents,
        id: &str,
    ) -> Result<BTreeMap<String, Option<String>>, SystemError> {
        let layout = &dependents.layout;
        let (object, id) = match layout.object.kind.is_of_service() {
            true => referred(id),
            false => (None, id),
        };
        let is_other =
            object.is_some_and(|object| layout.object.path.last().is_none_or(|own| own != object));
        let key = layout.key_fields().next().filter(|_| !is_other);
        let key = key.and_then(|field| self.id_of(&field.column, id));
        match key {
            Some(key) => {
                let record = record_of(layout, &[key]);
                read(destination, layout, &record, dependents, 0).await
            }
            None => Ok(BTreeMap::new()),
        }
    }

    /// Writes what was read back into the source's own row.
    /// Errors: why it is not written.
    async fn mirror(
        &self,
        key: &BTreeMap<String, String>,
        read_back: &BTreeMap<String, Option<String>>,
    ) -> Result<MirrorTold, String> {
        let mirror = self.met_mirror().await?;
        let idle = self.take_idle_source();
        let is_fresh = idle.is_none();
        let told = |error: SystemError| chain(&error).join(": ");
        let connect = || AnyDatabase::connect(&self.plan.source);
        let mut database = match idle {
            Some(idle) => idle,
            None => connect().await.map_err(told)?,
        };
        let fate = match mirror.write(&mut database, key, read_back).await {
            Err(error) if !is_fresh && error.is_transient() => {
                // It has lain idle, and the source may have closed it.
                database = connect().await.map_err(told)?;
                mirror.write(&mut database, key, read_back).await
            }
            written => written,
        };
        let fate = match fate {
            Ok(fate) => fate,
            Err(error) => {
                // The source may have changed since it was met.
                self.mirror.lock().await.take();
                return Err(told(error));
            }
        };
        self.give_back_source(database);
        let fields = || {
            let mirrored = self.plan.write_back.read_back.mirror.iter();
            let held = mirrored.filter_map(|one| {
                Some((one.column.text.clone(), read_back.get(&one.field)?.clone()))
            });
            held.collect()
        };
        let told = |fate| MirrorTold {
            fate,
            fields: fields(),
            reason: None,
        };
        Ok(match fate {
            MirrorFate::Mirrored => told(MirrorWord::Mirrored),
            MirrorFate::Unchanged => told(MirrorWord::Unchanged),
            MirrorFate::NotMirrored(why) => not_mirrored(why),
        })
    }

    async fn met_mirror(&self) -> Result<Arc<Mirror>, String> {
        let mut met = self.mirror.lock().await;
        if let Some(mirror) = met.as_ref() {
            return Ok(Arc::clone(mirror));
        }
        let plan = &self.plan;
        let meeting = mirror::meet(
            &plan.write_back,
            &plan.source,
            &plan.dependents,
            plan.mapping.zones(),
        );
        let mirror = meeting.await.map_err(|problems| {
            let told = problems.into_iter().map(|problem| problem.message);
            told.collect::<Vec<_>>().join("; ")
        })?;
        Ok(Arc::clone(met.insert(Arc::new(mirror))))
    }

    fn take_idle_source(&self) -> Option<AnyDatabase> {
        let mut idle = self
            .idle_sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn give_back_source(&self, database: AnyDatabase) {
        let mut idle = self
            .idle_sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        idle.push(database);
    }
}

fn not_mirrored(why: String) -> MirrorTold {
    MirrorTold {
        fate: MirrorWord::NotMirrored,
        fields: BTreeMap::new(),
        reason: Some(why),
    }
}

/// The key's fields of a layout, and then those of another of the same object.
fn beside_key(keyed: &Layout, others: &Layout) -> Layout {
    let key = keyed.narrowed(&keyed.key);
    Layout {
        fields: key.fields.iter().chain(&others.fields).cloned().collect(),
        ..key
    }
}

/// Looks one record's row up and tells the fields of it that stand in the layout from `first` on.
async fn read(
    destination: &mut AnyDestination,
    layout: &Layout,
    record: &DataFrame,
    dependents: &Dependents,
    first: usize,
) -> Result<BTreeMap<String, Option<String>>, SystemError> {
    let looked_up = destination.look_up(layout, record, Before::OfAll).await?;
    let Some(held) = looked_up.before.of(0) else {
        return Ok(BTreeMap::new());
    };
    let value = |(name, position): &(String, usize)| {
        let held = held.get(first + position).copied().flatten();
        (name.clone(), held.map(str::to_owned))
    };
    Ok(dependents.named.iter().map(value).collect())
}
