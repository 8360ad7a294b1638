//! The files beside a run, and `rejected.csv` among them, for people. Reports are written aside and
//! put in place whole, readable by their owner only.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::domain::outcome::Rejection;
use crate::domain::printable::harmless;
use crate::ledger::{Ledger, LedgerError, WriteBackId};
use crate::package::{PackageError, Places};
use crate::run::place::package_folder;
use crate::state::{self, AsideFile};

/// Rejected records read from the ledger at once: some megabytes.
pub(super) const PAGE_REJECTIONS_MAX: u32 = 20_000;

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
    Frame {
        path: String,
        source: polars::error::PolarsError,
    },
    /// The ledger's batches do not cover a partition's records, each once.
    #[error("the outcome of record {record} of partition {partition} is missing or doubled")]
    Uncovered { partition: u32, record: usize },
    #[error("{read} records were read and {accounted} have an outcome")]
    Unbalanced { read: u64, accounted: u64 },
}

impl ReportError {
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io {
            path: file.display().to_string(),
            source,
        }
    }

    pub(super) fn frame(file: &Path, source: polars::error::PolarsError) -> Self {
        Self::Frame {
            path: file.display().to_string(),
            source,
        }
    }

    /// Whether the run can be taken up, so that the report is written again.
    pub(crate) fn leaves_packages_usable(&self) -> bool {
        match self {
            Self::Ledger(_) | Self::Io { .. } | Self::Frame { .. } => true,
            Self::Package(error) => error.leaves_package_usable(),
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

/// Tells spreadsheets that a file is written in UTF-8: without it they take it for what the machine
/// was once set to.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Writes `rejected.csv` of one run: `write_back`, `record`, `file`, `line`, `key`, `stage`,
/// `column`, `value`, `reason`; write-backs in the job's order, their records by position, counted
/// from 1. File and line are empty where a record was not read from a file. A record has a line for
/// each of its columns at fault. Cells that a spreadsheet would take for a formula are made
/// harmless; nothing else is altered.
pub(crate) async fn write_rejected(
    file: &Path,
    ledger: &Ledger,
    run: i64,
) -> Result<(), ReportError> {
    let failed = |error| ReportError::io(file, error);
    let write_backs = ledger.run(run).await?.write_backs;
    let aside = AsideFile::create(file).map_err(failed)?;
    aside.file().write_all(BYTE_ORDER_MARK).map_err(failed)?;
    let mut writer = csv::Writer::from_writer(aside.file());
    writer
        .write_record(HEADER)
        .map_err(|error| failed(error.into()))?;
    for (position, write_back) in (0..).zip(&write_backs) {
        let id = WriteBackId { run, position };
        let mut places = Places::open(&package_folder(state::parent(file), &write_back.name))?;
        let mut after = None;
        loop {
            let rejections = ledger.rejections(id, after, PAGE_REJECTIONS_MAX).await?;
            let Some(last) = rejections.last() else { break };
            after = Some(last.record);
            for rejection in &rejections {
                let place = match &mut places {
                    Some(places) => places.of(rejection.record)?,
                    None => None,
                };
                for line in lines_of(&write_back.name, place, rejection) {
                    let written = writer.write_record(line);
                    written.map_err(|error| failed(error.into()))?;
                }
            }
        }
    }
    writer.flush().map_err(failed)?;
    drop(writer);
    aside.place().map_err(failed)
}

const HEADER: [&str; 9] = [
    "write_back",
    "record",
    "file",
    "line",
    "key",
    "stage",
    "column",
    "value",
    "reason",
];

/// A line for each of the record's columns at fault.
fn lines_of(
    write_back: &str,
    place: Option<(Arc<str>, u64)>,
    rejection: &Rejection,
) -> Vec<[String; HEADER.len()]> {
    let (file, number) = place.map_or_else(Default::default, |(file, line)| {
        (harmless(&file), line.to_string())
    });
    let line = |column: Option<&str>, value: Option<&str>, reason: &str| {
        [
            harmless(write_back),
            rejection.record.saturating_add(1).to_string(),
            file.clone(),
            number.clone(),
            harmless(rejection.key.as_deref().unwrap_or_default()),
            harmless(rejection.stage.name()),
            harmless(column.unwrap_or_default()),
            harmless(value.unwrap_or_default()),
            harmless(reason),
        ]
    };
    let first = line(
        rejection.column.as_deref(),
        rejection.value.as_deref(),
        &rejection.reason,
    );
    let others = rejection.others.iter();
    let others = others.map(|flaw| line(Some(&flaw.column), flaw.value.as_deref(), &flaw.reason));
    [first].into_iter().chain(others).collect()
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may")]

    use std::fs;

    use chrono::DateTime;
    use polars::prelude::df;
    use tempfile::TempDir;

    use super::*;
    use crate::domain::cycle::Cycle;
    use crate::domain::outcome::{Outcome, Stage};
    use crate::domain::record::RECORD_POSITION;
    use crate::ledger::{BatchSpan, Left, MappedFor, NewRun};
    use crate::package::{Package, PackageWriter};

    pub(in crate::run) const FIRST: WriteBackId = WriteBackId {
        run: 1,
        position: 0,
    };

    pub(in crate::run) fn key_columns() -> Vec<String> {
        vec!["region".to_owned(), "id".to_owned()]
    }

    fn rejection(record: u64, key: &str, stage: Stage) -> Rejection {
        let (key, column) = (Some(key.to_owned()), Some("SCORE".to_owned()));
        Rejection {
            record,
            key,
            stage,
            column,
            value: None,
            reason: format!("refused at {stage}"),
            others: Vec::new(),
        }
    }

    /// A run of seven records: one rejected by the schema, two of one key, four in a package of one
    /// partition.
    pub(in crate::run) async fn run() -> (TempDir, Ledger, Package) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).await.unwrap();
        let cycle = Cycle {
            id: "c1".to_owned(),
            completed_at: DateTime::UNIX_EPOCH,
        };
        let write_backs = vec!["health_score", "recommendation"];
        let new = NewRun {
            job: "weekly",
            cycle: &cycle,
            started_at: DateTime::UNIX_EPOCH,
            write_backs,
            versions: Vec::new(),
            of_records: false,
            job_digest: "",
            write_back: None,
            retry_of: None,
            undo_of: None,
            plan: None,
        };
        ledger.begin_run(&new).await.unwrap();
        let records = df!(
            "region" => ["US", "EU", "EU", "US", "a,b", "EU"],
            "id" => [1_i64, 2, 10, 1, 3, -1],
            RECORD_POSITION => [0_u64, 2, 3, 4, 5, 6],
        );
        let mut writer =
            PackageWriter::create(&folder.path().join("package"), &key_columns()).unwrap();
        writer.push(&records.unwrap()).unwrap();
        let package = writer.finish().unwrap();
        let early = [
            rejection(4, "US,1", Stage::Match),
            rejection(1, "=HYPERLINK()", Stage::Schema),
            rejection(0, "US,1", Stage::Match),
        ];
        ledger.record_rejections(FIRST, &early).await.unwrap();
        ledger
            .record_packaged(FIRST, 7, &MappedFor::default())
            .await
            .unwrap();
        (folder, ledger, package)
    }

    pub(in crate::run) async fn commit(ledger: &Ledger, first: u32, outcomes: &[Outcome]) {
        let span = BatchSpan {
            partition: 0,
            first,
            records: u32::try_from(outcomes.len()).unwrap(),
        };
        ledger
            .record_sent(FIRST, span, outcomes, 1, &Left::default())
            .await
            .unwrap();
        ledger
            .record_committed(FIRST, span, 0.1, true)
            .await
            .unwrap();
    }

    pub(in crate::run) fn refused() -> Outcome {
        Outcome::Rejected(Box::new(rejection(3, "EU,10", Stage::Destination)))
    }

    #[tokio::test]
    async fn rejected_records_are_listed_for_people() {
        let (folder, ledger, _package) = run().await;
        commit(
            &ledger,
            0,
            &[
                Outcome::Updated,
                Outcome::Updated,
                refused(),
                Outcome::Updated,
            ],
        )
        .await;
        let mut second = rejection(0, "+1", Stage::Mapping);
        (second.column, second.reason) = (None, "too long, \"by far\"".to_owned());
        ledger
            .record_rejections(
                WriteBackId {
                    position: 1,
                    ..FIRST
                },
                &[second],
            )
            .await
            .unwrap();
        let file = folder.path().join("rejected.csv");
        write_rejected(&file, &ledger, 1).await.unwrap();
        let expected = "\u{feff}write_back,record,file,line,key,stage,column,value,reason\n\
            health_score,1,,,\"US,1\",match,SCORE,,refused at match\n\
            health_score,2,,,'=HYPERLINK(),schema,SCORE,,refused at schema\n\
            health_score,4,,,\"EU,10\",destination,SCORE,,refused at destination\n\
            health_score,5,,,\"US,1\",match,SCORE,,refused at match\n\
            recommendation,1,,,'+1,mapping,,,\"too long, \"\"by far\"\"\"\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert!(write_rejected(&file, &ledger, 2).await.is_err());
    }
}
