//! Pushing: a package's partitions, one after the other, cut into batches and handed to as many
//! writers as the destination's connection allows. A span that an earlier process committed is not
//! written again.

pub(crate) mod error;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use polars::prelude::{BooleanChunked, DataFrame};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinSet, block_in_place};

use crate::destination::service::salesforce::bulk::JOB_RECORDS_MAX;
use crate::domain::canary::Canary;
use crate::domain::connection::{Connection, System};
use crate::domain::layout::Layout;
use crate::domain::mapping::{Mapping, RunFacts};
use crate::domain::outcome::{Outcome, Rejection, Tally};
use crate::domain::record::{Identities, RECORD_KEY};
use crate::domain::share::RecordsMax;
use crate::http::tallied_alike;
use crate::ledger::{BatchSpan, Ledger, WriteBackId};
use crate::package::{Package, Partition};
use crate::run::batch::Batch;
use crate::run::conflicts::kept;
use crate::run::conflicts::last_written::LastWritten;
use crate::run::cut::RecordBytes;
use crate::run::images;
use crate::run::journal_table::JournalTable;
use crate::run::known::{Knowledge, PartitionKnowledge};
use crate::run::outcomes::{self, PushedPartition};
use crate::run::prefilter::{self, Prefilter, ReadingAhead, Unchanged};
use crate::run::snapshot::Snapshot;
use crate::run::stop::Stop;
use crate::run::swap::Swap;
use crate::run::writer::{HeldUp, Work, Writer, WriterContext};
use crate::run::{Progress, PushError};

/// What is pushed, and where to.
#[derive(Clone, Copy)]
pub(crate) struct Assignment<'a> {
    pub(crate) write_back: &'a str,
    pub(crate) destination: &'a Connection,
    pub(crate) layout: &'a Arc<Layout>,
    pub(crate) batch_records_max: NonZeroUsize,
    pub(crate) keeps_before_images: bool,
    /// The table that tells what is written.
    pub(crate) journal_table: Option<&'a Layout>,
    /// What goes first, and how it is judged.
    pub(crate) canary: Option<CanaryRule>,
    pub(crate) contents: Contents<'a>,
    /// Absent if no field keeps someone else's values.
    pub(crate) last_written: Option<&'a LastWritten>,
    /// What was last delivered; absent, all records are looked up.
    pub(crate) snapshot: Option<&'a Snapshot>,
}

impl Assignment<'_> {
    /// What reads rows ahead of the look-ups of so many records, where that is done: neither where
    /// what is written depends on what was written before, nor where few records are looked up, nor
    /// where they are not in the order of their rows.
    pub(super) fn prefilter(&self, records: u64) -> Option<Prefilter> {
        match self.contents {
            Contents::Mapped(mapping)
                if mapping.key_columns() != [RECORD_KEY]
                    && self.last_written.is_none()
                    && self.snapshot.is_none() =>
            {
                Prefilter::of(self.layout, records)
            }
            Contents::Mapped(_) | Contents::Swapped(_) => None,
        }
    }

    /// As it is for a package of so many records: where they are enough to go in bulk, so are
    /// batches.
    pub(super) fn for_records(self, records: u64) -> Self {
        let service = self.destination.system.service();
        let bulk_from = service.and_then(|settings| settings.options.bulk_from);
        let in_bulk = bulk_from.is_some_and(|from| records >= u64::from(from.get()));
        Self {
            batch_records_max: match in_bulk {
                true => BULK_BATCH_RECORDS_MAX,
                false => self.batch_records_max,
            },
            ..self
        }
    }
}

/// Records of a batch that goes in bulk.
const BULK_BATCH_RECORDS_MAX: NonZeroUsize =
    NonZeroUsize::new(JOB_RECORDS_MAX).expect("it is not zero");

/// What goes first of a package, and when it is well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CanaryRule {
    pub(crate) canary: Canary,
    /// Records of it that may be rejected; `None`: not one.
    pub(crate) rejected_max: Option<RecordsMax>,
}

/// What the records of a package are.
#[derive(Clone, Copy)]
pub(crate) enum Contents<'a> {
    /// Pulled from a source and mapped.
    Mapped(&'a Mapping),
    /// Before-images of an earlier run, or the records of a saved plan: what is sent and what rows
    /// held before.
    Swapped(&'a Arc<Swap>),
}

impl Contents<'_> {
    /// Names of the columns that hold the match key, in the key's order.
    pub(super) fn key_columns(&self) -> &[String] {
        match self {
            Self::Mapped(mapping) => mapping.key_columns(),
            Self::Swapped(swap) => swap.key_columns(),
        }
    }

    /// Whether a package's records still have the columns they are to have.
    pub(super) fn accepts(&self, records: &DataFrame) -> bool {
        match self {
            Self::Mapped(mapping) => mapping.accepts(records),
            Self::Swapped(swap) => swap.accepts(records),
        }
    }

    /// The records as batches have them.
    pub(super) fn complete(&self, records: &DataFrame) -> DataFrame {
        match self {
            Self::Mapped(mapping) => mapping.complete(records),
            Self::Swapped(_) => records.clone(),
        }
    }

    /// What is or was sent of the records. Shape: as batches of the layout.
    pub(super) fn sent(&self, records: &DataFrame) -> DataFrame {
        match self {
            Self::Mapped(mapping) => mapping.complete(records),
            Self::Swapped(swap) => swap
                .sent(records)
                .expect("the contents accept the package's records"),
        }
    }

    /// For each field which records it is written of, where the records tell; nothing, where rules
    /// do.
    pub(super) fn written(&self, records: &DataFrame) -> Vec<Option<BooleanChunked>> {
        match self {
            Self::Mapped(_) => Vec::new(),
            Self::Swapped(swap) => swap.written(records),
        }
    }

    fn work(&self) -> Work {
        match self {
            Self::Mapped(_) => Work::Deliver,
            Self::Swapped(swap) => Work::Swap(Arc::clone(swap)),
        }
    }
}

/// A write-back whose package is to be pushed.
pub(crate) struct Push<'a> {
    pub(crate) assignment: Assignment<'a>,
    pub(crate) id: WriteBackId,
    pub(crate) facts: &'a RunFacts,
    pub(crate) package: &'a Package,
    pub(crate) ledger: &'a Ledger,
    pub(crate) progress: &'a Arc<dyn Progress>,
    pub(crate) stop: &'a Stop,
    /// The write-back's own, beside the run.
    pub(crate) folder: PathBuf,
}

impl Push<'_> {
    /// Pushes the package and returns what became of the records that this process pushed, counted
    /// as it went: the ledger's own sums are held against it.
    pub(crate) async fn carry_out(self) -> Result<Tally, PushError> {
        let name = self.assignment.write_back;
        self.progress.push_begins(name, self.package.record_count());
        let (pushed_partitions, partitions) = mpsc::channel(1);
        let mut report = JoinSet::new();
        report.spawn(outcomes::write(
            self.folder.join("outcomes.parquet"),
            self.ledger.clone(),
            self.id,
            partitions,
        ));
        let first = self.push_canary().await?;
        let (mut pushed, waiting) = self.push_partitions(pushed_partitions).await?;
        pushed += first;
        let is_settled = waiting.is_empty();
        let (tried, refused) = self.try_again(waiting).await?;
        pushed += tried;
        pushed += self.give_up(refused).await?;
        while let Some(written) = report.join_next().await {
            if is_settled {
                written??;
            }
        }
        if !is_settled {
            // The report that was begun could not tell of them.
            self.report().await?;
        }
        self.progress.push_ends(name);
        Ok(pushed)
    }

    pub(super) fn knowledge(&self) -> Knowledge<'_> {
        let Assignment {
            last_written,
            snapshot,
            ..
        } = self.assignment;
        Knowledge::of(last_written, snapshot)
    }

    /// What is known of a partition's records. From call to call partitions ascend.
    pub(super) fn known(
        &self,
        knowledge: &mut Knowledge<'_>,
        loaded: &Partition,
    ) -> Result<PartitionKnowledge, PushError> {
        let Assignment {
            layout, contents, ..
        } = self.assignment;
        let complete = contents.complete(&loaded.records);
        Ok(knowledge.of_partition(layout, &loaded.records, &complete)?)
    }

    /// Returns what became of records that were settled, and those that may be taken later.
    async fn push_partitions(
        &self,
        pushed_partitions: mpsc::Sender<PushedPartition>,
    ) -> Result<(Tally, Vec<HeldUp>), PushError> {
        let spans = self.span_cutter().await?;
        let prefilter = self.assignment.prefilter(self.package.record_count());
        let ahead =
            prefilter.map(|prefilter| ReadingAhead::of(self.assignment.destination, prefilter));
        let context = WriterContext {
            reading_ahead: ahead.clone(),
            ..self.writer_context()
        };
        let (queue, writers) = self.start_writers_of(context);
        let all = 0..u32::MAX;
        let mut pushed = Tally::default();
        let mut knowledge = self.knowledge();
        let at_once = ahead.as_ref().map_or(1, |_| prefilter::PARTITIONS_MAX);
        let mut partitions = 0..self.package.partition_count();
        let mut under_way = FuturesOrdered::new();
        loop {
            while under_way.len() < at_once
                && let Some(partition) = partitions.next()
            {
                under_way.push_back(self.met(partition, ahead.as_ref()));
            }
            let Some(met) = under_way.next().await else {
                break;
            };
            let (partition, loaded, unchanged) = met?;
            pushed.rejected += self.reject_duplicates(&loaded).await?;
            let known = PartitionKnowledge {
                unchanged,
                ..self.known(&mut knowledge, &loaded)?
            };
            let within = slice::from_ref(&all);
            let (batches, pushed_partition) =
                spans.cut(partition, &loaded, self.assignment.contents, within, &known);
            if !hand_over(&queue, batches).await {
                break;
            }
            // A report that failed says why when it is waited for; the records are delivered all
            // the same.
            drop(pushed_partitions.send(pushed_partition).await);
        }
        drop((queue, pushed_partitions, under_way));
        if let Some(ahead) = ahead {
            ahead.end().await;
        }
        let (written, held_up) = writers.join().await?;
        pushed += written;
        Ok((pushed, held_up))
    }

    /// A partition, and which of its records are unchanged, where rows are read ahead: by a task of
    /// its own, which goes on while nobody looks at this, for it may hold what writers wait for, and
    /// nobody looks while these take no more batches.
    async fn met(
        &self,
        partition: usize,
        ahead: Option<&Arc<ReadingAhead>>,
    ) -> Result<(usize, Partition, Option<Arc<Unchanged>>), PushError> {
        let loaded =
            block_in_place(|| load(self.assignment, self.package, partition, self.id.run))?;
        let unchanged = match ahead {
            Some(ahead) => {
                let complete = self.assignment.contents.complete(&loaded.records);
                let ahead = Arc::clone(ahead);
                let mut reading = JoinSet::new();
                reading.spawn(async move { ahead.unchanged(partition, &complete).await });
                reading.join_next().await.transpose()?.flatten()
            }
            None => None,
        };
        Ok((partition, loaded, unchanged))
    }

    /// Cuts around what is committed by now.
    pub(super) async fn span_cutter(&self) -> Result<SpanCutter, PushError> {
        let earlier = self.ledger.progress(self.id).await?;
        Ok(SpanCutter::new(
            self.assignment.batch_records_max.get(),
            earlier.committed,
            earlier.sent,
        ))
    }

    pub(super) fn start_writers(&self) -> (mpsc::Sender<Batch>, Writers) {
        self.start_writers_of(self.writer_context())
    }

    fn start_writers_of(&self, context: WriterContext) -> (mpsc::Sender<Batch>, Writers) {
        let writer_count = writers_at_work(&self.assignment);
        let (queue, receiver) = mpsc::channel(writer_count);
        (queue, Writers::start(writer_count, context, receiver))
    }

    pub(super) fn writer_context(&self) -> WriterContext {
        WriterContext {
            write_back: self.assignment.write_back.to_owned(),
            connection: self.assignment.destination.clone(),
            layout: Arc::clone(self.assignment.layout),
            work: self.assignment.contents.work(),
            id: self.id,
            ledger: self.ledger.clone(),
            conflicts_folder: kept::folder_in(&self.folder),
            journal: self.journal(),
            images_folder: images::folder_in(&self.folder),
            keeps_before_images: self.assignment.keeps_before_images,
            progress: Arc::clone(self.progress),
            stop: self.stop.clone(),
            stopping: AtomicBool::new(false),
            connected: AtomicUsize::new(0),
            reading_ahead: None,
        }
    }

    fn journal(&self) -> Option<JournalTable> {
        let Assignment {
            write_back,
            destination,
            journal_table,
            ..
        } = self.assignment;
        Some(JournalTable::new(
            journal_table?.clone(),
            self.facts.clone(),
            write_back,
            &destination.name,
        ))
    }

    /// Records whose key occurs several times are rejected, all of them: nobody knows which one is
    /// meant. Returns how many.
    async fn reject_duplicates(&self, partition: &Partition) -> Result<u64, PushError> {
        let rejections = duplicates(self.assignment.contents, &partition.duplicates);
        let rejected = u64::try_from(rejections.len()).unwrap_or(u64::MAX);
        if rejected > 0 {
            self.ledger.record_rejections(self.id, &rejections).await?;
            self.progress.pushed(self.assignment.write_back, rejected);
        }
        Ok(rejected)
    }
}

/// Loads a partition of a run's package. Errors: `ObjectChanged`, if the object no longer takes
/// what the package was made for; whatever loading meets.
pub(super) fn load(
    assignment: Assignment<'_>,
    package: &Package,
    partition: usize,
    run: i64,
) -> Result<Partition, PushError> {
    let loaded = package.load(partition)?;
    match assignment.contents.accepts(&loaded.records) {
        true => Ok(loaded),
        false => Err(PushError::ObjectChanged {
            object: assignment.layout.object.display_name(),
            run,
        }),
    }
}

/// Hands batches to the writers; `false` once none of them is left to take one.
pub(super) async fn hand_over(queue: &mpsc::Sender<Batch>, batches: Vec<Batch>) -> bool {
    for batch in batches {
        if queue.send(batch).await.is_err() {
            return false;
        }
    }
    true
}

/// The rejections of records whose key occurs several times.
pub(super) fn duplicates(contents: Contents<'_>, duplicates: &DataFrame) -> Vec<Rejection> {
    let rejections = Identities::reject_duplicates(duplicates, contents.key_columns());
    rejections.expect(ACCEPTED)
}

/// Why a package's records have what identifies them.
const ACCEPTED: &str =
    "the contents accept the package's records, which have positions and key columns";

pub(super) fn identities(contents: Contents<'_>, records: &DataFrame) -> Identities {
    let identities = Identities::of(records, contents.key_columns());
    identities.expect(ACCEPTED)
}

/// Writers of a connection. Those of a web API share its requests in flight, and each has files to
/// keep between two of its own: some more of them see to it that there always is a request to send.
/// What goes in bulk waits for jobs, and its batches are large.
fn writers_at_work(assignment: &Assignment<'_>) -> usize {
    let writers = assignment.destination.limits.writers;
    match assignment.destination.system {
        System::Service(_) if assignment.batch_records_max < BULK_BATCH_RECORDS_MAX => {
            writers + writers / 2
        }
        System::Service(_) => writers,
        System::Sqlite(_)
        | System::Postgres(_)
        | System::Mysql(_)
        | System::Files(_)
        | System::Adbc(_) => writers,
    }
}

/// Cuts partitions into batches, around what earlier processes have done.
pub(super) struct SpanCutter {
    batch_records_max: usize,
    committed: Vec<BatchSpan>,
    sent: BTreeMap<BatchSpan, Vec<Outcome>>,
}

impl SpanCutter {
    fn new(
        batch_records_max: usize,
        committed: Vec<BatchSpan>,
        sent: Vec<crate::ledger::SentBatch>,
    ) -> Self {
        let sent = sent
            .into_iter()
            .map(|batch| (batch.span, batch.outcomes))
            .collect();
        Self {
            batch_records_max,
            committed,
            sent,
        }
    }

    /// The batches of a partition that are still to be written, as far as they begin `within` these
    /// ranges.
    pub(super) fn cut(
        &self,
        partition: usize,
        loaded: &Partition,
        contents: Contents<'_>,
        within: &[Range<u32>],
        known: &PartitionKnowledge,
    ) -> (Vec<Batch>, PushedPartition) {
        let records = contents.complete(&loaded.records);
        let bytes = match known.settles_nothing() {
            true => RecordBytes::of(&loaded.records),
            false => RecordBytes::without(&loaded.records, |index| known.is_settled(index)),
        };
        let identities = Arc::new(identities(contents, &loaded.records));
        let partition = u32::try_from(partition).unwrap_or(u32::MAX);
        let (pushed, under_way) =
            PushedPartition::new(partition, Arc::clone(&identities), known.as_written.clone());
        let record_count = u32::try_from(records.height()).unwrap_or(u32::MAX);
        let size = |span: BatchSpan| usize::try_from(span.records).unwrap_or(usize::MAX);
        let batch = |span: BatchSpan| Batch {
            records: records.slice(i64::from(span.first), size(span)),
            looked_up: known
                .looked_up(index(span.first), size(span), self.sent.contains_key(&span))
                .map(Box::new),
            last_written: known
                .last
                .as_ref()
                .map(|last| Box::new(last.slice(i64::from(span.first), size(span)))),
            identities: Arc::clone(&identities),
            under_way: under_way.clone(),
            sent: self.sent.get(&span).cloned(),
            request: None,
            span,
        };
        let clipped = within
            .iter()
            .map(|range| range.start..range.end.min(record_count));
        (
            clipped
                .flat_map(|range| self.spans(&bytes, partition, range))
                .map(batch)
                .collect(),
            pushed,
        )
    }

    /// The spans of a partition that are still to be written and begin `within` a range: those sent
    /// earlier as they were sent, and the gaps between these and the committed ones in batches of
    /// the wanted size.
    fn spans(&self, bytes: &RecordBytes, partition: u32, within: Range<u32>) -> Vec<BatchSpan> {
        let end = |span: &BatchSpan| span.first + span.records;
        let of_partition = |span: &&BatchSpan| {
            span.partition == partition && span.first < within.end && end(span) > within.start
        };
        let mut done: Vec<(BatchSpan, bool)> = self
            .committed
            .iter()
            .filter(of_partition)
            .map(|span| (*span, true))
            .collect();
        done.extend(
            self.sent
                .keys()
                .filter(of_partition)
                .map(|span| (*span, false)),
        );
        done.sort_by_key(|(span, _)| span.first);
        let gap = |first: u32, end: u32| {
            let batches = bytes.batches(index(first)..index(end), self.batch_records_max);
            batches.map(move |batch| BatchSpan {
                partition,
                first: narrow(batch.start),
                records: narrow(batch.len()),
            })
        };
        let mut spans = Vec::new();
        let mut next = within.start;
        for (span, committed) in done {
            spans.extend(gap(next, span.first));
            if !committed && within.contains(&span.first) {
                spans.push(span);
            }
            next = end(&span);
        }
        spans.extend(gap(next, within.end));
        spans
    }
}

fn index(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// Positions in a partition are far below what 32 bits hold.
fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// The writers of one write-back, at work.
pub(super) struct Writers {
    tasks: JoinSet<Result<(Tally, Vec<HeldUp>), PushError>>,
}

impl Writers {
    fn start(writer_count: usize, context: WriterContext, receiver: mpsc::Receiver<Batch>) -> Self {
        let context = Arc::new(context);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut tasks = JoinSet::new();
        for _ in 0..writer_count {
            let writer = write_all(Arc::clone(&context), Arc::clone(&receiver));
            tasks.spawn(tallied_alike(writer));
        }
        Self { tasks }
    }

    /// Waits for all writers and sums what they did; each finishes the batch it has in hand even
    /// when another one failed.
    pub(super) async fn join(mut self) -> Result<(Tally, Vec<HeldUp>), PushError> {
        let mut sum = Ok((Tally::default(), Vec::new()));
        while let Some(joined) = self.tasks.join_next().await {
            match (&mut sum, joined.map_err(PushError::from).flatten()) {
                (Ok((sum, all_held_up)), Ok((written, held_up))) => {
                    *sum += written;
                    all_held_up.extend(held_up);
                }
                (Ok(_), Err(error)) => sum = Err(error),
                // The first error is the one to tell.
                (Err(_), _) => {}
            }
        }
        sum
    }
}

async fn write_all(
    context: Arc<WriterContext>,
    queue: Arc<Mutex<mpsc::Receiver<Batch>>>,
) -> Result<(Tally, Vec<HeldUp>), PushError> {
    let mut writer = Writer::new(Arc::clone(&context));
    let mut written = Ok(());
    while written.is_ok() && !context.stopping.load(Ordering::Relaxed) {
        let batch = queue.lock().await.recv().await;
        let Some(batch) = batch else { break };
        written = writer.deliver(batch).await;
    }
    if written.is_err() {
        context.stopping.store(true, Ordering::Relaxed);
    }
    let done = writer.close().await;
    written.map(|()| done)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::df;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::SentBatch;

    /// More than any test cuts.
    fn narrow_records() -> RecordBytes {
        RecordBytes::of(&df!("number" => vec![0_i64; 200]).unwrap())
    }

    fn span(first: u32, records: u32) -> BatchSpan {
        BatchSpan {
            partition: 0,
            first,
            records,
        }
    }

    #[test]
    fn a_fresh_partition_is_cut_into_batches_of_the_wanted_size() {
        let cutter = SpanCutter::new(4, Vec::new(), Vec::new());
        assert_eq!(
            cutter.spans(&narrow_records(), 0, 0..10),
            [span(0, 4), span(4, 4), span(8, 2)]
        );
    }

    #[test]
    fn committed_spans_are_left_out_and_sent_ones_repeated_as_they_were() {
        let sent = SentBatch {
            span: span(6, 3),
            outcomes: vec![Outcome::Updated; 3],
        };
        let cutter = SpanCutter::new(4, vec![span(0, 4)], vec![sent]);
        assert_eq!(
            cutter.spans(&narrow_records(), 0, 0..12),
            [span(4, 2), span(6, 3), span(9, 3)]
        );
    }

    #[test]
    fn only_what_begins_within_a_range_is_cut_from_it() {
        let cutter = SpanCutter::new(4, Vec::new(), Vec::new());
        assert_eq!(
            cutter.spans(&narrow_records(), 0, 3..9),
            [span(3, 4), span(7, 2)]
        );
        let sent = SentBatch {
            span: span(8, 4),
            outcomes: vec![Outcome::Updated; 4],
        };
        let cutter = SpanCutter::new(4, vec![span(0, 5)], vec![sent]);
        assert_eq!(
            cutter.spans(&narrow_records(), 0, 3..9),
            [span(5, 3), span(8, 4)]
        );
        assert_eq!(
            cutter.spans(&narrow_records(), 0, 10..14),
            [span(12, 2)],
            "what was sent before is sent once"
        );
        assert_eq!(cutter.spans(&narrow_records(), 0, 1..4), []);
    }

    proptest! {
        #[test]
        fn every_record_is_in_exactly_one_span(
            record_count in 0_u32..200,
            size in 1_usize..50,
            cuts in proptest::collection::btree_set(0_u32..200, 0..10),
        ) {
            let bounds: Vec<u32> = cuts.into_iter().filter(|cut| *cut < record_count).collect();
            let committed: Vec<BatchSpan> = bounds
                .chunks_exact(2)
                .map(|pair| { let [first, end] = <[u32; 2]>::try_from(pair).unwrap(); span(first, end - first) })
                .collect();
            let cutter = SpanCutter::new(size, committed.clone(), Vec::new());
            let mut all: Vec<BatchSpan> = cutter.spans(&narrow_records(), 0, 0..record_count);
            all.extend(committed);
            all.sort_by_key(|span| span.first);
            let mut next = 0;
            for span in all {
                prop_assert_eq!(span.first, next);
                next += span.records;
            }
            prop_assert_eq!(next, record_count);
        }
    }
}
