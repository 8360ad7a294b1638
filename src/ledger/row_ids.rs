//! The ledger's account of the rows that steps made of records, or found.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row, Sqlite};

use super::error::LedgerError;
use super::parts::WriteBackId;
use super::sqlite::Ledger;

/// Keys asked for by one statement, far below what SQLite binds.
const KEYS_PER_QUERY: usize = 500;

/// Whose rows are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowsOf<'a> {
    pub(crate) job: &'a str,
    pub(crate) write_back: &'a str,
    /// The connection.
    pub(crate) destination: &'a str,
}

impl Ledger {
    /// The ids of rows by the keys of their records, as far as they are known.
    pub(crate) async fn row_ids(
        &self,
        of: RowsOf<'_>,
        keys: &[&str],
    ) -> Result<BTreeMap<String, String>, LedgerError> {
        self.read(async |connection| {
            let mut ids = BTreeMap::new();
            for keys in keys.chunks(KEYS_PER_QUERY) {
                let mut query =
                    QueryBuilder::<Sqlite>::new("SELECT key, id FROM row_ids WHERE job = ");
                query
                    .push_bind(of.job)
                    .push(" AND write_back = ")
                    .push_bind(of.write_back);
                query.push(" AND destination = ").push_bind(of.destination);
                query.push(" AND key IN (");
                let mut list = query.separated(", ");
                keys.iter().for_each(|key| {
                    list.push_bind(*key);
                });
                query.push(")");
                for row in query.build().fetch_all(&mut *connection).await? {
                    ids.insert(row.try_get("key")?, row.try_get("id")?);
                }
            }
            Ok(ids)
        })
        .await
    }

    /// A run made rows of records, or found them. What was known of the same records is replaced.
    pub(crate) async fn remember_rows(
        &self,
        of: RowsOf<'_>,
        run: i64,
        rows: &[(String, String)],
    ) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write("remember rows in", async |connection| {
            for (key, id) in rows {
                let insert = sqlx::query(
                    "INSERT INTO row_ids (job, write_back, destination, key, id, run) VALUES (?, ?, ?, ?, ?, ?)
                     ON CONFLICT DO UPDATE SET id = excluded.id, run = excluded.run",
                );
                let insert = insert.bind(of.job).bind(of.write_back).bind(of.destination);
                insert.bind(key).bind(id).bind(run).execute(&mut *connection).await?;
            }
            Ok(())
        })
        .await
    }

    /// The rows of these records are gone, or were never made.
    pub(crate) async fn forget_rows(
        &self,
        of: RowsOf<'_>,
        keys: &[&str],
    ) -> Result<(), LedgerError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.write("forget rows in", async |connection| {
            for key in keys {
                let delete = sqlx::query(
                    "DELETE FROM row_ids WHERE job = ? AND write_back = ? AND destination = ? AND key = ?",
                );
                let delete = delete.bind(of.job).bind(of.write_back).bind(of.destination);
                delete.bind(key).execute(&mut *connection).await?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets what was decided of a write-back's records before the first of them was sent, for it
    /// is to be decided again.
    pub(crate) async fn restart_creation(&self, id: WriteBackId) -> Result<(), LedgerError> {
        self.write_of(id, "decide again in", async |connection, write_back| {
            for statement in [
                "DELETE FROM left_alone WHERE write_back = ? AND parked = 0",
                "DELETE FROM rejections WHERE write_back = ? AND stage = 'match' AND batch IS NULL",
            ] {
                sqlx::query(statement)
                    .bind(write_back)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
        .await
    }
}
