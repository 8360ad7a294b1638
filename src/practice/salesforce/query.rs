//! Queries: which records they find, and in what shape these are given back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::cursor::{Column, Cursor, Rows, Shape};
use super::errors::ApiError;
use super::evaluate::{Path, Reading, Test};
use super::object::{Field, FieldKind, ObjectType};
use super::org::Org;
use super::soql::{Function, Group, Name, Query, QueryError, Selected, parse};
use super::table::Record;
use super::value::{Held, json_text, to_cell, to_json};

/// Records on a page, where the client wishes nothing else. Source:
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_queryoptions.htm>.
const PAGE: usize = 2000;
const PAGE_MIN: usize = 200;
/// Source: "OFFSET" of the SOQL and SOSL reference.
const OFFSET_MAX: usize = 2000;

/// How a query is to be carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) text: &'a str,
    pub(super) version: u32,
    /// Deleted records too.
    pub(super) all: bool,
    pub(super) page: usize,
    pub(super) now: DateTime<Utc>,
}

/// The records that a page holds at the most: the wish of `Sforce-Query-Options`, within bounds.
pub(super) fn page_wished(options: Option<&str>) -> usize {
    let wished = options.and_then(|options| {
        options.split(';').find_map(|option| {
            let (name, value) = option.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case("batchSize");
            is_it.then(|| value.trim().parse().ok()).flatten()
        })
    });
    wished.map_or(PAGE, |wished: usize| wished.clamp(PAGE_MIN, PAGE))
}

impl Org {
    /// The first page of a query's result.
    pub(super) fn query(&mut self, asked: Asked<'_>) -> Result<String, ApiError> {
        let query = parse(asked.text)?;
        let place = self.queried(&query.from, asked.text)?;
        if let [Selected::Count] = query.select.as_slice() {
            let found = self.found(&query, place, asked.text, asked.all, asked.now)?;
            return Ok(
                json!({ "totalSize": found.len(), "done": true, "records": [] }).to_string(),
            );
        }
        let cursor = self.cursor(&query, place, asked)?;
        let mut id = String::new();
        if cursor.len() > asked.page {
            id = self.next_id("01g");
            self.keep_cursor(id.clone(), cursor.clone());
        }
        Ok(self.page(&cursor, &id, 0, asked))
    }

    /// A further page. Errors: nobody knows the cursor any more.
    pub(super) fn query_more(
        &mut self,
        locator: &str,
        asked: Asked<'_>,
    ) -> Result<String, ApiError> {
        let invalid = || ApiError::new(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
        let (id, from) = locator.split_once('-').ok_or_else(invalid)?;
        let from: usize = from.parse().map_err(|_| invalid())?;
        let known = self.cursors.iter().find(|(known, _)| known == id);
        let cursor = known
            .map(|(_, cursor)| cursor.clone())
            .ok_or_else(invalid)?;
        if from > cursor.len() {
            return Err(invalid());
        }
        Ok(self.page(&cursor, id, from, asked))
    }

    fn page(&mut self, cursor: &Cursor, id: &str, from: usize, asked: Asked<'_>) -> String {
        let to = from.saturating_add(asked.page).min(cursor.len());
        let records = match &cursor.rows {
            Rows::Groups(groups) => groups.get(from..to).unwrap_or_default().to_vec(),
            Rows::Records(ids) => {
                let ids = ids.get(from..to).unwrap_or_default().to_vec();
                ids.iter()
                    .filter_map(|id| {
                        self.shown(cursor.place, id, &cursor.shape, asked.version, cursor)
                    })
                    .collect()
            }
        };
        let done = to == cursor.len();
        let next = match done {
            true => String::new(),
            false => format!(
                ",\"nextRecordsUrl\":\"/services/data/v{}.0/query/{id}-{to}\"",
                asked.version
            ),
        };
        format!(
            "{{\"totalSize\":{},\"done\":{done}{next},\"records\":[{}]}}",
            cursor.len(),
            records.join(",")
        )
    }

    /// All that a query finds as CSV, for a query job.
    pub(super) fn query_csv(
        &mut self,
        text: &str,
        all: bool,
        now: DateTime<Utc>,
    ) -> Result<(String, usize), ApiError> {
        let query = parse(text)?;
        let place = self.queried(&query.from, text)?;
        let mut paths = Vec::new();
        for selected in self.expanded(&query, place) {
            let Selected::Field(name) = selected else {
                return Err(ApiError::new(
                    400,
                    "INVALIDJOB",
                    "Aggregate queries are not supported in query jobs",
                ));
            };
            paths.push((name.text(), self.path(place, &name, text)?));
        }
        let found = self.found(&query, place, text, all, now)?;
        let mut csv = String::new();
        let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let header: Vec<String> = paths.iter().map(|(name, _)| quoted(name)).collect();
        csv += &(header.join(",") + "\n");
        for id in &found {
            let Some(record) = self.at(place).record(id) else {
                continue;
            };
            let cells: Vec<String> = paths
                .iter()
                .map(|(_, path)| quoted(&to_cell(self.at_path(record, place, path), &path.field)))
                .collect();
            csv += &(cells.join(",") + "\n");
        }
        Ok((csv, found.len()))
    }

    /// What a field of the records holds that a query in another one finds.
    pub(super) fn keys_of(
        &mut self,
        query: &Query,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<HashSet<String>, QueryError> {
        let place = self.queried(&query.from, text)?;
        let [Selected::Field(name)] = query.select.as_slice() else {
            return Err(QueryError::malformed("an inner query selects one field"));
        };
        let path = self.path(place, name, text)?;
        let found = self.found(query, place, text, false, now)?;
        let records = found.iter().filter_map(|id| self.at(place).record(id));
        Ok(records
            .filter_map(|record| self.at_path(record, place, &path))
            .map(|held| held.key(path.field.case_sensitive))
            .collect())
    }

    fn queried(&self, name: &Name, text: &str) -> Result<usize, QueryError> {
        let place = self
            .table(&name.text())
            .filter(|place| self.at(*place).object.allows("queryable"));
        place.ok_or_else(|| {
            let what = ApiError::no_object(&name.text()).message;
            QueryError::at(text, name.at, "INVALID_TYPE", &what)
        })
    }

    fn cursor(
        &mut self,
        query: &Query,
        place: usize,
        asked: Asked<'_>,
    ) -> Result<Cursor, ApiError> {
        let has_aggregates = query
            .select
            .iter()
            .any(|selected| matches!(selected, Selected::Aggregate { .. }));
        let rows = if has_aggregates || !query.group_by.is_empty() {
            Rows::Groups(self.groups(query, place, asked)?)
        } else {
            Rows::Records(self.found(query, place, asked.text, asked.all, asked.now)?)
        };
        let shape = match &rows {
            Rows::Groups(_) => Shape::default(),
            Rows::Records(_) => self.shape(query, place, asked.text)?,
        };
        Ok(Cursor {
            text: asked.text.to_owned(),
            place,
            shape,
            rows,
            now: asked.now,
        })
    }

    /// Ids of the records that a query finds, in its order and within its bounds.
    fn found(
        &mut self,
        query: &Query,
        place: usize,
        text: &str,
        all: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<Arc<str>>, QueryError> {
        if query.offset > OFFSET_MAX {
            return Err(QueryError {
                code: "NUMBER_OUTSIDE_VALID_RANGE",
                message: format!("Maximum SOQL offset allowed is {OFFSET_MAX}"),
            });
        }
        let mut reading = Reading {
            org: self,
            place,
            text,
            now,
        };
        let test = query
            .condition
            .as_ref()
            .map(|condition| reading.test(condition))
            .transpose()?;
        let order = self.order(query, place, text)?;
        let all = all || query.all_rows;
        let mut found = self.passing(place, test.as_ref(), all);
        if !order.is_empty() {
            self.sort(&mut found, place, &order);
        }
        let found = found.into_iter().skip(query.offset);
        Ok(match query.limit {
            Some(limit) => found.take(limit).collect(),
            None => found.collect(),
        })
    }

    fn order(
        &self,
        query: &Query,
        place: usize,
        text: &str,
    ) -> Result<Vec<(Path, bool, bool)>, QueryError> {
        let order = query.order.iter().map(|order| {
            let path = self.path(place, &order.field, text)?;
            match path.field.sortable {
                true => Ok((path, order.descending, order.nulls_last)),
                false => {
                    let what = format!(
                        "field '{}' can not be sorted in a query call",
                        path.field.name
                    );
                    Err(QueryError::at(text, order.field.at, "INVALID_FIELD", &what))
                }
            }
        });
        order.collect()
    }

    fn sort(&self, found: &mut [Arc<str>], place: usize, order: &[(Path, bool, bool)]) {
        let held = |id: &Arc<str>, path: &Path| {
            let record = self.at(place).record(id);
            record
                .and_then(|record| self.at_path(record, place, path))
                .cloned()
        };
        found.sort_by(|left, right| {
            let mut by_each = order.iter().map(|(path, descending, nulls_last)| {
                let empty_last = if *nulls_last {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                };
                match (held(left, path), held(right, path)) {
                    (Some(left), Some(right)) => {
                        let order = left.order(&right, path.field.case_sensitive);
                        if *descending { order.reverse() } else { order }
                    }
                    (None, None) => std::cmp::Ordering::Equal,
                    (Some(_), None) => empty_last,
                    (None, Some(_)) => empty_last.reverse(),
                }
            });
            by_each
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }

    /// Ids of the records that pass, in the order of their ids.
    fn passing(&mut self, place: usize, test: Option<&Test>, all: bool) -> Vec<Arc<str>> {
        let candidates = test.and_then(|test| self.candidates(place, test));
        let table = self.at(place);
        let passes = |record: &Record| {
            (all || !table.is_deleted(record))
                && test.is_none_or(|test| self.passes(record, place, test))
        };
        match candidates {
            Some(ids) => {
                let found = ids
                    .into_iter()
                    .filter(|id| table.record(id).is_some_and(passes));
                found.collect()
            }
            None => table
                .records()
                .filter(|(_, record)| passes(record))
                .map(|(id, _)| Arc::clone(id))
                .collect(),
        }
    }

    /// Ids among which those that pass are, where an index tells.
    fn candidates(&mut self, place: usize, test: &Test) -> Option<Vec<Arc<str>>> {
        match test {
            Test::And(all) => all.iter().find_map(|one| self.candidates(place, one)),
            Test::Among {
                path,
                keys,
                null: false,
                negated: false,
            } => {
                let field = path.own?;
                if path.field.kind == FieldKind::Id {
                    let table = self.at(place);
                    let mut ids: Vec<Arc<str>> =
                        keys.iter().filter_map(|id| table.known(id)).collect();
                    ids.sort();
                    return Some(ids);
                }
                if matches!(path.field.kind, FieldKind::Boolean) {
                    return None;
                }
                self.at_mut(place).index(field);
                let table = self.at(place);
                let found = keys
                    .iter()
                    .filter_map(|key| table.found(field, key))
                    .flatten();
                let mut ids: Vec<Arc<str>> = found.collect();
                ids.sort();
                ids.dedup();
                Some(ids)
            }
            Test::Or(_)
            | Test::Not(_)
            | Test::Among { .. }
            | Test::Order { .. }
            | Test::Within { .. }
            | Test::Like { .. }
            | Test::Holds { .. } => None,
        }
    }

    /// What is selected, with `FIELDS(…)` as the fields that it stands for.
    fn expanded(&self, query: &Query, place: usize) -> Vec<Selected> {
        let object = self.object(place);
        let fields_of = |group: Group| {
            let is_in = move |field: &&Field| match group {
                Group::All => true,
                Group::Standard => !field.custom,
                Group::Custom => field.custom,
            };
            let fields = object.fields.iter().filter(is_in);
            let names = fields.map(|field| Name {
                parts: vec![field.name.clone()],
                at: 0,
            });
            names.map(Selected::Field).collect::<Vec<_>>()
        };
        let all = query.select.iter().flat_map(|selected| match selected {
            Selected::Fields(group) => fields_of(*group),
            Selected::Field(_)
            | Selected::Count
            | Selected::Aggregate { .. }
            | Selected::Children(_) => {
                vec![selected.clone()]
            }
        });
        all.collect()
    }

    fn shape(&mut self, query: &Query, place: usize, text: &str) -> Result<Shape, ApiError> {
        let object = self.object(place);
        let mut shape = Shape::default();
        for selected in self.expanded(query, place) {
            match selected {
                Selected::Field(name) => {
                    self.path(place, &name, text)?;
                    let mut parts = name.parts.as_slice();
                    if let [first, rest @ ..] = parts
                        && !rest.is_empty()
                        && first.eq_ignore_ascii_case(&object.name)
                        && object.find_relationship(first).is_none()
                    {
                        parts = rest;
                    }
                    self.add_column(&mut shape, &object, parts);
                }
                Selected::Children(query) => {
                    shape.columns.push(self.children(&object, *query, text)?)
                }
                Selected::Count | Selected::Aggregate { .. } | Selected::Fields(_) => {
                    return Err(QueryError::malformed(
                        "Grouped query must use aggregate functions alone",
                    )
                    .into());
                }
            }
        }
        Ok(shape)
    }

    /// Adds a field, in the shape of the records that the path leads through.
    fn add_column(&self, shape: &mut Shape, object: &ObjectType, parts: &[String]) {
        let Some((first, rest)) = parts.split_first() else {
            return;
        };
        if rest.is_empty() {
            let name = object
                .named(first)
                .map_or_else(|| first.clone(), |field| field.name.clone());
            let is_new = !shape
                .columns
                .iter()
                .any(|column| matches!(column, Column::Field(known) if *known == name));
            if is_new {
                shape.columns.push(Column::Field(name));
            }
            return;
        }
        let Some(field) = object
            .find_relationship(first)
            .map(|index| object.field(index))
        else {
            return;
        };
        let name = field.relationship.clone().unwrap_or_default();
        let parent = field.reference_to.iter().find_map(|of| self.table(of));
        let Some(parent) = parent.map(|place| self.object(place)) else {
            return;
        };
        let known = shape.columns.iter().position(
            |column| matches!(column, Column::Parent { relationship, .. } if *relationship == name),
        );
        let at = known.unwrap_or_else(|| {
            shape.columns.push(Column::Parent {
                relationship: name,
                field: field.name.clone(),
                shape: Shape::default(),
            });
            shape.columns.len() - 1
        });
        if let Some(Column::Parent { shape, .. }) = shape.columns.get_mut(at) {
            self.add_column(shape, &parent, rest);
        }
    }

    /// The records that lead here by a reference, by the name of the relationship to many.
    fn children(
        &mut self,
        object: &ObjectType,
        query: Query,
        text: &str,
    ) -> Result<Column, ApiError> {
        let name = query.from.text();
        let found = self.child_of(object, &name);
        let (place, field) = found.ok_or_else(|| {
            let what =
                format!("Didn't understand relationship '{name}' in FROM part of query call.");
            ApiError::from(QueryError::at(text, query.from.at, "INVALID_TYPE", &what))
        })?;
        self.shape(&query, place, text)?;
        Ok(Column::Children {
            relationship: name,
            place,
            field,
            query: Box::new(query),
        })
    }

    /// The object of a relationship to many, and its field that leads here.
    pub(super) fn child_of(&self, object: &ObjectType, name: &str) -> Option<(usize, usize)> {
        let told = object
            .describe
            .get("childRelationships")
            .and_then(|told| told.as_array());
        let told = told.into_iter().flatten().find_map(|told| {
            let is_it = told
                .get("relationshipName")?
                .as_str()?
                .eq_ignore_ascii_case(name);
            let child = told.get("childSObject")?.as_str()?;
            let field = told.get("field")?.as_str()?;
            is_it.then(|| (child.to_owned(), field.to_owned()))
        });
        let usual = || {
            let tables = self.tables.iter();
            tables.map(|table| &table.object).find_map(|child| {
                let plural = child
                    .describe
                    .get("labelPlural")
                    .and_then(|label| label.as_str());
                let is_it = plural.is_some_and(|plural| plural.eq_ignore_ascii_case(name));
                let leads_here = |field: &&Field| field.reference_to.contains(&object.name);
                let field = child.fields.iter().find(leads_here).filter(|_| is_it)?;
                Some((child.name.clone(), field.name.clone()))
            })
        };
        let (child, field) = told.or_else(usual)?;
        let place = self.table(&child)?;
        Some((place, self.at(place).object.find(&field)?))
    }

    /// A record in the shape that was asked for, as JSON.
    fn shown(
        &mut self,
        place: usize,
        id: &str,
        shape: &Shape,
        version: u32,
        cursor: &Cursor,
    ) -> Option<String> {
        let object = self.object(place);
        let record = self.at(place).record(id)?.clone();
        let mut parts = vec![attributes(&object, id, version)];
        for column in &shape.columns {
            let (name, value) = match column {
                Column::Field(name) => (name, self.field_json(place, &record, name)),
                Column::Parent {
                    relationship,
                    field,
                    shape,
                } => {
                    let parent = self
                        .held(place, &record, field)
                        .and_then(Held::as_text)
                        .map(str::to_owned);
                    let of = parent.as_deref().and_then(|parent| self.place_of(parent));
                    let shown = of
                        .zip(parent)
                        .and_then(|(of, parent)| self.shown(of, &parent, shape, version, cursor));
                    (relationship, shown.unwrap_or_else(|| "null".to_owned()))
                }
                Column::Children {
                    relationship,
                    place,
                    field,
                    query,
                } => (
                    relationship,
                    self.children_json(id, *place, *field, query, version, cursor),
                ),
            };
            parts.push(format!("{}:{value}", json_text(name)));
        }
        Some(format!("{{{}}}", parts.join(",")))
    }

    fn children_json(
        &mut self,
        id: &str,
        place: usize,
        field: usize,
        query: &Query,
        version: u32,
        cursor: &Cursor,
    ) -> String {
        let all = self
            .found(query, place, &cursor.text, false, cursor.now)
            .unwrap_or_default();
        let is_child = |child: &Arc<str>| {
            let held = self
                .at(place)
                .record(child)
                .and_then(|record| record.get(field));
            held.and_then(Held::as_text) == Some(id)
        };
        let of: Vec<Arc<str>> = all.into_iter().filter(is_child).collect();
        let Ok(shape) = self.shape(query, place, &cursor.text) else {
            return "null".to_owned();
        };
        if of.is_empty() {
            return "null".to_owned();
        }
        let shown: Vec<String> = of
            .iter()
            .filter_map(|id| self.shown(place, id, &shape, version, cursor))
            .collect();
        format!(
            "{{\"totalSize\":{},\"done\":true,\"records\":[{}]}}",
            shown.len(),
            shown.join(",")
        )
    }

    /// A field of a record as JSON; an address is put together from its parts.
    pub(super) fn field_json(&self, place: usize, record: &Record, name: &str) -> String {
        let object = &self.at(place).object;
        let Some(index) = object.find(name) else {
            return "null".to_owned();
        };
        let field = object.field(index);
        if field.type_name == "address" {
            return self.address_json(place, record, name);
        }
        to_json(record.get(index), field)
    }

    fn address_json(&self, place: usize, record: &Record, name: &str) -> String {
        let before = name.strip_suffix("Address").unwrap_or(name);
        let parts = [
            "City",
            "Country",
            "GeocodeAccuracy",
            "Latitude",
            "Longitude",
            "PostalCode",
            "State",
            "Street",
        ];
        let shown = parts.map(|part| {
            (
                part,
                self.field_json(place, record, &format!("{before}{part}")),
            )
        });
        if shown.iter().all(|(_, value)| value == "null") {
            return "null".to_owned();
        }
        let shown = shown.iter().map(|(part, value)| {
            let mut signs = part.chars();
            let first = signs.next().map(|sign| sign.to_ascii_lowercase());
            let key: String = first.into_iter().chain(signs).collect();
            format!("\"{key}\":{value}")
        });
        format!("{{{}}}", shown.collect::<Vec<_>>().join(","))
    }

    /// A whole record, or some of its fields, as JSON.
    pub(super) fn record_json(
        &self,
        place: usize,
        id: &str,
        names: &[String],
        version: u32,
    ) -> Option<String> {
        let object = self.object(place);
        let record = self.at(place).live(id)?;
        let parts =
            std::iter::once(attributes(&object, id, version)).chain(names.iter().map(|name| {
                let known = object
                    .named(name)
                    .map_or(name.as_str(), |field| field.name.as_str());
                format!(
                    "{}:{}",
                    json_text(known),
                    self.field_json(place, record, name)
                )
            }));
        Some(format!("{{{}}}", parts.collect::<Vec<_>>().join(",")))
    }

    /// One line for each group of records.
    fn groups(
        &mut self,
        query: &Query,
        place: usize,
        asked: Asked<'_>,
    ) -> Result<Vec<String>, ApiError> {
        let text = asked.text;
        let unbounded = Query {
            order: Vec::new(),
            limit: None,
            offset: 0,
            ..query.clone()
        };
        let found = self.found(&unbounded, place, text, asked.all, asked.now)?;
        let by: Vec<Path> = query
            .group_by
            .iter()
            .map(|name| self.path(place, name, text))
            .collect::<Result<_, _>>()?;
        let mut groups: BTreeMap<Vec<String>, Vec<Arc<str>>> = BTreeMap::new();
        if by.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        for id in found {
            let record = self.at(place).record(&id);
            let key = by.iter().map(|path| {
                let held = record.and_then(|record| self.at_path(record, place, path));
                held.map(|held| held.key(path.field.case_sensitive))
                    .unwrap_or_default()
            });
            groups.entry(key.collect()).or_default().push(id);
        }
        let mut lines = Vec::new();
        for ids in groups.values() {
            lines.push(self.group(query, place, text, ids)?);
        }
        let lines = lines.into_iter().skip(query.offset);
        Ok(match query.limit {
            Some(limit) => lines.take(limit).collect(),
            None => lines.collect(),
        })
    }

    fn group(
        &self,
        query: &Query,
        place: usize,
        text: &str,
        ids: &[Arc<str>],
    ) -> Result<String, ApiError> {
        let mut parts = vec!["\"attributes\":{\"type\":\"AggregateResult\"}".to_owned()];
        let mut unnamed = 0;
        for selected in &query.select {
            let (name, value) = match selected {
                Selected::Field(name) => {
                    let path = self.path(place, name, text)?;
                    let is_grouped = query
                        .group_by
                        .iter()
                        .any(|by| by.text().eq_ignore_ascii_case(&name.text()));
                    if !is_grouped {
                        let what = format!("Field must be grouped or aggregated: {}", name.last());
                        return Err(QueryError::at(text, name.at, "MALFORMED_QUERY", &what).into());
                    }
                    let record = ids.first().and_then(|id| self.at(place).record(id));
                    let held = record.and_then(|record| self.at_path(record, place, &path));
                    (path.field.name.clone(), to_json(held, &path.field))
                }
                Selected::Aggregate {
                    function,
                    of,
                    alias,
                } => {
                    let path = self.path(place, of, text)?;
                    let name = alias.clone().unwrap_or_else(|| {
                        unnamed += 1;
                        format!("expr{}", unnamed - 1)
                    });
                    (name, self.aggregate(*function, &path, place, ids))
                }
                Selected::Count | Selected::Fields(_) | Selected::Children(_) => {
                    return Err(QueryError::malformed("unexpected token: 'COUNT'").into());
                }
            };
            parts.push(format!("{}:{value}", json_text(&name)));
        }
        Ok(format!("{{{}}}", parts.join(",")))
    }

    fn aggregate(&self, function: Function, path: &Path, place: usize, ids: &[Arc<str>]) -> String {
        let records = ids.iter().filter_map(|id| self.at(place).record(id));
        let held: Vec<&Held> = records
            .filter_map(|record| self.at_path(record, place, path))
            .collect();
        let numbers = held.iter().filter_map(|held| match held {
            Held::Number(number) => Some(*number),
            Held::Text(_) | Held::Boolean(_) | Held::Moment(_) => None,
        });
        let sensitive = path.field.case_sensitive;
        match function {
            Function::Count => held.len().to_string(),
            Function::CountDistinct => {
                let keys: HashSet<String> = held.iter().map(|held| held.key(sensitive)).collect();
                keys.len().to_string()
            }
            Function::Min => to_json(
                held.iter().min_by(|a, b| a.order(b, sensitive)).copied(),
                &path.field,
            ),
            Function::Max => to_json(
                held.iter().max_by(|a, b| a.order(b, sensitive)).copied(),
                &path.field,
            ),
            Function::Sum | Function::Avg if held.is_empty() => "null".to_owned(),
            Function::Sum => format!("{:?}", numbers.sum::<f64>()),
            Function::Avg => {
                #[expect(clippy::cast_precision_loss, reason = "a count of records in memory")]
                let count = held.len() as f64;
                format!("{:?}", numbers.sum::<f64>() / count)
            }
        }
    }
}

fn attributes(object: &ObjectType, id: &str, version: u32) -> String {
    format!(
        "\"attributes\":{{\"type\":{},\"url\":\"/services/data/v{version}.0/sobjects/{}/{id}\"}}",
        json_text(&object.name),
        object.name
    )
}
