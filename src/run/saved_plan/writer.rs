//! Writing a saved plan, batch by batch as a preview looks records up.

use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use polars::prelude::{Column, DataFrame, IpcCompression, IpcWriter, PolarsResult, SerWriter};
use sha2::{Digest, Sha256};

use super::{Contents, FORMAT, PlannedSegment, PlannedWriteBack, SavedPlanError, TITLE};
use crate::config::CheckedJob;
use crate::domain::cycle::Cycle;
use crate::domain::guard::Forecast;
use crate::domain::printable::hexadecimal;
use crate::domain::record::RECORD_POSITION;
use crate::package::Package;
use crate::run::images::{self, RECORD};
use crate::run::plan::Plan;
use crate::run::write::effect::Effect;
use crate::state::AsideFile;

/// Records of a segment at least, but for the last, and bytes they take in memory: a segment is all
/// of a plan that is in memory at once, and small ones are many.
const SEGMENT_RECORDS_MIN: usize = 20_000;
const SEGMENT_BYTES_MIN: usize = 4 << 20;

/// A preview whose plan is saved.
#[derive(Debug)]
pub(crate) struct Preview<'a> {
    pub(crate) checked: &'a CheckedJob,
    /// The only one of the job's write-backs that is previewed.
    pub(crate) only: Option<&'a str>,
    pub(crate) cycle: &'a Cycle,
    pub(crate) begun_at: DateTime<Utc>,
}

/// A plan being written. Its owner alone may read it: it holds values of records. Dropped before it
/// is finished, it leaves nothing.
pub(crate) struct SavedPlanWriter {
    path: PathBuf,
    aside: AsideFile,
    first_line: String,
    contents: Contents,
    /// Of the write-back that is previewed now.
    segments: Vec<PlannedSegment>,
    pending: Option<DataFrame>,
}

impl SavedPlanWriter {
    /// Begins a plan that will stand at `path`, in a folder that is there.
    pub(crate) fn create(path: &Path, preview: &Preview<'_>) -> Result<Self, SavedPlanError> {
        let aside = AsideFile::create_in_users_folder(path)
            .map_err(|error| SavedPlanError::io("write", path, error))?;
        let contents = Contents {
            job: preview.checked.job.name.clone(),
            cycle: preview.cycle.id.clone(),
            cycle_completed_at: preview.cycle.completed_at,
            previewed_at: preview.begun_at,
            files: preview.checked.files.clone(),
            only: preview.only.map(str::to_owned),
            write_backs: Vec::new(),
        };
        let first_line = format!("{TITLE}{FORMAT}\n");
        let writer = Self {
            path: path.to_owned(),
            aside,
            first_line,
            contents,
            segments: Vec::new(),
            pending: None,
        };
        writer.write(writer.first_line.as_bytes())?;
        Ok(writer)
    }

    /// Keeps the records of a batch that would be written.
    /// Shape: `records` has the position of each.
    pub(in crate::run) fn keep(
        &mut self,
        effect: &Effect<'_>,
        records: &DataFrame,
    ) -> Result<(), SavedPlanError> {
        let shown = images::segment(effect).and_then(|shown| {
            shown
                .map(|shown| with_positions(shown, records))
                .transpose()
        });
        let Some(shown) = shown.map_err(|error| self.frame(error))? else {
            return Ok(());
        };
        let pending = match self.pending.take() {
            Some(pending) => pending.vstack(&shown).map_err(|error| self.frame(error))?,
            None => shown,
        };
        let full = pending.height() >= SEGMENT_RECORDS_MIN
            || pending.estimated_size() >= SEGMENT_BYTES_MIN;
        self.pending = Some(pending);
        if full { self.end_segment() } else { Ok(()) }
    }

    /// Ends a write-back whose records were all looked up.
    pub(crate) fn end_write_back(
        &mut self,
        plan: &Plan,
        package: &Package,
        forecast: &Forecast,
    ) -> Result<(), SavedPlanError> {
        self.end_segment()?;
        self.contents.write_backs.push(PlannedWriteBack {
            name: plan.write_back.name.clone(),
            version: plan.write_back.version.clone(),
            destination: plan.destination.name.clone(),
            object: plan.layout.object.path.clone(),
            layout: plan.layout.fingerprint(),
            package: package.fingerprint(),
            shown: forecast.tally,
            emptied: forecast.emptied.clone(),
            parked: forecast.parked,
            segments: std::mem::take(&mut self.segments),
        });
        Ok(())
    }

    /// Puts the plan in place; returns its SHA-256, hexadecimal.
    pub(crate) fn finish(self) -> Result<String, SavedPlanError> {
        let contents = serde_json::to_vec(&self.contents)
            .map_err(|error| SavedPlanError::io("write", &self.path, error.into()))?;
        let length = (contents.len() as u64).to_le_bytes();
        let digest = Sha256::new()
            .chain_update(&self.first_line)
            .chain_update(&contents)
            .chain_update(length);
        let digest = digest.finalize();
        self.write(&contents)?;
        self.write(&length)?;
        self.write(&digest)?;
        let Self { path, aside, .. } = self;
        aside
            .place()
            .map_err(|error| SavedPlanError::io("write", &path, error))?;
        Ok(hexadecimal(&digest))
    }

    fn end_segment(&mut self) -> Result<(), SavedPlanError> {
        let Some(mut records) = self.pending.take() else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        records.rechunk_mut();
        let written = IpcWriter::new(&mut bytes)
            .with_compression(Some(IpcCompression::LZ4))
            .finish(&mut records);
        written.map_err(|error| self.frame(error))?;
        self.write(&bytes)?;
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        self.segments.push(PlannedSegment {
            bytes: bytes.len() as u64,
            sha256,
        });
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), SavedPlanError> {
        self.aside
            .file()
            .write_all(bytes)
            .map_err(|error| SavedPlanError::io("write", &self.path, error))
    }

    fn frame(&self, source: polars::error::PolarsError) -> SavedPlanError {
        SavedPlanError::Frame {
            path: self.path.display().to_string(),
            source,
        }
    }
}

/// Records with their positions in what was pulled instead of those in their batch.
fn with_positions(shown: DataFrame, records: &DataFrame) -> PolarsResult<DataFrame> {
    let positions = records
        .column(RECORD_POSITION)?
        .take(shown.column(RECORD)?.idx()?)?;
    let others = shown
        .columns()
        .iter()
        .filter(|column| column.name() != RECORD)
        .cloned();
    let columns: Vec<Column> = std::iter::once(positions).chain(others).collect();
    DataFrame::new(shown.height(), columns)
}
