//! Salesforce, through its REST API: what its paths, bodies and answers are. Waiting, tokens, quota
//! and comparing are seen to elsewhere.

mod answers;
pub(crate) mod bulk;
mod describe;
mod families;
mod kinds;
mod manner;
mod org;
mod parents;
mod queries;
mod values;
mod writes;

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use polars::prelude::DataFrame;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::answers::{errors, same_id};
use self::describe::Described;
use self::kinds::Kinds;
use self::manner::SalesforceManner;
use self::parents::Parents;
use self::values::text_of;
use super::access::{Sessions, live_access};
use super::descriptions::Descriptions;
use super::look_up::{Find, Hit, Texts};
use super::patience::patiently;
use super::seam::{Abilities, GuardStrength, Reply, Service, ServiceVerb, ServiceWrite};
use crate::destination::seam::{RowId, Stored};
use crate::domain::connection::{
    Auth, Connection, RuleUse, SalesforceOptions, Secret, ServiceSettings,
};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Object, ObjectName};
use crate::domain::problem::did_you_mean;
use crate::domain::referral::ReferenceColumn;
use crate::http::{Repeat, Request, Response, Session, Usage};
use crate::practice;

/// The newest version of the API that this program was tested with, that of Summer '26.
const VERSION: &str = "67.0";

/// Records of one request. Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm>.
const COLLECTION_MAX: usize = 200;

/// Parts of a composite request. Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_composite.htm>.
const COMPOSITE_MAX: usize = 25;

/// The sessions of this process, one for each org and user.
static SESSIONS: Sessions<SalesforceManner> = Sessions::new();

/// One connection to an org; all of a process share its session.
pub(crate) struct SalesforceDestination {
    session: Arc<Session<SalesforceManner>>,
    /// `/services/data/v67.0`.
    base: String,
    attempts_max: u32,
    /// The org's id, as far as the log-in told.
    account: Option<String>,
    /// The user's id, likewise.
    user: Option<String>,
    options: SalesforceOptions,
    descriptions: Descriptions<Described>,
    kinds: Kinds,
    parents: Parents,
}

/// An answer to a query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    done: bool,
    next_records_url: Option<String>,
    records: Vec<BTreeMap<String, Box<RawValue>>>,
}

/// The objects of an org, as far as they are asked for.
#[derive(Deserialize)]
struct Objects {
    sobjects: Vec<NamedObject>,
}

#[derive(Deserialize)]
struct NamedObject {
    name: String,
    #[serde(default)]
    label: String,
}

impl SalesforceDestination {
    pub(crate) async fn connect(
        connection: &Connection,
        settings: &ServiceSettings,
    ) -> Result<Self, SystemError> {
        let live = live_access(connection, settings, practised).await?;
        let session = SESSIONS.session(connection, settings, live, |live| {
            SalesforceManner::new(live, &connection.name)
        })?;
        let granted = session.log_in().await?;
        let version = settings.api_version.as_deref().unwrap_or(VERSION);
        let mut destination = Self {
            session,
            base: format!("/services/data/v{version}"),
            attempts_max: connection.limits.attempts_max,
            account: granted.account,
            user: granted.user,
            options: settings.options,
            descriptions: Descriptions::default(),
            kinds: Kinds::default(),
            parents: Parents::default(),
        };
        destination.expect_account(settings).await?;
        Ok(destination)
    }

    /// As [`crate::destination::AnyDestination::follow`].
    pub(super) fn follow(&mut self, settings: &ServiceSettings) {
        self.options = settings.options;
    }

    /// Refuses another org than the one that the file names, before anything is read of it.
    async fn expect_account(&mut self, settings: &ServiceSettings) -> Result<(), SystemError> {
        let Some(wanted) = &settings.account else {
            return Ok(());
        };
        let what = match &self.account {
            Some(account) if same_id(account, wanted) => return Ok(()),
            Some(account) => format!("the credentials lead to org `{account}`, not to `{wanted}`"),
            None => format!("the log-in does not tell whether it leads to org `{wanted}`"),
        };
        let name = self.session.connection();
        Err(SystemError::Forbidden {
            connection: name.to_owned(),
            source: what.into(),
            hint: format!(
                "give the credentials of the right org, or correct `account` in `[connections.{name}]`"
            ),
        })
    }

    async fn get(&self, path: String, repeat: Repeat) -> Result<Response, SystemError> {
        self.session.call(Request::get(path), repeat).await
    }

    /// Asks and reads the answer as JSON of this shape.
    async fn read<T: for<'a> Deserialize<'a>>(
        &self,
        path: String,
        doing: &str,
    ) -> Result<T, SystemError> {
        let response = self.get(path, Repeat::Asks).await?;
        if !response.is_success() {
            return Err(self.failure(&response, doing));
        }
        serde_json::from_slice(&response.body).map_err(|source| SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: doing.to_owned(),
            source: source.into(),
            hint: None,
        })
    }

    /// The error of an answer that refuses the request as a whole.
    fn failure(&self, response: &Response, doing: &str) -> SystemError {
        let told = errors(response);
        let words: Vec<String> = told.iter().map(ToString::to_string).collect();
        let source = match words.is_empty() {
            true => format!("it answered {}", response.status),
            false => words.join("; "),
        };
        let connection = self.session.connection().to_owned();
        let code = told.first().map_or("", |error| error.code.as_str());
        match code {
            "INSUFFICIENT_ACCESS"
            | "INSUFFICIENT_ACCESS_OR_READONLY"
            | "FUNCTIONALITY_NOT_ENABLED" => SystemError::Forbidden {
                connection,
                source: source.into(),
                hint: "give the user the right to it: Setup › Permission Sets".to_owned(),
            },
            _ => SystemError::Failed {
                connection,
                doing: doing.to_owned(),
                source: source.into(),
                hint: hint_of(code).map(str::to_owned),
            },
        }
    }

    /// The describe answer of an object.
    /// Errors: `NotFound`, with the objects that may be meant.
    pub(crate) async fn describe_text(&self, name: &str) -> Result<String, SystemError> {
        let path = format!("{}/sobjects/{}/describe", self.base, queries::encoded(name));
        let response = self.get(path, Repeat::Asks).await?;
        match response.status {
            200 => Ok(response.text()),
            404 => Err(self.no_object(name).await?),
            _ => Err(self.failure(&response, &format!("describing `{name}`"))),
        }
    }

    /// Names of the org's objects.
    pub(super) async fn object_names(&self) -> Result<Vec<String>, SystemError> {
        let objects = self.objects().await?;
        Ok(objects.into_iter().map(|object| object.name).collect())
    }

    async fn objects(&self) -> Result<Vec<NamedObject>, SystemError> {
        let path = format!("{}/sobjects", self.base);
        let objects: Objects = self.read(path, "listing the objects").await?;
        Ok(objects.sobjects)
    }

    async fn no_object(&self, name: &str) -> Result<SystemError, SystemError> {
        let objects = self.objects().await?;
        let labelled = objects.iter().find(|object| object.label == name);
        let names = objects.iter().map(|object| object.name.as_str());
        let hint = match labelled {
            Some(object) => Some(format!(
                "`{name}` is the label of `{}`: write that",
                object.name
            )),
            None => did_you_mean(name, names).or_else(|| {
                Some("write the API name, as Setup › Object Manager shows it; the user sees only objects that it may read".to_owned())
            }),
        };
        Ok(SystemError::NotFound {
            what: format!("object `{name}` of `{}`", self.session.connection()),
            hint,
        })
    }
}

/// How a practice is logged in to.
fn practised() -> Auth {
    Auth::ClientCredentials {
        client_id: practice::CLIENT_ID.to_owned(),
        client_secret: Secret::new(practice::CLIENT_SECRET.to_owned()),
    }
}

fn hint_of(code: &str) -> Option<&'static str> {
    match code {
        "INVALID_FIELD" => Some(
            "see whether the field is still there and whether the user may read it: Setup › Field-Level Security",
        ),
        "INVALID_TYPE" => {
            Some("see whether the object is still there and whether the user may read it")
        }
        _ => None,
    }
}

impl SalesforceDestination {
    /// As [`crate::destination::seam::Destination::describe`].
    pub(super) async fn describe(&self, name: &ObjectName) -> Result<Object, SystemError> {
        let [part] = name.parts.as_slice() else {
            return Err(SystemError::NotFound {
                what: format!("object `{name}` of `{}`", self.session.connection()),
                hint: Some("write the object's API name alone: `table = \"Account\"`".to_owned()),
            });
        };
        let described = self.described(&part.text).await?;
        let manner = &self.session.manner;
        manner.know_parents(&described.name, described.parents());
        Ok(described.object())
    }

    /// As [`crate::destination::seam::Destination::references`].
    pub(super) async fn references(
        &self,
        object: &Object,
    ) -> Result<Vec<ReferenceColumn>, SystemError> {
        let name = object.path.last().map_or("", String::as_str);
        Ok(self.described(name).await?.references())
    }

    async fn described(&self, name: &str) -> Result<Arc<Described>, SystemError> {
        let ask = async || {
            let text = self.describe_text(name).await?;
            let described = serde_json::from_str(&text);
            described
                .map(Arc::new)
                .map_err(|source| SystemError::Failed {
                    connection: self.session.connection().to_owned(),
                    doing: format!("describing `{name}`"),
                    source: source.into(),
                    hint: None,
                })
        };
        self.descriptions.once(name, ask).await
    }

    /// As [`crate::destination::seam::Destination::identity`].
    pub(super) fn identity(&self) -> String {
        let account = self.account.as_deref().and_then(answers::short_id);
        account.map_or_else(String::new, |account| format!("salesforce {account}"))
    }
}

impl Find for SalesforceDestination {
    fn connection(&self) -> &str {
        self.session.connection()
    }

    async fn find(
        &mut self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<Vec<Hit>, SystemError> {
        let version = version_field(&layout.object);
        let parents = self.parents_of(layout);
        let fields = selected(layout, version, &parents);
        let base = format!("{}/query", self.base);
        let mut hits = Vec::new();
        for path in queries::look_ups(&base, layout, &fields, keys) {
            let mut seen = HashSet::new();
            let mut next = Some(path);
            while let Some(path) = next {
                let page: Page = self.read(path.clone(), "looking records up").await?;
                seen.insert(path);
                for record in &page.records {
                    let hit = self.hit(layout, version, record)?;
                    self.parents.note(&parents, &hit.stored.id, record);
                    if kinds::counts(layout) {
                        self.kinds.note(layout, &hit.stored.id, record);
                    }
                    hits.push(hit);
                }
                next = self.next_page(page, &seen)?;
            }
        }
        Ok(hits)
    }

    fn key_form(field: &LayoutField, part: &str) -> String {
        values::key_form(field, part)
    }

    fn reference_form(field: &LayoutField, value: &str) -> String {
        values::reference_form(field, value)
    }

    fn same_after_storing(field: &LayoutField, sent: Option<&str>, held: Option<&str>) -> bool {
        values::same_after_storing(field, sent, held)
    }
}

impl SalesforceDestination {
    /// The path of the page that follows.
    /// Errors: it says that there is one and not where, or one that was read already.
    fn next_page(&self, page: Page, seen: &HashSet<String>) -> Result<Option<String>, SystemError> {
        if page.done {
            return Ok(None);
        }
        let next = page.next_records_url;
        match next.filter(|next| next.starts_with("/services/data/") && !seen.contains(next)) {
            Some(next) => Ok(Some(next)),
            None => Err(self.unreadable("it says that there is more and not where")),
        }
    }

    fn hit(
        &self,
        layout: &Layout,
        version: Option<&str>,
        record: &BTreeMap<String, Box<RawValue>>,
    ) -> Result<Hit, SystemError> {
        let value = |name: &str| -> Result<Option<String>, SystemError> {
            match record.get(name) {
                Some(value) => Ok(text_of(value.get())),
                None => Err(self.unreadable(&format!("a record has no `{name}`"))),
            }
        };
        let id = value("Id")?.filter(|id| answers::is_id(id));
        let id = id.ok_or_else(|| self.unreadable("a record has no id"))?;
        let version = match version {
            Some(name) => value(name)?,
            None => None,
        };
        let values = layout.fields.iter().map(|field| value(&field.column.name));
        Ok(Hit {
            stored: Stored {
                id: RowId(id),
                version,
            },
            values: values.collect::<Result<_, _>>()?,
        })
    }

    fn unreadable(&self, what: &str) -> SystemError {
        SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: "looking records up".to_owned(),
            source: format!("the answer is not what it should be: {what}").into(),
            hint: None,
        }
    }
}

/// The field that moves with every change of a record.
fn version_field(object: &Object) -> Option<&'static str> {
    ["LastModifiedDate", "SystemModstamp"]
        .into_iter()
        .find(|name| object.columns.iter().any(|column| column.name == *name))
}

/// Names of the fields that a look-up reads.
fn selected(layout: &Layout, version: Option<&str>, parents: &[String]) -> Vec<String> {
    let kind = kinds::counts(layout).then_some(kinds::KIND);
    let parents = parents.iter().map(String::as_str);
    let own = ["Id"].into_iter().chain(version).chain(kind).chain(parents);
    let fields = layout.fields.iter().map(|field| field.column.name.as_str());
    let mut names: Vec<String> = Vec::new();
    for name in own.chain(fields) {
        if names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    names
}

impl Service for SalesforceDestination {
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let texts = Texts::of(self.session.connection(), layout, records)?;
        let stopped = self.unoffered(layout, &texts, writes).await?;
        if stopped.iter().all(Option::is_none) {
            return self.apply_all(layout, &texts, writes).await;
        }
        let free = writes.iter().zip(&stopped);
        let free: Vec<ServiceWrite<'_>> = free
            .filter(|(_, stopped)| stopped.is_none())
            .map(|(write, _)| write.clone())
            .collect();
        let sent = match free.is_empty() {
            true => Vec::new(),
            false => self.apply_all(layout, &texts, &free).await?,
        };
        let mut sent = sent.into_iter();
        let replies = stopped.into_iter();
        Ok(replies
            .map(|stopped| stopped.unwrap_or_else(|| sent.next().unwrap_or(Reply::Unknown)))
            .collect())
    }

    async fn refused_unsent(
        &self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        if !kinds::counts(layout) {
            return Ok(vec![None; writes.len()]);
        }
        let texts = Texts::of(self.session.connection(), layout, records)?;
        self.unoffered(layout, &texts, writes).await
    }

    async fn settle(
        &mut self,
        layout: &Layout,
        records: usize,
        in_doubt: bool,
    ) -> Result<(), SystemError> {
        match self.options.bulk_from.is_some() && (in_doubt || records > COLLECTION_MAX) {
            true => self.wait_for_jobs(layout, in_doubt).await,
            false => Ok(()),
        }
    }

    fn abilities(&self, object: &Object) -> Abilities {
        Abilities {
            writes_max: match self.options.bulk_from {
                Some(_) => bulk::JOB_RECORDS_MAX,
                None => COLLECTION_MAX,
            },
            guarded_max: COMPOSITE_MAX,
            guard: version_field(object).map(|_| GuardStrength::WholeSeconds),
            marks_creates: false,
        }
    }

    fn update_calls(&self, _object: &Object, updates: usize, guarded: bool) -> u64 {
        let from = self.options.bulk_from.map(NonZeroU32::get);
        let in_bulk = from.is_some_and(|from| u64::from(from) <= updates as u64);
        match (guarded, in_bulk) {
            (true, _) => updates.div_ceil(COMPOSITE_MAX) as u64,
            (false, true) => bulk::JOB_CALLS,
            (false, false) => updates.div_ceil(COLLECTION_MAX) as u64,
        }
    }

    fn calls_used(&self) -> Option<Usage> {
        self.session.usage().0
    }
}

impl SalesforceDestination {
    async fn apply_all(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        if let Some(from) = self.options.bulk_from
            && writes.len() >= usize::try_from(from.get()).unwrap_or(usize::MAX)
        {
            return self.apply_in_bulk(layout, texts, writes).await;
        }
        self.apply_in_collections(layout, texts, writes).await
    }

    /// Sends what fits into a job in one, and the rest in collections.
    async fn apply_in_bulk(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let fitting: Vec<bool> = writes
            .iter()
            .map(|write| bulk::fits(texts, write))
            .collect();
        if !fitting.contains(&true) {
            return self.apply_in_collections(layout, texts, writes).await;
        }
        let chosen = |wanted: bool| {
            let both = writes.iter().zip(&fitting);
            both.filter(move |(_, fits)| **fits == wanted)
                .map(|(write, _)| write)
        };
        let in_job: Vec<&ServiceWrite<'_>> = chosen(true).collect();
        let others: Vec<ServiceWrite<'_>> = chosen(false).cloned().collect();
        let told = self.send_in_bulk(layout, texts, &in_job).await?;
        let mut told = told.into_iter();
        let mut rest = match others.is_empty() {
            true => Vec::new(),
            false => match self.apply_in_collections(layout, texts, &others).await {
                Ok(replies) => replies,
                // The job is carried out: what was not sent beside it is sent later.
                Err(SystemError::Unanswered { .. }) => vec![Reply::Unknown; others.len()],
                Err(error) => vec![not_sent(&error); others.len()],
            },
        }
        .into_iter();
        let reply = |fits: &bool| if *fits { told.next() } else { rest.next() };
        let replies = fitting.iter().map(reply);
        Ok(replies
            .map(|reply| reply.unwrap_or(Reply::Unknown))
            .collect())
    }

    async fn apply_in_collections(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let is_guarded = |write: &ServiceWrite<'_>| {
            matches!(write.verb, ServiceVerb::Update { guarded: true, .. })
        };
        let portion_max = match writes.iter().any(is_guarded) {
            true => COMPOSITE_MAX,
            false => COLLECTION_MAX,
        };
        // Those of one parent stand together.
        let mut order: Vec<(usize, &ServiceWrite<'_>)> = writes.iter().enumerate().collect();
        order.sort_by_key(|(_, write)| self.parents.of_write(write));
        let (places, writes): (Vec<usize>, Vec<&ServiceWrite<'_>>) = order.into_iter().unzip();
        let sent = patiently(
            &writes,
            portion_max,
            self.attempts_max,
            |portion| async move { self.send(layout, texts, &portion).await },
        );
        let mut replies = vec![Reply::Unknown; places.len()];
        for (place, reply) in places.into_iter().zip(sent.await?) {
            if let Some(slot) = replies.get_mut(place) {
                *slot = reply;
            }
        }
        Ok(replies)
    }

    /// The fields that tell the parents of a layout's records.
    fn parents_of(&self, layout: &Layout) -> Vec<String> {
        let object = layout.object.path.last().map_or("", String::as_str);
        self.session.manner.parents(object)
    }

    /// The request under the org's rules that the write-back leaves in force.
    fn with_rules(&self, mut request: Request) -> Request {
        if self.options.assigns {
            request
                .headers
                .retain(|(name, _)| *name != "Sforce-Auto-Assign");
        }
        match self.options.duplicate_rules {
            RuleUse::Enforced => request,
            RuleUse::Bypassed => {
                request.with_header("Sforce-Duplicate-Rule-Header", "allowSave=true")
            }
        }
    }

    /// Sends writes of one verb in one request.
    async fn send(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let wanted = writes::request(&self.base, layout, texts, writes);
        let request = self.with_rules(wanted.request);
        let parents = writes.iter().flat_map(|write| self.parents.of_write(write));
        let turn = self
            .session
            .manner
            .families
            .turn(parents.cloned().collect());
        let _turn = turn.await;
        let response = self.session.call(request, wanted.repeat).await?;
        if response.is_success() {
            return Ok(wanted.shape.replies(&response.body, writes));
        }
        let told = errors(&response);
        match (response.status, writes.len()) {
            (413 | 414 | 431, 2..) => {
                let why = format!("the request is too large, it answered {}", response.status);
                Ok(vec![Reply::Again { after: None, why }; writes.len()])
            }
            (400..=499, 1) if !told.is_empty() => Ok(vec![answers::refusal(&told)]),
            _ => Err(self.failure(&response, "writing records")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::panic, reason = "tests may")]
mod tests;

fn not_sent(error: &SystemError) -> Reply {
    Reply::Again {
        after: None,
        why: crate::domain::error::chain(error).join(": "),
    }
}
