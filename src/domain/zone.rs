//! The zone on whose clock a reader is told of instants.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// A zone, by its IANA name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone(Tz);

impl Zone {
    pub(crate) const UTC: Self = Self(Tz::UTC);

    /// Errors: no zone has this name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let zone = Tz::from_str_insensitive(name.trim());
        zone.map(Self).map_err(|_| {
            "a time zone is a name such as UTC, Europe/Berlin or America/New_York".to_owned()
        })
    }

    /// The zone of a process's variable `TZ`, where that names one: `Europe/Berlin`,
    /// `:Europe/Berlin`, or its file. What else it may hold (`CET-1CEST`) names none.
    pub(crate) fn of_variable(value: &str) -> Option<Self> {
        let value = value.strip_prefix(':').unwrap_or(value);
        let name = value
            .rsplit_once("/zoneinfo/")
            .map_or(value, |(_, name)| name);
        Self::parse(name).ok()
    }

    pub(crate) fn name(self) -> &'static str {
        self.0.name()
    }

    /// `2026-11-15 06:00:03 EST`.
    pub(crate) fn text(self, instant: DateTime<Utc>) -> String {
        self.formatted(instant, "%Y-%m-%d %H:%M:%S %Z")
    }

    /// In a form as `strftime` knows them.
    pub(crate) fn formatted(self, instant: DateTime<Utc>, form: &str) -> String {
        instant.with_timezone(&self.0).format(form).to_string()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_on_the_clock_of_the_zone_with_its_short_name() {
        let at = "2026-03-08T07:30:00.123456789Z".parse().unwrap();
        let zones = ["UTC", "Asia/Kolkata", "america/new_york"].map(Zone::parse);
        let told = zones.map(|zone| zone.unwrap().text(at));
        assert_eq!(
            told,
            [
                "2026-03-08 07:30:00 UTC",
                "2026-03-08 13:00:00 IST",
                "2026-03-08 03:30:00 EDT",
            ]
        );
        assert!(Zone::parse("Mars/Olympus").is_err());
    }

    #[test]
    fn a_variable_names_a_zone_in_three_ways_or_none() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        for value in [
            "Europe/Berlin",
            ":Europe/Berlin",
            "/usr/share/zoneinfo/Europe/Berlin",
        ] {
            assert_eq!(Zone::of_variable(value), Some(berlin), "{value}");
        }
        for value in ["", "CET-1CEST,M3.5.0,M10.5.0/3", "/etc/localtime"] {
            assert_eq!(Zone::of_variable(value), None, "{value}");
        }
    }
}
