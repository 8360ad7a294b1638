//! Reads from PostgreSQL: one cursor in one read-only snapshot, every column as text, so that the
//! schema alone judges what a value is. The connection belongs to the pull and is closed with it.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Column as _, Executor, Row, SqlSafeStr, Statement, ValueRef};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::text::TextChunk;
use super::{CHUNK_RECORDS_MAX, DescribedColumn, Pulled, Source, TableDescription};
use crate::database::postgres::{Access, Purpose, Session, catalogue, quote};
use crate::database::tables::ListedColumn;
use crate::database::{Dialect, audited};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::object::{Holds, NameError, NamePart, ObjectColumn, ObjectName, resolve_name};
use crate::domain::problem::{did_you_mean, quoted_list};
use crate::domain::schema::{Schema, SchemaType};

/// How long the snapshot may lie idle while a chunk is worked on. It holds up the server's vacuum,
/// so a process that was stopped must not hold it for ever; yet a slow disk is no reason to lose a
/// long pull.
const IDLE_MAX: Duration = Duration::from_secs(900);

/// What is being done, in an error's words.
const PULLING: Purpose<'static> = Purpose {
    doing: "pulling the model",
    grant: "",
    carries_records: false,
};

/// Records of the first portion that the cursor is asked for, and bytes of later ones, about. A
/// portion streams, and stands still while its chunks wait; it must end well before the server
/// takes it for a statement that takes too long.
const FIRST_PORTION_RECORDS: usize = 1_024;
const PORTION_BYTES: usize = 32 << 20;

/// Chunks that may wait for whoever takes them: one is worked on while the next is read.
const CHUNKS_WAITING_MAX: usize = 1;

/// One pull. Dropping it stops the reading.
pub(crate) struct PostgresSource {
    chunks: mpsc::Receiver<Result<Pulled, SystemError>>,
    reader: JoinHandle<()>,
}

impl Drop for PostgresSource {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Source for PostgresSource {
    async fn open(connection: &Connection, schema: &Schema) -> Result<Self, SystemError> {
        let mut session = Session::open(connection, IDLE_MAX, Access::Read).await?;
        session
            .command(PULLING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let relation = relation(&mut session, schema).await?;
        let yielded = yielded_columns(&mut session, &relation).await?;
        let columns = schema
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect::<Vec<_>>();
        let selected = select(schema, &columns, &yielded)?;
        let cursor =
            format!("DECLARE records NO SCROLL CURSOR FOR SELECT {selected} FROM {relation}");
        session
            .execute(PULLING, cursor, PgArguments::default())
            .await?;
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let reader = tokio::spawn(async move {
            if let Err(error) = read_chunks(&mut session, TextChunk::new(&columns), &sender).await {
                // Nobody is left to hear of it if the pull was given up.
                drop(sender.send(Err(error)).await);
            }
        });
        Ok(Self { chunks, reader })
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
    let mut session = Session::open(connection, IDLE_MAX, Access::Read).await?;
    let relation = catalogue::locate(&mut session, &name.parts).await?;
    let object = catalogue::describe(&mut session, &relation).await?;
    session.close().await;
    // A schema file's table is looked up along the search path; only where that does not lead does
    // it need its schema.
    let name = if relation.visible {
        vec![relation.name]
    } else {
        relation.path()
    };
    let columns = object.columns.into_iter().map(described).collect();
    Ok(TableDescription {
        unique: Vec::new(),
        name,
        columns,
        primary_key: object.primary_key,
    })
}

/// The columns of all tables and views that can be read, table by table.
pub(super) async fn list_columns(
    connection: &Connection,
) -> Result<Vec<ListedColumn>, SystemError> {
    let mut session = Session::open(connection, IDLE_MAX, Access::Read).await?;
    let columns = catalogue::all_columns(&mut session).await?;
    session.close().await;
    Ok(columns)
}

/// What the columns are selected from: the model in parentheses, or the table.
async fn relation(session: &mut Session, schema: &Schema) -> Result<String, SystemError> {
    match &schema.model {
        Some(model) => {
            // A comment may end the model, so the parenthesis stands on a line of its own.
            let model = model.trim_end().trim_end_matches(';');
            Ok(format!("(\n{model}\n) AS model"))
        }
        None => {
            let part = |text: &String| NamePart {
                text: text.clone(),
                quoted: false,
            };
            let parts: Vec<NamePart> = schema.table.iter().map(part).collect();
            let relation = catalogue::locate(session, &parts).await?;
            Ok(format!(
                "{} AS model",
                Dialect::Postgres.quote_path(&relation.path())
            ))
        }
    }
}

/// Names of the columns that a relation yields.
async fn yielded_columns(
    session: &mut Session,
    relation: &str,
) -> Result<Vec<String>, SystemError> {
    let mut connection = session.take()?;
    let sql = audited(format!("SELECT * FROM {relation}")).into_sql_str();
    let prepared = session
        .within(PULLING.doing, (&mut connection).prepare(sql))
        .await;
    let statement = session.settle(connection, PULLING, prepared)?;
    if statement
        .parameters()
        .is_some_and(|parameters| parameters.either(<[_]>::len, |count| count) > 0)
    {
        return Err(session.failed(PULLING.doing, "a model takes no parameters such as `$1`"));
    }
    Ok(statement
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect())
}

/// The schema's columns out of those the model yields, as text.
/// Errors: `NotFound` for the first that is not there.
fn select(schema: &Schema, columns: &[String], yielded: &[String]) -> Result<String, SystemError> {
    let selected = columns.iter().map(|column| {
        let wanted = NamePart {
            text: column.clone(),
            quoted: false,
        };
        resolve_name(&wanted, yielded.iter().map(String::as_str))
            .map(|name| format!("model.{}::text", quote(name)))
            .map_err(|error| missing(schema, column, yielded, &error))
    });
    Ok(selected.collect::<Result<Vec<_>, _>>()?.join(", "))
}

fn missing(schema: &Schema, column: &str, yielded: &[String], error: &NameError) -> SystemError {
    let names: Vec<&str> = yielded.iter().map(String::as_str).collect();
    let place = match schema.model {
        Some(_) => format!("the model of `{}`", schema.file),
        None => format!("table `{}`", schema.table.join(".")),
    };
    let yields = format!("{place} yields {}", quoted_list(names.iter().copied()));
    let hint = match error {
        NameError::Unknown => match did_you_mean(column, names.iter().copied()) {
            Some(suggestion) => format!("{suggestion} {yields}"),
            None => yields,
        },
        NameError::Ambiguous { .. } => format!("spell it exactly: {yields}"),
    };
    SystemError::NotFound {
        what: format!("column `{column}` of {place}"),
        hint: Some(hint),
    }
}

/// Reads all records into chunks and hands these over, until nobody takes them any more.
async fn read_chunks(
    session: &mut Session,
    mut chunk: TextChunk,
    chunks: &mpsc::Sender<Result<Pulled, SystemError>>,
) -> Result<(), SystemError> {
    let mut wanted = FIRST_PORTION_RECORDS;
    loop {
        let mut connection = session.take()?;
        let fetched = fetch(session, &mut connection, wanted, &mut chunk, chunks).await;
        let fetched = session.settle(connection, PULLING, fetched)?;
        if fetched.records < wanted {
            break;
        }
        wanted = next_portion(&fetched);
    }
    if !chunk.is_empty() {
        let last = chunk
            .take()
            .map_err(|error| session.failed(PULLING.doing, error));
        drop(chunks.send(last).await);
    }
    Ok(())
}

/// What came of one portion.
#[derive(Debug, Default)]
struct Fetched {
    records: usize,
    bytes: usize,
}

/// How many records to ask for after a portion: a power of two, so that few statements differ.
fn next_portion(last: &Fetched) -> usize {
    let record_bytes = (last.bytes / last.records.max(1)).max(1);
    let fitting = (PORTION_BYTES / record_bytes).clamp(1, CHUNK_RECORDS_MAX);
    1 << fitting.ilog2()
}

/// Fetches the next records, as many as wanted or all that are left. Chunks that they fill are
/// handed over; what is left in the last is not.
async fn fetch(
    session: &Session,
    connection: &mut PgConnection,
    wanted: usize,
    chunk: &mut TextChunk,
    chunks: &mpsc::Sender<Result<Pulled, SystemError>>,
) -> Result<Fetched, sqlx::Error> {
    let sql = format!("FETCH FORWARD {wanted} FROM records");
    let mut rows = sqlx::query(audited(sql)).fetch(connection);
    let mut fetched = Fetched::default();
    while let Some(row) = session.within(PULLING.doing, rows.try_next()).await? {
        let mut bytes = 0;
        for (position, column) in chunk.columns().enumerate() {
            let value = row.try_get_raw(position)?;
            if value.is_null() {
                column.append_null();
            } else {
                let text = value.as_str().map_err(sqlx::Error::Decode)?;
                bytes += text.len();
                column.append_value(text);
            }
        }
        chunk.end_record(bytes);
        fetched.records += 1;
        fetched.bytes += bytes;
        if chunk.is_full() {
            let full = chunk
                .take()
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            if chunks.send(Ok(full)).await.is_err() {
                return Ok(Fetched::default());
            }
        }
    }
    Ok(fetched)
}

fn described(column: ObjectColumn) -> DescribedColumn {
    DescribedColumn {
        column_type: schema_type(&column),
        name: column.name,
        declared: column.declared,
        nullable: column.nullable,
    }
}

/// The schema type that carries a column's values; `None` if there is none.
fn schema_type(column: &ObjectColumn) -> Option<SchemaType> {
    // A numeric whose digits do not fit a size cannot be written, but it can be read.
    let is_numeric =
        || column.holds == Holds::Unsupported && column.declared.starts_with("numeric(");
    column
        .holds
        .schema_type()
        .or_else(|| is_numeric().then_some(SchemaType::Decimal { size: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::problem::Location;
    use crate::domain::schema::SchemaColumn;

    fn schema(columns: &[&str], model: Option<&str>) -> Schema {
        let location = Location {
            file: "sql/scores.sql".into(),
            line: 1,
            column: 1,
        };
        let column = |name: &&str| SchemaColumn {
            name: (*name).to_owned(),
            column_type: SchemaType::Text {
                characters_max: None,
            },
            nullable: true,
            location: location.clone(),
        };
        Schema {
            table: vec!["crm".to_owned(), "scores".to_owned()],
            columns: columns.iter().map(column).collect(),
            key: vec![0],
            model: model.map(str::to_owned),
            model_location: None,
            file: "sql/scores.sql".into(),
        }
    }

    fn selected(columns: &[&str], model: Option<&str>, yielded: &[&str]) -> String {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        match select(&schema(columns, model), &owned(columns), &owned(yielded)) {
            Ok(sql) => sql,
            Err(error) => format!("{error}: {}", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn columns_are_found_as_spelled_or_by_the_only_other_case() {
        assert_eq!(
            selected(&["id", "Score"], None, &["SCORE", "id", "ID"]),
            "model.\"id\"::text, model.\"SCORE\"::text"
        );
        assert_eq!(
            selected(&["a\"b"], None, &["a\"b"]),
            "model.\"a\"\"b\"::text"
        );
    }

    #[test]
    fn a_missing_column_is_answered_with_what_the_model_yields() {
        assert_eq!(
            selected(&["score"], Some("SELECT 1"), &["scores", "id"]),
            "column `score` of the model of `sql/scores.sql` does not exist: did you mean `scores`? the model of \
             `sql/scores.sql` yields `scores`, `id`"
        );
        assert_eq!(
            selected(&["score"], None, &["Score", "SCORE"]),
            "column `score` of table `crm.scores` does not exist: spell it exactly: table `crm.scores` yields `Score`, \
             `SCORE`"
        );
    }
}
