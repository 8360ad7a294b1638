//! A batch beside the rows it meets, value by value and as text: what a row holds, what it will hold, and whether the
//! two mean the same.

use polars::prelude::{DataFrame, StringChunked};

use super::Change;
use crate::domain::before::BeforeImages;
use crate::domain::decimal::Decimal;
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::record::column_texts;
use crate::domain::value::Kind;

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Update,
    Insert,
}

impl Write {
    pub(super) fn of(decision: &Decision) -> Option<Self> {
        match decision {
            Decision::Update => Some(Self::Update),
            Decision::Insert => Some(Self::Insert),
            Decision::Leave | Decision::Skip(_) | Decision::Reject(_) => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Insert => "insert",
        }
    }
}

/// A batch and what was found of it.
pub(super) struct Comparison<'a> {
    pub(super) layout: &'a Layout,
    before: &'a BeforeImages,
    /// What is sent, field by field.
    sent: Vec<StringChunked>,
}

impl<'a> Comparison<'a> {
    pub(super) fn of(layout: &'a Layout, batch: &DataFrame, before: &'a BeforeImages) -> Self {
        let texts = batch.columns().iter().map(column_texts).collect::<Result<_, _>>();
        let sent = texts.expect("a batch has its values in their kinds' representations");
        Self { layout, before, sent }
    }

    /// What the row held in a field; `None` for NULL, and of an insert.
    pub(super) fn before(&self, record: usize, field: usize) -> Option<&str> {
        self.before.value(record, field)
    }

    /// What the row holds in a field once the record is written.
    pub(super) fn after(&self, record: usize, position: usize, field: &LayoutField, write: Write) -> Option<&str> {
        let sent = self.sent.get(position).and_then(|texts| texts.get(record));
        match write {
            Write::Insert => sent,
            Write::Update => effective(self.layout, field, self.before(record, position), sent),
        }
    }

    /// What writing a record changes, column by column; of an insert, every column.
    pub(super) fn changes(&self, record: usize, write: Write) -> Vec<Change> {
        let change = |(position, field): (usize, &LayoutField)| {
            let (before, after) = (self.before(record, position), self.after(record, position, field, write));
            let differs = write == Write::Insert || !same(field.kind, before, after);
            differs.then(|| Change {
                column: field.column.name.clone(),
                before: before.map(str::to_owned),
                after: after.map(str::to_owned),
            })
        };
        self.layout.fields.iter().enumerate().filter_map(change).collect()
    }
}

/// What a row holds after an update that sends `sent`.
fn effective<'a>(
    layout: &Layout,
    field: &LayoutField,
    before: Option<&'a str>,
    sent: Option<&'a str>,
) -> Option<&'a str> {
    let keeps_null = layout.nulls == NullPolicy::Keep && sent.is_none();
    let keeps_value = field.when == When::IfEmpty && before.is_some_and(|text| !text.is_empty());
    if field.key || keeps_null || keeps_value { before } else { sent }
}

/// Whether two texts mean the same value, for showing what changes: the database decides what is written.
pub(crate) fn same(kind: Kind, left: Option<&str>, right: Option<&str>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left == right || mean_the_same(kind, left, right),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Databases write numbers, times and documents in ways of their own.
fn mean_the_same(kind: Kind, left: &str, right: &str) -> bool {
    match kind {
        Kind::Integer | Kind::Decimal => agree(left, right, |text| Decimal::parse(text).ok()),
        Kind::Float32 => agree(left, right, |text| text.parse::<f32>().ok()),
        Kind::Float64 => agree(left, right, |text| text.parse::<f64>().ok()),
        Kind::Timestamp | Kind::Instant | Kind::Time => plain_time(left) == plain_time(right),
        Kind::Boolean => agree(left, right, truth),
        Kind::Json => agree(left, right, |text| serde_json::from_str::<serde_json::Value>(text).ok()),
        Kind::Text | Kind::Date | Kind::Uuid => false,
    }
}

/// Whether both texts can be read, and as the same.
fn agree<'a, T: PartialEq>(left: &'a str, right: &'a str, read: impl Fn(&'a str) -> Option<T>) -> bool {
    read(left).is_some_and(|left| read(right) == Some(left))
}

fn plain_time(text: &str) -> String {
    let text = text.replace('T', " ");
    let text = text.trim_end_matches("+00:00").trim_end_matches("+00").trim_end_matches('Z');
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    text.to_owned()
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_only_look_different_are_no_change() {
        for (kind, left, right) in [
            (Kind::Decimal, "87.5", "87.50"),
            (Kind::Decimal, "100", "1e2"),
            (Kind::Integer, "7", "7.0"),
            (Kind::Float64, "1e+20", "100000000000000000000"),
            (Kind::Float32, "0.1", "0.10000000149011612"),
            (Kind::Instant, "2026-11-15 06:30:00+00", "2026-11-15 06:30:00"),
            (Kind::Instant, "2026-11-15T06:30:00Z", "2026-11-15 06:30:00.000"),
            (Kind::Boolean, "1", "true"),
            (Kind::Json, "{\"a\": 1, \"b\": [2]}", "{\"b\":[2],\"a\":1}"),
        ] {
            assert!(same(kind, Some(left), Some(right)), "{kind:?} {left} {right}");
        }
        assert!(same(Kind::Text, None, None));
    }

    #[test]
    fn values_that_are_different_are_a_change() {
        for (kind, left, right) in [
            (Kind::Text, "87.5", "87.50"),
            (Kind::Integer, "100", "1"),
            (Kind::Decimal, "9007199254740993", "9007199254740992"),
            (Kind::Decimal, "n/a", "none"),
            (Kind::Float64, "NaN", "nan"),
            (Kind::Time, "06:30:00", "06:30:00.5"),
            (Kind::Boolean, "2", "3"),
            (Kind::Json, "{", "{ "),
        ] {
            assert!(!same(kind, Some(left), Some(right)), "{kind:?} {left} {right}");
        }
        assert!(!same(Kind::Text, None, Some("")));
    }
}
