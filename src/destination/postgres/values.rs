//! A batch as the arrays that a statement binds.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use polars::prelude::{ChunkAgg, Column, DataFrame};
use sqlx::Arguments;
use sqlx::postgres::PgArguments;

use super::numeric::Numeric;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::value::Kind;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of text one statement carries at most. The protocol ends at 1 GiB and the server keeps
/// several copies; a batch of larger documents is refused, and so halved until it fits. Source:
/// `PQ_LARGE_MESSAGE_LIMIT` in `src/include/libpq/libpq.h`.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// The lowest and the highest key of a batch, where the rows between them are those that the
/// object's own order has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bounds {
    Text(String, String),
    Integer(i64, i64),
}

impl Bounds {
    /// `None` for keys of several fields, for those that the object may order otherwise than the
    /// package does, and for a record alone, which is searched for: a statement with bounds is
    /// planned for each batch.
    pub(super) fn of(layout: &Layout, batch: &DataFrame) -> Option<Self> {
        let [position] = layout.key.as_slice() else {
            return None;
        };
        if batch.height() < 2 {
            return None;
        }
        let (field, keys) = (
            layout.fields.get(*position)?,
            batch.select_at_idx(*position)?,
        );
        match field.kind {
            Kind::Integer => Some(Self::Integer(
                keys.i64().ok()?.min()?,
                keys.i64().ok()?.max()?,
            )),
            Kind::Uuid => Self::of_texts(keys),
            Kind::Text if !field.column.loosely_compared => {
                match field.column.collation.as_deref()? {
                    "C" | "POSIX" => Self::of_texts(keys),
                    // The order of code points, if the operating system keeps to it beyond ASCII.
                    "C.UTF-8" | "C.utf8"
                        if keys.str().ok()?.iter().flatten().all(str::is_ascii) =>
                    {
                        Self::of_texts(keys)
                    }
                    _ => None,
                }
            }
            Kind::Text
            | Kind::Decimal
            | Kind::Float32
            | Kind::Float64
            | Kind::Boolean
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::Instant
            | Kind::Json => None,
        }
    }

    fn of_texts(keys: &Column) -> Option<Self> {
        let texts = || {
            keys.str()
                .ok()
                .into_iter()
                .flat_map(|keys| keys.iter().flatten())
        };
        Some(Self::Text(
            texts().min()?.to_owned(),
            texts().max()?.to_owned(),
        ))
    }

    /// Binds both.
    pub(super) fn add_to(&self, arguments: &mut PgArguments) -> Result<(), SystemError> {
        let added = match self {
            Self::Text(low, high) => arguments
                .add(low.as_str())
                .and_then(|()| arguments.add(high.as_str())),
            Self::Integer(low, high) => arguments.add(*low).and_then(|()| arguments.add(*high)),
        };
        added.map_err(|error| refused(error.to_string(), None))
    }
}

/// One array per parameter, in order. Errors: `Refused`, if a value lies outside of what can be
/// sent, or all are too many for one statement.
pub(super) fn arguments(
    layout: &Layout,
    batch: &DataFrame,
    parameters: &[usize],
) -> Result<PgArguments, SystemError> {
    let mut arguments = PgArguments::default();
    let mut text_bytes = 0_usize;
    for position in parameters {
        let (Some(field), Some(column)) =
            (layout.fields.get(*position), batch.select_at_idx(*position))
        else {
            return Err(refused(format!("the batch has no field {position}"), None));
        };
        text_bytes = text_bytes.saturating_add(text_length(column));
        if text_bytes > TEXT_BYTES_MAX {
            return Err(refused(
                "more text than one statement carries".to_owned(),
                None,
            ));
        }
        add(&mut arguments, field, column)
            .map_err(|error| refused(error.to_string(), Some(field.column.name.clone())))?;
    }
    Ok(arguments)
}

fn refused(message: String, column: Option<String>) -> SystemError {
    SystemError::Refused {
        message,
        column,
        clashes: false,
    }
}

/// Bytes of a column's text; 0 for values of a fixed size.
fn text_length(column: &Column) -> usize {
    column
        .str()
        .map_or(0, |texts| texts.iter().flatten().map(str::len).sum())
}

fn add(arguments: &mut PgArguments, field: &LayoutField, column: &Column) -> Result<(), Cause> {
    let kind = if field.own_text {
        Kind::Text
    } else {
        field.kind
    };
    match kind {
        Kind::Text | Kind::Uuid | Kind::Json => {
            arguments.add(column.str()?.iter().collect::<Vec<Option<&str>>>())
        }
        Kind::Decimal => arguments.add(
            column
                .str()?
                .iter()
                .map(|text| text.map(Numeric))
                .collect::<Vec<_>>(),
        ),
        Kind::Integer => arguments.add(column.i64()?.iter().collect::<Vec<Option<i64>>>()),
        Kind::Float32 => arguments.add(column.f32()?.iter().collect::<Vec<Option<f32>>>()),
        Kind::Float64 => arguments.add(column.f64()?.iter().collect::<Vec<Option<f64>>>()),
        Kind::Boolean => arguments.add(column.bool()?.iter().collect::<Vec<Option<bool>>>()),
        Kind::Date => arguments.add(converted(column.date()?.physical().iter(), date)?),
        Kind::Time => {
            let times = column.as_materialized_series().time()?;
            arguments.add(converted(times.physical().iter(), time)?)
        }
        Kind::Timestamp => {
            arguments.add(converted(column.datetime()?.physical().iter(), timestamp)?)
        }
        Kind::Instant => arguments.add(converted(column.datetime()?.physical().iter(), instant)?),
    }
}

fn converted<N, T>(
    values: impl Iterator<Item = Option<N>>,
    convert: impl Fn(N) -> Option<T>,
) -> Result<Vec<Option<T>>, Cause> {
    let convert = |value: Option<N>| match value {
        Some(value) => convert(value)
            .map(Some)
            .ok_or_else(|| Cause::from("a date or time lies outside of the calendar")),
        None => Ok(None),
    };
    values.map(convert).collect()
}

/// `days` since 1970-01-01.
fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(days)
}

/// `nanoseconds` since midnight.
fn time(nanoseconds: i64) -> Option<NaiveTime> {
    let (time, days) = NaiveTime::MIN.overflowing_add_signed(TimeDelta::nanoseconds(nanoseconds));
    (days == 0).then_some(time)
}

/// `microseconds` since 1970-01-01 on a wall clock.
fn timestamp(microseconds: i64) -> Option<NaiveDateTime> {
    instant(microseconds).map(|instant| instant.naive_utc())
}

/// `microseconds` since 1970 in UTC.
fn instant(microseconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(microseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_keep_every_digit() {
        assert_eq!(date(-1).expect("a date").to_string(), "1969-12-31");
        assert_eq!(date(20_778).expect("a date").to_string(), "2026-11-21");
        assert_eq!(
            time(86_399_999_999_000).expect("a time").to_string(),
            "23:59:59.999999"
        );
        assert_eq!(
            timestamp(-1).expect("a timestamp").to_string(),
            "1969-12-31 23:59:59.999999"
        );
        assert_eq!(
            instant(1_234_567).expect("an instant").to_string(),
            "1970-01-01 00:00:01.234567 UTC"
        );
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        assert_eq!(date(i32::MAX), None);
        assert_eq!(time(86_400_000_000_000), None);
        assert_eq!(instant(i64::MAX), None);
        assert!(converted([None, Some(i64::MIN)].into_iter(), instant).is_err());
    }
}
