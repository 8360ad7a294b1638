//! Preview: everything a run would do up to its first write, and what it would decide about each record. Writes nothing
//! to the destination and nothing to the ledger.

use std::path::Path;

use polars::prelude::DataFrame;
use serde::Serialize;
use tokio::task::block_in_place;

use crate::destination::{AnyDestination, Destination, Found};
use crate::domain::error::SystemError;
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{Outcome, Rejection, Stage, Tally};
use crate::domain::record::{cell_text, key_texts};
use crate::domain::value::Kind;
use crate::package::Partition;
use crate::run::plan::Plan;
use crate::run::pull::Rejections;
use crate::run::push::duplicates;
use crate::run::{Progress, RunError, pull, writer};

/// What a run of one write-back would do.
#[derive(Debug, Serialize)]
pub(crate) struct WriteBackPreview {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    /// The first records that would be written.
    pub(crate) samples: Vec<Sample>,
    /// The first records that would be rejected.
    pub(crate) rejections: Vec<RejectionSample>,
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

/// Previews one write-back, with at most `samples_max` samples of each sort. `folder` takes its package for the while.
pub(crate) async fn preview(
    plan: &mut Plan,
    folder: &Path,
    samples_max: usize,
    progress: &dyn Progress,
) -> Result<WriteBackPreview, RunError> {
    let mut preview = Preview::new(&plan.write_back.name, samples_max);
    let pulled = pull::pull(plan, folder, &mut preview, progress).await?;
    let plan = &*plan;
    preview.report.tally.read = pulled.tally.read;
    progress.push_begins(&plan.write_back.name, pulled.package.record_count());
    let failed = |source| RunError::Push {
        write_back: plan.write_back.name.clone(),
        connection: plan.destination.name.clone(),
        source: Box::new(source),
    };
    let mut destination = AnyDestination::connect(&plan.destination).await.map_err(failed)?;
    for index in 0..pulled.package.partition_count() {
        let partition = block_in_place(|| pulled.package.load(index))?;
        duplicates(plan, &partition.duplicates).into_iter().for_each(|rejection| preview.reject(rejection));
        preview.look_up(plan, &mut destination, &partition, progress).await.map_err(failed)?;
    }
    destination.close().await;
    progress.push_ends(&plan.write_back.name);
    Ok(preview.report)
}

/// A preview as it grows: sums, and the first records of each sort, however many there are.
struct Preview {
    samples_max: usize,
    report: WriteBackPreview,
}

impl Rejections for Preview {
    async fn keep(&mut self, rejections: Vec<Rejection>) -> Result<(), RunError> {
        rejections.into_iter().for_each(|rejection| self.reject(rejection));
        Ok(())
    }
}

impl Preview {
    fn new(write_back: &str, samples_max: usize) -> Self {
        let report = WriteBackPreview {
            name: write_back.to_owned(),
            tally: Tally::default(),
            batches: 0,
            samples: Vec::new(),
            rejections: Vec::new(),
        };
        Self { samples_max, report }
    }

    fn reject(&mut self, rejection: Rejection) {
        if self.report.rejections.len() < self.samples_max {
            let Rejection { key, stage, column, reason, .. } = rejection.clone();
            self.report.rejections.push(RejectionSample { key, stage, column, reason });
        }
        self.report.tally.count(&Outcome::Rejected(rejection));
    }

    /// Looks a partition up batch by batch and counts what would become of its records.
    async fn look_up(
        &mut self,
        plan: &Plan,
        destination: &mut AnyDestination,
        partition: &Partition,
        progress: &dyn Progress,
    ) -> Result<(), SystemError> {
        let records = plan.mapping.complete(&partition.records);
        let keys = key_texts(&partition.records, plan.mapping.key_columns());
        let batch_records_max = plan.write_back.batch_records_max.get();
        for (batch_keys, batch) in keys.chunks(batch_records_max).zip(0_i64..) {
            let first = batch * i64::try_from(batch_records_max).unwrap_or(i64::MAX);
            let batch = records.slice(first, batch_keys.len());
            let wants_samples = self.report.samples.len() < self.samples_max;
            let found = destination.look_up(&plan.layout, &batch, wants_samples).await?;
            self.count(&plan.layout, &batch, batch_keys, &found);
            self.report.batches += 1;
            progress.pushed(&plan.write_back.name, u64::try_from(batch_keys.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn count(&mut self, layout: &Layout, batch: &DataFrame, keys: &[String], found: &[Found]) {
        let decisions = writer::decide(layout, found);
        for (index, ((decision, found), key)) in decisions.into_iter().zip(found).zip(keys).enumerate() {
            let word = match &decision {
                Decision::Update => Some("update"),
                Decision::Insert => Some("insert"),
                Decision::Leave | Decision::Skip(_) | Decision::Reject(_) => None,
            };
            if let Some(decision) = word.filter(|_| self.report.samples.len() < self.samples_max) {
                let changes = changes(layout, batch, index, found.before.as_deref());
                self.report.samples.push(Sample { key: key.clone(), decision, changes });
            }
            self.count_decision(decision, key);
        }
    }

    fn count_decision(&mut self, decision: Decision, key: &str) {
        match decision {
            Decision::Insert => self.report.tally.count(&Outcome::Inserted),
            Decision::Update => self.report.tally.count(&Outcome::Updated),
            Decision::Leave => self.report.tally.count(&Outcome::Unchanged),
            Decision::Skip(reason) => self.report.tally.count(&Outcome::Skipped(reason)),
            Decision::Reject(reason) => self.reject(Rejection {
                record: 0,
                key: Some(key.to_owned()),
                stage: Stage::Match,
                column: None,
                reason: reason.to_string(),
            }),
        }
    }
}

/// What writing the record at `index` would change, column by column; of an insert, every column.
pub(crate) fn changes(
    layout: &Layout,
    batch: &DataFrame,
    index: usize,
    before: Option<&[Option<String>]>,
) -> Vec<Change> {
    let change = |(position, field): (usize, &LayoutField)| {
        let sent = batch.columns().get(position).and_then(|column| cell_text(column, index));
        let before_value = before.and_then(|before| before.get(position)).cloned().flatten();
        let after = if before.is_some() { effective(layout, field, before_value.as_deref(), sent) } else { sent };
        let differs = before.is_none() || !same(field.kind, before_value.as_deref(), after.as_deref());
        differs.then(|| Change { column: field.column.name.clone(), before: before_value, after })
    };
    layout.fields.iter().enumerate().filter_map(change).collect()
}

/// What a row holds after an update that sends `sent`.
fn effective(layout: &Layout, field: &LayoutField, before: Option<&str>, sent: Option<String>) -> Option<String> {
    let keeps_null = layout.nulls == NullPolicy::Keep && sent.is_none();
    let keeps_value = field.when == When::IfEmpty && before.is_some_and(|text| !text.is_empty());
    match field.key || keeps_null || keeps_value {
        true => before.map(str::to_owned),
        false => sent,
    }
}

/// Whether two texts mean the same value, for showing only what changes: the database decides what is written.
pub(crate) fn same(kind: Kind, left: Option<&str>, right: Option<&str>) -> bool {
    let plain = |text: &str| match kind {
        Kind::Decimal | Kind::Float32 | Kind::Float64 | Kind::Integer if text.contains('.') => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Kind::Timestamp | Kind::Instant | Kind::Time => {
            let text = text.replace('T', " ");
            let text = text.trim_end_matches("+00:00").trim_end_matches("+00").trim_end_matches('Z').to_owned();
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        Kind::Boolean => match text {
            "1" | "t" => "true".to_owned(),
            "0" | "f" => "false".to_owned(),
            _ => text.to_owned(),
        },
        Kind::Text
        | Kind::Decimal
        | Kind::Float32
        | Kind::Float64
        | Kind::Integer
        | Kind::Date
        | Kind::Uuid
        | Kind::Json => text.to_owned(),
    };
    left.map(plain) == right.map(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_only_look_different_are_no_change() {
        assert!(same(Kind::Decimal, Some("87.5"), Some("87.50")));
        assert!(same(Kind::Instant, Some("2026-11-15 06:30:00+00"), Some("2026-11-15 06:30:00")));
        assert!(same(Kind::Boolean, Some("1"), Some("true")));
        assert!(!same(Kind::Text, Some("87.5"), Some("87.50")));
        assert!(!same(Kind::Integer, Some("100"), Some("1")));
        assert!(!same(Kind::Text, None, Some("")));
    }
}
