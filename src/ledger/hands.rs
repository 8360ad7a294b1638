//! Who had a hand in a run: who asked for it on the page, and who changed files of its job there.

use sqlx::Row as _;

use super::codec::json_text;
use super::error::LedgerError;
use super::sqlite::Ledger;
use crate::domain::four_eyes::{FileChanged, Hands};

impl Ledger {
    /// Who asked for a run, and who changed one of these files since the job's records were last
    /// delivered before it: the run is the first that carries their change.
    pub(crate) async fn hands_in(&self, run: i64, files: &[&str]) -> Result<Hands, LedgerError> {
        self.read(async |connection| {
            let asked = sqlx::query_scalar(
                "SELECT DISTINCT who FROM requests WHERE run = ? AND act IN ('run', 'retry', 'apply')",
            );
            let asked_by = asked.bind(run).fetch_all(&mut *connection).await?;
            let changed = sqlx::query(
                "SELECT DISTINCT who, target FROM actions
                 WHERE act = 'edit' AND result = 'done' AND who IS NOT NULL
                   AND target IN (SELECT value FROM json_each(?2))
                   AND at >= coalesce((SELECT max(earlier.started_at) FROM runs AS earlier JOIN runs AS own USING (job)
                                       WHERE own.run = ?1 AND earlier.run < ?1 AND earlier.whole
                                         AND earlier.status IN ('succeeded', 'rejected')), '')",
            );
            let changed = changed.bind(run).bind(json_text(files)?);
            let mut hands = Hands {
                asked_by,
                changed: Vec::new(),
            };
            for row in &changed.fetch_all(connection).await? {
                hands.changed.push(FileChanged {
                    by: row.try_get("who")?,
                    file: row.try_get("target")?,
                });
            }
            Ok(hands)
        })
        .await
    }
}
