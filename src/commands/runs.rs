//! `writeback runs`: history, and one run in full.

use std::path::Path;

use serde_json::json;

use super::{CommandError, Ending, load_project, print, print_json};
use crate::cli::RunsArguments;
use crate::ledger::{Ledger, WriteBackId};
use crate::report::history;

/// Rejected records shown of each write-back; `rejected.csv` holds them all.
const REJECTIONS_MAX: u32 = 20;

pub(super) async fn runs(root: &Path, arguments: &RunsArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    match arguments.run {
        Some(run) => one(&ledger, run, arguments.json).await?,
        None => {
            let runs = ledger.runs(arguments.job.as_deref(), arguments.limit).await?;
            match arguments.json {
                true => print_json(&json!({ "runs": runs }))?,
                false => print(&(history::runs_table(&runs) + "\n"))?,
            }
        }
    }
    Ok(Ending::Done)
}

async fn one(ledger: &Ledger, run: i64, as_json: bool) -> Result<(), CommandError> {
    let entry = ledger.run(run).await?;
    let batches = ledger.batches(run).await?;
    let mut rejections = Vec::new();
    for (write_back, position) in entry.write_backs.iter().zip(0..) {
        let first = ledger.rejections(WriteBackId { run, position }, None, REJECTIONS_MAX).await?;
        rejections.extend(first.into_iter().map(|rejection| (write_back.name.clone(), rejection)));
    }
    match as_json {
        true => {
            let mut value = json!(entry);
            if let Some(object) = value.as_object_mut() {
                object.insert("batches".to_owned(), json!(batches));
            }
            print_json(&value)
        }
        false => print(&(history::run_in_full(&entry, &batches, &rejections) + "\n")),
    }
}
