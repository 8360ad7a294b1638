//! A cycle: one finished automation run of a dashboard.

use chrono::{DateTime, Utc};

/// One finished automation run of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) id: String,
    pub(crate) completed_at: DateTime<Utc>,
}
