//! A pause: nothing runs a job for a while, for a reason that a person gives.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// That a job is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pause {
    /// When it ends by itself; absent, only when a person ends it.
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) reason: String,
    /// Absent if the system did not tell.
    pub(crate) paused_by: Option<String>,
    pub(crate) paused_at: DateTime<Utc>,
}

/// `paused until 2026-12-01 06:00:00 UTC by ada: the CRM moves house`
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("paused")?;
        if let Some(until) = self.until {
            write!(f, " until {}", until.format("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        if let Some(by) = &self.paused_by {
            write!(f, " by {by}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn a_pause_tells_until_when_by_whom_and_why() {
        let pause = Pause {
            until: Some("2026-12-01T06:00:00Z".parse().unwrap()),
            reason: "the CRM moves house".to_owned(),
            paused_by: Some("ada".to_owned()),
            paused_at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(
            pause.to_string(),
            "paused until 2026-12-01 06:00:00 UTC by ada: the CRM moves house"
        );
        let open = Pause {
            until: None,
            paused_by: None,
            ..pause
        };
        assert_eq!(open.to_string(), "paused: the CRM moves house");
    }
}
