//! The snapshot of a write-back: a fingerprint of every record as last delivered, a package beside
//! the ledger, partitioned by ranges of the match key as every package is. Records that equal it are
//! left alone without a look at the destination. It is written anew at the end of a run, beside the
//! one before, which stands until the ledger knows of the new one.
//!
//! Whatever it does not know for sure is not in it: a record that was rejected, skipped or kept, and
//! everything once another run, an undo or a test wrote without it. A snapshot that cannot be read is
//! no error: all records are looked up then.
//!
//! Shape of its records: the match key, and the columns [`RUN`], [`HIGH`] and [`LOW`].

use std::fs;
use std::path::{Path, PathBuf};

use polars::prelude::{
    Column, DataFrame, IdxCa, IdxSize, IntoColumn, NamedFrom, PolarsResult, Series,
};
use tokio::task::block_in_place;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_128;

use crate::config::Project;
use crate::domain::compare::{Compare, Relying, SnapshotFacts};
use crate::domain::error::chain;
use crate::domain::layout::Layout;
use crate::domain::mapping::Mapping;
use crate::domain::outcome::Outcome;
use crate::domain::record::{RECORD_POSITION, column_texts, key_texts};
use crate::ledger::{Ledger, LedgerError, WriteBackId, job_file_name};
use crate::package::{Beside, Package, PackageError, PackageWriter};
use crate::state;

/// Names the column (`Int64`) that tells which run delivered a record. No SQL name holds a NUL.
const RUN: &str = "\0run";
/// Name the columns (`UInt64`) with the halves of a record's fingerprint.
const HIGH: &str = "\0high";
const LOW: &str = "\0low";

/// The write-back that a snapshot is of.
#[derive(Clone, Copy)]
pub(crate) struct SnapshotOf<'a> {
    pub(crate) project: &'a Project,
    pub(crate) ledger: &'a Ledger,
    pub(crate) job: &'a str,
    pub(crate) write_back: &'a str,
    pub(crate) compare: Compare,
    pub(crate) version: &'a str,
    /// What its records are mapped for, and where they are written to.
    pub(crate) prepared: &'a str,
    /// Whether the run takes all records of the source.
    pub(crate) takes_all: bool,
}

/// What a run knows of records as last delivered.
#[derive(Debug, Default)]
pub(crate) struct Recollection {
    /// Absent, all records are looked up.
    pub(crate) snapshot: Option<Snapshot>,
    /// What the next snapshot is said to be of; absent, none is to be taken.
    next: Option<SnapshotFacts>,
}

/// A snapshot that is relied on.
#[derive(Debug)]
pub(crate) struct Snapshot {
    package: Package,
}

/// Goes through it beside the records of a package.
pub(crate) struct SnapshotBeside<'a> {
    /// Absent once it could not be read.
    beside: Option<Beside<'a>>,
}

/// Which records of a partition equal what was last delivered of them.
#[derive(Debug)]
pub(crate) struct AsWritten {
    /// The run that delivered it, record by record.
    runs: Vec<Option<i64>>,
}

/// What became of the records of one run's package, as a snapshot is taken of it.
pub(crate) struct DeliveredRecords<'a> {
    pub(crate) id: WriteBackId,
    pub(crate) package: &'a Package,
    pub(crate) layout: &'a Layout,
    pub(crate) mapping: &'a Mapping,
    /// Keys of records of which a value was left alone, as people read them, ascending.
    pub(crate) kept_keys: &'a [String],
}

/// Why no snapshot could be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("records could not be told apart")]
    Frame(#[from] polars::error::PolarsError),
    #[error("partition {0} has no outcome for each of its records")]
    Uncovered(u32),
}

impl SnapshotOf<'_> {
    /// What is known before run `run` pushes; `run` is the one that asks, or one that is foreseen.
    pub(crate) async fn recall(&self, run: i64) -> Result<Recollection, LedgerError> {
        let Self {
            ledger,
            job,
            write_back,
            ..
        } = *self;
        let Compare::LastWritten { full_every } = self.compare else {
            return Ok(Recollection::default());
        };
        let facts = ledger.snapshot(job, write_back).await?;
        let relying = Relying {
            version: self.version,
            prepared: self.prepared,
            sent_since: match &facts {
                Some(facts) => ledger.sent_since(job, write_back, facts.run, run).await?,
                None => None,
            },
            full_every: self.takes_all.then_some(full_every),
        };
        let why_full = relying.why_full(facts.as_ref());
        let own = facts.as_ref().is_some_and(|facts| facts.run == run);
        let snapshot = match (&why_full, &facts) {
            (None, Some(facts)) => self.open(facts.run),
            // An earlier process of this run took it at its end.
            (Some(_), Some(facts)) if own => self.open(facts.run),
            (_, _) => None,
        };
        if let Some(why) = why_full.filter(|_| !own) {
            info!(job, write_back, why = %why, "all records are compared with the destination");
        }
        // What takes only some records does not tell of the others.
        let is_told = self.takes_all || snapshot.is_some();
        let partial_runs = match (&snapshot, &facts) {
            (Some(_), Some(facts)) => facts.partial_runs + u32::from(self.takes_all),
            (_, _) => 0,
        };
        let next = (is_told && !own).then(|| SnapshotFacts {
            run,
            version: self.version.to_owned(),
            prepared: self.prepared.to_owned(),
            partial_runs,
            distrusted: None,
        });
        Ok(Recollection { snapshot, next })
    }

    /// Takes the snapshot of a run that delivered its package; forgets the one before where nothing
    /// is compared with it any more. If that fails it is said, and nothing else comes of it: the next
    /// run finds that the one before it is of an earlier run.
    pub(crate) async fn take(&self, recollection: &Recollection, delivered: &DeliveredRecords<'_>) {
        let taken = match (self.compare, &recollection.next) {
            (Compare::Destination, _) => self.forget().await,
            (Compare::LastWritten { .. }, None) => Ok(()),
            (Compare::LastWritten { .. }, Some(facts)) => {
                let base = recollection.snapshot.as_ref();
                self.try_take(base, facts, delivered).await
            }
        };
        if let Err(error) = taken {
            let (job, write_back) = (self.job, self.write_back);
            warn!(job, write_back, error = %chain(&error).join(": "), "could not keep what was delivered; the next run looks all records up");
        }
    }

    async fn forget(&self) -> Result<(), SnapshotError> {
        let (job, write_back) = (self.job, self.write_back);
        if self.ledger.snapshot(job, write_back).await?.is_some() {
            self.ledger.forget_snapshot(job, write_back).await?;
            self.remove_others(None);
        }
        Ok(())
    }

    async fn try_take(
        &self,
        base: Option<&Snapshot>,
        facts: &SnapshotFacts,
        delivered: &DeliveredRecords<'_>,
    ) -> Result<(), SnapshotError> {
        let folder = self.folder();
        let made = state::make_folder_within(&self.project.state_folder(), &folder);
        made.map_err(|source| PackageError::io("make", &folder, source))?;
        let place = folder.join(facts.run.to_string());
        let key_columns = delivered.key_columns();
        let mut writer = PackageWriter::create(&place, &key_columns)?;
        if let Some(base) = base {
            block_in_place(|| delivered.carry_over(base, &mut writer))?;
        }
        let mut beside = SnapshotBeside::of(base);
        for partition in 0..delivered.package.partition_count() {
            let outcomes = delivered.outcomes(self.ledger, partition).await?;
            block_in_place(|| {
                delivered.add(partition, &outcomes, &mut beside, facts.run, &mut writer)
            })?;
        }
        block_in_place(|| writer.finish())?;
        crate::fault::point("a snapshot taken");
        self.ledger
            .record_snapshot(self.job, self.write_back, facts)
            .await?;
        self.remove_others(Some(facts.run));
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        let snapshots = self.project.state_folder().join("snapshots");
        snapshots
            .join(job_file_name(self.job))
            .join(self.write_back)
    }

    /// The snapshot in the folder of a run, if it can be used.
    fn open(&self, run: i64) -> Option<Snapshot> {
        let folder = self.folder().join(run.to_string());
        match block_in_place(|| Package::open(&folder)) {
            Ok(package) => Some(Snapshot { package }),
            Err(error) => {
                unreadable(&error);
                None
            }
        }
    }

    /// Removes what stood before, or an interrupted run left.
    fn remove_others(&self, kept: Option<i64>) {
        let kept = kept.map(|run| run.to_string());
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| {
            kept.as_ref()
                .is_none_or(|kept| *kept.as_str() != *entry.file_name())
        }) {
            remove(&entry.path());
        }
    }
}

fn remove(folder: &Path) {
    if let Err(error) = state::remove_folder_if_there(folder) {
        warn!(path = %folder.display(), %error, "could not remove an earlier snapshot");
    }
}

fn unreadable(error: &PackageError) {
    warn!(error = %chain(error).join(": "), "what was last delivered cannot be read; records are looked up");
}

impl Snapshot {
    pub(crate) fn beside(&self) -> SnapshotBeside<'_> {
        SnapshotBeside::of(Some(self))
    }
}

impl<'a> SnapshotBeside<'a> {
    fn of(snapshot: Option<&'a Snapshot>) -> Self {
        Self {
            beside: snapshot.map(|snapshot| snapshot.package.beside()),
        }
    }

    /// Which of these records equal what was last delivered. They are sorted by key, each key once,
    /// and from call to call keys ascend. `complete` are the same records as batches have them.
    /// `None`, if nothing is known.
    pub(crate) fn as_written(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        complete: &DataFrame,
    ) -> Option<AsWritten> {
        match self.equal(layout, records, complete)? {
            Ok(as_written) => Some(as_written),
            Err(error) => {
                unreadable(&error);
                self.beside = None;
                None
            }
        }
    }

    fn equal(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        complete: &DataFrame,
    ) -> Option<Result<AsWritten, PackageError>> {
        let aligned = match self.beside.as_mut()?.records(records) {
            Ok(aligned) => aligned?,
            Err(error) => return Some(Err(error)),
        };
        let equal = equal(layout, &aligned, complete).ok()?;
        Some(Ok(AsWritten { runs: equal }))
    }
}

/// Of each record the run that delivered what equals it.
fn equal(
    layout: &Layout,
    aligned: &DataFrame,
    complete: &DataFrame,
) -> PolarsResult<Vec<Option<i64>>> {
    let fingerprints = fingerprints(layout, complete)?;
    let runs = aligned.column(RUN)?.i64()?;
    let high = aligned.column(HIGH)?.u64()?;
    let low = aligned.column(LOW)?.u64()?;
    let delivered = runs.iter().zip(high.iter()).zip(low.iter());
    let same = |(((run, high), low), fingerprint): (((Option<i64>, _), _), &Fingerprint)| {
        run.filter(|_| (high, low) == (Some(fingerprint.high), Some(fingerprint.low)))
    };
    Ok(delivered.zip(&fingerprints).map(same).collect())
}

/// Tells a record's values from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    high: u64,
    low: u64,
}

/// The fingerprint of each record: of all values that decide whether it is written. Its key is known
/// otherwise, and a stamp alone causes no write.
fn fingerprints(layout: &Layout, complete: &DataFrame) -> PolarsResult<Vec<Fingerprint>> {
    let compared = layout.fields.iter().zip(complete.columns());
    let compared = compared.filter(|(field, _)| field.is_compared());
    let texts: PolarsResult<Vec<_>> = compared.map(|(_, column)| column_texts(column)).collect();
    let texts = texts?;
    let mut told = Vec::new();
    let of = |record: usize| {
        told.clear();
        for texts in &texts {
            match texts.get(record) {
                None => told.push(0),
                Some(text) => {
                    told.push(1);
                    told.extend((text.len() as u64).to_le_bytes());
                    told.extend(text.as_bytes());
                }
            }
        }
        let digest = xxh3_128(&told).to_le_bytes();
        let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let (low, high) = digest.split_at(8);
        Fingerprint {
            high: half(high),
            low: half(low),
        }
    };
    Ok((0..complete.height()).map(of).collect())
}

impl AsWritten {
    /// The run that delivered what equals the record at `index`; `None` if it is to be looked up.
    pub(crate) fn run(&self, index: usize) -> Option<i64> {
        self.runs.get(index).copied().flatten()
    }

    pub(crate) fn is_at(&self, index: usize) -> bool {
        self.run(index).is_some()
    }

    /// How many records it is of.
    pub(crate) fn count(&self) -> usize {
        self.runs.iter().flatten().count()
    }

    /// Positions of the records that are to be looked up, from the one at `first` on and counted
    /// from there.
    pub(crate) fn others(&self, first: usize, records: usize) -> Vec<IdxSize> {
        let runs = self.runs.iter().skip(first).take(records);
        let others = runs.zip(0..).filter(|(run, _)| run.is_none());
        others.map(|(_, position)| position).collect()
    }
}

impl DeliveredRecords<'_> {
    fn key_columns(&self) -> Vec<String> {
        let key = self.layout.key_fields();
        key.map(|field| field.column.name.clone()).collect()
    }

    /// What became of the records of a partition.
    async fn outcomes(
        &self,
        ledger: &Ledger,
        partition: usize,
    ) -> Result<Vec<Outcome>, SnapshotError> {
        let number = u32::try_from(partition).unwrap_or(u32::MAX);
        let mut outcomes = Vec::new();
        for batch in ledger.outcomes(self.id, number).await? {
            if u32::try_from(outcomes.len()) != Ok(batch.span.first) {
                return Err(SnapshotError::Uncovered(number));
            }
            outcomes.extend(batch.outcomes);
        }
        Ok(outcomes)
    }

    /// Takes over what is known of records that this run did not read.
    fn carry_over(&self, base: &Snapshot, writer: &mut PackageWriter) -> Result<(), SnapshotError> {
        let mut beside = self.package.beside();
        for partition in 0..base.package.partition_count() {
            let known = base.package.load(partition)?.records;
            let others = match beside.records(&known)? {
                Some(read) => known.filter(&read.column(RECORD_POSITION)?.is_null())?,
                None => known,
            };
            writer.push(&others)?;
        }
        Ok(())
    }

    /// Adds the records of a partition that the destination holds as they are.
    fn add(
        &self,
        partition: usize,
        outcomes: &[Outcome],
        beside: &mut SnapshotBeside<'_>,
        run: i64,
        writer: &mut PackageWriter,
    ) -> Result<(), SnapshotError> {
        let records = self.package.load(partition)?.records;
        if records.height() != outcomes.len() {
            let number = u32::try_from(partition).unwrap_or(u32::MAX);
            return Err(SnapshotError::Uncovered(number));
        }
        let key_columns = self.key_columns();
        let complete = self.mapping.complete(&records);
        let before = beside.as_written(self.layout, &records, &complete);
        let of = fingerprints(self.layout, &complete)?;
        let is_kept = |keys: &[String], record: usize| {
            let key = keys.get(record);
            key.is_some_and(|key| self.kept_keys.binary_search(key).is_ok())
        };
        let keys = match self.kept_keys.is_empty() {
            true => Vec::new(),
            false => key_texts(&records, &key_columns),
        };
        let held = outcomes.iter().enumerate();
        let held = held.filter(|(record, outcome)| outcome.is_held() && !is_kept(&keys, *record));
        let held: Vec<usize> = held.map(|(record, _)| record).collect();
        let positions = held
            .iter()
            .filter_map(|record| IdxSize::try_from(*record).ok());
        let positions = IdxCa::from_vec("".into(), positions.collect());
        let runs = held.iter().map(|record| {
            let before = before.as_ref().and_then(|before| before.run(*record));
            before
                .filter(|_| outcomes.get(*record) == Some(&Outcome::AsWritten))
                .unwrap_or(run)
        });
        let half = |name: &str, half: fn(&Fingerprint) -> u64| {
            let values = held.iter().filter_map(|record| of.get(*record)).map(half);
            Series::new(name.into(), values.collect::<Vec<u64>>()).into_column()
        };
        let mut columns: Vec<Column> = Vec::new();
        for name in &key_columns {
            columns.push(records.column(name)?.take(&positions)?);
        }
        columns.push(Series::new(RUN.into(), runs.collect::<Vec<i64>>()).into_column());
        columns.push(half(HIGH, |fingerprint| fingerprint.high));
        columns.push(half(LOW, |fingerprint| fingerprint.low));
        Ok(writer.push(&DataFrame::new(held.len(), columns)?)?)
    }
}
