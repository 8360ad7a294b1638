//! The settings of a session that change what is read or written, whatever the server, its
//! configuration, `SET GLOBAL` or `init_connect` have made of them: each with the value it must
//! have, and why. A setting that the server does not know changes nothing there; one that cannot be
//! brought to its value ends the connection before anything is done on it.
//!
//! What depends on the connection (timeouts, `sql_mode`) is set where the session is opened.
//!
//! Left as they are on purpose, because a model runs in the dialect its server is set to:
//! `div_precision_increment`, `default_week_format`, `lc_time_names`, `default_regex_flags`,
//! `old_mode`, and of `sql_mode` when reading all but [`PADDING`]. Left because the server refuses
//! aloud: `tx_read_only`, `max_session_mem_used`, `tmp_disk_table_size`, `max_allowed_packet`. Of
//! no effect on what we ask: `explicit_defaults_for_timestamp`, `innodb_strict_mode` and the other
//! settings of DDL, `low_priority_updates`, `max_sort_length`, everything the optimizer heeds.
//! Beyond a session's reach: `innodb_flush_log_at_trx_commit`, `sync_binlog`. Source:
//! <https://mariadb.com/kb/en/server-system-variables/>,
//! <https://dev.mysql.com/doc/refman/8.0/en/server-system-variables.html>.

use super::{Purpose, Session, text};
use crate::domain::error::SystemError;

/// A setting as it must be.
struct Setting {
    name: &'static str,
    /// As `SHOW VARIABLES` writes it.
    value: &'static str,
    /// What it would do otherwise; completes "`sql_notes` …".
    why: &'static str,
    /// `None` for every purpose.
    purpose: Option<Purpose>,
}

const fn always(name: &'static str, value: &'static str, why: &'static str) -> Setting {
    Setting {
        name,
        value,
        why,
        purpose: None,
    }
}

const fn writing(name: &'static str, value: &'static str, why: &'static str) -> Setting {
    Setting {
        name,
        value,
        why,
        purpose: Some(Purpose::Write),
    }
}

const fn reading(name: &'static str, value: &'static str, why: &'static str) -> Setting {
    Setting {
        name,
        value,
        why,
        purpose: Some(Purpose::Read),
    }
}

/// Comes before the first question, which would else be refused or its answer cut.
pub(super) const UNCUT: &str =
    "SET SESSION sql_select_limit = 18446744073709551615, sql_big_selects = 1";

/// What is being done, in an error's words.
const SETTING_UP: &str = "setting up the session";

/// The flag of `sql_mode` that gives a `CHAR` back with blanks that nobody wrote.
const PADDING: &str = "PAD_CHAR_TO_FULL_LENGTH";

/// Notes that the server keeps of a statement: the most it can.
pub(crate) const NOTES_MAX: usize = 65_535;

const SETTINGS: &[Setting] = &[
    // Cut.
    always(
        "sql_select_limit",
        "18446744073709551615",
        "cuts what a SELECT yields",
    ),
    always(
        "sql_big_selects",
        "ON",
        "refuses joins that look large (`max_join_size`)",
    ),
    always(
        "system_versioning_asof",
        "DEFAULT",
        "shows rows of system-versioned tables as they once were",
    ),
    // As much as fits a packet; MariaDB's later releases (10.11.19) allow no more.
    reading(
        "group_concat_max_len",
        "1073741824",
        "cuts what GROUP_CONCAT of a model gathers",
    ),
    reading(
        "max_recursive_iterations",
        "4294967295",
        "ends a model's recursion early, with what it has by then",
    ),
    // Reinterpret.
    always("time_zone", "+00:00", "moves instants"),
    always(
        "character_set_client",
        "utf8mb4",
        "takes our text for another",
    ),
    always("character_set_connection", "utf8mb4", "converts our text"),
    always("character_set_results", "utf8mb4", "converts what is read"),
    always(
        "sql_auto_is_null",
        "OFF",
        "finds the last row inserted where NULL is looked for",
    ),
    // Transactions.
    always(
        "autocommit",
        "ON",
        "leaves transactions open that nobody began",
    ),
    always(
        "completion_type",
        "NO_CHAIN",
        "begins a transaction after each, or ends the connection",
    ),
    reading(
        "tx_isolation",
        "REPEATABLE-READ",
        "lets a pull see what others write meanwhile",
    ),
    reading(
        "transaction_isolation",
        "REPEATABLE-READ",
        "lets a pull see what others write meanwhile",
    ),
    writing(
        "tx_isolation",
        "READ-COMMITTED",
        "locks more than the rows that are written",
    ),
    writing(
        "transaction_isolation",
        "READ-COMMITTED",
        "locks more than the rows that are written",
    ),
    reading("idle_transaction_timeout", "0", "ends a pull that waits"),
    always(
        "idle_readonly_transaction_timeout",
        "0",
        "ends a transaction that waits",
    ),
    always(
        "idle_write_transaction_timeout",
        "0",
        "ends a transaction that waits",
    ),
    // What the server would take without a word: notes tell of values that were cut or rounded.
    writing("sql_notes", "ON", "keeps the server's notes from us"),
    writing(
        "note_verbosity",
        "basic",
        "keeps the server's notes from us",
    ),
    writing(
        "max_error_count",
        "65535",
        "keeps only the first of the server's notes",
    ),
    writing(
        "foreign_key_checks",
        "ON",
        "writes what foreign keys forbid",
    ),
    writing(
        "unique_checks",
        "ON",
        "may write what unique indexes forbid",
    ),
    writing(
        "check_constraint_checks",
        "ON",
        "writes what CHECK constraints forbid",
    ),
    writing(
        "sql_safe_updates",
        "OFF",
        "refuses updates that name no key",
    ),
    writing(
        "system_versioning_insert_history",
        "OFF",
        "lets history be written",
    ),
];

/// Brings the session's settings to the values they must have.
/// Errors: `Failed`, naming a setting that stays as it is.
pub(super) async fn pin(session: &mut Session, purpose: Purpose) -> Result<(), SystemError> {
    let wanted = || {
        SETTINGS
            .iter()
            .filter(move |setting| setting.purpose.is_none_or(|only| only == purpose))
    };
    let held = values(session, wanted().map(|setting| setting.name)).await?;
    let differing = |held: &[(String, String)]| {
        let differs = |setting: &&Setting| {
            held.iter()
                .any(|(name, value)| name == setting.name && value != setting.value)
        };
        wanted().filter(differs).collect::<Vec<_>>()
    };
    let differing_now = differing(&held);
    if differing_now.is_empty() {
        return Ok(());
    }
    let assignments: Vec<String> = differing_now
        .iter()
        .map(|setting| format!("{} = {}", setting.name, literal(setting.value)))
        .collect();
    // All of them or none; what cannot be set is found by what stays.
    if let Err(error) = session
        .run(
            format!("SET SESSION {}", assignments.join(", ")),
            SETTING_UP,
        )
        .await
    {
        if error.is_transient() {
            return Err(error);
        }
        for (setting, assignment) in differing_now.iter().zip(&assignments) {
            let set = session
                .run(format!("SET SESSION {assignment}"), SETTING_UP)
                .await;
            set.map_err(|error| {
                if error.is_transient() {
                    error
                } else {
                    stays(session, setting)
                }
            })?;
        }
    }
    let held = values(session, wanted().map(|setting| setting.name)).await?;
    differing(&held)
        .first()
        .map_or(Ok(()), |setting| Err(stays(session, setting)))
}

/// Takes what would pad values out of a reader's `sql_mode`; the rest of it is the dialect that
/// models are written in.
pub(super) async fn unpad(session: &mut Session) -> Result<(), SystemError> {
    let mode = values(session, ["sql_mode"].into_iter())
        .await?
        .pop()
        .map(|(_, mode)| mode)
        .unwrap_or_default();
    let kept: Vec<&str> = mode
        .split(',')
        .filter(|flag| !flag.eq_ignore_ascii_case(PADDING))
        .collect();
    let kept = kept.join(",");
    match kept == mode {
        true => Ok(()),
        false => {
            session
                .run(format!("SET SESSION sql_mode = '{kept}'"), SETTING_UP)
                .await
        }
    }
}

/// What settings are now: those that the server knows.
async fn values(
    session: &mut Session,
    names: impl Iterator<Item = &'static str>,
) -> Result<Vec<(String, String)>, SystemError> {
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    let sql = format!(
        "SHOW SESSION VARIABLES WHERE Variable_name IN ({})",
        names.join(", ")
    );
    let rows = session
        .plain_rows(sql, "reading the session's settings")
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| Some((text(row, 0)?.to_ascii_lowercase(), text(row, 1)?)))
        .collect())
}

/// Numbers and `DEFAULT` stand as they are, words in quotes.
fn literal(value: &str) -> String {
    let is_bare = value == "DEFAULT" || value.bytes().all(|byte| byte.is_ascii_digit());
    if is_bare {
        value.to_owned()
    } else {
        format!("'{value}'")
    }
}

fn stays(session: &Session, setting: &Setting) -> SystemError {
    let Setting {
        name, value, why, ..
    } = setting;
    SystemError::Failed {
        connection: session.name().to_owned(),
        doing: SETTING_UP.to_owned(),
        source: format!("`{name}` is not `{value}` and cannot be made so; as it is, it {why}")
            .into(),
        hint: Some(format!(
            "have the server's administrator set `{name}` back, or connect past what changes it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_is_wanted_in_two_ways() {
        for purpose in [Purpose::Read, Purpose::Write] {
            let wanted = SETTINGS
                .iter()
                .filter(|setting| setting.purpose.is_none_or(|only| only == purpose));
            let mut names: Vec<&str> = wanted.map(|setting| setting.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{names:?}");
        }
    }

    #[test]
    fn values_are_written_as_the_server_reads_them() {
        assert_eq!(literal("65535"), "65535");
        assert_eq!(literal("DEFAULT"), "DEFAULT");
        assert_eq!(literal("NO_CHAIN"), "'NO_CHAIN'");
        assert_eq!(literal("+00:00"), "'+00:00'");
    }
}
