//! Values as web APIs tell and take them: what of a text does not count, and instants in whatever
//! spelling.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::domain::decimal::Decimal;
use crate::domain::moment::{parse_instant, parse_timestamp};
use crate::domain::value::Kind;

/// A value as it is after it was stored: without blanks around, with an empty text as
/// none.
pub(super) fn stored(kind: Kind, value: Option<&str>) -> Option<Cow<'_, str>> {
    let value = value?;
    if kind != Kind::Text {
        return Some(Cow::Borrowed(value));
    }
    let trimmed = value.trim();
    match trimmed.contains("\r\n") {
        _ if trimmed.is_empty() => None,
        true => Some(Cow::Owned(trimmed.replace("\r\n", "\n"))),
        false => Some(Cow::Borrowed(trimmed)),
    }
}

/// A number without what does not count.
pub(super) fn plain(number: Decimal<'_>) -> String {
    let mut text = String::new();
    number.write(None, &mut text);
    text
}

/// The members of a list with semicolons between them; their order does not count.
pub(super) fn members(text: &str) -> BTreeSet<&str> {
    text.split(';')
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .collect()
}

/// Microseconds since 1970 of an instant, with a zone in whatever form or in UTC.
pub(super) fn micros(text: &str) -> Option<i64> {
    let iso = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").ok();
    parse_instant(text)
        .or_else(|_| parse_timestamp(text))
        .ok()
        .or_else(|| iso().map(|instant| instant.timestamp_micros()))
}

/// An instant to the millisecond, in UTC; as it is, if it is none.
pub(super) fn instant(text: &str) -> Cow<'_, str> {
    let read = micros(text).and_then(DateTime::<Utc>::from_timestamp_micros);
    read.map_or(Cow::Borrowed(text), |instant| {
        Cow::Owned(instant.to_rfc3339_opts(SecondsFormat::Millis, true))
    })
}

/// A truth value in the words of JSON.
pub(super) fn boolean(value: &str) -> &'static str {
    match value {
        "true" | "t" | "1" => "true",
        _ => "false",
    }
}

/// A text as JSON writes it.
pub(super) fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}
