//! A long history: very many rejected records, and many runs. Pages stay small and ask little of
//! the ledger, every record is found, and nobody's memory grows with them.

use crate::browser::Browser;
use crate::browsing::{address, enter};
use crate::fixture;
use crate::harness::{FIELDS, SCORES, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::{Answer, Shown};

const REJECTED: usize = 100_000;
/// Enough that a statement for each would be seen, and that what they wrote into a record is told in
/// parts.
const RUNS: usize = 29;
/// As many are told at once.
const WRITES_TOLD: usize = 25;
/// Jobs that never ran, half of them after a dashboard: enough that a statement for each would be
/// seen.
const IDLE_JOBS: usize = 8;

/// One job with many runs, and one run with very many rejected records. Somebody else changes a
/// record right before the oldest of the writes that are told first, and one that is told later is
/// taken back.
fn place() -> Workspace {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,a,\n",
        "id,score,note\n",
    );
    for run in 0..RUNS {
        if run == RUNS - WRITES_TOLD + 1 {
            place.execute("UPDATE accounts SET score = -7 WHERE id = 'A1'");
        }
        let score = 100 + run;
        place.file("data/scores.csv", &format!("id,score,note\nA1,{score},a\n"));
        assert_eq!(place.run().code, 0);
    }
    let undone = place.command(&["undo", "2", "--even-changed"]);
    assert_eq!(undone.code, 0, "{undone}");
    idle_jobs(&place);
    let mut lines = "id,score,note\n".to_owned();
    for number in 0..REJECTED {
        // Of every thousand one is rejected for another reason, and one key holds what searches do.
        let score = if number % 1_000 == 0 { "1.5" } else { "n/a" };
        match number {
            77_777 => lines += &format!("100%_,{score},a\n"),
            _ => lines += &format!("N{number:06},{score},a\n"),
        }
    }
    let (schema, job) = (
        format!("CREATE TABLE many ({SCORES});\n"),
        write_back("many", "accounts", "", FIELDS),
    );
    place.file("data/many.csv", &lines);
    place.file("sql/many.sql", &schema);
    place.file("schedules/many.toml", &job);
    let ran = place.command(&["run", "many", "--json"]);
    assert_eq!(ran.summary(), "100000 read = 100000 rejected", "{ran}");
    place
}

fn idle_jobs(place: &Workspace) {
    let project = place.text("writeback.toml");
    let project = format!("{project}\n[dashboards.health]\nannounced = true\n");
    place.file("writeback.toml", &project);
    let cadence = "[cadence]\ndashboard = 'health'\nat = [2020-12-24T06:00:00Z]\n\n";
    for number in 0..IDLE_JOBS {
        let cadence = if number % 2 == 0 { cadence } else { "" };
        let job = write_back("scores", "accounts", "", FIELDS);
        place.file(
            &format!("schedules/idle{number}.toml"),
            &format!("{cadence}{job}"),
        );
    }
    for cycle in ["W45", "W46"] {
        fixture::announce(place, cycle);
    }
}

const LOGGED: &str = "info,sqlx::query=trace";

/// Statements that the page asked the ledger, but for those that begin and end its transactions.
fn statements(shown: &Shown<'_>) -> usize {
    let log = shown.log();
    let asked = log.lines().filter(|line| line.contains("rows_returned="));
    let bounds = [
        "summary=BEGIN",
        "summary=\"BEGIN",
        "summary=COMMIT",
        "summary=\"COMMIT",
    ];
    asked
        .filter(|line| !bounds.iter().any(|bound| line.contains(bound)))
        .count()
}

/// How many records a page says match.
fn matching(answer: &Answer) -> String {
    let (before, _) = answer.body.split_once("</b> match").unwrap();
    before.rsplit("<b>").next().unwrap().to_owned()
}

/// Most statements that a page asks, however long the history is and however many jobs there are.
const STATEMENTS_MAX: usize = 12;

/// The run with very many rejected records comes after the job's and an undo.
const PAGES: [&str; 12] = [
    "/",
    "/agencies",
    "/jobs/many",
    "/jobs/job",
    "/jobs/idle0",
    "/jobs/job/scores/records/A1",
    "/runs",
    "/runs?job=job&before=5",
    "/runs/1",
    "/runs/31",
    "/runs/31/many/rejected",
    "/activity",
];

#[test]
fn pages_about_a_long_history_are_small_and_ask_little() {
    let place = place();
    let shown = Shown::start_logging(&place, &["page", "--at", "127.0.0.1:0"], LOGGED);
    let operator = Person::of(&shown, "operator");
    for path in PAGES {
        let before = statements(&shown);
        let answer = operator.get(path);
        let asked = statements(&shown) - before;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            (1..=STATEMENTS_MAX).contains(&asked),
            "{path} asks {asked} statements"
        );
        assert!(answer.body.len() < 100_000, "{path}: {}", answer.body.len());
    }
    let rejected = "/runs/31/many/rejected";
    let small = [
        ("Cookie", operator.cookie.as_str()),
        ("Accept-Encoding", "gzip"),
    ];
    let length = shown.bytes(rejected, &small);
    assert!(length < 15_000, "{length} bytes compressed");
    let browser = Browser::open();
    enter(&browser, &shown, "operator");
    browser.go(&address(&shown, "/runs/31/many/rejected"));
    let requests = "return performance.getEntriesByType('resource').length + 1";
    let requests = browser.script(requests).as_u64().unwrap();
    assert!((2..=4).contains(&requests), "{requests} requests");
    records_are_found(&operator);
    all_are_downloaded(&shown, &operator);
    a_record_is_told_in_parts(&place, &operator);
}

/// Its parts, one after the other, are what the command tells at once.
fn a_record_is_told_in_parts(place: &Workspace, operator: &Person<'_>) {
    let record = ["--job", "job", "--record", "A1", "--json"];
    let whole = place.command(&[&["history", "scores"], &record[..]].concat());
    let whole = whole.json();
    assert_eq!(
        whole["entries"].as_array().unwrap().len(),
        RUNS + 2,
        "{whole}"
    );
    let mut entries = Vec::new();
    let mut before = String::new();
    loop {
        let part = operator.json(&format!("/jobs/job/scores/records/A1{before}"));
        let told = part["entries"].as_array().unwrap();
        assert!(told.len() <= WRITES_TOLD + 2, "{part}");
        entries.extend(told.clone());
        let Some(next) = part["next"].as_i64() else {
            assert_eq!(part["since"], whole["since"]);
            break;
        };
        before = format!("?before={next}");
    }
    assert_eq!(serde_json::Value::Array(entries), whole["entries"]);
    let page = operator.get("/jobs/job/scores/records/A1").body;
    let (_, older) = page.split_once("?before=").expect("a link to older ones");
    let older = older.split('#').next().unwrap();
    let page = operator.get(&format!("/jobs/job/scores/records/A1?before={older}"));
    for part in ["run 1<", "undone by", "◂ Newest", "reaches back to"] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
}

fn records_are_found(operator: &Person<'_>) {
    let found = |query: &str| matching(&operator.get(&format!("/runs/31/many/rejected{query}")));
    for (query, records) in [
        ("?q=n0123", "100"),
        ("?q=N_1", "0"),
        ("?q=100%25_", "1"),
        ("?q=the+point", "100"),
        ("?q=the_point", "0"),
    ] {
        assert_eq!(found(query), records, "{query}");
    }
    // From page to page by the link that each has.
    let mut path = "/runs/31/many/rejected?q=N000".to_owned();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let page = operator.get(&path).body;
        let links = page.split("/jobs/many/many/records/").skip(1);
        keys.extend(links.map(|link| link.split('"').next().unwrap().to_owned()));
        let mut links = page.split("href=\"");
        let next = links.find(|link| link.contains("\">Next ▸")).unwrap();
        path = next.split('"').next().unwrap().replace("&amp;", "&");
    }
    let expected: Vec<String> = (0..200).map(|number| format!("N{number:06}")).collect();
    assert_eq!(keys, expected);
}

fn all_are_downloaded(shown: &Shown<'_>, operator: &Person<'_>) {
    let before = shown.peak_kib();
    let csv = operator.get("/runs/31/many/rejected.csv").body;
    let grown = shown.peak_kib() - before;
    let size = csv.len() / 1024;
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("record,key,stage,column,reason"));
    assert_eq!(lines.count(), REJECTED);
    assert!(csv.contains(",N099999,"), "the last is there");
    assert!(grown < 8_192, "{grown} KiB more for {size} KiB");
}
