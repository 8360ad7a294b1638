//! Gates: instants before which nothing runs, written as crontab lines in named time zones or as
//! exact instants. The crate that reads the lines is asked about wall-clock time without a zone
//! only; placing a wall time in its zone is done here: one that the clocks skip stands for the
//! first instant after the gap, one that they show twice for the first.

mod crontab;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests;

use chrono::{
    DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone,
    Utc,
};
use chrono_tz::{GapInfo, Tz};

pub(crate) use crontab::Cron;

/// What is wrong with a crontab line, and what to do. The message begins with the line; who knows
/// whether it is a gate or a dashboard's clock says so before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CronMistake {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// A crontab line on the clocks of one zone.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) cron: Cron,
    pub(crate) zone: Tz,
}

impl Gate {
    /// The first instant, not before `from`, at which the gate opens. Gates open in the years 1970
    /// to 2099.
    pub(crate) fn first_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        placed(self.wall_time_from(from)?, self.zone)
    }

    /// The last instant, not after `until`, at which the gate opened.
    pub(crate) fn last_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.wall_time_from(within_years(until) + MOMENT);
        let last = self
            .cron
            .wall_time_before(next.unwrap_or(YEARS_END.naive_utc()))?;
        placed(last, self.zone)
    }

    /// The first wall time of the line that stands for an instant not before `from`. Where the
    /// clocks show times a second time, those that stood for their first showing are passed by; so
    /// many are at most in a fold.
    fn wall_time_from(&self, from: DateTime<Utc>) -> Option<NaiveDateTime> {
        let from = within_years(from);
        let earliest = from.naive_utc() + TimeDelta::seconds(offset_before(from, self.zone).into());
        self.cron
            .wall_times_from(earliest)
            .find(|wall| placed(*wall, self.zone).is_some_and(|at| at >= from))
    }
}

/// All gates of a cadence: each instant of each of them opens. Without any, every instant does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates {
    pub(crate) lines: Vec<Gate>,
    /// Exact instants, in order.
    pub(crate) at: Vec<DateTime<Utc>>,
}

impl Gates {
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.at.is_empty()
    }

    /// The first instant, not before `from`, at which one of the gates opens.
    pub(crate) fn first_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.first_with_zone(from).map(|(at, _)| at)
    }

    /// The last instant after `after` and not after `until` at which one of the gates opened.
    pub(crate) fn last_within(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let exact = self.at.iter().copied().rfind(|at| *at <= until);
        let lines = self.lines.iter().filter_map(|gate| gate.last_until(until));
        lines.chain(exact).max().filter(|at| *at > after)
    }

    /// The next `count` openings, the first of them not before `from`. Gates that open together
    /// open once, in the zone of the gate that is written first.
    pub(crate) fn upcoming(&self, from: DateTime<Utc>, count: usize) -> Vec<Opening> {
        let first = self.first_with_zone(from);
        let next =
            |(at, _): &(DateTime<Utc>, Tz)| self.first_with_zone(at.checked_add_signed(MOMENT)?);
        std::iter::successors(first, next)
            .take(count)
            .map(|(at, zone)| Opening::new(at, zone))
            .collect()
    }

    fn first_with_zone(&self, from: DateTime<Utc>) -> Option<(DateTime<Utc>, Tz)> {
        let exact = self
            .at
            .iter()
            .find(|at| **at >= from)
            .map(|at| (*at, Tz::UTC));
        let lines = self
            .lines
            .iter()
            .filter_map(|gate| Some((gate.first_from(from)?, gate.zone)));
        lines.chain(exact).min_by_key(|(at, _)| *at)
    }
}

/// An instant at which a gate opens, as it is shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) at: DateTime<Utc>,
    /// Of the gate; UTC for an exact instant.
    pub(crate) zone: Tz,
    /// Seconds by which the zone's clocks change on that calendar day there, if they do.
    pub(crate) clock_change: Option<i32>,
}

impl Opening {
    fn new(at: DateTime<Utc>, zone: Tz) -> Self {
        Self {
            at,
            zone,
            clock_change: clock_change_on(at.with_timezone(&zone).date_naive(), zone),
        }
    }
}

/// Seconds by which the clocks of `zone` go forward on `date`, less than zero if they go back;
/// `None` if they do neither. A change at midnight is one of the day that then begins.
pub(crate) fn clock_change_on(date: NaiveDate, zone: Tz) -> Option<i32> {
    let begin = placed(date.and_time(NaiveTime::MIN), zone)?;
    let end = placed(date.succ_opt()?.and_time(NaiveTime::MIN), zone)?;
    let change = offset_before(end, zone) - offset_before(begin, zone);
    (change != 0).then_some(change)
}

/// The first instant at which the clocks of `zone` show `wall` or, if they skip it, a later time.
/// So of two wall times the later one never stands for an earlier instant. `None` only where chrono
/// counts no instants.
pub(crate) fn placed(wall: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Some(at.to_utc()),
        MappedLocalTime::None => {
            let (last_shown, offset) = GapInfo::new(&wall, &zone)?.begin?;
            Some((last_shown - offset.fix()).and_utc())
        }
    }
}

/// Seconds by which the clocks of `zone` are ahead of UTC right before `instant`.
fn offset_before(instant: DateTime<Utc>, zone: Tz) -> i32 {
    let moment_before = within_years(instant) - MOMENT;
    zone.offset_from_utc_datetime(&moment_before.naive_utc())
        .fix()
        .local_minus_utc()
}

/// The least difference between two instants.
const MOMENT: TimeDelta = TimeDelta::nanoseconds(1);

/// Two days past the last wall time a line can name, so past it in every zone.
const YEARS_END: DateTime<Utc> = DateTime::from_timestamp(4_102_617_600, 0).expect("2100-01-03");

/// Nothing opens outside of these years, and within them no sum overflows.
fn within_years(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.clamp(DateTime::UNIX_EPOCH, YEARS_END)
}
