//! Every act by somebody whose browser runs no script. Approving and taking back stand in
//! `browsing`, editing in `editing`.

use crate::browser::Browser;
use crate::browsing::address;
use crate::fixture::announce;
use crate::person::Person;
use crate::shown::Shown;
use crate::tending::{mended, place};

/// Somebody at a browser.
struct Hand<'a> {
    browser: Browser,
    shown: &'a Shown<'a>,
    admin: Person<'a>,
}

impl Hand<'_> {
    fn go(&self, page: &str) -> &Browser {
        self.browser.go(&address(self.shown, page))
    }

    /// Presses the button of the form that is sent to where `ending` ends.
    fn press(&self, ending: &str) -> &Browser {
        self.browser
            .click(&format!("main form[action$='{ending}'] button"))
    }

    /// Opens what holds that form.
    fn open(&self, ending: &str) {
        let summary = format!("main details:has(form[action$='{ending}']) > summary");
        self.browser.click(&summary);
    }

    fn fill(&self, ending: &str, field: &str, text: &str) {
        let css = format!("main form[action$='{ending}'] [name={field}]");
        self.browser.fill(&css, text);
    }

    /// Waits for the page of what was asked for, and for its end. Returns what became of it.
    fn ended(&self, of: &str) -> String {
        self.browser.wait_for_address(of);
        let url = self.browser.url();
        let page = url.split_once(&self.shown.host).unwrap().1.to_owned();
        let told = self.admin.ended(&page);
        self.go(&page);
        told["message"].as_str().unwrap_or_default().to_owned()
    }
}

#[test]
fn somebody_without_script_does_everything() {
    let place = place();
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let hand = Hand {
        browser: Browser::open(),
        shown: &shown,
        admin: Person::of(&shown, "admin"),
    };
    hand.browser.without_script();
    hand.go(&shown.link("admin"));
    hand.browser.click("main button").wait_to_leave("/enter/");
    // Rejected records: those that were found again, then all others.
    mended(&place);
    hand.go("/runs/1/scores/rejected?q=A3");
    hand.browser
        .click("main a.button[href*='/chosen']")
        .wait_for("Take 1 records again");
    hand.press("/retry");
    assert_eq!(hand.ended("/requests/"), "succeeded");
    hand.go("/jobs/job");
    hand.press("/retries");
    assert_eq!(hand.ended("/requests/"), "succeeded");
    assert!(place.rows("accounts").contains("A4,40,d"));
    // One record.
    let record = "/jobs/job/scores/records/A2";
    hand.go(record);
    hand.open("/park");
    hand.fill("/park", "until", "2099-01-31");
    hand.fill("/park", "because", "merger under way");
    hand.press("/park").wait_for("merger under way");
    hand.press("/lift").wait_for("Park…");
    hand.press("/test");
    hand.ended("/looks/");
    hand.browser.wait_for("rolled back");
    place.execute("UPDATE accounts SET score = 0 WHERE id = 'A2'");
    hand.go(record);
    hand.open("/test");
    hand.browser
        .click("main details form[action$='/test'] button");
    hand.ended("/looks/");
    hand.browser.wait_for("What was written stays");
    assert!(place.rows("accounts").contains("A2,20,b"));
    // The job and its dashboard.
    hand.go("/jobs/job");
    hand.open("/pause");
    hand.fill("/pause", "because", "the CRM moves");
    hand.press("/pause").wait_for("the CRM moves");
    hand.press("/resume").wait_for("Pause…");
    hand.press("/verifications");
    hand.ended("/looks/");
    hand.browser.wait_for("Verification of job");
    hand.go("/dashboards/health");
    hand.fill("/cycles", "cycle", "W46");
    hand.press("/cycles").wait_for("W46");
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,11,a\nA2,20,b\nA3,30,c\nA4,40,d\n",
    );
    hand.go("/jobs/job");
    hand.press("/previews");
    hand.ended("/looks/");
    hand.fill("/apply", "reason", "as shown");
    hand.press("/apply");
    assert_eq!(hand.ended("/requests/"), "succeeded");
    assert!(place.rows("accounts").contains("A1,11,a"));
    // A run now, and its end.
    announce(&place, "W47");
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,12,a\nA2,20,b\nA3,30,c\nA4,40,d\n",
    );
    let other = place.client();
    assert!(other.tries("BEGIN IMMEDIATE"));
    hand.go("/jobs/job/run");
    hand.press("/runs").wait_for_address("/requests/");
    place.wait_until("a run at work", |place| {
        place.history().iter().any(|run| run.1 == "running")
    });
    let run = place.command(&["runs", "--json"]).json()["runs"][0]["run"].to_string();
    hand.go("/")
        .wait_for("At work now")
        .wait_for("of 4 records");
    hand.go(&format!("/runs/{run}"));
    hand.browser
        .click("main a[href$='/stop']")
        .wait_for_address("/stop");
    hand.press("/stop").wait_for_address("/requests/");
    assert!(other.tries("ROLLBACK"));
    hand.ended("/requests/");
    // What is one's own.
    hand.go("/account");
    hand.fill("/zone", "zone", "Asia/Tokyo");
    hand.press("/zone").wait_for("JST");
    hand.press("/keys").wait_for("Single keys lead nowhere");
    hand.press("/end");
    hand.browser.click(".who button").wait_for_address("/login");
    let acts = place
        .command(&["activity", "--limit", "100", "--json"])
        .json()
        .to_string();
    for act in [
        "retry",
        "park",
        "lift",
        "test",
        "test and keep",
        "pause",
        "resume",
        "announce",
        "apply",
        "run",
        "stop",
        "end session",
        "sign out",
    ] {
        assert!(
            acts.contains(&format!("\"act\":\"{act}\"")),
            "{act} in {acts}"
        );
    }
    hand.browser.with_script();
}
