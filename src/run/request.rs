//! What a run is asked to do.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use xxhash_rust::xxh3::xxh3_128;

use crate::config::{CheckedJob, Project};
use crate::domain::cycle::Cycle;
use crate::run::saved_plan::SavedPlan;
use crate::run::stop::Stop;

/// What to run.
#[derive(Debug)]
pub(crate) struct RunRequest<'a> {
    pub(crate) project: &'a Project,
    pub(crate) checked: &'a CheckedJob,
    pub(crate) cycle: RequestedCycle,
    pub(crate) scope: Scope<'a>,
    /// Only this one of the job's write-backs.
    pub(crate) write_back: Option<&'a str>,
    /// What is to be done where the cycle is delivered already.
    pub(crate) repeat: Redelivery,
    /// Who approves the run that guards stopped; nobody, and it is judged as any other.
    pub(crate) approver: Option<Approver>,
    pub(crate) stop: Stop,
}

impl RunRequest<'_> {
    /// The write-back it is restricted to, if the job has others.
    pub(super) fn only_write_back(&self) -> Option<&str> {
        self.write_back
            .filter(|_| self.checked.job.write_backs.len() > 1)
    }

    /// What a run must share with an interrupted one to take it up: the files, and the choice of
    /// write-backs and records.
    pub(super) fn digest(&self) -> String {
        let choice = [
            Some(self.checked.digest.as_str()),
            self.only_write_back(),
            self.scope.mark(),
        ];
        choice.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Whether a cycle that is delivered already is delivered again. It is asked with the job locked:
/// who waited for another run knows of what that one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redelivery {
    Always,
    /// Where it was undone since, or a write-back was changed.
    IfNew,
    Never,
}

/// Which records a run takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    All,
    /// Those that were rejected by the latest run of all records and have not landed since.
    OnlyRejected,
    /// Of these, those that a person chose.
    Chosen(&'a ChosenRecords),
    /// Those of a saved plan, with the values that stand there.
    Planned(&'a SavedPlan),
}

impl Scope<'_> {
    /// What tells runs of this scope from those of another.
    fn mark(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::OnlyRejected => Some("--only-rejected"),
            Self::Chosen(chosen) => Some(&chosen.mark),
            Self::Planned(saved) => Some(saved.digest()),
        }
    }
}

/// Rejected records that a person chose.
#[derive(Debug)]
pub(crate) struct ChosenRecords {
    keys: BTreeSet<String>,
    mark: String,
}

impl ChosenRecords {
    /// Those with these match keys, as the program itself writes them.
    pub(crate) fn new(keys: BTreeSet<String>) -> Self {
        let told: Vec<&str> = keys.iter().map(String::as_str).collect();
        let digest = xxh3_128(format!("{told:?}").as_bytes());
        Self {
            keys,
            mark: format!("--only-rejected {digest:032x}"),
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(crate) fn keys(&self) -> &BTreeSet<String> {
        &self.keys
    }
}

/// Who approves a run that guards stopped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Approver {
    /// The user's name, if the system tells.
    pub(crate) name: Option<String>,
    /// Why, in their words.
    pub(crate) reason: Option<String>,
    /// Digest of what they saw; absent, they approve whatever run it is.
    pub(crate) seen: Option<String>,
}

/// The cycle a run is to write back.
#[derive(Debug, Clone)]
pub(crate) enum RequestedCycle {
    /// One that a dashboard finished or the user named.
    Given(Cycle),
    /// One of the run's own, as nothing says which cycle the source is at.
    Own(Cycle),
}

impl RequestedCycle {
    pub(crate) fn cycle(&self) -> &Cycle {
        match self {
            Self::Given(cycle) | Self::Own(cycle) => cycle,
        }
    }

    /// Whether the job has begun a newer one.
    pub(super) fn is_older_than(&self, newest: &Cycle) -> bool {
        match self {
            Self::Given(cycle) => cycle.id != newest.id && cycle.completed_at < newest.completed_at,
            // It is of this moment, whatever the clock was set to before.
            Self::Own(_) => false,
        }
    }

    /// Why an unfinished run is not gone on with: its records are no longer those to write.
    pub(super) fn leaves_behind(
        &self,
        unfinished: &Cycle,
        now: DateTime<Utc>,
    ) -> Option<&'static str> {
        match self {
            Self::Given(cycle) => {
                // What completed later than now did so by a clock that was ahead, and is not newer.
                let is_newer =
                    cycle.completed_at > unfinished.completed_at || unfinished.completed_at > now;
                (cycle.id != unfinished.id && is_newer)
                    .then_some("a newer cycle finished before it could be taken up")
            }
            Self::Own(cycle) => ((cycle.completed_at - unfinished.completed_at).abs()
                > UNFINISHED_AGE_MAX)
                .then_some("it is more than a day old, and no dashboard vouches for its records"),
        }
    }
}

/// How old an unfinished run of a job without a dashboard may be to be gone on with: nothing tells
/// whether its source has newer records by now, and after a day it likely has.
const UNFINISHED_AGE_MAX: TimeDelta = TimeDelta::days(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(id: &str, hours: i64) -> Cycle {
        Cycle {
            id: id.to_owned(),
            completed_at: DateTime::UNIX_EPOCH + TimeDelta::hours(hours),
        }
    }

    #[test]
    fn a_given_cycle_is_older_only_than_another_that_completed_later() {
        let given = RequestedCycle::Given(cycle("c1", 1));
        assert!(given.is_older_than(&cycle("c2", 2)));
        assert!(!given.is_older_than(&cycle("c0", 0)));
        assert!(!given.is_older_than(&cycle("c2", 1)));
        assert!(
            !given.is_older_than(&cycle("c1", 2)),
            "named by hand before its dashboard told when it completed"
        );
        assert!(
            !RequestedCycle::Own(cycle("c1", 1)).is_older_than(&cycle("c2", 2)),
            "the clock was set back"
        );
    }

    #[test]
    fn an_unfinished_run_is_gone_on_with_until_its_records_are_old() {
        let now = cycle("now", 48).completed_at;
        let given = RequestedCycle::Given(cycle("c2", 2));
        assert!(given.leaves_behind(&cycle("c1", 1), now).is_some());
        assert_eq!(given.leaves_behind(&cycle("c2", 1), now), None);
        assert_eq!(given.leaves_behind(&cycle("c3", 3), now), None);
        assert!(
            given.leaves_behind(&cycle("ahead", 99), now).is_some(),
            "what completed later than now is not newer"
        );
        assert_eq!(given.leaves_behind(&cycle("c2", 99), now), None);
        let own = RequestedCycle::Own(cycle("now", 48));
        assert_eq!(own.leaves_behind(&cycle("yesterday", 24), now), None);
        assert!(own.leaves_behind(&cycle("before", 23), now).is_some());
        assert!(own.leaves_behind(&cycle("ahead", 73), now).is_some());
    }
}
