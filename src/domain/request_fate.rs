//! As what an outcome is answered to whoever asked for a write.

use serde::Serialize;

/// What became of a request at one destination, or of one of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestFate {
    Created,
    Updated,
    /// The row held it already.
    Unchanged,
    /// The job's rules leave the field as it is.
    Kept,
    /// There is no such row, or it is left alone.
    Skipped,
    /// The row does not hold what the caller expected.
    Conflict,
    Rejected,
    /// It could not be sent.
    NotWritten,
    /// It was sent, and nobody knows yet whether it was written.
    Unknown,
}

impl RequestFate {
    /// Status of the answer. The ledger and the answer are never at odds: both are made of this.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Created | Self::Updated | Self::Unchanged | Self::Kept => 200,
            Self::Skipped => 404,
            Self::Conflict => 409,
            Self::Rejected => 422,
            Self::NotWritten => 502,
            Self::Unknown => 504,
        }
    }

    /// Whether the record counts in its day run: it has an outcome.
    pub(crate) fn is_counted(self) -> bool {
        match self {
            Self::Created
            | Self::Updated
            | Self::Unchanged
            | Self::Kept
            | Self::Skipped
            | Self::Conflict
            | Self::Rejected => true,
            Self::NotWritten | Self::Unknown => false,
        }
    }
}
