//! Values of Salesforce's fields: how they are taken from JSON and CSV, how they are held, and how
//! they are given back. Source: "Primitive Data Types" and "Field Types" of the object reference.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde_json::Value;

use super::object::{Field, FieldKind};
use crate::domain::salesforce_id::canonical_id;

/// What a field holds; an empty one holds nothing and is left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Held {
    /// Also dates, times and ids, each in the one form in which they are given back.
    Text(Box<str>),
    Number(f64),
    Boolean(bool),
    /// Milliseconds since 1970.
    Moment(i64),
}

/// Why a value is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It cannot be read as a value of its type, which is a fault of the request. The type that
    /// was expected, what came as Jackson names it, and its text.
    Unreadable {
        expected: &'static str,
        token: &'static str,
        text: String,
    },
    /// It is readable and refused.
    Refused { code: &'static str, message: String },
}

impl Held {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Boolean(_) | Self::Moment(_) => None,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        matches!(self, Self::Boolean(true))
    }

    pub(super) fn now(now: DateTime<Utc>) -> Self {
        Self::Moment(whole_second(now.timestamp_millis()))
    }

    /// Orders values of one field, texts without regard to case unless the field has it.
    pub(super) fn order(&self, other: &Self, case_sensitive: bool) -> Ordering {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) if case_sensitive => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.to_lowercase().cmp(&right.to_lowercase()),
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Boolean(left), Self::Boolean(right)) => left.cmp(right),
            (Self::Moment(left), Self::Moment(right)) => left.cmp(right),
            (left, right) => left.rank().cmp(&right.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Number(_) => 1,
            Self::Moment(_) => 2,
            Self::Text(_) => 3,
        }
    }

    /// The text under which equal values are found together.
    pub(super) fn key(&self, case_sensitive: bool) -> String {
        match self {
            Self::Text(text) if case_sensitive => text.to_string(),
            Self::Text(text) => text.to_lowercase(),
            Self::Number(number) => format!("{number}"),
            Self::Boolean(boolean) => format!("{boolean}"),
            Self::Moment(moment) => format!("{moment}"),
        }
    }
}

/// The whole second that a moment lies in.
fn whole_second(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1000) * 1000
}

/// As JSON. Numbers are padded to the scale of their field.
pub(super) fn to_json(held: Option<&Held>, field: &Field) -> String {
    match held {
        None if field.kind == FieldKind::Boolean => "false".to_owned(),
        None => "null".to_owned(),
        Some(Held::Text(text)) => json_text(text),
        Some(Held::Moment(moment)) => format!("\"{}+0000\"", moment_text(*moment)),
        Some(held) => plain(held, field),
    }
}

/// As a cell of CSV; nothing is an empty one.
pub(super) fn to_cell(held: Option<&Held>, field: &Field) -> String {
    match held {
        None if field.kind == FieldKind::Boolean => "false".to_owned(),
        None => String::new(),
        Some(Held::Text(text)) => text.to_string(),
        Some(Held::Moment(moment)) => format!("{}Z", moment_text(*moment)),
        Some(held) => plain(held, field),
    }
}

/// In the text of an error.
pub(super) fn to_words(held: Option<&Held>, field: &Field) -> String {
    to_cell(held, field)
}

fn plain(held: &Held, field: &Field) -> String {
    match held {
        Held::Number(number) if field.kind == FieldKind::Integer => format!("{number:.0}"),
        Held::Number(number) => {
            let scale = field.scale.max(1);
            format!("{number:.scale$}")
        }
        Held::Boolean(boolean) => boolean.to_string(),
        Held::Text(text) => text.to_string(),
        Held::Moment(moment) => moment_text(*moment),
    }
}

/// A text as JSON.
pub(super) fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

/// Such as `2026-01-31T10:00:00.000`, in UTC.
pub(super) fn moment_text(milliseconds: i64) -> String {
    DateTime::from_timestamp_millis(milliseconds)
        .unwrap_or_default()
        .format("%Y-%m-%dT%H:%M:%S%.3f")
        .to_string()
}

/// As the state file keeps it.
pub(super) fn to_stored(held: &Held) -> Value {
    match held {
        Held::Text(text) => Value::from(text.as_ref()),
        Held::Number(number) => Value::from(*number),
        Held::Boolean(boolean) => Value::from(*boolean),
        Held::Moment(moment) => Value::from(moment_text(*moment) + "Z"),
    }
}

/// What a client sends in JSON. Texts lose the blanks around them, and an empty one is nothing.
pub(super) fn from_json(value: &Value, field: &Field) -> Result<Option<Held>, Unfit> {
    let unreadable = || Unfit::Unreadable {
        expected: expected(field.kind),
        token: token(value),
        text: scalar(value).unwrap_or_default(),
    };
    if value.is_null() {
        return match field.kind == FieldKind::Boolean {
            // A checkbox is on or off.
            true => Err(Unfit::Unreadable {
                expected: "boolean",
                token: "VALUE_NULL",
                text: "null".to_owned(),
            }),
            false => Ok(None),
        };
    }
    if field.kind == FieldKind::Boolean {
        let boolean = value.as_bool().ok_or_else(unreadable)?;
        return Ok(Some(Held::Boolean(boolean)));
    }
    let text = scalar(value).ok_or_else(unreadable)?;
    from_text(&text, field)
}

/// What stands in a cell of CSV or in a text of JSON.
pub(super) fn from_text(text: &str, field: &Field) -> Result<Option<Held>, Unfit> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let unreadable = || Unfit::Unreadable {
        expected: expected(field.kind),
        token: "VALUE_STRING",
        text: text.to_owned(),
    };
    match field.kind {
        FieldKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Some(Held::Boolean(true))),
            "false" | "0" => Ok(Some(Held::Boolean(false))),
            _ => Err(unreadable()),
        },
        FieldKind::Integer | FieldKind::Decimal => {
            let number: f64 = text.parse().map_err(|_| unreadable())?;
            number_within(number, field).map(Some)
        }
        FieldKind::Date => {
            let date = read_date(text).ok_or_else(unreadable)?;
            Ok(Some(Held::text(&date.to_string())))
        }
        FieldKind::DateTime => {
            let moment = read_moment(text).ok_or_else(unreadable)?;
            Ok(Some(Held::Moment(whole_second(moment))))
        }
        FieldKind::Time => {
            let time = read_time(text).ok_or_else(unreadable)?;
            Ok(Some(Held::text(&time.format("%H:%M:%S%.3fZ").to_string())))
        }
        FieldKind::Id | FieldKind::Reference => match canonical_id(text) {
            Some(id) => Ok(Some(Held::text(&id))),
            None => Err(Unfit::Refused {
                code: "MALFORMED_ID",
                message: format!("{}: id value of incorrect type: {text}", field.label),
            }),
        },
        FieldKind::MultiPicklist => {
            let chosen: Vec<&str> = text
                .split(';')
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .collect();
            check_choices(&chosen, field)?;
            Ok(Some(Held::text(&in_order(chosen, field).join(";"))))
        }
        FieldKind::Picklist => {
            check_choices(&[text], field)?;
            check_length(text, field)?;
            Ok(Some(Held::text(text)))
        }
        FieldKind::Email => match is_email(text) {
            true => check_length(text, field).map(|()| Some(Held::text(text))),
            false => Err(Unfit::Refused {
                code: "INVALID_EMAIL_ADDRESS",
                message: format!("{}: invalid email address: {text}", field.label),
            }),
        },
        FieldKind::Text | FieldKind::Compound | FieldKind::Other => {
            check_length(text, field)?;
            Ok(Some(Held::text(text)))
        }
    }
}

fn check_length(text: &str, field: &Field) -> Result<(), Unfit> {
    match field.length > 0 && text.chars().count() > field.length {
        true => Err(Unfit::Refused {
            code: "STRING_TOO_LONG",
            message: format!(
                "{}: data value too large: {text} (max length={})",
                field.label, field.length
            ),
        }),
        false => Ok(()),
    }
}

fn check_choices(chosen: &[&str], field: &Field) -> Result<(), Unfit> {
    if !field.restricted {
        return Ok(());
    }
    let offered = |choice: &&&str| {
        field
            .choices
            .iter()
            .any(|known| known.value.eq_ignore_ascii_case(choice))
    };
    match chosen.iter().find(|choice| !offered(choice)) {
        Some(choice) => Err(Unfit::Refused {
            code: "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            message: format!(
                "{}: bad value for restricted picklist field: {choice}",
                field.label
            ),
        }),
        None => Ok(()),
    }
}

/// Choices in the order in which the field lists them, each once.
fn in_order<'a>(mut chosen: Vec<&'a str>, field: &Field) -> Vec<&'a str> {
    let place = |choice: &str| {
        field
            .choices
            .iter()
            .position(|known| known.value == choice)
            .unwrap_or(usize::MAX)
    };
    chosen.sort_by_key(|choice| place(choice));
    chosen.dedup();
    chosen
}

/// A number that the field can hold, rounded to its scale.
fn number_within(number: f64, field: &Field) -> Result<Held, Unfit> {
    let scale = i32::try_from(field.scale).unwrap_or_default();
    let digits = i32::try_from(field.precision).unwrap_or_default() - scale;
    let max = match (field.kind == FieldKind::Integer, digits) {
        (true, _) => f64::from(i32::MAX),
        (false, 1..) => 10_f64.powi(digits),
        (false, _) => f64::INFINITY,
    };
    if !number.is_finite() || number.abs() >= max {
        return Err(Unfit::Refused {
            code: "NUMBER_OUTSIDE_VALID_RANGE",
            message: format!(
                "{}: value outside of valid range on numeric field: {number}",
                field.label
            ),
        });
    }
    let unit = 10_f64.powi(scale);
    let rounded = if field.scale > 12 {
        number
    } else {
        (number * unit).round() / unit
    };
    Ok(Held::Number(if rounded == 0.0 { 0.0 } else { rounded }))
}

fn expected(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Boolean => "boolean",
        FieldKind::Integer => "int",
        FieldKind::Decimal => "double",
        FieldKind::Date => "date",
        FieldKind::DateTime => "datetime",
        FieldKind::Time => "time",
        FieldKind::Id | FieldKind::Reference => "reference",
        FieldKind::Text
        | FieldKind::Email
        | FieldKind::Picklist
        | FieldKind::MultiPicklist
        | FieldKind::Compound
        | FieldKind::Other => "string",
    }
}

/// How Jackson, which reads JSON there, names what it came upon.
fn token(value: &Value) -> &'static str {
    match value {
        Value::Null => "VALUE_NULL",
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
        Value::Number(_) => "VALUE_NUMBER_INT",
        Value::String(_) => "VALUE_STRING",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn read_date(text: &str) -> Option<NaiveDate> {
    let day = text.get(..10)?;
    let date = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    (text.len() == 10 || read_moment(text).is_some()).then_some(date)
}

/// Milliseconds since 1970.
pub(super) fn read_moment(text: &str) -> Option<i64> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .map(|moment| moment.timestamp_millis());
    let plain = || {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
            .map(|moment| moment.and_utc().timestamp_millis())
    };
    let day = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
    };
    zoned.or_else(|_| plain()).or_else(|_| day()).ok()
}

fn read_time(text: &str) -> Option<NaiveTime> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"))
        .ok()
}

/// Whether Salesforce takes it for an address: something, `@`, and a domain with a dot.
fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        !part.is_empty()
            && !part.contains(|sign: char| sign.is_whitespace() || sign == '@' || sign == ',')
    };
    plain(name)
        && plain(domain)
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form_that_the_api_takes() {
        let noon = read_moment("2026-01-31T12:00:00.000Z");
        assert!(noon.is_some());
        for text in [
            "2026-01-31T13:00:00+01:00",
            "2026-01-31T13:00:00.000+0100",
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00",
        ] {
            assert_eq!(read_moment(text), noon, "{text}");
        }
        assert_eq!(read_moment("31.01.2026"), None);
    }

    #[test]
    fn addresses_are_told_from_words() {
        assert!(is_email("li.wei@example.com"));
        for text in ["badone", "a@b", "a b@example.com", "@example.com", "a@.com"] {
            assert!(!is_email(text), "{text}");
        }
    }
}
