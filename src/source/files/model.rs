//! A model over files: the schema's `SELECT`, run by polars' SQL over the tables of the folder.
//!
//! polars is given files of ours only: Parquet in small row groups, typed as `typed` has it. So
//! each table is one snapshot, what it reads was checked, nobody can cut short a file that polars
//! has mapped into memory, and what polars holds in memory is bounded. Only columns that the model
//! may mean are read.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use polars::io::HiveOptions;
use polars::prelude::{
    DataFrame, DataType, Engine, Expr, LazyFrame, ParallelStrategy, ParquetCompression,
    ParquetWriter, PlanCallback, PolarsError, PolarsResult, ScanArgsParquet, ScanSources,
    Schema as FrameSchema, StatisticsOptions,
};
use polars::sql::SQLContext;
use sqlparser::ast::{ObjectName, Query, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::delivery::Delivery;
use super::folder::{Folder, OpenTable, list_names, resolve_columns};
use super::parquet::{Unreadable, check_type, columns_of, deliver};
use super::place::Place;
use super::table_reader::TableReader;
use super::typed::TypedColumns;
use super::wanted::{Mentions, Wanted};
use crate::domain::error::SystemError;
use crate::domain::files::{CellKind, FileFormat};
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::Schema;
use crate::library;
use crate::source::{CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, Pulled};

/// Chunks of one file that a model reads. polars maps a file until it has read it to its end, so
/// this bounds what is mapped; fewer would need many open files.
const PART_CHUNKS_MAX: usize = 16;

/// Records of one row group of such a file, and bytes, about. polars decodes several dozen of them
/// ahead.
const ROW_GROUP_RECORDS_MAX: usize = 8_192;
const ROW_GROUP_BYTES_MAX: usize = 1 << 20;

/// A model ready to run.
pub(super) struct Model {
    place: Place,
    frame: LazyFrame,
    /// The schema's columns, in its order.
    names: Vec<String>,
    files: Vec<OpenTable>,
}

impl Model {
    /// Reads every table the model names into files of ours, and plans the model. Errors:
    /// `NotFound` for tables and columns; `Failed` for SQL that polars does not take, a malformed
    /// record, or a column that write-backs do not carry. `None` if nobody waits for the records
    /// any more.
    pub(super) fn open(
        folder: &Folder,
        connection: &str,
        schema: &Schema,
        sql: &str,
        delivery: &Delivery,
    ) -> Result<Option<Self>, SystemError> {
        let place = Place::of(connection, schema, sql);
        let mut context = SQLContext::new();
        let mut files = Vec::new();
        let statements =
            Parser::parse_sql(&GenericDialect, sql).map_err(|error| place.parser_failed(error))?;
        place.check_windows(&statements)?;
        let columns = ModelColumns {
            mentions: Mentions {
                written: written_of(schema),
                ..mentions_of(&place, sql)?
            },
            typed: TypedColumns::of(schema, &statements),
        };
        for name in tables_of(&place, &statements)? {
            let table = folder.find(&name)?.open()?;
            let frame = snapshot(&place, &table, &columns, delivery);
            // A file that changed under the reader makes errors of other kinds, which explain
            // nothing.
            let Some(frame) = frame.or_else(|error| table.check_unchanged().and(Err(error)))?
            else {
                return Ok(None);
            };
            context.register(&name, frame);
            files.push(table);
        }
        for file in &files {
            file.check_unchanged()?;
        }
        let names: Vec<String> = schema
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let planned = library::guarded(|| {
            let frame = context
                .execute(sql)
                .map_err(|error| place.polars_failed(&error))?;
            select_columns(&place, frame, &names)
        });
        let planned = planned.unwrap_or_else(|gave_up| Err(place.failed(gave_up, PLAIN_SQL)));
        let frame = planned.or_else(|error| {
            Err(unreadable_mentions(&place, &files, &columns.mentions)?.unwrap_or(error))
        })?;
        Ok(Some(Self {
            place,
            frame,
            names,
            files,
        }))
    }

    /// Runs the model and delivers its records, until the last or until nobody waits for them.
    pub(super) fn run(self, delivery: &Delivery) -> Result<(), SystemError> {
        let Self {
            place,
            frame,
            names,
            files: _files,
        } = self;
        let gathered = Arc::new(Mutex::new(Gathered {
            delivery: delivery.clone(),
            names,
            pending: None,
            delivered: 0,
        }));
        let gathering = Arc::clone(&gathered);
        let take = move |records: DataFrame| {
            gathering
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(records)
        };
        let ran = library::guarded(|| {
            frame
                .sink_batches(PlanCallback::new(take), true, None)
                .and_then(|plan| plan.collect_with_engine(Engine::Streaming))
                .and_then(|_| {
                    gathered
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .deliver_pending()
                })
        });
        match ran {
            Ok(ran) => ran.map(drop).map_err(|error| place.polars_failed(&error)),
            Err(gave_up) => Err(place.failed(gave_up, PLAIN_SQL)),
        }
    }
}

/// The records of a model as they come, of which small frames are put together and large ones taken
/// apart.
struct Gathered {
    delivery: Delivery,
    names: Vec<String>,
    pending: Option<DataFrame>,
    delivered: u64,
}

impl Gathered {
    /// Takes more; tells whether nobody waits for them any more.
    fn take(&mut self, records: DataFrame) -> PolarsResult<bool> {
        let pending = match self.pending.take() {
            Some(pending) => pending.vstack(&records)?,
            None => records,
        };
        let is_enough =
            pending.height() >= CHUNK_RECORDS_MAX || pending.estimated_size() >= CHUNK_BYTES_MAX;
        self.pending = Some(pending);
        if is_enough {
            self.deliver_pending()
        } else {
            Ok(false)
        }
    }

    fn deliver_pending(&mut self) -> PolarsResult<bool> {
        let Some(pending) = self.pending.take() else {
            return Ok(false);
        };
        for records in pieces(&pending, CHUNK_RECORDS_MAX, CHUNK_BYTES_MAX) {
            let height = records.height();
            let pulled = deliver(records.into_columns(), height, &self.names, self.delivered)?;
            self.delivered += pulled.read;
            if self.delivery.send(pulled) == ControlFlow::Break(()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A frame's records in pieces of so many records and bytes at most, about.
fn pieces(
    records: &DataFrame,
    records_max: usize,
    bytes_max: usize,
) -> impl Iterator<Item = DataFrame> {
    let record_bytes = (records.estimated_size() / records.height().max(1)).max(1);
    let step = (bytes_max / record_bytes).clamp(1, records_max);
    let slice = move |start: usize| records.slice(i64::try_from(start).unwrap_or(i64::MAX), step);
    (0..records.height()).step_by(step).map(slice)
}

/// What a model needs of its tables' columns.
struct ModelColumns {
    mentions: Mentions,
    typed: TypedColumns,
}

/// What to do where polars gives up on SQL.
const PLAIN_SQL: &str =
    "write the model in plainer SQL, with `CAST(… AS DOUBLE)` where it groups or sums decimals";

/// The words of a model, quoted or not.
fn mentions_of(place: &Place, sql: &str) -> Result<Mentions, SystemError> {
    let tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize()
        .map_err(|error| place.tokenizer_failed(error))?;
    let mut mentions = Mentions::default();
    let mut before = None;
    for token in tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
    {
        if let Token::Word(word) = token {
            let lower = word.value.to_lowercase();
            // `NATURAL JOIN` and `COLUMNS('…')` take columns that they do not name.
            mentions.everything |= ["natural", "columns"].contains(&lower.as_str());
            mentions.words.insert(lower);
        }
        mentions.everything |= *token == Token::Mul && before.is_none_or(begins_column);
        before = Some(token);
    }
    Ok(mentions)
}

/// What the schema's columns hold, by their names in lower case.
fn written_of(schema: &Schema) -> HashMap<String, CellKind> {
    let columns = schema.columns.iter();
    columns
        .map(|column| {
            let written = CellKind::of(column.column_type);
            (column.name.to_lowercase(), written)
        })
        .collect()
}

/// Whether a `*` behind this means all columns, and no product.
fn begins_column(before: &Token) -> bool {
    if let Token::Word(word) = before {
        return ["select", "distinct", "all"].contains(&word.value.to_lowercase().as_str());
    }
    matches!(before, Token::Comma | Token::Period | Token::LParen)
}

/// What to say of a model that cannot be planned, if it may mean columns that cannot be read.
fn unreadable_mentions(
    place: &Place,
    tables: &[OpenTable],
    mentions: &Mentions,
) -> Result<Option<SystemError>, SystemError> {
    for table in tables
        .iter()
        .filter(|table| table.table.format == FileFormat::Parquet)
    {
        let columns = columns_of(&table.first()?)?;
        let unreadable = columns.iter().find(|column| {
            column.schema_type.is_none() && mentions.words.contains(&column.name.to_lowercase())
        });
        if let Some(column) = unreadable {
            let name = list_names(std::iter::once(column.name.as_str()));
            let cause = format!(
                "column {name} of `{}` is of type {}, which cannot be read",
                table.table.name, column.declared
            );
            return Ok(Some(place.failed(
                cause,
                "let the file hold it as text, a number or a time",
            )));
        }
    }
    Ok(None)
}

/// Names of the tables that the model reads from the folder.
fn tables_of(place: &Place, statements: &[Statement]) -> Result<Vec<String>, SystemError> {
    let mut tables = Tables::default();
    for statement in statements {
        if let ControlFlow::Break(mistake) = statement.visit(&mut tables) {
            return Err(place.failed(
                mistake,
                "name tables by their files' names alone, without their extensions",
            ));
        }
    }
    Ok(tables
        .read
        .into_iter()
        .filter(|name| !tables.defined.contains(name))
        .collect())
}

/// The tables a statement reads, and those it defines itself in a `WITH`.
#[derive(Default)]
struct Tables {
    read: BTreeSet<String>,
    defined: BTreeSet<String>,
}

impl Visitor for Tables {
    /// A mistake, in words.
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let defined = query.with.iter().flat_map(|with| &with.cte_tables);
        self.defined
            .extend(defined.map(|table| table.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        match relation.0.as_slice() {
            [name] => {
                self.read
                    .extend(name.as_ident().map(|identifier| identifier.value.clone()));
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(format!("`{relation}` has more than one part")),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<String> {
        // Such a function could read any file of the machine, past the checks of the folder.
        let TableFactor::Table {
            name,
            args: Some(_),
            ..
        } = table
        else {
            return ControlFlow::Continue(());
        };
        ControlFlow::Break(format!(
            "`{name}(…)` is a table function, which models do not have"
        ))
    }
}

/// A table as polars reads it: from unnamed files of ours.
fn snapshot(
    place: &Place,
    table: &OpenTable,
    columns: &ModelColumns,
    delivery: &Delivery,
) -> Result<Option<LazyFrame>, SystemError> {
    let mut reader = TableReader::open(table, Wanted::Mentioned(&columns.mentions))?;
    let parts = convert(table, &mut reader, &columns.typed, delivery)?;
    if !delivery.is_awaited() {
        return Ok(None);
    }
    // A predicate that is asked of columns before they are decoded is asked of what stands in the
    // place of NULLs too: a `CAST` in it then fails.
    let options = ScanArgsParquet {
        glob: false,
        hive_options: HiveOptions::new_disabled(),
        parallel: ParallelStrategy::RowGroups,
        ..ScanArgsParquet::default()
    };
    LazyFrame::scan_parquet_sources(ScanSources::Files(parts.into()), options)
        .map(Some)
        .map_err(|error| place.polars_failed(&error))
}

fn room_hint() -> Option<String> {
    Some("see that the folder for temporary files (`TMPDIR`) has room".to_owned())
}

/// Writes a table's records to Parquet, in small row groups and files of a bounded number of
/// chunks. Errors: a record that is none; here it cannot be rejected, since nobody could say which
/// of the model's records it would have become. Stops half-way if nobody waits for the records any
/// more.
fn convert(
    table: &OpenTable,
    reader: &mut TableReader<'_>,
    typed: &TypedColumns,
    delivery: &Delivery,
) -> Result<Vec<File>, SystemError> {
    let schema = reader.frame_schema(|column| typed.data_type(column))?;
    if schema.is_empty() {
        return Err(table.table.failed("it has no column that can be read"));
    }
    let mut parts = Vec::new();
    let mut more = true;
    while more && delivery.is_awaited() {
        let part = tempfile::tempfile()
            .map_err(|error| table.table.failed_with_hint(error, room_hint()))?;
        more = write_part(table, &schema, &part, reader, typed)?;
        parts.push(part);
    }
    Ok(parts)
}

/// Writes the next chunks; tells whether there may be more.
fn write_part(
    table: &OpenTable,
    schema: &FrameSchema,
    part: &File,
    reader: &mut TableReader<'_>,
    typed: &TypedColumns,
) -> Result<bool, SystemError> {
    let failed = |error: PolarsError| table.table.failed_with_hint(error, room_hint());
    let mut writer = ParquetWriter::new(part)
        .with_compression(ParquetCompression::Snappy)
        .with_statistics(StatisticsOptions::empty())
        .batched(schema)
        .map_err(failed)?;
    let mut more = true;
    for _ in 0..PART_CHUNKS_MAX {
        let Some(Pulled {
            records,
            rejections,
            ..
        }) = reader.next_chunk()?
        else {
            more = false;
            break;
        };
        if let Some(rejection) = rejections.first() {
            let hint = Some("a model reads whole files only; mend the record".to_owned());
            return Err(table.table.failed_with_hint(rejection.reason.clone(), hint));
        }
        let records = match table.table.format {
            FileFormat::Csv | FileFormat::Ndjson => typed.convert(&table.table, &records)?,
            FileFormat::Parquet => records,
        };
        let records = records.drop(RECORD_POSITION).map_err(failed)?;
        check_types(table, schema, &records)?;
        for group in pieces(&records, ROW_GROUP_RECORDS_MAX, ROW_GROUP_BYTES_MAX) {
            writer.write_batch(&group).map_err(failed)?;
        }
    }
    writer.finish().map_err(failed)?;
    Ok(more)
}

/// Whether all values are of their columns' types: those that are not come as they are, to be
/// judged one by one, which a model cannot wait for.
fn check_types(
    table: &OpenTable,
    schema: &FrameSchema,
    records: &DataFrame,
) -> Result<(), SystemError> {
    for (column, data_type) in records.columns().iter().zip(schema.iter_values()) {
        if column.dtype() != data_type {
            let is_text = *column.dtype() == DataType::Binary;
            let what = if is_text {
                "a text that is not UTF-8"
            } else {
                "a time finer than microseconds"
            };
            let cause = format!("column `{}` holds {what}", column.name().escape_debug());
            let hint = Some("a model reads whole files only; mend the record".to_owned());
            return Err(table.table.failed_with_hint(cause, hint));
        }
    }
    Ok(())
}

/// Narrows a model to the schema's columns, under the schema's names.
fn select_columns(
    place: &Place,
    mut frame: LazyFrame,
    names: &[String],
) -> Result<LazyFrame, SystemError> {
    let yielded = frame
        .collect_schema()
        .map_err(|error| place.polars_failed(&error))?;
    let there: Vec<String> = yielded.iter_names().map(ToString::to_string).collect();
    let positions = resolve_columns(&format!("what {} yields", place.model), names, &there)
        .map_err(|error| error.into_system_error(&place.connection, &place.model))?;
    let mut columns = Vec::with_capacity(names.len());
    for (name, position) in names.iter().zip(positions) {
        if let Some((yielded_name, data_type)) = yielded.get_at_index(position) {
            check_type(yielded_name, data_type)
                .map_err(|Unreadable { cause, hint }| place.failed(cause, &hint))?;
            // Not `col(…)`: it takes `*` and `^…$` for patterns.
            columns.push(Expr::Column(yielded_name.clone()).alias(name.as_str()));
        }
    }
    Ok(frame.select(columns))
}
