mod every_zone;
mod lines;

use chrono::Datelike;

use super::*;

const BERLIN: Tz = Tz::Europe__Berlin;
const NEW_YORK: Tz = Tz::America__New_York;

fn gate(line: &str, zone: Tz) -> Gate {
    Gate {
        cron: Cron::parse(line).unwrap(),
        zone,
    }
}

fn gates(lines: &[(&str, Tz)], at: &[&str]) -> Gates {
    Gates {
        lines: lines.iter().map(|(line, zone)| gate(line, *zone)).collect(),
        at: at.iter().copied().map(instant).collect(),
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// On the clocks of the gate's zone.
fn openings(line: &str, zone: Tz, from: &str, count: usize) -> Vec<String> {
    let upcoming = gates(&[(line, zone)], &[]).upcoming(instant(from), count);
    upcoming
        .iter()
        .map(|opening| {
            opening
                .at
                .with_timezone(&zone)
                .format("%a %F %R %:z")
                .to_string()
        })
        .collect()
}

#[test]
fn a_time_the_clocks_skip_stands_for_the_first_after_it() {
    let gap = [
        "Sat 2026-03-28 02:30 +01:00",
        "Sun 2026-03-29 03:00 +02:00",
        "Mon 2026-03-30 02:30 +02:00",
    ];
    assert_eq!(
        openings("30 2 * * *", BERLIN, "2026-03-28T00:00:00Z", 3),
        gap
    );
    let half_hour = [
        "Sat 2026-10-03 02:15 +10:30",
        "Sun 2026-10-04 02:30 +11:00",
        "Mon 2026-10-05 02:15 +11:00",
    ];
    assert_eq!(
        openings(
            "15 2 * * *",
            Tz::Australia__Lord_Howe,
            "2026-10-02T12:00:00Z",
            3
        ),
        half_hour
    );
}

#[test]
fn a_time_the_clocks_show_twice_stands_for_the_first() {
    let fold = [
        "Sat 2026-10-24 02:30 +02:00",
        "Sun 2026-10-25 02:30 +02:00",
        "Mon 2026-10-26 02:30 +01:00",
    ];
    assert_eq!(
        openings("30 2 * * *", BERLIN, "2026-10-24T00:00:00Z", 3),
        fold
    );
    let between = instant("2026-10-25T00:30:01Z");
    assert_eq!(
        gate("30 2 * * *", BERLIN).first_from(between),
        Some(instant("2026-10-26T01:30:00Z"))
    );
}

#[test]
fn a_line_of_every_quarter_pauses_while_the_clocks_show_an_hour_again() {
    let around = ["Sun 2026-10-25 02:45 +02:00", "Sun 2026-10-25 03:00 +01:00"];
    assert_eq!(
        openings("*/15 * * * *", BERLIN, "2026-10-25T00:45:00Z", 2),
        around
    );
    let skipping = [
        "Sun 2026-03-29 01:45 +01:00",
        "Sun 2026-03-29 03:00 +02:00",
        "Sun 2026-03-29 03:15 +02:00",
    ];
    assert_eq!(
        openings("*/15 * * * *", BERLIN, "2026-03-29T00:45:00Z", 3),
        skipping
    );
}

#[test]
fn a_day_the_clocks_skip_stands_for_the_midnight_after_it() {
    let friday = [
        "Fri 2011-12-23 06:00 -10:00",
        "Sat 2011-12-31 00:00 +14:00",
        "Fri 2012-01-06 06:00 +14:00",
    ];
    assert_eq!(
        openings("0 6 * * FRI", Tz::Pacific__Apia, "2011-12-20T00:00:00Z", 3),
        friday
    );
}

/// Where clocks skip the last hour of a Saturday, as Greenland's do, its opening is at the midnight
/// after it.
#[test]
fn a_daily_gate_opens_once_on_every_calendar_day() {
    let zones = [
        NEW_YORK,
        Tz::America__Havana,
        Tz::America__Nuuk,
        Tz::America__Sao_Paulo,
        Tz::America__St_Johns,
        Tz::Africa__Cairo,
        Tz::Africa__Casablanca,
        Tz::Antarctica__Troll,
        Tz::Asia__Beirut,
        Tz::Australia__Lord_Howe,
    ];
    let days = 365 * 8;
    for (zone, line) in zones
        .into_iter()
        .flat_map(|zone| ["0 0 * * *", "30 0 * * *", "30 2 * * *"].map(|line| (zone, line)))
    {
        let first_day = NaiveDate::from_ymd_opt(2006, 1, 1).unwrap();
        let from = placed(first_day.and_time(NaiveTime::MIN), zone).unwrap();
        let opened = gates(&[(line, zone)], &[]).upcoming(from, days);
        let opened_on: Vec<NaiveDate> = opened
            .iter()
            .map(|opening| opening.at.with_timezone(&zone).date_naive())
            .collect();
        let each_day: Vec<NaiveDate> = first_day.iter_days().take(days).collect();
        assert_eq!(opened_on, each_day, "`{line}` in {zone}");
    }
}

#[test]
fn a_gate_opens_at_the_instant_that_is_asked_about() {
    let opening = instant("2026-11-23T11:00:00Z");
    let moment = TimeDelta::nanoseconds(1);
    let monday = gate("0 6 * * MON", NEW_YORK);
    assert_eq!(monday.first_from(opening), Some(opening));
    assert_eq!(
        monday.first_from(opening + moment),
        Some(instant("2026-11-30T11:00:00Z"))
    );
    assert_eq!(monday.first_from(opening - moment), Some(opening));
    assert_eq!(monday.last_until(opening), Some(opening));
    assert_eq!(monday.last_until(opening + moment), Some(opening));
    assert_eq!(
        monday.last_until(opening - moment),
        Some(instant("2026-11-16T11:00:00Z"))
    );
}

#[test]
fn a_gate_opens_from_1970_to_2099_and_never_else() {
    let leap_day = gate("0 0 29 FEB *", Tz::UTC);
    assert_eq!(
        leap_day.first_from(DateTime::<Utc>::MIN_UTC),
        Some(instant("1972-02-29T00:00:00Z"))
    );
    assert_eq!(leap_day.first_from(instant("2096-02-29T00:00:01Z")), None);
    assert_eq!(
        leap_day.last_until(DateTime::<Utc>::MAX_UTC),
        Some(instant("2096-02-29T00:00:00Z"))
    );
    assert_eq!(leap_day.last_until(instant("1972-02-28T23:59:59Z")), None);
    for zone in [Tz::Pacific__Kiritimati, Tz::Etc__GMTPlus12] {
        let daily = gate("59 23 * * *", zone);
        let last = daily.last_until(DateTime::<Utc>::MAX_UTC).unwrap();
        assert_eq!(
            last.with_timezone(&zone).date_naive().to_string(),
            "2099-12-31"
        );
        assert_eq!(daily.first_from(DateTime::<Utc>::MAX_UTC), None);
        assert_eq!(
            daily.first_from(DateTime::<Utc>::MIN_UTC).unwrap().year(),
            1970
        );
        assert_eq!(daily.last_until(DateTime::<Utc>::MIN_UTC), None);
    }
}

#[test]
fn the_earliest_of_all_gates_opens_first() {
    let gates = gates(
        &[("0 6 * * MON", NEW_YORK), ("0 9 1 * *", BERLIN)],
        &["2026-11-22T12:00:00Z", "2027-01-01T00:00:00Z"],
    );
    let expected = [
        "2026-11-22T12:00:00Z",
        "2026-11-23T11:00:00Z",
        "2026-11-30T11:00:00Z",
        "2026-12-01T08:00:00Z",
    ];
    let upcoming = gates.upcoming(instant("2026-11-21T00:00:00Z"), 4);
    assert_eq!(
        upcoming
            .iter()
            .map(|opening| opening.at)
            .collect::<Vec<_>>(),
        expected.map(instant)
    );
    let zones: Vec<Tz> = upcoming.iter().map(|opening| opening.zone).collect();
    assert_eq!(zones, [Tz::UTC, NEW_YORK, NEW_YORK, BERLIN]);
    assert_eq!(
        gates.first_from(instant("2026-11-22T12:00:00Z")),
        Some(instant("2026-11-22T12:00:00Z"))
    );
    assert_eq!(
        gates.first_from(instant("2026-11-22T12:00:01Z")),
        Some(instant("2026-11-23T11:00:00Z"))
    );
}

#[test]
fn gates_that_open_together_open_once() {
    let gates = gates(
        &[("0 12 * * *", BERLIN), ("0 6 * * *", NEW_YORK)],
        &["2026-11-22T11:00:00Z"],
    );
    let upcoming = gates.upcoming(instant("2026-11-22T00:00:00Z"), 2);
    let at = |text| Opening {
        at: instant(text),
        zone: BERLIN,
        clock_change: None,
    };
    assert_eq!(
        upcoming,
        [at("2026-11-22T11:00:00Z"), at("2026-11-23T11:00:00Z")]
    );
}

#[test]
fn exact_instants_come_to_an_end() {
    let gates = gates(&[], &["2026-11-22T12:00:00.25Z", "2026-11-22T12:00:00.5Z"]);
    assert_eq!(gates.upcoming(DateTime::<Utc>::MIN_UTC, 5).len(), 2);
    assert_eq!(gates.first_from(instant("2026-11-22T12:00:00.75Z")), None);
    assert!(!gates.is_empty());
    assert!(Gates::default().is_empty());
    assert_eq!(
        Gates::default().first_from(instant("2026-11-22T12:00:00Z")),
        None
    );
    let last = Gates {
        lines: Vec::new(),
        at: vec![DateTime::<Utc>::MAX_UTC],
    };
    assert_eq!(last.upcoming(DateTime::<Utc>::MAX_UTC, 5).len(), 1);
    let first = Gates {
        lines: Vec::new(),
        at: vec![DateTime::<Utc>::MIN_UTC],
    };
    assert_eq!(first.upcoming(DateTime::<Utc>::MIN_UTC, 5).len(), 1);
}

#[test]
fn the_last_opening_is_sought_after_one_instant_and_until_another() {
    let gates = gates(&[("0 6 * * *", Tz::UTC)], &["2026-11-22T12:00:00Z"]);
    let within = |after, until| {
        gates
            .last_within(instant(after), instant(until))
            .map(|at| at.to_rfc3339())
    };
    let noon = Some("2026-11-22T12:00:00+00:00".to_owned());
    assert_eq!(within("2026-11-20T00:00:00Z", "2026-11-22T12:00:00Z"), noon);
    assert_eq!(within("2026-11-20T00:00:00Z", "2026-11-23T05:59:59Z"), noon);
    assert_eq!(within("2026-11-22T12:00:00Z", "2026-11-23T05:59:59Z"), None);
    assert_eq!(within("2026-11-22T06:00:00Z", "2026-11-22T11:59:59Z"), None);
    let six = Some("2026-11-22T06:00:00+00:00".to_owned());
    assert_eq!(within("2026-11-22T05:59:59Z", "2026-11-22T11:59:59Z"), six);
}

#[test]
fn days_on_which_clocks_change_are_told() {
    let changes = [
        (BERLIN, "2026-03-28", None),
        (BERLIN, "2026-03-29", Some(3600)),
        (BERLIN, "2026-03-30", None),
        (BERLIN, "2026-10-25", Some(-3600)),
        (Tz::Australia__Lord_Howe, "2026-10-04", Some(1800)),
        // From 24:00 to 01:00, from 01:00 to 00:00, and from 00:00 to 23:00.
        (Tz::Asia__Beirut, "2026-03-28", None),
        (Tz::Asia__Beirut, "2026-03-29", Some(3600)),
        (Tz::America__Havana, "2026-11-01", Some(-3600)),
        (Tz::America__Sao_Paulo, "2018-02-17", Some(-3600)),
        (Tz::America__Sao_Paulo, "2018-02-18", None),
        // The 30th was left out.
        (Tz::Pacific__Apia, "2011-12-29", None),
        (Tz::Pacific__Apia, "2011-12-31", Some(86_400)),
        (Tz::UTC, "2026-03-29", None),
    ];
    for (zone, date, change) in changes {
        assert_eq!(
            clock_change_on(date.parse().unwrap(), zone),
            change,
            "{date} in {zone}"
        );
    }
    assert_eq!(clock_change_on(NaiveDate::MAX, BERLIN), None);
    assert_eq!(clock_change_on(NaiveDate::MIN, BERLIN), None);
}

#[test]
fn an_opening_tells_whether_the_clocks_change_that_day() {
    let gates = gates(&[("30 2 * * *", BERLIN)], &["2026-03-29T20:00:00Z"]);
    let upcoming = gates.upcoming(instant("2026-03-28T12:00:00Z"), 3);
    let changes: Vec<_> = upcoming
        .iter()
        .map(|opening| (opening.zone, opening.clock_change))
        .collect();
    assert_eq!(
        changes,
        [(BERLIN, Some(3600)), (Tz::UTC, None), (BERLIN, None)]
    );
}
