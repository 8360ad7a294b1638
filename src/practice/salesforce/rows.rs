//! Single records: `/sobjects/…`. Source: "sObject Rows", "sObject Rows by External ID" and
//! "Conditional Requests" of the REST API guide.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value, json};

use super::errors::{ApiError, RowError};
use super::org::Org;
use super::rest::Caller;
use super::settings::Event;
use super::value::{Held, from_text};
use super::write::{WriteError, several};
use crate::domain::salesforce_id::canonical_id;
use crate::practice::call::{Answer, Call, Verb};

/// The only object whose rows have a strong validator.
const GUARDED_BY_ETAG: &str = "Account";

/// The first version whose upserts tell in full what they did.
const TELLING_UPSERT: u32 = 46;

/// The first version in which an upsert can be kept from creating.
const UPDATE_ONLY: u32 = 61;

type Answered = Result<Answer, ApiError>;

/// A body that is one JSON object.
pub(super) fn object_body(call: &Call) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_slice(&call.body).map_err(|error| {
        let message = format!("Unexpected character or end of input: {error}");
        ApiError::unparsable(message)
    })
}

impl Org {
    /// `POST /sobjects/X`.
    pub(super) fn create_row(&mut self, call: &Call, caller: &Caller, place: usize) -> Answered {
        let body = object_body(call)?;
        let wishes = caller.wishes(call, 0);
        let given = self
            .given(place, &body, Event::Insert)
            .map_err(WriteError::alone)?;
        let id = self
            .insert(place, given, &wishes)
            .map_err(RowError::alone)?;
        Ok(self.created(place, &id, caller, None))
    }

    fn created(&self, place: usize, id: &str, caller: &Caller, created: Option<bool>) -> Answer {
        let mut told = json!({ "id": id, "success": true, "errors": [] });
        if let (Some(created), Some(object)) = (created, told.as_object_mut()) {
            object.insert("created".to_owned(), Value::from(created));
        }
        let name = &self.at(place).object.name;
        Answer::json(201, told.to_string()).with(
            "Location",
            format!("/services/data/v{}.0/sobjects/{name}/{id}", caller.version),
        )
    }

    /// `/sobjects/X/id`.
    pub(super) fn row(&mut self, call: &Call, caller: &Caller, place: usize, id: &str) -> Answered {
        let known = canonical_id(id).filter(|id| self.place_of(id) == Some(place));
        match call.method {
            Verb::Get | Verb::Head => {
                let id = known
                    .filter(|id| self.live(id).is_some())
                    .ok_or_else(ApiError::not_found)?;
                self.read_row(call, caller, place, &id)
            }
            Verb::Patch | Verb::Post => {
                let id = known.ok_or_else(ApiError::not_found)?;
                if self.at(place).record(&id).is_none() {
                    return Err(ApiError::not_found());
                }
                self.check_preconditions(call, place, &id)?;
                let body = object_body(call)?;
                if body.keys().any(|key| key.eq_ignore_ascii_case("id")) {
                    let message = "The Id field should not be specified in the sobject data.";
                    return Err(ApiError::new(400, "INVALID_FIELD", message));
                }
                let given = self
                    .given(place, &body, Event::Update)
                    .map_err(WriteError::alone)?;
                let wishes = caller.wishes(call, 0);
                self.update(place, &id, given, &wishes)
                    .map_err(RowError::alone)?;
                Ok(Answer::new(204))
            }
            Verb::Delete => {
                let id = known.ok_or_else(ApiError::not_found)?;
                if self.at(place).record(&id).is_none() {
                    return Err(ApiError::not_found());
                }
                let wishes = caller.wishes(call, 0);
                self.delete(place, &id, &wishes).map_err(RowError::alone)?;
                Ok(Answer::new(204))
            }
            Verb::Put => Err(not_allowed(call, "HEAD,GET,PATCH,DELETE")),
        }
    }

    fn read_row(&mut self, call: &Call, caller: &Caller, place: usize, id: &str) -> Answered {
        let object = self.object(place);
        let names: Vec<String> = match call.parameter("fields") {
            Some(fields) => fields
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            None => object
                .fields
                .iter()
                .map(|field| field.name.clone())
                .collect(),
        };
        if let Some(unknown) = names.iter().find(|name| object.find(name).is_none()) {
            let message = format!(
                "No such column '{unknown}' on sobject of type {}",
                object.name
            );
            return Err(ApiError::new(400, "INVALID_FIELD", message));
        }
        let modified = self.modified(place, id);
        let since = call
            .header("if-modified-since")
            .map(http_date)
            .transpose()?;
        if since.is_some_and(|since| modified <= since) {
            return Ok(Answer::new(304));
        }
        let body = self
            .record_json(place, id, &names, caller.version)
            .ok_or_else(ApiError::not_found)?;
        let mut answer = Answer::json(200, body).with("Last-Modified", http_text(modified));
        if let Some(tag) = self.row_tag(place, id) {
            answer = answer.with("ETag", tag);
        }
        Ok(answer)
    }

    /// When a record was last changed, in seconds since 1970.
    fn modified(&self, place: usize, id: &str) -> i64 {
        let held = self
            .at(place)
            .record(id)
            .and_then(|record| self.held(place, record, "LastModifiedDate"));
        match held {
            Some(Held::Moment(milliseconds)) => milliseconds.div_euclid(1000),
            Some(Held::Text(_) | Held::Number(_) | Held::Boolean(_)) | None => 0,
        }
    }

    /// The strong validator of a record, of the object that has them.
    fn row_tag(&self, place: usize, id: &str) -> Option<String> {
        let table = self.at(place);
        let record = table
            .record(id)
            .filter(|_| table.object.name == GUARDED_BY_ETAG)?;
        let print = xxhash_rust::xxh3::xxh3_64(table.stored(record).as_bytes());
        Some(format!("\"{print:016x}-gzip\""))
    }

    fn check_preconditions(&self, call: &Call, place: usize, id: &str) -> Result<(), ApiError> {
        let failed = || {
            let message = "The record has been modified since the given precondition";
            ApiError::new(412, "PRECONDITION_FAILED", message)
        };
        if let Some(since) = call.header("if-unmodified-since") {
            let since = http_date(since)?;
            if self.modified(place, id) > since {
                return Err(failed());
            }
        }
        if let (Some(wanted), Some(tag)) = (call.header("if-match"), self.row_tag(place, id)) {
            let bare = |tag: &str| {
                tag.trim()
                    .trim_matches('"')
                    .trim_end_matches("-gzip")
                    .to_owned()
            };
            let fits = wanted
                .split(',')
                .any(|wanted| wanted.trim() == "*" || bare(wanted) == bare(&tag));
            if !fits {
                return Err(failed());
            }
        }
        Ok(())
    }

    /// `/sobjects/X/field/value`.
    pub(super) fn row_by_key(
        &mut self,
        call: &Call,
        caller: &Caller,
        place: usize,
        (name, value): (&str, &str),
    ) -> Answered {
        let object = self.object(place);
        let key = object.find(name).filter(|key| object.field(*key).is_key());
        let Some(key) = key else {
            let message =
                format!("Provided external ID field does not exist or is not accessible: {name}");
            return Err(ApiError::new(404, "NOT_FOUND", message));
        };
        let field = object.field(key);
        let held = from_text(value, field)
            .ok()
            .flatten()
            .ok_or_else(ApiError::not_found)?;
        let found = self.at_mut(place).found_live(key, &held);
        if found.len() > 1 {
            let urls: Vec<String> = found
                .iter()
                .map(|id| {
                    format!(
                        "/services/data/v{}.0/sobjects/{}/{id}",
                        caller.version, object.name
                    )
                })
                .collect();
            return Ok(Answer::json(300, json!(urls).to_string()));
        }
        let found = found.first().map(ToString::to_string);
        match (call.method, found) {
            (Verb::Patch | Verb::Post, found) => {
                let body = object_body(call)?;
                let is_key = |name: &String| {
                    name.eq_ignore_ascii_case("id") || name.eq_ignore_ascii_case(&field.name)
                };
                if let Some(key) = body.keys().find(|name| is_key(name)) {
                    let message =
                        format!("The {key} field should not be specified in the sobject data.");
                    return Err(ApiError::new(400, "INVALID_FIELD", message));
                }
                match found {
                    Some(id) => self.upsert_found(call, caller, place, &id, &body),
                    None => self.upsert_absent(call, caller, place, (key, held), &body),
                }
            }
            (_, None) => Err(ApiError::not_found()),
            (Verb::Get | Verb::Head, Some(id)) => self.read_row(call, caller, place, &id),
            (Verb::Delete, Some(id)) => {
                let wishes = caller.wishes(call, 0);
                self.delete(place, &id, &wishes).map_err(RowError::alone)?;
                Ok(Answer::new(204))
            }
            (Verb::Put, Some(_)) => Err(not_allowed(call, "HEAD,GET,PATCH,DELETE")),
        }
    }

    fn upsert_found(
        &mut self,
        call: &Call,
        caller: &Caller,
        place: usize,
        id: &str,
        body: &Map<String, Value>,
    ) -> Answered {
        self.check_preconditions(call, place, id)?;
        let given = self
            .given(place, body, Event::Update)
            .map_err(WriteError::alone)?;
        let wishes = caller.wishes(call, 0);
        self.update(place, id, given, &wishes)
            .map_err(RowError::alone)?;
        if caller.version < TELLING_UPSERT {
            return Ok(Answer::new(204));
        }
        let told = json!({ "id": id, "success": true, "errors": [], "created": false });
        Ok(Answer::json(200, told.to_string()))
    }

    fn upsert_absent(
        &mut self,
        call: &Call,
        caller: &Caller,
        place: usize,
        (key, held): (usize, Held),
        body: &Map<String, Value>,
    ) -> Answered {
        let object = self.object(place);
        let asked = call.parameter("updateOnly");
        let only_update = asked.is_some_and(|asked| asked.eq_ignore_ascii_case("true"));
        if (only_update && caller.version >= UPDATE_ONLY) || object.field(key).name == "Id" {
            return Err(ApiError::not_found());
        }
        let mut given = self
            .given(place, body, Event::Insert)
            .map_err(WriteError::alone)?;
        given.push((key, Some(held)));
        let wishes = caller.wishes(call, 0);
        let id = self
            .insert(place, given, &wishes)
            .map_err(RowError::alone)?;
        let created = (caller.version >= TELLING_UPSERT).then_some(true);
        Ok(self.created(place, &id, caller, created))
    }

    /// The record that a key of an upsert names, of which there may be none.
    /// Errors: it fits several.
    pub(super) fn keyed(
        &mut self,
        place: usize,
        key: usize,
        held: &Held,
    ) -> Result<Option<String>, RowError> {
        match self.at_mut(place).found_live(key, held).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.to_string())),
            many => Err(several(many)),
        }
    }

    /// `GET /sobjects/X/updated` and `/deleted`, between two moments.
    pub(super) fn changed_rows(&self, call: &Call, place: usize, deleted: bool) -> Answered {
        let bound = |name: &str| {
            let text = call.parameter(name).unwrap_or_default();
            super::value::read_moment(&text.replace(' ', "+")).ok_or_else(|| {
                ApiError::new(
                    400,
                    "INVALID_REPLICATION_DATE",
                    format!("{name} is not a date: {text}"),
                )
            })
        };
        let (start, end) = (bound("start")? / 1000, bound("end")? / 1000);
        let table = self.at(place);
        let changed = table.records().filter(|(id, record)| {
            let at = self.modified(place, id);
            table.is_deleted(record) == deleted && start <= at && at < end
        });
        let latest = DateTime::from_timestamp(end, 0)
            .unwrap_or_default()
            .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
            .to_string();
        let told = match deleted {
            false => json!({
                "ids": changed.map(|(id, _)| id.as_ref()).collect::<Vec<_>>(),
                "latestDateCovered": latest,
            }),
            true => {
                let rows: Vec<Value> = changed
                    .map(|(id, _)| {
                        let at = DateTime::from_timestamp(self.modified(place, id), 0).unwrap_or_default();
                        json!({ "id": id.as_ref(), "deletedDate": at.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string() })
                    })
                    .collect();
                json!({ "deletedRecords": rows, "earliestDateAvailable": "2026-01-01T00:00:00.000+0000", "latestDateCovered": latest })
            }
        };
        Ok(Answer::json(200, told.to_string()))
    }
}

/// What a method that the resource does not know is told.
pub(super) fn not_allowed(call: &Call, allowed: &str) -> ApiError {
    let message = format!(
        "HTTP Method '{}' not allowed. Allowed are {allowed}",
        call.method.name()
    );
    ApiError::new(405, "METHOD_NOT_ALLOWED", message)
}

/// Seconds since 1970. Errors: it is no date of HTTP.
pub(super) fn http_date(text: &str) -> Result<i64, ApiError> {
    NaiveDateTime::parse_from_str(text.trim(), "%a, %d %b %Y %H:%M:%S GMT")
        .map(|moment| moment.and_utc().timestamp())
        .map_err(|_| {
            ApiError::new(
                400,
                "INVALID_HEADER",
                format!("Invalid date in conditional header: {text}"),
            )
        })
}

/// As a date of HTTP.
pub(super) fn http_text(seconds: i64) -> String {
    let moment: DateTime<Utc> = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
