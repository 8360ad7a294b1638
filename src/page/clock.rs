//! Instants as a page shows them: on the clock of the zone that the reader chose, which is named,
//! and in a form that browsers understand.

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

pub(super) use crate::domain::zone::Zone;

impl Zone {
    /// `Sun 2026-11-15 06:00:03 EST`.
    pub(super) fn text_with_weekday(self, instant: DateTime<Utc>) -> String {
        self.formatted(instant, "%a %Y-%m-%d %H:%M:%S %Z")
    }

    /// An instant. The element's own form has three digits of a second: more are not valid there.
    pub(super) fn time(self, instant: DateTime<Utc>) -> Markup {
        let machine = instant.to_rfc3339_opts(SecondsFormat::Millis, true);
        html! { time datetime=(machine) { (self.text_with_weekday(instant)) } }
    }

    /// An instant and how long ago it was.
    pub(super) fn time_and_age(self, instant: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
        html! { (self.time(instant)) " " span.age { (age(instant, now)) } }
    }
}

/// `3 h ago`, `in 5 min`, in the largest unit that is not zero.
pub(super) fn age(instant: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - instant).num_seconds();
    let length = length(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{length} ago"),
        _ => format!("in {length}"),
    }
}

/// `45 s`, `3 min`, `8 h`, `12 d`.
pub(super) fn length(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_instant_is_told_on_the_readers_clock_with_its_zone() {
        let at = instant("2026-03-08T07:30:00.123456789Z");
        let zones = ["UTC", "Asia/Kolkata", "america/new_york"].map(Zone::parse);
        let told = zones.map(|zone| zone.unwrap().text_with_weekday(at));
        assert_eq!(
            told,
            [
                "Sun 2026-03-08 07:30:00 UTC",
                "Sun 2026-03-08 13:00:00 IST",
                "Sun 2026-03-08 03:30:00 EDT",
            ]
        );
        let element = Zone::UTC.time(at).into_string();
        assert!(element.contains("datetime=\"2026-03-08T07:30:00.123Z\""));
    }

    #[test]
    fn an_age_has_one_unit() {
        let now = instant("2026-11-15T12:00:00Z");
        let told = [
            "2026-11-15T12:00:00Z",
            "2026-11-15T11:58:30Z",
            "2026-11-15T11:00:00Z",
            "2026-11-15T06:00:00Z",
            "2026-11-03T12:00:00Z",
            "2026-11-15T12:10:00Z",
        ]
        .map(|at| age(instant(at), now));
        assert_eq!(
            told,
            [
                "now",
                "90 s ago",
                "60 min ago",
                "6 h ago",
                "12 d ago",
                "in 10 min"
            ]
        );
    }
}
