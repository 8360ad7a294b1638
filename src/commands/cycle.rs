//! `writeback cycle`: announces that a dashboard finished a cycle.

use std::path::Path;

use chrono::Utc;

use super::{CommandError, Ending, load_project, print, print_json, record_act, warn_of};
use crate::cli::CycleArguments;
use crate::config::Project;
use crate::domain::problem::Problem;
use crate::ledger::Ledger;
use crate::report;
use crate::schedule::announce::{AnnounceError, announced};

pub(super) async fn cycle(root: &Path, arguments: &CycleArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let now = Utc::now();
    let dashboard = &project
        .dashboard(&arguments.dashboard)
        .map_err(not_announced)?
        .name;
    let cycle = announced(&arguments.id, arguments.completed_at, now);
    let cycle = cycle.map_err(|error| match error {
        AnnounceError::Future { now } => {
            let message = format!(
                "`--completed-at` lies in the future: it is {} now",
                report::clock::moment(now)
            );
            not_announced(Problem::mistake(None, message).hint_if(error.hint()))
        }
        AnnounceError::NotAnId => not_announced(Problem::mistake(None, error.to_string())),
    })?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let noticed = ledger.see_cycle(dashboard, &cycle, now).await?;
    record_act(&ledger, "announce", dashboard).await?;
    let jobs = followers(&project, dashboard);
    match arguments.json {
        true => print_json(&report::cycle::json(dashboard, &noticed, &jobs))?,
        false => print(&report::cycle::text(dashboard, &noticed, &jobs)),
    }
    Ok(Ending::Done)
}

fn not_announced(problem: Problem) -> CommandError {
    CommandError::Problems {
        title: "the cycle cannot be announced".to_owned(),
        problems: vec![problem],
    }
}

/// Names of the jobs that follow a dashboard; of jobs that cannot be read, a warning says so.
fn followers(project: &Project, dashboard: &str) -> Vec<String> {
    let mut followers = Vec::new();
    for name in project.job_names() {
        match project.read_job(&name) {
            Ok(checked) if checked.job.dashboard() == Some(dashboard) => followers.push(name),
            Ok(_) => {}
            Err(_) => warn_of(&[Problem::warning(
                None,
                format!("job `{name}` has mistakes; it may follow the dashboard or not"),
            )
            .hint(format!("`writeback check {name}` shows them"))]),
        }
    }
    followers
}
