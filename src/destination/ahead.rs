//! Records beside the rows that are read ahead of look-ups, which come in any order. A row is its
//! record's by the very same key, and the record is unchanged if the row surely holds the very same
//! values; how a database sends these, each knows itself.

use std::cmp::Ordering;

use polars::prelude::{
    BooleanChunked, Column, DataFrame, Float32Chunked, Float64Chunked, Int32Chunked, Int64Chunked,
    PolarsResult, Series, StringChunked,
};

use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::Holds;
use crate::domain::value::Kind;

/// A field's values as records have them, in one piece.
pub(super) enum SentValues {
    Text(StringChunked),
    /// Canonical digits.
    Decimal(StringChunked),
    Integer(Int64Chunked),
    Float32(Float32Chunked),
    Float64(Float64Chunked),
    Boolean(BooleanChunked),
    /// Days since 1970.
    Date(Int32Chunked),
    /// Nanoseconds since midnight.
    Time(Int64Chunked),
    /// Microseconds since 1970 of a wall clock.
    Timestamp(Int64Chunked),
    /// Microseconds since 1970 in UTC.
    Instant(Int64Chunked),
}

impl SentValues {
    fn of(kind: Kind, column: &Column) -> PolarsResult<Self> {
        let column = column.rechunk();
        let series: &Series = column.as_materialized_series();
        Ok(match kind {
            Kind::Text | Kind::Uuid | Kind::Json => Self::Text(series.str()?.clone()),
            Kind::Decimal => Self::Decimal(series.str()?.clone()),
            Kind::Integer => Self::Integer(series.i64()?.clone()),
            Kind::Float32 => Self::Float32(series.f32()?.clone()),
            Kind::Float64 => Self::Float64(series.f64()?.clone()),
            Kind::Boolean => Self::Boolean(series.bool()?.clone()),
            Kind::Date => Self::Date(series.date()?.physical().clone()),
            Kind::Time => Self::Time(series.time()?.physical().clone()),
            Kind::Timestamp => Self::Timestamp(series.datetime()?.physical().clone()),
            Kind::Instant => Self::Instant(series.datetime()?.physical().clone()),
        })
    }

    pub(super) fn is_null(&self, record: usize) -> bool {
        match self {
            Self::Text(values) | Self::Decimal(values) => values.get(record).is_none(),
            Self::Integer(values)
            | Self::Time(values)
            | Self::Timestamp(values)
            | Self::Instant(values) => values.get(record).is_none(),
            Self::Float32(values) => values.get(record).is_none(),
            Self::Float64(values) => values.get(record).is_none(),
            Self::Boolean(values) => values.get(record).is_none(),
            Self::Date(values) => values.get(record).is_none(),
        }
    }
}

/// A field that is compared.
pub(super) struct Compared {
    pub(super) values: SentValues,
    /// Whether a NULL leaves the row what it has, whatever that is.
    keeps_null: bool,
}

impl Compared {
    /// Whether nothing is written to a row for the sake of this value, whatever the row holds.
    pub(super) fn is_kept(&self, record: usize) -> bool {
        self.keeps_null && self.values.is_null(record)
    }
}

/// A row's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldKey<'a> {
    Text(&'a str),
    Integer(i64),
}

/// Records, and which of them are known to be unchanged.
pub(super) struct Ahead {
    keys: Keys,
    pub(super) compared: Vec<Compared>,
    /// Position of the record whose row is expected next: rows mostly come in the order of keys.
    next: usize,
    unchanged: Vec<bool>,
}

/// Keys of records, ascending: text by its bytes.
enum Keys {
    Text(StringChunked),
    Integer(Int64Chunked),
}

impl Keys {
    /// How a record's key stands to another one; `None`, where the two are of different kinds.
    fn order(&self, record: usize, key: HeldKey<'_>) -> Option<Ordering> {
        match (self, key) {
            (Self::Text(keys), HeldKey::Text(key)) => Some(keys.get(record)?.cmp(key)),
            (Self::Integer(keys), HeldKey::Integer(key)) => Some(keys.get(record)?.cmp(&key)),
            (Self::Text(_), HeldKey::Integer(_)) | (Self::Integer(_), HeldKey::Text(_)) => None,
        }
    }

    /// The position among so many records of the one with this key.
    fn position(&self, records: usize, key: HeldKey<'_>) -> Option<usize> {
        let (mut low, mut high) = (0, records);
        while low < high {
            let middle = low.midpoint(high);
            match self.order(middle, key)? {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }
}

/// Positions of the fields that rows are read ahead for, the key first: of layouts whose key is one
/// text or whole number.
pub(super) fn read_fields(layout: &Layout) -> Option<Vec<usize>> {
    let [key] = layout.key.as_slice() else {
        return None;
    };
    let compared = layout.positions(LayoutField::is_compared);
    Some(std::iter::once(*key).chain(compared).collect())
}

impl Ahead {
    /// Shape: `records` as batches of the layout; their keys ascend, and occur once. `None` if rows
    /// could not be compared with them exactly: one of the fields is not `exact`.
    pub(super) fn of(
        layout: &Layout,
        records: &DataFrame,
        exact: impl Fn(&LayoutField) -> bool,
    ) -> Option<Self> {
        let fields = read_fields(layout)?;
        let values = |position: &usize| {
            let field = layout.fields.get(*position)?;
            let column = records.columns().get(*position)?;
            let field = Some(field).filter(|field| exact(field))?;
            Some((field, SentValues::of(field.kind, column).ok()?))
        };
        let mut values = fields.iter().map(values);
        let keys = match values.next()?? {
            (_, SentValues::Text(keys)) => Keys::Text(keys),
            (_, SentValues::Integer(keys)) => Keys::Integer(keys),
            (
                _,
                SentValues::Decimal(_)
                | SentValues::Float32(_)
                | SentValues::Float64(_)
                | SentValues::Boolean(_)
                | SentValues::Date(_)
                | SentValues::Time(_)
                | SentValues::Timestamp(_)
                | SentValues::Instant(_),
            ) => return None,
        };
        let compared = values.map(|value| {
            let (field, values) = value?;
            Some(Compared {
                values,
                keeps_null: layout.keeps_null(field),
            })
        });
        Some(Self {
            keys,
            compared: compared.collect::<Option<_>>()?,
            next: 0,
            unchanged: vec![false; records.height()],
        })
    }

    pub(super) fn has_text_keys(&self) -> bool {
        matches!(self.keys, Keys::Text(_))
    }

    /// The lowest and the highest key, as text, in the order of the records.
    pub(super) fn ends(&self) -> Option<(String, String)> {
        let last = self.unchanged.len().checked_sub(1)?;
        let at = |record| match &self.keys {
            Keys::Text(keys) => keys.get(record).map(str::to_owned),
            Keys::Integer(keys) => keys.get(record).map(|key| key.to_string()),
        };
        Some((at(0)?, at(last)?))
    }

    /// The record that has this very key.
    pub(super) fn record(&mut self, key: HeldKey<'_>) -> Option<usize> {
        let records = self.unchanged.len();
        let is_this = |next: &usize| self.keys.order(*next, key) == Some(Ordering::Equal);
        let next = Some(self.next).filter(|next| *next < records);
        let record = next.filter(is_this);
        let record = record.or_else(|| self.keys.position(records, key))?;
        self.next = record + 1;
        Some(record)
    }

    /// The record's row surely holds its values.
    pub(super) fn is_unchanged(&mut self, record: usize) {
        if let Some(unchanged) = self.unchanged.get_mut(record) {
            *unchanged = true;
        }
    }

    pub(super) fn finish(self) -> Vec<bool> {
        self.unchanged
    }
}

/// Whether the column's type is the one that its kind is named for. A whole number may be one that
/// no 64-bit integer holds, and a decimal may be kept as a float.
pub(super) fn is_plain(LayoutField { column, kind, .. }: &LayoutField) -> bool {
    match (kind, &column.holds) {
        (Kind::Text, Holds::Text { .. } | Holds::Label(_))
        | (Kind::Decimal, Holds::Decimal { .. })
        | (Kind::Float32, Holds::Float { bits: 32 })
        | (Kind::Float64, Holds::Float { bits: 64 })
        | (Kind::Boolean, Holds::Boolean)
        | (Kind::Date, Holds::Date)
        | (Kind::Time, Holds::Time { .. })
        | (Kind::Timestamp, Holds::Timestamp { .. })
        | (Kind::Instant, Holds::Instant { .. })
        | (Kind::Uuid, Holds::Uuid)
        | (Kind::Json, Holds::Json) => true,
        (Kind::Integer, Holds::Integer { max, .. }) => *max <= i128::from(i64::MAX),
        (
            Kind::Text
            | Kind::Integer
            | Kind::Decimal
            | Kind::Float32
            | Kind::Float64
            | Kind::Boolean
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::Instant
            | Kind::Uuid
            | Kind::Json,
            _,
        ) => false,
    }
}

/// Whether two texts of digits, `-?digits[.digits]`, are one number: zeros at the end of a fraction
/// tell nothing.
pub(super) fn is_same_decimal(left: &str, right: &str) -> bool {
    trimmed(left) == trimmed(right)
}

fn trimmed(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::df;

    use super::*;

    fn ahead(keys: &[&str]) -> Ahead {
        let frame = df!("id" => keys).unwrap();
        let keys = SentValues::of(Kind::Text, frame.column("id").unwrap()).unwrap();
        let SentValues::Text(keys) = keys else {
            panic!("texts")
        };
        Ahead {
            unchanged: vec![false; keys.len()],
            keys: Keys::Text(keys),
            compared: Vec::new(),
            next: 0,
        }
    }

    #[test]
    fn rows_find_their_records_in_whatever_order_they_come() {
        let mut ahead = ahead(&["a", "b", "c", "d"]);
        assert_eq!(ahead.ends(), Some(("a".to_owned(), "d".to_owned())));
        let mut found = |key| ahead.record(HeldKey::Text(key));
        assert_eq!(
            (found("a"), found("c"), found("b")),
            (Some(0), Some(2), Some(1))
        );
        assert_eq!((found("B"), found("d"), found("e")), (None, Some(3), None));
        assert_eq!(ahead.record(HeldKey::Integer(1)), None);
        ahead.is_unchanged(2);
        assert_eq!(ahead.finish(), [false, false, true, false]);
    }

    #[test]
    fn decimals_are_the_same_whatever_zeros_end_them() {
        for (left, right) in [
            ("87.5", "87.50"),
            ("100", "100.00"),
            ("0.0", "0"),
            ("-1.10", "-1.1"),
        ] {
            assert!(is_same_decimal(left, right), "{left} {right}");
        }
        for (left, right) in [("100", "1"), ("1.05", "1.5"), ("-1", "1"), ("10", "10.01")] {
            assert!(!is_same_decimal(left, right), "{left} {right}");
        }
    }
}
