//! Bullhorn as a destination, against the practice corporation that is part of the program: one record
//! a call, an index that lags behind, answers that hide what became of a field.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Corporation, Ran, Server, Workspace, write_back};

/// Columns of the source.
const SCHEMA: &str = "id VARCHAR(50) PRIMARY KEY, tier VARCHAR(100), day DATE, src VARCHAR(50)";

const FIELDS: &str = "externalID = 'id'
customText1 = 'tier'
dateAvailable = 'day'
source = 'src'";

/// Fields of a candidate that is made.
const NEW: &str = "externalID = 'id'
customText1 = 'tier'
name = { string = 'New One' }
status = { string = 'New Lead' }";

const SCORES: &str = "id,tier,day,src
R-1,gold,2026-07-01,Sense Referral
R-2,gold,,Referral
R-3,silver,,Monster.com
R-9,gold,,Referral
";

const NEW_SCHEMA: &str = "id VARCHAR(50) PRIMARY KEY, tier VARCHAR(100)";

/// A project with a corporation of its own, whose candidates are those of `fixtures/bullhorn`, and a
/// job into them.
fn place(corporation: &str, settings: &str, fields: &str) -> Workspace {
    let place = place_with(corporation);
    place.file(
        "schedules/job.toml",
        &write_back("scores", "Candidate", settings, fields),
    );
    place
}

/// A project with a corporation of its own, and no job.
pub(crate) fn place_with(corporation: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bullhorn");
    for file in std::fs::read_dir(repository).expect("the fixtures") {
        let file = file.expect("a file").path();
        let name = file
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        place.bytes(
            &format!("ats/{name}"),
            &std::fs::read(&file).expect("a file"),
        );
    }
    place.file("ats/practice.toml", corporation);
    place.file("writeback.toml", &project(&place, "practice = 'ats'"));
    place
}

/// As [`place`], with the usual fields and records.
pub(crate) fn usual_place(corporation: &str) -> Workspace {
    let place = place(corporation, "", FIELDS);
    place.scores(SCHEMA, SCORES);
    place
}

fn project(place: &Workspace, settings: &str) -> String {
    format!(
        "{}[connections.crm]\nkind = 'bullhorn'\ntimezone = 'America/Chicago'\nattempts_max = 4\n{settings}\n",
        place.connection("files")
    )
}

/// What the records of an entity hold, a line each, in the order of the lines.
pub(crate) fn held(place: &Workspace, entity: &str, fields: &[&str]) -> String {
    let columns: Vec<String> = fields
        .iter()
        .map(|field| format!("json_extract(body, '$.held.{field}') AS \"{field}\""))
        .collect();
    let sql = format!(
        "SELECT {} FROM documents WHERE kind = '{entity}'",
        columns.join(", ")
    );
    let csv = place.query_file(".writeback/practice/crm.db", &sql);
    csv.lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect()
}

pub(crate) fn tiers(place: &Workspace) -> String {
    held(place, "Candidate", &["externalID", "customText1"])
}

/// Calls of the corporation's month.
fn calls(place: &Workspace) -> u64 {
    let sql = "SELECT json_extract(body, '$.used') AS used FROM documents WHERE kind = '_counters'";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let used = csv.lines().nth(1).expect("a count");
    used.parse().expect("a number")
}

fn again(place: &Workspace) -> Ran {
    place.command(&["run", "job", "--json", "--again"])
}

fn undo(place: &Workspace, run: &Ran, arguments: &[&str]) -> Ran {
    let number = run.run().to_string();
    let mut all = vec!["undo", number.as_str(), "--json"];
    all.extend(arguments);
    place.command(&all)
}

#[test]
fn only_what_is_there_and_differs_is_written_and_a_second_run_changes_nothing() {
    let place = usual_place("");
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 2 updated + 1 unchanged + 1 skipped",
        "{run}"
    );
    let fields = ["externalID", "customText1", "dateAvailable", "source"];
    let written = held(&place, "Candidate", &fields);
    // Midnight in Chicago.
    assert!(
        written.starts_with("R-1,gold,1782882000000,\"[\"\"Sense Referral\"\"]\"\nR-2,gold,,"),
        "{written}"
    );
    assert_eq!(written.lines().count(), 7, "nothing was made");
    let again = again(&place);
    assert_eq!(
        again.summary(),
        "4 read = 3 unchanged + 1 skipped",
        "{again}"
    );
    let undone = undo(&place, &run, &[]);
    assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
    assert!(
        held(&place, "Candidate", &fields)
            .starts_with("R-1,,,\"[\"\"Corporate Web\"\"]\"\nR-2,,,\n"),
        "{undone}"
    );
}

const ADDRESSES: &str = "id,externalID,name,address
10,R-1,Ines Farrow,\"{\"\"address1\"\":\"\"1 Elm St\"\",\"\"city\"\":\"\"Old Town\"\",\"\"zip\"\":\"\"1000\"\",\"\"countryID\"\":1}\"
11,R-2,Jon Glass,
";

#[test]
fn parts_of_an_address_are_written_and_the_others_stay() {
    let whole = [
        "externalID",
        "address.address1",
        "address.city",
        "address.zip",
        "address.countryID",
    ];
    // Nobody promises that an API leaves alone what of an address is not sent.
    for keeps in ["true", "false"] {
        let fields = "externalID = 'id'\n'address.city' = 'city'\n'address.zip' = 'zip'";
        let corporation = format!("[corporation]\nkeeps_addresses_whole = {keeps}\n");
        let place = place(&corporation, "", fields);
        place.file("ats/Candidate.csv", ADDRESSES);
        place.scores(
            "id VARCHAR(50) PRIMARY KEY, city VARCHAR(80), zip VARCHAR(40)",
            "id,city,zip\nR-1,New Town,1000\nR-2,Newer Town,2000\nR-3,X,1234567890123456\n",
        );
        let preview = place.command(&["preview", "job"]);
        assert!(preview.stdout.contains("address.city"), "{preview}");
        let run = place.run();
        let summary = "3 read = 2 updated + 1 rejected";
        assert_eq!(run.summary(), summary, "{keeps}: {run}");
        let rejected = place.rejected(run.run());
        assert!(rejected.contains("R-3,mapping,address.zip,"), "{rejected}");
        let written = "R-1,1 Elm St,New Town,1000,1\nR-2,,Newer Town,2000,\n";
        assert_eq!(held(&place, "Candidate", &whole), written, "{keeps}: {run}");
        let history = place.command(&["history", "scores", "--record", "R-1"]);
        assert!(
            history.stdout.contains("address.city") && history.stdout.contains("Old Town"),
            "{history}"
        );
        let undone = undo(&place, &run, &[]);
        assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
        let before = "R-1,1 Elm St,Old Town,1000,1\nR-2,,,,\n";
        assert_eq!(
            held(&place, "Candidate", &whole),
            before,
            "{keeps}: {undone}"
        );
    }
}

const COUNTRY: &str = r#"{"entity": "Country", "entityMetaUrl": "", "label": "Country", "fields": [
    {"name": "id", "type": "ID", "dataType": "Integer"},
    {"name": "name", "type": "SCALAR", "dataType": "String", "maxLength": 99},
    {"name": "code", "type": "SCALAR", "dataType": "String", "maxLength": 3}]}"#;

#[test]
fn what_people_see_of_a_list_and_of_a_country_is_written_as_what_it_stands_for() {
    let fields = "externalID = 'id'\n\
        'address.countryID' = { column = 'country', refers_to = 'Country.name' }\nsource = 'source'";
    let place = place("", "", fields);
    place.file("ats/Country.json", COUNTRY);
    place.file(
        "ats/Country.csv",
        "id,name,code\n2378,- None Specified -,\n2221,France,FR\n1,United States,US\n",
    );
    place.file("ats/Candidate.csv", ADDRESSES);
    let described = place.text("ats/Candidate.json");
    let labelled = described.replace(
        r#""value": "Sense Referral""#,
        r#""label": "Referred by an employee", "value": "Sense Referral""#,
    );
    let labelled = labelled.replace(r#", "label": "Sense Referral""#, "");
    assert_ne!(described, labelled);
    place.file("ats/Candidate.json", &labelled);
    place.scores(
        "id VARCHAR(50) PRIMARY KEY, country VARCHAR(80), source VARCHAR(80)",
        "id,country,source\nR-1,France,Monster.com;Referred by an employee\n\
         R-2,Frankreich,Sense Referral\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains("R-2,match,address.countryID,"),
        "{rejected}"
    );
    let whole = ["externalID", "address.city", "address.countryID", "source"];
    let written = held(&place, "Candidate", &whole);
    assert!(
        written.starts_with("R-1,Old Town,2221,\"[\"\"Monster.com\"\",\"\"Sense Referral\"\"]\"\n"),
        "{written}"
    );
    let again = again(&place);
    assert_eq!(
        again.summary(),
        "2 read = 1 unchanged + 1 rejected",
        "{again}"
    );
}

#[test]
fn an_address_as_a_whole_and_a_part_that_it_lacks_are_mistakes() {
    for (field, told, hint) in [
        ("address = 'city'", "`address` is ", "write its parts: "),
        (
            "'address.town' = 'city'",
            "`address.town`",
            "its parts are ",
        ),
    ] {
        let place = place("", "", &format!("externalID = 'id'\n{field}"));
        let columns = "id VARCHAR(50) PRIMARY KEY, city VARCHAR(80)";
        place.scores(columns, "id,city\nR-1,New Town\n");
        let check = place.command(&["check"]);
        assert_eq!(check.code, 2, "{check}");
        for words in [told, hint, "`address.city`"] {
            assert!(check.stderr.contains(words), "`{words}`: {check}");
        }
    }
}

#[test]
fn a_candidate_is_made_once_though_the_index_never_hears_of_it_and_is_taken_back() {
    for entitled in ["true", "false"] {
        for (matching, first, second) in [
            (
                "upsert",
                "2 read = 1 inserted + 1 updated",
                "2 read = 2 unchanged",
            ),
            (
                "create_only",
                "2 read = 1 inserted + 1 skipped",
                "2 read = 2 skipped",
            ),
        ] {
            let corporation =
                format!("[search]\nlag = '30d'\n[api_user]\nloads_data = {entitled}\n");
            let place = place(&corporation, &format!("matching = '{matching}'"), NEW);
            place.scores(NEW_SCHEMA, "id,tier\nR-1,gold\nN-1,gold\n");
            let run = place.run();
            assert_eq!(run.summary(), first, "{run}");
            let again = again(&place);
            assert_eq!(again.summary(), second, "{again}");
            assert_eq!(tiers(&place).lines().count(), 8);
            let undone = undo(&place, &run, &["--delete-created"]);
            assert_eq!(undone.code, 0, "{undone}");
            let deleted = held(&place, "Candidate", &["externalID", "isDeleted"]);
            assert!(deleted.contains("N-1,1\n"), "{deleted}");
        }
    }
}

#[test]
fn a_field_that_is_left_alone_rejects_its_record_which_then_holds_what_it_held() {
    for silently in ["true", "false"] {
        let rule = format!(
            "[[ignore]]\nentity = 'Candidate'\nproperty = 'occupation'\nsilently = {silently}\n"
        );
        let place = place(
            &rule,
            "",
            "externalID = 'id'\ncustomText1 = 'tier'\noccupation = 'job'",
        );
        place.scores(
            "id VARCHAR(50) PRIMARY KEY, tier VARCHAR(100), job VARCHAR(50)",
            "id,tier,job\nR-1,gold,Boss\nR-2,gold,Nurse\n",
        );
        let run = place.run();
        assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
        let rejected = place.rejected(run.run());
        assert!(
            rejected.contains("answered with success, and `occupation` was left as it was"),
            "{rejected}"
        );
        assert_eq!(rejected.contains("PROPERTY_IGNORED"), silently == "false");
        assert!(
            tiers(&place).starts_with("R-1,\nR-2,gold\n"),
            "{}",
            tiers(&place)
        );
    }
}

#[test]
fn check_tells_of_the_corporation() {
    let place = usual_place("");
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let line = "crm: corporation `12345` (Practice), last modified by `Practice API` (api@practice.example), version 2.0";
    assert!(check.stdout.contains(line), "{check}");
    assert!(
        check
            .stdout
            .contains("of 100 000 calls used and 50 % of them may be"),
        "{check}"
    );
}

#[test]
fn what_the_user_may_not_do_is_said_before_anything_is_written() {
    let forbidden = "[[forbid]]\nentity = 'Candidate'\nentitlement = 'UPDATE'\n";
    let check = usual_place(forbidden).command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(
        check.stderr.contains("may not be updated by this user"),
        "{check}"
    );
    let place = place("", "", "externalID = 'id'\nssn = 'tier'");
    place.scores(NEW_SCHEMA, "id,tier\nR-1,gold\n");
    let line = place.text("ats/Candidate.csv");
    let line = line
        .replace(",isDeleted\n", ",isDeleted,ssn\n")
        .replace(",false\n", ",false,1-2\n");
    place.file("ats/Candidate.csv", &line.replace(",true\n", ",true,1-2\n"));
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("`ssn` is confidential"), "{run}");
    assert!(held(&place, "Candidate", &["ssn"]).starts_with("1-2\n"));
}

#[test]
fn nobody_follows_to_a_host_of_another_site() {
    let place = usual_place("");
    let corporation = Corporation::start(&place, "moved_away:login_info=@1");
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("sent on to a host of another site"),
        "{run}"
    );
    assert_eq!(corporation.counts()["org"]["strayed"], 0);
}

/// So many candidates, `C-0000` and so on, and a record for each.
fn many(place: &Workspace, count: usize, tier: impl Fn(usize) -> String) {
    let mut candidates = String::from("id,externalID,name,status,isDeleted\n");
    let mut scores = String::from("id,tier\n");
    for number in 0..count {
        candidates += &format!("{},C-{number:05},N{number},Active,false\n", number + 1);
        scores += &format!("C-{number:05},{}\n", tier(number));
    }
    place.file("ats/Candidate.csv", &candidates);
    place.file("ats/JobSubmission.csv", "id\n");
    place.scores(NEW_SCHEMA, &scores);
}

const NO_MINUTE: &str = "[corporation]\ncalls_per_minute = 0\n";

#[test]
fn updates_take_little_more_calls_than_there_are_records() {
    let place = place(NO_MINUTE, "", "externalID = 'id'\ncustomText1 = 'tier'");
    many(&place, 1_000, |number| format!("tier {number}"));
    let run = place.run();
    assert_eq!(run.summary(), "1000 read = 1000 updated", "{run}");
    let used = calls(&place);
    assert!(used <= 1_000 + 2 * 3 + 10, "{used} calls");
}

#[test]
fn one_value_for_many_candidates_takes_one_call() {
    let place = place(NO_MINUTE, "", "externalID = 'id'\nstatus = 'tier'");
    many(&place, 400, |_| "Placed".to_owned());
    let run = place.run();
    assert_eq!(run.summary(), "400 read = 400 updated", "{run}");
    let used = calls(&place);
    assert!(used <= 20, "{used} calls");
    let statuses = held(&place, "Candidate", &["status"]);
    assert!(statuses.lines().all(|status| status == "Placed"), "{run}");
}

#[test]
fn one_value_for_many_is_told_of_each_that_does_not_take_it() {
    let rule = format!(
        "{NO_MINUTE}[[refuse]]\nentity = 'Candidate'\nwhen = \"id = 2 AND status = 'Placed'\"\nmessage = 'Not this one.'\n"
    );
    let rule = rule.replace("id = 2", "name = 'N1'");
    let place = place(&rule, "", "externalID = 'id'\nstatus = 'tier'");
    many(&place, 5, |_| "Placed".to_owned());
    let run = place.run();
    assert_eq!(run.summary(), "5 read = 4 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    assert!(rejected.contains("Not this one."), "{rejected}");
}

/// So many new candidates, in batches of 25, which the index never hears of.
fn place_of_creates(count: usize, entitled: bool) -> Workspace {
    let corporation =
        format!("{NO_MINUTE}[search]\nlag = '30d'\n[api_user]\nloads_data = {entitled}\n");
    let place = place(&corporation, "matching = 'upsert'\nbatch_size = 25", NEW);
    let lines = (0..count).map(|number| format!("N-{number:04},t{number}\n"));
    place.scores(
        NEW_SCHEMA,
        &format!("id,tier\n{}", lines.collect::<String>()),
    );
    place
}

/// Panics: unless each of so many new candidates is there, once.
fn expect_each_once(place: &Workspace, count: usize, told: &Ran) {
    let tiers = tiers(place);
    let mut new: Vec<&str> = tiers
        .lines()
        .filter(|line| line.starts_with("N-"))
        .collect();
    new.sort_unstable();
    let all = new.len();
    new.dedup();
    assert_eq!((all, new.len()), (count, count), "{told}");
}

#[test]
fn candidates_are_made_once_though_answers_are_lost_after_the_write() {
    for entitled in [true, false] {
        let count = if entitled { 300 } else { 100 };
        let place = place_of_creates(count, entitled);
        let faults = "seed=11,drop_after:create=3%,500_after:create=2%,drop_in:create=@7,drop_before:create=@9";
        let _corporation = Corporation::start(&place, faults);
        let run = place.run_with_retries(8);
        assert_eq!(run.json()["status"], "succeeded", "{run}");
        expect_each_once(&place, count, &run);
        let again = again(&place);
        assert_eq!(
            again.summary(),
            format!("{count} read = {count} unchanged"),
            "{again}"
        );
    }
}

#[test]
fn references_and_lists_are_written_compared_and_taken_back() {
    let place = place(
        "",
        "",
        "externalID = 'id'\nowner = 'owner'\nprimarySkills = 'skills'",
    );
    place.scores(
        "id VARCHAR(50) PRIMARY KEY, owner INTEGER, skills VARCHAR(50)",
        "id,owner,skills\nR-1,3,1;2\nR-2,3,2\nR-3,3,3;1\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 updated + 1 unchanged", "{run}");
    let fields = ["externalID", "owner", "primarySkills"];
    let written = held(&place, "Candidate", &fields);
    assert!(
        written.starts_with("R-1,3,\"[1,2]\"\nR-2,3,[2]\nR-3,3,\"[1,3]\"\n"),
        "{written}"
    );
    let again = again(&place);
    assert_eq!(again.summary(), "3 read = 3 unchanged", "{again}");
    let undone = undo(&place, &run, &[]);
    assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
    let before = held(&place, "Candidate", &fields);
    assert!(
        before.starts_with("R-1,2,[3]\nR-2,3,[2]\nR-3,2,\"[1,3]\"\n"),
        "{before}"
    );
}

#[test]
fn a_submission_is_made_once_for_a_candidate_and_a_job() {
    let fields = "candidate = 'candidate'\njobOrder = 'job'\nstatus = { string = 'New Lead' }\n\
                  dateWebResponse = 'at'";
    let place = place(
        "",
        "matching = 'create_only'\ntable = 'JobSubmission'",
        fields,
    );
    let schema = "candidate INTEGER NOT NULL, job INTEGER NOT NULL, at TIMESTAMP WITH TIME ZONE, PRIMARY KEY (candidate, job)";
    place.scores(
        schema,
        "candidate,job,at\n10,79,2026-06-01T10:00:00Z\n10,77,2026-06-01T10:00:00Z\n11,78,2026-06-01T10:00:00Z\n",
    );
    let corporation = Corporation::start(&place, "drop_after:create=@1");
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 inserted + 1 skipped", "{run}");
    let again = again(&place);
    assert_eq!(again.summary(), "3 read = 3 skipped", "{again}");
    drop(corporation);
    let made = held(
        &place,
        "JobSubmission",
        &["candidate", "jobOrder", "status"],
    );
    let mut made: Vec<&str> = made.lines().collect();
    made.sort_unstable();
    assert_eq!(
        made,
        ["10,77,New Lead", "10,79,Submission", "11,78,New Lead"]
    );
}

/// A job that adds a note to each of two candidates.
fn place_of_notes(corporation: &str) -> Workspace {
    let fields = "externalID = 'id'\npersonReference = 'candidate'\ncomments = 'text'\n\
                  action = { string = '19381' }\njobOrder = 'job'";
    let place = place(
        corporation,
        "matching = 'create_only'\ntable = 'Note'",
        fields,
    );
    place.scores(
        "id VARCHAR(50) PRIMARY KEY, candidate INTEGER, text VARCHAR(200), job INTEGER",
        "id,candidate,text,job\nref-1,10,Referred by Ada.,77\nref-2,11,Referred by Ben.,78\n",
    );
    place
}

#[test]
fn a_note_is_added_once_and_linked_to_its_candidate_and_job() {
    let lists = "[lists]\nnote_actions = ['Email', '19381']\n";
    for corporation in [
        lists.to_owned(),
        format!("{lists}[search]\nfinds_notes = false\n"),
    ] {
        let place = place_of_notes(&corporation);
        let served = Corporation::start(&place, "drop_after:create=@1,500_after:create=@2");
        let run = place.run();
        assert_eq!(run.summary(), "2 read = 2 inserted", "{run}");
        let again = again(&place);
        assert_eq!(again.summary(), "2 read = 2 skipped", "{again}");
        drop(served);
        let notes = held(&place, "Note", &["externalID", "personReference", "action"]);
        assert!(
            notes.ends_with("ref-1,10,19381\nref-2,11,19381\n")
                || notes.ends_with("ref-2,11,19381\nref-1,10,19381\n"),
            "{notes}"
        );
        assert_eq!(notes.lines().count(), 3, "{notes}");
        let links = held(
            &place,
            "NoteEntity",
            &["targetEntityID", "targetEntityName"],
        );
        assert_eq!(links.lines().count(), 5, "{links}");
    }
}

#[test]
fn an_action_that_the_corporation_does_not_have_is_told_with_the_nearest() {
    let place = place_of_notes("[lists]\nnote_actions = ['Email', '19382']\n");
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(check.stderr.contains("19382"), "{check}");
}

/// A project whose connection logs in to a corporation with credentials of its own.
fn live(place: &Workspace, corporation: &Corporation, password: &str) -> String {
    project(
        place,
        &format!(
            "login_url = '{}'\naccount = '12345'\nrequests_per_second = 1000\n\
             auth = {{ flow = 'password', client_id = 'app', client_secret = {{ env = 'SECRET' }}, user = 'api', password = {{ env = '{password}' }} }}",
            corporation.url()
        ),
    )
}

const API_USER: &str = "[api_user]\nclient_id = 'app'\nclient_secret = 'canary-7f'\nusername = 'api'\npassword = 'canary-8g'\n";
const ENVIRONMENT: [(&str, &str); 4] = [
    ("SECRET", "canary-7f"),
    ("WORD", "canary-8g"),
    ("WRONG", "canary-9h"),
    ("RUST_LOG", "trace"),
];

#[test]
fn a_refresh_token_is_kept_for_its_owner_and_works_once() {
    let place = usual_place(API_USER);
    let corporation = Corporation::start(&place, "expire:update=@1");
    place.file("writeback.toml", &live(&place, &corporation, "WRONG"));
    let refused = place.command_with(&["run", "job"], &ENVIRONMENT);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("no code came"), "{refused}");
    place.file("writeback.toml", &live(&place, &corporation, "WORD"));
    let run = place.command_with(&["run", "job", "--json"], &ENVIRONMENT);
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    let kept = place.text(".writeback/tokens/crm.json");
    let mode = std::fs::metadata(place.path(".writeback/tokens/crm.json"));
    assert_eq!(mode.expect("a file").permissions().mode() & 0o777, 0o600);
    let again = place.command_with(&["run", "job", "--json", "--again"], &ENVIRONMENT);
    assert_eq!(again.json()["status"], "succeeded", "{again}");
    assert_ne!(
        place.text(".writeback/tokens/crm.json"),
        kept,
        "it works once"
    );
    let counts = corporation.counts();
    assert_eq!(
        counts["calls"]["authorize"], 2,
        "the password was used once more: {counts}"
    );
    assert_eq!(
        counts["org"]["sessions"], 0,
        "sessions are given back: {counts}"
    );
}
