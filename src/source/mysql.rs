//! Reads from MySQL and MariaDB: one consistent snapshot, every value as the text that names it
//! exactly.

use std::borrow::Cow;
use std::time::Duration;

use chrono_tz::Tz;
use futures_util::TryStreamExt;
use polars::prelude::PolarsError;
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row};
use tokio::sync::mpsc;

use super::text::TextChunk;
use super::{DescribedColumn, Pulled, Source, TableDescription};
use crate::database::mysql::{Purpose, Session, YieldedColumn, catalogue, fault};
use crate::database::tables::ListedColumn;
use crate::database::{Dialect, audited};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::object::{NamePart, ObjectName, resolve_name};
use crate::domain::problem::{did_you_mean, quoted_list};
use crate::domain::record::key_text;
use crate::domain::schema::{Schema, SchemaColumn, SchemaType};

/// One pull. A task of its own reads the server's answer while the chunk before is worked on; it
/// ends, and its connection with it, when the pull is dropped.
pub(crate) struct MysqlSource {
    chunks: mpsc::Receiver<Result<Pulled, SystemError>>,
}

impl Source for MysqlSource {
    async fn open(connection: &Connection, schema: &Schema) -> Result<Self, SystemError> {
        let mut session = Session::open(connection, Purpose::Read).await?;
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        session.run(begin.to_owned(), "opening a snapshot").await?;
        let relation = relation(&mut session, schema).await?;
        let probe = format!("SELECT * FROM {relation} LIMIT 0");
        let yielded = session
            .columns_of(probe, &format!("preparing the model of `{}`", schema.file))
            .await?;
        let columns = pulled_columns(connection, schema, &yielded)?;
        let reader = Reader {
            connection_name: connection.name.clone(),
            sql: format!("SELECT {} FROM {relation}", select_list(&columns)),
            columns,
            key: schema.key.clone(),
            row_wait_max: connection.limits.statement_timeout,
        };
        let (sender, chunks) = mpsc::channel(1);
        tokio::spawn(reader.pull(session.into_connection()?, sender));
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
    let mut session = Session::open(connection, Purpose::Read).await?;
    let entry = catalogue::find_table(&mut session, name).await?;
    let columns = catalogue::columns(&mut session, &entry).await?;
    let primary_key = catalogue::primary_key(&mut session, &entry).await?;
    session.close().await;
    let described = |column: &catalogue::ColumnEntry| DescribedColumn {
        name: column.name.clone(),
        column_type: column.schema_type(),
        declared: column.column_type.clone(),
        nullable: column.nullable,
    };
    Ok(TableDescription {
        unique: Vec::new(),
        name: vec![entry.name],
        columns: columns.iter().map(described).collect(),
        primary_key,
    })
}

/// The columns of all tables and views, table by table.
pub(super) async fn list_columns(
    connection: &Connection,
) -> Result<Vec<ListedColumn>, SystemError> {
    let mut session = Session::open(connection, Purpose::Read).await?;
    let columns = catalogue::all_columns(&mut session).await?;
    session.close().await;
    Ok(columns)
}

/// How one schema column is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PulledColumn {
    /// As the schema names it.
    name: String,
    /// As the server names it.
    source_name: String,
    asked: Asked,
}

/// What must be done to a value so that its text says exactly what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    AsItIs,
    /// A `FLOAT` shows six digits of itself; as a double it shows all. The shortest text that names
    /// the same single-precision number is what people wrote into it.
    Float32,
    /// For a schema that declares 64 bits the double itself.
    Float32AsFloat64,
    /// Bits come as bytes unless they are added up.
    Bits,
    /// An instant: the session's clock is UTC, and the text must say so.
    Instant,
}

/// What is selected from: the model, or the table that the schema names.
async fn relation(session: &mut Session, schema: &Schema) -> Result<String, SystemError> {
    if let Some(model) = &schema.model {
        let model = model.trim().trim_end_matches(';').trim_end();
        // A model may end in a comment, which the line break ends.
        return Ok(format!("(\n{model}\n) AS model"));
    }
    let entry = catalogue::find_table(session, &object_name(schema.table.clone())).await?;
    Ok(format!(
        "{} AS model",
        Dialect::Mysql.quote_path(&[entry.database, entry.name])
    ))
}

fn object_name(parts: Vec<String>) -> ObjectName {
    ObjectName {
        parts: parts
            .into_iter()
            .map(|text| NamePart {
                text,
                quoted: false,
            })
            .collect(),
    }
}

/// Finds every schema column among what the source yields. Errors: `NotFound` for the first that is
/// not there, with what is; `Failed` for an instant declared as a wall clock that hangs elsewhere.
fn pulled_columns(
    connection: &Connection,
    schema: &Schema,
    yielded: &[YieldedColumn],
) -> Result<Vec<PulledColumn>, SystemError> {
    let find = |column: &SchemaColumn| {
        let wanted = NamePart {
            text: column.name.clone(),
            quoted: false,
        };
        let known = yielded.iter().map(|yielded| yielded.name.as_str());
        let found = resolve_name(&wanted, known.clone()).ok();
        let found = found.and_then(|name| yielded.iter().find(|yielded| yielded.name == name));
        let found = found.ok_or_else(|| missing_column(schema, column, yielded))?;
        Ok(PulledColumn {
            name: column.name.clone(),
            source_name: found.name.clone(),
            asked: asked(connection, column, &found.type_name)?,
        })
    };
    schema.columns.iter().map(find).collect()
}

fn missing_column(
    schema: &Schema,
    column: &SchemaColumn,
    yielded: &[YieldedColumn],
) -> SystemError {
    let known = || yielded.iter().map(|yielded| yielded.name.as_str());
    let suggestion = did_you_mean(&column.name, known())
        .map_or(String::new(), |suggestion| format!("{suggestion} "));
    let relation = match schema.model {
        Some(_) => format!("the model of `{}`", schema.file),
        None => format!("table `{}`", schema.table.join(".")),
    };
    SystemError::NotFound {
        what: format!("column `{}` of {relation}", column.name),
        hint: Some(format!("{suggestion}there are {}", quoted_list(known()))),
    }
}

fn asked(
    connection: &Connection,
    column: &SchemaColumn,
    type_name: &str,
) -> Result<Asked, SystemError> {
    Ok(match (type_name, column.column_type) {
        ("FLOAT", SchemaType::Float { bits: 64 }) => Asked::Float32AsFloat64,
        ("FLOAT", _) => Asked::Float32,
        ("BIT", _) => Asked::Bits,
        ("TIMESTAMP", SchemaType::TimestampWithZone) => Asked::Instant,
        ("TIMESTAMP", SchemaType::Timestamp)
            if connection.timezone.is_some_and(|zone| zone != Tz::UTC) =>
        {
            return Err(SystemError::Failed {
                connection: connection.name.clone(),
                doing: format!("pulling `{}`", column.name),
                source:
                    "the column holds instants, not the wall clock of the connection's `timezone`"
                        .into(),
                hint: Some(format!(
                    "declare `{}` as TIMESTAMP WITH TIME ZONE in the schema",
                    column.name
                )),
            });
        }
        _ => Asked::AsItIs,
    })
}

fn select_list(columns: &[PulledColumn]) -> String {
    let expression = |column: &PulledColumn| {
        let name = format!("model.{}", Dialect::Mysql.quote(&column.source_name));
        match column.asked {
            Asked::AsItIs | Asked::Instant => name,
            Asked::Float32 | Asked::Float32AsFloat64 => format!("{name} + 0E0"),
            Asked::Bits => format!("{name} + 0"),
        }
    };
    columns
        .iter()
        .map(expression)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The value's text, from what the server sent.
fn value_text(asked: Asked, sent: &str) -> Cow<'_, str> {
    match asked {
        Asked::AsItIs | Asked::Float32AsFloat64 | Asked::Bits => Cow::Borrowed(sent),
        Asked::Float32 => sent
            .parse::<f32>()
            .map_or(Cow::Borrowed(sent), |number| Cow::Owned(number.to_string())),
        Asked::Instant => Cow::Owned(format!("{sent}+00:00")),
    }
}

/// Reads the server's answer, row by row.
struct Reader {
    connection_name: String,
    sql: String,
    columns: Vec<PulledColumn>,
    /// Positions in `columns` of the key.
    key: Vec<usize>,
    /// Longest wait for one row. The connection is dropped with the pull, so that nothing of it is
    /// ever read later.
    row_wait_max: Duration,
}

impl Reader {
    /// Sends chunks until the last, an error, or the end of whoever receives them.
    async fn pull(
        self,
        mut connection: MySqlConnection,
        sender: mpsc::Sender<Result<Pulled, SystemError>>,
    ) {
        if let Err(error) = self.send_chunks(&mut connection, &sender).await {
            // Nobody is left to hear of it when the receiver is gone.
            sender.send(Err(error)).await.ok();
        }
    }

    async fn send_chunks(
        &self,
        connection: &mut MySqlConnection,
        sender: &mpsc::Sender<Result<Pulled, SystemError>>,
    ) -> Result<(), SystemError> {
        let mut rows = sqlx::raw_sql(audited(self.sql.clone())).fetch(connection);
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let mut chunk = TextChunk::new(&names);
        loop {
            let row = tokio::time::timeout(self.row_wait_max, rows.try_next()).await;
            let row = row.map_err(|_| self.silent())?;
            let row = row.map_err(|error| {
                fault::running(&self.connection_name, "pulling records", None, error)
            })?;
            let ended = row.is_none();
            if let Some(row) = row {
                self.add(&mut chunk, &row);
            }
            if chunk.is_full() || (ended && !chunk.is_empty()) {
                let pulled = chunk.take().map_err(|error| self.misread(error));
                if sender.send(pulled).await.is_err() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Adds one record; one with bytes that are no text is rejected.
    fn add(&self, chunk: &mut TextChunk, row: &MySqlRow) {
        let cells: Vec<Result<Option<Cow<'_, str>>, Unreadable>> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| cell(row, index, column.asked))
            .collect();
        let unreadable = cells
            .iter()
            .zip(&self.columns)
            .find(|(cell, _)| cell.is_err());
        if let Some((_, column)) = unreadable {
            let text = |index: &usize| cells.get(*index)?.as_ref().ok()?.as_deref();
            let parts: Option<Vec<&str>> = self.key.iter().map(text).collect();
            let key = parts.map(|parts| key_text(parts.into_iter()));
            chunk.reject(
                key,
                Some(column.name.clone()),
                "its bytes are not text in UTF-8".to_owned(),
            );
            return;
        }
        let mut bytes = 0;
        for (column, cell) in chunk.columns().zip(cells) {
            let text = cell.ok().flatten();
            bytes += text.as_ref().map_or(0, |text| text.len());
            column.append_option(text);
        }
        chunk.end_record(bytes);
    }

    fn silent(&self) -> SystemError {
        SystemError::Unavailable {
            connection: self.connection_name.clone(),
            source: format!(
                "no record within {}",
                humantime::format_duration(self.row_wait_max)
            )
            .into(),
        }
    }

    fn misread(&self, error: PolarsError) -> SystemError {
        SystemError::Failed {
            connection: self.connection_name.clone(),
            doing: "collecting records".to_owned(),
            source: Box::new(error),
            hint: None,
        }
    }
}

/// Bytes that are no text.
struct Unreadable;

fn cell(row: &MySqlRow, index: usize, asked: Asked) -> Result<Option<Cow<'_, str>>, Unreadable> {
    let bytes = row
        .try_get_unchecked::<Option<&[u8]>, _>(index)
        .map_err(|_| Unreadable)?;
    let text = bytes
        .map(std::str::from_utf8)
        .transpose()
        .map_err(|_| Unreadable)?;
    Ok(text.map(|sent| value_text(asked, sent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_their_values_exactly() {
        assert_eq!(value_text(Asked::Float32, "0.10000000149011612"), "0.1");
        assert_eq!(value_text(Asked::Float32, "16777216"), "16777216");
        assert_eq!(
            value_text(Asked::Float32AsFloat64, "0.10000000149011612"),
            "0.10000000149011612"
        );
        assert_eq!(
            value_text(Asked::Instant, "2026-11-21 05:00:00.25"),
            "2026-11-21 05:00:00.25+00:00"
        );
        assert_eq!(value_text(Asked::AsItIs, "00123"), "00123");
    }

    #[test]
    fn columns_are_asked_for_by_quoted_names() {
        let column = |source_name: &str, asked| PulledColumn {
            name: "x".to_owned(),
            source_name: source_name.to_owned(),
            asked,
        };
        let columns = [
            column("a`b", Asked::AsItIs),
            column("score", Asked::Float32),
            column("on", Asked::Bits),
        ];
        assert_eq!(
            select_list(&columns),
            "model.`a``b`, model.`score` + 0E0, model.`on` + 0"
        );
    }
}
