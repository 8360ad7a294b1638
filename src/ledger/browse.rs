//! What people who look through the ledger ask of it, a page at a time: runs, rejected records and
//! cycles. Each page says where it ends, and the next begins there.

use std::collections::BTreeSet;

use sqlx::Row as _;

use super::codec::{count, json_text, kept};
use super::counted::{self, RejectionGroup};
use super::cycles::{self, Noticed};
use super::error::{Fault, LedgerError};
use super::history::{self, RUN_COLUMNS, RunEntry};
use super::parts::WriteBackId;
use super::rejections;
use super::sqlite::Ledger;
use super::status::RunStatus;
use crate::database::audited;
use crate::domain::outcome::{Rejection, Stage};

/// Which runs are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RunsWanted<'a> {
    pub(crate) job: Option<&'a str>,
    /// Only runs of this job and of its agencies.
    pub(crate) within: Option<&'a str>,
    pub(crate) status: Option<RunStatus>,
    pub(crate) cycle: Option<&'a str>,
    /// Only runs before this one.
    pub(crate) before: Option<i64>,
}

/// Which rejected records are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RejectedWanted<'a> {
    pub(crate) stage: Option<Stage>,
    pub(crate) column: Option<&'a str>,
    /// The whole reason.
    pub(crate) reason: Option<&'a str>,
    /// Stands in the key or in the reason, in whatever case.
    pub(crate) text: Option<&'a str>,
}

/// Where a rejected record stands that is wanted; parameters `?1` its write-back, `?2` stage, `?3`
/// column, `?4` reason, `?5` text.
const WANTED: &str = "FROM rejections WHERE write_back = ?1 AND (?2 IS NULL OR stage = ?2)
     AND (?3 IS NULL OR \"column\" = ?3) AND (?4 IS NULL OR reason = ?4)
     AND (?5 IS NULL OR instr(lower(coalesce(key, '')), lower(?5)) > 0 OR instr(lower(reason), lower(?5)) > 0)";

impl Ledger {
    /// Runs that are wanted, newest first, `runs_max` at most.
    pub(crate) async fn runs_wanted(
        &self,
        wanted: RunsWanted<'_>,
        runs_max: u32,
    ) -> Result<Vec<RunEntry>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(audited(format!(
                "SELECT {RUN_COLUMNS} FROM runs
                 WHERE (?1 IS NULL OR job = ?1) AND (?2 IS NULL OR status = ?2)
                 AND (?3 IS NULL OR cycle = ?3) AND (?4 IS NULL OR run < ?4)
                 AND (?6 IS NULL OR job = ?6 OR substr(job, 1, length(?6) + 1) = ?6 || '/')
                 ORDER BY run DESC LIMIT ?5",
            )));
            let rows = rows
                .bind(wanted.job)
                .bind(wanted.status.map(RunStatus::name))
                .bind(wanted.cycle)
                .bind(wanted.before)
                .bind(runs_max)
                .bind(wanted.within)
                .fetch_all(&mut *connection)
                .await?;
            history::run_entries(connection, &rows).await
        })
        .await
    }

    /// Rejected records of a write-back by what is wrong with them, the most frequent first,
    /// `groups_max` at most.
    pub(crate) async fn rejection_groups(
        &self,
        id: WriteBackId,
        groups_max: u32,
    ) -> Result<Vec<RejectionGroup>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query(
                "SELECT write_back, rejected_for FROM write_backs WHERE run = ? AND position = ?",
            );
            let row = row.bind(id.run).bind(id.position);
            let row = row.fetch_optional(&mut *connection).await?;
            let row = row.ok_or(Fault::NoSuchRun(id.run))?;
            counted::groups_of(connection, &row, groups_max).await
        })
        .await
    }

    /// As [`Ledger::rejection_groups`], of several runs' write-backs, each by the run's number and
    /// its own name.
    pub(crate) async fn rejection_groups_of(
        &self,
        write_backs: &[(i64, &str)],
        groups_max: u32,
    ) -> Result<Vec<((i64, String), Vec<RejectionGroup>)>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT run, name, write_back, rejected_for FROM json_each(?) AS asked
                 JOIN write_backs ON run = asked.value ->> 0 AND name = asked.value ->> 1",
            );
            let rows = rows.bind(json_text(write_backs)?);
            let mut all = Vec::new();
            for row in &rows.fetch_all(&mut *connection).await? {
                let groups = counted::groups_of(connection, row, groups_max).await?;
                all.push(((row.try_get("run")?, row.try_get("name")?), groups));
            }
            Ok(all)
        })
        .await
    }

    /// Rejected records of a write-back that are wanted, in order of position after position
    /// `after`, `rejections_max` at most.
    pub(crate) async fn rejections_wanted(
        &self,
        id: WriteBackId,
        wanted: RejectedWanted<'_>,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let after = after.map_or(Ok(-1), kept)?;
            let sql = format!(
                "SELECT record, key, stage, \"column\", value, reason, others, xxh3 {WANTED} AND record > ?6 ORDER BY record LIMIT ?7"
            );
            let found = sqlx::query(crate::database::audited(sql));
            let found = found
                .bind(write_back)
                .bind(wanted.stage.map(Stage::name))
                .bind(wanted.column)
                .bind(wanted.reason)
                .bind(wanted.text);
            let found = found.bind(after).bind(rejections_max).fetch_all(connection).await?;
            found.iter().map(rejections::rejection).collect()
        })
        .await
    }

    /// The match keys of a write-back's rejected records that are wanted, as far as they have one.
    pub(crate) async fn rejected_keys(
        &self,
        id: WriteBackId,
        wanted: RejectedWanted<'_>,
    ) -> Result<BTreeSet<String>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let sql = format!("SELECT DISTINCT key {WANTED} AND key IS NOT NULL");
            let found = sqlx::query_scalar(crate::database::audited(sql));
            let found = found
                .bind(write_back)
                .bind(wanted.stage.map(Stage::name))
                .bind(wanted.column)
                .bind(wanted.reason)
                .bind(wanted.text);
            let keys: Vec<String> = found.fetch_all(connection).await?;
            Ok(keys.into_iter().collect())
        })
        .await
    }

    /// How many rejected records of a write-back are wanted.
    pub(crate) async fn count_rejections(
        &self,
        id: WriteBackId,
        wanted: RejectedWanted<'_>,
    ) -> Result<u64, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let sql = format!("SELECT count(*) AS records {WANTED}");
            let counted = sqlx::query(crate::database::audited(sql));
            let counted = counted
                .bind(write_back)
                .bind(wanted.stage.map(Stage::name))
                .bind(wanted.column)
                .bind(wanted.reason)
                .bind(wanted.text);
            count(&counted.fetch_one(connection).await?, "records")
        })
        .await
    }

    /// The cycles of a dashboard that were noticed last, newest first.
    pub(crate) async fn cycles_noticed(
        &self,
        dashboard: &str,
        cycles_max: u32,
    ) -> Result<Vec<Noticed>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT * FROM cycles WHERE dashboard = ? ORDER BY completed_at DESC, position DESC LIMIT ?",
            );
            let rows = rows.bind(dashboard).bind(cycles_max).fetch_all(connection).await?;
            rows.iter().map(cycles::noticed_before).collect()
        })
        .await
    }
}
