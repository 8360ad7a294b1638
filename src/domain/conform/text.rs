//! Columns of text, read as the types a schema declares.

use std::borrow::Cow;
use std::num::IntErrorKind;

use polars::prelude::{
    BooleanChunkedBuilder, ChunkedBuilder, Float32Type, Float64Type, Int32Type, Int64Type,
    StringChunked, TimeUnit,
};
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::with_article;
use crate::domain::columnar::{Converted, Fault, check, numbers, texts};
use crate::domain::conversion::{Misfit, check_characters, check_range, integer_range};
use crate::domain::decimal::{Decimal, NotDecimal, is_canonical};
use crate::domain::moment::{parse_date, parse_instant, parse_time, parse_timestamp};
use crate::domain::schema::{DecimalSize, SchemaType};

/// Why a text is no value: most reasons are known in advance.
type Reason = Cow<'static, str>;

/// Reads a column of text as values of `schema_type`, in the representation of its kind. What is
/// already written as the representation has it stays where it is.
pub(crate) fn parse_texts(
    values: &StringChunked,
    schema_type: SchemaType,
) -> Result<Converted, Misfit> {
    let name = values.name();
    let empty = EmptyText::of(schema_type);
    Ok(match schema_type {
        SchemaType::Text {
            characters_max: None,
        } => Converted::without_faults(values.clone()),
        SchemaType::Text {
            characters_max: Some(max),
        } => {
            let declared = schema_type.to_string();
            let faults = check(values.iter(), |text| {
                check_characters(text, u64::from(max), &declared)
            });
            Converted::kept(values.clone(), faults)
        }
        SchemaType::Integer { bits } => parse_integers(values, bits, schema_type, &empty),
        SchemaType::Decimal { size } => parse_decimals(values, size, schema_type, &empty),
        SchemaType::Float { bits: 32 } => {
            let parse = |text: &str| parse_float(text, f32::is_finite, schema_type, &empty);
            let (floats, faults) = numbers::<Float32Type, _, _>(name, values.iter(), parse);
            Converted::kept(floats, faults)
        }
        SchemaType::Float { .. } => {
            let parse = |text: &str| parse_float(text, f64::is_finite, schema_type, &empty);
            let (floats, faults) = numbers::<Float64Type, _, _>(name, values.iter(), parse);
            Converted::kept(floats, faults)
        }
        SchemaType::Boolean => parse_booleans(values, &empty),
        SchemaType::Date => {
            let (days, faults) =
                numbers::<Int32Type, _, _>(name, values.iter(), |text| empty.or(text, parse_date));
            Converted::kept(days.into_date(), faults)
        }
        SchemaType::Time => {
            let (nanos, faults) =
                numbers::<Int64Type, _, _>(name, values.iter(), |text| empty.or(text, parse_time));
            Converted::kept(nanos.into_time(), faults)
        }
        SchemaType::Timestamp => parse_micros(values, |text| empty.or(text, parse_timestamp)),
        SchemaType::TimestampWithZone => parse_micros(values, |text| empty.or(text, parse_instant)),
        SchemaType::Uuid => parse_uuids(values, &empty),
        SchemaType::Json => Converted::kept(
            values.clone(),
            check(values.iter(), |text| check_json(text, &empty)),
        ),
    })
}

/// What is said about an empty text where one is no value.
struct EmptyText {
    reason: String,
}

impl EmptyText {
    fn of(schema_type: SchemaType) -> Self {
        Self {
            reason: format!(
                "empty text is not {}; leave the cell empty for NULL",
                with_article(schema_type)
            ),
        }
    }

    /// Refuses an empty text, reads any other.
    fn or<T>(&self, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
        if text.is_empty() {
            Err(self.reason.clone())
        } else {
            parse(text)
        }
    }
}

fn parse_micros(values: &StringChunked, parse: impl Fn(&str) -> Result<i64, String>) -> Converted {
    let (micros, faults) = numbers::<Int64Type, _, _>(values.name(), values.iter(), parse);
    Converted::kept(micros.into_datetime(TimeUnit::Microseconds, None), faults)
}

fn parse_integers(
    values: &StringChunked,
    bits: u8,
    schema_type: SchemaType,
    empty: &EmptyText,
) -> Converted {
    let declared = schema_type.to_string();
    let (min, max) = integer_range(bits);
    let parse = |text: &str| {
        text.parse::<i64>()
            .map_err(|fault| not_integer(text, fault.kind(), &declared, empty))
    };
    let (integers, mut faults) = numbers::<Int64Type, _, _>(values.name(), values.iter(), parse);
    faults.extend(check_range(
        &integers,
        (i128::from(min), i128::from(max)),
        &declared,
    ));
    Converted::kept(integers, faults)
}

fn not_integer(text: &str, kind: &IntErrorKind, declared: &str, empty: &EmptyText) -> Reason {
    if text.is_empty() {
        return empty.reason.clone().into();
    }
    if matches!(kind, IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) {
        return format!("outside the range of {declared}").into();
    }
    match Decimal::parse(text) {
        Ok(decimal) if decimal.is_whole() => {
            format!("written with a point or an exponent; {declared} takes digits only").into()
        }
        Ok(_) => format!("has digits after the point, {declared} holds none").into(),
        Err(_) if text.trim().len() < text.len() => "blanks around the number".into(),
        Err(fault) => not_a_number(fault),
    }
}

fn not_a_number(fault: NotDecimal) -> Reason {
    fault.to_string().into()
}

fn parse_decimals(
    values: &StringChunked,
    size: Option<DecimalSize>,
    schema_type: SchemaType,
    empty: &EmptyText,
) -> Converted {
    if values.iter().flatten().all(|text| is_canonical(text, size)) {
        return Converted::without_faults(values.clone());
    }
    let declared = schema_type.to_string();
    let write = |text: &str, out: &mut String| -> Result<(), Reason> {
        if is_canonical(text, size) {
            out.push_str(text);
            return Ok(());
        }
        let decimal = Decimal::parse(text).map_err(|fault| not_decimal(text, fault, empty))?;
        size.map_or(Ok(()), |size| decimal.check_size(size, &declared))?;
        decimal.write(size.map(|size| size.scale), out);
        Ok(())
    };
    let (decimals, faults) = texts(values.name(), values.iter(), write);
    Converted::kept(decimals, faults)
}

fn not_decimal(text: &str, fault: NotDecimal, empty: &EmptyText) -> Reason {
    if text.is_empty() {
        empty.reason.clone().into()
    } else if text.trim().len() < text.len() {
        "blanks around the number".into()
    } else {
        not_a_number(fault)
    }
}

/// The float nearest to a decimal number.
fn parse_float<F: std::str::FromStr + Default + PartialEq + Copy>(
    text: &str,
    is_finite: impl Fn(F) -> bool,
    schema_type: SchemaType,
    empty: &EmptyText,
) -> Result<F, Reason> {
    let float = text
        .parse::<F>()
        .ok()
        .filter(|float| is_finite(*float) && *float != F::default());
    if let Some(float) = float {
        return Ok(float);
    }
    // Something else than a plain number: zero, too large, too small, or none at all.
    let decimal = match Decimal::parse(text) {
        Ok(decimal) => decimal,
        Err(NotDecimal::ExponentTooLarge) => {
            return Err(format!("outside the range of {schema_type}").into());
        }
        Err(fault) => return Err(not_decimal(text, fault, empty)),
    };
    match text.parse::<F>() {
        Ok(zero) if decimal.is_zero() => Ok(zero),
        Ok(float) if float == F::default() => {
            Err(format!("too close to zero for {schema_type}").into())
        }
        Ok(_) | Err(_) => Err(format!("outside the range of {schema_type}").into()),
    }
}

fn parse_booleans(values: &StringChunked, empty: &EmptyText) -> Converted {
    let mut booleans = BooleanChunkedBuilder::new(values.name().clone(), values.len());
    let mut faults = Vec::new();
    for (index, text) in values.iter().enumerate() {
        let boolean = text.and_then(parse_boolean);
        booleans.append_option(boolean);
        if let (Some(text), None) = (text, boolean) {
            let reason = if text.is_empty() {
                &empty.reason
            } else {
                "not a boolean: true or false is expected"
            };
            faults.push(Fault {
                index,
                reason: reason.to_owned(),
            });
        }
    }
    Converted::kept(booleans.finish(), faults)
}

fn parse_boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "t", "1", "yes"]) {
        Some(true)
    } else if is(["false", "f", "0", "no"]) {
        Some(false)
    } else {
        None
    }
}

fn parse_uuids(values: &StringChunked, empty: &EmptyText) -> Converted {
    if values.iter().flatten().all(is_canonical_uuid) {
        return Converted::without_faults(values.clone());
    }
    let write = |text: &str, out: &mut String| -> Result<(), Reason> {
        if text.is_empty() {
            return Err(empty.reason.clone().into());
        }
        let uuid = Uuid::try_parse(text).map_err(|_| "not a UUID")?;
        out.push_str(
            uuid.as_hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()),
        );
        Ok(())
    };
    let (uuids, faults) = texts(values.name(), values.iter(), write);
    Converted::kept(uuids, faults)
}

fn is_canonical_uuid(text: &str) -> bool {
    let is_in_place = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_in_place)
}

fn check_json(text: &str, empty: &EmptyText) -> Result<(), Reason> {
    if text.is_empty() {
        return Err(empty.reason.clone().into());
    }
    let checked = serde_json::from_str::<IgnoredAny>(text);
    checked.map(|IgnoredAny| ()).map_err(|fault| {
        let (line, column) = (fault.line(), fault.column());
        format!("not JSON: a mistake in line {line}, character {column}").into()
    })
}
