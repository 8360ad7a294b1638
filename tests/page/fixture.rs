//! A project with a bit of everything: a guarded run, rejected records, a job that fails, one that
//! runs by hand, and names that would like to be markup.

use crate::harness::{FIELDS, SCORES, Server, Workspace, write_back};
use crate::person::Person;
use crate::shown::Shown;

/// A text that would be an element, an attribute, a script or a formula, if anybody let it.
pub(crate) const HOSTILE: &str = "<img src=http://evil.example/x onerror=alert(1)>\"'`=1+1";

/// The key of the record that bears it, eighteen characters at most.
pub(crate) const HOSTILE_KEY: &str = "<b id=e>x</b>\"&/?#";

pub(crate) fn place() -> Workspace {
    let rows = "id,score,note,phone\nA1,1,a,\nA2,2,b,\nA3,3,c,\nA4,4,,\n";
    let place = Workspace::accounts(
        Server::Sqlite,
        rows,
        "id,score,note\nA1,2,a\nA2,2,b\nA3,3,c\n",
    );
    let connections = place.connection("files") + &place.connection("crm");
    place.file(
        "writeback.toml",
        &format!("{connections}[dashboards.health]\nannounced = true\n"),
    );
    let job = write_back("scores", "accounts", "max_changed = '40%'", FIELDS);
    let cadence = "[cadence]\ndashboard = 'health'\n\
                   gate = { cron = '0 6 * * MON', timezone = 'America/New_York' }\n\n";
    place.file("schedules/job.toml", &format!("{cadence}{job}"));
    announce(&place, "2026-W45");
    assert_eq!(place.run().summary(), "3 read = 1 updated + 2 unchanged");
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,20,a\nA2,20,b\nA3,30,c\n",
    );
    announce(&place, HOSTILE);
    assert_eq!(place.run().code, 3, "a guard stops it");
    rejecting(&place);
    failing(&place);
    place
}

pub(crate) fn announce(place: &Workspace, cycle: &str) {
    let announced = place.command(&["cycle", "health", "--id", cycle]);
    assert_eq!(announced.code, 0, "{announced}");
}

/// The job `nightly`: of 252 records 250 hold no number, one has a hostile key.
fn rejecting(place: &Workspace) {
    let mut lines = "id,score,note\nA4,5,\n".to_owned();
    for number in 0..250 {
        lines += &format!("N{number:03},n/a,100%_{number}\n");
    }
    lines += &format!("\"{}\",x,\n", HOSTILE_KEY.replace('"', "\"\""));
    place
        .file("data/nightly.csv", &lines)
        .file(
            "sql/nightly.sql",
            &format!("CREATE TABLE nightly ({SCORES});\n"),
        )
        .file(
            "schedules/nightly.toml",
            &write_back("nightly", "accounts", "", FIELDS),
        );
    let ran = place.command(&["run", "nightly", "--json"]);
    assert_eq!(ran.summary(), "252 read = 1 updated + 251 rejected");
}

/// The job `broken`: a trigger alters what its canary wrote, so that it stops.
fn failing(place: &Workspace) {
    place
        .file("data/broken.csv", "id,score,note\nA3,3,new\nA4,4,new\n")
        .file(
            "sql/broken.sql",
            &format!("CREATE TABLE broken ({SCORES});\n"),
        )
        .file(
            "schedules/broken.toml",
            &write_back("broken", "accounts", "canary = 1", FIELDS),
        );
    place.execute(
        "CREATE TRIGGER shout AFTER UPDATE OF note ON accounts WHEN NEW.note <> upper(NEW.note)
         BEGIN UPDATE accounts SET note = upper(NEW.note) WHERE id = NEW.id; END",
    );
    let ran = place.command(&["run", "broken"]);
    assert!(ran.stderr.contains("run 4"), "{ran}");
    assert_eq!(ran.code, 2, "{ran}");
    place.execute("DROP TRIGGER shout");
}

/// Every page of the project, as addresses.
pub(crate) fn pages() -> Vec<String> {
    let key: String = url::form_urlencoded::byte_serialize(HOSTILE_KEY.as_bytes()).collect();
    let key = key.replace('+', "%20");
    let mut pages = [
        "/",
        "/account",
        "/people",
        "/tokens",
        "/activity",
        "/problems",
        "/agencies",
        "/settings/job",
        "/methods",
        "/runs",
        "/runs?status=guarded",
        "/runs?job=nightly&before=99",
        "/runs/1",
        "/runs/2",
        "/runs/3",
        "/runs/4",
        "/runs/3/nightly/rejected",
        "/runs/3/nightly/rejected?q=N00&stage=schema",
        "/jobs/job",
        "/jobs/nightly",
        "/jobs/broken",
        "/jobs/job/scores",
        "/jobs/job/scores/records/A1",
        "/jobs/job/run",
        "/runs/2/approve",
        "/runs/1/undo",
        "/runs/3/nightly/chosen?stage=schema",
        "/dashboards/health",
        "/files/writeback.toml",
        "/files/schedules/job.toml",
        "/files/sql/scores.sql",
        "/nothing",
        "/runs/99",
    ]
    .map(str::to_owned)
    .to_vec();
    pages.push(format!("/jobs/nightly/nightly/records/{key}"));
    pages
}

/// Looks of every sort, made by an admin, as addresses.
pub(crate) fn looks(shown: &Shown<'_>) -> Vec<String> {
    let admin = Person::named(shown, "looks", "admin");
    let key = &pages().pop().unwrap();
    let asked = [
        ("/jobs/job/previews".to_owned(), "key=1"),
        ("/runs/2/approve/looks".to_owned(), "key=2"),
        (
            "/runs/1/undo/looks".to_owned(),
            "key=3&write_back=&records=",
        ),
        ("/jobs/job/verifications".to_owned(), "key=4"),
        ("/jobs/job/scores/records/A2/test".to_owned(), "key=5"),
        (format!("{key}/test"), "key=6"),
    ];
    let look = |(path, body): &(String, &str)| admin.look(path, body).0;
    asked.iter().map(look).collect()
}

/// The repository's own example after a few weeks.
pub(crate) fn example() -> Workspace {
    let place = Workspace::example();
    let ran = |arguments: &[&str], code: i32| {
        let ran = place.command(arguments);
        assert_eq!(ran.code, code, "{ran}");
    };
    let cycle = |id: &str, day: u32| {
        place.file(
            "fixtures/dashboard/cycle.json",
            &format!(r#"{{"cycle_id": "{id}", "completed_at": "2026-11-{day:02}T06:30:00Z", "status": "succeeded"}}"#),
        );
    };
    cycle("2026-W45", 8);
    ran(&["run", "weekly"], 1);
    let scores = place.text("fixtures/dashboard/health_score.csv");
    let (changed, _) = altered(&scores, 40);
    cycle("2026-W46", 15);
    place.file("fixtures/dashboard/health_score.csv", &changed);
    ran(&["run", "weekly"], 1);
    let record = first_key(&scores);
    ran(
        &[
            "park",
            "weekly",
            "--record",
            &record,
            "--until",
            "2027-01-31",
            "--reason",
            "merger under way",
        ],
        0,
    );
    let job = place.text("schedules/weekly.toml");
    place.file(
        "schedules/weekly.toml",
        &job.replacen(
            "batch_size  = 500 ",
            "max_changed = \"30 %\"\nbatch_size  = 500 ",
            1,
        ),
    );
    cycle("2026-W47", 22);
    place.file(
        "fixtures/dashboard/health_score.csv",
        &altered(&scores, 1).0,
    );
    ran(&["run", "weekly"], 3);
    place
}

/// The pages that pictures are taken of, by name.
pub(crate) const EXAMPLE_PAGES: [(&str, &str); 8] = [
    ("overview", "/"),
    ("job", "/jobs/weekly"),
    ("write-back", "/jobs/weekly/health_score"),
    ("run", "/runs/3"),
    ("runs", "/runs"),
    ("rejected", "/runs/2/health_score/rejected"),
    (
        "record",
        "/jobs/weekly/health_score/records/001Hs00003M28iTIAR",
    ),
    // A look at the run that guards stopped.
    ("approve", "/looks/1"),
];

fn first_key(csv: &str) -> String {
    csv.lines()
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned()
}

/// The export with every `nth` score moved by a little, and how many these are.
fn altered(csv: &str, nth: usize) -> (String, usize) {
    let mut lines = csv.lines();
    let header = lines.next().unwrap();
    let column = header
        .split(',')
        .position(|name| name == "health_score")
        .unwrap();
    let mut moved = 0;
    let mut text = format!("{header}\n");
    for (index, line) in lines.enumerate() {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let score = cells.get(column).and_then(|cell| cell.parse::<f64>().ok());
        if let Some(score) = score.filter(|_| index % nth == 0) {
            cells[column] = format!("{:.2}", (score * 0.93 + 4.0).min(99.0));
            moved += 1;
        }
        text += &(cells.join(",") + "\n");
    }
    (text, moved)
}
