//! Reads from a folder of CSV, Parquet and newline-delimited JSON files.

use super::{Pulled, Source, TableDescription};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::schema::Schema;

/// One pull.
pub(crate) struct FilesSource {}

impl Source for FilesSource {
    async fn open(_connection: &Connection, _schema: &Schema) -> Result<Self, SystemError> {
        unimplemented!()
    }

    async fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        unimplemented!()
    }
}

/// Describes a table, to start a schema file from.
pub(crate) async fn describe_table(_connection: &Connection, _table: &str) -> Result<TableDescription, SystemError> {
    unimplemented!()
}
