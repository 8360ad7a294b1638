//! What a run that guards stopped would do: its packages, which stand since, held against what the
//! destination holds now. Writes nothing.

use std::sync::Arc;

use tokio::task::block_in_place;

use super::approval::{self, ApprovalError};
use super::at_work::AtWork;
use super::error::RunError;
use super::place::{self, run_folder};
use super::preview::{self, WriteBackPreview};
use super::progress::Progress;
use super::request::{RunRequest, Scope};
use super::resolve::Records;
use super::{origin, stop::Stop};
use crate::ledger::{Ledger, WriteBackId};
use crate::package::Package;

/// What a person sees before they let a run go ahead.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) run: i64,
    /// Tells what is shown from anything else.
    pub(crate) digest: String,
    /// Nothing of a run that applies a saved plan: its preview showed what it would do.
    pub(crate) previews: Vec<WriteBackPreview>,
}

/// Looks at the run that `request` would take up once it is approved, with at most `samples_max`
/// samples of each sort. Errors: as an approval's.
pub(crate) async fn look(
    request: &RunRequest<'_>,
    ledger: &Ledger,
    progress: Arc<dyn Progress>,
    samples_max: usize,
) -> Result<Evidence, RunError> {
    let stopped = approval::awaiting_approval(request, ledger).await?;
    let digest = approval::digest(request.project, ledger, &stopped).await?;
    let run = stopped.run;
    let mut previews = Vec::new();
    if !matches!(request.scope, Scope::Planned(_))
        && let Ok(records) = Records::of(request, ledger).await?
    {
        let facts = origin::facts(request, Some(stopped));
        let extent = origin::begun_with(ledger, run).await?;
        let (mut plans, _) = records.plans(request, &facts, &extent).await?;
        let stop = Stop::new();
        let work = AtWork {
            project: request.project,
            ledger,
            progress: &progress,
            stop: &stop,
            facts: &facts,
        };
        for (plan, position) in plans.iter_mut().zip(0..) {
            records.settle(plan, &facts)?;
            records.remember(plan, work).await?;
            let folder = place::package_folder(&run_folder(request.project, run), plan.name());
            let package = block_in_place(|| Package::open(&folder)).map_err(ApprovalError::from)?;
            let tally = ledger.tally(WriteBackId { run, position }).await?;
            let name = plan.name().to_owned();
            progress.push_begins(&name, package.record_count());
            let shown = preview::of_package(plan, &package, run, tally, samples_max).await;
            progress.push_ends(&name);
            previews.push(shown?);
        }
    }
    Ok(Evidence {
        run,
        digest,
        previews,
    })
}
