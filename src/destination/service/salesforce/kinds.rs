//! Record types: each offers some of a picklist's values. The API takes the others as well, and people
//! who open the record then cannot save it. So it is known of each record which type it has, and a value
//! that this does not offer is refused before it is sent.
//! Source: <https://developer.salesforce.com/docs/atlas.en-us.uiapi.meta/uiapi/ui_api_resources_picklist_values_collection.htm>.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use tracing::debug;

use super::super::look_up::Texts;
use super::super::seam::{Reply, ServiceVerb, ServiceWrite};
use super::super::values::members;
use super::answers::same_id;
use super::describe::Offered;
use super::values::text_of;
use super::{SalesforceDestination, queries};
use crate::destination::seam::RowId;
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Holds, Object};
use crate::domain::problem::did_you_mean;
use crate::http::Repeat;

pub(super) const KIND: &str = "RecordTypeId";

/// The type of records that have none of their own: it offers everything.
const MASTER: &str = "012000000000000AAA";

/// Records whose type is remembered: those of a few batches, of which one is written.
const REMEMBERED_MAX: usize = 100_000;

/// What records were when they were read last.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    held: BTreeMap<RowId, Known>,
}

/// The type of a record, and what its picklists hold.
#[derive(Debug)]
struct Known {
    kind: String,
    picklists: BTreeMap<String, String>,
}

/// Whether a field takes some values only.
fn is_picklist(field: &LayoutField) -> bool {
    matches!(field.column.holds, Holds::Label(_) | Holds::Labels(_))
}

/// Whether it makes a difference which type a record of this layout has.
pub(super) fn counts(layout: &Layout) -> bool {
    let mut columns = layout.object.columns.iter();
    layout.fields.iter().any(is_picklist) && columns.any(|column| column.name == KIND)
}

impl Kinds {
    /// Notes which type a record that was read has.
    pub(super) fn note(
        &mut self,
        layout: &Layout,
        id: &RowId,
        record: &BTreeMap<String, Box<RawValue>>,
    ) {
        if self.held.len() >= REMEMBERED_MAX {
            self.held.clear();
        }
        let told = |name: &str| record.get(name).and_then(|value| text_of(value.get()));
        let Some(kind) = told(KIND).filter(|kind| !same_id(kind, MASTER)) else {
            self.held.remove(id);
            return;
        };
        let picklists = layout.fields.iter().filter(|field| is_picklist(field));
        let picklists = picklists.filter_map(|field| {
            let name = &field.column.name;
            Some((name.clone(), told(name)?))
        });
        let picklists = picklists.collect();
        self.held.insert(id.clone(), Known { kind, picklists });
    }

    /// The type that a record has or gets, if it is known.
    fn kind<'k>(
        &'k self,
        layout: &Layout,
        texts: &'k Texts,
        write: &ServiceWrite<'_>,
    ) -> Option<&'k str> {
        let mut sent = write.fields.iter();
        let is_kind = |place: &&usize| {
            let field = layout.fields.get(**place);
            field.is_some_and(|field| field.column.name == KIND)
        };
        let given = sent.find(is_kind);
        let given = given.and_then(|place| texts.value(write.record, *place));
        let held = || Some(self.held.get(id_of(write)?)?.kind.as_str());
        given.or_else(held).filter(|kind| !same_id(kind, MASTER))
    }

    /// Whether a record held a value when it was read: what is there already nobody refuses.
    fn holds(&self, write: &ServiceWrite<'_>, field: &str, value: &str) -> bool {
        let known = id_of(write).and_then(|id| self.held.get(id));
        let held = known.and_then(|known| known.picklists.get(field));
        held.is_some_and(|held| members(held).contains(value))
    }
}

fn id_of<'a>(write: &'a ServiceWrite<'_>) -> Option<&'a RowId> {
    match &write.verb {
        ServiceVerb::Update { row, .. } => Some(&row.id),
        ServiceVerb::Create { .. } | ServiceVerb::Delete { .. } => None,
    }
}

impl SalesforceDestination {
    /// The replies of writes that would give a record a value that its type does not offer.
    pub(super) async fn unoffered(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        let mut replies = vec![None; writes.len()];
        if !counts(layout) {
            return Ok(replies);
        }
        for (write, reply) in writes.iter().zip(&mut replies) {
            let Some(kind) = self.kinds.kind(layout, texts, write) else {
                continue;
            };
            let Some(offered) = self.offered(&layout.object, kind).await? else {
                continue;
            };
            let mut fields = write.fields.iter().filter_map(|place| {
                let field = layout
                    .fields
                    .get(*place)
                    .filter(|field| is_picklist(field))?;
                Some((field, texts.value(write.record, *place)?))
            });
            *reply =
                fields.find_map(|(field, sent)| self.stray(kind, &offered, (write, field), sent));
        }
        Ok(replies)
    }

    /// The reply of a write with a value that its record's type does not offer.
    fn stray(
        &self,
        kind: &str,
        offered: &Offered,
        (write, field): (&ServiceWrite<'_>, &LayoutField),
        sent: &str,
    ) -> Option<Reply> {
        let name = &field.column.name;
        let offered = offered.get(name)?;
        let mut sent = members(sent).into_iter();
        let stray = sent.find(|value| {
            let is_offered = offered.iter().any(|known| known == value);
            !is_offered && !self.kinds.holds(write, name, value)
        })?;
        let nearest = did_you_mean(stray, offered.iter().map(String::as_str));
        let hint = nearest.map_or_else(String::new, |nearest| format!("; {nearest}"));
        Some(Reply::Refused {
            message: format!("record type `{kind}` does not offer `{stray}` in `{name}`{hint}"),
            column: Some(name.clone()),
        })
    }

    /// What a record type offers; nothing, where the user may not ask.
    async fn offered(&self, object: &Object, kind: &str) -> Result<Option<Offered>, SystemError> {
        let name = object.path.last().map_or("", String::as_str);
        if let Some(known) = self.session.manner.offered(name, kind) {
            return Ok(known);
        }
        let path = format!(
            "{}/ui-api/object-info/{}/picklist-values/{}",
            self.base,
            queries::encoded(name),
            queries::encoded(kind)
        );
        let response = self.get(path, Repeat::Asks).await?;
        let offered = match response.is_success() {
            true => read(&response.body),
            false => {
                debug!(
                    kind,
                    status = response.status,
                    "what a record type offers is not told"
                );
                None
            }
        };
        self.session.manner.know_offered(name, kind, &offered);
        Ok(offered)
    }
}

/// The values of each picklist.
fn read(body: &[u8]) -> Option<Offered> {
    let told: Value = serde_json::from_slice(body).ok()?;
    let fields = told.get("picklistFieldValues")?.as_object()?;
    let values = |field: &Value| -> Option<Vec<String>> {
        let values = field.get("values")?.as_array()?.iter();
        values
            .map(|value| Some(value.get("value")?.as_str()?.to_owned()))
            .collect()
    };
    let named = fields.iter();
    Some(
        named
            .filter_map(|(name, field)| Some((name.clone(), values(field)?)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::garbled::garbled;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_answer_that_is_cut_or_garbled_offers_no_more_than_it_says(body in garbled(json!({
            "eTag": "x", "picklistFieldValues": {
                "Churn_Risk__c": { "values": [{ "label": "Low", "value": "low" }, { "label": "High", "value": "high" }] },
            },
        }))) {
            let told = String::from_utf8_lossy(&body).into_owned();
            for values in read(&body).into_iter().flat_map(BTreeMap::into_values) {
                prop_assert!(values.iter().all(|value| told.contains(value.as_str())), "{}", told);
            }
        }
    }
}
