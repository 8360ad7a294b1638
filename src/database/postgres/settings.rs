//! The settings of a session that change what is read or written, whatever the server, the database
//! or the role (`ALTER ROLE … SET`) have made of them: each with the value it must have, and why. A
//! setting that the server's version does not know changes nothing there; one that this user may
//! not set ends the connection before anything is done on it.
//!
//! Left as they are on purpose, because a model runs in the dialect its server is set to:
//! `lc_numeric`, `lc_time`, `default_text_search_config`, `timezone_abbreviations`, `xmlbinary`,
//! `xmloption`, and `search_path`, of which only the place of `pg_catalog` is ours. Left because
//! the server refuses aloud: `default_transaction_read_only`, `row_security` (`off` refuses where a
//! policy would hide rows; `on` shows what the user may see), `temp_file_limit`,
//! `restrict_nonsystem_relation_kind`. Named where a transaction begins: its isolation. Of no
//! effect on what we ask: `check_function_bodies`, `backslash_quote`, `lo_compat_privileges`,
//! `synchronize_seqscans`, the settings of DDL and all that the planner heeds but those below.
//! Beyond a session's reach: `fsync`, `full_page_writes`. Source:
//! <https://www.postgresql.org/docs/current/runtime-config.html>.

use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::milliseconds;
use crate::database::audited;
use crate::domain::connection::Limits;

/// What a session is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A setting as it must be.
struct Setting {
    /// In lower case.
    name: &'static str,
    /// As `pg_settings` writes it.
    value: String,
    /// The only value that is not left alone, if others will do.
    unless_not: Option<&'static str>,
}

fn pinned(name: &'static str, value: impl Into<String>) -> Setting {
    Setting {
        name,
        value: value.into(),
        unless_not: None,
    }
}

/// Limits, formats, and what else must be so, in a session of which transactions may lie idle for
/// `idle_max`.
///
/// The planner does not know how many records a batch has. Planning anew for each batch (5 000
/// records against 500 000 rows, key indexed) it chose a merge join over the whole index, 54 ms to
/// 68 ms; planned once for an unknown batch and with pages priced as a warm cache serves them, it
/// probes the index in key order, 14 ms; 100 000 records take 0.73 s to update that way and 0.80 s
/// with a hash join over the whole table. Without an index it hashes the batch and reads the table
/// once, 36 ms. At the stock price of a page the plan made for an object that is still empty reads
/// the whole table, and is kept while the object grows. `enable_seqscan = off` must not be used:
/// without an index it compared every record with every row, 145 s.
fn wanted(limits: &Limits, idle_max: Duration, access: Access) -> Vec<Setting> {
    let mut settings = vec![
        pinned("statement_timeout", milliseconds(limits.statement_timeout)),
        pinned("lock_timeout", milliseconds(limits.lock_timeout)),
        pinned(
            "idle_in_transaction_session_timeout",
            milliseconds(idle_max),
        ),
        // A writer may wait long for its next batch, and a pull takes as long as it takes.
        pinned("idle_session_timeout", "0"),
        pinned("transaction_timeout", "0"),
        // A refused batch must not cost the connection.
        pinned("exit_on_error", "off"),
        // How values are spelled.
        pinned("timezone", "UTC"),
        pinned("datestyle", "ISO, YMD"),
        pinned("intervalstyle", "iso_8601"),
        pinned("bytea_output", "hex"),
        pinned("extra_float_digits", "3"),
        pinned("client_encoding", "UTF8"),
        pinned("lc_monetary", "C"),
        // How statements and names are.
        pinned("standard_conforming_strings", "on"),
        pinned("transform_null_equals", "off"),
        pinned("array_nulls", "on"),
        pinned("quote_all_identifiers", "off"),
        // What cuts: a search in a GIN index, and pages that are damaged.
        pinned("gin_fuzzy_search_limit", "0"),
        pinned("zero_damaged_pages", "off"),
        pinned("ignore_checksum_failure", "off"),
        pinned("plan_cache_mode", "force_generic_plan"),
        pinned("random_page_cost", "1.1"),
        pinned("cursor_tuple_fraction", "1"),
        pinned("jit", "off"),
    ];
    if access == Access::Write {
        // Else triggers do not fire and foreign keys are not checked.
        settings.push(pinned("session_replication_role", "origin"));
        // The ledger calls a batch committed when the commit returns: with `off` a crash of the
        // server could take it back. Whatever else it is, what is committed is on the server's own
        // disk.
        settings.push(Setting {
            unless_not: Some("off"),
            ..pinned("synchronous_commit", "on")
        });
    }
    settings
}

/// Brings the session's settings to the values they must have. Nothing is prepared for it, and
/// nothing set that is so. Errors: the server's, naming what it will not set.
pub(super) async fn pin(
    server: &mut PgConnection,
    limits: &Limits,
    idle_max: Duration,
    access: Access,
) -> Result<(), sqlx::Error> {
    let wanted = wanted(limits, idle_max, access);
    let names: Vec<String> = wanted
        .iter()
        .map(|setting| format!("'{}'", setting.name))
        .collect();
    let sql = format!(
        "SELECT lower(name), setting FROM pg_catalog.pg_settings WHERE lower(name) IN ({})",
        names.join(", ")
    );
    let rows = sqlx::raw_sql(audited(sql)).fetch_all(&mut *server).await?;
    let read = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    let held: Vec<(String, String)> = rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?;
    let mut statements: Vec<String> = wanted
        .iter()
        .filter_map(|setting| setting.statement(&held))
        .collect();
    statements.push(CATALOGUE_FIRST.to_owned());
    sqlx::raw_sql(audited(statements.join("; ")))
        .execute(server)
        .await
        .map(|_| ())
}

impl Setting {
    /// What sets it, if the server knows it and has something else.
    fn statement(&self, held: &[(String, String)]) -> Option<String> {
        let (_, now) = held.iter().find(|(name, _)| name == self.name)?;
        let will_do = *now == self.value || self.unless_not.is_some_and(|only| now != only);
        (!will_do).then(|| format!("SET {} = '{}'", self.name, self.value))
    }
}

/// Takes `pg_catalog` out of a search path that names it behind other schemas: then it comes before
/// them, and no function or operator of theirs takes the place of the server's own.
const CATALOGUE_FIRST: &str = "\
SELECT pg_catalog.set_config('search_path', (
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(path.name), ', ' ORDER BY path.position)
    FROM ROWS FROM (pg_catalog.unnest(pg_catalog.current_schemas(false))) WITH ORDINALITY AS path (name, position)
    WHERE path.name OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name), false)
WHERE 'pg_catalog'::pg_catalog.name OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(false))";

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(name: &str, now: &str) -> Option<String> {
        let wanted = wanted(&Limits::default(), Duration::from_secs(60), Access::Write);
        let held = [(name.to_owned(), now.to_owned())];
        wanted
            .iter()
            .find(|setting| setting.name == name)?
            .statement(&held)
    }

    #[test]
    fn what_is_so_is_not_set() {
        assert_eq!(statement("statement_timeout", "300000"), None);
        assert_eq!(
            statement("datestyle", "SQL, DMY").as_deref(),
            Some("SET datestyle = 'ISO, YMD'")
        );
        assert_eq!(statement("session_replication_role", "origin"), None);
    }

    #[test]
    fn a_commit_that_is_on_disk_is_enough() {
        assert_eq!(
            statement("synchronous_commit", "off").as_deref(),
            Some("SET synchronous_commit = 'on'")
        );
        assert_eq!(statement("synchronous_commit", "local"), None);
        assert_eq!(statement("synchronous_commit", "remote_apply"), None);
    }

    #[test]
    fn the_session_bounds_every_kind_of_waiting() {
        let bounds = [
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
        ]
        .map(|name| {
            let wanted = wanted(&Limits::default(), Duration::from_secs(60), Access::Read);
            wanted
                .into_iter()
                .find(|setting| setting.name == name)
                .map(|setting| setting.value)
        });
        assert_eq!(
            bounds.map(Option::unwrap_or_default),
            ["300000", "5000", "60000"]
        );
    }
}
