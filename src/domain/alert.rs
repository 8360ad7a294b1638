//! Alerts: what people are told of a job, and when: once when it goes wrong, once when it is right
//! again. Knows no ledger and no channel; what is so now and what was told before is given.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use strum::{EnumCount, VariantArray};

use super::outcome::{Tally, grouped};
use super::share::{Percent, RecordsMax};

/// What an alert is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, EnumCount, VariantArray,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertKind {
    /// A cycle's run could not finish.
    Failing,
    /// A cycle's runs failed as often as the cadence allows.
    GivenUp,
    /// A cycle's deadline went by before a run of it finished.
    Expired,
    /// The dashboard finished no cycle for longer than the cadence allows.
    Silent,
    /// More records were rejected than the threshold allows.
    Rejected,
    Skipped,
    /// The number of records read is far from what is usual.
    ReadCount,
    /// A run was stopped by a guard.
    Guarded,
    /// The job's file was changed to something that cannot be used.
    BrokenFile,
}

impl AlertKind {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As the ledger and what is sent write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::GivenUp => "given_up",
            Self::Expired => "expired",
            Self::Silent => "silent",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::ReadCount => "read_count",
            Self::Guarded => "guarded",
            Self::BrokenFile => "broken_file",
        }
    }

    /// Whether only a run that ends can end it: that a newer cycle took the place of a failing one,
    /// or that a process began anew, is no recovery.
    fn lasts_until_a_run(self) -> bool {
        match self {
            Self::Failing | Self::GivenUp | Self::Expired => true,
            Self::Silent
            | Self::Rejected
            | Self::Skipped
            | Self::ReadCount
            | Self::Guarded
            | Self::BrokenFile => false,
        }
    }

    /// What people are told when it is over.
    fn recovery(self, job: &str) -> String {
        match self {
            Self::Failing => format!("job `{job}` finished a run again"),
            Self::GivenUp => {
                format!("job `{job}` finished a run again, after a cycle that was given up")
            }
            Self::Expired => {
                format!("job `{job}` finished a run again, after a cycle that expired")
            }
            Self::Silent => format!("the dashboard of job `{job}` finished a cycle again"),
            Self::Skipped => {
                format!(
                    "job `{job}` finds rows for as many records as its threshold asks for again"
                )
            }
            Self::Rejected => {
                format!("job `{job}` rejects no more records than its threshold allows again")
            }
            Self::ReadCount => format!("job `{job}` reads about as many records as usual again"),
            Self::Guarded => format!("no guard stops job `{job}` any more"),
            Self::BrokenFile => format!("the file of job `{job}` can be used again"),
        }
    }
}

/// From where on people are told of a run that finished. Without a threshold they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// Records a write-back may reject.
    pub(crate) rejected_max: Option<RecordsMax>,
    /// Records a write-back may skip; without it, people are told of one that skips all.
    pub(crate) skipped_max: Option<RecordsMax>,
    /// How far a write-back's read count may be from the median of its recent runs, up or down.
    pub(crate) read_change_max: Option<Percent>,
    /// Runs that this median is of, the latest left out.
    pub(crate) recent_runs: NonZeroU32,
}

/// What is known of a job now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) circumstances: Circumstances,
    pub(crate) history: History,
}

/// What the scheduler knows of a job now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Circumstances {
    pub(crate) silence: Option<Silence>,
    /// Whether little is left until the deadline of the newest cycle.
    pub(crate) deadline_nears: bool,
    /// What is wrong with the job's file, while it is served as it was before.
    pub(crate) broken_file: Option<String>,
}

/// An attempt at a cycle that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cycle: String,
    /// The cycle's latest run; absent if none could begin.
    pub(crate) run: Option<i64>,
    /// At this cycle so far.
    pub(crate) attempts: u32,
    /// Whether it was the last one.
    pub(crate) given_up: bool,
    /// Its message and causes in one line.
    pub(crate) error: String,
}

/// A dashboard that finishes no cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) lasting: Duration,
    pub(crate) max: Duration,
}

/// What the ledger knows of a job now.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// The last attempt of the scheduler at the cycle decided last, if it failed and no other is at
    /// work. Being asked to stop is no failure.
    pub(crate) failure: Option<Failure>,
    /// The cycle decided last, if it expired.
    pub(crate) expired: Option<String>,
    /// The latest run that delivered its cycle, with or without rejected records.
    pub(crate) delivered: Option<DeliveredRun>,
    /// The latest run of all that ended, if a guard stopped it.
    pub(crate) guarded: Option<GuardedRun>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveredRun {
    pub(crate) run: i64,
    pub(crate) cycle: String,
    pub(crate) write_backs: Vec<DeliveredWriteBack>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveredWriteBack {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    /// Records that earlier runs of it read.
    pub(crate) recent_reads: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuardedRun {
    pub(crate) run: i64,
    pub(crate) cycle: String,
    /// The guard's own words.
    pub(crate) why: Option<String>,
}

impl History {
    /// The latest run that delivered or was stopped by a guard.
    pub(crate) fn ended_run(&self) -> Option<i64> {
        let delivered = self.delivered.as_ref().map(|run| run.run);
        delivered.max(self.guarded.as_ref().map(|run| run.run))
    }
}

/// Something that is wrong with a job now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) kind: AlertKind,
    pub(crate) cycle: Option<String>,
    pub(crate) run: Option<i64>,
    pub(crate) message: String,
    /// The next thing to do.
    pub(crate) hint: Option<String>,
}

/// An alert that people were told of and that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandingAlert {
    pub(crate) job: String,
    pub(crate) kind: AlertKind,
    pub(crate) since: DateTime<Utc>,
    pub(crate) message: String,
    /// [`History::ended_run`] when it was raised.
    pub(crate) ended_run: Option<i64>,
}

/// What people are to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AlertChange {
    Raised(Alert),
    Recovered {
        standing: StandingAlert,
        message: String,
    },
}

/// The failed attempt at a cycle from which on people are told.
const ATTEMPTS_TOLD_FROM: u32 = 2;

/// What is wrong with a job now, at most one alert of each kind.
pub(crate) fn alerts_of(job: &str, facts: &Facts, thresholds: &Thresholds) -> Vec<Alert> {
    let Facts {
        circumstances,
        history,
    } = facts;
    let delivered = history.delivered.as_ref();
    // The first failure may be a hiccup that the next attempt makes good, unless there is no time
    // for another.
    let is_lasting = |failure: &&Failure| {
        failure.attempts >= ATTEMPTS_TOLD_FROM || failure.given_up || circumstances.deadline_nears
    };
    let alerts = [
        history
            .failure
            .as_ref()
            .filter(is_lasting)
            .map(|failure| failing(job, failure)),
        history
            .failure
            .as_ref()
            .filter(|failure| failure.given_up)
            .map(|failure| given_up(job, failure)),
        history.expired.as_ref().map(|cycle| expired(job, cycle)),
        circumstances
            .silence
            .filter(|silence| silence.lasting > silence.max)
            .map(|silence| silent(job, silence)),
        delivered.and_then(|run| rejected(job, run, thresholds.rejected_max?)),
        delivered.and_then(|run| skipped(job, run, thresholds.skipped_max)),
        delivered.and_then(|run| read_count(job, run, thresholds.read_change_max?)),
        history.guarded.as_ref().map(|run| guarded(job, run)),
        circumstances
            .broken_file
            .as_ref()
            .map(|mistakes| broken_file(job, mistakes)),
    ];
    alerts.into_iter().flatten().collect()
}

/// What changed between what people were told (`standing`) and what is so now (`alerts`).
pub(crate) fn changes(
    job: &str,
    standing: &[StandingAlert],
    alerts: Vec<Alert>,
    ended_run: Option<i64>,
) -> Vec<AlertChange> {
    let is_on = |kind: AlertKind| alerts.iter().any(|alert| alert.kind == kind);
    let lasts = |was: &StandingAlert| {
        is_on(was.kind) || was.kind.lasts_until_a_run() && ended_run <= was.ended_run
    };
    let over = standing.iter().filter(|was| !lasts(was));
    let recovered = over.map(|was| AlertChange::Recovered {
        standing: was.clone(),
        message: was.kind.recovery(job),
    });
    let recovered: Vec<AlertChange> = recovered.collect();
    let is_new = |alert: &Alert| standing.iter().all(|was| was.kind != alert.kind);
    recovered
        .into_iter()
        .chain(alerts.into_iter().filter(is_new).map(AlertChange::Raised))
        .collect()
}

fn failing(job: &str, failure: &Failure) -> Alert {
    let attempts = match failure.attempts {
        0 | 1 => String::new(),
        attempts => format!(" after {attempts} attempts"),
    };
    Alert {
        kind: AlertKind::Failing,
        cycle: Some(failure.cycle.clone()),
        run: failure.run,
        message: format!(
            "job `{job}` could not write cycle `{}` back{attempts}: {}",
            failure.cycle, failure.error
        ),
        hint: Some(format!(
            "`writeback check {job}` looks at its files, connections and rights; it is tried again by itself"
        )),
    }
}

fn given_up(job: &str, failure: &Failure) -> Alert {
    let Failure {
        cycle,
        attempts,
        error,
        ..
    } = failure;
    let again = format!("put right what failed, then `writeback run {job} --cycle {cycle}`");
    Alert {
        kind: AlertKind::GivenUp,
        cycle: Some(cycle.clone()),
        run: failure.run,
        message: format!("job `{job}` gave cycle `{cycle}` up after attempt {attempts}: {error}"),
        hint: Some(again),
    }
}

fn expired(job: &str, cycle: &str) -> Alert {
    Alert {
        kind: AlertKind::Expired,
        cycle: Some(cycle.to_owned()),
        run: None,
        message: format!(
            "cycle `{cycle}` of job `{job}` expired: no run of it finished before its deadline"
        ),
        hint: Some(format!(
            "the next cycle runs by itself; for this one, `writeback run {job} --cycle {cycle}`"
        )),
    }
}

fn silent(job: &str, silence: Silence) -> Alert {
    let (lasting, max) = (shown(silence.lasting), shown(silence.max));
    Alert {
        kind: AlertKind::Silent,
        cycle: None,
        run: None,
        message: format!(
            "the dashboard of job `{job}` finished no cycle for {lasting}, and {max} is the most"
        ),
        hint: Some("see whether the dashboard's automation runs".to_owned()),
    }
}

fn rejected(job: &str, run: &DeliveredRun, max: RecordsMax) -> Option<Alert> {
    let worst = run.write_backs.iter().find(|write_back| {
        let Tally { rejected, read, .. } = write_back.tally;
        max.is_exceeded_by(rejected, read)
    })?;
    let (rejected, read) = (grouped(worst.tally.rejected), grouped(worst.tally.read));
    Some(Alert {
        kind: AlertKind::Rejected,
        cycle: Some(run.cycle.clone()),
        run: Some(run.run),
        message: format!(
            "write-back `{}` of job `{job}` rejected {rejected} of {read} records, and {max} is the most",
            worst.name
        ),
        hint: Some(format!(
            "`rejected.csv` of run {} names each with its reason",
            run.run
        )),
    })
}

/// A write-back that leaves too many records alone. One that leaves all of them alone did nothing,
/// which is no success whatever the threshold says.
fn skipped(job: &str, run: &DeliveredRun, max: Option<RecordsMax>) -> Option<Alert> {
    let worst = run.write_backs.iter().find(|write_back| {
        let Tally { skipped, read, .. } = write_back.tally;
        let is_all = skipped > 0 && skipped == read;
        is_all || max.is_some_and(|max| max.is_exceeded_by(skipped, read))
    })?;
    let (skipped, read) = (grouped(worst.tally.skipped), grouped(worst.tally.read));
    let most = max.map(|max| format!(", and {max} is the most"));
    Some(Alert {
        kind: AlertKind::Skipped,
        cycle: Some(run.cycle.clone()),
        run: Some(run.run),
        message: format!(
            "write-back `{}` of job `{job}` skipped {skipped} of {read} records{}",
            worst.name,
            most.unwrap_or_default()
        ),
        hint: Some(format!(
            "`skipped.csv` of run {} names each: compare one of its keys with the destination letter by letter",
            run.run
        )),
    })
}

/// Recent runs below which nothing is usual yet.
const RECENT_RUNS_MIN: usize = 3;

fn read_count(job: &str, run: &DeliveredRun, max: Percent) -> Option<Alert> {
    let usual = |write_back: &DeliveredWriteBack| doubled_median(&write_back.recent_reads);
    let (unusual, usual) = run
        .write_backs
        .iter()
        .filter_map(|write_back| Some((write_back, usual(write_back)?)))
        .find(|(write_back, usual)| {
            max.is_exceeded_by(
                (u128::from(write_back.tally.read) * 2).abs_diff(*usual),
                *usual,
            )
        })?;
    let (read, recent_runs) = (grouped(unusual.tally.read), unusual.recent_reads.len());
    let usual = grouped(u64::try_from(usual / 2).unwrap_or(u64::MAX));
    Some(Alert {
        kind: AlertKind::ReadCount,
        cycle: Some(run.cycle.clone()),
        run: Some(run.run),
        message: format!(
            "write-back `{}` of job `{job}` read {read} records, the median of its last {recent_runs} runs is {usual}, \
             and a change of {max} is the most",
            unusual.name
        ),
        hint: Some("see whether the dashboard's automation was complete".to_owned()),
    })
}

/// Twice the median, which is then a whole number whatever the count.
fn doubled_median(reads: &[u64]) -> Option<u128> {
    if reads.len() < RECENT_RUNS_MIN {
        return None;
    }
    let mut reads = reads.to_vec();
    reads.sort_unstable();
    let at = |index: usize| reads.get(index).map(|read| u128::from(*read));
    Some(at((reads.len() - 1) / 2)? + at(reads.len() / 2)?)
}

fn guarded(job: &str, run: &GuardedRun) -> Alert {
    let why = run
        .why
        .as_ref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    Alert {
        kind: AlertKind::Guarded,
        cycle: Some(run.cycle.clone()),
        run: Some(run.run),
        message: format!(
            "a guard stopped run {} of job `{job}` before its first write{why}",
            run.run
        ),
        hint: Some(format!(
            "look at it with `writeback preview {job}`; only a person can approve cycle `{}`",
            run.cycle
        )),
    }
}

fn broken_file(job: &str, mistakes: &str) -> Alert {
    Alert {
        kind: AlertKind::BrokenFile,
        cycle: None,
        run: None,
        message: format!("the file of job `{job}` cannot be used as it stands: {mistakes}"),
        hint: Some(format!(
            "`writeback check {job}` tells all that is wrong; until then the job is served as it was before, if it was"
        )),
    }
}

/// A duration in whole seconds: `1day 2h`.
fn shown(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// The pause before the second attempt at telling.
const RETELL_DELAY_FIRST: Duration = Duration::from_secs(10);
/// The longest pause: who repairs a channel hears of what happened within so long.
const RETELL_DELAY_MAX: Duration = Duration::from_secs(3_600);
/// Attempts at telling one change through one channel: with the pauses between them, a day.
const TELL_ATTEMPTS_MAX: u32 = 32;

/// How long to wait after `attempts` attempts at telling before the next; `None` when it is given
/// up.
pub(crate) fn retell_pause(attempts: u32) -> Option<Duration> {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    (attempts < TELL_ATTEMPTS_MAX).then(|| {
        RETELL_DELAY_FIRST
            .saturating_mul(doubled)
            .min(RETELL_DELAY_MAX)
    })
}

/// When to tell what is due at `due_at`: then, unless that is farther away than any pause lasts,
/// which tells of a wall clock that was set back since; then now. Twice the longest pause, since an
/// attempt takes time of its own.
pub(crate) fn telling_instant(due_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let farthest = TimeDelta::from_std(RETELL_DELAY_MAX * 2).unwrap_or(TimeDelta::MAX);
    if due_at.signed_duration_since(now) > farthest {
        now
    } else {
        due_at
    }
}

#[cfg(test)]
mod tests;
