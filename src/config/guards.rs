//! Guards and canaries, as `[defaults]` and each `[[write_back]]` name them.

use super::alerts::read_records_max;
use super::document::{Table, Value};
use crate::domain::canary::Canary;
use crate::domain::guard::Guards;
use crate::domain::share::RecordsMax;

/// The keys read here.
pub(super) const KEYS: [&str; Guards::KEYS.len() + 1] = joined(Guards::KEYS, ["canary"]);

/// Keys of two lists as one: a table's own, and those read here.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated while compiling, where iterators are not to be had"
)]
pub(super) const fn joined<const OWN: usize, const OTHERS: usize, const ALL: usize>(
    own: [&'static str; OWN],
    others: [&'static str; OTHERS],
) -> [&'static str; ALL] {
    assert!(OWN + OTHERS == ALL, "every key of both lists has a place");
    let mut all = [""; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < OWN { own[at] } else { others[at - OWN] };
        at += 1;
    }
    all
}

/// More records than anybody pulls: who expects more has slipped a digit.
const MIN_READ_MAX: u32 = 1_000_000_000;

/// Reads the guards of a table; those it does not name are as `usual`.
pub(super) fn read_guards(table: &Table<'_>, usual: &Guards) -> Guards {
    let max = |key: &str, usual| table.get(key).and_then(read_max).unwrap_or(usual);
    let min_read = table
        .get("min_read")
        .and_then(|value| value.integer(0, MIN_READ_MAX));
    let require_test = table.get("require_test").and_then(|value| value.boolean());
    Guards {
        min_read: min_read.map_or(usual.min_read, u64::from),
        max_changed: max("max_changed", usual.max_changed),
        max_nulls: max("max_nulls", usual.max_nulls),
        max_rejected: max("max_rejected", usual.max_rejected),
        max_skipped: max("max_skipped", usual.max_skipped),
        max_calls: table
            .get("max_calls")
            .and_then(read_max_calls)
            .unwrap_or(usual.max_calls),
        require_test: require_test.unwrap_or(usual.require_test),
    }
}

/// Reads the canary of a table; one that it does not name is as `usual`.
pub(super) fn read_canary(table: &Table<'_>, usual: Option<Canary>) -> Option<Canary> {
    let Some(value) = table.get("canary") else {
        return usual;
    };
    if is_off(&value) {
        return None;
    }
    let canary = Canary::new(read_records_max(value)?);
    if canary.is_none() {
        let hint = "write a share of all in quotes, `\"1 %\"`, or a count, `100`; `\"off\"` sends all at once";
        value.mistake("`canary` is of no record", Some(hint.to_owned()));
    }
    canary
}

/// Whether it takes a default away.
pub(super) fn is_off(value: &Value<'_>) -> bool {
    value.is_text() && value.text() == Some("off")
}

/// More calls than any plan of a web API has in a day.
const MAX_CALLS_MAX: u32 = 1_000_000_000;

/// A count of calls, or `"off"`, which is no bound.
fn read_max_calls(value: Value<'_>) -> Option<Option<u64>> {
    match is_off(&value) {
        true => Some(None),
        false => value
            .integer(1, MAX_CALLS_MAX)
            .map(|calls| Some(u64::from(calls))),
    }
}

/// A count, a share of at most all, or `"off"`, which is none.
fn read_max(value: Value<'_>) -> Option<Option<RecordsMax>> {
    match is_off(&value) {
        true => Some(None),
        false => read_records_max(value).map(Some),
    }
}
