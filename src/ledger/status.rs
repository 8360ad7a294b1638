//! How a run ended.

use serde::Serialize;
use strum::{EnumCount, VariantArray};

use super::error::{Answer, Fault};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumCount, VariantArray)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    /// Begun and not finished: at work now, or interrupted.
    Running,
    Succeeded,
    /// Finished, with rejected records.
    Rejected,
    /// Could not run or finish.
    Failed,
    /// Stopped by a guard before the first write.
    Guarded,
    /// No cycle that is not written back already.
    NothingNew,
}

impl RunStatus {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// Those of runs that have ended.
    pub(crate) fn ended() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|status| *status != Self::Running)
    }

    /// As the ledger and `--json` write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Guarded => "guarded",
            Self::NothingNew => "nothing_new",
        }
    }

    pub(super) fn named(name: &str) -> Answer<Self> {
        let known = Self::ALL.into_iter().find(|status| status.name() == name);
        known.ok_or_else(|| Fault::Contents(format!("no run has the status `{name}`")))
    }
}
