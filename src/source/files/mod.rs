//! Reads from a folder of CSV, Parquet and newline-delimited JSON files: a table is a file's name without its
//! extension. A thread of its own does the reading, since files know no waiting without blocking.

mod blocks;
mod csv;
mod describe;
mod folder;
mod model;
mod ndjson;
mod parquet;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;

use tokio::sync::mpsc;

use self::csv::CsvReader;
use self::folder::{Folder, Format, OpenFile};
use self::model::Model;
use self::ndjson::NdjsonReader;
use self::parquet::ParquetTable;
use super::{Pulled, Source, TableDescription};
use crate::domain::connection::{Connection, System};
use crate::domain::error::SystemError;
use crate::domain::schema::Schema;

/// Chunks read ahead of whoever takes them: enough to keep the reader busy, few enough to bound memory.
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
        let read = move || Delivery { sender }.carry_out(|delivery| pull(&name, &folder, &schema, delivery));
        std::thread::Builder::new()
            .name("files source".to_owned())
            .spawn(read)
            .map_err(|error| stopped(&connection.name, error))?;
        let mut source = Self { connection: connection.name.clone(), messages, ended: false };
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

fn stopped(connection: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SystemError {
    SystemError::Failed {
        connection: connection.to_owned(),
        doing: "reading files".to_owned(),
        source: cause.into(),
        hint: Some("check that the file is whole".to_owned()),
    }
}

/// Describes the table of a file, to start a schema file from. Columns of text files are given the type that up to
/// 10 000 of their records suggest.
pub(crate) async fn describe_table(connection: &Connection, table: &str) -> Result<TableDescription, SystemError> {
    let (name, folder, table) = (connection.name.clone(), folder_of(connection)?.to_owned(), table.to_owned());
    tokio::task::spawn_blocking(move || describe::describe(&name, &folder, &table))
        .await
        .unwrap_or_else(|error| Err(stopped(&connection.name, error)))
}

fn folder_of(connection: &Connection) -> Result<&Path, SystemError> {
    match &connection.system {
        System::Files { folder } => Ok(folder),
        System::Sqlite(_) | System::Postgres(_) | System::Mysql(_) => Err(SystemError::Failed {
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
    /// Does the reading and says how it ended.
    fn carry_out(self, read: impl FnOnce(&Self) -> Result<(), SystemError>) {
        let last = match read(&self) {
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
    Columns(&'a Selection),
}

/// Columns as the frames will call them.
#[derive(Debug, Clone)]
struct Selection {
    names: Vec<String>,
    /// Positions in `names` of the match key.
    key: Vec<usize>,
}

/// Carries out one pull.
fn pull(connection: &str, folder: &Path, schema: &Schema, delivery: &Delivery) -> Result<(), SystemError> {
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
    let names = schema.columns.iter().map(|column| column.name.clone()).collect();
    let selection = Selection { names, key: schema.key.clone() };
    let file = folder.find(table)?.open()?;
    let mut reader = TableReader::open(&file, Wanted::Columns(&selection))?;
    let mut flow = delivery.ready();
    while flow == ControlFlow::Continue(()) {
        match reader.next_chunk() {
            Ok(Some(pulled)) => flow = delivery.send(pulled),
            Ok(None) => return file.check_unchanged(),
            // A file that changed under the reader makes errors of other kinds, which explain nothing.
            Err(error) => return file.check_unchanged().and(Err(error)),
        }
    }
    Ok(())
}

/// A reader of one table, whatever its format.
enum TableReader {
    Csv(CsvReader<std::fs::File>),
    Ndjson(NdjsonReader<std::fs::File>),
    Parquet(ParquetTable),
}

impl TableReader {
    fn open(file: &OpenFile, wanted: Wanted<'_>) -> Result<Self, SystemError> {
        Ok(match file.table.format {
            Format::Csv => Self::Csv(CsvReader::open(file, wanted)?),
            Format::Ndjson => Self::Ndjson(NdjsonReader::open(file, wanted)?),
            Format::Parquet => Self::Parquet(ParquetTable::open(file, wanted)?),
        })
    }

    fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        match self {
            Self::Csv(reader) => reader.next_chunk(),
            Self::Ndjson(reader) => reader.next_chunk(),
            Self::Parquet(reader) => reader.next_chunk(),
        }
    }
}
