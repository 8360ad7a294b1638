//! Reads from SQLite: one read transaction, in which nothing that others write is seen, and one
//! statement in it whose rows a task of its own gathers into chunks while earlier chunks are worked
//! on.

use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor as _, SqlSafeStr as _, Statement as _};
use tokio::sync::mpsc;

use super::text::TextChunk;
use super::{DescribedColumn, Pulled, Source, TableDescription};
use crate::database::sqlite::{Access, SqliteDatabase, StoredValue, read_value};
use crate::database::tables::{ListedColumn, listed};
use crate::database::{Dialect, audited};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::object::{NameError, NamePart, Object, ObjectName, resolve_name};
use crate::domain::problem::did_you_mean;
use crate::domain::record::key_text;
use crate::domain::schema::Schema;

/// Chunks that may wait for whoever takes them: one is worked on while the next is read.
const CHUNKS_WAITING_MAX: usize = 1;

/// One pull.
pub(crate) struct SqliteSource {
    chunks: mpsc::Receiver<Result<Pulled, SystemError>>,
}

impl Source for SqliteSource {
    async fn open(connection: &Connection, schema: &Schema) -> Result<Self, SystemError> {
        let mut database = SqliteDatabase::open(connection, Access::Read).await?;
        let begun = sqlx::raw_sql("BEGIN").execute(database.connection()).await;
        begun.map_err(|error| database.sort_error("beginning a transaction", error))?;
        let relation = relation(&mut database, schema).await?;
        let known = columns_of(&mut database, &relation, schema).await?;
        let columns = resolve_columns(schema, &known)?;
        let sql = format!("SELECT {} FROM {relation}", quoted(&columns));
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let builder = ChunkBuilder::new(schema);
        tokio::spawn(async move {
            let read = read_chunks(&mut database, sql, builder, &sender).await;
            if let Err(error) = read {
                let error = database.sort_error("reading records", error);
                // Nobody is left to hear of it if the pull was given up.
                drop(sender.send(Err(error)).await);
            }
            database.close().await;
        });
        Ok(Self { chunks })
    }

    async fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        self.chunks.recv().await.transpose()
    }
}

/// Describes a table, to start a schema file from.
pub(crate) async fn describe_table(
    connection: &Connection,
    name: &ObjectName,
) -> Result<TableDescription, SystemError> {
    let mut database = SqliteDatabase::open(connection, Access::Read).await?;
    let object = database.read_object(name).await?;
    database.close().await;
    Ok(description(object))
}

/// The columns of all tables and views, table by table.
pub(super) async fn list_columns(
    connection: &Connection,
) -> Result<Vec<ListedColumn>, SystemError> {
    let mut database = SqliteDatabase::open(connection, Access::Read).await?;
    let columns = database.all_columns().await;
    database.close().await;
    columns
}

fn description(object: Object) -> TableDescription {
    let is_key = |name: &String| object.primary_key.contains(name);
    let columns = object.columns.iter().map(|column| DescribedColumn {
        name: column.name.clone(),
        column_type: column.holds.schema_type(),
        declared: column.declared.clone(),
        nullable: column.nullable && !is_key(&column.name),
    });
    TableDescription {
        unique: Vec::new(),
        columns: columns.collect(),
        name: object.path.last().cloned().into_iter().collect(),
        primary_key: object.primary_key,
    }
}

/// What stands after `FROM`: the model in parentheses, or the table.
async fn relation(database: &mut SqliteDatabase, schema: &Schema) -> Result<String, SystemError> {
    let Some(model) = &schema.model else {
        let parts = schema.table.iter().map(|part| name_part(part)).collect();
        let object = database.read_object(&ObjectName { parts }).await?;
        return Ok(
            database.quoted_table(object.path.last().map(String::as_str).unwrap_or_default())
        );
    };
    if model.contains('\0') {
        return Err(model_failure(
            database,
            schema,
            "it holds a NUL character".into(),
        ));
    }
    // A line of its own, for the model may end in a comment.
    let model = model.trim_end_matches(|end: char| end.is_whitespace() || end == ';');
    Ok(format!("(\n{model}\n)"))
}

/// The columns that the model or the table yields. Asked for beforehand, because SQLite takes a
/// quoted name that is not a column for a text.
async fn columns_of(
    database: &mut SqliteDatabase,
    relation: &str,
    schema: &Schema,
) -> Result<Vec<String>, SystemError> {
    let sql = audited(format!("SELECT * FROM {relation}"));
    match database.connection().prepare(sql.into_sql_str()).await {
        Ok(statement) => Ok(statement
            .columns()
            .iter()
            .map(|column| sqlx::Column::name(column).to_owned())
            .collect()),
        Err(error) => Err(match database.sort_error("reading the model", error) {
            SystemError::NotFound { what, .. } => {
                let tables = database.table_names().await.unwrap_or_default();
                SystemError::NotFound {
                    what: format!("{what} in the model of `{}`", schema.file),
                    hint: there_are(&tables),
                }
            }
            SystemError::Failed { source, .. } => model_failure(database, schema, source),
            other @ (SystemError::Unavailable { .. }
            | SystemError::ReadOnly { .. }
            | SystemError::Exhausted { .. }
            | SystemError::Altered { .. }
            | SystemError::Throttled { .. }
            | SystemError::QuotaSpent { .. }
            | SystemError::Unanswered { .. }
            | SystemError::Contended { .. }
            | SystemError::Missed { .. }
            | SystemError::Refused { .. }
            | SystemError::Forbidden { .. }) => other,
        }),
    }
}

fn model_failure(
    database: &SqliteDatabase,
    schema: &Schema,
    source: Box<dyn std::error::Error + Send + Sync>,
) -> SystemError {
    SystemError::Failed {
        connection: database.connection_name.clone(),
        doing: format!("the model of `{}`", schema.file),
        source,
        hint: Some(
            "the SELECT is in SQLite's own dialect: try it in the `sqlite3` shell".to_owned(),
        ),
    }
}

/// The schema's columns as the source spells them. SQLite ignores case in names, and so does this
/// where nothing else tells two apart.
fn resolve_columns(schema: &Schema, known: &[String]) -> Result<Vec<String>, SystemError> {
    let mut found = Vec::with_capacity(schema.columns.len());
    let mut missing = Vec::new();
    let mut near = None;
    for column in &schema.columns {
        let wanted = NamePart {
            text: column.name.clone(),
            quoted: false,
        };
        match resolve_name(&wanted, known.iter().map(String::as_str)) {
            Ok(name) => found.push(name.to_owned()),
            Err(NameError::Unknown | NameError::Ambiguous { .. }) => {
                near =
                    near.or_else(|| did_you_mean(&column.name, known.iter().map(String::as_str)));
                missing.push(column.name.clone());
            }
        }
    }
    let what = match missing.as_slice() {
        [] => return Ok(found),
        [one] => format!("column `{one}` of `{}`", schema.file),
        several => format!(
            "each of the columns {} of `{}`",
            listed(several),
            schema.file
        ),
    };
    let hints: Vec<String> = near.into_iter().chain(there_are(known)).collect();
    Err(SystemError::NotFound {
        what: format!("{what} in the source"),
        hint: (!hints.is_empty()).then(|| hints.join(" ")),
    })
}

fn there_are(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("there are {}", listed(names)))
}

fn quoted(columns: &[String]) -> String {
    columns
        .iter()
        .map(|column| Dialect::Sqlite.quote(column))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Reads all rows into chunks and hands these over, until nobody takes them any more.
async fn read_chunks(
    database: &mut SqliteDatabase,
    sql: String,
    mut builder: ChunkBuilder,
    chunks: &mpsc::Sender<Result<Pulled, SystemError>>,
) -> Result<(), sqlx::Error> {
    let deadline = database.deadline();
    let mut rows = sqlx::query(audited(sql)).fetch(database.connection());
    while let Some(row) = rows.try_next().await? {
        builder.push(&row)?;
        if builder.chunk.is_full() {
            if chunks.send(Ok(builder.take()?)).await.is_err() {
                return Ok(());
            }
            // The statement stood still while its rows waited; that time is not the database's.
            deadline.restart();
        }
    }
    if !builder.chunk.is_empty() {
        drop(chunks.send(Ok(builder.take()?)).await);
    }
    Ok(())
}

/// Gathers rows into a chunk.
struct ChunkBuilder {
    names: Vec<String>,
    /// Positions of the unique identifier's columns.
    key: Vec<usize>,
    chunk: TextChunk,
}

impl ChunkBuilder {
    fn new(schema: &Schema) -> Self {
        let names: Vec<String> = schema
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        Self {
            chunk: TextChunk::new(&names),
            names,
            key: schema.key.clone(),
        }
    }

    /// Adds a record, or rejects it if one of its values is no text and no number.
    fn push(&mut self, row: &SqliteRow) -> Result<(), sqlx::Error> {
        let values = (0..self.names.len())
            .map(|column| read_value(row, column))
            .collect::<Result<Vec<_>, _>>()?;
        let unreadable = values
            .iter()
            .zip(&self.names)
            .find_map(|(value, name)| Some((name, why_unreadable(value)?)));
        if let Some((name, reason)) = unreadable {
            self.chunk
                .reject(self.key_of(&values), Some(name.clone()), reason.to_owned());
            return Ok(());
        }
        let mut bytes = 0;
        for (column, value) in self.chunk.columns().zip(&values) {
            match value {
                StoredValue::Text(text) => {
                    bytes += text.len();
                    column.append_value(text);
                }
                StoredValue::Null | StoredValue::Blob(_) | StoredValue::NotUtf8(_) => {
                    column.append_null()
                }
                StoredValue::Integer(_) | StoredValue::Real(_) => {
                    column.append_value(plain_number(value))
                }
            }
        }
        self.chunk.end_record(bytes);
        Ok(())
    }

    /// The record's key, unless a part of it is NULL or cannot be read.
    fn key_of(&self, values: &[StoredValue<'_>]) -> Option<String> {
        let part = |position: &usize| match values.get(*position)? {
            StoredValue::Text(text) => Some((*text).to_owned()),
            number @ (StoredValue::Integer(_) | StoredValue::Real(_)) => Some(plain_number(number)),
            StoredValue::Null | StoredValue::Blob(_) | StoredValue::NotUtf8(_) => None,
        };
        let parts = self.key.iter().map(part).collect::<Option<Vec<_>>>()?;
        Some(key_text(parts.iter().map(String::as_str)))
    }

    /// The records so far; the next chunk begins empty.
    fn take(&mut self) -> Result<Pulled, sqlx::Error> {
        self.chunk
            .take()
            .map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

fn why_unreadable(value: &StoredValue<'_>) -> Option<&'static str> {
    match value {
        StoredValue::Blob(_) => Some("is a BLOB, neither text nor a number"),
        StoredValue::NotUtf8(_) => Some("is text that is not UTF-8"),
        StoredValue::Null
        | StoredValue::Integer(_)
        | StoredValue::Real(_)
        | StoredValue::Text(_) => None,
    }
}

/// A number without an exponent: a real in the fewest digits that mean it and no other, `87` where
/// it is whole.
fn plain_number(value: &StoredValue<'_>) -> String {
    match value {
        StoredValue::Integer(integer) => integer.to_string(),
        StoredValue::Real(real) => real.to_string(),
        StoredValue::Null
        | StoredValue::Text(_)
        | StoredValue::Blob(_)
        | StoredValue::NotUtf8(_) => String::new(),
    }
}

/// One part of a name, out of its quotes if it has any.
fn name_part(part: &str) -> NamePart {
    match part
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inside) => NamePart {
            text: inside.replace("\"\"", "\""),
            quoted: true,
        },
        None => NamePart {
            text: part.to_owned(),
            quoted: false,
        },
    }
}

#[cfg(test)]
mod tests;
