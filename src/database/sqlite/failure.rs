//! What SQLite's error codes mean for a run.
//! Source: <https://www.sqlite.org/rescode.html>.

use crate::domain::error::SystemError;

// Primary result codes: the low byte of what SQLite returns.
const ERROR: i32 = 1;
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;

/// Constraints about other rows: `FOREIGNKEY`, `PRIMARYKEY`, `UNIQUE` and `ROWID`.
const CLASHES: [i32; 4] = [787, 1555, 2067, 2579];

/// Sorts an error by what can be done about it; `doing` completes "… failed".
///
/// A full disk is `Failed`: it does not empty itself within a retry. An input/output error is
/// `Unavailable`: on network file systems it passes. `SCHEMA` and `PROTOCOL` are races with another
/// process and pass, too.
pub(super) fn sort(connection_name: &str, doing: &str, error: sqlx::Error) -> SystemError {
    let connection = connection_name.to_owned();
    let Some(database) = error.as_database_error() else {
        return sort_without_code(connection, doing, error);
    };
    let code = database
        .code()
        .and_then(|code| code.parse::<i32>().ok())
        .unwrap_or(ERROR);
    let message = database.message().to_owned();
    let failed = |hint: Option<&str>, error: sqlx::Error| SystemError::Failed {
        connection: connection.clone(),
        doing: doing.to_owned(),
        source: error.into(),
        hint: hint.map(str::to_owned),
    };
    match code & 0xff {
        BUSY | LOCKED | PROTOCOL | SCHEMA => SystemError::Contended {
            connection,
            source: error.into(),
        },
        CONSTRAINT | MISMATCH | TOOBIG => SystemError::Refused {
            column: column_at_fault(&message),
            message,
            clashes: CLASHES.contains(&code),
        },
        ERROR if refuses_a_value(&message) => SystemError::Refused {
            column: None,
            message,
            clashes: false,
        },
        ERROR if message.starts_with("no such table: ") => SystemError::NotFound {
            what: format!("table `{}`", message.trim_start_matches("no such table: ")),
            hint: None,
        },
        READONLY | PERM | AUTH => SystemError::Forbidden {
            connection,
            source: error.into(),
            hint: "let the user who runs writeback write the file and the folder it is in"
                .to_owned(),
        },
        CANTOPEN => failed(
            Some("see that the file and its folder exist and may be read and written"),
            error,
        ),
        NOTADB => failed(
            Some("the file is not a SQLite database, or it is encrypted"),
            error,
        ),
        CORRUPT => failed(
            Some("the file is damaged: `PRAGMA integrity_check` tells more; restore a backup"),
            error,
        ),
        FULL => failed(Some("make room on the disk, then run again"), error),
        INTERRUPT => failed(
            Some("it took longer than `statement_timeout` allows"),
            error,
        ),
        IOERR => SystemError::Unavailable {
            connection,
            source: error.into(),
        },
        _ => failed(None, error),
    }
}

/// Errors of the driver itself: its thread ended, or the operating system said no.
fn sort_without_code(connection: String, doing: &str, error: sqlx::Error) -> SystemError {
    if matches!(error, sqlx::Error::WorkerCrashed) {
        return SystemError::Unavailable {
            connection,
            source: error.into(),
        };
    }
    SystemError::Failed {
        connection,
        doing: doing.to_owned(),
        source: error.into(),
        hint: None,
    }
}

/// Whether a plain error comes from the values of a record: what functions raise in checks,
/// triggers and computed columns. Everything else of that code is about the statement.
fn refuses_a_value(message: &str) -> bool {
    const RAISED_BY_FUNCTIONS: [&str; 4] = [
        "malformed JSON",
        "integer overflow",
        "bad JSON path",
        "JSON cannot hold",
    ];
    RAISED_BY_FUNCTIONS
        .iter()
        .any(|raised| message.starts_with(raised))
}

/// The column that a constraint's message names, if it is one: `NOT NULL constraint failed:
/// accounts.name`, `cannot store TEXT value in REAL column accounts.score`.
fn column_at_fault(message: &str) -> Option<String> {
    let named = match message.rsplit_once(" constraint failed: ") {
        Some((kind, named)) if !kind.ends_with("CHECK") && !named.contains(", ") => named,
        Some(_) => return None,
        None => {
            message
                .strip_prefix("cannot store ")?
                .rsplit_once(" column ")?
                .1
        }
    };
    named
        .split_once('.')
        .map(|(_table, column)| column.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_names_its_column_if_it_is_one() {
        assert_eq!(
            column_at_fault("NOT NULL constraint failed: accounts.name").as_deref(),
            Some("name")
        );
        assert_eq!(
            column_at_fault("cannot store TEXT value in REAL column a.score").as_deref(),
            Some("score")
        );
        assert_eq!(column_at_fault("UNIQUE constraint failed: a.x, a.y"), None);
        assert_eq!(column_at_fault("CHECK constraint failed: a.x > 0"), None);
        assert_eq!(column_at_fault("FOREIGN KEY constraint failed"), None);
    }
}
