//! `writeback`: carries a dashboard's scores back into the systems where people work.
//!
//! The program is this library, so that documentation, benchmarks and fuzz targets reach its rooms;
//! `main.rs` only starts it. Nothing here is promised to other programs: [`main`] is all they see.

mod access;
mod allocator;
mod cli;
mod commands;
mod config;
mod database;
mod destination;
mod domain;
mod doorkeeper;
mod fault;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod heap;
mod http;
mod ledger;
mod library;
mod package;
mod page;
mod practice;
mod report;
mod requests;
mod room;
mod run;
mod schedule;
mod source;
mod state;
mod telemetry;
mod user_file;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ContextValue;

use crate::cli::Cli;
use crate::domain::printable::printable;
use crate::report::output;

/// Runs the program with the arguments of this process; returns what it exits with.
pub fn main() -> ExitCode {
    allocator::fix_thresholds();
    room::guard_backtraces();
    commands::manual::complete();
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(error));
    report::clock::set(cli.timezone);
    telemetry::start(cli.log_format, cli.verbosity());
    commands::dispatch::dispatch(cli)
}

/// Ends with what is wrong with the command line, whose words may be anything; or with the help
/// that it asks for.
fn refuse(mut error: clap::Error) -> ! {
    if error.use_stderr() {
        let words = error.context().filter_map(|(kind, value)| {
            if let ContextValue::String(word) = value {
                Some((kind, printable(word)))
            } else {
                None
            }
        });
        for (kind, word) in words.collect::<Vec<_>>() {
            error.insert(kind, ContextValue::String(word));
        }
        output::tell(&error.render().to_string());
        std::process::exit(error.exit_code());
    }
    error.exit()
}
