//! What the scheduler's loop tells the world about itself: whether it lives, what it is doing, and
//! what became of its jobs. The loop writes it, HTTP reads it. Knows neither of them, and no
//! ledger: what came before this process is told to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus_client::metrics::histogram::Histogram;
use strum::{EnumCount, VariantArray};

use crate::domain::cadence::PassedOverWhy;
use crate::domain::channel::Channel;
use crate::domain::job::Job;
use crate::domain::outcome::Tally;
use crate::ledger::RunStatus;
use crate::run::WriteBackReport;

/// A loop that has not turned for so long hangs. It turns every few seconds, also while runs are at
/// work and while it stands by, and a busy machine may make it late by a minute.
const TURN_AGE_MAX: Duration = Duration::from_secs(120);

/// Upper bounds of what run durations are counted in, in seconds: from a few records to a night's
/// work.
const RUN_DURATION_BOUNDS: [f64; 10] = [
    1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 36_000.0,
];

/// What the process is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It loads the project and opens the ledger.
    Starting,
    /// Another process serves this ledger.
    StandingBy {
        /// That process, as the ledger's lock names it.
        by: String,
    },
    Serving,
    /// It was asked to stop and finishes the batches in hand.
    Stopping,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct RunEnd<'a> {
    pub(crate) status: RunStatus,
    /// Empty if it did not finish.
    pub(crate) write_backs: &'a [WriteBackReport],
    pub(crate) ended_at: DateTime<Utc>,
    pub(crate) elapsed: Duration,
}

/// How something went that is tried again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum Attempt {
    Succeeded,
    Failed,
}

impl From<bool> for Attempt {
    fn from(succeeded: bool) -> Self {
        if succeeded {
            Self::Succeeded
        } else {
            Self::Failed
        }
    }
}

/// What the loop publishes and HTTP reads.
#[derive(Debug)]
pub(crate) struct ServeState {
    facts: Mutex<Facts>,
}

/// All that is published, as of one moment.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) phase: Phase,
    /// On a clock that nobody sets.
    pub(super) turned: Instant,
    pub(super) jobs: BTreeMap<String, JobFacts>,
    pub(super) dashboards: BTreeMap<String, DashboardFacts>,
    pub(super) reloads: Counts<Attempt>,
    pub(super) alerts: Counts<(Channel, Attempt)>,
}

#[derive(Debug, Clone)]
pub(super) struct JobFacts {
    pub(super) at_work: bool,
    pub(super) failing: bool,
    pub(super) next_due: Option<DateTime<Utc>>,
    pub(super) runs: Counts<RunStatus>,
    /// When the last run of each status ended.
    pub(super) last_runs: Vec<(RunStatus, DateTime<Utc>)>,
    pub(super) durations: Histogram,
    pub(super) passed_over: Counts<PassedOverKind>,
    pub(super) write_backs: BTreeMap<String, WriteBackFacts>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct WriteBackFacts {
    pub(super) tally: Tally,
    pub(super) batches: u64,
}

#[derive(Debug, Clone)]
pub(super) struct DashboardFacts {
    pub(super) looks: Counts<Attempt>,
    pub(super) last_cycle: Option<DateTime<Utc>>,
}

/// [`PassedOverWhy`] without its particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(super) enum PassedOverKind {
    Superseded,
    Expired,
    Missed,
    GivenUp,
}

/// How often each of a few things happened.
#[derive(Debug, Clone)]
pub(super) struct Counts<Thing>(Vec<(Thing, u64)>);

impl ServeState {
    /// A process that has just begun.
    pub(crate) fn new() -> Self {
        Self {
            facts: Mutex::new(Facts::new(Instant::now())),
        }
    }

    /// The loop came round.
    pub(crate) fn turned(&self) {
        self.locked().turned = Instant::now();
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.locked().phase = phase;
    }

    /// These are the jobs now. What is known of one that stays is kept; one that went is forgotten.
    pub(crate) fn jobs<'a>(&self, jobs: impl IntoIterator<Item = &'a Job>) {
        self.locked().know(jobs);
    }

    /// A run of an earlier process, out of the ledger.
    pub(crate) fn ran_before(&self, job: &str, status: RunStatus, ended_at: DateTime<Utc>) {
        self.of_job(job, |facts| facts.remember(status, ended_at));
    }

    pub(crate) fn run_began(&self, job: &str) {
        self.of_job(job, |facts| facts.at_work = true);
    }

    pub(crate) fn run_ended(&self, job: &str, end: &RunEnd<'_>) {
        self.of_job(job, |facts| facts.end(end));
    }

    /// A run is no longer at work here, and how it ended is still to come.
    pub(crate) fn run_left(&self, job: &str) {
        self.of_job(job, |facts| facts.at_work = false);
    }

    /// Whether the job is failing: its newest cycle could not be written back so far.
    pub(crate) fn failing(&self, job: &str, failing: bool) {
        self.of_job(job, |facts| facts.failing = failing);
    }

    /// When the job may run next, if that is known.
    pub(crate) fn next_due(&self, job: &str, due: Option<DateTime<Utc>>) {
        self.of_job(job, |facts| facts.next_due = due);
    }

    /// A cycle will not be written back.
    pub(crate) fn passed_over(&self, job: &str, why: &PassedOverWhy) {
        self.of_job(job, |facts| facts.passed_over.count(why.into()));
    }

    /// A dashboard was asked for its newest cycle, and answered or not.
    pub(crate) fn looked(&self, dashboard: &str, answered: bool) {
        self.of_dashboard(dashboard, |facts| facts.looks.count(answered.into()));
    }

    /// A cycle of a dashboard is known that was completed at `completed_at`.
    pub(crate) fn cycle_noticed(&self, dashboard: &str, completed_at: DateTime<Utc>) {
        self.of_dashboard(dashboard, |facts| {
            facts.last_cycle = facts.last_cycle.max(Some(completed_at))
        });
    }

    /// Files of the project changed, and the change was taken or, since it holds a mistake, not.
    pub(crate) fn reloaded(&self, taken: bool) {
        self.locked().reloads.count(taken.into());
    }

    /// An alert was sent on its way.
    pub(crate) fn alerted(&self, channel: Channel, delivered: bool) {
        self.locked().alerts.count((channel, delivered.into()));
    }

    /// Errors: why this process cannot be called alive.
    pub(super) fn health(&self) -> Result<(), String> {
        self.locked().health(Instant::now())
    }

    /// Errors: why this process does not serve.
    pub(super) fn readiness(&self) -> Result<(), String> {
        self.locked().phase.readiness()
    }

    pub(super) fn facts(&self) -> Facts {
        self.locked().clone()
    }

    fn of_job(&self, job: &str, tell: impl FnOnce(&mut JobFacts)) {
        // A run may outlive its job's file, and then nobody asks any more.
        if let Some(facts) = self.locked().jobs.get_mut(job) {
            tell(facts);
        }
    }

    fn of_dashboard(&self, dashboard: &str, tell: impl FnOnce(&mut DashboardFacts)) {
        if let Some(facts) = self.locked().dashboards.get_mut(dashboard) {
            tell(facts);
        }
    }

    /// Each of the facts holds by itself, so that a panic between two of them breaks none.
    fn locked(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    fn readiness(&self) -> Result<(), String> {
        match self {
            Self::Serving => Ok(()),
            Self::Starting => Err("starting".to_owned()),
            Self::StandingBy { by } => Err(format!("standing by: {by} serves this project")),
            Self::Stopping => Err("stopping".to_owned()),
        }
    }
}

impl Facts {
    fn new(now: Instant) -> Self {
        let alerts = Channel::ALL
            .into_iter()
            .flat_map(|channel| Attempt::ALL.map(|attempt| (channel, attempt)));
        Self {
            phase: Phase::Starting,
            turned: now,
            jobs: BTreeMap::new(),
            dashboards: BTreeMap::new(),
            reloads: Counts::of(Attempt::ALL),
            alerts: Counts::of(alerts),
        }
    }

    fn know<'a>(&mut self, jobs: impl IntoIterator<Item = &'a Job>) {
        let mut jobs_before = std::mem::take(&mut self.jobs);
        let mut dashboards_before = std::mem::take(&mut self.dashboards);
        for job in jobs {
            let facts = jobs_before.remove(&job.name).unwrap_or_else(JobFacts::new);
            self.jobs
                .insert(job.name.clone(), facts.with_write_backs(job));
            if let Some(dashboard) = job.dashboard() {
                let facts = dashboards_before.remove(dashboard);
                self.dashboards
                    .entry(dashboard.to_owned())
                    .or_insert(facts.unwrap_or_else(DashboardFacts::new));
            }
        }
    }

    fn health(&self, now: Instant) -> Result<(), String> {
        let age = self.turn_age(now);
        // A process that stops turns no more, and its grace time ends it.
        if age <= TURN_AGE_MAX || self.phase == Phase::Stopping {
            return Ok(());
        }
        let (age, bound) = (age.as_secs(), TURN_AGE_MAX.as_secs());
        Err(format!(
            "the scheduler's loop has not turned for {age} s, and {bound} s are the most it may take"
        ))
    }

    pub(super) fn turn_age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.turned)
    }
}

impl JobFacts {
    fn new() -> Self {
        Self {
            at_work: false,
            failing: false,
            next_due: None,
            runs: Counts::of(RunStatus::ended()),
            last_runs: Vec::new(),
            durations: Histogram::new(RUN_DURATION_BOUNDS),
            passed_over: Counts::of(PassedOverKind::ALL),
            write_backs: BTreeMap::new(),
        }
    }

    fn with_write_backs(mut self, job: &Job) -> Self {
        let mut before = std::mem::take(&mut self.write_backs);
        let names = job
            .write_backs
            .iter()
            .map(|write_back| write_back.name.clone());
        self.write_backs = names
            .map(|name| (name.clone(), before.remove(&name).unwrap_or_default()))
            .collect();
        self
    }

    fn remember(&mut self, status: RunStatus, ended_at: DateTime<Utc>) {
        match self
            .last_runs
            .iter_mut()
            .find(|(known, _)| *known == status)
        {
            Some((_, last)) => *last = ended_at.max(*last),
            None => self.last_runs.push((status, ended_at)),
        }
    }

    fn end(&mut self, end: &RunEnd<'_>) {
        self.at_work = false;
        self.remember(end.status, end.ended_at);
        self.runs.count(end.status);
        self.durations.observe(end.elapsed.as_secs_f64());
        for report in end.write_backs {
            if let Some(facts) = self.write_backs.get_mut(&report.name) {
                facts.tally += report.tally;
                facts.batches += report.batches;
            }
        }
    }
}

impl DashboardFacts {
    fn new() -> Self {
        Self {
            looks: Counts::of(Attempt::ALL),
            last_cycle: None,
        }
    }
}

impl Attempt {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl PassedOverKind {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Missed => "missed",
            Self::GivenUp => "given_up",
        }
    }
}

impl From<&PassedOverWhy> for PassedOverKind {
    fn from(why: &PassedOverWhy) -> Self {
        match why {
            PassedOverWhy::Superseded { .. } => Self::Superseded,
            PassedOverWhy::Expired => Self::Expired,
            PassedOverWhy::Missed => Self::Missed,
            PassedOverWhy::GivenUp { .. } => Self::GivenUp,
        }
    }
}

impl<Thing: Copy + PartialEq> Counts<Thing> {
    /// None of them so far.
    fn of(things: impl IntoIterator<Item = Thing>) -> Self {
        Self(things.into_iter().map(|thing| (thing, 0)).collect())
    }

    fn count(&mut self, thing: Thing) {
        for (known, count) in &mut self.0 {
            *count += u64::from(*known == thing);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Thing, u64)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_not_alive_and_says_for_how_long() {
        let began = Instant::now();
        let late = began + TURN_AGE_MAX + Duration::from_secs(20);
        let mut facts = Facts::new(began);
        assert_eq!(facts.health(began + TURN_AGE_MAX), Ok(()));
        let expected =
            "the scheduler's loop has not turned for 140 s, and 120 s are the most it may take";
        assert_eq!(facts.health(late), Err(expected.to_owned()));
        facts.phase = Phase::Stopping;
        assert_eq!(facts.health(late), Ok(()));
    }

    #[test]
    fn only_a_process_that_serves_is_ready() {
        let state = ServeState::new();
        let standing_by = Phase::StandingBy {
            by: "process 4711".to_owned(),
        };
        assert_eq!(state.readiness(), Err("starting".to_owned()));
        state.phase(standing_by);
        assert_eq!(
            state.readiness(),
            Err("standing by: process 4711 serves this project".to_owned())
        );
        state.phase(Phase::Serving);
        assert_eq!(state.readiness(), Ok(()));
        state.phase(Phase::Stopping);
        assert_eq!(state.readiness(), Err("stopping".to_owned()));
    }
}
