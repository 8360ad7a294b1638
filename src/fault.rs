//! Places where the tests kill the program: behind every change of state, where a restart must find
//! its way from.
//!
//! They hang on debug assertions, not on a cargo feature: the program that the plain test run
//! builds has them, so that no test waits for a second build, and an optimised program has nothing
//! of them.

/// Something has just changed for good: on disk, in the ledger or at a destination. Dies here if
/// told to, as a killed program does: nothing is flushed, closed or dropped.
#[cfg(debug_assertions)]
pub(crate) fn point(changed: &str) {
    use std::io::Write;
    use std::sync::LazyLock;

    static DEATH: LazyLock<Option<Death>> = LazyLock::new(Death::wanted);
    if DEATH.as_ref().is_some_and(|death| death.comes_at(changed)) {
        // A test reads where it died; whether it can makes no difference here.
        drop(writeln!(std::io::stderr(), "dies here: {changed}"));
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn point(_changed: &str) {}

/// Where the environment says that the program dies.
#[cfg(debug_assertions)]
struct Death {
    /// Passes still to come; of every change, or of the one that is named.
    passes: std::sync::atomic::AtomicU64,
    changed: Option<String>,
}

#[cfg(debug_assertions)]
impl Death {
    /// `WRITEBACK_ABORT_AT` is `7`, behind the seventh change of state, or `7 a batch committed`,
    /// the seventh of these.
    fn wanted() -> Option<Self> {
        let wanted = std::env::var("WRITEBACK_ABORT_AT").ok()?;
        let (passes, changed) = wanted
            .split_once(' ')
            .map_or((&*wanted, None), |(passes, name)| (passes, Some(name)));
        Some(Self {
            passes: passes.parse::<u64>().ok()?.into(),
            changed: changed.map(str::to_owned),
        })
    }

    fn comes_at(&self, changed: &str) -> bool {
        let counts = self.changed.as_ref().is_none_or(|wanted| wanted == changed);
        counts
            && self
                .passes
                .fetch_sub(1, std::sync::atomic::Ordering::Relaxed)
                == 1
    }
}
