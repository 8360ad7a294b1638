//! Decimal numbers as text: read from any usual spelling, compared, shifted and written without
//! losing a digit. No number type in between: the digits stay where they were written.

use std::cmp::Ordering;

use super::schema::DecimalSize;

/// Largest power of ten, up or down, that an exponent may name. A 64-bit float needs 324; more than
/// this would let a few characters grow into gigabytes of zeros.
const EXPONENT_MAX: i64 = 1_000;

/// A decimal number, borrowed from the text that spells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    /// Digits before the point as written.
    whole: &'a str,
    /// Digits after the point as written.
    fraction: &'a str,
    /// Positions, in `whole` and `fraction` put together, of the first digit that is not zero and
    /// behind the last; equal if the number is zero.
    first: i64,
    end: i64,
    /// Position of the point, the exponent counted in. It may lie outside the digits.
    point: i64,
}

/// Why a text is not a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDecimal {
    #[error("not a number")]
    NotNumber,
    #[error("NaN cannot be written")]
    NotANumberValue,
    #[error("an infinite number cannot be written")]
    Infinite,
    #[error("its exponent is beyond {EXPONENT_MAX}")]
    ExponentTooLarge,
}

impl From<NotDecimal> for String {
    fn from(fault: NotDecimal) -> Self {
        fault.to_string()
    }
}

impl<'a> Decimal<'a> {
    /// Reads a sign, digits, a point and an exponent, of which only one digit must be there: `-12`,
    /// `+.5`, `1e-7`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, NotDecimal> {
        let (negative, unsigned) = split_sign(text);
        let (mantissa, exponent) = match split_at(unsigned, |byte| matches!(byte, b'e' | b'E')) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let point = split_at(mantissa, |byte| byte == b'.');
        let (whole, fraction) = point.unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return Err(not_decimal(unsigned));
        }
        let (first, end) = significant(whole, fraction);
        let exponent = match exponent.map_or(Ok(0), parse_exponent) {
            // Zero stays zero, whatever power of ten it is taken times.
            Err(NotDecimal::ExponentTooLarge) if first == end => 0,
            exponent => exponent?,
        };
        Ok(Self {
            negative,
            whole,
            fraction,
            first,
            end,
            point: signed(whole.len()) + exponent,
        })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.first == self.end
    }

    /// Digits from the first to the last that is not zero.
    pub(crate) fn significant_digits(&self) -> i64 {
        self.end - self.first
    }

    /// Position of the point behind the first significant digit: 2 for 12.5, 0 for 0.12, -1 for
    /// 0.012.
    pub(crate) fn magnitude(&self) -> i64 {
        if self.is_zero() {
            0
        } else {
            self.point - self.first
        }
    }

    /// Digits after the point, trailing zeros not counted.
    pub(crate) fn fraction_digits(&self) -> i64 {
        if self.is_zero() {
            0
        } else {
            (self.end - self.point).max(0)
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.fraction_digits() == 0
    }

    /// The number itself, if it is whole and 128 bits hold it.
    pub(crate) fn to_i128(self) -> Option<i128> {
        if !self.is_whole() || self.magnitude() > 39 {
            return None;
        }
        let place = |value: i128, at: i64| {
            value
                .checked_mul(10)?
                .checked_sub(i128::from(self.digit(at) - b'0'))
        };
        // Summed up below zero, where 128 bits reach one further.
        let below = (self.first..self.first + self.magnitude()).try_fold(0_i128, place)?;
        if self.negative {
            Some(below)
        } else {
            below.checked_neg()
        }
    }

    /// The number times ten to the power of `places`.
    pub(crate) fn shifted(self, places: i64) -> Self {
        Self {
            point: self.point + places,
            ..self
        }
    }

    /// Checks that `size` holds the number to the digit.
    /// Errors: which digits are too many for `holder`, the type or column of that size.
    pub(crate) fn check_size(&self, size: DecimalSize, holder: &str) -> Result<(), String> {
        let (scale, before_max) = (
            i64::from(size.scale),
            i64::from(size.precision) - i64::from(size.scale),
        );
        if self.fraction_digits() > scale {
            return Err(format!(
                "{} after the point, {holder} holds {scale}",
                digits(self.fraction_digits())
            ));
        }
        if self.is_zero() || self.magnitude() <= before_max {
            return Ok(());
        }
        match before_max {
            0.. => Err(format!(
                "{} before the point, {holder} holds {before_max}",
                digits(self.magnitude().max(0))
            )),
            ..0 => Err(format!("too large for {holder}")),
        }
    }

    /// Writes canonical text: `-?digits[.digits]`, no leading zeros but one before a point, never
    /// `-0`; with exactly `scale` digits after the point, which must be enough, or without trailing
    /// zeros.
    pub(crate) fn write(&self, scale: Option<u16>, out: &mut String) {
        if self.negative && !self.is_zero() {
            out.push('-');
        }
        if self.magnitude() <= 0 {
            out.push('0');
        } else {
            self.push_digits(self.first, self.point, out);
        }
        let fraction_digits = scale.map_or(self.fraction_digits(), i64::from);
        if fraction_digits > 0 {
            out.push('.');
            // Zero may have its point anywhere; its digits are zeros all the same.
            self.push_digits(self.point, self.point + fraction_digits, out);
        }
    }

    /// The digit at a position; zero outside the significant ones.
    fn digit(&self, at: i64) -> u8 {
        let significant = (self.first..self.end).contains(&at);
        let written = |index: usize| match index.checked_sub(self.whole.len()) {
            None => self.whole.as_bytes().get(index).copied(),
            Some(index) => self.fraction.as_bytes().get(index).copied(),
        };
        usize::try_from(at)
            .ok()
            .filter(|_| significant)
            .and_then(written)
            .unwrap_or(b'0')
    }

    fn push_digits(&self, from: i64, to: i64, out: &mut String) {
        let (written_from, written_to) = (
            from.clamp(self.first, self.end),
            to.clamp(self.first, self.end),
        );
        push_zeros(written_from.min(to) - from, out);
        let (start, end) = (index(written_from), index(written_to));
        let whole_length = self.whole.len();
        out.push_str(
            self.whole
                .get(start.min(whole_length)..end.min(whole_length))
                .unwrap_or_default(),
        );
        let fraction = start.saturating_sub(whole_length)..end.saturating_sub(whole_length);
        out.push_str(self.fraction.get(fraction).unwrap_or_default());
        push_zeros(to - written_to.max(from), out);
    }

    fn compare_magnitudes(&self, other: &Self) -> Ordering {
        let by_magnitude = self.magnitude().cmp(&other.magnitude());
        let digit_count = self.significant_digits().max(other.significant_digits());
        let digits = |number: &Self, count: i64| {
            let number = *number;
            (0..count).map(move |index| number.digit(number.first + index))
        };
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                by_magnitude.then_with(|| digits(self, digit_count).cmp(digits(other, digit_count)))
            }
        }
    }
}

/// Numbers compare by value: `1.50` equals `15e-1`, and zero has no sign.
impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let is_below_zero = |number: &Self| number.negative && !number.is_zero();
        match (is_below_zero(self), is_below_zero(other)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.compare_magnitudes(other),
            (true, true) => other.compare_magnitudes(self),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

/// Whether `text` already is what [`Decimal::write`] would make of it, and fits `size`. Most texts
/// are, so this comes first: it decides whether a whole column may stay as it is.
pub(crate) fn is_canonical(text: &str, size: Option<DecimalSize>) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let whole_length = unsigned
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (whole, rest) = unsigned.split_at(whole_length);
    let fraction = match rest {
        [] => rest,
        [b'.', fraction @ ..]
            if !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit) =>
        {
            fraction
        }
        _ => return false,
    };
    let is_zero = || whole == b"0" && fraction.iter().all(|digit| *digit == b'0');
    let is_plain = match whole {
        [] => false,
        [b'0'] => unsigned.len() == text.len() || !is_zero(),
        [first, ..] => *first != b'0',
    };
    let fits = match size {
        None => fraction.last() != Some(&b'0'),
        Some(DecimalSize { precision, scale }) => {
            let whole_digits = if whole == b"0" { 0 } else { whole.len() };
            // A scale beyond the precision leaves no plain digit before the point, and some after
            // it must be zero.
            scale <= precision
                && fraction.len() == usize::from(scale)
                && whole_digits <= usize::from(precision - scale)
        }
    };
    is_plain && fits
}

/// What stands before and after the first such character of ASCII.
fn split_at(text: &str, is_it: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let at = text.bytes().position(is_it)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn not_decimal(unsigned: &str) -> NotDecimal {
    let is = |word: &str| unsigned.eq_ignore_ascii_case(word);
    if is("nan") {
        NotDecimal::NotANumberValue
    } else if is("inf") || is("infinity") {
        NotDecimal::Infinite
    } else {
        NotDecimal::NotNumber
    }
}

/// Positions of the first digit that is not zero and behind the last; `(0, 0)` if there is none.
fn significant(whole: &str, fraction: &str) -> (i64, i64) {
    let digits = || whole.bytes().chain(fraction.bytes());
    let leading = digits().take_while(|digit| *digit == b'0').count();
    let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
    let all = whole.len() + fraction.len();
    if leading == all {
        (0, 0)
    } else {
        (signed(leading), signed(all - trailing))
    }
}

fn parse_exponent(text: &str) -> Result<i64, NotDecimal> {
    let (negative, unsigned) = split_sign(text);
    if unsigned.is_empty() || !are_digits(unsigned) {
        return Err(NotDecimal::NotNumber);
    }
    match unsigned.parse::<i64>() {
        Ok(exponent) if exponent <= EXPONENT_MAX => Ok(if negative { -exponent } else { exponent }),
        Ok(_) | Err(_) => Err(NotDecimal::ExponentTooLarge),
    }
}

/// A length as a position. No text is longer than 64 signed bits can tell.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// A position among written digits as an index.
fn index(position: i64) -> usize {
    usize::try_from(position).unwrap_or_default()
}

fn push_zeros(count: i64, out: &mut String) {
    out.extend(std::iter::repeat_n('0', index(count)));
}

fn digits(count: i64) -> String {
    if count == 1 {
        "1 digit".to_owned()
    } else {
        format!("{count} digits")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, scale: Option<u16>) -> String {
        let mut out = String::new();
        Decimal::parse(text).unwrap().write(scale, &mut out);
        out
    }

    fn size(precision: u16, scale: u16) -> DecimalSize {
        DecimalSize { precision, scale }
    }

    #[test]
    fn every_spelling_has_one_canonical_text() {
        let spellings = [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0"),
            ("+7", "7"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e-7", "0.0000001"),
            ("1.5E3", "1500"),
            ("-12.340", "-12.34"),
            ("100", "100"),
            ("0.010", "0.01"),
            ("1234e-2", "12.34"),
            ("0e999999999999999999999", "0"),
            ("1200e-1", "120"),
        ];
        for (spelling, canonical) in spellings {
            assert_eq!(written(spelling, None), canonical, "{spelling}");
            assert!(is_canonical(canonical, None), "{canonical}");
        }
    }

    #[test]
    fn a_scale_is_kept_to_the_digit() {
        let spellings = [
            ("87.5", "87.50"),
            ("0", "0.00"),
            ("-0.000", "0.00"),
            ("1e-2", "0.01"),
            ("5e1", "50.00"),
        ];
        for (spelling, canonical) in spellings {
            assert_eq!(written(spelling, Some(2)), canonical, "{spelling}");
            assert!(is_canonical(canonical, Some(size(5, 2))), "{canonical}");
        }
    }

    #[test]
    fn what_is_no_number_says_so() {
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "1.2.3", "12a", " 1", "1 ", "--1", "0x10", "1,5", "१",
            "1e5.0",
        ] {
            assert_eq!(
                Decimal::parse(text).unwrap_err(),
                NotDecimal::NotNumber,
                "{text}"
            );
        }
        assert_eq!(
            Decimal::parse("-NaN").unwrap_err(),
            NotDecimal::NotANumberValue
        );
        assert_eq!(
            Decimal::parse("Infinity").unwrap_err(),
            NotDecimal::Infinite
        );
        assert_eq!(
            Decimal::parse("1e1001").unwrap_err(),
            NotDecimal::ExponentTooLarge
        );
    }

    #[test]
    fn a_size_holds_its_digits_and_no_more() {
        let check = |text: &str, size| Decimal::parse(text).unwrap().check_size(size, "D");
        assert_eq!(check("999.99", size(5, 2)), Ok(()));
        assert_eq!(check("0.5000", size(5, 2)), Ok(()));
        assert_eq!(
            check("0.123", size(5, 2)),
            Err("3 digits after the point, D holds 2".to_owned())
        );
        assert_eq!(
            check("1000", size(5, 2)),
            Err("4 digits before the point, D holds 3".to_owned())
        );
        assert_eq!(check("0.00123", size(3, 5)), Ok(()));
        assert_eq!(check("0.01", size(3, 5)), Err("too large for D".to_owned()));
        assert_eq!(check("0", size(3, 5)), Ok(()));
        assert_eq!(check("1", size(3, 5)), Err("too large for D".to_owned()));
    }

    #[test]
    fn whole_numbers_fit_128_bits_or_do_not() {
        let whole = |text: &str| Decimal::parse(text).unwrap().to_i128();
        assert_eq!(
            whole("-170141183460469231731687303715884105728"),
            Some(i128::MIN)
        );
        assert_eq!(whole("170141183460469231731687303715884105728"), None);
        assert_eq!(whole("1.20e2"), Some(120));
        assert_eq!(whole("0.0"), Some(0));
        assert_eq!(whole("0.5"), None);
        assert_eq!(whole("1e900"), None);
    }

    #[test]
    fn a_thousand_digits_keep_every_one() {
        let long = format!("1{}.{}3", "0".repeat(2_000), "7".repeat(2_000));
        assert_eq!(written(&long, None), long);
        assert!(is_canonical(&long, None));
    }

    proptest! {
        /// The model: an integer of so many hundred-thousandths.
        #[test]
        fn decimals_agree_with_integers_of_a_small_unit(left in -10_000_000_000_i64.., right: i64, exponent in -20_i64..20) {
            let spell = |units: i64| format!("{units}e{exponent}");
            let (left_text, right_text) = (spell(left), spell(right));
            let (left_decimal, right_decimal) = (Decimal::parse(&left_text).unwrap(), Decimal::parse(&right_text).unwrap());
            prop_assert_eq!(left_decimal.cmp(&right_decimal), left.cmp(&right));
            let canonical = written(&left_text, None);
            prop_assert!(is_canonical(&canonical, None));
            prop_assert_eq!(Decimal::parse(&canonical).unwrap(), left_decimal);
            prop_assert_eq!(left_decimal.shifted(-exponent).to_i128(), Some(i128::from(left)));
        }

        #[test]
        fn canonical_text_is_its_own(text in "[-+]?[0-9]{0,6}(\\.[0-9]{0,6})?(e-?[0-9]{1,2})?", scale in 0_u16..6) {
            let Ok(decimal) = Decimal::parse(&text) else { return Ok(()) };
            let canonical = written(&text, None);
            prop_assert!(is_canonical(&canonical, None));
            prop_assert_eq!(is_canonical(&text, None), canonical == text);
            if decimal.check_size(size(8, scale), "D").is_ok() {
                let sized = written(&text, Some(scale));
                prop_assert!(is_canonical(&sized, Some(size(8, scale))));
                prop_assert_eq!(is_canonical(&text, Some(size(8, scale))), sized == text);
                prop_assert_eq!(Decimal::parse(&sized).unwrap(), decimal);
            } else {
                prop_assert!(!is_canonical(&text, Some(size(8, scale))));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            if let Ok(decimal) = Decimal::parse(&text) {
                let mut out = String::new();
                decimal.write(None, &mut out);
                prop_assert!(is_canonical(&out, None));
            }
        }
    }
}
