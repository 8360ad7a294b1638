//! Reads SQLite's catalogue: which tables there are, their columns, keys and indexes.

use sqlx::Row as _;

use super::SqliteDatabase;
use super::declared;
use crate::database::tables::{ListedColumn, unknown_table};
use crate::database::{Dialect, audited};
use crate::domain::error::SystemError;
use crate::domain::object::{
    Declaration, Object, ObjectColumn, ObjectKind, ObjectName, Obstacle, RowLocks, Spelling,
    resolve_name,
};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};

const READING: &str = "reading the catalogue";

impl SqliteDatabase {
    /// Finds an object and reads what the catalogue says of it. Whether the file may be written it
    /// does not say. Errors: `NotFound` with a hint that names near misses, or all candidates if
    /// only their case tells them apart.
    pub(crate) async fn read_object(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        let table = self.find_table(name).await?;
        let shape = self
            .table_shape(&table)
            .await
            .map_err(|error| self.sort_error(READING, error))?;
        let mut object = self
            .object(&table, &shape)
            .await
            .map_err(|error| self.sort_error(READING, error))?;
        if shape.kind != TableKind::Table {
            self.probe_rights(&table, &mut object).await;
        }
        let updatable = object
            .columns
            .iter()
            .any(|column| column.may_update || column.may_insert);
        if shape.kind == TableKind::View && !self.takes_deletions(&table).await {
            object.obstacles.push(Obstacle::to_deletions());
        }
        object.kind = match shape.kind {
            TableKind::View => ObjectKind::View { updatable },
            TableKind::Table | TableKind::Virtual => ObjectKind::Table,
        };
        Ok(object)
    }

    /// How an object's columns are declared now.
    pub(crate) async fn declarations(
        &mut self,
        object: &Object,
    ) -> Result<Vec<Declaration>, SystemError> {
        let table = object.path.last().map_or("", String::as_str);
        let columns = self
            .columns(table)
            .await
            .map_err(|error| self.sort_error(READING, error))?;
        Ok(columns
            .into_iter()
            .map(|column| Declaration {
                name: column.name,
                declared: column.declared,
            })
            .collect())
    }

    /// Names of an object's triggers.
    pub(crate) async fn triggers(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        let table = object.path.last().map_or("", String::as_str);
        let schema = Dialect::Sqlite.quote(&self.schema);
        let sql = format!(
            "SELECT name FROM {schema}.sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name"
        );
        let names = sqlx::query_scalar(audited(sql))
            .bind(table.to_owned())
            .fetch_all(self.connection())
            .await;
        names.map_err(|error| self.sort_error(READING, error))
    }

    /// Names of the tables of which rows are deleted or emptied along with a row of an object.
    pub(crate) async fn dependents(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        let table = object.path.last().map_or("", String::as_str);
        let schema = Dialect::Sqlite.quote(&self.schema);
        let sql = format!(
            "SELECT DISTINCT referring.name FROM {schema}.sqlite_schema AS referring \
             JOIN pragma_foreign_key_list(referring.name, ?) AS foreign_key \
             WHERE referring.type = 'table' AND foreign_key.\"table\" = ? COLLATE NOCASE \
             AND foreign_key.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT') ORDER BY 1"
        );
        let query = sqlx::query_scalar(audited(sql))
            .bind(self.schema.clone())
            .bind(table.to_owned());
        let names = query.fetch_all(self.connection()).await;
        names.map_err(|error| self.sort_error(READING, error))
    }

    /// The columns of an object that a foreign key of one column leads from. One that names no
    /// column leads to the primary key.
    pub(crate) async fn references(
        &mut self,
        object: &Object,
    ) -> Result<Vec<ReferenceColumn>, SystemError> {
        let table = object.path.last().map_or("", String::as_str);
        let schema = Dialect::Sqlite.quote(&self.schema);
        // Foreign keys name a table in whatever case.
        let sql = format!(
            "SELECT min(key.\"from\"), other.name, \
             min(coalesce(key.\"to\", (SELECT name FROM pragma_table_info(other.name, ?) WHERE pk = 1))) \
             FROM pragma_foreign_key_list(?, ?) AS key \
             JOIN {schema}.sqlite_schema AS other ON other.type = 'table' AND other.name = key.\"table\" COLLATE NOCASE \
             GROUP BY key.id, other.name HAVING count(*) = 1 ORDER BY key.id DESC"
        );
        let query = sqlx::query_as::<_, (String, String, Option<String>)>(audited(sql))
            .bind(self.schema.clone())
            .bind(table.to_owned())
            .bind(self.schema.clone());
        let rows = query.fetch_all(self.connection()).await;
        let rows = rows.map_err(|error| self.sort_error(READING, error))?;
        let outer = object.path.split_last().map_or(&[][..], |(_, outer)| outer);
        let read = |(column, table, there): (String, String, Option<String>)| {
            let path = outer.iter().cloned().chain([table.clone()]).collect();
            Some(ReferenceColumn {
                column,
                relationship: Some(table),
                targets: vec![ReferenceTarget {
                    path,
                    column: there?,
                }],
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Tables and views of the file, SQLite's own left out, in the order of their names.
    pub(crate) async fn table_names(&mut self) -> Result<Vec<String>, sqlx::Error> {
        let schema = Dialect::Sqlite.quote(&self.schema);
        let sql = format!(
            "SELECT name FROM {schema}.sqlite_schema WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' \
             ORDER BY name"
        );
        self.fetch(sql)
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect()
    }

    /// Names of the tables and views that there are.
    pub(crate) async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        let names = self.table_names().await;
        names.map_err(|error| self.sort_error(READING, error))
    }

    /// The columns of all tables and views, table by table.
    pub(crate) async fn all_columns(&mut self) -> Result<Vec<ListedColumn>, SystemError> {
        let schema = Dialect::Sqlite.quote(&self.schema);
        let sql = format!(
            "SELECT object.name, held.name, held.pk > 0 FROM {schema}.sqlite_schema AS object \
             JOIN pragma_table_info(object.name, ?) AS held \
             WHERE object.type IN ('table', 'view') AND object.name NOT GLOB 'sqlite_*' \
             ORDER BY object.name, held.cid"
        );
        let query = sqlx::query_as(audited(sql)).bind(self.schema.clone());
        let columns = query.fetch_all(self.connection()).await;
        let columns: Vec<(String, String, bool)> =
            columns.map_err(|error| self.sort_error(READING, error))?;
        let listed = |(table, name, is_key)| ListedColumn {
            table: vec![table],
            name,
            is_key,
        };
        Ok(columns.into_iter().map(listed).collect())
    }

    async fn find_table(&mut self, name: &ObjectName) -> Result<String, SystemError> {
        let table = match name.parts.as_slice() {
            [table] => table,
            [database, table] => {
                let known = [self.schema.as_str()];
                resolve_name(database, known.into_iter())
                    .map_err(|_| self.unknown_database(name))?;
                table
            }
            _ => {
                return Err(SystemError::NotFound {
                    what: format!("`{name}`"),
                    hint: Some(
                        "SQLite knows a database and a table, nothing above them".to_owned(),
                    ),
                });
            }
        };
        let known = self.object_names().await?;
        match resolve_name(table, known.iter().map(String::as_str)) {
            Ok(found) => Ok(found.to_owned()),
            Err(error) => Err(unknown_table(name, table, &error, &known)),
        }
    }

    fn unknown_database(&self, name: &ObjectName) -> SystemError {
        let remedy = match self.attached {
            true => format!("the file is attached as `{}`", self.schema),
            false => format!(
                "name it with `database` in `[connections.{}]`",
                self.connection_name
            ),
        };
        SystemError::NotFound {
            what: format!("the database of `{name}`"),
            hint: Some(remedy),
        }
    }

    async fn table_shape(&mut self, table: &str) -> Result<TableShape, sqlx::Error> {
        let sql =
            "SELECT type, wr, strict FROM pragma_table_list(?) WHERE schema = ? COLLATE NOCASE";
        let schema = self.schema.clone();
        let row = sqlx::query(sql)
            .bind(table.to_owned())
            .bind(schema)
            .fetch_one(self.connection())
            .await?;
        let kind = match row.try_get::<String, _>(0)?.as_str() {
            "view" => TableKind::View,
            "virtual" => TableKind::Virtual,
            _ => TableKind::Table,
        };
        Ok(TableShape {
            kind,
            without_rowid: row.try_get(1)?,
            strict: row.try_get(2)?,
        })
    }

    async fn object(&mut self, table: &str, shape: &TableShape) -> Result<Object, sqlx::Error> {
        let columns = self.columns(table).await?;
        let indexes = self.indexes(table).await?;
        let followed = self.followed(table).await?;
        let collations = self.collations(table, &columns).await;
        let mut primary_key: Vec<_> = columns
            .iter()
            .filter(|column| column.key_position > 0)
            .collect();
        primary_key.sort_by_key(|column| column.key_position);
        let primary_key: Vec<String> = primary_key
            .into_iter()
            .map(|column| column.name.clone())
            .collect();
        // A lone INTEGER PRIMARY KEY is the row's own number: it is unique and found at once, and
        // no index shows it.
        let has_key_index = indexes.iter().any(|index| index.primary);
        let is_rowid = primary_key.len() == 1 && !has_key_index && !shape.without_rowid;
        let rowid = primary_key
            .first()
            .filter(|_| is_rowid && shape.kind == TableKind::Table);

        let mut unique_keys: Vec<Vec<String>> =
            rowid.iter().map(|name| vec![(*name).clone()]).collect();
        unique_keys.extend(indexes.iter().filter_map(CatalogueIndex::unique_key));
        let mut usable: Vec<Vec<String>> = rowid.iter().map(|name| vec![(*name).clone()]).collect();
        let collation_of = |name: &str| {
            columns
                .iter()
                .zip(&collations)
                .find(|(column, _)| column.name == name)
                .map(|(_, collation)| *collation)
        };
        usable.extend(
            indexes
                .iter()
                .map(|index| index.leading_columns(collation_of)),
        );
        usable.retain(|index| !index.is_empty());

        let describe = |(column, collation): (&CatalogueColumn, &Collation)| {
            column.describe(shape.strict, *collation, rowid == Some(&column.name))
        };
        let described = columns.iter().zip(&collations).map(describe).collect();
        Ok(Object {
            path: self.path_of(table),
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Table,
            columns: described,
            unique_keys,
            followed,
            indexes: usable,
            may_enter: true,
            hides_columns: false,
            may_select: true,
            may_select_rows: true,
            locks: RowLocks::Each,
            primary_key,
            obstacles: Vec::new(),
        })
    }

    /// The columns of a table whose values foreign keys follow. A key that names no columns leads to
    /// those of the primary key.
    async fn followed(&mut self, table: &str) -> Result<Vec<String>, sqlx::Error> {
        let schema = Dialect::Sqlite.quote(&self.schema);
        let sql = format!(
            "SELECT DISTINCT coalesce(key.\"to\", own.name) FROM {schema}.sqlite_schema AS referring \
             JOIN pragma_foreign_key_list(referring.name, ?1) AS key \
             LEFT JOIN pragma_table_info(?2, ?1) AS own ON own.pk = key.seq + 1 \
             WHERE referring.type = 'table' AND key.\"table\" = ?2 COLLATE NOCASE AND key.on_update = 'CASCADE' \
             AND coalesce(key.\"to\", own.name) IS NOT NULL ORDER BY 1"
        );
        let query = sqlx::query_scalar(audited(sql))
            .bind(self.schema.clone())
            .bind(table.to_owned());
        query.fetch_all(self.connection()).await
    }

    /// As the connection names it: with the database only if the connection gave it a name.
    fn path_of(&self, table: &str) -> Vec<String> {
        let database = self.attached.then(|| self.schema.clone());
        database.into_iter().chain([table.to_owned()]).collect()
    }

    async fn columns(&mut self, table: &str) -> Result<Vec<CatalogueColumn>, sqlx::Error> {
        /// As `PRAGMA table_xinfo` calls a virtual table's columns that `SELECT *` leaves out.
        const HIDDEN: i64 = 1;
        let sql = "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?, ?) \
                   WHERE hidden <> ? ORDER BY cid";
        let schema = self.schema.clone();
        let query = sqlx::query(sql)
            .bind(table.to_owned())
            .bind(schema)
            .bind(HIDDEN);
        let rows = query.fetch_all(self.connection()).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(CatalogueColumn {
                name: row.try_get(0)?,
                declared: row.try_get(1)?,
                not_null: row.try_get(2)?,
                has_default: row.try_get(3)?,
                key_position: row.try_get(4)?,
                generated: row.try_get::<i64, _>(5)? > HIDDEN,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn indexes(&mut self, table: &str) -> Result<Vec<CatalogueIndex>, sqlx::Error> {
        let sql = "SELECT list.name, list.\"unique\", list.origin = 'pk', list.partial, info.name, info.coll \
                   FROM pragma_index_list(?, ?) AS list JOIN pragma_index_xinfo(list.name, ?) AS info \
                   WHERE info.key ORDER BY list.seq, info.seqno";
        let schema = self.schema.clone();
        let query = sqlx::query(sql)
            .bind(table.to_owned())
            .bind(schema.clone())
            .bind(schema);
        let rows = query.fetch_all(self.connection()).await?;
        let mut indexes: Vec<CatalogueIndex> = Vec::new();
        for row in &rows {
            let name: String = row.try_get(0)?;
            let column = IndexedColumn {
                name: row.try_get(4)?,
                collation: row.try_get(5)?,
            };
            match indexes.last_mut().filter(|index| index.name == name) {
                Some(index) => index.columns.push(column),
                None => indexes.push(CatalogueIndex {
                    name,
                    unique: row.try_get(1)?,
                    primary: row.try_get(2)?,
                    partial: row.try_get(3)?,
                    columns: vec![column],
                }),
            }
        }
        Ok(indexes)
    }

    /// How each column's `=` compares text. No pragma tells, so it is tried out: a column of a
    /// compound query compares as the column of its first query does.
    async fn collations(&mut self, table: &str, columns: &[CatalogueColumn]) -> Vec<Collation> {
        let mut collations = Vec::with_capacity(columns.len());
        for column in columns {
            collations.push(self.collation(table, &column.name).await);
        }
        collations
    }

    async fn collation(&mut self, table: &str, column: &str) -> Collation {
        let quoted = Dialect::Sqlite.quote(column);
        let sql = format!(
            "SELECT probe.c = 'A', probe.c = 'a ' \
             FROM (SELECT {quoted} AS c FROM {table} WHERE 0 UNION ALL SELECT 'a') AS probe",
            table = self.quoted_table(table)
        );
        let Ok(row) = sqlx::query(audited(sql)).fetch_one(self.connection()).await else {
            return Collation::Unknown;
        };
        match (row.try_get(0), row.try_get(1)) {
            (Ok(false), Ok(false)) => Collation::Binary,
            (Ok(true), Ok(false)) => Collation::NoCase,
            (Ok(false), Ok(true)) => Collation::RightTrimmed,
            _ => Collation::Unknown,
        }
    }

    /// What may be written in a view depends on its triggers, in a virtual table on its module.
    /// SQLite knows when it prepares a statement, which executes nothing.
    async fn probe_rights(&mut self, table: &str, object: &mut Object) {
        let table = self.quoted_table(table);
        for column in &mut object.columns {
            let quoted = Dialect::Sqlite.quote(&column.name);
            column.may_update = self
                .prepares(format!("UPDATE {table} SET {quoted} = NULL"))
                .await;
            column.may_insert = self
                .prepares(format!("INSERT INTO {table} ({quoted}) VALUES (NULL)"))
                .await;
        }
    }

    async fn takes_deletions(&mut self, table: &str) -> bool {
        let table = self.quoted_table(table);
        self.prepares(format!("DELETE FROM {table}")).await
    }

    async fn prepares(&mut self, sql: String) -> bool {
        use sqlx::{Executor as _, SqlSafeStr as _};
        self.connection()
            .prepare(audited(sql).into_sql_str())
            .await
            .is_ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableKind {
    Table,
    Virtual,
    View,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TableShape {
    kind: TableKind,
    without_rowid: bool,
    strict: bool,
}

/// How a column's own `=` compares text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collation {
    Binary,
    NoCase,
    RightTrimmed,
    /// One that a program brings along.
    Unknown,
}

impl Collation {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Binary => Some("BINARY"),
            Self::NoCase => Some("NOCASE"),
            Self::RightTrimmed => Some("RTRIM"),
            Self::Unknown => None,
        }
    }
}

/// One column as `PRAGMA table_xinfo` lists it.
struct CatalogueColumn {
    name: String,
    declared: String,
    not_null: bool,
    has_default: bool,
    /// Position in the primary key from 1; 0 outside of it.
    key_position: i64,
    generated: bool,
}

impl CatalogueColumn {
    fn describe(&self, strict: bool, collation: Collation, is_rowid: bool) -> ObjectColumn {
        ObjectColumn {
            name: self.name.clone(),
            declared: self.declared.clone(),
            holds: declared::holds(&self.declared, strict),
            nullable: !self.not_null && !is_rowid,
            has_default: self.has_default || is_rowid,
            generated: self.generated,
            may_select: true,
            may_update: !self.generated,
            may_insert: !self.generated,
            loosely_compared: collation != Collation::Binary,
            collation: None,
            drops_blanks: false,
            is_set: false,
        }
    }
}

struct IndexedColumn {
    /// `None` for an expression.
    name: Option<String>,
    collation: Option<String>,
}

struct CatalogueIndex {
    name: String,
    unique: bool,
    primary: bool,
    partial: bool,
    columns: Vec<IndexedColumn>,
}

impl CatalogueIndex {
    /// Its columns, if it holds every row to them. A collation that takes more for equal only makes
    /// it stricter.
    fn unique_key(&self) -> Option<Vec<String>> {
        let constrains = self.unique && !self.partial;
        self.columns
            .iter()
            .map(|column| column.name.clone())
            .collect::<Option<Vec<_>>>()
            .filter(|_| constrains)
    }

    /// Its leading columns that a lookup by equality can use: those it sorts as the column itself
    /// compares, or by bytes.
    fn leading_columns(&self, collation_of: impl Fn(&str) -> Option<Collation>) -> Vec<String> {
        let usable = |column: &IndexedColumn| {
            let name = column.name.clone()?;
            let own = collation_of(&name).and_then(Collation::name);
            let sorted_by = column.collation.as_deref().unwrap_or("BINARY");
            let fits = |wanted: &str| wanted.eq_ignore_ascii_case(sorted_by);
            (fits("BINARY") || own.is_some_and(fits)).then_some(name)
        };
        self.columns
            .iter()
            .filter(|_| !self.partial)
            .map_while(usable)
            .collect()
    }
}
