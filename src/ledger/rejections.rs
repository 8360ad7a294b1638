//! The ledger's account of rejected records, in a batch or out of one.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use xxhash_rust::xxh3::xxh3_64;

use super::codec::{count, kept};
use super::error::{Answer, Fault, LedgerError};
use super::parts::WriteBackId;
use super::sqlite::Ledger;
use crate::domain::outcome::{Rejection, Stage};

/// Rejections one statement inserts: nine values each, far below the 32 766 that SQLite binds.
/// Source: <https://www.sqlite.org/limits.html>, section 9.
const REJECTIONS_PER_INSERT: usize = 1_000;

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
                "SELECT record, key, stage, \"column\", reason, xxh3 FROM rejections
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
    for chunk in rejections.chunks(REJECTIONS_PER_INSERT) {
        let records = chunk
            .iter()
            .map(|kept_one| kept(kept_one.rejection.record))
            .collect::<Answer<Vec<i64>>>()?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO rejections \
             (write_back, record, key, stage, \"column\", reason, batch, batch_index, xxh3) ",
        );
        insert.push_values(
            chunk.iter().zip(records),
            |mut values, (KeptRejection { rejection, batch }, record)| {
                values
                    .push_bind(write_back)
                    .push_bind(record)
                    .push_bind(rejection.key.as_deref())
                    .push_bind(rejection.stage.name())
                    .push_bind(rejection.column.as_deref())
                    .push_bind(rejection.reason.as_str())
                    .push_bind(batch.map(|(batch, _)| batch))
                    .push_bind(batch.map(|(_, index)| index))
                    .push_bind(rejection_digest(rejection));
            },
        );
        insert.build().execute(&mut *connection).await?;
    }
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

pub(super) fn rejection(row: &SqliteRow) -> Answer<Rejection> {
    let rejection = Rejection {
        record: count(row, "record")?,
        key: row.try_get("key")?,
        stage: stage_named(row.try_get("stage")?)?,
        column: row.try_get("column")?,
        reason: row.try_get("reason")?,
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
        reason,
    } = rejection;
    xxh3_64(format!("{:?}", (record, key, stage.name(), column, reason)).as_bytes()).cast_signed()
}
