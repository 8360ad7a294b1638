//! Arrow's arrays as polars' columns, value by value and exactly: what polars has no type for goes
//! on as text, and what has no text is refused by the name of its type.

use std::fmt::Write as _;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::{DataType, Field, TimeUnit as ArrowUnit};
use polars::prelude::{
    BinaryChunkedBuilder, BooleanChunked, ChunkedArray, Int32Type as Days, Int64Type as Number,
    Int128Type, IntoSeries, NewChunkedArray, PlSmallStr, PolarsNumericType, PolarsResult, Series,
    StringChunkedBuilder, TimeUnit, TimeZone, UInt64Type as Unsigned, polars_err,
};

use crate::domain::moment::NANOS_PER_DAY;
use crate::domain::schema::{DecimalSize, SchemaType};

/// How the values of one column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As Arrow's type says.
    Plain,
    /// Zero and one.
    Truth,
    /// Sixteen bytes of a whole number, the least first.
    Huge { signed: bool },
    /// A number without a sign that came as one with a sign.
    Unsigned32,
    /// An instant of which only the wall clock is meant.
    WallClock,
}

/// What a field's metadata says of the type behind it.
/// Source: <https://arrow.apache.org/docs/format/CanonicalExtensions.html>.
fn extension(field: &Field) -> Option<&str> {
    field
        .metadata()
        .get("ARROW:extension:name")
        .map(String::as_str)
}

/// The database's own name of an opaque type.
fn opaque_name(field: &Field) -> Option<String> {
    let metadata = field.metadata().get("ARROW:extension:metadata")?;
    let metadata: serde_json::Value = serde_json::from_str(metadata).ok()?;
    Some(metadata.get("type_name")?.as_str()?.to_owned())
}

/// The database's own name of a type, where the driver tells it beside a type of Arrow's.
fn database_type(field: &Field) -> Option<String> {
    let keys = ["POSTGRESQL:type", "sql.database_type_name", "MSSQL:type"];
    keys.iter()
        .find_map(|&key| field.metadata().get(key))
        .map(|name| name.to_ascii_lowercase())
}

impl Reading {
    /// Errors: the name of a type whose values cannot be read exactly.
    pub(super) fn of(field: &Field) -> Result<Self, String> {
        match (extension(field), field.data_type()) {
            (Some("arrow.bool8"), DataType::Int8) => return Ok(Self::Truth),
            (Some("arrow.uuid" | "arrow.json"), _) | (None, _) => {}
            (Some("arrow.opaque"), data_type) => return Self::of_opaque(field, data_type),
            (Some(other), _) => return Err(format!("of the type `{other}`")),
        }
        match (database_type(field).as_deref(), field.data_type()) {
            // Hundredths, or what the server's locale makes of them.
            (Some("money"), _) => Err("money, which comes without its decimal point".to_owned()),
            (Some("oid" | "xid" | "cid"), DataType::Int32) => Ok(Self::Unsigned32),
            // SQL Server's wall clocks are told as instants.
            (Some("datetime" | "datetime2" | "smalldatetime"), DataType::Timestamp(_, Some(_))) => {
                Ok(Self::WallClock)
            }
            (_, data_type) if is_readable(data_type) => Ok(Self::Plain),
            (_, data_type) => Err(format!("of Arrow's type {data_type}")),
        }
    }

    fn of_opaque(field: &Field, data_type: &DataType) -> Result<Self, String> {
        let name = opaque_name(field).unwrap_or_else(|| "opaque".to_owned());
        match (name.as_str(), data_type) {
            ("hugeint", DataType::FixedSizeBinary(16)) => Ok(Self::Huge { signed: true }),
            ("uhugeint", DataType::FixedSizeBinary(16)) => Ok(Self::Huge { signed: false }),
            ("numeric", DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Ok(Self::Plain)
            }
            _ => Err(format!("of the database's type `{name}`")),
        }
    }

    /// The type a schema file declares for such a column; `None` if none holds its values.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "Arrow may gain types; whatever is not named is refused"
    )]
    pub(super) fn schema_type(self, field: &Field) -> Option<SchemaType> {
        let decimal = |precision: u8, scale: i8| SchemaType::Decimal {
            size: u16::try_from(scale).ok().map(|scale| DecimalSize {
                precision: u16::from(precision),
                scale,
            }),
        };
        match self {
            Self::Truth => return Some(SchemaType::Boolean),
            Self::Huge { .. } => {
                return Some(SchemaType::Decimal {
                    size: Some(DecimalSize {
                        precision: 39,
                        scale: 0,
                    }),
                });
            }
            Self::Unsigned32 => return Some(SchemaType::Integer { bits: 64 }),
            Self::WallClock => return Some(SchemaType::Timestamp),
            Self::Plain => {}
        }
        match extension(field) {
            Some("arrow.uuid") => return Some(SchemaType::Uuid),
            Some("arrow.json") => return Some(SchemaType::Json),
            Some("arrow.opaque") => return Some(SchemaType::Decimal { size: None }),
            _ => {}
        }
        Some(match field.data_type() {
            DataType::Boolean => SchemaType::Boolean,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => SchemaType::Integer { bits: 16 },
            DataType::UInt16 | DataType::Int32 => SchemaType::Integer { bits: 32 },
            DataType::UInt32 | DataType::Int64 => SchemaType::Integer { bits: 64 },
            DataType::UInt64 => SchemaType::Decimal {
                size: Some(DecimalSize {
                    precision: 20,
                    scale: 0,
                }),
            },
            DataType::Float16 | DataType::Float32 => SchemaType::Float { bits: 32 },
            DataType::Float64 => SchemaType::Float { bits: 64 },
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => decimal(*precision, *scale),
            DataType::Date32 | DataType::Date64 => SchemaType::Date,
            DataType::Time32(_) | DataType::Time64(_) => SchemaType::Time,
            DataType::Timestamp(_, None) => SchemaType::Timestamp,
            DataType::Timestamp(_, Some(_)) => SchemaType::TimestampWithZone,
            data_type if is_readable(data_type) => SchemaType::Text {
                characters_max: None,
            },
            _ => return None,
        })
    }
}

/// Whether [`series`] has a way for the type.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "Arrow may gain types; whatever is not named is refused"
)]
fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => {
            matches!(
                **values,
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            )
        }
        data_type => {
            data_type.is_integer()
                || data_type.is_floating()
                || data_type.is_decimal()
                || data_type.is_string()
                || data_type.is_binary()
                || data_type.is_temporal()
                    && !matches!(data_type, DataType::Duration(_) | DataType::Interval(_))
                || matches!(
                    data_type,
                    DataType::Null | DataType::Boolean | DataType::FixedSizeBinary(_)
                )
        }
    }
}

/// A column of a batch.
/// Errors: a value that is not as its type says.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "Arrow may gain types; whatever is not named is refused"
)]
pub(super) fn series(name: &str, array: &ArrayRef, reading: Reading) -> PolarsResult<Series> {
    let name = || PlSmallStr::from(name);
    match reading {
        Reading::Plain => {}
        Reading::Truth => {
            let truths = array
                .as_primitive::<Int8Type>()
                .iter()
                .map(|value| value.map(|value| value != 0));
            return Ok(BooleanChunked::from_iter_options(name(), truths).into_series());
        }
        Reading::Huge { signed } => return Ok(huge(name(), array, signed)),
        Reading::Unsigned32 => {
            let wide = |value: i32| i64::from(value.cast_unsigned());
            return Ok(numbers::<Int32Type, Number>(name(), array, wide).into_series());
        }
        Reading::WallClock => return moments(name(), array, None),
    }
    Ok(match array.data_type() {
        DataType::Null => Series::full_null(name(), array.len(), &polars::prelude::DataType::Null),
        DataType::Boolean => {
            BooleanChunked::from_iter_options(name(), array.as_boolean().iter()).into_series()
        }
        DataType::Int8 => numbers::<Int8Type, Number>(name(), array, i64::from).into_series(),
        DataType::Int16 => numbers::<Int16Type, Number>(name(), array, i64::from).into_series(),
        DataType::Int32 => numbers::<Int32Type, Number>(name(), array, i64::from).into_series(),
        DataType::Int64 => numbers::<Int64Type, Number>(name(), array, |value| value).into_series(),
        DataType::UInt8 => numbers::<UInt8Type, Number>(name(), array, i64::from).into_series(),
        DataType::UInt16 => numbers::<UInt16Type, Number>(name(), array, i64::from).into_series(),
        DataType::UInt32 => numbers::<UInt32Type, Number>(name(), array, i64::from).into_series(),
        DataType::UInt64 => {
            numbers::<UInt64Type, Unsigned>(name(), array, |value| value).into_series()
        }
        DataType::Float16 => {
            numbers::<Float16Type, polars::prelude::Float32Type>(name(), array, |value| {
                value.to_f32()
            })
            .into_series()
        }
        DataType::Float32 => {
            numbers::<Float32Type, polars::prelude::Float32Type>(name(), array, |value| value)
                .into_series()
        }
        DataType::Float64 => {
            numbers::<Float64Type, polars::prelude::Float64Type>(name(), array, |value| value)
                .into_series()
        }
        DataType::Utf8 => texts(name(), array.len(), array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(name(), array.len(), array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(name(), array.len(), array.as_string_view().iter()),
        DataType::Binary => bytes(name(), array.len(), array.as_binary::<i32>().iter()),
        DataType::LargeBinary => bytes(name(), array.len(), array.as_binary::<i64>().iter()),
        DataType::BinaryView => bytes(name(), array.len(), array.as_binary_view().iter()),
        DataType::FixedSizeBinary(_) => {
            bytes(name(), array.len(), array.as_fixed_size_binary().iter())
        }
        DataType::Decimal128(precision, scale) => decimals(name(), array, *precision, *scale),
        DataType::Decimal32(..) => digits::<Decimal32Type>(name(), array),
        DataType::Decimal64(..) => digits::<Decimal64Type>(name(), array),
        DataType::Decimal256(..) => digits::<Decimal256Type>(name(), array),
        DataType::Date32 => numbers::<Date32Type, Days>(name(), array, |day| day)
            .into_series()
            .into_date(),
        DataType::Date64 => days(name(), array)?,
        DataType::Time32(ArrowUnit::Second) => times::<Time32SecondType>(name(), array, |time| {
            i64::from(time).saturating_mul(1_000_000_000)
        }),
        DataType::Time32(_) => times::<Time32MillisecondType>(name(), array, |time| {
            i64::from(time).saturating_mul(1_000_000)
        }),
        DataType::Time64(ArrowUnit::Microsecond) => {
            times::<Time64MicrosecondType>(name(), array, |time| time.saturating_mul(1_000))
        }
        DataType::Time64(_) => times::<Time64NanosecondType>(name(), array, |time| time),
        DataType::Timestamp(_, zone) => {
            moments(name(), array, zone.is_some().then_some(TimeZone::UTC))?
        }
        DataType::Dictionary(..) => labels(name(), array)?,
        other => {
            return Err(polars_err!(SchemaMismatch: "values of {other} cannot be written back"));
        }
    })
}

fn numbers<From: ArrowPrimitiveType, To: PolarsNumericType>(
    name: PlSmallStr,
    array: &ArrayRef,
    convert: impl Fn(From::Native) -> To::Native,
) -> ChunkedArray<To> {
    let array: &PrimitiveArray<From> = array.as_primitive();
    if array.null_count() == 0 {
        return ChunkedArray::from_vec(
            name,
            array.values().iter().map(|value| convert(*value)).collect(),
        );
    }
    ChunkedArray::from_iter_options(name, array.iter().map(|value| value.map(&convert)))
}

fn texts<'a>(
    name: PlSmallStr,
    length: usize,
    values: impl Iterator<Item = Option<&'a str>>,
) -> Series {
    let mut builder = StringChunkedBuilder::new(name, length);
    values.for_each(|value| builder.append_option(value));
    builder.finish().into_series()
}

fn bytes<'a>(
    name: PlSmallStr,
    length: usize,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Series {
    let mut builder = BinaryChunkedBuilder::new(name, length);
    values.for_each(|value| builder.append_option(value));
    builder.finish().into_series()
}

fn huge(name: PlSmallStr, array: &ArrayRef, signed: bool) -> Series {
    let mut builder = StringChunkedBuilder::new(name, array.len());
    let mut text = String::new();
    for value in array.as_fixed_size_binary().iter() {
        let Some(value) = value.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) else {
            builder.append_null();
            continue;
        };
        text.clear();
        let written = match signed {
            true => write!(text, "{}", i128::from_le_bytes(value)),
            false => write!(text, "{}", u128::from_le_bytes(value)),
        };
        written.expect("a text grows");
        builder.append_value(&text);
    }
    builder.finish().into_series()
}

/// Of up to 38 digits as numbers; where a database sends more than it says, and where zeros stand
/// before the point that are no digits, as text.
fn decimals(name: PlSmallStr, array: &ArrayRef, precision: u8, scale: i8) -> Series {
    let sized = usize::try_from(scale).ok().and_then(|scale| {
        let numbers =
            numbers::<Decimal128Type, Int128Type>(name.clone(), array, |value| value).into_series();
        numbers.into_decimal(usize::from(precision), scale).ok()
    });
    sized.unwrap_or_else(|| digits::<Decimal128Type>(name, array))
}

fn digits<Of: DecimalType>(name: PlSmallStr, array: &ArrayRef) -> Series {
    let decimals: &PrimitiveArray<Of> = array.as_primitive();
    let mut builder = StringChunkedBuilder::new(name, array.len());
    for index in 0..decimals.len() {
        match decimals.is_null(index) {
            true => builder.append_null(),
            false => builder.append_value(decimals.value_as_string(index)),
        }
    }
    builder.finish().into_series()
}

/// Dates in milliseconds.
fn days(name: PlSmallStr, array: &ArrayRef) -> PolarsResult<Series> {
    const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1_000;
    let day = |millis: i64| {
        let whole = millis.rem_euclid(MILLIS_PER_DAY) == 0;
        let day = i32::try_from(millis.div_euclid(MILLIS_PER_DAY))
            .ok()
            .filter(|_| whole);
        day.ok_or_else(|| polars_err!(ComputeError: "a date has a time of day"))
    };
    let days = array
        .as_primitive::<Date64Type>()
        .iter()
        .map(|value| value.map(day).transpose());
    let days = days.collect::<PolarsResult<Vec<Option<i32>>>>()?;
    Ok(
        ChunkedArray::<Days>::from_iter_options(name, days.into_iter())
            .into_series()
            .into_date(),
    )
}

/// Where a time is none of one day, as `24:00:00` is, all go on as texts: polars would make it
/// NULL.
fn times<From: ArrowPrimitiveType>(
    name: PlSmallStr,
    array: &ArrayRef,
    nanos: impl Fn(From::Native) -> i64,
) -> Series {
    let times = numbers::<From, Number>(name.clone(), array, nanos);
    if times
        .iter()
        .flatten()
        .all(|time| (0..NANOS_PER_DAY).contains(&time))
    {
        return times.into_series().into_time();
    }
    let text = |nanos: i64| {
        let (seconds, nanos) = (
            nanos.div_euclid(1_000_000_000),
            nanos.rem_euclid(1_000_000_000),
        );
        format!(
            "{:02}:{:02}:{:02}.{nanos:09}",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        )
    };
    let written: Vec<Option<String>> = times.iter().map(|time| time.map(text)).collect();
    texts(name, written.len(), written.iter().map(Option::as_deref))
}

/// What is out of the program's years stays so, and is rejected by the schema.
fn moments(name: PlSmallStr, array: &ArrayRef, zone: Option<TimeZone>) -> PolarsResult<Series> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(polars_err!(SchemaMismatch: "an instant is {}", array.data_type()));
    };
    let (numbers, unit) = match unit {
        ArrowUnit::Second => {
            let millis = |second: i64| second.saturating_mul(1_000);
            (
                numbers::<TimestampSecondType, Number>(name, array, millis),
                TimeUnit::Milliseconds,
            )
        }
        ArrowUnit::Millisecond => (
            numbers::<TimestampMillisecondType, Number>(name, array, |value| value),
            TimeUnit::Milliseconds,
        ),
        ArrowUnit::Microsecond => (
            numbers::<TimestampMicrosecondType, Number>(name, array, |value| value),
            TimeUnit::Microseconds,
        ),
        ArrowUnit::Nanosecond => (
            numbers::<TimestampNanosecondType, Number>(name, array, |value| value),
            TimeUnit::Nanoseconds,
        ),
    };
    Ok(numbers.into_series().into_datetime(unit, zone))
}

/// Words that came once each, and numbers of them.
fn labels(name: PlSmallStr, array: &ArrayRef) -> PolarsResult<Series> {
    let dictionary = array.as_any_dictionary();
    let words = series("words", dictionary.values(), Reading::Plain)?;
    let words = words.str()?;
    let mut builder = StringChunkedBuilder::new(name, array.len());
    for (index, key) in dictionary.normalized_keys().into_iter().enumerate() {
        builder.append_option(if array.is_null(index) {
            None
        } else {
            words.get(key)
        });
    }
    Ok(builder.finish().into_series())
}
