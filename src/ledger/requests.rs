//! The ledger's account of requests: what was asked for on the page, and what came of it. The
//! process that serves does what is open and writes; looks are made by the page itself.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use strum::{EnumCount, VariantArray};

use super::codec::{moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::sqlite::Ledger;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumCount, VariantArray)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestAct {
    /// A run of a job.
    Run,
    /// That rejected records are taken again.
    Retry,
    /// That a run goes ahead which guards stopped.
    Approve,
    /// A run of what a preview showed.
    Apply,
    /// That a run is taken back.
    Undo,
    /// That a run at work stops.
    Stop,
    /// A look at what a run would do.
    Preview,
    /// A look at what a run that guards stopped would do.
    LookAtStopped,
    /// A look at what taking a run back would do.
    LookAtUndo,
    /// A look at what is no longer as it was written.
    Verify,
    /// One record the whole way.
    Test,
}

impl RequestAct {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Retry => "retry",
            Self::Approve => "approve",
            Self::Apply => "apply",
            Self::Undo => "undo",
            Self::Stop => "stop",
            Self::Preview => "preview",
            Self::LookAtStopped => "look_at_stopped",
            Self::LookAtUndo => "look_at_undo",
            Self::Verify => "verify",
            Self::Test => "test",
        }
    }

    /// Whether the page does it itself: nothing of it is left to the process that serves.
    pub(crate) fn is_look(self) -> bool {
        match self {
            Self::Preview | Self::LookAtStopped | Self::LookAtUndo | Self::Verify | Self::Test => {
                true
            }
            Self::Run | Self::Retry | Self::Approve | Self::Apply | Self::Undo | Self::Stop => {
                false
            }
        }
    }

    /// Whether it becomes a run.
    pub(crate) fn runs(self) -> bool {
        !self.is_look() && self != Self::Stop
    }
}

/// Which rejected records a retry takes: those of a run's write-back that are like this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetryWish {
    /// The run that rejected them; nothing, all that are pending of the job.
    pub(crate) run: Option<i64>,
    pub(crate) stage: Option<String>,
    pub(crate) column: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) text: Option<String>,
    /// How many were seen.
    pub(crate) records: u64,
}

/// How a run is taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UndoWish {
    /// Only these records; all if there is none.
    #[serde(default)]
    pub(crate) records: Vec<String>,
    #[serde(default)]
    pub(crate) even_changed: bool,
    #[serde(default)]
    pub(crate) delete_created: bool,
}

/// The look that an act is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfLook {
    pub(crate) look: i64,
}

/// Which record is tested, and whether nothing of it is to stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TestWish {
    pub(crate) record: String,
    pub(crate) rollback: bool,
}

/// A request about to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewRequest<'a> {
    /// Chosen by whoever asks: the same key, the same request.
    pub(crate) key: &'a str,
    pub(crate) act: RequestAct,
    pub(crate) job: &'a str,
    pub(crate) write_back: Option<&'a str>,
    pub(crate) cycle: Option<&'a str>,
    pub(crate) run: Option<i64>,
    /// As JSON.
    pub(crate) arguments: Value,
    /// Digest of what was seen.
    pub(crate) seen: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) who: &'a str,
}

impl<'a> NewRequest<'a> {
    /// One that has only what every request has.
    pub(crate) fn new(key: &'a str, act: RequestAct, job: &'a str, who: &'a str) -> Self {
        Self {
            key,
            act,
            job,
            write_back: None,
            cycle: None,
            run: None,
            arguments: Value::Object(serde_json::Map::new()),
            seen: None,
            reason: None,
            who,
        }
    }
}

/// A request, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PageRequest {
    pub(crate) request: i64,
    pub(crate) act: RequestAct,
    pub(crate) job: String,
    pub(crate) write_back: Option<String>,
    pub(crate) cycle: Option<String>,
    pub(crate) run: Option<i64>,
    pub(crate) arguments: Value,
    pub(crate) seen: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) who: String,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) message: Option<String>,
}

impl PageRequest {
    /// Its arguments, as its act has them.
    /// Errors: they are those of another act.
    pub(crate) fn arguments<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_value(self.arguments.clone()).map_err(|error| error.to_string())
    }
}

impl Ledger {
    /// Records a request, unless it was made before. Returns its number, and whether it is new.
    pub(crate) async fn request(
        &self,
        request: &NewRequest<'_>,
    ) -> Result<(i64, bool), LedgerError> {
        let asked_at = moment_text(Utc::now());
        self.write("record a request in", async |connection| {
            let insert = sqlx::query_scalar(
                "INSERT INTO requests (key, act, job, write_back, cycle, run, who, asked_at, arguments, seen, reason)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING request",
            );
            let insert = insert
                .bind(request.key)
                .bind(request.act.name())
                .bind(request.job)
                .bind(request.write_back)
                .bind(request.cycle)
                .bind(request.run)
                .bind(request.who)
                .bind(asked_at)
                .bind(request.arguments.to_string())
                .bind(request.seen)
                .bind(request.reason);
            if let Some(number) = insert.fetch_optional(&mut *connection).await? {
                return Ok((number, true));
            }
            let known = sqlx::query_scalar("SELECT request FROM requests WHERE key = ?");
            let number = known.bind(request.key).fetch_one(connection).await?;
            Ok((number, false))
        })
        .await
    }

    /// Requests that have not ended, oldest first.
    pub(crate) async fn requests_open(&self) -> Result<Vec<PageRequest>, LedgerError> {
        self.read(async |connection| {
            let rows =
                sqlx::query("SELECT * FROM requests WHERE ended_at IS NULL ORDER BY request");
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(of_row).collect()
        })
        .await
    }

    /// A request by the key that was chosen for it, if there is one.
    pub(crate) async fn request_keyed(&self, key: &str) -> Result<Option<i64>, LedgerError> {
        self.read(async |connection| {
            let known = sqlx::query_scalar("SELECT request FROM requests WHERE key = ?");
            Ok(known.bind(key).fetch_optional(connection).await?)
        })
        .await
    }

    /// A request by its number, if there is one.
    pub(crate) async fn request_numbered(
        &self,
        number: i64,
    ) -> Result<Option<PageRequest>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query("SELECT * FROM requests WHERE request = ?").bind(number);
            let row = row.fetch_optional(connection).await?;
            row.as_ref().map(of_row).transpose()
        })
        .await
    }

    /// The latest look of a sort at a run that has shown something, if there is one.
    pub(crate) async fn latest_look(
        &self,
        act: RequestAct,
        run: i64,
    ) -> Result<Option<PageRequest>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query(
                "SELECT * FROM requests WHERE act = ? AND run = ? AND seen IS NOT NULL ORDER BY request DESC LIMIT 1",
            );
            let row = row.bind(act.name()).bind(run).fetch_optional(connection).await?;
            row.as_ref().map(of_row).transpose()
        })
        .await
    }

    /// Of each job the latest verification that showed something, if there is one.
    pub(crate) async fn latest_verifications(&self) -> Result<Vec<PageRequest>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT * FROM requests WHERE request IN
                     (SELECT max(request) FROM requests WHERE act = 'verify' AND seen IS NOT NULL GROUP BY job)
                 ORDER BY job",
            );
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(of_row).collect()
        })
        .await
    }

    /// The preview that a plan of this digest is of, if one of the page was.
    pub(crate) async fn preview_of(&self, plan: &str) -> Result<Option<PageRequest>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query(
                "SELECT * FROM requests WHERE act = 'preview' AND seen = ? ORDER BY request DESC LIMIT 1",
            );
            let row = row.bind(plan).fetch_optional(connection).await?;
            row.as_ref().map(of_row).transpose()
        })
        .await
    }

    /// Ends looks that were begun before `instant` and never ended: whoever made them is gone.
    pub(crate) async fn end_cut_off_looks(
        &self,
        instant: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let ended_at = moment_text(Utc::now());
        self.write("end looks in", async |connection| {
            for act in RequestAct::ALL.into_iter().filter(|act| act.is_look()) {
                let update = sqlx::query(
                    "UPDATE requests SET ended_at = ?, message = 'it was cut off: look again'
                     WHERE act = ? AND ended_at IS NULL AND asked_at < ?",
                );
                let update = update.bind(&ended_at).bind(act.name());
                update
                    .bind(moment_text(instant))
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    /// A look has ended and shown something, whose digest this is.
    pub(crate) async fn end_look(&self, number: i64, seen: &str) -> Result<(), LedgerError> {
        let ended_at = moment_text(Utc::now());
        self.write("end a look in", async |connection| {
            let update = sqlx::query(
                "UPDATE requests SET ended_at = ?, message = 'done', seen = ? WHERE request = ? AND ended_at IS NULL",
            );
            let update = update.bind(ended_at).bind(seen).bind(number);
            update.execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// A request has ended, with this run if it became one.
    pub(crate) async fn end_request(
        &self,
        number: i64,
        run: Option<i64>,
        message: &str,
    ) -> Result<(), LedgerError> {
        let ended_at = moment_text(Utc::now());
        self.write("end a request in", async |connection| {
            let update = sqlx::query(
                "UPDATE requests SET ended_at = ?, message = ?, run = coalesce(run, ?)
                 WHERE request = ? AND ended_at IS NULL",
            );
            let update = update.bind(ended_at).bind(message).bind(run).bind(number);
            update.execute(connection).await?;
            Ok(())
        })
        .await
    }
}

fn of_row(row: &SqliteRow) -> Answer<PageRequest> {
    let name: &str = row.try_get("act")?;
    let act = RequestAct::ALL.into_iter().find(|act| act.name() == name);
    let ended_at: Option<&str> = row.try_get("ended_at")?;
    let arguments: &str = row.try_get("arguments")?;
    Ok(PageRequest {
        request: row.try_get("request")?,
        act: act.ok_or_else(|| Fault::Contents(format!("no request is to `{name}`")))?,
        job: row.try_get("job")?,
        write_back: row.try_get("write_back")?,
        cycle: row.try_get("cycle")?,
        run: row.try_get("run")?,
        arguments: serde_json::from_str(arguments)
            .map_err(|error| Fault::Contents(error.to_string()))?,
        seen: row.try_get("seen")?,
        reason: row.try_get("reason")?,
        who: row.try_get("who")?,
        asked_at: moment(row.try_get("asked_at")?)?,
        ended_at: ended_at.map(moment).transpose()?,
        message: row.try_get("message")?,
    })
}
