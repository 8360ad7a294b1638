//! The ledger's account of acts: who did what, when, and what came of it. Rows are only added, and
//! each is sealed together with the seal of the one before, so that a row that was altered or taken
//! out is found.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::codec::{moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::sqlite::Ledger;
use crate::domain::printable::hexadecimal;

/// The result of an act that was not refused.
pub(crate) const DONE: &str = "done";

/// Stands for the seal before the first.
const NOTHING_BEFORE: &str = "";

/// An act that is over.
#[derive(Debug, Clone)]
pub(crate) struct NewAction<'a> {
    /// Absent if nobody was known by then.
    pub(crate) who: Option<&'a str>,
    pub(crate) role: Option<&'a str>,
    /// `page`, `api`, `cli` or `link`.
    pub(crate) through: &'a str,
    pub(crate) address: Option<&'a str>,
    pub(crate) act: &'a str,
    /// What it was done to.
    pub(crate) target: Option<&'a str>,
    /// As JSON, without values of records.
    pub(crate) arguments: Option<&'a str>,
    /// Digest of what was seen when it was asked for.
    pub(crate) seen: Option<&'a str>,
    /// `done`, or why it was refused.
    pub(crate) result: &'a str,
}

/// An act as history shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Action {
    pub(crate) action: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) who: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) through: String,
    pub(crate) address: Option<String>,
    pub(crate) act: String,
    pub(crate) target: Option<String>,
    pub(crate) arguments: Option<String>,
    pub(crate) seen: Option<String>,
    pub(crate) result: String,
}

/// Which acts are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActionsWanted {
    pub(crate) act: Option<String>,
    pub(crate) who: Option<String>,
    /// Stands in what it was done to, letter by letter.
    pub(crate) target: Option<String>,
    /// Whether it was done, or refused.
    pub(crate) is_done: Option<bool>,
    /// Only acts before this one.
    pub(crate) before: Option<i64>,
}

/// Whether the account of acts is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    Whole {
        actions: u64,
    },
    /// This act was altered, or taken out.
    Broken {
        action: i64,
    },
}

impl Action {
    fn new(action: i64, at: DateTime<Utc>, new: &NewAction<'_>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            action,
            at,
            who: owned(new.who),
            role: owned(new.role),
            through: new.through.to_owned(),
            address: owned(new.address),
            act: new.act.to_owned(),
            target: owned(new.target),
            arguments: owned(new.arguments),
            seen: owned(new.seen),
            result: new.result.to_owned(),
        }
    }
}

impl Ledger {
    /// Records an act. Acts are numbered from 1.
    pub(crate) async fn record_action(&self, action: &NewAction<'_>) -> Result<i64, LedgerError> {
        let at = Utc::now();
        self.write("record an act in", async |connection| {
            record(connection, action, at).await
        })
        .await
    }

    /// Acts that are wanted, newest first, `actions_max` at most.
    pub(crate) async fn actions(
        &self,
        wanted: &ActionsWanted,
        actions_max: u32,
    ) -> Result<Vec<Action>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query(
                "SELECT * FROM actions
                 WHERE (?1 IS NULL OR action < ?1) AND (?2 IS NULL OR act = ?2) AND (?3 IS NULL OR who = ?3)
                       AND (?4 IS NULL OR instr(target, ?4) > 0) AND (?5 IS NULL OR (result = ?6) = ?5)
                 ORDER BY action DESC LIMIT ?7",
            );
            let rows = rows
                .bind(wanted.before)
                .bind(&wanted.act)
                .bind(&wanted.who)
                .bind(&wanted.target)
                .bind(wanted.is_done)
                .bind(DONE)
                .bind(actions_max);
            let rows = rows.fetch_all(connection).await?;
            rows.iter().map(of_row).collect()
        })
        .await
    }

    /// What was ever done, each act by its name.
    pub(crate) async fn acts(&self) -> Result<Vec<String>, LedgerError> {
        self.read(async |connection| {
            let acts = sqlx::query_scalar("SELECT DISTINCT act FROM actions ORDER BY act");
            Ok(acts.fetch_all(connection).await?)
        })
        .await
    }

    /// Looks whether acts are as they were recorded.
    pub(crate) async fn verify_actions(&self) -> Result<Chain, LedgerError> {
        self.read(async |connection| chain(connection).await).await
    }
}

async fn record(
    connection: &mut SqliteConnection,
    new: &NewAction<'_>,
    at: DateTime<Utc>,
) -> Answer<i64> {
    let last = sqlx::query("SELECT action, seal FROM actions ORDER BY action DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    let (number, seal_before) = match &last {
        Some(row) => (row.try_get::<i64, _>("action")? + 1, row.try_get("seal")?),
        None => (1, NOTHING_BEFORE.to_owned()),
    };
    let action = Action::new(number, at, new);
    let insert = sqlx::query(
        "INSERT INTO actions (action, at, who, role, through, address, act, target, arguments, seen, result, seal)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let insert = insert
        .bind(number)
        .bind(moment_text(at))
        .bind(new.who)
        .bind(new.role)
        .bind(new.through)
        .bind(new.address);
    let insert = insert
        .bind(new.act)
        .bind(new.target)
        .bind(new.arguments)
        .bind(new.seen)
        .bind(new.result)
        .bind(seal(&seal_before, &action)?);
    insert.execute(connection).await?;
    Ok(number)
}

async fn chain(connection: &mut SqliteConnection) -> Answer<Chain> {
    let rows = sqlx::query("SELECT * FROM actions ORDER BY action")
        .fetch_all(connection)
        .await?;
    let mut seal_before = NOTHING_BEFORE.to_owned();
    for (number, row) in (1_i64..).zip(&rows) {
        let (action, held): (Action, String) = (of_row(row)?, row.try_get("seal")?);
        if action.action != number || held != seal(&seal_before, &action)? {
            return Ok(Chain::Broken { action: number });
        }
        seal_before = held;
    }
    Ok(Chain::Whole {
        actions: rows.len() as u64,
    })
}

/// SHA-256 of the seal before and of an act, hexadecimal.
fn seal(seal_before: &str, action: &Action) -> Answer<String> {
    let text = serde_json::to_string(action).map_err(|error| Fault::Contents(error.to_string()))?;
    let mut hash = Sha256::new();
    hash.update(seal_before);
    hash.update(text);
    Ok(hexadecimal(&hash.finalize()))
}

fn of_row(row: &SqliteRow) -> Answer<Action> {
    Ok(Action {
        action: row.try_get("action")?,
        at: moment(row.try_get("at")?)?,
        who: row.try_get("who")?,
        role: row.try_get("role")?,
        through: row.try_get("through")?,
        address: row.try_get("address")?,
        act: row.try_get("act")?,
        target: row.try_get("target")?,
        arguments: row.try_get("arguments")?,
        seen: row.try_get("seen")?,
        result: row.try_get("result")?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;
    use crate::database::audited;

    const ACT: NewAction<'_> = NewAction {
        who: Some("ada"),
        role: Some("operator"),
        through: "page",
        address: None,
        act: "sign in",
        target: None,
        arguments: None,
        seen: None,
        result: "done",
    };

    async fn alter(ledger: &Ledger, sql: &str) {
        ledger
            .write("alter", async |connection| {
                sqlx::query(audited(sql.to_owned()))
                    .execute(connection)
                    .await?;
                Ok(())
            })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_act_that_was_altered_or_taken_out_is_found() {
        let folder = tempfile::TempDir::new().unwrap();
        let ledger = Ledger::open(folder.path()).await.unwrap();
        assert_eq!(
            ledger.verify_actions().await.unwrap(),
            Chain::Whole { actions: 0 }
        );
        for _ in 0..4 {
            ledger.record_action(&ACT).await.unwrap();
        }
        assert_eq!(
            ledger.verify_actions().await.unwrap(),
            Chain::Whole { actions: 4 }
        );
        let newest = ledger.actions(&ActionsWanted::default(), 2).await.unwrap();
        assert_eq!(
            newest.iter().map(|act| act.action).collect::<Vec<_>>(),
            [4, 3]
        );
        for action in [2, 4] {
            let set =
                |who: &str| format!("UPDATE actions SET who = '{who}' WHERE action = {action}");
            alter(&ledger, &set("eve")).await;
            assert_eq!(
                ledger.verify_actions().await.unwrap(),
                Chain::Broken { action }
            );
            alter(&ledger, &set("ada")).await;
        }
        alter(&ledger, "DELETE FROM actions WHERE action = 3").await;
        assert_eq!(
            ledger.verify_actions().await.unwrap(),
            Chain::Broken { action: 3 }
        );
    }
}
