//! One record the whole way through each write-back of a job, and what that proves of them.

use std::collections::HashSet;
use std::path::Path;

use chrono::Utc;

use super::error::RunError;
use super::plan::{self, Until};
use super::selection::Selection;
use super::single_record::{self, Ending, SingleOutcome, SingleRecord};
use super::tested::TestAccount;
use crate::config::{CheckedJob, Project};
use crate::domain::cycle::Cycle;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::domain::problem::Problem;
use crate::ledger::Ledger;

/// What is tried.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    pub(crate) project: &'a Project,
    pub(crate) checked: &'a CheckedJob,
    pub(crate) ledger: &'a Ledger,
    pub(crate) cycle: Cycle,
    /// Only this one of the job's write-backs.
    pub(crate) write_back: Option<&'a str>,
    pub(crate) key: &'a str,
    pub(crate) ending: Ending,
    /// Takes files for the while.
    pub(crate) folder: &'a Path,
}

/// What it showed.
#[derive(Debug)]
pub(crate) struct Tried {
    /// One for each write-back.
    pub(crate) records: Vec<SingleRecord>,
    pub(crate) warnings: Vec<Problem>,
}

impl Trial<'_> {
    /// Takes the record the whole way, and tells the ledger what was proven.
    /// Errors: as a run's; `JobRunning`.
    pub(crate) async fn carry_out(self) -> Result<Tried, RunError> {
        let (job, ledger) = (&self.checked.job, self.ledger);
        let _lock = ledger.lock_job(&job.name)?;
        let facts = RunFacts {
            run: NO_RUN,
            job: job.name.clone(),
            cycle: self.cycle,
            started_at: Utc::now(),
        };
        let mut plans = plan::plan_job(self.project, job, self.write_back, &facts).await?;
        let mut tried = Tried {
            records: Vec::new(),
            warnings: Vec::new(),
        };
        for (plan, position) in plans.iter_mut().zip(0_u32..) {
            tried.warnings.append(&mut plan.warnings);
            let until = Until::Now(&self.folder.join(position.to_string()));
            plan.remember(self.project, ledger, &job.name, until)
                .await?;
            let wanted = Some(HashSet::from([self.key.to_owned()]));
            let selection = Selection::of(ledger, &facts, plan, wanted).await?;
            if self.ending == Ending::Commit {
                let why = "a test wrote a record since it last delivered";
                ledger
                    .distrust_snapshot(&job.name, plan.name(), why)
                    .await?;
            }
            let record = single_record::try_record(
                plan,
                self.key,
                selection,
                self.ending,
                TestAccount {
                    project: self.project,
                    ledger,
                    job: &job.name,
                },
            )
            .await?;
            if let Some(segment) = &record.last_written {
                plan.record_test(ledger, &job.name, segment).await?;
            }
            tried.records.push(record);
        }
        let proven = plans.iter().zip(&tried.records);
        let proven = proven.filter(|(_, record)| record.proves());
        let versions: Vec<(&str, &str)> = proven
            .map(|(plan, _)| (plan.name(), plan.version()))
            .collect();
        ledger.record_test(&job.name, &versions).await?;
        Ok(tried)
    }
}

/// The write-backs that know the record.
/// Errors: none does; how many records were looked through.
pub(crate) fn found(records: Vec<SingleRecord>) -> Result<Vec<SingleRecord>, u64> {
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
        true => Err(read_in_all),
        false => Ok(found),
    }
}
