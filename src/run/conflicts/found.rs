//! What was found of values in which someone else's are kept.

use std::collections::BTreeMap;

use polars::prelude::IdxSize;

use crate::domain::layout::Layout;
use crate::run::write::mask::Mask;

/// What was found of values in which someone else's are kept, record by record of a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conflicts {
    /// Ascending by record, then by field.
    pub(super) kept: Vec<Kept>,
    /// Records and positions of fields whose row holds what was to be written, and that was not
    /// known.
    pub(super) agreed: Vec<(usize, usize)>,
}

/// One value that is left alone.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) record: usize,
    /// Of the field, in the layout.
    pub(super) position: usize,
    /// As people read them; `None` for NULL.
    pub(super) last: Option<String>,
    pub(super) held: Option<String>,
}

impl Conflicts {
    /// Whether a record's field is left alone.
    pub(crate) fn keeps(&self, record: usize, position: usize) -> bool {
        let found = self
            .kept
            .binary_search_by_key(&(record, position), |kept| (kept.record, kept.position));
        found.is_ok()
    }

    /// Those of the records at `positions` of a batch, as of the batch.
    pub(crate) fn spread(self, positions: &[IdxSize]) -> Self {
        let place = |record: usize| positions.get(record).map(|position| index(*position));
        let kept = self.kept.into_iter().filter_map(|kept| {
            Some(Kept {
                record: place(kept.record)?,
                ..kept
            })
        });
        let agreed = self
            .agreed
            .into_iter()
            .filter_map(|(record, field)| Some((place(record)?, field)));
        Self {
            kept: kept.collect(),
            agreed: agreed.collect(),
        }
    }

    /// How many values are kept of each column.
    pub(crate) fn count(&self, layout: &Layout, counts: &mut BTreeMap<String, u64>) {
        for kept in &self.kept {
            if let Some(field) = layout.fields.get(kept.position) {
                *counts.entry(field.column.name.clone()).or_default() += 1;
            }
        }
    }

    /// Whether there is anything to tell of them.
    pub(crate) fn tell_anything(&self) -> bool {
        !(self.kept.is_empty() && self.agreed.is_empty())
    }

    /// Takes in what was found later of the records at `positions`, instead of what was found
    /// before.
    pub(crate) fn take_in(&mut self, later: &Self, positions: &[IdxSize]) {
        let is_met = |record: usize| positions.iter().any(|position| index(*position) == record);
        self.kept.retain(|kept| !is_met(kept.record));
        self.agreed.retain(|(record, _)| !is_met(*record));
        self.kept.extend(later.kept.iter().cloned());
        self.agreed.extend(&later.agreed);
        self.kept.sort_by_key(|kept| (kept.record, kept.position));
    }

    /// For each field of the layout which records it may be written of.
    pub(crate) fn mask(&self, layout: &Layout, records: usize) -> Mask {
        let mask = |position: usize| {
            let is_kept = |kept: &Kept| kept.position == position;
            self.kept.iter().any(is_kept).then(|| {
                let written = (0..records).map(|record| !self.keeps(record, position));
                written.collect()
            })
        };
        (0..layout.fields.len()).map(mask).collect()
    }

    /// The records that have any fields that are left alone, by these.
    pub(super) fn groups(&self) -> BTreeMap<Vec<usize>, Vec<IdxSize>> {
        let mut groups: BTreeMap<Vec<usize>, Vec<IdxSize>> = BTreeMap::new();
        for of_record in self
            .kept
            .chunk_by(|left, right| left.record == right.record)
        {
            let fields = of_record.iter().map(|kept| kept.position).collect();
            let record = of_record.first().map(|kept| kept.record);
            let record = record.and_then(|record| IdxSize::try_from(record).ok());
            groups.entry(fields).or_default().extend(record);
        }
        groups
    }
}

pub(super) fn index(position: IdxSize) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
