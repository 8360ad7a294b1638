//! Looking records up: by ids and by properties that no two records share, which are read from the
//! database; by any other, through the search, whose index lags and whose every hit is therefore
//! read again by its id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::warn;

use super::super::look_up::{Find, Hit};
use super::super::seam::ServiceWrite;
use super::answers::{Batch, Told};
use super::describe::{ID, MERGED_IDS, associated};
use super::marks::id_of;
use super::stages::STAGE;
use super::values;
use super::{BATCH_MAX, HubSpotDestination, ids_json, owners};
use crate::destination::seam::{RowId, Stored};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::http::Repeat;

const DOING: &str = "looking records up";

/// Further addresses of a contact, by which it is found as well.
const ALIASES: &str = "hs_additional_emails";

/// Values of one search, and records on one of its pages.
/// Source: <https://developers.hubspot.com/docs/api-reference/search/guide>.
const SEARCH_VALUES_MAX: usize = 90;
const SEARCH_PAGE: usize = 200;

/// How often a search is asked again that shows fewer records than it counts, and how long is
/// waited in between.
const SEARCH_TRIES_MAX: u32 = 5;
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// Records that an answer may leave out for them to be asked for again, one by one.
const UNKNOWN_MAX: usize = 10;

/// Records that were merged into others, of those that are named at once.
const MERGED_SHOWN_MAX: usize = 10;

/// How records are found by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way<'a> {
    /// By the record's id.
    Id,
    /// By a property that no two records share.
    Unique(&'a str),
    /// By any other.
    Search(&'a str),
    /// By a record of another object that they are associated with.
    Associated(&'a str),
}

/// The way to find records, and the place of the key's part that it goes by.
fn way(layout: &Layout) -> (Way<'_>, usize) {
    let is_unique = |field: &LayoutField| {
        let own = [field.column.name.clone()];
        layout.object.unique_keys.iter().any(|key| *key == own)
    };
    let parts = || layout.key_fields().enumerate();
    let by_id = parts().find(|(_, field)| field.column.name == ID);
    let by_unique = parts().find(|(_, field)| is_unique(field));
    let by_any = parts().find(|(_, field)| associated(&field.column).is_none());
    match (by_id, by_unique, by_any) {
        (Some((place, _)), _, _) => (Way::Id, place),
        (None, Some((place, field)), _) => (Way::Unique(&field.column.name), place),
        (None, None, Some((place, field))) => (Way::Search(&field.column.name), place),
        (None, None, None) => {
            let other = layout.key_fields().next();
            let other = other.and_then(|field| associated(&field.column));
            (other.map_or(Way::Id, Way::Associated), 0)
        }
    }
}

impl Find for HubSpotDestination {
    fn connection(&self) -> &str {
        self.session.connection()
    }

    async fn find(
        &mut self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<Vec<Hit>, SystemError> {
        if owners::are_meant(layout) {
            return self.owners(layout).await;
        }
        let (way, place) = way(layout);
        let Some(field) = layout.key_fields().nth(place) else {
            return Ok(Vec::new());
        };
        let asked: BTreeSet<String> = keys
            .iter()
            .filter_map(|parts| parts.get(place))
            .map(|part| values::key_form(field, part))
            .filter(|part| !part.is_empty())
            .collect();
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let mut found = match way {
            Way::Id => {
                let ids: Vec<&str> = asked.into_iter().filter(|id| is_id(id)).collect();
                self.read_all(layout, None, &ids).await?
            }
            Way::Unique(property) => self.read_all(layout, Some(property), &asked).await?,
            Way::Search(property) => {
                let mut found = self.found_by(layout, property, &asked).await?;
                let missing = missing(field, &found, &asked);
                if layout.mode.inserts() && self.await_search(layout, property, &missing).await {
                    found.extend(self.found_by(layout, property, &missing).await?);
                }
                found
            }
            Way::Associated(other) => self.read_associated(layout, other, &asked).await?,
        };
        if way == Way::Id {
            self.tell_of_merged(layout, &found);
        }
        self.read_associations(layout, &mut found).await?;
        let mut hits = Vec::new();
        for (told, asked) in &found {
            if told.properties.contains_key(STAGE) {
                self.stages.note(told);
            }
            hits.extend(self.hits(layout, way, told, asked)?);
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

/// A record that was read, with what of the asked led to it.
pub(super) type Read = (Told, Vec<String>);

/// The records that were read, each with what of the asked led to it, and what of the asked is
/// neither among them nor said to be missing.
fn led<'a>(
    batch: Batch,
    id_property: Option<&str>,
    asked: &[&'a str],
) -> (Vec<Read>, Vec<&'a str>) {
    let missing = batch.errors.iter().flat_map(|error| &error.ids);
    let mut known: BTreeSet<String> = missing.map(|id| id.to_lowercase()).collect();
    let read = |told: Told| {
        let names = names_of(&told, id_property);
        let led = asked
            .iter()
            .filter(|asked| names.contains(&asked.to_lowercase()));
        let led = led.map(|asked| (*asked).to_owned()).collect();
        known.extend(names);
        (told, led)
    };
    let found = batch.results.into_iter().map(read).collect();
    let is_unknown = |asked: &&str| !known.contains(&asked.to_lowercase());
    let unknown = asked.iter().copied().filter(is_unknown).collect();
    (found, unknown)
}

/// Values of a property that none of these records has.
fn missing<'a>(field: &LayoutField, found: &[Read], asked: &[&'a str]) -> Vec<&'a str> {
    let held: BTreeSet<String> = found
        .iter()
        .filter_map(|(told, _)| told.properties.get(&field.column.name)?.as_deref())
        .map(|held| values::key_form(field, held))
        .collect();
    let is_missing = |value: &&str| !held.contains(*value);
    asked.iter().copied().filter(is_missing).collect()
}

impl HubSpotDestination {
    /// The id of a record that was merged into another leads to that one, which is not written in its
    /// place.
    fn tell_of_merged(&self, layout: &Layout, found: &[Read]) {
        let merged = found.iter().flat_map(|(told, led)| {
            let others = led.iter().filter(|asked| **asked != told.id);
            others.map(|asked| format!("{asked} into {}", told.id))
        });
        let merged: Vec<String> = merged.collect();
        if merged.is_empty() {
            return;
        }
        let shown = merged.iter().take(MERGED_SHOWN_MAX).cloned();
        let object = layout.object.display_name();
        warn!(connection = self.session.connection(), %object, count = merged.len(),
            merged = shown.collect::<Vec<_>>().join(", "),
            "records were merged into others and are not written: name the others' ids");
    }

    /// Waits until the search knows of all that may have been made with these values. Whether there
    /// was anything to wait for.
    async fn await_search(&self, layout: &Layout, property: &str, missing: &[&str]) -> bool {
        if missing.is_empty() {
            return false;
        }
        let object = layout.object.path.last().map_or("", String::as_str);
        let unseen = &self.session.manner.unseen;
        let wait = unseen.wait(object, property, missing, Instant::now());
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
        wait.is_some()
    }

    /// The records that the search finds by these values, as they are now.
    async fn found_by(
        &self,
        layout: &Layout,
        property: &str,
        wanted: &[&str],
    ) -> Result<Vec<Read>, SystemError> {
        let ids = self.search_all(layout, property, wanted).await?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.read_all(layout, None, &ids).await
    }

    /// Reads records by ids, or by a property that no two share.
    pub(super) async fn read_all(
        &self,
        layout: &Layout,
        id_property: Option<&str>,
        asked: &[&str],
    ) -> Result<Vec<Read>, SystemError> {
        let properties = properties(layout, id_property);
        let mut found = Vec::new();
        for portion in asked.chunks(BATCH_MAX) {
            found.extend(self.read(layout, id_property, portion, &properties).await?);
        }
        Ok(found)
    }

    /// Reads so many records as one request takes. Errors: `Unavailable`, where of more than a few
    /// that were asked for nobody knows whether they are there.
    async fn read(
        &self,
        layout: &Layout,
        id_property: Option<&str>,
        asked: &[&str],
        properties: &[&str],
    ) -> Result<Vec<Read>, SystemError> {
        let batch = self.read_batch(layout, id_property, asked, properties);
        let (mut found, unknown) = led(batch.await?, id_property, asked);
        if unknown.len() > UNKNOWN_MAX {
            return Err(self.unavailable("an answer leaves out records that were asked for"));
        }
        // One that is told in another spelling than it was asked in is known by asking for it alone.
        for name in unknown {
            let batch = self
                .read_batch(layout, id_property, &[name], properties)
                .await?;
            match (batch.results.into_iter().next(), batch.errors.is_empty()) {
                (Some(told), _) => found.push((told, vec![name.to_owned()])),
                (None, false) => {}
                (None, true) => {
                    let why = format!("nothing tells whether there is a record `{name}`");
                    return Err(self.unavailable(&why));
                }
            }
        }
        Ok(found)
    }

    /// Asks for so many records as one request takes. Errors: the answer is not whole, or tells of
    /// other things than of records that are not there.
    async fn read_batch(
        &self,
        layout: &Layout,
        id_property: Option<&str>,
        asked: &[&str],
        properties: &[&str],
    ) -> Result<Batch, SystemError> {
        let mut body = json!({
            "properties": properties, "propertiesWithHistory": [], "inputs": ids_json(asked),
        });
        if let (Some(property), Some(fields)) = (id_property, body.as_object_mut()) {
            fields.insert("idProperty".to_owned(), property.into());
        }
        let path = self.objects_path(&layout.object, "batch/read");
        let response = self.post(path, body.to_string(), Repeat::Asks).await?;
        if !response.is_success() {
            return Err(self.failure(&response, DOING));
        }
        let batch = Batch::read(&response.body)
            .ok_or_else(|| self.unreadable(DOING, "it holds no records"))?;
        let is_missing = |error: &&super::answers::ApiError| error.category == "OBJECT_NOT_FOUND";
        if let Some(error) = batch.errors.iter().find(|error| !is_missing(error)) {
            return Err(self.unreadable(DOING, &error.to_string()));
        }
        match batch.is_complete {
            true => Ok(batch),
            false => Err(self.unavailable("an answer is not complete")),
        }
    }

    fn unavailable(&self, why: &str) -> SystemError {
        SystemError::Unavailable {
            connection: self.session.connection().to_owned(),
            source: why.into(),
        }
    }

    /// Ids of the records that may have one of these values in a property. What they hold is to be
    /// read: the index may be behind.
    async fn search_all(
        &self,
        layout: &Layout,
        property: &str,
        wanted: &[&str],
    ) -> Result<BTreeSet<String>, SystemError> {
        let mut ids = BTreeSet::new();
        for portion in wanted.chunks(SEARCH_VALUES_MAX) {
            let mut tries = 0;
            loop {
                let (found, total) = self.search(layout, property, portion).await?;
                let is_whole = found.len() >= total;
                tries += 1;
                if is_whole {
                    ids.extend(found);
                    break;
                }
                if tries == SEARCH_TRIES_MAX {
                    return Err(self.unavailable(&format!(
                        "a search counts {total} records and shows {}",
                        found.len()
                    )));
                }
                tokio::time::sleep(SEARCH_PAUSE * tries).await;
            }
        }
        Ok(ids)
    }

    /// Searches once, page by page; how many records it counts.
    async fn search(
        &self,
        layout: &Layout,
        property: &str,
        wanted: &[&str],
    ) -> Result<(BTreeSet<String>, usize), SystemError> {
        let values: Vec<String> = wanted.iter().map(|value| value.to_lowercase()).collect();
        let mut ids = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let mut body = json!({
                "filterGroups": [{ "filters": [
                    { "propertyName": property, "operator": "IN", "values": values },
                ] }],
                "properties": [property], "sorts": [ID], "limit": SEARCH_PAGE,
            });
            if let (Some(after), Some(fields)) = (&after, body.as_object_mut()) {
                fields.insert("after".to_owned(), after.as_str().into());
            }
            self.session.manner.searches.turn().await;
            let path = self.objects_path(&layout.object, "search");
            let response = self.post(path, body.to_string(), Repeat::Asks).await?;
            if !response.is_success() {
                return Err(self.failure(&response, "searching"));
            }
            let page = Batch::read(&response.body)
                .ok_or_else(|| self.unreadable("searching", "it holds no records"))?;
            let before = ids.len();
            ids.extend(page.results.into_iter().map(|told| told.id));
            let total = page.total.unwrap_or(ids.len());
            // A page that shows nothing new is the last one, whatever it says.
            match page.after.filter(|_| ids.len() > before) {
                Some(next) => after = Some(next),
                None => return Ok((ids, total)),
            }
        }
    }

    /// What was found, once for each name of it that was asked for.
    fn hits(
        &self,
        layout: &Layout,
        way: Way<'_>,
        told: &Told,
        led: &[String],
    ) -> Result<Vec<Hit>, SystemError> {
        let value = |field: &LayoutField| -> Result<Option<String>, SystemError> {
            let name = &field.column.name;
            match told.properties.get(name) {
                Some(text) => Ok(values::held(text.as_deref()).map(str::to_owned)),
                None if name == ID => Ok(Some(told.id.clone())),
                None => Err(self.unreadable(DOING, &format!("a record has no `{name}`"))),
            }
        };
        let values: Vec<Option<String>> =
            layout.fields.iter().map(value).collect::<Result<_, _>>()?;
        let hit = |values| Hit {
            stored: Stored {
                id: RowId(told.id.clone()),
                version: told.updated_at.clone(),
            },
            values,
        };
        let property = match way {
            Way::Unique(property) => property,
            // One that belongs to several is found as belonging to what was asked for.
            Way::Associated(_) => {
                let place = layout.key.first().copied().unwrap_or_default();
                let named = |name: &String| {
                    let mut values = values.clone();
                    if let Some(value) = values.get_mut(place) {
                        *value = Some(name.clone());
                    }
                    hit(values)
                };
                return Ok(led.iter().map(named).collect());
            }
            Way::Id | Way::Search(_) => return Ok(vec![hit(values)]),
        };
        let place = layout
            .key
            .iter()
            .copied()
            .find(|place| {
                let field = layout.fields.get(*place);
                field.is_some_and(|field| field.column.name == property)
            })
            .unwrap_or_default();
        // By a further address it is found as what it was asked for.
        let named = |name: &String| {
            let mut values = values.clone();
            if let Some(value) = values.get_mut(place) {
                *value = Some(name.clone());
            }
            hit(values)
        };
        Ok(led.iter().map(named).collect())
    }

    /// The versions of the records that are to be written, read now. What is gone is not there.
    pub(super) async fn versions(
        &self,
        layout: &Layout,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<BTreeMap<RowId, Option<String>>, SystemError> {
        let ids: Vec<&str> = writes
            .iter()
            .filter_map(|write| Some(id_of(write)?.0.as_str()))
            .collect();
        let mut versions = BTreeMap::new();
        for portion in ids.chunks(BATCH_MAX) {
            let found = self.read(layout, None, portion, &[ID, MERGED_IDS]).await?;
            versions.extend(
                found
                    .into_iter()
                    .map(|(told, _)| (RowId(told.id), told.updated_at)),
            );
        }
        Ok(versions)
    }
}

/// Names under which a record is found, in lower case: its value in the property, and others that
/// lead to it.
fn names_of(told: &Told, id_property: Option<&str>) -> BTreeSet<String> {
    let held = |name: &str| told.properties.get(name).cloned().flatten();
    let list = |name: &str| held(name).unwrap_or_default();
    let (own, others) = match id_property {
        Some("email") => (held("email"), list(ALIASES)),
        Some(property) => (held(property), String::new()),
        None => (Some(told.id.clone()), list(MERGED_IDS)),
    };
    let others = others.split(';').map(str::trim).map(str::to_lowercase);
    let own = own.into_iter().map(|name| name.trim().to_lowercase());
    own.chain(others).filter(|name| !name.is_empty()).collect()
}

/// The properties that are asked for.
fn properties<'a>(layout: &'a Layout, id_property: Option<&'a str>) -> Vec<&'a str> {
    let more = match id_property {
        Some("email") => ALIASES,
        Some(property) => property,
        None => MERGED_IDS,
    };
    let fields = layout.fields.iter();
    let fields = fields.filter(|field| associated(&field.column).is_none());
    let fields = fields.map(|field| field.column.name.as_str());
    let mut names: Vec<&str> = Vec::new();
    for name in fields.chain(id_property).chain([more]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
