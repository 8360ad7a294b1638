//! What the pages show, held against what the commands print.

use serde_json::Value;

use crate::fixture::{self, HOSTILE, HOSTILE_KEY};
use crate::harness::Workspace;
use crate::shown::{Answer, OWN, Shown};

/// Somebody who is signed in.
struct Reader<'a> {
    shown: &'a Shown<'a>,
    cookie: String,
}

impl<'a> Reader<'a> {
    fn of(shown: &'a Shown<'a>, role: &str) -> Self {
        let cookie = shown.cookie(role);
        Self { shown, cookie }
    }

    fn get(&self, path: &str) -> Answer {
        self.shown.get(path, &[("Cookie", &self.cookie)])
    }

    /// The text of a page, without its elements.
    fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        text_of(&answer.body)
    }
}

fn text_of(html: &str) -> String {
    let mut text = String::new();
    let mut outside = true;
    for letter in html.chars() {
        match letter {
            '<' => outside = false,
            '>' => {
                outside = true;
                text.push(' ');
            }
            _ if outside => text.push(letter),
            _ => {}
        }
    }
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn job<'a>(status: &'a Value, name: &str) -> &'a Value {
    let mut jobs = status["jobs"].as_array().unwrap().iter();
    jobs.find(|job| job["job"] == name).unwrap()
}

#[test]
fn the_overview_says_what_waits_with_the_numbers_of_status() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "operator");
    let text = reader.text("/");
    let status = place.command(&["status", "--json"]).json();
    let (waiting, jobs) = text.split_once("Nobody serves").unwrap();
    assert!(
        waiting.contains("■ stopped by a guard job · run 2"),
        "{waiting}"
    );
    assert!(waiting.contains("✕ failed broken · run 4"), "{waiting}");
    let pending = job(&status, "nightly")["pending"][0]["records"]
        .as_u64()
        .unwrap();
    assert!(
        waiting.contains(&format!("nightly · {pending} rejected records are pending")),
        "{waiting}"
    );
    assert!(
        waiting.contains("(250)") || waiting.contains("(251)"),
        "the reason and how often: {waiting}"
    );
    for name in ["job", "nightly", "broken"] {
        let why = job(&status, name)["now"].as_str().unwrap().replace('`', "");
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = jobs.split_whitespace().collect::<Vec<_>>().join(" ");
        let told = told.replace(" .", ".");
        let told = told.replace('`', "");
        assert!(told.contains(&why), "{name}: {why} in {told}");
    }
    assert_eq!(reader.get("/api/v1/status").json()["jobs"], status["jobs"]);
}

#[test]
fn a_jobs_page_gives_the_reason_that_next_gives() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "viewer");
    let reason = |place: &Workspace| {
        let next = place.command(&["next", "job", "--json"]).json();
        next["jobs"][0]["now"].as_str().unwrap().replace('`', "")
    };
    let told = || {
        let text = reader.text("/jobs/job").replace('`', "");
        let (_, told) = text
            .split_once("not run now")
            .or_else(|| text.split_once("would run now"))
            .unwrap();
        told.to_owned()
    };
    let mut seen = Vec::new();
    let mut see = |place: &Workspace| {
        let (reason, told) = (reason(place), told());
        let squeezed = |text: &str| text.replace(' ', "");
        assert!(
            squeezed(&told).starts_with(&squeezed(&reason)),
            "{reason} / {told}"
        );
        seen.push(reason);
    };
    see(&place);
    fixture::announce(&place, "2026-W47");
    see(&place);
    let file = place.text("schedules/job.toml");
    let ungated: String = file
        .lines()
        .filter(|line| !line.starts_with("gate"))
        .map(|line| format!("{line}\n"))
        .collect();
    place.file(
        "schedules/job.toml",
        &ungated.replace("dashboard =", "settle = '1h'\ndashboard ="),
    );
    see(&place);
    place.file("schedules/job.toml", &ungated);
    see(&place);
    place.file(
        "schedules/job.toml",
        &ungated.replace("dashboard =", "every_cycles = 5\ndashboard ="),
    );
    see(&place);
    seen.dedup();
    assert_eq!(seen.len(), 5, "five different reasons: {seen:#?}");
    let by_hand = reader.text("/jobs/nightly");
    assert!(
        by_hand.contains("runs by hand only: it has no cadence"),
        "{by_hand}"
    );
    place.file("schedules/job.toml", "[cadence]\ndashboard = 'nowhere'\n");
    let broken = reader.get("/jobs/job");
    assert_eq!(broken.status, 422, "{}", broken.body);
    assert!(
        broken.body.contains("schedules/job.toml:2"),
        "{}",
        broken.body
    );
    assert!(
        reader.text("/problems").contains("schedules/job.toml : 2")
            || reader.get("/problems").body.contains("schedules/job.toml")
    );
}

#[test]
fn the_sum_balances_on_every_run() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "viewer");
    for run in 1..=4 {
        let page = reader.get(&format!("/runs/{run}")).body;
        let label = page.split("class=\"sum\" aria-label=\"").nth(1).unwrap();
        let label = label.split('"').next().unwrap();
        let numbers = |text: &str| -> u64 {
            text.split('+')
                .map(|term| {
                    term.chars()
                        .filter(char::is_ascii_digit)
                        .collect::<String>()
                })
                .map(|digits| digits.parse::<u64>().unwrap())
                .sum()
        };
        let (read, outcomes) = label.split_once('=').unwrap();
        let printed = place.command(&["runs", &run.to_string(), "--json"]).json();
        let read_printed = printed["write_backs"][0]["read"].as_u64().unwrap();
        assert_eq!(numbers(read), read_printed, "run {run}: {label}");
        let finished = printed["status"] == "succeeded" || printed["status"] == "rejected";
        assert!(
            !finished || numbers(outcomes) == read_printed,
            "run {run}: {label}"
        );
        let mut told = reader.get(&format!("/api/v1/runs/{run}")).json();
        if run == 4 {
            // A viewer does not see a destination's own words.
            assert_eq!(told["error"], "it could not finish");
            told["error"] = printed["error"].clone();
        }
        // They have a list of their own here.
        told["parked"] = printed["parked"].clone();
        told["skipped"] = printed["skipped"].clone();
        assert_eq!(told, printed, "run {run}");
    }
}

#[test]
fn rejected_records_are_found_by_key_and_reason_letter_by_letter() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "operator");
    let found = |query: &str| {
        let text = reader.text(&format!("/runs/3/nightly/rejected{query}"));
        let (before, _) = text.split_once(" match Download CSV").unwrap();
        before.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(found(""), 251);
    assert_eq!(found("?q=n00"), 10, "in whatever case");
    assert_eq!(found("?q=N_0"), 0, "_ is a letter");
    assert_eq!(found("?q=N%25"), 0, "% is a letter");
    assert_eq!(found("?q=N123&stage=schema"), 1);
    assert_eq!(found("?q=N123&stage=match"), 0);
    assert_eq!(found("?column=score"), 251);
    let csv = |query: &str| {
        reader
            .get(&format!("/runs/3/nightly/rejected.csv{query}"))
            .body
    };
    assert_eq!(csv("").lines().count(), 1 + 251);
    assert_eq!(csv("?q=N12").lines().count(), 1 + 10);
    // Page by page, each record once.
    let mut keys = Vec::new();
    let mut path = "/runs/3/nightly/rejected".to_owned();
    loop {
        let page = reader.get(&path).body;
        let links = page.split("/jobs/nightly/nightly/records/").skip(1);
        keys.extend(links.map(|link| link.split('"').next().unwrap().to_owned()));
        let Some(next) = page
            .split("href=\"")
            .find(|link| link.contains("\">Next ▸"))
        else {
            break;
        };
        path = next.split('"').next().unwrap().replace("&amp;", "&");
    }
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((all, keys.len()), (251, 251));
}

#[test]
fn instants_stand_on_the_readers_clock_with_its_name() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "viewer");
    for (zone, name) in [
        ("UTC", "UTC"),
        ("Asia%2FKolkata", "IST"),
        ("America%2FNew_York", "EST"),
    ] {
        let page = reader.get(&format!("/runs/1?tz={zone}")).body;
        let times: Vec<&str> = page.split("<time datetime=\"").skip(1).collect();
        assert!(times.len() >= 3);
        for time in times {
            let (machine, rest) = time.split_once("\">").unwrap();
            let shown = rest.split('<').next().unwrap();
            let parsed = chrono::DateTime::parse_from_rfc3339(machine).unwrap();
            assert_eq!(machine.len(), "2026-11-15T06:00:00.000Z".len(), "{machine}");
            let zone: chrono_tz::Tz = zone.replace("%2F", "/").parse().unwrap();
            let there = parsed
                .with_timezone(&zone)
                .format("%a %Y-%m-%d %H:%M:%S %Z");
            assert_eq!(shown, there.to_string());
            assert!(shown.ends_with(name) || shown.ends_with("EDT"), "{shown}");
        }
    }
    let chosen = shown.send(
        "POST",
        "/zone",
        &[OWN, ("Cookie", &reader.cookie)],
        "zone=Asia/Tokyo&back=/runs/1",
    );
    assert_eq!(
        (chosen.status, chosen.header("location")),
        (303, Some("/runs/1"))
    );
    let cookie = format!("{}; {}", reader.cookie, chosen.cookie());
    assert!(
        shown
            .get("/runs/1", &[("Cookie", &cookie)])
            .body
            .contains("JST</time>")
    );
}

#[test]
fn nothing_that_a_record_or_a_cycle_holds_becomes_markup() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "admin");
    let mut seen = 0;
    let looks = fixture::looks(&shown);
    for page in fixture::pages().into_iter().chain(looks) {
        let body = reader.get(&page).body;
        for part in ["<img", "<b id=e>", "onerror=alert(1)>\""] {
            assert!(!body.contains(part), "{page} holds {part}");
        }
        let text = text_of(&body.replace("&lt;", "‹").replace("&gt;", "›"));
        seen += usize::from(text.contains("‹img src=http") || text.contains("‹b id=e›"));
    }
    assert!(
        seen >= 6,
        "{HOSTILE} and {HOSTILE_KEY} are shown on {seen} pages"
    );
}

#[test]
fn a_viewer_sees_how_many_and_not_what() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let (viewer, operator) = (Reader::of(&shown, "viewer"), Reader::of(&shown, "operator"));
    let record = "/jobs/job/scores/records/A1";
    let cell = "<td class=\"long\">2</td>";
    assert!(operator.get(record).body.contains(cell));
    assert!(!viewer.get(record).body.contains(cell));
    assert_eq!(viewer.get(&format!("/api/v1{record}")).status, 403);
    assert_eq!(operator.get(&format!("/api/v1{record}")).status, 200);
    let why = "in column `note` and holds `NEW`";
    assert!(operator.text("/runs/4").contains(why));
    for page in ["/", "/runs/4", "/api/v1/runs/4", "/api/v1/runs"] {
        assert!(!viewer.get(page).body.contains("holds `NEW`"), "{page}");
    }
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[page]\nviewers_see_values = true\n"),
    );
    let shown = Shown::page(&place);
    assert!(Reader::of(&shown, "viewer").get(record).body.contains(cell));
}

#[test]
fn a_token_for_one_job_sees_no_other() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let token = shown.token("airflow", "admin", &["--job", "job"]);
    let ask = |path: &str| shown.get(path, &[("Authorization", &token)]);
    for theirs in [
        "/api/v1/jobs/job",
        "/api/v1/runs/1",
        "/api/v1/status",
        "/runs",
        "/api/v1/alerts",
    ] {
        assert_eq!(ask(theirs).status, 200, "{theirs}");
    }
    for other in [
        "/api/v1/jobs/nightly",
        "/api/v1/runs/3",
        "/api/v1/runs/3/nightly/rejected",
        "/runs/3",
        "/runs/3/nightly/rejected.csv",
        "/jobs/nightly/nightly/records/A4",
        "/api/v1/actions",
        "/api/v1/problems",
        "/files/writeback.toml",
        "/activity",
        "/api/v1/dashboards/health",
    ] {
        assert_eq!(ask(other).status, 403, "{other}");
    }
    assert_eq!(
        ask("/api/v1/status").json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let runs = ask("/api/v1/runs?job=nightly").json();
    assert!(
        runs["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|run| run["job"] == "job")
    );
}

#[test]
fn every_route_of_the_api_is_described_and_answers() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "admin");
    let printed = place.command(&["page", "openapi"]).json();
    assert_eq!(reader.get("/api/v1/openapi.json").json(), printed);
    assert_eq!(printed["openapi"], "3.1.0");
    let values = [
        ("{job}", "job"),
        ("{write_back}", "scores"),
        ("{key}", "A1"),
        ("{run}", "1"),
        ("{dashboard}", "health"),
    ];
    let paths = printed["paths"].as_object().unwrap();
    assert!(paths.len() >= 12, "{paths:?}");
    for (path, methods) in paths {
        if methods.get("get").is_none()
            || path.contains("{request}")
            || path.contains("{look}")
            || path.contains("{file}")
        {
            continue;
        }
        let mut asked = path.clone();
        for (name, value) in values {
            asked = asked.replace(name, value);
        }
        let answer = reader.get(&asked);
        assert_eq!(answer.status, 200, "{asked}: {}", answer.body);
        answer.json();
        assert_eq!(shown.get(&asked, &[]).status, 401, "{asked}");
    }
    for absent in [
        "/api/v1/runs/99",
        "/api/v1/jobs/none",
        "/api/v1/nothing",
        "/api/v1/runs/x",
    ] {
        let answer = reader.get(absent);
        assert!([404, 400].contains(&answer.status), "{absent}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{absent}"
        );
    }
}

#[test]
fn pages_are_small_and_secrets_are_on_none() {
    let place = fixture::place();
    let secret = "hunter2hunter2";
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[connections.other]\nurl = \"postgres://ada:{secret}@localhost/x\"\n"),
    );
    let shown = Shown::page(&place);
    let reader = Reader::of(&shown, "admin");
    let session = reader.cookie.split_once('=').unwrap().1;
    for page in fixture::pages() {
        let body = reader.get(&page).body;
        assert!(body.len() < 100_000, "{page} has {} bytes", body.len());
        for secret in [secret, session] {
            assert!(!body.contains(secret), "{page} holds a secret");
        }
    }
    assert!(reader.text("/files/writeback.toml").contains("url = ***"));
    let login = reader.get("/login").body;
    let assets = login.split('"').filter(|part| part.starts_with("/assets/"));
    let bytes: usize = assets.map(|asset| reader.get(asset).body.len()).sum();
    assert!(bytes < 20_000, "style and script have {bytes} bytes");
}
