//! Reads from a folder of CSV, Parquet and newline-delimited JSON files: a table is a file's name
//! without its extension. A thread of its own does the reading, since files know no waiting without
//! blocking.

mod blocks;
mod bytes;
mod csv;
mod describe;
mod folder;
mod model;
mod ndjson;
mod parquet;
mod place;
mod typed;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use polars::prelude::{DataType, Field, Schema as FrameSchema};
use tokio::sync::mpsc;

use self::bytes::Text;
use self::csv::CsvReader;
use self::folder::{Folder, OpenTable};
use self::model::Model;
use self::ndjson::NdjsonReader;
use self::parquet::ParquetTable;
use super::{Pulled, Source, TableDescription};
use crate::domain::connection::{Connection, System};
use crate::domain::error::SystemError;
use crate::domain::files::{CellKind, CsvDialect, FileFormat, FilesSettings};
use crate::domain::schema::Schema;
use crate::library;

/// Chunks read ahead of whoever takes them: enough to keep the reader busy, few enough to bound
/// memory.
const CHUNKS_AHEAD_MAX: usize = 1;

/// One pull. Dropping it stops the reading.
pub(crate) struct FilesSource {
    connection: String,
    messages: mpsc::Receiver<Message>,
    /// Whether the last record was handed out, or an error.
    ended: bool,
}

impl Source for FilesSource {
    async fn open(connection: &Connection, schema: &Schema) -> Result<Self, SystemError> {
        let settings = settings_of(connection)?.clone();
        let (sender, messages) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let (name, schema) = (connection.name.clone(), schema.clone());
        let read = move || {
            Delivery { sender }
                .carry_out(&name, |delivery| pull(&name, &settings, &schema, delivery))
        };
        std::thread::Builder::new()
            .name("files source".to_owned())
            .spawn(read)
            .map_err(|error| no_thread(&connection.name, error))?;
        let mut source = Self {
            connection: connection.name.clone(),
            messages,
            ended: false,
        };
        match source.messages.recv().await {
            Some(Message::Ready) => Ok(source),
            Some(Message::Failed(error)) => Err(*error),
            Some(Message::Chunk(_) | Message::End) | None => Err(source.stopped()),
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        if self.ended {
            return Ok(None);
        }
        match self.messages.recv().await {
            Some(Message::Chunk(pulled)) => Ok(Some(*pulled)),
            Some(Message::End) => {
                self.ended = true;
                Ok(None)
            }
            Some(Message::Failed(error)) => {
                self.ended = true;
                Err(*error)
            }
            Some(Message::Ready) | None => {
                self.ended = true;
                Err(self.stopped())
            }
        }
    }
}

impl FilesSource {
    /// The reading thread is gone without a last word: a library it called gave up on the file.
    fn stopped(&self) -> SystemError {
        stopped(&self.connection, "the file could not be made sense of")
    }
}

fn no_thread(connection: &str, cause: std::io::Error) -> SystemError {
    SystemError::Failed {
        connection: connection.to_owned(),
        doing: "starting to read files".to_owned(),
        source: cause.into(),
        hint: None,
    }
}

fn stopped(
    connection: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SystemError {
    SystemError::Failed {
        connection: connection.to_owned(),
        doing: "reading files".to_owned(),
        source: cause.into(),
        hint: Some("check that the file is whole".to_owned()),
    }
}

/// Describes the table of a file, to start a schema file from. Columns of text files are given the
/// type that up to 10 000 of their records suggest.
pub(crate) async fn describe_table(
    connection: &Connection,
    table: &str,
) -> Result<TableDescription, SystemError> {
    let (name, settings, table) = (
        connection.name.clone(),
        settings_of(connection)?.clone(),
        table.to_owned(),
    );
    let describe = move || {
        let described = library::guarded(|| describe::describe(&name, &settings, &table));
        described.unwrap_or_else(|gave_up| Err(stopped(&name, gave_up)))
    };
    tokio::task::spawn_blocking(describe)
        .await
        .unwrap_or_else(|error| Err(stopped(&connection.name, error)))
}

/// Names of the folder's tables.
pub(crate) fn tables(
    connection: &str,
    settings: &FilesSettings,
) -> Result<Vec<String>, SystemError> {
    let folder = Folder::list(connection, settings)?;
    Ok(folder.names().map(str::to_owned).collect())
}

/// How the CSV of a table seems to be written, going by how it begins; files of other formats know
/// no dialects.
pub(crate) fn dialect(
    connection: &str,
    settings: &FilesSettings,
    table: &str,
) -> Result<CsvDialect, SystemError> {
    let table = Folder::list(connection, settings)?.find(table)?.open()?;
    match table.table.format {
        FileFormat::Csv => Ok(CsvDialect::guess(&table.first()?.head()?)),
        FileFormat::Ndjson | FileFormat::Parquet => Ok(CsvDialect::default()),
    }
}

fn settings_of(connection: &Connection) -> Result<&FilesSettings, SystemError> {
    match &connection.system {
        System::Files(settings) => Ok(settings),
        System::Sqlite(_)
        | System::Postgres(_)
        | System::Mysql(_)
        | System::Adbc(_)
        | System::Service(_) => Err(SystemError::Failed {
            connection: connection.name.clone(),
            doing: "reading files".to_owned(),
            source: format!("it is a connection of kind `{}`", connection.system.kind()).into(),
            hint: None,
        }),
    }
}

/// What the reading thread has to say.
#[derive(Debug)]
enum Message {
    /// The files are there, and so are the columns.
    Ready,
    Chunk(Box<Pulled>),
    Failed(Box<SystemError>),
    /// There are no more records.
    End,
}

/// The reading thread's way out.
#[derive(Debug, Clone)]
struct Delivery {
    sender: mpsc::Sender<Message>,
}

impl Delivery {
    /// Does the reading and says how it ended. Whatever gives up underneath is an error here.
    fn carry_out(self, connection: &str, read: impl FnOnce(&Self) -> Result<(), SystemError>) {
        let last = match library::guarded(|| read(&self))
            .unwrap_or_else(|gave_up| Err(stopped(connection, gave_up)))
        {
            Ok(()) => Message::End,
            Err(error) => Message::Failed(Box::new(error)),
        };
        // Nobody waits any more: then nobody wants to know.
        drop(self.sender.blocking_send(last));
    }

    fn send(&self, pulled: Pulled) -> ControlFlow<()> {
        self.send_message(Message::Chunk(Box::new(pulled)))
    }

    fn ready(&self) -> ControlFlow<()> {
        self.send_message(Message::Ready)
    }

    fn send_message(&self, message: Message) -> ControlFlow<()> {
        match self.sender.blocking_send(message) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Whether anybody waits for the records.
    fn is_awaited(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// Which columns of a file are read.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    All,
    /// Those that a model may mean; more do no harm.
    Mentioned(&'a Mentions),
    Columns(&'a Selection),
}

/// The words of a model, of which any may be a column.
#[derive(Debug, Default)]
struct Mentions {
    /// In lower case.
    words: HashSet<String>,
    /// Whether it takes columns that it does not name.
    everything: bool,
    /// What the schema's columns hold, by their names in lower case.
    written: HashMap<String, CellKind>,
}

impl Mentions {
    /// The columns of a file.
    fn select(&self, columns: &[String]) -> Selection {
        let written = columns.iter().map(|column| {
            let written = self.written.get(&column.to_lowercase());
            written.copied().unwrap_or(CellKind::AsIs)
        });
        Selection {
            written: written.collect(),
            ..Selection::named(columns.to_vec())
        }
    }

    fn include(&self, column: &str) -> bool {
        self.everything || self.words.contains(&column.to_lowercase())
    }
}

/// Columns as the frames will call them.
#[derive(Debug, Clone)]
struct Selection {
    names: Vec<String>,
    /// Positions in `names` of the match key.
    key: Vec<usize>,
    /// What each of `names` holds.
    written: Vec<CellKind>,
}

impl Selection {
    /// Columns that nothing is known of but their names.
    fn named(names: Vec<String>) -> Self {
        Self {
            written: vec![CellKind::AsIs; names.len()],
            names,
            key: Vec::new(),
        }
    }

    /// The columns of a schema.
    fn of(schema: &Schema) -> Self {
        let columns = schema.columns.iter();
        Self {
            names: columns.clone().map(|column| column.name.clone()).collect(),
            key: schema.key.clone(),
            written: columns
                .map(|column| CellKind::of(column.column_type))
                .collect(),
        }
    }
}

/// Carries out one pull.
fn pull(
    connection: &str,
    settings: &FilesSettings,
    schema: &Schema,
    delivery: &Delivery,
) -> Result<(), SystemError> {
    let folder = Folder::list(connection, settings)?;
    match &schema.model {
        Some(sql) => match Model::open(&folder, connection, schema, sql, delivery)? {
            Some(model) if delivery.ready() == ControlFlow::Continue(()) => model.run(delivery),
            Some(_) | None => Ok(()),
        },
        None => pull_table(&folder, schema, delivery),
    }
}

fn pull_table(folder: &Folder, schema: &Schema, delivery: &Delivery) -> Result<(), SystemError> {
    let table = schema.table.last().map(String::as_str).unwrap_or_default();
    let selection = Selection::of(schema);
    let table = folder.find(table)?.open()?;
    let mut reader = TableReader::open(&table, Wanted::Columns(&selection))?;
    // Whoever only looks whether a pull can begin learns of what stands in its way at once.
    let first = reader.next_chunk();
    let first = first.or_else(|error| table.check_unchanged().and(Err(error)))?;
    let mut flow = delivery.ready();
    if let (Some(pulled), ControlFlow::Continue(())) = (first, flow) {
        flow = delivery.send(pulled);
    }
    while flow == ControlFlow::Continue(()) {
        match reader.next_chunk() {
            Ok(Some(pulled)) => flow = delivery.send(pulled),
            Ok(None) => return table.check_unchanged(),
            // A file that changed under the reader makes errors of other kinds, which explain
            // nothing.
            Err(error) => return table.check_unchanged().and(Err(error)),
        }
    }
    Ok(())
}

/// A reader of one table, whatever its format and however many files hold it.
struct TableReader<'a> {
    table: &'a OpenTable,
    /// Position of the file that comes next.
    next_part: usize,
    reader: FileReader,
}

/// A reader of the file at hand.
enum FileReader {
    Csv(CsvReader<Text>),
    Ndjson(NdjsonReader<Text>),
    Parquet(ParquetTable),
}

impl<'a> TableReader<'a> {
    /// Begins to read. NDJSON whose keys are not named by the wanted columns is read twice, first
    /// for all its keys.
    fn open(table: &'a OpenTable, wanted: Wanted<'_>) -> Result<Self, SystemError> {
        Self::begin(table, wanted, |mut first_pass| {
            while first_pass.next_chunk()?.is_some() {}
            Ok(first_pass)
        })
    }

    /// As [`TableReader::open`] with [`Wanted::All`], for who looks at the first `records_max`
    /// records alone.
    fn open_sample(table: &'a OpenTable, records_max: usize) -> Result<Self, SystemError> {
        Self::begin(table, Wanted::All, |mut first_pass| {
            let mut records = 0;
            while records < records_max
                && let Some(pulled) = first_pass.next_chunk()?
            {
                records += pulled.records.height();
            }
            Ok(first_pass)
        })
    }

    fn begin(
        table: &'a OpenTable,
        wanted: Wanted<'_>,
        look_through: impl FnOnce(Self) -> Result<Self, SystemError>,
    ) -> Result<Self, SystemError> {
        let first = table.first()?;
        let open = |reader: FileReader| Self {
            table,
            next_part: 1,
            reader,
        };
        Ok(open(match (table.table.format, wanted) {
            (FileFormat::Csv, _) => FileReader::Csv(CsvReader::open(&first, wanted)?),
            (FileFormat::Parquet, _) => FileReader::Parquet(ParquetTable::open(&first, wanted)?),
            (FileFormat::Ndjson, Wanted::Columns(selection)) => {
                FileReader::Ndjson(NdjsonReader::open(&first, selection)?)
            }
            (FileFormat::Ndjson, Wanted::All | Wanted::Mentioned(_)) => {
                let keyless = Selection::named(Vec::new());
                let first_pass = open(FileReader::Ndjson(NdjsonReader::open(&first, &keyless)?));
                let FileReader::Ndjson(first_pass) = look_through(first_pass)?.reader else {
                    return Err(table.table.failed("it changed its format"));
                };
                let selection = Selection::named(first_pass.keys());
                FileReader::Ndjson(NdjsonReader::open(&first, &selection)?)
            }
        }))
    }

    /// Names of the columns, as the file has them where they are not wanted by name.
    fn names(&self) -> Vec<String> {
        match &self.reader {
            FileReader::Csv(reader) => reader.header().to_vec(),
            FileReader::Ndjson(reader) => reader.names().to_vec(),
            FileReader::Parquet(reader) => reader
                .frame_schema()
                .iter_names()
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// Names and types of the frames' columns, RECORD_POSITION left out; those of text have the
    /// type that `text_type` says.
    fn frame_schema(
        &self,
        text_type: impl Fn(&str) -> Result<DataType, String>,
    ) -> Result<FrameSchema, SystemError> {
        let field = |name: String| {
            let data_type = text_type(&name).map_err(|cause| self.table.table.failed(cause))?;
            Ok(Field::new(name.into(), data_type))
        };
        match &self.reader {
            FileReader::Parquet(reader) => Ok(reader.frame_schema()),
            FileReader::Csv(_) | FileReader::Ndjson(_) => {
                self.names().into_iter().map(field).collect()
            }
        }
    }

    fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        loop {
            let pulled = match &mut self.reader {
                FileReader::Csv(reader) => reader.next_chunk()?,
                FileReader::Ndjson(reader) => reader.next_chunk()?,
                FileReader::Parquet(reader) => reader.next_chunk()?,
            };
            if pulled.is_some() {
                return Ok(pulled);
            }
            let Some(file) = self.table.part(self.next_part)? else {
                break;
            };
            self.next_part += 1;
            match &mut self.reader {
                FileReader::Csv(reader) => reader.follow(&file)?,
                FileReader::Ndjson(reader) => reader.follow(&file)?,
                FileReader::Parquet(reader) => reader.follow(&file)?,
            }
        }
        match &self.reader {
            FileReader::Ndjson(reader) => reader.check_columns().map(|()| None),
            FileReader::Csv(_) | FileReader::Parquet(_) => Ok(None),
        }
    }
}
