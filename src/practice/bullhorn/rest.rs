//! The corporation as the HTTP frame sees it: which call goes where, who may make it, and what faults
//! look like here.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::auth::origin;
use super::corporation::{CallCount, Corporation};
use super::errors::{BullhornError, Detail};
use super::meta::Field;
use super::read::Parameters;
use super::write::MASS_UPDATED;
use crate::practice::call::{Answer, Call, Verb};
use crate::practice::faults::Mishap;
use crate::practice::folder::{Folder, FolderError};
use crate::practice::stand_in::StandIn;
use crate::practice::store::{Document, DocumentChange};

/// The host to which a call is sent on that leads to another site; whoever listens to it comes to
/// the same server by another name.
const FOREIGN_HOST: &str = "localhost";

type Answered = Result<Value, BullhornError>;

pub(crate) struct Bullhorn {
    corporation: Corporation,
}

impl Bullhorn {
    pub(crate) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        let corporation = Corporation::load(folder, documents)?;
        Ok(Self { corporation })
    }

    /// A call of data: with a session, and not one too many.
    fn data(&mut self, call: &Call, path: &[&str]) -> Answer {
        let token = call
            .header("bhresttoken")
            .or_else(|| call.parameter("BhRestToken"))
            .unwrap_or_default()
            .to_owned();
        if token.trim().is_empty() {
            let message = "BhRestToken is missing";
            let key = "errors.authentication.missingRestToken";
            return BullhornError::new(412, key, message).answer();
        }
        match self.corporation.count_call(call.now, call.hindrance.others) {
            CallCount::Taken => {}
            CallCount::TooMany => return self.told_limits(BullhornError::overburdened().answer()),
            CallCount::MonthUsed => return BullhornError::month_used().answer(),
        }
        let calls_max = call.hindrance.token_calls;
        let ends = self.corporation.use_session(&token, call.now, calls_max);
        let Some(ends) = ends else {
            return BullhornError::expired().answer();
        };
        let answered = match path {
            ["ping"] => Ok(json!({ "sessionExpires": ends.timestamp_millis() })),
            ["logout"] => {
                self.corporation.end_sessions(Some(&token));
                Ok(json!({}))
            }
            path => self.answered(call, path),
        };
        let answer = match answered {
            Ok(value) => Answer::json(200, value.to_string()),
            Err(error) => error.answer(),
        };
        self.told_limits(answer)
    }

    fn told_limits(&self, answer: Answer) -> Answer {
        let settings = &self.corporation.settings.corporation;
        if !settings.tells_limits {
            return answer;
        }
        let left = self.corporation.calls_left_in_minute();
        answer
            .with("ratelimit-limit", settings.calls_per_minute.to_string())
            .with("ratelimit-remaining", left.to_string())
            .with("ratelimit-reset", "60")
    }

    fn answered(&mut self, call: &Call, path: &[&str]) -> Answered {
        let corporation = &mut self.corporation;
        let number = |id: &str| {
            id.parse::<u64>()
                .map_err(|_| BullhornError::bad("errors.invalidId", format!("Bad id: {id}")))
        };
        match (call.method, path) {
            (Verb::Get, ["meta"]) => Ok(self.entities(call, "metaUrl", "meta")),
            (Verb::Get, ["meta", entity]) => self.meta(call, entity),
            (Verb::Get, ["entity", entity, ids]) => {
                corporation.expect_allowed(entity, "READ")?;
                corporation.by_ids(entity, ids, &parameters(call)?)
            }
            (Verb::Get, ["entity", entity, id, list]) => {
                corporation.expect_allowed(entity, "READ")?;
                corporation.members_of(entity, id, list, &parameters(call)?)
            }
            (Verb::Put, ["entity", entity]) => corporation.create(entity, &body(call)?, call.now),
            (Verb::Post, ["entity", entity, id]) => {
                corporation.update(entity, number(id)?, &body(call)?, call.now)
            }
            (Verb::Delete, ["entity", entity, id]) => {
                corporation.delete(entity, number(id)?, call.now)
            }
            (Verb::Put | Verb::Delete, ["entity", entity, id, list, ids]) => {
                let links = call.method == Verb::Put;
                corporation.associate(entity, number(id)?, list, ids, links, call.now)
            }
            (Verb::Post, ["association", entity, list]) => {
                corporation.associations(entity, list, &parameters(call)?)
            }
            (Verb::Get | Verb::Post, ["search", entity]) => {
                corporation.expect_allowed(entity, "READ")?;
                corporation.search(entity, &parameters(call)?, call.now)
            }
            (Verb::Get | Verb::Post, ["query", entity]) => {
                corporation.expect_allowed(entity, "READ")?;
                corporation.query(entity, &parameters(call)?)
            }
            (Verb::Get, ["massUpdate"]) => Ok(json!(MASS_UPDATED)),
            (Verb::Get, ["massUpdate", entity]) => {
                let properties = corporation.mass_properties(entity)?.into_iter();
                let told = properties.map(|name| {
                    json!({ "propertyName": name, "entitlementRequired": format!("Mass Update {entity}") })
                });
                Ok(told.collect::<Vec<Value>>().into())
            }
            (Verb::Post, ["massUpdate", entity]) => {
                corporation.mass_update(entity, &body(call)?, call.now)
            }
            (Verb::Get, ["options", kind]) => self.options(kind, &parameters(call)?),
            (Verb::Get, ["settings", names]) => Ok(self.settings(names)),
            (Verb::Get, ["entitlements"]) => {
                Ok(self.entities(call, "entitlementURL", "entitlements"))
            }
            (Verb::Get, ["entitlements", entity]) => {
                let all = ["CREATE", "READ", "UPDATE", "DELETE"];
                let allowed = all
                    .into_iter()
                    .filter(|entitlement| corporation.is_allowed(entity, entitlement));
                Ok(allowed.collect::<Vec<&str>>().into())
            }
            (Verb::Get, ["services", "dataLoader", "getByExternalID"]) => {
                corporation.by_external_id(&parameters(call)?)
            }
            _ => {
                let message = format!("{} {} is not there", call.method.name(), path.join("/"));
                Err(BullhornError::new(404, "errors.notFound", message))
            }
        }
    }

    fn rest_url(&self, call: &Call) -> String {
        let token = &self.corporation.settings.corporation.token;
        format!("{}/rest-services/{token}", origin(call))
    }

    fn entities(&self, call: &Call, key: &str, resource: &str) -> Value {
        let base = self.rest_url(call);
        let names = self.corporation.tables.keys();
        let told = names.map(|name| {
            let mut told = Map::new();
            told.insert("entity".to_owned(), name.as_str().into());
            told.insert(key.to_owned(), format!("{base}/{resource}/{name}").into());
            Value::from(told)
        });
        told.collect::<Vec<Value>>().into()
    }

    fn meta(&self, call: &Call, name: &str) -> Answered {
        let entity = self.corporation.entity(name)?;
        let asked = call.parameter("fields").unwrap_or("*");
        let is_full = call.parameter("meta") == Some("full");
        let names: Vec<&str> = asked.split(',').collect();
        let is_asked = |field: &&Field| asked == "*" || names.contains(&field.name.as_str());
        let unknown = names.iter().find(|name| **name != "*" && !entity.has(name));
        if let Some(unknown) = unknown {
            let message = format!("Invalid field '{unknown}' for entity {name}");
            return Err(BullhornError::bad("errors.invalidField", message));
        }
        let url = format!("{}/meta/{name}?fields={asked}", self.rest_url(call));
        Ok(entity.told(&url, is_full, entity.fields.iter().filter(is_asked)))
    }

    /// `options/{kind}`: an entity's records, as ids and names.
    fn options(&self, kind: &str, parameters: &Parameters) -> Answered {
        let entity = kind.strip_suffix("Text").unwrap_or(kind);
        let table = self.corporation.tables.get(entity).ok_or_else(|| {
            BullhornError::new(
                404,
                "errors.notFound",
                format!("Invalid option type: {kind}"),
            )
        })?;
        let text = |held: &Map<String, Value>, name: &str| {
            let text = held.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let told = table.rows.iter().map(|(id, row)| {
            let names = ["firstName", "lastName", "title"].map(|name| text(&row.held, name));
            let label = match text(&row.held, "name") {
                name if !name.is_empty() => name,
                _ => names.join(" ").trim().to_owned(),
            };
            let value = match kind.ends_with("Text") {
                true => Value::from(label.as_str()),
                false => Value::from(*id),
            };
            json!({ "value": value, "label": label })
        });
        let count = parameters
            .text("count")
            .and_then(|count| count.parse().ok());
        let data: Vec<Value> = told.take(count.unwrap_or(20).min(300)).collect();
        Ok(json!({ "data": data }))
    }

    fn settings(&self, names: &str) -> Value {
        let settings = &self.corporation.settings;
        let options = |entity: &str, field: &str| {
            let entity = self.corporation.entity(entity).ok();
            let field = entity.and_then(|entity| entity.field(field));
            field.map(|field| field.options.clone()).unwrap_or_default()
        };
        let of = |listed: &[String], entity: &str, field: &str| -> Value {
            match listed.is_empty() {
                true => options(entity, field).into(),
                false => listed.to_vec().into(),
            }
        };
        let mut told = Map::new();
        for name in names.split(',') {
            let value = match name {
                "corporationId" => settings.corporation.id.into(),
                "corporationName" => settings.corporation.name.as_str().into(),
                "userId" => settings.corporation.user_id.into(),
                "commentActionList" => of(&settings.lists.note_actions, "Note", "action"),
                "jobResponseStatusList" => of(
                    &settings.lists.submission_statuses,
                    "JobSubmission",
                    "status",
                ),
                _ => continue,
            };
            told.insert(name.to_owned(), value);
        }
        told.into()
    }
}

/// Parameters of the query and of the body.
fn parameters(call: &Call) -> Result<Parameters, BullhornError> {
    let mut all = match call.body.is_empty() {
        true => Map::new(),
        false => body(call)?,
    };
    for (name, value) in &call.query {
        all.insert(name.clone(), value.as_str().into());
    }
    Ok(Parameters(all))
}

fn body(call: &Call) -> Result<Map<String, Value>, BullhornError> {
    serde_json::from_slice(&call.body)
        .map_err(|error| BullhornError::bad("errors.invalidJson", format!("Bad JSON: {error}")))
}

/// What of a call's path stands after the corporation, if it names one.
fn data_path<'a>(path: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    match path {
        ["rest-services", token, rest @ ..] if !rest.is_empty() => Some((token, rest)),
        _ => None,
    }
}

impl StandIn for Bullhorn {
    fn kind_of(&self, call: &Call) -> String {
        let path = call.path();
        let kind = match (call.method, path.as_slice()) {
            (_, ["rest-services", "loginInfo"]) => "login_info",
            (_, ["oauth", "authorize"]) => "authorize",
            (_, ["oauth", "token"]) => "token",
            (_, ["rest-services", "login"]) => "login",
            (method, path) => match (method, data_path(path).map(|(_, rest)| rest)) {
                (Verb::Get, Some(["entity", ..])) => "entity",
                (Verb::Put, Some(["entity", _])) => "create",
                (Verb::Post, Some(["entity", ..])) => "update",
                (Verb::Delete, Some(["entity", _, _])) => "delete",
                (_, Some(["entity", ..])) => "associate",
                (Verb::Post, Some(["massUpdate", ..])) => "mass_update",
                (_, Some(["services", ..])) => "external_id",
                (_, Some(["search", ..])) => "search",
                (_, Some(["query", ..])) => "query",
                (_, Some(["meta", ..])) => "meta",
                (_, Some(["association", ..])) => "association",
                _ => "other",
            },
        };
        kind.to_owned()
    }

    fn locks(&self, _call: &Call) -> BTreeSet<String> {
        // Whoever writes last wins.
        BTreeSet::new()
    }

    fn long_calls_max(&self) -> usize {
        usize::MAX
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let is_foreign = call
            .header("host")
            .is_some_and(|host| host.starts_with(FOREIGN_HOST));
        if is_foreign {
            self.corporation.counters.strayed += 1;
            self.corporation.touch_counters();
        }
        let path = call.path();
        match path.as_slice() {
            ["rest-services", "loginInfo"] => self.corporation.login_info(call),
            ["oauth", "authorize"] => self.corporation.authorize(call),
            ["oauth", "token"] => self.corporation.token(call),
            ["rest-services", "login"] => self.corporation.login(call),
            path => match data_path(path) {
                Some((token, rest)) if token == self.corporation.settings.corporation.token => {
                    self.data(call, rest)
                }
                _ => BullhornError::new(404, "errors.notFound", "no such corporation").answer(),
            },
        }
    }

    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        let moved =
            |host: &str| Answer::new(307).with("Location", format!("http://{host}{}", call.uri));
        let host = call.header("host").unwrap_or_default().to_owned();
        match fault {
            Mishap::Expire => {
                self.corporation.end_sessions(None);
                BullhornError::expired().answer()
            }
            Mishap::Concurrent => BullhornError::overburdened().answer(),
            Mishap::Quota => BullhornError::month_used().answer(),
            Mishap::NoApi | Mishap::AppDetached => BullhornError::forbidden("REST API").answer(),
            Mishap::Unavailable => {
                let message = "The service is temporarily unavailable";
                BullhornError::new(503, "errors.unavailable", message).answer()
            }
            Mishap::TooLong => {
                BullhornError::new(500, "errors.internalError", "Read timed out").answer()
            }
            Mishap::BareError => {
                let path = call.path();
                let entity = path.get(3).copied().unwrap_or_default();
                let detail = Detail {
                    property: None,
                    message: None,
                    kind: "UNKNOWN_INTERNAL_ERROR".to_owned(),
                };
                BullhornError::persisting(entity, vec![detail]).answer()
            }
            Mishap::Moved => moved(&host),
            Mishap::MovedAway => {
                let port = host.rsplit(':').next().unwrap_or_default();
                moved(&format!("{FOREIGN_HOST}:{port}"))
            }
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
            | Mishap::ServerError => BullhornError::internal().answer(),
        }
    }

    fn work(&mut self, _now: DateTime<Utc>, _locked: &BTreeSet<String>) -> bool {
        false
    }

    fn take_changes(&mut self) -> Vec<DocumentChange> {
        self.corporation.take_changes()
    }

    fn told(&self) -> Value {
        let counters = &self.corporation.counters;
        json!({
            "calls_used": counters.used,
            "calls_allowed": self.corporation.settings.corporation.calls_per_month,
            "sessions": self.corporation.living_sessions(Utc::now()),
            "strayed": counters.strayed,
        })
    }

    fn command(
        &mut self,
        name: &str,
        _body: &Value,
        _now: DateTime<Utc>,
    ) -> Option<Result<(), String>> {
        match name {
            "expire" => {
                self.corporation.end_sessions(None);
                Some(Ok(()))
            }
            _ => None,
        }
    }
}
