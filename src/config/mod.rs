//! A user's project: `writeback.toml`, `schedules/*.toml` and `sql/*.sql`, from text to checked values. Every mistake is
//! found before anything runs, and all of them are shown at once, each with file, line, column and a hint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::connection::Connection;
use crate::domain::job::Job;
use crate::domain::problem::Problem;

/// A project's folder and what its `writeback.toml` says.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) dashboards: BTreeMap<String, Dashboard>,
}

/// One `[dashboards.NAME]`: how a finished cycle is noticed.
#[derive(Debug, Clone)]
pub(crate) struct Dashboard {
    pub(crate) name: String,
    pub(crate) signal: Signal,
}

/// What tells that a dashboard's automation has finished.
#[derive(Debug, Clone)]
pub(crate) enum Signal {
    /// A JSON file with `cycle_id`, `completed_at` and `status`.
    Marker { file: PathBuf },
    /// A query on a source connection that yields `cycle_id`, `completed_at` and `status`, newest first.
    Query { connection: String, sql: String },
}

/// A job, and what deserves a look though it stops nothing.
#[derive(Debug)]
pub(crate) struct CheckedJob {
    pub(crate) job: Job,
    pub(crate) warnings: Vec<Problem>,
}

impl Project {
    /// Reads `writeback.toml` in `root`.
    pub(crate) fn load(_root: &Path) -> Result<Self, Vec<Problem>> {
        unimplemented!()
    }

    /// Names of the jobs in `schedules/`, sorted.
    pub(crate) fn job_names(&self) -> Vec<String> {
        unimplemented!()
    }

    /// Reads a job by its name or its file, with the schemas it names.
    pub(crate) fn load_job(&self, _job: &str) -> Result<CheckedJob, Vec<Problem>> {
        unimplemented!()
    }

    /// Where state lives: `.writeback`.
    pub(crate) fn state_folder(&self) -> PathBuf {
        self.root.join(".writeback")
    }
}
