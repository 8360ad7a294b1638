//! The ground of the ledger: the database that it stands in, and one transaction at a time, which
//! those who write at the same time share.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Row as _, SqliteConnection};
use tokio::sync::Mutex;

use super::error::{Fault, LedgerError, database_error, result_code, result_code_of};
use super::lock;
use super::parts::WriteBackId;
use super::seal::{self, Changes};
use super::together::{self, Together, Told, commit_together};
use crate::database::audited;
use crate::database::sqlite::at_once;
use crate::{fault, state};

/// The ledger. Cheap to clone; clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(super) state_folder: PathBuf,
    file: PathBuf,
    /// The file that is open, whatever stands under its name by now.
    opened: FileNumber,
    pub(super) connection: Arc<Mutex<SqliteConnection>>,
    /// The transaction that is open on it; looked at by whoever holds the connection.
    together: Together,
    /// Of this connection, to be sealed by the end of each transaction.
    changes: Changes,
    /// Who reads waits for nobody who writes; opened for the first who does.
    reading: Arc<Mutex<Option<SqliteConnection>>>,
}

/// Tells a file from every other, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileNumber {
    device: u64,
    inode: u64,
}

impl FileNumber {
    fn of(file: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(file)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

const LEDGER_FILE: &str = "ledger.db";

/// How long a statement waits for another process that is writing: longer than any write of the
/// ledger takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

impl Ledger {
    /// Opens the ledger in the state folder, making both (folder mode 0700) if absent.
    /// Errors: `Damaged`, `Newer`, `Io`.
    pub(crate) async fn open(state_folder: &Path) -> Result<Self, LedgerError> {
        state::make_folder(state_folder)
            .map_err(|error| LedgerError::io("make", state_folder, error))?;
        let file = state_folder.join(LEDGER_FILE);
        let _alone = lock::opening(state_folder).await?;
        // SQLite would make the file readable for everybody; the files it keeps beside it take its
        // mode.
        state::open_or_create_file(&file).map_err(|error| LedgerError::io("open", &file, error))?;
        let connection = connect(&file)
            .await
            .map_err(|error| database_error("open", &file, error))?;
        let mut connection = up_to_date(connection, &file).await?;
        let changes = Changes::watch(&mut connection)
            .await
            .map_err(|error| database_error("open", &file, error))?;
        let connection = Arc::new(Mutex::new(connection));
        let opened =
            FileNumber::of(&file).map_err(|error| LedgerError::io("open", &file, error))?;
        Ok(Self {
            state_folder: state_folder.to_owned(),
            file,
            opened,
            connection,
            together: Together::default(),
            changes,
            reading: Arc::default(),
        })
    }

    /// Opens the ledger if there is one.
    /// Errors: as [`Ledger::open`].
    pub(crate) async fn open_if_there(state_folder: &Path) -> Result<Option<Self>, LedgerError> {
        match state_folder.join(LEDGER_FILE).exists() {
            true => Self::open(state_folder).await.map(Some),
            false => Ok(None),
        }
    }
}

impl Ledger {
    /// Does `work` in one transaction, which begins as a writer: another process's write is waited
    /// for, never run into half-way. Those who come while others write share their transaction, and
    /// with it the time that it takes to get to the disk: none is told before it is there, and what
    /// fails is taken back by itself.
    pub(super) async fn write<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let work = async |connection: &mut SqliteConnection, _| work(connection).await;
        self.write_given(doing, None, work).await
    }

    /// As [`Ledger::write`], of what is given the number of a write-back, if it is there.
    async fn write_given<T>(
        &self,
        doing: &'static str,
        id: Option<WriteBackId>,
        work: impl AsyncFnOnce(&mut SqliteConnection, Option<i64>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let joined = {
            let mut connection = self.connection.lock().await;
            self.expect_in_place()?;
            self.join(&mut connection, id, work).await
        };
        let written = match joined {
            Ok((answer, told)) => match told.await {
                Ok(committed) => committed.map(|()| answer),
                Err(_) => Err(Fault::Contents("its writer is gone".to_owned())),
            },
            Err(fault) => Err(fault),
        };
        let written = written.map_err(|fault| fault.of(doing, &self.file));
        fault::point(doing);
        written
    }

    /// Closes its connections, of which nobody else has a part any more.
    #[cfg(test)]
    pub(super) async fn close(self) {
        use sqlx::Connection as _;
        let sole = "nobody else has a part in it";
        let writing = Arc::into_inner(self.connection).expect(sole).into_inner();
        let reading = Arc::into_inner(self.reading).expect(sole).into_inner();
        for connection in [reading, Some(writing)].into_iter().flatten() {
            connection.close().await.expect("a connection closes");
        }
    }

    /// How many transactions there were.
    #[cfg(test)]
    pub(super) fn transactions(&self) -> u64 {
        self.together.latest()
    }

    /// Does `work` as a part of the transaction that is open, or of a new one.
    async fn join<T>(
        &self,
        connection: &mut SqliteConnection,
        id: Option<WriteBackId>,
        work: impl AsyncFnOnce(&mut SqliteConnection, Option<i64>) -> Result<T, Fault>,
    ) -> Result<(T, Told), Fault> {
        self.together.recover(connection).await;
        let number;
        if self.together.is_open() {
            self.together.enter();
            number = begin_with(connection, together::NEXT, id).await?;
        } else {
            number = begin(connection, together::BEGIN, id).await?;
            // What a transaction that failed had changed is not changed.
            drop(self.changes.take());
            // It queues behind all who wait for the connection by now.
            tokio::spawn(commit_together(
                self.together.open(),
                self.together.clone(),
                Arc::clone(&self.connection),
                self.changes.clone(),
            ));
        }
        self.together.begin_work();
        match work(&mut *connection, number).await {
            Ok(answer) => Ok((answer, self.together.leave())),
            Err(fault) => {
                self.together.recover(connection).await;
                Err(fault)
            }
        }
    }

    /// Does `work` in one transaction, so that all it reads is of one moment.
    pub(super) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let work = async |connection: &mut SqliteConnection, _| work(connection).await;
        self.read_given(None, work).await
    }

    /// As [`Ledger::read`], of what is given the number of a write-back, if it is there.
    async fn read_given<T>(
        &self,
        id: Option<WriteBackId>,
        work: impl AsyncFnOnce(&mut SqliteConnection, Option<i64>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let mut reading = self.reading.lock().await;
        let connection = match reading.take() {
            Some(connection) => connection,
            None => self.connect_again().await?,
        };
        transact(reading.insert(connection), "BEGIN", id, work)
            .await
            .map_err(|fault| fault.of("read", &self.file))
    }

    /// Another connection to the file that is open, and to no other that stands in its place.
    async fn connect_again(&self) -> Result<SqliteConnection, LedgerError> {
        self.expect_in_place()?;
        let connection = connect_telling(&self.file).await;
        connection.map_err(|error| database_error("open", &self.file, error))
    }

    /// As [`Ledger::write`], about one write-back, which `work` is given by its number.
    pub(super) async fn write_of<T>(
        &self,
        id: WriteBackId,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection, i64) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let work = async |connection: &mut SqliteConnection, number: Option<i64>| {
            work(connection, number.ok_or(Fault::NoSuchRun(id.run))?).await
        };
        self.write_given(doing, Some(id), work).await
    }

    /// As [`Ledger::read`], about one write-back, which `work` is given by its number.
    pub(super) async fn read_of<T>(
        &self,
        id: WriteBackId,
        work: impl AsyncFnOnce(&mut SqliteConnection, i64) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        let work = async |connection: &mut SqliteConnection, number: Option<i64>| {
            work(connection, number.ok_or(Fault::NoSuchRun(id.run))?).await
        };
        self.read_given(Some(id), work).await
    }

    /// What is written to a file that was removed is gone with the process, and nobody would know
    /// of it. Errors: `Removed`.
    fn expect_in_place(&self) -> Result<(), LedgerError> {
        match FileNumber::of(&self.file) {
            Ok(number) if number == self.opened => Ok(()),
            Ok(_) | Err(_) => Err(LedgerError::Removed {
                path: self.file.display().to_string(),
            }),
        }
    }
}

pub(super) async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(file).connect().await
}

/// A connection whose statements are told to whoever logs `sqlx::query` at level `trace`.
async fn connect_telling(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let telling = options(file)
        .log_statements(LevelFilter::Trace)
        // None is slow, so that all are told at that level.
        .log_slow_statements(LevelFilter::Off, Duration::MAX);
    telling.connect().await
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging()
}

/// Brings the ledger's tables to what this version expects, and looks whether their rows are what
/// was written. Rows of an earlier version are taken as they are, and sealed.
async fn up_to_date(
    mut connection: SqliteConnection,
    file: &Path,
) -> Result<SqliteConnection, LedgerError> {
    // `run` would do, but its future does not count as `Send`; this is what it calls.
    match sqlx::migrate!("sql/ledger")
        .run_direct(None, &mut connection, false)
        .await
    {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(_)) => {
            return Err(LedgerError::Newer {
                path: file.display().to_string(),
            });
        }
        Err(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) => {
            return Err(database_error("bring up to date", file, source));
        }
        Err(source @ (MigrateError::VersionMismatch(_) | MigrateError::Dirty(_))) => {
            return Err(LedgerError::Damaged {
                path: file.display().to_string(),
                what: source.to_string(),
            });
        }
        Err(source) => return Err(LedgerError::Migration { source }),
    }
    look_through(&mut connection, file)
        .await
        .map_err(|fault| match fault {
            Fault::Sql(source) => database_error("look through", file, source),
            other @ (Fault::Contents(_) | Fault::NoSuchRun(_) | Fault::NoSuchBatch(_)) => {
                LedgerError::Damaged {
                    path: file.display().to_string(),
                    what: other.to_string(),
                }
            }
        })?;
    Ok(connection)
}

async fn look_through(connection: &mut SqliteConnection, file: &Path) -> Result<(), Fault> {
    transact(
        connection,
        "BEGIN",
        None,
        async |connection, _| match seal::are_of_these_tables(connection).await? {
            true => {
                seal::verify(
                    connection,
                    std::fs::metadata(file).map_or(0, |metadata| metadata.len()),
                )
                .await
            }
            false => Ok(seal::seal_all(connection).await?),
        },
    )
    .await
}

/// The number under which other tables know a write-back.
const NUMBER: &str = "SELECT write_back FROM write_backs WHERE run = ? AND position = ?";

/// Does `begin` and tells the number of a write-back, if it is there.
async fn begin_with(
    connection: &mut SqliteConnection,
    begin: &'static str,
    id: Option<WriteBackId>,
) -> Result<Option<i64>, sqlx::Error> {
    let Some(id) = id else {
        sqlx::raw_sql(begin).execute(connection).await?;
        return Ok(None);
    };
    let statements = sqlx::query(audited(format!("{begin}; {NUMBER}")));
    let statements = statements.bind(id.run).bind(id.position);
    let answers = at_once(statements, connection).await?;
    let found = answers.last().and_then(|rows| rows.first());
    found.map(|row| row.try_get(0)).transpose()
}

/// As [`begin_with`], of what begins a transaction.
async fn begin(
    connection: &mut SqliteConnection,
    begin: &'static str,
    id: Option<WriteBackId>,
) -> Result<Option<i64>, sqlx::Error> {
    match begin_with(&mut *connection, begin, id).await {
        // One is open whose work was let go half-way.
        Err(error) if result_code_of(&error) == Some(result_code::ERROR) => {
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            begin_with(connection, begin, id).await
        }
        begun => begun,
    }
}

/// Does `work` in one transaction, which `begin` opens. The driver's own transactions would not do:
/// when SQLite rolls back by itself, as it does on a full disk, the driver takes the transaction
/// for open ever after and refuses the next.
async fn transact<T>(
    connection: &mut SqliteConnection,
    begin: &'static str,
    id: Option<WriteBackId>,
    work: impl AsyncFnOnce(&mut SqliteConnection, Option<i64>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let number = self::begin(connection, begin, id).await?;
    let done = async {
        let answer = work(&mut *connection, number).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        Ok(answer)
    };
    let done = done.await;
    if done.is_err() {
        // Fails only where SQLite has done it already.
        drop(sqlx::raw_sql("ROLLBACK").execute(connection).await);
    }
    done
}
