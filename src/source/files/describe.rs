//! Describes a file's table for `writeback schema`. Parquet says itself what it holds; for CSV and
//! newline-delimited JSON the first records suggest it, and a suggestion is all it is: the schema
//! decides.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use polars::prelude::{Column, DataFrame, DataType};
use serde::de::IgnoredAny;

use super::folder::{Folder, OpenTable};
use super::parquet::columns_of;
use super::table_reader::TableReader;
use super::wanted::{Selection, Wanted};
use crate::domain::error::SystemError;
use crate::domain::files::{CellKind, CsvDialect, FileFormat, FilesSettings};
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::{DecimalSize, SchemaType};
use crate::source::{DescribedColumn, TableDescription};

/// Records looked at: enough to meet the unusual ones, few enough that nobody waits.
const SAMPLE_RECORDS_MAX: usize = 10_000;

/// Lengths suggested for text, in characters; what is longer becomes `TEXT`.
const TEXT_LENGTHS: [u32; 5] = [16, 32, 64, 128, 255];

/// Describes `table` (dotted, as typed) of a folder.
pub(super) fn describe(
    connection: &str,
    settings: &FilesSettings,
    table: &str,
) -> Result<TableDescription, SystemError> {
    let folder = Folder::list(connection, settings)?;
    // A file's name may hold dots of its own; only if no such file is there, the last part is what
    // counts.
    let file = match folder.find(table) {
        Err(SystemError::NotFound { .. }) if table.contains('.') => {
            folder.find(table.rsplit('.').next().unwrap_or(table))?
        }
        found => found?,
    };
    let name = vec![file.table.clone()];
    let file = file.open()?;
    let (columns, primary_key, unique) = match file.table.format {
        FileFormat::Parquet => describe_parquet(&file)?,
        FileFormat::Csv => describe_text(sample(&file)?, "text in CSV", &settings.dialect),
        FileFormat::Ndjson => {
            describe_text(sample(&file)?, "a value in JSON", &CsvDialect::default())
        }
    };
    file.check_unchanged()?;
    Ok(TableDescription {
        name,
        columns,
        primary_key,
        unique,
    })
}

/// Columns, those of the primary key, and those that are unique.
type Described = (Vec<DescribedColumn>, Vec<String>, Vec<String>);

fn describe_parquet(file: &OpenTable) -> Result<Described, SystemError> {
    let columns: Vec<DescribedColumn> = columns_of(&file.first()?)?
        .into_iter()
        .map(|column| DescribedColumn {
            name: column.name,
            column_type: column.schema_type,
            declared: column.declared,
            nullable: column.nullable,
        })
        .collect();
    let mut primary_key = Vec::new();
    if let Some(first) = columns
        .first()
        .filter(|first| is_named_like_key(&first.name) && first.column_type.is_some())
    {
        let selection = Selection::named(vec![first.name.clone()]);
        let mut reader = TableReader::open(file, Wanted::Columns(&selection))?;
        let sample = reader
            .next_chunk()?
            .map(|pulled| pulled.records.head(Some(SAMPLE_RECORDS_MAX)));
        if sample
            .as_ref()
            .and_then(first_column)
            .is_some_and(is_unique)
        {
            primary_key.push(first.name.clone());
        }
    }
    let is_key = |column: &DescribedColumn| primary_key.contains(&column.name);
    let columns = columns
        .iter()
        .map(|column| DescribedColumn {
            nullable: column.nullable && !is_key(column),
            ..column.clone()
        })
        .collect();
    let unique = primary_key.clone();
    Ok((columns, primary_key, unique))
}

fn first_column(sample: &DataFrame) -> Option<&Column> {
    sample.columns().first()
}

fn decimal_size(precision: usize, scale: usize) -> Option<DecimalSize> {
    Some(DecimalSize {
        precision: u16::try_from(precision).ok()?,
        scale: u16::try_from(scale).ok()?,
    })
}

/// The first records; of NDJSON, the keys that occur among them.
fn sample(file: &OpenTable) -> Result<DataFrame, SystemError> {
    let mut reader = TableReader::open_sample(file, SAMPLE_RECORDS_MAX)?;
    let mut sample = empty(file, &reader.names())?;
    while sample.height() < SAMPLE_RECORDS_MAX
        && let Some(pulled) = reader.next_chunk()?
    {
        let records = pulled
            .records
            .drop(RECORD_POSITION)
            .map_err(|error| file.table.failed(error))?;
        sample
            .vstack_mut(&records)
            .map_err(|error| file.table.failed(error))?;
    }
    Ok(sample)
}

fn empty(file: &OpenTable, names: &[String]) -> Result<DataFrame, SystemError> {
    let columns = names
        .iter()
        .map(|name| Column::new_empty(name.as_str().into(), &DataType::String))
        .collect();
    DataFrame::new(0, columns).map_err(|error| file.table.failed(error))
}

/// Shape: `sample` is `(records, columns of text)`.
fn describe_text(sample: DataFrame, declared: &str, dialect: &CsvDialect) -> Described {
    let sample = sample.head(Some(SAMPLE_RECORDS_MAX));
    let read: Vec<&Column> = sample.columns().iter().collect();
    let unique = read.iter().filter(|column| is_unique(column));
    let unique: Vec<String> = unique.map(|column| column.name().to_string()).collect();
    let named = unique.iter().find(|name| is_named_like_key(name));
    let key = named.map(String::as_str);
    let column = |column: &&Column| {
        let evidence = Evidence::of(column, dialect);
        DescribedColumn {
            name: column.name().to_string(),
            column_type: Some(evidence.suggest()),
            declared: declared.to_owned(),
            // A file without records says nothing against NULL.
            nullable: (evidence.nulls || evidence.values == 0)
                && key != Some(column.name().as_str()),
        }
    };
    (
        read.iter().map(column).collect(),
        key.map(str::to_owned).into_iter().collect(),
        unique.clone(),
    )
}

/// `account_id`, `ID`, `candidateId`, `uuid`: names that people give to identifiers.
fn is_named_like_key(name: &str) -> bool {
    let lower = name.to_lowercase();
    let whole = ["id", "key", "uuid", "guid"].contains(&lower.as_str());
    let ending = ["_id", "_key", "_uuid", "_guid", " id"]
        .iter()
        .any(|ending| lower.ends_with(ending));
    whole || ending || name.ends_with("Id") || name.ends_with("ID")
}

/// Whether a column has values, no NULL among them and none twice.
fn is_unique(column: &Column) -> bool {
    if column.is_empty() || column.null_count() > 0 {
        return false;
    }
    match column.str() {
        Ok(texts) => {
            let mut seen = HashSet::with_capacity(texts.len());
            texts.iter().flatten().all(|text| seen.insert(text))
        }
        Err(_) => column.n_unique().is_ok_and(|unique| unique == column.len()),
    }
}

/// What a column's values have in common. Each flag holds for every value seen.
#[derive(Debug)]
struct Evidence {
    values: usize,
    nulls: bool,
    characters_max: usize,
    number: Option<Number>,
    float: bool,
    boolean: bool,
    date: bool,
    timestamp: bool,
    instant: bool,
    uuid: bool,
    json: bool,
}

/// The widest whole and decimal numbers seen, in digits.
#[derive(Debug, Clone, Copy, Default)]
struct Number {
    whole_digits: usize,
    scale: usize,
    bits: u8,
}

impl Evidence {
    fn of(column: &Column, dialect: &CsvDialect) -> Self {
        let mut evidence = Self {
            values: 0,
            nulls: false,
            characters_max: 0,
            number: Some(Number::default()),
            float: true,
            boolean: true,
            date: true,
            timestamp: true,
            instant: true,
            uuid: true,
            json: true,
        };
        for value in column.str().into_iter().flat_map(|texts| texts.iter()) {
            match value {
                Some(text) => evidence.add(text, dialect),
                None => evidence.nulls = true,
            }
        }
        evidence
    }

    fn add(&mut self, text: &str, dialect: &CsvDialect) {
        self.values += 1;
        self.characters_max = self.characters_max.max(text.chars().count());
        let number = dialect.plain(text, CellKind::Number).unwrap_or_default();
        self.number = self.number.and_then(|found| found.widened(&number));
        self.float = self.float && is_float(&number);
        self.boolean =
            self.boolean && matches!(text, "true" | "false" | "TRUE" | "FALSE" | "True" | "False");
        let date = dialect.plain(text, CellKind::Date).unwrap_or_default();
        self.date =
            self.date && date.len() == 10 && NaiveDate::parse_from_str(&date, "%Y-%m-%d").is_ok();
        self.timestamp = self.timestamp && is_timestamp(&date);
        self.instant = self.instant && is_instant(&date);
        self.uuid = self.uuid && text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
        self.json = self.json
            && text.starts_with(['{', '['])
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
    }

    /// The narrowest type that holds every value seen; text where nothing was.
    fn suggest(&self) -> SchemaType {
        match self {
            Self { values: 0, .. } => SchemaType::Text {
                characters_max: None,
            },
            Self { boolean: true, .. } => SchemaType::Boolean,
            Self {
                number: Some(number),
                ..
            } => number.suggest(),
            Self { float: true, .. } => SchemaType::Float { bits: 64 },
            Self { date: true, .. } => SchemaType::Date,
            Self {
                timestamp: true, ..
            } => SchemaType::Timestamp,
            Self { instant: true, .. } => SchemaType::TimestampWithZone,
            Self { uuid: true, .. } => SchemaType::Uuid,
            Self { json: true, .. } => SchemaType::Json,
            Self { characters_max, .. } => SchemaType::Text {
                characters_max: text_length(*characters_max),
            },
        }
    }
}

fn text_length(characters: usize) -> Option<u32> {
    let characters = u32::try_from(characters).ok()?;
    TEXT_LENGTHS
        .into_iter()
        .find(|length| *length >= characters)
}

impl Number {
    /// Wide enough for `text` as well; `None` if it is no plain number, or one with leading zeros,
    /// which is a key.
    fn widened(self, text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty()
            || leading_zero
            || !all_digits(whole)
            || !all_digits(fraction)
            || digits.ends_with('.')
        {
            return None;
        }
        let bits = match (text.parse::<i32>(), text.parse::<i64>()) {
            (Ok(_), _) => 32,
            (Err(_), Ok(_)) => 64,
            (Err(_), Err(_)) => 128,
        };
        Some(Self {
            whole_digits: self.whole_digits.max(whole.len()),
            scale: self.scale.max(fraction.len()),
            bits: self.bits.max(bits),
        })
    }

    fn suggest(self) -> SchemaType {
        match self {
            Self {
                scale: 0,
                bits: 0..=32,
                ..
            } => SchemaType::Integer { bits: 32 },
            Self {
                scale: 0,
                bits: 33..=64,
                ..
            } => SchemaType::Integer { bits: 64 },
            Self {
                whole_digits,
                scale,
                ..
            } => SchemaType::Decimal {
                size: decimal_size(whole_digits + scale, scale),
            },
        }
    }
}

/// A number with an exponent somewhere in its column.
fn is_float(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    let leading_zero = {
        let digits = text.strip_prefix('-').unwrap_or(text);
        digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
    };
    plain && !leading_zero && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_timestamp(text: &str) -> bool {
    [
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M",
    ]
    .iter()
    .any(|format| NaiveDateTime::parse_from_str(text, format).is_ok())
}

fn is_instant(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
        || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").is_ok()
        || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %#z").is_ok()
}
