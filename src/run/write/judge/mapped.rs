//! The judge of mapped records: the match rule, applied to what was found of them.

use polars::prelude::DataFrame;

use super::Decided;
use crate::destination::seam::{LookUp, LookedUp};
use crate::domain::before::Before;
use crate::domain::layout::Layout;
use crate::run::conflicts::Conflicts;

/// Looks records up and decides about each.
pub(crate) async fn judge<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    records: &DataFrame,
    before: Before,
) -> Result<Decided, By::Error> {
    Ok(decided(layout, by.look_up(layout, records, before).await?))
}

/// What the match rule says of each record that was looked up.
pub(crate) fn decided(layout: &Layout, looked_up: LookedUp) -> Decided {
    let rule = layout.mode;
    let found = looked_up.found.iter();
    Decided {
        decisions: found
            .map(|found| rule.decide(found.rows, found.differs, found.is_unfit))
            .collect(),
        looked_up,
        conflicts: Conflicts::default(),
    }
}
