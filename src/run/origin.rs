//! How a run comes to be: new, or an interrupted one taken up where it stood.

use chrono::Utc;
use tracing::{info, warn};

use crate::domain::cycle::Cycle;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::ledger::{
    Ledger, LedgerError, NewRun, RunStatus, UnfinishedRun, Versioned, WriteBackId,
};
use crate::run::error::RunError;
use crate::run::plan::{self, Plan};
use crate::run::prepared;
use crate::run::request::{Redelivery, RunRequest};
use crate::run::resolve::{self, Extent, Records};

/// A newer cycle than the one that is asked for, if the job has begun one.
pub(super) async fn newer_cycle(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<Option<Cycle>, LedgerError> {
    let job = &request.checked.job;
    let newest = ledger
        .newest_begun_cycle(&job.name, job.dashboard(), Utc::now())
        .await?;
    Ok(newest.filter(|newest| request.cycle.is_older_than(newest)))
}

/// The run that delivered the cycle before, if it is not to be delivered again.
pub(super) async fn delivered_by(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<Option<i64>, RunError> {
    let (job, cycle) = (&request.checked.job, &request.cycle.cycle().id);
    Ok(match request.repeat {
        Redelivery::Always => None,
        Redelivery::IfNew => {
            let chosen = plan::choose(job, request.write_back)?.into_iter();
            let versions: Vec<_> = chosen.map(Versioned::of).collect();
            ledger.delivered_by(&job.name, cycle, &versions).await?
        }
        Redelivery::Never => ledger.whole_delivery(&job.name, cycle).await?,
    })
}

/// What is known of the run before it is begun or taken up.
pub(super) fn facts(request: &RunRequest<'_>, unfinished: Option<UnfinishedRun>) -> RunFacts {
    let (run, cycle, started_at) = match unfinished {
        Some(unfinished) => (unfinished.run, unfinished.cycle, unfinished.started_at),
        None => (NO_RUN, request.cycle.cycle().clone(), Utc::now()),
    };
    RunFacts {
        run,
        job: request.checked.job.name.clone(),
        cycle,
        started_at,
    }
}

/// Which write-backs a run is of. One that a person approves is of those that it began with, for
/// these are what they looked at; any other that is taken up is of all.
pub(super) async fn extent(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    facts: &RunFacts,
) -> Result<Extent, LedgerError> {
    if facts.run == NO_RUN {
        return Ok(Extent::Present);
    }
    if request.approver.is_none() && !ledger.is_approved(facts.run).await? {
        return Ok(Extent::All);
    }
    begun_with(ledger, facts.run).await
}

/// The write-backs that a run began with.
pub(super) async fn begun_with(ledger: &Ledger, run: i64) -> Result<Extent, LedgerError> {
    let begun = ledger.run(run).await?.write_backs.into_iter();
    Ok(Extent::Begun(
        begun.map(|write_back| write_back.name).collect(),
    ))
}

/// A killed or stopped run of the same job and the same files, if there is one to go on with. One
/// that cannot be taken up is closed, and said so.
pub(super) async fn unfinished(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<Option<UnfinishedRun>, RunError> {
    let job = &request.checked.job;
    let Some(unfinished) = ledger.unfinished_run(&job.name).await? else {
        return Ok(None);
    };
    let is_old = request.cycle.leaves_behind(&unfinished.cycle, Utc::now());
    let why = match resolve::gives_way(request.scope, &job.name, &unfinished)? {
        Some(why) => why,
        None if unfinished.job_digest != request.digest() => {
            "the job was changed before it could be taken up"
        }
        None => match is_old {
            Some(why) => why,
            None => return Ok(Some(unfinished)),
        },
    };
    leave_behind(ledger, &job.name, unfinished.run, why).await?;
    Ok(None)
}

/// Closes an unfinished run that cannot be taken up, and says so.
pub(super) async fn leave_behind(
    ledger: &Ledger,
    job: &str,
    run: i64,
    why: &str,
) -> Result<(), LedgerError> {
    warn!(
        job,
        run, why, "an unfinished run is left behind; the job begins anew"
    );
    let before = ledger
        .run(run)
        .await?
        .error
        .unwrap_or_else(|| "interrupted".to_owned());
    ledger
        .finish_run(run, RunStatus::Failed, Some(&format!("{before}; {why}")))
        .await
}

/// Why a package of an unfinished run is no longer to be written: its object was altered after the
/// records were mapped for it, or its connection leads elsewhere by now. `None` if all may be.
async fn why_unfit(
    ledger: &Ledger,
    run: i64,
    plans: &[Plan],
) -> Result<Option<String>, LedgerError> {
    let begun = ledger.run(run).await?.write_backs;
    let begun = begun.iter().map(|write_back| write_back.name.as_str());
    if !begun.eq(plans.iter().map(Plan::name)) {
        let why = "not all of its destinations could be connected to when it began";
        return Ok(Some(why.to_owned()));
    }
    for (plan, position) in plans.iter().zip(0..) {
        let progress = ledger.progress(WriteBackId { run, position }).await?;
        let prepared = progress.layout.filter(|_| progress.packaged);
        let why = prepared.and_then(|prepared| {
            prepared::why_unfit(&prepared, &plan.layout, &plan.home, &plan.destination.name)
        });
        if why.is_some() {
            return Ok(why);
        }
    }
    Ok(None)
}

/// Enters the run into the ledger. It is taken up only now, when everything is known to be in
/// order: until then history says how it ended before.
pub(super) async fn begin_or_take_up(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    facts: RunFacts,
    plans: &[Plan],
    records: &Records<'_>,
) -> Result<RunFacts, LedgerError> {
    if facts.run == NO_RUN {
        return begin(request, ledger, facts, plans, records).await;
    }
    if let Some(why) = why_unfit(ledger, facts.run, plans).await? {
        leave_behind(ledger, &facts.job, facts.run, &why).await?;
        // The cycle that is owed; a run that makes its own makes it of the time it pulls at.
        let cycle = [request.cycle.cycle(), &facts.cycle]
            .into_iter()
            .max_by_key(|cycle| cycle.completed_at);
        let cycle = cycle.unwrap_or(&facts.cycle).clone();
        let facts = RunFacts {
            run: NO_RUN,
            cycle,
            started_at: Utc::now(),
            ..facts
        };
        return begin(request, ledger, facts, plans, records).await;
    }
    warn!(job = %facts.job, run = facts.run, cycle = %facts.cycle.id, "taking up an unfinished run where it stood");
    match &request.approver {
        Some(approver) => {
            let (name, reason) = (approver.name.as_deref(), approver.reason.as_deref());
            ledger.approve_run(facts.run, name, reason).await?;
        }
        None => ledger.take_up_run(facts.run).await?,
    }
    Ok(facts)
}

async fn begin(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    facts: RunFacts,
    plans: &[Plan],
    records: &Records<'_>,
) -> Result<RunFacts, LedgerError> {
    let new_run = NewRun {
        job: &facts.job,
        cycle: &facts.cycle,
        started_at: facts.started_at,
        write_backs: plans.iter().map(Plan::name).collect(),
        versions: plans.iter().map(Plan::version).collect(),
        of_records: false,
        job_digest: &request.digest(),
        write_back: request.only_write_back(),
        retry_of: records.retry_of(),
        undo_of: None,
        plan: records.plan_digest(),
    };
    let run = ledger.begin_run(&new_run).await?;
    info!(job = %facts.job, run, cycle = %facts.cycle.id, "run begins");
    Ok(RunFacts { run, ..facts })
}
