//! Places where the tests kill the program: behind every change of state, where a restart must find its way from.
//!
//! They hang on debug assertions, not on a cargo feature: the program that the plain test run builds has them, so that
//! no test waits for a second build, and an optimised program has nothing of them.

/// The environment variable that says at which place the program dies: places are counted from 1 as they are passed.
#[cfg(debug_assertions)]
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

/// Something has just changed for good: on disk, in the ledger or at a destination. Dies here if told to, as a killed
/// program does: nothing is flushed, closed or dropped.
#[cfg(debug_assertions)]
pub(crate) fn point(changed: &str) {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static ABORT_AT_PLACE: LazyLock<Option<u64>> = LazyLock::new(|| std::env::var(ABORT_AT).ok()?.parse().ok());
    if ABORT_AT_PLACE.is_some_and(|place| place == PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
        // A test reads where it died; whether it can makes no difference here.
        drop(writeln!(std::io::stderr(), "dies here: {changed}"));
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn point(_changed: &str) {}
