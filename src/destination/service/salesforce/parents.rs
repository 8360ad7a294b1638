//! Parents of records. Salesforce locks a record's parents along with it, so that two requests that
//! write records of one parent at once wait for one another, and one of them in vain. So nobody writes
//! records of a parent while a request of this process does, and those of one parent stand together.
//! Source: <https://developer.salesforce.com/docs/atlas.en-us.draes.meta/draes/draes_tools_reduce_lock_contention.htm>.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::seam::{ServiceVerb, ServiceWrite};
use super::values::text_of;
use crate::destination::seam::RowId;

/// Records whose parents are remembered: those of a few batches, of which one is written.
const REMEMBERED_MAX: usize = 100_000;

/// The parents that records had when they were read last.
#[derive(Debug, Default)]
pub(super) struct Parents {
    of: BTreeMap<RowId, Vec<String>>,
}

impl Parents {
    /// Notes the parents that a record names in these fields.
    pub(super) fn note(
        &mut self,
        fields: &[String],
        id: &RowId,
        record: &BTreeMap<String, Box<RawValue>>,
    ) {
        if self.of.len() >= REMEMBERED_MAX {
            self.of.clear();
        }
        let told = |name: &String| record.get(name).and_then(|value| text_of(value.get()));
        let parents: Vec<String> = fields.iter().filter_map(told).collect();
        match parents.is_empty() {
            true => self.of.remove(id),
            false => self.of.insert(id.clone(), parents),
        };
    }

    /// The parents of the record that a write is for, the first of them first.
    pub(super) fn of_write(&self, write: &ServiceWrite<'_>) -> &[String] {
        let id = match &write.verb {
            ServiceVerb::Update { row, .. } => Some(&row.id),
            ServiceVerb::Delete { row } => Some(*row),
            ServiceVerb::Create { .. } => None,
        };
        id.and_then(|id| self.of.get(id)).map_or(&[], Vec::as_slice)
    }
}
