//! Which record is associated with which, and as what. A type leads one way; what leads back has a
//! number of its own.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors::ApiError;
use super::object::{COMPANIES, CONTACTS};
use super::portal::Portal;
use super::read::Done;
use crate::practice::call::{Answer, Call};

const DEALS: &str = "0-3";
const TICKETS: &str = "0-5";
const NOTES: &str = "0-46";

/// From what to what, the number of the type, and whether it is the primary one. The first of a
/// pair is the default.
const TYPES: [(&str, &str, u64, bool); 20] = [
    (CONTACTS, COMPANIES, 279, false),
    (CONTACTS, COMPANIES, 1, true),
    (COMPANIES, CONTACTS, 280, false),
    (COMPANIES, CONTACTS, 2, true),
    (DEALS, COMPANIES, 341, false),
    (DEALS, COMPANIES, 5, true),
    (COMPANIES, DEALS, 342, false),
    (COMPANIES, DEALS, 6, true),
    (DEALS, CONTACTS, 3, false),
    (CONTACTS, DEALS, 4, false),
    (TICKETS, CONTACTS, 16, false),
    (CONTACTS, TICKETS, 15, false),
    (NOTES, CONTACTS, 202, false),
    (CONTACTS, NOTES, 201, false),
    (NOTES, COMPANIES, 190, false),
    (COMPANIES, NOTES, 189, false),
    (NOTES, DEALS, 214, false),
    (DEALS, NOTES, 213, false),
    (NOTES, TICKETS, 228, false),
    (TICKETS, NOTES, 227, false),
];

/// One association, as it is seen from one of its ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Association {
    pub(super) from: (String, u64),
    pub(super) to: (String, u64),
    pub(super) type_id: u64,
}

impl Association {
    /// A text that no other one has.
    pub(super) fn name(&self) -> String {
        let ((from, from_id), (to, to_id)) = (&self.from, &self.to);
        format!("{from} {from_id} {to} {to_id} {}", self.type_id)
    }
}

/// What two records can be to one another, seen from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AssociationType {
    id: u64,
    label: Option<String>,
    /// Whether an admin has made it.
    own: bool,
}

impl AssociationType {
    fn told(&self) -> Value {
        let category = match self.own {
            true => "USER_DEFINED",
            false => "HUBSPOT_DEFINED",
        };
        json!({ "category": category, "typeId": self.id, "label": self.label })
    }
}

impl Portal {
    /// Those of every portal, the default first, and then the labels of this one.
    fn types(&self, from: &str, to: &str) -> Vec<AssociationType> {
        let usual = TYPES.into_iter();
        let usual = usual.filter(|(of, with, _, _)| *of == from && *with == to);
        let usual = usual.map(|(_, _, id, primary)| AssociationType {
            id,
            label: primary.then(|| "Primary".to_owned()),
            own: false,
        });
        let labels = self.settings.labels.iter().filter_map(|label| {
            let type_of = |name: &str| Some(self.object(self.place(name).ok()?).type_id.clone());
            let (of, with) = (type_of(&label.from)?, type_of(&label.to)?);
            let id = match (of == from && with == to, with == from && of == to) {
                (true, _) => label.id,
                (false, true) => label.id + 1,
                (false, false) => return None,
            };
            Some(AssociationType {
                id,
                label: Some(label.name.clone()),
                own: true,
            })
        });
        usual.chain(labels).collect()
    }

    /// The type that leads back.
    fn reversed(&self, from: &str, to: &str, type_id: u64) -> Option<u64> {
        let types = self.types(from, to);
        let place = types.iter().position(|known| known.id == type_id)?;
        self.types(to, from).get(place).map(|known| known.id)
    }

    /// `GET /crm/associations/…/{from}/{to}/labels`.
    pub(super) fn labels(&self, from: &str, to: &str) -> Done {
        let (from, to) = (self.object(self.place(from)?), self.object(self.place(to)?));
        let types = self.types(&from.type_id, &to.type_id);
        let results: Vec<Value> = types.iter().map(AssociationType::told).collect();
        Ok(Answer::json(200, json!({ "results": results }).to_string()))
    }

    /// Associates two records. Errors: one is not there, or the type does not lead this way.
    pub(super) fn associate(
        &mut self,
        from: (&str, &str),
        to: (&str, &str),
        type_id: Option<u64>,
    ) -> Result<Association, ApiError> {
        let end = |(name, id): (&str, &str)| {
            let place = self.place(name)?;
            let not_valid = || {
                let mut error = ApiError::validation(format!("{id} is not a valid ID"));
                error = error.with("id", [id.to_owned()]);
                error
            };
            let found = id.parse().ok().and_then(|id| self.at(place).live(id));
            let (id, _) = found.ok_or_else(not_valid)?;
            Ok::<_, ApiError>((self.object(place).type_id.clone(), id))
        };
        let (from, to) = (end(from)?, end(to)?);
        let types = self.types(&from.0, &to.0);
        let usual = types.first().map(|known| known.id);
        let type_id = type_id.or(usual).unwrap_or_default();
        let Some(known) = types.iter().find(|known| known.id == type_id) else {
            return Err(ApiError::validation(format!(
                "{type_id} is not a valid association type between {} and {}",
                from.0, to.0
            )));
        };
        // Whatever has a label is associated without one as well.
        let also = usual.filter(|_| known.own);
        let association = Association { from, to, type_id };
        for type_id in also.into_iter().chain([type_id]) {
            self.note(Association {
                type_id,
                ..association.clone()
            });
        }
        Ok(association)
    }

    /// The same, seen from the other record.
    fn back(&self, association: &Association) -> Option<Association> {
        let Association { from, to, type_id } = association;
        Some(Association {
            from: to.clone(),
            to: from.clone(),
            type_id: self.reversed(&from.0, &to.0, *type_id)?,
        })
    }

    fn note(&mut self, association: Association) {
        let back = self.back(&association);
        for association in back.into_iter().chain([association]) {
            self.touch_association(&association);
            self.associations.insert(association);
        }
    }

    fn forget(&mut self, association: Association) {
        let back = self.back(&association);
        for association in back.into_iter().chain([association]) {
            self.associations.remove(&association);
            self.touch_association(&association);
        }
    }

    /// Takes a label away; the records stay associated.
    fn forget_label(
        &mut self,
        from: (&str, &str),
        to: (&str, &str),
        type_id: u64,
    ) -> Result<(), ApiError> {
        for association in self.between(from, to)? {
            if association.type_id == type_id {
                self.forget(association);
            }
        }
        Ok(())
    }

    /// `PUT …/{from}/{id}/associations/[default/]{to}/{id}`.
    pub(super) fn put_association(
        &mut self,
        from: (&str, &str),
        to: (&str, &str),
        call: &Call,
    ) -> Done {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let wished: Vec<Option<u64>> = match body.as_array() {
            Some(types) => types.iter().map(type_id).map(Some).collect(),
            None => vec![None],
        };
        let mut labels = Vec::new();
        for type_id in wished {
            labels.push(self.associate(from, to, type_id)?.type_id);
        }
        let body = json!({
            "fromObjectTypeId": from.0, "fromObjectId": from.1,
            "toObjectTypeId": to.0, "toObjectId": to.1, "labels": labels,
        });
        Ok(Answer::json(201, body.to_string()))
    }

    /// `DELETE …/{from}/{id}/associations/{to}/{id}`.
    pub(super) fn delete_association(&mut self, from: (&str, &str), to: (&str, &str)) -> Done {
        for association in self.between(from, to)? {
            self.forget(association);
        }
        Ok(Answer::new(204))
    }

    /// Associations of one record with another; of all of its kind, where the id is empty.
    fn between(
        &self,
        (from, from_id): (&str, &str),
        (to, to_id): (&str, &str),
    ) -> Result<Vec<Association>, ApiError> {
        let from = self.object(self.place(from)?).type_id.clone();
        let to = self.object(self.place(to)?).type_id.clone();
        let is_meant = |association: &&Association| {
            association.from.0 == from
                && association.from.1.to_string() == from_id
                && association.to.0 == to
                && (to_id.is_empty() || association.to.1.to_string() == to_id)
        };
        Ok(self.associations.iter().filter(is_meant).cloned().collect())
    }

    /// What a record is associated with, as both ways of reading tell it.
    pub(super) fn associated(&self, from: (&str, &str), to: &str) -> Result<Vec<Value>, ApiError> {
        let mut all: Vec<(u64, Vec<Value>)> = Vec::new();
        for association in self.between(from, (to, ""))? {
            let ((of, _), (with, id)) = (&association.from, &association.to);
            let types = self.types(of, with);
            let known = types.iter().find(|known| known.id == association.type_id);
            let told = known.map(AssociationType::told).unwrap_or_default();
            match all.iter_mut().find(|(known, _)| known == id) {
                Some((_, types)) => types.push(told),
                None => all.push((*id, vec![told])),
            }
        }
        let one =
            |(id, types): (u64, Vec<Value>)| json!({ "toObjectId": id, "associationTypes": types });
        Ok(all.into_iter().map(one).collect())
    }

    /// `POST /crm/associations/…/{from}/{to}/batch/{op}`.
    pub(super) fn associations_batch(
        &mut self,
        from: &str,
        to: &str,
        op: &[&str],
        call: &Call,
    ) -> Done {
        let body: Value = serde_json::from_slice(&call.body)
            .map_err(|error| ApiError::unreadable_json(&error.to_string()))?;
        let inputs = body.get("inputs").and_then(Value::as_array).cloned();
        let inputs = inputs.unwrap_or_default();
        let id = |input: &Value, end: &str| {
            let id = input.pointer(end).and_then(Value::as_str);
            id.unwrap_or_default().to_owned()
        };
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in &inputs {
            let (one, other) = (id(input, "/from/id"), id(input, "/to/id"));
            match op {
                ["read"] => {
                    let one = id(input, "/id");
                    let told = self.associated((from, &one), to)?;
                    match told.is_empty() {
                        true => errors.push(none_found(&one).entry(None)),
                        false => results.push(json!({ "from": { "id": one }, "to": told })),
                    }
                }
                ["archive"] => {
                    let others = input.get("to").and_then(Value::as_array);
                    let others = others.into_iter().flatten().map(|other| id(other, "/id"));
                    for other in others.filter(|other| !other.is_empty()) {
                        drop(self.delete_association((from, &one), (to, &other))?);
                    }
                }
                ["labels", "archive"] => {
                    let types = input.get("types").and_then(Value::as_array);
                    for type_id in types.into_iter().flatten().map(type_id) {
                        self.forget_label((from, &one), (to, &other), type_id)?;
                    }
                }
                ["create"] | ["associate", "default"] => {
                    let types = input.get("types").and_then(Value::as_array);
                    let wished = types.and_then(|types| types.first()).map(type_id);
                    match self.associate((from, &one), (to, &other), wished) {
                        Ok(made) => results.push(json!({
                            "fromObjectTypeId": made.from.0, "fromObjectId": made.from.1,
                            "toObjectTypeId": made.to.0, "toObjectId": made.to.1, "labels": [],
                        })),
                        Err(error) => errors.push(invalid_identifier(&error)),
                    }
                }
                _ => return Ok(Answer::new(404)),
            }
        }
        if op.last() == Some(&"archive") {
            return Ok(Answer::new(204));
        }
        let usual = if op == ["read"] { 200 } else { 201 };
        let status = if errors.is_empty() { usual } else { 207 };
        let mut body = json!({ "status": "COMPLETE", "results": results });
        if let (false, Some(fields)) = (errors.is_empty(), body.as_object_mut()) {
            fields.insert("numErrors".to_owned(), errors.len().into());
            fields.insert("errors".to_owned(), errors.into());
        }
        Ok(Answer::json(status, body.to_string()))
    }
}

fn type_id(told: &Value) -> u64 {
    let id = told.get("associationTypeId").and_then(Value::as_u64);
    id.unwrap_or_default()
}

fn none_found(id: &str) -> ApiError {
    let message = format!("No associations found for {id}");
    ApiError::new(404, "OBJECT_NOT_FOUND", message).with("fromObjectId", [id.to_owned()])
}

fn invalid_identifier(error: &ApiError) -> Value {
    let mut entry = error.entry(None);
    if let Some(fields) = entry.as_object_mut() {
        let sub = "crm.associations.INVALID_IDENTIFIER";
        fields.insert("subCategory".to_owned(), sub.into());
    }
    entry
}
