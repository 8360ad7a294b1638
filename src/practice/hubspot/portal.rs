//! A portal: its objects and their records, its owners, what is associated with what, what was
//! counted, and what of all that must be durable before an answer leaves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::associations::Association;
use super::errors::ApiError;
use super::object::ObjectType;
use super::settings::Settings;
use super::table::{ID, Record, Table};
use super::value::{Age, taken};
use crate::practice::folder::{Folder, FolderError, RecordFile, SETTINGS_FILE};
use crate::practice::store::{Document, DocumentChange};

/// The file of owners.
const OWNERS: &str = "owners";

/// What the state file knows documents by; records go under the name of their object.
const COUNTERS: &str = "_counters";
const TOKEN: &str = "_token";
const ASSOCIATION: &str = "_association";

/// What stands before an object's name in a column of a file that names records of it.
const ASSOCIATED: &str = "associated_";

/// The first id of a record that no file names.
const FIRST_ID: u64 = 90_000_000_000;

/// An access token that an app was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) client_id: String,
    pub(super) dies: DateTime<Utc>,
    pub(super) calls: u64,
}

/// What is counted, and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(super) struct Counters {
    /// Records and tokens made so far.
    pub(super) made: u64,
    /// Calls of the day, those of others too.
    pub(super) used: u64,
    /// The day, in the portal's zone.
    pub(super) day: Option<NaiveDate>,
    /// Refresh tokens that were handed out in the place of the first, by app; an empty one was
    /// taken back.
    pub(super) refresh_tokens: BTreeMap<String, String>,
    /// Whether the service key was taken back.
    pub(super) revoked: bool,
    /// Whether the records of the folder were taken in.
    seeded: bool,
}

#[derive(Debug)]
pub(super) struct Portal {
    pub(super) settings: Settings,
    pub(super) tables: Vec<Table>,
    pub(super) owners: Vec<Map<String, Value>>,
    pub(super) counters: Counters,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) associations: BTreeSet<Association>,
    /// When calls of the last ten seconds came, and searches of the last one.
    pub(super) recent: VecDeque<DateTime<Utc>>,
    pub(super) searches: VecDeque<DateTime<Utc>>,
    changed: BTreeSet<(String, String)>,
}

impl Portal {
    /// The portal that a folder describes, with what became of it since.
    pub(super) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        let of_settings = |what| FolderError::Settings {
            file: SETTINGS_FILE.to_owned(),
            what,
        };
        let settings = Settings::read(folder.settings.as_deref()).map_err(of_settings)?;
        let mut portal = Self {
            settings,
            tables: Vec::new(),
            owners: Vec::new(),
            counters: Counters::default(),
            tokens: BTreeMap::new(),
            associations: BTreeSet::new(),
            recent: VecDeque::new(),
            searches: VecDeque::new(),
            changed: BTreeSet::new(),
        };
        for (file, schema) in folder.describes {
            let object =
                ObjectType::read(schema).map_err(|what| FolderError::Settings { file, what })?;
            portal.tables.push(Table::new(object));
        }
        portal.check_rules().map_err(of_settings)?;
        let (owners, records): (Vec<RecordFile>, Vec<RecordFile>) = folder
            .records
            .into_iter()
            .partition(|file| file.object == OWNERS);
        let owners = owners.into_iter().flat_map(|file| file.records);
        portal.owners = owners.map(|(_, owner)| owner).collect();
        portal.restore(documents);
        if !portal.counters.seeded {
            for file in &records {
                portal.seed(file)?;
            }
            for file in &records {
                portal.seed_associations(file)?;
            }
            portal.counters.seeded = true;
            portal.touch(COUNTERS, "");
        }
        Ok(portal)
    }

    /// Errors: a rule of the settings names an object or a property that is not there.
    fn check_rules(&self) -> Result<(), String> {
        for rule in &self.settings.rules {
            let place = self
                .place(&rule.object)
                .map_err(|_| format!("no schema tells of an object `{}`", rule.object))?;
            let object = self.object(place);
            let condition = rule.when.iter().map(|when| &when.property);
            for name in condition.chain([&rule.property]) {
                if !object.properties.contains_key(name) {
                    return Err(format!("`{}` has no property `{name}`", object.path_name));
                }
            }
        }
        Ok(())
    }

    /// Takes in the records of a file.
    fn seed(&mut self, file: &RecordFile) -> Result<(), FolderError> {
        let failed = |line, what| FolderError::Record {
            file: file.name.clone(),
            line,
            what,
        };
        let place = self
            .place(&file.object)
            .map_err(|_| failed(1, format!("no schema tells of an object `{}`", file.object)))?;
        let object = self.object(place);
        let owners = self.owner_ids();
        let made = DateTime::from_timestamp(1_767_600_000, 0).unwrap_or_default();
        for (line, values) in &file.records {
            let mut properties = BTreeMap::new();
            for (name, told) in values.iter().filter(|(_, told)| !told.is_null()) {
                if name.starts_with(ASSOCIATED) {
                    continue;
                }
                let text = told
                    .as_str()
                    .map_or_else(|| told.to_string(), str::to_owned);
                let property = object.properties.get(name).ok_or_else(|| {
                    let what = format!("`{}` has no property `{name}`", object.path_name);
                    failed(*line, what)
                })?;
                let text = match property.read_only {
                    true => text,
                    false => {
                        taken(property, &text, None, Age::Dated, &owners)
                            .map_err(|wrong| failed(*line, wrong.message))?
                            .text
                    }
                };
                properties.insert(name.clone(), text);
            }
            let id = match properties.get(ID) {
                Some(id) => id
                    .parse()
                    .map_err(|_| failed(*line, format!("`{id}` is no id")))?,
                None => self.next_id(),
            };
            if self.at(place).record(id).is_some() {
                return Err(failed(*line, format!("`{id}` stands there twice")));
            }
            properties.insert(ID.to_owned(), id.to_string());
            self.put(place, id, Record::new(properties, made));
        }
        Ok(())
    }

    /// Associates the records of a file with those that `associated_…` names.
    fn seed_associations(&mut self, file: &RecordFile) -> Result<(), FolderError> {
        for (line, values) in &file.records {
            let text = |told: &Value| {
                told.as_str()
                    .map_or_else(|| told.to_string(), str::to_owned)
            };
            let id = values.get(ID).map(text).unwrap_or_default();
            for (name, told) in values.iter().filter(|(_, told)| !told.is_null()) {
                let Some(to) = name.strip_prefix(ASSOCIATED) else {
                    continue;
                };
                for other in text(told).split(';').map(str::trim) {
                    self.associate((&file.object, &id), (to, other), None)
                        .map_err(|error| FolderError::Record {
                            file: file.name.clone(),
                            line: *line,
                            what: error.message,
                        })?;
                }
            }
        }
        Ok(())
    }

    fn restore(&mut self, documents: &[Document]) {
        for Document { kind, id, body } in documents {
            match kind.as_str() {
                COUNTERS => self.counters = serde_json::from_str(body).unwrap_or_default(),
                TOKEN => {
                    if let Ok(token) = serde_json::from_str(body) {
                        self.tokens.insert(id.clone(), token);
                    }
                }
                ASSOCIATION => self.associations.extend(serde_json::from_str(body).ok()),
                object => {
                    let record = serde_json::from_str(body).ok();
                    let place = self.place(object).ok();
                    if let (Some(record), Some(place), Ok(id)) = (record, place, id.parse()) {
                        self.at_mut(place).put(id, record);
                    }
                }
            }
        }
    }

    /// The place of an object by any of its names.
    pub(super) fn place(&self, name: &str) -> Result<usize, ApiError> {
        let place = self
            .tables
            .iter()
            .position(|table| table.object.is_named(name));
        place.ok_or_else(|| ApiError::unknown_object(name))
    }

    /// Panics: never; a place that this portal gave out has a table.
    pub(super) fn at(&self, place: usize) -> &Table {
        self.tables
            .get(place)
            .expect("places come from this portal")
    }

    fn at_mut(&mut self, place: usize) -> &mut Table {
        self.tables
            .get_mut(place)
            .expect("places come from this portal")
    }

    pub(super) fn object(&self, place: usize) -> Arc<ObjectType> {
        Arc::clone(&self.at(place).object)
    }

    /// Ids of the owners that are there.
    pub(super) fn owner_ids(&self) -> Vec<String> {
        let is_there = |owner: &&Map<String, Value>| {
            owner.get("archived").and_then(Value::as_str) != Some("true")
        };
        let owners = self.owners.iter().filter(is_there);
        owners
            .filter_map(|owner| Some(owner.get("id")?.as_str()?.to_owned()))
            .collect()
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.counters.made += 1;
        self.touch(COUNTERS, "");
        FIRST_ID + self.counters.made
    }

    pub(super) fn put(&mut self, place: usize, id: u64, record: Record) {
        let name = self.at(place).object.path_name.clone();
        self.at_mut(place).put(id, record);
        self.changed.insert((name, id.to_string()));
    }

    /// Since when the search knows of everything that was done.
    pub(super) fn indexed_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let lag = TimeDelta::from_std(self.settings.portal.search_lag).unwrap_or_default();
        now - lag
    }

    /// Merges one record into another, which takes its ids and addresses over.
    pub(super) fn merge(
        &mut self,
        place: usize,
        winner: u64,
        loser: u64,
        now: DateTime<Utc>,
    ) -> Result<(), String> {
        let since = self.indexed_at(now);
        let table = self.at(place);
        let found = |id| {
            let record = table.record(id).filter(|record| !record.archived);
            record.cloned().ok_or_else(|| format!("no record `{id}`"))
        };
        let (mut kept, mut lost) = (found(winner)?, found(loser)?);
        kept.remember(now, since);
        lost.remember(now, since);
        let mut join = |name: &str, more: String| {
            let before = kept.properties.get(name).cloned().unwrap_or_default();
            let all: Vec<&str> = [before.as_str(), &more]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            kept.properties.insert(name.to_owned(), all.join(";"));
        };
        join(super::table::MERGED_IDS, loser.to_string());
        if let Some(address) = lost.properties.get("email") {
            join(super::table::ALIASES, address.clone());
        }
        kept.updated = now;
        lost.archived = true;
        lost.merged_into = Some(winner);
        self.put(place, loser, lost);
        self.put(place, winner, kept);
        Ok(())
    }

    fn touch(&mut self, kind: &str, id: &str) {
        self.changed.insert((kind.to_owned(), id.to_owned()));
    }

    pub(super) fn touch_counters(&mut self) {
        self.touch(COUNTERS, "");
    }

    pub(super) fn touch_token(&mut self, token: &str) {
        self.touch(TOKEN, token);
    }

    pub(super) fn touch_association(&mut self, association: &Association) {
        self.touch(ASSOCIATION, &association.name());
    }

    /// What must be durable before the answer of this call leaves.
    pub(super) fn take_changes(&mut self) -> Vec<DocumentChange> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|(kind, id)| {
                let body = self.body(&kind, &id);
                DocumentChange { kind, id, body }
            })
            .collect()
    }

    fn body(&self, kind: &str, id: &str) -> Option<String> {
        match kind {
            COUNTERS => serde_json::to_string(&self.counters).ok(),
            TOKEN => serde_json::to_string(self.tokens.get(id)?).ok(),
            ASSOCIATION => {
                let mut all = self.associations.iter();
                serde_json::to_string(all.find(|association| association.name() == id)?).ok()
            }
            object => {
                let place = self.place(object).ok()?;
                let record = self.at(place).record(id.parse().ok()?)?;
                serde_json::to_string(record).ok()
            }
        }
    }
}
