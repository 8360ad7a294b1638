//! A write-back schema: the source's columns, their types and the unique identifier, as `sql/*.sql`
//! declares them.

use std::fmt;
use std::sync::Arc;

use super::problem::Location;
use super::value::Kind;

/// Digits of a `DECIMAL(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecimalSize {
    /// Digits in all.
    pub(crate) precision: u16,
    /// Digits after the point.
    pub(crate) scale: u16,
}

/// What a schema column holds; [`SchemaType::kind`] says how its values are represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaType {
    /// `CHAR(n)`, `VARCHAR(n)`, `TEXT`.
    Text {
        characters_max: Option<u32>,
    },
    /// `SMALLINT`, `INTEGER`, `BIGINT`: 16, 32 or 64 bits, signed.
    Integer {
        bits: u8,
    },
    /// `DECIMAL(p,s)`; without a size any number of digits.
    Decimal {
        size: Option<DecimalSize>,
    },
    /// `REAL`: 32 bits; `DOUBLE PRECISION`: 64 bits.
    Float {
        bits: u8,
    },
    Boolean,
    Date,
    /// Microseconds.
    Time,
    /// Microseconds, on a wall whose place nobody told.
    Timestamp,
    /// Microseconds, an instant.
    TimestampWithZone,
    Uuid,
    Json,
}

impl SchemaType {
    /// How conformed values of this type are represented.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Text { .. } => Kind::Text,
            Self::Integer { .. } => Kind::Integer,
            Self::Decimal { .. } => Kind::Decimal,
            Self::Float { bits: 32 } => Kind::Float32,
            Self::Float { .. } => Kind::Float64,
            Self::Boolean => Kind::Boolean,
            Self::Date => Kind::Date,
            Self::Time => Kind::Time,
            Self::Timestamp => Kind::Timestamp,
            Self::TimestampWithZone => Kind::Instant,
            Self::Uuid => Kind::Uuid,
            Self::Json => Kind::Json,
        }
    }
}

impl fmt::Display for SchemaType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                characters_max: Some(characters),
            } => write!(formatter, "VARCHAR({characters})"),
            Self::Text {
                characters_max: None,
            } => write!(formatter, "TEXT"),
            Self::Integer { bits: 16 } => write!(formatter, "SMALLINT"),
            Self::Integer { bits: 32 } => write!(formatter, "INTEGER"),
            Self::Integer { .. } => write!(formatter, "BIGINT"),
            Self::Decimal {
                size: Some(DecimalSize { precision, scale }),
            } => {
                write!(formatter, "DECIMAL({precision},{scale})")
            }
            Self::Decimal { size: None } => write!(formatter, "DECIMAL"),
            Self::Float { bits: 32 } => write!(formatter, "REAL"),
            Self::Float { .. } => write!(formatter, "DOUBLE PRECISION"),
            Self::Boolean => write!(formatter, "BOOLEAN"),
            Self::Date => write!(formatter, "DATE"),
            Self::Time => write!(formatter, "TIME"),
            Self::Timestamp => write!(formatter, "TIMESTAMP"),
            Self::TimestampWithZone => write!(formatter, "TIMESTAMP WITH TIME ZONE"),
            Self::Uuid => write!(formatter, "UUID"),
            Self::Json => write!(formatter, "JSON"),
        }
    }
}

/// One column of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaColumn {
    pub(crate) name: String,
    pub(crate) column_type: SchemaType,
    pub(crate) nullable: bool,
    pub(crate) location: Location,
}

/// One file of `sql/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    /// The table's name: what is pulled when there is no model. One to three parts, as written
    /// between the dots.
    pub(crate) table: Vec<String>,
    pub(crate) columns: Vec<SchemaColumn>,
    /// Positions in `columns` of the unique identifier's parts, in the order of `PRIMARY KEY (…)`.
    /// Never empty.
    pub(crate) key: Vec<usize>,
    /// The `SELECT` after the `CREATE TABLE`, in the source's own dialect, as written.
    pub(crate) model: Option<String>,
    /// Where the model begins in the file.
    pub(crate) model_location: Option<Location>,
    /// As people type it: relative to the project's root.
    pub(crate) file: Arc<str>,
}

impl Schema {
    pub(crate) fn key_columns(&self) -> impl Iterator<Item = &SchemaColumn> {
        self.key
            .iter()
            .filter_map(|position| self.columns.get(*position))
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
