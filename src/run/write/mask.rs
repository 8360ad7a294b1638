//! Which values of a batch are written.

use polars::prelude::BooleanChunked;

/// For each field of a layout which records an update writes it of; `None` if of all.
pub(crate) type Mask = Vec<Option<BooleanChunked>>;
