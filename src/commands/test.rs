//! `writeback test`: one record the whole way.

use std::path::Path;

use serde_json::json;

use super::{
    CommandError, Ending, cycle_of, key_of, load_project, load_single_job, print, print_json,
    record_act, temporary_folder, warn_of,
};
use crate::cli::TestArguments;
use crate::ledger::Ledger;
use crate::report;
use crate::run::single_record::{self, SingleRecord};
use crate::run::trial::{self, Trial, Tried};
use crate::schedule::notice::Book;

pub(super) async fn test(root: &Path, arguments: &TestArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = load_single_job(&project, &arguments.job.named())?;
    warn_of(&checked.warnings);
    let ledger = Ledger::open(&project.state_folder()).await?;
    let cycle = cycle_of(
        &project,
        &checked,
        &arguments.job,
        Book::Reading(Some(&ledger)),
    )
    .await?
    .cycle()
    .clone();
    let folder = temporary_folder()?;
    let trial = Trial {
        project: &project,
        checked: &checked,
        ledger: &ledger,
        cycle,
        write_back: arguments.job.write_back.as_deref(),
        key: &key_of(&arguments.record),
        ending: match arguments.rollback {
            true => single_record::Ending::Rollback,
            false => single_record::Ending::Commit,
        },
        folder: folder.path(),
    };
    let Tried { records, warnings } = trial.carry_out().await?;
    warn_of(&warnings);
    let records = found(records, arguments)?;
    if !arguments.rollback {
        let target = format!("{} / {}", checked.job.name, arguments.record);
        record_act(&ledger, "test and keep", &target).await?;
    }
    match arguments.job.json {
        true => print_json(&json!({ "job": checked.job.name, "records": records }))?,
        false => print(
            &records
                .iter()
                .map(report::single_record::text)
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    }
    Ok(if records.iter().any(SingleRecord::fails) {
        Ending::Rejected
    } else {
        Ending::Done
    })
}

/// The write-backs that know the record.
fn found(
    records: Vec<SingleRecord>,
    arguments: &TestArguments,
) -> Result<Vec<SingleRecord>, CommandError> {
    trial::found(records).map_err(|read| CommandError::NoRecord {
        key: arguments.record.clone(),
        job: arguments.job.job.clone(),
        read,
    })
}
