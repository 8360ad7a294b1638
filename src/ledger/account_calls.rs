//! The ledger's account of calls of web APIs: which runs made how many.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::codec::{count, kept};
use super::error::{Answer, LedgerError};
use super::sqlite::Ledger;
use crate::domain::account_calls::AccountCalls;

impl Ledger {
    /// Adds to the calls of a run those that a process made of it.
    pub(crate) async fn add_calls(
        &self,
        run: i64,
        calls: &[AccountCalls],
    ) -> Result<(), LedgerError> {
        self.write("count the calls of a run in", async |connection| {
            for one in calls {
                let add = sqlx::query(
                    "INSERT INTO account_calls (run, connection, made, used, allowed) VALUES (?, ?, ?, ?, ?)
                     ON CONFLICT (run, connection) DO UPDATE SET made = made + excluded.made,
                         used = coalesce(excluded.used, used), allowed = coalesce(excluded.allowed, allowed)",
                );
                add.bind(run)
                    .bind(&one.connection)
                    .bind(kept(one.made)?)
                    .bind(one.used.map(kept).transpose()?)
                    .bind(one.allowed.map(kept).transpose()?)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    /// Calls that a run made, by connection.
    pub(crate) async fn calls(&self, run: i64) -> Result<Vec<AccountCalls>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query("SELECT * FROM account_calls WHERE run = ? ORDER BY connection");
            let rows = rows.bind(run).fetch_all(connection).await?;
            rows.iter().map(of_row).collect()
        })
        .await
    }
}

fn of_row(row: &SqliteRow) -> Answer<AccountCalls> {
    Ok(AccountCalls {
        connection: row.try_get("connection")?,
        made: count(row, "made")?,
        used: known(row, "used")?,
        allowed: known(row, "allowed")?,
    })
}

fn known(row: &SqliteRow, column: &str) -> Answer<Option<u64>> {
    let is_known = row.try_get::<Option<i64>, _>(column)?.is_some();
    is_known.then(|| count(row, column)).transpose()
}
