//! What a run of a job would meet now, for `writeback check`: its dashboard is asked for a cycle, and
//! its records are pulled and looked up as a preview does it. Nothing is written.

use chrono::{DateTime, Utc};

use super::{CommandError, temporary_folder};
use crate::config::{CheckedJob, Project};
use crate::domain::cycle::Cycle;
use crate::domain::error::chain;
use crate::domain::mapping::RunFacts;
use crate::domain::problem::Problem;
use crate::ledger::Ledger;
use crate::report;
use crate::run::foresight::Foresight;
use crate::run::plan::Plan;
use crate::run::preview::WriteBackPreview;
use crate::run::previewer::Previewer;
use crate::schedule::notice::{self, Book, NoticeError};

/// The cycle that a run would write back now. A dashboard that finished none yet deserves a look
/// and nothing more; one that cannot be asked is a mistake.
pub(super) async fn cycle(
    project: &Project,
    checked: &CheckedJob,
    ledger: Option<&Ledger>,
    now: DateTime<Utc>,
    problems: &mut Vec<Problem>,
) -> Option<Cycle> {
    let dashboard = project.dashboards.get(checked.job.dashboard()?)?;
    match notice::newest_cycle(project, dashboard, Book::Reading(ledger), now).await {
        Ok(cycle) => Some(cycle),
        Err(error) => {
            problems.push(problem_of_notice(&error));
            None
        }
    }
}

fn problem_of_notice(error: &NoticeError) -> Problem {
    let message = chain(error).join(": ");
    let problem = match error {
        NoticeError::None { .. } | NoticeError::Unfinished { .. } => {
            Problem::warning(None, message)
        }
        NoticeError::Marker { .. }
        | NoticeError::NotAMarker { .. }
        | NoticeError::Malformed { .. }
        | NoticeError::Utf16Marker { .. }
        | NoticeError::Query { .. }
        | NoticeError::TooManyRows { .. }
        | NoticeError::NoConnection { .. }
        | NoticeError::Time { .. }
        | NoticeError::NoZone { .. }
        | NoticeError::NoTime { .. }
        | NoticeError::NoId { .. }
        | NoticeError::NotAnId { .. }
        | NoticeError::Ledger(_) => Problem::mistake(None, message),
    };
    problem.hint_if(error.hint())
}

/// Previews each write-back. One that cannot be previewed becomes a problem and stands in no
/// other's way; what its guards would stop deserves a look, for a person may approve it.
/// Shape: one preview for each plan, in their order; `None` where there is a problem.
pub(super) async fn preview(
    project: &Project,
    ledger: Option<&Ledger>,
    facts: &RunFacts,
    plans: &mut [Plan],
    problems: &mut Vec<Problem>,
) -> Result<Vec<Option<WriteBackPreview>>, CommandError> {
    let folder = temporary_folder()?;
    let mut previewer = Previewer {
        project,
        ledger,
        facts,
        samples_max: 0,
        folder: folder.path(),
        progress: report::progress::for_stderr(),
        foresight: Foresight::default(),
    };
    let mut previews = Vec::new();
    for plan in plans {
        let location = plan.write_back.location.clone();
        let preview = match previewer.preview(plan, None).await {
            Ok(preview) => Some(preview),
            Err(error) => {
                let told = chain(&error).join(": ");
                let problem = Problem::mistake(location.clone(), told);
                problems.push(problem.hint_if(error.hint()));
                None
            }
        };
        let stopping = preview.iter().flat_map(|preview| &preview.guards);
        problems.extend(stopping.map(|objection| {
            let message = format!("a guard would stop a run now: {objection}");
            Problem::warning(location.clone(), message)
        }));
        previews.push(preview);
    }
    Ok(previews)
}
