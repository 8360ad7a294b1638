//! Rows that belong to rows of another table, many to many. The rows of the relationship's first table
//! keep them; it can be read and changed from either side.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::environment::Environment;
use super::errors::ODataError;
use super::read::{Named, set_and_key};
use super::table::{Definition, Listing, TableRow};
use crate::practice::call::{Answer, Call};

/// Ids that a row keeps under a name.
fn kept(row: &TableRow, name: &str) -> BTreeSet<String> {
    let held = row.get(name);
    let ids = held.as_array().into_iter().flatten();
    ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect()
}

impl Environment {
    /// Ids of the rows that a row is associated with, of those that are there.
    pub(super) fn listed(&self, definition: &Definition, id: &str, list: &Listing) -> Vec<String> {
        let others = self.tables.get(&list.target);
        if list.is_first {
            let kept = self
                .row(&definition.name, id)
                .map(|row| kept(row, &list.name));
            let is_there = |id: &String| others.is_some_and(|others| others.row(id).is_some());
            return kept
                .unwrap_or_default()
                .into_iter()
                .filter(is_there)
                .collect();
        }
        let others = others.into_iter().flat_map(|others| others.rows());
        let theirs = others.filter(|(_, other)| kept(other, &list.back).contains(id));
        theirs.map(|(other, _)| other.clone()).collect()
    }

    /// `POST accounts(…)/cr_account_contact/$ref`.
    pub(super) fn associate(
        &mut self,
        call: &Call,
        (definition, key): (&Arc<Definition>, &str),
        list: &Listing,
    ) -> Result<Answer, ODataError> {
        let body: Value = serde_json::from_slice(&call.body)
            .map_err(|error| ODataError::payload(error.to_string()))?;
        let url = body.get("@odata.id").and_then(Value::as_str);
        let url = url.ok_or_else(|| ODataError::payload("The body has no '@odata.id'."))?;
        self.expect_privilege(definition, "Append")?;
        let id = self.there(definition, key)?;
        let member = self.member(list, url)?;
        if self.listed(definition, &id, list).contains(&member) {
            return Err(ODataError::new(
                412,
                "0x80040237",
                "Cannot insert duplicate key.",
            ));
        }
        self.keep(definition, list, (&id, &member), true);
        Ok(Answer::new(204))
    }

    /// `DELETE accounts(…)/cr_account_contact(…)/$ref`, or with the URL of the other row as `$id`.
    pub(super) fn disassociate(
        &mut self,
        call: &Call,
        (definition, key): (&Arc<Definition>, &str),
        (list, member): (&Listing, Option<&str>),
    ) -> Result<Answer, ODataError> {
        self.expect_privilege(definition, "Append")?;
        let id = self.there(definition, key)?;
        let member = match (member, call.parameter("$id")) {
            (Some(member), _) => member.to_lowercase(),
            (None, Some(url)) => self.member(list, url)?,
            (None, None) => {
                return Err(ODataError::invalid("It is not said which row is meant."));
            }
        };
        if !self.listed(definition, &id, list).contains(&member) {
            return Err(ODataError::no_row(&list.target, &member));
        }
        self.keep(definition, list, (&id, &member), false);
        Ok(Answer::new(204))
    }

    fn there(&self, definition: &Definition, key: &str) -> Result<String, ODataError> {
        let named = self.named(definition, key)?;
        self.id_of(definition, &named).ok_or_else(|| match &named {
            Named::Id(id) => ODataError::no_row(&definition.name, id),
            Named::Key(_) => ODataError::no_row_of_key(&definition.name),
        })
    }

    /// The id of the other table's row that a URL names.
    fn member(&self, list: &Listing, url: &str) -> Result<String, ODataError> {
        let (set, key) = set_and_key(url.rsplit('/').next().unwrap_or_default());
        let target = self
            .of_set(set)
            .ok_or_else(|| ODataError::no_segment(set))?;
        if target.name != list.target {
            return Err(ODataError::payload(format!(
                "The entity '{}' is no target of '{}'.",
                target.name, list.name
            )));
        }
        self.there(&target, key.unwrap_or_default())
    }

    /// Associates two rows, or parts them. The versions of both stay what they are.
    fn keep(
        &mut self,
        definition: &Definition,
        list: &Listing,
        (id, member): (&str, &str),
        together: bool,
    ) {
        let (table, id, name, member) = match list.is_first {
            true => (&definition.name, id, &list.name, member),
            false => (&list.target, member, &list.back, id),
        };
        let Some(mut row) = self.row(table, id).cloned() else {
            return;
        };
        let mut members = kept(&row, name);
        match together {
            true => members.insert(member.to_owned()),
            false => members.remove(member),
        };
        row.set(name, json!(members));
        self.put(table, id, Some(row));
    }
}
