//! The ledger's account of requests about write-backs that have several destinations. Every
//! destination has a request of its own; this tells which of them belong together.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{from_json, json_text, moment_text};
use super::error::{Answer, LedgerError};
use super::sqlite::Ledger;

/// A request about several destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestOfSeveral {
    pub(crate) id: String,
    pub(crate) caller: String,
    pub(crate) idempotency_key: Option<String>,
    /// SHA-256 of what is asked for, hexadecimal.
    pub(crate) digest: String,
    /// The record's key, as its caller named it.
    pub(crate) record: String,
    pub(crate) parts: Vec<RequestPart>,
}

/// What it is at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestPart {
    pub(crate) destination: String,
    pub(crate) object: String,
    pub(crate) fate: PartFate,
}

/// What became of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartFate {
    /// It was recorded: the id of its own request.
    Request(String),
    /// It was not: nothing was written, and this is why.
    Refused {
        status: u16,
        title: String,
        hint: Option<String>,
    },
}

impl RequestOfSeveral {
    /// Ids of the parts' own requests.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match &part.fate {
            PartFate::Request(id) => Some(id.as_str()),
            PartFate::Refused { .. } => None,
        })
    }
}

impl Ledger {
    /// Records which requests belong together, in the place of what was recorded under that id.
    pub(crate) async fn record_several(
        &self,
        several: &RequestOfSeveral,
        asked_at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.write("record a request in", async |connection| {
            let insert = sqlx::query(
                "INSERT INTO requests_of_several (id, caller, idempotency_key, digest, asked_at, record, parts)
                 VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET parts = excluded.parts",
            );
            let insert = insert
                .bind(&several.id)
                .bind(&several.caller)
                .bind(&several.idempotency_key);
            let insert = insert.bind(&several.digest).bind(moment_text(asked_at));
            let insert = insert.bind(&several.record).bind(json_text(&several.parts)?);
            insert.execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// A request about several destinations by the id that its caller was told, if there is one.
    pub(crate) async fn several(&self, id: &str) -> Result<Option<RequestOfSeveral>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query("SELECT * FROM requests_of_several WHERE id = ?").bind(id);
            let row = row.fetch_optional(connection).await?;
            row.as_ref().map(of_several).transpose()
        })
        .await
    }

    /// The one that a caller made with this `Idempotency-Key`, if it made one.
    pub(crate) async fn several_keyed(
        &self,
        caller: &str,
        key: &str,
    ) -> Result<Option<RequestOfSeveral>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query(
                "SELECT * FROM requests_of_several WHERE caller = ? AND idempotency_key = ?",
            );
            let row = row
                .bind(caller)
                .bind(key)
                .fetch_optional(connection)
                .await?;
            row.as_ref().map(of_several).transpose()
        })
        .await
    }
}

/// Forgets keys of what was asked for before `until`, and all of it where no part is left.
pub(super) async fn forget(connection: &mut SqliteConnection, until: &str) -> Answer<()> {
    let keys =
        sqlx::query("UPDATE requests_of_several SET idempotency_key = NULL WHERE asked_at < ?");
    keys.bind(until).execute(&mut *connection).await?;
    let gone = sqlx::query(
        "DELETE FROM requests_of_several WHERE asked_at < ? AND NOT EXISTS
             (SELECT 1 FROM json_each(parts) AS part JOIN record_requests AS r ON r.id = part.value ->> '$.fate.request')",
    );
    gone.bind(until).execute(connection).await?;
    Ok(())
}

fn of_several(row: &SqliteRow) -> Answer<RequestOfSeveral> {
    Ok(RequestOfSeveral {
        id: row.try_get("id")?,
        caller: row.try_get("caller")?,
        idempotency_key: row.try_get("idempotency_key")?,
        digest: row.try_get("digest")?,
        record: row.try_get("record")?,
        parts: from_json(row.try_get("parts")?)?,
    })
}
