//! The stage that only goes forward: sent backwards it stays where it is, without a word. So it is
//! known beforehand where each record stands, and one that would go back is refused, or emptied
//! first.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide>.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::look_up::Texts;
use super::super::seam::{Reply, ServiceWrite};
use super::answers::Told;
use super::marks::{id_of, mark_of};
use super::values::{self, wire};
use super::writes::sent;
use crate::destination::seam::RowId;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::Holds;

pub(super) const STAGE: &str = "lifecyclestage";

/// Records whose stage is remembered: those of a few batches, of which one is written.
const REMEMBERED_MAX: usize = 10_000;

/// What records held when they were read last, of those that have a stage.
#[derive(Debug, Default)]
pub(super) struct Stages {
    held: BTreeMap<RowId, BTreeMap<String, String>>,
}

impl Stages {
    /// Notes what a record that was read holds.
    pub(super) fn note(&mut self, told: &Told) {
        if self.held.len() >= REMEMBERED_MAX {
            self.held.clear();
        }
        let id = RowId(told.id.clone());
        let filled = |(name, value): (&String, &Option<String>)| {
            let value = values::held(value.as_deref())?;
            Some((name.clone(), value.to_owned()))
        };
        let held: BTreeMap<String, String> = told.properties.iter().filter_map(filled).collect();
        match held.contains_key(STAGE) {
            true => self.held.insert(id, held),
            false => self.held.remove(&id),
        };
    }

    /// What comes of the stage that a write sends; `None` if it does not go back.
    pub(super) fn backwards(
        &self,
        layout: &Layout,
        texts: &Texts,
        write: &ServiceWrite<'_>,
    ) -> Option<Backwards> {
        let (place, field) = sent_stage(layout, write)?;
        let held = self.held.get(id_of(write)?)?.get(STAGE)?;
        let sent = wire(field, texts.value(write.record, place));
        if !goes_back(field, held, &sent) {
            return None;
        }
        Some(match may_go_back(field) {
            true => Backwards::ClearFirst,
            false => Backwards::Refuse(Reply::Refused {
                message: format!(
                    "`{STAGE}` only goes forward: it is `{held}`, and `{sent}` comes before that"
                ),
                column: Some(STAGE.to_owned()),
            }),
        })
    }

    /// What a write takes the place of, in the properties that it sends.
    fn before(&self, write: &ServiceWrite<'_>, sent: &Properties) -> Properties {
        let held = id_of(write).and_then(|id| self.held.get(id));
        let value = |name: &String| held.and_then(|held| held.get(name)).cloned();
        let names = sent.keys();
        names
            .map(|name| (name.clone(), value(name).unwrap_or_default()))
            .collect()
    }

    /// What takes a stage back: first all else with the stage emptied, then the stage alone; and
    /// what puts everything back should the stage be refused.
    pub(super) fn detour(
        &self,
        layout: &Layout,
        texts: &Texts,
        write: &ServiceWrite<'_>,
    ) -> Detour {
        let sent = sent(layout, texts, write).map(|(name, text)| (name.to_owned(), text));
        let mut sent: Properties = sent.collect();
        let back = self.before(write, &sent);
        let stage = sent.insert(STAGE.to_owned(), String::new());
        let stage = [(STAGE.to_owned(), stage.unwrap_or_default())];
        Detour {
            emptying: sent,
            stage: stage.into(),
            back,
        }
    }
}

/// Whether a stage may go back: where the field says so, and where an earlier write is taken back.
pub(super) fn may_go_back(field: &LayoutField) -> bool {
    field.own_text || field.clears_first
}

/// Names and texts of properties.
pub(super) type Properties = BTreeMap<String, String>;

/// How a stage goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detour {
    pub(super) emptying: Properties,
    pub(super) stage: Properties,
    pub(super) back: Properties,
}

/// What is done about a stage that would go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Backwards {
    Refuse(Reply),
    /// It is emptied, and then written.
    ClearFirst,
}

/// The stage among the fields that are sent.
fn sent_stage<'a>(
    layout: &'a Layout,
    write: &ServiceWrite<'_>,
) -> Option<(usize, &'a LayoutField)> {
    let mut fields = write
        .fields
        .iter()
        .filter_map(|place| Some((*place, layout.fields.get(*place)?)));
    fields.find(|(_, field)| field.column.name == STAGE)
}

/// Whether a stage comes before another, in the order in which people see them.
fn goes_back(field: &LayoutField, held: &str, sent: &str) -> bool {
    let Holds::Label(stages) = &field.column.holds else {
        return false;
    };
    let place = |wanted: &str| stages.iter().position(|stage| stage == wanted);
    matches!((place(held), place(sent)), (Some(held), Some(sent)) if sent < held)
}

/// A batch that updates records by these properties.
pub(super) fn update_body(updates: &[(&ServiceWrite<'_>, &Properties)]) -> String {
    let inputs: Vec<serde_json::Value> = updates
        .iter()
        .filter_map(|(write, properties)| {
            let id = &id_of(write)?.0;
            Some(json!({
                "id": id, "properties": properties, "objectWriteTraceId": mark_of(write),
            }))
        })
        .collect();
    json!({ "inputs": inputs }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::object::ObjectColumn;
    use crate::domain::value::Kind;

    #[test]
    fn a_stage_goes_back_where_people_see_it_before_the_one_that_is_held() {
        let stages = ["lead", "customer"].map(str::to_owned).to_vec();
        let column = ObjectColumn::plain(STAGE, "enumeration(radio)", Holds::Label(stages));
        let field = LayoutField::plain(column, Kind::Text);
        assert!(goes_back(&field, "customer", "lead"));
        assert!(!goes_back(&field, "lead", "customer"));
        assert!(!goes_back(&field, "lead", "lead"));
        assert!(!goes_back(&field, "customer", ""), "it may be emptied");
        assert!(!goes_back(&field, "unknown", "lead"));
    }
}
