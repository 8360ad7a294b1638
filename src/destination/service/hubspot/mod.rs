//! HubSpot, through its CRM API: what its paths, bodies and answers are. Waiting, tokens, quota and
//! comparing are seen to elsewhere.

mod answers;
mod associations;
mod describe;
mod find;
mod manner;
mod marks;
mod owners;
mod portal;
mod stages;
mod unseen;
mod values;
mod writes;

use std::sync::Arc;
use std::time::Instant;

use polars::prelude::DataFrame;
use serde::Deserialize;
use serde_json::Value;

use self::answers::{ApiError, Batch, Input, refusal};
use self::describe::{AssociationTypes, STANDARD_OBJECTS, Schema, associated};
use self::manner::HubSpotManner;
use self::marks::{id_of, mark_of};
use self::stages::{Backwards, Detour, Properties, STAGE, Stages, update_body};
use self::unseen::SEARCH_LAG;
use self::writes::{Verb, body, inputs, sent};
use super::access::{Sessions, live_access};
use super::descriptions::Descriptions;
use super::look_up::Texts;
use super::patience::patiently;
use super::seam::{Abilities, GuardStrength, Reply, Service, ServiceVerb, ServiceWrite};
use crate::domain::connection::{Auth, Connection, Secret, ServiceSettings};
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Object, ObjectName};
use crate::domain::problem::did_you_mean;
use crate::domain::referral::ReferenceColumn;
use crate::fault;
use crate::http::{HttpMethod, Repeat, Request, Response, Session, Usage};
use crate::practice;

/// The newest version of the API that this program was tested with.
const VERSION: &str = "2026-09";

/// Records of one request.
/// Source: <https://developers.hubspot.com/docs/api-reference/crm-objects-v3/guide>.
const BATCH_MAX: usize = 100;

/// The sessions of this process, one for each portal and token.
static SESSIONS: Sessions<HubSpotManner> = Sessions::new();

/// One connection to a portal; all of a process share its session.
pub(crate) struct HubSpotDestination {
    session: Arc<Session<HubSpotManner>>,
    /// `2026-09`.
    version: String,
    attempts_max: u32,
    /// The portal's id, as far as it may be asked for.
    account: Option<String>,
    descriptions: Descriptions<Schema>,
    stages: Stages,
}

/// The portal's own objects.
#[derive(Deserialize)]
struct Schemas {
    results: Vec<Schema>,
}

impl HubSpotDestination {
    pub(crate) async fn connect(
        connection: &Connection,
        settings: &ServiceSettings,
    ) -> Result<Self, SystemError> {
        let live = live_access(connection, settings, practised).await?;
        let version = settings.api_version.as_deref().unwrap_or(VERSION);
        let session = SESSIONS.session(connection, settings, live, |live| {
            let lag = settings.search_lag.unwrap_or(SEARCH_LAG);
            HubSpotManner::new(live, &connection.name, version, lag)
        })?;
        let granted = session.log_in().await?;
        let destination = Self {
            session,
            version: version.to_owned(),
            attempts_max: connection.limits.attempts_max,
            account: granted.account,
            descriptions: Descriptions::default(),
            stages: Stages::default(),
        };
        destination.expect_account(settings)?;
        Ok(destination)
    }

    /// Refuses another portal than the one that the file names, before anything is read of it.
    fn expect_account(&self, settings: &ServiceSettings) -> Result<(), SystemError> {
        let Some(wanted) = &settings.account else {
            return Ok(());
        };
        let what = match &self.account {
            Some(account) if account == wanted => return Ok(()),
            Some(account) => format!("the token leads to portal `{account}`, not to `{wanted}`"),
            None => format!("the token may not tell whether it leads to portal `{wanted}`"),
        };
        let name = self.session.connection();
        Err(SystemError::Forbidden {
            connection: name.to_owned(),
            source: what.into(),
            hint: format!(
                "give the token of the right portal, or correct `account` in `[connections.{name}]`"
            ),
        })
    }

    async fn get(&self, path: String) -> Result<Response, SystemError> {
        self.session.call(Request::get(path), Repeat::Asks).await
    }

    async fn post(
        &self,
        path: String,
        body: String,
        repeat: Repeat,
    ) -> Result<Response, SystemError> {
        let request = Request::new(HttpMethod::Post, path).with_json(body);
        self.session.call(request, repeat).await
    }

    fn schemas_path(&self) -> String {
        format!("/crm-object-schemas/{}/schemas", self.version)
    }

    fn objects_path(&self, object: &Object, rest: &str) -> String {
        let name = object.path.last().map_or("", String::as_str);
        format!("/crm/objects/{}/{}/{rest}", self.version, encoded(name))
    }

    /// The error of an answer that refuses the request as a whole.
    fn failure(&self, response: &Response, doing: &str) -> SystemError {
        let source = match ApiError::of(response) {
            Some(error) => error.to_string(),
            None => format!("it answered {}", response.status),
        };
        SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: doing.to_owned(),
            source: source.into(),
            hint: None,
        }
    }

    fn unreadable(&self, doing: &str, what: &str) -> SystemError {
        SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: doing.to_owned(),
            source: format!("the answer is not what it should be: {what}").into(),
            hint: None,
        }
    }

    /// The schema of an object, which holds its properties.
    /// Errors: `NotFound`, with the objects that may be meant.
    pub(crate) async fn describe_text(&self, name: &str) -> Result<String, SystemError> {
        let path = format!("{}/{}", self.schemas_path(), encoded(name));
        let response = self.get(path).await?;
        match response.status {
            200 => Ok(response.text()),
            400 | 404 => Err(self.no_object(name).await?),
            _ => Err(self.failure(&response, &format!("describing `{name}`"))),
        }
    }

    /// Names of the objects that every portal has, and of those of the portal's own.
    pub(super) async fn object_names(&self) -> Result<Vec<String>, SystemError> {
        let schemas = self.schemas().await?;
        let standard = STANDARD_OBJECTS.iter();
        let standard = standard.map(|(_, name, _)| (*name).to_owned());
        let own = schemas.results.iter();
        let own = own.map(|schema| schema.path_name().to_owned());
        Ok(standard.chain(own).collect())
    }

    async fn schemas(&self) -> Result<Schemas, SystemError> {
        let doing = "listing the objects";
        let response = self.get(self.schemas_path()).await?;
        if !response.is_success() {
            return Err(self.failure(&response, doing));
        }
        serde_json::from_slice(&response.body)
            .map_err(|_| self.unreadable(doing, "it lists no objects"))
    }

    async fn no_object(&self, name: &str) -> Result<SystemError, SystemError> {
        let schemas = self.schemas().await?;
        let labelled = schemas
            .results
            .iter()
            .find(|schema| schema.is_labelled(name));
        let names = || {
            let own = schemas.results.iter().map(Schema::path_name);
            STANDARD_OBJECTS.iter().map(|(_, name, _)| *name).chain(own)
        };
        let hint = match labelled {
            Some(schema) => format!(
                "`{name}` is the label of `{}`: write that",
                schema.path_name()
            ),
            None => did_you_mean(name, names()).unwrap_or_else(|| {
                "write `contacts`, `companies`, `deals`, `tickets`, or an object of the portal's own by its full name, `p12345_name`".to_owned()
            }),
        };
        Ok(SystemError::NotFound {
            what: format!("object `{name}` of `{}`", self.session.connection()),
            hint: Some(hint),
        })
    }

    /// As [`crate::destination::seam::Destination::describe`].
    pub(super) async fn describe(&self, name: &ObjectName) -> Result<Object, SystemError> {
        let [part] = name.parts.as_slice() else {
            return Err(SystemError::NotFound {
                what: format!("object `{name}` of `{}`", self.session.connection()),
                hint: Some("write the object's name alone: `table = \"contacts\"`".to_owned()),
            });
        };
        if part.text == describe::OWNERS {
            return Ok(describe::owners());
        }
        Ok(self.described(&part.text).await?.object())
    }

    async fn described(&self, name: &str) -> Result<Arc<Schema>, SystemError> {
        let ask = async || {
            let text = self.describe_text(name).await?;
            let schema = serde_json::from_str(&text);
            schema.map(Arc::new).map_err(|source| SystemError::Failed {
                connection: self.session.connection().to_owned(),
                doing: format!("describing `{name}`"),
                source: source.into(),
                hint: None,
            })
        };
        self.descriptions.once(name, ask).await
    }

    /// As [`crate::destination::seam::Destination::references`].
    pub(super) fn references(&self, object: &Object) -> Vec<ReferenceColumn> {
        describe::references(object)
    }

    /// As [`crate::destination::seam::Destination::identity`].
    pub(super) fn identity(&self) -> String {
        let account = self.account.as_deref();
        account.map_or_else(String::new, |account| format!("hubspot {account}"))
    }
}

/// How a practice is logged in to.
fn practised() -> Auth {
    Auth::Token {
        token: Secret::new(practice::HUBSPOT_TOKEN.to_owned()),
    }
}

impl Service for HubSpotDestination {
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let texts = Texts::of(self.session.connection(), layout, records)?;
        let writes: Vec<&ServiceWrite<'_>> = writes.iter().collect();
        let (this, texts) = (&*self, &texts);
        let before = associations::HeldBefore::default();
        let stopped = this.associate_first(layout, texts, &writes, &before);
        let stopped = stopped.await?;
        let free = writes.iter().zip(&stopped);
        let free: Vec<&ServiceWrite<'_>> = free
            .filter_map(|(write, stopped)| stopped.is_none().then_some(*write))
            .collect();
        let sent = patiently(&free, BATCH_MAX, self.attempts_max, |portion| async move {
            this.send_portion(layout, texts, &portion).await
        })
        .await;
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if !associations::are_set(&before) => return Err(error),
            // Associations are set already: all of it is looked at again.
            Err(_) => vec![Reply::Unknown; free.len()],
        };
        let mut sent = sent.into_iter();
        let replies = stopped.into_iter();
        let replies = replies
            .map(|stopped| stopped.unwrap_or_else(|| sent.next().unwrap_or(Reply::Unknown)))
            .collect();
        Ok(this
            .take_back_associations(layout, &writes, before, replies)
            .await)
    }

    fn calls_used(&self) -> Option<Usage> {
        self.session.usage().0
    }

    fn update_calls(&self, _object: &Object, updates: usize, guarded: bool) -> u64 {
        // A guarded one is looked at again before it is written.
        let calls = if guarded { 2 } else { 1 };
        calls * updates.div_ceil(BATCH_MAX) as u64
    }

    fn abilities(&self, _object: &Object) -> Abilities {
        Abilities {
            writes_max: BATCH_MAX,
            guarded_max: BATCH_MAX,
            guard: Some(GuardStrength::ComparedBefore),
            marks_creates: false,
        }
    }

    fn empties_first(&self, field: &LayoutField) -> bool {
        field.column.name == STAGE && stages::may_go_back(field)
    }

    fn goes_in_steps(&self, layout: &Layout) -> bool {
        let mut fields = layout.fields.iter();
        fields.any(|field| self.empties_first(field) || associated(&field.column).is_some())
    }
}

impl HubSpotDestination {
    /// Sends writes of one verb but for those that something stands against: a record that changed
    /// since, where they are guarded, and a stage that would go back.
    async fn send_portion(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let mut stopped = self.stopped_by_changes(layout, writes).await?;
        for (write, stopped) in writes.iter().zip(&mut stopped) {
            if stopped.is_some() {
                continue;
            }
            // Where only associations change, the record itself is left alone.
            if let ServiceVerb::Update { row, .. } = &write.verb
                && !write.fields.is_empty()
                && sent(layout, texts, write).next().is_none()
            {
                let id = row.id.clone();
                *stopped = Some(Reply::Done { id });
                continue;
            }
            *stopped = match self.stages.backwards(layout, texts, write) {
                Some(Backwards::Refuse(reply)) => Some(reply),
                Some(Backwards::ClearFirst) => {
                    let detour = self.stages.detour(layout, texts, write);
                    Some(self.go_back(layout, write, &detour).await?)
                }
                None => None,
            };
        }
        let free = writes.iter().zip(&stopped);
        let free: Vec<&ServiceWrite<'_>> = free
            .filter_map(|(write, stopped)| stopped.is_none().then_some(*write))
            .collect();
        let sent = match free.is_empty() {
            true => Vec::new(),
            false => self.send(layout, texts, &free).await?,
        };
        let mut sent = sent.into_iter();
        Ok(stopped
            .into_iter()
            .map(|reply| reply.unwrap_or_else(|| sent.next().unwrap_or(Reply::Unknown)))
            .collect())
    }

    /// The replies of guarded writes whose records are other ones than were looked up, as they are
    /// now.
    async fn stopped_by_changes(
        &self,
        layout: &Layout,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        let guarded: Vec<&ServiceWrite<'_>> = writes
            .iter()
            .copied()
            .filter(|write| matches!(write.verb, ServiceVerb::Update { guarded: true, .. }))
            .collect();
        if guarded.is_empty() {
            return Ok(vec![None; writes.len()]);
        }
        let versions = self.versions(layout, &guarded).await?;
        let stopped = |write: &&ServiceWrite<'_>| match &write.verb {
            ServiceVerb::Update { row, guarded: true } => match versions.get(&row.id) {
                None => Some(Reply::Gone),
                Some(version) if *version != row.version => Some(Reply::ChangedSince),
                Some(_) => None,
            },
            ServiceVerb::Update { guarded: false, .. }
            | ServiceVerb::Create { .. }
            | ServiceVerb::Delete { .. } => None,
        };
        Ok(writes.iter().map(stopped).collect())
    }

    /// Takes a record's stage back, past being empty. Where the stage is refused then, the record gets
    /// back all that it held.
    async fn go_back(
        &self,
        layout: &Layout,
        write: &ServiceWrite<'_>,
        detour: &Detour,
    ) -> Result<Reply, SystemError> {
        let emptied = self.update_one(layout, write, &detour.emptying).await?;
        if !matches!(emptied, Reply::Done { .. }) {
            return Ok(emptied);
        }
        fault::point("a stage emptied");
        let refused = match self.update_one(layout, write, &detour.stage).await {
            Ok(refused @ Reply::Refused { .. }) => refused,
            Ok(Reply::Gone) => return Ok(Reply::Gone),
            Ok(done @ Reply::Done { .. }) => return Ok(done),
            // It is looked at again, and what it lacks is written.
            Ok(Reply::Again { .. } | Reply::ChangedSince | Reply::Unknown) | Err(_) => {
                return Ok(Reply::Unknown);
            }
        };
        match self.update_one(layout, write, &detour.back).await {
            Ok(Reply::Done { .. }) => Ok(refused),
            Ok(_) | Err(_) => Ok(Reply::Refused {
                message: format!(
                    "`{STAGE}` was emptied to go back and refused then, and could not be put back: it is empty now"
                ),
                column: Some(STAGE.to_owned()),
            }),
        }
    }

    /// Updates one record by these properties.
    async fn update_one(
        &self,
        layout: &Layout,
        write: &ServiceWrite<'_>,
        properties: &Properties,
    ) -> Result<Reply, SystemError> {
        let path = self.objects_path(&layout.object, "batch/update");
        let body = update_body(&[(write, properties)]);
        let response = self.post(path, body, Repeat::SameTwice).await?;
        if response.is_success() {
            let input = Input {
                id: id_of(write),
                mark: mark_of(write),
                unique: None,
            };
            let batch = Batch::read(&response.body);
            let replies = batch.map(|batch| batch.replies(&[input]));
            let reply = replies.and_then(|replies| replies.into_iter().next());
            return Ok(reply.unwrap_or(Reply::Unknown));
        }
        match ApiError::of(&response) {
            Some(error) if !is_about_all(&error) => Ok(refusal(&error)),
            _ => Err(self.failure(&response, "writing records")),
        }
    }

    /// Sends writes of one verb in one request; where it is refused as a whole, in two of half the
    /// size, and so on: nothing of such a request was carried out, and it does not say for whose
    /// sake.
    async fn send(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let verb = Verb::of(writes);
        let types = match verb {
            Verb::Create => self.association_types(layout).await?,
            Verb::Update | Verb::Archive => AssociationTypes::new(),
        };
        let path = self.objects_path(&layout.object, &format!("batch/{}", verb.name()));
        let mut replies = Vec::with_capacity(writes.len());
        // Last comes first.
        let mut pending = vec![writes];
        while let Some(portion) = pending.pop() {
            let body = body(verb, layout, texts, portion, &types);
            let answered = self.post(path.clone(), body, verb.repeat()).await;
            if verb == Verb::Create {
                // Whatever the answer says, and if there is none.
                self.note_made(layout, texts, portion);
            }
            let response = match answered {
                Ok(response) => response,
                Err(error) if replies.is_empty() => return Err(error),
                // What came before is known; of this nobody knows, and the rest was not sent.
                Err(error) => {
                    replies.extend(unsent(&error, portion, &pending));
                    return Ok(replies);
                }
            };
            match (response.status, portion.len()) {
                (200..=299, _) => {
                    replies.extend(self.replies(verb, layout, texts, portion, &response))
                }
                (400 | 404 | 409 | 413 | 414, 2..) => {
                    let (first, second) = portion.split_at(portion.len() / 2);
                    pending.push(second);
                    pending.push(first);
                }
                (400 | 404 | 409, _) => match ApiError::of(&response) {
                    Some(error) if !is_about_all(&error) => replies.push(refusal(&error)),
                    _ => return Err(self.failure(&response, "writing records")),
                },
                _ => return Err(self.failure(&response, "writing records")),
            }
        }
        Ok(replies)
    }

    fn note_made(&self, layout: &Layout, texts: &Texts, writes: &[&ServiceWrite<'_>]) {
        let object = layout.object.path.last().map_or("", String::as_str);
        let sent = writes.iter().flat_map(|write| sent(layout, texts, write));
        let unseen = &self.session.manner.unseen;
        unseen.note(object, sent, Instant::now());
    }

    fn replies(
        &self,
        verb: Verb,
        layout: &Layout,
        texts: &Texts,
        writes: &[&ServiceWrite<'_>],
        response: &Response,
    ) -> Vec<Reply> {
        if verb == Verb::Archive && response.body.is_empty() {
            let gone = writes.iter().filter_map(|write| id_of(write));
            return gone.map(|id| Reply::Done { id: id.clone() }).collect();
        }
        match Batch::read(&response.body) {
            Some(batch) => batch.replies(&inputs(layout, texts, writes)),
            None => vec![Reply::Unknown; writes.len()],
        }
    }
}

/// What became of writes that an error came to, and of those after them.
fn unsent(
    error: &SystemError,
    portion: &[&ServiceWrite<'_>],
    pending: &[&[&ServiceWrite<'_>]],
) -> Vec<Reply> {
    let again = Reply::Again {
        after: None,
        why: chain(error).join(": "),
    };
    let first = match matches!(error, SystemError::Unanswered { .. }) {
        true => Reply::Unknown,
        false => again.clone(),
    };
    let later = pending.iter().map(|portion| portion.len()).sum();
    let mut replies = vec![first; portion.len()];
    replies.extend(std::iter::repeat_n(again, later));
    replies
}

/// Whether an error has nothing to do with the record that was sent.
fn is_about_all(error: &ApiError) -> bool {
    error.message.contains("Unable to infer object type")
}

/// A part of a path.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
        .replace("%2D", "-")
}

/// A list of texts as JSON.
fn ids_json(ids: &[&str]) -> Vec<Value> {
    let one = |id: &&str| serde_json::json!({ "id": id });
    ids.iter().map(one).collect()
}
