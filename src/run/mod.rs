//! One run of a job from begin to finish: plan every write-back, pull every package, then push
//! them, then report. Nothing is written to a destination before all of a job's write-backs are
//! planned and pulled.

pub(crate) mod answers;
pub(crate) mod approval;
mod asker;
mod at_work;
mod batch;
mod before_images;
mod calls;
mod canary;
pub(crate) mod conflicts;
mod creating;
mod cut;
mod delivering;
mod dependents;
mod doubt;
mod ending;
pub(crate) mod error;
pub(crate) mod evidence;
mod files;
pub(crate) mod foresight;
mod guards;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod journal;
mod journal_table;
mod key_lines;
mod known;
mod mirror;
mod newest;
mod origin;
pub(crate) mod outcomes;
mod own_records;
mod packaging;
pub(crate) mod parking;
pub(crate) mod pending;
pub(crate) mod place;
pub(crate) mod plan;
mod prefilter;
mod prepared;
pub(crate) mod preview;
pub(crate) mod previewer;
pub(crate) mod progress;
mod pull;
mod push;
pub(crate) mod questions;
mod reached;
mod reader;
pub(crate) mod real_time;
pub(crate) mod record_writes;
mod references;
pub(crate) mod report;
pub(crate) mod request;
mod resolve;
mod resolver;
mod retry;
mod rounds;
pub(crate) mod saved_plan;
mod seen;
pub(crate) mod selection;
mod settled;
mod shared_rows;
mod sight;
pub(crate) mod single_record;
mod snapshot;
pub(crate) mod stop;
mod swap;
pub(crate) mod tested;
pub(crate) mod trial;
pub(crate) mod undo;
pub(crate) mod verify;
mod walker;
mod ways;
mod write;
mod writer;

use std::sync::Arc;

use chrono::Utc;
use tracing::warn;

use self::at_work::AtWork;
pub(crate) use self::error::RunError;
use self::guards::{Judged, Pulled};
use self::packaging::Packaged;
pub(crate) use self::place::run_folder;
use self::plan::Plan;
pub(crate) use self::progress::Progress;
pub(crate) use self::push::error::PushError;
use self::report::EarlierDelivery;
pub(crate) use self::report::{RunReport, WriteBackReport};
pub(crate) use self::request::{RequestedCycle, RunRequest};
use self::resolve::Records;
pub(crate) use self::swap::{ChangedRows, CreatedRows};
use crate::domain::mapping::RunFacts;
use crate::heap::on_heap;
use crate::ledger::Ledger;
use crate::run::request::Scope;

/// Carries out a job once.
/// Errors: whatever keeps it from beginning or finishing; rejected records are part of the report.
pub(crate) async fn carry_out(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    progress: Arc<dyn Progress>,
) -> Result<RunReport, RunError> {
    let work = on_heap(|| carried_out(request, ledger, progress));
    let (report, calls) = calls::counted(ledger, work, |report| report.run).await?;
    Ok(RunReport { calls, ..report })
}

async fn carried_out(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    progress: Arc<dyn Progress>,
) -> Result<RunReport, RunError> {
    let job = &request.checked.job.name;
    let _lock = ledger.lock_job(job)?;
    if let Some(run) = origin::delivered_by(request, ledger).await? {
        let pending = ledger.pending(job).await?;
        return Ok(RunReport::delivered_before(
            request,
            EarlierDelivery { run, pending },
        ));
    }
    if let Some(pause) = ledger.pause_of(job, Utc::now()).await? {
        return Err(RunError::paused(job, pause));
    }
    if let Scope::Planned(saved) = request.scope {
        saved.expect_job(request.checked)?;
        if let Some(newer) = origin::newer_cycle(request, ledger).await? {
            return Err(saved.outdated(&newer).into());
        }
    }
    let unfinished = match &request.approver {
        Some(_) => Some(approval::awaiting_approval(request, ledger).await?),
        None => origin::unfinished(request, ledger).await?,
    };
    if unfinished.is_none()
        && let Some(newer) = origin::newer_cycle(request, ledger).await?
    {
        warn!(job = %job, cycle = %request.cycle.cycle().id, newer = %newer.id, "a newer cycle is already written back");
        return Ok(RunReport::nothing_new(request));
    }
    let records = match Records::of(request, ledger).await? {
        Ok(records) => records,
        Err(nothing_to_take) => return Ok(*nothing_to_take),
    };
    let provisional = origin::facts(request, unfinished);
    let extent = origin::extent(request, ledger, &provisional).await?;
    let (mut plans, absent) = on_heap(|| records.plans(request, &provisional, &extent)).await?;
    if request.stop.is_asked() {
        return Err(RunError::Interrupted);
    }
    let facts = origin::begin_or_take_up(request, ledger, provisional, &plans, &records).await?;
    let begun = Begun {
        request,
        ledger,
        progress,
        facts,
        records,
    };
    let work = begun.at_work();
    let finished = begun.work(&mut plans).await;
    let finished = finished.and_then(|report| Ok(report.of_all(absent)?));
    let mut report = work.conclude(finished, &plans).await?;
    begun.records.complete(&mut report, request, work).await?;
    if report.guarded.is_none() {
        work.remove_packages(begun.facts.run);
    }
    Ok(report)
}

/// A run that has begun: new, or taken up where an earlier process left it.
struct Begun<'a> {
    request: &'a RunRequest<'a>,
    ledger: &'a Ledger,
    progress: Arc<dyn Progress>,
    facts: RunFacts,
    records: Records<'a>,
}

impl Begun<'_> {
    fn at_work(&self) -> AtWork<'_> {
        let Begun {
            request,
            ledger,
            progress,
            facts,
            ..
        } = self;
        AtWork {
            project: request.project,
            ledger,
            progress,
            stop: &request.stop,
            facts,
        }
    }

    /// Pulls every package, has guards judge them, then pushes them.
    async fn work(&self, plans: &mut [Plan]) -> Result<RunReport, RunError> {
        for plan in &mut *plans {
            self.records.settle(plan, &self.facts)?;
        }
        let packages = packaging::packages(&self.records, self.at_work(), plans).await?;
        for plan in &mut *plans {
            self.records.remember(plan, self.at_work()).await?;
        }
        let judged = Judged {
            request: self.request,
            work: self.at_work(),
            records: &self.records,
        };
        let objections = judged.objections(&pulled(plans, &packages)).await?;
        if !objections.is_empty() {
            // What lacks a package cannot be approved.
            let failed = packages.into_iter().find_map(Result::err);
            return failed.map_or_else(|| Ok(judged.guarded(plans, objections)), Err);
        }
        let delivered = delivering::deliver(&self.records, self.at_work(), plans, packages);
        let reports = delivered.await?;
        self.report(plans, reports).await
    }

    async fn report(
        &self,
        plans: &[Plan],
        reports: Vec<WriteBackReport>,
    ) -> Result<RunReport, RunError> {
        let folder = run_folder(self.request.project, self.facts.run);
        files::write_rejected(&folder.join("rejected.csv"), self.ledger, self.facts.run).await?;
        Ok(RunReport::delivered(&self.facts, plans, reports, folder))
    }
}

/// Write-backs with the packages that stand for them.
fn pulled<'a>(plans: &'a [Plan], packages: &'a [Result<Packaged, RunError>]) -> Vec<Pulled<'a>> {
    let pulled = |(plan, packaged): (&'a Plan, &'a Result<Packaged, RunError>)| {
        let packaged = packaged.as_ref().ok()?;
        Some(Pulled {
            plan,
            id: packaged.id,
            package: &packaged.package,
        })
    };
    plans.iter().zip(packages).filter_map(pulled).collect()
}
