//! How a database's tables are told that nobody may have meant: what SQLite and DuckDB say alike.

use crate::domain::error::SystemError;
use crate::domain::object::{NameError, NamePart, ObjectName};
use crate::domain::problem::did_you_mean;

/// No table, or no single one, has this name; `known` are those that there are.
pub(crate) fn unknown_table(
    name: &ObjectName,
    table: &NamePart,
    error: &NameError,
    known: &[String],
) -> SystemError {
    let hint = match error {
        NameError::Ambiguous { candidates } => Some(format!("quote one of {}", listed(candidates))),
        NameError::Unknown => did_you_mean(&table.text, known.iter().map(String::as_str))
            .or_else(|| (!known.is_empty()).then(|| format!("there are {}", listed(known)))),
    };
    SystemError::NotFound {
        what: format!("table `{name}`"),
        hint,
    }
}

/// Names in backticks, comma-separated, the first dozen of them.
pub(crate) fn listed(names: &[String]) -> String {
    const NAMES_MAX: usize = 12;
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
