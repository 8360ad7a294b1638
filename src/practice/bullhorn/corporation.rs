//! A corporation: its entities and their records, what the index of `search` knows of them, sessions,
//! and what of all that must be durable before an answer leaves.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::meta::{Entity, Field, FieldType};
use super::settings::Settings;
use crate::practice::faults::drawn;
use crate::practice::folder::{Folder, FolderError, RecordFile, SETTINGS_FILE};
use crate::practice::store::{Document, DocumentChange};

/// What the state file knows documents by; records go under the name of their entity.
const COUNTERS: &str = "_counters";
const SESSION: &str = "_session";

/// How long an access token is good for. Source: bullhorn.github.io/docs/oauth.
pub(super) const ACCESS_SECONDS: i64 = 600;

/// Entities whose records are people.
const PEOPLE: [&str; 3] = ["Candidate", "ClientContact", "CorporateUser"];

/// What a record holds: a reference is an id, a list of them an array.
pub(super) type Held = Map<String, Value>;

/// What the index knows of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Indexed {
    AsItIs,
    /// As it was, until an instant or for ever; `None` of a record that was not there.
    AsItWas {
        until: Option<DateTime<Utc>>,
        was: Option<Held>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) held: Held,
    indexed: Indexed,
}

impl Row {
    /// What `search` sees of it.
    pub(super) fn seen(&self, now: DateTime<Utc>) -> Option<&Held> {
        match &self.indexed {
            Indexed::AsItIs => Some(&self.held),
            Indexed::AsItWas { until, .. } if until.is_some_and(|until| until <= now) => {
                Some(&self.held)
            }
            Indexed::AsItWas { was, .. } => was.as_ref(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) entity: Entity,
    pub(super) rows: BTreeMap<u64, Row>,
}

/// A session that was logged in to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) last_used: DateTime<Utc>,
    minutes: i64,
    pub(super) dead: bool,
    calls: u64,
}

/// What is counted, and kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Secrets made so far.
    pub(super) made: u64,
    /// Writes so far.
    writes: u64,
    /// Calls of the month, and the month.
    pub(super) used: u64,
    month: String,
    seeded: bool,
    /// The refresh token that works.
    pub(super) refresh_token: Option<String>,
    /// The codes that were not used yet.
    pub(super) codes: BTreeSet<String>,
    /// Access tokens, and until when they are good.
    pub(super) access_tokens: BTreeMap<String, DateTime<Utc>>,
    /// Calls that came to a host that is none of the corporation's.
    pub(super) strayed: u64,
    /// The highest id of each entity.
    ids: BTreeMap<String, u64>,
}

#[derive(Debug)]
pub(super) struct Corporation {
    pub(super) settings: Settings,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) counters: Counters,
    pub(super) sessions: BTreeMap<String, Session>,
    /// When the calls of the last minute came.
    minute: Vec<DateTime<Utc>>,
    changed: BTreeSet<(String, String)>,
}

impl Corporation {
    /// The corporation that a folder describes, with what became of it since.
    pub(super) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        let of_settings = |what| FolderError::Settings {
            file: SETTINGS_FILE.to_owned(),
            what,
        };
        let settings = Settings::read(folder.settings.as_deref()).map_err(of_settings)?;
        let mut corporation = Self {
            settings,
            tables: BTreeMap::new(),
            counters: Counters::default(),
            sessions: BTreeMap::new(),
            minute: Vec::new(),
            changed: BTreeSet::new(),
        };
        for (file, describe) in folder.describes {
            let entity =
                Entity::read(&describe).map_err(|what| FolderError::Settings { file, what })?;
            corporation.add(entity);
        }
        corporation.add_note_links();
        corporation.restore(documents);
        if !corporation.counters.seeded {
            for file in &folder.records {
                corporation.seed(file)?;
            }
            corporation.counters.seeded = true;
            corporation.touch(COUNTERS, "");
        }
        Ok(corporation)
    }

    fn add(&mut self, entity: Entity) {
        let rows = BTreeMap::new();
        self.tables
            .insert(entity.name.clone(), Table { entity, rows });
    }

    /// Links of notes are there, whether the folder describes them or not.
    fn add_note_links(&mut self) {
        if self.tables.contains_key("NoteEntity") {
            return;
        }
        let field = |name: &str, field_type: &str, data_type: &str| json!({ "name": name, "type": field_type, "dataType": data_type });
        let described = json!({ "entity": "NoteEntity", "label": "Note Entity", "fields": [
            field("id", "ID", "Integer"),
            { "name": "note", "type": "TO_ONE", "associatedEntity": { "entity": "Note" } },
            field("targetEntityID", "SCALAR", "Integer"),
            field("targetEntityName", "SCALAR", "String"),
        ] });
        if let Ok(entity) = Entity::read(&described) {
            self.add(entity);
        }
    }

    fn restore(&mut self, documents: &[Document]) {
        for Document { kind, id, body } in documents {
            match kind.as_str() {
                COUNTERS => self.counters = serde_json::from_str(body).unwrap_or_default(),
                SESSION => {
                    if let Ok(session) = serde_json::from_str(body) {
                        self.sessions.insert(id.clone(), session);
                    }
                }
                entity => {
                    let row = serde_json::from_str::<Row>(body).ok();
                    let table = self.tables.get_mut(entity);
                    if let (Some(table), Some(row), Ok(id)) = (table, row, id.parse()) {
                        table.rows.insert(id, row);
                    }
                }
            }
        }
    }

    fn seed(&mut self, file: &RecordFile) -> Result<(), FolderError> {
        let Some(table) = self.tables.get(&file.object) else {
            return Err(FolderError::Settings {
                file: file.name.clone(),
                what: format!("no answer of `meta` describes `{}`", file.object),
            });
        };
        let mut rows = Vec::new();
        for (line, record) in &file.records {
            let row = seeded(&table.entity, record).map_err(|what| FolderError::Record {
                file: file.name.clone(),
                line: *line,
                what,
            })?;
            rows.push(row);
        }
        for (id, held) in rows {
            let id = id.unwrap_or_else(|| self.next_id(&file.object));
            self.note_id(&file.object, id);
            let row = Row {
                held,
                indexed: Indexed::AsItIs,
            };
            if let Some(table) = self.tables.get_mut(&file.object) {
                table.rows.insert(id, row);
            }
            self.touch(&file.object, &id.to_string());
        }
        Ok(())
    }

    fn note_id(&mut self, entity: &str, id: u64) {
        let highest = self.counters.ids.entry(entity.to_owned()).or_default();
        *highest = id.max(*highest);
    }

    /// An id that no record of the entity has or had.
    pub(super) fn next_id(&mut self, entity: &str) -> u64 {
        let highest = self.counters.ids.entry(entity.to_owned()).or_default();
        *highest += 1;
        let id = *highest;
        self.touch(COUNTERS, "");
        id
    }

    pub(super) fn row(&self, entity: &str, id: u64) -> Option<&Row> {
        self.tables.get(entity)?.rows.get(&id)
    }

    /// Puts a record in the place of what was there; the index hears of it later, or never.
    pub(super) fn put(&mut self, entity: &str, id: u64, held: Held, now: DateTime<Utc>) {
        self.counters.writes += 1;
        let is_missed =
            drawn(1, "index", self.counters.writes) % 1_000 < self.settings.search.missed_per_mille;
        let lag = TimeDelta::from_std(self.settings.search.lag).unwrap_or_default();
        let until = (!is_missed).then(|| now + lag);
        let Some(table) = self.tables.get_mut(entity) else {
            return;
        };
        let was = table.rows.get(&id).and_then(|row| row.seen(now).cloned());
        let indexed = match lag.is_zero() && !is_missed {
            true => Indexed::AsItIs,
            false => Indexed::AsItWas { until, was },
        };
        table.rows.insert(id, Row { held, indexed });
        self.touch(entity, &id.to_string());
        self.touch(COUNTERS, "");
    }

    /// Takes a record away for good.
    pub(super) fn remove(&mut self, entity: &str, id: u64) {
        if let Some(table) = self.tables.get_mut(entity) {
            table.rows.remove(&id);
        }
        self.touch(entity, &id.to_string());
    }

    fn touch(&mut self, kind: &str, id: &str) {
        self.changed.insert((kind.to_owned(), id.to_owned()));
    }

    pub(super) fn touch_counters(&mut self) {
        self.touch(COUNTERS, "");
    }

    /// Counts a call; says whether there are too many of them.
    pub(super) fn count_call(&mut self, now: DateTime<Utc>, others: u64) -> CallCount {
        let month = now.format("%Y-%m").to_string();
        if self.counters.month != month {
            self.counters.month = month;
            self.counters.used = 0;
        }
        let begun = now - TimeDelta::minutes(1);
        self.minute.retain(|at| *at > begun);
        let per_minute = self.settings.corporation.calls_per_minute;
        if per_minute > 0 && self.minute.len() >= per_minute {
            return CallCount::TooMany;
        }
        if self.counters.used >= self.settings.corporation.calls_per_month {
            return CallCount::MonthUsed;
        }
        self.minute.push(now);
        self.counters.used += 1 + others;
        self.touch_counters();
        CallCount::Taken
    }

    pub(super) fn calls_left_in_minute(&self) -> usize {
        let per_minute = self.settings.corporation.calls_per_minute;
        per_minute.saturating_sub(self.minute.len())
    }

    pub(super) fn open_session(&mut self, token: &str, minutes: i64, now: DateTime<Utc>) {
        let session = Session {
            last_used: now,
            minutes,
            dead: false,
            calls: 0,
        };
        self.sessions.insert(token.to_owned(), session);
        self.touch(SESSION, token);
    }

    pub(super) fn living_sessions(&self, now: DateTime<Utc>) -> usize {
        let living = self.sessions.values().filter(|session| session.lives(now));
        living.count()
    }

    /// Notes that a session is used; `None` if it is dead. One that was used often enough dies.
    pub(super) fn use_session(
        &mut self,
        token: &str,
        now: DateTime<Utc>,
        calls_max: Option<u64>,
    ) -> Option<DateTime<Utc>> {
        let session = self.sessions.get_mut(token)?;
        if !session.lives(now) {
            return None;
        }
        session.last_used = now;
        session.calls += 1;
        session.dead = calls_max.is_some_and(|calls| session.calls >= calls);
        let ends = session.ends();
        self.touch(SESSION, token);
        Some(ends)
    }

    /// Ends sessions: this one, or all.
    pub(super) fn end_sessions(&mut self, token: Option<&str>) {
        let tokens: Vec<String> = self.sessions.keys().cloned().collect();
        for known in tokens {
            if token.is_none_or(|token| token == known) {
                if let Some(session) = self.sessions.get_mut(&known) {
                    session.dead = true;
                }
                self.touch(SESSION, &known);
            }
        }
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changes(&mut self) -> Vec<DocumentChange> {
        let changed = std::mem::take(&mut self.changed);
        let text = |value: Result<String, serde_json::Error>| value.ok();
        let change = |(kind, id): (String, String)| {
            let body = match kind.as_str() {
                COUNTERS => text(serde_json::to_string(&self.counters)),
                SESSION => self
                    .sessions
                    .get(&id)
                    .and_then(|session| text(serde_json::to_string(session))),
                entity => id
                    .parse()
                    .ok()
                    .and_then(|id| self.row(entity, id))
                    .and_then(|row| text(serde_json::to_string(row))),
            };
            DocumentChange { kind, id, body }
        };
        changed.into_iter().map(change).collect()
    }

    /// The entity that a reference's record is of, where the field names one or says only that it
    /// is a person.
    pub(super) fn entity_of(&self, target: &str, id: u64) -> Option<&Table> {
        let table = |name: &str| self.tables.get(name);
        if target != "Person" {
            return table(target);
        }
        let people = PEOPLE.into_iter().filter_map(table);
        people
            .into_iter()
            .find(|table| table.rows.contains_key(&id))
    }

    /// Ids of what a list of a record leads to. Notes and submissions are joined to it by their
    /// own references.
    pub(super) fn members(&self, entity: &str, id: u64, field: &Field) -> Vec<u64> {
        let target = field.target.as_deref().unwrap_or_default();
        match (entity, target) {
            (_, "Note") => self.notes_of(entity, id),
            ("Note", target) if field.name != "entities" => {
                let name = link_name(target);
                let links = self
                    .links()
                    .filter(|(note, _, linked)| *note == id && *linked == name);
                links.map(|(_, target, _)| target).collect()
            }
            (_, "JobSubmission") => {
                let own = match entity {
                    "JobOrder" => "jobOrder",
                    _ => "candidate",
                };
                let rows = self.tables.get(target).into_iter();
                let rows = rows.flat_map(|table| &table.rows);
                let is_own =
                    |(_, row): &(&u64, &Row)| row.held.get(own).and_then(Value::as_u64) == Some(id);
                rows.filter(is_own).map(|(id, _)| *id).collect()
            }
            _ => {
                let held = self
                    .row(entity, id)
                    .and_then(|row| row.held.get(&field.name));
                let ids = held.and_then(Value::as_array).into_iter().flatten();
                ids.filter_map(Value::as_u64).collect()
            }
        }
    }

    /// Links of notes: the note, what it leads to, and the name of that.
    pub(super) fn links(&self) -> impl Iterator<Item = (u64, u64, &str)> {
        let rows = self.tables.get("NoteEntity").into_iter();
        rows.flat_map(|table| table.rows.values())
            .filter_map(|row| {
                let number = |name: &str| row.held.get(name).and_then(Value::as_u64);
                let name = row.held.get("targetEntityName").and_then(Value::as_str)?;
                Some((number("note")?, number("targetEntityID")?, name))
            })
    }

    fn notes_of(&self, entity: &str, id: u64) -> Vec<u64> {
        let name = link_name(entity);
        let links = self.links();
        let own = links.filter(|(_, target, linked)| *target == id && *linked == name);
        own.map(|(note, _, _)| note).collect()
    }

    /// What a property of a record holds, over references where it has dots.
    pub(super) fn value(&self, entity: &str, id: u64, held: &Held, path: &str) -> Value {
        if path == "id" || (path == "noteID" && entity == "Note") {
            return id.into();
        }
        let Some((first, rest)) = path.split_once('.') else {
            return held.get(path).cloned().unwrap_or(Value::Null);
        };
        let field = self
            .tables
            .get(entity)
            .and_then(|table| table.entity.field(first));
        let reference = held.get(first).and_then(Value::as_u64);
        let (Some(target), Some(reference)) =
            (field.and_then(|field| field.target.as_deref()), reference)
        else {
            return Value::Null;
        };
        match self.entity_of(target, reference) {
            Some(table) => match table.rows.get(&reference) {
                Some(row) => self.value(&table.entity.name, reference, &row.held, rest),
                None => Value::Null,
            },
            // An entity that the folder does not describe.
            None if rest == "id" => reference.into(),
            None => Value::Null,
        }
    }

    /// Whether an entity has a property, over references where it has dots.
    pub(super) fn has(&self, entity: &str, path: &str) -> bool {
        let Some(table) = self.tables.get(entity) else {
            // What the folder does not describe may have any.
            return true;
        };
        if path == "noteID" {
            return entity == "Note";
        }
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        match table.entity.field(first) {
            None => false,
            Some(_) if rest.is_empty() => true,
            Some(field) => match field.target.as_deref() {
                Some("Person") => PEOPLE.into_iter().any(|person| self.has(person, rest)),
                Some(target) => self.has(target, rest),
                None => field.field_type == FieldType::Composite,
            },
        }
    }
}

impl Session {
    fn lives(&self, now: DateTime<Utc>) -> bool {
        !self.dead && now < self.ends()
    }

    fn ends(&self) -> DateTime<Utc> {
        self.last_used + TimeDelta::minutes(self.minutes)
    }
}

/// What becomes of a call that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallCount {
    Taken,
    TooMany,
    MonthUsed,
}

/// As a link of a note calls an entity. Source: `shape-note.json` of public answers.
pub(super) fn link_name(entity: &str) -> &str {
    match entity {
        "Candidate" | "ClientContact" | "CorporateUser" => "User",
        "JobOrder" => "JobPosting",
        other => other,
    }
}

/// A record of a file: its id, if it has one, and what it holds.
fn seeded(entity: &Entity, record: &Map<String, Value>) -> Result<(Option<u64>, Held), String> {
    let mut held = Held::new();
    let mut id = None;
    for (name, value) in record {
        let field = entity
            .field(name)
            .ok_or_else(|| format!("`{}` has no field `{name}`", entity.name))?;
        let wrong = || format!("`{name}` cannot hold {value}");
        if field.field_type == FieldType::Id {
            id = Some(number_of(value).ok_or_else(wrong)?);
            continue;
        }
        let value = from_file(field, value).ok_or_else(wrong)?;
        held.insert(name.clone(), value);
    }
    if entity.has("isDeleted") {
        held.entry("isDeleted").or_insert(Value::Bool(false));
    }
    Ok((id, held))
}

fn number_of(value: &Value) -> Option<u64> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or(text)
}

/// What a field holds for a value of a file, in which a cell of CSV is a text.
fn from_file(field: &Field, value: &Value) -> Option<Value> {
    if value.is_null() {
        return Some(Value::Null);
    }
    match field.field_type {
        FieldType::ToOne => {
            let id = value.get("id").unwrap_or(value);
            Some(number_of(id)?.into())
        }
        FieldType::ToMany => {
            let text = value.as_str().map(|text| text.split(';'));
            let ids: Option<Vec<u64>> = match (value.as_array(), text) {
                (Some(values), _) => values.iter().map(number_of).collect(),
                (None, Some(parts)) => parts.map(|id| id.trim().parse().ok()).collect(),
                (None, None) => None,
            };
            Some(ids?.into())
        }
        FieldType::Composite => match value.as_str() {
            Some(text) => serde_json::from_str(text).ok(),
            None => Some(value.clone()),
        },
        FieldType::Id => Some(value.clone()),
        FieldType::Scalar => scalar_from_file(field, value),
    }
}

fn scalar_from_file(field: &Field, value: &Value) -> Option<Value> {
    let Some(text) = value.as_str() else {
        return Some(value.clone());
    };
    if field.is_multi_value && field.data_type == "String" {
        let values: Vec<&str> = text.split(';').collect();
        return Some(values.into());
    }
    match field.data_type.as_str() {
        "Integer" => Some(text.parse::<i64>().ok()?.into()),
        "Double" | "BigDecimal" => Some(
            serde_json::from_str::<serde_json::Number>(text)
                .ok()?
                .into(),
        ),
        "Boolean" => Some(text.parse::<bool>().ok()?.into()),
        "Timestamp" => Some(milliseconds(text)?.into()),
        _ => Some(text.into()),
    }
}

fn milliseconds(text: &str) -> Option<i64> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = || day()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    let instant = || text.parse::<DateTime<Utc>>().ok();
    text.parse().ok().or_else(|| {
        let at = instant().or_else(midnight)?;
        Some(at.timestamp_millis())
    })
}
