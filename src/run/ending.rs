//! How a run ends, and what it leaves when it cannot finish.

use tracing::warn;

use crate::domain::error::chain;
use crate::ledger::{RunStatus, WriteBackId};
use crate::run::at_work::AtWork;
use crate::run::error::{RunError, WayOn};
use crate::run::plan::Plan;
use crate::run::report::RunReport;
use crate::run::{before_images, guards};

impl AtWork<'_> {
    /// Tells the ledger how the run ended.
    pub(super) async fn conclude(
        &self,
        finished: Result<RunReport, RunError>,
        plans: &[Plan],
    ) -> Result<RunReport, RunError> {
        let run = self.facts.run;
        match finished {
            Ok(report) => {
                self.count_calls().await;
                // Before this run counts as finished: later ones look no further back than to it.
                self.ledger
                    .runs_left_behind(run)
                    .await?
                    .into_iter()
                    .for_each(|earlier| self.remove_packages(earlier));
                match &report.guarded {
                    Some(guarded) => self.ledger.guard_run(run, &guarded.objections).await?,
                    None => {
                        self.ledger
                            .deliver_run(run, report.status, &guards::shown_to_work(plans, &report))
                            .await?
                    }
                }
                if let Err(error) = before_images::prune(*self, plans).await {
                    warn!(job = %self.facts.job, run, %error, "could not look for before-images that are old");
                }
                Ok(report)
            }
            Err(error) => Err(self.stopped(error).await),
        }
    }

    /// What a run that began leaves when it cannot finish.
    pub(super) async fn stopped(&self, source: RunError) -> RunError {
        let run = self.facts.run;
        self.count_calls().await;
        let entry = self.ledger.run(run).await;
        let of_plan = entry.as_ref().is_ok_and(|entry| entry.plan.is_some());
        let (undo_of, write_backs) = entry.map_or((None, Vec::new()), |entry| {
            (entry.undo_of, entry.write_backs)
        });
        let batches = write_backs
            .iter()
            .map(|write_back| write_back.batches)
            .sum();
        let resumable =
            source.leaves_packages_usable() && self.packages_stand(write_backs.len()).await;
        let cause = chain(&source).join(": ");
        let told = if source.gives_up() {
            self.ledger.give_up_run(run, &cause).await
        } else if source.is_interruption() {
            self.ledger.interrupt_run(run, &cause, resumable).await
        } else if resumable {
            self.ledger.stop_run(run, &cause).await
        } else {
            let failed = RunStatus::Failed;
            self.ledger.finish_run(run, failed, Some(&cause)).await
        };
        if let Err(error) = told {
            // The run counts as killed, then; what stopped it is told below.
            warn!(job = %self.facts.job, run, error = %error, "could not record how the run ended");
        }
        let written = self.ledger.written_to(run).await;
        let has_images =
            written.is_ok_and(|all| all.iter().any(|write_back| write_back.has_images));
        let way_on = WayOn {
            resumable,
            undo_of,
            of_plan,
            has_images,
        };
        RunError::Unfinished {
            run,
            job: self.facts.job.clone(),
            batches,
            way_on,
            source: Box::new(source),
        }
    }

    /// Whether all of a run's write-backs are pulled: packages of one run are not to be of
    /// different times.
    async fn packages_stand(&self, write_backs: usize) -> bool {
        for position in (0..).take(write_backs) {
            let progress = self
                .ledger
                .progress(WriteBackId {
                    run: self.facts.run,
                    position,
                })
                .await;
            if !progress.is_ok_and(|progress| progress.packaged) {
                return false;
            }
        }
        write_backs > 0
    }
}
