//! How long before-images are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{TimeDelta, Utc};
use tracing::warn;

use crate::domain::job::WriteBack;
use crate::ledger::LedgerError;
use crate::run::at_work::AtWork;
use crate::run::conflicts::kept::{self, KEPT_CSV};
use crate::run::images;
use crate::run::place::run_folder;
use crate::run::plan::Plan;
use crate::state;

/// Removes before-images that were kept for as long as their write-back says. Where that cannot
/// be done, the run is delivered all the same, and a later one tries again.
pub(super) async fn prune(work: AtWork<'_>, plans: &[Plan]) -> Result<(), LedgerError> {
    for WriteBack {
        name,
        before_images_kept,
        ..
    } in plans.iter().map(|plan| &plan.write_back)
    {
        let kept = before_images_kept.and_then(|kept| TimeDelta::from_std(kept).ok());
        let now = Utc::now();
        let Some(before) = kept.and_then(|kept| now.checked_sub_signed(kept)) else {
            continue;
        };
        let last_written = work.ledger.last_written(&work.facts.job, name).await?;
        for run in work
            .ledger
            .runs_ended_before(&work.facts.job, name, before, now)
            .await?
        {
            // What a later run has not folded into what was last written is still to be read.
            if last_written
                .as_ref()
                .is_none_or(|last_written| run < last_written.run)
            {
                remove_images(&run_folder(work.project, run).join(name));
            }
        }
    }
    Ok(())
}

/// Removes the before-images in the folder of a write-back beside its run, and the values that were
/// kept.
fn remove_images(folder: &Path) {
    let remove_file = |file: PathBuf| match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    let removed = state::remove_folder_if_there(&images::folder_in(folder))
        .and_then(|()| state::remove_folder_if_there(&kept::folder_in(folder)))
        .and_then(|()| remove_file(folder.join(KEPT_CSV)));
    if let Err(error) = removed {
        warn!(folder = %folder.display(), %error, "could not remove before-images that are old");
    }
}
