//! A run at work, as far as it is the same whether it delivers records or takes an earlier run
//! back: where its files stand, and how its packages are pushed and accounted for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::conflicts::kept;
use super::images;
use super::place::{self, LEFT_ALONE_MAX, run_folder};
use super::progress::Progress;
use super::push::error::PushError;
use super::push::{Assignment, Push};
use super::report::WriteBackReport;
use super::stop::Stop;
use crate::config::Project;
use crate::domain::mapping::RunFacts;
use crate::domain::outcome::{SkipReason, Tally};
use crate::http::CallTally;
use crate::ledger::{Ledger, WriteBackId};
use crate::package::{Package, PackageError};
use crate::state;

/// A run that has begun.
#[derive(Clone, Copy)]
pub(super) struct AtWork<'a> {
    pub(super) project: &'a Project,
    pub(super) ledger: &'a Ledger,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) stop: &'a Stop,
    pub(super) facts: &'a RunFacts,
}

impl AtWork<'_> {
    /// Where a write-back's package stands while the run is at work, beside its `outcomes.parquet`.
    /// The folder of its files is made; one that a link leads to is refused.
    pub(super) fn package_folder(&self, write_back: &str) -> Result<PathBuf, PackageError> {
        let run_folder = run_folder(self.project, self.facts.run);
        let folder = run_folder.join(write_back);
        let made = state::make_folder_within(&self.project.state_folder(), &folder);
        made.map_err(|source| PackageError::Io {
            doing: "make",
            path: folder.display().to_string(),
            source,
        })?;
        Ok(place::package_folder(&run_folder, write_back))
    }

    /// Removes the packages of a run that is over: they hold records, and nothing reads them again.
    pub(super) fn remove_packages(&self, run: i64) {
        let folder = run_folder(self.project, run);
        if let Err(error) = place::remove_packages(&folder) {
            warn!(folder = %folder.display(), %error, "could not remove the packages of a run that is over");
        }
    }

    /// Pushes the package of a write-back and holds what became of its records against the ledger.
    pub(super) async fn deliver(
        &self,
        assignment: Assignment<'_>,
        id: WriteBackId,
        package: &Package,
        pulled: Option<Tally>,
        pulling: Duration,
    ) -> Result<WriteBackReport, PushError> {
        let begun = Instant::now();
        let assignment = assignment.for_records(package.record_count());
        let name = assignment.write_back.to_owned();
        let folder = run_folder(self.project, id.run).join(&name);
        let Self {
            ledger,
            progress,
            stop,
            facts,
            ..
        } = *self;
        let push = Push {
            assignment,
            id,
            facts,
            package,
            ledger,
            progress,
            stop,
            folder,
        };
        let tally = CallTally::begin();
        let pushed = tally.over(push.carry_out()).await?;
        let is_service = assignment.destination.system.service().is_some();
        let calls = is_service.then(|| tally.made());
        let kept = match assignment.last_written {
            Some(_) => {
                kept::report(ledger, id, &run_folder(self.project, id.run).join(&name)).await?
            }
            None => BTreeMap::new(),
        };
        let elapsed = pulling + begun.elapsed();
        self.ledger
            .finish_write_back(id, elapsed.as_secs_f64())
            .await?;
        let progress = self.ledger.progress(id).await?;
        let (batches, is_in_doubt) = (progress.committed.len(), !progress.sent.is_empty());
        let tally = self.ledger.tally(id).await?;
        // Of a run taken up, an earlier process counted a part that only the ledger knows.
        let counted = pulled.map_or(tally, |mut counted| {
            counted += pushed;
            counted
        });
        if is_in_doubt || !tally.balances() || tally != counted {
            return Err(PushError::Unbalanced {
                write_back: name,
                counted: Box::new(counted),
                ledger: Box::new(tally),
            });
        }
        info!(job = %self.facts.job, run = id.run, write_back = %name, read = tally.read, "delivered");
        let keeps_before_images = assignment.keeps_before_images;
        if !keeps_before_images {
            let folder = images::folder_in(&run_folder(self.project, id.run).join(&name));
            if let Err(error) = state::remove_folder_if_there(&folder) {
                warn!(folder = %folder.display(), %error, "could not remove before-images that are not to be kept");
            }
        }
        let unmatched = match tally.skipped + tally.rejected == tally.read {
            true => self.ledger.skipped(id).await?.remove(&SkipReason::NoMatch),
            false => None,
        };
        let mut parked = self.ledger.left_alone(id, LEFT_ALONE_MAX).await?;
        parked.retain(|record| record.parked);
        let left = self.ledger.reasons_left_alone(id).await?;
        let canary = self.ledger.canary(id).await?;
        Ok(WriteBackReport {
            name,
            tally,
            batches: u64::try_from(batches).unwrap_or(u64::MAX),
            elapsed,
            parked,
            left,
            kept,
            matched_nothing: unmatched == Some(tally.skipped),
            calls,
            keeps_before_images,
            canary,
        })
    }
}
