//! `only_where`: what a row must hold besides being found, as a job file says it.

use super::object::NamePart;
use super::problem::Location;

/// One line of an `only_where`, as a job file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) column: NamePart,
    /// The column holds one of these.
    pub(crate) values: Vec<String>,
    pub(crate) location: Location,
}
