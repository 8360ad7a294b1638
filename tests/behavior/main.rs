//! What a user notices: the built program against real SQLite, PostgreSQL and MariaDB.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod alerts;
mod batches;
mod commands;
mod configuration;
mod connections;
mod cycles;
mod damaged;
mod deploy;
mod disk;
mod example;
mod faults;
mod harness;
mod init;
mod killed;
mod limits;
mod mapping;
mod matching;
mod memory;
mod names;
mod outcomes;
mod preview;
mod random;
mod rejected;
mod rights;
mod running;
mod secrets;
mod serve;
mod single_record;
mod soak;
mod sources;
mod stopping;
mod values;
mod views;
