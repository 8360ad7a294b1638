//! Values as SQLite keeps them, and back.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::{Answer, Fault};
use super::parts::BatchSpan;
use crate::domain::cycle::Cycle;

/// RFC 3339 in UTC, always of one length, so that text order is time order.
pub(super) fn moment_text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

pub(super) fn moment(text: &str) -> Answer<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed
        .map(|moment| moment.to_utc())
        .map_err(|_| Fault::Contents(format!("`{text}` is no point in time")))
}

/// A number as SQLite keeps it.
pub(super) fn kept(number: u64) -> Answer<i64> {
    i64::try_from(number)
        .map_err(|_| Fault::Contents(format!("{number} is larger than the ledger can keep")))
}

/// A column that holds a count or a position.
pub(super) fn count<Count: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Answer<Count> {
    let number: i64 = row.try_get(column)?;
    Count::try_from(number).map_err(|_| Fault::Contents(format!("`{column}` is {number}")))
}

/// A value as the ledger writes it where no column is made for it.
pub(super) fn json_text(value: &(impl Serialize + ?Sized)) -> Answer<String> {
    serde_json::to_string(value).map_err(|error| Fault::Contents(error.to_string()))
}

pub(super) fn from_json<Value: DeserializeOwned>(text: &str) -> Answer<Value> {
    serde_json::from_str(text).map_err(|error| Fault::Contents(error.to_string()))
}

/// The cycle of a run.
pub(super) fn cycle(row: &SqliteRow) -> Answer<Cycle> {
    Ok(Cycle {
        id: row.try_get("cycle")?,
        completed_at: moment(row.try_get("cycle_completed_at")?)?,
    })
}

pub(super) fn span(row: &SqliteRow) -> Answer<BatchSpan> {
    Ok(BatchSpan {
        partition: count(row, "partition")?,
        first: count(row, "first")?,
        records: count(row, "records")?,
    })
}
