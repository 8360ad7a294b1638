//! Canaries: the part of a write-back's records that goes first, and where in the package it is
//! taken from. Knows no destination: what the records came to is told by the run.

use std::fmt;
use std::ops::Range;

use super::alteration::Cause;
use super::outcome::{Rejection, grouped};
use super::share::RecordsMax;

/// Places of a package that a canary is taken from. One place is one kind of record more often than
/// not: the oldest accounts, one region. Each is a batch of its own at least, and each of a large
/// package is loaded twice, so they are few.
const PLACES_MAX: u64 = 10;

/// How many records go first: so many, or such a share of all that are to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canary {
    size: RecordsMax,
}

impl Canary {
    /// `None`, if nothing would ever go first.
    pub(crate) fn new(size: RecordsMax) -> Option<Self> {
        let some = match size {
            RecordsMax::Count(count) => count > 0,
            RecordsMax::Share(percent) => percent.part_of(u64::MAX) > 0,
        };
        some.then_some(Self { size })
    }

    pub(crate) fn size(self) -> RecordsMax {
        self.size
    }

    /// What it takes of each partition of a package; `records` are theirs, in order.
    pub(crate) fn shares(self, records: &[u64]) -> Vec<Share> {
        let all = records.iter().sum();
        let places = spread(self.records_of(all), all, PLACES_MAX);
        let mut first = 0;
        let share = |records: &u64| {
            let partition = first..first + records;
            first = partition.end;
            let parts = places
                .iter()
                .map(|place| overlap(place, &partition))
                .filter(|records| *records > 0);
            parts.fold(Share::default(), |share, records| Share {
                records: share.records + records,
                places: share.places + 1,
            })
        };
        records.iter().map(share).collect()
    }

    /// A share is rounded up: of few records it is at least one.
    fn records_of(self, all: u64) -> u64 {
        match self.size {
            RecordsMax::Count(count) => count.min(all),
            RecordsMax::Share(percent) => percent.part_of(all),
        }
    }
}

/// What a canary takes of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Share {
    pub(crate) records: u64,
    /// Places they are taken from.
    pub(crate) places: u64,
}

impl Share {
    /// The ranges it takes of a partition that turned out to have `unique` records with a key of
    /// their own, and how many it could not take: those are the next partition's to give.
    pub(crate) fn of(self, unique: u64) -> (Vec<Range<u64>>, u64) {
        let records = self.records.min(unique);
        (spread(records, unique, self.places), self.records - records)
    }

    /// With what other partitions could not give.
    pub(crate) fn and(self, records: u64) -> Self {
        Self {
            records: self.records + records,
            places: self.places.max(u64::from(records > 0)),
        }
    }
}

/// At most `places_max` ranges of about one size, each in the middle of its part of `all` records,
/// so that those of one partition are as far from those of the next as from one another: `records`
/// of them, no more than `all`.
fn spread(records: u64, all: u64, places_max: u64) -> Vec<Range<u64>> {
    let places = places_max.min(records);
    let part = |whole: u64, of: u64, place: u64| {
        let part = u128::from(whole) * u128::from(place) / u128::from(of.max(1));
        u64::try_from(part).unwrap_or(whole)
    };
    let range = |place: u64| {
        let skipped = part(all - records, 2 * places, 2 * place + 1);
        skipped + part(records, places, place)..skipped + part(records, places, place + 1)
    };
    (0..places).map(range).collect()
}

fn overlap(left: &Range<u64>, right: &Range<u64>) -> u64 {
    left.end
        .min(right.end)
        .saturating_sub(left.start.max(right.start))
}

/// What is wrong with a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// More of its records were rejected at the destination than may be.
    Rejected {
        records: u64,
        of: u64,
        bound: Option<RecordsMax>,
        example: Rejection,
    },
    /// A row does not hold what was sent.
    Altered {
        key: String,
        column: String,
        sent: Option<String>,
        held: Option<String>,
        cause: Cause,
    },
    /// A record that reached one row has another number of them.
    Rows {
        key: String,
        rows: u64,
        cause: Cause,
    },
}

/// The first troubles, and how many there are besides.
pub(crate) fn told(troubles: &[Trouble]) -> String {
    let mut told: Vec<String> = troubles
        .iter()
        .take(TROUBLES_TOLD_MAX)
        .map(ToString::to_string)
        .collect();
    if troubles.len() > TROUBLES_TOLD_MAX {
        told.push(format!(
            "and {} more like these",
            troubles.len() - TROUBLES_TOLD_MAX
        ));
    }
    told.join("; ")
}

/// Troubles in one message: the first few show what is wrong.
const TROUBLES_TOLD_MAX: usize = 3;

/// Characters of a value in a message: enough to tell two apart most of the time.
const VALUE_CHARACTERS_MAX: usize = 60;

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected {
                records,
                of,
                bound,
                example,
            } => {
                let may = match bound {
                    None => "none may".to_owned(),
                    Some(bound) => format!("at most {bound} may (`max_rejected`)"),
                };
                let (records, of) = (grouped(*records), grouped(*of));
                let key = example
                    .key
                    .as_deref()
                    .map(|key| format!("record `{key}`: "))
                    .unwrap_or_default();
                write!(
                    formatter,
                    "{records} of {of} records rejected, {may}; {key}{}",
                    example.reason
                )
            }
            Self::Altered {
                key,
                column,
                sent,
                held,
                cause,
            } => {
                let [sent, held] = [sent, held].map(|value| quoted(value.as_deref()));
                write!(
                    formatter,
                    "record `{key}` was sent {sent} in column `{column}` and holds {held} ({cause})"
                )
            }
            Self::Rows { key, rows, cause } => {
                write!(
                    formatter,
                    "record `{key}` has {rows} rows after it was written ({cause})"
                )
            }
        }
    }
}

fn quoted(value: Option<&str>) -> String {
    let Some(value) = value else {
        return "NULL".to_owned();
    };
    let mut characters = value.chars();
    // What a value does to a terminal is not shown but told.
    let told = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    let shown: String = characters
        .by_ref()
        .take(VALUE_CHARACTERS_MAX)
        .map(told)
        .collect();
    let more = if characters.next().is_some() {
        "…"
    } else {
        ""
    };
    format!("`{shown}{more}`")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::told as told_of;
    use super::*;
    use crate::domain::outcome::Stage;
    use crate::domain::share::Percent;

    fn share(text: &str) -> Canary {
        Canary::new(RecordsMax::Share(Percent::parse(text).unwrap())).unwrap()
    }

    fn count(records: u64) -> Canary {
        Canary::new(RecordsMax::Count(records)).unwrap()
    }

    fn taken(canary: Canary, partitions: &[u64]) -> Vec<u64> {
        canary
            .shares(partitions)
            .iter()
            .map(|share| share.records)
            .collect()
    }

    #[test]
    fn a_share_is_rounded_up_and_a_count_is_no_more_than_there_are() {
        for (canary, all, records) in [
            (share("1 %"), 1_400, 14),
            (share("1 %"), 1_401, 15),
            (share("0.01 %"), 3, 1),
            (share("100 %"), 7, 7),
            (share("1 %"), 0, 0),
            (count(14), 1_000, 14),
            (count(14), 14, 14),
            (count(u64::MAX), 3, 3),
            (count(1), 0, 0),
        ] {
            assert_eq!(taken(canary, &[all]), [records], "{canary:?} of {all}");
        }
        assert_eq!(Canary::new(RecordsMax::Count(0)), None);
        assert_eq!(
            Canary::new(RecordsMax::Share(Percent::parse("0 %").unwrap())),
            None
        );
    }

    #[test]
    fn records_are_taken_from_all_over() {
        assert_eq!(spread(4, 10, 2), [1..3, 6..8]);
        assert_eq!(spread(3, 9, 10), [1..2, 4..5, 7..8]);
        assert_eq!(spread(1, 9, 10).first(), Some(&(4..5)));
        assert_eq!(spread(9, 9, 3), [0..3, 3..6, 6..9]);
        assert_eq!(spread(0, 9, 3), []);
    }

    #[test]
    fn what_a_partition_cannot_give_is_left_to_the_next() {
        let share = Share {
            records: 5,
            places: 2,
        };
        assert_eq!(share.of(3), (vec![0..1, 1..3], 2));
        assert_eq!(share.of(0), (vec![], 5));
        let (ranges, left) = Share::default().and(2).of(9);
        assert_eq!((ranges.first(), ranges.len(), left), (Some(&(3..5)), 1, 0));
    }

    #[test]
    fn troubles_name_what_is_wrong_and_only_the_first_of_many() {
        let altered = |key: &str, sent: Option<&str>, held: Option<&str>| Trouble::Altered {
            key: key.to_owned(),
            column: "note".to_owned(),
            sent: sent.map(str::to_owned),
            held: held.map(str::to_owned),
            cause: Cause::Triggers(vec!["shout".to_owned()]),
        };
        assert_eq!(
            altered("A1", Some("a\u{1b}[2J"), None).to_string(),
            "record `A1` was sent `a\\u{1b}[2J` in column `note` and holds NULL (most likely trigger `shout`)"
        );
        let long = altered("A1", Some(&"x".repeat(61)), Some(&"x".repeat(60))).to_string();
        assert!(
            long.contains(&format!("sent `{}…` in", "x".repeat(60))),
            "{long}"
        );
        assert!(
            long.contains(&format!("holds `{}` (", "x".repeat(60))),
            "{long}"
        );
        let example = Rejection {
            record: 0,
            key: Some("A2".to_owned()),
            stage: Stage::Destination,
            column: None,
            value: None,
            reason: "no".to_owned(),
            others: Vec::new(),
        };
        let bound = Percent::parse("5 %").map(RecordsMax::Share);
        let rejected = |bound| Trouble::Rejected {
            records: 2,
            of: 1_400,
            bound,
            example: example.clone(),
        };
        assert_eq!(
            rejected(None).to_string(),
            "2 of 1 400 records rejected, none may; record `A2`: no"
        );
        let told = rejected(bound).to_string();
        assert_eq!(
            told,
            "2 of 1 400 records rejected, at most 5 % may (`max_rejected`); record `A2`: no"
        );
        let gone = Trouble::Rows {
            key: "A3".to_owned(),
            rows: 0,
            cause: Cause::Unknown,
        };
        assert_eq!(
            told_of(&[gone.clone(), rejected(None)]),
            "record `A3` has 0 rows after it was written (the catalogue does not tell why); \
             2 of 1 400 records rejected, none may; record `A2`: no"
        );
        let many = told_of(&vec![gone; 7]);
        assert!(
            many.ends_with("; and 4 more like these") && many.matches("`A3`").count() == 3,
            "{many}"
        );
    }

    proptest! {
        #[test]
        fn it_takes_as_many_records_as_it_says_none_of_them_twice(
            partitions in proptest::collection::vec(0_u64..500, 0..40),
            records in 1_u64..5_000,
        ) {
            let all: u64 = partitions.iter().sum();
            let shares = count(records).shares(&partitions);
            prop_assert_eq!(shares.iter().map(|share| share.records).sum::<u64>(), records.min(all));
            for (share, unique) in shares.iter().zip(&partitions) {
                let (ranges, left) = share.of(*unique);
                prop_assert_eq!(left, 0);
                prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.end <= next.start), "{:?}", ranges);
                prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= *unique), "{:?}", ranges);
                prop_assert_eq!(ranges.iter().map(|range| range.end - range.start).sum::<u64>(), share.records);
            }
        }
    }
}
