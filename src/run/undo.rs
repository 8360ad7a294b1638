//! Undo: a run of its own that takes an earlier one back. Its records are the before-images of that
//! run; from the package on it is a run like any other, and keeps before-images itself.
//!
//! It needs the run's connection and the ledger, not the job's files: these may have changed since.

pub(crate) mod error;
mod package;
mod plan;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_128;

use self::plan::UndoPlan;
use super::at_work::AtWork;
use super::calls;
use super::error::RunError;
use super::files;
use super::origin::leave_behind;
use super::place::run_folder;
use super::prepared;
use super::progress::Progress;
use super::report::WriteBackReport;
use super::stop::Stop;
use super::swap::{ChangedRows, CreatedRows};
use crate::config::Project;
use crate::domain::account_calls::AccountCalls;
use crate::domain::cycle::Cycle;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::domain::outcome::{SkipReason, Tally};
use crate::ledger::{Ledger, NewRun, RunEntry, RunStatus, UnfinishedRun, WriteBackId};
use crate::package::Package;

/// What to take back.
#[derive(Debug)]
pub(crate) struct UndoRequest<'a> {
    pub(crate) project: &'a Project,
    pub(crate) run: i64,
    /// Only this one of its write-backs.
    pub(crate) write_back: Option<&'a str>,
    /// Only records with these match keys; all if there is none.
    pub(crate) records: BTreeSet<String>,
    /// Only what this request wrote, by the partition of its batch.
    pub(crate) sequence: Option<u32>,
    pub(crate) created: CreatedRows,
    pub(crate) changed: ChangedRows,
    /// Samples of each part, of a preview.
    pub(crate) samples_max: usize,
    pub(crate) stop: Stop,
}

impl UndoRequest<'_> {
    /// What an undo must share with an interrupted one to take it up.
    fn digest(&self) -> String {
        let told = format!(
            "{:?}",
            (
                self.run,
                self.write_back,
                &self.records,
                self.sequence,
                self.created,
                self.changed
            )
        );
        format!("undo {:032x}", xxh3_128(told.as_bytes()))
    }
}

/// What an undo did to one write-back, or would do.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) report: WriteBackReport,
    /// Records that are as they were after the run, because somebody changed the row since.
    pub(crate) changed_since: u64,
    /// Records whose row is gone.
    pub(crate) gone: u64,
    /// Rows that the run created and that stay.
    pub(crate) created: u64,
    /// Rows that stay because nobody knows whether the run made them.
    pub(crate) created_in_doubt: u64,
    /// The first records of each part; of a preview only.
    pub(crate) samples: Vec<UndoSample>,
}

impl Undone {
    fn new(
        report: WriteBackReport,
        skipped: &BTreeMap<SkipReason, u64>,
        samples: Vec<UndoSample>,
    ) -> Self {
        let count = |reason| skipped.get(&reason).copied().unwrap_or_default();
        Self {
            report,
            changed_since: count(SkipReason::ChangedSince),
            gone: count(SkipReason::NoMatch),
            created: count(SkipReason::CreatedByRun),
            created_in_doubt: count(SkipReason::CreatedInDoubt),
            samples,
        }
    }
}

/// One record, and in which part of an undo it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UndoSample {
    pub(crate) key: String,
    pub(crate) part: UndoPart,
}

/// What becomes of a record when its run is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UndoPart {
    /// Its row is as it was before, or gone as it was.
    Reversed,
    /// Its row stays as it is.
    Kept,
    /// Its row is gone, or refused.
    CouldNot,
}

/// What an undo did, or would do.
#[derive(Debug)]
pub(crate) struct UndoReport {
    /// Its own number; a preview has none.
    pub(crate) run: Option<i64>,
    /// The run that it takes back.
    pub(crate) undo_of: i64,
    pub(crate) job: String,
    pub(crate) cycle: String,
    pub(crate) status: RunStatus,
    pub(crate) write_backs: Vec<Undone>,
    /// Of web APIs, by connection.
    pub(crate) calls: Vec<AccountCalls>,
    pub(crate) folder: PathBuf,
}

impl UndoReport {
    /// Tells what it comes to from anything else.
    pub(crate) fn digest(&self) -> String {
        let one = |undone: &Undone| {
            let counts = (
                undone.changed_since,
                undone.gone,
                undone.created,
                undone.created_in_doubt,
            );
            format!(
                "{} {:?} {counts:?}",
                undone.report.name, undone.report.tally
            )
        };
        let told: Vec<String> = self.write_backs.iter().map(one).collect();
        let told = format!("{} {told:?}", self.undo_of);
        format!("{:032x}", xxh3_128(told.as_bytes()))
    }
}

/// Takes a run back. Errors: as a run's; `NothingToUndo` and `NoBeforeImages`, if there is nothing
/// to restore; `NotWritten`.
pub(crate) async fn carry_out(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    progress: Arc<dyn Progress>,
) -> Result<UndoReport, RunError> {
    let work = carried_out(request, ledger, progress);
    let (report, calls) = calls::counted(ledger, work, |report| report.run).await?;
    Ok(UndoReport { calls, ..report })
}

async fn carried_out(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    progress: Arc<dyn Progress>,
) -> Result<UndoReport, RunError> {
    let entry = ledger.run(request.run).await?;
    let _lock = ledger.lock_job(&entry.job)?;
    let plans = plan::plan(request, ledger, &entry, true).await?;
    package::expect_written(&plans, request)?;
    if request.stop.is_asked() {
        return Err(RunError::Interrupted);
    }
    let facts = begin_or_take_up(request, ledger, &entry, &plans).await?;
    let work = AtWork {
        project: request.project,
        ledger,
        progress: &progress,
        stop: &request.stop,
        facts: &facts,
    };
    match restore(request, work, &plans).await {
        Ok(report) => {
            work.count_calls().await;
            ledger
                .runs_left_behind(facts.run)
                .await?
                .into_iter()
                .for_each(|earlier| work.remove_packages(earlier));
            ledger.finish_run(facts.run, report.status, None).await?;
            work.remove_packages(facts.run);
            Ok(report)
        }
        Err(error) => Err(work.stopped(error).await),
    }
}

/// What an undo would do; writes nothing.
pub(crate) async fn preview(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
) -> Result<UndoReport, RunError> {
    let entry = ledger.run(request.run).await?;
    let is_alone = !ledger.is_running(&entry.job)?;
    let plans = plan::plan(request, ledger, &entry, is_alone).await?;
    package::expect_written(&plans, request)?;
    let mut write_backs = Vec::new();
    for plan in &plans {
        write_backs.push(package::foresee(plan, request).await?);
    }
    Ok(UndoReport {
        run: None,
        undo_of: request.run,
        job: entry.job,
        cycle: entry.cycle,
        status: status_of(&write_backs),
        write_backs,
        calls: Vec::new(),
        folder: run_folder(request.project, request.run),
    })
}

fn status_of(write_backs: &[Undone]) -> RunStatus {
    match write_backs
        .iter()
        .any(|undone| undone.report.tally.rejected > 0)
    {
        true => RunStatus::Rejected,
        false => RunStatus::Succeeded,
    }
}

/// Enters the undo into the ledger, or goes on with the same one where it was interrupted. Any
/// other run that stands open is left behind: its records were made for what rows held until now.
async fn begin_or_take_up(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    entry: &RunEntry,
    plans: &[UndoPlan],
) -> Result<RunFacts, RunError> {
    let cycle = Cycle {
        id: entry.cycle.clone(),
        completed_at: entry.cycle_completed_at,
    };
    let facts = RunFacts {
        run: NO_RUN,
        job: entry.job.clone(),
        cycle,
        started_at: Utc::now(),
    };
    if let Some(unfinished) = ledger.unfinished_run(&entry.job).await? {
        match why_left_behind(request, ledger, &unfinished, plans).await? {
            Some(why) => leave_behind(ledger, &entry.job, unfinished.run, &why).await?,
            None => {
                let UnfinishedRun {
                    run, started_at, ..
                } = unfinished;
                warn!(job = %entry.job, run, undo_of = request.run, "taking up an unfinished undo where it stood");
                ledger.take_up_run(run).await?;
                return Ok(RunFacts {
                    run,
                    started_at,
                    ..facts
                });
            }
        }
    }
    let new_run = NewRun {
        job: &facts.job,
        cycle: &facts.cycle,
        started_at: facts.started_at,
        write_backs: plans.iter().map(|plan| plan.write_back.as_str()).collect(),
        versions: Vec::new(),
        of_records: !request.records.is_empty() || request.sequence.is_some(),
        job_digest: &request.digest(),
        write_back: request.write_back,
        retry_of: None,
        undo_of: Some(request.run),
        plan: None,
    };
    let run = ledger.begin_run(&new_run).await?;
    info!(job = %facts.job, run, undo_of = request.run, "undo begins");
    Ok(RunFacts { run, ..facts })
}

/// `None`, if the unfinished run is this very undo and its package still fits.
async fn why_left_behind(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    unfinished: &UnfinishedRun,
    plans: &[UndoPlan],
) -> Result<Option<String>, RunError> {
    if unfinished.undo_of.is_none() || unfinished.job_digest != request.digest() {
        return Ok(Some(format!(
            "an undo of run {} began before it could be taken up",
            request.run
        )));
    }
    for (plan, position) in plans.iter().zip(0..) {
        let progress = ledger
            .progress(WriteBackId {
                run: unfinished.run,
                position,
            })
            .await?;
        let prepared = progress.layout.filter(|_| progress.packaged);
        let (layout, home, connection) = (
            plan.restoration.layout(),
            &plan.home,
            &plan.destination.name,
        );
        let why =
            prepared.and_then(|prepared| prepared::why_unfit(&prepared, layout, home, connection));
        if why.is_some() {
            return Ok(why);
        }
    }
    Ok(None)
}

async fn restore(
    request: &UndoRequest<'_>,
    work: AtWork<'_>,
    plans: &[UndoPlan],
) -> Result<UndoReport, RunError> {
    let run = work.facts.run;
    let mut packages = Vec::new();
    for (plan, position) in plans.iter().zip(0..) {
        let begun = Instant::now();
        let (package, counted) =
            package_of(plan, request, work, WriteBackId { run, position }).await?;
        packages.push((
            plan,
            WriteBackId { run, position },
            package,
            counted,
            begun.elapsed(),
        ));
    }
    let is_backwards = goes_backwards(work.ledger, request.run).await?;
    if is_backwards {
        packages.reverse();
    }
    let mut write_backs = Vec::new();
    for (plan, id, package, counted, elapsed) in packages {
        let report = work
            .deliver(
                plan.assignment(request.project),
                id,
                &package,
                counted,
                elapsed,
            )
            .await?;
        let skipped = work.ledger.skipped(id).await?;
        write_backs.push(Undone::new(report, &skipped, Vec::new()));
    }
    if is_backwards {
        write_backs.reverse();
    }
    let folder = run_folder(request.project, run);
    files::write_rejected(&folder.join("rejected.csv"), work.ledger, run).await?;
    Ok(UndoReport {
        run: Some(run),
        undo_of: request.run,
        job: work.facts.job.clone(),
        cycle: work.facts.cycle.id.clone(),
        status: status_of(&write_backs),
        write_backs,
        calls: Vec::new(),
        folder,
    })
}

/// Whether write-backs are taken back last one first: what the second made may refer to what the
/// first made, or hold what the first gave up. The undo of an undo goes the way of the run again.
async fn goes_backwards(ledger: &Ledger, run: i64) -> Result<bool, RunError> {
    let mut is_backwards = true;
    let mut undone = ledger.run(run).await?;
    while let Some(of) = undone.undo_of {
        is_backwards = !is_backwards;
        undone = ledger.run(of).await?;
    }
    Ok(is_backwards)
}

/// The package of a write-back's before-images: the one that stands, or a new one with what it
/// counted.
async fn package_of(
    plan: &UndoPlan,
    request: &UndoRequest<'_>,
    work: AtWork<'_>,
    id: WriteBackId,
) -> Result<(Package, Option<Tally>), RunError> {
    let folder = work.package_folder(&plan.write_back)?;
    if work.ledger.progress(id).await?.packaged {
        return Ok((
            tokio::task::block_in_place(|| Package::open(&folder))?,
            None,
        ));
    }
    work.ledger.restart_pull(id).await?;
    let (package, counted) = package::gather(plan, request, work, id, &folder).await?;
    work.ledger
        .record_packaged(id, counted.read, &plan.mapped_for())
        .await?;
    Ok((package, Some(counted)))
}
