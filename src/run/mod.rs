//! One run of a job from begin to finish: plan every write-back, pull every package, then push them, then report. Nothing
//! is written to a destination before all of a job's write-backs are planned and pulled.

mod files;
pub(crate) mod plan;
pub(crate) mod preview;
mod pull;
mod push;
mod retry;
pub(crate) mod single_record;
mod writer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::Utc;
use tracing::{info, warn};

use self::files::ReportError;
use crate::config::{CheckedJob, Project};
use crate::domain::cycle::Cycle;
use crate::domain::error::{SystemError, chain};
use crate::domain::mapping::RunFacts;
use crate::domain::outcome::Tally;
use crate::domain::problem::Problem;
use crate::ledger::{Ledger, LedgerError, NewRun, RunStatus, WriteBackId};
use crate::package::{Package, PackageError};
use crate::run::plan::Plan;

/// Why a run could not begin or finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Mistakes in the project's files, or systems that could not be asked.
    #[error("job `{job}` has {count}", count = counted(problems.len(), "problem"))]
    Problems { job: String, problems: Vec<Problem> },
    #[error("could not read `{write_back}` from `{connection}`")]
    Pull { write_back: String, connection: String, source: Box<SystemError> },
    #[error("could not write `{write_back}` to `{connection}`")]
    Push { write_back: String, connection: String, source: Box<SystemError> },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The sums do not balance: a defect of this program, never hidden.
    #[error("the outcomes of `{write_back}` do not add up: {counted:?}; the ledger says {ledger:?}")]
    Unbalanced { write_back: String, counted: Box<Tally>, ledger: Box<Tally> },
    /// The object was altered between an interrupted run and its resumption.
    #[error("`{object}` no longer takes the values that run {run} prepared for it")]
    ObjectChanged { object: String, run: i64 },
    #[error("there is no write-back `{name}` in job `{job}`")]
    NoSuchWriteBack { name: String, job: String, known: Vec<String> },
    #[error("a worker stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
}

impl RunError {
    /// The mistakes it stands for, if it stands for mistakes in the project's files.
    pub(crate) fn into_problems(self) -> Result<Vec<Problem>, Self> {
        if let Self::Problems { problems, .. } = self { Ok(problems) } else { Err(self) }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Pull { source, .. } | Self::Push { source, .. } => source.hint(),
            Self::NoSuchWriteBack { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::Unbalanced { .. } => Some("please report this with the run's ledger; nothing was hidden".to_owned()),
            Self::ObjectChanged { .. } => Some("run again: the records are pulled anew".to_owned()),
            Self::Ledger(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Problems { .. } | Self::Worker(_) => None,
        }
    }
}

/// `2 problems`, `1 record`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
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
    pub(crate) cycle: Cycle,
    /// Only this one of the job's write-backs.
    pub(crate) write_back: Option<&'a str>,
}

/// What one write-back of a run did.
#[derive(Debug)]
pub(crate) struct WriteBackReport {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    pub(crate) batches: u64,
    pub(crate) elapsed: Duration,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// Absent if there was nothing to run.
    pub(crate) run: Option<i64>,
    pub(crate) job: String,
    pub(crate) cycle: String,
    pub(crate) status: RunStatus,
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
    let interrupted = take_up(request, ledger).await?;
    if interrupted.is_none()
        && let Some(newer) = ledger.newest_delivered_cycle(&job.name).await?
        && newer.completed_at > request.cycle.completed_at
    {
        warn!(job = %job.name, cycle = %request.cycle.id, newer = %newer.id, "a newer cycle is already written back");
        return Ok(nothing_new(request));
    }
    let provisional = interrupted.clone().unwrap_or_else(|| new_facts(request));
    let mut plans = plan::plan_job(request.project, job, request.write_back, &provisional).await?;
    let facts = match interrupted {
        Some(facts) => facts,
        None => begin(request, ledger, provisional, &plans).await?,
    };
    for plan in &mut plans {
        plan.settle(&facts)?;
    }
    let begun = Begun { request, ledger, progress, facts };
    let finished = begun.work(&mut plans).await;
    let report = begun.conclude(finished).await?;
    plans.iter().for_each(|plan| begun.remove_package(plan));
    Ok(report)
}

/// An interrupted run of the same job and the same files, if there is one. One that the files have left behind cannot
/// be taken up: it is closed, and said so.
async fn take_up(request: &RunRequest<'_>, ledger: &Ledger) -> Result<Option<RunFacts>, RunError> {
    let job = &request.checked.job;
    let Some(unfinished) = ledger.unfinished_run(&job.name).await? else { return Ok(None) };
    if unfinished.job_digest != digest(request) {
        warn!(job = %job.name, run = unfinished.run, "the job was changed since it was interrupted; it begins anew");
        let why = "interrupted, and the job was changed before it could be taken up";
        ledger.finish_run(unfinished.run, RunStatus::Failed, Some(why)).await?;
        return Ok(None);
    }
    warn!(job = %job.name, run = unfinished.run, "taking up an interrupted run where it stood");
    Ok(Some(RunFacts {
        run: unfinished.run,
        job: job.name.clone(),
        cycle: unfinished.cycle,
        started_at: unfinished.started_at,
    }))
}

/// What a run must share with an interrupted one to take it up: the files, and the choice of write-backs.
fn digest(request: &RunRequest<'_>) -> String {
    match request.write_back {
        Some(name) => format!("{} {name}", request.checked.digest),
        None => request.checked.digest.clone(),
    }
}

fn new_facts(request: &RunRequest<'_>) -> RunFacts {
    RunFacts { run: 0, job: request.checked.job.name.clone(), cycle: request.cycle.clone(), started_at: Utc::now() }
}

async fn begin(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    facts: RunFacts,
    plans: &[Plan],
) -> Result<RunFacts, RunError> {
    let new_run = NewRun {
        job: &facts.job,
        cycle: &facts.cycle,
        started_at: facts.started_at,
        write_backs: plans.iter().map(|plan| plan.write_back.name.as_str()).collect(),
        job_digest: &digest(request),
    };
    let run = ledger.begin_run(&new_run).await?;
    info!(job = %facts.job, run, cycle = %facts.cycle.id, "run begins");
    Ok(RunFacts { run, ..facts })
}

fn nothing_new(request: &RunRequest<'_>) -> RunReport {
    RunReport {
        run: None,
        job: request.checked.job.name.clone(),
        cycle: request.cycle.id.clone(),
        status: RunStatus::NothingNew,
        write_backs: Vec::new(),
        folder: None,
        warnings: Vec::new(),
    }
}

impl Begun<'_> {
    async fn work(&self, plans: &mut [Plan]) -> Result<RunReport, RunError> {
        let mut packages = Vec::new();
        for (plan, position) in plans.iter_mut().zip(0..) {
            let id = WriteBackId { run: self.facts.run, position };
            let begun = Instant::now();
            let (package, pulled) = self.package(plan, id).await?;
            packages.push((id, package, pulled, begun.elapsed()));
        }
        let mut reports = Vec::new();
        for (plan, (id, package, pulled, pulling)) in plans.iter().zip(packages) {
            reports.push(self.deliver(plan, id, &package, pulled, pulling).await?);
        }
        let folder = run_folder(self.request.project, self.facts.run);
        files::write_rejected(&folder.join("rejected.csv"), self.ledger, self.facts.run).await?;
        let rejected = reports.iter().any(|report| report.tally.rejected > 0);
        Ok(RunReport {
            run: Some(self.facts.run),
            job: self.facts.job.clone(),
            cycle: self.facts.cycle.id.clone(),
            status: if rejected { RunStatus::Rejected } else { RunStatus::Succeeded },
            write_backs: reports,
            folder: Some(folder),
            warnings: plans.iter().flat_map(|plan| plan.warnings.clone()).collect(),
        })
    }

    /// The package of a write-back: the one that stands, or a fresh pull with what it counted.
    async fn package(&self, plan: &mut Plan, id: WriteBackId) -> Result<(Package, Option<Tally>), RunError> {
        let folder = self.package_folder(plan);
        if self.ledger.progress(id).await?.packaged {
            return Ok((tokio::task::block_in_place(|| Package::open(&folder))?, None));
        }
        self.ledger.restart_pull(id).await?;
        let mut rejections = pull::LedgerRejections { ledger: self.ledger, id };
        let pulled = pull::pull(plan, &folder, &mut rejections, self.progress.as_ref()).await?;
        self.ledger.record_packaged(id, pulled.tally.read).await?;
        Ok((pulled.package, Some(pulled.tally)))
    }

    /// Where a write-back's package stands while the run is at work, beside its `outcomes.parquet`.
    fn package_folder(&self, plan: &Plan) -> PathBuf {
        run_folder(self.request.project, self.facts.run).join(&plan.write_back.name).join("package")
    }

    /// Removes a package whose run is over: it holds records, and nothing reads it again.
    fn remove_package(&self, plan: &Plan) {
        let folder = self.package_folder(plan);
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            warn!(folder = %folder.display(), %error, "could not remove a finished run's package");
        }
    }

    async fn deliver(
        &self,
        plan: &Plan,
        id: WriteBackId,
        package: &Package,
        pulled: Option<Tally>,
        pulling: Duration,
    ) -> Result<WriteBackReport, RunError> {
        let begun = Instant::now();
        let pushed = push::push(plan, id, package, self.ledger, &self.progress).await?;
        let outcomes = run_folder(self.request.project, id.run).join(&plan.write_back.name).join("outcomes.parquet");
        files::write_outcomes(&outcomes, self.ledger, id, package, plan.mapping.key_columns()).await?;
        let elapsed = pulling + begun.elapsed();
        self.ledger.finish_write_back(id, elapsed.as_secs_f64()).await?;
        let batches = self.ledger.progress(id).await?.committed.len();
        let tally = self.ledger.tally(id).await?;
        // Of a run taken up, an earlier process counted a part that only the ledger knows.
        let counted = pulled.map_or(tally, |mut counted| {
            counted += pushed;
            counted
        });
        if !tally.balances() || tally != counted {
            let write_back = plan.write_back.name.clone();
            return Err(RunError::Unbalanced { write_back, counted: Box::new(counted), ledger: Box::new(tally) });
        }
        info!(job = %self.facts.job, run = id.run, write_back = %plan.write_back.name, read = tally.read, "delivered");
        let name = plan.write_back.name.clone();
        Ok(WriteBackReport { name, tally, batches: u64::try_from(batches).unwrap_or(u64::MAX), elapsed })
    }

    /// Tells the ledger how the run ended.
    async fn conclude(&self, finished: Result<RunReport, RunError>) -> Result<RunReport, RunError> {
        let run = self.facts.run;
        match &finished {
            Ok(report) => self.ledger.finish_run(run, report.status, None).await?,
            Err(error) => {
                let cause = chain(error).join(": ");
                self.ledger.finish_run(run, RunStatus::Failed, Some(&cause)).await?;
            }
        }
        finished
    }
}
