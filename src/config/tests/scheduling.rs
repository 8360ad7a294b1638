//! `[cadence]` and `[dashboards.*]`: what they come to, and what people read when they are wrong.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::*;
use crate::domain::cadence::{Cadence, Missed, Retry};

const MARKER: &str = "marker = \"fixtures/dashboard/cycle.json\"";
const CADENCE: &str =
    "settle = \"30m\"\ngate = { cron = \"0 6 * * MON\", timezone = \"America/New_York\" }";

/// Every setting of a cadence.
pub(super) const WHOLE_CADENCE: &str = r#"[cadence]
dashboard = "customer_health"
settle = "30m"
gate = [ { cron = "0 6 * * MON" , timezone = "America/New_York" } , { cron = "*/5 1-3 1 JAN *" , timezone = "UTC" } ]
at = [ 9999-12-31T23:59:59.999999Z , "0001-01-02T00:00:00+14:00" , { at = "2027-03-28T02:30:00" , timezone = "Europe/Berlin" } ]
every_cycles = 7
deadline = "1year"
max_silence = "1day"
missed = "all"
retry_delay = "1ms"
retry_delay_max = "1year"
attempts_max = 1000
"#;

/// Every way to notice a cycle.
pub(super) const DASHBOARDS: &str = r#"[connections.crm]
kind = "sqlite"
file = "crm.db"
[dashboards.a]
marker = "done.json"
poll = "5s"
[dashboards.b]
source = "crm"
query = "SELECT 1"
[dashboards.c]
cron = "0 5 * * *"
timezone = "Europe/Berlin"
margin = "1year"
[dashboards.d]
announced = true
"#;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect(text)
}

/// What `[cadence]` comes to with these lines after its `dashboard`.
fn cadence_of(lines: &str) -> Cadence {
    let place = Place::new();
    place.write("schedules/weekly.toml", &changed(JOB, &[(CADENCE, lines)]));
    let checked = place
        .job()
        .unwrap_or_else(|problems| panic!("{}", text_of(&problems)));
    assert_eq!(text_of(&checked.warnings), "", "{lines}");
    checked.job.cadence.expect("a cadence")
}

/// What is told of these lines after the `dashboard` of `[cadence]`; they begin in line 3.
fn cadence_told(lines: &str) -> String {
    job_with(&[(CADENCE, lines)])
}

/// What the dashboard's lines come to.
fn dashboard_of(lines: &str) -> Dashboard {
    let place = Place::new();
    place.write("writeback.toml", &changed(PROJECT, &[(MARKER, lines)]));
    let project = place
        .project()
        .unwrap_or_else(|problems| panic!("{}", text_of(&problems)));
    assert_eq!(place.told(), "", "{lines}");
    project.dashboards["customer_health"].clone()
}

/// What is told of the dashboard's lines; they begin in line 19.
fn dashboard_told(lines: &str) -> String {
    project_with(&[(MARKER, lines)])
}

#[test]
fn every_setting_at_once_is_no_mistake() {
    let place = Place::new();
    place.write("writeback.toml", DASHBOARDS);
    assert_eq!(place.project().expect("no mistake").dashboards.len(), 4);
    let place = Place::new();
    let write_backs = &JOB[JOB.find("[[write_back]]").expect("it")..];
    place.write(
        "schedules/weekly.toml",
        &format!("{WHOLE_CADENCE}\n{write_backs}"),
    );
    assert_eq!(place.told(), "");
}

mod a_cadence {
    use super::*;

    #[test]
    fn that_says_only_its_dashboard_runs_each_cycle_at_once() {
        let cadence = cadence_of("");
        assert_eq!(
            (cadence.dashboard.as_str(), cadence.settle),
            ("customer_health", Duration::ZERO)
        );
        assert!(cadence.gates.lines.is_empty() && cadence.gates.at.is_empty());
        assert_eq!(
            (cadence.every_cycles.get(), cadence.missed),
            (1, Missed::Latest)
        );
        assert_eq!((cadence.deadline, cadence.max_silence), (None, None));
        let attempts_max = 10.try_into().expect("not zero");
        assert_eq!(
            cadence.retry,
            Retry {
                delay_first: minutes(1),
                delay_max: minutes(60),
                attempts_max
            }
        );
    }

    #[test]
    fn is_read_whole() {
        let cadence = cadence_of(
            "settle = \"30m\"\nevery_cycles = 7\ndeadline = \"8days\"\nmax_silence = \"1day 2h\"\nmissed = \"all\"\n\
             retry_delay = \"5s\"\nretry_delay_max = \"5s\"\nattempts_max = 1000\n\
             gate = { cron = \"0 6 * * MON\", timezone = \"america/new_york\" }",
        );
        assert_eq!(
            (cadence.settle, cadence.every_cycles.get(), cadence.missed),
            (minutes(30), 7, Missed::All)
        );
        assert_eq!(
            (cadence.deadline, cadence.max_silence),
            (Some(minutes(8 * 24 * 60)), Some(minutes(26 * 60)))
        );
        let delay = Duration::from_secs(5);
        let attempts_max = 1000.try_into().expect("not zero");
        assert_eq!(
            cadence.retry,
            Retry {
                delay_first: delay,
                delay_max: delay,
                attempts_max
            }
        );
        let gate = &cadence.gates.lines[0];
        assert_eq!(
            (gate.cron.to_string().as_str(), gate.zone.name()),
            ("0 6 * * MON", "America/New_York")
        );
        assert_eq!(cadence_of("missed = \"none\"").missed, Missed::None);
    }

    #[test]
    fn may_have_several_gates() {
        let gates = cadence_of(
            "gate = [\n  { cron = \"0 6 * * MON-FRI\", timezone = \"Europe/Berlin\" },\n  { cron = \"0 9 * * SAT\", timezone = \"UTC\" },\n]",
        );
        let lines = gates
            .gates
            .lines
            .iter()
            .map(|gate| format!("{} {}", gate.cron, gate.zone));
        assert_eq!(
            lines.collect::<Vec<_>>(),
            ["0 6 * * MON-FRI Europe/Berlin", "0 9 * * SAT UTC"]
        );
        let tables = "[[cadence.gate]]\ncron = \"0 6 * * *\"\ntimezone = \"UTC\"\n[[cadence.gate]]\ncron = \"0 9 * * *\"\ntimezone = \"UTC\"";
        assert_eq!(cadence_of(tables).gates.lines.len(), 2);
    }

    #[test]
    fn names_exact_instants_in_any_order_and_spelling() {
        let gates = cadence_of(
            "at = [\n  2027-01-02T06:00:00Z,\n  2026-12-24 06:30:00.25+01:00,\n  \"2026-12-31T23:59:59-05:00\",\n\
             { at = \"2026-12-25T06:00\", timezone = \"Europe/Berlin\" },\n  { at = 2026-12-26T06:00:00, timezone = \"Asia/Kolkata\" },\n]",
        )
        .gates;
        let instants = [
            "2026-12-24T05:30:00.250Z",
            "2026-12-25T05:00:00Z",
            "2026-12-26T00:30:00Z",
            "2027-01-01T04:59:59Z",
            "2027-01-02T06:00:00Z",
        ];
        assert_eq!(gates.at, instants.map(at));
        assert!(gates.lines.is_empty());
        assert_eq!(
            cadence_of("at = 2027-01-02T06:00:00Z").gates.at,
            [at("2027-01-02T06:00:00Z")]
        );
    }

    #[test]
    fn places_a_clock_time_that_is_skipped_after_the_gap_and_one_that_comes_twice_at_the_first() {
        let berlin = |wall: &str| {
            cadence_of(&format!(
                "at = [{{ at = \"{wall}\", timezone = \"Europe/Berlin\" }}]"
            ))
            .gates
            .at
        };
        assert_eq!(berlin("2027-03-28T02:30:00"), [at("2027-03-28T01:00:00Z")]);
        assert_eq!(berlin("2027-10-31T02:30:00"), [at("2027-10-31T00:30:00Z")]);
    }

    #[test]
    fn takes_a_pause_that_is_written_over_the_usual_other() {
        let retry = |lines: &str| cadence_of(lines).retry;
        let long = retry("retry_delay = \"2h\"");
        assert_eq!(
            (long.delay_first, long.delay_max),
            (minutes(120), minutes(120))
        );
        let short = retry("retry_delay_max = \"20s\"");
        assert_eq!(
            (short.delay_first, short.delay_max),
            (Duration::from_secs(20), Duration::from_secs(20))
        );
    }

    #[test]
    fn that_cycles_can_follow_in_time_deserves_no_warning() {
        for lines in [
            "deadline = \"1h\"",
            "deadline = \"2h\"\nsettle = \"1h\"\ngate = { cron = \"0 * * * *\", timezone = \"UTC\" }",
            "deadline = \"169h\"\ngate = { cron = \"0 6 * * MON\", timezone = \"America/New_York\" }",
            "deadline = \"61h 30m\"\ngate = { cron = \"*/30 8-18 * * MON-FRI\", timezone = \"UTC\" }",
            "deadline = \"1h\"\nat = [2026-12-24T06:00:00Z]",
            "at = [2026-01-01T06:00:00Z, 2026-12-24T06:00:00Z]",
        ] {
            cadence_of(lines);
        }
    }
}

mod mistakes_of_a_cadence {
    use super::*;

    #[test]
    fn no_dashboard() {
        insta::assert_snapshot!(job_with(&[("dashboard = \"customer_health\"\n", "")]) + &job_with(&[("dashboard = \"customer_health\"", "dashbord = \"customer_health\"")]), @r#"
        schedules/weekly.toml:1:1: `[cadence]` has no `dashboard`
          hint: name the dashboard whose cycles the job follows: a `[dashboards.*]` of writeback.toml
        schedules/weekly.toml:2:1: `dashbord` is not a key of `[cadence]`
          hint: did you mean `dashboard`?
        "#);
    }

    #[test]
    fn keys_nobody_knows_and_values_of_another_type() {
        insta::assert_snapshot!(cadence_told("settle = 30\ngate = \"0 6 * * MON\"\nat = [true]\nevery_cycles = \"7\"\ndeadlin = \"1h\"\nmax_silence = 2026-12-24\nmissed = []"), @r#"
        schedules/weekly.toml:3:10: `settle` is not a duration
          hint: write a number and its unit: `"10s"`, `"5m"`, `"1h 30m"`
        schedules/weekly.toml:4:8: `gate` is a string, not a table
        schedules/weekly.toml:5:7: an entry of `at` is true or false, not a date and time
        schedules/weekly.toml:6:16: `every_cycles` is a string, not a whole number
        schedules/weekly.toml:7:1: `deadlin` is not a key of `[cadence]`
          hint: did you mean `deadline`?
        schedules/weekly.toml:8:15: `max_silence` is not a duration
          hint: write a number and its unit: `"10s"`, `"5m"`, `"1h 30m"`
        schedules/weekly.toml:9:10: `missed` is a list, not a string
          hint: strings stand in quotes
        "#);
    }

    #[test]
    fn durations_and_counts_out_of_bounds() {
        insta::assert_snapshot!(cadence_told("settle = \"2years\"\nevery_cycles = 0\ndeadline = \"0s\"\nmax_silence = \"1us\"\nretry_delay = \"0s\"\nretry_delay_max = \"100years\"\nattempts_max = 1001"), @r#"
        schedules/weekly.toml:3:10: `settle` is not between 0s and 1year
        schedules/weekly.toml:4:16: `every_cycles` is not a whole number from 1 to 1000
        schedules/weekly.toml:5:12: `deadline` is not between 1ms and 1year
        schedules/weekly.toml:6:15: `max_silence` is not between 1ms and 1year
        schedules/weekly.toml:7:15: `retry_delay` is not between 1ms and 1year
        schedules/weekly.toml:8:19: `retry_delay_max` is not between 1ms and 1year
        schedules/weekly.toml:9:16: `attempts_max` is not a whole number from 1 to 1000
        "#);
    }

    #[test]
    fn words_that_are_no_durations_policies_or_zones() {
        insta::assert_snapshot!(cadence_told("settle = \"soon\"\nmissed = \"newest\"\ngate = { cron = \"0 0 6 * * MON\", timezone = \"America/NewYork\" }"), @r#"
        schedules/weekly.toml:3:10: `settle` is `soon`, which is not a duration
          hint: write a number and its unit: `"10s"`, `"5m"`, `"1h 30m"`
        schedules/weekly.toml:4:10: `missed` is `newest`, which is not known
          hint: write one of `latest`, `none`, `all`
        schedules/weekly.toml:5:17: gate `0 0 6 * * MON` has 6 fields instead of five
          hint: leave out seconds, years and time zones: `0 6 * * MON` is Monday at 06:00
        schedules/weekly.toml:5:45: `America/NewYork` is not a time zone
          hint: did you mean `America/New_York`?
        "#);
    }

    #[test]
    fn gates_without_a_zone_a_line_or_anything() {
        insta::assert_snapshot!(cadence_told("gate = [{ cron = \"0 6 * * *\" }, { timezone = \"UTC\" }, { cron = \"99 6 * * *\", timezone = \"UTC\", zone = \"UTC\" }]") + &cadence_told("gate = []"), @r#"
        schedules/weekly.toml:3:9: `gate` has no `timezone`
          hint: name the zone the clock hangs in: `timezone = "Europe/Berlin"`
        schedules/weekly.toml:3:33: `gate` has no `cron`
          hint: write five fields as in crontab: `0 6 * * MON`
        schedules/weekly.toml:3:64: gate `99 6 * * *` has `99` as its minute
          hint: the minute is a number from 0 to 59
        schedules/weekly.toml:3:96: `zone` is not a key of `gate`
          hint: known keys: `cron`, `timezone`
        schedules/weekly.toml:3:8: `gate` is empty
          hint: write a gate, or leave `gate` out to wait for none
        "#);
    }

    #[test]
    fn instants_without_a_zone() {
        insta::assert_snapshot!(cadence_told("at = [\n  2026-12-24T06:00:00,\n  \"2026-12-24T06:00:00\",\n  { at = \"2026-12-24T06:00:00\" },\n]"), @r#"
        schedules/weekly.toml:4:3: `2026-12-24T06:00:00` names no time zone
          hint: write `2026-12-24T06:00:00+01:00` or `{ at = "2026-12-24T06:00:00", timezone = "Europe/Berlin" }`
        schedules/weekly.toml:5:3: `2026-12-24T06:00:00` names no time zone
          hint: write `2026-12-24T06:00:00+01:00` or `{ at = "2026-12-24T06:00:00", timezone = "Europe/Berlin" }`
        schedules/weekly.toml:6:3: an entry of `at` has no `timezone`
          hint: name the zone the clock hangs in: `timezone = "Europe/Berlin"`
        "#);
    }

    #[test]
    fn instants_that_are_none() {
        insta::assert_snapshot!(cadence_told("at = [\n  2026-12-24,\n  06:00:00,\n  \"tomorrow\",\n  \"2026-13-24T06:00:00Z\",\n  2026-12-24T06:00:00.0000001Z,\n  { at = \"noon\", timezone = \"UTC\" },\n  { at = 2026-12-24T06:00:00Z, timezone = \"UTC\" },\n  { at = \"2026-12-24T06:00:00\", timezone = \"Mars\" },\n  { timezone = \"UTC\" },\n]") + &cadence_told("at = []"), @r#"
        schedules/weekly.toml:4:3: `2026-12-24` is not an instant: has no time of day
          hint: write it as in `2026-12-24T06:00:00+01:00`
        schedules/weekly.toml:5:3: `06:00:00` is not an instant: not a timestamp: YYYY-MM-DD HH:MM:SS is expected
          hint: write it as in `2026-12-24T06:00:00+01:00`
        schedules/weekly.toml:6:3: `tomorrow` is not an instant: not a timestamp: YYYY-MM-DD HH:MM:SS is expected
          hint: write it as in `2026-12-24T06:00:00+01:00`
        schedules/weekly.toml:7:3: `2026-13-24T06:00:00Z` is not an instant: not a date: month 13
          hint: write it as in `2026-12-24T06:00:00+01:00`
        schedules/weekly.toml:8:3: `2026-12-24T06:00:00.0000001Z` is not an instant: finer than a microsecond
          hint: write it as in `2026-12-24T06:00:00+01:00`
        schedules/weekly.toml:9:10: `noon` is not what a clock shows: not a timestamp: YYYY-MM-DD HH:MM:SS is expected
          hint: write it as in `2026-12-24T06:00:00`
        schedules/weekly.toml:10:10: `2026-12-24T06:00:00Z` has an offset of its own beside `timezone`
          hint: keep the offset or the `timezone`
        schedules/weekly.toml:11:44: `Mars` is not a time zone
          hint: write it as in `Europe/Berlin` or `UTC`
        schedules/weekly.toml:12:3: an entry of `at` has no `at`
          hint: write what the clock shows: `at = "2026-12-24T06:00:00"`
        schedules/weekly.toml:3:6: `at` is empty
          hint: name an instant, or leave `at` out
        "#);
    }

    #[test]
    fn one_instant_twice() {
        insta::assert_snapshot!(cadence_told("at = [\n  2026-12-24T06:00:00Z,\n  2026-12-25T06:00:00Z,\n  { at = \"2026-12-24T07:00:00\", timezone = \"Europe/Berlin\" },\n]"), @r#"
        schedules/weekly.toml:6:3: `at` names 2026-12-24T06:00:00Z twice
          hint: the other is in line 4; keep one of them
        "#);
    }

    #[test]
    fn settings_that_contradict_one_another() {
        insta::assert_snapshot!(cadence_told("settle = \"2h\"\ndeadline = \"2h\"\nretry_delay = \"5m\"\nretry_delay_max = \"4m\""), @r#"
        schedules/weekly.toml:4:12: `deadline` is never met: `settle` takes as long
          hint: both count from the cycle: write a longer `deadline` or a shorter `settle`
        schedules/weekly.toml:6:19: `retry_delay_max` is shorter than `retry_delay`
          hint: pauses grow from `retry_delay` to `retry_delay_max`
        "#);
    }

    #[test]
    fn what_only_deserves_a_look() {
        insta::assert_snapshot!(cadence_told("at = [2026-11-21T11:59:59Z, 2026-11-01T06:00:00Z]") + &cadence_told("at = [2026-11-01T06:00:00Z]\ngate = { cron = \"0 6 * * *\", timezone = \"UTC\" }"), @r#"
        schedules/weekly.toml:3:6: warning: every instant of `at` has passed
          hint: nothing will be written back; add one to come, or leave `at` out to wait for no instant
        schedules/weekly.toml:3:6: warning: every instant of `at` has passed
          hint: add one to come, or leave `at` out
        "#);
    }

    #[test]
    fn a_deadline_that_a_gate_may_outlast() {
        insta::assert_snapshot!([
            "deadline = \"2days\"\ngate = { cron = \"0 6 * * MON\", timezone = \"America/New_York\" }",
            "deadline = \"1h\"\ngate = [{ cron = \"*/5 8-18 * * MON-FRI\", timezone = \"UTC\" }, { cron = \"0 * * * SAT,SUN\", timezone = \"UTC\" }]",
            "deadline = \"90m\"\nsettle = \"31m\"\ngate = { cron = \"0 * * * *\", timezone = \"UTC\" }",
            "deadline = \"50ms\"\ngate = { cron = \"* * * * *\", timezone = \"UTC\" }",
        ].map(cadence_told).concat(), @r#"
        schedules/weekly.toml:3:12: warning: cycles may expire before a gate opens: none does for 7 days on end
          hint: if that is not meant, write a longer `deadline` or more gates
        schedules/weekly.toml:3:12: warning: cycles may expire before a gate opens: none does for 9h on end
          hint: if that is not meant, write a longer `deadline` or more gates
        schedules/weekly.toml:3:12: warning: cycles may expire before a gate opens: none does for 1h on end
          hint: if that is not meant, write a longer `deadline` or more gates
        schedules/weekly.toml:3:12: warning: cycles may expire before a gate opens: none does for 1m on end
          hint: if that is not meant, write a longer `deadline` or more gates
        "#);
    }
}

mod a_dashboard {
    use super::*;

    #[test]
    fn tells_by_a_marker_anywhere() {
        let dashboard = dashboard_of("marker = \"/srv/exports/done.json\"\npoll = \"1s\"");
        let Signal::Marker { file } = dashboard.signal else {
            panic!("{dashboard:?}")
        };
        assert_eq!(
            (file.as_path(), dashboard.poll.as_secs()),
            (Path::new("/srv/exports/done.json"), 1)
        );
        let place = Place::new();
        let Signal::Marker { file } =
            place.project().expect("a project").dashboards["customer_health"]
                .signal
                .clone()
        else {
            panic!("no marker")
        };
        assert_eq!(
            file,
            place.folder.path().join("fixtures/dashboard/cycle.json")
        );
    }

    #[test]
    fn tells_by_a_query() {
        let dashboard = dashboard_of("source = \"crm\"\nquery = \"SELECT 1\"\npoll = \"1day\"");
        let Signal::Query { connection, sql } = dashboard.signal else {
            panic!("{dashboard:?}")
        };
        assert_eq!(
            (connection.as_str(), sql.as_str(), dashboard.poll),
            ("crm", "SELECT 1", minutes(24 * 60))
        );
    }

    #[test]
    fn tells_by_the_clock() {
        let clock = |lines: &str| match dashboard_of(lines).signal {
            Signal::Clock { gate, margin } => (gate.cron.to_string(), gate.zone.name(), margin),
            signal @ (Signal::Marker { .. } | Signal::Query { .. } | Signal::Announced) => {
                panic!("{signal:?}")
            }
        };
        let lines = "cron = \"0 5 * * *\"\ntimezone = \"Europe/Berlin\"";
        assert_eq!(
            clock(lines),
            ("0 5 * * *".to_owned(), "Europe/Berlin", Duration::ZERO)
        );
        assert_eq!(clock(&format!("{lines}\nmargin = \"45m\"")).2, minutes(45));
    }

    #[test]
    fn is_announced() {
        let dashboard = dashboard_of("announced = true");
        assert!(matches!(dashboard.signal, Signal::Announced));
    }

    #[test]
    fn is_looked_at_each_minute_unless_told_otherwise() {
        assert_eq!(dashboard_of(MARKER).poll, minutes(1));
    }
}

mod mistakes_of_a_dashboard {
    use super::*;

    #[test]
    fn nothing_that_tells() {
        insta::assert_snapshot!(dashboard_told("") + &dashboard_told("poll = \"5s\"") + &dashboard_told("anounced = true"), @r#"
        writeback.toml:18:1: dashboard `customer_health` does not say how a finished cycle is noticed
          hint: write `marker = "FILE"`; or `source = "CONNECTION"` and `query = "SELECT …"`; or `cron = "0 5 * * *"` and `timezone = "Europe/Berlin"`; or `announced = true`
        writeback.toml:18:1: dashboard `customer_health` does not say how a finished cycle is noticed
          hint: write `marker = "FILE"`; or `source = "CONNECTION"` and `query = "SELECT …"`; or `cron = "0 5 * * *"` and `timezone = "Europe/Berlin"`; or `announced = true`
        writeback.toml:19:1: `anounced` is not a key of `[dashboards.customer_health]`
          hint: did you mean `announced`?
        "#);
    }

    #[test]
    fn more_than_one_thing_that_tells() {
        insta::assert_snapshot!(dashboard_told("marker = \"done.json\"\nsource = \"crm\"\nquery = \"SELECT 1\"\nannounced = true\nmarkr = 1"), @r#"
        writeback.toml:22:1: dashboard `customer_health` says twice how a finished cycle is noticed: by `marker` and by `announced`
          hint: write `marker = "FILE"`; or `source = "CONNECTION"` and `query = "SELECT …"`; or `cron = "0 5 * * *"` and `timezone = "Europe/Berlin"`; or `announced = true`
        writeback.toml:23:1: `markr` is not a key of `[dashboards.customer_health]`
          hint: did you mean `marker`?
        "#);
    }

    #[test]
    fn halves() {
        insta::assert_snapshot!(["source = \"crm\"", "query = \"SELECT 1\"", "cron = \"0 5 * * *\"", "timezone = \"UTC\"", "margin = \"5m\""].map(dashboard_told).concat(), @r#"
        writeback.toml:18:1: `[dashboards.customer_health]` has no `query`
          hint: write a SELECT that yields `cycle_id`, `completed_at` and `status`
        writeback.toml:18:1: `[dashboards.customer_health]` has no `source`
          hint: name the connection that the query is put to
        writeback.toml:18:1: `[dashboards.customer_health]` has no `timezone`
          hint: name the zone the clock hangs in: `timezone = "Europe/Berlin"`
        writeback.toml:18:1: `[dashboards.customer_health]` has no `cron`
          hint: write five fields as in crontab: `0 6 * * MON`
        writeback.toml:18:1: `[dashboards.customer_health]` has no `timezone`
          hint: name the zone the clock hangs in: `timezone = "Europe/Berlin"`
        writeback.toml:18:1: `[dashboards.customer_health]` has no `cron`
          hint: write five fields as in crontab: `0 6 * * MON`
        "#);
    }

    #[test]
    fn values_nothing_can_be_made_of() {
        insta::assert_snapshot!([
            "marker = \" \"", "marker = \"a\\u0000b\"", "marker = 1", "source = \"crm\"\nquery = \"\"", "source = \"crn\"\nquery = 1",
            "cron = \"0 5 * *\"\ntimezone = \"UTC\"\nmargin = \"2years\"", "announced = false", "announced = \"yes\"",
        ].map(dashboard_told).concat(), @r#"
        writeback.toml:19:10: `marker` is empty
          hint: name the file that the dashboard leaves behind when a cycle has finished
        writeback.toml:19:10: `marker` holds a NUL character
          hint: name the file that the dashboard leaves behind when a cycle has finished
        writeback.toml:19:10: `marker` is a whole number, not a string
          hint: strings stand in quotes
        writeback.toml:20:9: `query` is empty
          hint: write a SELECT that yields `cycle_id`, `completed_at` and `status`
        writeback.toml:19:10: there is no connection `crn` in writeback.toml
          hint: did you mean `crm`?
        writeback.toml:20:9: `query` is a whole number, not a string
          hint: strings stand in quotes
        writeback.toml:19:8: clock `0 5 * *` has 4 fields instead of five
          hint: write minute, hour, day of the month, month and weekday: `0 6 * * MON` is Monday at 06:00
        writeback.toml:21:10: `margin` is not between 0s and 1year
        writeback.toml:19:13: `announced = false` does not say how a finished cycle is noticed
          hint: write `announced = true`, or leave it out and say what else tells
        writeback.toml:19:13: `announced` is a string, not true or false
        "#);
    }

    #[test]
    fn polls_that_are_too_often_too_seldom_or_of_nothing() {
        insta::assert_snapshot!([
            "marker = \"done.json\"\npoll = \"999ms\"", "marker = \"done.json\"\npoll = \"25h\"",
            "announced = true\npoll = \"1m\"", "cron = \"0 5 * * *\"\ntimezone = \"UTC\"\npoll = \"1m\"\nfile = 1",
        ].map(dashboard_told).concat(), @r#"
        writeback.toml:20:8: `poll` is not between 1s and 1day
        writeback.toml:20:8: `poll` is not between 1s and 1day
        writeback.toml:20:1: `poll` means nothing to a dashboard with `announced`
          hint: known keys: `announced`
        writeback.toml:21:1: `poll` means nothing to a dashboard with `cron`
          hint: known keys: `cron`, `timezone`, `margin`
        writeback.toml:22:1: `file` is not a key of `[dashboards.customer_health]`
          hint: known keys: `cron`, `timezone`, `margin`
        "#);
    }
}
