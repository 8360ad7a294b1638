//! Writing to a web API. It has no transaction: what is decided is sent in requests, which answer
//! for each record, and an answer may be lost though its request was carried out. So the
//! before-images of what is to be written, and that it is, are durable before the first request is
//! sent; whatever is not known after that is settled by looking again: a row that no longer holds
//! its before-image was written. A process that takes up a batch of a killed one does the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polars::prelude::{DataFrame, IdxSize};
use tokio::task::block_in_place;
use tracing::{debug, warn};

use super::account::ImagesAccount;
use super::effect::Effect;
use super::judge::{self, Decided, mapped};
use super::terms::{ExpectedRow, Reserved, Terms};
use super::transaction::Task;
use crate::destination::seam::{LookUp, records_at};
use crate::destination::service::AnyService;
use crate::destination::service::seam::{Reply, Service, ServiceVerb, ServiceWrite};
use crate::domain::before::Before;
use crate::domain::doubt::Replay;
use crate::domain::error::{SystemError, chain};
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{Outcome, SkipReason, Stage};
use crate::fault;
use crate::ledger::{Earlier, Left, WriteBackId};
use crate::run::batch::Batch;
use crate::run::conflicts::LastValues;
use crate::run::conflicts::{self, Conflicts};
use crate::run::doubt::FirstImages;
use crate::run::images;
use crate::run::key_lines;
use crate::run::swap::HalfWay;
use crate::run::writer::{AttemptError, Line, Work, Writer, WriterContext, outcomes};
use crate::run::{PushError, retry};

impl Task<'_> {
    /// Looks records up and decides about each.
    async fn judged(
        &self,
        service: &mut impl LookUp<Error = SystemError>,
        records: &DataFrame,
        last: Option<&LastValues>,
        before: Before,
        half_way: HalfWay<'_>,
    ) -> Result<Decided, SystemError> {
        if let Some(expected) = self.terms.expected {
            let ExpectedRow { layout, record } = expected;
            let held = service.look_up(layout, record, Before::Unread);
            if expected.is_disappointed(&held.await?, self.layout.mode) {
                return judge::refused(service, self.layout, records).await;
            }
        }
        match self.work {
            Work::Deliver => {
                let mut decided = mapped::judge(service, self.layout, records, before).await?;
                if let Some(last) = last {
                    conflicts::judge(service, self.layout, records, last, &mut decided).await?;
                }
                self.yield_to_requests(service, records, &mut decided)
                    .await?;
                Ok(decided)
            }
            Work::Swap(swap) => {
                swap.judge(service, self.connection, records, Before::OfAll, half_way)
                    .await
            }
        }
    }

    /// Whether a row is to be written only if it is still the one that was looked up.
    fn is_guarded(&self, last: Option<&LastValues>) -> bool {
        let is_on_terms = self.terms.expected.is_some() || self.terms.reserved.is_some();
        matches!(self.work, Work::Swap(_)) || last.is_some() || is_on_terms
    }
}

fn unanswered(connection: &str) -> SystemError {
    SystemError::Unanswered {
        connection: connection.to_owned(),
        source: "its answer leaves a record out".into(),
    }
}

/// The requests that carry out what was decided, each of one verb and of as many writes as it
/// takes. Rows that go make room for what they held. `markers` are those of the records, if there
/// are any.
pub(in crate::run) fn requests<'a>(
    service: &impl Service,
    effect: &Effect<'_>,
    decided: &'a Decided,
    markers: &'a [String],
    guarded: bool,
) -> Vec<Vec<ServiceWrite<'a>>> {
    let abilities = service.abilities(&effect.layout().object);
    let guarded = guarded && abilities.guard.is_some();
    let updates_max = match guarded {
        true => abilities.guarded_max,
        false => abilities.writes_max,
    };
    let mut requests = Vec::new();
    for (wanted, writes_max) in [
        (Decision::Delete, abilities.writes_max),
        (Decision::Update, updates_max),
        (Decision::Insert, abilities.writes_max),
    ] {
        let records = decided.decisions.iter().enumerate();
        let writes: Vec<ServiceWrite<'a>> = records
            .filter(|(_, decision)| **decision == wanted)
            .filter_map(|(record, decision)| {
                let marker = markers.get(record).map(String::as_str);
                write(effect, decided, record, decision, marker, guarded)
            })
            .collect();
        requests.extend(writes.chunks(writes_max.max(1)).map(<[_]>::to_vec));
    }
    requests
}

/// What is sent of one record; `None`, if nothing is.
fn write<'a>(
    effect: &Effect<'_>,
    decided: &'a Decided,
    record: usize,
    decision: &Decision,
    marker: Option<&'a str>,
    guarded: bool,
) -> Option<ServiceWrite<'a>> {
    let row = decided.looked_up.stored.get(&record);
    let verb = match decision {
        Decision::Insert => ServiceVerb::Create { marker },
        Decision::Update => ServiceVerb::Update { row: row?, guarded },
        Decision::Delete => ServiceVerb::Delete { row: &row?.id },
        Decision::Leave | Decision::Skip(_) | Decision::Reject(_) => return None,
    };
    let layout = effect.layout();
    let fields = layout.positions(|_| true);
    let is_sent = |field: &usize| effect.is_taken(record, *field);
    Some(ServiceWrite {
        record,
        verb,
        fields: fields.into_iter().filter(is_sent).collect(),
    })
}

/// How often a record is sent that is locked, or that there is no room for, before it is rejected:
/// each time it is waited for with patience already.
const REFUSALS_MAX: u32 = 3;

/// Why a record of a batch is still to be seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Open {
    /// It is to be decided about.
    Undecided,
    /// It was sent, and nobody knows whether it was written.
    InDoubt,
    /// It was sent and not written, but may be yet.
    Refused { why: String },
    /// It was sent and not written: its row is another one than was looked up, or none.
    Missed,
}

/// A batch on its way, round by round.
struct Way<'a> {
    batch: &'a Batch,
    /// What became of each record, or is to become of it; none before the first round.
    outcomes: Vec<Outcome>,
    open: BTreeMap<usize, Open>,
    account: ImagesAccount,
    conflicts: Conflicts,
    /// Records that were sent and not there a moment later: they may be there yet.
    doubted: BTreeSet<usize>,
    /// How often a record was sent that there was no room for, or that was locked.
    refusals: BTreeMap<usize, u32>,
    /// Whether the ledger knows that it is sent.
    is_told: bool,
    /// Whether what the ledger knows of it is no longer all.
    is_news: bool,
    attempts: u32,
}

impl<'a> Way<'a> {
    fn of(batch: &'a Batch) -> Self {
        let is_open = |record: &usize| {
            let index = u32::try_from(*record);
            index.is_ok_and(|index| batch.settled(index).is_none())
        };
        let open = (0..batch.records.height()).filter(is_open);
        let open = open.map(|record| (record, Open::Undecided));
        let mut way = Self {
            batch,
            outcomes: batch.sent.clone().unwrap_or_default(),
            open: open.collect(),
            account: ImagesAccount::default(),
            conflicts: Conflicts::default(),
            doubted: BTreeSet::new(),
            refusals: BTreeMap::new(),
            is_told: batch.sent.is_some(),
            is_news: batch.sent.is_some(),
            attempts: 1,
        };
        if way.is_told {
            // Of what was not to be written nothing is in doubt.
            let outcomes = way.outcomes.iter().enumerate();
            let sent = outcomes.filter(|(_, outcome)| outcome.is_write());
            way.open = sent.map(|(record, _)| (record, Open::InDoubt)).collect();
        }
        way
    }

    fn positions(&self) -> Vec<IdxSize> {
        let records = self.open.keys();
        records
            .filter_map(|record| IdxSize::try_from(*record).ok())
            .collect()
    }

    /// Places among these positions of the records that were sent before and may have been written.
    fn doubted_at(&self, positions: &[IdxSize]) -> BTreeSet<usize> {
        let is_doubted = |position: &IdxSize| {
            usize::try_from(*position).is_ok_and(|record| self.doubted.contains(&record))
        };
        let places = positions.iter().enumerate();
        places
            .filter_map(|(place, position)| is_doubted(position).then_some(place))
            .collect()
    }

    /// Whether a record that was not there a moment after it was sent need not be written any more.
    fn is_late(&self, record: usize, is_write: bool) -> bool {
        !is_write && self.doubted.contains(&record)
    }

    fn settle(&mut self, record: usize, outcome: Outcome) {
        self.open.remove(&record);
        if let Some(place) = self.outcomes.get_mut(record) {
            *place = outcome;
        }
    }

    fn reject(&mut self, record: usize, message: String, column: Option<String>) {
        let index = u32::try_from(record).unwrap_or(u32::MAX);
        let rejection = self
            .batch
            .reject(index, Stage::Destination, column, message);
        self.settle(record, Outcome::Rejected(Box::new(rejection)));
    }

    /// Takes in what is said of a record that was sent.
    fn take(&mut self, record: usize, reply: Reply) {
        if !matches!(reply, Reply::Done { .. }) {
            self.is_news = true;
        }
        match reply {
            Reply::Done { .. } => {
                self.open.remove(&record);
            }
            Reply::Refused { .. } if self.doubted.remove(&record) => {
                // It may be refused for what its own first sending made.
                self.account.lose(record);
                self.leave_open(record, Open::Missed);
            }
            Reply::Refused { message, column } => {
                self.account.forget(record);
                self.reject(record, message, column);
            }
            Reply::Again { why, .. } => {
                let refusals = self.refusals.entry(record).or_default();
                *refusals += 1;
                match *refusals < REFUSALS_MAX {
                    true => self.leave_open(record, Open::Refused { why }),
                    false => {
                        self.account.forget(record);
                        self.reject(record, why, None);
                    }
                }
            }
            Reply::ChangedSince | Reply::Gone => self.leave_open(record, Open::Missed),
            Reply::Unknown => {
                self.open.insert(record, Open::InDoubt);
            }
        }
    }

    /// A record was not written.
    fn leave_open(&mut self, record: usize, open: Open) {
        self.account.forget(record);
        self.open.insert(record, open);
    }

    /// Gives up what no round settled; returns how many records nobody knows of.
    fn give_up(&mut self) -> usize {
        let mut unknown = 0;
        for (record, open) in self.open.clone() {
            match open {
                Open::InDoubt | Open::Undecided => unknown += 1,
                Open::Refused { why } => self.reject(record, why, None),
                Open::Missed => {
                    self.settle(record, Outcome::Skipped(SkipReason::ChangedSince));
                }
            }
        }
        unknown
    }
}

impl Writer {
    /// Writes a batch and records its outcomes, record by record as the API answers.
    pub(in crate::run) async fn deliver_by_requests(
        &mut self,
        batch: &Batch,
    ) -> Result<(), PushError> {
        if self.context.stop.is_asked() {
            return Err(PushError::Interrupted);
        }
        let begun = Instant::now();
        // A web API has no locks: whoever else writes one of these records from here waits.
        let _held = match batch.request.is_none() && self.context.yields() {
            true => Some(key_lines::hold(&self.context.line_of_keys(), batch.keys()).await),
            false => None,
        };
        let mut delays = retry::delays(self.context.connection.limits.attempts_max);
        let mut way = Way::of(batch);
        if way.is_told {
            self.read_account(&mut way).await?;
        }
        loop {
            let error = match self.round(&mut way).await {
                Ok(()) if way.open.is_empty() => break,
                Ok(()) => None,
                Err(AttemptError::Run(error)) => return Err(error),
                Err(AttemptError::System(error)) => Some(error),
            };
            if error.is_some() {
                self.service = None;
            }
            let is_transient = error.as_ref().is_none_or(SystemError::is_transient);
            let Some(delay) = delays.next().filter(|_| is_transient) else {
                let unknown = if error.is_none() { way.give_up() } else { 1 };
                if unknown == 0 {
                    break;
                }
                let connection = &self.context.connection.name;
                return Err(self.failed(error.unwrap_or_else(|| unanswered(connection))));
            };
            self.tell_again(&way, error.as_ref(), delay);
            self.wait(delay).await?;
            way.attempts += 1;
        }
        self.finish(way, begun.elapsed()).await
    }

    fn tell_again(&self, way: &Way<'_>, error: Option<&SystemError>, delay: Duration) {
        let cause = error.map(|error| chain(error).join(": "));
        warn!(write_back = %self.context.write_back, attempt = way.attempts, ?delay, records = way.open.len(),
            error = cause.as_deref().unwrap_or("some records are still to be written"), "trying a batch again");
    }

    /// What an earlier process kept of what rows held before it sent the batch.
    async fn read_account(&self, way: &mut Way<'_>) -> Result<(), PushError> {
        let context = &self.context;
        let sendings = context.ledger.images_of(context.id, way.batch.span).await?;
        for sending in &sendings {
            match block_in_place(|| images::read(&context.images_folder, &sending.segment)) {
                Ok(frame) => way.account.add(frame),
                Err(error) if error.is_gone() => {
                    warn!(write_back = %context.write_back, error = %chain(&error).join(": "), "a batch in doubt is compared");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Settles what is in doubt, decides about the rest, and sends what is to be written.
    async fn round(&mut self, way: &mut Way<'_>) -> Result<(), AttemptError> {
        let context = Arc::clone(&self.context);
        let mut line = match self.service.take() {
            Some(line) => line,
            None => Line::open(&context).await?,
        };
        let service = &mut line.destination;
        let in_doubt = way.open.values().any(|open| *open == Open::InDoubt);
        service
            .settle(&context.layout, way.open.len(), in_doubt)
            .await?;
        self.settle_doubt(service, way).await?;
        let positions = way.positions();
        if !positions.is_empty() {
            let batch = way.batch;
            let all = batch.records.height();
            let records = records_at(&batch.records, &positions);
            let last = batch.last_written.as_ref().map(|last| last.at(&positions));
            let reserved = context.reserved(batch).await?;
            let reserved = reserved.map(|reserved| among(reserved, &positions));
            let request = batch.request.as_ref();
            let terms = Terms {
                expected: request.and_then(|request| request.expected.as_deref()),
                reserved: reserved.as_ref().filter(|reserved| !reserved.is_empty()),
            };
            let task = Task {
                terms,
                ..context.task()
            };
            let before = match request {
                Some(_) => Before::OfAll,
                None => Before::OfDiffering,
            };
            let doubted = way.doubted_at(&positions);
            let emptied = context
                .layout
                .positions(|field| service.empties_first(field));
            let half_way = HalfWay {
                records: service.goes_in_steps(&context.layout).then_some(&doubted),
                emptied: &emptied,
            };
            let decided = task
                .judged(service, &records, last.as_ref(), before, half_way)
                .await?;
            let decided = decided.spread(all, &positions);
            let effect = context.effect(batch, &decided)?;
            if request.is_some() {
                self.seen = Some(effect.seen());
                self.note_test(batch, &decided);
            }
            self.tell_intent(way, &effect, &decided, &positions).await?;
            let guarded = task.is_guarded(last.as_ref());
            let markers = markers(service, &context, batch).await?;
            let requests = requests(service, &effect, &decided, &markers, guarded);
            let mut requests = requests.into_iter();
            for request in requests.by_ref() {
                let replies = service
                    .apply(effect.layout(), effect.sent(), &request)
                    .await;
                fault::point("a request answered");
                if let Err(error) = take_replies(way, &request, replies) {
                    for unsent in requests.flatten() {
                        way.leave_open(unsent.record, Open::Undecided);
                    }
                    return Err(error.into());
                }
            }
        }
        self.service = Some(line);
        Ok(())
    }

    /// Looks again at the rows of records in doubt: one that still holds its before-image was not
    /// written, and any other was.
    async fn settle_doubt(
        &self,
        service: &mut AnyService,
        way: &mut Way<'_>,
    ) -> Result<(), AttemptError> {
        let in_doubt = way.open.iter().filter(|(_, open)| **open == Open::InDoubt);
        let in_doubt: Vec<usize> = in_doubt.map(|(record, _)| *record).collect();
        if in_doubt.is_empty() {
            return Ok(());
        }
        way.is_news = true;
        let context = &self.context;
        let frame = way.account.of(&in_doubt);
        let frame =
            frame.map_err(|error| images::ImageError::frame(&context.images_folder, error))?;
        let mut still_to_do = BTreeMap::new();
        if let Some(frame) = frame {
            let segment = images::Segment::made(&context.images_folder, frame, &context.layout)?;
            let images = FirstImages::of(&segment, &context.layout.object)?;
            let found = images.still_to_do(service).await?;
            still_to_do.extend(images.positions.into_iter().zip(found));
        }
        let goes_in_steps = service.goes_in_steps(&context.layout);
        for record in in_doubt {
            match still_to_do.get(&record) {
                // It may have been left half way: what it lacks is written, and its image stays.
                Some(false) if goes_in_steps => {
                    way.account.doubt(record);
                    way.doubted.insert(record);
                    way.open.insert(record, Open::Undecided);
                }
                Some(false) => {
                    way.open.remove(&record);
                    way.account.doubt(record);
                }
                Some(true) | None => {
                    match way.account.has(record) {
                        true => {
                            way.doubted.insert(record);
                        }
                        false => way.account.lose(record),
                    }
                    way.leave_open(record, Open::Undecided);
                }
            }
        }
        Ok(())
    }

    /// Records what is about to be sent and what its rows hold, before it is. What is not to be
    /// sent is settled.
    async fn tell_intent(
        &mut self,
        way: &mut Way<'_>,
        effect: &Effect<'_>,
        decided: &Decided,
        positions: &[IdxSize],
    ) -> Result<(), AttemptError> {
        let is_first = way.outcomes.is_empty();
        let intended = outcomes(decided, way.batch);
        if is_first {
            way.outcomes.clone_from(&intended);
        }
        for (record, outcome) in intended.into_iter().enumerate() {
            if !way.open.contains_key(&record) {
                continue;
            }
            let is_write = outcome.is_write();
            let first = way.outcomes.get(record).cloned();
            let outcome = match first.filter(|_| !is_first) {
                // Nothing tells any more what the row held before it was first sent, or what was
                // sent came to be written since it was looked for.
                Some(first) if way.account.is_lost(record) || way.is_late(record, is_write) => {
                    let found = decided.looked_up.found.get(record);
                    let differs = found.is_some_and(|found| found.differs);
                    let outcome =
                        outcome.after_unknown_commit(&first, Replay::Compared { differs });
                    if outcome.is_write() && !is_write {
                        way.account.recall(record);
                    }
                    outcome
                }
                _ => outcome,
            };
            way.settle(record, outcome);
            if is_write {
                // Until its reply is in.
                way.open.insert(record, Open::InDoubt);
            }
        }
        way.conflicts.take_in(&decided.conflicts, positions);
        let segment = images::segment(effect);
        let segment = segment
            .map_err(|error| images::ImageError::frame(&self.context.images_folder, error))?;
        let is_write = segment.is_some();
        segment.into_iter().for_each(|frame| way.account.add(frame));
        let is_request = way.batch.request.is_some();
        if is_write || way.is_told || is_request || way.conflicts.tell_anything() {
            self.record(way).await?;
            way.is_news = false;
            fault::point("an intent recorded");
        }
        Ok(())
    }

    /// Records the outcomes of a batch as they are by now, with the before-images of what is
    /// written or may be; those it had before go.
    async fn record(&mut self, way: &mut Way<'_>) -> Result<(), AttemptError> {
        let context = Arc::clone(&self.context);
        let (ledger, id, span) = (&context.ledger, context.id, way.batch.span);
        let frame_error = |error| images::ImageError::frame(&context.images_folder, error);
        let before = ledger.images_of(id, span).await?;
        let before: Vec<i64> = before.iter().map(|sending| sending.image).collect();
        let (known, doubtful) = way.account.split().map_err(frame_error)?;
        let conflicts = self.keep_conflicts(way.batch, &way.conflicts)?;
        let mut left = Left {
            images: None,
            marker: None,
            conflicts,
            earlier: Earlier::RolledBack(before.clone()),
        };
        if let Some(doubtful) = doubtful {
            // What may be somebody else's doing stands apart.
            let images = self.images.keep_frame(doubtful, &context.layout)?;
            let doubtful = Left {
                images: Some(images),
                earlier: Earlier::default(),
                ..left.clone()
            };
            ledger
                .record_sent(id, span, &way.outcomes, way.attempts, &doubtful)
                .await?;
            left.earlier = Earlier::Doubtful(before);
        }
        if let Some(known) = known {
            left.images = Some(self.images.keep_frame(known, &context.layout)?);
        }
        ledger
            .record_sent(id, span, &way.outcomes, way.attempts, &left)
            .await?;
        way.is_told = true;
        Ok(())
    }

    /// Records what became of a batch.
    async fn finish(&mut self, mut way: Way<'_>, elapsed: Duration) -> Result<(), PushError> {
        let context = Arc::clone(&self.context);
        let (ledger, id, span) = (&context.ledger, context.id, way.batch.span);
        let seconds = elapsed.as_secs_f64();
        if way.is_told && way.is_news {
            match self.record(&mut way).await {
                Err(AttemptError::Run(error)) => return Err(error),
                Err(AttemptError::System(error)) => return Err(self.failed(error)),
                Ok(()) => {}
            }
        }
        match way.is_told {
            true => {
                ledger
                    .record_committed(id, span, seconds, context.keeps_before_images)
                    .await?
            }
            false => {
                ledger
                    .record_settled(id, span, &way.outcomes, way.attempts, seconds)
                    .await?
            }
        }
        debug!(write_back = %context.write_back, partition = span.partition, first = span.first, "a batch answered for");
        self.committed(way.batch, &way.outcomes, elapsed);
        self.tell(way.batch);
        Ok(())
    }
}

/// What is reserved of the records at `positions` of a batch, by their places among these.
fn among(reserved: Reserved, positions: &[IdxSize]) -> Reserved {
    let place = |record: usize| {
        let is_it = |position: &IdxSize| usize::try_from(*position) == Ok(record);
        positions.iter().position(is_it)
    };
    let placed = reserved.into_iter();
    placed
        .filter_map(|(record, columns)| Some((place(record)?, columns)))
        .collect()
}

/// By which each record of a batch is known again if it was created before: the same however often
/// its run is taken up, and of no other run. None, where the API has no use for them.
async fn markers(
    service: &impl Service,
    context: &WriterContext,
    batch: &Batch,
) -> Result<Vec<String>, AttemptError> {
    if !service.abilities(&context.layout.object).marks_creates {
        return Ok(Vec::new());
    }
    let WriteBackId { run, position } = context.id;
    let begun = context.ledger.begun_at(run).await?;
    let marker = |record| {
        let key = batch.key(record);
        format!("{begun} {run} {position} {} {key}", context.write_back)
    };
    Ok((0..batch.records.height()).map(marker).collect())
}

/// Takes in the replies to one request. Of one that failed as a whole nothing was carried out,
/// unless it was not answered.
fn take_replies(
    way: &mut Way<'_>,
    request: &[ServiceWrite<'_>],
    replies: Result<Vec<Reply>, SystemError>,
) -> Result<(), SystemError> {
    match replies {
        Ok(replies) => {
            let mut replies = replies.into_iter();
            for write in request {
                way.take(write.record, replies.next().unwrap_or(Reply::Unknown));
            }
            Ok(())
        }
        Err(error) => {
            way.is_news = true;
            let is_unknown = matches!(error, SystemError::Unanswered { .. });
            for write in request.iter().filter(|_| !is_unknown) {
                way.leave_open(write.record, Open::Undecided);
            }
            Err(error)
        }
    }
}
