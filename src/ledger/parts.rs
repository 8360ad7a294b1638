//! What the ledger calls the parts of a run.

/// A write-back within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteBackId {
    pub(crate) run: i64,
    /// Position in the run, from 0.
    pub(crate) position: u32,
}

/// Records that were or will be written in one transaction: a range of a partition's unique
/// records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchSpan {
    pub(crate) partition: u32,
    pub(crate) first: u32,
    pub(crate) records: u32,
}
