//! Between which match keys the records of a batch are: whoever looks for one record leaves the
//! batches alone that cannot have it.

/// How much of a key counts. What begins alike is taken for the same.
const CHARS_MAX: usize = 60;

/// The least and the greatest of some match keys, as reports tell keys, byte by byte; of long ones
/// the beginning. It says nothing of the order in which the records stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySpan {
    pub(crate) first: String,
    pub(crate) last: String,
}

impl KeySpan {
    /// `None` if there is no key.
    pub(crate) fn of<'a>(keys: impl Iterator<Item = &'a str>) -> Option<Self> {
        let span = keys.fold(None, |span: Option<(&str, &str)>, key| match span {
            Some((first, last)) => Some((first.min(key), last.max(key))),
            None => Some((key, key)),
        });
        span.map(|(first, last)| Self {
            first: beginning(first).to_owned(),
            last: beginning(last).to_owned(),
        })
    }

    /// Whether a key may be among them.
    pub(crate) fn may_have(&self, key: &str) -> bool {
        let key = beginning(key);
        self.first.as_str() <= key && key <= self.last.as_str()
    }
}

/// Of two keys the beginnings are in the order of the keys, or the same.
fn beginning(key: &str) -> &str {
    let end = key.char_indices().nth(CHARS_MAX);
    end.and_then(|(end, _)| key.get(..end)).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_of_a_batch_may_be_in_it(keys in prop::collection::vec("[aß😀]{0,90}|.{0,8}", 1..20)) {
            let span = KeySpan::of(keys.iter().map(String::as_str)).expect("keys");
            for key in &keys {
                prop_assert!(span.may_have(key), "{key:?} is not in {span:?}");
            }
        }
    }

    #[test]
    fn a_key_before_or_behind_a_batch_is_not_in_it() {
        let span = KeySpan::of(["0200", "0100", "0150"].into_iter()).expect("keys");
        for (key, may_be) in [
            ("0099", false),
            ("0120", true),
            ("03", false),
            ("0200", true),
            ("0201", false),
        ] {
            assert_eq!(span.may_have(key), may_be, "{key}");
        }
        assert_eq!(KeySpan::of(std::iter::empty()), None);
    }
}
