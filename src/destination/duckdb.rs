//! Writes to a DuckDB file, through DuckDB's ADBC driver.
//!
//! One process at a time has the file, and within it one writer at a time has its turn: so rows that
//! were looked up in a transaction stay as they are until it ends, though DuckDB locks none, and no
//! two transactions meet in a conflict. A batch goes as one record of lists that a statement
//! unnests; DuckDB joins it with the table, which it reads as a whole for each batch.
//!
//! DuckDB knows no points of a transaction to go back to, and a statement that fails ends its
//! transaction, however often a commit is asked for.

mod catalogue;
mod fault;
mod statements;
mod values;
mod worker;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use polars::prelude::{DataFrame, Series};

use self::catalogue::Catalogue;
use self::statements::Statement;
use self::worker::{Row, Rows, Session, Worker};
use super::seam::{Claim, Destination, LookUp, LookedUp, LookedUpBuilder, Refer, Transact, refer};
use crate::domain::before::Before;
use crate::domain::connection::{AdbcSettings, Connection, System};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Declaration, Object, ObjectName};
use crate::domain::referral::{CANDIDATES_MAX, ReferenceColumn, Referents, Referral};

/// One writer's connection.
pub(crate) struct DuckdbDestination {
    worker: Worker,
    catalogue: Catalogue,
    connection_name: String,
    file: PathBuf,
    queue: Arc<tokio::sync::Mutex<()>>,
    /// How long to wait for our own writers.
    turn_timeout: Duration,
}

impl LookUp for DuckdbDestination {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let statement = statements::look_up(&self.table_of(layout), layout, before.is_read());
        let rows = self.rows("looking records up", statement, layout, batch);
        let rows = rows.await?;
        let mut answer = LookedUpBuilder::new(layout, batch);
        for row in rows.iter() {
            note_found(row, layout, before, &mut answer);
        }
        Ok(answer.finish())
    }
}

/// Takes in what was found for one record.
fn note_found(row: Row<'_>, layout: &Layout, before: Before, answer: &mut LookedUpBuilder) {
    let record = usize::try_from(row.integer(0)).unwrap_or(usize::MAX);
    let Some(found) = answer.found.get_mut(record) else {
        return;
    };
    found.rows = row.count(1);
    found.differs = row.integer(2) != 0;
    if found.rows == 1 && before.is_of(found.differs) {
        let held = (3..)
            .zip(&layout.fields)
            .map(|(column, _)| row.text(column));
        answer.before.push(record, held);
    }
}

impl Destination for DuckdbDestination {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        let (settings, file) = settings_of(connection)?;
        let worker = Worker::start(connection, settings).await?;
        let catalogue = worker
            .ask("setting the session up", Catalogue::enter)
            .await?;
        Ok(Self {
            worker,
            catalogue,
            connection_name: connection.name.clone(),
            file: file.to_owned(),
            queue: queue_for(file),
            turn_timeout: connection.limits.statement_timeout,
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        self.catalogue.describe(&self.worker, name).await
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        self.catalogue.object_names(&self.worker).await
    }

    /// A copy that is moved into the file's place is another file; one that is written over it is
    /// not.
    async fn identity(&mut self) -> Result<String, SystemError> {
        let told =
            std::fs::metadata(&self.file).map(|file| format!("{} {}", file.dev(), file.ino()));
        told.map_err(|error| self.worker.failures().failed("looking at the file", error))
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        self.catalogue.references(&self.worker, object).await
    }

    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        refer(self, referral, values).await
    }

    async fn close(self) {
        self.worker.close().await;
    }
}

impl Refer for DuckdbDestination {
    async fn find_ids(
        &mut self,
        layout: &Layout,
        id: &LayoutField,
        keys: &DataFrame,
    ) -> Result<Vec<Referents>, SystemError> {
        let statement = statements::ids(&self.table_of(layout), layout, id, CANDIDATES_MAX);
        let rows = self.rows("looking up references", statement, layout, keys);
        let rows = rows.await?;
        let mut found = vec![Referents::default(); keys.height()];
        for row in rows.iter() {
            let record = usize::try_from(row.integer(0)).unwrap_or(usize::MAX);
            if let Some(found) = found.get_mut(record) {
                found.rows = row.count(1);
                found.ids.extend(row.text(2).map(str::to_owned));
            }
        }
        Ok(found)
    }
}

impl Transact for DuckdbDestination {
    async fn begin(&mut self) -> Result<(), SystemError> {
        self.worker
            .ask("beginning a transaction", Session::expect_none)
            .await?;
        let turn = Arc::clone(&self.queue).lock_owned();
        let turn = tokio::time::timeout(self.turn_timeout, turn).await;
        let turn = turn.map_err(|elapsed| SystemError::Contended {
            connection: self.connection_name.clone(),
            source: elapsed.into(),
        })?;
        let begin = move |session: &mut Session| session.begin(turn);
        self.worker.ask("beginning a transaction", begin).await
    }

    /// A commit ends with the process that makes it, and there is one writer at a time.
    async fn claim(&mut self, _claim: Claim) -> Result<(), SystemError> {
        Ok(())
    }

    /// One writer at a time: whoever is in the open transaction is alone.
    async fn look_up_locked(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        self.look_up(layout, batch, before).await
    }

    async fn declarations(&mut self, object: &Object) -> Result<Vec<Declaration>, SystemError> {
        self.catalogue.declarations(&self.worker, object).await
    }

    async fn update(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let table = self.table_of(layout);
        let mut updates = statements::updates(&table, layout).into_iter();
        let Some(of_all) = updates.next() else {
            let counting = statements::count(&table, layout);
            let rows = self.rows("counting matches", counting, layout, batch);
            let rows = rows.await?;
            return Ok(rows.iter().next().map_or(0, |row| row.count(0)));
        };
        let updated = self.write("updating", of_all, layout, batch).await?;
        for further in updates {
            self.write("updating", further, layout, batch).await?;
        }
        Ok(updated)
    }

    async fn insert(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let statement = statements::insert(&self.table_of(layout), layout);
        self.write("inserting", statement, layout, batch).await
    }

    /// As for [`Transact::look_up_locked`].
    async fn lock(&mut self, _layout: &Layout, _batch: &DataFrame) -> Result<(), SystemError> {
        Ok(())
    }

    async fn delete(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let statement = statements::delete(&self.table_of(layout), layout);
        self.write("deleting", statement, layout, batch).await
    }

    /// There are none: what is refused is found one record an attempt.
    async fn set_savepoint(&mut self) -> Result<(), SystemError> {
        Ok(())
    }

    async fn return_to_savepoint(&mut self) -> Result<(), SystemError> {
        Err(SystemError::Refused {
            message: "DuckDB cannot go back within a transaction".to_owned(),
            column: None,
            clashes: true,
        })
    }

    async fn commit(&mut self) -> Result<(), SystemError> {
        self.worker.ask("committing", Session::commit).await
    }

    async fn rollback(&mut self) -> Result<(), SystemError> {
        self.worker.ask("rolling back", Session::rollback).await
    }
}

impl DuckdbDestination {
    fn table_of(&self, layout: &Layout) -> String {
        self.catalogue.quoted(&layout.object.path)
    }

    async fn rows(
        &self,
        doing: &'static str,
        statement: Statement,
        layout: &Layout,
        batch: &DataFrame,
    ) -> Result<Rows, SystemError> {
        let lists = values::lists(layout, batch, &statement.parameters);
        let ask = move |session: &mut Session| {
            let lists = lists.map_err(|error| session.unbound(error))?;
            session.rows(doing, &statement.sql, Some(lists))
        };
        self.worker.ask(doing, ask).await
    }

    async fn write(
        &self,
        doing: &'static str,
        statement: Statement,
        layout: &Layout,
        batch: &DataFrame,
    ) -> Result<u64, SystemError> {
        let lists = values::lists(layout, batch, &statement.parameters);
        let ask = move |session: &mut Session| {
            let lists = lists.map_err(|error| session.unbound(error))?;
            session.execute(doing, &statement.sql, Some(lists))
        };
        self.worker.ask(doing, ask).await
    }
}

/// The settings of a connection that is known to be a DuckDB file, and the file.
fn settings_of(connection: &Connection) -> Result<(&AdbcSettings, &Path), SystemError> {
    if let System::Adbc(settings) = &connection.system
        && let Some(file) = &settings.file
    {
        return Ok((settings, file));
    }
    Err(SystemError::NotFound {
        what: format!(
            "a DuckDB file behind `{}`, which is of kind `{}`,",
            connection.name,
            connection.system.kind()
        ),
        hint: None,
    })
}

/// The queue of the file's writers in this process.
fn queue_for(file: &Path) -> Arc<tokio::sync::Mutex<()>> {
    type Queues = HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>;
    static QUEUES: LazyLock<Mutex<Queues>> = LazyLock::new(Mutex::default);
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(queues.entry(file).or_default())
}
