//! Runs that take only records which were rejected before and have not landed since: what they
//! take, and what they are told when there is nothing to take.

use std::collections::{BTreeMap, HashSet};

use crate::domain::job::WriteBack;
use crate::ledger::{Ledger, LedgerError, Pending, UnfinishedRun};
use crate::run::plan::Plan;
use crate::run::report::{RetryReport, RunReport};
use crate::run::request::RunRequest;

/// Why rejected records cannot be taken again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetryError {
    /// Rejected records were to be taken again while a run of all records is not done with.
    #[error("run {run} of job `{job}` is not done: what it rejects is not known yet")]
    NotSettled { job: String, run: i64 },
    #[error("{records} rejected records of job `{job}` are pending, too many to be taken alone")]
    TooManyPending { job: String, records: u64 },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl RetryError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotSettled { job, .. } => Some(format!("`writeback run {job}` comes first")),
            Self::TooManyPending { job, .. } => {
                Some(format!("`writeback run {job}` takes all records"))
            }
            Self::Ledger(error) => error.hint(),
        }
    }
}

/// Records that a retry takes at most: it keeps their keys in memory, and to take more, all records
/// may be taken as well.
const RECORDS_MAX: u64 = 1_000_000;

/// A run that takes pending records again.
#[derive(Debug)]
pub(super) struct Retry {
    /// The latest of the runs that rejected them.
    pub(super) of: i64,
    /// Match keys by write-back; of each at least one.
    pub(super) keys: BTreeMap<String, HashSet<String>>,
}

/// Names of steps, each with the next of the same write-back, in their order: what is taken again
/// of one goes on through the others.
fn following_steps(write_backs: &[WriteBack]) -> Vec<(String, String)> {
    let of = |write_back: &WriteBack| Some(write_back.creation.as_ref()?.of.clone());
    let pairs = write_backs.iter().zip(write_backs.iter().skip(1));
    pairs
        .filter(|(earlier, later)| of(earlier).is_some() && of(earlier) == of(later))
        .map(|(earlier, later)| (earlier.name.clone(), later.name.clone()))
        .collect()
}

/// What a retry would take, or the report that there is nothing.
/// Errors: `NotSettled`, if a run of all records stands open; `TooManyPending`.
pub(super) async fn retry(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<Result<Retry, Box<RunReport>>, RetryError> {
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
            return Err(RetryError::TooManyPending {
                job: job.clone(),
                records: one.records,
            });
        }
        keys.insert(
            one.write_back.clone(),
            ledger.pending_keys(job, &one.write_back).await?,
        );
    }
    let write_backs = &request.checked.job.write_backs;
    for (earlier, later) in following_steps(write_backs) {
        let taken: Vec<String> = keys.get(&earlier).into_iter().flatten().cloned().collect();
        if !taken.is_empty() {
            keys.entry(later).or_default().extend(taken);
        }
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
                ..RunReport::nothing_new(request)
            }))
        }
    })
}

/// Errors: `NotSettled`, if the run, which has not delivered, is one of all records: what it
/// rejects is not known yet.
pub(super) fn refuse(job: &str, open: &UnfinishedRun) -> Result<(), RetryError> {
    match open.retry_of.is_some() || open.plan.is_some() {
        true => Ok(()),
        false => Err(RetryError::NotSettled {
            job: job.to_owned(),
            run: open.run,
        }),
    }
}

/// What is pending of the write-backs that are asked for and that the job still has.
async fn pending(request: &RunRequest<'_>, ledger: &Ledger) -> Result<Vec<Pending>, RetryError> {
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
) -> Result<RetryReport, RetryError> {
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
