//! The ledger's account of the write-backs of a run: how far each has come, what its records were
//! made to fit, and what all that became of them sums to.

use std::collections::BTreeMap;

use chrono::Utc;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::batches::{SentBatch, sent_batches};
use super::codec::{count, from_json, json_text, kept, moment_text, span};
use super::error::{Answer, Fault, LedgerError};
use super::outcomes::Rejections;
use super::parts::{BatchSpan, WriteBackId};
use super::sqlite::Ledger;
use super::{counted, outcomes, pending};
use crate::database::audited;
use crate::domain::outcome::{SkipReason, Tally};

/// What the records of a package were mapped for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MappedFor {
    /// Fingerprint of the layout.
    pub(crate) layout: String,
    /// Name of the connection.
    pub(crate) destination: String,
    /// The object's path, outermost name first.
    pub(crate) object: Vec<String>,
    pub(crate) fields: Vec<MappedField>,
    /// Path of the table that tells what was written, if there is one.
    pub(crate) journal: Option<Vec<String>>,
}

/// A field as it was when records were made to fit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MappedField {
    /// The column's.
    pub(crate) name: String,
    pub(crate) declared: String,
    /// Position in the match key, if it is part of it.
    pub(crate) key: Option<usize>,
    /// As [`crate::domain::layout::LayoutField::own_text`].
    pub(crate) own_text: bool,
}

/// What a write-back of a run wrote, as an undo of it must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenTo {
    /// Position in its run, from 0.
    pub(crate) position: u32,
    pub(crate) name: String,
    /// What its records were mapped for, but for the layout; absent if it never came to that, or an
    /// earlier version wrote it.
    pub(crate) mapped_for: Option<MappedFor>,
    /// Records that it updated, inserted or deleted, or may have.
    pub(crate) written: u64,
    /// Whether there are before-images of them.
    pub(crate) has_images: bool,
}

/// How far a write-back of a run has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Whether its package stands and its read count is final.
    pub(crate) packaged: bool,
    /// Fingerprint of the layout its package was mapped for.
    pub(crate) layout: Option<String>,
    pub(crate) finished: bool,
    pub(crate) committed: Vec<BatchSpan>,
    pub(crate) sent: Vec<SentBatch>,
}

impl Ledger {
    /// Forgets what an interrupted pull left, before it is begun again: rejections, and batches cut
    /// from a package that is to be pulled anew.
    pub(crate) async fn restart_pull(&self, id: WriteBackId) -> Result<(), LedgerError> {
        let pulled_from = moment_text(Utc::now());
        self.write_of(
            id,
            "begin a pull again in",
            async |connection, write_back| {
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
    counted::forget(&mut *connection, write_back).await?;
    sqlx::query("UPDATE write_backs SET pulled_from = ? WHERE write_back = ?")
        .bind(pulled_from)
        .bind(write_back)
        .execute(connection)
        .await?;
    Ok(())
},
        )
        .await
    }

    /// The package stands; `read` records were read in all.
    pub(crate) async fn record_packaged(
        &self,
        id: WriteBackId,
        read: u64,
        mapped_for: &MappedFor,
    ) -> Result<(), LedgerError> {
        self.write_of(id, "record a package in", async |connection, write_back| {
    let update = sqlx::query(
        "UPDATE write_backs SET read = ?, layout = ?, destination = ?, object = ?, fields = ?, journal = ? WHERE write_back = ?",
    );
        let object = json_text(&mapped_for.object)?;
    let fields = json_text(&mapped_for.fields)?;
    let update = update
        .bind(kept(read)?)
        .bind(&mapped_for.layout)
        .bind(&mapped_for.destination)
        .bind(object)
        .bind(fields);
    let journal = mapped_for.journal.as_ref().map(json_text).transpose()?;
    update
        .bind(journal)
        .bind(write_back)
        .execute(connection)
        .await?;
    Ok(())
})
        .await
    }

    /// How far a write-back of a run has come.
    pub(crate) async fn progress(&self, id: WriteBackId) -> Result<Progress, LedgerError> {
        self.read_of(id, async |connection, write_back| {
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
})
        .await
    }

    /// What the ledger's own rows (batches that are or may be committed, rejections, read count)
    /// sum to.
    pub(crate) async fn tally(&self, id: WriteBackId) -> Result<Tally, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            tally(connection, write_back).await
        })
        .await
    }

    /// A write-back is done; `seconds` of this process are added to earlier ones'.
    pub(crate) async fn finish_write_back(
        &self,
        id: WriteBackId,
        seconds: f64,
    ) -> Result<(), LedgerError> {
        self.write_of(
            id,
            "finish a write-back in",
            async |connection, write_back| {
    let update = sqlx::query(
        "UPDATE write_backs SET finished = 1, seconds = seconds + ? WHERE write_back = ?",
    );
    update
        .bind(seconds)
        .bind(write_back)
        .execute(&mut *connection)
        .await?;
    pending::keep_landed(&mut *connection, write_back).await?;
    counted::keep(connection, write_back).await
},
        )
        .await
    }

    /// What each write-back of a run wrote, in the run's order.
    /// Errors: `NoSuchRun`.
    pub(crate) async fn written_to(&self, run: i64) -> Result<Vec<WrittenTo>, LedgerError> {
        self.read(async |connection| {
    let rows = sqlx::query(
        "SELECT position, name, layout, destination, object, fields, journal,
                (SELECT coalesce(sum(inserted + updated + deleted), 0) FROM batches AS b
                 WHERE b.write_back = w.write_back) AS written,
                EXISTS (SELECT 1 FROM images JOIN batches AS b USING (batch) WHERE b.write_back = w.write_back)
                AND NOT EXISTS (SELECT 1 FROM batches AS b
                                WHERE b.write_back = w.write_back AND inserted + updated + deleted > 0
                                      AND NOT EXISTS (SELECT 1 FROM images WHERE images.batch = b.batch)) AS has_images
         FROM write_backs AS w WHERE run = ? ORDER BY position",
    );
    let rows = rows.bind(run).fetch_all(connection).await?;
    if rows.is_empty() {
        return Err(Fault::NoSuchRun(run));
    }
    rows.iter().map(written_to_in).collect()
})
            .await
    }

    /// How many records of a write-back's batches were skipped for each reason.
    pub(crate) async fn skipped(
        &self,
        id: WriteBackId,
    ) -> Result<BTreeMap<SkipReason, u64>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let rows =
                sqlx::query("SELECT outcomes FROM batches WHERE write_back = ? AND skipped > 0");
            let mut rows = rows.bind(write_back).fetch(connection);
            let mut skipped = BTreeMap::new();
            while let Some(row) = rows.try_next().await? {
                for reason in outcomes::skip_reasons(row.try_get("outcomes")?) {
                    *skipped.entry(reason.map_err(Fault::Contents)?).or_default() += 1;
                }
            }
            Ok(skipped)
        })
        .await
    }
}

/// What counts: records read, the outcomes of batches, parked records that were left alone, and
/// rejections, one by one, of records that are in a batch or never came into one. A batch that is
/// not known to be committed counts as one that is. Rejected records are counted apart from what
/// batches say of them, so that the one holds the other to account.
pub(super) async fn tally(connection: &mut SqliteConnection, write_back: i64) -> Answer<Tally> {
    let sql = format!(
        "SELECT {} FROM write_backs AS w LEFT JOIN batches AS b ON b.write_back = w.write_back
         WHERE w.write_back = ?",
        outcomes::sums(Rejections::Each),
    );
    let row = sqlx::query(audited(sql)).bind(write_back);
    outcomes::tally_in(&row.fetch_one(connection).await?, "read")
}

fn written_to_in(row: &SqliteRow) -> Answer<WrittenTo> {
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let mapped_for = match (
        text("layout")?,
        text("destination")?,
        text("object")?,
        text("fields")?,
    ) {
        (Some(layout), Some(destination), Some(object), Some(fields)) => Some(MappedFor {
            layout,
            destination,
            object: from_json(&object)?,
            fields: from_json(&fields)?,
            journal: text("journal")?.map(|path| from_json(&path)).transpose()?,
        }),
        _ => None,
    };
    Ok(WrittenTo {
        position: count(row, "position")?,
        name: row.try_get("name")?,
        mapped_for,
        written: count(row, "written")?,
        has_images: row.try_get("has_images")?,
    })
}
