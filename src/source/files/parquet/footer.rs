//! A Parquet file's footer: which columns there are, and where each row group has them. Read by
//! ourselves, since its words decide what is opened, held and believed: a column that nobody wants
//! is not looked at, however odd it is. Source:
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use polars_arrow::datatypes::ArrowDataType;
use polars_parquet::read::schema::read_schema_from_metadata;

use super::kind::{Annotation, Column, Element, Hint, Unit};
use super::thrift::{Field, Malformed, Thrift};
use crate::library;

/// Bytes of the longest footer. A gigabyte of records takes some ten kilobytes for each column.
const FOOTER_BYTES_MAX: u64 = 16 << 20;

/// Columns of one file, those within others counted; more of them are data used as names.
const COLUMNS_MAX: usize = 65_536;

/// Where Arrow's libraries write down the types they had in mind.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// What a file says of itself.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(super) columns: Vec<FileColumn>,
    pub(super) row_groups: Vec<RowGroup>,
    /// Bytes of the file before the footer: nothing else lies further back.
    pub(super) data_end: u64,
}

/// One column as the file names it.
#[derive(Debug, Clone)]
pub(super) struct FileColumn {
    pub(super) name: String,
    /// What it holds; the type as messages name it, if that cannot be read.
    pub(super) column: Result<Column, String>,
    pub(super) nullable: bool,
    /// Position of its chunk within each row group.
    pub(super) leaf: usize,
}

/// A part of the records.
#[derive(Debug, Default)]
pub(super) struct RowGroup {
    pub(super) records: Option<i64>,
    pub(super) chunks: Vec<Chunk>,
}

/// The values of one column in one row group, in the file's own words.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) physical: Option<i64>,
    pub(super) codec: Option<i64>,
    pub(super) values: Option<i64>,
    /// Bytes of all pages, as they lie in the file.
    pub(super) length: Option<i64>,
    pub(super) data_page: Option<i64>,
    pub(super) dictionary_page: Option<i64>,
    pub(super) is_encrypted: bool,
    /// Whether its pages lie in another file.
    pub(super) is_elsewhere: bool,
}

/// Why a file is no Parquet file that can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FooterError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a Parquet file: {0}")]
    NotParquet(&'static str),
    #[error("its footer is encrypted")]
    Encrypted,
    #[error("its footer of {bytes} bytes is longer than the {} MiB that are read", FOOTER_BYTES_MAX >> 20)]
    TooLong { bytes: u64 },
    #[error("its footer is damaged: {0}")]
    Damaged(String),
}

impl From<Malformed> for FooterError {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(match malformed {
            Malformed::CutShort => "it ends too soon".to_owned(),
            Malformed::Invalid => "it is not written as footers are".to_owned(),
        })
    }
}

impl FooterError {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Io(_) => None,
            Self::Encrypted => Some("let the file be written without encryption".to_owned()),
            Self::TooLong { .. } => {
                Some("let the file be written in larger row groups, or in several files".to_owned())
            }
            Self::NotParquet(_) | Self::Damaged(_) => {
                Some("is it a whole Parquet file?".to_owned())
            }
        }
    }
}

impl Footer {
    pub(super) fn read(file: &File, file_length: u64) -> Result<Self, FooterError> {
        const HEAD: u64 = 4;
        const TAIL: u64 = 8;
        if file_length < HEAD + TAIL {
            return Err(FooterError::NotParquet("it is too short for one"));
        }
        let (mut head, mut tail) = ([0; 4], [0; 8]);
        file.read_exact_at(&mut head, 0)?;
        file.read_exact_at(&mut tail, file_length - TAIL)?;
        let [length @ .., m, a, g, i] = tail;
        match (&head, &[m, a, g, i]) {
            (b"PAR1", b"PAR1") => {}
            (b"PARE", b"PARE") => return Err(FooterError::Encrypted),
            (b"PAR1", _) => return Err(FooterError::NotParquet("it does not end as one does")),
            (_, _) => return Err(FooterError::NotParquet("it does not begin as one does")),
        }
        let bytes = u64::from(u32::from_le_bytes(length));
        let data_end = (file_length - TAIL)
            .checked_sub(bytes)
            .filter(|start| *start >= HEAD)
            .ok_or_else(|| FooterError::Damaged("it is longer than the file".to_owned()))?;
        if bytes > FOOTER_BYTES_MAX {
            return Err(FooterError::TooLong { bytes });
        }
        let mut footer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut footer, data_end)?;
        Self::parse(&footer, data_end)
    }

    fn parse(bytes: &[u8], data_end: u64) -> Result<Self, FooterError> {
        let mut thrift = Thrift::new(bytes);
        let (mut elements, mut row_groups, mut arrow_schema, mut records) =
            (Vec::new(), Vec::new(), None, None);
        let mut has_too_many = false;
        thrift
            .root(|thrift, field| match field.id {
                2 => thrift.structures(field, |thrift| {
                    has_too_many |= elements.len() > COLUMNS_MAX;
                    if has_too_many {
                        return Err(Malformed::Invalid);
                    }
                    elements.push(element(thrift)?);
                    Ok(())
                }),
                3 => thrift.integer(field, &mut records),
                4 => thrift.structures(field, |thrift| {
                    row_groups.push(row_group(thrift)?);
                    Ok(())
                }),
                5 => thrift.structures(field, |thrift| {
                    if let Some((ARROW_SCHEMA, value)) = key_value(thrift)? {
                        arrow_schema = Some(value);
                    }
                    Ok(())
                }),
                _ => Ok(false),
            })
            .map_err(|malformed| match has_too_many {
                true => FooterError::Damaged(format!("it has more than {COLUMNS_MAX} columns")),
                false => malformed.into(),
            })?;
        let hints = arrow_schema.map(hints).unwrap_or_default();
        let columns = columns(&elements, &hints)?;
        check_counts(&elements, &row_groups, records)?;
        Ok(Self {
            columns,
            row_groups,
            data_end,
        })
    }
}

/// Whether row groups have a chunk for each column and hold as many records together as the file
/// says.
fn check_counts(
    elements: &[Element],
    row_groups: &[RowGroup],
    records: Option<i64>,
) -> Result<(), FooterError> {
    let leaves = elements
        .iter()
        .filter(|element| element.physical.is_some())
        .count();
    let mut counted = 0_i64;
    for (index, group) in row_groups.iter().enumerate() {
        if group.chunks.len() != leaves {
            let cause = format!(
                "row group {index} has {} columns where the file has {leaves}",
                group.chunks.len()
            );
            return Err(FooterError::Damaged(cause));
        }
        counted = group
            .records
            .filter(|records| *records >= 0)
            .and_then(|records| counted.checked_add(records))
            .ok_or_else(|| {
                FooterError::Damaged(format!(
                    "row group {index} does not say how many records it has"
                ))
            })?;
    }
    match records {
        Some(records) if records == counted => Ok(()),
        _ => Err(FooterError::Damaged(format!(
            "its row groups have {counted} records, the file another number"
        ))),
    }
}

/// The outermost columns. Elements come depth first, each group with the number of its children.
fn columns(
    elements: &[Element],
    hints: &HashMap<String, Hint>,
) -> Result<Vec<FileColumn>, FooterError> {
    let damaged = || FooterError::Damaged("its columns do not make a tree".to_owned());
    let (root, mut rest) = elements.split_first().ok_or_else(damaged)?;
    let count = root
        .children
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(damaged)?;
    let (mut columns, mut leaf) = (Vec::new(), 0);
    for _ in 0..count {
        let first = rest.first().ok_or_else(damaged)?;
        columns.push(FileColumn {
            name: first.name.clone(),
            column: first.kind(hints.get(&first.name).copied()),
            nullable: first.is_nullable(),
            leaf,
        });
        let mut open = 1_usize;
        while open > 0 {
            let (element, others) = rest.split_first().ok_or_else(damaged)?;
            let children = match element.physical {
                Some(_) => 0,
                None => usize::try_from(element.children.unwrap_or(0)).map_err(|_| damaged())?,
            };
            open = (open - 1).checked_add(children).ok_or_else(damaged)?;
            leaf += usize::from(element.physical.is_some());
            rest = others;
        }
    }
    if rest.is_empty() {
        Ok(columns)
    } else {
        Err(damaged())
    }
}

fn element(thrift: &mut Thrift<'_>) -> Result<Element, Malformed> {
    let mut element = Element::default();
    thrift.root(|thrift, field| match field.id {
        1 => thrift.integer(field, &mut element.physical),
        2 => thrift.integer(field, &mut element.length),
        3 => thrift.integer(field, &mut element.repetition),
        4 => {
            element.name = std::str::from_utf8(thrift.binary(field)?)
                .map_err(|_| Malformed::Invalid)?
                .to_owned();
            Ok(true)
        }
        5 => thrift.integer(field, &mut element.children),
        6 => thrift.integer(field, &mut element.converted),
        7 => thrift.integer(field, &mut element.scale),
        8 => thrift.integer(field, &mut element.precision),
        10 => {
            element.logical = annotation(thrift, field)?;
            Ok(true)
        }
        _ => Ok(false),
    })?;
    Ok(element)
}

/// The one member of the union `LogicalType` that is set.
fn annotation(thrift: &mut Thrift<'_>, field: Field) -> Result<Option<Annotation>, Malformed> {
    let mut found = None;
    thrift.structure(field, |thrift, member| {
        let (mut first, mut second, mut flag, mut unit) = (None, None, None, None);
        thrift.structure(member, |thrift, part| match (member.id, part.id) {
            (5, 1) | (10, 1) => thrift.integer(part, &mut first),
            (5, 2) => thrift.integer(part, &mut second),
            (7 | 8, 1) | (10, 2) => thrift.boolean(part, &mut flag),
            (7 | 8, 2) => thrift.structure(part, |_, member| {
                unit = Some(member.id);
                Ok(false)
            }),
            _ => Ok(false),
        })?;
        let unit = match unit {
            Some(1) => Some(Unit::Millis),
            Some(2) => Some(Unit::Micros),
            Some(3) => Some(Unit::Nanos),
            _ => None,
        };
        found = Some(match (member.id, unit) {
            (1, _) => Annotation::Text,
            (2, _) => Annotation::Map,
            (3, _) => Annotation::List,
            (4, _) => Annotation::Enum,
            (5, _) => Annotation::Decimal {
                precision: second.unwrap_or(0),
                scale: first.unwrap_or(0),
            },
            (6, _) => Annotation::Date,
            (7, Some(unit)) => Annotation::Time { unit },
            (8, Some(unit)) => Annotation::Timestamp {
                unit,
                instant: flag.unwrap_or(false),
            },
            (10, _) => Annotation::Integer {
                bits: first.unwrap_or(0),
                signed: flag.unwrap_or(true),
            },
            (11, _) => Annotation::Unknown,
            (12, _) => Annotation::Json,
            (13, _) => Annotation::Bson,
            (14, _) => Annotation::Uuid,
            (15, _) => Annotation::Float16,
            (other, _) => Annotation::Other(other),
        });
        Ok(true)
    })?;
    Ok(found)
}

fn row_group(thrift: &mut Thrift<'_>) -> Result<RowGroup, Malformed> {
    let mut group = RowGroup::default();
    thrift.root(|thrift, field| match field.id {
        1 => thrift.structures(field, |thrift| {
            group.chunks.push(chunk(thrift)?);
            Ok(())
        }),
        3 => thrift.integer(field, &mut group.records),
        _ => Ok(false),
    })?;
    Ok(group)
}

fn chunk(thrift: &mut Thrift<'_>) -> Result<Chunk, Malformed> {
    let mut chunk = Chunk::default();
    thrift.root(|thrift, field| match field.id {
        1 => {
            chunk.is_elsewhere = !thrift.binary(field)?.is_empty();
            Ok(true)
        }
        3 => thrift.structure(field, |thrift, field| match field.id {
            1 => thrift.integer(field, &mut chunk.physical),
            4 => thrift.integer(field, &mut chunk.codec),
            5 => thrift.integer(field, &mut chunk.values),
            7 => thrift.integer(field, &mut chunk.length),
            9 => thrift.integer(field, &mut chunk.data_page),
            11 => thrift.integer(field, &mut chunk.dictionary_page),
            _ => Ok(false),
        }),
        8 | 9 => {
            chunk.is_encrypted = true;
            Ok(false)
        }
        _ => Ok(false),
    })?;
    Ok(chunk)
}

fn key_value<'a>(thrift: &mut Thrift<'a>) -> Result<Option<(&'a str, &'a str)>, Malformed> {
    let (mut key, mut value) = (None, None);
    thrift.root(|thrift, field| match field.id {
        1 => {
            key = Some(thrift.binary(field)?);
            Ok(true)
        }
        2 => {
            value = Some(thrift.binary(field)?);
            Ok(true)
        }
        _ => Ok(false),
    })?;
    let text = |bytes: Option<&'a [u8]>| std::str::from_utf8(bytes?).ok();
    Ok(text(key).zip(text(value)))
}

/// The columns of which Arrow says more than Parquet does. What cannot be made sense of hints at
/// nothing.
fn hints(encoded: &str) -> HashMap<String, Hint> {
    let read = || read_schema_from_metadata(&mut [(ARROW_SCHEMA.into(), encoded.into())].into());
    let Ok(Ok(Some(schema))) = library::guarded(read) else {
        return HashMap::new();
    };
    let hint = |data_type: &ArrowDataType| {
        let is_duration = matches!(data_type, ArrowDataType::Duration(_));
        is_duration
            .then_some(Hint::Duration)
            .or((*data_type == ArrowDataType::Int128).then_some(Hint::Int128))
    };
    schema
        .iter_values()
        .filter_map(|field| Some((field.name.to_string(), hint(&field.dtype)?)))
        .collect()
}
