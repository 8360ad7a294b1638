//! What one field of one record may have gone through: a register that operations write and look
//! at, each between when it was asked for and when it was answered. A history is right if its
//! operations have an order that agrees with these times, in which each finds what the one before
//! it left.

use std::collections::HashSet;
use std::time::Duration;

/// What the register holds.
pub(super) type Held = u64;

#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) asked: Duration,
    pub(super) answered: Duration,
    pub(super) effect: Effect,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// `from` was in the place of `to`; `None`, if nobody told.
    Wrote { from: Option<Held>, to: Held },
    /// It was looked at, and left alone.
    Saw(Held),
}

/// Whether the operations, at most 64, have an order that leads from `first` to `last`.
pub(super) fn has_an_order(first: Held, operations: &[Operation], last: Held) -> bool {
    assert!(operations.len() <= 64, "{} operations", operations.len());
    let all = (0..operations.len()).fold(0, |set, place| set | 1 << place);
    Search {
        operations,
        last,
        seen: HashSet::new(),
    }
    .leads_on(first, all)
}

struct Search<'a> {
    operations: &'a [Operation],
    last: Held,
    /// What led nowhere, or is being followed.
    seen: HashSet<(Held, u64)>,
}

impl Search<'_> {
    /// Whether the operations of the set `left` lead from `held` to the last.
    fn leads_on(&mut self, held: Held, left: u64) -> bool {
        if left == 0 {
            return held == self.last;
        }
        if !self.seen.insert((held, left)) {
            return false;
        }
        let operations = self.operations;
        let of_left = || {
            let places = (0..operations.len()).filter(move |place| left >> place & 1 == 1);
            places.map(|place| (place, operations[place]))
        };
        // Whoever was asked for after another was answered comes after it.
        let first_answered = of_left().map(|(_, one)| one.answered).min();
        of_left()
            .filter(|(_, one)| Some(one.asked) <= first_answered)
            .any(|(place, one)| {
                let after = match one.effect {
                    Effect::Saw(seen) => (seen == held).then_some(held),
                    Effect::Wrote { from, to } => {
                        from.is_none_or(|from| from == held).then_some(to)
                    }
                };
                after.is_some_and(|after| self.leads_on(after, left & !(1 << place)))
            })
    }
}

/// An operation between two of a clock's seconds.
fn between(asked: u64, answered: u64, effect: Effect) -> Operation {
    Operation {
        asked: Duration::from_secs(asked),
        answered: Duration::from_secs(answered),
        effect,
    }
}

fn wrote(from: Held, to: Held) -> Effect {
    Effect::Wrote {
        from: Some(from),
        to,
    }
}

#[test]
fn operations_that_overlap_may_stand_in_any_order() {
    let operations = [
        between(0, 9, wrote(2, 3)),
        between(1, 8, wrote(0, 1)),
        between(2, 7, Effect::Saw(1)),
        between(3, 9, Effect::Wrote { from: None, to: 2 }),
        between(9, 10, Effect::Saw(3)),
    ];
    assert!(has_an_order(0, &operations, 3));
}

#[test]
fn what_a_history_must_never_show_is_seen() {
    let impossible: [(&str, &[Operation], Held); 6] = [
        (
            "an update is lost",
            &[between(0, 9, wrote(0, 1)), between(0, 9, wrote(0, 2))],
            2,
        ),
        (
            "a write that was told is not there",
            &[between(0, 1, wrote(0, 1)), between(2, 3, wrote(0, 2))],
            2,
        ),
        (
            "a write is done again after another's",
            &[between(0, 1, wrote(0, 1)), between(2, 3, wrote(1, 2))],
            1,
        ),
        (
            "what is told to have been there was there before",
            &[
                between(0, 1, wrote(0, 1)),
                between(2, 3, wrote(1, 2)),
                between(4, 5, Effect::Saw(1)),
            ],
            2,
        ),
        (
            "an answered write stands after one that was asked for later",
            &[between(2, 3, wrote(0, 2)), between(0, 1, wrote(2, 1))],
            1,
        ),
        (
            "what nobody wrote is there",
            &[between(0, 1, wrote(0, 1))],
            7,
        ),
    ];
    for (what, operations, last) in impossible {
        assert!(!has_an_order(0, operations, last), "{what}");
    }
}
