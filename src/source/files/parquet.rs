//! Reads Parquet: row group by row group, only the wanted columns, page by page.
//!
//! Footers and pages are read by ourselves: the library's reader believes what a file says of
//! itself (sizes, counts, and what other libraries wrote beside), looks into columns that nobody
//! wants, verifies no checksum, and gives up with a panic. Here a page is held against its checksum
//! and its announced sizes before anything is made of it, and what is held at once is bounded
//! whatever the file says.

mod coding;
mod footer;
mod kind;
mod pages;
mod thrift;
mod values;

use std::fs::File;

use polars::prelude::{
    Column, DataFrame, DataType, Field, IntoColumn, NamedFrom, PolarsResult, Schema as FrameSchema,
    Series,
};

use self::footer::{FileColumn, Footer, RowGroup};
use self::pages::{ColumnPages, PageError};
use self::values::Gathered;
use super::folder::{OpenFile, TableFile};
use super::wanted::{Selection, Wanted};
use crate::domain::error::SystemError;
use crate::domain::places::Surveyor;
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::SchemaType;
use crate::source::{CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, Pulled};

/// Bytes of one column's share in a chunk, however many columns there are.
const COLUMN_BYTES_MIN: usize = 64 << 10;

/// Bytes of pages and dictionaries that columns keep between chunks; what is beyond is read again.
const HELD_BYTES_MAX: usize = 32 << 20;

/// A Parquet file's records, of the wanted columns; then those of the files that follow it.
pub(super) struct ParquetTable {
    table: TableFile,
    file: File,
    row_groups: std::vec::IntoIter<RowGroup>,
    /// Bytes of the file before its footer.
    data_end: u64,
    columns: Vec<WantedColumn>,
    /// Position of the row group at hand, and its records that are not yet handed on.
    row_group: usize,
    left: u64,
    /// Records handed on, and how many of them before those of this file.
    delivered: u64,
    delivered_before: u64,
    places: Surveyor,
}

/// A column being read.
struct WantedColumn {
    /// As the frames will call it.
    name: String,
    found: FileColumn,
    column: kind::Column,
    pages: Option<ColumnPages>,
    /// Read and not yet handed on.
    ahead: Option<Series>,
}

/// One column of a Parquet file, for who describes it.
#[derive(Debug, Clone)]
pub(super) struct ParquetColumn {
    pub(super) name: String,
    /// `None` if it cannot be read.
    pub(super) schema_type: Option<SchemaType>,
    /// Its type in words.
    pub(super) declared: String,
    pub(super) nullable: bool,
}

/// The columns that a file has.
pub(super) fn columns_of(file: &OpenFile) -> Result<Vec<ParquetColumn>, SystemError> {
    let column = |column: FileColumn| ParquetColumn {
        name: column.name,
        schema_type: column
            .column
            .as_ref()
            .ok()
            .map(|column| column.kind.schema_type()),
        declared: column.column.map_or_else(
            |declared| declared,
            |column| column.kind.data_type().to_string(),
        ),
        nullable: column.nullable,
    };
    Ok(read_footer(file)?.columns.into_iter().map(column).collect())
}

fn read_footer(file: &OpenFile) -> Result<Footer, SystemError> {
    Footer::read(&file.file, file.length).map_err(|error| {
        let hint = error.hint();
        file.table.failed_with_hint(error, hint)
    })
}

impl ParquetTable {
    /// Reads the footer and finds the wanted columns. Errors: `NotFound` for a column that is not
    /// there; `Failed` for one whose type cannot be read. Where columns are not asked for by name,
    /// such columns are left out.
    pub(super) fn open(file: &OpenFile, wanted: Wanted<'_>) -> Result<Self, SystemError> {
        let footer = read_footer(file)?;
        let wanted_columns = match wanted {
            Wanted::All => readable_columns(&footer, |_| true),
            Wanted::Mentioned(mentions) => readable_columns(&footer, |name| mentions.include(name)),
            Wanted::Columns(Selection { names, .. }) => find_columns(&file.table, &footer, names)?,
        };
        let names: Vec<String> = match wanted {
            Wanted::All | Wanted::Mentioned(_) => wanted_columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            Wanted::Columns(Selection { names, .. }) => names.clone(),
        };
        let mut columns = Vec::with_capacity(names.len());
        for (name, found) in names.into_iter().zip(wanted_columns) {
            let column = readable(&file.table, &found)?;
            columns.push(WantedColumn {
                name,
                found,
                column,
                pages: None,
                ahead: None,
            });
        }
        let (table, left, delivered) = (file.table.clone(), 0, 0);
        let (row_groups, data_end) = (footer.row_groups.into_iter(), footer.data_end);
        let file = clone(file)?;
        Ok(Self {
            table,
            file,
            row_groups,
            data_end,
            columns,
            row_group: 0,
            left,
            delivered,
            delivered_before: 0,
            places: Surveyor::default(),
        })
    }

    /// Goes on with another file of the same table.
    /// Errors: as [`ParquetTable::open`]; `Failed` if a column is of another type there.
    pub(super) fn follow(&mut self, file: &OpenFile) -> Result<(), SystemError> {
        let footer = read_footer(file)?;
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.found.name.clone())
            .collect();
        for (column, found) in
            self.columns
                .iter_mut()
                .zip(find_columns(&file.table, &footer, &names)?)
        {
            let read = readable(&file.table, &found)?;
            if read.kind != column.column.kind {
                let (there, here) = (read.kind.data_type(), column.column.kind.data_type());
                let cause = format!(
                    "column `{}` is of type {there}, and of type {here} in `{}`",
                    found.name, self.table.name
                );
                let hint = Some("let all files of a table have the same columns".to_owned());
                return Err(file.table.failed_with_hint(cause, hint));
            }
            (column.found, column.column, column.pages) = (found, read, None);
        }
        (self.table, self.file) = (file.table.clone(), clone(file)?);
        (self.row_groups, self.data_end, self.row_group) =
            (footer.row_groups.into_iter(), footer.data_end, 0);
        self.delivered_before = self.delivered;
        Ok(())
    }

    /// Names and types of the frames' columns, RECORD_POSITION left out.
    pub(super) fn frame_schema(&self) -> FrameSchema {
        let field = |column: &WantedColumn| {
            Field::new(column.name.as_str().into(), column.column.kind.data_type())
        };
        self.columns.iter().map(field).collect()
    }

    /// The next records; `None` after the last of this file.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
        while self.left == 0 {
            let Some(group) = self.row_groups.next() else {
                return Ok(None);
            };
            self.begin(&group)?;
        }
        let records = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(CHUNK_RECORDS_MAX);
        let bytes = (CHUNK_BYTES_MAX / self.columns.len().max(1)).max(COLUMN_BYTES_MIN);
        for index in 0..self.columns.len() {
            self.read_ahead(index, records, bytes)?;
        }
        let ahead = |column: &WantedColumn| column.ahead.as_ref().map_or(0, |ahead| ahead.len());
        let height = self.columns.iter().map(ahead).min().unwrap_or(records);
        let cut = |column: &mut WantedColumn| {
            let offset = i64::try_from(height).unwrap_or(i64::MAX);
            let ahead = column.ahead.take()?;
            let chunk = ahead.slice(0, height);
            column.ahead =
                (ahead.len() > height).then(|| ahead.slice(offset, ahead.len() - height));
            Some(chunk.into_column())
        };
        let columns: Vec<Column> = self.columns.iter_mut().filter_map(cut).collect();
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let mut pulled = deliver(columns, height, &names, self.delivered)
            .map_err(|error| self.table.failed(error))?;
        let row = self.delivered - self.delivered_before + 1;
        self.places.record(self.delivered, &self.table.name, row);
        pulled.places = self.places.take();
        self.delivered += pulled.read;
        self.left = self.left.saturating_sub(pulled.read);
        Ok(Some(pulled))
    }

    fn begin(&mut self, group: &RowGroup) -> Result<(), SystemError> {
        let records = group
            .records
            .and_then(|records| u64::try_from(records).ok())
            .unwrap_or(0);
        self.row_group += 1;
        self.left = records;
        for index in 0..if records > 0 { self.columns.len() } else { 0 } {
            let Some(column) = self.columns.get(index) else {
                break;
            };
            let chunk = group
                .chunks
                .get(column.found.leaf)
                .copied()
                .unwrap_or_default();
            let opened = ColumnPages::open(
                &chunk,
                column.column.physical,
                column.found.nullable,
                records,
                self.data_end,
            );
            let pages = opened.map_err(|error| self.column_failed(index, error))?;
            if let Some(column) = self.columns.get_mut(index) {
                (column.pages, column.ahead) = (Some(pages), None);
            }
        }
        Ok(())
    }

    /// Sees that a column has values ready: as many as wanted, or as fit.
    fn read_ahead(
        &mut self,
        index: usize,
        records: usize,
        bytes_max: usize,
    ) -> Result<(), SystemError> {
        let Some(column) = self
            .columns
            .get_mut(index)
            .filter(|column| column.ahead.is_none())
        else {
            return Ok(());
        };
        let Some(pages) = &mut column.pages else {
            return Ok(());
        };
        let mut gathered = Gathered::new(column.column, records);
        let take = |value: Option<&[u8]>| {
            gathered.push(value).map_err(PageError::Value)?;
            Ok(gathered.bytes < bytes_max)
        };
        let read = pages.read(&self.file, records, take);
        let series = read.and_then(|_| {
            gathered
                .finish(column.name.as_str().into())
                .map_err(PageError::Value)
        });
        match series {
            Ok(series) => column.ahead = Some(series),
            Err(error) => return Err(self.column_failed(index, error)),
        }
        let held = |column: &WantedColumn| column.pages.as_ref().map_or(0, ColumnPages::held_bytes);
        if self.columns.iter().map(held).sum::<usize>() > HELD_BYTES_MAX {
            self.columns
                .iter_mut()
                .filter_map(|column| column.pages.as_mut())
                .for_each(ColumnPages::let_go);
        }
        Ok(())
    }

    fn column_failed(&self, index: usize, error: PageError) -> SystemError {
        let name = self
            .columns
            .get(index)
            .map_or("", |column| column.found.name.as_str());
        let cause = format!(
            "column `{}`, row group {}: {error}",
            name.escape_debug(),
            self.row_group.saturating_sub(1)
        );
        let hint = error.hint();
        if let PageError::Io(error) = error {
            self.table.io_failed(error)
        } else {
            self.table.failed_with_hint(cause, hint)
        }
    }
}

fn clone(file: &OpenFile) -> Result<File, SystemError> {
    file.file
        .try_clone()
        .map_err(|error| file.table.io_failed(error))
}

/// The columns that can be read and are wanted; the first that can be read if none is, since
/// records are counted by one.
fn readable_columns(footer: &Footer, is_wanted: impl Fn(&str) -> bool) -> Vec<FileColumn> {
    let readable = || footer.columns.iter().filter(|column| column.column.is_ok());
    let wanted: Vec<FileColumn> = readable()
        .filter(|column| is_wanted(&column.name))
        .cloned()
        .collect();
    if wanted.is_empty() {
        readable().take(1).cloned().collect()
    } else {
        wanted
    }
}

fn find_columns(
    table: &TableFile,
    footer: &Footer,
    names: &[String],
) -> Result<Vec<FileColumn>, SystemError> {
    let there: Vec<String> = footer
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let positions = table.resolve_columns(names, &there)?;
    Ok(positions
        .into_iter()
        .filter_map(|position| footer.columns.get(position).cloned())
        .collect())
}

fn readable(table: &TableFile, found: &FileColumn) -> Result<kind::Column, SystemError> {
    let hint = "leave it out of the schema, or let the file hold it as text, a number or a time";
    found.column.clone().map_err(|declared| {
        table.failed_with_hint(not_carried(&found.name, &declared), Some(hint.to_owned()))
    })
}

/// Why a column cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) cause: String,
    pub(super) hint: String,
}

fn not_carried(column: &str, data_type: &str) -> String {
    format!(
        "column `{}` is of type {data_type}, which write-backs do not carry",
        column.escape_debug()
    )
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
        | DataType::Unknown(_) => {
            "leave it out of the schema, or let a model turn it into text or a number"
        }
    };
    Err(Unreadable {
        cause: not_carried(column, &data_type.to_string()),
        hint: hint.to_owned(),
    })
}

/// Makes a chunk of columns in the schema's order. Shape: `(height, columns)` in, one name per
/// column; the same records with RECORD_POSITION from `first` out.
pub(super) fn deliver(
    columns: Vec<Column>,
    height: usize,
    names: &[String],
    first: u64,
) -> PolarsResult<Pulled> {
    let read = u64::try_from(height).unwrap_or(u64::MAX);
    let mut carried = Vec::with_capacity(columns.len() + 1);
    for (column, name) in columns.into_iter().zip(names) {
        carried.push(as_carried(column)?.with_name(name.as_str().into()));
    }
    let positions: Vec<u64> = (first..first.saturating_add(read)).collect();
    carried.push(Series::new(RECORD_POSITION.into(), positions).into_column());
    Ok(Pulled {
        read,
        records: DataFrame::new(height, carried)?,
        rejections: Vec::new(),
        places: Vec::new(),
    })
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
    match matches!(
        data_type,
        DataType::Categorical(..) | DataType::Enum(..) | DataType::Null
    ) {
        true => DataType::String,
        false => data_type.clone(),
    }
}
