//! `writeback test`: one record the whole way.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::{
    CommandError, Ending, cycle_of, key_of, load_project, load_single_job, print, print_json,
    warn_of,
};
use crate::cli::TestArguments;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::ledger::Ledger;
use crate::report;
use crate::run::RunError;
use crate::run::plan;
use crate::run::plan::Until;
use crate::run::selection::Selection;
use crate::run::single_record::{self, SingleOutcome, SingleRecord};
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
    let _lock = ledger.lock_job(&checked.job.name)?;
    let facts = RunFacts {
        run: NO_RUN,
        job: checked.job.name.clone(),
        cycle,
        started_at: Utc::now(),
    };
    let mut plans = plan::plan_job(
        &project,
        &checked.job,
        arguments.job.write_back.as_deref(),
        &facts,
    )
    .await?;
    let ending = if arguments.rollback {
        single_record::Ending::Rollback
    } else {
        single_record::Ending::Commit
    };
    let key = key_of(&arguments.record);
    let mut records = Vec::new();
    let folder = tempfile::tempdir().map_err(|source| CommandError::Io {
        doing: "make a temporary folder",
        source,
    })?;
    for (plan, position) in plans.iter_mut().zip(0_u32..) {
        warn_of(&plan.warnings);
        let until = Until::Now(&folder.path().join(position.to_string()));
        plan.remember(&project, &ledger, &checked.job.name, until)
            .await
            .map_err(RunError::from)?;
        let selection = Selection::of(&ledger, &facts, &plan.write_back.name, None).await?;
        if ending == single_record::Ending::Commit {
            let why = "a test wrote a record since it last delivered";
            ledger
                .distrust_snapshot(&checked.job.name, plan.name(), why)
                .await?;
        }
        let record =
            single_record::try_record(plan, &key, selection, ending, (&ledger, &checked.job.name))
                .await?;
        if let Some(segment) = &record.last_written {
            plan.record_test(&ledger, &checked.job.name, segment)
                .await?;
        }
        records.push(record);
    }
    let proven = plans
        .iter()
        .zip(&records)
        .filter(|(_, record)| record.proves());
    let versions: Vec<(&str, &str)> = proven
        .map(|(plan, _)| {
            (
                plan.write_back.name.as_str(),
                plan.write_back.version.as_str(),
            )
        })
        .collect();
    ledger.record_test(&checked.job.name, &versions).await?;
    let records = found(records, arguments)?;
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
    let fails = |record: &SingleRecord| {
        record.alteration.is_some() || matches!(record.outcome, SingleOutcome::Rejected { .. })
    };
    Ok(if records.iter().any(fails) {
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
    let mut read_in_all = 0;
    let mut found = Vec::new();
    for record in records {
        if let SingleOutcome::NotInSource { read } = record.outcome {
            read_in_all += read;
        } else {
            found.push(record);
        }
    }
    match found.is_empty() {
        true => Err(CommandError::NoRecord {
            key: arguments.record.clone(),
            job: arguments.job.job.clone(),
            read: read_in_all,
        }),
        false => Ok(found),
    }
}
