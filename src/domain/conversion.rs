//! Conversions: whole columns of one type become what a column of another holds, exactly; a value
//! that cannot is set aside with the reason. Which types convert at all is decided here once, for
//! plans as for records.

use std::collections::HashSet;
use std::fmt::{Display, LowerExp, Write};

use polars::prelude::{
    ChunkAgg, DataType, Float32Chunked, Float32Type, Float64Chunked, Float64Type, Int64Chunked,
    Int64Type, IntoSeries, PolarsError, PolarsResult, Series, StringChunked, TimeUnit,
};

use super::columnar::{Converted, Fault, check, numbers, texts};
use super::decimal::Decimal;
use super::json::check_jsonb;
use super::moment::Zones;
use super::moment::{
    instant_to_wall, wall_to_instant, write_date, write_instant, write_time, write_timestamp,
};
use super::object::{Holds, Repertoire, TextLimit};
use super::problem::nearest;
use super::schema::{DecimalSize, SchemaType};
use super::value::Kind;

/// What values are to become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder<'a> {
    pub(crate) holds: &'a Holds,
    /// The type as people read it: `VARCHAR(10)`.
    pub(crate) declared: &'a str,
    pub(crate) zones: Zones,
    pub(crate) fraction: Fraction,
}

/// What happens to digits of a second that a column does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fraction {
    /// The value is at fault.
    Exact,
    /// They are cut off: for stamps, which tell about a run and are no one's data.
    Cut,
}

/// Why no value of one type is a value of another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    /// `instead` is the type to declare, if values of that type would fit.
    #[error("{from} does not convert to {to}")]
    Type {
        from: String,
        to: String,
        instead: Option<&'static str>,
    },
    #[error("has no time zone; declare the column TIMESTAMP")]
    ZoneUnknown,
    #[error("{0}")]
    TooNarrow(String),
    /// The frame is not what it is said to be.
    #[error("{0}")]
    Unreadable(String),
}

impl From<PolarsError> for Misfit {
    fn from(error: PolarsError) -> Self {
        Self::Unreadable(format!("could not be read: {error}"))
    }
}

/// Converts a column. NULL stays NULL. Shape: values of type `from` in its kind's representation
/// in; the same number in the representation of `holder.holds.kind()` out. Errors: if no value of
/// type `from` ever fits.
pub(crate) fn convert(
    values: &Series,
    from: SchemaType,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    match holder.holds {
        Holds::Text { limit, repertoire } => to_text(values, from, *limit, *repertoire, holder),
        Holds::Label(words) => to_label(values, from, words, holder),
        Holds::Labels(words) => to_labels(values, from, words, holder),
        Holds::Integer { min, max } => to_integer(values, from, (*min, *max), holder),
        Holds::Decimal { size } => {
            to_decimal(values, from, decimal_size(*size), holder, |_| Ok(()))
        }
        Holds::DecimalAsFloat { size } => to_decimal(
            values,
            from,
            decimal_size(*size),
            holder,
            check_kept_as_float,
        ),
        Holds::Float { bits } => to_float(values, from, *bits, holder),
        Holds::Time { fraction_digits } => to_time(values, from, *fraction_digits, holder),
        Holds::Timestamp { fraction_digits } => {
            to_timestamp(values, from, *fraction_digits, holder)
        }
        Holds::Instant { fraction_digits } => to_instant(values, from, *fraction_digits, holder),
        Holds::Json if holder.declared == "jsonb" => to_jsonb(values, from, holder),
        Holds::Boolean | Holds::Date | Holds::Uuid | Holds::Json => {
            to_same_kind(values, from, holder)
        }
        Holds::Unsupported => Err(misfit(from, holder)),
    }
}

/// What the type of a schema column holds, when it is the end of a conversion.
pub(crate) fn schema_holds(schema_type: SchemaType) -> Holds {
    match schema_type {
        SchemaType::Text { characters_max } => Holds::Text {
            limit: characters_max.map(|characters| TextLimit::Characters(u64::from(characters))),
            repertoire: Repertoire::Unicode { nul: true },
        },
        SchemaType::Integer { bits } => {
            let (min, max) = integer_range(bits);
            Holds::Integer {
                min: i128::from(min),
                max: i128::from(max),
            }
        }
        SchemaType::Decimal { size } => Holds::Decimal {
            size: size.map(|size| (size.precision, size.scale)),
        },
        SchemaType::Float { bits } => Holds::Float { bits },
        SchemaType::Boolean => Holds::Boolean,
        SchemaType::Date => Holds::Date,
        SchemaType::Time => Holds::Time { fraction_digits: 6 },
        SchemaType::Timestamp => Holds::Timestamp { fraction_digits: 6 },
        SchemaType::TimestampWithZone => Holds::Instant { fraction_digits: 6 },
        SchemaType::Uuid => Holds::Uuid,
        SchemaType::Json => Holds::Json,
    }
}

/// The least and the greatest signed integer of so many bits, 64 at most.
pub(crate) fn integer_range(bits: u8) -> (i64, i64) {
    match bits {
        16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

/// Checks that every number lies between `min` and `max`; looks at each only if the extremes do
/// not.
pub(crate) fn check_range(
    numbers: &Int64Chunked,
    (min, max): (i128, i128),
    declared: &str,
) -> Vec<Fault> {
    let is_inside = |number: i64| (min..=max).contains(&i128::from(number));
    if numbers.min().is_none_or(is_inside) && numbers.max().is_none_or(is_inside) {
        return Vec::new();
    }
    let outside = || outside(declared, min, max);
    check(numbers.iter(), |number| {
        if is_inside(number) {
            Ok(())
        } else {
            Err(outside())
        }
    })
}

/// Writes values as people read them, and as columns of text take them: timestamps with a blank,
/// instants as RFC 3339 in UTC, floats by the shortest text that reads back the same. Errors: the
/// values are not in the kind's representation.
pub(crate) fn texts_of(values: &Series, kind: Kind) -> PolarsResult<StringChunked> {
    let name = values.name();
    let (texts, _): (StringChunked, Vec<Fault>) = match kind {
        Kind::Text | Kind::Decimal | Kind::Uuid | Kind::Json => (values.str()?.clone(), Vec::new()),
        Kind::Integer => texts(name, values.i64()?.iter(), always(write_display)),
        Kind::Float32 => texts(
            name,
            values.f32()?.iter(),
            always(|value, out| write_float(value, f64::from(value), out)),
        ),
        Kind::Float64 => texts(
            name,
            values.f64()?.iter(),
            always(|value, out| write_float(value, value, out)),
        ),
        Kind::Boolean => texts(name, values.bool()?.iter(), always(write_display)),
        Kind::Date => texts(name, values.date()?.phys.iter(), always(write_date)),
        Kind::Time => texts(name, values.time()?.phys.iter(), always(write_time)),
        Kind::Timestamp => texts(
            name,
            values.datetime()?.phys.iter(),
            always(write_timestamp),
        ),
        Kind::Instant => texts(name, values.datetime()?.phys.iter(), always(write_instant)),
    };
    Ok(texts)
}

/// Numbers as canonical decimal text. A float stands for the shortest number that reads back as the
/// same float. Errors: values of type `from` are not numbers.
pub(crate) fn decimal_texts(
    values: &Series,
    from: SchemaType,
) -> Result<(StringChunked, Vec<Fault>), Misfit> {
    let name = values.name();
    Ok(match from.kind() {
        Kind::Decimal | Kind::Integer => (texts_of(values, from.kind())?, Vec::new()),
        Kind::Float32 => texts(name, values.f32()?.iter(), write_float_as_decimal),
        Kind::Float64 => texts(name, values.f64()?.iter(), write_float_as_decimal),
        Kind::Text
        | Kind::Boolean
        | Kind::Date
        | Kind::Time
        | Kind::Timestamp
        | Kind::Instant
        | Kind::Uuid
        | Kind::Json => {
            return Err(Misfit::Type {
                from: from.to_string(),
                to: "a number".to_owned(),
                instead: None,
            });
        }
    })
}

fn to_text(
    values: &Series,
    from: SchemaType,
    limit: Option<TextLimit>,
    repertoire: Repertoire,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    let (TextLimit::Characters(limit_number) | TextLimit::Bytes(limit_number)) =
        limit.unwrap_or(TextLimit::Characters(u64::MAX));
    if shortest_text(from) > limit_number {
        let shortest = shortest_text(from);
        return Err(Misfit::TooNarrow(format!(
            "{from} takes {shortest} characters, {} holds {limit_number}",
            holder.declared
        )));
    }
    let texts = texts_of(values, from.kind())?;
    if holds_every_text(from, limit, repertoire) {
        return Ok(Converted::without_faults(texts));
    }
    let faults = check(texts.iter(), |text| {
        check_text(text, limit, repertoire, holder.declared)
    });
    Ok(Converted::kept(texts, faults))
}

fn to_label(
    values: &Series,
    from: SchemaType,
    words: &[String],
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    if from.kind() != Kind::Text {
        return Err(misfit(from, holder));
    }
    let known: HashSet<&str> = words.iter().map(String::as_str).collect();
    let texts = values.str()?;
    // The one that is meant is a word of the column's own, which may be told.
    let is_word = |text: &str| match known.contains(text) {
        true => Ok(()),
        false => Err(match nearest(text, words.iter().map(String::as_str)) {
            Some(word) => format!("not one of the column's words; `{word}` is the nearest"),
            None => "not one of the column's words".to_owned(),
        }),
    };
    Ok(Converted::kept(texts.clone(), check(texts.iter(), is_word)))
}

/// As [`to_label`], of words with semicolons between.
fn to_labels(
    values: &Series,
    from: SchemaType,
    words: &[String],
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    if from.kind() != Kind::Text {
        return Err(misfit(from, holder));
    }
    let known: HashSet<&str> = words.iter().map(String::as_str).collect();
    let texts = values.str()?;
    let are_words = |text: &str| {
        let mut members = text.split(';').map(str::trim);
        let stray = members.find(|member| !member.is_empty() && !known.contains(member));
        let Some(stray) = stray else {
            return Ok(());
        };
        // What the source has there is told nowhere but among the rejected records.
        Err(match nearest(stray, words.iter().map(String::as_str)) {
            Some(word) => format!("not all of the column's words; `{word}` is the nearest"),
            None => "not all of the column's words".to_owned(),
        })
    };
    Ok(Converted::kept(
        texts.clone(),
        check(texts.iter(), are_words),
    ))
}

fn to_integer(
    values: &Series,
    from: SchemaType,
    range: (i128, i128),
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    let converted = match from.kind() {
        Kind::Integer => Converted::kept(
            values.clone(),
            check_range(values.i64()?, range, holder.declared),
        ),
        Kind::Boolean => Converted::without_faults(values.cast(&DataType::Int64)?),
        Kind::Decimal | Kind::Float32 | Kind::Float64 => {
            return whole_numbers(values, from, range, holder);
        }
        Kind::Text
        | Kind::Date
        | Kind::Time
        | Kind::Timestamp
        | Kind::Instant
        | Kind::Uuid
        | Kind::Json => {
            return Err(misfit(from, holder));
        }
    };
    match holder.holds.kind() {
        Some(Kind::Decimal) => {
            let digits = texts_of(&converted.values, Kind::Integer)?;
            Ok(Converted::kept(digits, converted.faults))
        }
        Some(_) | None => Ok(converted),
    }
}

/// Decimals and floats that are whole.
fn whole_numbers(
    values: &Series,
    from: SchemaType,
    range: (i128, i128),
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    let (min, max) = range;
    let whole = |text: &str| {
        let decimal = Decimal::parse(text)?;
        if !decimal.is_whole() {
            return Err(format!(
                "not a whole number, {} holds no others",
                holder.declared
            ));
        }
        decimal
            .to_i128()
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| outside(holder.declared, min, max))
    };
    let (decimals, faults) = decimal_texts(values, from)?;
    let (values, mut outside_faults) = match holder.holds.kind() {
        Some(Kind::Decimal) => {
            let write =
                |text: &str, out: &mut String| whole(text).map(|number| write_display(number, out));
            let (digits, faults) = texts(values.name(), decimals.iter(), write);
            (digits.into_series(), faults)
        }
        Some(_) | None => {
            let number = |text: &str| {
                i64::try_from(whole(text)?).map_err(|_| outside(holder.declared, min, max))
            };
            let (integers, faults) =
                numbers::<Int64Type, _, _>(values.name(), decimals.iter(), number);
            (integers.into_series(), faults)
        }
    };
    outside_faults.extend(faults);
    Ok(Converted {
        values,
        faults: outside_faults,
    })
}

/// Errors of `further`: what else keeps a number from being held.
fn to_decimal(
    values: &Series,
    from: SchemaType,
    size: Option<DecimalSize>,
    holder: Holder<'_>,
    further: impl Fn(&Decimal<'_>) -> Result<(), String>,
) -> Result<Converted, Misfit> {
    let is_decimal_as_float = matches!(holder.holds, Holds::DecimalAsFloat { .. });
    let (decimals, mut faults) = decimal_texts(values, from).map_err(|_| misfit(from, holder))?;
    if !holds_every_decimal(from, size, is_decimal_as_float) {
        let check_decimal = |text: &str| {
            let decimal = Decimal::parse(text)?;
            size.map_or(Ok(()), |size| decimal.check_size(size, holder.declared))?;
            further(&decimal)
        };
        faults.extend(check(decimals.iter(), check_decimal));
    }
    Ok(Converted::kept(decimals, faults))
}

fn to_float(
    values: &Series,
    from: SchemaType,
    bits: u8,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    match (from.kind(), bits) {
        (Kind::Integer, _) => integers_to_float(values.i64()?, bits, holder),
        (Kind::Decimal, 32) => {
            let parse = |text: &str| decimal_to_float::<f32>(text, 6, 37, holder.declared);
            let (floats, faults) =
                numbers::<Float32Type, _, _>(values.name(), values.str()?.iter(), parse);
            Ok(Converted::kept(floats, faults))
        }
        (Kind::Decimal, _) => {
            let parse = |text: &str| decimal_to_float::<f64>(text, 15, 307, holder.declared);
            let (floats, faults) =
                numbers::<Float64Type, _, _>(values.name(), values.str()?.iter(), parse);
            Ok(Converted::kept(floats, faults))
        }
        (Kind::Float32, 32) | (Kind::Float64, 64) => Ok(Converted::without_faults(values.clone())),
        (Kind::Float32, _) => Ok(Converted::without_faults(values.cast(&DataType::Float64)?)),
        (Kind::Float64, _) => doubles_to_singles(values.f64()?, holder),
        (
            Kind::Text
            | Kind::Boolean
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::Instant
            | Kind::Uuid
            | Kind::Json,
            _,
        ) => Err(misfit(from, holder)),
    }
}

fn to_time(
    values: &Series,
    from: SchemaType,
    fraction_digits: u8,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    if from.kind() != Kind::Time {
        return Err(misfit(from, holder));
    }
    if fraction_digits >= 6 {
        return Ok(Converted::without_faults(values.clone()));
    }
    let times = &values.time()?.phys;
    let whole = |nanos: i64| hold_fraction(nanos, 9, fraction_digits, holder);
    let (times, faults) = numbers::<Int64Type, _, _>(values.name(), times.iter(), whole);
    Ok(Converted::kept(times.into_time(), faults))
}

fn to_timestamp(
    values: &Series,
    from: SchemaType,
    fraction_digits: u8,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    match from.kind() {
        Kind::Timestamp => held_micros(values, fraction_digits, holder, Ok),
        Kind::Instant => match holder.zones.destination {
            None | Some(chrono_tz::Tz::UTC) => held_micros(values, fraction_digits, holder, Ok),
            Some(zone) => converted_micros(values, fraction_digits, holder, |instant| {
                instant_to_wall(instant, zone)
            }),
        },
        Kind::Text
        | Kind::Integer
        | Kind::Decimal
        | Kind::Float32
        | Kind::Float64
        | Kind::Boolean
        | Kind::Date
        | Kind::Time
        | Kind::Uuid
        | Kind::Json => Err(misfit(from, holder)),
    }
}

fn to_instant(
    values: &Series,
    from: SchemaType,
    fraction_digits: u8,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    match from.kind() {
        Kind::Instant => held_micros(values, fraction_digits, holder, Ok),
        Kind::Timestamp => {
            let zone = holder.zones.source.ok_or(Misfit::ZoneUnknown)?;
            converted_micros(values, fraction_digits, holder, |wall| {
                wall_to_instant(wall, zone)
            })
        }
        Kind::Text
        | Kind::Integer
        | Kind::Decimal
        | Kind::Float32
        | Kind::Float64
        | Kind::Boolean
        | Kind::Date
        | Kind::Time
        | Kind::Uuid
        | Kind::Json => Err(misfit(from, holder)),
    }
}

fn to_same_kind(
    values: &Series,
    from: SchemaType,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    if holder.holds.kind() == Some(from.kind()) {
        Ok(Converted::without_faults(values.clone()))
    } else {
        Err(misfit(from, holder))
    }
}

/// JSON for a column that keeps what it means instead of the text.
fn to_jsonb(values: &Series, from: SchemaType, holder: Holder<'_>) -> Result<Converted, Misfit> {
    let same = to_same_kind(values, from, holder)?;
    let faults = check(same.values.str()?.iter(), check_jsonb);
    Ok(Converted { faults, ..same })
}

/// Microseconds that stay what they are; copied only if their fractions are to be looked at.
fn held_micros(
    values: &Series,
    fraction_digits: u8,
    holder: Holder<'_>,
    keep: impl Fn(i64) -> Result<i64, String>,
) -> Result<Converted, Misfit> {
    if fraction_digits >= 6 {
        return Ok(Converted::without_faults(values.clone()));
    }
    converted_micros(values, fraction_digits, holder, keep)
}

fn converted_micros(
    values: &Series,
    fraction_digits: u8,
    holder: Holder<'_>,
    convert: impl Fn(i64) -> Result<i64, String>,
) -> Result<Converted, Misfit> {
    let moments = &values.datetime()?.phys;
    let held = |micros: i64| hold_fraction(convert(micros)?, 6, fraction_digits, holder);
    let (moments, faults) = numbers::<Int64Type, _, _>(values.name(), moments.iter(), held);
    Ok(Converted::kept(
        moments.into_datetime(TimeUnit::Microseconds, None),
        faults,
    ))
}

/// A moment, in a unit of `unit_digits` digits of a second, as a column of `fraction_digits` holds
/// it.
fn hold_fraction(
    moment: i64,
    unit_digits: u8,
    fraction_digits: u8,
    holder: Holder<'_>,
) -> Result<i64, String> {
    let step = 10_i64.pow(u32::from(unit_digits.saturating_sub(fraction_digits)));
    let surplus = moment.rem_euclid(step);
    match holder.fraction {
        Fraction::Exact if surplus != 0 => {
            let second = 10_i64.pow(u32::from(unit_digits));
            let digits = (1..=unit_digits).find(|digits| {
                moment.rem_euclid(second) % 10_i64.pow(u32::from(unit_digits - digits)) == 0
            });
            let digits = digits.unwrap_or(unit_digits);
            Err(format!(
                "{digits} digits of a second, {} holds {fraction_digits}",
                holder.declared
            ))
        }
        Fraction::Exact | Fraction::Cut => Ok(moment - surplus),
    }
}

fn integers_to_float(
    integers: &Int64Chunked,
    bits: u8,
    holder: Holder<'_>,
) -> Result<Converted, Misfit> {
    // Beyond these bounds a float skips whole numbers.
    let (bound, dtype) = if bits == 32 {
        (1_i128 << 24, DataType::Float32)
    } else {
        (1_i128 << 53, DataType::Float64)
    };
    let faults = check_range(integers, (-bound, bound), holder.declared);
    let faults = faults
        .into_iter()
        .map(|fault| Fault {
            reason: not_exactly_held(holder.declared),
            ..fault
        })
        .collect();
    Ok(Converted::kept(
        integers.clone().into_series().cast(&dtype)?,
        faults,
    ))
}

/// A number that reads back the same from its float's shortest text. With `safe_digits` significant
/// digits at most, in magnitudes up to `safe_magnitude`, every number does.
fn decimal_to_float<F>(
    text: &str,
    safe_digits: i64,
    safe_magnitude: i64,
    declared: &str,
) -> Result<F, String>
where
    F: std::str::FromStr + LowerExp + Copy,
{
    let decimal = Decimal::parse(text)?;
    let float = text.parse::<F>().map_err(|_| not_exactly_held(declared))?;
    if decimal.significant_digits() <= safe_digits && decimal.magnitude().abs() < safe_magnitude {
        return Ok(float);
    }
    match Decimal::parse(&format!("{float:e}")) {
        Ok(read_back) if read_back == decimal => Ok(float),
        Ok(_) | Err(_) => Err(not_exactly_held(declared)),
    }
}

fn doubles_to_singles(doubles: &Float64Chunked, holder: Holder<'_>) -> Result<Converted, Misfit> {
    let singles = doubles.clone().into_series().cast(&DataType::Float32)?;
    let single_values: &Float32Chunked = singles.f32()?;
    let pairs = doubles
        .iter()
        .zip(single_values.iter())
        .map(|(double, single)| double.zip(single));
    let is_same = |(double, single): (f64, f32)| match double.total_cmp(&f64::from(single)) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less | std::cmp::Ordering::Greater => {
            Err(not_exactly_held(holder.declared))
        }
    };
    let faults = check(pairs, is_same);
    Ok(Converted {
        values: singles,
        faults,
    })
}

/// Whether a database that keeps decimals as 64-bit floats, and whole numbers of 64 bits as such,
/// keeps this one.
fn check_kept_as_float(decimal: &Decimal<'_>) -> Result<(), String> {
    const DIGITS_MAX: i64 = 15;
    let is_short = decimal.significant_digits() <= DIGITS_MAX && decimal.magnitude().abs() < 307;
    let is_whole = || {
        decimal
            .to_i128()
            .and_then(|number| i64::try_from(number).ok())
            .is_some_and(is_held_by_double)
    };
    if is_short || is_whole() {
        return Ok(());
    }
    let digits = decimal.significant_digits();
    Err(format!(
        "{digits} significant digits, the destination keeps {DIGITS_MAX} of a decimal number"
    ))
}

/// Whether 53 binary digits are enough.
fn is_held_by_double(number: i64) -> bool {
    let magnitude = number.unsigned_abs();
    magnitude == 0 || 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() <= 53
}

fn check_text(
    text: &str,
    limit: Option<TextLimit>,
    repertoire: Repertoire,
    declared: &str,
) -> Result<(), String> {
    if !is_all_in_repertoire(text, repertoire) {
        return Err(outside_repertoire(text, repertoire));
    }
    match limit {
        Some(TextLimit::Characters(max)) => check_characters(text, max, declared),
        Some(TextLimit::Bytes(max)) => {
            let length = encoded_length(text, repertoire);
            let fits = u64::try_from(length).is_ok_and(|length| length <= max);
            if fits {
                Ok(())
            } else {
                Err(format!("{length} bytes, {declared} holds {max}"))
            }
        }
        None => Ok(()),
    }
}

/// Checks a text's length. A text with no more bytes than `max` has no more characters either.
pub(crate) fn check_characters(text: &str, max: u64, declared: &str) -> Result<(), String> {
    let fits = |length: usize| u64::try_from(length).is_ok_and(|length| length <= max);
    if fits(text.len()) {
        return Ok(());
    }
    let characters = text.chars().count();
    if fits(characters) {
        Ok(())
    } else {
        Err(format!("{characters} characters, {declared} holds {max}"))
    }
}

fn encoded_length(text: &str, repertoire: Repertoire) -> usize {
    match repertoire {
        Repertoire::Unicode { .. } | Repertoire::BasicPlane => text.len(),
        Repertoire::Latin1 | Repertoire::Ascii => text.chars().count(),
    }
}

/// Looks at bytes where they tell: most texts are plain, and there are many.
fn is_all_in_repertoire(text: &str, repertoire: Repertoire) -> bool {
    /// The least first byte of a character beyond U+FFFF in UTF-8.
    const FOUR_BYTES: u8 = 0xF0;
    match repertoire {
        Repertoire::Unicode { nul } => nul || !text.as_bytes().contains(&0),
        Repertoire::BasicPlane => text.bytes().all(|byte| byte < FOUR_BYTES),
        Repertoire::Latin1 => text.is_ascii() || text.chars().all(is_in_windows_1252),
        Repertoire::Ascii => text.is_ascii(),
    }
}

/// Tells the first character that a column's character set does not have.
fn outside_repertoire(text: &str, repertoire: Repertoire) -> String {
    let first = text
        .chars()
        .enumerate()
        .find(|(_, character)| !is_in_repertoire(*character, repertoire));
    match first {
        Some((position, '\0')) => format!(
            "character {} is a NUL, which the column cannot hold",
            position + 1
        ),
        Some((position, _)) => format!(
            "character {} is not in the column's character set",
            position + 1
        ),
        None => "a character is not in the column's character set".to_owned(),
    }
}

fn is_in_repertoire(character: char, repertoire: Repertoire) -> bool {
    match repertoire {
        Repertoire::Unicode { nul } => nul || character != '\0',
        Repertoire::BasicPlane => character <= '\u{FFFF}',
        Repertoire::Latin1 => is_in_windows_1252(character),
        Repertoire::Ascii => character.is_ascii(),
    }
}

/// MySQL's `latin1`: Windows-1252, with the five codes that it leaves open taken for the control
/// characters of the same number. Source:
/// <https://dev.mysql.com/doc/refman/8.4/en/charset-we-sets.html>.
fn is_in_windows_1252(character: char) -> bool {
    const ABOVE_LATIN_1: &str = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ\u{81}\u{8D}\u{8F}\u{90}\u{9D}";
    matches!(character, '\0'..='\u{7F}' | '\u{A0}'..='\u{FF}') || ABOVE_LATIN_1.contains(character)
}

/// Characters of the shortest text that a value of a type is written as; for types whose texts are
/// all about as long.
fn shortest_text(from: SchemaType) -> u64 {
    match from {
        SchemaType::Uuid => 36,
        SchemaType::Date => 10,
        SchemaType::Time => 8,
        SchemaType::Timestamp => 19,
        SchemaType::TimestampWithZone => 20,
        SchemaType::Boolean => 4,
        SchemaType::Text { .. }
        | SchemaType::Integer { .. }
        | SchemaType::Decimal { .. }
        | SchemaType::Float { .. }
        | SchemaType::Json => 0,
    }
}

/// Whether no text of type `from` needs to be looked at.
fn holds_every_text(from: SchemaType, limit: Option<TextLimit>, repertoire: Repertoire) -> bool {
    let is_plain = !matches!(from, SchemaType::Text { .. } | SchemaType::Json);
    let length_fits = match (limit, from) {
        (None, _) => true,
        (
            Some(TextLimit::Characters(max)),
            SchemaType::Text {
                characters_max: Some(characters),
            },
        ) => u64::from(characters) <= max,
        (Some(_), SchemaType::Uuid | SchemaType::Date) => true,
        (Some(TextLimit::Characters(_) | TextLimit::Bytes(_)), _) => false,
    };
    length_fits && (is_plain || matches!(repertoire, Repertoire::Unicode { nul: true }))
}

/// Whether no number of type `from` needs to be looked at.
fn holds_every_decimal(from: SchemaType, size: Option<DecimalSize>, as_float: bool) -> bool {
    let digits = match from {
        SchemaType::Integer { bits: 16 } => Some(DecimalSize {
            precision: 5,
            scale: 0,
        }),
        SchemaType::Integer { bits: 32 } => Some(DecimalSize {
            precision: 10,
            scale: 0,
        }),
        SchemaType::Integer { .. } => Some(DecimalSize {
            precision: 19,
            scale: 0,
        }),
        SchemaType::Decimal { size } => size,
        SchemaType::Text { .. }
        | SchemaType::Float { .. }
        | SchemaType::Boolean
        | SchemaType::Date
        | SchemaType::Time
        | SchemaType::Timestamp
        | SchemaType::TimestampWithZone
        | SchemaType::Uuid
        | SchemaType::Json => None,
    };
    let before = |size: DecimalSize| i32::from(size.precision) - i32::from(size.scale);
    let size_fits = size.is_none_or(|size| {
        digits.is_some_and(|digits| digits.scale <= size.scale && before(digits) <= before(size))
    });
    size_fits
        && (!as_float || digits.is_some_and(|digits| digits.precision <= 15 && digits.scale < 300))
}

fn misfit(from: SchemaType, holder: Holder<'_>) -> Misfit {
    Misfit::Type {
        from: from.to_string(),
        to: holder.declared.to_owned(),
        instead: instead(holder.holds),
    }
}

/// The schema type whose values a column takes without ado.
fn instead(holds: &Holds) -> Option<&'static str> {
    Some(match holds {
        Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_) => "VARCHAR",
        Holds::Integer { max, .. } if *max <= i128::from(i16::MAX) => "SMALLINT",
        Holds::Integer { max, .. } if *max <= i128::from(i32::MAX) => "INTEGER",
        Holds::Integer { .. } => "BIGINT",
        Holds::Decimal { .. } | Holds::DecimalAsFloat { .. } => "DECIMAL",
        Holds::Float { bits: 32 } => "REAL",
        Holds::Float { .. } => "DOUBLE PRECISION",
        Holds::Boolean => "BOOLEAN",
        Holds::Date => "DATE",
        Holds::Time { .. } => "TIME",
        Holds::Timestamp { .. } => "TIMESTAMP",
        Holds::Instant { .. } => "TIMESTAMP WITH TIME ZONE",
        Holds::Uuid => "UUID",
        Holds::Json => "JSON",
        Holds::Unsupported => return None,
    })
}

fn decimal_size(size: Option<(u16, u16)>) -> Option<DecimalSize> {
    size.map(|(precision, scale)| DecimalSize { precision, scale })
}

fn outside(declared: &str, min: i128, max: i128) -> String {
    format!("outside the range of {declared}, {min} to {max}")
}

fn not_exactly_held(declared: &str) -> String {
    format!("{declared} cannot hold it exactly")
}

fn always<V>(write: impl Fn(V, &mut String)) -> impl Fn(V, &mut String) -> Result<(), String> {
    move |value, out| {
        write(value, out);
        Ok(())
    }
}

fn write_display(value: impl Display, out: &mut String) {
    write!(out, "{value}").expect("writing to a String cannot fail");
}

fn write_float(value: impl Display + LowerExp, magnitude: f64, out: &mut String) {
    let is_plain = magnitude.abs() < 1e16
        && (magnitude.abs() >= 1e-5 || magnitude.abs().total_cmp(&0.0).is_eq());
    if is_plain {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    }
    .expect("writing to a String cannot fail");
}

fn write_float_as_decimal<F: LowerExp>(value: F, out: &mut String) -> Result<(), String> {
    let shortest = format!("{value:e}");
    Decimal::parse(&shortest)?.write(None, out);
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::float_cmp, reason = "tests may")]
mod tests;
