//! The ledger's account of requests: what callers asked for about single records, the day runs that
//! these are part of, and what was answered. A request is recorded before anything of it is sent.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::batches::{COMMITTED, bind_committed};
use super::codec::{count, from_json, json_text, moment, moment_text};
use super::error::{Answer, Fault, LedgerError};
use super::parked::{self, MAY_BE_PARKED, MayBeParked};
use super::parts::{BatchSpan, WriteBackId};
use super::rejections::{KeptRejection, insert_rejections};
use super::several;
use super::sqlite::Ledger;
use super::status::RunStatus;
use super::write_backs::MappedFor;
use crate::database::audited;
use crate::database::sqlite::at_once;
use crate::domain::outcome::Rejection;
use crate::domain::parking::Parked;

/// A request about to be carried out.
#[derive(Debug, Clone)]
pub(crate) struct NewRecordRequest<'a> {
    /// No other request has it.
    pub(crate) id: &'a str,
    pub(crate) caller: &'a str,
    pub(crate) idempotency_key: Option<&'a str>,
    /// SHA-256 of what is asked for, hexadecimal.
    pub(crate) digest: &'a str,
    pub(crate) job: &'a str,
    pub(crate) write_back: &'a str,
    /// The match key.
    pub(crate) record: &'a str,
    /// What the record may be parked under.
    pub(crate) may_be_parked: MayBeParked<'a>,
    /// The destination's fields that it writes.
    pub(crate) fields: &'a [String],
    pub(crate) origin: Option<&'a str>,
    pub(crate) actor: Option<&'a str>,
    pub(crate) asked_at: DateTime<Utc>,
    /// JSON: what is asked for, if it is accepted before it is carried out.
    pub(crate) accepted: Option<&'a str>,
}

/// The run that a write-back's requests of one day are part of.
#[derive(Debug, Clone)]
pub(crate) struct DayRun<'a> {
    pub(crate) day: &'a str,
    /// When the day began.
    pub(crate) begins_at: DateTime<Utc>,
    pub(crate) mapped_for: &'a MappedFor,
}

/// What came of recording a request.
#[derive(Debug)]
pub(crate) enum RequestBegun {
    /// It is new, and has this place.
    New(RequestPlace),
    /// Its caller asked for it before.
    Known(Box<RecordRequest>),
}

/// What came of recording a request once it is its record's turn.
#[derive(Debug)]
pub(crate) enum RequestTurn {
    Begun {
        request: RequestBegun,
        /// Parked records that its own may be one of.
        parked: Vec<Parked>,
    },
    /// Nothing is recorded: these, about the same record, were sent or accepted, and have not ended.
    /// Oldest first.
    Behind(Vec<RecordRequest>),
}

/// Where the batch of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestPlace {
    pub(crate) request: i64,
    pub(crate) run: i64,
    /// Partition of its batch.
    pub(crate) sequence: u32,
}

impl RequestPlace {
    pub(crate) fn id(self) -> WriteBackId {
        WriteBackId {
            run: self.run,
            position: 0,
        }
    }

    pub(crate) fn span(self) -> BatchSpan {
        BatchSpan {
            partition: self.sequence,
            first: 0,
            records: 1,
        }
    }
}

/// A request, and what was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordRequest {
    pub(crate) place: RequestPlace,
    pub(crate) id: String,
    pub(crate) caller: String,
    pub(crate) digest: String,
    pub(crate) job: String,
    pub(crate) write_back: String,
    pub(crate) record: String,
    /// The destination's fields that it writes.
    pub(crate) fields: Vec<String>,
    pub(crate) origin: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) accepted: Option<String>,
    pub(crate) has_ended: bool,
    /// JSON, once it ended and for as long as answers are kept.
    pub(crate) answer: Option<String>,
}

/// How long answers are kept: whoever asks again after that asks for something new.
const ANSWER_KEPT: TimeDelta = TimeDelta::days(7);

/// How a request ended.
#[derive(Debug)]
pub(crate) struct RequestEnd<'a> {
    /// JSON.
    pub(crate) answer: String,
    /// Whether its record has an outcome, and so counts as read. One without may be asked for
    /// again, with the same key.
    pub(crate) is_counted: bool,
    /// Why it was rejected before it was sent.
    pub(crate) rejection: Option<&'a Rejection>,
    /// Seconds of work after which its batch was committed, where the ledger does not know that
    /// yet.
    pub(crate) committed_after: Option<f64>,
}

impl RequestEnd<'_> {
    /// As the ledger knows it already, but for its answer.
    pub(crate) fn counted(answer: String, is_counted: bool) -> Self {
        Self {
            answer,
            is_counted,
            rejection: None,
            committed_after: None,
        }
    }
}

/// Fields of records that requests wrote, by match key.
pub(crate) type WrittenSince = BTreeMap<String, BTreeSet<String>>;

impl Ledger {
    /// Records a request as a part of its day run, which is begun if need be, unless its caller
    /// asked for it before.
    pub(crate) async fn begin_record_request(
        &self,
        new: &NewRecordRequest<'_>,
        day_run: &DayRun<'_>,
    ) -> Result<RequestBegun, LedgerError> {
        self.write(RECORDING, async |connection| {
            let known = known(connection, new, day_run).await?;
            begin(connection, new, day_run, known).await
        })
        .await
    }

    /// As [`Ledger::begin_record_request`], unless earlier requests about its record are to be
    /// settled first. All that is to be known of the record is read on the way.
    pub(crate) async fn begin_record_request_in_turn(
        &self,
        new: &NewRecordRequest<'_>,
        day_run: &DayRun<'_>,
    ) -> Result<RequestTurn, LedgerError> {
        self.write(RECORDING, async |connection| {
            let known = known(connection, new, day_run).await?;
            if !known.earlier.is_empty() {
                return Ok(RequestTurn::Behind(known.earlier));
            }
            let parked = known.parked.clone();
            Ok(RequestTurn::Begun {
                request: begin(connection, new, day_run, known).await?,
                parked,
            })
        })
        .await
    }

    /// A request ended, as it is or was answered; its batch is committed by then.
    pub(crate) async fn end_record_request(
        &self,
        place: RequestPlace,
        end: &RequestEnd<'_>,
    ) -> Result<(), LedgerError> {
        let ended_at = moment_text(Utc::now());
        let id = place.id();
        self.write_of(id, "end a request in", async |connection, write_back| {
            if let Some(rejection) = end.rejection
                && is_open(connection, place).await?
            {
                let kept = [KeptRejection {
                    rejection,
                    batch: None,
                }];
                insert_rejections(connection, write_back, &kept).await?;
            }
            let update = match end.committed_after {
                Some(_) => format!("{COMMITTED}; {ENDED}"),
                None => ENDED.to_owned(),
            };
            let mut update = sqlx::query(audited(update));
            if let Some(seconds) = end.committed_after {
                update = bind_committed(update, write_back, place.span(), seconds);
            }
            let read = update.bind(i64::from(end.is_counted)).bind(write_back);
            let run = read.bind(place.request).bind(&ended_at).bind(write_back);
            let run = run.bind(RunStatus::Rejected.name()).bind(place.run);
            let request = run.bind(place.request).bind(&ended_at).bind(&end.answer);
            let request = request.bind(end.is_counted).bind(place.request);
            let answers = at_once(request, connection).await?;
            if end.committed_after.is_some() && answers.first().is_none_or(Vec::is_empty) {
                return Err(Fault::NoSuchBatch(place.span()));
            }
            Ok(())
        })
        .await
    }

    /// A request by the id that its caller was told, if there is one.
    pub(crate) async fn record_request(
        &self,
        id: &str,
    ) -> Result<Option<RecordRequest>, LedgerError> {
        self.read(async |connection| {
            let row = sqlx::query("SELECT * FROM record_requests WHERE id = ?").bind(id);
            let row = row.fetch_optional(connection).await?;
            row.as_ref().map(record_request).transpose()
        })
        .await
    }

    /// Requests that have not ended, oldest first.
    pub(crate) async fn record_requests_open(&self) -> Result<Vec<RecordRequest>, LedgerError> {
        self.read(async |connection| {
            let open = "SELECT * FROM record_requests WHERE ended_at IS NULL ORDER BY request";
            let rows = sqlx::query(open).fetch_all(connection).await?;
            rows.iter().map(record_request).collect()
        })
        .await
    }

    /// Requests about a record that were sent or accepted before this one, and have not ended; oldest
    /// first.
    pub(crate) async fn record_requests_before(
        &self,
        request: &RecordRequest,
    ) -> Result<Vec<RecordRequest>, LedgerError> {
        self.read(async |connection| {
            let earlier = sqlx::query(EARLIER).bind(&request.job);
            let earlier = earlier.bind(&request.write_back).bind(&request.record);
            let rows = earlier.fetch_all(connection).await?;
            let mut all: Vec<RecordRequest> =
                rows.iter().map(record_request).collect::<Answer<_>>()?;
            all.retain(|earlier| earlier.place.request < request.place.request);
            Ok(all)
        })
        .await
    }

    /// The requests of a day run by the partitions of their batches.
    pub(crate) async fn record_requests_of(
        &self,
        run: i64,
    ) -> Result<BTreeMap<u32, RecordRequest>, LedgerError> {
        self.read(async |connection| {
            let rows = sqlx::query("SELECT * FROM record_requests WHERE run = ?").bind(run);
            let rows = rows.fetch_all(connection).await?;
            let keyed = |row: &SqliteRow| {
                let request = record_request(row)?;
                Ok((request.place.sequence, request))
            };
            rows.iter().map(keyed).collect()
        })
        .await
    }

    /// Whether the batch of a request was sent, and if so whether it is known to be committed.
    pub(crate) async fn sent_of_request(
        &self,
        place: RequestPlace,
    ) -> Result<Option<bool>, LedgerError> {
        self.read_of(place.id(), async |connection, write_back| {
            let committed = sqlx::query_scalar(
                "SELECT committed FROM batches WHERE write_back = ? AND partition = ?",
            );
            let committed = committed.bind(write_back).bind(place.sequence);
            Ok(committed.fetch_optional(connection).await?)
        })
        .await
    }

    /// The day of a day run; `None` for every other run. Errors: `NoSuchRun`.
    pub(crate) async fn requests_day(&self, run: i64) -> Result<Option<String>, LedgerError> {
        self.read(async |connection| {
            let day = sqlx::query_scalar("SELECT requests_on FROM runs WHERE run = ?").bind(run);
            let day: Option<Option<String>> = day.fetch_optional(connection).await?;
            day.ok_or(Fault::NoSuchRun(run))
        })
        .await
    }

    /// What requests wrote, or may have, since the package of a run's write-back began to be
    /// pulled.
    pub(crate) async fn written_by_requests_since_pull(
        &self,
        id: WriteBackId,
    ) -> Result<WrittenSince, LedgerError> {
        self.read_of(id, async |connection, write_back| {
            let rows = sqlx::query(
                "SELECT r.record, r.fields
                 FROM write_backs AS mine JOIN runs ON runs.run = mine.run
                 JOIN record_requests AS r ON r.job = runs.job AND r.write_back = mine.name
                      AND (r.ended_at IS NULL OR r.ended_at >= mine.pulled_from)
                 JOIN write_backs AS day ON day.run = r.run AND day.position = 0
                 JOIN batches AS b ON b.write_back = day.write_back AND b.partition = r.sequence
                 WHERE mine.write_back = ? AND b.inserted + b.updated + b.unchanged > 0
                 ORDER BY r.request",
            );
            let rows = rows.bind(write_back).fetch_all(connection).await?;
            let mut since = WrittenSince::new();
            for row in &rows {
                let fields: Vec<String> = from_json(row.try_get("fields")?)?;
                since
                    .entry(row.try_get("record")?)
                    .or_default()
                    .extend(fields);
            }
            Ok(since)
        })
        .await
    }
}

const RECORDING: &str = "record a request in";

/// What a request that ends does to its day run and to itself, unless it had ended.
const ENDED: &str = "
    UPDATE write_backs SET read = read + ? WHERE write_back = ?
        AND EXISTS (SELECT 1 FROM record_requests WHERE request = ? AND ended_at IS NULL);
    UPDATE runs SET finished_at = ?, status = CASE WHEN EXISTS
        (SELECT 1 FROM rejections WHERE write_back = ?) THEN ? ELSE status END
    WHERE run = ? AND EXISTS (SELECT 1 FROM record_requests WHERE request = ? AND ended_at IS NULL);
    UPDATE record_requests SET ended_at = ?, answer = ?, accepted = NULL,
        idempotency_key = CASE WHEN ? THEN idempotency_key END
    WHERE request = ? AND ended_at IS NULL";

async fn is_open(connection: &mut SqliteConnection, place: RequestPlace) -> Answer<bool> {
    let open = sqlx::query("SELECT 1 FROM record_requests WHERE request = ? AND ended_at IS NULL");
    let open = open.bind(place.request).fetch_optional(connection);
    Ok(open.await?.is_some())
}

/// What is known of a request before it is recorded.
struct Known {
    /// Requests about its record whose batches were sent and that have not ended, oldest first.
    earlier: Vec<RecordRequest>,
    /// What its caller asked for with the same key.
    asked_before: Option<RecordRequest>,
    /// Records that its own may be one of.
    parked: Vec<Parked>,
    /// The day run that it becomes part of, if there is one: another begins when the object was
    /// altered or the job changed, and when the one before was taken back.
    day_run: Option<i64>,
}

const EARLIER: &str = "SELECT * FROM record_requests AS r
    WHERE ended_at IS NULL AND job = ? AND write_back = ? AND record = ?
        AND (accepted IS NOT NULL
             OR EXISTS (SELECT 1 FROM write_backs AS w JOIN batches AS b USING (write_back)
                        WHERE w.run = r.run AND w.position = 0 AND b.partition = r.sequence))
    ORDER BY request";

const ASKED_BEFORE: &str = "SELECT * FROM record_requests WHERE caller = ? AND idempotency_key = ?";

const DAY_RUN: &str = "SELECT run FROM runs JOIN write_backs AS w USING (run)
    WHERE job = ? AND requests_on = ? AND w.name = ? AND w.layout = ? AND w.fields = ?
        AND NOT EXISTS (SELECT 1 FROM runs AS undo WHERE undo.undo_of = runs.run AND NOT undo.of_records)
    ORDER BY run DESC LIMIT 1";

async fn known(
    connection: &mut SqliteConnection,
    new: &NewRecordRequest<'_>,
    day_run: &DayRun<'_>,
) -> Answer<Known> {
    let sql = [EARLIER, ASKED_BEFORE, MAY_BE_PARKED, DAY_RUN].join("; ");
    let earlier = sqlx::query(audited(sql));
    let earlier = earlier.bind(new.job).bind(new.write_back).bind(new.record);
    let asked_before = earlier.bind(new.caller).bind(new.idempotency_key);
    let (job, write_back, now) = (new.job, new.write_back, new.asked_at);
    let parked = new.may_be_parked.bind(asked_before, job, write_back, now);
    let mapped_for = day_run.mapped_for;
    let known = parked.bind(new.job).bind(day_run.day).bind(new.write_back);
    let known = known.bind(&mapped_for.layout);
    let known = known.bind(json_text(&mapped_for.fields)?);
    let answers = at_once(known, connection).await?;
    let rows = |answer: usize| answers.get(answer).map(Vec::as_slice).unwrap_or_default();
    let (asked_before, day_run) = (rows(1).first(), rows(3).first());
    Ok(Known {
        earlier: rows(0).iter().map(record_request).collect::<Answer<_>>()?,
        asked_before: asked_before.map(record_request).transpose()?,
        parked: rows(2).iter().map(parked::parked).collect::<Answer<_>>()?,
        day_run: day_run.map(|row| row.try_get("run")).transpose()?,
    })
}

async fn begin(
    connection: &mut SqliteConnection,
    new: &NewRecordRequest<'_>,
    day_run: &DayRun<'_>,
    known: Known,
) -> Answer<RequestBegun> {
    if let Some(before) = known.asked_before {
        return Ok(RequestBegun::Known(Box::new(before)));
    }
    let run = match known.day_run {
        Some(run) => run,
        None => begin_day_run(connection, new, day_run).await?,
    };
    Ok(RequestBegun::New(insert(connection, new, run).await?))
}

/// Begins a day run. What is kept of requests for some days goes with the first of a day.
async fn begin_day_run(
    connection: &mut SqliteConnection,
    new: &NewRecordRequest<'_>,
    day_run: &DayRun<'_>,
) -> Answer<i64> {
    let mapped_for = day_run.mapped_for;
    let fields = json_text(&mapped_for.fields)?;
    let forget = sqlx::query(
        "UPDATE record_requests SET answer = NULL, idempotency_key = NULL WHERE ended_at < ?",
    );
    let forgotten = moment_text(new.asked_at - ANSWER_KEPT);
    forget.bind(&forgotten).execute(&mut *connection).await?;
    several::forget(&mut *connection, &forgotten).await?;
    let begun_at = moment_text(new.asked_at);
    let run: i64 = sqlx::query_scalar(
        "INSERT INTO runs (job, cycle, cycle_completed_at, status, started_at, finished_at, job_digest, write_back,
                           of_records, requests_on)
         VALUES (?, ?, ?, ?, ?, ?, '', ?, 0, ?) RETURNING run",
    )
    .bind(new.job)
    .bind(format!("requests {}", day_run.day))
    .bind(moment_text(day_run.begins_at))
    .bind(RunStatus::Succeeded.name())
    .bind(&begun_at)
    .bind(&begun_at)
    .bind(new.write_back)
    .bind(day_run.day)
    .fetch_one(&mut *connection)
    .await?;
    let insert = sqlx::query(
        "INSERT INTO write_backs (run, position, name, read, finished, layout, destination, object, fields, journal)
         VALUES (?, 0, ?, 0, 1, ?, ?, ?, ?, ?)",
    );
    let journal = mapped_for.journal.as_ref().map(json_text).transpose()?;
    let insert = insert.bind(run).bind(new.write_back);
    let insert = insert
        .bind(&mapped_for.layout)
        .bind(&mapped_for.destination);
    let insert = insert
        .bind(json_text(&mapped_for.object)?)
        .bind(fields)
        .bind(journal);
    insert.execute(connection).await?;
    Ok(run)
}

async fn insert(
    connection: &mut SqliteConnection,
    new: &NewRecordRequest<'_>,
    run: i64,
) -> Answer<RequestPlace> {
    let insert = sqlx::query(
        "INSERT INTO record_requests (id, caller, idempotency_key, digest, job, write_back, record, fields, origin, actor,
                                      asked_at, run, sequence, accepted)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                 (SELECT coalesce(max(sequence) + 1, 0) FROM record_requests WHERE run = ?12), ?13)
         RETURNING request, sequence",
    );
    let insert = insert
        .bind(new.id)
        .bind(new.caller)
        .bind(new.idempotency_key)
        .bind(new.digest)
        .bind(new.job)
        .bind(new.write_back)
        .bind(new.record)
        .bind(json_text(new.fields)?)
        .bind(new.origin)
        .bind(new.actor)
        .bind(moment_text(new.asked_at))
        .bind(run)
        .bind(new.accepted);
    let row = insert.fetch_one(connection).await?;
    Ok(RequestPlace {
        request: row.try_get("request")?,
        run,
        sequence: count(&row, "sequence")?,
    })
}

fn record_request(row: &SqliteRow) -> Answer<RecordRequest> {
    Ok(RecordRequest {
        place: RequestPlace {
            request: row.try_get("request")?,
            run: row.try_get("run")?,
            sequence: count(row, "sequence")?,
        },
        id: row.try_get("id")?,
        caller: row.try_get("caller")?,
        digest: row.try_get("digest")?,
        job: row.try_get("job")?,
        write_back: row.try_get("write_back")?,
        record: row.try_get("record")?,
        fields: from_json(row.try_get("fields")?)?,
        origin: row.try_get("origin")?,
        actor: row.try_get("actor")?,
        asked_at: moment(row.try_get("asked_at")?)?,
        accepted: row.try_get("accepted")?,
        has_ended: row.try_get::<Option<&str>, _>("ended_at")?.is_some(),
        answer: row.try_get("answer")?,
    })
}
