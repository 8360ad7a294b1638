//! What the readers of all kinds of connections share.

use std::str::FromStr;
use std::time::Duration;

use crate::config::document::{Table, Value};
use crate::config::secret::Surroundings;
use crate::config::times::{WAIT_MIN, duration_within};
use crate::domain::problem::Problem;

/// Waiting longer than this for one answer is never meant.
const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// More attempts at one batch than this only hide that something is broken.
pub(super) const ATTEMPTS_MAX: u32 = 100;
/// More writers than this only wait for one another.
pub(super) const WRITERS_MAX: u32 = 16;

/// One connection while it is read.
pub(super) struct Reader<'a> {
    pub(super) name: &'a str,
    pub(super) table: &'a Table<'a>,
    pub(super) surroundings: Surroundings<'a>,
    pub(super) told_to_users: Vec<Problem>,
}

/// Whether a host is this machine.
pub(in crate::config) fn is_local(host: &str) -> bool {
    let address = std::net::IpAddr::from_str(host);
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

pub(in crate::config) fn timeout(value: Value<'_>) -> Option<Duration> {
    duration_within(value, WAIT_MIN..=TIMEOUT_MAX)
}
