//! A write-back with several destinations on the page: each has outcomes of its own.

use crate::browser::Browser;
use crate::browsing::{address, enter};
use crate::fixture;
use crate::harness::{Server, Workspace};
use crate::person::Person;
use crate::shown::Shown;

const JOB: &str = "[cadence]
dashboard = 'health'
at = [2020-12-24T06:00:00Z]

[[write_back]]
name = 'scores'
schema = 'sql/scores.sql'
source = 'files'

[[write_back.to]]
destination = 'hub'
table = 'companies'
ignore = ['note']
fields = { key = 'id', points = { column = 'score', realtime = true } }

[[write_back.to]]
destination = 'crm'
table = 'accounts'
matching = 'upsert'

[write_back.to.fields]
id = 'id'
score = 'score'
note = 'note'
";

fn place() -> Workspace {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,555\nA2,2,,\n",
        "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\n",
    );
    let project = place.text("writeback.toml");
    let hub = "kind = 'sqlite'\nfile = 'hub.db'\nattempts_max = 1\nlock_timeout = '200ms'\n";
    place.file(
        "writeback.toml",
        &format!("{project}\n[connections.hub]\n{hub}\n[dashboards.health]\nannounced = true\n"),
    );
    place.execute_file(
        "hub.db",
        "PRAGMA journal_mode = WAL; CREATE TABLE companies (key TEXT PRIMARY KEY, points INTEGER);
         INSERT INTO companies VALUES ('A1', 0), ('A2', 0)",
    );
    place.file("schedules/job.toml", JOB);
    fixture::announce(&place, "W46");
    place
}

/// The cells of a write-back's row in a run's table.
fn row(browser: &Browser, name: &str) -> String {
    let script =
        "const names = [...document.querySelectorAll('[aria-labelledby=write-backs] tbody tr')];
                  return names.map((row) => row.innerText.replace(/\\s+/g, ' ').trim())";
    let rows = browser.script(script);
    let mut rows = rows
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row.as_str());
    let found = rows.find(|row| row.starts_with(name));
    found
        .unwrap_or_else(|| panic!("no {name}: {}", browser.text()))
        .to_owned()
}

#[test]
fn each_destination_of_a_run_is_told_by_its_own_name() {
    let place = place();
    let hub = place.client_of_file("hub.db");
    assert!(hub.tries("BEGIN IMMEDIATE"));
    let ran = place.run();
    assert_eq!(ran.code, 2, "{ran}");
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let admin = Person::of(&shown, "admin");
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    browser.go(&address(&shown, "/runs/1")).wait_for("Run 1");
    assert!(
        row(&browser, "scores@hub").contains("not written"),
        "{}",
        browser.text()
    );
    assert!(
        !row(&browser, "scores@crm").contains("not written"),
        "{}",
        browser.text()
    );
    assert!(
        browser.text().contains("could not write"),
        "{}",
        browser.text()
    );
    assert!(hub.tries("ROLLBACK"));
    // The same run goes on where it stood.
    browser.go(&address(&shown, "/jobs/job/run"));
    for option in [
        "only scores, at each destination",
        "only scores@hub",
        "only scores@crm",
    ] {
        assert!(
            browser.text().contains(option),
            "{option} in {}",
            browser.text()
        );
    }
    browser.click("main button.primary").wait_for_address("/r");
    assert_eq!(admin.ended("/requests/1")["message"], "succeeded");
    assert_eq!(
        place.query_file("hub.db", "SELECT key, points FROM companies"),
        "key,points\nA1,10\nA2,20\n"
    );
    browser.go(&address(&shown, "/runs/1")).wait_for("Run 1");
    assert!(
        row(&browser, "scores@hub").starts_with("scores@hub 3 0 2 0 1"),
        "{}",
        browser.text()
    );
    assert!(
        row(&browser, "scores@crm").starts_with("scores@crm 3 1 2 0 0"),
        "{}",
        browser.text()
    );
    // One look at both by the name of what is read, or at one.
    for (key, name, counts) in [("l1", "scores", 2), ("l2", "scores@hub", 1)] {
        let (_, look) = admin.look(
            "/jobs/job/previews",
            &format!("key={key}&write_back={name}"),
        );
        let told = look["told"]["write_backs"].as_array().unwrap().len();
        assert_eq!(told, counts, "{name}: {look}");
    }
    let body = "key=u1&write_back=scores@hub&records=";
    let (_, look) = admin.look("/runs/1/undo/looks", body);
    let told = &look["told"]["write_backs"];
    assert_eq!(
        (&told[0]["reversed"], told.as_array().unwrap().len()),
        (&2.into(), 1),
        "{look}"
    );
    // Each has a page, and so has what they share.
    browser.width(320);
    for (page, part) in [
        ("/jobs/job", "scores@crm"),
        ("/jobs/job/scores", "scores@hub: companies of hub"),
        ("/jobs/job/scores@hub", "companies"),
        ("/jobs/job/scores@hub/records/A1", "10"),
        ("/runs/1", "scores@hub"),
        ("/", "job"),
    ] {
        browser.go(&address(&shown, page)).wait_for(part);
        let width = browser.script("return document.documentElement.scrollWidth");
        assert!(width.as_u64().unwrap() <= 320, "{page} is {width} wide");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
