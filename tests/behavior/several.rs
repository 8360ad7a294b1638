//! A write-back may have several destinations: what it reads is read once, and each destination has
//! outcomes of its own; one that fails neither keeps the others from their records nor has them
//! written twice.

use crate::harness::{Ran, SCORES, Server, Workspace};

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,,\n";
const SOURCE: &str = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\n";

const JOB: &str = "[[write_back]]
name = 'scores'
schema = 'sql/scores.sql'
source = 'files'
batch_size = 1

[[write_back.to]]
destination = 'hub'
table = 'companies'
ignore = ['note']
fields = { key = 'id', points = 'score' }

[[write_back.to]]
destination = 'crm'
table = 'accounts'
matching = 'upsert'

[write_back.to.fields]
id = 'id'
score = 'score'
note = 'note'
";

/// A project with a second destination, the file `hub.db`.
fn place(server: Server) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    with_hub(&place);
    place.file("schedules/job.toml", JOB);
    place
}

fn with_hub(place: &Workspace) {
    let settings = "kind = 'sqlite'\nfile = 'hub.db'\nattempts_max = 1\nlock_timeout = '200ms'\n";
    place.file(
        "writeback.toml",
        &format!(
            "{}\n[connections.hub]\n{settings}",
            place.text("writeback.toml")
        ),
    );
    place.execute_file(
        "hub.db",
        "PRAGMA journal_mode = WAL; CREATE TABLE companies (key TEXT PRIMARY KEY, points INTEGER);
         INSERT INTO companies VALUES ('A1', 0), ('A2', 0)",
    );
}

fn companies(place: &Workspace) -> String {
    place.query_file("hub.db", "SELECT key, points FROM companies")
}

/// `scores@hub 3 read = …`, a line for each destination.
fn summaries(ran: &Ran) -> Vec<String> {
    let names = ran.json()["write_backs"]
        .as_array()
        .map_or(Vec::new(), |all| {
            let names = all.iter().filter_map(|one| one["name"].as_str());
            names.map(str::to_owned).collect::<Vec<_>>()
        });
    let lines = names
        .iter()
        .zip(ran.summary().lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|(name, line)| format!("{name} {line}")).collect()
}

#[test]
fn each_destination_has_outcomes_of_its_own() {
    for server in Server::ALL {
        let place = place(server);
        let ran = place.run();
        assert_eq!(
            summaries(&ran),
            [
                "scores@hub 3 read = 2 updated + 1 skipped",
                "scores@crm 3 read = 1 inserted + 2 updated"
            ],
            "on {server}: {ran}"
        );
        assert_eq!(
            companies(&place),
            "key,points\nA1,10\nA2,20\n",
            "on {server}"
        );
        let accounts = place.query("SELECT id, score, note FROM accounts");
        assert_eq!(
            accounts, "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\n",
            "on {server}"
        );
        let foreseen = place.command(&["preview", "job", "--json"]);
        let told = &foreseen.json()["write_backs"];
        assert_eq!(
            (
                &told[0]["name"],
                &told[0]["unchanged"],
                &told[1]["unchanged"]
            ),
            (&"scores@hub".into(), &2.into(), &3.into()),
            "on {server}: {foreseen}"
        );
        let history = place.command(&["runs", "1"]);
        for name in ["scores@hub", "scores@crm"] {
            assert!(history.stdout.contains(name), "on {server}: {history}");
        }
    }
}

#[test]
fn what_is_read_is_read_once() {
    let place = Workspace::on(Server::Sqlite);
    with_hub(&place);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, score INTEGER",
        "id,score\nA1,1\nA2,2\n",
    );
    // Whoever reads it twice sees two things.
    place.file(
        "sql/scores.sql",
        "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER);
         SELECT id, abs(random()) % 1000000 AS score FROM accounts;\n",
    );
    let job = JOB.replace("source = 'files'", "source = 'crm'");
    let job = job
        .replace("ignore = ['note']\n", "")
        .replace("note = 'note'\n", "");
    place.file("schedules/job.toml", &job);
    let ran = place.run();
    assert_eq!(ran.code, 0, "{ran}");
    let [scores, points] = [place.query("SELECT score FROM accounts"), companies(&place)];
    let points: Vec<&str> = points
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(1))
        .collect();
    let mut scores: Vec<&str> = scores.lines().skip(1).collect();
    let mut points = points;
    scores.sort_unstable();
    points.sort_unstable();
    assert_eq!(scores, points, "{ran}");
    assert_eq!(points.len(), 2);
}

#[test]
fn answers_to_questions_reach_every_destination() {
    let place = place(Server::Sqlite);
    place.execute_file("hub.db", "ALTER TABLE companies ADD COLUMN word TEXT");
    place.file(
        "sql/answers.sql",
        "CREATE TABLE answers (id VARCHAR(18), question_id VARCHAR(20), answer TEXT,
            PRIMARY KEY (id, question_id));",
    );
    place.file(
        "data/answers.csv",
        "id,question_id,answer\nA1,why,late\nA2,why,lost\nA2,who,nobody\n",
    );
    let asked = "{ question = 'why', unanswered = 'skip' }";
    let job = JOB
        .replace(
            "source =",
            "questions = 'sql/answers.sql'\nnulls = 'keep'\nignore = ['note']\nsource =",
        )
        .replace("ignore = ['note']\nfields", "fields")
        .replace(
            "points = 'score' }",
            &format!("points = 'score', word = {asked} }}"),
        )
        .replace("note = 'note'\n", &format!("note = {asked}\n"));
    place.file("schedules/job.toml", &job);
    let ran = place.run();
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(
        place.query_file("hub.db", "SELECT key, word FROM companies"),
        "key,word\nA1,late\nA2,lost\n",
        "{ran}"
    );
    assert_eq!(
        place.query("SELECT id, note FROM accounts WHERE id <> 'A3'"),
        "id,note\nA1,late\nA2,lost\n",
        "{ran}"
    );
}

#[test]
fn one_that_fails_keeps_no_other_from_its_records_and_has_none_written_twice() {
    let place = place(Server::Sqlite);
    place.count_writes("accounts");
    // The hub is read and not written, as somebody else writes it.
    let hub = place.client_of_file("hub.db");
    assert!(hub.tries("BEGIN IMMEDIATE"));
    let ran = place.run();
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr.contains("could not write `scores@hub` to `hub`"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("the next run goes on where it stood"),
        "{ran}"
    );
    assert_eq!(place.writes(), 3, "the other destination has its records");
    assert_eq!(companies(&place), "key,points\nA1,0\nA2,0\n");
    assert!(hub.tries("ROLLBACK"));
    // What is read by now is not what the run read.
    place.file("data/scores.csv", "id,score,note\nA1,99,z\n");
    let again = place.run();
    assert_eq!(again.run(), 1, "{again}");
    assert_eq!(companies(&place), "key,points\nA1,10\nA2,20\n", "{again}");
    assert_eq!(place.writes(), 0, "nothing is written twice");
}

#[test]
fn one_that_is_not_there_is_told_after_the_others_have_their_records() {
    let place = place(Server::Sqlite);
    std::fs::remove_file(place.path("hub.db")).expect("a file");
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    let ran = place.run();
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("hub.db"), "{ran}");
    let written = place.query("SELECT id, score FROM accounts");
    assert_eq!(written, "id,score\nA1,10\nA2,20\nA3,30\n");
    place.execute_file(
        "hub.db",
        "CREATE TABLE companies (key TEXT PRIMARY KEY, points INTEGER); INSERT INTO companies VALUES ('A1', 0)",
    );
    let ran = place.run();
    assert_eq!(
        summaries(&ran),
        [
            "scores@hub 3 read = 1 updated + 2 skipped",
            "scores@crm 3 read = 3 unchanged"
        ],
        "{ran}"
    );
    std::fs::remove_file(place.path("hub.db")).expect("a file");
    std::fs::remove_file(place.path("crm.db")).expect("a file");
    let none = place.run();
    assert_eq!(none.code, 2, "{none}");
    assert!(none.stderr.contains("has 2 problems"), "{none}");
}

/// Whether owners of the hub can be read: at first they cannot, though they are there.
const OWNERS: &str = "ALTER TABLE companies ADD COLUMN owner INTEGER REFERENCES owners (id);
    CREATE TABLE owners (id INTEGER PRIMARY KEY, n INTEGER, address TEXT);
    INSERT INTO owners VALUES (7, -9223372036854775808, 'a');
    ALTER TABLE owners ADD COLUMN email TEXT
        GENERATED ALWAYS AS (CASE WHEN n < 0 THEN abs(n) ELSE address END) VIRTUAL";

#[test]
fn references_that_cannot_be_looked_up_at_one_destination_keep_no_other_from_its_records() {
    let place = place(Server::Sqlite);
    place.execute_file("hub.db", OWNERS);
    place.file("data/scores.csv", "id,score,note\nA1,10,a\nA2,20,a\n");
    let job = JOB.replace("ignore = ['note']\n", "").replace(
        "points = 'score' }",
        "points = 'score', owner = { column = 'note', refers_to = 'owners.email' } }",
    );
    place.file("schedules/job.toml", &job);
    place.count_writes("accounts");
    let ran = place.run();
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr
            .contains("could not look up references of `scores@hub` in `hub`"),
        "{ran}"
    );
    let accounts = place.query("SELECT id, score FROM accounts");
    assert_eq!(accounts, "id,score\nA1,10\nA2,20\n", "{ran}");
    assert_eq!(place.writes(), 2, "{ran}");
    assert_eq!(companies(&place), "key,points\nA1,0\nA2,0\n");
    place.execute_file("hub.db", "UPDATE owners SET n = 0");
    let again = place.run();
    assert_eq!(
        summaries(&again),
        [
            "scores@hub 2 read = 2 updated",
            "scores@crm 2 read = 2 unchanged"
        ],
        "{again}"
    );
    assert_eq!(place.writes(), 0, "nothing is written twice");
    let owners = place.query_file("hub.db", "SELECT key, points, owner FROM companies");
    assert_eq!(owners, "key,points,owner\nA1,10,7\nA2,20,7\n");
}

#[test]
fn a_run_of_those_that_were_there_is_approved_as_it_began_and_the_next_one_is_of_all() {
    for is_back in [false, true] {
        let place = place(Server::Sqlite);
        let job = JOB.replace("batch_size = 1", "batch_size = 1\nmax_changed = 1");
        place.file("schedules/job.toml", &job);
        std::fs::remove_file(place.path("hub.db")).expect("a file");
        let stopped = place.run();
        assert_eq!(stopped.code, 3, "{stopped}");
        if is_back {
            place.execute_file(
                "hub.db",
                "CREATE TABLE companies (key TEXT PRIMARY KEY, points INTEGER);
                 INSERT INTO companies VALUES ('A1', 0)",
            );
        }
        let approved = place.command(&["run", "job", "--approve", "--json"]);
        assert_eq!(approved.code, 2, "{approved}");
        assert!(
            approved.stderr.contains("`scores@hub` is not delivered"),
            "{approved}"
        );
        let accounts = place.query("SELECT id, score FROM accounts");
        assert_eq!(accounts, "id,score\nA1,10\nA2,20\nA3,30\n", "{approved}");
        let began = place.command(&["runs", "1", "--json"]).json();
        assert!(began["approval"]["approved_at"].is_string(), "{began}");
        if is_back {
            assert_eq!(companies(&place), "key,points\nA1,0\n", "{approved}");
            let next = place.run();
            assert_eq!(
                summaries(&next),
                [
                    "scores@hub 3 read = 1 updated + 2 skipped",
                    "scores@crm 3 read = 3 unchanged"
                ],
                "{next}"
            );
        }
    }
}

#[test]
fn one_destination_is_run_and_taken_back_by_its_name_or_all_by_that_of_the_write_back() {
    let place = place(Server::Sqlite);
    let only = place.command(&["run", "job", "--write-back", "scores@hub", "--json"]);
    assert_eq!(
        summaries(&only),
        ["scores@hub 3 read = 2 updated + 1 skipped"],
        "{only}"
    );
    let all = place.command(&["run", "job", "--write-back", "scores", "--json"]);
    assert_eq!(
        summaries(&all),
        [
            "scores@hub 3 read = 2 unchanged + 1 skipped",
            "scores@crm 3 read = 1 inserted + 2 updated"
        ],
        "{all}"
    );
    let undone = place.command(&["undo", "1", "--write-back", "scores", "--json"]);
    assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
    let run = all.run().to_string();
    let undone = place.command(&["undo", &run, "--write-back", "scores@crm", "--json"]);
    assert_eq!(
        undone.summary(),
        "3 read = 2 updated + 1 skipped",
        "{undone}"
    );
    let history = place.command(&["history", "scores@crm", "--record", "A1"]);
    assert!(history.stdout.contains("10"), "{history}");
}

#[test]
fn a_killed_run_with_several_destinations_ends_as_a_clean_one() {
    for death in [
        "1 a package put in place",
        "2 a package put in place",
        "1 a batch committed",
        "3 a batch committed",
        "5 a batch committed",
    ] {
        let place = place(Server::Sqlite);
        let killed =
            place.command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", death)]);
        assert!(killed.stderr.contains("dies here"), "{death}: {killed}");
        let ran = place.run();
        assert_eq!(ran.json()["status"], "succeeded", "{death}: {ran}");
        assert_eq!(companies(&place), "key,points\nA1,10\nA2,20\n", "{death}");
        let accounts = place.query("SELECT id, score FROM accounts");
        assert_eq!(accounts, "id,score\nA1,10\nA2,20\nA3,30\n", "{death}");
    }
}

#[test]
fn mistakes_about_several_destinations_are_told_where_they_stand() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    with_hub(&place);
    place.scores(SCORES, SOURCE);
    for (wrong, right, told) in [
        (
            "batch_size = 1",
            "batch_size = 1\ntable = 'accounts'",
            "`table` stands beside `to`",
        ),
        (
            "ignore = ['note']",
            "ignore = ['note']\nsource = 'files'",
            "`source` is of all destinations",
        ),
        (
            "destination = 'hub'",
            "destination = 'crm'",
            "there are two write-backs `scores@crm`",
        ),
        (
            "table = 'companies'",
            "tabel = 'companies'",
            "did you mean `table`",
        ),
        ("batch_size = 1", "batch_size = 0", "`batch_size`"),
    ] {
        place.file("schedules/job.toml", &JOB.replace(wrong, right));
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{check}");
        assert!(check.stderr.contains(told), "{check}");
        assert_eq!(check.stderr.matches(told).count(), 1, "{check}");
    }
    place.file(
        "schedules/job.toml",
        "[[write_back]]\nname = 'scores'\nschema = 'sql/scores.sql'\nsource = 'files'\nto = []\n",
    );
    let check = place.command(&["check", "job"]);
    assert!(
        check.stderr.contains("`to` names no destination"),
        "{check}"
    );
}
