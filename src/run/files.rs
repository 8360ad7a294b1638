//! The files beside a run: `outcomes.parquet` with one row per record, `rejected.csv` for people. Both are written aside
//! and put in place whole, readable by their owner only.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{Column, DataFrame, DataType, Field, ParquetCompression, ParquetWriter, PolarsResult, Schema};

use crate::domain::outcome::{Outcome, Rejection};
use crate::domain::parking::LeftAlone;
use crate::domain::record::Identities;
use crate::fault;
use crate::ledger::{Ledger, LedgerError, SentBatch, WriteBackId};
use crate::package::{self, Package, PackageError, Partition};
use crate::state::{self, AsideFile};

/// Rejected records read from the ledger at once: some megabytes.
const PAGE_REJECTIONS_MAX: u32 = 20_000;

/// Why a report file could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("could not write `{path}`")]
    Io { path: String, source: io::Error },
    #[error("could not write `{path}`")]
    Frame { path: String, source: polars::error::PolarsError },
    /// The ledger's batches do not cover a partition's records, each once.
    #[error("the outcome of record {record} of partition {partition} is missing or doubled")]
    Uncovered { partition: usize, record: usize },
    #[error("{read} records were read and {accounted} have an outcome")]
    Unbalanced { read: u64, accounted: u64 },
}

impl ReportError {
    fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { path: file.display().to_string(), source }
    }

    fn frame(file: &Path, source: polars::error::PolarsError) -> Self {
        Self::Frame { path: file.display().to_string(), source }
    }

    /// Whether the run can be taken up, so that the report is written again.
    pub(crate) fn leaves_packages_usable(&self) -> bool {
        match self {
            Self::Package(error) => error.leaves_package_usable(),
            Self::Ledger(_) | Self::Io { .. } | Self::Frame { .. } => true,
            Self::Uncovered { .. } | Self::Unbalanced { .. } => false,
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Ledger(error) => error.hint(),
            Self::Package(error) => error.hint(),
            Self::Io { source, .. } => state::hint(source).map(str::to_owned),
            Self::Frame { .. } => None,
            Self::Uncovered { .. } | Self::Unbalanced { .. } => {
                Some("run the job again: what is already written is left alone".to_owned())
            }
        }
    }
}

/// Where a write-back's package stands in the folder of its run.
pub(crate) fn package_folder(run_folder: &Path, write_back: &str) -> PathBuf {
    run_folder.join(write_back).join("package")
}

/// Removes all packages in the folder of a run, finished ones and others.
pub(crate) fn remove_packages(run_folder: &Path) -> io::Result<()> {
    let write_backs = match fs::read_dir(run_folder) {
        Ok(write_backs) => write_backs,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for write_back in write_backs {
        let write_back = write_back?;
        if write_back.file_type()?.is_dir() {
            let package = package_folder(run_folder, &write_back.file_name().to_string_lossy());
            package::remove(&package)?;
            fault::point("a package removed");
        }
    }
    Ok(())
}

/// Writes `outcomes.parquet` of one write-back: `record` (position), `key`, `outcome`, `stage`, `column`, `reason`.
/// `key_columns` are the package's key columns. Records of the package come first, in the order they were written, then
/// those rejected before, then the parked ones.
/// Errors: `Uncovered` and `Unbalanced`, if not every record read has exactly one outcome; there is no file then.
pub(crate) async fn write_outcomes(
    file: &Path,
    ledger: &Ledger,
    id: WriteBackId,
    package: &Package,
    key_columns: &[String],
) -> Result<(), ReportError> {
    let aside = AsideFile::create(file).map_err(|error| ReportError::io(file, error))?;
    let mut buffer = BufWriter::new(NotingFile { file: aside.file(), refusal: None });
    let written = write_rows(&mut buffer, file, ledger, id, package, key_columns).await;
    let refused = |error| buffer.get_mut().refusal.take().map_or(error, |refusal| ReportError::io(file, refusal));
    let accounted = written.map_err(refused)?;
    buffer.flush().map_err(|error| ReportError::io(file, error))?;
    drop(buffer);
    let read = ledger.tally(id).await?.read;
    if read != accounted {
        return Err(ReportError::Unbalanced { read, accounted });
    }
    aside.place().map_err(|error| ReportError::io(file, error))
}

/// A file that keeps the system's own word for why it took no more: whoever writes Parquet turns it into text, and what
/// to do is told by the word.
struct NotingFile<'file> {
    file: &'file File,
    refusal: Option<io::Error>,
}

impl Write for NotingFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file
            .write(bytes)
            .inspect_err(|error| self.refusal = error.raw_os_error().map(io::Error::from_raw_os_error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Returns how many rows there are.
async fn write_rows(
    buffer: &mut BufWriter<NotingFile<'_>>,
    file: &Path,
    ledger: &Ledger,
    id: WriteBackId,
    package: &Package,
    key_columns: &[String],
) -> Result<u64, ReportError> {
    let failed = |error| ReportError::frame(file, error);
    let mut rows = RowsWriter::begin(buffer).map_err(failed)?;
    for number in 0..package.partition_count() {
        let batches = ledger.outcomes(id, u32::try_from(number).unwrap_or(u32::MAX)).await?;
        let Partition { records, duplicates: _ } = package.load(number)?;
        let records = Identities::of(&records, key_columns).map_err(failed)?;
        rows.write(outcome_rows(number, &records, batches)?).map_err(failed)?;
    }
    let mut after = None;
    loop {
        let rejections = ledger.rejections_outside_batches(id, after, PAGE_REJECTIONS_MAX).await?;
        let Some(last) = rejections.last() else { break };
        after = Some(last.record);
        rows.write(rejection_rows(rejections)).map_err(failed)?;
    }
    rows.write(left_alone_rows(ledger.left_alone(id, u32::MAX).await?)).map_err(failed)?;
    rows.finish().map_err(failed)
}

/// Rows of `outcomes.parquet`, column by column.
#[derive(Default)]
struct Rows {
    records: Vec<u64>,
    keys: Vec<Option<String>>,
    outcomes: Vec<&'static str>,
    stages: Vec<Option<&'static str>>,
    columns: Vec<Option<String>>,
    reasons: Vec<Option<Cow<'static, str>>>,
}

impl Rows {
    fn push(&mut self, record: u64, key: Option<String>, outcome: Outcome) {
        let name = outcome_name(&outcome);
        self.push_explained(record, key, name, explanation(outcome));
    }

    fn push_explained(
        &mut self,
        record: u64,
        key: Option<String>,
        outcome: &'static str,
        (stage, column, reason): Explanation,
    ) {
        self.records.push(record);
        self.keys.push(key);
        self.outcomes.push(outcome);
        self.stages.push(stage);
        self.columns.push(column);
        self.reasons.push(reason);
    }

    fn into_frame(self) -> PolarsResult<DataFrame> {
        let columns = vec![
            Column::new("record".into(), self.records),
            Column::new("key".into(), self.keys),
            Column::new("outcome".into(), self.outcomes),
            Column::new("stage".into(), self.stages),
            Column::new("column".into(), self.columns),
            Column::new("reason".into(), self.reasons),
        ];
        DataFrame::new_infer_height(columns)
    }

    fn schema() -> Schema {
        let texts =
            ["key", "outcome", "stage", "column", "reason"].map(|name| Field::new(name.into(), DataType::String));
        std::iter::once(Field::new("record".into(), DataType::UInt64)).chain(texts).collect()
    }
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Inserted => "inserted",
        Outcome::Updated => "updated",
        Outcome::Unchanged => "unchanged",
        Outcome::Skipped(_) => "skipped",
        Outcome::Rejected(_) => "rejected",
    }
}

/// Stage, column and reason.
type Explanation = (Option<&'static str>, Option<String>, Option<Cow<'static, str>>);

fn explanation(outcome: Outcome) -> Explanation {
    match outcome {
        Outcome::Inserted | Outcome::Updated | Outcome::Unchanged => (None, None, None),
        Outcome::Skipped(reason) => (None, None, Some(reason.words().into())),
        Outcome::Rejected(rejection) => (Some(rejection.stage.name()), rejection.column, Some(rejection.reason.into())),
    }
}

/// Lays a partition's batches, which are in order, along its records.
fn outcome_rows(partition: usize, records: &Identities, batches: Vec<SentBatch>) -> Result<Rows, ReportError> {
    let uncovered = |index: usize| ReportError::Uncovered { partition, record: index };
    let mut rows = Rows::default();
    let mut next = 0;
    for SentBatch { span, outcomes } in batches {
        let first = usize::try_from(span.first).unwrap_or(usize::MAX);
        if first != next {
            return Err(uncovered(next.min(first)));
        }
        for outcome in outcomes {
            let position = records.position(next).ok_or_else(|| uncovered(next))?;
            rows.push(position, records.key(next), outcome);
            next += 1;
        }
    }
    match records.position(next) {
        None => Ok(rows),
        Some(_) => Err(uncovered(next)),
    }
}

fn rejection_rows(rejections: Vec<Rejection>) -> Rows {
    let mut rows = Rows::default();
    for mut rejection in rejections {
        let key = rejection.key.take();
        rows.push(rejection.record, key, Outcome::Rejected(rejection));
    }
    rows
}

fn left_alone_rows(records: Vec<LeftAlone>) -> Rows {
    let mut rows = Rows::default();
    for LeftAlone { record, key, reason, .. } in records {
        rows.push_explained(record, Some(key), "skipped", (None, None, Some(reason.into())));
    }
    rows
}

/// Writes rows as row groups.
struct RowsWriter<'file, 'buffer> {
    writer: BatchedWriter<&'buffer mut BufWriter<NotingFile<'file>>>,
    rows: u64,
}

impl<'file, 'buffer> RowsWriter<'file, 'buffer> {
    fn begin(buffer: &'buffer mut BufWriter<NotingFile<'file>>) -> PolarsResult<Self> {
        let writer =
            ParquetWriter::new(buffer).with_compression(ParquetCompression::Zstd(None)).batched(&Rows::schema())?;
        Ok(Self { writer, rows: 0 })
    }

    fn write(&mut self, rows: Rows) -> PolarsResult<()> {
        self.rows += rows.records.len() as u64;
        self.writer.write_batch(&rows.into_frame()?)
    }

    fn finish(self) -> PolarsResult<u64> {
        self.writer.finish()?;
        Ok(self.rows)
    }
}

/// Writes `rejected.csv` of one run: `write_back`, `record`, `key`, `stage`, `column`, `reason`; write-backs in the job's
/// order, their records by position. Cells that a spreadsheet would take for a formula are made harmless; nothing else
/// is altered.
pub(crate) async fn write_rejected(file: &Path, ledger: &Ledger, run: i64) -> Result<(), ReportError> {
    let failed = |error| ReportError::io(file, error);
    let write_backs = ledger.run(run).await?.write_backs;
    let aside = AsideFile::create(file).map_err(failed)?;
    let mut writer = csv::Writer::from_writer(aside.file());
    let header = ["write_back", "record", "key", "stage", "column", "reason"];
    writer.write_record(header).map_err(|error| failed(error.into()))?;
    for (position, write_back) in (0..).zip(&write_backs) {
        let id = WriteBackId { run, position };
        let mut after = None;
        loop {
            let rejections = ledger.rejections(id, after, PAGE_REJECTIONS_MAX).await?;
            let Some(last) = rejections.last() else { break };
            after = Some(last.record);
            let mut lines = rejections.iter().map(|rejection| cells(&write_back.name, rejection));
            lines.try_for_each(|line| writer.write_record(line)).map_err(|error| failed(error.into()))?;
        }
    }
    writer.flush().map_err(failed)?;
    drop(writer);
    aside.place().map_err(failed)
}

fn cells(write_back: &str, rejection: &Rejection) -> [String; 6] {
    [
        harmless(write_back),
        rejection.record.to_string(),
        harmless(rejection.key.as_deref().unwrap_or_default()),
        harmless(rejection.stage.name()),
        harmless(rejection.column.as_deref().unwrap_or_default()),
        harmless(&rejection.reason),
    ]
}

/// A cell that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@` (their full-width forms
/// included), a tab or a line break gets an apostrophe before it, also where the sign follows spaces or quotes, which
/// spreadsheets trim. A key such as `-5` reads `'-5` in the file for that reason: whether a program takes it for a number
/// or a formula cannot be told from here.
/// Source: <https://owasp.org/www-community/attacks/CSV_Injection>.
fn harmless(cell: &str) -> String {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let trimmed = cell.trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\''));
    if cell.starts_with(['\t', '\r', '\n']) || trimmed.starts_with(SIGNS) {
        return format!("'{cell}");
    }
    cell.to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may")]

    use std::fs;

    use chrono::DateTime;
    use polars::prelude::{ParquetReader, SerReader, df};
    use tempfile::TempDir;

    use super::*;
    use crate::domain::cycle::Cycle;
    use crate::domain::outcome::{SkipReason, Stage};
    use crate::domain::record::RECORD_POSITION;
    use crate::ledger::{BatchSpan, NewRun};
    use crate::package::PackageWriter;

    const FIRST: WriteBackId = WriteBackId { run: 1, position: 0 };

    fn key_columns() -> Vec<String> {
        vec!["region".to_owned(), "id".to_owned()]
    }

    fn rejection(record: u64, key: &str, stage: Stage) -> Rejection {
        let (key, column) = (Some(key.to_owned()), Some("SCORE".to_owned()));
        Rejection { record, key, stage, column, reason: format!("refused at {stage}") }
    }

    /// A run of seven records: one rejected by the schema, two of one key, four in a package of one partition.
    async fn run() -> (TempDir, Ledger, Package) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).await.unwrap();
        let cycle = Cycle { id: "c1".to_owned(), completed_at: DateTime::UNIX_EPOCH };
        let write_backs = vec!["health_score", "recommendation"];
        let new = NewRun {
            job: "weekly",
            cycle: &cycle,
            started_at: DateTime::UNIX_EPOCH,
            write_backs,
            job_digest: "",
            write_back: None,
            retry_of: None,
        };
        ledger.begin_run(&new).await.unwrap();
        let records = df!(
            "region" => ["US", "EU", "EU", "US", "a,b", "EU"],
            "id" => [1_i64, 2, 10, 1, 3, -1],
            RECORD_POSITION => [0_u64, 2, 3, 4, 5, 6],
        );
        let mut writer = PackageWriter::create(&folder.path().join("package"), &key_columns()).unwrap();
        writer.push(&records.unwrap()).unwrap();
        let package = writer.finish().unwrap();
        let early = [
            rejection(4, "US,1", Stage::Match),
            rejection(1, "=HYPERLINK()", Stage::Schema),
            rejection(0, "US,1", Stage::Match),
        ];
        ledger.record_rejections(FIRST, &early).await.unwrap();
        ledger.record_packaged(FIRST, 7, "").await.unwrap();
        (folder, ledger, package)
    }

    async fn commit(ledger: &Ledger, first: u32, outcomes: &[Outcome]) {
        let span = BatchSpan { partition: 0, first, records: u32::try_from(outcomes.len()).unwrap() };
        ledger.record_sent(FIRST, span, outcomes, 1).await.unwrap();
        ledger.record_committed(FIRST, span, 0.1).await.unwrap();
    }

    fn refused() -> Outcome {
        Outcome::Rejected(rejection(3, "EU,10", Stage::Destination))
    }

    #[tokio::test]
    async fn every_record_has_one_row_in_outcomes() {
        let (folder, ledger, package) = run().await;
        commit(&ledger, 0, &[Outcome::Inserted, Outcome::Updated]).await;
        commit(&ledger, 2, &[refused(), Outcome::Skipped(SkipReason::NoMatch)]).await;
        let file = folder.path().join("runs/1/outcomes.parquet");
        write_outcomes(&file, &ledger, FIRST, &package, &key_columns()).await.unwrap();
        let rows = ParquetReader::new(File::open(&file).unwrap()).finish().unwrap();
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

    #[tokio::test]
    async fn outcomes_that_do_not_add_up_make_no_file() {
        let (folder, ledger, package) = run().await;
        let file = folder.path().join("outcomes.parquet");
        let write = async || write_outcomes(&file, &ledger, FIRST, &package, &key_columns()).await.unwrap_err();
        commit(&ledger, 0, &[Outcome::Inserted, Outcome::Updated]).await;
        assert!(matches!(write().await, ReportError::Uncovered { partition: 0, record: 2 }));
        commit(&ledger, 3, &[Outcome::Updated]).await;
        assert!(matches!(write().await, ReportError::Uncovered { partition: 0, record: 2 }));
        commit(&ledger, 2, &[refused(), Outcome::Updated]).await;
        assert!(matches!(write().await, ReportError::Uncovered { partition: 0, record: 3 }));
        ledger.forget_sent(FIRST, BatchSpan { partition: 0, first: 3, records: 1 }).await.unwrap();
        assert!(!file.exists() && !state::aside(&file).exists());
    }

    #[tokio::test]
    async fn a_record_without_any_outcome_is_missed() {
        let (folder, ledger, package) = run().await;
        commit(&ledger, 0, &vec![Outcome::Unchanged; 4]).await;
        ledger.record_packaged(FIRST, 8, "").await.unwrap();
        let file = folder.path().join("outcomes.parquet");
        let error = write_outcomes(&file, &ledger, FIRST, &package, &key_columns()).await.unwrap_err();
        assert_eq!(error.to_string(), "8 records were read and 7 have an outcome");
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn rejected_records_are_listed_for_people() {
        let (folder, ledger, _package) = run().await;
        commit(&ledger, 0, &[Outcome::Updated, Outcome::Updated, refused(), Outcome::Updated]).await;
        let mut second = rejection(0, "+1", Stage::Mapping);
        (second.column, second.reason) = (None, "too long, \"by far\"".to_owned());
        ledger.record_rejections(WriteBackId { position: 1, ..FIRST }, &[second]).await.unwrap();
        let file = folder.path().join("rejected.csv");
        write_rejected(&file, &ledger, 1).await.unwrap();
        let expected = "write_back,record,key,stage,column,reason\n\
            health_score,0,\"US,1\",match,SCORE,refused at match\n\
            health_score,1,'=HYPERLINK(),schema,SCORE,refused at schema\n\
            health_score,3,\"EU,10\",destination,SCORE,refused at destination\n\
            health_score,4,\"US,1\",match,SCORE,refused at match\n\
            recommendation,0,'+1,mapping,,\"too long, \"\"by far\"\"\"\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert!(write_rejected(&file, &ledger, 2).await.is_err());
    }

    #[test]
    fn no_cell_is_a_formula_and_all_others_stay_as_they_are() {
        let formulas = [
            "=1", "+1", "-5", "@SUM", "\tx", "\rx", "\nx", " =1", "\"=1", "'=1", "\u{a0}=1", "\" '=1", "＝1", "=", "-",
        ];
        for cell in formulas {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        for cell in ["", "5", "A=1", "a-b", "x@y.z", " x", "'x", "\"x\"", "’=1", "(=1)", "日本"] {
            assert_eq!(harmless(cell), cell);
        }
    }
}
