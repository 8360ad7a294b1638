//! The before-images of a run, in files beside it: what records were written and what their rows held before. A segment of
//! such a file is a frame in Arrow's form with the written records of one batch; the ledger says where it stands.
//!
//! Columns of a segment: `record`, the position in the batch; `created`, whether the record's row is new; for each field
//! `sent NAME`, the value as it was sent, and for each that is no part of the key `before NAME`, the database's own text
//! (NULL for a created row). Where the job keeps some rows' values, `written NAME` says for which records it does not.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IdxCa, IdxSize, IntoColumn, IpcCompression, IpcWriter, PolarsResult, SerWriter,
    StringChunked,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::before::BeforeImages;
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::ledger::ImageSegment;
use crate::{fault, state};

/// Why before-images could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("could not keep before-images in `{path}`")]
    Io { path: String, source: io::Error },
    #[error("could not keep before-images in `{path}`")]
    Frame { path: String, source: polars::error::PolarsError },
}

impl ImageError {
    fn frame(path: &Path, source: polars::error::PolarsError) -> Self {
        Self::Frame { path: path.display().to_string(), source }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => state::hint(source).map(str::to_owned),
            Self::Frame { .. } => None,
        }
    }
}

/// Where the before-images of one write-back of a run stand, in its folder beside the run.
pub(crate) fn folder_in(write_back_folder: &Path) -> PathBuf {
    write_back_folder.join("before")
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
    end: u64,
}

impl ImageFile {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: None }
    }

    /// Keeps the images of a batch that was written, if any of its records was: see [`segment`].
    pub(crate) fn keep(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        decisions: &[Decision],
        before: &BeforeImages,
    ) -> Result<Option<ImageSegment>, ImageError> {
        let segment = segment(layout, records, decisions, before);
        match segment.map_err(|error| ImageError::frame(&self.folder, error))? {
            Some(images) => self.append(images).map(Some),
            None => Ok(None),
        }
    }

    /// Appends a segment and waits until it is on disk. After an error the next segment begins another file.
    fn append(&mut self, mut images: DataFrame) -> Result<ImageSegment, ImageError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => OpenFile::create(&self.folder)?,
        };
        let mut bytes = Vec::new();
        images.rechunk_mut();
        let mut writer = IpcWriter::new(&mut bytes).with_compression(Some(IpcCompression::LZ4));
        writer.finish(&mut images).map_err(|error| ImageError::frame(&open.path, error))?;
        let written = open.file.write_all(&bytes).and_then(|()| open.file.sync_data());
        written.map_err(|error| ImageError::io(&open.path, error))?;
        fault::point("before-images kept");
        let (offset, length) = (open.end, bytes.len() as u64);
        open.end += length;
        let segment = ImageSegment { file: open.name.clone(), offset, bytes: length, xxh3: xxh3_64(&bytes) };
        self.open = Some(open);
        Ok(segment)
    }
}

impl OpenFile {
    /// Makes a file beside those of other writers and of earlier processes.
    fn create(folder: &Path) -> Result<Self, ImageError> {
        state::make_folder(folder).map_err(|error| ImageError::io(folder, error))?;
        for number in 1_u32.. {
            let name = format!("{number:04}.images");
            let path = folder.join(&name);
            match state::create_file(&path).and_then(|file| state::sync_folder(folder).map(|()| file)) {
                Ok(file) => return Ok(Self { name, path, file, end: 0 }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ImageError::io(&path, error)),
            }
        }
        Err(ImageError::io(folder, io::ErrorKind::StorageFull.into()))
    }
}

/// The segment of a batch that was written: of the records that were updated or inserted; `None` if there is none.
/// Shape of `records`: the batch's, in the layout's order.
fn segment(
    layout: &Layout,
    records: &DataFrame,
    decisions: &[Decision],
    before: &BeforeImages,
) -> PolarsResult<Option<DataFrame>> {
    let is_written = |decision: &Decision| matches!(decision, Decision::Update | Decision::Insert);
    let written: Vec<IdxSize> =
        decisions.iter().zip(0..).filter(|(decision, _)| is_written(decision)).map(|(_, index)| index).collect();
    if written.is_empty() {
        return Ok(None);
    }
    let created: BooleanChunked =
        decisions.iter().filter(|decision| is_written(decision)).map(|made| *made == Decision::Insert).collect();
    let positions: Vec<usize> = written.iter().filter_map(|index| usize::try_from(*index).ok()).collect();
    let sent = match written.len() == records.height() {
        true => records.clone(),
        false => records.take(&IdxCa::from_vec("".into(), written.clone()))?,
    };
    let mut columns = vec![Column::new("record".into(), written), created.with_name("created".into()).into_column()];
    for (field, (position, values)) in layout.fields.iter().zip(sent.columns().iter().enumerate()) {
        let name = &field.column.name;
        columns.push(values.clone().with_name(format!("sent {name}").into()));
        if field.key {
            continue;
        }
        let held: StringChunked = positions.iter().map(|record| before.value(*record, position)).collect();
        if let Some(written) = written_in(layout, field, values, &held) {
            columns.push(written.with_name(format!("written {name}").into()).into_column());
        }
        columns.push(held.with_name(format!("before {name}").into()).into_column());
    }
    DataFrame::new(positions.len(), columns).map(Some)
}

/// For which records a field was written; `None` if for all.
fn written_in(layout: &Layout, field: &LayoutField, sent: &Column, held: &StringChunked) -> Option<BooleanChunked> {
    let keeps_null = layout.nulls == NullPolicy::Keep;
    let fills_only = field.when == When::IfEmpty;
    if !keeps_null && !fills_only {
        return None;
    }
    let brings = sent.is_not_null();
    let is_written = |(brings, held): (Option<bool>, Option<&str>)| {
        (!keeps_null || brings == Some(true)) && (!fills_only || held.is_none_or(str::is_empty))
    };
    Some(brings.iter().zip(held.iter()).map(is_written).collect())
}
