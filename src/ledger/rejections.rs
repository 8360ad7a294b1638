//! The ledger's account of rejected records, in a batch or out of one.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{count, json_text, kept};
use super::counted;
use super::error::{Answer, Fault, LedgerError};
use super::parts::WriteBackId;
use super::sqlite::Ledger;
use crate::domain::outcome::{Flaw, Rejection, Stage};

/// Rejections one statement inserts: eleven values each, far below the 32 766 that SQLite binds.
/// Source: <https://www.sqlite.org/limits.html>, section 9.
const REJECTIONS_PER_INSERT: usize = 1_000;

/// Records of a run that were rejected for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReasonCount {
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
    pub(crate) records: u64,
}

impl Ledger {
    /// Adds rejected records of stages `schema`, `mapping` and, for keys that occur twice, `match`.
    /// Recording a record again replaces it.
    pub(crate) async fn record_rejections(
        &self,
        id: WriteBackId,
        rejections: &[Rejection],
    ) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "record rejected records in",
            async |connection, write_back| {
                let kept: Vec<_> = rejections
                    .iter()
                    .map(|rejection| KeptRejection {
                        rejection,
                        batch: None,
                    })
                    .collect();
                insert_rejections(connection, write_back, &kept).await
            },
        )
        .await
    }

    /// Rejected records of a write-back in order of position, `rejections_max` at most, after
    /// position `after`.
    pub(crate) async fn rejections(
        &self,
        id: WriteBackId,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.rejections_of(id, Which::All, after, rejections_max)
            .await
    }

    /// As [`Ledger::rejections`], only those that [`Ledger::record_rejections`] recorded: of
    /// records that are in no batch.
    pub(crate) async fn rejections_outside_batches(
        &self,
        id: WriteBackId,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.rejections_of(id, Which::OutsideBatches, after, rejections_max)
            .await
    }

    /// Why records of a run were rejected: the most frequent reasons first, `reasons_max` at most,
    /// and how many records each of them rejected.
    pub(crate) async fn rejection_reasons(
        &self,
        run: i64,
        reasons_max: u32,
    ) -> Result<Vec<ReasonCount>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT stage, \"column\", reason, count(*) AS records
                 FROM rejections JOIN write_backs USING (write_back) WHERE run = ?
                 GROUP BY stage, \"column\", reason ORDER BY records DESC, \"column\", reason LIMIT ?",
            );
            let rows = rows.bind(run).bind(reasons_max).fetch_all(connection).await?;
            rows.iter()
                .map(|row| {
                    Ok(ReasonCount {
                        column: row.try_get("column")?,
                        reason: row.try_get("reason")?,
                        records: count(row, "records")?,
                    })
                })
                .collect()
        })
        .await
    }

    async fn rejections_of(
        &self,
        id: WriteBackId,
        which: Which,
        after: Option<u64>,
        rejections_max: u32,
    ) -> Result<Vec<Rejection>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let after = after.map_or(Ok(-1), kept)?;
            let rows = sqlx::query(
                "SELECT record, key, stage, \"column\", value, reason, others, xxh3 FROM rejections
         WHERE write_back = ? AND record > ? AND (? OR batch IS NULL) ORDER BY record LIMIT ?",
            );
            let rows = rows
                .bind(write_back)
                .bind(after)
                .bind(which == Which::All)
                .bind(rejections_max);
            rows.fetch_all(connection)
                .await?
                .iter()
                .map(rejection)
                .collect()
        })
        .await
    }
}

/// Which of a write-back's rejected records are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Only those that never came into a batch.
    OutsideBatches,
}

/// A rejected record, and the batch it was in with its place there, if it came that far.
pub(super) struct KeptRejection<'a> {
    pub(super) rejection: &'a Rejection,
    pub(super) batch: Option<(i64, i64)>,
}

pub(super) async fn insert_rejections(
    connection: &mut SqliteConnection,
    write_back: i64,
    rejections: &[KeptRejection<'_>],
) -> Answer<()> {
    if rejections.is_empty() {
        return Ok(());
    }
    counted::forget(connection, write_back).await?;
    for chunk in rejections.chunks(REJECTIONS_PER_INSERT) {
        let records = chunk
            .iter()
            .map(|kept_one| kept(kept_one.rejection.record))
            .collect::<Answer<Vec<i64>>>()?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO rejections \
             (write_back, record, key, stage, \"column\", value, reason, others, batch, batch_index, xxh3) ",
        );
        let others = chunk
            .iter()
            .map(|kept_one| others_text(&kept_one.rejection.others))
            .collect::<Answer<Vec<_>>>()?;
        insert.push_values(
            chunk.iter().zip(records).zip(others),
            |mut values, ((KeptRejection { rejection, batch }, record), others)| {
                values
                    .push_bind(write_back)
                    .push_bind(record)
                    .push_bind(rejection.key.as_deref())
                    .push_bind(rejection.stage.name())
                    .push_bind(rejection.column.as_deref())
                    .push_bind(rejection.value.as_deref())
                    .push_bind(rejection.reason.as_str())
                    .push_bind(others)
                    .push_bind(batch.map(|(batch, _)| batch))
                    .push_bind(batch.map(|(_, index)| index))
                    .push_bind(rejection_digest(rejection));
            },
        );
        insert.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// What was rejected of a batch's earlier sending is so no longer.
pub(super) async fn forget_of_batch(
    connection: &mut SqliteConnection,
    write_back: i64,
    batch: i64,
) -> Answer<()> {
    counted::forget(connection, write_back).await?;
    let delete = sqlx::query("DELETE FROM rejections WHERE batch = ?");
    delete.bind(batch).execute(connection).await?;
    Ok(())
}

pub(super) async fn batch_rejections(
    connection: &mut SqliteConnection,
    batch: i64,
) -> Answer<Vec<(u32, Rejection)>> {
    let rows = sqlx::query("SELECT * FROM rejections WHERE batch = ? ORDER BY batch_index");
    let rows = rows.bind(batch).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((count(row, "batch_index")?, rejection(row)?)))
        .collect()
}

/// Further columns at fault as the ledger keeps them; NULL if there are none.
fn others_text(others: &[Flaw]) -> Answer<Option<String>> {
    match others {
        [] => Ok(None),
        others => json_text(&others).map(Some),
    }
}

pub(super) fn rejection(row: &SqliteRow) -> Answer<Rejection> {
    let others: Option<&str> = row.try_get("others")?;
    let others = others.map(serde_json::from_str).transpose();
    let rejection = Rejection {
        record: count(row, "record")?,
        key: row.try_get("key")?,
        stage: stage_named(row.try_get("stage")?)?,
        column: row.try_get("column")?,
        value: row.try_get("value")?,
        reason: row.try_get("reason")?,
        others: others
            .map_err(|error| Fault::Contents(format!("a rejection's columns: {error}")))?
            .unwrap_or_default(),
    };
    // Earlier versions wrote none.
    let sealed: Option<i64> = row.try_get("xxh3")?;
    match sealed.is_none_or(|sealed| sealed == rejection_digest(&rejection)) {
        true => Ok(rejection),
        false => Err(Fault::Contents(format!(
            "the rejection of record {} is not what was written",
            rejection.record
        ))),
    }
}

fn stage_named(name: &str) -> Answer<Stage> {
    let known = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    known.ok_or_else(|| Fault::Contents(format!("there is no stage `{name}`")))
}

/// XXH3 of what a rejection says. Its table has no row numbers, which the other tables' seals go
/// by: there may be millions of them, and each is written once.
fn rejection_digest(rejection: &Rejection) -> i64 {
    let Rejection {
        record,
        key,
        stage,
        column,
        value,
        reason,
        others,
    } = rejection;
    let mut told = format!("{:?}", (record, key, stage.name(), column, reason));
    // Earlier versions kept no values; what they sealed is sealed so still.
    if value.is_some() || !others.is_empty() {
        told += &format!("{:?}", (value, others));
    }
    xxh3_64(told.as_bytes()).cast_signed()
}
