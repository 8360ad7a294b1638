//! Real time: which fields a request may write, and as what its outcome is answered.

use std::collections::BTreeSet;

use super::field::{Field, FieldValue, OnConflict};
use super::match_rule::MatchMode;
pub(crate) use super::request_fate::RequestFate;

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
