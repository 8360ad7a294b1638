//! The edge to libraries that read foreign bytes: whatever gives up in there is an error out here,
//! and says nothing on the terminal.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Guarded calls under way in the whole process.
static GUARDED_CALLS: AtomicUsize = AtomicUsize::new(0);

/// How the threads of polars' own pools are called: what fails there is told to the call that waits
/// for it.
const POOL_THREADS: [&str; 2] = ["polars-", "async-executor-"];

/// A library gave up.
#[derive(Debug, thiserror::Error)]
#[error("a library could not make sense of it: {0}")]
pub(crate) struct GaveUp(String);

/// Calls a library, and turns its panic into an error.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, GaveUp> {
    static HOOK: Once = Once::new();
    HOOK.call_once(silence);
    let outer = IS_GUARDED.replace(true);
    GUARDED_CALLS.fetch_add(1, Ordering::Relaxed);
    // What the call was working on is dropped with it: nobody meets it half done.
    let called = catch_unwind(AssertUnwindSafe(call));
    GUARDED_CALLS.fetch_sub(1, Ordering::Relaxed);
    IS_GUARDED.set(outer);
    called.map_err(|panic| GaveUp(reason(panic.as_ref())))
}

/// Keeps panics of guarded calls from the terminal; all others are told as before.
fn silence() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        let thread = std::thread::current();
        let is_of_pool = thread
            .name()
            .is_some_and(|name| POOL_THREADS.iter().any(|pool| name.starts_with(pool)));
        match IS_GUARDED.get() || (is_of_pool && GUARDED_CALLS.load(Ordering::Relaxed) > 0) {
            true => tracing::debug!(reason = reason(panic.payload()), "a library gave up"),
            false => others(panic),
        }
    }));
}

/// The first line of what a panic says.
fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next())
        .unwrap_or("no reason given")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_reason() {
        let gave_up = guarded(|| assert_eq!(1, 2, "one is not two")).expect_err("a panic");
        assert!(
            gave_up
                .to_string()
                .starts_with("a library could not make sense of it: "),
            "{gave_up}"
        );
        assert_eq!(guarded(|| 3).ok(), Some(3));
    }
}
