//! How many calls there may be: in ten seconds, of searches in one, and in a day of the portal's
//! zone.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::errors::ApiError;
use super::portal::Portal;
use super::settings::RetryAfter;
use crate::practice::call::Answer;

/// Searches of an account in a second.
/// Source: <https://developers.hubspot.com/docs/api-reference/search/guide>.
const SEARCHES_MAX: usize = 5;

impl Portal {
    /// Counts a call, and those of others along with it. Errors: there were too many already.
    pub(super) fn count(
        &mut self,
        now: DateTime<Utc>,
        others: u64,
        is_search: bool,
    ) -> Result<(), ApiError> {
        self.begin_day(now);
        if self.counters.used >= self.settings.portal.daily_calls {
            return Err(too_many("DAILY", "You have reached your daily limit."));
        }
        self.counters.used = self.counters.used.saturating_add(1 + others);
        self.touch_counters();
        let since = |seconds| now - TimeDelta::seconds(seconds);
        while self.recent.front().is_some_and(|call| *call <= since(10)) {
            self.recent.pop_front();
        }
        while self.searches.front().is_some_and(|call| *call <= since(1)) {
            self.searches.pop_front();
        }
        if is_search && self.searches.len() >= SEARCHES_MAX {
            let message = "You have reached your secondly limit.";
            return Err(too_many("SECONDLY", message));
        }
        if !is_search && self.recent.len() >= self.settings.portal.ten_seconds_calls {
            let message = "You have reached your ten_secondly_rolling limit.";
            return Err(too_many("TEN_SECONDLY_ROLLING", message));
        }
        match is_search {
            true => self.searches.push_back(now),
            false => self.recent.push_back(now),
        }
        Ok(())
    }

    fn begin_day(&mut self, now: DateTime<Utc>) {
        let today = now
            .with_timezone(&self.settings.portal.time_zone)
            .date_naive();
        if self.counters.day != Some(today) {
            self.counters.day = Some(today);
            self.counters.used = 0;
        }
    }

    /// The answer with what it tells of calls that are left: of the day to service keys only, of ten
    /// seconds where it is no search.
    pub(super) fn with_counts(&self, answer: Answer, is_app: bool, is_search: bool) -> Answer {
        let portal = &self.settings.portal;
        let mut answer = answer;
        if !is_app {
            let left = portal.daily_calls.saturating_sub(self.counters.used);
            answer = answer
                .with("X-HubSpot-RateLimit-Daily", portal.daily_calls.to_string())
                .with("X-HubSpot-RateLimit-Daily-Remaining", left.to_string());
        }
        if is_search {
            return answer;
        }
        let left = portal.ten_seconds_calls.saturating_sub(self.recent.len());
        answer
            .with("X-HubSpot-RateLimit-Interval-Milliseconds", "10000")
            .with(
                "X-HubSpot-RateLimit-Max",
                portal.ten_seconds_calls.to_string(),
            )
            .with("X-HubSpot-RateLimit-Remaining", left.to_string())
    }

    /// The answer to a call too many, which says how long to wait as the settings have it.
    pub(super) fn with_wait(&self, answer: Answer, error: &ApiError, now: DateTime<Utc>) -> Answer {
        let oldest = match error.policy {
            Some("SECONDLY") => self
                .searches
                .front()
                .map(|call| *call + TimeDelta::seconds(1)),
            Some("TEN_SECONDLY_ROLLING") => self
                .recent
                .front()
                .map(|call| *call + TimeDelta::seconds(10)),
            _ => None,
        };
        let Some(wait) = oldest.and_then(|free| (free - now).to_std().ok()) else {
            return answer;
        };
        match self.settings.portal.retry_after {
            RetryAfter::Seconds => answer.with("Retry-After", (wait.as_secs() + 1).to_string()),
            RetryAfter::Milliseconds => {
                let wait = wait.max(Duration::from_secs(1)) + Duration::from_millis(1);
                answer.with("Retry-After", wait.as_millis().to_string())
            }
            RetryAfter::None => answer,
        }
    }
}

pub(super) fn too_many(policy: &'static str, message: &str) -> ApiError {
    let mut error = ApiError::new(429, "RATE_LIMITS", message);
    error.policy = Some(policy);
    error
}
