//! Gates: instants before which nothing runs, written as crontab lines in named time zones or as exact instants. The
//! crate that reads the lines is asked about wall-clock time without a zone only; placing a wall time in its zone is done
//! here: one that the clocks skip stands for the first instant after the gap, one that they show twice for the first.

use std::str::FromStr;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A crontab line of five fields: minute, hour, day of the month, month, weekday.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    text: String,
    schedule: cron::Schedule,
}

/// What is wrong with a crontab line, and what to do.
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

    /// The first instant at or after `from` at which a gate opens.
    pub(crate) fn first_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.at.iter().copied().find(|at| *at >= from)
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

impl Cron {
    pub(crate) fn parse(text: &str) -> Result<Self, CronMistake> {
        let fields = text.split_whitespace().count();
        let mistake =
            |what: String| CronMistake { message: format!("`{text}` {what}"), hint: "write five fields".to_owned() };
        if fields != 5 {
            return Err(mistake(format!("has {fields} fields instead of five")));
        }
        let schedule = cron::Schedule::from_str(&format!("0 {text}")).map_err(|error| mistake(error.to_string()))?;
        Ok(Self { text: text.to_owned(), schedule })
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

pub(crate) fn placed(wall: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
        LocalResult::None => placed(wall + TimeDelta::minutes(1), zone),
    }
}

impl Gates {
    pub(crate) fn first_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let line = |gate: &Gate| {
            let wall = from.with_timezone(&gate.zone).naive_local().and_utc() - TimeDelta::seconds(1);
            gate.cron.schedule.after(&wall).filter_map(|at| placed(at.naive_utc(), gate.zone)).find(|at| *at >= from)
        };
        self.lines.iter().filter_map(line).chain(self.at.iter().copied().filter(|at| *at >= from)).min()
    }

    pub(crate) fn last_within(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut last = None;
        let mut from = after;
        while let Some(next) = self.first_from(from + TimeDelta::nanoseconds(1)).filter(|next| *next <= until) {
            last = Some(next);
            from = next;
        }
        last
    }
}
