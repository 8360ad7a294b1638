//! `read_back` and `mirror`: fields that depend on what requests write, and columns of the source
//! that take them at once.

use super::Project;
use super::document::{Table, Value};
use super::names::{may_be_same, parse_column_name, parse_path};
use super::write_back::Common;
use crate::domain::dependent::{MirroredColumn, NamedField, ReadBack};
use crate::domain::field::Field;
use crate::domain::schema::Schema;

const KEYS: [&str; 2] = ["read_back", "mirror"];

/// Notes both beside what only makes rows.
pub(super) fn refuse_read_back(table: &Table<'_>, beside: &str) {
    for value in KEYS.iter().filter_map(|key| table.get(key)) {
        let message = format!("`{}` means nothing beside `{beside}`", value.key);
        let hint = "leave it out: requests write to rows that are there".to_owned();
        value.key_mistake(message, Some(hint));
    }
}

/// Reads what is read back and mirrored; nothing, where neither is said.
pub(super) fn read_read_back(
    table: &Table<'_>,
    common: &Common,
    project: &Project,
    fields: Option<&[Field]>,
) -> Option<ReadBack> {
    let mut read = ReadBack::default();
    let mut is_whole = true;
    for element in table.get("read_back").iter().flat_map(Value::one_or_list) {
        match named_field(element) {
            Some(field) => add(&mut read, field),
            None => is_whole = false,
        }
    }
    if let Some(mirror) = table.get("mirror") {
        is_whole &= expect_mirror(mirror, common, project).is_some();
        let columns = mirror.table("`mirror`".to_owned());
        for entry in columns.iter().flat_map(Table::entries) {
            match mirrored(entry, &read.mirror, common.schema.as_ref()) {
                Some((column, field)) => {
                    add(&mut read, field);
                    read.mirror.push(column);
                }
                None => is_whole = false,
            }
        }
        is_whole &= columns.is_some();
    }
    let has_real_time = fields.is_none_or(|fields| fields.iter().any(|field| field.real_time));
    if let (false, Some(value)) = (has_real_time, KEYS.iter().find_map(|key| table.get(key))) {
        value.warning(
            format!(
                "`{}` is of requests, and no field has `realtime = true`",
                value.key
            ),
            Some("write `realtime = true` at the fields that requests may write".to_owned()),
        );
    }
    is_whole.then_some(read)
}

fn add(read: &mut ReadBack, field: NamedField) {
    if !read.fields.iter().any(|known| known.text == field.text) {
        read.fields.push(field);
    }
}

fn named_field(value: Value<'_>) -> Option<NamedField> {
    let text = value.text()?;
    match parse_column_name(text) {
        Ok(column) => Some(NamedField {
            text: text.to_owned(),
            column,
            path: parse_path(text),
            location: value.location(),
        }),
        Err(why) => {
            let message = format!("`{}` is not a field's name: {why}", text.escape_debug());
            let hint = "name a path such as `Owner.Name`, or a column of the table".to_owned();
            value.mistake(message, Some(hint));
            None
        }
    }
}

/// Errors, as `None`: nothing can be written into the source.
fn expect_mirror(mirror: Value<'_>, common: &Common, project: &Project) -> Option<()> {
    let source = common.source.as_ref()?;
    if let Some(why) = project.read_only.get(source) {
        let message = format!("`mirror` writes into source `{source}`, which {why}");
        let hint = "leave it out: it takes a source that is a database".to_owned();
        mirror.key_mistake(message, Some(hint));
        return None;
    }
    let schema = common.schema.as_ref()?;
    if schema.model.is_some() {
        let message = format!(
            "`mirror` writes into the source's own table, and `{}` reads a query",
            schema.file
        );
        let hint = "leave it out, or take the SELECT out of the schema".to_owned();
        mirror.key_mistake(message, Some(hint));
        return None;
    }
    Some(())
}

fn mirrored(
    entry: Value<'_>,
    earlier: &[MirroredColumn],
    schema: Option<&Schema>,
) -> Option<(MirroredColumn, NamedField)> {
    let column = match parse_column_name(entry.key) {
        Ok(column) => column,
        Err(why) => {
            let message = format!(
                "`{}` is not a column's name: {why}",
                entry.key.escape_debug()
            );
            entry.key_mistake(message, None);
            return None;
        }
    };
    let is_key = |schema: &Schema| {
        let mut key = schema.key_columns();
        key.any(|key| key.name.to_lowercase() == column.text.to_lowercase())
    };
    if schema.is_some_and(is_key) {
        let message = format!("`{}` is what the source's row is found by", column.text);
        entry.key_mistake(message, Some("mirror into another column".to_owned()));
        return None;
    }
    if earlier
        .iter()
        .any(|other| may_be_same(&other.column, &column))
    {
        let message = format!("`{}` is mirrored into twice", column.text);
        entry.key_mistake(message, Some("keep one of them".to_owned()));
        return None;
    }
    let field = named_field(entry)?;
    let mirrored = MirroredColumn {
        column,
        field: field.text.clone(),
        location: entry.key_location(),
    };
    Some((mirrored, field))
}
