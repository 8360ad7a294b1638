//! Writing to a web API: the practice Salesforce, which answers record by record and has no
//! transaction.

use crate::harness::{Practice, Ran};

const FIELDS: &str = "Customer_Id__c = 'id'\nHealth_Score__c = 'score'\nChurn_Risk__c = 'risk'";

/// Columns of the source.
const SCORES: &str = "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), risk VARCHAR(10)";

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

/// A practice whose accounts are E1 (12.5, high), E2 (80, low) and E3 (nothing), and a job into it.
fn practice(settings: &str, source: &str) -> Practice {
    practice_as("", settings, source)
}

fn practice_as(org: &str, settings: &str, source: &str) -> Practice {
    let practice = Practice::start(org);
    let connections = format!(
        "[connections.files]\nkind = 'files'\nfolder = 'data'\n\
         [connections.crm]\nkind = 'salesforce'\npractice = 'org'\n\
         [connections.live]\nkind = 'salesforce'\nlogin_url = '{}'\nattempts_max = 4\n\
         auth = {{ flow = 'client_credentials', client_id = 'practice', client_secret = {{ env = 'SF_SECRET' }} }}\n",
        practice.url()
    );
    let place = &practice.place;
    place.file("writeback.toml", &connections);
    place.scores(SCORES, source);
    let job = crate::harness::write_back(
        "scores",
        "Account",
        &format!("destination = 'live'\n{settings}"),
        FIELDS,
    );
    place.file("schedules/job.toml", &job);
    practice
}

fn command(practice: &Practice, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut all = vec![("SF_SECRET", "practice")];
    all.extend(environment);
    practice.place.command_with(arguments, &all)
}

fn run(practice: &Practice) -> Ran {
    command(practice, &["run", "job", "--again", "--json"], &[])
}

/// The accounts as `E1 12.5 high`, by their customer's id.
fn accounts(practice: &Practice) -> Vec<String> {
    let soql = "SELECT Customer_Id__c, Health_Score__c, Churn_Risk__c FROM Account ORDER BY Customer_Id__c";
    let column = |name: &str| practice.found(name, soql);
    let rows = column("Customer_Id__c")
        .into_iter()
        .zip(column("Health_Score__c"))
        .zip(column("Churn_Risk__c"));
    rows.map(|((id, score), risk)| format!("{id} {score} {risk}"))
        .collect()
}

#[test]
fn update_only_writes_what_is_there_and_a_second_run_finds_it_unchanged() {
    let practice = practice("", "id,score,risk\nE1,20.5,low\nE3,7,\nE9,1,low\n");
    let first = run(&practice);
    assert_eq!(first.summary(), "3 read = 2 updated + 1 skipped", "{first}");
    let written = ["E1 20.5 low", "E2 80.0 low", "E3 7.0 null"];
    assert_eq!(accounts(&practice), written);
    let second = run(&practice);
    assert_eq!(
        second.summary(),
        "3 read = 2 unchanged + 1 skipped",
        "{second}"
    );
}

#[test]
fn upsert_makes_what_is_not_there_and_create_only_leaves_what_is() {
    let source = "id,score,risk\nE1,20.5,low\nE9,1,low\n";
    let nameless = practice("matching = 'upsert'", source);
    let refused = run(&nameless);
    let message = "`upsert` creates rows without it";
    assert!(refused.stderr.contains(message), "{refused}");
    for (matching, expected) in [
        ("upsert", "2 read = 1 inserted + 1 updated"),
        ("create_only", "2 read = 1 inserted + 1 skipped"),
    ] {
        let practice = practice("", source);
        name_accounts(
            &practice,
            &format!("destination = 'live'\nmatching = '{matching}'"),
        );
        let first = run(&practice);
        assert_eq!(first.summary(), expected, "{first}");
        let again = run(&practice);
        let nothing = match matching {
            "upsert" => "2 read = 2 unchanged",
            _ => "2 read = 2 skipped",
        };
        assert_eq!(again.summary(), nothing, "{again}");
        assert_eq!(accounts(&practice).len(), 4);
    }
}

/// The job gives each account a name as well.
fn name_accounts(practice: &Practice, settings: &str) {
    let fields = format!("{FIELDS}\nName = {{ string = 'Made here' }}");
    let job = crate::harness::write_back("scores", "Account", settings, &fields);
    practice.place.file("schedules/job.toml", &job);
}

#[test]
fn a_refused_record_costs_one_record() {
    let rule = "[[refuse]]\nobject = 'Account'\nwhen = 'Health_Score__c > 100'\n\
                message = 'A health score lies between 0 and 100.'\nfields = ['Health_Score__c']\n";
    let practice = practice_as(
        rule,
        "",
        "id,score,risk\nE1,20.5,low\nE2,101,low\nE3,7,low\n",
    );
    let run = run(&practice);
    assert_eq!(run.summary(), "3 read = 2 updated + 1 rejected", "{run}");
    let rejected = practice.place.rejected(run.run());
    assert!(
        rejected.contains("A health score lies between 0 and 100."),
        "{rejected}"
    );
    let undone = command(&practice, &["undo", &run.run().to_string(), "--json"], &[]);
    assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
    let before = ["E1 12.5 high", "E2 80.0 low", "E3 null null"];
    assert_eq!(accounts(&practice), before);
}

#[test]
fn a_preview_writes_nothing_and_a_run_can_be_verified_and_undone() {
    let practice = practice("", "id,score,risk\nE1,20.5,low\nE2,80,low\n");
    let before = accounts(&practice);
    let preview = command(&practice, &["preview", "job", "--json"], &[]);
    assert_eq!(preview.code, 0, "{preview}");
    assert_eq!(accounts(&practice), before, "{preview}");
    let run = run(&practice);
    assert_eq!(run.summary(), "2 read = 1 updated + 1 unchanged", "{run}");
    let verified = command(&practice, &["verify", "job"], &[]);
    assert_eq!(verified.code, 0, "{verified}");
    let undone = command(&practice, &["undo", &run.run().to_string(), "--json"], &[]);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    assert_eq!(accounts(&practice), before);
}

#[test]
fn a_saved_plan_is_applied_where_records_hold_what_was_shown() {
    let practice = practice("", "id,score,risk\nE1,20.5,low\nE2,81,low\n");
    let preview = command(&practice, &["preview", "job", "--out", "plan"], &[]);
    assert_eq!(preview.code, 0, "{preview}");
    let edited = practice.call(
        "PATCH",
        "/sobjects/Account/Customer_Id__c/E2",
        &serde_json::json!({ "Health_Score__c": 3 }),
    );
    assert!(edited.status < 300, "{edited:?}");
    let applied = command(&practice, &["run", "job", "--plan", "plan", "--json"], &[]);
    assert_eq!(
        applied.summary(),
        "2 read = 1 updated + 1 skipped",
        "{applied}"
    );
    assert_eq!(accounts(&practice)[..2], ["E1 20.5 low", "E2 3.0 low"]);
}

#[test]
fn an_answer_that_is_lost_after_the_write_makes_no_second_record() {
    let source: String = (0..40).map(|n| format!("N{n:02},{n},low\n")).collect();
    let practice = practice("", &format!("id,score,risk\n{source}"));
    name_accounts(
        &practice,
        "destination = 'live'\nmatching = 'upsert'\nbatch_size = 10",
    );
    practice.faults("drop_after:create=@1@3");
    let first = run(&practice);
    assert_eq!(first.summary(), "40 read = 40 inserted", "{first}");
    practice.faults("");
    assert_eq!(accounts(&practice).len(), 43);
    let again = run(&practice);
    assert_eq!(again.summary(), "40 read = 40 unchanged", "{again}");
    let first = first.run().to_string();
    let undone = command(
        &practice,
        &["undo", &first, "--delete-created", "--json"],
        &[],
    );
    let summary = "40 read = 20 deleted + 20 skipped";
    assert_eq!(
        undone.summary(),
        summary,
        "nobody can say who made the 20: {undone}"
    );
}

#[test]
fn what_a_cut_connection_writes_a_moment_later_is_not_written_twice() {
    let source: String = (0..10).map(|n| format!("N{n:02},{n},low\n")).collect();
    let practice = practice("", &format!("id,score,risk\n{source}"));
    name_accounts(&practice, "destination = 'live'\nmatching = 'upsert'");
    practice.faults("drop_in:create=@1");
    let first = run(&practice);
    assert_eq!(first.summary(), "10 read = 10 inserted", "{first}");
    practice.faults("");
    assert_eq!(accounts(&practice).len(), 13);
}

#[test]
fn a_canary_is_looked_at_and_a_guard_stops_a_run_before_it_writes() {
    let canary = practice("canary = 1", "id,score,risk\nE1,20.5,low\nE2,81,low\n");
    let first = run(&canary);
    assert_eq!(first.summary(), "2 read = 2 updated", "{first}");
    let guarded = practice(
        "max_changed = '10 %'",
        "id,score,risk\nE1,20.5,low\nE2,81,low\n",
    );
    let before = accounts(&guarded);
    let stopped = run(&guarded);
    assert_eq!(stopped.code, 3, "{stopped}");
    assert_eq!(accounts(&guarded), before);
}

#[test]
fn a_run_that_is_killed_leaves_with_the_next_what_one_clean_run_leaves() {
    for change in [
        "1 before-images kept",
        "1 an intent recorded",
        "1 a request answered",
        "2 a request answered",
        "1 record a commit in",
    ] {
        let practice = practice(
            "",
            "id,score,risk\nE1,20.5,low\nE2,81,low\nN1,1,low\nN2,2,low\n",
        );
        name_accounts(
            &practice,
            "destination = 'live'\nmatching = 'upsert'\nbatch_size = 2",
        );
        let killed = command(&practice, &["run", "job", "--json"], &[(ABORT_AT, change)]);
        assert_ne!(killed.code, 0, "{change}: {killed}");
        let resumed = command(&practice, &["run", "job", "--json"], &[]);
        assert_eq!(
            resumed.summary(),
            "4 read = 2 inserted + 2 updated",
            "{change}: {resumed}"
        );
        let written = [
            "E1 20.5 low",
            "E2 81.0 low",
            "E3 null null",
            "N1 1.0 low",
            "N2 2.0 low",
        ];
        assert_eq!(accounts(&practice), written, "{change}");
    }
}

#[test]
fn a_test_of_one_record_shows_what_the_api_holds_and_cannot_be_rolled_back() {
    let practice = practice("", "id,score,risk\nE1,20.5,low\n");
    let test = command(&practice, &["test", "job", "--record", "E1", "--json"], &[]);
    assert_eq!(test.code, 0, "{test}");
    assert_eq!(accounts(&practice)[0], "E1 20.5 low");
    let arguments = ["test", "job", "--record", "E1", "--rollback"];
    let refused = command(&practice, &arguments, &[]);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .stderr
            .contains("a web API has no transaction that could be rolled back"),
        "{refused}"
    );
}

#[test]
fn values_that_other_people_changed_are_kept_where_the_job_says_so() {
    let practice = practice("", "id,score,risk\nE1,20.5,low\nE2,81,low\n");
    let fields = "Customer_Id__c = 'id'\nHealth_Score__c = 'score'\n\
                  Churn_Risk__c = { column = 'risk', on_conflict = 'keep' }";
    let job = crate::harness::write_back("scores", "Account", "destination = 'live'", fields);
    practice.place.file("schedules/job.toml", &job);
    let first = run(&practice);
    assert_eq!(first.summary(), "2 read = 2 updated", "{first}");
    let edited = practice.call(
        "PATCH",
        "/sobjects/Account/Customer_Id__c/E2",
        &serde_json::json!({ "Churn_Risk__c": "medium" }),
    );
    assert!(edited.status < 300, "{edited:?}");
    practice
        .place
        .file("data/scores.csv", "id,score,risk\nE1,21,high\nE2,82,high\n");
    let second = run(&practice);
    assert_eq!(second.summary(), "2 read = 2 updated", "{second}");
    assert_eq!(accounts(&practice)[..2], ["E1 21.0 high", "E2 82.0 medium"]);
}
