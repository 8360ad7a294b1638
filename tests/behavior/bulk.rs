//! Many updates go to Salesforce in one job of its Bulk API, whose results come back in any order; what
//! a lost answer or a killed program leaves is asked of the job itself.

use std::fmt::Write;

use crate::harness::{Ran, Served, Server, Workspace, write_back};

const RULE: &str = "[[refuse]]
object = 'Account'
when = 'Health_Score__c > 100'
message = 'A health score lies between 0 and 100.'
fields = ['Health_Score__c']
";

const FIELDS: &str = "Customer_Id__c = 'id'
Health_Score__c = 'score'
Churn_Risk__c = 'risk'
Health_Note__c = 'note'";

/// A project with an org of so many accounts; a line for each is told by `line`.
fn place(accounts: usize, settings: &str, line: impl Fn(usize) -> String) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    for file in ["Account.json", "User.json", "User.csv"] {
        let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(repository.join("fixtures/salesforce").join(file));
        place.file(&format!("org/{file}"), &text.expect(file));
    }
    let mut rows =
        String::from("Id,Name,Customer_Id__c,Churn_Risk__c,Health_Note__c,Strategic__c\n");
    let mut scores = String::from("id,score,risk,note\n");
    for number in 0..accounts {
        writeln!(
            rows,
            "001000000B{number:05},A{number},C-{number:05},low,old,false"
        )
        .unwrap();
        writeln!(scores, "C-{number:05},{}", line(number)).unwrap();
    }
    place.file("org/Account.csv", &rows);
    place.file("org/practice.toml", RULE);
    let connection = "[connections.crm]\nkind = 'salesforce'\npractice = 'org'\nattempts_max = 4\n";
    place.file(
        "writeback.toml",
        &format!("{}{connection}", place.connection("files")),
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, score DECIMAL(7,2), risk VARCHAR(16), note VARCHAR(255)",
        &scores,
    );
    let job = write_back("scores", "Account", "", FIELDS);
    place.file(
        "schedules/job.toml",
        &format!("{job}\n[write_back.salesforce]\n{settings}\n"),
    );
    place
}

fn plain(number: usize) -> String {
    format!("{}.5,high,n{number}", number % 90)
}

fn held(place: &Workspace, number: usize) -> String {
    let sql = format!(
        "SELECT json_extract(body, '$.Health_Score__c') AS s, json_extract(body, '$.Churn_Risk__c') AS r,
                json_extract(body, '$.Health_Note__c') AS n
         FROM documents WHERE kind = 'Account' AND json_extract(body, '$.Customer_Id__c') = 'C-{number:05}'"
    );
    let csv = place.query_file(".writeback/practice/crm.db", &sql);
    let rows = csv.split_once('\n').map(|(_, rows)| rows);
    rows.unwrap_or_default().trim_end().to_owned()
}

fn calls(ran: &Ran) -> u64 {
    let calls = &ran.json()["write_backs"][0]["calls"];
    calls
        .as_u64()
        .unwrap_or_else(|| panic!("no calls in {ran}"))
}

#[test]
fn updates_go_in_one_job_and_each_record_has_its_own_outcome() {
    let place = place(60, "bulk_from = 50", |number| match number {
        7 => "500,high,x".to_owned(),
        8 => "8.5,,".to_owned(),
        9 => "9.5,high,#N/A".to_owned(),
        10 => "10.5,high,\"a \"\"quoted\"\"\nline, two\"".to_owned(),
        _ => plain(number),
    });
    let ran = place.run();
    assert_eq!(ran.summary(), "60 read = 59 updated + 1 rejected", "{ran}");
    let rejected = place.rejected(1);
    assert!(
        rejected.contains("C-00007,destination,Health_Score__c"),
        "{rejected}"
    );
    assert!(rejected.contains("lies between 0 and 100"), "{rejected}");
    assert_eq!(held(&place, 8), "8.5,,", "no value clears");
    assert_eq!(held(&place, 9), "9.5,high,#N/A", "a text stays a text");
    assert_eq!(
        held(&place, 10),
        "10.5,high,\"a \"\"quoted\"\"\nline, two\""
    );
    assert_eq!(held(&place, 59), "59.5,high,n59");
    let undone = place.command(&["undo", "1", "--json"]);
    assert_eq!(undone.summary(), "59 read = 59 updated", "{undone}");
    assert_eq!(held(&place, 59), ",low,old");
    place.file(
        "schedules/job.toml",
        &place
            .text("schedules/job.toml")
            .replace("= 50", "= 'never'"),
    );
    let again = place.run();
    assert_eq!(
        again.summary(),
        "60 read = 59 updated + 1 rejected",
        "{again}"
    );
    assert_eq!(calls(&again), 2, "a look-up and a collection: {again}");
}

#[test]
fn a_killed_program_waits_for_the_job_that_it_left() {
    for death in [
        "1 an intent recorded",
        "1 a bulk job made",
        "1 a bulk job begun",
        "1 a request answered",
    ] {
        let place = place(60, "bulk_from = 50", plain);
        // The job goes on while nobody of this program is there.
        let org = Served::among(&place, "seed=1");
        let killed =
            place.command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", death)]);
        assert!(killed.stderr.contains("dies here"), "{death}: {killed}");
        let ran = place.run();
        assert_eq!(ran.summary(), "60 read = 60 updated", "{death}: {ran}");
        assert_eq!(held(&place, 59), "59.5,high,n59", "{death}");
        drop(org);
        let undone = place.command(&["undo", "1", "--json"]);
        assert_eq!(
            undone.summary(),
            "60 read = 60 updated",
            "{death}: {undone}"
        );
        assert_eq!(held(&place, 0), ",low,old", "{death}");
    }
}

#[test]
fn answers_that_are_lost_and_jobs_that_fail_half_way_leave_what_a_clean_run_leaves() {
    for faults in [
        "drop_after=@2",
        "drop_after=@4",
        "drop_after=@5",
        "drop_after=@7",
        "bulk_fail=@3",
        "expire=@5",
    ] {
        let place = place(60, "bulk_from = 50", plain);
        let _org = Served::among(&place, faults);
        let mut ran = place.run();
        for _ in 0..3 {
            if ran.code == 2 {
                ran = place.run();
            }
        }
        assert_eq!(ran.summary(), "60 read = 60 updated", "{faults}: {ran}");
        assert_eq!(held(&place, 59), "59.5,high,n59", "{faults}");
    }
}

/// Records of the test below; `tests/soak --bulk 1000000` has more.
const MANY: usize = 20_000;

#[test]
fn many_updates_take_few_calls_and_each_account_gets_its_own_record() {
    let wanted = std::env::var("SOAK_BULK").ok();
    let many = wanted.map_or(MANY, |text| text.parse().expect("SOAK_BULK is a number"));
    let place = place(many, "", plain);
    let ran = place.run();
    assert_eq!(
        ran.summary(),
        format!("{many} read = {many} updated"),
        "{ran}"
    );
    assert!(calls(&ran) <= 40 * many.div_ceil(10_000) as u64, "{ran}");
    for number in [0, 9_999, 10_000, many / 2, many - 1] {
        assert_eq!(
            held(&place, number),
            format!("{}.5,high,n{number}", number % 90)
        );
    }
}
