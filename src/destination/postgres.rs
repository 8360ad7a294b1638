//! Writes to PostgreSQL. A batch travels as one array per field and is matched by the server;
//! records are updated in the order of their keys where an index leads to them.

mod ahead;
mod held;
mod numeric;
mod statement;
mod texts;
mod values;

use polars::prelude::{DataFrame, Series};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Row};

use self::statement::{Reach, Statement};
use self::texts::Texts;
use self::values::Bounds;
use super::ahead::{Ahead, is_plain, read_fields};
use super::seam::{
    Claim, Destination, Found, LookUp, LookedUp, LookedUpBuilder, Refer, SAVEPOINT, TO_SAVEPOINT,
    Transact, refer, update_locked,
};
use crate::database::postgres::fault::is_lock_timeout;
use crate::database::postgres::{Access, Purpose, Session, catalogue};
use crate::domain::before::Before;
use crate::domain::change::Change;
use crate::domain::connection::Connection;
use crate::domain::doubt::Fate;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Declaration, Object, ObjectKind, ObjectName, RowLocks};
use crate::domain::referral::{CANDIDATES_MAX, ReferenceColumn, Referents, Referral};

/// One writer's connection.
pub(crate) struct PostgresDestination {
    session: Session,
    transaction: Transaction,
    /// As the session was last told; `None` if that may not hold any more.
    planning: Option<Planning>,
}

/// How the server plans statements that are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planning {
    Once,
    ForEachBatch,
}

fn reach(bounds: Option<&Bounds>) -> Reach {
    bounds.map_or(Reach::Everywhere, |_| Reach::Bounded)
}

/// Fields that a look-up and an update take in one statement: a row of its inner result has each of
/// them twice, as it is sent and as it is held, and an inner result has at most 1 664 columns.
/// Source: `MaxTupleAttributeNumber` in `src/include/access/htup_details.h`.
const FIELDS_AT_ONCE_MAX: usize = 800;

/// What a transaction's number is one of: a database, and a server since it was started. A server
/// that was started since may be another one, or the same in an earlier state: restored from a
/// backup, or taken over by a standby.
const SERVER: &str = "(SELECT extract(epoch FROM pg_postmaster_start_time()) || ' ' || oid FROM pg_database \
     WHERE datname = current_database())";

/// Where a transaction stands. The server answers a commit after a failed statement by rolling back
/// without an error, so that is remembered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    /// A statement failed: only a rollback can follow.
    Failed,
}

impl LookUp for PostgresDestination {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let grant = statement::grant(layout, self.session.user(), None);
        let purpose = Purpose {
            doing: "looking records up",
            grant: &grant,
            carries_records: true,
        };
        if batch.height() == 0 {
            return Ok(LookedUpBuilder::new(layout, batch).finish());
        }
        let bounds = Bounds::of(layout, batch);
        let statement = statement::look_up(layout, before, reach(bounds.as_ref()));
        let rows = self
            .ask(purpose, layout, batch, statement, bounds.as_ref())
            .await?;
        let read = match layout.key_is_unique() {
            true => only(&rows)
                .and_then(|row| read_found(row, layout, batch, before, |_| before.is_read())),
            false => read_counted(&rows, layout, batch, before),
        };
        read.map_err(|error| self.session.failed(purpose.doing, error))
    }

    async fn surely_unchanged(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        rows_max: usize,
    ) -> Result<Option<Vec<bool>>, SystemError> {
        let (Some(fields), Some(mut ahead)) =
            (read_fields(layout), Ahead::of(layout, records, is_plain))
        else {
            return Ok(None);
        };
        let statement = ahead.ends().and_then(|(low, high)| {
            statement::copy_between(layout, &fields, (&low, &high), rows_max)
        });
        let Some(statement) = statement else {
            return Ok(None);
        };
        let grant = statement::grant(layout, self.session.user(), None);
        let purpose = Purpose {
            doing: "reading rows",
            grant: &grant,
            carries_records: true,
        };
        let mut copied = ahead::Copied::of(fields.len());
        let mut encoded = Vec::new();
        let take =
            |bytes: &[u8]| copied.take(bytes, |row| ahead::note(&mut ahead, row, &mut encoded));
        let read = self.session.copy_out(purpose, &statement, take).await;
        self.note(read)?;
        Ok(Some(ahead.finish()))
    }
}

impl Destination for PostgresDestination {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        Ok(Self {
            session: Session::open(connection, connection.limits.idle_max(), Access::Write).await?,
            transaction: Transaction::None,
            planning: None,
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        let relation = catalogue::locate(&mut self.session, &name.parts).await?;
        catalogue::describe(&mut self.session, &relation).await
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        catalogue::relation_names(&mut self.session).await
    }

    async fn identity(&mut self) -> Result<String, SystemError> {
        catalogue::identity(&mut self.session).await
    }

    async fn triggers(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        let triggers = catalogue::triggers(&mut self.session, &object.path).await;
        self.note(triggers)
    }

    async fn dependents(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        let dependents = catalogue::dependents(&mut self.session, &object.path).await;
        self.note(dependents)
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        let references = catalogue::references(&mut self.session, &object.path).await;
        self.note(references)
    }

    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        refer(self, referral, values).await
    }

    async fn close(self) {
        self.session.close().await;
    }
}

impl Refer for PostgresDestination {
    async fn find_ids(
        &mut self,
        layout: &Layout,
        id: &LayoutField,
        keys: &DataFrame,
    ) -> Result<Vec<Referents>, SystemError> {
        let grant = statement::grant(layout, self.session.user(), None);
        let purpose = Purpose {
            doing: "looking up references",
            grant: &grant,
            carries_records: true,
        };
        let mut found = vec![Referents::default(); keys.height()];
        let statement = statement::ids(layout, id, CANDIDATES_MAX);
        let rows = self.ask(purpose, layout, keys, statement, None).await?;
        let mut note = |row: &PgRow| -> Result<(), sqlx::Error> {
            let (ordinal, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            let id: Option<String> = row.try_get(2)?;
            let record = usize::try_from(ordinal - 1).ok();
            if let Some(found) = record.and_then(|record| found.get_mut(record)) {
                found.rows = u64::try_from(count).unwrap_or_default();
                found.ids.extend(id);
            }
            Ok(())
        };
        let noted: Result<(), sqlx::Error> = rows.iter().try_for_each(&mut note);
        noted.map_err(|error| self.session.failed(purpose.doing, error))?;
        Ok(found)
    }
}

impl Transact for PostgresDestination {
    /// The isolation level is named, since a server's default may be another; whether writing is
    /// allowed is not, since a server that is read-only is so on purpose.
    async fn begin(&mut self) -> Result<(), SystemError> {
        let purpose = Purpose::plain("beginning a transaction");
        if self.transaction != Transaction::None {
            return Err(self
                .session
                .failed(purpose.doing, "another transaction is still open"));
        }
        self.session
            .command(purpose, "BEGIN ISOLATION LEVEL READ COMMITTED")
            .await?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    async fn defer_constraints(&mut self) -> Result<(), SystemError> {
        let deferred = self
            .session
            .command(
                Purpose::plain("deferring constraints"),
                "SET CONSTRAINTS ALL DEFERRED",
            )
            .await;
        self.note(deferred)
    }

    async fn claim(&mut self, claim: Claim) -> Result<(), SystemError> {
        let sql = "SELECT pg_advisory_xact_lock($1)".to_owned();
        let mut arguments = PgArguments::default();
        let doing = "claiming a batch";
        arguments
            .add(claim.0.cast_signed())
            .map_err(|error| self.session.failed(doing, error))?;
        let claimed = self
            .session
            .execute(Purpose::plain(doing), sql, arguments)
            .await;
        self.note(claimed).map(|_| ())
    }

    /// A statement waits for the version of a row that is there when it ends, and a later one sees
    /// it. Rows of which somebody may see more than change are found all the same.
    async fn look_up_locked(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        self.lock(layout, batch).await?;
        self.look_up(layout, batch, before).await
    }

    /// One statement where the catalogue vouches for the key, and for the version of a row that was
    /// looked up.
    async fn update_differing(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<(LookedUp, u64), SystemError> {
        let is_possible = layout.object.kind == ObjectKind::Table
            && layout.object.may_select_rows
            && layout.key_is_unique()
            && layout.fields.len() <= FIELDS_AT_ONCE_MAX
            && before != Before::OfAll;
        let bounds = Bounds::of(layout, batch).filter(|_| is_possible);
        let statement = statement::update_differing(layout, before, reach(bounds.as_ref()));
        let Some(statement) = statement.filter(|_| is_possible) else {
            return update_locked(self, layout, batch, before).await;
        };
        let grant = statement::grant(layout, self.session.user(), Some("update"));
        let purpose = Purpose {
            doing: "updating",
            grant: &grant,
            carries_records: true,
        };
        let rows = self
            .ask(purpose, layout, batch, statement, bounds.as_ref())
            .await?;
        let read = only(&rows).and_then(|row| {
            let updated: i64 = row.try_get(row.len().saturating_sub(1))?;
            let looked_up = read_found(row, layout, batch, before, |field| {
                before.is_read() && !field.key
            })?;
            Ok((looked_up, u64::try_from(updated).unwrap_or_default()))
        });
        read.map_err(|error| self.session.failed(purpose.doing, error))
    }

    async fn declarations(&mut self, object: &Object) -> Result<Vec<Declaration>, SystemError> {
        let declarations = catalogue::declarations(&mut self.session, &object.path).await;
        self.note(declarations)
    }

    async fn hindrances(
        &mut self,
        object: &Object,
        change: Change,
    ) -> Result<Vec<String>, SystemError> {
        let hindrances = catalogue::hindrances(&mut self.session, &object.path, change).await;
        self.note(hindrances)
    }

    async fn update(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let grant = statement::grant(layout, self.session.user(), Some("update"));
        let purpose = Purpose {
            doing: "updating",
            grant: &grant,
            carries_records: true,
        };
        match statement::update(layout) {
            Some(statement) => self.write(purpose, layout, batch, statement).await,
            // Nothing is mapped but the key: every record is as it is to be.
            None => Ok(batch.height().try_into().unwrap_or(u64::MAX)),
        }
    }

    async fn insert(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let grant = statement::grant(layout, self.session.user(), Some("insert"));
        let purpose = Purpose {
            doing: "inserting",
            grant: &grant,
            carries_records: true,
        };
        self.write(purpose, layout, batch, statement::insert(layout))
            .await
    }

    async fn lock(&mut self, layout: &Layout, batch: &DataFrame) -> Result<(), SystemError> {
        let grant = statement::grant(layout, self.session.user(), Some("update"));
        let purpose = Purpose {
            doing: "locking rows",
            grant: &grant,
            carries_records: true,
        };
        if layout.object.locks == RowLocks::Each {
            return self
                .write(purpose, layout, batch, statement::lock(layout))
                .await
                .map(|_| ());
        }
        let locked = self
            .session
            .execute(purpose, statement::lock_all(layout), PgArguments::default())
            .await;
        self.explain(&layout.object, locked).await.map(|_| ())
    }

    async fn delete(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        let grant = statement::grant(layout, self.session.user(), Some("delete"));
        let purpose = Purpose {
            doing: "deleting",
            grant: &grant,
            carries_records: true,
        };
        self.write(purpose, layout, batch, statement::delete(layout))
            .await
    }

    async fn transaction_mark(&mut self) -> Result<Option<String>, SystemError> {
        let purpose = Purpose::plain("asking which transaction this is");
        let sql = format!("SELECT {SERVER} || ' ' || txid_current()");
        let rows = self
            .session
            .fetch(purpose, sql, PgArguments::default())
            .await;
        let mark = self.note(rows)?;
        let mark = only(&mark).and_then(|row| row.try_get(0));
        mark.map(Some)
            .map_err(|error| self.session.failed(purpose.doing, error))
    }

    /// The server forgets the oldest transactions. One whose number is not given out yet was made
    /// before the server went back to an earlier state.
    async fn fate_of(&mut self, mark: &str) -> Result<Fate, SystemError> {
        let purpose = Purpose::plain("asking what became of a transaction");
        let transaction = mark
            .rsplit_once(' ')
            .and_then(|(server, number)| Some((server, number.parse::<i64>().ok()?)));
        let Some((server, number)) = transaction else {
            return Ok(Fate::Unknown);
        };
        let sql = format!(
            "SELECT CASE WHEN {SERVER} = $1 AND $2 < txid_snapshot_xmax(txid_current_snapshot()) THEN txid_status($2) END"
        );
        let mut arguments = PgArguments::default();
        let added = arguments.add(server).and_then(|()| arguments.add(number));
        added.map_err(|error| self.session.failed(purpose.doing, error))?;
        let rows = self.session.fetch(purpose, sql, arguments).await;
        let rows = self.note(rows)?;
        let status = only(&rows).and_then(|row| row.try_get::<Option<String>, _>(0));
        match status
            .map_err(|error| self.session.failed(purpose.doing, error))?
            .as_deref()
        {
            Some("committed") => Ok(Fate::Committed),
            Some("aborted") => Ok(Fate::RolledBack),
            Some("in progress") => Err(self
                .session
                .contended("an earlier sending of the batch is still under way")),
            Some(_) | None => Ok(Fate::Unknown),
        }
    }

    async fn set_savepoint(&mut self) -> Result<(), SystemError> {
        let marked = self
            .session
            .command(
                Purpose::plain("marking a point of a transaction"),
                SAVEPOINT,
            )
            .await;
        self.note(marked)
    }

    async fn return_to_savepoint(&mut self) -> Result<(), SystemError> {
        // How statements are planned goes back to what it was, too.
        self.planning = None;
        self.session
            .command(Purpose::plain("going back in a transaction"), TO_SAVEPOINT)
            .await?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    /// Constraints and triggers that wait for the end of the transaction speak here: `Refused`, and
    /// all is undone.
    async fn commit(&mut self) -> Result<(), SystemError> {
        let purpose = Purpose {
            carries_records: true,
            ..Purpose::plain("committing")
        };
        if self.transaction != Transaction::Open {
            return Err(self.session.failed(
                purpose.doing,
                "no transaction is open in which every statement succeeded",
            ));
        }
        // Whatever the answer, the transaction is over.
        self.transaction = Transaction::None;
        self.session.command(purpose, "COMMIT").await
    }

    async fn try_commit(&mut self) -> Result<(), SystemError> {
        let purpose = Purpose {
            carries_records: true,
            ..Purpose::plain("trying out a commit")
        };
        let judged = self
            .session
            .command(purpose, "SET CONSTRAINTS ALL IMMEDIATE")
            .await;
        self.note(judged)
    }

    async fn rollback(&mut self) -> Result<(), SystemError> {
        if self.transaction == Transaction::None {
            return Ok(());
        }
        self.transaction = Transaction::None;
        // It goes back to what it was before the transaction.
        self.planning = None;
        self.session
            .command(Purpose::plain("rolling back"), "ROLLBACK")
            .await
    }
}

impl PostgresDestination {
    /// Sends a batch and fetches what the server answers.
    async fn ask(
        &mut self,
        purpose: Purpose<'_>,
        layout: &Layout,
        batch: &DataFrame,
        statement: Statement,
        bounds: Option<&Bounds>,
    ) -> Result<Vec<PgRow>, SystemError> {
        let Statement { sql, parameters } = statement;
        let arguments = self
            .bounded(values::arguments(layout, batch, &parameters)?, bounds)
            .await?;
        let rows = self.session.fetch(purpose, sql, arguments).await;
        self.explain(&layout.object, rows).await
    }

    async fn write(
        &mut self,
        purpose: Purpose<'_>,
        layout: &Layout,
        batch: &DataFrame,
        statement: Statement,
    ) -> Result<u64, SystemError> {
        if batch.height() == 0 {
            return Ok(0);
        }
        let arguments = self
            .bounded(
                values::arguments(layout, batch, &statement.parameters)?,
                None,
            )
            .await?;
        let written = self
            .session
            .execute(purpose, statement.sql, arguments)
            .await;
        self.explain(&layout.object, written).await
    }

    /// Adds a batch's bounds to what a statement binds, and has it planned anew for them; without,
    /// once for all.
    async fn bounded(
        &mut self,
        mut arguments: PgArguments,
        bounds: Option<&Bounds>,
    ) -> Result<PgArguments, SystemError> {
        let planning = match bounds {
            Some(_) => Planning::ForEachBatch,
            None => Planning::Once,
        };
        if let Some(bounds) = bounds {
            bounds.add_to(&mut arguments)?;
        }
        self.plan(planning).await?;
        Ok(arguments)
    }

    /// Tells the session how statements are planned from now on.
    async fn plan(&mut self, planning: Planning) -> Result<(), SystemError> {
        let sql = match planning {
            Planning::ForEachBatch => "SET plan_cache_mode = force_custom_plan",
            Planning::Once => "SET plan_cache_mode = force_generic_plan",
        };
        if self.planning != Some(planning) {
            let set = self
                .session
                .command(Purpose::plain("choosing how statements are planned"), sql)
                .await;
            self.note(set)?;
            self.planning = Some(planning);
        }
        Ok(())
    }

    /// Remembers that a statement of the open transaction failed.
    fn note<T>(&mut self, result: Result<T, SystemError>) -> Result<T, SystemError> {
        if result.is_err() && self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        result
    }

    /// Notes a statement's failure and, if it waited for a lock in vain, says who may hold it.
    async fn explain<T>(
        &mut self,
        object: &Object,
        result: Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        match self.note(result) {
            Err(SystemError::Contended { connection, source }) if is_lock_timeout(&*source) => {
                let source = match self.lock_holder(object).await {
                    Ok(Some(holder)) => format!(
                        "{source}; {holder} holds a lock on `{}`",
                        object.display_name()
                    )
                    .into(),
                    Ok(None) | Err(_) => source,
                };
                Err(SystemError::Contended { connection, source })
            }
            result => result,
        }
    }

    /// The server answers no question within a transaction that failed.
    async fn lock_holder(&mut self, object: &Object) -> Result<Option<String>, SystemError> {
        self.rollback().await?;
        catalogue::lock_holder(&mut self.session, &object.path).await
    }
}

/// The one row that a statement answers with.
fn only(rows: &[PgRow]) -> Result<&PgRow, sqlx::Error> {
    rows.first().ok_or(sqlx::Error::RowNotFound)
}

/// Reads what was found of the records whose key is unique: their ordinals in the row's first
/// column, and in the next ones the old texts of the `held` fields.
fn read_found(
    row: &PgRow,
    layout: &Layout,
    batch: &DataFrame,
    before: Before,
    held: impl Fn(&LayoutField) -> bool,
) -> Result<LookedUp, sqlx::Error> {
    let ordinals: Vec<i64> = row.try_get::<Option<_>, _>(0)?.unwrap_or_default();
    let mut answer = LookedUpBuilder::new(layout, batch);
    for ordinal in &ordinals {
        let found = answer
            .found
            .get_mut(record_of(ordinal.abs())?)
            .ok_or_else(|| not_asked_for(*ordinal))?;
        *found = Found {
            rows: 1,
            differs: *ordinal > 0,
            ..Found::default()
        };
    }
    let mut column = 0;
    let images = layout.fields.iter().map(|field| {
        if !held(field) {
            return Ok(None);
        }
        column += 1;
        Texts::of(row, column).map(Some)
    });
    let mut images = images.collect::<Result<Vec<_>, sqlx::Error>>()?;
    let wanted = ordinals
        .iter()
        .filter(|ordinal| before.is_of(**ordinal > 0));
    let mut values = Vec::with_capacity(images.len());
    for ordinal in wanted {
        values.clear();
        for held in &mut images {
            values.push(held.as_mut().map_or(Ok(None), Texts::next)?);
        }
        let record = record_of(ordinal.abs())?;
        answer.before.push(record, values.iter().copied());
    }
    Ok(answer.finish())
}

/// Reads what was found of records whose rows the server counted: each row of the answer is one of
/// them.
fn read_counted(
    rows: &[PgRow],
    layout: &Layout,
    batch: &DataFrame,
    before: Before,
) -> Result<LookedUp, sqlx::Error> {
    let mut answer = LookedUpBuilder::new(layout, batch);
    for row in rows {
        let (ordinal, rows): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let record = record_of(ordinal)?;
        let found = answer
            .found
            .get_mut(record)
            .ok_or_else(|| not_asked_for(ordinal))?;
        *found = Found {
            rows: u64::try_from(rows).unwrap_or_default(),
            differs: row.try_get(2)?,
            ..Found::default()
        };
        if found.rows == 1 && before.is_of(found.differs) {
            let held = (3..3 + layout.fields.len()).map(|position| row.try_get(position));
            answer
                .before
                .push(record, held.collect::<Result<Vec<Option<&str>>, _>>()?);
        }
    }
    Ok(answer.finish())
}

/// The position in its batch of the record that a statement numbers from 1.
fn record_of(ordinal: i64) -> Result<usize, sqlx::Error> {
    let record = usize::try_from(ordinal)
        .ok()
        .and_then(|ordinal| ordinal.checked_sub(1));
    record.ok_or_else(|| not_asked_for(ordinal))
}

fn not_asked_for(ordinal: i64) -> sqlx::Error {
    sqlx::Error::Protocol(format!("record {ordinal} was not asked for"))
}
