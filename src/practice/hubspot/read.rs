//! Records as answers show them, alone and in batches.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::errors::ApiError;
use super::object::ObjectType;
use super::portal::Portal;
use super::table::{ID, Record};
use crate::practice::call::{Answer, Call};
use crate::practice::faults::drawn;

/// Inputs of one batch.
pub(super) const INPUTS_MAX: usize = 100;

/// Records of one page of a list.
const PAGE_MAX: usize = 100;

/// What a call comes to.
pub(super) type Done = Result<Answer, ApiError>;

pub(super) fn told_moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A record with these of its properties; what holds nothing is null.
pub(super) fn told(object: &ObjectType, id: u64, record: &Record, wanted: &[String]) -> Value {
    let mut properties = Map::new();
    let usual = [
        ("createdate", told_moment(record.created)),
        (object.modified(), told_moment(record.updated)),
        (ID, id.to_string()),
    ];
    for (name, text) in usual {
        properties.insert(name.to_owned(), text.into());
    }
    for name in wanted {
        let held = record.properties.get(name).map(String::as_str);
        let is_known = object.properties.contains_key(name);
        if is_known && !properties.contains_key(name) {
            properties.insert(name.clone(), held.into());
        }
    }
    json!({
        "id": id.to_string(), "properties": properties,
        "createdAt": told_moment(record.created), "updatedAt": told_moment(record.updated),
        "archived": record.archived,
    })
}

/// Puts what an answer lists in an order of its own, as the API does.
pub(super) fn shuffled(mut results: Vec<Value>, number: u64) -> Vec<Value> {
    results.sort_by_cached_key(|result| {
        let id = result.get("id").and_then(Value::as_str).unwrap_or_default();
        drawn(number, id, 1)
    });
    results
}

/// The body of a batch: its inputs. Errors: it is no JSON, or has more inputs than it may.
pub(super) fn inputs(call: &Call) -> Result<(Value, Vec<Value>), ApiError> {
    let body: Value = serde_json::from_slice(&call.body)
        .map_err(|error| ApiError::unreadable_json(&error.to_string()))?;
    let inputs = body.get("inputs").and_then(Value::as_array).cloned();
    let inputs = inputs
        .ok_or_else(|| ApiError::validation("Some required fields were not set: [inputs]"))?;
    match inputs.len() > INPUTS_MAX {
        true => Err(ApiError::too_many(inputs.len())),
        false => Ok((body, inputs)),
    }
}

pub(super) fn text_of(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

pub(super) fn texts_of(value: &Value, name: &str) -> Vec<String> {
    let list = value.get(name).and_then(Value::as_array);
    let list = list.into_iter().flatten().filter_map(Value::as_str);
    list.map(str::to_owned).collect()
}

/// The answer of a batch.
pub(super) fn batch_answer(
    call: &Call,
    usual: u16,
    results: Vec<Value>,
    errors: Vec<Value>,
    more: Map<String, Value>,
) -> Answer {
    let status = if errors.is_empty() { usual } else { 207 };
    let mut body = json!({
        "status": "COMPLETE", "results": shuffled(results, call.hindrance.number),
        "startedAt": told_moment(call.now), "completedAt": told_moment(call.now),
    });
    if let Some(fields) = body.as_object_mut() {
        if !errors.is_empty() {
            fields.insert("numErrors".to_owned(), errors.len().into());
            fields.insert("errors".to_owned(), errors.into());
        }
        fields.extend(more);
    }
    Answer::json(status, body.to_string())
}

impl Portal {
    /// The record that an input means: by its id, or by a property that no two share.
    /// Errors: the property is not one of those.
    pub(super) fn meant(
        &self,
        place: usize,
        id: &str,
        id_property: Option<&str>,
    ) -> Result<Option<u64>, ApiError> {
        let table = self.at(place);
        let Some(property) = id_property else {
            return Ok(id
                .parse()
                .ok()
                .and_then(|id| table.live(id))
                .map(|(id, _)| id));
        };
        let object = &table.object;
        let is_unique = object
            .properties
            .get(property)
            .is_some_and(|property| property.unique);
        let is_email = object.is_contact() && property == "email";
        match is_unique || is_email {
            true => Ok(table.holder(property, id)),
            false => Err(ApiError::validation(format!(
                "Unable to read by non-unique {} property {property}",
                object.type_id
            ))),
        }
    }

    /// `POST /crm/objects/…/batch/read`.
    pub(super) fn batch_read(&self, place: usize, call: &Call) -> Done {
        let (body, inputs) = inputs(call)?;
        let id_property = text_of(&body, "idProperty");
        let wanted = texts_of(&body, "properties");
        let object = self.object(place);
        let (mut found, mut missing) = (BTreeSet::new(), Vec::new());
        for input in &inputs {
            let id = text_of(input, "id").unwrap_or_default();
            match self.meant(place, &id, id_property.as_deref())? {
                Some(record) => drop(found.insert(record)),
                None => missing.push(id),
            }
        }
        let record = |id: &u64| {
            let record = self.at(place).record(*id)?;
            Some(told(&object, *id, record, &wanted))
        };
        let results = found.iter().filter_map(record).collect();
        let errors = match missing.is_empty() {
            true => Vec::new(),
            false => vec![ApiError::not_found(&object.name, missing).entry(None)],
        };
        Ok(batch_answer(call, 200, results, errors, Map::new()))
    }

    /// `GET /crm/objects/…/{id}`.
    pub(super) fn read_one(&self, place: usize, id: &str, call: &Call) -> Done {
        let found = self.meant(place, id, call.parameter("idProperty"))?;
        let object = self.object(place);
        let gone = || {
            ApiError::new(
                404,
                "OBJECT_NOT_FOUND",
                "Object not found. objectId are usually numeric.",
            )
        };
        let id = found.ok_or_else(gone)?;
        let record = self.at(place).record(id).ok_or_else(gone)?;
        let body = told(&object, id, record, &asked_for(call));
        Ok(Answer::json(200, body.to_string()))
    }

    /// `GET /crm/objects/…`.
    pub(super) fn list(&self, place: usize, call: &Call) -> Done {
        let object = self.object(place);
        let after: u64 = number(call, "after").unwrap_or_default();
        let limit = number(call, "limit").unwrap_or(10).clamp(1, PAGE_MAX);
        let records = self.at(place).records();
        let archived = call.parameter("archived") == Some("true");
        let mut live = records.filter(|(id, record)| *id > after && record.archived == archived);
        let wanted = asked_for(call);
        let page: Vec<(u64, Value)> = live
            .by_ref()
            .take(limit)
            .map(|(id, record)| (id, told(&object, id, record, &wanted)))
            .collect();
        let last = page.last().map(|(id, _)| id.to_string());
        let results: Vec<Value> = page.into_iter().map(|(_, record)| record).collect();
        let mut body = json!({ "results": results });
        if let (Some(last), Some(_), Some(fields)) = (last, live.next(), body.as_object_mut()) {
            fields.insert("paging".to_owned(), json!({ "next": { "after": last } }));
        }
        Ok(Answer::json(200, body.to_string()))
    }
}

fn number<T: std::str::FromStr>(call: &Call, name: &str) -> Option<T> {
    call.parameter(name)?.parse().ok()
}

/// The properties that a query asks for, once for each or with commas between.
fn asked_for(call: &Call) -> Vec<String> {
    let asked = call.query.iter().filter(|(name, _)| name == "properties");
    asked
        .flat_map(|(_, names)| names.split(',').map(str::to_owned))
        .collect()
}
