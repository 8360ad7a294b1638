//! The kinds of value that travel from a source to a destination, each with one representation in a
//! frame and one canonical text.

use polars::prelude::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// A kind of value. Frames hold each in one polars type, [`Kind::representation`], so that no step
/// need ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Text,
    /// 64 bits, signed.
    Integer,
    /// Canonical text, so that no digit is ever lost: `-?digits[.digits]`, no leading zeros but one
    /// before a point, never `-0`. A declared scale is kept to the digit (`87.50`); without one
    /// there are no trailing zeros.
    Decimal,
    Float32,
    Float64,
    Boolean,
    Date,
    /// Nanoseconds since midnight, whole microseconds.
    Time,
    /// Microseconds of a wall clock whose place nobody told.
    Timestamp,
    /// Microseconds since 1970 in UTC.
    Instant,
    /// Canonical lower-case text with hyphens.
    Uuid,
    /// The text as it came, checked to be JSON.
    Json,
}

impl Kind {
    /// The polars type of a frame's column that holds this kind.
    pub(crate) fn representation(self) -> DataType {
        match self {
            Self::Text | Self::Decimal | Self::Uuid | Self::Json => DataType::String,
            Self::Integer => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date,
            Self::Time => DataType::Time,
            Self::Timestamp | Self::Instant => DataType::Datetime(TimeUnit::Microseconds, None),
        }
    }

    /// A kind whose values such a frame's column may hold: text for what is held as text, a wall
    /// clock for both sorts of time stamp. Enough for showing values, not for handing them to a
    /// database.
    pub(crate) fn of_representation(data_type: &DataType) -> Option<Self> {
        let shown = [
            Self::Text,
            Self::Integer,
            Self::Float32,
            Self::Float64,
            Self::Boolean,
            Self::Date,
            Self::Time,
            Self::Timestamp,
        ];
        shown
            .into_iter()
            .find(|kind| kind.representation() == *data_type)
    }
}
