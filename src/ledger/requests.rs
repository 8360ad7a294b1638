//! The ledger's account of requests: what was asked for on the page, and what came of it. The
//! process that serves does what is open, and asks for nothing itself.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::codec::{moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::sqlite::Ledger;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RequestAct {
    /// A run of a job.
    Run,
    /// That a run at work stops.
    Stop,
}

impl RequestAct {
    const ALL: [Self; 2] = [Self::Run, Self::Stop];

    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Stop => "stop",
        }
    }
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
    pub(crate) who: &'a str,
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
    pub(crate) who: String,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) message: Option<String>,
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
                "INSERT INTO requests (key, act, job, write_back, cycle, run, who, asked_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING RETURNING request",
            );
            let insert = insert
                .bind(request.key)
                .bind(request.act.name())
                .bind(request.job)
                .bind(request.write_back)
                .bind(request.cycle)
                .bind(request.run)
                .bind(request.who)
                .bind(asked_at);
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
    Ok(PageRequest {
        request: row.try_get("request")?,
        act: act.ok_or_else(|| Fault::Contents(format!("no request is to `{name}`")))?,
        job: row.try_get("job")?,
        write_back: row.try_get("write_back")?,
        cycle: row.try_get("cycle")?,
        run: row.try_get("run")?,
        who: row.try_get("who")?,
        asked_at: moment(row.try_get("asked_at")?)?,
        ended_at: ended_at.map(moment).transpose()?,
        message: row.try_get("message")?,
    })
}
