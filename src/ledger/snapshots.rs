//! Snapshots of write-backs: what each was taken of, and which run sent records last.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::codec::count;
use super::error::{Answer, LedgerError};
use super::sqlite::Ledger;
use crate::domain::compare::SnapshotFacts;

impl Ledger {
    pub(crate) async fn snapshot(
        &self,
        job: &str,
        write_back: &str,
    ) -> Result<Option<SnapshotFacts>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query("SELECT * FROM snapshots WHERE job = ? AND write_back = ?");
            let row = row.bind(job).bind(write_back);
            row.fetch_optional(connection)
                .await?
                .as_ref()
                .map(facts)
                .transpose()
        })
        .await
    }

    /// A snapshot stands anew, in place of the one before.
    pub(crate) async fn record_snapshot(
        &self,
        job: &str,
        write_back: &str,
        facts: &SnapshotFacts,
    ) -> Result<(), LedgerError> {
        self.write("record a snapshot in", async |connection| {
            let insert = sqlx::query(
                "INSERT INTO snapshots (job, write_back, run, version, prepared, partial_runs, distrusted)
                 VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (job, write_back) DO UPDATE SET run = excluded.run, version = excluded.version,
                     prepared = excluded.prepared, partial_runs = excluded.partial_runs, distrusted = excluded.distrusted",
            );
            let insert = insert.bind(job).bind(write_back).bind(facts.run).bind(&facts.version);
            let insert = insert.bind(&facts.prepared).bind(facts.partial_runs);
            insert.bind(&facts.distrusted).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// A snapshot is not to be relied on any more, if there is one.
    pub(crate) async fn distrust_snapshot(
        &self,
        job: &str,
        write_back: &str,
        why: &str,
    ) -> Result<(), LedgerError> {
        self.write("record a snapshot in", async |connection| {
            let update =
                sqlx::query("UPDATE snapshots SET distrusted = ? WHERE job = ? AND write_back = ?");
            let update = update.bind(why).bind(job).bind(write_back);
            update.execute(connection).await?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn forget_snapshot(
        &self,
        job: &str,
        write_back: &str,
    ) -> Result<(), LedgerError> {
        self.write("forget a snapshot in", async |connection| {
            let delete = sqlx::query("DELETE FROM snapshots WHERE job = ? AND write_back = ?");
            delete
                .bind(job)
                .bind(write_back)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// A run other than `run`, and other than the snapshot's, that sent records of a job's write-back
    /// after the snapshot's began to: batches are numbered as they are first sent.
    pub(crate) async fn sent_since(
        &self,
        job: &str,
        write_back: &str,
        snapshot_of: i64,
        run: i64,
    ) -> Result<Option<i64>, LedgerError> {
        self.read(async |connection| {
            let first: Option<i64> = sqlx::query_scalar(
                "SELECT min(batch) FROM batches JOIN write_backs USING (write_back) WHERE run = ? AND name = ?",
            )
            .bind(snapshot_of)
            .bind(write_back)
            .fetch_one(&mut *connection)
            .await?;
            let latest = sqlx::query_scalar(
                "SELECT max(run) FROM batches AS b JOIN write_backs AS w USING (write_back) JOIN runs USING (run)
                 WHERE job = ? AND w.name = ? AND run NOT IN (?, ?)
                   AND (b.batch > ? OR (? IS NULL AND run > ?))",
            );
            let latest = latest.bind(job).bind(write_back).bind(snapshot_of).bind(run);
            let latest = latest.bind(first).bind(first).bind(snapshot_of);
            Ok(latest.fetch_one(connection).await?)
        })
        .await
    }
}

fn facts(row: &SqliteRow) -> Answer<SnapshotFacts> {
    Ok(SnapshotFacts {
        run: row.try_get("run")?,
        version: row.try_get("version")?,
        prepared: row.try_get("prepared")?,
        partial_runs: count(row, "partial_runs")?,
        distrusted: row.try_get("distrusted")?,
    })
}
