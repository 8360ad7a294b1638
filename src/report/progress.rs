//! Progress: bars on a terminal, plain lines elsewhere, nothing when machines read.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use super::output;
use crate::domain::printable::printable;
use crate::run::progress::{Lines, Progress};

/// The progress that fits where stderr leads.
pub(crate) fn for_stderr() -> Arc<dyn Progress> {
    match stderr().is_terminal() {
        true => Arc::new(Bars::default()),
        false => Arc::new(Lines::new(|line| output::tell(&format!("{line}\n")))),
    }
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
