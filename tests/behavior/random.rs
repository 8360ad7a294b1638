//! For random records, destinations, rules and batch sizes the destination equals a model, and the
//! sums balance.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{SCORES, Server, Workspace};

type Row = (String, Option<i8>, Option<String>, Option<String>);
type Record = (String, Option<i8>, Option<String>);

/// One random case. Rows of the destination may share a key; records of the source, too.
#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Row>,
    records: Vec<Record>,
    mode: &'static str,
    keep_nulls: bool,
    note_if_empty: bool,
    batch_size: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let key = || (0..9u8).prop_map(|number| format!("K{number}"));
    let score = || prop::option::of(0..3i8);
    let text = || {
        prop::option::of(prop::sample::select(vec!["", "x", "it's", "ß"]).prop_map(str::to_owned))
    };
    (
        prop::collection::vec((key(), score(), text(), text()), 0..12),
        prop::collection::vec((key(), score(), text()), 0..12),
        prop::sample::select(vec!["update_only", "upsert", "create_only"]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec![1, 2, 3, 7, 5000]),
    )
        .prop_map(
            |(rows, records, mode, keep_nulls, note_if_empty, batch_size)| Case {
                rows,
                records,
                mode,
                keep_nulls,
                note_if_empty,
                batch_size,
            },
        )
}

#[test]
fn the_destination_equals_a_model() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let config = Config {
            cases: 24,
            failure_persistence: None,
            max_shrink_iters: 100,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(&cases(), |case| {
            check(&place, &case);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

fn check(place: &Workspace, case: &Case) {
    place.execute("DROP TABLE IF EXISTS accounts");
    let columns = "id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40), phone VARCHAR(20)";
    place
        .table("accounts", columns, &table_csv(&case.rows))
        .scores(SCORES, &source_csv(&case.records));
    let settings = format!(
        "matching = '{}'\nnulls = '{}'\nbatch_size = {}\nmin_read = 0",
        case.mode,
        if case.keep_nulls { "keep" } else { "write" },
        case.batch_size
    );
    let when = if case.note_if_empty {
        "if_empty"
    } else {
        "always"
    };
    place.job(
        &settings,
        &format!("id = 'id'\nscore = 'score'\nnote = {{ column = 'note', when = '{when}' }}"),
    );
    let (rows, summary) = model(case);
    assert_eq!(place.run().summary(), summary);
    let expected = if rows.is_empty() {
        "\n".to_owned()
    } else {
        table_csv(&sorted(rows.clone()))
    };
    assert_eq!(place.rows("accounts"), expected);
    // Whatever was done need not be done again.
    let again = place.run().summary();
    assert!(
        !again.contains("updated") && !again.contains("inserted"),
        "{again}"
    );
    assert_eq!(place.rows("accounts"), expected);
}

/// What one run leaves, told record by record.
fn model(case: &Case) -> (Vec<Row>, String) {
    let mut rows = case.rows.clone();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &case.records {
        let occurs = case
            .records
            .iter()
            .filter(|other| other.0 == record.0)
            .count();
        let found: Vec<usize> = (0..case.rows.len())
            .filter(|row| case.rows[*row].0 == record.0)
            .collect();
        let outcome = match (occurs, found.as_slice(), case.mode) {
            (2.., _, _) | (_, [_, _, ..], _) => "rejected",
            (_, [_], "create_only") | (_, [], "update_only") => "skipped",
            (_, [], _) => {
                rows.push((record.0.clone(), record.1, record.2.clone(), None));
                "inserted"
            }
            (_, [row], _) => update(&mut rows[*row], record, case),
        };
        *counts.entry(outcome).or_default() += 1;
    }
    let order = ["inserted", "updated", "unchanged", "skipped", "rejected"];
    let terms = order
        .iter()
        .filter_map(|name| counts.get(name).map(|count| format!("{count} {name}")));
    let sum = terms.collect::<Vec<_>>().join(" + ");
    let equals = if sum.is_empty() { "" } else { " = " };
    (rows, format!("{} read{equals}{sum}", case.records.len()))
}

fn update(row: &mut Row, record: &Record, case: &Case) -> &'static str {
    let before = row.clone();
    if !(case.keep_nulls && record.1.is_none()) {
        row.1 = record.1;
    }
    let has_note = row.2.as_ref().is_some_and(|note| !note.is_empty());
    if !(case.keep_nulls && record.2.is_none() || case.note_if_empty && has_note) {
        row.2.clone_from(&record.2);
    }
    if *row == before {
        "unchanged"
    } else {
        "updated"
    }
}

fn table_csv(rows: &[Row]) -> String {
    let line = |(id, score, note, phone): &Row| {
        format!("{id},{},{},{}\n", number(*score), text(note), text(phone))
    };
    "id,score,note,phone\n".to_owned() + &rows.iter().map(line).collect::<String>()
}

/// Rows in the order in which [`Workspace::rows`] gives them.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| table_csv(std::slice::from_ref(row)));
    rows
}

fn source_csv(records: &[Record]) -> String {
    let line = |(id, score, note): &Record| format!("{id},{},{}\n", number(*score), text(note));
    "id,score,note\n".to_owned() + &records.iter().map(line).collect::<String>()
}

fn number(value: Option<i8>) -> String {
    value.map_or(String::new(), |number| number.to_string())
}

fn text(value: &Option<String>) -> String {
    match value.as_deref() {
        None => String::new(),
        Some("") => "\"\"".to_owned(),
        Some(text) => text.to_owned(),
    }
}
