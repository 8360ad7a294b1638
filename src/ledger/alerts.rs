//! Alerts in the ledger: which stand, what people are to be told, and how far the telling has come.
//! A change and its tellings are recorded together, before anybody is told: what is recorded is
//! told at least once.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{count, json_text, moment, moment_text};
use super::cycles::{StoredFate, stored_fate};
use super::error::{Answer, Fault, LedgerError};
use super::history::{self, WriteBackEntry};
use super::sqlite::Ledger;
use super::status::RunStatus;
use crate::domain::alert::{
    AlertChange, AlertKind, DeliveredRun, DeliveredWriteBack, Failure, GuardedRun, History,
    StandingAlert,
};
use crate::domain::channel::Channel;

/// Changes that are kept once everybody was told: years of them, for a project that fails now and
/// then.
const CHANGES_KEPT: i64 = 10_000;

/// Tellings taken up at once; more wait until these are done or put off.
const TELLINGS_MAX: u32 = 1_000;

/// What is sent of a change; `docs/scheduling.md` documents it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Notification<'a> {
    /// The same in every attempt and channel, and in no other change.
    pub(crate) id: String,
    pub(crate) kind: &'a str,
    pub(crate) state: &'a str,
    pub(crate) job: Option<&'a str>,
    pub(crate) cycle: Option<&'a str>,
    pub(crate) run: Option<i64>,
    pub(crate) message: &'a str,
    pub(crate) hint: Option<&'a str>,
    /// When it was raised.
    pub(crate) since: DateTime<Utc>,
    /// When it was raised or was over.
    pub(crate) at: DateTime<Utc>,
    /// Of the run, if one began.
    pub(crate) write_backs: Vec<WriteBackEntry>,
}

/// A change that people are still to be told of through one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Telling {
    pub(crate) change: i64,
    pub(crate) channel: Channel,
    pub(crate) job: String,
    pub(crate) kind: AlertKind,
    /// `raised` or `recovered`.
    pub(crate) state: String,
    pub(crate) body: String,
    /// So far.
    pub(crate) attempts: u32,
    pub(crate) due_at: DateTime<Utc>,
}

/// How an attempt at telling ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    At(DateTime<Utc>),
    /// Not told: the next attempt is due then.
    Later {
        due_at: DateTime<Utc>,
        error: String,
    },
    /// Not told, nor will be.
    Never {
        error: String,
    },
}

impl Ledger {
    /// What alerts need to know of a job's runs; of each write-back the read counts of
    /// `recent_runs` earlier runs.
    pub(crate) async fn alert_history(
        &self,
        job: &str,
        recent_runs: NonZeroU32,
    ) -> Result<History, LedgerError> {
        self.read(async |connection| {
    // A run of one write-back alone tells nothing of the others.
    let delivered = sqlx::query(
        "SELECT * FROM runs WHERE job = ? AND whole AND status IN (?, ?) ORDER BY run DESC LIMIT 1",
    );
    let delivered = delivered
        .bind(job)
        .bind(RunStatus::Succeeded.name())
        .bind(RunStatus::Rejected.name());
    let delivered = match delivered.fetch_optional(&mut *connection).await? {
        Some(row) => Some(delivered_run(connection, job, &row, recent_runs).await?),
        None => None,
    };
    let guarded = sqlx::query(
        "SELECT run, cycle, error FROM runs WHERE job = ? AND whole AND status = ? ORDER BY run DESC LIMIT 1",
    );
    let guarded = guarded
        .bind(job)
        .bind(RunStatus::Guarded.name())
        .fetch_optional(&mut *connection)
        .await?;
    let guarded = guarded.as_ref().map(guarded_run).transpose()?;
    let latest = delivered.as_ref().map(|run| run.run);
    let guarded = guarded.filter(|run| Some(run.run) > latest);
    let (failure, expired) = undelivered(connection, job).await?;
    Ok(History {
        failure,
        expired,
        delivered,
        guarded,
    })
})
            .await
    }

    /// Alerts that stand, of one job or of all.
    pub(crate) async fn standing_alerts(
        &self,
        job: Option<&str>,
    ) -> Result<Vec<StandingAlert>, LedgerError> {
        self.read(async |connection| {
            let standing = sqlx::query(
                "SELECT * FROM alerts WHERE ?1 IS NULL OR job = ?1 ORDER BY job, since, kind",
            );
            standing
                .bind(job)
                .fetch_all(connection)
                .await?
                .iter()
                .map(standing_alert)
                .collect()
        })
        .await
    }

    /// Records changes of a job's alerts, each to be told at once through `channels`. What another
    /// process recorded already is left as it is.
    pub(crate) async fn record_alert_changes(
        &self,
        job: &str,
        changes: &[AlertChange],
        ended_run: Option<i64>,
        channels: &[Channel],
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.write("record an alert in", async |connection| {
            for change in changes {
                record_change(connection, job, change, ended_run, channels, now).await?;
            }
            forget_old_changes(connection).await
        })
        .await
    }

    /// What is still to be told, oldest change first; of changes of the same alert through the same
    /// channel only the first, so that nobody hears of a recovery before the alert.
    pub(crate) async fn tellings(&self) -> Result<Vec<Telling>, LedgerError> {
        self.read(async |connection| {
            let tellings = sqlx::query(
                "SELECT min(change) AS change, channel, job, kind, state, body, attempts, due_at
         FROM alert_tellings JOIN alert_changes USING (change)
         WHERE due_at IS NOT NULL GROUP BY channel, job, kind ORDER BY change, channel LIMIT ?",
            );
            tellings
                .bind(TELLINGS_MAX)
                .fetch_all(connection)
                .await?
                .iter()
                .map(telling)
                .collect()
        })
        .await
    }

    /// An attempt at telling has ended.
    pub(crate) async fn record_told(
        &self,
        telling: &Telling,
        told: &Told,
    ) -> Result<(), LedgerError> {
        self.write("record who was told in", async |connection| {
            let (told_at, due_at, error) = match told {
                Told::At(at) => (Some(*at), None, None),
                Told::Later { due_at, error } => (None, Some(*due_at), Some(error)),
                Told::Never { error } => (None, None, Some(error)),
            };
            let update = sqlx::query(
        "UPDATE alert_tellings SET attempts = attempts + 1, told_at = ?, due_at = ?, error = ?
         WHERE change = ? AND channel = ?",
    );
            let update = update
                .bind(told_at.map(moment_text))
                .bind(due_at.map(moment_text))
                .bind(error);
            update
                .bind(telling.change)
                .bind(telling.channel.name())
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }
}

/// Why the cycle decided last was not delivered, if it was not: its last attempt failed, or it
/// expired.
async fn undelivered(
    connection: &mut SqliteConnection,
    job: &str,
) -> Answer<(Option<Failure>, Option<String>)> {
    let last = sqlx::query(
        "SELECT j.cycle AS cycle, fate, attempts, attempted_at, run, status, interrupted, finished_at,
                coalesce(j.error, runs.error) AS error,
                EXISTS (SELECT 1 FROM runs AS done WHERE done.job = j.job AND done.cycle = j.cycle
                        AND done.whole AND done.status IN ('succeeded', 'rejected')) AS delivered
         FROM job_cycles AS j
         LEFT JOIN runs ON runs.run = (SELECT max(run) FROM runs AS latest WHERE latest.job = j.job
                                       AND latest.cycle = j.cycle AND latest.whole)
         WHERE j.job = ? AND fate IN ('begun', 'given_up', 'expired') ORDER BY decided_at DESC LIMIT 1",
    );
    let Some(row) = last.bind(job).fetch_optional(connection).await? else {
        return Ok((None, None));
    };
    let cycle: String = row.try_get("cycle")?;
    let failure = |attempts, given_up| -> Answer<Failure> {
        let (run, error): (_, Option<String>) = (row.try_get("run")?, row.try_get("error")?);
        Ok(Failure {
            cycle: cycle.clone(),
            run,
            attempts,
            given_up,
            error: error.unwrap_or_default(),
        })
    };
    Ok(match stored_fate(&row)? {
        StoredFate::Failing { attempts, .. } => (Some(failure(attempts, false)?), None),
        StoredFate::GivenUp { attempts } => (Some(failure(attempts, true)?), None),
        StoredFate::Expired => (None, Some(cycle)),
        StoredFate::New
        | StoredFate::Interrupted
        | StoredFate::Delivered
        | StoredFate::Guarded
        | StoredFate::Superseded
        | StoredFate::Missed => (None, None),
    })
}

async fn delivered_run(
    connection: &mut SqliteConnection,
    job: &str,
    row: &SqliteRow,
    recent_runs: NonZeroU32,
) -> Answer<DeliveredRun> {
    let run: i64 = row.try_get("run")?;
    let mut write_backs = Vec::new();
    for entry in history::write_back_entries(connection, run).await? {
        let recent_reads = recent_reads(connection, job, run, &entry.name, recent_runs).await?;
        write_backs.push(DeliveredWriteBack {
            name: entry.name,
            tally: entry.tally,
            recent_reads,
        });
    }
    Ok(DeliveredRun {
        run,
        cycle: row.try_get("cycle")?,
        write_backs,
    })
}

async fn recent_reads(
    connection: &mut SqliteConnection,
    job: &str,
    before: i64,
    write_back: &str,
    recent_runs: NonZeroU32,
) -> Answer<Vec<u64>> {
    let reads = sqlx::query(
        "SELECT read FROM runs JOIN write_backs USING (run)
         WHERE job = ? AND run < ? AND name = ? AND retry_of IS NULL AND undo_of IS NULL AND plan IS NULL
               AND requests_on IS NULL AND status IN (?, ?) AND read IS NOT NULL ORDER BY run DESC LIMIT ?",
    );
    let reads = reads.bind(job).bind(before).bind(write_back);
    let reads = reads
        .bind(RunStatus::Succeeded.name())
        .bind(RunStatus::Rejected.name())
        .bind(recent_runs.get());
    reads
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| count(row, "read"))
        .collect()
}

fn guarded_run(row: &SqliteRow) -> Answer<GuardedRun> {
    Ok(GuardedRun {
        run: row.try_get("run")?,
        cycle: row.try_get("cycle")?,
        why: row.try_get("error")?,
    })
}

fn standing_alert(row: &SqliteRow) -> Answer<StandingAlert> {
    Ok(StandingAlert {
        job: row.try_get("job")?,
        kind: kind_named(row.try_get("kind")?)?,
        since: moment(row.try_get("since")?)?,
        message: row.try_get("message")?,
        ended_run: row.try_get("ended_run")?,
    })
}

fn kind_named(name: &str) -> Answer<AlertKind> {
    let known = AlertKind::ALL.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| Fault::Contents(format!("there is no alert `{name}`")))
}

fn channel_named(name: &str) -> Answer<Channel> {
    let known = Channel::ALL
        .into_iter()
        .find(|channel| channel.name() == name);
    known.ok_or_else(|| Fault::Contents(format!("there is no channel `{name}`")))
}

async fn record_change(
    connection: &mut SqliteConnection,
    job: &str,
    change: &AlertChange,
    ended_run: Option<i64>,
    channels: &[Channel],
    now: DateTime<Utc>,
) -> Answer<()> {
    let (is_new, run) = match change {
        AlertChange::Raised(alert) => {
            let raised = sqlx::query(
                "INSERT INTO alerts (job, kind, since, message, ended_run) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
            );
            let raised = raised
                .bind(job)
                .bind(alert.kind.name())
                .bind(moment_text(now))
                .bind(&alert.message);
            (
                raised
                    .bind(ended_run)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected()
                    == 1,
                alert.run,
            )
        }
        AlertChange::Recovered { standing, .. } => {
            let over = sqlx::query("DELETE FROM alerts WHERE job = ? AND kind = ? AND since = ?");
            let over = over
                .bind(job)
                .bind(standing.kind.name())
                .bind(moment_text(standing.since));
            (
                over.execute(&mut *connection).await?.rows_affected() == 1,
                ended_run,
            )
        }
    };
    if is_new {
        let write_backs = match run {
            Some(run) => history::write_back_entries(connection, run).await?,
            None => Vec::new(),
        };
        record_tellings(
            connection,
            &notification(job, change, run, write_backs, now),
            channels,
            now,
        )
        .await?;
    }
    Ok(())
}

fn notification<'a>(
    job: &'a str,
    change: &'a AlertChange,
    run: Option<i64>,
    write_backs: Vec<WriteBackEntry>,
    now: DateTime<Utc>,
) -> Notification<'a> {
    let (kind, state, cycle, message, hint, since) = match change {
        AlertChange::Raised(alert) => (
            alert.kind,
            "raised",
            alert.cycle.as_deref(),
            &alert.message,
            alert.hint.as_deref(),
            now,
        ),
        AlertChange::Recovered { standing, message } => (
            standing.kind,
            "recovered",
            None,
            message,
            None,
            standing.since,
        ),
    };
    let id = format!("{job}/{}/{}/{state}", kind.name(), moment_text(since));
    Notification {
        id,
        kind: kind.name(),
        state,
        job: Some(job),
        cycle,
        run,
        message,
        hint,
        since,
        at: now,
        write_backs,
    }
}

async fn record_tellings(
    connection: &mut SqliteConnection,
    notification: &Notification<'_>,
    channels: &[Channel],
    now: DateTime<Utc>,
) -> Answer<()> {
    let body = json_text(notification)?;
    let change: i64 = sqlx::query_scalar(
        "INSERT INTO alert_changes (job, kind, state, at, body) VALUES (?, ?, ?, ?, ?) RETURNING change",
    )
    .bind(notification.job)
    .bind(notification.kind)
    .bind(notification.state)
    .bind(moment_text(now))
    .bind(body)
    .fetch_one(&mut *connection)
    .await?;
    for channel in channels {
        sqlx::query("INSERT INTO alert_tellings (change, channel, due_at) VALUES (?, ?, ?)")
            .bind(change)
            .bind(channel.name())
            .bind(moment_text(now))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn forget_old_changes(connection: &mut SqliteConnection) -> Answer<()> {
    let forget = sqlx::query(
        "DELETE FROM alert_changes WHERE change <= (SELECT max(change) FROM alert_changes) - ?
         AND change NOT IN (SELECT change FROM alert_tellings WHERE due_at IS NOT NULL)",
    );
    forget.bind(CHANGES_KEPT).execute(connection).await?;
    Ok(())
}

fn telling(row: &SqliteRow) -> Answer<Telling> {
    Ok(Telling {
        change: row.try_get("change")?,
        channel: channel_named(row.try_get("channel")?)?,
        job: row.try_get("job")?,
        kind: kind_named(row.try_get("kind")?)?,
        state: row.try_get("state")?,
        body: row.try_get("body")?,
        attempts: count(row, "attempts")?,
        due_at: moment(row.try_get("due_at")?)?,
    })
}
