//! What a column's declared type says: SQLite keeps any name as a declaration and derives from it
//! only an affinity. People mean more by it, and what they mean is held to here: first the name,
//! then the affinity.

use crate::domain::object::{Holds, Repertoire, TextLimit};

/// What SQLite does to a value it stores in a column.
/// Source: <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    Integer,
    Text,
    /// Keeps what it is given.
    None,
    Real,
    Numeric,
}

/// Digits of a second's fraction that are written: microseconds.
const FRACTION_DIGITS: u8 = 6;

/// SQLite's own rule, in SQLite's own order. `ANY` is kept as it is in STRICT tables, the only ones
/// that know it.
pub(crate) fn affinity(declared: &str, strict: bool) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let says = |word: &str| declared.contains(word);
    if strict && declared == "ANY" {
        Affinity::None
    } else if says("INT") {
        Affinity::Integer
    } else if says("CHAR") || says("CLOB") || says("TEXT") {
        Affinity::Text
    } else if says("BLOB") || declared.is_empty() {
        Affinity::None
    } else if says("REAL") || says("FLOA") || says("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// What a column of this declared type holds.
///
/// A column without a type, or `ANY`, takes what it is given and is given text. Text in SQLite ends
/// for many functions at U+0000, so that character is not let in.
pub(crate) fn holds(declared: &str, strict: bool) -> Holds {
    let declaration = Declaration::parse(declared);
    match affinity(declared, strict) {
        Affinity::Integer => integer(&declaration),
        Affinity::Text => text(declaration.characters_max()),
        Affinity::None if declared.to_ascii_uppercase().contains("BLOB") => Holds::Unsupported,
        Affinity::None => text(None),
        Affinity::Real => Holds::Float { bits: 64 },
        Affinity::Numeric => named(&declaration),
    }
}

/// Types whose name tells more than their affinity, which is NUMERIC for them all.
fn named(declaration: &Declaration) -> Holds {
    match declaration.name.as_str() {
        "BOOL" | "BOOLEAN" => Holds::Boolean,
        "DATE" => Holds::Date,
        "TIME" | "TIME WITHOUT TIME ZONE" => Holds::Time {
            fraction_digits: FRACTION_DIGITS,
        },
        "DATETIME"
        | "DATETIME2"
        | "SMALLDATETIME"
        | "TIMESTAMP"
        | "TIMESTAMP WITHOUT TIME ZONE" => Holds::Timestamp {
            fraction_digits: FRACTION_DIGITS,
        },
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" | "DATETIMEOFFSET" => Holds::Instant {
            fraction_digits: FRACTION_DIGITS,
        },
        "UUID" | "GUID" | "UNIQUEIDENTIFIER" => Holds::Uuid,
        "JSON" | "JSONB" => Holds::Json,
        "STRING" => text(declaration.characters_max()),
        "TIMETZ" | "TIME WITH TIME ZONE" => Holds::Unsupported,
        _ => Holds::DecimalAsFloat {
            size: declaration.digits(),
        },
    }
}

fn text(characters_max: Option<u64>) -> Holds {
    Holds::Text {
        limit: characters_max.map(TextLimit::Characters),
        repertoire: Repertoire::Unicode { nul: false },
    }
}

/// Integers have 64 bits in SQLite; a declaration that promises fewer is kept, and so is
/// `UNSIGNED`.
fn integer(declaration: &Declaration) -> Holds {
    let unsigned = declaration.name.split(' ').any(|word| word == "UNSIGNED");
    let bits = match declaration.name.split(' ').find(|word| *word != "UNSIGNED") {
        Some("TINYINT" | "INT1") => 8,
        Some("SMALLINT" | "INT2") => 16,
        Some("MEDIUMINT" | "INT3") => 24,
        _ => 64,
    };
    let half = 1_i128 << (bits - 1);
    match unsigned {
        true if bits == 64 => Holds::Integer {
            min: 0,
            max: half - 1,
        },
        true => Holds::Integer {
            min: 0,
            max: 2 * half - 1,
        },
        false => Holds::Integer {
            min: -half,
            max: half - 1,
        },
    }
}

/// A declared type taken apart: `character varying (18)` is `CHARACTER VARYING` and 18.
#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    /// In capitals, words one space apart, without what stands in parentheses.
    name: String,
    /// What stands in parentheses, if all of it is numbers.
    numbers: Vec<u64>,
}

impl Declaration {
    fn parse(declared: &str) -> Self {
        let (before, rest) = declared.split_once('(').unwrap_or((declared, ""));
        let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
        let words = before.split_whitespace().chain(after.split_whitespace());
        let name = words
            .map(str::to_ascii_uppercase)
            .collect::<Vec<_>>()
            .join(" ");
        let numbers = inside
            .split(',')
            .map(|number| number.trim().parse())
            .collect::<Result<_, _>>();
        Self {
            name,
            numbers: numbers.unwrap_or_default(),
        }
    }

    /// `n` of `VARCHAR(n)`. `TEXT(n)` and `CLOB(n)` are sizes of storage elsewhere and bound
    /// nothing.
    fn characters_max(&self) -> Option<u64> {
        let bounds = !self.name.contains("TEXT") && !self.name.contains("CLOB");
        self.numbers.first().copied().filter(|_| bounds)
    }

    /// Precision and scale of `DECIMAL(p,s)`.
    fn digits(&self) -> Option<(u16, u16)> {
        let precision = u16::try_from(*self.numbers.first()?).ok()?;
        let scale = u16::try_from(self.numbers.get(1).copied().unwrap_or(0)).ok()?;
        Some((precision, scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unlimited() -> Holds {
        text(None)
    }

    #[test]
    fn a_name_says_what_people_mean_by_it() {
        let timestamp = Holds::Timestamp { fraction_digits: 6 };
        for (declared, expected) in [
            ("VARCHAR(18)", text(Some(18))),
            ("character varying (18)", text(Some(18))),
            ("TEXT", unlimited()),
            ("TINYTEXT(9)", unlimited()),
            ("String", unlimited()),
            ("", unlimited()),
            (
                "INTEGER",
                Holds::Integer {
                    min: i128::from(i64::MIN),
                    max: i128::from(i64::MAX),
                },
            ),
            (
                "SMALLINT",
                Holds::Integer {
                    min: -32_768,
                    max: 32_767,
                },
            ),
            ("UNSIGNED TINYINT", Holds::Integer { min: 0, max: 255 }),
            (
                "BIGINT UNSIGNED",
                Holds::Integer {
                    min: 0,
                    max: i128::from(i64::MAX),
                },
            ),
            ("double precision", Holds::Float { bits: 64 }),
            (
                "DECIMAL(5, 2)",
                Holds::DecimalAsFloat { size: Some((5, 2)) },
            ),
            ("NUMERIC", Holds::DecimalAsFloat { size: None }),
            ("boolean", Holds::Boolean),
            ("DATE", Holds::Date),
            ("TIME(3)", Holds::Time { fraction_digits: 6 }),
            ("TIMESTAMP", timestamp.clone()),
            ("datetime", timestamp),
            (
                "TIMESTAMP(6) WITH TIME ZONE",
                Holds::Instant { fraction_digits: 6 },
            ),
            ("uuid", Holds::Uuid),
            ("JSON", Holds::Json),
            ("BLOB", Holds::Unsupported),
        ] {
            assert_eq!(holds(declared, false), expected, "{declared}");
        }
    }

    #[test]
    fn any_keeps_values_as_they_are_in_strict_tables_only() {
        assert_eq!(affinity("ANY", true), Affinity::None);
        assert_eq!(affinity("any", true), Affinity::None);
        assert_eq!(affinity("ANY", false), Affinity::Numeric);
        assert_eq!(holds("ANY", true), unlimited());
    }
}
