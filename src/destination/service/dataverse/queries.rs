//! Look-ups as `$filter`: as few calls as the length of a URL and the number of values allow.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query/overview>.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::values::{in_filter, read_name};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::value::Kind;

/// Bytes of a request's URL, a little below the 32 768 that the host takes: its own name counts too.
const URL_BYTES_MAX: usize = 32_000;

/// Values of one list: each becomes a parameter of a statement, of which there are two thousand.
const LISTED_MAX: usize = 500;

/// Conditions of one filter. Source: the error `TooManyConditionsInQuery`, which names 500; a key
/// of several columns has as many for each record.
const CONDITIONS_MAX: usize = 300;

/// Signs that stand for themselves in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',')
    .remove(b'(')
    .remove(b')')
    .remove(b'$');

/// A text as a URL holds it.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The paths of the queries that find the rows with these keys. `base` is the path of the table's
/// set, `fields` are the columns that are read, and `lists` what is expanded.
pub(super) fn look_ups(
    base: &str,
    layout: &Layout,
    (fields, lists): (&[String], &[String]),
    keys: &[Vec<String>],
) -> Vec<String> {
    let key: Vec<&LayoutField> = layout.key_fields().collect();
    let mut select = format!("{base}?$select={}", encoded(&fields.join(",")));
    if !lists.is_empty() {
        select.push_str(&format!("&$expand={}", encoded(&lists.join(","))));
    }
    let single = match key.as_slice() {
        [only] if is_listed(only) => Some(*only),
        _ => None,
    };
    // Quotes within a list are told of nowhere; in a comparison they are doubled.
    let is_plain = |values: &&Vec<String>| {
        values
            .iter()
            .all(|value| !value.contains(['\'', '"', '\\']))
    };
    let (listed, compared): (Vec<&Vec<String>>, Vec<&Vec<String>>) = match single {
        Some(_) => keys.iter().partition(is_plain),
        None => (Vec::new(), keys.iter().collect()),
    };
    let mut paths = Vec::new();
    if let Some(field) = single {
        let property = encoded(&format!("'{}'", field.column.name));
        let filter = encoded("Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)");
        let pieces = Pieces {
            head: format!(
                "{select}&$filter={filter}&@p1={property}&@p2={}",
                encoded("[")
            ),
            joint: ",".to_owned(),
            tail: encoded("]"),
            pieces_max: LISTED_MAX,
        };
        let terms = listed.iter().filter_map(|values| values.first());
        paths.extend(pieces.joined(terms.map(|value| encoded(&format!("'{value}'")))));
    }
    let pieces = Pieces {
        head: format!("{select}&$filter="),
        joint: encoded(" or "),
        tail: String::new(),
        pieces_max: (CONDITIONS_MAX / key.len().max(1)).max(1),
    };
    paths.extend(pieces.joined(compared.iter().map(|values| encoded(&term(&key, values)))));
    paths
}

/// Whether values of such a key may stand in a list of texts.
fn is_listed(field: &LayoutField) -> bool {
    let kind = field.column.holds.kind().unwrap_or(field.kind);
    matches!(kind, Kind::Text | Kind::Uuid | Kind::Integer)
        && !matches!(field.column.holds, crate::domain::object::Holds::Label(_))
        && !field.column.declared.starts_with("lookup(")
}

/// How pieces are put together.
struct Pieces {
    head: String,
    joint: String,
    tail: String,
    pieces_max: usize,
}

impl Pieces {
    /// As few texts as their length and the number of pieces in each allow.
    fn joined(&self, pieces: impl Iterator<Item = String>) -> Vec<String> {
        let room = URL_BYTES_MAX.saturating_sub(self.head.len() + self.tail.len());
        let mut texts = Vec::new();
        let mut list = String::new();
        let mut count = 0;
        for piece in pieces {
            let is_full =
                count >= self.pieces_max || list.len() + self.joint.len() + piece.len() > room;
            if count > 0 && is_full {
                texts.push(format!("{}{list}{}", self.head, self.tail));
                list.clear();
                count = 0;
            }
            if count > 0 {
                list.push_str(&self.joint);
            }
            list.push_str(&piece);
            count += 1;
        }
        if count > 0 {
            texts.push(format!("{}{list}{}", self.head, self.tail));
        }
        texts
    }
}

/// One key as a condition.
fn term(key: &[&LayoutField], values: &[String]) -> String {
    let parts: Vec<String> = key
        .iter()
        .zip(values)
        .map(|(field, value)| format!("{} eq {}", read_name(field), in_filter(field, value)))
        .collect();
    match parts.as_slice() {
        [only] => only.clone(),
        _ => format!("({})", parts.join(" and ")),
    }
}
