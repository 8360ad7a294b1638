//! Tells cargo that the ledger's migrations are part of the program, and how a debug build is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=sql/ledger");
    // Tests start the program thousands of times, and a quarter of a short command was the loader moving a debug
    // build's 20 MB of addresses to where it lies. A release stays movable, as programs ought to be.
    let movable = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "gnu");
    if linux && gnu && !movable {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
