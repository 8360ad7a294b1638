//! What a shell proposes while a command line is typed: names of the project at hand. Whatever
//! cannot be read is not proposed, and nothing is written.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::CompletionCandidate;

use crate::config::Project;
use crate::ledger::{Ledger, RunEntry};

/// Runs that are proposed: those that people still speak of.
const RUNS_MAX: u32 = 30;

/// Jobs, by their files.
pub(crate) fn jobs() -> Vec<CompletionCandidate> {
    let project = Project::load(&project_folder());
    let names = project.map(|project| project.job_names());
    let names = names.unwrap_or_default().into_iter();
    names.map(CompletionCandidate::new).collect()
}

/// Write-backs, with the job of each.
pub(crate) fn write_backs() -> Vec<CompletionCandidate> {
    let Ok(project) = Project::load(&project_folder()) else {
        return Vec::new();
    };
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for job in project.job_names() {
        let read = project.read_job(&job).ok();
        for write_back in read.into_iter().flat_map(|checked| checked.job.write_backs) {
            names.entry(write_back.name).or_insert(format!("of {job}"));
        }
    }
    let named = names.into_iter();
    named
        .map(|(name, job)| CompletionCandidate::new(name).help(Some(job.into())))
        .collect()
}

/// Connections, with what each is.
pub(crate) fn connections() -> Vec<CompletionCandidate> {
    let project = Project::load(&project_folder()).ok();
    let connections = project.into_iter().flat_map(|project| project.connections);
    connections
        .map(|(name, connection)| {
            CompletionCandidate::new(name).help(Some(connection.system.kind().into()))
        })
        .collect()
}

/// Dashboards.
pub(crate) fn dashboards() -> Vec<CompletionCandidate> {
    let project = Project::load(&project_folder()).ok();
    let dashboards = project.into_iter().flat_map(|project| project.dashboards);
    dashboards
        .map(|(name, _)| CompletionCandidate::new(name))
        .collect()
}

/// The latest runs, with what each was.
pub(crate) fn runs() -> Vec<CompletionCandidate> {
    let candidate = |run: RunEntry| {
        let status = run.status.name().replace('_', " ");
        let help = format!(
            "{}, {}, {status}",
            run.job,
            run.started_at.format("%Y-%m-%d %H:%M")
        );
        CompletionCandidate::new(run.run.to_string()).help(Some(help.into()))
    };
    read_runs().into_iter().map(candidate).collect()
}

fn read_runs() -> Vec<RunEntry> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (Ok(runtime), Ok(project)) = (runtime, Project::load(&project_folder())) else {
        return Vec::new();
    };
    let state = project.state_folder();
    // Opening a ledger makes one where there is none.
    if !state.is_dir() {
        return Vec::new();
    }
    let read = async {
        let ledger = Ledger::open(&state).await?;
        ledger.runs(None, RUNS_MAX).await
    };
    runtime.block_on(read).unwrap_or_default()
}

/// The project of the command line that is being typed.
fn project_folder() -> PathBuf {
    folder_of(std::env::args_os().skip(1).collect())
        .or_else(|| std::env::var_os("WRITEBACK_PROJECT").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("."))
}

fn folder_of(words: Vec<OsString>) -> Option<PathBuf> {
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--project" {
            return words.next().map(PathBuf::from);
        }
        if let Some(folder) = word
            .to_str()
            .and_then(|word| word.strip_prefix("--project="))
        {
            return Some(PathBuf::from(folder));
        }
    }
    None
}
