//! History as people read it, assembled of all accounts of the ledger: runs with their write-backs,
//! batches, and how fast they went.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::canaries::PassedCanary;
use super::codec::{count, cycle, from_json, json_text, moment, span};
use super::error::{Answer, Fault, LedgerError};
use super::guards::{self, Approval};
use super::outcomes::{self, Rejections};
use super::sqlite::Ledger;
use super::status::RunStatus;
use crate::database::audited;
use crate::domain::account_calls::AccountCalls;
use crate::domain::guard::Objection;
use crate::domain::outcome::Tally;

/// One run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunEntry {
    pub(crate) run: i64,
    pub(crate) job: String,
    pub(crate) cycle: String,
    pub(crate) cycle_completed_at: DateTime<Utc>,
    pub(crate) status: RunStatus,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Why it could not run or finish.
    pub(crate) error: Option<String>,
    /// As [`super::runs::NewRun::retry_of`].
    pub(crate) retry_of: Option<i64>,
    /// As [`super::runs::NewRun::undo_of`].
    pub(crate) undo_of: Option<i64>,
    /// As [`super::runs::NewRun::plan`].
    pub(crate) plan: Option<String>,
    /// What guards had against it.
    pub(crate) guards: Vec<Objection>,
    /// Why it went ahead all the same, if it did.
    pub(crate) approval: Option<Approval>,
    /// Of web APIs, by connection.
    pub(crate) calls: Vec<AccountCalls>,
    pub(crate) write_backs: Vec<WriteBackEntry>,
}

/// One write-back of a run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WriteBackEntry {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// Those known to be committed.
    pub(crate) batches: u64,
    pub(crate) seconds: f64,
    /// Of the records that count as written, those of batches that were sent and are not known to
    /// be committed.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) in_doubt: u64,
    /// Of its records, those that went first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canary: Option<PassedCanary>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(records: &u64) -> bool {
    *records == 0
}

/// One batch of a run as history shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct BatchEntry {
    pub(crate) write_back: String,
    pub(crate) partition: u32,
    pub(crate) first: u32,
    pub(crate) records: u32,
    pub(crate) attempts: u32,
    pub(crate) committed: bool,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) seconds: f64,
}

/// How fast the latest runs of a write-back went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// How many runs these are; at least one.
    pub(crate) runs: u32,
    pub(crate) seconds_per_record: f64,
}

impl Pace {
    #[expect(
        clippy::cast_precision_loss,
        reason = "no run reads as many records as a float stops counting at"
    )]
    pub(crate) fn seconds_for(&self, records: u64) -> f64 {
        self.seconds_per_record * records as f64
    }
}

impl Ledger {
    /// The latest runs, newest first, of one job or of all, those that are made of requests among
    /// them.
    pub(crate) async fn runs(
        &self,
        job: Option<&str>,
        runs_max: u32,
    ) -> Result<Vec<RunEntry>, LedgerError> {
        self.latest_runs(job, runs_max, true).await
    }

    /// The last run of each of several jobs that carried the job out, by job.
    pub(crate) async fn last_runs(
        &self,
        jobs: &[&str],
    ) -> Result<HashMap<String, RunEntry>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(audited(format!(
                "SELECT {RUN_COLUMNS} FROM json_each(?) AS asked JOIN runs ON run =
                     (SELECT run FROM runs AS latest WHERE latest.job = asked.value AND requests_on IS NULL
                      ORDER BY run DESC LIMIT 1)",
            )));
            let rows = rows.bind(json_text(jobs)?);
            let rows = rows.fetch_all(&mut *connection).await?;
            let entries = run_entries(connection, &rows).await?;
            Ok(entries.into_iter().map(|run| (run.job.clone(), run)).collect())
        })
        .await
    }

    /// The latest runs that carried a job out, newest first.
    pub(crate) async fn runs_of_job(
        &self,
        job: &str,
        runs_max: u32,
    ) -> Result<Vec<RunEntry>, LedgerError> {
        self.latest_runs(Some(job), runs_max, false).await
    }

    async fn latest_runs(
        &self,
        job: Option<&str>,
        runs_max: u32,
        with_requests: bool,
    ) -> Result<Vec<RunEntry>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(audited(format!(
                "SELECT {RUN_COLUMNS} FROM runs
                 WHERE (?1 IS NULL OR job = ?1) AND (?3 OR requests_on IS NULL)
                 ORDER BY run DESC LIMIT ?2",
            )));
            let rows = rows
                .bind(job)
                .bind(runs_max)
                .bind(with_requests)
                .fetch_all(&mut *connection)
                .await?;
            run_entries(connection, &rows).await
        })
        .await
    }

    /// One run.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn run(&self, run: i64) -> Result<RunEntry, LedgerError> {
        self.read(async |connection| {
            let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE run = ?");
            let row = sqlx::query(audited(sql))
                .bind(run)
                .fetch_optional(&mut *connection)
                .await?;
            let row = row.ok_or(Fault::NoSuchRun(run))?;
            let entry = run_entries(connection, &[row]).await?.pop();
            entry.ok_or(Fault::NoSuchRun(run))
        })
        .await
    }

    /// How fast the latest runs of a write-back went, `runs_max` at most; `None` if none delivered
    /// a record.
    pub(crate) async fn pace(
        &self,
        job: &str,
        write_back: &str,
        runs_max: u32,
    ) -> Result<Option<Pace>, LedgerError> {
        self.read(async |connection| {
    let latest = sqlx::query(
        "SELECT count(*) AS runs, total(seconds) / max(total(read), 1) AS seconds_per_record FROM (
             SELECT w.seconds, w.read FROM write_backs AS w JOIN runs AS r USING (run)
             WHERE r.job = ? AND w.name = ? AND r.undo_of IS NULL AND r.plan IS NULL AND r.requests_on IS NULL AND w.finished = 1 AND w.read > 0 ORDER BY run DESC LIMIT ?
         )",
    );
    let row = latest
        .bind(job)
        .bind(write_back)
        .bind(runs_max)
        .fetch_one(connection)
        .await?;
    let pace = Pace {
        runs: count(&row, "runs")?,
        seconds_per_record: row.try_get("seconds_per_record")?,
    };
    Ok((pace.runs > 0).then_some(pace))
})
            .await
    }

    /// The batches of one run, in order.
    pub(crate) async fn batches(&self, run: i64) -> Result<Vec<BatchEntry>, LedgerError> {
        self.read(async |connection| {
    let sql = format!(
        "SELECT name, partition, first, records, attempts, committed, batches.seconds AS seconds, {}
         FROM batches JOIN write_backs USING (write_back) WHERE run = ? ORDER BY position, partition, first",
        outcomes::columns().join(", "),
    );
    let rows = sqlx::query(audited(sql));
    rows.bind(run)
        .fetch_all(connection)
        .await?
        .iter()
        .map(batch_entry)
        .collect()
})
            .await
    }
}

/// What [`run_entries`] takes of `runs`: its columns, and each run's calls.
pub(super) const RUN_COLUMNS: &str = "runs.*,
    (SELECT json_group_array(json_object('connection', connection, 'made', made, 'used', used,
                                         'allowed', allowed) ORDER BY connection)
     FROM account_calls WHERE account_calls.run = runs.run) AS calls";

/// Runs with all that is known of each, in the order of their rows. However many there are, it
/// takes as many statements as one.
pub(super) async fn run_entries(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
) -> Answer<Vec<RunEntry>> {
    let number = |row: &SqliteRow| row.try_get::<i64, _>("run");
    let runs: Vec<i64> = rows.iter().map(number).collect::<Result<_, _>>()?;
    let runs = json_text(&runs)?;
    let mut judgements = guards::judgements(connection, &runs).await?;
    let mut write_backs = write_back_entries_of(connection, &runs).await?;
    let entry = |row: &SqliteRow| {
        let run = number(row)?;
        let cycle = cycle(row)?;
        let judgement = judgements.remove(&run).unwrap_or_default();
        let finished_at: Option<&str> = row.try_get("finished_at")?;
        Ok(RunEntry {
            run,
            job: row.try_get("job")?,
            cycle: cycle.id,
            cycle_completed_at: cycle.completed_at,
            status: RunStatus::named(row.try_get("status")?)?,
            started_at: moment(row.try_get("started_at")?)?,
            finished_at: finished_at.map(moment).transpose()?,
            error: row.try_get("error")?,
            retry_of: row.try_get("retry_of")?,
            undo_of: row.try_get("undo_of")?,
            plan: row.try_get("plan")?,
            guards: judgement.objections,
            approval: judgement.approval,
            calls: from_json(row.try_get("calls")?)?,
            write_backs: write_backs.remove(&run).unwrap_or_default(),
        })
    };
    rows.iter().map(entry).collect()
}

pub(super) async fn write_back_entries(
    connection: &mut SqliteConnection,
    run: i64,
) -> Answer<Vec<WriteBackEntry>> {
    let mut all = write_back_entries_of(connection, &json_text(&[run])?).await?;
    Ok(all.remove(&run).unwrap_or_default())
}

/// The write-backs of runs, of a list of JSON, in each run's order.
async fn write_back_entries_of(
    connection: &mut SqliteConnection,
    runs: &str,
) -> Answer<HashMap<i64, Vec<WriteBackEntry>>> {
    let sql = format!(
        "SELECT w.run AS run, w.name AS name, w.seconds AS seconds, {},
           count(CASE b.committed WHEN 1 THEN 1 END) AS batches,
           coalesce(sum(CASE b.committed WHEN 0 THEN b.inserted + b.updated + b.deleted END), 0) AS in_doubt,
           c.records AS canary, c.read_back AS read_back
         FROM write_backs AS w LEFT JOIN batches AS b ON b.write_back = w.write_back
              LEFT JOIN canaries AS c ON c.write_back = w.write_back
         WHERE w.run IN (SELECT value FROM json_each(?)) GROUP BY w.write_back ORDER BY w.run, w.position",
        outcomes::sums(Rejections::AsCounted),
    );
    let rows = sqlx::query(audited(sql));
    let mut all: HashMap<i64, Vec<WriteBackEntry>> = HashMap::new();
    for row in &rows.bind(runs).fetch_all(connection).await? {
        let entry = WriteBackEntry {
            name: row.try_get("name")?,
            tally: outcomes::tally_in(row, "read")?,
            batches: count(row, "batches")?,
            seconds: row.try_get("seconds")?,
            in_doubt: count(row, "in_doubt")?,
            canary: match row.try_get::<Option<i64>, _>("canary")? {
                Some(_) => Some(PassedCanary {
                    records: count(row, "canary")?,
                    read_back: count(row, "read_back")?,
                }),
                None => None,
            },
        };
        all.entry(row.try_get("run")?).or_default().push(entry);
    }
    Ok(all)
}

fn batch_entry(row: &SqliteRow) -> Answer<BatchEntry> {
    let span = span(row)?;
    Ok(BatchEntry {
        write_back: row.try_get("name")?,
        partition: span.partition,
        first: span.first,
        records: span.records,
        attempts: count(row, "attempts")?,
        committed: row.try_get("committed")?,
        tally: outcomes::tally_in(row, "records")?,
        seconds: row.try_get("seconds")?,
    })
}
