//! Which resource a call is for, and what a fault looks like here.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::auth::unauthorized;
use super::batch::urls_of;
use super::environment::Environment;
use super::errors::ODataError;
use super::limits::{server_of, too_many_at_once, too_much_time, with_limits};
use super::read::set_and_key;
use super::table::Definition;
use super::write::{Condition, Manner};
use crate::practice::call::{Answer, Call, Verb};
use crate::practice::faults::Mishap;
use crate::practice::folder::{Folder, FolderError};
use crate::practice::stand_in::StandIn;
use crate::practice::store::{Document, DocumentChange};

/// Bytes of a URL, and of one within a batch.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query/overview>.
const URL_BYTES_MAX: usize = 32_768;
const BATCHED_URL_BYTES_MAX: usize = 65_536;

const JSON: &str = "application/json; odata.metadata=minimal";

/// What the actions of bulk messages begin with.
const ACTION: &str = "Microsoft.Dynamics.CRM.";

/// A practice Dataverse.
#[derive(Debug)]
pub(crate) struct Dataverse {
    environment: Environment,
}

impl Dataverse {
    /// The environment that a folder describes, with what became of it since.
    pub(crate) fn load(folder: Folder, documents: &[Document]) -> Result<Self, FolderError> {
        Ok(Self {
            environment: Environment::load(folder, documents)?,
        })
    }
}

impl StandIn for Dataverse {
    fn kind_of(&self, call: &Call) -> String {
        kind(call).to_owned()
    }

    fn locks(&self, call: &Call) -> BTreeSet<String> {
        locks(call)
    }

    fn long_calls_max(&self) -> usize {
        self.environment.settings.environment.concurrent_max
    }

    fn answer(&mut self, call: &Call) -> Answer {
        self.environment.answer(call)
    }

    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        self.environment.refuse(fault, call)
    }

    fn work(&mut self, _now: DateTime<Utc>, _locked: &BTreeSet<String>) -> bool {
        false
    }

    fn take_changes(&mut self) -> Vec<DocumentChange> {
        self.environment.take_changes()
    }

    fn told(&self) -> Value {
        let tables = self.environment.tables.values();
        let rows: Map<String, Value> = tables
            .map(|table| {
                (
                    table.definition.name.clone(),
                    Value::from(table.rows().count()),
                )
            })
            .collect();
        let tallies = &self.environment.tallies;
        json!({
            "used": tallies.used, "items": tallies.items, "audited": tallies.audited, "flows": tallies.flows,
            "records": rows, "account": self.environment.organization(),
        })
    }

    fn command(
        &mut self,
        name: &str,
        body: &Value,
        _now: DateTime<Utc>,
    ) -> Option<Result<(), String>> {
        match name {
            "expire" => {
                self.environment.expire(None);
                Some(Ok(()))
            }
            "vanish" => {
                let id = body.get("id").and_then(Value::as_str);
                self.environment.vanishing.extend(id.map(str::to_owned));
                Some(Ok(()))
            }
            "meddle" => {
                let text = |name: &str| body.get(name).and_then(Value::as_str);
                let value = body.get("value").cloned().unwrap_or_default();
                let meant = text("id").zip(text("column"));
                let meant = meant.map(|(id, column)| (id.to_owned(), column.to_owned(), value));
                self.environment.meddling.extend(meant);
                Some(Ok(()))
            }
            "organization" => {
                let id = body.get("id").and_then(Value::as_str).map(str::to_owned);
                self.environment.tallies.organization = id;
                self.environment.touch_tallies();
                Some(Ok(()))
            }
            _ => None,
        }
    }
}

/// What kind of call it is: by these names calls are counted, and faults strike.
fn kind(call: &Call) -> &'static str {
    let path = call.path();
    let rest = match path.as_slice() {
        [_, "oauth2", "v2.0", "token"] => return "token",
        ["api", "data", _, rest @ ..] => rest,
        _ => return "other",
    };
    match (call.method, rest) {
        (_, ["$batch"]) => "batch",
        (Verb::Get, ["WhoAmI"]) => "who_am_i",
        (Verb::Get, [first, ..]) if first.starts_with("EntityDefinitions") => "definitions",
        (Verb::Get, ["sdkmessagefilters"]) => "messages",
        (Verb::Get, [_, action]) if action.starts_with(ACTION) => "privileges",
        (Verb::Post, [_, action]) => match action.strip_prefix(ACTION) {
            Some("CreateMultiple") => "create_multiple",
            Some("UpdateMultiple") => "update_multiple",
            Some("UpsertMultiple") => "upsert_multiple",
            _ => "other",
        },
        (Verb::Get, [set]) if !set.contains('(') => "query",
        (Verb::Get, _) => "row_read",
        (Verb::Post, [_]) => "row_create",
        (Verb::Patch | Verb::Put, _) => "row_update",
        (Verb::Delete, _) => "row_delete",
        (Verb::Head | Verb::Post, _) => "other",
    }
}

/// Ids of the rows that a call writes.
fn locks(call: &Call) -> BTreeSet<String> {
    let in_url = |url: &str| {
        let (_, rest) = url.rsplit_once('(')?;
        let id = Uuid::parse_str(rest.split(')').next()?).ok()?;
        Some(id.to_string())
    };
    if matches!(call.method, Verb::Get | Verb::Head) {
        return BTreeSet::new();
    }
    if call.uri.ends_with("$batch") {
        return urls_of(call).iter().filter_map(|url| in_url(url)).collect();
    }
    let mut ids: BTreeSet<String> = in_url(&call.uri).into_iter().collect();
    if call.uri.contains("Multiple")
        && let Ok(body) = serde_json::from_slice::<Value>(&call.body)
    {
        let targets = body.get("Targets").and_then(Value::as_array);
        let rows = targets.into_iter().flatten().filter_map(Value::as_object);
        let values = rows.flat_map(|row| row.iter());
        let of_ids = values.filter(|(name, _)| name.ends_with("id") && !name.contains('@'));
        ids.extend(
            of_ids
                .filter_map(|(_, value)| Some(Uuid::parse_str(value.as_str()?).ok()?.to_string())),
        );
    }
    ids
}

impl Environment {
    fn answer(&mut self, call: &Call) -> Answer {
        if call.uri.len() > URL_BYTES_MAX {
            return Answer::text(414, "text/html", "<h2>Request URL Too Long</h2>");
        }
        let path = call.path();
        match path.as_slice() {
            [tenant, "oauth2", "v2.0", "token"] => {
                let tenant = (*tenant).to_owned();
                self.token(call, &tenant)
            }
            ["api", "data", version, ..] if is_version(version) => self.counted(call),
            _ => Answer::text(
                404,
                "text/html",
                "<h2>404 - File or directory not found.</h2>",
            ),
        }
    }

    /// A call of data: with a token, and counted.
    fn counted(&mut self, call: &Call) -> Answer {
        if let Err(answer) = self.admitted(call) {
            return answer;
        }
        let environment = &self.settings.environment;
        let (user, parallel) = (environment.user.clone(), environment.parallel);
        let server = server_of(call);
        let admitted = self
            .protection
            .admit(&user, server, call.now, environment.requests_max);
        let remaining = match admitted {
            Ok(remaining) => remaining,
            Err(error) => return with_limits(error.answer(), server, 0, parallel),
        };
        self.tallies.used += 1;
        self.tallies.items += 1;
        self.touch_tallies();
        if !matches!(call.method, Verb::Get | Verb::Head) {
            self.vanish();
            self.meddle();
        }
        let answer = match call.uri.ends_with("/$batch") {
            true => self.batch(call, &|environment, inner| environment.within_batch(inner)),
            false => self.within(call),
        };
        with_limits(answer, server, remaining, parallel).with("OData-Version", "4.0")
    }

    /// Somebody else deletes the rows that are to go before the next write.
    fn vanish(&mut self) {
        for id in std::mem::take(&mut self.vanishing) {
            let tables: Vec<String> = self.tables.keys().cloned().collect();
            for table in tables {
                if self.row(&table, &id).is_some() {
                    self.put(&table, &id, None);
                }
            }
        }
    }

    /// Somebody else changes rows before the next write.
    fn meddle(&mut self) {
        for (id, column, value) in std::mem::take(&mut self.meddling) {
            let tables: Vec<String> = self.tables.keys().cloned().collect();
            for table in tables {
                if let Some(mut row) = self.row(&table, &id).cloned() {
                    row.set(&column, value.clone());
                    row.version = self.next_version();
                    self.put(&table, &id, Some(row));
                }
            }
        }
    }

    fn within_batch(&mut self, call: &Call) -> Answer {
        match call.uri.len() > BATCHED_URL_BYTES_MAX {
            true => ODataError::invalid("The URL of a request in the batch is too long.").answer(),
            false => self.within(call),
        }
    }

    /// A call whose caller is known, also one within a batch. What a failed one did is taken back.
    fn within(&mut self, call: &Call) -> Answer {
        let mark = self.mark();
        match self.resource(call) {
            Ok(answer) => answer,
            Err(error) => {
                self.roll_back(mark);
                error.answer()
            }
        }
    }

    fn resource(&mut self, call: &Call) -> Result<Answer, ODataError> {
        let told = |value: Value| Ok(Answer::text(200, JSON, value.to_string()));
        let path = call.path();
        let rest = path.get(3..).unwrap_or_default();
        expect_known_options(call, rest)?;
        match (call.method, rest) {
            (Verb::Get, ["WhoAmI"]) => told(self.who_am_i()),
            (Verb::Get, [first, ..]) if first.starts_with("EntityDefinitions") => {
                told(self.definitions(call, rest)?)
            }
            (Verb::Get, ["sdkmessagefilters"]) => told(self.messages(call)),
            (method, [first, rest @ ..]) => {
                let (set, key) = set_and_key(first);
                let definition = self
                    .of_set(set)
                    .ok_or_else(|| ODataError::no_segment(set))?;
                match (method, key, rest) {
                    (
                        Verb::Get,
                        Some(_),
                        [
                            "Microsoft.Dynamics.CRM.RetrieveUserPrivileges"
                            | "Microsoft.Dynamics.CRM.RetrieveUserPrivileges()",
                        ],
                    ) => told(self.privileges()),
                    (Verb::Get, Some(_), ["systemuserprofiles_association"]) => {
                        told(self.profiles())
                    }
                    (Verb::Get, None, []) => {
                        self.expect_privilege(&definition, "Read")?;
                        told(self.read_rows(call, &definition)?)
                    }
                    (Verb::Get, Some(key), []) => {
                        self.expect_privilege(&definition, "Read")?;
                        told(self.read_row(call, &definition, key)?)
                    }
                    (Verb::Post, None, []) => self.posted(call, &definition),
                    (Verb::Post, None, [action]) => {
                        let message = action.strip_prefix(ACTION);
                        let message = message.ok_or_else(|| ODataError::no_segment(action))?;
                        let ids = self.multiple(call, &definition, message)?;
                        ids.map_or_else(|| Ok(Answer::new(204)), told)
                    }
                    (Verb::Patch, Some(key), []) => self.patched(call, &definition, key),
                    (Verb::Delete, Some(key), []) => {
                        let named = self.named(&definition, key)?;
                        self.delete(&definition, &named, &Manner::of(call))?;
                        Ok(Answer::new(204))
                    }
                    (Verb::Get, Some(key), [name]) => {
                        self.expect_privilege(&definition, "Read")?;
                        let list = definition.list(name);
                        let list = list.ok_or_else(|| ODataError::no_segment(name))?;
                        told(self.read_list(call, &definition, key, list)?)
                    }
                    (Verb::Post, Some(key), [name, "$ref"]) => {
                        let list = definition.list(name);
                        let list = list.ok_or_else(|| ODataError::no_segment(name))?;
                        self.associate(call, (&definition, key), list)
                    }
                    (Verb::Delete, Some(key), [name, "$ref"])
                        if definition.list(set_and_key(name).0).is_some() =>
                    {
                        let (name, member) = set_and_key(name);
                        let list = definition.list(name);
                        let list = list.ok_or_else(|| ODataError::no_segment(name))?;
                        self.disassociate(call, (&definition, key), (list, member))
                    }
                    (Verb::Put | Verb::Delete, Some(key), [column]) => {
                        self.one_column(call, &definition, key, column)
                    }
                    (Verb::Put | Verb::Delete, Some(key), [navigation, "$ref"]) => {
                        self.reference(call, &definition, key, navigation)
                    }
                    _ => Err(ODataError::no_segment(rest.last().unwrap_or(first))),
                }
            }
            (_, []) => Err(ODataError::no_segment("")),
        }
    }

    fn posted(&mut self, call: &Call, definition: &Arc<Definition>) -> Result<Answer, ODataError> {
        let body = object(call)?;
        let written = self.create(definition, None, &body, &Manner::of(call))?;
        match wants_representation(call) {
            true => self.representation(call, definition, &written.id, 201),
            false => {
                Ok(Answer::new(204)
                    .with("OData-EntityId", entity_url(call, definition, &written.id)))
            }
        }
    }

    fn patched(
        &mut self,
        call: &Call,
        definition: &Arc<Definition>,
        key: &str,
    ) -> Result<Answer, ODataError> {
        let body = object(call)?;
        let named = self.named(definition, key)?;
        let written = self.patch(definition, &named, &body, &Manner::of(call))?;
        let status = if written.created { 201 } else { 200 };
        match wants_representation(call) {
            true => self.representation(call, definition, &written.id, status),
            // The URL comes back as it was sent.
            false => Ok(Answer::new(204).with("OData-EntityId", entity_url(call, definition, key))),
        }
    }

    fn representation(
        &self,
        call: &Call,
        definition: &Arc<Definition>,
        id: &str,
        status: u16,
    ) -> Result<Answer, ODataError> {
        let told = self.read_row(call, definition, id)?;
        Ok(Answer::text(status, JSON, told.to_string())
            .with("OData-EntityId", entity_url(call, definition, id))
            .with("Preference-Applied", "return=representation"))
    }

    /// `PUT accounts(…)/name`, `DELETE accounts(…)/name`.
    fn one_column(
        &mut self,
        call: &Call,
        definition: &Arc<Definition>,
        key: &str,
        column: &str,
    ) -> Result<Answer, ODataError> {
        let value = match call.method {
            Verb::Delete => Value::Null,
            Verb::Get | Verb::Head | Verb::Post | Verb::Put | Verb::Patch => {
                object(call)?.get("value").cloned().unwrap_or_default()
            }
        };
        let body: Map<String, Value> = [(column.to_owned(), value)].into_iter().collect();
        self.write_part(call, definition, key, &body)
    }

    /// `PUT accounts(…)/primarycontactid/$ref`, and `DELETE` of it.
    fn reference(
        &mut self,
        call: &Call,
        definition: &Arc<Definition>,
        key: &str,
        navigation: &str,
    ) -> Result<Answer, ODataError> {
        let target = match call.method {
            Verb::Delete => Value::Null,
            Verb::Get | Verb::Head | Verb::Post | Verb::Put | Verb::Patch => {
                object(call)?.get("@odata.id").cloned().unwrap_or_default()
            }
        };
        let name = format!("{navigation}@odata.bind");
        let body: Map<String, Value> = [(name, target)].into_iter().collect();
        self.write_part(call, definition, key, &body)
    }

    fn write_part(
        &mut self,
        call: &Call,
        definition: &Arc<Definition>,
        key: &str,
        body: &Map<String, Value>,
    ) -> Result<Answer, ODataError> {
        let named = self.named(definition, key)?;
        let manner = Manner::of(call);
        let manner = match manner.condition {
            Condition::None => manner.with(Condition::Exists),
            Condition::Exists | Condition::Absent | Condition::Unchanged(_) => manner,
        };
        self.patch(definition, &named, body, &manner)?;
        Ok(Answer::new(204))
    }

    /// What a fault looks like here.
    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer {
        let most = self.settings.environment.concurrent_max;
        let error = match fault {
            Mishap::Expire => {
                self.expire(Some(call));
                return unauthorized();
            }
            Mishap::NoApi => ODataError::new(
                403,
                "0x80072560",
                "The user is not a member of the organization.",
            ),
            Mishap::AppDetached => {
                ODataError::new(403, "0x80040225", "The specified user is disabled.")
            }
            Mishap::Quota => ODataError {
                retry_after: Some(1),
                ..ODataError::new(
                    429,
                    "0x80072322",
                    "Number of requests exceeded the limit of 6000 over time window of 300 seconds.",
                )
            },
            Mishap::Concurrent => too_many_at_once(most),
            Mishap::TooLong => too_much_time(),
            Mishap::Unavailable => {
                return Answer::text(503, "text/html", "<h2>Service Unavailable</h2>");
            }
            Mishap::BareError => {
                return Answer::json(500, r#"{"Message":"An error has occurred."}"#);
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
            | Mishap::MovedAway => {
                ODataError::new(500, "0x80040216", "An unexpected error occurred.")
            }
        };
        error.answer().with("OData-Version", "4.0")
    }
}

/// Versions that are spoken: `v9.0` to `v9.2`.
fn is_version(text: &str) -> bool {
    matches!(text, "v9.0" | "v9.1" | "v9.2")
}

fn object(call: &Call) -> Result<Map<String, Value>, ODataError> {
    serde_json::from_slice(&call.body).map_err(|error| {
        ODataError::payload(format!(
            "Error identified in Payload provided by the user: {error}"
        ))
    })
}

fn wants_representation(call: &Call) -> bool {
    let prefer = call.header("prefer").unwrap_or_default();
    prefer.contains("return=representation")
}

fn entity_url(call: &Call, definition: &Definition, key: &str) -> String {
    let host = call.header("host").unwrap_or("localhost");
    let scheme = call.header("x-forwarded-proto").unwrap_or("http");
    let version = call.segments.get(2).map_or("v9.2", String::as_str);
    format!(
        "{scheme}://{host}/api/data/{version}/{}({key})",
        definition.set
    )
}

/// What a query may say. Another answer than the one that was asked for would pass for it.
const OPTIONS: [&str; 7] = [
    "$select",
    "$filter",
    "$top",
    "$count",
    "$orderby",
    "$expand",
    "$skiptoken",
];

/// Queries that say otherwise what is asked for.
const OTHER_QUERIES: [&str; 3] = ["fetchXml", "savedQuery", "userQuery"];

/// Errors: the stand-in does not know an option of a query.
fn expect_known_options(call: &Call, rest: &[&str]) -> Result<(), ODataError> {
    let is_described = |option: &str| {
        let definition = rest
            .first()
            .is_some_and(|first| first.starts_with("EntityDefinitions"));
        option == "$expand" && definition && rest.len() < 3
    };
    let is_unknown = |option: &str| {
        let is_option = option.starts_with('$') || OTHER_QUERIES.contains(&option);
        is_option && (!OPTIONS.contains(&option) || is_described(option))
    };
    let names = call.query.iter().map(|(name, _)| name.as_str());
    match names.into_iter().find(|name| is_unknown(name)) {
        Some(unknown) => Err(ODataError::new(
            501,
            "0x80060888",
            format!("This practice does not know the query option '{unknown}'."),
        )),
        None => Ok(()),
    }
}
