//! The reader's clock, on a day on which clocks change, held against what a browser knows of zones.

use serde_json::Value;

use crate::browser::Browser;
use crate::browsing::{address, enter};
use crate::harness::{FIELDS, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

/// A job that delivered two cycles, one a second before clocks went forward in New York and one a
/// second after, with a parked record and a pause.
fn place() -> Workspace {
    let rows = "id,score,note,phone\nA1,1,a,\nA2,1,b,\n";
    let place = Workspace::accounts(Server::Sqlite, rows, "id,score,note\nA1,2,a\nA2,2,b\n");
    let connections = place.connection("files") + &place.connection("crm");
    let dashboard = "[dashboards.health]\nannounced = true\n";
    place.file("writeback.toml", &format!("{connections}{dashboard}"));
    let job = write_back("scores", "accounts", "", FIELDS);
    let cadence = "[cadence]\ndashboard = 'health'\n\
                   gate = { cron = '0 6 * * MON', timezone = 'America/New_York' }\n\n";
    place.file("schedules/job.toml", &format!("{cadence}{job}"));
    let done = |arguments: &[&str]| {
        let ran = place.command(arguments);
        assert_eq!(ran.code, 0, "{ran}");
    };
    for (id, at) in [
        ("before", "2020-03-08T06:59:59Z"),
        ("after", "2020-03-08T07:00:01Z"),
    ] {
        done(&["cycle", "health", "--id", id, "--completed-at", at]);
        done(&["run", "job"]);
    }
    let until = ["--until", "2099-11-01T05:30:00Z", "--reason", "later"];
    done(&[&["park", "job", "--record", "A2"], &until[..]].concat());
    done(&[&["pause", "job"], &until[..]].concat());
    place
}

const PAGES: [&str; 9] = [
    "/",
    "/jobs/job",
    "/runs",
    "/runs/1",
    "/runs/2",
    "/dashboards/health",
    "/jobs/job/scores/records/A2",
    "/activity",
    "/account",
];

/// What is wrong with instants on a page: those that the browser would tell otherwise in that zone,
/// that it does not understand, or that stand about without the name of a zone.
fn complaints(browser: &Browser, zone: &str, names: &[&str]) -> (u64, Value) {
    let script = "
        const [zone, names] = [ZONE, NAMES], wrong = [], all = [...document.querySelectorAll('time')];
        const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', weekday: 'short', year: 'numeric',
            month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' });
        for (const time of all) {
            const machine = time.dateTime, words = time.textContent;
            if (!/^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$/.test(machine)) { wrong.push(machine); continue; }
            const p = Object.fromEntries(format.formatToParts(new Date(machine)).map((part) => [part.type, part.value]));
            const there = `${p.weekday} ${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}`;
            if (!names.some((name) => words === `${there} ${name}`)) wrong.push(`${words}, not ${there}`);
        }
        const rest = document.querySelector('main').cloneNode(true);
        for (const time of rest.querySelectorAll('time, .steps')) time.remove();
        wrong.push(...rest.textContent.match(/\\d{4}-\\d\\d-\\d\\d.\\d\\d:\\d\\d(?::\\d\\d)?(?![:\\d])(?! [A-Z]{3,4})[^:]{0,9}/g) ?? []);
        return [all.length, wrong];";
    let script = script
        .replace("ZONE", &Value::from(zone).to_string())
        .replace("NAMES", &Value::from(names).to_string());
    let told = browser.script(&script);
    (told[0].as_u64().unwrap(), told[1].clone())
}

#[test]
fn every_instant_is_told_on_the_readers_clock_also_when_clocks_change() {
    let place = place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    for (zone, names) in [
        ("UTC", &["UTC"][..]),
        ("Asia/Kolkata", &["IST"]),
        ("America/New_York", &["EST", "EDT"]),
    ] {
        let mut told = 0;
        for page in PAGES {
            browser.go(&address(&shown, &format!("{page}?tz={zone}")));
            let (times, wrong) = complaints(&browser, zone, names);
            assert_eq!(wrong, Value::Array(Vec::new()), "{page} in {zone}");
            told += times;
        }
        assert!(told > 30, "{told} instants in {zone}");
    }
    // An hour lies between the two seconds there, and none anywhere else.
    browser.go(&address(&shown, "/dashboards/health?tz=America/New_York"));
    let text = browser.text();
    for part in ["2020-03-08 01:59:59 EST", "2020-03-08 03:00:01 EDT"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let viewer = Person::of(&shown, "viewer");
    let csv = viewer.get("/runs.csv?job=job&tz=America/New_York").body;
    let mut lines = csv.lines();
    let heads = lines.next().unwrap();
    assert!(
        heads.starts_with("run,job,cycle,status,cycle_completed_at (America/New_York),"),
        "{heads}"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("2,job,after,succeeded,2020-03-08 03:00:01,"),
        "{csv}"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("1,job,before,succeeded,2020-03-08 01:59:59,"),
        "{csv}"
    );
}
