//! Fields of rows that a record's own row refers to: `"Account.Owner.Email"`, `reference = "edit"`.
//! The fields of one way become a write-back of their own, over what the whole says, which finds its
//! rows along that way. Where the record's own row is found by other fields than the key
//! (`found_by`), its fields have a way as well: one without a step.

use std::num::NonZeroU32;

use super::document::Table;
use super::names::{is_plain_name, may_be_same, parse_path};
use super::words::word;
use crate::domain::compare::Compare;
use crate::domain::dependent::ReadBack;
use crate::domain::field::{Field, FieldValue, OnConflict, When};
use crate::domain::job::{RowWay, WriteBack};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::NamePart;
use crate::domain::problem::{Location, Problem};
use crate::domain::reference::{FieldWay, NotFound, Reference};

/// Rows that may refer to one that is edited, where nobody says: the record's own and no other.
const SHARED_MAX: NonZeroU32 = NonZeroU32::MIN;

/// The way of a field that says nothing but its name and a column.
pub(super) fn way_of(name: &str) -> Option<FieldWay> {
    along(name, false, None, NotFound::Reject)
}

fn along(
    name: &str,
    edits: bool,
    shared_max: Option<NonZeroU32>,
    not_found: NotFound,
) -> Option<FieldWay> {
    let mut steps = parse_path(name);
    steps.truncate(FieldWay::steps_of(&steps, edits));
    (!steps.is_empty()).then(|| FieldWay {
        name: name.to_owned(),
        steps,
        shared_max,
        not_found,
    })
}

/// Reads how a field comes to its row, and what remains of the row that it names.
pub(super) fn read_way(
    table: &Table<'_>,
    name: &str,
    reference: Option<Reference>,
) -> Option<(Option<FieldWay>, Option<Reference>)> {
    let words = [("repoint", false), ("edit", true)];
    let edits = table
        .get("reference")
        .map_or(Some(false), |value| word(value, &words))?;
    let shared_max = match table.get("shared_max") {
        None => None,
        Some(value) => Some(value.integer(1, u32::MAX).and_then(NonZeroU32::new)?),
    };
    let not_found = reference.as_ref().map(|reference| reference.not_found);
    let not_found = not_found.unwrap_or_default();
    let way = along(name, edits, shared_max, not_found);
    if way.is_none() {
        let stray = table.get("shared_max").or(table.get("reference"));
        if let Some(stray) = stray.filter(|_| edits || shared_max.is_some()) {
            let message = format!(
                "`{}` is of a row that the record's own refers to, and `{name}` names none",
                stray.key
            );
            let hint = "name the field by the way to it: `\"Account.Phone\"`".to_owned();
            stray.key_mistake(message, Some(hint));
            return None;
        }
        return Some((None, reference));
    }
    check_conflict(table)?;
    let looks_up = !edits || table.get("refers_to").is_some();
    if looks_up {
        return Some((way, reference));
    }
    check_edit(table, not_found)?;
    Some((way, None))
}

/// Of rows that others refer to, it is not kept account who wrote them.
fn check_conflict(table: &Table<'_>) -> Option<()> {
    let conflict = table.get("on_conflict");
    if let Some(conflict) = conflict.filter(|value| value.plain_text().as_deref() == Some("keep")) {
        let hint = "leave it out, or write the field in a write-back of its own object".to_owned();
        conflict.key_mistake(
            "`on_conflict = \"keep\"` is of fields of the record's own row",
            Some(hint),
        );
        return None;
    }
    Some(())
}

/// An edit looks nothing up: the way tells its row.
fn check_edit(table: &Table<'_>, not_found: NotFound) -> Option<()> {
    if let Some(stray) = table.get("only_where") {
        let hint = "leave it out: the way tells the row that is edited".to_owned();
        stray.key_mistake(
            "`only_where` chooses among rows, and none is looked up",
            Some(hint),
        );
        return None;
    }
    if let (Some(stray), NotFound::Null) = (table.get("not_found"), not_found) {
        let hint = "write `not_found = \"keep\"` to skip records that lead to no row".to_owned();
        stray.key_mistake(
            "`not_found = \"null\"` empties a reference, and this edits a row",
            Some(hint),
        );
        return None;
    }
    Some(())
}

/// The field's name at its row, and its parts where that is a path.
pub(super) fn own_name(name: &str, way: &FieldWay) -> Option<(NamePart, Vec<NamePart>)> {
    let mut path = parse_path(name);
    path.drain(..way.steps.len());
    match path.as_slice() {
        [only] => Some((only.clone(), Vec::new())),
        [first, last] => {
            let text = format!("{}.{}", first.text, last.text);
            let column = NamePart {
                text,
                quoted: false,
            };
            Some((column, path))
        }
        _ => None,
    }
}

/// A write-back without the fields of other rows, if it writes any of its own, and then one for
/// each way that fields take. Its rows are found by the fields at the positions `found_by`, where
/// these are named, and else by its key.
pub(super) fn split(
    mut whole: WriteBack,
    found_by: Option<&[usize]>,
    table: &Table<'_>,
) -> Vec<WriteBack> {
    let own_key = whole.key_fields();
    let key: Vec<Field> = found_by
        .unwrap_or(&own_key)
        .iter()
        .filter_map(|position| whole.fields.get(*position).cloned())
        .collect();
    let (led, own): (Vec<Field>, Vec<Field>) = whole
        .fields
        .drain(..)
        .partition(|field| field.way.is_some());
    whole.fields = own;
    let mut groups: Vec<(Vec<NamePart>, Vec<Field>)> = Vec::new();
    for field in led {
        let steps = field.way.as_ref().map(|way| way.steps.clone());
        let steps = steps.unwrap_or_default();
        match groups.iter_mut().find(|(known, _)| are_same(known, &steps)) {
            Some((_, fields)) => fields.push(field),
            None => groups.push((steps, vec![field])),
        }
    }
    let made: Vec<WriteBack> = groups
        .into_iter()
        .filter_map(|(steps, fields)| along_way(&whole, &key, steps, fields, table))
        .collect();
    let writes_own = whole.fields.len() > key.len() || made.is_empty();
    let own = writes_own.then(|| match found_by {
        None => whole,
        Some(_) => of_own_row(whole, key),
    });
    own.into_iter().chain(made).collect()
}

/// The write-back that writes to records' own rows, which are found by these fields.
fn of_own_row(mut whole: WriteBack, key: Vec<Field>) -> WriteBack {
    let fields = std::mem::take(&mut whole.fields).into_iter();
    let written = fields.filter(|field| !key.contains(field));
    let id = id_field(&whole.table_location);
    WriteBack {
        fields: std::iter::once(id).chain(written).collect(),
        way: Some(RowWay {
            of: whole.name.clone(),
            key,
            only_where: std::mem::take(&mut whole.only_where),
            steps: Vec::new(),
            shared_max: SHARED_MAX,
            not_found: NotFound::Reject,
        }),
        ..whole
    }
}

/// The id of the row that a way leads to.
fn id_field(location: &Location) -> Field {
    Field {
        // Its name is known where the way is met with its objects.
        column: NamePart {
            text: String::new(),
            quoted: true,
        },
        path: Vec::new(),
        way: None,
        clears_first: false,
        value: FieldValue::About,
        when: When::Always,
        on_conflict: OnConflict::Overwrite,
        real_time: false,
        reference: None,
        list: None,
        location: location.clone(),
    }
}

fn are_same(left: &[NamePart], right: &[NamePart]) -> bool {
    let mut parts = left.iter().zip(right);
    left.len() == right.len() && parts.all(|(left, right)| may_be_same(left, right))
}

/// The write-back that the fields of one way are.
fn along_way(
    whole: &WriteBack,
    key: &[Field],
    steps: Vec<NamePart>,
    fields: Vec<Field>,
    table: &Table<'_>,
) -> Option<WriteBack> {
    let first = fields.first()?;
    if !whole.mode.updates() {
        let message = format!(
            "`{}` is of a row that is there, and `matching = \"{}\"` updates none",
            first.way.as_ref()?.name,
            whole.mode.name()
        );
        let hint = "write it in a write-back with `matching = \"update_only\"`";
        note(table, &first.location, message, hint);
        return None;
    }
    let shared_max = shared_max(&fields, table)?;
    let rejects = |field: &Field| {
        let way = field.way.as_ref();
        way.is_none_or(|way| way.not_found == NotFound::Reject)
    };
    let not_found = match fields.iter().any(rejects) {
        true => NotFound::Reject,
        false => NotFound::Keep,
    };
    let id = id_field(&first.location);
    Some(WriteBack {
        name: name_along(&whole.name, &steps),
        mode: MatchMode::UpdateOnly,
        compare: Compare::Destination,
        fields: std::iter::once(id).chain(fields).collect(),
        only_where: Vec::new(),
        // Requests write to the record's own row.
        read_back: ReadBack::default(),
        way: Some(RowWay {
            of: whole.name.clone(),
            key: key.to_vec(),
            only_where: whole.only_where.clone(),
            steps,
            shared_max,
            not_found,
        }),
        ..whole.clone()
    })
}

/// What the fields of one way say of the row that they share: one thing.
fn shared_max(fields: &[Field], table: &Table<'_>) -> Option<NonZeroU32> {
    let said = |field: &Field| Some((field.way.as_ref()?.shared_max?, field.location.clone()));
    let mut said = fields.iter().filter_map(said);
    let Some((first, place)) = said.next() else {
        return Some(SHARED_MAX);
    };
    match said.find(|(other, _)| *other != first) {
        None => Some(first),
        Some((_, location)) => {
            let message = "fields of one row say different `shared_max`".to_owned();
            let hint = format!("the other is in line {}; say it once", place.line);
            note(table, &location, message, &hint);
            None
        }
    }
}

fn note(table: &Table<'_>, location: &Location, message: String, hint: &str) {
    let mistake = Problem::mistake(location.clone(), message);
    table.document.note(mistake.hint(hint));
}

/// `contacts.Account.Owner`: also the name of files.
fn name_along(whole: &str, steps: &[NamePart]) -> String {
    let plain = |character: char| match is_plain_name(&format!("a{character}")) {
        true => character,
        false => '_',
    };
    let steps = steps
        .iter()
        .map(|step| step.text.chars().map(plain).collect::<String>());
    std::iter::once(whole.to_owned())
        .chain(steps)
        .collect::<Vec<_>>()
        .join(".")
}
