//! Systems that records are read from. A source yields the schema's columns in bounded chunks, out
//! of one consistent snapshot, as text or as native values; it converts nothing that the schema
//! should judge.

mod adbc;
pub(crate) mod files;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod sqlite;
mod text;

use polars::prelude::DataFrame;

use crate::domain::connection::{Connection, System};
use crate::domain::error::SystemError;
use crate::domain::files::{CsvDialect, FilesSettings};
use crate::domain::outcome::Rejection;
use crate::domain::places::Stretch;
use crate::domain::schema::Schema;

/// Records of one chunk. Small enough that a few chunks of wide records fit in memory, large enough
/// that the work per chunk is nothing against the work per record.
pub(crate) const CHUNK_RECORDS_MAX: usize = 32_768;

/// Bytes of one chunk after which it is handed on, about, however few records it has: half a dozen
/// chunks are under way at any time, each while it is conformed twice.
pub(crate) const CHUNK_BYTES_MAX: usize = 4 << 20;

/// One chunk of records as a source yields them.
#[derive(Debug, Clone)]
pub(crate) struct Pulled {
    /// Records read, those of `rejections` included.
    pub(crate) read: u64,
    /// Shape: `(records, schema columns + RECORD_POSITION)`, in the schema's order; each column
    /// text or a native polars type. Positions count from 0 over the whole pull, in the source's
    /// order, rejected records included.
    pub(crate) records: DataFrame,
    /// Records that could not be read as records: a wrong number of cells, bytes that are not
    /// UTF-8.
    pub(crate) rejections: Vec<Rejection>,
    /// Where records stand in their files, where that can be told: stretches that begin with a
    /// record of this chunk.
    pub(crate) places: Vec<Stretch>,
}

/// A system that records are read from.
pub(crate) trait Source: Sized {
    /// Begins a pull of the schema's columns: of its model if it has one, else of the table it
    /// names. Errors: `NotFound` for a table or column that is not there, with what is there;
    /// before the first record.
    async fn open(connection: &Connection, schema: &Schema) -> Result<Self, SystemError>;

    /// The next records; `None` after the last. A chunk may hold no records and yet be followed by
    /// others.
    async fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError>;
}

/// The closed set of sources.
pub(crate) enum AnySource {
    Files(files::FilesSource),
    Sqlite(sqlite::SqliteSource),
    Postgres(postgres::PostgresSource),
    Mysql(mysql::MysqlSource),
    Adbc(adbc::AdbcSource),
}

impl AnySource {
    /// What reads for this program, where that is a program of somebody else's: the driver, with
    /// its version.
    pub(crate) fn driver(&self) -> Option<&str> {
        match self {
            Self::Adbc(source) => source.driver(),
            Self::Files(_) | Self::Sqlite(_) | Self::Postgres(_) | Self::Mysql(_) => None,
        }
    }
}

impl Source for AnySource {
    async fn open(connection: &Connection, schema: &Schema) -> Result<Self, SystemError> {
        Ok(match &connection.system {
            System::Files(_) => Self::Files(files::FilesSource::open(connection, schema).await?),
            System::Sqlite(_) => {
                Self::Sqlite(sqlite::SqliteSource::open(connection, schema).await?)
            }
            System::Postgres(_) => {
                Self::Postgres(postgres::PostgresSource::open(connection, schema).await?)
            }
            System::Mysql(_) => Self::Mysql(mysql::MysqlSource::open(connection, schema).await?),
            System::Adbc(settings) => {
                Self::Adbc(adbc::AdbcSource::open(connection, settings, schema).await?)
            }
            System::Service(_) => return Err(never_read(connection)),
        })
    }

    async fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        match self {
            Self::Files(source) => source.next_chunk().await,
            Self::Sqlite(source) => source.next_chunk().await,
            Self::Postgres(source) => source.next_chunk().await,
            Self::Mysql(source) => source.next_chunk().await,
            Self::Adbc(source) => source.next_chunk().await,
        }
    }
}

/// A table as `writeback schema` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableDescription {
    /// As the catalogue spells it, without its database or schema: a schema file's table is looked
    /// up there anyway.
    pub(crate) name: Vec<String>,
    pub(crate) columns: Vec<DescribedColumn>,
    /// Names of the primary key's columns; empty if there is none.
    pub(crate) primary_key: Vec<String>,
    /// Columns that would identify a record, going by the records looked at: each with a value in
    /// all of them, none twice. Databases say what they know as their primary key.
    pub(crate) unique: Vec<String>,
}

/// One column of a [`TableDescription`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedColumn {
    pub(crate) name: String,
    /// In standard SQL, as a schema file declares it; `None` if write-backs cannot carry it.
    pub(crate) column_type: Option<crate::domain::schema::SchemaType>,
    /// As the source itself calls the type, for a comment.
    pub(crate) declared: String,
    pub(crate) nullable: bool,
}

/// Names of the tables that a folder of files holds.
pub(crate) fn tables_of_files(
    connection: &str,
    settings: &FilesSettings,
) -> Result<Vec<String>, SystemError> {
    files::tables(connection, settings)
}

/// How the CSV of a table of files seems to be written; as usual for other files.
pub(crate) fn dialect_of_file(
    connection: &str,
    settings: &FilesSettings,
    table: &str,
) -> Result<CsvDialect, SystemError> {
    files::dialect(connection, settings, table)
}

/// Describes `table` (dotted, as typed) of a source, to start a schema file from.
pub(crate) async fn describe_table(
    connection: &Connection,
    table: &str,
) -> Result<TableDescription, SystemError> {
    match &connection.system {
        System::Files(_) => files::describe_table(connection, table).await,
        System::Sqlite(_) => sqlite::describe_table(connection, table).await,
        System::Postgres(_) => postgres::describe_table(connection, table).await,
        System::Mysql(_) => mysql::describe_table(connection, table).await,
        System::Adbc(settings) => adbc::describe_table(connection, settings, table).await,
        System::Service(_) => Err(never_read(connection)),
    }
}

fn never_read(connection: &Connection) -> SystemError {
    SystemError::NotFound {
        what: format!(
            "a source behind `{}`, a connection of kind `{}`,",
            connection.name,
            connection.system.kind()
        ),
        hint: Some(
            "it is written, never read from; name a database or a folder of files".to_owned(),
        ),
    }
}
