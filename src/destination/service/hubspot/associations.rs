//! What a record belongs to. HubSpot keeps it beside the properties; here it is a field of its own,
//! `associated_contacts`, which holds the id of a record and is written when one is made.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::describe::associated;
use super::find::Read;
use super::{BATCH_MAX, HubSpotDestination, encoded, ids_json};
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::http::Repeat;

/// The numbers of the types by which records of an object are associated with others, by the names
/// of these.
pub(super) type Types = BTreeMap<String, u64>;

impl HubSpotDestination {
    /// The types that the fields of a layout go by.
    /// Errors: records of the two objects cannot be associated.
    pub(super) async fn association_types(&self, layout: &Layout) -> Result<Types, SystemError> {
        let from = object_name(layout);
        let mut types = Types::new();
        for to in layout
            .fields
            .iter()
            .filter_map(|field| associated(&field.column))
        {
            let known = self.session.manner.association_type(from, to);
            let type_id = match known {
                Some(type_id) => type_id,
                None => {
                    let type_id = self.ask_type(from, to).await?;
                    self.session.manner.know_association(from, to, type_id);
                    type_id
                }
            };
            types.insert(to.to_owned(), type_id);
        }
        Ok(types)
    }

    /// The type without a label that leads from records of one object to those of another.
    async fn ask_type(&self, from: &str, to: &str) -> Result<u64, SystemError> {
        let doing = format!("asking how `{from}` are associated with `{to}`");
        let path = format!("{}/labels", self.associations_path(from, to));
        let response = self.get(path).await?;
        if !response.is_success() {
            return Err(self.failure(&response, &doing));
        }
        let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let types = told.get("results").and_then(Value::as_array);
        let types = || types.into_iter().flatten();
        let plain = types().find(|known| known.get("label").is_none_or(Value::is_null));
        let wanted = plain.or_else(|| types().next());
        let type_id = wanted.and_then(|known| known.get("typeId")?.as_u64());
        type_id.ok_or_else(|| self.unreadable(&doing, "the portal associates no such records"))
    }

    /// Adds what records belong to, to what was read of their properties.
    pub(super) async fn read_associations(
        &self,
        layout: &Layout,
        found: &mut [Read],
    ) -> Result<(), SystemError> {
        for field in &layout.fields {
            let Some(to) = associated(&field.column) else {
                continue;
            };
            for portion in found.chunks_mut(BATCH_MAX) {
                let ids: Vec<&str> = portion.iter().map(|(told, _)| told.id.as_str()).collect();
                let others = self.associated_ids(object_name(layout), to, &ids).await?;
                for (told, _) in portion {
                    let held = others.get(&told.id).cloned();
                    told.properties.insert(field.column.name.clone(), held);
                }
            }
        }
        Ok(())
    }

    /// The ids of what these records are associated with, with semicolons between.
    async fn associated_ids(
        &self,
        from: &str,
        to: &str,
        ids: &[&str],
    ) -> Result<BTreeMap<String, String>, SystemError> {
        let doing = "reading associations";
        let path = format!("{}/batch/read", self.associations_path(from, to));
        let body = json!({ "inputs": ids_json(ids) });
        let response = self.post(path, body.to_string(), Repeat::Asks).await?;
        if !response.is_success() {
            return Err(self.failure(&response, doing));
        }
        let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let results = told.get("results").and_then(Value::as_array);
        let results = results.ok_or_else(|| self.unreadable(doing, "it holds no associations"))?;
        let mut all = BTreeMap::new();
        for result in results {
            let from = result.pointer("/from/id").and_then(id_text);
            let to = result.get("to").and_then(Value::as_array);
            let to = to.into_iter().flatten();
            let to: Vec<String> = to.filter_map(|to| id_text(to.get("toObjectId")?)).collect();
            all.extend(from.map(|from| (from, to.join(";"))));
        }
        Ok(all)
    }

    fn associations_path(&self, from: &str, to: &str) -> String {
        let (from, to) = (encoded(from), encoded(to));
        format!("/crm/associations/{}/{from}/{to}", self.version)
    }
}

fn object_name(layout: &Layout) -> &str {
    layout.object.path.last().map_or("", String::as_str)
}

/// An id, be it told as a number or as a text.
fn id_text(told: &Value) -> Option<String> {
    match told.as_str() {
        Some(text) => Some(text.to_owned()),
        None => told.as_u64().map(|id| id.to_string()),
    }
}
