//! Two clocks side by side: the wall clock, which people, time servers and suspended machines set,
//! and one that only runs. Durations are taken from the second, so that nothing waits longer or
//! shorter because the first was set.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// Difference between the clocks that counts as a jump: more than a time server slews or a busy
/// machine delays.
const JUMP_MIN: TimeDelta = TimeDelta::seconds(2);
/// Longest time between two looks at the clock during which this process still counts as having
/// watched.
const ABSENCE_MIN: Duration = Duration::from_secs(300);

/// Reads the wall clock and notices when it was set.
#[derive(Debug)]
pub(super) struct Clock {
    wall: DateTime<Utc>,
    steady: Instant,
}

/// The time, and what happened to it since it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) now: DateTime<Utc>,
    pub(super) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Time went on as it should.
    None,
    /// The wall clock jumped by this much; forwards also after the machine slept.
    Jump(TimeDelta),
    /// This process was stopped for so long.
    Absence(Duration),
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            wall: Utc::now(),
            steady: Instant::now(),
        }
    }

    pub(super) fn read(&mut self) -> Reading {
        self.read_as(Utc::now(), Instant::now())
    }

    fn read_as(&mut self, wall: DateTime<Utc>, steady: Instant) -> Reading {
        let elapsed = steady.saturating_duration_since(self.steady);
        let jump = wall - self.wall - TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX);
        (self.wall, self.steady) = (wall, steady);
        let change = if jump.abs() >= JUMP_MIN {
            Change::Jump(jump)
        } else if elapsed >= ABSENCE_MIN {
            Change::Absence(elapsed)
        } else {
            Change::None
        };
        Reading { now: wall, change }
    }
}

/// How long ago things happened that an instant of the wall clock was kept of. From the first time
/// a thing is asked about its age grows with the steady clock only.
#[derive(Debug, Default)]
pub(super) struct Ages<Thing> {
    first_asked: HashMap<Thing, FirstAsked>,
}

/// When a thing was first asked about, how old it was then, and whether it was asked about of late.
#[derive(Debug)]
struct FirstAsked {
    at: Instant,
    age: Duration,
    again: bool,
}

impl<Thing: std::hash::Hash + Eq> Ages<Thing> {
    pub(super) fn new() -> Self {
        Self {
            first_asked: HashMap::new(),
        }
    }

    /// The age of a thing of which `happened_at` was kept; of one from the future none.
    pub(super) fn age(
        &mut self,
        thing: Thing,
        happened_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Duration {
        let first = self.first_asked.entry(thing).or_insert_with(|| FirstAsked {
            at: Instant::now(),
            age: (now - happened_at).to_std().unwrap_or_default(),
            again: true,
        });
        first.again = true;
        first.age.saturating_add(first.at.elapsed())
    }

    /// Forgets things that were not asked about since this was last called.
    pub(super) fn forget_unasked(&mut self) {
        self.first_asked
            .retain(|_, first| std::mem::take(&mut first.again));
    }
}

/// When something happened on the wall clock as it is set now: as it was kept, unless the clock was
/// set back since.
pub(super) fn on_this_clock(
    kept: DateTime<Utc>,
    age: Duration,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    if kept <= now {
        kept
    } else {
        now - TimeDelta::from_std(age).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("an instant")
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_only_runs_is_not() {
        let begun = Instant::now();
        let mut clock = Clock {
            wall: at(0),
            steady: begun,
        };
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(clock.read_as(at(1), after(1)).change, Change::None);
        assert_eq!(
            clock.read_as(at(3_601), after(1)).change,
            Change::Jump(TimeDelta::seconds(3_600))
        );
        assert_eq!(clock.read_as(at(3_602), after(2)).change, Change::None);
        let back = clock.read_as(at(2), after(2)).change;
        assert_eq!(back, Change::Jump(TimeDelta::seconds(-3_600)));
        let absent = clock.read_as(at(1_002), after(1_002)).change;
        assert_eq!(absent, Change::Absence(Duration::from_secs(1_000)));
    }

    #[test]
    fn ages_do_not_follow_the_wall_clock() {
        let mut ages = Ages::new();
        assert!(ages.age("a", at(0), at(90)) >= Duration::from_secs(90));
        // A year later by the wall clock, and not a minute older.
        assert!(ages.age("a", at(0), at(31_536_000)) < Duration::from_secs(150));
        assert!(ages.age("from the future", at(60), at(0)) < Duration::from_secs(60));
        ages.forget_unasked();
        assert!(ages.age("from the future", at(60), at(0)) < Duration::from_secs(60));
        ages.forget_unasked();
        assert!(ages.age("a", at(0), at(31_536_000)) >= Duration::from_secs(31_536_000));
    }

    #[test]
    fn what_was_kept_before_the_clock_was_set_back_lies_in_the_past() {
        assert_eq!(on_this_clock(at(0), Duration::from_secs(5), at(10)), at(0));
        assert_eq!(
            on_this_clock(at(100), Duration::from_secs(5), at(10)),
            at(5)
        );
    }
}
