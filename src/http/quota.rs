//! How much of an account's calls is used up, as the host tells with its answers, and whether the
//! next one would use more than the share that may be.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::domain::share::Percent;

/// Answers whose word counts: what hosts tell goes up and down by a few calls, and is to be taken at
/// its worst.
const TOLD_MAX: usize = 64;

/// Calls of an account, as a host tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) used: u64,
    pub(crate) allowed: u64,
}

/// What was told of an account's calls, and the share of them that may be used.
#[derive(Debug)]
pub(super) struct Quota {
    share: Percent,
    told: Mutex<VecDeque<Usage>>,
}

impl Quota {
    pub(super) fn new(share: Percent) -> Self {
        Self {
            share,
            told: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) fn note(&self, usage: Usage) {
        let mut told = self.told();
        if told.len() == TOLD_MAX {
            told.pop_front();
        }
        told.push_back(usage);
    }

    /// The worst of what was told lately.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.told().iter().copied().max_by_key(|usage| usage.used)
    }

    pub(super) fn share(&self) -> Percent {
        self.share
    }

    /// Why one more call may not be sent while `in_flight` are under way, if it may not.
    pub(super) fn spent(&self, in_flight: usize) -> Option<String> {
        let Usage { used, allowed } = self.usage()?;
        let under_way = u64::try_from(in_flight).unwrap_or(u64::MAX);
        let after = used.saturating_add(under_way);
        let is_spent = self.share.is_exceeded_by(after.into(), allowed.into());
        is_spent.then(|| {
            format!(
                "{used} of {allowed} calls are used up, and {} of them may be",
                self.share
            )
        })
    }

    fn told(&self) -> std::sync::MutexGuard<'_, VecDeque<Usage>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stop_before_they_cross_the_share() {
        let quota = Quota::new(Percent::parse("40 %").expect("a percentage"));
        let told = |used| Usage {
            used,
            allowed: 1000,
        };
        assert_eq!(quota.spent(1), None, "nothing is known yet");
        quota.note(told(399));
        assert_eq!(quota.spent(1), None, "the 400th may be sent");
        assert!(quota.spent(2).is_some(), "not beside another one");
        quota.note(told(400));
        quota.note(told(390));
        let why = quota
            .spent(1)
            .expect("the 401st may not, whatever is told now");
        assert_eq!(
            why,
            "400 of 1000 calls are used up, and 40 % of them may be"
        );
    }
}
