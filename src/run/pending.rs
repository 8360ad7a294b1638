//! Runs that take only records which were rejected before and have not landed since: what they
//! take, and what they are told when there is nothing to take.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::domain::job::WriteBack;
use crate::domain::outcome::Stage;
use crate::ledger::{
    Ledger, LedgerError, Pending, RejectedWanted, RetryWish, UnfinishedRun, WriteBackId,
};
use crate::run::plan::Plan;
use crate::run::report::{RetryReport, RunReport};
use crate::run::request::{ChosenRecords, RunRequest, Scope};

/// Why rejected records cannot be taken again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetryError {
    /// Rejected records were to be taken again while a run of all records is not done with.
    #[error("run {run} of job `{job}` is not done: what it rejects is not known yet")]
    NotSettled { job: String, run: i64 },
    #[error("{records} rejected records of job `{job}` are pending, too many to be taken alone")]
    TooManyPending { job: String, records: u64 },
    #[error("record `{key}` of job `{job}` was not rejected, or has landed since")]
    NotPending { job: String, key: String },
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
            Self::NotPending { job, .. } => Some(format!(
                "`writeback status {job}` tells which run rejected how many; its `rejected.csv` has their keys"
            )),
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
    if let Scope::Chosen(chosen) = request.scope {
        keep_chosen(&mut keys, chosen, job)?;
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

/// Rejected records of a run's write-back that are pending and like what was asked for.
pub(crate) async fn choose(
    ledger: &Ledger,
    run: i64,
    write_back: &str,
    like: &RetryWish,
) -> Result<ChosenRecords, LedgerError> {
    let entry = ledger.run(run).await?;
    let mut positions = (0..).zip(&entry.write_backs);
    let found = positions.find(|(_, one)| one.name == write_back);
    let Some((position, _)) = found else {
        return Ok(ChosenRecords::new(BTreeSet::new()));
    };
    let wanted = RejectedWanted {
        stage: Stage::ALL
            .into_iter()
            .find(|stage| Some(stage.name()) == like.stage.as_deref()),
        column: like.column.as_deref(),
        reason: like.reason.as_deref(),
        text: like.text.as_deref(),
    };
    let keys = ledger
        .rejected_keys(WriteBackId { run, position }, wanted)
        .await?;
    let pending = ledger.pending_keys(&entry.job, write_back).await?;
    let chosen = keys.into_iter().filter(|key| pending.contains(key));
    Ok(ChosenRecords::new(chosen.collect()))
}

/// Leaves only keys that were chosen. Errors: `NotPending`.
fn keep_chosen(
    keys: &mut BTreeMap<String, HashSet<String>>,
    chosen: &ChosenRecords,
    job: &str,
) -> Result<(), RetryError> {
    let is_pending = |key: &&String| keys.values().any(|pending| pending.contains(*key));
    if let Some(key) = chosen.keys().iter().find(|key| !is_pending(key)) {
        return Err(RetryError::NotPending {
            job: job.to_owned(),
            key: key.clone(),
        });
    }
    for pending in keys.values_mut() {
        pending.retain(|key| chosen.keys().contains(key));
    }
    keys.retain(|_, pending| !pending.is_empty());
    Ok(())
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
    let asked = |one: &Pending| {
        let mut own = job.write_backs.iter();
        let own = own.find(|own| own.name == one.write_back);
        own.is_some_and(|own| request.write_back.is_none_or(|name| own.is_called(name)))
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
