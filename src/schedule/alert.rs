//! Telling people what is wrong with a job: what changed is recorded first and told after, at least
//! once, also by the process that comes after this one. What is wrong, and what is worth telling,
//! is decided in `domain::alert`.

mod command;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::serve_state::ServeState;
use crate::domain::alert::{self, AlertChange, Circumstances, Facts, Thresholds};
use crate::domain::channel::{Channel, Channels};
use crate::domain::error::chain;
use crate::domain::printable::printable_json;
use crate::ledger::{Ledger, LedgerError, Notification, Telling, Told};

/// Why people could not be told. Messages hold no part of a URL and nothing that a receiver
/// answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellError {
    #[error("`alerts.{channel}` is no longer there")]
    NoChannel { channel: Channel },
    #[error("could not start `{program}`")]
    CommandNotStarted {
        program: String,
        source: std::io::Error,
    },
    #[error("`{program}` {how}")]
    CommandFailed { program: String, how: String },
    #[error("`{program}` was killed: it was not done after {}", humantime::format_duration(*timeout))]
    CommandTimeout { program: String, timeout: Duration },
    #[error("the webhook answered {status}")]
    WebhookRefused { status: u16 },
    #[error("could not reach the webhook: {why}")]
    WebhookUnreachable { why: String },
    #[error("the webhook could not prove who it is: {what} ({why})")]
    WebhookUnproven {
        what: &'static str,
        why: String,
        hint: &'static str,
    },
    #[error("could not read certificates from `{path}`")]
    Authorities {
        path: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the thread that told people stopped unexpectedly")]
    Worker(#[from] tokio::task::JoinError),
}

impl TellError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::CommandNotStarted { .. } => {
                Some("name a program that this user may run; a script needs its `#!` line and its x bit".to_owned())
            }
            Self::CommandTimeout { .. } => Some("`command_timeout` of `[alerts]` is how long it may take".to_owned()),
            Self::WebhookRefused { status: 300..=399 } => {
                Some("redirects are not followed: name the address itself".to_owned())
            }
            Self::WebhookRefused { .. } => Some("see what the receiver says of it in its own log".to_owned()),
            Self::WebhookUnreachable { .. } => {
                Some("see that the receiver runs, that this machine may reach it and trusts its certificate".to_owned())
            }
            Self::WebhookUnproven { hint, .. } => Some((*hint).to_owned()),
            Self::Authorities { .. } => {
                Some("`ca_file` of the webhook names a file of certificates in PEM form".to_owned())
            }
            Self::NoChannel { .. } | Self::CommandFailed { .. } | Self::Worker(_) => None,
        }
    }
}

/// The alerts of a project's jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Alerts {
    ledger: Ledger,
    /// As the project's file names them now.
    channels: Arc<Mutex<Arc<Channels>>>,
    recorded: Arc<Notify>,
    /// Counts the attempts.
    state: Arc<ServeState>,
}

/// How long the sender sleeps at most: wall clocks are set, and another process may record alerts.
const SENDER_SLEEP_MAX: Duration = Duration::from_secs(60);

impl Alerts {
    pub(crate) fn new(ledger: Ledger, channels: Channels, state: Arc<ServeState>) -> Self {
        Self {
            ledger,
            channels: Arc::new(Mutex::new(Arc::new(channels))),
            recorded: Arc::default(),
            state,
        }
    }

    /// Takes other channels from now on, also for what is still to be told.
    pub(crate) fn use_channels(&self, channels: Channels) {
        *self.channels.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(channels);
    }

    fn channels(&self) -> Arc<Channels> {
        Arc::clone(&self.channels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Finds out what changed about a job, records it and wakes the sender.
    pub(crate) async fn update(
        &self,
        job: &str,
        circumstances: Circumstances,
        thresholds: &Thresholds,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let history = self
            .ledger
            .alert_history(job, thresholds.recent_runs)
            .await?;
        let standing = self.ledger.standing_alerts(Some(job)).await?;
        let facts = Facts {
            circumstances,
            history,
        };
        let alerts = alert::alerts_of(job, &facts, thresholds);
        let changes = alert::changes(job, &standing, alerts, facts.history.ended_run());
        self.record(job, &changes, facts.history.ended_run(), now)
            .await
    }

    /// Ends the alerts of every job that is not among `jobs`: a job that is no more has nothing
    /// wrong with it.
    pub(crate) async fn keep_only(
        &self,
        jobs: &[&str],
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        for standing in self.ledger.standing_alerts(None).await? {
            if !jobs.contains(&standing.job.as_str()) {
                let job = standing.job.clone();
                let message = format!("job `{job}` is no more");
                self.record(
                    &job,
                    &[AlertChange::Recovered { standing, message }],
                    None,
                    now,
                )
                .await?;
            }
        }
        Ok(())
    }

    async fn record(
        &self,
        job: &str,
        changes: &[AlertChange],
        ended_run: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.ledger
            .record_alert_changes(job, changes, ended_run, &self.channels().configured(), now)
            .await?;
        for change in changes {
            match change {
                AlertChange::Raised(alert) => {
                    warn!(job, kind = alert.kind.name(), "alert: {}", alert.message)
                }
                AlertChange::Recovered { standing, message } => {
                    info!(job, kind = standing.kind.name(), "alert is over: {message}");
                }
            }
        }
        self.recorded.notify_one();
        Ok(())
    }

    /// Tells people of all that is due, and returns when the next attempt is. Errors: only the
    /// ledger's; that somebody could not be told is recorded, logged and tried again.
    pub(crate) async fn deliver_due(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let begun = Instant::now();
        let due = |telling: &Telling| alert::telling_instant(telling.due_at, now) <= now;
        let (due, waiting): (Vec<_>, Vec<_>) =
            self.ledger.tellings().await?.into_iter().partition(due);
        let (to_command, to_webhook): (Vec<_>, Vec<_>) = due
            .into_iter()
            .partition(|telling| telling.channel == Channel::Command);
        // One channel that hangs must not keep the other waiting.
        let told = future::join(
            self.tell_all(&to_command, now, begun),
            self.tell_all(&to_webhook, now, begun),
        )
        .await;
        told.0?;
        told.1?;
        let after = to_command.iter().chain(&to_webhook).map(|_| now);
        Ok(waiting
            .iter()
            .map(|telling| alert::telling_instant(telling.due_at, now))
            .chain(after)
            .min())
    }

    /// Tells people of all that becomes due, until `stopping` ends. What is being told then is told
    /// to its end.
    pub(crate) async fn keep_delivering(&self, stopping: impl Future<Output = ()>) {
        tokio::pin!(stopping);
        loop {
            let now = Utc::now();
            let next = self.deliver_due(now).await.unwrap_or_else(|error| {
                error!(error = %chain(&error).join(": "), "could not see whom to tell of what");
                None
            });
            let pause = next.map_or(SENDER_SLEEP_MAX, |next| {
                (next - now).to_std().unwrap_or_default()
            });
            tokio::select! {
                () = &mut stopping => return,
                () = self.recorded.notified() => {}
                () = tokio::time::sleep(pause.min(SENDER_SLEEP_MAX)) => {}
            }
        }
    }

    async fn tell_all(
        &self,
        tellings: &[Telling],
        now: DateTime<Utc>,
        begun: Instant,
    ) -> Result<(), LedgerError> {
        for telling in tellings {
            let told = tell(
                &self.channels(),
                telling.channel,
                &telling.body,
                now + begun.elapsed(),
            )
            .await;
            self.state.alerted(telling.channel, told.is_ok());
            let told = outcome(telling, told, now + begun.elapsed());
            self.ledger.record_told(telling, &told).await?;
        }
        Ok(())
    }
}

/// What an attempt comes to, logged here once.
fn outcome(telling: &Telling, told: Result<(), TellError>, now: DateTime<Utc>) -> Told {
    let (job, kind, channel) = (
        telling.job.as_str(),
        telling.kind.name(),
        telling.channel.name(),
    );
    let attempts = telling.attempts.saturating_add(1);
    let Err(error) = told else {
        info!(job, kind, channel, attempts, state = %telling.state, "told of an alert");
        return Told::At(now);
    };
    let text = chain(&error).join(": ");
    let lasting = matches!(error, TellError::NoChannel { .. });
    match alert::retell_pause(attempts).filter(|_| !lasting) {
        Some(pause) => {
            warn!(job, kind, channel, attempts, error = %text, "could not tell of an alert; it is tried again");
            Told::Later {
                due_at: now + pause,
                error: text,
            }
        }
        None => {
            error!(job, kind, channel, attempts, error = %text, "could not tell of an alert, nor will it be tried again");
            Told::Never { error: text }
        }
    }
}

/// Tells people through one channel, once: `body` is JSON.
pub(crate) async fn tell(
    channels: &Channels,
    channel: Channel,
    body: &str,
    now: DateTime<Utc>,
) -> Result<(), TellError> {
    // A program may well print it as it comes.
    let body = printable_json(body);
    match channel {
        Channel::Command => {
            let command = channels
                .command
                .clone()
                .ok_or(TellError::NoChannel { channel })?;
            tokio::task::spawn_blocking(move || command::run(&command, &body)).await?
        }
        Channel::Webhook => {
            let webhook = channels
                .webhook
                .clone()
                .ok_or(TellError::NoChannel { channel })?;
            tokio::task::spawn_blocking(move || webhook::post(&webhook, &body, now)).await?
        }
    }
}

/// What `writeback check --alert` sends.
pub(crate) fn test_body(now: DateTime<Utc>) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Notification {
        id: format!("test/{}", now.to_rfc3339()),
        kind: "test",
        state: "raised",
        job: None,
        cycle: None,
        run: None,
        message: "this is a test of `[alerts]`; nothing is wrong",
        hint: None,
        since: now,
        at: now,
        write_backs: Vec::new(),
    })
}
