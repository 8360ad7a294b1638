//! PostgreSQL's catalogue: which tables there are, and what each can hold.

use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};

use super::{Purpose, Session};
use crate::database::Dialect;
use crate::database::tables::ListedColumn;
use crate::domain::change::Change;
use crate::domain::error::SystemError;
use crate::domain::object::{
    Declaration, Holds, NameError, NamePart, Object, ObjectColumn, ObjectKind, Obstacle,
    Repertoire, RowLocks, Spelling, TextLimit, resolve_name,
};
use crate::domain::problem::{did_you_mean, quoted_list};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};

/// A table, view or the like, as the catalogue spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    id: i64,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Whether the session's search path finds it without its schema.
    pub(crate) visible: bool,
}

impl Relation {
    pub(crate) fn path(&self) -> Vec<String> {
        vec![self.schema.clone(), self.name.clone()]
    }
}

/// Finds the table meant by one to three parts: `table` along the search path, `schema.table`, or
/// `database.schema.table`, where the database is the connected one.
/// Errors: `NotFound`, with near misses.
pub(crate) async fn locate(
    session: &mut Session,
    parts: &[NamePart],
) -> Result<Relation, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let relations = relations(session, purpose).await?;
    let rows = session
        .fetch(
            purpose,
            "SELECT current_database()::text".to_owned(),
            PgArguments::default(),
        )
        .await?;
    let database: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
    find(&relations, &database.unwrap_or_default(), parts).cloned()
}

/// Names of the tables and views that the session finds without their schema, and of the others
/// with it.
pub(crate) async fn relation_names(session: &mut Session) -> Result<Vec<String>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let relations = relations(session, purpose).await?;
    let name = |relation: Relation| match relation.visible {
        true => relation.name,
        false => format!("{}.{}", relation.schema, relation.name),
    };
    Ok(relations.into_iter().map(name).collect())
}

/// The columns of all relations that can be read, relation by relation, partitions left out. Those
/// that need no schema's name come first.
pub(crate) async fn all_columns(session: &mut Session) -> Result<Vec<ListedColumn>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let rows = session
        .fetch(purpose, ALL_COLUMNS.to_owned(), PgArguments::default())
        .await?;
    let read = |row: &PgRow| {
        let (schema, table, visible) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let path: Vec<String> = match visible {
            true => vec![table],
            false => vec![schema, table],
        };
        Ok(ListedColumn {
            table: path,
            name: row.try_get(3)?,
            is_key: row.try_get(4)?,
        })
    };
    let columns: Result<Vec<ListedColumn>, sqlx::Error> = rows.iter().map(read).collect();
    columns.map_err(|error| session.failed(purpose.doing, error))
}

async fn relations(
    session: &mut Session,
    purpose: Purpose<'_>,
) -> Result<Vec<Relation>, SystemError> {
    let rows = session
        .fetch(purpose, RELATIONS.to_owned(), PgArguments::default())
        .await?;
    let read = |row: &PgRow| {
        Ok(Relation {
            id: row.try_get(0)?,
            schema: row.try_get(1)?,
            name: row.try_get(2)?,
            visible: row.try_get(3)?,
        })
    };
    let relations: Result<Vec<Relation>, sqlx::Error> = rows.iter().map(read).collect();
    relations.map_err(|error| session.failed(purpose.doing, error))
}

/// Reads what the catalogue says of a table.
pub(crate) async fn describe(
    session: &mut Session,
    relation: &Relation,
) -> Result<Object, SystemError> {
    let facts = read(session, RELATION, relation.id, RelationFacts::of).await?;
    let Some(facts) = facts.into_iter().next() else {
        return Err(SystemError::NotFound {
            what: format!("table `{}.{}`", relation.schema, relation.name),
            hint: None,
        });
    };
    let columns = read(
        session,
        &format!("{BASE_TYPES}\n{COLUMNS}"),
        relation.id,
        ColumnFacts::of,
    )
    .await?;
    let indexes = read(session, INDEXES, relation.id, IndexFacts::of).await?;
    let account = Dialect::Postgres.quote(session.user());
    let followed = read(session, FOLLOWED, relation.id, |row| row.try_get(0)).await?;
    let rules = read(session, RULES, relation.id, rule_obstacle).await?;
    let wrappers = read(session, WRAPPERS, relation.id, wrapper_obstacle).await?;
    let policy_obstacle = |row: &PgRow| policy_obstacle(row, relation, &account);
    let policies = read(session, POLICIES, relation.id, policy_obstacle).await?;
    let keeps_rows = (!facts.takes_deletions).then(Obstacle::to_deletions);
    Ok(Object {
        followed,
        obstacles: [rules, wrappers, policies, Vec::from_iter(keeps_rows)].concat(),
        ..object(relation, &facts, columns, &indexes, account)
    })
}

/// A rule that puts something in the place of a write.
fn rule_obstacle(row: &PgRow) -> Result<Obstacle, sqlx::Error> {
    let (name, event): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (change, changes) = match event.as_str() {
        "2" => (Change::Update, "updates"),
        _ => (Change::Delete, "deletions"),
    };
    Ok(Obstacle {
        against: vec![change],
        why: format!("has a rule, `{name}`, that puts something else in the place of {changes}"),
        hint: "let a trigger do what the rule does, and drop the rule".to_owned(),
    })
}

/// Row-level security that no policy opens to this user, for one command.
fn policy_obstacle(
    row: &PgRow,
    relation: &Relation,
    account: &str,
) -> Result<Obstacle, sqlx::Error> {
    let command: String = row.try_get(0)?;
    let (against, what) = match command.as_str() {
        "UPDATE" => (vec![Change::Update], "update no row"),
        "INSERT" => (vec![Change::Insert], "create no row"),
        _ => (
            vec![Change::Update, Change::Insert, Change::Delete],
            "see no row",
        ),
    };
    let table = Dialect::Postgres.quote_path(&relation.path());
    let condition = if command == "INSERT" {
        "WITH CHECK"
    } else {
        "USING"
    };
    Ok(Obstacle {
        against,
        why: format!("has row-level security, which lets {account} {what}"),
        hint: format!(
            "`CREATE POLICY writeback_{} ON {table} FOR {command} TO {account} {condition} (true)`",
            command.to_lowercase()
        ),
    })
}

/// Rows that another server keeps, behind a wrapper that does not roll them back with ours.
fn wrapper_obstacle(row: &PgRow) -> Result<Obstacle, sqlx::Error> {
    let (table, wrapper): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Obstacle::to_all(
        format!(
            "writes to the foreign table `{table}` through `{wrapper}`, which is not known to take part in transactions"
        ),
        "name the table of the other server, over a connection to that server".to_owned(),
    ))
}

/// How the columns of a table are declared now.
pub(crate) async fn declarations(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<Declaration>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let name = Dialect::Postgres.quote_path(path);
    let mut arguments = PgArguments::default();
    sqlx::Arguments::add(&mut arguments, name)
        .map_err(|error| session.failed(purpose.doing, error))?;
    let rows = session
        .fetch(purpose, format!("{BASE_TYPES}\n{DECLARATIONS}"), arguments)
        .await?;
    let read = |row: &PgRow| {
        Ok(Declaration {
            name: row.try_get(0)?,
            declared: row.try_get(1)?,
        })
    };
    let declarations: Result<Vec<Declaration>, sqlx::Error> = rows.iter().map(read).collect();
    declarations.map_err(|error| session.failed(purpose.doing, error))
}

/// Names of a table's triggers that are at work, those of its partitions included.
pub(crate) async fn triggers(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<String>, SystemError> {
    names(session, TRIGGERS, path).await
}

/// Names of the tables of which rows are deleted or emptied along with a row of a table.
pub(crate) async fn dependents(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<String>, SystemError> {
    names(session, DEPENDENTS, path).await
}

/// The columns of a table that a foreign key of one column leads from.
pub(crate) async fn references(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<ReferenceColumn>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let name = Dialect::Postgres.quote_path(path);
    let mut arguments = PgArguments::default();
    sqlx::Arguments::add(&mut arguments, name)
        .map_err(|error| session.failed(purpose.doing, error))?;
    let rows = session
        .fetch(purpose, REFERENCES.to_owned(), arguments)
        .await?;
    let read = |row: &PgRow| -> Result<ReferenceColumn, sqlx::Error> {
        let table: String = row.try_get(2)?;
        Ok(ReferenceColumn {
            column: row.try_get(0)?,
            relationship: Some(table.clone()),
            targets: vec![ReferenceTarget {
                path: vec![row.try_get(1)?, table],
                column: row.try_get(3)?,
            }],
        })
    };
    let references: Result<Vec<ReferenceColumn>, sqlx::Error> = rows.iter().map(read).collect();
    references.map_err(|error| session.failed(purpose.doing, error))
}

/// Foreign keys of one column: column, schema and table it leads to, column there.
const REFERENCES: &str = "SELECT own.attname::text, space.nspname::text, other.relname::text, there.attname::text \
     FROM pg_constraint AS con \
     JOIN pg_attribute AS own ON own.attrelid = con.conrelid AND own.attnum = con.conkey[1] \
     JOIN pg_class AS other ON other.oid = con.confrelid \
     JOIN pg_namespace AS space ON space.oid = other.relnamespace \
     JOIN pg_attribute AS there ON there.attrelid = con.confrelid AND there.attnum = con.confkey[1] \
     WHERE con.contype = 'f' AND con.conrelid = $1::regclass AND array_length(con.conkey, 1) = 1 \
     ORDER BY own.attnum, con.conname";

/// Names that one of the catalogue's queries about one relation yields.
async fn names(
    session: &mut Session,
    sql: &str,
    path: &[String],
) -> Result<Vec<String>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let name = Dialect::Postgres.quote_path(path);
    let mut arguments = PgArguments::default();
    sqlx::Arguments::add(&mut arguments, name)
        .map_err(|error| session.failed(purpose.doing, error))?;
    let rows = session.fetch(purpose, sql.to_owned(), arguments).await?;
    let names: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    names.map_err(|error| session.failed(purpose.doing, error))
}

/// What may keep a change from rows of a table without an error: triggers before or instead of it,
/// rules, and policies.
pub(crate) async fn hindrances(
    session: &mut Session,
    path: &[String],
    change: Change,
) -> Result<Vec<String>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    // The bit of `pg_trigger.tgtype`, `pg_rewrite.ev_type` and `pg_policy.polcmd`.
    let (bit, event, command) = match change {
        Change::Update => (16, "2", "w"),
        Change::Insert => (4, "3", "a"),
        Change::Delete => (8, "4", "d"),
    };
    let name = Dialect::Postgres.quote_path(path);
    let mut arguments = PgArguments::default();
    let add = || {
        sqlx::Arguments::add(&mut arguments, name)?;
        sqlx::Arguments::add(&mut arguments, bit)?;
        sqlx::Arguments::add(&mut arguments, event)?;
        sqlx::Arguments::add(&mut arguments, command)
    };
    add().map_err(|error| session.failed(purpose.doing, error))?;
    let rows = session
        .fetch(purpose, HINDRANCES.to_owned(), arguments)
        .await?;
    let words: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    words.map_err(|error| session.failed(purpose.doing, error))
}

/// Who has the longest open transaction among those that hold a lock on a table stronger than a
/// reader's, in words.
pub(crate) async fn lock_holder(
    session: &mut Session,
    path: &[String],
) -> Result<Option<String>, SystemError> {
    let purpose = Purpose::plain("asking who holds a lock");
    let name = Dialect::Postgres.quote_path(path);
    let mut arguments = PgArguments::default();
    sqlx::Arguments::add(&mut arguments, name)
        .map_err(|error| session.failed(purpose.doing, error))?;
    let rows = session
        .fetch(purpose, LOCK_HOLDER.to_owned(), arguments)
        .await?;
    let holder: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
    Ok(holder)
}

/// Which database of which cluster this is, and which of the histories that restoring the cluster
/// may have given it; empty where this user may not ask.
pub(crate) async fn identity(session: &mut Session) -> Result<String, SystemError> {
    let purpose = Purpose::plain("asking which database this is");
    match session
        .fetch(purpose, IDENTITY.to_owned(), PgArguments::default())
        .await
    {
        Ok(rows) => Ok(rows
            .first()
            .and_then(|row| row.try_get(0).ok())
            .unwrap_or_default()),
        Err(SystemError::Forbidden { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// A restored cluster is on a new timeline, and so is one that took over from another.
const IDENTITY: &str = "\
SELECT concat_ws(' ', system.system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()),
       checkpoint.timeline_id)
FROM pg_control_system() AS system, pg_control_checkpoint() AS checkpoint";

/// Runs one of the catalogue's queries about one relation.
async fn read<T>(
    session: &mut Session,
    sql: &str,
    relation: i64,
    of: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, SystemError> {
    let purpose = Purpose::plain("reading the catalogue");
    let mut arguments = PgArguments::default();
    sqlx::Arguments::add(&mut arguments, relation)
        .map_err(|error| session.failed(purpose.doing, error))?;
    let rows = session.fetch(purpose, sql.to_owned(), arguments).await?;
    let facts: Result<Vec<T>, sqlx::Error> = rows.iter().map(of).collect();
    facts.map_err(|error| session.failed(purpose.doing, error))
}

/// Everything that can be read from, apart from the catalogue itself and temporary tables.
const RELATIONS: &str = "\
SELECT c.oid::int8, n.nspname::text, c.relname::text, pg_table_is_visible(c.oid)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY n.nspname, c.relname";

/// As [`RELATIONS`], without what this user may not look at.
const ALL_COLUMNS: &str = "\
SELECT n.nspname::text, c.relname::text, pg_table_is_visible(c.oid), a.attname::text,
       EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
ORDER BY pg_table_is_visible(c.oid) DESC, n.nspname, c.relname, a.attnum";

/// The numbers are the bits of `pg_relation_is_updatable`: 4 updates, 8 inserts, 16 deletes. Rows of a view are
/// locked where it is simple enough to be updated without triggers and rules of its own: a lock
/// does not reach into its common table expressions, and is refused where it groups. Source:
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG>.
///
/// A table with rules is told as `rules`: what becomes of its rows is theirs to say, as with a
/// view.
const RELATION: &str = "\
SELECT CASE WHEN c.relkind IN ('r', 'p') AND EXISTS (
           SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type <> '1' AND r.ev_enabled <> 'D'
       ) THEN 'rules' ELSE c.relkind::text END,
       pg_relation_is_updatable(c.oid, true) & 4 <> 0,
       pg_relation_is_updatable(c.oid, true) & 8 <> 0,
       c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid),
       has_any_column_privilege(c.oid, 'SELECT'),
       has_schema_privilege(c.relnamespace, 'USAGE'),
       current_setting('server_encoding'),
       has_table_privilege(c.oid, 'SELECT'),
       c.relkind <> 'v' OR (pg_relation_is_updatable(c.oid, false) & 4 <> 0 AND NOT EXISTS (
           SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type <> '1')),
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'),
       c.relkind <> 'v' OR pg_relation_is_updatable(c.oid, true) & 16 <> 0
FROM pg_class AS c WHERE c.oid = $1::oid";

/// Columns with their types, of the relation that `$1` names or numbers. Domains are followed down
/// to the type beneath them; each may add NOT NULL, a default and, the last one, a modifier.
const BASE_TYPES: &str = "\
WITH RECURSIVE base AS (
    SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier, a.attnotnull AS required,
           a.atthasdef OR a.attidentity <> '' AS defaulted
    FROM pg_attribute AS a WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT base.attnum, t.typbasetype, t.typtypmod, base.required OR t.typnotnull,
           base.defaulted OR t.typdefault IS NOT NULL
    FROM base JOIN pg_type AS t ON t.oid = base.type WHERE t.typtype = 'd'
)";

/// Follows [`BASE_TYPES`]. The collation is the operating system's name for it, where it has one;
/// PostgreSQL's own provider sorts by code points, as `C` does. Before version 15 a database's
/// default is always the operating system's. Of a view's column the server says that it is updatable
/// only if rows may be deleted, too; whatever writes instead of the view (a trigger, `16` and `64` of
/// its type, or a rule, `2`) takes every column. Sources:
/// <https://www.postgresql.org/docs/current/catalog-pg-collation.html>,
/// `src/backend/utils/adt/misc.c` and `src/include/catalog/pg_trigger.h`.
const COLUMNS: &str = "\
SELECT a.attname::text, format_type(base.type, base.modifier), t.typname::text, n.nspname = 'pg_catalog',
       base.modifier, base.required, base.defaulted,
       a.attidentity = 'a' OR a.attgenerated <> '' OR (
           c.relkind = 'v' AND NOT pg_column_is_updatable(c.oid, a.attnum, true)
           AND pg_relation_is_updatable(c.oid, true) & 16 <> 0
           AND NOT EXISTS (SELECT FROM pg_trigger AS i WHERE i.tgrelid = c.oid AND i.tgtype & 80 = 80)
           AND NOT EXISTS (SELECT FROM pg_rewrite AS i WHERE i.ev_class = c.oid AND i.ev_type = '2'
                           AND i.is_instead AND i.ev_qual::text = '<>')),
       has_column_privilege(c.oid, a.attnum, 'UPDATE'), has_column_privilege(c.oid, a.attnum, 'INSERT'),
       has_column_privilege(c.oid, a.attnum, 'SELECT'),
       coalesce(NOT l.collisdeterministic, false),
       t.typtype = 'e', ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       CASE coalesce(nullif(l.collprovider, 'd'), (to_jsonb(d) ->> 'datlocprovider')::\"char\", 'c')
           WHEN 'c' THEN coalesce(l.collcollate, d.datcollate)::text
           WHEN 'b' THEN 'C'
           ELSE l.collname::text
       END
FROM base
JOIN pg_type AS t ON t.oid = base.type AND t.typtype <> 'd'
JOIN pg_namespace AS n ON n.oid = t.typnamespace
JOIN pg_class AS c ON c.oid = $1::oid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = base.attnum
LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
LEFT JOIN pg_database AS d ON d.datname = current_database()
ORDER BY base.attnum";

/// Follows [`BASE_TYPES`].
const DECLARATIONS: &str = "\
SELECT a.attname::text, format_type(base.type, base.modifier)
FROM base
JOIN pg_type AS t ON t.oid = base.type AND t.typtype <> 'd'
JOIN pg_attribute AS a ON a.attrelid = $1::regclass AND a.attnum = base.attnum";

/// `D` is a trigger that is disabled.
const TRIGGERS: &str = "\
SELECT DISTINCT t.tgname::text FROM pg_trigger AS t
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
  AND (t.tgrelid = $1::regclass OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree($1::regclass) AS p))
ORDER BY 1";

/// `$2`, `$3` and `$4` say for which change, each in its catalogue's own way. Of a trigger's type,
/// 2 is before and 64 instead of; triggers of tables that inherit from this one are at work as
/// well.
const HINDRANCES: &str = "\
SELECT DISTINCT words, place FROM (
    SELECT format('trigger `%s`', t.tgname), 1 FROM pg_trigger AS t
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::int4 & 66 <> 0 AND t.tgtype::int4 & $2::int4 <> 0
      AND (t.tgrelid = $1::regclass OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree($1::regclass) AS p)
           OR t.tgrelid IN (SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = $1::regclass))
    UNION ALL
    SELECT format('rule `%s`', r.rulename), 2 FROM pg_rewrite AS r
    WHERE r.ev_class = $1::regclass AND r.is_instead AND r.ev_enabled <> 'D' AND r.ev_type::text = $3::text
    UNION ALL
    SELECT 'row-level security' || coalesce((
               SELECT format(' (policy `%s`)', string_agg(p.polname, '`, `' ORDER BY p.polname)) FROM pg_policy AS p
               WHERE p.polrelid = $1::regclass AND p.polcmd::text IN ('*', $4::text) HAVING count(*) > 0), ''), 3
    WHERE row_security_active($1::regclass)
) AS hindrance (words, place) ORDER BY place, words";

/// Rules of a table that put something in the place of every update or deletion. One that does
/// nothing, is for some rows only, or redirects an insert, perhaps to where the row is found, is
/// judged by what becomes of each row; a view is written through its rules.
const RULES: &str = "\
SELECT r.rulename::text, r.ev_type::text
FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
WHERE r.ev_class = $1::oid AND c.relkind IN ('r', 'p') AND r.ev_enabled IN ('O', 'A')
  AND r.is_instead AND r.ev_qual::text = '<>' AND r.ev_type IN ('2', '4')
  AND pg_get_ruledef(r.oid) !~ 'DO INSTEAD +NOTHING;$'
ORDER BY r.ev_type, r.rulename";

/// Commands that row-level security allows this user for no row at all. What policies say of single
/// rows is not known before these are met.
const POLICIES: &str = "\
SELECT c.command
FROM (VALUES ('r', 'SELECT'), ('w', 'UPDATE'), ('a', 'INSERT')) AS c (letter, command)
WHERE row_security_active($1::oid) AND NOT EXISTS (
    SELECT FROM pg_policy AS p
    WHERE p.polrelid = $1::oid AND p.polpermissive AND p.polcmd::text IN ('*', c.letter)
      AND EXISTS (SELECT FROM unnest(p.polroles) AS r (id) WHERE r.id = 0 OR pg_has_role(r.id, 'USAGE')))
ORDER BY c.letter = 'r' DESC";

/// Foreign tables that can be written, among the relation itself, its partitions and what a view
/// shows, and their wrappers, but for the one that begins, commits and rolls back over there as
/// here. Source: <https://www.postgresql.org/docs/current/postgres-fdw.html#id-1.11.7.47.14>.
const WRAPPERS: &str = "\
WITH RECURSIVE beneath AS (
    SELECT $1::oid AS id
  UNION
    SELECT next.id FROM beneath, LATERAL (
        SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = beneath.id
      UNION
        SELECT d.refobjid FROM pg_rewrite AS r
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class AS v ON v.oid = r.ev_class AND v.relkind = 'v'
        WHERE r.ev_class = beneath.id
    ) AS next (id)
)
SELECT f.ftrelid::regclass::text, w.fdwname::text
FROM beneath
JOIN pg_foreign_table AS f ON f.ftrelid = beneath.id
JOIN pg_foreign_server AS s ON s.oid = f.ftserver
JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
LEFT JOIN pg_proc AS h ON h.oid = w.fdwhandler
WHERE h.proname IS DISTINCT FROM 'postgres_fdw_handler' AND pg_relation_is_updatable(f.ftrelid, false) & 28 <> 0
ORDER BY 1";

/// The letters are those of CASCADE, SET NULL and SET DEFAULT.
const DEPENDENTS: &str = "\
SELECT DISTINCT c.conrelid::regclass::text FROM pg_constraint AS c
WHERE c.contype = 'f' AND c.confrelid = $1::regclass AND c.confdeltype IN ('c', 'n', 'd') ORDER BY 1";

/// Columns whose values foreign keys follow.
const FOLLOWED: &str = "\
SELECT DISTINCT a.attname::text FROM pg_constraint AS c
JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey)
WHERE c.contype = 'f' AND c.confrelid = $1::oid AND c.confupdtype = 'c' ORDER BY 1";

/// Other users' transactions do not tell how long they are open; they stand before our own.
const LOCK_HOLDER: &str = "\
SELECT format('process %s of user %s, application \"%s\"', a.pid, a.usename, a.application_name)
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.relation = $1::regclass AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.granted AND l.mode <> 'AccessShareLock' AND l.pid <> pg_backend_pid()
ORDER BY a.xact_start NULLS FIRST, a.pid LIMIT 1";

/// Valid, unconditional indexes. `findable`: an equality finds rows by the first column, under that
/// column's own collation.
const INDEXES: &str = "\
SELECT i.indisprimary, i.indisunique,
       m.amname IN ('btree', 'hash') AND (i.indcollation[0] = 0 OR i.indcollation[0] = coalesce(f.attcollation, 0)),
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
             WHERE k.position <= i.indnkeyatts ORDER BY k.position)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = c.relam
LEFT JOIN pg_attribute AS f ON f.attrelid = i.indrelid AND f.attnum = i.indkey[0] AND i.indkey[0] > 0
WHERE i.indrelid = $1::oid AND i.indisvalid AND i.indpred IS NULL
ORDER BY i.indisprimary DESC, c.relname";

fn find<'a>(
    relations: &'a [Relation],
    database: &str,
    parts: &[NamePart],
) -> Result<&'a Relation, SystemError> {
    match parts {
        [table] => find_visible(relations, table),
        [schema, table] => find_within(relations, database, schema, table),
        [wanted, schema, table] => match resolve_name(wanted, std::iter::once(database)) {
            Ok(_) => find_within(relations, database, schema, table),
            Err(_) => Err(SystemError::NotFound {
                what: format!("database `{}` on this connection", wanted.text),
                hint: Some(format!(
                    "the connection leads to database `{database}`; tables of others need a connection of their own"
                )),
            }),
        },
        _ => Err(SystemError::NotFound {
            what: format!("a table with a name of {} parts", parts.len()),
            hint: Some("name `table`, `schema.table` or `database.schema.table`".to_owned()),
        }),
    }
}

fn find_visible<'a>(
    relations: &'a [Relation],
    table: &NamePart,
) -> Result<&'a Relation, SystemError> {
    let visible = relations.iter().filter(|relation| relation.visible);
    let names = visible.clone().map(|relation| relation.name.as_str());
    let name = resolve_name(table, names.clone()).map_err(|error| {
        let elsewhere = || {
            relations
                .iter()
                .find_map(|relation| out_of_sight(relation, &table.text))
        };
        not_found("table", &table.text, &error, || {
            did_you_mean(&table.text, names.clone()).or_else(elsewhere)
        })
    })?;
    visible
        .clone()
        .find(|relation| relation.name == name)
        .ok_or_else(|| gone(name))
}

/// What to say of a table that only its schema leads to, if it may be the one called `wanted`.
fn out_of_sight(relation: &Relation, wanted: &str) -> Option<String> {
    did_you_mean(wanted, [relation.name.as_str()]).filter(|_| !relation.visible)?;
    Some(format!(
        "the search path does not lead everywhere; did you mean `{}.{}`?",
        relation.schema, relation.name
    ))
}

fn find_within<'a>(
    relations: &'a [Relation],
    database: &str,
    schema: &NamePart,
    table: &NamePart,
) -> Result<&'a Relation, SystemError> {
    let mut schemas: Vec<&str> = relations
        .iter()
        .map(|relation| relation.schema.as_str())
        .collect();
    schemas.dedup();
    let schema_name = resolve_name(schema, schemas.iter().copied()).map_err(|error| {
        let confused = || {
            (schema.text.to_lowercase() == database.to_lowercase()).then(|| {
                format!(
                    "`{database}` is the database; name a schema before the table: {}",
                    quoted_list(schemas.iter().copied())
                )
            })
        };
        let suggestion =
            || confused().or_else(|| did_you_mean(&schema.text, schemas.iter().copied()));
        not_found("a schema with tables", &schema.text, &error, suggestion)
    })?;
    let within = relations
        .iter()
        .filter(|relation| relation.schema == schema_name);
    let names = within.clone().map(|relation| relation.name.as_str());
    let name = resolve_name(table, names.clone()).map_err(|error| {
        let wanted = format!("{schema_name}.{}", table.text);
        not_found("table", &wanted, &error, || {
            did_you_mean(&table.text, names.clone())
        })
    })?;
    within
        .clone()
        .find(|relation| relation.name == name)
        .ok_or_else(|| gone(name))
}

fn gone(name: &str) -> SystemError {
    SystemError::NotFound {
        what: format!("table `{name}`"),
        hint: None,
    }
}

fn not_found(
    what: &str,
    name: &str,
    error: &NameError,
    suggestion: impl Fn() -> Option<String>,
) -> SystemError {
    match error {
        NameError::Unknown => SystemError::NotFound {
            what: format!("{what} `{name}`"),
            hint: suggestion(),
        },
        NameError::Ambiguous { candidates } => {
            let candidates = quoted_list(candidates.iter().map(String::as_str));
            SystemError::NotFound {
                what: format!("{what} `{name}` in exactly this spelling"),
                hint: Some(format!("quote the one that is meant: {candidates}")),
            }
        }
    }
}

struct RelationFacts {
    /// `pg_class.relkind`, or `rules`.
    kind: String,
    takes_updates: bool,
    takes_inserts: bool,
    /// Whether other tables inherit from it: its unique indexes do not cover their rows.
    has_heirs: bool,
    may_select: bool,
    may_use_schema: bool,
    encoding: String,
    may_select_rows: bool,
    /// Whether rows can be locked one by one, and whether all may be at once.
    locks_rows: bool,
    may_lock_all: bool,
    takes_deletions: bool,
}

impl RelationFacts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            kind: row.try_get(0)?,
            takes_updates: row.try_get(1)?,
            takes_inserts: row.try_get(2)?,
            has_heirs: row.try_get(3)?,
            may_select: row.try_get(4)?,
            may_use_schema: row.try_get(5)?,
            encoding: row.try_get(6)?,
            may_select_rows: row.try_get(7)?,
            locks_rows: row.try_get(8)?,
            may_lock_all: row.try_get(9)?,
            takes_deletions: row.try_get(10)?,
        })
    }

    fn locks(&self) -> RowLocks {
        if self.locks_rows {
            RowLocks::Each
        } else {
            RowLocks::Whole {
                allowed: self.may_lock_all,
            }
        }
    }

    fn object_kind(&self) -> ObjectKind {
        match self.kind.as_str() {
            "v" | "m" | "f" | "rules" => ObjectKind::View {
                updatable: self.takes_updates,
            },
            _ => ObjectKind::Table,
        }
    }
}

struct ColumnFacts {
    name: String,
    declared: String,
    /// `pg_type.typname` beneath all domains.
    type_name: String,
    /// Whether the type is the server's own.
    built_in: bool,
    /// `atttypmod`; -1 if there is none.
    modifier: i32,
    required: bool,
    defaulted: bool,
    generated: bool,
    may_update: bool,
    may_insert: bool,
    may_select: bool,
    loose_collation: bool,
    is_enum: bool,
    labels: Vec<String>,
    collation: Option<String>,
}

impl ColumnFacts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get(0)?,
            declared: row.try_get(1)?,
            type_name: row.try_get(2)?,
            built_in: row.try_get(3)?,
            modifier: row.try_get(4)?,
            required: row.try_get(5)?,
            defaulted: row.try_get(6)?,
            generated: row.try_get(7)?,
            may_update: row.try_get(8)?,
            may_insert: row.try_get(9)?,
            may_select: row.try_get(10)?,
            loose_collation: row.try_get(11)?,
            is_enum: row.try_get(12)?,
            labels: row.try_get(13)?,
            collation: row.try_get(14)?,
        })
    }

    fn column(self, relation: &RelationFacts) -> ObjectColumn {
        let holds = self.holds(&relation.encoding);
        let is_text = matches!(holds, Holds::Text { .. });
        let loosely_compared =
            is_text && (self.loose_collation || self.type_name == "bpchar" || !self.built_in);
        ObjectColumn {
            holds,
            loosely_compared,
            nullable: !self.required,
            has_default: self.defaulted,
            generated: self.generated,
            may_select: self.may_select,
            may_update: self.may_update,
            may_insert: relation.takes_inserts && self.may_insert,
            collation: self.collation.filter(|_| is_text),
            drops_blanks: self.type_name == "bpchar",
            is_set: false,
            name: self.name,
            declared: self.declared,
        }
    }

    fn holds(&self, encoding: &str) -> Holds {
        if self.is_enum {
            return Holds::Label(self.labels.clone());
        }
        match (self.built_in, self.type_name.as_str()) {
            (true, type_name) => built_in(type_name, self.modifier, encoding),
            (false, "citext") => text(None),
            (false, _) => Holds::Unsupported,
        }
    }
}

struct IndexFacts {
    primary: bool,
    unique: bool,
    findable: bool,
    /// `None` stands for an expression.
    columns: Vec<Option<String>>,
}

impl IndexFacts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            primary: row.try_get(0)?,
            unique: row.try_get(1)?,
            findable: row.try_get(2)?,
            columns: row.try_get(3)?,
        })
    }

    /// The indexed columns, if there is no expression among them.
    fn plain_columns(&self) -> Option<Vec<String>> {
        self.columns.iter().cloned().collect()
    }

    /// The indexed columns before the first expression.
    fn leading_columns(&self) -> Vec<String> {
        self.columns.iter().map_while(Clone::clone).collect()
    }
}

fn object(
    relation: &Relation,
    facts: &RelationFacts,
    columns: Vec<ColumnFacts>,
    indexes: &[IndexFacts],
    account: String,
) -> Object {
    let unique = indexes
        .iter()
        .filter(|index| index.unique && !facts.has_heirs);
    let findable = indexes.iter().filter(|index| index.findable);
    let primary_key = indexes
        .iter()
        .find(|index| index.primary)
        .and_then(IndexFacts::plain_columns);
    Object {
        path: relation.path(),
        spelling: Spelling {
            quote: '"',
            account: Some(account),
        },
        kind: facts.object_kind(),
        columns: columns
            .into_iter()
            .map(|column| column.column(facts))
            .collect(),
        unique_keys: unique.filter_map(IndexFacts::plain_columns).collect(),
        followed: Vec::new(),
        indexes: findable
            .map(IndexFacts::leading_columns)
            .filter(|columns| !columns.is_empty())
            .collect(),
        may_enter: facts.may_use_schema,
        hides_columns: false,
        may_select: facts.may_select,
        may_select_rows: facts.may_select_rows,
        locks: facts.locks(),
        primary_key: primary_key.unwrap_or_default(),
        obstacles: Vec::new(),
    }
}

/// What a type of `pg_catalog` holds.
fn built_in(type_name: &str, modifier: i32, encoding: &str) -> Holds {
    match type_name {
        "text" => text(None),
        "varchar" | "bpchar" => text(length(modifier, encoding)),
        // Source: <https://www.postgresql.org/docs/current/datatype-character.html>.
        "name" => text(Some(TextLimit::Bytes(63))),
        "int2" => Holds::Integer {
            min: i16::MIN.into(),
            max: i16::MAX.into(),
        },
        "int4" => Holds::Integer {
            min: i32::MIN.into(),
            max: i32::MAX.into(),
        },
        "int8" => Holds::Integer {
            min: i64::MIN.into(),
            max: i64::MAX.into(),
        },
        "numeric" => numeric(modifier),
        "float4" => Holds::Float { bits: 32 },
        "float8" => Holds::Float { bits: 64 },
        "bool" => Holds::Boolean,
        "date" => Holds::Date,
        "time" => Holds::Time {
            fraction_digits: fraction_digits(modifier),
        },
        "timestamp" => Holds::Timestamp {
            fraction_digits: fraction_digits(modifier),
        },
        "timestamptz" => Holds::Instant {
            fraction_digits: fraction_digits(modifier),
        },
        "uuid" => Holds::Uuid,
        "json" | "jsonb" => Holds::Json,
        _ => Holds::Unsupported,
    }
}

fn text(limit: Option<TextLimit>) -> Holds {
    Holds::Text {
        limit,
        repertoire: Repertoire::Unicode { nul: false },
    }
}

/// The modifier counts four more than the length. A database without an encoding counts bytes.
fn length(modifier: i32, encoding: &str) -> Option<TextLimit> {
    let length = modifier
        .checked_sub(4)
        .and_then(|length| u64::try_from(length).ok())?;
    Some(match encoding {
        "SQL_ASCII" => TextLimit::Bytes(length),
        _ => TextLimit::Characters(length),
    })
}

/// The modifier holds precision and, in eleven bits with a sign, scale. A negative scale rounds
/// away whole digits, and one above the precision leaves a band below 1: neither is a number of
/// digits after the point, so neither is written. Source: `numeric_typmod_scale` in
/// `src/backend/utils/adt/numeric.c`.
fn numeric(modifier: i32) -> Holds {
    let Some(packed) = modifier.checked_sub(4).filter(|packed| *packed >= 0) else {
        return Holds::Decimal { size: None };
    };
    let precision = u16::try_from((packed >> 16) & 0xffff);
    let scale = u16::try_from(((packed & 0x7ff) ^ 1024) - 1024);
    match (precision, scale) {
        (Ok(precision), Ok(scale)) if scale <= precision => Holds::Decimal {
            size: Some((precision, scale)),
        },
        _ => Holds::Unsupported,
    }
}

/// Microseconds, unless the type says fewer digits.
fn fraction_digits(modifier: i32) -> u8 {
    u8::try_from(modifier).unwrap_or(6).min(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(schema: &str, name: &str, visible: bool) -> Relation {
        Relation {
            id: 1,
            schema: schema.to_owned(),
            name: name.to_owned(),
            visible,
        }
    }

    fn relations() -> Vec<Relation> {
        vec![
            relation("CRM", "ACCOUNTS", false),
            relation("crm2", "Twin", false),
            relation("crm2", "twin", false),
            relation("public", "accounts", true),
            relation("public", "candidates", true),
        ]
    }

    /// Unquoted parts, except those within double quotes.
    fn parts(name: &str) -> Vec<NamePart> {
        let part = |text: &str| NamePart {
            text: text.replace('"', ""),
            quoted: text.starts_with('"'),
        };
        name.split('.').map(part).collect()
    }

    fn found(name: &str) -> String {
        match find(&relations(), "shop", &parts(name)) {
            Ok(relation) => relation.path().join("."),
            Err(error) => format!("{error}: {}", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn a_table_is_found_by_one_two_or_three_parts() {
        assert_eq!(found("Accounts"), "public.accounts");
        assert_eq!(found("\"CRM\".\"ACCOUNTS\""), "CRM.ACCOUNTS");
        assert_eq!(found("crm.accounts"), "CRM.ACCOUNTS");
        assert_eq!(found("SHOP.public.accounts"), "public.accounts");
        assert_eq!(found("crm2.twin"), "crm2.twin");
    }

    #[test]
    fn a_table_that_is_not_there_is_answered_with_what_is() {
        assert_eq!(
            found("acounts"),
            "table `acounts` does not exist: did you mean `accounts`?"
        );
        assert_eq!(
            found("\"Accounts\""),
            "table `Accounts` does not exist: did you mean `accounts`?"
        );
        assert_eq!(
            found("crm.acounts"),
            "table `CRM.acounts` does not exist: did you mean `ACCOUNTS`?"
        );
        assert_eq!(
            found("shop.accounts"),
            "a schema with tables `shop` does not exist: `shop` is the database; name a schema before the table: `CRM`, \
             `crm2`, `public`"
        );
        assert_eq!(
            found("crm2.TWIN"),
            "table `crm2.TWIN` in exactly this spelling does not exist: quote the one that is meant: `Twin`, `twin`"
        );
        assert_eq!(
            found("other.public.accounts"),
            "database `other` on this connection does not exist: the connection leads to database `shop`; tables of \
             others need a connection of their own"
        );
        assert_eq!(
            found("twin"),
            "table `twin` does not exist: the search path does not lead everywhere; did you mean `crm2.Twin`?"
        );
    }

    #[test]
    fn types_hold_what_their_modifiers_say() {
        let packed = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(
            built_in("numeric", packed(5, 2), "UTF8"),
            Holds::Decimal { size: Some((5, 2)) }
        );
        assert_eq!(
            built_in("numeric", packed(1000, 1000), "UTF8"),
            Holds::Decimal {
                size: Some((1000, 1000))
            }
        );
        assert_eq!(
            built_in("numeric", -1, "UTF8"),
            Holds::Decimal { size: None }
        );
        assert_eq!(
            built_in("numeric", packed(2, -3), "UTF8"),
            Holds::Unsupported
        );
        assert_eq!(
            built_in("numeric", packed(3, 5), "UTF8"),
            Holds::Unsupported
        );
        assert_eq!(
            built_in("varchar", 22, "UTF8"),
            text(Some(TextLimit::Characters(18)))
        );
        assert_eq!(
            built_in("varchar", 22, "SQL_ASCII"),
            text(Some(TextLimit::Bytes(18)))
        );
        assert_eq!(built_in("varchar", -1, "UTF8"), text(None));
        assert_eq!(
            built_in("timestamptz", 3, "UTF8"),
            Holds::Instant { fraction_digits: 3 }
        );
        assert_eq!(
            built_in("timestamp", -1, "UTF8"),
            Holds::Timestamp { fraction_digits: 6 }
        );
        assert_eq!(built_in("bytea", -1, "UTF8"), Holds::Unsupported);
    }

    #[test]
    fn only_whole_unconditional_unique_indexes_make_a_key_unique() {
        let facts = |has_heirs| RelationFacts {
            kind: "r".to_owned(),
            takes_updates: true,
            takes_inserts: true,
            takes_deletions: true,
            has_heirs,
            may_select: true,
            may_select_rows: true,
            locks_rows: true,
            may_lock_all: true,
            may_use_schema: true,
            encoding: "UTF8".to_owned(),
        };
        let index = |primary, columns: &[Option<&str>]| IndexFacts {
            primary,
            unique: true,
            findable: true,
            columns: columns
                .iter()
                .map(|column| column.map(str::to_owned))
                .collect(),
        };
        let indexes = [
            index(true, &[Some("id")]),
            index(false, &[Some("region"), None]),
        ];
        let described = object(
            &relation("public", "t", true),
            &facts(false),
            Vec::new(),
            &indexes,
            String::new(),
        );
        assert_eq!(described.unique_keys, [["id"]]);
        assert_eq!(described.indexes, [["id"], ["region"]]);
        assert_eq!(described.primary_key, ["id"]);
        let parent = object(
            &relation("public", "t", true),
            &facts(true),
            Vec::new(),
            &indexes,
            String::new(),
        );
        assert!(parent.unique_keys.is_empty());
    }
}
