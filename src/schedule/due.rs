//! What is due of a job now: what the ledger keeps of its cycles, put before its cadence.

use chrono::{DateTime, Utc};

use super::clock::{Ages, on_this_clock};
use crate::domain::alert::Silence;
use crate::domain::cadence::{Cadence, Fate, KnownCycle, Next, Situation, Verdict, Wait};
use crate::domain::pause::Pause;
use crate::ledger::cycles::JobCycle;
use crate::ledger::{Ledger, LedgerError};

/// Of which job a verdict is asked, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) job: &'a str,
    pub(super) cadence: &'a Cadence,
    pub(super) now: DateTime<Utc>,
    pub(super) serving_since: DateTime<Utc>,
    pub(super) absent_since: Option<DateTime<Utc>>,
    /// Whether this process carries out a run of the job.
    pub(super) at_work: bool,
}

/// What the ledger keeps an instant of, and durations are counted from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Kept {
    Cycle {
        dashboard: String,
        cycle: String,
    },
    Attempt {
        job: String,
        cycle: String,
        attempts: u32,
    },
}

/// What is to be done about a job now.
pub(super) async fn verdict(
    ledger: &Ledger,
    ages: &mut Ages<Kept>,
    asked: Asked<'_>,
) -> Result<Verdict, LedgerError> {
    let Asked {
        job, cadence, now, ..
    } = asked;
    let cycles = ledger.job_cycles(job, &cadence.dashboard, now).await?;
    let pause = ledger.pause_of(job, now).await?;
    verdict_about(ledger, ages, asked, cycles, pause)
}

/// As [`verdict`], about a job's cycles and its pause as the ledger keeps them.
pub(super) fn verdict_about(
    ledger: &Ledger,
    ages: &mut Ages<Kept>,
    asked: Asked<'_>,
    cycles: Vec<JobCycle>,
    pause: Option<Pause>,
) -> Result<Verdict, LedgerError> {
    let Asked {
        job,
        cadence,
        now,
        serving_since,
        absent_since,
        at_work,
    } = asked;
    // A run that was begun and is not ours is at work elsewhere, or was cut off.
    let begun = cycles.iter().any(|cycle| cycle.fate == Fate::Interrupted);
    let at_work = at_work || (begun && ledger.is_running(job)?);
    let cycles: Vec<KnownCycle> = cycles
        .into_iter()
        .map(|cycle| known(ages, asked, cycle))
        .collect();
    let mut verdict = cadence.verdict(Situation {
        now,
        serving_since,
        absent_since,
        cycles: &cycles,
        at_work,
    });
    if let Some(pause) = pause
        && !at_work
    {
        verdict.next = Next::Wait(Wait::Paused(pause));
    }
    Ok(verdict)
}

/// How long the job's dashboard has finished no cycle, if its cadence cares.
pub(super) async fn silence(
    ledger: &Ledger,
    ages: &mut Ages<Kept>,
    asked: Asked<'_>,
) -> Result<Option<Silence>, LedgerError> {
    let Some(max) = asked.cadence.max_silence else {
        return Ok(None);
    };
    let dashboard = &asked.cadence.dashboard;
    let lasting = match ledger.newest_cycle(dashboard, asked.now).await? {
        Some(newest) => {
            let noticing = Kept::Cycle {
                dashboard: dashboard.clone(),
                cycle: newest.cycle.id,
            };
            ages.age(noticing, newest.noticed_at, asked.now)
        }
        // Of a dashboard that never finished one, it is known only since when this process watches.
        None => (asked.now - asked.serving_since)
            .to_std()
            .unwrap_or_default(),
    };
    Ok(Some(Silence { lasting, max }))
}

/// Whether three quarters of the time until the deadline of the dashboard's newest cycle went by.
pub(super) async fn deadline_nears(ledger: &Ledger, asked: Asked<'_>) -> Result<bool, LedgerError> {
    let Some(deadline) = asked.cadence.deadline else {
        return Ok(false);
    };
    let newest = ledger
        .newest_cycle(&asked.cadence.dashboard, asked.now)
        .await?;
    let age = newest.and_then(|newest| (asked.now - newest.cycle.completed_at).to_std().ok());
    Ok(age.is_some_and(|age| age > deadline / 4 * 3))
}

fn known(ages: &mut Ages<Kept>, asked: Asked<'_>, kept: JobCycle) -> KnownCycle {
    let JobCycle {
        cycle,
        noticed_at,
        fate,
    } = kept;
    let noticing = Kept::Cycle {
        dashboard: asked.cadence.dashboard.clone(),
        cycle: cycle.id.clone(),
    };
    let noticed = ages.age(noticing, noticed_at, asked.now);
    let fate = fate.retold(|attempts, attempted_at| {
        let attempt = Kept::Attempt {
            job: asked.job.to_owned(),
            cycle: cycle.id.clone(),
            attempts,
        };
        ages.age(attempt, attempted_at, asked.now)
    });
    KnownCycle {
        cycle,
        noticed_at: on_this_clock(noticed_at, noticed, asked.now),
        noticed,
        fate,
    }
}
