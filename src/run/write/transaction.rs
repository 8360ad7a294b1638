//! Writing to a database: what a batch finds is locked, decided about and changed within one
//! transaction.

use std::borrow::Cow;
use std::collections::BTreeMap;

use polars::prelude::{DataFrame, IdxSize, PolarsResult};

use super::judge::{self, Decided, chosen, mapped};
use super::mask::Mask;
use super::terms::{ExpectedRow, Terms};
use crate::destination::AnyDatabase;
use crate::destination::seam::{LookUp, LookedUp, Transact, records_at};
use crate::domain::before::Before;
use crate::domain::change::Change;
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::match_rule::Decision;
use crate::domain::object::{Declaration, ObjectKind};
use crate::fault;
use crate::run::conflicts;
use crate::run::conflicts::LastValues;
use crate::run::reached::{Hold, Write};
use crate::run::swap::{HalfWay, shaped};
use crate::run::writer::Work;

/// How many records of a batch differ from their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Differing {
    Many,
    /// Few enough that they are worth another statement, after a look-up that neither locks nor
    /// brings before-images.
    Few,
}

/// Of so many records of a batch, less than one differs where few do. A look-up alone takes half of
/// the time of one that also updates or locks, so that it would be worth coming first until half of
/// a batch is sent twice.
const FEW: usize = 4;

impl Differing {
    /// Of the records that were looked up.
    pub(crate) fn of(looked_up: &LookedUp) -> Self {
        if looked_up.differing().len() < looked_up.found.len() / FEW {
            Self::Few
        } else {
            Self::Many
        }
    }
}

/// How records are looked up and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Whose before-images are wanted.
    pub(crate) before: Before,
    pub(crate) expected: Differing,
    pub(crate) hold: Hold,
}

/// What records of one write-back are written with, and what for.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) layout: &'a Layout,
    pub(crate) work: &'a Work,
    pub(crate) terms: Terms<'a>,
}

impl Task<'_> {
    /// Looks records up, decides about each, and writes those that are to be written, within the
    /// open transaction. `last` is what was last written into fields in which someone else's values
    /// are kept.
    pub(crate) async fn write(
        &self,
        database: &mut AnyDatabase,
        records: &DataFrame,
        last: Option<&LastValues>,
        manner: Manner,
    ) -> Result<Decided, SystemError> {
        if let Some(expected) = self.terms.expected {
            let ExpectedRow { layout, record } = expected;
            let held = database.look_up_locked(layout, record, Before::Unread);
            if expected.is_disappointed(&held.await?, self.layout.mode) {
                return judge::refused(database, self.layout, records).await;
            }
        }
        let last = last.filter(|_| matches!(self.work, Work::Deliver));
        let (mut decided, updated) = match self.is_updated_by_the_way(last, manner) {
            true => {
                let (looked_up, updated) =
                    update_differing(database, self.layout, records, manner).await?;
                (mapped::decided(self.layout, looked_up), Some(updated))
            }
            false => (self.locked(database, records, manner).await?, None),
        };
        if let Some(last) = last {
            conflicts::judge(database, self.layout, records, last, &mut decided).await?;
        }
        self.yield_to_requests(database, records, &mut decided)
            .await?;
        let hold = match (self.work, last) {
            _ if self.terms.reserved.is_some() => Hold::Locked,
            (Work::Deliver, None) => manner.hold,
            (Work::Deliver, Some(last)) if !last.tells_anything() => manner.hold,
            (Work::Deliver, Some(_)) | (Work::Swap(_), _) => Hold::Locked,
        };
        self.carry_out(database, records, &decided, updated, hold)
            .await?;
        Ok(decided)
    }

    /// Leaves alone what requests wrote since the records were pulled.
    pub(crate) async fn yield_to_requests(
        &self,
        by: &mut impl LookUp<Error = SystemError>,
        records: &DataFrame,
        decided: &mut Decided,
    ) -> Result<(), SystemError> {
        match self.terms.reserved {
            Some(reserved) => {
                conflicts::yield_to_requests(by, self.layout, records, reserved, decided).await
            }
            None => Ok(()),
        }
    }

    /// Looks records up and decides about each, those that are to be written with their rows
    /// locked.
    pub(crate) async fn locked(
        &self,
        database: &mut AnyDatabase,
        records: &DataFrame,
        manner: Manner,
    ) -> Result<Decided, SystemError> {
        match self.work {
            Work::Deliver => {
                let mut locking = Locking { database, manner };
                mapped::judge(&mut locking, self.layout, records, manner.before).await
            }
            Work::Swap(swap) => {
                let there = shaped(self.connection, swap.expected_there(records))?;
                if there.height() > 0 {
                    database.lock(swap.sent_layout(), &there).await?;
                }
                swap.judge(
                    database,
                    self.connection,
                    records,
                    Before::OfAll,
                    HalfWay::default(),
                )
                .await
            }
        }
    }

    /// Makes the changes that were decided on. `updated` is how many rows were updated, where that
    /// was done by the way.
    pub(crate) async fn carry_out(
        &self,
        database: &mut AnyDatabase,
        records: &DataFrame,
        decided: &Decided,
        updated: Option<u64>,
        hold: Hold,
    ) -> Result<(), SystemError> {
        let writes = shaped(self.connection, self.writes(records, decided, hold))?;
        if !writes.is_empty() {
            let now = database.declarations(&self.layout.object).await?;
            expect_unaltered(self.layout, &now)?;
        }
        for write in &writes {
            match (write.change, updated) {
                (Change::Update, Some(updated)) => {
                    write
                        .expect_reached(database, &self.connection.name, updated, None)
                        .await?
                }
                (Change::Insert | Change::Update | Change::Delete, _) => {
                    write.carry_out(database, self.connection).await?
                }
            }
            fault::point(match write.change {
                Change::Insert => "records inserted",
                Change::Update => "records updated",
                Change::Delete => "records deleted",
            });
        }
        Ok(())
    }

    /// Whether records are updated by the statement that looks them up.
    fn is_updated_by_the_way(&self, last: Option<&LastValues>, manner: Manner) -> bool {
        let Layout { mode, object, .. } = self.layout;
        matches!(self.work, Work::Deliver)
            && self.terms.reserved.is_none()
            && last.is_none_or(|last| !last.tells_anything())
            && (mode.updates(), manner.hold, object.kind) == (true, Hold::Loose, ObjectKind::Table)
    }

    /// The changes that were decided on, each of records in which the same fields are written.
    fn writes(
        &self,
        records: &DataFrame,
        decided: &Decided,
        hold: Hold,
    ) -> PolarsResult<Vec<Write<'_>>> {
        let layout = self.layout;
        let (sent, mask) = match self.work {
            Work::Deliver => (
                Cow::Borrowed(records),
                decided.conflicts.mask(layout, records.height()),
            ),
            Work::Swap(swap) => (Cow::Owned(swap.writes(records)?), swap.written(records)),
        };
        let whole = |change, decision: &Decision| {
            let positions = chosen(&decided.decisions, decision);
            (!positions.is_empty()).then(|| Write {
                change,
                layout: Cow::Borrowed(layout),
                records: records_at(&sent, &positions),
                hold,
            })
        };
        // Rows that go make room for what they held.
        let mut writes: Vec<Write<'_>> = Vec::new();
        writes.extend(whole(Change::Delete, &Decision::Delete));
        let updates = chosen(&decided.decisions, &Decision::Update);
        for (fields, positions) in groups(layout, &mask, updates) {
            let records = records_at(&sent, &positions);
            let (layout, records) = match fields.len() == layout.fields.len() {
                true => (Cow::Borrowed(layout), records),
                false => (
                    Cow::Owned(layout.narrowed(&fields)),
                    narrowed(&records, &fields),
                ),
            };
            writes.push(Write {
                change: Change::Update,
                layout,
                records,
                hold,
            });
        }
        writes.extend(whole(Change::Insert, &Decision::Insert));
        Ok(writes)
    }
}

/// The records at `updates` by the fields that are written of them, the match key's among them.
fn groups(
    layout: &Layout,
    mask: &Mask,
    updates: Vec<IdxSize>,
) -> BTreeMap<Vec<usize>, Vec<IdxSize>> {
    let every_field = layout.positions(|_| true);
    if updates.is_empty() {
        return BTreeMap::new();
    }
    if mask.iter().all(Option::is_none) {
        return BTreeMap::from([(every_field, updates)]);
    }
    let mut groups: BTreeMap<Vec<usize>, Vec<IdxSize>> = BTreeMap::new();
    for record in updates {
        let index = usize::try_from(record).unwrap_or(usize::MAX);
        let is_written = |field: &usize| {
            let mask = mask.get(*field).and_then(Option::as_ref);
            mask.and_then(|mask| mask.get(index)) != Some(false)
        };
        let fields = every_field.iter().copied().filter(is_written).collect();
        groups.entry(fields).or_default().push(record);
    }
    groups
}

/// The columns at `fields` of a batch.
pub(crate) fn narrowed(records: &DataFrame, fields: &[usize]) -> DataFrame {
    let columns = fields
        .iter()
        .filter_map(|position| records.columns().get(*position).cloned());
    let narrowed: PolarsResult<DataFrame> = DataFrame::new(records.height(), columns.collect());
    narrowed.expect("columns of one frame stand beside one another")
}

/// The records were made to fit the columns as they were: a narrower one might round or cut them in
/// silence.
pub(crate) fn expect_unaltered(layout: &Layout, now: &[Declaration]) -> Result<(), SystemError> {
    match layout.altered(now) {
        None => Ok(()),
        Some(what) => Err(SystemError::Altered {
            object: layout.object.display_name(),
            what,
        }),
    }
}

/// Looks records up, those that are to be written with their rows locked, so that they stay as they
/// are found.
struct Locking<'a> {
    database: &'a mut AnyDatabase,
    manner: Manner,
}

impl LookUp for Locking<'_> {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let database = &mut *self.database;
        if !layout.mode.updates() {
            return database.look_up(layout, records, before).await;
        }
        if !is_looked_up_first(layout, self.manner) {
            return database.look_up_locked(layout, records, before).await;
        }
        let mut looked_up = database.look_up(layout, records, Before::Unread).await?;
        let wanted = looked_up.to_lock(before);
        if !wanted.is_empty() {
            let found = database
                .look_up_locked(layout, &records_at(records, &wanted), before)
                .await?;
            looked_up.correct(&wanted, found);
        }
        Ok(looked_up)
    }
}

/// Whether records are looked up without a lock before the rows of those that differ are locked:
/// where few do, for locking a row costs as much as writing it, and where a key may have any number
/// of rows, which nobody is to lock or to read.
fn is_looked_up_first(layout: &Layout, Manner { expected, hold, .. }: Manner) -> bool {
    hold == Hold::Loose && (expected == Differing::Few || !layout.key_is_unique())
}

/// As [`Transact::update_differing`], of the records that differ by a look-up that comes first.
async fn update_differing(
    database: &mut AnyDatabase,
    layout: &Layout,
    records: &DataFrame,
    manner: Manner,
) -> Result<(LookedUp, u64), SystemError> {
    if !is_looked_up_first(layout, manner) {
        return database
            .update_differing(layout, records, manner.before)
            .await;
    }
    let mut looked_up = database.look_up(layout, records, Before::Unread).await?;
    let wanted = looked_up.to_lock(manner.before);
    if wanted.is_empty() {
        return Ok((looked_up, 0));
    }
    let (found, updated) = database
        .update_differing(layout, &records_at(records, &wanted), manner.before)
        .await?;
    looked_up.correct(&wanted, found);
    Ok((looked_up, updated))
}
