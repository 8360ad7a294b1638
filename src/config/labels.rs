//! `labels = [{ below = "40", label = "low" }, { label = "high" }]`: rising bounds, the last one
//! open.

use std::cmp::Ordering;

use super::document::{Value, shown};
use crate::domain::decimal::Decimal;
use crate::domain::method::Label;

const OPEN_HINT: &str = "the last label has no `below`: it takes whatever no earlier bound took";

/// Reads the labels; `None` after a mistake, which is noted.
pub(super) fn read_labels(value: Value<'_>) -> Option<Vec<Label>> {
    let elements = value.list()?;
    let labels: Vec<Option<Label>> = elements
        .iter()
        .map(|element| read_label(*element))
        .collect();
    let count = labels.len();
    if count == 0 {
        value.mistake(
            "`labels` is empty",
            Some("write `[{ below = 40, label = \"low\" }, { label = \"high\" }]`".to_owned()),
        );
        return None;
    }
    let labels: Vec<Label> = labels.into_iter().collect::<Option<_>>()?;
    let mut sound = true;
    for (index, (label, element)) in labels.iter().zip(&elements).enumerate() {
        let previous = index
            .checked_sub(1)
            .and_then(|index| labels.get(index))
            .and_then(|label| label.below.as_deref());
        if let Some(mistake) = mistake_of(label, previous, index + 1 == count) {
            element.mistake(mistake.0, Some(mistake.1.to_owned()));
            sound = false;
        }
    }
    sound.then_some(labels)
}

fn mistake_of(label: &Label, previous: Option<&str>, last: bool) -> Option<(String, &'static str)> {
    match (&label.below, last) {
        (None, false) => Some((
            format!(
                "label {} has no `below` and is not the last",
                shown(&label.label)
            ),
            OPEN_HINT,
        )),
        (Some(_), true) => Some((
            format!(
                "label {} is the last and has a `below`",
                shown(&label.label)
            ),
            OPEN_HINT,
        )),
        (Some(below), false)
            if previous.is_some_and(|previous| compare(previous, below) != Ordering::Less) =>
        {
            let message = format!(
                "label {} is never reached: bounds do not rise",
                shown(&label.label)
            );
            Some((message, "order the labels by `below`, smallest first"))
        }
        _ => None,
    }
}

fn read_label(value: Value<'_>) -> Option<Label> {
    let table = value.table("a label".to_owned())?;
    table.expect_keys(&["below", "label"]);
    let below = match table.get("below") {
        Some(value) => Some(read_bound(value)?),
        None => None,
    };
    let (_, label) = table.require_text("label", "write `{ below = 40, label = \"low\" }`")?;
    Some(Label {
        below,
        label: label.to_owned(),
    })
}

fn read_bound(value: Value<'_>) -> Option<String> {
    let text = value.number_or_text()?;
    let number = text.strip_prefix('+').unwrap_or(&text);
    if !is_decimal(number) {
        let hint = "write digits, and a point if need be: `40` or `\"0.75\"`".to_owned();
        value.mistake(
            format!(
                "`below` is {}, which is not a plain decimal number",
                shown(&text)
            ),
            Some(hint),
        );
        return None;
    }
    Some(number.to_owned())
}

fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('-').unwrap_or(text);
    match number.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(number),
    }
}

/// Compares two bounds, digit by digit, so that none is rounded.
fn compare(left: &str, right: &str) -> Ordering {
    let number = |bound| Decimal::parse(bound).expect("a bound is a plain decimal number");
    number(left).cmp(&number(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_compared_digit_by_digit() {
        let rising = [
            "-10.5",
            "-10.05",
            "-2",
            "0",
            "0.05",
            "0.5",
            "0.75",
            "2",
            "10",
            "10.000000000000000000001",
        ];
        for (left, lower) in rising.iter().enumerate() {
            for (right, higher) in rising.iter().enumerate() {
                assert_eq!(compare(lower, higher), left.cmp(&right), "{lower} {higher}");
            }
        }
        assert_eq!(compare("-0.0", "0"), Ordering::Equal);
        assert_eq!(compare("007.50", "7.5"), Ordering::Equal);
    }

    #[test]
    fn only_plain_decimals_are_bounds() {
        for good in ["0", "40", "-1.5", "0.75"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in [
            "", "-", ".5", "5.", "1e3", "inf", "nan", "1_000", "0x10", "1.2.3",
        ] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }
}
