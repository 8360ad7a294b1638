//! Histories: callers, runs and kills at once. Each change expects what its caller last saw, and
//! counts one up; so what holds in the end tells whether ever a change was lost, done twice, or told
//! wrongly: changes that were told to be written are as many as the row says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::caller::{Answer, Answering, FIELDS, TOKEN, path_of, place_on, send};
use crate::harness::{Server, Workspace};

/// Records, each of them a history of its own.
const RECORDS: usize = 12;
const CALLERS: usize = 4;
const CHANGES: usize = 24;

/// What all callers know.
struct Shared {
    host: Mutex<String>,
    /// Changes that were told to be written, of each record.
    written: Vec<AtomicU64>,
}

impl Shared {
    fn host(&self) -> String {
        self.host
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks until there is an answer: the same key asks for the same change.
    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key)];
        loop {
            let answer = send(&self.host(), method, path, &headers, body);
            match answer {
                Some(answer) if answer.status != 429 => return answer,
                Some(_) | None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The outcome of a request in the end.
    fn settled(&self, answer: &Answer) -> serde_json::Value {
        let id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
        loop {
            let outcome = self
                .ask("GET", &format!("/v1/outcomes/{id}"), "none", "")
                .json();
            if outcome["settled"] == true {
                return outcome;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Counts one record up, from what it is seen to hold.
    fn count_up(&self, caller: usize, number: usize) {
        let record = (caller * 7 + number * 5) % RECORDS;
        let mut seen = 0_u64;
        for attempt in 0.. {
            let key = format!("{caller}-{number}-{attempt}");
            let next = seen + 1;
            let body =
                format!(r#"{{"values": {{"score": {next}}}, "expected": {{"score": {seen}}}}}"#);
            let answer = self.ask("PATCH", &path_of(&format!("R{record}")), &key, &body);
            let told = match answer.status {
                504 => self.settled(&answer),
                _ => answer.json(),
            };
            match told["outcome"].as_str() {
                Some("updated") => {
                    self.written[record].fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Some("conflict") => {
                    let held = &told["destinations"][0]["fields"][0]["from"];
                    // One that was settled tells no values: the next attempt does.
                    let held = held.as_str().and_then(|held| held.parse().ok());
                    seen = held.unwrap_or(seen);
                }
                Some("not_written") => {}
                _ => panic!("{told}"),
            }
        }
    }
}

fn place(server: Server) -> Workspace {
    let place = place_on(server);
    place.execute("DELETE FROM accounts");
    for record in 0..RECORDS {
        place.execute(&format!(
            "INSERT INTO accounts (id, score, note) VALUES ('R{record}', 0, '-')"
        ));
    }
    // Runs write the other field of the same rows.
    let schema = "id VARCHAR(18) PRIMARY KEY, note VARCHAR(40)";
    place.file(
        "sql/notes.sql",
        &format!("CREATE TABLE notes ({schema});\n"),
    );
    let notes = "[[write_back]]\nname = 'notes'\nschema = 'sql/notes.sql'\nsource = 'files'\ndestination = 'crm'\ntable = 'accounts'\n[write_back.fields]\nid = 'id'\nnote = 'note'\n";
    place.file("schedules/notes.toml", notes);
    let fields = FIELDS.replace("note = { column = 'note', realtime = true }", "");
    place.file(
        "schedules/job.toml",
        &crate::harness::write_back("scores", "accounts", "ignore = ['note']", &fields),
    );
    place
}

fn write_notes(place: &Workspace, round: usize) {
    let mut csv = "id,note\n".to_owned();
    for record in 0..RECORDS {
        csv += &format!("R{record},{round}\n");
    }
    place.file("data/notes.csv", &csv);
    let ran = place.command(&["run", "notes", "--again"]);
    assert_eq!(ran.code, 0, "{ran}");
}

fn hold(server: Server) {
    let place = place(server);
    let mut answering = Answering::start(&place);
    let shared = Shared {
        host: Mutex::new(answering.host.clone()),
        written: (0..RECORDS).map(|_| AtomicU64::new(0)).collect(),
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let shared = &shared;
                scope.spawn(move || (0..CHANGES).for_each(|number| shared.count_up(caller, number)))
            })
            .collect();
        for round in 0..3 {
            write_notes(&place, round);
            answering.kill();
            answering = Answering::start(&place);
            *shared.host.lock().unwrap() = answering.host.clone();
        }
        for caller in callers {
            caller.join().expect("a caller that ends well");
        }
    });
    let mut expected = "id,score,note\n".to_owned();
    let mut records: Vec<usize> = (0..RECORDS).collect();
    records.sort_by_key(|record| format!("R{record}"));
    for record in records {
        let written = shared.written[record].load(Ordering::SeqCst);
        expected += &format!("R{record},{written},2\n");
    }
    let held = place.query("SELECT id, score, note FROM accounts");
    assert_eq!(held, expected, "{server}");
    let all: u64 = shared
        .written
        .iter()
        .map(|one| one.load(Ordering::SeqCst))
        .sum();
    assert_eq!(all, (CALLERS * CHANGES) as u64);
}

#[test]
fn no_change_is_lost_or_done_twice_whatever_happens_meanwhile_on_sqlite() {
    hold(Server::Sqlite);
}

#[test]
fn no_change_is_lost_or_done_twice_whatever_happens_meanwhile_on_postgres() {
    hold(Server::Postgres);
}
