//! `writeback run`: a run now.

use std::cell::OnceCell;
use std::path::Path;

use serde_json::{Value, json};

use super::{
    CommandError, Ending, cycle_of, key_of, load_job, load_project, print, print_json, record_act,
    signals, user_name, warn_of,
};
use crate::cli::RunArguments;
use crate::config::Project;
use crate::ledger::{Ledger, RunEntry, RunStatus};
use crate::report;
use crate::report::output;
use crate::report::run::REASONS_SHOWN_MAX;
use crate::run::request::{Approver, ChosenRecords, Redelivery, Scope};
use crate::run::saved_plan::SavedPlan;
use crate::run::stop::Stop;
use crate::run::{self, RequestedCycle, RunError, RunRequest};
use crate::schedule::notice::Book;

/// What is known of a run by the time it fails.
#[derive(Default)]
struct Known {
    job: Option<String>,
    cycle: Option<String>,
    ledger: Option<Ledger>,
}

/// What a run of one job came to: how it ended, and what machines are told of it.
type Finished = Result<(Ending, Option<Value>), CommandError>;

pub(super) async fn run(root: &Path, arguments: &RunArguments) -> Result<Ending, CommandError> {
    let stop = LateStop::default();
    let named = arguments.job.named();
    let jobs = match Project::load(root) {
        Ok(project) => project.jobs_within(&named),
        // Told of by whoever loads it next.
        Err(_) => vec![named.clone()],
    };
    let [only] = jobs.as_slice() else {
        return run_each(root, arguments, &named, &jobs, &stop).await;
    };
    let (finished, told) = run_one(root, arguments, only, &stop).await;
    match (&finished, told) {
        (Ok(_), Some(told)) => print_json(&told)?,
        // That the run failed is what is to be told, also where stdout takes no more.
        (Err(_), Some(told)) => drop(print_json(&told)),
        (_, None) => {}
    }
    finished
}

/// Runs the jobs of agencies one after the other. What becomes of one leaves the others alone.
/// Errors: some could not be run or finished; all were tried unless the process was asked to stop.
async fn run_each(
    root: &Path,
    arguments: &RunArguments,
    base: &str,
    jobs: &[String],
    stop: &LateStop,
) -> Result<Ending, CommandError> {
    let (mut worst, mut failed, mut all) = (Ending::Done, 0, Vec::new());
    for job in jobs {
        if stop.is_asked() {
            failed += 1;
            continue;
        }
        let (finished, told) = run_one(root, arguments, job, stop).await;
        all.extend(told);
        match finished {
            Ok(ending) => worst = worse(worst, ending),
            Err(error) => {
                failed += 1;
                output::tell(&error.into_text());
            }
        }
    }
    if arguments.job.json {
        print_json(&json!({ "job": base, "runs": all }))?;
    }
    match failed {
        0 => Ok(worst),
        failed => Err(CommandError::Agencies {
            job: base.to_owned(),
            failed,
            of: jobs.len(),
        }),
    }
}

/// The ending that more is to be done about.
fn worse(one: Ending, other: Ending) -> Ending {
    let weight = |ending: Ending| match ending {
        Ending::Done => 0,
        Ending::Rejected | Ending::Drifted | Ending::Unmatched => 1,
        Ending::Guarded => 2,
    };
    match weight(one) >= weight(other) {
        true => one,
        false => other,
    }
}

/// Runs one job; what machines are told of it, also if it failed, comes back beside how it ended.
async fn run_one(
    root: &Path,
    arguments: &RunArguments,
    job: &str,
    stop: &LateStop,
) -> (Result<Ending, CommandError>, Option<Value>) {
    let mut known = Known::default();
    match carry_out(root, arguments, job, stop, &mut known).await {
        Ok((ending, told)) => (Ok(ending), told),
        Err(error) => {
            let told = match arguments.job.json {
                true => Some(failed(&error, known, job).await),
                false => None,
            };
            (Err(error), told)
        }
    }
}

/// A wish to stop, listened to from the first run on.
#[derive(Default)]
struct LateStop(OnceCell<Stop>);

impl LateStop {
    fn listened_to(&self) -> Result<Stop, CommandError> {
        if let Some(stop) = self.0.get() {
            return Ok(stop.clone());
        }
        let stop = self.0.get_or_init(Stop::new).clone();
        signals::listen(&stop)?;
        Ok(stop)
    }

    fn is_asked(&self) -> bool {
        self.0.get().is_some_and(Stop::is_asked)
    }
}

async fn carry_out(
    root: &Path,
    arguments: &RunArguments,
    job: &str,
    stop: &LateStop,
    known: &mut Known,
) -> Finished {
    let project = load_project(root)?;
    let checked = load_job(&project, job)?;
    known.job = Some(checked.job.name.clone());
    warn_of(&checked.warnings);
    let saved = arguments
        .plan
        .as_deref()
        .map(SavedPlan::open)
        .transpose()
        .map_err(RunError::from)?;
    let ledger = known
        .ledger
        .insert(Ledger::open(&project.state_folder()).await?);
    let cycle = match &saved {
        Some(saved) => RequestedCycle::Given(saved.cycle()),
        None => cycle_of(&project, &checked, &arguments.job, Book::Recording(ledger)).await?,
    };
    known.cycle = Some(cycle.cycle().id.clone());
    let stop = stop.listened_to()?;
    let write_back = saved
        .as_ref()
        .map_or(arguments.job.write_back.as_deref(), SavedPlan::write_back);
    let approver = arguments.approve.then(|| Approver {
        name: user_name(),
        ..Approver::default()
    });
    let chosen = arguments.records.iter().map(|typed| key_of(typed));
    let chosen = ChosenRecords::new(chosen.collect());
    let scope = match &saved {
        Some(saved) => Scope::Planned(saved),
        None if !arguments.records.is_empty() => Scope::Chosen(&chosen),
        None if arguments.only_rejected => Scope::OnlyRejected,
        None => Scope::All,
    };
    let request = RunRequest {
        project: &project,
        checked: &checked,
        repeat: match cycle {
            RequestedCycle::Given(_) if insists_not(arguments) && saved.is_none() => {
                Redelivery::IfNew
            }
            RequestedCycle::Given(_) | RequestedCycle::Own(_) => Redelivery::Always,
        },
        cycle,
        scope,
        write_back,
        approver,
        stop,
    };
    let finished = run::carry_out(&request, ledger, report::progress::for_stderr()).await?;
    let approved = format!("run {}", finished.run.unwrap_or_default());
    let decided = match (arguments.approve, &saved, arguments.only_rejected) {
        (true, ..) => Some(("approve", approved.as_str())),
        (false, Some(_), _) => Some(("apply", checked.job.name.as_str())),
        (false, None, true) => Some(("retry", checked.job.name.as_str())),
        (false, None, false) => None,
    };
    if let Some((act, target)) = decided {
        record_act(ledger, act, target).await?;
    }
    warn_of(&finished.warnings);
    let told = match arguments.job.json {
        true => Some(report::run::json(&finished)),
        false => {
            let reasons = match finished.run {
                Some(run) => ledger.rejection_reasons(run, REASONS_SHOWN_MAX).await?,
                None => Vec::new(),
            };
            print(&report::run::text(&finished, &reasons));
            None
        }
    };
    let ending = match finished.status {
        RunStatus::Succeeded if finished.applied.is_some_and(|plan| plan.is_partial()) => {
            Ending::Drifted
        }
        RunStatus::Succeeded if finished.write_backs.iter().any(|one| one.matched_nothing) => {
            Ending::Unmatched
        }
        RunStatus::Succeeded | RunStatus::NothingNew => Ending::Done,
        RunStatus::Rejected => Ending::Rejected,
        RunStatus::Guarded => Ending::Guarded,
        // A run that failed or never ended comes back as an error.
        RunStatus::Failed | RunStatus::Running => Ending::Rejected,
    };
    Ok((ending, told))
}

/// Whether the run is one of all records that nobody insists on: what is delivered already is then
/// not delivered again.
fn insists_not(arguments: &RunArguments) -> bool {
    !(arguments.again || arguments.approve || arguments.only_rejected)
}

/// Says to machines that the process had no room to begin; of all other failures [`run()`] told
/// already.
pub(super) fn tell_not_begun(error: &CommandError, arguments: &RunArguments) {
    if matches!(error, CommandError::Room(_)) && arguments.job.json {
        drop(print_json(&failure(
            error,
            Known::default(),
            None,
            &arguments.job.named(),
        )));
    }
}

/// The object that `run --json` prints of a run that failed, with what it wrote until then.
async fn failed(error: &CommandError, known: Known, asked: &str) -> Value {
    let entry = match (error.run(), &known.ledger) {
        (Some(run), Some(ledger)) => ledger.run(run).await.ok(),
        _ => None,
    };
    failure(error, known, entry, asked)
}

fn failure(error: &CommandError, known: Known, entry: Option<RunEntry>, asked: &str) -> Value {
    let cycle = entry
        .as_ref()
        .map(|entry| entry.cycle.clone())
        .or(known.cycle);
    json!({
        "run": error.run(),
        "job": known.job.as_deref().unwrap_or(asked),
        "cycle": cycle,
        "status": RunStatus::Failed,
        "error": error.line(),
        "problems": report::failure::problems_json(error.mistakes()),
        "write_backs": entry.map_or(Vec::new(), |entry| entry.write_backs),
    })
}
