//! Dataverse as a destination, against the practice environment that is part of the program: rows
//! are matched, compared and written as in a database.

use serde_json::Value;

use crate::harness::{Ran, Served, Server, Workspace, write_back};
use crate::hubspot::ten_thousand;

/// Accounts of the environment: two share an account number.
const ACCOUNTS: &str = "accountid,name,cr_customerid,accountnumber,cr_healthscore,cr_churnrisk,cr_healthnote,cr_interests,cr_scoredat,cr_strategic,cr_manager,primarycontactid
00000000-0000-4000-8000-000000000a01,One,C-1,L1,10.5,low,old note,Analytics;Security,2026-11-01T06:00:00Z,false,,00000000-0000-4000-8000-000000000c01
00000000-0000-4000-8000-000000000a02,Two,C-2,L2,20,,,,,false,,
00000000-0000-4000-8000-000000000a03,Three,C-3,L3,30,high,kept,,,true,,
00000000-0000-4000-8000-000000000a04,Four,C-4,L4,40,low,,,,false,,
00000000-0000-4000-8000-000000000a05,Five,C-5,L4,50,low,,,,false,,
";

const CONTACTS: &str = "contactid,lastname,parentcustomerid
00000000-0000-4000-8000-000000000c01,Quist,account:00000000-0000-4000-8000-000000000a01
00000000-0000-4000-8000-000000000c02,Okoye,
";

const SCHEMA: &str =
    "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), risk VARCHAR(16), note VARCHAR(255)";

const FIELDS: &str = "cr_customerid = 'id'
cr_healthscore = 'score'
cr_churnrisk = 'risk'
cr_healthnote = 'note'";

/// What a plug-in refuses.
const PLUG_IN: &str = "[[refuse]]
table = 'account'
when = 'cr_healthscore gt 100'
message = 'A health score lies between 0 and 100.'
";

const TABLES: [&str; 6] = [
    "account",
    "contact",
    "systemuser",
    "team",
    "cr_signal",
    "cr_handbook",
];

/// A project with an environment of its own, which a job writes these records to.
pub(crate) fn place(settings: &str, scores: &str) -> Workspace {
    place_of(ACCOUNTS, settings, scores)
}

fn place_of(accounts: &str, settings: &str, scores: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for table in TABLES {
        let file = format!("{table}.json");
        let text = std::fs::read_to_string(repository.join("fixtures/dataverse").join(&file));
        place.file(&format!("environment/{file}"), &text.expect("a definition"));
    }
    place.file("environment/account.csv", accounts);
    place.file("environment/contact.csv", CONTACTS);
    place.file("environment/practice.toml", PLUG_IN);
    place.file("writeback.toml", &project(&place, ""));
    place.scores(SCHEMA, scores);
    place.file(
        "schedules/job.toml",
        &write_back("scores", "account", settings, FIELDS),
    );
    place
}

fn project(place: &Workspace, settings: &str) -> String {
    let connection =
        "[connections.crm]\nkind = 'dataverse'\npractice = 'environment'\nattempts_max = 4\n";
    format!("{}{connection}{settings}\n", place.connection("files"))
}

/// What the environment's accounts hold.
fn accounts(place: &Workspace, columns: &[&str]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| {
            let held = format!("json_extract(body, '$.{column}')");
            match *column {
                "cr_healthscore" | "revenue" => format!("CAST({held} AS REAL) AS {column}"),
                column => format!("{held} AS \"{column}\""),
            }
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM documents WHERE kind = 'account' ORDER BY 1",
        columns.join(", ")
    );
    place.query_file(".writeback/practice/crm.db", &sql)
}

pub(crate) fn scores(place: &Workspace) -> String {
    accounts(place, &["cr_customerid", "cr_healthscore", "cr_churnrisk"])
}

/// What the environment counted.
fn tallies(place: &Workspace) -> Value {
    let sql = "SELECT body FROM documents WHERE kind = '_counters'";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let record = reader.records().next().expect("a row").expect("CSV");
    serde_json::from_str(&record[0]).expect("JSON")
}

const SCORES: &str = "id,score,risk,note
C-1,11.25,medium,new note
C-2,20.00,low,
C-3,30,high,kept
C-9,90,low,x
";

/// Every kind of column, written as the source may have it.
const KINDS: &str = "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), risk VARCHAR(16), note VARCHAR(255), \
                     interests VARCHAR(80), scored TIMESTAMP WITH TIME ZONE, review DATE, seats INTEGER, strategic BOOLEAN, \
                     renewal DECIMAL(5,2), contact UUID, revenue DECIMAL(12,2)";

#[test]
fn values_of_every_kind_are_unchanged_the_second_time() {
    let place = place("", SCORES);
    place.scores(
        KINDS,
        "id,score,risk,note,interests,scored,review,seats,strategic,renewal,contact,revenue
C-1,11.50,100000002,O'Brien said ok,Training;Analytics,2026-11-20T07:08:09+02:00,2026-12-31,7,true,50.50,00000000-0000-4000-8000-000000000C02,1000000.10
C-2,0.00,low,,\"1,5\",2026-11-20T05:08:09Z,2026-02-28,0,false,0,,0.50
",
    );
    let fields = format!(
        "{FIELDS}\ncr_interests = 'interests'\ncr_scoredat = 'scored'\ncr_reviewon = 'review'\ncr_seats = 'seats'\n\
         cr_strategic = 'strategic'\ncr_renewallikelihood = 'renewal'\nprimarycontactid = 'contact'\nrevenue = 'revenue'"
    );
    place.file(
        "schedules/job.toml",
        &write_back("scores", "account", "", &fields),
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    let held = accounts(
        &place,
        &[
            "cr_customerid",
            "cr_churnrisk",
            "cr_interests",
            "cr_scoredat",
            "cr_reviewon",
            "cr_seats",
            "cr_strategic",
            "primarycontactid.id",
            "revenue",
        ],
    );
    let expected = [
        "C-1,100000002,\"1,5\",2026-11-20T05:08:09Z,2026-12-31,7,1,00000000-0000-4000-8000-000000000c02,1000000.1",
        "C-2,100000000,\"1,5\",2026-11-20T05:08:09Z,2026-02-28,0,0,,0.5",
    ];
    let lines: Vec<&str> = held.lines().skip(1).take(2).collect();
    assert_eq!(lines, expected);
    let again = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(again.summary(), "2 read = 2 unchanged", "{again}");
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    let restored = accounts(
        &place,
        &[
            "cr_customerid",
            "cr_churnrisk",
            "cr_interests",
            "primarycontactid.id",
        ],
    );
    assert!(
        restored.contains("C-1,100000000,\"1,4\",00000000-0000-4000-8000-000000000c01\n"),
        "{restored}"
    );
}

#[test]
fn a_row_that_a_plug_in_refuses_costs_one_row_though_it_refuses_the_whole_message() {
    let records = "id,score,risk,note\nC-1,11,low,\nC-2,150,low,\nC-3,31,hihg,\nC-4,41,low,\n";
    let place = place("", records);
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 2 updated + 2 rejected", "{run}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains("0x80040265: A health score lies between 0 and 100."),
        "{rejected}"
    );
    assert!(rejected.contains("`high` is the nearest"), "{rejected}");
    let held = scores(&place);
    assert!(held.contains("C-1,11.0,100000000\n"), "{held}");
    assert!(held.contains("C-2,20.0,\n"), "{held}");
}

#[test]
fn a_row_that_goes_between_look_up_and_write_is_not_made_anew() {
    let place = place("", SCORES);
    let environment = Served::among(&place, "");
    environment.command(
        "vanish",
        r#"{"id": "00000000-0000-4000-8000-000000000a01"}"#,
    );
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 1 updated + 1 unchanged + 2 skipped",
        "{run}"
    );
    assert!(!scores(&place).contains("C-1"), "{}", scores(&place));
}

#[test]
fn a_secured_column_that_may_not_be_read_is_missed_and_never_blanked() {
    let place = place("", SCORES);
    let definition = place.text("environment/account.json");
    let mut definition: Value = serde_json::from_str(&definition).expect("JSON");
    let columns = definition["Attributes"].as_array_mut().expect("columns");
    let note = columns
        .iter_mut()
        .find(|column| column["LogicalName"] == "cr_healthnote");
    note.expect("the column")["IsSecured"] = Value::Bool(true);
    place.file("environment/account.json", &definition.to_string());
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(check.stderr.contains("cr_healthnote"), "{check}");
    let grant = "[[grant]]\ntable = 'account'\ncolumn = 'cr_healthnote'\nread = true\nupdate = true\ncreate = true\n";
    place.file("environment/practice.toml", grant);
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 2 updated + 1 unchanged + 1 skipped",
        "{run}"
    );
}

#[test]
fn check_tells_of_the_environment() {
    let place = place("", SCORES);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let line = "crm: environment `0a0e0000-0000-4000-8000-000000000001`, last modified by `# Writeback`, version 9.2";
    assert!(check.stdout.contains(line), "{check}");
}

#[test]
fn a_run_stops_when_the_environment_behind_the_url_is_another_one_by_then() {
    let place = place("", SCORES);
    place.file(
        "writeback.toml",
        &project(&place, "account = '0a0e0000-0000-4000-8000-000000000001'"),
    );
    let environment = Served::among(&place, "");
    assert_eq!(place.command(&["check"]).code, 0);
    environment.command(
        "organization",
        r#"{"id": "22222222-0000-4000-8000-000000000002"}"#,
    );
    let refused = place.run();
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .stderr
            .contains("22222222-0000-4000-8000-000000000002"),
        "{refused}"
    );
}

#[test]
fn what_cannot_be_had_there_is_said_with_its_reason() {
    let place = place("", SCORES);
    let told = |job: &str| {
        place.file("schedules/job.toml", job);
        let check = place.command(&["check"]);
        assert_eq!(check.code, 2, "{check}");
        check.stderr
    };
    let job = place.text("schedules/job.toml");
    let stderr = told(&job.replace("'account'", "'accounts'"));
    assert!(
        stderr.contains("`accounts` is what `account` is called in URLs"),
        "{stderr}"
    );
    let stderr = told(&write_back(
        "scores",
        "cr_signal",
        "ignore = ['risk', 'note']\n",
        "cr_name = 'id'\ncr_score = 'score'",
    ));
    assert!(stderr.contains("is an elastic table"), "{stderr}");
}

#[test]
fn a_privilege_that_the_application_user_lacks_is_missed_before_anything_is_written() {
    let place = place("", SCORES);
    let settings = "[environment]\nwithout = ['prvWriteAccount']\n";
    place.file("environment/practice.toml", settings);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(
        check.stderr.contains("may not be updated by this user"),
        "{check}"
    );
    assert!(
        check
            .stderr
            .contains("security role of the application user"),
        "{check}"
    );
}

#[test]
fn ten_thousand_updates_take_as_few_calls_as_they_can() {
    let mut accounts = String::from("accountid,name,cr_customerid,cr_strategic\n");
    for number in 0..10_000 {
        accounts +=
            &format!("00000000-0000-4000-8000-0000000{number:05},A{number},C-{number:05},false\n");
    }
    let settings = "compare = 'last_written'";
    let place = place_of(&accounts, settings, &ten_thousand(false));
    let run = place.run();
    assert_eq!(run.summary(), "10000 read = 10000 updated", "{run}");
    let told = || {
        let tallies = tallies(&place);
        ["used", "items"].map(|name| tallies[name].as_u64().expect("a count"))
    };
    let [used, items] = told();
    assert!(used <= 120, "{used} calls");
    assert!(items <= 10_110, "{items} items");
    place.file("data/scores.csv", &ten_thousand(true));
    let next = place.run();
    let summary = "10000 read = 100 updated + 9900 unchanged";
    assert_eq!(next.summary(), summary, "{next}");
    let [_, items_then] = told();
    let partial = items_then - items;
    assert!(partial * 50 <= 10_110, "{partial} items after {items}");
    let calls = &next.json()["write_backs"][0]["calls"];
    assert!(calls.as_u64() <= Some(2), "{next}");
}

#[test]
fn descriptions_are_saved_whole_and_are_a_practice_s_folder() {
    let place = place("", SCORES);
    let saved = place.command(&["describe", "crm", "--out", "saved"]);
    assert_eq!(saved.code, 0, "{saved}");
    let text = place.text("saved/account.json");
    let described: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(described["EntitySetName"], "accounts");
    place.file("environment/account.json", &text);
    place.command(&[
        "describe",
        "crm",
        "contact",
        "systemuser",
        "--out",
        "environment",
    ]);
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 2 updated + 1 unchanged + 1 skipped",
        "{run}"
    );
    let unknown = place.command(&["describe", "crm", "acount", "--out", "saved"]);
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.stderr.contains("did you mean `account`?"),
        "{unknown}"
    );
}

/// New accounts, so many.
fn new_accounts(count: usize) -> String {
    let lines = (0..count).map(|number| format!("N-{number:04},{}.5,low,\n", number % 100));
    format!("id,score,risk,note\n{}", lines.collect::<String>())
}

/// A place where rows are created under a key that nothing in the environment holds to be unique.
fn place_of_creates(count: usize) -> Workspace {
    let place = place(
        "matching = 'upsert'\nbatch_size = 20\n",
        &new_accounts(count),
    );
    let job = place.text("schedules/job.toml");
    let job = job.replace("cr_customerid", "accountnumber");
    place.file(
        "schedules/job.toml",
        &format!("{job}name = {{ string = 'New' }}\n"),
    );
    place
}

/// Panics: unless each of so many new accounts is in the environment, once.
fn expect_each_once(place: &Workspace, count: usize, told: &Ran) {
    let keys = accounts(place, &["accountnumber"]);
    let new: Vec<&str> = keys.lines().filter(|key| key.starts_with("N-")).collect();
    let mut once = new.clone();
    once.dedup();
    assert_eq!((new.len(), once.len()), (count, count), "{told}");
}

#[test]
fn rows_of_a_key_that_nobody_keeps_unique_are_created_once_though_answers_are_lost() {
    let place = place_of_creates(100);
    let _environment = Served::among(&place, "seed=11,drop_after=20%,drop_in:batch=@2@5");
    let run = place.run_with_retries(8);
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    expect_each_once(&place, 100, &run);
}

#[test]
fn a_log_in_that_is_refused_says_what_to_do() {
    let place = place("", SCORES);
    let apps = "[[app]]\nclient_id = 'stranger'\nclient_secret = 's'\nmember = false\n";
    place.file("environment/practice.toml", apps);
    let environment = Served::among(&place, "");
    let live = |tenant: &str, client: &str, secret: &str| {
        format!(
            "{}[connections.crm]\nkind = 'dataverse'\nlogin_url = '{url}'\napi_url = '{url}'\n\
             auth = {{ flow = 'client_credentials', tenant = '{tenant}', client_id = '{client}', client_secret = '{secret}' }}\n",
            place.connection("files"),
            url = environment.url()
        )
    };
    for (project, words) in [
        (
            live("practice.example", "practice", "wrong"),
            "Certificates & secrets",
        ),
        (live("practice.example", "nobody", "s"), "AADSTS700016"),
        (live("elsewhere", "practice", "practice"), "check `tenant`"),
        (
            live("practice.example", "stranger", "s"),
            "has no application user in this environment",
        ),
    ] {
        place.file("writeback.toml", &project);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{check}");
        assert!(check.stderr.contains(words), "{words}: {check}");
    }
}

#[test]
fn an_app_logs_in_with_its_certificate_and_with_no_other() {
    let place = place("", SCORES);
    for name in ["own", "other"] {
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=writeback",
            ])
            .args([
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("environment/{name}.crt"),
            ])
            .current_dir(place.path(""))
            .output()
            .expect("`openssl` is installed");
        assert!(made.status.success(), "{made:?}");
    }
    let apps = "[[app]]\nclient_id = 'nightly'\ncertificate = 'own.crt'\n";
    place.file("environment/practice.toml", apps);
    let environment = Served::among(&place, "");
    let live = |certificate: &str, key: &str| {
        let project = format!(
            "{}[connections.crm]\nkind = 'dataverse'\nlogin_url = '{url}'\napi_url = '{url}'\n\
             auth = {{ flow = 'client_certificate', tenant = 'practice.example', client_id = 'nightly', \
             certificate = {{ file = 'environment/{certificate}.crt' }}, private_key = {{ file = '{key}.key' }} }}\n",
            place.connection("files"),
            url = environment.url()
        );
        place.file("writeback.toml", &project);
        place.command(&["check", "job"])
    };
    for (certificate, key, words) in [
        ("other", "other", "not registered on application"),
        ("own", "other", "contains an invalid signature"),
    ] {
        let refused = live(certificate, key);
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains(words), "{words}: {refused}");
        assert!(
            refused
                .stderr
                .contains("check that the app holds this certificate"),
            "{refused}"
        );
    }
    let check = live("own", "own");
    assert_eq!(check.code, 0, "{check}");
    let run = place.run();
    assert_eq!(run.json()["status"], "succeeded", "{run}");
}

#[test]
fn custom_logic_is_passed_over_where_the_file_says_so_and_the_user_may() {
    let place = place("", "id,score,risk,note\nC-1,150,low,x\n");
    let refused = place.run();
    assert_eq!(
        refused.summary(),
        "1 read = 1 rejected",
        "a plug-in: {refused}"
    );
    let job = place.text("schedules/job.toml");
    let with = |options: &str| {
        place.file(
            "schedules/job.toml",
            &format!("{job}\n[write_back.dataverse]\n{options}\n"),
        );
        place.command(&["check", "job"])
    };
    for (options, words) in [
        (
            "bypass_business_logic = ['CustomSink']",
            "did you mean `CustomSync`?",
        ),
        ("bypass_steps = ['all']", "`all` is no GUID"),
        ("bypass = true", "bypass"),
    ] {
        let mistaken = with(options);
        assert_eq!(mistaken.code, 2, "{mistaken}");
        assert!(mistaken.stderr.contains(words), "{words}: {mistaken}");
    }
    let check = with("bypass_business_logic = ['CustomSync']\nbypass_flows = true");
    assert_eq!(check.code, 0, "{check}");
    let line =
        "    bypassed: custom plug-ins and workflows within a request; flows of Power Automate";
    assert!(check.stdout.contains(line), "{check}");
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 updated", "{run}");
    assert!(scores(&place).contains("C-1,150"), "{}", scores(&place));

    let lacking = format!("{PLUG_IN}[environment]\nwithout = ['prvBypassCustomBusinessLogic']\n");
    place.file("environment/practice.toml", &lacking);
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(
        check.stderr.contains("prvBypassCustomBusinessLogic"),
        "{check}"
    );

    // The same, where another write-back of the job does not ask for it.
    let fields = |name: &str, field: &str, ignored: &str| {
        let settings = format!("schema = 'sql/scores.sql'\nignore = [{ignored}]");
        write_back(
            name,
            "account",
            &settings,
            &format!("cr_customerid = 'id'\n{field}"),
        )
    };
    let plain = fields("scores", "cr_healthscore = 'score'", "'risk', 'note'");
    let bypassing = fields("notes", "cr_healthnote = 'note'", "'score', 'risk'");
    let options = "\n[write_back.dataverse]\nbypass_business_logic = ['CustomSync']\n";
    for job in [
        format!("{plain}{bypassing}{options}"),
        format!("{bypassing}{options}{plain}"),
    ] {
        place.file("schedules/job.toml", &job);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{check}");
        let told = check.stderr.matches("prvBypassCustomBusinessLogic").count();
        assert_eq!(told, 1, "of the one that asks for it: {check}");
    }
}

/// Between the look-up and the write, so that only the ETag can tell.
#[test]
fn what_somebody_changes_in_the_last_moment_is_kept() {
    let place = place("", "id,score,risk,note\nC-1,11,low,x\n");
    let job = place.text("schedules/job.toml");
    let keeping = job.replace("'score'", "{ column = 'score', on_conflict = 'keep' }");
    place.file("schedules/job.toml", &keeping);
    let first = place.run();
    assert_eq!(first.summary(), "1 read = 1 updated", "{first}");
    place.file("data/scores.csv", "id,score,risk,note\nC-1,12,low,x\n");
    let environment = Served::among(&place, "");
    environment.command(
        "meddle",
        r#"{"id": "00000000-0000-4000-8000-000000000a01", "column": "cr_healthscore", "value": 77}"#,
    );
    let run = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    assert!(
        scores(&place).contains("C-1,77"),
        "{}: {run}",
        scores(&place)
    );
}
