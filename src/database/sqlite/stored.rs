//! Values as SQLite stores them: what a column declares does not bind them.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Row as _, TypeInfo as _, ValueRef as _};

use super::declared::Affinity;
use crate::domain::before::{marked, unmarked};

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StoredValue<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
    /// SQLite takes any bytes for text.
    NotUtf8(&'a [u8]),
}

/// Reads a value by the class it is stored in.
pub(crate) fn read_value(row: &SqliteRow, column: usize) -> Result<StoredValue<'_>, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(StoredValue::Null);
    }
    Ok(match value.type_info().name() {
        "INTEGER" => StoredValue::Integer(row.try_get_unchecked(column)?),
        "REAL" => StoredValue::Real(row.try_get_unchecked(column)?),
        "BLOB" => StoredValue::Blob(row.try_get_unchecked(column)?),
        _ => match row.try_get_unchecked(column) {
            Ok(text) => StoredValue::Text(text),
            Err(_) => StoredValue::NotUtf8(row.try_get_unchecked(column)?),
        },
    })
}

impl StoredValue<'_> {
    /// The text that a before-image holds: [`ExactValue::parse`] makes this very value of it. A
    /// number is plain where the column takes every number's text for the number, a text where it
    /// takes none.
    pub(crate) fn exact(&self, affinity: Affinity) -> Option<String> {
        let takes_numbers = match affinity {
            Affinity::Integer | Affinity::Real | Affinity::Numeric => true,
            Affinity::Text | Affinity::None => false,
        };
        let shown = self.shown()?;
        let class = match self {
            Self::Integer(_) if !takes_numbers => 'i',
            Self::Real(real) if !takes_numbers || !real.is_finite() => 'r',
            Self::Text(text)
                if text.starts_with('\0') || takes_numbers && number(text).is_some() =>
            {
                't'
            }
            Self::Blob(_) => 'b',
            Self::NotUtf8(_) => 'x',
            Self::Null | Self::Integer(_) | Self::Real(_) | Self::Text(_) => return Some(shown),
        };
        Some(marked(class, &shown))
    }

    /// As people compare it with what they write: a real in the fewest digits that mean it and no
    /// other (`87.0`), bytes as SQL writes them.
    pub(crate) fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Integer(integer) => Some(integer.to_string()),
            Self::Real(real) => Some(format!("{real:?}")),
            Self::Text(text) => Some((*text).to_owned()),
            Self::Blob(bytes) | Self::NotUtf8(bytes) => Some(format!(
                "X'{}'",
                bytes
                    .iter()
                    .map(|byte| format!("{byte:02X}"))
                    .collect::<String>()
            )),
        }
    }
}

/// A value that a before-image tells of, of the storage class it had.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ExactValue<'a> {
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(Vec<u8>),
    /// Text, all the same.
    NotUtf8(Vec<u8>),
}

/// What stands before bytes that are bound, to tell what they are: the driver binds no text that is
/// not UTF-8.
const BLOB_TAG: u8 = b'b';
const NOT_UTF8_TAG: u8 = b'x';

/// The SQL that makes a value of what [`ExactValue::bind`] bound as `bound`.
pub(crate) fn unbound(bound: &str) -> String {
    format!(
        "(CASE WHEN typeof({bound}) <> 'blob' THEN {bound} WHEN substr({bound}, 1, 1) = X'{NOT_UTF8_TAG:02X}' \
         THEN CAST(substr({bound}, 2) AS TEXT) ELSE substr({bound}, 2) END)"
    )
}

impl<'a> ExactValue<'a> {
    /// The value that [`StoredValue::exact`] wrote; `None` if it wrote no such text, or one of an
    /// earlier version that did not read the bytes.
    pub(crate) fn parse(exact: &'a str, affinity: Affinity) -> Option<Self> {
        match unmarked(exact) {
            (None, text) => Some(match affinity {
                Affinity::Integer | Affinity::Real | Affinity::Numeric => {
                    number(text).unwrap_or(Self::Text(text))
                }
                Affinity::Text | Affinity::None => Self::Text(text),
            }),
            (Some('i'), text) => text.parse().ok().map(Self::Integer),
            (Some('r'), text) => text.parse().ok().map(Self::Real),
            (Some('t'), text) => Some(Self::Text(text)),
            (Some('b'), text) => quoted_bytes(text).map(Self::Blob),
            (Some('x'), text) => quoted_bytes(text).map(Self::NotUtf8),
            (Some(_), _) => None,
        }
    }

    /// Binds it; [`unbound`] makes the value of it.
    pub(crate) fn bind(
        self,
        arguments: &mut SqliteArguments,
    ) -> Result<(), sqlx::error::BoxDynError> {
        match self {
            Self::Integer(integer) => arguments.add(integer),
            Self::Real(real) => arguments.add(real),
            Self::Text(text) => arguments.add(text),
            Self::Blob(bytes) => arguments.add(tagged(BLOB_TAG, &bytes)),
            Self::NotUtf8(bytes) => arguments.add(tagged(NOT_UTF8_TAG, &bytes)),
        }
    }
}

/// The number that is shown so; texts that name one otherwise are none.
fn number(text: &str) -> Option<ExactValue<'static>> {
    let integer = text.parse().ok().map(ExactValue::Integer);
    let real = || {
        text.parse()
            .ok()
            .filter(|real: &f64| real.is_finite())
            .map(ExactValue::Real)
    };
    integer.or_else(real)
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag], bytes].concat()
}

/// The bytes that SQL writes as `X'00FF'`.
fn quoted_bytes(text: &str) -> Option<Vec<u8>> {
    bytes(text.strip_prefix("X'")?.strip_suffix('\'')?)
}

/// The bytes that are written as pairs of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? * 16 + digit(low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_told_apart_in_every_column_and_comes_back() {
        let affinities = [
            Affinity::Integer,
            Affinity::Text,
            Affinity::None,
            Affinity::Real,
            Affinity::Numeric,
        ];
        let values = [
            (StoredValue::Integer(5), ExactValue::Integer(5)),
            (
                StoredValue::Integer(i64::MIN),
                ExactValue::Integer(i64::MIN),
            ),
            (StoredValue::Real(5.0), ExactValue::Real(5.0)),
            (StoredValue::Real(0.1 + 0.2), ExactValue::Real(0.1 + 0.2)),
            (StoredValue::Real(1e300), ExactValue::Real(1e300)),
            (
                StoredValue::Real(f64::NEG_INFINITY),
                ExactValue::Real(f64::NEG_INFINITY),
            ),
            (StoredValue::Text(""), ExactValue::Text("")),
            (StoredValue::Text("5"), ExactValue::Text("5")),
            (StoredValue::Text("5.0"), ExactValue::Text("5.0")),
            (StoredValue::Text("inf"), ExactValue::Text("inf")),
            (StoredValue::Text("X'00'"), ExactValue::Text("X'00'")),
            (StoredValue::Text("\0i:5"), ExactValue::Text("\0i:5")),
            (StoredValue::Blob(&[0, 255]), ExactValue::Blob(vec![0, 255])),
            (StoredValue::Blob(&[]), ExactValue::Blob(Vec::new())),
            (
                StoredValue::NotUtf8(&[0, 255]),
                ExactValue::NotUtf8(vec![0, 255]),
            ),
        ];
        for affinity in affinities {
            let mut texts = std::collections::BTreeSet::new();
            for (stored, exact) in &values {
                let text = stored.exact(affinity).expect("no NULL");
                assert_eq!(
                    ExactValue::parse(&text, affinity).as_ref(),
                    Some(exact),
                    "{text:?} in {affinity:?}"
                );
                assert!(texts.insert(text), "{stored:?} in {affinity:?}");
            }
        }
        assert_eq!(
            ExactValue::parse("\0x:(text that is not UTF-8)", Affinity::Text),
            None,
            "of earlier versions"
        );
        assert_eq!(ExactValue::parse("\0b:X'0'", Affinity::None), None);
    }
}
