//! A cycle: one finished automation run of a dashboard.

use chrono::{DateTime, Utc};

/// One finished automation run of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) id: String,
    pub(crate) completed_at: DateTime<Utc>,
}

/// Longest id of a cycle, in characters: it stands in tables, logs and messages.
pub(crate) const ID_CHARACTERS_MAX: usize = 200;

/// Whether a cycle may have this id: one line of text, not blank and not long.
pub(crate) fn is_cycle_id(id: &str) -> bool {
    !id.trim().is_empty()
        && id.chars().count() <= ID_CHARACTERS_MAX
        && !id.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_short_line_of_text() {
        for id in ["2026-W46", "7", "Cycle of Monday", "週46", &"x".repeat(200)] {
            assert!(is_cycle_id(id), "{id}");
        }
        for id in ["", " ", "a\nb", "a\u{0}", "\u{1b}[2J", &"x".repeat(201)] {
            assert!(!is_cycle_id(id), "{id:?}");
        }
    }
}
