//! The before-images of a run as the records of an undo: gathered into a package, or judged without
//! one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use polars::prelude::{
    BooleanChunked, ChunkFull, Column, DataFrame, IntoColumn, NewChunkedArray, PolarsResult,
};
use tokio::task::block_in_place;

use super::error::UndoError;
use super::plan::{Altered, UndoPlan};
use super::requests;
use super::{UndoPart, UndoRequest, UndoSample, Undone};
use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::before::Before;
use crate::domain::error::SystemError;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{Outcome, RejectReason, Rejection, SkipReason, Stage, Tally};
use crate::domain::record::{KeyTexts, RECORD_POSITION};
use crate::ledger::{Commit, SentImages, WriteBackId};
use crate::package::{Package, PackageWriter};
use crate::run::at_work::AtWork;
use crate::run::cut;
use crate::run::error::RunError;
use crate::run::images::{self, ImageError};
use crate::run::push::error::PushError;
use crate::run::report::WriteBackReport;
use crate::run::swap::HalfWay;

/// Puts the before-images of a write-back into a package in `folder`.
/// Errors: `Images`, if some are gone or damaged.
pub(super) async fn gather(
    plan: &UndoPlan,
    request: &UndoRequest<'_>,
    work: AtWork<'_>,
    id: WriteBackId,
    folder: &Path,
) -> Result<(Package, Tally), RunError> {
    let mut writer =
        block_in_place(|| PackageWriter::create(folder, plan.restoration.key_columns()))?;
    let mut tally = Tally::default();
    let mut reader = Reader::new(plan, &request.records);
    for batch in batches(plan) {
        if request.stop.is_asked() {
            return Err(RunError::Interrupted);
        }
        for records in block_in_place(|| reader.read(batch))? {
            let first = tally.read;
            tally.read += u64::try_from(records.height()).unwrap_or(u64::MAX);
            match &plan.altered {
                Some(altered) => {
                    let rejections = reject(plan, &records, first, altered)?;
                    tally.rejected += u64::try_from(rejections.len()).unwrap_or(u64::MAX);
                    work.ledger.record_rejections(id, &rejections).await?;
                }
                None => {
                    let numbered =
                        numbered(&records, first).map_err(|error| unreadable(plan, &error))?;
                    block_in_place(|| writer.push(&numbered))?;
                }
            }
            work.progress.pulled(&plan.write_back, tally.read);
        }
    }
    Ok((
        block_in_place(|| writer.finish()).map_err(RunError::from)?,
        tally,
    ))
}

/// Judges the before-images of a write-back as an undo would; writes nothing.
/// Errors: as [`gather`].
pub(super) async fn foresee(
    plan: &UndoPlan,
    request: &UndoRequest<'_>,
) -> Result<Undone, RunError> {
    let begun = Instant::now();
    let connection = plan.destination.name.clone();
    let failed = |source: SystemError| PushError::Push {
        write_back: plan.write_back.clone(),
        connection: connection.clone(),
        source: Box::new(source),
    };
    let mut destination = AnyDestination::connect(&plan.destination)
        .await
        .map_err(failed)?;
    let mut tally = Tally::default();
    let mut skipped = BTreeMap::new();
    let mut samples = Samples::new(request.samples_max);
    let mut reader = Reader::new(plan, &request.records);
    for batch in batches(plan) {
        for records in block_in_place(|| reader.read(batch))? {
            let first = tally.read;
            tally.read += u64::try_from(records.height()).unwrap_or(u64::MAX);
            let keys = KeyTexts::of(&records, plan.restoration.key_columns())
                .map_err(|error| unreadable(plan, &error))?;
            if let Some(altered) = &plan.altered {
                let rejections = reject(plan, &records, first, altered)?;
                tally.rejected += u64::try_from(rejections.len()).unwrap_or(u64::MAX);
                for index in 0..records.height() {
                    samples.take(UndoPart::CouldNot, || keys.text(index));
                }
                continue;
            }
            let mut decisions = Vec::with_capacity(records.height());
            for piece in cut::pieces(&records) {
                let judged = plan
                    .restoration
                    .judge(
                        &mut destination,
                        &plan.destination,
                        &piece,
                        Before::Unread,
                        HalfWay::default(),
                    )
                    .await;
                decisions.extend(judged.map_err(failed)?.decisions);
            }
            for (index, decision) in decisions.into_iter().enumerate() {
                samples.take(part_of(&decision), || keys.text(index));
                match decision {
                    Decision::Update => tally.count(&Outcome::Updated),
                    Decision::Delete => tally.count(&Outcome::Deleted),
                    Decision::Leave => tally.count(&Outcome::Unchanged),
                    Decision::Insert => tally.count(&Outcome::Inserted),
                    Decision::Skip(reason) => {
                        tally.count(&Outcome::Skipped(reason));
                        *skipped.entry(reason).or_default() += 1;
                    }
                    Decision::Reject(
                        RejectReason::AmbiguousMatch { .. } | RejectReason::DuplicateKey { .. },
                    ) => {
                        tally.rejected += 1;
                    }
                }
            }
        }
    }
    destination.close().await;
    let elapsed: Duration = begun.elapsed();
    let report = WriteBackReport {
        name: plan.write_back.clone(),
        tally,
        batches: 0,
        elapsed,
        left: BTreeMap::new(),
        parked: Vec::new(),
        kept: BTreeMap::new(),
        matched_nothing: false,
        calls: None,
        keeps_before_images: true,
        canary: None,
    };
    Ok(Undone::new(report, &skipped, samples.taken))
}

/// Which part of an undo a record is in.
fn part_of(decision: &Decision) -> UndoPart {
    match decision {
        Decision::Update | Decision::Delete | Decision::Leave | Decision::Insert => {
            UndoPart::Reversed
        }
        Decision::Skip(SkipReason::NoMatch) | Decision::Reject(_) => UndoPart::CouldNot,
        Decision::Skip(_) => UndoPart::Kept,
    }
}

/// The first records of each part.
struct Samples {
    samples_max: usize,
    taken: Vec<UndoSample>,
}

impl Samples {
    fn new(samples_max: usize) -> Self {
        Self {
            samples_max,
            taken: Vec::new(),
        }
    }

    fn take(&mut self, part: UndoPart, key: impl FnOnce() -> Option<String>) {
        let taken = self.taken.iter().filter(|sample| sample.part == part);
        if taken.count() < self.samples_max
            && let Some(key) = key()
        {
            self.taken.push(UndoSample { key, part });
        }
    }
}

/// Errors: `NotWritten`, with the first record that is asked for and stands in no before-image;
/// `Images`.
pub(super) fn expect_written(
    plans: &[UndoPlan],
    request: &UndoRequest<'_>,
) -> Result<(), RunError> {
    let mut missing = request.records.clone();
    for plan in plans {
        if missing.is_empty() {
            break;
        }
        let mut reader = Reader::new(plan, &request.records);
        for batch in batches(plan) {
            block_in_place(|| reader.read(batch))?;
        }
        missing.retain(|key| !reader.met.contains(key));
    }
    match missing.pop_first() {
        Some(key) => Err(UndoError::NotWritten {
            run: request.run,
            key,
        }
        .into()),
        None => Ok(()),
    }
}

/// Reads segments, as far as their records are asked for.
struct Reader<'a> {
    plan: &'a UndoPlan,
    /// By what they mean, with the keys that they were asked for by; all if there is none.
    wanted: BTreeMap<String, Vec<&'a String>>,
    /// Of these keys, those that were met.
    met: BTreeSet<&'a String>,
}

impl<'a> Reader<'a> {
    fn new(plan: &'a UndoPlan, wanted: &'a BTreeSet<String>) -> Self {
        let kinds = plan.restoration.key_kinds();
        let mut by_meaning: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for key in wanted {
            by_meaning.entry(kinds.meaning(key)).or_default().push(key);
        }
        Self {
            plan,
            wanted: by_meaning,
            met: BTreeSet::new(),
        }
    }

    /// The records of one batch, each once.
    fn read(&mut self, sendings: &[SentImages]) -> Result<Vec<DataFrame>, RunError> {
        if !self.plan.of_requests {
            return self.read_batch(sendings, true);
        }
        let mut frames = Vec::new();
        for of_request in sendings.chunk_by(|left, right| left.span == right.span) {
            frames.extend(self.read_batch(of_request, false)?);
        }
        let swap = &self.plan.restoration;
        let folded = requests::folded(&frames, swap.sent_layout(), swap.key_columns());
        let folded = folded.map_err(|error| unreadable(self.plan, &error))?;
        Ok(folded.into_iter().collect())
    }

    fn read_batch(
        &mut self,
        sendings: &[SentImages],
        is_whole: bool,
    ) -> Result<Vec<DataFrame>, RunError> {
        let mut seen = HashSet::new();
        let mut frames = Vec::new();
        for SentImages {
            segment, commit, ..
        } in SentImages::that_count_first(sendings)
        {
            let images = images::read(&self.plan.folder, segment)?;
            let records = self.chosen(&images, &mut seen);
            let records = records.and_then(|records| marked(records, *commit != Commit::Known));
            let records = records.map_err(|error| unreadable(self.plan, &error))?;
            let misshapen =
                is_whole && self.plan.altered.is_none() && !self.plan.restoration.accepts(&records);
            if misshapen {
                let path = self.plan.folder.join(&segment.file).display().to_string();
                let what = "it has not the columns that the run wrote".to_owned();
                return Err(ImageError::Damaged { path, what }.into());
            }
            frames.push(records);
        }
        Ok(frames)
    }

    fn chosen(&mut self, images: &DataFrame, seen: &mut HashSet<u32>) -> PolarsResult<DataFrame> {
        let positions = images.column(images::RECORD)?.u32()?;
        let keys = KeyTexts::of(images, self.plan.restoration.key_columns())?;
        let kinds = self.plan.restoration.key_kinds();
        let mut is_chosen = |(index, record): (usize, Option<u32>)| {
            let is_first = record.is_some_and(|record| seen.insert(record));
            if self.wanted.is_empty() || !is_first {
                return is_first;
            }
            let key = keys.text(index);
            let wanted = key.and_then(|key| self.wanted.get(&kinds.meaning(&key)));
            self.met.extend(wanted.into_iter().flatten());
            wanted.is_some()
        };
        let chosen: Vec<bool> = positions.iter().enumerate().map(&mut is_chosen).collect();
        images
            .drop(images::RECORD)?
            .filter(&BooleanChunked::from_slice("".into(), &chosen))
    }
}

/// A run's before-images, batch by batch. Requests of a day are taken
/// back together: several may have written one record.
fn batches(plan: &UndoPlan) -> impl Iterator<Item = &[SentImages]> {
    let is_one = |left: &SentImages, right: &SentImages| left.span == right.span;
    plan.images
        .chunk_by(move |left, right| plan.of_requests || is_one(left, right))
}

/// The records with a column that says whether their batch is in doubt.
fn marked(mut records: DataFrame, in_doubt: bool) -> PolarsResult<DataFrame> {
    let in_doubt = BooleanChunked::full(images::IN_DOUBT.into(), in_doubt, records.height());
    records.with_column(in_doubt.into_column())?;
    Ok(records)
}

fn numbered(records: &DataFrame, first: u64) -> PolarsResult<DataFrame> {
    let count = u64::try_from(records.height()).unwrap_or(u64::MAX);
    let positions = Column::new(
        RECORD_POSITION.into(),
        (first..first.saturating_add(count)).collect::<Vec<u64>>(),
    );
    let mut columns = records.columns().to_vec();
    columns.push(positions);
    DataFrame::new(records.height(), columns)
}

/// Rejects records that the object can no longer hold as it did.
fn reject(
    plan: &UndoPlan,
    records: &DataFrame,
    first: u64,
    altered: &Altered,
) -> Result<Vec<Rejection>, RunError> {
    let keys = KeyTexts::of(records, plan.restoration.key_columns())
        .map_err(|error| unreadable(plan, &error))?;
    let rejection = |(record, index): (u64, usize)| Rejection {
        record,
        key: keys.text(index),
        stage: Stage::Mapping,
        column: Some(altered.column.clone()),
        value: None,
        reason: altered.how.clone(),
        others: Vec::new(),
    };
    Ok((first..).zip(0..records.height()).map(rejection).collect())
}

fn unreadable(plan: &UndoPlan, error: &polars::error::PolarsError) -> RunError {
    ImageError::Damaged {
        path: plan.folder.display().to_string(),
        what: error.to_string(),
    }
    .into()
}
