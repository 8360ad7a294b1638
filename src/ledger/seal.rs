//! Checksums of the ledger's rows. A disk that gives back another value than it was given would
//! else change what was counted, or what is still to be written, and nobody would notice.
//!
//! SQLite says which rows a transaction changed; their seals are written in the same transaction,
//! so no statement of the ledger has to think of them. Tables without row numbers have none: SQLite
//! does not say which of their rows change. Nor does it say which row `INSERT OR REPLACE` takes
//! away: a seal without its row means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt as _;
use serde_json::json;
use sqlx::sqlite::{SqliteArguments, SqliteOperation, SqliteRow};
use sqlx::{Row, SqliteConnection};
use xxhash_rust::xxh3::Xxh3Default;

use super::error::Fault;
use crate::database::sqlite::at_once;
use crate::database::{Dialect, audited};

/// Up to this size all of a ledger is looked at when it is opened. Of a larger one only the newest
/// rows are: those that the next run builds on.
const BYTES_LOOKED_AT_WHOLE_MAX: u64 = 16 << 20;

/// Rows of a table that are looked at in a large ledger.
const ROWS_LOOKED_AT_MAX: i64 = 10_000;

/// Stands for the definitions of the tables among the relations; its row is the number of times
/// they were altered.
const SCHEMA: &str = "sqlite_schema";

/// The rows that changed since they were last asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(Arc<Mutex<BTreeSet<(String, i64)>>>);

impl Changes {
    /// Watches what a connection changes from now on.
    pub(super) async fn watch(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let changes = Self::default();
        let noted = changes.clone();
        connection
            .lock_handle()
            .await?
            .set_update_hook(move |change| {
                match change.operation {
                    SqliteOperation::Insert | SqliteOperation::Update | SqliteOperation::Delete => {
                    }
                    // No row is meant.
                    SqliteOperation::Unknown(_) => return,
                }
                noted
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert((change.table.to_owned(), change.rowid));
            });
        Ok(changes)
    }

    pub(super) fn take(&self) -> BTreeSet<(String, i64)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Rows that are sealed at once. What is read of them is in memory meanwhile.
const ROWS_AT_ONCE_MAX: usize = 1_000;

/// Seals rows as they are now, those that are gone losing their seal, and commits. That is two
/// hand-overs to SQLite's thread, however many writers the transaction has.
pub(super) async fn seal_and_commit(
    connection: &mut SqliteConnection,
    rows: BTreeSet<(String, i64)>,
) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, i64)> = rows.into_iter().collect();
    let mut chunks = rows.chunks(ROWS_AT_ONCE_MAX);
    let last = chunks.next_back().unwrap_or_default();
    for rows in chunks {
        seal_some(connection, rows, "").await?;
    }
    seal_some(connection, last, "; COMMIT").await
}

/// `rows` stand in the order of their relations; `then` follows in the statement that seals them.
async fn seal_some(
    connection: &mut SqliteConnection,
    rows: &[(String, i64)],
    then: &'static str,
) -> Result<(), sqlx::Error> {
    let by_relation: Vec<_> = rows.chunk_by(|(one, _), (next, _)| one == next).collect();
    let relations = by_relation.iter().filter_map(|rows| rows.first());
    let held = relations.map(|(relation, _)| {
        let relation = Dialect::Sqlite.quote(relation);
        format!(
            "SELECT rowid AS r, * FROM {relation} WHERE rowid IN (SELECT value FROM json_each(?))"
        )
    });
    let held = held.collect::<Vec<_>>().join("; ");
    let mut held = sqlx::query(audited(held));
    for rows in &by_relation {
        let numbers: Vec<i64> = rows.iter().map(|(_, row)| *row).collect();
        held = held.bind(json!(numbers).to_string());
    }
    let held = at_once(held, &mut *connection).await?;
    let mut sealed = BTreeMap::new();
    for (rows, held) in by_relation.iter().zip(&held) {
        let Some((relation, _)) = rows.first() else {
            continue;
        };
        for row in held {
            sealed.insert((relation.as_str(), row.try_get(0)?), digest(row, 1)?);
        }
    }
    let all = rows.iter().map(|(relation, row)| (relation.as_str(), *row));
    let gone: Vec<(&str, i64)> = all.filter(|row| !sealed.contains_key(row)).collect();
    let sealed = sealed.into_iter();
    let sealed: Vec<_> = sealed
        .map(|((relation, row), xxh3)| (relation, row, xxh3))
        .collect();
    if !gone.is_empty() {
        let lose = sqlx::query(
            "DELETE FROM seals WHERE (relation, row) IN
                 (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        );
        let lose = lose.bind(json!(gone).to_string());
        lose.execute(&mut *connection).await?;
    }
    let keep = format!(
        "INSERT OR REPLACE INTO seals (relation, row, xxh3)
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?){then}"
    );
    let keep = sqlx::query(audited(keep)).bind(json!(sealed).to_string());
    at_once(keep, connection).await.map(drop)
}

async fn keep(
    connection: &mut SqliteConnection,
    relation: &str,
    row: i64,
    xxh3: i64,
) -> Result<(), sqlx::Error> {
    let seal = sqlx::query("INSERT OR REPLACE INTO seals (relation, row, xxh3) VALUES (?, ?, ?)");
    seal.bind(relation)
        .bind(row)
        .bind(xxh3)
        .execute(connection)
        .await
        .map(|_| ())
}

/// Whether all was sealed since the tables were last made or altered.
pub(super) async fn are_of_these_tables(
    connection: &mut SqliteConnection,
) -> Result<bool, sqlx::Error> {
    let sealed = "SELECT count(*) > 0 FROM seals WHERE relation = ? AND row = (SELECT count(*) FROM _sqlx_migrations)";
    sqlx::query_scalar(sealed)
        .bind(SCHEMA)
        .fetch_one(connection)
        .await
}

/// Seals all there is, after tables were made or altered.
pub(super) async fn seal_all(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM seals")
        .execute(&mut *connection)
        .await?;
    for relation in relations(connection).await? {
        let sql = format!(
            "SELECT rowid AS r, * FROM {}",
            Dialect::Sqlite.quote(&relation)
        );
        for row in sqlx::query(audited(sql))
            .fetch_all(&mut *connection)
            .await?
        {
            keep(connection, &relation, row.try_get(0)?, digest(&row, 1)?).await?;
        }
    }
    let definitions = definitions(connection).await?;
    let alterations = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    keep(connection, SCHEMA, alterations, definitions).await
}

/// Looks whether the ledger is as it was written.
/// Errors: `Contents`, with what is not.
pub(super) async fn verify(connection: &mut SqliteConnection, bytes: u64) -> Result<(), Fault> {
    let small = bytes <= BYTES_LOOKED_AT_WHOLE_MAX;
    if small {
        let pages: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(&mut *connection)
            .await?;
        if pages != "ok" {
            return Err(Fault::Contents(pages));
        }
    }
    let sealed = sqlx::query_scalar("SELECT xxh3 FROM seals WHERE relation = ?").bind(SCHEMA);
    let sealed: Option<i64> = sealed.fetch_optional(&mut *connection).await?;
    if sealed != Some(definitions(connection).await?) {
        return Err(broken("the definition of a table"));
    }
    for relation in relations(connection).await? {
        verify_rows(
            connection,
            &relation,
            if small { i64::MAX } else { ROWS_LOOKED_AT_MAX },
        )
        .await?;
    }
    Ok(())
}

async fn verify_rows(
    connection: &mut SqliteConnection,
    relation: &str,
    rows_max: i64,
) -> Result<(), Fault> {
    let table = Dialect::Sqlite.quote(relation);
    let sql = format!(
        "SELECT s.xxh3 AS xxh3, t.* FROM (SELECT rowid AS r, * FROM {table} ORDER BY rowid DESC LIMIT ?2) AS t
         LEFT JOIN seals AS s ON s.relation = ?1 AND s.row = t.r"
    );
    let mut arguments = SqliteArguments::default();
    sqlx::Arguments::add(&mut arguments, relation).map_err(sqlx::Error::Encode)?;
    sqlx::Arguments::add(&mut arguments, rows_max).map_err(sqlx::Error::Encode)?;
    let mut rows = sqlx::query_with(audited(sql), arguments).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let sealed: Option<i64> = row.try_get(0)?;
        // After the seal comes the row's number, which the seal is found by.
        if sealed != Some(digest(&row, 2)?) {
            return Err(broken(&format!("a row of `{relation}`")));
        }
    }
    Ok(())
}

fn broken(what: &str) -> Fault {
    Fault::Contents(format!("{what} is not what was written"))
}

/// Tables that have row numbers.
async fn relations(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT name FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table' AND wr = 0 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(connection)
    .await
}

async fn definitions(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let defined =
        sqlx::query("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");
    let mut hash = Xxh3Default::new();
    for row in defined.fetch_all(connection).await? {
        hash.update(&digest(&row, 0)?.to_le_bytes());
    }
    Ok(hash.digest().cast_signed())
}

/// XXH3 of a row's values from column `first` on, each with its length, so that none can pass into
/// the next.
fn digest(row: &SqliteRow, first: usize) -> Result<i64, sqlx::Error> {
    let mut hash = Xxh3Default::new();
    for column in first..row.len() {
        match row.try_get_unchecked::<Option<&[u8]>, _>(column)? {
            Some(bytes) => {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
            None => hash.update(&u64::MAX.to_le_bytes()),
        }
    }
    Ok(hash.digest().cast_signed())
}
