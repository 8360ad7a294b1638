//! Full names, taken apart: `Ada King Lovelace` and `Lovelace, Ada King`.

use polars::prelude::{IntoSeries, Series, StringChunked};

/// A part of every name; NULL where a name has no such part.
pub(super) fn parts(names: &StringChunked, part: impl Fn(&str) -> String) -> Series {
    let part = |name: Option<&str>| name.map(&part).filter(|part| !part.is_empty());
    let parts: StringChunked = names.iter().map(part).collect();
    parts.with_name(names.name().clone()).into_series()
}

/// All words but the last, or those after the first comma. A name of one word has none.
pub(super) fn given(name: &str) -> String {
    match name.split_once(',') {
        Some((_, given)) => words(given).join(" "),
        None => words(name)
            .split_last()
            .map_or(String::new(), |(_, given)| given.join(" ")),
    }
}

/// The last word, or those before the first comma.
pub(super) fn family(name: &str) -> String {
    match name.split_once(',') {
        Some((family, _)) => words(family).join(" "),
        None => words(name)
            .last()
            .map_or(String::new(), |family| (*family).to_owned()),
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_apart_at_its_comma_or_before_its_last_word() {
        for (name, of_given, of_family) in [
            ("Ada Lovelace", "Ada", "Lovelace"),
            ("  Ada  King\u{a0}Lovelace ", "Ada King", "Lovelace"),
            ("Lovelace, Ada King", "Ada King", "Lovelace"),
            ("van der Berg, Jan", "Jan", "van der Berg"),
            ("Plato", "", "Plato"),
            ("Plato,", "", "Plato"),
            (" ", "", ""),
        ] {
            assert_eq!(
                (given(name), family(name)),
                (of_given.to_owned(), of_family.to_owned())
            );
        }
    }

    #[test]
    fn a_name_without_the_part_yields_null() {
        let names: StringChunked = [Some("Plato"), None].into_iter().collect();
        assert_eq!(parts(&names, given).null_count(), 2);
        assert_eq!(parts(&names, family).null_count(), 1);
    }
}
