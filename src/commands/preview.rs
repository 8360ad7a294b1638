//! `writeback preview`: what a run would do.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::{CommandError, Ending, cycle_of, load_job, load_project, print, print_json, warn_of};
use crate::cli::PreviewArguments;
use crate::domain::job::WriteBack;
use crate::domain::mapping::RunFacts;
use crate::ledger::Ledger;
use crate::report;
use crate::run::selection::Selection;
use crate::run::{plan, preview as previewing};
use crate::schedule::notice::Book;

pub(super) async fn preview(root: &Path, arguments: &PreviewArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = load_job(&project, &arguments.job.job)?;
    warn_of(&checked.warnings);
    let ledger = Ledger::open_if_there(&project.state_folder()).await?;
    let book = Book::Reading(ledger.as_ref());
    let cycle = cycle_of(&project, &checked, &arguments.job, book).await?.cycle().clone();
    let cycle_id = cycle.id.clone();
    let facts = RunFacts { run: 0, job: checked.job.name.clone(), cycle, started_at: Utc::now() };
    let mut plans = plan::plan_job(&project, &checked.job, arguments.job.write_back.as_deref(), &facts).await?;
    let folder = tempfile::tempdir().map_err(|source| CommandError::Io { doing: "make a temporary folder", source })?;
    let progress = report::progress::for_stderr();
    let mut previews = Vec::new();
    for plan in &mut plans {
        warn_of(&plan.warnings);
        let package = folder.path().join(previews.len().to_string());
        let proven = is_proven(ledger.as_ref(), &checked.job.name, &plan.write_back).await?;
        let selection = selection_of(ledger.as_ref(), &facts, &plan.write_back.name).await?;
        let limit = arguments.limit;
        previews.push(previewing::preview(plan, &package, selection, limit, proven, progress.as_ref()).await?);
    }
    match arguments.job.json {
        true => print_json(&json!({ "job": checked.job.name, "cycle": cycle_id, "write_backs": previews }))?,
        false => print(&report::preview::text(&checked.job.name, &previews))?,
    }
    Ok(if previews.iter().any(|preview| !preview.guards.is_empty()) {
        Ending::Guarded
    } else if previews.iter().any(|preview| preview.tally.rejected > 0) {
        Ending::Rejected
    } else {
        Ending::Done
    })
}

/// Whether this version of a write-back was tested or has run.
async fn is_proven(ledger: Option<&Ledger>, job: &str, write_back: &WriteBack) -> Result<bool, CommandError> {
    match ledger {
        Some(ledger) => Ok(ledger.is_proven(job, &write_back.name, &write_back.version).await?),
        None => Ok(false),
    }
}

/// All records but the parked ones.
async fn selection_of(ledger: Option<&Ledger>, facts: &RunFacts, write_back: &str) -> Result<Selection, CommandError> {
    match ledger {
        Some(ledger) => Ok(Selection::of(ledger, facts, write_back, None).await?),
        None => Ok(Selection::new(Vec::new(), None, facts.started_at)),
    }
}
