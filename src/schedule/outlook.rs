//! What the scheduler would do about a job now, and when next: for people who ask. Writes nothing,
//! and says the same whether or not a process serves.

use chrono::{DateTime, TimeDelta, Utc};

use super::clock::Ages;
use super::due::{self, Asked};
use crate::config::{Dashboard, Project, Signal};
use crate::domain::cadence::{Cadence, Next, PassedOver};
use crate::domain::gate::{Gate, Gates, Opening};
use crate::domain::job::Job;
use crate::ledger::cycles::{GateEntry, Noticed, PassedOverEntry, Server, Watch};
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
    /// The next instants at which a gate opens or, without gates, at which the dashboard's clock
    /// ends a cycle; none if only the dashboard knows.
    pub(crate) openings: Vec<Opening>,
    /// Cycles that were not written back, newest first.
    pub(crate) cycles_passed_over: Vec<PassedOverEntry>,
    /// Gates that opened for nothing, newest first.
    pub(crate) gates_for_nothing: Vec<GateEntry>,
}

/// Asks what comes next for a job.
pub(crate) async fn outlook(
    project: &Project,
    job: &Job,
    ledger: &Ledger,
    openings_max: usize,
    now: DateTime<Utc>,
) -> Result<Outlook, LedgerError> {
    let last_run = ledger.runs_of_job(&job.name, 1).await?.into_iter().next();
    let following = match &job.cadence {
        Some(cadence) => {
            Some(following(project, &job.name, cadence, ledger, openings_max, now).await?)
        }
        None => None,
    };
    let pending = ledger.pending(&job.name).await?;
    Ok(Outlook {
        job: job.name.clone(),
        last_run,
        pending,
        following,
    })
}

async fn following(
    project: &Project,
    job: &str,
    cadence: &Cadence,
    ledger: &Ledger,
    openings_max: usize,
    now: DateTime<Utc>,
) -> Result<Following, LedgerError> {
    // What was due while nobody served was missed; if nobody serves now, up to now.
    let (serving_since, absent_since) = match ledger.server().await? {
        None => (now, None),
        Some((server, _)) if ledger.is_served()? => (server.watching_since, server.absent_since),
        Some((_, last_served_at)) => (now, Some(last_served_at.min(now))),
    };
    let asked = Asked {
        job,
        cadence,
        now,
        serving_since,
        absent_since,
        at_work: false,
    };
    let verdict = due::verdict(ledger, &mut Ages::new(), asked).await?;
    let watch = ledger
        .watches()
        .await?
        .into_iter()
        .find(|watch| watch.dashboard == cadence.dashboard);
    Ok(Following {
        cadence: cadence.clone(),
        newest_cycle: ledger.newest_cycle(&cadence.dashboard, now).await?,
        watch,
        passed_over: verdict.passed_over,
        next: verdict.next,
        openings: openings(
            project.dashboards.get(&cadence.dashboard),
            cadence,
            openings_max,
            now,
        ),
        cycles_passed_over: ledger.passed_over(job, PAST_SHOWN_MAX).await?,
        gates_for_nothing: ledger.gates(job, PAST_SHOWN_MAX).await?,
    })
}

/// The process that serves now, if one does.
pub(crate) async fn server(ledger: &Ledger) -> Result<Option<Server>, LedgerError> {
    let server = ledger.server().await?.map(|(server, _)| server);
    Ok(server.filter(|_| ledger.is_served().unwrap_or(false)))
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
