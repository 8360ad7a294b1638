//! One record the whole way: pulled, conformed, mapped, matched, written, and read back from the database itself; or
//! rolled back, so that nothing is left.

use polars::prelude::{DataFrame, IdxCa, IdxSize};
use serde::Serialize;

use crate::destination::{AnyDestination, Destination};
use crate::domain::before::Before;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{RejectReason, Rejection, Stage};
use crate::domain::record::{cell_text, key_texts};
use crate::run::plan::Plan;
use crate::run::preview::same;
use crate::run::pull::sift;
use crate::run::{RunError, writer};
use crate::source::Source;

/// What becomes of a test's write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    Rollback,
}

/// What one record's way through one write-back showed.
#[derive(Debug, Serialize)]
pub(crate) struct SingleRecord {
    pub(crate) write_back: String,
    pub(crate) key: String,
    pub(crate) outcome: SingleOutcome,
    pub(crate) rolled_back: bool,
    /// In the layout's order; empty if nothing was looked up.
    pub(crate) columns: Vec<ColumnProof>,
}

/// What became of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum SingleOutcome {
    Inserted,
    Updated,
    Unchanged,
    Skipped {
        reason: &'static str,
    },
    Rejected {
        stage: Stage,
        column: Option<String>,
        reason: String,
    },
    /// The source has no such record among `read`.
    NotInSource {
        read: u64,
    },
}

impl SingleOutcome {
    /// Whether it shows that the write-back does what it should: the record reached a row, or became one.
    pub(crate) fn proves(&self) -> bool {
        match self {
            Self::Inserted | Self::Updated | Self::Unchanged => true,
            Self::Skipped { .. } | Self::Rejected { .. } | Self::NotInSource { .. } => false,
        }
    }
}

/// One column of the record: what the row held, what was sent, what the row holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnProof {
    pub(crate) column: String,
    pub(crate) before: Option<String>,
    pub(crate) sent: Option<String>,
    pub(crate) after: Option<String>,
    /// Whether the row now holds another value than it did.
    pub(crate) changed: bool,
}

/// Takes the record with key `key` the whole way.
pub(crate) async fn try_record(plan: &mut Plan, key: &str, ending: Ending) -> Result<SingleRecord, RunError> {
    let wanted = find(plan, key).await;
    let plan = &*plan;
    let report = |outcome, columns| SingleRecord {
        write_back: plan.write_back.name.clone(),
        key: key.to_owned(),
        outcome,
        rolled_back: ending == Ending::Rollback,
        columns,
    };
    let wanted = wanted.map_err(|source| RunError::Pull {
        write_back: plan.write_back.name.clone(),
        connection: plan.source.name.clone(),
        source: Box::new(source),
    })?;
    let record = match wanted {
        Wanted::Record(record) => record,
        Wanted::Outcome(outcome) => return Ok(report(outcome, Vec::new())),
    };
    match write_and_read_back(plan, &record, ending).await {
        Ok((outcome, columns)) => Ok(report(outcome, columns)),
        Err(SystemError::Refused { message, column }) => {
            let outcome = SingleOutcome::Rejected { stage: Stage::Destination, column, reason: message };
            Ok(report(outcome, Vec::new()))
        }
        Err(source) => Err(RunError::Push {
            write_back: plan.write_back.name.clone(),
            connection: plan.destination.name.clone(),
            source: Box::new(source),
        }),
    }
}

enum Wanted {
    Record(DataFrame),
    Outcome(SingleOutcome),
}

/// Looks through the whole source: a key that occurs twice is only known at the end.
async fn find(plan: &mut Plan, key: &str) -> Result<Wanted, SystemError> {
    let mut source = plan.open_source().await?;
    let mut read = 0;
    let mut occurs = 0;
    let mut record = None;
    let mut rejection = None;
    while let Some(pulled) = source.next_chunk().await? {
        read += pulled.read;
        let sifted = tokio::task::block_in_place(|| sift(plan, pulled));
        rejection =
            rejection.or_else(|| sifted.rejections.into_iter().find(|rejected| rejected.key.as_deref() == Some(key)));
        let positions = positions_of(&sifted.records, plan.mapping.key_columns(), key);
        occurs += u64::try_from(positions.len()).unwrap_or(u64::MAX);
        if let Some(position) = positions.first() {
            record = record.or_else(|| sifted.records.take(&IdxCa::from_vec("".into(), vec![*position])).ok());
        }
    }
    Ok(match (record, rejection) {
        (Some(_), _) if occurs > 1 => Wanted::Outcome(rejected(Rejection {
            record: 0,
            key: Some(key.to_owned()),
            stage: Stage::Match,
            column: None,
            reason: RejectReason::DuplicateKey { occurs }.to_string(),
        })),
        (Some(record), _) => Wanted::Record(plan.mapping.complete(&record)),
        (None, Some(rejection)) => Wanted::Outcome(rejected(rejection)),
        (None, None) => Wanted::Outcome(SingleOutcome::NotInSource { read }),
    })
}

fn rejected(rejection: Rejection) -> SingleOutcome {
    let Rejection { stage, column, reason, .. } = rejection;
    SingleOutcome::Rejected { stage, column, reason }
}

fn positions_of(records: &DataFrame, key_columns: &[String], key: &str) -> Vec<IdxSize> {
    key_texts(records, key_columns)
        .iter()
        .zip(0..)
        .filter(|(text, _)| text.as_str() == key)
        .map(|(_, position)| position)
        .collect()
}

/// Writes the record in one transaction; reads it back in a new one, or in the same before it is rolled back.
async fn write_and_read_back(
    plan: &Plan,
    record: &DataFrame,
    ending: Ending,
) -> Result<(SingleOutcome, Vec<ColumnProof>), SystemError> {
    let mut destination = AnyDestination::connect(&plan.destination).await?;
    destination.begin().await?;
    let written = writer::write(&mut destination, &plan.destination, &plan.layout, record, Before::OfAll).await;
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            // The refusal is what the user asked about; a failed rollback ends with the connection anyway.
            drop(destination.rollback().await);
            return Err(error);
        }
    };
    let after = match ending {
        Ending::Rollback => {
            let after = destination.look_up(&plan.layout, record, Before::OfAll).await?;
            destination.rollback().await?;
            after
        }
        Ending::Commit => {
            destination.commit().await?;
            destination.close().await;
            destination = AnyDestination::connect(&plan.destination).await?;
            destination.look_up(&plan.layout, record, Before::OfAll).await?
        }
    };
    destination.close().await;
    let (before, after) = (written.looked_up.before.of(0), after.before.of(0));
    let outcome = written.decisions.into_iter().next().map_or(SingleOutcome::NotInSource { read: 0 }, outcome_of);
    Ok((outcome, columns(&plan.layout, record, before.as_deref(), after.as_deref())))
}

fn outcome_of(decision: Decision) -> SingleOutcome {
    match decision {
        Decision::Insert => SingleOutcome::Inserted,
        Decision::Update => SingleOutcome::Updated,
        Decision::Leave => SingleOutcome::Unchanged,
        Decision::Skip(reason) => SingleOutcome::Skipped { reason: reason.words() },
        Decision::Reject(reason) => {
            SingleOutcome::Rejected { stage: Stage::Match, column: None, reason: reason.to_string() }
        }
    }
}

fn columns(
    layout: &Layout,
    record: &DataFrame,
    before: Option<&[Option<&str>]>,
    after: Option<&[Option<&str>]>,
) -> Vec<ColumnProof> {
    if before.is_none() && after.is_none() {
        return Vec::new();
    }
    let held = |values: Option<&[Option<&str>]>, position: usize| values?.get(position)?.map(str::to_owned);
    let proof = |(position, field): (usize, &crate::domain::layout::LayoutField)| {
        let (before, after) = (held(before, position), held(after, position));
        let changed = !same(field.kind, before.as_deref(), after.as_deref());
        let sent = record.columns().get(position).and_then(|column| cell_text(column, 0));
        ColumnProof { column: field.column.name.clone(), before, sent, after, changed }
    };
    layout.fields.iter().enumerate().map(proof).collect()
}
