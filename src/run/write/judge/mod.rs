//! What is to be done with the records of a batch, given what is found of them. Nothing here
//! writes. There are three judges: of records that are mapped ([`mapped`]), of values that someone
//! else changed ([`crate::run::conflicts`]), and of rows that are to hold what is expected
//! ([`crate::run::swap`]).

pub(crate) mod mapped;

use polars::prelude::{DataFrame, IdxSize};

use crate::destination::seam::{Found, LookUp, LookedUp};
use crate::domain::before::Before;
use crate::domain::layout::Layout;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::SkipReason;
use crate::run::conflicts::Conflicts;

/// What was found of the records of a batch, and what is to be done with each.
pub(crate) struct Decided {
    pub(crate) looked_up: LookedUp,
    /// One for each record.
    pub(crate) decisions: Vec<Decision>,
    /// Values that are left alone for someone else changed them.
    pub(crate) conflicts: Conflicts,
}

impl Decided {
    /// What is decided where nothing is to be done.
    pub(crate) fn nothing(records: usize) -> Self {
        Self {
            looked_up: LookedUp {
                found: vec![Found::default(); records],
                ..LookedUp::default()
            },
            decisions: vec![Decision::Leave; records],
            conflicts: Conflicts::default(),
        }
    }

    /// What is decided of records of which rows are made.
    pub(crate) fn made(records: usize) -> Self {
        Self {
            decisions: vec![Decision::Insert; records],
            ..Self::nothing(records)
        }
    }

    /// The same once more, to be shown once it is carried out.
    pub(crate) fn copied(&self) -> Self {
        let LookedUp {
            found,
            before,
            stored,
            candidates,
            lists,
        } = &self.looked_up;
        Self {
            looked_up: LookedUp {
                found: found.clone(),
                before: before.clone(),
                stored: stored.clone(),
                candidates: candidates.clone(),
                lists: lists.clone(),
            },
            decisions: self.decisions.clone(),
            conflicts: self.conflicts.clone(),
        }
    }

    /// As of a batch of `records`, of which only those at `positions`, which ascend, were decided
    /// about.
    pub(crate) fn spread(self, records: usize, positions: &[IdxSize]) -> Self {
        let mut decisions = vec![Decision::Leave; records];
        for (position, decision) in positions.iter().zip(self.decisions) {
            let record = usize::try_from(*position).ok();
            if let Some(place) = record.and_then(|record| decisions.get_mut(record)) {
                *place = decision;
            }
        }
        Self {
            looked_up: self.looked_up.spread(records, positions),
            decisions,
            conflicts: self.conflicts.spread(positions),
        }
    }
}

/// What is decided about a record whose row does not hold what its request expects.
pub(crate) async fn refused<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    record: &DataFrame,
) -> Result<Decided, By::Error> {
    Ok(Decided {
        looked_up: by.look_up(layout, record, Before::OfAll).await?,
        decisions: vec![Decision::Skip(SkipReason::ChangedSince)],
        conflicts: Conflicts::default(),
    })
}

/// Positions of the records with one decision, in order.
pub(crate) fn chosen(decisions: &[Decision], decision: &Decision) -> Vec<IdxSize> {
    decisions
        .iter()
        .zip(0..)
        .filter(|(made, _)| *made == decision)
        .map(|(_, position)| position)
        .collect()
}
