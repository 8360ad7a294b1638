//! What MySQL's and MariaDB's catalogue (`information_schema`) says of a table. Every value is
//! asked for as text: the servers disagree about the types of their catalogue's columns.

mod engines;

use sqlx::mysql::MySqlRow;

use super::{Session, text};
use crate::database::Dialect;
use crate::database::tables::ListedColumn;
use crate::domain::error::SystemError;
use crate::domain::object::{
    Declaration, Holds, NameError, NamePart, Object, ObjectColumn, ObjectKind, ObjectName,
    Obstacle, Repertoire, RowLocks, Spelling, TextLimit, resolve_name,
};
use crate::domain::problem::did_you_mean;
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};
use crate::domain::schema::{DecimalSize, SchemaType};

/// A table or view as the catalogue names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableEntry {
    pub(crate) database: String,
    pub(crate) name: String,
    kind: ObjectKind,
}

/// One column as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ColumnEntry {
    pub(crate) name: String,
    /// `decimal`, `varchar`.
    data_type: String,
    /// `decimal(10,2) unsigned`.
    pub(crate) column_type: String,
    pub(crate) nullable: bool,
    has_default: bool,
    generated: bool,
    /// Characters of a `CHAR` or `VARCHAR`, bytes of a `TEXT`.
    length_max: Option<u64>,
    precision: Option<u16>,
    scale: Option<u16>,
    fraction_digits: Option<u8>,
    collation: Option<String>,
    /// MariaDB keeps JSON as text that a CHECK holds to be JSON.
    checked_json: bool,
    /// `select,insert,update,references`: what this user may do, by whatever grant or role.
    privileges: String,
}

const READING: &str = "reading the catalogue";

/// Finds a table by its name of one to three parts. Which server this is: MySQL has a number for
/// each, MariaDB tells where it stands, and where its files do.
pub(crate) async fn identity(session: &mut Session) -> Result<String, SystemError> {
    let sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'server_uid', 'hostname', 'port', 'datadir')";
    let rows = session
        .rows(sql.to_owned(), &[], "asking which server this is")
        .await?;
    let mut told: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{} {}", text(row, 0)?, text(row, 1)?)))
        .collect();
    told.sort();
    Ok(told.join(" "))
}

/// Errors: `NotFound` with a hint that names near misses.
pub(crate) async fn find_table(
    session: &mut Session,
    name: &ObjectName,
) -> Result<TableEntry, SystemError> {
    let (database, table) = split(name)?;
    let database = match database {
        Some(part) => resolve_database(session, part).await?,
        None => current_database(session, name).await?,
    };
    let sql = "SELECT CAST(t.TABLE_NAME AS CHAR), CAST(t.TABLE_TYPE AS CHAR), CAST(v.IS_UPDATABLE AS CHAR) \
               FROM information_schema.TABLES AS t LEFT JOIN information_schema.VIEWS AS v \
               ON v.TABLE_SCHEMA = t.TABLE_SCHEMA AND v.TABLE_NAME = t.TABLE_NAME WHERE t.TABLE_SCHEMA = ?";
    let rows = session.rows(sql.to_owned(), &[&database], READING).await?;
    let tables: Vec<TableEntry> = rows
        .iter()
        .filter_map(|row| table_entry(&database, row))
        .collect();
    let known = tables.iter().map(|table| table.name.as_str());
    match resolve_name(table, known.clone()) {
        Ok(found) => {
            let found = found.to_owned();
            let entry = tables.into_iter().find(|table| table.name == found);
            entry.ok_or_else(|| not_found(format!("`{name}`"), None))
        }
        Err(error) => {
            let hint = match near(table, known, error) {
                Some(hint) => hint,
                None => hidden_table(session, &database, &table.text).await?,
            };
            Err(not_found(
                format!("table `{}` of database `{database}`", table.text),
                Some(hint),
            ))
        }
    }
}

/// Names of the tables and views of the session's database.
pub(crate) async fn table_names(session: &mut Session) -> Result<Vec<String>, SystemError> {
    let sql = "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES \
               WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME";
    let rows = session.rows(sql.to_owned(), &[], READING).await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// The columns of all tables and views that this user sees, table by table. Tables of the session's
/// database need no other name; without one, those of all databases are told.
pub(crate) async fn all_columns(session: &mut Session) -> Result<Vec<ListedColumn>, SystemError> {
    let sql = "SELECT CAST(TABLE_SCHEMA AS CHAR), CAST(TABLE_NAME AS CHAR), CAST(COLUMN_NAME AS CHAR), \
               CAST(COLUMN_KEY AS CHAR), CAST(DATABASE() AS CHAR) FROM information_schema.COLUMNS \
               WHERE TABLE_SCHEMA = coalesce(DATABASE(), TABLE_SCHEMA) \
               AND TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') \
               ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION";
    let rows = session.rows(sql.to_owned(), &[], READING).await?;
    let column = |row: &MySqlRow| {
        let (table, column) = (text(row, 1)?, text(row, 2)?);
        let path = match text(row, 4) {
            Some(_) => vec![table],
            None => vec![text(row, 0)?, table],
        };
        Some(ListedColumn {
            table: path,
            name: column,
            is_key: text(row, 3).as_deref() == Some("PRI"),
        })
    };
    Ok(rows.iter().filter_map(column).collect())
}

/// The table's columns, in order.
pub(crate) async fn columns(
    session: &mut Session,
    table: &TableEntry,
) -> Result<Vec<ColumnEntry>, SystemError> {
    let sql = "SELECT CAST(COLUMN_NAME AS CHAR), CAST(DATA_TYPE AS CHAR), CAST(COLUMN_TYPE AS CHAR), \
               CAST(IS_NULLABLE AS CHAR), CAST(COLUMN_DEFAULT AS CHAR), CAST(EXTRA AS CHAR), \
               CAST(GENERATION_EXPRESSION AS CHAR), \
               CAST(IF(DATA_TYPE IN ('char', 'varchar', 'enum', 'set'), CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH) AS CHAR), \
               CAST(NUMERIC_PRECISION AS CHAR), CAST(NUMERIC_SCALE AS CHAR), CAST(DATETIME_PRECISION AS CHAR), \
               CAST(COLLATION_NAME AS CHAR), CAST(PRIVILEGES AS CHAR) \
               FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
    let rows = session
        .rows(sql.to_owned(), &[&table.database, &table.name], READING)
        .await?;
    let checked = json_checks(session, table).await?;
    let mariadb = session.server.mariadb;
    Ok(rows
        .iter()
        .map(|row| column_entry(row, mariadb, &checked))
        .collect())
}

/// How the columns of a table are declared now.
pub(crate) async fn declarations(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<Declaration>, SystemError> {
    let [database, table] = path else {
        return Ok(Vec::new());
    };
    let sql = "SELECT CAST(COLUMN_NAME AS CHAR), CAST(COLUMN_TYPE AS CHAR) FROM information_schema.COLUMNS \
               WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
    let rows = session
        .rows(sql.to_owned(), &[database, table], READING)
        .await?;
    let cell = |row: &MySqlRow, position| text(row, position).unwrap_or_default();
    Ok(rows
        .iter()
        .map(|row| Declaration {
            name: cell(row, 0),
            declared: cell(row, 1),
        })
        .collect())
}

/// Names of the table's triggers, if the user has the right to see them.
pub(crate) async fn triggers(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<String>, SystemError> {
    let [database, table] = path else {
        return Ok(Vec::new());
    };
    let sql = "SELECT CAST(TRIGGER_NAME AS CHAR) FROM information_schema.TRIGGERS \
               WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? ORDER BY TRIGGER_NAME";
    let rows = session
        .rows(sql.to_owned(), &[database, table], READING)
        .await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// Names of the tables of which rows are deleted or emptied along with a row of a table, if the
/// user may see them.
pub(crate) async fn dependents(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<String>, SystemError> {
    let [database, table] = path else {
        return Ok(Vec::new());
    };
    let sql = "SELECT DISTINCT CAST(CONCAT(CONSTRAINT_SCHEMA, '.', TABLE_NAME) AS CHAR) \
               FROM information_schema.REFERENTIAL_CONSTRAINTS \
               WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? \
               AND DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') ORDER BY 1";
    let rows = session
        .rows(sql.to_owned(), &[database, table], READING)
        .await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// The columns of a table that a foreign key of one column leads from.
pub(crate) async fn references(
    session: &mut Session,
    path: &[String],
) -> Result<Vec<ReferenceColumn>, SystemError> {
    let [database, table] = path else {
        return Ok(Vec::new());
    };
    let sql = "SELECT CAST(MIN(COLUMN_NAME) AS CHAR), CAST(MIN(REFERENCED_TABLE_SCHEMA) AS CHAR), \
               CAST(MIN(REFERENCED_TABLE_NAME) AS CHAR), CAST(MIN(REFERENCED_COLUMN_NAME) AS CHAR) \
               FROM information_schema.KEY_COLUMN_USAGE \
               WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND REFERENCED_TABLE_NAME IS NOT NULL \
               GROUP BY CONSTRAINT_NAME HAVING COUNT(*) = 1 ORDER BY 1";
    let rows = session
        .rows(sql.to_owned(), &[database, table], READING)
        .await?;
    let read = |row: &MySqlRow| {
        let table = text(row, 2)?;
        Some(ReferenceColumn {
            column: text(row, 0)?,
            relationship: Some(table.clone()),
            targets: vec![ReferenceTarget {
                path: vec![text(row, 1)?, table],
                column: text(row, 3)?,
            }],
        })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Everything a write-back must know about its table.
pub(crate) async fn describe(
    session: &mut Session,
    name: &ObjectName,
) -> Result<Object, SystemError> {
    let table = find_table(session, name).await?;
    let columns = columns(session, &table).await?;
    let indexes = indexes(session, &table).await?;
    let account = account(session).await?;
    let hides_columns = hides_columns(session, &table).await?;
    let followed = followed(session, &table).await?;
    let engine = engines::obstacle(session, &table).await?;
    let obstacles = engine.into_iter().chain(deletions(session, &table).await?);
    Ok(Object {
        spelling: Spelling {
            quote: '`',
            account: Some(account),
        },
        kind: table.kind,
        may_enter: true,
        hides_columns,
        may_select: columns.iter().any(|column| column.may("select")),
        may_select_rows: columns.iter().all(|column| column.may("select")),
        locks: RowLocks::Each,
        columns: columns.iter().map(ColumnEntry::object_column).collect(),
        unique_keys: indexes.iter().filter_map(Index::unique_key).collect(),
        followed,
        indexes: indexes.iter().filter_map(Index::lookup_columns).collect(),
        primary_key: primary_key_of(&indexes),
        obstacles: obstacles.collect(),
        path: vec![table.database, table.name],
    })
}

/// What stands against deleting through a view of several tables; the catalogue tells only of
/// updates.
async fn deletions(
    session: &mut Session,
    table: &TableEntry,
) -> Result<Option<Obstacle>, SystemError> {
    if table.kind == ObjectKind::Table {
        return Ok(None);
    }
    let path = Dialect::Mysql.quote_path([&table.database, &table.name]);
    let tried = session.columns_of(format!("DELETE FROM {path}"), READING);
    match tried.await {
        Ok(_) | Err(SystemError::Forbidden { .. }) => Ok(None),
        Err(error) if error.is_transient() => Err(error),
        Err(_) => Ok(Some(Obstacle::to_deletions())),
    }
}

/// The columns of a table whose values foreign keys follow, if the user may see those.
async fn followed(session: &mut Session, table: &TableEntry) -> Result<Vec<String>, SystemError> {
    let sql = "SELECT DISTINCT CAST(k.REFERENCED_COLUMN_NAME AS CHAR) \
               FROM information_schema.REFERENTIAL_CONSTRAINTS AS r \
               JOIN information_schema.KEY_COLUMN_USAGE AS k ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA \
               AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME \
               WHERE r.UNIQUE_CONSTRAINT_SCHEMA = ? AND r.REFERENCED_TABLE_NAME = ? \
               AND r.UPDATE_RULE = 'CASCADE' ORDER BY 1";
    let rows = session
        .rows(sql.to_owned(), &[&table.database, &table.name], READING)
        .await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// Whether the user may not read whole rows: the catalogue leaves out columns that its reader has
/// no right to.
async fn hides_columns(session: &mut Session, table: &TableEntry) -> Result<bool, SystemError> {
    let path = Dialect::Mysql.quote_path(&[table.database.clone(), table.name.clone()]);
    match session
        .columns_of(format!("SELECT * FROM {path}"), READING)
        .await
    {
        Err(SystemError::Forbidden { .. }) => Ok(true),
        Err(error) if error.is_transient() => Err(error),
        _ => Ok(false),
    }
}

/// What to do about a table that is not in the catalogue, which shows nobody what they have no
/// right to.
async fn hidden_table(
    session: &mut Session,
    database: &str,
    table: &str,
) -> Result<String, SystemError> {
    let account = account(session).await?;
    let path = Dialect::Mysql.quote_path(&[database.to_owned(), table.to_owned()]);
    Ok(format!(
        "check the name; if it is right, the user may not see the table: GRANT SELECT ON {path} TO {account}"
    ))
}

/// The session's account as `GRANT … TO` names it: `'writer'@'%'`.
async fn account(session: &mut Session) -> Result<String, SystemError> {
    let sql = "SELECT CAST(CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', \
               QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))) AS CHAR)";
    let rows = session.rows(sql.to_owned(), &[], READING).await?;
    Ok(rows
        .first()
        .and_then(|row| text(row, 0))
        .unwrap_or_default())
}

/// Columns of the table's primary key; empty if it has none.
pub(crate) async fn primary_key(
    session: &mut Session,
    table: &TableEntry,
) -> Result<Vec<String>, SystemError> {
    Ok(primary_key_of(&indexes(session, table).await?))
}

/// Database and table of a name: `table`, `database.table`, or `def.database.table`, the
/// catalogue's own long form.
fn split(name: &ObjectName) -> Result<(Option<&NamePart>, &NamePart), SystemError> {
    match name.parts.as_slice() {
        [table] => Ok((None, table)),
        [database, table] => Ok((Some(database), table)),
        [catalogue, database, table] if catalogue.text == "def" => Ok((Some(database), table)),
        _ => Err(not_found(
            format!("`{name}`"),
            Some("write it as `database.table`".to_owned()),
        )),
    }
}

async fn resolve_database(session: &mut Session, wanted: &NamePart) -> Result<String, SystemError> {
    let sql = "SELECT CAST(SCHEMA_NAME AS CHAR) FROM information_schema.SCHEMATA".to_owned();
    let rows = session.rows(sql, &[], READING).await?;
    let databases: Vec<String> = rows.iter().filter_map(|row| text(row, 0)).collect();
    let known = databases.iter().map(String::as_str);
    match resolve_name(wanted, known.clone()) {
        Ok(found) => Ok(found.to_owned()),
        Err(error) => {
            let hint = near(wanted, known, error).unwrap_or_else(|| {
                format!(
                    "name a database that the user of `[connections.{}]` may see",
                    session.name()
                )
            });
            Err(not_found(format!("database `{}`", wanted.text), Some(hint)))
        }
    }
}

async fn current_database(session: &mut Session, name: &ObjectName) -> Result<String, SystemError> {
    let rows = session
        .rows("SELECT CAST(DATABASE() AS CHAR)".to_owned(), &[], READING)
        .await?;
    let current = rows.first().and_then(|row| text(row, 0));
    current.ok_or_else(|| {
        let hint = format!(
            "write it as `database.{name}`, or set `database` in `[connections.{}]`",
            session.name()
        );
        not_found(format!("a database for `{name}`"), Some(hint))
    })
}

fn near<'a>(
    wanted: &NamePart,
    known: impl Iterator<Item = &'a str>,
    error: NameError,
) -> Option<String> {
    match error {
        NameError::Unknown => did_you_mean(&wanted.text, known),
        NameError::Ambiguous { candidates } => Some(format!(
            "quote the one you mean: \"{}\"",
            candidates.join("\" or \"")
        )),
    }
}

fn not_found(what: String, hint: Option<String>) -> SystemError {
    SystemError::NotFound { what, hint }
}

fn table_entry(database: &str, row: &MySqlRow) -> Option<TableEntry> {
    let kind = match text(row, 1)?.as_str() {
        "VIEW" | "SYSTEM VIEW" => ObjectKind::View {
            updatable: text(row, 2).as_deref() == Some("YES"),
        },
        _ => ObjectKind::Table,
    };
    Some(TableEntry {
        database: database.to_owned(),
        name: text(row, 0)?,
        kind,
    })
}

fn column_entry(row: &MySqlRow, mariadb: bool, checked_json: &[String]) -> ColumnEntry {
    let cell = |position: usize| text(row, position);
    let name = cell(0).unwrap_or_default();
    let extra = cell(5).unwrap_or_default().to_ascii_lowercase();
    // MariaDB spells out the default NULL of a column without one.
    let default = cell(4).filter(|default| !(mariadb && default == "NULL"));
    ColumnEntry {
        data_type: cell(1).unwrap_or_default().to_ascii_lowercase(),
        column_type: cell(2).unwrap_or_default(),
        nullable: cell(3).as_deref() == Some("YES"),
        has_default: default.is_some()
            || extra.contains("auto_increment")
            || extra.contains("default_generated"),
        generated: cell(6).is_some_and(|expression| !expression.is_empty()) || is_generated(&extra),
        length_max: cell(7).and_then(|length| length.parse().ok()),
        precision: cell(8).and_then(|precision| precision.parse().ok()),
        scale: cell(9).and_then(|scale| scale.parse().ok()),
        fraction_digits: cell(10).and_then(|digits| digits.parse().ok()),
        collation: cell(11),
        checked_json: checked_json.contains(&name),
        privileges: cell(12).unwrap_or_default().to_ascii_lowercase(),
        name,
    }
}

fn is_generated(extra: &str) -> bool {
    ["virtual generated", "stored generated", "persistent"]
        .iter()
        .any(|word| extra.contains(word))
}

/// Names of the columns whose CHECK says that they hold JSON: MariaDB's `JSON` is such a
/// `LONGTEXT`.
async fn json_checks(
    session: &mut Session,
    table: &TableEntry,
) -> Result<Vec<String>, SystemError> {
    if !session.server.mariadb {
        return Ok(Vec::new());
    }
    let sql = "SELECT CAST(CHECK_CLAUSE AS CHAR) FROM information_schema.CHECK_CONSTRAINTS \
               WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?";
    let rows = session
        .rows(sql.to_owned(), &[&table.database, &table.name], READING)
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| text(row, 0))
        .filter_map(|clause| json_checked(&clause))
        .collect())
}

/// The column of ``json_valid(`column`)``.
fn json_checked(clause: &str) -> Option<String> {
    let name = clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?;
    Some(name.replace("``", "`"))
}

/// One index, its columns in order.
#[derive(Debug, Default)]
struct Index {
    name: String,
    unique: bool,
    /// Whether an equality lookup can use it.
    looks_up: bool,
    /// An expression stands in for a column, or only the first characters of one are kept.
    partial: bool,
    columns: Vec<String>,
}

impl Index {
    fn unique_key(&self) -> Option<Vec<String>> {
        (self.unique && !self.partial).then(|| self.columns.clone())
    }

    fn lookup_columns(&self) -> Option<Vec<String>> {
        (self.looks_up && !self.columns.is_empty()).then(|| self.columns.clone())
    }
}

fn primary_key_of(indexes: &[Index]) -> Vec<String> {
    indexes
        .iter()
        .find(|index| index.name == "PRIMARY")
        .map(|index| index.columns.clone())
        .unwrap_or_default()
}

async fn indexes(session: &mut Session, table: &TableEntry) -> Result<Vec<Index>, SystemError> {
    // Whether the optimizer may use an index stands in a column that each server names its own way.
    let usable = if session.server.mariadb {
        mariadb_usable(session).await?
    } else {
        "IS_VISIBLE"
    };
    let sql = format!(
        "SELECT CAST(s.INDEX_NAME AS CHAR), CAST(s.NON_UNIQUE AS CHAR), CAST(s.COLUMN_NAME AS CHAR), \
         CAST(s.SUB_PART AS CHAR), CAST(s.INDEX_TYPE AS CHAR), CAST({usable} AS CHAR), CAST(t.ENGINE AS CHAR) \
         FROM information_schema.STATISTICS AS s LEFT JOIN information_schema.TABLES AS t \
         ON t.TABLE_SCHEMA = s.TABLE_SCHEMA AND t.TABLE_NAME = s.TABLE_NAME \
         WHERE s.TABLE_SCHEMA = ? AND s.TABLE_NAME = ? ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX"
    );
    let rows = session
        .rows(sql, &[&table.database, &table.name], READING)
        .await?;
    let mut indexes: Vec<Index> = Vec::new();
    for row in &rows {
        add_part(&mut indexes, row);
    }
    Ok(indexes)
}

/// MariaDB 10.6 learned to ignore an index; its catalogue says so in the opposite sense of MySQL's.
async fn mariadb_usable(session: &mut Session) -> Result<&'static str, SystemError> {
    let sql = "SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema' \
               AND TABLE_NAME = 'STATISTICS' AND COLUMN_NAME = 'IGNORED'";
    let known = !session.rows(sql.to_owned(), &[], READING).await?.is_empty();
    Ok(if known {
        "IF(s.IGNORED = 'YES', 'NO', 'YES')"
    } else {
        "'YES'"
    })
}

fn add_part(indexes: &mut Vec<Index>, row: &MySqlRow) {
    let Some(name) = text(row, 0) else { return };
    if indexes.last().is_none_or(|index| index.name != name) {
        let hashed_in_memory = text(row, 6).as_deref() == Some("MEMORY");
        let method_fits = text(row, 4).as_deref() == Some("BTREE") || hashed_in_memory;
        indexes.push(Index {
            unique: text(row, 1).as_deref() == Some("0"),
            looks_up: method_fits && text(row, 5).as_deref() == Some("YES"),
            name,
            ..Index::default()
        });
    }
    let Some(index) = indexes.last_mut() else {
        return;
    };
    index.partial |= text(row, 3).is_some();
    match text(row, 2) {
        Some(column) => index.columns.push(column),
        None => {
            index.partial = true;
            // What stands behind an expression is of no use to a lookup by columns.
            index.looks_up &= !index.columns.is_empty();
        }
    }
}

impl ColumnEntry {
    fn may(&self, privilege: &str) -> bool {
        self.privileges
            .split(',')
            .any(|granted| granted.trim() == privilege)
    }

    fn object_column(&self) -> ObjectColumn {
        let holds = self.holds();
        let compared_as_text = matches!(holds, Holds::Text { .. } | Holds::Label(_));
        ObjectColumn {
            name: self.name.clone(),
            declared: self.column_type.clone(),
            loosely_compared: compared_as_text && self.collation.as_deref().is_none_or(is_loose),
            holds,
            nullable: self.nullable,
            has_default: self.has_default,
            generated: self.generated,
            may_select: self.may("select"),
            may_update: self.may("update"),
            may_insert: self.may("insert"),
            collation: self.collation.clone(),
            drops_blanks: self.data_type.eq_ignore_ascii_case("char"),
            is_set: false,
        }
    }

    fn unsigned(&self) -> bool {
        self.column_type.to_ascii_lowercase().contains("unsigned")
    }

    /// What the column can hold exactly.
    fn holds(&self) -> Holds {
        if self.checked_json {
            return Holds::Json;
        }
        let fraction_digits = self.fraction_digits.unwrap_or(0);
        match self.data_type.as_str() {
            "tinyint" if is_boolean(&self.column_type) => Holds::Boolean,
            "tinyint" => whole_numbers(8, self.unsigned()),
            "smallint" => whole_numbers(16, self.unsigned()),
            "mediumint" => whole_numbers(24, self.unsigned()),
            "int" => whole_numbers(32, self.unsigned()),
            "bigint" => whole_numbers(64, self.unsigned()),
            "decimal" => Holds::Decimal {
                size: self.precision.zip(self.scale),
            },
            "float" => float_holds(32, self.precision, self.scale),
            "double" => float_holds(64, self.precision, self.scale),
            "char" | "varchar" => self.text_holds(TextLimit::Characters),
            "tinytext" | "text" | "mediumtext" | "longtext" => self.text_holds(TextLimit::Bytes),
            "enum" => Holds::Label(labels(&self.column_type)),
            "date" => Holds::Date,
            "time" => Holds::Time { fraction_digits },
            "datetime" => Holds::Timestamp { fraction_digits },
            "timestamp" => Holds::Instant { fraction_digits },
            "uuid" => Holds::Uuid,
            "json" => Holds::Json,
            _ => Holds::Unsupported,
        }
    }

    fn text_holds(&self, limit: impl Fn(u64) -> TextLimit) -> Holds {
        match self.collation.as_deref() {
            Some(collation) => Holds::Text {
                limit: self.length_max.map(limit),
                repertoire: repertoire(collation),
            },
            None => Holds::Unsupported,
        }
    }

    /// The type a schema file declares for it; `None` if write-backs cannot carry it. Some types
    /// are read that are not written, or are read as more than they are written as.
    pub(crate) fn schema_type(&self) -> Option<SchemaType> {
        Some(match self.data_type.as_str() {
            _ if self.checked_json => SchemaType::Json,
            "bit" if self.precision == Some(1) => SchemaType::Boolean,
            "bit" => SchemaType::Decimal {
                size: Some(DecimalSize {
                    precision: 20,
                    scale: 0,
                }),
            },
            "year" => SchemaType::Integer { bits: 16 },
            "float" => SchemaType::Float { bits: 32 },
            "double" => SchemaType::Float { bits: 64 },
            "char" | "varchar" | "enum" | "set" => SchemaType::Text {
                characters_max: self
                    .length_max
                    .and_then(|length| u32::try_from(length).ok()),
            },
            _ => return self.holds().schema_type(),
        })
    }
}

/// `BOOLEAN` is how people write `TINYINT(1)`, and what both servers make of it.
/// Source: <https://dev.mysql.com/doc/refman/8.0/en/numeric-type-syntax.html>.
fn is_boolean(column_type: &str) -> bool {
    column_type.eq_ignore_ascii_case("tinyint(1)")
}

fn whole_numbers(bits: u32, unsigned: bool) -> Holds {
    match unsigned {
        true => Holds::Integer {
            min: 0,
            max: (1_i128 << bits) - 1,
        },
        false => Holds::Integer {
            min: -(1_i128 << (bits - 1)),
            max: (1_i128 << (bits - 1)) - 1,
        },
    }
}

/// `FLOAT(7,2)` and `DOUBLE(10,2)` round to their scale as they store: decimals in binary clothes,
/// of which only the first 6 or 15 digits are sure. Source:
/// <https://dev.mysql.com/doc/refman/8.0/en/floating-point-types.html>.
fn float_holds(bits: u8, precision: Option<u16>, scale: Option<u16>) -> Holds {
    let digits_max = if bits == 32 { 6 } else { 15 };
    match precision.zip(scale) {
        None => Holds::Float { bits },
        Some((precision, scale)) => {
            let precision = precision.min(digits_max);
            Holds::DecimalAsFloat {
                size: Some((precision, scale.min(precision))),
            }
        }
    }
}

/// The character set of a collation is the first word of its name.
/// Source: <https://dev.mysql.com/doc/refman/8.0/en/charset-collation-names.html>.
pub(crate) fn charset_of(collation: &str) -> &str {
    collation.split('_').next().unwrap_or(collation)
}

fn repertoire(collation: &str) -> Repertoire {
    match charset_of(collation) {
        "utf8" | "utf8mb3" | "ucs2" => Repertoire::BasicPlane,
        "latin1" => Repertoire::Latin1,
        "ascii" => Repertoire::Ascii,
        // Of the rarer sets the server itself knows best what they lack, and strictness makes it
        // say so.
        _ => Repertoire::Unicode { nul: true },
    }
}

/// Whether a collation takes texts for equal that differ in a byte. Even binary ones mostly ignore
/// trailing blanks. Source: <https://dev.mysql.com/doc/refman/8.0/en/charset-unicode-sets.html>,
/// "pad attribute".
fn is_loose(collation: &str) -> bool {
    !(collation.ends_with("_nopad_bin") || collation == "utf8mb4_0900_bin")
}

/// The words of `enum('a','it''s')`, with the escapes that the catalogue writes.
fn labels(column_type: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut label: Option<String> = None;
    let mut characters = column_type.chars().peekable();
    while let Some(character) = characters.next() {
        match (&mut label, character) {
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
            (Some(word), '\'') if characters.peek() == Some(&'\'') => {
                word.push('\'');
                characters.next();
            }
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(word), '\\') => word.extend(characters.next().map(unescaped)),
            (Some(word), other) => word.push(other),
        }
    }
    labels
}

fn unescaped(character: char) -> char {
    match character {
        '0' => '\0',
        'n' => '\n',
        'r' => '\r',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str, column_type: &str) -> ColumnEntry {
        ColumnEntry {
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
            collation: Some("utf8mb4_general_ci".to_owned()),
            length_max: Some(18),
            ..ColumnEntry::default()
        }
    }

    #[test]
    fn types_say_what_they_hold_and_what_a_schema_declares() {
        let boolean = column("tinyint", "tinyint(1)");
        assert_eq!(
            (boolean.holds(), boolean.schema_type()),
            (Holds::Boolean, Some(SchemaType::Boolean))
        );
        let small = column("tinyint", "tinyint(3) unsigned");
        assert_eq!(small.holds(), Holds::Integer { min: 0, max: 255 });
        let large = column("bigint", "bigint(20) unsigned");
        assert_eq!(
            large.holds(),
            Holds::Integer {
                min: 0,
                max: i128::from(u64::MAX)
            }
        );
        assert_eq!(
            large
                .schema_type()
                .map(|declared| declared.to_string())
                .as_deref(),
            Some("DECIMAL(20,0)")
        );
        let money = ColumnEntry {
            precision: Some(10),
            scale: Some(2),
            ..column("double", "double(10,2)")
        };
        assert_eq!(
            money.holds(),
            Holds::DecimalAsFloat {
                size: Some((10, 2))
            }
        );
        let instant = ColumnEntry {
            fraction_digits: Some(3),
            ..column("timestamp", "timestamp(3)")
        };
        assert_eq!(instant.holds(), Holds::Instant { fraction_digits: 3 });
        let name = column("varchar", "varchar(18)");
        let unicode = Repertoire::Unicode { nul: true };
        assert_eq!(
            name.holds(),
            Holds::Text {
                limit: Some(TextLimit::Characters(18)),
                repertoire: unicode
            }
        );
        assert_eq!(column("geometry", "geometry").holds(), Holds::Unsupported);
        let json = ColumnEntry {
            checked_json: true,
            ..column("longtext", "longtext")
        };
        assert_eq!(json.holds(), Holds::Json);
    }

    #[test]
    fn enum_words_are_unquoted() {
        assert_eq!(
            labels("enum('a','it''s','x,y','\\\\','')"),
            ["a", "it's", "x,y", "\\", ""]
        );
        assert!(labels("enum(").is_empty());
    }

    #[test]
    fn only_unpadded_binary_collations_compare_bytes() {
        assert!(is_loose("utf8mb4_general_ci"));
        assert!(is_loose("utf8mb4_bin"));
        assert!(!is_loose("utf8mb4_nopad_bin"));
        assert!(!is_loose("utf8mb4_0900_bin"));
    }

    #[test]
    fn a_json_check_names_its_column() {
        assert_eq!(json_checked("json_valid(`a``b`)").as_deref(), Some("a`b"));
        assert_eq!(json_checked("`a` > 0"), None);
    }

    #[test]
    fn names_have_one_to_three_parts() {
        let part = |text: &str| NamePart {
            text: text.to_owned(),
            quoted: false,
        };
        let named = |parts: &[&str]| ObjectName {
            parts: parts.iter().map(|text| part(text)).collect(),
        };
        assert!(split(&named(&["accounts"])).is_ok());
        assert!(split(&named(&["def", "crm", "accounts"])).is_ok());
        assert!(split(&named(&["abc", "crm", "accounts"])).is_err());
    }
}
