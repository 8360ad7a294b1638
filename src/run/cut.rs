//! Where records are cut into batches: after as many as the job asks for, and sooner where they are
//! wide. What a batch takes in memory (as it is sent, as the driver holds it, what its rows held
//! before) goes by bytes, not by records.

use std::ops::Range;

use polars::prelude::DataFrame;

use crate::domain::record::record_bytes;

/// Bytes of one batch's values. A batch is in memory about ten times while it is written: as
/// records, as a statement's parameters and again as the driver sends them, as the answer with what
/// rows held, as before-images and as their segment. Two writers then take some 40 MiB of the 256
/// MiB that a run may use, and the allocator keeps as much again. A transaction of so many bytes is
/// long enough that ending it does not show; narrow records reach 5 000 a batch far below.
pub(super) const BATCH_BYTES_MAX: u64 = 2 << 20;

/// How many bytes the records of a frame have: the same at every load, so that a run that is taken
/// up cuts them as it did before.
pub(super) struct RecordBytes {
    /// Record by record: of it and of all before it.
    sums: Vec<u64>,
    /// Record by record: how many of it and all before it count; absent, all do.
    counts: Option<Vec<usize>>,
}

impl RecordBytes {
    /// Of all columns of a frame.
    pub(super) fn of(records: &DataFrame) -> Self {
        let bytes = record_bytes(records).into_iter();
        let sums = bytes.scan(0, |sum: &mut u64, bytes| {
            *sum += bytes;
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
            counts: None,
        }
    }

    /// As [`RecordBytes::of`], where some records count for nothing: they come along with a batch and
    /// are not sent.
    pub(super) fn without(records: &DataFrame, is_nothing: impl Fn(usize) -> bool) -> Self {
        let (mut sum, mut count) = (0, 0);
        let (mut sums, mut counts) = (Vec::new(), Vec::new());
        for (record, bytes) in record_bytes(records).into_iter().enumerate() {
            if !is_nothing(record) {
                sum += bytes;
                count += 1;
            }
            sums.push(sum);
            counts.push(count);
        }
        Self {
            sums,
            counts: Some(counts),
        }
    }

    /// The batches of the records `within` a range, each of at most `records_max` records. A record
    /// that is larger than a batch may be is one by itself.
    pub(super) fn batches(
        &self,
        within: Range<usize>,
        records_max: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let mut first = within.start;
        std::iter::from_fn(move || {
            (first < within.end).then(|| {
                let batch = first..self.end(first, records_max).min(within.end);
                first = batch.end;
                batch
            })
        })
    }

    /// Where the batch ends that begins with the record at `first`.
    fn end(&self, first: usize, records_max: usize) -> usize {
        let before = first
            .checked_sub(1)
            .and_then(|last| self.sums.get(last))
            .copied()
            .unwrap_or_default();
        let fitting = self
            .sums
            .partition_point(|sum| sum.saturating_sub(before) <= BATCH_BYTES_MAX);
        fitting.min(self.after(first, records_max)).max(first + 1)
    }

    /// Where the records end of which as many count as a batch may have, from the one at `first` on.
    fn after(&self, first: usize, records_max: usize) -> usize {
        let Some(counts) = &self.counts else {
            return first.saturating_add(records_max);
        };
        let before = first.checked_sub(1).and_then(|last| counts.get(last));
        let last = before.copied().unwrap_or(0).saturating_add(records_max);
        counts.partition_point(|count| *count <= last)
    }
}

/// The records of a frame in pieces of at most [`BATCH_BYTES_MAX`] bytes.
pub(super) fn pieces(records: &DataFrame) -> Vec<DataFrame> {
    let batches: Vec<Range<usize>> = RecordBytes::of(records)
        .batches(0..records.height(), records.height())
        .collect();
    batches
        .into_iter()
        .map(|batch| slice(records, &batch))
        .collect()
}

/// Some of a frame's records.
pub(super) fn slice(records: &DataFrame, range: &Range<usize>) -> DataFrame {
    records.slice(i64::try_from(range.start).unwrap_or(i64::MAX), range.len())
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;
    use proptest::prelude::*;

    use super::*;

    fn cut(lengths: &[usize], records_max: usize) -> Vec<Range<usize>> {
        let texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
        let records =
            df!("text" => texts, "number" => vec![1_i64; lengths.len()]).expect("a frame");
        RecordBytes::of(&records)
            .batches(0..lengths.len(), records_max)
            .collect()
    }

    /// Text of a record, of which a batch takes just `records`: its two values take something
    /// themselves.
    fn part(records: u64) -> usize {
        usize::try_from(BATCH_BYTES_MAX / records - 16).expect("a length")
    }

    #[test]
    fn narrow_records_are_cut_by_their_number() {
        assert_eq!(cut(&[1; 5], 2), [0..2, 2..4, 4..5]);
        assert!(cut(&[], 2).is_empty());
    }

    #[test]
    fn wide_records_are_cut_by_their_bytes() {
        assert_eq!(
            cut(&[part(2), part(2), part(2) + 1, part(2)], 10),
            [0..2, 2..3, 3..4]
        );
        let too_large = part(1) + 1;
        assert_eq!(cut(&[1, too_large, 1, 1], 10), [0..1, 1..2, 2..4]);
    }

    #[test]
    fn records_that_are_not_sent_come_along_with_those_that_are() {
        let records = df!("number" => vec![1_i64; 10]).expect("a frame");
        let cut = |sent: &[usize], records_max| {
            let bytes = RecordBytes::without(&records, |record| !sent.contains(&record));
            bytes.batches(0..10, records_max).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[1, 5, 8], 2), [0..8, 8..10]);
        assert_eq!(cut(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4), [0..4, 4..8, 8..10]);
        let nothing = cut(&[], 2);
        assert_eq!((nothing.len(), nothing.first()), (1, Some(&(0..10))));
        let too_large = part(1) + 1;
        let text = "x".repeat(too_large);
        let wide = df!("text" => [&*text, &*text], "number" => [1_i64, 1]).expect("a frame");
        let second_only = RecordBytes::without(&wide, |record| record == 0);
        assert_eq!(
            second_only.batches(0..2, 9).collect::<Vec<_>>(),
            [0..1, 1..2]
        );
    }

    proptest! {
        #[test]
        fn a_gap_between_two_batches_is_cut_as_it_was(
            lengths in proptest::collection::vec(0_usize..3_000_000, 1..8),
            records_max in 1_usize..5,
        ) {
            let texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            let bytes = RecordBytes::of(&df!("text" => texts).expect("a frame"));
            let all: Vec<Range<usize>> = bytes.batches(0..lengths.len(), records_max).collect();
            for (index, batch) in all.iter().enumerate() {
                let again: Vec<Range<usize>> = bytes.batches(batch.start..lengths.len(), records_max).collect();
                prop_assert_eq!(Some(again.as_slice()), all.get(index..));
            }
        }
    }
}
