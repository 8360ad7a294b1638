//! `writeback verify`: whether the destination still holds what was last written back.

use std::path::Path;

use serde_json::json;

use super::{CommandError, Ending, load_project, print, print_json, read_job};
use crate::cli::VerifyArguments;
use crate::ledger::Ledger;
use crate::report;
use crate::run::plan;
use crate::run::stop::Stop;
use crate::run::verify::{self as verifying, VerifyRequest};

pub(super) async fn verify(
    root: &Path,
    arguments: &VerifyArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = read_job(&project, &arguments.job)?;
    let job = &checked.job.name;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let progress = report::progress::for_stderr();
    let mut verifications = Vec::new();
    for write_back in plan::choose(&checked.job, arguments.write_back.as_deref())? {
        let request = VerifyRequest {
            project: &project,
            ledger: &ledger,
            job,
            write_back,
            samples_max: arguments.limit,
            progress: progress.as_ref(),
            stop: &Stop::new(),
        };
        let verification = verifying::verify(&request).await?;
        if verification.drifted > 0 {
            let why = "`writeback verify` found rows that no longer hold what was written";
            ledger.distrust_snapshot(job, &write_back.name, why).await?;
        }
        verifications.push(verification);
    }
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
