//! Rows that are read ahead of look-ups, as the server sends them: in binary, which is compared as
//! it is. Source: the `…_send` functions in `src/backend/utils/adt`.

use sqlx::Row;
use sqlx::postgres::{PgRow, PgValueFormat};

use super::numeric;
use crate::destination::ahead::{Ahead, HeldKey, SentValues};

/// From 1970 to 2000, which the server counts from.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * 86_400_000_000;

/// Takes in a row: its key, and its values of the fields that are compared.
pub(super) fn note(ahead: &mut Ahead, row: &PgRow) {
    let record = match held(row, 0) {
        Held::Value(key) => match ahead.has_text_keys() {
            true => std::str::from_utf8(key)
                .ok()
                .and_then(|key| ahead.record(HeldKey::Text(key))),
            false => whole(key).and_then(|key| ahead.record(HeldKey::Integer(key))),
        },
        Held::Null | Held::Unreadable => None,
    };
    let Some(record) = record else { return };
    let mut compared = ahead.compared.iter().zip(1..);
    let is_unchanged = compared.all(|(compared, column)| {
        compared.is_kept(record)
            || match held(row, column) {
                Held::Null => compared.values.is_null(record),
                Held::Value(bytes) => is_held(&compared.values, record, bytes).unwrap_or(false),
                Held::Unreadable => false,
            }
    });
    if is_unchanged {
        ahead.is_unchanged(record);
    }
}

/// What a column of a row holds.
enum Held<'a> {
    Null,
    Value(&'a [u8]),
    Unreadable,
}

fn held(row: &PgRow, column: usize) -> Held<'_> {
    use sqlx::ValueRef;
    match row.try_get_raw(column) {
        Ok(value) if value.is_null() => Held::Null,
        Ok(value) if value.format() == PgValueFormat::Binary => {
            value.as_bytes().map_or(Held::Unreadable, Held::Value)
        }
        Ok(_) | Err(_) => Held::Unreadable,
    }
}

/// Whether the row surely holds the record's value.
fn is_held(values: &SentValues, record: usize, held: &[u8]) -> Option<bool> {
    Some(match values {
        SentValues::Text(values) => values.get(record)?.as_bytes() == held,
        SentValues::Decimal(values) => numeric::is_held(values.get(record)?, held),
        SentValues::Integer(values) => whole(held)? == values.get(record)?,
        SentValues::Float32(values) => {
            f32::from_be_bytes(held.try_into().ok()?).to_bits() == values.get(record)?.to_bits()
        }
        SentValues::Float64(values) => {
            f64::from_be_bytes(held.try_into().ok()?).to_bits() == values.get(record)?.to_bits()
        }
        SentValues::Boolean(values) => held == [u8::from(values.get(record)?)],
        SentValues::Date(values) => {
            let days = i32::from_be_bytes(held.try_into().ok()?);
            i64::from(days) + EPOCH_DAYS == i64::from(values.get(record)?)
        }
        SentValues::Time(values) => {
            let microseconds = i64::from_be_bytes(held.try_into().ok()?);
            microseconds.checked_mul(1_000)? == values.get(record)?
        }
        SentValues::Moment(values) => {
            let microseconds = i64::from_be_bytes(held.try_into().ok()?);
            microseconds.checked_add(EPOCH_MICROSECONDS)? == values.get(record)?
        }
    })
}

/// A whole number of two, four or eight bytes.
fn whole(held: &[u8]) -> Option<i64> {
    match held.len() {
        2 => Some(i16::from_be_bytes(held.try_into().ok()?).into()),
        4 => Some(i32::from_be_bytes(held.try_into().ok()?).into()),
        8 => Some(i64::from_be_bytes(held.try_into().ok()?)),
        _ => None,
    }
}
