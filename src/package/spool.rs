//! Where records wait, while they are pulled, until all keys are known well enough to cut
//! partitions: one file aside of segments, each a run of records sorted by key.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use polars::prelude::{
    DataFrame, IpcReader, IpcWriter, PolarsResult, SchemaRef, SerReader, SerWriter, polars_ensure,
};

use super::bounds::Bounds;
use super::error::PackageError;
use super::key::{self, Key, Keys};
use crate::domain::record::record_bytes;
use crate::{fault, state};

/// Records on their way to partitions. Neither synced nor checksummed nor compressed: it lives for
/// one pull.
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    key_columns: Vec<String>,
    bounds: Bounds,
    /// Of every frame; set by the first.
    schema: Option<SchemaRef>,
    pending: Option<DataFrame>,
    /// Lengths in bytes of the segments, in the order of the file.
    segments: Vec<usize>,
    records: u64,
    /// Of all records: see [`Bounds::weight`].
    weight: u64,
    sample: Sample,
}

/// A spool that is full: every record in a segment.
pub(super) struct FilledSpool {
    path: PathBuf,
    file: File,
    segments: Vec<usize>,
    pub(super) records: u64,
    /// Of all records: see [`Bounds::weight`].
    pub(super) weight: u64,
    pub(super) schema: Option<SchemaRef>,
    /// Some of the keys, evenly spread, sorted, each with the weight of its record.
    pub(super) sample: Vec<(Key, u64)>,
}

impl Spool {
    pub(super) fn create(
        path: &Path,
        key_columns: &[String],
        bounds: Bounds,
    ) -> Result<Self, PackageError> {
        let file =
            state::create_file(path).map_err(|error| PackageError::io("make", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            key_columns: key_columns.to_vec(),
            bounds,
            schema: None,
            pending: None,
            segments: Vec::new(),
            records: 0,
            weight: 0,
            sample: Sample::new(bounds.sample_keys_max),
        })
    }

    pub(super) fn push(&mut self, records: &DataFrame) -> Result<(), PackageError> {
        let pending = self
            .joined(records)
            .map_err(|error| PackageError::frame("write", &self.path, error))?;
        let full = pending.height() >= self.bounds.segment_records
            || bytes_of(&pending) >= self.bounds.segment_bytes;
        self.pending = Some(pending);
        if full { self.write_segment() } else { Ok(()) }
    }

    fn joined(&mut self, records: &DataFrame) -> PolarsResult<DataFrame> {
        let schema = self.schema.get_or_insert_with(|| records.schema().clone());
        polars_ensure!(schema == records.schema(), SchemaMismatch: "frames of one package differ in their columns");
        match self.pending.take() {
            Some(pending) => pending.vstack(records),
            None => Ok(records.clone()),
        }
    }

    fn write_segment(&mut self) -> Result<(), PackageError> {
        let Some(pending) = self.pending.take().filter(|pending| pending.height() > 0) else {
            return Ok(());
        };
        let bytes = self
            .encode(&pending)
            .map_err(|error| PackageError::frame("write", &self.path, error))?;
        self.file
            .write_all(&bytes)
            .map_err(|error| PackageError::io("write", &self.path, error))?;
        self.segments.push(bytes.len());
        fault::point("records spooled");
        Ok(())
    }

    fn encode(&mut self, records: &DataFrame) -> PolarsResult<Vec<u8>> {
        let mut sorted = key::sorted_by_key(records, &self.key_columns)?;
        let keys = Keys::of(&sorted, &self.key_columns)?;
        for (index, bytes) in record_bytes(&sorted).into_iter().enumerate() {
            let weight = self.bounds.weight(bytes);
            self.sample.offer(self.records, weight, || keys.at(index));
            self.records += 1;
            self.weight += weight;
        }
        let mut bytes = Vec::new();
        sorted.rechunk_mut();
        IpcWriter::new(&mut bytes).finish(&mut sorted)?;
        Ok(bytes)
    }

    pub(super) fn fill(mut self) -> Result<FilledSpool, PackageError> {
        self.write_segment()?;
        Ok(FilledSpool {
            weight: self.weight,
            path: self.path,
            file: self.file,
            segments: self.segments,
            records: self.records,
            schema: self.schema,
            sample: self.sample.into_sorted(),
        })
    }
}

/// Bytes of a frame in memory. What polars estimates leaves out the views of texts, which are more
/// than short texts are.
fn bytes_of(records: &DataFrame) -> usize {
    const VIEW_BYTES: usize = 16;
    let texts = records
        .columns()
        .iter()
        .filter(|column| column.dtype().is_string())
        .count();
    records.estimated_size() + texts * records.height() * VIEW_BYTES
}

impl FilledSpool {
    /// Hands every segment to `take`, one after the other in the order they were pulled; the next
    /// one is read meanwhile.
    pub(super) fn replay(
        mut self,
        mut take: impl FnMut(DataFrame) -> Result<(), PackageError>,
    ) -> Result<(), PackageError> {
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(|error| PackageError::io("read", &self.path, error))?;
        let path = self.path.clone();
        thread::scope(|scope| {
            let (sender, segments) = mpsc::sync_channel(0);
            let read_ahead = move || {
                let (lengths, mut bytes) = (std::mem::take(&mut self.segments), Vec::new());
                let mut segments = lengths
                    .into_iter()
                    .map(|length| self.read_segment(length, &mut bytes));
                // Whoever takes no more of them says why.
                while segments
                    .next()
                    .is_some_and(|segment| sender.send(segment).is_ok())
                {}
            };
            let reader = thread::Builder::new().spawn_scoped(scope, read_ahead);
            reader.map_err(|error| PackageError::io("read", &path, error))?;
            segments.into_iter().try_for_each(|segment| take(segment?))
        })
    }

    fn read_segment(
        &mut self,
        length: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<DataFrame, PackageError> {
        bytes.resize(length, 0);
        self.file
            .read_exact(bytes)
            .map_err(|error| PackageError::io("read", &self.path, error))?;
        let records = IpcReader::new(Cursor::new(&bytes)).finish();
        records.map_err(|error| PackageError::frame("read", &self.path, error))
    }
}

/// An even sample of keys. Which records it takes follows from their number alone, by a hash, so
/// that neither the source's order nor a period in it (every second record of one region) makes it
/// lopsided.
struct Sample {
    keys_max: usize,
    /// Records whose hash begins with this many zero bits are taken: one in two to this power.
    zeros: u32,
    taken: Vec<(u32, Key, u64)>,
}

impl Sample {
    fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            zeros: 0,
            taken: Vec::new(),
        }
    }

    fn offer(&mut self, number: u64, weight: u64, key: impl FnOnce() -> Key) {
        let zeros = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()).leading_zeros();
        if zeros < self.zeros {
            return;
        }
        self.taken.push((zeros, key(), weight));
        while self.taken.len() > self.keys_max && self.zeros < u64::BITS {
            self.zeros += 1;
            self.taken.retain(|(zeros, ..)| *zeros >= self.zeros);
        }
    }

    fn into_sorted(self) -> Vec<(Key, u64)> {
        let mut keys: Vec<(Key, u64)> = self
            .taken
            .into_iter()
            .map(|(_, key, weight)| (key, weight))
            .collect();
        keys.sort_unstable();
        keys
    }
}
