//! What the readers of all kinds of connections share.

use std::str::FromStr;
use std::time::Duration;

use crate::config::document::{Table, Value};
use crate::config::secret::{Given, Surroundings};
use crate::config::times::{WAIT_MIN, duration_within};
use crate::domain::connection::{OptionValue, Secret};
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

impl Reader<'_> {
    /// `[connections.NAME.options]`: what only a driver or a store knows, put to what is `given`
    /// already. Whether all of it is right and there.
    pub(super) fn own_options(&mut self, given: &mut Vec<(String, OptionValue)>) -> bool {
        let table = self
            .table
            .get("options")
            .and_then(|value| value.table(format!("`[connections.{}.options]`", self.name)));
        let mut complete = true;
        for value in table.iter().flat_map(|table| table.entries()) {
            if given.iter().any(|(name, _)| name == value.key) {
                let message = format!(
                    "option `{}` is said twice, here and by a key of the connection",
                    value.key
                );
                value.key_mistake(message, Some("keep one of them".to_owned()));
            } else if value.is_text() || value.is_table() {
                match self.text_option(value) {
                    Some(option) => given.push((value.key.to_owned(), option)),
                    None => complete = false,
                }
            } else if let Some(plain) = value.number_or_boolean() {
                given.push((value.key.to_owned(), OptionValue::Plain(plain)));
            }
        }
        complete
    }

    fn text_option(&mut self, value: Value<'_>) -> Option<OptionValue> {
        Some(match self.surroundings.given(value)? {
            Given::Here(text) if is_secret_name(value.key) => {
                self.warn_of_secret(value, value.key, &format!("{:?}", value.key));
                OptionValue::Secret(Secret::new(text))
            }
            Given::Here(text) => OptionValue::Plain(text),
            Given::Elsewhere(text) => OptionValue::Secret(Secret::new(text)),
            Given::Absent(problem) => {
                self.told_to_users.push(problem);
                return None;
            }
        })
    }
}

/// Whether an option of this name holds what nobody may read.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // An id says who asks, and not that it is so.
    let is_id = name.ends_with("_id");
    let is_secret = [
        "password",
        "token",
        "secret",
        "key",
        "credential",
        "authorization",
    ]
    .iter()
    .any(|word| name.contains(word));
    is_secret && !is_id
}

/// Whether a host is this machine.
pub(in crate::config) fn is_local(host: &str) -> bool {
    let address = std::net::IpAddr::from_str(host);
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

pub(in crate::config) fn timeout(value: Value<'_>) -> Option<Duration> {
    duration_within(value, WAIT_MIN..=TIMEOUT_MAX)
}
