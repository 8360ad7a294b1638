//! What every source gives: chunks of records, and what its tables are like.

use polars::prelude::DataFrame;

use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
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
