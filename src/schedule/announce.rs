//! Announcing that a dashboard finished a cycle, by a person or by another scheduler.

use chrono::{DateTime, Utc};

use crate::domain::cycle::{Cycle, ID_CHARACTERS_MAX, is_cycle_id};

/// Why a cycle cannot be announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnnounceError {
    #[error("an id is one line of 1 to {ID_CHARACTERS_MAX} characters, such as 2026-W46")]
    NotAnId,
    #[error("`--completed-at` lies in the future: it is {} now", now.format("%Y-%m-%d %H:%M:%S UTC"))]
    Future { now: DateTime<Utc> },
}

impl AnnounceError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotAnId => None,
            Self::Future { .. } => Some("announce a cycle once it has finished".to_owned()),
        }
    }
}

/// The cycle that is announced as finished then, or now.
pub(crate) fn announced(
    id: &str,
    completed_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Cycle, AnnounceError> {
    if !is_cycle_id(id) {
        return Err(AnnounceError::NotAnId);
    }
    let completed_at = completed_at.unwrap_or(now);
    if completed_at > now {
        return Err(AnnounceError::Future { now });
    }
    Ok(Cycle {
        id: id.to_owned(),
        completed_at,
    })
}
