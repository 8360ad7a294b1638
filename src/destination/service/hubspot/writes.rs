//! Requests that write: batches of records, each with a mark by which its answer is known.

use serde_json::{Map, Value, json};

use super::super::look_up::Texts;
use super::super::seam::{ServiceVerb, ServiceWrite};
use super::super::values::members;
use super::answers::Input;
use super::describe::{AssociationTypes, associated, labelled};
use super::marks::{id_of, mark_of};
use super::values::wire;
use crate::domain::layout::Layout;
use crate::http::Repeat;

/// A batch: what is done to records, and what may be done if its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Update,
    Create,
    Archive,
}

impl Verb {
    pub(super) fn of(writes: &[&ServiceWrite<'_>]) -> Self {
        match writes.first().map(|write| &write.verb) {
            Some(ServiceVerb::Create { .. }) => Self::Create,
            Some(ServiceVerb::Delete { .. }) => Self::Archive,
            Some(ServiceVerb::Update { .. }) | None => Self::Update,
        }
    }

    /// As the path ends.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Create => "create",
            Self::Archive => "archive",
        }
    }

    pub(super) fn repeat(self) -> Repeat {
        match self {
            // It goes by ids, and archives what is archived once more.
            Self::Update | Self::Archive => Repeat::SameTwice,
            Self::Create => Repeat::IfUndone,
        }
    }
}

/// How the answer's parts are joined to these writes.
pub(super) fn inputs<'a>(
    layout: &'a Layout,
    texts: &Texts,
    writes: &[&'a ServiceWrite<'_>],
) -> Vec<Input<'a>> {
    let unique = layout.numbered_key().find(|(_, field)| {
        let own = [field.column.name.clone()];
        layout.object.unique_keys.iter().any(|key| *key == own)
    });
    let shown = |write: &ServiceWrite<'_>| {
        let (place, field) = unique?;
        let sent = wire(field, texts.value(write.record, place));
        (!sent.is_empty()).then_some((field.column.name.as_str(), sent))
    };
    writes
        .iter()
        .map(|write| Input {
            id: id_of(write),
            mark: mark_of(write),
            unique: shown(write),
        })
        .collect()
}

/// `{"inputs":[{"id":…,"properties":{…},"objectWriteTraceId":…}]}`.
pub(super) fn body(
    verb: Verb,
    layout: &Layout,
    texts: &Texts,
    writes: &[&ServiceWrite<'_>],
    types: &AssociationTypes,
) -> String {
    let input = |write: &&ServiceWrite<'_>| {
        let mut input = Map::new();
        if let Some(id) = id_of(write) {
            input.insert("id".to_owned(), Value::from(id.0.as_str()));
        }
        if verb != Verb::Archive {
            let properties = properties(verb, layout, texts, write);
            input.insert("properties".to_owned(), Value::Object(properties));
            input.insert("objectWriteTraceId".to_owned(), Value::from(mark_of(write)));
            let associations = associations(layout, texts, write, types);
            if verb == Verb::Create && !associations.is_empty() {
                input.insert("associations".to_owned(), associations.into());
            }
        }
        Value::Object(input)
    };
    let inputs: Vec<Value> = writes.iter().map(input).collect();
    json!({ "inputs": inputs }).to_string()
}

fn properties(
    verb: Verb,
    layout: &Layout,
    texts: &Texts,
    write: &ServiceWrite<'_>,
) -> Map<String, Value> {
    let fields = sent(layout, texts, write);
    // A new record has nothing that could be emptied.
    let fields = fields.filter(|(_, text)| verb != Verb::Create || !text.is_empty());
    let fields = fields.map(|(name, text)| (name.to_owned(), Value::from(text)));
    fields.collect()
}

/// Names and values of the properties that are sent.
pub(super) fn sent<'a>(
    layout: &'a Layout,
    texts: &'a Texts,
    write: &'a ServiceWrite<'_>,
) -> impl Iterator<Item = (&'a str, String)> {
    let fields = write.fields.iter();
    let fields = fields.filter_map(|place| Some((place, layout.fields.get(*place)?)));
    let properties = fields.filter(|(_, field)| associated(&field.column).is_none());
    properties.map(|(place, field)| {
        let text = wire(field, texts.value(write.record, *place));
        (field.column.name.as_str(), text)
    })
}

/// What a new record belongs to.
fn associations(
    layout: &Layout,
    texts: &Texts,
    write: &ServiceWrite<'_>,
    types: &AssociationTypes,
) -> Vec<Value> {
    let of_field = |place: &usize| {
        let field = layout.fields.get(*place)?;
        let usual = types.get(associated(&field.column)?).cloned();
        let spec = labelled(&field.column).or(usual)?.spec();
        let ids = members(texts.value(write.record, *place)?).into_iter();
        let one = move |id: &str| json!({ "to": { "id": id }, "types": [spec.clone()] });
        Some(ids.map(one).collect::<Vec<_>>())
    };
    let fields = write.fields.iter();
    fields.filter_map(of_field).flatten().collect()
}
