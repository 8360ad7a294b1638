//! Guards, as `[defaults]` and each `[[write_back]]` name them.

use super::alerts::read_records_max;
use super::document::{Table, Value};
use crate::domain::guard::Guards;
use crate::domain::share::RecordsMax;

/// The keys read here.
pub(super) const KEYS: [&str; 5] = ["min_read", "max_changed", "max_nulls", "max_rejected", "require_test"];

/// More records than anybody pulls: who expects more has slipped a digit.
const MIN_READ_MAX: u32 = 1_000_000_000;

/// Reads the guards of a table; those it does not name are as `usual`.
pub(super) fn read_guards(table: &Table<'_>, usual: &Guards) -> Guards {
    let max = |key: &str, usual| table.get(key).and_then(read_max).unwrap_or(usual);
    let min_read = table.get("min_read").and_then(|value| value.integer(0, MIN_READ_MAX));
    let require_test = table.get("require_test").and_then(|value| value.boolean());
    Guards {
        min_read: min_read.map_or(usual.min_read, u64::from),
        max_changed: max("max_changed", usual.max_changed),
        max_nulls: max("max_nulls", usual.max_nulls),
        max_rejected: max("max_rejected", usual.max_rejected),
        require_test: require_test.unwrap_or(usual.require_test),
    }
}

/// A count, a share of at most all, or `"off"`, which is none.
fn read_max(value: Value<'_>) -> Option<Option<RecordsMax>> {
    match value.is_text() && value.text() == Some("off") {
        true => Some(None),
        false => read_records_max(value).map(Some),
    }
}
