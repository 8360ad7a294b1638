//! Parts of a whole as people bound them: in per cent, or as a count of records. All comparing is
//! done in whole numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::outcome::grouped;

/// A share in per cent, kept in hundredths of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Percent {
    hundredths: u32,
}

impl Percent {
    /// The whole.
    pub(crate) const ALL: Self = Self { hundredths: 10_000 };
    /// The largest that can be told: a thousandfold.
    pub(crate) const MAX: Self = Self {
        hundredths: 10_000_000,
    };

    /// Reads `5 %`, `5%` and `0.25 %`. `None` if it is no such text, has more than two decimals or
    /// is above [`Percent::MAX`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "00"));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return None;
        }
        let hundredths: u32 = format!("{decimals:0<2}").parse().ok()?;
        let hundredths = whole
            .parse::<u32>()
            .ok()?
            .checked_mul(100)?
            .checked_add(hundredths)?;
        Some(Self { hundredths }).filter(|percent| *percent <= Self::MAX)
    }

    /// The share of `whole` that `part` is, rounded up: what is more than a bound is never shown as
    /// the bound. At most [`Percent::MAX`].
    pub(crate) fn of(part: u64, whole: u64) -> Self {
        let hundredths = (u128::from(part) * u128::from(Self::ALL.hundredths))
            .div_ceil(u128::from(whole).max(1));
        let hundredths = u32::try_from(hundredths).unwrap_or(Self::MAX.hundredths);
        Self { hundredths }.min(Self::MAX)
    }

    /// So much of `whole`, rounded up.
    pub(crate) fn part_of(self, whole: u64) -> u64 {
        let part = (u128::from(whole) * u128::from(self.hundredths))
            .div_ceil(u128::from(Self::ALL.hundredths));
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Whether `part` is a larger share of `whole`. No part of nothing is, and any part of nothing
    /// else is.
    pub(crate) fn is_exceeded_by(self, part: u128, whole: u128) -> bool {
        part.saturating_mul(u128::from(Self::ALL.hundredths))
            > whole.saturating_mul(u128::from(self.hundredths))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.hundredths / 100, self.hundredths % 100) {
            (whole, 0) => write!(formatter, "{whole} %"),
            (whole, decimals) if decimals % 10 == 0 => {
                write!(formatter, "{whole}.{} %", decimals / 10)
            }
            (whole, decimals) => write!(formatter, "{whole}.{decimals:02} %"),
        }
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a percentage"))
    }
}

/// The most of some records: so many, or such a share of them all. Files and machines write a
/// number or `"5 %"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum RecordsMax {
    Count(u64),
    Share(Percent),
}

impl RecordsMax {
    pub(crate) fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        match self {
            Self::Count(count) => part > count,
            Self::Share(percent) => percent.is_exceeded_by(part.into(), whole.into()),
        }
    }
}

impl fmt::Display for RecordsMax {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => formatter.write_str(&grouped(*count)),
            Self::Share(percent) => percent.fmt(formatter),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn per_cents_are_read_and_written_exactly() {
        for (text, shown) in [
            ("5 %", "5 %"),
            ("5%", "5 %"),
            (" 0.25 % ", "0.25 %"),
            ("0.5 %", "0.5 %"),
            ("0.05 %", "0.05 %"),
            ("5.00%", "5 %"),
            ("0 %", "0 %"),
            ("100000 %", "100000 %"),
        ] {
            assert_eq!(
                Percent::parse(text)
                    .map(|percent| percent.to_string())
                    .as_deref(),
                Some(shown),
                "{text}"
            );
        }
        for text in [
            "",
            "%",
            "5",
            "-5 %",
            "+5 %",
            "5 percent",
            "5.",
            "5. %",
            ".5 %",
            "0.125 %",
            "1e2 %",
            "100000.01 %",
            "9999999999 %",
            "5 %%",
        ] {
            assert_eq!(Percent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_part_that_exceeds_a_share_is_shown_as_more() {
        for (part, whole, shown) in [
            (0, 7, "0 %"),
            (1, 3, "33.34 %"),
            (900, 1_000, "90 %"),
            (30_001, 100_000, "30.01 %"),
            (3, 3, "100 %"),
        ] {
            assert_eq!(
                Percent::of(part, whole).to_string(),
                shown,
                "{part} of {whole}"
            );
        }
        assert_eq!(Percent::of(0, 0).to_string(), "0 %");
        assert_eq!(Percent::of(u64::MAX, 1), Percent::MAX);
    }

    #[test]
    fn a_part_of_few_is_at_least_one_and_of_all_all() {
        let part = |text: &str, whole| Percent::parse(text).unwrap().part_of(whole);
        assert_eq!(
            [
                part("1 %", 1_400),
                part("1 %", 1_401),
                part("0.01 %", 1),
                part("0 %", 9)
            ],
            [14, 15, 1, 0]
        );
        assert_eq!(
            [
                part("100 %", u64::MAX),
                part("100000 %", u64::MAX),
                part("1 %", 0)
            ],
            [u64::MAX, u64::MAX, 0]
        );
    }

    #[test]
    fn a_share_is_exceeded_only_by_more_than_it() {
        let share = RecordsMax::Share(Percent::parse("5 %").unwrap());
        assert!(!share.is_exceeded_by(5, 100));
        assert!(share.is_exceeded_by(6, 100));
        assert!(share.is_exceeded_by(51, 1_000));
        assert!(!share.is_exceeded_by(0, 0));
        assert!(share.is_exceeded_by(1, 0));
        assert!(!share.is_exceeded_by(u64::MAX / 20, u64::MAX));
        assert!(share.is_exceeded_by(u64::MAX, u64::MAX));
        let count = RecordsMax::Count(20);
        assert!(!count.is_exceeded_by(20, 20));
        assert!(count.is_exceeded_by(21, 1_000_000));
    }
}
