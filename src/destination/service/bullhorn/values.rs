//! Values on their way to Bullhorn and back: as JSON, `search` and `query` write them, and which of
//! them it holds for the same.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde_json::{Number, Value, json};

use super::describe::Nature;
use crate::domain::decimal::Decimal;
use crate::domain::layout::LayoutField;
use crate::domain::moment::{
    instant_to_wall, parse_date, parse_instant, parse_timestamp, wall_to_instant, write_date,
};
use crate::domain::sameness::same;
use crate::domain::value::Kind;

/// What stands for a value that the user may not see.
/// Source: <https://bullhorn.github.io/rest-api-docs/#entity>.
pub(super) const CONFIDENTIAL: &str = "**CONFIDENTIAL**";

const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// A value as people read it and as before-images keep it; `None` for null.
pub(super) fn text_of(nature: Nature, value: &Value) -> Option<String> {
    match (nature, value) {
        (_, Value::Null) => None,
        (Nature::ToOne, Value::Object(reference)) => reference.get("id").map(Value::to_string),
        (Nature::ToMany, Value::Object(list)) => {
            let data = list.get("data").and_then(Value::as_array);
            let ids = data
                .into_iter()
                .flatten()
                .filter_map(|member| member.get("id"));
            Some(joined(ids.filter_map(Value::as_u64)))
        }
        (Nature::Instant, Value::Number(number)) => {
            let instant = number
                .as_i64()
                .and_then(DateTime::<Utc>::from_timestamp_millis);
            instant.map(|instant| instant.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
        (Nature::Date(zone), Value::Number(number)) => {
            number.as_i64().and_then(|millis| day_of(millis, zone))
        }
        (_, Value::Array(values)) => {
            let text = |value: &Value| match value.as_str() {
                Some(text) => text.to_owned(),
                None => value.to_string(),
            };
            let texts: Vec<String> = values.iter().map(text).collect();
            Some(texts.join(";"))
        }
        (_, Value::String(text)) => Some(text.clone()),
        (_, other) => Some(other.to_string()),
    }
}

/// Ids as the text of a list.
pub(super) fn joined(ids: impl Iterator<Item = u64>) -> String {
    let ids: BTreeSet<u64> = ids.collect();
    let texts: Vec<String> = ids.iter().map(u64::to_string).collect();
    texts.join(";")
}

/// The ids that the text of a list names.
pub(super) fn ids_of(text: Option<&str>) -> BTreeSet<u64> {
    let parts = text.unwrap_or_default().split(';');
    parts.filter_map(|id| id.trim().parse().ok()).collect()
}

/// The day that an instant lies in, where its clocks hang.
fn day_of(millis: i64, zone: Tz) -> Option<String> {
    let wall = instant_to_wall(millis.checked_mul(1_000)?, zone).ok()?;
    let mut day = String::new();
    write_date(
        i32::try_from(wall.div_euclid(MICROS_PER_DAY)).ok()?,
        &mut day,
    );
    Some(day)
}

/// Midnight of a day, or the first instant of a day whose clocks skipped midnight.
fn midnight_of(day: &str, zone: Tz) -> Option<i64> {
    let wall = i64::from(parse_date(day).ok()?) * MICROS_PER_DAY;
    let hours = [0, 1, 2];
    let instant = hours.into_iter().find_map(|hour| {
        let hour = wall + hour * 60 * 60 * 1_000_000;
        wall_to_instant(hour, zone).ok()
    })?;
    Some(instant.div_euclid(1_000))
}

/// Microseconds since 1970 of an instant, in whatever form.
fn micros(text: &str) -> Option<i64> {
    parse_instant(text).or_else(|_| parse_timestamp(text)).ok()
}

fn kind_of(field: &LayoutField) -> Kind {
    field.column.holds.kind().unwrap_or(field.kind)
}

/// A value as JSON writes it, in what is sent. Lists have calls of their own.
pub(super) fn json(field: &LayoutField, value: Option<&str>) -> Value {
    let Some(value) = value else {
        return Value::Null;
    };
    match (Nature::of(&field.column), kind_of(field)) {
        (Nature::ToOne, _) => match value.parse::<u64>() {
            Ok(id) => json!({ "id": id }),
            Err(_) => Value::Null,
        },
        (Nature::ToMany, _) => ids_of(Some(value)).into_iter().collect(),
        (Nature::Values, _) => {
            let values = value.split(';').map(str::trim);
            let values: Vec<&str> = values.filter(|value| !value.is_empty()).collect();
            values.into()
        }
        (Nature::Date(zone), _) => midnight_of(value, zone).into(),
        (Nature::Instant, _) => micros(value).map(|micros| micros.div_euclid(1_000)).into(),
        (_, Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64) => {
            match serde_json::from_str::<Number>(value) {
                Ok(number) => number.into(),
                Err(_) => value.into(),
            }
        }
        (_, Kind::Boolean) => matches!(value, "true" | "t" | "1").into(),
        _ => value.into(),
    }
}

/// Whether a field that holds `held` would hold the same after `sent` was written into it. An empty
/// text and none are the same: what was never filled in is told as either.
pub(super) fn same_after_storing(
    field: &LayoutField,
    sent: Option<&str>,
    held: Option<&str>,
) -> bool {
    let filled = |text: Option<&str>| text.map(str::to_owned).filter(|text| !text.is_empty());
    let (Some(sent), Some(held)) = (filled(sent), filled(held)) else {
        return filled(sent).is_none() && filled(held).is_none();
    };
    if sent == held {
        return true;
    }
    match (Nature::of(&field.column), kind_of(field)) {
        (Nature::ToMany, _) => ids_of(Some(&sent)) == ids_of(Some(&held)),
        (Nature::Values, _) => members(&sent) == members(&held),
        (Nature::Instant, _) => {
            let millis = |text: &str| micros(text).map(|micros| micros.div_euclid(1_000));
            millis(&sent).is_some() && millis(&sent) == millis(&held)
        }
        // Numbers come back as they are counted with, padded or not.
        (_, kind @ (Kind::Integer | Kind::Float32 | Kind::Float64)) => {
            same(Kind::Decimal, Some(&sent), Some(&held)) || same(kind, Some(&sent), Some(&held))
        }
        (_, kind) => same(kind, Some(&sent), Some(&held)),
    }
}

fn members(text: &str) -> BTreeSet<&str> {
    let members = text.split(';').map(str::trim);
    members.filter(|member| !member.is_empty()).collect()
}

/// The form in which two keys are the same text if one finds the other's record: byte by byte, but
/// for numbers, of which what does not count is left out.
pub(super) fn key_form(field: &LayoutField, part: &str) -> String {
    match (Nature::of(&field.column), kind_of(field)) {
        (Nature::Instant, _) => micros(part).map_or_else(
            || part.to_owned(),
            |micros| micros.div_euclid(1_000).to_string(),
        ),
        (_, Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64) => Decimal::parse(part)
            .map_or_else(
                |_| part.to_owned(),
                |number| {
                    let mut text = String::new();
                    number.write(None, &mut text);
                    text
                },
            ),
        (_, Kind::Boolean) => matches!(part, "true" | "t" | "1").to_string(),
        _ => part.to_owned(),
    }
}

/// A value in quotes, as `search` reads it: what is not quoted and has several words finds nothing.
/// Source: <https://lucene.apache.org/core/2_9_4/queryparsersyntax.html>.
pub(super) fn phrase(value: &str) -> String {
    let mut phrase = String::from("\"");
    for sign in value.chars() {
        if matches!(sign, '"' | '\\') {
            phrase.push('\\');
        }
        phrase.push(sign);
    }
    phrase.push('"');
    phrase
}

/// A value as `query` reads it: texts in single quotes, the rest bare.
pub(super) fn operand(field: &LayoutField, value: &str) -> String {
    match (Nature::of(&field.column), kind_of(field)) {
        (Nature::Instant | Nature::Date(_), _) => {
            let millis = json(field, Some(value)).as_i64();
            millis.map_or_else(|| "-1".to_owned(), |millis| millis.to_string())
        }
        (_, Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64) => {
            // No text that is no number gets into a query.
            let is_number = serde_json::from_str::<Number>(value).is_ok();
            if is_number { value } else { "-1" }.to_owned()
        }
        (_, Kind::Boolean) => matches!(value, "true" | "t" | "1").to_string(),
        _ => quoted(value),
    }
}

/// A text in single quotes, no sign of which ends them.
pub(super) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::object::{Holds, ObjectColumn};

    fn field(declared: &str, holds: Holds) -> LayoutField {
        let kind = holds.kind().expect("a kind");
        LayoutField::plain(ObjectColumn::plain("f", declared, holds), kind)
    }

    fn text(declared: &str) -> LayoutField {
        let repertoire = crate::domain::object::Repertoire::Unicode { nul: false };
        field(
            declared,
            Holds::Text {
                limit: None,
                repertoire,
            },
        )
    }

    #[test]
    fn days_are_midnights_of_the_corporation_s_zone_and_come_back_as_days() {
        let chicago = field("Date(America/Chicago)", Holds::Date);
        let sent = json(&chicago, Some("2026-07-01"));
        assert_eq!(sent, json!(1_782_882_000_000_i64));
        let nature = Nature::of(&chicago.column);
        assert_eq!(text_of(nature, &sent).as_deref(), Some("2026-07-01"));
    }

    #[test]
    fn instants_are_milliseconds() {
        let field = field("Timestamp", Holds::Instant { fraction_digits: 3 });
        let sent = json(&field, Some("2026-07-01T00:00:00.123456Z"));
        assert_eq!(sent, json!(1_782_864_000_123_i64));
        let held = text_of(Nature::Instant, &sent);
        assert!(same_after_storing(
            &field,
            Some("2026-07-01T00:00:00.123456Z"),
            held.as_deref()
        ));
    }

    #[test]
    fn several_values_and_references_are_texts_with_semicolons() {
        let values = text("values(100)");
        assert_eq!(json(&values, Some("a; b")), json!(["a", "b"]));
        assert!(same_after_storing(&values, Some("b;a"), Some("a;b")));
        let list = json!({ "total": 2, "data": [{ "id": 9 }, { "id": 3 }] });
        assert_eq!(text_of(Nature::ToMany, &list).as_deref(), Some("3;9"));
        assert!(same_after_storing(
            &text("to-many(Skill)"),
            Some("9;3"),
            Some("3;9")
        ));
        let owner = json!({ "id": 5, "firstName": "Ada" });
        assert_eq!(text_of(Nature::ToOne, &owner).as_deref(), Some("5"));
    }

    #[test]
    fn quotes_and_backslashes_end_no_value() {
        assert_eq!(phrase(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("O'Hara"), "'O''Hara'");
        let integer = field("Integer", Holds::Integer { min: 0, max: 9 });
        assert_eq!(operand(&integer, "1 OR 1=1"), "-1");
    }
}
