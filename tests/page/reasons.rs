//! Why a job runs now or does not: its page says what `next` says, whatever the situation.

use crate::fixture::announce;
use crate::harness::{Client, FIELDS, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

struct Told<'a> {
    place: &'a Workspace,
    viewer: Person<'a>,
    reasons: Vec<String>,
}

/// Texts of pages hold elements where those of commands hold marks.
fn plain(text: &str) -> String {
    let mut outside = true;
    let letters = text.chars().filter(|letter| {
        let is_text = outside && *letter != '<' && *letter != '>';
        outside = match letter {
            '<' => false,
            '>' => true,
            _ => outside,
        };
        is_text && *letter != '`' && !letter.is_whitespace()
    });
    letters.collect()
}

impl Told<'_> {
    /// The cadence of the job, whose fields stay.
    fn cadence(&self, lines: &str) {
        let job = write_back("scores", "accounts", "max_changed = '40%'", FIELDS);
        let cadence = format!("[cadence]\ndashboard = 'health'\n{lines}\n\n");
        self.place
            .file("schedules/job.toml", &format!("{cadence}{job}"));
    }

    /// What `next` says now, which is what the page and the overview say.
    fn expect(&mut self, reason: &str) {
        let next = self.place.command(&["next", "job", "--json"]);
        assert_eq!(next.code, 0, "{reason}: {next}");
        let next = next.json();
        let now = next["jobs"][0]["now"].as_str().unwrap().to_owned();
        assert!(now.contains(reason), "{reason} in {now}");
        let page = self.viewer.get("/jobs/job").body;
        let lead = page.split("class=\"lead\">").nth(1);
        let lead = lead.unwrap_or_else(|| panic!("{page}"));
        let lead = plain(lead.split("</p>").next().unwrap());
        assert!(lead.contains(&plain(&now)), "{now} in {lead}");
        let overview = plain(&self.viewer.get("/").body);
        assert!(overview.contains(&plain(&now)), "{now} in {overview}");
        for passed in next["jobs"][0]["passed_over"].as_array().unwrap() {
            let why = plain(passed["why"].as_str().unwrap());
            assert!(plain(&page).contains(&why), "{why} in {page}");
        }
        self.reasons.push(now);
    }
}

/// Somebody else, who holds what a run would write.
fn holding(place: &Workspace) -> Client {
    let other = place.client();
    assert!(other.tries("BEGIN IMMEDIATE"));
    other
}

#[test]
fn a_jobs_page_says_what_next_says_in_every_situation() {
    let rows = "id,score,note,phone\nA1,1,a,\nA2,2,b,\nA3,3,c,\n";
    let scores = "id,score,note\nA1,1,a\nA2,2,b\nA3,3,c\n";
    let place = Workspace::accounts(Server::Sqlite, rows, scores);
    let connections = place.connection("files") + &place.connection("crm");
    let dashboard = "lock_timeout = '60s'\n[dashboards.health]\nannounced = true\n";
    place.file("writeback.toml", &format!("{connections}{dashboard}"));
    let shown = Shown::page(&place);
    let viewer = Person::of(&shown, "viewer");
    let mut told = Told {
        place: &place,
        viewer,
        reasons: Vec::new(),
    };
    told.expect("by hand only");
    told.cadence("");
    told.expect("no new cycle");
    announce(&place, "W1");
    told.cadence("settle = '1h'");
    told.expect("settles");
    told.cadence("gate = { cron = '0 6 1 1 *', timezone = 'UTC' }");
    told.expect("waits for the gate");
    told.cadence("at = [2020-12-24T06:00:00Z]");
    told.expect("no gate opens any more");
    told.cadence("");
    told.expect("is due");
    announce(&place, "W2");
    told.expect("W2");
    // The older one will not be written: that is said before it is decided.
    let page = plain(&told.viewer.get("/jobs/job").body);
    assert!(page.contains("W1:supersededbycycleW2"), "{page}");
    let paused = place.command(&["pause", "job", "--reason", "the CRM moves"]);
    assert_eq!(paused.code, 0, "{paused}");
    told.expect("paused");
    assert_eq!(place.command(&["pause", "job", "--lift"]).code, 0);

    place.file("data/scores.csv", "id,score,note\nA1,2,a\nA2,2,b\nA3,3,c\n");
    let other = holding(&place);
    let mut run = place.start(&["run", "job"]);
    place.wait_until("a run at work", |place| !place.history().is_empty());
    told.expect("at work");
    assert!(other.tries("ROLLBACK"));
    assert!(run.wait().unwrap().success());
    told.expect("no new cycle");
    told.cadence("every_cycles = 3");
    announce(&place, "W3");
    told.expect("1 of 3 new cycles");

    told.cadence("deadline = '1h'");
    let old = ["--completed-at", "2020-01-01T00:00:00Z"];
    let old = place.command(&[&["cycle", "health", "--id", "W0"], &old[..]].concat());
    assert_eq!(old.code, 0, "{old}");
    place.file("data/scores.csv", "id,score,note\nA1,9,a\nA2,9,b\nA3,9,c\n");
    assert_eq!(place.run().code, 3, "a guard stops it");
    told.expect("waits for approval");

    // A run that cannot finish is tried again, and given up in the end.
    announce(&place, "W4");
    told.cadence("attempts_max = 2\nretry_delay = '1h'");
    place.file("data/scores.csv", "id,score,note\nA1,3,a\nA2,2,b\nA3,3,c\n");
    let hasty = dashboard.replace("'60s'", "'100ms'\nattempts_max = 1");
    place.file("writeback.toml", &format!("{connections}{hasty}"));
    let other = holding(&place);
    assert_eq!(
        place.run().code,
        2,
        "somebody else holds what it would write"
    );
    assert!(other.tries("ROLLBACK"));
    told.expect("failed once and waits for the next attempt");
    told.cadence("attempts_max = 1");
    told.expect("was given up");

    // What was decided is told as it was decided, whoever serves.
    told.cadence("deadline = '1h'\nsettle = '30m'\nattempts_max = 1");
    let expired = ["--completed-at", "2026-01-01T00:00:00Z"];
    drop(place.command(&[&["cycle", "health", "--id", "W5"], &expired[..]].concat()));
    let mut serving = place.serve(&[]);
    serving.wait_for_log("serving");
    let standby = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    told.viewer = Person::named(&standby, "standby", "viewer");
    announce(&place, "W6");
    told.expect("settles");
    assert!(told.viewer.get("/").body.contains("Served by process"));
    serving.stop();
    assert!(told.reasons.len() >= 14, "{:#?}", told.reasons);
}
