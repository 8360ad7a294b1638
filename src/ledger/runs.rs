//! The ledger's account of runs: from when each began to how it ended.

use chrono::{DateTime, Utc};
use sqlx::{Row, SqliteConnection};

use super::codec::{cycle, moment, moment_text};
use super::cycles;
use super::error::{Answer, Fault, LedgerError};
use super::lock::JobLock;
use super::sqlite::Ledger;
use super::status::RunStatus;
use crate::domain::cycle::Cycle;

/// A run about to begin.
#[derive(Debug, Clone)]
pub(crate) struct NewRun<'a> {
    pub(crate) job: &'a str,
    pub(crate) cycle: &'a Cycle,
    pub(crate) started_at: DateTime<Utc>,
    /// Names, in the job's order.
    pub(crate) write_backs: Vec<&'a str>,
    /// Their versions; none of an undo.
    pub(crate) versions: Vec<&'a str>,
    /// Digest of the job file and its schemas: a run is taken up again only by the job that began
    /// it.
    pub(crate) job_digest: &'a str,
    /// The only one of the job's write-backs it is about; such a run does not deliver the cycle for
    /// the job.
    pub(crate) write_back: Option<&'a str>,
    /// The latest of the runs whose rejected records it takes again, if it takes only those; such a
    /// run does not deliver the cycle for the job either.
    pub(crate) retry_of: Option<i64>,
    /// The run that it takes back, if it is an undo; such a run delivers no cycle at all.
    pub(crate) undo_of: Option<i64>,
    /// Whether it takes back single records only.
    pub(crate) of_records: bool,
    /// SHA-256 of the saved plan that it applies, if it applies one, hexadecimal; such a run does
    /// not deliver the cycle for the job either.
    pub(crate) plan: Option<&'a str>,
}

/// An interrupted run, to be taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnfinishedRun {
    pub(crate) run: i64,
    pub(crate) cycle: Cycle,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) job_digest: String,
    /// As [`NewRun::write_back`].
    pub(crate) write_back: Option<String>,
    /// As [`NewRun::retry_of`].
    pub(crate) retry_of: Option<i64>,
    /// As [`NewRun::undo_of`].
    pub(crate) undo_of: Option<i64>,
    /// As [`NewRun::plan`].
    pub(crate) plan: Option<String>,
}

impl Ledger {
    /// Claims the job for this process: an exclusive lock on a file of the state folder.
    /// Errors: `JobRunning`.
    pub(crate) fn lock_job(&self, job: &str) -> Result<JobLock, LedgerError> {
        JobLock::take(&self.state_folder, job)
    }

    /// Records a run, and with it the job's cycle, as begun. Runs are numbered from 1.
    pub(crate) async fn begin_run(&self, run: &NewRun<'_>) -> Result<i64, LedgerError> {
        self.write("record a run in", async |connection| {
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO runs (job, cycle, cycle_completed_at, status, started_at, job_digest, write_back, retry_of, undo_of,
                           of_records, plan)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING run",
    )
    .bind(run.job)
    .bind(&run.cycle.id)
    .bind(moment_text(run.cycle.completed_at))
    .bind(RunStatus::Running.name())
    .bind(moment_text(run.started_at))
    .bind(run.job_digest)
    .bind(run.write_back)
    .bind(run.retry_of)
    .bind(run.undo_of)
    .bind(run.of_records)
    .bind(run.plan)
    .fetch_one(&mut *connection)
    .await?;
    if run.undo_of.is_none() {
        cycles::begun(connection, run.job, &run.cycle.id, run.started_at).await?;
    }
    for (position, name) in (0_i64..).zip(&run.write_backs) {
        let version = usize::try_from(position).ok();
        let version = version.and_then(|position| run.versions.get(position));
        sqlx::query("INSERT INTO write_backs (run, position, name, version) VALUES (?, ?, ?, ?)")
            .bind(number)
            .bind(position)
            .bind(*name)
            .bind(version.copied())
            .execute(&mut *connection)
            .await?;
    }
    Ok(number)
})
        .await
    }

    /// The job's latest run, if it was killed or stopped and can be taken up.
    pub(crate) async fn unfinished_run(
        &self,
        job: &str,
    ) -> Result<Option<UnfinishedRun>, LedgerError> {
        self.read(async |connection| {
            latest_run(connection, job, |status, resumable| match status {
                RunStatus::Running => true,
                RunStatus::Failed => resumable,
                RunStatus::Succeeded
                | RunStatus::Rejected
                | RunStatus::Guarded
                | RunStatus::NothingNew => false,
            })
            .await
        })
        .await
    }

    /// When a run was first begun, as it was written down then.
    pub(crate) async fn begun_at(&self, run: i64) -> Result<String, LedgerError> {
        self.read(async |connection| {
            let begun = sqlx::query_scalar("SELECT started_at FROM runs WHERE run = ?");
            Ok(begun.bind(run).fetch_one(connection).await?)
        })
        .await
    }

    /// A run is over, and its work is not to be taken up.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn finish_run(
        &self,
        run: i64,
        status: RunStatus,
        error: Option<&str>,
    ) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("finish a run in", async |connection| {
            finish_run(connection, run, status, error, finished_at).await
        })
        .await
    }

    /// A run failed, and its packages stand: the job's next run takes it up.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn stop_run(&self, run: i64, error: &str) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("stop a run in", async |connection| {
            finish_run(connection, run, RunStatus::Failed, Some(error), finished_at).await?;
            mark_resumable(connection, run).await
        })
        .await
    }

    /// A run did what it was asked to and stopped: that is no failed attempt. The job's next run
    /// takes it up if it is `resumable`. Errors: `NoSuchRun`.
    pub(crate) async fn interrupt_run(
        &self,
        run: i64,
        error: &str,
        resumable: bool,
    ) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("stop a run in", async |connection| {
            finish_run(connection, run, RunStatus::Failed, Some(error), finished_at).await?;
            mark_interrupted(connection, run).await?;
            if resumable {
                mark_resumable(connection, run).await
            } else {
                Ok(())
            }
        })
        .await
    }

    /// An unfinished run, and with it its cycle, is at work again; how it ended before is no longer
    /// how it ended. Errors: `NoSuchRun`.
    pub(crate) async fn take_up_run(&self, run: i64) -> Result<(), LedgerError> {
        let taken_up_at = Utc::now();
        self.write("take up a run in", async |connection| {
            take_up_run(connection, run, taken_up_at).await
        })
        .await
    }

    /// Runs of the same job before this one, back to the last that finished, newest first: whose
    /// packages may still stand, though nothing will take them up.
    pub(crate) async fn runs_left_behind(&self, run: i64) -> Result<Vec<i64>, LedgerError> {
        self.read(async |connection| {
    let earlier = sqlx::query_scalar(
        "SELECT run FROM runs
         WHERE job = (SELECT job FROM runs WHERE run = ?1) AND run < ?1 AND requests_on IS NULL
               AND run >= (SELECT coalesce(max(finished.run), 0) FROM runs AS finished
                           WHERE finished.job = runs.job AND finished.run < ?1 AND finished.status IN (?2, ?3)
                                 AND finished.requests_on IS NULL)
         ORDER BY run DESC",
    );
    let earlier = earlier
        .bind(run)
        .bind(RunStatus::Succeeded.name())
        .bind(RunStatus::Rejected.name());
    Ok(earlier.fetch_all(connection).await?)
})
            .await
    }

    /// Runs of a job that had the write-back and ended before `instant`.
    pub(crate) async fn runs_ended_before(
        &self,
        job: &str,
        write_back: &str,
        instant: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>, LedgerError> {
        self.read(async |connection| {
    // A run that ended later than now did so by a clock that was ahead: it ended before the next
    // one began.
    let runs = sqlx::query_scalar(
        "SELECT run FROM runs JOIN write_backs USING (run)
         WHERE job = ?1 AND name = ?2
               AND CASE WHEN finished_at <= ?4 THEN finished_at
                        ELSE (SELECT min(started_at) FROM runs AS later WHERE later.run > runs.run) END < ?3
               AND finished_at IS NOT NULL
         ORDER BY run",
    );
    let runs = runs
        .bind(job)
        .bind(write_back)
        .bind(moment_text(instant))
        .bind(moment_text(now));
    Ok(runs.fetch_all(connection).await?)
})
        .await
    }
}

/// The job's latest run, if it is `wanted`, which is told its status and whether it is resumable.
pub(super) async fn latest_run(
    connection: &mut SqliteConnection,
    job: &str,
    wanted: impl FnOnce(RunStatus, bool) -> bool,
) -> Answer<Option<UnfinishedRun>> {
    let latest = sqlx::query(
        "SELECT * FROM runs WHERE job = ? AND requests_on IS NULL ORDER BY run DESC LIMIT 1",
    )
    .bind(job);
    let Some(row) = latest.fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    if !wanted(
        RunStatus::named(row.try_get("status")?)?,
        row.try_get("resumable")?,
    ) {
        return Ok(None);
    }
    Ok(Some(UnfinishedRun {
        run: row.try_get("run")?,
        cycle: cycle(&row)?,
        started_at: moment(row.try_get("started_at")?)?,
        job_digest: row.try_get("job_digest")?,
        write_back: row.try_get("write_back")?,
        retry_of: row.try_get("retry_of")?,
        undo_of: row.try_get("undo_of")?,
        plan: row.try_get("plan")?,
    }))
}

pub(super) async fn finish_run(
    connection: &mut SqliteConnection,
    run: i64,
    status: RunStatus,
    error: Option<&str>,
    finished_at: DateTime<Utc>,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE runs SET status = ?, error = ?, resumable = 0, interrupted = 0, finished_at = ? WHERE run = ?",
    );
    let update = update
        .bind(status.name())
        .bind(error)
        .bind(moment_text(finished_at))
        .bind(run);
    match update.execute(connection).await?.rows_affected() {
        0 => Err(Fault::NoSuchRun(run)),
        _ => Ok(()),
    }
}

async fn mark_resumable(connection: &mut SqliteConnection, run: i64) -> Answer<()> {
    sqlx::query("UPDATE runs SET resumable = 1 WHERE run = ?")
        .bind(run)
        .execute(connection)
        .await?;
    Ok(())
}

async fn mark_interrupted(connection: &mut SqliteConnection, run: i64) -> Answer<()> {
    sqlx::query("UPDATE runs SET interrupted = 1 WHERE run = ?")
        .bind(run)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn take_up_run(
    connection: &mut SqliteConnection,
    run: i64,
    at: DateTime<Utc>,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE runs SET status = ?, error = NULL, resumable = 0, interrupted = 0, finished_at = NULL WHERE run = ?
         RETURNING job, cycle, undo_of",
    );
    let row = update
        .bind(RunStatus::Running.name())
        .bind(run)
        .fetch_optional(&mut *connection)
        .await?;
    let row = row.ok_or(Fault::NoSuchRun(run))?;
    match row.try_get::<Option<i64>, _>("undo_of")? {
        Some(_) => Ok(()),
        None => cycles::begun(connection, row.try_get("job")?, row.try_get("cycle")?, at).await,
    }
}
