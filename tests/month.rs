//! A month of daily cycles in twelve minutes: the scheduler runs on a clock that goes 3 600 times
//! as fast, through the night in which Berlin's clocks go forward, a kill, a long stop, and an
//! outage of the destination. In the end history must show exactly the expected runs, each behind
//! its gate.
//!
//! Not part of `cargo test`: `cargo test --test month` runs it. Needs libfaketime, as the behavior
//! tests do.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "a test may"
)]

#[path = "behavior/harness/mod.rs"]
mod harness;

use std::time::Instant;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use harness::{FIELDS, PASSWORD, Server, Serving, Workspace, faketime_library};

/// Seconds of the scheduler's clock in one second.
const SPEED: i32 = 3_600;
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 3, 10).expect("a day");
const DAYS: u64 = 31;
/// A run may begin so long after its gate: some seconds of a busy machine.
const LATE_MAX: TimeDelta = TimeDelta::hours(12);

/// What happens to the scheduler and around it.
#[derive(Debug, Clone, Copy)]
enum Event {
    Start,
    /// As `kill -9` does.
    Kill,
    /// As a service manager does.
    Stop,
    /// The dashboard finishes this day's cycle.
    Finish(NaiveDate),
    OutageBegins,
    OutageEnds,
}

fn at(day: u32, hour: u32) -> DateTime<Utc> {
    let month =
        FIRST_DAY.and_hms_opt(hour, 0, 0).expect("a time") + TimeDelta::days(i64::from(day) - 10);
    month.and_utc()
}

/// The month in order.
fn events() -> Vec<(DateTime<Utc>, Event)> {
    let mut events = vec![
        (at(10, 0), Event::Start),
        (at(14, 12), Event::Kill),
        (at(14, 15), Event::Start),
        (at(18, 0), Event::OutageBegins),
        (at(19, 12), Event::OutageEnds),
        // Both gates of the 23rd and 24th open while nobody serves.
        (at(22, 12), Event::Stop),
        (at(24, 12), Event::Start),
        // Hours before and after the night in which 02:30 does not exist.
        (at(28, 22), Event::Kill),
        (at(28, 23), Event::Start),
    ];
    let days = (0..DAYS).map(|day| FIRST_DAY + Days::new(day));
    events.extend(days.map(|day| {
        (
            day.and_hms_opt(20, 0, 0).expect("a time").and_utc(),
            Event::Finish(day),
        )
    }));
    events.sort_by_key(|(at, _)| *at);
    events
}

/// Cycles that are written back: all but the one superseded during the outage, and the one during
/// the stop.
fn expected() -> Vec<String> {
    let lost = ["2026-03-17", "2026-03-22"];
    (0..DAYS)
        .map(|day| (FIRST_DAY + Days::new(day)).to_string())
        .filter(|day| !lost.contains(&day.as_str()))
        .collect()
}

/// The scheduler's clock, seen from here.
struct Month {
    begun: Instant,
}

impl Month {
    fn now(&self) -> DateTime<Utc> {
        at(10, 0)
            + TimeDelta::from_std(self.begun.elapsed() * SPEED.unsigned_abs()).expect("a month")
    }

    fn wait_for(&self, instant: DateTime<Utc>) {
        if let Ok(wait) = (instant - self.now()).to_std() {
            std::thread::sleep(wait / SPEED.unsigned_abs());
        }
    }

    fn serve(&self, place: &Workspace) -> Serving {
        let clock = format!("@{} x{SPEED}", self.now().format("%Y-%m-%d %H:%M:%S"));
        let library = faketime_library();
        place.serve_with(
            &[],
            &[
                ("LD_PRELOAD", &library),
                ("FAKETIME", &clock),
                ("TZ", "UTC"),
            ],
        )
    }
}

fn main() {
    let place = prepare();
    let month = Month {
        begun: Instant::now(),
    };
    let mut serving = None;
    let mut logs = String::new();
    for (instant, event) in events() {
        month.wait_for(instant);
        println!("{}  {event:?}", month.now().format("%Y-%m-%d %H:%M"));
        match event {
            Event::Start => serving = Some(month.serve(&place)),
            Event::Kill => {
                let killed: Serving = serving.take().expect("it serves");
                logs.push_str(&killed.log());
                killed.kill();
            }
            Event::Stop => {
                let (code, log) = serving.take().expect("it serves").stop();
                assert_eq!(code, Some(0), "{log}");
                logs.push_str(&log);
            }
            Event::Finish(day) => finish(&place, day),
            Event::OutageBegins => outage(&place, "NOLOGIN"),
            Event::OutageEnds => outage(&place, "LOGIN"),
        }
    }
    // The last day's gate opens in the morning after it.
    month.wait_for(
        at(10, 0) + TimeDelta::days(i64::try_from(DAYS).expect("a few")) + TimeDelta::hours(12),
    );
    let (code, log) = serving.take().expect("it serves").stop();
    logs.push_str(&log);
    assert_eq!(code, Some(0), "{log}");
    tell_and_check(&place, &logs);
}

/// A daily job behind a gate at half past two in Berlin, which follows a dashboard that keeps its
/// cycles in a database.
fn prepare() -> Workspace {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note,phone\nA1,0,,\n",
        "id,score,note\nA1,0,\n",
    );
    place.execute(&format!(
        "CREATE ROLE scheduler LOGIN PASSWORD '{PASSWORD}'"
    ));
    place.execute("GRANT SELECT, UPDATE ON accounts TO scheduler");
    // On this clock a day of patience lasts 24 seconds.
    let crm = place
        .connection("crm")
        .replace("tester@", "scheduler@")
        .trim_end()
        .to_owned()
        + "\nconnect_timeout = '2days'\nstatement_timeout = '2days'\n";
    let dashboards = "[connections.dashboard]\nkind = 'sqlite'\nfile = 'dashboard.db'\n\n[dashboards.health]\n\
         source = 'dashboard'\nquery = 'SELECT cycle_id, completed_at, status FROM cycles'\npoll = '10m'\n";
    place.file(
        "writeback.toml",
        &(place.connection("files") + &crm + dashboards),
    );
    place.job("", FIELDS);
    let job = place.text("schedules/job.toml");
    let cadence = "[cadence]\ndashboard = 'health'\nsettle = '30m'\nretry_delay = '20m'\nretry_delay_max = '2h'\n\
         attempts_max = 100\ngate = { cron = '30 2 * * *', timezone = 'Europe/Berlin' }\n";
    place.file("schedules/job.toml", &format!("{cadence}\n{job}"));
    place.query_file(
        "dashboard.db",
        "CREATE TABLE cycles (cycle_id TEXT, completed_at TEXT, status TEXT)",
    );
    place
}

fn finish(place: &Workspace, day: NaiveDate) {
    let number = (day - FIRST_DAY).num_days() + 1;
    place.file("data/scores.csv", &format!("id,score,note\nA1,{number},\n"));
    place.query_file(
        "dashboard.db",
        &format!("INSERT INTO cycles VALUES ('{day}', '{day} 20:00:00', 'succeeded')"),
    );
}

/// Nobody may log in to the destination, or again.
fn outage(place: &Workspace, login: &str) {
    place.execute(&format!("ALTER ROLE scheduler {login}"));
    place.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'scheduler'",
    );
}

fn tell_and_check(place: &Workspace, logs: &str) {
    println!("{}", place.command(&["runs", "--limit", "100"]).stdout);
    println!("{}", place.command(&["next", "job"]).stdout);
    let history = place.history();
    let cycles: Vec<&String> = history
        .iter()
        .filter(|(_, status)| status == "succeeded")
        .map(|(cycle, _)| cycle)
        .collect();
    assert_eq!(
        cycles,
        expected().iter().collect::<Vec<_>>(),
        "log:\n{logs}"
    );
    let failed: Vec<_> = history
        .iter()
        .filter(|(_, status)| status != "succeeded")
        .collect();
    assert!(
        failed.iter().all(|(cycle, _)| cycle == "2026-03-17"),
        "{failed:?}\nlog:\n{logs}"
    );
    for run in place.command(&["runs", "--limit", "100", "--json"]).json()["runs"]
        .as_array()
        .expect("a list")
    {
        check_gate(run);
    }
    assert_eq!(
        place.query("SELECT score FROM accounts"),
        format!("score\n{DAYS}\n")
    );
    println!("{} runs, as expected", history.len());
}

/// A run begins after its gate, and soon after, where neither an outage nor a stop was in between.
fn check_gate(run: &serde_json::Value) {
    let instant = |name: &str| {
        run[name]
            .as_str()
            .expect("a text")
            .parse::<DateTime<Utc>>()
            .expect("an instant")
    };
    let cycle = run["cycle"].as_str().expect("a text");
    let day: NaiveDate = cycle.parse().expect("a day");
    // Half past two in Berlin: 01:30 UTC in winter; in the night of the change 02:30 does not
    // exist, and the gate opens at 03:00 summer time; 00:30 UTC in summer.
    let change = NaiveDate::from_ymd_opt(2026, 3, 28).expect("a day");
    let minutes = match day.cmp(&change) {
        std::cmp::Ordering::Less => 90,
        std::cmp::Ordering::Equal => 60,
        std::cmp::Ordering::Greater => 30,
    };
    let gate = (day + Days::new(1))
        .and_hms_opt(0, 0, 0)
        .expect("a time")
        .and_utc()
        + TimeDelta::minutes(minutes);
    let begun = instant("started_at");
    assert!(
        begun >= gate,
        "cycle {cycle} ran at {begun}, before its gate of {gate}"
    );
    let held_up = ["2026-03-17", "2026-03-18", "2026-03-22", "2026-03-23"].contains(&cycle);
    assert!(
        held_up || begun < gate + LATE_MAX,
        "cycle {cycle} ran at {begun}, long after its gate of {gate}"
    );
}
