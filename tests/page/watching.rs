//! Watching a run: in one tab or in ten, and while the page is gone for a while.

use crate::browser::Browser;
use crate::browsing::{address, enter};
use crate::fixture;
use crate::harness::{Client, FIELDS, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

const RECORDS: u32 = 40;

/// A job of as many batches as records.
fn place() -> Workspace {
    let mut accounts = "id,score,note,phone\n".to_owned();
    let mut scores = "id,score,note\n".to_owned();
    for number in 0..RECORDS {
        accounts += &format!("A{number},1,a,\n");
        scores += &format!("A{number},2,a\n");
    }
    let place = Workspace::accounts(Server::Sqlite, &accounts, &scores);
    // What somebody else holds is waited for.
    let connections =
        place.connection("files") + &place.connection("crm") + "lock_timeout = '60s'\n";
    place.file(
        "writeback.toml",
        &format!("{connections}[dashboards.health]\nannounced = true\n"),
    );
    let job = write_back("scores", "accounts", "batch_size = 1", FIELDS);
    // A gate that never opens: what runs here was asked for.
    let cadence = "[cadence]\ndashboard = 'health'\nat = [2020-12-24T06:00:00Z]\n\n";
    place.file("schedules/job.toml", &format!("{cadence}{job}"));
    fixture::announce(&place, "W46");
    place
}

/// Asks for a run that cannot write yet, as somebody else does, and waits until it is at work.
fn begun(shown: &Shown<'_>) {
    let admin = Person::of(shown, "admin");
    let asked = admin.post("/jobs/job/runs", "key=k1&cycle=W46&write_back=");
    assert_eq!(asked.status, 303, "{}", asked.body);
    shown.place.wait_until("a run at work", |place| {
        place
            .history()
            .first()
            .is_some_and(|run| run.1 == "running")
    });
}

/// A run that cannot write yet, the page about it in a browser, and the client that holds it up.
fn held_up(place: &Workspace) -> (Shown<'_>, Browser, Client) {
    let shown = Shown::start(place, &["serve", "--page", "127.0.0.1:0"]);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    let other = place.client();
    assert!(other.tries("BEGIN IMMEDIATE"));
    begun(&shown);
    browser
        .go(&address(&shown, "/runs/1"))
        .wait_for("0 of 40 records");
    (shown, browser, other)
}

/// A page that was left behind tells of a run's end by this.
const END: &str = "Take it back";

#[test]
fn a_run_is_watched_to_its_last_record_without_a_reload() {
    let place = place();
    let (_shown, browser, other) = held_up(&place);
    browser.script(
        "const bar = document.querySelector('progress'), seen = () => sessionStorage.setItem('seen', bar.value + ' of ' + bar.max);
         new MutationObserver(seen).observe(bar, { attributes: true });",
    );
    assert!(other.tries("ROLLBACK"));
    browser.wait_for(END);
    let seen = browser.script("return sessionStorage.getItem('seen')");
    assert_eq!(seen, "40 of 40");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_whose_server_died_says_so_and_goes_on_by_itself() {
    let place = place();
    let (shown, browser, other) = held_up(&place);
    assert!(
        !browser.text().contains("Nobody answers"),
        "{}",
        browser.text()
    );
    let host = shown.host.clone();
    drop(shown);
    browser.wait_for("Nobody answers here");
    assert!(other.tries("ROLLBACK"));
    let _back = Shown::start(&place, &["serve", "--page", &host]);
    browser.wait_for(END);
    assert!(
        !browser.text().contains("Nobody answers"),
        "{}",
        browser.text()
    );
    let written = place.query("SELECT count(*) AS n FROM accounts WHERE score = 2");
    assert_eq!(written, "n\n40\n");
}

#[test]
fn ten_tabs_watch_over_one_stream_and_the_page_still_answers() {
    let place = place();
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    let other = place.client();
    assert!(other.tries("BEGIN IMMEDIATE"));
    begun(&shown);
    let tabs: Vec<String> = (0..10).map(|_| browser.open_tab()).collect();
    for tab in &tabs {
        browser.in_tab(tab).go(&address(&shown, "/runs/1"));
        browser.wait_for("0 of 40 records");
    }
    let locks = browser.script_later(
        "navigator.locks.query().then((all) => arguments[0]([all.held.length, all.pending.length]))",
    );
    assert_eq!(locks, serde_json::json!([1, 9]));
    browser.open_tab();
    browser.go(&address(&shown, "/runs")).wait_for("Runs");
    // The tab that asks is closed; another asks then.
    browser.in_tab(&tabs[0]).go("about:blank");
    assert!(other.tries("ROLLBACK"));
    for tab in &tabs[1..] {
        browser.in_tab(tab).wait_for(END);
    }
}
