//! Look-ups as SOQL: as few calls as the length of a URL allows.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::values::{is_possible, soql};
use crate::domain::layout::{Layout, LayoutField};

/// Bytes of a request's URL, a little below the 16 384 that the host takes: its own name counts too.
/// Source: the REST API guide, "Status Codes and Error Responses", 414.
const URL_BYTES_MAX: usize = 16_000;

/// Signs that stand for themselves in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The text of a query as a URL holds it.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Bytes that a text takes in a URL.
fn encoded_len(text: &str) -> usize {
    utf8_percent_encode(text, PLAIN).map(str::len).sum()
}

/// The paths of the queries that find the records with these keys. One that no record can have is
/// left out: a single one would have its whole query refused. `base` is the path of the query
/// resource.
pub(super) fn look_ups(
    base: &str,
    layout: &Layout,
    fields: &[String],
    keys: &[Vec<String>],
) -> Vec<String> {
    let key: Vec<&LayoutField> = layout.key_fields().collect();
    let object = layout.object.path.join(".");
    let head = format!("SELECT {} FROM {object} WHERE ", fields.join(","));
    let is_possible = |values: &&Vec<String>| {
        let mut parts = key.iter().zip(values.iter());
        parts.all(|(field, value)| is_possible(field, value))
    };
    let terms = keys
        .iter()
        .filter(is_possible)
        .map(|key_values| term(&key, key_values));
    let (open, between, close) = match key.as_slice() {
        [only] => (format!("{} IN (", only.column.name), ",", ")"),
        _ => (String::new(), " OR ", ""),
    };
    let start = format!("{base}?q={}", encoded(&format!("{head}{open}")));
    let room = URL_BYTES_MAX.saturating_sub(start.len() + encoded_len(close));
    let mut paths = Vec::new();
    let mut list = String::new();
    for term in terms {
        let term = encoded(&term);
        let joint = if list.is_empty() { "" } else { between };
        let joint = encoded(joint);
        if !list.is_empty() && list.len() + joint.len() + term.len() > room {
            paths.push(format!("{start}{list}{}", encoded(close)));
            list.clear();
        }
        if !list.is_empty() {
            list.push_str(&joint);
        }
        list.push_str(&term);
    }
    if !list.is_empty() {
        paths.push(format!("{start}{list}{}", encoded(close)));
    }
    paths
}

/// One key, as it stands in a list of them or, of several parts, as a condition of its own.
fn term(key: &[&LayoutField], values: &[String]) -> String {
    if let ([field], [value]) = (key, values) {
        return soql(field, value);
    }
    let mut term = String::from("(");
    for (place, (field, value)) in key.iter().zip(values).enumerate() {
        let joint = if place > 0 { " AND " } else { "" };
        term.push_str(&format!(
            "{joint}{}={}",
            field.column.name,
            soql(field, value)
        ));
    }
    term.push(')');
    term
}
