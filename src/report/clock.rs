//! Instants as people read them, on the clock of their zone: of the command line, of `TZ`, or UTC.
//! What machines read is in UTC always.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};

use crate::domain::zone::Zone;

static ZONE: OnceLock<Zone> = OnceLock::new();

/// Says, once and before anything is told, which zone the reader asked for.
pub(crate) fn set(asked: Option<Zone>) {
    let of_process = || {
        std::env::var("TZ")
            .ok()
            .and_then(|tz| Zone::of_variable(&tz))
    };
    // A second one would be too late for what was told already.
    let _already_set = ZONE.set(asked.or_else(of_process).unwrap_or(Zone::UTC));
}

fn zone() -> Zone {
    *ZONE.get().unwrap_or(&Zone::UTC)
}

/// `2026-11-15 06:30:00 UTC`
pub(crate) fn moment(instant: DateTime<Utc>) -> String {
    zone().text(instant)
}

/// `2026-11-15 06:30 UTC`
pub(super) fn minute(instant: DateTime<Utc>) -> String {
    zone().formatted(instant, "%Y-%m-%d %H:%M %Z")
}

/// The heading of a column of [`cell`]s: `started (UTC)`. In other zones each cell names its own,
/// for the short name changes with the seasons.
pub(super) fn heading(what: &str) -> String {
    match zone() == Zone::UTC {
        true => format!("{what} (UTC)"),
        false => what.to_owned(),
    }
}

/// `2026-11-15 06:30:00`, or `2026-11-15 07:30:00 CET` elsewhere.
pub(super) fn cell(instant: DateTime<Utc>) -> String {
    match zone() == Zone::UTC {
        true => zone().formatted(instant, "%Y-%m-%d %H:%M:%S"),
        false => zone().text(instant),
    }
}
