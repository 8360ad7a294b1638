//! Guards within a run: what they are told before the first write, what becomes of a run they stop,
//! and how a person's approval takes it up. The rules stand in [`crate::domain::guard`].

use chrono::Utc;
use polars::prelude::DataFrame;
use tokio::task::block_in_place;
use tracing::info;

use super::pending::Scope;
use super::plan::Plan;
use super::{
    Begun, Guarded, RequestedCycle, RunError, RunReport, RunRequest, digest, preview, push,
};
use crate::domain::guard::{Forecast, Objection, Outset};
use crate::domain::outcome::Tally;
use crate::ledger::{Ledger, RunStatus, UnfinishedRun, WriteBackId};
use crate::package::Package;

/// A write-back whose package stands.
pub(super) struct Pulled<'a> {
    pub(super) plan: &'a Plan,
    pub(super) id: WriteBackId,
    pub(super) package: &'a Package,
}

/// What a write-back's guards have against a run that would do this.
pub(super) fn objections(plan: &Plan, forecast: &Forecast) -> Vec<Objection> {
    let reasons = plan.write_back.guards.objections(forecast).into_iter();
    reasons
        .map(|reason| Objection {
            write_back: plan.write_back.name.clone(),
            reason,
        })
        .collect()
}

/// Positions of a batch's fields that the guard of NULLs watches: they bring some to where values
/// may stand.
pub(super) fn watched_nulls(plan: &Plan, batch: &DataFrame) -> Vec<usize> {
    if plan.write_back.guards.max_nulls.is_none() {
        return Vec::new();
    }
    let mut positions = plan.layout.nullable_by_source();
    positions.retain(|position| {
        batch
            .columns()
            .get(*position)
            .is_some_and(|column| column.null_count() > 0)
    });
    positions
}

/// Who approves a run that guards stopped.
#[derive(Debug, Clone)]
pub(crate) struct Approver {
    /// The user's name, if the system tells.
    pub(crate) name: Option<String>,
}

/// The run that a person approves: the job's latest, stopped by guards, of the cycle that is asked
/// for and of the files as they are. One that was approved before and did not finish is as good.
/// Errors: `NothingToApprove`.
pub(super) async fn awaiting_approval(
    request: &RunRequest<'_>,
    ledger: &Ledger,
) -> Result<UnfinishedRun, RunError> {
    let job = &request.checked.job.name;
    let found = match ledger.guarded_run(job).await? {
        Some(guarded) => Some(guarded),
        None => match ledger.unfinished_run(job).await? {
            Some(unfinished) if ledger.is_approved(unfinished.run).await? => Some(unfinished),
            Some(_) | None => None,
        },
    };
    let refused = |why: String, hint: String| RunError::NothingToApprove {
        job: job.clone(),
        why,
        hint,
    };
    let Some(found) = found else {
        let hint = "run it without `--approve`: a guard that stops it says so".to_owned();
        return Err(refused("no guard stopped its latest run".to_owned(), hint));
    };
    let anew = format!("`writeback run {job}` pulls and judges anew");
    if found.job_digest != digest(request) {
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
    match request.cycle.leaves_behind(&found.cycle, Utc::now()) {
        Some(why) => Err(refused(
            format!("run {} cannot be taken up: {why}", found.run),
            anew,
        )),
        None => Ok(found),
    }
}

/// Names and versions of the write-backs that a run showed to work: those that reached a row.
pub(super) fn shown_to_work<'a>(plans: &'a [Plan], report: &RunReport) -> Vec<(&'a str, &'a str)> {
    let reached = |tally: Tally| tally.inserted + tally.updated + tally.unchanged > 0;
    let worked = plans
        .iter()
        .zip(&report.write_backs)
        .filter(|(_, done)| reached(done.tally));
    worked
        .map(|(plan, _)| {
            (
                plan.write_back.name.as_str(),
                plan.write_back.version.as_str(),
            )
        })
        .collect()
}

/// The command that approves a run which guards stopped.
fn approving_command(
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
        Scope::OnlyRejected => " --only-rejected",
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

impl Begun<'_> {
    /// What guards have against the run. Nothing, if a person approved it or its first write may
    /// have been made: guards stop before it or not at all.
    pub(super) async fn objections(
        &self,
        pulled: &[Pulled<'_>],
    ) -> Result<Vec<Objection>, RunError> {
        if self.ledger.is_approved(self.facts.run).await? || self.has_written(pulled).await? {
            return Ok(Vec::new());
        }
        let mut objections = Vec::new();
        for one in pulled {
            objections.extend(self::objections(one.plan, &self.forecast(one).await?));
        }
        Ok(objections)
    }

    async fn has_written(&self, pulled: &[Pulled<'_>]) -> Result<bool, RunError> {
        for one in pulled {
            let progress = self.ledger.progress(one.id).await?;
            if !progress.committed.is_empty() || !progress.sent.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the run would do with one write-back, as far as its guards ask.
    async fn forecast(&self, pulled: &Pulled<'_>) -> Result<Forecast, RunError> {
        let Pulled { plan, id, package } = *pulled;
        let guards = &plan.write_back.guards;
        // Nothing is written yet: what has an outcome was rejected by the pull, or is parked.
        let tally = self.ledger.tally(id).await?;
        let proven = !guards.require_test || self.is_proven(plan).await?;
        if let Scope::Planned(saved) = self.request.scope {
            return Ok(saved.forecast(&plan.write_back.name, proven));
        }
        let mut outset = Outset {
            read: tally.read,
            rejected: tally.rejected,
            records: package.record_count(),
            nulls: 0,
            key_is_unique: plan.layout.key_is_unique(),
        };
        if !guards.needs_lookup(&outset)
            && (guards.max_nulls.is_some() || guards.max_rejected.is_some())
        {
            outset = block_in_place(|| self.looked_through(pulled, outset))?;
        }
        if guards.needs_lookup(&outset) {
            info!(job = %self.facts.job, run = id.run, write_back = %plan.write_back.name, "looking records up for the guards");
            return preview::forecast(plan, package, id.run, tally, proven, &self.request.stop)
                .await;
        }
        let tally = Tally {
            rejected: outset.rejected,
            ..tally
        };
        Ok(Forecast {
            tally,
            proven,
            ..Forecast::default()
        })
    }

    async fn is_proven(&self, plan: &Plan) -> Result<bool, RunError> {
        let write_back = &plan.write_back;
        Ok(self
            .ledger
            .is_proven(&self.facts.job, &write_back.name, &write_back.version)
            .await?)
    }

    /// The outset with what only the package's records tell: keys that occur twice, and NULLs.
    fn looked_through(&self, pulled: &Pulled<'_>, outset: Outset) -> Result<Outset, RunError> {
        let Pulled { plan, package, .. } = *pulled;
        let watched = plan.layout.nullable_by_source();
        let mut nulls = vec![0; watched.len()];
        let mut duplicates = 0;
        for index in 0..package.partition_count() {
            let partition = push::load(plan.assignment(), package, index, self.facts.run)?;
            duplicates += partition.duplicates.height();
            let records = plan.mapping.complete(&partition.records);
            for (nulls, position) in nulls.iter_mut().zip(&watched) {
                *nulls += records
                    .columns()
                    .get(*position)
                    .map_or(0, |column| column.null_count());
            }
        }
        let [duplicates, nulls] = [duplicates, nulls.into_iter().max().unwrap_or(0)]
            .map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let records = outset.records.saturating_sub(duplicates);
        Ok(Outset {
            rejected: outset.rejected.saturating_add(duplicates),
            records,
            nulls,
            ..outset
        })
    }

    /// What is told of a run that guards stop.
    pub(super) fn guarded(&self, plans: &[Plan], objections: Vec<Objection>) -> RunReport {
        RunReport {
            run: Some(self.facts.run),
            job: self.facts.job.clone(),
            cycle: self.facts.cycle.id.clone(),
            status: RunStatus::Guarded,
            retry: None,
            applied: None,
            guarded: Some(Guarded {
                objections,
                approving_command: self.approving_command(),
            }),
            write_backs: Vec::new(),
            folder: None,
            warnings: plans
                .iter()
                .flat_map(|plan| plan.warnings.clone())
                .collect(),
        }
    }

    fn approving_command(&self) -> String {
        let cycle = match &self.request.cycle {
            RequestedCycle::Given(_) => Some(self.facts.cycle.id.as_str()),
            RequestedCycle::Own(_) => None,
        };
        approving_command(
            &self.facts.job,
            self.request.only_write_back(),
            cycle,
            self.request.scope,
        )
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
