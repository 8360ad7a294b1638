//! Noticing finished cycles: from a marker file, from a query on one of the project's connections,
//! or by the clock of a dashboard that signals nothing. What a dashboard says is taken for what it
//! may be: half written, twice told, undated.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use polars::prelude::DataFrame;
use serde::Deserialize;

use crate::config::{CheckedJob, Dashboard, Project, Signal};
use crate::domain::conform::texts_of_pulled;
use crate::domain::cycle::{Cycle, ID_CHARACTERS_MAX, is_cycle_id};
use crate::domain::error::SystemError;
use crate::domain::problem::Location;
use crate::domain::record::cell_text;
use crate::domain::schema::{Schema, SchemaColumn, SchemaType};
use crate::ledger::cycles::Noticed;
use crate::ledger::{Ledger, LedgerError};
use crate::run::RequestedCycle;
use crate::source::{AnySource, Source};
use crate::user_file;

/// Longest marker file that is read; a marker is three short values.
const MARKER_BYTES_MAX: u64 = 64 * 1024;
/// Cycles one look takes from a query: the newest. A dashboard is looked at often enough that a few
/// would do.
const CYCLES_MAX: usize = 1_000;
/// Rows of a query that are read: one that yields more tells the whole history at every look.
const ROWS_MAX: usize = 100_000;
/// Instants that a dashboard's clock makes up for: three months of daily ones.
const INSTANTS_MAX: usize = 100;
/// Rows that could not be read which are told of one by one.
const MISTAKES_MAX: usize = 3;
/// Words a dashboard may use for a cycle that went well.
const SUCCESS: [&str; 5] = ["succeeded", "success", "completed", "finished", "ok"];

/// Why no cycle could be made out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoticeError {
    #[error("could not read marker file `{file}`")]
    Marker { file: String, source: io::Error },
    #[error("marker file `{file}` is not a regular file of at most {MARKER_BYTES_MAX} bytes")]
    NotAMarker { file: String },
    #[error("marker file `{file}` is not a cycle")]
    Malformed {
        file: String,
        source: serde_json::Error,
    },
    #[error("marker file `{file}` is written in UTF-16, not in UTF-8")]
    Utf16Marker { file: String },
    #[error("the query of dashboard `{dashboard}` failed")]
    Query {
        dashboard: String,
        source: SystemError,
    },
    #[error("the query of dashboard `{dashboard}` yields more than {ROWS_MAX} rows")]
    TooManyRows { dashboard: String },
    #[error("dashboard `{dashboard}` names connection `{connection}`, which does not exist")]
    NoConnection {
        dashboard: String,
        connection: String,
    },
    #[error(
        "dashboard `{dashboard}` says that cycle `{cycle}` completed at a time that cannot be read"
    )]
    Time { dashboard: String, cycle: String },
    #[error("dashboard `{dashboard}` says that cycle `{cycle}` completed at a time without a zone")]
    NoZone { dashboard: String, cycle: String },
    #[error("dashboard `{dashboard}` does not say when cycle `{cycle}` completed")]
    NoTime { dashboard: String, cycle: String },
    #[error("dashboard `{dashboard}` names a cycle without an id")]
    NoId { dashboard: String },
    #[error(
        "dashboard `{dashboard}` names a cycle by more than a line of {ID_CHARACTERS_MAX} characters"
    )]
    NotAnId { dashboard: String },
    /// The newest cycle did not go well.
    #[error("cycle `{}` of dashboard `{dashboard}` is `{}`, not finished", cycle.id, cycle.status)]
    Unfinished {
        dashboard: String,
        cycle: UnfinishedCycle,
    },
    #[error("dashboard `{dashboard}` has finished no cycle yet")]
    None { dashboard: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl NoticeError {
    /// The next thing to do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Utf16Marker { .. } => Some("let the dashboard write it in UTF-8".to_owned()),
            Self::Marker { .. } | Self::NotAMarker { .. } | Self::Malformed { .. } => Some(
                "the dashboard writes `{\"cycle_id\": \"…\", \"completed_at\": \"2026-11-15T06:30:00Z\", \"status\": \"succeeded\"}` \
                 there; or name a cycle with `--cycle ID`"
                    .to_owned(),
            ),
            Self::NoId { .. } | Self::NotAnId { .. } => {
                Some("`cycle_id` tells one cycle from the next, such as `2026-W46`".to_owned())
            }
            Self::Query { source, .. } => source.hint(),
            Self::TooManyRows { .. } => {
                Some("let it yield a few of the newest: `… ORDER BY completed_at DESC LIMIT 10`".to_owned())
            }
            Self::NoConnection { .. } => Some("add it to `writeback.toml`".to_owned()),
            Self::Time { .. } | Self::NoZone { .. } | Self::NoTime { .. } => {
                Some("`completed_at` is a time such as `2026-11-15T06:30:00Z`".to_owned())
            }
            Self::Unfinished { .. } => Some("wait for the dashboard, or name a cycle with `--cycle ID`".to_owned()),
            Self::None { dashboard } => Some(format!(
                "wait for the dashboard, announce a cycle with `writeback cycle {dashboard} --id ID`, or name one with \
                 `--cycle ID`"
            )),
            Self::Ledger(error) => error.hint(),
        }
    }
}

/// What one look at a dashboard told.
#[derive(Debug)]
pub(crate) struct Look {
    /// Cycles that it finished, as the ledger has them; oldest completion first.
    pub(crate) noticed: Vec<Noticed>,
    pub(crate) unfinished: Option<UnfinishedCycle>,
    /// What could not be made out beside them: the first few.
    pub(crate) mistakes: Vec<NoticeError>,
}

impl Look {
    /// In one line, for who asks what a dashboard said last.
    pub(crate) fn saw(&self) -> String {
        let newest = self.noticed.last().map(|noticed| &noticed.cycle);
        let finished = newest.map(|cycle| {
            let completed_at = cycle
                .completed_at
                .to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("cycle `{}`, completed at {completed_at}", cycle.id)
        });
        let unfinished = self
            .unfinished
            .as_ref()
            .map(|cycle| format!("cycle `{}` is `{}`", cycle.id, cycle.status));
        let mistake = self.mistakes.first().map(ToString::to_string);
        let parts: Vec<String> = [finished, unfinished, mistake]
            .into_iter()
            .flatten()
            .collect();
        if parts.is_empty() {
            "no new cycle".to_owned()
        } else {
            parts.join("; ")
        }
    }
}

/// A cycle that is at work or did not go well, newer than all that did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnfinishedCycle {
    pub(crate) id: String,
    /// In the dashboard's own word.
    pub(crate) status: String,
    /// Absent if the dashboard does not say: it is still at work.
    pub(crate) completed_at: Option<DateTime<Utc>>,
}

/// Looks at a dashboard, and records in the ledger which cycles it finished. Errors: nothing could
/// be made out of what it says. That may be for a moment only, as with a marker file that is just
/// being written.
pub(crate) async fn look(
    project: &Project,
    dashboard: &Dashboard,
    ledger: &Ledger,
    now: DateTime<Utc>,
) -> Result<Look, NoticeError> {
    let known = ledger.newest_cycle(&dashboard.name, now).await?;
    let seen = Seen::of(
        project,
        dashboard,
        known.as_ref().map(|known| &known.cycle),
        now,
    )
    .await?;
    let noticed = ledger
        .see_cycles(&dashboard.name, &seen.finished, now)
        .await?;
    Ok(Look {
        noticed,
        unfinished: seen.unfinished,
        mistakes: seen.mistakes,
    })
}

/// The cycle a job is to write back: the one named, else the newest its dashboard finished; a job
/// without a dashboard makes a cycle of its own.
pub(crate) async fn requested_cycle(
    project: &Project,
    checked: &CheckedJob,
    named: Option<&str>,
    book: Book<'_>,
) -> Result<RequestedCycle, NoticeError> {
    let dashboard = checked
        .job
        .dashboard()
        .and_then(|name| project.dashboards.get(name));
    let now = Utc::now();
    Ok(match (named, dashboard) {
        (Some(id), dashboard) => {
            let told = match dashboard {
                Some(dashboard) => cycle_named(project, dashboard, id, book, now).await?,
                None => None,
            };
            // Whoever names a cycle that nobody told of says that it is there.
            RequestedCycle::Given(told.unwrap_or_else(|| Cycle {
                id: id.to_owned(),
                completed_at: now,
            }))
        }
        (None, Some(dashboard)) => {
            RequestedCycle::Given(newest_cycle(project, dashboard, book, now).await?)
        }
        (None, None) => RequestedCycle::Own(Cycle {
            id: now.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            completed_at: now,
        }),
    })
}

/// What is known of cycles besides what a dashboard says now, for who looks once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Book<'a> {
    /// What is noticed is recorded.
    Recording(&'a Ledger),
    /// Nothing is recorded; without a ledger nothing was before.
    Reading(Option<&'a Ledger>),
}

impl Book<'_> {
    fn ledger(&self) -> Option<&Ledger> {
        match self {
            Self::Recording(ledger) => Some(ledger),
            Self::Reading(ledger) => *ledger,
        }
    }

    async fn newest(
        &self,
        dashboard: &Dashboard,
        now: DateTime<Utc>,
    ) -> Result<Option<Cycle>, LedgerError> {
        let Some(ledger) = self.ledger() else {
            return Ok(None);
        };
        Ok(ledger
            .newest_cycle(&dashboard.name, now)
            .await?
            .map(|noticed| noticed.cycle))
    }

    async fn named(&self, dashboard: &Dashboard, id: &str) -> Result<Option<Cycle>, LedgerError> {
        let Some(ledger) = self.ledger() else {
            return Ok(None);
        };
        Ok(ledger
            .cycle_named(&dashboard.name, id)
            .await?
            .map(|noticed| noticed.cycle))
    }

    /// Looks at a dashboard; its cycles come as the ledger has them, or would.
    async fn look(
        &self,
        project: &Project,
        dashboard: &Dashboard,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Cycle>, Option<UnfinishedCycle>), NoticeError> {
        if let Self::Recording(ledger) = self {
            let look = look(project, dashboard, ledger, now).await?;
            return Ok((
                look.noticed
                    .into_iter()
                    .map(|noticed| noticed.cycle)
                    .collect(),
                look.unfinished,
            ));
        }
        let known = self.newest(dashboard, now).await?;
        let seen = Seen::of(project, dashboard, known.as_ref(), now).await?;
        let mut finished = Vec::with_capacity(seen.finished.len());
        for cycle in seen.finished {
            let known = self.named(dashboard, &cycle.id).await?;
            finished.push(known.unwrap_or_else(|| Cycle {
                completed_at: cycle.completed_at.min(now),
                ..cycle
            }));
        }
        Ok((finished, seen.unfinished))
    }
}

/// The newest cycle that a dashboard finished. Where it tells of cycles itself, its word of now
/// counts: if it went back to an older one, that is what its source holds. Errors: as [`look`];
/// there is none, or a newer one did not go well.
pub(crate) async fn newest_cycle(
    project: &Project,
    dashboard: &Dashboard,
    book: Book<'_>,
    now: DateTime<Utc>,
) -> Result<Cycle, NoticeError> {
    let (mut finished, unfinished) = book.look(project, dashboard, now).await?;
    let newest = match (finished.pop(), &dashboard.signal) {
        (None, Signal::Clock { .. } | Signal::Announced) => book.newest(dashboard, now).await?,
        (newest, _) => newest,
    };
    newest_of(dashboard, newest, unfinished)
}

/// The cycle of a dashboard with this id, as it tells or once told of it. A dashboard that cannot
/// be asked tells of none.
pub(crate) async fn cycle_named(
    project: &Project,
    dashboard: &Dashboard,
    id: &str,
    book: Book<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Cycle>, NoticeError> {
    if let Some(known) = book.named(dashboard, id).await? {
        return Ok(Some(known));
    }
    let finished = book
        .look(project, dashboard, now)
        .await
        .map_or(Vec::new(), |(finished, _)| finished);
    Ok(finished.into_iter().find(|cycle| cycle.id == id))
}

/// The cycle to write back when somebody asks for the newest.
fn newest_of(
    dashboard: &Dashboard,
    finished: Option<Cycle>,
    unfinished: Option<UnfinishedCycle>,
) -> Result<Cycle, NoticeError> {
    let name = || dashboard.name.clone();
    match (finished, unfinished) {
        (None, None) => Err(NoticeError::None { dashboard: name() }),
        (None, Some(cycle)) => Err(NoticeError::Unfinished {
            dashboard: name(),
            cycle,
        }),
        (Some(finished), Some(cycle))
            if cycle
                .completed_at
                .is_some_and(|at| at > finished.completed_at) =>
        {
            Err(NoticeError::Unfinished {
                dashboard: name(),
                cycle,
            })
        }
        (Some(finished), _) => Ok(finished),
    }
}

/// What a dashboard says of one cycle, a row or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    id: String,
    completed_at: Option<DateTime<Utc>>,
    status: String,
}

impl Told {
    fn went_well(&self) -> bool {
        SUCCESS
            .iter()
            .any(|word| word.eq_ignore_ascii_case(&self.status))
    }
}

/// What a dashboard says, put in order.
#[derive(Debug, Default)]
struct Seen {
    /// Each id once; oldest completion first.
    finished: Vec<Cycle>,
    unfinished: Option<UnfinishedCycle>,
    mistakes: Vec<NoticeError>,
}

impl Seen {
    /// `known` is the newest cycle that was noticed before.
    async fn of(
        project: &Project,
        dashboard: &Dashboard,
        known: Option<&Cycle>,
        now: DateTime<Utc>,
    ) -> Result<Self, NoticeError> {
        match &dashboard.signal {
            Signal::Marker { file } => Ok(Self::from_told([read_marker(dashboard, file)?])),
            Signal::Query { connection, sql } => ask(project, dashboard, connection, sql).await,
            Signal::Clock { gate, margin } => {
                let finished = clock_cycles(|until| gate.last_until(until), *margin, known, now);
                Ok(Self {
                    finished,
                    ..Self::default()
                })
            }
            Signal::Announced => Ok(Self::default()),
        }
    }

    /// The last word on each cycle counts; one without a date is none while there is another.
    fn from_told(told: impl IntoIterator<Item = Told>) -> Self {
        let mut cycles: BTreeMap<String, Told> = BTreeMap::new();
        for told in told {
            match cycles.get(&told.id) {
                Some(earlier) if earlier.completed_at > told.completed_at => {}
                _ => drop(cycles.insert(told.id.clone(), told)),
            }
        }
        let (well, unwell): (Vec<Told>, Vec<Told>) =
            cycles.into_values().partition(Told::went_well);
        let mut finished: Vec<Cycle> = well
            .into_iter()
            .filter_map(
                |Told {
                     id, completed_at, ..
                 }| {
                    Some(Cycle {
                        id,
                        completed_at: completed_at?,
                    })
                },
            )
            .collect();
        finished.sort_by_key(|cycle| cycle.completed_at);
        finished.drain(..finished.len().saturating_sub(CYCLES_MAX));
        let newest = finished.last().map(|cycle| cycle.completed_at);
        let newer = |told: &Told| {
            told.completed_at
                .is_none_or(|at| newest.is_none_or(|newest| at > newest))
        };
        // What has no date is at work still.
        let unwell = unwell
            .into_iter()
            .filter(newer)
            .max_by_key(|told| (told.completed_at.is_none(), told.completed_at));
        Self {
            finished,
            unfinished: unwell.map(UnfinishedCycle::from),
            mistakes: Vec::new(),
        }
    }
}

impl From<Told> for UnfinishedCycle {
    fn from(told: Told) -> Self {
        /// Characters of a status that are shown; it is one word.
        const STATUS_CHARACTERS_MAX: usize = 40;
        let status = told
            .status
            .chars()
            .take(STATUS_CHARACTERS_MAX)
            .flat_map(char::escape_debug)
            .collect();
        Self {
            id: told.id,
            status,
            completed_at: told.completed_at,
        }
    }
}

/// Checks what a dashboard says of a cycle.
fn told(
    dashboard: &Dashboard,
    id: Option<String>,
    completed_at: Option<&str>,
    status: String,
) -> Result<Told, NoticeError> {
    let name = || dashboard.name.clone();
    let id = id
        .filter(|id| !id.trim().is_empty())
        .ok_or_else(|| NoticeError::NoId { dashboard: name() })?;
    if !is_cycle_id(&id) {
        return Err(NoticeError::NotAnId { dashboard: name() });
    }
    let unreadable = || NoticeError::Time {
        dashboard: name(),
        cycle: id.clone(),
    };
    let completed_at = completed_at
        .map(|text| instant(text).ok_or_else(unreadable))
        .transpose()?;
    let told = Told {
        id,
        completed_at,
        status,
    };
    match told.went_well() && told.completed_at.is_none() {
        true => Err(NoticeError::NoTime {
            dashboard: name(),
            cycle: told.id,
        }),
        false => Ok(told),
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `cycle_id`, `completed_at` and `status`")]
struct Marker {
    cycle_id: String,
    completed_at: String,
    #[serde(default = "succeeded")]
    status: String,
}

fn succeeded() -> String {
    "succeeded".to_owned()
}

fn read_marker(dashboard: &Dashboard, file: &Path) -> Result<Told, NoticeError> {
    let name = || file.display().to_string();
    let text = marker_text(file).map_err(|source| NoticeError::Marker {
        file: name(),
        source,
    })?;
    let text = text.ok_or_else(|| NoticeError::NotAMarker { file: name() })?;
    let text = match text.as_slice() {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            return Err(NoticeError::Utf16Marker { file: name() });
        }
        text => text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text),
    };
    let marker: Marker = serde_json::from_slice(text).map_err(|source| NoticeError::Malformed {
        file: name(),
        source,
    })?;
    let told = told(
        dashboard,
        Some(marker.cycle_id),
        Some(&marker.completed_at),
        marker.status,
    )?;
    match with_offset(&marker.completed_at) {
        Some(_) => Ok(told),
        None => Err(NoticeError::NoZone {
            dashboard: dashboard.name.clone(),
            cycle: told.id,
        }),
    }
}

/// What a marker file holds; none if it is a link, a pipe or anything else that is no regular file,
/// or too long.
fn marker_text(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let looked_at = fs::symlink_metadata(file)?;
    if !looked_at.is_file() {
        return Ok(None);
    }
    let opened = user_file::open(file)?;
    let metadata = opened.metadata()?;
    // Somebody may have put a link in its place meanwhile.
    if (metadata.dev(), metadata.ino()) != (looked_at.dev(), looked_at.ino()) {
        return Ok(None);
    }
    let mut text = Vec::new();
    opened.take(MARKER_BYTES_MAX + 1).read_to_end(&mut text)?;
    Ok(u64::try_from(text.len())
        .is_ok_and(|bytes| bytes <= MARKER_BYTES_MAX)
        .then_some(text))
}

/// Asks a source the way records are pulled from it: three columns of text, a record for each
/// cycle. Rows that cannot be read do not hide the others. Errors: the first such row, if there is
/// no other.
async fn ask(
    project: &Project,
    dashboard: &Dashboard,
    connection: &str,
    sql: &str,
) -> Result<Seen, NoticeError> {
    let name = || dashboard.name.clone();
    let connection =
        project
            .connections
            .get(connection)
            .ok_or_else(|| NoticeError::NoConnection {
                dashboard: name(),
                connection: connection.to_owned(),
            })?;
    let failed = |source| NoticeError::Query {
        dashboard: name(),
        source,
    };
    let mut source = AnySource::open(connection, &cycle_schema(dashboard, sql))
        .await
        .map_err(failed)?;
    let mut rows = Vec::new();
    while let Some(pulled) = source.next_chunk().await.map_err(failed)? {
        if rows.len() + pulled.records.height() > ROWS_MAX {
            return Err(NoticeError::TooManyRows { dashboard: name() });
        }
        let records = texts_of_pulled(&pulled.records);
        rows.extend((0..records.height()).map(|record| read_row(dashboard, &records, record)));
    }
    seen_in(rows)
}

fn seen_in(rows: Vec<Result<Told, NoticeError>>) -> Result<Seen, NoticeError> {
    let mut mistakes = Vec::new();
    let told = rows
        .into_iter()
        .filter_map(|row| row.map_err(|mistake| mistakes.push(mistake)).ok());
    let seen = Seen::from_told(told.collect::<Vec<_>>());
    mistakes.truncate(MISTAKES_MAX);
    match (
        seen.finished.is_empty() && seen.unfinished.is_none(),
        mistakes.is_empty(),
    ) {
        (true, false) => Err(mistakes.swap_remove(0)),
        _ => Ok(Seen { mistakes, ..seen }),
    }
}

fn read_row(
    dashboard: &Dashboard,
    records: &DataFrame,
    record: usize,
) -> Result<Told, NoticeError> {
    let cell = |name: &str| {
        records
            .column(name)
            .ok()
            .and_then(|column| cell_text(column, record))
    };
    told(
        dashboard,
        cell("cycle_id"),
        cell("completed_at").as_deref(),
        cell("status").unwrap_or_default(),
    )
}

/// Cycles of a dashboard that begins at instants and is taken for finished `margin` later: those
/// that came since the newest `known`, oldest first; without one the newest alone, as nobody
/// followed it before. `last_until` yields the last instant not after another.
fn clock_cycles(
    last_until: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
    margin: std::time::Duration,
    known: Option<&Cycle>,
    now: DateTime<Utc>,
) -> Vec<Cycle> {
    let Some(mut until) = TimeDelta::from_std(margin)
        .ok()
        .and_then(|margin| now.checked_sub_signed(margin))
    else {
        return Vec::new();
    };
    // One that completed later than now was noticed while this machine's clock was ahead.
    let known = known.filter(|known| known.completed_at <= now);
    let cycles_max = if known.is_some() { INSTANTS_MAX } else { 1 };
    let mut cycles = Vec::new();
    while cycles.len() < cycles_max
        && let Some(begun_at) = last_until(until)
    {
        let cycle = Cycle {
            id: begun_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            completed_at: begun_at + margin,
        };
        // The margin may have changed since; the id has not.
        if known
            .is_some_and(|known| known.id == cycle.id || known.completed_at >= cycle.completed_at)
        {
            break;
        }
        cycles.push(cycle);
        until = begun_at - TimeDelta::nanoseconds(1);
    }
    cycles.reverse();
    cycles
}

/// An instant as databases write it; a time without an offset is UTC, as `docs/configuration.md` says of this
/// query.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let wall = || {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
    };
    with_offset(text).or_else(|| Some(wall().ok()?.and_utc()))
}

fn with_offset(text: &str) -> Option<DateTime<Utc>> {
    let instant = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"));
    Some(instant.ok()?.to_utc())
}

fn cycle_schema(dashboard: &Dashboard, sql: &str) -> Schema {
    let file = format!("the query of dashboard `{}`", dashboard.name).into();
    let location = Location {
        file,
        line: 1,
        column: 1,
    };
    let column = |name: &str| SchemaColumn {
        name: name.to_owned(),
        column_type: SchemaType::Text {
            characters_max: None,
        },
        nullable: true,
        location: location.clone(),
    };
    Schema {
        table: vec!["cycle".to_owned()],
        columns: ["cycle_id", "completed_at", "status"].map(column).to_vec(),
        key: vec![0],
        model: Some(sql.to_owned()),
        model_location: None,
        file: location.file.clone(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use std::slice;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        with_offset(&format!("2026-11-{text}:00Z")).unwrap()
    }

    fn dashboard() -> Dashboard {
        Dashboard {
            name: "health".to_owned(),
            signal: Signal::Announced,
            poll: Duration::from_secs(60),
        }
    }

    fn row(id: &str, completed_at: &str, status: &str) -> Result<Told, NoticeError> {
        let cell = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        told(
            &dashboard(),
            cell(id),
            cell(completed_at).as_deref(),
            status.to_owned(),
        )
    }

    /// What rows of `id, completed_at, status` tell: cycles that finished, and one that did not
    /// with its status.
    fn seen(rows: &[(&str, &str, &str)]) -> (Vec<String>, Option<String>) {
        let rows = rows
            .iter()
            .map(|(id, completed_at, status)| row(id, completed_at, status))
            .collect();
        let seen = seen_in(rows).unwrap();
        let finished = seen.finished.into_iter().map(|cycle| cycle.id).collect();
        (
            finished,
            seen.unfinished
                .map(|cycle| format!("{} {}", cycle.id, cycle.status)),
        )
    }

    #[test]
    fn instants_are_read_as_databases_write_them() {
        let expected = DateTime::parse_from_rfc3339("2026-11-15T06:30:00Z")
            .expect("an instant")
            .to_utc();
        for text in [
            "2026-11-15T06:30:00Z",
            "2026-11-15 06:30:00+00",
            "2026-11-15 07:30:00.000+01:00",
            "2026-11-15 06:30:00",
            "2026-11-15T06:30:00.000000",
        ] {
            assert_eq!(instant(text), Some(expected), "{text}");
        }
        assert_eq!(instant("yesterday"), None);
    }

    #[test]
    fn cycles_that_went_well_come_by_completion_whatever_the_order_of_rows() {
        let (finished, unfinished) = seen(&[
            ("W46", "2026-11-15 06:30:00", "Succeeded"),
            ("W44", "2026-11-01 06:30:00", "failed"),
            ("W45", "2026-11-08T06:30:00Z", "ok"),
        ]);
        assert_eq!(
            (finished, unfinished),
            (vec!["W45".to_owned(), "W46".to_owned()], None)
        );
    }

    #[test]
    fn a_newer_cycle_that_did_not_go_well_is_told_and_not_taken() {
        let w45 = ("W45", "2026-11-08 06:30:00", "succeeded");
        for (row, told) in [
            (("W46", "2026-11-15 06:30:00", "failed"), "W46 failed"),
            (("W46", "", "running"), "W46 running"),
            (("W46", "", "run\u{1b}ning"), "W46 run\\u{1b}ning"),
        ] {
            assert_eq!(
                seen(&[row, w45]),
                (vec!["W45".to_owned()], Some(told.to_owned()))
            );
            assert_eq!(seen(&[row]), (Vec::new(), Some(told.to_owned())));
        }
    }

    #[test]
    fn of_several_rows_of_one_cycle_the_last_counts() {
        let failed = ("W46", "2026-11-15 06:30:00", "failed");
        let repeated = ("W46", "2026-11-15 09:30:00", "succeeded");
        let running = ("W46", "", "running");
        for rows in [[failed, repeated, running], [running, repeated, failed]] {
            assert_eq!(seen(&rows), (vec!["W46".to_owned()], None));
        }
        let undone = ("W46", "2026-11-15 10:30:00", "failed");
        assert_eq!(
            seen(&[repeated, undone]),
            (Vec::new(), Some("W46 failed".to_owned()))
        );
    }

    #[test]
    fn a_row_that_cannot_be_read_hides_no_other() {
        let bad = [
            (
                ("", "2026-11-15 06:30:00", "ok"),
                "dashboard `health` names a cycle without an id",
            ),
            (
                ("a\nb", "2026-11-15 06:30:00", "ok"),
                "dashboard `health` names a cycle by more than a line of 200 characters",
            ),
            (
                ("W47", "soon", "ok"),
                "dashboard `health` says that cycle `W47` completed at a time that cannot be read",
            ),
            (
                ("W47", "", "ok"),
                "dashboard `health` does not say when cycle `W47` completed",
            ),
        ];
        for ((id, completed_at, status), message) in bad {
            let alone = seen_in(vec![row(id, completed_at, status)]).unwrap_err();
            assert_eq!(alone.to_string(), message);
            assert!(alone.hint().is_some());
            let rows = vec![
                row(id, completed_at, status),
                row("W46", "2026-11-15 06:30:00", "ok"),
            ];
            let seen = seen_in(rows).unwrap();
            let mistakes: Vec<String> = seen.mistakes.iter().map(ToString::to_string).collect();
            assert_eq!(
                (seen.finished.len(), mistakes),
                (1, vec![message.to_owned()])
            );
        }
        assert_eq!(seen(&[]), (Vec::new(), None), "no rows are no mistake");
    }

    #[test]
    fn of_very_many_cycles_the_newest_are_taken() {
        let rows = (0..CYCLES_MAX + 5).map(|second| {
            let completed_at = at("15T06:30") + TimeDelta::seconds(i64::try_from(second).unwrap());
            row(&second.to_string(), &completed_at.to_rfc3339(), "ok")
        });
        let seen = seen_in(rows.rev().collect()).unwrap();
        assert_eq!(
            (
                seen.finished.len(),
                seen.finished.first().unwrap().id.as_str()
            ),
            (CYCLES_MAX, "5")
        );
    }

    /// Cycles by the clock of a dashboard that begins every day at six and takes half an hour.
    fn clock(known: Option<&Cycle>, now: DateTime<Utc>) -> Vec<Cycle> {
        let six = |until: DateTime<Utc>| {
            let day = (until - TimeDelta::hours(6)).date_naive();
            Some(day.and_hms_opt(6, 0, 0)?.and_utc())
        };
        clock_cycles(six, Duration::from_secs(30 * 60), known, now)
    }

    #[test]
    fn a_dashboard_without_a_signal_finishes_by_the_clock() {
        let first = Cycle {
            id: "2026-11-15T06:00:00Z".to_owned(),
            completed_at: at("15T06:30"),
        };
        assert_eq!(
            clock(None, at("15T06:30")),
            slice::from_ref(&first),
            "nobody followed it before"
        );
        assert_eq!(
            clock(None, at("16T06:29")),
            slice::from_ref(&first),
            "the margin is not over"
        );
        assert_eq!(clock(Some(&first), at("16T06:29")), []);
        let ids = |cycles: Vec<Cycle>| cycles.into_iter().map(|cycle| cycle.id).collect::<Vec<_>>();
        let missed = ids(clock(Some(&first), at("18T12:00")));
        assert_eq!(
            missed,
            [
                "2026-11-16T06:00:00Z",
                "2026-11-17T06:00:00Z",
                "2026-11-18T06:00:00Z"
            ]
        );
        assert_eq!(
            clock(Some(&first), at("18T12:00") + TimeDelta::days(900)).len(),
            INSTANTS_MAX
        );
        let later = Cycle {
            completed_at: at("15T06:10"),
            ..first
        };
        assert_eq!(
            clock(Some(&later), at("15T12:00")),
            [],
            "the margin was longer then, and the cycle is the same"
        );
        let ahead = Cycle {
            completed_at: at("15T06:30") + TimeDelta::days(3_650),
            ..later.clone()
        };
        assert_eq!(
            ids(clock(Some(&ahead), at("16T12:00"))),
            ["2026-11-16T06:00:00Z"],
            "the clock was ahead then"
        );
        let by_hand = Cycle {
            id: "by hand".to_owned(),
            completed_at: at("16T08:00"),
        };
        assert_eq!(
            ids(clock(Some(&by_hand), at("17T06:30"))),
            ["2026-11-17T06:00:00Z"]
        );
    }

    #[test]
    fn a_clock_before_all_instants_or_without_any_finishes_nothing() {
        let never = |_| None;
        assert_eq!(
            clock_cycles(never, Duration::ZERO, None, at("15T06:30")),
            []
        );
        assert_eq!(clock_cycles(Some, Duration::MAX, None, at("15T06:30")), []);
    }

    #[test]
    fn a_marker_is_a_regular_file_of_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cycle.json");
        assert_eq!(
            marker_text(&file).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        fs::write(&file, "{}").unwrap();
        assert_eq!(marker_text(&file).unwrap(), Some(b"{}".to_vec()));
        let link = folder.path().join("link.json");
        symlink(&file, &link).unwrap();
        assert_eq!(marker_text(&link).unwrap(), None);
        assert_eq!(marker_text(folder.path()).unwrap(), None);
        let bytes_max = usize::try_from(MARKER_BYTES_MAX).unwrap();
        fs::write(&file, vec![b' '; bytes_max]).unwrap();
        assert_eq!(
            marker_text(&file).unwrap().map(|text| text.len()),
            Some(bytes_max)
        );
        fs::write(&file, vec![b' '; bytes_max + 1]).unwrap();
        assert_eq!(marker_text(&file).unwrap(), None);
    }

    #[test]
    fn a_marker_says_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cycle.json");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            read_marker(&dashboard(), &file)
                .map_err(|error| crate::domain::error::chain(&error).join(": "))
        };
        let w46 = Told {
            id: "W46".to_owned(),
            completed_at: Some(at("15T06:30")),
            status: "succeeded".to_owned(),
        };
        let whole = r#"{"cycle_id": "W46", "completed_at": "2026-11-15T07:30:00+01:00"}"#;
        assert_eq!(read(whole), Ok(w46.clone()));
        assert_eq!(
            read(&format!("\u{feff}{whole}")),
            Ok(w46),
            "editors put a mark before what they write in UTF-8"
        );
        let wide: Vec<u8> = format!("\u{feff}{whole}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        fs::write(&file, wide).unwrap();
        let utf16 = read_marker(&dashboard(), &file).unwrap_err();
        assert!(
            utf16
                .to_string()
                .ends_with("is written in UTF-16, not in UTF-8"),
            "{utf16}"
        );
        for (text, message) in [
            (
                r#"{"cycle_id": "W46", "comp"#,
                "is not a cycle: EOF while parsing a string",
            ),
            ("", "is not a cycle: EOF while parsing a value"),
            (
                r#"{"cycle_id": "W46"}"#,
                "is not a cycle: missing field `completed_at`",
            ),
            (
                r#"{"cycle_id": 46, "completed_at": "2026-11-15T06:30:00Z"}"#,
                "is not a cycle: invalid type: integer",
            ),
            (
                r#"{"cycle_id": "W46", "completed_at": "2026-11-15T06:30:00"}"#,
                "cycle `W46` completed at a time without a zone",
            ),
            (
                r#"{"cycle_id": "W46", "completed_at": "today"}"#,
                "cycle `W46` completed at a time that cannot be read",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn what_a_dashboard_said_is_one_line() {
        let noticed = |id: &str| Noticed {
            cycle: Cycle {
                id: id.to_owned(),
                completed_at: at("15T06:30"),
            },
            noticed_at: at("15T06:31"),
            new: true,
        };
        let unfinished = row("W47", "", "running\n").unwrap();
        let mistake = NoticeError::NoId {
            dashboard: "health".to_owned(),
        };
        let look = Look {
            noticed: vec![noticed("W45"), noticed("W46")],
            unfinished: Some(unfinished.into()),
            mistakes: vec![mistake],
        };
        assert_eq!(
            look.saw(),
            "cycle `W46`, completed at 2026-11-15T06:30:00Z; cycle `W47` is `running\\n`; \
             dashboard `health` names a cycle without an id"
        );
        let nothing = Look {
            noticed: Vec::new(),
            unfinished: None,
            mistakes: Vec::new(),
        };
        assert_eq!(nothing.saw(), "no new cycle");
    }

    #[test]
    fn the_newest_cycle_is_not_taken_while_a_newer_one_went_wrong() {
        let w46 = Cycle {
            id: "W46".to_owned(),
            completed_at: at("15T06:30"),
        };
        let unfinished = |completed_at| UnfinishedCycle {
            id: "W47".to_owned(),
            status: "x".to_owned(),
            completed_at,
        };
        let newest = |finished, unfinished| newest_of(&dashboard(), finished, unfinished);
        assert_eq!(newest(Some(w46.clone()), None).unwrap(), w46);
        assert_eq!(
            newest(Some(w46.clone()), Some(unfinished(None))).unwrap(),
            w46,
            "it is still at work"
        );
        let failed = newest(Some(w46), Some(unfinished(Some(at("16T06:30")))));
        assert!(matches!(failed, Err(NoticeError::Unfinished { .. })));
        assert!(matches!(
            newest(None, Some(unfinished(None))),
            Err(NoticeError::Unfinished { .. })
        ));
        let none = newest(None, None).unwrap_err();
        assert!(
            none.hint()
                .unwrap()
                .contains("`writeback cycle health --id ID`")
        );
    }
}
