//! One transaction of several writers: whoever comes while others write becomes a part of theirs,
//! and all of them are told once it is on disk. What fails is taken back by itself.

use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use sqlx::SqliteConnection;
use sqlx::error::{DatabaseError, ErrorKind};
use tokio::sync::{Mutex, oneshot};

use super::error::Fault;
use super::seal::{self, Changes};

/// Begins a transaction and sets the point behind which its first member's work stands. It stays
/// until the next member's begins, or all is committed.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT one";

/// Sets the point behind which the next member's work stands.
pub(super) const NEXT: &str = "RELEASE one; SAVEPOINT one";

/// Whether the transaction that a writer was a part of is on disk.
pub(super) type Told = oneshot::Receiver<Result<(), Fault>>;

/// The transaction that is open on the ledger's connection, if one is. Only who holds the
/// connection looks at it.
#[derive(Debug, Clone, Default)]
pub(super) struct Together(Arc<StdMutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The number of the open transaction; 0: none is open.
    open: u64,
    /// The number of the latest one.
    latest: u64,
    step: Step,
    /// Who wait to be told.
    members: Vec<oneshot::Sender<Result<(), Fault>>>,
}

/// How far somebody came, who may have been let go half-way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Done,
    /// The point to go back to is being set.
    Entering,
    AtWork,
}

impl Together {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().open > 0
    }

    #[cfg(test)]
    pub(super) fn latest(&self) -> u64 {
        self.state().latest
    }

    /// A transaction has begun; returns its number.
    pub(super) fn open(&self) -> u64 {
        let mut state = self.state();
        state.latest += 1;
        state.open = state.latest;
        state.open
    }

    /// Somebody is about to do [`NEXT`] in the open transaction.
    pub(super) fn enter(&self) {
        self.state().step = Step::Entering;
    }

    /// Somebody's work begins.
    pub(super) fn begin_work(&self) {
        self.state().step = Step::AtWork;
    }

    /// Somebody's work is done, who waits to be told from now on.
    pub(super) fn leave(&self) -> Told {
        let (member, told) = oneshot::channel();
        let mut state = self.state();
        state.step = Step::Done;
        state.members.push(member);
        told
    }

    /// Takes back what was let go half-way or failed. Where all of the transaction is gone with it,
    /// as on a full disk, the others are told.
    pub(super) async fn recover(&self, connection: &mut SqliteConnection) {
        let step = self.state().step;
        let back = match step {
            Step::Done => return,
            // One more than there is changes nothing.
            Step::Entering => "SAVEPOINT one",
            Step::AtWork => "ROLLBACK TO one",
        };
        let back = sqlx::raw_sql(back).execute(&mut *connection).await;
        self.state().step = Step::Done;
        if let Err(error) = back {
            // Fails only where SQLite has done it already.
            drop(sqlx::raw_sql("ROLLBACK").execute(connection).await);
            let members = self.close();
            tell(members, Err(error));
        }
    }

    /// The transaction is over; returns who wait to be told.
    fn close(&self) -> Vec<oneshot::Sender<Result<(), Fault>>> {
        let mut state = self.state();
        state.open = 0;
        std::mem::take(&mut state.members)
    }
}

/// Commits the transaction of this number, if it is still open, once all who wait for the connection
/// have become a part of it.
pub(super) async fn commit_together(
    number: u64,
    together: Together,
    connection: Arc<Mutex<SqliteConnection>>,
    changes: Changes,
) {
    let (committed, members) = {
        let mut connection = connection.lock().await;
        together.recover(&mut connection).await;
        if together.state().open != number {
            return;
        }
        let committed = seal::seal_and_commit(&mut connection, changes.take()).await;
        if committed.is_err() {
            // Fails only where SQLite has done it already.
            drop(sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await);
        }
        (committed, together.close())
    };
    drop((connection, together, changes));
    tell(members, committed);
}

fn tell(members: Vec<oneshot::Sender<Result<(), Fault>>>, committed: Result<(), sqlx::Error>) {
    let failed = committed.err().map(Arc::new);
    for member in members {
        let told = match &failed {
            None => Ok(()),
            Some(error) => Err(Fault::Sql(retold(error))),
        };
        // Who waits no longer has no use for it.
        drop(member.send(told));
    }
}

/// An error that several are told.
fn retold(error: &Arc<sqlx::Error>) -> sqlx::Error {
    match error.as_database_error() {
        Some(_) => sqlx::Error::Database(Box::new(SharedError(Arc::clone(error)))),
        None => sqlx::Error::Io(std::io::Error::other(Arc::clone(error))),
    }
}

/// What SQLite said, told to several.
#[derive(Debug)]
struct SharedError(Arc<sqlx::Error>);

impl std::error::Error for SharedError {}

impl fmt::Display for SharedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl SharedError {
    fn own(&self) -> Option<&dyn DatabaseError> {
        self.0.as_database_error()
    }
}

impl DatabaseError for SharedError {
    fn message(&self) -> &str {
        self.own().map_or("", |own| own.message())
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.own()?.code()
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        self.own().map_or(ErrorKind::Other, |own| own.kind())
    }
}
