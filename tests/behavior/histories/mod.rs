//! Random histories of a table that a job and other people write to at the same time: runs that are
//! killed, cut off around COMMIT, left behind and taken back, on a key with and without a unique
//! index and on a view, under triggers that alter, refuse or ignore what is written. The
//! destination itself keeps an account of every change and of who made it, and what the program did
//! is held against that account:
//!
//! - No run writes a record twice, nor creates one twice, whatever became of its commits; nor does
//!   an undo.
//! - A run writes what the source has, to the row that has the key, and to no other column.
//! - An undo changes only rows that still are as the run left them, and restores what the account
//!   says they held before; it deletes nothing that the run did not create.
//! - A record that nobody else had to do with is delivered by a run that comes to its end, and
//!   taken back by its undo; one that a trigger refuses or leaves out keeps none of the others from
//!   it.
//! - Counts are those of the account, and so is the journal in the destination, line by line.
//!
//! `tests/soak` makes many, the tests here a few.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a case that a test adds is no outcome of the program"
)]

mod case;
mod course;
mod dice;
mod ground;
mod model;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use case::Thrower;
pub(crate) use dice::Dice;
use ground::Ground;

use crate::harness::Server;

/// What histories made, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Toll {
    pub(crate) calls: u64,
    pub(crate) changes: u64,
    /// By others, of these.
    pub(crate) foreign: u64,
    /// Each with its seed and its history.
    pub(crate) violations: Vec<(u64, String)>,
}

/// Lets this many histories happen, with seeds that ascend from `seed`.
pub(crate) fn happen(
    server: Server,
    seed: u64,
    rounds: u64,
    told: &mut dyn FnMut(u64, &str),
) -> Toll {
    let mut toll = Toll::default();
    let mut ground = Ground::on(server);
    for seed in seed..seed + rounds {
        let mut dice = Dice::new(seed);
        let case = Thrower::new(&mut dice, server).case();
        // A panic of the harness is a violation as well: sums that do not balance, a program that
        // hangs.
        let course = catch_unwind(AssertUnwindSafe(|| course::go(&mut ground, &case)));
        let violation = match course {
            Ok(course) => {
                toll.calls += course.calls.len() as u64;
                toll.changes += course.changes.len() as u64;
                toll.foreign += course
                    .changes
                    .iter()
                    .filter(|change| !change.by_program)
                    .count() as u64;
                let complaints = model::complaints(&case, &course);
                let changes: Vec<String> = course
                    .changes
                    .iter()
                    .map(|change| format!("{change:?}"))
                    .collect();
                (!complaints.is_empty()).then(|| {
                    format!(
                        "{}\n{case}\n{}\n{}",
                        complaints.join("\n"),
                        course.told.join("\n"),
                        changes.join("\n")
                    )
                })
            }
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                ground = Ground::on(server);
                Some(format!(
                    "{}\n{case}",
                    words.unwrap_or_else(|| "it panicked".to_owned())
                ))
            }
        };
        if let Some(violation) = violation {
            told(seed, &violation);
            toll.violations.push((seed, violation));
        }
    }
    toll
}
