//! How long to wait before a failed call is tried again, and how often.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first wait: long enough for a deadlock's other side to finish.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest wait: a server that restarts is back within a few of these.
const DELAY_MAX: Duration = Duration::from_secs(20);

/// Waits between `attempts_max` attempts: doubling, with jitter so that writers do not meet again.
pub(crate) fn delays(attempts_max: u32) -> ExponentialBackoff {
    let retries_max = usize::try_from(attempts_max.saturating_sub(1)).unwrap_or(usize::MAX);
    ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_factor(2.0)
        .with_jitter()
        .with_max_times(retries_max)
        .build()
}
