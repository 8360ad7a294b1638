//! Systems that records are read from. A source yields the schema's columns in bounded chunks, out
//! of one consistent snapshot, as text or as native values; it converts nothing that the schema
//! should judge.

mod adbc;
pub(crate) mod files;
pub(crate) mod mysql;
pub(crate) mod postgres;
mod seam;
pub(crate) mod sqlite;
mod text;

pub(crate) use self::files::FileTable;
pub(crate) use self::seam::{
    CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, DescribedColumn, Pulled, Source, TableDescription,
};
pub(crate) use crate::database::tables::ListedTable;
use crate::domain::connection::{Connection, ReadSystem};
use crate::domain::error::SystemError;
use crate::domain::files::{CsvDialect, FilesSettings};
use crate::domain::object::{NamePart, ObjectName};
use crate::domain::object_name::parse_object_name;
use crate::domain::schema::Schema;

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
        let system = connection.system.read();
        Ok(match system.ok_or_else(|| never_read(connection))? {
            ReadSystem::Files => Self::Files(files::FilesSource::open(connection, schema).await?),
            ReadSystem::Sqlite => {
                Self::Sqlite(sqlite::SqliteSource::open(connection, schema).await?)
            }
            ReadSystem::Postgres => {
                Self::Postgres(postgres::PostgresSource::open(connection, schema).await?)
            }
            ReadSystem::Mysql => Self::Mysql(mysql::MysqlSource::open(connection, schema).await?),
            ReadSystem::Driver(settings) => {
                Self::Adbc(adbc::AdbcSource::open(connection, settings, schema).await?)
            }
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

/// Names of the tables that a folder of files holds.
pub(crate) fn tables_of_files(
    connection: &str,
    settings: &FilesSettings,
) -> Result<Vec<FileTable>, SystemError> {
    files::tables(connection, settings)
}

/// The tables of a database that can be read, those that need no schema's name first. Of the
/// databases behind drivers only a file can tell them. Errors: as of [`describe_table`].
pub(crate) async fn list_tables(connection: &Connection) -> Result<Vec<ListedTable>, SystemError> {
    let system = connection.system.read();
    let columns = match system.ok_or_else(|| never_read(connection))? {
        ReadSystem::Sqlite => sqlite::list_columns(connection).await?,
        ReadSystem::Postgres => postgres::list_columns(connection).await?,
        ReadSystem::Mysql => mysql::list_columns(connection).await?,
        ReadSystem::Driver(settings) if settings.file.is_some() => {
            adbc::list_columns(connection, settings).await?
        }
        ReadSystem::Files | ReadSystem::Driver(_) => Vec::new(),
    };
    Ok(ListedTable::of(columns))
}

/// How the CSV of a table of files seems to be written; as usual for other files.
pub(crate) fn dialect_of_file(
    connection: &str,
    settings: &FilesSettings,
    table: &str,
) -> Result<CsvDialect, SystemError> {
    files::dialect(connection, settings, table)
}

/// Describes `table` of a source, to start a schema file from: `ACCOUNTS`, `"CRM"."ACCOUNTS"`, or
/// a file without its extension.
pub(crate) async fn describe_table(
    connection: &Connection,
    table: &str,
) -> Result<TableDescription, SystemError> {
    let system = connection.system.read();
    let name = name_of(table);
    match system.ok_or_else(|| never_read(connection))? {
        ReadSystem::Files => files::describe_table(connection, table).await,
        ReadSystem::Sqlite => sqlite::describe_table(connection, &name).await,
        ReadSystem::Postgres => postgres::describe_table(connection, &name).await,
        ReadSystem::Mysql => mysql::describe_table(connection, &name).await,
        ReadSystem::Driver(settings) => adbc::describe_table(connection, settings, &name).await,
    }
}

/// The name that was typed; what is no name of several parts is one part as it stands.
fn name_of(table: &str) -> ObjectName {
    parse_object_name(table).unwrap_or_else(|_| ObjectName {
        parts: vec![NamePart {
            text: table.to_owned(),
            quoted: false,
        }],
    })
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
