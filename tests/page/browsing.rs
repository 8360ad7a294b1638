//! The page in a browser: what it lets nobody do, how it looks to everybody, and that it needs
//! nothing from anywhere else.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;

use crate::browser::Browser;
use crate::deciding;
use crate::fixture;
use crate::person::Person;
use crate::shown::Shown;

/// Signs in by a link, as a person does.
pub(crate) fn enter(browser: &Browser, shown: &Shown<'_>, role: &str) {
    browser.go(&format!("http://{}{}", shown.host, shown.link(role)));
    browser.click("main button");
    browser.wait_for("Sign out");
}

pub(crate) fn address(shown: &Shown<'_>, page: &str) -> String {
    format!("http://{}{page}", shown.host)
}

#[test]
fn no_script_from_elsewhere_runs_and_no_text_becomes_markup() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let violations = browser.script_later(
        "const done = arguments[0], seen = [];
         document.addEventListener('securitypolicyviolation', (event) => seen.push(event.effectiveDirective));
         const script = document.createElement('script');
         try { script.textContent = 'window.ran = true'; document.body.append(script); } catch { seen.push('a script is no text'); }
         try { document.body.innerHTML = '<b>x</b>'; } catch { seen.push('markup is no text'); }
         const image = new Image(); image.src = 'http://127.0.0.1:1/x.png'; document.body.append(image);
         const style = document.createElement('style'); style.textContent = 'body { color: red }'; document.head.append(style);
         setTimeout(() => done({ seen, ran: window.ran === true }), 300);",
    );
    assert_eq!(violations["ran"], false, "{violations}");
    let seen = violations["seen"].to_string();
    for expected in [
        "a script is no text",
        "markup is no text",
        "img-src",
        "style-src-elem",
    ] {
        assert!(seen.contains(expected), "{expected} in {seen}");
    }
}

#[test]
fn every_page_is_quiet_own_and_fits_a_phone() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    browser.width(320);
    let looks = fixture::looks(&shown);
    for page in fixture::pages().into_iter().chain(looks) {
        browser.go(&address(&shown, &page));
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{page}");
        let seen = browser.script(
            "return { width: document.documentElement.scrollWidth, headings: document.querySelectorAll('h1').length,
                      evil: document.querySelectorAll('#e, main img').length,
                      loaded: performance.getEntriesByType('resource').map((entry) => entry.name) }",
        );
        let width = seen["width"].as_u64().unwrap();
        assert!(width <= 320, "{page} is {width} wide: it scrolls sideways");
        assert_eq!(
            (&seen["headings"], &seen["evil"]),
            (&1.into(), &0.into()),
            "{page}"
        );
        let loaded = seen["loaded"].as_array().unwrap();
        let own = |url: &Value| url.as_str().unwrap().starts_with(&address(&shown, "/"));
        assert!(
            loaded.len() <= 3 && loaded.iter().all(own),
            "{page} loads {loaded:?}"
        );
    }
}

#[test]
fn a_link_on_another_site_opens_the_page_signed_in() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    // Another name of this machine is another site to a browser.
    let other = format!(
        "http://localhost:{}/",
        elsewhere.local_addr().unwrap().port()
    );
    let body = format!(
        "<a id=there href='{}'>run 2</a>",
        address(&shown, "/runs/2")
    );
    std::thread::spawn(move || {
        for stream in elsewhere.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 4096]));
            let length = body.len();
            drop(write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ));
        }
    });
    let browser = Browser::open();
    enter(&browser, &shown, "viewer");
    browser.go(&other).click("#there").wait_for("Run 2");
    assert_eq!(browser.url(), address(&shown, "/runs/2"));
    assert!(browser.text().contains("Sign out"), "{}", browser.text());
}

#[test]
fn somebody_without_script_signs_in_searches_and_signs_out() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    browser.without_script();
    browser.go(&address(&shown, &shown.link("operator")));
    browser.click("main button").wait_to_leave("/enter/");
    browser.go(&address(&shown, "/runs/3/nightly/rejected"));
    browser.fill("#q", "N12").click("form.line button");
    browser.wait_for_address("?q=N12&stage=");
    browser.click(".who button").wait_for_address("/login");
    browser.go(&address(&shown, "/runs"));
    browser.wait_for_address("/login?next=%2Fruns");
    browser.with_script();
}

#[test]
fn somebody_without_script_approves_and_takes_back() {
    let place = deciding::stopped();
    let shown = Shown::start(&place, &["serve", "--page", "127.0.0.1:0"]);
    let admin = Person::of(&shown, "admin");
    let browser = Browser::open();
    browser.without_script();
    browser.go(&address(&shown, &shown.link("admin")));
    browser.click("main button").wait_to_leave("/enter/");
    browser.go(&address(&shown, "/"));
    browser
        .click(".waiting .do a")
        .wait_for_address("/runs/2/approve");
    browser
        .click("main button.primary")
        .wait_for_address("/looks/1");
    admin.ended("/looks/1");
    browser.go(&address(&shown, "/looks/1"));
    browser
        .fill("#reason", "a new model")
        .click("main button.primary");
    browser.wait_for_address("/requests/2");
    assert_eq!(admin.ended("/requests/2")["message"], "succeeded");
    assert!(place.rows("accounts").contains("A1,20,a"));
    browser.go(&address(&shown, "/runs/2/undo"));
    browser
        .click("main button.primary")
        .wait_for_address("/looks/3");
    admin.ended("/looks/3");
    browser.go(&address(&shown, "/looks/3"));
    browser.fill("#reason", "the old one was right");
    browser
        .click("main button.primary")
        .wait_for_address("/requests/4");
    admin.ended("/requests/4");
    assert!(place.rows("accounts").contains("A1,2,a"));
    browser.with_script();
}

#[test]
fn all_of_a_search_stands_in_its_address() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    enter(&browser, &shown, "operator");
    browser.go(&address(&shown, "/runs/3/nightly/rejected"));
    browser
        .fill("#q", "N12")
        .click("form.line button")
        .wait_for("10 match");
    let (copied, rows) = (browser.url(), browser.text());
    browser
        .go(&address(&shown, "/"))
        .wait_for("What waits for a person");
    browser.go(&copied).wait_for("10 match");
    assert_eq!(browser.text(), rows);
    browser.click("tbody th a").wait_for("History");
    browser.script("history.back()");
    browser.wait_for("10 match");
    assert_eq!((browser.url(), browser.text()), (copied, rows));
}

/// The rules of accessibility as a program can check them.
pub(crate) fn axe() -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let file = target.join("tmp/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `tests/run` fetches it", file.display()))
}

/// Colours on their way from one to another are neither.
const STILL: (&str, &str) = ("prefers-reduced-motion", "reduce");

#[test]
fn pages_are_accessible_in_light_and_dark_on_a_phone_and_in_forced_colours() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    let axe = axe();
    let check = |page: &str| {
        browser.script(&axe);
        let ways: [(u32, &[(&str, &str)]); 3] = [
            (1280, &[("prefers-color-scheme", "light"), STILL]),
            (320, &[("prefers-color-scheme", "dark"), STILL]),
            (1280, &[("forced-colors", "active"), STILL]),
        ];
        for (width, likes) in ways {
            browser.width(width).like(likes);
            let found = browser.script_later(
                "axe.run(document, { resultTypes: ['violations'] }).then((found) => arguments[0](
                     found.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.html).slice(0, 3).join(' '))),
                     (error) => arguments[0]([String(error)]))",
            );
            assert_eq!(
                found,
                Value::Array(Vec::new()),
                "{page} at {width} with {likes:?}"
            );
        }
    };
    let look = |page: &str| {
        browser.go(&address(&shown, page));
        check(page);
    };
    look("/login");
    browser.fill("#name", "ada").fill("#password", "wrong");
    browser
        .click("main button")
        .wait_for("do not belong together");
    check("a form with an error");
    enter(&browser, &shown, "admin");
    let looks = fixture::looks(&shown);
    for page in fixture::pages().into_iter().chain(looks) {
        look(&page);
    }
}

/// Not a test of what is seen but for people to see: `WRITEBACK_PICTURES=docs/page tests/run --test
/// page pictures` takes them anew.
#[test]
fn pictures_for_the_documents_can_be_taken() {
    let place = fixture::example();
    let shown = Shown::page(&place);
    let browser = Browser::open();
    enter(&browser, &shown, "admin");
    let admin = Person::of(&shown, "admin");
    admin.look("/runs/3/approve/looks", "key=l1");
    let folder = std::env::var_os("WRITEBACK_PICTURES").map(PathBuf::from);
    for scheme in ["light", "dark"] {
        browser.like(&[("prefers-color-scheme", scheme), STILL]);
        for (name, page) in fixture::EXAMPLE_PAGES {
            browser.go(&address(&shown, page));
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{page}");
            if let Some(folder) = &folder {
                let file = folder.join(format!("{name}-{scheme}.png"));
                std::fs::write(file, browser.screenshot()).unwrap();
            }
        }
    }
}
