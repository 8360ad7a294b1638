//! The ledger's account of paused jobs: which ones a person said nothing is to run for a while.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::codec::{moment, moment_text};
use super::error::{Answer, LedgerError};
use super::sqlite::Ledger;
use crate::domain::pause::Pause;

impl Ledger {
    /// Pauses a job; what was said of it before no longer holds.
    pub(crate) async fn pause(&self, job: &str, pause: &Pause) -> Result<(), LedgerError> {
        self.write("pause a job in", async |connection| {
            let insert = sqlx::query(
                "INSERT INTO paused (job, until, reason, paused_by, paused_at) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (job) DO UPDATE SET until = excluded.until, reason = excluded.reason,
                     paused_by = excluded.paused_by, paused_at = excluded.paused_at",
            );
            let insert = insert
                .bind(job)
                .bind(pause.until.map(moment_text))
                .bind(&pause.reason)
                .bind(pause.paused_by.as_deref())
                .bind(moment_text(pause.paused_at));
            insert.execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Ends a job's pause; whether there was one.
    pub(crate) async fn resume(&self, job: &str) -> Result<bool, LedgerError> {
        self.write("end a pause in", async |connection| {
            let delete = sqlx::query("DELETE FROM paused WHERE job = ?").bind(job);
            Ok(delete.execute(connection).await?.rows_affected() > 0)
        })
        .await
    }

    /// Every job's pause that the clock has not ended at `now`, by job.
    pub(crate) async fn pauses(
        &self,
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, Pause>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query("SELECT * FROM paused WHERE until IS NULL OR until > ?");
            let rows = rows.bind(moment_text(now)).fetch_all(connection).await?;
            let of_job = |row: &SqliteRow| Ok((row.try_get("job")?, pause(row)?));
            rows.iter().map(of_job).collect()
        })
        .await
    }

    /// A job's pause that the clock has not ended at `now`, if it is paused.
    pub(crate) async fn pause_of(
        &self,
        job: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Pause>, LedgerError> {
        self.read(async |connection| {
            let row =
                sqlx::query("SELECT * FROM paused WHERE job = ? AND (until IS NULL OR until > ?)");
            let row = row
                .bind(job)
                .bind(moment_text(now))
                .fetch_optional(connection)
                .await?;
            row.as_ref().map(pause).transpose()
        })
        .await
    }
}

fn pause(row: &SqliteRow) -> Answer<Pause> {
    let until: Option<&str> = row.try_get("until")?;
    Ok(Pause {
        until: until.map(moment).transpose()?,
        reason: row.try_get("reason")?,
        paused_by: row.try_get("paused_by")?,
        paused_at: moment(row.try_get("paused_at")?)?,
    })
}
