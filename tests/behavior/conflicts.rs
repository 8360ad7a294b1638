//! Where a job says so, a value that someone else changed since it was last written back is left
//! alone and reported.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{FIELDS, Ran, Running, Server, Workspace, faketime_library};
use crate::values::{TRIPS, source};

/// The score keeps what other people write, the note does not.
const KEEP_SCORE: &str =
    "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\nnote = 'note'";
const KEEP_BOTH: &str = "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\n\
                         note = { column = 'note', on_conflict = 'keep' }";

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,,\nA3,3,,\n";
const SOURCE: &str = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\n";

/// Three accounts, written back once.
fn place(server: Server, settings: &str, fields: &str) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    place.job(settings, fields);
    assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
    place
}

fn bring(place: &Workspace, lines: &str) -> Ran {
    place.file("data/scores.csv", &format!("id,score,note\n{lines}"));
    place.run()
}

fn kept(ran: &Ran) -> String {
    ran.json()["write_backs"][0]["kept"].to_string()
}

fn held(place: &Workspace) -> String {
    let held = place.query("SELECT id, score, note FROM accounts");
    held.strip_prefix("id,score,note\n")
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_value_that_someone_changed_is_kept_and_all_others_are_written() {
    for server in Server::ALL {
        for mode in ["update_only", "upsert"] {
            let place = place(
                server,
                &format!("matching = '{mode}'\nbatch_size = 2"),
                KEEP_SCORE,
            );
            place.execute("UPDATE accounts SET score = 99 WHERE id IN ('A1', 'A3')");
            place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A2'");
            let lines = "A1,11,a\nA2,21,b\nA3,31,new\n";
            place.file("data/scores.csv", &format!("id,score,note\n{lines}"));
            let before = place.rows("accounts");
            let foreseen = place.command(&["preview", "job", "--json"]);
            assert_eq!(place.rows("accounts"), before, "on {server}");
            let ran = place.run();
            assert_eq!(
                ran.summary(),
                "3 read = 2 updated + 1 skipped",
                "on {server}: {ran}"
            );
            assert_eq!(
                held(&place),
                "A1,99,a\nA2,21,b\nA3,99,new\n",
                "on {server}, {mode}"
            );
            for ran in [&ran, &foreseen] {
                let done = &ran.json()["write_backs"][0];
                let counts = ["updated", "skipped"].map(|name| done[name].as_u64());
                assert_eq!(
                    (counts, done["kept"]["score"].as_u64()),
                    ([Some(2), Some(1)], Some(2)),
                    "on {server}: {ran}"
                );
            }
            let list =
                std::fs::read_to_string(place.run_file(2, "kept.csv")).expect("a file of text");
            let expected =
                "key,column,last_written,held,sent\nA1,score,10,99,11\nA3,score,30,99,31\n";
            assert_eq!(list, expected, "on {server}");
            let undone = place.command(&["undo", "2", "--json"]);
            assert_eq!(
                undone.summary(),
                "2 read = 2 updated",
                "what was kept is not restored on {server}: {undone}"
            );
            assert_eq!(
                held(&place),
                "A1,99,a\nA2,20,mine\nA3,99,c\n",
                "on {server}"
            );
        }
    }
}

#[test]
fn people_read_how_many_values_were_kept_and_where_they_are_listed() {
    let place = place(Server::Sqlite, "", KEEP_SCORE);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    place.file("data/scores.csv", "id,score,note\nA1,11,new\n");
    let told = "values kept, for someone else changed them: 1 of score";
    let foreseen = place.command(&["preview", "job"]);
    assert!(foreseen.stdout.contains(&format!("{told}\n")), "{foreseen}");
    let ran = place.command(&["run", "job"]);
    assert!(
        ran.stdout
            .contains(&format!("{told}; see .writeback/runs/2/scores/kept.csv\n")),
        "{ran}"
    );
    let tested = place.command(&["test", "job", "--record", "A1"]);
    assert!(
        tested
            .stdout
            .contains("skipped: kept: changed since it was last written back"),
        "{tested}"
    );
}

#[test]
fn a_value_is_written_again_once_it_is_put_back_or_agreed_with() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_SCORE);
        place.execute("UPDATE accounts SET score = 99 WHERE id <> 'A3'");
        assert_eq!(
            kept(&bring(&place, "A1,11,a\nA2,21,b\nA3,31,c\n")),
            "{\"score\":2}",
            "on {server}"
        );
        // Kept once is kept until somebody puts it back, or the source comes to the same.
        let again = bring(&place, "A1,12,a\nA2,99,b\nA3,32,c\n");
        assert_eq!(
            (again.summary().as_str(), kept(&again).as_str()),
            (
                "3 read = 1 updated + 1 unchanged + 1 skipped",
                "{\"score\":1}"
            ),
            "on {server}"
        );
        place.execute("UPDATE accounts SET score = 10 WHERE id = 'A1'");
        let ran = bring(&place, "A1,13,a\nA2,23,b\nA3,33,c\n");
        assert_eq!(
            (ran.summary().as_str(), kept(&ran).as_str()),
            ("3 read = 3 updated", "{}"),
            "on {server}: {ran}"
        );
        assert_eq!(held(&place), "A1,13,a\nA2,23,b\nA3,33,c\n", "on {server}");
    }
}

#[test]
fn an_edit_that_a_run_has_to_wait_for_is_kept() {
    for server in Server::WITH_USERS {
        let others: String = (0..1000).map(|id| format!("Z{id},1,,\n")).collect();
        let place = Workspace::accounts(server, &format!("{ROWS}{others}"), SOURCE);
        place.job("", KEEP_SCORE);
        place.run();
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,11,a\nA2,21,b\nA3,31,c\n",
        );
        place.execute("BEGIN; UPDATE accounts SET score = 99 WHERE id = 'A2'");
        let run = Running::start(&place);
        place.wait_for_its_waiting();
        place.execute("COMMIT");
        let ran = run.finish();
        assert_eq!(
            ran.summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}: {ran}"
        );
        let accounts = place.query("SELECT id, score FROM accounts WHERE id < 'B'");
        assert_eq!(accounts, "id,score\nA1,11\nA2,99\nA3,31\n", "on {server}");
    }
}

#[test]
fn an_edit_is_kept_that_a_run_has_to_wait_for_where_few_records_differ() {
    for server in Server::WITH_USERS {
        let others: String = (0..1000).map(|id| format!("Z{id},1,,\n")).collect();
        let lines = |score: usize| {
            format!("A1,1,\nA2,1,\nA3,1,\nA4,1,\nB1,1,\nB2,{score},\nB3,1,\nB4,1,\nB5,1,\n")
        };
        let rows: String = lines(1).replace(",\n", ",,\n");
        let place =
            Workspace::accounts(server, &format!("id,score,note,phone\n{rows}{others}"), "");
        let crm = place.connection("crm").trim_end().to_owned() + "\nwriters = 1\n";
        place
            .file("writeback.toml", &(place.connection("files") + &crm))
            .job("batch_size = 4", KEEP_SCORE);
        bring(&place, &lines(1));
        place.execute("BEGIN; UPDATE accounts SET score = 99 WHERE id = 'B2'");
        place.file("data/scores.csv", &format!("id,score,note\n{}", lines(2)));
        let run = Running::start(&place);
        place.wait_for_its_waiting();
        place.execute("COMMIT");
        let ran = run.finish();
        assert_eq!(
            ran.summary(),
            "9 read = 8 unchanged + 1 skipped",
            "on {server}: {ran}"
        );
        assert_eq!(
            place.query("SELECT score FROM accounts WHERE id = 'B2'"),
            "score\n99\n",
            "on {server}"
        );
    }
}

#[test]
fn what_may_have_been_written_by_a_killed_run_that_is_left_behind_is_nobody_elses_change() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_SCORE);
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,11,a\nA2,21,b\nA3,30,c\n",
        );
        let killed = place.command_with(&["run", "job"], &[(ABORT_AT, "1 a batch committed")]);
        assert_eq!(killed.code, -1, "on {server}: {killed}");
        assert_eq!(
            held(&place),
            "A1,11,a\nA2,21,b\nA3,30,c\n",
            "the commit is not recorded on {server}"
        );
        place
            .job("batch_size = 7", KEEP_SCORE)
            .execute("UPDATE accounts SET score = 99 WHERE id = 'A3'");
        let ran = bring(&place, "A1,12,a\nA2,22,b\nA3,32,c\n");
        assert_eq!(
            ran.summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}: {ran}"
        );
        assert_eq!(held(&place), "A1,12,a\nA2,22,b\nA3,99,c\n", "on {server}");
    }
}

#[test]
fn nulls_are_values_that_someone_may_have_changed() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_BOTH);
        bring(&place, "A1,,a\nA2,20,b\nA3,,c\n");
        place.execute("UPDATE accounts SET score = 5 WHERE id = 'A1'");
        place.execute("UPDATE accounts SET score = NULL, note = '' WHERE id = 'A2'");
        let ran = bring(&place, "A1,11,a\nA2,21,x\nA3,31,c\n");
        assert_eq!(kept(&ran), "{\"note\":1,\"score\":2}", "on {server}: {ran}");
        assert_eq!(held(&place), "A1,5,a\nA2,,\"\"\nA3,31,c\n", "on {server}");
        let list =
            std::fs::read_to_string(place.run_file(ran.run(), "kept.csv")).expect("a file of text");
        let lines = "A1,score,,5,11\nA2,score,20,,21\nA2,note,b,,x\n";
        assert_eq!(
            list,
            format!("key,column,last_written,held,sent\n{lines}"),
            "on {server}"
        );
    }
}

#[test]
fn the_rules_for_nulls_and_empty_values_hold_beside() {
    for server in Server::ALL {
        let fields = "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\n\
                      note = { column = 'note', when = 'if_empty', on_conflict = 'keep' }";
        let place = place(server, "nulls = 'keep'", fields);
        place.execute("UPDATE accounts SET score = 99, note = NULL WHERE id = 'A1'");
        place.execute("UPDATE accounts SET score = 98 WHERE id = 'A2'");
        let ran = bring(&place, "A1,11,x\nA2,,y\nA3,31,z\n");
        assert_eq!(
            kept(&ran),
            "{\"note\":1,\"score\":1}",
            "NULL is not written to A2 on {server}: {ran}"
        );
        assert_eq!(
            ran.summary(),
            "3 read = 1 updated + 1 unchanged + 1 skipped",
            "on {server}: {ran}"
        );
        assert_eq!(held(&place), "A1,99,\nA2,98,b\nA3,31,c\n", "on {server}");
        assert_eq!(
            kept(&bring(&place, "A2,22,y\n")),
            "{\"score\":1}",
            "what NULL left alone is not agreed on {server}"
        );
    }
}

#[test]
fn whether_a_value_is_another_is_for_the_database_to_say() {
    for server in Server::ALL {
        for trip in TRIPS {
            let place = trip.place(server);
            place.job("", "id = 'id'\nv = { column = 'v', on_conflict = 'keep' }");
            let label = trip.label(server);
            place.run();
            place.file("data/scores.csv", &source(&trip.turned()));
            let ran = place.run();
            assert_eq!(kept(&ran), "{}", "nobody changed anything: {label}: {ran}");
            let written = place.rows("accounts");
            place.execute("UPDATE accounts SET v = NULL");
            let unwritten = place.rows("accounts");
            place.file("data/scores.csv", &source(trip.values));
            let ran = place.run();
            assert_eq!(place.rows("accounts"), unwritten, "{label}: {ran}");
            assert_ne!(written, unwritten, "{label}");
        }
    }
}

#[test]
fn a_letter_in_another_case_is_a_change() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let collation = server.folds_case();
        place.table(
            "accounts",
            &format!("id VARCHAR(18) PRIMARY KEY, note VARCHAR(40){collation}"),
            "id,note\nA1,\nA2,\n",
        );
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, note VARCHAR(40)",
            "id,note\nA1,low\nA2,low\n",
        );
        place.job(
            "",
            "id = 'id'\nnote = { column = 'note', on_conflict = 'keep' }",
        );
        place.run();
        place.execute("UPDATE accounts SET note = 'LOW' WHERE id = 'A1'");
        place.file("data/scores.csv", "id,note\nA1,high\nA2,high\n");
        assert_eq!(kept(&place.run()), "{\"note\":1}", "on {server}");
        assert_eq!(
            place.rows("accounts"),
            "id,note\nA1,LOW\nA2,high\n",
            "on {server}"
        );
    }
}

#[test]
fn what_was_never_written_back_is_overwritten_and_what_was_found_the_same_is_not() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, ROWS, "id,score,note\nA1,1,\nA2,20,\n");
        place.job("matching = 'upsert'", KEEP_SCORE);
        place.run();
        place.execute("UPDATE accounts SET score = 99");
        let ran = bring(&place, "A1,11,\nA2,21,\nA3,31,\nA4,41,\n");
        assert_eq!(
            ran.summary(),
            "4 read = 1 inserted + 1 updated + 2 skipped",
            "on {server}: {ran}"
        );
        assert_eq!(
            held(&place),
            "A1,99,\nA2,99,\nA3,31,\nA4,41,\n",
            "on {server}"
        );
        place
            .execute("UPDATE accounts SET score = 98 WHERE id = 'A4'")
            .execute("DELETE FROM accounts WHERE id = 'A1'");
        let ran = bring(&place, "A1,11,\nA4,42,\n");
        assert_eq!(
            (ran.summary().as_str(), held(&place).as_str()),
            (
                "2 read = 1 inserted + 1 skipped",
                "A1,11,\nA2,99,\nA3,31,\nA4,98,\n"
            ),
            "on {server}"
        );
    }
}

#[test]
fn a_run_that_overwrites_begins_anew() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_SCORE);
        place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
        place.job("", FIELDS);
        assert_eq!(
            bring(&place, "A1,11,a\nA2,20,b\nA3,30,c\n").summary(),
            "3 read = 1 updated + 2 unchanged",
            "on {server}"
        );
        assert!(!place.path(".writeback/last_written/job/scores/2").exists());
        place.job("", KEEP_SCORE);
        place.execute("UPDATE accounts SET score = 99 WHERE id = 'A2'");
        let ran = bring(&place, "A1,12,a\nA2,22,b\nA3,32,c\n");
        assert_eq!(
            ran.summary(),
            "3 read = 2 updated + 1 skipped",
            "before-images still tell of A2 on {server}: {ran}"
        );
        assert_eq!(held(&place), "A1,12,a\nA2,99,b\nA3,32,c\n", "on {server}");
    }
}

#[test]
fn what_was_last_written_is_known_when_its_before_images_are_gone() {
    let place = place(Server::Sqlite, "retention = '30 days'", KEEP_SCORE);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    let run_after = |days: u32| {
        let (library, clock) = (faketime_library(), format!("+{}s", days * 24 * 60 * 60));
        let faked = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", &clock),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        place.command_with(&["run", "job", "--json"], &faked)
    };
    place.file("data/scores.csv", "id,score,note\nA1,11,a\nA2,20,b\n");
    let listed = place.path(".writeback/runs/2/scores/kept.csv");
    assert_eq!(kept(&run_after(31)), "{\"score\":1}");
    assert!(!place.path(".writeback/runs/1/scores/before").exists() && listed.exists());
    assert_eq!(kept(&run_after(62)), "{\"score\":1}");
    assert!(
        !listed.exists() && !place.path(".writeback/runs/2/scores/conflicts").exists(),
        "values go as well"
    );
    place.execute("UPDATE accounts SET score = 98 WHERE id = 'A2'");
    place.file("data/scores.csv", "id,score,note\nA1,12,a\nA2,22,b\n");
    assert_eq!(kept(&run_after(93)), "{\"score\":2}");
}

#[test]
fn runs_that_wrote_nothing_leave_what_was_last_written_as_it_stands() {
    let place = place(Server::Sqlite, "", KEEP_SCORE);
    for _ in 0..3 {
        assert_eq!(place.run().summary(), "3 read = 3 unchanged");
    }
    let folders =
        std::fs::read_dir(place.path(".writeback/last_written/job/scores")).expect("a folder");
    let names: Vec<_> = folders
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["2"]);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    assert_eq!(
        kept(&bring(&place, "A1,11,a\nA2,21,b\nA3,31,c\n")),
        "{\"score\":1}"
    );
}

#[test]
fn a_canary_and_a_journal_are_told_of_what_was_kept() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_SCORE);
        let check = place
            .job("canary = 2\njournal_table = 'journal'", KEEP_SCORE)
            .command(&["check"]);
        let hint = check
            .stderr
            .lines()
            .find_map(|line| line.split_once("hint: make it: "));
        place.execute(hint.unwrap_or_else(|| panic!("no statement in {check}")).1);
        place.execute("UPDATE accounts SET score = 99");
        let ran = bring(&place, "A1,11,new\nA2,21,b\nA3,31,new\n");
        assert_eq!(
            ran.summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}: {ran}"
        );
        assert_eq!(
            (kept(&ran), held(&place)),
            (
                "{\"score\":3}".to_owned(),
                "A1,99,new\nA2,99,b\nA3,99,new\n".to_owned()
            ),
            "on {server}"
        );
        let journal = place.query("SELECT match_key, column_name, new_value FROM journal");
        let expected = "match_key,column_name,new_value\nA1,note,new\nA3,note,new\n";
        assert_eq!(journal, expected, "on {server}");
    }
}

#[test]
fn what_an_undo_sent_back_counts_as_written_back() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_SCORE);
        let undone = place.command(&["undo", "1", "--json"]);
        assert_eq!(
            undone.summary(),
            "3 read = 3 updated",
            "on {server}: {undone}"
        );
        place.execute("UPDATE accounts SET score = 10 WHERE id = 'A1'");
        let ran = bring(&place, "A1,11,a\nA2,21,b\nA3,31,c\n");
        assert_eq!(
            (ran.summary().as_str(), kept(&ran).as_str()),
            ("3 read = 3 updated", "{\"score\":1}"),
            "on {server}"
        );
        assert_eq!(held(&place), "A1,10,a\nA2,21,b\nA3,31,c\n", "on {server}");
    }
}

#[test]
fn what_a_test_wrote_counts_as_written_back() {
    for server in Server::ALL {
        let place = place(server, "", KEEP_SCORE);
        place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
        place.file("data/scores.csv", "id,score,note\nA1,11,new\nA2,21,b\n");
        let tested = |key: &str| {
            place
                .command(&["test", "job", "--json", "--record", key])
                .json()["records"][0]
                .clone()
        };
        let column = |record: &serde_json::Value| record["columns"][1].clone();
        let (first, second) = (tested("A1"), tested("A2"));
        assert_eq!(
            (
                column(&first)["kept"].as_bool(),
                column(&first)["after"].as_str()
            ),
            (Some(true), Some("99")),
            "on {server}: {first}"
        );
        assert_eq!(
            (
                second["outcome"]["outcome"].as_str(),
                column(&second)["after"].as_str()
            ),
            (Some("updated"), Some("21")),
            "on {server}: {second}"
        );
        assert_eq!(held(&place), "A1,99,new\nA2,21,b\nA3,30,c\n", "on {server}");
        let ran = bring(&place, "A1,12,new\nA2,22,b\nA3,30,c\n");
        assert_eq!(
            (ran.summary().as_str(), held(&place).as_str()),
            (
                "3 read = 1 updated + 1 unchanged + 1 skipped",
                "A1,99,new\nA2,22,b\nA3,30,c\n"
            ),
            "on {server}"
        );
    }
}

#[test]
fn a_run_that_does_not_know_what_was_last_written_stops() {
    let place = place(Server::Sqlite, "", KEEP_SCORE);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    bring(&place, "A1,11,a\nA2,21,b\nA3,31,c\n");
    let before = place.rows("accounts");
    let folder = place.path(".writeback/last_written/job/scores/2");
    let partition = folder.join("partition-00000.arrow");
    let whole = std::fs::read(&partition).expect("a partition");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    let hint = "for one run, which overwrites what other people changed";
    let refused = || {
        let ran = bring(&place, "A1,12,a\nA2,22,b\nA3,32,c\n");
        assert!(
            ran.code == 2 && ran.stderr.contains("what was last written of `scores`"),
            "{ran}"
        );
        assert!(ran.stderr.contains(hint), "{ran}");
        assert_eq!(place.rows("accounts"), before);
    };
    std::fs::write(&partition, &damaged).expect("a file");
    refused();
    std::fs::write(&partition, &whole[1..]).expect("a file");
    refused();
    std::fs::remove_dir_all(&folder).expect("a folder");
    refused();
    let images = place.path(".writeback/runs/2/scores/before");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::remove_dir_all(&folder).expect("a folder");
    std::fs::remove_dir_all(&images).expect("before-images");
    let ran = place.run();
    assert!(
        ran.code == 2 && ran.stderr.contains("it is not known what run 2 wrote"),
        "{ran}"
    );
    assert_eq!(place.rows("accounts"), before);
    place.job("", FIELDS);
    assert_eq!(place.run().summary(), "3 read = 3 updated", "the way out");
    place.job("", KEEP_SCORE);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A2'");
    assert_eq!(
        kept(&bring(&place, "A1,13,a\nA2,23,b\nA3,33,c\n")),
        "{\"score\":1}"
    );
}

#[test]
fn a_job_that_could_not_keep_anything_is_told_so() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.job("keep_before_images = false", KEEP_SCORE);
    let check = place.command(&["check"]);
    assert!(
        check.code == 2
            && check.stderr.contains(
                "`score` has `on_conflict = \"keep\"` and `keep_before_images` is `false`"
            ),
        "{check}"
    );
    place.job("matching = 'create_only'", KEEP_SCORE);
    let check = place.command(&["check"]);
    assert!(
        check.code == 0
            && check
                .stderr
                .contains("`on_conflict = \"keep\"` of `score` has no effect"),
        "{check}"
    );
    place.job(
        "",
        "id = { column = 'id', on_conflict = 'keep' }\nscore = 'score'\nnote = 'note'",
    );
    let check = place.command(&["check"]);
    assert!(
        check.code == 2
            && check
                .stderr
                .contains("the unique identifier `id` has `on_conflict"),
        "{check}"
    );
    place.job("", "id = 'id'\nscore = 'score'\nnote = 'note'\nphone = { method = 'run_id', on_conflict = 'keep' }");
    let check = place.command(&["check"]);
    assert!(
        check.code == 2 && check.stderr.contains("the stamp `phone` has `on_conflict"),
        "{check}"
    );
    place.job(
        "",
        "id = 'id'\nscore = { column = 'score', on_conflict = 'leave' }\nnote = 'note'",
    );
    assert_eq!(place.command(&["check"]).code, 2);
}

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

const CHANGES: [&str; 12] = [
    "1 a package put in place",
    "2 a package put in place",
    "3 a package put in place",
    "1 record what was last written in",
    "1 records updated",
    "2 records updated",
    "1 before-images kept",
    "2 before-images kept",
    "1 record a batch in",
    "1 a batch committed",
    "2 record a commit in",
    "1 a report put in place",
];

#[test]
fn a_run_that_is_killed_anywhere_keeps_what_one_clean_run_keeps() {
    for server in Server::ALL {
        let rows: String = (1..6).map(|id| format!("A{id},{id},,\n")).collect();
        let source = |run: usize| {
            (1..6)
                .map(|id| format!("A{id},{run}{id},n{run}\n"))
                .collect::<String>()
        };
        let place = Workspace::accounts(
            server,
            &format!("id,score,note,phone\n{rows}"),
            "id,score,note\n",
        );
        place.job("batch_size = 2", KEEP_SCORE);
        bring(&place, &source(1));
        for (change, run) in CHANGES.into_iter().zip(2..) {
            let told = format!("killed behind {change} on {server}");
            place.execute("UPDATE accounts SET score = -1 WHERE id IN ('A2', 'A3')");
            place.file(
                "data/scores.csv",
                &format!("id,score,note\n{}", source(run)),
            );
            let killed = place.command_with(&["run", "job", "--json"], &[(ABORT_AT, change)]);
            assert_eq!(killed.code, -1, "no run was {told}: {killed}");
            let ran = place.run();
            assert_eq!(
                (ran.summary().as_str(), kept(&ran).as_str()),
                ("5 read = 5 updated", "{\"score\":2}"),
                "{told}: {ran}"
            );
            let expected = source(run)
                .replace(&format!("A2,{run}2"), "A2,-1")
                .replace(&format!("A3,{run}3"), "A3,-1");
            assert_eq!(held(&place), expected, "{told}");
            let list = std::fs::read_to_string(place.run_file(ran.run(), "kept.csv"))
                .expect("a file of text");
            assert_eq!(list.lines().count(), 3, "{told}: {list}");
        }
    }
}

/// What one round does to one record, before the run and with it.
#[derive(Debug, Clone)]
struct Step {
    score: Option<Option<i32>>,
    note: Option<Option<i32>>,
    sent: Option<(Option<i32>, Option<i32>)>,
}

#[derive(Debug, Clone)]
struct Round {
    steps: Vec<Step>,
    undo: bool,
}

const RECORDS: usize = 9;

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let value = || prop::option::of(0..3);
    let edit = || prop_oneof![3 => Just(None), 1 => value().prop_map(Some)];
    let sent = prop_oneof![1 => Just(None), 6 => (value(), value()).prop_map(Some)];
    let step = (edit(), edit(), sent).prop_map(|(score, note, sent)| Step { score, note, sent });
    let round = (
        prop::collection::vec(step, RECORDS),
        prop::bool::weighted(0.3),
    );
    prop::collection::vec(round.prop_map(|(steps, undo)| Round { steps, undo }), 4..6)
}

/// What a field held, and what was sent to it.
type Write = (Option<i32>, Option<i32>);

/// A row as a model has it: score and note, and what is known to have been last written into each.
#[derive(Debug, Clone, Default)]
struct Row {
    held: [Option<i32>; 2],
    last: [Option<Option<i32>>; 2],
    /// What the last run wrote, if it did: what was there, and what was sent; each field that it
    /// left alone is `None`.
    image: Option<[Option<Write>; 2]>,
}

impl Row {
    /// Takes what a run sends; tells how many values it keeps.
    fn take(&mut self, sent: [Option<i32>; 2]) -> u64 {
        let is_kept = |field: usize| {
            self.held[field] != sent[field]
                && self.last[field].is_some_and(|last| last != self.held[field])
        };
        let kept = [is_kept(0), is_kept(1)];
        let changes = (0..2).any(|field| !kept[field] && self.held[field] != sent[field]);
        let before = self.held;
        let image = |field: usize| (!kept[field]).then_some((before[field], sent[field]));
        self.image = changes.then(|| [image(0), image(1)]);
        for field in (0..2).filter(|field| !kept[*field]) {
            self.held[field] = sent[field];
            self.last[field] = Some(sent[field]);
        }
        kept.into_iter().map(u64::from).sum()
    }

    fn undo(&mut self) {
        let Some(image) = self.image.take() else {
            return;
        };
        let stands =
            (0..2).all(|field| image[field].is_none_or(|(_, sent)| self.held[field] == sent));
        for field in (0..2).filter(|_| stands) {
            if let Some((before, _)) = image[field] {
                self.held[field] = before;
                self.last[field] = Some(before);
            }
        }
    }
}

fn shown(value: Option<i32>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn literal(value: Option<i32>) -> String {
    value.map_or("NULL".to_owned(), |value| format!("'{value}'"))
}

fn carry_out(server: Server, rounds: &[Round]) {
    let rows: String = (0..RECORDS).map(|id| format!("{id},,\n")).collect();
    let place = Workspace::accounts(server, &format!("id,score,note\n{rows}"), "id,score,note\n");
    place.job("batch_size = 4", KEEP_BOTH);
    let mut model = vec![Row::default(); RECORDS];
    for round in rounds {
        let mut lines = String::new();
        let mut expected_kept = 0;
        for (id, (row, step)) in model.iter_mut().zip(&round.steps).enumerate() {
            for (field, column, edit) in [(0, "score", step.score), (1, "note", step.note)] {
                if let Some(value) = edit {
                    place.execute(&format!(
                        "UPDATE accounts SET {column} = {} WHERE id = '{id}'",
                        literal(value).replace('\'', if field == 0 { "" } else { "'" })
                    ));
                    row.held[field] = value;
                }
            }
            row.image = None;
            if let Some((score, note)) = step.sent {
                lines += &format!("{id},{},{}\n", shown(score), shown(note));
                expected_kept += row.take([score, note]);
            }
        }
        let ran = bring(&place, &lines);
        assert_eq!(ran.code, 0, "on {server}: {ran}");
        let counts = ran.json()["write_backs"][0]["kept"].clone();
        let counted: u64 = ["score", "note"]
            .iter()
            .filter_map(|name| counts[*name].as_u64())
            .sum();
        assert_eq!(counted, expected_kept, "on {server}: {ran}");
        assert_held(&place, &model, &ran);
        if round.undo && model.iter().any(|row| row.image.is_some()) {
            model.iter_mut().for_each(Row::undo);
            let undone = place.command(&["undo", &ran.run().to_string(), "--json"]);
            assert_held(&place, &model, &undone);
        }
    }
}

fn assert_held(place: &Workspace, model: &[Row], ran: &Ran) {
    let line =
        |(id, row): (usize, &Row)| format!("{id},{},{}\n", shown(row.held[0]), shown(row.held[1]));
    let expected: String = model.iter().enumerate().map(line).collect();
    assert_eq!(held(place), expected, "on {}: {ran}", place.server);
}

#[test]
fn random_edits_over_many_runs_leave_what_a_model_says() {
    for server in Server::ALL {
        let config = Config {
            cases: 5,
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(&rounds(), |rounds| {
            carry_out(server, &rounds);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}
