//! Referrals into Bullhorn: candidates, then submissions that name them, then notes, each made once.

use crate::bullhorn::{held, place_with};
use crate::harness::{Corporation, Ran, Workspace};
use crate::referrals::{SCHEMA, referrals};

const STEPS: &str = r#"
[[write_back]]
name = "referral"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
ignore = ["referrer"]

[[write_back.steps]]
name = "candidate"
table = "Candidate"
exists_by = ["externalID", "email"]
[write_back.steps.fields]
externalID = "referral_id"
name = { method = "join", columns = ["first_name", "last_name"], with = " " }
firstName = "first_name"
lastName = "last_name"
email = "email"
status = { string = "New Lead" }

[[write_back.steps]]
name = "submission"
table = "JobSubmission"
exists_by = [["candidate", "jobOrder"]]
[write_back.steps.fields]
candidate = { id_of = "candidate" }
jobOrder = "job_id"
status = { string = "New Lead" }
dateWebResponse = { method = "run_started_at" }
"#;

/// A note needs neither a table nor columns here: both are Bullhorn's.
const NOTE: &str = r#"
[[write_back]]
name = "referral_note"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
table = "Candidate"

[write_back.fields]
email = "email"

[write_back.note]
text = "Referred by {referrer} for job {job_id}."
action = "19381"
linked = { jobOrder = "job_id" }
"#;

/// Ines Farrow is there already, as candidate 10.
const REFERRALS: &str = "N-1,Ada,Lovelace,ada@x.example,77,Bo & Co\n\
    N-2,Ines,Farrow,ines.farrow@example.com,78,Bo\n\
    N-3,Cy,,cy@x.example,78,Di\n";

/// The index hears of nothing that a test does.
const LATE: &str = "[search]\nlag = '30d'\n[corporation]\ncalls_per_minute = 0\n\
    [lists]\nnote_actions = ['Outbound Call', '19381']\n";

const ALL_MADE: &str = "3 read = 2 inserted + 1 skipped\n3 read = 3 inserted";

fn place(corporation: &str, job: &str) -> Workspace {
    let place = place_with(corporation);
    place.file("sql/referral.sql", SCHEMA);
    place.file("schedules/job.toml", job);
    referrals(&place, REFERRALS);
    place
}

/// The lines of the records of an entity that are new, in order.
fn made(place: &Workspace, entity: &str, fields: &[&str], of: impl Fn(&str) -> bool) -> String {
    let held = held(place, entity, fields);
    let mut made: Vec<&str> = held.lines().filter(|line| of(line)).collect();
    made.sort_unstable();
    made.join("\n")
}

/// The ids of candidates by the external ids that this job gave them, and who was there.
fn candidates(place: &Workspace) -> Vec<(String, String)> {
    let sql = "SELECT json_extract(body, '$.held.externalID') AS of, id FROM documents \
               WHERE kind = 'Candidate' AND (of LIKE 'N-%' OR of = 'R-1') ORDER BY of";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let lines = csv.lines().skip(1).filter_map(|line| line.split_once(','));
    lines
        .map(|(of, id)| (of.to_owned(), id.to_owned()))
        .collect()
}

/// Panics: unless the usual referrals are there, each once, and submissions name their candidates.
fn expect_each_once(place: &Workspace, told: &Ran) {
    let candidates = candidates(place);
    let names: Vec<&str> = candidates.iter().map(|(of, _)| of.as_str()).collect();
    assert_eq!(names, ["N-1", "N-3", "R-1"], "{told}");
    let jobs = [("N-1", "77"), ("N-3", "78"), ("R-1", "78")];
    let mut expected: Vec<String> = jobs
        .iter()
        .zip(&candidates)
        .map(|((of, job), (known, id))| {
            assert_eq!(of, known);
            format!("{id},{job},New Lead")
        })
        .collect();
    expected.sort_unstable();
    let fields = ["candidate", "jobOrder", "status"];
    let submissions = made(place, "JobSubmission", &fields, |line| {
        line.ends_with("New Lead")
    });
    assert_eq!(submissions, expected.join("\n"), "{told}");
}

fn notes(place: &Workspace) -> String {
    let fields = ["comments", "action", "jobOrder"];
    made(place, "Note", &fields, |line| line.starts_with("Referred"))
}

#[test]
fn the_action_of_a_note_may_be_what_people_see_of_it() {
    let job = NOTE.replace("action = \"19381\"", "action = \"Sense Referral\"");
    let place = place(LATE, &job);
    let described = place.text("ats/Note.json");
    let labelled = described.replacen(
        "\"options\": [",
        "\"options\": [{\"value\": \"19381\", \"label\": \"Sense Referral\"}, ",
        1,
    );
    assert_ne!(described, labelled);
    place.file("ats/Note.json", &labelled);
    referrals(&place, "N-2,Ines,Farrow,ines.farrow@example.com,78,Bo\n");
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 inserted", "{run}");
    assert_eq!(
        notes(&place),
        "Referred by Bo for job 78.,19381,78",
        "{run}"
    );
    place.file(
        "schedules/job.toml",
        &job.replace("Sense Referral", "Sense Refferal"),
    );
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(check.stderr.contains("19381"), "the list is shown: {check}");
}

#[test]
fn the_fields_of_an_entity_are_shown_with_the_words_that_each_takes() {
    let place = place(LATE, NOTE);
    let shown = place.command(&["show", "job", "--object", "Note", "--json"]);
    let told = &shown.json()[0];
    assert_eq!(
        (&told["destination"], &told["object"]),
        (&"crm".into(), &"Note".into())
    );
    let fields = told["fields"].as_array().expect("fields");
    let field = |name: &str| fields.iter().find(|field| field["field"] == name);
    let action = field("action").unwrap_or_else(|| panic!("no action: {shown}"));
    assert_eq!(
        action["words"],
        serde_json::json!(["Outbound Call", "19381"])
    );
    assert_eq!(
        (&action["written"], &action["needed"]),
        (&true.into(), &true.into())
    );
    let unknown = place.command(&["show", "job", "--object", "Nota"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("`Note`"),
        "{unknown}"
    );
}

#[test]
fn a_field_of_a_candidate_who_is_there_is_written_by_the_address_of_the_referral() {
    let job = r#"
[[write_back]]
name = "source"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
table = "Candidate"
found_by = ["email"]
ignore = ["first_name", "last_name", "job_id", "referrer"]

[write_back.fields]
email = "email"
source = { string = "Sense Referral" }
"#;
    let place = place(LATE, job);
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 skipped", "{run}");
    let ines = |place: &Workspace| {
        made(place, "Candidate", &["email", "source"], |line| {
            line.starts_with("ines")
        })
    };
    assert!(ines(&place).contains("Sense Referral"), "{run}");
    let again = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(
        again.summary(),
        "3 read = 1 unchanged + 2 skipped",
        "{again}"
    );
    let undone = place.command(&["undo", "1"]);
    assert_eq!(undone.code, 0, "{undone}");
    assert!(!ines(&place).contains("Sense Referral"), "{undone}");
}

#[test]
fn a_referral_becomes_a_candidate_and_its_submission_in_bullhorn_and_never_twice() {
    let place = place(LATE, STEPS);
    let run = place.run();
    assert_eq!(run.summary(), ALL_MADE, "{run}");
    expect_each_once(&place, &run);
    let again = place.run();
    assert_eq!(
        again.summary(),
        "3 read = 3 skipped\n3 read = 3 skipped",
        "{again}"
    );
    let skipped = place.text(".writeback/runs/2/referral.candidate/skipped.csv");
    assert!(skipped.contains("N-2,already exists: `10`"), "{skipped}");

    // Somebody changes all that she could be found by.
    let corporation = Corporation::start(&place, "");
    let (_, id) = &candidates(&place)[0];
    let body = r#"{"externalID":"own","email":"own@x.example"}"#;
    let edited = corporation.call("POST", &format!("/entity/Candidate/{id}"), body);
    assert_eq!(edited.status, 200, "{edited:?}");
    drop(corporation);
    let known = place.run();
    assert_eq!(
        known.summary(),
        "3 read = 3 skipped\n3 read = 3 skipped",
        "{known}"
    );

    let undone = place.command(&["undo", "1", "--delete-created"]);
    assert_eq!(undone.code, 0, "{undone}");
    let deleted = made(&place, "JobSubmission", &["status", "isDeleted"], |line| {
        line.starts_with("New Lead")
    });
    assert_eq!(deleted, "New Lead,1\nNew Lead,1\nNew Lead,1", "{undone}");
}

#[test]
fn a_second_referral_for_the_same_job_is_told_with_its_submission() {
    let place = place(LATE, STEPS);
    referrals(
        &place,
        "N-1,Ada,Lovelace,ada@x.example,77,Bo\nN-2,Ada,Lovelace,ada@x.example,77,Di\n",
    );
    let run = place.run();
    assert_eq!(
        run.summary(),
        "2 read = 1 inserted + 1 skipped\n2 read = 1 inserted + 1 skipped",
        "{run}"
    );
    let again = place.run();
    assert_eq!(
        again.summary(),
        "2 read = 2 skipped\n2 read = 2 skipped",
        "{again}"
    );
    assert_eq!(candidates(&place).len(), 2, "Ada once, and Ines");
}

#[test]
fn lost_answers_double_neither_candidates_nor_submissions_nor_notes() {
    for faults in [
        "drop_after:create=@1@2@4,500_after:create=@3@6",
        "500_after:create=@1@4,drop_in:create=@2,drop_before:create=@3@7",
    ] {
        let place = place(LATE, &format!("{STEPS}{NOTE}"));
        let served = Corporation::start(&place, faults);
        let run = place.run_with_retries(4);
        assert_eq!(run.json()["status"], "succeeded", "{faults}: {run}");
        let rest = place.run_with_retries(2);
        drop(served);
        expect_each_once(&place, &rest);
        assert_eq!(notes(&place).lines().count(), 3, "{faults}: {rest}");
    }
}

#[test]
fn killed_anywhere_bullhorn_has_everything_once() {
    let place = place(LATE, &format!("{STEPS}{NOTE}"));
    let mut deaths = 0;
    for point in (1..400).step_by(17) {
        let at = point.to_string();
        let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", &at)]);
        let died = killed.stderr.contains("dies here");
        let run = if died {
            place.command(&["run", "job"])
        } else {
            killed
        };
        assert_eq!(run.code, 0, "after a death behind change {point}: {run}");
        expect_each_once(&place, &run);
        assert_eq!(
            notes(&place).lines().count(),
            3,
            "killed behind change {point}: {run}"
        );
        if !died {
            break;
        }
        std::fs::remove_dir_all(place.path(".writeback")).expect("state to remove");
        deaths += 1;
    }
    assert!(deaths > 3, "the program died at {deaths} places only");
}

#[test]
fn a_note_is_added_to_a_candidate_once_and_its_values_are_escaped() {
    let blind = LATE.replace("lag = '30d'\n", "lag = '30d'\nfinds_notes = false\n");
    for corporation in [LATE, &blind] {
        let place = place(corporation, &format!("{STEPS}{NOTE}"));
        let run = place.run();
        assert_eq!(
            run.summary(),
            format!("{ALL_MADE}\n3 read = 3 inserted"),
            "{run}"
        );
        let expected = "Referred by Bo &amp; Co for job 77.,19381,77\n\
                        Referred by Bo for job 78.,19381,78\n\
                        Referred by Di for job 78.,19381,78";
        assert_eq!(notes(&place), expected);
        // Another text makes no other note.
        referrals(&place, &REFERRALS.replace("Bo\n", "Bob\n"));
        let again = place.run();
        let skipped = "3 read = 3 skipped";
        assert_eq!(again.summary(), [skipped; 3].join("\n"), "{again}");
        assert_eq!(notes(&place), expected);
        let changing = format!("{STEPS}{NOTE}repeat = \"when_changed\"\n");
        place.file("schedules/job.toml", &changing);
        place.run();
        let before = notes(&place).lines().count();
        place.run();
        assert_eq!(notes(&place).lines().count(), before);
    }
}

#[test]
fn an_agency_switches_notes_on_and_sets_a_code_that_is_checked_against_its_own_list() {
    let place = place(LATE, STEPS);
    place.file(
        "sql/referral.sql",
        &SCHEMA.replace("referrer VARCHAR(40)", "referrer VARCHAR(40), agency TEXT"),
    );
    place.file(
        "data/referrals.csv",
        "referral_id,first_name,last_name,email,job_id,referrer,agency\n\
         N-1,Ada,L,ada@x.example,77,Bo,North\nN-2,Cy,E,cy@x.example,78,Bo,South\n",
    );
    let off = NOTE.replace(
        "table = \"Candidate\"\n",
        "table = \"Candidate\"\nenabled = false\n",
    );
    place.file(
        "schedules/job.toml",
        &format!("[agencies]\ncolumn = \"agency\"\n{STEPS}{off}"),
    );
    place.file(
        "schedules/job/south.toml",
        "agency = \"South\"\n[connections.crm]\n",
    );
    let north = |code: &str| {
        let text = format!(
            "agency = \"North\"\n[write_back.referral_note]\nenabled = true\nnote.action = \"{code}\"\n"
        );
        place.file("schedules/job/north.toml", &text);
    };
    north("19382");
    let refused = place.command(&["check", "job/north"]);
    assert_eq!(refused.code, 2, "{refused}");
    for part in ["`19381` is the nearest", "the list has", "`Outbound Call`"] {
        assert!(
            refused.stderr.contains(part),
            "`{part}` is missing: {refused}"
        );
    }
    north("19381");
    let run = place.command(&["run", "job"]);
    assert_eq!(run.code, 0, "{run}");
    let off = "1 × referral_note: notes are off for South";
    assert!(run.stdout.contains(off), "{run}");
    assert_eq!(notes(&place), "Referred by Bo for job 77.,19381,77");
    let own = place.query_file(
        ".writeback/practice/crm@job:south.db",
        "SELECT count(*) AS n FROM documents WHERE kind = 'Candidate' AND json_extract(body, '$.held.externalID') = 'N-2'",
    );
    assert_eq!(own, "n\n1\n", "an account of its own");
}

#[test]
fn many_creates_with_lost_answers_give_exactly_that_many_records() {
    let count = 1000;
    let place = place(LATE, STEPS);
    let rows =
        (0..count).map(|number| format!("N-{number:04},A,B{number},n{number}@x.example,77,Bo\n"));
    referrals(&place, &rows.collect::<String>());
    let faults = "seed=5,drop_after:create=4%,500_after:create=3%,drop_before:create=2%";
    let served = Corporation::start(&place, faults);
    let run = place.run_with_retries(8);
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    drop(served);
    let rest = place.run_with_retries(4);
    let candidates: Vec<(String, String)> = candidates(&place)
        .into_iter()
        .filter(|(of, _)| of.starts_with("N-"))
        .collect();
    let mut names: Vec<&str> = candidates.iter().map(|(of, _)| of.as_str()).collect();
    names.dedup();
    assert_eq!((candidates.len(), names.len()), (count, count), "{rest}");
    let submitted = made(
        &place,
        "JobSubmission",
        &["candidate", "jobOrder"],
        |line| line.ends_with(",77"),
    );
    let mut submitted: Vec<&str> = submitted.lines().collect();
    let all = submitted.len();
    submitted.dedup();
    assert_eq!((all, submitted.len()), (count, count), "{rest}");
}

#[test]
fn words_of_a_list_are_checked_one_by_one_and_keys_that_steps_guard_are_not_warned_of() {
    let source = |words: &str| {
        let field = format!("status = {{ string = \"New Lead\" }}\nsource = {words}\n[[");
        STEPS.replacen("status = { string = \"New Lead\" }\n\n[[", &field, 1)
    };
    let place = place(LATE, &source("{ string = \"Referral;Sence Referral\" }"));
    let refused = place.command(&["check", "job"]);
    assert_eq!(refused.code, 2, "{refused}");
    for part in ["`Sense Referral` is the nearest", "`Monster.com`"] {
        assert!(
            refused.stderr.contains(part),
            "`{part}` is missing: {refused}"
        );
    }
    let of_column = source("\"referrer\"").replace("ignore = [\"referrer\"]\n", "");
    // Another field of the candidates, by a key that Bullhorn keeps nobody from doubling.
    let plain = |name: &str, field: &str| {
        format!(
            "\n[[write_back]]\nname = \"{name}\"\nschema = \"sql/referral.sql\"\nsource = \"files\"\n\
             destination = \"crm\"\ntable = \"Candidate\"\n\
             ignore = [\"first_name\", \"last_name\", \"job_id\", \"referrer\"]\n\
             [write_back.fields]\nexternalID = \"referral_id\"\n{field} = \"email\"\n"
        )
    };
    let job = format!(
        "{of_column}{}{}",
        plain("second", "email2"),
        plain("third", "email3")
    );
    place.file("schedules/job.toml", &job);
    referrals(
        &place,
        "N-1,Ada,Lovelace,ada@x.example,77,Monster.com; Referral\nN-2,Bo,Ek,bo@x.example,78,Monstr.com\n",
    );
    let check = place.command(&["check", "job"]);
    let warned = check.stderr.matches("may stand on several records").count();
    assert_eq!(
        warned, 1,
        "of the two of one key once, of steps never: {check}"
    );
    let run = place.command(&["run", "job", "--write-back", "referral", "--json"]);
    assert_eq!(
        run.summary(),
        "2 read = 1 inserted + 1 rejected\n2 read = 1 inserted + 1 skipped",
        "{run}"
    );
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains("`Monster.com` is the nearest"),
        "{rejected}"
    );
}
