//! What the rejections of a write-back come to: how many, and what is wrong with them. They are
//! counted once, when the write-back is finished, and kept with it: who only looks, counts nothing.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{count, from_json, json_text};
use super::error::Answer;

/// Groups that are kept of a write-back's rejections: as many as a page shows.
pub(crate) const GROUPS_KEPT: u32 = 50;

/// Rejected records that have everything in common but their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RejectionGroup {
    pub(crate) stage: String,
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
    pub(crate) records: u64,
}

/// Counts the rejections of a write-back that is finished, and keeps what they come to.
pub(super) async fn keep(connection: &mut SqliteConnection, write_back: i64) -> Answer<()> {
    let groups = groups(&mut *connection, write_back, GROUPS_KEPT).await?;
    let update = sqlx::query(
        "UPDATE write_backs SET rejected_for = ?2, (rejected_in_all, rejected_keyless) =
             (SELECT count(*), count(*) - count(key) FROM rejections WHERE rejections.write_back = ?1)
         WHERE write_back = ?1",
    );
    let update = update.bind(write_back).bind(json_text(&groups)?);
    update.execute(connection).await?;
    Ok(())
}

/// What was counted holds no longer.
pub(super) async fn forget(connection: &mut SqliteConnection, write_back: i64) -> Answer<()> {
    let update = sqlx::query(
        "UPDATE write_backs SET rejected_in_all = NULL, rejected_keyless = NULL, rejected_for = NULL
         WHERE write_back = ? AND rejected_in_all IS NOT NULL",
    );
    update.bind(write_back).execute(connection).await?;
    Ok(())
}

/// The groups of a write-back's rejections, the most frequent first, `groups_max` at most: as they
/// are kept in its row, or else counted now.
pub(super) async fn groups_of(
    connection: &mut SqliteConnection,
    row: &SqliteRow,
    groups_max: u32,
) -> Answer<Vec<RejectionGroup>> {
    let kept: Option<&str> = row.try_get("rejected_for")?;
    match kept.filter(|_| groups_max <= GROUPS_KEPT) {
        Some(kept) => {
            let mut groups: Vec<RejectionGroup> = from_json(kept)?;
            groups.truncate(usize::try_from(groups_max).unwrap_or(usize::MAX));
            Ok(groups)
        }
        None => groups(connection, row.try_get("write_back")?, groups_max).await,
    }
}

async fn groups(
    connection: &mut SqliteConnection,
    write_back: i64,
    groups_max: u32,
) -> Answer<Vec<RejectionGroup>> {
    let found = sqlx::query(
        "SELECT stage, \"column\", reason, count(*) AS records FROM rejections WHERE write_back = ?
         GROUP BY stage, \"column\", reason ORDER BY records DESC, stage, \"column\", reason LIMIT ?",
    );
    let found = found
        .bind(write_back)
        .bind(groups_max)
        .fetch_all(connection)
        .await?;
    let group = |row: &SqliteRow| {
        Ok(RejectionGroup {
            stage: row.try_get("stage")?,
            column: row.try_get("column")?,
            reason: row.try_get("reason")?,
            records: count(row, "records")?,
        })
    };
    found.iter().map(group).collect()
}
