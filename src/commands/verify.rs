//! `writeback verify`: whether the destination still holds what was last written back.

use std::path::Path;

use serde_json::json;

use super::{CommandError, Ending, load_project, print, print_json, read_job};
use crate::cli::VerifyArguments;
use crate::ledger::Ledger;
use crate::report;
use crate::run::plan;
use crate::run::verify as verifying;

pub(super) async fn verify(
    root: &Path,
    arguments: &VerifyArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = read_job(&project, &arguments.job)?;
    let job = &checked.job.name;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let progress = report::progress::for_stderr();
    let write_backs = plan::choose(&checked.job, arguments.write_back.as_deref())?;
    let (limit, progress) = (arguments.limit, progress.as_ref());
    let verifications =
        verifying::verify_all(&project, &ledger, job, &write_backs, limit, progress).await?;
    match arguments.json {
        true => print_json(&json!({ "job": job, "write_backs": verifications }))?,
        false => print(&report::verify::text(job, &verifications)),
    }
    Ok(
        match verifications
            .iter()
            .any(|verification| verification.drifted > 0)
        {
            true => Ending::Drifted,
            false => Ending::Done,
        },
    )
}
