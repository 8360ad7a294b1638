//! What the scheduler would do about a job now, and when next: for people who ask. Writes nothing,
//! and says the same whether or not a process serves.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::clock::Ages;
use super::due::{self, Asked};
use crate::config::{Dashboard, Project, Signal};
use crate::domain::cadence::{Cadence, Next, PassedOver};
use crate::domain::gate::{Gate, Gates, Opening};
use crate::domain::job::Job;
use crate::domain::pause::Pause;
use crate::ledger::cycles::{
    ForNothing, GateEntry, JobCycle, Noticed, PassedOverEntry, Server, Watch,
};
use crate::ledger::{Ledger, LedgerError, Pending, RunEntry};

/// Openings shown of a cadence: enough to see a rhythm.
pub(crate) const OPENINGS_USUAL: usize = 5;
/// Cycles and gates shown that came to nothing.
const PAST_SHOWN_MAX: u32 = 5;

/// What is known of a job and what comes next.
#[derive(Debug)]
pub(crate) struct Outlook {
    pub(crate) job: String,
    pub(crate) last_run: Option<RunEntry>,
    /// Its rejected records that have not landed, by write-back.
    pub(crate) pending: Vec<Pending>,
    /// Absent for a job without a cadence: it runs by hand only.
    pub(crate) following: Option<Following>,
}

/// What follows from a job's cadence.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) cadence: Cadence,
    pub(crate) newest_cycle: Option<Noticed>,
    /// What the dashboard showed when it was last looked at.
    pub(crate) watch: Option<Watch>,
    pub(crate) passed_over: Vec<PassedOver>,
    pub(crate) next: Next,
    /// Also while a run of the job is at work.
    pub(crate) pause: Option<Pause>,
    /// The next instants at which a gate opens or, without gates, at which the dashboard's clock
    /// ends a cycle; none if only the dashboard knows.
    pub(crate) openings: Vec<Opening>,
    /// Cycles that were not written back, newest first.
    pub(crate) cycles_passed_over: Vec<PassedOverEntry>,
    /// Gates that opened for nothing, newest first.
    pub(crate) gates_for_nothing: Vec<GateEntry>,
}

/// How much of what became of earlier cycles and gates is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// Nothing of it: whether and when each job runs.
    Next,
    /// The latest of it too.
    Past,
    /// And what dashboards showed when they were looked at.
    Whole,
}

/// Asks what follows from a job's cadence, if it has one.
pub(crate) async fn following(
    project: &Project,
    job: &Job,
    ledger: &Ledger,
    (depth, openings_max): (Depth, usize),
    now: DateTime<Utc>,
) -> Result<Option<Following>, LedgerError> {
    if job.cadence.is_none() {
        return Ok(None);
    }
    let serving = Serving::of(ledger).await?;
    let mut past = Past::of(ledger, &[job], depth, (&serving, now)).await?;
    past.following(project, job, ledger, openings_max)
}

/// Asks what comes next for a job, and which process serves now.
pub(crate) async fn outlook(
    project: &Project,
    job: &Job,
    ledger: &Ledger,
    openings_max: usize,
    now: DateTime<Utc>,
) -> Result<(Outlook, Option<Server>), LedgerError> {
    let asked = (Depth::Whole, openings_max);
    let (mut all, server) = outlooks(project, &[job], ledger, asked, now).await?;
    Ok((all.pop().expect("as many outlooks as jobs"), server))
}

/// As [`outlook`], of several jobs, none of them twice. However many there are, it takes as many statements as one.
pub(crate) async fn outlooks(
    project: &Project,
    jobs: &[&Job],
    ledger: &Ledger,
    (depth, openings_max): (Depth, usize),
    now: DateTime<Utc>,
) -> Result<(Vec<Outlook>, Option<Server>), LedgerError> {
    let serving = Serving::of(ledger).await?;
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let mut last_runs = ledger.last_runs(&names).await?;
    let mut pending = ledger.pending_of(&names).await?;
    let mut past = Past::of(ledger, jobs, depth, (&serving, now)).await?;
    let outlook = |job: &&Job| {
        Ok(Outlook {
            job: job.name.clone(),
            last_run: last_runs.remove(&job.name),
            pending: pending.remove(&job.name).unwrap_or_default(),
            following: past.following(project, job, ledger, openings_max)?,
        })
    };
    let outlooks = jobs
        .iter()
        .map(outlook)
        .collect::<Result<_, LedgerError>>()?;
    Ok((outlooks, serving.server()))
}

/// What the ledger knows that bears on what jobs with a cadence do next.
#[derive(Default)]
struct Past {
    now: DateTime<Utc>,
    serving_since: DateTime<Utc>,
    absent_since: Option<DateTime<Utc>>,
    cycles: HashMap<String, Vec<JobCycle>>,
    pauses: HashMap<String, Pause>,
    /// By dashboard, as the next.
    newest: HashMap<String, Noticed>,
    watches: HashMap<String, Watch>,
    for_nothing: HashMap<String, ForNothing>,
}

impl Past {
    async fn of(
        ledger: &Ledger,
        jobs: &[&Job],
        depth: Depth,
        (serving, now): (&Serving, DateTime<Utc>),
    ) -> Result<Self, LedgerError> {
        let mut past = Self {
            now,
            serving_since: now,
            ..Self::default()
        };
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for job in jobs {
            let cadence = job.cadence.as_ref();
            pairs.extend(cadence.map(|cadence| (job.name.as_str(), cadence.dashboard.as_str())));
        }
        if pairs.is_empty() {
            return Ok(past);
        }
        (past.serving_since, past.absent_since) = serving.watched_since(now);
        let dashboards: BTreeSet<&str> = pairs.iter().map(|(_, dashboard)| *dashboard).collect();
        let dashboards: Vec<&str> = dashboards.into_iter().collect();
        past.cycles = ledger.cycles_of_jobs(&pairs, now).await?;
        past.pauses = ledger.pauses(now).await?;
        past.newest = ledger.newest_cycles(&dashboards, now).await?;
        if depth >= Depth::Past {
            let names: Vec<&str> = pairs.iter().map(|(job, _)| *job).collect();
            past.for_nothing = ledger.for_nothing_of(&names, PAST_SHOWN_MAX).await?;
        }
        if depth >= Depth::Whole {
            let watches = ledger.watches().await?.into_iter();
            past.watches = watches
                .map(|watch| (watch.dashboard.clone(), watch))
                .collect();
        }
        Ok(past)
    }

    /// What follows from a job's cadence, if it has one.
    fn following(
        &mut self,
        project: &Project,
        job: &Job,
        ledger: &Ledger,
        openings_max: usize,
    ) -> Result<Option<Following>, LedgerError> {
        let Some(cadence) = &job.cadence else {
            return Ok(None);
        };
        let (name, dashboard, now) = (&job.name, &cadence.dashboard, self.now);
        let asked = Asked {
            job: name,
            cadence,
            now,
            serving_since: self.serving_since,
            absent_since: self.absent_since,
            at_work: false,
        };
        let cycles = self.cycles.remove(name).unwrap_or_default();
        let pause = self.pauses.remove(name);
        let ages = &mut Ages::new();
        let verdict = due::verdict_about(ledger, ages, asked, cycles, pause.clone())?;
        let for_nothing = self.for_nothing.remove(name).unwrap_or_default();
        let known = project.dashboards.get(dashboard);
        Ok(Some(Following {
            cadence: cadence.clone(),
            newest_cycle: self.newest.get(dashboard).cloned(),
            watch: self.watches.get(dashboard).cloned(),
            passed_over: verdict.passed_over,
            next: verdict.next,
            openings: openings(known, cadence, openings_max, now),
            pause,
            cycles_passed_over: for_nothing.cycles,
            gates_for_nothing: for_nothing.gates,
        }))
    }
}

/// What is known of whoever serves.
struct Serving {
    /// Who serves, or served last, and when they last said so.
    last: Option<(Server, DateTime<Utc>)>,
    is_now: bool,
}

impl Serving {
    async fn of(ledger: &Ledger) -> Result<Self, LedgerError> {
        Ok(Self {
            last: ledger.server().await?,
            is_now: ledger.is_served()?,
        })
    }

    /// Since when the process that serves has watched, and since when nobody had before it. What was
    /// due while nobody served was missed; if nobody serves now, up to now.
    fn watched_since(&self, now: DateTime<Utc>) -> (DateTime<Utc>, Option<DateTime<Utc>>) {
        match &self.last {
            None => (now, None),
            Some((server, _)) if self.is_now => (server.watching_since, server.absent_since),
            Some((_, last_served_at)) => (now, Some((*last_served_at).min(now))),
        }
    }

    /// The process that serves now, if one does.
    fn server(self) -> Option<Server> {
        self.last.filter(|_| self.is_now).map(|(server, _)| server)
    }
}

/// The process that serves now, if one does.
pub(crate) async fn server(ledger: &Ledger) -> Result<Option<Server>, LedgerError> {
    Ok(Serving::of(ledger).await?.server())
}

/// The next instants at which a job could run, as far as clocks alone tell.
pub(crate) fn openings(
    dashboard: Option<&Dashboard>,
    cadence: &Cadence,
    openings_max: usize,
    now: DateTime<Utc>,
) -> Vec<Opening> {
    if !cadence.gates.is_empty() {
        return cadence.gates.upcoming(now, openings_max);
    }
    match dashboard.map(|dashboard| &dashboard.signal) {
        Some(Signal::Clock { gate, margin }) => {
            let delay = TimeDelta::from_std(*margin + cadence.settle).unwrap_or_default();
            let begins = Gates {
                lines: vec![Gate::clone(gate)],
                at: Vec::new(),
            }
            .upcoming(now - delay, openings_max);
            begins
                .into_iter()
                .map(|begin| Opening {
                    at: begin.at + delay,
                    ..begin
                })
                .collect()
        }
        Some(Signal::Marker { .. } | Signal::Query { .. } | Signal::Announced) | None => Vec::new(),
    }
}
