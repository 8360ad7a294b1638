//! Futures of what takes many steps are large, and whoever awaits one has room for it on the stack, at
//! each level anew: in a process that serves, whose threads have two MiB, that is too much together.

use std::pin::Pin;

/// Makes a future where it takes none of the caller's stack.
#[inline(never)]
pub(crate) fn on_heap<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}
