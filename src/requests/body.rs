//! Bodies of requests, as callers send them: JSON to texts, which are typed as a cell of a file is.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Characters of an origin or an actor at most.
const NAME_CHARACTERS_MAX: usize = 200;

/// By columns of the schema, as they were sent.
type Columns = BTreeMap<String, Box<RawValue>>;

/// A change of one record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// By columns of the schema: what their fields are to hold.
    #[serde(deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    values: Columns,
    /// What they are to hold before; the record is left as it is if they do not.
    #[serde(default, deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    expected: Columns,
    /// Where in the caller's own screens it comes from.
    origin: Option<String>,
    /// Who changed it there.
    actor: Option<String>,
}

/// Changes of several records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    records: Vec<KeyedChange>,
    origin: Option<String>,
    actor: Option<String>,
}

/// A change of a record that it names itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyedChange {
    /// By columns of the unique identifier.
    #[serde(deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    key: Columns,
    #[serde(deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    values: Columns,
    #[serde(default, deserialize_with = "each_once")]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    expected: Columns,
}

/// A change as it is worked on and, if it is accepted before it is carried out, kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReadChange {
    /// By columns of the unique identifier.
    pub(super) key: BTreeMap<String, String>,
    /// `None` is NULL.
    pub(super) values: BTreeMap<String, Option<String>>,
    pub(super) expected: BTreeMap<String, Option<String>>,
    pub(super) origin: Option<String>,
    pub(super) actor: Option<String>,
}

/// Why a body is not understood: what is wrong, and what to do.
pub(super) type Misread = (String, Option<String>);

/// Reads the change of one record whose key the address tells.
pub(super) fn read_change(
    bytes: &[u8],
    key: BTreeMap<String, String>,
) -> Result<ReadChange, Misread> {
    let change: Change = serde_json::from_slice(bytes).map_err(|error| not_json(&error))?;
    let change = ReadChange {
        key,
        values: texts(&change.values)?,
        expected: texts(&change.expected)?,
        origin: change.origin,
        actor: change.actor,
    };
    checked(change)
}

/// Reads changes of `records_max` records at most.
pub(super) fn read_changes(bytes: &[u8], records_max: usize) -> Result<Vec<ReadChange>, Misread> {
    let changes: Changes = serde_json::from_slice(bytes).map_err(|error| not_json(&error))?;
    let count = changes.records.len();
    if count == 0 || count > records_max {
        let hint = format!("send 1 to {records_max} records at once");
        return Err((format!("there are {count} records"), Some(hint)));
    }
    let read = |one: &KeyedChange| {
        let mut key = BTreeMap::new();
        for (column, value) in texts(&one.key)? {
            let value = value.ok_or_else(|| (format!("key `{column}` is null"), None))?;
            key.insert(column, value);
        }
        checked(ReadChange {
            key,
            values: texts(&one.values)?,
            expected: texts(&one.expected)?,
            origin: changes.origin.clone(),
            actor: changes.actor.clone(),
        })
    };
    changes.records.iter().map(read).collect()
}

/// Of a body that names a column twice: nobody knows which of its values is meant.
const TWICE: &str = "a column stands there twice";

/// Reads columns, each of which may stand there once.
fn each_once<'de, From: Deserializer<'de>>(from: From) -> Result<Columns, From::Error> {
    struct Each;

    impl<'de> Visitor<'de> for Each {
        type Value = Columns;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("columns")
        }

        fn visit_map<Map: MapAccess<'de>>(self, mut map: Map) -> Result<Columns, Map::Error> {
            let mut columns = Columns::new();
            while let Some((column, value)) = map.next_entry()? {
                if columns.insert(column, value).is_some() {
                    return Err(Map::Error::custom(TWICE));
                }
            }
            Ok(columns)
        }
    }

    from.deserialize_map(Each)
}

/// Where it went wrong, without a word of the body itself: it holds values.
fn not_json(error: &serde_json::Error) -> Misread {
    let place = format!("line {}, column {}", error.line(), error.column());
    let message = match error.classify() {
        serde_json::error::Category::Data if error.to_string().starts_with(TWICE) => {
            format!("the body names a column twice ({place})")
        }
        serde_json::error::Category::Data => format!("the body is not a change ({place})"),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => format!("the body is not JSON ({place})"),
    };
    let hint =
        "`GET /v1/openapi.json` describes it; `{\"values\": {\"COLUMN\": …}}` is the shortest";
    (message, Some(hint.to_owned()))
}

fn checked(change: ReadChange) -> Result<ReadChange, Misread> {
    if change.values.is_empty() {
        return Err(("`values` is empty".to_owned(), None));
    }
    let mut unset = change.expected.keys();
    if let Some(column) = unset.find(|column| !change.values.contains_key(*column)) {
        let message = format!("`expected` has `{column}`, which `values` does not set");
        let hint = "expect what is to be replaced, and nothing else".to_owned();
        return Err((message, Some(hint)));
    }
    let is_unfit = |text: &String| {
        text.chars().count() > NAME_CHARACTERS_MAX || text.contains(char::is_control)
    };
    let unfit = match (&change.origin, &change.actor) {
        (Some(origin), _) if is_unfit(origin) => Some("origin"),
        (_, Some(actor)) if is_unfit(actor) => Some("actor"),
        (_, _) => None,
    };
    match unfit {
        Some(name) => Err((
            format!("`{name}` is longer than {NAME_CHARACTERS_MAX} characters, or not one line"),
            None,
        )),
        None => Ok(change),
    }
}

fn texts(
    values: &BTreeMap<String, Box<RawValue>>,
) -> Result<BTreeMap<String, Option<String>>, Misread> {
    let text = |column: &String, value: &RawValue| {
        let value = text(value.get()).map_err(|what| {
            let hint = "write a string, a number, `true`, `false` or `null`".to_owned();
            (format!("`{column}` is {what}"), Some(hint))
        })?;
        Ok((column.clone(), value))
    };
    let texts = values.iter().map(|(column, value)| text(column, value));
    texts.collect()
}

/// A value as a cell of a file has it: numbers with the digits that were sent. Errors: what it is
/// instead.
fn text(json: &str) -> Result<Option<String>, &'static str> {
    match json.trim() {
        "null" => Ok(None),
        text if text.starts_with(['[', '{']) => Err("a list or an object"),
        // Half of a character, as `"\ud800"`, can be written in JSON.
        text if text.starts_with('"') => match serde_json::from_str(text) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err("no text: a character of it is not whole"),
        },
        text => Ok(Some(text.to_owned())),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<ReadChange, Misread> {
        read_change(body.as_bytes(), BTreeMap::new())
    }

    #[test]
    fn values_keep_every_digit_that_was_sent() {
        let body = r#"{"values": {"a": "x", "b": 12.50, "c": null, "d": true, "e": 12345678901234567890123}}"#;
        let values = read(body).unwrap().values;
        let of = |column: &str| values.get(column).unwrap().as_deref();
        assert_eq!(of("a"), Some("x"));
        assert_eq!(of("b"), Some("12.50"));
        assert_eq!(of("c"), None);
        assert_eq!(of("d"), Some("true"));
        assert_eq!(of("e"), Some("12345678901234567890123"));
    }

    #[test]
    fn what_is_not_understood_is_told_without_its_values() {
        for body in [
            "",
            "secret",
            r#"{"values": "secret"}"#,
            r#"{"values": {"a": "secret"}, "valeus": 1}"#,
            r#"{"values": {"a": {"secret": 1}}}"#,
            r#"{"values": {}}"#,
            r#"{"values": {"a": 1}, "expected": {"b": "secret"}}"#,
            r#"{"values": {"a": 1}, "origin": "secret\nline"}"#,
            r#"{"values": {"secret": "secret", "secret": "secret"}}"#,
            r#"{"values": {"a": "secret\ud800"}}"#,
        ] {
            let (message, hint) = read(body).unwrap_err();
            let told = format!("{message} {hint:?}");
            assert!(!told.contains("secret"), "{body}: {told}");
        }
    }

    #[test]
    fn what_is_said_twice_or_in_part_is_not_guessed() {
        for (body, told) in [
            (r#"{"values": {"a": 1, "a": 2}}"#, "names a column twice"),
            (
                r#"{"values": {"a": 1}, "expected": {"a": 1, "a": null}}"#,
                "names a column twice",
            ),
            (r#"{"values": {"a": 1}, "values": {}}"#, "not a change"),
            (r#"{"values": {"a": "\ud800"}}"#, "`a` is no text"),
            (r#"{"values": {"a": []}}"#, "`a` is a list or an object"),
        ] {
            let (message, _) = read(body).unwrap_err();
            assert!(message.contains(told), "{body}: {message}");
        }
        let twice = r#"{"records": [{"key": {"id": 1, "id": 2}, "values": {"a": 1}}]}"#;
        let (message, _) = read_changes(twice.as_bytes(), 10).unwrap_err();
        assert!(message.contains("names a column twice"), "{message}");
    }
}
