//! `[cadence]` of a job file: when the job is due.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::document::{Table, Value, shown};
use super::names::PROJECT_FILE;
use super::project::Project;
use super::times::{WAIT_MAX, WAIT_MIN, duration_within, gate, instants};
use super::words::word;
use crate::domain::cadence::{Cadence, Missed, Retry};
use crate::domain::gate::{Gate, Gates};
use crate::domain::problem::{did_you_mean, quoted_list};

pub(super) const KEYS: &[&str] = &[
    "dashboard",
    "settle",
    "gate",
    "at",
    "every_cycles",
    "deadline",
    "max_silence",
    "missed",
    "retry_delay",
    "retry_delay_max",
    "attempts_max",
];

/// A dashboard that runs each hour is then written back every six weeks; who needs fewer wants a
/// gate.
const EVERY_CYCLES_MAX: u32 = 1_000;
/// Pause before the second attempt where nobody says otherwise: a server has restarted by then.
const RETRY_DELAY_USUAL: Duration = Duration::from_secs(60);
/// Longest pause between attempts where nobody says otherwise: what is repaired is noticed within
/// the hour.
const RETRY_DELAY_MAX_USUAL: Duration = Duration::from_secs(3_600);
/// Attempts where nobody says otherwise: with the usual pauses about five hours, a long outage.
const ATTEMPTS_USUAL: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");
/// With the usual pauses more than a month: whoever has not come by then needs another run, not
/// another attempt.
const ATTEMPTS_MAX: u32 = 1_000;

/// Reads the table; `now` is what instants that have passed are told by.
pub(super) fn read_cadence(
    project: &Project,
    value: Value<'_>,
    now: DateTime<Utc>,
) -> Option<Cadence> {
    let table = value.table("`[cadence]`".to_owned())?;
    table.expect_keys(KEYS);
    let wait = |key: &str| {
        table
            .get(key)
            .and_then(|value| duration_within(value, WAIT_MIN..=WAIT_MAX))
    };
    let settle = table
        .get("settle")
        .and_then(|value| duration_within(value, Duration::ZERO..=WAIT_MAX));
    let missed = [
        ("latest", Missed::Latest),
        ("none", Missed::None),
        ("all", Missed::All),
    ];
    let cadence = Cadence {
        dashboard: dashboard(project, &table).unwrap_or_default().to_owned(),
        settle: settle.unwrap_or_default(),
        gates: gates(&table),
        every_cycles: count(&table, "every_cycles", EVERY_CYCLES_MAX).unwrap_or(NonZeroU32::MIN),
        deadline: wait("deadline"),
        max_silence: wait("max_silence"),
        missed: table
            .get("missed")
            .and_then(|value| word(value, &missed))
            .unwrap_or_default(),
        retry: retry(&table, wait("retry_delay"), wait("retry_delay_max")),
    };
    check_at(&table, &cadence.gates, now);
    check_deadline(&table, &cadence, now);
    Some(cadence)
}

fn dashboard<'a>(project: &Project, table: &Table<'a>) -> Option<&'a str> {
    let known = || project.dashboards.keys().map(String::as_str);
    let hint = format!(
        "name the dashboard whose cycles the job follows: a `[dashboards.*]` of {PROJECT_FILE}"
    );
    let (value, name) = table.require_text("dashboard", &hint)?;
    if !project.dashboards.contains_key(name) {
        let hint =
            did_you_mean(name, known()).unwrap_or_else(|| match project.dashboards.is_empty() {
                true => format!("add a `[dashboards.{name}]` to {PROJECT_FILE}"),
                false => format!("dashboards are {}", quoted_list(known())),
            });
        value.mistake(
            format!("there is no dashboard {} in {PROJECT_FILE}", shown(name)),
            Some(hint),
        );
    }
    Some(name)
}

fn count(table: &Table<'_>, key: &str, max: u32) -> Option<NonZeroU32> {
    table
        .get(key)
        .and_then(|value| value.integer(1, max))
        .and_then(NonZeroU32::new)
}

fn gates(table: &Table<'_>) -> Gates {
    Gates {
        lines: table.get("gate").map(gate_lines).unwrap_or_default(),
        at: table.get("at").map(instants).unwrap_or_default(),
    }
}

/// One gate or a list of them.
fn gate_lines(value: Value<'_>) -> Vec<Gate> {
    let elements = value.one_or_list();
    if elements.is_empty() {
        value.mistake(
            "`gate` is empty",
            Some("write a gate, or leave `gate` out to wait for none".to_owned()),
        );
    }
    let line = |element: Value<'_>| {
        let table = element.table("`gate`".to_owned())?;
        table.expect_keys(&["cron", "timezone"]);
        gate(&table, "gate")
    };
    elements.into_iter().filter_map(line).collect()
}

/// The usual pauses give way to what is written: only two that are written can disagree.
fn retry(table: &Table<'_>, delay_first: Option<Duration>, delay_max: Option<Duration>) -> Retry {
    if let (Some(first), Some(max), Some(value)) =
        (delay_first, delay_max, table.get("retry_delay_max"))
        && max < first
    {
        let hint = "pauses grow from `retry_delay` to `retry_delay_max`".to_owned();
        value.mistake(
            "`retry_delay_max` is shorter than `retry_delay`",
            Some(hint),
        );
    }
    Retry {
        delay_first: delay_first.unwrap_or_else(|| {
            delay_max.map_or(RETRY_DELAY_USUAL, |max| max.min(RETRY_DELAY_USUAL))
        }),
        delay_max: delay_max
            .unwrap_or_else(|| delay_first.unwrap_or_default().max(RETRY_DELAY_MAX_USUAL)),
        attempts_max: count(table, "attempts_max", ATTEMPTS_MAX).unwrap_or(ATTEMPTS_USUAL),
    }
}

/// Warns of instants that have all passed.
fn check_at(table: &Table<'_>, gates: &Gates, now: DateTime<Utc>) {
    let (Some(value), Some(last)) = (table.get("at"), gates.at.last()) else {
        return;
    };
    if *last < now {
        let hint = match table.get("gate") {
            Some(_) => "add one to come, or leave `at` out",
            None => {
                "nothing will be written back; add one to come, or leave `at` out to wait for no instant"
            }
        };
        value.warning("every instant of `at` has passed", Some(hint.to_owned()));
    }
}

/// Notes a deadline that no cycle can meet, and warns of one that a cycle misses if it comes at a
/// bad time.
fn check_deadline(table: &Table<'_>, cadence: &Cadence, now: DateTime<Utc>) {
    let (Some(value), Some(deadline)) = (table.get("deadline"), cadence.deadline) else {
        return;
    };
    let Some(time) = deadline
        .checked_sub(cadence.settle)
        .filter(|time| !time.is_zero())
    else {
        let hint =
            "both count from the cycle: write a longer `deadline` or a shorter `settle`".to_owned();
        return value.mistake(
            "`deadline` is never met: `settle` takes as long",
            Some(hint),
        );
    };
    // What is left of the deadline once the cycle has settled is the time that a gate has to open.
    if let Some(shut) = shut_longer_than(&cadence.gates, time, now) {
        let shut = in_words(shut);
        let hint = "if that is not meant, write a longer `deadline` or more gates".to_owned();
        value.warning(
            format!("cycles may expire before a gate opens: none does for {shut} on end"),
            Some(hint),
        );
    }
}

/// A time to wait, to the day or, within a day, to the second.
fn in_words(time: Duration) -> String {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    match time.as_secs() {
        seconds if seconds < DAY_SECONDS => {
            humantime::format_duration(Duration::from_secs(seconds)).to_string()
        }
        seconds if seconds < DAY_SECONDS * 3 / 2 => "a day".to_owned(),
        seconds => format!("{} days", (seconds + DAY_SECONDS / 2) / DAY_SECONDS),
    }
}

/// The first stretch of time from `now` on, longer than `time`, in which no gate opens, if there is
/// one. Exact instants alone are no rhythm: no stretch between them is too long.
fn shut_longer_than(gates: &Gates, time: Duration, now: DateTime<Utc>) -> Option<Duration> {
    /// Gates of a leap day open again after eight years at most.
    const DAYS_MAX: i64 = 10 * 366;
    /// Most lines come back within a week, and so many stretches of half an hour are more than one.
    const STRETCHES_MAX: usize = 400;
    if gates.lines.is_empty() {
        return None;
    }
    let time = TimeDelta::from_std(time).ok()?;
    let end = now.checked_add_signed(TimeDelta::days(DAYS_MAX))?;
    let mut opened = gates.first_from(now)?;
    for _ in 0..STRETCHES_MAX {
        let next = gates
            .first_from(opened + TimeDelta::nanoseconds(1))
            .filter(|next| *next < end)?;
        if next - opened > time {
            return (next - opened).to_std().ok();
        }
        // All the openings within the time are skipped at once: no stretch between two of them is
        // longer.
        opened = gates.last_within(opened, opened + time)?;
    }
    None
}
