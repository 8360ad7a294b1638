//! A job of Bulk API 2.0 as it is kept.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JobState {
    Open,
    UploadComplete,
    InProgress,
    JobComplete,
    Failed,
    Aborted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JobKind {
    Ingest,
    Query,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RowEnd {
    Done { id: String, created: bool },
    Failed(String),
}

/// A job of Bulk API 2.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) kind: JobKind,
    pub(super) operation: String,
    pub(super) object: String,
    pub(super) key: Option<String>,
    pub(super) delimiter: char,
    pub(super) line_ending: String,
    pub(super) delimiter_name: String,
    pub(super) state: JobState,
    pub(super) made: DateTime<Utc>,
    pub(super) version: u32,
    pub(super) user: String,
    pub(super) query: Option<String>,
    pub(super) error: Option<String>,
    /// Kept in pieces of their own.
    #[serde(skip)]
    pub(super) ends: Vec<RowEnd>,
    /// The rows after which it fails, if it does.
    pub(super) fails_at: Option<usize>,
    pub(super) allow_save: bool,
    pub(super) records: usize,
    /// What was uploaded, or what a query found: CSV.
    #[serde(skip)]
    pub(super) upload: Option<Arc<str>>,
    /// The rows of the upload, once they were read.
    #[serde(skip)]
    pub(super) rows: Option<Arc<Rows>>,
}

/// The rows of a file of CSV.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}
