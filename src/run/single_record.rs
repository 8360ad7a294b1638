//! One record the whole way: pulled, conformed, mapped, matched, written as a run writes, and read
//! back from the destination itself; or rolled back, so that nothing is left.

use std::borrow::Cow;

use polars::prelude::DataFrame;
use serde::Serialize;
use tokio::task::block_in_place;

use crate::destination::seam::{Destination, LookUp, LookedUp, Transact};
use crate::destination::{AnyDatabase, AnyDestination};
use crate::domain::alteration::Cause;
use crate::domain::before::Before;
use crate::domain::conform::Sifted;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{RejectReason, Rejection, Stage};
use crate::domain::record::{RECORD_KEY, cell_text, key_texts};
use crate::domain::sameness::{in_words, same};
use crate::run::conflicts::LastValues;
use crate::run::conflicts::{Conflicts, kept};
use crate::run::creating::{self, One};
use crate::run::error::RunError;
use crate::run::plan::Plan;
use crate::run::pull::PullError;
use crate::run::push::error::PushError;
use crate::run::reached::Hold;
use crate::run::resolver::{Resolved, Resolver};
use crate::run::selection::{Selected, Selection};
use crate::run::tested::{TestAccount, Tested, TestedRecord};
use crate::run::write::effect::Effect;
use crate::run::write::judge::Decided;
use crate::run::write::terms::Terms;
use crate::run::write::transaction::{Differing, Manner, Task};
use crate::run::writer::Work;
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
    /// By which an undo takes back what was written; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    /// What the database holds other than it was written, and the likely cause, in one sentence.
    pub(crate) alteration: Option<String>,
    /// In the layout's order; empty if nothing was looked up.
    pub(crate) columns: Vec<ColumnProof>,
    /// The segment that tells what was last written into fields in which someone else's values are
    /// kept.
    #[serde(skip)]
    pub(crate) last_written: Option<Vec<u8>>,
}

impl SingleRecord {
    /// Whether it shows that the write-back does what it should: the record reached a row, or
    /// became one, and the row holds what was written.
    pub(crate) fn proves(&self) -> bool {
        self.alteration.is_none() && self.outcome.reached_a_row()
    }

    /// Whether a person should look: it was rejected, or the row holds other than was written.
    pub(crate) fn fails(&self) -> bool {
        self.alteration.is_some() || matches!(self.outcome, SingleOutcome::Rejected { .. })
    }
}

/// What became of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum SingleOutcome {
    Inserted,
    Updated,
    Unchanged,
    Deleted,
    Skipped {
        reason: Cow<'static, str>,
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
    fn reached_a_row(&self) -> bool {
        match self {
            Self::Inserted | Self::Updated | Self::Unchanged => true,
            Self::Deleted
            | Self::Skipped { .. }
            | Self::Rejected { .. }
            | Self::NotInSource { .. } => false,
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
    /// Whether the row holds what was written: what was sent, unless the job says to keep what was
    /// there.
    pub(crate) as_written: bool,
    /// Whether it was left alone, for someone else had changed it.
    pub(crate) kept: bool,
}

/// Takes the only record that `selection` takes the whole way, unless that leaves it alone; `key` is
/// what the record is asked for by.
pub(crate) async fn try_record(
    plan: &mut Plan,
    key: &str,
    selection: Selection,
    ending: Ending,
    account: TestAccount<'_>,
) -> Result<SingleRecord, RunError> {
    let (ledger, job) = (account.ledger, account.job);
    let wanted = find(plan, key, selection).await;
    let plan = &*plan;
    let (key, wanted) = match wanted {
        Ok(Wanted::Record(record)) => {
            let key = reported_key(plan, &record).unwrap_or_else(|| key.to_owned());
            (key, Ok(referred(plan, record).await?))
        }
        other => (key.to_owned(), other),
    };
    let key = key.as_str();
    let report = |outcome| SingleRecord {
        write_back: plan.write_back.name.clone(),
        key: key.to_owned(),
        outcome,
        rolled_back: ending == Ending::Rollback,
        request: None,
        alteration: None,
        columns: Vec::new(),
        last_written: None,
    };
    let last = last_values(plan, &wanted)?;
    let wanted = wanted.map_err(|source| PullError::Failed {
        write_back: plan.write_back.name.clone(),
        connection: plan.source.name.clone(),
        source: Box::new(source),
    })?;
    let record = match wanted {
        Wanted::Record(record) => record,
        Wanted::Outcome(outcome) => return Ok(report(outcome)),
    };
    let account = match ending {
        Ending::Commit => Some(account),
        Ending::Rollback => None,
    };
    if plan.creation.is_none() {
        let tested = tested_record(plan, key, &record, last.as_ref());
        return Ok(written(tested, account, report).await?);
    }
    match creating::judge_one(plan, &record, ledger, job).await? {
        One::LeftAlone(reason) => Ok(report(SingleOutcome::Skipped {
            reason: reason.into(),
        })),
        One::Rejected { column, reason } => Ok(report(SingleOutcome::Rejected {
            stage: Stage::Match,
            column,
            reason,
        })),
        One::Made(made) => {
            let complete = plan.mapping.complete(&made);
            let tested = tested_record(plan, key, &complete, None);
            let written = written(tested, account, report).await?;
            if ending == Ending::Commit {
                creating::remember_one(plan, &made, ledger, job).await?;
            }
            Ok(written)
        }
    }
}

fn tested_record<'a>(
    plan: &'a Plan,
    key: &'a str,
    record: &'a DataFrame,
    last: Option<&'a LastValues>,
) -> TestedRecord<'a> {
    TestedRecord {
        plan,
        key,
        record,
        last,
    }
}

/// Writes a record and reads its row back; `report` tells of it. Without an account it is rolled
/// back.
async fn written(
    tested: TestedRecord<'_>,
    account: Option<TestAccount<'_>>,
    report: impl Fn(SingleOutcome) -> SingleRecord,
) -> Result<SingleRecord, PushError> {
    let plan = tested.plan;
    let failed = |source: SystemError| PushError::Push {
        write_back: plan.write_back.name.clone(),
        connection: plan.destination.name.clone(),
        source: Box::new(source),
    };
    let (read_back, request) = match account {
        None => match rolled_back(tested).await {
            Ok(read_back) => (read_back, None),
            Err(SystemError::Refused {
                message, column, ..
            }) => {
                return Ok(report(SingleOutcome::Rejected {
                    stage: Stage::Destination,
                    column,
                    reason: message,
                }));
            }
            Err(source) => return Err(failed(source)),
        },
        Some(account) => match account.write(tested).await? {
            (Tested::Refused(rejection), _) => return Ok(report(rejected(rejection))),
            (Tested::Decided(decided), id) => {
                let is_write = decided.decisions.iter().any(Decision::is_write);
                let read_back = read_again(tested, *decided).await.map_err(failed)?;
                (read_back, is_write.then_some(id))
            }
        },
    };
    let ReadBack {
        outcome,
        columns,
        alteration,
        last_written,
    } = read_back;
    Ok(SingleRecord {
        alteration,
        columns,
        last_written,
        request,
        ..report(outcome)
    })
}

/// What was last written of the record, if a field keeps someone else's values.
fn last_values(
    plan: &Plan,
    wanted: &Result<Wanted, SystemError>,
) -> Result<Option<LastValues>, RunError> {
    let (Some(last), Ok(Wanted::Record(record))) = (&plan.last_written, wanted) else {
        return Ok(None);
    };
    Ok(Some(block_in_place(|| {
        last.beside().values(&plan.layout, record)
    })?))
}

enum Wanted {
    Record(DataFrame),
    Outcome(SingleOutcome),
}

/// Looks through the whole source: a key that occurs twice is only known at the end.
async fn find(plan: &mut Plan, key: &str, mut selection: Selection) -> Result<Wanted, SystemError> {
    let mut source = plan.open_source().await?;
    let mut read = 0;
    let mut occurs = 0;
    let mut record = None;
    let mut rejection = None;
    while let Some(pulled) = source.next_chunk().await? {
        read += pulled.read;
        let Selected {
            sifted, left_alone, ..
        } = tokio::task::block_in_place(|| selection.sift(plan, pulled));
        if let Some(left) = left_alone.into_iter().next() {
            return Ok(Wanted::Outcome(SingleOutcome::Skipped {
                reason: left.reason.into(),
            }));
        }
        rejection = rejection.or_else(|| sifted.rejections.into_iter().next());
        let met = sifted.records;
        occurs += u64::try_from(met.height()).unwrap_or(u64::MAX);
        record = record.or_else(|| (met.height() > 0).then(|| met.head(Some(1))));
    }
    Ok(match (record, rejection) {
        (Some(_), _) if occurs > 1 => Wanted::Outcome(rejected(Rejection {
            record: 0,
            key: Some(key.to_owned()),
            stage: Stage::Match,
            column: None,
            value: None,
            reason: RejectReason::DuplicateKey { occurs }.to_string(),
            others: Vec::new(),
        })),
        (Some(record), _) => Wanted::Record(record),
        (None, Some(rejection)) => Wanted::Outcome(rejected(rejection)),
        (None, None) => Wanted::Outcome(SingleOutcome::NotInSource { read }),
    })
}

/// The record with ids in the place of what they are found by, or why there are none.
async fn referred(plan: &Plan, records: DataFrame) -> Result<Wanted, RunError> {
    let mut resolver = Resolver::of(plan);
    let sifted = Sifted {
        records,
        rejections: Vec::new(),
    };
    let settled = resolver.resolve(sifted).await;
    resolver.close().await;
    let Resolved {
        sifted: Sifted {
            records,
            rejections,
        },
        left_alone,
    } = settled.map_err(|source| PullError::Refer {
        write_back: plan.write_back.name.clone(),
        connection: plan.destination.name.clone(),
        source: Box::new(source),
    })?;
    if let Some(left) = left_alone.into_iter().next() {
        let reason = left.reason.into();
        return Ok(Wanted::Outcome(SingleOutcome::Skipped { reason }));
    }
    Ok(match rejections.into_iter().next() {
        Some(rejection) => Wanted::Outcome(rejected(rejection)),
        None if plan.creation.is_some() => Wanted::Record(records),
        None => Wanted::Record(plan.mapping.complete(&records)),
    })
}

fn rejected(rejection: Rejection) -> SingleOutcome {
    let Rejection {
        stage,
        column,
        reason,
        ..
    } = rejection;
    SingleOutcome::Rejected {
        stage,
        column,
        reason,
    }
}

/// The key that reports tell of a record, where it is one of the destination's.
fn reported_key(plan: &Plan, record: &DataFrame) -> Option<String> {
    match plan.mapping.key_columns() {
        [only] if only == RECORD_KEY => None,
        fields => Some(key_texts(record, fields).concat()),
    }
}

/// What became of a record that was written and read back.
struct ReadBack {
    outcome: SingleOutcome,
    columns: Vec<ColumnProof>,
    alteration: Option<String>,
    last_written: Option<Vec<u8>>,
}

/// Writes the record in one transaction, reads it back in it, and takes it back.
/// Errors: `Failed`, of a web API.
async fn rolled_back(tested: TestedRecord<'_>) -> Result<ReadBack, SystemError> {
    let TestedRecord {
        plan, record, last, ..
    } = tested;
    if plan.destination.system.service().is_some() {
        return Err(SystemError::Failed {
            connection: plan.destination.name.clone(),
            doing: "taking a test back".to_owned(),
            source: "a web API has no transaction that could be rolled back".into(),
            hint: Some(
                "`writeback preview` shows what would be written and writes nothing".to_owned(),
            ),
        });
    }
    let mut database = AnyDatabase::connect(&plan.destination).await?;
    let decided = match write(plan, &mut database, record, last, Hold::Loose).await {
        Err(SystemError::Missed { .. }) => {
            write(plan, &mut database, record, last, Hold::Locked).await?
        }
        decided => decided?,
    };
    if let Err(error) = database.try_commit().await {
        drop(database.rollback().await);
        return Err(error);
    }
    let after = database
        .look_up(&plan.layout, record, Before::OfAll)
        .await?;
    database.rollback().await?;
    Ok(read_back(plan, record, decided, &after, false, database).await)
}

/// Reads what was written back over a connection of its own.
async fn read_again(
    TestedRecord {
        plan, record, last, ..
    }: TestedRecord<'_>,
    decided: Decided,
) -> Result<ReadBack, SystemError> {
    let mut destination = AnyDestination::connect(&plan.destination).await?;
    let after = destination
        .look_up(&plan.layout, record, Before::OfAll)
        .await?;
    Ok(read_back(plan, record, decided, &after, last.is_some(), destination).await)
}

/// What the record's row held and holds, beside what was written.
async fn read_back(
    plan: &Plan,
    record: &DataFrame,
    decided: Decided,
    after: &LookedUp,
    is_kept: bool,
    mut destination: impl Destination,
) -> ReadBack {
    let effect = Effect::mapped(&plan.layout, record, &decided);
    let last_written = match is_kept {
        true => kept::tested(&effect, &decided.conflicts),
        false => None,
    };
    let proofs = Proofs {
        conflicts: &decided.conflicts,
        layout: &plan.layout,
        effect: &effect,
        before: decided.looked_up.before.of(0),
        after: after.before.of(0),
        rows: after.found.first().map_or(0, |found| found.rows),
    };
    let columns = proofs.columns();
    let alteration = proofs.alteration(&columns, &mut destination).await;
    destination.close().await;
    let outcome = match decided.decisions.first() {
        Some(decision) => outcome_of(decision, &decided.looked_up),
        None => SingleOutcome::NotInSource { read: 0 },
    };
    ReadBack {
        outcome,
        columns,
        alteration,
        last_written,
    }
}

fn task(plan: &Plan) -> Task<'_> {
    Task {
        connection: &plan.destination,
        layout: &plan.layout,
        work: &Work::Deliver,
        terms: Terms::default(),
    }
}

/// Writes the record in a transaction of its own, which is still open then.
async fn write(
    plan: &Plan,
    destination: &mut AnyDatabase,
    record: &DataFrame,
    last: Option<&LastValues>,
    hold: Hold,
) -> Result<Decided, SystemError> {
    destination.begin_trial().await?;
    let manner = Manner {
        before: Before::OfAll,
        expected: Differing::Many,
        hold,
    };
    let decided = task(plan).write(destination, record, last, manner).await;
    if decided.is_err() {
        // The refusal is what the user asked about; a failed rollback ends with the connection
        // anyway.
        drop(destination.rollback().await);
    }
    decided
}

fn outcome_of(decision: &Decision, looked_up: &LookedUp) -> SingleOutcome {
    match decision {
        Decision::Insert => SingleOutcome::Inserted,
        Decision::Update => SingleOutcome::Updated,
        Decision::Leave => SingleOutcome::Unchanged,
        Decision::Delete => SingleOutcome::Deleted,
        Decision::Skip(reason) => SingleOutcome::Skipped {
            reason: reason.words().into(),
        },
        Decision::Reject(reason) => SingleOutcome::Rejected {
            stage: Stage::Match,
            column: None,
            reason: looked_up.told(0, reason),
        },
    }
}

/// A row before and after one record was written.
struct Proofs<'a> {
    conflicts: &'a Conflicts,
    layout: &'a Layout,
    effect: &'a Effect<'a>,
    before: Option<Vec<Option<&'a str>>>,
    after: Option<Vec<Option<&'a str>>>,
    /// Rows with the record's key after it was written.
    rows: u64,
}

impl Proofs<'_> {
    fn columns(&self) -> Vec<ColumnProof> {
        match (&self.before, &self.after) {
            (None, None) => Vec::new(),
            (_, _) => self
                .layout
                .fields
                .iter()
                .enumerate()
                .map(|field| self.column(field))
                .collect(),
        }
    }

    fn column(&self, (position, field): (usize, &LayoutField)) -> ColumnProof {
        let held =
            |values: &Option<Vec<Option<&str>>>| values.as_ref()?.get(position)?.map(str::to_owned);
        let (before, after) = (held(&self.before), held(&self.after));
        let columns = self.effect.sent().columns();
        let sent = columns
            .get(position)
            .and_then(|column| cell_text(column, 0));
        let written = self.effect.after(0, position);
        ColumnProof {
            kept: self.conflicts.keeps(0, position),
            column: field.column.name.clone(),
            changed: !same(field.kind, before.as_deref(), after.as_deref()),
            as_written: same(field.kind, written, after.as_deref()),
            before: in_words(field.kind, before.as_deref()),
            sent: in_words(field.kind, sent.as_deref()),
            after: in_words(field.kind, after.as_deref()),
        }
    }

    fn wrote(&self) -> bool {
        self.effect.decisions().iter().any(Decision::is_write)
    }

    /// What the row holds other than it was written, and why, in one sentence.
    async fn alteration(
        &self,
        columns: &[ColumnProof],
        destination: &mut impl Destination,
    ) -> Option<String> {
        let gone = self.wrote() && self.rows != 1;
        if !gone && columns.iter().all(|column| column.as_written) {
            return None;
        }
        // They are asked for to explain what was found, which stands without them.
        let triggers = destination
            .triggers(&self.layout.object)
            .await
            .unwrap_or_default();
        let object = self.layout.object.display_name();
        Some(match gone {
            true => {
                let rows = self.rows;
                let cause = Cause::of_triggers(&triggers);
                format!(
                    "`{object}` has {rows} rows of the key after the record was written ({cause})"
                )
            }
            false => {
                let altered = self.causes(columns, &triggers).into_iter();
                let parts: Vec<String> = altered
                    .map(|(cause, names)| format!("`{}` ({cause})", names.join("`, `")))
                    .collect();
                format!(
                    "`{object}` holds something else than was written: {}",
                    parts.join(", ")
                )
            }
        })
    }

    /// The columns that hold something else than was written, by the likely cause.
    fn causes<'a>(
        &self,
        columns: &'a [ColumnProof],
        triggers: &[String],
    ) -> Vec<(Cause, Vec<&'a str>)> {
        let mut causes: Vec<(Cause, Vec<&str>)> = Vec::new();
        let altered = self
            .layout
            .fields
            .iter()
            .zip(columns)
            .enumerate()
            .filter(|(_, (_, column))| !column.as_written);
        for (position, (field, ColumnProof { column, after, .. })) in altered {
            let written = self.effect.after(0, position);
            let cause = Cause::likely(field, written, after.as_deref(), triggers);
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, names)) => names.push(column),
                None => causes.push((cause, vec![column])),
            }
        }
        causes
    }
}
