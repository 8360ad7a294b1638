//! The ledger's account of cycles: those that dashboards finished, what became of each of them for
//! each job, gates that opened for nothing, and what the scheduler tells of itself. Whether a job
//! is due is not decided here.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tracing::warn;

use super::codec::{count, json_text, moment, moment_text};
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

/// Cycles that a job did not write back, newest decision first, and gates that opened for nothing,
/// newest first.
#[derive(Debug, Default)]
pub(crate) struct ForNothing {
    pub(crate) cycles: Vec<PassedOverEntry>,
    pub(crate) gates: Vec<GateEntry>,
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

/// What is asked (`?2`: a JSON array of pairs, each a job and the dashboard that it follows or NULL),
/// and cycles of dashboards as they are ordered at a time (`?1`): one that completed later
/// than now was noticed while this machine's clock was ahead, and stands before all that were
/// noticed after it.
macro_rules! placed_cycles {
    () => {
        "WITH asked AS (SELECT value ->> 0 AS job, value ->> 1 AS dashboard FROM json_each(?2)),
         placed AS NOT MATERIALIZED (
             SELECT dashboard, position, cycle, noticed_at, completed_at AS told_at,
                    CASE WHEN completed_at <= ?1 THEN completed_at
                         ELSE min(?1, coalesce((SELECT min(later.completed_at) FROM cycles AS later
                                                WHERE later.dashboard = cycles.dashboard
                                                      AND later.position > cycles.position), ?1)) END AS completed_at
             FROM cycles)"
    };
}

/// As `placed_cycles`, and the newest cycle that each job has begun, if any: its fence. A cycle that
/// completed later than now has its place if `?3` holds and its dashboard finished it, and counts
/// for nothing else. Runs of earlier versions may say that their cycle completed after they began.
macro_rules! fences {
    () => {
        concat!(
            placed_cycles!(),
            ", fences AS MATERIALIZED (
                 SELECT asked.job AS job, asked.dashboard AS dashboard, runs.cycle AS cycle,
                        coalesce(placed.noticed_at, started_at) AS noticed_at,
                        coalesce(placed.completed_at, min(cycle_completed_at, started_at)) AS completed_at
                 FROM asked JOIN runs ON run = (
                          SELECT run FROM runs AS begun
                          LEFT JOIN placed AS own ON own.dashboard = asked.dashboard AND own.cycle = begun.cycle
                          WHERE begun.job = asked.job AND requests_on IS NULL
                                AND ((?3 AND own.cycle IS NOT NULL)
                                     OR coalesce(own.told_at, min(cycle_completed_at, started_at)) <= ?1)
                          ORDER BY coalesce(own.completed_at, min(cycle_completed_at, started_at)) DESC,
                                   own.position DESC, run DESC LIMIT 1)
                      LEFT JOIN placed ON placed.dashboard = asked.dashboard AND placed.cycle = runs.cycle)"
        )
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
        let mut newest = self.newest_cycles(&[dashboard], now).await?;
        Ok(newest.remove(dashboard))
    }

    /// As [`Ledger::newest_cycle`], of several dashboards, by dashboard.
    pub(crate) async fn newest_cycles(
        &self,
        dashboards: &[&str],
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, Noticed>, LedgerError> {
        let asked: Vec<_> = dashboards.iter().map(|one| ((), one)).collect();
        self.read(async |connection| {
            let newest = sqlx::query(concat!(
                placed_cycles!(),
                " SELECT placed.dashboard AS dashboard, cycle, told_at AS completed_at, noticed_at
                  FROM asked JOIN placed ON position = (
                      SELECT position FROM placed AS newest WHERE newest.dashboard = asked.dashboard
                      ORDER BY newest.completed_at DESC, position DESC LIMIT 1)"
            ));
            let newest = newest.bind(moment_text(now)).bind(json_text(&asked)?);
            let rows = newest.fetch_all(connection).await?;
            let of_dashboard =
                |row: &SqliteRow| Ok((row.try_get("dashboard")?, noticed_before(row)?));
            rows.iter().map(of_dashboard).collect()
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
            let fence = sqlx::query(concat!(fences!(), " SELECT * FROM fences"));
            let fence = fence
                .bind(moment_text(now))
                .bind(json_text(&[(job, dashboard)])?)
                .bind(false);
            let row = fence.fetch_optional(connection).await?;
            row.as_ref().map(cycle).transpose()
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
        let mut cycles = self.cycles_of_jobs(&[(job, dashboard)], now).await?;
        Ok(cycles.remove(job).unwrap_or_default())
    }

    /// As [`Ledger::job_cycles`], of several jobs, each with the dashboard that it follows, by job.
    pub(crate) async fn cycles_of_jobs(
        &self,
        jobs: &[(&str, &str)],
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, Vec<JobCycle>>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(concat!(
                fences!(),
                ", known AS (
                     SELECT asked.job AS job, position, cycle, completed_at, noticed_at
                     FROM asked JOIN placed ON placed.dashboard = asked.dashboard
                     UNION ALL
                     SELECT job, 0, cycle, completed_at, noticed_at FROM fences
                     WHERE NOT EXISTS (SELECT 1 FROM placed WHERE placed.dashboard = fences.dashboard
                                       AND placed.cycle = fences.cycle))
                 SELECT * FROM (
                     SELECT known.job AS of_job, known.cycle AS cycle, known.completed_at AS completed_at,
                            known.noticed_at AS noticed_at, fate, attempts, attempted_at,
                            status, interrupted, finished_at,
                            EXISTS (SELECT 1 FROM runs AS done WHERE done.job = known.job AND done.cycle = known.cycle
                                    AND done.whole AND done.status IN ('succeeded', 'rejected')) AS delivered,
                            row_number() OVER (PARTITION BY known.job
                                               ORDER BY known.completed_at DESC, position DESC) AS place
                     FROM known
                     LEFT JOIN fences ON fences.job = known.job
                     LEFT JOIN job_cycles ON job_cycles.job = known.job AND job_cycles.cycle = known.cycle
                     LEFT JOIN runs ON runs.run = (SELECT max(run) FROM runs AS latest WHERE latest.job = known.job
                                                   AND latest.cycle = known.cycle AND latest.whole)
                     WHERE fences.job IS NULL OR known.completed_at >= fences.completed_at OR fate IS NULL)
                 WHERE place <= ?4 ORDER BY of_job, place DESC"
            ));
            let rows = rows
                .bind(moment_text(now))
                .bind(json_text(jobs)?)
                .bind(true)
                .bind(JOB_CYCLES_MAX);
            let mut all: HashMap<String, Vec<JobCycle>> = HashMap::new();
            for row in &rows.fetch_all(connection).await? {
                let cycles = all.entry(row.try_get("of_job")?).or_default();
                cycles.push(job_cycle(row)?);
            }
            Ok(all)
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

    /// What came to nothing of each of several jobs, by job: the latest cycles and gates, `each_max`
    /// of both at most.
    pub(crate) async fn for_nothing_of(
        &self,
        jobs: &[&str],
        each_max: u32,
    ) -> Result<HashMap<String, ForNothing>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "WITH asked AS (SELECT value AS job FROM json_each(?1))
                 SELECT * FROM (
                     SELECT job, decided_at AS at, cycle, fate, by_cycle, attempts, error, NULL AS reason,
                            row_number() OVER (PARTITION BY job ORDER BY decided_at DESC, cycle DESC) AS place
                     FROM job_cycles AS j WHERE job IN (SELECT job FROM asked) AND fate <> 'begun'
                     AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.job = j.job AND cycle = j.cycle AND whole
                                     AND status IN ('succeeded', 'rejected'))
                     UNION ALL
                     SELECT job, opened_at, NULL, NULL, NULL, NULL, NULL, reason,
                            row_number() OVER (PARTITION BY job ORDER BY opened_at DESC)
                     FROM gates WHERE job IN (SELECT job FROM asked))
                 WHERE place <= ?2 ORDER BY job, place",
            );
            let rows = rows.bind(json_text(jobs)?).bind(each_max);
            let mut all: HashMap<String, ForNothing> = HashMap::new();
            for row in &rows.fetch_all(connection).await? {
                let found = all.entry(row.try_get("job")?).or_default();
                match row.try_get("reason")? {
                    Some(reason) => found.gates.push(GateEntry {
                        opened_at: moment(row.try_get("at")?)?,
                        reason,
                    }),
                    None => found.cycles.push(passed_over_entry(row)?),
                }
            }
            Ok(all)
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
        decided_at: moment(row.try_get("at")?)?,
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
