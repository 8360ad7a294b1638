//! The history of one record: who wrote its fields, run by run, as the before-images tell, and what
//! someone else changed in between; all of it, or a part.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::config::Project;
use crate::domain::sameness::same;
use crate::ledger::{JournalRun, Ledger, RecordRequest, RunKind};
use crate::run::journal::{JournalError, RunAt, Unknown};
use crate::run::preview::ColumnChange;
use crate::run::record_writes::{self, FieldImage, Image, Part, RecordOf, change};

/// Everything that is known to have been written into one record's row.
#[derive(Debug, Serialize)]
pub(crate) struct RecordHistory {
    pub(crate) job: String,
    pub(crate) write_back: String,
    pub(crate) record: String,
    /// Newest first.
    pub(crate) entries: Vec<Entry>,
    /// The first run of which it is known what it wrote; absent where there is more to tell.
    pub(crate) since: Option<RunAt>,
    /// Runs of which it is not, or not all.
    pub(crate) unknown: Vec<Unknown>,
    /// Before which sending the next part ends, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<i64>,
}

/// What became of the row at one time.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) by: By,
    /// The run that wrote; of someone else's change, the run that came upon it.
    pub(crate) run: i64,
    /// Of the run.
    pub(crate) cycle: String,
    /// Of the run.
    pub(crate) started_at: DateTime<Utc>,
    /// Whether the run sent it and is not known to have written it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_doubt: bool,
    pub(crate) row: RowFate,
    /// The latest run that took this one's write back.
    pub(crate) undone_by: Option<i64>,
    /// Fields whose value changed.
    pub(crate) changes: Vec<ColumnChange>,
    /// Who asked for it, where a request wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestTold>,
}

/// A request, as the history of its record tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RequestTold {
    pub(crate) id: String,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) caller: String,
    pub(crate) origin: Option<String>,
    pub(crate) actor: Option<String>,
}

impl RequestTold {
    fn of(request: &RecordRequest) -> Self {
        Self {
            id: request.id.clone(),
            asked_at: request.asked_at,
            caller: request.caller.clone(),
            origin: request.origin.clone(),
            actor: request.actor.clone(),
        }
    }
}

/// Who wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A run of the write-back.
    Run(RunKind),
    /// A person, another program, or a trigger that altered what was written.
    SomeoneElse,
}

impl By {
    /// As `--json` writes it.
    fn name(self) -> &'static str {
        match self {
            Self::Run(kind) => kind.name(),
            Self::SomeoneElse => "someone_else",
        }
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What became of the row as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RowFate {
    Created,
    Changed,
    Removed,
}

/// Finds the write-back that is meant, in the one job named or in the only one that has it.
/// Errors: `NoSuchWriteBack`, `SeveralJobs`.
pub(crate) async fn job_of(
    ledger: &Ledger,
    job: Option<&str>,
    write_back: &str,
) -> Result<String, JournalError> {
    let begun = ledger.write_backs_begun(job).await?;
    let mut jobs: Vec<String> = begun
        .iter()
        .filter(|(_, name)| name == write_back)
        .map(|(job, _)| job.clone())
        .collect();
    match (jobs.pop(), jobs.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            jobs.push(last);
            Err(JournalError::SeveralJobs {
                name: write_back.to_owned(),
                jobs,
            })
        }
        (None, _) => {
            let mut known: Vec<String> = begun.into_iter().map(|(_, name)| name).collect();
            known.sort();
            known.dedup();
            Err(JournalError::NoSuchWriteBack {
                name: write_back.to_owned(),
                known,
            })
        }
    }
}

/// The history of a record, or of one of its fields.
pub(crate) async fn of_record(
    project: &Project,
    ledger: &Ledger,
    of: RecordOf<'_>,
    field: Option<&str>,
) -> Result<RecordHistory, JournalError> {
    let (mut history, row) = told(project, ledger, of, Part::Whole).await?;
    if let Some(field) = field {
        keep_field(&mut history, field, &row)?;
    }
    Ok(history)
}

/// A part of the history of a record: its newest writes, `writes_max` at most, sent before `before`.
pub(crate) async fn part_of_record(
    project: &Project,
    ledger: &Ledger,
    of: RecordOf<'_>,
    writes_max: usize,
    before: Option<i64>,
) -> Result<RecordHistory, JournalError> {
    let part = Part::Newest { writes_max, before };
    Ok(told(project, ledger, of, part).await?.0)
}

/// What was written, entry by entry, and the row as it was left.
async fn told(
    project: &Project,
    ledger: &Ledger,
    of: RecordOf<'_>,
    part: Part,
) -> Result<(RecordHistory, Row), JournalError> {
    let gathered = record_writes::gather(project, ledger, of, part).await?;
    let mut history = RecordHistory {
        job: of.job.to_owned(),
        write_back: of.write_back.to_owned(),
        record: of.record.to_owned(),
        entries: Vec::new(),
        since: gathered.since,
        unknown: gathered.unknown,
        next: gathered.next,
    };
    let mut row = Row::default();
    for write in gathered.writes {
        let Some(image) = write.image else {
            // It may have written the record, and nobody knows what.
            row.values.clear();
            continue;
        };
        mark_undone(&mut history.entries, &write.run);
        let mut entries = row.take(&write.run, image);
        let request = write.request.as_ref().map(RequestTold::of);
        for entry in entries
            .iter_mut()
            .filter(|entry| entry.by != By::SomeoneElse)
        {
            entry.request.clone_from(&request);
        }
        if !write.is_earlier {
            history.entries.extend(entries);
        }
    }
    for undo in &gathered.undone {
        mark_undone(&mut history.entries, undo);
    }
    history.entries.reverse();
    Ok((history, row))
}

/// Marks what an undo takes back.
fn mark_undone(entries: &mut [Entry], undo: &JournalRun) {
    let undone = entries
        .iter_mut()
        .filter(|entry| undo.undo_of == Some(entry.run) && entry.by != By::SomeoneElse);
    undone.for_each(|entry| entry.undone_by = Some(undo.id.run));
}

/// Leaves out whatever is not about one field.
/// Errors: `NoSuchField`, if the record was written and the field never.
fn keep_field(history: &mut RecordHistory, field: &str, row: &Row) -> Result<(), JournalError> {
    let is_meant = |name: &String| name.eq_ignore_ascii_case(field);
    if !row.fields.is_empty() && !row.fields.iter().any(is_meant) {
        let known = row.fields.iter().cloned().collect();
        return Err(JournalError::NoSuchField {
            field: field.to_owned(),
            record: history.record.clone(),
            known,
        });
    }
    for entry in &mut history.entries {
        entry.changes.retain(|change| is_meant(&change.column));
    }
    history
        .entries
        .retain(|entry| !entry.changes.is_empty() || entry.row == RowFate::Removed);
    Ok(())
}

/// The record's row as the runs so far left it.
#[derive(Default)]
struct Row {
    /// What is known of it.
    values: BTreeMap<String, Option<String>>,
    /// What it held before a write in doubt, and holds if nothing was written.
    before_doubt: BTreeMap<String, Option<String>>,
    /// Whether it may not be there, as what made it is in doubt.
    may_be_absent: bool,
    /// Every field that a run ever had.
    fields: BTreeSet<String>,
}

impl Row {
    /// What happened up to a run's write and by it, oldest first.
    fn take(&mut self, run: &JournalRun, image: Image) -> Vec<Entry> {
        let in_doubt = image.in_doubt;
        let entry = |by, row, changes| Entry {
            by,
            run: run.id.run,
            cycle: run.cycle.clone(),
            started_at: run.started_at,
            in_doubt: in_doubt && by != By::SomeoneElse,
            row,
            undone_by: None,
            changes,
            request: None,
        };
        let mut entries = Vec::new();
        if image.created && !self.values.is_empty() && !self.may_be_absent {
            entries.push(entry(By::SomeoneElse, RowFate::Removed, Vec::new()));
        } else if !image.created {
            let foreign: Vec<ColumnChange> = image
                .fields
                .iter()
                .filter_map(|field| self.foreign_change(field))
                .collect();
            if !foreign.is_empty() {
                entries.push(entry(By::SomeoneElse, RowFate::Changed, foreign));
            }
        }
        self.before_doubt.clear();
        self.may_be_absent = in_doubt && image.created;
        if in_doubt {
            // If it was not deleted after all, somebody else may have changed it meanwhile: nothing
            // is known of it.
            let held = image.fields.iter().filter(|_| !image.created);
            self.before_doubt = held
                .map(|field| (field.name.clone(), field.before.clone()))
                .collect();
        }
        if image.deleted {
            self.values.clear();
            self.fields
                .extend(image.fields.into_iter().map(|field| field.name));
            entries.push(entry(By::Run(run.kind), RowFate::Removed, Vec::new()));
            return entries;
        }
        let fate = if image.created {
            RowFate::Created
        } else {
            RowFate::Changed
        };
        let changes: Vec<ColumnChange> =
            image.fields.iter().filter_map(FieldImage::change).collect();
        if image.created {
            self.values.clear();
        }
        for field in &image.fields {
            self.values
                .insert(field.name.clone(), field.after().map(str::to_owned));
            self.fields.insert(field.name.clone());
        }
        entries.push(entry(By::Run(run.kind), fate, changes));
        entries
    }

    /// How the field changed between the last run that wrote the record and this one.
    fn foreign_change(&self, field: &FieldImage) -> Option<ColumnChange> {
        let left = self.values.get(&field.name)?;
        let unwritten = self.before_doubt.get(&field.name);
        if unwritten.is_some_and(|unwritten| {
            same(field.kind, unwritten.as_deref(), field.before.as_deref())
        }) {
            return None;
        }
        change(
            field.kind,
            &field.name,
            left.as_deref(),
            field.before.as_deref(),
        )
    }
}
