//! Times as files write them: durations, time zones, crontab lines on a zone's clocks, exact
//! instants.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::document::{Table, Value, shown};
use crate::domain::gate::{Cron, CronMistake, Gate, placed};
use crate::domain::moment::{parse_instant, parse_timestamp};
use crate::domain::problem::did_you_mean;

/// Shortest time to wait where none at all is not meant: what is shorter is a slip of the unit.
pub(super) const WAIT_MIN: Duration = Duration::from_millis(1);
/// Longest time to wait for anything that comes by itself: a year. Every instant it is added to
/// stays in the calendar.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(31_557_600);

/// Reads `"10s"`, `"5m 30s"`.
fn duration(value: Value<'_>) -> Option<Duration> {
    let hint = || Some("write a number and its unit: `\"10s\"`, `\"5m\"`, `\"1h 30m\"`".to_owned());
    if !value.is_text() {
        value.mistake(format!("`{}` is not a duration", value.key), hint());
        return None;
    }
    let text = value.text()?;
    let duration = humantime::parse_duration(text);
    if duration.is_err() {
        value.mistake(
            format!(
                "`{}` is {}, which is not a duration",
                value.key,
                shown(text)
            ),
            hint(),
        );
    }
    duration.ok()
}

/// A duration within the bounds.
pub(super) fn duration_within(
    value: Value<'_>,
    bounds: RangeInclusive<Duration>,
) -> Option<Duration> {
    let duration = duration(value)?;
    let within = bounds.contains(&duration);
    if !within {
        let [min, max] = [*bounds.start(), *bounds.end()].map(humantime::format_duration);
        value.mistake(
            format!("`{}` is not between {min} and {max}", value.key),
            None,
        );
    }
    within.then_some(duration)
}

/// Reads a time zone of the IANA database, in any case.
pub(super) fn timezone(value: Value<'_>) -> Option<Tz> {
    let name = value.text()?;
    let zone = Tz::from_str_insensitive(name);
    if zone.is_err() {
        let known = TZ_VARIANTS.iter().map(|zone| zone.name());
        let hint = did_you_mean(name, known)
            .unwrap_or_else(|| "write it as in `Europe/Berlin` or `UTC`".to_owned());
        value.mistake(format!("{} is not a time zone", shown(name)), Some(hint));
    }
    zone.ok()
}

/// Reads `cron` and `timezone`, which belong together; `name` is what messages call the two.
pub(super) fn gate(table: &Table<'_>, name: &str) -> Option<Gate> {
    let zone = table.require(
        "timezone",
        "name the zone the clock hangs in: `timezone = \"Europe/Berlin\"`",
    );
    let zone = zone.and_then(timezone);
    let (value, text) =
        table.require_text("cron", "write five fields as in crontab: `0 6 * * MON`")?;
    match Cron::parse(text) {
        Ok(cron) => Some(Gate { cron, zone: zone? }),
        Err(CronMistake { message, hint }) => {
            value.mistake(format!("{name} {message}"), Some(hint));
            None
        }
    }
}

/// Reads a list of exact instants, or one alone; they come out in order.
pub(super) fn instants(value: Value<'_>) -> Vec<DateTime<Utc>> {
    let elements = value.one_or_list();
    if elements.is_empty() {
        value.mistake(
            "`at` is empty",
            Some("name an instant, or leave `at` out".to_owned()),
        );
    }
    let mut instants: Vec<(DateTime<Utc>, Value<'_>)> = Vec::new();
    for (instant, element) in elements
        .into_iter()
        .filter_map(|element| Some((instant(element)?, element)))
    {
        if let Some((_, first)) = instants.iter().find(|(first, _)| *first == instant) {
            let hint = format!(
                "the other is in line {}; keep one of them",
                first.location().line
            );
            element.mistake(
                format!("`at` names {} twice", instant.format("%FT%T%.fZ")),
                Some(hint),
            );
        }
        instants.push((instant, element));
    }
    let mut instants: Vec<_> = instants.into_iter().map(|(instant, _)| instant).collect();
    instants.sort_unstable();
    instants
}

/// Reads `2026-12-24T06:00:00+01:00`, in quotes or bare, or `{ at = "2026-12-24T06:00:00", timezone
/// = "Europe/Berlin" }`.
fn instant(value: Value<'_>) -> Option<DateTime<Utc>> {
    if value.is_table() {
        return instant_on_a_wall(&value.table("an entry of `at`".to_owned())?);
    }
    let text = value.datetime_or_text()?;
    if parse_timestamp(&text).is_ok() {
        let hint = format!(
            "write `{text}+01:00` or `{{ at = \"{text}\", timezone = \"Europe/Berlin\" }}`"
        );
        value.mistake(format!("`{text}` names no time zone"), Some(hint));
        return None;
    }
    match parse_instant(&text) {
        Ok(micros) => DateTime::from_timestamp_micros(micros),
        Err(why) => {
            let hint = "write it as in `2026-12-24T06:00:00+01:00`".to_owned();
            value.mistake(
                format!("{} is not an instant: {why}", shown(&text)),
                Some(hint),
            );
            None
        }
    }
}

/// Reads what the clocks of a zone show.
fn instant_on_a_wall(table: &Table<'_>) -> Option<DateTime<Utc>> {
    table.expect_keys(&["at", "timezone"]);
    let zone = table.require(
        "timezone",
        "name the zone the clock hangs in: `timezone = \"Europe/Berlin\"`",
    );
    let zone = zone.and_then(timezone);
    let value = table.require(
        "at",
        "write what the clock shows: `at = \"2026-12-24T06:00:00\"`",
    )?;
    let text = value.datetime_or_text()?;
    if parse_instant(&text).is_ok() {
        let hint = "keep the offset or the `timezone`".to_owned();
        value.mistake(
            format!("`{text}` has an offset of its own beside `timezone`"),
            Some(hint),
        );
        return None;
    }
    match parse_timestamp(&text) {
        Ok(micros) => placed(DateTime::from_timestamp_micros(micros)?.naive_utc(), zone?),
        Err(why) => {
            let hint = "write it as in `2026-12-24T06:00:00`".to_owned();
            value.mistake(
                format!("{} is not what a clock shows: {why}", shown(&text)),
                Some(hint),
            );
            None
        }
    }
}
