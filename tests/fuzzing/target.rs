//! Feeds one target of the program with bytes that libFuzzer makes up; `tests/fuzz` starts it.

#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use writeback::fuzzing::{Bench, TARGETS, Target, whole_segment};

/// Names a file to write a whole segment to, before anything else.
const SEGMENT_VARIABLE: &str = "WRITEBACK_FUZZ_SEGMENT";

/// Names the target.
const TARGET_VARIABLE: &str = "WRITEBACK_FUZZ_TARGET";

thread_local! {
    static CHOSEN: OnceCell<(Bench, Target)> = const { OnceCell::new() };
}

fn choose() -> (Bench, Target) {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        panic!(
            "{TARGET_VARIABLE} names no target: it is one of {}",
            known.join(", ")
        );
    };
    (Bench::new().expect("a folder of its own"), *target)
}

fuzz_target!(
    init: {
        // libFuzzer's own hook ends the process at every panic, also at those that the program
        // expects of a library and turns into errors. What escapes ends it all the same.
        drop(std::panic::take_hook());
        if let Some(path) = std::env::var_os(SEGMENT_VARIABLE) {
            std::fs::write(path, whole_segment().expect("a segment")).expect("a file");
        }
    },
    |data: &[u8]| CHOSEN.with(|chosen| {
        let (bench, target) = chosen.get_or_init(choose);
        target(bench, data).expect("the bench's own files");
    })
);
