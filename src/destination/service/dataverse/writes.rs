//! Requests that write: bulk messages, and batches of single writes each of which stands or falls
//! alone.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::look_up::Texts;
use super::super::seam::{ServiceVerb, ServiceWrite};
use super::super::values::text;
use super::describe::TableDescription;
use super::values::member;
use crate::destination::seam::RowId;
use crate::domain::connection::DataverseOptions;
use crate::domain::layout::Layout;
use crate::http::{HttpMethod, Request};

/// Stands between the requests of a batch. In JSON no line can begin with it.
const BATCH_TYPE: &str = "multipart/mixed; boundary=batch_5d6c0c1e-7f0b-4f0e-9a51-2b6d1c9e3a77";
const DELIMITER: &str = "--batch_5d6c0c1e-7f0b-4f0e-9a51-2b6d1c9e3a77";

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
        let members = fields
            .filter(|(field, _)| !is_id(&field.column.name))
            .map(|(field, value)| member(table, field, value));
        Self {
            act,
            id,
            etag,
            members: members.collect(),
        }
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
    let headers = bypass_headers(options).into_iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let mut body = String::new();
    for write in writes {
        let method = match write.act {
            Act::Create | Act::Update => "PATCH",
            Act::Delete => "DELETE",
        };
        let (set, id) = (&table.entity_set_name, &write.id.0);
        let condition = write.condition();
        body.push_str(&format!(
            "{DELIMITER}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
             {method} {base}/{set}({id}) HTTP/1.1\r\nContent-Type: application/json\r\n{headers}{condition}\r\n"
        ));
        if write.act != Act::Delete {
            body.push_str(&format!("{{{}}}\r\n", write.members()));
        }
    }
    body.push_str(&format!("{DELIMITER}--\r\n"));
    Request::new(HttpMethod::Post, format!("{base}/$batch"))
        .with_body(BATCH_TYPE, body)
        .with_header("Prefer", "odata.continue-on-error")
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
