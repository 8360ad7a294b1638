//! The most frequent old → new pairs of a column, in memory that does not grow with the records.

use std::collections::HashMap;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// Pairs counted at once: all that columns of labels have, and enough that no pair of more than a
/// thousandth of a column's changes is lost.
const COUNTED_MAX: usize = 1_024;
/// Pairs shown of a column.
const SHOWN_MAX: usize = 8;
/// Where there are more pairs than that: the least share of the changes, one in so many, that makes
/// a pair frequent.
const FREQUENT_SHARE: u64 = 20;
/// Longest value kept, in characters: a pair is known by digests of its whole values.
const VALUE_CHARACTERS_MAX: usize = 80;

/// A change of value that several rows have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pair {
    /// NULL, or the value, which ends in `…` where it was cut.
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) records: u64,
}

/// The pairs worth telling of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct FrequentPairs {
    /// Most frequent first.
    pub(crate) most_frequent: Vec<Pair>,
    /// How many different pairs there are; absent if there were too many to count.
    pub(crate) distinct: Option<u64>,
}

impl FrequentPairs {
    /// Whether the counts are exact; otherwise there are at least so many records.
    pub(crate) fn is_exact(&self) -> bool {
        self.distinct.is_some()
    }
}

/// Counts pairs. While there are no more than [`COUNTED_MAX`] different ones the counts are exact;
/// a pair beyond that takes one off each count, so that what is left counts at least so many.
/// Source: Misra, Gries, Finding repeated elements, <https://doi.org/10.1016/0167-6423(82)90012-0>.
#[derive(Debug, Default)]
pub(super) struct PairCounter {
    counts: HashMap<[Option<u64>; 2], Pair>,
    overflowed: bool,
    added: u64,
}

impl PairCounter {
    pub(super) fn add(&mut self, before: Option<&str>, after: Option<&str>) {
        self.added += 1;
        let key = [before, after].map(|value| value.map(|text| xxh3_64(text.as_bytes())));
        if let Some(pair) = self.counts.get_mut(&key) {
            pair.records += 1;
        } else if self.counts.len() < COUNTED_MAX {
            self.counts.insert(
                key,
                Pair {
                    before: before.map(cut),
                    after: after.map(cut),
                    records: 1,
                },
            );
        } else {
            self.overflowed = true;
            self.counts.retain(|_, pair| {
                pair.records -= 1;
                pair.records > 0
            });
        }
    }

    pub(super) fn finish(self) -> FrequentPairs {
        let distinct = u64::try_from(self.counts.len())
            .ok()
            .filter(|_| !self.overflowed);
        let are_few = !self.overflowed && self.counts.len() <= SHOWN_MAX;
        let least = if are_few {
            1
        } else {
            self.added.div_ceil(FREQUENT_SHARE).max(2)
        };
        let mut pairs: Vec<Pair> = self
            .counts
            .into_values()
            .filter(|pair| pair.records >= least)
            .collect();
        pairs.sort_by(|left, right| {
            let values = || (&left.before, &left.after).cmp(&(&right.before, &right.after));
            right.records.cmp(&left.records).then_with(values)
        });
        pairs.truncate(SHOWN_MAX);
        FrequentPairs {
            most_frequent: pairs,
            distinct,
        }
    }
}

fn cut(text: &str) -> String {
    match text.chars().count() > VALUE_CHARACTERS_MAX {
        true => text
            .chars()
            .take(VALUE_CHARACTERS_MAX - 1)
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pairs: impl IntoIterator<Item = (String, String)>) -> FrequentPairs {
        let mut counter = PairCounter::default();
        pairs
            .into_iter()
            .for_each(|(before, after)| counter.add(Some(&before), Some(&after)));
        counter.finish()
    }

    fn pair(before: Option<&str>, after: Option<&str>, records: u64) -> Pair {
        Pair {
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            records,
        }
    }

    #[test]
    fn a_few_pairs_are_counted_to_the_record() {
        let mut counter = PairCounter::default();
        for (before, after) in [
            (Some("low"), Some("high")),
            (None, Some("low")),
            (Some("low"), Some("high")),
        ] {
            counter.add(before, after);
        }
        counter.add(Some(""), None);
        let expected = vec![
            pair(Some("low"), Some("high"), 2),
            pair(None, Some("low"), 1),
            pair(Some(""), None, 1),
        ];
        assert_eq!(
            counter.finish(),
            FrequentPairs {
                most_frequent: expected,
                distinct: Some(3)
            }
        );
    }

    #[test]
    fn among_many_pairs_only_the_frequent_ones_are_told() {
        let rare = (0..500).map(|number| (number.to_string(), "x".to_owned()));
        let pairs = rare.chain((0..30).map(|_| ("low".to_owned(), "high".to_owned())));
        let pairs = counted(pairs);
        assert_eq!(
            pairs,
            FrequentPairs {
                most_frequent: vec![pair(Some("low"), Some("high"), 30)],
                distinct: Some(501)
            }
        );
    }

    #[test]
    fn beyond_the_bound_memory_stays_and_counts_are_at_least() {
        let mut counter = PairCounter::default();
        for number in 0..100_000_u64 {
            counter.add(None, Some(&number.to_string()));
            if number % 10 == 0 {
                counter.add(Some("low"), Some("high"));
            }
            assert!(counter.counts.len() <= COUNTED_MAX);
        }
        let pairs = counter.finish();
        assert!(!pairs.is_exact());
        let [
            Pair {
                before: Some(before),
                records,
                ..
            },
        ] = pairs.most_frequent.as_slice()
        else {
            panic!("{pairs:?}");
        };
        assert_eq!(before, "low");
        assert!((9_800..=10_000).contains(records), "{records}");
    }

    #[test]
    fn long_values_are_told_apart_though_they_are_cut() {
        let long = |end: &str| "x".repeat(1_000) + end;
        let pairs = counted([
            (long("a"), long("b")),
            (long("a"), long("c")),
            (long("a"), long("b")),
        ]);
        assert_eq!(
            pairs
                .most_frequent
                .iter()
                .map(|pair| pair.records)
                .collect::<Vec<_>>(),
            [2, 1]
        );
        let kept = pairs
            .most_frequent
            .iter()
            .filter_map(|pair| pair.after.as_ref());
        assert!(
            kept.clone()
                .all(|text| text.chars().count() == VALUE_CHARACTERS_MAX && text.ends_with('…'))
        );
    }
}
