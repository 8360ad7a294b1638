//! MySQL and MariaDB: connecting, the catalogue, and what its errors mean. Knows nothing of
//! batches, layouts or chunks.

pub(crate) mod catalogue;
pub(crate) mod fault;
pub(crate) mod settings;

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions, Connection as _, MySqlConnection, Row};

use super::{ANSWER_GRACE, audited, expect_authorities, silence};
use crate::domain::connection::{Connection, ServerSettings, Tls};
use crate::domain::error::SystemError;

/// What a session is opened for; it decides how strict the server is told to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A model runs in the dialect its server is set to, in one snapshot.
    Read,
    /// Nothing may be cut or rounded in silence, and nothing but updated rows may be locked.
    Write,
}

/// The server at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) mariadb: bool,
    /// Major and minor version.
    pub(crate) version: (u32, u32),
}

impl Server {
    /// Reads `VERSION()`: `8.0.36`, `10.11.6-MariaDB-log`, or MariaDB's guise for old replicas,
    /// `5.5.5-10.11.6-MariaDB`.
    fn read(version: &str) -> Self {
        let mariadb = version.to_ascii_lowercase().contains("mariadb");
        let version = version.strip_prefix("5.5.5-").unwrap_or(version);
        let mut parts = version.split(|character: char| !character.is_ascii_digit());
        let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        Self {
            mariadb,
            version: (next(), next()),
        }
    }

    /// Whether `JSON_TABLE`, by which batches travel, is there.
    /// Source: <https://mariadb.com/kb/en/json_table/>,
    /// <https://dev.mysql.com/doc/refman/8.0/en/json-table-functions.html>.
    fn takes_batches(self) -> bool {
        self.version >= if self.mariadb { (10, 6) } else { (8, 0) }
    }
}

/// One connection with its session set up. After the connection broke, or no answer came in time,
/// it is gone and every call says so: the caller opens another session.
pub(crate) struct Session {
    name: String,
    connection: Option<MySqlConnection>,
    server: Server,
    /// Longest wait for an answer. The server's own limits end a statement earlier wherever they
    /// can; this one is for a server that went silent.
    answer_wait_max: Duration,
    packet_bytes_max: usize,
    /// Quoted path of the table in use, for the hint of an error.
    table: Option<String>,
}

/// The parts of `sql_mode` that writing depends on. None of them changes how statements are parsed.
/// Without `NO_AUTO_VALUE_ON_ZERO` a 0 in an `AUTO_INCREMENT` column becomes another number. Every
/// date is let through: records hold none that is no date, and `IF(…, day)`, which keeps what a row
/// holds, makes NULL of `0000-00-00` without a word in a mode that knows none.
const STRICT_MODE: &str = "STRICT_ALL_TABLES,ALLOW_INVALID_DATES,ERROR_FOR_DIVISION_BY_ZERO,\
                           NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

/// What takes every date that a column can hold.
const LAX_MODE: &str = "ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION";

impl Session {
    /// Connects and sets the session up, within the connection's time limit. Errors: `Unavailable`;
    /// `Failed` if the server lets nobody in, cannot prove who it is or will not be strict.
    pub(crate) async fn open(
        connection: &Connection,
        purpose: Purpose,
    ) -> Result<Self, SystemError> {
        let settings = settings(connection)?;
        let opening = Self::open_unbounded(connection, settings, purpose);
        let wait_max = connection.limits.connect_timeout;
        tokio::time::timeout(wait_max, opening)
            .await
            .unwrap_or_else(|_| Err(silent(&connection.name, "connecting", wait_max)))
    }

    async fn open_unbounded(
        connection: &Connection,
        settings: &ServerSettings,
        purpose: Purpose,
    ) -> Result<Self, SystemError> {
        let opened = connect_options(&connection.name, settings)?.connect().await;
        let opened =
            opened.map_err(|error| fault::connecting(&connection.name, settings, error))?;
        let limits = &connection.limits;
        let mut session = Self {
            name: connection.name.clone(),
            connection: Some(opened),
            server: Server {
                mariadb: false,
                version: (0, 0),
            },
            answer_wait_max: limits.statement_timeout + limits.lock_timeout + ANSWER_GRACE,
            packet_bytes_max: 0,
            table: None,
        };
        session
            .run(settings::UNCUT.to_owned(), "setting up the session")
            .await?;
        session.greet().await?;
        for statement in session_statements(session.server, purpose, connection) {
            session.run(statement, "setting up the session").await?;
        }
        settings::pin(&mut session, purpose).await?;
        match purpose {
            Purpose::Read => settings::unpad(&mut session).await?,
            Purpose::Write => session.insist_on_strictness().await?,
        }
        Ok(session)
    }

    /// Learns who answers and how large a packet may be.
    async fn greet(&mut self) -> Result<(), SystemError> {
        let sql = "SELECT VERSION(), CAST(@@max_allowed_packet AS CHAR)".to_owned();
        let rows = self.rows(sql, &[], "asking the server's version").await?;
        let answer = |position: usize| {
            rows.first()
                .and_then(|row| text(row, position))
                .unwrap_or_default()
        };
        self.server = Server::read(&answer(0));
        self.packet_bytes_max = answer(1).parse().unwrap_or(PACKET_BYTES_DEFAULT);
        Ok(())
    }

    async fn insist_on_strictness(&mut self) -> Result<(), SystemError> {
        let doing = "making the server strict";
        let rows = self
            .rows("SELECT @@SESSION.sql_mode".to_owned(), &[], doing)
            .await?;
        let mode = rows
            .first()
            .and_then(|row| text(row, 0))
            .unwrap_or_default();
        if !is_strict(&mode) {
            return Err(SystemError::Failed {
                connection: self.name.clone(),
                doing: doing.to_owned(),
                source: format!("the session's sql_mode stays `{mode}`").into(),
                hint: Some("connect past whatever stands between here and the server".to_owned()),
            });
        }
        if !self.server.takes_batches() {
            let (major, minor) = self.server.version;
            return Err(SystemError::Failed {
                connection: self.name.clone(),
                doing: "preparing to write".to_owned(),
                source: format!("version {major}.{minor} has no JSON_TABLE").into(),
                hint: Some("write-backs need MariaDB 10.6 or MySQL 8.0, or later".to_owned()),
            });
        }
        Ok(())
    }

    /// Lets the session take what a laxer server let in: dates that are none, and labels that are
    /// none. What does not fit is cut in silence until [`Session::be_strict`] is called.
    pub(crate) async fn be_lax(&mut self) -> Result<(), SystemError> {
        self.run(
            format!("SET SESSION sql_mode = '{LAX_MODE}'"),
            "making the server lax",
        )
        .await
    }

    /// Makes the session as strict as it was opened.
    pub(crate) async fn be_strict(&mut self) -> Result<(), SystemError> {
        self.run(
            format!("SET SESSION sql_mode = '{STRICT_MODE}'"),
            "making the server strict",
        )
        .await
    }

    /// The connection's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that one packet to the server may have.
    pub(crate) fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    /// Names the table that later statements touch, quoted, so that an error's hint can name it.
    pub(crate) fn set_table(&mut self, table: String) {
        self.table = Some(table);
    }

    /// Runs one statement that yields nothing.
    pub(crate) async fn run(&mut self, sql: String, doing: &str) -> Result<(), SystemError> {
        let wait_max = self.answer_wait_max;
        let connection = self.connected()?;
        let running = sqlx::raw_sql(audited(sql)).execute(connection);
        let answer = tokio::time::timeout(wait_max, running).await;
        self.judge(answer, doing).map(|_| ())
    }

    /// Runs one statement with text parameters; returns its rows.
    pub(crate) async fn rows(
        &mut self,
        sql: String,
        parameters: &[&str],
        doing: &str,
    ) -> Result<Vec<MySqlRow>, SystemError> {
        let wait_max = self.answer_wait_max;
        let connection = self.connected()?;
        let query = parameters
            .iter()
            .fold(sqlx::query(audited(sql)), |query, parameter| {
                query.bind(*parameter)
            });
        let answer = tokio::time::timeout(wait_max, query.fetch_all(connection)).await;
        self.judge(answer, doing)
    }

    /// Runs one statement with text parameters; hands each of its rows over as it comes, and keeps
    /// none.
    pub(crate) async fn each_row(
        &mut self,
        sql: String,
        parameters: &[&str],
        doing: &str,
        mut take: impl FnMut(&MySqlRow),
    ) -> Result<(), SystemError> {
        let wait_max = self.answer_wait_max;
        let connection = self.connected()?;
        let query = parameters
            .iter()
            .fold(sqlx::query(audited(sql)), |query, parameter| {
                query.bind(*parameter)
            });
        let reading = async {
            let mut rows = query.fetch(connection);
            while let Some(row) = rows.try_next().await? {
                take(&row);
            }
            Ok(())
        };
        let answer = tokio::time::timeout(wait_max, reading).await;
        self.judge(answer, doing)
    }

    /// Runs one statement without parameters outside the prepared-statement protocol, which would
    /// reset what `SHOW WARNINGS` shows; returns its rows.
    pub(crate) async fn plain_rows(
        &mut self,
        sql: String,
        doing: &str,
    ) -> Result<Vec<MySqlRow>, SystemError> {
        let wait_max = self.answer_wait_max;
        let connection = self.connected()?;
        let answer =
            tokio::time::timeout(wait_max, sqlx::raw_sql(audited(sql)).fetch_all(connection)).await;
        self.judge(answer, doing)
    }

    /// Runs one statement that writes; returns how many rows it matched or inserted.
    pub(crate) async fn write(
        &mut self,
        sql: String,
        parameter: &str,
        doing: &str,
    ) -> Result<u64, SystemError> {
        let wait_max = self.answer_wait_max;
        let connection = self.connected()?;
        let running = sqlx::query(audited(sql))
            .bind(parameter)
            .execute(connection);
        let answer = tokio::time::timeout(wait_max, running).await;
        self.judge(answer, doing).map(|done| done.rows_affected())
    }

    /// Names and types of the columns that a query would yield.
    pub(crate) async fn columns_of(
        &mut self,
        sql: String,
        doing: &str,
    ) -> Result<Vec<YieldedColumn>, SystemError> {
        use sqlx::{Column, Executor, SqlSafeStr, Statement, TypeInfo};
        let wait_max = self.answer_wait_max;
        let connection = self.connected()?;
        let preparing = connection.prepare(audited(sql).into_sql_str());
        let answer = tokio::time::timeout(wait_max, preparing).await;
        let statement = self.judge(answer, doing)?;
        let yielded = |column: &sqlx::mysql::MySqlColumn| YieldedColumn {
            name: column.name().to_owned(),
            type_name: column.type_info().name().to_owned(),
        };
        Ok(statement.columns().iter().map(yielded).collect())
    }

    /// Hands the connection over to whoever streams from it.
    pub(crate) fn into_connection(mut self) -> Result<MySqlConnection, SystemError> {
        let gone = gone(&self.name);
        self.connection.take().ok_or(gone)
    }

    /// Takes leave of the server; a server that cannot be reached needs no farewell.
    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            let farewell = tokio::time::timeout(ANSWER_GRACE, connection.close()).await;
            if let Ok(Err(error)) = farewell {
                tracing::debug!(connection = %self.name, error = %error, "could not close the connection politely");
            }
        }
    }

    fn connected(&mut self) -> Result<&mut MySqlConnection, SystemError> {
        self.connection.as_mut().ok_or_else(|| gone(&self.name))
    }

    /// Turns an answer into a result. A connection that broke or stayed silent is dropped: what it
    /// would still say belongs to a statement nobody waits for.
    fn judge<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
        doing: &str,
    ) -> Result<T, SystemError> {
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if !matches!(error, sqlx::Error::Database(_)) {
                    self.connection = None;
                }
                Err(fault::running(
                    &self.name,
                    doing,
                    self.table.as_deref(),
                    error,
                ))
            }
            Err(_) => {
                self.connection = None;
                Err(silent(&self.name, doing, self.answer_wait_max))
            }
        }
    }
}

/// One column of what a query yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YieldedColumn {
    pub(crate) name: String,
    /// As the driver calls it: `FLOAT`, `TIMESTAMP`, `BIT`.
    pub(crate) type_name: String,
}

/// What MariaDB and MySQL ship with at the least.
/// Source: <https://mariadb.com/kb/en/server-system-variables/#max_allowed_packet>.
const PACKET_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// The text of one cell, whatever type the server calls it; `None` for NULL, and for bytes that are
/// no text.
pub(crate) fn text(row: &MySqlRow, position: usize) -> Option<String> {
    row.try_get_unchecked::<Option<String>, _>(position)
        .ok()
        .flatten()
}

fn settings(connection: &Connection) -> Result<&ServerSettings, SystemError> {
    let settings = connection.system.mysql();
    settings.ok_or_else(|| SystemError::Failed {
        connection: connection.name.clone(),
        doing: "connecting".to_owned(),
        source: format!("its kind is `{}`, not `mysql`", connection.system.kind()).into(),
        hint: None,
    })
}

/// Builds the driver's options by parts: it would log unknown parts of a URL, and set a session of
/// its own liking. Errors: the file of certificates cannot be read.
fn connect_options(
    connection: &str,
    settings: &ServerSettings,
) -> Result<MySqlConnectOptions, SystemError> {
    let mut options = MySqlConnectOptions::new()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .charset("utf8mb4")
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging();
    if let Some(socket) = &settings.socket {
        options = options.socket(socket);
    }
    if let Some(password) = &settings.password {
        options = options.password(password.reveal());
    }
    if let Some(database) = &settings.database {
        options = options.database(database);
    }
    Ok(match &settings.tls {
        Tls::Off => options.ssl_mode(MySqlSslMode::Disabled),
        Tls::Verified { ca_file: None } => options.ssl_mode(MySqlSslMode::VerifyIdentity),
        Tls::Verified {
            ca_file: Some(file),
        } => {
            expect_authorities(connection, file)?;
            options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(file)
        }
    })
}

/// What makes a session ours, in order.
fn session_statements(server: Server, purpose: Purpose, connection: &Connection) -> Vec<String> {
    let limits = &connection.limits;
    let lock_seconds = limits.lock_timeout.as_secs().max(1);
    let mut statements = vec![
        // A connection that waits for its next batch longer than the server likes must not be lost
        // for it.
        "SET SESSION wait_timeout = 28800, timestamp = DEFAULT".to_owned(),
        format!(
            "SET SESSION innodb_lock_wait_timeout = {lock_seconds}, lock_wait_timeout = {lock_seconds}"
        ),
    ];
    match purpose {
        // The pull bounds its waiting row by row: how long all of it takes is no measure of
        // anything. The server must not take a slow reader for a lost one either.
        Purpose::Read => statements.extend([
            format!(
                "SET SESSION net_write_timeout = {}",
                limits.statement_timeout.as_secs().max(600)
            ),
            unlimited_statements(server).to_owned(),
        ]),
        Purpose::Write => statements.extend([
            format!("SET SESSION sql_mode = '{STRICT_MODE}'"),
            limited_statements(server, limits.statement_timeout),
            limited_idleness(server, limits.idle_max()),
        ]),
    }
    statements
}

/// MariaDB bounds every statement, in seconds; MySQL only those that read, in milliseconds. Source:
/// <https://mariadb.com/kb/en/aborting-statements/>,
/// <https://dev.mysql.com/doc/refman/8.0/en/server-system-variables.html#sysvar_max_execution_time>.
fn limited_statements(server: Server, timeout: Duration) -> String {
    match server.mariadb {
        true => format!(
            "SET SESSION max_statement_time = {:.3}",
            timeout.as_secs_f64()
        ),
        false => format!(
            "SET SESSION max_execution_time = {}",
            timeout.as_millis().min(u128::from(u32::MAX))
        ),
    }
}

/// MariaDB ends a connection whose transaction lies open; MySQL knows no such limit, only one for
/// every connection that is idle, and a writer may wait minutes for its next batch. Source:
/// <https://mariadb.com/kb/en/transaction-timeouts/>.
fn limited_idleness(server: Server, idle_max: Duration) -> String {
    match server.mariadb {
        true => format!(
            "SET SESSION idle_transaction_timeout = {}",
            idle_max.as_secs()
        ),
        false => "SET SESSION wait_timeout = 600".to_owned(),
    }
}

fn unlimited_statements(server: Server) -> &'static str {
    match server.mariadb {
        true => "SET SESSION max_statement_time = 0",
        false => "SET SESSION max_execution_time = 0",
    }
}

/// Whether nothing is cut or emptied in silence and nothing changes how our statements are parsed.
fn is_strict(mode: &str) -> bool {
    let has = |flag: &str| mode.split(',').any(|word| word.eq_ignore_ascii_case(flag));
    let parsing = [
        "ANSI_QUOTES",
        "NO_BACKSLASH_ESCAPES",
        "PIPES_AS_CONCAT",
        "PAD_CHAR_TO_FULL_LENGTH",
    ];
    let needed = [
        "STRICT_ALL_TABLES",
        "NO_AUTO_VALUE_ON_ZERO",
        "ALLOW_INVALID_DATES",
    ];
    let emptying = ["NO_ZERO_DATE", "NO_ZERO_IN_DATE"];
    needed.into_iter().all(has) && !parsing.into_iter().chain(emptying).any(has)
}

fn silent(connection: &str, doing: &str, waited: Duration) -> SystemError {
    SystemError::Unavailable {
        connection: connection.to_owned(),
        source: silence(doing, waited).into(),
    }
}

fn gone(connection: &str) -> SystemError {
    SystemError::Unavailable {
        connection: connection.to_owned(),
        source: "the connection was lost before".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        let mariadb = Server {
            mariadb: true,
            version: (10, 11),
        };
        assert_eq!(Server::read("10.11.19-MariaDB-0+deb12u1"), mariadb);
        assert_eq!(Server::read("5.5.5-10.11.6-MariaDB-log"), mariadb);
        assert_eq!(
            Server::read("8.0.36"),
            Server {
                mariadb: false,
                version: (8, 0)
            }
        );
        assert!(!Server::read("10.5.22-MariaDB").takes_batches());
        assert!(!Server::read("5.7.44-log").takes_batches());
        assert!(Server::read("8.4.0").takes_batches());
    }

    #[test]
    fn a_mode_that_cuts_or_parses_otherwise_is_not_strict() {
        assert!(is_strict(STRICT_MODE));
        assert!(!is_strict(""));
        assert!(!is_strict("STRICT_TRANS_TABLES"));
        assert!(!is_strict(&format!("{STRICT_MODE},ANSI_QUOTES")));
        assert!(!is_strict(&format!("{STRICT_MODE},NO_ZERO_DATE")));
    }

    #[test]
    fn statement_limits_speak_each_server_s_units() {
        let timeout = Duration::from_millis(1500);
        let mariadb = Server {
            mariadb: true,
            version: (10, 11),
        };
        assert_eq!(
            limited_statements(mariadb, timeout),
            "SET SESSION max_statement_time = 1.500"
        );
        let mysql = Server {
            mariadb: false,
            version: (8, 0),
        };
        assert_eq!(
            limited_statements(mysql, timeout),
            "SET SESSION max_execution_time = 1500"
        );
    }
}
