//! Reading: rows by id, by alternate key and by query. Source:
//! <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query/overview>.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::environment::Environment;
use super::errors::ODataError;
use super::filter::{Filter, compare, parse_filter};
use super::table::{ColumnDefinition, ColumnKind, Definition, Listing, Table, TableRow};
use super::value::taken;
use crate::practice::call::Call;

/// Rows of a page. Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query/page-results>.
const PAGE_MAX: usize = 5_000;

/// Signs that make an alternate key's value unusable in a URL.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/use-alternate-key-reference-record>.
const UNUSABLE_IN_KEYS: &str = "/<>*%&:\\?+";

/// Tables whose rows are named by their id alone.
const BY_ID_ONLY: [&str; 2] = ["systemuser", "team"];

/// Which row a URL names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Named {
    Id(String),
    /// What its alternate key holds.
    Key(BTreeMap<String, Value>),
}

/// The parts of `accounts(…)`: the set's name, and what stands between the parentheses.
pub(super) fn set_and_key(segment: &str) -> (&str, Option<&str>) {
    let Some((set, rest)) = segment.split_once('(') else {
        return (segment, None);
    };
    match rest.strip_suffix(')') {
        Some(key) => (set, Some(key)),
        None => (segment, None),
    }
}

impl Environment {
    /// Which row is meant by what stands between the parentheses.
    pub(super) fn named(&self, definition: &Definition, key: &str) -> Result<Named, ODataError> {
        if let Ok(id) = Uuid::parse_str(key) {
            return Ok(Named::Id(id.to_string()));
        }
        let invalid = || {
            ODataError::new(
                400,
                "0x80060888",
                format!(
                    "The key in the request URI is not valid for resource '{}'. Ensure that the names and number of key properties match the declared or alternate key properties.",
                    definition.set
                ),
            )
        };
        if BY_ID_ONLY.contains(&definition.name.as_str()) {
            return Err(invalid());
        }
        let mut values = BTreeMap::new();
        for (name, text) in key_parts(key).ok_or_else(invalid)? {
            let plain = name
                .strip_prefix('_')
                .and_then(|name| name.strip_suffix("_value"));
            let column = definition
                .column(plain.unwrap_or(&name))
                .ok_or_else(invalid)?;
            values.insert(
                column.name.clone(),
                key_value(definition, column.kind, &name, &text)?,
            );
        }
        if let Some(id) = values.get(&definition.id_column).and_then(Value::as_str)
            && values.len() == 1
        {
            return Ok(Named::Id(id.to_owned()));
        }
        let columns: BTreeSet<&str> = values.keys().map(String::as_str).collect();
        let key = definition.key_of(&columns).ok_or_else(invalid)?;
        match key.is_active {
            true => Ok(Named::Key(values)),
            false => Err(ODataError::new(
                400,
                "0x8006088a",
                "The alternate key's index is not active.",
            )),
        }
    }

    /// The id of the row that is named, if there is one.
    pub(super) fn id_of(&self, definition: &Definition, named: &Named) -> Option<String> {
        match named {
            Named::Id(id) => self.row(&definition.name, id).map(|_| id.clone()),
            Named::Key(values) => {
                let columns: BTreeSet<&str> = values.keys().map(String::as_str).collect();
                let key = definition.key_of(&columns)?;
                let table = self.tables.get(&definition.name)?;
                table.with_key(key, values).into_iter().next()
            }
        }
    }

    /// `GET accounts(…)`.
    pub(super) fn read_row(
        &self,
        call: &Call,
        definition: &Arc<Definition>,
        key: &str,
    ) -> Result<Value, ODataError> {
        let named = self.named(definition, key)?;
        let id = self.id_of(definition, &named).ok_or_else(|| match &named {
            Named::Id(id) => ODataError::no_row(&definition.name, id),
            Named::Key(_) => ODataError::no_row_of_key(&definition.name),
        })?;
        let row = self.row(&definition.name, &id).cloned().unwrap_or_default();
        let mut told = Shape::of(call, definition)?.told(self, definition, &row)?;
        if let Some(told) = told.as_object_mut() {
            let context = format!("$metadata#{}/$entity", definition.set);
            told.insert("@odata.context".to_owned(), json!(context));
        }
        Ok(told)
    }

    /// `GET accounts?…`.
    pub(super) fn read_rows(
        &self,
        call: &Call,
        definition: &Arc<Definition>,
    ) -> Result<Value, ODataError> {
        let shape = Shape::of(call, definition)?;
        let filter = match call.parameter("$filter") {
            Some(text) => Some(parse_filter(text, &call.query)?),
            None => None,
        };
        for column in filter.iter().flat_map(|filter| filter.columns()) {
            known(definition, column)?;
        }
        let of_column = |row: &TableRow, name: &str| match definition.read_column(name) {
            Some(column) => row.plain(&column.name),
            None => Value::Null,
        };
        let table = self.tables.get(&definition.name);
        let confined = filter.as_ref().and_then(Filter::confined);
        let mut found: Vec<&TableRow> = confined
            .zip(table)
            .and_then(|((column, forms), table)| table.holding(column, &forms))
            .unwrap_or_else(|| {
                table
                    .into_iter()
                    .flat_map(Table::rows)
                    .map(|(_, row)| row)
                    .collect()
            });
        found.retain(|row| {
            let value = |name: &str| of_column(row, name);
            filter.as_ref().is_none_or(|filter| filter.holds(&value))
        });
        if let Some(order) = call.parameter("$orderby") {
            let terms = order_terms(definition, order)?;
            found.sort_by(|left, right| {
                terms
                    .iter()
                    .fold(Ordering::Equal, |order, (name, descending)| {
                        order.then_with(|| {
                            let order = compare(&of_column(left, name), &of_column(right, name));
                            if *descending { order.reverse() } else { order }
                        })
                    })
            });
        }
        let count = found.len();
        if let Some(top) = call.parameter("$top") {
            let top = top
                .parse()
                .map_err(|_| ODataError::invalid("Invalid value for '$top' query option."))?;
            found.truncate(top);
        }
        let skipped = call.parameter("$skiptoken").map_or(Some(0), read_cookie);
        let skipped =
            skipped.ok_or_else(|| ODataError::invalid("Malformed XML in the paging cookie."))?;
        let page = page_records(call);
        let rows: Result<Vec<Value>, ODataError> = found
            .iter()
            .skip(skipped)
            .take(page)
            .map(|row| shape.told(self, definition, row))
            .collect();
        let mut answer = Map::new();
        answer.insert(
            "@odata.context".to_owned(),
            json!(format!("$metadata#{}", definition.set)),
        );
        if call.parameter("$count") == Some("true") {
            answer.insert("@odata.count".to_owned(), json!(count.min(PAGE_MAX)));
        }
        answer.insert("value".to_owned(), Value::Array(rows?));
        if skipped + page < found.len() {
            answer.insert(
                "@odata.nextLink".to_owned(),
                json!(next_link(call, skipped + page)),
            );
        }
        Ok(Value::Object(answer))
    }
}

impl Environment {
    /// `GET accounts(…)/cr_account_contact`: the rows of the other table.
    pub(super) fn read_list(
        &self,
        call: &Call,
        definition: &Arc<Definition>,
        key: &str,
        list: &Listing,
    ) -> Result<Value, ODataError> {
        let named = self.named(definition, key)?;
        let id = self.id_of(definition, &named);
        let id = id.ok_or_else(|| ODataError::no_row(&definition.name, key))?;
        let target = self.definition(&list.target);
        let target = target.ok_or_else(|| ODataError::no_segment(&list.name))?;
        let shape = Shape::of(call, &target)?;
        let skipped = call.parameter("$skiptoken").map_or(Some(0), read_cookie);
        let skipped = skipped.unwrap_or_default();
        let ids = self.listed(definition, &id, list);
        let shown = ids.iter().skip(skipped).take(shape.page);
        let rows = shown.filter_map(|id| self.row(&target.name, id));
        let rows: Vec<Value> = rows
            .map(|row| shape.told(self, &target, row))
            .collect::<Result<_, ODataError>>()?;
        let mut answer = Map::new();
        answer.insert("value".to_owned(), Value::Array(rows));
        if skipped + shape.page < ids.len() {
            let link = next_link(call, skipped + shape.page);
            answer.insert("@odata.nextLink".to_owned(), json!(link));
        }
        Ok(Value::Object(answer))
    }
}

/// Names and texts of a key's parts: `a='x',b=3`.
fn key_parts(key: &str) -> Option<Vec<(String, String)>> {
    let mut parts = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (text, after) = match after.strip_prefix('\'') {
            Some(quoted) => {
                let end = quote_end(quoted)?;
                (
                    quoted.get(..end)?.replace("''", "'"),
                    quoted.get(end + 1..)?,
                )
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after.get(..end)?.to_owned(), after.get(end..)?)
            }
        };
        parts.push((name.trim().to_owned(), text));
        rest = match after.strip_prefix(',') {
            Some(rest) => rest,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    (!parts.is_empty()).then_some(parts)
}

/// Where the quote ends that a text stands in.
fn quote_end(quoted: &str) -> Option<usize> {
    let mut letters = quoted.char_indices().peekable();
    while let Some((place, letter)) = letters.next() {
        if letter != '\'' {
            continue;
        }
        if letters.next_if(|(_, next)| *next == '\'').is_none() {
            return Some(place);
        }
    }
    None
}

fn key_value(
    definition: &Definition,
    kind: ColumnKind,
    name: &str,
    text: &str,
) -> Result<Value, ODataError> {
    if kind == ColumnKind::Text && text.contains(|sign| UNUSABLE_IN_KEYS.contains(sign)) {
        return Err(ODataError::new(
            400,
            "0x80060888",
            "A potentially dangerous Request.Path value was detected from the client.",
        ));
    }
    let value = match kind {
        ColumnKind::Integer | ColumnKind::Number | ColumnKind::Choice => {
            serde_json::from_str(text).unwrap_or_else(|_| json!(text))
        }
        ColumnKind::Lookup => {
            let id = Uuid::parse_str(text);
            let id = id.map_err(|_| ODataError::payload(format!("'{text}' is no GUID.")))?;
            return Ok(json!(id.to_string()));
        }
        ColumnKind::Text
        | ColumnKind::Id
        | ColumnKind::Boolean
        | ColumnKind::Date
        | ColumnKind::Instant
        | ColumnKind::Choices
        | ColumnKind::Other => json!(text),
    };
    match definition.column(name) {
        Some(column) => taken(&definition.name, column, &value),
        None => Ok(value),
    }
}

fn known(definition: &Definition, name: &str) -> Result<(), ODataError> {
    match definition.read_column(name) {
        Some(_) => Ok(()),
        None => Err(ODataError::payload(format!(
            "Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{}'.",
            definition.name
        ))),
    }
}

fn order_terms(definition: &Definition, order: &str) -> Result<Vec<(String, bool)>, ODataError> {
    let terms = order.split(',').map(|term| {
        let mut words = term.split_whitespace();
        let name = words.next().unwrap_or_default();
        known(definition, name)?;
        Ok((name.to_owned(), words.next() == Some("desc")))
    });
    terms.collect()
}

/// Rows of a page, as the client and the rehearsal wish.
fn page_records(call: &Call) -> usize {
    let prefer = call.header("prefer").unwrap_or_default();
    let wished = prefer.split([',', ';']).find_map(|part| {
        let size = part.trim().strip_prefix("odata.maxpagesize=")?;
        size.trim().parse::<usize>().ok()
    });
    let page = wished.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let page = call.hindrance.page.map_or(page, |most| page.min(most));
    match call.hindrance.short_page {
        true => page.div_ceil(3),
        false => page,
    }
}

/// The place in a result, as a client cannot read it.
fn cookie(skipped: usize) -> String {
    format!(
        "%3Ccookie%20pagenumber%3D%22{:x}%22%2F%3E",
        skipped ^ 0x5a5a
    )
}

fn read_cookie(text: &str) -> Option<usize> {
    let number = text
        .strip_prefix("<cookie pagenumber=\"")?
        .strip_suffix("\"/>")?;
    Some(usize::from_str_radix(number, 16).ok()? ^ 0x5a5a)
}

/// What URLs of rows begin with.
fn root(call: &Call) -> String {
    let host = call.header("host").unwrap_or("localhost");
    let scheme = call.header("x-forwarded-proto").unwrap_or("http");
    let version = call.segments.get(2).map_or("v9.2", String::as_str);
    format!("{scheme}://{host}/api/data/{version}")
}

fn next_link(call: &Call, skipped: usize) -> String {
    let host = call.header("host").unwrap_or("localhost");
    let scheme = call.header("x-forwarded-proto").unwrap_or("http");
    let (path, query) = call.uri.split_once('?').unwrap_or((&call.uri, ""));
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| {
            !part.is_empty()
                && !part.starts_with("$skiptoken=")
                && !part.starts_with("%24skiptoken=")
        })
        .collect();
    let joint = if kept.is_empty() { "" } else { "&" };
    format!(
        "{scheme}://{host}{path}?{}{joint}$skiptoken={}",
        kept.join("&"),
        cookie(skipped)
    )
}

/// What of a row is told.
struct Shape {
    /// As `$select` names them; all there are, if it names none.
    columns: Option<Vec<String>>,
    /// Lookups whose rows are told along, each with the columns that are wanted of it.
    expanded: Vec<(String, Vec<String>)>,
    annotated: bool,
    /// Rows of a page, and of what a row lists.
    page: usize,
    /// What URLs begin with.
    root: String,
}

impl Shape {
    fn of(call: &Call, definition: &Definition) -> Result<Self, ODataError> {
        let columns: Option<Vec<String>> = call.parameter("$select").map(|names| {
            let names = names.split(',').map(str::trim);
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        });
        for column in columns.iter().flatten() {
            known(definition, column)?;
        }
        let prefer = call.header("prefer").unwrap_or_default();
        Ok(Self {
            columns,
            expanded: expansions(call.parameter("$expand").unwrap_or_default()),
            annotated: prefer.contains("odata.include-annotations"),
            page: page_records(call),
            root: root(call),
        })
    }

    fn told(
        &self,
        environment: &Environment,
        definition: &Definition,
        row: &TableRow,
    ) -> Result<Value, ODataError> {
        let mut told = Map::new();
        told.insert("@odata.etag".to_owned(), json!(row.etag()));
        let is_wanted = |name: &str| {
            let columns = self.columns.as_ref();
            columns.is_none_or(|columns| columns.iter().any(|wanted| wanted == name))
        };
        for column in &definition.columns {
            let is_lookup = column.kind == ColumnKind::Lookup;
            let name = match is_lookup {
                true => format!("_{}_value", column.name),
                false => column.name.clone(),
            };
            if column.kind == ColumnKind::Other
                || !(is_wanted(&name) || column.name == definition.id_column)
            {
                continue;
            }
            let held = row.get(&column.name);
            if self.annotated {
                for (annotation, text) in annotations(column, &held) {
                    told.insert(format!("{name}@{annotation}"), json!(text));
                }
            }
            let hidden = column.secured && !environment.may_read(definition, column);
            let value = match column.name.as_str() {
                _ if hidden => Value::Null,
                "versionnumber" => json!(row.version),
                _ => row.plain(&column.name),
            };
            told.insert(name, value);
        }
        for (navigation, columns) in &self.expanded {
            if let Some(list) = definition.list(navigation) {
                told.extend(self.listed(environment, definition, row, list, columns)?);
                continue;
            }
            let value = environment.expanded(definition, row, navigation, columns)?;
            told.insert(navigation.clone(), value);
        }
        Ok(Value::Object(told))
    }

    /// The rows that a row lists, as far as these columns tell, and where the rest is to be had.
    fn listed(
        &self,
        environment: &Environment,
        definition: &Definition,
        row: &TableRow,
        list: &Listing,
        columns: &[String],
    ) -> Result<Vec<(String, Value)>, ODataError> {
        let held = row.get(&definition.id_column);
        let id = held.as_str().unwrap_or_default();
        let target = environment.definition(&list.target);
        let target = target.ok_or_else(|| ODataError::no_segment(&list.name))?;
        let ids = environment.listed(definition, id, list);
        let shape = Self {
            columns: (!columns.is_empty()).then(|| columns.to_vec()),
            expanded: Vec::new(),
            annotated: false,
            page: self.page,
            root: self.root.clone(),
        };
        let shown = ids.iter().take(self.page);
        let rows = shown.filter_map(|id| environment.row(&target.name, id));
        let rows: Vec<Value> = rows
            .map(|row| shape.told(environment, &target, row))
            .collect::<Result<_, ODataError>>()?;
        let mut told = vec![(list.name.clone(), Value::Array(rows))];
        if ids.len() > self.page {
            let link = format!(
                "{}/{}({id})/{}?$select={}&$skiptoken={}",
                self.root,
                definition.set,
                list.name,
                columns.join(","),
                cookie(self.page)
            );
            told.push((format!("{}@odata.nextLink", list.name), json!(link)));
        }
        Ok(told)
    }
}

impl Environment {
    /// Whether column security lets the user read a column.
    fn may_read(&self, definition: &Definition, column: &ColumnDefinition) -> bool {
        let grant = self.settings.grant(&definition.name, &column.name);
        grant.is_some_and(|grant| grant.read)
    }

    /// The row that a lookup leads to, as far as these columns tell.
    fn expanded(
        &self,
        definition: &Definition,
        row: &TableRow,
        navigation: &str,
        columns: &[String],
    ) -> Result<Value, ODataError> {
        if definition.name == "systemuser" && navigation == "systemuserroles_association" {
            let roles = self.settings.environment.roles.iter();
            return Ok(roles.map(|name| json!({ "name": name })).collect());
        }
        let known = definition
            .navigations
            .iter()
            .find(|known| known.name == navigation);
        let known = known.ok_or_else(|| {
            ODataError::payload(format!(
                "Could not find a property named '{navigation}' on type 'Microsoft.Dynamics.CRM.{}'.",
                definition.name
            ))
        })?;
        let held = row.get(&known.column);
        let target = held.get("table").and_then(Value::as_str);
        let (Some(id), true) = (
            held.get("id").and_then(Value::as_str),
            target == Some(known.target.as_str()),
        ) else {
            return Ok(Value::Null);
        };
        let (Some(target), Some(row)) =
            (self.definition(&known.target), self.row(&known.target, id))
        else {
            return Ok(Value::Null);
        };
        let shape = Shape {
            columns: (!columns.is_empty()).then(|| columns.to_vec()),
            expanded: Vec::new(),
            annotated: false,
            page: PAGE_MAX,
            root: String::new(),
        };
        shape.told(self, &target, row)
    }
}

/// What is told of a value beside it.
fn annotations(column: &ColumnDefinition, held: &Value) -> Vec<(&'static str, String)> {
    const FORMATTED: &str = "OData.Community.Display.V1.FormattedValue";
    match column.kind {
        ColumnKind::Lookup => {
            let table = held.get("table").and_then(Value::as_str);
            let table =
                table.map(|table| ("Microsoft.Dynamics.CRM.lookuplogicalname", table.to_owned()));
            table.into_iter().collect()
        }
        ColumnKind::Choice | ColumnKind::Choices => {
            let numbers = held
                .as_str()
                .map_or_else(|| held.to_string(), str::to_owned);
            let labels: Vec<&str> = numbers
                .split(',')
                .filter_map(|number| number.parse::<i64>().ok())
                .filter_map(|number| column.choices.iter().find(|choice| choice.value == number))
                .map(|choice| choice.label.as_str())
                .collect();
            match labels.is_empty() {
                true => Vec::new(),
                false => vec![(FORMATTED, labels.join("; "))],
            }
        }
        ColumnKind::Id
        | ColumnKind::Text
        | ColumnKind::Integer
        | ColumnKind::Number
        | ColumnKind::Boolean
        | ColumnKind::Date
        | ColumnKind::Instant
        | ColumnKind::Other => Vec::new(),
    }
}

/// Reads `a($select=b,c),d`.
fn expansions(text: &str) -> Vec<(String, Vec<String>)> {
    let mut expansions = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(['(', ',']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (columns, after) = match after.strip_prefix('(') {
            Some(inner) => inner.split_once(')').unwrap_or((inner, "")),
            None => ("", after),
        };
        let columns = columns.trim().strip_prefix("$select=").unwrap_or_default();
        let columns = columns
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        expansions.push((name.trim().to_owned(), columns.map(str::to_owned).collect()));
        rest = after.trim_start_matches(',').trim();
    }
    expansions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_s_parts_are_read_with_their_quotes() {
        let parts = key_parts("a='O''Brien, Inc=1',_b_value=3").expect("parts");
        let texts: Vec<(&str, &str)> = parts
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(texts, [("a", "O'Brien, Inc=1"), ("_b_value", "3")]);
        assert_eq!(key_parts("a='x"), None);
        assert_eq!(key_parts("x"), None);
    }

    #[test]
    fn a_cookie_is_read_back() {
        let text = cookie(5_000);
        let decoded = percent_encoding::percent_decode_str(&text);
        assert_eq!(read_cookie(&decoded.decode_utf8_lossy()), Some(5_000));
    }
}
