//! What a column keeps of JSON that is no text to it, and what it does not.

use std::borrow::Cow;
use std::collections::HashSet;

use super::decimal::Decimal;

/// Digits before and after the point of PostgreSQL's `numeric`, which are the numbers of `jsonb`.
/// Source: <https://www.postgresql.org/docs/current/datatype-numeric.html>.
const DIGITS_MAX: (i64, i64) = (131_072, 16_383);

/// Says why `jsonb` would not keep a text that is JSON as what it means: of members with one name
/// it keeps the last. The order of members and how numbers are spelled are no part of what JSON
/// means.
pub(crate) fn check_jsonb(text: &str) -> Result<(), String> {
    let mut scan = Scan {
        rest: text,
        objects: Vec::new(),
    };
    while let Some(token) = scan.next() {
        match token {
            Token::Member(Ok(name)) if name.contains('\0') => return Err(NUL.to_owned()),
            Token::Member(Ok(name)) => scan.enter(&name)?,
            Token::Text(Ok(text)) if text.contains('\0') => return Err(NUL.to_owned()),
            Token::Member(Err(NotUnicode)) | Token::Text(Err(NotUnicode)) => {
                return Err(
                    "has an escape that stands for no character, which jsonb cannot hold"
                        .to_owned(),
                );
            }
            Token::Number(number) if !is_numeric(number) => {
                return Err(
                    "has a number that is too large or has too many digits for jsonb".to_owned(),
                );
            }
            Token::Text(Ok(_)) | Token::Number(_) => {}
        }
    }
    Ok(())
}

/// Whether JSON that is kept by its value, with 64-bit numbers, stays what it means: MySQL's own
/// type does so. Source: <https://dev.mysql.com/doc/refman/8.0/en/json.html>.
pub(crate) fn is_kept_by_value(text: &str) -> bool {
    let mut scan = Scan {
        rest: text,
        objects: Vec::new(),
    };
    while let Some(token) = scan.next() {
        let kept = match token {
            Token::Member(Ok(name)) => scan.enter(&name).is_ok(),
            Token::Member(Err(NotUnicode)) | Token::Text(Err(NotUnicode)) => false,
            Token::Text(Ok(_)) => true,
            Token::Number(number) => is_double(number),
        };
        if !kept {
            return false;
        }
    }
    true
}

const NUL: &str = "holds U+0000, which jsonb cannot hold";

/// An escape that stands for half of a character.
struct NotUnicode;

/// What matters of a JSON text.
enum Token<'a> {
    /// A member's name.
    Member(Result<Cow<'a, str>, NotUnicode>),
    Text(Result<Cow<'a, str>, NotUnicode>),
    Number(&'a str),
}

/// Goes through a text that is known to be JSON, however deep.
struct Scan<'a> {
    rest: &'a str,
    /// The names that each open object has so far; `None` for an array.
    objects: Vec<Option<HashSet<String>>>,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let first = self.rest.chars().next()?;
            match first {
                '"' => return Some(self.text()),
                '-' | '0'..='9' => {
                    let end = self
                        .rest
                        .find(|character| !"+-.eE0123456789".contains(character));
                    let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                    self.rest = rest;
                    return Some(Token::Number(number));
                }
                '{' => self.objects.push(Some(HashSet::new())),
                '[' => self.objects.push(None),
                '}' | ']' => drop(self.objects.pop()),
                _ => {}
            }
            self.rest = self.rest.get(first.len_utf8()..)?;
        }
    }

    /// The string at the front: a member's name if a colon follows.
    fn text(&mut self) -> Token<'a> {
        let mut escaped = false;
        let is_end = |character: char| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        };
        let inner = self.rest.get(1..).unwrap_or_default();
        let (text, after) = inner.split_at(inner.find(is_end).unwrap_or(inner.len()));
        self.rest = after.get(1..).unwrap_or_default();
        let read = match text.contains('\\') {
            false => Ok(Cow::Borrowed(text)),
            true => serde_json::from_str(&format!("\"{text}\""))
                .map(Cow::Owned)
                .map_err(|_| NotUnicode),
        };
        match self.rest.trim_start().starts_with(':') {
            true => Token::Member(read),
            false => Token::Text(read),
        }
    }

    /// Notes a member of the object that is open.
    fn enter(&mut self, name: &str) -> Result<(), String> {
        let Some(Some(names)) = self.objects.last_mut() else {
            return Ok(());
        };
        match names.insert(name.to_owned()) {
            true => Ok(()),
            false => Err(
                "has an object with two members of one name, of which jsonb keeps the last"
                    .to_owned(),
            ),
        }
    }
}

/// Whether `numeric` has room for a number.
fn is_numeric(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let Ok(exponent) = exponent.trim_start_matches('+').parse::<i64>() else {
        return false;
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| i64::try_from(text.trim_start_matches('-').len()).unwrap_or(i64::MAX);
    let before = digits(whole).saturating_add(exponent);
    let after = digits(fraction).saturating_sub(exponent);
    before <= DIGITS_MAX.0 && after <= DIGITS_MAX.1
}

/// Whether a 64-bit float, or a 64-bit integer, is the number.
fn is_double(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(float) = number.parse::<f64>() else {
        return false;
    };
    let shortest = format!("{float:e}");
    let same = Decimal::parse(number)
        .ok()
        .zip(Decimal::parse(&shortest).ok());
    same.is_some_and(|(number, float)| number == float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_keeps_what_json_means() {
        let kept = [
            "null",
            "-0",
            "1.0",
            "1e2",
            r#"{"b": 1, "a": {"b": [1.50, "\u00e9", "a:\"b\""]}, "c": {"b": 2}}"#,
            r#"[{"a": 1}, {"a": 1}, "a", "a"]"#,
            r#"{"a": "a", "b": "a"}"#,
            "12345678901234567890.123456789",
        ];
        for text in kept {
            assert_eq!(check_jsonb(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_jsonb_drops_or_cannot_hold_is_said() {
        let doubled = "has an object with two members of one name, of which jsonb keeps the last";
        for text in [
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": 1, "a": 1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[1, {"x": {"k": [], "j": {"k": 1}, "k": {}}}]"#,
            "{\"\" : 1, \"\"\n: 2}",
        ] {
            assert_eq!(check_jsonb(text), Err(doubled.to_owned()), "{text}");
        }
        assert_eq!(check_jsonb(r#"["\u0000"]"#), Err(NUL.to_owned()));
        assert_eq!(check_jsonb(r#"{"\u0000": 1}"#), Err(NUL.to_owned()));
        assert!(check_jsonb(r#""\ud800""#).is_err());
        assert!(check_jsonb("1e200000").is_err());
        assert!(check_jsonb("1e-200000").is_err());
        let deep = |inner: &str| "[".repeat(100_000) + inner + &"]".repeat(100_000);
        assert_eq!(check_jsonb(&deep("{}")), Ok(()));
        assert_eq!(
            check_jsonb(&deep(r#"{"a":1,"a":2}"#)),
            Err(doubled.to_owned())
        );
    }

    #[test]
    fn doubles_keep_the_numbers_that_read_back() {
        for text in [
            "1.0",
            "0.1",
            "1e300",
            "18446744073709551615",
            "-9223372036854775808",
            "[1.50]",
            "1E+2",
        ] {
            assert!(is_kept_by_value(text), "{text}");
        }
        for text in [
            "12345678901234567890.5",
            "0.12345678901234567890",
            "1e400",
            r#"{"a":1,"a":1}"#,
        ] {
            assert!(!is_kept_by_value(text), "{text}");
        }
    }
}
