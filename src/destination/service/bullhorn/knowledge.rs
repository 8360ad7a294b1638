//! What was learned of a corporation while its session is used: it is asked once, whoever needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::describe::Described;

#[derive(Debug, Default)]
pub(super) struct Knowledge {
    pub(super) corporation: Option<Corporation>,
    /// Answers of `meta`, by entity.
    pub(super) described: BTreeMap<String, Arc<Described>>,
    /// Properties that many records may be given one value of, by entity; none where nobody may.
    pub(super) mass_properties: BTreeMap<String, Arc<Vec<String>>>,
    /// Whether the user may not look records up by their external ids.
    pub(super) lacks_look_up: bool,
    /// Whether notes are not found by what links them to other records.
    pub(super) lacks_note_links: bool,
}

/// Which corporation it is, and as whom it is logged in to.
#[derive(Debug, Clone)]
pub(super) struct Corporation {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) user_id: Option<u64>,
}
