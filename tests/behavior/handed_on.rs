//! Values that are to be unique are handed on within a write-back, one row takes what another one
//! gives up: it is a matter of order then who is refused, and nobody stays so for the order alone.

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace, write_back};
use crate::undo::outcomes;

/// No two notes are alike.
const COLUMNS: &str = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40) UNIQUE, phone VARCHAR(20) DEFAULT 'unknown'";
const HEADER: &str = "id,score,note,phone\n";
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

/// Accounts whose notes are these, `A10` first, and a source that changes them to those.
fn place(server: Server, settings: &str, notes: &[&str], new: &[&str]) -> Workspace {
    let lines = |notes: &[&str], end: &str| -> String {
        (10..)
            .zip(notes)
            .map(|(number, note)| format!("A{number},1,{note}{end}\n"))
            .collect()
    };
    let place = Workspace::on(server);
    place.table(
        "accounts",
        COLUMNS,
        &format!("{HEADER}{}", lines(notes, ",")),
    );
    place.scores(SCORES, &format!("id,score,note\n{}", lines(new, "")));
    place.job(settings, FIELDS);
    place
}

fn notes(place: &Workspace) -> Vec<String> {
    place
        .query("SELECT id, note FROM accounts")
        .lines()
        .skip(1)
        .map(|line| line[4..].to_owned())
        .collect()
}

fn undo(place: &Workspace, run: i64, more: &[&str]) -> Ran {
    let run = run.to_string();
    place.command(&[&["undo", &run, "--json"], more].concat())
}

/// Chains in either direction, and one that goes to and fro.
const CHAINS: [([&str; 4], [&str; 4]); 3] = [
    (["x1", "x2", "x3", "x4"], ["x9", "x1", "x2", "x3"]),
    (["x1", "x2", "x3", "x4"], ["x2", "x3", "x4", "x9"]),
    (["x1", "x2", "x3", "x4"], ["x3", "x4", "x2", "x9"]),
];

#[test]
fn values_go_from_row_to_row_and_one_undo_takes_them_back() {
    for server in Server::ALL {
        for settings in [
            "",
            "batch_size = 1",
            "batch_size = 3",
            "keep_before_images = true\nmatching = 'upsert'",
        ] {
            for (before, after) in CHAINS {
                let label = format!("{after:?}, {settings} on {server}");
                let place = place(server, settings, &before, &after);
                let run = place.run();
                assert_eq!(
                    (run.code, run.summary().as_str()),
                    (0, "4 read = 4 updated"),
                    "{label}: {run}"
                );
                assert_eq!(notes(&place), after, "{label}");
                let undone = undo(&place, 1, &[]);
                assert_eq!(
                    (undone.code, undone.summary().as_str()),
                    (0, "4 read = 4 updated"),
                    "{label}: {undone}"
                );
                assert_eq!(notes(&place), before, "{label}");
                let redone = undo(&place, 2, &[]);
                assert_eq!(
                    (redone.code, redone.summary().as_str()),
                    (0, "4 read = 4 updated"),
                    "{label}: {redone}"
                );
                assert_eq!(notes(&place), after, "{label}");
            }
        }
    }
}

#[test]
fn a_long_chain_in_any_order_ends_as_one_that_needs_none() {
    const RECORDS: usize = 61;
    let order: Vec<usize> = (0..RECORDS).map(|record| record * 37 % RECORDS).collect();
    let held: Vec<String> = (0..RECORDS).map(|record| format!("x{record}")).collect();
    let mut sent = held.clone();
    for pair in order.windows(2) {
        sent[pair[0]] = held[pair[1]].clone();
    }
    sent[order[RECORDS - 1]] = "new".to_owned();
    let [held, sent] =
        [&held, &sent].map(|notes| notes.iter().map(String::as_str).collect::<Vec<_>>());
    for server in Server::ALL {
        let place = place(server, "batch_size = 7", &held, &sent);
        let run = place.run();
        assert_eq!(run.summary(), "61 read = 61 updated", "on {server}: {run}");
        assert_eq!(notes(&place), sent, "on {server}");
        assert_eq!(outcomes(&place, 1).len(), RECORDS, "on {server}");
        let undone = undo(&place, 1, &[]);
        assert_eq!(
            undone.summary(),
            "61 read = 61 updated",
            "on {server}: {undone}"
        );
        assert_eq!(notes(&place), held, "on {server}");
    }
}

#[test]
fn rows_swap_values_and_hand_them_round() {
    let rings: [([&str; 5], [&str; 5]); 2] = [
        (
            ["x1", "x2", "x3", "x4", "x5"],
            ["x2", "x1", "x4", "x5", "x3"],
        ),
        (["a", "b", "c", "d", "e"], ["b", "c", "d", "e", "a"]),
    ];
    for server in Server::ALL {
        for settings in ["", "batch_size = 1", "journal_table = 'journal'"] {
            for (before, after) in rings {
                let label = format!("{after:?}, {settings} on {server}");
                let place = place(server, settings, &before, &after);
                if settings.contains("journal") {
                    crate::journal_tables::with_journal(&place, "");
                }
                let run = place.run();
                assert_eq!(
                    (run.code, run.summary().as_str()),
                    (0, "5 read = 5 updated"),
                    "{label}: {run}"
                );
                assert_eq!(notes(&place), after, "{label}");
                let undone = undo(&place, 1, &[]);
                assert_eq!(
                    (undone.code, undone.summary().as_str()),
                    (0, "5 read = 5 updated"),
                    "{label}: {undone}"
                );
                assert_eq!(notes(&place), before, "{label}");
            }
        }
    }
}

#[test]
fn a_plan_hands_values_on() {
    for server in Server::ALL {
        let place = place(
            server,
            "batch_size = 1",
            &["x1", "x2", "x3", "x4"],
            &["x2", "x1", "x4", "x9"],
        );
        assert_eq!(
            place.command(&["preview", "job", "--out", "job.plan"]).code,
            0,
            "on {server}"
        );
        let run = place.command(&["run", "job", "--plan", "job.plan", "--json"]);
        assert_eq!(run.summary(), "4 read = 4 updated", "on {server}: {run}");
        assert_eq!(notes(&place), ["x2", "x1", "x4", "x9"], "on {server}");
    }
}

#[test]
fn what_clashes_with_a_row_that_keeps_its_value_is_rejected_once_and_the_rest_written() {
    for server in Server::ALL {
        for settings in ["", "batch_size = 1"] {
            let label = format!("{settings} on {server}");
            // A10 wants what nobody gives up, and A11 what A10 keeps then; the others swap.
            let place = place(
                server,
                settings,
                &["x1", "x2", "x3", "x4"],
                &["z", "x1", "x4", "x3"],
            );
            place.execute("INSERT INTO accounts VALUES ('Z10', 1, 'z', NULL)");
            let run = place.run();
            assert_eq!(
                (run.code, run.summary().as_str()),
                (1, "4 read = 2 updated + 2 rejected"),
                "{label}: {run}"
            );
            assert_eq!(
                notes(&place),
                ["x1", "x2", "x4", "x3", "z"].map(|note| note.to_owned()),
                "{label}"
            );
            let told: Vec<String> = outcomes(&place, 1)
                .iter()
                .map(|line| line.split(' ').take(2).collect())
                .collect();
            assert_eq!(
                told,
                ["A10rejected", "A11rejected", "A12updated", "A13updated"],
                "{label}"
            );
            assert_eq!(
                place.rejected(1).matches(",destination,").count(),
                2,
                "{label}: {}",
                place.rejected(1)
            );
        }
    }
}

#[test]
fn a_column_that_may_not_be_null_hands_on_along_a_chain_but_not_round_a_ring() {
    for server in Server::ALL {
        let place = place(
            server,
            "",
            &["x1", "x2", "x3", "x4"],
            &["x2", "x1", "x9", "x3"],
        );
        place.execute("CREATE TABLE strict AS SELECT * FROM accounts; DROP TABLE accounts");
        place.execute(&format!(
            "CREATE TABLE accounts ({})",
            COLUMNS.replace("UNIQUE", "NOT NULL UNIQUE")
        ));
        place.execute("INSERT INTO accounts SELECT * FROM strict");
        let run = place.run();
        assert_eq!(
            run.summary(),
            "4 read = 2 updated + 2 rejected",
            "on {server}: {run}"
        );
        assert_eq!(notes(&place), ["x1", "x2", "x9", "x3"], "on {server}");
        if server == Server::Postgres {
            place.execute(
                "ALTER TABLE accounts DROP CONSTRAINT accounts_note_key, \
                 ADD CONSTRAINT one_note UNIQUE (note) DEFERRABLE INITIALLY IMMEDIATE",
            );
            place.job("batch_size = 1", FIELDS);
            assert_eq!(place.run().summary(), "4 read = 2 updated + 2 unchanged");
            assert_eq!(undo(&place, 2, &[]).summary(), "2 read = 2 updated");
        }
    }
}

#[test]
fn rows_that_follow_a_value_lose_it_to_no_ring() {
    for server in Server::ALL {
        let place = place(server, "", &["x1", "x2", "x3"], &["x2", "x1", "x9"]);
        place
            .execute(
                "CREATE TABLE followers (id INTEGER PRIMARY KEY, note VARCHAR(40), \
                 FOREIGN KEY (note) REFERENCES accounts (note) ON UPDATE CASCADE)",
            )
            .execute("INSERT INTO followers VALUES (1, 'x1'), (3, 'x3')");
        let run = place.run();
        assert_eq!(
            run.summary(),
            "3 read = 1 updated + 2 rejected",
            "on {server}: {run}"
        );
        let followers = place.query("SELECT note FROM followers ORDER BY id");
        assert_eq!(followers, "note\nx1\nx9\n", "on {server}");
        assert_eq!(undo(&place, 1, &[]).summary(), "1 read = 1 updated");
        let followers = place.query("SELECT note FROM followers ORDER BY id");
        assert_eq!(followers, "note\nx1\nx3\n", "on {server}");
    }
}

#[test]
fn a_created_row_takes_what_another_gave_up_and_goes_before_that_comes_back() {
    for server in Server::ALL {
        for settings in ["", "batch_size = 1"] {
            let label = format!("{settings} on {server}");
            let place = place(
                server,
                &format!("matching = 'upsert'\n{settings}"),
                &["x1", "x2"],
                &["x9", "x2"],
            );
            place.file(
                "data/scores.csv",
                "id,score,note\nA00,1,x1\nA10,1,x9\nA11,1,x8\nB10,1,x2\n",
            );
            let before = place.rows("accounts");
            let run = place.run();
            assert_eq!(
                run.summary(),
                "4 read = 2 inserted + 2 updated",
                "{label}: {run}"
            );
            let undone = undo(&place, 1, &["--delete-created"]);
            assert_eq!(
                undone.summary(),
                "4 read = 2 updated + 2 deleted",
                "{label}: {undone}"
            );
            assert_eq!(place.rows("accounts"), before, "{label}");
        }
    }
}

#[test]
fn a_row_may_refer_to_one_that_is_created_later() {
    for server in Server::WITH_USERS {
        for settings in ["", "batch_size = 1"] {
            let label = format!("{settings} on {server}");
            let place = Workspace::on(server);
            let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(18), \
                 FOREIGN KEY (note) REFERENCES accounts (id)";
            place
                .table("accounts", columns, "id\n")
                .scores(SCORES, "id,score,note\nA1,1,A3\nA2,1,A1\nA3,1,\nA4,1,A9\n");
            place.job(&format!("matching = 'upsert'\n{settings}"), FIELDS);
            let run = place.run();
            assert_eq!(
                run.summary(),
                "4 read = 3 inserted + 1 rejected",
                "{label}: {run}"
            );
            let undone = undo(&place, 1, &["--delete-created"]);
            assert_eq!(undone.summary(), "3 read = 3 deleted", "{label}: {undone}");
        }
    }
}

#[test]
fn a_canary_hands_on_within_itself() {
    for server in Server::ALL {
        let place = place(
            server,
            "canary = 2\nbatch_size = 1",
            &["x1", "x2", "x3"],
            &["x2", "x8", "x9"],
        );
        let run = place.run();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
    }
}

/// A second write-back, of `data/second.csv`.
fn second(place: &Workspace, table: &str, csv: &str) {
    place
        .file(
            "sql/second.sql",
            &format!("CREATE TABLE second ({SCORES});\n"),
        )
        .file("data/second.csv", csv);
    let upsert = "matching = 'upsert'";
    let both = write_back("scores", "accounts", upsert, FIELDS)
        + &write_back("second", table, upsert, FIELDS);
    place.file("schedules/job.toml", &both);
}

#[test]
fn what_refers_to_a_created_row_goes_before_it() {
    for server in Server::WITH_USERS {
        let place = place(server, "", &["x1"], &["x1"]);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(18), \
             FOREIGN KEY (note) REFERENCES accounts (id)";
        place.table("second", columns, "id\n").file(
            "data/scores.csv",
            "id,score,note\nA10,1,x1\nB10,1,b\nB11,1,c\n",
        );
        second(&place, "second", "id,score,note\nS1,1,B10\nS2,1,B11\n");
        let before = place.rows("accounts");
        let run = place.command(&["run", "job"]);
        assert_eq!(run.code, 0, "on {server}: {run}");
        let undone = place.command(&["undo", "1", "--delete-created"]);
        assert_eq!(
            (undone.code, place.rows("accounts")),
            (0, before),
            "on {server}: {undone}"
        );
        assert_eq!(
            place.query("SELECT count(*) AS n FROM second"),
            "n\n0\n",
            "on {server}"
        );
    }
}

/// Kills a run, or an undo of one, behind every so many changes of state; the next one leaves what
/// one that nobody killed leaves.
#[test]
fn a_kill_anywhere_in_between_changes_nothing_of_it() {
    let (before, after) = (
        ["x1", "x2", "x3", "x4", "x5"],
        ["x2", "x1", "x9", "x3", "z"],
    );
    for server in Server::ALL {
        let place = place(server, "batch_size = 2", &before, &after);
        place.execute("INSERT INTO accounts VALUES ('Z1', 1, 'z', NULL); CREATE TABLE fresh AS SELECT * FROM accounts");
        let step = if std::env::var_os("WRITEBACK_TEST_THOROUGH").is_some() {
            1
        } else {
            7
        };
        let mut expected = None;
        let numbered = (1..).step_by(step).map(|pass| pass.to_string());
        let named = ["0", "1 values emptied", "2 values emptied"].map(str::to_owned);
        for pass in named.into_iter().chain(numbered) {
            drop(std::fs::remove_dir_all(place.path(".writeback")));
            place.execute("DELETE FROM accounts; INSERT INTO accounts SELECT * FROM fresh");
            let run = place.command_with(&["run", "job", "--json"], &[(ABORT_AT, &pass)]);
            let lived = run.code != -1;
            let status = place
                .query_ledger("SELECT status FROM runs")
                .unwrap_or_default();
            if !lived && status != "status\nrejected\n" {
                assert_eq!(
                    place.run().summary(),
                    "5 read = 4 updated + 1 rejected",
                    "pass {pass} on {server}"
                );
            }
            let left = (notes(&place), outcomes(&place, 1));
            assert_eq!(
                *expected.get_or_insert_with(|| left.clone()),
                left,
                "pass {pass} on {server}"
            );
            place.command_with(&["undo", "1", "--json"], &[(ABORT_AT, &pass)]);
            let undone = undo(&place, 1, &[]);
            assert_eq!(undone.code, 0, "pass {pass} on {server}: {undone}");
            assert_eq!(
                notes(&place)[..5],
                before,
                "pass {pass} on {server}: {undone}"
            );
            if lived && pass.parse::<u64>().is_ok_and(|pass| pass > 0) {
                break;
            }
        }
    }
}
