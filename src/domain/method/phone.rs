//! Phone numbers, in the form that dials from anywhere: `+12125550123`.

use std::str::FromStr;

use phonenumber::country::Id;
use phonenumber::{Mode, parse};
use polars::prelude::{PlSmallStr, StringChunked};

use crate::domain::columnar::{self, Converted, Fault};
use crate::library;

/// Characters of the longest text that may be a phone number: one with its country's digits, marks
/// between them and an extension is far shorter.
const CHARACTERS_MAX: usize = 64;

/// How phone numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PhoneRule {
    /// Where a number without a country's digits is dialled; `None`: such a number is none.
    pub(crate) region: Option<Id>,
    pub(crate) unreadable: Unreadable,
}

/// What becomes of a text that is not a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unreadable {
    /// Its record is rejected.
    #[default]
    Reject,
    /// It is written as it is.
    Keep,
    /// NULL is written.
    Empty,
}

/// A region by its two letters, as ISO 3166 has them.
pub(crate) fn region(letters: &str) -> Option<Id> {
    Id::from_str(letters).ok()
}

/// Numbers in the form of E.164, their extensions left out. An empty text is no number and NULL.
pub(super) fn normalised(numbers: &StringChunked, rule: PhoneRule) -> Converted {
    let name: &PlSmallStr = numbers.name();
    let filled = numbers
        .iter()
        .map(|number| number.filter(|number| !number.trim().is_empty()));
    let is_number = |number: &str| international(number, rule.region);
    let (values, faults): (StringChunked, Vec<Fault>) = match rule.unreadable {
        Unreadable::Reject => columnar::texts(name, filled, |number, out| {
            let dialled = is_number(number).ok_or("is not a phone number")?;
            out.push_str(&dialled);
            Ok::<(), &str>(())
        }),
        Unreadable::Keep => columnar::texts(name, filled, |number, out| {
            out.push_str(&is_number(number).unwrap_or_else(|| number.to_owned()));
            Ok::<(), &str>(())
        }),
        Unreadable::Empty => {
            let values: StringChunked = filled.map(|number| number.and_then(is_number)).collect();
            (values.with_name(name.clone()), Vec::new())
        }
    };
    Converted::kept(values, faults)
}

fn international(number: &str, region: Option<Id>) -> Option<String> {
    if number.chars().count() > CHARACTERS_MAX {
        return None;
    }
    let parsed = library::guarded(|| parse(region, number.trim()))
        .ok()?
        .ok()?;
    phonenumber::is_valid(&parsed).then(|| {
        let digits = parsed.format().mode(Mode::E164).to_string();
        // The library adds the extension, which E.164 has no place for.
        digits
            .split([';', ' '])
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rule: PhoneRule, numbers: &[Option<&str>]) -> (Vec<Option<String>>, Vec<usize>) {
        let numbers: StringChunked = numbers.iter().copied().collect();
        let converted = normalised(&numbers, rule);
        let values = converted
            .values
            .str()
            .into_iter()
            .flat_map(StringChunked::iter);
        (
            values.map(|value| value.map(str::to_owned)).collect(),
            converted.faults.iter().map(|fault| fault.index).collect(),
        )
    }

    #[test]
    fn numbers_are_written_as_they_dial_from_anywhere() {
        let rule = PhoneRule {
            region: region("US"),
            unreadable: Unreadable::Reject,
        };
        let (values, faults) = texts(
            rule,
            &[
                Some("(212) 736-5000"),
                Some("+49 30 90269-0"),
                Some("212-736-5000 ext. 12"),
                Some("call me"),
                Some(" "),
                None,
            ],
        );
        let expected = ["+12127365000", "+4930902690", "+12127365000"];
        let expected: Vec<Option<String>> = expected
            .iter()
            .map(|number| Some((*number).to_owned()))
            .collect();
        assert_eq!(values.get(..3), Some(expected.as_slice()));
        assert_eq!(faults, [3]);
        assert_eq!(values.get(4..), Some([None, None].as_slice()));
    }

    #[test]
    fn a_number_without_a_region_dials_nowhere() {
        let rule = PhoneRule {
            region: None,
            unreadable: Unreadable::Keep,
        };
        let (values, faults) = texts(rule, &[Some("212-736-5000"), Some("+1 212 736 5000")]);
        assert_eq!(faults, [0_usize; 0]);
        assert_eq!(
            values,
            [
                Some("212-736-5000".to_owned()),
                Some("+12127365000".to_owned())
            ]
        );
        let (values, faults) = texts(
            PhoneRule {
                unreadable: Unreadable::Empty,
                ..rule
            },
            &[Some("212-736-5000"), Some(&"1".repeat(10_000))],
        );
        assert_eq!((values, faults), (vec![None, None], Vec::new()));
    }
}
