//! Who may do what on the page: roles, single rights, whose jobs are whose, and how long whoever
//! guesses passwords has to wait.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{EnumCount, VariantArray};

/// Wrong passwords within [`FAILURES_REMEMBERED`] that cost nothing: people mistype.
pub(crate) const FAILURES_FREE: u32 = 5;

/// How long a wrong password counts.
pub(crate) const FAILURES_REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// The pause after the first wrong password that costs something; each further one doubles it.
const PAUSE_FIRST: Duration = Duration::from_secs(30);

/// The longest pause: a person who forgot a password comes back, a guesser gets a hundred a day.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// What somebody may do. Each may do what the ones before it may.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumCount,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Looks.
    Viewer,
    /// Runs, tests and parks too.
    Operator,
    /// Approves, takes back and decides who else may do what.
    Admin,
}

impl Role {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Errors: no role has this name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == name);
        known.ok_or_else(|| "a role is viewer, operator or admin".to_owned())
    }
}

/// What takes an admin, unless the project leaves it to operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// To let a run go ahead that guards stopped.
    Approve,
    /// To apply what a preview showed.
    Apply,
    /// To take a run back.
    Undo,
}

impl Right {
    pub(crate) const ALL: [Self; 3] = [Self::Approve, Self::Apply, Self::Undo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Apply => "apply",
            Self::Undo => "undo",
        }
    }
}

/// The least role that has each right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    approve: Role,
    apply: Role,
    undo: Role,
}

impl Default for Rights {
    fn default() -> Self {
        Self {
            approve: Role::Admin,
            apply: Role::Admin,
            undo: Role::Admin,
        }
    }
}

impl Rights {
    pub(crate) fn least(self, right: Right) -> Role {
        match right {
            Right::Approve => self.approve,
            Right::Apply => self.apply,
            Right::Undo => self.undo,
        }
    }

    /// The same, but that a right begins with another role.
    pub(crate) fn with(self, right: Right, least: Role) -> Self {
        match right {
            Right::Approve => Self {
                approve: least,
                ..self
            },
            Right::Apply => Self {
                apply: least,
                ..self
            },
            Right::Undo => Self {
                undo: least,
                ..self
            },
        }
    }
}

/// Whether a job is `own`, or that of one of its agencies.
pub(crate) fn is_within(own: &str, job: &str) -> bool {
    let rest = job.strip_prefix(own);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How long nobody is asked for a password any more after so many wrong ones.
pub(crate) fn pause_after(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FAILURES_FREE) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    PAUSE_FIRST.saturating_mul(factor).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyping_costs_nothing_and_guessing_ever_more() {
        let pauses: Vec<u64> = (3..=12).map(|n| pause_after(n).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_right_begins_with_an_admin_unless_it_is_left_to_operators() {
        let rights = Rights::default().with(Right::Approve, Role::Operator);
        let least = Right::ALL.map(|right| rights.least(right));
        assert_eq!(least, [Role::Operator, Role::Admin, Role::Admin]);
    }

    #[test]
    fn whose_the_base_is_those_are_its_agencies_and_not_the_reverse() {
        assert!(is_within("referral", "referral") && is_within("referral", "referral/contoso"));
        for other in ["referrals", "referral2/contoso", "ref", ""] {
            assert!(!is_within("referral", other), "{other}");
        }
        assert!(!is_within("referral/contoso", "referral"));
    }

    #[test]
    fn each_role_may_do_what_the_ones_before_it_may() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Ok(role));
        }
        assert!(Role::parse("root").is_err());
    }
}
