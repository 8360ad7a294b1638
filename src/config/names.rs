//! Names as files write them: columns, paths, and the names users give to things.

use super::document::Table;
use crate::domain::object::{NamePart, ObjectName};
use crate::domain::object_name::{checked_part, parse_part};

/// The file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "writeback.toml";
/// The folder of job files.
pub(crate) const SCHEDULES_FOLDER: &str = "schedules";

/// A destination column as a job file writes it; quotes within the key (`'"Score"'`) ask for an
/// exact match. Errors: what is wrong with it.
pub(super) fn parse_column_name(text: &str) -> Result<NamePart, String> {
    if text.starts_with(['"', '`']) {
        return match parse_part(text)? {
            (part, "") => Ok(part),
            // It can only be a path, whose last part is the field.
            _ if !parse_path(text).is_empty() => checked_part(text.trim(), true),
            _ => Err("something follows the closing quote".to_owned()),
        };
    }
    checked_part(text.trim(), false)
}

/// The parts of a field's name that may be a path over references (`Owner.Email`): at least two, or
/// none. Quotes around a part keep the dots within it.
pub(super) fn parse_path(text: &str) -> Vec<NamePart> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while let Ok((part, after)) = parse_part(rest) {
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() && parts.len() > 1 => return parts,
            None => break,
        }
    }
    Vec::new()
}

/// An object and one of its fields: `User.Email`, `"CRM"."owners"."email"`.
/// Errors: what is wrong with it.
pub(super) fn parse_field_of_object(text: &str) -> Result<(ObjectName, NamePart), String> {
    const PARTS_MAX: usize = 4;
    let mut parts = parse_path(text);
    match (parts.len(), parts.pop()) {
        (2..=PARTS_MAX, Some(field)) => Ok((ObjectName { parts }, field)),
        (0 | 1, _) | (_, None) => Err("it is not an object and one of its fields".to_owned()),
        (count, _) => Err(format!(
            "it has {count} parts, and no system knows more than {PARTS_MAX}"
        )),
    }
}

/// Whether two names as written may mean the same column or the same part of a table's name.
pub(super) fn may_be_same(left: &NamePart, right: &NamePart) -> bool {
    match left.quoted && right.quoted {
        true => left.text == right.text,
        false => left.text.to_lowercase() == right.text.to_lowercase(),
    }
}

/// Whether a name that users give to a connection, a dashboard or a write-back is fit for messages
/// and file names.
pub(super) fn is_plain_name(name: &str) -> bool {
    const NAME_CHARACTERS_MAX: usize = 100;
    let plain =
        |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(plain)
        && name.chars().count() <= NAME_CHARACTERS_MAX
}

/// What [`is_plain_name`] asks for, in words.
pub(super) const PLAIN_NAME_HINT: &str =
    "names are letters, digits, `_`, `-` and `.`, at most 100 of them";

/// The tables `[KEY.NAME]` with their names.
pub(super) fn named_tables<'a>(root: &Table<'a>, key: &str) -> Vec<(&'a str, Table<'a>)> {
    let Some(tables) = root
        .get(key)
        .and_then(|value| value.table(format!("`[{key}]`")))
    else {
        return Vec::new();
    };
    let named = tables.entries().filter_map(|value| {
        if !is_plain_name(value.key) {
            let message = format!(
                "`{}` cannot be the name of a table in `[{key}]`",
                value.key.escape_debug()
            );
            value.key_mistake(message, Some(PLAIN_NAME_HINT.to_owned()));
            return None;
        }
        Some((value.key, value.table(format!("`[{key}.{}]`", value.key))?))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_at_least_two_parts_and_dots_within_quotes_are_none_of_it() {
        let texts = |text: &str| -> Vec<String> {
            let parts = parse_path(text).into_iter();
            parts.map(|part| part.text).collect()
        };
        assert_eq!(texts("Parent.Owner.Email"), ["Parent", "Owner", "Email"]);
        assert_eq!(texts("\"a.b\".c"), ["a.b", "c"]);
        for text in [
            "Email",
            "\"a.b\"",
            "a.",
            ".a",
            "a..b",
            "Health Score.v2",
            "",
        ] {
            assert_eq!(texts(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn a_reference_names_an_object_and_a_field() {
        let (object, field) = parse_field_of_object("\"CRM\".owners.email").expect("a name");
        assert_eq!(
            (object.to_string(), field.text),
            ("\"CRM\".owners".to_owned(), "email".to_owned())
        );
        for text in ["User", "", "a.b.c.d.e"] {
            assert!(parse_field_of_object(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_column_may_hold_what_a_key_may_hold() {
        assert_eq!(
            parse_column_name("Health Score.v2").map(|part| (part.text, part.quoted)),
            Ok(("Health Score.v2".to_owned(), false))
        );
        assert_eq!(
            parse_column_name("\"Score\"").map(|part| (part.text, part.quoted)),
            Ok(("Score".to_owned(), true))
        );
        assert!(parse_column_name("\"Score\"x").is_err());
    }
}
