//! Values on their way to Dataverse and back: as filters and payloads write them, and which of them
//! it holds for the same after it has made its own of them. A choice is its label among us and its
//! number there; the pair stands in what its column holds.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::super::values::{boolean, micros, plain, text};
use super::describe::{Attribute, Nature, TableDescription};
use crate::domain::decimal::Decimal;
use crate::domain::layout::LayoutField;
use crate::domain::list;
use crate::domain::object::{Holds, ObjectColumn};
use crate::domain::sameness::same;
use crate::domain::value::Kind;

/// What a column's values are, as its declared type begins.
fn nature(column: &ObjectColumn) -> Nature {
    match column.declared.split('(').next().unwrap_or_default() {
        "choice" => Nature::Choice,
        "choices" => Nature::Choices,
        "lookup" => Nature::Lookup,
        "many_to_many" => Nature::Members,
        _ => Nature::Plain,
    }
}

/// The name under which a column is read: a lookup's id has one of its own.
pub(super) fn read_name(field: &LayoutField) -> String {
    match nature(&field.column) {
        Nature::Lookup => lookup_name(&field.column.name),
        Nature::Plain | Nature::Choice | Nature::Choices | Nature::Members => {
            field.column.name.clone()
        }
    }
}

pub(super) fn lookup_name(column: &str) -> String {
    format!("_{column}_value")
}

/// The number of a choice that is written as its label or its number; what is neither stays.
fn number_of<'a>(column: &'a ObjectColumn, word: &'a str) -> &'a str {
    let Holds::Label(words) = &column.holds else {
        return word;
    };
    let mut pairs = words.chunks_exact(2);
    let number = pairs.find_map(|pair| match pair {
        [label, number] if label == word || number == word => Some(number.as_str()),
        _ => None,
    });
    number.unwrap_or(word)
}

/// The numbers and labels of a column of several choices, as its declared type tells them.
fn pairs_of(column: &ObjectColumn) -> Vec<(&str, &str)> {
    let told = column.declared.strip_prefix("choices(");
    let told = told
        .and_then(|told| told.strip_suffix(')'))
        .unwrap_or_default();
    told.split("; ")
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

/// The numbers of choices that are written with semicolons or commas between; what is no choice
/// stays as it is.
fn members<'a>(column: &'a ObjectColumn, text: &'a str) -> BTreeSet<&'a str> {
    let pairs = pairs_of(column);
    let separator = if text.contains(';') { ';' } else { ',' };
    let number = |word: &'a str| {
        let known = pairs
            .iter()
            .find(|(number, label)| *number == word || *label == word);
        known.map_or(word, |(number, _)| *number)
    };
    // A label may hold a comma.
    if pairs.iter().any(|(_, label)| *label == text) {
        return BTreeSet::from([number(text)]);
    }
    text.split(separator)
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(number)
        .collect()
}

/// Whether a field shows rows of another table, many to many.
pub(super) fn is_list(field: &LayoutField) -> bool {
    nature(&field.column) == Nature::Members
}

/// Ids with semicolons between, in the form that Dataverse has them in; what is none stays.
pub(super) fn ids_of(text: &str) -> BTreeSet<String> {
    let ids = text.split(';').map(str::trim).filter(|id| !id.is_empty());
    ids.map(|id| Uuid::parse_str(id).map_or_else(|_| id.to_owned(), |id| id.to_string()))
        .collect()
}

/// The ids that a list is to hold. Errors: which is none, in words.
pub(super) fn wanted_ids(value: Option<&str>) -> Result<BTreeSet<String>, String> {
    let ids = ids_of(value.unwrap_or_default());
    match ids.iter().find(|id| Uuid::parse_str(id).is_err()) {
        Some(stray) => Err(format!("`{stray}` names no row: write its GUID")),
        None => Ok(ids),
    }
}

/// The labels of the choices that a row holds after some, by label or number, were added or taken
/// out.
pub(super) fn merged(field: &LayoutField, sent: &str, held: &str) -> String {
    let column = &field.column;
    if is_list(field) {
        let (held, sent) = (ids_of(held), ids_of(sent));
        let held: Vec<&str> = held.iter().map(String::as_str).collect();
        let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
        return list::merged(field.list, &held, &sent).join(";");
    }
    let numbers = |text| Vec::from_iter(members(column, text));
    let merged = list::merged(field.list, &numbers(held), &numbers(sent));
    labels(column, merged.into_iter())
}

/// Choices by their labels, with semicolons between.
fn labels<'a>(column: &ObjectColumn, numbers: impl Iterator<Item = &'a str>) -> String {
    let pairs = pairs_of(column);
    let label = |number: &str| {
        let known = pairs.iter().find(|(known, _)| *known == number);
        known.map_or_else(|| number.to_owned(), |(_, label)| (*label).to_owned())
    };
    let labels: Vec<String> = numbers.map(label).collect();
    labels.join(";")
}

/// A value as it is after Dataverse has stored it: an empty text is none.
fn stored(kind: Kind, value: Option<&str>) -> Option<&str> {
    value.filter(|value| kind != Kind::Text || !value.is_empty())
}

/// Whether a field that holds `held` would hold the same after `sent` was written into it.
pub(super) fn same_after_storing(
    field: &LayoutField,
    sent: Option<&str>,
    held: Option<&str>,
) -> bool {
    let column = &field.column;
    let kind = column.holds.kind().unwrap_or(field.kind);
    let (Some(sent), Some(held)) = (stored(kind, sent), stored(kind, held)) else {
        return stored(kind, sent).is_none() && stored(kind, held).is_none();
    };
    if sent == held {
        return true;
    }
    match (nature(column), kind) {
        (Nature::Choice, _) => number_of(column, sent) == number_of(column, held),
        (Nature::Choices, _) => members(column, sent) == members(column, held),
        (Nature::Lookup, _) => target(sent) == target(held),
        (Nature::Members, _) => ids_of(sent) == ids_of(held),
        (Nature::Plain, Kind::Uuid) => sent.eq_ignore_ascii_case(held),
        (Nature::Plain, Kind::Instant | Kind::Timestamp) => {
            let second = |text| Some(micros(text)?.div_euclid(1_000_000));
            second(sent).is_some() && second(sent) == second(held)
        }
        // Numbers come back as they are counted with, padded or not.
        (Nature::Plain, Kind::Integer | Kind::Float32 | Kind::Float64) => {
            same(Kind::Decimal, Some(sent), Some(held)) || same(kind, Some(sent), Some(held))
        }
        (Nature::Plain, kind) => same(kind, Some(sent), Some(held)),
    }
}

/// The form in which two keys are the same text if one finds the other's row: byte by byte, so that
/// two keys that only differ in case never lead to one row.
pub(super) fn key_form(field: &LayoutField, part: &str) -> String {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    match (nature(&field.column), kind) {
        (Nature::Choice, _) => number_of(&field.column, part).to_owned(),
        (Nature::Lookup, _) | (_, Kind::Uuid) => match target(part) {
            (_, Some(id)) => id.to_string(),
            (_, None) => part.to_lowercase(),
        },
        (_, Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64) => {
            Decimal::parse(part).map_or_else(|_| part.to_owned(), plain)
        }
        (_, Kind::Instant | Kind::Timestamp) => instant(part).into_owned(),
        (_, Kind::Boolean) => boolean(part).to_owned(),
        (_, Kind::Text | Kind::Date | Kind::Time | Kind::Json) => part.to_owned(),
    }
}

/// The table and the id that a lookup's value names: `contact(GUID)`, or a GUID alone.
fn target(text: &str) -> (Option<&str>, Option<Uuid>) {
    match text.split_once('(') {
        Some((table, rest)) => {
            let id = Uuid::parse_str(rest.trim_end_matches(')')).ok();
            (Some(table), id)
        }
        None => (None, Uuid::parse_str(text).ok()),
    }
}

/// A row's id as a lookup's value: where it may lead to several tables, with the one that it does.
pub(in crate::destination::service) fn reference_text(
    column: &ObjectColumn,
    table: &str,
    id: &str,
) -> String {
    match (nature(column), &column.holds) {
        (Nature::Lookup, Holds::Text { .. }) => format!("{table}({id})"),
        (_, _) => id.to_owned(),
    }
}

/// An instant as the API reads it; as it is, if it is none.
fn instant(text: &str) -> Cow<'_, str> {
    let read = micros(text).and_then(DateTime::<Utc>::from_timestamp_micros);
    read.map_or(Cow::Borrowed(text), |instant| {
        Cow::Owned(instant.to_rfc3339_opts(SecondsFormat::Secs, true))
    })
}

/// A number as it is, for no digit of it is to be lost; what is none gets nowhere.
fn number(value: &str) -> Option<&str> {
    serde_json::from_str::<serde_json::Number>(value).ok()?;
    Some(value)
}

/// A value as `$filter` writes it.
pub(super) fn in_filter(field: &LayoutField, value: &str) -> String {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    let quoted = |value: &str| format!("'{}'", value.replace('\'', "''"));
    match (nature(&field.column), kind) {
        (Nature::Choice, _) => number(number_of(&field.column, value))
            .unwrap_or("-1")
            .to_owned(),
        (Nature::Lookup, _) | (_, Kind::Uuid) => match target(value) {
            (_, Some(id)) => id.to_string(),
            (_, None) => Uuid::nil().to_string(),
        },
        (_, Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64) => {
            number(value).unwrap_or("0").to_owned()
        }
        (_, Kind::Boolean) => boolean(value).to_owned(),
        (_, Kind::Instant | Kind::Timestamp) if micros(value).is_some() => {
            instant(value).into_owned()
        }
        (_, Kind::Date)
            if value
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-') =>
        {
            value.to_owned()
        }
        (_, _) => quoted(value),
    }
}

/// A member of a payload: its name and its value, as JSON.
/// Errors: the value cannot be sent, in words.
pub(super) fn member(
    table: &TableDescription,
    field: &LayoutField,
    value: Option<&str>,
) -> Result<(String, String), String> {
    let column = &field.column;
    let kind = column.holds.kind().unwrap_or(field.kind);
    if nature(column) == Nature::Lookup {
        return reference(table, &column.name, value);
    }
    let json = match (nature(column), stored(kind, value)) {
        (_, None) => "null".to_owned(),
        (Nature::Choice, Some(word)) => number(number_of(column, word))
            .ok_or_else(|| format!("`{word}` is no choice of `{}`", column.name))?
            .to_owned(),
        (Nature::Choices, Some(words)) => numbers(column, words)?,
        (Nature::Plain | Nature::Lookup | Nature::Members, Some(value)) => plain_json(kind, value),
    };
    Ok((text(&column.name), json))
}

fn numbers(column: &ObjectColumn, words: &str) -> Result<String, String> {
    let members = members(column, words);
    match members.iter().find(|member| number(member).is_none()) {
        Some(word) => Err(format!("`{word}` is no choice of `{}`", column.name)),
        None if members.is_empty() => Ok("null".to_owned()),
        None => Ok(text(&Vec::from_iter(members).join(","))),
    }
}

fn plain_json(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Integer | Kind::Decimal | Kind::Float32 | Kind::Float64 => {
            number(value).map_or_else(|| text(value), str::to_owned)
        }
        Kind::Boolean => boolean(value).to_owned(),
        Kind::Instant | Kind::Timestamp => text(&instant(value)),
        Kind::Text | Kind::Date | Kind::Time | Kind::Uuid | Kind::Json => text(value),
    }
}

/// A lookup is set through the relationship that leads to its target's table.
fn reference(
    table: &TableDescription,
    column: &str,
    value: Option<&str>,
) -> Result<(String, String), String> {
    let named = |navigation: &str| text(&format!("{navigation}@odata.bind"));
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        let relationship = table.any_relationship(column);
        let relationship = relationship.ok_or_else(|| format!("`{column}` leads nowhere"))?;
        let name = &relationship.referencing_entity_navigation_property_name;
        return Ok((named(name), "null".to_owned()));
    };
    let (target_table, id) = target(value);
    let id = id.ok_or_else(|| format!("`{value}` names no row: write its GUID"))?;
    let relationship = table.relationship(column, target_table).ok_or_else(|| {
        let tables = table
            .attribute(column)
            .map(Attribute::leads_to)
            .unwrap_or_default();
        format!(
            "`{value}` does not say of which table it is: write `TABLE(GUID)`, with one of {}",
            tables.join(", ")
        )
    })?;
    let target = &relationship.referenced_entity;
    let set = table.target_sets.get(target);
    let set = set.ok_or_else(|| format!("the table `{target}` is not known"))?;
    let name = &relationship.referencing_entity_navigation_property_name;
    Ok((named(name), text(&format!("/{set}({id})"))))
}

/// What a row holds in a column, as text; a choice by its label, a lookup that may lead to several
/// tables with the one it leads to.
pub(super) fn held(
    column: &ObjectColumn,
    json: &str,
    target_table: Option<&str>,
) -> Option<String> {
    let value = match json.trim() {
        "null" => return None,
        json => serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()),
    };
    Some(match nature(column) {
        Nature::Choice => label_of(column, &value),
        Nature::Choices => labels(column, value.split(',').map(str::trim)),
        Nature::Lookup => match (target_table, &column.holds) {
            (Some(table), Holds::Text { .. }) => format!("{table}({value})"),
            (_, _) => value,
        },
        Nature::Plain | Nature::Members => value,
    })
}

fn label_of(column: &ObjectColumn, number: &str) -> String {
    let Holds::Label(words) = &column.holds else {
        return number.to_owned();
    };
    let mut pairs = words.chunks_exact(2);
    let label = pairs.find_map(|pair| match pair {
        [label, known] if known == number => Some(label.clone()),
        _ => None,
    });
    label.unwrap_or_else(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::object::Repertoire;

    fn field(declared: &str, holds: Holds) -> LayoutField {
        let kind = holds.kind().expect("a kind");
        LayoutField::plain(ObjectColumn::plain("c", declared, holds), kind)
    }

    fn text_field(declared: &str) -> LayoutField {
        let repertoire = Repertoire::Unicode { nul: false };
        field(
            declared,
            Holds::Text {
                limit: None,
                repertoire,
            },
        )
    }

    fn words(words: &[&str]) -> Holds {
        Holds::Label(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_choice_is_the_same_by_its_label_and_by_its_number() {
        let risk = field("choice", words(&["low", "100000000", "high", "100000001"]));
        assert!(same_after_storing(&risk, Some("100000001"), Some("high")));
        assert!(!same_after_storing(&risk, Some("low"), Some("high")));
        assert!(same_after_storing(&risk, None, None));
        assert_eq!(
            held(&risk.column, "100000001", None).as_deref(),
            Some("high")
        );
        assert_eq!(
            held(&risk.column, "7", None).as_deref(),
            Some("7"),
            "one that is no more"
        );
        assert_eq!(in_filter(&risk, "high"), "100000001");
    }

    #[test]
    fn several_choices_are_a_set() {
        let interests = text_field("choices(1=Analytics; 4=Security; 9=Law, tax)");
        for sent in ["Security;Analytics", "4,1", "1;4", "Analytics; Security"] {
            assert!(
                same_after_storing(&interests, Some(sent), Some("Analytics;Security")),
                "{sent}"
            );
        }
        assert!(!same_after_storing(
            &interests,
            Some("1"),
            Some("Analytics;Security")
        ));
        assert_eq!(
            held(&interests.column, "\"1,4\"", None).as_deref(),
            Some("Analytics;Security")
        );
        assert_eq!(
            numbers(&interests.column, "Law, tax").as_deref(),
            Ok("\"9\"")
        );
        assert!(numbers(&interests.column, "Analitics").is_err());
    }

    #[test]
    fn rows_of_another_table_are_a_set_of_ids() {
        let list = text_field("many_to_many(contact)");
        let (one, two) = (
            "0a0e0000-0000-4000-8000-00000000000a",
            "0a0e0000-0000-4000-8000-00000000000b",
        );
        let sent = format!("{};{{{}}}", two, one.to_uppercase());
        assert!(same_after_storing(
            &list,
            Some(&sent),
            Some(&format!("{one};{two}"))
        ));
        assert!(!same_after_storing(
            &list,
            Some(one),
            Some(&format!("{one};{two}"))
        ));
        assert!(same_after_storing(&list, None, None));
        assert_eq!(wanted_ids(Some(&sent)).map(|ids| ids.len()), Ok(2));
        assert!(wanted_ids(Some("Acme")).is_err());
    }

    #[test]
    fn what_a_lookup_leads_to_is_the_same_in_any_spelling() {
        let id = "0a0e0000-0000-4000-8000-00000000000a";
        let owner = text_field("lookup(systemuser, team)");
        let json = format!("\"{id}\"");
        let held = held(&owner.column, &json, Some("team"));
        assert_eq!(held, Some(format!("team({id})")));
        let sent = format!("team({})", id.to_uppercase());
        assert!(same_after_storing(&owner, Some(&sent), held.as_deref()));
        let other = format!("systemuser({id})");
        assert!(!same_after_storing(&owner, Some(&other), held.as_deref()));
    }

    #[test]
    fn texts_in_a_filter_cannot_end_it() {
        let name = text_field("string(100)");
        assert_eq!(
            in_filter(&name, "O'Brien' or 1 eq 1"),
            "'O''Brien'' or 1 eq 1'"
        );
        let score = field("decimal(2)", Holds::Decimal { size: Some((5, 2)) });
        assert_eq!(in_filter(&score, "1 or 1 eq 1"), "0");
        assert!(same_after_storing(&score, Some("2.50"), Some("2.5")));
    }

    #[test]
    fn instants_are_the_same_within_their_second() {
        let at = field("datetime", Holds::Instant { fraction_digits: 0 });
        let held = Some("2026-11-20T05:08:09Z");
        assert!(same_after_storing(
            &at,
            Some("2026-11-20 05:08:09.000000Z"),
            held
        ));
        assert!(!same_after_storing(&at, Some("2026-11-20 05:08:10Z"), held));
    }
}
