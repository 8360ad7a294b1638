//! What a run tells while it works.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::info;

use crate::domain::outcome::grouped;

/// How often a plain line is told: often enough to see that work goes on, seldom enough for a log.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Whoever watches a run. Called from several threads.
pub(crate) trait Progress: Send + Sync {
    /// `records` have been read of a write-back so far.
    fn pulled(&self, write_back: &str, records: u64);
    /// Its records are about to be pushed: `records` of them.
    fn push_begins(&self, write_back: &str, records: u64);
    /// `records` more have an outcome.
    fn pushed(&self, write_back: &str, records: u64);
    fn push_ends(&self, write_back: &str);
}

/// The progress of a run that nobody looks on at: lines of the log.
pub(crate) fn for_log(job: &str) -> Arc<dyn Progress> {
    let job = job.to_owned();
    Arc::new(Lines::new(move |line| info!(job = %job, "{line}")))
}

/// Plain lines: one now and then while the work is long, none while it is short.
pub(crate) struct Lines<T> {
    told_to: T,
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    last_line: Option<Instant>,
    total: u64,
    done: u64,
}

impl<T: Fn(&str)> Lines<T> {
    pub(crate) fn new(told_to: T) -> Self {
        Self {
            told_to,
            state: Mutex::default(),
        }
    }

    fn tell(&self, update: impl FnOnce(&mut LineState) -> String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = update(&mut state);
        let due = state.last_line.get_or_insert_with(Instant::now).elapsed() >= LINE_INTERVAL;
        if due {
            state.last_line = Some(Instant::now());
            (self.told_to)(&line);
        }
    }
}

impl<T: Fn(&str) + Send + Sync> Progress for Lines<T> {
    fn pulled(&self, write_back: &str, records: u64) {
        self.tell(|_| format!("{write_back}: {} records read", grouped(records)));
    }

    fn push_begins(&self, write_back: &str, records: u64) {
        self.tell(|state| {
            (state.total, state.done) = (records, 0);
            format!("{write_back}: {} records to push", grouped(records))
        });
    }

    fn pushed(&self, write_back: &str, records: u64) {
        self.tell(|state| {
            state.done += records;
            format!(
                "{write_back}: {} of {} records pushed",
                grouped(state.done),
                grouped(state.total)
            )
        });
    }

    fn push_ends(&self, write_back: &str) {
        self.tell(|state| format!("{write_back}: {} records pushed", grouped(state.done)));
    }
}
