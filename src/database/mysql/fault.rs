//! What an error of MySQL or MariaDB means to whoever asked.
//! Source: <https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>,
//! <https://mariadb.com/kb/en/mariadb-error-code-reference/>.

use sqlx::mysql::MySqlDatabaseError;

use crate::database::{Dialect, no_tls_hint};
use crate::domain::certificate;
use crate::domain::connection::{ServerSettings, Tls};
use crate::domain::error::SystemError;

/// An error of a statement on an open connection. `table` is the quoted path of the table in use,
/// for the hint.
pub(crate) fn running(
    connection: &str,
    doing: &str,
    table: Option<&str>,
    error: sqlx::Error,
) -> SystemError {
    let Some(database) = server_error(&error) else {
        return unserved(connection, doing, error);
    };
    let message = database.message().to_owned();
    match meaning(
        database.number(),
        database.code().unwrap_or_default(),
        &message,
    ) {
        Meaning::Unavailable => SystemError::Unavailable {
            connection: connection.to_owned(),
            source: Box::new(error),
        },
        Meaning::ReadOnly => SystemError::ReadOnly {
            connection: connection.to_owned(),
            source: Box::new(error),
        },
        Meaning::Exhausted => SystemError::Exhausted {
            connection: connection.to_owned(),
            source: Box::new(error),
        },
        Meaning::Contended => SystemError::Contended {
            connection: connection.to_owned(),
            source: Box::new(error),
        },
        Meaning::Refused => {
            let clashes = CLASHES.contains(&database.number());
            SystemError::Refused {
                column: column_named(&message),
                message,
                clashes,
            }
        }
        Meaning::Forbidden => SystemError::Forbidden {
            connection: connection.to_owned(),
            hint: grant(&message, table),
            source: Box::new(error),
        },
        Meaning::Missing => SystemError::NotFound {
            what: missing(&message),
            hint: None,
        },
        Meaning::Failed => failed(connection, doing, error, None),
    }
}

/// An error of connecting.
pub(super) fn connecting(
    connection: &str,
    settings: &ServerSettings,
    error: sqlx::Error,
) -> SystemError {
    let number = server_error(&error).map(MySqlDatabaseError::number);
    let hint = match (number, &error) {
        // MariaDB tells nobody without TLS that it is TLS that it wants.
        (Some(1045 | 1698), _) if settings.tls == Tls::Off && settings.socket.is_none() => {
            Some(format!(
                "check `user` and `password` of `[connections.{connection}]`; if the server asks for encryption, write \
             `tls = \"verified\"` there"
            ))
        }
        (Some(1045 | 1698), _) => Some(format!(
            "check `user` and `password` of `[connections.{connection}]`"
        )),
        (Some(1044), sqlx::Error::Database(denied)) => {
            Some(entry_hint(connection, denied.message()))
        }
        (Some(1049), _) => Some(format!("check `database` of `[connections.{connection}]`")),
        (Some(1129 | 1130), _) => {
            Some("the server admits no connection from this host; ask its administrator".to_owned())
        }
        (None, sqlx::Error::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => {
            Some(certificate::hint(&io.to_string(), tls_hint(connection)))
        }
        // The driver's words for a server that does not offer it.
        (None, sqlx::Error::Tls(why)) if why.to_string().contains("does not support TLS") => {
            Some(no_tls_hint(connection))
        }
        (None, sqlx::Error::Tls(why)) => {
            Some(certificate::hint(&why.to_string(), tls_hint(connection)))
        }
        (Some(INSECURE_TRANSPORT), _) => Some(encryption_hint(connection, "asks")),
        (None, sqlx::Error::Protocol(_) | sqlx::Error::Configuration(_))
            if settings.tls == Tls::Off =>
        {
            Some(encryption_hint(connection, "may ask"))
        }
        _ => None,
    };
    match hint {
        Some(hint) => failed(connection, "connecting", error, Some(hint)),
        None => running(connection, "connecting", None, error),
    }
}

/// A user who has no right to anything in a database is not let into it, nor told whether there is
/// one: `Access denied for user 'w'@'%' to database 'crm'`.
fn entry_hint(connection: &str, message: &str) -> String {
    let check = format!("check `database` of `[connections.{connection}]`");
    let denied = message
        .split_once(" for user ")
        .and_then(|(_, rest)| rest.split_once(" to database '"));
    let Some((account, database)) = denied else {
        return check;
    };
    let database = Dialect::Mysql.quote(database.trim_end_matches('\''));
    format!(
        "{check}; if it is right, its user has no right to anything in it: GRANT SELECT ON {database}.* TO {account}"
    )
}

/// `ER_SECURE_TRANSPORT_REQUIRED`, of both servers.
const INSECURE_TRANSPORT: u16 = 3159;

fn encryption_hint(connection: &str, asks: &str) -> String {
    format!(
        "set `tls = \"verified\"` in `[connections.{connection}]`: the server {asks} for encryption"
    )
}

fn tls_hint(connection: &str) -> String {
    format!(
        "check `host` and `ca_file` of `[connections.{connection}]`: the server could not prove who it is"
    )
}

fn server_error(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    error
        .as_database_error()
        .and_then(|database| database.try_downcast_ref::<MySqlDatabaseError>())
}

/// An error that the server did not send.
fn unserved(connection: &str, doing: &str, error: sqlx::Error) -> SystemError {
    match matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) {
        true => SystemError::Unavailable {
            connection: connection.to_owned(),
            source: Box::new(error),
        },
        false => failed(connection, doing, error, None),
    }
}

fn failed(connection: &str, doing: &str, error: sqlx::Error, hint: Option<String>) -> SystemError {
    SystemError::Failed {
        connection: connection.to_owned(),
        doing: doing.to_owned(),
        source: Box::new(error),
        hint,
    }
}

/// What can be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Unavailable,
    ReadOnly,
    Exhausted,
    Contended,
    Refused,
    Forbidden,
    Missing,
    Failed,
}

fn meaning(number: u16, state: &str, message: &str) -> Meaning {
    match number {
        // Shutdown, lost or killed connections, network trouble, a Galera node out of service.
        1047 | 1053 | 1077..=1079 | 1152 | 1158..=1161 | 1184 | 1927 | 2006 | 2013 | 4031 => {
            Meaning::Unavailable
        }
        1290 if message.contains("read-only") || message.contains("read_only") => Meaning::ReadOnly,
        1836 => Meaning::ReadOnly,
        // Connections, memory, what one account may have open or do in an hour.
        1040 | 1041 | 1203 | 1226 => Meaning::Exhausted,
        // Lock waits, deadlocks, rows changed meanwhile, time limits, killed statements.
        1020 | 1205 | 1206 | 1213 | 1317 | 1613 | 1614 | 1637 | 1969 | 3024 | 3058 | 3101
        | 3572 => Meaning::Contended,
        1044 | 1142 | 1143 | 1227 | 1370 => Meaning::Forbidden,
        1049 | 1054 | 1146 => Meaning::Missing,
        // NULL, default, unique, range, date, encoding, length, foreign key, CHECK, CHECK OPTION,
        // partition, JSON, SIGNAL.
        1048
        | 1062
        | 1216
        | 1217
        | 1264
        | 1265
        | 1292
        | 1364..=1366
        | 1369
        | 1406
        | 1451
        | 1452
        | 1526
        | 1557
        | 1586
        | 1644
        | 1690
        | 1748
        | 1761
        | 1762
        | 3140
        | 3141
        | 3156
        | 3819 => Meaning::Refused,
        4025 if state == "23000" => Meaning::Refused,
        _ => meaning_of_state(state),
    }
}

/// Errors about other rows: a key or an index that holds the value, a foreign key.
const CLASHES: [u16; 9] = [1062, 1216, 1217, 1451, 1452, 1557, 1586, 1761, 1762];

/// What the class of an SQLSTATE says when the number is not known: triggers choose theirs freely.
fn meaning_of_state(state: &str) -> Meaning {
    match state.get(..2) {
        Some("08") => Meaning::Unavailable,
        Some("40") => Meaning::Contended,
        Some("22" | "23" | "44" | "45") => Meaning::Refused,
        _ => Meaning::Failed,
    }
}

/// The column that a refusal names: `Data too long for column 'name' at row 3`, `Column 'name'
/// cannot be null`, ``Incorrect string value: … for column `crm`.`accounts`.`name` at row 1``.
pub(crate) fn column_named(message: &str) -> Option<String> {
    let named = |marker: &str| {
        message
            .rfind(marker)
            .and_then(|start| message.get(start + marker.len()..))
    };
    let leading = |marker: &str| message.strip_prefix(marker);
    let place = named("for column ")
        .or_else(|| leading("Column "))
        .or_else(|| leading("Field "))?;
    let mut name = None;
    let mut rest = place;
    loop {
        let quote = rest
            .chars()
            .next()
            .filter(|character| matches!(character, '\'' | '`'))?;
        let (part, after) = rest.get(1..)?.split_once(quote)?;
        name = Some(part.to_owned()).or(name);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return name,
        }
    }
}

/// The statement that would allow what was denied, read off the server's own words:
/// `UPDATE command denied to user 'w'@'%' for column 'score' in table 'accounts'`.
fn grant(message: &str, table: Option<&str>) -> String {
    let denied = message.split_once(" command denied to user ");
    let (Some((privilege, rest)), Some(table)) = (denied, table) else {
        return "ask the server's administrator for the rights that the cause names".to_owned();
    };
    let user = rest.split(" for ").next().unwrap_or(rest);
    let columns = column_named(message).map_or(String::new(), |column| {
        format!(" ({})", Dialect::Mysql.quote(&column))
    });
    format!("GRANT {privilege}{columns} ON {table} TO {user}")
}

/// What a `Missing` error misses: `Table 'crm.accounts' doesn't exist`, `Unknown column 'x' in
/// 'field list'`.
fn missing(message: &str) -> String {
    let name = message.split('\'').nth(1).unwrap_or(message);
    let kind = match message {
        _ if message.contains("olumn") => "column",
        _ if message.contains("atabase") => "database",
        _ => "table",
    };
    format!("{kind} `{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_by_what_can_be_done() {
        assert_eq!(meaning(1213, "40001", ""), Meaning::Contended);
        assert_eq!(
            meaning(1969, "70100", "max_statement_time exceeded"),
            Meaning::Contended
        );
        assert_eq!(meaning(1927, "70100", ""), Meaning::Unavailable);
        assert_eq!(meaning(1040, "08004", ""), Meaning::Exhausted);
        assert_eq!(
            meaning(1290, "HY000", "running with the --read-only option"),
            Meaning::ReadOnly
        );
        assert_eq!(
            meaning(1290, "HY000", "running with the --secure-file-priv option"),
            Meaning::Failed
        );
        assert_eq!(meaning(1062, "23000", ""), Meaning::Refused);
        assert_eq!(meaning(4025, "23000", ""), Meaning::Refused);
        assert_eq!(meaning(4025, "HY000", ""), Meaning::Failed);
        assert_eq!(meaning(31001, "45000", ""), Meaning::Refused);
        assert_eq!(meaning(1143, "42000", ""), Meaning::Forbidden);
        assert_eq!(meaning(1146, "42S02", ""), Meaning::Missing);
        assert_eq!(meaning(1064, "42000", ""), Meaning::Failed);
    }

    #[test]
    fn the_column_is_read_off_the_server_s_words() {
        let cases = [
            ("Data too long for column 'name' at row 1", Some("name")),
            ("Column 'score' cannot be null", Some("score")),
            ("Field 'kind' doesn't have a default value", Some("kind")),
            (
                "Incorrect decimal value: 'for column' for column `crm`.`accounts`.`score` at row 2",
                Some("score"),
            ),
            ("Duplicate entry 'a' for key 'PRIMARY'", None),
            ("CONSTRAINT `positive` failed for `crm`.`accounts`", None),
            ("", None),
        ];
        for (message, column) in cases {
            assert_eq!(column_named(message).as_deref(), column, "{message}");
        }
    }

    #[test]
    fn the_hint_is_the_grant_that_is_missing() {
        let table = Some("`crm`.`accounts`");
        assert_eq!(
            grant(
                "UPDATE command denied to user 'w'@'%' for column 'score' in table 'accounts'",
                table
            ),
            "GRANT UPDATE (`score`) ON `crm`.`accounts` TO 'w'@'%'"
        );
        assert_eq!(
            grant(
                "INSERT command denied to user 'w'@'%' for table `crm`.`accounts`",
                table
            ),
            "GRANT INSERT ON `crm`.`accounts` TO 'w'@'%'"
        );
    }
}
