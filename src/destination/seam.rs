//! What a destination is to whoever looks records up with it and writes to it.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, IdxCa, IdxSize, IntoColumn, Series};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::before::{Before, BeforeImages, BeforeImagesBuilder};
use crate::domain::change::Change;
use crate::domain::connection::Connection;
use crate::domain::doubt::Fate;
use crate::domain::error::SystemError;
use crate::domain::fitting::{fitting_keys, fitting_layout};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Declaration, Object, ObjectName};
use crate::domain::outcome::RejectReason;
use crate::domain::referral::{ReferenceColumn, Referents, Referral};

/// What a destination holds for one record's match key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Found {
    /// Rows with this key.
    pub(crate) rows: u64,
    /// Whether writing the record would change the one row: any field that is not a stamp, with the
    /// field's `when` and the write-back's NULL policy applied, is distinct from what the row
    /// holds, byte by byte. Never of a row that is unfit.
    pub(crate) differs: bool,
    /// Whether the one row is none of those that the layout's `only_where` is about.
    pub(crate) is_unfit: bool,
}

/// The id of a row, as a web API knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId(pub(crate) String);

/// A row of a web API as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: RowId,
    /// What a guarded write holds against the row (an ETag, the time of its last change), where
    /// the API has such a thing.
    pub(crate) version: Option<String>,
}

/// What a destination holds for the records of a batch.
#[derive(Debug, Default)]
pub(crate) struct LookedUp {
    /// One per record, in the batch's order.
    pub(crate) found: Vec<Found>,
    /// If asked for, of every record that has one row.
    pub(crate) before: BeforeImages,
    /// By record, which row it is, of those that have one. Databases tell of none.
    pub(crate) stored: BTreeMap<usize, Stored>,
    /// By record, ids of a few of its rows, of those that have several. Databases tell of none.
    pub(crate) candidates: BTreeMap<usize, Vec<RowId>>,
    /// By record that has one row and then by the field's position, what takes the place of the
    /// members that it holds. Databases have no such fields.
    pub(crate) lists: BTreeMap<usize, Lists>,
}

/// By the field's position: the members that a row is to hold.
pub(crate) type Lists = BTreeMap<usize, Option<String>>;

impl LookedUp {
    /// Positions of the records that have one row and differ from it.
    pub(crate) fn differing(&self) -> Vec<IdxSize> {
        positions(&self.found, |found| found.rows == 1 && found.differs)
    }

    /// Positions of the records that a second look-up is for, which locks their rows: those that
    /// have one row and differ from it, and if all `before`-images are wanted, all that have one
    /// row.
    pub(crate) fn to_lock(&self, before: Before) -> Vec<IdxSize> {
        positions(&self.found, |found| {
            found.rows == 1 && (found.differs || before == Before::OfAll)
        })
    }

    /// Takes in what a later look-up found of the records at `positions`; before-images are those
    /// of the later one. A record whose row is out of sight by then keeps the one it had: that it
    /// cannot be updated shows as it is tried.
    pub(crate) fn correct(&mut self, positions: &[IdxSize], later: Self) {
        for (position, later) in positions
            .iter()
            .zip(later.found)
            .filter(|(_, later)| later.rows > 0)
        {
            if let Some(found) = usize::try_from(*position)
                .ok()
                .and_then(|position| self.found.get_mut(position))
            {
                *found = later;
            }
        }
        self.before = later.before.spread(self.found.len(), positions);
        self.know_rows(positions, later.stored, later.candidates);
        self.lists.extend(at(positions, later.lists));
    }

    /// Takes in which rows a later look-up found for the records at `positions`.
    pub(crate) fn know_rows(
        &mut self,
        positions: &[IdxSize],
        stored: BTreeMap<usize, Stored>,
        candidates: BTreeMap<usize, Vec<RowId>>,
    ) {
        self.stored.extend(at(positions, stored));
        self.candidates.extend(at(positions, candidates));
    }

    /// Why a record is rejected, with ids of rows that its key matches where they are known.
    pub(crate) fn told(&self, record: u32, reason: &RejectReason) -> String {
        let candidates = usize::try_from(record)
            .ok()
            .and_then(|record| self.candidates.get(&record));
        match (reason, candidates) {
            (RejectReason::AmbiguousMatch { .. }, Some(candidates)) => {
                let ids: Vec<&str> = candidates.iter().map(|id| id.0.as_str()).collect();
                format!("{reason}: {}", ids.join(", "))
            }
            (RejectReason::AmbiguousMatch { .. } | RejectReason::DuplicateKey { .. }, _) => {
                reason.to_string()
            }
        }
    }

    /// As of a batch of `records`, of which only those at `positions`, which ascend, were looked
    /// up.
    pub(crate) fn spread(self, records: usize, positions: &[IdxSize]) -> Self {
        let mut all = Self {
            found: vec![Found::default(); records],
            ..Self::default()
        };
        all.correct(positions, self);
        all
    }
}

/// What is known of records at positions of a batch, by their positions in it.
fn at<T>(positions: &[IdxSize], known: BTreeMap<usize, T>) -> impl Iterator<Item = (usize, T)> {
    let place = |record: usize| usize::try_from(*positions.get(record)?).ok();
    known
        .into_iter()
        .filter_map(move |(record, known)| Some((place(record)?, known)))
}

/// Positions of the records of which this was found.
fn positions(found: &[Found], wanted: impl Fn(&Found) -> bool) -> Vec<IdxSize> {
    found
        .iter()
        .zip(0..)
        .filter(|(found, _)| wanted(found))
        .map(|(_, position)| position)
        .collect()
}

/// The records at `positions`, which ascend; all of them without a copy.
pub(crate) fn records_at(records: &DataFrame, positions: &[IdxSize]) -> DataFrame {
    if positions.len() == records.height() {
        return records.clone();
    }
    let positions = IdxCa::from_vec("".into(), positions.to_vec());
    records
        .take(&positions)
        .expect("positions are those of records, so every one is in range")
}

/// Locks and looks up, then updates what differs.
pub(crate) async fn update_locked(
    destination: &mut impl Transact,
    layout: &Layout,
    batch: &DataFrame,
    before: Before,
) -> Result<(LookedUp, u64), SystemError> {
    let looked_up = destination.look_up_locked(layout, batch, before).await?;
    let differing = looked_up.differing();
    let updated = match differing.is_empty() {
        true => 0,
        false => {
            destination
                .update(layout, &records_at(batch, &differing))
                .await?
        }
    };
    Ok((looked_up, updated))
}

/// A look-up's answer as it comes in.
pub(crate) struct LookedUpBuilder {
    pub(crate) found: Vec<Found>,
    pub(crate) before: BeforeImagesBuilder,
}

impl LookedUpBuilder {
    pub(crate) fn new(layout: &Layout, batch: &DataFrame) -> Self {
        let records = batch.height();
        Self {
            found: vec![Found::default(); records],
            before: BeforeImagesBuilder::new(records, layout.fields.len()),
        }
    }

    /// Takes in that a record has one row more. Returns whether it is the first; with another one
    /// nobody can say which row is meant.
    pub(crate) fn is_only_row(&mut self, record: usize, differs: bool) -> bool {
        let Some(found) = self.found.get_mut(record) else {
            return false;
        };
        found.rows += 1;
        found.differs |= differs;
        if found.rows > 1 {
            self.before.forget(record);
        }
        found.rows == 1
    }

    /// Forgets what was found of the records at `positions`.
    pub(crate) fn start_anew(&mut self, positions: &[IdxSize]) {
        for record in positions.iter().filter_map(|at| usize::try_from(*at).ok()) {
            if let Some(found) = self.found.get_mut(record) {
                *found = Found::default();
            }
            self.before.forget(record);
        }
    }

    pub(crate) fn finish(self) -> LookedUp {
        LookedUp {
            found: self.found,
            before: self.before.finish(),
            ..LookedUp::default()
        }
    }
}

/// Names what a transaction writes, so that a second one about the same waits for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim(pub(crate) u64);

impl Claim {
    /// `what` is told apart by a digest. Two that share one wait for one another, and nothing else
    /// comes of it.
    pub(crate) fn of(what: &str) -> Self {
        Self(xxh3_64(what.as_bytes()))
    }
}

/// Whoever records can be looked up with.
pub(crate) trait LookUp {
    type Error;

    /// Looks up each record's match key. Works within a transaction and without one, and writes
    /// nothing.
    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, Self::Error>;

    /// Tells which records surely have one row that holds their very values, as of a moment within
    /// the call, by reading rows in the order of their keys: at most `rows_max` of them. It may say
    /// so of fewer records than there are, never of others. `None` if it cannot tell of any. Of
    /// layouts of which [`crate::domain::prefilter::is_possible`]; shape of `records`: a batch's,
    /// of any size. Works without a transaction.
    async fn surely_unchanged(
        &mut self,
        _layout: &Layout,
        _records: &DataFrame,
        _rows_max: usize,
    ) -> Result<Option<Vec<bool>>, Self::Error> {
        Ok(None)
    }
}

/// One dedicated connection to a system that records are written to. No future of it may be dropped
/// half-way: waiting is bounded by the server (statement and lock timeouts) and by the timeouts of
/// requests, and a connection whose future was dropped is closed, never used again.
pub(crate) trait Destination: LookUp<Error = SystemError> + Sized {
    /// Connects, with timeouts set and strictness forced.
    async fn connect(connection: &Connection) -> Result<Self, SystemError>;

    /// Finds the object and reads what the system says of it.
    /// Errors: `NotFound` with a hint that names near misses.
    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError>;

    /// Names of the objects that there are, as far as the system shows them to this user.
    async fn object_names(&mut self) -> Result<Vec<String>, SystemError>;

    /// Who the system says it is, as far as it tells: a text that another one does not have, nor
    /// this one after it was put back from elsewhere. Empty if it tells nothing.
    async fn identity(&mut self) -> Result<String, SystemError>;

    /// Names of the object's triggers that are at work, as far as the system shows them to this
    /// user.
    async fn triggers(&mut self, _object: &Object) -> Result<Vec<String>, SystemError> {
        Ok(Vec::new())
    }

    /// Names of the objects of which the system deletes or empties rows along with a row of the
    /// object (`ON DELETE …`), as far as it shows them to this user.
    async fn dependents(&mut self, _object: &Object) -> Result<Vec<String>, SystemError> {
        Ok(Vec::new())
    }

    /// Asks the system whether the object takes changes of the layout's fields, without one.
    /// Errors: why it does not, as far as it tells.
    async fn expect_taken(&mut self, _layout: &Layout) -> Result<(), SystemError> {
        Ok(())
    }

    /// The object's columns that name rows of other objects, as far as the system tells where they
    /// lead.
    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError>;

    /// Finds the rows that a reference may mean. Shape: values in the representation of the
    /// referral's value, none of them NULL; one answer each.
    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError>;

    /// Closes the connection politely.
    async fn close(self);
}

/// What references take of a database.
pub(crate) trait Refer {
    /// Finds the rows that have a record's whole key, and tells a few of their ids. Shape: records
    /// with the layout's fields, all of them key; one answer each.
    async fn find_ids(
        &mut self,
        layout: &Layout,
        id: &LayoutField,
        keys: &DataFrame,
    ) -> Result<Vec<Referents>, SystemError>;
}

/// Finds the rows that a reference may mean, in whatever ways they can fit.
pub(crate) async fn refer(
    database: &mut impl Refer,
    referral: &Referral,
    values: &Series,
) -> Result<Vec<Referents>, SystemError> {
    let layout = referral.layout();
    let name = referral.value.column.name.as_str();
    let column = values.clone().with_name(name.into()).into_column();
    let keys = DataFrame::new(values.len(), vec![column]).expect("one column is a frame");
    let mut found = vec![Referents::default(); values.len()];
    for keys in fitting_keys(&keys, &referral.only_where) {
        let rows = database.find_ids(&layout, &referral.id, &keys).await?;
        for (found, rows) in found.iter_mut().zip(rows) {
            found.add(rows);
        }
    }
    Ok(found)
}

/// Marks the records whose one row is none of those that the layout's `only_where` is about.
pub(crate) async fn mark_unfit<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    batch: &DataFrame,
    looked_up: &mut LookedUp,
) -> Result<(), By::Error> {
    let one = positions(&looked_up.found, |found| found.rows == 1);
    if layout.only_where.is_empty() || one.is_empty() {
        return Ok(());
    }
    let keys = layout
        .key
        .iter()
        .filter_map(|position| batch.columns().get(*position).cloned());
    let keys = DataFrame::new(batch.height(), keys.collect());
    let keys = records_at(&keys.expect("columns of one frame"), &one);
    let fitting = fitting_layout(layout, &layout.only_where);
    let mut fit = vec![false; one.len()];
    for keys in fitting_keys(&keys, &layout.only_where) {
        let found = by.look_up(&fitting, &keys, Before::Unread).await?.found;
        for (fit, found) in fit.iter_mut().zip(found) {
            *fit |= found.rows > 0;
        }
    }
    for (position, _) in one.iter().zip(fit).filter(|(_, fit)| !fit) {
        let position = usize::try_from(*position).ok();
        if let Some(found) = position.and_then(|position| looked_up.found.get_mut(position)) {
            found.is_unfit = true;
            found.differs = false;
        }
    }
    Ok(())
}

/// A database, which writes in transactions: a batch is written as a whole or not at all, and what
/// was looked up with a lock stays so. Writing the same values twice leaves them as writing once
/// does.
pub(crate) trait Transact: Destination {
    /// Opens a transaction in which rows may be written.
    async fn begin(&mut self) -> Result<(), SystemError>;

    /// Has constraints that can wait for the end of the open transaction wait for it.
    async fn defer_constraints(&mut self) -> Result<(), SystemError> {
        Ok(())
    }

    /// Waits, within the open transaction, until no other with the same claim is under way, and
    /// keeps later ones waiting until it has ended. A process that was killed and a connection that
    /// broke may have left a commit behind that the server still works on: what it does is seen by
    /// looking up after this, and by nothing before.
    async fn claim(&mut self, claim: Claim) -> Result<(), SystemError>;

    /// As [`LookUp::look_up`], within the open transaction and with the rows locked until it
    /// ends: what is found stays so. Whatever is decided by what is found is decided by this.
    async fn look_up_locked(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError>;

    /// Looks up each record's match key and updates every record that has one row and differs from
    /// it; returns what was found before, and how many rows were updated. Before-images are those
    /// of the very rows that were updated: rows are locked before they are judged, or one statement
    /// does all of it. Errors: as [`Transact::update`].
    async fn update_differing(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<(LookedUp, u64), SystemError> {
        update_locked(self, layout, batch, before).await
    }

    /// How the object's columns are declared now. After records were looked up in a transaction
    /// they stay so until it ends, in every database: whoever alters an object waits for those who
    /// read it.
    async fn declarations(&mut self, object: &Object) -> Result<Vec<Declaration>, SystemError>;

    /// What of the object may keep such a change from a row without an error, in words: ``trigger
    /// `guard` ``.
    async fn hindrances(
        &mut self,
        object: &Object,
        _change: Change,
    ) -> Result<Vec<String>, SystemError> {
        let triggers = self.triggers(object).await?;
        Ok(triggers
            .iter()
            .map(|name| format!("trigger `{name}`"))
            .collect())
    }

    /// Whether a row that is inserted may have another key than was sent, or stay out of sight, as
    /// far as the system shows this user what is at work on the object.
    async fn may_alter_inserted(&mut self, object: &Object) -> Result<bool, SystemError> {
        let hindrances = self.hindrances(object, Change::Insert).await?;
        Ok(!hindrances.is_empty() || !self.triggers(object).await?.is_empty())
    }

    /// Updates the one row of each record; every record has exactly one. Returns how many rows were
    /// matched: fewer than records means that somebody changed the object in the meantime, or that
    /// the database left rows as they were. Errors: `Refused`, if a record's values are what the
    /// destination will not take; the transaction is then to be rolled back.
    async fn update(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError>;

    /// Inserts a row for each record.
    /// Errors: as [`Transact::update`].
    async fn insert(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError>;

    /// Locks the rows that the records match, until the open transaction ends: what is looked up
    /// after this stays so.
    async fn lock(&mut self, layout: &Layout, batch: &DataFrame) -> Result<(), SystemError>;

    /// Deletes the one row of each record; every record has exactly one. Returns how many rows were
    /// deleted. Errors: as [`Transact::update`].
    async fn delete(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError>;

    /// A text by which [`Transact::fate_of`] knows the open transaction later; `None` where
    /// nothing tells.
    async fn transaction_mark(&mut self) -> Result<Option<String>, SystemError> {
        Ok(None)
    }

    /// What became of the transaction of this mark, which is over: whoever made it has been waited
    /// for. Works within a transaction and without one.
    async fn fate_of(&mut self, _mark: &str) -> Result<Fate, SystemError> {
        Ok(Fate::Unknown)
    }

    /// Marks a point of the open transaction that can be gone back to; the one before is forgotten.
    async fn set_savepoint(&mut self) -> Result<(), SystemError>;

    /// Undoes what was done in the open transaction since [`Transact::set_savepoint`], be it a
    /// statement that failed.
    async fn return_to_savepoint(&mut self) -> Result<(), SystemError>;

    async fn commit(&mut self) -> Result<(), SystemError>;

    /// Opens a transaction that is to be rolled back, in which a commit can be tried out.
    async fn begin_trial(&mut self) -> Result<(), SystemError> {
        self.begin().await
    }

    /// Has what would wait for the commit judged now, in a transaction that was opened for that.
    /// Errors: as [`Transact::commit`].
    async fn try_commit(&mut self) -> Result<(), SystemError> {
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), SystemError>;
}

/// The statements of [`Transact::set_savepoint`] and [`Transact::return_to_savepoint`], alike in
/// every database: a second point of the same name hides the first.
pub(crate) const SAVEPOINT: &str = "SAVEPOINT writeback";
pub(crate) const TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT writeback";
