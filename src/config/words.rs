//! Values that many keys take: a word of a closed set, the name of a table.

use super::document::{Value, shown};
use crate::domain::object::ObjectName;
use crate::domain::object_name::parse_object_name;
use crate::domain::problem::{Location, did_you_mean, quoted_list};

/// The name of a table, and where it stands.
pub(super) fn table_name(value: Value<'_>) -> Option<(ObjectName, Location)> {
    let text = value.text()?;
    match parse_object_name(text) {
        Ok(name) => Some((name, value.key_location())),
        Err(why) => {
            let hint = "write `accounts`, `crm.accounts` or `'\"CRM\".\"ACCOUNTS\"'`".to_owned();
            value.mistake(
                format!("{} is not a table's name: {why}", shown(text)),
                Some(hint),
            );
            None
        }
    }
}

/// One of the words of a closed set.
pub(super) fn word<T: Copy>(value: Value<'_>, known: &[(&str, T)]) -> Option<T> {
    let text = value.text()?;
    let found = known.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let words = || known.iter().map(|(word, _)| *word);
        let hint = did_you_mean(text, words())
            .unwrap_or_else(|| format!("write one of {}", quoted_list(words())));
        value.mistake(
            format!("`{}` is {}, which is not known", value.key, shown(text)),
            Some(hint),
        );
    }
    found.map(|(_, meaning)| *meaning)
}
