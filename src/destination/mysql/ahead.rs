//! Rows that are read ahead of look-ups, as the driver has them: prepared statements yield values of
//! the columns' own types.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};
use sqlx::mysql::MySqlRow;
use sqlx::{Decode, MySql, Row, ValueRef};

use crate::destination::ahead::{Ahead, HeldKey, SentValues, is_same_decimal};

/// Takes in a row: its key, and its values of the fields that are compared.
pub(super) fn note(ahead: &mut Ahead, row: &MySqlRow) {
    let record = match ahead.has_text_keys() {
        true => held::<&str>(row, 0).and_then(|key| ahead.record(HeldKey::Text(key))),
        false => held::<i64>(row, 0).and_then(|key| ahead.record(HeldKey::Integer(key))),
    };
    let Some(record) = record else { return };
    let mut compared = ahead.compared.iter().zip(1..);
    let is_unchanged = compared.all(|(compared, column)| {
        compared.is_kept(record)
            || match row.try_get_raw(column) {
                Ok(value) if value.is_null() => compared.values.is_null(record),
                Ok(_) => is_held(&compared.values, record, row, column).unwrap_or(false),
                Err(_) => false,
            }
    });
    if is_unchanged {
        ahead.is_unchanged(record);
    }
}

/// A value as the driver reads it; `None` if it cannot, as it cannot read a day that no calendar
/// has.
fn held<'row, Value: Decode<'row, MySql>>(row: &'row MySqlRow, column: usize) -> Option<Value> {
    row.try_get_unchecked::<Option<Value>, _>(column)
        .ok()
        .flatten()
}

/// Whether the row surely holds the record's value.
fn is_held(values: &SentValues, record: usize, row: &MySqlRow, column: usize) -> Option<bool> {
    Some(match values {
        SentValues::Text(values) => held::<&str>(row, column)? == values.get(record)?,
        SentValues::Decimal(values) => is_same_decimal(held(row, column)?, values.get(record)?),
        SentValues::Integer(values) => held::<i64>(row, column)? == values.get(record)?,
        SentValues::Float32(values) => {
            held::<f32>(row, column)?.to_bits() == values.get(record)?.to_bits()
        }
        SentValues::Float64(values) => {
            held::<f64>(row, column)?.to_bits() == values.get(record)?.to_bits()
        }
        SentValues::Boolean(values) => held::<i64>(row, column)? == i64::from(values.get(record)?),
        SentValues::Date(values) => {
            held::<NaiveDate>(row, column)?.to_epoch_days() == values.get(record)?
        }
        SentValues::Time(values) => {
            let time = held::<NaiveTime>(row, column)?;
            let seconds = i64::from(time.num_seconds_from_midnight());
            seconds * 1_000_000_000 + i64::from(time.nanosecond()) == values.get(record)?
        }
        SentValues::Timestamp(values) | SentValues::Instant(values) => {
            let moment = held::<NaiveDateTime>(row, column)?.and_utc();
            moment.timestamp_micros() == values.get(record)?
        }
    })
}
