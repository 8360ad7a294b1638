//! How fast requests may follow one another: so many a second, and so many at once, fewer as soon
//! as the host is overburdened and slowly more again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The first wait before a request is sent again.
const DELAY_MIN: Duration = Duration::from_millis(250);
/// The longest wait that nobody asked for.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// The longest wait that a host is granted.
pub(super) const DELAY_ASKED_MAX: Duration = Duration::from_secs(10 * 60);

/// Waits between `attempts_max` attempts: doubling, with jitter so that those who were refused
/// together do not come back together.
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

/// So many requests a second, evenly.
#[derive(Debug)]
pub(crate) struct Bucket {
    interval: Option<Duration>,
    next: Mutex<Option<Instant>>,
    /// Until when no request may begin, for the host asked for it.
    held_until: Mutex<Option<Instant>>,
}

impl Bucket {
    pub(crate) fn new(requests_per_second: Option<u32>) -> Self {
        let interval =
            requests_per_second.and_then(|requests| Duration::from_secs(1).checked_div(requests));
        Self {
            interval,
            next: Mutex::new(None),
            held_until: Mutex::new(None),
        }
    }

    /// Lets no request begin for so long.
    pub(super) fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait.min(DELAY_ASKED_MAX);
        let mut held = self
            .held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |held| held.max(until)));
    }

    fn held_until(&self) -> Option<Instant> {
        let held = self
            .held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.filter(|until| *until > Instant::now())
    }

    /// Waits until the next request may begin.
    pub(crate) async fn turn(&self) {
        while let Some(until) = self.held_until() {
            tokio::time::sleep_until(until).await;
        }
        let Some(interval) = self.interval else {
            return;
        };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + interval);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

/// Requests in flight: at most so many, half of them as soon as the host says that it is too much,
/// and one more after each round of requests that went well.
#[derive(Debug)]
pub(super) struct Bound {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// As it was told in the beginning.
    told_max: usize,
    max: usize,
    allowed: usize,
    in_flight: usize,
    /// Requests that went well since the last change.
    good: usize,
}

impl Bound {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self {
            state: Mutex::new(State {
                told_max: max,
                max,
                allowed: max,
                in_flight: 0,
                good: 0,
            }),
            freed: Notify::new(),
        }
    }

    /// Waits until one more request may be in flight.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            let freed = self.freed.notified();
            if self.try_enter() {
                return Place { bound: self };
            }
            freed.await;
        }
    }

    fn try_enter(&self) -> bool {
        let mut state = self.state();
        let free = state.in_flight < state.allowed;
        if free {
            state.in_flight += 1;
        }
        free
    }

    /// The host took a request: after as many as may be in flight, one more may.
    pub(super) fn went_well(&self) {
        let mut state = self.state();
        state.good += 1;
        if state.good >= state.allowed && state.allowed < state.max {
            state.allowed += 1;
            state.good = 0;
            drop(state);
            self.freed.notify_waiters();
        }
    }

    /// The host recommends so many at once: never more than it was told to allow.
    pub(super) fn recommend(&self, recommended: usize) {
        let mut state = self.state();
        state.max = state.told_max.min(recommended.max(1));
        state.allowed = state.allowed.min(state.max);
    }

    /// The host is overburdened.
    pub(super) fn was_too_much(&self) {
        let mut state = self.state();
        state.allowed = (state.allowed / 2).max(1);
        state.good = 0;
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    #[cfg(test)]
    fn allowed(&self) -> usize {
        self.state().allowed
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    bound: &'a Bound,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.bound.state().in_flight -= 1;
        self.bound.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_begin_evenly_and_the_first_at_once() {
        let bucket = Bucket::new(Some(100));
        let begun = Instant::now();
        for _ in 0..5 {
            bucket.turn().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn a_host_that_asks_for_it_is_left_alone_by_all() {
        let bucket = Bucket::new(None);
        bucket.hold(Duration::from_millis(60));
        bucket.hold(Duration::from_millis(10));
        let begun = Instant::now();
        bucket.turn().await;
        assert!(begun.elapsed() >= Duration::from_millis(40));
    }

    #[test]
    fn a_recommendation_lowers_what_may_be_in_flight_and_never_raises_it() {
        let bound = Bound::new(8);
        bound.recommend(3);
        assert_eq!(bound.allowed(), 3);
        for _ in 0..20 {
            bound.went_well();
        }
        assert_eq!(bound.allowed(), 3);
        bound.recommend(50);
        for _ in 0..50 {
            bound.went_well();
        }
        assert_eq!(bound.allowed(), 8);
    }

    #[tokio::test]
    async fn what_is_too_much_halves_what_may_be_in_flight_and_it_rises_by_one() {
        let bound = Bound::new(8);
        bound.was_too_much();
        bound.was_too_much();
        assert_eq!(bound.allowed(), 2);
        for _ in 0..2 {
            bound.went_well();
        }
        assert_eq!(bound.allowed(), 3);
        for _ in 0..10 {
            bound.was_too_much();
        }
        assert_eq!(bound.allowed(), 1);
        let place = bound.enter().await;
        assert_eq!(bound.in_flight(), 1);
        assert!(!bound.try_enter(), "one is in flight");
        drop(place);
        assert!(bound.try_enter());
    }
}
