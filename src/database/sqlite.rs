//! SQLite: connecting, the catalogue, and what its errors mean.
//!
//! A connection's file is the main database, or, if the connection names a `database`, it is
//! attached under that name to an empty database in memory. Then exactly one file takes part in
//! every transaction, which so stays atomic in WAL mode; names of one part find the attached file
//! because nothing stands before it; and SQL that a user wrote may say `"CRM"."ACCOUNTS"` as well.

mod at_once;
pub(crate) mod catalogue;
mod conflict;
mod creation;
pub(crate) mod declared;
mod failure;
mod stored;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteQueryResult, SqliteRow,
};
use sqlx::{ConnectOptions, Connection as _};

pub(crate) use self::at_once::at_once;
pub(crate) use self::stored::{ExactValue, StoredValue, read_value, unbound};
use super::{Dialect, audited};
use crate::domain::connection::{Connection, SqliteSettings};
use crate::domain::error::SystemError;

/// What a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No statement may change the file (`query_only`). It is opened for writing all the same if
    /// the user may write it: SQLite could not undo what a crashed writer left half done otherwise,
    /// and would leave files of its own behind.
    Read,
    Write,
}

/// Rows that may wait between SQLite's thread and ours: enough that neither waits for every single
/// one, few enough that wide ones do not fill the memory.
const ROWS_WAITING_MAX: usize = 64;

/// Prepared statements kept per connection. A write-back needs three statements in six sizes at
/// most.
const STATEMENTS_KEPT_MAX: usize = 64;

/// Instructions of SQLite's virtual machine between two looks at the clock: well under a
/// millisecond.
const INSTRUCTIONS_PER_LOOK: i32 = 50_000;

/// Memory for the file's pages, in KiB. Batches come sorted by key, so that little is enough where
/// the rows lie in that order; where they do not, this halves the time of two megabytes, SQLite's
/// default.
const PAGE_CACHE_KIB: u32 = 32_768;

/// Pages of the write-ahead log after which a commit carries them into the file. Rows that do not
/// lie in the order of the key touch the same pages batch after batch; with SQLite's 1 000 each
/// would be carried over every time.
const LOG_PAGES: u32 = 16_384;

/// One connection to a SQLite file.
#[derive(Debug)]
pub(crate) struct SqliteDatabase {
    connection: SqliteConnection,
    /// Name of the `[connections.*]`.
    pub(crate) connection_name: String,
    /// Under which SQLite knows the file: `main`, or the name it is attached under.
    pub(crate) schema: String,
    /// Whether the connection names a database, so that paths show it.
    pub(crate) attached: bool,
    deadline: Deadline,
}

impl SqliteDatabase {
    /// Opens the connection's file, making it first if it is absent and can be made.
    /// Errors: `NotFound` if the file is absent; `Failed` if it is not a SQLite database.
    pub(crate) async fn open(connection: &Connection, access: Access) -> Result<Self, SystemError> {
        let settings = settings_of(connection)?;
        creation::ensure_present(&connection.name, settings).await?;
        let file = absolute(&connection.name, &settings.file)?;
        let fail = |error| failure::sort(&connection.name, "opening the file", error);
        let attached_as = settings
            .database
            .as_deref()
            .filter(|name| !name.eq_ignore_ascii_case("main"));
        let options = SqliteConnectOptions::new()
            .busy_timeout(busy_timeout(connection.limits.lock_timeout))
            .foreign_keys(true)
            .row_buffer_size(ROWS_WAITING_MAX)
            .statement_cache_capacity(STATEMENTS_KEPT_MAX)
            .disable_statement_logging();
        let options = match attached_as {
            Some(_) => options.filename(":memory:"),
            None => options.filename(&file),
        };
        let mut database = Self {
            connection: options.connect().await.map_err(fail)?,
            connection_name: connection.name.clone(),
            schema: attached_as.unwrap_or("main").to_owned(),
            attached: settings.database.is_some(),
            deadline: Deadline::new(connection.limits.statement_timeout),
        };
        if let Some(name) = attached_as {
            let address = attachment(&connection.name, &file)?;
            let attach = sqlx::query("ATTACH DATABASE ? AS ?")
                .bind(address)
                .bind(name.to_owned());
            attach
                .execute(&mut database.connection)
                .await
                .map_err(fail)?;
        }
        database.prepare_session(access).await.map_err(fail)?;
        Ok(database)
    }

    /// Settings of the session. Each is the connection's own, so that nobody else's choice reaches
    /// it; what a file keeps is its encoding, which is looked at, and its journal, which is asked
    /// for elsewhere. `foreign_keys` is turned on as the file is opened. Left at SQLite's own
    /// defaults, which are what is wanted: `ignore_check_constraints`, `defer_foreign_keys`,
    /// `writable_schema`, `read_uncommitted`, `reverse_unordered_selects` and `recursive_triggers`
    /// off, `case_sensitive_like` off for models as everywhere else.
    ///
    /// `synchronous` is FULL because the ledger calls a batch committed the moment the commit
    /// returns: with NORMAL a power failure could take it back.
    async fn prepare_session(&mut self, access: Access) -> Result<(), sqlx::Error> {
        let schema = Dialect::Sqlite.quote(&self.schema);
        let mut settings = format!("PRAGMA {schema}.cache_size = -{PAGE_CACHE_KIB};");
        match access {
            Access::Read => settings.push_str("PRAGMA query_only = ON;"),
            Access::Write => settings.push_str(&format!(
                "PRAGMA {schema}.synchronous = FULL; PRAGMA wal_autocheckpoint = {LOG_PAGES};"
            )),
        }
        sqlx::raw_sql(audited(settings))
            .execute(&mut self.connection)
            .await?;
        // Opening and attaching read nothing yet: this is where a file that is no database shows.
        let probe = format!("SELECT count(*) FROM {schema}.sqlite_schema");
        sqlx::query(audited(probe))
            .fetch_one(&mut self.connection)
            .await?;
        // The driver takes every text for UTF-8, and SQLite attaches only what is encoded alike.
        let encoding: String = sqlx::query_scalar("PRAGMA encoding")
            .fetch_one(&mut self.connection)
            .await?;
        if encoding != "UTF-8" {
            return Err(sqlx::Error::Configuration(
                format!("its text is {encoding}, and only UTF-8 is read").into(),
            ));
        }
        let deadline = self.deadline.clone();
        self.connection
            .lock_handle()
            .await?
            .set_progress_handler(INSTRUCTIONS_PER_LOOK, move || !deadline.has_passed());
        Ok(())
    }

    /// The connection, its statement timeout set going from now.
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        self.deadline.restart();
        &mut self.connection
    }

    /// A clock that the one who reads a statement's rows may wind while the connection is borrowed.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline.clone()
    }

    /// Carries out one generated statement.
    pub(crate) async fn execute(
        &mut self,
        sql: String,
        arguments: SqliteArguments,
    ) -> Result<SqliteQueryResult, sqlx::Error> {
        sqlx::query_with(audited(sql), arguments)
            .execute(self.connection())
            .await
    }

    /// The rows of one generated statement, all of them.
    pub(crate) async fn fetch(&mut self, sql: String) -> Result<Vec<SqliteRow>, sqlx::Error> {
        sqlx::query(audited(sql)).fetch_all(self.connection()).await
    }

    /// A table of the file, quoted: always with its database, so that nothing else in a statement
    /// can be meant.
    pub(crate) fn quoted_table(&self, table: &str) -> String {
        Dialect::Sqlite.quote_path([&self.schema, &table.to_owned()])
    }

    /// What an error of this connection means; `doing` completes "… failed".
    pub(crate) fn sort_error(&self, doing: &str, error: sqlx::Error) -> SystemError {
        failure::sort(&self.connection_name, doing, error)
    }

    /// Closes the connection; what fails here has been committed or rolled back already.
    pub(crate) async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(connection = %self.connection_name, error = %error, "could not close the file");
        }
    }
}

/// When the statement at work is to be given up. SQLite has no such setting; its thread looks here
/// now and then.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    began: Instant,
    timeout: Duration,
    /// Milliseconds after `began`.
    passes_at: Arc<AtomicU64>,
}

impl Deadline {
    fn new(timeout: Duration) -> Self {
        let deadline = Self {
            began: Instant::now(),
            timeout,
            passes_at: Arc::new(AtomicU64::new(u64::MAX)),
        };
        deadline.restart();
        deadline
    }

    pub(crate) fn restart(&self) {
        let passes_at = milliseconds(self.began.elapsed().saturating_add(self.timeout));
        self.passes_at.store(passes_at, Ordering::Relaxed);
    }

    fn has_passed(&self) -> bool {
        milliseconds(self.began.elapsed()) >= self.passes_at.load(Ordering::Relaxed)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The settings of a connection that is known to be SQLite.
pub(crate) fn settings_of(connection: &Connection) -> Result<&SqliteSettings, SystemError> {
    let settings = connection.system.sqlite();
    settings.ok_or_else(|| SystemError::NotFound {
        what: format!(
            "a SQLite file behind `{}`, which is of kind `{}`,",
            connection.name,
            connection.system.kind()
        ),
        hint: None,
    })
}

/// SQLite takes names like `file:x` and `:memory:` for something else than files; an absolute path
/// never looks so.
fn absolute(connection_name: &str, file: &Path) -> Result<std::path::PathBuf, SystemError> {
    std::path::absolute(file).map_err(|error| SystemError::Failed {
        connection: connection_name.to_owned(),
        doing: format!("finding `{}`", file.display()),
        source: error.into(),
        hint: None,
    })
}

/// What `ATTACH` is given: an address of the file that forbids making it.
fn attachment(connection_name: &str, file: &Path) -> Result<String, SystemError> {
    let mut address = url::Url::from_file_path(file).map_err(|()| SystemError::Failed {
        connection: connection_name.to_owned(),
        doing: format!("attaching `{}`", file.display()),
        source: "its path cannot be written as an address".into(),
        hint: None,
    })?;
    address.set_query(Some("mode=rw"));
    Ok(address.into())
}

/// SQLite counts in milliseconds, 31 bits of them; the driver panics on more.
fn busy_timeout(lock_timeout: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_millis(i32::MAX.unsigned_abs() as u64);
    lock_timeout.min(LONGEST)
}

#[cfg(test)]
mod tests;
