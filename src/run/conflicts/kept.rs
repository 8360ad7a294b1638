//! What is left of conflicts beside a run: segments, batch by batch, and `kept.csv` for people. A
//! segment is a frame as those of before-images are, of the records of which a value was kept, or
//! found to be what was to be written.
//!
//! Columns of a segment: for each field of the match key, and for each in which someone else's
//! values are kept, `sent NAME`, the value that was to be written; for each of the latter `agreed
//! NAME`, whether the row holds that, `kept NAME`, whether it keeps another, and as people read
//! them `last NAME`, what was last written, and `held NAME`, what is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IdxCa, IdxSize, IntoColumn, PolarsError, PolarsResult,
    StringChunked,
};
use tokio::task::block_in_place;

use super::Conflicts;
use crate::domain::layout::Layout;
use crate::domain::match_rule::Decision;
use crate::domain::printable::harmless;
use crate::domain::record::key_texts;
use crate::domain::sameness::in_words;
use crate::ledger::{Ledger, WriteBackId};
use crate::run::PushError;
use crate::run::files::ReportError;
use crate::run::images::{
    ImageError, ImageField, Segment, image_field, segment_bytes, sent_column,
};
use crate::run::write::effect::Effect;
use crate::state::AsideFile;

/// The file, in the folder of a write-back beside its run.
pub(crate) const KEPT_CSV: &str = "kept.csv";

/// Where the segments of one write-back of a run stand, in its folder beside the run.
pub(crate) fn folder_in(write_back_folder: &Path) -> PathBuf {
    write_back_folder.join("conflicts")
}

/// The segment of a batch, and what its fields are; `None` if there is nothing to tell.
pub(crate) fn segment(
    layout: &Layout,
    records: &DataFrame,
    conflicts: &Conflicts,
) -> PolarsResult<Option<(DataFrame, Vec<ImageField>)>> {
    let kept = conflicts.kept.iter().map(|kept| kept.record);
    let told: BTreeSet<usize> = kept
        .chain(conflicts.agreed.iter().map(|(record, _)| *record))
        .collect();
    if told.is_empty() {
        return Ok(None);
    }
    let told: Vec<usize> = told.into_iter().collect();
    let positions: Vec<usize> = layout.key.iter().copied().chain(layout.keeping()).collect();
    let taken = records.take(&indices(&told))?;
    let mut columns = Vec::new();
    for (position, values) in taken.columns().iter().enumerate() {
        let Some(field) = layout
            .fields
            .get(position)
            .filter(|_| positions.contains(&position))
        else {
            continue;
        };
        let name = &field.column.name;
        columns.push(values.clone().with_name(sent_column(name).into()));
        if !field.key {
            columns.extend(conflicts.columns(name, position, &told));
        }
    }
    let fields = positions
        .into_iter()
        .filter_map(|position| image_field(layout, position))
        .collect();
    Ok(Some((DataFrame::new(told.len(), columns)?, fields)))
}

/// The bytes of a segment that tells what a test wrote of one record; `None` if it wrote nothing.
pub(crate) fn tested(effect: &Effect<'_>, conflicts: &Conflicts) -> Option<Vec<u8>> {
    let layout = effect.layout();
    let is_write = effect.decisions().iter().any(Decision::is_write);
    let fields = layout.keeping_foreign();
    let written = fields.into_iter().filter(|position| match is_write {
        true => effect.is_taken(0, *position),
        false => conflicts.agreed.contains(&(0, *position)),
    });
    let agreed = written.map(|position| (0, position)).collect();
    let told = Conflicts {
        kept: Vec::new(),
        agreed,
    };
    // One record in the form that was just written in.
    let (frame, fields) = segment(layout, effect.sent(), &told).ok()??;
    segment_bytes(frame, &fields).ok()
}

fn indices(records: &[usize]) -> IdxCa {
    let records = records
        .iter()
        .filter_map(|record| IdxSize::try_from(*record).ok())
        .collect();
    IdxCa::from_vec("".into(), records)
}

impl Conflicts {
    /// What is told of one field of the records in `told`.
    fn columns(&self, name: &str, position: usize, told: &[usize]) -> [Column; 4] {
        let of_field = self.kept.iter().filter(|kept| kept.position == position);
        let kept: BTreeMap<usize, _> = of_field.map(|kept| (kept.record, kept)).collect();
        let agreed: BTreeSet<usize> = self
            .agreed
            .iter()
            .filter(|(_, field)| *field == position)
            .map(|(record, _)| *record)
            .collect();
        let is_agreed: BooleanChunked = told.iter().map(|record| agreed.contains(record)).collect();
        let is_kept: BooleanChunked = told
            .iter()
            .map(|record| kept.contains_key(record))
            .collect();
        let last: StringChunked = told
            .iter()
            .map(|record| kept.get(record)?.last.as_deref())
            .collect();
        let held: StringChunked = told
            .iter()
            .map(|record| kept.get(record)?.held.as_deref())
            .collect();
        [
            is_agreed
                .into_column()
                .with_name(format!("agreed {name}").into()),
            is_kept
                .into_column()
                .with_name(format!("kept {name}").into()),
            last.into_column().with_name(format!("last {name}").into()),
            held.into_column().with_name(format!("held {name}").into()),
        ]
    }
}

/// Writes `kept.csv` of one write-back of a run, if any value was kept: `key`, `column`,
/// `last_written`, `held`, `sent`, in the order of keys; NULL is an empty cell. Cells that a
/// spreadsheet would take for a formula are made harmless. Returns how many values were kept of
/// each column.
pub(crate) async fn report(
    ledger: &Ledger,
    id: WriteBackId,
    folder: &Path,
) -> Result<BTreeMap<String, u64>, PushError> {
    let segments = ledger.conflicts(id).await?;
    let mut counts = BTreeMap::new();
    let mut file: Option<Lines> = None;
    block_in_place(|| {
        for segment in &segments {
            let segment = Segment::read(&folder_in(folder), segment)?;
            for line in lines(&segment)? {
                *counts.entry(line.column.clone()).or_default() += 1;
                let open = match file.take() {
                    Some(open) => open,
                    None => Lines::create(&folder.join(KEPT_CSV))?,
                };
                file.insert(open).write(&line)?;
            }
        }
        file.map_or(Ok(()), Lines::place)
    })?;
    Ok(counts)
}

/// The keys and columns of values that were kept in a write-back's batches so far.
pub(crate) async fn values(
    ledger: &Ledger,
    id: WriteBackId,
    folder: &Path,
) -> Result<BTreeSet<(String, String)>, PushError> {
    let mut kept = BTreeSet::new();
    for segment in ledger.conflicts(id).await? {
        let lines = block_in_place(|| lines(&Segment::read(&folder_in(folder), &segment)?))?;
        kept.extend(lines.into_iter().map(|line| (line.key, line.column)));
    }
    Ok(kept)
}

/// One value that was kept.
struct Line {
    key: String,
    column: String,
    last: Option<String>,
    held: Option<String>,
    sent: Option<String>,
}

fn lines(segment: &Segment) -> Result<Vec<Line>, ImageError> {
    let frame = segment.frame()?;
    let key_columns: Vec<String> = segment
        .key()
        .iter()
        .map(|field| field.name.clone())
        .collect();
    let keys = key_texts(&segment.sent_keys()?, &key_columns);
    let mut all = Vec::new();
    for field in segment.fields.iter().filter(|field| field.key.is_none()) {
        let (kept, sent) = (
            segment.column(&frame, "kept", field)?,
            segment.sent_texts(&frame, field)?,
        );
        let (last, held) = (
            segment.column(&frame, "last", field)?,
            segment.column(&frame, "held", field)?,
        );
        let damaged = |error: PolarsError| segment.damaged(error.to_string());
        let kept = kept.bool().map_err(damaged)?;
        let (last, held) = (last.str().map_err(damaged)?, held.str().map_err(damaged)?);
        for (record, key) in keys
            .iter()
            .enumerate()
            .filter(|(record, _)| kept.get(*record) == Some(true))
        {
            let text = |texts: &StringChunked| in_words(field.kind, texts.get(record));
            let (last, held, sent) = (text(last), text(held), text(&sent));
            all.push((
                record,
                Line {
                    key: key.clone(),
                    column: field.name.clone(),
                    last,
                    held,
                    sent,
                },
            ));
        }
    }
    all.sort_by_key(|(record, _)| *record);
    Ok(all.into_iter().map(|(_, line)| line).collect())
}

/// The file as it is written.
struct Lines {
    path: PathBuf,
    aside: AsideFile,
    writer: csv::Writer<std::fs::File>,
}

impl Lines {
    fn create(path: &Path) -> Result<Self, PushError> {
        let failed = |error| PushError::Report(ReportError::io(path, error));
        let aside = AsideFile::create(path).map_err(failed)?;
        let file = aside.file().try_clone().map_err(failed)?;
        let mut lines = Self {
            path: path.to_owned(),
            aside,
            writer: csv::Writer::from_writer(file),
        };
        lines.cells(["key", "column", "last_written", "held", "sent"])?;
        Ok(lines)
    }

    fn write(&mut self, line: &Line) -> Result<(), PushError> {
        let cell = |value: &Option<String>| value.as_deref().map(harmless).unwrap_or_default();
        let Line {
            key,
            column,
            last,
            held,
            sent,
        } = line;
        self.cells(
            [
                &harmless(key),
                &harmless(column),
                &cell(last),
                &cell(held),
                &cell(sent),
            ]
            .map(String::as_str),
        )
    }

    fn cells(&mut self, cells: [&str; 5]) -> Result<(), PushError> {
        let written = self.writer.write_record(cells);
        written.map_err(|error| PushError::Report(ReportError::io(&self.path, error.into())))
    }

    fn place(self) -> Result<(), PushError> {
        let Self {
            path,
            aside,
            mut writer,
        } = self;
        let flushed = writer.flush().and_then(|()| aside.place());
        flushed.map_err(|error| PushError::Report(ReportError::io(&path, error)))
    }
}
