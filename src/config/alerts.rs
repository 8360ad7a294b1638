//! `[alerts]` of the project file, which names channels and thresholds, and of a job file, which
//! may have thresholds of its own. What keeps a channel from being used now (a variable that is not
//! set) is no mistake of the file: `check` and `serve` tell it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::connections::{is_local, timeout};
use super::document::{Table, Value, shown};
use super::percent::read_percent;
use super::secret::{Given, Surroundings};
use crate::domain::alert::Thresholds;
use crate::domain::channel::{AlertCommand, Channels, Webhook};
use crate::domain::connection::Secret;
use crate::domain::problem::Problem;
use crate::domain::share::{Percent, RecordsMax};

/// How long a command may take where nobody says otherwise: it speaks to a paging service, and that
/// may be slow.
const COMMAND_TIMEOUT_USUAL: Duration = Duration::from_secs(30);
/// How long a webhook may take where nobody says otherwise.
const WEBHOOK_TIMEOUT_USUAL: Duration = Duration::from_secs(10);
/// Runs that a median is of where nobody says otherwise.
const RECENT_RUNS_USUAL: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");
/// Runs that a median may be of: years of daily ones.
const RECENT_RUNS_MAX: u32 = 1_000;

const PROJECT_KEYS: &[&str] = &[
    "command",
    "command_timeout",
    "webhook",
    "rejected_max",
    "skipped_max",
    "read_change_max",
    "recent_runs",
];
pub(super) const JOB_KEYS: &[&str] = &["rejected_max", "skipped_max", "read_change_max"];

/// A project's `[alerts]`.
#[derive(Debug)]
pub(super) struct AlertSettings {
    /// Those that can be used.
    pub(super) channels: Channels,
    pub(super) thresholds: Thresholds,
    /// Why others cannot be used now.
    pub(super) absent: Vec<Problem>,
}

/// Reads `[alerts]` of the project file.
pub(super) fn read_project_alerts(
    root: &Table<'_>,
    surroundings: Surroundings<'_>,
) -> AlertSettings {
    let thresholds = Thresholds {
        rejected_max: None,
        skipped_max: None,
        read_change_max: None,
        recent_runs: RECENT_RUNS_USUAL,
    };
    let mut settings = AlertSettings {
        channels: Channels::default(),
        thresholds,
        absent: Vec::new(),
    };
    let Some(table) = root
        .get("alerts")
        .and_then(|value| value.table("`[alerts]`".to_owned()))
    else {
        return settings;
    };
    table.expect_keys(PROJECT_KEYS);
    let command_timeout = table
        .get("command_timeout")
        .and_then(timeout)
        .unwrap_or(COMMAND_TIMEOUT_USUAL);
    settings.channels.command = table.get("command").and_then(|value| {
        read_command(
            value,
            command_timeout,
            surroundings.root,
            &mut settings.absent,
        )
    });
    settings.channels.webhook = table
        .get("webhook")
        .and_then(|value| read_webhook(value, surroundings, &mut settings.absent));
    settings.thresholds = read_thresholds(&table, settings.thresholds);
    let recent_runs = table
        .get("recent_runs")
        .and_then(|value| value.integer(1, RECENT_RUNS_MAX));
    settings.thresholds.recent_runs = recent_runs
        .and_then(NonZeroU32::new)
        .unwrap_or(RECENT_RUNS_USUAL);
    settings
}

/// Thresholds of a job: its own where its `[alerts]` has them, else the project's.
pub(super) fn read_job_alerts(root: &Table<'_>, project: Thresholds) -> Thresholds {
    let Some(table) = root
        .get("alerts")
        .and_then(|value| value.table("`[alerts]`".to_owned()))
    else {
        return project;
    };
    table.expect_among(JOB_KEYS, PROJECT_KEYS, "the `[alerts]` of a job");
    read_thresholds(&table, project)
}

fn read_thresholds(table: &Table<'_>, usual: Thresholds) -> Thresholds {
    Thresholds {
        rejected_max: table
            .get("rejected_max")
            .and_then(read_records_max)
            .or(usual.rejected_max),
        skipped_max: table
            .get("skipped_max")
            .and_then(read_records_max)
            .or(usual.skipped_max),
        read_change_max: table
            .get("read_change_max")
            .and_then(read_percent)
            .or(usual.read_change_max),
        ..usual
    }
}

/// A count, or a share of at most all.
pub(super) fn read_records_max(value: Value<'_>) -> Option<RecordsMax> {
    let text = value.number_or_text()?;
    let count = || {
        text.parse()
            .ok()
            .filter(|_| !value.is_text())
            .map(RecordsMax::Count)
    };
    let share = Percent::parse(&text)
        .filter(|percent| *percent <= Percent::ALL)
        .map(RecordsMax::Share);
    let max = share.or_else(count);
    if max.is_none() {
        let message = format!(
            "`{}` is {}, which is neither a share nor a count of records",
            value.key,
            shown(&text)
        );
        value.mistake(
            message,
            Some("write a share of all in quotes, `\"5 %\"`, or a count, `100`".to_owned()),
        );
    }
    max
}

fn read_command(
    value: Value<'_>,
    timeout: Duration,
    root: &Path,
    absent: &mut Vec<Problem>,
) -> Option<AlertCommand> {
    let hint = "write the program and each of its arguments as a string of its own, no shell reads them: \
                `command = [\"/usr/local/bin/page\", \"--team\", \"ops\"]`";
    if value.is_text() {
        value.mistake(
            "`command` is a string, not a list of strings",
            Some(hint.to_owned()),
        );
        return None;
    }
    let words: Option<Vec<&str>> = value.list()?.iter().map(Value::text).collect();
    let words = words?;
    let Some((program, arguments)) = words
        .split_first()
        .filter(|(program, _)| !program.is_empty())
    else {
        value.mistake("`command` names no program", Some(hint.to_owned()));
        return None;
    };
    if words.iter().any(|word| word.contains('\0')) {
        value.mistake(
            "`command` holds a NUL character, which no program can be given",
            None,
        );
        return None;
    }
    // What is a path begins in the project's folder, wherever the program was started; a bare name
    // is searched in PATH.
    let is_path = program.contains('/');
    let path = root.join(program);
    if is_path && !path.is_file() {
        let problem = Problem::mistake(
            value.location(),
            format!("there is no program {}", shown(program)),
        );
        absent
            .push(problem.hint("name a file by its whole path, or a program that stands in PATH"));
    }
    let program = if is_path {
        path.into_os_string()
    } else {
        program.into()
    };
    Some(AlertCommand {
        program,
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        timeout,
    })
}

fn read_webhook(
    value: Value<'_>,
    surroundings: Surroundings<'_>,
    absent: &mut Vec<Problem>,
) -> Option<Webhook> {
    let table = value.table("`webhook`".to_owned())?;
    table.expect_keys(&["url", "secret", "timeout", "ca_file"]);
    let timeout = table
        .get("timeout")
        .map_or(Some(WEBHOOK_TIMEOUT_USUAL), timeout);
    let hint =
        "write `url = \"https://…\"`, or `url = { env = \"NAME\" }` where the URL is a secret";
    let url = table
        .require("url", hint)
        .and_then(|value| read_url(value, surroundings, absent));
    let secret = table
        .get("secret")
        .map(|value| read_secret(value, surroundings, absent));
    // Without the secret that the file names nothing is sent: a receiver that expects a signature
    // drops it anyway.
    let secret = match secret {
        None => None,
        Some(secret) => Some(secret?),
    };
    let ca_file = table
        .get("ca_file")
        .map(|value| read_ca_file(value, surroundings.root, absent));
    let ca_file = match ca_file {
        None => None,
        Some(file) => Some(file?),
    };
    Some(Webhook {
        url: url?,
        secret,
        ca_file,
        timeout: timeout?,
    })
}

fn read_url(
    value: Value<'_>,
    surroundings: Surroundings<'_>,
    absent: &mut Vec<Problem>,
) -> Option<Secret> {
    match surroundings.given(value)? {
        Given::Here(text) => match webhook_url(&text) {
            Ok(url) => Some(url),
            Err((message, hint)) => {
                value.mistake(message, Some(hint.to_owned()));
                None
            }
        },
        Given::Elsewhere(text) => match webhook_url(&text) {
            Ok(url) => Some(url),
            Err((message, hint)) => {
                absent.push(Problem::mistake(value.location(), message).hint(hint));
                None
            }
        },
        Given::Absent(problem) => {
            absent.push(problem);
            None
        }
    }
}

/// A URL that may be posted to.
/// Errors: what is wrong with it and what to do, without a word of its text.
fn webhook_url(text: &str) -> Result<Secret, (&'static str, &'static str)> {
    let hint = "write `https://HOST/PATH`";
    let url = Url::parse(text.trim()).map_err(|_| ("the webhook's url cannot be read", hint))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if !url.username().is_empty() || url.password().is_some() {
        return Err((
            "the webhook's url holds a user or a password",
            "leave them out; `secret` signs what is posted",
        ));
    }
    match url.scheme() {
        _ if host.is_empty() => Err(("the webhook's url names no host", hint)),
        "https" => Ok(Secret::new(url.into())),
        "http" if is_local(host) => Ok(Secret::new(url.into())),
        "http" => Err((
            "the webhook's url is plain http, which everybody on the way can read and change",
            "write `https://…`; plain http may lead to this machine only, such as `http://127.0.0.1:9000/`",
        )),
        _ => Err(("the webhook's url is neither https nor http", hint)),
    }
}

fn read_ca_file(value: Value<'_>, root: &Path, absent: &mut Vec<Problem>) -> Option<PathBuf> {
    let file = root.join(value.text()?);
    if !file.is_file() {
        let problem = Problem::mistake(
            value.location(),
            format!("there is no file {}", shown(&file.display().to_string())),
        );
        absent.push(problem.hint(
            "name the PEM file with the certificate of the authority that signed the receiver's",
        ));
        return None;
    }
    Some(file)
}

fn read_secret(
    value: Value<'_>,
    surroundings: Surroundings<'_>,
    absent: &mut Vec<Problem>,
) -> Option<Secret> {
    match surroundings.given(value)? {
        Given::Elsewhere(secret) => Some(Secret::new(secret)),
        Given::Here(_) => {
            let hint =
                "write `secret = { env = \"NAME\" }` or `secret = { file = \"PATH\" }`".to_owned();
            value.mistake(
                "`secret` stands in the file for everybody to read",
                Some(hint),
            );
            None
        }
        Given::Absent(problem) => {
            absent.push(problem);
            None
        }
    }
}
