//! Reads Parquet with polars: row group by row group, only the wanted columns, native types left as they are.
//!
//! polars maps the files it reads into memory, where a file cut short by its writer ends the process. So each row
//! group's wanted columns are first copied, at their own places, into an unnamed file of ours that has holes elsewhere.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use polars::prelude::{
    ArrowField, Column, DataFrame, DataType, Field, FileMetadata, IntoColumn, NamedFrom, ParallelStrategy,
    ParquetReader, PolarsResult, Schema as FrameSchema, SerReader, Series,
};

use super::folder::{OpenFile, TableFile};
use super::{Selection, Wanted};
use crate::domain::error::SystemError;
use crate::domain::record::RECORD_POSITION;
use crate::source::{CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, Pulled};

/// Records decoded at once. A page is decoded whole whenever any of its records is wanted, so that short slices decode
/// it over and over.
const SLICE_RECORDS_MAX: usize = 4 * CHUNK_RECORDS_MAX;

/// Bytes of the wanted columns decoded at once, as the file states their size before compression.
const SLICE_BYTES_MAX: usize = 16 << 20;

/// A Parquet file's records, of the wanted columns.
pub(super) struct ParquetTable {
    table: TableFile,
    source: File,
    /// Bytes of the file.
    length: u64,
    metadata: Arc<FileMetadata>,
    /// The same without its row groups, to be given one of them.
    frame_metadata: FileMetadata,
    /// Positions in the file of the wanted columns, in the order wanted.
    projection: Vec<usize>,
    /// Wanted columns as the frames will call them, and as the file does.
    names: Vec<String>,
    file_names: Vec<String>,
    types: Vec<DataType>,
    /// Position of the row group at hand.
    row_group: usize,
    mirror: Option<Mirror>,
    /// Records of the row group at hand that are decoded.
    group_read: usize,
    /// Decoded and not yet handed on.
    decoded: DataFrame,
    /// Records handed on.
    delivered: u64,
}

/// The wanted columns of one row group, in a file of ours, and a footer that knows of no other row group: polars looks
/// into the pages of every one it knows.
struct Mirror {
    file: File,
    metadata: Arc<FileMetadata>,
}

/// One column of a Parquet file.
#[derive(Debug, Clone)]
pub(super) struct ParquetColumn {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

/// What a Parquet file's footer says.
pub(super) struct Footer {
    pub(super) columns: Vec<ParquetColumn>,
    metadata: Arc<FileMetadata>,
}

impl Footer {
    pub(super) fn read(file: &OpenFile) -> Result<Self, SystemError> {
        let failed = |error| file.table.failed_with_hint(error, Some("is it a whole Parquet file?".to_owned()));
        let clone = file.reader()?;
        let mut reader = ParquetReader::new(clone);
        let schema = reader.schema().map_err(failed)?;
        let metadata = Arc::clone(reader.get_metadata().map_err(failed)?);
        let column = |field: &ArrowField| ParquetColumn {
            name: field.name.to_string(),
            data_type: DataType::from_arrow_field(field),
            nullable: field.is_nullable,
        };
        Ok(Self { columns: schema.iter_values().map(column).collect(), metadata })
    }

    /// Whether the file, or some row group of it, is more than should be held at once: polars, left to itself, decodes
    /// row groups whole.
    pub(super) fn is_large(&self) -> bool {
        let is_large = |records: usize, bytes: usize| records > SLICE_RECORDS_MAX || bytes > SLICE_BYTES_MAX;
        let groups = &self.metadata.row_groups;
        let file_bytes: usize = groups.iter().map(|group| group.compressed_size()).sum();
        file_bytes > SLICE_BYTES_MAX || groups.iter().any(|group| is_large(group.num_rows(), group.total_byte_size()))
    }

    /// Names and positions of the columns whose types this build of polars can decode.
    fn decodable_columns(&self) -> (Vec<String>, Vec<usize>) {
        let is_decodable = |data_type: &DataType| {
            !matches!(data_type, DataType::UInt8 | DataType::UInt16 | DataType::UInt128 | DataType::Float16)
        };
        let columns = self.columns.iter().enumerate().filter(|(_, column)| is_decodable(&column.data_type));
        columns.map(|(position, column)| (column.name.clone(), position)).unzip()
    }
}

impl ParquetTable {
    /// Reads the footer and finds the wanted columns.
    /// Errors: `NotFound` for a column that is not there; `Failed` for one whose type write-backs do not carry. With
    /// [`Wanted::All`] columns of such types come along if polars knows them: a model may make something of them.
    pub(super) fn open(file: &OpenFile, wanted: Wanted<'_>) -> Result<Self, SystemError> {
        let footer = Footer::read(file)?;
        let there: Vec<String> = footer.columns.iter().map(|column| column.name.clone()).collect();
        let (names, projection) = match wanted {
            Wanted::All => footer.decodable_columns(),
            Wanted::Columns(Selection { names, .. }) => (names.clone(), file.table.resolve_columns(names, &there)?),
        };
        let columns: Vec<&ParquetColumn> =
            projection.iter().filter_map(|position| footer.columns.get(*position)).collect();
        for column in columns.iter().filter(|_| matches!(wanted, Wanted::Columns(_))) {
            check_type(&column.name, &column.data_type)
                .map_err(|Unreadable { cause, hint }| file.table.failed_with_hint(cause, Some(hint)))?;
        }
        Ok(Self {
            table: file.table.clone(),
            types: columns.iter().map(|column| carried_type(&column.data_type)).collect(),
            source: file.reader()?,
            length: file.length(),
            file_names: columns.iter().map(|column| column.name.clone()).collect(),
            frame_metadata: FileMetadata { row_groups: Vec::new(), ..FileMetadata::clone(&footer.metadata) },
            metadata: footer.metadata,
            projection,
            names,
            row_group: 0,
            mirror: None,
            group_read: 0,
            decoded: DataFrame::empty(),
            delivered: 0,
        })
    }

    /// Names and types of the frames' columns, RECORD_POSITION left out.
    pub(super) fn frame_schema(&self) -> FrameSchema {
        let field = |(name, data_type): (&String, &DataType)| Field::new(name.as_str().into(), data_type.clone());
        self.names.iter().zip(&self.types).map(field).collect()
    }

    /// The next records; `None` after the last.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        while self.decoded.height() == 0 {
            if !self.decode_slice()? {
                return Ok(None);
            }
        }
        let height = self.decoded.height().min(chunk_records_max(&self.decoded));
        let chunk = self.decoded.slice(0, height);
        let rest = i64::try_from(height).unwrap_or(i64::MAX);
        self.decoded = self.decoded.slice(rest, self.decoded.height() - height);
        let pulled =
            deliver(chunk.into_columns(), &self.names, self.delivered).map_err(|error| self.table.failed(error))?;
        self.delivered += pulled.read;
        Ok(Some(pulled))
    }

    /// Decodes the next slice of the row group at hand; `false` after the last.
    fn decode_slice(&mut self) -> Result<bool, SystemError> {
        let Some((records, slice_records)) = self.row_group_size() else { return Ok(false) };
        if self.group_read >= records {
            (self.row_group, self.group_read, self.mirror) = (self.row_group + 1, 0, None);
            return Ok(self.row_group < self.metadata.row_groups.len());
        }
        let mirror = match self.mirror.take() {
            Some(mirror) => mirror,
            None => self.mirror_row_group()?,
        };
        let file = mirror.file.try_clone().map_err(|error| self.table.failed(error))?;
        let slice = (self.group_read, slice_records.min(records - self.group_read));
        let mut reader = ParquetReader::new(file);
        reader.set_metadata(Arc::clone(&mirror.metadata));
        self.decoded = reader
            .with_projection(Some(self.projection.clone()))
            .with_slice(Some(slice))
            .read_parallel(ParallelStrategy::Columns)
            .finish()
            .map_err(|error| self.table.failed_with_hint(error, Some("is the file whole?".to_owned())))?;
        if self.decoded.height() != slice.1 {
            return Err(self.table.failed(format!("row group {} is cut short", self.row_group)));
        }
        self.group_read += slice.1;
        self.mirror = Some(mirror);
        Ok(true)
    }

    /// Records of the row group at hand, and how many to decode at once; `None` after the last.
    fn row_group_size(&self) -> Option<(usize, usize)> {
        let group = self.metadata.row_groups.get(self.row_group)?;
        let bytes = |name: &String| {
            let columns = group.columns_under_root_iter(name)?;
            Some(columns.map(|column| usize::try_from(column.uncompressed_size()).unwrap_or(0)).sum::<usize>())
        };
        let bytes: usize = self.file_names.iter().filter_map(bytes).sum();
        let record_bytes = (bytes / group.num_rows().max(1)).max(1);
        Some((group.num_rows(), (SLICE_BYTES_MAX / record_bytes).clamp(1, SLICE_RECORDS_MAX)))
    }

    /// Copies the wanted columns of the row group at hand into a file of ours, at their own places.
    fn mirror_row_group(&mut self) -> Result<Mirror, SystemError> {
        let ranges = self.wanted_ranges()?;
        let file = self.copy_ranges(&ranges).map_err(|error| {
            let hint = Some("see that the folder for temporary files (`TMPDIR`) has room".to_owned());
            self.table.failed_with_hint(error, hint)
        })?;
        let mut metadata = self.frame_metadata.clone();
        metadata.row_groups.extend(self.metadata.row_groups.get(self.row_group).cloned());
        metadata.num_rows = metadata.row_groups.iter().map(|group| group.num_rows()).sum();
        Ok(Mirror { file, metadata: Arc::new(metadata) })
    }

    fn wanted_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, SystemError> {
        let mut ranges = Vec::with_capacity(self.file_names.len());
        if let Some(group) = self.metadata.row_groups.get(self.row_group) {
            for name in &self.file_names {
                ranges.extend(
                    group.columns_under_root_iter(name).into_iter().flatten().map(|column| column.byte_range()),
                );
            }
        }
        match ranges.iter().all(|range| range.start <= range.end && range.end <= self.length) {
            true => Ok(ranges),
            false => Err(self.table.failed("its footer points past its end")),
        }
    }

    fn copy_ranges(&mut self, ranges: &[std::ops::Range<u64>]) -> std::io::Result<File> {
        let mut mirror = tempfile::tempfile()?;
        mirror.set_len(self.length)?;
        for range in ranges {
            self.source.seek(SeekFrom::Start(range.start))?;
            mirror.seek(SeekFrom::Start(range.start))?;
            let wanted = range.end - range.start;
            let copied = std::io::copy(&mut std::io::Read::take(&mut self.source, wanted), &mut mirror)?;
            if copied != wanted {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(mirror)
    }
}

/// Records of a frame that one chunk has at most.
fn chunk_records_max(records: &DataFrame) -> usize {
    let record_bytes = (records.estimated_size() / records.height().max(1)).max(1);
    (CHUNK_BYTES_MAX / record_bytes).clamp(1, CHUNK_RECORDS_MAX)
}

/// Why a column cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) cause: String,
    pub(super) hint: String,
}

/// Whether write-backs carry values of a polars type, natively or as text.
pub(super) fn check_type(column: &str, data_type: &DataType) -> Result<(), Unreadable> {
    let hint = match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Int128
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal(..)
        | DataType::String
        | DataType::Date
        | DataType::Datetime(..)
        | DataType::Time
        | DataType::Categorical(..)
        | DataType::Enum(..)
        | DataType::Null => return Ok(()),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt128 | DataType::Float16 => {
            "store it as a signed integer of 16 to 64 bits, or as a float of 32 or 64"
        }
        DataType::Binary
        | DataType::BinaryOffset
        | DataType::Duration(_)
        | DataType::Array(..)
        | DataType::List(_)
        | DataType::Struct(_)
        | DataType::Unknown(_) => "leave it out of the schema, or let a model turn it into text or a number",
    };
    let cause = format!("column `{column}` is of type {data_type}, which write-backs do not carry");
    Err(Unreadable { cause, hint: hint.to_owned() })
}

/// Makes a chunk of columns in the schema's order.
/// Shape: `(records, columns)` in, one name per column; the same records with RECORD_POSITION from `first` out.
pub(super) fn deliver(columns: Vec<Column>, names: &[String], first: u64) -> PolarsResult<Pulled> {
    let height = columns.first().map_or(0, Column::len);
    let read = u64::try_from(height).unwrap_or(u64::MAX);
    let mut carried = Vec::with_capacity(columns.len() + 1);
    for (column, name) in columns.into_iter().zip(names) {
        carried.push(as_carried(column)?.with_name(name.as_str().into()));
    }
    let positions: Vec<u64> = (first..first.saturating_add(read)).collect();
    carried.push(Series::new(RECORD_POSITION.into(), positions).into_column());
    Ok(Pulled { read, records: DataFrame::new(height, carried)?, rejections: Vec::new() })
}

fn as_carried(column: Column) -> PolarsResult<Column> {
    let carried = carried_type(column.dtype());
    match *column.dtype() == carried {
        true => Ok(column),
        false => column.cast(&carried),
    }
}

/// Labels travel as text; so does a column without any value, whose type nobody can tell.
fn carried_type(data_type: &DataType) -> DataType {
    match matches!(data_type, DataType::Categorical(..) | DataType::Enum(..) | DataType::Null) {
        true => DataType::String,
        false => data_type.clone(),
    }
}
