//! `writeback status` and `writeback next`: what the scheduler did last and will do next.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::Utc;

use super::{CommandError, Ending, load_project, print, print_json, read_job};
use crate::cli::{NextArguments, StatusArguments};
use crate::domain::job::Job;
use crate::domain::problem::Problem;
use crate::ledger::Ledger;
use crate::ledger::cycles::Server;
use crate::report::schedule;
use crate::schedule::outlook::{self, Depth, Outlook};

pub(super) async fn status(
    root: &Path,
    arguments: &StatusArguments,
) -> Result<Ending, CommandError> {
    let (outlooks, server, broken) =
        outlooks(root, &arguments.jobs, outlook::OPENINGS_USUAL).await?;
    match arguments.json {
        true => print_json(&schedule::outlooks_json(&outlooks, server.as_ref()))?,
        false => print(&schedule::status_text(&outlooks, server.as_ref())),
    }
    done_but_for(broken)
}

pub(super) async fn next(root: &Path, arguments: &NextArguments) -> Result<Ending, CommandError> {
    let (outlooks, server, broken) = outlooks(root, &arguments.jobs, arguments.limit).await?;
    match arguments.json {
        true => print_json(&schedule::outlooks_json(&outlooks, server.as_ref()))?,
        false => print(&schedule::next_text(&outlooks)),
    }
    done_but_for(broken)
}

/// Tells of the jobs that could not be read, once the others are shown.
fn done_but_for(broken: Vec<Problem>) -> Result<Ending, CommandError> {
    match broken.is_empty() {
        true => Ok(Ending::Done),
        false => Err(CommandError::Problems {
            title: "not every job could be read".to_owned(),
            problems: broken,
        }),
    }
}

/// Of the jobs that are named, or of all; and what is wrong with those that cannot be read.
async fn outlooks(
    root: &Path,
    named: &[String],
    openings_max: usize,
) -> Result<(Vec<Outlook>, Option<Server>, Vec<Problem>), CommandError> {
    let project = load_project(root)?;
    let names = if named.is_empty() {
        project.job_names()
    } else {
        let mut seen = BTreeSet::new();
        let mut names = named.to_vec();
        names.retain(|name| seen.insert(name.clone()));
        names
    };
    let (mut jobs, mut broken) = (Vec::new(), Vec::new());
    for name in &names {
        match read_job(&project, name) {
            Ok(job) => jobs.push(job),
            Err(error) => broken.extend(error.into_problems()?),
        }
    }
    let ledger = Ledger::open(&project.state_folder()).await?;
    let now = Utc::now();
    let jobs: Vec<&Job> = jobs.iter().map(|checked| &checked.job).collect();
    let asked = (Depth::Whole, openings_max);
    let (outlooks, server) = outlook::outlooks(&project, &jobs, &ledger, asked, now).await?;
    Ok((outlooks, server, broken))
}
