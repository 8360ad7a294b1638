//! The time as a practice tells it: that of the machine, moved ahead as far as a rehearsal wishes.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Milliseconds.
    ahead: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(self.ahead.load(Ordering::Relaxed))
    }

    /// Moves it on; never back.
    pub(crate) fn advance(&self, milliseconds: u32) {
        self.ahead
            .fetch_add(i64::from(milliseconds), Ordering::Relaxed);
    }
}
