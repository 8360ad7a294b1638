//! The journal as a table of the destination, filled in the transaction of each batch: one row for
//! each value that the batch changed, as `writeback history` tells it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use polars::prelude::{Column, DataFrame, DataType, PolarsResult, TimeUnit};

use super::batch::Batch;
use super::reached::{Hold, Write};
use super::write::effect::Effect;
use crate::destination::AnyDatabase;
use crate::destination::seam::{LookUp, Transact};
use crate::domain::before::Before;
use crate::domain::change::Change;
use crate::domain::doubt::JournalMark;
use crate::domain::error::SystemError;
use crate::domain::journal_table::{self as journal, JournalColumn};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::mapping::RunFacts;
use crate::domain::match_rule::Decision;
use crate::domain::sameness::same;

/// Bytes of rows that one statement fills in, about: of a batch of many fields the journal has many
/// times as many rows.
const ROWS_BYTES_MAX: usize = 2 << 20;

/// Bytes of a row beside its key and its two values, about.
const ROW_BYTES: usize = 128;

/// The journal of one write-back of a run.
pub(crate) struct JournalTable {
    layout: Layout,
    facts: RunFacts,
    write_back: String,
    connection: String,
}

impl JournalTable {
    pub(super) fn new(layout: Layout, facts: RunFacts, write_back: &str, connection: &str) -> Self {
        Self {
            layout,
            facts,
            write_back: write_back.to_owned(),
            connection: connection.to_owned(),
        }
    }

    /// Who finds its rows again.
    pub(super) fn witness(&self) -> JournalWitness<'_> {
        let RunFacts { run, job, .. } = &self.facts;
        JournalWitness {
            layout: &self.layout,
            run: *run,
            job,
            write_back: &self.write_back,
        }
    }

    /// Tells what a batch changed, within its own transaction, and how one of the rows that tell it
    /// is found again. Errors: never `Refused`: no record is to blame for what the journal does not
    /// take.
    pub(super) async fn fill(
        &self,
        database: &mut AnyDatabase,
        batch: &Batch,
        effect: &Effect<'_>,
    ) -> Result<Option<JournalMark>, SystemError> {
        let layout = effect.layout();
        let at = Utc::now();
        let (mut changes, mut first) = (Changes::default(), None);
        for (record, decision) in effect
            .decisions()
            .iter()
            .enumerate()
            .filter(|(_, decision)| decision.is_write())
        {
            let (key, kind) = (batch.key(record), change(effect, decision));
            let fields = layout.fields.iter().enumerate();
            for (position, field) in fields.filter(|(_, field)| !field.key) {
                let before = effect.before(record, position);
                let after = effect.after(record, position);
                if !same(field.kind, before, after) {
                    changes.push(&key, &field.column.name, before, after, kind);
                }
            }
            if changes.bytes >= ROWS_BYTES_MAX {
                let mark = self
                    .insert(database, layout, std::mem::take(&mut changes), at)
                    .await?;
                first = first.or(mark);
            }
        }
        let last = self.insert(database, layout, changes, at).await?;
        Ok(first.or(last))
    }

    /// Inserts rows, if there are any; returns how the first of them is found again.
    async fn insert(
        &self,
        destination: &mut AnyDatabase,
        written: &Layout,
        changes: Changes,
        at: DateTime<Utc>,
    ) -> Result<Option<JournalMark>, SystemError> {
        let rows = changes
            .into_frame(self, written, at)
            .map_err(|error| self.failed(error.into()))?;
        if rows.height() == 0 {
            return Ok(None);
        }
        let inserted = match destination.insert(&self.layout, &rows).await {
            Err(SystemError::Refused { message, .. }) => return Err(self.failed(message.into())),
            inserted => inserted?,
        };
        crate::fault::point("a journal filled");
        if usize::try_from(inserted) == Ok(rows.height()) {
            return Ok(mark(&rows));
        }
        // A trigger may have put them where they can be found all the same.
        let layout = journal::identified(&self.layout);
        let write = Write {
            change: Change::Insert,
            layout: Cow::Owned(layout),
            records: rows.clone(),
            hold: Hold::Loose,
        };
        let reached = write
            .expect_reached(destination, &self.connection, inserted, None)
            .await;
        let reached = reached.map_err(|_| {
            self.failed(format!("it took {inserted} of {} rows", rows.height()).into())
        });
        reached.map(|()| mark(&rows))
    }

    fn failed(&self, source: Box<dyn std::error::Error + Send + Sync>) -> SystemError {
        let object = self.layout.object.display_name();
        let hint = Some(format!(
            "see to `{object}`, or take `journal_table` out of the job; then run again"
        ));
        let doing = format!("filling the journal `{object}`");
        SystemError::Failed {
            connection: self.connection.clone(),
            doing,
            source,
            hint,
        }
    }
}

/// How the first of a batch's rows in the journal is found again.
fn mark(rows: &DataFrame) -> Option<JournalMark> {
    let text = |wanted: JournalColumn| {
        let position = JournalColumn::ALL
            .iter()
            .position(|column| *column == wanted)?;
        rows.columns()
            .get(position)?
            .str()
            .ok()?
            .get(0)
            .map(str::to_owned)
    };
    Some(JournalMark {
        key: text(JournalColumn::MatchKey)?,
        column: text(JournalColumn::ColumnName)?,
        cycle: text(JournalColumn::Cycle),
    })
}

/// Finds rows of one write-back of a run in its journal.
pub(super) struct JournalWitness<'a> {
    pub(super) layout: &'a Layout,
    pub(super) run: i64,
    pub(super) job: &'a str,
    pub(super) write_back: &'a str,
}

impl JournalWitness<'_> {
    /// What a mark says of a row in a column, by which it is told from those of other sendings;
    /// `None` of a column that tells nothing.
    fn told(&self, mark: &JournalMark, column: JournalColumn, name: &str) -> Option<Column> {
        let name = name.into();
        match column {
            JournalColumn::Run => Some(Column::new(name, [self.run])),
            JournalColumn::Job => Some(Column::new(name, [self.job])),
            JournalColumn::WriteBack => Some(Column::new(name, [self.write_back])),
            JournalColumn::Cycle => {
                let cycle = mark.cycle.as_deref();
                cycle.map(|cycle| Column::new(name, [cycle]))
            }
            JournalColumn::MatchKey => Some(Column::new(name, [mark.key.as_str()])),
            JournalColumn::ColumnName => Some(Column::new(name, [mark.column.as_str()])),
            JournalColumn::Object
            | JournalColumn::OldValue
            | JournalColumn::NewValue
            | JournalColumn::Change
            | JournalColumn::WrittenAt => None,
        }
    }

    /// Whether a row of this mark is there, as far as this user may look.
    pub(super) async fn has(
        &self,
        destination: &mut AnyDatabase,
        mark: &JournalMark,
    ) -> Result<bool, SystemError> {
        let columns = JournalColumn::ALL.into_iter().zip(&self.layout.fields);
        let told = columns.map(|(column, field)| self.told(mark, column, &field.column.name));
        let (positions, values): (Vec<usize>, Vec<Column>) = told
            .enumerate()
            .filter_map(|(position, value)| Some((position, value?)))
            .unzip();
        let narrow = self.layout.narrowed(&positions);
        let fields: Vec<LayoutField> = narrow
            .fields
            .iter()
            .map(|field| LayoutField {
                key: true,
                ..field.clone()
            })
            .collect();
        if !narrow.object.may_select_rows || !fields.iter().all(|field| field.column.may_select) {
            return Ok(false);
        }
        let key = (0..fields.len()).collect();
        let row = DataFrame::new(1, values).expect("every column has one value");
        let layout = Layout {
            fields,
            key,
            ..narrow
        };
        let found = destination
            .look_up(&layout, &row, Before::Unread)
            .await?
            .found;
        Ok(found.iter().any(|found| found.rows > 0))
    }
}

/// What the journal calls a write.
fn change(effect: &Effect<'_>, decision: &Decision) -> &'static str {
    match decision {
        _ if effect.takes_back() => "undo",
        Decision::Insert => "insert",
        Decision::Update
        | Decision::Leave
        | Decision::Delete
        | Decision::Skip(_)
        | Decision::Reject(_) => "update",
    }
}

/// Values that a batch changed, column by column.
#[derive(Default)]
struct Changes {
    keys: Vec<String>,
    columns: Vec<String>,
    before: Vec<Option<String>>,
    after: Vec<Option<String>>,
    kinds: Vec<&'static str>,
    /// Of all rows, about.
    bytes: usize,
}

impl Changes {
    fn push(
        &mut self,
        key: &str,
        column: &str,
        before: Option<&str>,
        after: Option<&str>,
        kind: &'static str,
    ) {
        self.bytes +=
            ROW_BYTES + key.len() + before.map_or(0, str::len) + after.map_or(0, str::len);
        self.keys.push(key.to_owned());
        self.columns.push(column.to_owned());
        self.before.push(before.map(str::to_owned));
        self.after.push(after.map(str::to_owned));
        self.kinds.push(kind);
    }

    /// Shape: one row for each value that changed, columns as the journal's layout has them.
    fn into_frame(
        self,
        journal: &JournalTable,
        written: &Layout,
        at: DateTime<Utc>,
    ) -> PolarsResult<DataFrame> {
        let Self {
            keys,
            columns,
            before,
            after,
            kinds,
            ..
        } = self;
        let rows = keys.len();
        let RunFacts {
            run, job, cycle, ..
        } = &journal.facts;
        let repeated = |name, text: &str| Column::new(name, vec![text; rows]);
        let (mut keys, mut columns) = (Some(keys), Some(columns));
        let (mut before, mut after) = (Some(before), Some(after));
        let column = |(wanted, field): (JournalColumn, &LayoutField)| {
            let name = field.column.name.as_str().into();
            Ok(match wanted {
                JournalColumn::Run => Column::new(name, vec![*run; rows]),
                JournalColumn::Job => repeated(name, job),
                JournalColumn::WriteBack => repeated(name, &journal.write_back),
                JournalColumn::Cycle => repeated(name, &cycle.id),
                JournalColumn::Object => repeated(name, &written.object.display_name()),
                JournalColumn::MatchKey => Column::new(name, keys.take().unwrap_or_default()),
                JournalColumn::ColumnName => Column::new(name, columns.take().unwrap_or_default()),
                JournalColumn::OldValue => Column::new(name, before.take().unwrap_or_default()),
                JournalColumn::NewValue => Column::new(name, after.take().unwrap_or_default()),
                JournalColumn::Change => Column::new(name, kinds.clone()),
                JournalColumn::WrittenAt => {
                    let instants = Column::new(name, vec![at.timestamp_micros(); rows]);
                    instants.cast(&DataType::Datetime(TimeUnit::Microseconds, None))?
                }
            })
        };
        let fields = JournalColumn::ALL.into_iter().zip(&journal.layout.fields);
        DataFrame::new(rows, fields.map(column).collect::<PolarsResult<Vec<_>>>()?)
    }
}
