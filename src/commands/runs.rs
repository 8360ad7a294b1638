//! `writeback runs`: history, and one run in full.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::{CommandError, Ending, load_project, print, print_json};
use crate::cli::RunsArguments;
use crate::config::Project;
use crate::ledger::{Ledger, WriteBackId};
use crate::report::{history, parked, pending};
use crate::run::outcomes;
use crate::run::place::{LEFT_ALONE_MAX, run_folder};

/// Rejected records shown of each write-back; `rejected.csv` holds them all.
const REJECTIONS_MAX: u32 = 20;
/// Skipped records shown of each write-back; `skipped.csv` holds them all.
const SKIPPED_MAX: usize = 20;

pub(super) async fn runs(root: &Path, arguments: &RunsArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    match arguments.run {
        Some(run) => one(&project, &ledger, run, arguments.json).await?,
        None => {
            let runs = ledger
                .runs(arguments.job.as_deref(), arguments.limit)
                .await?;
            let jobs: BTreeSet<&str> = runs.iter().map(|run| run.job.as_str()).collect();
            let mut pending = Vec::new();
            for job in jobs {
                pending.push((job.to_owned(), ledger.pending(job).await?));
            }
            match arguments.json {
                true => print_json(&json!({ "runs": runs, "pending": pending::json(&pending) }))?,
                false => {
                    let pending = pending
                        .iter()
                        .filter_map(|(job, pending)| pending::line(job, pending));
                    let parts: Vec<String> = std::iter::once(history::runs_table(&runs))
                        .chain(pending)
                        .collect();
                    print(&(parts.join("\n") + "\n"));
                }
            }
        }
    }
    Ok(Ending::Done)
}

async fn one(
    project: &Project,
    ledger: &Ledger,
    run: i64,
    as_json: bool,
) -> Result<(), CommandError> {
    let entry = ledger.run(run).await?;
    let batches = ledger.batches(run).await?;
    let (mut rejections, mut left_alone, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for (write_back, position) in entry.write_backs.iter().zip(0..) {
        let first = ledger
            .rejections(WriteBackId { run, position }, None, REJECTIONS_MAX)
            .await?;
        let parked = ledger
            .left_alone(WriteBackId { run, position }, LEFT_ALONE_MAX)
            .await?;
        let folder = run_folder(project, run).join(&write_back.name);
        let first_skipped =
            outcomes::first_skipped(&folder, SKIPPED_MAX).map_err(|source| CommandError::Io {
                doing: "read a run's `skipped.csv`",
                source,
            })?;
        skipped.extend(
            first_skipped
                .into_iter()
                .filter(|skipped| {
                    !parked
                        .iter()
                        .any(|parked| parked.record + 1 == skipped.record)
                })
                .map(|record| (write_back.name.clone(), record)),
        );
        left_alone.extend(
            parked
                .into_iter()
                .map(|record| (write_back.name.clone(), record)),
        );
        rejections.extend(
            first
                .into_iter()
                .map(|rejection| (write_back.name.clone(), rejection)),
        );
    }
    match as_json {
        true => {
            let mut value = json!(entry);
            if let Some(object) = value.as_object_mut() {
                object.insert("batches".to_owned(), json!(batches));
                let parked = left_alone
                    .iter()
                    .map(|(write_back, record)| parked::json(write_back, record));
                object.insert("parked".to_owned(), parked.collect());
                let skipped = skipped.iter().map(history::skipped_json);
                object.insert("skipped".to_owned(), skipped.collect());
            }
            print_json(&value)
        }
        false => {
            print(
                &(history::run_in_full(&entry, &batches, &left_alone, &skipped, &rejections)
                    + "\n"),
            );
            Ok(())
        }
    }
}
