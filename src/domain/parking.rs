//! Parking: one record is left alone, for a reason that a person gives, until a time comes or its
//! values change.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::{Serialize, Serializer};

/// Longest reason, in characters: it stands in lines of reports.
pub(crate) const REASON_CHARACTERS_MAX: usize = 200;

/// When a parked record is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Instant(DateTime<Utc>),
    /// Its values in the source are no longer what they were when it was first left alone.
    Changed,
}

impl Until {
    /// Reads `changed`, a date (its first moment in UTC), or a time with its zone.
    /// Errors: how to write it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "changed" {
            return Ok(Self::Changed);
        }
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(|date| date.and_time(NaiveTime::MIN).and_utc());
        let instant =
            date.or_else(|_| DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()));
        instant.map(Self::Instant).map_err(|_| {
            "write a date such as 2026-12-01, a time with its zone such as 2026-12-01T06:00:00Z, or `changed`"
                .to_owned()
        })
    }

    /// Whether the clock has ended it.
    pub(crate) fn is_over(self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Instant(instant) => instant <= now,
            Self::Changed => false,
        }
    }
}

/// As people type it.
impl fmt::Display for Until {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(instant) if instant.time() == NaiveTime::MIN => {
                write!(formatter, "{}", instant.date_naive())
            }
            Self::Instant(instant) => {
                write!(formatter, "{}", instant.format("%Y-%m-%dT%H:%M:%S%.fZ"))
            }
            Self::Changed => formatter.write_str("changed"),
        }
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A parked record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Parked {
    pub(crate) write_back: String,
    /// The match key as [`super::record::key_text`] writes it.
    pub(crate) key: String,
    pub(crate) until: Until,
    pub(crate) reason: String,
    /// Absent if the system did not tell.
    pub(crate) parked_by: Option<String>,
    pub(crate) parked_at: DateTime<Utc>,
    /// Tells the record's values in the source from others; absent before it was first left alone.
    #[serde(skip)]
    pub(crate) fingerprint: Option<String>,
}

impl Parked {
    /// Whether the record is left alone by a run that began at `now` and finds its values to be
    /// those of `fingerprint`.
    pub(crate) fn holds(&self, now: DateTime<Utc>, fingerprint: &str) -> bool {
        match self.until {
            Until::Instant(_) => !self.until.is_over(now),
            Until::Changed => self
                .fingerprint
                .as_deref()
                .is_none_or(|first| first == fingerprint),
        }
    }

    /// Why the record is left alone, as reports say it.
    pub(crate) fn told(&self) -> String {
        format!("parked until {}: {}", self.until, self.reason)
    }
}

/// A record of a run that was left alone: it is parked, a row of it is there, or what would be done
/// with it is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LeftAlone {
    /// Position of the record in what was pulled, from 0.
    pub(crate) record: u64,
    pub(crate) key: String,
    /// As [`Parked::told`] has it, if it is parked.
    pub(crate) reason: String,
    #[serde(skip)]
    pub(crate) parked: bool,
    /// Absent where the source was not asked.
    #[serde(skip)]
    pub(crate) met: Option<MetParking>,
}

/// A parked record as the source had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetParking {
    /// The key that it is parked under, which may be spelt otherwise than the record's.
    pub(crate) key: String,
    /// Of its values.
    pub(crate) fingerprint: String,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn parked(until: &str, fingerprint: Option<&str>) -> Parked {
        Parked {
            write_back: "scores".to_owned(),
            key: "A1".to_owned(),
            until: Until::parse(until).unwrap(),
            reason: "the owner asked".to_owned(),
            parked_by: None,
            parked_at: instant("2026-11-01T00:00:00Z"),
            fingerprint: fingerprint.map(str::to_owned),
        }
    }

    #[test]
    fn an_end_is_a_date_a_time_with_a_zone_or_a_change() {
        for (text, told) in [
            ("2026-12-01", "2026-12-01"),
            ("2026-12-01T00:00:00+00:00", "2026-12-01"),
            ("2026-12-01T06:30:00+02:00", "2026-12-01T04:30:00Z"),
            ("changed", "changed"),
        ] {
            assert_eq!(Until::parse(text).unwrap().to_string(), told);
        }
        for text in [
            "",
            "tomorrow",
            "2026-13-01",
            "2026-12-01 06:00",
            "2026-12-01T06:00:00",
            "Changed",
        ] {
            assert!(Until::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_date_ends_it_by_the_clock_whatever_the_values_are() {
        let parked = parked("2026-12-01", Some("x"));
        assert!(parked.holds(instant("2026-11-30T23:59:59.999Z"), "y"));
        assert!(!parked.holds(instant("2026-12-01T00:00:00Z"), "x"));
        assert_eq!(parked.told(), "parked until 2026-12-01: the owner asked");
    }

    #[test]
    fn a_change_ends_it_once_it_is_known_what_the_values_were() {
        let late = instant("2036-12-01T00:00:00Z");
        assert!(parked("changed", None).holds(late, "x"));
        assert!(parked("changed", Some("x")).holds(late, "x"));
        assert!(!parked("changed", Some("x")).holds(late, "y"));
    }
}
