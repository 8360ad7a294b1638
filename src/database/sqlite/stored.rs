//! Values as SQLite stores them: what a column declares does not bind them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StoredValue<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
    /// SQLite takes any bytes for text.
    NotUtf8,
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
        _ => row.try_get_unchecked(column).map_or(StoredValue::NotUtf8, StoredValue::Text),
    })
}

impl StoredValue<'_> {
    /// As people compare it with what they write: a real in the fewest digits that mean it and no other (`87.0`), bytes
    /// as SQL writes them.
    pub(crate) fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Integer(integer) => Some(integer.to_string()),
            Self::Real(real) => Some(format!("{real:?}")),
            Self::Text(text) => Some((*text).to_owned()),
            Self::Blob(bytes) => {
                Some(format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()))
            }
            Self::NotUtf8 => Some("(text that is not UTF-8)".to_owned()),
        }
    }
}
