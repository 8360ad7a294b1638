//! The ledger's account of rejected records that have not landed since: what the latest run that
//! took all records of a write-back rejected, without what retries since have delivered. The next
//! run of all records makes the account anew.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::count;
use super::error::{Answer, LedgerError};
use super::parts::WriteBackId;
use super::sqlite::Ledger;
use crate::database::audited;

/// Keys one statement inserts: two values each, far below the 32 766 that SQLite binds.
const KEYS_PER_INSERT: usize = 10_000;

/// The rejected records of one write-back that have not landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pending {
    pub(crate) write_back: String,
    /// The run that rejected them.
    pub(crate) run: i64,
    pub(crate) records: u64,
    /// Of these, records whose match key could not be read: only a run of all records takes them.
    pub(crate) without_key: u64,
}

impl Ledger {
    /// What is pending of each of the job's write-backs; nothing of those of which nothing is.
    pub(crate) async fn pending(&self, job: &str) -> Result<Vec<Pending>, LedgerError> {
        self.read(async |connection| {
            let mut all = Vec::new();
            for latest in latest_runs(connection, job).await? {
                all.push(pending(connection, job, &latest).await?);
            }
            all.retain(|pending| pending.records > 0);
            Ok(all)
        })
        .await
    }

    /// The match keys of a write-back's pending records.
    pub(crate) async fn pending_keys(
        &self,
        job: &str,
        write_back: &str,
    ) -> Result<HashSet<String>, LedgerError> {
        self.read(async |connection| {
            let latest = latest_runs(connection, job)
                .await?
                .into_iter()
                .find(|latest| latest.name == write_back);
            match latest {
                Some(latest) => pending_keys(connection, job, &latest).await,
                None => Ok(HashSet::new()),
            }
        })
        .await
    }

    /// A retry found records with these keys in the source.
    pub(crate) async fn record_retried(
        &self,
        id: WriteBackId,
        keys: &[String],
    ) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "record retried records in",
            async |connection, write_back| {
                for chunk in keys.chunks(KEYS_PER_INSERT) {
                    let mut insert =
                        sqlx::QueryBuilder::new("INSERT OR IGNORE INTO retried (write_back, key) ");
                    insert.push_values(chunk, |mut values, key| {
                        values.push_bind(write_back).push_bind(key);
                    });
                    insert.build().execute(&mut *connection).await?;
                }
                Ok(())
            },
        )
        .await
    }
}

/// Keeps of a retry's keys only those that were not rejected again.
pub(super) async fn keep_landed(connection: &mut SqliteConnection, write_back: i64) -> Answer<()> {
    let delete = sqlx::query(
        "DELETE FROM retried WHERE write_back = ?1
         AND key IN (SELECT key FROM rejections WHERE write_back = ?1 AND key IS NOT NULL)",
    );
    delete.bind(write_back).execute(connection).await?;
    Ok(())
}

/// The latest finished run that took all records of a write-back.
struct LatestRun {
    name: String,
    write_back: i64,
    run: i64,
}

/// Of each write-back that the job's latest whole run had, or that was run alone since: one that
/// the job no longer has owes nothing.
async fn latest_runs(connection: &mut SqliteConnection, job: &str) -> Answer<Vec<LatestRun>> {
    let rows = sqlx::query(
        "SELECT name, write_back, max(run) AS run FROM (
             SELECT w.name, w.write_back, runs.run FROM write_backs AS w JOIN runs USING (run)
             WHERE job = ?1 AND retry_of IS NULL AND undo_of IS NULL AND plan IS NULL AND requests_on IS NULL AND status IN ('succeeded', 'rejected')
               AND run >= coalesce((SELECT max(run) FROM runs
                                    WHERE job = ?1 AND whole AND status IN ('succeeded', 'rejected')), 0))
         GROUP BY name ORDER BY name",
    );
    let latest = |row: &SqliteRow| {
        Ok(LatestRun {
            name: row.try_get("name")?,
            write_back: row.try_get("write_back")?,
            run: row.try_get("run")?,
        })
    };
    rows.bind(job)
        .fetch_all(connection)
        .await?
        .iter()
        .map(latest)
        .collect()
}

/// `columns` of the latest run's rejections that are pending; parameters `?1` its write-back, `?2`
/// job, `?3` name, `?4` run.
fn pending_rejections(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM rejections WHERE write_back = ?1 AND (key IS NULL OR key NOT IN (
             SELECT key FROM retried WHERE write_back IN (
                 SELECT w.write_back FROM write_backs AS w JOIN runs USING (run)
                 WHERE job = ?2 AND name = ?3 AND run > ?4 AND retry_of IS NOT NULL
                   AND status IN ('succeeded', 'rejected'))))"
    )
}

async fn pending(
    connection: &mut SqliteConnection,
    job: &str,
    latest: &LatestRun,
) -> Answer<Pending> {
    let counts = sqlx::query(audited(pending_rejections(
        "count(*) AS records, count(*) - count(key) AS without_key",
    )));
    let counts = counts
        .bind(latest.write_back)
        .bind(job)
        .bind(&latest.name)
        .bind(latest.run);
    let row = counts.fetch_one(connection).await?;
    Ok(Pending {
        write_back: latest.name.clone(),
        run: latest.run,
        records: count(&row, "records")?,
        without_key: count(&row, "without_key")?,
    })
}

async fn pending_keys(
    connection: &mut SqliteConnection,
    job: &str,
    latest: &LatestRun,
) -> Answer<HashSet<String>> {
    let keys = sqlx::query_scalar::<_, Option<String>>(audited(pending_rejections("key")));
    let keys = keys
        .bind(latest.write_back)
        .bind(job)
        .bind(&latest.name)
        .bind(latest.run);
    Ok(keys
        .fetch_all(connection)
        .await?
        .into_iter()
        .flatten()
        .collect())
}
