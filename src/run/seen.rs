//! What was seen of one record's row as it was written: what each field held, and holds since.

use crate::domain::real_time::RequestFate;

/// What was seen of one record.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// In the layout's order, without the match key; empty if there was no row.
    pub(crate) fields: Vec<SeenField>,
}

/// One field of it, as people read values; `None` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenField {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) fate: RequestFate,
}
