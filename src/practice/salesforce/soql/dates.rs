//! Dates by name: `TODAY`, `LAST_N_DAYS:30`. Days are those of UTC. Source: "Date Formats and Date
//! Literals in WHERE" of the SOQL and SOSL reference.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateRange {
    /// So many days from today on, and how many of them.
    Days {
        from: i64,
        count: u64,
    },
    Weeks {
        from: i64,
        count: u64,
    },
    Months {
        from: i64,
        count: u64,
    },
    Years {
        from: i64,
        count: u64,
    },
}

impl DateRange {
    /// A word of a query that names days, in capitals.
    pub(super) fn named(word: &str) -> Option<Self> {
        let word = word.to_ascii_uppercase();
        let days = |from, count| Some(Self::Days { from, count });
        match word.as_str() {
            "YESTERDAY" => return days(-1, 1),
            "TODAY" => return days(0, 1),
            "TOMORROW" => return days(1, 1),
            "LAST_90_DAYS" => return days(-90, 91),
            "NEXT_90_DAYS" => return days(1, 90),
            _ => {}
        }
        if let Some((name, count)) = word.split_once(':') {
            let count: u32 = count.parse().ok().filter(|count| *count <= 100_000)?;
            return Self::counted(name, count);
        }
        let (from, unit) = word.split_once('_')?;
        let from = match from {
            "LAST" => -1,
            "THIS" => 0,
            "NEXT" => 1,
            _ => return None,
        };
        match unit {
            "WEEK" => Some(Self::Weeks { from, count: 1 }),
            "MONTH" => Some(Self::Months { from, count: 1 }),
            "YEAR" => Some(Self::Years { from, count: 1 }),
            _ => None,
        }
    }

    fn counted(name: &str, count: u32) -> Option<Self> {
        let (back, ahead) = (-i64::from(count), u64::from(count));
        // Today is one of the last days, and none of the next.
        if name == "LAST_N_DAYS" {
            return Some(Self::Days {
                from: back,
                count: ahead + 1,
            });
        }
        let (unit, from, count) = if let Some(unit) = name.strip_prefix("LAST_N_") {
            (unit, back, ahead)
        } else if let Some(unit) = name.strip_prefix("NEXT_N_") {
            (unit, 1, ahead)
        } else {
            let unit = name.strip_prefix("N_")?.strip_suffix("_AGO")?;
            (unit, back, 1)
        };
        match unit {
            "DAYS" => Some(Self::Days { from, count }),
            "WEEKS" => Some(Self::Weeks { from, count }),
            "MONTHS" => Some(Self::Months { from, count }),
            "YEARS" => Some(Self::Years { from, count }),
            _ => None,
        }
    }

    /// Its first day, and the first day after it.
    pub(crate) fn bounds(self, now: DateTime<Utc>) -> Option<(NaiveDate, NaiveDate)> {
        let today = now.date_naive();
        match self {
            Self::Days { from, count } => {
                let first = moved(today, from)?;
                Some((first, first.checked_add_days(Days::new(count))?))
            }
            Self::Weeks { from, count } => {
                let sunday = today.checked_sub_days(Days::new(u64::from(
                    today.weekday().num_days_from_sunday(),
                )))?;
                let first = moved(sunday, from.checked_mul(7)?)?;
                Some((first, first.checked_add_days(Days::new(count * 7))?))
            }
            Self::Months { from, count } => months(today.with_day(1)?, from, count),
            Self::Years { from, count } => {
                months(today.with_day(1)?.with_month(1)?, from * 12, count * 12)
            }
        }
    }
}

fn moved(day: NaiveDate, days: i64) -> Option<NaiveDate> {
    let count = Days::new(days.unsigned_abs());
    match days < 0 {
        true => day.checked_sub_days(count),
        false => day.checked_add_days(count),
    }
}

fn months(day: NaiveDate, from: i64, count: u64) -> Option<(NaiveDate, NaiveDate)> {
    let of = Months::new(u32::try_from(from.unsigned_abs()).ok()?);
    let first = match from < 0 {
        true => day.checked_sub_months(of)?,
        false => day.checked_add_months(of)?,
    };
    let after = first.checked_add_months(Months::new(u32::try_from(count).ok()?))?;
    Some((first, after))
}

/// Milliseconds of a day's first moment.
pub(crate) fn midnight(day: NaiveDate) -> i64 {
    day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_range_is_so_many_of_its_unit() {
        let named = |word| DateRange::named(word);
        let days = |from, count| Some(DateRange::Days { from, count });
        assert_eq!(named("LAST_N_DAYS:3"), days(-3, 4));
        assert_eq!(named("NEXT_N_DAYS:3"), days(1, 3));
        assert_eq!(named("N_DAYS_AGO:3"), days(-3, 1));
        let (from, count) = (-3, 3);
        assert_eq!(
            named("LAST_N_WEEKS:3"),
            Some(DateRange::Weeks { from, count })
        );
        assert_eq!(
            named("LAST_N_MONTHS:3"),
            Some(DateRange::Months { from, count })
        );
        assert_eq!(
            named("NEXT_N_YEARS:3"),
            Some(DateRange::Years { from: 1, count })
        );
        assert_eq!(
            named("N_MONTHS_AGO:3"),
            Some(DateRange::Months { from, count: 1 })
        );
        for word in ["LAST_N_HOURS:3", "N_DAYS:3", "DAYS_AGO:3", "LAST_N_DAYS:x"] {
            assert_eq!(named(word), None, "{word}");
        }
    }
}
