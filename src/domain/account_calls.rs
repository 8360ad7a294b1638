//! What a run asked of the accounts behind web APIs, and what these have left.

use serde::{Deserialize, Serialize};

/// Calls of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountCalls {
    pub(crate) connection: String,
    /// Logging in, describing, asking again and waiting to be sent on counted too.
    pub(crate) made: u64,
    /// Of the account when it told last, other programs' use counted too; `None` where nothing tells.
    pub(crate) used: Option<u64>,
    pub(crate) allowed: Option<u64>,
}
