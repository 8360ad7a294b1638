//! The records one write-back of one run pulled, on disk: conformed, mapped, checksummed,
//! partitioned by ranges of the match key. Written once, aside, synced and renamed; read as often
//! as a run is resumed.
//!
//! Ranges instead of hashes: pushed one after the other they visit the destination in key order,
//! and two writers never meet on a page except at a batch's edge.

mod beside;
mod bounds;
mod error;
mod key;
mod manifest;
mod partition;
mod places;
mod spool;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use polars::prelude::DataFrame;
use xxhash_rust::xxh3::xxh3_128;

pub(crate) use self::beside::Beside;
use self::bounds::{BOUNDS, Bounds};
pub(crate) use self::error::PackageError;
use self::manifest::{Manifest, PartitionEntry};
pub(crate) use self::places::Places;
use self::places::PlacesWriter;
use self::spool::Spool;
use crate::domain::places::Stretch;
use crate::{fault, state};

/// A package being written. Dropped before it is finished, it leaves nothing.
pub(crate) struct PackageWriter {
    folder: PathBuf,
    aside: AsideFolder,
    key_columns: Vec<String>,
    bounds: Bounds,
    spool: Spool,
    places: PlacesWriter,
}

impl PackageWriter {
    /// Begins a package that will stand in `folder`, in place of one that stands there.
    /// `key_columns` are the frame's columns that identify a record.
    pub(crate) fn create(folder: &Path, key_columns: &[String]) -> Result<Self, PackageError> {
        Self::bounded(folder, key_columns, BOUNDS)
    }

    fn bounded(
        folder: &Path,
        key_columns: &[String],
        bounds: Bounds,
    ) -> Result<Self, PackageError> {
        let aside = AsideFolder::create(folder)?;
        let spool = Spool::new(&aside.path.join("spool"), key_columns, bounds);
        Ok(Self {
            folder: folder.to_owned(),
            places: PlacesWriter::within(&aside.path),
            aside,
            key_columns: key_columns.to_vec(),
            bounds,
            spool,
        })
    }

    /// Adds records; every frame has the same columns.
    pub(crate) fn push(&mut self, records: &DataFrame) -> Result<(), PackageError> {
        self.spool.push(records)
    }

    /// Keeps where records stood in their files, in the order in which they were pulled.
    pub(crate) fn keep_places(&mut self, places: &[Stretch]) -> Result<(), PackageError> {
        self.places.push(places)
    }

    /// As [`PackageWriter::keep_places`], those that another package of the same records keeps.
    pub(crate) fn keep_places_of(&mut self, package: &Package) -> Result<(), PackageError> {
        self.places.copy(&package.folder)
    }

    /// Cuts the records into partitions, syncs them and puts them in place.
    pub(crate) fn finish(self) -> Result<Package, PackageError> {
        let Self {
            folder,
            aside,
            key_columns,
            bounds,
            spool,
            places,
        } = self;
        let places = places.finish()?;
        let spool = spool.fill()?;
        let records = spool.records;
        let splitters = partition::splitters(&spool, &bounds);
        let partitions = partition::cut(spool, &splitters, &key_columns, &aside.path)?;
        let manifest = Manifest {
            key_columns,
            records,
            partitions,
            places,
        };
        manifest.write(&aside.path)?;
        fault::point("a package's manifest written");
        aside.place(&folder)?;
        fault::point("a package put in place");
        Ok(Package { folder, manifest })
    }
}

/// The folder a package is written in before it is put in place; removed if it never is.
struct AsideFolder {
    path: PathBuf,
}

impl AsideFolder {
    fn create(folder: &Path) -> Result<Self, PackageError> {
        let path = state::aside(folder);
        let made = state::remove_folder_if_there(&path)
            .and_then(|()| state::refuse_link(folder))
            .and_then(|()| retire(folder, &path))
            .and_then(|()| state::make_folder(&path));
        made.map_err(|error| PackageError::io("make", &path, error))?;
        Ok(Self { path })
    }

    /// Puts the folder in place. Everything in it but the spool, which goes first, is synced
    /// already.
    fn place(self, folder: &Path) -> Result<(), PackageError> {
        let placed = state::remove_file_if_there(&self.path.join("spool"))
            .and_then(|()| state::sync_folder(&self.path))
            .and_then(|()| fs::rename(&self.path, folder))
            .and_then(|()| state::sync_folder(state::parent(folder)));
        placed.map_err(|error| PackageError::io("put in place", folder, error))
    }
}

impl Drop for AsideFolder {
    fn drop(&mut self) {
        if let Err(error) = state::remove_folder_if_there(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove an unfinished package");
        }
    }
}

/// Takes away the package that stands in `folder`, if any: by renaming it first, so that it never
/// stands half.
fn retire(folder: &Path, aside: &Path) -> io::Result<()> {
    match fs::rename(folder, aside) {
        Ok(()) => {
            fault::point("an earlier package moved away");
            state::remove_folder_if_there(aside)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the package that stands in `folder` and what an interrupted pull left beside it, if
/// there is either.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    state::remove_folder_if_there(&state::aside(folder))
        .and_then(|()| state::remove_folder_if_there(folder))
}

/// A package in place.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    folder: PathBuf,
    manifest: Manifest,
}

/// One partition, ready to be cut into batches.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Sorted by the match key (text by its bytes), every key once. The same at every load.
    pub(crate) records: DataFrame,
    /// Records whose key occurs more than once, sorted by key; none of them stands in `records`.
    pub(crate) duplicates: DataFrame,
}

impl Package {
    /// Opens the package in `folder`: reads its manifest and finds every file at its size. The
    /// files themselves are checked against their checksums as they are loaded. Errors: `Damaged`,
    /// `Newer`; `Io` with `NotFound` if there is no package.
    pub(crate) fn open(folder: &Path) -> Result<Self, PackageError> {
        state::refuse_link(folder).map_err(|error| PackageError::io("open", folder, error))?;
        let manifest = Manifest::read(folder)?;
        manifest
            .partitions
            .iter()
            .try_for_each(|entry| check_size(folder, entry))?;
        if let Some(entry) = &manifest.places {
            places::check(folder, entry)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            manifest,
        })
    }

    /// Tells its records from others.
    pub(crate) fn fingerprint(&self) -> String {
        let checksums: Vec<&str> = self
            .manifest
            .partitions
            .iter()
            .map(|entry| entry.xxh3.as_str())
            .collect();
        format!("{:032x}", xxh3_128(checksums.join(" ").as_bytes()))
    }

    /// Records in all partitions.
    pub(crate) fn record_count(&self) -> u64 {
        self.manifest.records
    }

    /// Records of each partition, those whose key occurs several times among them.
    pub(crate) fn partition_records(&self) -> Vec<u64> {
        self.manifest
            .partitions
            .iter()
            .map(|entry| entry.records)
            .collect()
    }

    pub(crate) fn partition_count(&self) -> usize {
        self.manifest.partitions.len()
    }

    /// Loads one partition: reads its whole file, checks it, and sorts the records.
    /// Errors: `Damaged`, if it does not agree with its checksum or there is no such partition.
    pub(crate) fn load(&self, partition: usize) -> Result<Partition, PackageError> {
        let Some(entry) = self.manifest.partitions.get(partition) else {
            let manifest = self.folder.join(manifest::FILE_NAME);
            return Err(PackageError::damaged(
                &manifest,
                format!("it names no partition {partition}"),
            ));
        };
        partition::load(&self.folder, entry, &self.manifest.key_columns)
    }

    /// Its records beside others, from the first on.
    pub(crate) fn beside(&self) -> Beside<'_> {
        Beside::new(self)
    }
}

fn check_size(folder: &Path, entry: &PartitionEntry) -> Result<(), PackageError> {
    let path = folder.join(&entry.file);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == entry.bytes => Ok(()),
        Ok(_) => Err(PackageError::damaged(&path, "its size is wrong")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(PackageError::damaged(&path, "it is missing"))
        }
        Err(error) => Err(PackageError::io("open", &path, error)),
    }
}

#[cfg(test)]
mod tests;
