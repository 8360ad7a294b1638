//! What sources and destinations share about databases: opening connections, quoting names, reading
//! the catalogue, and what an error means. Knows nothing of jobs, batches or runs.

pub(crate) mod adbc;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod tables;

use std::path::Path;
use std::time::Duration;

use crate::domain::error::SystemError;
use crate::user_file;

/// How much longer than a server's own limits an answer is waited for. A server that is alive has
/// long since said that the statement took too long; this is for a server or a network that has
/// gone silent.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// Sees to it that the drivers find a file to read: they would wait for a named pipe. They are
/// given its name and not what stands in it, since they quote that in their errors, and it may be a
/// private key by mistake.
fn expect_authorities(connection: &str, ca_file: &Path) -> Result<(), SystemError> {
    user_file::certificates(ca_file)
        .map(drop)
        .map_err(|error| SystemError::Failed {
            connection: connection.to_owned(),
            doing: format!("reading `{}`", ca_file.display()),
            source: error.into(),
            hint: Some(format!("check `ca_file` of `[connections.{connection}]`")),
        })
}

/// What is said of a server that has gone silent.
fn silence(doing: &str, waited: Duration) -> String {
    format!(
        "no answer within {} while {doing}",
        humantime::format_duration(waited)
    )
}

/// How a database writes things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    Mysql,
    Duckdb,
}

impl Dialect {
    /// A name that the catalogue (or a schema file's parser) gave, quoted. No character of it can
    /// end the quotes; a NUL, which no database accepts in a name, is dropped.
    pub(crate) fn quote(self, name: &str) -> String {
        let name = name.replace('\0', "");
        match self {
            Self::Sqlite | Self::Postgres | Self::Duckdb => {
                format!("\"{}\"", name.replace('"', "\"\""))
            }
            Self::Mysql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A qualified name, outermost part first.
    pub(crate) fn quote_path<'a>(self, path: impl IntoIterator<Item = &'a String>) -> String {
        path.into_iter()
            .map(|part| self.quote(part))
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// The one gate through which generated SQL reaches a driver. Whoever calls it vouches that the
/// text holds no value from a record or a user: names passed through [`Dialect::quote`], values are
/// bound.
pub(crate) fn audited(sql: String) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql)
}

/// What to do about a server that answers the wish for TLS with no.
fn no_tls_hint(connection: &str) -> String {
    format!(
        "turn TLS on at the server, or, if nobody can listen on the way there, write `tls = \"off\"` under \
         `[connections.{connection}]`"
    )
}
