//! Guards, as `[defaults]` and each `[[write_back]]` name them.

use super::document::{Table, Value, shown};
use crate::domain::guard::Guards;
use crate::domain::share::{Percent, RecordsMax};

/// The keys read here.
pub(super) const KEYS: [&str; 5] = ["min_read", "max_changed", "max_nulls", "max_rejected", "require_test"];

/// More records than anybody pulls; who expects more has slipped a unit.
const MIN_READ_MAX: u32 = 1_000_000_000;

/// Reads the guards of a table; those it does not name are as `usual`.
pub(super) fn read_guards(table: &Table<'_>, usual: &Guards) -> Guards {
    let max = |key: &str, usual| table.get(key).and_then(read_max).map_or(usual, Bound::records_max);
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

/// What a setting says of a bound.
#[derive(Clone, Copy)]
enum Bound {
    Off,
    Max(RecordsMax),
}

impl Bound {
    fn records_max(self) -> Option<RecordsMax> {
        match self {
            Self::Off => None,
            Self::Max(max) => Some(max),
        }
    }
}

/// A count, a share of at most all, or none.
fn read_max(value: Value<'_>) -> Option<Bound> {
    let text = value.number_or_text()?;
    if text == "off" {
        return Some(Bound::Off);
    }
    let count = || text.parse().ok().filter(|_| !value.is_text()).map(RecordsMax::Count);
    let share = Percent::parse(&text).filter(|percent| *percent <= Percent::ALL).map(RecordsMax::Share);
    let max = share.or_else(count);
    if max.is_none() {
        let message = format!("`{}` is {}, which is neither a share nor a count of records", value.key, shown(&text));
        let hint = "write a share in quotes, `\"30 %\"`, a count, `1000`, or `\"off\"`";
        value.mistake(message, Some(hint.to_owned()));
    }
    max.map(Bound::Max)
}
