//! Why a package could not be written or read.

use std::io;
use std::path::Path;

use crate::state;

/// Why a package could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("could not {doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
    #[error("could not {doing} `{path}`")]
    Frame {
        doing: &'static str,
        path: String,
        source: polars::error::PolarsError,
    },
    #[error("`{path}` is damaged: {what}")]
    Damaged { path: String, what: String },
    #[error("`{path}` has format {format}, which this version does not know")]
    Newer { path: String, format: u32 },
}

impl PackageError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.display().to_string(),
            source,
        }
    }

    pub(super) fn frame(
        doing: &'static str,
        path: &Path,
        source: polars::error::PolarsError,
    ) -> Self {
        if let polars::error::PolarsError::IO { error, .. } = source {
            return Self::io(doing, path, io::Error::new(error.kind(), error));
        }
        Self::Frame {
            doing,
            path: path.display().to_string(),
            source,
        }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.display().to_string(),
            what: what.into(),
        }
    }

    /// Whether a package that stood before may be read later.
    pub(crate) fn leaves_package_usable(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Newer { .. } => true,
            Self::Frame { .. } | Self::Damaged { .. } => false,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => state::hint(source).map(str::to_owned),
            Self::Frame { .. } => None,
            Self::Damaged { .. } => Some("run the job again: it pulls the records anew".to_owned()),
            Self::Newer { .. } => {
                Some("a newer writeback began this run; let that version finish it".to_owned())
            }
        }
    }
}
