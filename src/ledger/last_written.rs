//! What is known of values last written into fields in which someone else's are kept: where they
//! stand, and which runs wrote others since.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{count, from_json, json_text, kept};
use super::error::{Answer, LedgerError};
use super::images::{self, Commit, ImageSegment, SentImages, image_segment};
use super::parts::WriteBackId;
use super::sqlite::Ledger;

/// What the values last written of a write-back are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastWrittenEntry {
    /// They were written before this run.
    pub(crate) run: i64,
    /// Name of the connection.
    pub(crate) destination: String,
    /// The object's path, outermost name first.
    pub(crate) object: Vec<String>,
    /// JSON.
    pub(crate) fields: String,
}

/// A write-back of a run that sent at least one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendingRun {
    pub(crate) id: WriteBackId,
    pub(crate) destination: String,
    pub(crate) object: Vec<String>,
    /// Records that it wrote without keeping before-images.
    pub(crate) unkept: u64,
}

/// What a run left of what it sent, each sort in the order of partitions.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentSegments {
    pub(crate) written: Vec<ImageSegment>,
    /// Of batches that are not known to be committed.
    pub(crate) in_doubt: Vec<SentImages>,
    /// Which values were kept, and which were found to be what was sent.
    pub(crate) conflicts: Vec<ImageSegment>,
}

/// What a test of one record wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestedValues {
    /// The latest run of any job that had begun then.
    pub(crate) after_run: i64,
    pub(crate) destination: String,
    pub(crate) object: Vec<String>,
    /// The bytes of a segment.
    pub(crate) segment: Vec<u8>,
}

impl Ledger {
    pub(crate) async fn last_written(
        &self,
        job: &str,
        write_back: &str,
    ) -> Result<Option<LastWrittenEntry>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query("SELECT * FROM last_written WHERE job = ? AND write_back = ?");
            row.bind(job)
                .bind(write_back)
                .fetch_optional(connection)
                .await?
                .as_ref()
                .map(entry)
                .transpose()
        })
        .await
    }

    /// What was last written stands anew, in place of what stood before and what tests wrote since.
    pub(crate) async fn record_last_written(
        &self,
        job: &str,
        write_back: &str,
        entry: &LastWrittenEntry,
    ) -> Result<(), LedgerError> {
        self.write("record what was last written in", async |connection| {
            let object = json_text(&entry.object)?;
            let insert = sqlx::query(
                "INSERT INTO last_written (job, write_back, run, destination, object, fields) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT (job, write_back) DO UPDATE SET run = excluded.run, destination = excluded.destination,
                     object = excluded.object, fields = excluded.fields",
            );
            let insert = insert.bind(job).bind(write_back).bind(entry.run).bind(&entry.destination);
            insert.bind(object).bind(&entry.fields).execute(&mut *connection).await?;
            forget_tested(connection, job, write_back).await
        })
        .await
    }

    pub(crate) async fn forget_last_written(
        &self,
        job: &str,
        write_back: &str,
    ) -> Result<(), LedgerError> {
        self.write("forget what was last written in", async |connection| {
            let delete = sqlx::query("DELETE FROM last_written WHERE job = ? AND write_back = ?");
            delete
                .bind(job)
                .bind(write_back)
                .execute(&mut *connection)
                .await?;
            forget_tested(connection, job, write_back).await
        })
        .await
    }

    /// A test wrote one record: `segment` tells which values, of the connection and the object.
    pub(crate) async fn record_tested_values(
        &self,
        job: &str,
        write_back: &str,
        destination: &str,
        object: &[String],
        segment: &[u8],
    ) -> Result<(), LedgerError> {
        self.write("record what a test wrote in", async |connection| {
            let object = json_text(object)?;
            let insert = sqlx::query(
                "INSERT INTO tested_values (job, write_back, after_run, destination, object, segment)
                 VALUES (?, ?, (SELECT coalesce(max(run), 0) FROM runs), ?, ?, ?)",
            );
            let insert = insert.bind(job).bind(write_back).bind(destination).bind(object).bind(segment);
            insert.execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// What tests wrote since what was last written was recorded, oldest first.
    pub(crate) async fn tested_values(
        &self,
        job: &str,
        write_back: &str,
    ) -> Result<Vec<TestedValues>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT * FROM tested_values WHERE job = ? AND write_back = ? ORDER BY tested",
            );
            rows.bind(job)
                .bind(write_back)
                .fetch_all(connection)
                .await?
                .iter()
                .map(tested)
                .collect()
        })
        .await
    }

    /// The runs before `run` that sent records of a job's write-back, oldest first.
    pub(crate) async fn sending_runs(
        &self,
        job: &str,
        write_back: &str,
        run: i64,
    ) -> Result<Vec<SendingRun>, LedgerError> {
        self.read(async |connection| {
            let runs = sqlx::query(
                "SELECT run, w.position, destination, object,
                        sum(CASE WHEN EXISTS (SELECT 1 FROM images WHERE images.batch = b.batch) THEN 0
                                 ELSE inserted + updated + deleted END) AS unkept
                 FROM write_backs AS w JOIN runs USING (run) JOIN batches AS b USING (write_back)
                 WHERE job = ? AND w.name = ? AND run < ? AND requests_on IS NULL GROUP BY w.write_back ORDER BY run, w.position",
            );
            runs.bind(job).bind(write_back).bind(run).fetch_all(connection).await?.iter().map(sending_run).collect()
        })
        .await
    }

    /// What a write-back of a run left of what it sent.
    pub(crate) async fn sent_segments(&self, id: WriteBackId) -> Result<SentSegments, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let images = images::images(connection, write_back, None).await?;
            let (in_doubt, written): (Vec<_>, Vec<_>) = images
                .into_iter()
                .partition(|images| images.commit == Commit::InDoubt);
            Ok(SentSegments {
                written: written.into_iter().map(|images| images.segment).collect(),
                in_doubt,
                conflicts: conflicts(connection, write_back).await?,
            })
        })
        .await
    }

    /// Which values of a write-back's batches were kept: batch by batch, in the order of
    /// partitions.
    pub(crate) async fn conflicts(
        &self,
        id: WriteBackId,
    ) -> Result<Vec<ImageSegment>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            conflicts(connection, write_back).await
        })
        .await
    }
}

fn entry(row: &SqliteRow) -> Answer<LastWrittenEntry> {
    Ok(LastWrittenEntry {
        run: row.try_get("run")?,
        destination: row.try_get("destination")?,
        object: path(Some(row.try_get("object")?))?,
        fields: row.try_get("fields")?,
    })
}

fn tested(row: &SqliteRow) -> Answer<TestedValues> {
    Ok(TestedValues {
        after_run: row.try_get("after_run")?,
        destination: row.try_get("destination")?,
        object: path(Some(row.try_get("object")?))?,
        segment: row.try_get("segment")?,
    })
}

async fn forget_tested(
    connection: &mut SqliteConnection,
    job: &str,
    write_back: &str,
) -> Answer<()> {
    let delete = sqlx::query("DELETE FROM tested_values WHERE job = ? AND write_back = ?");
    delete
        .bind(job)
        .bind(write_back)
        .execute(connection)
        .await?;
    Ok(())
}

fn sending_run(row: &SqliteRow) -> Answer<SendingRun> {
    Ok(SendingRun {
        id: WriteBackId {
            run: row.try_get("run")?,
            position: count(row, "position")?,
        },
        destination: row
            .try_get::<Option<String>, _>("destination")?
            .unwrap_or_default(),
        object: path(row.try_get("object")?)?,
        unkept: count(row, "unkept")?,
    })
}

/// Absent in runs of the first versions.
fn path(object: Option<&str>) -> Answer<Vec<String>> {
    object.map_or(Ok(Vec::new()), from_json)
}

/// What was said of the conflicts of a batch's earlier sending holds no longer.
pub(super) async fn forget_conflicts(connection: &mut SqliteConnection, batch: i64) -> Answer<()> {
    let delete = sqlx::query("DELETE FROM conflicts WHERE batch = ?");
    delete.bind(batch).execute(connection).await?;
    Ok(())
}

/// Says where a batch's conflicts stand.
pub(super) async fn record_conflicts(
    connection: &mut SqliteConnection,
    batch: i64,
    conflicts: &ImageSegment,
) -> Answer<()> {
    let insert = sqlx::query(
        "INSERT INTO conflicts (batch, file, offset, bytes, xxh3) VALUES (?, ?, ?, ?, ?)",
    );
    let insert = insert
        .bind(batch)
        .bind(&conflicts.file)
        .bind(kept(conflicts.offset)?)
        .bind(kept(conflicts.bytes)?);
    insert
        .bind(conflicts.xxh3.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

/// What rows were found to hold they held, whatever became of the commit that followed.
async fn conflicts(
    connection: &mut SqliteConnection,
    write_back: i64,
) -> Answer<Vec<ImageSegment>> {
    let conflicts = sqlx::query(
        "SELECT file, offset, bytes, c.xxh3, NULL AS first_key, NULL AS last_key
         FROM conflicts AS c JOIN batches USING (batch)
         WHERE write_back = ? ORDER BY partition, first",
    );
    conflicts
        .bind(write_back)
        .fetch_all(connection)
        .await?
        .iter()
        .map(image_segment)
        .collect()
}
