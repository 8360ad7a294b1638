//! What was written into one record's row, as before-images tell: looked for from the newest batch
//! backwards, as far as is wanted. Reads one segment at a time, and of most of them only the match
//! keys.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use tokio::task::block_in_place;

use crate::config::Project;
use crate::domain::before::unmarked;
use crate::domain::match_key::KeyKinds;
use crate::domain::record::key_texts;
use crate::domain::sameness::{in_words, same};
use crate::domain::value::Kind;
use crate::ledger::{
    Commit, ImageSegment, ImagedBatch, JournalRun, Ledger, RecordRequest, RunKind, SentImages,
};
use crate::run::images::{self, ImageField, Segment};
use crate::run::journal::{Gap, JournalError, RunAt, Trace, Unknown};
use crate::run::preview::ColumnChange;
use crate::run::run_folder;

/// Batches that are taken from the ledger at once.
const BATCHES_AT_ONCE: u32 = 2_000;
/// Batches that a part of a history is looked for in, and bytes of those that may have the record:
/// one that is found in few of them ends earlier, and the next part goes on there.
const BATCHES_OF_PART_MAX: usize = 20_000;
const BYTES_OF_PART_MAX: u64 = 32 << 20;
/// Writes that are looked for before a part, so that it is known what the row held when it begins:
/// the last of each field, which is almost always the very last.
const WRITES_BEFORE_MAX: usize = 10;

/// Of which record of which write-back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordOf<'a> {
    pub(crate) job: &'a str,
    pub(crate) write_back: &'a str,
    /// The match key, as reports tell it.
    pub(crate) record: &'a str,
}

/// Which part of a history is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    Whole,
    /// The newest writes, so many at most.
    Newest {
        writes_max: usize,
        /// Only those sent before this one.
        before: Option<i64>,
    },
    /// What was sent after this one.
    After(i64),
}

/// What one sending wrote into the record's row, or may have.
pub(super) struct RecordWrite {
    /// Number of the sending, which grows from any run's to any other's.
    sending: i64,
    pub(super) run: JournalRun,
    /// Absent where it is not known what the run wrote.
    pub(super) image: Option<Image>,
    pub(super) request: Option<RecordRequest>,
    /// Whether it is no part of what is wanted, and only tells what the row held before.
    pub(super) is_earlier: bool,
}

/// What was written into the record's row.
#[derive(Default)]
pub(super) struct RecordWrites {
    /// In the order in which it was sent.
    pub(super) writes: Vec<RecordWrite>,
    /// Runs that are told as well, and took back what others wrote here.
    pub(super) undone: Vec<JournalRun>,
    /// The first run of which it is known what it wrote, once all was looked through.
    pub(super) since: Option<RunAt>,
    /// Runs of which it is not, or not all.
    pub(super) unknown: Vec<Unknown>,
    /// Before which sending the next part ends, if there may be one.
    pub(super) next: Option<i64>,
}

/// Gathers what was written into a record's row.
pub(super) async fn gather(
    project: &Project,
    ledger: &Ledger,
    of: RecordOf<'_>,
    part: Part,
) -> Result<RecordWrites, JournalError> {
    let mut search = Search::new(project, of, part);
    search.go_through(ledger).await?;
    // What is typed as `007` may be the number 7. Whoever asks for a part knows how it is spelt.
    if search.found.is_empty() && matches!(part, Part::Whole) && search.keys_have_spellings() {
        search = Search {
            spelling: Spelling::ByKind,
            ..Search::new(project, of, part)
        };
        search.go_through(ledger).await?;
    }
    search.into_writes(ledger).await
}

/// How the record is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// By the text of its key.
    Exact,
    /// By the values of its key: all segments have to be read for it.
    ByKind,
}

/// Whether a record was written by an earlier sending of its batch, as what rows held before later
/// ones tells; `None`, if these say nothing of it.
pub(super) async fn was_written(
    project: &Project,
    ledger: &Ledger,
    of: RecordOf<'_>,
    (folder, sendings): (&Path, &[SentImages]),
) -> Result<Option<bool>, JournalError> {
    let (Some(first), Some(last)) = (sendings.first(), sendings.last()) else {
        return Ok(None);
    };
    let first = std::slice::from_ref(first);
    let own = block_in_place(|| find_in(folder, first, of.record, Spelling::Exact))?;
    let Some((_, own)) = own else {
        return Ok(None);
    };
    let mut search = Search::new(project, of, Part::After(last.image));
    search.go_through(ledger).await?;
    let mut later = search.found.iter().rev().map(|write| &write.image);
    Ok(later.find_map(|later| own.was_written_before(later)))
}

/// A write that was found, whatever its run.
struct FoundWrite {
    sending: i64,
    run: i64,
    /// Of its batch.
    partition: u32,
    image: Image,
}

/// How far a search for a record has come.
struct Search<'a> {
    project: &'a Project,
    of: RecordOf<'a>,
    part: Part,
    spelling: Spelling,
    /// The first segment that was met, and its folder.
    first_met: Option<(PathBuf, ImageSegment)>,
    /// Newest first.
    found: Vec<FoundWrite>,
    /// Batches that were looked at, and bytes of theirs that were read.
    looked_at: usize,
    read: u64,
    /// The last sending that was looked at, and the least run of one.
    reached: Option<i64>,
    least_run: Option<i64>,
    /// Runs whose files are there, and those of which some are not.
    present: BTreeSet<i64>,
    removed: BTreeSet<i64>,
    /// Whether nothing older is left.
    is_at_the_begin: bool,
    files: HashMap<PathBuf, bool>,
}

impl<'a> Search<'a> {
    fn new(project: &'a Project, of: RecordOf<'a>, part: Part) -> Self {
        let before = match part {
            Part::Whole | Part::After(_) => None,
            Part::Newest { before, .. } => before,
        };
        Self {
            project,
            of,
            part,
            spelling: Spelling::Exact,
            first_met: None,
            found: Vec::new(),
            looked_at: 0,
            read: 0,
            reached: before,
            least_run: None,
            present: BTreeSet::new(),
            removed: BTreeSet::new(),
            is_at_the_begin: false,
            files: HashMap::new(),
        }
    }

    /// Goes from batch to batch, backwards, until enough is found.
    async fn go_through(&mut self, ledger: &Ledger) -> Result<(), JournalError> {
        let (job, write_back) = (self.of.job, self.of.write_back);
        loop {
            let batches = ledger.imaged_batches(job, write_back, self.reached, BATCHES_AT_ONCE);
            let batches = batches.await?;
            for batch in &batches {
                if batch.sending <= self.after() {
                    return Ok(());
                }
                block_in_place(|| self.look_at(batch))?;
                if self.is_enough() {
                    return Ok(());
                }
            }
            if batches.len() < BATCHES_AT_ONCE as usize {
                self.is_at_the_begin = true;
                return Ok(());
            }
        }
    }

    /// What was sent until then is not looked at.
    fn after(&self) -> i64 {
        match self.part {
            Part::After(sending) => sending,
            Part::Whole | Part::Newest { .. } => i64::MIN,
        }
    }

    fn look_at(&mut self, batch: &ImagedBatch) -> Result<(), JournalError> {
        let run = batch.id.run;
        self.looked_at += 1;
        self.reached = Some(batch.sending);
        self.least_run = Some(self.least_run.map_or(run, |least| least.min(run)));
        let folder = images::folder_in(&run_folder(self.project, run).join(self.of.write_back));
        let mut present = Vec::new();
        for sending in &batch.images {
            match self.is_there(&folder.join(&sending.segment.file))? {
                true => present.push(sending.clone()),
                false => {
                    self.removed.insert(run);
                }
            }
        }
        if present.is_empty() {
            return Ok(());
        }
        if let (None, Some(first)) = (&self.first_met, present.first()) {
            self.first_met = Some((folder.clone(), first.segment.clone()));
        }
        self.present.insert(run);
        let after = self.after();
        present.retain(|sending| {
            sending.image > after && may_have(sending, self.of.record, self.spelling)
        });
        self.read += present
            .iter()
            .map(|sending| sending.segment.bytes)
            .sum::<u64>();
        if let Some((partition, image)) = find_in(&folder, &present, self.of.record, self.spelling)?
        {
            self.found.push(FoundWrite {
                sending: batch.sending,
                run,
                partition,
                image,
            });
        }
        Ok(())
    }

    /// Whether one key may be spelt in several ways, as far as the first segment can be read.
    fn keys_have_spellings(&self) -> bool {
        let Some((folder, segment)) = &self.first_met else {
            return false;
        };
        let segment = block_in_place(|| Segment::read(folder, segment));
        let kinds = |segment: Segment| KeyKinds::new(segment.key().iter().map(|key| key.kind));
        segment.is_ok_and(|segment| kinds(segment).have_spellings())
    }

    fn is_there(&mut self, path: &Path) -> Result<bool, JournalError> {
        if let Some(known) = self.files.get(path) {
            return Ok(*known);
        }
        let is_there = images::is_there(path)?;
        self.files.insert(path.to_owned(), is_there);
        Ok(is_there)
    }

    /// Whether no more is to be looked at.
    fn is_enough(&self) -> bool {
        let Part::Newest { writes_max, .. } = self.part else {
            return false;
        };
        let (wanted, earlier) = self.found.split_at(writes_max.min(self.found.len()));
        let tells_all = match earlier.last() {
            None => false,
            Some(first) if first.image.created || first.image.deleted => true,
            Some(_) => {
                let names = |writes: &[FoundWrite]| -> BTreeSet<String> {
                    let fields = writes.iter().flat_map(|write| &write.image.fields);
                    fields.map(|field| field.name.clone()).collect()
                };
                names(wanted).is_subset(&names(earlier))
            }
        };
        tells_all
            || earlier.len() >= WRITES_BEFORE_MAX
            || self.looked_at >= BATCHES_OF_PART_MAX
            || self.read >= BYTES_OF_PART_MAX
    }

    /// The sending with which the wanted part begins.
    fn begin(&self) -> i64 {
        let is_partial = |writes_max: usize| self.found.len() > writes_max;
        match self.part {
            Part::Newest { writes_max, .. } if is_partial(writes_max) => {
                let first = writes_max
                    .checked_sub(1)
                    .and_then(|last| self.found.get(last));
                first.map_or(i64::MIN, |write| write.sending)
            }
            Part::Newest { .. } if !self.is_at_the_begin => self.reached.unwrap_or(i64::MIN),
            Part::Whole | Part::Newest { .. } | Part::After(_) => i64::MIN,
        }
    }

    /// What was found, with the runs that it is of, and those of which nothing is known.
    async fn into_writes(self, ledger: &Ledger) -> Result<RecordWrites, JournalError> {
        let (job, write_back, begin) = (self.of.job, self.of.write_back, self.begin());
        let end = match self.part {
            Part::Newest { before, .. } => before.unwrap_or(i64::MAX),
            Part::Whole | Part::After(_) => i64::MAX,
        };
        let least_run = self.least_run.filter(|_| !self.is_at_the_begin);
        let journal = ledger
            .journal_from(Some(job), write_back, least_run)
            .await?;
        let mut all = RecordWrites {
            next: (begin > i64::MIN).then_some(begin),
            ..RecordWrites::default()
        };
        let mut latest = i64::MIN;
        for run in &journal {
            let number = run.id.run;
            let place = run.sendings.map_or(latest, |(first, _)| first);
            latest = run.sendings.map_or(latest, |(_, last)| last.max(latest));
            if all.since.is_none() && self.is_at_the_begin && self.present.contains(&number) {
                all.since = Some(RunAt::of(run));
            }
            let why = match self.removed.contains(&number) {
                true => Some(Gap::Removed),
                false => (run.unkept > 0).then_some(Gap::NotKept),
            };
            if let Some(why) = why.filter(|_| (begin..end).contains(&place)) {
                let run = RunAt::of(run);
                all.unknown.push(Unknown { run, why });
            }
            if why.is_some() && place < end {
                all.writes.push(RecordWrite {
                    sending: place,
                    run: run.clone(),
                    image: None,
                    request: None,
                    is_earlier: place < begin,
                });
            }
        }
        let found_runs: BTreeSet<i64> = self.found.iter().map(|write| write.run).collect();
        all.undone = self.undone(ledger, &journal, &found_runs).await?;
        let mut requests = HashMap::new();
        let runs: HashMap<i64, &JournalRun> = journal.iter().map(|run| (run.id.run, run)).collect();
        for write in self.found.into_iter().rev() {
            let Some(run) = runs.get(&write.run) else {
                continue;
            };
            all.writes.push(RecordWrite {
                sending: write.sending,
                run: (*run).clone(),
                image: Some(write.image),
                request: request_of(ledger, &mut requests, run, write.partition).await?,
                is_earlier: write.sending < begin,
            });
        }
        // A run that kept nothing stands behind what the runs before it sent last.
        all.writes
            .sort_by_key(|write| (write.sending, write.run.id.run));
        Ok(all)
    }

    /// Later runs that took back what these wrote into the record, oldest first.
    async fn undone(
        &self,
        ledger: &Ledger,
        journal: &[JournalRun],
        found: &BTreeSet<i64>,
    ) -> Result<Vec<JournalRun>, JournalError> {
        let mut undone = Vec::new();
        for run in journal {
            let is_of_them = run.undo_of.is_some_and(|of| found.contains(&of));
            if !is_of_them || found.contains(&run.id.run) {
                continue;
            }
            let trace = Trace::of(self.project, ledger, run).await?;
            if block_in_place(|| is_in(&trace, self.of.record, self.spelling))? {
                undone.push(run.clone());
            }
        }
        Ok(undone)
    }
}

/// Whether a run wrote a record.
fn is_in(trace: &Trace, record: &str, spelling: Spelling) -> Result<bool, JournalError> {
    for batch in trace.images.chunk_by(|left, right| left.span == right.span) {
        if find_in(&trace.folder, batch, record, spelling)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The request that a batch of a day's requests is of.
async fn request_of(
    ledger: &Ledger,
    known: &mut HashMap<i64, BTreeMap<u32, RecordRequest>>,
    run: &JournalRun,
    partition: u32,
) -> Result<Option<RecordRequest>, JournalError> {
    match run.kind {
        RunKind::Requests => {}
        RunKind::Run | RunKind::Retry | RunKind::Plan | RunKind::Undo => return Ok(None),
    }
    let number = run.id.run;
    let requests = match known.entry(number) {
        Entry::Occupied(requests) => requests.into_mut(),
        Entry::Vacant(place) => place.insert(ledger.record_requests_of(number).await?),
    };
    Ok(requests.get(&partition).cloned())
}

/// What a run wrote into one record's row.
pub(super) struct Image {
    pub(super) in_doubt: bool,
    pub(super) created: bool,
    pub(super) deleted: bool,
    pub(super) fields: Vec<FieldImage>,
}

impl Image {
    /// Whether it was written, as what the row held before a later write tells, if that does.
    fn was_written_before(&self, later: &Self) -> Option<bool> {
        if self.created {
            return Some(!later.created);
        }
        let changed = self.fields.iter().filter(|field| field.change().is_some());
        let mut seen = changed.filter_map(|own| {
            let later = later.fields.iter().find(|field| field.name == own.name)?;
            let is = |text: Option<&str>| same(own.kind, later.before.as_deref(), text);
            Some((is(own.after()), is(own.before.as_deref())))
        });
        let first = seen.next()?;
        let seen: Vec<(bool, bool)> = std::iter::once(first).chain(seen).collect();
        // What is neither was changed by somebody else, and is taken for written, as everywhere.
        let is_sent = seen.iter().any(|(is_sent, _)| *is_sent);
        Some(is_sent || !seen.iter().any(|(_, is_before)| *is_before))
    }
}

/// One field of it that is no part of the match key.
pub(super) struct FieldImage {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether it was written; what was there was kept if not.
    pub(super) written: bool,
    pub(super) before: Option<String>,
    pub(super) sent: Option<String>,
}

impl FieldImage {
    pub(super) fn after(&self) -> Option<&str> {
        if self.written {
            self.sent.as_deref()
        } else {
            self.before.as_deref()
        }
    }

    pub(super) fn change(&self) -> Option<ColumnChange> {
        change(self.kind, &self.name, self.before.as_deref(), self.after())
    }
}

pub(super) fn change(
    kind: Kind,
    column: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> Option<ColumnChange> {
    (!same(kind, before, after)).then(|| ColumnChange {
        column: column.to_owned(),
        before: in_words(kind, before),
        after: in_words(kind, after),
    })
}

/// Whether what was sent may have the record among it.
fn may_have(sending: &SentImages, record: &str, spelling: Spelling) -> bool {
    let keys = sending.segment.keys.as_ref();
    spelling == Spelling::ByKind || keys.is_none_or(|keys| keys.may_have(record))
}

/// The image of a record among the sendings of one batch, with the batch's partition.
fn find_in(
    folder: &Path,
    batch: &[SentImages],
    record: &str,
    spelling: Spelling,
) -> Result<Option<(u32, Image)>, JournalError> {
    let sendings = SentImages::that_count_first(batch).into_iter();
    for sending in sendings.filter(|sending| may_have(sending, record, spelling)) {
        let segment = Segment::read(folder, &sending.segment)?;
        let fields = segment.key();
        let key_columns: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        let kinds = KeyKinds::new(fields.iter().map(|field| field.kind));
        let is_it = |key: &String| match spelling {
            Spelling::Exact => key == record,
            Spelling::ByKind => kinds.are_one(key, record),
        };
        let keys = key_texts(&segment.sent_keys()?, &key_columns);
        if let Some(position) = keys.iter().position(is_it) {
            let image = image(&segment, position, sending.commit == Commit::InDoubt)?;
            return Ok(Some((sending.span.partition, image)));
        }
    }
    Ok(None)
}

fn image(segment: &Segment, position: usize, in_doubt: bool) -> Result<Image, JournalError> {
    let frame = segment.frame()?;
    let created = segment.created(&frame)?.get(position) == Some(true);
    let field = |field: &ImageField| {
        let sent = segment.sent_texts(&frame, field)?;
        let before = segment.column(&frame, "before", field)?;
        Ok(FieldImage {
            name: field.name.clone(),
            kind: field.kind,
            written: segment.written(&frame, field)?.get(position) == Some(true),
            before: before
                .str()?
                .get(position)
                .map(|exact| unmarked(exact).1.to_owned()),
            sent: sent.get(position).map(str::to_owned),
        })
    };
    let values = segment.fields.iter().filter(|field| field.key.is_none());
    let deleted = segment.deleted(&frame)?.get(position) == Some(true);
    Ok(Image {
        in_doubt,
        created,
        deleted,
        fields: values.map(field).collect::<Result<_, JournalError>>()?,
    })
}
