//! The ledger's account of rejected records that have not landed since: what the latest run that
//! took all records of a write-back rejected, without what retries since have delivered. The next
//! run of all records makes the account anew.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{count, json_text};
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
        let mut all = self.pending_of(&[job]).await?;
        Ok(all.remove(job).unwrap_or_default())
    }

    /// As [`Ledger::pending`], of several jobs, by job.
    pub(crate) async fn pending_of(
        &self,
        jobs: &[&str],
    ) -> Result<HashMap<String, Vec<Pending>>, LedgerError> {
        self.read(async |connection| {
            let mut all: HashMap<String, Vec<Pending>> = HashMap::new();
            for latest in latest_runs(connection, jobs).await? {
                let pending = pending(connection, &latest).await?;
                if pending.records > 0 {
                    all.entry(latest.job).or_default().push(pending);
                }
            }
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
            let latest = latest_runs(connection, &[job])
                .await?
                .into_iter()
                .find(|latest| latest.name == write_back);
            match latest {
                Some(latest) => pending_keys(connection, &latest).await,
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
    job: String,
    name: String,
    write_back: i64,
    run: i64,
    /// Its rejected records and those without a key, where they were counted and no retry since has
    /// delivered any.
    untouched: Option<(u64, u64)>,
}

/// Of each write-back that a job's latest whole run had, or that was run alone since: one that the
/// job no longer has owes nothing.
async fn latest_runs(connection: &mut SqliteConnection, jobs: &[&str]) -> Answer<Vec<LatestRun>> {
    let rows = sqlx::query(
        "WITH latest AS (
             SELECT asked.value AS job, w.name AS name, w.write_back AS write_back, max(runs.run) AS run,
                    w.rejected_in_all AS records, w.rejected_keyless AS without_key
             FROM json_each(?) AS asked JOIN runs ON runs.job = asked.value JOIN write_backs AS w USING (run)
             WHERE retry_of IS NULL AND undo_of IS NULL AND plan IS NULL AND requests_on IS NULL
               AND status IN ('succeeded', 'rejected')
               AND runs.run >= coalesce((SELECT max(run) FROM runs AS done WHERE done.job = asked.value
                                         AND done.whole AND done.status IN ('succeeded', 'rejected')), 0)
             GROUP BY asked.value, w.name)
         SELECT *, records > 0 AND EXISTS (
                SELECT 1 FROM runs JOIN write_backs AS w USING (run) JOIN retried ON retried.write_back = w.write_back
                WHERE runs.job = latest.job AND runs.run > latest.run AND retry_of IS NOT NULL
                  AND status IN ('succeeded', 'rejected') AND w.name = latest.name) AS retried
         FROM latest ORDER BY job, name",
    );
    let rows = rows.bind(json_text(jobs)?).fetch_all(connection).await?;
    rows.iter().map(latest_run).collect()
}

fn latest_run(row: &SqliteRow) -> Answer<LatestRun> {
    let counted = row.try_get::<Option<i64>, _>("records")?.is_some();
    let untouched = match counted && !row.try_get::<bool, _>("retried")? {
        true => Some((count(row, "records")?, count(row, "without_key")?)),
        false => None,
    };
    Ok(LatestRun {
        job: row.try_get("job")?,
        name: row.try_get("name")?,
        write_back: row.try_get("write_back")?,
        run: row.try_get("run")?,
        untouched,
    })
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

async fn pending(connection: &mut SqliteConnection, latest: &LatestRun) -> Answer<Pending> {
    let (records, without_key) = match latest.untouched {
        Some(counted) => counted,
        None => {
            let counts = sqlx::query(audited(pending_rejections(
                "count(*) AS records, count(*) - count(key) AS without_key",
            )));
            let counts = counts.bind(latest.write_back).bind(&latest.job);
            let counts = counts.bind(&latest.name).bind(latest.run);
            let row = counts.fetch_one(connection).await?;
            (count(&row, "records")?, count(&row, "without_key")?)
        }
    };
    Ok(Pending {
        write_back: latest.name.clone(),
        run: latest.run,
        records,
        without_key,
    })
}

async fn pending_keys(
    connection: &mut SqliteConnection,
    latest: &LatestRun,
) -> Answer<HashSet<String>> {
    let keys = sqlx::query_scalar::<_, Option<String>>(audited(pending_rejections("key")));
    let keys = keys
        .bind(latest.write_back)
        .bind(&latest.job)
        .bind(&latest.name)
        .bind(latest.run);
    Ok(keys
        .fetch_all(connection)
        .await?
        .into_iter()
        .flatten()
        .collect())
}
