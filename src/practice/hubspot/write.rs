//! Writing records: each input of a batch by itself where it has a mark, else all or none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::errors::{ApiError, Wrong};
use super::object::ObjectType;
use super::portal::Portal;
use super::read::{Done, batch_answer, inputs, text_of, told};
use super::settings::{Rule, RuleKind, WrongValues};
use super::table::Record;
use super::value::{Age, taken};
use crate::practice::call::{Answer, Call};

/// The property that only goes forward.
const STAGE: &str = "lifecyclestage";

/// What a call does with its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Create,
    Update,
    Upsert,
}

/// Values of an input as they will be stored; an empty text empties.
#[derive(Debug, Default)]
struct Changes {
    properties: BTreeMap<String, String>,
    /// What was stored otherwise than it was sent.
    warnings: Vec<Value>,
}

/// A record that was written.
struct Written {
    id: u64,
    is_new: bool,
    names: Vec<String>,
    warnings: Vec<Value>,
}

/// Texts of an input's properties. Errors: a value is no text, which no version takes.
fn sent(input: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let properties = input.get("properties").and_then(Value::as_object);
    let mut sent = BTreeMap::new();
    for (name, value) in properties.into_iter().flatten() {
        let text = value.as_str().ok_or_else(|| {
            ApiError::unreadable_json(&format!(
                "Cannot deserialize value of type `java.lang.String` from the value of `{name}`"
            ))
        })?;
        sent.insert(name.clone(), text.to_owned());
    }
    Ok(sent)
}

impl Portal {
    /// `POST /crm/objects/…/batch/{create,update,upsert}`.
    pub(super) fn batch_write(&mut self, place: usize, op: Op, call: &Call, age: Age) -> Done {
        let (body, inputs) = inputs(call)?;
        let object = self.object(place);
        let id_property = self.id_property(&object, op, &body, &inputs)?;
        let marks: Vec<Option<String>> = inputs
            .iter()
            .map(|input| text_of(input, "objectWriteTraceId"))
            .collect();
        let each_by_itself = marks.iter().all(Option::is_some);
        let sent: Vec<BTreeMap<String, String>> =
            inputs.iter().map(sent).collect::<Result<_, _>>()?;
        self.refuse_twice(place, &inputs, id_property.as_deref())?;
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        let mut warnings = Vec::new();
        let mut undo = Vec::new();
        for ((input, sent), mark) in inputs.iter().zip(&sent).zip(&marks) {
            let id = text_of(input, "id");
            match self.write_one(
                place,
                op,
                id.as_deref(),
                id_property.as_deref(),
                sent,
                call,
                age,
                &mut undo,
            ) {
                Ok(Some(written)) => {
                    self.associate_new(place, written.id, input);
                    results.push(self.shown(place, op, &written, mark.as_deref()));
                    warnings.extend(written.warnings);
                }
                // Left out of the answer, without a word.
                Ok(None) => {}
                Err(error) if each_by_itself && !self.refuses_call(&error) => {
                    errors.push(error.entry(mark.as_deref()));
                }
                Err(error) => {
                    self.take_back(place, undo);
                    return Err(ApiError {
                        status: if error.status == 409 { 409 } else { 400 },
                        ..error
                    });
                }
            }
        }
        let mut more = Map::new();
        if !warnings.is_empty() {
            more.insert("warnings".to_owned(), warnings.into());
        }
        let usual = if op == Op::Create { 201 } else { 200 };
        Ok(batch_answer(call, usual, results, errors, more))
    }

    fn refuses_call(&self, error: &ApiError) -> bool {
        let by_value = self.settings.portal.wrong_values == WrongValues::RefuseTheCall;
        let is_unknown = error.message.contains("PROPERTY_DOESNT_EXIST");
        is_unknown || (by_value && error.message.starts_with("Property values"))
    }

    fn take_back(&mut self, place: usize, undo: Vec<(u64, Option<Record>)>) {
        for (id, before) in undo.into_iter().rev() {
            let record = before.or_else(|| {
                let mut made = self.at(place).record(id)?.clone();
                made.archived = true;
                made.properties.clear();
                Some(made)
            });
            if let Some(record) = record {
                self.put(place, id, record);
            }
        }
    }

    /// The property that all inputs are known by. Errors: it may not be one.
    fn id_property(
        &self,
        object: &ObjectType,
        op: Op,
        body: &Value,
        inputs: &[Value],
    ) -> Result<Option<String>, ApiError> {
        if op == Op::Create {
            return Ok(None);
        }
        let of_input = inputs
            .first()
            .and_then(|input| text_of(input, "idProperty"));
        let property = text_of(body, "idProperty").or(of_input);
        let is_usable = |name: &str| {
            object
                .properties
                .get(name)
                .is_some_and(|property| property.unique)
        };
        match &property {
            None if op == Op::Upsert => {
                Err(ApiError::validation("idProperty is required to upsert"))
            }
            // Contacts alone are upserted by their address.
            Some(name) if op == Op::Upsert && name == "email" && object.is_contact() => {
                Ok(property)
            }
            Some(name) if !is_usable(name) => Err(ApiError::validation(format!(
                "Unable to perform update/upsert by non-unique {} property",
                object.type_id
            ))),
            _ => Ok(property),
        }
    }

    /// Errors: two inputs are about one record.
    fn refuse_twice(
        &self,
        place: usize,
        inputs: &[Value],
        id_property: Option<&str>,
    ) -> Result<(), ApiError> {
        let (mut ids, mut records) = (BTreeSet::new(), BTreeSet::new());
        for input in inputs {
            let Some(id) = text_of(input, "id") else {
                continue;
            };
            let meant = match id_property {
                Some(property) => self.at(place).holder(property, &id),
                None => id.parse().ok(),
            };
            let is_second = !ids.insert(id.clone());
            let is_same = meant.is_some_and(|record| !records.insert(record));
            if is_second || is_same {
                let message =
                    format!("Duplicate IDs found in batch input: [{id}]. IDs must be unique");
                return Err(ApiError::validation(message).with("ids", [id]));
            }
        }
        Ok(())
    }

    /// Writes one input. `None`, where the API says nothing of it at all.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it makes an input what it is"
    )]
    fn write_one(
        &mut self,
        place: usize,
        op: Op,
        id: Option<&str>,
        id_property: Option<&str>,
        sent: &BTreeMap<String, String>,
        call: &Call,
        age: Age,
        undo: &mut Vec<(u64, Option<Record>)>,
    ) -> Result<Option<Written>, ApiError> {
        let id = id.unwrap_or_default();
        let meant = match (op, id_property) {
            (Op::Create, _) => None,
            (_, Some(property)) => self.at(place).holder(property, id),
            // An id that is none, and one that was merged away, are passed over in silence.
            (_, None) => match id.parse::<u64>() {
                Err(_) => return Ok(None),
                Ok(number) => match self.at(place).record(number) {
                    Some(record) if record.merged_into.is_some() => return Ok(None),
                    Some(record) if !record.archived => Some(number),
                    _ => None,
                },
            },
        };
        match (op, meant) {
            (Op::Update, None) => {
                let name = self.object(place).name.clone();
                Err(ApiError::not_found(&name, vec![id.to_owned()]))
            }
            (_, Some(record)) => self.update(place, record, sent, call, age, undo).map(Some),
            (Op::Create | Op::Upsert, None) => {
                let mut sent = sent.clone();
                if let (Op::Upsert, Some(property)) = (op, id_property) {
                    sent.entry(property.to_owned())
                        .or_insert_with(|| id.to_owned());
                }
                self.create(place, &sent, call, age, undo).map(Some)
            }
        }
    }

    fn update(
        &mut self,
        place: usize,
        id: u64,
        sent: &BTreeMap<String, String>,
        call: &Call,
        age: Age,
        undo: &mut Vec<(u64, Option<Record>)>,
    ) -> Result<Written, ApiError> {
        let object = self.object(place);
        let Some(before) = self.at(place).record(id).cloned() else {
            return Err(ApiError::not_found(&object.name, vec![id.to_string()]));
        };
        let changes = self.changes(&object, sent, &before.properties, age)?;
        self.expect_free(place, Some(id), &changes)?;
        let mut record = before.clone();
        record.remember(call.now, self.indexed_at(call.now));
        apply(&object, &mut record, &changes);
        self.expect_rules(&object, &record, sent, age, false)?;
        record.updated = call
            .now
            .max(record.updated + chrono::TimeDelta::milliseconds(1));
        undo.push((id, Some(before)));
        self.put(place, id, record);
        Ok(Written {
            id,
            is_new: false,
            names: sent.keys().cloned().collect(),
            warnings: changes.warnings,
        })
    }

    fn create(
        &mut self,
        place: usize,
        sent: &BTreeMap<String, String>,
        call: &Call,
        age: Age,
        undo: &mut Vec<(u64, Option<Record>)>,
    ) -> Result<Written, ApiError> {
        let object = self.object(place);
        let changes = self.changes(&object, sent, &BTreeMap::new(), age)?;
        self.expect_free(place, None, &changes)?;
        let mut record = Record::new(BTreeMap::new(), call.now);
        apply(&object, &mut record, &changes);
        expect_required(&object, &record)?;
        self.expect_rules(&object, &record, sent, age, true)?;
        let id = self.next_id();
        record.remember_absence(call.now);
        undo.push((id, None));
        self.put(place, id, record);
        Ok(Written {
            id,
            is_new: true,
            names: sent.keys().cloned().collect(),
            warnings: changes.warnings,
        })
    }

    /// What is to be stored. Errors: all values that are wrong.
    fn changes(
        &self,
        object: &ObjectType,
        sent: &BTreeMap<String, String>,
        held: &BTreeMap<String, String>,
        age: Age,
    ) -> Result<Changes, ApiError> {
        let owners = self.owner_ids();
        let mut changes = Changes::default();
        let mut wrongs = Vec::new();
        for (name, text) in sent {
            let Some(property) = object.properties.get(name) else {
                wrongs.push(Wrong {
                    property: name.clone(),
                    code: "PROPERTY_DOESNT_EXIST",
                    message: format!("Property \"{name}\" does not exist"),
                });
                continue;
            };
            if property.read_only {
                wrongs.push(Wrong {
                    property: name.clone(),
                    code: "READ_ONLY_VALUE",
                    message: format!(
                        "\"{name}\" is a read only property; its value cannot be set."
                    ),
                });
                continue;
            }
            if text.is_empty() {
                changes.properties.insert(name.clone(), String::new());
                continue;
            }
            let before = held.get(name).map(String::as_str);
            match taken(property, text, before, age, &owners) {
                Ok(taken) => {
                    if taken.normalized {
                        changes.warnings.push(json!({
                            "category": "PROPERTY_VALUE_NORMALIZED",
                            "context": { "propertyName": [name], "rawValue": [text], "normalizedValue": [taken.text] },
                        }));
                    }
                    changes.properties.insert(name.clone(), taken.text);
                }
                Err(wrong) => wrongs.push(wrong),
            }
        }
        match wrongs.is_empty() {
            true => Ok(changes),
            false => Err(ApiError::wrong_values(&wrongs)),
        }
    }

    /// Errors: another record holds a value that no two share.
    fn expect_free(
        &self,
        place: usize,
        own: Option<u64>,
        changes: &Changes,
    ) -> Result<(), ApiError> {
        let table = self.at(place);
        for (name, value) in &changes.properties {
            let property = table.object.properties.get(name);
            let is_email = table.object.is_contact() && name == "email";
            if !is_email && !property.is_some_and(|property| property.unique) {
                continue;
            }
            let holder = table
                .holder(name, value)
                .filter(|holder| Some(*holder) != own);
            let Some(holder) = holder.filter(|_| !value.is_empty()) else {
                continue;
            };
            let message = match is_email {
                true => format!("Contact already exists. Existing ID: {holder}"),
                false => format!("{holder} already has that value for property {name}"),
            };
            return Err(
                ApiError::new(409, "CONFLICT", message).with("existingId", [holder.to_string()])
            );
        }
        Ok(())
    }

    /// Errors: what an admin's rules say against the record as it would be.
    fn expect_rules(
        &self,
        object: &ObjectType,
        record: &Record,
        sent: &BTreeMap<String, String>,
        age: Age,
        is_new: bool,
    ) -> Result<(), ApiError> {
        let rules = self.settings.rules.iter();
        for rule in rules.filter(|rule| object.is_named(&rule.object)) {
            let held = record.properties.get(&rule.property).map(String::as_str);
            match broken(rule, held, record, sent, is_new) {
                Some(error) if age == Age::Dated || rule.kind.is_old() => return Err(error),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn shown(&self, place: usize, op: Op, written: &Written, mark: Option<&str>) -> Value {
        let object = self.object(place);
        let Some(record) = self.at(place).record(written.id) else {
            return Value::Null;
        };
        let mut result = told(&object, written.id, record, &written.names);
        if let Some(fields) = result.as_object_mut() {
            if op == Op::Upsert {
                fields.insert("new".to_owned(), written.is_new.into());
            }
            if let Some(mark) = mark {
                fields.insert("objectWriteTraceId".to_owned(), mark.into());
            }
        }
        result
    }

    /// Associates a new record with those that its input names, as far as they are there.
    fn associate_new(&mut self, place: usize, id: u64, input: &Value) {
        let object = self.object(place);
        let associations = input.get("associations").and_then(Value::as_array);
        for association in associations.into_iter().flatten() {
            let to = association.pointer("/to/id").and_then(Value::as_str);
            let type_id = association
                .pointer("/types/0/associationTypeId")
                .and_then(Value::as_u64);
            let (Some(to), Some(type_id)) = (to, type_id) else {
                continue;
            };
            let others: Vec<String> = self
                .tables
                .iter()
                .map(|table| table.object.type_id.clone())
                .collect();
            for other in others {
                let from = id.to_string();
                // Of the objects that it may be one of, the type leads to one alone.
                drop(self.associate((&object.type_id, &from), (&other, to), Some(type_id)));
            }
        }
    }

    /// `POST /crm/objects/…` and `PATCH /crm/objects/…/{id}`.
    pub(super) fn write_single(
        &mut self,
        place: usize,
        id: Option<&str>,
        call: &Call,
        age: Age,
    ) -> Done {
        let input: Value = serde_json::from_slice(&call.body)
            .map_err(|error| ApiError::unreadable_json(&error.to_string()))?;
        let sent = sent(&input)?;
        let mut undo = Vec::new();
        let Some(id) = id else {
            let written = self.create(place, &sent, call, age, &mut undo)?;
            self.associate_new(place, written.id, &input);
            let body = self.shown(place, Op::Create, &written, None);
            return Ok(Answer::json(201, body.to_string()));
        };
        let gone = || {
            let name = self.object(place).name.clone();
            ApiError::not_found(&name, vec![id.to_owned()])
        };
        let found = self.meant(place, id, call.parameter("idProperty"))?;
        let record = found.ok_or_else(gone)?;
        let written = self.update(place, record, &sent, call, age, &mut undo)?;
        let body = self.shown(place, Op::Update, &written, None);
        Ok(Answer::json(200, body.to_string()))
    }

    /// Archives records; those that are not there are so already.
    pub(super) fn archive(&mut self, place: usize, ids: &[String], call: &Call) -> Answer {
        for id in ids.iter().filter_map(|id| id.parse::<u64>().ok()) {
            let record = self.at(place).record(id).filter(|record| !record.archived);
            if let Some(mut record) = record.cloned() {
                record.remember(call.now, self.indexed_at(call.now));
                record.archived = true;
                record.updated = call.now;
                self.put(place, id, record);
            }
        }
        Answer::new(204)
    }

    /// `POST /crm/objects/…/batch/archive`.
    pub(super) fn batch_archive(&mut self, place: usize, call: &Call) -> Done {
        let (_, inputs) = inputs(call)?;
        let ids: Vec<String> = inputs
            .iter()
            .filter_map(|input| text_of(input, "id"))
            .collect();
        Ok(self.archive(place, &ids, call))
    }
}

impl RuleKind {
    /// Whether versions from before dates hold to it as well.
    fn is_old(self) -> bool {
        matches!(self, Self::Alpha | Self::Max)
    }
}

/// What a rule says against a record.
fn broken(
    rule: &Rule,
    held: Option<&str>,
    record: &Record,
    sent: &BTreeMap<String, String>,
    is_new: bool,
) -> Option<ApiError> {
    let name = &rule.property;
    let missing = |code: &str, whole: &str, message: String| {
        let mut error = ApiError::validation(whole);
        error.errors = vec![json!({
            "code": code, "message": message, "context": { "propertyName": [name] },
        })];
        error
    };
    let wrong = |code, message: String| {
        ApiError::wrong_values(&[Wrong {
            property: name.clone(),
            code,
            message,
        }])
    };
    match rule.kind {
        RuleKind::Conditional => {
            let when = rule.when.as_ref()?;
            let is_asked = record.properties.get(&when.property) == Some(&when.value);
            (is_asked && held.is_none()).then(|| {
                let message = format!(
                    "{name} is required because of a conditional property rule based on [{}]",
                    when.property
                );
                missing("MISSING_CONDITIONAL_REQUIRED_PROPERTY", "", message)
            })
        }
        RuleKind::CreateForm => (is_new && held.is_none()).then(|| {
            let message = format!("A value for {name} must be provided");
            let whole = "The property values provided are invalid";
            missing("MISSING_REQUIRED_PROPERTY", whole, message)
        }),
        RuleKind::Alpha => {
            let text = sent.get(name).filter(|text| !text.is_empty())?;
            let is_alpha = text.chars().all(char::is_alphabetic);
            (!is_alpha).then(|| wrong("INVALID_ALPHA", format!("{name} may hold letters only")))
        }
        RuleKind::Max => {
            let number: f64 = sent.get(name)?.parse().ok()?;
            let max = rule.max?;
            (number > max).then(|| wrong("INVALID_MAX", format!("{name} may be {max} at the most")))
        }
    }
}

fn apply(object: &ObjectType, record: &mut Record, changes: &Changes) {
    for (name, text) in &changes.properties {
        if text.is_empty() {
            record.properties.remove(name);
            continue;
        }
        // A stage that is sent backwards stays where it is, without a word.
        let stages = object.properties.get(STAGE).map(|stage| &stage.options);
        let place = |text: &String| {
            let mut stages = stages.into_iter().flatten();
            stages.position(|stage| stage == text)
        };
        let held = record.properties.get(name);
        let is_backwards = name == STAGE
            && matches!((held.and_then(place), place(text)), (Some(held), Some(sent)) if sent < held);
        if !is_backwards {
            record.properties.insert(name.clone(), text.clone());
        }
    }
}

/// Errors: a new record lacks what it cannot do without.
fn expect_required(object: &ObjectType, record: &Record) -> Result<(), ApiError> {
    let is_missing = |name: &&String| !record.properties.contains_key(*name);
    let missing: Vec<String> = object.required.iter().filter(is_missing).cloned().collect();
    let is_company = object.type_id == super::object::COMPANIES;
    let has = |name: &str| record.properties.contains_key(name);
    if is_company && !has("name") && !has("domain") {
        return Err(ApiError::validation(
            "Error creating COMPANY. Some required properties were not set.",
        )
        .with("properties", ["domain".to_owned(), "name".to_owned()]));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => {
            let message = format!(
                "Error creating {}. Some required properties were not set.",
                object.name
            );
            Err(ApiError::validation(message).with("properties", missing))
        }
    }
}
