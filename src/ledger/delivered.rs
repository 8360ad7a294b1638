//! What was delivered of a cycle: by which run, of which version of a write-back, and whether it
//! was taken back since.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::error::{Answer, LedgerError};
use super::sqlite::Ledger;
use crate::domain::job::WriteBack;

/// A write-back in one of its versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Versioned<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}

impl<'a> Versioned<'a> {
    pub(crate) fn of(write_back: &'a WriteBack) -> Self {
        Self {
            name: &write_back.name,
            version: &write_back.version,
        }
    }
}

impl Ledger {
    /// The run that delivered a cycle of a job, if each of these write-backs was delivered in this
    /// very version and nobody took it back since; the latest, if several did.
    pub(crate) async fn delivered_by(
        &self,
        job: &str,
        cycle: &str,
        write_backs: &[Versioned<'_>],
    ) -> Result<Option<i64>, LedgerError> {
        self.read(async |connection| {
            let mut latest = None;
            for write_back in write_backs {
                let Some(run) = delivering_run(connection, job, cycle, *write_back).await? else {
                    return Ok(None);
                };
                if is_taken_back(&undos(connection, job, write_back.name).await?, run) {
                    return Ok(None);
                }
                latest = latest.max(Some(run));
            }
            Ok(latest)
        })
        .await
    }

    /// The latest run that delivered all of a cycle, whether somebody took it back since or not.
    pub(crate) async fn whole_delivery(
        &self,
        job: &str,
        cycle: &str,
    ) -> Result<Option<i64>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query(
                "SELECT max(run) AS run FROM runs
                 WHERE job = ?1 AND cycle = ?2 AND whole AND status IN ('succeeded', 'rejected')",
            );
            let row = row.bind(job).bind(cycle).fetch_one(connection).await?;
            Ok(row.try_get("run")?)
        })
        .await
    }
}

/// The latest run of a write-back's records of a cycle, if it finished and was of this version.
async fn delivering_run(
    connection: &mut SqliteConnection,
    job: &str,
    cycle: &str,
    write_back: Versioned<'_>,
) -> Answer<Option<i64>> {
    let row = sqlx::query(
        "SELECT runs.run, version IS ?4 AND status IN ('succeeded', 'rejected') AS delivered
         FROM write_backs AS w JOIN runs USING (run)
         WHERE job = ?1 AND cycle = ?2 AND name = ?3 AND retry_of IS NULL AND undo_of IS NULL AND plan IS NULL
         ORDER BY runs.run DESC LIMIT 1",
    );
    let row = row
        .bind(job)
        .bind(cycle)
        .bind(write_back.name)
        .bind(write_back.version)
        .fetch_optional(connection)
        .await?;
    match row {
        Some(row) if row.try_get("delivered")? => Ok(Some(row.try_get("run")?)),
        _ => Ok(None),
    }
}

/// Undos of a write-back that finished, each with the run that it took back.
async fn undos(
    connection: &mut SqliteConnection,
    job: &str,
    write_back: &str,
) -> Answer<BTreeMap<i64, i64>> {
    let rows = sqlx::query(
        "SELECT run, undo_of FROM runs
         WHERE job = ?1 AND undo_of IS NOT NULL AND NOT of_records AND status IN ('succeeded', 'rejected')
           AND (write_back IS NULL OR write_back = ?2)",
    );
    let pair = |row: &SqliteRow| Ok((row.try_get("run")?, row.try_get("undo_of")?));
    let rows = rows
        .bind(job)
        .bind(write_back)
        .fetch_all(connection)
        .await?;
    rows.iter().map(pair).collect()
}

/// Whether an undo of the run stands that was not undone itself. An undo is younger than what it
/// takes back, so the question comes to an end.
fn is_taken_back(undos: &BTreeMap<i64, i64>, run: i64) -> bool {
    undos
        .iter()
        .any(|(undo, of)| *of == run && *undo > run && !is_taken_back(undos, *undo))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_stays_so_until_that_is_taken_back() {
        let undos = |pairs: &[(i64, i64)]| pairs.iter().copied().collect();
        assert!(!is_taken_back(&undos(&[]), 1));
        assert!(is_taken_back(&undos(&[(2, 1)]), 1));
        assert!(!is_taken_back(&undos(&[(2, 1), (3, 2)]), 1));
        assert!(is_taken_back(&undos(&[(2, 1), (3, 2), (4, 1)]), 1));
        assert!(!is_taken_back(&undos(&[(2, 1)]), 2));
        assert!(!is_taken_back(&undos(&[(1, 1)]), 1), "no run undoes itself");
    }
}
