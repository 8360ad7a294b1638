//! The ledger's account of parked records: which ones people parked, and which ones runs left
//! alone.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};

use super::codec::{count, kept, moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::parts::WriteBackId;
use super::sqlite::Ledger;
use crate::domain::parking::{LeftAlone, Parked, Until};

impl Ledger {
    /// Parks records of a job; what was said of them before no longer holds.
    pub(crate) async fn park(&self, job: &str, records: &[Parked]) -> Result<(), LedgerError> {
        self.write("park a record in", async |connection| {
            for record in records {
                park(connection, job, record).await?;
            }
            Ok(())
        })
        .await
    }

    /// The records of a job that are parked, and that the clock has not ended the parking of at
    /// `now`.
    pub(crate) async fn parked(
        &self,
        job: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Parked>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT * FROM parked WHERE job = ? AND (until IS NULL OR until > ?) ORDER BY write_back, key",
            );
            let rows = rows.bind(job).bind(moment_text(now)).fetch_all(connection).await?;
            rows.iter().map(parked).collect()
        })
        .await
    }

    /// The parked records of a write-back that may be one record, at `now`.
    pub(crate) async fn may_be_parked(
        &self,
        job: &str,
        write_back: &str,
        record: MayBeParked<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Parked>, LedgerError> {
        self.read(async |connection| {
            let rows = record.bind(sqlx::query(MAY_BE_PARKED), job, write_back, now);
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(parked).collect()
        })
        .await
    }

    /// Takes parked records of a job up again. Returns how many were parked.
    pub(crate) async fn lift(&self, job: &str, records: &[Parked]) -> Result<u64, LedgerError> {
        self.write("take up a parked record in", async |connection| {
            let mut lifted = 0;
            for record in records {
                let delete =
                    sqlx::query("DELETE FROM parked WHERE job = ? AND write_back = ? AND key = ?");
                let delete = delete.bind(job).bind(&record.write_back).bind(&record.key);
                lifted += delete.execute(&mut *connection).await?.rows_affected();
            }
            Ok(lifted)
        })
        .await
    }

    /// The values of records changed, which ends their parking; not of those that were parked anew
    /// since.
    pub(crate) async fn end_parking(
        &self,
        job: &str,
        write_back: &str,
        keys: &[String],
    ) -> Result<(), LedgerError> {
        self.write("take up parked records in", async |connection| {
            for key in keys {
                let delete = sqlx::query(
                    "DELETE FROM parked WHERE job = ? AND write_back = ? AND key = ? AND fingerprint IS NOT NULL",
                );
                delete.bind(job).bind(write_back).bind(key).execute(&mut *connection).await?;
            }
            Ok(())
        })
        .await
    }

    /// A run left records of a write-back alone. What their values were is kept for those that are
    /// parked until these change, when they are left alone for the first time. Recording a record
    /// again replaces it.
    pub(crate) async fn record_left_alone(
        &self,
        id: WriteBackId,
        records: &[LeftAlone],
    ) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "record parked records in",
            async |connection, write_back| {
                for record in records {
                    record_left_alone(connection, write_back, record).await?;
                }
                Ok(())
            },
        )
        .await
    }

    /// Why records of a write-back were left alone that are not parked, and how many for each
    /// reason; ids of rows are left out.
    pub(crate) async fn reasons_left_alone(
        &self,
        id: WriteBackId,
    ) -> Result<BTreeMap<String, u64>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let rows = sqlx::query(
                "SELECT CASE instr(reason, ': ') WHEN 0 THEN reason
                        ELSE substr(reason, 1, instr(reason, ': ') - 1) END AS why,
                        count(*) AS records
                 FROM left_alone WHERE write_back = ? AND parked = 0 GROUP BY why ORDER BY why",
            );
            let rows = rows.bind(write_back).fetch_all(connection).await?;
            rows.iter()
                .map(|row| Ok((row.try_get("why")?, count(row, "records")?)))
                .collect()
        })
        .await
    }

    /// The records of a write-back that a run left alone, in order of position, `records_max` at
    /// most.
    pub(crate) async fn left_alone(
        &self,
        id: WriteBackId,
        records_max: u32,
    ) -> Result<Vec<LeftAlone>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let rows = sqlx::query(
                "SELECT * FROM left_alone WHERE write_back = ? ORDER BY record LIMIT ?",
            );
            let rows = rows
                .bind(write_back)
                .bind(records_max)
                .fetch_all(connection)
                .await?;
            rows.iter().map(left_alone).collect()
        })
        .await
    }
}

async fn park(connection: &mut SqliteConnection, job: &str, record: &Parked) -> Answer<()> {
    let until = match record.until {
        Until::Instant(instant) => Some(moment_text(instant)),
        Until::Changed => None,
    };
    let insert = sqlx::query(
        "INSERT INTO parked (job, write_back, key, until, reason, parked_by, parked_at) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (job, write_back, key) DO UPDATE SET
             until = excluded.until, fingerprint = NULL, reason = excluded.reason,
             parked_by = excluded.parked_by, parked_at = excluded.parked_at",
    );
    let insert = insert
        .bind(job)
        .bind(&record.write_back)
        .bind(&record.key)
        .bind(until)
        .bind(&record.reason);
    insert
        .bind(record.parked_by.as_deref())
        .bind(moment_text(record.parked_at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Which parked records of a write-back may be one record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MayBeParked<'a> {
    /// Those with one of these keys.
    As([&'a str; 2]),
    /// Any: its key may be spelt in other ways.
    Anyhow,
}

impl<'a> MayBeParked<'a> {
    /// Binds what [`MAY_BE_PARKED`] takes.
    pub(super) fn bind<'q>(
        self,
        query: Query<'q, Sqlite, SqliteArguments>,
        job: &'q str,
        write_back: &'q str,
        now: DateTime<Utc>,
    ) -> Query<'q, Sqlite, SqliteArguments>
    where
        'a: 'q,
    {
        let (anyhow, [first, second]) = match self {
            Self::As(keys) => (false, keys),
            Self::Anyhow => (true, [""; 2]),
        };
        let query = query.bind(job).bind(write_back).bind(moment_text(now));
        query.bind(anyhow).bind(first).bind(second)
    }
}

/// Parked records of a write-back that may be one, see [`MayBeParked::bind`].
pub(super) const MAY_BE_PARKED: &str = "SELECT * FROM parked
    WHERE job = ? AND write_back = ? AND (until IS NULL OR until > ?) AND (? OR key IN (?, ?)) ORDER BY key";

pub(super) fn parked(row: &SqliteRow) -> Answer<Parked> {
    let until: Option<&str> = row.try_get("until")?;
    Ok(Parked {
        write_back: row.try_get("write_back")?,
        key: row.try_get("key")?,
        until: until.map_or(Ok::<_, Fault>(Until::Changed), |until| {
            Ok(Until::Instant(moment(until)?))
        })?,
        reason: row.try_get("reason")?,
        parked_by: row.try_get("parked_by")?,
        parked_at: moment(row.try_get("parked_at")?)?,
        fingerprint: row.try_get("fingerprint")?,
    })
}

async fn record_left_alone(
    connection: &mut SqliteConnection,
    write_back: i64,
    record: &LeftAlone,
) -> Answer<()> {
    let insert = sqlx::query(
        "INSERT INTO left_alone (write_back, record, key, reason, parked) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (write_back, record) DO UPDATE SET
             key = excluded.key, reason = excluded.reason, parked = excluded.parked",
    );
    let insert = insert
        .bind(write_back)
        .bind(kept(record.record)?)
        .bind(&record.key)
        .bind(&record.reason)
        .bind(record.parked);
    insert.execute(&mut *connection).await?;
    let Some(met) = &record.met else {
        return Ok(());
    };
    let update = sqlx::query(
        "UPDATE parked SET fingerprint = ?1 WHERE key = ?2 AND until IS NULL AND fingerprint IS NULL
         AND (job, write_back) = (SELECT runs.job, w.name FROM write_backs AS w JOIN runs USING (run) WHERE w.write_back = ?3)",
    );
    update
        .bind(&met.fingerprint)
        .bind(&met.key)
        .bind(write_back)
        .execute(connection)
        .await?;
    Ok(())
}

fn left_alone(row: &SqliteRow) -> Answer<LeftAlone> {
    Ok(LeftAlone {
        record: count(row, "record")?,
        key: row.try_get("key")?,
        reason: row.try_get("reason")?,
        parked: row.try_get("parked")?,
        met: None,
    })
}
