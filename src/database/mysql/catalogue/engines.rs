//! Which storage engine keeps a table's rows, and whether it takes part in transactions. What a
//! trigger writes to, and what stands behind a view whose definition the user may not see, the
//! catalogue does not tell.

use sqlparser::ast::{SetExpr, Statement, TableFactor};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use super::{READING, TableEntry};
use crate::database::mysql::{Session, text};
use crate::domain::error::SystemError;
use crate::domain::object::Obstacle;

/// Views upon views that are looked through; the servers themselves allow about as many.
const TABLES_MAX: usize = 64;

/// What stands against writing to a table, or through a view, whose rows an engine without
/// transactions keeps.
pub(super) async fn obstacle(
    session: &mut Session,
    table: &TableEntry,
) -> Result<Option<Obstacle>, SystemError> {
    let mut paths = vec![(table.database.clone(), table.name.clone())];
    let mut next = 0;
    while let Some((database, name)) = paths.get(next).cloned() {
        next += 1;
        let kept = kept(session, &database, &name).await?;
        if let Some(Engine {
            name: engine,
            transactional: false,
        }) = kept.engine
        {
            let object = format!("{database}.{name}");
            let (why, object) = match next {
                1 => (
                    format!("is kept by the engine {engine}, which knows no transactions"),
                    "it".to_owned(),
                ),
                _ => (
                    format!(
                        "shows `{object}`, which is kept by the engine {engine}, and that knows no transactions"
                    ),
                    format!("`{object}`"),
                ),
            };
            let hint = format!(
                "what is written there cannot be rolled back: let InnoDB keep {object} (`ALTER TABLE … ENGINE = InnoDB`)"
            );
            return Ok(Some(Obstacle::to_all(why, hint)));
        }
        for path in kept
            .definition
            .as_deref()
            .map(|sql| shown(sql, &database))
            .unwrap_or_default()
        {
            if !paths.contains(&path) && paths.len() < TABLES_MAX {
                paths.push(path);
            }
        }
    }
    Ok(None)
}

struct Engine {
    name: String,
    transactional: bool,
}

/// How a table's rows are kept.
struct Kept {
    /// `None` for a view.
    engine: Option<Engine>,
    /// Of a view, if this user may see it.
    definition: Option<String>,
}

async fn kept(session: &mut Session, database: &str, name: &str) -> Result<Kept, SystemError> {
    let sql = "SELECT CAST(t.ENGINE AS CHAR), CAST(e.TRANSACTIONS AS CHAR), CAST(v.VIEW_DEFINITION AS CHAR) \
               FROM information_schema.TABLES AS t LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE \
               LEFT JOIN information_schema.VIEWS AS v \
               ON v.TABLE_SCHEMA = t.TABLE_SCHEMA AND v.TABLE_NAME = t.TABLE_NAME \
               WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?";
    let rows = session
        .rows(sql.to_owned(), &[database, name], READING)
        .await?;
    let cell = |position| rows.first().and_then(|row| text(row, position));
    let transactional = cell(1).as_deref() == Some("YES");
    let engine = cell(0).map(|name| Engine {
        name,
        transactional,
    });
    Ok(Kept {
        engine,
        definition: cell(2).filter(|definition| !definition.is_empty()),
    })
}

/// Database and name of the tables that a view's rows come from, as its definition names them;
/// those that it only looks things up in are left out.
fn shown(definition: &str, database: &str) -> Vec<(String, String)> {
    let Ok(statements) = Parser::parse_sql(&MySqlDialect {}, definition) else {
        return Vec::new();
    };
    let Some(Statement::Query(query)) = statements.into_iter().next() else {
        return Vec::new();
    };
    let SetExpr::Select(select) = *query.body else {
        return Vec::new();
    };
    let joined = |from: sqlparser::ast::TableWithJoins| {
        std::iter::once(from.relation)
            .chain(from.joins.into_iter().map(|join| join.relation))
            .collect::<Vec<_>>()
    };
    let mut factors: Vec<TableFactor> = select.from.into_iter().flat_map(joined).collect();
    let mut shown = Vec::new();
    while let Some(factor) = factors.pop() {
        // Nothing can be written through anything else.
        if let TableFactor::Table { name, .. } = factor {
            let mut parts: Vec<String> = name
                .0
                .iter()
                .filter_map(|part| part.as_ident())
                .map(|ident| ident.value.clone())
                .collect();
            let table = parts.pop().unwrap_or_default();
            shown.push((parts.pop().unwrap_or_else(|| database.to_owned()), table));
        } else if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
        {
            factors.extend(joined(*table_with_joins));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(definition: &str) -> String {
        let mut shown: Vec<String> = shown(definition, "crm")
            .into_iter()
            .map(|(database, table)| format!("{database}.{table}"))
            .collect();
        shown.sort();
        shown.join(" ")
    }

    #[test]
    fn a_view_shows_the_tables_it_selects_from() {
        assert_eq!(
            named("select `t`.`m`.`id` AS `id` from `t`.`m` where `t`.`m`.`v` > 0"),
            "t.m"
        );
        assert_eq!(
            named(
                "select `vm`.`id` AS `id` from `t`.`vm` where `vm`.`v` in (select `x`.`y` from `x`)"
            ),
            "t.vm"
        );
        assert_eq!(
            named(
                "select `a`.`id` AS `id` from (`t`.`a` join `u`.`b` on(`t`.`a`.`id` = `u`.`b`.`id`))"
            ),
            "t.a u.b"
        );
        assert_eq!(named("select 1 from m"), "crm.m");
        assert_eq!(named("no SQL at all"), "");
    }
}
