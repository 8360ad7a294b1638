//! What every page needs: the project's folder, the ledger, and who may come in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use chrono::{TimeDelta, Utc};
use tokio::sync::Semaphore;

use super::door::Hosts;
use super::frame::Frame;
use super::refusal::Refusal;
use crate::access::AccessBook;
use crate::config::{CheckedJob, Dashboard, PageSettings, Project};
use crate::domain::access::Role;
use crate::domain::job::WriteBack;
use crate::domain::problem::Problem;
use crate::ledger::{Ledger, LedgerError, RunEntry, WriteBackEntry, WriteBackId};

/// How many may watch a run or a request at once.
const STREAMS_MAX: usize = 20;

/// How long a look may take: one that was begun earlier and has not ended was cut off.
const LOOK_DURATION_MAX: TimeDelta = TimeDelta::hours(6);

/// What the page's handlers share.
#[derive(Debug)]
pub(super) struct House {
    pub(super) root: PathBuf,
    pub(super) state_folder: PathBuf,
    /// Of the page's own, so that looking waits for no run.
    pub(super) ledger: Ledger,
    pub(super) access: AccessBook,
    pub(super) settings: PageSettings,
    pub(super) hosts: Hosts,
    /// Looks that are being made here, each at this job.
    pub(super) looks: Mutex<BTreeMap<i64, String>>,
    /// Places for those who watch.
    pub(super) streams: Arc<Semaphore>,
    /// Where the page is reached, without a slash at its end.
    pub(super) url: String,
}

impl House {
    pub(super) async fn open(
        project: &Project,
        access: AccessBook,
        address: Option<SocketAddr>,
    ) -> Result<Self, LedgerError> {
        let settings = project.page.clone();
        let url = match &settings.url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => address.map_or(String::new(), |address| format!("http://{address}")),
        };
        let ledger = Ledger::open(&project.state_folder()).await?;
        ledger
            .end_cut_off_looks(Utc::now() - LOOK_DURATION_MAX)
            .await?;
        Ok(Self {
            root: project.root.clone(),
            state_folder: project.state_folder(),
            ledger,
            access,
            hosts: Hosts::of(address, settings.url.as_ref()),
            looks: Mutex::new(BTreeMap::new()),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            settings,
            url,
        })
    }

    /// The project as its files say now.
    /// Errors: they hold mistakes.
    pub(super) fn load(&self) -> Result<Project, Vec<Problem>> {
        Project::load(&self.root)
    }

    /// As [`House::load`], for whoever can show nothing without it.
    pub(super) fn project(&self) -> Result<Project, Refusal> {
        self.load().map_err(Refusal::mistakes)
    }

    /// Whether somebody sees values of records, or only how many there are and their keys.
    pub(super) fn shows_values_to(&self, role: Role) -> bool {
        role > Role::Viewer || self.settings.viewers_see_values
    }

    /// Errors: values of records are not for them.
    pub(super) fn expect_values_for(&self, frame: &Frame) -> Result<(), Refusal> {
        if self.shows_values_to(frame.caller.role) {
            return Ok(());
        }
        let title = "values of records are shown to operators and admins";
        let hint =
            "`viewers_see_values = true` in `[page]` of writeback.toml shows them to viewers too";
        Err(Refusal::new(StatusCode::FORBIDDEN, title).hint(hint))
    }

    /// A job as its file says now, whether or not its connections are ready.
    /// Errors: there is none, or its file holds mistakes.
    pub(super) fn job(&self, project: &Project, job: &str) -> Result<CheckedJob, Refusal> {
        if !project.job_names().iter().any(|name| name == job) {
            return Err(Refusal::absent(format!("there is no job `{job}`")));
        }
        project.read_job(job).map_err(Refusal::mistakes)
    }

    /// Errors: a file is none of the one job that is theirs.
    pub(super) fn expect_file(&self, frame: &Frame, file: &str) -> Result<(), Refusal> {
        if frame.caller.job.is_none() {
            return Ok(());
        }
        let project = self.project()?;
        let names = project.job_names().into_iter();
        let mut own = names.filter(|job| frame.caller.may_see(job));
        let is_of = |job: String| {
            let checked = project.read_job(&job);
            checked.is_ok_and(|checked| checked.files.contains_key(file))
        };
        match own.any(is_of) {
            true => Ok(()),
            false => frame.caller.expect_every_job(),
        }
    }

    /// A write-back of a job. Errors: there is none.
    pub(super) fn write_back<'a>(
        &self,
        checked: &'a CheckedJob,
        name: &str,
    ) -> Result<&'a WriteBack, Refusal> {
        let found = checked.job.write_backs.iter().find(|one| one.name == name);
        found.ok_or_else(|| {
            Refusal::absent(format!(
                "there is no write-back `{name}` in job `{}`",
                checked.job.name
            ))
        })
    }

    /// Errors: no write-back of a job is called so, nor several destinations by one name.
    pub(super) fn expect_called(&self, checked: &CheckedJob, name: &str) -> Result<(), Refusal> {
        let mut all = checked.job.write_backs.iter();
        match all.any(|one| one.is_called(name)) {
            true => Ok(()),
            false => self.write_back(checked, name).map(drop),
        }
    }

    /// A dashboard of the project. Errors: there is none.
    pub(super) fn dashboard<'a>(
        &self,
        project: &'a Project,
        name: &str,
    ) -> Result<&'a Dashboard, Refusal> {
        project.dashboard(name).map_err(|problem| {
            let refusal = Refusal::absent(problem.message);
            match problem.hint {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            }
        })
    }

    /// A run, for somebody who may see its job. Errors: there is none.
    pub(super) async fn run_for(&self, frame: &Frame, run: i64) -> Result<RunEntry, Refusal> {
        let entry = self.ledger.run(run).await?;
        frame.caller.expect_job(&entry.job)?;
        Ok(entry)
    }

    /// A write-back of a run. Errors: there is none.
    pub(super) fn write_back_of<'a>(
        &self,
        run: &'a RunEntry,
        name: &str,
    ) -> Result<(WriteBackId, &'a WriteBackEntry), Refusal> {
        let mut all = (0..).zip(&run.write_backs);
        let found = all.find(|(_, one)| one.name == name);
        let (position, one) = found.ok_or_else(|| {
            Refusal::absent(format!(
                "there is no write-back `{name}` in run {}",
                run.run
            ))
        })?;
        let id = WriteBackId {
            run: run.run,
            position,
        };
        Ok((id, one))
    }

    /// Looks that are being made here.
    pub(super) fn looks(&self) -> MutexGuard<'_, BTreeMap<i64, String>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the page is reached through TLS, as far as its `url` tells.
    pub(super) fn is_encrypted(&self) -> bool {
        self.url.starts_with("https://")
    }
}
