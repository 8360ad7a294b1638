//! Reads from a folder of CSV, Parquet and newline-delimited JSON files: a table is a file's name
//! without its extension. A thread of its own does the reading, since files know no waiting without
//! blocking.

mod blocks;
mod bytes;
mod csv;
mod delivery;
mod describe;
mod folder;
mod model;
mod ndjson;
mod parquet;
mod place;
mod remote;
mod table_reader;
mod typed;
mod wanted;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use tokio::sync::mpsc;

use self::delivery::{Delivery, Message, stopped};
pub(crate) use self::folder::FileTable;
use self::folder::Folder;
use self::model::Model;
use self::remote::Awaited;
use self::table_reader::TableReader;
use self::wanted::{Selection, Wanted};
use super::{Pulled, Source, TableDescription};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::files::{CsvDialect, FileFormat, FilesSettings};
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
) -> Result<Vec<FileTable>, SystemError> {
    let folder = Folder::list(connection, settings)?;
    Ok(folder.tables().collect())
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
    let settings = connection.system.files();
    settings.ok_or_else(|| SystemError::Failed {
        connection: connection.name.clone(),
        doing: "reading files".to_owned(),
        source: format!("it is a connection of kind `{}`", connection.system.kind()).into(),
        hint: None,
    })
}

/// Carries out one pull.
fn pull(
    connection: &str,
    settings: &FilesSettings,
    schema: &Schema,
    delivery: &Delivery,
) -> Result<(), SystemError> {
    let folder = Folder::list_for(connection, settings, Awaited::by(delivery))?;
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
