//! Rows that are read ahead of look-ups, some thousands in one answer.

use std::cmp::Ordering;

use sqlx::Arguments as _;
use sqlx::sqlite::SqliteArguments;

use super::packed::{Held, Malformed, Rows};
use super::values::{Number, date_text, instant_text, time_text, timestamp_text};
use crate::database::sqlite::StoredValue;
use crate::destination::ahead::{Ahead, HeldKey, SentValues, is_plain};
use crate::domain::layout::LayoutField;
use crate::domain::object::Holds;
use crate::domain::value::Kind;

/// Whether rows are compared with the field as a look-up does. A decimal goes into its column as the
/// number nearest to it.
pub(super) fn is_exact(field: &LayoutField) -> bool {
    let is_number = matches!(field.column.holds, Holds::DecimalAsFloat { .. });
    is_plain(field) || field.kind == Kind::Decimal && is_number
}

/// Rows of one answer: enough that it is worth a statement, and few enough that wide ones have room
/// in memory.
pub(super) const ANSWER_ROWS_MAX: usize = 2_048;

/// The key of a row, on its own.
pub(super) enum Key {
    Text(String),
    Integer(i64),
}

impl Key {
    /// The lowest and the highest key of records, which must have some.
    pub(super) fn ends(ahead: &Ahead) -> Option<(Self, Self)> {
        let (low, high) = ahead.ends()?;
        Some(match ahead.has_text_keys() {
            true => (Self::Text(low), Self::Text(high)),
            false => (
                Self::Integer(low.parse().ok()?),
                Self::Integer(high.parse().ok()?),
            ),
        })
    }

    pub(super) fn bind(&self, arguments: &mut SqliteArguments) -> Result<(), sqlx::Error> {
        let bound = match self {
            Self::Text(text) => arguments.add(text.as_str()),
            Self::Integer(integer) => arguments.add(integer),
        };
        bound.map_err(sqlx::Error::Encode)
    }

    fn of(stored: &StoredValue<'_>) -> Option<Self> {
        match stored {
            StoredValue::Text(text) => Some(Self::Text((*text).to_owned())),
            StoredValue::Integer(integer) => Some(Self::Integer(*integer)),
            StoredValue::Null
            | StoredValue::Real(_)
            | StoredValue::Blob(_)
            | StoredValue::NotUtf8(_) => None,
        }
    }
}

/// Takes in the rows of an answer: of each its key, and its values of the fields that are compared.
/// Returns how many there are, and the key of the last one if others can be asked for behind it.
pub(super) fn note(ahead: &mut Ahead, answer: &[u8]) -> Result<(usize, Option<Key>), Malformed> {
    let mut rows = Rows::of(answer, ahead.compared.len() + 1);
    let (mut count, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        count += 1;
        last = None;
        let Held::Values(values) = row.held else {
            continue;
        };
        let Some((key, held)) = values.split_first() else {
            continue;
        };
        last = Some(*key);
        let record = match key {
            StoredValue::Text(key) => ahead.record(HeldKey::Text(key)),
            StoredValue::Integer(key) => ahead.record(HeldKey::Integer(*key)),
            StoredValue::Null
            | StoredValue::Real(_)
            | StoredValue::Blob(_)
            | StoredValue::NotUtf8(_) => None,
        };
        let Some(record) = record else { continue };
        let mut compared = ahead.compared.iter().zip(held);
        let is_unchanged = compared.all(|(compared, held)| {
            compared.is_kept(record)
                || match held == &StoredValue::Null {
                    true => compared.values.is_null(record),
                    false => is_held(&compared.values, record, held).unwrap_or(false),
                }
        });
        if is_unchanged {
            ahead.is_unchanged(record);
        }
    }
    Ok((count, last.as_ref().and_then(Key::of)))
}

/// Whether the row surely holds the record's value.
fn is_held(values: &SentValues, record: usize, held: &StoredValue<'_>) -> Option<bool> {
    Some(match values {
        SentValues::Text(values) => is_text(held, values.get(record)?),
        SentValues::Decimal(values) => is_number(held, Number::parse(values.get(record)?)?),
        SentValues::Integer(values) => is_number(held, Number::Integer(values.get(record)?)),
        SentValues::Float32(values) => is_number(held, Number::Real(values.get(record)?.into())),
        SentValues::Float64(values) => is_number(held, Number::Real(values.get(record)?)),
        SentValues::Boolean(values) => is_number(held, Number::Integer(values.get(record)?.into())),
        SentValues::Date(values) => is_text(held, &date_text(values.get(record)?)?),
        SentValues::Time(values) => is_text(held, &time_text(values.get(record)?)?),
        SentValues::Timestamp(values) => is_text(held, &timestamp_text(values.get(record)?)?),
        SentValues::Instant(values) => is_text(held, &instant_text(values.get(record)?)?),
    })
}

fn is_text(held: &StoredValue<'_>, sent: &str) -> bool {
    matches!(held, StoredValue::Text(held) if *held == sent)
}

/// A column decides by itself whether it stores a number as an integer or as a real.
fn is_number(held: &StoredValue<'_>, sent: Number) -> bool {
    match (held, sent) {
        (StoredValue::Integer(held), Number::Integer(sent)) => *held == sent,
        (StoredValue::Real(held), Number::Real(sent)) => held.to_bits() == sent.to_bits(),
        (StoredValue::Integer(integer), Number::Real(real)) => is_same(*integer, real),
        (StoredValue::Real(real), Number::Integer(integer)) => is_same(integer, *real),
        (
            StoredValue::Null
            | StoredValue::Text(_)
            | StoredValue::Blob(_)
            | StoredValue::NotUtf8(_),
            _,
        ) => false,
    }
}

/// Whether a whole number is this real. Of those that not every real can be, nothing is said.
fn is_same(integer: i64, real: f64) -> bool {
    const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;
    #[expect(
        clippy::cast_precision_loss,
        reason = "those that lose any are left out"
    )]
    let order = real.partial_cmp(&(integer as f64));
    integer.unsigned_abs() <= EXACT_MAX && order == Some(Ordering::Equal)
}
