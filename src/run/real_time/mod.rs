//! Requests: single records that are written at once, with the mapping, the writer and the account
//! of runs. A day's requests about one write-back are one run, with a batch for each.

mod mapped;
mod micro_sync;
mod settle;
mod writable;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{NaiveDate, NaiveTime, Utc};
use tracing::warn;

use self::mapped::Shape;
pub(crate) use self::mapped::{Asked, Mapped, Unfit, Unresolved};
use self::micro_sync::WrittenRow;
pub(crate) use self::micro_sync::{Followed, MirrorTold};
pub(crate) use self::writable::{
    Unwritable, expect_writable, key_columns, told, told_mirror, told_read_back,
};
use super::batch::{Batch, RequestTerms};
use super::conflicts::kept;
use super::images;
use super::journal_table::JournalTable;
use super::key_lines::{self, HeldKeys};
use super::mirror::Mirror;
use super::outcomes::PushedPartition;
use super::place::run_folder;
use super::plan::{Plan, PlanError, plan_without_sources};
use super::progress::Progress;
use super::push::error::PushError;
use super::seen::SeenField;
use super::stop::Stop;
use super::writer::{Tools, Work, Writer, WriterContext};
use crate::config::{CheckedJob, Project};
use crate::destination::seam::{Destination, LookUp};
use crate::destination::{AnyDatabase, AnyDestination};
use crate::domain::before::Before;
use crate::domain::cycle::Cycle;
use crate::domain::error::{SystemError, own_words};
use crate::domain::job::WriteBack;
use crate::domain::layout::Layout;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::domain::match_key::{ByKey, RecordKinds, ToldBy};
use crate::domain::outcome::{Outcome, Rejection, SkipReason};
use crate::domain::parking::Parked;
use crate::domain::sameness::in_words;
use crate::ledger::{
    DayRun, Ledger, LedgerError, MappedFor, MayBeParked, NewRecordRequest, RequestBegun,
    RequestPlace, RequestTurn,
};

/// A write-back that is ready for requests: met with its object, its writers at hand.
pub(crate) struct Post {
    project: Arc<Project>,
    ledger: Ledger,
    job: String,
    plan: Plan,
    /// What the day runs' records are mapped for: every field that may be written.
    mapped_for: MappedFor,
    record_kinds: RecordKinds,
    /// By the columns that requests give.
    shapes: Mutex<HashMap<BTreeSet<usize>, Arc<Shape>>>,
    /// What nobody writes with: connections, and files of before-images.
    idle: Mutex<Vec<Tools>>,
    /// Absent before the first request that it takes something of.
    mirror: tokio::sync::Mutex<Option<Arc<Mirror>>>,
    /// Connections to the source that nobody uses.
    idle_sources: Mutex<Vec<AnyDatabase>>,
}

/// What was carried out.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) outcome: Outcome,
    /// Empty if there was no row.
    pub(crate) fields: Vec<SeenField>,
    /// By field, where one of them held something else.
    pub(crate) expected: Option<BTreeMap<String, Option<String>>>,
    /// Id of the row, where the destination has such ids.
    pub(crate) row: Option<String>,
    /// Seconds of work after which its batch was committed, where the ledger does not know that
    /// yet.
    pub(crate) committed_after: Option<f64>,
    /// Fields as they are held now, with what depends on them; `None`, if that could not be asked.
    pub(crate) read_back: Option<BTreeMap<String, Option<String>>>,
    /// What became of the source's own row, if anything of it is mirrored.
    pub(crate) mirror: Option<MirrorTold>,
}

/// What became of a request that is not known to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Written,
    NotWritten,
}

/// A run tells nobody of its single records.
struct Silent;

impl Progress for Silent {
    fn pulled(&self, _write_back: &str, _records: u64) {}
    fn push_begins(&self, _write_back: &str, _records: u64) {}
    fn pushed(&self, _write_back: &str, _records: u64) {}
    fn push_ends(&self, _write_back: &str) {}
}

impl Post {
    /// Meets a write-back with its object.
    pub(crate) async fn open(
        project: Arc<Project>,
        checked: &CheckedJob,
        write_back: &str,
        ledger: Ledger,
    ) -> Result<Self, PlanError> {
        let now = Utc::now();
        let facts = RunFacts {
            run: NO_RUN,
            job: checked.job.name.clone(),
            cycle: Cycle {
                id: String::new(),
                completed_at: now,
            },
            started_at: now,
        };
        let plans = plan_without_sources(&project, &checked.job, Some(write_back), &facts).await?;
        let plan = plans.into_iter().next().ok_or(PlanError::NoSuchWriteBack {
            name: write_back.to_owned(),
            job: checked.job.name.clone(),
            known: Vec::new(),
        })?;
        let fields = plan.write_back.fields.iter();
        let open = fields.filter(|field| field.real_time);
        let mut columns: BTreeSet<usize> = open
            .flat_map(|field| field.value.columns())
            .copied()
            .collect();
        columns.extend(&plan.write_back.schema.key);
        let mapped_for = match columns.len() > plan.write_back.schema.key.len() {
            true => plan.mapped_for_layout(&plan.of_columns(&columns)?.0),
            false => plan.mapped_for(),
        };
        Ok(Self {
            project,
            ledger,
            job: checked.job.name.clone(),
            record_kinds: plan.record_kinds(),
            plan,
            mapped_for,
            shapes: Mutex::default(),
            idle: Mutex::default(),
            mirror: tokio::sync::Mutex::default(),
            idle_sources: Mutex::default(),
        })
    }

    pub(crate) fn write_back(&self) -> &str {
        &self.plan.write_back.name
    }

    /// Name of its connection.
    pub(crate) fn destination(&self) -> &str {
        &self.plan.destination.name
    }

    /// As people read it.
    pub(crate) fn object(&self) -> String {
        self.plan.object().display_name()
    }

    /// What it writes, as its job's file has it.
    pub(crate) fn declared(&self) -> &WriteBack {
        &self.plan.write_back
    }

    /// Waits until nobody else in this process writes the record.
    pub(crate) async fn hold(&self, record: &str) -> HeldKeys {
        let line = key_lines::line(&self.plan.destination.name, &self.plan.object().path);
        key_lines::hold(&line, BTreeSet::from([record.to_owned()])).await
    }

    /// How the record is parked, if it is.
    pub(crate) async fn parked(&self, record: ToldBy<'_>) -> Result<Option<Parked>, LedgerError> {
        let (ledger, write_back) = (&self.ledger, self.write_back());
        let may_be = self.may_be_parked(record);
        let parked = ledger.may_be_parked(&self.job, write_back, may_be, Utc::now());
        Ok(self.parked_among(parked.await?, record))
    }

    /// What the ledger is to be asked for to know how the record is parked.
    pub(crate) fn may_be_parked<'a>(&self, record: ToldBy<'a>) -> MayBeParked<'a> {
        match self.record_kinds.have_spellings() {
            true => MayBeParked::Anyhow,
            false => {
                let own = [record.destination, record.source.or(record.pulled)];
                MayBeParked::As(own.map(Option::unwrap_or_default))
            }
        }
    }

    /// How the record is parked, if it is one of these.
    pub(crate) fn parked_among(&self, parked: Vec<Parked>, record: ToldBy<'_>) -> Option<Parked> {
        if parked.is_empty() {
            return None;
        }
        let parked = parked.into_iter().map(|one| (one.key.clone(), one));
        let parked = ByKey::new(self.record_kinds.clone(), parked);
        parked.get(record).cloned()
    }

    /// Records a request as a part of today's run, unless its caller asked for it before, or
    /// earlier ones about its record are to be settled.
    pub(crate) async fn begin(
        &self,
        new: &NewRecordRequest<'_>,
    ) -> Result<RequestTurn, LedgerError> {
        let today = new.asked_at.date_naive();
        let day = today.to_string();
        let day_run = self.day_run(today, &day);
        self.ledger
            .begin_record_request_in_turn(new, &day_run)
            .await
    }

    /// As [`Post::begin`], of a request that is carried out when its record's turn comes.
    pub(crate) async fn accept(
        &self,
        new: &NewRecordRequest<'_>,
    ) -> Result<RequestBegun, LedgerError> {
        let today = new.asked_at.date_naive();
        let day = today.to_string();
        let day_run = self.day_run(today, &day);
        self.ledger.begin_record_request(new, &day_run).await
    }

    fn day_run<'a>(&'a self, day: NaiveDate, text: &'a str) -> DayRun<'a> {
        DayRun {
            day: text,
            begins_at: day.and_time(NaiveTime::MIN).and_utc(),
            mapped_for: &self.mapped_for,
        }
    }

    /// Writes a record as the batch at `place`, as a run does.
    /// Errors: whatever keeps it from being written, or from being known to be.
    pub(crate) async fn carry_out(
        &self,
        mapped: &Mapped,
        place: RequestPlace,
        stop: &Stop,
    ) -> Result<Carried, PushError> {
        let context = Arc::new(self.context(&mapped.layout, place, stop));
        let mut writer = Writer::with(context, self.take_idle());
        writer.deliver(self.batch(mapped, place)).await?;
        for held_up in writer.take_held_up() {
            let batch = self.batch(mapped, place);
            writer
                .reject(&batch, held_up.message, held_up.column)
                .await?;
        }
        let outcome = match writer.told.take() {
            Some(outcome) => outcome,
            None => self.outcome(place).await?,
        };
        let fields = writer.seen.take().map(|seen| seen.fields);
        let is_conflict = outcome.skip_reason() == Some(SkipReason::ChangedSince);
        let expected = mapped.expected.as_ref().filter(|_| is_conflict);
        let mut carried = Carried {
            expected: expected.map(|expected| expected.values()),
            outcome,
            fields: fields.unwrap_or_default(),
            row: None,
            committed_after: writer.committed_after.take(),
            read_back: None,
            mirror: None,
        };
        if let Err(error) = self.look_again(writer, mapped, &mut carried).await {
            let error = own_words(&error);
            warn!(job = %self.job, write_back = self.write_back(), error, "could not read a record back");
        }
        Ok(carried)
    }

    /// Looks at a record's row once it is written, and at what depends on it.
    async fn look_again(
        &self,
        writer: Writer,
        mapped: &Mapped,
        carried: &mut Carried,
    ) -> Result<(), SystemError> {
        let mut tools = writer.into_tools();
        let mut destination = match tools.destination.take() {
            Some(destination) => destination,
            None => AnyDestination::connect(&self.plan.destination).await?,
        };
        let looked_up = destination
            .look_up(&mapped.layout, &mapped.records, Before::OfAll)
            .await?;
        carried.row = looked_up.stored.get(&0).map(|row| row.id.0.clone());
        let held = looked_up.before.of(0);
        let mut held = held.map(|held| named(&mapped.layout, &held));
        let follows = carried.outcome.is_held();
        tools.destination = match &mut held {
            Some(held) if follows => {
                let row = WrittenRow {
                    key: &mapped.key,
                    layout: &mapped.layout,
                    record: &mapped.records,
                    held,
                };
                let (followed, usable) = self.follow(destination, row).await;
                held.extend(followed.read_back);
                carried.mirror = followed.mirror;
                usable
            }
            Some(_) | None => Some(destination),
        };
        self.give_back(tools);
        carried.read_back = held;
        Ok(())
    }

    /// What became of the record of a request whose batch is committed.
    pub(crate) async fn outcome(&self, place: RequestPlace) -> Result<Outcome, LedgerError> {
        let batches = self.ledger.outcomes(place.id(), place.sequence).await?;
        let outcome = batches.into_iter().flat_map(|batch| batch.outcomes).next();
        Ok(outcome.expect("a batch that was delivered has the outcome of its record"))
    }

    fn context(&self, layout: &Arc<Layout>, place: RequestPlace, stop: &Stop) -> WriterContext {
        let account = (&self.ledger, self.job.as_str());
        writer_context(&self.plan, &self.project, account, layout, place, stop)
    }

    fn batch(&self, mapped: &Mapped, place: RequestPlace) -> Batch {
        let identities = Arc::new(mapped.identities(place.sequence));
        let (_, under_way) = PushedPartition::new(place.sequence, Arc::clone(&identities), None);
        Batch {
            span: place.span(),
            records: mapped.records.clone(),
            identities,
            under_way,
            sent: None,
            looked_up: None,
            last_written: None,
            request: Some(Box::new(RequestTerms {
                expected: mapped.expected.clone(),
                is_test: false,
            })),
        }
    }

    fn take_idle(&self) -> Tools {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_default()
    }

    /// A connection on which something failed is not given back: nobody knows what it is worth.
    fn give_back(&self, tools: Tools) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(tools);
    }
}

/// What the record at a place of a day's run is written with.
pub(super) fn writer_context(
    plan: &Plan,
    project: &Project,
    (ledger, job): (&Ledger, &str),
    layout: &Arc<Layout>,
    place: RequestPlace,
    stop: &Stop,
) -> WriterContext {
    let folder = run_folder(project, place.run).join(&plan.write_back.name);
    let journal = plan.journal_table.clone().map(|journal| {
        let facts = RunFacts {
            run: place.run,
            job: job.to_owned(),
            cycle: Cycle {
                id: format!("request {}", place.request),
                completed_at: Utc::now(),
            },
            started_at: Utc::now(),
        };
        JournalTable::new(
            journal,
            facts,
            &plan.write_back.name,
            &plan.destination.name,
        )
    });
    WriterContext {
        write_back: plan.write_back.name.clone(),
        connection: plan.destination.clone(),
        layout: Arc::clone(layout),
        work: Work::Deliver,
        id: place.id(),
        ledger: ledger.clone(),
        journal,
        images_folder: images::folder_in(&folder),
        keeps_before_images: plan.write_back.before_images_kept.is_some(),
        conflicts_folder: kept::folder_in(&folder),
        progress: Arc::new(Silent),
        stop: stop.clone(),
        stopping: AtomicBool::new(false),
        connected: AtomicUsize::new(0),
        reading_ahead: None,
    }
}

/// Waits until nobody else in this process asks for something with the caller's `Idempotency-Key`.
pub(crate) async fn hold_request_key(caller: &str, key: &str) -> HeldKeys {
    key_lines::hold(
        "keys of requests",
        BTreeSet::from([format!("{caller}\n{key}")]),
    )
    .await
}

/// A rejection of a request, as its day run knows it.
pub(crate) fn rejection_at(place: RequestPlace, rejection: &Rejection) -> Rejection {
    Rejection {
        record: place.sequence.into(),
        ..rejection.clone()
    }
}

/// Values of a row by the names of their fields, without the match key.
fn named(layout: &Layout, held: &[Option<&str>]) -> BTreeMap<String, Option<String>> {
    let fields = layout.fields.iter().zip(held);
    let values = fields.filter(|(field, _)| !field.key);
    values
        .map(|(field, held)| (field.column.name.clone(), in_words(field.kind, *held)))
        .collect()
}
