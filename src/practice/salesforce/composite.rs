//! Several requests in one: `/composite`, `/composite/graph`, `/composite/batch`,
//! `/composite/tree/X`. Source: "Composite" of the REST API guide.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::errors::{ApiError, RowError};
use super::org::Org;
use super::rest::Caller;
use super::rows::object_body;
use super::settings::Event;
use super::write::WriteError;
use crate::practice::call::{Answer, Call, Verb};

const REQUESTS_MAX: usize = 25;
/// Queries and collections among them.
const HEAVY_MAX: usize = 5;
const GRAPHS_MAX: usize = 75;
const NODES_MAX: usize = 500;
const TREE_RECORDS_MAX: usize = 200;

/// Headers that a request within another one cannot bring.
const CLOSED_HEADERS: [&str; 3] = ["accept", "authorization", "content-type"];

type Answered = Result<Answer, ApiError>;

/// A request within another one.
struct Part {
    call: Call,
    reference: String,
    body: Option<Value>,
    url: String,
}

#[derive(Serialize)]
struct PartAnswer {
    body: Option<Box<RawValue>>,
    #[serde(rename = "httpHeaders")]
    headers: Map<String, Value>,
    #[serde(rename = "httpStatusCode")]
    status: u16,
    #[serde(rename = "referenceId")]
    reference: String,
}

impl PartAnswer {
    fn is_failed(&self) -> bool {
        self.status >= 400 || self.status == 300
    }

    fn halted(reference: &str, message: &str) -> Self {
        let error = ApiError::new(400, "PROCESSING_HALTED", message);
        Self {
            body: raw(json!([error.value()]).to_string()),
            headers: Map::new(),
            status: 400,
            reference: reference.to_owned(),
        }
    }
}

fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "INVALID_INPUT", message)
}

impl Org {
    /// `POST /composite`.
    pub(super) fn composite(&mut self, call: &Call, caller: &Caller) -> Answered {
        let body = object_body(call)?;
        let parts = parts(call, body.get("compositeRequest"))?;
        if parts.len() > REQUESTS_MAX {
            let message =
                format!("Cannot have more than {REQUESTS_MAX} requests in a composite operation.");
            return Err(ApiError::new(400, "LIMIT_EXCEEDED", message));
        }
        if parts.iter().filter(|part| is_heavy(&part.url)).count() > HEAVY_MAX {
            let message = format!(
                "Cannot have more than {HEAVY_MAX} query or sObject collections requests in a composite operation."
            );
            return Err(ApiError::new(400, "LIMIT_EXCEEDED", message));
        }
        let all_or_none = body
            .get("allOrNone")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let answers = self.carry_out(parts, caller, all_or_none);
        let told = json(&BTreeMap::from([("compositeResponse", answers)]));
        Ok(Answer::json(200, told))
    }

    /// `POST /composite/graph`: each graph as a whole or not at all.
    pub(super) fn graphs(&mut self, call: &Call, caller: &Caller) -> Answered {
        #[derive(Serialize)]
        struct GraphAnswer {
            #[serde(rename = "graphId")]
            id: String,
            #[serde(rename = "graphResponse")]
            response: BTreeMap<&'static str, Vec<PartAnswer>>,
            #[serde(rename = "isSuccessful")]
            successful: bool,
        }
        let body = object_body(call)?;
        let graphs = body
            .get("graphs")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if graphs.is_empty() {
            return Err(invalid("No graphs were specified."));
        }
        if graphs.len() > GRAPHS_MAX {
            return Err(ApiError::new(
                400,
                "LIMIT_EXCEEDED",
                format!("Cannot have more than {GRAPHS_MAX} graphs in a request."),
            ));
        }
        let mut read = Vec::new();
        for graph in &graphs {
            let id = graph
                .get("graphId")
                .and_then(Value::as_str)
                .unwrap_or_default();
            read.push((id.to_owned(), parts(call, graph.get("compositeRequest"))?));
        }
        if read.iter().map(|(_, parts)| parts.len()).sum::<usize>() > NODES_MAX {
            return Err(ApiError::new(
                400,
                "LIMIT_EXCEEDED",
                format!("Cannot have more than {NODES_MAX} nodes in a request."),
            ));
        }
        let mut answers = Vec::new();
        for (id, parts) in read {
            let answered = self.carry_out(parts, caller, true);
            answers.push(GraphAnswer {
                id,
                successful: !answered.iter().any(PartAnswer::is_failed),
                response: BTreeMap::from([("compositeResponse", answered)]),
            });
        }
        Ok(Answer::json(
            200,
            json(&BTreeMap::from([("graphs", answers)])),
        ))
    }

    fn carry_out(
        &mut self,
        parts: Vec<Part>,
        caller: &Caller,
        all_or_none: bool,
    ) -> Vec<PartAnswer> {
        let mark = self.mark();
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        let mut answers: Vec<PartAnswer> = Vec::new();
        let mut has_failed = false;
        for part in parts {
            let answer = match has_failed && all_or_none {
                true => PartAnswer::halted(
                    &part.reference,
                    "The transaction was rolled back since another operation in the same transaction failed.",
                ),
                false => self.carry_out_one(&part, caller, &known),
            };
            if answer.is_failed() {
                has_failed = true;
            } else if let Some(body) = &answer.body {
                known.insert(
                    part.reference.clone(),
                    serde_json::from_str(body.get()).unwrap_or_default(),
                );
            }
            answers.push(answer);
        }
        if has_failed && all_or_none {
            self.roll_back(mark);
            for answer in answers.iter_mut().filter(|answer| !answer.is_failed()) {
                *answer = PartAnswer::halted(
                    &answer.reference,
                    "The transaction was rolled back since another operation in the same transaction failed.",
                );
            }
        }
        answers
    }

    fn carry_out_one(
        &mut self,
        part: &Part,
        caller: &Caller,
        known: &BTreeMap<String, Value>,
    ) -> PartAnswer {
        let filled = filled(&part.url, known).and_then(|url| {
            let body = part
                .body
                .as_ref()
                .map(|body| filled_value(body, known))
                .transpose()?;
            Ok((url, body))
        });
        let (url, body) = match filled {
            Ok(filled) => filled,
            Err(missing) => return PartAnswer::halted(&part.reference, &missing),
        };
        let mut call = Call::new(part.call.method, &url, part.call.now);
        call.headers = part.call.headers.clone();
        call.hindrance = part.call.hindrance.clone();
        call.body = body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default();
        let answer = self.within(&call, caller);
        let location = answer
            .header("Location")
            .map(|place| ("Location".to_owned(), Value::from(place)));
        PartAnswer {
            status: answer.status,
            headers: location.into_iter().collect(),
            body: String::from_utf8(answer.body).ok().and_then(raw),
            reference: part.reference.clone(),
        }
    }

    /// `POST /composite/batch`: independent requests, each counted.
    pub(super) fn batch(&mut self, call: &Call, caller: &Caller) -> Answered {
        #[derive(Serialize)]
        struct Result {
            #[serde(rename = "statusCode")]
            status: u16,
            result: Option<Box<RawValue>>,
        }
        #[derive(Serialize)]
        struct Results {
            #[serde(rename = "hasErrors")]
            has_errors: bool,
            results: Vec<Result>,
        }
        let body = object_body(call)?;
        let requests = body
            .get("batchRequests")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if requests.is_empty() || requests.len() > REQUESTS_MAX {
            return Err(ApiError::new(
                400,
                "LIMIT_EXCEEDED",
                format!("A batch has 1 to {REQUESTS_MAX} requests."),
            ));
        }
        let halts = body
            .get("haltOnError")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let mut results: Vec<Result> = Vec::new();
        let mut has_errors = false;
        for request in requests {
            if has_errors && halts {
                let error = ApiError::new(
                    412,
                    "BATCH_PROCESSING_HALTED",
                    "Batch processing halted per request",
                );
                results.push(Result {
                    status: 412,
                    result: raw(json!([error.value()]).to_string()),
                });
                continue;
            }
            let text = |name: &str| {
                request
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let url = text("url");
            let url = match url.trim_start_matches('/') {
                url if url.starts_with("services/") => format!("/{url}"),
                url => format!("/services/data/{url}"),
            };
            let method = Verb::named(text("method")).unwrap_or(Verb::Get);
            let mut inner = Call::new(method, &url, call.now);
            inner.headers = call.headers.clone();
            inner.hindrance = call.hindrance.clone();
            let rich = request.get("richInput");
            inner.body = rich
                .map(|rich| rich.to_string().into_bytes())
                .unwrap_or_default();
            self.count_calls(1, call.now);
            let answer = self.within(&inner, caller);
            has_errors |= answer.status >= 400;
            results.push(Result {
                status: answer.status,
                result: String::from_utf8(answer.body).ok().and_then(raw),
            });
        }
        let told = Results {
            has_errors,
            results,
        };
        Ok(Answer::json(200, json(&told)))
    }

    /// `POST /composite/tree/X`: records with those that belong to them, all or none.
    pub(super) fn tree(&mut self, call: &Call, caller: &Caller, place: usize) -> Answered {
        let body = object_body(call)?;
        let records = body
            .get("records")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let mark = self.mark();
        let mut results = Vec::new();
        let mut failed = Vec::new();
        for record in &records {
            self.plant(call, caller, place, record, None, &mut results, &mut failed)?;
        }
        if results.len() + failed.len() > TREE_RECORDS_MAX {
            self.roll_back(mark);
            let message = format!("Cannot have more than {TREE_RECORDS_MAX} records in a tree.");
            return Err(ApiError::new(400, "LIMIT_EXCEEDED", message));
        }
        if failed.is_empty() && !results.is_empty() {
            return Ok(Answer::json(
                201,
                json!({ "hasErrors": false, "results": results }).to_string(),
            ));
        }
        self.roll_back(mark);
        Ok(Answer::json(
            400,
            json!({ "hasErrors": true, "results": failed }).to_string(),
        ))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a tree is walked with all that it gathers"
    )]
    fn plant(
        &mut self,
        call: &Call,
        caller: &Caller,
        place: usize,
        record: &Value,
        parent: Option<(usize, &str)>,
        results: &mut Vec<Value>,
        failed: &mut Vec<Value>,
    ) -> Result<(), ApiError> {
        let told = record
            .get("attributes")
            .and_then(|told| told.get("referenceId"));
        let reference = told.and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = record.as_object().cloned().unwrap_or_default();
        let children: Vec<(String, Value)> = fields
            .iter()
            .filter(|(_, value)| value.get("records").is_some())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        fields.retain(|_, value| value.get("records").is_none());
        let made = self
            .given(place, &fields, Event::Insert)
            .and_then(|mut given| {
                if let Some((field, id)) = parent {
                    given.push((field, Some(super::value::Held::text(id))));
                }
                Ok(self.insert(place, given, &caller.wishes(call, results.len()))?)
            });
        let id = match made {
            Ok(id) => id,
            Err(WriteError::Request(error)) => return Err(error),
            Err(WriteError::Row(error)) => {
                failed.push(json!({ "referenceId": reference, "errors": [error.value()] }));
                return Ok(());
            }
        };
        results.push(json!({ "referenceId": reference, "id": id }));
        for (name, value) in children {
            let object = self.object(place);
            let found = self.child_of(&object, &name);
            let Some((child, field)) = found else {
                let message = format!("No such column '{name}' on sobject of type {}", object.name);
                let error = RowError::new("INVALID_FIELD", message, &[]);
                failed.push(json!({ "referenceId": reference, "errors": [error.value()] }));
                continue;
            };
            for record in value
                .get("records")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.plant(
                    call,
                    caller,
                    child,
                    record,
                    Some((field, &id)),
                    results,
                    failed,
                )?;
            }
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Whether a request is one of those of which there may be few.
fn is_heavy(url: &str) -> bool {
    url.contains("/query") || url.contains("/composite/sobjects")
}

fn parts(call: &Call, told: Option<&Value>) -> Result<Vec<Part>, ApiError> {
    let told = told
        .and_then(Value::as_array)
        .map_or(&[] as &[Value], Vec::as_slice);
    if told.is_empty() {
        return Err(invalid("No requests were specified."));
    }
    let mut parts: Vec<Part> = Vec::new();
    for told in told {
        let part = part(call, told)?;
        if parts.iter().any(|known| known.reference == part.reference) {
            return Err(invalid("Duplicate ReferenceId provided in the request."));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn part(call: &Call, told: &Value) -> Result<Part, ApiError> {
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let method = text("method")
        .and_then(Verb::named)
        .ok_or_else(|| invalid("The method of a request is missing or unknown."))?;
    let url = text("url").ok_or_else(|| invalid("The url of a request is missing."))?;
    let reference =
        text("referenceId").ok_or_else(|| invalid("The referenceId of a request is missing."))?;
    let mut inner = Call::new(method, url, call.now);
    inner.headers = call.headers.clone();
    inner.headers.retain(|(name, _)| !name.starts_with("if-"));
    for (name, value) in told
        .get("httpHeaders")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let name = name.to_lowercase();
        if CLOSED_HEADERS.contains(&name.as_str()) {
            return Err(invalid(format!(
                "The header {name} cannot be set in a request within a composite one."
            )));
        }
        if let Some(value) = value.as_str() {
            inner.headers.retain(|(known, _)| *known != name);
            inner.headers.push((name, value.to_owned()));
        }
    }
    inner.hindrance = call.hindrance.clone();
    Ok(Part {
        call: inner,
        reference: reference.to_owned(),
        body: told.get("body").cloned(),
        url: url.to_owned(),
    })
}

/// A text with what its `@{reference.path}` stand for. Errors: a request that failed is meant, or
/// something that it did not answer.
fn filled(text: &str, known: &BTreeMap<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        filled += before;
        let value = referred(name, known)?;
        filled += &value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        rest = after;
    }
    Ok(filled + rest)
}

fn filled_value(value: &Value, known: &BTreeMap<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::from(filled(text, known)?),
        Value::Array(values) => values
            .iter()
            .map(|value| filled_value(value, known))
            .collect::<Result<_, _>>()?,
        Value::Object(values) => Value::Object(
            values
                .iter()
                .map(|(name, value)| Ok((name.clone(), filled_value(value, known)?)))
                .collect::<Result<_, String>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// What `r1.id` or `r1.records[0].Id` stands for.
fn referred<'a>(name: &str, known: &'a BTreeMap<String, Value>) -> Result<&'a Value, String> {
    let (reference, path) = name.split_once(['.', '[']).unwrap_or((name, ""));
    let missing = || {
        format!(
            "Invalid reference specified. No value for {path} found in {reference}. Make sure that the field/index \
             specified exist in the reference object"
        )
    };
    let mut value = known.get(reference).ok_or_else(missing)?;
    let path = name.get(reference.len()..).unwrap_or_default();
    for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let next = match step.parse::<usize>() {
            Ok(place) => value.get(place),
            Err(_) => value.get(step),
        };
        value = next.ok_or_else(missing)?;
    }
    Ok(value)
}
