//! What a user notices: the built program against real SQLite, PostgreSQL and MariaDB.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

mod again;
mod alerts;
mod altering;
mod batches;
mod before_images;
mod bullhorn;
mod bullhorn_practice;
mod canaries;
mod clauses;
mod commands;
mod configuration;
mod conflicts;
mod connections;
mod cycles;
mod damaged;
mod deferred;
mod deploy;
mod dialects;
mod disk;
mod documents;
mod doubt;
mod drivers;
mod edges;
mod engines;
mod example;
mod faults;
mod guards;
mod halving;
mod handed_on;
mod harness;
#[path = "harness/tests.rs"]
mod harness_tests;
mod held_values;
mod histories;
mod hubspot;
mod hubspot_practice;
mod init;
mod injection;
mod journal;
mod journal_tables;
mod killed;
mod last_written;
mod limits;
mod mapping;
mod matching;
mod memory;
mod names;
mod newcomers;
mod outcomes;
mod outputs;
mod parked;
mod parquet;
mod places;
mod plans;
mod practice;
mod preview;
mod printing;
mod random;
mod readiness;
mod realtime;
mod rejected;
mod retry;
mod rights;
mod running;
mod salesforce;
mod secrets;
mod serve;
mod services;
mod sessions;
mod single_record;
mod sources;
mod special_files;
mod stopping;
mod twins;
mod undo;
mod untouched;
mod values;
mod views;
mod waiting;
mod wire;
