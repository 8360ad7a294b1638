//! References, as a job file asks for them: a field names a row of another object by a value of it.

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
