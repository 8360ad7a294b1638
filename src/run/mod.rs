//! One run of a job from begin to finish: plan every write-back, pull every package, then push
//! them, then report. Nothing is written to a destination before all of a job's write-backs are
//! planned and pulled.

mod at_work;
mod batch;
mod canary;
pub(crate) mod conflicts;
mod cut;
mod doubt;
mod files;
pub(crate) mod guards;
pub(crate) mod history;
mod images;
pub(crate) mod journal;
mod journal_table;
mod newest;
mod outcomes;
pub(crate) mod pending;
pub(crate) mod plan;
mod prepared;
pub(crate) mod preview;
mod pull;
mod push;
mod reached;
mod reader;
mod retry;
mod rounds;
pub(crate) mod saved_plan;
pub(crate) mod selection;
pub(crate) mod single_record;
pub(crate) mod stop;
mod swap;
pub(crate) mod undo;
pub(crate) mod verify;
mod write;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use self::at_work::AtWork;
use self::conflicts::kept::{self, KEPT_CSV};
use self::conflicts::last_written::LastWrittenError;
use self::files::ReportError;
use self::guards::{Approver, Pulled};
use self::images::ImageError;
use self::pending::{Retry, RetryReport, Scope};
use self::saved_plan::{Applied, SavedPlanError};
use self::selection::Selection;
pub(crate) use self::swap::{ChangedRows, CreatedRows};
use crate::config::{CheckedJob, Project};
use crate::domain::canary::{self as canaries, Trouble};
use crate::domain::cycle::Cycle;
use crate::domain::error::SystemError;
use crate::domain::guard::Objection;
use crate::domain::job::WriteBack;
use crate::domain::mapping::RunFacts;
use crate::domain::outcome::Tally;
use crate::domain::parking::LeftAlone;
use crate::domain::problem::Problem;
use crate::ledger::{
    Ledger, LedgerError, NewRun, PassedCanary, RunStatus, UnfinishedRun, WriteBackId,
};
use crate::package::{Package, PackageError};
use crate::run::plan::{Plan, Until};
use crate::run::reader::ReadError;
use crate::run::stop::Stop;
use crate::state;

/// Why a run could not begin or finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Mistakes in the project's files, or systems that could not be asked.
    #[error("job `{job}` has {count}", count = counted(problems.len(), "problem"))]
    Problems { job: String, problems: Vec<Problem> },
    #[error("could not read `{write_back}` from `{connection}`")]
    Pull {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error("could not write `{write_back}` to `{connection}`")]
    Push {
        write_back: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Images(#[from] ImageError),
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
    #[error(transparent)]
    LastWritten(#[from] LastWrittenError),
    /// The sums do not balance: a defect of this program, never hidden.
    #[error(
        "the outcomes of `{write_back}` do not add up: {counted} were counted, the ledger says {ledger}"
    )]
    Unbalanced {
        write_back: String,
        counted: Box<Tally>,
        ledger: Box<Tally>,
    },
    /// The object was altered between an interrupted run and its resumption.
    #[error("`{object}` no longer takes the values that run {run} prepared for it")]
    ObjectChanged { object: String, run: i64 },
    #[error("there is no write-back `{name}` in job `{job}`")]
    NoSuchWriteBack {
        name: String,
        job: String,
        known: Vec<String>,
    },
    /// A run was to be approved that no guard stopped, or that is no longer what it was.
    #[error("job `{job}` has nothing to approve: {why}")]
    NothingToApprove {
        job: String,
        why: String,
        hint: String,
    },
    /// Rejected records were to be taken again while a run of all records is not done with.
    #[error("run {run} of job `{job}` is not done: what it rejects is not known yet")]
    NotSettled { job: String, run: i64 },
    #[error("{records} rejected records of job `{job}` are pending, too many to be taken alone")]
    TooManyPending { job: String, records: u64 },
    #[error("run {run} wrote nothing that could be undone")]
    NothingToUndo { run: i64 },
    #[error("run {run} cannot be undone: there are no before-images of `{write_back}`, for {why}")]
    NoBeforeImages {
        run: i64,
        write_back: String,
        why: String,
    },
    #[error("run {run} did not write record `{key}`")]
    NotWritten { run: i64, key: String },
    /// An object that a run wrote to is to be met again.
    #[error("could not describe `{object}` of `{connection}`")]
    Undescribed {
        object: String,
        connection: String,
        source: Box<SystemError>,
    },
    /// What went first is not as it should be, at least one thing; the rest was not sent.
    #[error(
        "the canary of `{write_back}` is in trouble: {}",
        canaries::told(troubles)
    )]
    Canary {
        write_back: String,
        troubles: Vec<Trouble>,
        created: bool,
        keeps_before_images: bool,
    },
    #[error("a worker stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
    #[error("it was asked to stop")]
    Interrupted,
    /// A run that began and did not finish, and why.
    #[error("run {run} of job `{job}` stopped after {}", counted_batches(*batches))]
    Unfinished {
        run: i64,
        job: String,
        batches: u64,
        way_on: WayOn,
        source: Box<RunError>,
    },
}

impl RunError {
    /// The mistakes it stands for, if it stands for mistakes in the project's files.
    pub(crate) fn into_problems(self) -> Result<Vec<Problem>, Self> {
        if let Self::Problems { problems, .. } = self {
            Ok(problems)
        } else {
            Err(self)
        }
    }

    /// As [`RunError::into_problems`]; none if it stands for something else.
    pub(crate) fn problems(&self) -> &[Problem] {
        if let Self::Problems { problems, .. } = self {
            problems
        } else {
            &[]
        }
    }

    /// The run that did not finish, if one began.
    pub(crate) fn run(&self) -> Option<i64> {
        if let Self::Unfinished { run, .. } = self {
            Some(*run)
        } else {
            None
        }
    }

    /// Whether nothing is wrong: somebody asked the run to stop.
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Unfinished { source, .. } => source.is_interruption(),
            Self::Problems { .. }
            | Self::Pull { .. }
            | Self::Push { .. }
            | Self::Ledger(_)
            | Self::Package(_)
            | Self::Report(_)
            | Self::Images(_)
            | Self::SavedPlan(_)
            | Self::LastWritten(_)
            | Self::Unbalanced { .. }
            | Self::ObjectChanged { .. }
            | Self::NoSuchWriteBack { .. }
            | Self::NothingToApprove { .. }
            | Self::NotSettled { .. }
            | Self::TooManyPending { .. }
            | Self::NothingToUndo { .. }
            | Self::NoBeforeImages { .. }
            | Self::NotWritten { .. }
            | Self::Undescribed { .. }
            | Self::Canary { .. }
            | Self::Worker(_) => false,
        }
    }

    /// Whether it is for a person to say how to go on, and the run said so in the ledger.
    pub(crate) fn gave_up(&self) -> bool {
        if let Self::Unfinished { source, .. } = self {
            matches!(**source, Self::Canary { .. })
        } else {
            false
        }
    }

    /// Whether a run that ended so can be taken up, given that its packages stand: they are not to
    /// blame.
    fn leaves_packages_usable(&self) -> bool {
        match self {
            // Records that were made to fit what the object no longer is are to be made anew.
            Self::Push { source, .. } => !matches!(**source, SystemError::Altered { .. }),
            Self::Ledger(_) | Self::Images(_) | Self::LastWritten(_) | Self::Worker(_) | Self::Interrupted => true,
            Self::Report(error) => error.leaves_packages_usable(),
            Self::Package(error) => error.leaves_package_usable(),
            Self::Problems { .. }
            | Self::Pull { .. }
            | Self::SavedPlan(_)
            | Self::Unbalanced { .. }
            | Self::ObjectChanged { .. }
            | Self::NoSuchWriteBack { .. }
            | Self::NothingToApprove { .. }
            | Self::NotSettled { .. }
            | Self::TooManyPending { .. }
            | Self::NothingToUndo { .. }
            | Self::NoBeforeImages { .. }
            | Self::NotWritten { .. }
            | Self::Undescribed { .. }
            // A later run sends a canary of its own.
            | Self::Canary { .. }
            | Self::Unfinished { .. } => false,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Pull { source, .. }
            | Self::Push { source, .. }
            | Self::Undescribed { source, .. } => source.hint(),
            Self::NotWritten { .. } => {
                Some("`outcomes.parquet` beside the run lists the keys of all it wrote".to_owned())
            }
            Self::NoSuchWriteBack { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::NothingToApprove { hint, .. } => Some(hint.clone()),
            Self::NotSettled { job, .. } => Some(format!("`writeback run {job}` comes first")),
            Self::TooManyPending { job, .. } => {
                Some(format!("`writeback run {job}` takes all records"))
            }
            Self::Unbalanced { .. } => {
                Some("please report this with the run's ledger; nothing was hidden".to_owned())
            }
            Self::ObjectChanged { .. } => Some("run again: the records are pulled anew".to_owned()),
            Self::Ledger(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Images(error) => error.hint(),
            Self::SavedPlan(error) => error.hint(),
            Self::LastWritten(error) => error.hint(),
            Self::Canary {
                keeps_before_images,
                ..
            } => {
                let nothing = "; no before-images were kept, so nothing takes it back";
                let undo = if *keeps_before_images { "" } else { nothing };
                Some(format!(
                    "see to the cause, then run again: a new run sends a new canary{undo}"
                ))
            }
            Self::Unfinished { source, .. } => {
                let hints: Vec<String> = source.hint().into_iter().chain(self.going_on()).collect();
                (!hints.is_empty()).then(|| hints.join("; "))
            }
            Self::Problems { .. }
            | Self::Worker(_)
            | Self::Interrupted
            | Self::NothingToUndo { .. }
            | Self::NoBeforeImages { .. } => None,
        }
    }
}

impl From<ReadError> for RunError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed {
                write_back,
                connection,
                source,
            } => Self::Push {
                write_back,
                connection,
                source,
            },
            ReadError::Interrupted => Self::Interrupted,
        }
    }
}

impl RunError {
    /// How an unfinished run is gone on with, and how what it wrote is taken back.
    fn going_on(&self) -> Vec<String> {
        let Self::Unfinished {
            run,
            job,
            way_on:
                WayOn {
                    resumable,
                    undo_of,
                    of_plan,
                    has_images,
                },
            source,
            ..
        } = self
        else {
            return Vec::new();
        };
        let going_on = match undo_of {
            _ if !resumable => None,
            Some(undone) => Some(format!(
                "the same `writeback undo {undone}` goes on where it stood"
            )),
            None if *of_plan => Some(format!(
                "the same `writeback run {job} --plan FILE` goes on where it stood"
            )),
            None => Some("the next run goes on where it stood".to_owned()),
        };
        let undo = (undo_of.is_none() && *has_images).then(|| {
            let Self::Canary { write_back, troubles, created, .. } = &**source else {
                return format!("`writeback undo {run}` takes back what it wrote");
            };
            let altered = troubles.iter().any(|trouble| matches!(trouble, Trouble::Altered { .. }));
            let changed = if altered { " --even-changed" } else { "" };
            let created = if *created { " --delete-created" } else { "" };
            format!("`writeback undo {run} --write-back {write_back}{changed}{created}` takes the canary back")
        });
        going_on.into_iter().chain(undo).collect()
    }
}

/// What can be done about a run that did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WayOn {
    pub(crate) resumable: bool,
    /// The run that it was taking back, if it is an undo.
    pub(crate) undo_of: Option<i64>,
    /// Whether it was applying a saved plan.
    pub(crate) of_plan: bool,
    /// Whether it wrote records and kept what their rows held.
    pub(crate) has_images: bool,
}

/// `2 problems`, `1 record`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// `1 batch`, `2 batches`.
pub(crate) fn counted_batches(batches: u64) -> String {
    if batches == 1 {
        "1 batch".to_owned()
    } else {
        format!("{batches} batches")
    }
}

/// What a run tells while it works. Called from several threads.
pub(crate) trait Progress: Send + Sync {
    /// `records` have been read of a write-back so far.
    fn pulled(&self, write_back: &str, records: u64);
    /// Its records are about to be pushed: `records` of them.
    fn push_begins(&self, write_back: &str, records: u64);
    /// `records` more have an outcome.
    fn pushed(&self, write_back: &str, records: u64);
    fn push_ends(&self, write_back: &str);
}

/// What to run.
#[derive(Debug)]
pub(crate) struct RunRequest<'a> {
    pub(crate) project: &'a Project,
    pub(crate) checked: &'a CheckedJob,
    pub(crate) cycle: RequestedCycle,
    pub(crate) scope: Scope<'a>,
    /// Only this one of the job's write-backs.
    pub(crate) write_back: Option<&'a str>,
    /// Who approves the run that guards stopped; nobody, and it is judged as any other.
    pub(crate) approver: Option<Approver>,
    pub(crate) stop: Stop,
}

impl RunRequest<'_> {
    /// The write-back it is restricted to, if the job has others.
    fn only_write_back(&self) -> Option<&str> {
        self.write_back
            .filter(|_| self.checked.job.write_backs.len() > 1)
    }
}

/// The cycle a run is to write back.
#[derive(Debug, Clone)]
pub(crate) enum RequestedCycle {
    /// One that a dashboard finished or the user named.
    Given(Cycle),
    /// One of the run's own, as nothing says which cycle the source is at.
    Own(Cycle),
}

impl RequestedCycle {
    pub(crate) fn cycle(&self) -> &Cycle {
        match self {
            Self::Given(cycle) | Self::Own(cycle) => cycle,
        }
    }

    /// Whether the job has begun a newer one.
    fn is_older_than(&self, newest: &Cycle) -> bool {
        match self {
            Self::Given(cycle) => cycle.id != newest.id && cycle.completed_at < newest.completed_at,
            // It is of this moment, whatever the clock was set to before.
            Self::Own(_) => false,
        }
    }

    /// Why an unfinished run is not gone on with: its records are no longer those to write.
    fn leaves_behind(&self, unfinished: &Cycle, now: DateTime<Utc>) -> Option<&'static str> {
        match self {
            Self::Given(cycle) => {
                // What completed later than now did so by a clock that was ahead, and is not newer.
                let is_newer =
                    cycle.completed_at > unfinished.completed_at || unfinished.completed_at > now;
                (cycle.id != unfinished.id && is_newer)
                    .then_some("a newer cycle finished before it could be taken up")
            }
            Self::Own(cycle) => ((cycle.completed_at - unfinished.completed_at).abs()
                > UNFINISHED_AGE_MAX)
                .then_some("it is more than a day old, and no dashboard vouches for its records"),
        }
    }
}

/// How old an unfinished run of a job without a dashboard may be to be gone on with: nothing tells
/// whether its source has newer records by now, and after a day it likely has.
const UNFINISHED_AGE_MAX: TimeDelta = TimeDelta::days(1);

/// Parked records that a report names: people park them one by one.
pub(crate) const LEFT_ALONE_MAX: u32 = 1_000;

/// What one write-back of a run did.
#[derive(Debug)]
pub(crate) struct WriteBackReport {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    pub(crate) elapsed: Duration,
    /// Parked records, of those skipped.
    pub(crate) parked: Vec<LeftAlone>,
    /// By column: values that were left alone, for someone else had changed them.
    pub(crate) kept: BTreeMap<String, u64>,
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

/// What a run did.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// Absent if there was nothing to run.
    pub(crate) run: Option<i64>,
    pub(crate) job: String,
    pub(crate) cycle: String,
    pub(crate) status: RunStatus,
    /// Why guards stopped it, if they did.
    pub(crate) guarded: Option<Guarded>,
    /// If it took only rejected records.
    pub(crate) retry: Option<RetryReport>,
    /// If it applied a saved plan.
    pub(crate) applied: Option<Applied>,
    pub(crate) write_backs: Vec<WriteBackReport>,
    /// Beside the run: where `rejected.csv` and the `outcomes.parquet` files stand.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) warnings: Vec<Problem>,
}

/// Where a run's package and reports stand.
pub(crate) fn run_folder(project: &Project, run: i64) -> PathBuf {
    project.state_folder().join("runs").join(run.to_string())
}

/// A run that has begun: new, or taken up where an earlier process left it.
struct Begun<'a> {
    request: &'a RunRequest<'a>,
    ledger: &'a Ledger,
    progress: std::sync::Arc<dyn Progress>,
    facts: RunFacts,
    /// Absent if it takes all records.
    retry: Option<Retry>,
}

/// Carries out a job once.
/// Errors: whatever keeps it from beginning or finishing; rejected records are part of the report.
pub(crate) async fn carry_out(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    progress: std::sync::Arc<dyn Progress>,
) -> Result<RunReport, RunError> {
    let job = &request.checked.job;
    let _lock = ledger.lock_job(&job.name)?;
    if let Scope::Planned(saved) = request.scope {
        saved.expect_job(request.checked)?;
        if let Some(newest) = ledger
            .newest_begun_cycle(&job.name, job.dashboard(), Utc::now())
            .await?
            && request.cycle.is_older_than(&newest)
        {
            return Err(saved.outdated(&newest).into());
        }
    }
    let unfinished = match &request.approver {
        Some(_) => Some(guards::awaiting_approval(request, ledger).await?),
        None => unfinished(request, ledger).await?,
    };
    if unfinished.is_none()
        && let Some(newest) = ledger
            .newest_begun_cycle(&job.name, job.dashboard(), Utc::now())
            .await?
        && request.cycle.is_older_than(&newest)
    {
        warn!(job = %job.name, cycle = %request.cycle.cycle().id, newer = %newest.id, "a newer cycle is already written back");
        return Ok(nothing_new(request));
    }
    let retry = match request.scope {
        Scope::All | Scope::Planned(_) => None,
        Scope::OnlyRejected => match pending::retry(request, ledger).await? {
            Ok(retry) => Some(retry),
            Err(nothing_to_take) => return Ok(*nothing_to_take),
        },
    };
    let provisional = unfinished.map_or_else(
        || new_facts(request),
        |unfinished| earlier_facts(request, unfinished),
    );
    let mut plans = plans(request, &provisional).await?;
    if let Some(retry) = &retry {
        pending::restrict(&mut plans, retry);
    }
    if request.stop.is_asked() {
        return Err(RunError::Interrupted);
    }
    let retry_of = retry.as_ref().map(|retry| retry.of);
    let facts = begin_or_take_up(request, ledger, provisional, &plans, retry_of).await?;
    let begun = Begun {
        request,
        ledger,
        progress,
        facts,
        retry,
    };
    let finished = begun.work(&mut plans).await;
    let mut report = begun.conclude(finished, &plans).await?;
    if let Some(retry) = &begun.retry {
        report.retry = Some(pending::report(retry, request, ledger).await?);
    }
    if let Scope::Planned(saved) = request.scope
        && report.guarded.is_none()
    {
        report.applied = Some(saved_plan::applied(saved, ledger, begun.facts.run, &report).await?);
    }
    if report.guarded.is_none() {
        begun.at_work().remove_packages(begun.facts.run);
    }
    Ok(report)
}

/// A killed or stopped run of the same job and the same files, if there is one to go on with. One
/// that cannot be taken up is closed, and said so.
async fn unfinished(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<Option<UnfinishedRun>, RunError> {
    let job = &request.checked.job;
    let Some(unfinished) = ledger.unfinished_run(&job.name).await? else {
        return Ok(None);
    };
    if let Scope::OnlyRejected = request.scope {
        pending::refuse(&job.name, &unfinished)?;
    }
    let why = match request.cycle.leaves_behind(&unfinished.cycle, Utc::now()) {
        _ if unfinished.undo_of.is_some() => {
            "an undo is taken up only by the same `writeback undo`"
        }
        _ if unfinished.plan.is_some() && unfinished.plan.as_deref() != planned(request) => {
            "a saved plan is taken up only by a run of the same plan"
        }
        _ if unfinished.plan.is_none() && planned(request).is_some() => {
            "a saved plan is applied instead"
        }
        _ if unfinished.retry_of.is_some() && matches!(request.scope, Scope::All) => {
            "all records are taken instead"
        }
        _ if unfinished.job_digest != digest(request) => {
            "the job was changed before it could be taken up"
        }
        Some(why) => why,
        None => return Ok(Some(unfinished)),
    };
    leave_behind(ledger, &job.name, unfinished.run, why).await?;
    Ok(None)
}

/// Closes an unfinished run that cannot be taken up, and says so.
async fn leave_behind(ledger: &Ledger, job: &str, run: i64, why: &str) -> Result<(), RunError> {
    warn!(
        job,
        run, why, "an unfinished run is left behind; the job begins anew"
    );
    let before = ledger
        .run(run)
        .await?
        .error
        .unwrap_or_else(|| "interrupted".to_owned());
    Ok(ledger
        .finish_run(run, RunStatus::Failed, Some(&format!("{before}; {why}")))
        .await?)
}

/// Why a package of an unfinished run is no longer to be written: its object was altered after the
/// records were mapped for it, or its connection leads elsewhere by now. `None` if all may be.
async fn why_unfit(ledger: &Ledger, run: i64, plans: &[Plan]) -> Result<Option<String>, RunError> {
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
async fn begin_or_take_up(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    facts: RunFacts,
    plans: &[Plan],
    retry_of: Option<i64>,
) -> Result<RunFacts, RunError> {
    if facts.run == NO_RUN {
        return begin(request, ledger, facts, plans, retry_of).await;
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
        return begin(request, ledger, facts, plans, retry_of).await;
    }
    warn!(job = %facts.job, run = facts.run, cycle = %facts.cycle.id, "taking up an unfinished run where it stood");
    match &request.approver {
        Some(approver) => {
            ledger
                .approve_run(facts.run, approver.name.as_deref())
                .await?
        }
        None => ledger.take_up_run(facts.run).await?,
    }
    Ok(facts)
}

/// What a run must share with an interrupted one to take it up: the files, and the choice of
/// write-backs and records.
fn digest(request: &RunRequest<'_>) -> String {
    let scope = match request.scope {
        Scope::All => None,
        Scope::OnlyRejected => Some("--only-rejected"),
        Scope::Planned(saved) => Some(saved.digest()),
    };
    let choice = [
        Some(request.checked.digest.as_str()),
        request.only_write_back(),
        scope,
    ];
    choice.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The digest of the saved plan that is to be applied.
fn planned<'a>(request: &RunRequest<'a>) -> Option<&'a str> {
    if let Scope::Planned(saved) = request.scope {
        Some(saved.digest())
    } else {
        None
    }
}

/// The job's write-backs met with their objects, and with their sources unless the records are
/// those of a saved plan.
async fn plans(request: &RunRequest<'_>, facts: &RunFacts) -> Result<Vec<Plan>, RunError> {
    let (project, job) = (request.project, &request.checked.job);
    let Scope::Planned(saved) = request.scope else {
        return plan::plan_job(project, job, request.write_back, facts).await;
    };
    let plans = plan::plan_without_sources(project, job, request.write_back, facts).await?;
    saved.expect_objects(&plans)?;
    Ok(plans)
}

/// Stands for the number of a run that has not begun; runs are numbered from 1.
const NO_RUN: i64 = 0;

fn new_facts(request: &RunRequest<'_>) -> RunFacts {
    let cycle = request.cycle.cycle().clone();
    RunFacts {
        run: NO_RUN,
        job: request.checked.job.name.clone(),
        cycle,
        started_at: Utc::now(),
    }
}

fn earlier_facts(request: &RunRequest<'_>, unfinished: UnfinishedRun) -> RunFacts {
    let UnfinishedRun {
        run,
        cycle,
        started_at,
        ..
    } = unfinished;
    RunFacts {
        run,
        job: request.checked.job.name.clone(),
        cycle,
        started_at,
    }
}

async fn begin(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    facts: RunFacts,
    plans: &[Plan],
    retry_of: Option<i64>,
) -> Result<RunFacts, RunError> {
    let new_run = NewRun {
        job: &facts.job,
        cycle: &facts.cycle,
        started_at: facts.started_at,
        write_backs: plans.iter().map(Plan::name).collect(),
        versions: plans.iter().map(Plan::version).collect(),
        of_records: false,
        job_digest: &digest(request),
        write_back: request.only_write_back(),
        retry_of,
        undo_of: None,
        plan: planned(request),
    };
    let run = ledger.begin_run(&new_run).await?;
    info!(job = %facts.job, run, cycle = %facts.cycle.id, "run begins");
    Ok(RunFacts { run, ..facts })
}

fn nothing_new(request: &RunRequest<'_>) -> RunReport {
    RunReport {
        run: None,
        job: request.checked.job.name.clone(),
        cycle: request.cycle.cycle().id.clone(),
        status: RunStatus::NothingNew,
        guarded: None,
        retry: None,
        applied: None,
        write_backs: Vec::new(),
        folder: None,
        warnings: Vec::new(),
    }
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

    async fn work(&self, plans: &mut [Plan]) -> Result<RunReport, RunError> {
        for plan in &mut *plans {
            plan.settle(&self.facts)?;
            if let Scope::Planned(_) = self.request.scope {
                plan.follow_saved();
            }
        }
        let mut packages = Vec::new();
        for (plan, position) in plans.iter_mut().zip(0..) {
            let id = WriteBackId {
                run: self.facts.run,
                position,
            };
            let begun = Instant::now();
            let (package, pulled) = self.package(plan, id).await?;
            packages.push((id, package, pulled, begun.elapsed()));
        }
        // What is left alone of a saved plan's records was decided when they were shown.
        if planned(self.request).is_none() {
            for plan in &mut *plans {
                let until = Until::Run(self.facts.run);
                plan.remember(self.request.project, self.ledger, &self.facts.job, until)
                    .await?;
            }
        }
        let pulled: Vec<Pulled<'_>> = plans
            .iter()
            .zip(&packages)
            .map(|(plan, (id, package, ..))| Pulled {
                plan,
                id: *id,
                package,
            })
            .collect();
        let objections = self.objections(&pulled).await?;
        if !objections.is_empty() {
            return Ok(self.guarded(plans, objections));
        }
        let mut reports = Vec::new();
        for (plan, (id, package, pulled, pulling)) in plans.iter().zip(packages) {
            reports.push(
                self.at_work()
                    .deliver(plan.assignment(), id, &package, pulled, pulling)
                    .await?,
            );
        }
        let folder = run_folder(self.request.project, self.facts.run);
        files::write_rejected(&folder.join("rejected.csv"), self.ledger, self.facts.run).await?;
        let rejected = reports.iter().any(|report| report.tally.rejected > 0);
        Ok(RunReport {
            run: Some(self.facts.run),
            job: self.facts.job.clone(),
            cycle: self.facts.cycle.id.clone(),
            status: if rejected {
                RunStatus::Rejected
            } else {
                RunStatus::Succeeded
            },
            guarded: None,
            retry: None,
            applied: None,
            write_backs: reports,
            folder: Some(folder),
            warnings: plans
                .iter()
                .flat_map(|plan| plan.warnings.clone())
                .collect(),
        })
    }

    /// The package of a write-back: the one that stands, or a fresh pull with what it counted.
    async fn package(
        &self,
        plan: &mut Plan,
        id: WriteBackId,
    ) -> Result<(Package, Option<Tally>), RunError> {
        let folder = self.at_work().package_folder(&plan.write_back.name)?;
        if self.ledger.progress(id).await?.packaged {
            return Ok((
                tokio::task::block_in_place(|| Package::open(&folder))?,
                None,
            ));
        }
        self.ledger.restart_pull(id).await?;
        if let Scope::Planned(saved) = self.request.scope {
            let (package, counted) =
                saved_plan::gather(saved, plan, self.at_work(), id, &folder).await?;
            self.ledger
                .record_packaged(id, counted.read, &plan.mapped_for())
                .await?;
            return Ok((package, Some(counted)));
        }
        let mut selection = self.selection(&plan.write_back.name).await?;
        let mut account = pull::LedgerAccount {
            ledger: self.ledger,
            id,
        };
        let (progress, stop) = (self.progress.as_ref(), &self.request.stop);
        let pulled =
            pull::pull(plan, &folder, &mut selection, &mut account, progress, stop).await?;
        self.settle(id, &plan.write_back.name, &selection).await?;
        self.ledger
            .record_packaged(id, pulled.tally.read, &plan.mapped_for())
            .await?;
        Ok((pulled.package, Some(pulled.tally)))
    }

    /// Which records of a write-back the run takes.
    async fn selection(&self, write_back: &str) -> Result<Selection, RunError> {
        let wanted = self
            .retry
            .as_ref()
            .map(|retry| retry.keys.get(write_back).cloned().unwrap_or_default());
        Ok(Selection::of(self.ledger, &self.facts, write_back, wanted).await?)
    }

    /// Tells the ledger what a pull found of parked and of pending records.
    async fn settle(
        &self,
        id: WriteBackId,
        write_back: &str,
        selection: &Selection,
    ) -> Result<(), RunError> {
        let ended = selection.ended();
        if !ended.is_empty() {
            info!(job = %self.facts.job, run = id.run, write_back, records = ended.len(), "parked records changed and are taken up");
            self.ledger
                .end_parking(&self.facts.job, write_back, &ended)
                .await?;
        }
        if self.retry.is_some() {
            self.ledger.record_retried(id, &selection.taken()).await?;
        }
        Ok(())
    }

    /// Removes before-images that were kept for as long as their write-back says. Where that cannot
    /// be done, the run is delivered all the same, and a later one tries again.
    async fn prune_before_images(&self, plans: &[Plan]) -> Result<(), LedgerError> {
        for WriteBack {
            name,
            before_images_kept,
            ..
        } in plans.iter().map(|plan| &plan.write_back)
        {
            let kept = before_images_kept.and_then(|kept| TimeDelta::from_std(kept).ok());
            let now = Utc::now();
            let Some(before) = kept.and_then(|kept| now.checked_sub_signed(kept)) else {
                continue;
            };
            let last_written = self.ledger.last_written(&self.facts.job, name).await?;
            for run in self
                .ledger
                .runs_ended_before(&self.facts.job, name, before, now)
                .await?
            {
                // What a later run has not folded into what was last written is still to be read.
                if last_written
                    .as_ref()
                    .is_none_or(|last_written| run < last_written.run)
                {
                    remove_images(&run_folder(self.request.project, run).join(name));
                }
            }
        }
        Ok(())
    }

    /// Tells the ledger how the run ended.
    async fn conclude(
        &self,
        finished: Result<RunReport, RunError>,
        plans: &[Plan],
    ) -> Result<RunReport, RunError> {
        let run = self.facts.run;
        match finished {
            Ok(report) => {
                // Before this run counts as finished: later ones look no further back than to it.
                self.ledger
                    .runs_left_behind(run)
                    .await?
                    .into_iter()
                    .for_each(|earlier| self.at_work().remove_packages(earlier));
                match &report.guarded {
                    Some(guarded) => self.ledger.guard_run(run, &guarded.objections).await?,
                    None => {
                        self.ledger
                            .deliver_run(run, report.status, &guards::shown_to_work(plans, &report))
                            .await?
                    }
                }
                if let Err(error) = self.prune_before_images(plans).await {
                    warn!(job = %self.facts.job, run, %error, "could not look for before-images that are old");
                }
                Ok(report)
            }
            Err(error) => Err(self.at_work().stopped(error).await),
        }
    }
}

/// Removes the before-images in the folder of a write-back beside its run, and the values that were
/// kept.
fn remove_images(folder: &Path) {
    let remove_file = |file: PathBuf| match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    let removed = state::remove_folder_if_there(&images::folder_in(folder))
        .and_then(|()| state::remove_folder_if_there(&kept::folder_in(folder)))
        .and_then(|()| remove_file(folder.join(KEPT_CSV)));
    if let Err(error) = removed {
        warn!(folder = %folder.display(), %error, "could not remove before-images that are old");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(id: &str, hours: i64) -> Cycle {
        Cycle {
            id: id.to_owned(),
            completed_at: DateTime::UNIX_EPOCH + TimeDelta::hours(hours),
        }
    }

    #[test]
    fn a_given_cycle_is_older_only_than_another_that_completed_later() {
        let given = RequestedCycle::Given(cycle("c1", 1));
        assert!(given.is_older_than(&cycle("c2", 2)));
        assert!(!given.is_older_than(&cycle("c0", 0)));
        assert!(!given.is_older_than(&cycle("c2", 1)));
        assert!(
            !given.is_older_than(&cycle("c1", 2)),
            "named by hand before its dashboard told when it completed"
        );
        assert!(
            !RequestedCycle::Own(cycle("c1", 1)).is_older_than(&cycle("c2", 2)),
            "the clock was set back"
        );
    }

    #[test]
    fn an_unfinished_run_is_gone_on_with_until_its_records_are_old() {
        let now = cycle("now", 48).completed_at;
        let given = RequestedCycle::Given(cycle("c2", 2));
        assert!(given.leaves_behind(&cycle("c1", 1), now).is_some());
        assert_eq!(given.leaves_behind(&cycle("c2", 1), now), None);
        assert_eq!(given.leaves_behind(&cycle("c3", 3), now), None);
        assert!(
            given.leaves_behind(&cycle("ahead", 99), now).is_some(),
            "what completed later than now is not newer"
        );
        assert_eq!(given.leaves_behind(&cycle("c2", 99), now), None);
        let own = RequestedCycle::Own(cycle("now", 48));
        assert_eq!(own.leaves_behind(&cycle("yesterday", 24), now), None);
        assert!(own.leaves_behind(&cycle("before", 23), now).is_some());
        assert!(own.leaves_behind(&cycle("ahead", 73), now).is_some());
    }
}
