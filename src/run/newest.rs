//! Of each match key the newest of what several runs wrote, packed one after the other.

use polars::prelude::{
    BooleanChunked, DataFrame, IdxCa, IdxSize, PolarsResult, SortMultipleOptions,
};

use crate::package::Partition;

/// A partition's records by key, and those of one key in the order in which they were packed.
pub(super) fn in_order(partition: &Partition, key_columns: &[String]) -> PolarsResult<DataFrame> {
    if partition.duplicates.height() == 0 {
        return Ok(partition.records.clone());
    }
    let all = partition.records.vstack(&partition.duplicates)?;
    all.sort(
        key_columns,
        SortMultipleOptions::default().with_maintain_order(true),
    )
}

/// First and last row of each key in rows that are sorted by key.
pub(super) fn groups(keys: &[String]) -> Vec<(usize, usize)> {
    let mut next = 0;
    let group = |keys: &[String]| {
        let first = next;
        next += keys.len();
        (first, next - 1)
    };
    keys.chunk_by(|left, right| left == right)
        .map(group)
        .collect()
}

/// The last row of a group that a field was written in; the last of all if there is none.
pub(super) fn newest_row(&(first, last): &(usize, usize), known: &BooleanChunked) -> usize {
    (first..=last)
        .rev()
        .find(|row| known.get(*row).is_some())
        .unwrap_or(last)
}

pub(super) fn rows(rows: &[usize]) -> IdxCa {
    let rows = rows
        .iter()
        .filter_map(|row| IdxSize::try_from(*row).ok())
        .collect();
    IdxCa::from_vec("".into(), rows)
}
