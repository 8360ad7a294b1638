//! For random referrals of two agencies, with lost answers, creates that failed and are there all the
//! same, throttling and kills, there is each candidate, submission and note once, none is lost, and
//! the ids that the ledger holds are those of the system. `tests/soak --referrals N` does it longer.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::bullhorn::place_with;
use crate::harness::{Corporation, Ran, Server, Workspace};

const SCHEMA: &str = "CREATE TABLE referrals (referral_id VARCHAR(18) PRIMARY KEY, agency VARCHAR(9), \
    name VARCHAR(40), email VARCHAR(80), job_id INTEGER);";

/// The index hears of nothing that is done here, and calls are as many as there are.
const CORPORATION: &str = "[search]\nlag = '30d'\n[corporation]\ncalls_per_minute = 0\n\
    [lists]\nnote_actions = ['19381']\n";

/// Runs after which nothing may be left to do.
const RUNS_MAX: usize = 6;

/// A referral: its number, by which it is of one agency or the other; its address; its job.
type Referral = (u8, u8, u8);

/// What is referred at once, and what happens meanwhile.
#[derive(Debug, Clone)]
struct Round {
    referrals: BTreeMap<u8, (u8, u8)>,
    /// Behind which change of state the first run dies.
    death: Option<u16>,
    /// The seed of what goes wrong on the way, where there is a way.
    faults: Option<u16>,
}

impl Round {
    fn referrals(&self) -> impl Iterator<Item = Referral> {
        let referrals = self.referrals.iter();
        referrals.map(|(number, (email, job))| (*number, *email, *job))
    }
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let referrals = prop::collection::btree_map(0..6_u8, (0..4_u8, 77..79_u8), 1..6);
    let round = (
        referrals,
        prop::option::of(1..150_u16),
        prop::option::of(any::<u16>()),
    );
    let round = round.prop_map(|(referrals, death, faults)| Round {
        referrals,
        death,
        faults,
    });
    prop::collection::vec(round, 1..3)
}

/// Where referrals go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ats {
    Sqlite,
    Bullhorn,
}

/// What an ATS holds of the referrals.
#[derive(Debug, Default)]
struct Held {
    /// Id, external id, address.
    candidates: Vec<[String; 3]>,
    /// Id, candidate, job.
    submissions: Vec<[String; 3]>,
    notes: usize,
}

impl Ats {
    fn place(self) -> Workspace {
        let place = match self {
            Self::Bullhorn => place_with(CORPORATION),
            Self::Sqlite => {
                let place = Workspace::on(Server::Sqlite);
                // Nothing is kept unique, so that whatever is made twice is there twice.
                place.execute("CREATE TABLE candidate (id INTEGER PRIMARY KEY, external_id TEXT, name TEXT, email TEXT)");
                place.execute("CREATE TABLE submission (id INTEGER PRIMARY KEY, candidate_id INTEGER, job_id INTEGER)");
                place.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, candidate_id INTEGER, body TEXT, marker TEXT)");
                place
            }
        };
        place.file("sql/referral.sql", SCHEMA);
        place.file("schedules/job.toml", &self.job());
        place.file("schedules/job/north.toml", "agency = 'North'\n");
        place.file("schedules/job/south.toml", "agency = 'South'\n");
        place
    }

    fn job(self) -> String {
        let [candidate, key, submission, fields, note] = match self {
            Self::Sqlite => [
                "candidate",
                "external_id",
                "submission",
                "exists_by = [['candidate_id', 'job_id']]\n[write_back.steps.fields]\ncandidate_id = { id_of = 'candidate' }\njob_id = 'job_id'",
                "table = 'note'\ncolumns = { about = 'candidate_id', text = 'body', marker = 'marker' }",
            ],
            Self::Bullhorn => [
                "Candidate",
                "externalID",
                "JobSubmission",
                "exists_by = [['candidate', 'jobOrder']]\n[write_back.steps.fields]\ncandidate = { id_of = 'candidate' }\njobOrder = 'job_id'\n\
                 status = { string = 'New Lead' }\ndateWebResponse = { method = 'run_started_at' }",
                "action = '19381'",
            ],
        };
        let common =
            "schema = 'sql/referral.sql'\nsource = 'files'\ndestination = 'crm'\nmin_read = 0\n";
        format!(
            "[agencies]\ncolumn = 'agency'\n\n\
             [[write_back]]\nname = 'referral'\n{common}\
             [[write_back.steps]]\nname = 'candidate'\ntable = '{candidate}'\nexists_by = ['{key}', 'email']\n\
             [write_back.steps.fields]\n{key} = 'referral_id'\nname = 'name'\nemail = 'email'\n\
             [[write_back.steps]]\nname = 'submission'\ntable = '{submission}'\n{fields}\n\
             [[write_back]]\nname = 'note'\n{common}table = '{candidate}'\nfields = {{ email = 'email' }}\n\
             [write_back.note]\ntext = 'Referred for {{job_id}}.'\n{note}\n"
        )
    }

    fn held(self, place: &Workspace) -> Held {
        let asked = |sqlite: &str, bullhorn: &str| -> Vec<Vec<String>> {
            let csv = match self {
                Self::Sqlite => place.query(sqlite),
                Self::Bullhorn => place.query_file(".writeback/practice/crm.db", bullhorn),
            };
            let mut reader = csv::Reader::from_reader(csv.as_bytes());
            let rows = reader.records().map(|row| row.expect("a row"));
            rows.map(|row| row.iter().map(str::to_owned).collect())
                .collect()
        };
        let candidates = asked(
            "SELECT id, external_id, email FROM candidate",
            "SELECT id, json_extract(body, '$.held.externalID'), json_extract(body, '$.held.email') FROM documents
             WHERE kind = 'Candidate' AND json_extract(body, '$.held.email') LIKE '%@r.example'",
        );
        let submissions = asked(
            "SELECT id, candidate_id, job_id FROM submission",
            "SELECT id, json_extract(body, '$.held.candidate'), json_extract(body, '$.held.jobOrder') FROM documents
             WHERE kind = 'JobSubmission' AND json_extract(body, '$.held.status') = 'New Lead'",
        );
        let notes = asked(
            "SELECT id FROM note",
            "SELECT id FROM documents WHERE kind = 'Note' AND json_extract(body, '$.held.comments') LIKE 'Referred for %'",
        );
        let rows = |rows: Vec<Vec<String>>| {
            let row = |row: Vec<String>| row.try_into().expect("three columns");
            rows.into_iter().map(row).collect()
        };
        Held {
            candidates: rows(candidates),
            submissions: rows(submissions),
            notes: notes.len(),
        }
    }
}

fn key(number: u8) -> String {
    format!("N-{number}")
}

fn address(email: u8) -> String {
    format!("e{email}@r.example")
}

/// Runs the job until it says that nothing is left to be gone on with.
fn run_to_the_end(place: &Workspace) -> Ran {
    let mut run = place.command(&["run", "job"]);
    for _ in 1..RUNS_MAX {
        if run.code == 2 {
            run = place.command(&["run", "job"]);
        }
    }
    run
}

/// Returns the last run, after which nothing is left to do.
fn carry_out(ats: Ats, place: &Workspace, round: &Round) -> Ran {
    let mut csv = "referral_id,agency,name,email,job_id\n".to_owned();
    for (number, email, job) in round.referrals() {
        let agency = if number % 2 == 0 { "North" } else { "South" };
        csv += &format!(
            "{},{agency},A{number},{},{job}\n",
            key(number),
            address(email)
        );
    }
    place.file("data/referrals.csv", &csv);
    let seed = round.faults.filter(|_| ats == Ats::Bullhorn);
    let faulty = seed.map(|seed| {
        let faults = "drop_after:create=15%,500_after:create=10%,drop_before:create=8%,drop_in:create=5%,concurrent=3%,503=3%";
        Corporation::start(place, &format!("seed={seed},{faults}"))
    });
    if let Some(death) = round.death {
        let at = death.to_string();
        place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", &at)]);
    }
    if faulty.is_some() {
        run_to_the_end(place);
    }
    drop(faulty);
    // What two records would make is made of the first, and found for the second by the next run.
    let mut run = run_to_the_end(place);
    if run.code == 0 {
        run = place.command(&["run", "job"]);
    }
    assert_eq!(run.code, 0, "{ats:?}, {round:?}: {run}");
    run
}

/// Panics: if something is there twice, is lost, or has another id in the ledger.
fn expect_all_once(ats: Ats, place: &Workspace, rounds: &[Round], told: &Ran) {
    let held = ats.held(place);
    let shown = || format!("{ats:?}, {rounds:#?}\n{held:#?}\n{told}");
    for part in [1, 2] {
        let distinct: BTreeSet<&String> = held.candidates.iter().map(|one| &one[part]).collect();
        assert_eq!(
            distinct.len(),
            held.candidates.len(),
            "a candidate twice: {}",
            shown()
        );
    }
    let pairs = held.submissions.iter().map(|one| &one[1..]);
    let distinct: BTreeSet<&[String]> = pairs.collect();
    assert_eq!(
        distinct.len(),
        held.submissions.len(),
        "a submission twice: {}",
        shown()
    );
    let seen: BTreeSet<u8> = rounds
        .iter()
        .flat_map(|round| round.referrals.keys().copied())
        .collect();
    assert_eq!(held.notes, seen.len(), "a note each: {}", shown());
    let ids_of = |step: &str| -> BTreeMap<String, String> {
        let sql = format!("SELECT key, id FROM row_ids WHERE write_back = 'referral.{step}'");
        let ids = place.query_ledger(&sql).expect("a ledger");
        let lines = ids.lines().skip(1).filter_map(|line| line.split_once(','));
        lines
            .map(|(key, id)| (key.to_owned(), id.to_owned()))
            .collect()
    };
    let (candidates, submissions) = (ids_of("candidate"), ids_of("submission"));
    for (number, email, _) in rounds.last().into_iter().flat_map(Round::referrals) {
        let (key, address) = (key(number), address(email));
        let known = |ids: &BTreeMap<String, String>| {
            let id = ids.get(&key).cloned();
            id.unwrap_or_else(|| panic!("{key} is unknown: {}", shown()))
        };
        let (candidate, submission) = (known(&candidates), known(&submissions));
        let by = |part: usize, text: &str| held.candidates.iter().find(|one| one[part] == text);
        let found = by(1, &key).or_else(|| by(2, &address));
        let found = found.or_else(|| by(0, &candidate));
        let found = found.unwrap_or_else(|| panic!("{key} is lost: {}", shown()));
        assert_eq!(found[0], candidate, "the id of {key}: {}", shown());
        let is_there = held.submissions.iter().any(|one| one[0] == submission);
        assert!(is_there, "{key} is not submitted: {}", shown());
    }
}

/// How many cases are tried, and the seed that they are drawn by; more of them if somebody says so.
fn runner(cases: u32) -> TestRunner {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let config = Config {
        cases: number("SOAK_REFERRALS").unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 12,
        ..Config::default()
    };
    match number("SOAK_SEED") {
        None => TestRunner::new(config),
        Some(seed) => {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&seed.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            TestRunner::new_with_rng(config, rng)
        }
    }
}

fn expect_model(ats: Ats, cases: u32) {
    let tried = runner(cases).run(&rounds(), |rounds| {
        let place = ats.place();
        for (count, round) in rounds.iter().enumerate() {
            let last = carry_out(ats, &place, round);
            expect_all_once(ats, &place, &rounds[..=count], &last);
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{ats:?}: {error}"));
}

#[test]
fn random_referrals_are_in_a_database_once() {
    expect_model(Ats::Sqlite, 8);
}

#[test]
fn random_referrals_are_in_bullhorn_once() {
    expect_model(Ats::Bullhorn, 6);
}
