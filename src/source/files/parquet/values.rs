//! Values of one column being gathered, exactly: bytes as Parquet stores them in, a column of
//! polars out.

use polars::prelude::{
    BinaryChunked, BooleanChunked, ChunkFullNull, Float32Chunked, Float64Chunked, Int32Chunked,
    Int64Chunked, Int128Chunked, IntoSeries, NewChunkedArray, PlSmallStr, Series, StringChunked,
    TimeUnit, TimeZone, UInt32Chunked, UInt64Chunked,
};
use uuid::Uuid;

use super::kind::{Column, Kind, Physical, Unit};

/// Days from the beginning of the Julian count to 1970-01-01.
const JULIAN_DAY_OF_EPOCH: i64 = 2_440_588;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;

const NANOS_PER_MICRO: i128 = 1_000;

/// Values of one column, of one kind.
#[derive(Debug)]
pub(super) struct Gathered {
    column: Column,
    values: Values,
    /// Bytes they take, roughly.
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum Values {
    Booleans(Vec<Option<bool>>),
    Int32(Vec<Option<i32>>),
    UInt32(Vec<Option<u32>>),
    Int64(Vec<Option<i64>>),
    UInt64(Vec<Option<u64>>),
    Int128(Vec<Option<i128>>),
    Float32(Vec<Option<f32>>),
    Float64(Vec<Option<f64>>),
    Texts {
        bytes: Vec<u8>,
        places: Vec<Option<(usize, usize)>>,
    },
    Nothing {
        count: usize,
    },
}

impl Gathered {
    pub(super) fn new(column: Column, capacity: usize) -> Self {
        let values = match column.kind {
            Kind::Boolean => Values::Booleans(Vec::with_capacity(capacity)),
            Kind::Int32 { .. } | Kind::Date => Values::Int32(Vec::with_capacity(capacity)),
            Kind::UInt32 => Values::UInt32(Vec::with_capacity(capacity)),
            Kind::Int64 | Kind::Time(_) | Kind::Timestamp { .. } => {
                Values::Int64(Vec::with_capacity(capacity))
            }
            Kind::UInt64 => Values::UInt64(Vec::with_capacity(capacity)),
            Kind::Int128 | Kind::Decimal { .. } | Kind::Int96 => {
                Values::Int128(Vec::with_capacity(capacity))
            }
            Kind::Float16 | Kind::Float32 => Values::Float32(Vec::with_capacity(capacity)),
            Kind::Float64 => Values::Float64(Vec::with_capacity(capacity)),
            Kind::Text | Kind::Uuid => Values::Texts {
                bytes: Vec::new(),
                places: Vec::with_capacity(capacity),
            },
            Kind::Nothing => Values::Nothing { count: 0 },
        };
        Self {
            column,
            values,
            bytes: 0,
        }
    }

    /// Takes one value as it is stored.
    /// Errors: in words, for a value that its type does not have.
    pub(super) fn push(&mut self, value: Option<&[u8]>) -> Result<(), String> {
        self.bytes += 16;
        match &mut self.values {
            Values::Booleans(values) => values.push(value.map(|bytes| bytes.first() != Some(&0))),
            Values::Int32(values) => {
                values.push(value.map(fixed).transpose()?.map(i32::from_le_bytes))
            }
            Values::UInt32(values) => {
                values.push(value.map(fixed).transpose()?.map(u32::from_le_bytes))
            }
            Values::Int64(values) => values.push(
                value
                    .map(|bytes| int64(self.column.kind, bytes))
                    .transpose()?,
            ),
            Values::UInt64(values) => {
                values.push(value.map(fixed).transpose()?.map(u64::from_le_bytes))
            }
            Values::Int128(values) => {
                values.push(value.map(|bytes| int128(self.column, bytes)).transpose()?)
            }
            Values::Float32(values) => values.push(
                value
                    .map(|bytes| float32(self.column.kind, bytes))
                    .transpose()?,
            ),
            Values::Float64(values) => {
                values.push(value.map(fixed).transpose()?.map(f64::from_le_bytes))
            }
            Values::Texts { bytes, places } => {
                let begin = bytes.len();
                let mut spelled = Uuid::encode_buffer();
                let text = match (self.column.kind, value) {
                    (Kind::Uuid, Some(value)) => Some(
                        Uuid::from_bytes(fixed(value)?)
                            .as_hyphenated()
                            .encode_lower(&mut spelled)
                            .as_bytes(),
                    ),
                    (_, value) => value,
                };
                bytes.extend_from_slice(text.unwrap_or_default());
                self.bytes += bytes.len() - begin;
                places.push(text.map(|_| (begin, bytes.len())));
            }
            Values::Nothing { count } => *count += 1,
        }
        Ok(())
    }

    /// The values as a column. Texts that are not all UTF-8 come as bytes, so that who judges
    /// values rejects those records; likewise instants finer than microseconds keep their
    /// nanoseconds.
    pub(super) fn finish(self, name: PlSmallStr) -> Result<Series, String> {
        Ok(match (self.values, self.column.kind) {
            (Values::Booleans(values), _) => {
                BooleanChunked::from_iter_options(name, values.into_iter()).into_series()
            }
            (Values::Int32(values), Kind::Date) => {
                Int32Chunked::from_iter_options(name, values.into_iter())
                    .into_date()
                    .into_series()
            }
            (Values::Int32(values), _) => {
                Int32Chunked::from_iter_options(name, values.into_iter()).into_series()
            }
            (Values::UInt32(values), _) => {
                UInt32Chunked::from_iter_options(name, values.into_iter()).into_series()
            }
            (Values::Int64(values), kind) => {
                let values = Int64Chunked::from_iter_options(name, values.into_iter());
                if let Kind::Timestamp { unit, instant } = kind {
                    values
                        .into_datetime(unit.time_unit(), instant.then_some(TimeZone::UTC))
                        .into_series()
                } else if matches!(kind, Kind::Time(_)) {
                    values.into_time().into_series()
                } else {
                    values.into_series()
                }
            }
            (Values::UInt64(values), _) => {
                UInt64Chunked::from_iter_options(name, values.into_iter()).into_series()
            }
            (Values::Int128(values), Kind::Int96) => moments(name, &values)?,
            (Values::Int128(values), kind) => {
                let values = Int128Chunked::from_iter_options(name, values.into_iter());
                if let Kind::Decimal { precision, scale } = kind {
                    values
                        .into_decimal_unchecked(precision, scale)
                        .into_series()
                } else {
                    values.into_series()
                }
            }
            (Values::Float32(values), _) => {
                Float32Chunked::from_iter_options(name, values.into_iter()).into_series()
            }
            (Values::Float64(values), _) => {
                Float64Chunked::from_iter_options(name, values.into_iter()).into_series()
            }
            (Values::Texts { bytes, places }, _) => texts(name, &bytes, &places),
            (Values::Nothing { count }, _) => StringChunked::full_null(name, count).into_series(),
        })
    }
}

fn texts(name: PlSmallStr, bytes: &[u8], places: &[Option<(usize, usize)>]) -> Series {
    let pieces = || {
        places
            .iter()
            .map(|place| place.and_then(|(begin, end)| bytes.get(begin..end)))
    };
    let texts: Option<Vec<Option<&str>>> = pieces()
        .map(|piece| piece.map(std::str::from_utf8).transpose().ok())
        .collect();
    match texts {
        Some(texts) => StringChunked::from_iter_options(name, texts.into_iter()).into_series(),
        None => BinaryChunked::from_iter_options(name, pieces()).into_series(),
    }
}

/// Wall-clock times of Impala and Spark, in nanoseconds since 1970: years of four digits need more
/// than 64 bits.
fn moments(name: PlSmallStr, nanos: &[Option<i128>]) -> Result<Series, String> {
    let is_whole = nanos
        .iter()
        .flatten()
        .all(|nanos| nanos % NANOS_PER_MICRO == 0);
    let (divisor, unit) = if is_whole {
        (NANOS_PER_MICRO, TimeUnit::Microseconds)
    } else {
        (1, TimeUnit::Nanoseconds)
    };
    let narrow = |nanos: i128| {
        i64::try_from(nanos / divisor).map_err(|_| "a time is too far away".to_owned())
    };
    let values: Vec<Option<i64>> = nanos
        .iter()
        .map(|nanos| nanos.map(narrow).transpose())
        .collect::<Result<_, _>>()?;
    Ok(Int64Chunked::from_iter_options(name, values.into_iter())
        .into_datetime(unit, None)
        .into_series())
}

fn fixed<const LENGTH: usize>(bytes: &[u8]) -> Result<[u8; LENGTH], String> {
    bytes.try_into().map_err(|_| {
        format!(
            "a value has {} bytes where its type has {LENGTH}",
            bytes.len()
        )
    })
}

fn int64(kind: Kind, bytes: &[u8]) -> Result<i64, String> {
    let Kind::Time(unit) = kind else {
        return Ok(i64::from_le_bytes(fixed(bytes)?));
    };
    let count = match unit {
        Unit::Millis => i64::from(i32::from_le_bytes(fixed(bytes)?)),
        Unit::Micros | Unit::Nanos => i64::from_le_bytes(fixed(bytes)?),
    };
    let nanos = count
        .checked_mul(unit.nanos())
        .filter(|nanos| (0..NANOS_PER_DAY).contains(nanos));
    nanos.ok_or_else(|| "a time of day is not within the day".to_owned())
}

fn int128(column: Column, bytes: &[u8]) -> Result<i128, String> {
    match (column.kind, column.physical) {
        (Kind::Int96, _) => {
            let bytes: [u8; 12] = fixed(bytes)?;
            let [nanos @ .., a, b, c, d] = bytes;
            let day = i64::from(u32::from_le_bytes([a, b, c, d])) - JULIAN_DAY_OF_EPOCH;
            Ok(i128::from(day) * i128::from(NANOS_PER_DAY) + i128::from(i64::from_le_bytes(nanos)))
        }
        (Kind::Int128, _) => Ok(i128::from_le_bytes(fixed(bytes)?)),
        (_, Physical::Int32) => Ok(i128::from(i32::from_le_bytes(fixed(bytes)?))),
        (_, Physical::Int64) => Ok(i128::from(i64::from_le_bytes(fixed(bytes)?))),
        (_, _) => unscaled(bytes),
    }
}

/// A decimal's digits as an integer, the highest byte first.
fn unscaled(bytes: &[u8]) -> Result<i128, String> {
    let (head, tail) = bytes.split_at(bytes.len().saturating_sub(16));
    let fill = if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        0xFF
    } else {
        0
    };
    let sign_fits = tail
        .first()
        .is_none_or(|first| (first & 0x80 != 0) == (fill == 0xFF));
    if head.iter().any(|byte| *byte != fill) || !sign_fits {
        return Err("a decimal has more than 38 digits".to_owned());
    }
    let mut wide = [fill; 16];
    for (place, byte) in wide.iter_mut().rev().zip(tail.iter().rev()) {
        *place = *byte;
    }
    Ok(i128::from_be_bytes(wide))
}

fn float32(kind: Kind, bytes: &[u8]) -> Result<f32, String> {
    if kind == Kind::Float16 {
        return Ok(half(u16::from_le_bytes(fixed(bytes)?)));
    }
    Ok(f32::from_le_bytes(fixed(bytes)?))
}

/// A number of 16 bits; each is one of 32 as well.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (
        u32::from(bits >> 15) << 31,
        u32::from(bits >> 10) & 0x1F,
        u32::from(bits) & 0x3FF,
    );
    match exponent {
        // Too small for an exponent: so many times 2⁻²⁴.
        0 => f32::from(bits & 0x3FF) * 2_f32.powi(-24) * if sign == 0 { 1.0 } else { -1.0 },
        31 => f32::from_bits(sign | 0x7F80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::float_cmp, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length_keep_their_sign() {
        for (bytes, expected) in [
            (&[][..], 0),
            (&[0x7F], 127),
            (&[0xFF, 0x7F], -129),
            (&[0xFF; 20], -1),
            (&[0; 17], 0),
            (
                &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                i128::MIN,
            ),
        ] {
            assert_eq!(unscaled(bytes), Ok(expected));
        }
        assert!(unscaled(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(unscaled(&[0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn half_floats_are_floats() {
        for (bits, expected) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x0400, 2_f32.powi(-14)),
            (0x0001, 2_f32.powi(-24)),
            (0x8001, -2_f32.powi(-24)),
            (0x7C00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), expected);
        }
        assert!(half(0x7E00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }

    #[test]
    fn moments_far_away_and_fine_ones_are_exact() {
        let int96 = |day: u32, nanos: u64| {
            let bytes = [&nanos.to_le_bytes()[..], &day.to_le_bytes()].concat();
            int128(
                Column {
                    physical: Physical::Int96,
                    kind: Kind::Int96,
                },
                &bytes,
            )
            .unwrap()
        };
        assert_eq!(int96(2_440_588, 1_000), 1_000);
        // 9999-12-31, which 64 bits of nanoseconds do not reach.
        let far = moments("t".into(), &[Some(int96(5_373_484, 0)), None]).unwrap();
        assert_eq!(
            far.datetime().unwrap().phys.get(0),
            Some(253_402_214_400_000_000)
        );
        let fine = moments("t".into(), &[Some(1)]).unwrap();
        assert_eq!(fine.datetime().unwrap().time_unit(), TimeUnit::Nanoseconds);
    }
}
