//! Why the ledger could not be read or written.

use std::path::Path;

use sqlx::migrate::MigrateError;

use super::parts::BatchSpan;
use crate::state;

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
    pub(super) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
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

/// Why a statement did not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The tables hold what this program never writes.
    #[error("{0}")]
    Contents(String),
    #[error("no run {0}")]
    NoSuchRun(i64),
    /// No batch of this span was recorded as sent.
    #[error("no batch was recorded there")]
    NoSuchBatch(BatchSpan),
}

pub(super) type Answer<T> = Result<T, Fault>;

impl Fault {
    /// What it is to whoever asked the ledger that stands in `file`.
    pub(super) fn of(self, doing: &'static str, file: &Path) -> LedgerError {
        match self {
            Self::Sql(source) => database_error(doing, file, source),
            Self::Contents(what) => LedgerError::Damaged {
                path: file.display().to_string(),
                what,
            },
            Self::NoSuchRun(run) => LedgerError::NoSuchRun { run },
            Self::NoSuchBatch(span) => LedgerError::NoSuchBatch { span },
        }
    }
}

/// SQLite's primary result codes.
/// Source: <https://www.sqlite.org/rescode.html>.
pub(super) mod result_code {
    /// The statement makes no sense. All of the ledger's do, so it is the tables that are not what
    /// they were.
    pub(in crate::ledger) const ERROR: u32 = 1;
    pub(in crate::ledger) const BUSY: u32 = 5;
    pub(in crate::ledger) const IO: u32 = 10;
    pub(in crate::ledger) const CORRUPT: u32 = 11;
    pub(in crate::ledger) const FULL: u32 = 13;
    pub(in crate::ledger) const NOT_A_DATABASE: u32 = 26;
}

/// The primary result code of an error that SQLite raised.
pub(super) fn result_code_of(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

pub(super) fn database_error(doing: &'static str, file: &Path, source: sqlx::Error) -> LedgerError {
    match result_code_of(&source) {
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
    match result_code_of(error)? {
        result_code::BUSY => {
            Some("another process keeps the ledger locked; see which, or run again later")
        }
        result_code::FULL | result_code::IO => {
            Some("see that the disk has space left and is in order, then run again")
        }
        _ => None,
    }
}
