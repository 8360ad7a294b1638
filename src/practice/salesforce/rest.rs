//! Which resource a call is for, who is behind it, and what it costs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::auth::expired;
use super::describe::{resources, versions};
use super::errors::ApiError;
use super::org::Org;
use super::query::{Asked, page_wished};
use super::rows::not_allowed;
use super::table::Record;
use super::write::{Wishes, locking_parents};
use crate::domain::salesforce_id::canonical_id;
use crate::practice::call::{Answer, Call, Verb};
use crate::practice::faults::{Mishap, drawn};
use crate::practice::folder::{Folder, FolderError};
use crate::practice::stand_in::StandIn;
use crate::practice::store::{Document, DocumentChange};

/// Versions that are supported. Source: "API End-of-Life Policy", as of Summer '26.
pub(super) const VERSION_MIN: u32 = 31;
pub(super) const VERSION_MAX: u32 = 67;

/// Bytes of a URI. Source: "Status Codes and Error Responses" of the REST API guide.
const URI_BYTES_MAX: usize = 16_384;

/// How far what is told of the day's calls may lag behind.
const USAGE_LAG: u64 = 15;

/// Who calls, and in which version.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) version: u32,
}

impl Caller {
    /// How the call wants its record at `row` to be written.
    pub(super) fn wishes(&self, call: &Call, row: usize) -> Wishes {
        let rule = call
            .header("sforce-duplicate-rule-header")
            .unwrap_or_default();
        let allow_save = rule.split([';', ',']).any(|option| {
            let option = option.split_once('=');
            option.is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("allowSave")
                    && value.trim().eq_ignore_ascii_case("true")
            })
        });
        Wishes {
            user: self.user.clone(),
            now: call.now,
            allow_save,
            locked: call.hindrance.locked.clone(),
            lock_some: call.hindrance.lock_some,
            row,
        }
    }
}

/// A practice Salesforce.
#[derive(Debug)]
pub(crate) struct Salesforce {
    org: Org,
}

impl Salesforce {
    /// The org that a folder describes, with what became of it since.
    pub(crate) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        Ok(Self {
            org: Org::load(folder, documents)?,
        })
    }
}

impl StandIn for Salesforce {
    fn kind_of(&self, call: &Call) -> String {
        kind(call).to_owned()
    }

    fn locks(&self, call: &Call) -> BTreeSet<String> {
        self.org.locks(call)
    }

    fn long_calls_max(&self) -> usize {
        self.org.settings.org.long_calls_max
    }

    fn answer(&mut self, call: &Call) -> Answer {
        self.org.answer(call)
    }

    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        self.org.refuse(fault, call)
    }

    fn work(&mut self, now: DateTime<Utc>, locked: &BTreeSet<String>) -> bool {
        self.org.work_off(now, locked)
    }

    fn take_changes(&mut self) -> Vec<DocumentChange> {
        self.org.take_changes()
    }

    fn told(&self) -> Value {
        let records: Map<String, Value> = self
            .org
            .tables
            .iter()
            .map(|table| {
                let live = table
                    .records()
                    .filter(|(_, record)| !table.is_deleted(record))
                    .count();
                (table.object.name.clone(), Value::from(live))
            })
            .collect();
        json!({
            "used": self.org.counters.used,
            "triggers": self.org.counters.triggers,
            "records": records,
            "account": self.org.settings.org.id,
        })
    }

    fn command(
        &mut self,
        name: &str,
        body: &Value,
        now: DateTime<Utc>,
    ) -> Option<Result<(), String>> {
        let ids: Vec<String> = body
            .get("ids")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|id| canonical_id(id.as_str()?))
            .collect();
        let wishes = Caller {
            user: self
                .org
                .user_named(&self.org.settings.org.user)
                .unwrap_or_default(),
            version: VERSION_MAX,
        }
        .wishes(&Call::new(Verb::Post, "/", now), 0);
        Some(match name {
            "expire" => {
                self.org.expire(None);
                Ok(())
            }
            "quota" => {
                self.org.count_calls(0, now);
                self.org.counters.used =
                    body.get("used").and_then(Value::as_u64).unwrap_or_default();
                self.org.touch_counters();
                Ok(())
            }
            "restore" => {
                let restored = ids
                    .iter()
                    .try_for_each(|id| self.org.restore_deleted(id, &wishes));
                restored.map_err(|error| error.message)
            }
            "merge" => {
                let master = body
                    .get("master")
                    .and_then(Value::as_str)
                    .and_then(canonical_id)
                    .unwrap_or_default();
                self.org
                    .merge(&master, &ids, &wishes)
                    .map_err(|error| error.message)
            }
            _ => return None,
        })
    }
}

/// What kind of call it is: by these names calls are counted, and faults strike.
fn kind(call: &Call) -> &'static str {
    use Verb::{Delete, Get, Head, Patch, Post, Put};
    let path = call.path();
    let rest = match path.as_slice() {
        ["services", "oauth2", "token"] => return "token",
        ["services", "oauth2", ..] | ["id", ..] => return "identity",
        ["services", "data"] => return "versions",
        ["services", "data", _, rest @ ..] => rest,
        _ => return "other",
    };
    match (call.method, rest) {
        (Get | Head, ["query" | "queryAll"]) => "query",
        (Get | Head, ["query" | "queryAll", _]) => "query_more",
        (Get | Head, ["limits"]) => "limits",
        (Get | Head, ["sobjects"]) => "describe_global",
        (Get | Head, ["sobjects", _] | ["sobjects", _, "describe"]) => "describe",
        (Get | Head, ["sobjects", ..]) => "row_read",
        (Post, ["sobjects", _]) => "row_create",
        (Patch | Post, ["sobjects", _, _]) => "row_update",
        (Patch | Post, ["sobjects", _, _, _]) => "row_upsert",
        (Delete, ["sobjects", ..]) => "row_delete",
        (Post, ["composite", "sobjects"]) => "create",
        (Patch, ["composite", "sobjects"]) => "update",
        (Patch, ["composite", "sobjects", _, _]) => "upsert",
        (Delete, ["composite", "sobjects"]) => "delete",
        (_, ["composite", "sobjects", ..]) => "read",
        (_, ["composite"]) => "composite",
        (_, ["composite", "graph"]) => "graph",
        (_, ["composite", "batch"]) => "batch",
        (_, ["composite", "tree", ..]) => "tree",
        (_, ["ui-api", ..]) => "ui_api",
        (Post, ["jobs", _]) => "bulk_create",
        (Put, ["jobs", ..]) => "bulk_upload",
        (Patch, ["jobs", ..]) => "bulk_state",
        (_, ["jobs", _, _]) => "bulk_poll",
        (_, ["jobs", ..]) => "bulk_results",
        _ => "other",
    }
}

impl Org {
    fn answer(&mut self, call: &Call) -> Answer {
        if call.uri.len() > URI_BYTES_MAX {
            return Answer::text(
                414,
                "text/html;charset=UTF-8",
                "<h1>Request-URI Too Long</h1>",
            );
        }
        let path = call.path();
        match path.as_slice() {
            ["services", "oauth2", resource] => self.oauth(call, resource),
            ["services", "data"] => versions(),
            ["id", org, user] => match self.caller(call) {
                Ok(_) if canonical_id(org).as_deref() == Some(&self.settings.org.id) => {
                    let user = canonical_id(user).unwrap_or_default();
                    Answer::json(200, self.identity(call, &user).to_string())
                }
                Ok(_) => ApiError::new(403, "WRONG_ORG", "Wrong_Org").answer(),
                Err(_) => Answer::text(403, "text/html;charset=UTF-8", "Bad_OAuth_Token"),
            },
            ["services", "data", ..] => self.counted(call),
            _ => ApiError::not_found().answer(),
        }
    }

    /// A call of data: with a token, and counted.
    fn counted(&mut self, call: &Call) -> Answer {
        let version = match version_of(call) {
            Ok(version) => version,
            Err(error) => return error.answer(),
        };
        let (user, token) = match self.caller(call) {
            Ok(caller) => caller,
            Err(error) => return error.answer(),
        };
        let is_over = self.is_over_quota(call.now);
        if !is_over {
            self.count_calls(1 + call.hindrance.others, call.now);
            self.used(&token, call);
        }
        let answer = match is_over {
            true => total_exceeded().answer(),
            false => self.within(call, &Caller { user, version }),
        };
        answer.with("Sforce-Limit-Info", self.usage(call))
    }

    fn is_over_quota(&mut self, now: DateTime<Utc>) -> bool {
        self.count_calls(0, now);
        self.counters.used >= self.settings.org.daily_calls
    }

    /// What is told of the day's calls: now and then less than before.
    fn usage(&self, call: &Call) -> String {
        let lag = match drawn(3, "usage", call.hindrance.number) % 3 {
            0 => drawn(4, "lag", call.hindrance.number) % USAGE_LAG,
            _ => 0,
        };
        let used = self.counters.used.saturating_sub(lag).max(1);
        format!(
            "api-usage={used}/{}; api-bursts=1/750",
            self.settings.org.daily_calls
        )
    }

    /// A call whose caller is known, also one within another call.
    pub(super) fn within(&mut self, call: &Call, caller: &Caller) -> Answer {
        let caller = match version_of(call) {
            Ok(version) => Caller {
                version,
                ..caller.clone()
            },
            Err(error) => return error.answer(),
        };
        self.resource(call, &caller)
            .unwrap_or_else(|error| error.answer())
    }

    fn resource(&mut self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        use Verb::{Delete, Get, Head, Patch, Post};
        let path = call.path();
        let rest = path.get(3..).unwrap_or_default();
        match (call.method, rest) {
            (Get | Head, []) => Ok(resources(caller.version)),
            (Get | Head, ["limits"]) => Ok(self.limits()),
            (Get | Head, ["query" | "queryAll"]) => self.queried_by(call, caller),
            (Get | Head, ["query" | "queryAll", locator]) => {
                let asked = self.asked(call, caller, "");
                self.query_more(locator, asked)
                    .map(|page| Answer::json(200, page))
            }
            (_, ["query" | "queryAll", ..]) => Err(not_allowed(call, "HEAD,GET")),
            (Get | Head, ["sobjects"]) => self.global_describe(call, caller),
            (method, ["sobjects", name, rest @ ..]) => {
                let place = self.table_in_path(name)?;
                match (method, rest) {
                    (Get | Head, []) => self.about(caller, place),
                    (Post, []) => self.create_row(call, caller, place),
                    (Get | Head, ["describe"]) => self.describe(call, caller, place),
                    (Get, ["updated"]) => self.changed_rows(call, place, false),
                    (Get, ["deleted"]) => self.changed_rows(call, place, true),
                    (_, [id]) => self.row(call, caller, place, id),
                    (_, [field, value]) => self.row_by_key(call, caller, place, (field, value)),
                    _ => Err(not_allowed(call, "HEAD,GET,POST")),
                }
            }
            (Post, ["composite", "sobjects"]) => self.create_rows(call, caller),
            (Patch, ["composite", "sobjects"]) => self.update_rows(call, caller),
            (Delete, ["composite", "sobjects"]) => self.delete_rows(call, caller),
            (Get | Post, ["composite", "sobjects", name]) => {
                let place = self.table_in_path(name)?;
                self.read_rows(call, caller, place)
            }
            (Patch, ["composite", "sobjects", name, field]) => {
                let place = self.table_in_path(name)?;
                self.upsert_rows(call, caller, place, field)
            }
            (Post, ["composite"]) => self.composite(call, caller),
            (Post, ["composite", "graph"]) => self.graphs(call, caller),
            (Post, ["composite", "batch"]) => self.batch(call, caller),
            (Post, ["composite", "tree", name]) => {
                let place = self.table_in_path(name)?;
                self.tree(call, caller, place)
            }
            (_, ["composite", ..]) => Err(not_allowed(call, "POST")),
            (Get, ["ui-api", "object-info", name, rest @ ..]) => {
                let place = self.table_in_path(name)?;
                self.ui_api(caller, place, rest)
            }
            (_, ["jobs", "ingest", rest @ ..]) => self.ingest(call, caller, rest),
            (_, ["jobs", "query", rest @ ..]) => self.query_jobs(call, caller, rest),
            _ => Err(ApiError::not_found()),
        }
    }

    fn asked<'a>(&self, call: &'a Call, caller: &Caller, text: &'a str) -> Asked<'a> {
        let wished = page_wished(call.header("sforce-query-options"));
        let page = call.hindrance.page.map_or(wished, |page| page.min(wished));
        // A short page is no end.
        let page = if call.hindrance.short_page {
            page.div_ceil(3)
        } else {
            page
        };
        Asked {
            text,
            version: caller.version,
            all: call.path().get(3) == Some(&"queryAll"),
            page,
            now: call.now,
        }
    }

    fn queried_by(&mut self, call: &Call, caller: &Caller) -> Result<Answer, ApiError> {
        let text = call.parameter("q").unwrap_or_default().to_owned();
        if text.trim().is_empty() {
            return Err(ApiError::new(
                400,
                "MALFORMED_QUERY",
                "SOQL statement cannot be empty or null",
            ));
        }
        let asked = Asked {
            text: &text,
            ..self.asked(call, caller, "")
        };
        self.query(asked).map(|page| Answer::json(200, page))
    }

    /// What a fault looks like here.
    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        let error = match fault {
            Mishap::Expire => {
                let token = self.caller(call).map(|(_, token)| token);
                if let Ok(token) = token {
                    self.expire(Some(&token));
                }
                expired()
            }
            Mishap::NoApi => {
                let message = "This session is not valid for use with the REST API";
                ApiError::new(401, "INVALID_SESSION_ID", message)
            }
            Mishap::AppDetached => ApiError::new(
                401,
                "INVALID_AUTH_HEADER",
                "Connected app is not attached to Agent",
            ),
            Mishap::Quota => total_exceeded(),
            Mishap::Concurrent => {
                let message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
                ApiError::new(403, "REQUEST_LIMIT_EXCEEDED", message)
            }
            Mishap::TooLong => {
                let message = "Your query request was running for too long.";
                ApiError::new(400, "QUERY_TIMEOUT", message)
            }
            Mishap::Unavailable => {
                let message =
                    "The server is temporarily unavailable due to heavy load or maintenance";
                ApiError::new(503, "SERVER_UNAVAILABLE", message)
            }
            Mishap::BareError => {
                let error = ApiError::new(
                    500,
                    "UNKNOWN_EXCEPTION",
                    "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-1 (1)",
                );
                return Answer::json(500, error.value().to_string());
            }
            Mishap::ServerError
            | Mishap::DropBefore
            | Mishap::DropIn
            | Mishap::DropAfter
            | Mishap::CutJson
            | Mishap::BadGateway
            | Mishap::Maintenance
            | Mishap::LoginPage
            | Mishap::Lock
            | Mishap::ShortPage
            | Mishap::BulkFail
            | Mishap::ErrorAfter
            | Mishap::Moved
            | Mishap::MovedAway => ApiError::new(
                500,
                "UNKNOWN_EXCEPTION",
                "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-1 (1)",
            ),
        };
        error.answer().with("Sforce-Limit-Info", self.usage(call))
    }

    /// Ids of the records that a call writes, and of their parents.
    fn locks(&self, call: &Call) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        if matches!(call.method, Verb::Get | Verb::Head) {
            return ids;
        }
        let path = call.path();
        let rest = path.get(3..).unwrap_or_default();
        match rest {
            ["sobjects", _, id, ..] => ids.extend(canonical_id(id)),
            ["composite", "sobjects"] => {
                let told = call.parameter("ids").unwrap_or_default();
                ids.extend(told.split(',').filter_map(canonical_id));
            }
            _ => {}
        }
        let is_write = matches!(rest, ["sobjects" | "composite", ..]);
        if is_write && let Ok(body) = serde_json::from_slice::<Value>(&call.body) {
            self.gather_locks(&body, &mut ids);
        }
        let parents: Vec<String> = ids
            .iter()
            .filter_map(|id| {
                let place = self.place_of(id)?;
                let record: &Record = self.at(place).record(id)?;
                Some(locking_parents(&self.object(place), record))
            })
            .flatten()
            .collect();
        ids.extend(parents);
        ids
    }

    /// Ids that stand under `id` or `AccountId` anywhere in a body, and in addresses of requests
    /// within it.
    fn gather_locks(&self, body: &Value, ids: &mut BTreeSet<String>) {
        match body {
            Value::Array(values) => values
                .iter()
                .for_each(|value| self.gather_locks(value, ids)),
            Value::Object(values) => {
                for (name, value) in values {
                    match (name.as_str(), value.as_str()) {
                        ("id" | "Id" | "AccountId", Some(id)) => ids.extend(canonical_id(id)),
                        ("url", Some(url)) => {
                            ids.extend(
                                Call::new(Verb::Get, url, Utc::now())
                                    .segments
                                    .iter()
                                    .filter_map(|part| {
                                        canonical_id(part).filter(|id| self.place_of(id).is_some())
                                    }),
                            );
                        }
                        _ => self.gather_locks(value, ids),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn total_exceeded() -> ApiError {
    ApiError::new(
        403,
        "REQUEST_LIMIT_EXCEEDED",
        "TotalRequests Limit exceeded.",
    )
}

/// Errors: the version is not supported, or no version at all.
fn version_of(call: &Call) -> Result<u32, ApiError> {
    let told = call.segments.get(2).map(String::as_str).unwrap_or_default();
    let number = told
        .strip_prefix('v')
        .and_then(|told| told.strip_suffix(".0"));
    let number = number.and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(version) if (VERSION_MIN..=VERSION_MAX).contains(&version) => Ok(version),
        Some(_) => {
            let message = "The requested API version is not supported";
            Err(ApiError::new(410, "UNSUPPORTED_API_VERSION", message))
        }
        None => Err(ApiError::not_found()),
    }
}
