//! Room for the work: the threads and the memory that a command takes are tried before it begins.
//! Libraries that find neither later can only panic or end the process; here it is an error that
//! says what to do.
//!
//! The memory that counts here is addresses (`ulimit -v`) and what the system promises: nothing of
//! it is touched.

use std::collections::TryReserveError;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;

use crate::report::output;

/// Bytes a command may take beside what its threads do: its frames, a package's partitions, the
/// pages of its databases.
const WORK_BYTES: usize = 256 << 20;

/// Bytes a thread takes while it starts: two megabytes of stack, and the heap that the C library
/// sets aside for it, for a moment twice over to align it. Source: `HEAP_MAX_SIZE` and `new_heap`
/// in glibc's malloc/arena.c.
const THREAD_START_BYTES: usize = 136 << 20;

/// Bytes that naming the functions of a backtrace takes, give or take: the program's debug
/// information is read for it.
const BACKTRACE_BYTES: usize = 64 << 20;

/// Threads beside those of the two pools that a run has at once: the source's reader, the package's
/// writer and its helpers, the connections to the ledger and to a SQLite destination, name
/// resolution.
const OTHER_THREADS: usize = 10;

/// Workers of the runtime at most: they wait for databases more than they work.
const WORKERS_MAX: usize = 16;

/// Why nothing can begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoomError {
    #[error("there is too little memory to begin with")]
    Memory(#[from] TryReserveError),
    #[error("only {started} of the {wanted} threads that the work takes could be started")]
    Threads {
        started: usize,
        wanted: usize,
        source: io::Error,
    },
    /// The threads were there a moment ago.
    #[error("the threads that compare records could not be started")]
    Pool,
}

impl RoomError {
    /// The next thing to do.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Memory(_) => {
                "let the process have more (`ulimit -v unlimited`), or fewer threads, which each take some: \
                 `POLARS_MAX_THREADS=1`"
            }
            Self::Threads { .. } | Self::Pool => {
                "let this user or service have more (`ulimit -u`, `TasksMax` of systemd, `pids.max` of a container), or \
                 take fewer: `POLARS_MAX_THREADS=1`"
            }
        }
    }
}

/// Workers that the runtime is to have.
pub(crate) fn workers() -> usize {
    processors().min(WORKERS_MAX)
}

/// Sees to it that the work finds its threads and its memory, and starts the threads that can only
/// be had at once. Errors: it would not.
pub(crate) fn check() -> Result<(), RoomError> {
    // Held while the threads are tried: what is left to them is what the work leaves.
    let _work = reserve(WORK_BYTES)?;
    try_threads(workers() + frame_threads() + OTHER_THREADS)?;
    start_frame_threads()
}

/// Addresses that the system would give, without touching any of them.
fn reserve(bytes: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut room = Vec::new();
    room.try_reserve_exact(bytes)?;
    Ok(room)
}

/// Starts so many threads beside one another, each of which allocates something, and ends them.
/// What the C library set aside for them stays for those that come after.
fn try_threads(wanted: usize) -> Result<(), RoomError> {
    let everybody_started = Mutex::new(());
    thread::scope(|scope| {
        let _not_yet = everybody_started
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for started in 0..wanted {
            // A thread that finds no memory while it starts would end the process.
            drop(reserve(THREAD_START_BYTES)?);
            let (sender, receiver) = mpsc::sync_channel(1);
            let everybody_started = &everybody_started;
            let stay = move || {
                // Nobody waits for the word of a thread once the whole has failed.
                drop(sender.send(std::hint::black_box(Box::new(0_u64))));
                drop(everybody_started.lock());
            };
            let thread = thread::Builder::new()
                .name("room".to_owned())
                .spawn_scoped(scope, stay);
            thread.map_err(|source| RoomError::Threads {
                started,
                wanted,
                source,
            })?;
            // One after the other: two that start at once could both count on the same room.
            drop(receiver.recv());
        }
        Ok(())
    })
}

/// Threads that polars takes, as it counts them.
fn frame_threads() -> usize {
    let told = std::env::var("POLARS_MAX_THREADS")
        .ok()
        .and_then(|told| told.parse().ok());
    told.filter(|threads| *threads > 0)
        .unwrap_or_else(processors)
}

/// Polars starts its threads at their first use, and panics where it cannot.
fn start_frame_threads() -> Result<(), RoomError> {
    let started = panic::catch_unwind(AssertUnwindSafe(|| {
        LazyLock::force(&polars_core::runtime::THREAD_POOL).current_num_threads()
    }));
    started.map(drop).map_err(|_| RoomError::Pool)
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Sees to it that a panic can be told of. The standard library names the functions of a backtrace
/// under a lock that telling of missing memory takes as well: without memory for the one, a thread
/// would wait for itself for ever.
pub(crate) fn guard_backtraces() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| match reserve(BACKTRACE_BYTES) {
        Ok(_) => usual(panicked),
        Err(_) => tell_briefly(panicked),
    }));
}

fn tell_briefly(panicked: &PanicHookInfo<'_>) {
    output::tell(&format!("{panicked}\n"));
}
