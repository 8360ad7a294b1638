//! Columns of native polars types, as Parquet files have them: each first as the kind of value it
//! naturally is, then converted to what the schema declares.

use std::fmt::Write;

use polars::prelude::{
    BinaryChunked, DataType, Int64Chunked, Int64Type, IntoSeries, Series, StringChunked, TimeUnit,
};
use uuid::Uuid;

use super::parse_texts;
use crate::domain::columnar::{Converted, Fault, check, numbers, texts};
use crate::domain::conversion::{Fraction, Holder, Misfit, convert, decimal_texts, schema_holds};
use crate::domain::moment::Zones;
use crate::domain::moment::{
    DAY_MAX, DAY_MIN, FINER_THAN_MICROS, HAS_ZONE, MICROS_MAX, MICROS_MIN, MICROS_PER_SECOND,
    NANOS_PER_DAY, NANOS_PER_MICRO, OUTSIDE_YEARS,
};
use crate::domain::schema::{DecimalSize, SchemaType};
use crate::domain::value::Kind;

/// A native column as what it naturally is.
struct Natural {
    values: Series,
    schema_type: SchemaType,
    faults: Vec<Fault>,
}

impl Natural {
    fn new(values: impl IntoSeries, schema_type: SchemaType, faults: Vec<Fault>) -> Self {
        Self {
            values: values.into_series(),
            schema_type,
            faults,
        }
    }
}

/// Converts a column that is not text to `schema_type`.
/// Errors: if the column's type holds no value of that type.
pub(super) fn convert_natives(
    pulled: &Series,
    schema_type: SchemaType,
) -> Result<Converted, Misfit> {
    if pulled.dtype().is_null() {
        let representation = schema_type.kind().representation();
        let values = Series::full_null(pulled.name().clone(), pulled.len(), &representation);
        return Ok(Converted::without_faults(values));
    }
    if schema_type == SchemaType::Uuid
        && let Ok(bytes) = pulled.binary()
    {
        return Ok(uuids_of_bytes(bytes));
    }
    let natural = natural(pulled)?;
    let mut converted = match (natural.schema_type, schema_type) {
        (SchemaType::Text { .. }, _) => parse_texts(natural.values.str()?, schema_type)?,
        (_, SchemaType::Decimal { .. }) => {
            let (decimals, faults) = decimal_texts(&natural.values, natural.schema_type)
                .map_err(|_| misfit(natural.schema_type, schema_type))?;
            // A value at fault twice is reported for what it is first: not a number that can be
            // written.
            let mut converted = parse_texts(&decimals, schema_type)?;
            converted.faults.splice(0..0, faults);
            converted
        }
        (SchemaType::Integer { .. }, SchemaType::Boolean) => zeros_and_ones(natural.values.i64()?)?,
        (SchemaType::TimestampWithZone, SchemaType::Timestamp) => {
            return Err(Misfit::Unreadable(HAS_ZONE.to_owned()));
        }
        (SchemaType::Boolean, SchemaType::Integer { .. }) => {
            return Err(misfit(natural.schema_type, schema_type));
        }
        (from, _) => {
            let (holds, declared) = (schema_holds(schema_type), schema_type.to_string());
            let zones = Zones::default();
            let holder = Holder {
                holds: &holds,
                declared: &declared,
                zones,
                fraction: Fraction::Exact,
            };
            convert(&natural.values, from, holder)?
        }
    };
    converted.faults.splice(0..0, natural.faults);
    Ok(converted)
}

/// A native key column for telling people which record it was.
pub(super) fn natural_key(pulled: &Series) -> Option<(Series, Kind)> {
    let natural = natural(pulled).ok()?;
    Some((natural.values, natural.schema_type.kind()))
}

fn natural(pulled: &Series) -> Result<Natural, Misfit> {
    let dtype = pulled.dtype();
    if dtype.is_integer() {
        natural_integers(pulled)
    } else if dtype.is_bool() {
        Ok(Natural::new(
            pulled.clone(),
            SchemaType::Boolean,
            Vec::new(),
        ))
    } else if let Ok(floats) = pulled.f32() {
        let faults = check(floats.iter(), |value| check_finite(f64::from(value)));
        Ok(Natural::new(
            pulled.clone(),
            SchemaType::Float { bits: 32 },
            faults,
        ))
    } else if let Ok(floats) = pulled.f64() {
        Ok(Natural::new(
            pulled.clone(),
            SchemaType::Float { bits: 64 },
            check(floats.iter(), check_finite),
        ))
    } else if let DataType::Decimal(precision, scale) = dtype {
        natural_decimals(pulled, *precision, *scale)
    } else if let Ok(dates) = pulled.date() {
        Ok(Natural::new(
            pulled.clone(),
            SchemaType::Date,
            check(dates.phys.iter(), check_day),
        ))
    } else if let Ok(times) = pulled.time() {
        Ok(Natural::new(
            pulled.clone(),
            SchemaType::Time,
            check(times.phys.iter(), check_time),
        ))
    } else if let DataType::Datetime(unit, zone) = dtype {
        let schema_type = if zone.is_some() {
            SchemaType::TimestampWithZone
        } else {
            SchemaType::Timestamp
        };
        natural_moments(pulled, *unit, schema_type)
    } else if let Ok(bytes) = pulled.binary() {
        natural_bytes(bytes)
    } else if dtype.is_categorical() || dtype.is_enum() {
        let texts = pulled.cast(&DataType::String)?;
        Ok(Natural::new(
            texts,
            SchemaType::Text {
                characters_max: None,
            },
            Vec::new(),
        ))
    } else {
        Err(Misfit::Unreadable(format!(
            "values of {dtype} cannot be written back"
        )))
    }
}

/// Integers of up to 64 bits as they are, of more as decimals.
fn natural_integers(pulled: &Series) -> Result<Natural, Misfit> {
    let is_one_of = |dtypes: &[DataType]| dtypes.contains(pulled.dtype());
    let bits = if is_one_of(&[DataType::Int8, DataType::UInt8, DataType::Int16]) {
        16
    } else if is_one_of(&[DataType::UInt16, DataType::Int32]) {
        32
    } else {
        64
    };
    let integers = pulled.cast(&DataType::Int64)?;
    if integers.null_count() == pulled.null_count() {
        return Ok(Natural::new(
            integers,
            SchemaType::Integer { bits },
            Vec::new(),
        ));
    }
    let wide = pulled.cast(&DataType::Int128)?;
    let write =
        |number: i128, out: &mut String| write!(out, "{number}").map_err(|_| "not a number");
    let (digits, mut faults) = texts(pulled.name(), wide.i128()?.iter(), write);
    let lost = wide.is_null() & pulled.is_not_null();
    let lost = lost
        .iter()
        .enumerate()
        .filter(|(_, lost)| *lost == Some(true));
    faults.extend(lost.map(|(index, _)| Fault {
        index,
        reason: "an integer of more than 127 bits".to_owned(),
    }));
    Ok(Natural::new(
        digits,
        SchemaType::Decimal { size: None },
        faults,
    ))
}

fn natural_decimals(pulled: &Series, precision: usize, scale: usize) -> Result<Natural, Misfit> {
    let mut buffer = itoa::Buffer::new();
    let write = |unscaled: i128, out: &mut String| -> Result<(), &'static str> {
        write_scaled(unscaled, scale, buffer.format(unscaled.unsigned_abs()), out);
        Ok(())
    };
    let (decimals, faults) = texts(pulled.name(), pulled.decimal()?.phys.iter(), write);
    let digits = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let size = DecimalSize {
        precision: digits(precision),
        scale: digits(scale),
    };
    Ok(Natural::new(
        decimals,
        SchemaType::Decimal { size: Some(size) },
        faults,
    ))
}

/// Writes a number of which `digits` are all digits, the last `scale` of them behind the point.
fn write_scaled(unscaled: i128, scale: usize, digits: &str, out: &mut String) {
    if unscaled < 0 {
        out.push('-');
    }
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        out.push('.');
        out.extend(std::iter::repeat_n('0', scale - fraction.len()));
        out.push_str(fraction);
    }
}

fn natural_moments(
    pulled: &Series,
    unit: TimeUnit,
    schema_type: SchemaType,
) -> Result<Natural, Misfit> {
    let moments = &pulled.datetime()?.phys;
    let inside = |micros: i64| {
        if (MICROS_MIN..=MICROS_MAX).contains(&micros) {
            Ok(micros)
        } else {
            Err(OUTSIDE_YEARS)
        }
    };
    let (micros, faults) = match unit {
        TimeUnit::Microseconds => (
            moments.clone(),
            check(moments.iter(), |micros| inside(micros).map(|_| ())),
        ),
        TimeUnit::Milliseconds => {
            let convert = |millis: i64| {
                inside(
                    millis
                        .checked_mul(MICROS_PER_SECOND / 1_000)
                        .ok_or(OUTSIDE_YEARS)?,
                )
            };
            numbers::<Int64Type, _, _>(pulled.name(), moments.iter(), convert)
        }
        TimeUnit::Nanoseconds => {
            let convert = |nanos: i64| match nanos.rem_euclid(NANOS_PER_MICRO) {
                0 => inside(nanos.div_euclid(NANOS_PER_MICRO)),
                _ => Err(FINER_THAN_MICROS),
            };
            numbers::<Int64Type, _, _>(pulled.name(), moments.iter(), convert)
        }
    };
    Ok(Natural::new(
        micros.into_datetime(TimeUnit::Microseconds, None),
        schema_type,
        faults,
    ))
}

/// Bytes are text if they are UTF-8: many writers of Parquet do not say so.
fn natural_bytes(bytes: &BinaryChunked) -> Result<Natural, Misfit> {
    let write = |bytes: &[u8], out: &mut String| match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.push_str(text);
            Ok(())
        }
        Err(fault) => Err(format!("not UTF-8 at byte {}", fault.valid_up_to() + 1)),
    };
    let (decoded, faults): (StringChunked, _) = texts(bytes.name(), bytes.iter(), write);
    Ok(Natural::new(
        decoded,
        SchemaType::Text {
            characters_max: None,
        },
        faults,
    ))
}

/// UUIDs as 16 bytes or as text.
fn uuids_of_bytes(bytes: &BinaryChunked) -> Converted {
    let parse = |bytes: &[u8]| {
        Uuid::from_slice(bytes)
            .ok()
            .or_else(|| Uuid::try_parse_ascii(bytes).ok())
    };
    let write = |bytes: &[u8], out: &mut String| {
        let uuid = parse(bytes).ok_or("not a UUID")?;
        out.push_str(
            uuid.as_hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()),
        );
        Ok::<(), &'static str>(())
    };
    let (uuids, faults) = texts(bytes.name(), bytes.iter(), write);
    Converted::kept(uuids, faults)
}

/// Booleans of systems that have none.
fn zeros_and_ones(integers: &Int64Chunked) -> Result<Converted, Misfit> {
    let is_boolean = |number: i64| matches!(number, 0 | 1);
    let faults = check(integers.iter(), |number| match is_boolean(number) {
        true => Ok(()),
        false => Err("not a boolean: 0 or 1 is expected"),
    });
    Ok(Converted::kept(
        integers.clone().into_series().cast(&DataType::Boolean)?,
        faults,
    ))
}

fn check_day(day: i32) -> Result<(), &'static str> {
    if (DAY_MIN..=DAY_MAX).contains(&day) {
        Ok(())
    } else {
        Err(OUTSIDE_YEARS)
    }
}

fn check_time(nanos: i64) -> Result<(), &'static str> {
    if !(0..NANOS_PER_DAY).contains(&nanos) {
        return Err("not a time of one day");
    }
    if nanos.rem_euclid(NANOS_PER_MICRO) == 0 {
        Ok(())
    } else {
        Err(FINER_THAN_MICROS)
    }
}

fn check_finite(value: f64) -> Result<(), &'static str> {
    if value.is_nan() {
        Err("NaN cannot be written")
    } else if value.is_infinite() {
        Err("an infinite number cannot be written")
    } else {
        Ok(())
    }
}

fn misfit(from: SchemaType, to: SchemaType) -> Misfit {
    Misfit::Type {
        from: from.to_string(),
        to: to.to_string(),
        instead: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_point_and_their_sign() {
        for (unscaled, scale, expected) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (-1_234, 2, "-12.34"),
            (1_234, 4, "0.1234"),
            (-70, 0, "-70"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            let mut out = String::new();
            write_scaled(
                unscaled,
                scale,
                &unscaled.unsigned_abs().to_string(),
                &mut out,
            );
            assert_eq!(out, expected);
        }
    }
}
