//! References, as a job file asks for them: a field names a row of another object by a value of it.

use std::num::NonZeroU32;

use super::condition::Condition;
use super::object::{NamePart, ObjectName};
use super::problem::Location;

/// What becomes of a record whose reference leads to no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NotFound {
    /// It is rejected.
    #[default]
    Reject,
    /// The field keeps what it has.
    Keep,
    /// The field is emptied.
    Null,
}

/// What a field of a job file says of the row that it names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reference {
    /// The object and its field that holds the value, and where that is said; `None` where the
    /// field's own name is the path to it.
    pub(crate) refers_to: Option<(ObjectName, NamePart, Location)>,
    pub(crate) only_where: Vec<Condition>,
    pub(crate) not_found: NotFound,
}

/// How a field comes to its row, where that is not the record's own: over references, to a row that
/// others may refer to as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldWay {
    /// The field's whole name, as the job file writes it.
    pub(crate) name: String,
    /// The references that lead there, one after the other; at least one.
    pub(crate) steps: Vec<NamePart>,
    /// How many rows may refer to that row; absent where the field does not say.
    pub(crate) shared_max: Option<NonZeroU32>,
    /// What becomes of a record that leads to no row.
    pub(crate) not_found: NotFound,
}

impl FieldWay {
    /// How many parts of a path are references that lead to the row: an edit writes the last part,
    /// and re-pointing the part before it.
    pub(crate) fn steps_of(path: &[NamePart], edits: bool) -> usize {
        path.len().saturating_sub(if edits { 1 } else { 2 })
    }
}
