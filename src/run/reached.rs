//! Whether a write reached its rows. A statement tells how many rows it changed. Where these are
//! not as many as there are records, somebody changed rows since they were looked up, which passes;
//! or the database left rows as they were, for a trigger skips them, a rule does something else, or
//! a policy shows them but does not let them be changed. Which of the two it is shows when the same
//! is done with the rows locked first: what is left as it was then, the database left.
//!
//! What is written through triggers and rules is not counted truly, and what they put elsewhere may
//! be there all the same: so the records are looked up again before anything is said of them.

use std::borrow::Cow;

use polars::prelude::DataFrame;

use crate::destination::AnyDatabase;
use crate::destination::seam::{Found, LookUp, LookedUp, Transact};
use crate::domain::before::{Before, BeforeImages};
use crate::domain::change::Change;
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::object::ObjectKind;

/// How rows are held while they are looked up and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// As the statements hold them: somebody may change them in between.
    Loose,
    /// They are locked before they are looked up.
    Locked,
}

/// A change of the one row of each record.
pub(super) struct Write<'a> {
    pub(super) change: Change,
    pub(super) layout: Cow<'a, Layout>,
    pub(super) records: DataFrame,
    pub(super) hold: Hold,
}

/// What became of a record's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Written,
    /// The row is as it was.
    Left,
    /// There is no such row any more, or several.
    Gone,
}

impl Write<'_> {
    /// Makes the change.
    /// Errors: as [`Transact::update`]; as [`Write::expect_reached`].
    pub(super) async fn carry_out(
        &self,
        destination: &mut AnyDatabase,
        connection: &Connection,
    ) -> Result<(), SystemError> {
        let held = match (self.change, self.is_counted_truly()) {
            (Change::Update, false) => Some(self.look_up(destination, Before::OfAll).await?.before),
            (Change::Update | Change::Insert | Change::Delete, _) => None,
        };
        let Self {
            layout, records, ..
        } = self;
        let counted = match self.change {
            Change::Update => destination.update(layout, records).await?,
            Change::Insert => destination.insert(layout, records).await?,
            Change::Delete => destination.delete(layout, records).await?,
        };
        self.expect_reached(destination, &connection.name, counted, held.as_ref())
            .await
    }

    /// Holds the rows that were `counted` against the records. `held` is what the rows held before,
    /// where counts are not to be trusted. Errors: `Missed`, if somebody else may have changed
    /// rows; `Refused`, if the database left them.
    pub(super) async fn expect_reached(
        &self,
        destination: &mut AnyDatabase,
        connection: &str,
        counted: u64,
        held: Option<&BeforeImages>,
    ) -> Result<(), SystemError> {
        let as_many = usize::try_from(counted) == Ok(self.records.height());
        if as_many && self.is_counted_truly() && !self.may_be_altered(destination).await? {
            return Ok(());
        }
        let missed = |what: String| SystemError::Missed {
            connection: connection.to_owned(),
            what,
        };
        let may_pass = self.hold == Hold::Loose && self.change != Change::Insert;
        if !as_many && may_pass {
            return Err(missed(format!(
                "{counted} of {} records found their row",
                self.records.height()
            )));
        }
        let now = self
            .look_up(
                destination,
                if held.is_some() {
                    Before::OfAll
                } else {
                    Before::Unread
                },
            )
            .await?;
        let unaltered = |record: usize| {
            as_many.then(|| held.is_some_and(|held| is_same(held, &now.before, record)))
        };
        let reached = now.found.iter().enumerate();
        let reached: Vec<Reached> = reached
            .map(|(record, found)| judge(self.change, *found, unaltered(record)))
            .collect();
        match (
            reached.contains(&Reached::Gone),
            reached.contains(&Reached::Left),
        ) {
            (true, _) => Err(missed(
                "rows are gone that were there a moment ago".to_owned(),
            )),
            (false, true) if may_pass => Err(missed("rows hold what they held before".to_owned())),
            (false, true) => Err(self.left_undone(destination).await),
            (false, false) => Ok(()),
        }
    }

    /// Whether the database counts the rows themselves, and not what triggers and rules are asked
    /// to do.
    fn is_counted_truly(&self) -> bool {
        self.layout.object.kind == ObjectKind::Table
    }

    /// Whether rows that were made may have other keys than records: nobody would find them again,
    /// and each run would make them anew.
    async fn may_be_altered(&self, destination: &mut AnyDatabase) -> Result<bool, SystemError> {
        match self.change {
            Change::Insert if self.layout.key_fields().next().is_some() => {
                destination.may_alter_inserted(&self.layout.object).await
            }
            Change::Insert | Change::Update | Change::Delete => Ok(false),
        }
    }

    /// Looks the records up: all that is written, for an update; only whether there is a row, for
    /// anything else.
    async fn look_up(
        &self,
        destination: &mut AnyDatabase,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let Self {
            change,
            layout,
            records,
            ..
        } = self;
        if *change == Change::Update {
            return destination.look_up(layout, records, before).await;
        }
        let key = layout.positions(|field| field.key);
        let values = key
            .iter()
            .filter_map(|position| records.columns().get(*position).cloned())
            .collect();
        let values = DataFrame::new(records.height(), values)
            .expect("columns of one frame stand beside one another");
        destination
            .look_up(&layout.narrowed(&key), &values, Before::Unread)
            .await
    }

    /// Of a single record it is told what may have kept it; of several nobody knows yet which one
    /// it is.
    async fn left_undone(&self, destination: &mut AnyDatabase) -> SystemError {
        let hindrances = match self.records.height() {
            1 => destination
                .hindrances(&self.layout.object, self.change)
                .await
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        SystemError::Refused {
            message: self.change.left_undone(&hindrances),
            column: None,
            clashes: false,
        }
    }
}

/// What became of a record of which this was `found` after the change. `unaltered` tells, where as
/// many rows were counted as records were sent, whether its row holds what it held before.
fn judge(change: Change, found: Found, unaltered: Option<bool>) -> Reached {
    match (change, found.rows, unaltered) {
        (Change::Insert, 0, _) | (Change::Delete, 1.., _) => Reached::Left,
        (Change::Insert, 1.., _) | (Change::Delete, 0, _) => Reached::Written,
        (Change::Update, 1, unaltered) if found.differs && unaltered != Some(false) => {
            Reached::Left
        }
        // A view does not show a row any more that was written out of it.
        (Change::Update, 1, _) | (Change::Update, _, Some(_)) => Reached::Written,
        (Change::Update, _, None) => Reached::Gone,
    }
}

fn is_same(held: &BeforeImages, now: &BeforeImages, record: usize) -> bool {
    held.of(record)
        .is_some_and(|held| now.of(record) == Some(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_as_written_when_it_can_be_found_so() {
        let found = |rows, differs| Found {
            rows,
            differs,
            ..Found::default()
        };
        for (change, rows, differs, unaltered, reached) in [
            (Change::Update, 1, false, None, Reached::Written),
            (Change::Update, 1, true, None, Reached::Left),
            (Change::Update, 0, false, None, Reached::Gone),
            (Change::Update, 2, true, None, Reached::Gone),
            (Change::Update, 1, true, Some(true), Reached::Left),
            (Change::Update, 1, true, Some(false), Reached::Written),
            (Change::Update, 0, false, Some(false), Reached::Written),
            (Change::Insert, 0, false, None, Reached::Left),
            (Change::Insert, 1, false, None, Reached::Written),
            (Change::Insert, 1, true, Some(false), Reached::Written),
            (Change::Delete, 0, false, None, Reached::Written),
            (Change::Delete, 1, false, None, Reached::Left),
        ] {
            assert_eq!(
                judge(change, found(rows, differs), unaltered),
                reached,
                "{change:?} {rows} {differs}"
            );
        }
    }
}
