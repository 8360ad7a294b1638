//! `writeback pause`: nothing runs a job for a while.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::{
    CommandError, Ending, load_project, print, print_json, read_job, record_act, user_name,
};
use crate::cli::PauseArguments;
use crate::domain::pause::Pause;
use crate::domain::printable::printable;
use crate::ledger::Ledger;

pub(super) async fn pause(root: &Path, arguments: &PauseArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let job = &read_job(&project, &arguments.job)?.job.name;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let now = Utc::now();
    if let Some(reason) = &arguments.reason {
        if let Some(until) = arguments.until.filter(|until| *until <= now) {
            return Err(CommandError::PauseOver { until });
        }
        let pause = Pause {
            until: arguments.until,
            reason: reason.clone(),
            paused_by: user_name(),
            paused_at: now,
        };
        ledger.pause(job, &pause).await?;
        record_act(&ledger, "pause", job).await?;
    } else if arguments.lift {
        if !ledger.resume(job).await? {
            return Err(CommandError::NotPaused { job: job.clone() });
        }
        record_act(&ledger, "resume", job).await?;
    }
    let pause = ledger.pause_of(job, now).await?;
    match arguments.json {
        true => print_json(&json!({ "job": job, "pause": pause }))?,
        false => print(&match pause {
            Some(pause) => format!("{}  {}\n", printable(job), printable(&pause.to_string())),
            None => format!("{}  is not paused\n", printable(job)),
        }),
    }
    Ok(Ending::Done)
}
