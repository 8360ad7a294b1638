//! Requests that write: collections of records, and composites of guarded updates.

use super::super::look_up::Texts;
use super::super::seam::{Reply, ServiceVerb, ServiceWrite};
use super::super::values::text;
use super::answers::{collection_replies, composite_replies, part_name};
use super::queries::encoded;
use super::values::{http_date, json};
use crate::destination::seam::RowId;
use crate::domain::layout::Layout;
use crate::http::{HttpMethod, Repeat, Request};

/// A request, what may be done if its answer is lost, and what its answer looks like.
pub(super) struct Wanted {
    pub(super) request: Request,
    pub(super) repeat: Repeat,
    pub(super) shape: Shape,
}

/// How the answers of records are joined to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// By their places.
    Collection,
    /// By the names of the parts.
    Composite,
}

impl Shape {
    pub(super) fn replies(self, body: &[u8], writes: &[&ServiceWrite<'_>]) -> Vec<Reply> {
        let ids: Vec<Option<&RowId>> = writes.iter().map(|write| id_of(write)).collect();
        match self {
            Self::Collection => collection_replies(body, &ids),
            Self::Composite => {
                let ids: Vec<&RowId> = ids.into_iter().flatten().collect();
                composite_replies(body, &ids)
            }
        }
    }
}

fn id_of<'a>(write: &'a ServiceWrite<'_>) -> Option<&'a RowId> {
    match &write.verb {
        ServiceVerb::Create { .. } => None,
        ServiceVerb::Update { row, .. } => Some(&row.id),
        ServiceVerb::Delete { row } => Some(row),
    }
}

/// The request that carries out these writes, which are all of one verb.
pub(super) fn request(
    base: &str,
    layout: &Layout,
    texts: &Texts,
    writes: &[&ServiceWrite<'_>],
) -> Wanted {
    let collection = format!("{base}/composite/sobjects");
    match writes.first().map(|write| &write.verb) {
        Some(ServiceVerb::Update { guarded: true, .. }) => Wanted {
            request: own_rules(
                Request::new(HttpMethod::Post, format!("{base}/composite"))
                    .with_json(composite(base, layout, texts, writes)),
            ),
            // Carried out, it moves the date that it is guarded by.
            repeat: Repeat::IfUndone,
            shape: Shape::Composite,
        },
        Some(ServiceVerb::Delete { .. }) => {
            let ids: Vec<&str> = writes
                .iter()
                .filter_map(|write| Some(id_of(write)?.0.as_str()))
                .collect();
            let path = format!(
                "{collection}?ids={}&allOrNone=false",
                encoded(&ids.join(","))
            );
            Wanted {
                request: Request::new(HttpMethod::Delete, path),
                repeat: Repeat::IfUndone,
                shape: Shape::Collection,
            }
        }
        Some(ServiceVerb::Create { .. }) => Wanted {
            request: own_rules(
                Request::new(HttpMethod::Post, collection)
                    .with_json(records(layout, texts, writes)),
            ),
            repeat: Repeat::IfUndone,
            shape: Shape::Collection,
        },
        Some(ServiceVerb::Update { guarded: false, .. }) | None => Wanted {
            request: own_rules(
                Request::new(HttpMethod::Patch, collection)
                    .with_json(records(layout, texts, writes)),
            ),
            repeat: Repeat::SameTwice,
            shape: Shape::Collection,
        },
    }
}

/// Assignment rules give records to other owners; they are for people's entries, not for these.
fn own_rules(request: Request) -> Request {
    request.with_header("Sforce-Auto-Assign", "FALSE")
}

/// `{"allOrNone":false,"records":[…]}`: each stands or falls by itself.
fn records(layout: &Layout, texts: &Texts, writes: &[&ServiceWrite<'_>]) -> String {
    let object = text(layout.object.path.last().map_or("", String::as_str));
    let mut body = String::from(r#"{"allOrNone":false,"records":["#);
    for (place, write) in writes.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        body.push_str(&format!(r#"{comma}{{"attributes":{{"type":{object}}}"#));
        if let Some(id) = id_of(write) {
            body.push_str(&format!(r#","id":{}"#, text(&id.0)));
        }
        for (name, value) in values(layout, texts, write) {
            body.push_str(&format!(",{name}:{value}"));
        }
        body.push('}');
    }
    body.push_str("]}");
    body
}

/// `{"allOrNone":false,"compositeRequest":[…]}`: each refused if its record changed since.
fn composite(base: &str, layout: &Layout, texts: &Texts, writes: &[&ServiceWrite<'_>]) -> String {
    let object = layout.object.path.last().map_or("", String::as_str);
    let mut body = String::from(r#"{"allOrNone":false,"compositeRequest":["#);
    for (place, write) in writes.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        let id = id_of(write).map_or("", |id| id.0.as_str());
        let url = text(&format!("{base}/sobjects/{object}/{}", encoded(id)));
        let name = part_name(place);
        body.push_str(&format!(
            r#"{comma}{{"method":"PATCH","url":{url},"referenceId":"{name}""#
        ));
        if let Some(date) = guard_of(write) {
            let date = text(&date);
            body.push_str(&format!(
                r#","httpHeaders":{{"If-Unmodified-Since":{date}}}"#
            ));
        }
        let values = values(layout, texts, write);
        let members: Vec<String> = values
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        body.push_str(&format!(r#","body":{{{}}}}}"#, members.join(",")));
    }
    body.push_str("]}");
    body
}

fn guard_of(write: &ServiceWrite<'_>) -> Option<String> {
    if let ServiceVerb::Update { row, guarded: true } = &write.verb {
        http_date(row.version.as_deref()?)
    } else {
        None
    }
}

/// Names and values of the fields that are sent, as JSON.
fn values<'a>(
    layout: &'a Layout,
    texts: &'a Texts,
    write: &'a ServiceWrite<'_>,
) -> impl Iterator<Item = (String, String)> + 'a {
    write.fields.iter().filter_map(|place| {
        let field = layout.fields.get(*place)?;
        let value = texts.value(write.record, *place);
        Some((text(&field.column.name), json(field, value)))
    })
}
