//! What people and machines get to read: problems and errors, summaries, tables, and progress.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod agencies;
pub(crate) mod clock;
mod color;
pub(crate) mod cycle;
pub(crate) mod failure;
pub(crate) mod guards;
pub(crate) mod history;
pub(crate) mod object;
pub(crate) mod output;
pub(crate) mod parked;
pub(crate) mod pending;
pub(crate) mod preview;
pub(crate) mod progress;
pub(crate) mod record_history;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod settings;
pub(crate) mod single_record;
pub(crate) mod table;
pub(crate) mod undo;
pub(crate) mod verify;
