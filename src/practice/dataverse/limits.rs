//! Service protection: how much one user may ask of one web server.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/api-limits>.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::errors::ODataError;
use crate::practice::call::{Answer, Call};

/// Seconds over which requests are counted.
const WINDOW_SECONDS: i64 = 300;

/// Web servers that share the work; a cookie keeps a client at one of them.
const SERVERS: u64 = 2;

/// The cookie that does.
const AFFINITY: &str = "ARRAffinity";

/// What one web server knows of a user's requests.
#[derive(Debug, Default)]
struct Server {
    requests: VecDeque<DateTime<Utc>>,
    /// Until when nothing is taken, once there were too many.
    held_until: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
pub(super) struct Protection {
    servers: BTreeMap<(String, u64), Server>,
}

impl Protection {
    /// Counts a request in, on the web server of this number.
    /// Errors: there were too many; going on asking makes the wait longer.
    pub(super) fn admit(
        &mut self,
        user: &str,
        server: u64,
        now: DateTime<Utc>,
        requests_max: u64,
    ) -> Result<u64, ODataError> {
        let server = self.servers.entry((user.to_owned(), server)).or_default();
        if let Some(until) = server.held_until.filter(|until| *until > now) {
            let until = until + TimeDelta::seconds(1);
            server.held_until = Some(until);
            return Err(too_many_requests(requests_max, until - now));
        }
        server.held_until = None;
        let begin = now - TimeDelta::seconds(WINDOW_SECONDS);
        while server.requests.front().is_some_and(|first| *first < begin) {
            server.requests.pop_front();
        }
        let used = u64::try_from(server.requests.len()).unwrap_or(u64::MAX);
        if used >= requests_max {
            let first = server.requests.front().copied().unwrap_or(now);
            let wait = (first - begin).max(TimeDelta::seconds(1));
            server.held_until = Some(now + wait);
            return Err(too_many_requests(requests_max, wait));
        }
        server.requests.push_back(now);
        Ok(requests_max - used - 1)
    }
}

/// The web server that a call goes to.
pub(super) fn server_of(call: &Call) -> u64 {
    let kept = call.header("cookie").and_then(|cookies| {
        let mut cookies = cookies.split(';').map(str::trim);
        let value = cookies.find_map(|cookie| cookie.strip_prefix(AFFINITY)?.strip_prefix('='))?;
        value.parse::<u64>().ok()
    });
    kept.unwrap_or(call.hindrance.number) % SERVERS
}

/// An answer with what every one tells of limits.
pub(super) fn with_limits(answer: Answer, server: u64, remaining: u64, parallel: u32) -> Answer {
    answer
        .with("Set-Cookie", format!("{AFFINITY}={server};Path=/;HttpOnly"))
        .with("x-ms-dop-hint", parallel.to_string())
        .with(
            "x-ms-ratelimit-burst-remaining-xrm-requests",
            remaining.to_string(),
        )
        .with("x-ms-ratelimit-time-remaining-xrm-requests", "1,200.00")
}

fn too_many_requests(requests_max: u64, wait: TimeDelta) -> ODataError {
    let message = format!(
        "Number of requests exceeded the limit of {requests_max} over time window of {WINDOW_SECONDS} seconds."
    );
    let seconds = u64::try_from(wait.num_seconds()).unwrap_or_default().max(1);
    throttled("0x80072322", message, seconds)
}

pub(super) fn too_much_time() -> ODataError {
    let message = "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of \
                   300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.";
    throttled("0x80072321", message.to_owned(), 1)
}

pub(super) fn too_many_at_once(most: usize) -> ODataError {
    let message = format!("Number of concurrent requests exceeded the limit of {most}.");
    throttled("0x80072326", message, 1)
}

fn throttled(code: &'static str, message: String, seconds: u64) -> ODataError {
    ODataError {
        retry_after: Some(seconds),
        ..ODataError::new(429, code, message)
    }
}
