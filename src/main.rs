//! `writeback`: carries a dashboard's scores back into the systems where people work.

mod cli;
mod commands;
mod config;
mod database;
mod destination;
mod domain;
mod fault;
mod ledger;
mod package;
mod report;
mod room;
mod run;
mod schedule;
mod source;
mod state;
mod telemetry;
mod user_file;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    room::guard_backtraces();
    let cli = Cli::parse();
    telemetry::start(cli.log_format, cli.verbosity());
    commands::dispatch(cli)
}
