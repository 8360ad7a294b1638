//! Jobs of Bulk API 2.0: `/jobs/ingest` and `/jobs/query`. A job is worked off a piece at a time, so
//! that other calls come between, and goes on where it stood after a restart. Source: "Bulk API 2.0"
//! of the Bulk API guide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::bulk_job::{Job, JobKind, JobState, RowEnd, Rows};
use super::errors::{ApiError, RowError};
use super::object::FieldKind;
use super::org::Org;
use super::rest::Caller;
use super::rows::{not_allowed, object_body};
use super::settings::Event;
use super::value::{Held, from_json, moment_text};
use super::write::{Wishes, WriteError};
use crate::domain::salesforce_id::canonical_id;
use crate::practice::call::{Answer, Call, Verb};
use crate::practice::faults::drawn;

/// Rows that are worked off in one go.
const PIECE: usize = 500;
/// Bytes of an upload. Source: "Bulk API 2.0 Limits".
const UPLOAD_MAX: usize = 150_000_000;

const DELIMITERS: [(&str, char); 6] = [
    ("COMMA", ','),
    ("TAB", '\t'),
    ("PIPE", '|'),
    ("SEMICOLON", ';'),
    ("BACKQUOTE", '`'),
    ("CARET", '^'),
];

const INGEST_OPERATIONS: [&str; 5] = ["insert", "update", "upsert", "delete", "hardDelete"];

type Answered = Result<Answer, ApiError>;

fn invalid_job(message: impl Into<String>) -> ApiError {
    ApiError::new(400, "INVALIDJOB", message)
}

impl Org {
    /// The id of a job of this kind, as it is stored. Errors: there is none.
    fn job_id(&self, id: &str, kind: JobKind) -> Result<String, ApiError> {
        canonical_id(id)
            .filter(|id| self.jobs.get(id).is_some_and(|job| job.kind == kind))
            .ok_or_else(ApiError::not_found)
    }

    /// `/jobs/ingest…`.
    pub(super) fn ingest(&mut self, call: &Call, caller: &Caller, rest: &[&str]) -> Answered {
        match (call.method, rest) {
            (Verb::Post, []) => self.new_ingest(call, caller),
            (Verb::Get, []) => Ok(self.all_jobs(JobKind::Ingest)),
            (method, [id, rest @ ..]) => {
                let id = self.job_id(id, JobKind::Ingest)?;
                match (method, rest) {
                    (Verb::Get, []) => Ok(self.job_info(&id)),
                    (Verb::Patch, []) => self.set_state(call, &id),
                    (Verb::Delete, []) => self.delete_job(&id),
                    (Verb::Put, ["batches"]) => self.upload(call, &id),
                    (Verb::Get, [results]) => self.results(&id, results),
                    _ => Err(not_allowed(call, "GET,PATCH,DELETE")),
                }
            }
            _ => Err(not_allowed(call, "GET,POST")),
        }
    }

    fn new_ingest(&mut self, call: &Call, caller: &Caller) -> Answered {
        let body = object_body(call)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let operation = text("operation").unwrap_or_default();
        if !INGEST_OPERATIONS.contains(&operation) {
            return Err(invalid_job(format!(
                "InvalidJob : Unknown operation: {operation}"
            )));
        }
        let place = text("object").and_then(|name| self.table(name));
        let place = place.ok_or_else(|| {
            let name = text("object").unwrap_or_default();
            invalid_job(format!("InvalidJob : Unable to find object: {name}"))
        })?;
        let object = self.object(place);
        let key = match operation {
            "upsert" => {
                let name = text("externalIdFieldName").unwrap_or_default();
                let key = object.named(name).filter(|field| field.is_key());
                let missing = || invalid_job(format!("InvalidJob : Field name not found : {name}"));
                Some(key.ok_or_else(missing)?.name.clone())
            }
            _ => None,
        };
        let delimiter_name = text("columnDelimiter").unwrap_or("COMMA");
        let delimiter = DELIMITERS.iter().find(|(name, _)| *name == delimiter_name);
        let (_, delimiter) =
            delimiter.ok_or_else(|| invalid_job("InvalidJob : Unknown columnDelimiter"))?;
        let id = self.next_id("750");
        let job = Job {
            kind: JobKind::Ingest,
            operation: operation.to_owned(),
            object: object.name.clone(),
            key,
            delimiter: *delimiter,
            delimiter_name: delimiter_name.to_owned(),
            line_ending: text("lineEnding").unwrap_or("LF").to_owned(),
            state: JobState::Open,
            made: call.now,
            version: caller.version,
            user: caller.user.clone(),
            query: None,
            error: None,
            ends: Vec::new(),
            fails_at: call.hindrance.bulk_fail.then_some(0),
            allow_save: caller.wishes(call, 0).allow_save,
            records: 0,
            upload: None,
            rows: None,
        };
        self.jobs.insert(id.clone(), job);
        self.touch_job(&id);
        Ok(self.job_info(&id))
    }

    fn job_info(&self, id: &str) -> Answer {
        let told = self.jobs.get(id).map_or(Value::Null, |job| job.info(id));
        Answer::json(200, told.to_string())
    }

    fn all_jobs(&self, kind: JobKind) -> Answer {
        let jobs = self.jobs.iter().filter(|(_, job)| job.kind == kind);
        let records: Vec<Value> = jobs.map(|(id, job)| job.info(id)).collect();
        Answer::json(
            200,
            json!({ "done": true, "nextRecordsUrl": null, "records": records }).to_string(),
        )
    }

    fn upload(&mut self, call: &Call, id: &str) -> Answered {
        let Some(job) = self.jobs.get_mut(id) else {
            return Err(ApiError::not_found());
        };
        if job.state != JobState::Open || job.upload.is_some() {
            let message = "Found multiple contents for job: <batches>, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.";
            return Err(ApiError::new(400, "CLIENT_INPUT_ERROR", message));
        }
        let is_csv = call
            .header("content-type")
            .is_some_and(|told| told.starts_with("text/csv"));
        if !is_csv {
            return Err(ApiError::new(
                415,
                "UNSUPPORTED_MEDIA_TYPE",
                "Content type of job data must be text/csv",
            ));
        }
        if call.body.len() > UPLOAD_MAX {
            return Err(ApiError::new(
                413,
                "REQUEST_ENTITY_TOO_LARGE",
                "Request entity is too large.",
            ));
        }
        let text = String::from_utf8(call.body.clone());
        let text =
            text.map_err(|_| ApiError::new(400, "CLIENT_INPUT_ERROR", "Job data must be UTF-8"))?;
        job.upload = Some(Arc::from(text));
        self.touch_upload(id);
        Ok(Answer::new(201))
    }

    fn set_state(&mut self, call: &Call, id: &str) -> Answered {
        let body = object_body(call)?;
        let Some(job) = self.jobs.get_mut(id) else {
            return Err(ApiError::not_found());
        };
        let wanted = body
            .get("state")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let next = match (wanted, job.state) {
            ("UploadComplete", JobState::Open) => JobState::UploadComplete,
            ("Aborted", JobState::Open | JobState::UploadComplete | JobState::InProgress) => {
                JobState::Aborted
            }
            _ => {
                let message = format!(
                    "InvalidJobState : Job cannot go from {:?} to {wanted}",
                    job.state
                );
                return Err(ApiError::new(400, "INVALIDJOBSTATE", message));
            }
        };
        job.state = next;
        if next == JobState::UploadComplete {
            let rows = job.rows().map_or(0, |rows| rows.rows.len());
            job.records = rows;
            job.fails_at = job.fails_at.map(|_| rows / 2);
        }
        self.touch_job(id);
        Ok(self.job_info(id))
    }

    fn delete_job(&mut self, id: &str) -> Answered {
        let is_at_work = self
            .jobs
            .get(id)
            .is_some_and(|job| matches!(job.state, JobState::Open | JobState::InProgress));
        if is_at_work {
            return Err(ApiError::new(
                400,
                "INVALIDJOBSTATE",
                "Job must be in UploadComplete, JobComplete, Aborted or Failed state to be deleted",
            ));
        }
        let ends = self.jobs.remove(id).map_or(0, |job| job.ends.len());
        self.touch_job(id);
        self.touch_upload(id);
        for from in (0..ends).step_by(PIECE) {
            self.touch_ends(id, from, (from + PIECE).min(ends));
        }
        Ok(Answer::new(204))
    }

    /// What became of the rows: never in the order in which they came.
    fn results(&self, id: &str, which: &str) -> Answered {
        let job = self.jobs.get(id).ok_or_else(ApiError::not_found)?;
        let text = job.upload.as_deref().unwrap_or_default();
        let rows = rows_of(text, job.delimiter).unwrap_or_default();
        let line = |cells: &[String]| {
            let quoted: Vec<String> = cells
                .iter()
                .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
                .collect();
            quoted.join(&job.delimiter.to_string()) + "\n"
        };
        let first: &[&str] = match which {
            "successfulResults" => &["sf__Id", "sf__Created"],
            "failedResults" => &["sf__Id", "sf__Error"],
            "unprocessedrecords" | "unprocessedRecords" => &[],
            _ => return Err(ApiError::not_found()),
        };
        let header: Vec<String> = first
            .iter()
            .map(|name| (*name).to_owned())
            .chain(rows.header.iter().cloned())
            .collect();
        let mut lines: Vec<(u64, String)> = Vec::new();
        for (place, row) in rows.rows.iter().enumerate() {
            let begins = match (job.ends.get(place), which) {
                (Some(RowEnd::Done { id, created }), "successfulResults") => {
                    vec![id.clone(), created.to_string()]
                }
                (Some(RowEnd::Failed(error)), "failedResults") => {
                    vec![String::new(), error.clone()]
                }
                (None, "unprocessedrecords" | "unprocessedRecords") => Vec::new(),
                _ => continue,
            };
            let cells: Vec<String> = begins.into_iter().chain(row.iter().cloned()).collect();
            let count = u64::try_from(place).unwrap_or_default();
            lines.push((drawn(1, id, count), line(&cells)));
        }
        lines.sort();
        let body = std::iter::once(line(&header)).chain(lines.into_iter().map(|(_, line)| line));
        Ok(Answer::text(200, "text/csv", body.collect::<String>()))
    }

    /// `/jobs/query…`.
    pub(super) fn query_jobs(&mut self, call: &Call, caller: &Caller, rest: &[&str]) -> Answered {
        match (call.method, rest) {
            (Verb::Post, []) => self.new_query(call, caller),
            (Verb::Get, []) => Ok(self.all_jobs(JobKind::Query)),
            (method, [id, rest @ ..]) => {
                let id = self.job_id(id, JobKind::Query)?;
                match (method, rest) {
                    (Verb::Get, []) => Ok(self.job_info(&id)),
                    (Verb::Patch, []) => self.set_state(call, &id),
                    (Verb::Delete, []) => self.delete_job(&id),
                    (Verb::Get, ["results"]) => self.query_results(call, &id),
                    _ => Err(not_allowed(call, "GET,PATCH,DELETE")),
                }
            }
            _ => Err(not_allowed(call, "GET,POST")),
        }
    }

    fn new_query(&mut self, call: &Call, caller: &Caller) -> Answered {
        let body = object_body(call)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let operation = text("operation").unwrap_or_default();
        if !["query", "queryAll"].contains(&operation) {
            return Err(invalid_job(format!(
                "InvalidJob : Unknown operation: {operation}"
            )));
        }
        let query = text("query").unwrap_or_default();
        let parsed = super::soql::parse(query)
            .map_err(|error| ApiError::new(400, "API_ERROR", error.message))?;
        let delimiter_name = text("columnDelimiter").unwrap_or("COMMA");
        let id = self.next_id("750");
        let job = Job {
            kind: JobKind::Query,
            operation: operation.to_owned(),
            object: self.table(&parsed.from.text()).map_or_else(
                || parsed.from.text(),
                |place| self.object(place).name.clone(),
            ),
            key: None,
            delimiter: ',',
            delimiter_name: delimiter_name.to_owned(),
            line_ending: text("lineEnding").unwrap_or("LF").to_owned(),
            state: JobState::UploadComplete,
            made: call.now,
            version: caller.version,
            user: caller.user.clone(),
            query: Some(query.to_owned()),
            error: None,
            ends: Vec::new(),
            fails_at: call.hindrance.bulk_fail.then_some(0),
            allow_save: false,
            records: 0,
            upload: None,
            rows: None,
        };
        self.jobs.insert(id.clone(), job);
        self.touch_job(&id);
        Ok(self.job_info(&id))
    }

    fn query_results(&self, call: &Call, id: &str) -> Answered {
        let job = self.jobs.get(id).ok_or_else(ApiError::not_found)?;
        if job.state != JobState::JobComplete {
            return Err(ApiError::new(
                400,
                "INVALIDJOBSTATE",
                "Results are only available for completed jobs",
            ));
        }
        let text = job.upload.as_deref().unwrap_or_default();
        let rows = rows_of(text, ',').unwrap_or_default();
        let number = |name: &str| {
            call.parameter(name)
                .and_then(|text| text.parse::<usize>().ok())
        };
        let from = number("locator").unwrap_or_default();
        let to = from
            .saturating_add(number("maxRecords").unwrap_or(usize::MAX))
            .min(rows.rows.len());
        let quoted = |cells: &[String]| {
            let cells: Vec<String> = cells
                .iter()
                .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
                .collect();
            cells.join(",") + "\n"
        };
        let page = rows.rows.get(from..to).unwrap_or_default();
        let body: String = std::iter::once(quoted(&rows.header))
            .chain(page.iter().map(|row| quoted(row)))
            .collect();
        let locator = if to < rows.rows.len() {
            to.to_string()
        } else {
            "null".to_owned()
        };
        Ok(Answer::text(200, "text/csv", body)
            .with("Sforce-Locator", locator)
            .with("Sforce-NumberOfRecords", page.len().to_string()))
    }

    /// Works off a piece of the next job; says whether there was one.
    pub(super) fn work_off(&mut self, now: DateTime<Utc>, locked: &BTreeSet<String>) -> bool {
        let is_due =
            |job: &Job| matches!(job.state, JobState::UploadComplete | JobState::InProgress);
        let next = self.jobs.iter().find(|(_, job)| is_due(job));
        let Some((id, state, kind)) = next.map(|(id, job)| (id.clone(), job.state, job.kind))
        else {
            return false;
        };
        let ended = match (state, kind) {
            (JobState::UploadComplete, _) => Ok(JobState::InProgress),
            (_, JobKind::Query) => self.work_off_query(&id, now),
            (_, JobKind::Ingest) => self.work_off_rows(&id, now, locked),
        };
        if let Some(job) = self.jobs.get_mut(&id) {
            match ended {
                Ok(state) => job.state = state,
                Err(error) => {
                    job.state = JobState::Failed;
                    job.error = Some(error);
                }
            }
        }
        self.touch_job(&id);
        true
    }

    fn work_off_query(&mut self, id: &str, now: DateTime<Utc>) -> Result<JobState, String> {
        let job = self.jobs.get(id).ok_or("InvalidJob : no such job")?;
        if job.fails_at.is_some() {
            return Err("InternalServerError : an unexpected error occurred".to_owned());
        }
        let text = job.query.clone().unwrap_or_default();
        let all = job.operation == "queryAll";
        let found = self.query_csv(&text, all, now);
        let (csv, count) = found.map_err(|error| format!("{} : {}", error.code, error.message))?;
        if let Some(job) = self.jobs.get_mut(id) {
            job.upload = Some(Arc::from(csv));
            job.records = count;
        }
        self.touch_upload(id);
        Ok(JobState::JobComplete)
    }

    fn work_off_rows(
        &mut self,
        id: &str,
        now: DateTime<Utc>,
        locked: &BTreeSet<String>,
    ) -> Result<JobState, String> {
        let job = self.jobs.get_mut(id).ok_or("InvalidJob : no such job")?;
        let rows = job.rows()?;
        let from = job.ends.len();
        // What it is, without what became of it so far.
        let ends = std::mem::take(&mut job.ends);
        let plan = job.clone();
        job.ends = ends;
        let place = self
            .table(&plan.object)
            .ok_or("InvalidJob : Unable to find object")?;
        self.check_header(place, &rows.header)?;
        let to = from.saturating_add(PIECE).min(rows.rows.len());
        let to = plan.fails_at.map_or(to, |fails_at| to.min(fails_at));
        let mut wishes = Wishes {
            user: plan.user.clone(),
            now,
            allow_save: plan.allow_save,
            locked: locked.clone(),
            lock_some: false,
            row: from,
        };
        let mut ends = Vec::new();
        for cells in rows.rows.get(from..to).unwrap_or_default() {
            let ended = self.write_row(place, &plan, &rows.header, cells, &wishes);
            ends.push(match ended {
                Ok((id, created)) => RowEnd::Done { id, created },
                Err(error) => RowEnd::Failed(error.cell()),
            });
            wishes.row += 1;
        }
        if let Some(job) = self.jobs.get_mut(id) {
            job.ends.extend(ends);
        }
        self.touch_ends(id, from, to);
        if plan.fails_at == Some(to) {
            let message =
                "InternalServerError : an unexpected error occurred while the job was processed";
            return Err(message.to_owned());
        }
        Ok(match to == rows.rows.len() {
            true => JobState::JobComplete,
            false => JobState::InProgress,
        })
    }

    fn check_header(&self, place: usize, header: &[String]) -> Result<(), String> {
        let object = self.object(place);
        for name in header {
            let (first, is_path) = match name.split_once('.') {
                Some((first, _)) => (first.rsplit(':').next().unwrap_or(first), true),
                None => (name.as_str(), false),
            };
            let is_known = match is_path {
                true => object.find_relationship(first).is_some(),
                false => object.find(first).is_some(),
            };
            if !is_known {
                return Err(format!("InvalidBatch : Field name not found : {name}"));
            }
        }
        Ok(())
    }

    fn write_row(
        &mut self,
        place: usize,
        job: &Job,
        header: &[String],
        cells: &[String],
        wishes: &Wishes,
    ) -> Result<(String, bool), RowError> {
        let object = self.object(place);
        let mut record = Map::new();
        for (name, cell) in header
            .iter()
            .zip(cells)
            .filter(|(_, cell)| !cell.is_empty())
        {
            let is_null = cell == "#N/A";
            let told = if is_null {
                Value::Null
            } else {
                Value::from(cell.as_str())
            };
            let Some((reference, key)) = name.split_once('.') else {
                let kind = object.named(name).map(|field| field.kind);
                let told = match (kind, cell.to_ascii_lowercase().as_str()) {
                    (Some(FieldKind::Boolean), "true" | "1") => Value::from(true),
                    (Some(FieldKind::Boolean), "false" | "0" | "#n/a") => Value::from(false),
                    _ => told,
                };
                record.insert(name.clone(), told);
                continue;
            };
            let (of, relationship) = match reference.split_once(':') {
                Some((of, relationship)) => (Some(of), relationship),
                None => (None, reference),
            };
            let field = object
                .find_relationship(relationship)
                .map(|index| object.field(index).name.clone());
            match (is_null, field) {
                (true, Some(field)) => {
                    record.insert(field, Value::Null);
                }
                _ => {
                    let mut parent = Map::from_iter([(key.to_owned(), told)]);
                    if let Some(of) = of {
                        parent.insert("attributes".to_owned(), json!({ "type": of }));
                    }
                    record.insert(relationship.to_owned(), Value::Object(parent));
                }
            }
        }
        self.carry_out_row(place, job, &record, wishes)
            .map_err(|error| match error {
                WriteError::Row(error) => error,
                WriteError::Request(error) => {
                    RowError::new("INVALID_TYPE_ON_FIELD_IN_RECORD", error.message, &[])
                }
            })
    }

    fn carry_out_row(
        &mut self,
        place: usize,
        job: &Job,
        record: &Map<String, Value>,
        wishes: &Wishes,
    ) -> Result<(String, bool), WriteError> {
        let object = self.object(place);
        let told = record
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("id"));
        let told = told.and_then(|(_, id)| id.as_str()).unwrap_or_default();
        if let Some(key) = job.key.as_deref().and_then(|key| object.find(key)) {
            let field = object.field(key);
            let given = record
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&field.name));
            let held: Option<Held> =
                given.and_then(|(_, told)| from_json(told, field).ok().flatten());
            let Some(held) = held else {
                let message = format!("{} not specified", field.name);
                return Err(RowError::new("MISSING_ARGUMENT", message, &[&field.name]).into());
            };
            return self.upsert(place, key, &held, record, wishes);
        }
        if job.operation == "insert" {
            let given = self.given(place, record, Event::Insert)?;
            return Ok((self.insert(place, given, wishes)?, true));
        }
        if told.is_empty() {
            let message = format!("Id not specified in an {} call", job.operation);
            return Err(RowError::new("MISSING_ARGUMENT", message, &[]).into());
        }
        let id = canonical_id(told).filter(|id| self.place_of(id) == Some(place));
        let id =
            id.ok_or_else(|| RowError::new("MALFORMED_ID", format!("bad id {told}"), &["Id"]))?;
        match job.operation.as_str() {
            "update" => {
                let given = self.given(place, record, Event::Update)?;
                self.update(place, &id, given, wishes)?;
            }
            _ => {
                self.delete(place, &id, wishes)?;
                if job.operation == "hardDelete" {
                    self.put(place, &id, None);
                }
            }
        }
        Ok((id, false))
    }
}

impl Job {
    /// The rows of the upload, which are read once.
    /// Errors: they are no CSV.
    fn rows(&mut self) -> Result<Arc<Rows>, String> {
        if let Some(rows) = &self.rows {
            return Ok(Arc::clone(rows));
        }
        let text = self.upload.as_deref().unwrap_or_default();
        let rows = Arc::new(rows_of(text, self.delimiter)?);
        self.rows = Some(Arc::clone(&rows));
        Ok(rows)
    }

    /// What became of some of the rows, as the state file keeps it.
    pub(super) fn stored_ends(&self, from: usize, to: usize) -> Option<String> {
        serde_json::to_string(self.ends.get(from..to)?).ok()
    }

    /// Takes up what the state file kept.
    pub(super) fn restore_ends(&mut self, stored: &str) {
        let ends: Vec<RowEnd> = serde_json::from_str(stored).unwrap_or_default();
        self.ends.extend(ends);
    }

    fn info(&self, id: &str) -> Value {
        let failed = self
            .ends
            .iter()
            .filter(|end| matches!(end, RowEnd::Failed(_)))
            .count();
        let moment = moment_text(self.made.timestamp_millis()) + "+0000";
        let (kind, path) = match self.kind {
            JobKind::Ingest => ("V2Ingest", "ingest"),
            JobKind::Query => ("V2Query", "query"),
        };
        let mut told = json!({
            "id": id, "operation": self.operation, "object": self.object, "createdById": self.user,
            "createdDate": moment, "systemModstamp": moment, "state": self.state, "concurrencyMode": "Parallel",
            "contentType": "CSV", "apiVersion": f64::from(self.version), "lineEnding": self.line_ending,
            "columnDelimiter": self.delimiter_name, "jobType": kind,
        });
        let processed = match self.kind {
            JobKind::Ingest => self.ends.len(),
            JobKind::Query => self.records,
        };
        let mut more: BTreeMap<&str, Value> = BTreeMap::new();
        if self.kind == JobKind::Ingest {
            more.insert("externalIdFieldName", json!(self.key));
            more.insert("assignmentRuleId", Value::Null);
            if self.state == JobState::Open {
                let url = format!("services/data/v{}.0/jobs/{path}/{id}/batches", self.version);
                more.insert("contentUrl", Value::from(url));
            } else {
                more.insert("numberRecordsFailed", json!(failed));
                more.insert("apiActiveProcessingTime", json!(processed));
                more.insert("apexProcessingTime", json!(0));
            }
        }
        if self.state != JobState::Open {
            more.insert("numberRecordsProcessed", json!(processed));
            more.insert("retries", json!(0));
            more.insert("totalProcessingTime", json!(processed));
        }
        if let Some(error) = &self.error {
            more.insert("errorMessage", json!(error));
        }
        if let Some(told) = told.as_object_mut() {
            told.extend(
                more.into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
        }
        told
    }
}

/// Errors: it is no CSV, in the words of a failed job.
fn rows_of(text: &str, delimiter: char) -> Result<Rows, String> {
    let delimiter = u8::try_from(delimiter).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(false)
        .from_reader(text.as_bytes());
    let failed = |error: csv::Error| format!("InvalidBatch : Failed to parse CSV: {error}");
    let header = reader
        .headers()
        .map_err(failed)?
        .iter()
        .map(str::to_owned)
        .collect();
    let mut rows = Vec::new();
    for row in reader.records() {
        rows.push(row.map_err(failed)?.iter().map(str::to_owned).collect());
    }
    Ok(Rows { header, rows })
}
