//! How long a cycle's data took from the dashboard to the destination, and where it waited.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// When what happened to a cycle's data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) completed_at: DateTime<Utc>,
    /// Absent where nobody noticed it: it was named when it was run.
    pub(crate) noticed_at: Option<DateTime<Utc>>,
    /// From when on it might be written back, by what the job says of settling and gates.
    pub(crate) allowed_at: Option<DateTime<Utc>>,
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) done_at: DateTime<Utc>,
}

/// Four spans that follow one another and add up to the whole. Clocks that disagree make a span
/// empty, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Freshness {
    /// Until somebody noticed that the dashboard was done.
    pub(crate) noticing: Duration,
    /// For the cycle to settle and for a gate.
    pub(crate) waiting: Duration,
    /// Although it might have begun.
    pub(crate) starting: Duration,
    /// For the run.
    pub(crate) running: Duration,
}

impl Freshness {
    pub(crate) fn of(way: Way) -> Self {
        let begun = way.begun_at.max(way.completed_at);
        let within = |at: Option<DateTime<Utc>>, from: DateTime<Utc>| {
            at.map_or(from, |at| at.clamp(from, begun.max(from)))
        };
        let noticed = within(way.noticed_at, way.completed_at);
        let allowed = within(way.allowed_at, noticed);
        let span =
            |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).to_std().unwrap_or_default();
        Self {
            noticing: span(way.completed_at, noticed),
            waiting: span(noticed, allowed),
            starting: span(allowed, begun),
            running: span(begun, way.done_at),
        }
    }

    pub(crate) fn spans(self) -> [Duration; 4] {
        [self.noticing, self.waiting, self.starting, self.running]
    }

    pub(crate) fn whole(self) -> Duration {
        self.spans().iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn minutes(way: Way) -> [u64; 4] {
        Freshness::of(way).spans().map(|span| span.as_secs() / 60)
    }

    #[test]
    fn the_spans_follow_one_another_and_add_up() {
        let way = Way {
            completed_at: at(0),
            noticed_at: Some(at(2)),
            allowed_at: Some(at(32)),
            begun_at: at(33),
            done_at: at(40),
        };
        assert_eq!(minutes(way), [2, 30, 1, 7]);
        assert_eq!(Freshness::of(way).whole(), Duration::from_secs(40 * 60));
    }

    #[test]
    fn what_began_before_it_might_did_not_wait_for_itself() {
        let way = Way {
            completed_at: at(0),
            noticed_at: Some(at(2)),
            allowed_at: Some(at(500)),
            begun_at: at(10),
            done_at: at(12),
        };
        assert_eq!(minutes(way), [2, 8, 0, 2], "somebody ran it by hand");
        let unnoticed = Way {
            noticed_at: None,
            allowed_at: None,
            ..way
        };
        assert_eq!(minutes(unnoticed), [0, 0, 10, 2]);
    }

    #[test]
    fn clocks_that_disagree_make_no_span_negative() {
        let way = Way {
            completed_at: at(20),
            noticed_at: Some(at(2)),
            allowed_at: Some(at(1)),
            begun_at: at(10),
            done_at: at(12),
        };
        assert_eq!(minutes(way), [0, 0, 0, 0]);
    }
}
