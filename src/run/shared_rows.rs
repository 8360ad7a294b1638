//! Settles which records are written to rows that several were led to: those that a pull packed by
//! the rows' ids are packed anew, by their own keys. A row's records stand side by side in between,
//! so that memory stays flat however many share one.

use tokio::task::block_in_place;

use super::plan::Plan;
use super::pull::{Account, PullError};
use crate::domain::outcome::Tally;
use crate::domain::shared_row::{SharedRows, settle};
use crate::package::{Package, PackageWriter};

/// Puts the records of `led` that go on into `writer`; the others are accounted for, and counted.
pub(super) async fn pack<A: Account>(
    plan: &Plan,
    led: &Package,
    mut writer: PackageWriter,
    account: &mut A,
    tally: &mut Tally,
) -> Result<Package, PullError> {
    let layout = &plan.layout;
    let id: Vec<&str> = layout
        .key_fields()
        .map(|field| field.column.name.as_str())
        .collect();
    let object = layout.object.display_name();
    block_in_place(|| writer.keep_places_of(led))?;
    for partition in 0..led.partition_count() {
        let loaded = block_in_place(|| led.load(partition))?;
        block_in_place(|| writer.push(&loaded.records))?;
        let (false, [id]) = (loaded.duplicates.height() == 0, id.as_slice()) else {
            continue;
        };
        let SharedRows {
            carried,
            left_alone,
            rejections,
        } = settle(&loaded.duplicates, id, &object).map_err(PullError::Led)?;
        block_in_place(|| writer.push(&carried))?;
        tally.skipped += u64::try_from(left_alone.len()).unwrap_or(u64::MAX);
        tally.rejected += u64::try_from(rejections.len()).unwrap_or(u64::MAX);
        account.leave_alone(left_alone).await?;
        account.reject(rejections).await?;
    }
    Ok(block_in_place(|| writer.finish())?)
}
