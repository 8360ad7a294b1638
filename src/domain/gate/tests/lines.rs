//! Crontab lines: what they mean on clocks that nobody changes, and what is wrong with those that
//! mean nothing.

use std::collections::BTreeSet;

use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use super::*;

fn mistake(line: &str) -> (String, String) {
    let CronMistake { message, hint } = Cron::parse(line).unwrap_err();
    (message, hint)
}

#[test]
fn a_line_is_shown_as_it_was_written() {
    for line in ["0 6 * * MON", "  */15\t8-18/2  * jan-MAR,12 * "] {
        assert_eq!(Cron::parse(line).unwrap().to_string(), line);
    }
}

#[test]
fn lines_mean_what_crontab_says() {
    let same = [
        ("0 0 * * 0", "0 0 * * SUN"),
        ("0 0 * * 7", "0 0 * * sun"),
        ("0 0 * * 5-7", "0 0 * * FRI,SAT,SUN"),
        ("0 0 * * 0-7", "0 0 * * *"),
        ("0 0 * * mon-FRI", "0 0 * * 1,2,3,4,5"),
        ("0 0 * * */2", "0 0 * * SUN,TUE,THU,SAT"),
        ("*/20 * * * *", "0,20,40 * * * *"),
        ("5-20/5,7 * * * *", "05,7,10,15,20 * * * *"),
        ("0 8-18/5 * * *", "0 8,13,18 * * *"),
        ("0 0 */10 * *", "0 0 1,11,21,31 * *"),
        ("0 0 1 */5 *", "0 0 1 JAN,JUN,NOV *"),
        ("0 0 1 Jan-mar *", "0 0 1 1-3 *"),
        ("0 0,* * * *", "0 * * * *"),
    ];
    for (line, spelled_out) in same {
        let upcoming =
            |line| gates(&[(line, Tz::UTC)], &[]).upcoming(instant("2026-11-21T00:00:00Z"), 60);
        assert_eq!(upcoming(line), upcoming(spelled_out), "`{line}`");
    }
    let monday = openings("0 0 * * 1", Tz::UTC, "2026-11-21T00:00:00Z", 2);
    assert_eq!(
        monday,
        ["Mon 2026-11-23 00:00 +00:00", "Mon 2026-11-30 00:00 +00:00"]
    );
}

#[test]
fn the_mistakes_of_a_line_are_told_with_a_hint() {
    let five_fields =
        "write minute, hour, day of the month, month and weekday: `0 6 * * MON` is Monday at 06:00";
    let too_many = "leave out seconds, years and time zones: `0 6 * * MON` is Monday at 06:00";
    let backwards = |range: &str| format!("has a range that runs backwards, `{range}`");
    let minute = "the minute is a number from 0 to 59";
    let month = "a month is a number from 1 to 12 or a name from JAN to DEC";
    let weekday = "a weekday is a number from 0 to 7 or a name from SUN to SAT";
    let foreign = "crontab has no `L`, `W` or `#`; write such days as exact instants, `at = [...]`";
    let both = "names a day of the month and a weekday; tools read that differently";
    let one_of_both = "keep one of them, or write two gates";
    let never = "never comes: none of its months has such a day";
    let day_of_month = "name a day that the month has";
    let mistakes = [
        ("", "is empty", five_fields),
        (" \t ", "is empty", five_fields),
        ("daily", "has 1 field instead of five", five_fields),
        ("0 6 * *", "has 4 fields instead of five", five_fields),
        ("0 0 6 * * MON", "has 6 fields instead of five", too_many),
        (
            "0 0 6 * * MON 2027",
            "has 7 fields instead of five",
            too_many,
        ),
        (
            "@daily",
            "does not show its five fields",
            "write `0 0 * * *`",
        ),
        (
            "@Weekly",
            "does not show its five fields",
            "write `0 0 * * SUN`",
        ),
        ("@reboot", "has 1 field instead of five", five_fields),
        ("60 6 * * *", "has `60` as its minute", minute),
        ("-1 6 * * *", "has `` as its minute", minute),
        ("+5 6 * * *", "has `+5` as its minute", minute),
        ("1,,2 6 * * *", "has `` as its minute", minute),
        (
            "99999999999999999999 6 * * *",
            "has `99999999999999999999` as its minute",
            minute,
        ),
        (
            "0 24 * * *",
            "has `24` as its hour",
            "the hour is a number from 0 to 23",
        ),
        (
            "0 six * * *",
            "has `six` as its hour",
            "the hour is a number from 0 to 23",
        ),
        (
            "0 6 0 * *",
            "has `0` as its day of the month",
            "the day of the month is a number from 1 to 31",
        ),
        ("0 6 1 13 *", "has `13` as its month", month),
        ("0 6 1 JANUARY *", "has `JANUARY` as its month", month),
        ("0 6 1 MON *", "has `MON` as its month", month),
        ("0 6 * * 8", "has `8` as its weekday", weekday),
        ("0 6 * * MO", "has `MO` as its weekday", weekday),
        ("0 6 * * 1-2-3", "has `2-3` as its weekday", weekday),
        (
            "0 6 ? * MON",
            "has `?` as its day of the month",
            "write `*`",
        ),
        ("0 6 L * *", "has `L` as its day of the month", foreign),
        ("0 6 15W * *", "has `15W` as its day of the month", foreign),
        ("0 6 LW * *", "has `LW` as its day of the month", foreign),
        ("0 6 * * FRIL", "has `FRIL` as its weekday", foreign),
        ("0 6 * * MON#1", "has `MON#1` as its weekday", foreign),
        ("0 6 1 APRIL *", "has `APRIL` as its month", month),
        (
            "0 6 * * FRI-MON",
            &backwards("FRI-MON"),
            "write the list `FRI,SAT,SUN,MON`",
        ),
        (
            "0 6 * * SAT-SUN",
            &backwards("SAT-SUN"),
            "write the list `SAT,SUN`",
        ),
        ("0 6 * * 7-2", &backwards("7-2"), "write the list `0,1,2`"),
        (
            "0 6 * nov-feb *",
            &backwards("nov-feb"),
            "write the list `NOV,DEC,JAN,FEB`",
        ),
        (
            "0 22-3/2 * * *",
            &backwards("22-3"),
            "write the list `22,0,2`",
        ),
        (
            "*/0 * * * *",
            "has `0` as the step of its minute",
            "a step there is a number from 1 to 59",
        ),
        (
            "*/90 * * * *",
            "has `90` as the step of its minute",
            "a step there is a number from 1 to 59",
        ),
        (
            "*/ * * * *",
            "has `` as the step of its minute",
            "a step there is a number from 1 to 59",
        ),
        (
            "*/2/3 * * * *",
            "has `2/3` as the step of its minute",
            "a step there is a number from 1 to 59",
        ),
        (
            "5/15 * * * *",
            "counts a step from a single minute, `5/15`",
            "write `5-59/15`",
        ),
        ("0 6 13 * FRI", both, one_of_both),
        ("0 6 1-31 * MON", both, one_of_both),
        ("0 6 */2 * 0-7", both, one_of_both),
        ("0 0 30 2 *", never, day_of_month),
        ("0 0 31 2,4,6,9,11 *", never, day_of_month),
    ];
    for (line, what, hint) in mistakes {
        assert_eq!(
            mistake(line),
            (
                format!("`{line}` {what}").replace('\t', "\\t"),
                hint.to_owned()
            ),
            "`{line}`"
        );
    }
}

#[test]
fn a_mistake_is_told_in_one_line() {
    let (message, _) = mistake("0 6\n* * MON");
    assert_eq!(message, "`0 6\\n* * MON` has 4 fields instead of five");
    let (message, _) = mistake("0 \u{1b}[2J * * MON");
    assert_eq!(
        message,
        "`0 \\u{1b}[2J * * MON` has `\\u{1b}[2J` as its hour"
    );
}

/// A field as text, and the values it names.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    values: BTreeSet<u32>,
}

fn values(from: u32, to: u32, step: u32) -> BTreeSet<u32> {
    (from..=to)
        .filter(|value| (value - from).is_multiple_of(step))
        .collect()
}

fn part(lowest: u32, highest: u32) -> impl Strategy<Value = Written> {
    let anything = move |step| Written {
        text: format!("*/{step}"),
        values: values(lowest, highest, step),
    };
    let one = |value: u32| Written {
        text: value.to_string(),
        values: [value].into(),
    };
    let range = |(a, b): (u32, u32)| (a.min(b), a.max(b));
    let value = move || lowest..=highest;
    prop_oneof![
        Just(Written {
            text: "*".to_owned(),
            values: values(lowest, highest, 1)
        }),
        (1..=highest).prop_map(anything),
        value().prop_map(one),
        (value(), value())
            .prop_map(range)
            .prop_map(|(from, to)| Written {
                text: format!("{from}-{to}"),
                values: values(from, to, 1)
            }),
        ((value(), value()).prop_map(range), 1..=highest).prop_map(|((from, to), step)| Written {
            text: format!("{from}-{to}/{step}"),
            values: values(from, to, step)
        }),
    ]
}

fn field(lowest: u32, highest: u32) -> impl Strategy<Value = Written> {
    proptest::collection::vec(part(lowest, highest), 1..4).prop_map(|parts| Written {
        text: parts
            .iter()
            .map(|part| part.text.as_str())
            .collect::<Vec<_>>()
            .join(","),
        values: parts.into_iter().flat_map(|part| part.values).collect(),
    })
}

fn any_day(lowest: u32, highest: u32) -> Just<Written> {
    Just(Written {
        text: "*".to_owned(),
        values: values(lowest, highest, 1),
    })
}

/// Day of the month and weekday: one of them is any.
fn days() -> impl Strategy<Value = (Written, Written)> {
    prop_oneof![(any_day(1, 31), field(0, 7)), (field(1, 31), any_day(0, 7))]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_panics(line in "\\PC*") {
        drop(Cron::parse(&line));
    }

    #[test]
    fn nothing_like_a_line_panics(
        parts in proptest::collection::vec("[ *0-9,/LW#?@-]{1,6}|MON|FRI-MON|jan|99999999999|\t", 0..12),
        instants in any::<(i64, i64)>(),
    ) {
        if let Ok(cron) = Cron::parse(&parts.concat()) {
            let gate = Gate { cron, zone: BERLIN };
            for seconds in [instants.0, instants.1, instants.0 >> 24] {
                let Some(at) = DateTime::from_timestamp(seconds, 0) else { continue };
                prop_assert!(gate.first_from(at).is_none_or(|opening| opening >= at));
                prop_assert!(gate.last_until(at).is_none_or(|opening| opening <= at));
            }
        }
    }

    /// Three days of minutes, each asked by itself whether the line names it.
    #[test]
    fn a_line_opens_in_just_the_minutes_it_names(
        (minute, hour, month) in (field(0, 59), field(0, 23), field(1, 12)),
        (day, weekday) in days(),
        first in 15_778_080_i64..60_000_000,
    ) {
        let line = [&minute, &hour, &day, &month, &weekday].map(|field| field.text.as_str()).join(" ");
        let named = |at: &DateTime<Utc>| {
            let sunday_is_0 = at.weekday().num_days_from_sunday();
            minute.values.contains(&at.minute())
                && hour.values.contains(&at.hour())
                && day.values.contains(&at.day())
                && month.values.contains(&at.month())
                && (weekday.values.contains(&sunday_is_0) || sunday_is_0 == 0 && weekday.values.contains(&7))
        };
        let begin = DateTime::from_timestamp(first * 60, 0).unwrap();
        let minutes: Vec<_> = (0..3 * 24 * 60).map(|minute| begin + TimeDelta::minutes(minute)).collect();
        let expected: Vec<_> = minutes.iter().copied().filter(named).collect();
        let cron = match Cron::parse(&line) {
            Ok(cron) => cron,
            Err(mistake) => {
                prop_assert!(expected.is_empty() && mistake.message.contains("never comes"), "{mistake:?}");
                return Ok(());
            }
        };
        let gates = Gates { lines: vec![Gate { cron, zone: Tz::UTC }], at: Vec::new() };
        let end = begin + TimeDelta::days(3);
        let opened: Vec<_> = gates.upcoming(begin, 200).iter().map(|opening| opening.at).take_while(|at| *at < end).collect();
        let first_ones: Vec<_> = expected.iter().copied().take(200).collect();
        prop_assert_eq!(opened, first_ones, "`{}`", line);
        let last = gates.last_within(begin - TimeDelta::seconds(1), end - TimeDelta::seconds(1));
        prop_assert_eq!(last, expected.last().copied(), "`{}`", line);
    }
}
