//! Preview: everything a run would do up to its first write, and what it would decide about each
//! record; also what its guards are told. Writes nothing to the destination and nothing to the
//! ledger. What it remembers of the records is sums, samples and bounded summaries, so that its
//! memory does not grow with them.

pub(crate) mod calls;
pub(crate) mod columns;
pub(super) mod comparison;
pub(crate) mod numbers;
pub(crate) mod pairs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use polars::prelude::DataFrame;
use serde::Serialize;
use tokio::task::block_in_place;

use crate::destination::seam::records_at;
use crate::destination::service::seam::Reply;
use crate::domain::before::Before;
use crate::domain::guard::{Forecast, Objection};
use crate::domain::mapping::NO_RUN;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{Outcome, Rejection, SkipReason, Stage, Tally};
use crate::domain::parking::LeftAlone;
use crate::domain::record::key_texts;
use crate::http::CallTally;
use crate::ledger::{Ledger, Pace};
use crate::package::{Package, Partition};
use crate::run::conflicts;
use crate::run::conflicts::LastValues;
use crate::run::creating::{self, Foreknowledge};
use crate::run::cut::{self, RecordBytes};
use crate::run::foresight::Foresight;
use crate::run::known::{Knowledge, PartitionKnowledge};
use crate::run::plan::Plan;
use crate::run::preview::calls::{Asked, CallCounter, CallForecast};
use crate::run::preview::columns::{ColumnCounters, ColumnPreview};
pub(crate) use crate::run::preview::comparison::ColumnChange;
use crate::run::preview::comparison::{Write, changes};
use crate::run::progress::Progress;
use crate::run::pull::{self, Account, Intake, PullError};
use crate::run::push::error::{PushError, from_parts_of_push_error};
use crate::run::push::{self, duplicates};
use crate::run::reader::Reader;
use crate::run::saved_plan::{SavedPlanError, SavedPlanWriter};
use crate::run::selection::Selection;
use crate::run::stop::Stop;
pub(crate) use crate::run::walker::Sharing;
use crate::run::write::effect::Effect;
use crate::run::write::judge::{Decided, mapped};
use crate::run::write::service::requests;

/// Why a run could not be foreseen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreviewError {
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
}

from_parts_of_push_error!(PreviewError);

/// What a run of one write-back would do.
#[derive(Debug, Default, Serialize)]
pub(crate) struct WriteBackPreview {
    pub(crate) name: String,
    /// A connection, and what is written to there.
    pub(crate) destination: String,
    pub(crate) table: String,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    pub(crate) statements: Statements,
    pub(crate) expected: Expected,
    /// Of a web API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<CallForecast>,
    /// Where its way leads, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sharing: Option<Sharing>,
    /// One for each column that is written, in the order of the fields.
    pub(crate) columns: Vec<ColumnPreview>,
    /// What guards would have against the run.
    pub(crate) guards: Vec<Objection>,
    /// The first records that would be written.
    pub(crate) samples: Vec<Sample>,
    /// The first records that would be rejected.
    pub(crate) rejections: Vec<RejectionSample>,
    /// The first records that would be skipped, parked ones aside.
    pub(crate) skips: Vec<SkipSample>,
    /// Records that are left alone before they are looked up, such as parked ones, of those
    /// `skipped`.
    pub(crate) parked: u64,
    /// The first of them.
    pub(crate) left_alone: Vec<LeftAlone>,
    /// By column: values that would be left alone, for someone else has changed them.
    pub(crate) kept: BTreeMap<String, u64>,
}

/// What the destination would be asked to do, each for a batch. A database that looks up and
/// updates at once is sent one statement for both; one that takes a batch's values in several
/// pieces is sent a statement for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Statements {
    pub(crate) look_ups: u64,
    pub(crate) updates: u64,
    pub(crate) inserts: u64,
}

/// How long a run is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Expected {
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) from: Basis,
}

/// What an expectation stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub(crate) enum Basis {
    /// The seconds a record took in the latest runs that delivered it.
    Runs { runs: u32 },
    /// The time it took to read everything, for there was no such run; writing comes on top.
    #[default]
    Reading,
}

impl Expected {
    fn of(read: u64, pace: Option<&Pace>, reading: Duration) -> Self {
        match pace {
            Some(pace) => Self {
                seconds: pace.seconds_for(read),
                from: Basis::Runs { runs: pace.runs },
            },
            None => Self {
                seconds: reading.as_secs_f64(),
                from: Basis::Reading,
            },
        }
    }
}

/// What earlier runs and tests of a write-back tell, and previews of the steps before it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Whether this version of it was tested or has run.
    pub(crate) proven: bool,
    /// Absent if it never ran.
    pub(crate) pace: Option<Pace>,
    /// What knows the rows of earlier steps; absent if nothing ran yet.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) job: String,
    pub(crate) foresight: Foresight,
}

/// One record that would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    pub(crate) key: String,
    /// `update` or `insert`.
    pub(crate) decision: &'static str,
    pub(crate) changes: Vec<ColumnChange>,
}

/// One record that would be rejected.
#[derive(Debug, Serialize)]
pub(crate) struct RejectionSample {
    pub(crate) key: Option<String>,
    pub(crate) stage: Stage,
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
}

/// One record that would be skipped.
#[derive(Debug, Serialize)]
pub(crate) struct SkipSample {
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// Previews one write-back's records that `selection` lets through, with at most `samples_max`
/// samples of each sort. `folder` takes its package for the while, and `saved` the records that
/// would be written.
pub(crate) async fn preview(
    plan: &mut Plan,
    folder: &Path,
    mut selection: Selection,
    samples_max: usize,
    known: &mut Known,
    saved: Option<&mut SavedPlanWriter>,
    progress: &dyn Progress,
) -> Result<WriteBackPreview, PreviewError> {
    let begun = Instant::now();
    let mut preview = Preview::new(NO_RUN);
    preview.shown = Some(Shown {
        samples_max,
        columns: ColumnCounters::new(&plan.layout),
    });
    preview.saved = saved;
    let stop = Stop::new();
    let intake = Intake {
        plan: &mut *plan,
        folder,
        selection: &mut selection,
        account: &mut preview,
    };
    let pulled = pull::pull(vec![intake], progress, &stop).await?;
    let pulled = pulled.into_iter().next();
    let pulled = pulled.unwrap_or(Err(PullError::Interrupted))?;
    let plan = &*plan;
    preview.report.tally.read = pulled.tally.read;
    preview.report.sharing = pulled.sharing;
    if plan.creation.is_some() {
        return preview
            .of_creation(plan, &pulled.package, known, begun)
            .await;
    }
    progress.push_begins(&plan.write_back.name, pulled.package.record_count());
    preview
        .look_up(plan, &pulled.package, &stop, Some(progress))
        .await?;
    progress.push_ends(&plan.write_back.name);
    let columns = preview.shown.take().map(|shown| shown.columns.finish());
    let saved = preview.saved.take();
    let (tally, parked) = (preview.report.tally, preview.report.parked);
    let report = std::mem::take(&mut preview.report);
    preview.report.calls.clone_from(&report.calls);
    let forecast = preview.forecast(tally, parked, known.proven);
    if let Some(saved) = saved {
        block_in_place(|| saved.end_write_back(plan, &pulled.package, &forecast))?;
    }
    Ok(WriteBackPreview {
        name: plan.write_back.name.clone(),
        destination: plan.destination.name.clone(),
        table: plan.layout.object.display_name(),
        expected: Expected::of(report.tally.read, known.pace.as_ref(), begun.elapsed()),
        columns: columns.unwrap_or_default(),
        guards: plan.objections(&forecast),
        ..report
    })
}

/// What run `run` would do with its package; `tally` counts what was read, and rejected before it
/// came into the package. With at most `samples_max` samples of each sort.
pub(super) async fn of_package(
    plan: &Plan,
    package: &Package,
    run: i64,
    tally: Tally,
    samples_max: usize,
) -> Result<WriteBackPreview, PreviewError> {
    let begun = Instant::now();
    let mut preview = Preview::new(run);
    preview.report.tally = tally;
    preview.report.parked = tally.skipped;
    preview.shown = Some(Shown {
        samples_max,
        columns: ColumnCounters::new(&plan.layout),
    });
    preview.look_up(plan, package, &Stop::new(), None).await?;
    let columns = preview.shown.take().map(|shown| shown.columns.finish());
    let report = std::mem::take(&mut preview.report);
    Ok(WriteBackPreview {
        name: plan.write_back.name.clone(),
        destination: plan.destination.name.clone(),
        table: plan.layout.object.display_name(),
        expected: Expected::of(report.tally.read, None, begun.elapsed()),
        columns: columns.unwrap_or_default(),
        ..report
    })
}

/// What a run would do with its package; `tally` counts what was read, and rejected before it came
/// into the package.
pub(super) async fn forecast(
    plan: &Plan,
    package: &Package,
    run: i64,
    tally: Tally,
    proven: bool,
    stop: &Stop,
) -> Result<Forecast, PreviewError> {
    let mut preview = Preview::new(run);
    preview.report.tally = tally;
    // Nothing else is skipped before records are looked up.
    preview.report.parked = tally.skipped;
    preview.look_up(plan, package, stop, None).await?;
    let (tally, parked) = (preview.report.tally, preview.report.parked);
    Ok(preview.forecast(tally, parked, proven))
}

/// A preview as it grows: sums, and the first records of each sort, however many there are.
struct Preview<'a> {
    /// What is kept to be shown, beyond what guards ask for.
    shown: Option<Shown>,
    /// Where the records that would be written are saved.
    saved: Option<&'a mut SavedPlanWriter>,
    /// The run whose package is looked at, or [`NO_RUN`].
    run: i64,
    report: WriteBackPreview,
    calls: CallCounter,
    /// By column: rows that would lose their value to NULL.
    emptied: BTreeMap<String, u64>,
}

struct Shown {
    samples_max: usize,
    columns: ColumnCounters,
}

impl Account for &mut Preview<'_> {
    async fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), PullError> {
        rejections
            .into_iter()
            .for_each(|rejection| self.count_rejection(rejection));
        Ok(())
    }

    async fn leave_alone(&mut self, records: Vec<LeftAlone>) -> Result<(), PullError> {
        let parked = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.report.parked += parked;
        self.report.tally.skipped += parked;
        let room = self
            .samples_max()
            .saturating_sub(self.report.left_alone.len());
        self.report
            .left_alone
            .extend(records.into_iter().take(room));
        Ok(())
    }
}

impl Preview<'_> {
    /// Of a step, or of notes.
    async fn of_creation(
        mut self,
        plan: &Plan,
        package: &Package,
        known: &mut Known,
        begun: Instant,
    ) -> Result<WriteBackPreview, PreviewError> {
        if plan.write_back.enabled {
            let stop = Stop::new();
            let foreknowledge = Foreknowledge {
                ledger: known.ledger.as_ref(),
                job: known.job.as_str(),
                foresight: &known.foresight,
            };
            let show = |made: &DataFrame| self.show_made(plan, made);
            let foreseen = creating::foresee(plan, package, foreknowledge, &stop, show).await?;
            known.foresight.learn(&plan.write_back.name, foreseen.step);
            self.report.tally.inserted = foreseen.made;
            self.report.tally.skipped +=
                u64::try_from(foreseen.left_alone.len()).unwrap_or(u64::MAX);
            let room = self.samples_max().saturating_sub(self.report.skips.len());
            let skips = foreseen.left_alone.into_iter().take(room);
            self.report.skips.extend(skips.map(|left| SkipSample {
                key: left.key,
                reason: left.reason,
            }));
            foreseen
                .rejections
                .into_iter()
                .for_each(|rejection| self.count_rejection(rejection));
        }
        Ok(WriteBackPreview {
            name: plan.write_back.name.clone(),
            destination: plan.destination.name.clone(),
            table: plan.layout.object.display_name(),
            expected: Expected::of(self.report.tally.read, known.pace.as_ref(), begun.elapsed()),
            ..self.report
        })
    }

    /// Keeps what is to be shown of records of which rows would be made.
    fn show_made(&mut self, plan: &Plan, records: &DataFrame) {
        self.report.batches += 1;
        self.report.statements.look_ups += 1;
        self.report.statements.inserts += 1;
        let batch = plan.mapping.complete(records);
        let decided = Decided::made(batch.height());
        let keys = key_texts(records, plan.mapping.key_columns());
        let known = self.report.samples.len();
        self.show(&Effect::mapped(&plan.layout, &batch, &decided), &keys);
        // What names a row that is not there yet has no value to show.
        let samples = self.report.samples.iter_mut().skip(known);
        for change in samples.flat_map(|sample| &mut sample.changes) {
            if change.after.is_none() {
                change.after = plan.mapping.told_later(&change.column);
            }
        }
    }

    fn new(run: i64) -> Self {
        Self {
            shown: None,
            saved: None,
            run,
            report: WriteBackPreview::default(),
            calls: CallCounter::default(),
            emptied: BTreeMap::new(),
        }
    }

    fn samples_max(&self) -> usize {
        self.shown.as_ref().map_or(0, |shown| shown.samples_max)
    }

    fn forecast(self, tally: Tally, parked: u64, proven: bool) -> Forecast {
        Forecast {
            tally,
            parked,
            emptied: self.emptied,
            calls: self.report.calls.as_ref().map(|calls| calls.total),
            proven,
        }
    }

    fn count_skipped(&mut self, reason: SkipReason, key: &str) {
        if self.report.skips.len() < self.samples_max() {
            self.report.skips.push(SkipSample {
                key: key.to_owned(),
                reason: reason.words().to_owned(),
            });
        }
        self.report.tally.count(&Outcome::Skipped(reason));
    }

    fn count_rejection(&mut self, rejection: Rejection) {
        if self.report.rejections.len() < self.samples_max() {
            let Rejection {
                key,
                stage,
                column,
                reason,
                ..
            } = rejection.clone();
            self.report.rejections.push(RejectionSample {
                key,
                stage,
                column,
                reason,
            });
        }
        self.report
            .tally
            .count(&Outcome::Rejected(Box::new(rejection)));
    }

    /// Looks a package up and counts what would become of its records.
    async fn look_up(
        &mut self,
        plan: &Plan,
        package: &Package,
        stop: &Stop,
        progress: Option<&dyn Progress>,
    ) -> Result<(), PreviewError> {
        let mut reader = Reader::new(&plan.write_back.name, &plan.destination, stop);
        let mut knowledge = Knowledge::of(plan.last_written.as_ref(), plan.snapshot());
        let prefilter = plan.assignment().prefilter(package.record_count());
        for index in 0..package.partition_count() {
            let partition =
                block_in_place(|| push::load(plan.assignment(), package, index, self.run))?;
            duplicates(plan.assignment().contents, &partition.duplicates)
                .into_iter()
                .for_each(|rejection| self.count_rejection(rejection));
            let complete = plan.mapping.complete(&partition.records);
            let mut known = knowledge.of_partition(&plan.layout, &partition.records, &complete)?;
            if let Some(prefilter) = &prefilter {
                known.unchanged = prefilter.ask(&mut reader, &complete).await?;
            }
            let (partition, last) = self.leave_settled(partition, known);
            let assignment = plan.assignment().for_records(package.record_count());
            let cut = (assignment.batch_records_max.get(), &partition);
            self.look_up_partition(plan, &mut reader, cut, last.as_ref(), progress)
                .await?;
        }
        self.report.calls = reader
            .service()
            .map(|service| self.calls.finish(service, &plan.destination));
        reader.close().await;
        Ok(())
    }

    /// Counts the records that need no look-up; the others are to be looked up.
    fn leave_settled(
        &mut self,
        partition: Partition,
        known: PartitionKnowledge,
    ) -> (Partition, Option<LastValues>) {
        if known.settles_nothing() {
            return (partition, known.last);
        }
        let others = known.others(partition.records.height());
        let as_written = known.as_written.map_or(0, |known| known.count());
        let left = partition.records.height() - others.len();
        self.report.tally.unchanged += u64::try_from(left).unwrap_or(u64::MAX);
        self.report.tally.as_written += u64::try_from(as_written).unwrap_or(u64::MAX);
        let records = records_at(&partition.records, &others);
        let last = known.last.map(|last| last.at(&others));
        (
            Partition {
                records,
                ..partition
            },
            last,
        )
    }

    /// Looks a partition up batch by batch.
    async fn look_up_partition(
        &mut self,
        plan: &Plan,
        reader: &mut Reader<'_>,
        (batch_records_max, partition): (usize, &Partition),
        last: Option<&LastValues>,
        progress: Option<&dyn Progress>,
    ) -> Result<(), PreviewError> {
        let records = plan.mapping.complete(&partition.records);
        let keys = key_texts(&partition.records, plan.mapping.key_columns());
        for range in RecordBytes::of(&partition.records).batches(0..keys.len(), batch_records_max) {
            let batch_keys = keys.get(range.clone()).unwrap_or_default();
            let first = i64::try_from(range.start).unwrap_or(i64::MAX);
            let batch = cut::slice(&records, &range);
            let watched = plan.watched_nulls(&batch);
            let wants_before = self.shown.is_some() || last.is_some() || !watched.is_empty();
            let before = if wants_before {
                Before::OfDiffering
            } else {
                Before::Unread
            };
            let (begun, tally) = (Instant::now(), CallTally::begin());
            let looked_up = mapped::judge(reader, &plan.layout, &batch, before);
            let mut decided = tally.over(looked_up).await?;
            let asked = Asked {
                calls: tally.made(),
                took: begun.elapsed(),
            };
            let guarded = last.is_some();
            if let Some(last) = last.map(|last| last.slice(first, batch_keys.len())) {
                conflicts::judge(reader, &plan.layout, &batch, &last, &mut decided).await?;
            }
            let refused = self
                .leave_refused(plan, reader, (&batch, batch_keys), &mut decided)
                .await?;
            decided.conflicts.count(&plan.layout, &mut self.report.kept);
            if let Some(service) = reader.service() {
                let object = &plan.layout.object;
                self.calls
                    .add(service, object, &decided.decisions, guarded, asked);
            }
            block_in_place(|| {
                let effect = Effect::mapped(&plan.layout, &batch, &decided);
                if let Some(saved) = &mut self.saved {
                    let records = cut::slice(&partition.records, &range);
                    saved.keep(&effect, &records)?;
                }
                self.show(&effect, batch_keys);
                self.count_emptied(&effect, &watched);
                self.count(&decided, batch_keys, &refused);
                Ok::<_, SavedPlanError>(())
            })?;
            if let Some(progress) = progress {
                progress.pushed(
                    &plan.write_back.name,
                    u64::try_from(batch_keys.len()).unwrap_or(u64::MAX),
                );
            }
        }
        Ok(())
    }

    /// Counts the records of a batch that would be refused before a web API is sent them, with which
    /// nothing is to be done then; returns their positions.
    async fn leave_refused(
        &mut self,
        plan: &Plan,
        reader: &Reader<'_>,
        (batch, keys): (&DataFrame, &[String]),
        decided: &mut Decided,
    ) -> Result<BTreeSet<usize>, PreviewError> {
        let mut refused = BTreeSet::new();
        let Some(service) = reader.service() else {
            return Ok(refused);
        };
        let replies = {
            let effect = Effect::mapped(&plan.layout, batch, decided);
            let writes = requests(service, &effect, decided, &[], false).concat();
            let sent = effect.sent().clone();
            drop(effect);
            let replies = reader.refused_unsent(&plan.layout, &sent, &writes).await?;
            let records: Vec<usize> = writes.iter().map(|write| write.record).collect();
            records.into_iter().zip(replies)
        };
        for (record, reply) in replies {
            let Some(Reply::Refused { message, column }) = reply else {
                continue;
            };
            if let Some(decision) = decided.decisions.get_mut(record) {
                *decision = Decision::Leave;
            }
            refused.insert(record);
            self.count_rejection(Rejection {
                record: 0,
                key: keys.get(record).cloned(),
                stage: Stage::Destination,
                column,
                value: None,
                reason: message,
                others: Vec::new(),
            });
        }
        Ok(refused)
    }

    /// Keeps what is to be shown of a batch.
    fn show(&mut self, effect: &Effect<'_>, keys: &[String]) {
        let Some(shown) = &mut self.shown else { return };
        let writes = effect.decisions().iter().enumerate();
        let writes: Vec<(usize, Write)> = writes
            .filter_map(|(record, made)| Some((record, Write::of(made)?)))
            .collect();
        shown.columns.add(effect, &writes);
        let wanted = shown.samples_max.saturating_sub(self.report.samples.len());
        let samples = writes
            .into_iter()
            .take(wanted)
            .filter_map(|(record, write)| {
                let (key, changes) = (keys.get(record)?.clone(), changes(effect, record, write));
                Some(Sample {
                    key,
                    decision: write.name(),
                    changes,
                })
            });
        self.report.samples.extend(samples);
    }

    /// Counts a batch, what it would be sent as, and what would become of its records, those aside
    /// that are `refused`.
    fn count(&mut self, decided: &Decided, keys: &[String], refused: &BTreeSet<usize>) {
        self.report.batches += 1;
        let decisions = &decided.decisions;
        let statements = &mut self.report.statements;
        statements.look_ups += 1;
        statements.updates += u64::from(decisions.contains(&Decision::Update));
        statements.inserts += u64::from(decisions.contains(&Decision::Insert));
        for (index, ((decision, key), record)) in decisions.iter().zip(keys).zip(0..).enumerate() {
            if !refused.contains(&index) {
                self.count_decision(decided, decision, key, record);
            }
        }
    }

    /// Counts rows that would lose a value in one of the `watched` fields, given by their
    /// positions.
    fn count_emptied(&mut self, effect: &Effect<'_>, watched: &[usize]) {
        for position in watched {
            let (Some(field), Some(sent)) = (
                effect.layout().fields.get(*position),
                effect.sent().columns().get(*position),
            ) else {
                continue;
            };
            let nulls = sent.is_null();
            let loses = |(record, decision): &(usize, &Decision)| {
                let held = effect.before(*record, *position);
                **decision == Decision::Update
                    && nulls.get(*record) == Some(true)
                    && held.is_some_and(|text| !text.is_empty())
                    && effect.is_taken(*record, *position)
            };
            let emptied = effect.decisions().iter().enumerate().filter(loses).count();
            let emptied = u64::try_from(emptied).unwrap_or(u64::MAX);
            *self.emptied.entry(field.column.name.clone()).or_default() += emptied;
        }
    }

    fn count_decision(&mut self, decided: &Decided, decision: &Decision, key: &str, record: u32) {
        match decision {
            Decision::Insert => self.report.tally.count(&Outcome::Inserted),
            Decision::Update => self.report.tally.count(&Outcome::Updated),
            Decision::Leave => self.report.tally.count(&Outcome::Unchanged),
            Decision::Delete => self.report.tally.count(&Outcome::Deleted),
            Decision::Skip(reason) => self.count_skipped(*reason, key),
            Decision::Reject(reason) => self.count_rejection(Rejection {
                record: 0,
                key: Some(key.to_owned()),
                stage: Stage::Match,
                column: None,
                value: None,
                reason: decided.looked_up.told(record, reason),
                others: Vec::new(),
            }),
        }
    }
}
