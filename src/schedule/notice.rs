//! Noticing a finished cycle: from a marker file, or from a query on one of the project's connections.

use std::path::Path;

use chrono::{DateTime, NaiveDateTime, Utc};
use polars::prelude::DataFrame;
use serde::Deserialize;

use crate::config::{Dashboard, Project, Signal};
use crate::domain::cycle::Cycle;
use crate::domain::error::SystemError;
use crate::domain::problem::Location;
use crate::domain::record::cell_text;
use crate::domain::schema::{Schema, SchemaColumn, SchemaType};
use crate::source::{AnySource, Source};

/// Longest marker file that is read; a marker is three short values.
const MARKER_BYTES_MAX: u64 = 64 * 1024;
/// Words a dashboard may use for a cycle that went well.
const SUCCESS: [&str; 5] = ["succeeded", "success", "completed", "finished", "ok"];

/// Why no cycle could be made out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoticeError {
    #[error("could not read marker file `{file}`")]
    Marker { file: String, source: std::io::Error },
    #[error("marker file `{file}` is not a regular file of at most {MARKER_BYTES_MAX} bytes")]
    NotAMarker { file: String },
    #[error("marker file `{file}` is not a cycle")]
    Malformed { file: String, source: serde_json::Error },
    #[error("the query of dashboard `{dashboard}` failed")]
    Query { dashboard: String, source: SystemError },
    #[error("dashboard `{dashboard}` names connection `{connection}`, which does not exist")]
    NoConnection { dashboard: String, connection: String },
    #[error("dashboard `{dashboard}` says that cycle `{cycle}` completed at a time that cannot be read")]
    Time { dashboard: String, cycle: String },
    #[error("dashboard `{dashboard}` names a cycle without an id")]
    NoId { dashboard: String },
    /// The newest cycle did not go well.
    #[error("cycle `{cycle}` of dashboard `{dashboard}` is `{status}`, not finished")]
    Unfinished { dashboard: String, cycle: String, status: String },
    #[error("dashboard `{dashboard}` has finished no cycle yet")]
    None { dashboard: String },
}

impl NoticeError {
    /// The next thing to do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Marker { .. } | Self::NotAMarker { .. } | Self::Malformed { .. } => Some(
                "the dashboard writes `{\"cycle_id\": \"…\", \"completed_at\": \"2026-11-15T06:30:00Z\", \"status\": \"succeeded\"}` \
                 there; or name a cycle with `--cycle ID`"
                    .to_owned(),
            ),
            Self::NoId { .. } => Some("`cycle_id` tells one cycle from the next, such as `2026-W46`".to_owned()),
            Self::Query { source, .. } => source.hint(),
            Self::NoConnection { .. } => Some("add it to `writeback.toml`".to_owned()),
            Self::Time { .. } => Some("`completed_at` is a time such as `2026-11-15T06:30:00Z`".to_owned()),
            Self::Unfinished { .. } | Self::None { .. } => {
                Some("wait for the dashboard, or name a cycle with `--cycle ID`".to_owned())
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `cycle_id`, `completed_at` and `status`")]
struct Marker {
    cycle_id: String,
    completed_at: DateTime<Utc>,
    #[serde(default = "succeeded")]
    status: String,
}

fn succeeded() -> String {
    "succeeded".to_owned()
}

/// The newest cycle that a dashboard finished.
pub(crate) async fn newest_cycle(project: &Project, dashboard: &Dashboard) -> Result<Cycle, NoticeError> {
    let (cycle, status) = match &dashboard.signal {
        Signal::Marker { file } => read_marker(file)?,
        Signal::Query { connection, sql } => ask(project, dashboard, connection, sql).await?,
        Signal::Clock { .. } | Signal::Announced => {
            return Err(NoticeError::None { dashboard: dashboard.name.clone() });
        }
    };
    if cycle.id.trim().is_empty() {
        return Err(NoticeError::NoId { dashboard: dashboard.name.clone() });
    }
    match SUCCESS.iter().any(|word| word.eq_ignore_ascii_case(&status)) {
        true => Ok(cycle),
        false => Err(NoticeError::Unfinished { dashboard: dashboard.name.clone(), cycle: cycle.id, status }),
    }
}

fn read_marker(file: &Path) -> Result<(Cycle, String), NoticeError> {
    let name = file.display().to_string();
    let unreadable = |source| NoticeError::Marker { file: name.clone(), source };
    let metadata = std::fs::symlink_metadata(file).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MARKER_BYTES_MAX {
        return Err(NoticeError::NotAMarker { file: name });
    }
    let text = std::fs::read(file).map_err(unreadable)?;
    let marker: Marker =
        serde_json::from_slice(&text).map_err(|source| NoticeError::Malformed { file: name.clone(), source })?;
    Ok((Cycle { id: marker.cycle_id, completed_at: marker.completed_at }, marker.status))
}

/// Asks a source the way records are pulled from it: three columns of text, a record for each cycle.
async fn ask(
    project: &Project,
    dashboard: &Dashboard,
    connection: &str,
    sql: &str,
) -> Result<(Cycle, String), NoticeError> {
    let name = || dashboard.name.clone();
    let connection = project
        .connections
        .get(connection)
        .ok_or_else(|| NoticeError::NoConnection { dashboard: name(), connection: connection.to_owned() })?;
    let failed = |source| NoticeError::Query { dashboard: name(), source };
    let mut source = AnySource::open(connection, &cycle_schema(dashboard, sql)).await.map_err(failed)?;
    let mut newest: Option<(Cycle, String)> = None;
    while let Some(pulled) = source.next_chunk().await.map_err(failed)? {
        for record in 0..pulled.records.height() {
            let cycle = read_cycle(dashboard, &pulled.records, record)?;
            // Not the order of the query, which a database may drop, but the time decides.
            if newest.as_ref().is_none_or(|(newest, _)| newest.completed_at < cycle.0.completed_at) {
                newest = Some(cycle);
            }
        }
    }
    newest.ok_or_else(|| NoticeError::None { dashboard: name() })
}

fn read_cycle(dashboard: &Dashboard, records: &DataFrame, record: usize) -> Result<(Cycle, String), NoticeError> {
    let cell = |name: &str| records.column(name).ok().and_then(|column| cell_text(column, record));
    let id = cell("cycle_id").ok_or_else(|| NoticeError::None { dashboard: dashboard.name.clone() })?;
    let completed_at = cell("completed_at")
        .and_then(|text| instant(&text))
        .ok_or_else(|| NoticeError::Time { dashboard: dashboard.name.clone(), cycle: id.clone() })?;
    Ok((Cycle { id, completed_at }, cell("status").unwrap_or_default()))
}

/// An instant as databases write it; a time without an offset is UTC, as the README says of this query.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"))
        .map(|instant| instant.to_utc());
    let without = || {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
            .map(|wall| wall.and_utc())
    };
    with_offset.or_else(|_| without()).ok()
}

fn cycle_schema(dashboard: &Dashboard, sql: &str) -> Schema {
    let file = format!("the query of dashboard `{}`", dashboard.name).into();
    let location = Location { file, line: 1, column: 1 };
    let column = |name: &str| SchemaColumn {
        name: name.to_owned(),
        column_type: SchemaType::Text { characters_max: None },
        nullable: true,
        location: location.clone(),
    };
    Schema {
        table: vec!["cycle".to_owned()],
        columns: ["cycle_id", "completed_at", "status"].map(column).to_vec(),
        key: vec![0],
        model: Some(sql.to_owned()),
        file: location.file.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_databases_write_them() {
        let expected = DateTime::parse_from_rfc3339("2026-11-15T06:30:00Z").expect("an instant").to_utc();
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
}
