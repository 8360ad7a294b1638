//! The long form of the behavior tests' `killed`: the program is killed at random moments of random histories, and what it leaves equals a
//! model. `tests/soak` runs it and says how.

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

use harness::{FIELDS, Ran, SCORES, Server, Workspace};

const COLUMNS: &str = "id VARCHAR(18) NOT NULL, score INTEGER CHECK (score < 1000), note VARCHAR(40)";

/// The score that the destination refuses.
const REFUSED: u64 = 1000;

/// Kills of one run before it is let live.
const KILLS_PER_RUN_MAX: u64 = 8;

/// What is random in this file, all of it from one seed.
struct Dice(u64);

impl Dice {
    /// A number below `end`, by splitmix64.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::try_from(self.below(among.len() as u64)).expect("a position")]
    }
}

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
        Self { rows, records, mode, batch_size, writers: dice.pick(&[1, 2, 2, 3]), unique }
    }

    fn prepare(&self, place: &Workspace) {
        drop(std::fs::remove_dir_all(place.path(".writeback")));
        place.execute("DROP TABLE IF EXISTS accounts");
        let key = if self.unique { ", PRIMARY KEY (id)" } else { "" };
        let line = |(id, score, note): &Row| format!("{id},{score},n{note}\n");
        let rows: String = self.rows.iter().map(line).collect();
        place.table("accounts", &format!("{COLUMNS}{key}"), &format!("id,score,note\n{rows}"));
        if !self.unique {
            place.execute("CREATE INDEX accounts_by_id ON accounts (id)");
        }
        let line = |(id, score, note): &(String, Option<u64>, u64)| {
            format!("{id},{},n{note}\n", score.map_or("x".to_owned(), |score| score.to_string()))
        };
        place.scores(SCORES, &format!("id,score,note\n{}", self.records.iter().map(line).collect::<String>()));
        let crm = format!("{}\nwriters = {}\nattempts_max = 10\n", place.connection("crm").trim_end(), self.writers);
        place.file("writeback.toml", &(place.connection("files") + &crm));
        place.job(&format!("matching = '{}'\nbatch_size = {}", self.mode, self.batch_size), FIELDS);
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
        let mut lines: Vec<String> = rows.iter().map(|(id, score, note)| format!("{id},{score},n{note}\n")).collect();
        lines.sort();
        let header = if lines.is_empty() { "\n" } else { "id,score,note\n" };
        let count = |name: &str| counts.get(name).copied().unwrap_or_default().to_string();
        let counts = ["inserted", "updated", "unchanged", "skipped", "rejected"].map(count).join(",");
        (header.to_owned() + &lines.concat(), counts)
    }

    /// Records of this key that the schema takes.
    fn fitting(&self, id: &str) -> usize {
        self.records.iter().filter(|(other, score, _)| other == id && score.is_some()).count()
    }

    fn write(&self, rows: &mut Vec<Row>, record: Row) -> &'static str {
        let found: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].0 == record.0).collect();
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
fn carry_out(place: &Workspace, case: &Case, dice: &mut Dice, usual: &mut Duration, kills: &mut Kills) {
    case.prepare(place);
    let mut killed = 0;
    while !is_finished(place) {
        let begun = Instant::now();
        let mut run = place.start(&["run", "job", "--json"]);
        if killed < KILLS_PER_RUN_MAX {
            let moment = usual.mul_f64(0.001 * f64::from(u32::try_from(dice.below(1100)).expect("small")));
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
    let left = ["inserted", "updated", "unchanged", "skipped", "rejected"].map(count).join(",");
    assert_eq!(left, counts, "counts of {case:#?}");
    let rejected =
        csv::ReaderBuilder::new().has_headers(false).from_reader(place.rejected(1).as_bytes()).records().count();
    assert_eq!(Some(rejected as u64), write_back["rejected"].as_u64(), "rejected.csv of {case:#?}");
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn main() {
    let wanted: u64 = setting("SOAK_KILLS").map_or(100, |kills| kills.parse().expect("SOAK_KILLS is a number"));
    let seed: u64 = setting("SOAK_SEED").expect("SOAK_SEED is set").parse().expect("SOAK_SEED is a number");
    let server = Server::ALL.into_iter().find(|server| Some(server.kind().to_owned()) == setting("SOAK_DATABASE"));
    let server = server.expect("SOAK_DATABASE is sqlite, postgres or mysql");
    let place = Workspace::on(server);
    let (mut dice, mut usual, mut kills, mut histories) = (Dice(seed), Duration::from_millis(300), Kills::default(), 0);
    let begun = Instant::now();
    while kills.sum() < wanted {
        let case = Case::throw(&mut dice);
        carry_out(&place, &case, &mut dice, &mut usual, &mut kills);
        histories += 1;
    }
    let Kills { before_the_push, in_the_push, when_finished } = kills;
    println!(
        "| database | seed | histories | kills | before the push | in the push | when finished | violations | time |"
    );
    println!(
        "| {server} | {seed} | {histories} | {} | {before_the_push} | {in_the_push} | {when_finished} | 0 | {} s |",
        before_the_push + in_the_push + when_finished,
        begun.elapsed().as_secs()
    );
}
