//! The packages of a run's write-backs: those that stand, and new ones. Write-backs that share a
//! source are pulled at once; nothing is pulled twice for the same run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use super::at_work::AtWork;
use super::error::RunError;
use super::plan::Plan;
use super::resolve::{Records, Wanted};
use crate::domain::outcome::Tally;
use crate::ledger::WriteBackId;
use crate::package::Package;

/// A package that stands, with what a pull counted that was made just now.
pub(super) struct Packaged {
    pub(super) id: WriteBackId,
    pub(super) package: Package,
    pub(super) counted: Option<Tally>,
    pub(super) pulling: Duration,
}

/// The packages of all plans, in their order; or why one destination of several has none.
pub(super) async fn packages(
    records: &Records<'_>,
    work: AtWork<'_>,
    plans: &mut [Plan],
) -> Result<Vec<Result<Packaged, RunError>>, RunError> {
    let mut packages = Vec::new();
    let shares_pull = |one: &Plan, next: &Plan| one.write_back.is_pulled_with(&next.write_back);
    for siblings in plans.chunk_by_mut(shares_pull) {
        let first = u32::try_from(packages.len()).unwrap_or(u32::MAX);
        packages.extend(of_siblings(records, work, siblings, first).await?);
    }
    Ok(packages)
}

/// Those of write-backs that are pulled at once, of which the first has the position `first`.
async fn of_siblings(
    records: &Records<'_>,
    work: AtWork<'_>,
    siblings: &mut [Plan],
    first: u32,
) -> Result<Vec<Result<Packaged, RunError>>, RunError> {
    let begun = Instant::now();
    let run = work.facts.run;
    let mut packages: BTreeMap<u32, Result<Packaged, RunError>> = BTreeMap::new();
    let mut is_told = false;
    let mut wanted = Vec::new();
    for (plan, position) in siblings.iter_mut().zip(first..) {
        let id = WriteBackId { run, position };
        let folder = work.package_folder(plan.name())?;
        if work.ledger.progress(id).await?.packaged {
            packages.insert(position, Ok(standing(id, &folder)?));
        } else {
            work.ledger.restart_pull(id).await?;
            wanted.push(Wanted { plan, id, folder });
        }
    }
    let ids: Vec<WriteBackId> = wanted.iter().map(|wanted| wanted.id).collect();
    let made = match wanted.is_empty() {
        true => Vec::new(),
        false => records.packages(wanted, work).await?,
    };
    for (id, made) in ids.into_iter().zip(made) {
        let (package, counted) = match made {
            Ok(made) => made,
            Err(error) => {
                packages.insert(id.position, Err(error.into()));
                continue;
            }
        };
        let position = usize::try_from(id.position - first).unwrap_or(usize::MAX);
        let mapped_for = siblings.get(position).map(Plan::mapped_for);
        work.ledger
            .record_packaged(id, counted.read, &mapped_for.unwrap_or_default())
            .await?;
        // The time is told once, though it was taken for all.
        let pulling = match is_told {
            true => Duration::ZERO,
            false => begun.elapsed(),
        };
        is_told = true;
        let packaged = Packaged {
            id,
            package,
            counted: Some(counted),
            pulling,
        };
        packages.insert(id.position, Ok(packaged));
    }
    Ok(packages.into_values().collect())
}

fn standing(id: WriteBackId, folder: &Path) -> Result<Packaged, RunError> {
    Ok(Packaged {
        id,
        package: block_in_place(|| Package::open(folder))?,
        counted: None,
        pulling: Duration::ZERO,
    })
}
