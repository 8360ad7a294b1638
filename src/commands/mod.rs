//! The commands: each wires parts together and holds no rules. Data goes to stdout, everything else
//! to stderr.

mod activity;
mod agencies;
mod check;
mod cycle;
mod describe;
pub(crate) mod dispatch;
mod history;
pub(crate) mod init;
pub(crate) mod manual;
mod methods;
mod page;
mod park;
mod pause;
mod practice;
mod preview;
mod questions;
mod rehearsal;
mod run;
mod runs;
mod schema;
mod serve;
mod settings;
mod signals;
mod status;
mod test;
mod undo;
mod verify;

use std::io;
use std::process::Stdio;

use chrono::{DateTime, Utc};

use crate::cli::JobArguments;
use crate::config::{CheckedJob, Project};
use crate::domain::counted::counted;
use crate::domain::error::{SystemError, chain};
use crate::domain::printable::printable;
use crate::domain::problem::{Problem, quoted_list};
use crate::ledger::{Ledger, LedgerError, NewAction};
use crate::page::PageError;
use crate::practice::PracticeError;
use crate::report::failure;
use crate::report::output::{self, print};
use crate::room::RoomError;
use crate::run::journal::JournalError;
use crate::run::parking::{ParkingError, key_of};
use crate::run::plan::PlanError;
use crate::run::preview::PreviewError;
use crate::run::{RequestedCycle, RunError};
use crate::schedule::notice::{self, Book, NoticeError};
use crate::schedule::serve::ServeError;

/// How the program ends; DESIGN and README list what each code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Rejected,
    Guarded,
    /// The destination no longer holds what was written.
    Drifted,
    /// No record has a row in the destination.
    Unmatched,
}

/// Why a command could not do its work: exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{title}")]
    Problems {
        title: String,
        problems: Vec<Problem>,
    },
    #[error(transparent)]
    Run(Box<RunError>),
    /// Which job failed and why was told as it happened.
    #[error("{failed} of {of} runs of job `{job}` could not be run or finished")]
    Agencies {
        job: String,
        failed: usize,
        of: usize,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Notice(#[from] NoticeError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Practice(#[from] PracticeError),
    #[error("there is no request `{id}`")]
    NoSuchRequest { id: String },
    #[error("connection `{connection}` has no practice stand-in")]
    NoPractice { connection: String },
    #[error(transparent)]
    Page(#[from] PageError),
    #[error("the account of acts is not as it was written: act {action} was altered or taken out")]
    Altered { action: i64 },
    #[error(transparent)]
    Init(#[from] init::InitError),
    #[error("could not describe `{table}` of `{connection}`")]
    Describe {
        table: String,
        connection: String,
        source: Box<SystemError>,
    },
    #[error("no record with key `{key}` in the source of any write-back of job `{job}`")]
    NoRecord { key: String, job: String, read: u64 },
    /// A file that the user asked for.
    #[error("could not write `{file}`")]
    File { file: String, source: io::Error },
    #[error("record `{key}` of job `{job}` is not parked")]
    NotParked { key: String, job: String },
    #[error("what is to become of record `{key}` of job `{job}`?")]
    ParkedHow { key: String, job: String },
    #[error(transparent)]
    Parking(#[from] ParkingError),
    #[error("job `{job}` is not paused")]
    NotPaused { job: String },
    #[error("{} is over", until.format("%Y-%m-%d %H:%M:%S UTC"))]
    PauseOver { until: DateTime<Utc> },
    #[error("could not {doing}")]
    Io {
        doing: &'static str,
        source: io::Error,
    },
    #[error("could not write to stdout; the work itself is done")]
    Untold { source: io::Error },
    #[error(transparent)]
    Room(#[from] RoomError),
    /// Where and why was told when it happened.
    #[error("the program came upon a fault of its own")]
    Panicked,
}

impl CommandError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Notice(error) => error.hint(),
            Self::Describe { source, .. } => source.hint(),
            Self::NoRecord { read, .. } => Some(format!(
                "{} were read; a key is written as `writeback preview` shows it",
                counted(usize::try_from(*read).unwrap_or(usize::MAX), "record")
            )),
            Self::Ledger(error) => error.hint(),
            Self::Serve(error) => error.hint(),
            Self::Practice(error) => error.hint(),
            Self::NoPractice { connection } => Some(format!(
                "add `practice = \"FOLDER\"` to `[connections.{connection}]`, with a folder of describe answers and records"
            )),
            Self::NoSuchRequest { .. } => Some(
                "its caller was told the `id`; `writeback history` lists those of a record with `--json`".to_owned(),
            ),
            Self::Page(error) => error.hint(),
            Self::Altered { .. } => {
                Some("compare it with a backup of `.writeback/ledger.db`".to_owned())
            }
            Self::Init(error) => error.hint(),
            Self::NotParked { job, .. } => {
                Some(format!("`writeback park {job}` lists those that are"))
            }
            Self::ParkedHow { .. } => Some(
                "`--until DATE --reason TEXT` leaves it alone, `--lift` takes it up again"
                    .to_owned(),
            ),
            Self::Parking(error) => error.hint(),
            Self::NotPaused { .. } => {
                Some("`writeback status` tells why each job runs or does not".to_owned())
            }
            Self::PauseOver { .. } => Some("name a later time, or none".to_owned()),
            Self::File { source, .. } => Some(file_hint(source).to_owned()),
            Self::Untold { source } if source.kind() == io::ErrorKind::StorageFull => Some(
                "free some space where stdout leads; `writeback runs` tells what was done"
                    .to_owned(),
            ),
            Self::Untold { .. } => {
                Some("see where stdout leads; `writeback runs` tells what was done".to_owned())
            }
            Self::Room(error) => Some(error.hint().to_owned()),
            Self::Panicked => Some(
                "run again: the next run goes on where this one stood; and please report it"
                    .to_owned(),
            ),
            Self::Agencies { .. } => {
                Some("the others are not affected; `--agency NAME` runs one alone".to_owned())
            }
            Self::Problems { .. } | Self::Io { .. } => None,
        }
    }

    /// The run that did not finish, if one began.
    fn run(&self) -> Option<i64> {
        if let Self::Run(error) = self {
            error.run()
        } else {
            None
        }
    }

    /// Whether it says that a run wrote nothing that could be taken back.
    fn is_nothing_to_undo(&self) -> bool {
        if let Self::Run(error) = self {
            error.is_nothing_to_undo()
        } else {
            false
        }
    }

    /// Its message and causes in one line.
    fn line(&self) -> String {
        chain(self).join(": ")
    }

    /// The mistakes it stands for; none if it stands for something else.
    fn mistakes(&self) -> &[Problem] {
        match self {
            Self::Problems { problems, .. }
            | Self::Init(init::InitError::Mistakes(problems))
            | Self::Serve(ServeError::Project { problems })
            | Self::Page(PageError::Project { problems })
            | Self::Journal(JournalError::Connection { problems, .. }) => problems,
            Self::Run(error) => error.problems(),
            Self::Agencies { .. }
            | Self::Journal(_)
            | Self::Notice(_)
            | Self::Ledger(_)
            | Self::Serve(_)
            | Self::Practice(_)
            | Self::NoPractice { .. }
            | Self::NoSuchRequest { .. }
            | Self::Page(_)
            | Self::Altered { .. }
            | Self::Init(_)
            | Self::Describe { .. }
            | Self::NoRecord { .. }
            | Self::File { .. }
            | Self::NotParked { .. }
            | Self::ParkedHow { .. }
            | Self::Parking(_)
            | Self::NotPaused { .. }
            | Self::PauseOver { .. }
            | Self::Io { .. }
            | Self::Untold { .. }
            | Self::Room(_)
            | Self::Panicked => &[],
        }
    }

    /// The mistakes it stands for, if it stands for mistakes in the project's files.
    fn into_problems(self) -> Result<Vec<Problem>, Self> {
        match self {
            Self::Problems { problems, .. }
            | Self::Init(init::InitError::Mistakes(problems))
            | Self::Serve(ServeError::Project { problems })
            | Self::Page(PageError::Project { problems })
            | Self::Journal(JournalError::Connection { problems, .. }) => Ok(problems),
            Self::Run(error) => error.into_problems().map_err(Self::from),
            Self::Agencies { .. }
            | Self::Journal(_)
            | Self::Notice(_)
            | Self::Ledger(_)
            | Self::Serve(_)
            | Self::Practice(_)
            | Self::NoPractice { .. }
            | Self::NoSuchRequest { .. }
            | Self::Page(_)
            | Self::Altered { .. }
            | Self::Init(_)
            | Self::Describe { .. }
            | Self::NoRecord { .. }
            | Self::File { .. }
            | Self::NotParked { .. }
            | Self::ParkedHow { .. }
            | Self::Parking(_)
            | Self::NotPaused { .. }
            | Self::PauseOver { .. }
            | Self::Io { .. }
            | Self::Untold { .. }
            | Self::Room(_)
            | Self::Panicked => Err(self),
        }
    }

    /// The whole message, problems included, ending in a newline.
    fn into_text(self) -> String {
        let title = printable(&self.to_string());
        match self.into_problems() {
            Ok(problems) => format!("error: {title}\n{}", failure::problems_text(&problems)),
            Err(error) => failure::error_text(&error, error.hint().as_deref()),
        }
    }
}

/// What to do about a file of the user's that could not be written.
fn file_hint(error: &io::Error) -> &'static str {
    let no_folder = "make the folder first, or name a file in one that is there";
    let hints = [
        (io::ErrorKind::NotFound, no_folder),
        (io::ErrorKind::NotADirectory, no_folder),
        (
            io::ErrorKind::IsADirectory,
            "that is a folder; name a file in it",
        ),
        (
            io::ErrorKind::StorageFull,
            "free some space, or name a file on another disk",
        ),
    ];
    let known = hints.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or(
        "name a file in a folder that you may write to",
        |(_, hint)| hint,
    )
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl From<PlanError> for CommandError {
    fn from(error: PlanError) -> Self {
        RunError::from(error).into()
    }
}

impl From<PreviewError> for CommandError {
    fn from(error: PreviewError) -> Self {
        RunError::from(error).into()
    }
}

/// Prints a value as JSON to stdout.
fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    output::print_json(value).map_err(|error| CommandError::Io {
        doing: "write JSON",
        source: error.into(),
    })
}

/// Says on stderr what deserves a look.
fn warn_of(warnings: &[Problem]) {
    output::tell(&failure::problems_text(warnings));
}

fn load_project(root: &std::path::Path) -> Result<Project, CommandError> {
    Project::load(root).map_err(|problems| CommandError::Problems {
        title: format!(
            "`writeback.toml` has {}",
            counted(problems.len(), "problem")
        ),
        problems,
    })
}

/// A job whose connections are ready.
fn load_job(project: &Project, job: &str) -> Result<CheckedJob, CommandError> {
    project
        .load_job(job)
        .map_err(|problems| job_problems(job, problems))
}

/// A job, whether or not its connections are ready.
fn read_job(project: &Project, job: &str) -> Result<CheckedJob, CommandError> {
    project
        .read_job(job)
        .map_err(|problems| job_problems(job, problems))
}

/// A job that is no base of agencies, whose connections are ready.
fn load_single_job(project: &Project, job: &str) -> Result<CheckedJob, CommandError> {
    let checked = load_job(project, job)?;
    let Some(agencies) = &checked.job.agencies else {
        return Ok(checked);
    };
    let names = agencies.names.iter().map(String::as_str);
    let message = format!("job `{}` is that of several agencies", checked.job.name);
    let hint = format!(
        "add `--agency NAME`: its agencies are {}",
        quoted_list(names)
    );
    let problem = Problem::mistake(None, message).hint(hint);
    Err(job_problems(job, vec![problem]))
}

fn job_problems(job: &str, problems: Vec<Problem>) -> CommandError {
    let title = format!("job `{job}` has {}", counted(problems.len(), "problem"));
    CommandError::Problems { title, problems }
}

/// The cycle that a command is about.
async fn cycle_of(
    project: &Project,
    checked: &CheckedJob,
    arguments: &JobArguments,
    book: Book<'_>,
) -> Result<RequestedCycle, CommandError> {
    let named = arguments.cycle.as_deref();
    Ok(notice::requested_cycle(project, checked, named, book).await?)
}

/// A folder that is gone once nobody needs it.
fn temporary_folder() -> Result<tempfile::TempDir, CommandError> {
    tempfile::tempdir().map_err(|source| CommandError::Io {
        doing: "make a temporary folder",
        source,
    })
}

/// Writes down what somebody at the keyboard did.
async fn record_act(ledger: &Ledger, act: &str, target: &str) -> Result<(), LedgerError> {
    let who = user_name();
    let action = NewAction {
        who: who.as_deref(),
        role: None,
        through: "cli",
        address: None,
        act,
        target: Some(target),
        arguments: None,
        seen: None,
        result: "done",
    };
    ledger.record_action(&action).await?;
    Ok(())
}

/// Who is at the keyboard, as the system knows them; whoever called `sudo` is named too.
fn user_name() -> Option<String> {
    let told = std::process::Command::new("id")
        .arg("-un")
        .stderr(Stdio::null())
        .output()
        .ok();
    let told = told
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = told
        .map(|name| name.trim().to_owned())
        .or_else(|| variable("LOGNAME"))
        .or_else(|| variable("USER"))?;
    Some(variable("SUDO_USER").map_or_else(|| name.clone(), |caller| format!("{caller} as {name}")))
}
