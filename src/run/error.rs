//! Why a run could not begin or finish, and how it is gone on with.

use crate::domain::counted::counted_batches;
use crate::domain::pause::Pause;
use crate::domain::problem::Problem;
use crate::ledger::LedgerError;
use crate::run::approval::ApprovalError;
use crate::run::pending::RetryError;
use crate::run::plan::PlanError;
use crate::run::preview::PreviewError;
use crate::run::pull::PullError;
use crate::run::push::error::{PushError, from_parts_of_push_error};
use crate::run::saved_plan::SavedPlanError;
use crate::run::saved_plan::package::GatherError;
use crate::run::undo::error::UndoError;

/// Why a run could not begin or finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    #[error(transparent)]
    Retry(#[from] RetryError),
    #[error(transparent)]
    Undo(#[from] UndoError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    SavedPlan(#[from] SavedPlanError),
    #[error("a worker stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
    #[error("it was asked to stop")]
    Interrupted,
    /// A person said that nothing is to run it for a while.
    #[error("job `{job}` is {pause}")]
    Paused { job: String, pause: Box<Pause> },
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
    pub(super) fn paused(job: &str, pause: Pause) -> Self {
        Self::Paused {
            job: job.to_owned(),
            pause: Box::new(pause),
        }
    }

    /// Whether it says that a run wrote nothing that could be taken back.
    pub(crate) fn is_nothing_to_undo(&self) -> bool {
        matches!(self, Self::Undo(UndoError::NothingToUndo { .. }))
    }

    /// The mistakes it stands for, if it stands for mistakes in the project's files.
    pub(crate) fn into_problems(self) -> Result<Vec<Problem>, Self> {
        if let Self::Plan(PlanError::Problems { problems, .. }) = self {
            Ok(problems)
        } else {
            Err(self)
        }
    }

    /// As [`RunError::into_problems`]; none if it stands for something else.
    pub(crate) fn problems(&self) -> &[Problem] {
        if let Self::Plan(PlanError::Problems { problems, .. }) = self {
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

    /// The process that carries out the same job, where that is why this one did not begin.
    pub(crate) fn is_of_running_job(&self) -> Option<Option<u32>> {
        if let Self::Push(PushError::Ledger(LedgerError::JobRunning { process, .. })) = self {
            Some(*process)
        } else {
            None
        }
    }

    /// Whether the destination is to blame, so that others may be written to all the same.
    pub(super) fn is_of_destination(&self) -> bool {
        match self {
            Self::Push(error) => error.is_of_destination(),
            Self::Pull(PullError::Refer { .. }) => true,
            Self::Plan(_)
            | Self::Approval(_)
            | Self::Retry(_)
            | Self::Undo(_)
            | Self::Pull(_)
            | Self::SavedPlan(_)
            | Self::Worker(_)
            | Self::Interrupted
            | Self::Paused { .. }
            | Self::Unfinished { .. } => false,
        }
    }

    /// Whether nothing is wrong: somebody asked the run to stop.
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Self::Interrupted
            | Self::Pull(PullError::Interrupted)
            | Self::Push(PushError::Interrupted) => true,
            Self::Unfinished { source, .. } => source.is_interruption(),
            Self::Plan(_)
            | Self::Approval(_)
            | Self::Retry(_)
            | Self::Undo(_)
            | Self::Pull(_)
            | Self::Push(_)
            | Self::SavedPlan(_)
            | Self::Worker(_)
            | Self::Paused { .. } => false,
        }
    }

    /// Whether it is for a person to say how to go on, and the run said so in the ledger.
    pub(crate) fn gave_up(&self) -> bool {
        if let Self::Unfinished { source, .. } = self {
            source.gives_up()
        } else {
            false
        }
    }

    /// Whether it is for a person to say how to go on.
    pub(super) fn gives_up(&self) -> bool {
        matches!(self, Self::Push(PushError::Canary { .. }))
    }

    /// Whether a run that ended so can be taken up, given that its packages stand: they are not to
    /// blame.
    pub(super) fn leaves_packages_usable(&self) -> bool {
        match self {
            Self::Worker(_) | Self::Interrupted => true,
            Self::Push(error) => error.leaves_packages_usable(),
            Self::Pull(error) => error.leaves_packages_usable(),
            Self::Plan(_)
            | Self::Approval(_)
            | Self::Retry(_)
            | Self::Undo(_)
            | Self::SavedPlan(_)
            | Self::Paused { .. }
            | Self::Unfinished { .. } => false,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::Approval(error) => error.hint(),
            Self::Retry(error) => error.hint(),
            Self::Undo(error) => error.hint(),
            Self::Pull(error) => error.hint(),
            Self::Push(error) => error.hint(),
            Self::SavedPlan(error) => error.hint(),
            Self::Worker(_) | Self::Interrupted => None,
            Self::Paused { job, .. } => Some(format!("`writeback pause {job} --lift` ends it")),
            Self::Unfinished {
                run,
                job,
                way_on,
                source,
                ..
            } => {
                let ways = way_on.ways(*run, job, source);
                let hints: Vec<String> = source.hint().into_iter().chain(ways).collect();
                (!hints.is_empty()).then(|| hints.join("; "))
            }
        }
    }
}

from_parts_of_push_error!(RunError);

impl From<PreviewError> for RunError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Pull(error) => Self::Pull(error),
            PreviewError::Push(error) => Self::Push(error),
            PreviewError::SavedPlan(error) => Self::SavedPlan(error),
        }
    }
}

impl From<GatherError> for RunError {
    fn from(error: GatherError) -> Self {
        match error {
            GatherError::SavedPlan(error) => Self::SavedPlan(error),
            GatherError::Push(error) => Self::Push(error),
        }
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

impl WayOn {
    /// How an unfinished run is gone on with, and how what it wrote is taken back.
    fn ways(self, run: i64, job: &str, why: &RunError) -> Vec<String> {
        let going_on = match self.undo_of {
            _ if !self.resumable => None,
            Some(undone) => Some(format!(
                "the same `writeback undo {undone}` goes on where it stood"
            )),
            None if self.of_plan => Some(format!(
                "the same `writeback run {job} --plan FILE` goes on where it stood"
            )),
            None => Some("the next run goes on where it stood".to_owned()),
        };
        let undo = (self.undo_of.is_none() && self.has_images).then(|| {
            let canary = if let RunError::Push(error) = why {
                error.undo_of_canary(run)
            } else {
                None
            };
            canary.unwrap_or_else(|| format!("`writeback undo {run}` takes back what it wrote"))
        });
        going_on.into_iter().chain(undo).collect()
    }
}
