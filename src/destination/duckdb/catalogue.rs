//! Reads DuckDB's catalogue: which tables there are, their columns, keys and indexes.

use super::values;
use super::worker::{Session, Worker};
use crate::database::Dialect;
use crate::database::tables::{listed, unknown_table};
use crate::domain::error::SystemError;
use crate::domain::object::{
    Declaration, Holds, NameError, NamePart, Object, ObjectColumn, ObjectKind, ObjectName,
    Repertoire, RowLocks, Spelling, resolve_name,
};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};

const READING: &str = "reading the catalogue";

/// The schema of tables that are named alone.
const MAIN: &str = "main";

/// What one file holds.
#[derive(Debug, Clone)]
pub(super) struct Catalogue {
    /// Under which name DuckDB knows the file.
    pub(super) database: String,
    /// What compares texts in columns that say nothing of it; empty, if their bytes are.
    default_collation: String,
}

/// A table or a view.
#[derive(Debug, Clone)]
struct Table {
    schema: String,
    name: String,
    /// The statement that makes it; `None` of views.
    sql: Option<String>,
}

/// A column as the catalogue has it.
struct Column {
    name: String,
    declared: String,
    nullable: bool,
    has_default: bool,
}

impl Catalogue {
    /// Sets the session up, and reads what is true of all tables.
    pub(super) fn enter(session: &mut Session) -> Result<Self, SystemError> {
        // Instants are shown in UTC, which is also how they are without the extension that knows
        // zones.
        if let Err(error) = session.execute("setting the session up", "SET TimeZone = 'UTC'", None)
        {
            tracing::debug!(%error, "no time zone could be set");
        }
        let sql = "SELECT current_database(), current_setting('default_collation')";
        let rows = session.rows(READING, sql, None)?;
        let row = rows.iter().next();
        let text = |column| row.and_then(|row| row.text(column)).unwrap_or_default();
        Ok(Self {
            database: text(0).to_owned(),
            default_collation: text(1).to_owned(),
        })
    }

    /// A table as statements name it.
    pub(super) fn quoted(&self, path: &[String]) -> String {
        let (schema, table) = schema_and_table(path);
        Dialect::Duckdb.quote_path([&self.database, &schema.to_owned(), &table.to_owned()])
    }

    /// Names of the tables and views that there are.
    pub(super) async fn object_names(&self, worker: &Worker) -> Result<Vec<String>, SystemError> {
        let tables = self.tables(worker).await?;
        Ok(tables.iter().map(|table| table.path().join(".")).collect())
    }

    /// Finds an object and reads what the catalogue says of it. Errors: `NotFound` with a hint that
    /// names near misses, or all candidates if only their case tells them apart.
    pub(super) async fn describe(
        &self,
        worker: &Worker,
        name: &ObjectName,
    ) -> Result<Object, SystemError> {
        let table = self.find(name, self.tables(worker).await?)?;
        let catalogue = self.clone();
        worker
            .ask(READING, move |session| catalogue.read(session, &table))
            .await
    }

    /// How an object's columns are declared now.
    pub(super) async fn declarations(
        &self,
        worker: &Worker,
        object: &Object,
    ) -> Result<Vec<Declaration>, SystemError> {
        let (catalogue, path) = (self.clone(), object.path.clone());
        let read = move |session: &mut Session| {
            let (schema, table) = schema_and_table(&path);
            let columns = catalogue.columns(session, schema, table)?;
            let declaration =
                |Column { name, declared, .. }: Column| Declaration { name, declared };
            Ok(columns.into_iter().map(declaration).collect())
        };
        worker.ask(READING, read).await
    }

    /// The columns of an object that a foreign key of one column leads from.
    pub(super) async fn references(
        &self,
        worker: &Worker,
        object: &Object,
    ) -> Result<Vec<ReferenceColumn>, SystemError> {
        let (catalogue, path) = (self.clone(), object.path.clone());
        let read = move |session: &mut Session| {
            let (schema, table) = schema_and_table(&path);
            let sql = "SELECT constraint_column_names[1], referenced_table, referenced_column_names[1] \
                       FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY' \
                       AND len(constraint_column_names) = 1 \
                       AND database_name = $1 AND schema_name = $2 AND table_name = $3 \
                       ORDER BY constraint_index";
            let rows = catalogue.rows(session, sql, schema, table)?;
            let reference = |row: super::worker::Row<'_>| {
                let (column, there) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
                // A foreign key leads to a table of the same schema.
                Some(ReferenceColumn {
                    column,
                    relationship: Some(there.clone()),
                    targets: vec![ReferenceTarget {
                        path: path_of(schema, &there),
                        column: row.text(2)?.to_owned(),
                    }],
                })
            };
            Ok(rows.iter().filter_map(reference).collect())
        };
        worker.ask(READING, read).await
    }

    async fn tables(&self, worker: &Worker) -> Result<Vec<Table>, SystemError> {
        let sql = "SELECT schema_name, table_name, sql FROM duckdb_tables() \
                   WHERE database_name = $1 AND NOT internal AND NOT temporary \
                   UNION ALL SELECT schema_name, view_name, NULL FROM duckdb_views() \
                   WHERE database_name = $1 AND NOT internal AND NOT temporary ORDER BY 1, 2";
        let database = self.database.clone();
        let read = move |session: &mut Session| {
            let parameters = values::texts(&[&database]).map_err(|error| session.unbound(error))?;
            let rows = session.rows(READING, sql, Some(parameters))?;
            let table = |row: super::worker::Row<'_>| {
                Some(Table {
                    schema: row.text(0)?.to_owned(),
                    name: row.text(1)?.to_owned(),
                    sql: row.text(2).map(str::to_owned),
                })
            };
            Ok(rows.iter().filter_map(table).collect())
        };
        worker.ask(READING, read).await
    }

    /// The one table that is meant. Two parts are a schema and a table, or the file and a table.
    fn find(&self, name: &ObjectName, tables: Vec<Table>) -> Result<Table, SystemError> {
        let (schema, wanted) = match name.parts.as_slice() {
            [table] => (MAIN.to_owned(), table),
            [outer, table] => (self.schema_meant(name, outer, &tables)?, table),
            [file, schema, table] => {
                let known = [self.database.as_str()];
                resolve_name(file, known.into_iter()).map_err(|_| self.no_schema(name, &tables))?;
                let schemas = tables.iter().map(|table| table.schema.as_str());
                let found = resolve_name(schema, distinct(schemas));
                let found = found.map_err(|_| self.no_schema(name, &tables))?;
                (found.to_owned(), table)
            }
            _ => {
                return Err(SystemError::NotFound {
                    what: format!("`{name}`"),
                    hint: Some(
                        "DuckDB knows a file, a schema and a table, nothing above them".to_owned(),
                    ),
                });
            }
        };
        let known: Vec<String> = tables
            .iter()
            .filter(|table| table.schema == schema)
            .map(|table| table.name.clone())
            .collect();
        let found = resolve_name(wanted, known.iter().map(String::as_str))
            .map_err(|error| unknown_table(name, wanted, &error, &known))?;
        let is_found = |table: &Table| table.schema == schema && table.name == found;
        let table = tables.iter().find(|table| is_found(table)).cloned();
        table.ok_or_else(|| unknown_table(name, wanted, &NameError::Unknown, &known))
    }

    fn schema_meant(
        &self,
        name: &ObjectName,
        outer: &NamePart,
        tables: &[Table],
    ) -> Result<String, SystemError> {
        let schemas = tables.iter().map(|table| table.schema.as_str());
        match resolve_name(outer, distinct(schemas)) {
            Ok(schema) => Ok(schema.to_owned()),
            Err(_) => match resolve_name(outer, [self.database.as_str()].into_iter()) {
                Ok(_) => Ok(MAIN.to_owned()),
                Err(_) => Err(self.no_schema(name, tables)),
            },
        }
    }

    fn no_schema(&self, name: &ObjectName, tables: &[Table]) -> SystemError {
        let schemas: Vec<String> = distinct(tables.iter().map(|table| table.schema.as_str()))
            .map(str::to_owned)
            .collect();
        let file = &self.database;
        SystemError::NotFound {
            what: format!("the schema of `{name}`"),
            hint: Some(match schemas.as_slice() {
                [] => format!("the file is known as `{file}` and has no tables"),
                schemas => format!(
                    "the file is known as `{file}` and has tables in {}",
                    listed(schemas)
                ),
            }),
        }
    }

    fn read(&self, session: &mut Session, table: &Table) -> Result<Object, SystemError> {
        let columns = self.columns(session, &table.schema, &table.name)?;
        let is_view = table.sql.is_none();
        let definition = table.sql.as_deref().unwrap_or_default();
        let is_loose = !self.default_collation.is_empty() || says(definition, "COLLATE");
        let generated: Vec<bool> = columns
            .iter()
            .map(|column| {
                // The catalogue tells an expression from a default only in the statement's text.
                let may_be = column.has_default && says(definition, "GENERATED ALWAYS");
                may_be && self.is_generated(session, table, &column.name)
            })
            .collect();
        let described = columns.iter().zip(&generated).map(|(column, generated)| {
            let holds = holds(&column.declared);
            ObjectColumn {
                loosely_compared: is_loose && matches!(holds, Holds::Text { .. }),
                name: column.name.clone(),
                declared: column.declared.clone(),
                holds,
                nullable: column.nullable,
                has_default: column.has_default && !generated,
                generated: *generated,
                may_select: true,
                may_update: !is_view,
                may_insert: !is_view,
                collation: None,
                drops_blanks: false,
                is_set: false,
            }
        });
        let described = described.collect();
        let keys = self.keys(session, table)?;
        let indexes = self.indexes(session, table, &columns)?;
        let primary_key = keys
            .iter()
            .find(|(is_primary, _)| *is_primary)
            .map(|(_, columns)| columns.clone())
            .unwrap_or_default();
        let mut unique_keys: Vec<Vec<String>> =
            keys.into_iter().map(|(_, columns)| columns).collect();
        let unique = indexes.iter().filter(|(is_unique, _)| *is_unique);
        unique_keys.extend(unique.map(|(_, columns)| columns.clone()));
        let mut usable = unique_keys.clone();
        usable.extend(
            indexes
                .into_iter()
                .filter(|(is_unique, _)| !is_unique)
                .map(|(_, columns)| columns),
        );
        Ok(Object {
            path: table.path(),
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: match is_view {
                true => ObjectKind::View { updatable: false },
                false => ObjectKind::Table,
            },
            columns: described,
            unique_keys,
            indexes: usable,
            may_enter: true,
            hides_columns: false,
            may_select: true,
            may_select_rows: true,
            locks: RowLocks::Each,
            primary_key,
            followed: Vec::new(),
            obstacles: Vec::new(),
        })
    }

    fn columns(
        &self,
        session: &mut Session,
        schema: &str,
        table: &str,
    ) -> Result<Vec<Column>, SystemError> {
        let sql = "SELECT column_name, data_type, CAST(is_nullable AS BIGINT), \
                   CAST(column_default IS NOT NULL AS BIGINT) FROM duckdb_columns() \
                   WHERE database_name = $1 AND schema_name = $2 AND table_name = $3 ORDER BY column_index";
        let rows = self.rows(session, sql, schema, table)?;
        let column = |row: super::worker::Row<'_>| {
            Some(Column {
                name: row.text(0)?.to_owned(),
                declared: row.text(1)?.to_owned(),
                nullable: row.integer(2) != 0,
                has_default: row.integer(3) != 0,
            })
        };
        Ok(rows.iter().filter_map(column).collect())
    }

    /// Columns of the primary key and of unique constraints, and which of them is the primary key.
    fn keys(
        &self,
        session: &mut Session,
        table: &Table,
    ) -> Result<Vec<(bool, Vec<String>)>, SystemError> {
        let sql = "SELECT constraint_index, CAST(constraint_type = 'PRIMARY KEY' AS BIGINT), \
                   unnest(constraint_column_names) FROM duckdb_constraints() \
                   WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE') \
                   AND database_name = $1 AND schema_name = $2 AND table_name = $3";
        let rows = self.rows(session, sql, &table.schema, &table.name)?;
        let mut keys: Vec<(i64, bool, Vec<String>)> = Vec::new();
        for row in rows.iter() {
            let (number, is_primary) = (row.integer(0), row.integer(1) != 0);
            let column = row.text(2).unwrap_or_default().to_owned();
            match keys.iter_mut().find(|(known, ..)| *known == number) {
                Some((_, _, columns)) => columns.push(column),
                None => keys.push((number, is_primary, vec![column])),
            }
        }
        Ok(keys
            .into_iter()
            .map(|(_, is_primary, columns)| (is_primary, columns))
            .collect())
    }

    /// Columns of every index that is over columns alone, and whether it is unique.
    fn indexes(
        &self,
        session: &mut Session,
        table: &Table,
        columns: &[Column],
    ) -> Result<Vec<(bool, Vec<String>)>, SystemError> {
        let sql = "SELECT CAST(is_unique AS BIGINT), expressions FROM duckdb_indexes() \
                   WHERE database_name = $1 AND schema_name = $2 AND table_name = $3";
        let rows = self.rows(session, sql, &table.schema, &table.name)?;
        let index = |row: super::worker::Row<'_>| {
            let names = indexed(row.text(1)?)?;
            let is_column = |name: &String| columns.iter().any(|column| column.name == *name);
            names
                .iter()
                .all(is_column)
                .then_some((row.integer(0) != 0, names))
        };
        Ok(rows.iter().filter_map(index).collect())
    }

    fn is_generated(&self, session: &mut Session, table: &Table, column: &str) -> bool {
        let (path, column) = (self.quoted(&table.path()), Dialect::Duckdb.quote(column));
        let objection = session.objection(&format!("UPDATE {path} SET {column} = {column}"));
        objection.is_some_and(|why| why.contains("generated column"))
    }

    fn rows(
        &self,
        session: &mut Session,
        sql: &str,
        schema: &str,
        table: &str,
    ) -> Result<super::worker::Rows, SystemError> {
        let parameters = values::texts(&[&self.database, schema, table])
            .map_err(|error| session.unbound(error))?;
        session.rows(READING, sql, Some(parameters))
    }
}

impl Table {
    fn path(&self) -> Vec<String> {
        path_of(&self.schema, &self.name)
    }
}

/// As it is shown: with its schema, unless that is the usual one.
fn path_of(schema: &str, table: &str) -> Vec<String> {
    let schema = (schema != MAIN).then(|| schema.to_owned());
    schema.into_iter().chain([table.to_owned()]).collect()
}

fn schema_and_table(path: &[String]) -> (&str, &str) {
    match path {
        [] => (MAIN, ""),
        [table] => (MAIN, table),
        [.., schema, table] => (schema, table),
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> + Clone {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

fn says(definition: &str, words: &str) -> bool {
    definition.to_ascii_uppercase().contains(words)
}

/// The columns of an index as the catalogue shows them: `[id, '"a b"']`. `None`, if one of them is
/// an expression that cannot be read so.
fn indexed(expressions: &str) -> Option<Vec<String>> {
    let mut rest = expressions.strip_prefix('[')?.strip_suffix(']')?;
    let mut names = Vec::new();
    loop {
        let (name, after) = match rest.strip_prefix("'\"") {
            Some(quoted) => {
                let end = quoted.find("\"'")?;
                let (name, after) = quoted.split_at(end);
                (name.replace("\"\"", "\""), after.strip_prefix("\"'")?)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                (name.to_owned(), after)
            }
        };
        names.push(name);
        if after.is_empty() {
            return Some(names);
        }
        rest = after.strip_prefix(", ")?;
    }
}

/// What a column of a type holds exactly.
/// Source: <https://duckdb.org/docs/stable/sql/data_types/overview>.
fn holds(declared: &str) -> Holds {
    let integer = |min: i128, max: i128| Holds::Integer { min, max };
    match declared {
        "VARCHAR" => Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: true },
        },
        "BOOLEAN" => Holds::Boolean,
        "TINYINT" => integer(i8::MIN.into(), i8::MAX.into()),
        "SMALLINT" => integer(i16::MIN.into(), i16::MAX.into()),
        "INTEGER" => integer(i32::MIN.into(), i32::MAX.into()),
        "BIGINT" => integer(i64::MIN.into(), i64::MAX.into()),
        "HUGEINT" => integer(i128::MIN, i128::MAX),
        "UTINYINT" => integer(0, u8::MAX.into()),
        "USMALLINT" => integer(0, u16::MAX.into()),
        "UINTEGER" => integer(0, u32::MAX.into()),
        "UBIGINT" => integer(0, u64::MAX.into()),
        // It holds twice as many, which nobody counts here.
        "UHUGEINT" => integer(0, i128::MAX),
        "FLOAT" => Holds::Float { bits: 32 },
        "DOUBLE" => Holds::Float { bits: 64 },
        "DATE" => Holds::Date,
        "TIME" => Holds::Time { fraction_digits: 6 },
        "TIMESTAMP_S" => Holds::Timestamp { fraction_digits: 0 },
        "TIMESTAMP_MS" => Holds::Timestamp { fraction_digits: 3 },
        // Values are in microseconds; what rows hold in nanoseconds is kept and restored.
        "TIMESTAMP" | "TIMESTAMP_NS" => Holds::Timestamp { fraction_digits: 6 },
        "TIMESTAMP WITH TIME ZONE" => Holds::Instant { fraction_digits: 6 },
        "UUID" => Holds::Uuid,
        "JSON" => Holds::Json,
        _ => sized(declared).unwrap_or(Holds::Unsupported),
    }
}

/// `DECIMAL(5,2)` and `ENUM('a', 'b')`.
fn sized(declared: &str) -> Option<Holds> {
    let (name, inner) = declared.strip_suffix(')')?.split_once('(')?;
    match name {
        "DECIMAL" => {
            let (precision, scale) = inner.split_once(',')?;
            let size = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            Some(Holds::Decimal { size: Some(size) })
        }
        "ENUM" => labels(inner).map(Holds::Label),
        _ => None,
    }
}

/// `'a', 'it''s'`.
fn labels(inner: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let mut rest = inner.strip_prefix('\'')?;
    let mut label = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        label.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => {
                labels.push(std::mem::take(&mut label));
                if after.is_empty() {
                    return Some(labels);
                }
                rest = after.strip_prefix(", ")?.strip_prefix('\'')?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_say_what_they_hold() {
        let size = Some((38, 10));
        assert_eq!(holds("DECIMAL(38,10)"), Holds::Decimal { size });
        let words = ["a", "b, 'c'", "it's"].map(str::to_owned).to_vec();
        assert_eq!(holds("ENUM('a', 'b, ''c''', 'it''s')"), Holds::Label(words));
        for declared in [
            "INTEGER[]",
            "STRUCT(a INTEGER)",
            "MAP(VARCHAR, INTEGER)",
            "BLOB",
            "BIT",
            "INTERVAL",
            "TIME WITH TIME ZONE",
            "UNION(a INTEGER)",
            "DECIMAL(5,2)[]",
            "ENUM('a')[]",
            "a type of tomorrow",
        ] {
            assert_eq!(holds(declared), Holds::Unsupported, "{declared}");
        }
    }

    #[test]
    fn an_index_over_columns_is_told_from_one_over_expressions() {
        let names = |names: &[&str]| {
            Some(
                names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(indexed("[id]"), names(&["id"]));
        assert_eq!(
            indexed("['\"a, b\"', e, '\"c\"\"d\"']"),
            names(&["a, b", "e", "c\"d"])
        );
        assert_eq!(indexed("['((i + 1))']"), names(&["'((i + 1))'"]));
    }
}
