//! A batch as text of JSON: an array of objects, one a record, whose members are named for the
//! fields' positions and left out where the value is NULL. Everything but whole numbers and truth
//! values travels as a JSON string: servers read JSON's numbers as they please, and a decimal must
//! not become a double on the way.

use std::fmt::Write;

use polars::prelude::{
    BooleanChunked, Column, DataFrame, Float32Chunked, Float64Chunked, Int32Chunked, Int64Chunked,
};
use polars::prelude::{PolarsError, StringChunked};

use super::PortionLimit;
use crate::domain::error::SystemError;
use crate::domain::json::is_kept_by_value;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::moment::{self, DAY_MAX, DAY_MIN, MICROS_MAX, MICROS_MIN, NANOS_PER_DAY};
use crate::domain::object::Holds;
use crate::domain::value::Kind;

/// A batch, ready to be written as JSON.
pub(super) struct Payload {
    columns: Vec<PayloadColumn>,
    records: usize,
}

/// Some consecutive records of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Portion {
    /// Position in the batch of the first.
    pub(super) first: usize,
    pub(super) json: String,
    /// Positions in the batch of records with a value that the column can never hold; it is left
    /// out of `json`.
    pub(super) unholdable: Vec<usize>,
    /// Position in the layout of the first field with such a value, or with one that would be
    /// stored otherwise.
    pub(super) first_unholdable: Option<usize>,
}

struct PayloadColumn {
    /// Position in the layout.
    field: usize,
    values: Values,
    /// `CHAR(n)` drops trailing blanks, so a value that ends in one is never held.
    drops_blanks: bool,
    /// MySQL's own JSON keeps what a text means, as far as its numbers can; MariaDB's is the text.
    by_value: bool,
    key: bool,
    /// Least and greatest value of a 64-bit integer column: its digits stand without quotes.
    whole: Option<(i128, i128)>,
}

/// Values of one column, in one chunk each.
enum Values {
    Text(StringChunked),
    /// Single-precision numbers as rows held them.
    Float32Text(StringChunked),
    Integer(Int64Chunked),
    Float32(Float32Chunked),
    Float64(Float64Chunked),
    Boolean(BooleanChunked),
    /// Days since 1970.
    Date(Int32Chunked),
    /// Nanoseconds since midnight.
    Time(Int64Chunked),
    /// Microseconds since 1970.
    Timestamp(Int64Chunked),
}

impl Payload {
    /// Takes the fields at positions `carried` of a batch.
    /// Errors: if the batch is not laid out as its layout says.
    pub(super) fn of(
        layout: &Layout,
        carried: &[usize],
        batch: &DataFrame,
    ) -> Result<Self, PolarsError> {
        let column = |position: &usize| {
            let field = layout.fields.get(*position)?;
            let column = batch.columns().get(*position)?;
            Some(PayloadColumn::of(*position, field, column))
        };
        let columns = carried
            .iter()
            .map(|position| column(position).unwrap_or_else(|| Err(misplaced())));
        Ok(Self {
            columns: columns.collect::<Result<_, _>>()?,
            records: batch.height(),
        })
    }

    /// Cuts the batch into portions that the server's packets can carry.
    /// Errors: `Refused` for a single record that no packet can carry.
    pub(super) fn portions(
        &self,
        limit: PortionLimit,
    ) -> impl Iterator<Item = Result<Portion, SystemError>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            (next < self.records).then(|| {
                let (portion, end) = self.portion(next, limit);
                next = end;
                match portion.json.len() > limit.record {
                    true => Err(too_large(portion.json.len(), limit)),
                    false => Ok(portion),
                }
            })
        })
    }

    /// The portion that begins at record `first`, and the record after its last.
    fn portion(&self, first: usize, limit: PortionLimit) -> (Portion, usize) {
        let json = String::from("[");
        let mut portion = Portion {
            first,
            json,
            unholdable: Vec::new(),
            first_unholdable: None,
        };
        let mut record = first;
        while record < self.records {
            let (start, unholdable_before) = (portion.json.len(), portion.first_unholdable);
            self.write_record(&mut portion, record);
            if portion.json.len() >= limit.usual && record > first {
                portion.json.truncate(start);
                portion
                    .unholdable
                    .retain(|unholdable| *unholdable != record);
                portion.first_unholdable = unholdable_before;
                break;
            }
            portion.json.push(',');
            record += 1;
        }
        portion
            .json
            .truncate(portion.json.trim_end_matches(',').len());
        portion.json.push(']');
        (portion, record)
    }

    fn write_record(&self, portion: &mut Portion, record: usize) {
        portion.json.push('{');
        let mut between = "";
        for column in &self.columns {
            let start = portion.json.len();
            append(
                &mut portion.json,
                format_args!("{between}\"c{}\":", column.field),
            );
            match column.write(&mut portion.json, record) {
                Written::Value => between = ",",
                Written::Altered => {
                    between = ",";
                    portion.first_unholdable.get_or_insert(column.field);
                }
                Written::Null => portion.json.truncate(start),
                Written::Unholdable => {
                    portion.json.truncate(start);
                    portion.first_unholdable.get_or_insert(column.field);
                    if portion.unholdable.last() != Some(&record) {
                        portion.unholdable.push(record);
                    }
                }
            }
        }
        portion.json.push('}');
    }
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Value,
    Null,
    /// Written, and yet the column would store something else: good for comparing, not for keeping.
    Altered,
    Unholdable,
}

impl PayloadColumn {
    fn of(position: usize, field: &LayoutField, column: &Column) -> Result<Self, PolarsError> {
        let declared = field.column.declared.to_ascii_lowercase();
        Ok(Self {
            field: position,
            values: match (field.own_text, field.kind) {
                (true, Kind::Float32) => Values::Float32Text(column.rechunk().str()?.clone()),
                (true, _) => Values::of(Kind::Text, column)?,
                (false, kind) => Values::of(kind, column)?,
            },
            drops_blanks: declared.starts_with("char")
                && matches!(field.column.holds, Holds::Text { .. }),
            by_value: field.column.holds == Holds::Json && field.column.collation.is_none(),
            key: field.key,
            whole: whole_range(&field.column.holds),
        })
    }

    fn write(&self, json: &mut String, record: usize) -> Written {
        match &self.values {
            Values::Text(values) => match values.get(record) {
                None => Written::Null,
                Some(value) => self.write_text(json, value),
            },
            Values::Float32Text(values) => match values.get(record).map(str::parse::<f32>) {
                None => Written::Null,
                Some(Ok(number)) => write_float(json, Some(f64::from(number))),
                Some(Err(_)) => Written::Unholdable,
            },
            Values::Integer(values) => write_plain(json, values.get(record)),
            Values::Boolean(values) => write_plain(json, values.get(record).map(u8::from)),
            Values::Float32(values) => write_float(json, values.get(record).map(f64::from)),
            Values::Float64(values) => write_float(json, values.get(record)),
            Values::Date(values) => values
                .get(record)
                .map_or(Written::Null, |days| write_date(json, days)),
            Values::Time(values) => values
                .get(record)
                .map_or(Written::Null, |nanos| write_time(json, nanos)),
            Values::Timestamp(values) => values
                .get(record)
                .map_or(Written::Null, |micros| write_timestamp(json, micros)),
        }
    }

    fn write_text(&self, json: &mut String, value: &str) -> Written {
        match self.whole {
            Some(range) => write_whole(json, value, range),
            None if self.drops_blanks && value.ends_with(' ') => match self.key {
                true => Written::Unholdable,
                false => {
                    write_string(json, value);
                    Written::Altered
                }
            },
            None if self.by_value && !is_kept_by_value(value) => {
                write_string(json, value);
                Written::Altered
            }
            None => write_string(json, value),
        }
    }
}

fn whole_range(holds: &Holds) -> Option<(i128, i128)> {
    if let Holds::Integer { min, max } = holds {
        Some((*min, *max))
    } else {
        None
    }
}

impl Values {
    fn of(kind: Kind, column: &Column) -> Result<Self, PolarsError> {
        let column = column.rechunk();
        let series = column.as_materialized_series();
        Ok(match kind {
            Kind::Text | Kind::Decimal | Kind::Uuid | Kind::Json => {
                Self::Text(series.str()?.clone())
            }
            Kind::Integer => Self::Integer(series.i64()?.clone()),
            Kind::Float32 => Self::Float32(series.f32()?.clone()),
            Kind::Float64 => Self::Float64(series.f64()?.clone()),
            Kind::Boolean => Self::Boolean(series.bool()?.clone()),
            Kind::Date => Self::Date(series.date()?.physical().clone()),
            Kind::Time => Self::Time(series.time()?.physical().clone()),
            Kind::Timestamp | Kind::Instant => {
                Self::Timestamp(series.datetime()?.physical().clone())
            }
        })
    }
}

fn misplaced() -> PolarsError {
    PolarsError::ShapeMismatch("the batch lacks a column of its layout".into())
}

fn append(json: &mut String, text: std::fmt::Arguments<'_>) {
    json.write_fmt(text).expect("writing to memory cannot fail");
}

fn too_large(bytes: usize, limit: PortionLimit) -> SystemError {
    SystemError::Refused {
        message: format!(
            "the record needs {bytes} bytes, and the server takes {} at once (max_allowed_packet)",
            limit.record
        ),
        column: None,
        clashes: false,
    }
}

fn write_plain(json: &mut String, value: Option<impl std::fmt::Display>) -> Written {
    match value {
        None => Written::Null,
        Some(value) => {
            append(json, format_args!("{value}"));
            Written::Value
        }
    }
}

/// Digits for a 64-bit integer column: the servers read these exactly, quoted ones not all of them.
fn write_whole(json: &mut String, digits: &str, (min, max): (i128, i128)) -> Written {
    let whole = match digits.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return Written::Unholdable,
        None => digits,
    };
    match whole.parse::<i128>() {
        Ok(number) if (min..=max).contains(&number) => write_plain(json, Some(number)),
        Ok(_) | Err(_) => Written::Unholdable,
    }
}

/// The shortest text that names the number, which both servers read back to the last bit. A
/// single-precision number goes as the double it is, so that it is rounded nowhere.
fn write_float(json: &mut String, value: Option<f64>) -> Written {
    match value {
        None => Written::Null,
        Some(number) if !number.is_finite() => Written::Unholdable,
        Some(number) => {
            append(json, format_args!("\"{number:e}\""));
            Written::Value
        }
    }
}

fn write_date(json: &mut String, days: i32) -> Written {
    write_quoted(json, (DAY_MIN..=DAY_MAX).contains(&days), |json| {
        moment::write_date(days, json)
    })
}

fn write_time(json: &mut String, nanoseconds: i64) -> Written {
    write_quoted(json, (0..NANOS_PER_DAY).contains(&nanoseconds), |json| {
        moment::write_time(nanoseconds, json)
    })
}

fn write_timestamp(json: &mut String, microseconds: i64) -> Written {
    let storable = (MICROS_MIN..=MICROS_MAX).contains(&microseconds);
    write_quoted(json, storable, |json| {
        moment::write_timestamp(microseconds, json)
    })
}

/// A date or time in quotes, if the server keeps it: with four digits of year.
/// Source: <https://dev.mysql.com/doc/refman/8.0/en/datetime.html>.
fn write_quoted(json: &mut String, storable: bool, write: impl FnOnce(&mut String)) -> Written {
    if !storable {
        return Written::Unholdable;
    }
    json.push('"');
    write(json);
    json.push('"');
    Written::Value
}

/// A JSON string. What JSON lets stand is left as it is, so that most values are copied in one
/// piece.
fn write_string(json: &mut String, value: &str) -> Written {
    json.push('"');
    let mut rest = value;
    while let Some(position) =
        rest.find(|character: char| character < ' ' || character == '"' || character == '\\')
    {
        let (plain, special) = rest.split_at(position);
        json.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some(quoted @ ('"' | '\\')) => json.extend(['\\', quoted]),
            Some(control) => {
                append(json, format_args!("\\u{:04x}", u32::from(control)));
            }
            None => {}
        }
        rest = characters.as_str();
    }
    json.push_str(rest);
    json.push('"');
    Written::Value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String) -> Written) -> (Written, String) {
        let mut json = String::new();
        (write(&mut json), json)
    }

    fn value(json: &str) -> (Written, String) {
        (Written::Value, json.to_owned())
    }

    fn unholdable() -> (Written, String) {
        (Written::Unholdable, String::new())
    }

    #[test]
    fn strings_are_json_that_reads_back() {
        for text in [
            "",
            "plain",
            "say \"hi\" \\ \n\t\r\0",
            "naïve ю 😀 \u{7f}\u{2028}",
            "\"",
            "trailing\\",
        ] {
            let (outcome, json) = written(|json| write_string(json, text));
            assert_eq!(outcome, Written::Value);
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }

    #[test]
    fn numbers_keep_every_digit() {
        let unsigned = (0, i128::from(u64::MAX));
        assert_eq!(
            written(|json| write_whole(json, "18446744073709551615", unsigned)),
            value("18446744073709551615")
        );
        assert_eq!(
            written(|json| write_whole(json, "42.00", unsigned)),
            value("42")
        );
        assert_eq!(
            written(|json| write_whole(json, "42.01", unsigned)),
            unholdable()
        );
        assert_eq!(
            written(|json| write_whole(json, "-1", unsigned)),
            unholdable()
        );
        for number in [0.1, f64::from(0.1_f32), 1e300, 5e-324, f64::MAX, 1.0 / 3.0] {
            let (_, json) = written(|json| write_float(json, Some(number)));
            let read: f64 = json.trim_matches('"').parse().expect("a number");
            assert_eq!(read.to_bits(), number.to_bits());
        }
        assert_eq!(
            written(|json| write_float(json, Some(f64::NAN))),
            unholdable()
        );
    }

    #[test]
    fn times_are_written_to_the_microsecond_within_the_years_the_server_keeps() {
        assert_eq!(
            written(|json| write_date(json, -1)),
            value("\"1969-12-31\"")
        );
        assert_eq!(
            written(|json| write_date(json, 2_932_896)),
            value("\"9999-12-31\"")
        );
        assert_eq!(written(|json| write_date(json, 2_932_897)), unholdable());
        assert_eq!(written(|json| write_date(json, i32::MIN)), unholdable());
        assert_eq!(
            written(|json| write_time(json, 86_399_999_999_000)),
            value("\"23:59:59.999999\"")
        );
        assert_eq!(written(|json| write_time(json, -1)), unholdable());
        assert_eq!(
            written(|json| write_timestamp(json, -1)),
            value("\"1969-12-31 23:59:59.999999\"")
        );
        assert_eq!(
            written(|json| write_timestamp(json, i64::MAX)),
            unholdable()
        );
    }

    fn payload(values: &[Option<&str>], drops_blanks: bool) -> Payload {
        let texts = Column::new("x".into(), values);
        let values = Values::of(Kind::Text, &texts).expect("texts");
        let column = PayloadColumn {
            field: 3,
            values,
            drops_blanks,
            by_value: false,
            key: false,
            whole: None,
        };
        Payload {
            records: texts.len(),
            columns: vec![column],
        }
    }

    fn portions(payload: &Payload, usual: usize) -> Vec<Portion> {
        payload
            .portions(PortionLimit { usual, record: 100 })
            .collect::<Result<_, _>>()
            .expect("portions")
    }

    #[test]
    fn portions_hold_every_record_once() {
        let payload = payload(&[Some("a"), None, Some("b"), Some("c")], false);
        let whole: Vec<String> = portions(&payload, 1000)
            .into_iter()
            .map(|portion| portion.json)
            .collect();
        assert_eq!(whole, [r#"[{"c3":"a"},{},{"c3":"b"},{"c3":"c"}]"#]);
        let cut: Vec<(usize, String)> = portions(&payload, 20)
            .into_iter()
            .map(|portion| (portion.first, portion.json))
            .collect();
        let expected = [
            (0, r#"[{"c3":"a"},{}]"#),
            (2, r#"[{"c3":"b"}]"#),
            (3, r#"[{"c3":"c"}]"#),
        ];
        assert_eq!(cut, expected.map(|(first, json)| (first, json.to_owned())));
    }

    #[test]
    fn a_record_beyond_a_packet_is_refused() {
        let long = "x".repeat(200);
        let payload = payload(&[Some("a"), Some(&long)], false);
        let outcomes: Vec<bool> = payload
            .portions(PortionLimit {
                usual: 50,
                record: 100,
            })
            .map(|portion| portion.is_ok())
            .collect();
        assert_eq!(outcomes, [true, false]);
    }

    #[test]
    fn trailing_blanks_are_compared_and_never_written_to_char() {
        let portions = portions(&payload(&[Some("a "), Some("b")], true), 1000);
        let [portion] = portions.as_slice() else {
            panic!("one portion")
        };
        assert_eq!(portion.json, r#"[{"c3":"a "},{"c3":"b"}]"#);
        assert_eq!(
            (portion.first_unholdable, portion.unholdable.as_slice()),
            (Some(3), [].as_slice())
        );
    }
}
