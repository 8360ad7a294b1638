//! Writing: one record a call, as many at once as may be; one value for many records in one call, where
//! the corporation lets it. What was written is read back, for a field that was left alone is answered
//! with 200 as well; and a create whose answer is lost is looked for before anybody repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use polars::prelude::DataFrame;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::look_up::{Hit, Texts};
use super::super::seam::{Reply, ServiceVerb, ServiceWrite};
use super::answers::{ApiError, Changed};
use super::describe::{FoundBy, Nature, part_of};
use super::find::MARKER;
use super::values::{ids_of, json, same_after_storing};
use super::{BullhornDestination, HeldTexts, entity_of};
use crate::destination::seam::RowId;
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::{Layout, LayoutField};
use crate::http::{HttpMethod, Repeat, Request, Response};

/// Records with the same new values from which on they are written in one call: below that it saves
/// nothing, for what was written is read back either way.
const MASS_MIN: usize = 3;

/// When it is looked whether a create was carried out whose answer is lost: it may still be under
/// way.
const SETTLING: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(2),
];

/// Members of a list that one call links.
/// Source: <https://bullhorn.github.io/rest-api-docs/#put-entity>, associations.
const LINKED_MAX: usize = 500;

/// What becomes of one write; an error is that of its call.
type Answered = Result<Reply, SystemError>;

/// A batch that is written.
struct Batch<'a> {
    layout: &'a Layout,
    texts: Texts,
}

/// A write that was answered with success, and what the answer says of fields.
struct Carried {
    changed: Option<Changed>,
}

#[derive(Deserialize)]
struct MassProperty {
    #[serde(rename = "propertyName")]
    name: String,
}

impl Batch<'_> {
    /// The fields that a write sends.
    fn fields<'b>(
        &'b self,
        write: &'b ServiceWrite<'_>,
    ) -> impl Iterator<Item = (&'b LayoutField, Option<&'b str>)> {
        write.fields.iter().filter_map(|place| {
            let field = self.layout.fields.get(*place)?;
            Some((field, self.texts.value(write.record, *place)))
        })
    }

    /// The body of a write to a record that holds this. Lists stand in it only where a new record
    /// takes them so.
    fn body(
        &self,
        write: &ServiceWrite<'_>,
        with_lists: bool,
        held: Option<&HeldTexts>,
    ) -> Map<String, Value> {
        let fields = self.fields(write);
        let sent = fields.filter(|(field, _)| with_lists || !is_list(field));
        let properties = sent.map(|(field, text)| {
            let value = match is_list(field) {
                true => ids_of(text).iter().map(|id| json!({ "id": id })).collect(),
                false => json(field, text),
            };
            (field.column.name.clone(), value)
        });
        whole_addresses(properties, held)
    }

    /// Whether a write sends parts of addresses.
    fn has_parts(&self, write: &ServiceWrite<'_>) -> bool {
        self.fields(write)
            .any(|(field, _)| part_of(&field.column.name).is_some())
    }

    fn lists<'b>(
        &'b self,
        write: &'b ServiceWrite<'_>,
    ) -> impl Iterator<Item = (&'b str, BTreeSet<u64>)> {
        let fields = self.fields(write).filter(|(field, _)| is_list(field));
        fields.map(|(field, text)| (field.column.name.as_str(), ids_of(text)))
    }

    /// The layout by which a write's record is found again, and its key: by its marker, if it has
    /// one.
    fn found_by(&self, write: &ServiceWrite<'_>) -> Option<(Layout, Vec<String>)> {
        let mut layout = self.layout.clone();
        let fields = layout.fields.iter();
        let marker = fields.enumerate().find_map(|(place, field)| {
            let is_marker = field.column.name == MARKER && write.fields.contains(&place);
            let text = self
                .texts
                .value(write.record, place)
                .filter(|_| is_marker)?;
            Some((place, text.to_owned()))
        });
        if let Some((place, text)) = marker {
            layout.key = vec![place];
            return Some((layout, vec![text]));
        }
        let parts = layout.key.iter();
        let parts = parts.map(|place| self.texts.value(write.record, *place).map(str::to_owned));
        let key: Vec<String> = parts.collect::<Option<_>>()?;
        (!key.is_empty()).then_some((layout, key))
    }

    /// Whether a record holds what a write sends.
    fn is_written(&self, write: &ServiceWrite<'_>, hit: &Hit) -> bool {
        write.fields.iter().all(|place| {
            let sent = self.texts.value(write.record, *place);
            let held = hit.values.get(*place).and_then(Option::as_deref);
            let field = self.layout.fields.get(*place);
            field.is_some_and(|field| same_after_storing(field, sent, held))
        })
    }
}

/// Properties as they are sent: parts of an address go out within it, beside what it holds, so that
/// none is lost, whatever becomes of parts that are not sent.
fn whole_addresses(
    properties: impl Iterator<Item = (String, Value)>,
    held: Option<&HeldTexts>,
) -> Map<String, Value> {
    let mut body = Map::new();
    for (name, value) in properties {
        let Some((address, part)) = part_of(&name) else {
            body.insert(name, value);
            continue;
        };
        let whole = || {
            let held = held?.get(address)?.as_deref()?;
            serde_json::from_str(held).ok()
        };
        let whole = body
            .entry(address)
            .or_insert_with(|| whole().unwrap_or_else(|| json!({})));
        if let Some(whole) = whole.as_object_mut() {
            whole.insert(part.to_owned(), value);
        }
    }
    body
}

pub(super) fn is_list(field: &LayoutField) -> bool {
    Nature::of(&field.column) == Nature::ToMany
}

impl BullhornDestination {
    /// Carries writes out; one reply each, in their order.
    pub(super) async fn write(
        &self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let texts = Texts::of(self.session.connection(), layout, records)?;
        let batch = Batch { layout, texts };
        let mut replies: Vec<Option<Answered>> = Vec::new();
        replies.resize_with(writes.len(), || None);
        let mut posted = self.give_to_many(&batch, writes).await?;
        let alone = writes
            .iter()
            .enumerate()
            .filter(|(place, _)| !posted.contains_key(place));
        let alone = alone.map(|(place, write)| {
            let batch = &batch;
            async move { (place, self.write_one(batch, write).await) }
        });
        for (place, answered) in join_all(alone).await {
            let answered = answered.map(|(reply, carried)| {
                posted.extend(carried.map(|carried| (place, carried)));
                reply
            });
            if let Some(reply) = replies.get_mut(place) {
                *reply = Some(answered);
            }
        }
        let read_back = self.read_back(&batch, writes, posted).await;
        for (place, reply) in read_back {
            if let Some(slot) = replies.get_mut(place) {
                *slot = Some(Ok(reply));
            }
        }
        gathered(replies)
    }

    /// Writes one record by itself; tells of it what is to be read back.
    async fn write_one(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
    ) -> Result<(Reply, Option<Carried>), SystemError> {
        match &write.verb {
            ServiceVerb::Create { .. } => Ok((self.create(batch, write).await?, None)),
            ServiceVerb::Update { row, .. } => self.update(batch, write, &row.id).await,
            ServiceVerb::Delete { row } => Ok((self.delete(batch, row).await?, None)),
        }
    }

    async fn delete(&self, batch: &Batch<'_>, row: &RowId) -> Answered {
        let path = format!("/entity/{}/{}", entity_of(batch.layout), row.0);
        let request = Request::new(HttpMethod::Delete, path);
        let response = self.call(request, Repeat::SameTwice).await?;
        Ok(match response.is_success() {
            true => Reply::Done { id: row.clone() },
            false => refusal(&response),
        })
    }

    async fn update(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
        row: &RowId,
    ) -> Result<(Reply, Option<Carried>), SystemError> {
        let mut fresh = None;
        let mut held = self.held.get(row);
        if held.is_none() && batch.has_parts(write) {
            held = Some(fresh.insert(self.addresses_now(batch.layout, row).await?));
        }
        let body = batch.body(write, false, held);
        let mut changed = None;
        if !body.is_empty() {
            let response = self.post(batch.layout, row, body).await?;
            changed = Changed::of(&response);
            if changed.is_none() {
                return Ok((refusal(&response), None));
            }
        }
        for (list, wanted) in batch.lists(write) {
            if let Some(refused) = self.set_list(batch.layout, row, list, &wanted).await? {
                return Ok((refused, None));
            }
        }
        let done = Reply::Done { id: row.clone() };
        Ok((done, Some(Carried { changed })))
    }

    async fn post(
        &self,
        layout: &Layout,
        row: &RowId,
        body: Map<String, Value>,
    ) -> Result<Response, SystemError> {
        let path = format!("/entity/{}/{}", entity_of(layout), row.0);
        let body = Value::from(body).to_string();
        let request = Request::new(HttpMethod::Post, path).with_json(body);
        self.call(request, Repeat::SameTwice).await
    }

    /// Links what is missing in a list and unlinks what is too much; the reply, if that is refused.
    /// A link that is there already has the whole call refused, so that it is read first.
    async fn set_list(
        &self,
        layout: &Layout,
        row: &RowId,
        list: &str,
        wanted: &BTreeSet<u64>,
    ) -> Result<Option<Reply>, SystemError> {
        let entity = entity_of(layout);
        let ids = ids_of(Some(&row.0));
        let held = self.members(entity, list, &ids).await?;
        let held: BTreeSet<u64> = held.into_values().flatten().collect();
        let changes = [
            (HttpMethod::Put, wanted - &held),
            (HttpMethod::Delete, &held - wanted),
        ];
        for (method, members) in changes {
            let members: Vec<String> = members.iter().map(u64::to_string).collect();
            for members in members.chunks(LINKED_MAX) {
                let path = format!("/entity/{entity}/{}/{list}/{}", row.0, members.join(","));
                let response = self
                    .call(Request::new(method, path), Repeat::IfUndone)
                    .await?;
                if !response.is_success() {
                    return Ok(Some(refusal(&response)));
                }
            }
        }
        Ok(None)
    }

    /// Makes a record, once: one whose answer is lost is looked for.
    async fn create(&self, batch: &Batch<'_>, write: &ServiceWrite<'_>) -> Answered {
        let layout = batch.layout;
        let is_note = FoundBy::of(entity_of(layout)) == FoundBy::NoteLinks;
        if is_note && let Some(reply) = self.known_note(batch, write).await? {
            return Ok(reply);
        }
        let path = format!("/entity/{}", entity_of(layout));
        let body = Value::from(batch.body(write, is_note, None)).to_string();
        let request = Request::new(HttpMethod::Put, path).with_json(body);
        let response = match self.call(request, Repeat::IfUndone).await {
            Ok(response) => response,
            Err(SystemError::Unanswered { .. }) => return self.settle(batch, write, None).await,
            Err(error) => return Err(error),
        };
        let Some(changed) = Changed::of(&response) else {
            let error = ApiError::of(&response);
            let is_settled = error.as_ref().is_some_and(|error| {
                // What was told to be refused may be there all the same; nobody repeats it here.
                !error.may_pass() && !error.is_duplicate() && response.status < 600
            });
            return match is_settled {
                true => Ok(refusal(&response)),
                false => self.settle(batch, write, error.as_ref()).await,
            };
        };
        let id = changed.id();
        if !is_note {
            for (list, wanted) in batch.lists(write) {
                if let Some(refused) = self.set_list(layout, &id, list, &wanted).await? {
                    tracing::warn!(
                        connection = self.session.connection(),
                        list,
                        record = id.0,
                        ?refused,
                        "a record was made without its list"
                    );
                }
            }
        }
        Ok(Reply::Done { id })
    }

    /// What became of a create whose answer is lost, or says that something broke: it is looked for,
    /// whatever the answer was.
    async fn settle(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
        told: Option<&ApiError>,
    ) -> Answered {
        let Some((layout, key)) = batch.found_by(write) else {
            return Ok(Reply::Unknown);
        };
        for delay in SETTLING {
            tokio::time::sleep(delay).await;
            let hits = self.look_again(&layout, &key, batch, write).await?;
            match hits.as_slice() {
                [] => {}
                [hit] if batch.is_written(write, hit) => {
                    let id = hit.stored.id.clone();
                    return Ok(Reply::Done { id });
                }
                _ => return Ok(Reply::ChangedSince),
            }
        }
        Ok(match told {
            // It is not there, and the API said why.
            Some(error) => Reply::Again {
                after: None,
                why: error.to_string(),
            },
            None => Reply::Unknown,
        })
    }

    /// The records of a key as they are, whatever the index knows.
    async fn look_again(
        &self,
        layout: &Layout,
        key: &[String],
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
    ) -> Result<Vec<Hit>, SystemError> {
        let keys = [key.to_vec()];
        let mut ids = match FoundBy::of(entity_of(layout)) {
            FoundBy::Search => self.lately_made(layout, &keys).await?,
            FoundBy::NoteLinks => self.notes_about(batch, write).await?,
            FoundBy::Query => BTreeSet::new(),
        };
        ids.extend(self.ids_of_keys(layout, &keys).await?);
        let hits = self.rows(layout, &ids).await?;
        let place = layout.key.clone();
        let has_key = |hit: &Hit| {
            let parts = place.iter().map(|place| hit.values.get(*place)?.as_deref());
            let mut fields = layout.key_fields().zip(parts.zip(key));
            fields.all(|(field, (held, wanted))| same_after_storing(field, Some(wanted), held))
        };
        Ok(hits.into_iter().filter(has_key).collect())
    }

    /// The reply of a note that is there already; links of notes may not tell of it.
    async fn known_note(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
    ) -> Result<Option<Reply>, SystemError> {
        let manner = &self.session.manner;
        if !manner.known(|known| known.lacks_note_links) {
            return Ok(None);
        }
        let Some((layout, key)) = batch.found_by(write) else {
            return Ok(None);
        };
        let hits = self.look_again(&layout, &key, batch, write).await?;
        Ok(match hits.as_slice() {
            [] => None,
            [hit] if batch.is_written(write, hit) => Some(Reply::Done {
                id: hit.stored.id.clone(),
            }),
            _ => Some(Reply::ChangedSince),
        })
    }

    /// Notes about the person that a new note is about.
    async fn notes_about(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
    ) -> Result<BTreeSet<u64>, SystemError> {
        let mut fields = batch.fields(write);
        let person = fields.find(|(field, _)| field.column.name == "personReference");
        let person = ids_of(person.and_then(|(_, text)| text));
        if person.is_empty() {
            return Ok(BTreeSet::new());
        }
        for entity in ["Candidate", "ClientContact"] {
            match self.members(entity, "notes", &person).await {
                Ok(notes) => {
                    let notes: BTreeSet<u64> = notes.into_values().flatten().collect();
                    if !notes.is_empty() {
                        return Ok(notes);
                    }
                }
                Err(SystemError::Failed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(BTreeSet::new())
    }

    /// Gives the same values to many records in one call, where there are many and it may be done.
    /// Returns those that this was tried with: what became of each shows when it is read back.
    async fn give_to_many(
        &self,
        batch: &Batch<'_>,
        writes: &[ServiceWrite<'_>],
    ) -> Result<BTreeMap<usize, Carried>, SystemError> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, write) in writes.iter().enumerate() {
            let is_update = matches!(write.verb, ServiceVerb::Update { .. });
            let is_plain = batch.lists(write).next().is_none() && !batch.has_parts(write);
            if is_update && is_plain {
                let body = Value::from(batch.body(write, false, None)).to_string();
                groups.entry(body).or_default().push(place);
            }
        }
        let mut given = BTreeMap::new();
        for (body, places) in groups
            .into_iter()
            .filter(|(_, places)| places.len() >= MASS_MIN)
        {
            let properties = self.mass_properties(entity_of(batch.layout)).await?;
            let values: Map<String, Value> = serde_json::from_str(&body).unwrap_or_default();
            if values.is_empty() || !values.keys().all(|name| properties.contains(name)) {
                continue;
            }
            let written = places.iter().filter_map(|place| writes.get(*place));
            if self.give(batch.layout, written, values).await? {
                given.extend(
                    places
                        .iter()
                        .map(|place| (*place, Carried { changed: None })),
                );
            }
        }
        Ok(given)
    }

    /// Whether so many records were given these values, as far as the answer tells.
    async fn give<'a>(
        &self,
        layout: &Layout,
        writes: impl Iterator<Item = &'a ServiceWrite<'a>>,
        values: Map<String, Value>,
    ) -> Result<bool, SystemError> {
        let row = |write: &ServiceWrite<'_>| match &write.verb {
            ServiceVerb::Update { row, .. } => row.id.0.parse::<u64>().ok(),
            ServiceVerb::Create { .. } | ServiceVerb::Delete { .. } => None,
        };
        let ids: Vec<u64> = writes.filter_map(row).collect();
        let mut body = Map::new();
        body.insert("ids".to_owned(), ids.into());
        // A reference is a bare id here.
        let bare = |value: Value| value.get("id").cloned().unwrap_or(value);
        body.extend(values.into_iter().map(|(name, value)| (name, bare(value))));
        let path = format!("/massUpdate/{}", entity_of(layout));
        let body = Value::from(body).to_string();
        let request = Request::new(HttpMethod::Post, path).with_json(body);
        let response = self.call(request, Repeat::SameTwice).await?;
        Ok(response.is_success())
    }

    /// Properties that many records may be given one value of; asked for once.
    async fn mass_properties(&self, entity: &str) -> Result<Arc<Vec<String>>, SystemError> {
        let manner = &self.session.manner;
        let known = manner.known(|known| known.mass_properties.get(entity).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let told: Option<Vec<MassProperty>> = self.asked(&format!("/massUpdate/{entity}")).await?;
        let names = told.into_iter().flatten().map(|property| property.name);
        let names: Arc<Vec<String>> = Arc::new(names.collect());
        manner.known(|known| {
            known
                .mass_properties
                .insert(entity.to_owned(), Arc::clone(&names))
        });
        Ok(names)
    }

    /// Reads what was written again, and says of each record what became of it: a field that holds
    /// what it held before was left alone.
    async fn read_back(
        &self,
        batch: &Batch<'_>,
        writes: &[ServiceWrite<'_>],
        posted: BTreeMap<usize, Carried>,
    ) -> Vec<(usize, Reply)> {
        let mut places: BTreeMap<RowId, usize> = BTreeMap::new();
        for place in posted.keys() {
            if let Some(ServiceWrite {
                verb: ServiceVerb::Update { row, .. },
                ..
            }) = writes.get(*place)
            {
                places.insert(row.id.clone(), *place);
            }
        }
        let ids: BTreeSet<u64> = places.keys().filter_map(|id| id.0.parse().ok()).collect();
        let mut replies = Vec::new();
        let hits = match self.rows(batch.layout, &ids).await {
            Ok(hits) => hits,
            Err(error) => {
                // What was answered for by itself stands; of the others nobody knows.
                let error = chain(&error).join(": ");
                tracing::warn!(
                    connection = self.session.connection(),
                    error,
                    "could not read back"
                );
                let unknown = posted
                    .iter()
                    .filter(|(_, carried)| carried.changed.is_none());
                return unknown.map(|(place, _)| (*place, Reply::Unknown)).collect();
            }
        };
        let mut missed: BTreeSet<usize> = posted.keys().copied().collect();
        for hit in &hits {
            let Some(place) = places.get(&hit.stored.id).copied() else {
                continue;
            };
            missed.remove(&place);
            if let (Some(write), Some(carried)) = (writes.get(place), posted.get(&place)) {
                let reply = self.judge_read_back(batch, write, carried, hit).await;
                replies.push((place, reply));
            }
        }
        replies.extend(missed.into_iter().map(|place| (place, Reply::Gone)));
        replies
    }

    async fn judge_read_back(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
        carried: &Carried,
        hit: &Hit,
    ) -> Reply {
        let id = hit.stored.id.clone();
        if carried.changed.is_none() && !batch.is_written(write, hit) {
            // It was one of many, and is to be told why by itself.
            return match self.update(batch, write, &id).await {
                Ok((reply, _)) => reply,
                Err(error) => reply_of(error),
            };
        }
        let held = self.held.get(&id);
        let left = left_alone(batch, write, hit, held, carried);
        let Some((name, word)) = left else {
            return Reply::Done { id };
        };
        if let Some(held) = held {
            self.put_back(batch, write, hit, held).await;
        }
        let word = word.map_or_else(String::new, |word| format!(" ({word})"));
        Reply::Refused {
            message: format!("it was answered with success, and `{name}` was left as it was{word}"),
            column: Some(name),
        }
    }

    /// Puts back the fields of a record of which another was left alone: a record is written as a
    /// whole or not at all.
    async fn put_back(
        &self,
        batch: &Batch<'_>,
        write: &ServiceWrite<'_>,
        hit: &Hit,
        held: &HeldTexts,
    ) {
        let properties = write.fields.iter().filter_map(|place| {
            let field = batch.layout.fields.get(*place)?;
            let now = hit.values.get(*place).and_then(Option::as_deref);
            let before = held.get(&field.column.name)?.as_deref();
            let is_other = !is_list(field) && !same_after_storing(field, before, now);
            is_other.then(|| (field.column.name.clone(), json(field, before)))
        });
        let body = whole_addresses(properties, Some(held));
        if body.is_empty() {
            return;
        }
        let id = &hit.stored.id;
        let answered = self.post(batch.layout, id, body).await;
        if !answered.is_ok_and(|response| response.is_success()) {
            tracing::warn!(
                connection = self.session.connection(),
                record = id.0,
                "a record was written in part, and could not be put back"
            );
        }
    }
}

/// A field that was sent and holds what it held before, and what the answer said of it.
fn left_alone(
    batch: &Batch<'_>,
    write: &ServiceWrite<'_>,
    hit: &Hit,
    held: Option<&HeldTexts>,
    carried: &Carried,
) -> Option<(String, Option<String>)> {
    write.fields.iter().find_map(|place| {
        let field = batch.layout.fields.get(*place)?;
        let name = &field.column.name;
        let sent = batch.texts.value(write.record, *place);
        let now = hit.values.get(*place).and_then(Option::as_deref);
        if same_after_storing(field, sent, now) {
            return None;
        }
        let word = carried.changed.as_ref().and_then(|changed| {
            changed.word_on(part_of(name).map_or(name.as_str(), |(address, _)| address))
        });
        let before = held.and_then(|held| held.get(name));
        let is_as_before =
            before.is_some_and(|before| same_after_storing(field, before.as_deref(), now));
        // A form's trigger may have made something else of it: then it was not left alone.
        (is_as_before || word.is_some()).then(|| (name.clone(), word))
    })
}

/// The reply of a write that was not carried out.
fn refusal(response: &Response) -> Reply {
    match (response.status, ApiError::of(response)) {
        (404, _) => Reply::Gone,
        (400..=599, Some(error)) => error.refusal(),
        _ => Reply::Unknown,
    }
}

/// What an error of one call leaves of its record.
fn reply_of(error: SystemError) -> Reply {
    if matches!(error, SystemError::Unanswered { .. }) {
        return Reply::Unknown;
    }
    Reply::Again {
        after: None,
        why: chain(&error).join(": "),
    }
}

/// The replies of a request's writes.
/// Errors: none of them has an answer; that of the first.
fn gathered(answered: Vec<Option<Answered>>) -> Result<Vec<Reply>, SystemError> {
    let is_error = |answered: &Option<Answered>| matches!(answered, Some(Err(_)));
    let all_failed = !answered.is_empty() && answered.iter().all(is_error);
    let may_be_written =
        |answered: &Option<Answered>| matches!(answered, Some(Err(SystemError::Unanswered { .. })));
    let in_doubt = answered.iter().any(may_be_written);
    let answered = answered.into_iter();
    if all_failed && !in_doubt {
        let error = answered.flatten().find_map(Result::err);
        return error.map_or_else(|| Ok(Vec::new()), Err);
    }
    let reply = |answered: Option<Answered>| match answered {
        None => Reply::Unknown,
        Some(Ok(reply)) => reply,
        Some(Err(error)) => reply_of(error),
    };
    Ok(answered.map(reply).collect())
}
