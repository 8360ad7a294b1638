//! Switching a field on or off for requests in real time, in the text of the file that it stands in:
//! every byte stays that does not say so.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::domain::problem::Location;

const KEY: &str = "realtime";

/// The text of a file with the field at a place of it switched on or off.
/// Errors: it is not written in a form that could be switched here.
pub(crate) fn switched(text: &str, place: &Location, on: bool) -> Result<String, &'static str> {
    let table = DeTable::parse(text).map_err(|_| "the file is no longer TOML")?;
    let field = value_at(text, table.get_ref(), place);
    let field = field.ok_or("the field no longer stands there")?;
    let written = text.get(field.span()).unwrap_or_default();
    let (span, new) = match field.get_ref() {
        DeValue::String(_) if !on => return Ok(text.to_owned()),
        DeValue::String(_) => (
            field.span(),
            format!("{{ column = {written}, {KEY} = true }}"),
        ),
        DeValue::Table(inner) if written.starts_with('{') => match inner.get(KEY) {
            Some(known) => (known.span(), on.to_string()),
            None if !on => return Ok(text.to_owned()),
            None => {
                let inside = written.strip_suffix('}').unwrap_or(written);
                let end = field.span().start + inside.trim_end().len();
                (end..end, format!(", {KEY} = true"))
            }
        },
        DeValue::Table(_)
        | DeValue::Array(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {
            return Err("the field is written in a form that is edited in the file");
        }
    };
    let (before, after) = (text.get(..span.start), text.get(span.end..));
    Ok([before.unwrap_or_default(), &new, after.unwrap_or_default()].concat())
}

/// The value of the key that stands at a place.
fn value_at<'a>(
    text: &str,
    table: &'a DeTable<'_>,
    place: &Location,
) -> Option<&'a Spanned<DeValue<'a>>> {
    table.iter().find_map(|(key, value)| {
        let here = Location::at(&place.file, text, key.span().start);
        match here == *place {
            true => Some(value),
            false => within(text, value.get_ref(), place),
        }
    })
}

fn within<'a>(
    text: &str,
    value: &'a DeValue<'_>,
    place: &Location,
) -> Option<&'a Spanned<DeValue<'a>>> {
    match value {
        DeValue::Table(table) => value_at(text, table, place),
        DeValue::Array(values) => {
            let mut values = values.iter();
            values.find_map(|value| within(text, value.get_ref(), place))
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const FILE: &str = "# ä\n[[write_back]]\nname = \"a\"\n\n[write_back.fields]\nID    = \"id\"   # key\n\
                        SCORE = \"score\"  # the score\nRISK  = { column = \"risk\", when = \"if_empty\" } # risk\n\n\
                        [write_back.fields.NOTE]\ncolumn = \"note\"\n";

    fn at(line: usize) -> Location {
        Location {
            file: Arc::from("job.toml"),
            line,
            column: 1,
        }
    }

    #[test]
    fn nothing_but_the_switch_is_another_byte() {
        let on = "SCORE = { column = \"score\", realtime = true }  # the score";
        let expected = FILE.replace("SCORE = \"score\"  # the score", on);
        let text = switched(FILE, &at(7), true);
        assert_eq!(text.as_deref(), Ok(expected.as_str()));
        let off = switched(&expected, &at(7), false);
        assert_eq!(
            off,
            Ok(expected.replace("realtime = true", "realtime = false"))
        );
        let risk = FILE.replace("\"if_empty\" }", "\"if_empty\", realtime = true }");
        assert_eq!(switched(FILE, &at(8), true), Ok(risk));
        let nested = FILE.replace("\"if_empty\" }", "{ a = 1 }}");
        let expected = FILE.replace("\"if_empty\" }", "{ a = 1 }, realtime = true}");
        assert_eq!(switched(&nested, &at(8), true), Ok(expected));
        assert_eq!(switched(FILE, &at(7), false).as_deref(), Ok(FILE));
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_an_editor() {
        assert_eq!(
            switched(FILE, &at(3), true),
            Ok(FILE.replace("name = \"a\"", "name = { column = \"a\", realtime = true }")),
            "places are those of fields: whoever asks knows them"
        );
        let note = Location {
            column: "[write_back.fields.".len() + 1,
            ..at(10)
        };
        assert!(switched(FILE, &note, true).is_err());
        assert!(switched(FILE, &at(99), true).is_err());
    }
}
