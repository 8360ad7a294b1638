//! Salesforce as a destination, against the practice org that is part of the program: records are
//! matched, compared and written as in a database, each of them by itself.

use crate::harness::certificates::openssl;
use crate::harness::{Served, Server, Workspace, write_back};

/// Accounts of the org: two share a legacy id.
const ACCOUNTS: &str = "Id,Name,Customer_Id__c,Legacy_Id__c,Health_Score__c,Churn_Risk__c,Health_Note__c,Interests__c,Scored_At__c,Strategic__c
001000000000A01,One,C-1,L1,10.5,low,old note,Analytics;Security,2026-11-01T06:00:00Z,false
001000000000A02,Two,C-2,L2,20,,,,,false
001000000000A03,Three,C-3,L3,30,high,kept,,,true
001000000000A04,Four,C-4,L4,40,low,,,,false
001000000000A05,Five,C-5,L4,50,low,,,,false
";

const SCHEMA: &str =
    "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), risk VARCHAR(16), note VARCHAR(255)";

const FIELDS: &str = "Customer_Id__c = 'id'
Health_Score__c = 'score'
Churn_Risk__c = 'risk'
Health_Note__c = 'note'";

/// What a rule of an admin refuses.
const RULE: &str = "[[refuse]]
object = 'Account'
when = 'Health_Score__c > 100'
message = 'A health score lies between 0 and 100.'
fields = ['Health_Score__c']
";

/// A project with an org of its own, which a job writes these records to.
pub(crate) fn place(settings: &str, scores: &str) -> Workspace {
    place_of(ACCOUNTS, settings, scores)
}

fn place_of(accounts: &str, settings: &str, scores: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    for file in ["Account.json", "User.json", "User.csv"] {
        let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(repository.join("fixtures/salesforce").join(file));
        place.file(&format!("org/{file}"), &text.expect(file));
    }
    place.file("org/Account.csv", accounts);
    place.file("org/practice.toml", RULE);
    place.file("writeback.toml", &project(&place, ""));
    place.scores(SCHEMA, scores);
    place.file(
        "schedules/job.toml",
        &write_back("scores", "Account", settings, FIELDS),
    );
    place
}

fn project(place: &Workspace, settings: &str) -> String {
    let connection = "[connections.crm]\nkind = 'salesforce'\npractice = 'org'\nattempts_max = 4\n";
    format!("{}{connection}{settings}\n", place.connection("files"))
}

/// What the org's accounts hold.
pub(crate) fn accounts(place: &Workspace, fields: &[&str]) -> String {
    let columns: Vec<String> = fields
        .iter()
        .map(|field| format!("json_extract(body, '$.{field}') AS {field}"))
        .collect();
    let sql = format!(
        "SELECT {} FROM documents WHERE kind = 'Account' ORDER BY 1",
        columns.join(", ")
    );
    place.query_file(".writeback/practice/crm.db", &sql)
}

/// Calls of the org's day.
fn calls(place: &Workspace) -> u64 {
    let sql = "SELECT json_extract(body, '$.used') AS used FROM documents WHERE kind = '_counters'";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let used = csv.lines().nth(1).expect("a count");
    used.parse().expect("a number")
}

const SCORES: &str = "id,score,risk,note
C-1,11.25,medium,new note
C-2,20.00,low,
C-3,30,high, kept
C-9,90,low,x
";

#[test]
fn check_tells_of_the_org() {
    let place = place("", SCORES);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let line = "crm: org `00D";
    assert!(check.stdout.contains(line), "{check}");
    assert!(
        check
            .stdout
            .contains("version 67.0 (promised until 2029-06 at least)"),
        "{check}"
    );
    assert!(
        check.stdout.contains("calls used and 50 % of them may be"),
        "{check}"
    );
}

#[test]
fn an_object_is_described_once_however_many_write_backs_and_fields_lead_to_it() {
    let place = place("", "id,score,risk,note\nC-1,11.25,low,usr@x.example\n");
    let schema = "schema = 'sql/scores.sql'\n";
    let first = "ignore = ['risk', 'note']";
    let second = "ignore = ['score', 'risk']";
    let owner = "{ column = 'note', refers_to = 'User.Email', not_found = 'keep' }";
    let job = [
        write_back(
            "scores",
            "Account",
            &format!("{schema}{first}"),
            "Customer_Id__c = 'id'\nHealth_Score__c = 'score'",
        ),
        write_back(
            "owners",
            "Account",
            &format!("{schema}{second}"),
            &format!("Customer_Id__c = 'id'\nOwnerId = {owner}"),
        ),
    ];
    place.file("schedules/job.toml", &job.concat());
    let served = Served::among(&place, "");
    let run = place.run();
    assert_eq!(run.code, 0, "{run}");
    let counts = served.counts();
    assert_eq!(counts["calls"]["describe"], 2, "{counts}");
}

#[test]
fn ten_thousand_updates_take_as_few_calls_as_they_can() {
    let mut accounts = String::from("Id,Name,Customer_Id__c,Strategic__c\n");
    let mut scores = String::from("id,score,risk,note\n");
    for number in 0..10_000 {
        accounts += &format!("001000000B{number:05},A{number},C-{number:05},false\n");
        scores += &format!("C-{number:05},{}.5,low,\n", number % 100);
    }
    let place = place_of(&accounts, "", &scores);
    let run = place.run();
    assert_eq!(run.summary(), "10000 read = 10000 updated", "{run}");
    let used = calls(&place);
    assert!(used <= 102, "{used} calls");
}

#[test]
fn one_percent_that_changed_costs_a_fiftieth_of_the_calls() {
    let scores = |changed: fn(usize) -> bool| {
        let mut scores = String::from("id,score,risk,note\n");
        for number in 0..10_000 {
            let half = if changed(number) { "75" } else { "5" };
            scores += &format!("C-{number:05},{}.{half},low,\n", number % 100);
        }
        scores
    };
    let mut accounts = String::from("Id,Name,Customer_Id__c,Strategic__c\n");
    for number in 0..10_000 {
        accounts += &format!("001000000B{number:05},A{number},C-{number:05},false\n");
    }
    let place = place_of(&accounts, "compare = 'last_written'", &scores(|_| false));
    assert_eq!(place.run().summary(), "10000 read = 10000 updated");
    let full = calls(&place);
    place.file("data/scores.csv", &scores(|number| number % 100 == 3));
    let run = place.run();
    assert_eq!(
        run.summary(),
        "10000 read = 100 updated + 9900 unchanged",
        "{run}"
    );
    let partial = calls(&place) - full;
    // Two for the records; the rest finds the object.
    assert!(partial <= 4, "{partial} calls after {full}");
    let nothing = place.run();
    assert_eq!(
        nothing.summary(),
        "10000 read = 10000 unchanged",
        "{nothing}"
    );
    assert!(calls(&place) - full - partial <= 2, "{nothing}");
}

#[test]
fn the_key_of_the_app_logs_in_and_no_other_does() {
    let place = place("", SCORES);
    let folder = place.path("org");
    for key in ["own.key", "other.key"] {
        openssl(&folder, &["genrsa", "-out", key, "2048"]);
    }
    openssl(
        &folder,
        &["rsa", "-in", "own.key", "-pubout", "-out", "own.pub"],
    );
    let app = "[[app]]\nclient_id = 'app'\nclient_secret = 'x'\npublic_key = 'own.pub'\n";
    place.file("org/practice.toml", &format!("{app}{RULE}"));
    let org = Served::among(&place, "");
    let live = |key: &str, user: &str| {
        format!(
            "{}[connections.crm]\nkind = 'salesforce'\nlogin_url = '{}'\nattempts_max = 2\n\
             auth = {{ flow = 'jwt_bearer', client_id = 'app', user = '{user}', private_key = {{ file = 'org/{key}' }} }}\n",
            place.connection("files"),
            org.url()
        )
    };
    let user = "writeback@practice.example";
    for (key, user, hint) in [
        ("other.key", user, "check `user` and `private_key`"),
        (
            "own.key",
            "nobody@practice.example",
            "check `user` and `private_key`",
        ),
        ("own.pub", user, "give an RSA key in PEM"),
    ] {
        place.file("writeback.toml", &live(key, user));
        let refused = place.command(&["check", "job"]);
        assert_eq!(refused.code, 2, "{key} of {user}: {refused}");
        assert!(refused.stderr.contains(hint), "{key} of {user}: {refused}");
    }
    place.file("writeback.toml", &live("own.key", user));
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 2 updated + 1 unchanged + 1 skipped",
        "{run}"
    );
}

const MEMBERS: &str = "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, interests VARCHAR(255))";

/// A job whose records tell members of accounts' interests.
fn interests(place: &Workspace, settings: &str, records: &str) {
    place.file("sql/scores.sql", &format!("{MEMBERS};\n"));
    place.file("data/scores.csv", &format!("id,interests\n{records}"));
    let fields =
        format!("Customer_Id__c = 'id'\nInterests__c = {{ column = 'interests', {settings} }}");
    let job = write_back("scores", "Account", "", &fields);
    place.file("schedules/job.toml", &job);
}

#[test]
fn a_member_that_is_no_option_is_refused_before_anything_is_sent() {
    let place = place("", SCORES);
    interests(
        &place,
        "list = 'add'",
        "C-1,Training;Analytic\nC-2,Training\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    let why = "mapping,Interests__c,not all of the column's words; `Analytics` is the nearest";
    assert!(rejected.contains(why), "{rejected}");
    // What a row holds may be taken out, whatever it is.
    interests(&place, "list = 'remove'", "C-1,Analytic\nC-2,Training\n");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 unchanged", "{run}");
}

#[test]
fn members_are_added_taken_out_or_replaced_and_undo_puts_back_what_was_there() {
    for (settings, records, summary, held) in [
        // Whoever else set `Analytics`, it stays.
        (
            "list = 'add'",
            "C-1,Training;Security\nC-2,Training\nC-3,\nC-9,Training\n",
            "4 read = 2 updated + 1 unchanged + 1 skipped",
            ["Analytics;Security;Training", "Training", ""],
        ),
        (
            "list = 'add', separator = '|'",
            "C-1,Security|Analytics\nC-2,\"[\"\"Training\"\", \"\"Security\"\"]\"\n",
            "2 read = 1 updated + 1 unchanged",
            ["Analytics;Security", "Security;Training", ""],
        ),
        (
            "list = 'remove'",
            "C-1,Security;Training\nC-2,Training\nC-3,[]\n",
            "3 read = 1 updated + 2 unchanged",
            ["Analytics", "", ""],
        ),
        (
            "list = 'remove'",
            "C-1,Security;Analytics\n",
            "1 read = 1 updated",
            ["", "", ""],
        ),
        (
            "list = 'replace', separator = ','",
            "C-1,\"Training, Security\"\nC-3,\n",
            "2 read = 1 updated + 1 unchanged",
            ["Security;Training", "", ""],
        ),
    ] {
        let place = place("", "id,score,risk,note\n");
        interests(&place, settings, records);
        let foreseen = place.command(&["preview", "job", "--json"]);
        let run = place.run();
        assert_eq!(run.summary(), summary, "{settings}: {run}");
        assert_eq!(
            foreseen.json()["write_backs"][0]["updated"],
            run.json()["write_backs"][0]["updated"],
            "{settings}"
        );
        let now = || {
            let csv = accounts(&place, &["Customer_Id__c", "Interests__c"]);
            let values = csv.lines().skip(1).take(3);
            let values = values.filter_map(|line| line.split_once(','));
            values.map(|(_, held)| held.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(now(), held, "{settings}");
        let again = place.command(&["run", "job", "--again", "--json"]);
        assert!(!again.summary().contains("updated"), "{settings}: {again}");
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "{undo}");
        assert_eq!(now(), ["Analytics;Security", "", ""], "{settings}");
    }
}

#[test]
fn members_that_somebody_added_since_are_left_by_undo() {
    let place = place("", "id,score,risk,note\n");
    interests(&place, "list = 'add'", "C-1,Training\nC-2,Training\n");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    place.execute_file(
        ".writeback/practice/crm.db",
        "UPDATE documents SET body = json_set(body, '$.Interests__c', 'Security;Training')
         WHERE kind = 'Account' AND json_extract(body, '$.Customer_Id__c') = 'C-2'",
    );
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert!(undo.stdout.contains("changed since"), "{undo}");
    let held = accounts(&place, &["Customer_Id__c", "Interests__c"]);
    assert!(
        held.contains("C-1,Analytics;Security\nC-2,Security;Training\n"),
        "{held}"
    );
}

#[test]
fn a_saved_plan_writes_the_list_that_it_showed_and_one_string_is_added_to_all() {
    let place = place("", "id,score,risk,note\n");
    interests(&place, "list = 'add'", "C-1,Training\nC-2,Training\n");
    let job = place.text("schedules/job.toml");
    let job = job.replace("column = 'interests'", "string = 'Training'");
    let job = job.replace(
        "[[write_back]]\n",
        "[[write_back]]\nignore = ['interests']\n",
    );
    place.file("schedules/job.toml", &job);
    let saved = place.command(&["preview", "job", "--out", "plan"]);
    assert_eq!(saved.code, 0, "{saved}");
    let run = place.command(&["run", "job", "--plan", "plan", "--json"]);
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    let held = accounts(&place, &["Customer_Id__c", "Interests__c"]);
    assert!(
        held.contains("C-1,Analytics;Security;Training\nC-2,Training\n"),
        "{held}"
    );
}

#[test]
fn a_killed_run_that_adds_members_ends_as_a_clean_one() {
    for death in ["1 an intent recorded", "1 a request answered"] {
        let place = place("", "id,score,risk,note\n");
        interests(&place, "list = 'add'", "C-1,Training\nC-2,Training\n");
        let killed =
            place.command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", death)]);
        assert!(killed.stderr.contains("dies here"), "{death}: {killed}");
        let ran = place.run();
        assert_eq!(ran.summary(), "2 read = 2 updated", "{death}: {ran}");
        let held = accounts(&place, &["Customer_Id__c", "Interests__c"]);
        assert!(
            held.contains("C-1,Analytics;Security;Training\nC-2,Training\n"),
            "{death}: {held}"
        );
        let undo = place.command(&["undo", &ran.run().to_string()]);
        assert_eq!(undo.code, 0, "{death}: {undo}");
        let held = accounts(&place, &["Customer_Id__c", "Interests__c"]);
        assert!(
            held.contains("C-1,Analytics;Security\nC-2,\n"),
            "{death}: {held}"
        );
    }
}

#[test]
fn mistakes_about_lists_are_told_where_they_stand() {
    let place = place("", "id,score,risk,note\n");
    for (settings, told) in [
        ("list = 'append'", "`list`"),
        ("separator = ','", "`separator` belongs to a `list`"),
        ("list = 'add', separator = ' '", "`separator` is blank"),
        (
            "list = 'add', on_conflict = 'keep'",
            "`on_conflict = \"keep\"` says nothing about a `list`",
        ),
        (
            "list = 'add', separator = ',', string = 'a'",
            "`separator` is of what the source tells",
        ),
        (
            "list = 'add', refers_to = 'User.Email'",
            "`list` is of no reference",
        ),
    ] {
        interests(&place, settings, "C-1,Training\n");
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{settings}: {check}");
        assert!(check.stderr.contains(told), "{settings}: {check}");
    }
    interests(&place, "list = 'add'", "C-1,Training\n");
    let job = place.text("schedules/job.toml");
    let job = job.replace("Interests__c =", "Health_Note__c =");
    place.file("schedules/job.toml", &job);
    let check = place.command(&["check", "job"]);
    assert!(
        check
            .stderr
            .contains("`list` is of fields of several members, and `Health_Note__c` is"),
        "{check}"
    );
    interests(&place, "list = 'add'", "C-1,\"[\"\"a;b\"\"]\"\n");
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 rejected", "{run}");
    assert!(place.rejected(run.run()).contains("a member holds `;`"));
}

#[test]
fn what_a_record_s_type_does_not_offer_is_refused_before_it_is_sent() {
    let place = place(
        "",
        "id,score,risk,note\nC-1,1,high,a\nC-2,2,high,b\nC-3,3,high,c\n",
    );
    place.file(
        "org/practice.toml",
        "[[record_type]]\nobject = 'Account'\nid = '012Hs000000CustIAC'\nname = 'Customer'\n\
         choices = { Churn_Risk__c = ['low', 'medium'] }\n",
    );
    // The first and the third are customers; the third holds already what its type no longer offers.
    let accounts_file = "Id,Name,Customer_Id__c,Churn_Risk__c,RecordTypeId\n\
                    001000000000A01,One,C-1,low,012Hs000000CustIAC\n\
                    001000000000A02,Two,C-2,low,\n\
                    001000000000A03,Three,C-3,high,012Hs000000CustIAC\n";
    place.file("org/Account.csv", accounts_file);
    // Its preview tells it already.
    let preview = place.command(&["preview", "job"]);
    for told in [
        "3 read = 2 updated + 1 rejected",
        "does not offer `high` in",
    ] {
        assert!(preview.stdout.contains(told), "`{told}`: {preview}");
    }
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    let why = "does not offer `high` in `Churn_Risk__c`";
    assert!(rejected.contains(why), "{rejected}");
    let held = accounts(
        &place,
        &["Customer_Id__c", "Churn_Risk__c", "Health_Note__c"],
    );
    assert!(
        held.contains("C-1,low,\nC-2,high,b\nC-3,high,c\n"),
        "{held}"
    );
}

#[test]
fn records_of_one_parent_are_never_written_by_two_requests_at_once() {
    let place = place("", "");
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let contact = std::fs::read_to_string(repository.join("fixtures/salesforce/Contact.json"));
    let contacts: Vec<String> = (1..=40)
        .map(|number| {
            let account = 1 + number % 2;
            format!("003000000000C{number:02},001000000000A{account:02},L{number},K-{number:02}\n")
        })
        .collect();
    let records: Vec<String> = (1..=40)
        .map(|number| format!("K-{number:02},T{number}\n"))
        .collect();
    place
        .file("org/Contact.json", &contact.expect("a describe answer"))
        .file(
            "org/Contact.csv",
            &format!(
                "Id,AccountId,LastName,Contact_Key__c\n{}",
                contacts.concat()
            ),
        )
        .file("writeback.toml", &project(&place, "writers = 4\n"))
        .scores(
            "id VARCHAR(18) PRIMARY KEY, title VARCHAR(40)",
            &format!("id,title\n{}", records.concat()),
        )
        .file(
            "schedules/job.toml",
            &write_back(
                "scores",
                "Contact",
                "batch_size = 5",
                "Contact_Key__c = 'id'\nTitle = 'title'",
            ),
        );
    let org = Served::among(&place, "latency=30ms,lock_wait=1ms");
    let run = place.run();
    assert_eq!(run.summary(), "40 read = 40 updated", "{run}");
    // A request whose records were locked would have been sent once more.
    assert_eq!(org.counts()["calls"]["update"], 8, "{}", org.counts());
}
