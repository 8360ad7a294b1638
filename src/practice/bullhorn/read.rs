//! Reading: records by id as they are, `search` as the index knows them, `query` as they are, lists.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::corporation::{Corporation, Held};
use super::errors::BullhornError;
use super::expression::Condition;
use super::fields::{Asked, parse_fields};
use super::lucene::parse_query;
use super::meta::{Entity, Field, FieldType, is_queried, is_searched};
use super::where_clause::parse_where;

/// Records of a page where nobody says how many, and at the most.
const COUNT_USUAL: usize = 20;
const COUNT_MAX: usize = 500;
/// Members of a list that stand within a record, where nobody says how many, and at the most.
const MEMBERS_USUAL: usize = 5;
const MEMBERS_MAX: usize = 10;
/// Pairs of an answer on associations.
const PAIRS_MAX: usize = 10_000;

/// What stands for a value that the user may not see.
pub(super) const CONFIDENTIAL: &str = "**CONFIDENTIAL**";

type Answered = Result<Value, BullhornError>;

/// What a call asks for: the query's parameters, or those of a body.
pub(super) struct Parameters(pub(super) Map<String, Value>);

impl Parameters {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name).filter(|value| !value.is_null())?;
        let text = value.as_str().map(str::to_owned);
        Some(text.unwrap_or_else(|| value.to_string()))
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.text(name)?.parse().ok()
    }
}

/// A part of what was found.
struct Page {
    start: usize,
    count: usize,
}

impl Page {
    fn of(parameters: &Parameters) -> Self {
        let count = parameters.number("count").unwrap_or(COUNT_USUAL);
        Self {
            start: parameters.number("start").unwrap_or_default(),
            count: count.min(COUNT_MAX),
        }
    }
}

impl Corporation {
    pub(super) fn entity(&self, name: &str) -> Result<&Entity, BullhornError> {
        let table = self.tables.get(name).map(|table| &table.entity);
        table.ok_or_else(|| {
            let message = format!("Invalid entity: {name}");
            BullhornError::bad("errors.unknownEntity", message)
        })
    }

    /// The fields that a call asks for. Errors: one is not there, or all are asked for where that is
    /// refused.
    fn asked(&self, entity: &Entity, parameters: &Parameters) -> Result<Vec<Asked>, BullhornError> {
        let text = parameters.text("fields").unwrap_or_else(|| "id".to_owned());
        if text.trim() == "*" {
            if entity.name == "JobSubmission" {
                let message = "You are not authorized to request all fields.";
                return Err(BullhornError::bad("errors.allFieldsNotAllowed", message));
            }
            let all = entity.fields.iter().map(|field| Asked {
                name: field.name.clone(),
                count: None,
                within: Vec::new(),
            });
            return Ok(all.collect());
        }
        let asked = parse_fields(&text).ok_or_else(|| {
            BullhornError::bad("errors.invalidFields", format!("Bad fields: {text}"))
        })?;
        for field in &asked {
            self.expect_field(&entity.name, field)?;
        }
        Ok(asked)
    }

    fn expect_field(&self, entity: &str, asked: &Asked) -> Result<(), BullhornError> {
        let name = &asked.name;
        if !self.has(entity, name) {
            let message = format!("Invalid field '{name}' for entity {entity}");
            return Err(BullhornError::bad("errors.invalidField", message));
        }
        let field = self
            .tables
            .get(entity)
            .and_then(|table| table.entity.field(name));
        let target = field.and_then(|field| field.target.as_deref());
        if let Some(target) = target.filter(|target| *target != "Person") {
            for within in &asked.within {
                self.expect_field(target, within)?;
            }
        }
        Ok(())
    }

    /// A record, as far as it is asked for.
    pub(super) fn shown(&self, entity: &str, id: u64, held: &Held, asked: &[Asked]) -> Value {
        let table = self.tables.get(entity);
        let mut shown = Map::new();
        for wanted in asked {
            let field = table.and_then(|table| table.entity.field(&wanted.name));
            let value = match field {
                Some(field) => self.shown_field(entity, id, held, field, wanted),
                None => Value::Null,
            };
            shown.insert(wanted.name.clone(), value);
        }
        shown.into()
    }

    fn shown_field(
        &self,
        entity: &str,
        id: u64,
        held: &Held,
        field: &Field,
        wanted: &Asked,
    ) -> Value {
        let value = held.get(&field.name).cloned().unwrap_or(Value::Null);
        match field.field_type {
            FieldType::Id => id.into(),
            FieldType::ToOne => match value.as_u64() {
                Some(reference) => self.shown_reference(field, reference, &wanted.within),
                None => Value::Null,
            },
            FieldType::ToMany => {
                let members = self.members(entity, id, field);
                let count = wanted.count.unwrap_or(MEMBERS_USUAL).min(MEMBERS_MAX);
                let some = members.iter().take(count);
                let data = some.map(|member| self.shown_reference(field, *member, &wanted.within));
                json!({ "total": members.len(), "data": data.collect::<Vec<Value>>() })
            }
            FieldType::Scalar | FieldType::Composite => {
                let hidden = field.is_confidential && !self.settings.api_user.views_confidential;
                match hidden && !value.is_null() {
                    true => CONFIDENTIAL.into(),
                    false => value,
                }
            }
        }
    }

    fn shown_reference(&self, field: &Field, id: u64, within: &[Asked]) -> Value {
        let table = field
            .target
            .as_deref()
            .and_then(|target| self.entity_of(target, id));
        let Some((table, row)) = table.and_then(|table| Some((table, table.rows.get(&id)?))) else {
            return json!({ "id": id });
        };
        let usual = ["id", "firstName", "lastName", "title"];
        let usual = usual.into_iter().filter(|name| table.entity.has(name));
        let usual: Vec<Asked> = usual
            .map(|name| Asked {
                name: name.to_owned(),
                count: None,
                within: Vec::new(),
            })
            .collect();
        let asked = if within.is_empty() { &usual } else { within };
        self.shown(&table.entity.name, id, &row.held, asked)
    }

    /// `entity/{entity}/{ids}`.
    pub(super) fn by_ids(&self, name: &str, ids: &str, parameters: &Parameters) -> Answered {
        let entity = self.entity(name)?;
        let asked = self.asked(entity, parameters)?;
        let wanted: Option<Vec<u64>> = ids.split(',').map(|id| id.parse().ok()).collect();
        let wanted = wanted
            .ok_or_else(|| BullhornError::bad("errors.invalidId", format!("Bad id: {ids}")))?;
        let count = Page::of(parameters)
            .count
            .max(usize::from(wanted.len() == 1));
        let found = wanted
            .iter()
            .filter_map(|id| Some((*id, self.row(name, *id)?)));
        let mut shown: Vec<Value> = found
            .take(count)
            .map(|(id, row)| self.shown(name, id, &row.held, &asked))
            .collect();
        match (wanted.as_slice(), shown.len()) {
            ([], _) | (_, 0) => {
                let id = wanted.first().copied().unwrap_or_default();
                Err(BullhornError::not_found(name, id))
            }
            ([_], _) => Ok(json!({ "data": shown.pop() })),
            // In any order.
            _ => {
                shown.reverse();
                Ok(json!({ "data": shown }))
            }
        }
    }

    /// `entity/{entity}/{id}/{list}`.
    pub(super) fn members_of(
        &self,
        name: &str,
        id: &str,
        list: &str,
        parameters: &Parameters,
    ) -> Answered {
        let entity = self.entity(name)?;
        let id: u64 = id
            .parse()
            .map_err(|_| BullhornError::bad("errors.invalidId", format!("Bad id: {id}")))?;
        if self.row(name, id).is_none() {
            return Err(BullhornError::not_found(name, id));
        }
        let field = entity
            .field(list)
            .filter(|field| field.field_type == FieldType::ToMany);
        let field = field.ok_or_else(|| {
            let message = format!("Invalid field '{list}' for entity {name}");
            BullhornError::bad("errors.invalidField", message)
        })?;
        let target = field.target.as_deref().unwrap_or_default();
        let asked = match self.tables.get(target) {
            Some(table) => self.asked(&table.entity, parameters)?,
            None => parse_fields("id").unwrap_or_default(),
        };
        let page = Page::of(parameters);
        let members = self.members(name, id, field);
        let some = members.iter().skip(page.start).take(page.count);
        let data: Vec<Value> = some
            .map(|member| self.shown_reference(field, *member, &asked))
            .collect();
        Ok(json!({ "start": page.start, "count": data.len(), "data": data }))
    }

    /// `association/{entity}/{list}`: pairs of ids.
    pub(super) fn associations(&self, name: &str, list: &str, parameters: &Parameters) -> Answered {
        let entity = self.entity(name)?;
        let field = entity
            .field(list)
            .filter(|field| field.field_type == FieldType::ToMany);
        let field = field.ok_or_else(|| {
            let message = format!("Invalid field '{list}' for entity {name}");
            BullhornError::bad("errors.invalidField", message)
        })?;
        let ids = parameters.0.get("ids").and_then(Value::as_array);
        let ids = ids.into_iter().flatten().filter_map(Value::as_u64);
        let pairs = ids.flat_map(|id| {
            let members = self.members(name, id, field);
            members.into_iter().map(move |member| json!([id, member]))
        });
        let pairs: Vec<Value> = pairs.collect();
        let count = parameters.number("count").unwrap_or(COUNT_USUAL);
        let start = parameters.number("start").unwrap_or_default();
        let some = pairs.iter().skip(start).take(count.min(PAIRS_MAX));
        let data: Vec<Value> = some.cloned().collect();
        Ok(json!({ "total": pairs.len(), "data": data }))
    }

    /// `search/{entity}`.
    pub(super) fn search(
        &self,
        name: &str,
        parameters: &Parameters,
        now: DateTime<Utc>,
    ) -> Answered {
        if !is_searched(name) {
            let message = format!("Unknown or unindexed entity: {name}");
            return Err(BullhornError::bad("errors.searchUnknownEntity", message));
        }
        let entity = self.entity(name)?;
        let asked = self.asked(entity, parameters)?;
        let Some(query) = parameters.text("query") else {
            let fields = entity.fields.iter();
            let fields: Vec<&str> = fields.map(|field| field.name.as_str()).collect();
            return Ok(json!({ "entity": name, "fields": fields }));
        };
        let condition = parse_query(&query);
        let rows = self.tables.get(name).map(|table| &table.rows);
        let finds_any = name != "Note" || self.settings.search.finds_notes;
        let rows = rows.into_iter().flatten().filter(|_| finds_any);
        let seen = rows.filter_map(|(id, row)| Some((*id, row, row.seen(now)?)));
        let found =
            seen.filter(|(id, _, seen)| condition.holds(&|path| self.value(name, *id, seen, path)));
        let mut found: Vec<(u64, &Held)> = found.map(|(id, row, _)| (id, &row.held)).collect();
        let order = parameters.text("sort").unwrap_or_else(|| "id".to_owned());
        self.sort(name, &mut found, &order);
        let mut told = self.page(name, &found, parameters, &asked, true);
        if let Some(told) = told.as_object_mut() {
            told.insert("total".to_owned(), found.len().into());
        }
        Ok(told)
    }

    /// `query/{entity}`.
    pub(super) fn query(&self, name: &str, parameters: &Parameters) -> Answered {
        if !is_queried(name) {
            let message = format!(
                "Query operation not supported for {name}, please use /search call instead."
            );
            return Err(BullhornError::bad("errors.queryIndexedEntity", message));
        }
        let entity = self.entity(name)?;
        let asked = self.asked(entity, parameters)?;
        let bad = |message: String| BullhornError::bad("errors.invalidQuery", message);
        let condition = match parameters.text("where") {
            Some(text) => parse_where(&text).map_err(bad)?,
            None => Condition::Anything,
        };
        for path in condition.properties() {
            if !self.has(name, path) {
                return Err(bad(format!("Invalid property '{path}' for entity {name}")));
            }
        }
        let rows = self.tables.get(name).map(|table| &table.rows);
        let rows = rows.into_iter().flatten();
        let found = rows
            .filter(|(id, row)| condition.holds(&|path| self.value(name, **id, &row.held, path)));
        let mut found: Vec<(u64, &Held)> = found.map(|(id, row)| (*id, &row.held)).collect();
        let order = parameters
            .text("orderBy")
            .unwrap_or_else(|| "id".to_owned());
        self.sort(name, &mut found, &order);
        let mut told = self.page(name, &found, parameters, &asked, false);
        let shows_total = parameters.text("showTotalMatched").as_deref() == Some("true");
        if let Some(told) = told.as_object_mut().filter(|_| shows_total) {
            told.insert("total".to_owned(), found.len().into());
        }
        Ok(told)
    }

    fn sort(&self, name: &str, found: &mut [(u64, &Held)], order: &str) {
        let (order, is_down) = match order.strip_prefix('-') {
            Some(order) => (order, true),
            None => (order, false),
        };
        found.sort_by(|(left_id, left), (right_id, right)| {
            let left = self.value(name, *left_id, left, order);
            let right = self.value(name, *right_id, right, order);
            let ordering = compared(&left, &right).then(left_id.cmp(right_id));
            if is_down {
                ordering.reverse()
            } else {
                ordering
            }
        });
    }

    fn page(
        &self,
        name: &str,
        found: &[(u64, &Held)],
        parameters: &Parameters,
        asked: &[Asked],
        is_search: bool,
    ) -> Value {
        let page = Page::of(parameters);
        let some = found.iter().skip(page.start).take(page.count);
        let shown = some.map(|(id, held)| {
            let mut shown = self.shown(name, *id, held, asked);
            if let Some(shown) = shown.as_object_mut().filter(|_| is_search) {
                shown.insert("_score".to_owned(), 1.0.into());
            }
            shown
        });
        let data: Vec<Value> = shown.collect();
        json!({ "start": page.start, "count": data.len(), "data": data })
    }

    /// `services/dataLoader/getByExternalID`: as they are, whatever the index knows.
    pub(super) fn by_external_id(&self, parameters: &Parameters) -> Answered {
        if !self.settings.api_user.loads_data {
            return Err(BullhornError::forbidden("SI DataLoader Administration"));
        }
        let name = parameters.text("entity").unwrap_or_default();
        let entity = self.entity(&name)?;
        if matches!(name.as_str(), "JobOrder" | "Lead" | "Opportunity") || !entity.has("externalID")
        {
            let message = format!("{name} has no external ID to be looked up by");
            return Err(BullhornError::bad("errors.unknownEntity", message));
        }
        let asked = self.asked(entity, parameters)?;
        let wanted = parameters.text("externalId").unwrap_or_default();
        let rows = self.tables.get(&name).map(|table| &table.rows);
        let found = rows.into_iter().flatten().filter(|(_, row)| {
            row.held.get("externalID").and_then(Value::as_str) == Some(wanted.as_str())
        });
        let shown: Vec<Value> = found
            .map(|(id, row)| self.shown(&name, *id, &row.held, &asked))
            .collect();
        Ok(shown.into())
    }
}

fn compared(left: &Value, right: &Value) -> Ordering {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        _ => left.to_string().cmp(&right.to_string()),
    }
}
