//! The ledger's account of guards: what they had against a run, who approved it, and which versions
//! of write-backs are proven.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{json_text, moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::runs::{self, UnfinishedRun, latest_run};
use super::sqlite::Ledger;
use super::status::RunStatus;
use crate::domain::guard::Objection;

/// A person's word that a run goes ahead in spite of the objections to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Approval {
    /// Absent if the system did not tell.
    pub(crate) approved_by: Option<String>,
    pub(crate) approved_at: DateTime<Utc>,
    /// Why, in their words, if they said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// What showed that a version of a write-back does what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// One record was taken the whole way.
    Test,
    /// A run wrote it back.
    Run,
}

impl Proof {
    fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Run => "run",
        }
    }
}

impl Ledger {
    /// Guards stopped a run before its first write. Its packages stand for whoever approves it.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn guard_run(
        &self,
        run: i64,
        objections: &[Objection],
    ) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("record what stopped a run in", async |connection| {
            let why: Vec<String> = objections.iter().map(ToString::to_string).collect();
            runs::finish_run(
                connection,
                run,
                RunStatus::Guarded,
                Some(&why.join("; ")),
                finished_at,
            )
            .await?;
            record_objections(connection, run, objections).await
        })
        .await
    }

    /// The job's latest run, if guards stopped it.
    pub(crate) async fn guarded_run(
        &self,
        job: &str,
    ) -> Result<Option<UnfinishedRun>, LedgerError> {
        self.read(async |connection| {
            latest_run(connection, job, |status, _| status == RunStatus::Guarded).await
        })
        .await
    }

    /// A person approved a run that guards stopped: it is at work again, and no guard is asked any
    /// more. Approving it twice leaves the first word. Errors: `NoSuchRun`.
    pub(crate) async fn approve_run(
        &self,
        run: i64,
        approved_by: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(), LedgerError> {
        let approved_at = Utc::now();
        self.write("record an approval in", async |connection| {
            runs::take_up_run(connection, run, approved_at).await?;
            let insert = sqlx::query(
                "INSERT OR IGNORE INTO approvals (run, approved_by, approved_at, reason) VALUES (?, ?, ?, ?)",
            );
            insert
                .bind(run)
                .bind(approved_by)
                .bind(moment_text(approved_at))
                .bind(reason)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn is_approved(&self, run: i64) -> Result<bool, LedgerError> {
        self.read(async |connection| {
            let known = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM approvals WHERE run = ?)");
            Ok(known.bind(run).fetch_one(connection).await?)
        })
        .await
    }

    /// A run delivered what it was to deliver. It showed that these versions of write-backs, by
    /// their names, work. Errors: `NoSuchRun`.
    pub(crate) async fn deliver_run(
        &self,
        run: i64,
        status: RunStatus,
        versions: &[(&str, &str)],
    ) -> Result<(), LedgerError> {
        let finished_at = Utc::now();
        self.write("finish a run in", async |connection| {
            runs::finish_run(connection, run, status, None, finished_at).await?;
            let job: String = sqlx::query_scalar("SELECT job FROM runs WHERE run = ?")
                .bind(run)
                .fetch_one(&mut *connection)
                .await?;
            record_proofs(connection, &job, versions, Proof::Run, finished_at).await
        })
        .await
    }

    /// A test showed that these versions of the job's write-backs, by their names, work.
    pub(crate) async fn record_test(
        &self,
        job: &str,
        versions: &[(&str, &str)],
    ) -> Result<(), LedgerError> {
        let tested_at = Utc::now();
        self.write("record a test in", async |connection| {
            record_proofs(connection, job, versions, Proof::Test, tested_at).await
        })
        .await
    }

    /// Whether this version of a write-back was tested, or has run.
    pub(crate) async fn is_proven(
        &self,
        job: &str,
        write_back: &str,
        version: &str,
    ) -> Result<bool, LedgerError> {
        self.read(async |connection| {
            let known = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM proofs WHERE job = ? AND write_back = ? AND version = ?)",
            );
            Ok(known.bind(job).bind(write_back).bind(version).fetch_one(connection).await?)
        })
        .await
    }
}

async fn record_proofs(
    connection: &mut SqliteConnection,
    job: &str,
    versions: &[(&str, &str)],
    proof: Proof,
    proven_at: DateTime<Utc>,
) -> Answer<()> {
    for (write_back, version) in versions {
        let insert = sqlx::query(
            "INSERT OR IGNORE INTO proofs (job, write_back, version, proof, proven_at) VALUES (?, ?, ?, ?, ?)",
        );
        let insert = insert
            .bind(job)
            .bind(*write_back)
            .bind(*version)
            .bind(proof.name());
        insert
            .bind(moment_text(proven_at))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn record_objections(
    connection: &mut SqliteConnection,
    run: i64,
    objections: &[Objection],
) -> Answer<()> {
    sqlx::query("DELETE FROM objections WHERE run = ?")
        .bind(run)
        .execute(&mut *connection)
        .await?;
    for (position, objection) in (0_i64..).zip(objections) {
        let told = json_text(objection)?;
        let insert =
            sqlx::query("INSERT INTO objections (run, position, objection) VALUES (?, ?, ?)");
        insert
            .bind(run)
            .bind(position)
            .bind(told)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What guards had against a run when it was last judged, kept also after it was approved; and who
/// approved it.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) objections: Vec<Objection>,
    pub(super) approval: Option<Approval>,
}

/// How runs, of a list of JSON, were judged; nothing of those that nobody had anything against.
pub(super) async fn judgements(
    connection: &mut SqliteConnection,
    runs: &str,
) -> Answer<HashMap<i64, Judgement>> {
    let rows = sqlx::query(
        "SELECT run, position, objection, NULL AS approved_by, NULL AS approved_at, NULL AS reason
         FROM objections WHERE run IN (SELECT value FROM json_each(?1))
         UNION ALL
         SELECT run, NULL, NULL, approved_by, approved_at, reason
         FROM approvals WHERE run IN (SELECT value FROM json_each(?1)) ORDER BY 1, 2",
    );
    let mut all: HashMap<i64, Judgement> = HashMap::new();
    for row in &rows.bind(runs).fetch_all(connection).await? {
        let run: i64 = row.try_get("run")?;
        let judgement = all.entry(run).or_default();
        match row.try_get("objection")? {
            Some(objection) => judgement.objections.push(objection_of(run, objection)?),
            None => judgement.approval = Some(approval(row)?),
        }
    }
    Ok(all)
}

fn objection_of(run: i64, text: &str) -> Answer<Objection> {
    serde_json::from_str(text)
        .map_err(|error| Fault::Contents(format!("run {run} has an objection that {error}")))
}

fn approval(row: &SqliteRow) -> Answer<Approval> {
    Ok(Approval {
        approved_by: row.try_get("approved_by")?,
        approved_at: moment(row.try_get("approved_at")?)?,
        reason: row.try_get("reason")?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;
    use crate::domain::cycle::Cycle;
    use crate::domain::guard::Reason;
    use crate::ledger::NewRun;

    async fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::TempDir::new().unwrap();
        let ledger = Ledger::open(&folder.path().join("state")).await.unwrap();
        (folder, ledger)
    }

    async fn begin(ledger: &Ledger, cycle: &str) -> i64 {
        let cycle = Cycle {
            id: cycle.to_owned(),
            completed_at: Utc::now(),
        };
        let run = NewRun {
            job: "weekly",
            cycle: &cycle,
            started_at: Utc::now(),
            write_backs: vec!["scores"],
            versions: Vec::new(),
            of_records: false,
            job_digest: "digest",
            write_back: None,
            retry_of: None,
            undo_of: None,
            plan: None,
        };
        ledger.begin_run(&run).await.unwrap()
    }

    fn objection() -> Objection {
        Objection {
            write_back: "scores".to_owned(),
            reason: Reason::MinRead {
                records: 0,
                bound: 1,
            },
        }
    }

    #[tokio::test]
    async fn a_guarded_run_waits_until_it_is_approved_and_only_it_is() {
        let (_folder, ledger) = ledger().await;
        let run = begin(&ledger, "W45").await;
        assert_eq!(ledger.guarded_run("weekly").await.unwrap(), None);
        ledger.guard_run(run, &[objection()]).await.unwrap();
        assert_eq!(
            ledger
                .guarded_run("weekly")
                .await
                .unwrap()
                .map(|found| found.run),
            Some(run)
        );
        assert_eq!(
            ledger.unfinished_run("weekly").await.unwrap(),
            None,
            "nothing takes it up by itself"
        );
        assert!(!ledger.is_approved(run).await.unwrap());

        ledger.approve_run(run, Some("ada"), None).await.unwrap();
        ledger.approve_run(run, Some("eve"), None).await.unwrap();
        assert_eq!(ledger.guarded_run("weekly").await.unwrap(), None);
        assert_eq!(
            ledger
                .unfinished_run("weekly")
                .await
                .unwrap()
                .map(|found| found.run),
            Some(run)
        );
        let entry = ledger.run(run).await.unwrap();
        assert_eq!(
            (entry.status, entry.guards),
            (RunStatus::Running, vec![objection()])
        );
        assert_eq!(
            entry
                .approval
                .and_then(|approval| approval.approved_by)
                .as_deref(),
            Some("ada")
        );

        ledger
            .finish_run(run, RunStatus::Succeeded, None)
            .await
            .unwrap();
        let next = begin(&ledger, "W46").await;
        assert!(!ledger.is_approved(next).await.unwrap());
    }

    #[tokio::test]
    async fn a_newer_run_leaves_no_older_one_to_approve() {
        let (_folder, ledger) = ledger().await;
        let run = begin(&ledger, "W45").await;
        ledger.guard_run(run, &[objection()]).await.unwrap();
        let next = begin(&ledger, "W46").await;
        ledger
            .finish_run(next, RunStatus::Succeeded, None)
            .await
            .unwrap();
        assert_eq!(ledger.guarded_run("weekly").await.unwrap(), None);
        assert!(matches!(
            ledger.approve_run(99, None, None).await,
            Err(LedgerError::NoSuchRun { run: 99 })
        ));
        assert!(!ledger.is_approved(99).await.unwrap());
    }

    #[tokio::test]
    async fn a_version_is_proven_for_one_write_back_of_one_job() {
        let (_folder, ledger) = ledger().await;
        ledger
            .record_test("weekly", &[("scores", "v1"), ("notes", "v7")])
            .await
            .unwrap();
        let run = begin(&ledger, "W45").await;
        ledger
            .deliver_run(
                run,
                RunStatus::Succeeded,
                &[("scores", "v1"), ("scores", "v3")],
            )
            .await
            .unwrap();
        assert_eq!(ledger.run(run).await.unwrap().status, RunStatus::Succeeded);
        for version in ["v1", "v3"] {
            assert!(
                ledger.is_proven("weekly", "scores", version).await.unwrap(),
                "{version}"
            );
        }
        for (job, write_back, version) in [
            ("weekly", "scores", "v2"),
            ("daily", "scores", "v1"),
            ("weekly", "notes", "v1"),
        ] {
            assert!(
                !ledger.is_proven(job, write_back, version).await.unwrap(),
                "{job} {write_back} {version}"
            );
        }
    }
}
