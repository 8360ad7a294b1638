//! One test's own database: made, filled and read back directly, without the program.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Row};
use tokio::runtime::Runtime;

use super::drivers::DuckDb;
use super::server::{PASSWORD, Server};

/// A database and the harness's own connection to it.
pub(super) struct Database {
    pub(super) name: String,
    server: Server,
    port: Option<u16>,
    runtime: Runtime,
    connection: RefCell<Connection>,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
    /// A DuckDB file, which is opened for every statement: as long as it is open here, the program
    /// cannot open it.
    DuckDb(PathBuf),
}

/// A table's or query's rows as the database's own text, under the names of their columns.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Database {
    /// Makes a database that no other test has: on the server at `port`, or in `file` where there
    /// is none.
    pub(super) fn create(server: Server, port: Option<u16>, file: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let Some(port) = port else {
            let options = SqliteConnectOptions::new()
                .filename(file)
                .create_if_missing(true);
            let connecting = async { options.connect().await.map(Connection::Sqlite) };
            return Self::open(name, server, None, connecting).expect("a file");
        };
        let all = Self::try_connect(server, port, None).expect("the server runs");
        all.execute(&format!("CREATE DATABASE {name}"));
        Self::try_connect(server, port, Some(&name)).expect("the database was just made")
    }

    /// Makes a DuckDB file. What it is called and how it quotes is as SQLite's.
    pub(super) fn create_duckdb(file: &Path) -> Self {
        drop(DuckDb::open(file));
        let connecting = async { Ok(Connection::DuckDb(file.to_owned())) };
        Self::open("main".to_owned(), Server::Sqlite, None, connecting).expect("a file")
    }

    /// Opens an existing SQLite file.
    pub(super) fn open_file(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true);
        let connecting = async { options.connect().await.map(Connection::Sqlite) };
        Self::open("main".to_owned(), Server::Sqlite, None, connecting).expect("a database")
    }

    /// Connects to a server's database as `tester`.
    pub(super) fn try_connect(
        server: Server,
        port: u16,
        database: Option<&str>,
    ) -> Result<Self, sqlx::Error> {
        let name = database.unwrap_or_default().to_owned();
        Self::open(name, server, Some(port), connect(server, port, database))
    }

    /// Connects anew, after the server was restarted.
    pub(super) fn reconnect(&self) {
        let port = self.port.expect("a server");
        let connecting = connect(self.server, port, Some(&self.name));
        *self.connection.borrow_mut() = self.runtime.block_on(connecting).expect("the server runs");
    }

    fn open(
        name: String,
        server: Server,
        port: Option<u16>,
        connecting: impl Future<Output = Result<Connection, sqlx::Error>>,
    ) -> Result<Self, sqlx::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let connection = RefCell::new(runtime.block_on(connecting)?);
        Ok(Self {
            name,
            server,
            port,
            runtime,
            connection,
        })
    }

    /// Runs statements, several if separated by semicolons.
    /// Panics: if the database refuses.
    pub(super) fn execute(&self, sql: &str) {
        drop(self.query(sql));
    }

    /// Runs statements and reads what they yield.
    /// Panics: if the database refuses.
    pub(super) fn query(&self, sql: &str) -> Rows {
        self.try_query(sql)
            .unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// As [`Database::query`], for statements that the database may refuse.
    pub(super) fn try_query(&self, sql: &str) -> Result<Rows, sqlx::Error> {
        match &mut *self.connection.borrow_mut() {
            Connection::Sqlite(connection) => {
                self.runtime.block_on(fetch::<Sqlite>(connection, sql))
            }
            Connection::Postgres(connection) => {
                self.runtime.block_on(fetch::<Postgres>(connection, sql))
            }
            Connection::MariaDb(connection) => {
                self.runtime.block_on(fetch::<MySql>(connection, sql))
            }
            Connection::DuckDb(file) => DuckDb::open(file)
                .try_query(sql)
                .map_err(sqlx::Error::Protocol),
        }
    }
}

async fn connect(
    server: Server,
    port: u16,
    database: Option<&str>,
) -> Result<Connection, sqlx::Error> {
    Ok(match server {
        Server::Sqlite => unreachable!("SQLite has no port"),
        Server::Postgres => {
            let options = PgConnectOptions::new()
                .host("127.0.0.1")
                .port(port)
                .username("tester");
            let options = options
                .password(PASSWORD)
                .database(database.unwrap_or("postgres"));
            Connection::Postgres(options.connect().await?)
        }
        Server::MariaDb => {
            let options = MySqlConnectOptions::new()
                .host("127.0.0.1")
                .port(port)
                .username("tester");
            let options = options
                .password(PASSWORD)
                .database(database.unwrap_or("mysql"));
            Connection::MariaDb(options.connect().await?)
        }
    })
}

/// Everything a text-protocol query yields; servers send each value as their own text there.
async fn fetch<'c, DB>(connection: &'c mut DB::Connection, sql: &str) -> Result<Rows, sqlx::Error>
where
    DB: sqlx::Database,
    &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
    for<'r> String: sqlx::Decode<'r, DB>,
    usize: sqlx::ColumnIndex<DB::Row>,
{
    let fetched = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(connection)
        .await?;
    let header = fetched.first().map_or(Vec::new(), |row| {
        row.columns().iter().map(|c| c.name().to_owned()).collect()
    });
    let cells = |row: &DB::Row| {
        (0..row.len())
            .map(|cell| row.try_get_unchecked(cell))
            .collect()
    };
    let rows = fetched.iter().map(cells).collect::<Result<_, _>>()?;
    Ok(Rows { header, rows })
}

impl Rows {
    /// As CSV, rows sorted by their bytes: NULL is an empty cell, an empty string is `""`.
    pub(super) fn into_csv(self) -> String {
        let line = |cells: Vec<String>| cells.join(",") + "\n";
        let header = line(
            self.header
                .into_iter()
                .map(|name| cell(Some(name)))
                .collect(),
        );
        let mut lines: Vec<String> = self
            .rows
            .into_iter()
            .map(|row| line(row.into_iter().map(cell).collect()))
            .collect();
        lines.sort();
        header + &lines.concat()
    }
}

fn cell(value: Option<String>) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text,
    }
}
