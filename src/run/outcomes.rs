//! `outcomes.parquet` beside a run: one row per record, and `skipped.csv`: one line per record that
//! was left alone, if any was. They are written while the run pushes, a
//! partition's rows as soon as none of its batches is under way any more; the ledger says what
//! became of them.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    ChunkFullNull, Column, DataFrame, DataType, Field, IntoColumn, ParquetCompression,
    ParquetWriter, PolarsResult, Schema, StringChunked,
};
use polars_parquet::write::ZstdLevel;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use super::files::{BYTE_ORDER_MARK, PAGE_REJECTIONS_MAX, ReportError};
use crate::domain::outcome::{Outcome, Rejection, SKIPPED};
use crate::domain::parking::LeftAlone;
use crate::domain::printable::harmless;
use crate::domain::record::Identities;
use crate::ledger::{Ledger, SentBatch, WriteBackId};
use crate::run::snapshot::AsWritten;
use crate::state::AsideFile;

/// Held by whatever is under way.
pub(super) type UnderWay = mpsc::Sender<Infallible>;

/// A partition whose batches are with the writers.
pub(super) struct PushedPartition {
    number: u32,
    records: Arc<Identities>,
    /// Those of them that equal what was last delivered, where that was asked.
    as_written: Option<Arc<AsWritten>>,
    /// Closed once nobody holds its [`UnderWay`].
    under_way: mpsc::Receiver<Infallible>,
}

impl PushedPartition {
    /// A partition, and what each of its batches is to hold until it has ended.
    pub(super) fn new(
        number: u32,
        records: Arc<Identities>,
        as_written: Option<Arc<AsWritten>>,
    ) -> (Self, UnderWay) {
        let (holder, under_way) = mpsc::channel(1);
        (
            Self {
                number,
                records,
                as_written,
                under_way,
            },
            holder,
        )
    }

    /// Waits until none of its batches is under way any more.
    pub(super) async fn ended(&mut self) {
        while self.under_way.recv().await.is_some() {}
    }
}

/// Writes `outcomes.parquet` of one write-back: `record` (position), `key`, `outcome`, `stage`,
/// `column`, `reason`. Records of the package come first, in the order they were written, then
/// those rejected before, then parked ones. `partitions` are all of the package's, in order.
/// Errors: `Uncovered` and `Unbalanced`, if not every record read has exactly one outcome; there is
/// no file then.
pub(super) async fn write(
    file: PathBuf,
    ledger: Ledger,
    id: WriteBackId,
    mut partitions: mpsc::Receiver<PushedPartition>,
) -> Result<(), ReportError> {
    let aside = AsideFile::create(&file).map_err(|error| ReportError::io(&file, error))?;
    let mut rows = RowsWriter::begin(&aside, &file)?;
    let mut skipped = SkippedWriter::beside(&file);
    while let Some(mut partition) = partitions.recv().await {
        partition.ended().await;
        let batches = ledger.outcomes(id, partition.number).await?;
        let outcomes = laid_along(&partition, batches)?;
        block_in_place(|| {
            skipped.write_records(&partition.records, &outcomes)?;
            rows.write_records(&partition, &outcomes)
        })?;
    }
    let mut after = None;
    loop {
        let rejections = ledger
            .rejections_outside_batches(id, after, PAGE_REJECTIONS_MAX)
            .await?;
        let Some(last) = rejections.last() else { break };
        after = Some(last.record);
        block_in_place(|| rows.write_rejections(rejections))?;
    }
    let left_alone = ledger.left_alone(id, u32::MAX).await?;
    block_in_place(|| {
        skipped.write_left_alone(&left_alone)?;
        rows.write_left_alone(&left_alone)
    })?;
    let accounted = block_in_place(|| rows.finish())?;
    let read = ledger.tally(id).await?.read;
    if read != accounted {
        return Err(ReportError::Unbalanced { read, accounted });
    }
    block_in_place(|| skipped.finish())?;
    aside.place().map_err(|error| ReportError::io(&file, error))
}

/// A partition's outcomes, one for each of its records: its batches, which are in order, one after
/// the other.
fn laid_along(
    partition: &PushedPartition,
    batches: Vec<SentBatch>,
) -> Result<Vec<Outcome>, ReportError> {
    let records = partition.records.len();
    let uncovered = |record: usize| ReportError::Uncovered {
        partition: partition.number,
        record,
    };
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(records);
    for batch in batches {
        let first = usize::try_from(batch.span.first).unwrap_or(usize::MAX);
        if first != outcomes.len() {
            return Err(uncovered(outcomes.len().min(first)));
        }
        outcomes.extend(batch.outcomes);
    }
    if outcomes.len() == records {
        Ok(outcomes)
    } else {
        Err(uncovered(outcomes.len().min(records)))
    }
}

/// The file of records that were left alone, of a write-back of a run.
pub(crate) const SKIPPED_CSV: &str = "skipped.csv";

/// Writes `skipped.csv`: `record` (counted from 1), `key`, `reason`. There is no file where nothing
/// was skipped.
struct SkippedWriter {
    file: PathBuf,
    /// Absent before the first record.
    begun: Option<AsideFile>,
}

impl SkippedWriter {
    fn beside(outcomes: &Path) -> Self {
        Self {
            file: outcomes.with_file_name(SKIPPED_CSV),
            begun: None,
        }
    }

    fn write_records(
        &mut self,
        records: &Identities,
        outcomes: &[Outcome],
    ) -> Result<(), ReportError> {
        let skipped = outcomes.iter().enumerate();
        let skipped =
            skipped.filter_map(|(index, outcome)| Some((index, outcome.skip_reason()?.words())));
        let lines = skipped.map(|(index, reason)| {
            let record = records.positions().get(index).copied().unwrap_or_default();
            let key = records.key(index).unwrap_or_default();
            line(record, &key, reason)
        });
        self.write(&lines.collect::<Vec<_>>())
    }

    fn write_left_alone(&mut self, records: &[LeftAlone]) -> Result<(), ReportError> {
        let lines = records.iter();
        let lines = lines.map(|record| line(record.record, &record.key, &record.reason));
        self.write(&lines.collect::<Vec<_>>())
    }

    fn write(&mut self, lines: &[[String; 3]]) -> Result<(), ReportError> {
        if lines.is_empty() {
            return Ok(());
        }
        let failed = |error| ReportError::io(&self.file, error);
        if self.begun.is_none() {
            let aside = AsideFile::create(&self.file).map_err(failed)?;
            let mut file = aside.file();
            file.write_all(BYTE_ORDER_MARK).map_err(failed)?;
            file.write_all(b"record,key,reason\n").map_err(failed)?;
            self.begun = Some(aside);
        }
        let Some(aside) = &self.begun else {
            return Ok(());
        };
        let mut writer = csv::Writer::from_writer(aside.file());
        let mut lines = lines.iter();
        lines
            .try_for_each(|line| writer.write_record(line))
            .map_err(|error| failed(error.into()))?;
        writer.flush().map_err(failed)
    }

    fn finish(self) -> Result<(), ReportError> {
        let failed = |error| ReportError::io(&self.file, error);
        self.begun
            .map_or(Ok(()), |aside| aside.place())
            .map_err(failed)
    }
}

/// A line of `skipped.csv`, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkippedRecord {
    /// Counted from 1.
    pub(crate) record: u64,
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// The first lines of a write-back's `skipped.csv`; none where there is no such file, be it that
/// it was thrown away. `folder` is the write-back's, beside its run.
pub(crate) fn first_skipped(folder: &Path, max: usize) -> io::Result<Vec<SkippedRecord>> {
    let file = match File::open(folder.join(SKIPPED_CSV)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut reader = csv::Reader::from_reader(file);
    let lines = reader.deserialize().take(max);
    lines
        .collect::<Result<_, csv::Error>>()
        .map_err(io::Error::from)
}

fn line(record: u64, key: &str, reason: &str) -> [String; 3] {
    [
        record.saturating_add(1).to_string(),
        harmless(key),
        harmless(reason),
    ]
}

/// The fastest level of ZSTD.
const FASTEST_LEVEL: i32 = 1;

/// Writes rows as row groups.
struct RowsWriter<'file> {
    writer: BatchedWriter<NotingFile<'file>>,
    refusal: Refusal,
    path: &'file Path,
    rows: u64,
}

impl<'file> RowsWriter<'file> {
    fn begin(aside: &'file AsideFile, path: &'file PathBuf) -> Result<Self, ReportError> {
        let refusal = Refusal::default();
        let file = NotingFile {
            file: aside.file(),
            refusal: refusal.clone(),
        };
        // It is written while records are, and read by people now and then.
        let compression = ParquetCompression::Zstd(ZstdLevel::try_new(FASTEST_LEVEL).ok());
        let writer = ParquetWriter::new(file)
            .with_compression(compression)
            .batched(&schema());
        Ok(Self {
            writer: writer.map_err(|error| refusal.explain(path, error))?,
            refusal,
            path,
            rows: 0,
        })
    }

    fn write_records(
        &mut self,
        partition: &PushedPartition,
        outcomes: &[Outcome],
    ) -> Result<(), ReportError> {
        let records = &partition.records;
        let known = partition.as_written.as_deref();
        let positions = records.positions().to_vec();
        self.write(rows(positions, records.keys(), outcomes, known))
    }

    fn write_rejections(&mut self, rejections: Vec<Rejection>) -> Result<(), ReportError> {
        let positions = rejections
            .iter()
            .map(|rejection| rejection.record)
            .collect();
        let keys = rejections
            .iter()
            .map(|rejection| rejection.key.as_deref())
            .collect();
        let outcomes: Vec<Outcome> = rejections
            .iter()
            .map(|rejection| Outcome::Rejected(Box::new(rejection.clone())))
            .collect();
        self.write(rows(positions, keys, &outcomes, None))
    }

    fn write_left_alone(&mut self, records: &[LeftAlone]) -> Result<(), ReportError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write(left_alone_rows(records))
    }

    fn write(&mut self, rows: PolarsResult<DataFrame>) -> Result<(), ReportError> {
        let written = rows.and_then(|rows| {
            self.rows += rows.height() as u64;
            self.writer.write_batch(&rows)
        });
        written.map_err(|error| self.refusal.explain(self.path, error))
    }

    fn finish(self) -> Result<u64, ReportError> {
        self.writer
            .finish()
            .map_err(|error| self.refusal.explain(self.path, error))?;
        Ok(self.rows)
    }
}

/// Rows of parked records.
fn left_alone_rows(records: &[LeftAlone]) -> PolarsResult<DataFrame> {
    let nothing = || StringChunked::full_null("".into(), records.len());
    let columns = vec![
        Column::new(
            "record".into(),
            records
                .iter()
                .map(|record| record.record)
                .collect::<Vec<u64>>(),
        ),
        Column::new(
            "key".into(),
            records
                .iter()
                .map(|record| record.key.as_str())
                .collect::<Vec<_>>(),
        ),
        Column::new("outcome".into(), vec![SKIPPED; records.len()]),
        nothing().with_name("stage".into()).into_column(),
        nothing().with_name("column".into()).into_column(),
        Column::new(
            "reason".into(),
            records
                .iter()
                .map(|record| record.reason.as_str())
                .collect::<Vec<_>>(),
        ),
    ];
    DataFrame::new(records.len(), columns)
}

/// Rows of `outcomes.parquet`; each argument has one value a row.
fn rows(
    positions: Vec<u64>,
    keys: StringChunked,
    outcomes: &[Outcome],
    known: Option<&AsWritten>,
) -> PolarsResult<DataFrame> {
    let texts = |name: &str, text: fn(&Outcome) -> Option<&str>| {
        outcomes
            .iter()
            .map(text)
            .collect::<StringChunked>()
            .with_name(name.into())
            .into_column()
    };
    let columns = vec![
        Column::new("record".into(), positions),
        keys.with_name("key".into()).into_column(),
        texts("outcome", |outcome| Some(outcome.name())),
        texts("stage", |outcome| Some(outcome.rejection()?.stage.name())),
        texts("column", |outcome| outcome.rejection()?.column.as_deref()),
        reasons(outcomes, known)
            .with_name("reason".into())
            .into_column(),
    ];
    DataFrame::new(outcomes.len(), columns)
}

fn schema() -> Schema {
    let texts = ["key", "outcome", "stage", "column", "reason"]
        .map(|name| Field::new(name.into(), DataType::String));
    std::iter::once(Field::new("record".into(), DataType::UInt64))
        .chain(texts)
        .collect()
}

fn reasons(outcomes: &[Outcome], known: Option<&AsWritten>) -> StringChunked {
    let outcomes = outcomes.iter().enumerate();
    let reasons =
        outcomes.map(|(index, outcome)| reason(outcome, known.and_then(|known| known.run(index))));
    reasons.collect()
}

/// `run` is the one that wrote what the record equals.
fn reason(outcome: &Outcome, run: Option<i64>) -> Option<Cow<'_, str>> {
    if *outcome == Outcome::AsWritten {
        return Some(run.map_or("as written".into(), |run| {
            format!("as written by run {run}").into()
        }));
    }
    let skipped = outcome.skip_reason().map(|reason| reason.words().into());
    skipped.or_else(|| Some(outcome.rejection()?.reason.as_str().into()))
}

/// The system's own word for why a file took no more: whoever writes Parquet turns it into text,
/// and what to do is told by the word.
#[derive(Clone, Default)]
struct Refusal(Arc<Mutex<Option<i32>>>);

impl Refusal {
    fn note(&self, error: &io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error.raw_os_error();
    }

    fn explain(&self, file: &Path, error: polars::error::PolarsError) -> ReportError {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(code) => ReportError::io(file, io::Error::from_raw_os_error(code)),
            None => ReportError::frame(file, error),
        }
    }
}

/// A file that keeps its refusal.
struct NotingFile<'file> {
    file: &'file File,
    refusal: Refusal,
}

impl Write for NotingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .write(bytes)
            .inspect_err(|error| self.refusal.note(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may")]

    use polars::prelude::{ParquetReader, SerReader, df};

    use super::super::files::tests::{FIRST, commit, key_columns, refused, run};
    use super::*;
    use crate::domain::outcome::SkipReason;
    use crate::ledger::{BatchSpan, MappedFor};
    use crate::package::Package;
    use crate::state;

    /// Writes the file of a package none of whose batches is under way.
    async fn write_whole(
        file: &Path,
        ledger: &Ledger,
        package: &Package,
    ) -> Result<(), ReportError> {
        let (sender, partitions) = mpsc::channel(1);
        let records = Identities::of(&package.load(0).unwrap().records, &key_columns()).unwrap();
        let (partition, under_way) = PushedPartition::new(0, Arc::new(records), None);
        drop(under_way);
        sender.send(partition).await.unwrap_or_default();
        drop(sender);
        write(file.to_owned(), ledger.clone(), FIRST, partitions).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_record_has_one_row_in_outcomes() {
        let (folder, ledger, package) = run().await;
        commit(&ledger, 0, &[Outcome::Inserted, Outcome::Updated]).await;
        commit(
            &ledger,
            2,
            &[refused(), Outcome::Skipped(SkipReason::NoMatch)],
        )
        .await;
        let file = folder.path().join("runs/1/outcomes.parquet");
        write_whole(&file, &ledger, &package).await.unwrap();
        let rows = ParquetReader::new(File::open(&file).unwrap())
            .finish()
            .unwrap();
        let expected = df!(
            "record" => [6_u64, 2, 3, 5, 0, 1, 4],
            "key" => ["EU,-1", "EU,2", "EU,10", "\"a,b\",3", "US,1", "=HYPERLINK()", "US,1"],
            "outcome" => ["inserted", "updated", "rejected", "skipped", "rejected", "rejected", "rejected"],
            "stage" => [None, None, Some("destination"), None, Some("match"), Some("schema"), Some("match")],
            "column" => [None, None, Some("SCORE"), None, Some("SCORE"), Some("SCORE"), Some("SCORE")],
            "reason" => [None, None, Some("refused at destination"), Some("no match"), Some("refused at match"),
                         Some("refused at schema"), Some("refused at match")],
        );
        assert!(rows.equals_missing(&expected.unwrap()), "{rows}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn outcomes_that_do_not_add_up_make_no_file() {
        let (folder, ledger, package) = run().await;
        let file = folder.path().join("outcomes.parquet");
        let write = async || write_whole(&file, &ledger, &package).await.unwrap_err();
        commit(&ledger, 0, &[Outcome::Inserted, Outcome::Updated]).await;
        assert!(matches!(
            write().await,
            ReportError::Uncovered {
                partition: 0,
                record: 2
            }
        ));
        commit(&ledger, 3, &[Outcome::Updated]).await;
        assert!(matches!(
            write().await,
            ReportError::Uncovered {
                partition: 0,
                record: 2
            }
        ));
        commit(&ledger, 2, &[refused(), Outcome::Updated]).await;
        assert!(matches!(
            write().await,
            ReportError::Uncovered {
                partition: 0,
                record: 3
            }
        ));
        ledger
            .forget_sent(
                FIRST,
                BatchSpan {
                    partition: 0,
                    first: 3,
                    records: 1,
                },
            )
            .await
            .unwrap();
        assert!(!file.exists() && !state::aside(&file).exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_without_any_outcome_is_missed() {
        let (folder, ledger, package) = run().await;
        commit(&ledger, 0, &vec![Outcome::Unchanged; 4]).await;
        ledger
            .record_packaged(FIRST, 8, &MappedFor::default())
            .await
            .unwrap();
        let file = folder.path().join("outcomes.parquet");
        let error = write_whole(&file, &ledger, &package).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "8 records were read and 7 have an outcome"
        );
        assert!(!file.exists());
    }
}
