//! Which match keys are one: they are told in the source's spelling, in the destination's, and in
//! that of whoever types them, and `007` is the number 7 in all of them.

use std::collections::HashMap;

use super::record::key_parts;
use super::sameness::one_spelling;
use super::schema::Schema;
use super::value::Kind;

/// The kinds of a match key's parts, in the key's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyKinds(Vec<Kind>);

impl KeyKinds {
    pub(crate) fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self(kinds.into_iter().collect())
    }

    /// Of the match key's parts as the source yields them.
    pub(crate) fn of_source(schema: &Schema) -> Self {
        Self::new(schema.key_columns().map(|column| column.column_type.kind()))
    }

    /// Whether one key may be spelt in several ways.
    pub(crate) fn have_spellings(&self) -> bool {
        self.0.iter().any(|kind| *kind != Kind::Text)
    }

    /// The same text for all keys that are one, given as [`super::record::key_text`] writes them.
    /// What is no key of these kinds is one with itself only.
    pub(crate) fn meaning(&self, key: &str) -> String {
        let parts = key_parts(key).filter(|parts| parts.len() == self.0.len());
        let Some(parts) = parts else {
            return format!("{key:?}");
        };
        let parts = self.0.iter().zip(&parts);
        let meanings: Vec<_> = parts
            .map(|(kind, part)| one_spelling(*kind, part))
            .collect();
        format!("{meanings:?}")
    }

    pub(crate) fn are_one(&self, left: &str, right: &str) -> bool {
        left == right || self.have_spellings() && self.meaning(left) == self.meaning(right)
    }
}

/// The kinds of a write-back's match key, in its source and in its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordKinds {
    pub(crate) source: KeyKinds,
    pub(crate) destination: KeyKinds,
}

impl RecordKinds {
    pub(crate) fn have_spellings(&self) -> bool {
        self.source.have_spellings() || self.destination.have_spellings()
    }
}

/// The texts that one record is told by; each may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ToldBy<'a> {
    /// As it was pulled.
    pub(crate) pulled: Option<&'a str>,
    /// As a value of the schema's types.
    pub(crate) source: Option<&'a str>,
    /// As the destination's fields hold it.
    pub(crate) destination: Option<&'a str>,
}

impl<'a> ToldBy<'a> {
    /// The key that reports tell: the last one that it came to have.
    pub(crate) fn reported(&self) -> Option<&'a str> {
        self.destination.or(self.source).or(self.pulled)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Source,
    Destination,
}

/// Something about each of some records, which people told by their keys.
#[derive(Debug)]
pub(crate) struct ByKey<T> {
    kinds: RecordKinds,
    entries: Vec<T>,
    /// Positions in `entries`. Of several with one meaning the first counts.
    positions: HashMap<(Side, String), usize>,
}

impl<T> ByKey<T> {
    pub(crate) fn new(kinds: RecordKinds, entries: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut all = Self {
            kinds,
            entries: Vec::new(),
            positions: HashMap::new(),
        };
        for (key, entry) in entries {
            let position = all.entries.len();
            all.entries.push(entry);
            for meaning in [
                (Side::Source, all.kinds.source.meaning(&key)),
                (Side::Destination, all.kinds.destination.meaning(&key)),
            ] {
                all.positions.entry(meaning).or_insert(position);
            }
        }
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of the record that is told by these texts.
    pub(crate) fn get(&self, record: ToldBy<'_>) -> Option<&T> {
        let source = |key| (Side::Source, self.kinds.source.meaning(key));
        let destination = |key| (Side::Destination, self.kinds.destination.meaning(key));
        let told = [
            record.destination.map(destination),
            record.source.map(source),
            record.pulled.map(source),
        ];
        let mut positions = told.iter().flatten();
        let position = positions.find_map(|told| self.positions.get(told))?;
        self.entries.get(*position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &[Kind], destination: &[Kind]) -> RecordKinds {
        RecordKinds {
            source: KeyKinds::new(source.iter().copied()),
            destination: KeyKinds::new(destination.iter().copied()),
        }
    }

    #[test]
    fn a_key_is_one_however_its_parts_are_spelt() {
        let key = KeyKinds::new([Kind::Integer, Kind::Text, Kind::Decimal]);
        for (left, right) in [
            ("7,EU,1.5", "007,EU,1.50"),
            ("7,EU,1.5", "\"7\",\"EU\",15e-1"),
            ("x,EU,1", "x,EU,1.0"),
        ] {
            assert!(key.are_one(left, right), "{left} {right}");
        }
        for (left, right) in [
            ("7,EU,1.5", "7,eu,1.5"),
            ("7,EU,1.5", "7,EU"),
            ("7,EU", "07,EU"),
            ("7,0EU,1", "7,EU,1"),
        ] {
            assert!(!key.are_one(left, right), "{left} {right}");
        }
        assert!(!KeyKinds::new([Kind::Text]).are_one("007", "7"));
    }

    #[test]
    fn a_record_is_found_by_any_of_its_keys_as_either_side_means_them() {
        let numbers = ByKey::new(
            kinds(&[Kind::Text], &[Kind::Integer]),
            [("07".to_owned(), 1), ("gold".to_owned(), 2)],
        );
        let told = |pulled, source, destination| ToldBy {
            pulled,
            source,
            destination,
        };
        let found = |by: &ByKey<i32>, record| by.get(record).copied();
        assert_eq!(found(&numbers, told(None, Some("007"), Some("7"))), Some(1));
        assert_eq!(found(&numbers, told(None, Some("007"), None)), None);
        assert_eq!(
            found(&numbers, told(None, Some("gold"), Some("3"))),
            Some(2)
        );
        let texts = ByKey::new(
            kinds(&[Kind::Integer], &[Kind::Text]),
            [("007".to_owned(), 1)],
        );
        assert_eq!(found(&texts, told(Some("0007"), None, None)), Some(1));
        assert_eq!(
            found(&texts, told(Some("7"), Some("7"), Some("7"))),
            Some(1)
        );
        assert_eq!(
            found(&texts, told(Some("70"), Some("70"), Some("70"))),
            None
        );
    }
}
