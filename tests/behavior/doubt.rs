//! Batches in doubt: sent, and not known to be committed. They may be written, and everything takes
//! them so: they can be taken back, they count, and what they wrote is not written a second time,
//! whoever changed it since.

use crate::harness::{AGAIN, Act, At, FIELDS, Fault, Proxy, Ran, Server, WRITER, Workspace};
use crate::journal_tables::with_journal;

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

/// The destination has committed, and nobody here knows.
const LANDED: &str = "1 a batch committed";
/// The batch is recorded as sent, and the destination was not asked to commit.
const NOT_LANDED: &str = "1 record a batch in";

const ROWS: &str = "id,score,note,phone\nA1,1,x,555\nA2,2,same,\nA3,3,\"\",\n";
const SOURCE: &str = "id,score,note\nA1,10,y\nA2,2,same\nA3,30,z\n";
const AFTER: &str = "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,30,z,\n";

const MOMENTS: [&str; 2] = [LANDED, NOT_LANDED];

fn place(server: Server) -> Workspace {
    Workspace::accounts(server, ROWS, SOURCE)
}

fn kill(place: &Workspace, arguments: &[&str], moment: &str) {
    let killed = place.command_with(arguments, &[(ABORT_AT, moment)]);
    assert_eq!(killed.code, -1, "on {}: {killed}", place.server);
}

fn kill_run(place: &Workspace, moment: &str) {
    kill(place, &["run", "job", "--json"], moment);
    let rows = if moment == LANDED { AFTER } else { ROWS };
    if place.text("data/scores.csv") == SOURCE {
        assert_eq!(place.rows("accounts"), rows, "{moment} on {}", place.server);
    }
}

fn undo(place: &Workspace, arguments: &[&str]) -> Ran {
    let all: Vec<&str> = ["undo", "1", "--json"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let undone = place.command(&all);
    assert_eq!(undone.code, 0, "on {}: {undone}", place.server);
    undone
}

/// Lets the destination alter every note that is written.
fn alter_notes(place: &Workspace) {
    place.shout("alter_updated", "UPDATE");
    place.shout("alter_inserted", "INSERT");
}

#[test]
fn what_a_killed_run_had_sent_is_taken_back_wherever_it_was_killed() {
    for server in Server::ALL {
        for moment in MOMENTS {
            let place = place(server);
            kill_run(&place, moment);
            let foreseen = undo(&place, &["--preview"]);
            let undone = undo(&place, &[]);
            assert_eq!(
                place.rows("accounts"),
                ROWS,
                "{moment} on {server}: {undone}"
            );
            let expected = match (moment, server) {
                (LANDED, _) => "2 read = 2 updated",
                // The server tells that its transaction was rolled back.
                (_, Server::Postgres) => "0 read",
                (_, Server::Sqlite | Server::MariaDb) => "2 read = 2 unchanged",
            };
            assert_eq!(
                (foreseen.summary().as_str(), undone.summary().as_str()),
                (expected, expected),
                "on {server}"
            );
        }
    }
}

#[test]
fn a_killed_run_that_was_left_behind_can_still_be_taken_back() {
    for server in Server::ALL {
        for moment in MOMENTS {
            let place = place(server);
            kill_run(&place, moment);
            // The edited job does not take it up.
            place
                .job("batch_size = 7", FIELDS)
                .file("data/scores.csv", "id,score,note\nA2,22,other\n");
            let next = place.run();
            assert_eq!(
                (next.run(), next.summary().as_str()),
                (2, "1 read = 1 updated"),
                "{moment} on {server}: {next}"
            );
            place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A3'");
            undo(&place, &[]);
            let kept = if moment == LANDED {
                "A3,30,mine,"
            } else {
                "A3,3,mine,"
            };
            let rows = format!("id,score,note,phone\nA1,1,x,555\nA2,22,other,\n{kept}\n");
            assert_eq!(place.rows("accounts"), rows, "{moment} on {server}");
        }
    }
}

#[test]
fn verify_takes_what_was_sent_for_perhaps_written() {
    for server in Server::ALL {
        for moment in MOMENTS {
            let place = place(server);
            kill_run(&place, moment);
            let verified = place.command(&["verify", "job", "--json"]);
            let found = &verified.json()["write_backs"][0];
            assert_eq!(found["drifted"], 0, "{moment} on {server}: {verified}");
            let compared = if moment == LANDED { 2 } else { 0 };
            assert_eq!(
                found["compared"], compared,
                "{moment} on {server}: {verified}"
            );
            place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A1'");
            let verified = place.command(&["verify", "job", "--json"]);
            // What no longer holds what was there before was written, or changed by somebody; the
            // server may know better.
            let drifted = if (moment, server) == (NOT_LANDED, Server::Postgres) {
                0
            } else {
                1
            };
            assert_eq!(
                verified.json()["write_backs"][0]["drifted"],
                drifted,
                "{moment} on {server}: {verified}"
            );
        }
    }
}

#[test]
fn history_and_counts_know_of_batches_in_doubt() {
    for server in Server::ALL {
        let place = place(server);
        kill_run(&place, LANDED);
        let runs = place.command(&["runs", "--json"]).json();
        let write_back = &runs["runs"][0]["write_backs"][0];
        let counts = ["updated", "unchanged", "in_doubt"].map(|name| write_back[name].as_u64());
        assert_eq!(counts, [Some(2), Some(1), Some(2)], "on {server}: {runs}");
        let told = place.command(&["runs", "1"]).stdout;
        assert!(
            told.contains("2 records are in doubt: they were sent, and count as written"),
            "on {server}: {told}"
        );
        assert!(told.contains("  in doubt  "), "on {server}: {told}");
        let history = place.command(&["history", "scores", "--record", "A1", "--json"]);
        let entry = &history.json()["entries"][0];
        assert_eq!(
            (&entry["in_doubt"], &entry["run"]),
            (&true.into(), &1.into()),
            "on {server}: {history}"
        );
        let told = place
            .command(&["history", "scores", "--record", "A1"])
            .stdout;
        assert!(told.contains("run 1, in doubt"), "on {server}: {told}");
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}"
        );
        let told = place.command(&["runs", "1"]).stdout;
        assert!(!told.contains("in doubt"), "on {server}: {told}");
        let told = place
            .command(&["history", "scores", "--record", "A1"])
            .stdout;
        assert!(!told.contains("in doubt"), "on {server}: {told}");
    }
}

#[test]
fn history_blames_nobody_for_what_was_sent_and_never_written() {
    for server in Server::ALL {
        let place = place(server);
        kill_run(&place, NOT_LANDED);
        place.job("batch_size = 7", FIELDS);
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}"
        );
        let history = place
            .command(&["history", "scores", "--record", "A1", "--json"])
            .json();
        let entries = history["entries"].as_array().expect("entries");
        let by: Vec<_> = entries
            .iter()
            .map(|entry| entry["by"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(by, ["run", "run"], "on {server}: {history}");
    }
}

/// Kills a run whose batch has landed, lets `meanwhile` happen, and has the next run go on.
fn resume(place: &Workspace, meanwhile: &str) -> Ran {
    kill(place, &["run", "job", "--json"], LANDED);
    place.execute(meanwhile);
    place.run()
}

const NOTHING: &str = "UPDATE accounts SET phone = phone WHERE id = 'none'";

#[test]
fn what_a_trigger_altered_is_not_written_twice() {
    for server in Server::ALL {
        for keeps in [true, false] {
            let place = place(server);
            place.job(&format!("keep_before_images = {keeps}"), FIELDS);
            alter_notes(&place);
            let written = "id,score,note,phone\nA1,10,Y,555\nA2,2,same,\nA3,30,Z,\n";
            kill(&place, &["run", "job", "--json"], LANDED);
            assert_eq!(place.rows("accounts"), written, "on {server}");
            place.count_writes("accounts");
            let ran = place.run();
            assert_eq!(
                (ran.run(), ran.summary().as_str()),
                (1, "3 read = 2 updated + 1 unchanged"),
                "on {server}: {ran}"
            );
            assert_eq!(
                (place.writes(), place.rows("accounts").as_str()),
                (0, written),
                "on {server}: {ran}"
            );
            let folder = place.path(".writeback/runs/1/scores/before");
            assert_eq!(
                folder.exists(),
                keeps,
                "before-images outlive their doubt only where they are kept, on {server}"
            );
            if keeps {
                let undone = undo(&place, &["--even-changed"]);
                assert_eq!(
                    undone.summary(),
                    "2 read = 2 updated",
                    "on {server}: {undone}"
                );
                let scores = "id,score,phone\nA1,1,555\nA2,2,\nA3,3,\n";
                assert_eq!(
                    place.query("SELECT id, score, phone FROM accounts"),
                    scores,
                    "on {server}"
                );
            } else {
                let refused = place.command(&["undo", "1"]);
                assert!(
                    refused.stderr.contains("they were not kept"),
                    "on {server}: {refused}"
                );
            }
        }
    }
}

#[test]
fn a_lost_answer_to_a_commit_writes_nothing_twice_though_a_trigger_alters_it() {
    std::thread::scope(|scope| {
        for server in Server::WITH_USERS {
            for mode in ["update_only", "upsert", "create_only"] {
                for journals in [false, true] {
                    scope.spawn(move || lose_an_answer(server, mode, journals));
                }
            }
        }
    });
}

fn lose_an_answer(server: Server, mode: &str, journals: bool) {
    let told = format!("{mode} on {server}, journal: {journals}");
    let place = Workspace::accounts(server, ROWS, &format!("{SOURCE}N1,9,new\n"));
    let settings = format!("matching = '{mode}'");
    place.job(&settings, FIELDS);
    if journals {
        with_journal(&place, &settings);
    }
    let crm = format!("{}\nwriters = 1\n", place.connection("crm").trim_end());
    place.file("writeback.toml", &(place.connection("files") + &crm));
    let proxy = Proxy::before(&place);
    alter_notes(&place);
    place.count_writes("accounts");
    let lost = At::Answered {
        words: "COMMIT",
        nth: 0,
    };
    proxy.arm(vec![Fault {
        connection: Some(WRITER),
        at: lost,
        act: Act::Cut,
    }]);
    let ran = place.run();
    assert_eq!(proxy.met(), 1, "{told}: {ran}");
    assert!(ran.stderr.contains(AGAIN), "{told}: {ran}");
    let (summary, writes, values) = match mode {
        "update_only" => ("4 read = 2 updated + 1 unchanged + 1 skipped", 2, 4),
        "upsert" => ("4 read = 1 inserted + 2 updated + 1 unchanged", 3, 6),
        _ => ("4 read = 1 inserted + 3 skipped", 1, 2),
    };
    assert_eq!(ran.summary(), summary, "{told}: {ran}");
    assert_eq!(place.writes(), writes, "{told}");
    if journals {
        let rows = place.query("SELECT count(*) AS n FROM journal");
        assert_eq!(rows, format!("n\n{values}\n"), "{told}");
    }
    proxy.arm(Vec::new());
    let undone = undo(&place, &["--even-changed", "--delete-created"]);
    let scores = place.query("SELECT id, score FROM accounts WHERE id < 'B'");
    assert_eq!(scores, "id,score\nA1,1\nA2,2\nA3,3\n", "{told}: {undone}");
    // Where nothing vouches for it, a created row might be somebody else's.
    let is_vouched_for = server == Server::Postgres || journals;
    let is_left = place
        .query("SELECT id FROM accounts WHERE id = 'N1'")
        .contains("N1");
    assert_eq!(
        is_left,
        mode != "update_only" && !is_vouched_for,
        "{told}: {undone}"
    );
}

#[test]
fn an_edit_made_after_a_killed_run_had_committed_is_not_overwritten_by_the_next() {
    for server in Server::ALL {
        let place = place(server);
        let edits = "UPDATE accounts SET score = 99 WHERE id = 'A1'; UPDATE accounts SET note = 'mine' WHERE id = 'A2'";
        let ran = resume(&place, edits);
        assert_eq!(
            ran.summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}: {ran}"
        );
        let rows = "id,score,note,phone\nA1,99,y,555\nA2,2,mine,\nA3,30,z,\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        let undone = undo(&place, &[]);
        assert_eq!(
            undone.summary(),
            "2 read = 1 updated + 1 skipped",
            "on {server}: {undone}"
        );
        let rows = "id,score,note,phone\nA1,99,y,555\nA2,2,mine,\nA3,3,\"\",\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn a_row_that_was_deleted_after_a_killed_run_had_committed_is_not_made_again() {
    for server in Server::ALL {
        let place = place(server);
        place.job("matching = 'upsert'", FIELDS);
        let ran = resume(&place, "DELETE FROM accounts WHERE id = 'A1'");
        assert_eq!(
            ran.summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}: {ran}"
        );
        assert!(!place.rows("accounts").contains("A1"), "on {server}");
    }
}

#[test]
fn an_interrupted_plan_and_an_interrupted_undo_leave_what_was_edited_since() {
    for server in Server::ALL {
        let place = place(server);
        let planned = place.command(&["preview", "job", "--out", "job.plan"]);
        assert_eq!(planned.code, 0, "on {server}: {planned}");
        let plan = ["run", "job", "--plan", "job.plan", "--json"];
        kill(&place, &plan, LANDED);
        place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
        let ran = place.command(&plan);
        assert_eq!(
            (ran.run(), ran.json()["write_backs"][0]["updated"].as_u64()),
            (1, Some(2)),
            "on {server}: {ran}"
        );
        assert!(
            place.rows("accounts").contains("A1,99,y,555\n"),
            "on {server}"
        );
        place.execute("UPDATE accounts SET score = 10 WHERE id = 'A1'");
        kill(&place, &["undo", "1", "--json"], LANDED);
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
        place.execute("UPDATE accounts SET score = 11, note = 'y' WHERE id = 'A1'");
        let undone = undo(&place, &[]);
        assert_eq!(
            undone.summary(),
            "2 read = 2 updated",
            "it was taken back before that, on {server}: {undone}"
        );
        assert!(
            place.rows("accounts").contains("A1,11,y,555\n"),
            "on {server}: {undone}"
        );
    }
}

#[test]
fn a_row_that_somebody_made_while_a_batch_was_in_doubt_is_never_deleted() {
    for server in Server::ALL {
        for mode in ["upsert", "create_only"] {
            let place = Workspace::accounts(server, ROWS, "id,score,note\nN1,9,new\n");
            place.job(&format!("matching = '{mode}'"), FIELDS);
            kill(&place, &["run", "job", "--json"], NOT_LANDED);
            place.execute("INSERT INTO accounts (id, score, note) VALUES ('N1', 9, 'new')");
            let before = place.rows("accounts");
            let ran = place.run();
            assert_eq!(
                (ran.code, place.rows("accounts")),
                (0, before.clone()),
                "{mode} on {server}: {ran}"
            );
            let undone = place.command(&["undo", "1", "--delete-created"]);
            assert_eq!(
                place.rows("accounts"),
                before,
                "{mode} on {server}: {undone}"
            );
            let told = "kept: it is not known whether the run made this row";
            // The server tells that the run did not.
            assert_eq!(
                undone.stdout.contains(told),
                server != Server::Postgres,
                "{mode} on {server}: {undone}"
            );
        }
    }
}

#[test]
fn a_row_that_a_killed_run_made_is_deleted_where_something_vouches_for_it() {
    for server in Server::ALL {
        for journals in [false, true] {
            let place = Workspace::accounts(server, ROWS, "id,score,note\nN1,9,new\n");
            place.job("matching = 'upsert'", FIELDS);
            if journals {
                with_journal(&place, "matching = 'upsert'");
            }
            kill(&place, &["run", "job", "--json"], LANDED);
            let undone = undo(&place, &["--delete-created"]);
            let is_vouched_for = server == Server::Postgres || journals;
            let summary = if is_vouched_for {
                "1 read = 1 deleted"
            } else {
                "1 read = 1 skipped"
            };
            assert_eq!(
                undone.summary(),
                summary,
                "journal: {journals} on {server}: {undone}"
            );
            assert_eq!(
                place.rows("accounts") == ROWS,
                is_vouched_for,
                "journal: {journals} on {server}"
            );
        }
    }
}

#[test]
fn a_server_that_was_restarted_since_is_not_believed_and_still_nothing_is_written_twice() {
    let place = Workspace::on_its_own(Server::Postgres).with_accounts(ROWS, SOURCE);
    alter_notes(&place);
    kill(&place, &["run", "job", "--json"], LANDED);
    place.restart_server();
    place.count_writes("accounts");
    let ran = place.run();
    assert_eq!(
        (ran.run(), ran.summary().as_str()),
        (1, "3 read = 2 updated + 1 unchanged"),
        "{ran}"
    );
    assert_eq!(place.writes(), 0, "{ran}");
}

#[test]
fn a_record_that_is_refused_while_others_of_its_batch_are_written_costs_no_other() {
    for server in Server::ALL {
        let rows: String = (1..9).map(|id| format!("A{id},{id},,\n")).collect();
        let source: String = (1..9).map(|id| format!("A{id},1{id},new\n")).collect();
        let place = Workspace::accounts(
            server,
            &format!("id,score,note,phone\n{rows}"),
            &format!("id,score,note\n{source}"),
        );
        kill(&place, &["run", "job", "--json"], LANDED);
        // Somebody takes some back and has others refused. A server that knows of the commit writes
        // none of them again.
        place.execute("UPDATE accounts SET score = score - 10, note = NULL WHERE id < 'A6'");
        place.forbid("refuse", "accounts", "score", "= 13");
        let ran = place.run();
        let (summary, score) = if server == Server::Postgres {
            ("8 read = 8 updated", 4)
        } else {
            ("8 read = 7 updated + 1 rejected", 14)
        };
        assert_eq!(ran.summary(), summary, "on {server}: {ran}");
        let left = place.query("SELECT id, score FROM accounts WHERE id IN ('A3', 'A4', 'A6')");
        assert_eq!(
            left,
            format!("id,score\nA3,3\nA4,{score}\nA6,16\n"),
            "on {server}"
        );
    }
}

#[test]
fn a_value_that_somebody_changed_after_a_batch_in_doubt_is_kept() {
    for server in Server::ALL {
        for moment in MOMENTS {
            let place = place(server);
            let keep =
                "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\nnote = 'note'";
            place.job("", keep);
            kill_run(&place, moment);
            place
                .job("batch_size = 7", keep)
                .file("data/scores.csv", "id,score,note\nA1,11,y\nA3,31,z\n");
            if moment == LANDED {
                place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
            }
            let ran = place.run();
            let scores = if moment == LANDED {
                "A1,99\nA3,31\n"
            } else {
                "A1,11\nA3,31\n"
            };
            let held = place.query("SELECT id, score FROM accounts WHERE id <> 'A2'");
            assert_eq!(
                held,
                format!("id,score\n{scores}"),
                "{moment} on {server}: {ran}"
            );
        }
    }
}

#[test]
fn a_resumed_run_without_an_edit_leaves_what_one_run_leaves() {
    for server in Server::ALL {
        let place = place(server);
        let ran = resume(&place, NOTHING);
        assert_eq!(
            (ran.run(), ran.summary().as_str()),
            (1, "3 read = 2 updated + 1 unchanged"),
            "on {server}: {ran}"
        );
        assert_eq!(
            undo(&place, &[]).summary(),
            "2 read = 2 updated",
            "on {server}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "on {server}");
    }
}
