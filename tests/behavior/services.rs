//! What is created at a web API though answers are lost: the practice Salesforce, which answers
//! record by record and has no transaction.

use crate::harness::{Practice, Ran, Served, TlsFront};
use crate::{hubspot, salesforce};

const FIELDS: &str = "Customer_Id__c = 'id'\nHealth_Score__c = 'score'\nChurn_Risk__c = 'risk'";

/// Columns of the source.
const SCORES: &str = "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), risk VARCHAR(10)";

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
fn what_a_new_account_cannot_do_without_is_told_before_anything_is_sent() {
    let nameless = practice("matching = 'upsert'", "id,score,risk\nE9,1,low\n");
    let refused = run(&nameless);
    let message = "`upsert` creates rows without it";
    assert!(refused.stderr.contains(message), "{refused}");
}

/// The job gives each account a name as well.
fn name_accounts(practice: &Practice, settings: &str) {
    let fields = format!("{FIELDS}\nName = {{ string = 'Made here' }}");
    let job = crate::harness::write_back("scores", "Account", settings, &fields);
    practice.place.file("schedules/job.toml", &job);
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
fn a_web_api_is_vouched_for_by_the_authority_in_its_ca_file() {
    let records = "id,score,risk,note\nC-1,7,low,x\nA1,7,low,x\n";
    for (place, kind, auth) in [
        (
            salesforce::place("", records),
            "salesforce",
            "{ flow = 'client_credentials', client_id = 'practice', client_secret = { env = 'WORD' } }",
        ),
        (
            hubspot::place("", records),
            "hubspot",
            "{ flow = 'token', token = { env = 'WORD' } }",
        ),
    ] {
        let served = Served::among(&place, "");
        let front = TlsFront::before(served.url());
        let url = front.url();
        let project = |ca_file: &str| {
            format!(
                "{}[connections.crm]\nkind = '{kind}'\nlogin_url = '{url}'\napi_url = '{url}'\nattempts_max = 2\n\
                 auth = {auth}\n{ca_file}",
                place.connection("files")
            )
        };
        let word = [("WORD", "practice")];
        place.file("writeback.toml", &project(""));
        let stranger = place.command_with(&["check", "job"], &word);
        assert_eq!(stranger.code, 2, "{kind}: {stranger}");
        assert!(
            stranger.stderr.contains("ca_file"),
            "{kind} does not say how to vouch for it: {stranger}"
        );
        place
            .file("certs/ca.pem", &front.authority())
            .file("writeback.toml", &project("ca_file = 'certs/ca.pem'\n"));
        let run = place.command_with(&["run", "job", "--json"], &word);
        assert_eq!(
            run.summary(),
            "2 read = 1 updated + 1 skipped",
            "{kind}: {run}"
        );
    }
}
