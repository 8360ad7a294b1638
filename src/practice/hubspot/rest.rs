//! Which resource a call is for, who is behind it, and what it costs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::auth::Caller;
use super::errors::ApiError;
use super::limits::too_many;
use super::portal::Portal;
use super::read::Done;
use super::value::Age;
use super::write::Op;
use crate::practice::call::{Answer, Call, Verb};
use crate::practice::faults::Mishap;
use crate::practice::folder::{Folder, FolderError};
use crate::practice::stand_in::StandIn;
use crate::practice::store::{Document, DocumentChange};

/// Versions of the API.
/// Source: <https://developers.hubspot.com/changelog>, "HubSpot's date-based API versions".
const DATED: [&str; 2] = ["2026-03", "2026-09"];
const VERSION_WITH_RULES: &str = "2026-09";
const OLD: [&str; 2] = ["v3", "v4"];

/// Long calls in flight of which one more is refused: none, here.
const LONG_CALLS_MAX: usize = usize::MAX;

/// A practice HubSpot.
#[derive(Debug)]
pub(crate) struct HubSpot {
    portal: Portal,
}

impl HubSpot {
    /// The portal that a folder describes, with what became of it since.
    pub(crate) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        Ok(Self {
            portal: Portal::load(folder, documents)?,
        })
    }
}

impl StandIn for HubSpot {
    fn kind_of(&self, call: &Call) -> String {
        kind(call).to_owned()
    }

    fn locks(&self, _call: &Call) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn long_calls_max(&self) -> usize {
        LONG_CALLS_MAX
    }

    fn answer(&mut self, call: &Call) -> Answer {
        self.portal.answer(call)
    }

    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        self.portal.refuse(fault, call)
    }

    fn work(&mut self, _now: DateTime<Utc>, _locked: &BTreeSet<String>) -> bool {
        false
    }

    fn take_changes(&mut self) -> Vec<DocumentChange> {
        self.portal.take_changes()
    }

    fn told(&self) -> Value {
        let count = |table: &super::table::Table| {
            let live = table.records().filter(|(_, record)| !record.archived);
            (table.object.path_name.clone(), Value::from(live.count()))
        };
        let records: Map<String, Value> = self.portal.tables.iter().map(count).collect();
        json!({
            "used": self.portal.counters.used,
            "records": records,
            "account": self.portal.settings.portal.id,
        })
    }

    fn command(
        &mut self,
        name: &str,
        body: &Value,
        now: DateTime<Utc>,
    ) -> Option<Result<(), String>> {
        let number = |name: &str| body.get(name).and_then(Value::as_u64).unwrap_or_default();
        let portal = &mut self.portal;
        Some(match name {
            "expire" => {
                portal.expire(now);
                Ok(())
            }
            "revoke" => {
                portal.counters.revoked = true;
                let apps = portal.settings.apps.iter();
                let apps: Vec<String> = apps.map(|app| app.client_id.clone()).collect();
                let taken = apps.into_iter().map(|app| (app, String::new()));
                portal.counters.refresh_tokens.extend(taken);
                portal.touch_counters();
                Ok(())
            }
            "quota" => {
                portal.counters.used = number("used");
                portal.counters.day = Some(
                    now.with_timezone(&portal.settings.portal.time_zone)
                        .date_naive(),
                );
                portal.touch_counters();
                Ok(())
            }
            "merge" => {
                let object = body.get("object").and_then(Value::as_str);
                match portal.place(object.unwrap_or_default()) {
                    Ok(place) => portal.merge(place, number("winner"), number("loser"), now),
                    Err(error) => Err(error.message),
                }
            }
            _ => return None,
        })
    }
}

/// A path without its version, and the version: `/crm/v3/objects/…` and `/crm/objects/2026-09/…`
/// are one.
fn split(call: &Call) -> (Vec<&str>, Option<&str>) {
    let path = call.path();
    let is_version = |part: &&str| DATED.contains(part) || OLD.contains(part);
    match path.as_slice() {
        [family, version, rest @ ..] if is_version(version) => {
            ([&[*family], rest].concat(), Some(version))
        }
        [family, resource, version, rest @ ..] if is_version(version) => {
            ([&[*family, *resource], rest].concat(), Some(version))
        }
        _ => (path, None),
    }
}

/// What kind of call it is: by these names calls are counted, and faults strike.
fn kind(call: &Call) -> &'static str {
    use Verb::{Delete, Get, Patch, Post, Put};
    let (path, _) = split(call);
    match (call.method, path.as_slice()) {
        (_, ["oauth", ..]) => "token",
        (_, ["account-info", "details"]) => "account",
        (_, ["account-info", ..]) => "usage",
        (Get, ["crm-object-schemas" | "crm", "schemas", ..]) => "describe",
        (Get, ["crm", "properties" | "property-validations", ..]) => "properties",
        (_, ["crm", "owners", ..]) => "owners",
        (_, ["crm", "pipelines", ..]) => "pipelines",
        (_, ["crm", "associations", ..]) => "associations",
        (_, ["crm", "objects", _, _, "associations", ..]) => "associations",
        (Post, ["crm", "objects", _, "search"]) => "search",
        (Post, ["crm", "objects", _, "batch", "read"]) => "read",
        (Post, ["crm", "objects", _, "batch", "update"]) => "update",
        (Post, ["crm", "objects", _, "batch", "create"]) => "create",
        (Post, ["crm", "objects", _, "batch", "upsert"]) => "upsert",
        (Post, ["crm", "objects", _, "batch", "archive"]) => "archive",
        (Get, ["crm", "objects", ..]) => "row_read",
        (Post | Put | Patch | Delete, ["crm", "objects", ..]) => "row_write",
        _ => "other",
    }
}

/// Whether every fifth error leaves out what is optional.
fn is_sparse(call: &Call) -> bool {
    call.hindrance.number % 5 == 4
}

impl Portal {
    fn answer(&mut self, call: &Call) -> Answer {
        let (path, version) = split(call);
        if let (Verb::Post, ["oauth", "token"]) = (call.method, path.as_slice()) {
            return self.grant(call);
        }
        let Some(version) = version.filter(|version| self.speaks(version)) else {
            return Answer::new(404);
        };
        let age = match version >= VERSION_WITH_RULES && DATED.contains(&version) {
            true => Age::Dated,
            false => Age::Old,
        };
        let caller = match self.caller(call) {
            Ok(caller) => caller,
            Err(error) => return error.answer(is_sparse(call), call.hindrance.number),
        };
        let is_search = path.last() == Some(&"search");
        let counted = self.count(call.now, call.hindrance.others, is_search);
        let done = match (counted, call.hindrance.lock_some) {
            (Err(error), _) => {
                let answer = error.answer(false, call.hindrance.number);
                return self.with_wait(answer, &error, call.now);
            }
            (Ok(()), true) => Err(locked()),
            (Ok(()), false) => self.carry_out(&path, caller, call, age),
        };
        let answer = match done {
            // Nobody says what became of it.
            Ok(answer) if call.hindrance.short_page && !is_search => silenced(&answer),
            Ok(answer) => answer,
            Err(error) => error.answer(is_sparse(call), call.hindrance.number),
        };
        self.with_counts(answer, caller == Caller::App, is_search)
    }

    fn speaks(&self, version: &str) -> bool {
        DATED.contains(&version) || self.settings.portal.old_versions
    }

    fn carry_out(&mut self, path: &[&str], caller: Caller, call: &Call, age: Age) -> Done {
        use Verb::Get;
        match (call.method, path) {
            (Get, ["account-info", "details"]) => Ok(self.details()),
            (Get, ["account-info", "api-usage", "daily", "private-apps"]) => Ok(self.usage(call)),
            (Get, ["crm-object-schemas" | "crm", "schemas"]) => Ok(self.schemas()),
            (Get, ["crm-object-schemas" | "crm", "schemas", name]) => {
                let place = self.place(name)?;
                self.expect_scope(caller, &self.scope("schemas", place, "read"))?;
                let schema = self.at(place).object.schema.to_string();
                Ok(Answer::json(200, schema))
            }
            (Get, ["crm", "properties", name]) => {
                let place = self.place(name)?;
                self.expect_scope(caller, &self.scope("schemas", place, "read"))?;
                let properties = self.at(place).object.schema.get("properties");
                Ok(listed(properties.cloned().unwrap_or_default()))
            }
            (Get, ["crm", "properties", name, property]) => {
                let place = self.place(name)?;
                let properties = self.at(place).object.schema.get("properties");
                let properties = properties.and_then(Value::as_array);
                let mut named = properties
                    .into_iter()
                    .flatten()
                    .filter(|told| told.get("name").and_then(Value::as_str) == Some(property));
                match named.next() {
                    Some(told) => Ok(Answer::json(200, told.to_string())),
                    None => Err(ApiError::new(
                        404,
                        "OBJECT_NOT_FOUND",
                        format!("Property \"{property}\" does not exist"),
                    )),
                }
            }
            (Get, ["crm", "property-validations", name]) => {
                self.place(name)?;
                Ok(listed(self.validations(name)))
            }
            (Get, ["crm", "owners"]) => {
                self.expect_scope(caller, "crm.objects.owners.read")?;
                Ok(self.list_owners(call))
            }
            (Get, ["crm", "pipelines", name]) => {
                let place = self.place(name)?;
                Ok(listed(self.pipelines(place)))
            }
            (Get, ["crm", "associations", from, to, "labels"]) => self.labels(from, to),
            (Verb::Post, ["crm", "associations", from, to, "batch", op @ ..]) => {
                self.associations_batch(from, to, op, call)
            }
            (_, ["crm", "objects", name, rest @ ..]) => {
                let place = self.place(name)?;
                self.objects(place, rest, caller, call, age)
            }
            _ => Ok(Answer::new(404)),
        }
    }

    fn objects(
        &mut self,
        place: usize,
        path: &[&str],
        caller: Caller,
        call: &Call,
        age: Age,
    ) -> Done {
        use Verb::{Delete, Get, Patch, Post, Put};
        let is_read = matches!(
            (call.method, path),
            (Get, _) | (Post, ["search"] | ["batch", "read"])
        );
        let right = if is_read { "read" } else { "write" };
        self.expect_scope(caller, &self.scope("objects", place, right))?;
        let name = self.object(place).type_id.clone();
        match (call.method, path) {
            (Get, []) => self.list(place, call),
            (Post, []) => self.write_single(place, None, call, age),
            (Post, ["search"]) => self.search(place, call),
            (Post, ["batch", "read"]) => self.batch_read(place, call),
            (Post, ["batch", "create"]) => self.batch_write(place, Op::Create, call, age),
            (Post, ["batch", "update"]) => self.batch_write(place, Op::Update, call, age),
            (Post, ["batch", "upsert"]) => self.batch_write(place, Op::Upsert, call, age),
            (Post, ["batch", "archive"]) => self.batch_archive(place, call),
            (Get, [id]) => self.read_one(place, id, call),
            (Patch, [id]) => self.write_single(place, Some(id), call, age),
            (Delete, [id]) => Ok(self.archive(place, &[(*id).to_owned()], call)),
            (Get, [id, "associations", to]) => {
                let results = self.associated((&name, id), to)?;
                Ok(listed(results.into()))
            }
            (Put, [id, "associations", "default", to, to_id])
            | (Put, [id, "associations", to, to_id]) => {
                self.put_association((&name, id), (to, to_id), call)
            }
            (Delete, [id, "associations", to, to_id]) => {
                self.delete_association((&name, id), (to, to_id))
            }
            _ => Ok(Answer::new(404)),
        }
    }

    /// The scope that lets somebody read or write an object: `crm.objects.contacts.read`.
    fn scope(&self, what: &str, place: usize, right: &str) -> String {
        let object = self.object(place);
        match object.type_id.starts_with("2-") {
            true => format!("crm.{what}.custom.{right}"),
            false => format!("crm.{what}.{}.{right}", object.path_name),
        }
    }

    fn details(&self) -> Answer {
        let portal = &self.settings.portal;
        let body = json!({
            "portalId": portal.id, "accountType": portal.account_type,
            "timeZone": portal.time_zone.name(), "companyCurrency": "USD",
            "additionalCurrencies": [], "utcOffset": "-05:00", "utcOffsetMilliseconds": -18_000_000,
            "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
        });
        Answer::json(200, body.to_string())
    }

    fn usage(&self, call: &Call) -> Answer {
        let portal = &self.settings.portal;
        let tomorrow = call
            .now
            .with_timezone(&portal.time_zone)
            .date_naive()
            .succ_opt();
        let resets = tomorrow.map(|day| format!("{day}T00:00:00"));
        listed(json!([{
            "name": "private-apps-api-calls-daily", "currentUsage": self.counters.used,
            "usageLimit": portal.daily_calls, "resetsAt": resets, "fetchStatus": "SUCCESS",
            "collectedAt": call.now.to_rfc3339(),
        }]))
    }

    /// The portal's own objects.
    fn schemas(&self) -> Answer {
        let tables = self.tables.iter();
        let own = tables.filter(|table| table.object.type_id.starts_with("2-"));
        listed(own.map(|table| table.object.schema.clone()).collect())
    }

    fn validations(&self, name: &str) -> Value {
        let of = |rule: &&super::settings::Rule| rule.object == name && rule.max.is_some();
        let rules = self.settings.rules.iter().filter(of);
        rules
            .map(|rule| {
                json!({
                    "propertyName": rule.property,
                    "propertyValidationRules": [{ "ruleType": "MAX_NUMBER", "ruleArguments": [rule.max.map(|max| max.to_string())] }],
                })
            })
            .collect()
    }

    fn list_owners(&self, call: &Call) -> Answer {
        let wants_archived = call.parameter("archived") == Some("true");
        let email = call.parameter("email").map(str::to_lowercase);
        let text = |owner: &Map<String, Value>, name: &str| {
            let value = owner.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let is_wanted = |owner: &&Map<String, Value>| {
            (text(owner, "archived") == "true") == wants_archived
                && email
                    .as_ref()
                    .is_none_or(|email| text(owner, "email").to_lowercase() == *email)
        };
        let one = |owner: &Map<String, Value>| {
            json!({
                "id": text(owner, "id"), "email": text(owner, "email"), "type": "PERSON",
                "firstName": text(owner, "firstName"), "lastName": text(owner, "lastName"),
                "userId": text(owner, "userId").parse::<u64>().ok(),
                "archived": wants_archived, "teams": [],
                "createdAt": "2025-01-05T08:00:00.000Z", "updatedAt": "2025-01-05T08:00:00.000Z",
            })
        };
        let all: Vec<Value> = self.owners.iter().filter(is_wanted).map(one).collect();
        let number = |name: &str| call.parameter(name)?.parse::<usize>().ok();
        let after = number("after").unwrap_or_default();
        let limit = number("limit").unwrap_or(100).clamp(1, 500);
        let page: Vec<Value> = all.iter().skip(after).take(limit).cloned().collect();
        let mut body = json!({ "results": page });
        if after + limit < all.len()
            && let Some(fields) = body.as_object_mut()
        {
            let next = (after + limit).to_string();
            fields.insert("paging".to_owned(), json!({ "next": { "after": next } }));
        }
        Answer::json(200, body.to_string())
    }

    /// Pipelines as the properties of the object tell of them.
    fn pipelines(&self, place: usize) -> Value {
        let object = self.object(place);
        let options = |names: [&str; 2]| {
            let property = names.iter().find_map(|name| object.properties.get(*name));
            property.map_or(&[][..], |property| &property.options)
        };
        let stage = |(order, id): (usize, &String)| json!({ "id": id, "label": id, "displayOrder": order, "archived": false, "metadata": {} });
        let stages = options(["dealstage", "hs_pipeline_stage"]);
        let stages: Vec<Value> = stages.iter().enumerate().map(stage).collect();
        let pipelines = options(["pipeline", "hs_pipeline"]).iter().enumerate();
        pipelines
            .map(|(order, id)| {
                json!({
                    "id": id, "label": id, "displayOrder": order, "archived": false, "stages": stages,
                })
            })
            .collect()
    }

    /// What a fault looks like in HubSpot's own words; nothing else of the call is carried out.
    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        let number = call.hindrance.number;
        let sparse = is_sparse(call);
        let broken = |status, category, message: &str| {
            ApiError::new(status, category, message).answer(sparse, number)
        };
        match fault {
            Mishap::Expire => {
                self.expire(call.now);
                ApiError::new(
                    401,
                    "EXPIRED_AUTHENTICATION",
                    "The OAuth token used to make this call expired.",
                )
                .answer(sparse, number)
            }
            Mishap::NoApi => {
                ApiError::missing_scope("crm.objects.contacts.read").answer(false, number)
            }
            Mishap::AppDetached => ApiError::new(
                403,
                "USER_DOES_NOT_HAVE_PERMISSIONS",
                "This user does not have permissions.",
            )
            .answer(false, number),
            Mishap::Quota => {
                too_many("DAILY", "You have reached your daily limit.").answer(false, number)
            }
            Mishap::Concurrent => {
                let message = "You have reached your ten_secondly_rolling limit.";
                let error = too_many("TEN_SECONDLY_ROLLING", message);
                let answer = error.answer(false, number);
                answer.with("Retry-After", "1")
            }
            // The portal moves to another data centre.
            Mishap::TooLong => Answer::new(477).with("Retry-After", "1"),
            Mishap::Unavailable => broken(503, "", "Service is temporarily unavailable"),
            Mishap::ServerError => broken(500, "INTERNAL_ERROR", "internal error"),
            Mishap::BareError => Answer::text(521, "text/plain", "error code: 521"),
            Mishap::DropBefore
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
            | Mishap::MovedAway => broken(500, "INTERNAL_ERROR", "internal error"),
        }
    }
}

fn locked() -> ApiError {
    ApiError::new(423, "LOCKED", "The resource is locked, wait two seconds")
}

fn listed(results: Value) -> Answer {
    Answer::json(200, json!({ "results": results }).to_string())
}

/// An answer of a batch that says of nobody what became of it.
fn silenced(answer: &Answer) -> Answer {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
        return answer.clone();
    };
    if let Some(fields) = body
        .as_object_mut()
        .filter(|fields| fields.contains_key("startedAt"))
    {
        fields.insert("results".to_owned(), json!([]));
        fields.remove("errors");
        fields.remove("numErrors");
    }
    Answer {
        body: body.to_string().into_bytes(),
        ..answer.clone()
    }
}
