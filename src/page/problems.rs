//! What is wrong with the project's files, all of it at once, as `check` tells it before it connects
//! anywhere.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};

use super::files;
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use crate::config::{CheckedJob, PROJECT_FILE, Project, SCHEDULES_FOLDER};
use crate::domain::problem::{Problem, Severity};

/// What the files of a project say.
#[derive(Default)]
pub(super) struct Found {
    /// Every mistake and every warning.
    pub(super) problems: Vec<Problem>,
    /// Jobs that can be read, also where their connections are not ready.
    pub(super) jobs: Vec<CheckedJob>,
    /// Names of the files that were looked at.
    files: Vec<String>,
}

/// Looks through the files as they are now.
pub(super) fn find(house: &House) -> Found {
    find_in(&house.root)
}

/// Looks through the files of the project in a folder.
pub(super) fn find_in(root: &FilePath) -> Found {
    match Project::load(root) {
        Ok(project) => find_of(&project),
        Err(problems) => Found {
            problems,
            files: vec![PROJECT_FILE.to_owned()],
            ..Found::default()
        },
    }
}

/// Looks through the files of a project, each once.
pub(super) fn find_of(project: &Project) -> Found {
    let mut found = Found {
        files: vec![PROJECT_FILE.to_owned()],
        ..Found::default()
    };
    for name in project.job_names() {
        found.files.push(format!("{SCHEDULES_FOLDER}/{name}.toml"));
        match project.load_job(&name) {
            Ok(checked) => {
                found.problems.extend(checked.warnings.iter().cloned());
                found.files.extend(checked.files.keys().cloned());
                found.jobs.push(checked);
            }
            Err(problems) => {
                found.problems.extend(problems);
                found.jobs.extend(project.read_job(&name).ok());
            }
        }
    }
    found.files.sort();
    found.files.dedup();
    // Several jobs tell of the same connection.
    let mut told = std::collections::BTreeSet::new();
    found
        .problems
        .retain(|problem| told.insert(format!("{problem:?}")));
    found
}

pub(super) async fn page(State(house): State<Arc<House>>, frame: Frame) -> Result<Markup, Refusal> {
    frame.caller.expect_every_job()?;
    let found = tokio::task::block_in_place(|| find(&house));
    let content = html! {
        @if found.problems.is_empty() {
            p.empty { span.good { "✓" } " No problem in the files." }
        } @else {
            (list(&found.problems))
        }
        p.same { "The same, and with a look at the connections: " code { "writeback check" } }
        h2 { "Files" }
        ul { @for file in &found.files {
            li { a href=(format!("/files/{}", super::paths::encoded_path(file))) { (file) } }
        } }
    };
    Ok(frame.page("Problems", content))
}

/// Problems, each with its place and the next thing to do.
pub(super) fn list(problems: &[Problem]) -> Markup {
    html! {
        ul.waiting { @for problem in problems {
            @let (class, mark, word) = match problem.severity {
                Severity::Mistake => ("bad", "✕", "mistake"),
                Severity::Warning => ("warn", "!", "warning"),
            };
            li.(class) { div.what {
                p { span.chip.(class) { (mark) " " (word) } " "
                    @if let Some(location) = &problem.location {
                        a.nowrap href=(files::address(&location.file, location.line)) {
                            (location.file) ":" (location.line)
                        }
                    }
                }
                p { (problem.message) }
                @if let Some(hint) = &problem.hint { p.quiet { (hint) } }
            } }
        } }
    }
}
