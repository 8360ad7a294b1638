//! The long form of two behavior tests: of `killed`, where the program is killed at random moments
//! and what it leaves equals a model, and of `histories`, where it is also cut off and others write
//! as well. `tests/soak` runs it and says how.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    reason = "a test may"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[path = "behavior/harness/mod.rs"]
mod harness;
#[path = "behavior/histories/mod.rs"]
mod histories;

use harness::{FIELDS, Ran, SCORES, Server, Workspace};
use histories::Dice;

const COLUMNS: &str =
    "id VARCHAR(18) NOT NULL, score INTEGER CHECK (score < 1000), note VARCHAR(40)";

/// The score that the destination refuses.
const REFUSED: u64 = 1000;

/// Kills of one run before it is let live.
const KILLS_PER_RUN_MAX: u64 = 8;

/// `id`, `score`, `note`.
type Row = (String, u64, u64);

/// A destination, records for it, and how they are written.
#[derive(Debug)]
struct Case {
    rows: Vec<Row>,
    /// A score of `None` is no number.
    records: Vec<(String, Option<u64>, u64)>,
    mode: &'static str,
    batch_size: u64,
    writers: u64,
    unique: bool,
}

impl Case {
    fn throw(dice: &mut Dice) -> Self {
        let keys = dice.pick(&[5, 40, 120]);
        let unique = dice.below(2) == 0;
        let mut rows: Vec<Row> = (0..keys)
            .filter(|_| dice.below(3) > 0)
            .collect::<Vec<u64>>()
            .into_iter()
            .map(|key| (format!("K{key:03}"), dice.below(3), dice.below(2)))
            .collect();
        if let (false, Some(row)) = (unique, rows.first().cloned()) {
            rows.push(row);
        }
        let record = |dice: &mut Dice| {
            let score = match dice.below(20) {
                0 => None,
                1 => Some(REFUSED),
                _ => Some(dice.below(3)),
            };
            (format!("K{:03}", dice.below(keys)), score, dice.below(2))
        };
        let records = (0..keys).map(|_| record(dice)).collect();
        let mode = dice.pick(&["update_only", "upsert", "create_only"]);
        let batch_size = dice.pick(&[1, 2, 3, 7, 30, 5000]);
        Self {
            rows,
            records,
            mode,
            batch_size,
            writers: dice.pick(&[1, 2, 2, 3]),
            unique,
        }
    }

    fn prepare(&self, place: &Workspace) {
        drop(std::fs::remove_dir_all(place.path(".writeback")));
        place.execute("DROP TABLE IF EXISTS accounts");
        let key = if self.unique {
            ", PRIMARY KEY (id)"
        } else {
            ""
        };
        let line = |(id, score, note): &Row| format!("{id},{score},n{note}\n");
        let rows: String = self.rows.iter().map(line).collect();
        place.table(
            "accounts",
            &format!("{COLUMNS}{key}"),
            &format!("id,score,note\n{rows}"),
        );
        if !self.unique {
            place.execute("CREATE INDEX accounts_by_id ON accounts (id)");
        }
        let line = |(id, score, note): &(String, Option<u64>, u64)| {
            format!(
                "{id},{},n{note}\n",
                score.map_or("x".to_owned(), |score| score.to_string())
            )
        };
        place.scores(
            SCORES,
            &format!(
                "id,score,note\n{}",
                self.records.iter().map(line).collect::<String>()
            ),
        );
        let crm = format!(
            "{}\nwriters = {}\nattempts_max = 10\n",
            place.connection("crm").trim_end(),
            self.writers
        );
        place.file("writeback.toml", &(place.connection("files") + &crm));
        place.job(
            &format!(
                "matching = '{}'\nbatch_size = {}",
                self.mode, self.batch_size
            ),
            FIELDS,
        );
    }

    /// The rows that one run leaves, as [`Workspace::rows`] writes them, and its counts.
    fn model(&self) -> (String, String) {
        let mut rows = self.rows.clone();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, score, note) in &self.records {
            let outcome = match score {
                None => "rejected",
                Some(_) if self.fitting(id) > 1 => "rejected",
                Some(score) => self.write(&mut rows, (id.clone(), *score, *note)),
            };
            *counts.entry(outcome).or_default() += 1;
        }
        let mut lines: Vec<String> = rows
            .iter()
            .map(|(id, score, note)| format!("{id},{score},n{note}\n"))
            .collect();
        lines.sort();
        let header = if lines.is_empty() {
            "\n"
        } else {
            "id,score,note\n"
        };
        let count = |name: &str| counts.get(name).copied().unwrap_or_default().to_string();
        let counts = ["inserted", "updated", "unchanged", "skipped", "rejected"]
            .map(count)
            .join(",");
        (header.to_owned() + &lines.concat(), counts)
    }

    /// Records of this key that the schema takes.
    fn fitting(&self, id: &str) -> usize {
        self.records
            .iter()
            .filter(|(other, score, _)| other == id && score.is_some())
            .count()
    }

    fn write(&self, rows: &mut Vec<Row>, record: Row) -> &'static str {
        let found: Vec<usize> = (0..self.rows.len())
            .filter(|row| self.rows[*row].0 == record.0)
            .collect();
        match (found.as_slice(), self.mode) {
            ([_, _, ..], _) => "rejected",
            ([_], "create_only") | ([], "update_only") => "skipped",
            ([row], _) if rows[*row] == record => "unchanged",
            _ if record.1 == REFUSED => "rejected",
            ([row], _) => {
                rows[*row] = record;
                "updated"
            }
            ([], _) => {
                rows.push(record);
                "inserted"
            }
        }
    }
}

/// How many programs were killed, and what they were at.
#[derive(Debug, Default)]
struct Kills {
    before_the_push: u64,
    in_the_push: u64,
    when_finished: u64,
}

impl Kills {
    fn sum(&self) -> u64 {
        self.before_the_push + self.in_the_push + self.when_finished
    }

    fn count(&mut self, place: &Workspace) {
        let batches = "SELECT count(*) > 0 AS begun FROM batches";
        match (is_finished(place), place.query_ledger(batches).as_deref()) {
            (true, _) => self.when_finished += 1,
            (false, Some("begun\n1\n")) => self.in_the_push += 1,
            (false, _) => self.before_the_push += 1,
        }
    }
}

fn is_finished(place: &Workspace) -> bool {
    let finished = "SELECT count(*) AS n FROM runs WHERE status IN ('succeeded', 'rejected')";
    place.query_ledger(finished).as_deref() == Some("n\n1\n")
}

/// One history: a run, killed again and again until it is done.
/// Panics: if what is left is not what the model says.
fn carry_out(
    place: &Workspace,
    case: &Case,
    dice: &mut Dice,
    usual: &mut Duration,
    kills: &mut Kills,
) {
    case.prepare(place);
    let mut killed = 0;
    while !is_finished(place) {
        let begun = Instant::now();
        let mut run = place.start(&["run", "job", "--json"]);
        if killed < KILLS_PER_RUN_MAX {
            let moment =
                usual.mul_f64(0.001 * f64::from(u32::try_from(dice.below(1100)).expect("small")));
            while begun.elapsed() < moment && run.try_wait().expect("a child").is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // It may have ended by itself meanwhile; then nothing is killed.
            run.kill().expect("a child");
        }
        let output = run.wait_with_output().expect("a child");
        match output.status.code() {
            None => {
                killed += 1;
                kills.count(place);
            }
            Some(_) => {
                let ran = Ran::of(&["run", "job", "--json"], &output);
                assert!(ran.code < 2, "{ran}");
                *usual = (*usual * 3 + begun.elapsed()) / 4;
            }
        }
    }
    check(place, case);
}

fn check(place: &Workspace, case: &Case) {
    let (rows, counts) = case.model();
    assert_eq!(place.rows("accounts"), rows, "rows of {case:#?}");
    let left = place.command(&["runs", "--json"]).json();
    let runs = left["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 1, "runs of {case:#?}: {left}");
    let write_back = &runs[0]["write_backs"][0];
    let count = |name: &str| write_back[name].to_string();
    let left = ["inserted", "updated", "unchanged", "skipped", "rejected"]
        .map(count)
        .join(",");
    assert_eq!(left, counts, "counts of {case:#?}");
    let rejected = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(place.rejected(1).as_bytes())
        .records()
        .count();
    assert_eq!(
        Some(rejected as u64),
        write_back["rejected"].as_u64(),
        "rejected.csv of {case:#?}"
    );
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> u64 {
    setting(name).map_or(0, |number| {
        number
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

fn main() {
    let (wanted, rounds, seed) = (
        number("SOAK_KILLS"),
        number("SOAK_ROUNDS"),
        number("SOAK_SEED"),
    );
    let server = Server::ALL
        .into_iter()
        .find(|server| Some(server.kind().to_owned()) == setting("SOAK_DATABASE"));
    let server = server.expect("SOAK_DATABASE is sqlite, postgres or mysql");
    if wanted > 0 {
        kill(server, seed, wanted);
    }
    if rounds > 0 && let_happen(server, seed, rounds) > 0 {
        std::process::exit(1);
    }
}

fn kill(server: Server, seed: u64, wanted: u64) {
    let place = Workspace::on(server);
    let (mut dice, mut usual, mut kills, mut histories) = (
        Dice::new(seed),
        Duration::from_millis(300),
        Kills::default(),
        0,
    );
    let begun = Instant::now();
    while kills.sum() < wanted {
        let case = Case::throw(&mut dice);
        carry_out(&place, &case, &mut dice, &mut usual, &mut kills);
        histories += 1;
    }
    let Kills {
        before_the_push,
        in_the_push,
        when_finished,
    } = kills;
    println!(
        "| database | seed | histories | kills | before the push | in the push | when finished | violations | time |"
    );
    println!(
        "| {server} | {seed} | {histories} | {} | {before_the_push} | {in_the_push} | {when_finished} | 0 | {} s |",
        before_the_push + in_the_push + when_finished,
        begun.elapsed().as_secs()
    );
}

/// Returns how many of the histories were violations.
fn let_happen(server: Server, seed: u64, rounds: u64) -> usize {
    let begun = Instant::now();
    let toll = histories::happen(server, seed, rounds, &mut |seed, violation| {
        println!("violated on {server} with seed {seed}:\n{violation}\n");
    });
    let histories::Toll {
        calls,
        changes,
        foreign,
        violations,
    } = toll;
    println!(
        "| database | seeds | rounds | calls of the program | changed rows | by others | violations | time |"
    );
    println!(
        "| {server} | {seed} to {} | {rounds} | {calls} | {changes} | {foreign} | {} | {} s |",
        seed + rounds - 1,
        violations.len(),
        begun.elapsed().as_secs()
    );
    violations.len()
}
