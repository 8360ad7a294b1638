//! The ledger's statements: what is written to and read from its tables, one connection at a time.
//! Knows nothing of files or locks.

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    BatchEntry, BatchSpan, Commit, Earlier, ImageSegment, MappedFor, NewRun, Pace, Progress,
    RunEntry, RunStatus, SentBatch, SentImages, UnfinishedRun, WriteBackEntry, WriteBackId,
    canaries, cycles, guards, outcomes, pending,
};
use crate::domain::cycle::Cycle;
use crate::domain::doubt::Marker;
use crate::domain::outcome::{Outcome, Rejection, Stage, Tally};

/// Rejections one statement inserts: nine values each, far below the 32 766 that SQLite binds.
/// Source: <https://www.sqlite.org/limits.html>, section 9.
const REJECTIONS_PER_INSERT: usize = 1_000;

/// Why a statement did not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The tables hold what this program never writes.
    #[error("{0}")]
    Contents(String),
    #[error("no run {0}")]
    NoSuchRun(i64),
    /// No batch of this span was recorded as sent.
    #[error("no batch was recorded there")]
    NoSuchBatch(BatchSpan),
}

pub(super) type Answer<T> = Result<T, Fault>;

impl RunStatus {
    pub(super) const ALL: [Self; 6] = [
        Self::Running,
        Self::Succeeded,
        Self::Rejected,
        Self::Failed,
        Self::Guarded,
        Self::NothingNew,
    ];

    /// As the ledger and `--json` write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Guarded => "guarded",
            Self::NothingNew => "nothing_new",
        }
    }

    pub(super) fn named(name: &str) -> Answer<Self> {
        let known = Self::ALL.into_iter().find(|status| status.name() == name);
        known.ok_or_else(|| Fault::Contents(format!("no run has the status `{name}`")))
    }
}

fn stage_named(name: &str) -> Answer<Stage> {
    let known = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    known.ok_or_else(|| Fault::Contents(format!("there is no stage `{name}`")))
}

/// RFC 3339 in UTC, always of one length, so that text order is time order.
pub(super) fn moment_text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

pub(super) fn moment(text: &str) -> Answer<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text);
    parsed
        .map(|moment| moment.to_utc())
        .map_err(|_| Fault::Contents(format!("`{text}` is no point in time")))
}

/// A number as SQLite keeps it.
pub(super) fn kept(number: u64) -> Answer<i64> {
    i64::try_from(number)
        .map_err(|_| Fault::Contents(format!("{number} is larger than the ledger can keep")))
}

/// A column that holds a count or a position.
pub(super) fn count<Count: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Answer<Count> {
    let number: i64 = row.try_get(column)?;
    Count::try_from(number).map_err(|_| Fault::Contents(format!("`{column}` is {number}")))
}

pub(super) async fn begin_run(connection: &mut SqliteConnection, run: &NewRun<'_>) -> Answer<i64> {
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO runs (job, cycle, cycle_completed_at, status, started_at, job_digest, write_back, retry_of, undo_of,
                           plan)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING run",
    )
    .bind(run.job)
    .bind(&run.cycle.id)
    .bind(moment_text(run.cycle.completed_at))
    .bind(RunStatus::Running.name())
    .bind(moment_text(run.started_at))
    .bind(run.job_digest)
    .bind(run.write_back)
    .bind(run.retry_of)
    .bind(run.undo_of)
    .bind(run.plan)
    .fetch_one(&mut *connection)
    .await?;
    if run.undo_of.is_none() {
        cycles::begun(connection, run.job, &run.cycle.id, run.started_at).await?;
    }
    for (position, name) in (0_i64..).zip(&run.write_backs) {
        sqlx::query("INSERT INTO write_backs (run, position, name) VALUES (?, ?, ?)")
            .bind(number)
            .bind(position)
            .bind(*name)
            .execute(&mut *connection)
            .await?;
    }
    Ok(number)
}

pub(super) async fn unfinished_run(
    connection: &mut SqliteConnection,
    job: &str,
) -> Answer<Option<UnfinishedRun>> {
    latest_run(connection, job, |status, resumable| match status {
        RunStatus::Running => true,
        RunStatus::Failed => resumable,
        RunStatus::Succeeded | RunStatus::Rejected | RunStatus::Guarded | RunStatus::NothingNew => {
            false
        }
    })
    .await
}

pub(super) async fn guarded_run(
    connection: &mut SqliteConnection,
    job: &str,
) -> Answer<Option<UnfinishedRun>> {
    latest_run(connection, job, |status, _| status == RunStatus::Guarded).await
}

/// The job's latest run, if it is `wanted`, which is told its status and whether it is resumable.
async fn latest_run(
    connection: &mut SqliteConnection,
    job: &str,
    wanted: impl FnOnce(RunStatus, bool) -> bool,
) -> Answer<Option<UnfinishedRun>> {
    let latest =
        sqlx::query("SELECT * FROM runs WHERE job = ? ORDER BY run DESC LIMIT 1").bind(job);
    let Some(row) = latest.fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    if !wanted(
        RunStatus::named(row.try_get("status")?)?,
        row.try_get("resumable")?,
    ) {
        return Ok(None);
    }
    Ok(Some(UnfinishedRun {
        run: row.try_get("run")?,
        cycle: cycle(&row)?,
        started_at: moment(row.try_get("started_at")?)?,
        job_digest: row.try_get("job_digest")?,
        retry_of: row.try_get("retry_of")?,
        undo_of: row.try_get("undo_of")?,
        plan: row.try_get("plan")?,
    }))
}

pub(super) async fn runs_left_behind(
    connection: &mut SqliteConnection,
    run: i64,
) -> Answer<Vec<i64>> {
    let earlier = sqlx::query_scalar(
        "SELECT run FROM runs
         WHERE job = (SELECT job FROM runs WHERE run = ?1) AND run < ?1
               AND run >= (SELECT coalesce(max(finished.run), 0) FROM runs AS finished
                           WHERE finished.job = runs.job AND finished.run < ?1 AND finished.status IN (?2, ?3))
         ORDER BY run DESC",
    );
    let earlier = earlier
        .bind(run)
        .bind(RunStatus::Succeeded.name())
        .bind(RunStatus::Rejected.name());
    Ok(earlier.fetch_all(connection).await?)
}

fn cycle(row: &SqliteRow) -> Answer<Cycle> {
    Ok(Cycle {
        id: row.try_get("cycle")?,
        completed_at: moment(row.try_get("cycle_completed_at")?)?,
    })
}

/// The number under which other tables know a write-back.
pub(super) async fn write_back(connection: &mut SqliteConnection, id: WriteBackId) -> Answer<i64> {
    let found =
        sqlx::query_scalar("SELECT write_back FROM write_backs WHERE run = ? AND position = ?");
    let found = found
        .bind(id.run)
        .bind(id.position)
        .fetch_optional(&mut *connection)
        .await?;
    found.ok_or(Fault::NoSuchRun(id.run))
}

/// A rejected record, and the batch it was in with its place there, if it came that far.
struct KeptRejection<'a> {
    rejection: &'a Rejection,
    batch: Option<(i64, i64)>,
}

pub(super) async fn record_rejections(
    connection: &mut SqliteConnection,
    write_back: i64,
    rejections: &[Rejection],
) -> Answer<()> {
    let kept: Vec<_> = rejections
        .iter()
        .map(|rejection| KeptRejection {
            rejection,
            batch: None,
        })
        .collect();
    insert_rejections(connection, write_back, &kept).await
}

async fn insert_rejections(
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

pub(super) async fn restart_pull(connection: &mut SqliteConnection, write_back: i64) -> Answer<()> {
    for statement in [
        "DELETE FROM rejections WHERE write_back = ?",
        "DELETE FROM batches WHERE write_back = ?",
        "DELETE FROM canaries WHERE write_back = ?",
        "DELETE FROM left_alone WHERE write_back = ?",
        "DELETE FROM retried WHERE write_back = ?",
        "UPDATE write_backs SET read = NULL, layout = NULL, finished = 0 WHERE write_back = ?",
    ] {
        sqlx::query(statement)
            .bind(write_back)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn record_packaged(
    connection: &mut SqliteConnection,
    write_back: i64,
    read: u64,
    mapped_for: &MappedFor,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE write_backs SET read = ?, layout = ?, destination = ?, object = ?, fields = ?, journal = ? WHERE write_back = ?",
    );
    let json = |error: serde_json::Error| Fault::Contents(error.to_string());
    let object = serde_json::to_string(&mapped_for.object).map_err(json)?;
    let fields = serde_json::to_string(&mapped_for.fields).map_err(json)?;
    let update = update
        .bind(kept(read)?)
        .bind(&mapped_for.layout)
        .bind(&mapped_for.destination)
        .bind(object)
        .bind(fields);
    let journal = mapped_for
        .journal
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(json)?;
    update
        .bind(journal)
        .bind(write_back)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn record_sent(
    connection: &mut SqliteConnection,
    write_back: i64,
    span: BatchSpan,
    outcomes: &[Outcome],
    attempts: u32,
) -> Answer<i64> {
    debug_assert_eq!(
        u32::try_from(outcomes.len()),
        Ok(span.records),
        "every record of a batch has one outcome"
    );
    let mut tally = Tally::default();
    outcomes.iter().for_each(|outcome| tally.count(outcome));
    let batch: i64 = sqlx::query_scalar(
        "INSERT INTO batches (write_back, partition, first, records, attempts,
                              inserted, updated, unchanged, deleted, skipped, rejected, outcomes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (write_back, partition, first) DO UPDATE SET
             records = excluded.records, attempts = excluded.attempts, inserted = excluded.inserted,
             updated = excluded.updated, unchanged = excluded.unchanged, deleted = excluded.deleted,
             skipped = excluded.skipped, rejected = excluded.rejected, outcomes = excluded.outcomes, committed = 0, seconds = 0
         RETURNING batch",
    )
    .bind(write_back)
    .bind(span.partition)
    .bind(span.first)
    .bind(span.records)
    .bind(attempts)
    .bind(kept(tally.inserted)?)
    .bind(kept(tally.updated)?)
    .bind(kept(tally.unchanged)?)
    .bind(kept(tally.deleted)?)
    .bind(kept(tally.skipped)?)
    .bind(kept(tally.rejected)?)
    .bind(outcomes::encode(outcomes))
    .fetch_one(&mut *connection)
    .await?;
    let earlier = sqlx::query("DELETE FROM rejections WHERE batch = ?");
    earlier.bind(batch).execute(&mut *connection).await?;
    let rejections: Vec<_> = (0..)
        .zip(outcomes)
        .filter_map(|(index, outcome)| in_batch(batch, index, outcome))
        .collect();
    insert_rejections(connection, write_back, &rejections).await?;
    Ok(batch)
}

pub(super) async fn record_images(
    connection: &mut SqliteConnection,
    batch: i64,
    images: &ImageSegment,
    marker: Option<&Marker>,
) -> Answer<()> {
    let insert = sqlx::query(
        "INSERT INTO images (batch, file, offset, bytes, xxh3, marker) VALUES (?, ?, ?, ?, ?, ?)",
    );
    let marker = marker.map(serde_json::to_string).transpose();
    let marker = marker.map_err(|error| Fault::Contents(error.to_string()))?;
    let insert = insert
        .bind(batch)
        .bind(&images.file)
        .bind(kept(images.offset)?)
        .bind(kept(images.bytes)?);
    insert
        .bind(images.xxh3.cast_signed())
        .bind(marker)
        .execute(connection)
        .await?;
    Ok(())
}

/// Settles what earlier sendings of a batch left.
pub(super) async fn settle_earlier(
    connection: &mut SqliteConnection,
    batch: i64,
    earlier: &Earlier,
) -> Answer<()> {
    let (rolled_back, is_doubtful) = match earlier {
        Earlier::RolledBack(images) => (images, false),
        Earlier::Doubtful(images) => (images, true),
    };
    for image in rolled_back {
        let delete = sqlx::query("DELETE FROM images WHERE batch = ? AND image = ?");
        delete
            .bind(batch)
            .bind(image)
            .execute(&mut *connection)
            .await?;
    }
    if is_doubtful {
        let update = sqlx::query("UPDATE images SET doubtful = 1 WHERE batch = ?");
        update.bind(batch).execute(connection).await?;
    }
    Ok(())
}

pub(super) async fn forget_images(
    connection: &mut SqliteConnection,
    write_back: i64,
    span: BatchSpan,
) -> Answer<()> {
    let delete = sqlx::query(
        "DELETE FROM images
         WHERE batch IN (SELECT batch FROM batches WHERE write_back = ? AND partition = ? AND first = ?)",
    );
    delete
        .bind(write_back)
        .bind(span.partition)
        .bind(span.first)
        .execute(connection)
        .await?;
    Ok(())
}

/// Of all batches, whether or not they are known to be committed: what was sent may be written.
pub(super) async fn images(
    connection: &mut SqliteConnection,
    write_back: i64,
    of: Option<BatchSpan>,
) -> Answer<Vec<SentImages>> {
    let images = sqlx::query(
        "SELECT image, partition, first, records, file, offset, bytes, i.xxh3, marker, committed, doubtful
         FROM images AS i JOIN batches USING (batch)
         WHERE write_back = ?1 AND (?2 IS NULL OR (partition = ?2 AND first = ?3)) ORDER BY partition, first, image",
    );
    let images = images
        .bind(write_back)
        .bind(of.map(|span| span.partition))
        .bind(of.map(|span| span.first));
    images
        .fetch_all(connection)
        .await?
        .iter()
        .map(sent_images)
        .collect()
}

pub(super) fn sent_images(row: &SqliteRow) -> Answer<SentImages> {
    let marker = row
        .try_get::<Option<&str>, _>("marker")?
        .map(serde_json::from_str)
        .transpose();
    let (committed, doubtful): (bool, bool) = (row.try_get("committed")?, row.try_get("doubtful")?);
    Ok(SentImages {
        image: row.try_get("image")?,
        span: span(row)?,
        segment: image_segment(row)?,
        commit: match (committed, doubtful) {
            (true, false) => Commit::Known,
            (true, true) => Commit::Doubtful,
            (false, _) => Commit::InDoubt,
        },
        marker: marker.map_err(|error| Fault::Contents(error.to_string()))?,
    })
}

pub(super) fn image_segment(row: &SqliteRow) -> Answer<ImageSegment> {
    let (file, xxh3): (String, i64) = (row.try_get("file")?, row.try_get("xxh3")?);
    let (offset, bytes) = (count(row, "offset")?, count(row, "bytes")?);
    Ok(ImageSegment {
        file,
        offset,
        bytes,
        xxh3: xxh3.cast_unsigned(),
    })
}

fn in_batch(batch: i64, index: i64, outcome: &Outcome) -> Option<KeptRejection<'_>> {
    match outcome {
        Outcome::Rejected(rejection) => Some(KeptRejection {
            rejection,
            batch: Some((batch, index)),
        }),
        Outcome::Inserted
        | Outcome::Updated
        | Outcome::Unchanged
        | Outcome::Deleted
        | Outcome::Skipped(_) => None,
    }
}

pub(super) async fn record_committed(
    connection: &mut SqliteConnection,
    write_back: i64,
    span: BatchSpan,
    seconds: f64,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE batches SET committed = 1, seconds = ?
         WHERE write_back = ? AND partition = ? AND first = ? AND records = ?",
    );
    let update = update
        .bind(seconds)
        .bind(write_back)
        .bind(span.partition)
        .bind(span.first)
        .bind(span.records);
    match update.execute(connection).await?.rows_affected() {
        0 => Err(Fault::NoSuchBatch(span)),
        _ => Ok(()),
    }
}

pub(super) async fn forget_sent(
    connection: &mut SqliteConnection,
    write_back: i64,
    span: BatchSpan,
) -> Answer<()> {
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
}

pub(super) async fn progress(
    connection: &mut SqliteConnection,
    write_back: i64,
) -> Answer<Progress> {
    let row = sqlx::query(
        "SELECT read IS NOT NULL AS packaged, layout, finished FROM write_backs WHERE write_back = ?",
    );
    let row = row.bind(write_back).fetch_one(&mut *connection).await?;
    let committed = sqlx::query(
        "SELECT partition, first, records FROM batches WHERE write_back = ? AND committed = 1
         ORDER BY partition, first",
    );
    let committed = committed
        .bind(write_back)
        .fetch_all(&mut *connection)
        .await?;
    let sent = sqlx::query(
        "SELECT * FROM batches WHERE write_back = ? AND committed = 0 ORDER BY partition, first",
    );
    let sent = sent.bind(write_back).fetch_all(&mut *connection).await?;
    Ok(Progress {
        packaged: row.try_get("packaged")?,
        layout: row.try_get("layout")?,
        finished: row.try_get("finished")?,
        committed: committed.iter().map(span).collect::<Answer<_>>()?,
        sent: sent_batches(connection, &sent).await?,
    })
}

pub(super) async fn outcomes(
    connection: &mut SqliteConnection,
    write_back: i64,
    partition: u32,
) -> Answer<Vec<SentBatch>> {
    let committed = sqlx::query(
        "SELECT * FROM batches WHERE write_back = ? AND partition = ? AND committed = 1 ORDER BY first",
    );
    let committed = committed
        .bind(write_back)
        .bind(partition)
        .fetch_all(&mut *connection)
        .await?;
    sent_batches(connection, &committed).await
}

async fn sent_batches(
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
            _ => batch_rejections(connection, row.try_get("batch")?).await?,
        };
        batches.push(SentBatch {
            span,
            outcomes: outcomes::decode(bytes, rejections).map_err(Fault::Contents)?,
        });
    }
    Ok(batches)
}

async fn batch_rejections(
    connection: &mut SqliteConnection,
    batch: i64,
) -> Answer<Vec<(u32, Rejection)>> {
    let rows = sqlx::query("SELECT * FROM rejections WHERE batch = ? ORDER BY batch_index");
    let rows = rows.bind(batch).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((count(row, "batch_index")?, rejection(row)?)))
        .collect()
}

fn span(row: &SqliteRow) -> Answer<BatchSpan> {
    Ok(BatchSpan {
        partition: count(row, "partition")?,
        first: count(row, "first")?,
        records: count(row, "records")?,
    })
}

fn rejection(row: &SqliteRow) -> Answer<Rejection> {
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

/// What counts: records read, the outcomes of batches, parked records that were left alone, and
/// rejections, one by one, of records that are in a batch or never came into one. A batch that is
/// not known to be committed counts as one that is. Rejected records are counted apart from what
/// batches say of them, so that the one holds the other to account.
pub(super) async fn tally(connection: &mut SqliteConnection, write_back: i64) -> Answer<Tally> {
    let row = sqlx::query(
        "SELECT coalesce(read, 0) AS read,
                coalesce(sum(inserted), 0) AS inserted, coalesce(sum(updated), 0) AS updated,
                coalesce(sum(unchanged), 0) AS unchanged, coalesce(sum(deleted), 0) AS deleted,
                coalesce(sum(skipped), 0)
                    + (SELECT count(*) FROM left_alone WHERE left_alone.write_back = w.write_back) AS skipped,
                (SELECT count(*) FROM rejections WHERE rejections.write_back = w.write_back) AS rejected
         FROM write_backs AS w LEFT JOIN batches AS b ON b.write_back = w.write_back
         WHERE w.write_back = ?",
    );
    tally_in(&row.bind(write_back).fetch_one(connection).await?, "read")
}

/// The counts of a row; `read` names the column that holds how many records there are.
fn tally_in(row: &SqliteRow, read: &str) -> Answer<Tally> {
    Ok(Tally {
        read: count(row, read)?,
        inserted: count(row, "inserted")?,
        updated: count(row, "updated")?,
        unchanged: count(row, "unchanged")?,
        deleted: count(row, "deleted")?,
        skipped: count(row, "skipped")?,
        rejected: count(row, "rejected")?,
    })
}

pub(super) async fn finish_write_back(
    connection: &mut SqliteConnection,
    write_back: i64,
    seconds: f64,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE write_backs SET finished = 1, seconds = seconds + ? WHERE write_back = ?",
    );
    update
        .bind(seconds)
        .bind(write_back)
        .execute(&mut *connection)
        .await?;
    pending::keep_landed(connection, write_back).await
}

pub(super) async fn finish_run(
    connection: &mut SqliteConnection,
    run: i64,
    status: RunStatus,
    error: Option<&str>,
    finished_at: DateTime<Utc>,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE runs SET status = ?, error = ?, resumable = 0, interrupted = 0, finished_at = ? WHERE run = ?",
    );
    let update = update
        .bind(status.name())
        .bind(error)
        .bind(moment_text(finished_at))
        .bind(run);
    match update.execute(connection).await?.rows_affected() {
        0 => Err(Fault::NoSuchRun(run)),
        _ => Ok(()),
    }
}

pub(super) async fn mark_resumable(connection: &mut SqliteConnection, run: i64) -> Answer<()> {
    sqlx::query("UPDATE runs SET resumable = 1 WHERE run = ?")
        .bind(run)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn mark_interrupted(connection: &mut SqliteConnection, run: i64) -> Answer<()> {
    sqlx::query("UPDATE runs SET interrupted = 1 WHERE run = ?")
        .bind(run)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn take_up_run(
    connection: &mut SqliteConnection,
    run: i64,
    at: DateTime<Utc>,
) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE runs SET status = ?, error = NULL, resumable = 0, interrupted = 0, finished_at = NULL WHERE run = ?
         RETURNING job, cycle, undo_of",
    );
    let row = update
        .bind(RunStatus::Running.name())
        .bind(run)
        .fetch_optional(&mut *connection)
        .await?;
    let row = row.ok_or(Fault::NoSuchRun(run))?;
    match row.try_get::<Option<i64>, _>("undo_of")? {
        Some(_) => Ok(()),
        None => cycles::begun(connection, row.try_get("job")?, row.try_get("cycle")?, at).await,
    }
}

pub(super) async fn runs(
    connection: &mut SqliteConnection,
    job: Option<&str>,
    runs_max: u32,
) -> Answer<Vec<RunEntry>> {
    let rows =
        sqlx::query("SELECT * FROM runs WHERE ?1 IS NULL OR job = ?1 ORDER BY run DESC LIMIT ?2");
    let rows = rows
        .bind(job)
        .bind(runs_max)
        .fetch_all(&mut *connection)
        .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        entries.push(run_entry(connection, row).await?);
    }
    Ok(entries)
}

pub(super) async fn pace(
    connection: &mut SqliteConnection,
    job: &str,
    write_back: &str,
    runs_max: u32,
) -> Answer<Option<Pace>> {
    let latest = sqlx::query(
        "SELECT count(*) AS runs, total(seconds) / max(total(read), 1) AS seconds_per_record FROM (
             SELECT w.seconds, w.read FROM write_backs AS w JOIN runs AS r USING (run)
             WHERE r.job = ? AND w.name = ? AND r.undo_of IS NULL AND r.plan IS NULL AND w.finished = 1 AND w.read > 0 ORDER BY run DESC LIMIT ?
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
}

pub(super) async fn run(connection: &mut SqliteConnection, run: i64) -> Answer<RunEntry> {
    let row = sqlx::query("SELECT * FROM runs WHERE run = ?")
        .bind(run)
        .fetch_optional(&mut *connection)
        .await?;
    run_entry(connection, &row.ok_or(Fault::NoSuchRun(run))?).await
}

async fn run_entry(connection: &mut SqliteConnection, row: &SqliteRow) -> Answer<RunEntry> {
    let run: i64 = row.try_get("run")?;
    let cycle = cycle(row)?;
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
        guards: guards::objections(connection, run).await?,
        approval: guards::approval(connection, run).await?,
        write_backs: write_back_entries(connection, run).await?,
    })
}

pub(super) async fn write_back_entries(
    connection: &mut SqliteConnection,
    run: i64,
) -> Answer<Vec<WriteBackEntry>> {
    let rows = sqlx::query(
        "SELECT write_back, name, seconds,
                (SELECT count(*) FROM batches AS b WHERE b.write_back = w.write_back AND committed = 1) AS batches,
                (SELECT coalesce(sum(inserted + updated + deleted), 0) FROM batches AS b
                 WHERE b.write_back = w.write_back AND committed = 0) AS in_doubt
         FROM write_backs AS w WHERE run = ? ORDER BY position",
    );
    let rows = rows.bind(run).fetch_all(&mut *connection).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        entries.push(WriteBackEntry {
            name: row.try_get("name")?,
            tally: tally(connection, row.try_get("write_back")?).await?,
            batches: count(row, "batches")?,
            seconds: row.try_get("seconds")?,
            in_doubt: count(row, "in_doubt")?,
            canary: canaries::canary(connection, row.try_get("write_back")?).await?,
        });
    }
    Ok(entries)
}

pub(super) async fn batches(
    connection: &mut SqliteConnection,
    run: i64,
) -> Answer<Vec<BatchEntry>> {
    let rows = sqlx::query(
        "SELECT name, partition, first, records, attempts, committed, batches.seconds AS seconds,
                inserted, updated, unchanged, deleted, skipped, rejected
         FROM batches JOIN write_backs USING (write_back) WHERE run = ? ORDER BY position, partition, first",
    );
    rows.bind(run)
        .fetch_all(connection)
        .await?
        .iter()
        .map(batch_entry)
        .collect()
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
        tally: tally_in(row, "records")?,
        seconds: row.try_get("seconds")?,
    })
}

/// Which of a write-back's rejected records are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// Only those that never came into a batch.
    OutsideBatches,
}

pub(super) async fn rejections(
    connection: &mut SqliteConnection,
    write_back: i64,
    which: Which,
    after: Option<u64>,
    rejections_max: u32,
) -> Answer<Vec<Rejection>> {
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
}
