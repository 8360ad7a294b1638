//! For random records, rows of an account, rules and faults an account equals a model, and the sums
//! balance. Each key is a case of its own: the records and the rows that have it; hundreds of them go in
//! one run. `tests/soak --services N` does it longer.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Ground;
use super::subject::{BULLHORN, DATAVERSE, HUBSPOT, Kind, SALESFORCE, Service, Subject};

/// Cases of a round, and rounds that one account sees.
const KEYS: usize = 250;
const ROUNDS: usize = 4;

/// Number and text, as a record and a row hold them.
type Held = (Option<u8>, Option<&'static str>);

/// What happens with all the cases of a round.
#[derive(Debug, Clone)]
struct Rules {
    mode: &'static str,
    keep_nulls: bool,
    note_if_empty: bool,
    batch_size: usize,
    /// Behind which change of state the run dies.
    death: Option<u8>,
}

/// Rows and records of one key.
#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Held>,
    records: Vec<Held>,
}

fn held() -> impl Strategy<Value = Held> {
    let text = prop::sample::select(vec!["x", "it's", "ß"]);
    (prop::option::of(0..3_u8), prop::option::of(text))
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        prop::sample::select(vec!["update_only", "update_only", "upsert", "create_only"]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec![7_usize, 50, 100]),
        prop::option::of(20..90_u8),
    )
        .prop_map(
            |(mode, keep_nulls, note_if_empty, batch_size, death)| Rules {
                mode,
                keep_nulls,
                note_if_empty,
                batch_size,
                death,
            },
        )
}

/// A round: by a key that rows may share, or by one of which there is one row at the most.
fn round() -> impl Strategy<Value = (Rules, Vec<Case>)> {
    rules().prop_flat_map(|rules| {
        let rows_max = if rules.mode == "update_only" { 2 } else { 1 };
        let case = (
            prop::collection::vec(held(), 0..=rows_max),
            prop::collection::vec(held(), 1..=2),
        );
        let case = case.prop_map(|(rows, mut records)| {
            // Most keys stand in the source once.
            if rows.len() != 1 {
                records.truncate(1);
            }
            Case { rows, records }
        });
        (Just(rules), prop::collection::vec(case, KEYS))
    })
}

/// What comes of one case: what its rows hold then, and its records' outcomes.
fn model(rules: &Rules, case: &Case) -> (Vec<Held>, Vec<&'static str>) {
    let mut rows = case.rows.clone();
    let outcome = match (case.records.as_slice(), rows.as_mut_slice(), rules.mode) {
        ([_, _, ..], _, _) | (_, [_, _, ..], _) => "rejected",
        (_, [_], "create_only") | (_, [], "update_only") => "skipped",
        ([record, ..], [], _) => {
            rows.push(*record);
            "inserted"
        }
        ([record, ..], [row], _) => {
            let before = *row;
            let writes = |given: bool| given || !rules.keep_nulls;
            if writes(record.0.is_some()) {
                row.0 = record.0;
            }
            if writes(record.1.is_some()) && !(rules.note_if_empty && row.1.is_some()) {
                row.1 = record.1;
            }
            if *row == before {
                "unchanged"
            } else {
                "updated"
            }
        }
        ([], _, _) => return (rows, Vec::new()),
    };
    (rows, vec![outcome; case.records.len()])
}

fn cells((score, note): Held) -> String {
    let score = score.map_or(String::new(), |score| score.to_string());
    format!("{score},{}", note.unwrap_or_default())
}

/// Signs that mean something to one query language or other, and letters of which some have several
/// spellings. None of them is to cost more than nothing.
const SIGNS: [&str; 20] = [
    "",
    "it's",
    "\"q\"",
    "back\\slash",
    "50%",
    "a_b",
    "st*r",
    "(x)",
    "a:b",
    "a,b",
    "<b>",
    "a+b",
    "a  b",
    "&c=d",
    "#7",
    "{x}",
    "ß😀",
    "tab\tbed",
    "\u{1b}[31m",
    "\u{202e}x",
];

fn key(round: usize, case: usize) -> String {
    let signs = SIGNS.get(case % SIGNS.len()).copied().unwrap_or_default();
    format!("K{round}-{case:03}{signs}")
}

/// A text as CSV holds it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The id of a row, as the system numbers its rows.
fn row_id(service: &Service, number: usize) -> String {
    match service.kind {
        "salesforce" => format!("001{number:012}"),
        "dataverse" => format!("00000000-0000-4000-8000-{number:012}"),
        _ => (1_000 + number).to_string(),
    }
}

/// An account that holds the rows of these rounds.
fn account(subject: &'static Subject, service: &Service, rounds: &[(Rules, Vec<Case>)]) -> Ground {
    let ground = Ground::of(subject, "id,shared,score,note\n");
    let columns = ["id", "shared", "score", "note"].map(|name| subject.column(name));
    let (names, _) = service.further;
    // What the job gives to new rows the others have already.
    let values = match service.kind {
        "bullhorn" => "New,New Lead,false",
        _ => "New",
    };
    let mut csv = format!("{},{},{names}\n", service.id_column, columns.join(","));
    let mut number = 0;
    for (round, (rules, cases)) in rounds.iter().enumerate() {
        for (case, Case { rows, .. }) in cases.iter().enumerate() {
            for row in rows {
                number += 1;
                let key = key(round, case);
                let key = quoted(&key);
                let own = match rules.mode {
                    "update_only" => format!("R{number},{key}"),
                    _ => format!("{key},"),
                };
                let id = row_id(service, number);
                csv += &format!("{id},{own},{},{values}\n", cells(*row));
            }
        }
    }
    let file = format!("org/{}.csv", subject.object);
    ground.place.file(&file, &csv);
    ground
}

/// Carries a round out and holds the account against the model.
fn expect_model(ground: &Ground, round: usize, (rules, cases): &(Rules, Vec<Case>)) {
    let by = match rules.mode {
        "update_only" => "shared",
        _ => "id",
    };
    let (mut csv, mut expected) = (format!("{by},score,note\n"), Vec::new());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let key = key(round, number);
        for record in &case.records {
            csv += &format!("{},{}\n", quoted(&key), cells(*record));
        }
        let (rows, outcomes) = model(rules, case);
        expected.extend(rows.into_iter().map(|row| format!("{key},{}", cells(row))));
        for outcome in outcomes {
            *counts.entry(outcome).or_default() += 1;
        }
    }
    expected.sort();
    let order = ["inserted", "updated", "unchanged", "skipped", "rejected"];
    let terms = order
        .iter()
        .filter_map(|name| Some((counts.get(name)?, name)));
    let terms: Vec<String> = terms
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let read: usize = counts.values().sum();
    let sum = format!("{read} read = {}", terms.join(" + "));

    let settings = format!(
        "matching = '{}'\nnulls = '{}'\nbatch_size = {}",
        rules.mode,
        if rules.keep_nulls { "keep" } else { "write" },
        rules.batch_size
    );
    let note = match rules.note_if_empty {
        true => "{ column = 'note', when = 'if_empty' }",
        false => "'note'",
    };
    let fields = [by, "score"].map(|name| (name, format!("'{name}'")));
    let fields = [&fields[..], &[("note", note.to_owned())]].concat();
    let new = match rules.mode {
        "update_only" => "",
        _ => ground.subject.new,
    };
    ground.source(&csv).job_of(&settings, &fields, new);

    let told = |what: &str| format!("{} round {round}, {rules:?}: {what}", ground.subject.name);
    let command = ["run", "job", "--json", "--again"];
    let death = rules.death.map(|death| death.to_string());
    let death = death.as_deref().map(|death| ("WRITEBACK_ABORT_AT", death));
    let environment: Vec<(&str, &str)> = death.into_iter().collect();
    let first = newest_run(ground) + 1;
    let mut run = ground.place.command_with(&command, &environment);
    let died = run.stderr.contains("dies here");
    if died || run.code == 2 {
        run = ground.place.run_with_retries(8);
    }
    match died && newest_run(ground) != first {
        // It died behind its last change: the run was over, and the next one had nothing to do.
        true => {
            let entry = ground.command(&["runs", &first.to_string(), "--json"]);
            let entry = entry.json();
            let counted = &entry["write_backs"][0];
            for name in order {
                let count = counts.get(name).copied().unwrap_or_default() as u64;
                assert_eq!(counted[name], count, "{name}: {}", told(&entry.to_string()));
            }
        }
        false => assert_eq!(run.summary(), sum, "{}", told(&run.to_string())),
    }
    let held = ground.held(&format!("{by} score note")).into_iter();
    let own = format!("K{round}-");
    let held: Vec<String> = held.filter(|row| row.starts_with(&own)).collect();
    assert_eq!(held, expected, "{}", told(&run.to_string()));
    // Whatever was done need not be done again.
    let mut again = ground.run();
    if again.code == 2 {
        again = ground.place.run_with_retries(8);
    }
    let summary = again.summary();
    assert!(
        !summary.contains("updated") && !summary.contains("inserted"),
        "{}",
        told(&again.to_string())
    );
}

/// The number of the newest run; 0, there was none.
fn newest_run(ground: &Ground) -> u64 {
    let runs = ground.command(&["runs", "--json"]);
    runs.json()["runs"][0]["run"].as_u64().unwrap_or_default()
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

fn expect_models(subject: &'static Subject, faults: &str) {
    let Kind::Service(service) = &subject.kind else {
        panic!("{} is no web API", subject.name);
    };
    let seed = number("SOAK_SEED").unwrap_or(20_261_130);
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let wanted = number("SOAK_SERVICES").map_or(ROUNDS, |rounds| rounds as usize);
    let mut done = 0;
    while done < wanted {
        let rounds: Vec<(Rules, Vec<Case>)> = (0..ROUNDS.min(wanted - done))
            .map(|_| round().new_tree(&mut runner).expect("a round").current())
            .collect();
        let ground = account(subject, service, &rounds);
        let _served = ground.serve(&format!("seed={},{faults}", seed as usize + done));
        for (number, round) in rounds.iter().enumerate() {
            expect_model(&ground, number, round);
        }
        done += rounds.len();
    }
}

#[test]
fn an_org_equals_a_model() {
    expect_models(&SALESFORCE, "502=3%,drop_before=3%,drop_after=3%,expire=2%");
}

#[test]
fn a_portal_equals_a_model() {
    expect_models(&HUBSPOT, "502=3%,drop_before=3%,drop_after=3%,cut_json=3%");
}

#[test]
fn an_environment_equals_a_model() {
    expect_models(&DATAVERSE, "502=3%,drop_before=3%,drop_after=3%,expire=2%");
}

#[test]
fn a_corporation_equals_a_model() {
    expect_models(&BULLHORN, "503=1%,drop_after:update=1%,drop_before=1%");
}
