//! Preview: everything a run would do up to its first write, and what it would decide about each record; also what its
//! guards are told. Writes nothing to the destination and nothing to the ledger.

use std::collections::BTreeMap;
use std::path::Path;

use polars::prelude::DataFrame;
use serde::Serialize;
use tokio::task::block_in_place;
use tracing::warn;

use crate::destination::{AnyDestination, Destination, LookedUp};
use crate::domain::before::{Before, BeforeImages};
use crate::domain::connection::Connection;
use crate::domain::error::{SystemError, chain};
use crate::domain::guard::{Forecast, Objection};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{Outcome, Rejection, Stage, Tally};
use crate::domain::parking::LeftAlone;
use crate::domain::record::{cell_text, key_texts};
use crate::domain::sameness::same;
use crate::package::{Package, Partition};
use crate::run::plan::Plan;
use crate::run::pull::Account;
use crate::run::push::{self, duplicates};
use crate::run::selection::Selection;
use crate::run::stop::Stop;
use crate::run::{NO_RUN, Progress, RunError, guards, pull, retry, writer};

/// What a run of one write-back would do.
#[derive(Debug, Default, Serialize)]
pub(crate) struct WriteBackPreview {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    /// What guards would have against the run.
    pub(crate) guards: Vec<Objection>,
    /// The first records that would be written.
    pub(crate) samples: Vec<Sample>,
    /// The first records that would be rejected.
    pub(crate) rejections: Vec<RejectionSample>,
    /// Records that are parked, of those `skipped`.
    pub(crate) parked: u64,
    /// The first of them.
    pub(crate) left_alone: Vec<LeftAlone>,
}

/// One record that would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    pub(crate) key: String,
    /// `update` or `insert`.
    pub(crate) decision: &'static str,
    pub(crate) changes: Vec<Change>,
}

/// One column of a record, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) column: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// One record that would be rejected.
#[derive(Debug, Serialize)]
pub(crate) struct RejectionSample {
    pub(crate) key: Option<String>,
    pub(crate) stage: Stage,
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
}

/// Previews one write-back's records that `selection` lets through, with at most `samples_max` samples of each sort. `folder` takes its package for the while;
/// `proven` is whether this version of the write-back was tested or has run.
pub(crate) async fn preview(
    plan: &mut Plan,
    folder: &Path,
    mut selection: Selection,
    samples_max: usize,
    proven: bool,
    progress: &dyn Progress,
) -> Result<WriteBackPreview, RunError> {
    let mut preview = Preview::new(&plan.write_back.name, NO_RUN, samples_max);
    let stop = Stop::new();
    let pulled = pull::pull(plan, folder, &mut selection, &mut preview, progress, &stop).await?;
    let plan = &*plan;
    preview.report.tally.read = pulled.tally.read;
    progress.push_begins(&plan.write_back.name, pulled.package.record_count());
    preview.look_up(plan, &pulled.package, &stop, Some(progress)).await?;
    progress.push_ends(&plan.write_back.name);
    let mut report = std::mem::take(&mut preview.report);
    report.guards = guards::objections(plan, &preview.forecast(report.tally, proven));
    Ok(report)
}

/// What a run would do with its package; `tally` counts what was read, and rejected before it came into the package.
pub(super) async fn forecast(
    plan: &Plan,
    package: &Package,
    run: i64,
    tally: Tally,
    proven: bool,
    stop: &Stop,
) -> Result<Forecast, RunError> {
    let mut preview = Preview::new(&plan.write_back.name, run, 0);
    preview.report.tally = tally;
    preview.look_up(plan, package, stop, None).await?;
    let tally = preview.report.tally;
    Ok(preview.forecast(tally, proven))
}

/// A preview as it grows: sums, and the first records of each sort, however many there are.
struct Preview {
    samples_max: usize,
    /// The run whose package is looked at, or [`NO_RUN`].
    run: i64,
    report: WriteBackPreview,
    /// By column: rows that would lose their value to NULL.
    emptied: BTreeMap<String, u64>,
}

impl Account for Preview {
    async fn reject(&mut self, rejections: Vec<Rejection>) -> Result<(), RunError> {
        rejections.into_iter().for_each(|rejection| self.count_rejection(rejection));
        Ok(())
    }

    async fn leave_alone(&mut self, records: Vec<LeftAlone>) -> Result<(), RunError> {
        let parked = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.report.parked += parked;
        self.report.tally.skipped += parked;
        let room = self.samples_max.saturating_sub(self.report.left_alone.len());
        self.report.left_alone.extend(records.into_iter().take(room));
        Ok(())
    }
}

impl Preview {
    fn new(write_back: &str, run: i64, samples_max: usize) -> Self {
        let report = WriteBackPreview { name: write_back.to_owned(), ..WriteBackPreview::default() };
        Self { samples_max, run, report, emptied: BTreeMap::new() }
    }

    fn forecast(self, tally: Tally, proven: bool) -> Forecast {
        Forecast { tally, emptied: self.emptied, proven }
    }

    fn count_rejection(&mut self, rejection: Rejection) {
        if self.report.rejections.len() < self.samples_max {
            let Rejection { key, stage, column, reason, .. } = rejection.clone();
            self.report.rejections.push(RejectionSample { key, stage, column, reason });
        }
        self.report.tally.count(&Outcome::Rejected(Box::new(rejection)));
    }

    /// Looks a package up and counts what would become of its records.
    async fn look_up(
        &mut self,
        plan: &Plan,
        package: &Package,
        stop: &Stop,
        progress: Option<&dyn Progress>,
    ) -> Result<(), RunError> {
        let mut reader = Reader { connection: &plan.destination, destination: None, stop };
        for index in 0..package.partition_count() {
            let partition = block_in_place(|| push::load(plan, package, index, self.run))?;
            duplicates(plan, &partition.duplicates).into_iter().for_each(|rejection| self.count_rejection(rejection));
            self.look_up_partition(plan, &mut reader, &partition, progress).await?;
        }
        reader.close().await;
        Ok(())
    }

    /// Looks a partition up batch by batch.
    async fn look_up_partition(
        &mut self,
        plan: &Plan,
        reader: &mut Reader<'_>,
        partition: &Partition,
        progress: Option<&dyn Progress>,
    ) -> Result<(), RunError> {
        let records = plan.mapping.complete(&partition.records);
        let keys = key_texts(&partition.records, plan.mapping.key_columns());
        let batch_records_max = plan.write_back.batch_records_max.get();
        for (batch_keys, batch) in keys.chunks(batch_records_max).zip(0_i64..) {
            let first = batch * i64::try_from(batch_records_max).unwrap_or(i64::MAX);
            let batch = records.slice(first, batch_keys.len());
            let wants_samples = self.report.samples.len() < self.samples_max;
            let watched = guards::watched_nulls(plan, &batch);
            let before = if wants_samples || !watched.is_empty() { Before::OfAll } else { Before::Unread };
            let looked_up = reader.look_up(plan, &batch, before).await?;
            self.count(&plan.layout, &batch, batch_keys, &looked_up);
            self.count_emptied(&plan.layout, &batch, &looked_up, &watched);
            self.report.batches += 1;
            if let Some(progress) = progress {
                progress.pushed(&plan.write_back.name, u64::try_from(batch_keys.len()).unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }

    fn count(&mut self, layout: &Layout, batch: &DataFrame, keys: &[String], looked_up: &LookedUp) {
        let decisions = writer::decide(layout, &looked_up.found);
        for (index, (decision, key)) in decisions.into_iter().zip(keys).enumerate() {
            let word = match &decision {
                Decision::Update => Some("update"),
                Decision::Insert => Some("insert"),
                Decision::Leave | Decision::Skip(_) | Decision::Reject(_) => None,
            };
            if let Some(decision) = word.filter(|_| self.report.samples.len() < self.samples_max) {
                let changes = changes(layout, batch, index, &looked_up.before);
                self.report.samples.push(Sample { key: key.clone(), decision, changes });
            }
            self.count_decision(decision, key);
        }
    }

    /// Counts rows that would lose a value in one of the `watched` fields, given by their positions.
    fn count_emptied(&mut self, layout: &Layout, batch: &DataFrame, looked_up: &LookedUp, watched: &[usize]) {
        let LookedUp { found, before } = looked_up;
        let updated: Vec<bool> =
            writer::decide(layout, found).iter().map(|decision| *decision == Decision::Update).collect();
        for position in watched {
            let (Some(field), Some(sent)) = (layout.fields.get(*position), batch.columns().get(*position)) else {
                continue;
            };
            let nulls = sent.is_null();
            let loses = |record: usize| before.value(record, *position).is_some_and(|text| !text.is_empty());
            let is_emptied =
                |(record, updated): &(usize, &bool)| **updated && nulls.get(*record) == Some(true) && loses(*record);
            let emptied = updated.iter().enumerate().filter(is_emptied).count();
            let emptied = u64::try_from(emptied).unwrap_or(u64::MAX);
            *self.emptied.entry(field.column.name.clone()).or_default() += emptied;
        }
    }

    fn count_decision(&mut self, decision: Decision, key: &str) {
        match decision {
            Decision::Insert => self.report.tally.count(&Outcome::Inserted),
            Decision::Update => self.report.tally.count(&Outcome::Updated),
            Decision::Leave => self.report.tally.count(&Outcome::Unchanged),
            Decision::Skip(reason) => self.report.tally.count(&Outcome::Skipped(reason)),
            Decision::Reject(reason) => self.count_rejection(Rejection {
                record: 0,
                key: Some(key.to_owned()),
                stage: Stage::Match,
                column: None,
                reason: reason.to_string(),
            }),
        }
    }
}

/// A connection that records are looked up through; one that breaks is made again, a bounded number of times.
struct Reader<'a> {
    connection: &'a Connection,
    /// Absent before the first batch and after it broke.
    destination: Option<AnyDestination>,
    stop: &'a Stop,
}

impl Reader<'_> {
    async fn look_up(&mut self, plan: &Plan, batch: &DataFrame, before: Before) -> Result<LookedUp, RunError> {
        let mut delays = retry::delays(self.connection.limits.attempts_max);
        loop {
            if self.stop.is_asked() {
                return Err(RunError::Interrupted);
            }
            let error = match self.attempt(plan, batch, before).await {
                Ok(looked_up) => return Ok(looked_up),
                Err(error) => error,
            };
            self.destination = None;
            let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
                return Err(RunError::Push {
                    write_back: plan.write_back.name.clone(),
                    connection: self.connection.name.clone(),
                    source: Box::new(error),
                });
            };
            let cause = chain(&error).join(": ");
            warn!(write_back = %plan.write_back.name, ?delay, error = %cause, "looking records up again");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.asked() => {}
            }
        }
    }

    async fn attempt(&mut self, plan: &Plan, batch: &DataFrame, before: Before) -> Result<LookedUp, SystemError> {
        let mut destination = match self.destination.take() {
            Some(destination) => destination,
            None => AnyDestination::connect(self.connection).await?,
        };
        let looked_up = destination.look_up(&plan.layout, batch, before).await?;
        self.destination = Some(destination);
        Ok(looked_up)
    }

    async fn close(self) {
        if let Some(destination) = self.destination {
            destination.close().await;
        }
    }
}

/// What writing the record at `index` would change, column by column; of an insert, every column.
pub(crate) fn changes(layout: &Layout, batch: &DataFrame, index: usize, before: &BeforeImages) -> Vec<Change> {
    let before = before.of(index);
    let change = |(position, field): (usize, &LayoutField)| {
        let sent = batch.columns().get(position).and_then(|column| cell_text(column, index));
        let before_value = before.as_ref().and_then(|before| before.get(position).copied()?);
        let after = if before.is_some() { layout.after_update(field, before_value, sent) } else { sent };
        let differs = before.is_none() || !same(field.kind, before_value, after.as_deref());
        let before = before_value.map(str::to_owned);
        differs.then(|| Change { column: field.column.name.clone(), before, after })
    };
    layout.fields.iter().enumerate().filter_map(change).collect()
}
