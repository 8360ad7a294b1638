//! Referrals: objects that are made step by step, and notes that are added once.

use crate::harness::{Server, Workspace};

pub(crate) const SCHEMA: &str = "CREATE TABLE referrals (referral_id VARCHAR(18) PRIMARY KEY, first_name VARCHAR(40), \
    last_name VARCHAR(40), email VARCHAR(80), job_id INTEGER, referrer VARCHAR(40));";

const STEPS: &str = r#"
[[write_back]]
name = "referral"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
ignore = ["referrer"]

[[write_back.steps]]
name = "candidate"
table = "candidate"
exists_by = ["external_id", "email"]
[write_back.steps.fields]
external_id = "referral_id"
name = { method = "join", columns = ["first_name", "last_name"], with = " " }
email = "email"
status = { string = "New Lead" }

[[write_back.steps]]
name = "submission"
table = "submission"
exists_by = [["candidate_id", "job_id"]]
[write_back.steps.fields]
candidate_id = { id_of = "candidate" }
job_id = "job_id"
status = { string = "New Lead" }
"#;

const NOTE: &str = r#"
[[write_back]]
name = "referral_note"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
table = "candidate"

[write_back.fields]
external_id = "referral_id"

[write_back.note]
text = "Referred by {referrer} for job {job_id}, {email | \"no address\"}."
table = "note"
columns = { about = "candidate_id", text = "body", marker = "marker", action = "action" }
action = "19381"
"#;

const HEADER: &str = "referral_id,first_name,last_name,email,job_id,referrer\n";

/// A place whose ATS makes ids by itself. `EXISTING` is there already, under an address of hers.
fn place(server: Server) -> Workspace {
    let place = Workspace::on(server);
    let id = server.counted();
    place.execute(&format!(
        "CREATE TABLE candidate (id {id}, external_id VARCHAR(18) UNIQUE, name VARCHAR(90), email VARCHAR(80), status VARCHAR(20))"
    ));
    place.execute(&format!(
        "CREATE TABLE submission (id {id}, candidate_id INTEGER NOT NULL, job_id INTEGER, status VARCHAR(20))"
    ));
    place.execute(&format!(
        "CREATE TABLE note (id {id}, candidate_id INTEGER NOT NULL, body VARCHAR(200), marker VARCHAR(32) UNIQUE, action VARCHAR(20))"
    ));
    place.execute("INSERT INTO candidate (id, external_id, name, email, status) VALUES (70, 'X1', 'Grace Hopper', 'grace@x', 'Hired')");
    place.file("sql/referral.sql", SCHEMA);
    place.file("schedules/job.toml", STEPS);
    place
}

/// What is referred from now on, below the usual header.
pub(crate) fn referrals(place: &Workspace, rows: &str) {
    place.file("data/referrals.csv", &format!("{HEADER}{rows}"));
}

const CANDIDATES: &str =
    "SELECT external_id, name, email, status FROM candidate ORDER BY external_id";
const SUBMISSIONS: &str = "SELECT c.external_id, s.job_id, s.status FROM submission AS s \
    JOIN candidate AS c ON c.id = s.candidate_id ORDER BY c.external_id, s.job_id";

#[test]
fn a_referral_becomes_a_candidate_and_its_submission_and_never_twice() {
    for server in Server::ALL {
        let place = place(server);
        referrals(
            &place,
            "R1,Ada,Lovelace,ada@x,7,Bo\nR2,Grace,Hopper,grace@x,7,Bo\nR3,Cy,,cy@x,8,Di\n",
        );
        let run = place.run();
        let expected = "3 read = 2 inserted + 1 skipped\n3 read = 3 inserted";
        assert_eq!(run.summary(), expected, "on {server}");
        let candidates = "external_id,name,email,status\nR1,Ada Lovelace,ada@x,New Lead\nR3,Cy,cy@x,New Lead\nX1,Grace Hopper,grace@x,Hired\n";
        assert_eq!(place.query(CANDIDATES), candidates, "on {server}");
        let submissions =
            "external_id,job_id,status\nR1,7,New Lead\nR3,8,New Lead\nX1,7,New Lead\n";
        assert_eq!(place.query(SUBMISSIONS), submissions, "on {server}");
        let again = place.run();
        assert_eq!(
            again.summary(),
            "3 read = 3 skipped\n3 read = 3 skipped",
            "on {server}"
        );
        let skipped = place.text(".writeback/runs/2/referral.candidate/skipped.csv");
        assert!(skipped.contains("R2,already exists: `70`"), "{skipped}");

        let undone = place.command(&["undo", "1", "--delete-created"]);
        assert_eq!(undone.code, 0, "{undo} on {server}", undo = undone);
        assert_eq!(
            place.query("SELECT count(*) AS n FROM submission"),
            "n\n0\n",
            "on {server}"
        );
        assert_eq!(
            place.query("SELECT count(*) AS n FROM candidate"),
            "n\n1\n",
            "on {server}"
        );
        assert_eq!(
            place.run().summary(),
            expected,
            "what is gone is made again, on {server}"
        );
    }
}

#[test]
fn a_record_that_stops_at_a_step_goes_on_there_next_time() {
    let place = place(Server::Sqlite);
    place.execute("CREATE TRIGGER late BEFORE INSERT ON submission WHEN NEW.job_id = 9 BEGIN SELECT RAISE(ABORT, 'job 9 is closed'); END");
    referrals(&place, "R1,Ada,Lovelace,ada@x,9,Bo\nR2,Bo,Ek,bo@x,7,Bo\n");
    let run = place.run();
    assert_eq!(
        run.summary(),
        "2 read = 2 inserted\n2 read = 1 inserted + 1 rejected"
    );
    // Somebody changes all that she could be found by.
    place.execute("UPDATE candidate SET external_id = 'A', email = 'a@y' WHERE external_id = 'R1'");
    place.execute("DROP TRIGGER late");
    let retry = place.command(&["run", "job", "--only-rejected", "--json"]);
    assert_eq!(retry.code, 0, "{retry}");
    assert_eq!(
        place.query(SUBMISSIONS),
        "external_id,job_id,status\nA,9,New Lead\nR2,7,New Lead\n"
    );
    assert_eq!(
        place.run().summary(),
        "2 read = 2 skipped\n2 read = 2 skipped"
    );
}

#[test]
fn what_waits_for_a_step_is_skipped_and_what_fits_several_rows_is_not_guessed() {
    let place = place(Server::Sqlite);
    place.execute(
        "INSERT INTO candidate (external_id, email) VALUES ('Y1', 'two@x'), ('Y2', 'two@x')",
    );
    referrals(
        &place,
        "R1,Ada,Lovelace,two@x,7,Bo\nR2,Bo,Ek,bo@x,7,Bo\nR3,Bo,Ek,bo@x,7,Bo\nR4,Cy,Ek,,8,Bo\n",
    );
    let run = place.run();
    let expected = "4 read = 2 inserted + 1 skipped + 1 rejected\n4 read = 2 inserted + 2 skipped";
    assert_eq!(run.summary(), expected);
    let rejected = place.rejected(1);
    let several = "referral.candidate,1,R1,match,,the key matches 2 rows of the destination";
    assert!(rejected.contains(several), "{rejected}");
    let waits = place.text(".writeback/runs/1/referral.submission/skipped.csv");
    assert!(waits.contains("R1,waits for step `candidate`"), "{waits}");
    assert_eq!(
        place.query("SELECT count(*) AS n FROM candidate WHERE email = 'bo@x'"),
        "n\n1\n"
    );
    let next = place.run();
    let expected = "4 read = 3 skipped + 1 rejected\n4 read = 4 skipped";
    assert_eq!(next.summary(), expected, "R3 is R2's candidate by now");
}

#[test]
fn a_preview_and_a_test_of_one_record_go_through_the_steps() {
    let place = place(Server::Sqlite);
    referrals(
        &place,
        "R1,Ada,Lovelace,ada@x,7,Bo\nR2,Grace,Hopper,grace@x,7,Bo\n",
    );
    place.file(
        "schedules/job.toml",
        &format!(
            "{STEPS}{}",
            NOTE.replace("external_id = \"referral_id\"", "email = \"email\"")
        ),
    );
    let preview = place.command(&["preview", "job", "--json"]).json();
    let told = |number: usize, what: &str| preview["write_backs"][number][what].clone();
    let inserted = [0, 1, 2].map(|number| told(number, "inserted"));
    // Whom a run would make has a submission and a note by the end of it.
    assert_eq!(
        inserted,
        [1, 2, 2].map(serde_json::Value::from),
        "{preview}"
    );
    let skip = &told(0, "skips")[0];
    assert_eq!(
        (skip["key"].as_str(), skip["reason"].as_str()),
        (Some("R2"), Some("already exists: `70`"))
    );
    let made = told(1, "samples");
    let candidates = [0, 1].map(|number| made[number]["changes"][0]["after"].clone());
    assert_eq!(
        candidates,
        ["(made by step candidate)", "70"].map(serde_json::Value::from),
        "{preview}"
    );
    assert_eq!(
        told(0, "samples")[0]["changes"][1]["after"],
        "Ada Lovelace",
        "{preview}"
    );
    place.file("schedules/job.toml", STEPS);
    assert_eq!(place.query("SELECT count(*) AS n FROM candidate"), "n\n1\n");
    let rolled_back = place.command(&["test", "job", "--record", "R1", "--rollback"]);
    assert_eq!(rolled_back.code, 0, "{rolled_back}");
    assert_eq!(place.query("SELECT count(*) AS n FROM candidate"), "n\n1\n");
    let one = place.command(&["test", "job", "--record", "R1", "--json"]);
    assert_eq!(
        one.json()["records"][1]["outcome"]["outcome"],
        "inserted",
        "{one}"
    );
    assert_eq!(
        place.query(SUBMISSIONS),
        "external_id,job_id,status\nR1,7,New Lead\n"
    );
    let expected = "2 read = 2 skipped\n2 read = 1 inserted + 1 skipped";
    assert_eq!(place.run().summary(), expected);
}

#[test]
fn a_note_is_added_once_and_told_of_where_notes_are_off() {
    for server in Server::ALL {
        let place = place(server);
        place.file("schedules/job.toml", &format!("{STEPS}{NOTE}"));
        referrals(
            &place,
            "R1,Ada,Lovelace,ada@x,7,Bo\nR2,Grace,Hopper,grace@x,7,Bo\nR3,Cy,Ek,,8,\n",
        );
        let run = place.run();
        let notes = "3 read = 1 inserted + 1 skipped + 1 rejected";
        let steps = "3 read = 2 inserted + 1 skipped\n3 read = 3 inserted\n";
        assert_eq!(run.summary(), format!("{steps}{notes}"), "on {server}");
        let note = "body,action\n\"Referred by Bo for job 7, ada@x.\",19381\n";
        assert_eq!(
            place.query("SELECT body, action FROM note"),
            note,
            "on {server}"
        );
        let rejected = place.rejected(1);
        assert!(
            rejected.contains("R3,mapping,body,\"`referrer` is empty"),
            "{rejected}"
        );
        // Another text makes no other note.
        referrals(&place, "R1,Ada,Lovelace,ada@y,7,Bo\n");
        place.run();
        assert_eq!(
            place.query("SELECT body, action FROM note"),
            note,
            "on {server}"
        );
        place.file(
            "schedules/job.toml",
            &format!("{STEPS}{NOTE}repeat = \"when_changed\"\n"),
        );
        place.run();
        place.run();
        assert_eq!(
            place.query("SELECT count(*) AS n FROM note"),
            "n\n2\n",
            "on {server}"
        );
    }
}

#[test]
fn notes_that_are_off_are_skipped_for_their_agency() {
    let place = place(Server::Sqlite);
    place.file(
        "sql/referral.sql",
        &SCHEMA.replace("referrer VARCHAR(40)", "referrer VARCHAR(40), agency TEXT"),
    );
    place.file(
        "data/referrals.csv",
        "referral_id,first_name,last_name,email,job_id,referrer,agency\nR1,Ada,L,ada@x,7,Bo,North\nR2,Cy,E,cy@x,7,Bo,South\n",
    );
    let off = NOTE.replace(
        "table = \"candidate\"\n",
        "table = \"candidate\"\nenabled = false\n",
    );
    place.file(
        "schedules/job.toml",
        &format!("[agencies]\ncolumn = \"agency\"\n{STEPS}{off}"),
    );
    place.file(
        "schedules/job/north.toml",
        "agency = \"North\"\n[write_back.referral_note]\nenabled = true\nnote.action = \"20\"\n",
    );
    place.file("schedules/job/south.toml", "agency = \"South\"\n");
    let run = place.command(&["run", "job"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout
            .contains("1 × referral_note: notes are off for South"),
        "{run}"
    );
    assert_eq!(
        place.query("SELECT body, action FROM note"),
        "body,action\n\"Referred by Bo for job 7, ada@x.\",20\n"
    );
    let listed = place.command(&["agencies", "job", "--json"]).json();
    let note = |agency: usize| listed["agencies"][agency]["write_backs"][2]["on"].as_bool();
    assert_eq!((note(0), note(1)), (Some(true), Some(false)), "{listed}");
}

#[test]
fn what_steps_and_notes_lack_is_told_with_its_place() {
    let place = place(Server::Sqlite);
    let steps = STEPS
        .replace(
            "exists_by = [\"external_id\", \"email\"]\n",
            "exists_by = [\"external\"]\n",
        )
        .replace("id_of = \"candidate\"", "id_of = \"candidat\"")
        .replace("ignore = [\"referrer\"]", "fields = {}");
    let note = NOTE
        .replace("{referrer}", "{referer}")
        .replace(", action = \"action\"", "");
    place.file("schedules/job.toml", &format!("{steps}{note}"));
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    for part in [
        "`fields` means nothing beside `steps`",
        "there is no field `external`",
        "did you mean `external_id`?",
        "there is no earlier step `candidat`",
        "did you mean `candidate`?",
        "has no column `referer`",
        "`note.columns` names no column for `action`",
    ] {
        assert!(check.stderr.contains(part), "`{part}` is missing: {check}");
    }
}

const ANSWERS: &str = "CREATE TABLE answers (referral_id VARCHAR(18), question_id VARCHAR(20), question TEXT, \
    answer TEXT, PRIMARY KEY (referral_id, question_id));";

/// With a field that takes the answer to a question.
fn asking(place: &Workspace, field: &str) {
    place.execute("ALTER TABLE candidate ADD COLUMN relocate VARCHAR(20)");
    place.file("sql/answers.sql", ANSWERS);
    place.file(
        "data/answers.csv",
        "referral_id,question_id,question,answer\nR1,relocate,Would you move?,yes\nR2,relocate,Would you move?,\nR1,shift,Nights?,no\n",
    );
    let steps = STEPS
        .replace(
            "source = \"files\"",
            "questions = \"sql/answers.sql\"\nsource = \"files\"",
        )
        .replace(
            "email = \"email\"\n",
            &format!("email = \"email\"\nrelocate = {field}\n"),
        );
    place.file("schedules/job.toml", &steps);
    referrals(
        place,
        "R1,Ada,Lovelace,ada@x,7,Bo\nR2,Bo,Ek,bo@x,7,Bo\nR3,Cy,Ek,cy@x,7,Bo\n",
    );
}

#[test]
fn a_field_takes_the_answer_to_a_question() {
    let relocate =
        "SELECT external_id, relocate FROM candidate WHERE id <> 70 ORDER BY external_id";
    for server in Server::ALL {
        for (unanswered, expected) in [
            ("\"skip\"", "external_id,relocate\nR1,yes\nR2,\nR3,\n"),
            (
                "{ string = \"not asked\" }",
                "external_id,relocate\nR1,yes\nR2,not asked\nR3,not asked\n",
            ),
            ("\"reject\"", "external_id,relocate\nR1,yes\n"),
        ] {
            let place = place(server);
            asking(
                &place,
                &format!("{{ question = \"relocate\", unanswered = {unanswered} }}"),
            );
            let run = place.run();
            assert_eq!(place.query(relocate), expected, "{run} on {server}");
        }
    }
}

#[test]
fn questions_are_listed_and_one_that_nobody_has_is_a_mistake() {
    let place = place(Server::Sqlite);
    asking(
        &place,
        "{ question = \"relokate\", unanswered = \"empty\" }",
    );
    let run = place.command(&["run", "job"]);
    assert!(
        run.code == 2 && run.stderr.contains("did you mean `relocate`?"),
        "{run}"
    );
    let listed = place.command(&["questions", "job", "--json"]).json();
    let first = &listed["questions"][0];
    assert_eq!(
        (first["question"].as_str(), first["answered"].as_u64()),
        (Some("relocate"), Some(1)),
        "{listed}"
    );
    assert_eq!(first["text"], "Would you move?");
    let text = place.command(&["questions", "job"]).stdout;
    assert!(text.contains("1 of 3, 33 %"), "{text}");
}

#[test]
fn killed_behind_any_change_of_state_nothing_is_made_twice_and_nothing_is_lost() {
    let place = place(Server::Sqlite);
    place.file("schedules/job.toml", &format!("{STEPS}{NOTE}"));
    referrals(
        &place,
        "R1,Ada,Lovelace,ada@x,7,Bo\nR2,Grace,Hopper,grace@x,7,Bo\n",
    );
    let anew = "DELETE FROM note; DELETE FROM submission; DELETE FROM candidate WHERE id <> 70";
    let (mut point, mut deaths) = (1, 0);
    loop {
        let at = point.to_string();
        let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", &at)]);
        let died = killed.stderr.contains("dies here");
        let run = if died {
            place.command(&["run", "job"])
        } else {
            killed
        };
        assert_eq!(run.code, 0, "after a death behind change {point}: {run}");
        let candidates = "external_id,name,email,status\nR1,Ada Lovelace,ada@x,New Lead\nX1,Grace Hopper,grace@x,Hired\n";
        assert_eq!(
            place.query(CANDIDATES),
            candidates,
            "killed behind change {point}"
        );
        let submissions = "external_id,job_id,status\nR1,7,New Lead\nX1,7,New Lead\n";
        assert_eq!(
            place.query(SUBMISSIONS),
            submissions,
            "killed behind change {point}"
        );
        let notes = place.query("SELECT count(*) AS n FROM note");
        assert_eq!(notes, "n\n1\n", "killed behind change {point}");
        if !died {
            break;
        }
        std::fs::remove_dir_all(place.path(".writeback")).expect("state to remove");
        place.execute(anew);
        deaths += 1;
        // Every third place: with what runs write and wait for, every place is met by others.
        point += 3;
    }
    assert!(deaths > 10, "the program died at {deaths} places only");
}

/// What the person does who sets an agency up: in this order, each step by the command or the file
/// that is there for it.
#[test]
fn the_walk_of_an_agency_goes_step_by_step() {
    let place = Workspace::example();
    let held = |agency: &str, entity: &str, fields: &[&str]| {
        let columns: Vec<String> = fields
            .iter()
            .map(|field| format!("json_extract(body, '$.held.{field}') AS {field}"))
            .collect();
        let columns = columns.join(", ");
        let sql = format!("SELECT {columns} FROM documents WHERE kind = '{entity}'");
        let file = format!(".writeback/practice/ats@referral:{agency}.db");
        let csv = place.query_file(&file, &sql);
        let mut lines: Vec<String> = csv.lines().skip(1).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };

    // The list of agencies, and one of them.
    let listed = place.command(&["agencies", "referral", "--json"]).json();
    let named = |agency: usize| {
        listed["agencies"][agency]["called"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(named(0).as_deref(), Some("Contoso Talent"), "{listed}");
    assert_eq!(named(1).as_deref(), Some("Northwind Staffing"), "{listed}");

    // Which object types it supports.
    let shown = place.command(&["show", "referral", "--agency", "contoso"]);
    let objects = "object types of `ats@referral:contoso` (read-only): ";
    let objects = shown.stdout.lines().find(|line| line.starts_with(objects));
    let objects = objects.unwrap_or_else(|| panic!("no object types: {shown}"));
    for object in ["Candidate", "JobSubmission", "Note"] {
        assert!(objects.contains(object), "{objects}");
    }

    // Questions to choose from, and methods with what each is for.
    let questions = place.command(&["questions", "referral", "--json"]).json();
    let question = &questions["questions"][2];
    assert_eq!(
        (question["question"].as_str(), question["text"].as_str()),
        (Some("shift"), Some("Would you work at night?"))
    );
    assert_eq!(question["agencies"][0], "Contoso Talent", "{questions}");
    let methods = place.command(&["methods", "--json"]).stdout;
    assert!(
        methods.contains("Writes a phone number in the international form"),
        "{methods}"
    );

    // Notes on, the action code, and a field of each kind: String, Question, Method.
    let configured = |code: &str| {
        let text = format!(
            r#"agency = "Contoso Talent"

[connections.ats]
practice = "fixtures/ats/contoso"
account  = "20411"

[write_back.referral_note]
enabled     = true
note.action = "{code}"

[write_back.referral.steps.candidate.fields]
source      = {{ string = "Sense Referral" }}
customText7 = {{ question = "shift", unanswered = "reject" }}
phone       = {{ method = "phone", column = "phone", region = "US" }}
"#
        );
        place.file("schedules/referral/contoso.toml", &text);
    };
    // A code that stands in the list of another agency only.
    configured("19381");
    let refused = place.command(&["check", "referral/contoso"]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("`20411`"), "{refused}");
    configured("20411");
    let check = place.command(&["check", "referral/contoso"]);
    assert_eq!(check.code, 0, "{check}");
    let shown = place
        .command(&["show", "referral", "--agency", "contoso"])
        .stdout;
    assert!(
        shown.contains("* write_back.referral_note.note.action = \"20411\""),
        "{shown}"
    );

    // One record, then all.
    let test = place.command(&[
        "test", "referral", "--agency", "contoso", "--record", "R-1004",
    ]);
    assert_eq!(test.code, 0, "{test}");
    let fields = ["externalID", "name", "phone", "source", "customText7"];
    let candidates = held("contoso", "Candidate", &fields);
    let expected = "R-1004,Katherine Johnson,+12127365001,\"[\"\"Sense Referral\"\"]\",no";
    assert!(
        candidates.iter().any(|one| one == expected),
        "{candidates:?}"
    );
    let run = place.command(&["run", "referral"]);
    assert_eq!(run.code, 1, "one referral is of no agency: {run}");
    assert_eq!(held("contoso", "Candidate", &["id"]).len(), 3, "{run}");
    let notes = held("contoso", "Note", &["comments", "action", "jobOrder"]);
    let expected = ["Referred by Dorothy Vaughan for Navigator on 2026-11-17.,20411,601"];
    assert_eq!(notes, expected);

    // Somebody who is there already is used, and of two referrals for one job the second says so.
    let submissions = held("northwind", "JobSubmission", &["candidate", "jobOrder"]);
    assert_eq!(submissions.len(), 2, "{submissions:?}");
    assert!(
        submissions.iter().any(|one| one == "41,502"),
        "{submissions:?}"
    );
    let notes = held("northwind", "Note", &["action"]);
    assert_eq!(notes, ["19381", "19381", "19381"]);
    let again = place.command(&["run", "referral", "--json"]).json();
    let made = again["runs"].as_array().expect("runs").iter();
    let made = made.flat_map(|run| run["write_backs"].as_array().expect("write-backs"));
    let made: u64 = made
        .map(|one| one["inserted"].as_u64().expect("a count"))
        .sum();
    assert_eq!(made, 0, "nothing is made twice: {again}");
}

/// A field of candidates who are there, found by their address: referrals go by ids of their own.
const SOURCE: &str = r#"
[[write_back]]
name = "source"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
table = "candidate"
found_by = ["email"]
ignore = ["first_name", "last_name", "job_id", "referrer"]

[write_back.fields]
email = "email"
status = { string = "Referred" }
"#;

#[test]
fn a_field_is_written_to_whom_the_record_names_by_something_else_than_its_key() {
    for server in Server::ALL {
        let place = place(server);
        place.execute("INSERT INTO candidate (id, external_id, name, email, status) VALUES (71, 'X2', 'Ada', 'two@x', 'Hired')");
        place.execute("INSERT INTO candidate (id, external_id, name, email, status) VALUES (72, 'X3', 'Ida', 'two@x', 'Hired')");
        place.file("schedules/job.toml", SOURCE);
        // Grace is referred twice, nobody has Bo's address, two have Ada's, and Di has none.
        referrals(
            &place,
            "R1,Grace,Hopper,grace@x,7,Bo\nR2,Bo,Ek,bo@x,7,Cy\nR3,Grace,Hopper,grace@x,8,Di\n\
             R4,Ada,L,two@x,7,Bo\nR5,Di,,,7,Bo\n",
        );
        let expected = "5 read = 1 updated + 2 skipped + 2 rejected";
        let preview = place.command(&["preview", "job"]);
        assert!(preview.stdout.contains(expected), "on {server}: {preview}");
        let run = place.run();
        assert_eq!(run.summary(), expected, "on {server}: {run}");
        let statuses = "SELECT external_id, status FROM candidate ORDER BY id";
        let written = "external_id,status\nX1,Referred\nX2,Hired\nX3,Hired\n";
        assert_eq!(place.query(statuses), written, "on {server}: {run}");
        let skipped = place.text(".writeback/runs/1/source/skipped.csv");
        for told in ["R2,no match", "R3,record `R1` writes the same to"] {
            assert!(skipped.contains(told), "on {server}: {skipped}");
        }
        let rejected = place.rejected(1);
        for told in ["R4,match,,the key matches 2 rows", "R5,mapping,email,"] {
            assert!(rejected.contains(told), "on {server}: {rejected}");
        }
        let again = place.command(&["run", "job", "--again", "--json"]);
        let unchanged = "5 read = 1 unchanged + 2 skipped + 2 rejected";
        assert_eq!(again.summary(), unchanged, "on {server}: {again}");
        let one = place.command(&["test", "job", "--record", "R1"]);
        assert_eq!(one.code, 0, "on {server}: {one}");
        let undone = place.command(&["undo", "1"]);
        assert_eq!(undone.code, 0, "on {server}: {undone}");
        let before = written.replace("Referred", "Hired");
        assert_eq!(place.query(statuses), before, "on {server}: {undone}");
    }
}
