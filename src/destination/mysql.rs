//! Writes to MySQL and MariaDB. A batch travels as one text of JSON that `JSON_TABLE` turns into
//! rows beside the object's own; matching, comparing and writing are then one statement each.

mod ahead;
mod payload;
mod statement;

use polars::prelude::{DataFrame, Series};
use sqlx::mysql::MySqlRow;
use tracing::warn;

use self::payload::{Payload, Portion};
use self::statement::{Statements, Step};
use super::ahead::{Ahead, is_plain};
use super::seam::{
    Claim, Destination, LookUp, LookedUp, LookedUpBuilder, Refer, SAVEPOINT, TO_SAVEPOINT,
    Transact, refer,
};
use crate::database::Dialect;
use crate::database::mysql::settings::NOTES_MAX;
use crate::database::mysql::{Purpose, Session, catalogue, fault, text};
use crate::domain::before::Before;
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Declaration, Holds, Object, ObjectName};
use crate::domain::referral::{CANDIDATES_MAX, ReferenceColumn, Referents, Referral};

/// One writer's connection.
pub(crate) struct MysqlDestination {
    session: Session,
    /// The lock of the session that stands for a claim. It is kept until the next takes its place.
    claimed: Option<String>,
}

impl MysqlDestination {
    /// Ends the session that holds a lock, with whatever it was about.
    async fn end_holder(&mut self, lock: &str, doing: &'static str) -> Result<(), SystemError> {
        let holder = self
            .session
            .rows(
                "SELECT CAST(IS_USED_LOCK(?) AS CHAR)".to_owned(),
                &[lock],
                doing,
            )
            .await?;
        let holder = holder
            .first()
            .and_then(|row| text(row, 0))
            .and_then(|id| id.parse::<u64>().ok());
        match holder {
            Some(holder) => self.session.run(format!("KILL {holder}"), doing).await,
            None => Ok(()),
        }
    }
}

fn is_one(answer: &[MySqlRow]) -> bool {
    answer.first().and_then(|row| text(row, 0)).as_deref() == Some("1")
}

impl LookUp for MysqlDestination {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        self.find(
            Step::LookUp {
                before: before.is_read(),
                locks: false,
            },
            layout,
            batch,
            before,
        )
        .await
    }

    async fn surely_unchanged(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        rows_max: usize,
    ) -> Result<Option<Vec<bool>>, SystemError> {
        self.use_object(&layout.object);
        let sql = Statements::of(layout).read_between(rows_max);
        let (Some(sql), Some(mut ahead)) = (sql, Ahead::of(layout, records, is_plain)) else {
            return Ok(None);
        };
        let Some((low, high)) = ahead.ends() else {
            return Ok(None);
        };
        let take = |row: &MySqlRow| ahead::note(&mut ahead, row);
        self.session
            .each_row(sql, &[&low, &high], "reading rows", take)
            .await?;
        Ok(Some(ahead.finish()))
    }
}

impl Destination for MysqlDestination {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        Ok(Self {
            session: Session::open(connection, Purpose::Write).await?,
            claimed: None,
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        let object = catalogue::describe(&mut self.session, name).await?;
        self.use_object(&object);
        Ok(object)
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        catalogue::table_names(&mut self.session).await
    }

    async fn identity(&mut self) -> Result<String, SystemError> {
        catalogue::identity(&mut self.session).await
    }

    async fn triggers(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        catalogue::triggers(&mut self.session, &object.path).await
    }

    async fn dependents(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        catalogue::dependents(&mut self.session, &object.path).await
    }

    async fn expect_taken(&mut self, layout: &Layout) -> Result<(), SystemError> {
        for sql in statement::trials(layout) {
            match self
                .session
                .columns_of(sql, "writing through the view")
                .await
            {
                Ok(_) | Err(SystemError::Forbidden { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        catalogue::references(&mut self.session, &object.path).await
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

impl Refer for MysqlDestination {
    async fn find_ids(
        &mut self,
        layout: &Layout,
        id: &LayoutField,
        keys: &DataFrame,
    ) -> Result<Vec<Referents>, SystemError> {
        self.use_object(&layout.object);
        let statements = Statements::of(layout);
        let payload = self.payload(layout, &statements.carried(Step::Lock), keys)?;
        let sql = statements.ids(id, CANDIDATES_MAX);
        let mut found = vec![Referents::default(); keys.height()];
        for portion in payload.portions(self.portion_limit()) {
            let portion = portion?;
            let mut note = |row: &MySqlRow| -> Option<()> {
                let position = text(row, 0)?.parse::<usize>().ok()?.checked_sub(1)?;
                let found = found.get_mut(portion.first.checked_add(position)?)?;
                found.rows = text(row, 1)?.parse().ok()?;
                found.ids.extend(old_text(row, 2, &id.column.holds));
                Some(())
            };
            let mut are_noted = true;
            let take = |row: &MySqlRow| are_noted &= note(row).is_some();
            self.session
                .each_row(sql.clone(), &[&portion.json], "looking up references", take)
                .await?;
            if !are_noted {
                return Err(self.misread("the answer names no value that was asked for".into()));
            }
        }
        Ok(found)
    }
}

impl Transact for MysqlDestination {
    async fn begin(&mut self) -> Result<(), SystemError> {
        self.session
            .run("START TRANSACTION".to_owned(), "beginning a transaction")
            .await
    }

    async fn claim(&mut self, claim: Claim) -> Result<(), SystemError> {
        let doing = "claiming a batch";
        if let Some(earlier) = self.claimed.take() {
            self.session
                .rows("DO RELEASE_LOCK(?)".to_owned(), &[&earlier], doing)
                .await?;
        }
        let name = format!("writeback {:016x}", claim.0);
        // The session waits for a lock of this kind as long as for one on a table.
        let sql = "SELECT CAST(GET_LOCK(?, @@SESSION.lock_wait_timeout) AS CHAR)".to_owned();
        let mut answer = self.session.rows(sql.clone(), &[&name], doing).await;
        if answer.as_ref().is_ok_and(|answer| !is_one(answer)) {
            // Nobody but a connection that this job gave up holds the claim: one that fell silent
            // would keep it for long.
            self.end_holder(&name, doing).await?;
            answer = self.session.rows(sql, &[&name], doing).await;
        }
        match answer {
            Ok(answer) if is_one(&answer) => {
                self.claimed = Some(name);
                Ok(())
            }
            Ok(_) => Err(SystemError::Contended {
                connection: self.session.name().to_owned(),
                source: "an earlier writing of the batch is still under way".into(),
            }),
            // Servers in a cluster that certifies writes have no such locks.
            Err(error @ SystemError::Failed { .. }) => {
                tracing::debug!(connection = %self.session.name(), error = %error, "no lock for a batch");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn look_up_locked(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        self.find(
            Step::LookUp {
                before: before.is_read(),
                locks: true,
            },
            layout,
            batch,
            before,
        )
        .await
    }

    async fn declarations(&mut self, object: &Object) -> Result<Vec<Declaration>, SystemError> {
        catalogue::declarations(&mut self.session, &object.path).await
    }

    /// Triggers are shown to nobody but those who may make them.
    async fn may_alter_inserted(&mut self, _object: &Object) -> Result<bool, SystemError> {
        Ok(true)
    }

    async fn update(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        if layout.written_fields().next().is_none() {
            return Ok(batch.height().try_into().unwrap_or(u64::MAX));
        }
        let written = self
            .write(Step::Update, layout, batch, "updating rows")
            .await;
        match written {
            Err(refusal @ SystemError::Refused { .. })
                if layout.written_fields().any(|field| field.own_text) =>
            {
                self.restore(layout, batch, refusal).await
            }
            written => written,
        }
    }

    async fn insert(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        self.write(Step::Insert, layout, batch, "inserting rows")
            .await
    }

    async fn lock(&mut self, layout: &Layout, batch: &DataFrame) -> Result<(), SystemError> {
        self.use_object(&layout.object);
        let statements = Statements::of(layout);
        let payload = self.payload(layout, &statements.carried(Step::Lock), batch)?;
        for portion in payload.portions(self.portion_limit()) {
            self.session
                .rows(
                    statements.render(Step::Lock),
                    &[&portion?.json],
                    "locking rows",
                )
                .await?;
        }
        Ok(())
    }

    async fn delete(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        self.write(Step::Delete, layout, batch, "deleting rows")
            .await
    }

    async fn set_savepoint(&mut self) -> Result<(), SystemError> {
        self.session
            .run(SAVEPOINT.to_owned(), "marking a point of a transaction")
            .await
    }

    async fn return_to_savepoint(&mut self) -> Result<(), SystemError> {
        self.session
            .run(TO_SAVEPOINT.to_owned(), "going back in a transaction")
            .await
    }

    async fn commit(&mut self) -> Result<(), SystemError> {
        self.session.run("COMMIT".to_owned(), "committing").await
    }

    async fn rollback(&mut self) -> Result<(), SystemError> {
        let doing = "rolling back";
        self.session.run("ROLLBACK".to_owned(), doing).await?;
        let warnings = self
            .session
            .plain_rows("SHOW WARNINGS".to_owned(), doing)
            .await?;
        match warnings
            .iter()
            .any(|row| text(row, 1).as_deref() == Some(NOT_ROLLED_BACK))
        {
            false => Ok(()),
            true => Err(self.kept_writes(doing)),
        }
    }
}

impl MysqlDestination {
    /// Looks records up by `step`.
    async fn find(
        &mut self,
        step: Step,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        self.use_object(&layout.object);
        let statements = Statements::of(layout);
        let payload = self.payload(layout, &statements.carried(step), batch)?;
        let sql = statements.render(step);
        let mut answer = LookedUpBuilder::new(layout, batch);
        for portion in payload.portions(self.portion_limit()) {
            let portion = portion?;
            let mut are_noted = true;
            let note = |row: &MySqlRow| {
                are_noted &= note_found(&mut answer, portion.first, row, layout, before).is_some();
            };
            self.session
                .each_row(sql.clone(), &[&portion.json], "looking records up", note)
                .await?;
            if !are_noted {
                return Err(self.misread("the answer names no record of the batch".into()));
            }
            for record in portion.unholdable {
                if let Some(found) = answer.found.get_mut(record) {
                    found.differs = found.rows > 0;
                }
            }
        }
        Ok(answer.finish())
    }

    /// Writes a batch in as many statements as the server's packets ask for. Errors: `Refused` also
    /// for what the server would only have noted: that it cut or rounded a value.
    async fn write(
        &mut self,
        step: Step,
        layout: &Layout,
        batch: &DataFrame,
        doing: &str,
    ) -> Result<u64, SystemError> {
        self.use_object(&layout.object);
        let statements = Statements::of(layout);
        let payload = self.payload(layout, &statements.carried(step), batch)?;
        let sql = statements.render(step);
        let mut written = 0;
        for portion in payload.portions(self.portion_limit()) {
            let portion = holdable(portion?, layout)?;
            written += self
                .session
                .write(sql.clone(), &portion.json, doing)
                .await?;
            self.refuse_altered_values(layout).await?;
        }
        Ok(written)
    }

    /// Puts back what rows held and the server would not take today: a laxer mode once let in
    /// `0000-00-00`, or a label that is none. It is taken in such a mode again and kept if, read
    /// back, it is what was there to the byte. Constraints hold all the same. Errors: `refusal` if
    /// it is not.
    async fn restore(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        refusal: SystemError,
    ) -> Result<u64, SystemError> {
        self.session.be_lax().await?;
        let restored = self
            .send(Step::Update, layout, batch, "restoring rows")
            .await;
        self.session.be_strict().await?;
        let restored = restored?;
        let held = self.look_up(layout, batch, Before::Unread).await?.found;
        match held.iter().all(|found| found.rows == 1 && !found.differs) {
            true => Ok(restored),
            false => Err(refusal),
        }
    }

    /// Writes a batch without a look at the server's notes.
    async fn send(
        &mut self,
        step: Step,
        layout: &Layout,
        batch: &DataFrame,
        doing: &str,
    ) -> Result<u64, SystemError> {
        let statements = Statements::of(layout);
        let payload = self.payload(layout, &statements.carried(step), batch)?;
        let sql = statements.render(step);
        let mut written = 0;
        for portion in payload.portions(self.portion_limit()) {
            written += self
                .session
                .write(sql.clone(), &holdable(portion?, layout)?.json, doing)
                .await?;
        }
        Ok(written)
    }

    /// Strictness lets rounding pass with a note, and reading the batch is never strict. Notes of
    /// other tables' columns are a trigger's own business.
    async fn refuse_altered_values(&mut self, layout: &Layout) -> Result<(), SystemError> {
        let doing = "reading the server's notes";
        let notes = self
            .session
            .plain_rows("SHOW WARNINGS".to_owned(), doing)
            .await?;
        if notes.len() >= NOTES_MAX {
            let message = "the server has more notes on the batch than it keeps".to_owned();
            return Err(SystemError::Refused {
                message,
                column: None,
                clashes: false,
            });
        }
        for row in notes {
            let message = text(&row, 2).unwrap_or_default();
            let field = fault::column_named(&message).and_then(|name| field_named(layout, &name));
            let altered =
                text(&row, 1).is_some_and(|code| ALTERED_VALUE_NOTES.contains(&code.as_str()));
            if let Some(field) = field.filter(|_| altered) {
                return Err(unheld(field));
            }
        }
        Ok(())
    }

    fn payload(
        &self,
        layout: &Layout,
        carried: &[usize],
        batch: &DataFrame,
    ) -> Result<Payload, SystemError> {
        Payload::of(layout, carried, batch).map_err(|error| self.misread(Box::new(error)))
    }

    fn misread(&self, source: Box<dyn std::error::Error + Send + Sync>) -> SystemError {
        let doing = "matching the batch with its layout".to_owned();
        SystemError::Failed {
            connection: self.session.name().to_owned(),
            doing,
            source,
            hint: None,
        }
    }

    /// The catalogue shows neither what triggers write to nor what is behind a view whose
    /// definition is not ours to see.
    fn kept_writes(&self, doing: &str) -> SystemError {
        let connection = self.session.name().to_owned();
        warn!(%connection, "a table without transactions was written to, and what was to be rolled back stays in it");
        SystemError::Failed {
            connection,
            doing: doing.to_owned(),
            source: "a table without transactions keeps what was written to it".into(),
            hint: Some("look for what triggers write to, and let InnoDB keep it".to_owned()),
        }
    }

    fn use_object(&mut self, object: &Object) {
        self.session
            .set_table(Dialect::Mysql.quote_path(&object.path));
    }

    /// Bytes of JSON that statements may carry: a quarter of a packet leaves room for what the
    /// server makes of it, and beyond some mebibytes a statement gains nothing.
    fn portion_limit(&self) -> PortionLimit {
        let packet = self.session.packet_bytes_max();
        PortionLimit {
            usual: (packet / 4).min(PORTION_BYTES_MAX),
            record: packet.saturating_sub(STATEMENT_BYTES_MAX),
        }
    }
}

/// Beyond this a larger statement saves no round trip worth the memory: each is there as JSON, as
/// the parameter that is bound and as the packet that is sent.
const PORTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Room in a packet for what surrounds the JSON.
const STATEMENT_BYTES_MAX: usize = 1024;

/// Codes of the notes that tell of a value cut, rounded or clamped.
const ALTERED_VALUE_NOTES: [&str; 5] = ["1264", "1265", "1292", "1366", "1406"];

/// The code of the warning that a rollback left something behind.
const NOT_ROLLED_BACK: &str = "1196";

/// How many bytes of JSON a statement may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PortionLimit {
    /// Where a portion of several records ends.
    usual: usize,
    /// What a single record may need.
    record: usize,
}

/// The layout's field that a note means, which names it as the object does or as the batch does.
fn field_named<'a>(layout: &'a Layout, name: &str) -> Option<&'a LayoutField> {
    let position = || {
        layout
            .fields
            .get(name.strip_prefix('c')?.parse::<usize>().ok()?)
    };
    layout
        .fields
        .iter()
        .find(|field| field.column.name == name)
        .or_else(position)
}

/// A portion to be written, unless the server has no way to hold a value of it.
fn holdable(portion: Portion, layout: &Layout) -> Result<Portion, SystemError> {
    let unholdable = portion
        .first_unholdable
        .and_then(|field| layout.fields.get(field));
    unholdable.map_or(Ok(portion), |field| Err(unheld(field)))
}

fn unheld(field: &LayoutField) -> SystemError {
    let column = &field.column;
    let message = format!(
        "`{}` cannot hold the value exactly: it is {}",
        column.name, column.declared
    );
    SystemError::Refused {
        message,
        column: Some(column.name.clone()),
        clashes: false,
    }
}

/// Takes in a row of a look-up's answer; `None` if it names no record of the batch.
fn note_found(
    answer: &mut LookedUpBuilder,
    first: usize,
    row: &MySqlRow,
    layout: &Layout,
    before: Before,
) -> Option<()> {
    let number = |position: usize| text(row, position)?.parse::<u64>().ok();
    let record = first
        .checked_add(usize::try_from(number(0)?).ok()?)?
        .checked_sub(1)?;
    let found = answer.found.get_mut(record)?;
    found.rows += number(1)?;
    found.differs |= number(2)? > 0;
    if found.rows > 1 {
        answer.before.forget(record);
    } else if before.is_of(found.differs) {
        let fields = layout.fields.iter().enumerate();
        let old: Vec<Option<String>> = fields
            .map(|(index, field)| old_text(row, index + 3, &field.column.holds))
            .collect();
        answer.before.push(record, old.iter().map(Option::as_deref));
    }
    Some(())
}

/// The old value of one field. A single-precision number comes as its exact double-precision value;
/// the shortest text that names it is what people wrote.
fn old_text(row: &MySqlRow, position: usize, holds: &Holds) -> Option<String> {
    let value = text(row, position)?;
    match holds {
        Holds::Float { bits: 32 } => Some(
            value
                .parse::<f32>()
                .map_or(value, |number| number.to_string()),
        ),
        Holds::Text { .. }
        | Holds::Label(_)
        | Holds::Labels(_)
        | Holds::Integer { .. }
        | Holds::Decimal { .. }
        | Holds::DecimalAsFloat { .. }
        | Holds::Float { .. }
        | Holds::Boolean
        | Holds::Date
        | Holds::Time { .. }
        | Holds::Timestamp { .. }
        | Holds::Instant { .. }
        | Holds::Uuid
        | Holds::Json
        | Holds::Unsupported => Some(value),
    }
}
