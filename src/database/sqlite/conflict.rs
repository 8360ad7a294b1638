//! The `ON CONFLICT` clauses of a table's constraints. They would turn a write that a constraint
//! refuses into something else: `REPLACE` deletes the other row, `IGNORE` leaves ours out, `FAIL`
//! and `ROLLBACK` end statement and transaction half-way. A clause of the statement, `OR ABORT`,
//! takes precedence over them; but it does so in triggers as well, over clauses that their
//! statements may well mean (`INSERT OR REPLACE INTO log`), so it is written only where it is
//! needed. Source: <https://www.sqlite.org/lang_conflict.html>,
//! <https://www.sqlite.org/lang_createtrigger.html>.

use super::SqliteDatabase;
use crate::database::{Dialect, audited};

impl SqliteDatabase {
    /// Whether a write to a table, or through a view, could meet such a clause. What a view's
    /// triggers write to is not told by the catalogue; so any table of the file counts then.
    pub(crate) async fn has_conflict_clauses(
        &mut self,
        table: &str,
        is_view: bool,
    ) -> Result<bool, sqlx::Error> {
        let schema = Dialect::Sqlite.quote(&self.schema);
        let sql = format!(
            "SELECT sql FROM {schema}.sqlite_schema WHERE type = 'table' AND sql LIKE '%CONFLICT%' \
             AND (? OR name = ? COLLATE NOCASE)"
        );
        let query = sqlx::query_scalar(audited(sql))
            .bind(is_view)
            .bind(table.to_owned());
        let declarations: Vec<String> = query.fetch_all(self.connection()).await?;
        Ok(declarations
            .iter()
            .any(|declaration| has_clause(declaration)))
    }
}

/// Whether a `CREATE TABLE` has a clause other than `ON CONFLICT ABORT`, which is what happens
/// without one.
fn has_clause(declaration: &str) -> bool {
    let words = words(declaration);
    let mut threes = words.windows(3);
    threes.any(|three| matches!(three, [on, conflict, what] if on == "ON" && conflict == "CONFLICT" && what != "ABORT"))
}

/// The words of a statement in capitals; what stands in quotes or in a comment is none.
fn words(sql: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        let end: &str = match (character, characters.peek()) {
            ('\'', _) => "\'",
            ('"', _) => "\"",
            ('`', _) => "`",
            ('[', _) => "]",
            ('-', Some('-')) => "\n",
            ('/', Some('*')) => "*/",
            _ if character.is_alphanumeric() || character == '_' => {
                words
                    .last_mut()
                    .expect("there is always a last word")
                    .extend(character.to_uppercase());
                continue;
            }
            _ => "",
        };
        words.push(String::new());
        if !end.is_empty() {
            let mut last = ' ';
            // Where a quote is doubled, what follows is taken for another quoted text, which makes
            // no difference.
            let _ = characters.by_ref().find(|next| {
                let ends = if end == "*/" {
                    last == '*' && *next == '/'
                } else {
                    end.starts_with(*next)
                };
                last = *next;
                ends
            });
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_found_wherever_a_constraint_has_them() {
        for declaration in [
            "CREATE TABLE t (email TEXT UNIQUE ON CONFLICT REPLACE)",
            "create table t(id integer primary key on conflict ignore, a)",
            "CREATE TABLE t (a NOT NULL ON\n CONFLICT -- always\n FAIL)",
            "CREATE TABLE t (a, UNIQUE (a) ON CONFLICT/**/ROLLBACK)",
            "CREATE TABLE t (a TEXT UNIQUE ON CONFLICT ABORT, b TEXT DEFAULT 'it''s' UNIQUE ON CONFLICT REPLACE)",
        ] {
            assert!(has_clause(declaration), "{declaration}");
        }
    }

    #[test]
    fn what_only_looks_like_a_clause_is_none() {
        for declaration in [
            "CREATE TABLE t (email TEXT UNIQUE)",
            "CREATE TABLE t (email TEXT UNIQUE ON CONFLICT ABORT)",
            "CREATE TABLE t (a TEXT DEFAULT 'ON CONFLICT REPLACE')",
            "CREATE TABLE t (\"ON CONFLICT\" TEXT, [REPLACE] TEXT, `on` TEXT) -- ON CONFLICT REPLACE",
            "CREATE TABLE t (a /* ON CONFLICT REPLACE */ TEXT)",
        ] {
            assert!(!has_clause(declaration), "{declaration}");
        }
    }
}
