//! An environment: its tables and their rows, what was counted, who holds a token, and what of all
//! that must be durable before an answer leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::limits::Protection;
use super::settings::Settings;
use super::table::{Definition, Table, TableRow, members_from_cell, restored, stored};
use super::value::from_cell;
use crate::practice::folder::{Folder, FolderError, RecordFile, SETTINGS_FILE};
use crate::practice::store::{Document, DocumentChange};

/// What the state file knows documents by; rows go under the name of their table.
const TOKEN: &str = "_session";
const TALLIES: &str = "_counters";

/// When rows of the folder were made, where they do not say it.
const SEEDED_AT: &str = "2026-01-05T08:00:00Z";

/// A token and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct GrantedToken {
    pub(super) client_id: String,
    pub(super) until: DateTime<Utc>,
    pub(super) calls: u64,
    pub(super) dead: bool,
}

/// What is counted, and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(super) struct Tallies {
    /// Rows and tokens made so far.
    pub(super) made: u64,
    /// The version of the last write.
    pub(super) version: u64,
    /// Calls of data.
    pub(super) used: u64,
    /// What counts towards the daily entitlement: one for each row of a bulk message.
    pub(super) items: u64,
    /// How often each column was sent, by `table.column`: each counts as changed.
    pub(super) audited: BTreeMap<String, u64>,
    /// Flows that were started, by table.
    pub(super) flows: BTreeMap<String, u64>,
    /// The organization's id, where a rehearsal has changed it.
    pub(super) organization: Option<String>,
    /// Whether the rows of the folder were taken in.
    seeded: bool,
}

/// What a row was before it was changed.
#[derive(Debug)]
struct RowBefore {
    table: String,
    id: String,
    row: Option<TableRow>,
}

#[derive(Debug)]
pub(super) struct Environment {
    pub(super) settings: Settings,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) tallies: Tallies,
    pub(super) tokens: BTreeMap<String, GrantedToken>,
    pub(super) protection: Protection,
    /// Ids of rows that somebody deletes just before the next write.
    pub(super) vanishing: Vec<String>,
    /// What somebody else writes before the next write: a row, a column, a value.
    pub(super) meddling: Vec<(String, String, serde_json::Value)>,
    journal: Vec<RowBefore>,
    changed: BTreeSet<(String, String)>,
}

impl Environment {
    /// The environment that a folder describes, with what became of it since.
    pub(super) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        let of_settings = |what| FolderError::Settings {
            file: SETTINGS_FILE.to_owned(),
            what,
        };
        let settings =
            Settings::read(folder.settings.as_deref(), &folder.path).map_err(of_settings)?;
        let mut environment = Self {
            settings,
            tables: BTreeMap::new(),
            tallies: Tallies::default(),
            tokens: BTreeMap::new(),
            protection: Protection::default(),
            vanishing: Vec::new(),
            meddling: Vec::new(),
            journal: Vec::new(),
            changed: BTreeSet::new(),
        };
        for (file, described) in folder.describes {
            let read = Definition::read(described);
            let definition = read.map_err(|what| FolderError::Settings { file, what })?;
            environment.add(definition);
        }
        if !environment.tables.contains_key("systemuser")
            && let Ok(users) = Definition::read(users())
        {
            environment.add(users);
        }
        environment.restore(documents);
        if !environment.tallies.seeded {
            for file in &folder.records {
                environment.seed(file)?;
            }
            environment.add_own_user();
            environment.tallies.seeded = true;
            environment.touch_tallies();
        }
        environment.journal.clear();
        Ok(environment)
    }

    fn add(&mut self, definition: Definition) {
        let name = definition.name.clone();
        self.tables.insert(name, Table::new(definition));
    }

    /// The row of the application user.
    fn add_own_user(&mut self) {
        let environment = &self.settings.environment;
        let (id, name) = (environment.user.clone(), environment.user_name.clone());
        let mut row = TableRow::default();
        row.set("systemuserid", json!(id));
        row.set("fullname", json!(name));
        row.set("isdisabled", json!(false));
        row.version = self.next_version();
        self.put("systemuser", &id, Some(row));
    }

    fn seed(&mut self, file: &RecordFile) -> Result<(), FolderError> {
        let failed = |line, what| FolderError::Record {
            file: file.name.clone(),
            line,
            what,
        };
        let table = self.tables.get(&file.object);
        let definition = table.map(|table| Arc::clone(&table.definition));
        let definition = definition.ok_or_else(|| {
            let what = format!("no definition tells of a table `{}`", file.object);
            failed(1, what)
        })?;
        for (line, cells) in &file.records {
            let mut row = TableRow::default();
            for (name, cell) in cells.iter().filter(|(_, cell)| !cell.is_null()) {
                if definition.list(name).is_some_and(|list| list.is_first) {
                    let members = members_from_cell(cell).map_err(|what| failed(*line, what))?;
                    row.set(name, members);
                    continue;
                }
                let column = definition.column(name).ok_or_else(|| {
                    failed(*line, format!("`{}` has no column `{name}`", file.object))
                })?;
                row.set(
                    name,
                    from_cell(column, cell).map_err(|what| failed(*line, what))?,
                );
            }
            let id = match row.get(&definition.id_column).as_str() {
                Some(id) => Uuid::parse_str(id)
                    .map(|id| id.to_string())
                    .map_err(|_| failed(*line, format!("`{id}` is no GUID")))?,
                None => self.next_id(),
            };
            if self.row(&definition.name, &id).is_some() {
                return Err(failed(*line, format!("`{id}` stands there twice")));
            }
            row.set(&definition.id_column, json!(id));
            self.complete(&definition, &mut row, SEEDED_AT);
            row.version = self.next_version();
            self.put(&definition.name, &id, Some(row));
        }
        Ok(())
    }

    /// Sets what every new row has, where nothing is said.
    pub(super) fn complete(&self, definition: &Definition, row: &mut TableRow, now: &str) {
        let user = json!({ "table": "systemuser", "id": self.settings.environment.user });
        let usual = [
            ("createdon", json!(now)),
            ("modifiedon", json!(now)),
            ("createdby", user.clone()),
            ("modifiedby", user.clone()),
            ("ownerid", user),
            ("statecode", json!(0)),
            ("statuscode", json!(1)),
        ];
        for (name, value) in usual {
            if definition.column(name).is_some() && row.get(name).is_null() {
                row.set(name, value);
            }
        }
    }

    fn restore(&mut self, documents: &[Document]) {
        for Document { kind, id, body } in documents {
            match kind.as_str() {
                TALLIES => self.tallies = serde_json::from_str(body).unwrap_or_default(),
                TOKEN => {
                    if let Ok(token) = serde_json::from_str(body) {
                        self.tokens.insert(id.clone(), token);
                    }
                }
                table => {
                    if let (Some(table), Some(row)) = (self.tables.get_mut(table), restored(body)) {
                        table.put(id, Some(row));
                    }
                }
            }
        }
    }

    pub(super) fn definition(&self, table: &str) -> Option<Arc<Definition>> {
        let table = self.tables.get(table)?;
        Some(Arc::clone(&table.definition))
    }

    /// The definition of the table whose rows stand under this name in a URL.
    pub(super) fn of_set(&self, set: &str) -> Option<Arc<Definition>> {
        let mut tables = self.tables.values();
        let table = tables.find(|table| table.definition.set == set)?;
        Some(Arc::clone(&table.definition))
    }

    pub(super) fn row(&self, table: &str, id: &str) -> Option<&TableRow> {
        self.tables.get(table)?.row(id)
    }

    /// The id of a new row, when the client chooses none.
    pub(super) fn next_id(&mut self) -> String {
        self.tallies.made += 1;
        self.touch_tallies();
        let seed = format!("row {}", self.tallies.made);
        let digest = xxhash_rust::xxh3::xxh3_128(seed.as_bytes());
        uuid::Builder::from_custom_bytes(digest.to_be_bytes())
            .into_uuid()
            .to_string()
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.tallies.version += 1;
        self.touch_tallies();
        self.tallies.version
    }

    pub(super) fn organization(&self) -> &str {
        let changed = self.tallies.organization.as_deref();
        changed.unwrap_or(&self.settings.environment.id)
    }

    /// Puts a row in place; it can be taken back until the call is over.
    pub(super) fn put(&mut self, table: &str, id: &str, row: Option<TableRow>) {
        let Some(place) = self.tables.get_mut(table) else {
            return;
        };
        let before = place.put(id, row);
        self.journal.push(RowBefore {
            table: table.to_owned(),
            id: id.to_owned(),
            row: before,
        });
        self.changed.insert((table.to_owned(), id.to_owned()));
    }

    /// How many changes the call has made so far.
    pub(super) fn mark(&self) -> usize {
        self.journal.len()
    }

    /// Takes changes back that were made since a mark.
    pub(super) fn roll_back(&mut self, mark: usize) {
        while self.journal.len() > mark {
            if let Some(RowBefore { table, id, row }) = self.journal.pop()
                && let Some(table) = self.tables.get_mut(&table)
            {
                table.put(&id, row);
            }
        }
    }

    pub(super) fn touch_tallies(&mut self) {
        self.changed.insert((TALLIES.to_owned(), String::new()));
    }

    pub(super) fn touch_token(&mut self, token: &str) {
        self.changed.insert((TOKEN.to_owned(), token.to_owned()));
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
            TALLIES => serde_json::to_string(&self.tallies).ok(),
            TOKEN => serde_json::to_string(self.tokens.get(id)?).ok(),
            table => self.row(table, id).map(stored),
        }
    }
}

/// An instant as Dataverse writes it.
pub(super) fn told_instant(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Users, where the folder does not describe them.
fn users() -> Value {
    let column = |name: &str, kind: &str| json!({ "LogicalName": name, "AttributeType": kind, "IsValidForRead": true, "MaxLength": 200 });
    json!({
        "LogicalName": "systemuser", "SchemaName": "SystemUser", "EntitySetName": "systemusers",
        "PrimaryIdAttribute": "systemuserid", "PrimaryNameAttribute": "fullname", "TableType": "Standard",
        "IsOptimisticConcurrencyEnabled": true,
        "Attributes": [
            column("systemuserid", "Uniqueidentifier"), column("fullname", "String"),
            column("internalemailaddress", "String"), column("isdisabled", "Boolean"),
        ],
    })
}
