//! The run ledger: the durable account of runs, write-backs, batches, outcomes and rejected records, in an embedded
//! SQLite database (`.writeback/ledger.db`; WAL, `synchronous=FULL`). A batch is recorded with its outcomes before its
//! commit is asked for, and marked committed after; so a run that was killed can be taken up where it stood.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::cycle::Cycle;
use crate::domain::outcome::{Outcome, Rejection, Tally};

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("could not {doing} the run ledger")]
    Database { doing: &'static str, source: sqlx::Error },
    #[error("could not bring the run ledger up to date")]
    Migration { source: sqlx::migrate::MigrateError },
    #[error("could not {doing} `{path}`")]
    Io { doing: &'static str, path: String, source: std::io::Error },
    /// Another process carries out the same job.
    #[error("job `{job}` is already running{by}", by = process.map_or(String::new(), |id| format!(" (process {id})")))]
    JobRunning { job: String, process: Option<u32> },
    #[error("there is no run {run}")]
    NoSuchRun { run: i64 },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    /// Begun and not finished: at work now, or interrupted.
    Running,
    Succeeded,
    /// Finished, with rejected records.
    Rejected,
    /// Could not run or finish.
    Failed,
    /// Stopped by a guard before the first write.
    Guarded,
    /// No cycle that is not written back already.
    NothingNew,
}

/// A run about to begin.
#[derive(Debug, Clone)]
pub(crate) struct NewRun<'a> {
    pub(crate) job: &'a str,
    pub(crate) cycle: &'a Cycle,
    pub(crate) started_at: DateTime<Utc>,
    /// Names, in the job's order.
    pub(crate) write_backs: Vec<&'a str>,
    /// Digest of the job file and its schemas: a run is taken up again only by the job that began it.
    pub(crate) job_digest: &'a str,
}

/// A write-back within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteBackId {
    pub(crate) run: i64,
    /// Position in the run, from 0.
    pub(crate) position: u32,
}

/// Records that were or will be written in one transaction: a range of a partition's unique records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchSpan {
    pub(crate) partition: u32,
    pub(crate) first: u32,
    pub(crate) records: u32,
}

/// A batch whose commit nobody can vouch for, with the outcomes it would have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentBatch {
    pub(crate) span: BatchSpan,
    pub(crate) outcomes: Vec<Outcome>,
}

/// An interrupted run, to be taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnfinishedRun {
    pub(crate) run: i64,
    pub(crate) cycle: Cycle,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) job_digest: String,
}

/// How far a write-back of a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Whether its package stands and its read count is final.
    pub(crate) packaged: bool,
    pub(crate) finished: bool,
    pub(crate) committed: Vec<BatchSpan>,
    pub(crate) sent: Vec<SentBatch>,
}

/// One run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunEntry {
    pub(crate) run: i64,
    pub(crate) job: String,
    pub(crate) cycle: String,
    pub(crate) cycle_completed_at: DateTime<Utc>,
    pub(crate) status: RunStatus,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Why it could not run or finish.
    pub(crate) error: Option<String>,
    pub(crate) write_backs: Vec<WriteBackEntry>,
}

/// One write-back of a run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WriteBackEntry {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    pub(crate) seconds: f64,
}

/// One batch of a run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct BatchEntry {
    pub(crate) write_back: String,
    pub(crate) partition: u32,
    pub(crate) first: u32,
    pub(crate) records: u32,
    pub(crate) attempts: u32,
    pub(crate) committed: bool,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) seconds: f64,
}

/// Held while a job runs; released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct JobLock {}

/// The ledger. Cheap to clone; clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {}

impl Ledger {
    /// Opens the ledger in the state folder, making both (folder mode 0700) if absent.
    pub(crate) async fn open(_state_folder: &Path) -> Result<Self, LedgerError> {
        unimplemented!()
    }

    /// Claims the job for this process: an exclusive lock on a file of the state folder.
    /// Errors: `JobRunning`.
    pub(crate) fn lock_job(&self, _job: &str) -> Result<JobLock, LedgerError> {
        unimplemented!()
    }

    /// Records a run as begun. Runs are numbered from 1.
    pub(crate) async fn begin_run(&self, _run: &NewRun<'_>) -> Result<i64, LedgerError> {
        unimplemented!()
    }

    /// The job's latest run, if it neither finished nor failed.
    pub(crate) async fn unfinished_run(&self, _job: &str) -> Result<Option<UnfinishedRun>, LedgerError> {
        unimplemented!()
    }

    /// The newest cycle (by completion time) that a run of the job delivered (succeeded or rejected).
    pub(crate) async fn newest_delivered_cycle(&self, _job: &str) -> Result<Option<Cycle>, LedgerError> {
        unimplemented!()
    }

    /// Adds rejected records of stages `schema`, `mapping` and, for keys that occur twice, `match`.
    /// Recording a record again replaces it.
    pub(crate) async fn record_rejections(
        &self,
        _id: WriteBackId,
        _rejections: &[Rejection],
    ) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// Forgets what an interrupted pull left (rejections), before it is begun again.
    pub(crate) async fn restart_pull(&self, _id: WriteBackId) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// The package stands; `read` records were read in all.
    pub(crate) async fn record_packaged(&self, _id: WriteBackId, _read: u64) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// A batch's statements are done and its commit comes next. `outcomes` are those of the span, in order; rejected
    /// ones are also kept as rejections. Recording a span again replaces it.
    pub(crate) async fn record_sent(
        &self,
        _id: WriteBackId,
        _span: BatchSpan,
        _outcomes: &[Outcome],
        _attempts: u32,
    ) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// The batch is committed, after `seconds` of work.
    pub(crate) async fn record_committed(
        &self,
        _id: WriteBackId,
        _span: BatchSpan,
        _seconds: f64,
    ) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// The destination refused the commit of a batch recorded as sent: it was not written.
    pub(crate) async fn forget_sent(&self, _id: WriteBackId, _span: BatchSpan) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// How far a write-back of a run has come.
    pub(crate) async fn progress(&self, _id: WriteBackId) -> Result<Progress, LedgerError> {
        unimplemented!()
    }

    /// What the ledger's own rows (batches, rejections, read count) sum to.
    pub(crate) async fn tally(&self, _id: WriteBackId) -> Result<Tally, LedgerError> {
        unimplemented!()
    }

    /// A write-back is done; `seconds` of this process are added to earlier ones'.
    pub(crate) async fn finish_write_back(&self, _id: WriteBackId, _seconds: f64) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// A run is over.
    pub(crate) async fn finish_run(
        &self,
        _run: i64,
        _status: RunStatus,
        _error: Option<&str>,
    ) -> Result<(), LedgerError> {
        unimplemented!()
    }

    /// The latest runs, newest first, of one job or of all.
    pub(crate) async fn runs(&self, _job: Option<&str>, _runs_max: u32) -> Result<Vec<RunEntry>, LedgerError> {
        unimplemented!()
    }

    /// One run.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn run(&self, _run: i64) -> Result<RunEntry, LedgerError> {
        unimplemented!()
    }

    /// The batches of one run, in order.
    pub(crate) async fn batches(&self, _run: i64) -> Result<Vec<BatchEntry>, LedgerError> {
        unimplemented!()
    }

    /// Rejected records of a write-back in order of position, `rejections_max` at most, after position `after`.
    pub(crate) async fn rejections(
        &self,
        _id: WriteBackId,
        _after: Option<u64>,
        _rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        unimplemented!()
    }

    /// Outcomes of a write-back's committed batches of one partition, by span in order.
    pub(crate) async fn outcomes(&self, _id: WriteBackId, _partition: u32) -> Result<Vec<SentBatch>, LedgerError> {
        unimplemented!()
    }
}
