//! Guards within a run: what they are told before the first write, and what is told of a run that
//! they stop. The rules stand in [`crate::domain::guard`].

use tokio::task::block_in_place;
use tracing::info;

use crate::domain::guard::{Forecast, Objection, Outset};
use crate::domain::outcome::Tally;
use crate::ledger::WriteBackId;
use crate::package::Package;
use crate::run::approval::approving_command;
use crate::run::at_work::AtWork;
use crate::run::error::RunError;
use crate::run::plan::Plan;
use crate::run::preview;
use crate::run::preview::calls::calls_most;
use crate::run::push;
use crate::run::report::{Guarded, RunReport};
use crate::run::request::{RequestedCycle, RunRequest};
use crate::run::resolve::Records;

/// A write-back whose package stands.
pub(super) struct Pulled<'a> {
    pub(super) plan: &'a Plan,
    pub(super) id: WriteBackId,
    pub(super) package: &'a Package,
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

/// Calls that a write-back's records take at the most, if they go to a web API. Those that equal the
/// last delivery are counted, as nobody looked which these are.
fn calls_most_of(plan: &Plan, records: u64) -> Option<u64> {
    let service = plan.destination.system.service()?;
    let batch = plan.write_back.batch_records_max.get();
    Some(calls_most(service.kind, records, batch))
}

/// A run whose packages stand and that guards judge.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) request: &'a RunRequest<'a>,
    pub(super) work: AtWork<'a>,
    pub(super) records: &'a Records<'a>,
}

impl Judged<'_> {
    /// What guards have against the run. Nothing, if a person approved it or its first write may
    /// have been made: guards stop before it or not at all.
    pub(super) async fn objections(
        &self,
        pulled: &[Pulled<'_>],
    ) -> Result<Vec<Objection>, RunError> {
        if self.work.ledger.is_approved(self.work.facts.run).await?
            || self.has_written(pulled).await?
        {
            return Ok(Vec::new());
        }
        let mut objections = Vec::new();
        for one in pulled {
            objections.extend(one.plan.objections(&self.forecast(one).await?));
        }
        Ok(objections)
    }

    async fn has_written(&self, pulled: &[Pulled<'_>]) -> Result<bool, RunError> {
        for one in pulled {
            let progress = self.work.ledger.progress(one.id).await?;
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
        let tally = self.work.ledger.tally(id).await?;
        let proven = !guards.require_test || self.is_proven(plan).await?;
        if let Some(shown) = self.records.forecast(&plan.write_back.name, proven) {
            return Ok(shown);
        }
        if plan.creation.is_some() {
            // What becomes of its records hangs on rows that are not made yet.
            return Ok(Forecast {
                tally,
                parked: tally.skipped,
                proven,
                ..Forecast::default()
            });
        }
        let mut outset = Outset {
            read: tally.read,
            rejected: tally.rejected,
            records: package.record_count(),
            nulls: 0,
            key_is_unique: plan.layout.key_is_unique(),
            calls: calls_most_of(plan, package.record_count()),
        };
        if !guards.needs_lookup(&outset)
            && (guards.max_nulls.is_some() || guards.max_rejected.is_some())
        {
            outset = block_in_place(|| self.looked_through(pulled, outset))?;
        }
        if guards.needs_lookup(&outset) {
            info!(job = %self.work.facts.job, run = id.run, write_back = %plan.write_back.name, "looking records up for the guards");
            return Ok(
                preview::forecast(plan, package, id.run, tally, proven, self.work.stop).await?,
            );
        }
        let tally = Tally {
            rejected: outset.rejected,
            ..tally
        };
        Ok(Forecast {
            tally,
            parked: tally.skipped,
            calls: outset.calls,
            proven,
            ..Forecast::default()
        })
    }

    async fn is_proven(&self, plan: &Plan) -> Result<bool, RunError> {
        let write_back = &plan.write_back;
        Ok(self
            .work
            .ledger
            .is_proven(&self.work.facts.job, &write_back.name, &write_back.version)
            .await?)
    }

    /// The outset with what only the package's records tell: keys that occur twice, and NULLs.
    fn looked_through(&self, pulled: &Pulled<'_>, outset: Outset) -> Result<Outset, RunError> {
        let Pulled { plan, package, .. } = *pulled;
        let watched = plan.layout.nullable_by_source();
        let mut nulls = vec![0; watched.len()];
        let mut duplicates = 0;
        for index in 0..package.partition_count() {
            let partition = push::load(plan.assignment(), package, index, self.work.facts.run)?;
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
        let guarded = Guarded {
            objections,
            approving_command: self.approving_command(),
        };
        RunReport::guarded(self.work.facts, plans, guarded)
    }

    fn approving_command(&self) -> String {
        let cycle = match &self.request.cycle {
            RequestedCycle::Given(_) => Some(self.work.facts.cycle.id.as_str()),
            RequestedCycle::Own(_) => None,
        };
        approving_command(
            &self.work.facts.job,
            self.request.only_write_back(),
            cycle,
            self.request.scope,
        )
    }
}
