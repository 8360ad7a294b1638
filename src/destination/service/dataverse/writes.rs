//! Requests that write: bulk messages, and batches of single writes each of which stands or falls
//! alone.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::look_up::Texts;
use super::super::seam::{ServiceVerb, ServiceWrite};
use super::super::values::text;
use super::describe::TableDescription;
use super::values::{is_list, member, wanted_ids};
use crate::destination::seam::RowId;
use crate::domain::connection::DataverseOptions;
use crate::domain::layout::Layout;
use crate::http::{HttpMethod, Request};

/// Stands between the requests of a batch. In JSON no line can begin with it.
const BATCH_TYPE: &str = "multipart/mixed; boundary=batch_5d6c0c1e-7f0b-4f0e-9a51-2b6d1c9e3a77";
const DELIMITER: &str = "--batch_5d6c0c1e-7f0b-4f0e-9a51-2b6d1c9e3a77";

/// What stands before each request of a batch.
const PART_HEAD: &str = "--batch_5d6c0c1e-7f0b-4f0e-9a51-2b6d1c9e3a77\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n";

/// What a single write does to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Create,
    Update,
    Delete,
}

/// One write, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadyWrite {
    pub(super) act: Act,
    /// Of a create: the one that the row gets.
    pub(super) id: RowId,
    /// The ETag that the row must have.
    etag: Option<String>,
    /// Names and values, as JSON, or why they cannot be sent.
    members: Result<Vec<(String, String)>, String>,
    /// By their names, ids of the rows of other tables that it is to list.
    pub(super) lists: Vec<(String, BTreeSet<String>)>,
}

impl ReadyWrite {
    pub(super) fn of(
        table: &TableDescription,
        layout: &Layout,
        texts: &Texts,
        write: &ServiceWrite<'_>,
    ) -> Self {
        let fields = write.fields.iter().filter_map(|place| {
            let field = layout.fields.get(*place)?;
            Some((field, texts.value(write.record, *place)))
        });
        let is_id = |name: &str| name == table.primary_id_attribute;
        let given = fields.clone().find(|(field, _)| is_id(&field.column.name));
        let (act, id, etag) = match &write.verb {
            ServiceVerb::Create { marker } => {
                let given = given.and_then(|(_, value)| Uuid::parse_str(value?).ok());
                let id = given.unwrap_or_else(|| chosen_id(*marker));
                (Act::Create, RowId(id.to_string()), None)
            }
            ServiceVerb::Update { row, guarded } => {
                let etag = row.version.clone().filter(|_| *guarded);
                (Act::Update, row.id.clone(), etag)
            }
            ServiceVerb::Delete { row } => (Act::Delete, RowId::clone(row), None),
        };
        let lists = fields.clone().filter(|(field, _)| is_list(field));
        let lists = lists.map(|(field, value)| Ok((field.column.name.clone(), wanted_ids(value)?)));
        let lists: Result<Vec<_>, String> = lists.collect();
        let members = fields
            .filter(|(field, _)| !is_id(&field.column.name) && !is_list(field))
            .map(|(field, value)| member(table, field, value));
        let members = members.collect();
        let (members, lists) = match lists {
            Ok(lists) => (members, lists),
            Err(why) => (Err(why), Vec::new()),
        };
        Self {
            act,
            id,
            etag,
            members,
            lists,
        }
    }

    /// The same, to list these rows.
    pub(super) fn with_lists(&self, lists: &BTreeMap<String, BTreeSet<String>>) -> Self {
        let lists = lists.iter();
        Self {
            lists: lists
                .map(|(list, ids)| (list.clone(), ids.clone()))
                .collect(),
            ..self.clone()
        }
    }

    /// Whether the row itself is written, or looked at: where only lists change, it is not.
    pub(super) fn is_of_row(&self) -> bool {
        let sends = self
            .members
            .as_ref()
            .map_or(true, |members| !members.is_empty());
        sends || self.lists.is_empty() || self.act != Act::Update || self.is_guarded()
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.etag.is_some()
    }

    /// Why it cannot be sent, if it cannot.
    pub(super) fn fault(&self) -> Option<&str> {
        self.members.as_ref().err().map(String::as_str)
    }

    fn members(&self) -> String {
        let members = self.members.as_deref().unwrap_or_default().iter();
        let told: Vec<String> = members
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        told.join(",")
    }

    /// The condition that keeps an update from creating, and a create from updating.
    fn condition(&self) -> String {
        match (self.act, &self.etag) {
            (Act::Create, _) => "If-None-Match: *\r\n".to_owned(),
            (Act::Update | Act::Delete, Some(etag)) => format!("If-Match: {etag}\r\n"),
            (Act::Update, None) => "If-Match: *\r\n".to_owned(),
            (Act::Delete, None) => String::new(),
        }
    }
}

/// The id of a row that is to be made: always the same for a marker, so that it is made once.
fn chosen_id(marker: Option<&str>) -> Uuid {
    let mut bytes = [0; 16];
    match marker {
        Some(marker) => {
            let digest = Sha256::digest(marker.as_bytes());
            bytes
                .iter_mut()
                .zip(digest)
                .for_each(|(byte, part)| *byte = part);
        }
        None => {
            let random = ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new());
            bytes = random.map_or(bytes, |random| random.expose());
        }
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Updates of many rows, all of them or none.
pub(super) fn update_multiple(
    base: &str,
    table: &TableDescription,
    writes: &[&ReadyWrite],
) -> Request {
    let path = format!(
        "{base}/{}/Microsoft.Dynamics.CRM.UpdateMultiple",
        table.entity_set_name
    );
    let entity = text(&format!("Microsoft.Dynamics.CRM.{}", table.logical_name));
    let id_name = text(&table.primary_id_attribute);
    let mut body = String::from(r#"{"Targets":["#);
    for (place, write) in writes.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let id = text(&write.id.0);
        let members = write.members();
        let joint = if members.is_empty() { "" } else { "," };
        body.push_str(&format!(
            r#"{comma}{{"@odata.type":{entity},{id_name}:{id}{joint}{members}}}"#
        ));
    }
    body.push_str("]}");
    Request::new(HttpMethod::Post, path).with_json(body)
}

/// Writes that stand or fall one by one.
pub(super) fn batch(
    base: &str,
    table: &TableDescription,
    writes: &[&ReadyWrite],
    options: &DataverseOptions,
) -> Request {
    let headers = bypass_lines(options);
    let mut body = String::new();
    for write in writes {
        let method = match write.act {
            Act::Create | Act::Update => "PATCH",
            Act::Delete => "DELETE",
        };
        let (set, id) = (&table.entity_set_name, &write.id.0);
        let condition = write.condition();
        body.push_str(PART_HEAD);
        body.push_str(&format!(
            "{method} {base}/{set}({id}) HTTP/1.1\r\nContent-Type: application/json\r\n{headers}{condition}\r\n"
        ));
        if write.act != Act::Delete {
            body.push_str(&format!("{{{}}}\r\n", write.members()));
        }
    }
    in_one(base, body)
}

/// A batch of these parts.
fn in_one(base: &str, mut body: String) -> Request {
    body.push_str(&format!("{DELIMITER}--\r\n"));
    Request::new(HttpMethod::Post, format!("{base}/$batch"))
        .with_body(BATCH_TYPE, body)
        .with_header("Prefer", "odata.continue-on-error")
}

/// As the requests of a batch carry them.
fn bypass_lines(options: &DataverseOptions) -> String {
    let headers = bypass_headers(options).into_iter();
    headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// A row of another table that is listed by a row, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListChange<'a> {
    pub(super) write: &'a ReadyWrite,
    pub(super) list: &'a str,
    pub(super) member: String,
    pub(super) adds: bool,
}

/// Rows of other tables that are listed or no longer, each by itself. `root` is what URLs of rows begin
/// with.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>.
pub(super) fn associations(
    (base, root): (&str, &str),
    table: &TableDescription,
    associations: &[ListChange<'_>],
    options: &DataverseOptions,
) -> Request {
    let headers = bypass_lines(options);
    let mut body = String::new();
    for one in associations {
        let (set, id) = (&table.entity_set_name, &one.write.id.0);
        let (list, member) = (one.list, &one.member);
        body.push_str(PART_HEAD);
        if one.adds {
            let target = table.lists().find(|(name, _)| *name == list);
            let target = target.and_then(|(_, target)| table.target_sets.get(target));
            let url = format!("{root}/{}({member})", target.map_or("", String::as_str));
            body.push_str(&format!(
                "POST {base}/{set}({id})/{list}/$ref HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n\
                 {{\"@odata.id\":{}}}\r\n",
                text(&url)
            ));
        } else {
            body.push_str(&format!(
                "DELETE {base}/{set}({id})/{list}({member})/$ref HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n"
            ));
        }
    }
    in_one(base, body)
}

/// Headers that take a request past what of the environment's logic the file says.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/bypass-custom-business-logic>.
pub(super) fn bypass_headers(options: &DataverseOptions) -> Vec<(&'static str, String)> {
    let logic: Vec<&str> = options
        .bypassed_logic
        .iter()
        .map(|one| one.name())
        .collect();
    let logic =
        (!logic.is_empty()).then(|| ("MSCRM.BypassBusinessLogicExecution", logic.join(",")));
    let steps = (!options.bypassed_steps.is_empty()).then(|| {
        let name = "MSCRM.BypassBusinessLogicExecutionStepIds";
        (name, options.bypassed_steps.join(","))
    });
    let flows = options.bypasses_flows.then(|| {
        let name = "MSCRM.SuppressCallbackRegistrationExpanderJob";
        (name, "true".to_owned())
    });
    logic.into_iter().chain(steps).chain(flows).collect()
}
