//! The journal: which runs wrote into a write-back's object, and whether it is known what they
//! wrote.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::codec::{count, from_json, moment};
use super::error::{Answer, LedgerError};
use super::images::{SentImages, sent_images};
use super::parts::WriteBackId;
use super::sqlite::Ledger;

/// What kind of run wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunKind {
    /// Of all records, or of one write-back's.
    Run,
    /// Of rejected records alone.
    Retry,
    /// Of the records of a saved plan.
    Plan,
    /// Of before-images of an earlier run.
    Undo,
    /// A day's requests.
    Requests,
}

impl RunKind {
    /// As `--json` writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Retry => "retry",
            Self::Plan => "plan",
            Self::Undo => "undo",
            Self::Requests => "requests",
        }
    }
}

/// A write-back of a run that wrote records: at least one batch of it is or may be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JournalRun {
    pub(crate) id: WriteBackId,
    pub(crate) job: String,
    pub(crate) write_back: String,
    pub(crate) kind: RunKind,
    /// The run that it takes back, if it is an undo.
    pub(crate) undo_of: Option<i64>,
    pub(crate) cycle: String,
    pub(crate) started_at: DateTime<Utc>,
    /// Name of the connection it wrote to.
    pub(crate) destination: String,
    /// The object's path, outermost name first.
    pub(crate) object: Vec<String>,
    /// Records inserted, updated and deleted.
    pub(crate) written: u64,
    /// Of these, records of batches whose before-images were not kept.
    pub(crate) unkept: u64,
    /// Of these, records of batches that were sent and are not known to be committed.
    pub(crate) in_doubt: u64,
    /// Numbers of the first and the last sending that before-images are of, if there are any.
    pub(crate) sendings: Option<(i64, i64)>,
}

/// A batch that there are before-images of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImagedBatch {
    pub(crate) id: WriteBackId,
    /// Number of its latest sending, which grows from any run's to any other's.
    pub(crate) sending: i64,
    /// Its sendings, the latest last.
    pub(crate) images: Vec<SentImages>,
}

impl Ledger {
    /// The runs that wrote records of write-backs of this name, of one job or of all, oldest first.
    pub(crate) async fn journal(
        &self,
        job: Option<&str>,
        write_back: &str,
    ) -> Result<Vec<JournalRun>, LedgerError> {
        self.journal_from(job, write_back, None).await
    }

    /// As [`Ledger::journal`], from a run on.
    pub(crate) async fn journal_from(
        &self,
        job: Option<&str>,
        write_back: &str,
        from: Option<i64>,
    ) -> Result<Vec<JournalRun>, LedgerError> {
        self.read(async |connection| {
    let runs = sqlx::query(
        "SELECT run, w.position, job, w.name, retry_of, undo_of, plan, requests_on, cycle, started_at, destination, object,
                sum(inserted + updated + deleted) AS written,
                sum(CASE WHEN EXISTS (SELECT 1 FROM images WHERE images.batch = b.batch) THEN 0
                         ELSE inserted + updated + deleted END) AS unkept,
                sum(CASE committed WHEN 0 THEN inserted + updated + deleted ELSE 0 END) AS in_doubt,
                min((SELECT min(image) FROM images WHERE images.batch = b.batch)) AS first_image,
                max((SELECT max(image) FROM images WHERE images.batch = b.batch)) AS last_image
         FROM write_backs AS w JOIN runs USING (run) JOIN batches AS b USING (write_back)
         WHERE w.name = ?1 AND (?2 IS NULL OR job = ?2) AND (?3 IS NULL OR run >= ?3)
         GROUP BY w.write_back HAVING sum(inserted + updated + deleted) > 0 ORDER BY run, w.position",
    );
    runs.bind(write_back)
        .bind(job)
        .bind(from)
        .fetch_all(connection)
        .await?
        .iter()
        .map(journal_run)
        .collect()
})
            .await
    }

    /// Batches of a job's write-back that there are before-images of, whatever their runs: those that
    /// were sent last before `before` first, `batches_max` at most.
    pub(crate) async fn imaged_batches(
        &self,
        job: &str,
        write_back: &str,
        before: Option<i64>,
        batches_max: u32,
    ) -> Result<Vec<ImagedBatch>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "WITH sent AS (
                     SELECT b.batch AS batch, w.run AS run, w.position AS position, max(image) AS latest
                     FROM write_backs AS w JOIN runs USING (run) JOIN batches AS b USING (write_back)
                          JOIN images USING (batch)
                     WHERE job = ?1 AND w.name = ?2
                     GROUP BY b.batch HAVING ?3 IS NULL OR latest < ?3 ORDER BY latest DESC LIMIT ?4)
                 SELECT sent.run AS run, position, latest, image, partition, first, records, file, offset, bytes,
                        i.xxh3 AS xxh3, marker, committed, doubtful, first_key, last_key
                 FROM sent JOIN batches USING (batch) JOIN images AS i USING (batch) ORDER BY latest DESC, image",
            );
            let rows = rows.bind(job).bind(write_back).bind(before).bind(batches_max);
            let mut all: Vec<ImagedBatch> = Vec::new();
            for row in &rows.fetch_all(connection).await? {
                let (sending, images) = (row.try_get("latest")?, sent_images(row)?);
                match all.last_mut().filter(|batch| batch.sending == sending) {
                    Some(batch) => batch.images.push(images),
                    None => all.push(ImagedBatch {
                        id: WriteBackId {
                            run: row.try_get("run")?,
                            position: count(row, "position")?,
                        },
                        sending,
                        images: vec![images],
                    }),
                }
            }
            Ok(all)
        })
        .await
    }

    /// Jobs and names of the write-backs that runs began, of one job or of all, sorted.
    pub(crate) async fn write_backs_begun(
        &self,
        job: Option<&str>,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        self.read(async |connection| {
            let names = sqlx::query_as(
                "SELECT DISTINCT job, name FROM write_backs JOIN runs USING (run)
                 WHERE ?1 IS NULL OR job = ?1 ORDER BY job, name",
            );
            Ok(names.bind(job).fetch_all(connection).await?)
        })
        .await
    }
}

fn journal_run(row: &SqliteRow) -> Answer<JournalRun> {
    let (retry_of, undo_of): (Option<i64>, Option<i64>) =
        (row.try_get("retry_of")?, row.try_get("undo_of")?);
    let plan: Option<&str> = row.try_get("plan")?;
    let requests_on: Option<&str> = row.try_get("requests_on")?;
    let first_image: Option<i64> = row.try_get("first_image")?;
    // Absent in runs of versions that kept no before-images either.
    let object: Option<&str> = row.try_get("object")?;
    Ok(JournalRun {
        id: WriteBackId {
            run: row.try_get("run")?,
            position: count(row, "position")?,
        },
        job: row.try_get("job")?,
        write_back: row.try_get("name")?,
        kind: match (retry_of, undo_of, plan) {
            (_, Some(_), _) => RunKind::Undo,
            (Some(_), None, _) => RunKind::Retry,
            (None, None, Some(_)) => RunKind::Plan,
            (None, None, None) if requests_on.is_some() => RunKind::Requests,
            (None, None, None) => RunKind::Run,
        },
        undo_of,
        cycle: row.try_get("cycle")?,
        started_at: moment(row.try_get("started_at")?)?,
        destination: row
            .try_get::<Option<String>, _>("destination")?
            .unwrap_or_default(),
        object: object.map_or(Ok(Vec::new()), from_json)?,
        written: count(row, "written")?,
        unkept: count(row, "unkept")?,
        in_doubt: count(row, "in_doubt")?,
        sendings: first_image.zip(row.try_get("last_image")?),
    })
}
