//! Bullhorn, through its REST API: what its paths, bodies and answers are. It takes one record a call,
//! finds by an index that lags behind, and answers 200 though it left a field alone: so what is found
//! is read again by id, and what was written is read back.

mod answers;
mod corporation;
mod describe;
mod find;
mod knowledge;
mod manner;
mod values;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use polars::prelude::DataFrame;
use serde::Deserialize;
use serde_json::Value;

use self::answers::ApiError;
use self::describe::Described;
use self::knowledge::Corporation;
use self::manner::BullhornManner;
use super::access::{Sessions, live_access};
use super::descriptions::Descriptions;
use super::seam::{Abilities, Reply, Service, ServiceWrite};
use crate::destination::seam::RowId;
use crate::domain::connection::{Auth, Connection, Secret, ServiceSettings};
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::object::{Object, ObjectName};
use crate::domain::problem::did_you_mean;
use crate::domain::referral::{ReferenceColumn, ValuesSeen};
use crate::http::{HttpMethod, Repeat, Request, Response, Session, Usage};
use crate::practice;

/// Records that one look-up finds, and that are written before what was written is read back.
/// Source: <https://bullhorn.github.io/rest-api-docs/#get-search> (`count`).
const RECORDS_MAX: usize = 500;

/// The sessions of this process, one for each user.
static SESSIONS: Sessions<BullhornManner> = Sessions::new();

/// Signs that stand for themselves in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',');

/// What a record holds, field by field, in the text of before-images.
type HeldTexts = BTreeMap<String, Option<String>>;

/// One connection to a corporation; all of a process share its session.
pub(crate) struct BullhornDestination {
    session: Arc<Session<BullhornManner>>,
    corporation: Corporation,
    /// Where the days of date-only fields begin.
    timezone: Option<Tz>,
    descriptions: Descriptions<Described>,
    /// What the records that were looked up last hold.
    held: BTreeMap<RowId, HeldTexts>,
}

/// One of the corporation's entities.
#[derive(Deserialize)]
struct NamedEntity {
    entity: String,
}

impl BullhornDestination {
    pub(crate) async fn connect(
        connection: &Connection,
        settings: &ServiceSettings,
    ) -> Result<Self, SystemError> {
        let live = live_access(connection, settings, practised).await?;
        let session = SESSIONS.session(connection, settings, live, |live| {
            BullhornManner::new(live, &connection.name)
        })?;
        session.log_in().await?;
        let corporation = corporation::of(&session).await?;
        let destination = Self {
            session,
            corporation,
            timezone: connection.timezone,
            descriptions: Descriptions::default(),
            held: BTreeMap::new(),
        };
        destination.expect_account(settings)?;
        Ok(destination)
    }

    /// Refuses another corporation than the one that the file names, before anything is read of it.
    fn expect_account(&self, settings: &ServiceSettings) -> Result<(), SystemError> {
        let id = &self.corporation.id;
        let Some(wanted) = settings.account.as_ref().filter(|wanted| *wanted != id) else {
            return Ok(());
        };
        let name = self.session.connection();
        Err(SystemError::Forbidden {
            connection: name.to_owned(),
            source: format!("the credentials lead to corporation `{id}`, not to `{wanted}`").into(),
            hint: format!(
                "give the credentials of the right corporation, or correct `account` in `[connections.{name}]`"
            ),
        })
    }

    /// Asks. What broke and may pass is asked once more, where that does no harm.
    async fn call(&self, request: Request, repeat: Repeat) -> Result<Response, SystemError> {
        let response = self.session.call(request.clone(), repeat).await?;
        let may_pass = ApiError::of(&response).is_some_and(|error| error.may_pass());
        match may_pass && repeat != Repeat::IfUndone {
            true => self.session.call(request, repeat).await,
            false => Ok(response),
        }
    }

    async fn get(&self, path: String) -> Result<Response, SystemError> {
        self.call(Request::get(path), Repeat::Asks).await
    }

    /// Asks with a body, where a query would be too long.
    async fn ask(&self, path: String, body: &Value) -> Result<Response, SystemError> {
        let request = Request::new(HttpMethod::Post, path).with_json(body.to_string());
        self.call(request, Repeat::Asks).await
    }

    /// Reads an answer as JSON of this shape.
    fn read<T: for<'a> Deserialize<'a>>(
        &self,
        response: &Response,
        doing: &str,
    ) -> Result<T, SystemError> {
        if !response.is_success() {
            return Err(self.failure(response, doing));
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
        let error = ApiError::of(response);
        let source = match &error {
            Some(error) => error.to_string(),
            None => format!("it answered {}", response.status),
        };
        let connection = self.session.connection().to_owned();
        if response.status == 403 {
            return SystemError::Forbidden {
                connection,
                source: source.into(),
                hint:
                    "have an admin give the user's type the entitlement: Menu › Admin › User Types"
                        .to_owned(),
            };
        }
        SystemError::Failed {
            connection,
            doing: doing.to_owned(),
            source: source.into(),
            hint: None,
        }
    }

    fn unreadable(&self, what: &str) -> SystemError {
        SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: "looking records up".to_owned(),
            source: format!("the answer is not what it should be: {what}").into(),
            hint: None,
        }
    }

    /// The answer of `meta` about an entity.
    /// Errors: `NotFound`, with the entities that may be meant.
    pub(crate) async fn describe_text(&self, name: &str) -> Result<String, SystemError> {
        let path = format!("/meta/{}?fields=*&meta=full", encoded(name));
        let response = self.get(path).await?;
        match response.status {
            200 => Ok(response.text()),
            400 | 404 => Err(self.no_entity(name).await?),
            _ => Err(self.failure(&response, &format!("describing `{name}`"))),
        }
    }

    /// Names of the corporation's entities, as far as the user may see them.
    pub(super) async fn object_names(&self) -> Result<Vec<String>, SystemError> {
        let response = self.get("/meta".to_owned()).await?;
        let entities: Vec<NamedEntity> = self.read(&response, "listing the entities")?;
        Ok(entities.into_iter().map(|entity| entity.entity).collect())
    }

    async fn no_entity(&self, name: &str) -> Result<SystemError, SystemError> {
        let names = self.object_names().await?;
        let names = names.iter().map(String::as_str);
        let hint = did_you_mean(name, names).unwrap_or_else(|| {
            "write the entity's name as the API has it, such as `Candidate`; the user sees only what it may".to_owned()
        });
        Ok(SystemError::NotFound {
            what: format!("entity `{name}` of `{}`", self.session.connection()),
            hint: Some(hint),
        })
    }

    /// An entity as this process has it described.
    async fn described(&self, name: &str) -> Result<Arc<Described>, SystemError> {
        let manner = &self.session.manner;
        match manner.known(|known| known.described.get(name).cloned()) {
            Some(known) => Ok(known),
            None => self.described_anew(name).await,
        }
    }

    /// An entity as it is described now.
    async fn described_anew(&self, name: &str) -> Result<Arc<Described>, SystemError> {
        let ask = async || self.ask_about(name).await.map(Arc::new);
        let described = self.descriptions.once(name, ask).await?;
        self.session.manner.known(|known| {
            known
                .described
                .insert(name.to_owned(), Arc::clone(&described))
        });
        Ok(described)
    }

    /// What is told of an entity, and what the user may do with it.
    async fn ask_about(&self, name: &str) -> Result<Described, SystemError> {
        let entitlements = format!("/entitlements/{}", encoded(name));
        let (text, entitlements, listed) = tokio::join!(
            self.describe_text(name),
            self.asked(&entitlements),
            self.listed(name)
        );
        let described = serde_json::from_str::<Described>(&text?);
        let mut described = described.map_err(|source| SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: format!("describing `{name}`"),
            source: source.into(),
            hint: None,
        })?;
        described.entitlements = entitlements?;
        if let Some((field, values)) = listed? {
            described.restrict(field, &values);
        }
        Ok(described)
    }

    /// The field of an entity that takes only the values of which the corporation has a list.
    async fn listed(&self, entity: &str) -> Result<Option<(&str, Vec<String>)>, SystemError> {
        let (setting, field) = match entity {
            "Note" => ("commentActionList", "action"),
            "JobSubmission" => ("jobResponseStatusList", "status"),
            _ => return Ok(None),
        };
        let path = format!("/settings/{setting}");
        let listed: Option<BTreeMap<String, Vec<String>>> = self.asked(&path).await?;
        let listed = listed.and_then(|listed| listed.get(setting).cloned());
        Ok(Some((field, listed.unwrap_or_default())))
    }

    /// As [`crate::destination::AnyDestination::values_seen`].
    pub(super) async fn values_seen(
        &self,
        object: &Object,
        column: &str,
    ) -> Result<ValuesSeen, SystemError> {
        let entity = object.path.last().map_or("", String::as_str);
        let described = self.described(entity).await?;
        Ok(described.values_seen(column))
    }

    /// What is answered, if this user is answered at all and in this shape.
    async fn asked<T: for<'a> Deserialize<'a>>(
        &self,
        path: &str,
    ) -> Result<Option<T>, SystemError> {
        let response = self.get(path.to_owned()).await?;
        let is_success = response.is_success();
        let read = serde_json::from_slice(&response.body).ok();
        Ok(read.filter(|_| is_success))
    }

    /// As [`crate::destination::seam::Destination::describe`].
    pub(super) async fn describe(&self, name: &ObjectName) -> Result<Object, SystemError> {
        let [part] = name.parts.as_slice() else {
            return Err(SystemError::NotFound {
                what: format!("entity `{name}` of `{}`", self.session.connection()),
                hint: Some("write the entity's name alone: `table = \"Candidate\"`".to_owned()),
            });
        };
        let described = self.described_anew(&part.text).await?;
        Ok(described.object(self.timezone))
    }

    /// As [`crate::destination::seam::Destination::identity`].
    pub(super) fn identity(&self) -> String {
        format!("bullhorn {}", self.corporation.id)
    }
}

/// Gives the sessions back that no connection of this process uses: a user has few of them.
pub(super) async fn give_back_sessions() {
    for session in SESSIONS.idle() {
        if !session.is_logged_in().await {
            continue;
        }
        let left = Request::get("/logout".to_owned());
        if let Err(error) = session.call(left, Repeat::Asks).await {
            tracing::debug!(error = %error, "the session was not ended");
        }
        session.forget_token().await;
    }
}

/// How a practice is logged in to.
fn practised() -> Auth {
    Auth::Password {
        client_id: practice::CLIENT_ID.to_owned(),
        client_secret: Secret::new(practice::CLIENT_SECRET.to_owned()),
        user: practice::USERNAME.to_owned(),
        password: Secret::new(practice::PASSWORD.to_owned()),
    }
}

/// A text as a path or a query holds it.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The entity that a layout is of.
fn entity_of(layout: &Layout) -> &str {
    layout.object.path.last().map_or("", String::as_str)
}

impl BullhornDestination {
    /// As [`crate::destination::seam::Destination::references`].
    pub(super) async fn references(
        &self,
        object: &Object,
    ) -> Result<Vec<ReferenceColumn>, SystemError> {
        let name = object.path.last().map_or("", String::as_str);
        Ok(self.described(name).await?.references())
    }
}

impl Service for BullhornDestination {
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let replies = self.write(layout, records, writes).await;
        self.held.clear();
        replies
    }

    fn calls_used(&self) -> Option<Usage> {
        self.session.usage().0
    }

    /// One record a call, and what was written is read back.
    fn update_calls(&self, _object: &Object, updates: usize, _guarded: bool) -> u64 {
        (updates + updates.div_ceil(RECORDS_MAX)) as u64
    }

    fn insert_calls(&self, _object: &Object, inserts: usize) -> u64 {
        inserts as u64
    }

    fn abilities(&self, object: &Object) -> Abilities {
        Abilities {
            writes_max: RECORDS_MAX,
            guarded_max: RECORDS_MAX,
            // Nothing tells that a record changed; it is compared just before it is written.
            guard: None,
            marks_creates: object
                .columns
                .iter()
                .any(|column| column.name == find::MARKER),
        }
    }

    fn goes_in_steps(&self, layout: &Layout) -> bool {
        layout.fields.iter().any(writes::is_list)
    }
}
