//! What people asked for on the page, carried out: a run, a retry, a run that guards stopped, a
//! saved plan, an undo. Each is held against what was seen before anything is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::files;
use super::notice::{self, Book, NoticeError};
use crate::config::{CheckedJob, Project};
use crate::domain::error::chain;
use crate::heap::on_heap;
use crate::ledger::{
    Ledger, LedgerError, OfLook, PageRequest, RequestAct, RetryWish, RunStatus, UndoWish,
    UnfinishedRun,
};
use crate::run::pending::{self, RetryError};
use crate::run::place::look_folder;
use crate::run::progress;
use crate::run::request::{Approver, Redelivery, Scope};
use crate::run::saved_plan::{PLAN_FILE, SavedPlan, SavedPlanError};
use crate::run::stop::Stop;
use crate::run::undo::{self, UndoReport, UndoRequest};
use crate::run::{
    self, ChangedRows, CreatedRows, RequestedCycle, RunError, RunReport, RunRequest, approval,
};

/// What was done.
#[derive(Debug)]
pub(super) enum Finished {
    Run(RunReport),
    Undo(UndoReport),
}

impl Finished {
    pub(super) fn run(&self) -> Option<i64> {
        match self {
            Self::Run(report) => report.run,
            Self::Undo(report) => report.run,
        }
    }

    pub(super) fn status(&self) -> RunStatus {
        match self {
            Self::Run(report) => report.status,
            Self::Undo(report) => report.status,
        }
    }
}

/// Why something that was asked for could not be done.
#[derive(Debug)]
pub(super) struct Undone {
    pub(super) run: Option<i64>,
    pub(super) why: String,
    /// Another process runs the job: it is asked for again.
    pub(super) busy: bool,
    /// It stopped because it was asked to.
    pub(super) interrupted: bool,
}

impl Undone {
    fn refused(why: impl Into<String>) -> Self {
        Self {
            run: None,
            why: why.into(),
            busy: false,
            interrupted: false,
        }
    }
}

impl From<RunError> for Undone {
    fn from(error: RunError) -> Self {
        Self {
            run: error.run(),
            why: why(&error),
            busy: error.is_of_running_job().is_some(),
            interrupted: error.is_interruption(),
        }
    }
}

impl From<NoticeError> for Undone {
    fn from(error: NoticeError) -> Self {
        Self::refused(chain(&error).join(": "))
    }
}

impl From<LedgerError> for Undone {
    fn from(error: LedgerError) -> Self {
        Self::refused(chain(&error).join(": "))
    }
}

impl From<RetryError> for Undone {
    fn from(error: RetryError) -> Self {
        RunError::from(error).into()
    }
}

/// An error with its causes and the mistakes it stands for, in one line.
pub(super) fn why(error: &RunError) -> String {
    let mut told = chain(error);
    told.extend(Some(files::told(error.problems())).filter(|problems| !problems.is_empty()));
    told.join(": ")
}

/// What carries out a request.
struct Work {
    project: Arc<Project>,
    checked: Arc<CheckedJob>,
    ledger: Ledger,
    request: PageRequest,
    stop: Stop,
}

/// Does what was asked for.
pub(super) async fn carry_out(
    project: Arc<Project>,
    checked: Arc<CheckedJob>,
    ledger: Ledger,
    request: PageRequest,
    stop: Stop,
) -> Result<Finished, Undone> {
    let work = Work {
        project,
        checked,
        ledger,
        request,
        stop,
    };
    match work.request.act {
        RequestAct::Run => {
            let scope = Scope::All;
            let cycle = work.cycle(work.request.cycle.as_deref()).await?;
            let write_back = work.request.write_back.as_deref();
            on_heap(|| work.run(cycle, scope, write_back, None)).await
        }
        RequestAct::Retry => on_heap(|| work.retry()).await,
        RequestAct::Approve => on_heap(|| work.approve()).await,
        RequestAct::Apply => on_heap(|| work.apply()).await,
        RequestAct::Undo => on_heap(|| work.undo()).await,
        RequestAct::Stop
        | RequestAct::Preview
        | RequestAct::LookAtStopped
        | RequestAct::LookAtUndo
        | RequestAct::Verify
        | RequestAct::Test => Err(Undone::refused("nothing of it is to be run")),
    }
}

impl Work {
    async fn cycle(&self, named: Option<&str>) -> Result<RequestedCycle, NoticeError> {
        let book = Book::Recording(&self.ledger);
        notice::requested_cycle(&self.project, &self.checked, named, book).await
    }

    async fn run(
        &self,
        cycle: RequestedCycle,
        scope: Scope<'_>,
        write_back: Option<&str>,
        approver: Option<Approver>,
    ) -> Result<Finished, Undone> {
        let repeat = match (&scope, &approver, &self.request.cycle) {
            (Scope::All, None, Some(_)) => Redelivery::IfNew,
            _ => Redelivery::Always,
        };
        let run = RunRequest {
            project: &self.project,
            checked: &self.checked,
            cycle,
            scope,
            write_back,
            repeat,
            approver,
            stop: self.stop.clone(),
        };
        let progress = progress::for_log(&self.checked.job.name);
        let report = run::carry_out(&run, &self.ledger, progress).await?;
        Ok(Finished::Run(report))
    }

    async fn retry(&self) -> Result<Finished, Undone> {
        let arguments: RetryWish = self.request.arguments().map_err(Undone::refused)?;
        let write_back = self.request.write_back.as_deref();
        let cycle = self.cycle(None).await?;
        let (Some(run), Some(name)) = (arguments.run, write_back) else {
            return self.run(cycle, Scope::OnlyRejected, write_back, None).await;
        };
        let chosen = pending::choose(&self.ledger, run, name, &arguments).await?;
        let records = chosen.count();
        if records != arguments.records {
            let seen = arguments.records;
            let why =
                format!("{records} records are pending and like this now, not {seen} as was seen");
            return Err(Undone::refused(why));
        }
        self.run(cycle, Scope::Chosen(&chosen), write_back, None)
            .await
    }

    async fn approve(&self) -> Result<Finished, Undone> {
        let stopped = StoppedRun::find(&self.project, &self.ledger, &self.request.job).await?;
        if Some(stopped.run()) != self.request.run {
            let why = format!("run {} is the latest that guards stopped", stopped.run());
            return Err(Undone::refused(why));
        }
        let approver = Approver {
            name: Some(self.request.who.clone()),
            reason: self.request.reason.clone(),
            seen: self.request.seen.clone(),
        };
        let book = Book::Recording(&self.ledger);
        let cycle = stopped.cycle(&self.project, &self.checked, book).await?;
        let (scope, write_back) = (stopped.scope(), stopped.write_back());
        self.run(cycle, scope, write_back, Some(approver)).await
    }

    async fn apply(&self) -> Result<Finished, Undone> {
        let OfLook { look } = self.request.arguments().map_err(Undone::refused)?;
        let file = look_folder(&self.project, look).join(PLAN_FILE);
        let saved = SavedPlan::open(&file).map_err(RunError::from)?;
        if self.request.seen.as_deref() != Some(saved.digest()) {
            return Err(Undone::refused("the plan is not the one that was seen"));
        }
        let cycle = RequestedCycle::Given(saved.cycle());
        self.run(cycle, Scope::Planned(&saved), saved.write_back(), None)
            .await
    }

    async fn undo(&self) -> Result<Finished, Undone> {
        let arguments: UndoWish = self.request.arguments().map_err(Undone::refused)?;
        let Some(run) = self.request.run else {
            return Err(Undone::refused("it names no run"));
        };
        let undo = undo_request(
            &self.project,
            run,
            self.request.write_back.as_deref(),
            &arguments,
            self.stop.clone(),
        );
        // What is half done is not what was seen any more, and was held against it before.
        let unfinished = self.ledger.unfinished_run(&self.request.job).await?;
        let is_begun = unfinished.is_some_and(|unfinished| {
            unfinished.undo_of == Some(run) && unfinished.started_at >= self.request.asked_at
        });
        if !is_begun {
            let foreseen = undo::preview(&undo, &self.ledger).await?;
            if self.request.seen != Some(foreseen.digest()) {
                let why =
                    "what it would come to changed since it was looked at; look again, then decide";
                return Err(Undone::refused(why));
            }
        }
        let progress = progress::for_log(&self.checked.job.name);
        let report = undo::carry_out(&undo, &self.ledger, progress).await?;
        Ok(Finished::Undo(report))
    }
}

/// How a run is taken back that was asked for on the page.
pub(crate) fn undo_request<'a>(
    project: &'a Project,
    run: i64,
    write_back: Option<&'a str>,
    arguments: &UndoWish,
    stop: Stop,
) -> UndoRequest<'a> {
    UndoRequest {
        project,
        run,
        sequence: None,
        write_back,
        records: arguments.records.iter().cloned().collect::<BTreeSet<_>>(),
        created: match arguments.delete_created {
            true => CreatedRows::Delete,
            false => CreatedRows::Keep,
        },
        changed: match arguments.even_changed {
            true => ChangedRows::Restore,
            false => ChangedRows::Keep,
        },
        samples_max: 0,
        stop,
    }
}

/// Why there is no run that waits for a person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoppedError {
    #[error("no guard stopped the latest run of job `{job}`")]
    None { job: String },
    #[error("it applies a plan that the page does not have")]
    NoPlan,
    #[error(transparent)]
    Plan(#[from] SavedPlanError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<StoppedError> for Undone {
    fn from(error: StoppedError) -> Self {
        Self::refused(chain(&error).join(": "))
    }
}

/// A run that guards stopped, with the plan that it applies.
#[derive(Debug)]
pub(crate) struct StoppedRun {
    stopped: UnfinishedRun,
    saved: Option<SavedPlan>,
}

impl StoppedRun {
    /// The job's latest run, if it waits for a person, or was let go ahead and did not finish.
    pub(crate) async fn find(
        project: &Project,
        ledger: &Ledger,
        job: &str,
    ) -> Result<Self, StoppedError> {
        let stopped = approval::stopped(ledger, job).await?;
        let stopped = stopped.ok_or_else(|| StoppedError::None {
            job: job.to_owned(),
        })?;
        let saved = match &stopped.plan {
            None => None,
            Some(digest) => {
                let look = ledger.preview_of(digest).await?;
                let look = look.ok_or(StoppedError::NoPlan)?.request;
                let file = look_folder(project, look).join(PLAN_FILE);
                Some(SavedPlan::open(&file)?)
            }
        };
        Ok(Self { stopped, saved })
    }

    pub(crate) fn run(&self) -> i64 {
        self.stopped.run
    }

    pub(crate) fn write_back(&self) -> Option<&str> {
        self.stopped.write_back.as_deref()
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        match &self.saved {
            Some(saved) => Scope::Planned(saved),
            None if self.stopped.retry_of.is_some() => Scope::OnlyRejected,
            None => Scope::All,
        }
    }

    /// The cycle that a run now would write back: where it is another than the stopped run's, that
    /// one is not let go ahead any more.
    pub(crate) async fn cycle(
        &self,
        project: &Project,
        checked: &CheckedJob,
        book: Book<'_>,
    ) -> Result<RequestedCycle, NoticeError> {
        match &self.saved {
            Some(saved) => Ok(RequestedCycle::Given(saved.cycle())),
            None => notice::requested_cycle(project, checked, None, book).await,
        }
    }
}
