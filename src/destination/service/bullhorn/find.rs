//! Finding records by their keys: ids from the index or a query, and then the records themselves, as
//! they are. What the index does not know yet is looked for where that matters: before a record is
//! made.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::look_up::{Find, Hit};
use super::answers::ApiError;
use super::describe::{FoundBy, Nature, part_of};
use super::values::{self, CONFIDENTIAL, operand, phrase, text_of};
use super::{BullhornDestination, HeldTexts, RECORDS_MAX, encoded, entity_of};
use crate::destination::seam::{RowId, Stored};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::MatchMode;
use crate::http::Response;

/// The field that makes a create known again.
pub(super) const MARKER: &str = "externalID";

/// Bytes of a path: a little below the 7,500 from which on a body is asked for.
/// Source: <https://bullhorn.github.io/rest-api-docs/#post-search>.
const PATH_BYTES_MAX: usize = 7_000;

/// Records that one key may be found by the index to have, beyond which the index is not believed:
/// a query that it does not understand finds everything.
const FOUND_PER_KEY_MAX: usize = 20;

/// Pairs of one answer on lists.
const PAIRS_MAX: usize = 10_000;

/// Ids above the newest that the index knows which are looked at at once, and how often.
const NEWEST_MAX: u64 = 400;
const NEWEST_LOOKS_MAX: usize = 25;

/// What `fields` costs before the first name.
const HEAD_BYTES: usize = 100;

/// A record as it is told.
type Told = Map<String, Value>;

#[derive(Deserialize)]
struct Page {
    data: Vec<Told>,
}

/// One record, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum ByIds {
    Several { data: Vec<Told> },
    One { data: Told },
    Bare(Told),
}

#[derive(Deserialize)]
struct Pairs {
    data: Vec<(u64, u64)>,
}

impl Find for BullhornDestination {
    fn connection(&self) -> &str {
        self.session.connection()
    }

    async fn find(
        &mut self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<Vec<Hit>, SystemError> {
        let ids = self.ids_of_keys(layout, keys).await?;
        let mut told = self.living(layout, &ids).await?;
        let mut hits = self.hits(layout, &told)?;
        let missing = missing(layout, keys, &hits);
        let late = match layout.mode {
            // Two calls for all of them: most are not there, and nothing is made of those.
            MatchMode::UpdateOnly => self.newest(layout, &missing).await?,
            MatchMode::Upsert | MatchMode::CreateOnly => self.lately_made(layout, &missing).await?,
        };
        let late = self.living(layout, &late).await?;
        hits.extend(self.hits(layout, &late)?);
        told.extend(late);
        for (hit, told) in hits.iter().zip(&told) {
            let names = layout.fields.iter().map(|field| field.column.name.clone());
            let mut held: HeldTexts = names.zip(hit.values.iter().cloned()).collect();
            held.extend(addresses(layout, told));
            self.held.insert(hit.stored.id.clone(), held);
        }
        Ok(hits)
    }

    fn key_form(field: &LayoutField, part: &str) -> String {
        values::key_form(field, part)
    }

    fn same_after_storing(field: &LayoutField, sent: Option<&str>, held: Option<&str>) -> bool {
        values::same_after_storing(field, sent, held)
    }
}

/// Keys of which no hit is.
fn missing(layout: &Layout, keys: &[Vec<String>], hits: &[Hit]) -> Vec<Vec<String>> {
    let form = |parts: &[String]| -> Vec<String> {
        let fields = layout.key_fields().zip(parts);
        fields
            .map(|(field, part)| values::key_form(field, part))
            .collect()
    };
    let of_hit = |hit: &Hit| {
        let parts = layout
            .key
            .iter()
            .map(|field| hit.values.get(*field)?.clone());
        let parts: Option<Vec<String>> = parts.collect();
        parts.map(|parts| form(&parts))
    };
    let found: BTreeSet<Vec<String>> = hits.iter().filter_map(of_hit).collect();
    let is_missing = |key: &&Vec<String>| !found.contains(&form(key));
    keys.iter().filter(is_missing).cloned().collect()
}

impl BullhornDestination {
    /// Ids of the records that may have one of these keys.
    pub(super) async fn ids_of_keys(
        &self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<BTreeSet<u64>, SystemError> {
        let fields: Vec<&LayoutField> = layout.key_fields().collect();
        if let [only] = fields.as_slice()
            && Nature::of(&only.column) == Nature::Id
        {
            let parts = keys.iter().flatten();
            return Ok(parts.filter_map(|id| id.parse().ok()).collect());
        }
        let entity = entity_of(layout);
        let mut ids = BTreeSet::new();
        for keys in keys.chunks(RECORDS_MAX) {
            let found = match FoundBy::of(entity) {
                FoundBy::Search => self.searched(entity, &fields, keys).await?,
                FoundBy::Query => {
                    let condition = where_clause(&fields, keys);
                    self.queried(entity, "id", &condition).await?
                }
                FoundBy::NoteLinks => self.noted(&fields, keys).await?,
            };
            ids.extend(found);
        }
        Ok(ids)
    }

    async fn searched(
        &self,
        entity: &str,
        fields: &[&LayoutField],
        keys: &[Vec<String>],
    ) -> Result<BTreeSet<u64>, SystemError> {
        let body = json!({ "query": query(fields, keys) });
        let path = format!("/search/{entity}?fields=id&sort=id&count={RECORDS_MAX}");
        self.pages(&path, &body, keys.len(), |told| id_in(told, "id"))
            .await
    }

    /// Ids that a query finds in a field, be it of a record that it leads to.
    async fn queried(
        &self,
        entity: &str,
        field: &str,
        condition: &str,
    ) -> Result<BTreeSet<u64>, SystemError> {
        let body = json!({ "where": condition });
        let asked = encoded_fields(field);
        let path = format!("/query/{entity}?fields={asked}&orderBy=id&count={RECORDS_MAX}");
        self.pages(&path, &body, RECORDS_MAX, |told| id_in(told, field))
            .await
    }

    /// Notes by their external ids, over what links them; by the index, where that is not answered.
    async fn noted(
        &self,
        fields: &[&LayoutField],
        keys: &[Vec<String>],
    ) -> Result<BTreeSet<u64>, SystemError> {
        let is_by_marker = matches!(fields, [field] if field.column.name == MARKER);
        let manner = &self.session.manner;
        if !is_by_marker || manner.known(|known| known.lacks_note_links) {
            return self.searched("Note", fields, keys).await;
        }
        let texts: Vec<String> = keys
            .iter()
            .flatten()
            .map(|key| values::quoted(key))
            .collect();
        let condition = format!("note.externalID IN ({})", texts.join(","));
        match self.queried("NoteEntity", "note", &condition).await {
            Ok(ids) => Ok(ids),
            Err(SystemError::Failed { .. }) => {
                manner.known(|known| known.lacks_note_links = true);
                self.searched("Note", fields, keys).await
            }
            Err(error) => Err(error),
        }
    }

    /// Ids of all pages of what is found.
    /// Errors: there is far more than so many keys can have.
    async fn pages(
        &self,
        path: &str,
        body: &Value,
        keys: usize,
        id: impl Fn(&Told) -> Option<u64>,
    ) -> Result<BTreeSet<u64>, SystemError> {
        let mut ids = BTreeSet::new();
        let mut start = 0;
        loop {
            let response = self.ask(format!("{path}&start={start}"), body).await?;
            let page: Page = self.read(&response, "looking records up")?;
            // A hit whose record is gone has an error instead.
            let living = page.data.iter().filter(|told| !told.contains_key("_error"));
            ids.extend(living.filter_map(&id));
            start += page.data.len();
            if page.data.len() < RECORDS_MAX {
                return Ok(ids);
            }
            if start > FOUND_PER_KEY_MAX * keys.max(RECORDS_MAX) {
                return Err(self.unreadable("far more records are found than keys are looked for"));
            }
        }
    }

    /// The records of these ids, as they are; those that are deleted are left out.
    pub(super) async fn rows(
        &self,
        layout: &Layout,
        ids: &BTreeSet<u64>,
    ) -> Result<Vec<Hit>, SystemError> {
        self.hits(layout, &self.living(layout, ids).await?)
    }

    fn hits(&self, layout: &Layout, told: &[Told]) -> Result<Vec<Hit>, SystemError> {
        told.iter().map(|told| self.hit(layout, told)).collect()
    }

    /// What is told of the records of these ids that are not deleted. Of addresses it is the parts
    /// that can be written; others are made of these.
    async fn living(&self, layout: &Layout, ids: &BTreeSet<u64>) -> Result<Vec<Told>, SystemError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let entity = entity_of(layout);
        let described = self.described(entity).await?;
        let is_hidden = |told: &Told| told.get("isDeleted") == Some(&Value::Bool(true));
        let fields = asked_fields(layout, described.has("isDeleted"));
        let mut told = self.told(entity, &fields, ids).await?;
        told.retain(|told| !is_hidden(told));
        self.complete_lists(layout, &mut told).await?;
        for (name, value) in told.iter_mut().flatten() {
            if let (Some(parts), Some(held)) = (described.parts_of(name), value.as_object_mut()) {
                held.retain(|part, _| parts.contains(&part.as_str()));
            }
        }
        Ok(told)
    }

    /// The addresses of a record that a layout has parts of, as they are.
    pub(super) async fn addresses_now(
        &self,
        layout: &Layout,
        row: &RowId,
    ) -> Result<HeldTexts, SystemError> {
        let ids = row.0.parse().into_iter().collect();
        let told = self.living(layout, &ids).await?;
        Ok(told
            .iter()
            .flat_map(|told| addresses(layout, told))
            .collect())
    }

    /// What is told of the records of these ids, in as few calls as a path has room for.
    async fn told(
        &self,
        entity: &str,
        fields: &str,
        ids: &BTreeSet<u64>,
    ) -> Result<Vec<Told>, SystemError> {
        let mut all = Vec::new();
        for ids in listed(
            ids,
            PATH_BYTES_MAX.saturating_sub(fields.len() + HEAD_BYTES),
        ) {
            let path = format!("/entity/{entity}/{ids}?fields={fields}&count={RECORDS_MAX}");
            let response = self.get(path).await?;
            if response.status == 404 {
                continue;
            }
            all.extend(self.read_by_ids(&response)?);
        }
        Ok(all)
    }

    fn read_by_ids(&self, response: &Response) -> Result<Vec<Told>, SystemError> {
        Ok(match self.read(response, "looking records up")? {
            ByIds::Several { data } => data,
            ByIds::One { data } | ByIds::Bare(data) => vec![data],
        })
    }

    /// Lists of which a record shows a part only are read whole.
    async fn complete_lists(&self, layout: &Layout, told: &mut [Told]) -> Result<(), SystemError> {
        let lists = layout.fields.iter();
        let lists = lists.filter(|field| Nature::of(&field.column) == Nature::ToMany);
        for field in lists {
            let name = &field.column.name;
            let is_cut = |told: &&Told| told.get(name).is_some_and(is_cut);
            let cut: BTreeSet<u64> = told
                .iter()
                .filter(is_cut)
                .filter_map(|told| id_in(told, "id"))
                .collect();
            if cut.is_empty() {
                continue;
            }
            let members = self.members(entity_of(layout), name, &cut).await?;
            for told in told.iter_mut() {
                let id = id_in(told, "id").filter(|id| cut.contains(id));
                if let Some(members) = id.and_then(|id| members.get(&id)) {
                    let members = members.iter().map(|id| json!({ "id": id }));
                    let list = json!({ "data": members.collect::<Vec<Value>>() });
                    told.insert(name.clone(), list);
                }
            }
        }
        Ok(())
    }

    /// The members of a list, of each of these records.
    pub(super) async fn members(
        &self,
        entity: &str,
        list: &str,
        ids: &BTreeSet<u64>,
    ) -> Result<BTreeMap<u64, BTreeSet<u64>>, SystemError> {
        let mut members: BTreeMap<u64, BTreeSet<u64>> =
            ids.iter().map(|id| (*id, BTreeSet::new())).collect();
        let mut start = 0;
        loop {
            let body = json!({ "ids": ids, "start": start, "count": PAIRS_MAX });
            let response = self
                .ask(format!("/association/{entity}/{list}"), &body)
                .await?;
            let pairs: Pairs = self.read(&response, "reading a list")?;
            let count = pairs.data.len();
            for (id, member) in pairs.data {
                members.entry(id).or_default().insert(member);
            }
            start += count;
            if count < PAIRS_MAX {
                return Ok(members);
            }
        }
    }

    fn hit(&self, layout: &Layout, told: &Told) -> Result<Hit, SystemError> {
        let id = id_in(told, "id").ok_or_else(|| self.unreadable("a record has no id"))?;
        let value = |field: &LayoutField| -> Result<Option<String>, SystemError> {
            let column = field.column.name.as_str();
            let (name, part) = match part_of(column) {
                Some((address, part)) => (address, Some(part)),
                None => (column, None),
            };
            let value = told.get(name);
            let value =
                value.ok_or_else(|| self.unreadable(&format!("a record has no `{name}`")))?;
            if value.as_str() == Some(CONFIDENTIAL) {
                return Err(self.confidential(name));
            }
            let value = match part {
                Some(part) => value.get(part).unwrap_or(&Value::Null),
                None => value,
            };
            Ok(text_of(Nature::of(&field.column), value))
        };
        let values = layout.fields.iter().map(value);
        Ok(Hit {
            stored: Stored {
                id: RowId(id.to_string()),
                version: None,
            },
            values: values.collect::<Result<_, _>>()?,
        })
    }

    fn confidential(&self, name: &str) -> SystemError {
        SystemError::Forbidden {
            connection: self.session.connection().to_owned(),
            source: format!("`{name}` is confidential, and this user does not see what it holds")
                .into(),
            hint: format!(
                "have an admin give the user's type `View Confidential Data`, or take `{name}` out of the job"
            ),
        }
    }

    /// Ids of records with these keys that the index does not know yet: where the user may, by
    /// their external ids; else among the records that are newer than the newest it knows.
    pub(super) async fn lately_made(
        &self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<BTreeSet<u64>, SystemError> {
        if keys.is_empty() || FoundBy::of(entity_of(layout)) != FoundBy::Search {
            return Ok(BTreeSet::new());
        }
        let manner = &self.session.manner;
        let mut key = layout.key_fields();
        let is_by_marker =
            layout.key.len() == 1 && key.next().is_some_and(|field| field.column.name == MARKER);
        if is_by_marker && !manner.known(|known| known.lacks_look_up) {
            if let Some(ids) = self.by_external_ids(entity_of(layout), keys).await? {
                return Ok(ids);
            }
            manner.known(|known| known.lacks_look_up = true);
            tracing::warn!(
                connection = self.session.connection(),
                "the user may not look records up by external id (`SI Dataloader Administration`): \
                 what the index does not know yet is looked for among the newest records only"
            );
        }
        self.newest(layout, keys).await
    }

    /// Ids of the records with these external ids, as they are; `None` if the user may not ask.
    async fn by_external_ids(
        &self,
        entity: &str,
        keys: &[Vec<String>],
    ) -> Result<Option<BTreeSet<u64>>, SystemError> {
        let asked = keys.iter().flatten().map(|key| {
            let key = encoded(key);
            self.get(format!(
                "/services/dataLoader/getByExternalID?entity={entity}&externalId={key}&fields=id"
            ))
        });
        let mut ids = BTreeSet::new();
        for response in join_all(asked).await {
            let response = response?;
            match response.status {
                200 => {
                    let told: Vec<Told> = self.read(&response, "looking records up")?;
                    ids.extend(told.iter().filter_map(|told| id_in(told, "id")));
                }
                404 => {}
                _ if is_refused(&response) => return Ok(None),
                _ => return Err(self.failure(&response, "looking records up")),
            }
        }
        Ok(Some(ids))
    }

    /// Ids of the records with these keys among those that came after the newest that the index
    /// knows: ids ascend as records are made.
    async fn newest(
        &self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<BTreeSet<u64>, SystemError> {
        let entity = entity_of(layout);
        if keys.is_empty() || FoundBy::of(entity) != FoundBy::Search {
            return Ok(BTreeSet::new());
        }
        let path = format!("/search/{entity}?fields=id&sort=-id&count=1&start=0");
        let response = self.ask(path, &json!({ "query": "id:[0 TO *]" })).await?;
        let page: Page = self.read(&response, "looking records up")?;
        let mut last = page
            .data
            .first()
            .and_then(|told| id_in(told, "id"))
            .unwrap_or_default();
        let described = self.described(entity).await?;
        let fields = asked_fields(layout, described.has("isDeleted"));
        // Since they were searched for, the index may have come to know some of them: these are no
        // newer than the newest that it tells of by now.
        let mut ids = self.ids_of_keys(layout, keys).await?;
        for _ in 0..NEWEST_LOOKS_MAX {
            let next: BTreeSet<u64> = (last + 1..=last + NEWEST_MAX).collect();
            let told = self.told(entity, &fields, &next).await?;
            let Some(newest) = told.iter().filter_map(|told| id_in(told, "id")).max() else {
                break;
            };
            last = newest;
            for told in &told {
                let hit = self.hit(layout, told)?;
                let is_wanted =
                    missing(layout, keys, std::slice::from_ref(&hit)).len() < keys.len();
                ids.extend(id_in(told, "id").filter(|_| is_wanted));
            }
        }
        Ok(ids)
    }
}

/// Whether an answer says that such a look-up is not for this user or this entity.
fn is_refused(response: &Response) -> bool {
    let says = |words| ApiError::of(response).is_some_and(|error| error.says(words));
    response.status == 403
        || says("DataLoader Administration")
        || (response.status == 400 && ApiError::of(response).is_some())
}

fn is_cut(list: &Value) -> bool {
    let total = list
        .get("total")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let shown = list
        .get("data")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    usize::try_from(total).is_ok_and(|total| total > shown)
}

/// An id that a record tells, its own or that of a reference.
fn id_in(told: &Told, name: &str) -> Option<u64> {
    let value = told.get(name)?;
    value.as_u64().or_else(|| value.get("id")?.as_u64())
}

/// Ids with commas between, in texts that are no longer than this.
fn listed(ids: &BTreeSet<u64>, bytes_max: usize) -> Vec<String> {
    let mut lists: Vec<(usize, String)> = Vec::new();
    for id in ids {
        let id = id.to_string();
        match lists.last_mut() {
            Some((count, list))
                if list.len() + 1 + id.len() <= bytes_max && *count < RECORDS_MAX =>
            {
                list.push(',');
                list.push_str(&id);
                *count += 1;
            }
            _ => lists.push((1, id)),
        }
    }
    lists.into_iter().map(|(_, list)| list).collect()
}

/// What is asked for of a record: its id, whether it is deleted, and the layout's fields.
fn asked_fields(layout: &Layout, can_be_deleted: bool) -> String {
    let own = ["id"]
        .into_iter()
        .chain(can_be_deleted.then_some("isDeleted"));
    let mut asked: Vec<String> = own.map(str::to_owned).collect();
    for field in &layout.fields {
        let name = &field.column.name;
        let name = &part_of(name).map_or_else(|| name.clone(), |(address, _)| address.to_owned());
        let leads_on = matches!(Nature::of(&field.column), Nature::ToOne | Nature::ToMany);
        let name = match leads_on {
            true => encoded_fields(name),
            false => name.clone(),
        };
        if !asked.contains(&name) {
            asked.push(name);
        }
    }
    asked.join(",")
}

/// The addresses that a layout has parts of, as a record holds them, in JSON.
fn addresses(layout: &Layout, told: &Told) -> HeldTexts {
    let columns = layout.fields.iter().map(|field| &field.column.name);
    let addresses = columns.filter_map(|column| part_of(column));
    let held = |(address, _): (&str, &str)| {
        let held = told.get(address).filter(|held| held.is_object());
        (address.to_owned(), held.map(Value::to_string))
    };
    addresses.map(held).collect()
}

/// A field with the id of what it leads to.
fn encoded_fields(name: &str) -> String {
    match name {
        "id" => name.to_owned(),
        name => format!("{name}(id)"),
    }
}

/// A field as conditions name it: of a reference, its id.
fn path_of(field: &LayoutField) -> String {
    match Nature::of(&field.column) == Nature::ToOne {
        true => format!("{}.id", field.column.name),
        false => field.column.name.clone(),
    }
}

/// The query by which the index finds the records with these keys.
fn query(fields: &[&LayoutField], keys: &[Vec<String>]) -> String {
    if let [field] = fields {
        let phrases: Vec<String> = keys.iter().flatten().map(|key| phrase(key)).collect();
        return format!("{}:({})", path_of(field), phrases.join(" "));
    }
    let term = |key: &Vec<String>| {
        let parts = fields.iter().zip(key);
        let parts = parts.map(|(field, part)| format!("{}:{}", path_of(field), phrase(part)));
        format!("({})", parts.collect::<Vec<_>>().join(" AND "))
    };
    keys.iter().map(term).collect::<Vec<_>>().join(" OR ")
}

/// The condition by which a query finds the records with these keys.
fn where_clause(fields: &[&LayoutField], keys: &[Vec<String>]) -> String {
    if let [field] = fields {
        let operands: Vec<String> = keys
            .iter()
            .flatten()
            .map(|key| operand(field, key))
            .collect();
        return format!("{} IN ({})", path_of(field), operands.join(","));
    }
    let term = |key: &Vec<String>| {
        let parts = fields.iter().zip(key);
        let parts =
            parts.map(|(field, part)| format!("{} = {}", path_of(field), operand(field, part)));
        format!("({})", parts.collect::<Vec<_>>().join(" AND "))
    };
    keys.iter().map(term).collect::<Vec<_>>().join(" OR ")
}
