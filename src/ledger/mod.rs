//! The run ledger: the durable account of runs, write-backs, batches, outcomes and rejected
//! records, in an embedded SQLite database (`.writeback/ledger.db`; WAL, `synchronous=FULL`). A
//! batch is recorded with its outcomes before its commit is asked for, and marked committed after;
//! so a run that was killed can be taken up where it stood.

mod alerts;
mod canaries;
pub(crate) mod cycles;
mod guards;
mod journal;
mod last_written;
mod lock;
mod outcomes;
mod parked;
mod pending;
mod rows;
mod seal;
mod undo;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::Mutex;

pub(crate) use self::alerts::{Notification, Telling, Told};
pub(crate) use self::canaries::PassedCanary;
pub(crate) use self::guards::Approval;
pub(crate) use self::journal::{JournalRun, RunKind};
pub(crate) use self::last_written::{LastWrittenEntry, SendingRun, SentSegments, TestedValues};
pub(crate) use self::lock::{JobLock, ServeLock, file_name_of as job_file_name};
pub(crate) use self::pending::Pending;
use self::rows::{Fault, Which};
use self::seal::Changes;
use crate::domain::cycle::Cycle;
use crate::domain::doubt::Marker;
use crate::domain::guard::Objection;
use crate::domain::outcome::{Outcome, Rejection, SkipReason, Tally};
use crate::{fault, state};

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("could not {doing} the run ledger")]
    Database {
        doing: &'static str,
        source: sqlx::Error,
    },
    #[error("could not bring the run ledger up to date")]
    Migration { source: MigrateError },
    #[error("could not {doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        source: std::io::Error,
    },
    #[error("the run ledger `{path}` is damaged: {what}")]
    Damaged { path: String, what: String },
    #[error("the run ledger `{path}` was removed or replaced while it was in use")]
    Removed { path: String },
    #[error("the run ledger `{path}` was written by a newer version")]
    Newer { path: String },
    /// Another process carries out the same job.
    #[error("job `{job}` is already running{by}", by = process.map_or(String::new(), |id| format!(" (process {id})")))]
    JobRunning { job: String, process: Option<u32> },
    /// Another process serves the project.
    #[error("the project is already served{by}", by = process.map_or(String::new(), |id| format!(" (process {id})")))]
    AlreadyServing { process: Option<u32> },
    #[error("there is no run {run}")]
    NoSuchRun { run: i64 },
    /// A batch was to be marked as committed that was never recorded as sent.
    #[error("no batch of partition {} that begins at record {} was recorded", span.partition, span.first)]
    NoSuchBatch { span: BatchSpan },
}

impl LedgerError {
    fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            doing,
            path: path.display().to_string(),
            source,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Database { source, .. } => database_hint(source).map(str::to_owned),
            Self::Migration { .. } | Self::NoSuchBatch { .. } => None,
            Self::Io { source, .. } => state::hint(source).map(str::to_owned),
            Self::Damaged { path, .. } => Some(format!(
                "restore `{path}` from a backup, or move it away with the files `{path}-wal` and `{path}-shm` beside it; \
                 without it history is empty and an interrupted run begins anew, which writes nothing twice"
            )),
            Self::Removed { .. } => Some(
                "begin again: there is a new ledger then, and nothing is written twice; what was written before cannot be \
                 undone without the old one"
                    .to_owned(),
            ),
            Self::Newer { .. } => Some("use that version, or a newer one".to_owned()),
            Self::JobRunning { .. } => {
                Some("wait until it is done, or stop it: the next run takes up its work".to_owned())
            }
            Self::AlreadyServing { .. } => Some("it takes over once that process is gone".to_owned()),
            Self::NoSuchRun { .. } => Some("`writeback runs` lists those there are".to_owned()),
        }
    }
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
    /// SHA-256 of the saved plan that it applies, if it applies one, hexadecimal; such a run does
    /// not deliver the cycle for the job either.
    pub(crate) plan: Option<&'a str>,
}

/// A write-back within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteBackId {
    pub(crate) run: i64,
    /// Position in the run, from 0.
    pub(crate) position: u32,
}

/// Records that were or will be written in one transaction: a range of a partition's unique
/// records.
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

/// What the records of a package were mapped for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MappedFor {
    /// Fingerprint of the layout.
    pub(crate) layout: String,
    /// Name of the connection.
    pub(crate) destination: String,
    /// The object's path, outermost name first.
    pub(crate) object: Vec<String>,
    pub(crate) fields: Vec<MappedField>,
    /// Path of the table that tells what was written, if there is one.
    pub(crate) journal: Option<Vec<String>>,
}

/// A field as it was when records were made to fit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MappedField {
    /// The column's.
    pub(crate) name: String,
    pub(crate) declared: String,
    /// Position in the match key, if it is part of it.
    pub(crate) key: Option<usize>,
    /// As [`crate::domain::layout::LayoutField::own_text`].
    pub(crate) own_text: bool,
}

/// What a write-back of a run wrote, as an undo of it must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenTo {
    /// Position in its run, from 0.
    pub(crate) position: u32,
    pub(crate) name: String,
    /// What its records were mapped for, but for the layout; absent if it never came to that, or an
    /// earlier version wrote it.
    pub(crate) mapped_for: Option<MappedFor>,
    /// Records that it updated, inserted or deleted, or may have.
    pub(crate) written: u64,
    /// Whether there are before-images of them.
    pub(crate) has_images: bool,
}

/// Where the before-images of a batch stand: a piece of a file in the run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageSegment {
    /// Its name in the folder of the write-back's before-images.
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// XXH3 of the piece, 64 bits.
    pub(crate) xxh3: u64,
}

/// The before-images of one sending of a batch, and what is known of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentImages {
    /// Under which the ledger knows them.
    pub(crate) image: i64,
    pub(crate) span: BatchSpan,
    pub(crate) segment: ImageSegment,
    pub(crate) commit: Commit,
    /// What tells whether it was committed, if anything does.
    pub(crate) marker: Option<Marker>,
}

impl SentImages {
    /// Orders a batch's sendings by whose before-image of a record counts: the latest that is known
    /// to be committed, else the first, which may be. What rows held after that, earlier versions
    /// kept too.
    pub(crate) fn that_count_first(sendings: &[Self]) -> Vec<&Self> {
        let is_known = |sending: &&Self| sending.commit == Commit::Known;
        sendings
            .iter()
            .rev()
            .filter(is_known)
            .chain(sendings.iter().filter(|sending| !is_known(sending)))
            .collect()
    }
}

/// What is known of the commit of a sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    Known,
    /// The batch is over, and what this sending was to write is taken for written: rows no longer
    /// held what they held before.
    Doubtful,
    /// The batch was sent and is not known to be committed.
    InDoubt,
}

/// What a batch left in files beside its run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    pub(crate) images: Option<ImageSegment>,
    /// What tells whether the sending was committed.
    pub(crate) marker: Option<Marker>,
    /// Which of its values were kept, and which were found to be what was sent.
    pub(crate) conflicts: Option<ImageSegment>,
    /// What earlier sendings left.
    pub(crate) earlier: Earlier,
}

/// What becomes of what earlier sendings of a batch left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// These before-images go: the destination says that their sendings were rolled back.
    RolledBack(Vec<i64>),
    /// As above, and the others stay in doubt for good: what rows no longer held was not sent
    /// again.
    Doubtful(Vec<i64>),
}

impl Default for Earlier {
    fn default() -> Self {
        Self::RolledBack(Vec::new())
    }
}

/// An interrupted run, to be taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnfinishedRun {
    pub(crate) run: i64,
    pub(crate) cycle: Cycle,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) job_digest: String,
    /// As [`NewRun::retry_of`].
    pub(crate) retry_of: Option<i64>,
    /// As [`NewRun::undo_of`].
    pub(crate) undo_of: Option<i64>,
    /// As [`NewRun::plan`].
    pub(crate) plan: Option<String>,
}

/// How far a write-back of a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Whether its package stands and its read count is final.
    pub(crate) packaged: bool,
    /// Fingerprint of the layout its package was mapped for.
    pub(crate) layout: Option<String>,
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
    /// As [`NewRun::retry_of`].
    pub(crate) retry_of: Option<i64>,
    /// As [`NewRun::undo_of`].
    pub(crate) undo_of: Option<i64>,
    /// As [`NewRun::plan`].
    pub(crate) plan: Option<String>,
    /// What guards had against it.
    pub(crate) guards: Vec<Objection>,
    /// Why it went ahead all the same, if it did.
    pub(crate) approval: Option<Approval>,
    pub(crate) write_backs: Vec<WriteBackEntry>,
}

/// One write-back of a run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WriteBackEntry {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// Those known to be committed.
    pub(crate) batches: u64,
    pub(crate) seconds: f64,
    /// Of the records that count as written, those of batches that were sent and are not known to
    /// be committed.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) in_doubt: u64,
    /// Of its records, those that went first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<PassedCanary>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(records: &u64) -> bool {
    *records == 0
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

/// How fast the latest runs of a write-back went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// How many runs these are; at least one.
    pub(crate) runs: u32,
    pub(crate) seconds_per_record: f64,
}

impl Pace {
    #[expect(
        clippy::cast_precision_loss,
        reason = "no run reads as many records as a float stops counting at"
    )]
    pub(crate) fn seconds_for(&self, records: u64) -> f64 {
        self.seconds_per_record * records as f64
    }
}

/// The ledger. Cheap to clone; clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    state_folder: PathBuf,
    file: PathBuf,
    /// The file that is open, whatever stands under its name by now.
    opened: FileNumber,
    connection: Arc<Mutex<SqliteConnection>>,
    /// Of this connection, to be sealed by the end of each transaction.
    changes: Changes,
}

/// Tells a file from every other, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileNumber {
    device: u64,
    inode: u64,
}

impl FileNumber {
    fn of(file: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(file)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

const LEDGER_FILE: &str = "ledger.db";

/// How long a statement waits for another process that is writing: longer than any write of the
/// ledger takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

impl Ledger {
    /// Opens the ledger in the state folder, making both (folder mode 0700) if absent.
    /// Errors: `Damaged`, `Newer`, `Io`.
    pub(crate) async fn open(state_folder: &Path) -> Result<Self, LedgerError> {
        state::make_folder(state_folder)
            .map_err(|error| LedgerError::io("make", state_folder, error))?;
        let file = state_folder.join(LEDGER_FILE);
        let _alone = lock::opening(state_folder).await?;
        // SQLite would make the file readable for everybody; the files it keeps beside it take its
        // mode.
        state::open_or_create_file(&file).map_err(|error| LedgerError::io("open", &file, error))?;
        let connection = connect(&file)
            .await
            .map_err(|error| database_error("open", &file, error))?;
        let mut connection = up_to_date(connection, &file).await?;
        let changes = Changes::watch(&mut connection)
            .await
            .map_err(|error| database_error("open", &file, error))?;
        let connection = Arc::new(Mutex::new(connection));
        let opened =
            FileNumber::of(&file).map_err(|error| LedgerError::io("open", &file, error))?;
        Ok(Self {
            state_folder: state_folder.to_owned(),
            file,
            opened,
            connection,
            changes,
        })
    }

    /// Opens the ledger if there is one.
    /// Errors: as [`Ledger::open`].
    pub(crate) async fn open_if_there(state_folder: &Path) -> Result<Option<Self>, LedgerError> {
        match state_folder.join(LEDGER_FILE).exists() {
            true => Self::open(state_folder).await.map(Some),
            false => Ok(None),
        }
    }

    /// Claims the job for this process: an exclusive lock on a file of the state folder.
    /// Errors: `JobRunning`.
    pub(crate) fn lock_job(&self, job: &str) -> Result<JobLock, LedgerError> {
        JobLock::take(&self.state_folder, job)
    }

    /// Records a run, and with it the job's cycle, as begun. Runs are numbered from 1.
    pub(crate) async fn begin_run(&self, run: &NewRun<'_>) -> Result<i64, LedgerError> {
        self.write("record a run in", async |connection| {
            rows::begin_run(connection, run).await
        })
        .await
    }

    /// The job's latest run, if it was killed or stopped and can be taken up.
    pub(crate) async fn unfinished_run(
        &self,
        job: &str,
    ) -> Result<Option<UnfinishedRun>, LedgerError> {
        self.read(async |connection| rows::unfinished_run(connection, job).await)
            .await
    }

    /// Adds rejected records of stages `schema`, `mapping` and, for keys that occur twice, `match`.
    /// Recording a record again replaces it.
    pub(crate) async fn record_rejections(
        &self,
        id: WriteBackId,
        rejections: &[Rejection],
    ) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "record rejected records in",
            async |connection, write_back| {
                rows::record_rejections(connection, write_back, rejections).await
            },
        )
        .await
    }

    /// Forgets what an interrupted pull left, before it is begun again: rejections, and batches cut
    /// from a package that is to be pulled anew.
    pub(crate) async fn restart_pull(&self, id: WriteBackId) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "begin a pull again in",
            async |connection, write_back| rows::restart_pull(connection, write_back).await,
        )
        .await
    }

    /// The package stands; `read` records were read in all.
    pub(crate) async fn record_packaged(
        &self,
        id: WriteBackId,
        read: u64,
        mapped_for: &MappedFor,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a package in", async |connection, write_back| {
            rows::record_packaged(connection, write_back, read, mapped_for).await
        })
        .await
    }

    /// A batch's statements are done and its commit comes next. `outcomes` are those of the span,
    /// in order; rejected ones are also kept as rejections. Recording a span again, or one that
    /// begins where it begins, replaces it, but for its before-images: `left.images` are added to
    /// those that an earlier sending, which may have been committed, had, and `left.earlier` says
    /// what becomes of these.
    pub(crate) async fn record_sent(
        &self,
        id: WriteBackId,
        span: BatchSpan,
        outcomes: &[Outcome],
        attempts: u32,
        left: &Left,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a batch in", async |connection, write_back| {
            let batch = rows::record_sent(connection, write_back, span, outcomes, attempts).await?;
            rows::settle_earlier(connection, batch, &left.earlier).await?;
            if let Earlier::RolledBack(_) = left.earlier {
                last_written::record_conflicts(connection, batch, left.conflicts.as_ref()).await?;
            }
            match &left.images {
                Some(images) => {
                    rows::record_images(connection, batch, images, left.marker.as_ref()).await
                }
                None => Ok(()),
            }
        })
        .await
    }

    /// The batch is committed, after `seconds` of work; its before-images are forgotten unless they
    /// are kept. Errors: `NoSuchBatch`, if it was not recorded as sent.
    pub(crate) async fn record_committed(
        &self,
        id: WriteBackId,
        span: BatchSpan,
        seconds: f64,
        keeps_images: bool,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a commit in", async |connection, write_back| {
            rows::record_committed(connection, write_back, span, seconds).await?;
            if keeps_images {
                Ok(())
            } else {
                rows::forget_images(connection, write_back, span).await
            }
        })
        .await
    }

    /// A batch is over, after `seconds` of work, and the destination is as it was: `outcomes` are
    /// those of the span.
    pub(crate) async fn record_settled(
        &self,
        id: WriteBackId,
        span: BatchSpan,
        outcomes: &[Outcome],
        attempts: u32,
        seconds: f64,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a batch in", async |connection, write_back| {
            rows::record_sent(connection, write_back, span, outcomes, attempts).await?;
            rows::record_committed(connection, write_back, span, seconds).await
        })
        .await
    }

    /// The destination refused the commit of a batch recorded as sent: it was not written.
    pub(crate) async fn forget_sent(
        &self,
        id: WriteBackId,
        span: BatchSpan,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "forget a batch in", async |connection, write_back| {
            rows::forget_sent(connection, write_back, span).await
        })
        .await
    }

    /// How far a write-back of a run has come.
    pub(crate) async fn progress(&self, id: WriteBackId) -> Result<Progress, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            rows::progress(connection, write_back).await
        })
        .await
    }

    /// What the ledger's own rows (batches that are or may be committed, rejections, read count)
    /// sum to.
    pub(crate) async fn tally(&self, id: WriteBackId) -> Result<Tally, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            rows::tally(connection, write_back).await
        })
        .await
    }

    /// A write-back is done; `seconds` of this process are added to earlier ones'.
    pub(crate) async fn finish_write_back(
        &self,
        id: WriteBackId,
        seconds: f64,
    ) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "finish a write-back in",
            async |connection, write_back| {
                rows::finish_write_back(connection, write_back, seconds).await
            },
        )
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
            rows::finish_run(connection, run, status, error, finished_at).await
        })
        .await
    }

    /// A run failed, and its packages stand: the job's next run takes it up.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn stop_run(&self, run: i64, error: &str) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("stop a run in", async |connection| {
            rows::finish_run(connection, run, RunStatus::Failed, Some(error), finished_at).await?;
            rows::mark_resumable(connection, run).await
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
            rows::finish_run(connection, run, RunStatus::Failed, Some(error), finished_at).await?;
            rows::mark_interrupted(connection, run).await?;
            if resumable {
                rows::mark_resumable(connection, run).await
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
            rows::take_up_run(connection, run, taken_up_at).await
        })
        .await
    }

    /// Runs of the same job before this one, back to the last that finished, newest first: whose
    /// packages may still stand, though nothing will take them up.
    pub(crate) async fn runs_left_behind(&self, run: i64) -> Result<Vec<i64>, LedgerError> {
        self.read(async |connection| rows::runs_left_behind(connection, run).await)
            .await
    }

    /// The latest runs, newest first, of one job or of all.
    pub(crate) async fn runs(
        &self,
        job: Option<&str>,
        runs_max: u32,
    ) -> Result<Vec<RunEntry>, LedgerError> {
        self.read(async |connection| rows::runs(connection, job, runs_max).await)
            .await
    }

    /// How fast the latest runs of a write-back went, `runs_max` at most; `None` if none delivered
    /// a record.
    pub(crate) async fn pace(
        &self,
        job: &str,
        write_back: &str,
        runs_max: u32,
    ) -> Result<Option<Pace>, LedgerError> {
        self.read(async |connection| rows::pace(connection, job, write_back, runs_max).await)
            .await
    }

    /// One run.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn run(&self, run: i64) -> Result<RunEntry, LedgerError> {
        self.read(async |connection| rows::run(connection, run).await)
            .await
    }

    /// The batches of one run, in order.
    pub(crate) async fn batches(&self, run: i64) -> Result<Vec<BatchEntry>, LedgerError> {
        self.read(async |connection| rows::batches(connection, run).await)
            .await
    }

    /// Rejected records of a write-back in order of position, `rejections_max` at most, after
    /// position `after`.
    pub(crate) async fn rejections(
        &self,
        id: WriteBackId,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.rejections_of(id, Which::All, after, rejections_max)
            .await
    }

    /// As [`Ledger::rejections`], only those that [`Ledger::record_rejections`] recorded: of
    /// records that are in no batch.
    pub(crate) async fn rejections_outside_batches(
        &self,
        id: WriteBackId,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.rejections_of(id, Which::OutsideBatches, after, rejections_max)
            .await
    }

    async fn rejections_of(
        &self,
        id: WriteBackId,
        which: Which,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            rows::rejections(connection, write_back, which, after, rejections_max).await
        })
        .await
    }

    /// Outcomes of a write-back's committed batches of one partition, by span in order.
    pub(crate) async fn outcomes(
        &self,
        id: WriteBackId,
        partition: u32,
    ) -> Result<Vec<SentBatch>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            rows::outcomes(connection, write_back, partition).await
        })
        .await
    }

    /// The before-images of a write-back's batches that are or may be committed: batch by batch, in
    /// the order of partitions; of several sendings of one batch the latest last.
    pub(crate) async fn images(&self, id: WriteBackId) -> Result<Vec<SentImages>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            rows::images(connection, write_back, None).await
        })
        .await
    }

    /// As [`Ledger::images`], those of one batch.
    pub(crate) async fn images_of(
        &self,
        id: WriteBackId,
        span: BatchSpan,
    ) -> Result<Vec<SentImages>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            rows::images(connection, write_back, Some(span)).await
        })
        .await
    }

    /// What each write-back of a run wrote, in the run's order.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn written_to(&self, run: i64) -> Result<Vec<WrittenTo>, LedgerError> {
        self.read(async |connection| undo::written_to(connection, run).await)
            .await
    }

    /// How many records of a write-back's batches were skipped for each reason.
    pub(crate) async fn skipped(
        &self,
        id: WriteBackId,
    ) -> Result<BTreeMap<SkipReason, u64>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            undo::skipped(connection, write_back).await
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
            undo::runs_ended_before(connection, job, write_back, instant, now).await
        })
        .await
    }
}

impl Ledger {
    /// Does `work` in one transaction, which begins as a writer: another process's write is waited
    /// for, never run into half-way.
    async fn write<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.connection.lock().await;
        self.expect_in_place()?;
        // What a transaction that failed had changed is not changed.
        drop(self.changes.take());
        let written = transact(&mut connection, "BEGIN IMMEDIATE", async |connection| {
            let answer = work(connection).await?;
            seal::seal(connection, self.changes.take()).await?;
            Ok(answer)
        });
        let written = written.await.map_err(|fault| self.error(doing, fault));
        fault::point(doing);
        written
    }

    /// Does `work` in one transaction, so that all it reads is of one moment.
    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.connection.lock().await;
        transact(&mut connection, "BEGIN", work)
            .await
            .map_err(|fault| self.error("read", fault))
    }

    /// As [`Ledger::write`], about one write-back, which `work` is given by its number.
    async fn write_of<T>(
        &self,
        id: WriteBackId,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection, i64) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.write(doing, async |connection| {
            let write_back = rows::write_back(connection, id).await?;
            work(connection, write_back).await
        })
        .await
    }

    /// As [`Ledger::read`], about one write-back, which `work` is given by its number.
    async fn read_of<T>(
        &self,
        id: WriteBackId,
        work: impl AsyncFnOnce(&mut SqliteConnection, i64) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.read(async |connection| {
            let write_back = rows::write_back(connection, id).await?;
            work(connection, write_back).await
        })
        .await
    }

    /// What is written to a file that was removed is gone with the process, and nobody would know
    /// of it. Errors: `Removed`.
    fn expect_in_place(&self) -> Result<(), LedgerError> {
        match FileNumber::of(&self.file) {
            Ok(number) if number == self.opened => Ok(()),
            Ok(_) | Err(_) => Err(LedgerError::Removed {
                path: self.file.display().to_string(),
            }),
        }
    }

    fn error(&self, doing: &'static str, fault: Fault) -> LedgerError {
        match fault {
            Fault::Sql(source) => database_error(doing, &self.file, source),
            Fault::Contents(what) => LedgerError::Damaged {
                path: self.file.display().to_string(),
                what,
            },
            Fault::NoSuchRun(run) => LedgerError::NoSuchRun { run },
            Fault::NoSuchBatch(span) => LedgerError::NoSuchBatch { span },
        }
    }
}

async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging()
        .connect()
        .await
}

/// Brings the ledger's tables to what this version expects, and looks whether their rows are what
/// was written. Rows of an earlier version are taken as they are, and sealed.
async fn up_to_date(
    mut connection: SqliteConnection,
    file: &Path,
) -> Result<SqliteConnection, LedgerError> {
    // `run` would do, but its future does not count as `Send`; this is what it calls.
    match sqlx::migrate!("sql/ledger")
        .run_direct(None, &mut connection, false)
        .await
    {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(_)) => {
            return Err(LedgerError::Newer {
                path: file.display().to_string(),
            });
        }
        Err(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) => {
            return Err(database_error("bring up to date", file, source));
        }
        Err(source @ (MigrateError::VersionMismatch(_) | MigrateError::Dirty(_))) => {
            return Err(LedgerError::Damaged {
                path: file.display().to_string(),
                what: source.to_string(),
            });
        }
        Err(source) => return Err(LedgerError::Migration { source }),
    }
    look_through(&mut connection, file)
        .await
        .map_err(|fault| match fault {
            Fault::Sql(source) => database_error("look through", file, source),
            other @ (Fault::Contents(_) | Fault::NoSuchRun(_) | Fault::NoSuchBatch(_)) => {
                LedgerError::Damaged {
                    path: file.display().to_string(),
                    what: other.to_string(),
                }
            }
        })?;
    Ok(connection)
}

async fn look_through(connection: &mut SqliteConnection, file: &Path) -> Result<(), Fault> {
    transact(
        connection,
        "BEGIN",
        async |connection| match seal::are_of_these_tables(connection).await? {
            true => {
                seal::verify(
                    connection,
                    std::fs::metadata(file).map_or(0, |metadata| metadata.len()),
                )
                .await
            }
            false => Ok(seal::seal_all(connection).await?),
        },
    )
    .await
}

/// Does `work` in one transaction, which `begin` opens. The driver's own transactions would not do:
/// when SQLite rolls back by itself, as it does on a full disk, the driver takes the transaction
/// for open ever after and refuses the next.
async fn transact<T>(
    connection: &mut SqliteConnection,
    begin: &'static str,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    match sqlx::raw_sql(begin).execute(&mut *connection).await {
        // One is open whose work was let go half-way.
        Err(error) if result_code(&error) == Some(result_code::ERROR) => {
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            sqlx::raw_sql(begin).execute(&mut *connection).await?
        }
        begun => begun?,
    };
    let done = async {
        let answer = work(&mut *connection).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        Ok(answer)
    };
    let done = done.await;
    if done.is_err() {
        // Fails only where SQLite has done it already.
        drop(sqlx::raw_sql("ROLLBACK").execute(connection).await);
    }
    done
}

/// SQLite's primary result codes.
/// Source: <https://www.sqlite.org/rescode.html>.
mod result_code {
    /// The statement makes no sense. All of the ledger's do, so it is the tables that are not what
    /// they were.
    pub(super) const ERROR: u32 = 1;
    pub(super) const BUSY: u32 = 5;
    pub(super) const IO: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const NOT_A_DATABASE: u32 = 26;
}

/// The primary result code of an error that SQLite raised.
fn result_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn database_error(doing: &'static str, file: &Path, source: sqlx::Error) -> LedgerError {
    match result_code(&source) {
        Some(result_code::ERROR | result_code::CORRUPT | result_code::NOT_A_DATABASE) => {
            LedgerError::Damaged {
                path: file.display().to_string(),
                what: source.to_string(),
            }
        }
        Some(_) | None => LedgerError::Database { doing, source },
    }
}

fn database_hint(error: &sqlx::Error) -> Option<&'static str> {
    match result_code(error)? {
        result_code::BUSY => {
            Some("another process keeps the ledger locked; see which, or run again later")
        }
        result_code::FULL | result_code::IO => {
            Some("see that the disk has space left and is in order, then run again")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
