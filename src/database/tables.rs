//! Tables that there are, side by side, and how those are told that nobody may have meant: what
//! databases say alike.

use crate::domain::error::SystemError;
use crate::domain::object::{NameError, NamePart, ObjectName};
use crate::domain::problem::did_you_mean;

/// A table as it is listed beside others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedTable {
    /// As the catalogue spells it, without what the connection leads to anyway.
    pub(crate) path: Vec<String>,
    pub(crate) columns: Vec<String>,
    /// Names of the primary key's columns; empty if there is none.
    pub(crate) primary_key: Vec<String>,
}

/// One column of all those that a database lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedColumn {
    /// The path of its table.
    pub(crate) table: Vec<String>,
    pub(crate) name: String,
    /// Whether it belongs to the primary key.
    pub(crate) is_key: bool,
}

impl ListedTable {
    /// Makes tables of their columns; those of one table follow each other.
    pub(crate) fn of(columns: Vec<ListedColumn>) -> Vec<Self> {
        let mut tables: Vec<Self> = Vec::new();
        for ListedColumn {
            table,
            name,
            is_key,
        } in columns
        {
            if tables.last().is_none_or(|last| last.path != table) {
                tables.push(Self {
                    path: table,
                    columns: Vec::new(),
                    primary_key: Vec::new(),
                });
            }
            if let Some(last) = tables.last_mut() {
                last.primary_key.extend(is_key.then(|| name.clone()));
                last.columns.push(name);
            }
        }
        tables
    }
}

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
