//! The project's files as they were last read well. They are looked at again and again: an edit is
//! taken over when it can be read, and a broken one is told of while what was read before stays.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::config::{CheckedJob, PROJECT_FILE, Project, SCHEDULES_FOLDER};
use crate::domain::problem::{Problem, Severity};

/// Where schemas usually stand.
const SCHEMAS_FOLDER: &str = "sql";

/// What a project's files say, and what is the matter with those that cannot be read now.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    pub(super) project: Arc<Project>,
    pub(super) jobs: BTreeMap<String, JobFile>,
    /// Why `writeback.toml` as it stands now is not what is in force.
    pub(super) project_broken: Option<String>,
    seen: Fingerprint,
    /// What the files looked like when they were last found changed: an edit is read once it holds
    /// still.
    unsettled: Option<Fingerprint>,
}

/// A job's file.
#[derive(Debug, Clone)]
pub(super) struct JobFile {
    /// As it was last read well; absent if it never was.
    pub(super) good: Option<Arc<CheckedJob>>,
    /// Why the file as it stands now is not what is in force.
    pub(super) broken: Option<String>,
}

/// What tells one state of the files from another: names, sizes, times of change.
type Fingerprint = BTreeMap<PathBuf, (u64, i64, i64, u64)>;

impl Files {
    /// Reads the files for the first time.
    /// Errors: mistakes in `writeback.toml`.
    pub(super) fn read(root: &Path) -> Result<Self, Vec<Problem>> {
        let project = Arc::new(Project::load(root)?);
        let mut files = Self {
            root: root.to_owned(),
            project,
            jobs: BTreeMap::new(),
            project_broken: None,
            seen: Fingerprint::new(),
            unsettled: None,
        };
        files.seen = files.fingerprint();
        files.read_jobs();
        Ok(files)
    }

    /// Looks at the files, and reads them again if they were changed and hold still.
    /// Answers whether they were read.
    pub(super) fn look(&mut self) -> bool {
        let now = self.fingerprint();
        if now == self.seen {
            self.unsettled = None;
            return false;
        }
        if self.unsettled.as_ref() != Some(&now) {
            self.unsettled = Some(now);
            return false;
        }
        self.reread();
        true
    }

    /// Whether the files were changed since they were read: they are read again once they hold
    /// still.
    pub(super) fn are_edited(&self) -> bool {
        self.fingerprint() != self.seen
    }

    /// Reads the files again though they look the same, for what they refer to may have changed: a
    /// password's file. While somebody edits them they stay as they were read.
    pub(super) fn reread_unless_edited(&mut self) {
        if !self.are_edited() {
            self.reread();
        }
    }

    /// Reads the files again.
    pub(super) fn reread(&mut self) {
        // Taken before reading: what changes meanwhile is read next time.
        self.seen = self.fingerprint();
        match Project::load(&self.root) {
            Ok(project) => {
                self.project = Arc::new(project);
                self.project_broken = None;
            }
            Err(problems) => {
                let told = told(&problems);
                if self.project_broken.as_ref() != Some(&told) {
                    warn!(problems = %told, "`{PROJECT_FILE}` cannot be read as it stands; what was read before stays in force");
                }
                self.project_broken = Some(told);
            }
        }
        self.read_jobs();
        self.unsettled = None;
    }

    /// Whether some file as it stands now is not in force.
    pub(super) fn is_broken(&self) -> bool {
        self.project_broken.is_some() || self.jobs.values().any(|job| job.broken.is_some())
    }

    fn read_jobs(&mut self) {
        let names = self.project.job_names();
        self.jobs.retain(|name, _| {
            let stays = names.contains(name);
            if !stays {
                info!(job = %name, "the job's file is gone; the job is no longer served");
            }
            stays
        });
        for name in names {
            let before = self.jobs.get(&name).cloned();
            let read = self.project.load_job(&name);
            self.jobs
                .insert(name.clone(), taken_over(&name, before, read));
        }
    }

    /// Of `writeback.toml`, the job files, the files of `sql/`, and the schemas that jobs have
    /// elsewhere.
    fn fingerprint(&self) -> Fingerprint {
        let elsewhere = self
            .jobs
            .values()
            .filter_map(|job| job.good.as_ref())
            .flat_map(|checked| {
                checked
                    .job
                    .write_backs
                    .iter()
                    .map(|write_back| self.root.join(&*write_back.schema.file))
            });
        let schedules = self.root.join(SCHEDULES_FOLDER);
        let agencies = folders_of(&schedules)
            .into_iter()
            .flat_map(|folder| files_of(&folder, "toml"));
        let jobs = files_of(&schedules, "toml").into_iter().chain(agencies);
        let schemas = files_of(&self.root.join(SCHEMAS_FOLDER), "sql");
        let files = std::iter::once(self.root.join(PROJECT_FILE))
            .chain(jobs)
            .chain(schemas)
            .chain(elsewhere);
        files
            .map(|path| {
                let facts = fs::metadata(&path).map_or((0, 0, 0, 0), |facts| {
                    (facts.ino(), facts.mtime(), facts.mtime_nsec(), facts.len())
                });
                (path, facts)
            })
            .collect()
    }
}

fn folders_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn files_of(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|its| its == extension))
        .collect()
}

/// A job's file as it is to be known after reading it.
fn taken_over(
    name: &str,
    before: Option<JobFile>,
    read: Result<CheckedJob, Vec<Problem>>,
) -> JobFile {
    let (known, broken_before) = before.map_or((None, None), |before| (before.good, before.broken));
    match read {
        Ok(checked) => {
            if let Some(known) = &known
                && known.digest != checked.digest
            {
                info!(job = %name, "the job's changed file is in force");
            }
            JobFile {
                good: Some(Arc::new(checked)),
                broken: None,
            }
        }
        Err(problems) => {
            let broken = told(&problems);
            if broken_before.as_ref() != Some(&broken) {
                let stays = if known.is_some() {
                    "what was read before stays in force"
                } else {
                    "the job is not served"
                };
                warn!(job = %name, problems = %broken, "the job's file cannot be read as it stands; {stays}");
            }
            JobFile {
                good: known,
                broken: Some(broken),
            }
        }
    }
}

/// Mistakes in one line.
pub(super) fn told(problems: &[Problem]) -> String {
    let mistakes = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Mistake);
    let told = mistakes.map(|problem| match &problem.location {
        Some(location) => format!("{location}: {}", problem.message),
        None => problem.message.clone(),
    });
    told.collect::<Vec<_>>().join("; ")
}
