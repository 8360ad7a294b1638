//! Saved plans: what a preview showed, in one file, and a run that applies exactly that.
//!
//! The file is a line that names the format, segments of records, contents in JSON, the length of
//! these in eight bytes (little endian), and the SHA-256 of all but the segments, whose own the
//! contents name: a byte that was altered is noticed wherever it stands. A segment is a frame in
//! Arrow's form. It holds the records that would be written and nothing of others: their positions
//! in what was pulled, and all that a segment of before-images has but `record`.
//!
//! A stamp that tells of the run itself (its number, when it began) nobody knows before: the run
//! that applies a plan sets its own. All other values are those that were shown.

pub(super) mod package;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use polars::prelude::{DataFrame, IpcReader, SerReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use self::writer::{Preview, SavedPlanWriter};
use super::plan::Plan;
use crate::config::CheckedJob;
use crate::domain::cycle::Cycle;
use crate::domain::guard::Forecast;
use crate::domain::outcome::Tally;
use crate::domain::printable::hexadecimal;
use crate::{state, user_file};

/// Why a plan could not be saved, read or applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedPlanError {
    #[error("could not {doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
    #[error("could not write `{path}`")]
    Frame {
        path: String,
        source: polars::error::PolarsError,
    },
    #[error("`{path}` is no saved plan")]
    NoPlan { path: String },
    #[error("`{path}` has format {format}, which this version does not know")]
    Newer { path: String, format: String },
    #[error("the plan `{path}` was altered or is damaged: {what}")]
    Altered { path: String, what: String },
    /// It is a plan, and not for this job as it is now.
    #[error("the plan `{path}` cannot be applied: {why}")]
    Refused {
        path: String,
        why: String,
        hint: String,
    },
}

impl SavedPlanError {
    fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.display().to_string(),
            source,
        }
    }

    fn altered(path: &Path, what: impl Into<String>) -> Self {
        Self::Altered {
            path: path.display().to_string(),
            what: what.into(),
        }
    }

    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => state::hint(source).map(str::to_owned),
            Self::Frame { .. } => None,
            Self::NoPlan { .. } | Self::Altered { .. } => Some(PREVIEW_AGAIN.to_owned()),
            Self::Newer { .. } => Some(format!(
                "apply it with the version that wrote it; {PREVIEW_AGAIN}"
            )),
            Self::Refused { hint, .. } => Some(hint.clone()),
        }
    }
}

/// What a plan is called that a preview on the page saved.
pub(crate) const PLAN_FILE: &str = "plan";

const PREVIEW_AGAIN: &str = "`writeback preview JOB --out FILE` writes a new one";

/// What the first line of a plan begins with; the number of its format ends it.
const TITLE: &str = "writeback plan ";
const FORMAT: &str = "1";
/// More than any first line has.
const FIRST_LINE_BYTES_MAX: usize = 64;

/// Bytes of the length and the digest at the end.
const LENGTH_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;

/// What stands in a plan beside its records.
#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    job: String,
    cycle: String,
    cycle_completed_at: DateTime<Utc>,
    previewed_at: DateTime<Utc>,
    /// As [`CheckedJob::files`].
    files: BTreeMap<String, String>,
    /// The only one of the job's write-backs that was previewed.
    only: Option<String>,
    write_backs: Vec<PlannedWriteBack>,
}

/// One write-back of a plan.
#[derive(Debug, Serialize, Deserialize)]
struct PlannedWriteBack {
    name: String,
    /// As [`crate::domain::job::WriteBack::version`].
    version: String,
    /// Name of the connection.
    destination: String,
    /// The object's path, outermost name first.
    object: Vec<String>,
    /// Fingerprint of the layout.
    layout: String,
    /// Fingerprint of all records that were pulled.
    package: String,
    /// What was shown to become of these.
    shown: Tally,
    /// By column: rows that would lose their value to NULL.
    emptied: BTreeMap<String, u64>,
    /// Parked records, of those shown as skipped; not told by plans of earlier versions.
    #[serde(default)]
    parked: u64,
    segments: Vec<PlannedSegment>,
}

/// Records of a plan. Segments stand one after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlannedSegment {
    bytes: u64,
    /// Hexadecimal.
    sha256: String,
}

/// A saved plan, whole and as it was written.
#[derive(Debug)]
pub(crate) struct SavedPlan {
    path: PathBuf,
    file: File,
    contents: Contents,
    /// Where the first segment begins.
    records_begin: u64,
    digest: String,
}

impl SavedPlan {
    /// Opens a plan and looks at every byte of it.
    /// Errors: `Io`; `NoPlan`; `Newer`; `Altered`.
    pub(crate) fn open(path: &Path) -> Result<Self, SavedPlanError> {
        let (file, length) =
            open_file(path).map_err(|error| SavedPlanError::io("open", path, error))?;
        let first_line = first_line(path, &file, length)?;
        let records_begin = first_line.len() as u64;
        let too_short = || SavedPlanError::altered(path, "it is too short");
        let end = length
            .checked_sub((LENGTH_BYTES + DIGEST_BYTES) as u64)
            .ok_or_else(too_short)?;
        let ending = read(path, &file, end, LENGTH_BYTES + DIGEST_BYTES)?;
        let (contents_length, told) = ending.split_at(LENGTH_BYTES);
        let contents_bytes = contents_length
            .try_into()
            .map_or(u64::MAX, u64::from_le_bytes);
        let contents_begin = end
            .checked_sub(contents_bytes)
            .filter(|begin| *begin >= records_begin);
        let contents_begin = contents_begin.ok_or_else(too_short)?;
        let contents = read(path, &file, contents_begin, size(contents_bytes))?;
        let digest = Sha256::new()
            .chain_update(&first_line)
            .chain_update(&contents)
            .chain_update(contents_length);
        let digest = digest.finalize();
        if digest.as_slice() != told {
            return Err(SavedPlanError::altered(path, "its digest is wrong"));
        }
        let contents: Contents = serde_json::from_slice(&contents)
            .map_err(|error| SavedPlanError::altered(path, error.to_string()))?;
        let plan = Self {
            path: path.to_owned(),
            file,
            contents,
            records_begin,
            digest: hexadecimal(&digest),
        };
        plan.expect_segments_until(contents_begin)?;
        Ok(plan)
    }

    /// Errors: `Altered`, if the segments do not fill the file up to `end`, or one of them is not
    /// as it was written.
    fn expect_segments_until(&self, end: u64) -> Result<(), SavedPlanError> {
        let mut next = self.records_begin;
        for (begin, segment) in self.segments() {
            next = begin.saturating_add(segment.bytes);
            if next > end {
                break;
            }
            self.bytes_of(begin, segment)?;
        }
        if next == end {
            Ok(())
        } else {
            Err(SavedPlanError::altered(&self.path, "its length is wrong"))
        }
    }

    /// SHA-256 of the plan, hexadecimal.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The cycle it is of.
    pub(crate) fn cycle(&self) -> Cycle {
        Cycle {
            id: self.contents.cycle.clone(),
            completed_at: self.contents.cycle_completed_at,
        }
    }

    /// The only one of the job's write-backs that it is about, if it is not about all.
    pub(crate) fn write_back(&self) -> Option<&str> {
        self.contents.only.as_deref()
    }

    fn planned(&self, write_back: &str) -> Option<&PlannedWriteBack> {
        self.contents
            .write_backs
            .iter()
            .find(|planned| planned.name == write_back)
    }

    /// What guards are told of a write-back's records.
    pub(super) fn forecast(&self, write_back: &str, proven: bool) -> Forecast {
        let planned = self.planned(write_back);
        let (tally, parked, emptied) = planned
            .map(|planned| (planned.shown, planned.parked, planned.emptied.clone()))
            .unwrap_or_default();
        Forecast {
            tally,
            parked,
            emptied,
            // They were counted when it was shown.
            calls: None,
            proven,
        }
    }

    /// Errors: `Refused`, if it is of another job, or the job's files are not as they were.
    pub(crate) fn expect_job(&self, checked: &CheckedJob) -> Result<(), SavedPlanError> {
        let (job, of) = (&checked.job.name, &self.contents.job);
        if job != of {
            let hint = format!("`writeback run {of} --plan FILE` applies it");
            return Err(self.refused(format!("it is of job `{of}`, not of `{job}`"), hint));
        }
        let (then, now) = (&self.contents.files, &checked.files);
        let changed = then
            .keys()
            .chain(now.keys())
            .find(|file| then.get(*file) != now.get(*file));
        if let Some(file) = changed {
            return Err(self.refused(
                format!("`{file}` was changed since the preview"),
                self.preview_again(),
            ));
        }
        for write_back in &checked.job.write_backs {
            let planned = self.planned(&write_back.name);
            if planned.is_some_and(|planned| planned.version != write_back.version) {
                let name = &write_back.name;
                let why =
                    format!("write-back `{name}` is another by what `writeback.toml` says now");
                return Err(self.refused(why, self.preview_again()));
            }
        }
        Ok(())
    }

    /// Errors: `Refused`, if an object is not as it was previewed.
    pub(super) fn expect_objects(&self, plans: &[Plan]) -> Result<(), SavedPlanError> {
        for plan in plans {
            let (name, object) = (&plan.write_back.name, plan.layout.object.display_name());
            let why = match self.planned(name) {
                None => format!("it has no write-back `{name}`"),
                Some(planned)
                    if planned.destination != plan.destination.name
                        || !same_layout(planned, plan) =>
                {
                    format!("`{object}` was altered since the preview")
                }
                Some(_) => continue,
            };
            return Err(self.refused(why, self.preview_again()));
        }
        Ok(())
    }

    /// A newer cycle has begun since.
    pub(super) fn outdated(&self, newest: &Cycle) -> SavedPlanError {
        let why = format!(
            "it is of cycle `{}`, and a newer one, `{}`, has begun since",
            self.contents.cycle, newest.id
        );
        self.refused(why, self.preview_again())
    }

    fn refused(&self, why: String, hint: String) -> SavedPlanError {
        SavedPlanError::Refused {
            path: self.path.display().to_string(),
            why,
            hint,
        }
    }

    fn preview_again(&self) -> String {
        let Contents { job, only, .. } = &self.contents;
        let only = only
            .as_ref()
            .map(|name| format!(" --write-back {name}"))
            .unwrap_or_default();
        format!(
            "`writeback preview {job}{only} --out {}` shows what is to be done now",
            self.path.display()
        )
    }

    /// Segments with the places they begin at.
    fn segments(&self) -> impl Iterator<Item = (u64, &PlannedSegment)> {
        let all = self
            .contents
            .write_backs
            .iter()
            .flat_map(|planned| &planned.segments);
        all.scan(self.records_begin, |next, segment| {
            let begin = *next;
            *next = begin.saturating_add(segment.bytes);
            Some((begin, segment))
        })
    }

    /// The segments of one write-back, with the places they begin at.
    fn segments_of(&self, write_back: &str) -> Vec<(u64, PlannedSegment)> {
        let planned = &self.contents.write_backs;
        let before = planned
            .iter()
            .take_while(|planned| planned.name != write_back);
        let before: usize = before.map(|planned| planned.segments.len()).sum();
        let own = planned
            .iter()
            .find(|planned| planned.name == write_back)
            .map_or(0, |own| own.segments.len());
        self.segments()
            .skip(before)
            .take(own)
            .map(|(begin, segment)| (begin, segment.clone()))
            .collect()
    }

    /// The records of a segment. Shape: as the module says.
    fn records(&self, begin: u64, segment: &PlannedSegment) -> Result<DataFrame, SavedPlanError> {
        let parsed = IpcReader::new(Cursor::new(self.bytes_of(begin, segment)?)).finish();
        parsed.map_err(|error| SavedPlanError::altered(&self.path, error.to_string()))
    }

    /// The bytes of a segment as they were written.
    fn bytes_of(&self, begin: u64, segment: &PlannedSegment) -> Result<Vec<u8>, SavedPlanError> {
        let bytes = read(&self.path, &self.file, begin, size(segment.bytes))?;
        match hexadecimal(&Sha256::digest(&bytes)) == segment.sha256 {
            true => Ok(bytes),
            false => Err(SavedPlanError::altered(
                &self.path,
                "the digest of some of its records is wrong",
            )),
        }
    }
}

fn same_layout(planned: &PlannedWriteBack, plan: &Plan) -> bool {
    planned.layout == plan.layout.fingerprint() && planned.object == plan.layout.object.path
}

/// A regular file and its length in bytes.
fn open_file(path: &Path) -> io::Result<(File, u64)> {
    let file = user_file::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The line that names the format, with its end.
fn first_line(path: &Path, file: &File, length: u64) -> Result<Vec<u8>, SavedPlanError> {
    let beginning = read(path, file, 0, size(length).min(FIRST_LINE_BYTES_MAX))?;
    let no_plan = || SavedPlanError::NoPlan {
        path: path.display().to_string(),
    };
    let end = beginning
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(no_plan)?;
    let line = beginning.get(..=end).unwrap_or_default().to_vec();
    let format = str::from_utf8(&line)
        .ok()
        .and_then(|line| line.trim_end().strip_prefix(TITLE))
        .ok_or_else(no_plan)?;
    match format {
        FORMAT => Ok(line),
        _ => Err(SavedPlanError::Newer {
            path: path.display().to_string(),
            format: format.to_owned(),
        }),
    }
}

/// A plan without records and with any contents, whose length and digest are right.
#[cfg(feature = "fuzzing")]
pub(crate) fn sealed(contents: &[u8]) -> Vec<u8> {
    let first_line = format!("{TITLE}{FORMAT}\n");
    let length = (contents.len() as u64).to_le_bytes();
    let hashed = [first_line.as_bytes(), contents, &length].concat();
    let digest = Sha256::digest(&hashed);
    [hashed, digest.to_vec()].concat()
}

/// Bytes of the file, of which there are so many.
fn read(path: &Path, file: &File, begin: u64, bytes: usize) -> Result<Vec<u8>, SavedPlanError> {
    let failed = |error| SavedPlanError::io("read", path, error);
    let mut read = Vec::new();
    read.try_reserve_exact(bytes)
        .map_err(|error| failed(error.into()))?;
    read.resize(bytes, 0);
    file.read_exact_at(&mut read, begin).map_err(failed)?;
    Ok(read)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
