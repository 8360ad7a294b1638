//! Taking records back: what their rows held before a run is restored where they still hold what that run wrote. Whether
//! they do is asked of the database's own equality, in the transaction that restores and with the rows locked.
//!
//! Shape of the records: as a segment of before-images without `record`.

use std::collections::BTreeMap;
use std::sync::Arc;

use polars::prelude::{BooleanChunked, DataFrame, IdxSize, PolarsResult};

use super::conflicts::Conflicts;
use super::images::{CREATED, Sent, before_column, sent_column, written_column};
use super::writer::{Differing, Written, chosen, expect_matched, expect_unaltered};
use crate::destination::{AnyDestination, Destination, Found, LookedUp, records_at};
use crate::domain::before::{Before, BeforeImagesBuilder};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{RejectReason, SkipReason};

/// What becomes of rows that the run created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreatedRows {
    Keep,
    /// They are deleted where they still hold all that the run sent.
    Delete,
}

/// What becomes of rows that no longer hold what the run sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangedRows {
    Keep,
    /// They are taken back all the same: a trigger may have changed them as they were written, and what somebody else made
    /// of them is given up.
    Restore,
}

/// How the records of one write-back of a run are taken back.
#[derive(Debug)]
pub(crate) struct Restoration {
    /// What the run sent, in the form it was sent in.
    sent: Layout,
    /// What is restored: but for the key, the database's own text.
    before: Arc<Layout>,
    created: CreatedRows,
    changed: ChangedRows,
    key_columns: Vec<String>,
}

/// Records of which the run wrote the same fields.
struct Group {
    /// Positions in the layout, the key's included.
    fields: Vec<usize>,
    /// Positions in the batch, ascending.
    records: Vec<IdxSize>,
    created: bool,
}

impl Restoration {
    /// `sent` is the layout of what the run sent, with every field but the key compared.
    pub(super) fn new(sent: Layout, created: CreatedRows, changed: ChangedRows) -> Self {
        let restored = |field: &LayoutField| LayoutField { own_text: !field.key || field.own_text, ..field.clone() };
        let before = Layout { fields: sent.fields.iter().map(restored).collect(), ..sent.clone() };
        let key_columns = sent.key_fields().map(|field| sent_column(&field.column.name)).collect();
        Self { sent, before: Arc::new(before), created, changed, key_columns }
    }

    /// What batches write.
    pub(super) fn layout(&self) -> &Arc<Layout> {
        &self.before
    }

    pub(super) fn key_columns(&self) -> &[String] {
        &self.key_columns
    }

    /// Whether records have the columns of before-images of this layout, each in its representation.
    pub(super) fn accepts(&self, records: &DataFrame) -> bool {
        let has = |name: &str, kind: &LayoutField| {
            let representation = match kind.own_text {
                true => polars::prelude::DataType::String,
                false => kind.kind.representation(),
            };
            records.column(name).is_ok_and(|values| *values.dtype() == representation)
        };
        let sent = self.sent.fields.iter().all(|field| has(&sent_column(&field.column.name), field));
        let restored = self.before.fields.iter().filter(|field| !field.key);
        sent && restored.into_iter().all(|field| has(&before_column(&field.column.name), field))
            && records.column(CREATED).is_ok_and(|created| created.bool().is_ok())
    }

    /// What an undo sends, for its own before-images.
    pub(super) fn sent_back<'a>(&self, records: &'a DataFrame) -> PolarsResult<Sent<'a>> {
        let every: Vec<usize> = (0..self.before.fields.len()).collect();
        Ok(Sent::Back { records: self.restoring(records, &every)?, images: records })
    }

    /// Restores what can be restored of a batch, within the open transaction.
    pub(super) async fn restore(
        &self,
        destination: &mut AnyDestination,
        connection: &Connection,
        records: &DataFrame,
    ) -> Result<Written, SystemError> {
        let every: Vec<usize> = (0..self.sent.fields.len()).collect();
        let sent = self.shaped(connection, self.sending(records, &every))?;
        destination.lock(&self.sent, &sent).await?;
        let written = self.judge(destination, connection, records, Before::OfAll).await?;
        let changes = |decision: &Decision| matches!(decision, Decision::Update | Decision::Delete);
        if written.decisions.iter().any(changes) {
            expect_unaltered(&self.before, &destination.declarations(&self.before.object).await?)?;
        }
        for group in self.shaped(connection, self.groups(records))? {
            let updates = group.chosen(&written.decisions, &Decision::Update);
            if !updates.is_empty() {
                let restored =
                    self.shaped(connection, self.restoring(&records_at(records, &updates), &group.fields))?;
                let updated = destination.update(&self.before.narrowed(&group.fields), &restored).await?;
                expect_matched(connection, updated, updates.len())?;
            }
        }
        crate::fault::point("records restored");
        let deletes = chosen(&written.decisions, &Decision::Delete);
        if !deletes.is_empty() {
            expect_matched(
                connection,
                destination.delete(&self.sent, &records_at(&sent, &deletes)).await?,
                deletes.len(),
            )?;
        }
        Ok(written)
    }

    /// Decides about each record; writes nothing.
    pub(super) async fn judge(
        &self,
        destination: &mut AnyDestination,
        connection: &Connection,
        records: &DataFrame,
        before: Before,
    ) -> Result<Written, SystemError> {
        let mut decisions = vec![Decision::Skip(SkipReason::CreatedByRun); records.height()];
        let mut found = vec![Found::default(); records.height()];
        let mut images = BeforeImagesBuilder::new(records.height(), self.before.fields.len());
        for group in self.shaped(connection, self.groups(records))? {
            let own = records_at(records, &group.records);
            let sent = self.shaped(connection, self.sending(&own, &group.fields))?;
            let looked_up = destination.look_up(&self.sent.narrowed(&group.fields), &sent, before).await?;
            let differing: Vec<IdxSize> = positions(&looked_up.found, |found| found.rows == 1 && found.differs);
            let mut decided: Vec<Decision> =
                looked_up.found.iter().map(|found| group.decide(*found, self.changed)).collect();
            if !group.created && !differing.is_empty() {
                let restored = self.shaped(connection, self.restoring(&records_at(&own, &differing), &group.fields))?;
                let layout = self.before.narrowed(&group.fields);
                let held = destination.look_up(&layout, &restored, Before::Unread).await?.found;
                for (record, held) in differing.iter().zip(held) {
                    if let (Some(decision), false) = (decided.get_mut(index(*record)), held.differs || held.rows != 1) {
                        *decision = Decision::Leave;
                    }
                }
            }
            for (own, (record, decision)) in group.records.iter().zip(decided).enumerate() {
                if let Some(found) = found.get_mut(index(*record)) {
                    *found = looked_up.found.get(own).copied().unwrap_or_default();
                }
                if before.is_read() && matches!(decision, Decision::Update | Decision::Delete) {
                    let held = |field: usize| {
                        let position = group.fields.iter().position(|known| *known == field)?;
                        looked_up.before.exact(own, position)
                    };
                    images.push(index(*record), (0..self.before.fields.len()).map(held));
                }
                if let Some(place) = decisions.get_mut(index(*record)) {
                    *place = decision;
                }
            }
        }
        let looked_up = LookedUp { found, before: images.finish() };
        Ok(Written { looked_up, decisions, conflicts: Conflicts::default(), differing: Differing::Many })
    }

    /// The records whose rows are to be judged. Created rows are one group: all of what they were created with counts.
    fn groups(&self, records: &DataFrame) -> PolarsResult<Vec<Group>> {
        let created = records.column(CREATED)?.bool()?;
        let every: Vec<usize> = (0..self.sent.fields.len()).collect();
        let masks: Vec<Option<&BooleanChunked>> = self.sent.fields.iter().map(|field| mask(records, field)).collect();
        let mut groups: BTreeMap<(bool, Vec<usize>), Vec<IdxSize>> = BTreeMap::new();
        for (record, position) in (0..records.height()).zip(0..) {
            let is_created = created.get(record).unwrap_or_default();
            if is_created && self.created == CreatedRows::Keep {
                continue;
            }
            let is_written = |field: &usize| {
                let mask = masks.get(*field).copied().flatten();
                is_created || mask.is_none_or(|mask| mask.get(record).unwrap_or(true))
            };
            let fields = every.iter().copied().filter(is_written).collect();
            groups.entry((is_created, fields)).or_default().push(position);
        }
        let group = |((created, fields), records)| Group { fields, records, created };
        Ok(groups.into_iter().map(group).collect())
    }

    /// What the run sent to these fields. Shape: as a batch of the layout with these fields.
    fn sending(&self, records: &DataFrame, fields: &[usize]) -> PolarsResult<DataFrame> {
        select(&self.sent, records, fields, |field| sent_column(&field.column.name))
    }

    /// What these fields held before. Shape: as a batch of the layout with these fields.
    fn restoring(&self, records: &DataFrame, fields: &[usize]) -> PolarsResult<DataFrame> {
        select(&self.before, records, fields, |field| match field.key {
            true => sent_column(&field.column.name),
            false => before_column(&field.column.name),
        })
    }

    /// Packages are looked at before they are pushed: what is not shaped as it should be is an error of this program.
    fn shaped<T>(&self, connection: &Connection, shaped: PolarsResult<T>) -> Result<T, SystemError> {
        shaped.map_err(|error| SystemError::Failed {
            connection: connection.name.clone(),
            doing: "reading before-images".to_owned(),
            source: error.into(),
            hint: None,
        })
    }
}

impl Group {
    /// What becomes of a record whose row was looked up as the run left it.
    fn decide(&self, found: Found, changed: ChangedRows) -> Decision {
        match (found.rows, found.differs) {
            (0, _) => Decision::Skip(SkipReason::NoMatch),
            (1, true) if changed == ChangedRows::Keep => Decision::Skip(SkipReason::ChangedSince),
            (1, _) if self.created => Decision::Delete,
            (1, _) => Decision::Update,
            (rows, _) => Decision::Reject(RejectReason::AmbiguousMatch { found: rows }),
        }
    }

    /// Its records with one decision, as positions in the batch.
    fn chosen(&self, decisions: &[Decision], decision: &Decision) -> Vec<IdxSize> {
        let is_chosen = |record: &IdxSize| decisions.get(index(*record)) == Some(decision);
        self.records.iter().copied().filter(is_chosen).collect()
    }
}

/// For which records the run wrote a field; `None` if for all.
fn mask<'a>(records: &'a DataFrame, field: &LayoutField) -> Option<&'a BooleanChunked> {
    records.column(&written_column(&field.column.name)).ok()?.bool().ok()
}

fn select(
    layout: &Layout,
    records: &DataFrame,
    fields: &[usize],
    column_of: impl Fn(&LayoutField) -> String,
) -> PolarsResult<DataFrame> {
    let fields = fields.iter().filter_map(|position| layout.fields.get(*position));
    let columns = fields.map(|field| {
        let values = records.column(&column_of(field))?.clone();
        Ok(values.with_name(field.column.name.as_str().into()))
    });
    DataFrame::new(records.height(), columns.collect::<PolarsResult<Vec<_>>>()?)
}

fn positions(found: &[Found], wanted: impl Fn(&Found) -> bool) -> Vec<IdxSize> {
    found.iter().zip(0..).filter(|(found, _)| wanted(found)).map(|(_, position)| position).collect()
}

fn index(position: IdxSize) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
