//! Histories: callers, runs and kills at once, all at the same field of the same records. Each
//! value is written by one operation only, so that what a request is told, what the journal in the
//! destination says and what the table holds in the end can be held against a register, record by
//! record. `tests/soak --histories N` makes more of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::caller::{Answer, Answering, TOKEN, path_of, place_on, send};
use super::register::{Effect, Held, Operation, has_an_order};
use crate::harness::{FIELDS, Server, Workspace, csv_cells};
use crate::histories::Dice;
use crate::journal_tables::proposed;

/// Records of a round, each of which has a history of its own.
const RECORDS: u64 = 170;
const CALLERS: u64 = 6;
/// Operations that each caller wants of each record.
const OPERATIONS: u64 = 2;
/// Runs of a round; before each the process that answers is killed.
const RUNS: u64 = 3;

/// What a run writes lies above what callers do.
const FIRST_OF_RUNS: Held = 1_000_000;

/// No record ever holds it, so that whoever expects it only looks.
const NEVER: Held = 999_999;

/// How long a caller waits before it asks again.
const PAUSE: Duration = Duration::from_millis(10);

/// What all callers know.
struct Shared {
    host: Mutex<String>,
    began: Instant,
    /// What happened to each record.
    operations: Vec<Mutex<Vec<Operation>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Asks until there is an answer: the same key asks for the same change.
    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key)];
        loop {
            let host = lock(&self.host).clone();
            match send(&host, method, path, &headers, body) {
                Some(answer) if answer.status != 429 => return answer,
                Some(_) | None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// What was told of a request in the end.
    fn told(&self, answer: &Answer) -> serde_json::Value {
        let mut told = answer.json();
        let id = told["id"].as_str().unwrap_or_default().to_owned();
        while answer.status == 504 && told["settled"] != true {
            std::thread::sleep(PAUSE);
            told = self
                .ask("GET", &format!("/v1/outcomes/{id}"), "none", "")
                .json();
        }
        told
    }

    /// Has one caller do what it wants of a record; gives what it knows of it afterwards.
    fn operate(&self, dice: &mut Dice, record: u64, to: Held, known: Held) -> Held {
        let expected = match dice.below(5) {
            0 => Some(NEVER),
            1 | 2 => Some(known),
            _ => None,
        };
        let body = match expected {
            None => format!(r#"{{"values": {{"score": {to}}}}}"#),
            Some(expected) => {
                format!(r#"{{"values": {{"score": {to}}}, "expected": {{"score": {expected}}}}}"#)
            }
        };
        let asked = self.began.elapsed();
        let answer = self.ask("PATCH", &path_of(&name(record)), &to.to_string(), &body);
        let told = self.told(&answer);
        let answered = self.began.elapsed();
        let from = told["destinations"][0]["fields"][0]["from"].as_str();
        let from: Option<Held> = from.and_then(|from| from.parse().ok());
        let effect = match (told["outcome"].as_str(), from) {
            (Some("updated"), from) => Effect::Wrote { from, to },
            (Some("conflict"), Some(held)) => Effect::Saw(held),
            // One that was settled, or that nobody could write, tells of no value.
            (Some("conflict" | "not_written"), _) => return known,
            _ => panic!("record {record}, {body}: {answer:?}, {told}"),
        };
        lock(&self.operations[index(record)]).push(Operation {
            asked,
            answered,
            effect,
        });
        match effect {
            Effect::Wrote { to, .. } => to,
            Effect::Saw(held) => held,
        }
    }

    /// All that one caller wants of all records, one after the other, as the others do.
    fn call(&self, seed: u64, caller: u64) {
        let mut dice = Dice::new(seed + caller);
        for record in 0..RECORDS {
            let mut known = 0;
            for number in 0..OPERATIONS {
                let to = 1 + (record * CALLERS + caller) * OPERATIONS + number;
                known = self.operate(&mut dice, record, to, known);
            }
        }
    }
}

fn name(record: u64) -> String {
    format!("R{record}")
}

fn index(record: u64) -> usize {
    usize::try_from(record).expect("a small number")
}

/// Many records, and a journal that tells of each change.
fn place(server: Server) -> Workspace {
    let place = place_on(server);
    let rows: Vec<String> = (0..RECORDS)
        .map(|record| format!("('{}', 0)", name(record)))
        .collect();
    place.execute("DELETE FROM accounts");
    place.execute(&format!(
        "INSERT INTO accounts (id, score) VALUES {}",
        rows.join(", ")
    ));
    let fields = FIELDS.replace(
        "score = 'score'",
        "score = { column = 'score', realtime = true }",
    );
    place.job("batch_size = 40\njournal_table = 'journal'", &fields);
    let check = place.command(&["check"]);
    place.execute(&proposed(&check));
    place
}

/// A run that writes all records, killed now and then and taken up; between when it was.
fn run_once(place: &Workspace, shared: &Shared, dice: &mut Dice, run: u64) -> (Duration, Duration) {
    let mut csv = "id,score,note\n".to_owned();
    for record in 0..RECORDS {
        csv += &format!("{},{},\n", name(record), FIRST_OF_RUNS * (run + 1) + record);
    }
    place.file("data/scores.csv", &csv);
    let asked = shared.began.elapsed();
    let mut running = place.start(&["run", "job", "--again"]);
    if dice.one_in(2) {
        std::thread::sleep(Duration::from_millis(200 + dice.below(600)));
        drop(running.kill());
    }
    running.wait().expect("a run that ends");
    let ended = place.run_with_retries(5);
    assert_eq!(ended.code, 0, "{ended}");
    (asked, shared.began.elapsed())
}

/// Changes of each record that the journal tells of: what was there before, and after.
fn journal(place: &Workspace) -> BTreeMap<String, Vec<(Held, Held)>> {
    let rows = place
        .query("SELECT match_key, old_value, new_value FROM journal WHERE column_name = 'score'");
    let number = |cell: &Option<String>| -> Held {
        let text = cell.as_deref().unwrap_or_default();
        text.parse()
            .unwrap_or_else(|_| panic!("{text:?} in {rows}"))
    };
    let mut changes: BTreeMap<String, Vec<(Held, Held)>> = BTreeMap::new();
    for row in csv_cells(&rows).iter().skip(1) {
        let record = row[0].clone().unwrap_or_default();
        let change = (number(&row[1]), number(&row[2]));
        changes.entry(record).or_default().push(change);
    }
    changes
}

/// Lets callers, runs and kills at the records, and judges what each went through.
fn hold(server: Server, seed: u64) {
    let place = place(server);
    let mut answering = Answering::start(&place);
    let shared = Shared {
        host: Mutex::new(answering.host.clone()),
        began: Instant::now(),
        operations: (0..RECORDS).map(|_| Mutex::default()).collect(),
    };
    let mut dice = Dice::new(seed);
    let mut runs = Vec::new();
    let answering = std::thread::scope(|scope| {
        let shared = &shared;
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| scope.spawn(move || shared.call(seed, caller)))
            .collect();
        for run in 0..RUNS {
            std::thread::sleep(Duration::from_millis(dice.below(1_500)));
            answering.kill();
            answering = Answering::start(&place);
            *lock(&shared.host) = answering.host.clone();
            runs.push(run_once(&place, shared, &mut dice, run));
        }
        for caller in callers {
            caller.join().expect("a caller that ends well");
        }
        answering
    });
    answering.kill();
    judge(&place, &shared, &runs, &format!("{server}, seed {seed}"));
}

/// What was told, what the journal says and what is held agree, record by record.
#[expect(
    clippy::print_stderr,
    reason = "whoever lets it go on for minutes sees how far it has come"
)]
fn judge(place: &Workspace, shared: &Shared, runs: &[(Duration, Duration)], history: &str) {
    let journal = journal(place);
    let of_runs = journal.values().flatten();
    let of_runs = of_runs.filter(|(_, after)| *after >= FIRST_OF_RUNS).count();
    let rows = place.query("SELECT id, score FROM accounts");
    let mut told_of = 0;
    for row in csv_cells(&rows).iter().skip(1) {
        let [Some(record), Some(held)] = row.as_slice() else {
            panic!("{row:?}");
        };
        let held: Held = held.parse().expect("a number");
        let place = record.trim_start_matches('R').parse().map(index);
        let mut operations = lock(&shared.operations[place.expect("a record")]).clone();
        let changes = journal.get(record).map_or(&[][..], Vec::as_slice);
        told_of += operations.len();
        for operation in &mut operations {
            let Effect::Wrote { from, to } = &mut operation.effect else {
                continue;
            };
            let told: Vec<Held> = changes
                .iter()
                .filter_map(|(before, after)| (after == to).then_some(*before))
                .collect();
            let [before] = told.as_slice() else {
                panic!("{history}, {record}: {to} stands in the journal from {told:?}");
            };
            assert_eq!(
                *before,
                from.unwrap_or(*before),
                "{history}, {record}: {to}"
            );
            *from = Some(*before);
        }
        let callers = operations
            .iter()
            .filter(|one| matches!(one.effect, Effect::Wrote { .. }))
            .count();
        for &(before, after) in changes.iter().filter(|(_, after)| *after >= FIRST_OF_RUNS) {
            let (asked, answered) = runs[index(after / FIRST_OF_RUNS - 1)];
            operations.push(Operation {
                asked,
                answered,
                effect: Effect::Wrote {
                    from: Some(before),
                    to: after,
                },
            });
        }
        let of_callers = changes.iter().filter(|(_, after)| *after < FIRST_OF_RUNS);
        assert_eq!(
            of_callers.count(),
            callers,
            "{history}, {record}: {changes:?}, {operations:?}"
        );
        assert!(
            has_an_order(0, &operations, held),
            "{history}, {record} holds {held}: {operations:#?}"
        );
    }
    eprintln!("{history}: {told_of} answers to callers, {of_runs} changes by runs");
}

/// Lets as many histories happen as are asked for.
fn hold_all(server: Server) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("SOAK_SEED").unwrap_or(20_261_201);
    let rounds = number("SOAK_HISTORIES").map_or(1, |wanted| wanted.div_ceil(RECORDS));
    for round in 0..rounds {
        hold(server, seed + round * CALLERS);
    }
}

#[test]
fn whatever_happens_at_once_each_record_has_one_history_on_sqlite() {
    hold_all(Server::Sqlite);
}

#[test]
fn whatever_happens_at_once_each_record_has_one_history_on_postgres() {
    hold_all(Server::Postgres);
}

#[test]
fn whatever_happens_at_once_each_record_has_one_history_on_mariadb() {
    hold_all(Server::MariaDb);
}
