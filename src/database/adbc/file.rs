//! Databases that are files: this process opens each once, whoever uses it.
//!
//! A database keeps other processes out by a lock of the operating system, which does not tell two
//! openings of one process apart, and is gone as soon as either is closed. So whoever comes second
//! shares what the first one opened, or waits for it to be closed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adbc_core::Database as _;
use adbc_core::error::Error;
use adbc_driver_manager::{ManagedConnection, ManagedDatabase};

use super::fault::Failures;
use crate::domain::error::SystemError;

/// Between two looks whether another process has let go of a file.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileAccess {
    Read,
    /// A database that is a file; others are never written. `patience` is how long somebody else
    /// who has the file is waited for.
    Write {
        patience: Duration,
    },
}

/// A share in an open file. It is closed when the last one is given back, and nobody opens it before
/// that is done.
pub(super) struct Lease {
    place: Arc<Place>,
    is_written: bool,
}

/// What this process has of one file.
#[derive(Default)]
struct Place {
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Default)]
struct State {
    shares: usize,
    opened: Option<OpenFile>,
}

struct OpenFile {
    database: ManagedDatabase,
    is_written: bool,
}

impl Lease {
    /// Takes a share in a file, which `open` opens where it is not open yet.
    /// Errors: as `open`; `Contended`, if it is open here for reading only, and stays so.
    pub(super) fn take(
        failures: &Failures,
        file: &Path,
        access: FileAccess,
        open: impl Fn() -> Result<ManagedDatabase, SystemError>,
    ) -> Result<Self, SystemError> {
        let (writes, patience) = match access {
            FileAccess::Read => (false, Duration::ZERO),
            FileAccess::Write { patience } => (true, patience),
        };
        let place = Place::of(file);
        let deadline = Instant::now() + patience;
        let mut state = place.state();
        let mut is_waiting = false;
        loop {
            let error = match &state.opened {
                Some(opened) if opened.is_written || !writes => {
                    let is_written = opened.is_written;
                    return Ok(Self::counted(&place, &mut state, is_written));
                }
                Some(_) => SystemError::Contended {
                    connection: failures.connection().to_owned(),
                    source: "this process reads the file, and it is to be closed before it can be \
                             opened for writing"
                        .into(),
                },
                None => match open() {
                    Ok(database) => {
                        state.opened = Some(OpenFile {
                            database,
                            is_written: writes,
                        });
                        return Ok(Self::counted(&place, &mut state, writes));
                    }
                    Err(error) => error,
                },
            };
            let is_busy = matches!(error, SystemError::Contended { .. });
            if !is_busy || Instant::now() >= deadline {
                return Err(error);
            }
            if !is_waiting {
                is_waiting = true;
                let whose = match state.opened {
                    Some(_) => "whoever reads the file in this process",
                    None => "another process that has the file",
                };
                tracing::warn!(
                    connection = failures.connection(),
                    ?patience,
                    "waiting for {whose}"
                );
            }
            let waited = place.given_back.wait_timeout(state, LOOK_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn counted(place: &Arc<Place>, state: &mut State, is_written: bool) -> Self {
        state.shares += 1;
        Self {
            place: Arc::clone(place),
            is_written,
        }
    }

    /// Whether the file is open for writing.
    pub(super) fn is_written(&self) -> bool {
        self.is_written
    }

    /// Another connection to it, which is to be dropped before the lease is.
    pub(super) fn connect(&self) -> Result<ManagedConnection, Error> {
        let state = self.place.state();
        let opened = state
            .opened
            .as_ref()
            .expect("a file stays open while somebody has a share in it");
        opened.database.new_connection()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.place.state();
        state.shares = state.shares.saturating_sub(1);
        if state.shares == 0 {
            state.opened = None;
        }
        drop(state);
        self.place.given_back.notify_all();
    }
}

impl Place {
    fn of(file: &Path) -> Arc<Self> {
        type Places = HashMap<PathBuf, Arc<Place>>;
        static PLACES: LazyLock<Mutex<Places>> = LazyLock::new(Mutex::default);
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(file).or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
