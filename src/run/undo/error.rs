//! Why a run could not be taken back.

use crate::domain::error::SystemError;

/// Why there is nothing to take back, or nothing to take it back with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    #[error("run {run} wrote nothing that could be undone")]
    NothingToUndo { run: i64 },
    #[error("run {run} cannot be undone: there are no before-images of `{write_back}`, for {why}")]
    NoBeforeImages {
        run: i64,
        write_back: String,
        why: String,
    },
    #[error("run {run} did not write record `{key}`")]
    NotWritten { run: i64, key: String },
    /// An object that a run wrote to is to be met again.
    #[error("could not describe `{object}` of `{connection}`")]
    Undescribed {
        object: String,
        connection: String,
        source: Box<SystemError>,
    },
}

impl UndoError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotWritten { .. } => {
                Some("`outcomes.parquet` beside the run lists the keys of all it wrote".to_owned())
            }
            Self::Undescribed { source, .. } => source.hint(),
            Self::NothingToUndo { .. } | Self::NoBeforeImages { .. } => None,
        }
    }
}
