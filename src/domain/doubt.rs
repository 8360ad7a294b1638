//! Doubt: a batch that was sent and is not known to be committed may be written. What tells whether
//! it was, and which of its records are written when it is sent again.

use serde::{Deserialize, Serialize};

/// What became of a transaction, as far as anybody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    RolledBack,
    Unknown,
}

/// What tells whether a sending was committed: what it wrote beside its records, or the
/// transaction's own number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The transaction, as its destination names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transaction: Option<String>,
    /// A row of the journal that it filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal: Option<JournalMark>,
}

/// A row that a sending added to the journal beside its object, as far as other sendings' rows are
/// told apart from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalMark {
    pub(crate) key: String,
    pub(crate) column: String,
    /// What the journal calls the cycle: a day's requests about one record are told apart by it.
    #[serde(default)]
    pub(crate) cycle: Option<String>,
}

/// What a sending was to do to a record's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SentWrite {
    Create,
    Update,
    Delete,
}

impl SentWrite {
    /// Whether a record was not written, given that its key now has so many `rows` and whether the
    /// one row still holds the first before-image. Any other row was written, or changed by
    /// somebody: it is not to be written again.
    pub(crate) fn is_still_to_do(self, rows: u64, holds_image: bool) -> bool {
        match (self, rows) {
            (Self::Create, 0) => true,
            (Self::Update | Self::Delete, 1) => holds_image,
            (Self::Create, 1..) | (Self::Update | Self::Delete, 0 | 2..) => false,
        }
    }
}

/// How a record of a batch in doubt fared when the batch was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    /// It had not been written, and was written now.
    Again,
    /// It was not written again.
    AsSent,
    /// It was written whatever its row held, for an earlier version kept no before-image; `differs`
    /// tells whether the row held something else than is sent.
    Compared { differs: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_row_that_is_as_it_was_is_written_again() {
        for write in [SentWrite::Update, SentWrite::Delete] {
            assert!(write.is_still_to_do(1, true), "{write:?}");
            assert!(
                !write.is_still_to_do(1, false),
                "{write:?}: written, or changed by somebody"
            );
            assert!(!write.is_still_to_do(0, false), "{write:?}: gone");
            assert!(
                !write.is_still_to_do(2, true),
                "{write:?}: nobody knows which row is meant"
            );
        }
        assert!(SentWrite::Create.is_still_to_do(0, false));
        assert!(
            !SentWrite::Create.is_still_to_do(1, true)
                && !SentWrite::Create.is_still_to_do(2, false)
        );
    }

    #[test]
    fn a_marker_says_no_more_than_there_is() {
        let marker = Marker {
            transaction: None,
            journal: None,
        };
        assert_eq!(serde_json::to_string(&marker).ok().as_deref(), Some("{}"));
        assert_eq!(serde_json::from_str::<Marker>("{}").ok(), Some(marker));
    }
}
