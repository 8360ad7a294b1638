//! Previews of a job's write-backs one after the other, with what the ledger knows of them.

use std::path::Path;
use std::sync::Arc;

use super::error::RunError;
use super::foresight::Foresight;
use super::plan::{Plan, Until};
use super::preview::{self, Known, WriteBackPreview};
use super::progress::Progress;
use super::saved_plan::SavedPlanWriter;
use super::selection::Selection;
use crate::config::Project;
use crate::domain::job::WriteBack;
use crate::domain::mapping::RunFacts;
use crate::ledger::Ledger;

/// Runs that tell how long the next one takes: enough that one odd run matters little, few enough
/// to be of today.
const PACE_RUNS_MAX: u32 = 5;

/// Previews one write-back of a job after the other.
pub(crate) struct Previewer<'a> {
    pub(crate) project: &'a Project,
    /// Absent where nothing ran yet.
    pub(crate) ledger: Option<&'a Ledger>,
    pub(crate) facts: &'a RunFacts,
    /// Samples of each sort.
    pub(crate) samples_max: usize,
    /// Takes packages for the while.
    pub(crate) folder: &'a Path,
    pub(crate) progress: Arc<dyn Progress>,
    /// What the write-backs that were previewed tell those after them.
    pub(crate) foresight: Foresight,
}

impl Previewer<'_> {
    pub(crate) async fn preview(
        &mut self,
        plan: &mut Plan,
        saved: Option<&mut SavedPlanWriter>,
    ) -> Result<WriteBackPreview, RunError> {
        let (job, name) = (&self.facts.job, plan.write_back.name.clone());
        if let Some(ledger) = self.ledger {
            let folder = self.folder.join(format!("{name} last written"));
            plan.remember(self.project, ledger, job, Until::Now(&folder))
                .await?;
            plan.recall(self.project, ledger, job, i64::MAX, true)
                .await?;
        }
        let mut known = known(self.ledger, job, &plan.write_back).await?;
        known.foresight = std::mem::take(&mut self.foresight);
        let selection = selection_of(self.ledger, self.facts, plan).await?;
        let package = self.folder.join(&name);
        let (samples_max, progress) = (self.samples_max, self.progress.as_ref());
        let shown = preview::preview(
            plan,
            &package,
            selection,
            samples_max,
            &mut known,
            saved,
            progress,
        );
        let shown = shown.await;
        self.foresight = known.foresight;
        Ok(shown?)
    }
}

async fn known(
    ledger: Option<&Ledger>,
    job: &str,
    write_back: &WriteBack,
) -> Result<Known, RunError> {
    let Some(ledger) = ledger else {
        return Ok(Known {
            job: job.to_owned(),
            ..Known::default()
        });
    };
    Ok(Known {
        ledger: Some(ledger.clone()),
        job: job.to_owned(),
        proven: ledger
            .is_proven(job, &write_back.name, &write_back.version)
            .await?,
        pace: ledger.pace(job, &write_back.name, PACE_RUNS_MAX).await?,
        foresight: Foresight::default(),
    })
}

/// All records but the parked ones.
async fn selection_of(
    ledger: Option<&Ledger>,
    facts: &RunFacts,
    plan: &Plan,
) -> Result<Selection, RunError> {
    match ledger {
        Some(ledger) => Ok(Selection::of(ledger, facts, plan, None).await?),
        None => {
            let kinds = plan.record_kinds();
            Ok(Selection::new(Vec::new(), None, facts.started_at, &kinds))
        }
    }
}
