//! What people and machines get to read: problems and errors, summaries, tables, progress, and the files beside a run.

pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod preview;
pub(crate) mod progress;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod single_record;
pub(crate) mod table;
