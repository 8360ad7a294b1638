//! Which records a run takes, and where they come from: what was asked for becomes one of two ways,
//! and every step of a run that differs between them stands here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tracing::info;

use crate::domain::guard::Forecast;
use crate::domain::mapping::RunFacts;
use crate::domain::outcome::Tally;
use crate::ledger::{Ledger, UnfinishedRun, WriteBackId};
use crate::package::Package;
use crate::run::at_work::AtWork;
use crate::run::conflicts::kept;
use crate::run::error::RunError;
use crate::run::pending::{self, Retry};
use crate::run::plan::{self, Absent, Plan, Until};
use crate::run::pull::{Intake, LedgerAccount, PullError};
use crate::run::report::RunReport;
use crate::run::request::{RunRequest, Scope};
use crate::run::saved_plan::SavedPlan;
use crate::run::selection::Selection;
use crate::run::{PushError, pull, run_folder, saved_plan};

/// Which of a job's write-backs a run is of.
pub(super) enum Extent {
    /// All whose destination is there.
    Present,
    All,
    /// Those of these names, as it began.
    Begun(Vec<String>),
}

/// Where a run's records come from.
pub(super) enum Records<'a> {
    /// Pulled from the sources: all, or those of a retry.
    Pulled(Option<Retry>),
    /// As a saved plan has them.
    Saved(&'a SavedPlan),
}

impl<'a> Records<'a> {
    /// The records that are asked for, or the report that there are none.
    /// Errors: `NotSettled`; `TooManyPending`.
    pub(super) async fn of(
        request: &RunRequest<'a>,
        ledger: &Ledger,
    ) -> Result<Result<Self, Box<RunReport>>, RunError> {
        Ok(match request.scope {
            Scope::All => Ok(Self::Pulled(None)),
            Scope::Planned(saved) => Ok(Self::Saved(saved)),
            Scope::OnlyRejected | Scope::Chosen(_) => pending::retry(request, ledger)
                .await?
                .map(|retry| Self::Pulled(Some(retry))),
        })
    }

    /// The latest of the runs whose rejected records these are, if they are only such.
    pub(super) fn retry_of(&self) -> Option<i64> {
        match self {
            Self::Pulled(retry) => retry.as_ref().map(|retry| retry.of),
            Self::Saved(_) => None,
        }
    }

    /// The digest of the saved plan that they are of.
    pub(super) fn plan_digest(&self) -> Option<&str> {
        match self {
            Self::Pulled(_) => None,
            Self::Saved(saved) => Some(saved.digest()),
        }
    }

    /// The job's write-backs met with their objects, and with their sources where records are
    /// pulled. Of several destinations some may be absent.
    pub(super) async fn plans(
        &self,
        request: &RunRequest<'_>,
        facts: &RunFacts,
        extent: &Extent,
    ) -> Result<(Vec<Plan>, Vec<Absent>), RunError> {
        let (project, job) = (request.project, &request.checked.job);
        match self {
            Self::Pulled(retry) => {
                let only = request.write_back;
                let (mut plans, absent) = match extent {
                    Extent::Present => plan::plan_present(project, job, only, facts).await?,
                    Extent::All => {
                        let all = plan::plan_job(project, job, only, facts);
                        (all.await?, Vec::new())
                    }
                    Extent::Begun(names) => {
                        plan::plan_begun(project, job, only, facts, names).await?
                    }
                };
                if let Some(retry) = retry {
                    pending::restrict(&mut plans, retry);
                }
                Ok((plans, absent))
            }
            Self::Saved(saved) => {
                let plans =
                    plan::plan_without_sources(project, job, request.write_back, facts).await?;
                saved.expect_objects(&plans)?;
                Ok((plans, Vec::new()))
            }
        }
    }

    /// Plans again once the run's number is known.
    pub(super) fn settle(&self, plan: &mut Plan, facts: &RunFacts) -> Result<(), RunError> {
        plan.settle(facts)?;
        match self {
            Self::Pulled(_) => {}
            Self::Saved(_) => plan.follow_saved(),
        }
        Ok(())
    }

    /// Makes the packages of write-backs that are pulled at once, each in its folder; returns what
    /// they counted, too. Where references of one cannot be looked up, it has none.
    pub(super) async fn packages(
        &self,
        wanted: Vec<Wanted<'_>>,
        work: AtWork<'_>,
    ) -> Result<Vec<Made>, RunError> {
        let mut packages = Vec::new();
        match self {
            Self::Saved(saved) => {
                for Wanted { plan, id, folder } in wanted {
                    let gathered = saved_plan::package::gather(saved, plan, work, id, &folder);
                    packages.push(Ok(gathered.await?));
                }
            }
            Self::Pulled(retry) => packages.extend(pulled(retry.as_ref(), wanted, work).await?),
        }
        Ok(packages)
    }

    /// Gathers what was last written. What is left alone of a saved plan's records was decided when
    /// they were shown.
    pub(super) async fn remember(&self, plan: &mut Plan, work: AtWork<'_>) -> Result<(), RunError> {
        match self {
            Self::Pulled(retry) => {
                let (until, takes_all) = (Until::Run(work.facts.run), retry.is_none());
                let (project, ledger, job) = (work.project, work.ledger, &work.facts.job);
                plan.remember(project, ledger, job, until).await?;
                let run = work.facts.run;
                Ok(plan.recall(project, ledger, job, run, takes_all).await?)
            }
            Self::Saved(_) => Ok(()),
        }
    }

    /// Keeps what was delivered of a write-back's package, for later runs to compare with.
    pub(super) async fn keep(
        &self,
        plan: &Plan,
        work: AtWork<'_>,
        delivered: (WriteBackId, &Package),
    ) -> Result<(), PushError> {
        match self {
            // What it made is known by the ids of rows.
            Self::Pulled(_) if plan.creation.is_some() => {}
            Self::Pulled(_) => {
                let folder = run_folder(work.project, work.facts.run).join(plan.name());
                let kept = match plan.last_written {
                    Some(_) => kept::values(work.ledger, delivered.0, &folder).await?,
                    None => BTreeSet::new(),
                };
                let mut keys: Vec<String> = kept.into_iter().map(|(key, _)| key).collect();
                keys.dedup();
                let (project, ledger, job) = (work.project, work.ledger, &work.facts.job);
                plan.take_snapshot(project, ledger, job, delivered, &keys)
                    .await;
            }
            // The next run finds that it sent records.
            Self::Saved(_) => {}
        }
        Ok(())
    }

    /// What was shown to become of a write-back's records, if that was shown to a person.
    pub(super) fn forecast(&self, write_back: &str, proven: bool) -> Option<Forecast> {
        match self {
            Self::Pulled(_) => None,
            Self::Saved(saved) => Some(saved.forecast(write_back, proven)),
        }
    }

    /// Adds to the report of a finished run what is told only of such records.
    pub(super) async fn complete(
        &self,
        report: &mut RunReport,
        request: &RunRequest<'_>,
        work: AtWork<'_>,
    ) -> Result<(), RunError> {
        match self {
            Self::Pulled(None) => {}
            Self::Pulled(Some(retry)) => {
                report.retry = Some(pending::report(retry, request, work.ledger).await?);
            }
            Self::Saved(_) if report.guarded.is_some() => {}
            Self::Saved(saved) => {
                let run = work.facts.run;
                let applied = saved_plan::package::applied(saved, work.ledger, run, report).await?;
                report.applied = Some(applied);
            }
        }
        Ok(())
    }
}

/// A package that was made, with what was counted; or why it was not, while others were.
pub(super) type Made = Result<(Package, Tally), PullError>;

/// A write-back whose package is to be made.
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a mut Plan,
    pub(super) id: WriteBackId,
    pub(super) folder: PathBuf,
}

/// Pulls the packages of write-backs of one source at once.
async fn pulled(
    retry: Option<&Retry>,
    mut wanted: Vec<Wanted<'_>>,
    work: AtWork<'_>,
) -> Result<Vec<Made>, RunError> {
    let mut selections = Vec::new();
    for one in &wanted {
        let name = one.plan.name();
        let keys = retry.map(|retry| retry.keys.get(name).cloned().unwrap_or_default());
        selections.push(Selection::of(work.ledger, work.facts, one.plan, keys).await?);
    }
    let intakes = wanted.iter_mut().zip(&mut selections);
    let intakes = intakes.map(|(one, selection)| Intake {
        plan: &mut *one.plan,
        folder: &one.folder,
        selection,
        account: LedgerAccount {
            ledger: work.ledger,
            id: one.id,
        },
    });
    let packages = pull::pull(intakes.collect(), work.progress.as_ref(), work.stop).await?;
    let taken = wanted.iter().zip(&selections).zip(&packages);
    for ((one, selection), _) in taken.filter(|(_, made)| made.is_ok()) {
        end_parking(one, selection, work).await?;
        if retry.is_some() {
            let taken = selection.taken();
            work.ledger.record_retried(one.id, &taken).await?;
        }
    }
    let packages = packages.into_iter();
    let parts = |pulled: pull::PulledPackage| (pulled.package, pulled.tally);
    Ok(packages.map(|pulled| pulled.map(parts)).collect())
}

async fn end_parking(
    Wanted { plan, id, .. }: &Wanted<'_>,
    selection: &Selection,
    work: AtWork<'_>,
) -> Result<(), RunError> {
    let (job, name, ended) = (&work.facts.job, plan.name(), selection.ended());
    if !ended.is_empty() {
        info!(job = %job, run = id.run, write_back = %name, records = ended.len(), "parked records changed and are taken up");
        work.ledger.end_parking(job, name, &ended).await?;
    }
    Ok(())
}

/// Why an unfinished run is not gone on with for the sake of what it takes; `None` if that is what
/// is asked for. Errors: `NotSettled`.
pub(super) fn gives_way(
    scope: Scope<'_>,
    job: &str,
    unfinished: &UnfinishedRun,
) -> Result<Option<&'static str>, RunError> {
    let plan = unfinished.plan.as_deref();
    if unfinished.undo_of.is_some() {
        if let Scope::OnlyRejected | Scope::Chosen(_) = scope {
            pending::refuse(job, unfinished)?;
        }
        return Ok(Some(
            "an undo is taken up only by the same `writeback undo`",
        ));
    }
    Ok(match (scope, plan) {
        (Scope::Planned(saved), Some(digest)) if saved.digest() == digest => None,
        (Scope::Planned(_), None) => Some("a saved plan is applied instead"),
        (Scope::Planned(_) | Scope::All | Scope::OnlyRejected | Scope::Chosen(_), Some(_)) => {
            Some("a saved plan is taken up only by a run of the same plan")
        }
        (Scope::All, None) if unfinished.retry_of.is_some() => {
            Some("all records are taken instead")
        }
        (Scope::All, None) => None,
        (Scope::OnlyRejected | Scope::Chosen(_), None) => {
            pending::refuse(job, unfinished)?;
            None
        }
    })
}
