//! An org: its objects and their records, its users, what was counted, and what of all that must be
//! durable before an answer leaves.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bulk_job::Job;
use super::cursor::Cursor;
use super::errors::ApiError;
use super::object::{ObjectType, built_in, plain_field};
use super::settings::{Event, Settings};
use super::table::{Record, Table};
use super::value::{self, Held, from_text};
use crate::domain::salesforce_id::canonical_id;
use crate::practice::folder::{Folder, FolderError, SETTINGS_FILE};
use crate::practice::store::{Document, DocumentChange};

/// Cursors of queries that are kept; older ones are forgotten, as there. Source:
/// <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_limits.htm>.
const CURSORS_MAX: usize = 10;

/// The user whom records belong to where nobody says otherwise.
const USER_ID: &str = "005Practice0001";

/// What the state file knows documents by; records go under the name of their object.
const SESSION: &str = "_session";
const COUNTERS: &str = "_counters";
const JOB: &str = "_job";
const UPLOAD: &str = "_upload";
const ENDS: &str = "_ends";

/// A token and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user: String,
    pub(super) client_id: String,
    pub(super) last_used: DateTime<Utc>,
    pub(super) calls: u64,
    pub(super) dead: bool,
}

/// What is counted, and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(super) struct Counters {
    /// Records, jobs and tokens made so far.
    pub(super) made: u64,
    /// Calls of the day, those of others too.
    pub(super) used: u64,
    /// When that day began.
    pub(super) day: Option<DateTime<Utc>>,
    /// Refresh tokens that were handed out in the place of the first, by app; an empty one was
    /// taken back.
    pub(super) refresh_tokens: BTreeMap<String, String>,
    /// How often triggers were fired: `Account.update`.
    pub(super) triggers: BTreeMap<String, u64>,
    /// Whether the records of the folder were taken in.
    pub(super) seeded: bool,
}

/// What a record was before it was changed.
#[derive(Debug)]
struct Undo {
    table: usize,
    id: String,
    before: Option<Record>,
}

#[derive(Debug)]
pub(super) struct Org {
    pub(super) settings: Settings,
    pub(super) tables: Vec<Table>,
    by_name: HashMap<String, usize>,
    by_prefix: HashMap<String, usize>,
    pub(super) counters: Counters,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) cursors: VecDeque<(String, Cursor)>,
    journal: Vec<Undo>,
    changed: BTreeSet<(String, String)>,
}

impl Org {
    /// The org that a folder describes, with what became of it since.
    pub(super) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        let Folder {
            describes,
            records,
            settings,
            path,
        } = folder;
        let of_settings = |what| FolderError::Settings {
            file: SETTINGS_FILE.to_owned(),
            what,
        };
        let settings = Settings::read(settings.as_deref(), &path).map_err(of_settings)?;
        let mut org = Self {
            settings,
            tables: Vec::new(),
            by_name: HashMap::new(),
            by_prefix: HashMap::new(),
            counters: Counters::default(),
            sessions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            cursors: VecDeque::new(),
            journal: Vec::new(),
            changed: BTreeSet::new(),
        };
        for (place, (file, describe)) in (0..).zip(describes) {
            let describe = org.with_record_types(describe);
            let prefix = format!("a{place:02}");
            let object = ObjectType::read(describe, Some(&prefix))
                .map_err(|what| FolderError::Settings { file, what })?;
            org.add(object);
        }
        org.add_built_in();
        org.check_rules().map_err(of_settings)?;
        org.restore(documents);
        if !org.counters.seeded {
            for file in &records {
                org.seed(file)?;
            }
            org.add_own_records();
            org.counters.seeded = true;
            org.touch(COUNTERS, "");
        }
        org.journal.clear();
        Ok(org)
    }

    fn add(&mut self, object: ObjectType) {
        let place = self.tables.len();
        self.by_name.insert(object.name.to_lowercase(), place);
        self.by_prefix.insert(object.prefix.clone(), place);
        self.tables.push(Table::new(object));
    }

    /// A describe answer with the record types that the settings add.
    fn with_record_types(&self, mut describe: Value) -> Value {
        let name = describe
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut own: Vec<Value> = self
            .settings
            .record_types
            .iter()
            .filter(|kind| kind.object == name)
            .map(|kind| {
                let id = canonical_id(&kind.id).unwrap_or_else(|| kind.id.clone());
                json!({
                    "active": true, "available": kind.available, "defaultRecordTypeMapping": false,
                    "developerName": kind.name.replace(' ', "_"), "master": false, "name": kind.name, "recordTypeId": id,
                    "urls": { "layout": format!("/services/data/v67.0/sobjects/{name}/describe/layouts/{id}") },
                })
            })
            .collect();
        let infos = describe
            .get_mut("recordTypeInfos")
            .and_then(Value::as_array_mut);
        if let Some(infos) = infos {
            own.append(infos);
            *infos = own;
        }
        describe
    }

    /// Objects that every org has, where the folder does not describe them.
    fn add_built_in(&mut self) {
        let text = |name, length| plain_field(name, "string", length);
        let flag = |name| plain_field(name, "boolean", 0);
        let all = [
            built_in(
                "User",
                "005",
                &[
                    text("Username", 80),
                    text("FirstName", 40),
                    text("LastName", 80),
                    text("Name", 121),
                    plain_field("Email", "email", 128),
                    flag("IsActive"),
                    text("UserType", 40),
                    text("Alias", 8),
                    text("TimeZoneSidKey", 40),
                ],
            ),
            built_in(
                "Organization",
                "00D",
                &[
                    text("Name", 80),
                    flag("IsSandbox"),
                    text("InstanceName", 5),
                    text("OrganizationType", 40),
                ],
            ),
            built_in(
                "RecordType",
                "012",
                &[
                    text("Name", 80),
                    text("DeveloperName", 80),
                    text("SobjectType", 40),
                    flag("IsActive"),
                ],
            ),
        ];
        for describe in all {
            let name = describe
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if self.table(name).is_none()
                && let Ok(object) = ObjectType::read(describe, None)
            {
                self.add(object);
            }
        }
    }

    /// Records that every org has.
    fn add_own_records(&mut self) {
        let Settings {
            org, record_types, ..
        } = &self.settings;
        let mut own = vec![(
            "Organization",
            org.id.clone(),
            vec![
                ("Name", org.name.clone()),
                ("IsSandbox", "true".to_owned()),
                ("InstanceName", "PRACT".to_owned()),
                ("OrganizationType", "Developer Edition".to_owned()),
            ],
        )];
        own.extend(record_types.iter().filter_map(|kind| {
            let values = vec![
                ("Name", kind.name.clone()),
                ("DeveloperName", kind.name.replace(' ', "_")),
                ("SobjectType", kind.object.clone()),
                ("IsActive", "true".to_owned()),
            ];
            Some(("RecordType", canonical_id(&kind.id)?, values))
        }));
        if self.user_named(&org.user).is_none() {
            let values = vec![
                ("Username", org.user.clone()),
                ("LastName", "Writeback".to_owned()),
                ("Name", "Writeback".to_owned()),
                ("Email", org.user.clone()),
                ("IsActive", "true".to_owned()),
                ("UserType", "Standard".to_owned()),
            ];
            own.extend(canonical_id(USER_ID).map(|id| ("User", id, values)));
        }
        for (object, id, values) in own {
            self.add_own_record(object, &id, &values);
        }
    }

    fn add_own_record(&mut self, object: &str, id: &str, values: &[(&str, String)]) {
        let Some(place) = self.table(object) else {
            return;
        };
        let object = self.object(place);
        let mut record = Record::default();
        for (name, text) in [("Id", id.to_owned())].iter().chain(values) {
            if let Some(index) = object.find(name) {
                record.set(index, from_text(text, object.field(index)).ok().flatten());
            }
        }
        self.put(place, id, Some(record));
    }

    /// Takes in the records of a file.
    fn seed(&mut self, file: &crate::practice::folder::RecordFile) -> Result<(), FolderError> {
        let failed = |line, what| FolderError::Record {
            file: file.name.clone(),
            line,
            what,
        };
        let place = self.table(&file.object).ok_or_else(|| {
            failed(
                1,
                format!("no describe answer tells of an object `{}`", file.object),
            )
        })?;
        let object = self.object(place);
        for (line, values) in &file.records {
            let mut record = Record::default();
            for (name, told) in values {
                let index = object.find(name).ok_or_else(|| {
                    failed(*line, format!("`{}` has no field `{name}`", object.name))
                })?;
                let field = object.field(index);
                if told.is_null() {
                    continue;
                }
                let text = told
                    .as_str()
                    .map_or_else(|| told.to_string(), str::to_owned);
                let held = from_text(&text, field).map_err(|_| {
                    failed(
                        *line,
                        format!("`{text}` is no {} for `{name}`", field.type_name),
                    )
                })?;
                record.set(index, held);
            }
            let id = match object
                .find("Id")
                .and_then(|id| record.get(id))
                .and_then(Held::as_text)
            {
                Some(id) => id.to_owned(),
                None => self.next_id(&object.prefix),
            };
            if self.place_of(&id).is_some_and(|of| of != place) {
                return Err(failed(*line, format!("`{id}` is the id of another object")));
            }
            if self
                .tables
                .get(place)
                .is_some_and(|table| table.record(&id).is_some())
            {
                return Err(failed(*line, format!("`{id}` stands there twice")));
            }
            self.complete_seed(&object, &mut record, &id);
            self.put(place, &id, Some(record));
        }
        Ok(())
    }

    /// Sets what the file leaves out and every record has.
    fn complete_seed(&self, object: &ObjectType, record: &mut Record, id: &str) {
        let made = "2026-01-05T08:00:00Z";
        let user = canonical_id(USER_ID).unwrap_or_default();
        let usual = [
            ("Id", id),
            ("CreatedDate", made),
            ("LastModifiedDate", made),
            ("SystemModstamp", made),
            ("CreatedById", user.as_str()),
            ("LastModifiedById", user.as_str()),
            ("OwnerId", user.as_str()),
            ("IsDeleted", "false"),
        ];
        for (name, text) in usual {
            if let Some(index) = object.find(name)
                && record.get(index).is_none()
            {
                record.set(index, from_text(text, object.field(index)).ok().flatten());
            }
        }
        self.join_name(object, record);
    }

    /// Puts a person's name together.
    pub(super) fn join_name(&self, object: &ObjectType, record: &mut Record) {
        if !object.has_joined_name() {
            return;
        }
        let part = |name: &str| {
            let held = object.find(name).and_then(|index| record.get(index));
            held.and_then(Held::as_text).map(str::to_owned)
        };
        let parts: Vec<String> = ["FirstName", "LastName"]
            .into_iter()
            .filter_map(part)
            .collect();
        if let Some(index) = object.find("Name") {
            record.set(index, Some(Held::text(&parts.join(" "))));
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
                JOB => {
                    if let Ok(job) = serde_json::from_str(body) {
                        self.jobs.insert(id.clone(), job);
                    }
                }
                UPLOAD | ENDS => {}
                object => self.restore_record(object, id, body),
            }
        }
        for Document { kind, id, body } in documents {
            if kind == UPLOAD
                && let Some(job) = self.jobs.get_mut(id)
            {
                job.upload = Some(Arc::from(body.as_str()));
            }
            if kind == ENDS
                && let Some((job, _)) = id.split_once('/')
                && let Some(job) = self.jobs.get_mut(job)
            {
                job.restore_ends(body);
            }
        }
        self.changed.clear();
    }

    /// A record as it was kept; fields that are no longer described are left out.
    fn restore_record(&mut self, object: &str, id: &str, body: &str) {
        let Some(place) = self.table(object) else {
            return;
        };
        let object = self.object(place);
        let values: Value = serde_json::from_str(body).unwrap_or_default();
        let mut record = Record::default();
        for (name, told) in values.as_object().into_iter().flatten() {
            let Some(index) = object.find(name) else {
                continue;
            };
            let held = match told {
                Value::Bool(boolean) => Some(Held::Boolean(*boolean)),
                Value::Number(number) => number.as_f64().map(Held::Number),
                Value::String(text) if object.field(index).type_name == "datetime" => {
                    value::read_moment(text).map(Held::Moment)
                }
                Value::String(text) => Some(Held::text(text)),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            };
            record.set(index, held);
        }
        if let Some(table) = self.tables.get_mut(place) {
            table.put(id, Some(record));
        }
    }

    /// Errors: a rule of the settings names an object or a field that is not there.
    fn check_rules(&self) -> Result<(), String> {
        let Settings {
            refusals,
            triggers,
            duplicate_rules,
            record_types,
            ..
        } = &self.settings;
        let object = |name: &str| {
            self.table(name)
                .map(|place| self.object(place))
                .ok_or_else(|| format!("no describe answer tells of an object `{name}`"))
        };
        let field = |of: &ObjectType, name: &str| {
            of.find(name)
                .map(|_| ())
                .ok_or_else(|| format!("`{}` has no field `{name}`", of.name))
        };
        for rule in refusals {
            let of = object(&rule.object)?;
            self.check_condition(&of, &rule.when)?;
            rule.fields.iter().try_for_each(|name| field(&of, name))?;
        }
        for trigger in triggers {
            let of = object(&trigger.object)?;
            if let Some(when) = &trigger.when {
                self.check_condition(&of, when)?;
            }
            trigger.set.keys().try_for_each(|name| field(&of, name))?;
        }
        for rule in duplicate_rules {
            let of = object(&rule.object)?;
            rule.fields.iter().try_for_each(|name| field(&of, name))?;
        }
        for kind in record_types {
            let of = object(&kind.object)?;
            kind.choices.keys().try_for_each(|name| field(&of, name))?;
            canonical_id(&kind.id).ok_or_else(|| format!("`{}` is not an id", kind.id))?;
        }
        Ok(())
    }

    /// The place of an object by its name, whatever its case.
    pub(super) fn table(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    /// The place of an object by its name.
    /// Errors: in a path, an object that is not there is a resource that is not there.
    pub(super) fn table_in_path(&self, name: &str) -> Result<usize, ApiError> {
        self.table(name).ok_or_else(ApiError::not_found)
    }

    /// The place of the object that an id belongs to.
    pub(super) fn place_of(&self, id: &str) -> Option<usize> {
        id.get(..3)
            .and_then(|prefix| self.by_prefix.get(prefix))
            .copied()
    }

    /// Panics: never; a place that this org gave out has a table.
    pub(super) fn at(&self, place: usize) -> &Table {
        self.tables.get(place).expect("places come from this org")
    }

    /// As [`Org::at`].
    pub(super) fn at_mut(&mut self, place: usize) -> &mut Table {
        self.tables
            .get_mut(place)
            .expect("places come from this org")
    }

    pub(super) fn object(&self, place: usize) -> Arc<ObjectType> {
        Arc::clone(&self.at(place).object)
    }

    /// A record that is not deleted, whichever object it is of.
    pub(super) fn live(&self, id: &str) -> Option<&Record> {
        self.place_of(id).and_then(|place| self.at(place).live(id))
    }

    /// What a field of a record holds, by names.
    pub(super) fn held<'a>(
        &'a self,
        place: usize,
        record: &'a Record,
        name: &str,
    ) -> Option<&'a Held> {
        self.at(place)
            .object
            .find(name)
            .and_then(|index| record.get(index))
    }

    /// The id of a user by the user's name.
    pub(super) fn user_named(&self, username: &str) -> Option<String> {
        let place = self.table("User")?;
        let table = self.at(place);
        let field = table.object.find("Username")?;
        let is_named = |record: &Record| {
            record
                .get(field)
                .and_then(Held::as_text)
                .is_some_and(|name| name.eq_ignore_ascii_case(username))
        };
        let mut users = table.records().filter(|(_, record)| is_named(record));
        users.next().map(|(id, _)| id.to_string())
    }

    /// The id of a new record.
    pub(super) fn next_id(&mut self, prefix: &str) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        loop {
            self.counters.made += 1;
            self.touch(COUNTERS, "");
            let mut number = self.counters.made;
            let mut digits = [b'0'; 7];
            for digit in digits.iter_mut().rev() {
                let place = usize::try_from(number % 62).unwrap_or_default();
                *digit = DIGITS.get(place).copied().unwrap_or(b'0');
                number /= 62;
            }
            let id = format!("{prefix}Pr000{}", String::from_utf8_lossy(&digits));
            let id = canonical_id(&id).unwrap_or(id);
            let taken = self
                .place_of(&id)
                .is_some_and(|place| self.at(place).record(&id).is_some());
            if !taken {
                return id;
            }
        }
    }

    /// Puts a record in place; it can be taken back until the call is over.
    pub(super) fn put(&mut self, place: usize, id: &str, record: Option<Record>) {
        let name = self.at(place).object.name.clone();
        let before = self.at_mut(place).put(id, record);
        self.journal.push(Undo {
            table: place,
            id: id.to_owned(),
            before,
        });
        self.changed.insert((name, id.to_owned()));
    }

    /// How many changes the call has made so far.
    pub(super) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes changes back that were made since a mark.
    pub(super) fn roll_back(&mut self, mark: usize) {
        while self.journal.len() > mark {
            if let Some(Undo { table, id, before }) = self.journal.pop() {
                self.at_mut(table).put(&id, before);
            }
        }
    }

    /// Notes that a document of another kind than a record has changed.
    fn touch(&mut self, kind: &str, id: &str) {
        self.changed.insert((kind.to_owned(), id.to_owned()));
    }

    pub(super) fn touch_counters(&mut self) {
        self.touch(COUNTERS, "");
    }

    pub(super) fn touch_session(&mut self, token: &str) {
        self.touch(SESSION, token);
    }

    pub(super) fn touch_job(&mut self, id: &str) {
        self.touch(JOB, id);
    }

    pub(super) fn touch_upload(&mut self, id: &str) {
        self.touch(UPLOAD, id);
    }

    /// Notes what became of some rows of a job. Pieces stand in the state in the order of rows.
    pub(super) fn touch_ends(&mut self, id: &str, from: usize, to: usize) {
        self.touch(ENDS, &format!("{id}/{from:012}/{to}"));
    }

    /// Counts a fired trigger.
    pub(super) fn count_trigger(&mut self, object: &str, event: Event) {
        let key = format!("{object}.{}", event.name());
        *self.counters.triggers.entry(key).or_default() += 1;
        self.touch(COUNTERS, "");
    }

    /// Counts calls of the day: one, and those of others.
    pub(super) fn count_calls(&mut self, calls: u64, now: DateTime<Utc>) {
        let day = self
            .counters
            .day
            .filter(|day| (now - *day).num_hours() < 24);
        if day.is_none() {
            self.counters.day = Some(now);
            self.counters.used = 0;
        }
        self.counters.used = self.counters.used.saturating_add(calls);
        self.touch(COUNTERS, "");
    }

    pub(super) fn keep_cursor(&mut self, id: String, cursor: Cursor) {
        self.cursors.push_back((id, cursor));
        if self.cursors.len() > CURSORS_MAX {
            self.cursors.pop_front();
        }
    }

    /// What must be durable before the answer of this call leaves.
    pub(super) fn take_changes(&mut self) -> Vec<DocumentChange> {
        self.journal.clear();
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
            SESSION => serde_json::to_string(self.sessions.get(id)?).ok(),
            JOB => serde_json::to_string(self.jobs.get(id)?).ok(),
            ENDS => {
                let (job, span) = id.split_once('/')?;
                let (from, to) = span.split_once('/')?;
                let job = self.jobs.get(job)?;
                job.stored_ends(from.parse().ok()?, to.parse().ok()?)
            }
            UPLOAD => self.jobs.get(id)?.upload.as_deref().map(str::to_owned),
            object => {
                let table = self.at(self.table(object)?);
                table.record(id).map(|record| table.stored(record))
            }
        }
    }
}
