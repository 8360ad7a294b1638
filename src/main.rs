//! `writeback`: carries a dashboard's scores back into the systems where people work.
#![allow(dead_code, reason = "the first modules arrive before what calls them")]

mod commands;
mod config;
mod database;
mod destination;
mod domain;
mod ledger;
mod package;
mod report;
mod source;
mod state;

fn main() {}
