//! Records are made, changed and deleted here, one at a time, by whichever resource asks: what may
//! be written, what the org's rules refuse, what is set besides.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::errors::{ApiError, RowError};
use super::object::{FieldKind, ObjectType};
use super::org::Org;
use super::settings::Event;
use super::table::Record;
use super::value::{Held, Unfit, from_json, from_text, to_words};
use crate::domain::salesforce_id::canonical_id;

/// How a call wants records to be written.
#[derive(Debug, Clone)]
pub(super) struct Wishes {
    pub(super) user: String,
    pub(super) now: DateTime<Utc>,
    /// Whether duplicates are let through.
    pub(super) allow_save: bool,
    /// Records that another call holds.
    pub(super) locked: BTreeSet<String>,
    /// Whether every third record of the call is held by a call that nobody sees.
    pub(super) lock_some: bool,
    /// Position of the record in the call.
    pub(super) row: usize,
}

/// Why a record was not written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WriteError {
    /// The request cannot be read: nothing of it is carried out.
    Request(ApiError),
    Row(RowError),
}

impl From<RowError> for WriteError {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

impl WriteError {
    /// As the answer to a request for this record alone.
    pub(super) fn alone(self) -> ApiError {
        match self {
            Self::Request(error) => error,
            Self::Row(error) => error.alone(),
        }
    }
}

type Written<T> = Result<T, WriteError>;

/// Fields and what they are to hold.
pub(super) type Given = Vec<(usize, Option<Held>)>;

impl Org {
    /// The fields of a record that is sent. `attributes` and `id` are no fields.
    pub(super) fn given(
        &mut self,
        place: usize,
        body: &Map<String, Value>,
        event: Event,
    ) -> Written<Given> {
        let object = self.object(place);
        let mut given = Given::new();
        let mut closed: Vec<&str> = Vec::new();
        for (name, told) in body {
            if name == "attributes" || (name.eq_ignore_ascii_case("id") && event == Event::Update) {
                continue;
            }
            if let (Some(index), Value::Object(parent)) = (object.find_relationship(name), told) {
                let id = self.referred(&object, index, parent)?;
                given.push((index, Some(Held::text(&id))));
                continue;
            }
            let Some(index) = object.find(name) else {
                let message = format!("No such column '{name}' on sobject of type {}", object.name);
                return Err(RowError::new("INVALID_FIELD", message, &[]).into());
            };
            let field = object.field(index);
            let is_open = match event {
                Event::Insert => field.createable,
                Event::Update | Event::Delete | Event::Undelete => field.updateable,
            };
            match is_open {
                true => given.push((index, taken(from_json(told, field), &field.name)?)),
                false => closed.push(&field.name),
            }
        }
        match closed.is_empty() {
            true => Ok(given),
            false => {
                let message = format!(
                    "Unable to create/update fields: {}. Please check the security settings of this field and verify \
                     that it is read/write for your profile or permission set.",
                    closed.join(", ")
                );
                Err(RowError::new("INVALID_FIELD_FOR_INSERT_UPDATE", message, &closed).into())
            }
        }
    }

    /// The id of the record that a reference names by a key: `"Owner": {"Username": "a@b.c"}`.
    fn referred(
        &mut self,
        object: &ObjectType,
        index: usize,
        parent: &Map<String, Value>,
    ) -> Result<String, RowError> {
        let field = object.field(index);
        let relationship = field.relationship.as_deref().unwrap_or_default();
        let told = parent
            .get("attributes")
            .and_then(|told| told.get("type"))
            .and_then(Value::as_str);
        let of = match (told, field.reference_to.as_slice()) {
            (Some(told), _) => told.to_owned(),
            (None, [one]) => one.clone(),
            (None, _) => {
                let message = format!(
                    "{relationship}: the type of a polymorphic reference must be named in attributes"
                );
                return Err(RowError::new("INVALID_FIELD", message, &[]));
            }
        };
        let mut keys = parent.iter().filter(|(name, _)| *name != "attributes");
        let (Some((name, told)), None) = (keys.next(), keys.next()) else {
            let message = format!("{relationship}: a reference is named by one external id");
            return Err(RowError::new("INVALID_FIELD", message, &[]));
        };
        let place = self.table(&of).ok_or_else(|| {
            RowError::new(
                "INVALID_TYPE",
                format!("sObject type '{of}' is not supported."),
                &[],
            )
        })?;
        let parent = self.object(place);
        let key = parent.find(name).filter(|key| parent.field(*key).is_key());
        let Some(key) = key else {
            let message = format!(
                "Field name provided, {name} is not an External ID or indexed field for {of}"
            );
            return Err(RowError::new("INVALID_FIELD", message, &[]));
        };
        let text = told
            .as_str()
            .map_or_else(|| told.to_string(), str::to_owned);
        let absent = || {
            let message = format!(
                "Foreign key external ID: {} not found for field {} in entity {}",
                text.to_lowercase(),
                parent.field(key).name,
                parent.name
            );
            RowError::new("INVALID_FIELD", message, &[])
        };
        let held = from_text(&text, parent.field(key))
            .ok()
            .flatten()
            .ok_or_else(absent)?;
        match self.at_mut(place).found_live(key, &held).as_slice() {
            [] => Err(absent()),
            [one] => Ok(one.to_string()),
            many => Err(several(many)),
        }
    }

    /// Makes a record; gives its id.
    pub(super) fn insert(
        &mut self,
        place: usize,
        given: Given,
        wishes: &Wishes,
    ) -> Result<String, RowError> {
        let object = self.object(place);
        if !object.allows("createable") {
            return Err(closed_object(&object));
        }
        let mut record = Record::default();
        for (index, field) in (0..).zip(&object.fields) {
            record.set(index, default_of(field));
        }
        for (name, id) in [("OwnerId", &wishes.user), ("CreatedById", &wishes.user)] {
            if let Some(index) = object.find(name) {
                record.set(index, Some(Held::text(id)));
            }
        }
        if let Some(index) = object.find("CreatedDate") {
            record.set(index, Some(Held::now(wishes.now)));
        }
        apply(&mut record, given);
        let id = self.next_id(&object.prefix);
        if let Some(index) = object.find("Id") {
            record.set(index, Some(Held::text(&id)));
        }
        self.write(place, &id, None, record, Event::Insert, wishes)?;
        Ok(id)
    }

    /// Changes a record that is there.
    pub(super) fn update(
        &mut self,
        place: usize,
        id: &str,
        given: Given,
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let object = self.object(place);
        if !object.allows("updateable") {
            return Err(closed_object(&object));
        }
        let before = self.existing(place, id)?.clone();
        let is_converted = self
            .held(place, &before, "IsConverted")
            .is_some_and(Held::is_true);
        if is_converted {
            return Err(RowError::new(
                "CANNOT_UPDATE_CONVERTED_LEAD",
                "cannot reference converted lead",
                &[],
            ));
        }
        let mut record = before.clone();
        apply(&mut record, given);
        if object.name == "User"
            && let Some(email) = object.find("Email")
        {
            // It changes once they confirm it, which nobody does here.
            record.set(email, before.get(email).cloned());
        }
        self.write(place, id, Some(before), record, Event::Update, wishes)
    }

    /// Puts a record into the recycle bin.
    pub(super) fn delete(
        &mut self,
        place: usize,
        id: &str,
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let object = self.object(place);
        if !object.allows("deletable") {
            return Err(closed_object(&object));
        }
        let before = self.existing(place, id)?.clone();
        self.check_locks(&object, id, &before, wishes)?;
        self.check_refusals(place, id, Some(&before), &before, Event::Delete, wishes)?;
        self.count_trigger(&object.name, Event::Delete);
        let Some(flag) = object.is_deleted else {
            self.put(place, id, None);
            return Ok(());
        };
        let mut record = before;
        record.set(flag, Some(Held::Boolean(true)));
        self.stamp(&object, &mut record, wishes);
        self.put(place, id, Some(record));
        Ok(())
    }

    /// Takes a record out of the recycle bin. Errors: it is not in there.
    pub(super) fn restore_deleted(&mut self, id: &str, wishes: &Wishes) -> Result<(), RowError> {
        let absent = || {
            RowError::new(
                "INVALID_CROSS_REFERENCE_KEY",
                "invalid cross reference id",
                &[],
            )
        };
        let place = self.place_of(id).ok_or_else(absent)?;
        let table = self.at(place);
        let deleted = table.record(id).filter(|record| table.is_deleted(record));
        let mut record = deleted.ok_or_else(absent)?.clone();
        let object = self.object(place);
        for name in ["IsDeleted", "MasterRecordId"] {
            if let Some(index) = object.find(name) {
                record.set(index, default_of(object.field(index)));
            }
        }
        self.stamp(&object, &mut record, wishes);
        self.count_trigger(&object.name, Event::Undelete);
        self.put(place, id, Some(record));
        Ok(())
    }

    /// Merges records into another one of their object, as people do it in the user interface.
    pub(super) fn merge(
        &mut self,
        master: &str,
        losers: &[String],
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let absent = || {
            RowError::new(
                "INVALID_CROSS_REFERENCE_KEY",
                "invalid cross reference id",
                &[],
            )
        };
        let place = self.place_of(master).ok_or_else(absent)?;
        self.existing(place, master)?;
        let object = self.object(place);
        for loser in losers {
            self.delete(place, loser, wishes)?;
            let record = self.at(place).record(loser).cloned();
            if let (Some(mut record), Some(index)) = (record, object.find("MasterRecordId")) {
                record.set(index, Some(Held::text(master)));
                self.put(place, loser, Some(record));
            }
        }
        Ok(())
    }

    /// A record that may be changed.
    fn existing(&self, place: usize, id: &str) -> Result<&Record, RowError> {
        let table = self.at(place);
        match table.record(id) {
            None => Err(RowError::new(
                "INVALID_CROSS_REFERENCE_KEY",
                "invalid cross reference id",
                &[],
            )),
            Some(record) if table.is_deleted(record) => {
                Err(RowError::new("ENTITY_IS_DELETED", "entity is deleted", &[]))
            }
            Some(record) => Ok(record),
        }
    }

    fn write(
        &mut self,
        place: usize,
        id: &str,
        before: Option<Record>,
        mut record: Record,
        event: Event,
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let object = self.object(place);
        self.check_locks(&object, id, &record, wishes)?;
        check_required(&object, &record)?;
        self.check_references(&object, before.as_ref(), &record)?;
        self.fire(place, id, &mut record, event, wishes);
        self.join_name(&object, &mut record);
        self.check_unique(place, id, &record)?;
        self.check_duplicates(place, id, before.as_ref(), &record, wishes)?;
        self.check_refusals(place, id, before.as_ref(), &record, event, wishes)?;
        self.stamp(&object, &mut record, wishes);
        self.count_trigger(&object.name, event);
        self.put(place, id, Some(record));
        Ok(())
    }

    /// Every accepted write moves it, one that changes nothing too.
    fn stamp(&self, object: &ObjectType, record: &mut Record, wishes: &Wishes) {
        for name in ["LastModifiedDate", "SystemModstamp"] {
            if let Some(index) = object.find(name) {
                record.set(index, Some(Held::now(wishes.now)));
            }
        }
        if let Some(index) = object.find("LastModifiedById") {
            record.set(index, Some(Held::text(&wishes.user)));
        }
    }

    fn check_locks(
        &self,
        object: &ObjectType,
        id: &str,
        record: &Record,
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let parents = locking_parents(object, record);
        let mut ids = std::iter::once(id.to_owned()).chain(parents);
        let held = ids.find(|id| wishes.locked.contains(id));
        let unseen = (wishes.lock_some && wishes.row.is_multiple_of(3)).then(|| id.to_owned());
        match held.or(unseen) {
            Some(held) => {
                let message = format!(
                    "unable to obtain exclusive access to this record or 1 records: {held}"
                );
                Err(RowError::new("UNABLE_TO_LOCK_ROW", message, &[]))
            }
            None => Ok(()),
        }
    }

    fn check_references(
        &self,
        object: &ObjectType,
        before: Option<&Record>,
        record: &Record,
    ) -> Result<(), RowError> {
        for (index, field) in (0..).zip(&object.fields) {
            let held = record.get(index);
            let is_new = before.is_none_or(|before| before.get(index) != held);
            let Some(id) = held.and_then(Held::as_text) else {
                continue;
            };
            if field.kind != FieldKind::Reference || !is_new {
                continue;
            }
            if field.name == "RecordTypeId" {
                check_record_type(object, id)?;
                continue;
            }
            // Parents of objects that the folder does not describe are taken at their word.
            let Some(place) = self.place_of(id) else {
                continue;
            };
            let of = &self.at(place).object.name;
            if !field.reference_to.iter().any(|to| to == of) {
                let message = format!("{}: id value of incorrect type: {id}", field.label);
                return Err(RowError::new(
                    "FIELD_INTEGRITY_EXCEPTION",
                    message,
                    &[&field.name],
                ));
            }
            let Ok(parent) = self.existing(place, id) else {
                let message = "invalid cross reference id";
                return Err(RowError::new("INVALID_CROSS_REFERENCE_KEY", message, &[]));
            };
            let is_inactive = of == "User"
                && self
                    .held(place, parent, "IsActive")
                    .is_some_and(|active| !active.is_true());
            if is_inactive && field.name == "OwnerId" {
                let message = format!(
                    "operation performed with inactive user [{id}] as owner of {}",
                    object.name.to_lowercase()
                );
                return Err(RowError::new(
                    "INACTIVE_OWNER_OR_USER",
                    message,
                    &["OwnerId"],
                ));
            }
        }
        Ok(())
    }

    fn check_unique(&mut self, place: usize, id: &str, record: &Record) -> Result<(), RowError> {
        let object = self.object(place);
        for (index, field) in (0..).zip(&object.fields) {
            let Some(held) = record.get(index).filter(|_| field.unique) else {
                continue;
            };
            let found = self.at_mut(place).found_live(index, held);
            if let Some(other) = found.iter().find(|other| other.as_ref() != id) {
                let message = format!(
                    "duplicate value found: {} duplicates value on record with id: {other}",
                    field.name
                );
                return Err(RowError::new("DUPLICATE_VALUE", message, &[]));
            }
        }
        Ok(())
    }

    fn check_duplicates(
        &mut self,
        place: usize,
        id: &str,
        before: Option<&Record>,
        record: &Record,
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let object = self.object(place);
        let rules = self
            .settings
            .duplicate_rules
            .iter()
            .filter(|rule| rule.object == object.name);
        for rule in rules.cloned().collect::<Vec<_>>() {
            let fields: Vec<usize> = rule
                .fields
                .iter()
                .filter_map(|name| object.find(name))
                .collect();
            let is_touched = fields
                .iter()
                .any(|field| before.is_none_or(|before| before.get(*field) != record.get(*field)));
            let held: Option<Vec<&Held>> = fields.iter().map(|field| record.get(*field)).collect();
            let (Some(held), Some(first)) = (held, fields.first()) else {
                continue;
            };
            if !is_touched || (wishes.allow_save && rule.allow_save) {
                continue;
            }
            let Some(first_held) = held.first() else {
                continue;
            };
            let mut doubles = self.at_mut(place).found_live(*first, first_held);
            let is_double = |other: &str| {
                let other = self.at(place).record(other);
                fields.iter().zip(&held).all(|(field, held)| {
                    let sensitive = object.field(*field).case_sensitive;
                    let found = other.and_then(|other| other.get(*field));
                    found.is_some_and(|found| found.key(sensitive) == held.key(sensitive))
                })
            };
            doubles.retain(|other| other.as_ref() != id && is_double(other));
            if !doubles.is_empty() {
                let ids: Vec<&str> = doubles.iter().map(AsRef::as_ref).collect();
                let mut error = RowError::new("DUPLICATES_DETECTED", rule.message.clone(), &[]);
                error.duplicates = Some(Box::new(duplicate_result(&rule, &object.name, &ids)));
                return Err(error);
            }
        }
        Ok(())
    }

    fn check_refusals(
        &mut self,
        place: usize,
        id: &str,
        before: Option<&Record>,
        record: &Record,
        event: Event,
        wishes: &Wishes,
    ) -> Result<(), RowError> {
        let object = self.object(place);
        let rules = self.settings.refusals.iter();
        let rules = rules.filter(|rule| rule.object == object.name && rule.on.contains(&event));
        for rule in rules.cloned().collect::<Vec<_>>() {
            let looked_at = if rule.before { before } else { Some(record) };
            let Some(looked_at) = looked_at else {
                continue;
            };
            if self.fits(place, id, looked_at, &rule.when, wishes.now) {
                let fields: Vec<&str> = rule.fields.iter().map(String::as_str).collect();
                return Err(RowError::new(&rule.code, rule.message.clone(), &fields));
            }
        }
        Ok(())
    }

    /// Carries out automations that set fields.
    fn fire(&mut self, place: usize, id: &str, record: &mut Record, event: Event, wishes: &Wishes) {
        let object = self.object(place);
        let triggers = self.settings.triggers.iter();
        let triggers =
            triggers.filter(|trigger| trigger.object == object.name && trigger.on.contains(&event));
        for trigger in triggers.cloned().collect::<Vec<_>>() {
            let fits = trigger
                .when
                .as_ref()
                .is_none_or(|when| self.fits(place, id, record, when, wishes.now));
            if !fits {
                continue;
            }
            for (name, text) in &trigger.set {
                if let Some(index) = object.find(name) {
                    record.set(index, from_text(text, object.field(index)).ok().flatten());
                }
            }
        }
    }
}

/// Ids of the parents that are locked along with a record: its account, and what it is a detail of.
pub(super) fn locking_parents(object: &ObjectType, record: &Record) -> Vec<String> {
    (0..)
        .zip(&object.fields)
        .filter(|(_, field)| field.kind == FieldKind::Reference)
        .filter(|(_, field)| field.cascade_delete || field.name == "AccountId")
        .filter_map(|(index, _)| record.get(index)?.as_text().map(str::to_owned))
        .collect()
}

fn apply(record: &mut Record, given: Given) {
    for (index, held) in given {
        record.set(index, held);
    }
}

fn default_of(field: &super::object::Field) -> Option<Held> {
    if field.kind == FieldKind::Boolean {
        let on = field.default.as_ref().and_then(Value::as_bool);
        return Some(Held::Boolean(on.unwrap_or_default()));
    }
    if let Some(default) = &field.default {
        return from_json(default, field).ok().flatten();
    }
    let choice = field.choices.iter().find(|choice| choice.is_default);
    let is_picklist = field.kind == FieldKind::Picklist;
    choice
        .filter(|_| is_picklist)
        .map(|choice| Held::text(&choice.value))
}

fn check_required(object: &ObjectType, record: &Record) -> Result<(), RowError> {
    let fields = (0..).zip(&object.fields);
    let missing: Vec<&str> = fields
        .filter(|(index, field)| field.is_required() && record.get(*index).is_none())
        .map(|(_, field)| field.name.as_str())
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            Err(RowError::new("REQUIRED_FIELD_MISSING", message, &missing))
        }
    }
}

fn check_record_type(object: &ObjectType, id: &str) -> Result<(), RowError> {
    let infos = object
        .describe
        .get("recordTypeInfos")
        .and_then(Value::as_array);
    let is_available = infos.into_iter().flatten().any(|info| {
        let told = info
            .get("recordTypeId")
            .and_then(Value::as_str)
            .and_then(canonical_id);
        told.as_deref() == Some(id) && info.get("available").and_then(Value::as_bool) == Some(true)
    });
    match is_available {
        true => Ok(()),
        false => {
            let message = format!("Record Type ID: this ID value isn't valid for the user: {id}");
            Err(RowError::new(
                "INVALID_CROSS_REFERENCE_KEY",
                message,
                &["RecordTypeId"],
            ))
        }
    }
}

fn closed_object(object: &ObjectType) -> RowError {
    let message = format!("entity type cannot be written: {}", object.label);
    RowError::new("INSUFFICIENT_ACCESS_OR_READONLY", message, &[])
}

/// A key that fits several records.
pub(super) fn several(ids: &[std::sync::Arc<str>]) -> RowError {
    let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
    let message = format!(
        "More than one record found for external id field: [{}]",
        ids.join(", ")
    );
    RowError::new("DUPLICATE_EXTERNAL_ID", message, &[])
}

fn duplicate_result(rule: &super::settings::DuplicateRule, object: &str, ids: &[&str]) -> Value {
    let found = ids.iter().map(|id| {
        json!({
            "additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0,
            "record": {
                "attributes": { "type": object, "url": format!("/services/data/v67.0/sobjects/{object}/{id}") },
                "Id": id,
            },
        })
    });
    json!({
        "allowSave": rule.allow_save, "duplicateRule": rule.name, "duplicateRuleEntityType": object,
        "errorMessage": rule.message,
        "matchResults": [{
            "entityType": object, "errors": [], "matchEngine": "ExactMatchEngine",
            "matchRecords": found.collect::<Vec<Value>>(), "rule": rule.name, "size": ids.len(), "success": true,
        }],
    })
}

/// What a value came to.
fn taken(read: Result<Option<Held>, Unfit>, name: &str) -> Written<Option<Held>> {
    read.map_err(|unfit| match unfit {
        Unfit::Refused { code, message } => RowError::new(code, message, &[name]).into(),
        Unfit::Unreadable {
            expected,
            token,
            text,
        } => WriteError::Request(ApiError::unparsable(format!(
            "Cannot deserialize instance of {expected} from {token} value {text} or request may be missing a required \
             field at [line:1, column:2]"
        ))),
    })
}

/// What a field of a record holds, in words.
pub(super) fn words_of(org: &Org, place: usize, record: &Record, name: &str) -> String {
    let object = org.object(place);
    object.find(name).map_or_else(String::new, |index| {
        to_words(record.get(index), object.field(index))
    })
}
