//! The page by keyboard alone.

use serde_json::Value;

use crate::browser::Browser;
use crate::browsing::{address, axe};
use crate::deciding;
use crate::person::Person;
use crate::shown::Shown;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// More stops than any page has here.
const STOPS_MAX: usize = 120;

/// Goes on from stop to stop until one is reached; each is seen to have the focus.
fn tab_to<'a>(browser: &'a Browser, css: &str) -> &'a Browser {
    for _ in 0..STOPS_MAX {
        browser.press(TAB);
        let seen = browser.script(&format!(
            "const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
             const within = (at, most) => Math.min(Math.max(at, 1), most - 2);
             const at = document.elementFromPoint(within(box.left + box.width / 2, innerWidth), within(box.top + box.height / 2, innerHeight));
             return {{ here: e.matches('{css}'), html: e.outerHTML.slice(0, 200), page: e === document.body,
                       ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 3,
                       free: at !== null && (e.contains(at) || at.contains(e)) }}"
        ));
        if seen["page"] == true {
            continue;
        }
        assert_eq!(
            (&seen["ring"], &seen["free"]),
            (&true.into(), &true.into()),
            "{seen}"
        );
        if seen["here"] == true {
            return browser;
        }
    }
    panic!("no stop is {css}: {}", browser.text());
}

fn focused(browser: &Browser) -> Value {
    browser.script("return document.activeElement.outerHTML")
}

#[test]
fn somebody_signs_in_and_approves_by_keyboard_alone() {
    let place = deciding::stopped();
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let admin = Person::of(&shown, "admin");
    let browser = Browser::open();
    browser.go(&address(&shown, &shown.link("admin")));
    tab_to(&browser, "main button")
        .press(ENTER)
        .wait_for("Sign out");
    browser.go(&address(&shown, "/"));
    tab_to(&browser, ".waiting .do a").press(ENTER);
    browser.wait_for_address("/runs/2/approve");
    tab_to(&browser, "main button.primary").press(ENTER);
    browser.wait_for_address("/looks/1");
    admin.ended("/looks/1");
    browser.wait_for("Let 3 records be changed");
    tab_to(&browser, "#reason").press("just good? /go k");
    tab_to(&browser, "main button.primary").press(ENTER);
    browser.wait_for_address("/requests/2");
    assert_eq!(admin.ended("/requests/2")["message"], "succeeded");
    let run = place.command(&["runs", "2", "--json"]).json();
    assert_eq!(run["approval"]["reason"], "just good? /go k", "{run}");
    assert!(place.rows("accounts").contains("A1,20,a"));
}

#[test]
fn single_keys_lead_about_unless_they_are_switched_off() {
    let place = deciding::stopped();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    crate::browsing::enter(&browser, &shown, "admin");
    browser.go(&address(&shown, "/"));
    tab_to(&browser, ".top nav a[href=\"/runs\"]");
    let before = focused(&browser);
    browser.press("?").wait_for("Switch them off");
    let inside =
        browser.script("return document.querySelector('dialog').contains(document.activeElement)");
    assert_eq!(inside, true);
    browser.script(&axe());
    let found = browser.script_later(
        "axe.run('dialog', { resultTypes: ['violations'] }).then((found) => arguments[0](found.violations.map((one) => one.id)))",
    );
    assert_eq!(found, Value::Array(Vec::new()));
    browser.press(ESCAPE);
    assert_eq!(
        browser.script("return document.querySelector('dialog').open"),
        false
    );
    assert_eq!(focused(&browser), before, "the focus is where it was");
    browser.press("gr").wait_for_address("/runs");
    let rows = |keys: &str| {
        browser.press(keys);
        browser.script("return document.activeElement.getAttribute('href')")
    };
    assert_eq!(
        (rows("j"), rows("j"), rows("k")),
        ("/runs/2".into(), "/runs/1".into(), "/runs/2".into())
    );
    browser.press(ENTER).wait_for("Run 2");
    browser.go(&address(&shown, "/account"));
    tab_to(&browser, "form[action=\"/keys\"] button").press(ENTER);
    browser.wait_for("Single keys lead nowhere");
    browser.press("gr?");
    assert_eq!(
        browser.script("return document.querySelector('dialog')"),
        Value::Null
    );
    assert!(browser.url().contains("/account"), "{}", browser.url());
    browser
        .click("form[action=\"/keys\"] button")
        .wait_for("Single keys lead about");
    browser.press("gr").wait_for_address("/runs");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
