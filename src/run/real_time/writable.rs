//! Which columns of a write-back requests may write, as far as its job's file tells.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::writers::other_at_once;
use crate::domain::field::Field;
use crate::domain::job::{Job, WriteBack};
use crate::domain::real_time::{self, WhyNot};

/// Why a column of the schema is not written by requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unwritable {
    /// The schema does not have it, or no field is made of it.
    Unknown { known: Vec<String> },
    /// It cannot be.
    Never(WhyNot),
    /// It could be, and nobody switched it on.
    SwitchedOff { field: String },
}

/// One field of a write-back, as callers are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldTold {
    pub(crate) field: String,
    /// The schema's column that it is made of, by which requests name it.
    pub(crate) column: Option<String>,
    /// As the schema declares it.
    #[serde(rename = "type")]
    pub(crate) declared: Option<String>,
    pub(crate) real_time: bool,
    pub(crate) why_not: Option<String>,
}

/// Columns of the schema's unique identifier, in its order.
pub(crate) fn key_columns(write_back: &WriteBack) -> Vec<String> {
    let key = write_back.schema.key_columns();
    key.map(|column| column.name.clone()).collect()
}

/// Every field, with what keeps it from being written in real time; `others` are the project's
/// other jobs, one of which may have it in real time already.
pub(crate) fn told(write_back: &WriteBack, others: &[&Job]) -> Vec<FieldTold> {
    let schema = &write_back.schema;
    let told = |field: &Field| {
        let column = match field.value.columns() {
            [column] => schema.columns.get(*column),
            [..] => None,
        };
        let why_not = match real_time::obstacle(field, &schema.key, write_back.mode) {
            Some(why) => Some(why.words().to_owned()),
            None if field.real_time => None,
            None => Some(off(write_back, field, others)),
        };
        FieldTold {
            field: field.column.text.clone(),
            column: column.map(|column| column.name.clone()),
            declared: column.map(|column| column.column_type.to_string()),
            real_time: why_not.is_none(),
            why_not,
        }
    };
    write_back.fields.iter().map(told).collect()
}

/// Why a field is off that may be written in real time.
fn off(write_back: &WriteBack, field: &Field, others: &[&Job]) -> String {
    let other = others.iter().find_map(|other| {
        let (there, _) = other_at_once((write_back, field), other)?;
        Some(format!(
            "`{}` of job `{}` writes it in real time, and a field has one writer",
            there.name, other.name
        ))
    });
    other.unwrap_or_else(|| "`realtime = true` is not written at it".to_owned())
}

/// The names of the fields that are read back besides those that are written.
pub(crate) fn told_read_back(write_back: &WriteBack) -> Vec<&str> {
    let fields = write_back.read_back.fields.iter();
    fields.map(|field| field.text.as_str()).collect()
}

/// By the source's columns, the fields that they take.
pub(crate) fn told_mirror(write_back: &WriteBack) -> BTreeMap<&str, &str> {
    let mirror = write_back.read_back.mirror.iter();
    mirror
        .map(|one| (one.column.text.as_str(), one.field.as_str()))
        .collect()
}

/// Errors: requests do not write this column.
pub(crate) fn expect_writable(write_back: &WriteBack, column: &str) -> Result<(), Unwritable> {
    let schema = &write_back.schema;
    let position = schema.columns.iter().position(|known| known.name == column);
    let is_of = |field: &&Field| {
        let columns = field.value.columns();
        position.is_some_and(|position| columns.contains(&position))
    };
    let mut refused = None;
    for field in write_back.fields.iter().filter(is_of) {
        match real_time::obstacle(field, &schema.key, write_back.mode) {
            None if field.real_time => return Ok(()),
            None => {
                refused = Some(Unwritable::SwitchedOff {
                    field: field.column.text.clone(),
                });
            }
            Some(why) => refused = refused.or(Some(Unwritable::Never(why))),
        }
    }
    let told = told(write_back, &[])
        .into_iter()
        .filter(|field| field.real_time);
    let known = told.filter_map(|field| field.column).collect();
    Err(refused.unwrap_or(Unwritable::Unknown { known }))
}
