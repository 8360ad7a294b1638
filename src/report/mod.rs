//! What people and machines get to read: problems and errors, summaries, tables, progress, and the files beside a run.

pub(crate) mod files;
pub(crate) mod history;
