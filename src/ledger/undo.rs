//! What the ledger knows of a run that is to be taken back, and of what taking it back came to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rows::{Answer, Fault, count, moment_text};
use super::{MappedFor, WrittenTo, outcomes};
use crate::domain::outcome::SkipReason;

pub(super) async fn written_to(
    connection: &mut SqliteConnection,
    run: i64,
) -> Answer<Vec<WrittenTo>> {
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
}

fn written_to_in(row: &SqliteRow) -> Answer<WrittenTo> {
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let json = |error: serde_json::Error| Fault::Contents(error.to_string());
    let mapped_for = match (
        text("layout")?,
        text("destination")?,
        text("object")?,
        text("fields")?,
    ) {
        (Some(layout), Some(destination), Some(object), Some(fields)) => Some(MappedFor {
            layout,
            destination,
            object: serde_json::from_str(&object).map_err(json)?,
            fields: serde_json::from_str(&fields).map_err(json)?,
            journal: text("journal")?
                .map(|path| serde_json::from_str(&path))
                .transpose()
                .map_err(json)?,
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

pub(super) async fn skipped(
    connection: &mut SqliteConnection,
    write_back: i64,
) -> Answer<BTreeMap<SkipReason, u64>> {
    let rows = sqlx::query("SELECT outcomes FROM batches WHERE write_back = ? AND skipped > 0");
    let mut rows = rows.bind(write_back).fetch(connection);
    let mut skipped = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        for reason in outcomes::skip_reasons(row.try_get("outcomes")?) {
            *skipped.entry(reason.map_err(Fault::Contents)?).or_default() += 1;
        }
    }
    Ok(skipped)
}

pub(super) async fn runs_ended_before(
    connection: &mut SqliteConnection,
    job: &str,
    write_back: &str,
    instant: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Answer<Vec<i64>> {
    // A run that ended later than now did so by a clock that was ahead: it ended before the next
    // one began.
    let runs = sqlx::query_scalar(
        "SELECT run FROM runs JOIN write_backs USING (run)
         WHERE job = ?1 AND name = ?2
               AND CASE WHEN finished_at <= ?4 THEN finished_at
                        ELSE (SELECT min(started_at) FROM runs AS later WHERE later.run > runs.run) END < ?3
               AND finished_at IS NOT NULL
         ORDER BY run",
    );
    let runs = runs
        .bind(job)
        .bind(write_back)
        .bind(moment_text(instant))
        .bind(moment_text(now));
    Ok(runs.fetch_all(connection).await?)
}
