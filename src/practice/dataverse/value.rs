//! Values of payloads and of files, as columns take them.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::errors::ODataError;
use super::table::{ColumnDefinition, ColumnKind};

/// Values that a column of several choices takes.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/multi-select-picklist>.
const CHOICES_MAX: usize = 150;

/// What a column holds once it has taken a value.
/// Errors: in the words of a payload that cannot be read, or of a value that does not fit.
pub(super) fn taken(
    table: &str,
    column: &ColumnDefinition,
    told: &Value,
) -> Result<Value, ODataError> {
    if told.is_null() {
        return match column.required {
            true => Err(ODataError::new(
                400,
                "0x80040203",
                format!(
                    "The '{}' attribute of the '{table}' entity cannot be null.",
                    column.name
                ),
            )),
            false => Ok(Value::Null),
        };
    }
    let unreadable = |edm: &str| {
        ODataError::payload(format!(
            "Error identified in Payload provided by the user for Entity :'{table}', For more information on this error \
             please follow this help link. ---->  InnerException : Microsoft.OData.ODataException: Cannot convert the \
             literal '{}' to the expected type '{edm}'.",
            told.as_str()
                .map_or_else(|| told.to_string(), str::to_owned)
        ))
    };
    match column.kind {
        ColumnKind::Text => {
            let text = told.as_str().ok_or_else(|| unreadable("Edm.String"))?;
            fits_length(table, column, text)?;
            Ok(match text.is_empty() {
                true => Value::Null,
                false => json!(text),
            })
        }
        ColumnKind::Id => {
            let id = told.as_str().and_then(|text| Uuid::parse_str(text).ok());
            let id = id.ok_or_else(|| unreadable("Edm.Guid"))?;
            Ok(json!(id.to_string()))
        }
        ColumnKind::Integer => {
            let number = told.as_i64().ok_or_else(|| unreadable("Edm.Int32"))?;
            in_range(table, column, told.as_f64().unwrap_or_default())?;
            Ok(json!(number))
        }
        ColumnKind::Number => {
            let number = told.as_f64().ok_or_else(|| unreadable("Edm.Decimal"))?;
            in_range(table, column, number)?;
            Ok(rounded(column, told.clone(), number))
        }
        ColumnKind::Boolean => {
            let flag = told.as_bool().ok_or_else(|| unreadable("Edm.Boolean"))?;
            Ok(json!(flag))
        }
        ColumnKind::Date => {
            let text = told.as_str().ok_or_else(|| unreadable("Edm.Date"))?;
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d");
            let date = date.map_err(|_| unreadable("Edm.Date"))?;
            Ok(json!(date.to_string()))
        }
        ColumnKind::Instant => {
            let text = told
                .as_str()
                .ok_or_else(|| unreadable("Edm.DateTimeOffset"))?;
            let instant = DateTime::parse_from_rfc3339(text);
            let instant = instant.map_err(|_| unreadable("Edm.DateTimeOffset"))?;
            Ok(json!(
                instant
                    .with_timezone(&Utc)
                    .to_rfc3339_opts(SecondsFormat::Secs, true)
            ))
        }
        ColumnKind::Choice => {
            let number = told.as_i64().ok_or_else(|| unreadable("Edm.Int32"))?;
            is_choice(table, column, number)?;
            Ok(json!(number))
        }
        ColumnKind::Choices => {
            let text = told.as_str().ok_or_else(|| unreadable("Edm.String"))?;
            let mut numbers = Vec::new();
            for part in text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
            {
                let number = part.parse::<i64>().map_err(|_| unreadable("Edm.Int32"))?;
                is_choice(table, column, number)?;
                numbers.push(number);
            }
            numbers.sort_unstable();
            numbers.dedup();
            if numbers.len() > CHOICES_MAX {
                return Err(ODataError::invalid("More than 150 options are selected."));
            }
            let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            Ok(match texts.is_empty() {
                true => Value::Null,
                false => json!(texts.join(",")),
            })
        }
        ColumnKind::Lookup | ColumnKind::Other => Err(undeclared(table, &column.name)),
    }
}

/// A property that a payload may not name.
pub(super) fn undeclared(table: &str, name: &str) -> ODataError {
    ODataError::payload(format!(
        "Error identified in Payload provided by the user for Entity :'{table}', For more information on this error please \
         follow this help link. ---->  InnerException : Microsoft.Crm.CrmException: Invalid property '{name}' was found in \
         entity 'Microsoft.Dynamics.CRM.{table}'. ---> Microsoft.OData.ODataException: An undeclared property '{name}' \
         which only has property annotations in the payload but no property value was found in the payload."
    ))
}

fn fits_length(table: &str, column: &ColumnDefinition, text: &str) -> Result<(), ODataError> {
    match column.length_max {
        Some(max) if text.encode_utf16().count() > max => Err(ODataError::new(
            400,
            "0x80044331",
            format!(
                "A validation error occurred. The length of the '{}' attribute of the '{table}' entity exceeded the \
                 maximum allowed length of '{max}'.",
                column.name
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn in_range(table: &str, column: &ColumnDefinition, number: f64) -> Result<(), ODataError> {
    let below = column.number_min.is_some_and(|min| number < min);
    let above = column.number_max.is_some_and(|max| number > max);
    match below || above {
        true => Err(ODataError::new(
            400,
            "0x80044330",
            format!(
                "A validation error occurred. The value of '{}' on record of type '{table}' is outside the valid range.",
                column.name
            ),
        )),
        false => Ok(()),
    }
}

/// A number as the column keeps it.
fn rounded(column: &ColumnDefinition, told: Value, number: f64) -> Value {
    let Some(digits) = column
        .precision
        .and_then(|digits| i32::try_from(digits).ok())
    else {
        return told;
    };
    let unit = 10_f64.powi(digits);
    let kept = (number * unit).round() / unit;
    match (kept - number).abs() < f64::EPSILON {
        true => told,
        false => json!(kept),
    }
}

fn is_choice(table: &str, column: &ColumnDefinition, number: i64) -> Result<(), ODataError> {
    match column.choices.iter().any(|choice| choice.value == number) {
        true => Ok(()),
        false => Err(ODataError::new(
            400,
            "0x8004431a",
            format!(
                "A validation error occurred. The value {number} of '{}' on record of type '{table}' is outside the valid \
                 range. Accepted Values: {}",
                column.name,
                column
                    .choices
                    .iter()
                    .map(|choice| choice.value.to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        )),
    }
}

/// A cell of a file of rows, as JSON would write it.
/// Errors: it is no such value.
pub(super) fn from_cell(column: &ColumnDefinition, cell: &Value) -> Result<Value, String> {
    let Some(text) = cell.as_str() else {
        return Ok(cell.clone());
    };
    let number = || serde_json::from_str::<serde_json::Number>(text).map(Value::Number);
    let labelled = |label: &str| {
        let known = column.choices.iter().find(|choice| choice.label == label);
        known.map_or_else(|| label.to_owned(), |choice| choice.value.to_string())
    };
    let wrong = || format!("`{text}` is no value of `{}`", column.name);
    match column.kind {
        ColumnKind::Integer | ColumnKind::Number => number().map_err(|_| wrong()),
        ColumnKind::Choice => labelled(text)
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| wrong()),
        ColumnKind::Choices => {
            let parts: Vec<String> = text.split(';').map(|part| labelled(part.trim())).collect();
            Ok(json!(parts.join(",")))
        }
        ColumnKind::Boolean => text.parse::<bool>().map(Value::from).map_err(|_| wrong()),
        ColumnKind::Lookup => {
            let (table, id) = match (text.split_once(':'), column.targets.as_slice()) {
                (Some((table, id)), _) => (table.to_owned(), id),
                (None, [only]) => (only.clone(), text),
                (None, _) => return Err(format!("`{text}` names no table: write `TABLE:GUID`")),
            };
            let id = Uuid::parse_str(id).map_err(|_| wrong())?;
            Ok(json!({ "table": table, "id": id.to_string() }))
        }
        ColumnKind::Text
        | ColumnKind::Id
        | ColumnKind::Date
        | ColumnKind::Instant
        | ColumnKind::Other => Ok(json!(text)),
    }
}
