//! Where records wait, while they are pulled, until all keys are known well enough to cut
//! partitions: in segments, each a run of records sorted by key. The first ones stay in memory, and
//! those that would be too much for it go into one file aside.

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
    key_columns: Vec<String>,
    bounds: Bounds,
    /// Of every frame; set by the first.
    schema: Option<SchemaRef>,
    pending: Option<DataFrame>,
    segments: Segments,
    records: u64,
    /// Of all records: see [`Bounds::weight`].
    weight: u64,
    sample: Sample,
}

/// Segments in the order in which they were pulled.
#[derive(Default)]
struct Segments {
    kept: Vec<DataFrame>,
    kept_bytes: usize,
    /// Those after them, if there are any.
    written: Option<Written>,
}

/// Segments on disk.
struct Written {
    file: File,
    /// Their lengths in bytes, in the order of the file.
    lengths: Vec<usize>,
}

/// A spool that is full: every record in a segment.
pub(super) struct FilledSpool {
    path: PathBuf,
    segments: Segments,
    pub(super) records: u64,
    /// Of all records: see [`Bounds::weight`].
    pub(super) weight: u64,
    pub(super) schema: Option<SchemaRef>,
    /// Some of the keys, evenly spread, sorted, each with the weight of its record.
    pub(super) sample: Vec<(Key, u64)>,
}

impl Spool {
    /// `path` is where its file will be, should it need one.
    pub(super) fn new(path: &Path, key_columns: &[String], bounds: Bounds) -> Self {
        Self {
            path: path.to_owned(),
            key_columns: key_columns.to_vec(),
            bounds,
            schema: None,
            pending: None,
            segments: Segments::default(),
            records: 0,
            weight: 0,
            sample: Sample::new(bounds.sample_keys_max),
        }
    }

    pub(super) fn push(&mut self, records: &DataFrame) -> Result<(), PackageError> {
        let pending = self
            .joined(records)
            .map_err(|error| PackageError::frame("write", &self.path, error))?;
        let full = pending.height() >= self.bounds.segment_records
            || bytes_of(&pending) >= self.bounds.segment_bytes;
        self.pending = Some(pending);
        if full { self.end_segment() } else { Ok(()) }
    }

    fn joined(&mut self, records: &DataFrame) -> PolarsResult<DataFrame> {
        let schema = self.schema.get_or_insert_with(|| records.schema().clone());
        polars_ensure!(schema == records.schema(), SchemaMismatch: "frames of one package differ in their columns");
        match self.pending.take() {
            Some(pending) => pending.vstack(records),
            None => Ok(records.clone()),
        }
    }

    fn end_segment(&mut self) -> Result<(), PackageError> {
        let Some(pending) = self.pending.take().filter(|pending| pending.height() > 0) else {
            return Ok(());
        };
        let sorted = self
            .sorted(&pending)
            .map_err(|error| PackageError::frame("write", &self.path, error))?;
        let kept_bytes = self.segments.kept_bytes + bytes_of(&sorted);
        if kept_bytes <= self.bounds.kept_bytes && self.segments.written.is_none() {
            self.segments.kept_bytes = kept_bytes;
            self.segments.kept.push(sorted);
        } else {
            self.write_segment(sorted)?;
        }
        fault::point("records spooled");
        Ok(())
    }

    fn sorted(&mut self, records: &DataFrame) -> PolarsResult<DataFrame> {
        let mut sorted = key::sorted_by_key(records, &self.key_columns)?;
        sorted.rechunk_mut();
        let keys = Keys::of(&sorted, &self.key_columns)?;
        for (index, bytes) in record_bytes(&sorted).into_iter().enumerate() {
            let weight = self.bounds.weight(bytes);
            self.sample.offer(self.records, weight, || keys.at(index));
            self.records += 1;
            self.weight += weight;
        }
        Ok(sorted)
    }

    fn write_segment(&mut self, mut segment: DataFrame) -> Result<(), PackageError> {
        let written = match &mut self.segments.written {
            Some(written) => written,
            none => {
                let made = state::create_file(&self.path);
                let file = made.map_err(|error| PackageError::io("make", &self.path, error))?;
                none.insert(Written {
                    file,
                    lengths: Vec::new(),
                })
            }
        };
        let mut bytes = Vec::new();
        IpcWriter::new(&mut bytes)
            .finish(&mut segment)
            .map_err(|error| PackageError::frame("write", &self.path, error))?;
        let appended = written.file.write_all(&bytes);
        appended.map_err(|error| PackageError::io("write", &self.path, error))?;
        written.lengths.push(bytes.len());
        Ok(())
    }

    pub(super) fn fill(mut self) -> Result<FilledSpool, PackageError> {
        self.end_segment()?;
        Ok(FilledSpool {
            weight: self.weight,
            path: self.path,
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
    /// Hands every segment to `take`, one after the other in the order they were pulled; of those
    /// on disk the next one is read meanwhile.
    pub(super) fn replay(
        self,
        mut take: impl FnMut(DataFrame) -> Result<(), PackageError>,
    ) -> Result<(), PackageError> {
        let Segments { kept, written, .. } = self.segments;
        kept.into_iter().try_for_each(&mut take)?;
        let Some(mut written) = written else {
            return Ok(());
        };
        let path = &self.path;
        let rewound = written.file.seek(SeekFrom::Start(0));
        rewound.map_err(|error| PackageError::io("read", path, error))?;
        thread::scope(|scope| {
            let (sender, segments) = mpsc::sync_channel(0);
            let read_ahead = move || {
                let (lengths, mut bytes) = (std::mem::take(&mut written.lengths), Vec::new());
                let mut segments = lengths
                    .into_iter()
                    .map(|length| written.read_segment(length, &mut bytes, path));
                // Whoever takes no more of them says why.
                while segments
                    .next()
                    .is_some_and(|segment| sender.send(segment).is_ok())
                {}
            };
            let reader = thread::Builder::new().spawn_scoped(scope, read_ahead);
            reader.map_err(|error| PackageError::io("read", path, error))?;
            segments.into_iter().try_for_each(|segment| take(segment?))
        })
    }
}

impl Written {
    fn read_segment(
        &mut self,
        length: usize,
        bytes: &mut Vec<u8>,
        path: &Path,
    ) -> Result<DataFrame, PackageError> {
        bytes.resize(length, 0);
        let read = self.file.read_exact(bytes);
        read.map_err(|error| PackageError::io("read", path, error))?;
        let records = IpcReader::new(Cursor::new(&bytes)).finish();
        records.map_err(|error| PackageError::frame("read", path, error))
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
