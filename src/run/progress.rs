//! What a run tells while it works.

/// Whoever watches a run. Called from several threads.
pub(crate) trait Progress: Send + Sync {
    /// `records` have been read of a write-back so far.
    fn pulled(&self, write_back: &str, records: u64);
    /// Its records are about to be pushed: `records` of them.
    fn push_begins(&self, write_back: &str, records: u64);
    /// `records` more have an outcome.
    fn pushed(&self, write_back: &str, records: u64);
    fn push_ends(&self, write_back: &str);
}
