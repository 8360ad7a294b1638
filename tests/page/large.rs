//! A long history: very many rejected records, and many runs. Pages stay small and ask little of
//! the ledger, every record is found, and nobody's memory grows with them.

use crate::browser::Browser;
use crate::browsing::{address, enter};
use crate::harness::{FIELDS, SCORES, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::{Answer, Shown};

const REJECTED: usize = 100_000;
/// Enough that a statement for each would be seen.
const RUNS: usize = 8;

/// One job with many runs, and one run with very many rejected records.
fn place() -> Workspace {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,a,\n",
        "id,score,note\n",
    );
    for run in 0..RUNS {
        place.file("data/scores.csv", &format!("id,score,note\nA1,{run},a\n"));
        assert_eq!(place.run().code, 0);
    }
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

/// Most statements that a page asks, however long the history is. The overview asks each of the
/// two jobs; a record's page asks each run that wrote it.
const PAGES: [(&str, usize); 10] = [
    ("/", 24),
    ("/jobs/many", 14),
    ("/jobs/job", 14),
    ("/jobs/job/scores/records/A1", 2 * RUNS + 4),
    ("/runs", 12),
    ("/runs?job=job&before=5", 12),
    ("/runs/1", 12),
    ("/runs/9", 12),
    ("/runs/9/many/rejected", 12),
    ("/activity", 12),
];

#[test]
fn pages_about_a_long_history_are_small_and_ask_little() {
    let place = place();
    let shown = Shown::start_logging(&place, &["page", "--at", "127.0.0.1:0"], LOGGED);
    let operator = Person::of(&shown, "operator");
    for (path, most) in PAGES {
        let before = statements(&shown);
        let answer = operator.get(path);
        let asked = statements(&shown) - before;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            (1..=most).contains(&asked),
            "{path} asks {asked} statements"
        );
        assert!(answer.body.len() < 100_000, "{path}: {}", answer.body.len());
    }
    let rejected = "/runs/9/many/rejected";
    let small = [
        ("Cookie", operator.cookie.as_str()),
        ("Accept-Encoding", "gzip"),
    ];
    let length = shown.bytes(rejected, &small);
    assert!(length < 15_000, "{length} bytes compressed");
    let browser = Browser::open();
    enter(&browser, &shown, "operator");
    browser.go(&address(&shown, "/runs/9/many/rejected"));
    let requests = "return performance.getEntriesByType('resource').length + 1";
    let requests = browser.script(requests).as_u64().unwrap();
    assert!((2..=4).contains(&requests), "{requests} requests");
    records_are_found(&operator);
    all_are_downloaded(&shown, &operator);
}

fn records_are_found(operator: &Person<'_>) {
    let found = |query: &str| matching(&operator.get(&format!("/runs/9/many/rejected{query}")));
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
    let mut path = "/runs/9/many/rejected?q=N000".to_owned();
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
    let csv = operator.get("/runs/9/many/rejected.csv").body;
    let grown = shown.peak_kib() - before;
    let size = csv.len() / 1024;
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("record,key,stage,column,reason"));
    assert_eq!(lines.count(), REJECTED);
    assert!(csv.contains(",N099999,"), "the last is there");
    assert!(grown < 8_192, "{grown} KiB more for {size} KiB");
}
