//! Values on their way to Salesforce and back: as SOQL and JSON write them, and which of them it
//! holds for the same after it has made its own of them.

use chrono::{DateTime, Utc};

use super::super::values::{boolean, instant, members, micros, plain, stored, text};
use super::answers::{same_id, short_id};
use crate::domain::decimal::Decimal;
use crate::domain::layout::LayoutField;
use crate::domain::object::ObjectColumn;
use crate::domain::salesforce_id::canonical_id;
use crate::domain::sameness::same;
use crate::domain::value::Kind;

/// A field's type, where it makes a difference to its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Id,
    Email,
    /// Members with semicolons between; their order does not count.
    Members,
    Other,
}

impl Nature {
    /// As [`ObjectColumn::declared`] begins.
    fn of(column: &ObjectColumn) -> Self {
        match column.declared.split('(').next().unwrap_or_default() {
            "id" | "reference" => Self::Id,
            "email" => Self::Email,
            "multipicklist" => Self::Members,
            _ => Self::Other,
        }
    }
}

/// Whether a field that holds `held` would hold the same after `sent` was written into it.
pub(super) fn same_after_storing(
    field: &LayoutField,
    sent: Option<&str>,
    held: Option<&str>,
) -> bool {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    let (sent, held) = (stored(kind, sent), stored(kind, held));
    let (Some(sent), Some(held)) = (&sent, &held) else {
        return sent.is_none() && held.is_none();
    };
    if sent == held {
        return true;
    }
    match (Nature::of(&field.column), kind) {
        (Nature::Id, _) => same_id(sent, held),
        (Nature::Email, _) => sent.eq_ignore_ascii_case(held),
        (Nature::Members, _) => members(sent) == members(held),
        (Nature::Other, Kind::Instant) => same_instant(sent, held),
        // Numbers come back as they are counted with, padded or not.
        (Nature::Other, Kind::Integer | Kind::Float32 | Kind::Float64) => {
            same(Kind::Decimal, Some(sent), Some(held)) || same(kind, Some(sent), Some(held))
        }
        (Nature::Other, Kind::Time) => same(kind, Some(without_z(sent)), Some(without_z(held))),
        (Nature::Other, kind) => same(kind, Some(sent), Some(held)),
    }
}

/// The form in which two keys are the same text if one finds the other's record: byte by byte, once
/// both are as they are stored, so that two keys that only differ in case never lead to one record.
pub(super) fn key_form(field: &LayoutField, part: &str) -> String {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    if Nature::of(&field.column) == Nature::Id {
        return short_id(part).unwrap_or(part).to_owned();
    }
    match kind {
        Kind::Text => stored(kind, Some(part)).unwrap_or_default().into_owned(),
        Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64 => {
            Decimal::parse(part).map_or_else(|_| part.to_owned(), plain)
        }
        Kind::Instant | Kind::Timestamp => instant(part).into_owned(),
        Kind::Time => time(part),
        Kind::Boolean => boolean(part).to_owned(),
        Kind::Date | Kind::Uuid | Kind::Json => part.to_owned(),
    }
}

/// Whether any record can have such a key: no other text than an id stands where one is asked for.
/// Source: SOQL answers it with `INVALID_QUERY_FILTER_OPERATOR: invalid ID field`.
pub(super) fn is_possible(field: &LayoutField, part: &str) -> bool {
    Nature::of(&field.column) != Nature::Id || canonical_id(part).is_some()
}

/// As [`key_form`], of a value by which a reference finds its record: e-mail addresses are kept in
/// lower case.
pub(super) fn reference_form(field: &LayoutField, value: &str) -> String {
    let form = key_form(field, value);
    match Nature::of(&field.column) {
        Nature::Email => form.to_lowercase(),
        Nature::Id | Nature::Members | Nature::Other => form,
    }
}

fn without_z(text: &str) -> &str {
    text.strip_suffix('Z').unwrap_or(text)
}

/// Whether two instants are the same as far as it holds them: to the millisecond, or to the second
/// where that is what it has made of one.
fn same_instant(sent: &str, held: &str) -> bool {
    let (Some(sent), Some(held)) = (micros(sent), micros(held)) else {
        return false;
    };
    let whole = |micros: i64, unit: i64| micros.div_euclid(unit);
    whole(sent, 1_000) == whole(held, 1_000)
        || (held.rem_euclid(1_000_000) == 0 && whole(sent, 1_000_000) == whole(held, 1_000_000))
}

/// A time of day as the API reads it.
fn time(text: &str) -> String {
    let text = without_z(text);
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
            format!("{whole}.{fraction}Z")
        }
        None => format!("{text}.000Z"),
    }
}

/// The day and time of a version, as HTTP writes them; `None` if it is none.
pub(super) fn http_date(version: &str) -> Option<String> {
    let instant = DateTime::<Utc>::from_timestamp_micros(micros(version)?)?;
    Some(instant.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// A value as JSON writes it, in what is sent.
pub(super) fn json(field: &LayoutField, value: Option<&str>) -> String {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    let Some(value) = value else {
        return "null".to_owned();
    };
    match kind {
        Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64 => number(value),
        Kind::Boolean => boolean(value).to_owned(),
        Kind::Instant | Kind::Timestamp => text(&instant(value)),
        Kind::Time => text(&time(value)),
        Kind::Text if value.trim().is_empty() => "null".to_owned(),
        Kind::Text | Kind::Date | Kind::Uuid | Kind::Json => text(value),
    }
}

/// A number as JSON writes it: as it is, for no digit of it is to be lost.
fn number(value: &str) -> String {
    match serde_json::from_str::<serde_json::Number>(value) {
        Ok(_) => value.to_owned(),
        Err(_) => text(value),
    }
}

/// A value as SOQL writes it.
/// Source: <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm>.
pub(super) fn soql(field: &LayoutField, value: &str) -> String {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    match kind {
        Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64 => number_only(value),
        Kind::Boolean => boolean(value).to_owned(),
        Kind::Instant | Kind::Timestamp => instant(value).into_owned(),
        Kind::Time => time(value),
        Kind::Date => value.to_owned(),
        Kind::Text | Kind::Uuid | Kind::Json => quoted(value),
    }
}

/// A number; no text that is none gets into a query.
fn number_only(value: &str) -> String {
    let is_number = serde_json::from_str::<serde_json::Number>(value).is_ok();
    if is_number { value } else { "0" }.to_owned()
}

/// A text in quotes, no sign of which ends them.
pub(super) fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for letter in value.chars() {
        match letter {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            letter => quoted.push(letter),
        }
    }
    quoted.push('\'');
    quoted
}

/// A value as the API writes it in JSON, as text; `None` for null.
pub(super) fn text_of(json: &str) -> Option<String> {
    match json.trim() {
        "null" => None,
        json => Some(serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())),
    }
}
