//! One record's identity: its position in what was pulled, and its match key as people read and type it.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};
use polars::prelude::{AnyValue, Column, DataFrame};

/// Name of the frame column (`UInt64`) that carries a record's position in what was pulled. No SQL name holds a NUL, so
/// it cannot meet a user's column.
pub(crate) const RECORD_POSITION: &str = "\0record";

/// A match key as people read and type it: its parts as one line of CSV, so that `EU,17` and `"a,b"` are told apart.
pub(crate) fn key_text<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    // Writing to memory cannot fail, and UTF-8 in is UTF-8 out.
    let written = writer.write_record(parts).ok().and_then(|()| writer.into_inner().ok());
    let text = written.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    text.trim_end_matches('\n').to_owned()
}

/// The parts of a key as [`key_text`] writes it; `None` if it is not one line of CSV.
pub(crate) fn key_parts(text: &str) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records();
    let first = records.next()?.ok()?;
    records.next().is_none().then(|| first.iter().map(str::to_owned).collect())
}

/// The match keys of a frame's records, as [`key_text`] writes them.
/// Shape: `(records, columns)` in, one text per record out.
pub(crate) fn key_texts(records: &DataFrame, key_columns: &[String]) -> Vec<String> {
    let keys: Vec<&Column> = key_columns.iter().filter_map(|name| records.column(name).ok()).collect();
    let key_of = |record: usize| {
        let parts: Vec<String> = keys.iter().map(|key| cell_text(key, record).unwrap_or_default()).collect();
        key_text(parts.iter().map(String::as_str))
    };
    (0..records.height()).map(key_of).collect()
}

/// One cell of a frame in its kind's representation, as people read it; `None` for NULL.
pub(crate) fn cell_text(column: &Column, record: usize) -> Option<String> {
    let value = column.get(record).ok()?;
    match value {
        AnyValue::Null => None,
        AnyValue::String(text) => Some(text.to_owned()),
        // Columns of one value give it out owned.
        AnyValue::StringOwned(text) => Some(text.to_string()),
        AnyValue::Boolean(truth) => Some(truth.to_string()),
        AnyValue::Int64(integer) => Some(integer.to_string()),
        AnyValue::Float32(float) => Some(float.to_string()),
        AnyValue::Float64(float) => Some(float.to_string()),
        AnyValue::Date(days) => NaiveDate::from_epoch_days(days).map(|date| date.to_string()),
        AnyValue::Time(nanoseconds) => {
            let midnight_on = NaiveTime::MIN.overflowing_add_signed(TimeDelta::nanoseconds(nanoseconds)).0;
            Some(midnight_on.to_string())
        }
        AnyValue::Datetime(microseconds, _, _) | AnyValue::DatetimeOwned(microseconds, _, _) => {
            DateTime::from_timestamp_micros(microseconds).map(|instant| instant.naive_utc().to_string())
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_being_written_and_read() {
        for parts in [vec!["A1"], vec!["EU", "17"], vec!["a,b", "say \"hi\""], vec!["", "x"]] {
            let text = key_text(parts.iter().copied());
            assert_eq!(key_parts(&text).expect("a line of CSV"), parts);
        }
    }
}
