//! What runs wrote can be told record by record, and held against what the destination holds now.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace, csv_cells, write_back};

const HEADER: &str = "id,score,note,phone\n";

fn history(place: &Workspace, record: &str) -> Ran {
    place.command(&["history", "scores", "--record", record, "--json"])
}

/// `BY RUN ROW: COLUMN OLD -> NEW, …`, newest first.
fn told(history: &Ran) -> Vec<String> {
    assert_eq!(history.code, 0, "{history}");
    let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
    let change = |change: &Value| {
        format!(
            "{} {} -> {}",
            text(&change["column"]),
            text(&change["before"]),
            text(&change["after"])
        )
    };
    let entry = |entry: &Value| {
        let changes: Vec<String> = entry["changes"]
            .as_array()
            .expect("changes")
            .iter()
            .map(change)
            .collect();
        format!(
            "{} {} {}: {}",
            text(&entry["by"]),
            entry["run"],
            text(&entry["row"]),
            changes.join(", ")
        )
    };
    history.json()["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(entry)
        .collect()
}

fn verify(place: &Workspace) -> Ran {
    place.command(&["verify", "job", "--json", "--limit", "100"])
}

/// What drifted of the first write-back: `RECORD COLUMN WRITTEN -> NOW by RUN`, then rows, each
/// sorted.
fn drift(verified: &Ran) -> Vec<String> {
    let write_back = &verified.json()["write_backs"][0];
    let text = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
    let mut lines = Vec::new();
    for column in write_back["columns"].as_array().expect("columns") {
        let samples = column["samples"].as_array().expect("samples");
        assert_eq!(column["drifted"], samples.len(), "{verified}");
        lines.extend(samples.iter().map(|sample| {
            let [record, written, now] =
                ["record", "written", "now"].map(|name| text(&sample[name]));
            format!(
                "{record} {} {written} -> {now} by {}",
                text(&column["column"]),
                sample["run"]
            )
        }));
    }
    for kind in ["gone", "doubled"] {
        let samples = write_back[kind]["samples"]
            .as_array()
            .expect("samples")
            .iter();
        lines.extend(
            samples
                .map(|sample| format!("{} {kind} by {}", text(&sample["record"]), sample["run"])),
        );
    }
    lines.sort();
    assert_eq!(verified.code, i32::from(!lines.is_empty()), "{verified}");
    lines
}

#[test]
fn a_record_is_found_in_the_history_however_its_key_is_spelt() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id INTEGER, part DECIMAL(6,2), score INTEGER, PRIMARY KEY (id, part)";
        place
            .table("accounts", columns, "id,part,score\n7,1.50,1\n70,1.50,1\n")
            .scores(columns, "id,part,score\n7,1.5,2\n70,1.50,3\n")
            .job("", "id = 'id'\npart = 'part'\nscore = 'score'");
        assert_eq!(place.run().code, 0, "{server}");
        for typed in ["7,1.50", "007,1.5", "7,1.500"] {
            let told = told(&history(&place, typed));
            assert_eq!(told, ["run 1 changed: score 1 -> 2"], "{server} {typed}");
        }
        for unknown in ["8,1.50", "7,1.51", "7", "x,y"] {
            let told = told(&history(&place, unknown));
            assert!(told.is_empty(), "{server} {unknown}: {told:?}");
        }
    }
}

#[test]
fn the_history_of_a_record_tells_runs_and_what_others_changed_in_between() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            &format!("{HEADER}A1,1,old,\nA2,1,,\n"),
            "id,score,note\nA1,2,old\nA2,5,\n",
        );
        assert_eq!(place.run().code, 0, "on {server}");
        place.execute("UPDATE accounts SET note = 'by hand', score = 9 WHERE id = 'A1'");
        place.file("data/scores.csv", "id,score,note\nA1,3,by hand\nA2,5,\n");
        assert_eq!(place.run().code, 0, "on {server}");
        place.execute("UPDATE accounts SET note = NULL WHERE id = 'A1'");
        place.file("data/scores.csv", "id,score,note\nA1,3,x\nA2,6,\n");
        assert_eq!(place.run().code, 0, "on {server}");
        let expected = [
            "run 3 changed: note NULL -> x",
            "someone_else 3 changed: note by hand -> NULL",
            "run 2 changed: score 9 -> 3",
            "someone_else 2 changed: score 2 -> 9, note old -> by hand",
            "run 1 changed: score 1 -> 2",
        ];
        let told_of = history(&place, "A1");
        assert_eq!(told(&told_of), expected, "on {server}");
        assert_eq!(
            (&told_of.json()["since"]["run"], &told_of.json()["unknown"]),
            (&json!(1), &json!([]))
        );
        let score = place.command(&[
            "history", "scores", "--record", "A1", "--field", "SCORE", "--json",
        ]);
        let of_score = [
            "run 2 changed: score 9 -> 3",
            "someone_else 2 changed: score 2 -> 9",
            "run 1 changed: score 1 -> 2",
        ];
        assert_eq!(told(&score), of_score, "on {server}");
        assert_eq!(
            told(&history(&place, "A9")),
            Vec::<String>::new(),
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            format!("{HEADER}A1,3,x,\nA2,6,,\n"),
            "on {server}"
        );
    }
}

#[test]
fn a_history_reads_as_a_table() {
    let place = Workspace::accounts(
        Server::Sqlite,
        &format!("{HEADER}A1,1,,\n"),
        "id,score,note\nA1,2,x\n",
    );
    let run = place.command(&["run", "job", "--cycle", "c1"]);
    assert_eq!(run.code, 0, "{run}");
    let told = place.command(&["history", "scores", "--record", "A1"]);
    assert_eq!(told.code, 0, "{told}");
    assert!(
        told.stdout.starts_with("job  scores  record A1\n"),
        "{told}"
    );
    assert!(
        told.stdout
            .contains("┆ c1    ┆ run 1 ┆ score  ┆ 1    ┆ 2   │"),
        "{told}"
    );
    assert!(
        told.stdout
            .contains("┆       ┆       ┆ note   ┆ NULL ┆ x   │"),
        "{told}"
    );
    assert!(
        told.stdout.contains("the journal reaches back to run 1, "),
        "{told}"
    );
}

#[test]
fn a_created_and_a_removed_row_are_told_and_so_is_a_retry() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, HEADER, "id,score,note\nA1,2,\nA2,x,\n");
        place.job("matching = 'upsert'\nnulls = 'keep'", FIELDS);
        assert_eq!(place.run().code, 1, "on {server}");
        place.file("data/scores.csv", "id,score,note\nA1,2,\nA2,4,\n");
        assert_eq!(
            place
                .command(&["run", "job", "--only-rejected", "--json"])
                .code,
            0,
            "on {server}"
        );
        place.execute("DELETE FROM accounts WHERE id = 'A1'");
        assert_eq!(place.run().code, 0, "on {server}");
        let of_first = [
            "run 3 created: score NULL -> 2",
            "someone_else 3 removed: ",
            "run 1 created: score NULL -> 2",
        ];
        assert_eq!(told(&history(&place, "A1")), of_first, "on {server}");
        assert_eq!(
            told(&history(&place, "A2")),
            ["retry 2 created: score NULL -> 4"],
            "on {server}"
        );
        assert_eq!(drift(&verify(&place)), Vec::<String>::new(), "on {server}");
        place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A2'");
        assert_eq!(
            drift(&verify(&place)),
            ["A2 note NULL -> mine by 2"],
            "a row that was made took NULL, on {server}"
        );
    }
}

#[test]
fn what_was_taken_back_is_told_and_counts_as_written() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            &format!("{HEADER}A1,1,,\nA2,1,x,\n"),
            "id,score,note\nA1,2,n\nA2,2,n\nA3,3,n\n",
        );
        place.job("matching = 'upsert'", FIELDS);
        assert_eq!(
            place.run().summary(),
            "3 read = 1 inserted + 2 updated",
            "on {server}"
        );
        let undo = place.command(&["undo", "1", "--delete-created", "--json"]);
        assert_eq!(undo.code, 0, "{undo}");
        assert_eq!(
            place.rows("accounts"),
            format!("{HEADER}A1,1,,\nA2,1,x,\n"),
            "on {server}"
        );
        let first = history(&place, "A1");
        let expected = [
            "undo 2 changed: score 2 -> 1, note n -> NULL",
            "run 1 changed: score 1 -> 2, note NULL -> n",
        ];
        assert_eq!(
            (
                told(&first),
                first.json()["entries"][1]["undone_by"].as_i64()
            ),
            (expected.map(str::to_owned).to_vec(), Some(2))
        );
        assert_eq!(
            told(&history(&place, "A3")),
            [
                "undo 2 removed: ",
                "run 1 created: score NULL -> 3, note NULL -> n"
            ],
            "on {server}"
        );
        assert_eq!(drift(&verify(&place)), Vec::<String>::new(), "on {server}");
        place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A1'");
        place.execute("UPDATE accounts SET score = NULL WHERE id = 'A2'");
        assert_eq!(
            drift(&verify(&place)),
            ["A1 note NULL -> mine by 2", "A2 score 1 -> NULL by 2"],
            "on {server}"
        );
        assert_eq!(place.run().code, 0, "on {server}");
        assert_eq!(drift(&verify(&place)), Vec::<String>::new(), "on {server}");
        let created = [
            "run 3 created: score NULL -> 3, note NULL -> n",
            "undo 2 removed: ",
            "run 1 created: score NULL -> 3, note NULL -> n",
        ];
        assert_eq!(
            told(&history(&place, "A3")),
            created,
            "nobody else removed it, on {server}"
        );
    }
}

#[test]
fn a_write_back_of_several_jobs_is_named_with_its_job() {
    let place = Workspace::accounts(
        Server::Sqlite,
        &format!("{HEADER}A1,1,,\n"),
        "id,score,note\nA1,2,\n",
    );
    let none = history(&place, "A1");
    assert_eq!(none.code, 2, "{none}");
    assert!(
        none.stderr
            .contains("no run has begun a write-back `scores`"),
        "{none}"
    );
    assert_eq!(place.run().code, 0);
    place.file(
        "schedules/other.toml",
        &write_back("scores", "accounts", "", FIELDS),
    );
    place.file("data/scores.csv", "id,score,note\nA1,3,\n");
    assert_eq!(place.command(&["run", "other"]).code, 0);
    let both = history(&place, "A1");
    assert_eq!((both.code, both.stdout.as_str()), (2, ""), "{both}");
    assert!(
        both.stderr
            .contains("jobs `job`, `other` have a write-back `scores`"),
        "{both}"
    );
    let one = place.command(&[
        "history", "scores", "--record", "A1", "--job", "other", "--json",
    ]);
    assert_eq!(told(&one), ["run 2 changed: score 2 -> 3"]);
    let unknown = place.command(&[
        "history", "scores", "--record", "A1", "--job", "other", "--field", "phone",
    ]);
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.stderr.contains("they wrote `note`, `score`"),
        "{unknown}"
    );
}

#[test]
fn a_key_of_several_columns_is_found_in_the_order_of_the_key() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table(
            "parts",
            "n INTEGER, region VARCHAR(8), v VARCHAR(8)",
            "n,region,v\n7,\"a,b\",x\n8,EU,x\n",
        );
        place.scores(
            "region VARCHAR(8), n INTEGER, v VARCHAR(8), PRIMARY KEY (region, n)",
            "region,n,v\n\"a,b\",7,y\nEU,8,z\n",
        );
        place.file(
            "schedules/job.toml",
            &write_back("scores", "parts", "", "n = 'n'\nv = 'v'\nregion = 'region'"),
        );
        assert_eq!(place.run().code, 0, "on {server}");
        assert_eq!(
            told(&history(&place, "\"a,b\",7")),
            ["run 1 changed: v x -> y"],
            "on {server}"
        );
        place.execute("UPDATE parts SET v = 'w' WHERE n = 8");
        assert_eq!(
            drift(&verify(&place)),
            ["EU,8 v z -> w by 1"],
            "on {server}"
        );
    }
}

#[test]
fn verify_names_exactly_what_others_changed() {
    for server in Server::ALL {
        let rows: String = (1..=6).map(|id| format!("A{id},1,old,\n")).collect();
        let scores: String = (1..=5).map(|id| format!("A{id},{id}0,n{id}\n")).collect();
        let place = Workspace::accounts(
            server,
            &(HEADER.to_owned() + &rows),
            &format!("id,score,note\n{scores}"),
        );
        place.job("batch_size = 2", FIELDS);
        let nothing = verify(&place);
        assert_eq!(
            (
                nothing.code,
                nothing.json()["write_backs"][0]["compared"].as_u64()
            ),
            (0, Some(0)),
            "{nothing}"
        );
        assert_eq!(place.run().code, 0, "on {server}");
        let clean = verify(&place);
        assert_eq!(drift(&clean), Vec::<String>::new(), "on {server}");
        let told = place.command(&["verify", "job"]).stdout;
        assert!(
            told.starts_with("job  scores  no drift: 0 of 5 records\ncompared with `"),
            "{told}"
        );

        place.execute("UPDATE accounts SET score = 11, phone = '1' WHERE id = 'A1'");
        place.execute("UPDATE accounts SET note = NULL WHERE id = 'A2'");
        place.execute("UPDATE accounts SET note = 'N3' WHERE id = 'A3'");
        place.execute("DELETE FROM accounts WHERE id = 'A4'");
        place.execute("UPDATE accounts SET score = 2, note = '', phone = 'x' WHERE id = 'A6'");
        let before = place.rows("accounts");
        let drifted = verify(&place);
        let expected = [
            "A1 score 10 -> 11 by 1",
            "A2 note n2 -> NULL by 1",
            "A3 note n3 -> N3 by 1",
            "A4 gone by 1",
        ];
        assert_eq!(drift(&drifted), expected, "on {server}");
        assert_eq!(drifted.json()["write_backs"][0]["drifted"], 4, "{drifted}");
        let told = place.command(&["verify", "job"]);
        assert!(
            told.stdout
                .starts_with("job  scores  drift: 4 of 5 records\n"),
            "{told}"
        );
        assert!(
            told.stdout.contains("row gone: 1 record: A4 (run 1)\n"),
            "{told}"
        );
        assert_eq!(
            (told.code, place.rows("accounts")),
            (1, before),
            "on {server}"
        );

        assert_eq!(place.run().code, 0, "on {server}");
        assert_eq!(
            drift(&verify(&place)),
            ["A4 gone by 1"],
            "what the next run wrote is right again, on {server}"
        );
    }
}

#[test]
fn what_a_run_kept_is_not_compared() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            &format!("{HEADER}A1,1,old,\nA2,1,,\n"),
            "id,score,note\nA1,,n1\nA2,2,n2\n",
        );
        place.job(
            "nulls = 'keep'",
            "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }",
        );
        assert_eq!(place.run().code, 0, "on {server}");
        assert_eq!(
            place.rows("accounts"),
            format!("{HEADER}A1,1,old,\nA2,2,n2,\n"),
            "on {server}"
        );
        place.file("data/scores.csv", "id,score,note\nA1,3,n1\nA2,,n3\n");
        assert_eq!(place.run().code, 0, "on {server}");
        assert_eq!(drift(&verify(&place)), Vec::<String>::new(), "on {server}");
        assert_eq!(
            told(&history(&place, "A1")),
            ["run 2 changed: score 1 -> 3"],
            "on {server}"
        );
        place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A1'");
        place.execute("UPDATE accounts SET score = 7, note = 'mine' WHERE id = 'A2'");
        assert_eq!(
            drift(&verify(&place)),
            ["A2 note n2 -> mine by 1", "A2 score 2 -> 7 by 1"],
            "on {server}"
        );
    }
}

#[test]
fn values_are_compared_by_what_they_mean_to_the_database() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let moment = server.timestamp();
        place.table(
            "accounts",
            &format!("id VARCHAR(18) PRIMARY KEY, amount DECIMAL(9,3), day DATE, at {moment}, ok BOOLEAN, ratio DOUBLE PRECISION"),
            "id,amount\nA1,1\nA2,1\n",
        );
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, amount DECIMAL(9,3), day DATE, at TIMESTAMP, ok BOOLEAN, ratio DOUBLE PRECISION",
            "id,amount,day,at,ok,ratio\nA1,87.5,2026-11-15,2026-11-15 06:30:00.25,true,0.1\nA2,2,2026-01-01,2026-01-01 00:00:00,false,1e22\n",
        );
        place.job(
            "",
            "id = 'id'\namount = 'amount'\nday = 'day'\nat = 'at'\nok = 'ok'\nratio = 'ratio'",
        );
        assert_eq!(place.run().summary(), "2 read = 2 updated", "on {server}");
        assert_eq!(drift(&verify(&place)), Vec::<String>::new(), "on {server}");
        place.execute("UPDATE accounts SET amount = 87.501 WHERE id = 'A1'");
        place.execute("UPDATE accounts SET day = '2026-01-02', ratio = 1e21 WHERE id = 'A2'");
        let drifted = drift(&verify(&place));
        assert_eq!(drifted.len(), 3, "{drifted:?} on {server}");
        assert!(
            drifted[0].starts_with("A1 amount 87.5") && drifted[0].ends_with(" -> 87.501 by 1"),
            "{drifted:?}"
        );
        assert!(
            drifted[1].starts_with("A2 day 2026-01-01 -> 2026-01-02"),
            "{drifted:?} on {server}"
        );
        place.file(
            "data/scores.csv",
            "id,amount,day,at,ok,ratio\nA2,2,2026-01-01,2026-01-01 00:00:00,true,1e22\n",
        );
        assert_eq!(place.run().code, 0, "on {server}");
        let entry = &told(&history(&place, "A2"))[0];
        assert!(
            entry.starts_with("run 2 changed: ")
                && !entry.contains("amount")
                && !entry.contains(" at "),
            "{entry} on {server}"
        );
    }
}

#[test]
fn a_truth_is_told_in_the_same_words_whatever_a_database_has_for_one() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, ok BOOLEAN",
            "id\nA1\n",
        );
        place.execute("UPDATE accounts SET ok = FALSE");
        place.scores("id VARCHAR(18) PRIMARY KEY, ok BOOLEAN", "id,ok\nA1,true\n");
        place.job(
            "",
            "id = 'id'\nok = { column = 'ok', on_conflict = 'keep' }",
        );
        let preview = place.command(&["preview", "job", "--json"]).json();
        let preview = &preview["write_backs"][0];
        let change = &preview["samples"][0]["changes"][0];
        assert_eq!(
            (&change["before"], &change["after"]),
            (&json!("false"), &json!("true")),
            "{preview} on {server}"
        );
        let pair = &preview["columns"][0]["pairs"]["most_frequent"][0];
        assert_eq!(
            (&pair["before"], &pair["after"]),
            (&json!("false"), &json!("true")),
            "{preview} on {server}"
        );
        let tested = place.command(&["test", "job", "--record", "A1", "--rollback", "--json"]);
        let tested = &tested.json()["records"][0]["columns"];
        let ok = tested
            .as_array()
            .expect("columns")
            .iter()
            .find(|column| column["column"] == "ok");
        let ok = ok.expect("the column");
        assert_eq!(
            ["before", "sent", "after"].map(|name| ok[name].as_str().unwrap_or_default()),
            ["false", "true", "true"],
            "{ok} on {server}"
        );
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(
            told(&history(&place, "A1")),
            ["run 1 changed: ok false -> true"],
            "on {server}"
        );
        place.execute("UPDATE accounts SET ok = FALSE");
        assert_eq!(
            drift(&verify(&place)),
            ["A1 ok true -> false by 1"],
            "on {server}"
        );
        let kept = place.command(&["run", "job", "--again"]);
        assert_eq!(kept.code, 0, "{kept} on {server}");
        let listed = place.text(".writeback/runs/2/scores/kept.csv");
        assert!(
            listed.ends_with("\nA1,ok,true,false,true\n"),
            "{listed} on {server}"
        );
    }
}

#[test]
fn what_is_not_known_is_said_and_never_guessed() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            &format!("{HEADER}A1,1,,\nA2,1,,\n"),
            "id,score,note\nA1,2,\nA2,2,\n",
        );
        assert_eq!(place.run().code, 0, "on {server}");
        place
            .job("keep_before_images = false", FIELDS)
            .file("data/scores.csv", "id,score,note\nA1,3,\n");
        assert_eq!(place.run().code, 0, "on {server}");
        let blind = verify(&place);
        assert_eq!((blind.code, blind.stdout.as_str()), (2, ""), "{blind}");
        assert!(
            blind
                .stderr
                .contains("it is not known what run 2 of `scores` wrote: it kept no before-images"),
            "{blind}"
        );
        place
            .job("", FIELDS)
            .file("data/scores.csv", "id,score,note\nA1,4,\n");
        assert_eq!(place.run().code, 0, "on {server}");
        let since = verify(&place).json()["write_backs"][0].clone();
        assert_eq!(
            (
                &since["compared"],
                &since["since"]["run"],
                &since["unknown"]["run"]
            ),
            (&json!(1), &json!(3), &json!(2))
        );
        let of_record = history(&place, "A1");
        let expected = ["run 3 changed: score 3 -> 4", "run 1 changed: score 1 -> 2"];
        assert_eq!(
            told(&of_record),
            expected,
            "nobody else is blamed, on {server}"
        );
        assert_eq!(
            of_record.json()["unknown"][0]["why"],
            "not_kept",
            "{of_record}"
        );

        fs::remove_file(place.run_file(1, "0001.images")).expect("a file");
        let of_record = history(&place, "A1");
        assert_eq!(
            told(&of_record),
            ["run 3 changed: score 3 -> 4"],
            "on {server}"
        );
        let unknown = of_record.json()["unknown"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|run| run["why"].clone())
            .collect::<Vec<_>>();
        assert_eq!(
            (unknown, of_record.json()["since"]["run"].as_i64()),
            (vec![json!("removed"), json!("not_kept")], Some(3))
        );
    }
}

#[test]
fn a_column_that_is_gone_or_altered_is_named() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            &format!("{HEADER}A1,1,,\n"),
            "id,score,note\nA1,2,x\n",
        );
        assert_eq!(place.run().code, 0, "on {server}");
        place.execute("ALTER TABLE accounts DROP COLUMN note");
        let gone = verify(&place);
        assert_eq!((gone.code, gone.stdout.as_str()), (2, ""), "{gone}");
        assert!(
            gone.stderr.contains("column `note` of `")
                && gone.stderr.contains("which run 1 wrote, is gone"),
            "{gone}"
        );
        place.execute("ALTER TABLE accounts ADD COLUMN note INTEGER");
        let altered = verify(&place);
        assert_eq!(
            (altered.code, altered.stdout.as_str()),
            (2, ""),
            "{altered}"
        );
        assert!(
            altered
                .stderr
                .contains("what run 1 wrote cannot be compared"),
            "{altered}"
        );
        place.execute("DROP TABLE accounts");
        let missing = verify(&place);
        assert_eq!(missing.code, 2, "{missing}");
        assert!(missing.stderr.contains("does not exist"), "{missing}");
    }
}

#[test]
fn damaged_before_images_are_an_error() {
    let place = Workspace::accounts(
        Server::Sqlite,
        &format!("{HEADER}A1,1,,\n"),
        "id,score,note\nA1,2,x\n",
    );
    assert_eq!(place.run().code, 0);
    let file = place.run_file(1, "0001.images");
    let whole = fs::read(&file).expect("a file");
    for cut in [whole.len() / 2, 0] {
        fs::write(&file, &whole[..cut]).expect("a file");
        for ran in [verify(&place), history(&place, "A1")] {
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran}");
            assert!(ran.stderr.contains("damaged: a checksum is wrong"), "{ran}");
        }
    }
    for position in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[position] ^= 1;
        fs::write(&file, flipped).expect("a file");
        assert_eq!(verify(&place).code, 2, "byte {position}");
    }
    fs::write(&file, whole).expect("a file");
    assert_eq!(drift(&verify(&place)), Vec::<String>::new());
}

#[test]
fn what_other_batches_hold_is_not_read_for_the_history_of_a_record() {
    for server in Server::ALL {
        let keys: Vec<String> = (0..30).map(|number| format!("A{number:02}")).collect();
        let lines = |score: usize| -> String {
            let line = |key: &String| format!("{key},{score},x\n");
            keys.iter().map(line).collect()
        };
        let rows: String = keys.iter().map(|key| format!("{key},1,,\n")).collect();
        let source = format!("id,score,note\n{}", lines(2));
        let place = Workspace::accounts(server, &format!("{HEADER}{rows}"), &source);
        let job = write_back("scores", "accounts", "batch_size = 3", FIELDS);
        place.file("schedules/job.toml", &job);
        assert_eq!(place.run().summary(), "30 read = 30 updated");

        // All but the piece in which A14 stands is made unreadable.
        let batches = place.query_file(
            ".writeback/ledger.db",
            "SELECT file, offset, bytes, first_key <= 'A14' AND last_key >= 'A14' FROM images",
        );
        let mut left = 0;
        for cells in csv_cells(&batches).iter().skip(1) {
            let cell = |at: usize| cells[at].as_deref().expect("a value");
            let number = |at: usize| -> usize { cell(at).parse().expect("a number") };
            if number(3) == 1 {
                left += 1;
                continue;
            }
            let file = place.run_file(1, cell(0));
            let mut bytes = fs::read(&file).expect("a file");
            bytes[number(1)..][..number(2)].fill(b'x');
            fs::write(&file, bytes).expect("a file");
        }
        assert_eq!(left, 1, "{batches}");
        assert_eq!(
            told(&history(&place, "A14")),
            ["run 1 changed: score 1 -> 2, note NULL -> x"]
        );
        let other = history(&place, "A20");
        assert_eq!(other.code, 2, "{other}");
        let nobody = history(&place, "B1");
        assert_eq!(told(&nobody), Vec::<String>::new());
    }
}

/// Key, score and note.
type Record = (u8, Option<i8>, Option<&'static str>);

/// One random step.
#[derive(Debug, Clone)]
enum Step {
    Run(Vec<Record>),
    Score(u8, Option<i8>),
    Note(u8, Option<&'static str>),
    Delete(u8),
    Make(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..8u8;
    let score = || prop::option::of(0..3i8);
    let note = || prop::option::of(prop::sample::select(vec!["", "x", "X", "it's"]));
    let step = prop_oneof![
        2 => prop::collection::btree_map(key(), (score(), note()), 0..8)
            .prop_map(|records| Step::Run(records.into_iter().map(|(key, (score, note))| (key, score, note)).collect())),
        4 => (key(), score()).prop_map(|(key, score)| Step::Score(key, score)),
        4 => (key(), note()).prop_map(|(key, note)| Step::Note(key, note)),
        1 => key().prop_map(Step::Delete),
        1 => key().prop_map(Step::Make),
    ];
    prop::collection::vec(step, 10..30)
}

/// Score and note of a row.
type Values = (Option<i8>, Option<&'static str>);

/// Those of them that were written.
type Written = (Option<Option<i8>>, Option<Option<&'static str>>);

#[test]
fn after_random_runs_and_random_edits_drift_equals_a_model() {
    for server in Server::ALL {
        for keep_nulls in [false, true] {
            let config = Config {
                cases: 3,
                failure_persistence: None,
                max_shrink_iters: 20,
                ..Config::default()
            };
            let run = TestRunner::new(config).run(&steps(), |steps| {
                check(server, keep_nulls, &steps);
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("on {server}: {error}"));
        }
    }
}

fn check(server: Server, keep_nulls: bool, steps: &[Step]) {
    let place = Workspace::accounts(
        server,
        &format!("{HEADER}K0,,,\nK1,1,x,\nK2,2,,\nK3,,y,\n"),
        "id,score,note\n",
    );
    place.scores(SCORES, "id,score,note\n");
    place.job(
        &format!(
            "nulls = '{}'\nmin_read = 0\nbatch_size = 3",
            if keep_nulls { "keep" } else { "write" }
        ),
        FIELDS,
    );
    let mut rows: BTreeMap<u8, Values> = [
        (0, (None, None)),
        (1, (Some(1), Some("x"))),
        (2, (Some(2), None)),
        (3, (None, Some("y"))),
    ]
    .into();
    // By key: what was last written, `None` for a field that never was.
    let mut written: BTreeMap<u8, Written> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Run(records) => {
                run(&place, records);
                for (key, score, note) in records {
                    let Some(row) = rows.get_mut(key) else {
                        continue;
                    };
                    let score = if keep_nulls && score.is_none() {
                        None
                    } else {
                        Some(*score)
                    };
                    let note = if keep_nulls && note.is_none() {
                        None
                    } else {
                        Some(*note)
                    };
                    let after = (score.unwrap_or(row.0), note.unwrap_or(row.1));
                    if after != *row {
                        *row = after;
                        let last = written.entry(*key).or_default();
                        *last = (score.or(last.0), note.or(last.1));
                    }
                }
            }
            Step::Score(key, score) => {
                place.execute(&format!(
                    "UPDATE accounts SET score = {} WHERE id = 'K{key}'",
                    number(*score)
                ));
                rows.entry(*key).and_modify(|row| row.0 = *score);
            }
            Step::Note(key, note) => {
                let value = note.map_or("NULL".to_owned(), |note| server.literal(note));
                place.execute(&format!(
                    "UPDATE accounts SET note = {value} WHERE id = 'K{key}'"
                ));
                rows.entry(*key).and_modify(|row| row.1 = *note);
            }
            Step::Delete(key) => {
                place.execute(&format!("DELETE FROM accounts WHERE id = 'K{key}'"));
                rows.remove(key);
            }
            Step::Make(key) => {
                if rows.insert(*key, (None, None)).is_none() {
                    place.execute(&format!("INSERT INTO accounts (id) VALUES ('K{key}')"));
                } else {
                    place.execute(&format!(
                        "UPDATE accounts SET score = NULL, note = NULL WHERE id = 'K{key}'"
                    ));
                }
            }
        }
    }
    let mut expected = Vec::new();
    for (key, (score, note)) in &written {
        let Some(row) = rows.get(key) else {
            expected.push(format!("K{key} gone"));
            continue;
        };
        if let Some(score) = score.filter(|score| *score != row.0) {
            expected.push(format!(
                "K{key} score {} -> {}",
                number(score),
                number(row.0)
            ));
        }
        if let Some(note) = note.filter(|note| *note != row.1) {
            expected.push(format!(
                "K{key} note {} -> {}",
                note.unwrap_or("NULL"),
                row.1.unwrap_or("NULL")
            ));
        }
    }
    expected.sort();
    let found = drift(&verify(&place)).into_iter();
    let found: Vec<String> = found
        .map(|line| line.split(" by ").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(found, expected, "on {server} after {steps:?}");
}

fn run(place: &Workspace, records: &[Record]) {
    let cell = |note: Option<&str>| {
        note.map_or(String::new(), |note| {
            if note.is_empty() {
                "\"\"".to_owned()
            } else {
                note.to_owned()
            }
        })
    };
    let line = |(key, score, note): &Record| {
        format!(
            "K{key},{},{}\n",
            score.map_or(String::new(), |score| score.to_string()),
            cell(*note)
        )
    };
    place.file(
        "data/scores.csv",
        &format!(
            "id,score,note\n{}",
            records.iter().map(line).collect::<String>()
        ),
    );
    let ran = place.run();
    assert_eq!(ran.code, i32::from(ran.matched_nothing()), "{ran}");
}

fn number(value: Option<i8>) -> String {
    value.map_or("NULL".to_owned(), |number| number.to_string())
}
