//! The records one write-back of one run pulled, on disk: conformed, mapped, checksummed, partitioned by ranges of the
//! match key. Written once, aside, synced and renamed; read as often as a run is resumed.
//!
//! Ranges instead of hashes: pushed one after the other they visit the destination in key order, and two writers never
//! meet on a page except at a batch's edge.

use std::path::Path;

use polars::prelude::DataFrame;

/// Why a package could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("could not {doing} `{path}`")]
    Io { doing: &'static str, path: String, source: std::io::Error },
    #[error("could not {doing} `{path}`")]
    Frame { doing: &'static str, path: String, source: polars::error::PolarsError },
    #[error("`{path}` is damaged: {what}")]
    Damaged { path: String, what: String },
}

/// A package being written.
pub(crate) struct PackageWriter {}

impl PackageWriter {
    /// Begins a package that will stand in `folder`. `key_columns` are the frame's columns that identify a record.
    pub(crate) fn create(_folder: &Path, _key_columns: &[String]) -> Result<Self, PackageError> {
        unimplemented!()
    }

    /// Adds records; every frame has the same columns.
    pub(crate) fn push(&mut self, _records: &DataFrame) -> Result<(), PackageError> {
        unimplemented!()
    }

    /// Cuts the records into partitions, syncs them and puts them in place.
    pub(crate) fn finish(self) -> Result<Package, PackageError> {
        unimplemented!()
    }
}

/// A package in place.
#[derive(Debug)]
pub(crate) struct Package {}

/// One partition, ready to be cut into batches.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Sorted by the match key (text by its bytes), every key once. The same at every load.
    pub(crate) records: DataFrame,
    /// Records whose key occurs more than once, sorted by key; none of them stands in `records`.
    pub(crate) duplicates: DataFrame,
}

impl Package {
    /// Opens the package in `folder` and checks it against its checksums.
    pub(crate) fn open(_folder: &Path) -> Result<Self, PackageError> {
        unimplemented!()
    }

    /// Records in all partitions.
    pub(crate) fn record_count(&self) -> u64 {
        unimplemented!()
    }

    pub(crate) fn partition_count(&self) -> usize {
        unimplemented!()
    }

    /// Loads one partition.
    pub(crate) fn load(&self, _partition: usize) -> Result<Partition, PackageError> {
        unimplemented!()
    }
}
