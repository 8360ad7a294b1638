//! Chunks of records whose values are text: what every source yields but Parquet files and models
//! over files.

use std::sync::Arc;

use polars::prelude::{
    Column, DataFrame, IntoColumn, IntoSeries, NamedFrom, PlSmallStr, PolarsResult, Series,
    StringChunkedBuilder,
};

use super::{CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, Pulled};
use crate::domain::outcome::{Rejection, Stage};
use crate::domain::places::Surveyor;
use crate::domain::record::RECORD_POSITION;

/// Cells that a chunk's columns are made ready for. Short chunks are common, and a builder grows by
/// itself.
const CAPACITY: usize = 1_024;

/// Bytes of a cell beside its text: polars' view of it.
const CELL_BYTES: usize = 16;

/// A chunk being filled, record by record.
pub(super) struct TextChunk {
    names: Vec<PlSmallStr>,
    columns: Vec<StringChunkedBuilder>,
    positions: Vec<u64>,
    rejections: Vec<Rejection>,
    places: Surveyor,
    /// Records of this chunk, rejected ones included.
    read: usize,
    bytes: usize,
    /// Position of the next record in the whole pull.
    next_position: u64,
}

impl TextChunk {
    /// `names` are the columns as the frames will call them.
    pub(super) fn new(names: &[String]) -> Self {
        let names: Vec<PlSmallStr> = names.iter().map(|name| name.as_str().into()).collect();
        let columns = builders(&names);
        let (positions, rejections) = (Vec::new(), Vec::new());
        Self {
            names,
            columns,
            positions,
            rejections,
            places: Surveyor::default(),
            read: 0,
            bytes: 0,
            next_position: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.read >= CHUNK_RECORDS_MAX || self.bytes >= CHUNK_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read == 0
    }

    /// Tells where the record stands that comes next, if it is read from a file.
    pub(super) fn next_stands(&mut self, file: &Arc<str>, line: u64) {
        self.places.record(self.next_position, file, line);
    }

    /// Columns to be given their cells, in order, each exactly once; then
    /// [`TextChunk::end_record`].
    pub(super) fn columns(&mut self) -> impl Iterator<Item = &mut StringChunkedBuilder> {
        self.columns.iter_mut()
    }

    /// Ends a record of `bytes` bytes whose cells were all given.
    pub(super) fn end_record(&mut self, bytes: usize) {
        self.positions.push(self.next_position);
        self.bytes += bytes + CELL_BYTES * self.columns.len();
        self.count();
    }

    /// Takes a record that could not be read as one; none of its cells may have been given.
    pub(super) fn reject(&mut self, key: Option<String>, column: Option<String>, reason: String) {
        self.rejections.push(Rejection {
            record: self.next_position,
            key,
            stage: Stage::Schema,
            column,
            value: None,
            reason,
            others: Vec::new(),
        });
        self.count();
    }

    fn count(&mut self) {
        self.read += 1;
        self.next_position += 1;
    }

    /// Hands the chunk on and begins the next.
    pub(super) fn take(&mut self) -> PolarsResult<Pulled> {
        let builders = std::mem::replace(&mut self.columns, builders(&self.names));
        let positions = std::mem::take(&mut self.positions);
        let mut columns: Vec<Column> = builders
            .into_iter()
            .map(|builder| builder.finish().into_series().into_column())
            .collect();
        let height = positions.len();
        columns.push(Series::new(RECORD_POSITION.into(), positions).into_column());
        let read = u64::try_from(std::mem::take(&mut self.read)).unwrap_or(u64::MAX);
        self.bytes = 0;
        Ok(Pulled {
            read,
            records: DataFrame::new(height, columns)?,
            rejections: std::mem::take(&mut self.rejections),
            places: self.places.take(),
        })
    }
}

fn builders(names: &[PlSmallStr]) -> Vec<StringChunkedBuilder> {
    names
        .iter()
        .map(|name| StringChunkedBuilder::new(name.clone(), CAPACITY))
        .collect()
}
