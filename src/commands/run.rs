//! `writeback run`: a run now.

use std::path::Path;

use super::{CommandError, Ending, cycle_of, load_job, load_project, print, print_json, warn_of};
use crate::cli::RunArguments;
use crate::ledger::{Ledger, RunStatus};
use crate::report;
use crate::run::{self, RunRequest};

pub(super) async fn run(root: &Path, arguments: &RunArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = load_job(&project, &arguments.job.job)?;
    warn_of(&checked.warnings);
    let cycle = cycle_of(&project, &checked, &arguments.job).await?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let write_back = arguments.job.write_back.as_deref();
    let request = RunRequest { project: &project, checked: &checked, cycle, write_back };
    let finished = run::carry_out(&request, &ledger, report::progress::for_stderr()).await?;
    warn_of(&finished.warnings);
    match arguments.job.json {
        true => print_json(&report::run::json(&finished))?,
        false => print(&report::run::text(&finished))?,
    }
    Ok(match finished.status {
        RunStatus::Succeeded | RunStatus::NothingNew => Ending::Done,
        RunStatus::Rejected => Ending::Rejected,
        RunStatus::Guarded => Ending::Guarded,
        // A run that failed or never ended comes back as an error.
        RunStatus::Failed | RunStatus::Running => Ending::Rejected,
    })
}
