//! Microsoft Dataverse, which Dynamics 365 is made on, through its Web API: what its paths, bodies
//! and answers are. Waiting, tokens and comparing are seen to elsewhere.

mod answers;
mod describe;
mod environment;
mod lists;
mod manner;
mod queries;
mod values;
mod writes;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use polars::prelude::DataFrame;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use self::answers::{ApiError, parts, refusal};
use self::describe::TableDescription;
use self::environment::Surroundings;
use self::manner::{DataverseManner, asked, spoken};
pub(super) use self::values::reference_text;
use self::writes::{Act, ReadyWrite, bypass_headers};
use super::access::{Sessions, live_access};
use super::descriptions::Descriptions;
use super::look_up::{Find, Hit, Texts};
use super::patience::patiently;
use super::seam::{Abilities, GuardStrength, Reply, Service, ServiceVerb, ServiceWrite};
use crate::destination::seam::{RowId, Stored};
use crate::domain::connection::{
    Auth, Connection, DataverseOptions, Secret, ServiceSettings, TenantProof,
};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Object, ObjectName, Obstacle};
use crate::domain::referral::{ReferenceColumn, Referents, Referral};
use crate::http::{Repeat, Request, Response, Session, Usage, delays};
use crate::practice;

/// The newest version of the API that this program was tested with.
const VERSION: &str = "9.2";

/// Rows of a bulk message: between the hundred that it is good to begin with and the thousand up to
/// which more is faster. Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/bulk-operations>.
const MULTIPLE_MAX: usize = 500;

/// Writes of one batch: a tenth of what it takes, for they are carried out one after the other.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api>.
const BATCH_MAX: usize = 100;

/// What takes a request past custom plug-ins and workflows.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/bypass-custom-business-logic>.
const BYPASS_PRIVILEGE: &str = "prvBypassCustomBusinessLogic";

/// What lookups that may lead to several tables are told with.
const LOOKUP_TABLE: &str = "Microsoft.Dynamics.CRM.lookuplogicalname";

/// The sessions of this process, one for each environment and user.
static SESSIONS: Sessions<DataverseManner> = Sessions::new();

/// One connection to an environment; all of a process share its session.
pub(crate) struct DataverseDestination {
    session: Arc<Session<DataverseManner>>,
    /// `/api/data/v9.2`.
    base: String,
    attempts_max: u32,
    /// The organization's id.
    account: Option<String>,
    /// The application user's id.
    user: Option<String>,
    options: DataverseOptions,
    descriptions: Descriptions<TableDescription>,
    surroundings: Surroundings,
}

/// An answer to a query.
#[derive(Deserialize)]
struct Page {
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
    value: Vec<Row>,
}

/// A row as it is told, by the names of its columns.
type Row = BTreeMap<String, Box<RawValue>>;

impl DataverseDestination {
    pub(crate) async fn connect(
        connection: &Connection,
        settings: &ServiceSettings,
    ) -> Result<Self, SystemError> {
        let live = live_access(connection, settings, practised).await?;
        let version = settings.api_version.as_deref().unwrap_or(VERSION);
        let base = format!("/api/data/v{version}");
        let session = SESSIONS.session(connection, settings, live, |live| {
            DataverseManner::new(live, &connection.name, &base)
        })?;
        let granted = session.log_in().await?;
        let destination = Self {
            session,
            base,
            attempts_max: connection.limits.attempts_max,
            account: granted.account,
            user: granted.user,
            options: settings.dataverse.clone(),
            descriptions: Descriptions::default(),
            surroundings: Surroundings::default(),
        };
        destination.expect_account(settings)?;
        Ok(destination)
    }

    /// As [`crate::destination::AnyDestination::follow`].
    pub(super) fn follow(&mut self, settings: &ServiceSettings) {
        self.options = settings.dataverse.clone();
    }

    /// Refuses another environment than the one that the file names, before anything is read of it.
    fn expect_account(&self, settings: &ServiceSettings) -> Result<(), SystemError> {
        let Some(wanted) = &settings.account else {
            return Ok(());
        };
        let what = match &self.account {
            Some(account) if account.eq_ignore_ascii_case(wanted) => return Ok(()),
            Some(account) => {
                format!("the URL leads to environment `{account}`, not to `{wanted}`")
            }
            None => format!("the host does not tell whether it is `{wanted}`"),
        };
        let name = self.session.connection();
        Err(SystemError::Forbidden {
            connection: name.to_owned(),
            source: what.into(),
            hint: format!(
                "give the URL of the right environment, or correct `account` in `[connections.{name}]`"
            ),
        })
    }

    async fn get(&self, path: String) -> Result<Response, SystemError> {
        self.ask(Request::get(path)).await
    }

    /// Asks until the answer is none that may pass.
    async fn ask(&self, request: Request) -> Result<Response, SystemError> {
        let mut delays = delays(self.attempts_max);
        loop {
            let request = asked(request.clone());
            let response = self.session.call(request, Repeat::Asks).await?;
            let is_passing = ApiError::of(&response).is_some_and(|error| error.is_passing());
            match delays.next().filter(|_| is_passing) {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Ok(response),
            }
        }
    }

    /// Asks and reads the answer as JSON of this shape.
    async fn read<T: for<'a> Deserialize<'a>>(
        &self,
        path: String,
        doing: &str,
    ) -> Result<T, SystemError> {
        let response = self.get(path).await?;
        match response.is_success() {
            true => self.parsed(&response.body, doing),
            false => Err(self.failure(&response, doing)),
        }
    }

    fn parsed<T: for<'a> Deserialize<'a>>(
        &self,
        body: &[u8],
        doing: &str,
    ) -> Result<T, SystemError> {
        serde_json::from_slice(body).map_err(|source| SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: doing.to_owned(),
            source: source.into(),
            hint: None,
        })
    }

    /// The error of an answer that refuses the request as a whole.
    fn failure(&self, response: &Response, doing: &str) -> SystemError {
        let connection = self.session.connection().to_owned();
        let told = ApiError::of(response);
        let source = match &told {
            Some(error) => error.to_string(),
            None => format!("it answered {}", response.status),
        };
        let code = told.as_ref().map_or("", |error| error.code.as_str());
        match (response.status, code) {
            _ if told.as_ref().is_some_and(ApiError::is_passing) => SystemError::Unavailable {
                connection,
                source: source.into(),
            },
            (403, _) | (_, "0x80040220" | "0x80048306") => SystemError::Forbidden {
                connection,
                source: source.into(),
                hint: "give the application user a security role that holds it: Power Platform admin center › \
                       Environments › Settings › Application users"
                    .to_owned(),
            },
            _ => SystemError::Failed {
                connection,
                doing: doing.to_owned(),
                source: source.into(),
                hint: hint_of(code).map(str::to_owned),
            },
        }
    }

    /// The description of a table, as it is saved.
    pub(crate) async fn describe_text(&self, name: &str) -> Result<String, SystemError> {
        let mut described = self.described(name).await?;
        if let Some(described) = described.as_object_mut() {
            // The name of its file, and of the file of its rows.
            described.insert("name".to_owned(), serde_json::Value::from(name));
        }
        Ok(described.to_string())
    }

    /// As [`crate::destination::seam::Destination::describe`].
    pub(super) async fn describe(&self, name: &ObjectName) -> Result<Object, SystemError> {
        let [part] = name.parts.as_slice() else {
            return Err(SystemError::NotFound {
                what: format!("table `{name}` of `{}`", self.session.connection()),
                hint: Some(
                    "write the table's logical name alone: `table = \"account\"`".to_owned(),
                ),
            });
        };
        let table = self.table_anew(&part.text).await?;
        let mut object = table.object();
        if self.options.bypasses_logic() && table.lacks(BYPASS_PRIVILEGE) {
            object.obstacles.push(Obstacle::to_all(
                "is to be written past custom business logic, which this user may not".to_owned(),
                format!(
                    "let a security role of the application user hold {BYPASS_PRIVILEGE}, or take `[write_back.dataverse]` out"
                ),
            ));
        }
        Ok(object)
    }

    /// As [`crate::destination::seam::Destination::references`].
    pub(super) async fn references(
        &self,
        object: &Object,
    ) -> Result<Vec<ReferenceColumn>, SystemError> {
        Ok(self.table(object).await?.references())
    }

    /// A table as it is described now.
    async fn table_anew(&self, name: &str) -> Result<Arc<TableDescription>, SystemError> {
        let ask = async || self.ask_about(name).await.map(Arc::new);
        let table = self.descriptions.once(name, ask).await?;
        self.session.manner.know(&table);
        Ok(table)
    }

    /// A table as this process has it described.
    async fn table(&self, object: &Object) -> Result<Arc<TableDescription>, SystemError> {
        let name = object.path.last().map_or("", String::as_str);
        match self.session.manner.known(name) {
            Some(table) => Ok(table),
            None => self.table_anew(name).await,
        }
    }

    /// As [`crate::destination::seam::Destination::identity`].
    pub(super) fn identity(&self) -> String {
        let account = self.account.as_deref();
        account.map_or_else(String::new, |account| format!("dataverse {account}"))
    }
}

/// Tells ids with their tables, as a lookup takes them that may lead to several.
pub(super) fn tell_tables(referral: &Referral, found: &mut [Referents]) {
    let table = referral.object.path.last().filter(|_| {
        let declared = referral.column.declared.strip_prefix("lookup(");
        declared.is_some_and(|tables| tables.contains(','))
    });
    if let Some(table) = table {
        let ids = found.iter_mut().flat_map(|found| &mut found.ids);
        ids.for_each(|id| *id = format!("{table}({id})"));
    }
}

/// How a practice is logged in to.
fn practised() -> Auth {
    Auth::Tenant {
        tenant: practice::TENANT.to_owned(),
        client_id: practice::CLIENT_ID.to_owned(),
        proof: TenantProof::Secret(Secret::new(practice::CLIENT_SECRET.to_owned())),
    }
}

fn hint_of(code: &str) -> Option<&'static str> {
    match code {
        "0x80048d19" => Some("see whether the columns are still there, under these logical names"),
        "0x80060888" => Some("see whether the table is still there"),
        _ => None,
    }
}

impl Find for DataverseDestination {
    fn connection(&self) -> &str {
        self.session.connection()
    }

    async fn find(
        &mut self,
        layout: &Layout,
        keys: &[Vec<String>],
    ) -> Result<Vec<Hit>, SystemError> {
        self.rows(layout, keys).await
    }

    fn key_form(field: &LayoutField, part: &str) -> String {
        values::key_form(field, part)
    }

    fn same_after_storing(field: &LayoutField, sent: Option<&str>, held: Option<&str>) -> bool {
        values::same_after_storing(field, sent, held)
    }

    fn merged(field: &LayoutField, sent: &str, held: &str) -> String {
        values::merged(field, sent, held)
    }
}

impl DataverseDestination {
    /// As [`Find::find`].
    async fn rows(&self, layout: &Layout, keys: &[Vec<String>]) -> Result<Vec<Hit>, SystemError> {
        let table = self.table(&layout.object).await?;
        let (fields, lists) = (selected(layout, &table), lists::expanded(layout, &table));
        let base = format!("{}/{}", self.base, table.entity_set_name);
        let mut hits = Vec::new();
        for path in queries::look_ups(&base, layout, (&fields, &lists), keys) {
            let mut seen = HashSet::new();
            let mut next = Some(path);
            while let Some(path) = next {
                let page = self.page(path.clone()).await?;
                seen.insert(path);
                for row in &page.value {
                    let lists = self.lists_of(layout, &table, row).await?;
                    hits.push(self.hit(layout, &table, row, &lists)?);
                }
                next = self.next_page(page.next_link, &seen)?;
            }
        }
        Ok(hits)
    }

    async fn page(&self, path: String) -> Result<Page, SystemError> {
        let annotations = format!("odata.include-annotations=\"{LOOKUP_TABLE}\"");
        let request = Request::get(path).with_header("Prefer", annotations);
        let response = self.ask(request).await?;
        let doing = "looking rows up";
        match response.is_success() {
            true => self.parsed(&response.body, doing),
            false => Err(self.failure(&response, doing)),
        }
    }

    /// The path of the page that follows.
    /// Errors: it leads to another host, or to a page that was read already.
    fn next_page(
        &self,
        link: Option<String>,
        seen: &HashSet<String>,
    ) -> Result<Option<String>, SystemError> {
        let Some(link) = link else {
            return Ok(None);
        };
        let path = link.find("/api/data/").and_then(|place| link.get(place..));
        match path.filter(|path| !seen.contains(*path)) {
            Some(path) => Ok(Some(path.to_owned())),
            None => Err(self.unreadable("it says that there is more and not where")),
        }
    }

    fn hit(
        &self,
        layout: &Layout,
        table: &TableDescription,
        row: &Row,
        lists: &BTreeMap<&str, String>,
    ) -> Result<Hit, SystemError> {
        let told =
            |name: &str| -> Option<String> { serde_json::from_str(row.get(name)?.get()).ok() };
        let id = told(&table.primary_id_attribute).filter(|id| Uuid::parse_str(id).is_ok());
        let id = id.ok_or_else(|| self.unreadable("a row has no id"))?;
        let values = layout.fields.iter().map(|field| {
            let name = values::read_name(field);
            if values::is_list(field) {
                let members = lists.get(name.as_str());
                return Ok(members.filter(|members| !members.is_empty()).cloned());
            }
            let value = row.get(&name);
            let value = value.ok_or_else(|| self.unreadable(&format!("a row has no `{name}`")))?;
            let target = told(&format!("{name}@{LOOKUP_TABLE}"));
            Ok(values::held(&field.column, value.get(), target.as_deref()))
        });
        Ok(Hit {
            stored: Stored {
                id: RowId(id),
                version: told("@odata.etag"),
            },
            values: values.collect::<Result<_, SystemError>>()?,
        })
    }

    fn unreadable(&self, what: &str) -> SystemError {
        SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: "looking rows up".to_owned(),
            source: format!("the answer is not what it should be: {what}").into(),
            hint: None,
        }
    }
}

fn object_name(object: &Object) -> &str {
    object.path.last().map_or("", String::as_str)
}

/// Names of the columns that a look-up reads.
fn selected(layout: &Layout, table: &TableDescription) -> Vec<String> {
    let fields = layout.fields.iter();
    let fields = fields.filter(|field| !values::is_list(field));
    let fields = fields.map(values::read_name);
    let mut names = vec![table.primary_id_attribute.clone()];
    for name in fields {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Service for DataverseDestination {
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let texts = Texts::of(self.session.connection(), layout, records)?;
        let table = self.table(&layout.object).await?;
        let is_plain_update = |write: &ServiceWrite<'_>| {
            matches!(write.verb, ServiceVerb::Update { guarded: false, .. })
        };
        let together = table.takes("UpdateMultiple") && writes.iter().all(is_plain_update);
        let portion_max = if together { MULTIPLE_MAX } else { BATCH_MAX };
        let ready: Vec<ReadyWrite> = writes
            .iter()
            .map(|write| ReadyWrite::of(&table, layout, &texts, write))
            .collect();
        let columns: Vec<&str> = layout
            .fields
            .iter()
            .map(|field| field.column.name.as_str())
            .collect();
        let sender = Sender {
            destination: self,
            table: &table,
            columns: &columns,
            together,
        };
        let before = lists::ListsBefore::default();
        let stopped = self.list_first(layout, &table, &ready, &before).await?;
        let is_sent = |(write, stopped): &(&ReadyWrite, &Option<Reply>)| {
            stopped.is_none() && write.is_of_row()
        };
        let of_rows = ready.iter().zip(&stopped).filter(is_sent);
        let of_rows: Vec<&ReadyWrite> = of_rows.map(|(write, _)| write).collect();
        let sender = &sender;
        let sent = patiently(
            &of_rows,
            portion_max,
            self.attempts_max,
            |portion| async move { sender.send(&portion).await },
        )
        .await;
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if ready.iter().all(|write| write.lists.is_empty()) => return Err(error),
            // Lists are set already: all of it is looked at again.
            Err(_) => vec![Reply::Unknown; of_rows.len()],
        };
        let mut sent = sent.into_iter();
        let reply = |(write, stopped): (&ReadyWrite, Option<Reply>)| match stopped {
            Some(stopped) => stopped,
            None if write.is_of_row() => sent.next().unwrap_or(Reply::Unknown),
            None => Reply::Done {
                id: write.id.clone(),
            },
        };
        let replies = ready.iter().zip(stopped).map(reply).collect();
        Ok(self
            .list_last(layout, &table, &ready, before, replies)
            .await)
    }

    fn calls_used(&self) -> Option<Usage> {
        self.session.usage().0
    }

    fn update_calls(&self, object: &Object, updates: usize, guarded: bool) -> u64 {
        let table = self.session.manner.known(object_name(object));
        let together = table.is_some_and(|table| table.takes("UpdateMultiple"));
        let updates_max = match together && !guarded {
            true => MULTIPLE_MAX,
            false => BATCH_MAX,
        };
        updates.div_ceil(updates_max) as u64
    }

    fn insert_calls(&self, _object: &Object, inserts: usize) -> u64 {
        inserts.div_ceil(BATCH_MAX) as u64
    }

    fn abilities(&self, object: &Object) -> Abilities {
        let table = self.session.manner.known(object_name(object));
        let guards = table.is_some_and(|table| table.guards());
        Abilities {
            writes_max: MULTIPLE_MAX,
            guarded_max: BATCH_MAX,
            guard: guards.then_some(GuardStrength::Exact),
            marks_creates: true,
        }
    }

    fn goes_in_steps(&self, layout: &Layout) -> bool {
        layout.fields.iter().any(values::is_list)
    }
}

/// What sending writes takes.
struct Sender<'a> {
    destination: &'a DataverseDestination,
    table: &'a TableDescription,
    /// Names of the fields, to be found in the words of errors.
    columns: &'a [&'a str],
    /// Whether updates are sent all in one.
    together: bool,
}

impl Sender<'_> {
    /// Sends writes of one verb; what cannot be spelled is not sent.
    async fn send(&self, writes: &[&ReadyWrite]) -> Result<Vec<Reply>, SystemError> {
        let sound: Vec<&ReadyWrite> = writes
            .iter()
            .copied()
            .filter(|write| write.fault().is_none())
            .collect();
        let replies = match (self.together, sound.as_slice()) {
            (_, []) => Vec::new(),
            (true, [_, _, ..]) => self.all_in_one(&sound).await?,
            (_, _) => self.in_batches(&sound).await?,
        };
        let mut replies = replies.into_iter();
        let reply = |write: &&ReadyWrite| match write.fault() {
            Some(why) => Reply::Refused {
                message: why.to_owned(),
                column: None,
            },
            None => replies.next().unwrap_or(Reply::Unknown),
        };
        Ok(writes.iter().map(reply).collect())
    }

    /// A request that passes over what the write-back says.
    fn past_logic(&self, request: Request) -> Request {
        let headers = bypass_headers(&self.destination.options).into_iter();
        headers.fold(request, |request, (name, value)| {
            request.with_header(name, value)
        })
    }

    /// Updates rows all or none. Where one refuses the whole, all are sent again by themselves, for
    /// which of them it was nobody says.
    async fn all_in_one(&self, writes: &[&ReadyWrite]) -> Result<Vec<Reply>, SystemError> {
        let request = writes::update_multiple(&self.destination.base, self.table, writes);
        let request = self.past_logic(request);
        let session = &self.destination.session;
        let response = session.call(spoken(request), Repeat::SameTwice).await?;
        if response.is_success() {
            let done = |write: &&ReadyWrite| Reply::Done {
                id: write.id.clone(),
            };
            return Ok(writes.iter().map(done).collect());
        }
        match ApiError::of(&response) {
            Some(error) if error.is_passing() && error.code != "0x80040216" => {
                let again = || refusal(&error, response.status, None, response.retry_after(), &[]);
                Ok(writes.iter().map(|_| again()).collect())
            }
            Some(_) => self.in_batches(writes).await,
            None if matches!(response.status, 413) => {
                let why = "the request is too large".to_owned();
                Ok(vec![Reply::Again { after: None, why }; writes.len()])
            }
            None => Err(self.destination.failure(&response, "writing rows")),
        }
    }

    /// Sends writes in batches. An error of a later one becomes the reply of all that were not sent
    /// before it.
    async fn in_batches(&self, writes: &[&ReadyWrite]) -> Result<Vec<Reply>, SystemError> {
        // All of them are here already, so no portion is smaller than a batch.
        patiently(writes, BATCH_MAX, 1, |batch| async move {
            self.batch(&batch).await
        })
        .await
    }

    async fn batch(&self, writes: &[&ReadyWrite]) -> Result<Vec<Reply>, SystemError> {
        let options = &self.destination.options;
        let request = writes::batch(&self.destination.base, self.table, writes, options);
        let request = self.past_logic(request);
        let is_same_twice = |write: &&ReadyWrite| !write.is_guarded() && write.act != Act::Delete;
        let repeat = match writes.iter().all(is_same_twice) {
            true => Repeat::SameTwice,
            false => Repeat::IfUndone,
        };
        let session = &self.destination.session;
        let response = session.call(spoken(request), repeat).await?;
        let Some(answers) = parts(&response) else {
            return Err(self.destination.failure(&response, "writing rows"));
        };
        let has_stopped = response.status == 400 && answers.len() < writes.len();
        if answers.len() != writes.len() && !has_stopped {
            return Ok(vec![Reply::Unknown; writes.len()]);
        }
        let mut replies = Vec::new();
        let mut answers = answers.iter();
        for write in writes {
            replies.push(match answers.next() {
                Some(answer) => {
                    let reply = answer.reply(Some(&write.id), self.columns);
                    match (answer.status, write.act) {
                        (412, Act::Create) => self.made_before(write, reply).await?,
                        _ => reply,
                    }
                }
                // After the part at which it stopped nothing was carried out.
                None => Reply::Again {
                    after: None,
                    why: "it stopped at an earlier write".to_owned(),
                },
            });
        }
        Ok(replies)
    }

    /// Whether a row that was to be made is there already, under the id that only we choose.
    async fn made_before(&self, write: &ReadyWrite, refused: Reply) -> Result<Reply, SystemError> {
        let (set, id_column) = (
            &self.table.entity_set_name,
            &self.table.primary_id_attribute,
        );
        let path = format!(
            "{}/{set}({})?$select={id_column}",
            self.destination.base, write.id.0
        );
        let response = self.destination.get(path).await?;
        Ok(match response.status {
            200 => Reply::Done {
                id: write.id.clone(),
            },
            _ => refused,
        })
    }
}
