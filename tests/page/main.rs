//! What people who open the page notice: over HTTP with a plain client, and in a real browser.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

mod acts;
mod agencies;
mod browser;
mod browsing;
mod clocks;
mod deciding;
mod door;
mod editing;
mod fixture;
mod generated;
#[path = "../behavior/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the page needs a part of it")]
mod harness;
mod keyboard;
mod large;
mod looks;
mod people;
mod person;
mod reasons;
mod roles;
mod scriptless;
mod several;
mod shown;
mod tending;
mod watching;
mod written_down;
