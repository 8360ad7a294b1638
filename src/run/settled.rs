//! Records that are not looked up, for what is known of them says enough.

use polars::prelude::IdxSize;

use crate::domain::outcome::Outcome;

/// The only records of a batch that are looked up.
pub(super) struct LookedUpOnly {
    /// In the batch, ascending.
    pub(super) positions: Vec<IdxSize>,
    /// What is known of all others.
    pub(super) others: Settled,
}

/// Why a record is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// It equals what was last delivered.
    AsWritten,
    /// Its row was read ahead, and holds its values.
    Unchanged,
}

impl Settled {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::AsWritten => Outcome::AsWritten,
            Self::Unchanged => Outcome::Unchanged,
        }
    }
}
