//! A connection on a thread of its own: the driver blocks whoever calls it.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use adbc_core::error::Error;
use adbc_core::{CancelHandle, Connection as _, Statement as _};
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::ArrowError;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::fault;
use super::values::BindError;
use crate::database::adbc::fault::Failures;
use crate::database::adbc::{AdbcClient, FileAccess, Opened, open};
use crate::domain::connection::{AdbcSettings, Connection};
use crate::domain::error::SystemError;
use crate::library;

/// How much longer than its limits allow an answer is waited for, after the driver was told to give
/// up.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// What a thread is asked to do.
type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// What ends the statement that is at work, from another thread.
type AtWork = Arc<Mutex<Option<Box<dyn CancelHandle>>>>;

/// Hands a session's work to its thread. Without it the thread ends, and with it what is open.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    at_work: AtWork,
    failures: Failures,
    statement_timeout: Duration,
    /// Resolves when the thread has closed everything.
    ended: oneshot::Receiver<()>,
}

impl Worker {
    /// Connects. Errors: the driver cannot be loaded; `Contended`, if another process has the file
    /// and does not let go of it within the connection's `lock_timeout`.
    pub(super) async fn start(
        connection: &Connection,
        settings: &AdbcSettings,
    ) -> Result<Self, SystemError> {
        let failures = Failures::of(connection, settings);
        let limits = &connection.limits;
        let asked = AdbcClient {
            settings: settings.clone(),
            failures: failures.clone(),
        };
        let access = FileAccess::Write {
            patience: limits.lock_timeout,
        };
        let at_work = AtWork::default();
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (connected, is_connected) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let seen = Arc::clone(&at_work);
        let work = move || {
            let opened = match open(&asked, access) {
                Ok(opened) => opened,
                // Nobody waits any more if this cannot be told.
                Err(error) => return drop(connected.send(Err(error))),
            };
            let mut session = Session {
                opened,
                failures: asked.failures,
                at_work: seen,
                transaction: Transaction::None,
                turn: None,
            };
            if connected.send(Ok(())).is_ok() {
                to_do.into_iter().for_each(|job| job(&mut session));
            }
            drop(session);
            // Whoever does not wait for it any more is not told.
            end.send(()).ok();
        };
        let spawned = std::thread::Builder::new()
            .name("duckdb".to_owned())
            // What gives up in there takes its senders along, and so ends as an error out here.
            .spawn(|| drop(library::guarded(work)));
        spawned.map_err(|error| failures.failed("starting a thread", error))?;
        let wait_max = limits.connect_timeout.saturating_add(limits.lock_timeout);
        let connected = tokio::time::timeout(wait_max, is_connected).await;
        let connected = connected.map_err(|_| failures.silent("connecting", wait_max))?;
        connected.unwrap_or_else(|_| Err(failures.stopped()))?;
        Ok(Self {
            jobs,
            at_work,
            failures,
            statement_timeout: limits.statement_timeout,
            ended,
        })
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Has the session do something and waits for what comes of it. `doing` completes "… failed".
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Session) -> Result<T, SystemError> + Send + 'static,
    ) -> Result<T, SystemError> {
        let (answer, mut answered) = oneshot::channel();
        let job = move |session: &mut Session| drop(answer.send(work(session)));
        let handed_over = self.jobs.send(Box::new(job));
        handed_over.map_err(|_| self.failures.stopped())?;
        let told = |told: Result<Result<T, SystemError>, _>| {
            told.unwrap_or_else(|_| Err(self.failures.stopped()))
        };
        let timeout = self.statement_timeout;
        if let Ok(answer) = tokio::time::timeout(timeout, &mut answered).await {
            return told(answer);
        }
        self.give_up();
        match tokio::time::timeout(ANSWER_GRACE, answered).await {
            Ok(answer) => told(answer),
            Err(_) => Err(self.failures.silent(doing, timeout)),
        }
    }

    /// Has the driver give up what it is at.
    fn give_up(&self) {
        let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = at_work.as_ref().map(|cancel| cancel.try_cancel()) {
            tracing::debug!(status = ?error.status, "a driver could not be told to give up");
        }
    }

    /// Closes the connection and waits until the file may be opened by others.
    pub(super) async fn close(self) {
        let Self { jobs, ended, .. } = self;
        drop(jobs);
        if tokio::time::timeout(ANSWER_GRACE, ended).await.is_err() {
            tracing::debug!("a file is still being closed");
        }
    }
}

/// How far the connection's transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    /// A statement failed in it. DuckDB takes a `COMMIT` all the same, and commits nothing.
    Failed,
}

/// A connection, on its thread. Its parts are dropped in this order: the next writer begins when
/// nothing of this one is open any more.
pub(super) struct Session {
    opened: Opened,
    failures: Failures,
    at_work: AtWork,
    transaction: Transaction,
    /// Held from before a transaction begins until after it ends.
    turn: Option<OwnedMutexGuard<()>>,
}

/// The values of a statement's parameters: a record of as many columns as it has parameters.
pub(super) type Parameters = Option<RecordBatch>;

impl Session {
    /// Carries out a statement; returns how many rows it changed.
    pub(super) fn execute(
        &mut self,
        doing: &str,
        sql: &str,
        parameters: Parameters,
    ) -> Result<u64, SystemError> {
        let executed = self.with_statement(sql, parameters, |statement| statement.execute_update());
        let rows = executed.map_err(|error| self.failed(doing, &error))?;
        Ok(rows
            .and_then(|rows| u64::try_from(rows).ok())
            .unwrap_or_default())
    }

    /// The rows that a statement yields, all of them.
    pub(super) fn rows(
        &mut self,
        doing: &str,
        sql: &str,
        parameters: Parameters,
    ) -> Result<Rows, SystemError> {
        let read = self.with_statement(sql, parameters, |statement| {
            let reader = statement.execute()?;
            let batches = reader.map(|batch| batch.and_then(validated));
            Ok(Rows(batches.collect::<Result<_, ArrowError>>()?))
        });
        read.map_err(|error| self.failed(doing, &error))
    }

    /// Why the database would not carry out a statement, as it says before it tries; `None` if it
    /// would.
    pub(super) fn objection(&mut self, sql: &str) -> Option<String> {
        let prepared = self.with_statement(sql, None, |statement| statement.prepare());
        prepared.err().map(|error| error.message)
    }

    /// What is said of values that cannot be bound.
    pub(super) fn unbound(&self, error: BindError) -> SystemError {
        match error {
            BindError::TooMuch => SystemError::Refused {
                message: error.to_string(),
                column: None,
                clashes: false,
            },
            BindError::Shape(_) | BindError::Values(_) | BindError::Arrow(_) => {
                self.failures.failed("binding a batch", error)
            }
        }
    }

    fn with_statement<T>(
        &mut self,
        sql: &str,
        parameters: Parameters,
        work: impl FnOnce(&mut adbc_driver_manager::ManagedStatement) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut statement = self.opened.connection.new_statement()?;
        statement.set_sql_query(sql)?;
        if let Some(parameters) = parameters {
            statement.bind(parameters)?;
        }
        *self.at_work() = Some(statement.get_cancel_handle());
        let done = work(&mut statement);
        *self.at_work() = None;
        done
    }

    fn at_work(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn CancelHandle>>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&mut self, doing: &str, error: &Error) -> SystemError {
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        fault::sort(&self.failures, doing, error)
    }

    /// Sees to it that no transaction is open, before the next one waits for its turn. Errors: one
    /// is at work.
    pub(super) fn expect_none(&mut self) -> Result<(), SystemError> {
        match self.transaction {
            Transaction::Open => {
                let why = "another transaction of this connection is open";
                Err(self.failures.failed("beginning a transaction", why))
            }
            Transaction::None | Transaction::Failed => self.rollback(),
        }
    }

    /// Begins a transaction, whose turn it is.
    pub(super) fn begin(&mut self, turn: OwnedMutexGuard<()>) -> Result<(), SystemError> {
        self.execute("beginning a transaction", "BEGIN TRANSACTION", None)?;
        self.transaction = Transaction::Open;
        self.turn = Some(turn);
        Ok(())
    }

    /// Commits. A commit that fails ends the transaction, too.
    pub(super) fn commit(&mut self) -> Result<(), SystemError> {
        if self.transaction != Transaction::Open {
            let why = "a statement failed in the transaction, so that there is nothing to commit";
            return Err(self.failures.failed("committing", why));
        }
        let committed = self.execute("committing", "COMMIT", None);
        if committed.is_ok() {
            self.transaction = Transaction::None;
            self.turn = None;
        }
        committed.map(drop)
    }

    /// Rolls back what is open, if anything is.
    pub(super) fn rollback(&mut self) -> Result<(), SystemError> {
        let rolled_back = match self.transaction {
            Transaction::None => Ok(()),
            Transaction::Open | Transaction::Failed => {
                let done =
                    self.with_statement("ROLLBACK", None, |statement| statement.execute_update());
                match done {
                    // A commit that failed ended it.
                    Err(error) if !error.message.contains("no transaction is active") => {
                        Err(fault::sort(&self.failures, "rolling back", &error))
                    }
                    Ok(_) | Err(_) => Ok(()),
                }
            }
        };
        self.transaction = Transaction::None;
        self.turn = None;
        rolled_back
    }
}

/// What comes over the C interface is not checked there.
fn validated(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    for column in batch.columns() {
        column.to_data().validate_full()?;
    }
    Ok(batch)
}

/// Rows of 64-bit integers and texts: nothing else is asked for.
pub(super) struct Rows(Vec<RecordBatch>);

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Rows {
    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let of_batch = |batch| (0..RecordBatch::num_rows(batch)).map(move |row| Row { batch, row });
        self.0.iter().flat_map(of_batch)
    }
}

impl<'a> Row<'a> {
    /// The integer of a column; 0 for NULL.
    pub(super) fn integer(self, column: usize) -> i64 {
        let integers = self
            .batch
            .columns()
            .get(column)
            .and_then(|column| column.as_primitive_opt::<Int64Type>());
        integers
            .filter(|integers| integers.is_valid(self.row))
            .map(|integers| integers.value(self.row))
            .unwrap_or_default()
    }

    pub(super) fn count(self, column: usize) -> u64 {
        u64::try_from(self.integer(column)).unwrap_or_default()
    }

    /// The text of a column; `None` for NULL.
    pub(super) fn text(self, column: usize) -> Option<&'a str> {
        let column = self.batch.columns().get(column)?;
        if column.is_null(self.row) {
            return None;
        }
        // Which of them it is, options of the connection say.
        let texts = column.as_string_opt::<i32>();
        let plain = texts.map(|texts| texts.value(self.row));
        let large = || Some(column.as_string_opt::<i64>()?.value(self.row));
        let view = || Some(column.as_string_view_opt()?.value(self.row));
        plain.or_else(large).or_else(view)
    }
}
