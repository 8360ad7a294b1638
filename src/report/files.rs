//! The files beside a run: `outcomes.parquet` with one row per record, `rejected.csv` for people.

use std::path::Path;

use crate::ledger::{Ledger, LedgerError, WriteBackId};
use crate::package::{Package, PackageError};

/// Why a report file could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("could not write `{path}`")]
    Io { path: String, source: std::io::Error },
    #[error("could not write `{path}`")]
    Frame { path: String, source: polars::error::PolarsError },
}

/// Writes `outcomes.parquet` of one write-back: `record` (position), `key`, `outcome`, `stage`, `column`, `reason`.
/// `key_columns` are the package's key columns.
pub(crate) async fn write_outcomes(
    _file: &Path,
    _ledger: &Ledger,
    _id: WriteBackId,
    _package: &Package,
    _key_columns: &[String],
) -> Result<(), ReportError> {
    unimplemented!()
}

/// Writes `rejected.csv` of one run: `write_back`, `record`, `key`, `stage`, `column`, `reason`. Cells that a
/// spreadsheet would take for a formula are made harmless; nothing else is altered.
pub(crate) async fn write_rejected(_file: &Path, _ledger: &Ledger, _run: i64) -> Result<(), ReportError> {
    unimplemented!()
}
