//! Runs that take only records which were rejected before and have not landed since: what they
//! take, and what they are told when there is nothing to take.

use std::collections::{BTreeMap, HashSet};

use super::plan::Plan;
use super::saved_plan::SavedPlan;
use super::{RunError, RunReport, RunRequest, nothing_new};
use crate::ledger::{Ledger, Pending, UnfinishedRun};

/// Records that a retry takes at most: it keeps their keys in memory, and to take more, all records
/// may be taken as well.
const RECORDS_MAX: u64 = 1_000_000;

/// Which records a run takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    All,
    /// Those that were rejected by the latest run of all records and have not landed since.
    OnlyRejected,
    /// Those of a saved plan, with the values that stand there.
    Planned(&'a SavedPlan),
}

/// A run that takes pending records again.
#[derive(Debug)]
pub(super) struct Retry {
    /// The latest of the runs that rejected them.
    pub(super) of: i64,
    /// Match keys by write-back; of each at least one.
    pub(super) keys: BTreeMap<String, HashSet<String>>,
}

/// What a retry leaves.
#[derive(Debug)]
pub(crate) struct RetryReport {
    /// The latest of the runs whose rejected records it took; absent, no run of all records has
    /// finished yet.
    pub(crate) of: Option<i64>,
    /// What is pending after it.
    pub(crate) pending: Vec<Pending>,
}

/// What a retry would take, or the report that there is nothing.
/// Errors: `NotSettled`, if a run of all records stands open; `TooManyPending`.
pub(super) async fn retry(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<Result<Retry, Box<RunReport>>, RunError> {
    let job = &request.checked.job.name;
    if request.approver.is_none()
        && let Some(guarded) = ledger.guarded_run(job).await?
    {
        refuse(job, &guarded)?;
    }
    let pending = pending(request, ledger).await?;
    let mut keys = BTreeMap::new();
    for one in pending.iter().filter(|one| one.records > one.without_key) {
        if one.records > RECORDS_MAX {
            return Err(RunError::TooManyPending {
                job: job.clone(),
                records: one.records,
            });
        }
        keys.insert(
            one.write_back.clone(),
            ledger.pending_keys(job, &one.write_back).await?,
        );
    }
    let of = pending
        .iter()
        .filter(|one| keys.contains_key(&one.write_back))
        .map(|one| one.run)
        .max();
    Ok(match of {
        Some(of) => Ok(Retry { of, keys }),
        None => {
            let of = pending.iter().map(|one| one.run).max();
            Err(Box::new(RunReport {
                retry: Some(RetryReport { of, pending }),
                ..nothing_new(request)
            }))
        }
    })
}

/// Errors: `NotSettled`, if the run, which has not delivered, is one of all records: what it
/// rejects is not known yet.
pub(super) fn refuse(job: &str, open: &UnfinishedRun) -> Result<(), RunError> {
    match open.retry_of.is_some() || open.plan.is_some() {
        true => Ok(()),
        false => Err(RunError::NotSettled {
            job: job.to_owned(),
            run: open.run,
        }),
    }
}

/// What is pending of the write-backs that are asked for and that the job still has.
async fn pending(request: &RunRequest<'_>, ledger: &Ledger) -> Result<Vec<Pending>, RunError> {
    let job = &request.checked.job;
    let asked = |one: &Pending| match request.write_back {
        Some(name) => one.write_back == name,
        None => job
            .write_backs
            .iter()
            .any(|write_back| write_back.name == one.write_back),
    };
    let mut pending = ledger.pending(&job.name).await?;
    pending.retain(asked);
    Ok(pending)
}

/// What a retry leaves when it is done.
pub(super) async fn report(
    retry: &Retry,
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<RetryReport, RunError> {
    Ok(RetryReport {
        of: Some(retry.of),
        pending: pending(request, ledger).await?,
    })
}

/// Leaves only the write-backs that a retry has records of, with guards that suit so few. Nothing
/// of them goes first: they were rejected before, and that some are again is nothing to stop for.
pub(super) fn restrict(plans: &mut Vec<Plan>, retry: &Retry) {
    plans.retain(|plan| retry.keys.contains_key(&plan.write_back.name));
    for plan in plans {
        plan.write_back.guards = plan.write_back.guards.of_some_records();
        plan.write_back.canary = None;
    }
}
