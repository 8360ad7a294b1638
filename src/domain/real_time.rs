//! Real time: which fields a request may write, and as what its outcome is answered.

use std::collections::BTreeSet;

use serde::Serialize;

use super::field::{Field, FieldValue, OnConflict};
use super::match_rule::MatchMode;

/// Why a field cannot be written in real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyNot {
    /// Records are matched on it.
    Key,
    /// It tells of a run.
    Stamp,
    /// It holds the same text for every record.
    Fixed,
    /// Its write-back never updates a row.
    OnlyCreates,
    /// A request gives the columns that it changes, and this takes several.
    Several,
    /// It keeps what other people write, and a request is another person's word.
    KeepsForeign,
    /// It is of a row that the record's own refers to.
    OfAnotherRow,
}

impl WhyNot {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Key => "records are matched on it",
            Self::Stamp => "it is the stamp of a run",
            Self::Fixed => "it holds the same text for every record",
            Self::Several => "it is made of several columns",
            Self::OnlyCreates => "its write-back creates rows and never updates one",
            Self::OfAnotherRow => "it is of a row that others may refer to as well",
            Self::KeepsForeign => "it keeps what someone else wrote (`on_conflict = \"keep\"`)",
        }
    }

    /// The next thing to do.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Key | Self::Stamp | Self::Fixed | Self::Several | Self::OfAnotherRow => {
                "leave `realtime` out"
            }
            Self::KeepsForeign => {
                "leave `realtime` or `on_conflict` out; a request says itself what it expects to be there"
            }
            Self::OnlyCreates => {
                "leave `realtime` out, or take `matching = \"update_only\"` or `\"upsert\"`"
            }
        }
    }
}

/// What keeps a field of a write-back from being written in real time, whether or not it is
/// switched on. `key` are positions of the schema's columns.
pub(crate) fn obstacle(field: &Field, key: &[usize], mode: MatchMode) -> Option<WhyNot> {
    match field.value.columns() {
        [] if matches!(field.value, FieldValue::String(_)) => Some(WhyNot::Fixed),
        [] => Some(WhyNot::Stamp),
        [column] if key.contains(column) => Some(WhyNot::Key),
        [_] if field.way.is_some() => Some(WhyNot::OfAnotherRow),
        [_] if !mode.updates() => Some(WhyNot::OnlyCreates),
        [_] if field.on_conflict == OnConflict::Keep => Some(WhyNot::KeepsForeign),
        [_] => None,
        [..] => Some(WhyNot::Several),
    }
}

/// Whether a request that gives these of the schema's columns, the key's among them, writes a field
/// or finds its row by it.
pub(crate) fn is_asked_for(field: &Field, key: &[usize], given: &BTreeSet<usize>) -> bool {
    match field.value.columns() {
        [column] if key.contains(column) => matches!(field.value, FieldValue::Column(_)),
        [column] => field.real_time && given.contains(column),
        [..] => false,
    }
}

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
