//! Progress: bars on a terminal, plain lines elsewhere, nothing when machines read.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tracing::info;

use super::output;
use crate::domain::printable::printable;
use crate::run::Progress;

/// How often a plain line is written: often enough to see that work goes on, seldom enough for a
/// log file.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress that fits where stderr leads.
pub(crate) fn for_stderr() -> Arc<dyn Progress> {
    match stderr().is_terminal() {
        true => Arc::new(Bars::default()),
        false => Arc::new(Lines::default()),
    }
}

/// The progress of a run that nobody looks on at: lines of the log.
pub(crate) fn for_log(job: &str) -> Arc<dyn Progress> {
    Arc::new(Lines {
        job: Some(job.to_owned()),
        state: Mutex::default(),
    })
}

/// Bars on a terminal; they vanish when the work is done and leave the summary alone.
#[derive(Default)]
struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn with_bar(&self, make: impl FnOnce() -> ProgressBar, act: impl FnOnce(&ProgressBar)) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        act(bar.get_or_insert_with(make));
    }

    fn clear(&self) {
        if let Some(bar) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {prefix}  {human_pos} records read  {elapsed}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn bar(records: u64) -> ProgressBar {
    let template = "{prefix}  {bar:30} {human_pos} of {human_len} records  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(records).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Progress for Bars {
    fn pulled(&self, write_back: &str, records: u64) {
        self.with_bar(spinner, |bar| {
            bar.set_prefix(printable(write_back));
            bar.set_position(records);
        });
    }

    fn push_begins(&self, write_back: &str, records: u64) {
        self.clear();
        self.with_bar(|| bar(records), |bar| bar.set_prefix(printable(write_back)));
    }

    fn pushed(&self, _write_back: &str, records: u64) {
        self.with_bar(spinner, |bar| bar.inc(records));
    }

    fn push_ends(&self, _write_back: &str) {
        self.clear();
    }
}

/// Plain lines for logs and pipes: one now and then while the work is long, none while it is short.
#[derive(Default)]
struct Lines {
    /// Whose run it is, if the lines go to the log.
    job: Option<String>,
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    last_line: Option<Instant>,
    total: u64,
    done: u64,
}

impl Lines {
    fn tell(&self, update: impl FnOnce(&mut LineState) -> String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = update(&mut state);
        let due = state.last_line.get_or_insert_with(Instant::now).elapsed() >= LINE_INTERVAL;
        if due {
            state.last_line = Some(Instant::now());
            match &self.job {
                Some(job) => info!(job = %job, "{line}"),
                None => output::tell(&(line + "\n")),
            }
        }
    }
}

impl Progress for Lines {
    fn pulled(&self, write_back: &str, records: u64) {
        self.tell(|_| format!("{write_back}: {} records read", HumanCount(records)));
    }

    fn push_begins(&self, write_back: &str, records: u64) {
        self.tell(|state| {
            (state.total, state.done) = (records, 0);
            format!("{write_back}: {} records to push", HumanCount(records))
        });
    }

    fn pushed(&self, write_back: &str, records: u64) {
        self.tell(|state| {
            state.done += records;
            format!(
                "{write_back}: {} of {} records pushed",
                HumanCount(state.done),
                HumanCount(state.total)
            )
        });
    }

    fn push_ends(&self, write_back: &str) {
        self.tell(|state| format!("{write_back}: {} records pushed", HumanCount(state.done)));
    }
}
