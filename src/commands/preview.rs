//! `writeback preview`: what a run would do.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::json;

use super::{
    CommandError, Ending, cycle_of, job_problems, load_project, load_single_job, print, print_json,
    temporary_folder, warn_of,
};
use crate::cli::PreviewArguments;
use crate::config::CheckedJob;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::domain::problem::Problem;
use crate::ledger::Ledger;
use crate::report;
use crate::report::preview::{Files, page};
use crate::run::foresight::Foresight;
use crate::run::previewer::Previewer;
use crate::run::saved_plan::{Preview, SavedPlanError, SavedPlanWriter};
use crate::run::{RunError, plan};
use crate::schedule::notice::Book;
use crate::state::AsideFile;

pub(super) async fn preview(
    root: &Path,
    arguments: &PreviewArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = load_single_job(&project, &arguments.job.named())?;
    warn_of(&checked.warnings);
    if arguments.out.is_some() {
        expect_plannable(&checked)?;
    }
    // Asked for first: nobody wants to hear of it after a long preview.
    let page_file = arguments
        .html
        .as_deref()
        .map(PageFile::create)
        .transpose()?;
    let ledger = Ledger::open_if_there(&project.state_folder()).await?;
    let book = Book::Reading(ledger.as_ref());
    let cycle = cycle_of(&project, &checked, &arguments.job, book)
        .await?
        .cycle()
        .clone();
    let facts = RunFacts {
        run: NO_RUN,
        job: checked.job.name.clone(),
        cycle,
        started_at: Utc::now(),
    };
    let previewed = Preview {
        checked: &checked,
        only: arguments.job.write_back.as_deref(),
        cycle: &facts.cycle,
        begun_at: facts.started_at,
    };
    let saved = arguments
        .out
        .as_deref()
        .map(|path| SavedPlanWriter::create(path, &previewed));
    let mut saved = saved.transpose().map_err(not_saved)?;
    let mut plans = plan::plan_job(
        &project,
        &checked.job,
        arguments.job.write_back.as_deref(),
        &facts,
    )
    .await?;
    let folder = temporary_folder()?;
    let mut previewer = Previewer {
        project: &project,
        ledger: ledger.as_ref(),
        facts: &facts,
        samples_max: arguments.limit,
        folder: folder.path(),
        progress: report::progress::for_stderr(),
        foresight: Foresight::default(),
    };
    let mut previews = Vec::new();
    for plan in &mut plans {
        warn_of(&plan.warnings);
        previews.push(previewer.preview(plan, saved.as_mut()).await?);
    }
    let RunFacts {
        job,
        cycle,
        started_at,
        ..
    } = &facts;
    if let Some(page_file) = page_file {
        page_file.write(&page::html(job, &cycle.id, *started_at, &previews))?;
    }
    let sha256 = saved
        .map(SavedPlanWriter::finish)
        .transpose()
        .map_err(not_saved)?;
    let files = Files {
        page: arguments.html.as_deref(),
        plan: arguments.out.as_deref(),
    };
    match arguments.job.json {
        true => {
            let plan = arguments
                .out
                .as_ref()
                .map(|file| json!({ "file": file.display().to_string(), "sha256": sha256 }));
            print_json(
                &json!({ "job": job, "cycle": cycle.id, "plan": plan, "write_backs": previews }),
            )?;
        }
        false => print(&report::preview::text(job, &previews, files)),
    }
    Ok(
        if previews.iter().any(|preview| !preview.guards.is_empty()) {
            Ending::Guarded
        } else if previews.iter().any(|preview| preview.tally.rejected > 0) {
            Ending::Rejected
        } else {
            Ending::Done
        },
    )
}

/// Errors: rows that a plan would name are known only once other rows are made.
fn expect_plannable(checked: &CheckedJob) -> Result<(), CommandError> {
    let mut write_backs = checked.job.write_backs.iter();
    let Some(one) = write_backs.find(|write_back| write_back.creation.is_some()) else {
        return Ok(());
    };
    let message = format!(
        "`{}` makes rows that others name, so that no plan can be saved of it",
        one.name
    );
    let hint = "name another write-back with `--write-back`; without `--out` a preview tells what would be made";
    let problem = Problem::mistake(one.location.clone(), message).hint(hint);
    Err(job_problems(&checked.job.name, vec![problem]))
}

/// The page that `--html` asks for: it holds values of records, so only its owner may read it.
struct PageFile {
    path: PathBuf,
    aside: AsideFile,
}

impl PageFile {
    fn create(path: &Path) -> Result<Self, CommandError> {
        let aside = AsideFile::create_in_users_folder(path)
            .map_err(|source| could_not_write(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            aside,
        })
    }

    fn write(self, html: &str) -> Result<(), CommandError> {
        let written = self
            .aside
            .file()
            .write_all(html.as_bytes())
            .and_then(|()| self.aside.place());
        written.map_err(|source| could_not_write(&self.path, source))
    }
}

fn not_saved(error: SavedPlanError) -> CommandError {
    if let SavedPlanError::Io { path, source, .. } = error {
        return could_not_write(Path::new(&path), source);
    }
    RunError::from(error).into()
}

fn could_not_write(path: &Path, source: io::Error) -> CommandError {
    CommandError::File {
        file: path.display().to_string(),
        source,
    }
}
