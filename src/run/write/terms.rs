//! What requests have to do with the records of a batch: what the caller of a request expects its
//! row to hold, and what of a run's records requests wrote in the meantime.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::DataFrame;

use crate::destination::seam::LookedUp;
use crate::domain::layout::Layout;
use crate::domain::match_rule::MatchMode;
use crate::domain::record::cell_text;

/// Columns of records that requests wrote since these were pulled, by record of a batch.
pub(crate) type Reserved = BTreeMap<usize, BTreeSet<String>>;

/// What a caller expects a row to hold before it is written.
#[derive(Debug)]
pub(crate) struct ExpectedRow {
    /// The match key, and the fields that are expected to hold something.
    pub(crate) layout: Layout,
    /// Shape: a batch's of the layout, of one record.
    pub(crate) record: DataFrame,
}

/// Terms that a batch is written on; none in most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) expected: Option<&'a ExpectedRow>,
    /// Never empty.
    pub(crate) reserved: Option<&'a Reserved>,
}

impl ExpectedRow {
    /// What is expected of each field, as people read it.
    pub(crate) fn values(&self) -> BTreeMap<String, Option<String>> {
        let fields = self.layout.fields.iter().zip(self.record.columns());
        let others = fields.filter(|(field, _)| !field.key);
        others
            .map(|(field, values)| (field.column.name.clone(), cell_text(values, 0)))
            .collect()
    }

    /// Whether the row that was looked up holds something else. One that is still to be made, as
    /// `mode` allows, holds nothing.
    pub(super) fn is_disappointed(&self, looked_up: &LookedUp, mode: MatchMode) -> bool {
        let expects_something = || {
            let fields = self.layout.fields.iter().zip(self.record.columns());
            let mut others = fields.filter(|(field, _)| !field.key);
            others.any(|(_, values)| values.null_count() < values.len())
        };
        match looked_up.found.first() {
            Some(found) if found.rows == 1 => found.differs,
            Some(found) if found.rows == 0 => mode.inserts() && expects_something(),
            _ => false,
        }
    }
}
