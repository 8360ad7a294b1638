//! The ledger's account of before-images: where those of each sending of a batch stand, and what is
//! known of its commit.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{count, from_json, json_text, kept, span};
use super::error::{Answer, LedgerError};
use super::parts::{BatchSpan, WriteBackId};
use super::sqlite::Ledger;
use crate::domain::doubt::Marker;
use crate::domain::key_span::KeySpan;

/// Where the before-images of a batch stand: a piece of a file in the run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageSegment {
    /// Its name in the folder of the write-back's before-images.
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// XXH3 of the piece, 64 bits.
    pub(crate) xxh3: u64,
    /// Between which match keys its records are, if that is known.
    pub(crate) keys: Option<KeySpan>,
}

/// The before-images of one sending of a batch, and what is known of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentImages {
    /// Under which the ledger knows them.
    pub(crate) image: i64,
    pub(crate) span: BatchSpan,
    pub(crate) segment: ImageSegment,
    pub(crate) commit: Commit,
    /// What tells whether it was committed, if anything does.
    pub(crate) marker: Option<Marker>,
}

impl SentImages {
    /// Orders a batch's sendings by whose before-image of a record counts: the latest that is known
    /// to be committed, else the first, which may be. What rows held after that, earlier versions
    /// kept too.
    pub(crate) fn that_count_first(sendings: &[Self]) -> Vec<&Self> {
        let is_known = |sending: &&Self| sending.commit == Commit::Known;
        sendings
            .iter()
            .rev()
            .filter(is_known)
            .chain(sendings.iter().filter(|sending| !is_known(sending)))
            .collect()
    }
}

/// What is known of the commit of a sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    Known,
    /// The batch is over, and what this sending was to write is taken for written: rows no longer
    /// held what they held before.
    Doubtful,
    /// The batch was sent and is not known to be committed.
    InDoubt,
}

/// What becomes of what earlier sendings of a batch left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// These before-images go: the destination says that their sendings were rolled back.
    RolledBack(Vec<i64>),
    /// As above, and the others stay in doubt for good: what rows no longer held was not sent
    /// again.
    Doubtful(Vec<i64>),
}

impl Default for Earlier {
    fn default() -> Self {
        Self::RolledBack(Vec::new())
    }
}

impl Ledger {
    /// The before-images of a write-back's batches that are or may be committed: batch by batch, in
    /// the order of partitions; of several sendings of one batch the latest last.
    pub(crate) async fn images(&self, id: WriteBackId) -> Result<Vec<SentImages>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            images(connection, write_back, None).await
        })
        .await
    }

    /// As [`Ledger::images`], those of one batch.
    pub(crate) async fn images_of(
        &self,
        id: WriteBackId,
        span: BatchSpan,
    ) -> Result<Vec<SentImages>, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            images(connection, write_back, Some(span)).await
        })
        .await
    }
}

pub(super) async fn record_images(
    connection: &mut SqliteConnection,
    batch: i64,
    images: &ImageSegment,
    marker: Option<&Marker>,
) -> Answer<()> {
    let insert = sqlx::query(
        "INSERT INTO images (batch, file, offset, bytes, xxh3, marker, first_key, last_key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let marker = marker.map(json_text).transpose()?;
    let insert = insert
        .bind(batch)
        .bind(&images.file)
        .bind(kept(images.offset)?)
        .bind(kept(images.bytes)?);
    insert
        .bind(images.xxh3.cast_signed())
        .bind(marker)
        .bind(images.keys.as_ref().map(|keys| &keys.first))
        .bind(images.keys.as_ref().map(|keys| &keys.last))
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
        "SELECT image, partition, first, records, file, offset, bytes, i.xxh3, marker, committed, doubtful,
                first_key, last_key
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
    let marker: Option<&str> = row.try_get("marker")?;
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
        marker: marker.map(from_json).transpose()?,
    })
}

pub(super) fn image_segment(row: &SqliteRow) -> Answer<ImageSegment> {
    let (file, xxh3): (String, i64) = (row.try_get("file")?, row.try_get("xxh3")?);
    let (offset, bytes) = (count(row, "offset")?, count(row, "bytes")?);
    let keys: (Option<String>, Option<String>) =
        (row.try_get("first_key")?, row.try_get("last_key")?);
    Ok(ImageSegment {
        file,
        offset,
        bytes,
        xxh3: xxh3.cast_unsigned(),
        keys: match keys {
            (Some(first), Some(last)) => Some(KeySpan { first, last }),
            (_, _) => None,
        },
    })
}
