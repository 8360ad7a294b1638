//! The ledger's account of batches: a batch is recorded with its outcomes before its commit is asked
//! for, and marked committed after.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection};

use super::codec::{count, kept, span};
use super::error::{Answer, Fault, LedgerError};
use super::images::{self, Earlier, ImageSegment};
use super::parts::{BatchSpan, WriteBackId};
use super::rejections::{self, KeptRejection};
use super::sqlite::Ledger;
use super::{last_written, outcomes};
use crate::database::audited;
use crate::database::sqlite::at_once;
use crate::domain::doubt::Marker;
use crate::domain::outcome::{Outcome, Tally};

/// A batch whose commit nobody can vouch for, with the outcomes it would have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentBatch {
    pub(crate) span: BatchSpan,
    pub(crate) outcomes: Vec<Outcome>,
}

/// What a batch left in files beside its run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    pub(crate) images: Option<ImageSegment>,
    /// What tells whether the sending was committed.
    pub(crate) marker: Option<Marker>,
    /// Which of its values were kept, and which were found to be what was sent.
    pub(crate) conflicts: Option<ImageSegment>,
    /// What earlier sendings left.
    pub(crate) earlier: Earlier,
}

impl Ledger {
    /// A batch's statements are done and its commit comes next. `outcomes` are those of the span,
    /// in order; rejected ones are also kept as rejections. Recording a span again, or one that
    /// begins where it begins, replaces it, but for its before-images: `left.images` are added to
    /// those that an earlier sending, which may have been committed, had, and `left.earlier` says
    /// what becomes of these.
    pub(crate) async fn record_sent(
        &self,
        id: WriteBackId,
        span: BatchSpan,
        outcomes: &[Outcome],
        attempts: u32,
        left: &Left,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a batch in", async |connection, write_back| {
            let batch = record_sent(connection, write_back, span, outcomes, attempts).await?;
            images::settle_earlier(connection, batch.number, &left.earlier).await?;
            if let Earlier::RolledBack(_) = left.earlier {
                if batch.is_again {
                    last_written::forget_conflicts(connection, batch.number).await?;
                }
                if let Some(conflicts) = &left.conflicts {
                    last_written::record_conflicts(connection, batch.number, conflicts).await?;
                }
            }
            match &left.images {
                Some(images) => {
                    images::record_images(connection, batch.number, images, left.marker.as_ref())
                        .await
                }
                None => Ok(()),
            }
        })
        .await
    }

    /// The batch is committed, after `seconds` of work; its before-images are forgotten unless they
    /// are kept. Errors: `NoSuchBatch`, if it was not recorded as sent.
    pub(crate) async fn record_committed(
        &self,
        id: WriteBackId,
        span: BatchSpan,
        seconds: f64,
        keeps_images: bool,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a commit in", async |connection, write_back| {
            record_committed(connection, write_back, span, seconds).await?;
            if keeps_images {
                Ok(())
            } else {
                images::forget_images(connection, write_back, span).await
            }
        })
        .await
    }

    /// A batch is over, after `seconds` of work, and the destination is as it was: `outcomes` are
    /// those of the span.
    pub(crate) async fn record_settled(
        &self,
        id: WriteBackId,
        span: BatchSpan,
        outcomes: &[Outcome],
        attempts: u32,
        seconds: f64,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a batch in", async |connection, write_back| {
            record_sent(connection, write_back, span, outcomes, attempts).await?;
            record_committed(connection, write_back, span, seconds).await
        })
        .await
    }

    /// The destination refused the commit of a batch recorded as sent: it was not written.
    pub(crate) async fn forget_sent(
        &self,
        id: WriteBackId,
        span: BatchSpan,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "forget a batch in", async |connection, write_back| {
    let delete = sqlx::query(
        "DELETE FROM batches WHERE write_back = ? AND partition = ? AND first = ? AND committed = 0",
    );
    delete
        .bind(write_back)
        .bind(span.partition)
        .bind(span.first)
        .execute(connection)
        .await?;
    Ok(())
})
        .await
    }

    /// Outcomes of a write-back's committed batches of one partition, by span in order.
    pub(crate) async fn outcomes(
        &self,
        id: WriteBackId,
        partition: u32,
    ) -> Result<Vec<SentBatch>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
    let committed = sqlx::query(
        "SELECT * FROM batches WHERE write_back = ? AND partition = ? AND committed = 1 ORDER BY first",
    );
    let committed = committed
        .bind(write_back)
        .bind(partition)
        .fetch_all(&mut *connection)
        .await?;
    sent_batches(connection, &committed).await
})
        .await
    }
}

/// A batch that is recorded as sent.
struct Recorded {
    /// Under which other tables know it.
    number: i64,
    /// Whether it was recorded before, and so may have left something.
    is_again: bool,
}

async fn record_sent(
    connection: &mut SqliteConnection,
    write_back: i64,
    span: BatchSpan,
    outcomes: &[Outcome],
    attempts: u32,
) -> Answer<Recorded> {
    debug_assert_eq!(
        u32::try_from(outcomes.len()),
        Ok(span.records),
        "every record of a batch has one outcome"
    );
    let mut tally = Tally::default();
    outcomes.iter().for_each(|outcome| tally.count(outcome));
    let counts = outcomes::counts(&tally);
    let columns = counts.map(|(column, _)| column);
    let sql = format!(
        "SELECT 1 FROM batches WHERE write_back = ? AND partition = ? AND first = ?;
         INSERT INTO batches (write_back, partition, first, records, attempts, outcomes, {})
         VALUES (?, ?, ?, ?, ?, ?, {})
         ON CONFLICT (write_back, partition, first) DO UPDATE SET records = excluded.records,
             attempts = excluded.attempts, outcomes = excluded.outcomes, committed = 0, seconds = 0, {}
         RETURNING batch",
        columns.join(", "),
        columns.map(|_| "?").join(", "),
        columns
            .map(|column| format!("{column} = excluded.{column}"))
            .join(", "),
    );
    let mut insert = sqlx::query(audited(sql));
    for _ in ["known", "inserted"] {
        insert = insert
            .bind(write_back)
            .bind(span.partition)
            .bind(span.first);
    }
    insert = insert
        .bind(span.records)
        .bind(attempts)
        .bind(outcomes::encode(outcomes));
    for (_, records) in counts {
        insert = insert.bind(kept(records)?);
    }
    let answers = at_once(insert, &mut *connection).await?;
    let [known, inserted] = answers.as_slice() else {
        return Err(sqlx::Error::RowNotFound.into());
    };
    let batch = Recorded {
        number: inserted
            .first()
            .ok_or(sqlx::Error::RowNotFound)?
            .try_get(0)?,
        is_again: !known.is_empty(),
    };
    if batch.is_again {
        rejections::forget_of_batch(connection, write_back, batch.number).await?;
    }
    let rejections: Vec<_> = (0..)
        .zip(outcomes)
        .filter_map(|(index, outcome)| in_batch(batch.number, index, outcome))
        .collect();
    rejections::insert_rejections(connection, write_back, &rejections).await?;
    Ok(batch)
}

fn in_batch(batch: i64, index: i64, outcome: &Outcome) -> Option<KeptRejection<'_>> {
    outcome.rejection().map(|rejection| KeptRejection {
        rejection,
        batch: Some((batch, index)),
    })
}

/// Marks a batch as committed, and tells its number if there is one: see [`bind_committed`].
pub(super) const COMMITTED: &str = "UPDATE batches SET committed = 1, seconds = ?
    WHERE write_back = ? AND partition = ? AND first = ? AND records = ? RETURNING batch";

/// Binds what [`COMMITTED`] asks for.
pub(super) fn bind_committed<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    write_back: i64,
    span: BatchSpan,
    seconds: f64,
) -> Query<'q, Sqlite, SqliteArguments> {
    let query = query.bind(seconds).bind(write_back);
    let query = query.bind(span.partition).bind(span.first);
    query.bind(span.records)
}

async fn record_committed(
    connection: &mut SqliteConnection,
    write_back: i64,
    span: BatchSpan,
    seconds: f64,
) -> Answer<()> {
    let update = bind_committed(sqlx::query(COMMITTED), write_back, span, seconds);
    match update.fetch_optional(connection).await? {
        None => Err(Fault::NoSuchBatch(span)),
        Some(_) => Ok(()),
    }
}

pub(super) async fn sent_batches(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
) -> Answer<Vec<SentBatch>> {
    let mut batches = Vec::with_capacity(rows.len());
    for row in rows {
        let span = span(row)?;
        let bytes: &[u8] = row.try_get("outcomes")?;
        if u32::try_from(bytes.len()) != Ok(span.records) {
            return Err(Fault::Contents(format!(
                "a batch of {} records has {} outcomes",
                span.records,
                bytes.len()
            )));
        }
        let rejections = match count(row, "rejected")? {
            0_u32 => Vec::new(),
            _ => rejections::batch_rejections(connection, row.try_get("batch")?).await?,
        };
        batches.push(SentBatch {
            span,
            outcomes: outcomes::decode(bytes, rejections).map_err(Fault::Contents)?,
        });
    }
    Ok(batches)
}
