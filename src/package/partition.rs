//! Partitions: choosing the keys they are cut at, writing all of them in one pass over the spool,
//! and loading one.

use std::fs::OpenOptions;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use polars::io::ipc::BatchedWriter;
use polars::prelude::{
    CompatLevel, DataFrame, IpcCompression, IpcReader, IpcWriter, PolarsResult, Schema, SerReader,
    SerWriter,
};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::Partition;
use super::bounds::Bounds;
use super::error::PackageError;
use super::key::{self, Key, Keys};
use super::manifest::{PartitionEntry, checksum_text};
use super::spool::FilledSpool;
use crate::{fault, state};

/// Bytes that all partitions together hold back before they write, while a package is cut.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Bytes one partition gathers at least before it writes: fewer would cost more in opening the file
/// than in writing.
const PENDING_BYTES_MIN: usize = 8 << 10;

/// Keys at which partitions begin, the first left out, so that each has about as much: ascending,
/// each once, each a key of the package that others stand before, so that no partition is empty.
pub(super) fn splitters(spool: &FilledSpool, bounds: &Bounds) -> Vec<Key> {
    let partitions = u128::from(spool.weight.div_ceil(bounds.partition_bytes).max(1));
    let all: u128 = spool
        .sample
        .iter()
        .map(|(_, weight)| u128::from(*weight))
        .sum();
    let mut splitters: Vec<Key> = Vec::new();
    let (mut sum, mut partition) = (0, 1);
    for (key, weight) in &spool.sample {
        sum += u128::from(*weight);
        if sum * partitions <= partition * all {
            continue;
        }
        // A record that weighs as much as several partitions begins one.
        partition = (sum * partitions - 1) / all + 1;
        splitters.push(key.clone());
    }
    splitters.dedup();
    splitters.retain(|splitter| {
        spool
            .sample
            .first()
            .is_some_and(|(first, _)| first < splitter)
    });
    splitters
}

/// Cuts the spooled records into partitions in `folder`, each synced.
pub(super) fn cut(
    spool: FilledSpool,
    splitters: &[Key],
    key_columns: &[String],
    folder: &Path,
) -> Result<Vec<PartitionEntry>, PackageError> {
    let Some(schema) = spool.schema.clone().filter(|_| spool.records > 0) else {
        return Ok(Vec::new());
    };
    let pending_bytes_max = (PENDING_BYTES_MAX / (splitters.len() + 1)).max(PENDING_BYTES_MIN);
    let mut files: Vec<PartitionFile> = (0..=splitters.len())
        .map(|number| PartitionFile::new(folder, number, pending_bytes_max))
        .collect();
    let writers: PolarsResult<Vec<PartitionWriter<'_>>> = files
        .iter_mut()
        .map(|file| PartitionWriter::begin(file, &schema))
        .collect();
    let mut writers = writers.map_err(|error| PackageError::frame("write", folder, error))?;
    spool.replay(|segment| {
        let written = split(&segment, splitters, key_columns)
            .and_then(|parts| write_parts(&mut writers, &parts));
        written.map_err(|error| PackageError::frame("write", folder, error))
    })?;
    let records: PolarsResult<Vec<u64>> =
        writers.into_iter().map(PartitionWriter::finish).collect();
    let records = records.map_err(|error| PackageError::frame("write", folder, error))?;
    files
        .into_iter()
        .zip(records)
        .map(|(file, records)| file.into_entry(records))
        .collect()
}

/// Writes each writer's part, two at a time: compressing is most of the work.
fn write_parts(writers: &mut [PartitionWriter<'_>], parts: &[DataFrame]) -> PolarsResult<()> {
    let write = |writers: &mut [PartitionWriter<'_>], parts: &[DataFrame]| {
        writers
            .iter_mut()
            .zip(parts)
            .try_for_each(|(writer, records)| writer.write(records))
    };
    let half = writers.len() / 2;
    let ((left, right), (left_parts, right_parts)) =
        (writers.split_at_mut(half), parts.split_at(half));
    std::thread::scope(|scope| {
        let written =
            std::thread::Builder::new().spawn_scoped(scope, || write(left, left_parts))?;
        write(right, right_parts)?;
        written
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Slices records, sorted by key, at the splitters: one slice more than there are splitters.
fn split(
    segment: &DataFrame,
    splitters: &[Key],
    key_columns: &[String],
) -> PolarsResult<Vec<DataFrame>> {
    let keys = Keys::of(segment, key_columns)?;
    let ends = splitters
        .iter()
        .map(|splitter| keys.before(segment.height(), splitter))
        .chain([segment.height()]);
    let mut first = 0;
    let slice = |end: usize| {
        let records = end.saturating_sub(first);
        let slice = segment.slice(i64::try_from(first).unwrap_or(i64::MAX), records);
        first = end;
        slice
    };
    Ok(ends.map(slice).collect())
}

/// Writes the records of one partition.
struct PartitionWriter<'file> {
    writer: BatchedWriter<&'file mut PartitionFile>,
    records: u64,
}

impl<'file> PartitionWriter<'file> {
    /// Begins an Arrow file that any engine reads: text in the layout every version knows, pages in
    /// LZ4, which costs less time than syncing the bytes it saves.
    fn begin(file: &'file mut PartitionFile, schema: &Schema) -> PolarsResult<Self> {
        let no_dictionaries = std::iter::repeat_with(Default::default)
            .take(schema.len())
            .collect();
        let writer = IpcWriter::new(file)
            .with_compression(Some(IpcCompression::LZ4))
            .with_compat_level(CompatLevel::oldest())
            .batched(schema, no_dictionaries)?;
        Ok(Self { writer, records: 0 })
    }

    fn write(&mut self, records: &DataFrame) -> PolarsResult<()> {
        if records.height() == 0 {
            return Ok(());
        }
        self.records += records.height() as u64;
        self.writer.write_batch(records)
    }

    /// Ends the file; returns the records in it.
    fn finish(mut self) -> PolarsResult<u64> {
        self.writer.finish()?;
        Ok(self.records)
    }
}

/// A partition's file while it is written. It is opened for each write and closed again, so that
/// the number of partitions is not bound by the number of files a process may hold open.
struct PartitionFile {
    name: String,
    path: PathBuf,
    pending: Vec<u8>,
    pending_bytes_max: usize,
    bytes: u64,
    checksum: Xxh3Default,
}

impl PartitionFile {
    fn new(folder: &Path, number: usize, pending_bytes_max: usize) -> Self {
        let name = format!("partition-{number:05}.arrow");
        let path = folder.join(&name);
        Self {
            name,
            path,
            pending: Vec::new(),
            pending_bytes_max,
            bytes: 0,
            checksum: Xxh3Default::new(),
        }
    }

    fn append_pending(&mut self) -> io::Result<std::fs::File> {
        let mut file = match self.bytes {
            0 => state::create_file(&self.path)?,
            _ => OpenOptions::new().append(true).open(&self.path)?,
        };
        file.write_all(&self.pending)?;
        self.checksum.update(&self.pending);
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(file)
    }

    fn into_entry(mut self, records: u64) -> Result<PartitionEntry, PackageError> {
        let synced = self.append_pending().and_then(|file| file.sync_all());
        synced.map_err(|error| PackageError::io("write", &self.path, error))?;
        fault::point("a partition written");
        Ok(PartitionEntry {
            file: self.name,
            records,
            bytes: self.bytes,
            xxh3: checksum_text(self.checksum.digest()),
        })
    }
}

impl Write for PartitionFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= self.pending_bytes_max {
            self.append_pending()?;
        }
        Ok(bytes.len())
    }

    /// Keeps what is pending: the writer flushes after every message, and the file is synced at the
    /// end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Loads a partition and sets apart the records whose key occurs more than once.
pub(super) fn load(
    folder: &Path,
    entry: &PartitionEntry,
    key_columns: &[String],
) -> Result<Partition, PackageError> {
    let path = folder.join(&entry.file);
    let bytes = checked_bytes(&path, entry)?;
    let parsed = IpcReader::new(Cursor::new(bytes)).finish();
    let records = parsed.map_err(|error| PackageError::frame("read", &path, error))?;
    if records.height() as u64 != entry.records {
        return Err(PackageError::damaged(
            &path,
            format!(
                "it holds {} records, not {}",
                records.height(),
                entry.records
            ),
        ));
    }
    sifted(records, key_columns).map_err(|error| PackageError::frame("sort", &path, error))
}

/// A partition's bytes, once they agree with the manifest: what is parsed is what was written.
fn checked_bytes(path: &Path, entry: &PartitionEntry) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    let read = state::open_file(path).and_then(|file| {
        bytes.try_reserve_exact(usize::try_from(entry.bytes).unwrap_or(usize::MAX))?;
        file.take(entry.bytes.saturating_add(1))
            .read_to_end(&mut bytes)
    });
    read.map_err(|error| PackageError::io("read", path, error))?;
    if bytes.len() as u64 != entry.bytes {
        return Err(PackageError::damaged(path, "its size is wrong"));
    }
    if checksum_text(xxh3_64(&bytes)) != entry.xxh3 {
        return Err(PackageError::damaged(path, "its checksum is wrong"));
    }
    Ok(bytes)
}

/// A source that hands records out in key order, each once, leaves nothing to be sorted or sifted.
fn sifted(records: DataFrame, key_columns: &[String]) -> PolarsResult<Partition> {
    if key::ascends(&records, key_columns, false)? {
        let duplicates = records.clear();
        return Ok(Partition {
            records,
            duplicates,
        });
    }
    let sorted = key::sorted_by_key(&records, key_columns)?;
    let unique = key::unique_keys(&sorted, key_columns)?;
    if unique.all() {
        let duplicates = sorted.clear();
        return Ok(Partition {
            records: sorted,
            duplicates,
        });
    }
    Ok(Partition {
        records: sorted.filter(&unique)?,
        duplicates: sorted.filter(&!&unique)?,
    })
}
