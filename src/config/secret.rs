//! Values that may stand outside the file: in the environment or in a file of their own. No message
//! here ever holds such a value, only the name of where it should be.

use std::ffi::OsString;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::document::{Value, read_text, shown};
use crate::domain::problem::Problem;

/// What is outside the files: where values come from, and what tells the time.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The project's folder: relative paths begin here.
    pub(super) root: &'a Path,
    pub(super) environment: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) clock: fn() -> DateTime<Utc>,
}

/// A text that a key of a connection gives.
pub(super) enum Given {
    /// It stands in the file for everybody to read.
    Here(String),
    /// It came from the environment or a file of its own.
    Elsewhere(String),
    /// It is to come from elsewhere and is not there; only who uses the connection is to know.
    Absent(Problem),
}

impl Surroundings<'_> {
    /// Reads `"…"`, `{ env = "NAME" }` or `{ file = "PATH" }`. `None` after a mistake of form,
    /// which is noted.
    pub(super) fn given(&self, value: Value<'_>) -> Option<Given> {
        if value.is_text() {
            return value.text().map(|text| Given::Here(text.to_owned()));
        }
        let hint = format!(
            "write `{} = {{ env = \"NAME\" }}` or `{{ file = \"PATH\" }}`",
            value.key
        );
        if !value.is_table() {
            value.mistake(
                format!(
                    "`{}` is neither a string nor a place to find one",
                    value.key
                ),
                Some(hint),
            );
            return None;
        }
        let table = value.table(format!("`{}`", value.key))?;
        table.expect_keys(&["env", "file"]);
        match (table.get("env"), table.get("file")) {
            (Some(name), None) => self.out_of_environment(name),
            (None, Some(path)) => self.out_of_file(path),
            _ => {
                if table.get("env").is_none() && !(table.lacks("env") && table.lacks("file")) {
                    return None;
                }
                value.mistake(
                    format!("`{}` names not exactly one of `env` and `file`", value.key),
                    Some(hint),
                );
                None
            }
        }
    }

    fn out_of_environment(&self, value: Value<'_>) -> Option<Given> {
        let name = value.text()?;
        if !is_variable(name) {
            let message = "`env` is not the name of an environment variable".to_owned();
            value.mistake(
                message,
                Some("name the variable that holds the value, never the value".to_owned()),
            );
            return None;
        }
        let location = value.location();
        let absent = |what: &str| {
            let message = format!("environment variable `{name}` {what}");
            Given::Absent(
                Problem::mistake(location.clone(), message).hint(format!("export {name}=…")),
            )
        };
        Some(match (self.environment)(name).map(OsString::into_string) {
            None => absent("is not set"),
            Some(Err(_)) => absent("is not UTF-8 text"),
            Some(Ok(text)) => given_elsewhere(&text).unwrap_or_else(absent),
        })
    }

    fn out_of_file(&self, value: Value<'_>) -> Option<Given> {
        let name = value.text()?;
        let text = read_text(&self.root.join(name), name);
        // The place of a byte within a secret is nobody's business.
        let absent = |problem| {
            let hint = Some(format!("write the value alone into {}", shown(name)));
            Given::Absent(Problem {
                location: Some(value.location()),
                hint,
                ..problem
            })
        };
        let useless = |what: &str| absent(Problem::mistake(None, format!("`{name}` {what}")));
        Some(match text {
            Ok(text) => given_elsewhere(&text).unwrap_or_else(useless),
            Err(error) => absent(error.problem(name, None)),
        })
    }
}

/// The value in a text from elsewhere, or what is the matter with the text.
fn given_elsewhere(text: &str) -> Result<Given, &'static str> {
    match without_line_end(text) {
        "" => Err("is empty"),
        // Servers would take it for the end of a password.
        text if text.contains('\0') => Err("holds a NUL character"),
        text => Ok(Given::Elsewhere(text.to_owned())),
    }
}

/// Editors and `echo` end a text with one line end that is no part of a secret.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn is_variable(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(plain)
}
