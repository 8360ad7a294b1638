//! The ledger's account of cycles: those that dashboards finished, what became of each of them for
//! each job, gates that opened for nothing, and what the scheduler tells of itself. Whether a job
//! is due is not decided here.

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tracing::warn;

use super::codec::{count, moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::lock::{JobLock, ServeLock};
use super::sqlite::Ledger;
use super::status::RunStatus;
use crate::domain::cadence::{Fate, PassedOver, PassedOverWhy};
use crate::domain::cycle::Cycle;

/// Cycles of a job that are told of at once; far more than a decision needs, and no more than a
/// moment's work.
const JOB_CYCLES_MAX: u32 = 1_000;
/// Gates kept of a job: more than two years of daily ones.
const GATES_KEPT: u32 = 1_000;
/// Cycles kept of a dashboard: ten times what one look at it records, so that none it still tells
/// of is forgotten.
const CYCLES_KEPT: u32 = 10_000;

/// A cycle as it was first noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// Completed no later than it was noticed, unless this machine's clock was set back.
    pub(crate) cycle: Cycle,
    pub(crate) noticed_at: DateTime<Utc>,
    /// Whether it was not known before.
    pub(crate) new: bool,
}

/// A cycle, and what the ledger knows became of it for one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobCycle {
    pub(crate) cycle: Cycle,
    pub(crate) noticed_at: DateTime<Utc>,
    pub(crate) fate: StoredFate,
}

/// What became of a cycle, for one job. A run of one that is interrupted may be at work: whoever
/// holds the job's lock knows.
pub(crate) type StoredFate = Fate<DateTime<Utc>>;

/// A cycle that a job did not write back, as history shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PassedOverEntry {
    pub(crate) passed: PassedOver,
    pub(crate) decided_at: DateTime<Utc>,
    /// Why its last attempt failed, if it was tried.
    pub(crate) error: Option<String>,
}

/// A gate that opened for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GateEntry {
    pub(crate) opened_at: DateTime<Utc>,
    pub(crate) reason: String,
}

/// What a dashboard said when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) dashboard: String,
    pub(crate) looked_at: DateTime<Utc>,
    /// In one line: the cycle, or why none could be made out.
    pub(crate) saw: String,
}

/// A process that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) process: u32,
    pub(crate) host: Option<String>,
    pub(crate) since: DateTime<Utc>,
    /// Since when it has watched without a break, and nobody before that.
    pub(crate) watching_since: DateTime<Utc>,
    pub(crate) absent_since: Option<DateTime<Utc>>,
    pub(crate) version: String,
}

/// A dashboard's cycles (`?2`) as they are ordered at a time (`?1`): one that completed later than
/// now was noticed while this machine's clock was ahead, and stands before all that were noticed
/// after it.
macro_rules! placed_cycles {
    () => {
        "WITH placed AS (
             SELECT position, cycle, noticed_at, completed_at AS told_at,
                    CASE WHEN completed_at <= ?1 THEN completed_at
                         ELSE min(?1, coalesce((SELECT min(later.completed_at) FROM cycles AS later
                                                WHERE later.dashboard = cycles.dashboard
                                                      AND later.position > cycles.position), ?1)) END AS completed_at
             FROM cycles WHERE dashboard = ?2)"
    };
}

impl Ledger {
    /// Records that a dashboard finished a cycle. One that is known stays as it was first seen.
    pub(crate) async fn see_cycle(
        &self,
        dashboard: &str,
        cycle: &Cycle,
        noticed_at: DateTime<Utc>,
    ) -> Result<Noticed, LedgerError> {
        self.write("record a cycle in", async |connection| {
            see_cycle(connection, dashboard, cycle, noticed_at).await
        })
        .await
    }

    /// As [`Ledger::see_cycle`], of several cycles at once.
    pub(crate) async fn see_cycles(
        &self,
        dashboard: &str,
        cycles: &[Cycle],
        noticed_at: DateTime<Utc>,
    ) -> Result<Vec<Noticed>, LedgerError> {
        self.write("record cycles in", async |connection| {
            let mut noticed = Vec::with_capacity(cycles.len());
            for cycle in cycles {
                noticed.push(see_cycle(connection, dashboard, cycle, noticed_at).await?);
            }
            Ok(noticed)
        })
        .await
    }

    /// The cycle that a dashboard completed last, of those noticed. What completed later than now
    /// is not newer than what was noticed after it.
    pub(crate) async fn newest_cycle(
        &self,
        dashboard: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Noticed>, LedgerError> {
        self.read(async |connection| {
            let newest = sqlx::query(concat!(
                placed_cycles!(),
                " SELECT cycle, told_at AS completed_at, noticed_at FROM placed
                 ORDER BY placed.completed_at DESC, position DESC LIMIT 1"
            ));
            let row = newest
                .bind(moment_text(now))
                .bind(dashboard)
                .fetch_optional(connection)
                .await?;
            row.as_ref().map(noticed_before).transpose()
        })
        .await
    }

    /// The cycle of a dashboard with this id, if it was noticed.
    pub(crate) async fn cycle_named(
        &self,
        dashboard: &str,
        id: &str,
    ) -> Result<Option<Noticed>, LedgerError> {
        self.read(async |connection| cycle_named(connection, dashboard, id).await)
            .await
    }

    /// The newest cycle that a run of the job began with: an older one is not written after it. One
    /// that the job's dashboard is known to have finished counts with the time the ledger has of
    /// it; one that completed later than now counts for nothing.
    pub(crate) async fn newest_begun_cycle(
        &self,
        job: &str,
        dashboard: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<Cycle>, LedgerError> {
        self.read(async |connection| {
            let fence = fence(connection, job, dashboard, Ahead::Ignored, now).await?;
            Ok(fence.map(|fence| fence.cycle))
        })
        .await
    }

    /// What a job has to decide about: its dashboard's cycles from the newest begun on, and earlier
    /// ones without a fate; the 1 000 newest of them at most. Oldest completion first; of equal
    /// ones, first noticed first. If the job last began a cycle that its dashboard is not known to
    /// have finished (the user named it, or another dashboard finished it), that stands among them,
    /// since nothing older is written after it.
    pub(crate) async fn job_cycles(
        &self,
        job: &str,
        dashboard: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<JobCycle>, LedgerError> {
        self.read(async |connection| {
    let fence = fence(&mut *connection, job, Some(dashboard), Ahead::Placed, now).await?;
    let fence = fence.as_ref();
    let rows = sqlx::query(concat!(
        placed_cycles!(),
        ", known AS (
             SELECT position, cycle, completed_at, noticed_at FROM placed
             UNION ALL
             SELECT 0, ?3, ?4, ?5 WHERE ?3 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM placed WHERE cycle = ?3)
         )
         SELECT known.cycle AS cycle, completed_at, noticed_at, fate, attempts, attempted_at,
                status, interrupted, finished_at,
                EXISTS (SELECT 1 FROM runs AS done WHERE done.job = ?7 AND done.cycle = known.cycle
                        AND done.whole AND done.status IN ('succeeded', 'rejected')) AS delivered
         FROM known
         LEFT JOIN job_cycles ON job_cycles.job = ?7 AND job_cycles.cycle = known.cycle
         LEFT JOIN runs ON runs.run = (SELECT max(run) FROM runs AS latest WHERE latest.job = ?7
                                       AND latest.cycle = known.cycle AND latest.whole)
         WHERE ?4 IS NULL OR completed_at >= ?4 OR fate IS NULL
         ORDER BY completed_at DESC, position DESC LIMIT ?6"
    ));
    let rows = rows
        .bind(moment_text(now))
        .bind(dashboard)
        .bind(fence.map(|fence| fence.cycle.id.as_str()))
        .bind(fence.map(|fence| moment_text(fence.cycle.completed_at)))
        .bind(fence.map(|fence| moment_text(fence.noticed_at)))
        .bind(JOB_CYCLES_MAX)
        .bind(job)
        .fetch_all(connection)
        .await?;
    rows.iter().rev().map(job_cycle).collect()
})
            .await
    }

    /// An attempt at a cycle failed, whether a run began or not.
    pub(crate) async fn attempt_failed(
        &self,
        job: &str,
        cycle: &Cycle,
        at: DateTime<Utc>,
        error: &str,
    ) -> Result<(), LedgerError> {
        self.write("record a failed attempt in", async |connection| {
            begun(connection, job, &cycle.id, at).await?;
            let update = sqlx::query(
                "UPDATE job_cycles SET attempts = attempts + 1, attempted_at = ?, error = ? WHERE job = ? AND cycle = ?",
            );
            update.bind(moment_text(at)).bind(error).bind(job).bind(&cycle.id).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Cycles that the job will not write back.
    pub(crate) async fn pass_over(
        &self,
        job: &str,
        passed: &[PassedOver],
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.write("record cycles passed over in", async |connection| {
            for one in passed {
                pass_over(connection, job, one, at).await?;
            }
            Ok(())
        })
        .await
    }

    /// The latest cycles that the job did not write back, newest decision first.
    pub(crate) async fn passed_over(
        &self,
        job: &str,
        cycles_max: u32,
    ) -> Result<Vec<PassedOverEntry>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT * FROM job_cycles AS j WHERE job = ?1 AND fate <> 'begun'
                 AND NOT EXISTS (SELECT 1 FROM runs WHERE job = ?1 AND cycle = j.cycle AND whole
                                 AND status IN ('succeeded', 'rejected'))
                 ORDER BY decided_at DESC, cycle DESC LIMIT ?2",
            );
            rows.bind(job)
                .bind(cycles_max)
                .fetch_all(connection)
                .await?
                .iter()
                .map(passed_over_entry)
                .collect()
        })
        .await
    }

    /// A gate of the job opened, and no run followed.
    pub(crate) async fn gate_opened_for_nothing(
        &self,
        job: &str,
        opened_at: DateTime<Utc>,
        reason: &str,
    ) -> Result<(), LedgerError> {
        self.write("record a gate in", async |connection| {
            let insert = sqlx::query("INSERT OR IGNORE INTO gates (job, opened_at, reason) VALUES (?, ?, ?)");
            insert.bind(job).bind(moment_text(opened_at)).bind(reason).execute(&mut *connection).await?;
            let delete = sqlx::query(
                "DELETE FROM gates WHERE job = ?1 AND opened_at <=
                 (SELECT opened_at FROM gates WHERE job = ?1 ORDER BY opened_at DESC LIMIT 1 OFFSET ?2)",
            );
            delete.bind(job).bind(GATES_KEPT).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// The latest gates of the job that opened for nothing, newest first.
    pub(crate) async fn gates(
        &self,
        job: &str,
        gates_max: u32,
    ) -> Result<Vec<GateEntry>, LedgerError> {
        self.read(async |connection| {
            let rows =
                sqlx::query("SELECT * FROM gates WHERE job = ? ORDER BY opened_at DESC LIMIT ?");
            let rows = rows.bind(job).bind(gates_max).fetch_all(connection).await?;
            let entry = |row: &SqliteRow| {
                Ok(GateEntry {
                    opened_at: moment(row.try_get("opened_at")?)?,
                    reason: row.try_get("reason")?,
                })
            };
            rows.iter().map(entry).collect()
        })
        .await
    }

    /// What a dashboard said when it was looked at, in one line.
    pub(crate) async fn watched(
        &self,
        dashboard: &str,
        at: DateTime<Utc>,
        saw: &str,
    ) -> Result<(), LedgerError> {
        self.write("record a look at a dashboard in", async |connection| {
            let insert = sqlx::query(
                "INSERT OR REPLACE INTO watches (dashboard, looked_at, saw) VALUES (?, ?, ?)",
            );
            insert
                .bind(dashboard)
                .bind(moment_text(at))
                .bind(saw)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// What each dashboard said last, by name.
    pub(crate) async fn watches(&self) -> Result<Vec<Watch>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query("SELECT * FROM watches ORDER BY dashboard")
                .fetch_all(connection)
                .await?;
            let watch = |row: &SqliteRow| {
                Ok(Watch {
                    dashboard: row.try_get("dashboard")?,
                    looked_at: moment(row.try_get("looked_at")?)?,
                    saw: row.try_get("saw")?,
                })
            };
            rows.iter().map(watch).collect()
        })
        .await
    }

    /// A process serves, and is alive at `at`.
    pub(crate) async fn serving(
        &self,
        server: &Server,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.write("record who serves in", async |connection| {
            let insert = sqlx::query(
                "INSERT OR REPLACE INTO servers
                     (server, process, host, since, watching_since, absent_since, version, updated_at)
                 VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
            );
            let insert = insert
                .bind(server.process)
                .bind(server.host.as_deref())
                .bind(moment_text(server.since))
                .bind(moment_text(server.watching_since))
                .bind(server.absent_since.map(moment_text));
            insert
                .bind(&server.version)
                .bind(moment_text(at))
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// The process that serves, or the last that did, and when it last said so.
    pub(crate) async fn server(&self) -> Result<Option<(Server, DateTime<Utc>)>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query("SELECT * FROM servers")
                .fetch_optional(connection)
                .await?;
            row.as_ref().map(server).transpose()
        })
        .await
    }

    /// Claims serving for this process: a second one stands by until the first is gone.
    /// Errors: `AlreadyServing`.
    pub(crate) fn lock_serving(&self) -> Result<ServeLock, LedgerError> {
        ServeLock::take(&self.state_folder)
    }

    /// Whether some process carries out the job now.
    pub(crate) fn is_running(&self, job: &str) -> Result<bool, LedgerError> {
        JobLock::is_held(&self.state_folder, job)
    }

    /// Whether some process serves now.
    pub(crate) fn is_served(&self) -> Result<bool, LedgerError> {
        ServeLock::is_held(&self.state_folder)
    }
}

/// Records that a job's cycle is begun. What was decided of it before no longer holds; attempts of
/// before are not those of now.
pub(super) async fn begun(
    connection: &mut SqliteConnection,
    job: &str,
    cycle: &str,
    at: DateTime<Utc>,
) -> Answer<()> {
    let insert = sqlx::query(
        "INSERT INTO job_cycles (job, cycle, fate, decided_at) VALUES (?, ?, 'begun', ?)
         ON CONFLICT (job, cycle) DO UPDATE SET
             attempts = CASE fate WHEN 'begun' THEN attempts ELSE 0 END,
             decided_at = CASE fate WHEN 'begun' THEN decided_at ELSE excluded.decided_at END,
             fate = 'begun', by_cycle = NULL, attempted_at = NULL",
    );
    insert
        .bind(job)
        .bind(cycle)
        .bind(moment_text(at))
        .execute(connection)
        .await?;
    Ok(())
}

async fn see_cycle(
    connection: &mut SqliteConnection,
    dashboard: &str,
    cycle: &Cycle,
    noticed_at: DateTime<Utc>,
) -> Answer<Noticed> {
    if let Some(known) = cycle_named(connection, dashboard, &cycle.id).await? {
        return Ok(known);
    }
    if cycle.completed_at > noticed_at {
        warn!(dashboard, cycle = %cycle.id, completed_at = %cycle.completed_at,
            "a cycle is said to complete in the future; it counts as completed now");
    }
    let completed_at = believable(connection, dashboard, cycle, noticed_at).await?;
    let insert = sqlx::query(
        "INSERT INTO cycles (dashboard, cycle, completed_at, noticed_at) VALUES (?, ?, ?, ?)",
    );
    let insert = insert
        .bind(dashboard)
        .bind(&cycle.id)
        .bind(moment_text(completed_at))
        .bind(moment_text(noticed_at));
    insert.execute(&mut *connection).await?;
    forget_old_cycles(connection, dashboard).await?;
    Ok(Noticed {
        cycle: Cycle {
            id: cycle.id.clone(),
            completed_at,
        },
        noticed_at,
        new: true,
    })
}

/// When a cycle is taken to have completed. One dated in the future would keep all that come before
/// that date from being written back, so it counts as completed when it was noticed; but not as
/// older than those known already, which the future holds only if this machine's clock was set
/// back.
async fn believable(
    connection: &mut SqliteConnection,
    dashboard: &str,
    cycle: &Cycle,
    noticed_at: DateTime<Utc>,
) -> Answer<DateTime<Utc>> {
    if cycle.completed_at <= noticed_at {
        return Ok(cycle.completed_at);
    }
    let newest = sqlx::query_scalar::<_, Option<String>>(
        "SELECT max(completed_at) FROM cycles WHERE dashboard = ?",
    );
    let newest = newest.bind(dashboard).fetch_one(&mut *connection).await?;
    let newest = newest
        .as_deref()
        .map(moment)
        .transpose()?
        .unwrap_or(noticed_at);
    Ok(cycle.completed_at.min(noticed_at.max(newest)))
}

/// Forgets a dashboard's oldest cycles beyond [`CYCLES_KEPT`], and what jobs decided about them
/// without a run.
async fn forget_old_cycles(connection: &mut SqliteConnection, dashboard: &str) -> Answer<()> {
    let old = sqlx::query_scalar::<_, i64>(
        "SELECT position FROM cycles WHERE dashboard = ? ORDER BY completed_at DESC, position DESC LIMIT -1 OFFSET ?",
    );
    for position in old
        .bind(dashboard)
        .bind(CYCLES_KEPT)
        .fetch_all(&mut *connection)
        .await?
    {
        for statement in [
            "DELETE FROM job_cycles WHERE fate <> 'begun' AND cycle = (SELECT cycle FROM cycles WHERE position = ?)",
            "DELETE FROM cycles WHERE position = ?",
        ] {
            sqlx::query(statement)
                .bind(position)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

async fn cycle_named(
    connection: &mut SqliteConnection,
    dashboard: &str,
    id: &str,
) -> Answer<Option<Noticed>> {
    let known = sqlx::query("SELECT * FROM cycles WHERE dashboard = ? AND cycle = ?")
        .bind(dashboard)
        .bind(id);
    known
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(noticed_before)
        .transpose()
}

pub(super) fn noticed_before(row: &SqliteRow) -> Answer<Noticed> {
    Ok(Noticed {
        cycle: cycle(row)?,
        noticed_at: moment(row.try_get("noticed_at")?)?,
        new: false,
    })
}

fn cycle(row: &SqliteRow) -> Answer<Cycle> {
    Ok(Cycle {
        id: row.try_get("cycle")?,
        completed_at: moment(row.try_get("completed_at")?)?,
    })
}

/// The newest cycle that a job has begun, as [`Ledger::newest_begun_cycle`] tells it.
struct Fence {
    cycle: Cycle,
    noticed_at: DateTime<Utc>,
}

/// What becomes of cycles that completed later than now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Ignored,
    /// They have a place among the dashboard's others, by when they were noticed.
    Placed,
}

async fn fence(
    connection: &mut SqliteConnection,
    job: &str,
    dashboard: Option<&str>,
    ahead: Ahead,
    now: DateTime<Utc>,
) -> Answer<Option<Fence>> {
    // Runs of earlier versions may say that their cycle completed after they began.
    let newest = sqlx::query(concat!(
        placed_cycles!(),
        " SELECT runs.cycle AS cycle, coalesce(placed.noticed_at, started_at) AS noticed_at,
                coalesce(placed.completed_at, min(cycle_completed_at, started_at)) AS completed_at
         FROM runs LEFT JOIN placed ON placed.cycle = runs.cycle
         WHERE job = ?3 AND requests_on IS NULL AND ((?4 AND placed.cycle IS NOT NULL)
                             OR coalesce(placed.told_at, min(cycle_completed_at, started_at)) <= ?1)
         ORDER BY 3 DESC, placed.position DESC, run DESC LIMIT 1"
    ));
    let newest = newest
        .bind(moment_text(now))
        .bind(dashboard)
        .bind(job)
        .bind(ahead == Ahead::Placed);
    let row = newest.fetch_optional(connection).await?;
    let fence = |row: &SqliteRow| {
        Ok(Fence {
            cycle: cycle(row)?,
            noticed_at: moment(row.try_get("noticed_at")?)?,
        })
    };
    row.as_ref().map(fence).transpose()
}

fn job_cycle(row: &SqliteRow) -> Answer<JobCycle> {
    Ok(JobCycle {
        cycle: cycle(row)?,
        noticed_at: moment(row.try_get("noticed_at")?)?,
        fate: stored_fate(row)?,
    })
}

/// What a row of a job's cycle and its latest run tells of them.
pub(super) fn stored_fate(row: &SqliteRow) -> Answer<StoredFate> {
    let attempts: u32 = row
        .try_get::<Option<i64>, _>("attempts")?
        .map_or(Ok(0), |_| count(row, "attempts"))?;
    let fate: Option<&str> = row.try_get("fate")?;
    if row.try_get("delivered")? {
        return Ok(StoredFate::Delivered);
    }
    match fate {
        None => Ok(StoredFate::New),
        Some("begun") => fate_of_runs(row, attempts),
        Some("superseded") => Ok(StoredFate::Superseded),
        Some("expired") => Ok(StoredFate::Expired),
        Some("missed") => Ok(StoredFate::Missed),
        Some("given_up") => Ok(StoredFate::GivenUp { attempts }),
        Some(fate) => Err(unknown_fate(fate)),
    }
}

/// What the latest run tells of a cycle that was begun and not delivered, and the attempts that
/// failed since.
fn fate_of_runs(row: &SqliteRow, attempts: u32) -> Answer<StoredFate> {
    let attempted_at = row
        .try_get::<Option<&str>, _>("attempted_at")?
        .map(moment)
        .transpose()?;
    let finished_at = row
        .try_get::<Option<&str>, _>("finished_at")?
        .map(moment)
        .transpose()?;
    let status = row
        .try_get::<Option<&str>, _>("status")?
        .map(RunStatus::named)
        .transpose()?;
    let interrupted = row
        .try_get::<Option<bool>, _>("interrupted")?
        .unwrap_or(false);
    // A run that failed without a word of its attempt is an attempt all the same: the process died
    // in between.
    let failing = |at: DateTime<Utc>| StoredFate::Failing {
        attempts: attempts.max(1),
        last: at,
    };
    Ok(match (status, attempted_at) {
        (Some(RunStatus::Guarded), _) => StoredFate::Guarded,
        (_, Some(attempted_at)) => failing(attempted_at),
        (Some(RunStatus::Running), None) => StoredFate::Interrupted,
        (Some(RunStatus::Failed), None) if interrupted => StoredFate::Interrupted,
        (Some(RunStatus::Failed), None) => match finished_at {
            Some(finished_at) => failing(finished_at),
            None => return Err(Fault::Contents("a run failed and did not end".to_owned())),
        },
        // Only one of its write-backs was run.
        (None | Some(RunStatus::Succeeded | RunStatus::Rejected | RunStatus::NothingNew), None) => {
            StoredFate::New
        }
    })
}

fn unknown_fate(fate: &str) -> Fault {
    Fault::Contents(format!("no cycle has the fate `{fate}`"))
}

async fn pass_over(
    connection: &mut SqliteConnection,
    job: &str,
    passed: &PassedOver,
    at: DateTime<Utc>,
) -> Answer<()> {
    let (fate, by, attempts) = match &passed.why {
        PassedOverWhy::Superseded { by } => ("superseded", Some(by.as_str()), None),
        PassedOverWhy::Expired => ("expired", None, None),
        PassedOverWhy::Missed => ("missed", None, None),
        PassedOverWhy::GivenUp { attempts } => ("given_up", None, Some(*attempts)),
    };
    let insert = sqlx::query(
        "INSERT INTO job_cycles (job, cycle, fate, by_cycle, attempts, decided_at)
         VALUES (?1, ?2, ?3, ?4, coalesce(?5, 0), ?6)
         ON CONFLICT (job, cycle) DO UPDATE SET fate = excluded.fate, by_cycle = excluded.by_cycle,
             attempts = coalesce(?5, attempts), decided_at = excluded.decided_at",
    );
    let insert = insert
        .bind(job)
        .bind(&passed.cycle)
        .bind(fate)
        .bind(by)
        .bind(attempts);
    insert.bind(moment_text(at)).execute(connection).await?;
    Ok(())
}

fn passed_over_entry(row: &SqliteRow) -> Answer<PassedOverEntry> {
    let why = match row.try_get("fate")? {
        "superseded" => {
            let by = row.try_get::<Option<String>, _>("by_cycle")?;
            let by =
                by.ok_or_else(|| Fault::Contents("a cycle was superseded by none".to_owned()))?;
            PassedOverWhy::Superseded { by }
        }
        "expired" => PassedOverWhy::Expired,
        "missed" => PassedOverWhy::Missed,
        "given_up" => PassedOverWhy::GivenUp {
            attempts: count(row, "attempts")?,
        },
        fate => return Err(unknown_fate(fate)),
    };
    Ok(PassedOverEntry {
        passed: PassedOver {
            cycle: row.try_get("cycle")?,
            why,
        },
        decided_at: moment(row.try_get("decided_at")?)?,
        error: row.try_get("error")?,
    })
}

fn server(row: &SqliteRow) -> Answer<(Server, DateTime<Utc>)> {
    let since = moment(row.try_get("since")?)?;
    let instant = |name| {
        let text: Option<&str> = row.try_get(name)?;
        text.map(moment).transpose()
    };
    let server = Server {
        process: count(row, "process")?,
        host: row.try_get("host")?,
        since,
        watching_since: instant("watching_since")?.unwrap_or(since),
        absent_since: instant("absent_since")?,
        version: row.try_get("version")?,
    };
    Ok((server, moment(row.try_get("updated_at")?)?))
}

#[cfg(test)]
mod tests;
