//! The records of a saved plan as the package of the run that applies it.

use std::path::Path;

use chrono::{DateTime, Utc};
use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray, PolarsResult};
use tokio::task::block_in_place;

use super::{SavedPlan, SavedPlanError};
use crate::domain::outcome::{SkipReason, Tally};
use crate::domain::parking::LeftAlone;
use crate::domain::record::{KeyTexts, RECORD_POSITION};
use crate::ledger::{Ledger, LedgerError, WriteBackId};
use crate::package::{Package, PackageWriter};
use crate::run::at_work::AtWork;
use crate::run::images::sent_column;
use crate::run::plan::Plan;
use crate::run::push::error::{PushError, from_parts_of_push_error};
use crate::run::report::{Applied, RunReport};
use crate::run::selection::Selection;

/// Why the records of a saved plan could not be made a package.
#[derive(Debug, thiserror::Error)]
pub(in crate::run) enum GatherError {
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
    #[error(transparent)]
    Push(#[from] PushError),
}

from_parts_of_push_error!(GatherError);

/// Puts the records that a plan has of a write-back into a package in `folder`, but for those that
/// were parked since. Errors: `SavedPlan`, if they are not as they were written.
pub(in crate::run) async fn gather(
    saved: &SavedPlan,
    plan: &Plan,
    work: AtWork<'_>,
    id: WriteBackId,
    folder: &Path,
) -> Result<(Package, Tally), GatherError> {
    let name = &plan.write_back.name;
    let contents = plan.assignment().contents;
    let selection = Selection::of(work.ledger, work.facts, plan, None).await?;
    let mut writer = block_in_place(|| PackageWriter::create(folder, contents.key_columns()))?;
    let mut tally = Tally::default();
    for (begin, segment) in saved.segments_of(name) {
        if work.stop.is_asked() {
            return Err(PushError::Interrupted.into());
        }
        let misshapen = || {
            SavedPlanError::altered(&saved.path, "it has not the columns that the preview wrote")
        };
        let shown = block_in_place(|| saved.records(begin, &segment))?;
        let records = stamped(plan, &shown).ok_or_else(misshapen)?;
        tally.read += u64::try_from(records.height()).unwrap_or(u64::MAX);
        let since = saved.contents.previewed_at;
        let parked = parked_since(&selection, since, &records, contents.key_columns())
            .map_err(|_| misshapen())?;
        let (records, left_alone) = without(records, parked).map_err(|_| misshapen())?;
        tally.skipped += u64::try_from(left_alone.len()).unwrap_or(u64::MAX);
        if !left_alone.is_empty() {
            work.ledger.record_left_alone(id, &left_alone).await?;
        }
        block_in_place(|| writer.push(&records))?;
        work.progress.pulled(name, tally.read);
    }
    Ok((block_in_place(|| writer.finish())?, tally))
}

/// What of a plan the run that applied it left alone.
pub(in crate::run) async fn applied(
    saved: &SavedPlan,
    ledger: &Ledger,
    run: i64,
    report: &RunReport,
) -> Result<Applied, LedgerError> {
    let mut applied = Applied {
        sha256: saved.digest.clone(),
        changed_since: 0,
        gone: 0,
    };
    for (position, _) in (0..).zip(&report.write_backs) {
        let skipped = ledger.skipped(WriteBackId { run, position }).await?;
        let count = |reason| skipped.get(&reason).copied().unwrap_or_default();
        applied.changed_since += count(SkipReason::ChangedSince);
        applied.gone += count(SkipReason::NoMatch);
    }
    Ok(applied)
}

/// Records with the stamps of the run that writes them; `None` if they are not what this plan's
/// preview shows.
fn stamped(plan: &Plan, shown: &DataFrame) -> Option<DataFrame> {
    let has_positions = shown
        .column(RECORD_POSITION)
        .is_ok_and(|positions| positions.u64().is_ok());
    if !has_positions || !plan.assignment().contents.accepts(shown) {
        return None;
    }
    let fields: Vec<&str> = plan
        .layout
        .fields
        .iter()
        .map(|field| field.column.name.as_str())
        .collect();
    let sent = fields.iter().map(|name| {
        let values = shown.column(&sent_column(name)).ok()?;
        Some(values.clone().with_name((*name).into()))
    });
    let sent = DataFrame::new(shown.height(), sent.collect::<Option<Vec<_>>>()?).ok()?;
    if !plan.mapping.accepts(&sent) {
        return None;
    }
    let completed = plan.mapping.complete(&sent);
    let mut records = shown.clone();
    let completed = fields.iter().zip(completed.columns());
    let completed = completed.zip(&plan.layout.fields);
    // Of members that are added the preview showed the whole list.
    let completed = completed.filter(|(_, field)| !field.list.keeps_others());
    for ((name, values), _) in completed {
        records
            .with_column(values.clone().with_name(sent_column(name).into()))
            .ok()?;
    }
    Some(records)
}

/// For each record: as what it is left alone, if somebody parked it after the preview, which let it
/// through.
fn parked_since(
    selection: &Selection,
    since: DateTime<Utc>,
    records: &DataFrame,
    key_columns: &[String],
) -> PolarsResult<Vec<Option<LeftAlone>>> {
    let positions = records.column(RECORD_POSITION)?.u64()?;
    let keys = KeyTexts::of(records, key_columns)?.texts(records.height());
    let left_alone = |(position, key): (Option<u64>, String)| {
        let reason = selection.parked_after(since, &key)?.told();
        Some(LeftAlone {
            record: position?,
            key,
            reason,
            met: None,
            parked: true,
        })
    };
    Ok(positions.iter().zip(keys).map(left_alone).collect())
}

/// The records that go on, and those that do not.
fn without(
    records: DataFrame,
    parked: Vec<Option<LeftAlone>>,
) -> PolarsResult<(DataFrame, Vec<LeftAlone>)> {
    let goes_on: Vec<bool> = parked.iter().map(Option::is_none).collect();
    if !goes_on.contains(&false) {
        return Ok((records, Vec::new()));
    }
    let records = records.filter(&BooleanChunked::from_slice("".into(), &goes_on))?;
    Ok((records, parked.into_iter().flatten().collect()))
}
