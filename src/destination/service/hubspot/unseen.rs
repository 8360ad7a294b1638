//! What the search may not know of yet. Its index is a few moments behind what is written, so that
//! one miss is no proof: before a record is made because none was found, the key is searched for
//! again once the index must have caught up with what this process made, and with what one that
//! was killed may have made just before it began.
//! Source: <https://developers.hubspot.com/docs/api-reference/search/guide>.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the index is behind, where nobody says otherwise.
pub(super) const SEARCH_LAG: Duration = Duration::from_secs(10);

/// Object, property and value of a record that was made.
type Made = (String, String, String);

#[derive(Debug)]
pub(super) struct Unseen {
    lag: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When this process first looked for what it would make, by object.
    begun: BTreeMap<String, Instant>,
    /// When records were made last that hold these.
    made: HashMap<Made, Instant>,
}

impl Unseen {
    pub(super) fn new(lag: Duration) -> Self {
        Self {
            lag,
            known: Mutex::default(),
        }
    }

    /// How long until the search knows of whatever record of an object was made with one of these
    /// values in a property; `None` if it does.
    pub(super) fn wait(
        &self,
        object: &str,
        property: &str,
        missing: &[&str],
        now: Instant,
    ) -> Option<Duration> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = *known.begun.entry(object.to_owned()).or_insert(now);
        let made = missing.iter().filter_map(|value| {
            let made = made(object, property, value);
            known.made.get(&made).copied()
        });
        let last = made.fold(begun, Instant::max);
        let left = (last + self.lag).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Records of an object are made with these values, or may have been.
    pub(super) fn note<'a>(
        &self,
        object: &str,
        values: impl Iterator<Item = (&'a str, String)>,
        now: Instant,
    ) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = self.lag;
        known
            .made
            .retain(|_, at| now.saturating_duration_since(*at) < lag);
        let values = values.map(|(property, value)| (made(object, property, &value), now));
        known.made.extend(values);
    }
}

/// Values are searched for whatever their case.
fn made(object: &str, property: &str, value: &str) -> Made {
    (object.to_owned(), property.to_owned(), value.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_counts_once_the_search_must_know_of_what_was_made() {
        let unseen = Unseen::new(Duration::from_secs(10));
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let wait = |value: &str, at| {
            let wait = unseen.wait("deals", "dealname", &[value], at);
            wait.map(|wait| wait.as_secs())
        };
        assert_eq!(wait("one", begun), Some(10), "one that was killed made it");
        assert_eq!(wait("one", after(7)), Some(3));
        assert_eq!(wait("one", after(10)), None);
        let values = [("dealname", "One".to_owned())];
        unseen.note("deals", values.into_iter(), after(20));
        assert_eq!(wait("one", after(21)), Some(9), "whatever its case");
        assert_eq!(wait("two", after(21)), None, "nobody made it");
        assert_eq!(wait("one", after(30)), None);
    }
}
