//! The before-images of a run, in files beside it: what records were written and what their rows
//! held before. A segment of such a file is a frame in Arrow's form with the written records of one
//! batch; the ledger says where it stands.
//!
//! Columns of a segment: `record`, the position in the batch; `created`, whether the record's row
//! is new; for each field `sent NAME`, the value as it was sent, and for each that is no part of
//! the key `before NAME`, the database's own text (NULL for a created row). Where the job keeps
//! some rows' values, `written NAME` says for which records it does not. What the fields are stands
//! in the frame's metadata: see [`ImageField`].

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::{
    BooleanChunked, ChunkFull, ChunkTake, Column, DataFrame, DataType, IdxCa, IdxSize, IntoColumn,
    IpcCompression, IpcReader, IpcWriter, PolarsResult, SerReader, SerWriter, StringChunked,
    polars_err,
};
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::before::unmarked;
use crate::domain::conversion::texts_of;
use crate::domain::key_span::KeySpan;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::record::KeyTexts;
use crate::domain::value::Kind;
use crate::ledger::ImageSegment;
use crate::run::write::effect::Effect;
use crate::{fault, library, state};

/// Why before-images could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("could not keep before-images in `{path}`")]
    Io { path: String, source: io::Error },
    #[error("could not keep before-images in `{path}`")]
    Frame {
        path: String,
        source: polars::error::PolarsError,
    },
    #[error("could not read before-images from `{path}`")]
    Unreadable { path: String, source: io::Error },
    #[error("the before-images in `{path}` are damaged: {what}")]
    Damaged { path: String, what: String },
}

impl ImageError {
    pub(crate) fn frame(path: &Path, source: polars::error::PolarsError) -> Self {
        Self::Frame {
            path: path.display().to_string(),
            source,
        }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            source,
        }
    }

    /// Whether they were removed.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } if self.is_gone() => {
                Some("they were removed after the `retention` of the job, or by hand".to_owned())
            }
            Self::Io { source, .. } | Self::Unreadable { source, .. } => {
                state::hint(source).map(str::to_owned)
            }
            Self::Damaged { .. } => {
                Some("restore the file from a backup of the state folder".to_owned())
            }
            Self::Frame { .. } => None,
        }
    }
}

/// Position of a record in its batch.
pub(crate) const RECORD: &str = "record";
/// Whether the run made the record's row.
pub(crate) const CREATED: &str = "created";
/// Whether the batch is in doubt that the record was sent in. Stands in the records of an undo
/// alone.
pub(crate) const IN_DOUBT: &str = "in doubt";
/// Whether the run deleted it. Stands in the before-images of an undo alone.
const DELETED: &str = "deleted";

pub(crate) fn sent_column(field: &str) -> String {
    format!("sent {field}")
}

pub(crate) fn before_column(field: &str) -> String {
    format!("before {field}")
}

pub(crate) fn written_column(field: &str) -> String {
    format!("written {field}")
}

/// Where the before-images of one write-back of a run stand, in its folder beside the run.
pub(crate) fn folder_in(write_back_folder: &Path) -> PathBuf {
    write_back_folder.join("before")
}

/// Whether a file of before-images is there.
pub(crate) fn is_there(path: &Path) -> Result<bool, ImageError> {
    path.try_exists().map_err(|source| ImageError::Unreadable {
        path: path.display().to_string(),
        source,
    })
}

/// Reads a segment of the before-images in `folder`, once it agrees with its checksum.
/// Shape: as the module says.
pub(crate) fn read(folder: &Path, segment: &ImageSegment) -> Result<DataFrame, ImageError> {
    Segment::read(folder, segment)?.frame()
}

/// Under which the metadata of a segment's frame has its fields, as JSON.
const FIELDS: &str = "writeback_fields";

/// A field of a segment, as the layout had it when its records were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageField {
    /// The object's column.
    pub(crate) name: String,
    /// Of the values that were sent.
    pub(crate) kind: Kind,
    /// As [`LayoutField::own_text`].
    pub(crate) own_text: bool,
    /// Position in the match key; absent in fields that are no part of it.
    pub(crate) key: Option<usize>,
}

/// A segment whose bytes agree with their checksum.
pub(crate) struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    /// In the layout's order.
    pub(crate) fields: Vec<ImageField>,
}

impl Segment {
    /// Reads a segment of the before-images in `folder`.
    /// Errors: `Unreadable`, with `NotFound` if the file was removed; `Damaged`.
    pub(crate) fn read(folder: &Path, segment: &ImageSegment) -> Result<Self, ImageError> {
        let path = folder.join(&segment.file);
        let unreadable = |source| ImageError::Unreadable {
            path: path.display().to_string(),
            source,
        };
        let mut bytes = Vec::new();
        let mut file = state::open_file(&path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(segment.offset))
            .map_err(unreadable)?;
        file.take(segment.bytes)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if xxh3_64(&bytes) != segment.xxh3 {
            return Err(damaged(&path, "a checksum is wrong"));
        }
        Self::parsed(path, bytes)
    }

    /// A segment of a frame that is in memory; `path` says where its like stand.
    pub(crate) fn made(path: &Path, frame: DataFrame, layout: &Layout) -> Result<Self, ImageError> {
        let fields = image_fields(layout);
        let bytes =
            segment_bytes(frame, &fields).map_err(|error| ImageError::frame(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            fields,
        })
    }

    /// A segment from its bytes; `path` says where they stand.
    /// Errors: `Damaged`.
    pub(crate) fn parsed(path: PathBuf, bytes: Vec<u8>) -> Result<Self, ImageError> {
        let metadata = library::guarded(|| IpcReader::new(Cursor::new(&bytes)).custom_metadata())
            .map_err(|gave_up| damaged(&path, gave_up.to_string()))?
            .map_err(|error| damaged(&path, error.to_string()))?;
        let fields = metadata.as_ref().and_then(|metadata| metadata.get(FIELDS));
        let fields = fields.ok_or_else(|| damaged(&path, "it does not say what its fields are"))?;
        let fields =
            serde_json::from_str(fields).map_err(|error| damaged(&path, error.to_string()))?;
        Ok(Self {
            path,
            bytes,
            fields,
        })
    }

    /// The fields of the match key, in the key's order.
    pub(crate) fn key(&self) -> Vec<&ImageField> {
        key_of(&self.fields)
    }

    /// All of it. Shape: as the module says.
    pub(crate) fn frame(&self) -> Result<DataFrame, ImageError> {
        self.parse(None)
    }

    /// The match keys that were sent. Shape: `(records, key)`, columns in the key's order, under
    /// the fields' names.
    pub(crate) fn sent_keys(&self) -> Result<DataFrame, ImageError> {
        let key = self.key();
        let columns = key.iter().map(|field| sent_column(&field.name)).collect();
        let frame = self.parse(Some(columns))?;
        let column = |field: &&ImageField| self.column(&frame, "sent", field);
        let columns = key.iter().map(column).collect::<Result<_, _>>()?;
        DataFrame::new(frame.height(), columns)
            .map_err(|error| damaged(&self.path, error.to_string()))
    }

    /// One column of its frame, `sent NAME` or another, under the field's name.
    pub(crate) fn column(
        &self,
        frame: &DataFrame,
        which: &str,
        field: &ImageField,
    ) -> Result<Column, ImageError> {
        let column = frame.column(&format!("{which} {}", field.name));
        let column = column.map_err(|error| damaged(&self.path, error.to_string()))?;
        let expected = match which {
            "sent" if !field.own_text => field.kind.representation(),
            "written" | "agreed" | "kept" => DataType::Boolean,
            _ => DataType::String,
        };
        match *column.dtype() == expected {
            true => Ok(column.clone().with_name(field.name.as_str().into())),
            false => Err(damaged(
                &self.path,
                format!("`{which} {}` is {}", field.name, column.dtype()),
            )),
        }
    }

    /// For each of its records, in the frame's order: whether the field was written.
    pub(crate) fn written(
        &self,
        frame: &DataFrame,
        field: &ImageField,
    ) -> Result<BooleanChunked, ImageError> {
        let created = self.created(frame)?;
        if frame.column(&written_column(&field.name)).is_err() {
            return Ok(BooleanChunked::full("written".into(), true, frame.height()));
        }
        let written = self.column(frame, "written", field)?;
        let written = written
            .bool()
            .map_err(|error| damaged(&self.path, error.to_string()))?;
        // A row that is made takes every value that is sent.
        Ok(written | &created)
    }

    /// For each of its records, in the frame's order: whether its row is new.
    pub(crate) fn created(&self, frame: &DataFrame) -> Result<BooleanChunked, ImageError> {
        let created = frame.column(CREATED).and_then(|created| created.bool());
        created
            .cloned()
            .map_err(|error| damaged(&self.path, error.to_string()))
    }

    /// For each of its records, in the frame's order: whether its row was deleted.
    pub(crate) fn deleted(&self, frame: &DataFrame) -> Result<BooleanChunked, ImageError> {
        match frame.column(DELETED) {
            Ok(deleted) => deleted
                .bool()
                .cloned()
                .map_err(|error| damaged(&self.path, error.to_string())),
            Err(_) => Ok(BooleanChunked::full(
                "deleted".into(),
                false,
                frame.height(),
            )),
        }
    }

    /// What was sent to a field, as people read it.
    pub(crate) fn sent_texts(
        &self,
        frame: &DataFrame,
        field: &ImageField,
    ) -> Result<StringChunked, ImageError> {
        let sent = self.column(frame, "sent", field)?;
        let texts = match field.own_text {
            true => sent.str().map(|texts| {
                texts
                    .iter()
                    .map(|text| text.map(|exact| unmarked(exact).1))
                    .collect()
            }),
            false => texts_of(sent.as_materialized_series(), field.kind),
        };
        texts.map_err(|error| damaged(&self.path, error.to_string()))
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> ImageError {
        damaged(&self.path, what)
    }

    fn parse(&self, columns: Option<Vec<String>>) -> Result<DataFrame, ImageError> {
        let parsed = library::guarded(|| {
            IpcReader::new(Cursor::new(&self.bytes))
                .with_columns(columns)
                .finish()
        });
        parsed
            .map_err(|gave_up| damaged(&self.path, gave_up.to_string()))?
            .map_err(|error| damaged(&self.path, error.to_string()))
    }
}

fn damaged(path: &Path, what: impl Into<String>) -> ImageError {
    ImageError::Damaged {
        path: path.display().to_string(),
        what: what.into(),
    }
}

/// One writer's file of before-images; made when the first record is written.
pub(crate) struct ImageFile {
    folder: PathBuf,
    open: Option<OpenFile>,
}

struct OpenFile {
    name: String,
    path: PathBuf,
    file: File,
    /// Where the next segment begins.
    end: u64,
    /// Bytes that the file has, zeros behind the last segment included.
    length: u64,
}

/// Room that is made behind a segment at most. Where a file has room, a segment gets to the disk
/// without the file system's own account of the file, which takes many times as long.
const ROOM_BYTES_MAX: u64 = 256 << 10;

/// Larger segments take their time anyway: no room is made behind them.
const SMALL_SEGMENT_BYTES_MAX: u64 = 64 << 10;

/// Room that is made behind a segment that does not fit into a file: as much as the file holds, so
/// that it never has more room than segments. A first segment, mostly the only one, gets none.
fn room_behind(end: u64, segment: u64) -> u64 {
    match segment <= SMALL_SEGMENT_BYTES_MAX {
        true => end.min(ROOM_BYTES_MAX),
        false => 0,
    }
}

impl ImageFile {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: None }
    }

    /// The same file, if it stands in this folder; a new one otherwise.
    pub(crate) fn turned_to(self, folder: &Path) -> Self {
        match self.folder == folder {
            true => self,
            false => Self::new(folder.to_owned()),
        }
    }

    /// What it holds is needed no longer.
    pub(crate) fn forget(&mut self) {
        // A file that cannot be emptied goes with its folder when the run is over.
        self.open.take_if(|open| {
            (open.end, open.length) = (0, 0);
            open.file.set_len(0).is_err()
        });
    }

    /// Keeps the images of a batch that was written, if any of its records was: see [`segment`].
    pub(crate) fn keep(&mut self, effect: &Effect<'_>) -> Result<Option<ImageSegment>, ImageError> {
        match segment(effect).map_err(|error| ImageError::frame(&self.folder, error))? {
            Some(images) => self
                .append(images, &image_fields(effect.layout()))
                .map(Some),
            None => Ok(None),
        }
    }

    /// Keeps images that are a segment's already.
    pub(crate) fn keep_frame(
        &mut self,
        images: DataFrame,
        layout: &Layout,
    ) -> Result<ImageSegment, ImageError> {
        block_in_place(|| self.append(images, &image_fields(layout)))
    }

    /// Appends a segment and waits until it is on disk. After an error the next segment begins
    /// another file.
    pub(crate) fn append(
        &mut self,
        images: DataFrame,
        fields: &[ImageField],
    ) -> Result<ImageSegment, ImageError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => OpenFile::create(&self.folder)?,
        };
        let keys = key_span(&images, fields);
        let bytes =
            segment_bytes(images, fields).map_err(|error| ImageError::frame(&open.path, error))?;
        let segment = ImageSegment {
            file: open.name.clone(),
            offset: open.end,
            bytes: bytes.len() as u64,
            xxh3: xxh3_64(&bytes),
            keys,
        };
        let written = open.append(bytes);
        written.map_err(|error| ImageError::io(&open.path, error))?;
        fault::point("before-images kept");
        self.open = Some(open);
        Ok(segment)
    }
}

impl OpenFile {
    /// Appends a segment, and room for others if it does not fit into what there is.
    fn append(&mut self, mut segment: Vec<u8>) -> io::Result<()> {
        let end = self.end + segment.len() as u64;
        if end > self.length {
            let room = room_behind(self.end, segment.len() as u64);
            self.length = end + room;
            segment.resize(segment.len() + usize::try_from(room).unwrap_or_default(), 0);
        }
        self.file.write_all_at(&segment, self.end)?;
        self.file.sync_data()?;
        self.end = end;
        Ok(())
    }

    /// Makes a file beside those of other writers and of earlier processes.
    fn create(folder: &Path) -> Result<Self, ImageError> {
        state::make_folder(folder).map_err(|error| ImageError::io(folder, error))?;
        for number in 1_u32.. {
            let name = format!("{number:04}.images");
            let path = folder.join(&name);
            match state::create_file(&path)
                .and_then(|file| state::sync_folder(folder).map(|()| file))
            {
                Ok(file) => {
                    return Ok(Self {
                        name,
                        path,
                        file,
                        end: 0,
                        length: 0,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ImageError::io(&path, error)),
            }
        }
        Err(ImageError::io(folder, io::ErrorKind::StorageFull.into()))
    }
}

impl Drop for OpenFile {
    /// Nobody appends any more.
    fn drop(&mut self) {
        if self.length > self.end {
            // Zeros that stay are in nobody's way.
            drop(self.file.set_len(self.end));
        }
    }
}

fn image_fields(layout: &Layout) -> Vec<ImageField> {
    (0..layout.fields.len())
        .filter_map(|position| image_field(layout, position))
        .collect()
}

pub(crate) fn image_field(layout: &Layout, position: usize) -> Option<ImageField> {
    let LayoutField {
        column,
        kind,
        own_text,
        ..
    } = layout.fields.get(position)?;
    let key = layout.key.iter().position(|part| *part == position);
    Some(ImageField {
        name: column.name.clone(),
        kind: *kind,
        own_text: *own_text,
        key,
    })
}

/// The fields of the match key, in the key's order.
fn key_of(fields: &[ImageField]) -> Vec<&ImageField> {
    let mut key: Vec<&ImageField> = fields.iter().filter(|field| field.key.is_some()).collect();
    key.sort_by_key(|field| field.key);
    key
}

/// Between which match keys the records of a segment's frame are.
fn key_span(images: &DataFrame, fields: &[ImageField]) -> Option<KeySpan> {
    let key = key_of(fields);
    let sent: Vec<String> = key.iter().map(|field| sent_column(&field.name)).collect();
    let keys = KeyTexts::of(images, &sent).ok()?.column(images.height());
    KeySpan::of(keys.iter().flatten())
}

/// A segment's bytes: the frame in Arrow's form, with what its fields are.
pub(crate) fn segment_bytes(mut frame: DataFrame, fields: &[ImageField]) -> PolarsResult<Vec<u8>> {
    let mut bytes = Vec::new();
    frame.rechunk_mut();
    let mut writer = IpcWriter::new(&mut bytes).with_compression(Some(IpcCompression::LZ4));
    let described =
        serde_json::to_string(fields).map_err(|error| polars_err!(ComputeError: "{error}"))?;
    writer.set_custom_schema_metadata(Arc::new([(FIELDS.into(), described.into())].into()));
    writer.finish(&mut frame)?;
    Ok(bytes)
}

/// The segment of a batch that was written: of the records that were updated, inserted or deleted;
/// `None` if there is none.
pub(super) fn segment(effect: &Effect<'_>) -> PolarsResult<Option<DataFrame>> {
    let decisions = effect.decisions();
    let written: Vec<IdxSize> = decisions
        .iter()
        .zip(0..)
        .filter(|(decision, _)| decision.is_write())
        .map(|(_, index)| index)
        .collect();
    if written.is_empty() {
        return Ok(None);
    }
    let is_made = |wanted: &Decision| -> BooleanChunked {
        let made = decisions.iter().filter(|decision| decision.is_write());
        made.map(|made| made == wanted).collect()
    };
    let positions: Vec<usize> = written
        .iter()
        .filter_map(|index| usize::try_from(*index).ok())
        .collect();
    let indices = IdxCa::from_vec("".into(), written.clone());
    let sent = match written.len() == effect.sent().height() {
        true => effect.sent().clone(),
        false => effect.sent().take(&indices)?,
    };
    let created = is_made(&Decision::Insert).with_name(CREATED.into());
    let mut columns = vec![Column::new(RECORD.into(), written), created.into_column()];
    if effect.takes_back() {
        let deleted = is_made(&Decision::Delete).with_name(DELETED.into());
        columns.push(deleted.into_column());
    }
    let fields = effect.layout().fields.iter().zip(sent.columns());
    for (position, (field, values)) in fields.enumerate() {
        let name = &field.column.name;
        columns.push(values.clone().with_name(sent_column(name).into()));
        if field.key {
            continue;
        }
        if let Some(mask) = effect.mask(position) {
            let written = mask.take(&indices)?.with_name(written_column(name).into());
            columns.push(written.into_column());
        }
        let held: StringChunked = positions
            .iter()
            .map(|record| effect.exact_before(*record, position))
            .collect();
        columns.push(held.with_name(before_column(name).into()).into_column());
    }
    DataFrame::new(positions.len(), columns).map(Some)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn small_segments_rarely_make_their_file_longer() {
        let folder = tempfile::tempdir().unwrap();
        let mut open = OpenFile::create(folder.path()).unwrap();
        let path = open.path.clone();
        let length = || std::fs::metadata(&path).unwrap().len();
        let (mut longer, mut before) = (0, length());
        for number in 0..200_u8 {
            let at = open.end;
            open.append(vec![number; 1_500]).unwrap();
            let held = std::fs::read(&path).unwrap();
            let segment = held.get(usize::try_from(at).unwrap()..).unwrap();
            assert_eq!(segment.get(..1_500), Some(&[number; 1_500][..]));
            longer += u32::from(length() > before);
            before = length();
            assert!(before <= 2 * open.end, "{before} bytes for {}", open.end);
        }
        assert!(longer <= 10, "{longer} times");
        let end = open.end;
        drop(open);
        assert_eq!(length(), end, "no room is left behind");
    }
}
