//! What a Parquet column's values are, by what Parquet itself says of them. What other libraries
//! say beside it (the type that Arrow had in mind) is heard only where Parquet's own types say
//! nothing. Source: <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>.

use polars::prelude::{DataType, TimeUnit, TimeZone};

use crate::domain::schema::{DecimalSize, SchemaType};

/// Digits of the largest decimal that 128 bits hold.
const DECIMAL_DIGITS_MAX: i64 = 38;

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Physical {
    Boolean,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    /// Of so many bytes each.
    Fixed(usize),
}

impl Physical {
    fn of(code: i64, length: Option<i64>) -> Option<Self> {
        Some(match code {
            0 => Self::Boolean,
            1 => Self::Int32,
            2 => Self::Int64,
            3 => Self::Int96,
            4 => Self::Float,
            5 => Self::Double,
            6 => Self::Bytes,
            7 => Self::Fixed(usize::try_from(length?).ok().filter(|length| *length > 0)?),
            _ => return None,
        })
    }

    /// Bytes of each value; `None` where they differ. A boolean takes a bit.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Self::Int32 | Self::Float => Some(4),
            Self::Int64 | Self::Double => Some(8),
            Self::Int96 => Some(12),
            Self::Fixed(length) => Some(length),
            Self::Boolean | Self::Bytes => None,
        }
    }
}

/// What values mean, in addition to how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Annotation {
    Nothing,
    Text,
    Enum,
    Json,
    Bson,
    Decimal {
        precision: i64,
        scale: i64,
    },
    Date,
    Time {
        unit: Unit,
    },
    Timestamp {
        unit: Unit,
        instant: bool,
    },
    Integer {
        bits: i64,
        signed: bool,
    },
    Unknown,
    Uuid,
    Float16,
    Interval,
    List,
    Map,
    /// One that came after this program.
    Other(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    pub(super) fn nanos(self) -> i64 {
        match self {
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }

    pub(super) fn time_unit(self) -> TimeUnit {
        match self {
            Self::Millis => TimeUnit::Milliseconds,
            Self::Micros => TimeUnit::Microseconds,
            Self::Nanos => TimeUnit::Nanoseconds,
        }
    }
}

/// One element of a footer's schema, as far as it tells of types.
#[derive(Debug, Clone, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) physical: Option<i64>,
    pub(super) length: Option<i64>,
    pub(super) repetition: Option<i64>,
    pub(super) children: Option<i64>,
    pub(super) converted: Option<i64>,
    pub(super) scale: Option<i64>,
    pub(super) precision: Option<i64>,
    pub(super) logical: Option<Annotation>,
}

impl Element {
    pub(super) fn is_nullable(&self) -> bool {
        self.repetition != Some(0)
    }

    /// What the column's values are.
    /// Errors: the type as messages name it, if values of it cannot be read.
    pub(super) fn kind(&self, hint: Option<Hint>) -> Result<Column, String> {
        let annotation = self.annotation()?;
        let Some(code) = self.physical else {
            return Err(nested(annotation).to_owned());
        };
        if self.repetition == Some(2) {
            return Err("list".to_owned());
        }
        let physical = Physical::of(code, self.length).ok_or_else(|| format!("number {code}"))?;
        let kind =
            kind(physical, annotation, hint).ok_or_else(|| describe(physical, annotation, hint))?;
        Ok(Column { physical, kind })
    }

    /// What the newer and the older way of saying it agree on.
    fn annotation(&self) -> Result<Annotation, String> {
        let older = self.converted.map(|code| self.older_annotation(code));
        match (self.logical, older) {
            (None, None) => Ok(Annotation::Nothing),
            (Some(only), None) | (None, Some(only)) => Ok(only),
            (Some(newer), Some(older)) if agree(newer, older) => Ok(newer),
            (Some(newer), Some(older)) => Err(format!(
                "{} and {} at once",
                annotation_name(newer),
                annotation_name(older)
            )),
        }
    }

    /// Source: `ConvertedType` of
    /// <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.
    fn older_annotation(&self, code: i64) -> Annotation {
        let integer = |bits: i64, signed: bool| Annotation::Integer { bits, signed };
        // Whether it is an instant was not said then, and many wrote wall-clock time.
        let timestamp = |unit: Unit| Annotation::Timestamp {
            unit,
            instant: false,
        };
        match code {
            0 => Annotation::Text,
            1 | 2 => Annotation::Map,
            3 => Annotation::List,
            4 => Annotation::Enum,
            5 => Annotation::Decimal {
                precision: self.precision.unwrap_or(0),
                scale: self.scale.unwrap_or(0),
            },
            6 => Annotation::Date,
            7 => Annotation::Time { unit: Unit::Millis },
            8 => Annotation::Time { unit: Unit::Micros },
            9 => timestamp(Unit::Millis),
            10 => timestamp(Unit::Micros),
            11..=14 => integer(8 << (code - 11), false),
            15..=18 => integer(8 << (code - 15), true),
            19 => Annotation::Json,
            20 => Annotation::Bson,
            21 => Annotation::Interval,
            _ => Annotation::Other(code),
        }
    }
}

fn agree(newer: Annotation, older: Annotation) -> bool {
    match (newer, older) {
        (Annotation::Timestamp { unit: newer, .. }, Annotation::Timestamp { unit: older, .. }) => {
            newer == older
        }
        _ => newer == older,
    }
}

fn nested(annotation: Annotation) -> &'static str {
    if annotation == Annotation::List {
        "list"
    } else if annotation == Annotation::Map {
        "map"
    } else {
        "struct"
    }
}

/// What Arrow had in mind where Parquet has no word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    Duration,
    Int128,
}

/// A column that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) physical: Physical,
    pub(super) kind: Kind,
}

/// What a column's values are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    /// Stored in 32 bits, and holding no more than the schema's integer of so many.
    Int32 {
        bits: u8,
    },
    UInt32,
    Int64,
    UInt64,
    /// In the machine's own order of bytes.
    Int128,
    Float16,
    Float32,
    Float64,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Date,
    Time(Unit),
    Timestamp {
        unit: Unit,
        instant: bool,
    },
    /// Nanoseconds of a day and a day, by Impala and Spark.
    Int96,
    Text,
    Uuid,
    /// A column in which nothing ever stood.
    Nothing,
}

fn kind(physical: Physical, annotation: Annotation, hint: Option<Hint>) -> Option<Kind> {
    Some(match (physical, annotation) {
        (_, Annotation::Unknown) => Kind::Nothing,
        (Physical::Boolean, Annotation::Nothing) => Kind::Boolean,
        (
            Physical::Int32,
            Annotation::Nothing
            | Annotation::Integer {
                bits: 32,
                signed: true,
            },
        )
        | (
            Physical::Int32,
            Annotation::Integer {
                bits: 16,
                signed: false,
            },
        ) => Kind::Int32 { bits: 32 },
        (
            Physical::Int32,
            Annotation::Integer { bits: 8, .. }
            | Annotation::Integer {
                bits: 16,
                signed: true,
            },
        ) => Kind::Int32 { bits: 16 },
        (
            Physical::Int32,
            Annotation::Integer {
                bits: 32,
                signed: false,
            },
        ) => Kind::UInt32,
        (Physical::Int64, Annotation::Nothing) if hint == Some(Hint::Duration) => return None,
        (
            Physical::Int64,
            Annotation::Nothing
            | Annotation::Integer {
                bits: 64,
                signed: true,
            },
        ) => Kind::Int64,
        (
            Physical::Int64,
            Annotation::Integer {
                bits: 64,
                signed: false,
            },
        ) => Kind::UInt64,
        (Physical::Int32, Annotation::Date) => Kind::Date,
        (
            Physical::Int32,
            Annotation::Time {
                unit: unit @ Unit::Millis,
            },
        ) => Kind::Time(unit),
        (
            Physical::Int64,
            Annotation::Time {
                unit: unit @ (Unit::Micros | Unit::Nanos),
            },
        ) => Kind::Time(unit),
        (Physical::Int64, Annotation::Timestamp { unit, instant }) => {
            Kind::Timestamp { unit, instant }
        }
        (Physical::Int96, Annotation::Nothing) => Kind::Int96,
        (Physical::Float, Annotation::Nothing) => Kind::Float32,
        (Physical::Double, Annotation::Nothing) => Kind::Float64,
        (Physical::Bytes, Annotation::Text | Annotation::Enum | Annotation::Json) => Kind::Text,
        (Physical::Fixed(16), Annotation::Uuid) => Kind::Uuid,
        (Physical::Fixed(2), Annotation::Float16) => Kind::Float16,
        (Physical::Fixed(16), Annotation::Nothing) if hint == Some(Hint::Int128) => Kind::Int128,
        (Physical::Fixed(length), Annotation::Decimal { .. }) if length > 16 => return None,
        (
            Physical::Int32 | Physical::Int64 | Physical::Bytes | Physical::Fixed(_),
            Annotation::Decimal { precision, scale },
        ) if (1..=DECIMAL_DIGITS_MAX).contains(&precision) && (0..=precision).contains(&scale) => {
            Kind::Decimal {
                precision: usize::try_from(precision).ok()?,
                scale: usize::try_from(scale).ok()?,
            }
        }
        _ => return None,
    })
}

/// A type that cannot be read, as messages name it.
fn describe(physical: Physical, annotation: Annotation, hint: Option<Hint>) -> String {
    match (physical, annotation) {
        (_, Annotation::Nothing) if hint == Some(Hint::Duration) => "duration".to_owned(),
        (Physical::Bytes, Annotation::Nothing) => "binary".to_owned(),
        (Physical::Fixed(length), Annotation::Nothing) => format!("binary of {length} bytes"),
        (physical, annotation) => format!(
            "{} in {}",
            annotation_name(annotation),
            physical_name(physical)
        ),
    }
}

fn physical_name(physical: Physical) -> String {
    match physical {
        Physical::Boolean => "a bit".to_owned(),
        Physical::Int32 => "an integer of 32 bits".to_owned(),
        Physical::Int64 => "an integer of 64 bits".to_owned(),
        Physical::Int96 => "96 bits".to_owned(),
        Physical::Float => "a float of 32 bits".to_owned(),
        Physical::Double => "a float of 64 bits".to_owned(),
        Physical::Bytes => "bytes".to_owned(),
        Physical::Fixed(length) => format!("{length} bytes"),
    }
}

fn annotation_name(annotation: Annotation) -> String {
    let unit_name = |unit: Unit| match unit {
        Unit::Millis => "milliseconds",
        Unit::Micros => "microseconds",
        Unit::Nanos => "nanoseconds",
    };
    match annotation {
        Annotation::Nothing => "no type".to_owned(),
        Annotation::Text => "text".to_owned(),
        Annotation::Enum => "enum".to_owned(),
        Annotation::Json => "JSON".to_owned(),
        Annotation::Bson => "BSON".to_owned(),
        Annotation::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
        Annotation::Date => "date".to_owned(),
        Annotation::Time { unit } => format!("time in {}", unit_name(unit)),
        Annotation::Timestamp { unit, .. } => format!("timestamp in {}", unit_name(unit)),
        Annotation::Integer { bits, signed: true } => format!("integer of {bits} bits"),
        Annotation::Integer {
            bits,
            signed: false,
        } => format!("unsigned integer of {bits} bits"),
        Annotation::Unknown => "nothing".to_owned(),
        Annotation::Uuid => "UUID".to_owned(),
        Annotation::Float16 => "half float".to_owned(),
        Annotation::Interval => "interval".to_owned(),
        Annotation::List => "list".to_owned(),
        Annotation::Map => "map".to_owned(),
        Annotation::Other(code) => format!("annotation {code}"),
    }
}

impl Kind {
    /// The type of the frames' columns.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int32 { .. } => DataType::Int32,
            Self::UInt32 => DataType::UInt32,
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
            Self::Int128 => DataType::Int128,
            Self::Float16 | Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal(precision, scale),
            Self::Date => DataType::Date,
            Self::Time(_) => DataType::Time,
            Self::Timestamp { unit, instant } => {
                DataType::Datetime(unit.time_unit(), instant.then_some(TimeZone::UTC))
            }
            Self::Int96 => DataType::Datetime(TimeUnit::Microseconds, None),
            Self::Text | Self::Uuid | Self::Nothing => DataType::String,
        }
    }

    /// The schema's type for it.
    pub(super) fn schema_type(self) -> SchemaType {
        let decimal = |precision: usize, scale: usize| {
            let digits = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
            SchemaType::Decimal {
                size: Some(DecimalSize {
                    precision: digits(precision),
                    scale: digits(scale),
                }),
            }
        };
        match self {
            Self::Boolean => SchemaType::Boolean,
            Self::Int32 { bits } => SchemaType::Integer { bits },
            Self::Int64 | Self::UInt32 => SchemaType::Integer { bits: 64 },
            Self::UInt64 => decimal(20, 0),
            Self::Int128 => SchemaType::Decimal { size: None },
            Self::Float16 | Self::Float32 => SchemaType::Float { bits: 32 },
            Self::Float64 => SchemaType::Float { bits: 64 },
            Self::Decimal { precision, scale } => decimal(precision, scale),
            Self::Date => SchemaType::Date,
            Self::Time(_) => SchemaType::Time,
            Self::Timestamp { instant: false, .. } | Self::Int96 => SchemaType::Timestamp,
            Self::Timestamp { instant: true, .. } => SchemaType::TimestampWithZone,
            Self::Text | Self::Nothing => SchemaType::Text {
                characters_max: None,
            },
            Self::Uuid => SchemaType::Uuid,
        }
    }
}
