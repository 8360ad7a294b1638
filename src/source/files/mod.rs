//! Reads from a folder of CSV, Parquet and newline-delimited JSON files: a table is a file's name
//! without its extension. A thread of its own does the reading, since files know no waiting without
//! blocking.

mod blocks;
mod csv;
mod describe;
mod folder;
mod library;
mod model;
mod ndjson;
mod parquet;
mod typed;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use polars::prelude::{DataType, Field, Schema as FrameSchema};
use tokio::sync::mpsc;

use self::csv::CsvReader;
use self::folder::{Folder, Format, OpenTable};
use self::model::Model;
use self::ndjson::NdjsonReader;
use self::parquet::ParquetTable;
use super::{Pulled, Source, TableDescription};
use crate::domain::connection::{Connection, System};
use crate::domain::error::SystemError;
use crate::domain::schema::Schema;

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
        let folder = folder_of(connection)?.to_owned();
        let (sender, messages) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let (name, schema) = (connection.name.clone(), schema.clone());
        let read = move || {
            Delivery { sender }.carry_out(&name, |delivery| pull(&name, &folder, &schema, delivery))
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
    let (name, folder, table) = (
        connection.name.clone(),
        folder_of(connection)?.to_owned(),
        table.to_owned(),
    );
    let describe = move || {
        let described = library::guarded(|| describe::describe(&name, &folder, &table));
        described.unwrap_or_else(|gave_up| Err(stopped(&name, gave_up)))
    };
    tokio::task::spawn_blocking(describe)
        .await
        .unwrap_or_else(|error| Err(stopped(&connection.name, error)))
}

fn folder_of(connection: &Connection) -> Result<&Path, SystemError> {
    match &connection.system {
        System::Files { folder } => Ok(folder),
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
}

impl Mentions {
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
}

/// Carries out one pull.
fn pull(
    connection: &str,
    folder: &Path,
    schema: &Schema,
    delivery: &Delivery,
) -> Result<(), SystemError> {
    let folder = Folder::list(connection, folder)?;
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
    let names = schema
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let selection = Selection {
        names,
        key: schema.key.clone(),
    };
    let table = folder.find(table)?.open()?;
    let mut reader = TableReader::open(&table, Wanted::Columns(&selection))?;
    let mut flow = delivery.ready();
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
    Csv(CsvReader<std::fs::File>),
    Ndjson(NdjsonReader<std::fs::File>),
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
            (Format::Csv, _) => FileReader::Csv(CsvReader::open(&first, wanted)?),
            (Format::Parquet, _) => FileReader::Parquet(ParquetTable::open(&first, wanted)?),
            (Format::Ndjson, Wanted::Columns(selection)) => {
                FileReader::Ndjson(NdjsonReader::open(&first, selection)?)
            }
            (Format::Ndjson, Wanted::All | Wanted::Mentioned(_)) => {
                let keyless = Selection {
                    names: Vec::new(),
                    key: Vec::new(),
                };
                let first_pass = open(FileReader::Ndjson(NdjsonReader::open(&first, &keyless)?));
                let FileReader::Ndjson(first_pass) = look_through(first_pass)?.reader else {
                    return Err(table.table.failed("it changed its format"));
                };
                let selection = Selection {
                    names: first_pass.keys(),
                    key: Vec::new(),
                };
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
