//! What DuckDB's errors mean for a run. Its driver tells no SQLSTATE, so that its own words are
//! sorted: each begins with the kind of the error.
//! Source: `src/common/exception.cpp` in <https://github.com/duckdb/duckdb>.

use adbc_core::error::Error;

use crate::database::adbc::fault::Failures;
use crate::domain::error::SystemError;

/// Sorts an error by what can be done about it; `doing` completes "… failed".
pub(super) fn sort(failures: &Failures, doing: &str, error: &Error) -> SystemError {
    let (kind, words) = parts(&error.message);
    let connection = || failures.connection().to_owned();
    let refused = |clashes: bool| SystemError::Refused {
        message: format!("{kind}: {words}"),
        column: column_at_fault(words).map(str::to_owned),
        clashes,
    };
    match kind {
        "Constraint Error" => refused(is_about_other_rows(words)),
        "Conversion Error"
        | "Out of Range Error"
        | "Invalid Input Error"
        | "Mismatch Type Error" => refused(false),
        "TransactionContext Error" if words.contains("constraint violation") => refused(true),
        "TransactionContext Error" if is_conflict(words) => SystemError::Contended {
            connection: connection(),
            source: words.to_owned().into(),
        },
        "Out of Memory Error" => SystemError::Exhausted {
            connection: connection(),
            source: words.to_owned().into(),
        },
        "INTERRUPT Error" => SystemError::Failed {
            connection: connection(),
            doing: doing.to_owned(),
            source: words.to_owned().into(),
            hint: Some("it took longer than `statement_timeout` allows".to_owned()),
        },
        "IO Error" if words.contains("No space left") => SystemError::Failed {
            connection: connection(),
            doing: doing.to_owned(),
            source: words.to_owned().into(),
            hint: Some("make room on the disk, then run again".to_owned()),
        },
        // After it come the values of the rows.
        "FATAL Error" if words.contains(INDEX_DAMAGED) => SystemError::Failed {
            connection: connection(),
            doing: doing.to_owned(),
            source: words.lines().next().unwrap_or(words).to_owned().into(),
            hint: Some(INDEX_HINT.to_owned()),
        },
        _ => failures.of_driver(doing, error),
    }
}

/// What DuckDB says of an index that lacks rows of its table, as a killed process may leave it: seen
/// of 1.5, which reads its log back and forgets one.
const INDEX_DAMAGED: &str = "Failed to delete all rows from index";

const INDEX_HINT: &str = "an index of the table is damaged: drop it in DuckDB and create it again, then do this once more";

/// The kind of an error and its words, in one line and without the statement it shows.
fn parts(message: &str) -> (&str, &str) {
    let first = message.split("\n\n").next().unwrap_or(message).trim();
    first.split_once(": ").unwrap_or(("", first))
}

/// Whether a constraint speaks of what other rows hold.
fn is_about_other_rows(words: &str) -> bool {
    words.starts_with("Duplicate key") || words.contains("foreign key constraint")
}

/// Whether another transaction changed the same rows, or the table, in the meantime.
fn is_conflict(words: &str) -> bool {
    words.to_ascii_lowercase().contains("conflict")
}

/// The column that a constraint names.
fn column_at_fault(words: &str) -> Option<&str> {
    let duplicate = words
        .strip_prefix("Duplicate key \"")
        .and_then(|rest| rest.split_once(": "))
        .map(|(column, _)| column);
    let not_null = words
        .strip_prefix("NOT NULL constraint failed: ")
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, column)| column);
    duplicate.or(not_null)
}

#[cfg(test)]
mod tests {
    use adbc_core::error::Status;

    use super::*;

    fn sorted(message: &str) -> SystemError {
        let error = Error::with_message_and_status(message, Status::InvalidArguments);
        sort(&Failures::of_duckdb("crm"), "updating", &error)
    }

    #[test]
    fn constraints_refuse_records_in_their_own_words() {
        for (message, told, at, clash) in [
            (
                "Constraint Error: Duplicate key \"note: x\" violates unique constraint.",
                "Constraint Error: Duplicate key \"note: x\" violates unique constraint.",
                Some("note"),
                true,
            ),
            (
                "Constraint Error: NOT NULL constraint failed: t.n",
                "Constraint Error: NOT NULL constraint failed: t.n",
                Some("n"),
                false,
            ),
            (
                "Constraint Error: CHECK constraint failed on table t with expression CHECK((a < 9))",
                "Constraint Error: CHECK constraint failed on table t with expression CHECK((a < 9))",
                None,
                false,
            ),
            (
                "Constraint Error: Violates foreign key constraint because key \"id: 9\" does not exist",
                "Constraint Error: Violates foreign key constraint because key \"id: 9\" does not exist",
                None,
                true,
            ),
            (
                "Conversion Error: Malformed JSON at byte 1\n\nLINE 1: UPDATE t SET …\n        ^",
                "Conversion Error: Malformed JSON at byte 1",
                None,
                false,
            ),
            (
                "TransactionContext Error: Failed to commit: PRIMARY KEY or UNIQUE constraint violation: duplicate key \"Z\"",
                "TransactionContext Error: Failed to commit: PRIMARY KEY or UNIQUE constraint violation: duplicate key \"Z\"",
                None,
                true,
            ),
        ] {
            let SystemError::Refused {
                message: words,
                column,
                clashes,
            } = sorted(message)
            else {
                panic!("{message} refuses a record");
            };
            assert_eq!(
                (words.as_str(), column.as_deref(), clashes),
                (told, at, clash)
            );
        }
    }

    #[test]
    fn a_damaged_index_is_told_with_what_to_do_and_without_values() {
        let error = sorted(
            "FATAL Error: Invalid Input Error: Failed to delete all rows from index. Only deleted 1 out of 2 rows.\n\
             Chunk: Chunk - [1 Columns]\n- FLAT VARCHAR: 2 = [ secret, other]\n",
        );
        assert_eq!(error.hint().as_deref(), Some(INDEX_HINT));
        assert!(
            !crate::domain::error::chain(&error)
                .join(" ")
                .contains("secret")
        );
    }

    #[test]
    fn what_another_transaction_did_meanwhile_is_tried_again() {
        for message in [
            "TransactionContext Error: Conflict on update!",
            "TransactionContext Error: Failed to commit: write-write conflict on key: \"A\"",
            "IO Error: Could not set lock on file \"x.duckdb\": Conflicting lock is held in PID 7",
        ] {
            assert!(sorted(message).is_transient(), "{message}");
        }
        assert!(
            !sorted("TransactionContext Error: Current transaction is aborted (please ROLLBACK)")
                .is_transient()
        );
        assert!(!sorted("Catalog Error: Table with name x does not exist!").is_transient());
    }
}
