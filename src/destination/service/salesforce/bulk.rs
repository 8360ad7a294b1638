//! Updates by Bulk API 2.0: many records in one upload, worked off by the org, whose results are
//! joined to the records by their ids. A job does nothing before its upload is said to be complete;
//! after that it is waited for, whoever asks. A process that takes up a batch of a killed one waits
//! for the jobs that are at work, and looks at the rows then.
//! Source: <https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_0.htm>.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::info;

use super::super::look_up::Texts;
use super::super::seam::{Reply, ServiceVerb, ServiceWrite};
use super::SalesforceDestination;
use super::answers::{bulk_refusal, same_id, short_id};
use super::values::json;
use crate::destination::seam::RowId;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::http::{HttpMethod, Repeat, Request};

/// Records of one job: what the org takes in one piece of its own.
/// Source: "Bulk API 2.0 Limits", records per internal batch.
pub(crate) const JOB_RECORDS_MAX: usize = 10_000;

/// Calls that a job takes, about: it is made, filled and begun, asked for a few times, and its
/// results are read.
pub(crate) const JOB_CALLS: u64 = 10;

/// Characters of a value that a job takes. Source: "Bulk API 2.0 Limits", characters in a field.
const VALUE_CHARACTERS_MAX: usize = 32_000;

/// Stands for no value in an upload, where an empty cell leaves the field as it is. A text that says
/// so cannot be told from it, and goes another way.
const NULL: &str = "#N/A";

/// How long is waited before a job is asked for again: at first, and at the most.
const POLL_FIRST: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(20);

/// How long a job is waited for: the org gives up a piece of one after ten tries of five minutes.
const JOB_TIME_MAX: Duration = Duration::from_secs(2 * 3_600);

/// What the org says of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    id: String,
    state: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    created_by_id: String,
    #[serde(default)]
    error_message: Option<String>,
}

impl Job {
    /// Whether the org works at it, or will.
    fn is_at_work(&self) -> bool {
        matches!(self.state.as_str(), "UploadComplete" | "InProgress")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Jobs {
    done: bool,
    next_records_url: Option<String>,
    records: Vec<Job>,
}

/// Orgs and objects whose jobs of earlier processes were waited for.
static SETTLED: Mutex<BTreeSet<(String, String)>> = Mutex::const_new(BTreeSet::new());

/// Whether writes can go into a job: updates that nothing guards, without a value that an upload
/// cannot tell.
pub(super) fn fits(texts: &Texts, write: &ServiceWrite<'_>) -> bool {
    let is_plain = matches!(write.verb, ServiceVerb::Update { guarded: false, .. });
    let fits = |field: &usize| {
        let value = texts.value(write.record, *field);
        value.is_none_or(|value| value.trim() != NULL && value.len() <= VALUE_CHARACTERS_MAX)
    };
    is_plain && write.fields.iter().all(fits)
}

impl SalesforceDestination {
    /// Waits until nothing is at work on an object that this user asked for before. Once a process
    /// is enough, unless something is in doubt.
    pub(super) async fn wait_for_jobs(
        &self,
        layout: &Layout,
        in_doubt: bool,
    ) -> Result<(), SystemError> {
        let object = object_of(layout);
        let place = (self.session.connection().to_owned(), object.to_owned());
        let mut settled = SETTLED.lock().await;
        if settled.contains(&place) && !in_doubt {
            return Ok(());
        }
        for job in self.jobs_at_work(object).await? {
            info!(connection = %place.0, job = %job.id, "waiting for a job of an earlier process");
            self.ended(&job.id).await?;
        }
        settled.insert(place);
        Ok(())
    }

    async fn jobs_at_work(&self, object: &str) -> Result<Vec<Job>, SystemError> {
        let mut path = format!("{}/jobs/ingest?jobType=V2Ingest", self.base);
        let mut at_work = Vec::new();
        loop {
            let page: Jobs = self.read(path, "listing bulk jobs").await?;
            at_work.extend(page.records.into_iter().filter(|job| {
                let is_own = self
                    .user
                    .as_deref()
                    .is_none_or(|user| same_id(user, &job.created_by_id));
                job.is_at_work() && job.object == object && is_own
            }));
            match page.next_records_url.filter(|_| !page.done) {
                Some(next) if next.starts_with("/services/data/") => path = next,
                Some(_) | None => return Ok(at_work),
            }
        }
    }

    /// Sends updates in one job; returns one reply a write.
    /// Errors: `Unanswered`, once the org may have begun to work at it; else nothing was carried out.
    pub(super) async fn send_in_bulk(
        &self,
        layout: &Layout,
        texts: &Texts,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let upload = upload(layout, texts, writes).map_err(|error| self.bulk_failure(error))?;
        let job = self.new_job(layout).await?;
        crate::fault::point("a bulk job made");
        self.put(&job.id, upload).await?;
        self.complete(&job.id).await?;
        crate::fault::point("a bulk job begun");
        let ended = self
            .ended(&job.id)
            .await
            .map_err(|error| self.in_doubt(error))?;
        let replies = self
            .results(&ended, writes)
            .await
            .map_err(|error| self.in_doubt(error))?;
        // It goes by itself after seven days.
        drop(self.delete_job(&job.id).await);
        Ok(replies)
    }

    async fn new_job(&self, layout: &Layout) -> Result<Job, SystemError> {
        let object = super::super::values::text(object_of(layout));
        let body = format!(
            r#"{{"object":{object},"operation":"update","contentType":"CSV","lineEnding":"LF","columnDelimiter":"COMMA"}}"#
        );
        let request = Request::new(HttpMethod::Post, format!("{}/jobs/ingest", self.base));
        let request = self.with_rules(request.with_json(body));
        // A job without an upload does nothing.
        let response = self.session.call(request, Repeat::SameTwice).await?;
        if !response.is_success() {
            return Err(self.failure(&response, "making a bulk job"));
        }
        serde_json::from_slice(&response.body).map_err(|error| self.bulk_failure(error))
    }

    async fn put(&self, job: &str, upload: Vec<u8>) -> Result<(), SystemError> {
        let path = format!("{}/jobs/ingest/{job}/batches", self.base);
        let request = Request::new(HttpMethod::Put, path).with_body("text/csv", upload);
        match self.session.call(request, Repeat::IfUndone).await {
            Ok(response) if response.is_success() => Ok(()),
            Ok(response) => Err(self.failure(&response, "uploading records")),
            // Nothing is carried out of an upload that is not said to be complete.
            Err(SystemError::Unanswered { connection, source }) => {
                Err(SystemError::Unavailable { connection, source })
            }
            Err(error) => Err(error),
        }
    }

    /// Says that the upload is complete; a lost answer is made up for by asking.
    async fn complete(&self, job: &str) -> Result<(), SystemError> {
        let path = format!("{}/jobs/ingest/{job}", self.base);
        let mut delays = crate::http::delays(self.attempts_max);
        loop {
            let request = Request::new(HttpMethod::Patch, path.clone());
            let request = request.with_json(r#"{"state":"UploadComplete"}"#);
            let told = self.session.call(request, Repeat::IfUndone).await;
            if told.as_ref().is_ok_and(crate::http::Response::is_success) {
                return Ok(());
            }
            let state = self.job(job).await.map_err(|error| self.in_doubt(error))?;
            if state.state != "Open" {
                return Ok(());
            }
            let Some(delay) = delays.next() else {
                return Err(match told {
                    Ok(response) => self.failure(&response, "beginning a bulk job"),
                    Err(error) => error,
                });
            };
            tokio::time::sleep(delay).await;
        }
    }

    async fn job(&self, job: &str) -> Result<Job, SystemError> {
        let path = format!("{}/jobs/ingest/{job}", self.base);
        self.read(path, "asking for a bulk job").await
    }

    /// Waits for the end of a job.
    async fn ended(&self, job: &str) -> Result<Job, SystemError> {
        let (mut delay, mut waited) = (POLL_FIRST, Duration::ZERO);
        loop {
            let told = self.job(job).await?;
            if !told.is_at_work() {
                return Ok(told);
            }
            if waited > JOB_TIME_MAX {
                return Err(self.bulk_failure("a bulk job does not end"));
            }
            tokio::time::sleep(delay).await;
            waited += delay;
            delay = (delay * 2).min(POLL_MAX);
        }
    }

    /// One reply for each write, from the results of a job that has ended.
    async fn results(
        &self,
        job: &Job,
        writes: &[&ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let mut told = BTreeMap::new();
        for (name, sort) in [
            ("successfulResults", Sort::Done),
            ("failedResults", Sort::Failed),
            ("unprocessedrecords", Sort::Unprocessed),
        ] {
            if sort == Sort::Unprocessed && job.state == "JobComplete" {
                continue;
            }
            let path = format!("{}/jobs/ingest/{}/{name}", self.base, job.id);
            let response = self.get(path, Repeat::Asks).await?;
            if !response.is_success() {
                return Err(self.failure(&response, "reading the results of a bulk job"));
            }
            let why = job
                .error_message
                .as_deref()
                .unwrap_or("the job ended before it");
            gather(&response.body, sort, why, &mut told)
                .map_err(|error| self.bulk_failure(error))?;
        }
        let reply = |write: &&ServiceWrite<'_>| match id_of(write) {
            Some(id) => reply_of(&told, id),
            None => Reply::Unknown,
        };
        Ok(writes.iter().map(reply).collect())
    }

    async fn delete_job(&self, job: &str) -> Result<(), SystemError> {
        let path = format!("{}/jobs/ingest/{job}", self.base);
        let request = Request::new(HttpMethod::Delete, path);
        self.session.call(request, Repeat::SameTwice).await?;
        Ok(())
    }

    fn bulk_failure(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SystemError {
        SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: "writing records in bulk".to_owned(),
            source: source.into(),
            hint: None,
        }
    }

    /// An error of a job that the org may have begun to work at.
    fn in_doubt(&self, error: SystemError) -> SystemError {
        SystemError::Unanswered {
            connection: self.session.connection().to_owned(),
            source: error.into(),
        }
    }
}

fn object_of(layout: &Layout) -> &str {
    layout.object.path.last().map_or("", String::as_str)
}

fn id_of<'a>(write: &'a ServiceWrite<'_>) -> Option<&'a RowId> {
    match &write.verb {
        ServiceVerb::Update { row, .. } => Some(&row.id),
        ServiceVerb::Delete { row } => Some(row),
        ServiceVerb::Create { .. } => None,
    }
}

/// The upload: a line for each write, its id first. A field that a record does not send is left
/// empty, which leaves it as it is.
fn upload(
    layout: &Layout,
    texts: &Texts,
    writes: &[&ServiceWrite<'_>],
) -> Result<Vec<u8>, csv::Error> {
    let sent: BTreeSet<usize> = writes
        .iter()
        .flat_map(|write| write.fields.clone())
        .collect();
    let fields: Vec<_> = sent
        .into_iter()
        .filter_map(|place| Some((place, layout.fields.get(place)?)))
        .filter(|(_, field)| field.column.name != "Id")
        .collect();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let names = fields.iter().map(|(_, field)| field.column.name.as_str());
    csv.write_record(std::iter::once("Id").chain(names))?;
    for write in writes {
        let mut line = vec![id_of(write).map_or(String::new(), |id| id.0.clone())];
        for (place, field) in &fields {
            line.push(match write.fields.contains(place) {
                true => cell(&json(field, texts.value(write.record, *place))),
                false => String::new(),
            });
        }
        csv.write_record(&line)?;
    }
    csv.into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))
}

/// A value of JSON as an upload has it.
fn cell(json: &str) -> String {
    match json {
        "null" => NULL.to_owned(),
        json => serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned()),
    }
}

/// Of what a file of results tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Done,
    Failed,
    Unprocessed,
}

/// Takes in a file of results: what became of records, by the part of their ids that tells them
/// apart. Of one that is told of twice nothing is known.
fn gather(
    body: &[u8],
    sort: Sort,
    why: &str,
    told: &mut BTreeMap<String, Reply>,
) -> Result<(), csv::Error> {
    let mut reader = csv::Reader::from_reader(body);
    let header = reader.headers()?.clone();
    let place = |name: &str| header.iter().position(|cell| cell == name);
    let (id, error) = (place("Id"), place("sf__Error"));
    for line in reader.records() {
        let line = line?;
        let cell =
            |place: Option<usize>| place.and_then(|place| line.get(place)).unwrap_or_default();
        let Some(key) = short_id(cell(id)) else {
            continue;
        };
        let reply = match sort {
            Sort::Done => Reply::Done {
                id: RowId(cell(id).to_owned()),
            },
            Sort::Failed => bulk_refusal(cell(error)),
            Sort::Unprocessed => Reply::Again {
                after: None,
                why: why.to_owned(),
            },
        };
        let known = told.entry(key.to_owned());
        known
            .and_modify(|known| *known = Reply::Unknown)
            .or_insert(reply);
    }
    Ok(())
}

fn reply_of(told: &BTreeMap<String, Reply>, id: &RowId) -> Reply {
    let reply = short_id(&id.0).and_then(|key| told.get(key));
    match reply {
        Some(Reply::Done { .. }) => Reply::Done { id: id.clone() },
        Some(reply) => reply.clone(),
        None => Reply::Unknown,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn told(files: &[(&str, Sort)]) -> BTreeMap<String, Reply> {
        let mut told = BTreeMap::new();
        for (text, sort) in files {
            gather(text.as_bytes(), *sort, "cut short", &mut told).unwrap();
        }
        told
    }

    #[test]
    fn results_are_joined_by_id_whatever_their_order() {
        let told = told(&[
            (
                "\"sf__Id\",\"sf__Created\",\"Id\",\"Name\"\n001000000000A03AAA,false,001000000000A03AAA,x\n001000000000A01AAA,false,001000000000A01AAA,\"a,\nb\"\n",
                Sort::Done,
            ),
            (
                "\"sf__Id\",\"sf__Error\",\"Id\"\n\"\",\"UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record: 001:--\",001000000000A02\n",
                Sort::Failed,
            ),
            ("\"Id\"\n001000000000A04\n", Sort::Unprocessed),
        ]);
        let of = |id: &str| reply_of(&told, &RowId(id.to_owned()));
        assert!(matches!(of("001000000000A01AAA"), Reply::Done { .. }));
        assert!(matches!(of("001000000000A03AAA"), Reply::Done { .. }));
        assert!(matches!(of("001000000000A02AAA"), Reply::Again { .. }));
        assert!(matches!(of("001000000000A04AAA"), Reply::Again { .. }));
        assert_eq!(of("001000000000A05AAA"), Reply::Unknown);
    }

    #[test]
    fn of_a_record_that_is_told_of_twice_nothing_is_known() {
        let twice = "\"sf__Id\",\"sf__Created\",\"Id\"\n001000000000A01,false,001000000000A01\n001000000000A01,false,001000000000A01\n";
        let told = told(&[(twice, Sort::Done)]);
        assert_eq!(
            reply_of(&told, &RowId("001000000000A01AAA".to_owned())),
            Reply::Unknown
        );
    }

    #[test]
    fn no_value_and_no_change_are_told_apart() {
        assert_eq!(cell("null"), "#N/A");
        assert_eq!(cell("\"a \\\"b\\\"\""), "a \"b\"");
        assert_eq!(cell("12.50"), "12.50");
    }
}
