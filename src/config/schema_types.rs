//! Types of schema SQL: what users write and what it means here.

use sqlparser::ast::{CharLengthUnits, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use crate::domain::schema::{DecimalSize, SchemaType};

/// Digits that travel exactly.
const PRECISION_MAX: u64 = 38;
/// Digits of a second's fraction: microseconds.
const FRACTION_DIGITS_MAX: u64 = 6;
/// Binary digits that a 32-bit float holds; with one more it takes 64 bits.
const FLOAT32_DIGITS_MAX: u64 = 24;
const FLOAT64_DIGITS_MIN: u64 = FLOAT32_DIGITS_MAX + 1;
const FLOAT64_DIGITS_MAX: u64 = 53;

/// Every type a schema may name.
const TYPES: &str = "types are CHAR, VARCHAR, TEXT, SMALLINT, INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, \
    BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, UUID and JSON";

/// Why a declared type cannot be used.
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) hint: String,
}

type Answer = Result<SchemaType, Refusal>;

fn refuse(message: impl Into<String>, hint: impl Into<String>) -> Answer {
    Err(Refusal {
        message: message.into(),
        hint: hint.into(),
    })
}

/// What a declared type means here.
/// Errors: it is not one that write-backs carry, or its numbers are out of bounds.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser knows a hundred types, of which these few travel"
)]
pub(super) fn schema_type(declared: &DataType) -> Answer {
    match declared {
        DataType::Character(None) | DataType::Char(None) => Ok(SchemaType::Text {
            characters_max: Some(1),
        }),
        DataType::Character(length)
        | DataType::Char(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length)
        | DataType::Varchar(length)
        | DataType::Nvarchar(length) => text(length.as_ref()),
        DataType::Text | DataType::TinyText | DataType::MediumText | DataType::LongText => {
            text(None)
        }
        DataType::String(None)
        | DataType::CharacterLargeObject(None)
        | DataType::CharLargeObject(None)
        | DataType::Clob(None) => text(None),
        DataType::SmallInt(_) | DataType::Int2(_) => Ok(SchemaType::Integer { bits: 16 }),
        DataType::Integer(_) | DataType::Int(_) | DataType::Int4(_) => {
            Ok(SchemaType::Integer { bits: 32 })
        }
        DataType::BigInt(_) | DataType::Int8(_) => Ok(SchemaType::Integer { bits: 64 }),
        DataType::Decimal(size) | DataType::Numeric(size) | DataType::Dec(size) => decimal(*size),
        DataType::Real | DataType::Float4 => Ok(SchemaType::Float { bits: 32 }),
        DataType::Float(size) => float(*size),
        DataType::Float8 | DataType::DoublePrecision | DataType::Double(ExactNumberInfo::None) => {
            Ok(SchemaType::Float { bits: 64 })
        }
        DataType::Boolean | DataType::Bool => Ok(SchemaType::Boolean),
        DataType::Date => Ok(SchemaType::Date),
        DataType::Time(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            fraction(*digits, SchemaType::Time)
        }
        DataType::Datetime(digits) | DataType::TimestampNtz(digits) => {
            fraction(*digits, SchemaType::Timestamp)
        }
        DataType::Timestamp(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            fraction(*digits, SchemaType::Timestamp)
        }
        DataType::Timestamp(digits, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            fraction(*digits, SchemaType::TimestampWithZone)
        }
        DataType::Uuid => Ok(SchemaType::Uuid),
        DataType::JSON | DataType::JSONB => Ok(SchemaType::Json),
        DataType::Unspecified => refuse("it has no type", TYPES),
        other => unknown(other),
    }
}

fn text(length: Option<&CharacterLength>) -> Answer {
    let Some(CharacterLength::IntegerLength { length, unit }) = length else {
        return Ok(SchemaType::Text {
            characters_max: None,
        });
    };
    if matches!(unit, Some(CharLengthUnits::Octets)) {
        return refuse(
            "its length counts octets",
            "a length counts characters: write `VARCHAR(n)`",
        );
    }
    match u32::try_from(*length) {
        Ok(characters @ 1..) => Ok(SchemaType::Text {
            characters_max: Some(characters),
        }),
        _ => refuse(
            format!("its length is {length}"),
            "write a length of at least 1, or `TEXT` for any length",
        ),
    }
}

fn decimal(size: ExactNumberInfo) -> Answer {
    let (precision, scale) = match size {
        ExactNumberInfo::None => return Ok(SchemaType::Decimal { size: None }),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=PRECISION_MAX).contains(&precision) {
        return refuse(
            format!("its precision is {precision}"),
            format!(
                "a precision is 1 to {PRECISION_MAX}; `DECIMAL` alone takes any number of digits"
            ),
        );
    }
    match (u16::try_from(precision), u16::try_from(scale)) {
        (Ok(precision), Ok(scale)) if scale <= precision => Ok(SchemaType::Decimal {
            size: Some(DecimalSize { precision, scale }),
        }),
        _ => refuse(
            format!("its scale is {scale}"),
            format!("a scale is 0 to the precision, here {precision}"),
        ),
    }
}

fn float(size: ExactNumberInfo) -> Answer {
    match size {
        ExactNumberInfo::Precision(1..=FLOAT32_DIGITS_MAX) => Ok(SchemaType::Float { bits: 32 }),
        ExactNumberInfo::None
        | ExactNumberInfo::Precision(FLOAT64_DIGITS_MIN..=FLOAT64_DIGITS_MAX) => {
            Ok(SchemaType::Float { bits: 64 })
        }
        ExactNumberInfo::Precision(digits) => refuse(
            format!("its precision is {digits}"),
            format!("a float has 1 to {FLOAT64_DIGITS_MAX} binary digits"),
        ),
        ExactNumberInfo::PrecisionAndScale(..) => refuse(
            "a float has no scale",
            "write `DECIMAL(p,s)`, `REAL` or `DOUBLE PRECISION`",
        ),
    }
}

fn fraction(digits: Option<u64>, of: SchemaType) -> Answer {
    match digits {
        Some(digits) if digits > FRACTION_DIGITS_MAX => refuse(
            format!("its seconds have {digits} digits after the point"),
            format!("at most {FRACTION_DIGITS_MAX} travel: microseconds"),
        ),
        _ => Ok(of),
    }
}

/// A type that does not travel, with the one that takes its place if there is one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser knows a hundred types, of which some have a stand-in"
)]
fn unknown(declared: &DataType) -> Answer {
    let stand_in = match declared {
        DataType::TinyInt(_) | DataType::TinyIntUnsigned(_) => Some("SMALLINT"),
        DataType::SmallIntUnsigned(_) | DataType::MediumInt(_) | DataType::MediumIntUnsigned(_) => {
            Some("INTEGER")
        }
        DataType::IntUnsigned(_) | DataType::IntegerUnsigned(_) | DataType::Int64 => Some("BIGINT"),
        DataType::BigIntUnsigned(_) => Some("DECIMAL(20,0)"),
        DataType::Float32 => Some("REAL"),
        DataType::Float64 | DataType::Double(_) | DataType::DoubleUnsigned(_) => {
            Some("DOUBLE PRECISION")
        }
        DataType::DecimalUnsigned(_) | DataType::BigNumeric(_) | DataType::BigDecimal(_) => {
            Some("DECIMAL(p,s)")
        }
        DataType::String(_) | DataType::Enum(..) => Some("VARCHAR(n)"),
        DataType::Custom(name, _) => custom_stand_in(&name.to_string()),
        _ => None,
    };
    let hint = stand_in.map_or_else(|| TYPES.to_owned(), |name| format!("write `{name}`"));
    refuse(
        format!("`{declared}` is not a type write-backs carry"),
        hint,
    )
}

fn custom_stand_in(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "serial" | "serial4" => Some("INTEGER"),
        "bigserial" | "serial8" => Some("BIGINT"),
        "smallserial" | "serial2" => Some("SMALLINT"),
        "money" => Some("DECIMAL(19,4)"),
        "varchar2" | "nvarchar2" => Some("VARCHAR(n)"),
        "number" => Some("DECIMAL(p,s)"),
        "timestamp_ltz" | "timestamp_tz" | "datetimeoffset" => Some("TIMESTAMP WITH TIME ZONE"),
        "uniqueidentifier" => Some("UUID"),
        "citext" => Some("TEXT"),
        _ => None,
    }
}
