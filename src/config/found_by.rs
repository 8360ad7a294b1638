//! `found_by`: fields that a record's own row is found by, where these are not its key. A referral
//! goes by its own number, and its candidate is found by an address.

use super::creations::field_named;
use super::document::{Table, Value};
use crate::domain::field::{Field, OnConflict, When};
use crate::domain::match_rule::MatchMode;
use crate::domain::problem::Problem;

/// Reads the positions of the fields that rows are found by, and notes what cannot be had then.
pub(super) fn read_found_by(
    value: Value<'_>,
    table: &Table<'_>,
    mode: MatchMode,
    fields: &[Field],
) -> Option<Vec<usize>> {
    if mode != MatchMode::UpdateOnly {
        let message = format!(
            "`found_by` finds rows that are there, and `matching = \"{}\"` makes some",
            mode.name()
        );
        let hint = "leave `matching` out, or make rows with `steps`, which have `exists_by`";
        value.key_mistake(message, Some(hint.to_owned()));
        return None;
    }
    for (key, hint) in [
        ("compare", "leave it out: rows are looked up to be found"),
        ("full_every", "leave it out: every run looks rows up"),
        (
            "read_back",
            "take it out: requests write to rows by their key",
        ),
        ("mirror", "take it out: requests write to rows by their key"),
    ] {
        if let Some(stray) = table.get(key) {
            let message = format!("`{key}` means nothing beside `found_by`");
            stray.key_mistake(message, Some(hint.to_owned()));
        }
    }
    let names = value.one_or_list();
    if names.is_empty() {
        let hint = "name the fields that tell a row from every other: `found_by = [\"email\"]`";
        value.mistake("`found_by` names no field", Some(hint.to_owned()));
        return None;
    }
    let found: Vec<Option<usize>> = names
        .iter()
        .map(|name| field_named(*name, table, fields))
        .collect();
    let found: Vec<usize> = found.into_iter().collect::<Option<_>>()?;
    for (position, field) in fields.iter().enumerate() {
        let obstacle = match found.contains(&position) {
            true => obstacle_to_finding(field),
            false => obstacle_beside(field),
        };
        if let Some((why, hint)) = obstacle {
            let name = &field.column.text;
            let mistake = Problem::mistake(field.location.clone(), format!("`{name}` {why}"));
            table.document.note(mistake.hint(hint));
        }
    }
    if fields.len() == found.len() {
        let message = "the write-back has no field but those its rows are found by, so it would write nothing";
        value.mistake(message, Some("add the fields to update".to_owned()));
    }
    Some(found)
}

/// Why no row is found by a field, and what to do.
fn obstacle_to_finding(field: &Field) -> Option<(&'static str, &'static str)> {
    if field.way.is_some() || field.reference.is_some() {
        let why = "is of another row, and a record's own is found by it";
        return Some((why, "find it by a field of its own"));
    }
    if field.value.columns().is_empty() {
        let why = "is the same for every record, and a row is found by it";
        return Some((why, "give it a column of the schema"));
    }
    let says_more = field.when != When::Always
        || field.on_conflict != OnConflict::Overwrite
        || field.real_time
        || field.list.is_some();
    let why = "is what a row is found by, and is never written";
    says_more.then_some((why, "name its column, and nothing else"))
}

/// What a field cannot say whose row is found otherwise than by its key, and what to do.
fn obstacle_beside(field: &Field) -> Option<(&'static str, &'static str)> {
    if field.real_time {
        let why = "cannot be written in real time: requests find rows by their key, and this one is found by `found_by`";
        return Some((why, "leave `realtime` out"));
    }
    let keeps = field.on_conflict == OnConflict::Keep;
    let why =
        "has `on_conflict = \"keep\"`, and whose values rows hold is known by their key alone";
    keeps.then_some((
        why,
        "leave it out; `when = \"if_empty\"` fills what is empty",
    ))
}
