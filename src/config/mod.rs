//! A user's project: `writeback.toml`, `schedules/*.toml` and `sql/*.sql`, from text to checked
//! values. Every mistake is found before anything runs, and all of them are shown at once, each
//! with file, line, column and a hint.

mod address;
mod agencies;
mod alerts;
mod cadence;
mod connections;
mod creations;
mod dashboards;
pub(crate) mod dbml;
mod document;
pub(crate) mod draft;
mod fields;
mod found_by;
mod guards;
mod http;
mod job;
mod labels;
mod names;
mod page;
mod percent;
mod project;
mod project_file;
mod questions;
mod read_back;
pub(crate) mod said;
mod schema;
mod schema_types;
mod secret;
pub(crate) mod switch;
#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::panic, reason = "tests may")]
mod tests;
mod times;
mod ways;
mod words;
mod write_back;
pub(crate) mod writers;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use chrono::Utc;

use crate::domain::alert::Thresholds;
use crate::domain::caller::HttpSettings;
use crate::domain::channel::Channels;
use crate::domain::connection::Connection;
use crate::domain::job::{Job, RecordsOf};
use crate::domain::problem::{Problem, did_you_mean, has_mistake, quoted_list};
pub(crate) use agencies::{SettingLine, job_of, new_agency};
use document::{Laid, read_text};
pub(crate) use names::{PROJECT_FILE, SCHEDULES_FOLDER};
pub(crate) use page::{PageSettings, ProxySettings};
pub(crate) use project::{CheckedJob, Dashboard, Project, Signal};
use secret::Surroundings;

impl Project {
    /// Reads `writeback.toml` in `root`. A password or URL that is not where it should be is no
    /// error yet: only [`Project::connection`] and [`Project::load_job`] of what uses it tell.
    pub(crate) fn load(root: &Path) -> Result<Self, Vec<Problem>> {
        let environment = |name: &str| std::env::var_os(name);
        Self::load_within(Surroundings {
            root,
            environment: &environment,
            clock: Utc::now,
        })
    }

    fn load_within(surroundings: Surroundings<'_>) -> Result<Self, Vec<Problem>> {
        let text =
            read_text(&surroundings.root.join(PROJECT_FILE), PROJECT_FILE).map_err(|error| {
                vec![error.problem_or(PROJECT_FILE, || no_project(surroundings.root))]
            })?;
        project_file::read_project(&text, surroundings).map_err(in_order)
    }

    /// The jobs that a run of a job is: those of its agencies if it is their base, and then itself
    /// if records may be of none of them.
    pub(crate) fn jobs_within(&self, job: &str) -> Vec<String> {
        let Ok(name) = self.job_name(job) else {
            return vec![job.to_owned()];
        };
        let agencies = agencies::names(&self.root, &name);
        if agencies.is_empty() {
            return vec![job.to_owned()];
        }
        let named = agencies.iter().map(|agency| job_of(&name, agency));
        named
            .chain(self.takes_strangers(&name).then(|| name.clone()))
            .collect()
    }

    /// Whether records of a base may be of no agency: it names a column that tells.
    fn takes_strangers(&self, base: &str) -> bool {
        let read = self.read_job(base);
        read.map_or(true, |checked| {
            let mut write_backs = checked.job.write_backs.iter();
            write_backs.any(|write_back| write_back.records_of != RecordsOf::None)
        })
    }

    /// Every setting of a job and of the connections that its agency has for itself, with where
    /// it is said.
    pub(crate) fn settings(&self, job: &str) -> Result<Vec<SettingLine>, Vec<Problem>> {
        let name = self.job_name(job).map_err(|problem| vec![problem])?;
        let (file, text, laid) = self.job_texts(&name)?;
        let mut settings = match &laid {
            Some(laid) => project_file::own_settings(&self.root, laid),
            None => Vec::new(),
        };
        settings.extend(job::job_settings(&file, &text, laid.as_ref())?);
        Ok(settings)
    }

    /// A job's file, its text, and what is laid over it if the job is an agency's.
    fn job_texts(&self, name: &str) -> Result<(String, String, Option<Laid>), Vec<Problem>> {
        let (base, agency) = agencies::parts(name);
        let file = format!("{SCHEDULES_FOLDER}/{base}.toml");
        let text = read_text(&self.root.join(&file), &file)
            .map_err(|error| vec![error.problem_or(&file, || self.no_job(base))])?;
        let laid = match agency {
            None => None,
            Some(_) if agencies::names(&self.root, base).is_empty() => {
                let message = format!("job `{base}` has no agencies");
                let hint = format!(
                    "add `[agencies]` to {file}, and a file for each to {SCHEDULES_FOLDER}/{base}/"
                );
                return Err(vec![Problem::mistake(None, message).hint(hint)]);
            }
            Some(agency) => {
                let laid = agencies::read_over(&self.root, &text, base, agency);
                Some(laid.map_err(|problem| vec![problem])?)
            }
        };
        Ok((file, text, laid))
    }

    /// Names of the jobs in `schedules/`, sorted; those of agencies stand before their base.
    pub(crate) fn job_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(SCHEDULES_FOLDER));
        let files = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| !entry.path().is_dir());
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .filter(|name| !name.is_empty() && !name.starts_with('.'))
            .collect();
        names.sort();
        names
            .into_iter()
            .flat_map(|name| self.jobs_within(&name))
            .collect()
    }

    /// Reads a job by its name or its file, with the schemas it names. The connections it uses are
    /// ready.
    pub(crate) fn load_job(&self, job: &str) -> Result<CheckedJob, Vec<Problem>> {
        let mut checked = self.read_job(job)?;
        let mut told: Vec<Problem> = self.users_of(&checked.job);
        told.append(&mut checked.warnings);
        let mut fields = (checked.job.write_backs.iter()).flat_map(|write_back| &write_back.fields);
        if fields.any(|field| field.real_time) {
            let others = self.other_writers(&checked.job).into_iter();
            told.extend(others.filter(Problem::is_mistake));
        }
        match has_mistake(&told) {
            true => Err(in_order(told)),
            false => Ok(CheckedJob {
                warnings: in_order(told),
                ..checked
            }),
        }
    }

    /// What is to be told of columns that other jobs of the project write as well.
    pub(crate) fn other_writers(&self, job: &Job) -> Vec<Problem> {
        let others = self.jobs_beside(&job.name);
        let told = others.iter().map(|other| writers::shared(job, other));
        told.flatten().collect()
    }

    /// The jobs that may write what a job writes. The agencies of one base do not: each has records
    /// of its own. Nor do those that cannot be read.
    pub(crate) fn jobs_beside(&self, job: &str) -> Vec<Job> {
        let (base, _) = agencies::parts(job);
        let names = self.job_names().into_iter();
        let others = names.filter(|name| agencies::parts(name).0 != base);
        others
            .filter_map(|name| Some(self.read_job(&name).ok()?.job))
            .collect()
    }

    /// Reads a job as [`Project::load_job`] does, whether or not its connections are ready to be
    /// used.
    pub(crate) fn read_job(&self, job: &str) -> Result<CheckedJob, Vec<Problem>> {
        let name = self.job_name(job).map_err(|problem| vec![problem])?;
        let (file, text, laid) = self.job_texts(&name)?;
        let mut told = self
            .told_to_agencies
            .get(&name)
            .cloned()
            .unwrap_or_default();
        let read = job::read_job(self, &name, &file, &text, laid.as_ref(), (self.clock)());
        match read {
            Ok(mut checked) if !has_mistake(&told) => {
                checked.warnings.append(&mut told);
                checked.warnings = in_order(checked.warnings);
                Ok(checked)
            }
            Ok(_) => Err(in_order(told)),
            Err(problems) => Err(in_order(told.into_iter().chain(problems).collect())),
        }
    }

    /// A connection by its name, ready to be used, with warnings about it.
    /// Errors: it is unknown, or its password or URL is not where it should be.
    pub(crate) fn connection(
        &self,
        name: &str,
    ) -> Result<(&Connection, Vec<Problem>), Vec<Problem>> {
        let told = self.told_to_users.get(name).cloned().unwrap_or_default();
        match self.connections.get(name) {
            Some(connection) => Ok((connection, told)),
            None if has_mistake(&told) => Err(told),
            None => Err(vec![
                Problem::mistake(
                    None,
                    format!("there is no connection `{name}` in {PROJECT_FILE}"),
                )
                .hint(self.connection_hint(name)),
            ]),
        }
    }

    /// Thresholds of jobs that have none of their own.
    pub(crate) fn thresholds(&self) -> Thresholds {
        self.alerts.thresholds
    }

    /// The channels through which people are told of alerts.
    /// Errors: what one of them needs is not where it should be.
    pub(crate) fn channels(&self) -> Result<&Channels, Vec<Problem>> {
        match self.alerts.absent.as_slice() {
            [] => Ok(&self.alerts.channels),
            absent => Err(absent.to_vec()),
        }
    }

    /// Where and for whom requests are answered, if they are.
    /// Errors: what a caller is known by is not where it should be.
    pub(crate) fn http(&self) -> Result<Option<&HttpSettings>, Vec<Problem>> {
        match self.http.absent.as_slice() {
            [] => Ok(self.http.settings.as_ref()),
            absent => Err(absent.to_vec()),
        }
    }

    /// A dashboard by its name.
    /// Errors: it is unknown.
    pub(crate) fn dashboard(&self, name: &str) -> Result<&Dashboard, Problem> {
        self.dashboards.get(name).ok_or_else(|| {
            let known = || self.dashboards.keys().map(String::as_str);
            let hint =
                did_you_mean(name, known()).unwrap_or_else(|| match self.dashboards.is_empty() {
                    true => format!("add a `[dashboards.{name}]` to {PROJECT_FILE}"),
                    false => format!("dashboards are {}", quoted_list(known())),
                });
            let message = format!(
                "there is no dashboard `{}` in {PROJECT_FILE}",
                name.escape_debug()
            );
            Problem::mistake(None, message).hint(hint)
        })
    }

    /// Where state lives: `.writeback`.
    pub(crate) fn state_folder(&self) -> PathBuf {
        self.root.join(".writeback")
    }

    fn connection_hint(&self, name: &str) -> String {
        let shared = || self.told_to_users.keys().map(String::as_str);
        let known = || shared().filter(|name| !agencies::is_own_connection(name));
        did_you_mean(name, known()).unwrap_or_else(|| match self.told_to_users.is_empty() {
            true => format!("add a `[connections.{name}]` to {PROJECT_FILE}"),
            false => format!("connections are {}", quoted_list(known())),
        })
    }

    /// What is to be told of the connections a job uses.
    fn users_of(&self, job: &Job) -> Vec<Problem> {
        let followed = job.dashboard().and_then(|name| self.dashboards.get(name));
        let asked = followed.and_then(|dashboard| match &dashboard.signal {
            Signal::Query { connection, .. } => Some(connection),
            Signal::Marker { .. } | Signal::Clock { .. } | Signal::Announced => None,
        });
        let ends = job
            .write_backs
            .iter()
            .flat_map(|write_back| [&write_back.source, &write_back.destination]);
        let used: BTreeSet<&String> = ends.chain(asked).collect();
        used.into_iter()
            .filter_map(|name| self.told_to_users.get(name))
            .flatten()
            .cloned()
            .collect()
    }

    /// The name meant by a job's name or its file.
    /// Errors: it lies outside `schedules/`.
    fn job_name(&self, job: &str) -> Result<String, Problem> {
        let path = Path::new(job);
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let parts: Option<Vec<&str>> = path
            .components()
            .filter(|part| !matches!(part, Component::CurDir))
            .map(|part| {
                if let Component::Normal(name) = part {
                    name.to_str()
                } else {
                    None
                }
            })
            .collect();
        let is_name = |name: &str| {
            !name.is_empty() && !name.starts_with('.') && !name.contains(char::is_control)
        };
        let bare = |name: &str| name.strip_suffix(".toml").unwrap_or(name).to_owned();
        let name = match parts.unwrap_or_default().as_slice() {
            [name] => Some(bare(name)),
            [SCHEDULES_FOLDER, file] if file.ends_with(".toml") => Some(bare(file)),
            [SCHEDULES_FOLDER, base, file] if file.ends_with(".toml") && is_name(base) => {
                Some(job_of(base, &bare(file)))
            }
            [base, agency] if *base != SCHEDULES_FOLDER && is_name(base) => {
                Some(job_of(base, &bare(agency)))
            }
            _ => None,
        };
        let name = name.filter(|name| name.split('/').all(is_name));
        name.ok_or_else(|| {
            Problem::mistake(
                None,
                format!(
                    "`{}` is not a file of {SCHEDULES_FOLDER}/",
                    job.escape_default()
                ),
            )
            .hint(self.jobs_hint())
        })
    }

    fn no_job(&self, name: &str) -> Problem {
        let names = self.job_names();
        let hint = did_you_mean(name, names.iter().map(String::as_str))
            .unwrap_or_else(|| self.jobs_hint());
        Problem::mistake(
            None,
            format!("there is no job `{name}`: {SCHEDULES_FOLDER}/{name}.toml does not exist"),
        )
        .hint(hint)
    }

    fn jobs_hint(&self) -> String {
        let names = self.job_names();
        match names.is_empty() {
            true => format!("{SCHEDULES_FOLDER}/ holds no job yet; the README shows one"),
            false => format!("jobs are {}", quoted_list(names.iter().map(String::as_str))),
        }
    }
}

/// Every key that a page of `docs/` is to tell of.
#[cfg(test)]
pub(crate) fn every_key() -> Vec<&'static str> {
    [
        job::ALL_KEYS,
        fields::FIELD_KEYS,
        creations::STEP_KEYS,
        creations::NOTE_KEYS,
        cadence::KEYS,
        dashboards::ALL_KEYS.as_slice(),
        alerts::JOB_KEYS,
        page::KEYS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .chain(connections::every_key())
    .collect()
}

fn no_project(root: &Path) -> Problem {
    Problem::mistake(
        None,
        format!("there is no {PROJECT_FILE} in `{}`", root.display()),
    )
    .hint("`writeback init` makes a new project; `--project DIR` names another folder")
}

/// Problems in the order in which people go through files.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|left, right| left.location.cmp(&right.location));
    problems.dedup();
    problems
}
