//! What a write is known by: the record it is for, and its mark in the answer.

use super::super::seam::{ServiceVerb, ServiceWrite};
use crate::destination::seam::RowId;

pub(super) fn id_of<'a>(write: &'a ServiceWrite<'_>) -> Option<&'a RowId> {
    match &write.verb {
        ServiceVerb::Create { .. } => None,
        ServiceVerb::Update { row, .. } => Some(&row.id),
        ServiceVerb::Delete { row } => Some(row),
    }
}

/// What a write is known by in its answer.
pub(super) fn mark_of(write: &ServiceWrite<'_>) -> String {
    format!("r{}", write.record)
}
