//! One run of a job from begin to finish: plan every write-back, pull every package, then push
//! them, then report. Nothing is written to a destination before all of a job's write-backs are
//! planned and pulled.

pub(crate) mod answers;
pub(crate) mod approval;
mod at_work;
mod batch;
mod before_images;
mod canary;
pub(crate) mod conflicts;
mod creating;
mod cut;
mod doubt;
mod ending;
pub(crate) mod error;
pub(crate) mod evidence;
mod files;
mod guards;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod journal;
mod journal_table;
mod key_lines;
mod known;
mod newest;
mod origin;
pub(crate) mod outcomes;
mod own_records;
mod packaged;
pub(crate) mod parking;
pub(crate) mod pending;
pub(crate) mod place;
pub(crate) mod plan;
mod prepared;
pub(crate) mod preview;
pub(crate) mod previewer;
pub(crate) mod progress;
mod pull;
mod push;
mod reached;
mod reader;
pub(crate) mod real_time;
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
pub(crate) mod single_record;
mod snapshot;
pub(crate) mod stop;
mod swap;
pub(crate) mod trial;
pub(crate) mod undo;
pub(crate) mod verify;
mod write;
mod writer;

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use tracing::warn;

use self::at_work::AtWork;
pub(crate) use self::error::RunError;
use self::guards::Judged;
use self::packaged::{Packaged, pulled};
pub(crate) use self::place::run_folder;
use self::plan::Plan;
pub(crate) use self::progress::Progress;
pub(crate) use self::push::error::PushError;
pub(crate) use self::report::{RunReport, WriteBackReport};
pub(crate) use self::request::{RequestedCycle, RunRequest};
use self::resolve::Records;
pub(crate) use self::swap::{ChangedRows, CreatedRows};
use crate::domain::mapping::RunFacts;
use crate::ledger::{Ledger, WriteBackId};
use crate::package::Package;
use crate::run::request::Scope;

/// Carries out a job once.
/// Errors: whatever keeps it from beginning or finishing; rejected records are part of the report.
pub(crate) async fn carry_out(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    progress: Arc<dyn Progress>,
) -> Result<RunReport, RunError> {
    let job = &request.checked.job.name;
    let _lock = ledger.lock_job(job)?;
    if let Some(pause) = ledger.pause_of(job, Utc::now()).await? {
        let (job, pause) = (job.clone(), Box::new(pause));
        return Err(RunError::Paused { job, pause });
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
    let mut plans = records.plans(request, &provisional).await?;
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
        let mut packages = Vec::new();
        for (plan, position) in plans.iter_mut().zip(0..) {
            packages.push(self.package(plan, position).await?);
        }
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
            return Ok(judged.guarded(plans, objections));
        }
        let mut reports = Vec::new();
        for (plan, packaged) in plans.iter().zip(packages) {
            let Packaged {
                id,
                package,
                counted,
                pulling,
            } = packaged;
            let work = self.at_work();
            let delivered = creating::deliver(plan, work, id, &package, (counted, pulling));
            reports.push(delivered.await?);
            self.records.keep(plan, work, (id, &package)).await?;
        }
        self.report(plans, reports).await
    }

    /// The package of a write-back: the one that stands, or a new one.
    async fn package(&self, plan: &mut Plan, position: u32) -> Result<Packaged, RunError> {
        let begun = Instant::now();
        let id = WriteBackId {
            run: self.facts.run,
            position,
        };
        let folder = self.at_work().package_folder(&plan.write_back.name)?;
        let (package, counted) = if self.ledger.progress(id).await?.packaged {
            let package = tokio::task::block_in_place(|| Package::open(&folder))?;
            (package, None)
        } else {
            self.ledger.restart_pull(id).await?;
            let made = self.records.package(plan, self.at_work(), id, &folder);
            let (package, counted) = made.await?;
            self.ledger
                .record_packaged(id, counted.read, &plan.mapped_for())
                .await?;
            (package, Some(counted))
        };
        Ok(Packaged {
            id,
            package,
            counted,
            pulling: begun.elapsed(),
        })
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
