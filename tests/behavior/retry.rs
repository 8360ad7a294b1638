//! Rejected records stay pending until they land, and can be taken again without the others.

use serde_json::Value;

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace, write_back};

const HEADER: &str = "id,score,note,phone\n";

fn place(server: Server, source: &str) -> Workspace {
    let rows: String = (1..=6).map(|id| format!("A{id},1,,\n")).collect();
    Workspace::accounts(server, &format!("{HEADER}{rows}"), source)
}

fn retry(place: &Workspace) -> Ran {
    place.command(&["run", "job", "--only-rejected", "--json"])
}

/// How many records of the job are pending, as `runs` and `status` agree.
fn pending(place: &Workspace) -> u64 {
    let runs = place.command(&["runs", "--json"]).json();
    let status = place.command(&["status", "--json"]).json();
    let of_runs = runs["pending"][0]["records"].as_u64().unwrap_or_default();
    let of_status = status["jobs"][0]["pending"]
        .as_array()
        .expect("an array")
        .iter();
    assert_eq!(
        of_runs,
        of_status
            .map(|one| one["records"].as_u64().expect("a count"))
            .sum::<u64>(),
        "{runs} {status}"
    );
    of_runs
}

fn refuse_scores_above(place: &Workspace, limit: u32) {
    place.execute("DROP TABLE accounts");
    let columns = format!(
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20), \
         CONSTRAINT score_limit CHECK (score < {limit})"
    );
    let rows: String = (1..=6).map(|id| format!("A{id},1,,\n")).collect();
    place.table("accounts", &columns, &format!("{HEADER}{rows}"));
}

#[test]
fn only_what_was_rejected_is_taken_again_at_every_stage() {
    for server in Server::ALL {
        // A2 is rejected by the schema, A3 by the mapping, A4 for its two records, A5 by the
        // database.
        let long = "x".repeat(41);
        let place = place(server, "");
        refuse_scores_above(&place, 100);
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(80)",
            &format!("id,score,note\nA1,2,\nA2,x,\nA3,2,{long}\nA4,2,\nA4,3,\nA5,200,\n"),
        );
        assert_eq!(
            place.run().summary(),
            "6 read = 1 updated + 5 rejected",
            "on {server}"
        );
        assert_eq!(pending(&place), 5, "on {server}");

        // Nothing is better yet; the record that was not rejected has changed and is left out all
        // the same.
        place.file(
            "data/scores.csv",
            &format!("id,score,note\nA1,9,\nA2,x,\nA3,2,{long}\nA4,2,\nA4,3,\nA5,200,\n"),
        );
        let again = retry(&place);
        assert_eq!(again.summary(), "5 read = 5 rejected", "on {server}");
        assert_eq!(
            (again.json()["retry_of"].as_i64(), pending(&place)),
            (Some(1), 5),
            "on {server}"
        );

        place.file(
            "data/scores.csv",
            &format!("id,score,note\nA1,9,\nA2,4,\nA3,2,{long}\nA4,5,\nA5,6,\nA6,7,\n"),
        );
        let again = retry(&place);
        assert_eq!(
            again.summary(),
            "4 read = 3 updated + 1 rejected",
            "on {server}"
        );
        let rows = "id,score,note,phone\nA1,2,,\nA2,4,,\nA3,1,,\nA4,5,,\nA5,6,,\nA6,1,,\n";
        assert_eq!(
            (place.rows("accounts"), pending(&place)),
            (rows.to_owned(), 1),
            "on {server}"
        );

        place.file(
            "data/scores.csv",
            "id,score,note\nA1,9,\nA3,8,short\nA2,x,\n",
        );
        assert_eq!(
            retry(&place).summary(),
            "1 read = 1 updated",
            "on {server}: what landed is not taken again"
        );
        assert_eq!(pending(&place), 0, "on {server}");
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 1 unchanged + 1 rejected",
            "on {server}"
        );
        assert_eq!(
            pending(&place),
            1,
            "a run of all records makes the account anew, on {server}"
        );
    }
}

#[test]
fn a_retry_is_a_run_of_its_own_that_says_of_which_one() {
    let place = place(Server::Sqlite, "id,score,note\nA1,2,\nA2,x,\n");
    assert_eq!(place.run().code, 1);
    place.file("data/scores.csv", "id,score,note\nA1,2,\nA2,2,\n");
    let again = place.command(&["run", "job", "--only-rejected"]);
    assert_eq!(again.code, 0, "{again}");
    assert!(
        again.stdout.starts_with("job  run 2  1 read = 1 updated  "),
        "{again}"
    );
    assert!(again.stdout.ends_with("\nretry of run 1\n"), "{again}");
    let runs = place.command(&["runs"]);
    assert!(runs.stdout.contains("succeeded, retry of 1"), "{runs}");
    assert!(
        place
            .command(&["runs", "2"])
            .stdout
            .contains("retry of  run 1"),
        "{}",
        place.command(&["runs", "2"])
    );
    let run = place.command(&["runs", "2", "--json"]).json();
    assert_eq!(
        (&run["retry_of"], &run["status"]),
        (&Value::from(1), &Value::from("succeeded"))
    );
    let rows = "id,score,note,phone\nA1,2,,\nA2,2,,\nA3,1,,\nA4,1,,\nA5,1,,\nA6,1,,\n";
    assert_eq!(place.rows("accounts"), rows);
}

#[test]
fn without_rejected_records_there_is_nothing_new() {
    for server in Server::ALL {
        let place = place(server, "id,score,note\nA1,2,\n");
        for runs in 0..2 {
            let again = retry(&place);
            assert_eq!(again.summary(), "", "after {runs} runs on {server}");
            assert_eq!(
                again.json()["status"],
                "nothing_new",
                "after {runs} runs on {server}"
            );
            let told = place.command(&["run", "job", "--only-rejected"]).stdout;
            assert_eq!(
                told, "job  nothing new: no rejected record is pending\n",
                "after {runs} runs on {server}"
            );
            assert_eq!(place.run().code, 0, "on {server}");
        }
    }
}

#[test]
fn a_record_whose_key_could_not_be_read_stays_pending_and_is_told() {
    let place = place(Server::Sqlite, "id,score,note\nA1,2,\n,2,\nA2,x,\nA3,2\n");
    assert_eq!(place.run().summary(), "4 read = 1 updated + 3 rejected");
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,3,\n,2,\nA2,2,\nA3,2,\n",
    );
    let told = place.command(&["run", "job", "--only-rejected"]);
    assert!(told.stdout.contains("1 read = 1 updated"), "{told}");
    let line = "job: 2 rejected records are still pending, 2 without a key; only a run of all records, `writeback run job`, takes those\n";
    assert!(told.stdout.ends_with(line), "{told}");
    let told = place.command(&["run", "job", "--only-rejected"]);
    assert_eq!(
        (told.code, told.stdout),
        (
            0,
            format!("job  nothing new: no pending record has a key\n{line}")
        )
    );
    assert!(place.command(&["runs"]).stdout.ends_with(line));
}

#[test]
fn a_record_that_the_source_no_longer_has_stays_pending_until_all_are_taken() {
    let place = place(Server::Sqlite, "id,score,note\nA1,2,\nA2,x,\n");
    assert_eq!(place.run().code, 1);
    place.file("data/scores.csv", "id,score,note\nA1,3,\n");
    assert_eq!(
        retry(&place).summary(),
        "0 read",
        "an empty answer is an answer: no guard stops it"
    );
    assert_eq!(pending(&place), 1);
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert_eq!(pending(&place), 0);
}

#[test]
fn a_key_that_an_earlier_report_spelled_otherwise_is_taken_again() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table(
            "accounts",
            "id INTEGER PRIMARY KEY, score INTEGER",
            "id,score\n7,1\n8,1\n",
        );
        place.scores(
            "id INTEGER PRIMARY KEY, score INTEGER",
            "id,score\n007,x\n8,2\n",
        );
        place.job("", "id = 'id'\nscore = 'score'");
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 rejected",
            "on {server}"
        );
        assert!(
            place.rejected(1).starts_with("scores,1,007,schema,score,"),
            "on {server}: {}",
            place.rejected(1)
        );
        place.file("data/scores.csv", "id,score\n007,5\n8,9\n");
        assert_eq!(retry(&place).summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(
            place.rows("accounts"),
            "id,score\n7,5\n8,2\n",
            "on {server}"
        );
    }
}

#[test]
fn each_write_back_has_its_own_pending_records() {
    for server in Server::ALL {
        let place = place(server, "id,score,note\nA1,2,\nA2,x,\n");
        place.table(
            "others",
            "id VARCHAR(18) PRIMARY KEY, score INTEGER",
            "id,score\nA1,1\nA2,1\n",
        );
        let scores = write_back("scores", "accounts", "", FIELDS);
        let others = write_back(
            "others",
            "others",
            "schema = 'sql/scores.sql'\nignore = ['note']",
            "id = 'id'\nscore = 'score'",
        );
        place.file("schedules/job.toml", &(scores + &others));
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 rejected\n2 read = 1 updated + 1 rejected",
            "on {server}"
        );
        place.file("data/scores.csv", "id,score,note\nA1,3,\nA2,2,\n");
        let one = place.command(&[
            "run",
            "job",
            "--write-back",
            "others",
            "--only-rejected",
            "--json",
        ]);
        assert_eq!(one.summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(pending(&place), 1, "on {server}");
        let rest = retry(&place);
        assert_eq!(rest.summary(), "1 read = 1 updated", "on {server}");
        assert_eq!(
            rest.json()["write_backs"][0]["name"],
            "scores",
            "on {server}"
        );
        assert_eq!(
            place.rows("others"),
            "id,score\nA1,2\nA2,2\n",
            "on {server}"
        );
    }
}

#[test]
fn guards_that_count_judge_a_retry_and_those_that_share_do_not() {
    let place = place(Server::Sqlite, "id,score,note\nA1,x,\nA2,x,\nA3,1,\n");
    assert_eq!(place.run().summary(), "3 read = 1 unchanged + 2 rejected");
    place.file("data/scores.csv", "id,score,note\nA1,2,\nA2,x,\nA3,1,\n");
    place.job(
        "min_read = 3\nmax_changed = '10 %'\nmax_rejected = '10 %'\nmax_nulls = '0 %'",
        FIELDS,
    );
    assert_eq!(retry(&place).summary(), "2 read = 1 updated + 1 rejected");
    place.file("data/scores.csv", "id,score,note\nA1,2,\nA2,5,\nA3,1,\n");
    place.job("max_changed = 0", FIELDS);
    let stopped = place.command(&["run", "job", "--only-rejected"]);
    assert_eq!(stopped.code, 3, "{stopped}");
    assert!(
        stopped
            .stdout
            .contains("`writeback run job --only-rejected --approve` lets it go ahead"),
        "{stopped}"
    );
    assert_eq!(
        place.command(&["run", "job", "--approve"]).code,
        2,
        "a run of all records was not stopped"
    );
    let approved = place.command(&["run", "job", "--only-rejected", "--approve", "--json"]);
    assert_eq!(approved.summary(), "1 read = 1 updated");
    assert_eq!(pending(&place), 0);
}

#[test]
fn a_retry_waits_for_a_run_of_all_records_that_is_not_done() {
    let place = place(Server::Sqlite, "id,score,note\nA1,x,\nA2,2,\n");
    assert_eq!(place.run().code, 1);
    place
        .job("max_changed = 0", FIELDS)
        .file("data/scores.csv", "id,score,note\nA1,2,\nA2,3,\n");
    assert_eq!(place.run().code, 3);
    let refused = place.command(&["run", "job", "--only-rejected"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .stderr
            .contains("run 2 of job `job` is not done: what it rejects is not known yet"),
        "{refused}"
    );
    assert!(
        refused
            .stderr
            .contains("hint: `writeback run job` comes first"),
        "{refused}"
    );
    assert_eq!(
        place
            .command(&["run", "job", "--approve", "--json"])
            .summary(),
        "2 read = 2 updated"
    );
    assert_eq!(pending(&place), 0);
}

#[test]
fn a_retry_does_not_deliver_a_cycle() {
    let place = place(Server::Sqlite, "id,score,note\nA1,2,\nA2,x,\n");
    place.file(
        "writeback.toml",
        &(place.connection("files")
            + &place.connection("crm")
            + "[dashboards.health]\nannounced = true\n"),
    );
    let job = format!(
        "[cadence]\ndashboard = 'health'\n\n{}",
        write_back("scores", "accounts", "", FIELDS)
    );
    place.file("schedules/job.toml", &job);
    let announce = |id: &str, at: &str| {
        let announced = place.command(&["cycle", "health", "--id", id, "--completed-at", at]);
        assert_eq!(announced.code, 0, "{announced}");
    };
    let due = || place.command(&["status", "--json"]).json()["jobs"][0]["due_cycle"].clone();
    announce("c1", "2026-11-01T06:00:00Z");
    assert_eq!(place.run().code, 1);
    assert_eq!(due(), Value::Null);
    announce("c2", "2026-11-08T06:00:00Z");
    assert_eq!(due(), "c2");
    place.file("data/scores.csv", "id,score,note\nA1,3,\nA2,3,\n");
    let again = retry(&place);
    assert_eq!(
        (again.summary(), again.json()["cycle"].clone()),
        ("1 read = 1 updated".to_owned(), Value::from("c2"))
    );
    assert_eq!(due(), "c2", "the others are still owed");
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 unchanged");
    assert_eq!(due(), Value::Null);
}

#[test]
fn a_retry_that_was_killed_is_taken_up_where_it_stood() {
    let changes = [
        "record a run in",
        "record retried records in",
        "a batch committed",
        "finish a write-back in",
    ];
    for server in Server::ALL {
        for change in changes {
            let place = place(server, "");
            refuse_scores_above(&place, 100);
            place.scores(SCORES, "id,score,note\nA1,2,\nA2,200,\nA3,200,\nA4,x,\n");
            assert_eq!(
                place.run().summary(),
                "4 read = 1 updated + 3 rejected",
                "on {server}"
            );
            place.file(
                "data/scores.csv",
                "id,score,note\nA1,9,\nA2,50,\nA3,200,\nA4,60,\n",
            );
            let at = [("WRITEBACK_ABORT_AT", &*format!("1 {change}"))];
            let killed = place.command_with(&["run", "job", "--only-rejected"], &at);
            assert!(
                killed.stderr.contains(&format!("dies here: {change}")),
                "on {server}: {killed}"
            );
            let again = retry(&place);
            assert_eq!(
                (again.run(), again.summary()),
                (2, "3 read = 2 updated + 1 rejected".to_owned()),
                "{change}"
            );
            assert_eq!(pending(&place), 1, "{change} on {server}");
            let rows = "id,score,note,phone\nA1,2,,\nA2,50,,\nA3,1,,\nA4,60,,\nA5,1,,\nA6,1,,\n";
            assert_eq!(place.rows("accounts"), rows, "{change} on {server}");
        }
    }
}

#[test]
fn a_run_of_all_records_goes_before_a_retry_that_was_cut_off_and_the_other_way_round() {
    let place = place(Server::Sqlite, "id,score,note\nA1,2,\nA2,x,\n");
    assert_eq!(place.run().code, 1);
    place.file("data/scores.csv", "id,score,note\nA1,3,\nA2,3,\n");
    let kill = |arguments: &[&str]| {
        let killed = place.command_with(
            arguments,
            &[("WRITEBACK_ABORT_AT", "1 a transaction begun")],
        );
        assert!(killed.stderr.contains("dies here"), "{killed}");
    };
    kill(&["run", "job", "--only-rejected"]);
    let all = place.run();
    assert_eq!(
        (all.run(), all.summary()),
        (3, "2 read = 2 updated".to_owned())
    );
    assert!(
        all.stderr.contains("all records are taken instead"),
        "{all}"
    );
    place.file("data/scores.csv", "id,score,note\nA1,4,\nA2,y,\n");
    kill(&["run", "job"]);
    let refused = place.command(&["run", "job", "--only-rejected"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("run 4 of job `job` is not done"),
        "{refused}"
    );
    let all = place.run();
    assert_eq!(
        (all.run(), all.summary()),
        (4, "2 read = 1 updated + 1 rejected".to_owned())
    );
}
