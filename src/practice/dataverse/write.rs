//! Writing one row: created, updated, upserted or deleted, as conditions allow. Source:
//! <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/perform-conditional-operations-using-web-api>.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::environment::{Environment, told_instant};
use super::errors::ODataError;
use super::read::{Named, set_and_key};
use super::table::{ColumnDefinition, ColumnKind, Definition, TableRow};
use super::value::{taken, undeclared};
use crate::practice::call::Call;

/// How a row is to be written.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub(super) now: DateTime<Utc>,
    pub(super) condition: Condition,
    /// Whether duplicate rules apply.
    pub(super) looks_for_duplicates: bool,
    /// Whether plug-ins are passed by, as far as the user may.
    pub(super) bypasses: bool,
    /// Whether flows are not started.
    pub(super) without_flows: bool,
    /// Rows that somebody else holds, and whether some more of them are held.
    pub(super) locked: BTreeSet<String>,
    pub(super) locks_some: bool,
}

/// What must be true of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// It is there.
    Exists,
    /// It is not there.
    Absent,
    /// It has this ETag.
    Unchanged(String),
}

impl Manner {
    /// As a call's headers say.
    pub(super) fn of(call: &Call) -> Self {
        let is = |name: &str, wanted: &str| {
            let header = call.header(name);
            header.is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
        };
        let condition = match (call.header("if-match"), call.header("if-none-match")) {
            (Some("*"), _) => Condition::Exists,
            (Some(etag), _) => Condition::Unchanged(etag.to_owned()),
            (None, Some("*")) => Condition::Absent,
            (None, _) => Condition::None,
        };
        Self {
            now: call.now,
            condition,
            looks_for_duplicates: is("mscrm.suppressduplicatedetection", "false"),
            bypasses: call.header("mscrm.bypassbusinesslogicexecution").is_some()
                || is("mscrm.bypasscustompluginexecution", "true"),
            without_flows: is("mscrm.suppresscallbackregistrationexpanderjob", "true"),
            locked: call.hindrance.locked.clone(),
            locks_some: call.hindrance.lock_some,
        }
    }

    pub(super) fn with(&self, condition: Condition) -> Self {
        Self {
            condition,
            ..self.clone()
        }
    }
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowWritten {
    pub(super) id: String,
    pub(super) created: bool,
}

impl Environment {
    /// Writes a row by id or by alternate key, as `PATCH` does: where it is not there, it is made,
    /// unless a condition keeps it from that.
    pub(super) fn patch(
        &mut self,
        definition: &Arc<Definition>,
        named: &Named,
        body: &Map<String, Value>,
        manner: &Manner,
    ) -> Result<RowWritten, ODataError> {
        let found = self.id_of(definition, named);
        match (&manner.condition, found) {
            (Condition::Absent, Some(_)) => Err(ODataError::new(
                412,
                "0x80060892",
                "A record with matching key values already exists.",
            )),
            (Condition::Exists | Condition::Unchanged(_), None) => Err(match named {
                Named::Id(id) => ODataError::no_row(&definition.name, id),
                Named::Key(_) => ODataError::no_row_of_key(&definition.name),
            }),
            (_, Some(id)) => self.update(definition, &id, body, manner),
            (Condition::None | Condition::Absent, None) => {
                let mut values = named_values(named);
                // What the body says of a key wins over the URL.
                for (name, value) in body {
                    values.insert(name.clone(), value.clone());
                }
                let id = match named {
                    Named::Id(id) => Some(id.clone()),
                    Named::Key(_) => None,
                };
                let values = values.into_iter().collect();
                self.create(definition, id, &values, manner)
            }
        }
    }

    pub(super) fn update(
        &mut self,
        definition: &Arc<Definition>,
        id: &str,
        body: &Map<String, Value>,
        manner: &Manner,
    ) -> Result<RowWritten, ODataError> {
        self.expect_privilege(definition, "Write")?;
        let before = self.row(&definition.name, id).cloned();
        let before = before.ok_or_else(|| ODataError::no_row(&definition.name, id))?;
        if let Condition::Unchanged(etag) = &manner.condition {
            self.expect_unchanged(definition, &before, etag)?;
        }
        let mut row = before.clone();
        let sent = self.take(definition, &mut row, body, false)?;
        self.finish(definition, id, row, manner)?;
        self.audit(definition, &sent);
        Ok(RowWritten {
            id: id.to_owned(),
            created: false,
        })
    }

    pub(super) fn create(
        &mut self,
        definition: &Arc<Definition>,
        id: Option<String>,
        body: &Map<String, Value>,
        manner: &Manner,
    ) -> Result<RowWritten, ODataError> {
        self.expect_privilege(definition, "Create")?;
        let told = body.get(&definition.id_column).and_then(Value::as_str);
        let told = told.and_then(|id| Uuid::parse_str(id).ok());
        let id = id.or_else(|| told.map(|id| id.to_string()));
        let id = id.unwrap_or_else(|| self.next_id());
        if self.row(&definition.name, &id).is_some() {
            return Err(ODataError::new(
                412,
                "0x80040237",
                "Cannot insert duplicate key.",
            ));
        }
        let mut row = TableRow::default();
        let sent = self.take(definition, &mut row, body, true)?;
        row.set(&definition.id_column, json!(id));
        self.complete(definition, &mut row, &told_instant(manner.now));
        let missing = definition
            .columns
            .iter()
            .find(|column| column.required && column.for_create && row.get(&column.name).is_null());
        if let Some(column) = missing {
            return Err(ODataError::new(
                400,
                "0x80040203",
                format!(
                    "The '{}' attribute of the '{}' entity cannot be null.",
                    column.name, definition.name
                ),
            ));
        }
        if manner.looks_for_duplicates {
            self.expect_no_double(definition, &id, &row)?;
        }
        self.finish(definition, &id, row, manner)?;
        self.audit(definition, &sent);
        Ok(RowWritten { id, created: true })
    }

    pub(super) fn delete(
        &mut self,
        definition: &Arc<Definition>,
        named: &Named,
        manner: &Manner,
    ) -> Result<(), ODataError> {
        self.expect_privilege(definition, "Delete")?;
        let id = self.id_of(definition, named).ok_or_else(|| match named {
            Named::Id(id) => ODataError::no_row(&definition.name, id),
            Named::Key(_) => ODataError::no_row_of_key(&definition.name),
        })?;
        if let (Condition::Unchanged(etag), Some(row)) =
            (&manner.condition, self.row(&definition.name, &id).cloned())
        {
            self.expect_unchanged(definition, &row, etag)?;
        }
        self.put(&definition.name, &id, None);
        Ok(())
    }

    fn expect_unchanged(
        &self,
        definition: &Definition,
        row: &TableRow,
        etag: &str,
    ) -> Result<(), ODataError> {
        if !definition.guards {
            return Err(ODataError::new(
                400,
                "0x80060893",
                format!(
                    "Optimistic concurrency isn't enabled for entity type {}.",
                    definition.name
                ),
            ));
        }
        match row.etag() == etag {
            true => Ok(()),
            false => Err(ODataError::new(
                412,
                "0x80060882",
                "The version of the existing record doesn't match the RowVersion property provided.",
            )),
        }
    }

    pub(super) fn expect_privilege(
        &self,
        definition: &Definition,
        right: &str,
    ) -> Result<(), ODataError> {
        let schema_name = definition
            .described
            .get("SchemaName")
            .and_then(Value::as_str);
        let privilege = format!("prv{right}{}", schema_name.unwrap_or_default());
        match self.settings.environment.without.contains(&privilege) {
            true => Err(ODataError::new(
                403,
                "0x80040220",
                format!(
                    "Principal user (Id={}, type=8) is missing {privilege} privilege on OTC for entity '{}'.",
                    self.settings.environment.user, definition.name
                ),
            )),
            false => Ok(()),
        }
    }

    /// Takes a body's values into a row; gives the names of the columns that were sent.
    fn take(
        &self,
        definition: &Definition,
        row: &mut TableRow,
        body: &Map<String, Value>,
        creates: bool,
    ) -> Result<Vec<String>, ODataError> {
        let mut sent = Vec::new();
        for (name, value) in body {
            if let Some(navigation) = name.strip_suffix("@odata.bind") {
                let (column, value) = self.bound(definition, navigation, value)?;
                row.set(&column, value);
                sent.push(column);
                continue;
            }
            if name.contains('@') || *name == definition.id_column {
                continue;
            }
            let Some(column) = definition.column(name) else {
                if value.is_null()
                    && let Some(known) = definition
                        .navigations
                        .iter()
                        .find(|known| known.name == *name)
                {
                    row.set(&known.column, Value::Null);
                    sent.push(known.column.clone());
                    continue;
                }
                return Err(undeclared(&definition.name, name));
            };
            if column.kind == ColumnKind::Lookup && value.is_null() {
                row.set(&column.name, Value::Null);
                sent.push(column.name.clone());
                continue;
            }
            let is_key = definition
                .keys
                .iter()
                .any(|key| key.is_active && key.columns.contains(name));
            if !creates && is_key && row.plain(name) == *value {
                continue;
            }
            if !is_written(column, creates) {
                continue;
            }
            if column.secured {
                self.expect_grant(definition, column, creates)?;
            }
            row.set(name, taken(&definition.name, column, value)?);
            sent.push(name.clone());
        }
        let status = row.get("statuscode").as_i64();
        let state = row.get("statecode").as_i64();
        let known = definition.column("statuscode").and_then(|column| {
            let mut choices = column.choices.iter();
            choices.find(|choice| Some(choice.value) == status)?.state
        });
        if let (Some(belongs), Some(state)) = (known, state)
            && belongs != state
        {
            return Err(ODataError::new(
                400,
                "0x80048408",
                format!(
                    "{} is not a valid status code for state code {state}.",
                    status.unwrap_or_default()
                ),
            ));
        }
        Ok(sent)
    }

    /// Errors: column security does not let the user write the column.
    fn expect_grant(
        &self,
        definition: &Definition,
        column: &ColumnDefinition,
        creates: bool,
    ) -> Result<(), ODataError> {
        let grant = self.settings.grant(&definition.name, &column.name);
        let allowed = grant.is_some_and(|grant| if creates { grant.create } else { grant.update });
        match allowed {
            true => Ok(()),
            false => Err(ODataError::new(
                403,
                "0x80048306",
                format!(
                    "Caller user does not have the permission to write the secured column '{}' of '{}'.",
                    column.name, definition.name
                ),
            )),
        }
    }

    /// Where `name@odata.bind` leads.
    fn bound(
        &self,
        definition: &Definition,
        navigation: &str,
        value: &Value,
    ) -> Result<(String, Value), ODataError> {
        let known = definition
            .navigations
            .iter()
            .find(|known| known.name == navigation);
        let Some(known) = known else {
            return Err(undeclared(&definition.name, navigation));
        };
        if value.is_null() {
            return Ok((known.column.clone(), Value::Null));
        }
        let path = value.as_str().unwrap_or_default();
        let path = path.rsplit('/').next().unwrap_or_default();
        let (set, key) = set_and_key(path);
        let target = self
            .of_set(set)
            .ok_or_else(|| ODataError::no_segment(set))?;
        if target.name != known.target {
            return Err(ODataError::payload(format!(
                "The entity '{}' is no target of '{navigation}'.",
                target.name
            )));
        }
        let named = self.named(&target, key.unwrap_or_default())?;
        let id = self.id_of(&target, &named).ok_or_else(|| match &named {
            Named::Id(id) => ODataError::no_row(&target.name, id),
            Named::Key(_) => ODataError::no_row_of_key(&target.name),
        })?;
        Ok((
            known.column.clone(),
            json!({ "table": target.name, "id": id }),
        ))
    }

    fn expect_no_double(
        &self,
        definition: &Definition,
        id: &str,
        row: &TableRow,
    ) -> Result<(), ODataError> {
        let rules = self.settings.duplicate_rules.iter();
        for rule in rules.filter(|rule| rule.table == definition.name) {
            let same = |other: &TableRow| {
                rule.columns.iter().all(|column| {
                    let held = row.plain(column);
                    !held.is_null()
                        && super::filter::form(&held) == super::filter::form(&other.plain(column))
                })
            };
            let table = self.tables.get(&definition.name);
            let mut rows = table.into_iter().flat_map(|table| table.rows());
            if rows.any(|(other_id, other)| other_id != id && same(other)) {
                return Err(ODataError::new(
                    500,
                    "0x80040333",
                    "A record was not created or updated because a duplicate of the current record already exists.",
                ));
            }
        }
        Ok(())
    }

    /// Judges a row as it would be, and puts it in place.
    fn finish(
        &mut self,
        definition: &Arc<Definition>,
        id: &str,
        mut row: TableRow,
        manner: &Manner,
    ) -> Result<(), ODataError> {
        if manner.locks_some && is_unlucky(id) {
            return Err(ODataError::new(
                500,
                "0x80044150",
                "Generic SQL error. Transaction (Process ID 64) was deadlocked on lock resources and was rolled back.",
            ));
        }
        if manner.locked.contains(id) {
            return Err(ODataError::new(
                500,
                "0x80044151",
                "Generic SQL error. Sql error: Timeout expired.",
            ));
        }
        if manner.bypasses {
            self.expect_bypass()?;
        } else {
            let value = |name: &str| {
                let column = definition.read_column(name);
                column
                    .map(|column| row.plain(&column.name))
                    .unwrap_or_default()
            };
            let mut plug_ins = self.settings.plug_ins.iter();
            let refusing = plug_ins
                .find(|plug_in| plug_in.table == definition.name && plug_in.when.holds(&value));
            if let Some(plug_in) = refusing {
                return Err(ODataError::new(400, "0x80040265", plug_in.message.clone()));
            }
        }
        if let Some(table) = self.tables.get(&definition.name)
            && let Some((key, other)) = table.holder(id, &row)
        {
            let columns = key.columns.join(", ");
            return Err(ODataError::new(
                412,
                "0x80060892",
                format!(
                    "Entity Key {columns} violated. A record with the same value for {columns} already exists. \
                     <DuplicateEntity><Id>{other}</Id></DuplicateEntity>"
                ),
            ));
        }
        row.version = self.next_version();
        for (name, value) in [
            ("modifiedon", json!(told_instant(manner.now))),
            (
                "modifiedby",
                json!({ "table": "systemuser", "id": self.settings.environment.user }),
            ),
        ] {
            if definition.column(name).is_some() {
                row.set(name, value);
            }
        }
        self.put(&definition.name, id, Some(row));
        if !manner.without_flows {
            *self
                .tallies
                .flows
                .entry(definition.name.clone())
                .or_default() += 1;
        }
        Ok(())
    }

    fn expect_bypass(&self) -> Result<(), ODataError> {
        let privilege = "prvBypassCustomBusinessLogic";
        match self
            .settings
            .environment
            .without
            .iter()
            .any(|name| name == privilege)
        {
            true => Err(ODataError::new(
                403,
                "0x80040220",
                format!("The user is missing the privilege {privilege}."),
            )),
            false => Ok(()),
        }
    }

    /// Notes which columns were sent.
    fn audit(&mut self, definition: &Definition, sent: &[String]) {
        for column in sent {
            let name = format!("{}.{column}", definition.name);
            *self.tallies.audited.entry(name).or_default() += 1;
        }
        self.touch_tallies();
    }
}

fn is_written(column: &ColumnDefinition, creates: bool) -> bool {
    if creates {
        column.for_create
    } else {
        column.for_update
    }
}

fn named_values(named: &Named) -> BTreeMap<String, Value> {
    match named {
        Named::Id(_) => BTreeMap::new(),
        Named::Key(values) => values.clone(),
    }
}

/// Every third row, whichever that is.
fn is_unlucky(id: &str) -> bool {
    id.bytes().map(u32::from).sum::<u32>().is_multiple_of(3)
}
