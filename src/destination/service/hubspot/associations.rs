//! What records belong to: ids of records of other objects, read after the properties. Each association
//! is set by itself, before the record is written, so that one that cannot be written can be left
//! belonging to what it did.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide>.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::warn;

use super::super::look_up::Texts;
use super::super::patience::patiently;
use super::super::seam::{Reply, ServiceVerb, ServiceWrite};
use super::super::values::members;
use super::answers::{ApiError, refusal};
use super::describe::{
    ASSOCIATED, AssociationType, AssociationTypes, associated, labelled, labelled_column,
};
use super::find::{Read, is_id};
use super::marks::id_of;
use super::{BATCH_MAX, HubSpotDestination, encoded, ids_json};
use crate::destination::seam::RowId;
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::Object;
use crate::fault;
use crate::http::Repeat;

const READING: &str = "reading associations";
const WRITING: &str = "writing associations";

pub(super) fn object_name(layout: &Layout) -> &str {
    layout.object.path.last().map_or("", String::as_str)
}

/// An id, be it told as a number or as a text.
pub(super) fn id_text(told: &Value) -> Option<String> {
    match told.as_str() {
        Some(text) => Some(text.to_owned()),
        None => told.as_u64().map(|id| id.to_string()),
    }
}

/// The place of a field, and the ids that it is to hold.
type Wish = (usize, BTreeSet<String>);

/// What a record is to belong to, by the places of the fields.
struct Setting {
    record: String,
    wishes: BTreeMap<usize, BTreeSet<String>>,
}

/// The place of a record among others, its id, and what one field is to hold.
type FieldSetting<'a> = (usize, &'a str, &'a BTreeSet<String>);

/// What records belonged to before anything was changed: by their ids, and then by the places of the
/// fields.
pub(super) type HeldBefore = Mutex<BTreeMap<String, BTreeMap<usize, BTreeSet<String>>>>;

/// Whether any was read to be changed.
pub(super) fn are_set(before: &HeldBefore) -> bool {
    let before = before.lock().unwrap_or_else(PoisonError::into_inner);
    !before.is_empty()
}

fn is_done(reply: &Reply) -> bool {
    matches!(reply, Reply::Done { .. })
}

/// The associations that a write sets, with the ids that each is to hold.
fn wanted(layout: &Layout, texts: &Texts, write: &ServiceWrite<'_>) -> impl Iterator<Item = Wish> {
    write.fields.iter().filter_map(|place| {
        let field = layout.fields.get(*place)?;
        associated(&field.column)?;
        let ids = members(texts.value(write.record, *place).unwrap_or_default());
        Some((*place, ids.into_iter().map(str::to_owned).collect()))
    })
}

/// The reply of a write that names what can be no record.
fn fault_of(layout: &Layout, texts: &Texts, write: &ServiceWrite<'_>) -> Option<Reply> {
    wanted(layout, texts, write).find_map(|(place, ids)| {
        let stray = ids.into_iter().find(|id| !is_id(id))?;
        let field = layout.fields.get(place)?;
        Some(Reply::Refused {
            message: format!("`{stray}` is no id of a record"),
            column: Some(field.column.name.clone()),
        })
    })
}

/// One record that another is to belong to, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AssociationChange {
    record: String,
    other: String,
    adds: bool,
}

impl HubSpotDestination {
    /// The object with the labelled associations that are named among these.
    pub(in super::super) async fn completed(
        &self,
        mut object: Object,
        names: &[&str],
    ) -> Result<Object, SystemError> {
        let from = object.path.last().cloned().unwrap_or_default();
        let others: BTreeSet<&str> = names
            .iter()
            .filter_map(|name| {
                let (plain, _) = name.split_once('/')?;
                let columns = &object.columns;
                let column = columns.iter().find(|column| column.name == plain)?;
                associated(column)?;
                plain.strip_prefix(ASSOCIATED)
            })
            .collect();
        let mut columns = Vec::new();
        for to in others {
            let labels = self.labels(&from, to).await?.into_iter();
            let own = labels.filter_map(|(label, kind)| Some((label?, kind)));
            columns.extend(own.map(|(label, kind)| labelled_column(to, &label, &kind)));
        }
        object.columns.extend(columns);
        Ok(object)
    }

    /// The types that the fields of a layout go by that have no label.
    /// Errors: records of the two objects cannot be associated.
    pub(super) async fn association_types(
        &self,
        layout: &Layout,
    ) -> Result<AssociationTypes, SystemError> {
        let from = object_name(layout);
        let mut types = AssociationTypes::new();
        let fields = layout.fields.iter();
        let plain = fields.filter(|field| labelled(&field.column).is_none());
        for to in plain.filter_map(|field| associated(&field.column)) {
            let known = self.session.manner.association_type(from, to);
            let kind = match known {
                Some(kind) => kind,
                None => {
                    let kind = self.usual_type(from, to).await?;
                    self.session.manner.know_association(from, to, &kind);
                    kind
                }
            };
            types.insert(to.to_owned(), kind);
        }
        Ok(types)
    }

    /// What records of one object can be to those of another, with its label.
    async fn labels(
        &self,
        from: &str,
        to: &str,
    ) -> Result<Vec<(Option<String>, AssociationType)>, SystemError> {
        let doing = format!("asking how `{from}` are associated with `{to}`");
        let path = format!("{}/labels", self.associations_path(from, to));
        let response = self.get(path).await?;
        if !response.is_success() {
            return Err(self.failure(&response, &doing));
        }
        let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let types = told.get("results").and_then(Value::as_array);
        let read = |known: &Value| {
            let label = known.get("label").and_then(Value::as_str);
            let category = known.get("category").and_then(Value::as_str);
            let kind = AssociationType {
                category: category.unwrap_or("HUBSPOT_DEFINED").to_owned(),
                id: known.get("typeId")?.as_u64()?,
            };
            Some((label.map(str::to_owned), kind))
        };
        Ok(types.into_iter().flatten().filter_map(read).collect())
    }

    /// The type without a label that leads from records of one object to those of another.
    async fn usual_type(&self, from: &str, to: &str) -> Result<AssociationType, SystemError> {
        let types = self.labels(from, to).await?;
        let plain = types.iter().find(|(label, _)| label.is_none());
        let wanted = plain.or_else(|| types.first());
        let wanted = wanted.map(|(_, kind)| kind.clone());
        let doing = format!("asking how `{from}` are associated with `{to}`");
        wanted.ok_or_else(|| self.unreadable(&doing, "the portal associates no such records"))
    }

    /// Adds what records belong to, to what was read of their properties.
    pub(super) async fn read_associations(
        &self,
        layout: &Layout,
        found: &mut [Read],
    ) -> Result<(), SystemError> {
        for field in &layout.fields {
            if associated(&field.column).is_none() {
                continue;
            }
            for portion in found.chunks_mut(BATCH_MAX) {
                let ids: Vec<&str> = portion.iter().map(|(told, _)| told.id.as_str()).collect();
                let others = self.held(layout, field, &ids).await?;
                for (told, _) in portion {
                    let held = others.get(&told.id);
                    let held = held.map(|ids| Vec::from_iter(ids.iter().cloned()).join(";"));
                    told.properties.insert(field.column.name.clone(), held);
                }
            }
        }
        Ok(())
    }

    /// The records that belong to these of another object, each with those that led to it.
    pub(super) async fn read_associated(
        &self,
        layout: &Layout,
        other: &str,
        asked: &[&str],
    ) -> Result<Vec<Read>, SystemError> {
        let asked: Vec<&str> = asked.iter().copied().filter(|id| is_id(id)).collect();
        let mut led: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for portion in asked.chunks(BATCH_MAX) {
            let ends = (other, object_name(layout));
            for (from, own) in self.associated_ids(ends, portion, None).await? {
                for id in own {
                    led.entry(id).or_default().push(from.clone());
                }
            }
        }
        let ids: Vec<&str> = led.keys().map(String::as_str).collect();
        let found = self.read_all(layout, None, &ids).await?;
        let with_names = |(told, _): Read| {
            let names = led.get(&told.id).cloned().unwrap_or_default();
            (told, names)
        };
        Ok(found.into_iter().map(with_names).collect())
    }

    /// The ids that a field holds, by the records.
    async fn held(
        &self,
        layout: &Layout,
        field: &LayoutField,
        ids: &[&str],
    ) -> Result<BTreeMap<String, BTreeSet<String>>, SystemError> {
        let to = associated(&field.column).unwrap_or_default();
        let kind = labelled(&field.column);
        self.associated_ids((object_name(layout), to), ids, kind.as_ref())
            .await
    }

    /// The ids of what these records are associated with; as what, if that makes a difference.
    async fn associated_ids(
        &self,
        (from, to): (&str, &str),
        ids: &[&str],
        kind: Option<&AssociationType>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, SystemError> {
        let path = format!("{}/batch/read", self.associations_path(from, to));
        let is_meant = |other: &Value| {
            let types = other.get("associationTypes").and_then(Value::as_array);
            kind.is_none_or(|kind| types.into_iter().flatten().any(|told| kind.is(told)))
        };
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut inputs = ids_json(ids);
        while !inputs.is_empty() {
            let body = json!({ "inputs": inputs });
            let response = self
                .post(path.clone(), body.to_string(), Repeat::Asks)
                .await?;
            if !response.is_success() {
                return Err(self.failure(&response, READING));
            }
            let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let results = told.get("results").and_then(Value::as_array);
            let results =
                results.ok_or_else(|| self.unreadable(READING, "it holds no associations"))?;
            inputs = Vec::new();
            for result in results {
                let Some(from) = result.pointer("/from/id").and_then(id_text) else {
                    return Err(self.unreadable(READING, "it does not say whose they are"));
                };
                let others = result.get("to").and_then(Value::as_array);
                let others = others.into_iter().flatten().filter(|other| is_meant(other));
                let others = others.filter_map(|other| id_text(other.get("toObjectId")?));
                let known = all.entry(from.clone()).or_default();
                let before = known.len();
                known.extend(others);
                let after = result.pointer("/paging/next/after").and_then(id_text);
                // A page that shows nothing new is the last one, whatever it says.
                if let Some(after) = after.filter(|_| known.len() > before || kind.is_some()) {
                    inputs.push(json!({ "id": from, "after": after }));
                }
            }
        }
        Ok(all)
    }

    fn associations_path(&self, from: &str, to: &str) -> String {
        let (from, to) = (encoded(from), encoded(to));
        format!("/crm/associations/{}/{from}/{to}", self.version)
    }

    /// Sets what records belong to that are updated, before they are; the replies of those of which it
    /// cannot be set.
    pub(super) async fn associate_first(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[&ServiceWrite<'_>],
        before: &HeldBefore,
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        let mut replies: Vec<Option<Reply>> = writes
            .iter()
            .map(|write| fault_of(layout, texts, write))
            .collect();
        let (mut places, mut own) = (Vec::new(), Vec::new());
        for (place, write) in writes.iter().enumerate() {
            let is_update = matches!(write.verb, ServiceVerb::Update { .. });
            let wishes: BTreeMap<_, _> = wanted(layout, texts, write).collect();
            let is_stopped = replies.get(place).is_some_and(Option::is_some);
            if let (Some(id), true, false, false) =
                (id_of(write), is_update, wishes.is_empty(), is_stopped)
            {
                places.push(place);
                own.push(Setting {
                    record: id.0.clone(),
                    wishes,
                });
            }
        }
        if own.is_empty() {
            return Ok(replies);
        }
        let set = self.set_patiently(layout, &own, before).await?;
        for (place, set) in places.into_iter().zip(set) {
            if let (Some(reply), false) = (replies.get_mut(place), is_done(&set)) {
                *reply = Some(set);
            }
        }
        fault::point("associations set before their records");
        Ok(replies)
    }

    /// Lets records that were not written belong to what they belonged to.
    pub(super) async fn take_back_associations(
        &self,
        layout: &Layout,
        writes: &[&ServiceWrite<'_>],
        before: HeldBefore,
        mut replies: Vec<Reply>,
    ) -> Vec<Reply> {
        let before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (mut places, mut own) = (Vec::new(), Vec::new());
        for (place, (write, reply)) in writes.iter().zip(&replies).enumerate() {
            let had = id_of(write).and_then(|id| before.get(&id.0));
            if let (Some(had), false) = (had, is_done(reply) || *reply == Reply::Unknown) {
                places.push(place);
                own.push(Setting {
                    record: id_of(write).map(|id| id.0.clone()).unwrap_or_default(),
                    wishes: had.clone(),
                });
            }
        }
        if own.is_empty() {
            return replies;
        }
        let set = self
            .set_patiently(layout, &own, &HeldBefore::default())
            .await;
        let set = set.unwrap_or_else(|error| {
            let (connection, why) = (self.session.connection(), chain(&error).join(": "));
            warn!(connection, why, "associations are in doubt");
            vec![Reply::Unknown; own.len()]
        });
        for (place, set) in places.into_iter().zip(set) {
            if let (Some(reply), false) = (replies.get_mut(place), is_done(&set)) {
                // It is looked at again.
                *reply = Reply::Unknown;
            }
        }
        replies
    }

    async fn set_patiently(
        &self,
        layout: &Layout,
        own: &[Setting],
        before: &HeldBefore,
    ) -> Result<Vec<Reply>, SystemError> {
        let own: Vec<&Setting> = own.iter().collect();
        patiently(&own, BATCH_MAX, self.attempts_max, |portion| async move {
            self.set(layout, &portion, before).await
        })
        .await
    }

    /// Sets what these records belong to: what is missing is added, and what is too much taken away.
    async fn set(
        &self,
        layout: &Layout,
        own: &[&Setting],
        before: &HeldBefore,
    ) -> Result<Vec<Reply>, SystemError> {
        let done = |setting: &&Setting| Reply::Done {
            id: RowId(setting.record.clone()),
        };
        let mut replies: Vec<Reply> = own.iter().map(done).collect();
        let mut has_begun = false;
        for (place, field) in layout.fields.iter().enumerate() {
            if associated(&field.column).is_none() {
                continue;
            }
            let theirs = own.iter().enumerate().filter_map(|(number, setting)| {
                let wanted = setting.wishes.get(&place)?;
                let is_done = replies.get(number).is_some_and(is_done);
                is_done.then_some((number, setting.record.as_str(), wanted))
            });
            let theirs: Vec<FieldSetting<'_>> = theirs.collect();
            if theirs.is_empty() {
                continue;
            }
            let set = self
                .set_field(layout, (place, field), &theirs, before)
                .await;
            let error = match set {
                Ok(error) => error,
                Err(error) if !has_begun => return Err(error),
                // What was set before is set.
                Err(_) => return Ok(vec![Reply::Unknown; own.len()]),
            };
            has_begun = true;
            let Some(error) = error else {
                continue;
            };
            // It does not say whose it is: who has what was wanted is done, and the others are tried
            // with ever fewer others.
            let ids: Vec<&str> = theirs.iter().map(|(_, id, _)| *id).collect();
            let Ok(held) = self.held(layout, field, &ids).await else {
                return Ok(vec![Reply::Unknown; own.len()]);
            };
            let alone = theirs.len() == 1;
            for (number, id, wanted) in theirs {
                let is_short = held.get(id).cloned().unwrap_or_default() != *wanted;
                if let (Some(reply), true) = (replies.get_mut(number), is_short) {
                    *reply = blamed(&error, (id, field), alone);
                }
            }
        }
        Ok(replies)
    }

    /// Sets one field of these records; what was told to stand against it.
    async fn set_field(
        &self,
        layout: &Layout,
        (place, field): (usize, &LayoutField),
        own: &[FieldSetting<'_>],
        before: &HeldBefore,
    ) -> Result<Option<ApiError>, SystemError> {
        let ids: Vec<&str> = own.iter().map(|(_, id, _)| *id).collect();
        let held = self.held(layout, field, &ids).await?;
        let mut changes = Vec::new();
        for (_, id, wanted) in own {
            let held = held.get(*id).cloned().unwrap_or_default();
            let change = |other: &String, adds| AssociationChange {
                record: (*id).to_owned(),
                other: other.clone(),
                adds,
            };
            changes.extend(wanted.difference(&held).map(|other| change(other, true)));
            changes.extend(held.difference(wanted).map(|other| change(other, false)));
            let mut known = before.lock().unwrap_or_else(PoisonError::into_inner);
            let own = known.entry((*id).to_owned()).or_default();
            own.entry(place).or_insert(held);
        }
        // What is to be added comes first: nobody is left with nothing in between.
        changes.sort_by_key(|change| !change.adds);
        let mut told = None;
        let mut has_begun = false;
        for same in changes.chunk_by(|one, other| one.adds == other.adds) {
            for portion in same.chunks(BATCH_MAX) {
                let error = match self.change(layout, field, portion).await {
                    Ok(error) => error,
                    Err(error) if !has_begun => return Err(error),
                    Err(error) => Some(ApiError::saying(chain(&error).join(": "))),
                };
                has_begun = true;
                told = told.or(error);
            }
        }
        Ok(told)
    }

    /// Adds associations, or takes them away.
    async fn change(
        &self,
        layout: &Layout,
        field: &LayoutField,
        changes: &[AssociationChange],
    ) -> Result<Option<ApiError>, SystemError> {
        let to = associated(&field.column).unwrap_or_default();
        let adds = changes.first().is_some_and(|change| change.adds);
        let label = labelled(&field.column);
        let kind = match (&label, adds) {
            (Some(kind), _) => Some(kind.clone()),
            (None, true) => self.association_types(layout).await?.remove(to),
            (None, false) => None,
        };
        let types = kind.as_ref().map(|kind| json!([kind.spec()]));
        let input = |change: &AssociationChange| {
            let (from, other) = (
                json!({ "id": change.record }),
                json!({ "id": change.other }),
            );
            match &types {
                Some(types) => json!({ "from": from, "to": other, "types": types }),
                None => json!({ "from": from, "to": [other] }),
            }
        };
        let inputs: Vec<Value> = changes.iter().map(input).collect();
        let op = match (adds, label.is_some()) {
            (true, _) => "create",
            (false, true) => "labels/archive",
            (false, false) => "archive",
        };
        let path = format!(
            "{}/batch/{op}",
            self.associations_path(object_name(layout), to)
        );
        let body = json!({ "inputs": inputs }).to_string();
        let response = self.post(path, body, Repeat::SameTwice).await?;
        match (response.is_success(), response.status) {
            (true, _) => Ok(told_of(&response.body, adds, changes.len())),
            (false, 400 | 404 | 409) => match ApiError::of(&response) {
                Some(error) => Ok(Some(error)),
                None => Err(self.failure(&response, WRITING)),
            },
            (false, _) => Err(self.failure(&response, WRITING)),
        }
    }
}

/// The error among an answer's; that it leaves some out is one as well.
fn told_of(body: &[u8], adds: bool, changes: usize) -> Option<ApiError> {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let list = |name: &str| told.get(name).and_then(Value::as_array);
    let mut errors = list("errors").into_iter().flatten();
    let error = errors.find_map(ApiError::read);
    let results = list("results").map_or(0, Vec::len);
    let is_short = adds && results < changes;
    error.or_else(|| {
        is_short.then(|| ApiError::saying("the answer leaves associations out".to_owned()))
    })
}

/// The reply of a record that does not belong to what it should, for this error.
fn blamed(error: &ApiError, (id, field): (&str, &LayoutField), alone: bool) -> Reply {
    if error.ids.iter().any(|known| known == id) {
        return Reply::Gone;
    }
    let refused = refusal(error);
    if matches!(refused, Reply::Again { .. }) {
        return refused;
    }
    match (alone, error.category.is_empty()) {
        (false, _) => Reply::Again {
            after: Some(Duration::ZERO),
            why: error.to_string(),
        },
        (true, true) => Reply::Unknown,
        (true, false) => Reply::Refused {
            message: error.to_string(),
            column: Some(field.column.name.clone()),
        },
    }
}
