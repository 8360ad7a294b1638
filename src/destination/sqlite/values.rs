//! A batch's values as SQLite is given them: integers, reals, and text for everything it has no
//! type for.

use chrono::{DateTime, NaiveDate, NaiveTime};
use polars::prelude::{
    BooleanChunked, DataFrame, Float32Chunked, Float64Chunked, Int32Chunked, Int64Chunked,
    PolarsResult, Series, StringChunked,
};
use sqlx::Arguments as _;
use sqlx::sqlite::SqliteArguments;

use super::statements::{Sent, is_text_kept_as_number};
use crate::database::sqlite::ExactValue;
use crate::database::sqlite::declared::{Affinity, affinity};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::value::Kind;

/// Why a batch cannot be bound.
#[derive(Debug)]
pub(super) enum BindError {
    /// The column would not hold the value that the record has.
    Refused {
        column: String,
        reason: &'static str,
    },
    /// The batch has not the layout's shape: an error of this program.
    Shape(String),
}

/// The values of the fields one statement sends.
pub(super) struct Values<'a> {
    records: usize,
    columns: Vec<Column<'a>>,
}

impl<'a> Values<'a> {
    /// Takes the sent fields' columns out of a batch.
    pub(super) fn of(
        layout: &'a Layout,
        sent: &Sent,
        batch: &'a DataFrame,
    ) -> Result<Self, BindError> {
        let take = |position: &usize| {
            let shape = || {
                BindError::Shape(format!(
                    "the batch has no column {position} as its layout wants it"
                ))
            };
            let field = layout.fields.get(*position).ok_or_else(shape)?;
            let column = batch.columns().get(*position).ok_or_else(shape)?;
            Column::of(field, column.as_materialized_series())
                .map_err(|error| BindError::Shape(error.to_string()))
        };
        Ok(Self {
            records: batch.height(),
            columns: sent.fields.iter().map(take).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// Binds `records` records from the one at `first` on, record by record. `exactly` asks for
    /// refusing what the column would store as something else.
    pub(super) fn bind(
        &self,
        first: usize,
        records: usize,
        exactly: bool,
    ) -> Result<SqliteArguments, BindError> {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(records * self.columns.len(), 0);
        for record in first..first + records {
            for column in &self.columns {
                column.bind(record, exactly, &mut arguments)?;
            }
        }
        Ok(arguments)
    }
}

struct Column<'a> {
    field: &'a LayoutField,
    /// Whether text that looks like a number would be stored as one.
    fears_numbers: bool,
    values: ColumnValues<'a>,
}

enum ColumnValues<'a> {
    Text(&'a StringChunked),
    Decimal(&'a StringChunked),
    Integer(&'a Int64Chunked),
    Float32(&'a Float32Chunked),
    Float64(&'a Float64Chunked),
    Boolean(&'a BooleanChunked),
    /// As before-images hold them.
    Exact(&'a StringChunked, Affinity),
    Date(&'a Int32Chunked),
    Time(&'a Int64Chunked),
    Timestamp(&'a Int64Chunked),
    Instant(&'a Int64Chunked),
}

impl<'a> Column<'a> {
    fn of(field: &'a LayoutField, series: &'a Series) -> PolarsResult<Self> {
        let values = match field.kind {
            _ if field.own_text => {
                ColumnValues::Exact(series.str()?, affinity(&field.column.declared, true))
            }
            Kind::Text | Kind::Uuid | Kind::Json => ColumnValues::Text(series.str()?),
            Kind::Decimal => ColumnValues::Decimal(series.str()?),
            Kind::Integer => ColumnValues::Integer(series.i64()?),
            Kind::Float32 => ColumnValues::Float32(series.f32()?),
            Kind::Float64 => ColumnValues::Float64(series.f64()?),
            Kind::Boolean => ColumnValues::Boolean(series.bool()?),
            Kind::Date => ColumnValues::Date(series.date()?.physical()),
            Kind::Time => ColumnValues::Time(series.time()?.physical()),
            Kind::Timestamp => ColumnValues::Timestamp(series.datetime()?.physical()),
            Kind::Instant => ColumnValues::Instant(series.datetime()?.physical()),
        };
        Ok(Self {
            field,
            fears_numbers: is_text_kept_as_number(&field.column),
            values,
        })
    }

    fn bind(
        &self,
        record: usize,
        exactly: bool,
        arguments: &mut SqliteArguments,
    ) -> Result<(), BindError> {
        let refuse = |reason| BindError::Refused {
            column: self.field.column.name.clone(),
            reason,
        };
        let bound = match &self.values {
            ColumnValues::Text(text) => {
                let text = text.get(record);
                if exactly && self.fears_numbers && text.is_some_and(looks_like_a_number) {
                    return Err(refuse(
                        "SQLite would turn this text into a number, for the column's type is NUMERIC to it",
                    ));
                }
                arguments.add(text)
            }
            ColumnValues::Decimal(digits) => match digits.get(record).map(Number::parse) {
                Some(Some(Number::Integer(integer))) => arguments.add(integer),
                Some(Some(Number::Real(real))) => arguments.add(real),
                Some(None) => return Err(refuse("SQLite has no number for this value")),
                None => arguments.add(None::<i64>),
            },
            ColumnValues::Exact(texts, affinity) => match texts.get(record) {
                Some(text) => match ExactValue::parse(text, *affinity) {
                    Some(value) => value.bind(arguments),
                    None => {
                        return Err(refuse(
                            "the row held bytes that are no text, and they were not kept",
                        ));
                    }
                },
                None => arguments.add(None::<&str>),
            },
            ColumnValues::Integer(integers) => arguments.add(integers.get(record)),
            ColumnValues::Float32(reals) => {
                arguments.add(real(reals.get(record).map(f64::from)).map_err(refuse)?)
            }
            ColumnValues::Float64(reals) => arguments.add(real(reals.get(record)).map_err(refuse)?),
            ColumnValues::Boolean(booleans) => arguments.add(booleans.get(record)),
            ColumnValues::Date(days) => {
                arguments.add(calendar(days.get(record), date_text).map_err(refuse)?)
            }
            ColumnValues::Time(nanoseconds) => {
                arguments.add(calendar(nanoseconds.get(record), time_text).map_err(refuse)?)
            }
            ColumnValues::Timestamp(microseconds) => {
                arguments.add(calendar(microseconds.get(record), timestamp_text).map_err(refuse)?)
            }
            ColumnValues::Instant(microseconds) => {
                arguments.add(calendar(microseconds.get(record), instant_text).map_err(refuse)?)
            }
        };
        bound.map_err(|error| BindError::Shape(error.to_string()))
    }
}

/// SQLite would store NaN as NULL.
fn real(value: Option<f64>) -> Result<Option<f64>, &'static str> {
    match value {
        Some(real) if real.is_nan() => Err("SQLite cannot hold NaN"),
        other => Ok(other),
    }
}

fn calendar<T>(
    value: Option<T>,
    text: impl Fn(T) -> Option<String>,
) -> Result<Option<String>, &'static str> {
    match value {
        Some(value) => text(value)
            .map(Some)
            .ok_or("SQLite's calendar has the years 0 to 9999"),
        None => Ok(None),
    }
}

/// `2026-11-15`.
pub(super) fn date_text(days: i32) -> Option<String> {
    NaiveDate::from_epoch_days(days).and_then(written_date)
}

/// `06:30:00`, with three or six digits of a fraction if it is not zero.
pub(super) fn time_text(nanoseconds: i64) -> Option<String> {
    const SECOND: i64 = 1_000_000_000;
    let seconds = u32::try_from(nanoseconds.div_euclid(SECOND)).ok()?;
    let fraction = u32::try_from(nanoseconds.rem_euclid(SECOND)).ok()?;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, fraction).map(written_time)
}

/// `2026-11-15 06:30:00`: what SQLite's own functions write and read.
pub(super) fn timestamp_text(microseconds: i64) -> Option<String> {
    let wall = DateTime::from_timestamp_micros(microseconds)?.naive_utc();
    Some(format!(
        "{} {}",
        written_date(wall.date())?,
        written_time(wall.time())
    ))
}

/// `2026-11-15 06:30:00+00:00`.
pub(super) fn instant_text(microseconds: i64) -> Option<String> {
    timestamp_text(microseconds).map(|text| text + "+00:00")
}

fn written_date(date: NaiveDate) -> Option<String> {
    use chrono::Datelike as _;
    (0..=9_999)
        .contains(&date.year())
        .then(|| date.format("%Y-%m-%d").to_string())
}

fn written_time(time: NaiveTime) -> String {
    time.format("%H:%M:%S%.f").to_string()
}

/// A decimal as a NUMERIC column stores it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Real(f64),
}

impl Number {
    /// The number nearest to canonical decimal text; an integer if it is one and has room in 64
    /// bits.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        let whole = match digits.split_once('.') {
            Some((whole, fraction)) => {
                Some(whole).filter(|_| fraction.bytes().all(|digit| digit == b'0'))
            }
            None => Some(digits),
        };
        if let Some(integer) = whole.and_then(|whole| whole.parse().ok()) {
            return Some(Self::Integer(integer));
        }
        digits
            .parse()
            .ok()
            .filter(|real: &f64| real.is_finite())
            .map(Self::Real)
    }
}

/// Whether SQLite's NUMERIC affinity would take the text for a number. Rust reads the same
/// numerals, and besides them `inf` and `nan`, which begin with a letter.
fn looks_like_a_number(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let unsigned = text.trim_start_matches(['+', '-']);
    unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_values_are_written_as_sqlite_writes_them() {
        assert_eq!(date_text(0).as_deref(), Some("1970-01-01"));
        assert_eq!(date_text(i32::MAX), None);
        assert_eq!(time_text(23_400_000_000_000).as_deref(), Some("06:30:00"));
        assert_eq!(
            time_text(23_400_500_000_000).as_deref(),
            Some("06:30:00.500")
        );
        assert_eq!(time_text(-1), None);
        assert_eq!(
            timestamp_text(-1).as_deref(),
            Some("1969-12-31 23:59:59.999999")
        );
        assert_eq!(
            instant_text(1_763_188_200_000_000).as_deref(),
            Some("2025-11-15 06:30:00+00:00")
        );
        assert_eq!(timestamp_text(i64::MAX), None);
    }

    #[test]
    fn decimals_are_integers_where_they_can_be() {
        assert_eq!(Number::parse("87.50"), Some(Number::Real(87.5)));
        assert_eq!(Number::parse("87.00"), Some(Number::Integer(87)));
        assert_eq!(
            Number::parse("-9223372036854775808"),
            Some(Number::Integer(i64::MIN))
        );
        assert_eq!(
            Number::parse("100000000000000000000"),
            Some(Number::Real(1e20))
        );
        assert_eq!(Number::parse(""), None);
        assert_eq!(Number::parse(&"9".repeat(400)), None);
    }

    #[test]
    fn text_that_numeric_affinity_would_change_is_known() {
        for number in ["1", "007", " 1 ", "-1.5e3", ".5", "1.", "+4"] {
            assert!(looks_like_a_number(number), "{number}");
        }
        for text in [
            "",
            "A1",
            "nan",
            "inf",
            "-inf",
            "1a",
            "0x10",
            "1 2",
            "2026-11-15",
            "e5",
            "-",
            "1_0",
        ] {
            assert!(!looks_like_a_number(text), "{text}");
        }
    }
}
