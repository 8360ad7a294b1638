//! What requests have to do with the records of a batch: what the caller of a request expects its
//! row to hold, and what of a run's records requests wrote in the meantime.

use polars::prelude::DataFrame;

use crate::destination::seam::LookUp;
use crate::domain::before::Before;
use crate::domain::layout::Layout;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::SkipReason;
use crate::run::conflicts::Reserved;
use crate::run::write::judge::Decided;

/// What a caller expects a row to hold before it is written.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The match key, and the fields that are expected to hold something.
    pub(crate) layout: Layout,
    /// Shape: a batch's of the layout, of one record.
    pub(crate) record: DataFrame,
}

/// Terms that a batch is written on; none in most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms<'a> {
    pub(crate) expected: Option<&'a Expected>,
    /// Never empty.
    pub(crate) reserved: Option<&'a Reserved>,
}

/// What is decided about a record whose row does not hold what is expected.
pub(crate) async fn refused<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    record: &DataFrame,
) -> Result<Decided, By::Error> {
    let looked_up = by.look_up(layout, record, Before::OfAll).await?;
    Ok(Decided {
        looked_up,
        decisions: vec![Decision::Skip(SkipReason::ChangedSince)],
        conflicts: Default::default(),
    })
}
