//! Bulk messages: `CreateMultiple`, `UpdateMultiple`, `UpsertMultiple`, all or nothing on a standard
//! table. Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/bulk-operations>.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::environment::Environment;
use super::errors::ODataError;
use super::read::{Named, set_and_key};
use super::table::Definition;
use super::write::{Condition, Manner, RowWritten};
use crate::practice::call::Call;

/// Rows of a bulk message to an elastic table.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/use-elastic-tables>.
const ELASTIC_ROWS_MAX: usize = 100;

impl Environment {
    /// `POST accounts/Microsoft.Dynamics.CRM.UpdateMultiple`: ids of the rows, of those that were
    /// created.
    pub(super) fn multiple(
        &mut self,
        call: &Call,
        definition: &Arc<Definition>,
        message: &str,
    ) -> Result<Option<Value>, ODataError> {
        if !definition.messages.iter().any(|known| known == message) {
            return Err(ODataError::new(
                400,
                "0x80040800",
                format!(
                    "The '{message}' method does not support entities of type '{}'.",
                    definition.name
                ),
            ));
        }
        let body: Value = serde_json::from_slice(&call.body)
            .map_err(|error| ODataError::payload(error.to_string()))?;
        let targets = body.get("Targets").and_then(Value::as_array);
        let targets =
            targets.ok_or_else(|| ODataError::payload("The parameter 'Targets' is missing."))?;
        let rows: Vec<&Map<String, Value>> = targets.iter().filter_map(Value::as_object).collect();
        if rows.len() != targets.len() || rows.is_empty() {
            return Err(ODataError::payload("'Targets' is a list of entities."));
        }
        if definition.is_elastic && rows.len() > ELASTIC_ROWS_MAX {
            return Err(ODataError::invalid(
                "The number of rows exceeds the limit of 100.",
            ));
        }
        self.tallies.items += u64::try_from(rows.len()).unwrap_or_default();
        self.touch_tallies();
        let manner = Manner::of(call);
        let expected = format!("Microsoft.Dynamics.CRM.{}", definition.name);
        let mut ids = Vec::new();
        let mut seen = BTreeSet::new();
        for row in rows {
            let told = row
                .get("@odata.type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if told.trim_start_matches('#') != expected {
                return Err(ODataError::payload(format!(
                    "'{told}' is not the type of these entities."
                )));
            }
            let written = match message {
                "CreateMultiple" => self.create(definition, None, row, &manner)?,
                "UpdateMultiple" => self.update_target(definition, row, &manner)?,
                _ => self.upsert_target(definition, row, &manner)?,
            };
            if !seen.insert(written.id.clone()) {
                return Err(ODataError::invalid(
                    "Duplicate entities were found in 'Targets'.",
                ));
            }
            ids.push(written.id);
        }
        Ok((message == "CreateMultiple").then(|| {
            json!({
                "@odata.context": "$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse", "Ids": ids,
            })
        }))
    }

    fn update_target(
        &mut self,
        definition: &Arc<Definition>,
        row: &Map<String, Value>,
        manner: &Manner,
    ) -> Result<RowWritten, ODataError> {
        let id = row.get(&definition.id_column).and_then(Value::as_str);
        let id =
            id.ok_or_else(|| ODataError::invalid("The primary id of an entity is missing."))?;
        let named = self.named(definition, id)?;
        self.patch(definition, &named, row, &manner.with(Condition::Exists))
    }

    fn upsert_target(
        &mut self,
        definition: &Arc<Definition>,
        row: &Map<String, Value>,
        manner: &Manner,
    ) -> Result<RowWritten, ODataError> {
        let path = row
            .get("@odata.id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = path.rsplit('/').next().unwrap_or_default();
        let (set, key) = set_and_key(path);
        let told = row.get(&definition.id_column).and_then(Value::as_str);
        let named = match (key, told) {
            (Some(key), _) if set == definition.set => self.named(definition, key)?,
            (_, Some(id)) => self.named(definition, id)?,
            (_, None) => return Err(ODataError::invalid("An entity names neither id nor key.")),
        };
        let is_new = self.id_of(definition, &named).is_none();
        if let Named::Key(values) = &named
            && is_new
            && values.keys().any(|name| row.contains_key(name))
        {
            return Err(ODataError::new(
                400,
                "0x80040216",
                "An item with the same key has already been added.",
            ));
        }
        self.patch(definition, &named, row, &manner.with(Condition::None))
    }
}
