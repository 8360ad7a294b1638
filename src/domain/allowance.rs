//! How many calls of a web API an account has in a month or a day, where the API does not tell: people
//! write what was agreed, as `100000 per month`.

use std::fmt;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use strum::{EnumCount, VariantArray};

/// The stretch of time whose calls are counted together, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum AllowancePeriod {
    Day,
    Month,
}

impl AllowancePeriod {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The first day of the period that an instant lies in.
    pub(crate) fn begun(self, now: DateTime<Utc>) -> NaiveDate {
        let day = now.date_naive();
        match self {
            Self::Day => day,
            Self::Month => day.with_day(1).unwrap_or(day),
        }
    }

    /// When the next one begins.
    pub(crate) fn next(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let begun = self.begun(now);
        let next = match self {
            Self::Day => begun.succ_opt(),
            Self::Month => begun.checked_add_months(Months::new(1)),
        };
        next.map_or(now, |day| day.and_time(NaiveTime::MIN).and_utc())
    }
}

/// So many calls in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallAllowance {
    pub(crate) calls: u64,
    pub(crate) period: AllowancePeriod,
}

impl CallAllowance {
    /// What Bullhorn grants where nothing else was agreed.
    /// Source: <https://kb.bullhorn.com/>, "Understanding Bullhorn API Usage Limits".
    pub(crate) const BULLHORN: Self = Self {
        calls: 100_000,
        period: AllowancePeriod::Month,
    };

    /// Reads `100000 per month`; `None` if it is no such text, or no calls.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (calls, per, period) = (words.next()?, words.next()?, words.next()?);
        let period = AllowancePeriod::ALL
            .into_iter()
            .find(|known| known.name() == period)?;
        let calls = calls.parse().ok().filter(|calls| *calls > 0)?;
        (per == "per" && words.next().is_none()).then_some(Self { calls, period })
    }
}

impl fmt::Display for CallAllowance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} per {}", self.calls, self.period.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_read_as_people_write_it() {
        for text in ["100000 per month", "5 per day"] {
            let read = CallAllowance::parse(text).map(|read| read.to_string());
            assert_eq!(read.as_deref(), Some(text));
        }
        for text in [
            "",
            "100000",
            "0 per month",
            "-1 per day",
            "9 per year",
            "9 a month",
            "9 per day x",
        ] {
            assert_eq!(CallAllowance::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_month_ends_where_the_next_one_begins() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let late = at("2026-12-31T23:59:59Z");
        assert_eq!(AllowancePeriod::Month.begun(late).to_string(), "2026-12-01");
        assert_eq!(
            AllowancePeriod::Month.next(late),
            at("2027-01-01T00:00:00Z")
        );
        assert_eq!(AllowancePeriod::Day.next(late), at("2027-01-01T00:00:00Z"));
    }
}
