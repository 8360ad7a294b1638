//! Why a column holds something else than was written into it, or a row was not written at all, as
//! far as the object's catalogue tells.

use std::fmt;

use super::layout::LayoutField;
use super::object::Holds;
use super::value::Kind;

/// The likely cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The column's type, which it names, gives texts back without the blanks at their end.
    BlanksDropped {
        declared: String,
    },
    /// The column's type keeps numbers as binary floats, which have fewer digits than the value.
    Rounded {
        declared: String,
    },
    /// One of these triggers of the object, at least one.
    Triggers(Vec<String>),
    Unknown,
}

/// What share of a number two of them may differ by to be the same one with fewer digits: a 32-bit
/// float keeps seven.
const ROUNDING_MAX: f64 = 1e-6;

impl Cause {
    /// The likely cause of a column holding `held` after `written` was written into it. What a type
    /// does to every value comes before triggers, which may leave this one alone.
    pub(crate) fn likely(
        field: &LayoutField,
        written: Option<&str>,
        held: Option<&str>,
        triggers: &[String],
    ) -> Self {
        let declared = || field.column.declared.clone();
        if let (Some(written), Some(held)) = (written, held) {
            if field.kind == Kind::Text
                && is_char(&field.column.declared)
                && same_without_blanks(written, held)
            {
                return Self::BlanksDropped {
                    declared: declared(),
                };
            }
            if is_float(&field.column.holds) && is_nearly(written, held) {
                return Self::Rounded {
                    declared: declared(),
                };
            }
        }
        Self::of_triggers(triggers)
    }

    /// One of the object's triggers, if it has any.
    pub(crate) fn of_triggers(triggers: &[String]) -> Self {
        match triggers {
            [] => Self::Unknown,
            triggers => Self::Triggers(triggers.to_vec()),
        }
    }
}

/// Whether it is a text type of fixed length, as databases write it: `char(5)`, `CHARACTER(5)`,
/// `bpchar`.
fn is_char(declared: &str) -> bool {
    let declared = declared.to_ascii_lowercase();
    let name = declared.split('(').next().unwrap_or_default().trim();
    matches!(name, "char" | "character" | "bpchar" | "nchar")
}

fn same_without_blanks(left: &str, right: &str) -> bool {
    left.trim_end_matches(' ') == right.trim_end_matches(' ')
}

fn is_float(holds: &Holds) -> bool {
    matches!(holds, Holds::Float { .. } | Holds::DecimalAsFloat { .. })
}

fn is_nearly(left: &str, right: &str) -> bool {
    let numbers = left.parse::<f64>().ok().zip(right.parse::<f64>().ok());
    numbers.is_some_and(|(left, right)| (left - right).abs() <= left.abs() * ROUNDING_MAX)
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlanksDropped { declared } => write!(
                formatter,
                "`{declared}` drops the blanks at the end of a text"
            ),
            Self::Rounded { declared } => write!(
                formatter,
                "`{declared}` is a float of fewer digits than the value"
            ),
            Self::Triggers(names) => match names.as_slice() {
                [name] => write!(formatter, "most likely trigger `{name}`"),
                names => write!(
                    formatter,
                    "most likely one of the triggers `{}`",
                    names.join("`, `")
                ),
            },
            Self::Unknown => write!(formatter, "the catalogue does not tell why"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::object::{ObjectColumn, Repertoire};

    fn field(declared: &str, holds: Holds) -> LayoutField {
        let kind = holds.kind().expect("a type that can be written");
        LayoutField::plain(ObjectColumn::plain("v", declared, holds), kind)
    }

    fn text(declared: &str) -> LayoutField {
        field(
            declared,
            Holds::Text {
                limit: None,
                repertoire: Repertoire::Unicode { nul: true },
            },
        )
    }

    fn likely(field: &LayoutField, written: &str, held: &str) -> String {
        Cause::likely(field, Some(written), Some(held), &["shout".to_owned()]).to_string()
    }

    #[test]
    fn what_a_type_does_to_every_value_explains_it_before_a_trigger_does() {
        assert_eq!(
            likely(&text("char(5)"), "ab ", "ab"),
            "`char(5)` drops the blanks at the end of a text"
        );
        let float = field("float", Holds::Float { bits: 32 });
        assert_eq!(
            likely(&float, "123456.789", "123456.79"),
            "`float` is a float of fewer digits than the value"
        );
    }

    #[test]
    fn a_trigger_explains_what_no_type_does() {
        let trigger = "most likely trigger `shout`";
        assert_eq!(likely(&text("varchar(5)"), "ab ", "ab"), trigger);
        assert_eq!(likely(&text("char(5)"), "ab", "AB"), trigger);
        assert_eq!(
            likely(&field("float", Holds::Float { bits: 32 }), "10", "5"),
            trigger
        );
        assert_eq!(
            likely(
                &field("integer", Holds::Integer { min: 0, max: 9 }),
                "10",
                "10"
            ),
            trigger
        );
        assert_eq!(
            Cause::likely(&text("char(5)"), None, Some(""), &["a".to_owned()]).to_string(),
            "most likely trigger `a`"
        );
        let both = ["a".to_owned(), "b".to_owned()];
        let several = Cause::likely(&text("text"), None, Some("x"), &both);
        assert_eq!(
            several.to_string(),
            "most likely one of the triggers `a`, `b`"
        );
        assert_eq!(
            Cause::likely(&text("text"), Some("x"), None, &[]),
            Cause::Unknown
        );
    }
}
