//! Writes to SQLite.
//!
//! A SQLite file has one writer at a time. Writers of this process that mean the same file
//! therefore queue for it, first come first served, before they ask SQLite: waiting there is
//! polling, and the unlucky one could wait for ever. Writers of other processes are waited for by
//! SQLite itself, as long as `lock_timeout` says. What two writers still gain is that one reads,
//! decides and prepares while the other writes.

mod ahead;
mod packed;
mod statements;
mod values;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use polars::prelude::{DataFrame, IdxSize, Series};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

pub(crate) use self::statements::is_text_kept_as_number;
use self::statements::{Answer, Begins, OnConflict, Sent};
use self::values::{BindError, Values};
use super::ahead::{Ahead, read_fields};
use super::seam::{
    Claim, Destination, LookUp, LookedUp, LookedUpBuilder, Refer, SAVEPOINT, TO_SAVEPOINT,
    Transact, records_at, refer,
};
use crate::database::sqlite::declared::{Affinity, affinity};
use crate::database::sqlite::{Access, SqliteDatabase, at_once, read_value, settings_of};
use crate::database::{Dialect, audited};
use crate::domain::before::Before;
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Declaration, Object, ObjectKind, ObjectName};
use crate::domain::referral::{CANDIDATES_MAX, ReferenceColumn, Referents, Referral};

/// One writer's connection.
#[derive(Debug)]
pub(crate) struct SqliteDestination {
    /// Stands before `turn`: a transaction that is dropped ends before the next writer begins.
    database: SqliteDatabase,
    file: PathBuf,
    queue: Arc<tokio::sync::Mutex<()>>,
    /// Held from before a transaction begins until after it ends.
    turn: Option<tokio::sync::OwnedMutexGuard<()>>,
    /// How long to wait for our own writers: none holds the file longer than this without SQLite
    /// stopping it.
    turn_timeout: Duration,
    lock_timeout: Duration,
    /// Whether the file was asked to keep a write-ahead log.
    log_asked_for: bool,
    /// What the catalogue told in earlier transactions, if it is as it was.
    catalogue: Box<Catalogue>,
    /// Rows that referred to none before a trial began.
    dangling: HashMap<Dangling, u64>,
}

/// What the catalogue says of tables, for as long as its version is the same: SQLite counts on with
/// every alteration, whoever makes it.
#[derive(Debug, Default)]
struct Catalogue {
    version: Option<i64>,
    /// By path.
    declarations: HashMap<Vec<String>, Vec<Declaration>>,
    /// By path.
    on_conflict: HashMap<Vec<String>, OnConflict>,
}

/// A row that refers to none: its table, its number if it has one, the other table, and which of
/// the foreign keys it is.
type Dangling = (String, Option<i64>, String, i64);

impl LookUp for SqliteDestination {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let mut answer = LookedUpBuilder::new(layout, batch);
        if before.is_read() && layout.fields.len() > packed::VALUES_MAX {
            let all = positions_from(0, batch.height());
            self.read_rows(layout, batch, &all, before, &mut answer)
                .await?;
            return Ok(answer.finish());
        }
        let sent = Sent::to_look_up(layout);
        let table = self.table_of(layout);
        let values = Values::of(layout, &sent, batch).map_err(|error| self.bind_failure(error))?;
        let mut untold: Vec<IdxSize> = Vec::new();
        let mut pieces = Pieces::of(&values, sent.records_max(layout), false);
        while let Some((first, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let room = sent.room_for(layout, records);
            let sql = statements::look_up(&table, layout, &sent, room, Answer::Packed(before));
            let query = sqlx::query_scalar_with::<_, Option<Vec<u8>>, _>(audited(sql), arguments);
            let asked = query.fetch_one(self.database.connection());
            let (packed, ()) = tokio::join!(asked, pieces.prepare());
            let noted = match packed {
                Ok(packed) => {
                    let packed = packed.unwrap_or_default();
                    note_packed(&packed, layout, before, first, &mut answer)
                }
                Err(error) if is_too_big(&error) => Ok(positions_from(first, records)),
                Err(error) => Err(error),
            };
            let noted =
                noted.map_err(|error| self.database.sort_error("looking records up", error))?;
            untold.extend(noted);
        }
        self.read_rows(layout, batch, &untold, before, &mut answer)
            .await?;
        Ok(answer.finish())
    }

    /// Rows come a few thousand at a time.
    async fn surely_unchanged(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        rows_max: usize,
    ) -> Result<Option<Vec<bool>>, SystemError> {
        let (Some(fields), Some(mut ahead)) = (
            read_fields(layout),
            Ahead::of(layout, records, ahead::is_exact),
        ) else {
            return Ok(None);
        };
        let (Some((mut low, high)), true) =
            (ahead::Key::ends(&ahead), fields.len() <= packed::VALUES_MAX)
        else {
            return Ok(None);
        };
        let table = self.table_of(layout);
        let (mut left, mut begins) = (rows_max, Begins::WithKey);
        while left > 0 {
            let rows = left.min(ahead::ANSWER_ROWS_MAX);
            let Some(sql) = statements::read_between(&table, layout, &fields, rows, begins) else {
                return Ok(None);
            };
            let noted = async {
                let mut arguments = SqliteArguments::default();
                low.bind(&mut arguments)?;
                high.bind(&mut arguments)?;
                let query =
                    sqlx::query_scalar_with::<_, Option<Vec<u8>>, _>(audited(sql), arguments);
                let answer = query.fetch_one(self.database.connection()).await?;
                let noted = ahead::note(&mut ahead, &answer.unwrap_or_default());
                noted.map_err(|error| sqlx::Error::Decode(Box::new(error)))
            };
            let (count, last) = match noted.await {
                Ok(noted) => noted,
                Err(error) if is_too_big(&error) => return Ok(None),
                Err(error) => return Err(self.database.sort_error("reading rows", error)),
            };
            left -= rows;
            match last {
                Some(last) if count == rows => (low, begins) = (last, Begins::BehindKey),
                Some(_) | None => break,
            }
        }
        Ok(Some(ahead.finish()))
    }
}

impl Destination for SqliteDestination {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        let database = SqliteDatabase::open(connection, Access::Write).await?;
        Ok(Self {
            database,
            file: settings_of(connection)?.file.clone(),
            queue: queue_for(&settings_of(connection)?.file),
            turn: None,
            turn_timeout: connection.limits.statement_timeout,
            lock_timeout: connection.limits.lock_timeout,
            log_asked_for: false,
            catalogue: Box::default(),
            dangling: HashMap::new(),
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        let mut object = self.database.read_object(name).await?;
        if !self.may_write(&object).await? {
            for column in &mut object.columns {
                column.may_update = false;
                column.may_insert = false;
            }
        }
        Ok(object)
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        self.database.object_names().await
    }

    /// A copy that is moved into the file's place is another file; one that is written over it is
    /// not.
    async fn identity(&mut self) -> Result<String, SystemError> {
        let told =
            std::fs::metadata(&self.file).map(|file| format!("{} {}", file.dev(), file.ino()));
        told.map_err(|error| {
            self.database
                .sort_error("looking at the file", sqlx::Error::Io(error))
        })
    }

    async fn triggers(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        self.database.triggers(object).await
    }

    async fn dependents(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        self.database.dependents(object).await
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        self.database.references(object).await
    }

    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        refer(self, referral, values).await
    }

    async fn close(self) {
        self.database.close().await;
    }
}

impl Refer for SqliteDestination {
    async fn find_ids(
        &mut self,
        layout: &Layout,
        id: &LayoutField,
        keys: &DataFrame,
    ) -> Result<Vec<Referents>, SystemError> {
        let sent = Sent::to_count(layout);
        let table = self.table_of(layout);
        let values = Values::of(layout, &sent, keys).map_err(|error| self.bind_failure(error))?;
        let mut found = vec![Referents::default(); keys.height()];
        let mut pieces = Pieces::of(&values, sent.records_max(layout), false);
        while let Some((first, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let room = sent.room_for(layout, records);
            let sql = statements::ids(&table, layout, id, &sent, room, CANDIDATES_MAX);
            let query = sqlx::query_with(audited(sql), arguments);
            let rows = query.fetch_all(self.database.connection()).await;
            let noted = rows.and_then(|rows| note_ids(&rows, first, &mut found));
            noted.map_err(|error| self.database.sort_error("looking up references", error))?;
        }
        Ok(found)
    }
}

/// Reads the answer of one statement, which is about the records from `first` on.
fn note_ids(rows: &[SqliteRow], first: usize, found: &mut [Referents]) -> Result<(), sqlx::Error> {
    for row in rows {
        let (record, count): (i64, i64) = (row.try_get_unchecked(0)?, row.try_get_unchecked(1)?);
        let record = usize::try_from(record).ok().map(|record| first + record);
        if let Some(found) = record.and_then(|record| found.get_mut(record)) {
            found.rows = u64::try_from(count).unwrap_or_default();
            found.ids.extend(read_value(row, 2)?.shown());
        }
    }
    Ok(())
}

impl Transact for SqliteDestination {
    async fn begin(&mut self) -> Result<(), SystemError> {
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.take_turn().await?,
        };
        self.ask_for_log().await;
        let version = self.begin_immediate().await;
        let version =
            version.map_err(|error| self.database.sort_error("beginning a transaction", error))?;
        if self.catalogue.version != version {
            *self.catalogue = Catalogue {
                version,
                ..Catalogue::default()
            };
        }
        self.turn = Some(turn);
        Ok(())
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

    /// Within a transaction nobody else alters the object.
    async fn declarations(&mut self, object: &Object) -> Result<Vec<Declaration>, SystemError> {
        let known = self.catalogue.declarations.get(&object.path);
        if let (Some(known), true) = (known, self.turn.is_some()) {
            return Ok(known.clone());
        }
        let told = self.database.declarations(object).await?;
        if self.turn.is_some() {
            let path = object.path.clone();
            self.catalogue.declarations.insert(path, told.clone());
        }
        Ok(told)
    }

    async fn update(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let sent = Sent::to_write(layout);
        let table = self.table_of(layout);
        let counted_before = self.counted_of_view(layout, batch).await?;
        let values = Values::of(layout, &sent, batch).map_err(|error| self.bind_failure(error))?;
        let on_conflict = self.on_conflict(layout).await?;
        let mut updated = 0;
        let mut pieces = Pieces::of(&values, sent.records_max(layout), true);
        while let Some((_, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let room = sent.room_for(layout, records);
            let Some(sql) = statements::update(&table, layout, &sent, room, on_conflict) else {
                return self.count(layout, batch).await;
            };
            let (written, ()) =
                tokio::join!(self.database.execute(sql, arguments), pieces.prepare());
            updated += written
                .map_err(|error| self.database.sort_error("updating", error))?
                .rows_affected();
        }
        Ok(counted_before.unwrap_or(updated))
    }

    async fn insert(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let sent = Sent::to_write(layout);
        let table = self.table_of(layout);
        let values = Values::of(layout, &sent, batch).map_err(|error| self.bind_failure(error))?;
        let on_conflict = self.on_conflict(layout).await?;
        let mut inserted = 0;
        let mut pieces = Pieces::of(&values, sent.records_max(layout), true);
        while let Some((_, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let sql = statements::insert(
                &table,
                layout,
                &sent,
                sent.room_for(layout, records),
                on_conflict,
            );
            let (written, ()) =
                tokio::join!(self.database.execute(sql, arguments), pieces.prepare());
            let affected = written
                .map_err(|error| self.database.sort_error("inserting", error))?
                .rows_affected();
            inserted += match layout.object.kind {
                ObjectKind::View { .. } => u64::try_from(records).unwrap_or(affected),
                ObjectKind::Table | ObjectKind::Records(_) => affected,
            };
        }
        Ok(inserted)
    }

    /// As for [`Transact::look_up_locked`].
    async fn lock(&mut self, _layout: &Layout, _batch: &DataFrame) -> Result<(), SystemError> {
        Ok(())
    }

    async fn delete(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let sent = Sent::to_count(layout);
        let table = self.table_of(layout);
        let counted_before = self.counted_of_view(layout, batch).await?;
        let values = Values::of(layout, &sent, batch).map_err(|error| self.bind_failure(error))?;
        let mut deleted = 0;
        let mut pieces = Pieces::of(&values, sent.records_max(layout), false);
        while let Some((_, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let sql = statements::delete(&table, layout, &sent, sent.room_for(layout, records));
            let written = self.database.execute(sql, arguments).await;
            deleted += written
                .map_err(|error| self.database.sort_error("deleting", error))?
                .rows_affected();
        }
        match counted_before {
            Some(before) => Ok(before.saturating_sub(self.count(layout, batch).await?)),
            None => Ok(deleted),
        }
    }

    async fn set_savepoint(&mut self) -> Result<(), SystemError> {
        self.control(SAVEPOINT, "marking a point of a transaction")
            .await
    }

    async fn return_to_savepoint(&mut self) -> Result<(), SystemError> {
        self.control(TO_SAVEPOINT, "going back in a transaction")
            .await
    }

    async fn commit(&mut self) -> Result<(), SystemError> {
        // A commit that fails leaves the transaction open, and with it our turn, until it is rolled
        // back.
        self.control("COMMIT", "committing").await?;
        self.turn = None;
        Ok(())
    }

    async fn begin_trial(&mut self) -> Result<(), SystemError> {
        self.begin().await?;
        self.dangling = self.find_dangling().await?;
        Ok(())
    }

    /// SQLite counts what foreign keys wait for and tells nobody before a commit; so rows are
    /// looked for that refer to none.
    async fn try_commit(&mut self) -> Result<(), SystemError> {
        let mut before = std::mem::take(&mut self.dangling);
        let now = self.find_dangling().await?;
        let is_new = |(dangling, rows): &(Dangling, u64)| {
            before.remove(dangling).unwrap_or_default() < *rows
        };
        match now.into_iter().find(is_new) {
            None => Ok(()),
            Some(((table, _, parent, _), _)) => Err(SystemError::Refused {
                message: format!(
                    "FOREIGN KEY constraint failed: a row of `{table}` refers to none of `{parent}`"
                ),
                clashes: true,
                column: None,
            }),
        }
    }

    async fn rollback(&mut self) -> Result<(), SystemError> {
        // Some errors, a full disk or `RAISE(ROLLBACK)` for one, end the transaction by themselves.
        let rolled_back = match self.control("ROLLBACK", "rolling back").await {
            Err(SystemError::Failed { source, .. })
                if source.to_string().contains("no transaction is active") =>
            {
                Ok(())
            }
            other => other,
        };
        self.turn = None;
        rolled_back
    }
}

impl SqliteDestination {
    /// Begins a transaction as its only writer, and tells the version of the catalogue in it.
    async fn begin_immediate(&mut self) -> Result<Option<i64>, sqlx::Error> {
        let schema = Dialect::Sqlite.quote(&self.database.schema);
        let begin = format!("BEGIN IMMEDIATE; PRAGMA {schema}.schema_version");
        let begun = at_once(sqlx::query(audited(begin)), self.database.connection()).await?;
        let version = begun.last().and_then(|rows| rows.first());
        version.map(|row| row.try_get(0)).transpose()
    }

    /// Looks up the records at `positions` of a batch, each row by itself.
    async fn read_rows(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        positions: &[IdxSize],
        before: Before,
        answer: &mut LookedUpBuilder,
    ) -> Result<(), SystemError> {
        if positions.is_empty() {
            return Ok(());
        }
        answer.start_anew(positions);
        let records = records_at(batch, positions);
        let sent = Sent::to_look_up(layout);
        let table = self.table_of(layout);
        let values =
            Values::of(layout, &sent, &records).map_err(|error| self.bind_failure(error))?;
        let mut pieces = Pieces::of(&values, sent.records_max(layout), false);
        while let Some((first, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let room = sent.room_for(layout, records);
            let sql = statements::look_up(&table, layout, &sent, room, Answer::Rows);
            let places = positions.get(first..).unwrap_or_default();
            let query = sqlx::query_with(audited(sql), arguments);
            let mut matches = query.fetch(self.database.connection());
            let read = async {
                while let Some(row) = matches.try_next().await? {
                    note_row(&row, layout, before, places, answer)?;
                }
                Ok(())
            };
            let (read, ()): (Result<(), sqlx::Error>, ()) = tokio::join!(read, pieces.prepare());
            drop(matches);
            read.map_err(|error| self.database.sort_error("looking records up", error))?;
        }
        Ok(())
    }

    async fn take_turn(&self) -> Result<tokio::sync::OwnedMutexGuard<()>, SystemError> {
        let turn = Arc::clone(&self.queue).lock_owned();
        tokio::time::timeout(self.turn_timeout, turn)
            .await
            .map_err(|elapsed| SystemError::Contended {
                connection: self.database.connection_name.clone(),
                source: elapsed.into(),
            })
    }

    /// Asks once, before the first write, that the file keep a write-ahead log: then readers and
    /// the writer do not wait for one another. It stays as it is where that cannot be: somebody is
    /// reading, or the file system does not do it.
    async fn ask_for_log(&mut self) {
        if std::mem::replace(&mut self.log_asked_for, true) {
            return;
        }
        let schema = Dialect::Sqlite.quote(&self.database.schema);
        if let Err(error) = self
            .database
            .fetch(format!("PRAGMA {schema}.journal_mode = WAL"))
            .await
        {
            tracing::debug!(connection = %self.database.connection_name, error = %error, "no write-ahead log");
        }
    }

    /// Rows that refer to none, where foreign keys may wait for a commit to be judged, and how
    /// often each is found.
    async fn find_dangling(&mut self) -> Result<HashMap<Dangling, u64>, SystemError> {
        let schema = Dialect::Sqlite.quote(&self.database.schema);
        let waiting =
            format!("SELECT 1 FROM {schema}.sqlite_schema WHERE sql LIKE '%DEFERRED%' LIMIT 1");
        let found = async {
            let mut dangling = HashMap::new();
            if self.database.fetch(waiting).await?.is_empty() {
                return Ok(dangling);
            }
            for row in self
                .database
                .fetch(format!("PRAGMA {schema}.foreign_key_check"))
                .await?
            {
                let key = (
                    row.try_get(0)?,
                    row.try_get(1)?,
                    row.try_get(2)?,
                    row.try_get(3)?,
                );
                *dangling.entry(key).or_default() += 1;
            }
            Ok(dangling)
        };
        let found: Result<HashMap<Dangling, u64>, sqlx::Error> = found.await;
        found.map_err(|error| self.database.sort_error("checking foreign keys", error))
    }

    async fn control(&mut self, sql: &'static str, doing: &str) -> Result<(), SystemError> {
        let done = sqlx::raw_sql(sql).execute(self.database.connection()).await;
        done.map(|_| ())
            .map_err(|error| self.database.sort_error(doing, error))
    }

    /// Whether this user may write the file. SQLite says so when a statement that changes nothing
    /// asks for the lock, which is not waited for here: where somebody holds it, be it we, it can
    /// be had.
    async fn may_write(&mut self, object: &Object) -> Result<bool, SystemError> {
        let column = object.columns.iter().find(|column| column.may_update);
        let (None, Some(column)) = (&self.turn, column) else {
            return Ok(true);
        };
        let table = self
            .database
            .quoted_table(object.path.last().map(String::as_str).unwrap_or_default());
        let column = Dialect::Sqlite.quote(&column.name);
        self.set_busy_timeout(Duration::ZERO).await?;
        let asked = self
            .database
            .fetch(format!("UPDATE {table} SET {column} = {column} WHERE 0"))
            .await;
        self.set_busy_timeout(self.lock_timeout).await?;
        let refusal = asked.err().map(|error| {
            self.database
                .sort_error("asking for the right to write", error)
        });
        Ok(!matches!(refusal, Some(SystemError::Forbidden { .. })))
    }

    async fn set_busy_timeout(&mut self, timeout: Duration) -> Result<(), SystemError> {
        let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let set = self
            .database
            .fetch(format!("PRAGMA busy_timeout = {milliseconds}"))
            .await;
        set.map(|_| ())
            .map_err(|error| self.database.sort_error("setting the lock timeout", error))
    }

    /// Rows of a view that the records' keys match: SQLite does not count what a view's triggers
    /// write.
    async fn counted_of_view(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
    ) -> Result<Option<u64>, SystemError> {
        Ok(match layout.object.kind {
            ObjectKind::View { .. } => Some(self.count(layout, batch).await?),
            ObjectKind::Table | ObjectKind::Records(_) => None,
        })
    }

    /// Rows that the records' keys match.
    async fn count(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let sent = Sent::to_count(layout);
        let table = self.table_of(layout);
        let values = Values::of(layout, &sent, batch).map_err(|error| self.bind_failure(error))?;
        let mut rows = 0;
        let mut pieces = Pieces::of(&values, sent.records_max(layout), false);
        while let Some((_, records, arguments)) =
            pieces.take().map_err(|error| self.bind_failure(error))?
        {
            let sql = statements::count(&table, layout, &sent, sent.room_for(layout, records));
            let query = sqlx::query_scalar_with::<_, i64, _>(audited(sql), arguments);
            let counted = query.fetch_one(self.database.connection()).await;
            let counted =
                counted.map_err(|error| self.database.sort_error("counting matches", error))?;
            rows += u64::try_from(counted).unwrap_or_default();
        }
        Ok(rows)
    }

    /// As of the transaction that writes, for the table may have been altered before it.
    async fn on_conflict(&mut self, layout: &Layout) -> Result<OnConflict, SystemError> {
        let known = self.catalogue.on_conflict.get(&layout.object.path);
        if let (Some(known), true) = (known, self.turn.is_some()) {
            return Ok(*known);
        }
        let table = layout
            .object
            .path
            .last()
            .map(String::as_str)
            .unwrap_or_default();
        let is_view = matches!(layout.object.kind, ObjectKind::View { .. });
        let asked = self.database.has_conflict_clauses(table, is_view).await;
        let has_clauses =
            asked.map_err(|error| self.database.sort_error("reading the catalogue", error))?;
        let on_conflict = match has_clauses {
            true => OnConflict::Abort,
            false => OnConflict::Unsaid,
        };
        if self.turn.is_some() {
            let path = layout.object.path.clone();
            self.catalogue.on_conflict.insert(path, on_conflict);
        }
        Ok(on_conflict)
    }

    fn table_of(&self, layout: &Layout) -> String {
        let table = layout
            .object
            .path
            .last()
            .map(String::as_str)
            .unwrap_or_default();
        self.database.quoted_table(table)
    }

    fn bind_failure(&self, error: BindError) -> SystemError {
        match error {
            BindError::Refused { column, reason } => SystemError::Refused {
                message: reason.to_owned(),
                column: Some(column),
                clashes: false,
            },
            BindError::Shape(shape) => SystemError::Failed {
                connection: self.database.connection_name.clone(),
                doing: "binding a batch".to_owned(),
                source: shape.into(),
                hint: None,
            },
        }
    }
}

/// Takes in a row of an answer that is about the records at `places`.
fn note_row(
    row: &SqliteRow,
    layout: &Layout,
    before: Before,
    places: &[IdxSize],
    answer: &mut LookedUpBuilder,
) -> Result<(), sqlx::Error> {
    let record: i64 = row.try_get_unchecked(0)?;
    let place = usize::try_from(record)
        .ok()
        .and_then(|record| usize::try_from(*places.get(record)?).ok());
    let Some(record) = place else {
        return Ok(());
    };
    let differs = row.try_get_unchecked(1)?;
    if answer.is_only_row(record, differs) && before.is_of(differs) {
        let held = held_values(row, layout)?;
        answer
            .before
            .push(record, held.iter().map(Option::as_deref));
    }
    Ok(())
}

/// What a matched row holds, after the two columns that say which record it is and whether it
/// differs.
fn held_values(row: &SqliteRow, layout: &Layout) -> Result<Vec<Option<String>>, sqlx::Error> {
    let held = |(column, field): (usize, &LayoutField)| {
        Ok(read_value(row, column)?.exact(affinity(&field.column.declared, true)))
    };
    (2..).zip(&layout.fields).map(held).collect()
}

/// Takes in an answer that is about the records from `first` on. Returns the positions of those
/// whose rows hold what it does not tell.
fn note_packed(
    packed: &[u8],
    layout: &Layout,
    before: Before,
    first: usize,
    answer: &mut LookedUpBuilder,
) -> Result<Vec<IdxSize>, sqlx::Error> {
    let affinities: Vec<Affinity> = layout
        .fields
        .iter()
        .map(|field| affinity(&field.column.declared, true))
        .collect();
    let mut untold = Vec::new();
    let mut rows = packed::Rows::of(packed, layout.fields.len());
    let malformed = |error| sqlx::Error::Decode(Box::new(error));
    while let Some(row) = rows.next().map_err(malformed)? {
        let record = first + row.position;
        if !answer.is_only_row(record, row.differs) {
            continue;
        }
        match row.held {
            packed::Held::Values(values) if before.is_of(row.differs) => {
                let exact: Vec<Option<String>> = values
                    .iter()
                    .zip(&affinities)
                    .map(|(value, affinity)| value.exact(*affinity))
                    .collect();
                answer
                    .before
                    .push(record, exact.iter().map(Option::as_deref));
            }
            packed::Held::Untold => untold.extend(IdxSize::try_from(record)),
            packed::Held::Values(_) | packed::Held::Unread => {}
        }
    }
    Ok(untold)
}

/// Positions of so many records from the one at `first` on.
fn positions_from(first: usize, records: usize) -> Vec<IdxSize> {
    (first..first + records)
        .filter_map(|position| IdxSize::try_from(position).ok())
        .collect()
}

/// Whether an answer would have been larger than any value of SQLite's may be.
fn is_too_big(error: &sqlx::Error) -> bool {
    const SQLITE_TOOBIG: &str = "18";
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(SQLITE_TOOBIG)
}

/// A batch cut into what one statement takes. The next piece is bound while SQLite, on its own
/// thread, works on the last.
struct Pieces<'a> {
    values: &'a Values<'a>,
    records_max: usize,
    exactly: bool,
    /// Records before the piece that is bound next.
    first: usize,
    prepared: Option<Result<Piece, BindError>>,
}

/// Where a piece begins, how many records it has, and their values.
type Piece = (usize, usize, SqliteArguments);

impl<'a> Pieces<'a> {
    fn of(values: &'a Values<'a>, records_max: usize, exactly: bool) -> Self {
        Self {
            values,
            records_max: records_max.max(1),
            exactly,
            first: 0,
            prepared: None,
        }
    }

    /// The next piece; `None` after the last.
    fn take(&mut self) -> Result<Option<Piece>, BindError> {
        match self.prepared.take() {
            Some(prepared) => prepared.map(Some),
            None => self.bind().transpose(),
        }
    }

    /// Binds the piece after the one that was taken. A future, to be waited for together with a
    /// statement's.
    async fn prepare(&mut self) {
        self.prepared = self.bind();
    }

    fn bind(&mut self) -> Option<Result<Piece, BindError>> {
        let (first, records) = (
            self.first,
            self.records_max.min(self.values.records() - self.first),
        );
        if records == 0 {
            return None;
        }
        self.first += records;
        Some(
            self.values
                .bind(first, records, self.exactly)
                .map(|arguments| (first, records, arguments)),
        )
    }
}

/// The queue of the file's writers in this process.
fn queue_for(file: &Path) -> Arc<tokio::sync::Mutex<()>> {
    type Queues = HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>;
    static QUEUES: LazyLock<Mutex<Queues>> = LazyLock::new(Mutex::default);
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut queues = QUEUES.lock().unwrap_or_else(PoisonError::into_inner);
    queues.retain(|_, queue| queue.strong_count() > 0);
    if let Some(queue) = queues.get(&file).and_then(Weak::upgrade) {
        return queue;
    }
    let queue = Arc::new(tokio::sync::Mutex::new(()));
    queues.insert(file, Arc::downgrade(&queue));
    queue
}

#[cfg(test)]
mod tests;
