//! The search. Its index is behind: what it shows is what records hold now, found by what they held
//! then, and what is gone meanwhile is counted and not shown.
//! Source: <https://developers.hubspot.com/docs/api-reference/search/guide>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::errors::ApiError;
use super::object::ObjectType;
use super::portal::Portal;
use super::read::{Done, text_of, texts_of, told};
use super::table::ID;
use crate::practice::call::{Answer, Call};

const PAGE_MAX: usize = 200;
const RESULTS_MAX: usize = 10_000;
const GROUPS_MAX: usize = 5;
const FILTERS_MAX: usize = 6;
const ALL_FILTERS_MAX: usize = 18;
const BODY_CHARACTERS_MAX: usize = 3_000;

/// One condition.
struct Filter {
    property: String,
    operator: String,
    value: String,
    high: String,
    values: Vec<String>,
}

impl Filter {
    fn read(told: &Value, object: &ObjectType) -> Result<Self, ApiError> {
        let text = |name: &str| text_of(told, name).unwrap_or_default();
        let property = text("propertyName");
        if !object.properties.contains_key(&property) {
            return Err(ApiError::validation(format!(
                "There was a problem with the request. Property {property} does not exist"
            )));
        }
        let values = texts_of(told, "values");
        let operator = text("operator");
        if matches!(operator.as_str(), "IN" | "NOT_IN") && values.is_empty() {
            return Err(ApiError::validation(format!("{operator} needs values")));
        }
        Ok(Self {
            operator,
            value: text("value"),
            high: text("highValue"),
            values,
            property,
        })
    }

    fn fits(&self, properties: &BTreeMap<String, String>, id: u64) -> Result<bool, ApiError> {
        let own_id = id.to_string();
        let held = match self.property.as_str() {
            ID => Some(own_id.as_str()),
            name => properties.get(name).map(String::as_str),
        };
        let order = |value: &str| held.map(|held| compared(held, value));
        let is = |value: &str| held.is_some_and(|held| held.eq_ignore_ascii_case(value));
        let has_word = || {
            let wanted = self.value.trim_matches('*').to_lowercase();
            held.is_some_and(|held| held.to_lowercase().contains(&wanted))
        };
        Ok(match self.operator.as_str() {
            "EQ" => is(&self.value),
            "NEQ" => held.is_some() && !is(&self.value),
            "LT" => order(&self.value).is_some_and(|order| order.is_lt()),
            "LTE" => order(&self.value).is_some_and(|order| order.is_le()),
            "GT" => order(&self.value).is_some_and(|order| order.is_gt()),
            "GTE" => order(&self.value).is_some_and(|order| order.is_ge()),
            "BETWEEN" => {
                order(&self.value).is_some_and(|order| order.is_ge())
                    && order(&self.high).is_some_and(|order| order.is_le())
            }
            "IN" => self.values.iter().any(|value| is(value)),
            "NOT_IN" => held.is_some() && !self.values.iter().any(|value| is(value)),
            "HAS_PROPERTY" => held.is_some(),
            "NOT_HAS_PROPERTY" => held.is_none(),
            "CONTAINS_TOKEN" => has_word(),
            "NOT_CONTAINS_TOKEN" => held.is_some() && !has_word(),
            other => {
                return Err(ApiError::validation(format!(
                    "Invalid input JSON: `{other}` is no operator"
                )));
            }
        })
    }
}

/// By number where both are one.
fn compared(held: &str, value: &str) -> std::cmp::Ordering {
    match (held.parse::<f64>(), value.parse::<f64>()) {
        (Ok(held), Ok(value)) => held.total_cmp(&value),
        _ => held.cmp(value),
    }
}

/// Groups of conditions, all of one of which have to fit.
fn groups(body: &Value, object: &ObjectType) -> Result<Vec<Vec<Filter>>, ApiError> {
    let list = |value: &Value, name: &str| {
        let list = value.get(name).and_then(Value::as_array).cloned();
        list.unwrap_or_default()
    };
    let mut groups = Vec::new();
    for group in list(body, "filterGroups") {
        let filters = list(&group, "filters");
        let filters: Result<Vec<Filter>, ApiError> = filters
            .iter()
            .map(|filter| Filter::read(filter, object))
            .collect();
        groups.push(filters?);
    }
    let all: usize = groups.iter().map(Vec::len).sum();
    let too_many = groups.len() > GROUPS_MAX
        || groups.iter().any(|group| group.len() > FILTERS_MAX)
        || all > ALL_FILTERS_MAX;
    match too_many {
        true => Err(ApiError::validation(
            "There was a problem with the request: too many filters",
        )),
        false => Ok(groups),
    }
}

impl Portal {
    /// `POST /crm/objects/…/search`.
    pub(super) fn search(&self, place: usize, call: &Call) -> Done {
        let body: Value = serde_json::from_slice(&call.body)
            .map_err(|error| ApiError::unreadable_json(&error.to_string()))?;
        let query = text_of(&body, "query").unwrap_or_default();
        if query.chars().count() > BODY_CHARACTERS_MAX {
            return Err(ApiError::validation("The query is too long"));
        }
        let object = self.object(place);
        let groups = groups(&body, &object)?;
        let limit = body.get("limit").and_then(Value::as_u64).unwrap_or(10);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit > PAGE_MAX {
            return Err(ApiError::validation(format!(
                "The limit is {PAGE_MAX} but was {limit}"
            )));
        }
        let after = match body.get("after") {
            None | Some(Value::Null) => 0,
            Some(after) => after
                .as_str()
                .and_then(|after| after.parse::<usize>().ok())
                .or_else(|| usize::try_from(after.as_u64()?).ok())
                .ok_or_else(|| ApiError::validation("after is not a number"))?,
        };
        if after + limit > RESULTS_MAX {
            return Err(ApiError::validation(format!(
                "The maximum number of results is {RESULTS_MAX}"
            )));
        }
        let time = self.indexed_at(call.now);
        let mut found = Vec::new();
        for (id, record) in self.at(place).records() {
            let Some(seen) = record.seen_at(time) else {
                continue;
            };
            if is_found(&groups, &query, seen, id)? {
                found.push((id, record));
            }
        }
        let wanted = texts_of(&body, "properties");
        let shown = found.iter().skip(after).take(limit);
        let results: Vec<Value> = shown
            .filter(|(_, record)| !record.archived)
            .map(|(id, record)| told(&object, *id, record, &wanted))
            .collect();
        let mut answer = json!({ "total": found.len(), "results": results });
        if after + limit < found.len()
            && let Some(fields) = answer.as_object_mut()
        {
            let next = (after + limit).to_string();
            fields.insert("paging".to_owned(), json!({ "next": { "after": next } }));
        }
        Ok(Answer::json(200, answer.to_string()))
    }
}

fn is_found(
    groups: &[Vec<Filter>],
    query: &str,
    seen: &BTreeMap<String, String>,
    id: u64,
) -> Result<bool, ApiError> {
    let query = query.to_lowercase();
    let has_word = query.is_empty()
        || seen
            .values()
            .any(|held| held.to_lowercase().contains(&query));
    if !has_word || groups.is_empty() {
        return Ok(has_word);
    }
    for group in groups {
        let mut fits = true;
        for filter in group {
            fits = fits && filter.fits(seen, id)?;
        }
        if fits {
            return Ok(true);
        }
    }
    Ok(false)
}
