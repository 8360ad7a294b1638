//! A person's approval of a run that guards stopped: which run it takes up, and the command that
//! says it.

use chrono::Utc;
use sha2::{Digest as _, Sha256};
use tokio::task::block_in_place;

use crate::config::Project;
use crate::domain::printable::hexadecimal;
use crate::ledger::{Ledger, LedgerError, UnfinishedRun};
use crate::package::{Package, PackageError};
use crate::run::place::{self, run_folder};
use crate::run::request::{RequestedCycle, RunRequest, Scope};

/// Why there is no run to approve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApprovalError {
    /// A run was to be approved that no guard stopped, or that is no longer what it was.
    #[error("job `{job}` has nothing to approve: {why}")]
    NothingToApprove {
        job: String,
        why: String,
        hint: String,
    },
    /// What is to be approved is not what was looked at.
    #[error("run {run} of job `{job}` is not what was looked at any more")]
    Moved { job: String, run: i64 },
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ApprovalError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NothingToApprove { hint, .. } => Some(hint.clone()),
            Self::Moved { .. } => Some("look again, then decide".to_owned()),
            Self::Package(_) => None,
            Self::Ledger(error) => error.hint(),
        }
    }
}

/// The run that a person approves: the job's latest, stopped by guards, of the cycle that is asked
/// for and of the files as they are. One that was approved before and did not finish is as good.
/// Errors: `NothingToApprove`.
pub(super) async fn awaiting_approval(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<UnfinishedRun, ApprovalError> {
    let job = &request.checked.job.name;
    let found = stopped(ledger, job).await?;
    let refused = |why: String, hint: String| ApprovalError::NothingToApprove {
        job: job.clone(),
        why,
        hint,
    };
    let Some(found) = found else {
        let hint = "run it without `--approve`: a guard that stops it says so".to_owned();
        return Err(refused("no guard stopped its latest run".to_owned(), hint));
    };
    let anew = format!("`writeback run {job}` pulls and judges anew");
    if found.job_digest != request.digest() {
        let why = format!(
            "run {}, which guards stopped, is of other files or other write-backs than these",
            found.run
        );
        return Err(refused(why, anew));
    }
    if let RequestedCycle::Given(cycle) = &request.cycle
        && cycle.id != found.cycle.id
    {
        let why = format!(
            "guards stopped cycle `{}`, not `{}`",
            found.cycle.id, cycle.id
        );
        let command = approving_command(
            job,
            request.only_write_back(),
            Some(&found.cycle.id),
            request.scope,
        );
        return Err(refused(why, format!("`{command}` is for that one; {anew}")));
    }
    if let Some(why) = request.cycle.leaves_behind(&found.cycle, Utc::now()) {
        let why = format!("run {} cannot be taken up: {why}", found.run);
        return Err(refused(why, anew));
    }
    let seen = request
        .approver
        .as_ref()
        .and_then(|approver| approver.seen.as_ref());
    if let Some(seen) = seen
        && *seen != digest(request.project, ledger, &found).await?
    {
        return Err(ApprovalError::Moved {
            job: job.clone(),
            run: found.run,
        });
    }
    Ok(found)
}

/// The job's latest run, if guards stopped it, or if it was approved before and did not finish.
pub(crate) async fn stopped(
    ledger: &Ledger,
    job: &str,
) -> Result<Option<UnfinishedRun>, LedgerError> {
    Ok(match ledger.guarded_run(job).await? {
        Some(guarded) => Some(guarded),
        None => match ledger.unfinished_run(job).await? {
            Some(unfinished) if ledger.is_approved(unfinished.run).await? => Some(unfinished),
            Some(_) | None => None,
        },
    })
}

/// Tells what a person approves from anything else: the run with its records, and what guards have
/// against it. Errors: its packages are gone.
pub(crate) async fn digest(
    project: &Project,
    ledger: &Ledger,
    stopped: &UnfinishedRun,
) -> Result<String, ApprovalError> {
    let run = ledger.run(stopped.run).await?;
    let objections: Vec<String> = run.guards.iter().map(ToString::to_string).collect();
    let folder = run_folder(project, stopped.run);
    let mut hash = Sha256::new();
    let told = (stopped.run, &stopped.job_digest, objections);
    hash.update(format!("{told:?}"));
    for write_back in &run.write_backs {
        let package = place::package_folder(&folder, &write_back.name);
        let package = block_in_place(|| Package::open(&package))?;
        hash.update(package.fingerprint());
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// The command that approves a run which guards stopped.
pub(super) fn approving_command(
    job: &str,
    write_back: Option<&str>,
    cycle: Option<&str>,
    scope: Scope<'_>,
) -> String {
    if let Scope::Planned(saved) = scope {
        return format!(
            "writeback run {job} --plan {} --approve",
            shell_word(&saved.path().display().to_string())
        );
    }
    let write_back = write_back
        .map(|name| format!(" --write-back {name}"))
        .unwrap_or_default();
    let cycle = cycle
        .map(|id| format!(" --cycle {}", shell_word(id)))
        .unwrap_or_default();
    let scope = match scope {
        Scope::All | Scope::Planned(_) => "",
        Scope::OnlyRejected | Scope::Chosen(_) => " --only-rejected",
    };
    format!("writeback run {job}{write_back}{cycle}{scope} --approve")
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.:+/@%,".contains(letter);
    match !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let command = approving_command(
            "weekly",
            Some("scores"),
            Some("manual__2026-11-15T06:30:00+00:00"),
            Scope::All,
        );
        assert_eq!(
            command,
            "writeback run weekly --write-back scores --cycle manual__2026-11-15T06:30:00+00:00 --approve"
        );
        assert_eq!(
            approving_command("weekly", None, None, Scope::All),
            "writeback run weekly --approve"
        );
        let command = approving_command("weekly", None, None, Scope::OnlyRejected);
        assert_eq!(command, "writeback run weekly --only-rejected --approve");
        for (id, word) in [
            ("W 45", "'W 45'"),
            ("it's; rm -rf", "'it'\\''s; rm -rf'"),
            ("-x", "'-x'"),
            ("", "''"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(shell_word(id), word);
        }
    }
}
