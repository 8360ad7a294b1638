//! Rows that are read ahead of look-ups, as the server copies them: in binary, which is compared as
//! it is. Sources: the `…_send` functions in `src/backend/utils/adt`, and
//! <https://www.postgresql.org/docs/current/sql-copy.html> of the format.

use super::held::{Held, split_held};
use super::numeric;
use crate::destination::ahead::{Ahead, HeldKey, SentValues};

/// From 1970 to 2000, which the server counts from.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * 86_400_000_000;

/// Bytes before the first row: a signature, and two numbers, of which the second is the length of
/// what follows it.
const HEADER_BYTES: usize = 19;

/// What is copied, row by row.
pub(super) struct Copied {
    columns: usize,
    /// Of the header, until it is over.
    header_left: usize,
    /// The beginning of a row whose end is still to come.
    pending: Vec<u8>,
}

impl Copied {
    /// Of rows of so many columns.
    pub(super) fn of(columns: usize) -> Self {
        Self {
            columns,
            header_left: HEADER_BYTES,
            pending: Vec::new(),
        }
    }

    /// Takes in more bytes; hands over each row that is whole by now.
    pub(super) fn take(&mut self, bytes: &[u8], mut note: impl FnMut(&[Held<'_>])) {
        let header = self.header_left.min(bytes.len());
        self.header_left -= header;
        let bytes = bytes.get(header..).unwrap_or_default();
        let pending = match self.pending.is_empty() {
            true => None,
            false => {
                self.pending.extend_from_slice(bytes);
                Some(std::mem::take(&mut self.pending))
            }
        };
        let mut rest = pending.as_deref().unwrap_or(bytes);
        let mut row = Vec::with_capacity(self.columns);
        while let Some(after) = whole_row(rest, &mut row) {
            if row.len() == self.columns {
                note(&row);
            }
            rest = after;
        }
        self.pending = rest.to_vec();
    }
}

/// Reads one row into `row`; returns what comes after it, `None` if its end is still to come. The
/// end of everything is a row of less than no columns.
fn whole_row<'a>(bytes: &'a [u8], row: &mut Vec<Held<'a>>) -> Option<&'a [u8]> {
    row.clear();
    let (columns, mut rest) = bytes.split_first_chunk::<2>()?;
    for _ in 0..i16::from_be_bytes(*columns) {
        let (held, after) = split_held(rest)?;
        row.push(held);
        rest = after;
    }
    Some(rest)
}

/// Takes in a row: its key, and its values of the fields that are compared. `encoded` is room for a
/// decimal.
pub(super) fn note(ahead: &mut Ahead, row: &[Held<'_>], encoded: &mut Vec<u8>) {
    let Some((Some(key), held)) = row.split_first() else {
        return;
    };
    let record = match ahead.has_text_keys() {
        true => std::str::from_utf8(key)
            .ok()
            .and_then(|key| ahead.record(HeldKey::Text(key))),
        false => whole(key).and_then(|key| ahead.record(HeldKey::Integer(key))),
    };
    let Some(record) = record else { return };
    let mut compared = ahead.compared.iter().zip(held);
    let is_unchanged = compared.all(|(compared, held)| {
        compared.is_kept(record)
            || match held {
                None => compared.values.is_null(record),
                Some(bytes) => is_held(&compared.values, record, bytes, encoded).unwrap_or(false),
            }
    });
    if is_unchanged {
        ahead.is_unchanged(record);
    }
}

/// Whether the row surely holds the record's value.
fn is_held(values: &SentValues, record: usize, held: &[u8], encoded: &mut Vec<u8>) -> Option<bool> {
    Some(match values {
        SentValues::Text(values) => values.get(record)?.as_bytes() == held,
        SentValues::Decimal(values) => numeric::is_held(values.get(record)?, held, encoded),
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
        SentValues::Timestamp(values) | SentValues::Instant(values) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Vec<Held<'static>>;

    /// What the server copies: NULL, bytes that look like a row's beginning, nothing at all.
    fn copied() -> (Vec<Row>, Vec<u8>) {
        let rows: Vec<Row> = vec![
            vec![Some(b"a"), None, Some(b"")],
            vec![Some(b"\xff\xff"), Some(b"\0\x03\0\0\0\x01"), None],
            vec![Some(b"z"), Some(b"1"), Some(b"2")],
        ];
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for row in &rows {
            bytes.extend(3_i16.to_be_bytes());
            for held in row {
                let length = held.map_or(-1, |held| i32::try_from(held.len()).unwrap_or_default());
                bytes.extend(length.to_be_bytes());
                bytes.extend(held.unwrap_or_default());
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        (rows, bytes)
    }

    #[test]
    fn rows_are_read_however_the_server_cuts_what_it_sends() {
        let (rows, bytes) = copied();
        for size in 1..=bytes.len() {
            let mut copied = Copied::of(3);
            let mut read: Vec<Vec<Option<Vec<u8>>>> = Vec::new();
            for piece in bytes.chunks(size) {
                copied.take(piece, |row| {
                    read.push(row.iter().map(|held| held.map(<[u8]>::to_vec)).collect());
                });
            }
            let owned: Vec<Vec<Option<Vec<u8>>>> = rows
                .iter()
                .map(|row| row.iter().map(|held| held.map(<[u8]>::to_vec)).collect())
                .collect();
            assert_eq!(read, owned, "in pieces of {size}");
        }
    }
}
