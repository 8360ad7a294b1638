//! Writing: `PUT` creates, `POST` updates, `DELETE` hides; lists have calls of their own. Nothing is
//! unique, nobody is asked what a record was, and the later of two writers wins.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::corporation::{Corporation, Held, link_name};
use super::errors::{BullhornError, Detail};
use super::meta::{Field, FieldType};

/// Entities of which many records may be given one value.
/// Source: <https://bullhorn.github.io/rest-api-docs/#massupdate>.
pub(super) const MASS_UPDATED: [&str; 11] = [
    "Candidate",
    "ClientContact",
    "ClientCorporation",
    "JobOrder",
    "JobSubmission",
    "Lead",
    "NPSUserInfo",
    "Opportunity",
    "Placement",
    "Task",
    "Tearsheet",
];

/// Of these, at the most.
const MASS_IDS_MAX: usize = 10_000;

/// Members of a list that one call links.
const LINKED_MAX: usize = 500;

/// Properties that every entity of [`MASS_UPDATED`] lets be set in many records, if it has them.
const MASS_PROPERTIES: [&str; 3] = ["isDeleted", "owner", "status"];

type Written = Result<Value, BullhornError>;

/// What comes of one property that was sent.
enum Taken {
    Value(Value),
    /// It is left alone, with or without a word.
    Left(Option<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Create,
    Update,
}

impl Change {
    fn entitlement(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

impl Corporation {
    /// Whether the user's type may do it.
    pub(super) fn is_allowed(&self, entity: &str, entitlement: &str) -> bool {
        let mut forbidden = self.settings.forbidden.iter();
        !forbidden.any(|rule| rule.entity == entity && rule.entitlement == entitlement)
    }

    pub(super) fn expect_allowed(
        &self,
        entity: &str,
        entitlement: &str,
    ) -> Result<(), BullhornError> {
        match self.is_allowed(entity, entitlement) {
            true => Ok(()),
            false => Err(BullhornError::forbidden(&format!("{entitlement} {entity}"))),
        }
    }

    /// `PUT entity/{entity}`.
    pub(super) fn create(
        &mut self,
        name: &str,
        body: &Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Written {
        self.entity(name)?;
        let (mut held, messages) = self.apply(name, Held::new(), body, Change::Create)?;
        self.fill(name, &mut held, now);
        self.expect_whole(name, &held)?;
        self.expect_new_link(name, &held)?;
        let id = self.next_id(name);
        self.put(name, id, held.clone(), now);
        if name == "Note" {
            self.link_note(id, &held, body, now);
        }
        Ok(told(name, id, "INSERT", &messages))
    }

    /// `POST entity/{entity}/{id}`.
    pub(super) fn update(
        &mut self,
        name: &str,
        id: u64,
        body: &Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Written {
        self.entity(name)?;
        let row = self.row(name, id);
        let held = row.ok_or_else(|| BullhornError::not_found(name, id))?;
        let held = held.held.clone();
        let (mut held, messages) = self.apply(name, held, body, Change::Update)?;
        self.pull_triggers(name, body, &mut held);
        if self.entity(name)?.has("dateLastModified") {
            held.insert("dateLastModified".to_owned(), now.timestamp_millis().into());
        }
        self.expect_whole(name, &held)?;
        self.put(name, id, held, now);
        Ok(told(name, id, "UPDATE", &messages))
    }

    /// `DELETE entity/{entity}/{id}`: hides what can be hidden.
    pub(super) fn delete(&mut self, name: &str, id: u64, now: DateTime<Utc>) -> Written {
        self.expect_allowed(name, "DELETE")?;
        let row = self.row(name, id);
        let row = row.ok_or_else(|| BullhornError::not_found(name, id))?;
        let mut held = row.held.clone();
        match self.entity(name)?.has("isDeleted") {
            true => {
                held.insert("isDeleted".to_owned(), true.into());
                self.put(name, id, held, now);
            }
            false => self.remove(name, id),
        }
        Ok(told(name, id, "DELETE", &[]))
    }

    /// What a record holds once these properties are taken, and what is told of them.
    fn apply(
        &self,
        name: &str,
        mut held: Held,
        body: &Map<String, Value>,
        change: Change,
    ) -> Result<(Held, Vec<Value>), BullhornError> {
        self.expect_allowed(name, change.entitlement())?;
        let entity = self.entity(name)?;
        let mut details = Vec::new();
        let mut messages = Vec::new();
        for (property, value) in body {
            let field = entity.field(property).ok_or_else(|| {
                let message = format!("Invalid field '{property}' for entity {name}");
                BullhornError::bad("errors.invalidField", message)
            })?;
            if field.is_confidential && !self.settings.api_user.edits_confidential {
                return Err(BullhornError::forbidden("Edit Confidential Data"));
            }
            match self.taken(name, field, value, change) {
                Ok(Taken::Value(value)) => {
                    let value = match self.settings.corporation.keeps_addresses_whole {
                        true => merged(field, held.get(property), value),
                        false => value,
                    };
                    held.insert(property.clone(), value);
                }
                Ok(Taken::Left(message)) => messages.extend(message),
                Err(detail) => details.push(detail),
            }
        }
        match details.is_empty() {
            true => Ok((held, messages)),
            false => Err(BullhornError::persisting(name, details)),
        }
    }

    fn taken(
        &self,
        name: &str,
        field: &Field,
        value: &Value,
        change: Change,
    ) -> Result<Taken, Detail> {
        let mut ignored = self.settings.ignored.iter();
        let rule = ignored.find(|rule| rule.entity == name && rule.property == field.name);
        if let Some(rule) = rule {
            let warning = warning(&field.name, "PROPERTY_IGNORED");
            return Ok(Taken::Left((!rule.silently).then_some(warning)));
        }
        // It is taken when a record is made, and left alone after that, without a word.
        if (name, field.name.as_str(), change) == ("Candidate", "smsOptIn", Change::Update) {
            return Ok(Taken::Left(None));
        }
        match field.field_type {
            FieldType::Id => Ok(Taken::Left(None)),
            FieldType::ToMany => self.taken_list(field, value, change),
            FieldType::ToOne => self.taken_reference(field, value).map(Taken::Value),
            FieldType::Composite => self.taken_address(name, field, value).map(Taken::Value),
            FieldType::Scalar => self.taken_scalar(name, field, value).map(Taken::Value),
        }
    }

    fn taken_reference(&self, field: &Field, value: &Value) -> Result<Value, Detail> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let id = value.get("id").and_then(Value::as_u64);
        let id = id.ok_or_else(|| invalid(field, value))?;
        self.expect_target(field, id)?;
        Ok(id.into())
    }

    fn expect_target(&self, field: &Field, id: u64) -> Result<(), Detail> {
        let target = field.target.as_deref().unwrap_or_default();
        let is_described = target == "Person" || self.tables.contains_key(target);
        let table = self.entity_of(target, id);
        let is_there = table.is_some_and(|table| table.rows.contains_key(&id));
        match is_described && !is_there {
            true => Err(Detail::new(
                "INVALID_REFERENCE",
                &field.name,
                format!("there is no {target} {id}"),
            )),
            false => Ok(()),
        }
    }

    /// A list is linked by calls of its own, but for a new record's, and but for `replaceAll`.
    fn taken_list(&self, field: &Field, value: &Value, change: Change) -> Result<Taken, Detail> {
        let ids = match (change, value, value.get("replaceAll")) {
            (Change::Create, Value::Array(ids), _) => ids,
            (Change::Update, _, Some(Value::Array(ids))) => ids,
            _ => {
                let told = warning(&field.name, "ATTEMPT_TO_SET_TO_MANY");
                return Ok(Taken::Left(Some(told)));
            }
        };
        let id = |value: &Value| value.as_u64().or_else(|| value.get("id")?.as_u64());
        let ids: Option<Vec<u64>> = ids.iter().map(id).collect();
        let mut ids = ids.ok_or_else(|| invalid(field, value))?;
        for id in &ids {
            self.expect_target(field, *id)?;
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Taken::Value(ids.into()))
    }

    fn taken_address(&self, name: &str, field: &Field, value: &Value) -> Result<Value, Detail> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let sent = value.as_object().ok_or_else(|| invalid(field, value))?;
        let taken = sent.iter().map(|(part, value)| {
            let known = field.parts.iter().find(|known| known.name == *part);
            let known = known.ok_or_else(|| {
                let message = format!("{} has no {part}", field.data_type);
                Detail::new("INVALID_VALUE", &field.name, message)
            })?;
            Ok((part.clone(), self.taken_scalar(name, known, value)?))
        });
        Ok(taken
            .collect::<Result<Map<String, Value>, Detail>>()?
            .into())
    }

    fn taken_scalar(&self, name: &str, field: &Field, value: &Value) -> Result<Value, Detail> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let wrong = || invalid(field, value);
        match field.data_type.as_str() {
            "Integer" | "Timestamp" => match value.as_i64() {
                Some(number) => Ok(number.into()),
                None => Err(wrong()),
            },
            "Double" | "BigDecimal" => match value.is_number() {
                true => Ok(value.clone()),
                false => Err(wrong()),
            },
            "Boolean" => match (value.as_bool(), value.as_i64()) {
                (Some(boolean), _) => Ok(boolean.into()),
                (None, Some(flag @ (0 | 1))) => Ok((flag == 1).into()),
                _ => Err(wrong()),
            },
            "String" => self.taken_text(name, field, value),
            _ => Err(wrong()),
        }
    }

    fn taken_text(&self, name: &str, field: &Field, value: &Value) -> Result<Value, Detail> {
        let several = value.as_array().filter(|_| field.is_multi_value);
        let texts: Option<Vec<&str>> = match (value.as_str(), several) {
            (Some(text), _) => Some(vec![text]),
            (None, Some(texts)) => texts.iter().map(Value::as_str).collect(),
            (None, None) => None,
        };
        let texts = texts.ok_or_else(|| invalid(field, value))?;
        let length: usize = texts.iter().map(|text| text.chars().count()).sum();
        if field
            .length_max
            .is_some_and(|length_max| length > length_max)
        {
            let message = format!(
                "longer than {} characters",
                field.length_max.unwrap_or_default()
            );
            return Err(Detail::new("LENGTH_EXCEEDED", &field.name, message));
        }
        let lists = &self.settings.lists;
        let options = match (name, field.name.as_str()) {
            ("Note", "action") if !lists.note_actions.is_empty() => &lists.note_actions,
            ("JobSubmission", "status") if !lists.submission_statuses.is_empty() => {
                &lists.submission_statuses
            }
            _ => &field.options,
        };
        let unknown = texts.iter().find(|text| {
            !options.is_empty() && !text.is_empty() && !options.iter().any(|known| known == *text)
        });
        if let Some(unknown) = unknown {
            let message = format!("{unknown} is not a valid option");
            return Err(Detail::new("INVALID_VALUE", &field.name, message));
        }
        Ok(match field.is_multi_value {
            true => texts.into(),
            false => value.clone(),
        })
    }

    /// What a new record holds that nobody sent.
    fn fill(&self, name: &str, held: &mut Held, now: DateTime<Utc>) {
        let Ok(entity) = self.entity(name) else {
            return;
        };
        let user = self.settings.corporation.user_id;
        let now = now.timestamp_millis();
        let usual: [(&str, Value); 6] = [
            ("isDeleted", false.into()),
            ("dateAdded", now.into()),
            ("dateLastModified", now.into()),
            ("owner", user.into()),
            ("sendingUser", user.into()),
            ("commentingPerson", user.into()),
        ];
        for (property, value) in usual {
            if entity.has(property) && held.get(property).is_none_or(Value::is_null) {
                held.insert(property.to_owned(), value);
            }
        }
    }

    /// Errors: a property is missing, or a rule refuses the record.
    fn expect_whole(&self, name: &str, held: &Held) -> Result<(), BullhornError> {
        let required = self.settings.required.get(name).into_iter().flatten();
        let is_missing = |property: &&String| held.get(*property).is_none_or(Value::is_null);
        let missing = required.filter(is_missing).map(|property| {
            let message = format!("missing required property: {property}");
            Detail::new("MISSING_REQUIRED_PROPERTY", property, message)
        });
        let rules = self.settings.refusals.iter();
        let refused = rules.filter(|rule| {
            let value = |path: &str| self.value(name, 0, held, path);
            rule.entity == name && rule.when.holds(&value)
        });
        let refused = refused.map(|rule| Detail {
            property: rule.property.clone(),
            message: rule.message.clone(),
            kind: rule.kind.clone(),
        });
        let details: Vec<Detail> = missing.chain(refused).collect();
        match details.is_empty() {
            true => Ok(()),
            false => Err(BullhornError::persisting(name, details)),
        }
    }

    /// Errors: a note is linked to the same once already.
    fn expect_new_link(&self, name: &str, held: &Held) -> Result<(), BullhornError> {
        let number = |property: &str| held.get(property).and_then(Value::as_u64);
        let linked = held.get("targetEntityName").and_then(Value::as_str);
        let (Some(note), Some(target), Some(linked)) =
            (number("note"), number("targetEntityID"), linked)
        else {
            return Ok(());
        };
        let wanted = (note, target, link_name(linked));
        let is_there = self
            .links()
            .any(|link| (link.0, link.1, link_name(link.2)) == wanted);
        match name == "NoteEntity" && is_there {
            true => Err(BullhornError::persisting(
                name,
                vec![Detail {
                    property: None,
                    message: None,
                    kind: "DUPLICATE_VALUE".to_owned(),
                }],
            )),
            false => Ok(()),
        }
    }

    /// Links a note to what it is about, as the server does by itself.
    fn link_note(&mut self, note: u64, held: &Held, body: &Map<String, Value>, now: DateTime<Utc>) {
        let number = |property: &str| held.get(property).and_then(Value::as_u64);
        let own = [("personReference", "User"), ("jobOrder", "JobPosting")];
        let own = own
            .into_iter()
            .filter_map(|(property, name)| Some((number(property)?, name)));
        let lists = [
            ("candidates", "User"),
            ("clientContacts", "User"),
            ("jobOrders", "JobPosting"),
        ];
        let listed = lists.into_iter().flat_map(|(property, name)| {
            let ids = body
                .get(property)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let id = |value: &Value| value.as_u64().or_else(|| value.get("id")?.as_u64());
            ids.filter_map(id).map(move |id| (id, name))
        });
        let links: Vec<(u64, &str)> = own.chain(listed).collect();
        for (target, name) in links {
            self.link(note, target, name, now);
        }
    }

    fn link(&mut self, note: u64, target: u64, name: &str, now: DateTime<Utc>) {
        let is_there = self.links().any(|link| link == (note, target, name));
        if is_there {
            return;
        }
        let mut held = Held::new();
        held.insert("note".to_owned(), note.into());
        held.insert("targetEntityID".to_owned(), target.into());
        held.insert("targetEntityName".to_owned(), name.into());
        let id = self.next_id("NoteEntity");
        self.put("NoteEntity", id, held, now);
    }

    fn pull_triggers(&self, name: &str, body: &Map<String, Value>, held: &mut Held) {
        let triggers = self.settings.triggers.iter();
        let pulled =
            triggers.filter(|trigger| trigger.entity == name && body.contains_key(&trigger.on));
        for trigger in pulled {
            held.insert(trigger.property.clone(), trigger.value.clone());
        }
    }

    /// `PUT` or `DELETE entity/{entity}/{id}/{list}/{ids}`.
    pub(super) fn associate(
        &mut self,
        name: &str,
        id: u64,
        list: &str,
        ids: &str,
        links: bool,
        now: DateTime<Utc>,
    ) -> Written {
        self.expect_allowed(name, "UPDATE")?;
        let bad = |message: String| BullhornError::bad("errors.invalidField", message);
        let entity = self.entity(name)?;
        let field = entity
            .field(list)
            .filter(|field| field.field_type == FieldType::ToMany);
        let field = field
            .cloned()
            .ok_or_else(|| bad(format!("Invalid field '{list}' for entity {name}")))?;
        let ids: Option<Vec<u64>> = ids.split(',').map(|id| id.parse().ok()).collect();
        let ids = ids.filter(|ids| ids.len() <= LINKED_MAX);
        let ids = ids.ok_or_else(|| bad("Bad ids".to_owned()))?;
        let row = self.row(name, id);
        let mut held = row
            .ok_or_else(|| BullhornError::not_found(name, id))?
            .held
            .clone();
        for id in &ids {
            let there = self.expect_target(&field, *id);
            there.map_err(|detail| BullhornError::persisting(name, vec![detail]))?;
        }
        let mut members = self.members(name, id, &field);
        if links && ids.iter().any(|id| members.contains(id)) {
            let detail = Detail::new(
                "DUPLICATE_VALUE",
                list,
                "one of them is associated already".to_owned(),
            );
            return Err(BullhornError::persisting(name, vec![detail]));
        }
        let change = if links { "ASSOCIATE" } else { "DISASSOCIATE" };
        if name == "Note" {
            let target = field.target.as_deref().unwrap_or_default();
            for target_id in ids {
                self.link(id, target_id, link_name(target), now);
            }
            return Ok(told(name, id, change, &[]));
        }
        match links {
            true => members.extend(ids),
            false => members.retain(|member| !ids.contains(member)),
        }
        members.sort_unstable();
        held.insert(list.to_owned(), members.into());
        self.put(name, id, held, now);
        Ok(told(name, id, change, &[]))
    }

    /// Properties of an entity that many records may be given one value of.
    pub(super) fn mass_properties(&self, name: &str) -> Result<Vec<String>, BullhornError> {
        let entity = self.entity(name)?;
        if !MASS_UPDATED.contains(&name) {
            let message = format!("Mass update is not supported for {name}");
            return Err(BullhornError::bad("errors.massUpdate", message));
        }
        let usual = MASS_PROPERTIES.map(str::to_owned).to_vec();
        let named = self.settings.mass_update.get(name);
        let properties = named.cloned().unwrap_or(usual).into_iter();
        Ok(properties.filter(|name| entity.has(name)).collect())
    }

    /// `POST massUpdate/{entity}`.
    pub(super) fn mass_update(
        &mut self,
        name: &str,
        body: &Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Written {
        let allowed = self.mass_properties(name)?;
        let ids = body.get("ids").and_then(Value::as_array);
        let ids: Option<Vec<u64>> = ids.and_then(|ids| ids.iter().map(Value::as_u64).collect());
        let ids = ids.filter(|ids| !ids.is_empty() && ids.len() <= MASS_IDS_MAX);
        let bad = |message: String| BullhornError::bad("errors.massUpdate", message);
        let ids = ids.ok_or_else(|| bad("ids are missing, or too many".to_owned()))?;
        let mut values = Map::new();
        for (property, value) in body.iter().filter(|(property, _)| *property != "ids") {
            if !allowed.contains(property) {
                return Err(bad(format!("{property} cannot be mass updated on {name}")));
            }
            let field = self.entity(name)?.field(property);
            let is_reference = field.is_some_and(|field| field.field_type == FieldType::ToOne);
            let value = match value.as_u64().filter(|_| is_reference) {
                Some(id) => json!({ "id": id }),
                None => value.clone(),
            };
            values.insert(property.clone(), value);
        }
        let mut count = 0;
        for id in ids {
            let living = self
                .row(name, id)
                .is_some_and(|row| row.held.get("isDeleted") != Some(&true.into()));
            // One that is refused is passed over without a word.
            if living && self.update(name, id, &values, now).is_ok() {
                count += 1;
            }
        }
        Ok(json!({ "count": count }))
    }
}

/// What a field holds after a value: of an address, the parts that were not sent as they were.
fn merged(field: &Field, held: Option<&Value>, value: Value) -> Value {
    match (field.field_type, held, value) {
        (FieldType::Composite, Some(Value::Object(held)), Value::Object(value)) => {
            let mut held = held.clone();
            held.extend(value);
            held.into()
        }
        (_, _, value) => value,
    }
}

fn invalid(field: &Field, value: &Value) -> Detail {
    let message = format!("{value} is no value of type {}", field.data_type);
    Detail::new("INVALID_VALUE", &field.name, message)
}

fn warning(property: &str, kind: &str) -> Value {
    json!({ "detailMessage": null, "propertyName": property, "severity": "WARNING", "type": kind })
}

fn told(entity: &str, id: u64, change: &str, messages: &[Value]) -> Value {
    let mut told = json!({
        "changedEntityType": entity,
        "changedEntityId": id,
        "changeType": change,
    });
    if let Some(told) = told.as_object_mut().filter(|_| !messages.is_empty()) {
        told.insert("messages".to_owned(), messages.to_vec().into());
    }
    told
}
