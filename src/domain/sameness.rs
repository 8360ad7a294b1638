//! Whether two texts mean the same value. Databases spell what they hold in their own ways; what is
//! written to them is decided by their own comparison, never by this one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::decimal::Decimal;
use super::moment::{parse_date, parse_instant, parse_time, parse_timestamp};
use super::value::Kind;

/// Whether two texts mean the same value of a kind. A text that is none of the kind's is the same
/// only as itself; NULL is the same as NULL. An instant without a zone is one in UTC.
pub(crate) fn same(kind: Kind, left: Option<&str>, right: Option<&str>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left == right || mean_the_same(kind, left, right),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn mean_the_same(kind: Kind, left: &str, right: &str) -> bool {
    if kind == Kind::Json {
        return is_json(left) && is_json(right) && same_json(left, right);
    }
    alike(left, right, |text| meaning(kind, text))
}

/// What a text means as a value.
#[derive(Debug, PartialEq)]
enum Meaning<'a> {
    Number(Decimal<'a>),
    /// Bits of a float; zero has no sign.
    Float(u64),
    Boolean(bool),
    /// Units of time since its kind's beginning.
    Moment(i64),
    Letters(Cow<'a, str>),
}

/// What a text means as a value of a kind; `None` if it is none.
fn meaning(kind: Kind, text: &str) -> Option<Meaning<'_>> {
    Some(match kind {
        Kind::Text | Kind::Json => Meaning::Letters(text.into()),
        Kind::Integer | Kind::Decimal => Meaning::Number(Decimal::parse(text).ok()?),
        Kind::Float32 => Meaning::Float((text.parse::<f32>().ok()? + 0.0).to_bits().into()),
        Kind::Float64 => Meaning::Float((text.parse::<f64>().ok()? + 0.0).to_bits()),
        Kind::Boolean => Meaning::Boolean(truth(text)?),
        Kind::Date => Meaning::Moment(parse_date(text).ok()?.into()),
        Kind::Time => Meaning::Moment(parse_time(text).ok()?),
        Kind::Timestamp => Meaning::Moment(parse_timestamp(text).ok()?),
        Kind::Instant => {
            let instant = parse_instant(text).or_else(|_| parse_timestamp(text));
            Meaning::Moment(instant.ok()?)
        }
        Kind::Uuid => Meaning::Letters(text.replace('-', "").to_ascii_lowercase().into()),
    })
}

/// One text for all texts that [`same`] takes for one value of a kind, to look them up by; not to
/// be shown. Of JSON each text is its own.
pub(crate) fn one_spelling(kind: Kind, text: &str) -> String {
    match meaning(kind, text) {
        None | Some(Meaning::Letters(Cow::Borrowed(_))) => text.to_owned(),
        Some(Meaning::Letters(Cow::Owned(letters))) => letters,
        Some(Meaning::Number(number)) => {
            let mut spelt = String::new();
            number.write(None, &mut spelt);
            spelt
        }
        Some(Meaning::Float(bits)) => format!("\0{bits}"),
        Some(Meaning::Boolean(truth)) => truth.to_string(),
        Some(Meaning::Moment(units)) => format!("\0{units}"),
    }
}

/// A value in the words that people are told it by, whichever database's own it comes in.
pub(crate) fn worded(kind: Kind, text: &str) -> &str {
    match truth(text).filter(|_| kind == Kind::Boolean) {
        Some(true) => "true",
        Some(false) => "false",
        None => text,
    }
}

/// As [`worded`], of what may be NULL.
pub(crate) fn in_words(kind: Kind, value: Option<&str>) -> Option<String> {
    value.map(|text| worded(kind, text).to_owned())
}

/// Whether both texts can be read, and as the same.
fn alike<'a, Read: PartialEq>(
    left: &'a str,
    right: &'a str,
    read: impl Fn(&'a str) -> Option<Read>,
) -> bool {
    read(left).is_some_and(|left| read(right) == Some(left))
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

/// Whether it is JSON that is nested no deeper than can be looked through.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// As JSON means it: the order of members and the spelling of numbers and letters count for
/// nothing. Of members with one name the last one counts, as it does to the databases that keep one
/// of them.
fn same_json(left: &str, right: &str) -> bool {
    type Members = BTreeMap<String, Box<RawValue>>;
    let (left, right) = (left.trim(), right.trim());
    let both = |first: char| left.starts_with(first) && right.starts_with(first);
    if both('{') {
        let members = |text| serde_json::from_str::<Members>(text).unwrap_or_default();
        let (left, right) = (members(left), members(right));
        return left.keys().eq(right.keys()) && all_same(left.values(), right.values());
    }
    if both('[') {
        let elements = |text| serde_json::from_str::<Vec<Box<RawValue>>>(text).unwrap_or_default();
        let (left, right) = (elements(left), elements(right));
        return left.len() == right.len() && all_same(left.iter(), right.iter());
    }
    if both('"') {
        return alike(left, right, |text| {
            serde_json::from_str::<String>(text).ok()
        });
    }
    left == right || alike(left, right, |text| Decimal::parse(text).ok())
}

/// Whether each value means the same as its counterpart.
fn all_same<'a>(
    left: impl Iterator<Item = &'a Box<RawValue>>,
    right: impl Iterator<Item = &'a Box<RawValue>>,
) -> bool {
    left.zip(right)
        .all(|(left, right)| same_json(left.get(), right.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

    #[test]
    fn values_that_only_look_different_are_the_same() {
        let pairs = [
            (Kind::Integer, "7", "7.0"),
            (Kind::Decimal, "87.5", "87.50"),
            (Kind::Decimal, "100", "1e2"),
            (Kind::Decimal, "0", "-0.00"),
            (Kind::Float32, "0.1", "0.10000000149011612"),
            (Kind::Float64, "1e22", "10000000000000000000000"),
            (Kind::Float64, "-0", "0.0"),
            (Kind::Boolean, "1", "true"),
            (Kind::Boolean, "f", "0"),
            (Kind::Time, "06:30:00.5", "06:30:00.500000"),
            (
                Kind::Timestamp,
                "2026-11-15 06:30:00",
                "2026-11-15T06:30:00.000",
            ),
            (
                Kind::Instant,
                "2026-11-15 06:30:00+00",
                "2026-11-15 06:30:00",
            ),
            (
                Kind::Instant,
                "2026-11-15 01:30:00.25-05",
                "2026-11-15T06:30:00.250Z",
            ),
            (Kind::Uuid, UUID, "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
            (Kind::Uuid, UUID, "6ba7b8109dad11d180b400c04fd430c8"),
            (
                Kind::Json,
                r#"{"a": [1, 2.50, null], "b": "x'\"y"}"#,
                r#"{"b":"x'\u0022y","a":[1.0,2.5,null]}"#,
            ),
            (
                Kind::Json,
                "12345678901234567890.10",
                "12345678901234567890.1",
            ),
            (Kind::Json, r#"{"a": 1, "a": 2}"#, r#"{"a": 2}"#),
        ];
        for (kind, left, right) in pairs {
            assert!(
                same(kind, Some(left), Some(right)),
                "{kind:?} {left} {right}"
            );
            assert!(
                same(kind, Some(right), Some(left)),
                "{kind:?} {right} {left}"
            );
        }
    }

    #[test]
    fn a_truth_is_told_in_the_same_words_wherever_it_comes_from() {
        let texts = ["1", "t", "true", "0", "f", "false", "2"];
        let words = texts.map(|text| worded(Kind::Boolean, text));
        assert_eq!(
            words,
            ["true", "true", "true", "false", "false", "false", "2"]
        );
        assert_eq!(worded(Kind::Integer, "1"), "1");
    }

    #[test]
    fn values_that_look_alike_are_not() {
        let pairs = [
            (Kind::Text, "87.5", "87.50"),
            (Kind::Text, "a", "A"),
            (Kind::Text, "a", "a "),
            (Kind::Text, "é", "e\u{301}"),
            (Kind::Integer, "100", "1"),
            (Kind::Decimal, "9007199254740993", "9007199254740992"),
            (Kind::Float32, "0.1", "0.1000001"),
            (Kind::Float64, "0.1", "0.1000000000000001"),
            (Kind::Boolean, "2", "true"),
            (Kind::Date, "2026-11-15", "2026-11-15 00:00:00"),
            (Kind::Time, "06:30:00", "06:30:01"),
            (
                Kind::Timestamp,
                "2026-11-15 06:30:00",
                "2026-11-15 06:30:00+01",
            ),
            (
                Kind::Instant,
                "2026-11-15 06:30:00+01",
                "2026-11-15 06:30:00",
            ),
            (Kind::Uuid, UUID, "6ba7b810-9dad-11d1-80b4-00c04fd430c9"),
            (Kind::Json, "[1, 2]", "[2, 1]"),
            (Kind::Json, "[1]", "[1, 1]"),
            (
                Kind::Json,
                "12345678901234567890.1",
                "12345678901234567890.2",
            ),
            (Kind::Json, "null", "\"null\""),
            (Kind::Json, "{}", "[]"),
            (Kind::Json, r#"{"a": 1}"#, r#"{"b": 1}"#),
            (Kind::Json, "{", "{ "),
        ];
        for (kind, left, right) in pairs {
            assert!(
                !same(kind, Some(left), Some(right)),
                "{kind:?} {left} {right}"
            );
        }
        assert!(!same(Kind::Text, None, Some("")));
        assert!(same(Kind::Json, None, None));
    }

    #[test]
    fn json_of_any_depth_is_looked_at() {
        let deep = |elements: &str| "[".repeat(100_000) + elements + &"]".repeat(100_000);
        assert!(same(Kind::Json, Some(&deep("1")), Some(&deep("1"))));
        assert!(
            !same(Kind::Json, Some(&deep("1")), Some(&deep("1.0"))),
            "too deep to tell"
        );
    }
}
