//! Reads one table, whatever its format and however many files hold it.

use polars::prelude::{DataType, Field, Schema as FrameSchema};

use super::bytes::Text;
use super::csv::CsvReader;
use super::folder::OpenTable;
use super::ndjson::NdjsonReader;
use super::parquet::ParquetTable;
use super::wanted::{Selection, Wanted};
use crate::domain::error::SystemError;
use crate::domain::files::FileFormat;
use crate::source::Pulled;

/// A reader of one table, whatever its format and however many files hold it.
pub(super) struct TableReader<'a> {
    pub(super) table: &'a OpenTable,
    /// Position of the file that comes next.
    pub(super) next_part: usize,
    pub(super) reader: FileReader,
}

/// A reader of the file at hand.
pub(super) enum FileReader {
    Csv(CsvReader<Text>),
    Ndjson(NdjsonReader<Text>),
    Parquet(ParquetTable),
}

impl<'a> TableReader<'a> {
    /// Begins to read. NDJSON whose keys are not named by the wanted columns is read twice, first
    /// for all its keys.
    pub(super) fn open(table: &'a OpenTable, wanted: Wanted<'_>) -> Result<Self, SystemError> {
        Self::begin(table, wanted, |mut first_pass| {
            while first_pass.next_chunk()?.is_some() {}
            Ok(first_pass)
        })
    }

    /// As [`TableReader::open`] with [`Wanted::All`], for who looks at the first `records_max`
    /// records alone.
    pub(super) fn open_sample(
        table: &'a OpenTable,
        records_max: usize,
    ) -> Result<Self, SystemError> {
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

    pub(super) fn begin(
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
            (FileFormat::Csv, _) => FileReader::Csv(CsvReader::open(&first, wanted)?),
            (FileFormat::Parquet, _) => FileReader::Parquet(ParquetTable::open(&first, wanted)?),
            (FileFormat::Ndjson, Wanted::Columns(selection)) => {
                FileReader::Ndjson(NdjsonReader::open(&first, selection)?)
            }
            (FileFormat::Ndjson, Wanted::All | Wanted::Mentioned(_)) => {
                let keyless = Selection::named(Vec::new());
                let first_pass = open(FileReader::Ndjson(NdjsonReader::open(&first, &keyless)?));
                let FileReader::Ndjson(first_pass) = look_through(first_pass)?.reader else {
                    return Err(table.table.failed("it changed its format"));
                };
                let selection = Selection::named(first_pass.keys());
                FileReader::Ndjson(NdjsonReader::open(&first, &selection)?)
            }
        }))
    }

    /// Names of the columns, as the file has them where they are not wanted by name.
    pub(super) fn names(&self) -> Vec<String> {
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
    pub(super) fn frame_schema(
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

    pub(super) fn next_chunk(&mut self) -> Result<Option<Pulled>, SystemError> {
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
