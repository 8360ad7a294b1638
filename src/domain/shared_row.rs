//! Records that are led to one row: what they bring is written once if it is the same, and not at
//! all if it is not. Nobody's value wins by coming last.

use std::collections::BTreeMap;
use std::ops::Range;

use polars::prelude::{
    BooleanChunked, DataFrame, NewChunkedArray, PlSmallStr, PolarsResult, StringChunked,
};

use super::outcome::{Rejection, Stage};
use super::parking::LeftAlone;
use super::record::{RECORD_KEY, RECORD_POSITION, column_texts};

/// What becomes of records that share rows.
pub(crate) struct SharedRows {
    /// Those that go on.
    pub(crate) carried: DataFrame,
    pub(crate) left_alone: Vec<LeftAlone>,
    pub(crate) rejections: Vec<Rejection>,
}

/// Decides about records that were led to rows of the object that is called `object`. Shape: records
/// with the row's id in the column `id`, by which they are sorted; each row is that of several.
/// Records of one key go on: that their key occurs several times is found later.
pub(crate) fn settle(records: &DataFrame, id: &str, object: &str) -> PolarsResult<SharedRows> {
    let sharing = Sharing::of(records, id)?;
    let mut carried = vec![true; records.height()];
    let (mut left_alone, mut rejections) = (Vec::new(), Vec::new());
    for group in sharing.groups() {
        let row = format!(
            "`{object}` {}",
            sharing.ids.get(group.start).unwrap_or_default()
        );
        let members = sharing.members(group);
        let Some(first) = members.first().copied() else {
            continue;
        };
        let others = || members.iter().copied().filter(|other| *other != first);
        let differs = |other: &usize| sharing.difference(first, *other).is_some();
        let dissent = others().find(differs);
        for member in members.iter().copied() {
            // Whoever agrees with the first disagrees with the one that does not.
            let against = match (dissent, sharing.difference(first, member)) {
                (None, _) => None,
                (Some(_), Some(column)) => Some((first, column)),
                (Some(dissent), None) => sharing
                    .difference(member, dissent)
                    .map(|column| (dissent, column)),
            };
            match against {
                Some((other, column)) => {
                    let reason = format!(
                        "record `{}` brings another value for the same row: {row}",
                        sharing.key(other)
                    );
                    rejections.push(sharing.rejection(member, column, reason));
                }
                None if member == first => continue,
                None => {
                    let reason =
                        format!("record `{}` writes the same to {row}", sharing.key(first));
                    left_alone.push(sharing.left_alone(member, reason));
                }
            }
            if let Some(carried) = carried.get_mut(member) {
                *carried = false;
            }
        }
    }
    let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, &carried);
    Ok(SharedRows {
        carried: records.filter(&mask)?,
        left_alone,
        rejections,
    })
}

/// Records beside what they are compared by.
struct Sharing {
    ids: StringChunked,
    keys: StringChunked,
    positions: Vec<u64>,
    /// What they bring, with the columns' names.
    values: Vec<(String, StringChunked)>,
}

impl Sharing {
    fn of(records: &DataFrame, id: &str) -> PolarsResult<Self> {
        let is_brought = |name: &str| ![id, RECORD_KEY, RECORD_POSITION].contains(&name);
        let values = records
            .columns()
            .iter()
            .filter(|column| is_brought(column.name()));
        let values = values.map(|column| Ok((column.name().to_string(), column_texts(column)?)));
        let positions = records.column(RECORD_POSITION)?.u64()?.iter();
        Ok(Self {
            ids: column_texts(records.column(id)?)?,
            keys: records.column(RECORD_KEY)?.str()?.clone(),
            positions: positions.map(Option::unwrap_or_default).collect(),
            values: values.collect::<PolarsResult<_>>()?,
        })
    }

    /// Those of one row each.
    fn groups(&self) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (index, id) in self.ids.iter().enumerate() {
            match groups.last_mut() {
                Some(last) if self.ids.get(last.start) == id => last.end = index + 1,
                _ => groups.push(index..index + 1),
            }
        }
        groups
    }

    /// The records of a group whose key no other of them has, as they were pulled.
    fn members(&self, group: Range<usize>) -> Vec<usize> {
        let mut by_key: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for index in group {
            by_key.entry(self.keys.get(index)).or_default().push(index);
        }
        let alone = by_key.into_values().filter(|indexes| indexes.len() == 1);
        let mut members: Vec<usize> = alone.flatten().collect();
        members.sort_by_key(|index| self.positions.get(*index));
        members
    }

    /// A column in which two records bring different values.
    fn difference(&self, left: usize, right: usize) -> Option<&str> {
        let mut values = self.values.iter();
        let differing = values.find(|(_, texts)| texts.get(left) != texts.get(right));
        differing.map(|(column, _)| column.as_str())
    }

    fn key(&self, index: usize) -> &str {
        self.keys.get(index).unwrap_or_default()
    }

    fn position(&self, index: usize) -> u64 {
        self.positions.get(index).copied().unwrap_or_default()
    }

    fn left_alone(&self, index: usize, reason: String) -> LeftAlone {
        LeftAlone {
            record: self.position(index),
            key: self.key(index).to_owned(),
            reason,
            parked: false,
            met: None,
        }
    }

    fn rejection(&self, index: usize, column: &str, reason: String) -> Rejection {
        Rejection {
            record: self.position(index),
            key: Some(self.key(index).to_owned()),
            stage: Stage::Match,
            column: Some(column.to_owned()),
            value: None,
            reason,
            others: Vec::new(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::df;

    use super::*;

    /// Keys that go on, then what is told of the others.
    fn settled(records: &[(&str, &str, Option<&str>)]) -> (Vec<String>, Vec<String>) {
        let column = |of: fn(&(&str, &str, Option<&str>)) -> String| -> Vec<String> {
            records.iter().map(of).collect()
        };
        let frame = df!(
            "Id" => column(|one| one.0.to_owned()),
            RECORD_KEY => column(|one| one.1.to_owned()),
            RECORD_POSITION => (0..records.len() as u64).collect::<Vec<_>>(),
            "Phone" => records.iter().map(|one| one.2).collect::<Vec<_>>(),
        );
        let settled = settle(&frame.unwrap(), "Id", "Account").unwrap();
        let keys = settled.carried.column(RECORD_KEY).unwrap().str().unwrap();
        let keys = keys.iter().flatten().map(str::to_owned).collect();
        let left = settled.left_alone.iter();
        let left = left.map(|one| format!("{} {}", one.key, one.reason));
        let rejected = settled.rejections.iter();
        let rejected = rejected.map(|one| {
            let (key, column) = (one.key.as_deref(), one.column.as_deref());
            format!("{} {} {}", key.unwrap(), column.unwrap(), one.reason)
        });
        (keys, left.chain(rejected).collect())
    }

    #[test]
    fn the_same_value_is_written_once() {
        let (carried, told) = settled(&[
            ("A", "k1", Some("1")),
            ("A", "k2", Some("1")),
            ("B", "k3", None),
            ("B", "k4", None),
        ]);
        assert_eq!(carried, ["k1", "k3"]);
        assert_eq!(
            told,
            [
                "k2 record `k1` writes the same to `Account` A",
                "k4 record `k3` writes the same to `Account` B",
            ]
        );
    }

    #[test]
    fn different_values_are_refused_and_each_names_another_record() {
        let (carried, told) = settled(&[
            ("A", "k1", Some("1")),
            ("A", "k2", Some("1")),
            ("A", "k3", None),
        ]);
        assert!(carried.is_empty(), "{carried:?}");
        assert_eq!(
            told,
            [
                "k1 Phone record `k3` brings another value for the same row: `Account` A",
                "k2 Phone record `k3` brings another value for the same row: `Account` A",
                "k3 Phone record `k1` brings another value for the same row: `Account` A",
            ]
        );
    }

    #[test]
    fn records_of_one_key_go_on_to_be_refused_for_that() {
        let (carried, told) = settled(&[
            ("A", "k1", Some("1")),
            ("A", "k1", Some("2")),
            ("A", "k2", Some("3")),
        ]);
        assert_eq!(carried, ["k1", "k1", "k2"]);
        assert!(told.is_empty(), "{told:?}");
    }
}
