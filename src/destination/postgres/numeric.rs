//! Decimals as the server receives them: groups of four digits instead of a text that it would have
//! to read. Source: `numeric_recv` in `src/backend/utils/adt/numeric.c`.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

/// `numeric` and `numeric[]` in `src/include/catalog/pg_type.dat`.
const NUMERIC: Oid = Oid(1_700);
const NUMERIC_ARRAY: Oid = Oid(1_231);

/// Digits to a group.
const GROUP: usize = 4;

/// Marks a number below zero.
const NEGATIVE: u16 = 0x4000;

/// A decimal as canonical text, `-?digits[.digits]`; its last zeros are kept.
pub(super) struct Numeric<'a>(pub(super) &'a str);

impl Type<Postgres> for Numeric<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(NUMERIC)
    }
}

impl PgHasArrayType for Numeric<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(NUMERIC_ARRAY)
    }
}

impl Encode<'_, Postgres> for Numeric<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        encode(self.0, buffer)?;
        Ok(IsNull::No)
    }
}

/// Errors: if the text is no decimal, or has more digits than a `numeric` holds.
fn encode(text: &str, buffer: &mut Vec<u8>) -> Result<(), BoxDynError> {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or((0, text), |digits| (NEGATIVE, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole_groups, fraction_groups) =
        (whole.len().div_ceil(GROUP), fraction.len().div_ceil(GROUP));
    buffer.extend(i16::try_from(whole_groups + fraction_groups)?.to_be_bytes());
    // Of the first group, as a power of ten thousand.
    buffer.extend((i16::try_from(whole_groups)? - 1).to_be_bytes());
    buffer.extend(sign.to_be_bytes());
    buffer.extend(i16::try_from(fraction.len())?.to_be_bytes());
    let (first, others) = whole.as_bytes().split_at(whole.len() % GROUP);
    let whole = std::iter::once(first)
        .filter(|first| !first.is_empty())
        .chain(others.chunks(GROUP));
    for group in whole {
        buffer.extend(value(group, group.len())?.to_be_bytes());
    }
    for group in fraction.as_bytes().chunks(GROUP) {
        buffer.extend(value(group, GROUP)?.to_be_bytes());
    }
    Ok(())
}

/// A group's value, with zeros behind its digits up to `length`.
fn value(group: &[u8], length: usize) -> Result<u16, BoxDynError> {
    let zeros = std::iter::repeat_n(&b'0', length.saturating_sub(group.len()));
    group
        .iter()
        .chain(zeros)
        .try_fold(0, |value, digit| match digit {
            b'0'..=b'9' => Ok(value * 10 + u16::from(digit - b'0')),
            _ => Err("not a decimal".into()),
        })
}

/// Whether a number as the server sends it is surely this decimal. How many digits it is shown with
/// makes it no other. `encoded` is room for it.
pub(super) fn is_held(text: &str, held: &[u8], encoded: &mut Vec<u8>) -> bool {
    encoded.clear();
    encode(text, encoded).is_ok() && parts(encoded).is_some_and(|sent| parts(held) == Some(sent))
}

/// Weight of the first group, sign, and the groups without those of zeros at either end.
fn parts(encoded: &[u8]) -> Option<(i32, &[u8], &[u8])> {
    let (count, rest) = encoded.split_first_chunk::<2>()?;
    let (weight, rest) = rest.split_first_chunk::<2>()?;
    let (sign, rest) = rest.split_first_chunk::<2>()?;
    let (_scale, mut groups) = rest.split_first_chunk::<2>()?;
    if groups.len() != 2 * usize::from(u16::from_be_bytes(*count)) {
        return None;
    }
    let mut weight = i32::from(i16::from_be_bytes(*weight));
    while let Some(others) = groups.strip_prefix(&[0, 0]) {
        groups = others;
        weight -= 1;
    }
    while groups.len() >= 2 && groups.ends_with(&[0, 0]) {
        groups = groups.get(..groups.len() - 2)?;
    }
    Some(match groups.is_empty() {
        true => (0, sign, groups),
        false => (weight, sign, groups),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_whatever_zeros_it_is_shown_with() {
        let is_held = |text: &str, held: &[u8]| is_held(text, held, &mut Vec::new());
        let held = |text: &str| {
            let mut bytes = Vec::new();
            encode(text, &mut bytes).expect("a decimal");
            bytes
        };
        for (left, right) in [
            ("87.5", "87.50"),
            ("0", "0.0000"),
            ("0.00001", "0.000010"),
            ("10000", "10000.00"),
            ("-12.5", "-12.5"),
        ] {
            assert!(is_held(left, &held(right)), "{left} {right}");
            assert!(is_held(right, &held(left)), "{right} {left}");
        }
        for (left, right) in [
            ("1", "10000"),
            ("1", "0.0001"),
            ("1", "-1"),
            ("1.05", "1.5"),
            ("10001", "1.0001"),
        ] {
            assert!(!is_held(left, &held(right)), "{left} {right}");
        }
        assert!(!is_held("1", &[]));
        assert!(!is_held("0", &[0, 0, 0, 0, 0xC0, 0, 0, 0]), "NaN");
    }

    /// Weight, sign, scale and groups, as the protocol has them.
    fn encoded(text: &str) -> Result<(i16, u16, i16, Vec<i16>), BoxDynError> {
        let mut buffer = Vec::new();
        encode(text, &mut buffer)?;
        let words: Vec<i16> = buffer
            .chunks(2)
            .map(|word| i16::from_be_bytes(word.try_into().expect("two bytes")))
            .collect();
        let [count, weight, sign, scale, groups @ ..] = words.as_slice() else {
            panic!("a head of four words")
        };
        assert_eq!(
            usize::try_from(*count).expect("a count"),
            groups.len(),
            "{text}"
        );
        Ok((*weight, sign.cast_unsigned(), *scale, groups.to_vec()))
    }

    #[test]
    fn digits_are_grouped_around_the_point() {
        let cases = [
            ("0", (0, 0, 0, vec![0])),
            ("7", (0, 0, 0, vec![7])),
            ("-12.5", (0, NEGATIVE, 1, vec![12, 5_000])),
            ("12.50", (0, 0, 2, vec![12, 5_000])),
            ("9999", (0, 0, 0, vec![9_999])),
            ("10000", (1, 0, 0, vec![1, 0])),
            ("1234567.00012", (1, 0, 5, vec![123, 4_567, 1, 2_000])),
            ("0.00001", (0, 0, 5, vec![0, 0, 1_000])),
        ];
        for (text, expected) in cases {
            assert_eq!(encoded(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["1e5", "NaN", "+1", "1.2.3", "١"] {
            assert!(encoded(text).is_err(), "{text}");
        }
        assert!(
            encoded(&"9".repeat(200_000)).is_err(),
            "more digits than a numeric holds"
        );
    }
}
