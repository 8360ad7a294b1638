//! Why a package could not be pushed.

use crate::domain::canary::{self as canaries, Trouble};
use crate::domain::error::SystemError;
use crate::domain::outcome::Tally;
use crate::ledger::LedgerError;
use crate::package::PackageError;
use crate::run::conflicts::LastWrittenError;
use crate::run::files::ReportError;
use crate::run::images::ImageError;
use crate::run::reader::ReadError;

/// Why the records of a write-back could not all be looked up, written and accounted for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    #[error("could not write `{write_back}` to `{connection}`")]
    Push {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error(transparent)]
    LookUp(ReadError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Images(#[from] ImageError),
    #[error(transparent)]
    LastWritten(#[from] LastWrittenError),
    /// The sums do not balance: a defect of this program, never hidden.
    #[error(
        "the outcomes of `{write_back}` do not add up: {counted} were counted, the ledger says {ledger}"
    )]
    Unbalanced {
        write_back: String,
        counted: Box<Tally>,
        ledger: Box<Tally>,
    },
    /// Ids of rows are not what the columns that name them hold.
    #[error("the rows of `{write_back}` cannot be named: {why}")]
    NeverFits { write_back: String, why: String },
    /// The object was altered between an interrupted run and its resumption.
    #[error("`{object}` no longer takes the values that run {run} prepared for it")]
    ObjectChanged { object: String, run: i64 },
    /// What went first is not as it should be, at least one thing; the rest was not sent.
    #[error(
        "the canary of `{write_back}` is in trouble: {}",
        canaries::told(troubles)
    )]
    Canary {
        write_back: String,
        troubles: Vec<Trouble>,
        created: bool,
        keeps_before_images: bool,
    },
    #[error("a worker stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
    #[error("it was asked to stop")]
    Interrupted,
}

impl From<ReadError> for PushError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed { .. } => Self::LookUp(error),
            ReadError::Interrupted => Self::Interrupted,
        }
    }
}

impl PushError {
    /// Whether the destination is to blame, not this machine.
    pub(crate) fn is_of_destination(&self) -> bool {
        match self {
            Self::Push { .. }
            | Self::LookUp(_)
            | Self::ObjectChanged { .. }
            | Self::Canary { .. } => true,
            Self::Ledger(_)
            | Self::Package(_)
            | Self::Report(_)
            | Self::Images(_)
            | Self::LastWritten(_)
            | Self::Unbalanced { .. }
            | Self::NeverFits { .. }
            | Self::Worker(_)
            | Self::Interrupted => false,
        }
    }

    /// Whether packages that stand are not to blame, so that a run that ended so can be taken up.
    pub(crate) fn leaves_packages_usable(&self) -> bool {
        match self {
            // Records that were made to fit what the object no longer is are to be made anew.
            Self::Push { source, .. } | Self::LookUp(ReadError::Failed { source, .. }) => {
                !matches!(**source, SystemError::Altered { .. })
            }
            Self::LookUp(ReadError::Interrupted)
            | Self::Ledger(_)
            | Self::Images(_)
            | Self::LastWritten(_)
            | Self::Worker(_)
            | Self::Interrupted => true,
            Self::Report(error) => error.leaves_packages_usable(),
            Self::Package(error) => error.leaves_package_usable(),
            // A later run sends a canary of its own.
            Self::Unbalanced { .. }
            | Self::NeverFits { .. }
            | Self::ObjectChanged { .. }
            | Self::Canary { .. } => false,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Push { source, .. } => source.hint(),
            Self::LookUp(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Images(error) => error.hint(),
            Self::LastWritten(error) => error.hint(),
            Self::Unbalanced { .. } => {
                Some("please report this with the run's ledger; nothing was hidden".to_owned())
            }
            Self::NeverFits { .. } => Some(
                "have the column that names rows hold what the ids are: whole numbers, or text"
                    .to_owned(),
            ),
            Self::ObjectChanged { .. } => Some("run again: the records are pulled anew".to_owned()),
            Self::Canary {
                keeps_before_images,
                ..
            } => {
                let nothing = "; no before-images were kept, so nothing takes it back";
                let undo = if *keeps_before_images { "" } else { nothing };
                Some(format!(
                    "see to the cause, then run again: a new run sends a new canary{undo}"
                ))
            }
            Self::Worker(_) | Self::Interrupted => None,
        }
    }

    /// What takes the canary back that is in trouble, if it is that.
    pub(crate) fn undo_of_canary(&self, run: i64) -> Option<String> {
        let Self::Canary {
            write_back,
            troubles,
            created,
            ..
        } = self
        else {
            return None;
        };
        let is_altered = |trouble: &Trouble| matches!(trouble, Trouble::Altered { .. });
        let changed = if troubles.iter().any(is_altered) {
            " --even-changed"
        } else {
            ""
        };
        let created = if *created { " --delete-created" } else { "" };
        Some(format!(
            "`writeback undo {run} --write-back {write_back}{changed}{created}` takes the canary back"
        ))
    }
}

/// Lets what a [`PushError`] may be made of be one of another error, whose variant `Push` holds it.
macro_rules! from_parts_of_push_error {
    ($error:ty) => {
        from_parts_of_push_error!(
            $error: crate::ledger::LedgerError, crate::package::PackageError,
            crate::run::files::ReportError, crate::run::images::ImageError,
            crate::run::conflicts::LastWrittenError, crate::run::reader::ReadError
        );
    };
    ($error:ty: $($part:ty),+) => {
        $(impl From<$part> for $error {
            fn from(part: $part) -> Self {
                Self::Push(part.into())
            }
        })+
    };
}

pub(in crate::run) use from_parts_of_push_error;
