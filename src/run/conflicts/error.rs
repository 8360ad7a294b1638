//! Why it is not known what was last written.

use std::io;

use crate::domain::error::SystemError;
use crate::ledger::LedgerError;
use crate::package::PackageError;
use crate::run::images::ImageError;

/// Why it is not known what was last written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LastWrittenError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Before-images of an earlier run, or what it left beside them.
    #[error(
        "it is not known what run {run} wrote into the fields of `{write_back}` that keep other people's values"
    )]
    Run {
        write_back: String,
        run: i64,
        source: Box<ImageError>,
    },
    #[error("what was last written of `{write_back}`, in `{folder}`, cannot be used")]
    Unusable {
        write_back: String,
        folder: String,
        source: Box<PackageError>,
    },
    #[error("what was last written of `{write_back}` could not be gathered")]
    Gathering {
        write_back: String,
        source: Box<PackageError>,
    },
    #[error("what was last written of `{write_back}` could not be gathered")]
    Frame {
        write_back: String,
        source: Box<polars::error::PolarsError>,
    },
    #[error("could not make a temporary folder")]
    Io(#[from] io::Error),
    #[error("could not ask `{connection}` what an interrupted run wrote of `{write_back}`")]
    Destination {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
}

impl LastWrittenError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        let anew = "or take `on_conflict = \"keep\"` out of the fields of this write-back for one run, which overwrites \
                    what other people changed, and begins anew";
        match self {
            Self::Ledger(error) => error.hint(),
            Self::Run { run, .. } => Some(format!(
                "restore the files of run {run} from a backup of the state folder; {anew} if the folder `before` of \
                 that run is removed"
            )),
            Self::Unusable { .. } => Some(format!(
                "restore it from a backup of the state folder, {anew}"
            )),
            Self::Gathering { source, .. } => source.hint(),
            Self::Destination { source, .. } => source.hint(),
            Self::Io(_) => {
                Some("see that `TMPDIR` names a folder that you may write to".to_owned())
            }
            Self::Frame { .. } => None,
        }
    }
}
