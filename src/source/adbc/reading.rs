//! What happens on a pull's thread: the driver is loaded, the statement looked at and, once it may
//! begin, run, and its batches become chunks.

use std::collections::HashSet;

use adbc_core::error::{Error, Status};
use adbc_core::options::{InfoCode, OptionStatement, OptionValue};
use adbc_core::{CancelHandle, Connection as _, Optionable as _, Statement as _};
use adbc_driver_manager::ManagedStatement;
use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch, RecordBatchReader, UnionArray};
use arrow_schema::{Schema as ArrowSchema, SchemaRef};
use polars::prelude::{Column, DataFrame, IntoColumn as _, NamedFrom as _, PolarsResult, Series};
use tokio::sync::{mpsc, oneshot};

use super::bridge::{Reading, series};
use crate::database::adbc::drivers::KnownDriver;
use crate::database::adbc::{AdbcClient, FileAccess, Opened, open};
use crate::database::tables::ListedColumn;
use crate::domain::error::SystemError;
use crate::domain::object::{NameError, NamePart, resolve_name};
use crate::domain::problem::{did_you_mean, quoted_list};
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::Schema;
use crate::source::{
    CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, DescribedColumn, Pulled, TableDescription,
};

/// What is known of a statement before it runs.
pub(super) struct Described {
    /// The driver's name and version, as it says itself.
    pub(super) driver: Option<String>,
    /// What ends the statement from another thread.
    pub(super) cancel: Box<dyn CancelHandle>,
    /// The table that was to be described.
    pub(super) table: Option<TableDescription>,
    /// The columns that were to be listed.
    pub(super) listed: Vec<ListedColumn>,
}

/// Tells whoever waits how far the thread has come.
pub(super) struct Sender {
    pub(super) connected: Option<oneshot::Sender<Result<(), SystemError>>>,
    pub(super) described: Option<oneshot::Sender<Result<Described, SystemError>>>,
}

impl Sender {
    /// The first of the two stages is over.
    fn connected(&mut self) {
        if let Some(connected) = self.connected.take() {
            drop(connected.send(Ok(())));
        }
    }

    /// Both are over; somebody who no longer waits has an error of their own.
    fn finish(mut self, outcome: Result<Described, SystemError>) -> bool {
        match (self.connected.take(), self.described.take()) {
            (Some(connected), _) => connected.send(outcome.map(|_| ())).is_ok(),
            (None, Some(described)) => described.send(outcome).is_ok(),
            (None, None) => false,
        }
    }
}

/// A statement and what it needs. Its parts are dropped in this order: a reader must not outlive
/// its statement, nor a statement its connection, or drivers end their streams early or crash.
struct Statement {
    reader: Option<Box<dyn RecordBatchReader + Send>>,
    statement: ManagedStatement,
    opened: Opened,
    known: &'static KnownDriver,
}

/// Pulls the schema's columns: describes the statement, waits until it may begin, and hands over
/// its chunks.
pub(super) fn pull(
    asked: &AdbcClient,
    schema: &Schema,
    mut sender: Sender,
    may_begin: oneshot::Receiver<()>,
    chunks: &mpsc::Sender<Result<Option<Pulled>, SystemError>>,
) {
    let (mut statement, described) = match prepare(asked, schema, &mut sender) {
        Ok(prepared) => prepared,
        Err(error) => {
            sender.finish(Err(error));
            return;
        }
    };
    if !sender.finish(Ok(described)) || may_begin.blocking_recv().is_err() {
        return;
    }
    let ended = statement.hand_over(asked, schema, chunks);
    // Nobody is left to hear of it when the pull was given up.
    drop(chunks.blocking_send(ended.map(|()| None)));
}

/// Describes a table.
pub(super) fn describe(asked: &AdbcClient, table: &[String], mut sender: Sender) {
    let described = describe_table(asked, table, &mut sender);
    sender.finish(described);
}

fn describe_table(
    asked: &AdbcClient,
    table: &[String],
    sender: &mut Sender,
) -> Result<Described, SystemError> {
    let mut statement = Statement::open(asked)?;
    sender.connected();
    let path = statement.locate(asked, table)?;
    let yielded = statement.columns_of(asked, &path)?;
    let told = statement.told_of_columns(asked, &path)?;
    let of = |name: &str| told.iter().find(|told| told.name == name);
    let columns = yielded.fields().iter().map(|field| DescribedColumn {
        name: field.name().clone(),
        column_type: Reading::of(field)
            .ok()
            .and_then(|reading| reading.schema_type(field)),
        declared: field.data_type().to_string(),
        nullable: of(field.name()).is_none_or(|told| told.nullable),
    });
    let columns = columns.collect();
    let key = told.iter().filter(|told| told.is_key);
    let table = TableDescription {
        name: table.to_vec(),
        columns,
        primary_key: key.map(|told| told.name.clone()).collect(),
        unique: Vec::new(),
    };
    Ok(Described {
        table: Some(table),
        ..statement.looked_at()
    })
}

/// Lists the columns of all tables of a DuckDB file.
pub(super) fn list_columns(asked: &AdbcClient, mut sender: Sender) {
    let listed = Statement::open(asked).and_then(|mut statement| {
        sender.connected();
        // Those of the schema that needs no name first.
        let sql = "SELECT held.schema_name, held.table_name, held.column_name, \
                   CAST(coalesce(list_contains(key.constraint_column_names, held.column_name), false) AS VARCHAR) \
                   FROM duckdb_columns() AS held LEFT JOIN duckdb_constraints() AS key \
                   ON key.constraint_type = 'PRIMARY KEY' AND key.table_oid = held.table_oid \
                   AND key.database_oid = held.database_oid \
                   WHERE NOT held.internal AND held.database_name = current_database() \
                   ORDER BY held.schema_name <> 'main', held.schema_name, held.table_name, held.column_index";
        let rows = statement.texts(asked, "listing tables", sql)?;
        let listed = |row: Vec<String>| {
            let [schema, table, name, is_key] = <[String; 4]>::try_from(row).ok()?;
            Some(ListedColumn {
                table: match schema.as_str() {
                    "main" => vec![table],
                    _ => vec![schema, table],
                },
                name,
                is_key: is_key == "true",
            })
        };
        Ok(Described {
            listed: rows.into_iter().filter_map(listed).collect(),
            ..statement.looked_at()
        })
    });
    sender.finish(listed);
}

/// What DuckDB says of a column.
struct ToldColumn {
    name: String,
    nullable: bool,
    is_key: bool,
}

fn prepare(
    asked: &AdbcClient,
    schema: &Schema,
    sender: &mut Sender,
) -> Result<(Statement, Described), SystemError> {
    let mut statement = Statement::open(asked)?;
    sender.connected();
    let sql = match &schema.model {
        Some(model) => model.clone(),
        None => {
            let columns: Vec<String> = schema
                .columns
                .iter()
                .map(|column| statement.known.spelled(&column.name))
                .collect();
            format!(
                "SELECT {} FROM {}",
                columns.join(", "),
                statement.locate(asked, &schema.table)?
            )
        }
    };
    statement.ask(asked, &sql)?;
    // Only the names: of types some drivers say other things than they send.
    if let Some(yielded) = statement.foreseen(asked)? {
        positions(schema, &yielded)?;
    }
    let described = Described {
        driver: statement.driver(),
        ..statement.looked_at()
    };
    Ok((statement, described))
}

impl Statement {
    /// Loads the driver and connects.
    fn open(asked: &AdbcClient) -> Result<Self, SystemError> {
        let mut opened = open(asked, FileAccess::Read)?;
        let known = opened.known;
        let statement = opened.connection.new_statement();
        let mut statement =
            statement.map_err(|error| asked.failures.of_driver("connecting", &error))?;
        for (option, value) in known.statement {
            // A driver of another version may not know it; it only bounds what is fetched ahead.
            if let Err(error) =
                statement.set_option(OptionStatement::from(*option), OptionValue::from(*value))
            {
                tracing::debug!(option, status = ?error.status, "the driver does not take an option");
            }
        }
        Ok(Self {
            reader: None,
            statement,
            opened,
            known,
        })
    }

    fn ask(&mut self, asked: &AdbcClient, sql: &str) -> Result<(), SystemError> {
        self.reader = None;
        self.statement
            .set_sql_query(sql)
            .map_err(|error| asked.failures.of_driver("reading the model", &error))
    }

    /// What the statement would yield; `None` where the driver cannot say without running it.
    fn foreseen(&mut self, asked: &AdbcClient) -> Result<Option<ArrowSchema>, SystemError> {
        match self.statement.execute_schema() {
            Ok(schema) => Ok(Some(schema)),
            Err(error) if error.status == Status::NotImplemented => Ok(None),
            Err(error) => Err(asked.failures.of_driver("reading the model", &error)),
        }
    }

    /// The columns of a table, as a reader of it types them.
    fn columns_of(&mut self, asked: &AdbcClient, path: &str) -> Result<SchemaRef, SystemError> {
        self.ask(asked, &format!("SELECT * FROM {path} WHERE 1 = 0"))?;
        let reader = self.statement.execute();
        let reader = reader.map_err(|error| {
            asked
                .failures
                .of_driver(&format!("looking at `{path}`"), &error)
        })?;
        Ok(reader.schema())
    }

    fn looked_at(&self) -> Described {
        Described {
            driver: None,
            cancel: self.statement.get_cancel_handle(),
            table: None,
            listed: Vec::new(),
        }
    }

    /// What the database says of a table's columns beyond their types, where it can be asked; of a
    /// view it says nothing.
    fn told_of_columns(
        &mut self,
        asked: &AdbcClient,
        path: &str,
    ) -> Result<Vec<ToldColumn>, SystemError> {
        if self.known.name != "duckdb" {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT name, CAST(\"notnull\" AS VARCHAR), CAST(pk AS VARCHAR) FROM pragma_table_info('{}')",
            path.replace('\'', "''")
        );
        let rows = self.texts(asked, &format!("looking at `{path}`"), &sql)?;
        let told = rows
            .into_iter()
            .filter_map(|row| match <[String; 3]>::try_from(row) {
                Ok([name, not_null, key]) => Some(ToldColumn {
                    name,
                    nullable: not_null != "true",
                    is_key: key == "true",
                }),
                Err(_) => None,
            });
        Ok(told.collect())
    }

    /// The rows of a query whose columns are all texts; what is NULL is left out.
    fn texts(
        &mut self,
        asked: &AdbcClient,
        doing: &str,
        sql: &str,
    ) -> Result<Vec<Vec<String>>, SystemError> {
        self.ask(asked, sql)?;
        let failed = |error: Error| asked.failures.of_driver(doing, &error);
        let reader = self.statement.execute().map_err(failed)?;
        let mut rows = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|error| failed(Error::from(error)))?;
            for row in 0..batch.num_rows() {
                let texts = batch.columns().iter().filter_map(|column| {
                    let texts = column.as_string_opt::<i32>()?;
                    texts.is_valid(row).then(|| texts.value(row).to_owned())
                });
                rows.push(texts.collect());
            }
        }
        Ok(rows)
    }

    /// A table's path as SQL has it. Snowflake reads two parts as schema and table, where many
    /// people write database and table: either may be meant, as long as only one of them exists.
    fn locate(&mut self, asked: &AdbcClient, table: &[String]) -> Result<String, SystemError> {
        let path = self.known.path(table);
        let ([database, name], "snowflake") = (table, self.known.name) else {
            return Ok(path);
        };
        let schema = asked.settings.schema.as_deref().unwrap_or("PUBLIC");
        let other = self
            .known
            .path(&[database.clone(), schema.to_owned(), name.clone()]);
        match (
            self.columns_of(asked, &path),
            self.columns_of(asked, &other),
        ) {
            (Ok(_), Err(_)) => Ok(path),
            (Err(_), Ok(_)) => Ok(other),
            (Ok(_), Ok(_)) => Err(SystemError::NotFound {
                what: format!(
                    "one table `{path}`: both `{path}` of the connection's database and `{other}`"
                ),
                hint: Some(format!("name the table by three parts, as `{other}`")),
            }),
            (Err(error @ SystemError::Failed { .. }), Err(_)) => Err(SystemError::Failed {
                connection: asked.failures.connection().to_owned(),
                doing: format!(
                    "looking for `{path}` in the connection's database and for `{other}`"
                ),
                source: error.into(),
                hint: Some("name the table by three parts: database, schema and table".to_owned()),
            }),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The driver's name and version.
    fn driver(&self) -> Option<String> {
        let codes = HashSet::from([InfoCode::DriverName, InfoCode::DriverVersion]);
        let batches: Vec<RecordBatch> = self
            .opened
            .connection
            .get_info(Some(codes))
            .ok()?
            .map_while(Result::ok)
            .collect();
        let mut told: Vec<(u32, String)> = batches.iter().flat_map(info).collect();
        told.sort_unstable();
        let words: Vec<String> = told
            .into_iter()
            .map(|(_, word)| word)
            .filter(|word| !word.is_empty())
            .collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Runs the statement and hands over its records, until nobody takes them any more.
    fn hand_over(
        &mut self,
        asked: &AdbcClient,
        schema: &Schema,
        chunks: &mpsc::Sender<Result<Option<Pulled>, SystemError>>,
    ) -> Result<(), SystemError> {
        let failures = &asked.failures;
        let reader = self
            .statement
            .execute()
            .map_err(|error| failures.of_driver("running the model", &error))?;
        let arrow = reader.schema();
        let reader = self.reader.insert(reader);
        let mut chunk = Chunk::new(Columns::of(schema, &arrow)?);
        // A stream that failed may be asked again for ever: its first error is its end.
        for batch in reader {
            let batch = batch
                .map_err(|error| failures.of_driver("pulling records", &Error::from(error)))?;
            for (first, records) in slices(&batch) {
                let added = chunk.add(&batch.slice(first, records));
                added.map_err(|error| failures.failed("reading what the driver sent", error))?;
                if chunk.is_full() && chunks.blocking_send(Ok(Some(chunk.take()))).is_err() {
                    return Ok(());
                }
            }
        }
        if chunk.records.height() > 0 {
            drop(chunks.blocking_send(Ok(Some(chunk.take()))));
        }
        Ok(())
    }
}

/// Codes and texts of what a driver says of itself.
fn info(batch: &RecordBatch) -> Vec<(u32, String)> {
    let (Some(codes), Some(values)) = (
        batch
            .columns()
            .first()
            .and_then(|codes| codes.as_primitive_opt::<arrow_array::types::UInt32Type>()),
        batch
            .columns()
            .get(1)
            .and_then(|values| values.as_any().downcast_ref::<UnionArray>()),
    ) else {
        return Vec::new();
    };
    let text = |row: usize| {
        Some(
            values
                .value(row)
                .as_string_opt::<i32>()?
                .value(0)
                .to_owned(),
        )
    };
    (0..batch.num_rows())
        .filter_map(|row| Some((codes.value(row), text(row)?)))
        .collect()
}

/// For each of the schema's columns its position among those that a statement yields.
/// Errors: `NotFound` for the first that is not there.
fn positions(schema: &Schema, yielded: &ArrowSchema) -> Result<Vec<usize>, SystemError> {
    let names: Vec<&str> = yielded
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let position = |column: &str| {
        let wanted = NamePart {
            text: column.to_owned(),
            quoted: false,
        };
        let found = resolve_name(&wanted, names.iter().copied());
        found
            .map(|found| {
                names
                    .iter()
                    .position(|name| *name == found)
                    .unwrap_or_default()
            })
            .map_err(|error| {
                let yields = format!(
                    "the statement yields {}",
                    quoted_list(names.iter().copied())
                );
                let hint = match error {
                    NameError::Unknown => match did_you_mean(column, names.iter().copied()) {
                        Some(suggestion) => format!("{suggestion} {yields}"),
                        None => yields,
                    },
                    NameError::Ambiguous { .. } => format!("spell it exactly: {yields}"),
                };
                SystemError::NotFound {
                    what: format!("column `{column}` of `{}`", schema.file),
                    hint: Some(hint),
                }
            })
    };
    schema
        .columns
        .iter()
        .map(|column| position(&column.name))
        .collect()
}

/// Where a schema's columns stand in a batch, and how each is read.
struct Columns {
    readings: Vec<(String, usize, Reading)>,
}

impl Columns {
    /// Errors: as [`positions`]; `NotFound` for a column whose values cannot be read, with its
    /// type.
    fn of(schema: &Schema, arrow: &ArrowSchema) -> Result<Self, SystemError> {
        let reading = |(column, position): (&crate::domain::schema::SchemaColumn, usize)| {
            let field = arrow.field(position);
            let reading = Reading::of(field).map_err(|held| SystemError::NotFound {
                what: format!(
                    "a way to write back column `{}` of `{}`, which is {held},",
                    column.name, schema.file
                ),
                hint: Some(
                    "select it as a type that a schema knows, such as `CAST(x AS VARCHAR)`"
                        .to_owned(),
                ),
            })?;
            Ok((column.name.clone(), position, reading))
        };
        let positions = positions(schema, arrow)?;
        let readings = schema
            .columns
            .iter()
            .zip(positions)
            .map(reading)
            .collect::<Result<_, _>>()?;
        Ok(Self { readings })
    }
}

/// A chunk as it is gathered.
struct Chunk {
    columns: Columns,
    records: DataFrame,
    bytes: usize,
    next_position: u64,
}

impl Chunk {
    fn new(columns: Columns) -> Self {
        Self {
            columns,
            records: DataFrame::empty(),
            bytes: 0,
            next_position: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.records.height() >= CHUNK_RECORDS_MAX || self.bytes >= CHUNK_BYTES_MAX
    }

    /// Adds records. What comes over the C interface is checked by nobody before: texts may be no
    /// texts.
    fn add(&mut self, batch: &RecordBatch) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut columns: Vec<Column> = Vec::with_capacity(self.columns.readings.len() + 1);
        for (name, position, reading) in &self.columns.readings {
            let array = batch.column(*position);
            array
                .to_data()
                .validate_full()
                .map_err(|error| format!("column `{name}`: {error}"))?;
            self.bytes += array.to_data().get_slice_memory_size()?;
            let values = series(name, array, *reading)
                .map_err(|error| format!("column `{name}`: {error}"))?;
            columns.push(values.into_column());
        }
        columns.push(self.number(batch.num_rows()).into_column());
        let added = DataFrame::new(batch.num_rows(), columns)?;
        self.records = self.joined(added)?;
        Ok(())
    }

    fn number(&mut self, records: usize) -> Series {
        let first = self.next_position;
        self.next_position += u64::try_from(records).unwrap_or(u64::MAX);
        Series::new(
            RECORD_POSITION.into(),
            (first..self.next_position).collect::<Vec<u64>>(),
        )
    }

    fn joined(&mut self, added: DataFrame) -> PolarsResult<DataFrame> {
        let gathered = std::mem::take(&mut self.records);
        if gathered.height() == 0 {
            Ok(added)
        } else {
            gathered.vstack(&added)
        }
    }

    fn take(&mut self) -> Pulled {
        self.bytes = 0;
        let mut records = std::mem::take(&mut self.records);
        records.rechunk_mut();
        let read = u64::try_from(records.height()).unwrap_or(u64::MAX);
        Pulled {
            read,
            records,
            rejections: Vec::new(),
            places: Vec::new(),
        }
    }
}

/// Pieces of a batch, small enough to be chunks: first record and count.
fn slices(batch: &RecordBatch) -> impl Iterator<Item = (usize, usize)> {
    let records = batch.num_rows();
    let per_record = batch.get_array_memory_size() / records.max(1);
    let step = (CHUNK_BYTES_MAX / per_record.max(1)).clamp(1, CHUNK_RECORDS_MAX);
    (0..records)
        .step_by(step)
        .map(move |first| (first, step.min(records - first)))
}
