//! The ledger's account of canaries: which were well.

use chrono::Utc;
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::codec::{count, kept, moment_text};
use super::error::{Answer, LedgerError};
use super::parts::WriteBackId;
use super::runs;
use super::sqlite::Ledger;
use super::status::RunStatus;

/// A canary that was well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct PassedCanary {
    pub(crate) records: u64,
    /// Records of them whose rows were looked at again.
    pub(crate) read_back: u64,
}

impl Ledger {
    /// The canary of a write-back was looked at and is well: the rest may follow, in this process
    /// or a later one.
    pub(crate) async fn pass_canary(
        &self,
        id: WriteBackId,
        passed: PassedCanary,
    ) -> Result<(), LedgerError> {
        let passed_at = Utc::now();
        self.write_of(id, "pass a canary in", async |connection, write_back| {
            let insert =
                sqlx::query("INSERT INTO canaries (write_back, records, read_back, passed_at) VALUES (?, ?, ?, ?)");
            let insert = insert.bind(write_back).bind(kept(passed.records)?).bind(kept(passed.read_back)?);
            insert.bind(moment_text(passed_at)).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// A run's canary is in trouble. The run is over, and its cycle is not tried again by itself:
    /// each attempt would write the canary anew, beside whoever takes it back. Errors: `NoSuchRun`.
    pub(crate) async fn give_up_run(&self, run: i64, error: &str) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("finish a run in", async |connection| {
            runs::finish_run(connection, run, RunStatus::Failed, Some(error), finished_at).await?;
            let update = sqlx::query(
                "UPDATE job_cycles SET fate = 'given_up', attempts = attempts + 1, attempted_at = ?1, decided_at = ?1, error = ?2
                 WHERE (job, cycle) IN (SELECT job, cycle FROM runs WHERE run = ?3 AND whole)",
            );
            update.bind(moment_text(finished_at)).bind(error).bind(run).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// The canary of a write-back, once it was well.
    pub(crate) async fn canary(
        &self,
        id: WriteBackId,
    ) -> Result<Option<PassedCanary>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            canary(connection, write_back).await
        })
        .await
    }
}

pub(super) async fn canary(
    connection: &mut SqliteConnection,
    write_back: i64,
) -> Answer<Option<PassedCanary>> {
    let row = sqlx::query("SELECT records, read_back FROM canaries WHERE write_back = ?")
        .bind(write_back);
    let passed = |row: &SqliteRow| {
        Ok(PassedCanary {
            records: count(row, "records")?,
            read_back: count(row, "read_back")?,
        })
    };
    row.fetch_optional(connection)
        .await?
        .as_ref()
        .map(passed)
        .transpose()
}
