//! When a job is due: a pure function of its cadence, the cycles its dashboard finished, what
//! became of them, and the time. Knows no clock, no ledger and no process: all of that is given.

mod verdict;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::cycle::Cycle;
use super::gate::Gates;
use super::pause::Pause;

/// When a job is due: after which dashboard's cycles, how long after, and behind which gates.
#[derive(Debug, Clone)]
pub(crate) struct Cadence {
    /// Name of the `[dashboards.*]` whose cycles the job follows.
    pub(crate) dashboard: String,
    /// How long after a cycle was noticed it may be written back.
    pub(crate) settle: Duration,
    /// Not before the next of these instants; without any, at once.
    pub(crate) gates: Gates,
    /// Of so many new cycles one is written back: the last of them.
    pub(crate) every_cycles: NonZeroU32,
    /// How long after its completion a cycle may still be written back.
    pub(crate) deadline: Option<Duration>,
    /// How long the dashboard may finish no cycle before people are told.
    pub(crate) max_silence: Option<Duration>,
    pub(crate) missed: Missed,
    pub(crate) retry: Retry,
}

/// What becomes of cycles that were due while nobody served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Missed {
    /// The newest of them runs, once.
    #[default]
    Latest,
    /// None of them runs.
    None,
    /// Each of them runs, in order. A cycle is superseded only if it was noticed after a newer one
    /// was begun, if no gate will ever open for it, or if `every_cycles` passes it by.
    All,
}

/// How a run that could not finish is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Pause before the second attempt; each further pause is twice as long.
    pub(crate) delay_first: Duration,
    pub(crate) delay_max: Duration,
    /// Attempts in all, the first included.
    pub(crate) attempts_max: NonZeroU32,
}

/// What became of a cycle, for one job. When its last attempt failed is told as whoever asks tells
/// time: a decision as how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate<Last = Duration> {
    /// No run has begun with it.
    New,
    /// A run of it was killed or stopped, and waits to be taken up.
    Interrupted,
    /// Its runs could not finish so far.
    Failing {
        attempts: u32,
        /// When the last attempt failed.
        last: Last,
    },
    /// Written back.
    Delivered,
    /// Its run was stopped by a guard and waits for a person.
    Guarded,
    /// Tried as often as the cadence allows, and never finished.
    GivenUp {
        attempts: u32,
    },
    Superseded,
    Expired,
    Missed,
}

impl<Last> Fate<Last> {
    /// The same fate, its last attempt told otherwise; `retell` is given how many there were.
    pub(crate) fn retold<Otherwise>(
        self,
        retell: impl FnOnce(u32, Last) -> Otherwise,
    ) -> Fate<Otherwise> {
        match self {
            Self::New => Fate::New,
            Self::Interrupted => Fate::Interrupted,
            Self::Failing { attempts, last } => Fate::Failing {
                attempts,
                last: retell(attempts, last),
            },
            Self::Delivered => Fate::Delivered,
            Self::Guarded => Fate::Guarded,
            Self::GivenUp { attempts } => Fate::GivenUp { attempts },
            Self::Superseded => Fate::Superseded,
            Self::Expired => Fate::Expired,
            Self::Missed => Fate::Missed,
        }
    }
}

/// A cycle as one job knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownCycle {
    pub(crate) cycle: Cycle,
    /// When it was noticed, on the wall clock as it is set now; never later than now.
    pub(crate) noticed_at: DateTime<Utc>,
    /// How long ago it was noticed, on a clock that nobody sets.
    pub(crate) noticed: Duration,
    pub(crate) fate: Fate,
}

/// What a verdict is based on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    pub(crate) now: DateTime<Utc>,
    /// Since when this process has watched without a break: what was due before was missed.
    pub(crate) serving_since: DateTime<Utc>,
    /// Since when nobody watched before that; `None` if nobody ever did, so that nothing was
    /// missed.
    pub(crate) absent_since: Option<DateTime<Utc>>,
    /// From the newest one on that a run began with, and older ones without a fate. Oldest
    /// completion first; of equal ones, first noticed first.
    pub(crate) cycles: &'a [KnownCycle],
    /// Whether a run of the job is at work.
    pub(crate) at_work: bool,
}

/// What is to be done about a job now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Cycles that will not be written back, to be recorded so before anything else.
    pub(crate) passed_over: Vec<PassedOver>,
    pub(crate) next: Next,
}

/// A cycle that will not be written back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PassedOver {
    pub(crate) cycle: String,
    pub(crate) why: PassedOverWhy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PassedOverWhy {
    /// A newer cycle is written back instead.
    Superseded { by: String },
    /// Its deadline went by before a run of it finished.
    Expired,
    /// It was due while nobody served, and the cadence makes up for none.
    Missed,
    /// Its runs failed as often as the cadence allows.
    GivenUp { attempts: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write this cycle back now.
    Run(Cycle),
    Wait(Wait),
}

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For its own run to end.
    Run,
    /// For the dashboard to finish a cycle.
    Cycle,
    /// For more cycles: `every_cycles` counts `new` so far.
    MoreCycles { new: u32, needed: u32 },
    /// For a cycle to settle.
    Settle { cycle: String, until: DateTime<Utc> },
    /// For a gate to open.
    Gate { cycle: String, until: DateTime<Utc> },
    /// No gate will ever open again: all its exact instants have passed.
    Nothing { cycle: String },
    /// For the next attempt at a cycle whose run failed.
    Retry {
        cycle: String,
        attempts: u32,
        until: DateTime<Utc>,
    },
    /// For a person to approve what a guard stopped.
    Approval { cycle: String },
    /// For a newer cycle, since this one was given up.
    CycleAfterFailure { cycle: String, attempts: u32 },
    /// For its pause to end.
    Paused(Pause),
}

impl Wait {
    /// When it ends by itself, if it does; always later than the time the verdict was given at.
    pub(crate) fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Settle { until, .. } | Self::Gate { until, .. } | Self::Retry { until, .. } => {
                Some(*until)
            }
            Self::Paused(pause) => pause.until,
            Self::Run
            | Self::Cycle
            | Self::MoreCycles { .. }
            | Self::Nothing { .. }
            | Self::Approval { .. }
            | Self::CycleAfterFailure { .. } => None,
        }
    }
}

/// Why the job does not run now.
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => write!(f, "its run is at work"),
            Self::Cycle => write!(f, "no new cycle"),
            Self::MoreCycles { new, needed } => write!(f, "{new} of {needed} new cycles"),
            Self::Settle { cycle, .. } => write!(f, "cycle `{cycle}` settles"),
            Self::Gate { cycle, .. } => write!(f, "cycle `{cycle}` waits for the gate"),
            Self::Nothing { cycle } => write!(f, "no gate opens any more for cycle `{cycle}`"),
            Self::Retry {
                cycle, attempts, ..
            } => {
                write!(
                    f,
                    "cycle `{cycle}` failed {} and waits for the next attempt",
                    times(*attempts)
                )
            }
            Self::Paused(pause) => write!(f, "{pause}"),
            Self::Approval { cycle } => write!(f, "cycle `{cycle}` waits for approval"),
            Self::CycleAfterFailure { cycle, attempts } => {
                write!(
                    f,
                    "no new cycle since `{cycle}` failed {} and was given up",
                    times(*attempts)
                )
            }
        }
    }
}

/// Why the cycle is not written back.
impl fmt::Display for PassedOverWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded { by } => write!(f, "superseded by cycle `{by}`"),
            Self::Expired => write!(f, "its deadline went by"),
            Self::Missed => write!(f, "it was due while nobody served"),
            Self::GivenUp { attempts } => {
                write!(f, "it failed {} and was given up", times(*attempts))
            }
        }
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}
