//! One writer: takes batches, writes each in one transaction, tries again what may pass, and halves
//! a refused batch until the bad records stand alone and the good ones are in.

pub(super) mod together;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use polars::prelude::{DataFrame, IdxSize};
use tokio::task::block_in_place;
use tracing::{debug, warn};

use crate::destination::seam::{Destination, Found, Transact, records_at};
use crate::destination::service::AnyService;
use crate::destination::{AnyDatabase, AnyDestination};
use crate::domain::before::Before;
use crate::domain::connection::{Connection, System};
use crate::domain::doubt::{JournalMark, Marker, Replay};
use crate::domain::error::{SystemError, chain};
use crate::domain::layout::Layout;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{Outcome, Rejection, Stage, Tally};
use crate::fault;
use crate::ledger::{BatchSpan, Earlier, ImageSegment, Ledger, LedgerError, Left, WriteBackId};
use crate::run::batch::Batch;
use crate::run::conflicts::LastValues;
use crate::run::conflicts::{Conflicts, kept};
use crate::run::doubt::{self, FirstImages, Verdict, claim};
use crate::run::images::{ImageError, ImageFile};
use crate::run::journal_table::JournalTable;
use crate::run::key_lines;
use crate::run::prefilter::ReadingAhead;
use crate::run::reached::Hold;
use crate::run::seen::Seen;
use crate::run::settled::Settled;
use crate::run::stop::Stop;
use crate::run::swap::{Swap, shaped};
use crate::run::write::effect::Effect;
use crate::run::write::judge::Decided;
use crate::run::write::terms::{Reserved, Terms};
use crate::run::write::transaction::{Differing, Manner, Task, expect_unaltered};
use crate::run::{Progress, PushError, retry};

/// How long a writer waits before it asks again for a connection that another one of its run has.
const TURN_INTERVAL: Duration = Duration::from_millis(500);

/// What a batch's records are for.
pub(crate) enum Work {
    /// They are written.
    Deliver,
    /// They are written where rows still hold what they are expected to: an earlier run is taken
    /// back, or a saved plan applied.
    Swap(Arc<Swap>),
}

/// What the writers of one write-back share.
pub(crate) struct WriterContext {
    pub(crate) write_back: String,
    pub(crate) connection: Connection,
    pub(crate) layout: Arc<Layout>,
    pub(crate) work: Work,
    pub(crate) id: WriteBackId,
    pub(crate) ledger: Ledger,
    /// The table of the destination that tells what is written.
    pub(crate) journal: Option<JournalTable>,
    /// Where before-images are kept: of a batch at least until it is known to be committed.
    pub(crate) images_folder: PathBuf,
    /// Whether they are kept beyond that.
    pub(crate) keeps_before_images: bool,
    /// Where it is kept which values were left alone.
    pub(crate) conflicts_folder: PathBuf,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) stop: Stop,
    /// Set when one writer has failed for good: the others finish the batch in hand and stop.
    pub(crate) stopping: AtomicBool,
    /// Writers that have a connection.
    pub(crate) connected: AtomicUsize,
    /// What has connections besides, if rows are read ahead.
    pub(super) reading_ahead: Option<Arc<ReadingAhead>>,
}

impl WriterContext {
    /// What its records are written with.
    pub(super) fn task(&self) -> Task<'_> {
        Task {
            connection: &self.connection,
            layout: &self.layout,
            work: &self.work,
            terms: Terms::default(),
        }
    }

    /// Whether requests may write what it writes.
    pub(super) fn yields(&self) -> bool {
        self.layout.fields.iter().any(|field| field.yields)
    }

    /// Where those stand in line who write one of its records.
    pub(super) fn line_of_keys(&self) -> String {
        key_lines::line(&self.connection.name, &self.layout.object.path)
    }

    /// What requests wrote of a batch's records since these were pulled.
    pub(super) async fn reserved(&self, batch: &Batch) -> Result<Option<Reserved>, LedgerError> {
        if !self.yields() || batch.request.is_some() || matches!(self.work, Work::Swap(_)) {
            return Ok(None);
        }
        let written = self.ledger.written_by_requests_since_pull(self.id).await?;
        if written.is_empty() {
            return Ok(None);
        }
        let of_record = |record| Some((record, written.get(&batch.key(record))?.clone()));
        let reserved: Reserved = (0..batch.records.height()).filter_map(of_record).collect();
        Ok((!reserved.is_empty()).then_some(reserved))
    }

    /// What writing a batch does to its rows.
    pub(super) fn effect<'a>(
        &'a self,
        batch: &Batch,
        decided: &'a Decided,
    ) -> Result<Effect<'a>, SystemError> {
        match &self.work {
            Work::Deliver => Ok(Effect::mapped(&self.layout, &batch.records, decided)),
            Work::Swap(swap) => shaped(&self.connection, swap.effect(&batch.records, decided)),
        }
    }
}

/// One writer and its connection.
pub(crate) struct Writer {
    pub(super) context: Arc<WriterContext>,
    /// To a database; absent before the first batch and after a connection broke.
    line: Option<Line<AnyDatabase>>,
    /// To a web API; absent likewise.
    pub(super) service: Option<Line<AnyService>>,
    pub(super) images: ImageFile,
    conflicts: ImageFile,
    /// As of the batch before.
    differing: Differing,
    /// What became of the records of its committed batches.
    tally: Tally,
    held_up: Vec<HeldUp>,
    /// What was seen of the row of the latest request's record.
    pub(super) seen: Option<Seen>,
    /// What became of that record, if it was written or left alone.
    pub(super) told: Option<Outcome>,
    /// Seconds of work after which the batch of a request was committed, which the ledger is told
    /// along with the request's end.
    pub(super) committed_after: Option<f64>,
    /// What was decided about the record of a test.
    pub(super) decided: Option<Decided>,
}

/// What writers of single records hand on to one another.
#[derive(Default)]
pub(super) struct Tools {
    /// Absent where it cannot be used again.
    pub(super) destination: Option<AnyDestination>,
    images: Option<ImageFile>,
    conflicts: Option<ImageFile>,
}

/// A record that the destination refuses for what other rows hold: it may be taken once these are
/// written.
pub(super) struct HeldUp {
    pub(super) span: BatchSpan,
    pub(super) message: String,
    pub(super) column: Option<String>,
}

/// Records that one writer holds up; it rejects what is more. Each takes a few hundred bytes.
const HELD_UP_MAX: usize = 100_000;

/// A writer's connection, counted among those of its write-back.
pub(super) struct Line<To> {
    pub(super) destination: To,
    _counted: Counted,
}

impl<To: Destination> Line<To> {
    pub(super) async fn open(context: &Arc<WriterContext>) -> Result<Self, SystemError> {
        let destination = To::connect(&context.connection).await?;
        Ok(Self::counted(context, destination))
    }

    fn counted(context: &Arc<WriterContext>, destination: To) -> Self {
        context.connected.fetch_add(1, Ordering::Relaxed);
        Self {
            destination,
            _counted: Counted(Arc::clone(context)),
        }
    }
}

/// Counts a connection off when it is gone.
struct Counted(Arc<WriterContext>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How an attempt at a batch failed.
pub(super) enum AttemptError {
    System(SystemError),
    /// What can be told at once: this machine's own files.
    Run(PushError),
}

impl From<SystemError> for AttemptError {
    fn from(error: SystemError) -> Self {
        Self::System(error)
    }
}

impl From<LedgerError> for AttemptError {
    fn from(error: LedgerError) -> Self {
        Self::Run(error.into())
    }
}

impl From<ImageError> for AttemptError {
    fn from(error: ImageError) -> Self {
        Self::Run(error.into())
    }
}

/// A batch that can be committed.
struct Prepared {
    outcomes: Vec<Outcome>,
    /// Whether the ledger knows that it is sent.
    is_told: bool,
    /// Whether nothing of it is left to be sent.
    is_last: bool,
    attempts: u32,
}

/// A batch, or a part of one that was refused.
struct Part {
    batch: Batch,
    /// The other half is the next part to be written.
    first_half: bool,
}

impl Part {
    /// Two halves, the first one last, as a stack wants them; a batch of one comes back whole.
    #[allow(
        clippy::result_large_err,
        reason = "it is what was given, and is moved once"
    )]
    fn halves(batch: Batch) -> Result<Vec<Self>, Batch> {
        let (left, right) = batch.halve()?;
        Ok(vec![
            Self {
                batch: right,
                first_half: false,
            },
            Self {
                batch: left,
                first_half: true,
            },
        ])
    }

    fn alone(batch: Batch) -> Vec<Self> {
        vec![Self {
            batch,
            first_half: false,
        }]
    }
}

/// What is known of earlier sendings of a batch.
struct Sending {
    /// As the ledger has them.
    outcomes: Vec<Outcome>,
    /// What the last attempt sent of it.
    part: Share,
    /// Records that are sent at once where the batch cannot be halved, for some of them are
    /// written.
    records_max: usize,
}

/// What is sent of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Share {
    /// All its records, as if none of them had been sent.
    All,
    /// The records at these positions: the first sending was to write them, and their rows are as
    /// they were before. `is_last` tells whether there are no others.
    StillToDo {
        positions: Vec<IdxSize>,
        is_last: bool,
    },
    /// All its records: an earlier version sent them and kept no before-images that would tell
    /// more, or these are gone.
    Compared,
    /// Nothing: what was sent was committed.
    Nothing,
}

/// Records, what was last written of them, and their positions in the batch.
type Shared<'a> = (
    DataFrame,
    Option<Cow<'a, LastValues>>,
    Option<&'a [IdxSize]>,
);

/// What one attempt at a batch came to.
enum Attempted {
    Committed,
    /// More of the batch is still to be written.
    InPart,
    /// A request wrote one of its records meanwhile: it was rolled back and is decided about anew.
    Overtaken,
}

/// What came of a batch.
enum Delivery {
    Committed,
    /// The destination refuses one or more of its records.
    Refused {
        message: String,
        column: Option<String>,
        clashes: bool,
    },
}

impl Writer {
    pub(crate) fn new(context: Arc<WriterContext>) -> Self {
        let images = ImageFile::new(context.images_folder.clone());
        let conflicts = ImageFile::new(context.conflicts_folder.clone());
        Self {
            context,
            line: None,
            service: None,
            images,
            conflicts,
            differing: Differing::Many,
            tally: Tally::default(),
            held_up: Vec::new(),
            seen: None,
            told: None,
            committed_after: None,
            decided: None,
        }
    }

    /// Writes with what others wrote with before.
    pub(super) fn with(context: Arc<WriterContext>, tools: Tools) -> Self {
        let Tools {
            destination,
            images,
            conflicts,
        } = tools;
        let (line, service) = match destination {
            Some(AnyDestination::Database(to)) => (Some(Line::counted(&context, to)), None),
            Some(AnyDestination::Service(to)) => (None, Some(Line::counted(&context, to))),
            None => (None, None),
        };
        let new = Self::new(context);
        Self {
            line,
            service,
            images: images.map_or(new.images, |file| {
                file.turned_to(&new.context.images_folder)
            }),
            conflicts: conflicts.map_or(new.conflicts, |file| {
                file.turned_to(&new.context.conflicts_folder)
            }),
            ..new
        }
    }

    /// What others may write with after it.
    pub(super) fn into_tools(self) -> Tools {
        let database = self
            .line
            .map(|line| AnyDestination::Database(line.destination));
        let service = self
            .service
            .map(|line| AnyDestination::Service(line.destination));
        Tools {
            destination: database.or(service),
            images: Some(self.images),
            conflicts: Some(self.conflicts),
        }
    }

    /// Closes the connection and tells what became of the records of its committed batches, and
    /// which ones it held up.
    pub(crate) async fn close(self) -> (Tally, Vec<HeldUp>) {
        if let Some(line) = self.line {
            line.destination.close().await;
        }
        if let Some(line) = self.service {
            line.destination.close().await;
        }
        (self.tally, self.held_up)
    }

    pub(super) fn take_held_up(&mut self) -> Vec<HeldUp> {
        std::mem::take(&mut self.held_up)
    }

    /// Writes a batch and records its outcomes, but for records that are held up. A refused batch
    /// is halved, and a half is not attempted whole if it is known to hold a bad record: with `k`
    /// of them among `n` records it takes at most `2·k·log2(n) + 1` attempts, and one more where
    /// rows were left as they were.
    pub(crate) async fn deliver(&mut self, batch: Batch) -> Result<(), PushError> {
        if let System::Service(_) = self.context.connection.system {
            return match batch.is_settled() && batch.sent.is_none() {
                true => self.leave(&batch).await,
                false => self.deliver_by_requests(&batch).await,
            };
        }
        let mut hold = Hold::Loose;
        let mut pending = vec![Part {
            batch,
            first_half: false,
        }];
        while let Some(Part { batch, first_half }) = pending.pop() {
            if self.context.stop.is_asked() {
                return Err(PushError::Interrupted);
            }
            if batch.is_settled() && batch.sent.is_none() {
                self.leave(&batch).await?;
                continue;
            }
            match self.attempt_until_settled(&batch, &mut hold).await? {
                Delivery::Committed => {
                    self.tell(&batch);
                    // Whatever both halves together were refused for is in the other one, then.
                    let other = if first_half { pending.pop() } else { None };
                    pending.extend(
                        other.into_iter().flat_map(|other| {
                            Part::halves(other.batch).unwrap_or_else(Part::alone)
                        }),
                    );
                }
                Delivery::Refused {
                    message,
                    column,
                    clashes,
                } => match Part::halves(batch) {
                    Ok(halves) => pending.extend(halves),
                    Err(single) if clashes && self.held_up.len() < HELD_UP_MAX => {
                        self.held_up.push(HeldUp {
                            span: single.span,
                            message,
                            column,
                        });
                    }
                    Err(single) => self.reject(&single, message, column).await?,
                },
            }
        }
        Ok(())
    }

    /// Records what is known of a batch of which nothing is looked up.
    async fn leave(&mut self, batch: &Batch) -> Result<(), PushError> {
        let settled = (0..batch.span.records).filter_map(|index| batch.settled(index));
        let outcomes: Vec<Outcome> = settled.map(Settled::outcome).collect();
        let (ledger, id) = (&self.context.ledger, self.context.id);
        ledger
            .record_settled(id, batch.span, &outcomes, 1, 0.0)
            .await?;
        self.committed(batch, &outcomes, Duration::ZERO);
        self.tell(batch);
        Ok(())
    }

    pub(super) fn tell(&self, batch: &Batch) {
        self.context
            .progress
            .pushed(&self.context.write_back, u64::from(batch.span.records));
    }

    /// Attempts a batch until it is committed or refused, a bounded number of times. Once rows were
    /// missed, they are locked first; rows that are missed even so, however often it is tried, are
    /// the database's own doing.
    async fn attempt_until_settled(
        &mut self,
        batch: &Batch,
        hold: &mut Hold,
    ) -> Result<Delivery, PushError> {
        let mut delays = retry::delays(self.context.connection.limits.attempts_max);
        let mut sent = batch.sent.clone().map(Sending::of);
        let mut attempts = 1;
        loop {
            let error = match self.attempt(batch, &mut sent, attempts, *hold).await {
                Ok(Attempted::Committed) => return Ok(Delivery::Committed),
                Ok(Attempted::InPart | Attempted::Overtaken) => continue,
                Err(AttemptError::Run(error)) => return Err(error),
                Err(AttemptError::System(error)) => error,
            };
            self.recover(&error).await;
            if let SystemError::Refused {
                message,
                column,
                clashes,
            } = error
            {
                match self
                    .refused(
                        batch,
                        &mut sent,
                        Delivery::Refused {
                            message,
                            column,
                            clashes,
                        },
                    )
                    .await?
                {
                    Some(refused) => return Ok(refused),
                    None => continue,
                }
            }
            if self.can_wait_its_turn(&error).await {
                debug!(write_back = %self.context.write_back, error = %chain(&error).join(": "), "waiting for another writer");
                self.wait(TURN_INTERVAL).await?;
                continue;
            }
            let is_missed = matches!(error, SystemError::Missed { .. });
            if is_missed && *hold == Hold::Loose {
                debug!(write_back = %self.context.write_back, error = %error, "trying a batch again with its rows locked");
                *hold = Hold::Locked;
                continue;
            }
            let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
                if !is_missed {
                    return Err(self.failed(error));
                }
                let refused = Delivery::Refused {
                    message: error.to_string(),
                    column: None,
                    clashes: false,
                };
                match self.refused(batch, &mut sent, refused).await? {
                    Some(refused) => return Ok(refused),
                    None => continue,
                }
            };
            let cause = chain(&error).join(": ");
            warn!(write_back = %self.context.write_back, attempt = attempts, ?delay, error = %cause, "trying a batch again");
            self.wait(delay).await?;
            attempts += 1;
        }
    }

    /// What follows when the destination refuses a batch; `None`, if it is sent again with fewer of
    /// its records: some of the others may be written, so that it stays one batch.
    async fn refused(
        &self,
        batch: &Batch,
        sent: &mut Option<Sending>,
        delivery: Delivery,
    ) -> Result<Option<Delivery>, PushError> {
        debug!(write_back = %self.context.write_back, partition = batch.span.partition, first = batch.span.first,
            records = batch.span.records, "the destination refused a batch");
        match sent {
            None => {}
            Some(sending) if sending.is_written_in_part() => {
                if let Delivery::Refused {
                    message, column, ..
                } = delivery
                {
                    sending
                        .narrow(|record| batch.reject(record, Stage::Destination, column, message));
                }
                return Ok(None);
            }
            Some(_) => {
                self.context
                    .ledger
                    .forget_sent(self.context.id, batch.span)
                    .await?
            }
        }
        Ok(Some(delivery))
    }

    pub(super) async fn wait(&self, delay: Duration) -> Result<(), PushError> {
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.context.stop.asked() => Err(PushError::Interrupted),
        }
    }

    /// Whether a server that has no connection left for this writer will have one when another
    /// writer is done: with few connections a run is slower, not wrong. It ends, as the others take
    /// every batch but the one in hand here. Nobody reads ahead then.
    async fn can_wait_its_turn(&self, error: &SystemError) -> bool {
        if !matches!(error, SystemError::Exhausted { .. }) || self.line.is_some() {
            return false;
        }
        let makes_room = match &self.context.reading_ahead {
            Some(ahead) => ahead.end().await,
            None => false,
        };
        makes_room || self.context.connected.load(Ordering::Relaxed) > 0
    }

    pub(super) fn failed(&self, source: SystemError) -> PushError {
        let connection = self.context.connection.name.clone();
        PushError::Push {
            write_back: self.context.write_back.clone(),
            connection,
            source: Box::new(source),
        }
    }

    /// Leaves the connection as after a rollback, or without one. A server that has become
    /// read-only is met anew: its name may lead to another by then.
    async fn recover(&mut self, error: &SystemError) {
        let Some(mut line) = self.line.take() else {
            return;
        };
        let lost = matches!(
            error,
            SystemError::Unavailable { .. } | SystemError::ReadOnly { .. }
        );
        let usable = !lost && line.destination.rollback().await.is_ok();
        fault::point("a batch rolled back");
        if usable {
            self.line = Some(line);
        }
    }

    /// One attempt: one transaction. `sent` becomes what the ledger holds of the batch once it is
    /// recorded as sent.
    async fn attempt(
        &mut self,
        batch: &Batch,
        sent: &mut Option<Sending>,
        attempts: u32,
        hold: Hold,
    ) -> Result<Attempted, AttemptError> {
        let begun = Instant::now();
        self.begin(batch).await?;
        let (share, earlier) = match sent {
            Some(sending) => self.in_doubt(batch, sending).await?,
            None => (Share::All, Earlier::default()),
        };
        if let Some(sending) = sent {
            sending.part.clone_from(&share);
        }
        let WriterContext {
            ledger,
            id,
            keeps_before_images,
            ..
        } = &*Arc::clone(&self.context);
        if let (Share::Nothing, Some(sending)) = (&share, &sent) {
            self.connected().await?.rollback().await?;
            ledger
                .record_committed(
                    *id,
                    batch.span,
                    begun.elapsed().as_secs_f64(),
                    *keeps_before_images,
                )
                .await?;
            self.committed(batch, &sending.outcomes, begun.elapsed());
            return Ok(Attempted::Committed);
        }
        let reserved = self.context.reserved(batch).await?;
        let decided = self.write(batch, &share, hold, reserved.as_ref()).await?;
        fault::point("a batch written");
        // Whoever wrote a row first is in the ledger by now, and whoever comes later waits for it.
        if self.context.reserved(batch).await? != reserved {
            self.connected().await?.rollback().await?;
            return Ok(Attempted::Overtaken);
        }
        if batch.request.is_some() && share.of(batch).is_some() {
            let effect = self.context.effect(batch, &decided)?;
            self.seen = Some(effect.seen());
            self.note_test(batch, &decided);
        }
        let prepared = self
            .prepare(batch, decided, sent, attempts, &share, earlier)
            .await?;
        self.connected().await?.commit().await?;
        fault::point("a batch committed");
        if let (false, Some(sending)) = (prepared.is_last, sent) {
            sending.records_max = sending.records_max.saturating_mul(2);
            return Ok(Attempted::InPart);
        }
        self.settle(batch, prepared, begun.elapsed()).await
    }

    /// Records what is to be known of a share of a batch before it is committed. `sent` as for an
    /// attempt.
    async fn prepare(
        &mut self,
        batch: &Batch,
        decided: Decided,
        sent: &mut Option<Sending>,
        attempts: u32,
        share: &Share,
        earlier: Earlier,
    ) -> Result<Prepared, AttemptError> {
        let context = Arc::clone(&self.context);
        let WriterContext { ledger, id, .. } = &*context;
        let effect = context.effect(batch, &decided)?;
        let journal = match &context.journal {
            Some(journal) => {
                journal
                    .fill(self.connected().await?, batch, &effect)
                    .await?
            }
            None => None,
        };
        let images = block_in_place(|| self.images.keep(&effect))?;
        let is_last = !matches!(share, Share::StillToDo { is_last: false, .. });
        let marker = self.marker(journal, images.is_some() && is_last).await?;
        let left = Left {
            images,
            marker,
            conflicts: self.keep_conflicts(batch, &decided.conflicts)?,
            earlier,
        };
        // A batch that changes nothing, and has nothing to tell of its values, need not be known
        // before it is over: done again, it changes nothing again.
        let tells = decided.decisions.iter().any(Decision::is_write) || left.conflicts.is_some();
        // A request is known before anybody else gets at the row, even if it changes nothing.
        let is_told = sent.is_some() || tells || batch.request.is_some();
        let found = &decided.looked_up.found;
        let mut outcomes = outcomes(&decided, batch);
        if let Some(Sending {
            outcomes: first, ..
        }) = sent
        {
            let twice = outcomes.into_iter().zip(first).zip(found).enumerate();
            let resolved =
                |(record, ((second, first), found)): (usize, ((Outcome, &mut Outcome), &Found))| {
                    second.after_unknown_commit(first, share.replay(record, *found))
                };
            outcomes = twice.map(resolved).collect();
        }
        if is_told {
            ledger
                .record_sent(*id, batch.span, &outcomes, attempts, &left)
                .await?;
            sent.get_or_insert_with(|| Sending::of(Vec::new()))
                .outcomes
                .clone_from(&outcomes);
        }
        Ok(Prepared {
            outcomes,
            is_told,
            is_last,
            attempts,
        })
    }

    /// Records and counts the outcomes of a batch that is committed.
    async fn settle(
        &mut self,
        batch: &Batch,
        prepared: Prepared,
        elapsed: Duration,
    ) -> Result<Attempted, AttemptError> {
        let Prepared {
            outcomes,
            is_told,
            attempts,
            ..
        } = prepared;
        let WriterContext {
            ledger,
            id,
            keeps_before_images,
            ..
        } = &*Arc::clone(&self.context);
        let ends_with_request = batch.ends_with_its_request() && *keeps_before_images;
        match is_told {
            true if ends_with_request => self.committed_after = Some(elapsed.as_secs_f64()),
            true => {
                ledger
                    .record_committed(*id, batch.span, elapsed.as_secs_f64(), *keeps_before_images)
                    .await?
            }
            false => {
                ledger
                    .record_settled(*id, batch.span, &outcomes, attempts, elapsed.as_secs_f64())
                    .await?
            }
        }
        self.committed(batch, &outcomes, elapsed);
        Ok(Attempted::Committed)
    }

    /// A batch is over.
    pub(super) fn committed(&mut self, batch: &Batch, outcomes: &[Outcome], elapsed: Duration) {
        if !self.context.keeps_before_images {
            self.images.forget();
        }
        outcomes
            .iter()
            .for_each(|outcome| self.tally.count(outcome));
        if batch.request.is_some() {
            self.told = outcomes.first().cloned();
        }
        debug!(write_back = %self.context.write_back, partition = batch.span.partition, first = batch.span.first,
            records = batch.span.records, ?elapsed, "wrote batch");
    }

    /// Opens a transaction for a batch.
    async fn begin(&mut self, batch: &Batch) -> Result<(), SystemError> {
        let claim = claim(
            self.context.id,
            &self.context.layout.object.path,
            batch.span,
        );
        let destination = self.connected().await?;
        destination.begin().await?;
        destination.claim(claim).await?;
        fault::point("a transaction begun");
        Ok(())
    }

    /// What is to be sent of a batch in doubt, and what becomes of what earlier sendings left. The
    /// rows that are looked at for it stay as they are until the open transaction ends.
    async fn in_doubt(
        &mut self,
        batch: &Batch,
        sending: &Sending,
    ) -> Result<(Share, Earlier), AttemptError> {
        let context = Arc::clone(&self.context);
        let WriterContext {
            ledger,
            id,
            layout,
            journal,
            images_folder,
            ..
        } = &*context;
        let sendings = ledger.images_of(*id, batch.span).await?;
        if sendings.is_empty() && sending.outcomes.iter().any(Outcome::is_write) {
            return Ok((Share::Compared, Earlier::default()));
        }
        let destination = self.connected().await?;
        let witness = journal.as_ref().map(JournalTable::witness);
        let verdict = doubt::verdict(destination, witness.as_ref(), sendings).await?;
        let Verdict {
            is_committed,
            rolled_back,
            unknown,
        } = verdict;
        if is_committed {
            return Ok((Share::Nothing, Earlier::default()));
        }
        if unknown.is_empty() {
            return Ok((Share::All, Earlier::RolledBack(rolled_back)));
        }
        let mut still_to_do = BTreeMap::new();
        for images in &unknown {
            let images = match block_in_place(|| {
                FirstImages::read(images_folder, &images.segment, &layout.object)
            }) {
                Err(error) if error.is_gone() => {
                    warn!(write_back = %context.write_back, error = %chain(&error).join(": "), "a batch in doubt is compared");
                    return Ok((Share::Compared, Earlier::default()));
                }
                images => images?,
            };
            images.lock(destination).await?;
            let found = images.still_to_do(destination).await?;
            // A first before-image is never replaced: earlier versions kept what rows held after
            // their first sending too.
            for (record, found) in images.positions.into_iter().zip(found) {
                still_to_do.entry(record).or_insert(found);
            }
        }
        Ok((sending.share(&still_to_do), Earlier::Doubtful(rolled_back)))
    }

    /// What tells later whether the open transaction was committed, if it `writes` all that there
    /// is to write.
    async fn marker(
        &mut self,
        journal: Option<JournalMark>,
        writes: bool,
    ) -> Result<Option<Marker>, SystemError> {
        if !writes {
            return Ok(None);
        }
        let transaction = self.connected().await?.transaction_mark().await?;
        let tells = transaction.is_some() || journal.is_some();
        Ok(tells.then_some(Marker {
            transaction,
            journal,
        }))
    }

    /// Writes a share of a batch in the open transaction.
    async fn write(
        &mut self,
        batch: &Batch,
        share: &Share,
        hold: Hold,
        reserved: Option<&Reserved>,
    ) -> Result<Decided, SystemError> {
        let context = Arc::clone(&self.context);
        let manner = match &batch.request {
            None => Manner {
                before: Before::OfDiffering,
                expected: self.differing,
                hold,
            },
            Some(request) => Manner {
                before: Before::OfAll,
                expected: Differing::Many,
                hold: match request.is_test {
                    true => hold,
                    false => Hold::Locked,
                },
            },
        };
        let request = batch.request.as_ref();
        let terms = Terms {
            expected: request.and_then(|request| request.expected.as_deref()),
            reserved,
        };
        let all = batch.records.height();
        let Some((records, last, positions)) = share.of(batch) else {
            return Ok(Decided::nothing(all));
        };
        let database = self.connected().await?;
        let task = Task {
            terms,
            ..context.task()
        };
        let written = task
            .write(database, &records, last.as_deref(), manner)
            .await;
        if let Err(SystemError::Refused { .. }) = &written {
            // It may be refused for what the object has become since the records were made to fit
            // it.
            database.rollback().await?;
            let now = database.declarations(&context.layout.object).await?;
            expect_unaltered(&context.layout, &now)?;
        }
        let decided = written?;
        self.differing = match context.work {
            Work::Deliver => Differing::of(&decided.looked_up),
            Work::Swap(_) => Differing::Many,
        };
        Ok(match positions {
            Some(positions) => decided.spread(all, positions),
            None => decided,
        })
    }

    /// Keeps what was decided about a test's record, to be shown beside what its row then holds.
    pub(super) fn note_test(&mut self, batch: &Batch, decided: &Decided) {
        let is_test = batch
            .request
            .as_ref()
            .is_some_and(|request| request.is_test);
        self.decided = is_test.then(|| decided.copied());
    }

    /// Keeps which of a batch's values were left alone, if any.
    pub(super) fn keep_conflicts(
        &mut self,
        batch: &Batch,
        conflicts: &Conflicts,
    ) -> Result<Option<ImageSegment>, ImageError> {
        let layout = &self.context.layout;
        let segment = kept::segment(layout, &batch.records, conflicts);
        match segment.map_err(|error| ImageError::frame(&self.context.conflicts_folder, error))? {
            Some((segment, fields)) => {
                block_in_place(|| self.conflicts.append(segment, &fields)).map(Some)
            }
            None => Ok(None),
        }
    }

    async fn connected(&mut self) -> Result<&mut AnyDatabase, SystemError> {
        let line = match self.line.take() {
            Some(line) => line,
            None => Line::open(&self.context).await?,
        };
        Ok(&mut self.line.insert(line).destination)
    }

    /// Rejects a single record that the destination refuses, in its own words.
    pub(super) async fn reject(
        &mut self,
        batch: &Batch,
        message: String,
        column: Option<String>,
    ) -> Result<(), PushError> {
        self.tell(batch);
        let rejection = batch.reject(0, Stage::Destination, column, message);
        let outcome = Outcome::Rejected(Box::new(rejection));
        self.tally.count(&outcome);
        let ledger = &self.context.ledger;
        Ok(ledger
            .record_settled(self.context.id, batch.span, &[outcome], 1, 0.0)
            .await?)
    }
}

impl Sending {
    fn of(outcomes: Vec<Outcome>) -> Self {
        Self {
            outcomes,
            part: Share::All,
            records_max: usize::MAX,
        }
    }

    /// What is sent again, given for which of the records that were sent the rows are as they were
    /// before.
    fn share(&self, still_to_do: &BTreeMap<usize, bool>) -> Share {
        let was_to_be_written =
            |record: &usize| self.outcomes.get(*record).is_some_and(Outcome::is_write);
        let open = still_to_do
            .iter()
            .filter(|(record, still_to_do)| **still_to_do && was_to_be_written(record));
        let mut positions: Vec<IdxSize> = open
            .filter_map(|(record, _)| IdxSize::try_from(*record).ok())
            .collect();
        let all = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.is_write())
            .count();
        // Not one of them is written: they are as good as never sent, and may be halved.
        if positions.len() == all && self.records_max == usize::MAX {
            return Share::StillToDo {
                positions,
                is_last: true,
            };
        }
        let is_last = positions.len() <= self.records_max;
        positions.truncate(self.records_max);
        Share::StillToDo { positions, is_last }
    }

    /// Whether the last attempt left records out because they may be written, or others of the
    /// batch are.
    fn is_written_in_part(&self) -> bool {
        let Share::StillToDo { positions, is_last } = &self.part else {
            return false;
        };
        let all = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.is_write())
            .count();
        self.records_max < usize::MAX || !is_last || positions.len() < all
    }

    /// The destination refused the last attempt: fewer records are sent with the next, or the only
    /// one is rejected.
    fn narrow(&mut self, reject: impl FnOnce(u32) -> Rejection) {
        let Share::StillToDo { positions, .. } = &self.part else {
            return;
        };
        if let [only] = positions.as_slice() {
            let place = usize::try_from(*only)
                .ok()
                .and_then(|record| self.outcomes.get_mut(record));
            if let Some(outcome) = place {
                *outcome = Outcome::Rejected(Box::new(reject(*only)));
            }
            return;
        }
        self.records_max = (positions.len() / 2).max(1);
    }
}

impl Share {
    /// The records of a batch that are sent, what was last written of them, and where they stand
    /// in it if they are not all; `None` if nothing is sent.
    fn of<'a>(&'a self, batch: &'a Batch) -> Option<Shared<'a>> {
        let last = batch.last_written.as_deref();
        match self {
            Self::Nothing => None,
            Self::StillToDo { positions, .. } if positions.is_empty() => None,
            Self::StillToDo { positions, .. } => Some((
                records_at(&batch.records, positions),
                last.map(|last| Cow::Owned(last.at(positions))),
                Some(positions),
            )),
            Self::All | Self::Compared => Some(match batch.looked_up() {
                Some(positions) => (
                    records_at(&batch.records, positions),
                    last.map(|last| Cow::Owned(last.at(positions))),
                    Some(positions),
                ),
                None => (batch.records.clone(), last.map(Cow::Borrowed), None),
            }),
        }
    }

    fn replay(&self, record: usize, found: Found) -> Replay {
        match self {
            Self::All => Replay::Again,
            Self::StillToDo { positions, .. } => {
                let is_sent = IdxSize::try_from(record)
                    .is_ok_and(|record| positions.binary_search(&record).is_ok());
                if is_sent {
                    Replay::Again
                } else {
                    Replay::AsSent
                }
            }
            Self::Compared => Replay::Compared {
                differs: found.differs,
            },
            Self::Nothing => Replay::AsSent,
        }
    }
}

/// What became of the records of a batch.
pub(super) fn outcomes(decided: &Decided, batch: &Batch) -> Vec<Outcome> {
    let outcome = |(decision, index): (&Decision, u32)| match decision {
        Decision::Insert => Outcome::Inserted,
        Decision::Update => Outcome::Updated,
        Decision::Leave => batch
            .settled(index)
            .map_or(Outcome::Unchanged, Settled::outcome),
        Decision::Delete => Outcome::Deleted,
        Decision::Skip(reason) => Outcome::Skipped(*reason),
        Decision::Reject(reason) => Outcome::Rejected(Box::new(batch.reject(
            index,
            Stage::Match,
            None,
            decided.looked_up.told(index, reason),
        ))),
    };
    decided.decisions.iter().zip(0..).map(outcome).collect()
}
