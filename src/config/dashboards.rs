//! `[dashboards.NAME]`: how a finished cycle is noticed.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use strum::{EnumCount, VariantArray};

use super::document::{Table, Value, each_once};
use super::project::{Dashboard, Project, Signal};
use super::project_file::known_connection;
use super::times::{WAIT_MAX, duration_within, gate};

/// How often a dashboard is looked at where nobody says otherwise: a minute more is nothing beside
/// a day's cycle.
const POLL_USUAL: Duration = Duration::from_secs(60);
/// Looking more often than each second is a load that nobody notices anything by.
const POLL_MIN: Duration = Duration::from_secs(1);
/// Looking less often than each day would make a daily write-back late by a day.
const POLL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys that mean something to some dashboard.
pub(super) static ALL_KEYS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| each_once(Way::ALL.into_iter().map(Way::keys)));

const WAYS_HINT: &str = "write `marker = \"FILE\"`; or `source = \"CONNECTION\"` and `query = \"SELECT …\"`; or \
                         `cron = \"0 5 * * *\"` and `timezone = \"Europe/Berlin\"`; or `announced = true`";

const MARKER_HINT: &str =
    "name the file that the dashboard leaves behind when a cycle has finished";
const QUERY_HINT: &str = "write a SELECT that yields `cycle_id`, `completed_at` and `status`";

/// A way to notice a finished cycle.
#[derive(Debug, Clone, Copy, EnumCount, VariantArray)]
enum Way {
    Marker,
    Query,
    Clock,
    Announced,
}

impl Way {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// Its own keys first, the one it is called by before all others; then what it shares with
    /// others.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Marker => &["marker", "poll"],
            Self::Query => &["query", "source", "poll"],
            Self::Clock => &["cron", "timezone", "margin"],
            Self::Announced => &["announced"],
        }
    }

    /// A key of its own that the table has.
    fn key_of<'a>(self, table: &Table<'a>) -> Option<Value<'a>> {
        self.keys()
            .iter()
            .filter(|key| **key != "poll")
            .find_map(|key| table.get(key))
    }
}

/// Reads the table; the project holds the connections already.
pub(super) fn read_dashboard(
    name: &str,
    table: &Table<'_>,
    project: &Project,
    root: &Path,
) -> Option<Dashboard> {
    let ways: Vec<(Way, Value<'_>)> = Way::ALL
        .into_iter()
        .filter_map(|way| Some((way, way.key_of(table)?)))
        .collect();
    let poll = table
        .get("poll")
        .and_then(|value| duration_within(value, POLL_MIN..=POLL_MAX));
    let signal = match ways.as_slice() {
        [(way, key)] => {
            table.expect_among(
                way.keys(),
                &ALL_KEYS,
                &format!("a dashboard with `{}`", key.key),
            );
            signal(*way, table, project, root)?
        }
        [(_, first), .., (_, last)] => {
            table.expect_keys(&ALL_KEYS);
            let message = format!(
                "dashboard `{name}` says twice how a finished cycle is noticed: by `{}` and by `{}`",
                first.key, last.key
            );
            last.key_mistake(message, Some(WAYS_HINT.to_owned()));
            return None;
        }
        [] => {
            table.expect_keys(&ALL_KEYS);
            if ALL_KEYS
                .iter()
                .all(|key| table.get(key).is_some() || table.lacks(key))
            {
                let message =
                    format!("dashboard `{name}` does not say how a finished cycle is noticed");
                table.mistake(message, Some(WAYS_HINT.to_owned()));
            }
            return None;
        }
    };
    Some(Dashboard {
        name: name.to_owned(),
        signal,
        poll: poll.unwrap_or(POLL_USUAL),
    })
}

fn signal(way: Way, table: &Table<'_>, project: &Project, root: &Path) -> Option<Signal> {
    match way {
        Way::Marker => {
            let file = table
                .get("marker")
                .and_then(|value| filled(value, MARKER_HINT))?;
            Some(Signal::Marker {
                file: root.join(file),
            })
        }
        Way::Query => {
            let source = table.require("source", "name the connection that the query is put to");
            let connection = source.and_then(|value| known_connection(value, project));
            let sql = table
                .require("query", QUERY_HINT)
                .and_then(|value| filled(value, QUERY_HINT));
            Some(Signal::Query {
                connection: connection?.to_owned(),
                sql: sql?.to_owned(),
            })
        }
        Way::Clock => {
            let margin = table
                .get("margin")
                .map(|value| duration_within(value, Duration::ZERO..=WAIT_MAX));
            Some(Signal::Clock {
                gate: Box::new(gate(table, "clock")?),
                margin: margin.unwrap_or(Some(Duration::ZERO))?,
            })
        }
        Way::Announced => table.get("announced").and_then(announced),
    }
}

/// A text that is not empty, and that a system's calls can take.
fn filled<'a>(value: Value<'a>, hint: &str) -> Option<&'a str> {
    let text = value.text()?;
    let what = match text {
        text if text.trim().is_empty() => "is empty",
        text if text.contains('\0') => "holds a NUL character",
        text => return Some(text),
    };
    value.mistake(format!("`{}` {what}", value.key), Some(hint.to_owned()));
    None
}

fn announced(value: Value<'_>) -> Option<Signal> {
    let announced = value.boolean()?;
    if !announced {
        let hint = "write `announced = true`, or leave it out and say what else tells".to_owned();
        value.mistake(
            "`announced = false` does not say how a finished cycle is noticed",
            Some(hint),
        );
    }
    announced.then_some(Signal::Announced)
}
