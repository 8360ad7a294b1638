//! Requests over HTTP: single records that are written at once, and told of in full.

mod answers;
mod caller;
mod described;
mod encrypted;
mod few;
mod histories;
mod killed;
mod micro_sync;
mod records;
mod references;
mod register;
mod runs;
mod services;
mod several;
mod story;
mod unknown;
