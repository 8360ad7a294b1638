//! What is kept of what runs wrote: their before-images, run by run, and where these are missing.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::Project;
use crate::domain::error::SystemError;
use crate::domain::problem::Problem;
use crate::ledger::{JournalRun, Ledger, LedgerError, SentImages};
use crate::package::PackageError;
use crate::run::images::{self, ImageError};
use crate::run::reader::ReadError;
use crate::run::run_folder;

/// Why the journal could not be read, or not be held against the destination.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Images(#[from] ImageError),
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The connection that was written to is not ready.
    #[error("connection `{connection}`, which was written to, cannot be used")]
    Connection {
        connection: String,
        problems: Vec<Problem>,
    },
    #[error("no run has begun a write-back `{name}`")]
    NoSuchWriteBack { name: String, known: Vec<String> },
    #[error("jobs {} have a write-back `{name}`", quoted(jobs))]
    SeveralJobs { name: String, jobs: Vec<String> },
    #[error("no run wrote a field `{field}` of record `{record}`")]
    NoSuchField {
        field: String,
        record: String,
        known: Vec<String>,
    },
    #[error("could not look `{write_back}` up in `{connection}`")]
    LookUp {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error("column `{column}` of `{object}`, which run {run} wrote, is gone")]
    ColumnGone {
        column: String,
        object: String,
        run: i64,
    },
    #[error(
        "column `{column}` of `{object}` is now {declared}: what run {run} wrote cannot be compared with it"
    )]
    ColumnAltered {
        column: String,
        object: String,
        declared: String,
        run: i64,
    },
    #[error("it is not known what run {run} of `{write_back}` wrote: {why}", why = gap.words())]
    Unknown {
        write_back: String,
        run: i64,
        gap: Gap,
    },
    #[error("job `{job}` wrote while its write-back `{write_back}` was compared")]
    Overtaken { job: String, write_back: String },
    #[error("could not sort out what was written")]
    Frame(#[from] polars::error::PolarsError),
    #[error("could not make a temporary folder")]
    Io(#[from] io::Error),
    #[error("it was asked to stop")]
    Interrupted,
}

impl JournalError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Ledger(error) => error.hint(),
            Self::Images(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::NoSuchWriteBack { known, .. } if known.is_empty() => {
                Some("`writeback run` begins one".to_owned())
            }
            Self::NoSuchWriteBack { known, .. } => Some(format!("there is {}", quoted(known))),
            Self::SeveralJobs { .. } => Some("name the one that is meant with `--job`".to_owned()),
            Self::NoSuchField { known, .. } => Some(format!("they wrote {}", quoted(known))),
            Self::LookUp { source, .. } => source.hint(),
            Self::ColumnGone { .. } | Self::ColumnAltered { .. } => Some(
                "put the column right, or the job; the next run writes the values anew".to_owned(),
            ),
            Self::Unknown { gap, .. } => Some(gap.hint().to_owned()),
            Self::Overtaken { .. } => Some("verify again when the run is done".to_owned()),
            Self::Io(_) => {
                Some("see that `TMPDIR` names a folder that you may write to".to_owned())
            }
            Self::Connection { .. } | Self::Frame(_) | Self::Interrupted => None,
        }
    }
}

impl From<ReadError> for JournalError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed {
                write_back,
                connection,
                source,
            } => Self::LookUp {
                write_back,
                connection,
                source,
            },
            ReadError::Interrupted => Self::Interrupted,
        }
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Why it is not known what a run wrote, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gap {
    /// It kept no before-images, or they are forgotten.
    NotKept,
    /// Their files are gone.
    Removed,
    /// It matched records by another key than later runs do.
    OtherKey,
}

impl Gap {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NotKept => "it kept no before-images",
            Self::Removed => "its before-images were removed",
            Self::OtherKey => "it matched records by another key",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::NotKept => {
                "`keep_before_images = true` in the job keeps them from the next run on"
            }
            Self::Removed => {
                "a longer `retention` keeps them; what the next run writes is known again"
            }
            Self::OtherKey => "what the next run writes is known again",
        }
    }
}

/// A run as the journal names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RunAt {
    pub(crate) run: i64,
    pub(crate) started_at: DateTime<Utc>,
}

impl RunAt {
    pub(crate) fn of(run: &JournalRun) -> Self {
        Self {
            run: run.id.run,
            started_at: run.started_at,
        }
    }
}

/// A run of which it is not known what it wrote, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Unknown {
    #[serde(flatten)]
    pub(crate) run: RunAt,
    pub(crate) why: Gap,
}

/// What there is of a run's before-images.
pub(crate) struct Trace {
    pub(crate) folder: PathBuf,
    /// In the order of partitions; of several of one batch the latest last.
    pub(crate) images: Vec<SentImages>,
    /// Why there are not all.
    pub(crate) gap: Option<Gap>,
}

impl Trace {
    pub(crate) async fn of(
        project: &Project,
        ledger: &Ledger,
        run: &JournalRun,
    ) -> Result<Self, JournalError> {
        let folder = images::folder_in(&run_folder(project, run.id.run).join(&run.write_back));
        let images = ledger.images(run.id).await?;
        let mut trace = Self {
            folder,
            images,
            gap: (run.unkept > 0).then_some(Gap::NotKept),
        };
        let files: BTreeSet<&String> = trace
            .images
            .iter()
            .map(|images| &images.segment.file)
            .collect();
        let mut gone = BTreeSet::new();
        for file in files {
            if !images::is_there(&trace.folder.join(file))? {
                gone.insert(file.clone());
            }
        }
        if !gone.is_empty() {
            trace.gap = Some(Gap::Removed);
            trace
                .images
                .retain(|images| !gone.contains(&images.segment.file));
        }
        Ok(trace)
    }
}
