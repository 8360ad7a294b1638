//! Up to 200 records in one call: `/composite/sobjects`. Source: "sObject Collections" of the REST
//! API guide, and recorded answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::errors::{ApiError, RowError};
use super::org::Org;
use super::rest::Caller;
use super::rows::object_body;
use super::settings::Event;
use super::value::{Held, from_json, from_text};
use super::write::WriteError;
use crate::domain::salesforce_id::canonical_id;
use crate::practice::call::{Answer, Call};

/// Records of one call.
const RECORDS_MAX: usize = 200;

/// What became of one record.
enum RowResult {
    Done { id: String, created: Option<bool> },
    Failed(RowError),
}

impl RowResult {
    fn value(&self) -> Value {
        match self {
            Self::Done {
                id,
                created: Some(created),
            } => json!({ "id": id, "success": true, "errors": [], "created": created }),
            Self::Done { id, created: None } => json!({ "id": id, "success": true, "errors": [] }),
            Self::Failed(error) => json!({ "success": false, "errors": [error.value()] }),
        }
    }
}

type Answered = Result<Answer, ApiError>;

/// The records of a call, and whether all of them are written or none.
struct Collection {
    records: Vec<Map<String, Value>>,
    all_or_none: bool,
}

fn collection(call: &Call) -> Result<Collection, ApiError> {
    let body = object_body(call)?;
    let records = match body.get("records") {
        Some(Value::Array(records)) => records,
        Some(_) | None => &Vec::new(),
    };
    if records.is_empty() {
        return Err(ApiError::new(
            400,
            "REQUIRED_FIELD_MISSING",
            "At least 1 record is required",
        ));
    }
    check_count(records.len())?;
    let objects = records.iter().map(|record| {
        let object = record.as_object().cloned();
        object.ok_or_else(|| {
            ApiError::unparsable("Cannot deserialize instance of SObject at [line:1, column:2]")
        })
    });
    let all_or_none = body
        .get("allOrNone")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    Ok(Collection {
        records: objects.collect::<Result<_, _>>()?,
        all_or_none,
    })
}

fn check_count(count: usize) -> Result<(), ApiError> {
    match count > RECORDS_MAX {
        true => {
            let message = format!(
                "record limit reached. cannot submit more than {RECORDS_MAX} records into this call"
            );
            Err(ApiError::new(400, "EXCEEDED_ID_LIMIT", message))
        }
        false => Ok(()),
    }
}

/// The type that a record names.
fn type_of(record: &Map<String, Value>) -> Option<&str> {
    record.get("attributes")?.get("type")?.as_str()
}

fn id_of(record: &Map<String, Value>) -> Option<&str> {
    let id = record
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("id"));
    id.and_then(|(_, id)| id.as_str())
        .filter(|id| !id.is_empty())
}

fn no_type(name: Option<&str>) -> RowError {
    match name {
        Some(name) => RowError::new("INVALID_TYPE", ApiError::no_object(name).message, &[]),
        None => RowError::new("INVALID_TYPE", "Entity type is missing in attributes", &[]),
    }
}

impl Org {
    /// `POST /composite/sobjects`.
    pub(super) fn create_rows(&mut self, call: &Call, caller: &Caller) -> Answered {
        let collection = collection(call)?;
        self.each(
            call,
            collection.all_or_none,
            &collection.records,
            |org, row, record| {
                let place = type_of(record).and_then(|name| org.table(name));
                let place = place.ok_or_else(|| no_type(type_of(record)))?;
                if id_of(record).is_some() {
                    let message = "cannot specify Id in an insert call";
                    return Err(
                        RowError::new("INVALID_FIELD_FOR_INSERT_UPDATE", message, &["Id"]).into(),
                    );
                }
                let given = org.given(place, record, Event::Insert)?;
                let id = org.insert(place, given, &caller.wishes(call, row))?;
                Ok(RowResult::Done { id, created: None })
            },
        )
    }

    /// `PATCH /composite/sobjects`: never makes one.
    pub(super) fn update_rows(&mut self, call: &Call, caller: &Caller) -> Answered {
        let collection = collection(call)?;
        let mut seen = BTreeSet::new();
        self.each(
            call,
            collection.all_or_none,
            &collection.records,
            |org, row, record| {
                let Some(told) = id_of(record) else {
                    let message = "Id not specified in an update call";
                    return Err(RowError::new("MISSING_ARGUMENT", message, &[]).into());
                };
                let place = type_of(record).and_then(|name| org.table(name));
                let place = place.ok_or_else(|| no_type(type_of(record)))?;
                let id = org.id_in(place, told)?;
                if !seen.insert(id.clone()) {
                    let message = format!("duplicate id specified: {id}");
                    return Err(RowError::new("DUPLICATE_VALUE", message, &["Id"]).into());
                }
                let given = org.given(place, record, Event::Update)?;
                org.update(place, &id, given, &caller.wishes(call, row))?;
                Ok(RowResult::Done { id, created: None })
            },
        )
    }

    /// `PATCH /composite/sobjects/X/field`.
    pub(super) fn upsert_rows(
        &mut self,
        call: &Call,
        caller: &Caller,
        place: usize,
        name: &str,
    ) -> Answered {
        let collection = collection(call)?;
        let object = self.object(place);
        let key = object.find(name).filter(|key| object.field(*key).is_key());
        let Some(key) = key else {
            let message =
                format!("Provided external ID field does not exist or is not accessible: {name}");
            return Err(ApiError::new(404, "NOT_FOUND", message));
        };
        let field = object.field(key);
        let key_of = |record: &Map<String, Value>| {
            let told = record
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&field.name));
            told.and_then(|(_, told)| from_json(told, field).ok().flatten())
        };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for held in collection.records.iter().filter_map(key_of) {
            *counts.entry(held.key(field.case_sensitive)).or_default() += 1;
        }
        self.each(
            call,
            collection.all_or_none,
            &collection.records,
            |org, row, record| {
                let of_type = type_of(record).and_then(|name| org.table(name));
                if of_type != Some(place) {
                    return Err(no_type(type_of(record)).into());
                }
                if field.name != "Id" && id_of(record).is_some() {
                    let message = "The Id field should not be specified in the sobject data.";
                    return Err(RowError::new("INVALID_FIELD", message, &["Id"]).into());
                }
                let Some(held) = key_of(record) else {
                    let message = format!("{} not specified", field.name);
                    return Err(RowError::new("MISSING_ARGUMENT", message, &[&field.name]).into());
                };
                if counts
                    .get(&held.key(field.case_sensitive))
                    .is_some_and(|count| *count > 1)
                {
                    let words = held.as_text().map_or_else(|| held.key(true), str::to_owned);
                    let message = format!("Duplicate external id specified: {words}");
                    return Err(RowError::new("DUPLICATE_VALUE", message, &[&field.name]).into());
                }
                let (id, created) =
                    org.upsert(place, key, &held, record, &caller.wishes(call, row))?;
                Ok(RowResult::Done {
                    id,
                    created: Some(created),
                })
            },
        )
    }

    /// Changes the record of a key, or makes it; says which.
    pub(super) fn upsert(
        &mut self,
        place: usize,
        key: usize,
        held: &Held,
        record: &Map<String, Value>,
        wishes: &super::write::Wishes,
    ) -> Result<(String, bool), WriteError> {
        let object = self.object(place);
        let field = object.field(key);
        let mut fields = record.clone();
        fields.retain(|name, _| !name.eq_ignore_ascii_case(&field.name));
        match self.keyed(place, key, held)? {
            Some(id) => {
                let given = self.given(place, &fields, Event::Update)?;
                self.update(place, &id, given, wishes)?;
                Ok((id, false))
            }
            None if field.name == "Id" => {
                let message = "invalid cross reference id";
                Err(RowError::new("INVALID_CROSS_REFERENCE_KEY", message, &[]).into())
            }
            None => {
                let mut given = self.given(place, &fields, Event::Insert)?;
                given.push((key, Some(held.clone())));
                Ok((self.insert(place, given, wishes)?, true))
            }
        }
    }

    /// `DELETE /composite/sobjects?ids=a,b`.
    pub(super) fn delete_rows(&mut self, call: &Call, caller: &Caller) -> Answered {
        let ids = call.parameter("ids").unwrap_or_default();
        let ids: Vec<&str> = ids
            .split(',')
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .collect();
        if ids.is_empty() {
            return Err(ApiError::new(
                400,
                "REQUIRED_FIELD_MISSING",
                "At least 1 record is required",
            ));
        }
        check_count(ids.len())?;
        let all_or_none = call
            .parameter("allOrNone")
            .is_some_and(|told| told.eq_ignore_ascii_case("true"));
        self.each(call, all_or_none, &ids, |org, row, told| {
            let id = canonical_id(told);
            let place = id.as_deref().and_then(|id| org.place_of(id));
            let (Some(id), Some(place)) = (id, place) else {
                return Err(
                    RowError::new("MALFORMED_ID", format!("malformed id {told}"), &[]).into(),
                );
            };
            org.delete(place, &id, &caller.wishes(call, row))?;
            Ok(RowResult::Done { id, created: None })
        })
    }

    /// Takes records one by one, in their order; takes all back where one failed and all or none
    /// were wanted.
    fn each<T>(
        &mut self,
        _call: &Call,
        all_or_none: bool,
        records: &[T],
        mut take: impl FnMut(&mut Self, usize, &T) -> Result<RowResult, WriteError>,
    ) -> Answered {
        let mark = self.mark();
        let mut results = Vec::with_capacity(records.len());
        for (row, record) in records.iter().enumerate() {
            match take(self, row, record) {
                Ok(result) => results.push(result),
                Err(WriteError::Row(error)) => results.push(RowResult::Failed(error)),
                Err(WriteError::Request(error)) => {
                    self.roll_back(mark);
                    return Err(error);
                }
            }
        }
        let has_failed = results
            .iter()
            .any(|result| matches!(result, RowResult::Failed(_)));
        if all_or_none && has_failed {
            self.roll_back(mark);
            for result in &mut results {
                if matches!(result, RowResult::Done { .. }) {
                    let message = "Record rolled back because not all records were valid and the request was using \
                                   AllOrNone header";
                    *result = RowResult::Failed(RowError::new(
                        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                        message,
                        &[],
                    ));
                }
            }
        }
        let told: Vec<Value> = results.iter().map(RowResult::value).collect();
        Ok(Answer::json(200, Value::from(told).to_string()))
    }

    /// An id of an object, in its full form.
    fn id_in(&self, place: usize, told: &str) -> Result<String, RowError> {
        let id = canonical_id(told);
        match id {
            Some(id) if self.place_of(&id) == Some(place) => Ok(id),
            Some(_) => {
                let message = format!(
                    "{} ID: id value of incorrect type: {told}",
                    self.at(place).object.label
                );
                Err(RowError::new("MALFORMED_ID", message, &["Id"]))
            }
            None => Err(RowError::new(
                "MALFORMED_ID",
                format!("bad id {told}"),
                &["Id"],
            )),
        }
    }

    /// Some fields of many records: `null` for one that is not there.
    pub(super) fn read_rows(&mut self, call: &Call, caller: &Caller, place: usize) -> Answered {
        let list = |name: &str| -> Vec<String> {
            let told = call.parameter(name).unwrap_or_default();
            let parts = told
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        };
        let (mut ids, mut names) = (list("ids"), list("fields"));
        if !call.body.is_empty() {
            let body = object_body(call)?;
            let texts = |name: &str| -> Vec<String> {
                let told = body
                    .get(name)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                told.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            (ids, names) = (texts("ids"), texts("fields"));
        }
        let object = self.object(place);
        if let Some(unknown) = names.iter().find(|name| object.find(name).is_none()) {
            let message = format!(
                "No such column '{unknown}' on sobject of type {}",
                object.name
            );
            return Err(ApiError::new(400, "INVALID_FIELD", message));
        }
        let key = object.find("Id").map(|index| object.field(index).clone());
        let rows = ids.iter().map(|id| {
            let id = key
                .as_ref()
                .and_then(|key| from_text(id, key).ok().flatten());
            let id = id.as_ref().and_then(Held::as_text);
            let shown = id.and_then(|id| self.record_json(place, id, &names, caller.version));
            shown.unwrap_or_else(|| "null".to_owned())
        });
        let rows: Vec<String> = rows.collect();
        Ok(Answer::json(200, format!("[{}]", rows.join(","))))
    }
}
