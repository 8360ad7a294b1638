//! What a run did, or why it did nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::domain::account_calls::AccountCalls;
use crate::domain::guard::Objection;
use crate::domain::mapping::RunFacts;
use crate::domain::outcome::Tally;
use crate::domain::parking::LeftAlone;
use crate::domain::problem::Problem;
use crate::ledger::{PassedCanary, Pending, RunStatus};
use crate::run::plan::{Absent, Plan, PlanError};
use crate::run::request::RunRequest;

/// What one write-back of a run did.
#[derive(Debug)]
pub(crate) struct WriteBackReport {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    pub(crate) elapsed: Duration,
    /// Parked records, of those skipped.
    pub(crate) parked: Vec<LeftAlone>,
    /// By reason: records that were left alone for others than that they are parked.
    pub(crate) left: BTreeMap<String, u64>,
    /// By column: values that were left alone, for someone else had changed them.
    pub(crate) kept: BTreeMap<String, u64>,
    /// Whether no record that was read and not rejected has a row: then nothing can be written, and
    /// the keys are wrong more likely than the rows are missing.
    pub(crate) matched_nothing: bool,
    /// Calls of a web API that were made for its records.
    pub(crate) calls: Option<u64>,
    /// Whether it can be undone.
    pub(crate) keeps_before_images: bool,
    /// What went first of its records, if anything did.
    pub(crate) canary: Option<PassedCanary>,
}

/// Why a run stopped before its first write.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// At least one.
    pub(crate) objections: Vec<Objection>,
    /// Lets the run go ahead.
    pub(crate) approving_command: String,
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

/// What came of a plan, as far as it was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Applied {
    /// Of the plan, hexadecimal.
    pub(crate) sha256: String,
    /// Records whose row no longer held what was shown.
    pub(crate) changed_since: u64,
    /// Records whose row is gone.
    pub(crate) gone: u64,
}

impl Applied {
    /// Whether somebody was faster: not all that was shown is written.
    pub(crate) fn is_partial(&self) -> bool {
        self.changed_since + self.gone > 0
    }
}

/// What delivered a cycle before, so that there was nothing to do.
#[derive(Debug)]
pub(crate) struct EarlierDelivery {
    pub(crate) run: i64,
    /// Records of the job that were rejected and have not landed since.
    pub(crate) pending: Vec<Pending>,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// Absent if there was nothing to run.
    pub(crate) run: Option<i64>,
    pub(crate) job: String,
    pub(crate) cycle: String,
    pub(crate) status: RunStatus,
    /// What did it already, if that is why nothing was run.
    pub(crate) before: Option<EarlierDelivery>,
    /// Why guards stopped it, if they did.
    pub(crate) guarded: Option<Guarded>,
    /// If it took only rejected records.
    pub(crate) retry: Option<RetryReport>,
    /// If it applied a saved plan.
    pub(crate) applied: Option<Applied>,
    pub(crate) write_backs: Vec<WriteBackReport>,
    /// Of web APIs, by connection.
    pub(crate) calls: Vec<AccountCalls>,
    /// Beside the run: where `rejected.csv` and the `outcomes.parquet` files stand.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) warnings: Vec<Problem>,
}

impl RunReport {
    /// There is nothing to run.
    pub(super) fn nothing_new(request: &RunRequest<'_>) -> Self {
        Self {
            run: None,
            job: request.checked.job.name.clone(),
            cycle: request.cycle.cycle().id.clone(),
            status: RunStatus::NothingNew,
            before: None,
            guarded: None,
            retry: None,
            applied: None,
            write_backs: Vec::new(),
            calls: Vec::new(),
            folder: None,
            warnings: Vec::new(),
        }
    }

    /// The cycle is delivered already.
    pub(super) fn delivered_before(request: &RunRequest<'_>, before: EarlierDelivery) -> Self {
        Self {
            before: Some(before),
            ..Self::nothing_new(request)
        }
    }

    /// All write-backs are delivered.
    pub(super) fn delivered(
        facts: &RunFacts,
        plans: &[Plan],
        write_backs: Vec<WriteBackReport>,
        folder: PathBuf,
    ) -> Self {
        let rejected = write_backs.iter().any(|done| done.tally.rejected > 0);
        Self {
            status: if rejected {
                RunStatus::Rejected
            } else {
                RunStatus::Succeeded
            },
            write_backs,
            folder: Some(folder),
            ..Self::of_run(facts, plans)
        }
    }

    /// The report, if nothing is absent of what was to be delivered.
    /// Errors: `Absent`, which tells why destinations were not written to.
    pub(super) fn of_all(self, absent: Vec<Absent>) -> Result<Self, PlanError> {
        match absent.is_empty() || self.guarded.is_some() {
            true => Ok(self),
            false => Err(Absent::error(&absent)),
        }
    }

    /// Guards stopped the run.
    pub(super) fn guarded(facts: &RunFacts, plans: &[Plan], guarded: Guarded) -> Self {
        Self {
            guarded: Some(guarded),
            ..Self::of_run(facts, plans)
        }
    }

    fn of_run(facts: &RunFacts, plans: &[Plan]) -> Self {
        let warnings = plans.iter().flat_map(|plan| plan.warnings.clone());
        Self {
            run: Some(facts.run),
            job: facts.job.clone(),
            cycle: facts.cycle.id.clone(),
            status: RunStatus::Guarded,
            before: None,
            guarded: None,
            retry: None,
            applied: None,
            write_backs: Vec::new(),
            calls: Vec::new(),
            folder: None,
            warnings: warnings.collect(),
        }
    }
}
