//! HubSpot as a destination, against the practice portal that is part of the program: records are
//! looked up by a property that no two share, compared, and updated by their ids.

use serde_json::json;

use crate::harness::{Portal, Ran, Workspace, wait_until, write_back};

const SCHEMA: &str =
    "id VARCHAR(18) PRIMARY KEY, score DECIMAL(6,2), risk VARCHAR(16), note VARCHAR(255)";

const FIELDS: &str = "account_id = 'id'
health_score = 'score'
churn_risk = 'risk'
health_note = 'note'";

/// What a property's validation refuses.
const RULE: &str =
    "[[rule]]\nobject = 'companies'\nkind = 'max'\nproperty = 'health_score'\nmax = 100\n";

/// The companies are A1 (12.5, high), A2 (80, low) and A3 (nothing).
const IDS: [&str; 3] = ["101", "102", "103"];

/// A project with a portal of its own, which a job writes these records to.
pub(crate) fn place(settings: &str, scores: &str) -> Workspace {
    place_as(RULE, settings, scores)
}

fn place_as(portal: &str, settings: &str, scores: &str) -> Workspace {
    let place = Portal::place(portal);
    place.file("writeback.toml", &project(""));
    place.scores(SCHEMA, scores);
    let job = write_back("scores", "companies", settings, FIELDS);
    place.file("schedules/job.toml", &job);
    place
}

fn project(settings: &str) -> String {
    format!(
        "[connections.files]\nkind = 'files'\nfolder = 'data'\n\
         [connections.crm]\nkind = 'hubspot'\npractice = 'portal'\nattempts_max = 4\n{settings}\n"
    )
}

fn again(place: &Workspace) -> Ran {
    place.command(&["run", "job", "--again", "--json"])
}

/// What the companies hold: `A1,12.5,high`.
pub(crate) fn scores(place: &Workspace) -> Vec<String> {
    let sql = "SELECT json_extract(body, '$.properties.account_id'), json_extract(body, '$.properties.health_score'),
                      json_extract(body, '$.properties.churn_risk')
               FROM documents WHERE kind = 'companies' AND NOT json_extract(body, '$.archived') ORDER BY 1";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    csv.lines().skip(1).map(str::to_owned).collect()
}

/// Calls of the portal's day.
fn calls(place: &Workspace) -> u64 {
    let sql = "SELECT json_extract(body, '$.used') AS used FROM documents WHERE kind = '_counters'";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let used = csv.lines().nth(1).expect("a count");
    used.parse().expect("a number")
}

const SCORES: &str = "id,score,risk,note
A1,11.25,medium,new note
A2,80.00,low, 
A9,90,low,x
";

#[test]
fn every_type_is_unchanged_after_the_portal_made_its_own_of_it() {
    let place = Portal::place("");
    place.file("writeback.toml", &project(""));
    place.scores(
        "id VARCHAR(64) PRIMARY KEY, revenue DECIMAL(12,2), renews DATE, scored TIMESTAMP WITH TIME ZONE,
         strategic BOOLEAN, interests VARCHAR(99), owner VARCHAR(20), note VARCHAR(99)",
        "id,revenue,renews,scored,strategic,interests,owner,note\n\
         A2,1000000.50,2026-12-31,2026-11-15T06:30:00.123Z,true,training;analytics,41629018,  two words \n\
         A3,0,,,false,,,\n",
    );
    let fields = "account_id = 'id'\nannualrevenue = 'revenue'\nrenews_on = 'renews'\nscored_at = 'scored'\n\
                  strategic = 'strategic'\ninterests = 'interests'\nhubspot_owner_id = 'owner'\nhealth_note = 'note'";
    let job = write_back("scores", "companies", "", fields);
    place.file("schedules/job.toml", &job);
    let first = place.run();
    assert_eq!(first.summary(), "2 read = 2 updated", "{first}");
    let second = again(&place);
    assert_eq!(second.summary(), "2 read = 2 unchanged", "{second}");
    let undone = place.command(&["undo", &first.run().to_string(), "--json"]);
    assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
}

#[test]
fn a_contact_is_found_by_any_of_its_addresses_and_keeps_its_first_one() {
    let place = place("", "");
    place.scores(
        "email VARCHAR(99) PRIMARY KEY, score DECIMAL(5,2)",
        "email,score\nR.Tran@Example.com,7\nESRA@example.com,8\nnobody@example.com,9\n",
    );
    let fields = "email = 'email'\nhealth_score = 'score'";
    let job = write_back("scores", "contacts", "", fields);
    place.file("schedules/job.toml", &job);
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 updated + 1 skipped", "{run}");
    let second = again(&place);
    assert_eq!(
        second.summary(),
        "3 read = 2 unchanged + 1 skipped",
        "{second}"
    );
    let sql = "SELECT json_extract(body, '$.properties.email'), json_extract(body, '$.properties.health_score')
               FROM documents WHERE kind = 'contacts' ORDER BY 1";
    let contacts = place.query_file(".writeback/practice/crm.db", sql);
    assert!(
        contacts.contains("esra@example.com,8\nraj@example.com,7\n"),
        "{contacts}"
    );
    place.scores(
        "email VARCHAR(99) PRIMARY KEY, score DECIMAL(5,2)",
        "email,score\nr.tran@example.com,1\nraj@example.com,2\n",
    );
    let both = again(&place);
    assert_eq!(
        both.summary(),
        "2 read = 2 rejected",
        "one contact is not written twice: {both}"
    );
}

#[test]
fn what_the_search_shows_and_no_longer_fits_is_not_written() {
    let place = place_as(
        "[portal]\nsearch_lag = '1h'\n",
        "",
        "id,score,risk,note\nshared.example.com,1,low,\n",
    );
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &job.replace("account_id", "domain"));
    let portal = Portal::serve(&place, &[]);
    let change = json!({ "inputs": [
        { "id": "103", "properties": { "domain": "moved.example.com" }, "objectWriteTraceId": "0" },
    ] });
    assert_eq!(portal.batch("update", &change).status, 200);
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 updated", "{run}");
    let held = portal.held(&IDS, &["health_score"]);
    assert_eq!(held, ["12.5", "1", "-"], "the one that is left");
}

#[test]
fn a_refused_company_costs_one_company_and_is_told_in_hubspot_s_words() {
    for wrong_values in ["refuse_the_input", "refuse_the_call"] {
        let portal = format!("[portal]\nwrong_values = '{wrong_values}'\n{RULE}");
        let place = place_as(
            &portal,
            "",
            "id,score,risk,note\nA1,11,low,\nA2,150,low,\nA3,31,hihg,\n",
        );
        let run = place.run();
        assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected", "{run}");
        let rejected = place.rejected(run.run());
        let rule = "INVALID_MAX: health_score may be 100 at the most";
        assert!(rejected.contains(rule), "{rejected}");
        assert!(rejected.contains("health_score"), "{rejected}");
        assert!(rejected.contains("`high` is the nearest"), "{rejected}");
        assert_eq!(scores(&place), ["A1,11,low", "A2,80,low", "A3,,"]);
    }
}

#[test]
fn check_tells_of_the_portal() {
    let place = place("", SCORES);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let line = "crm: portal `24281934` (DEVELOPER_TEST), version 2026-09 (promised until 2028-03 at least)";
    assert!(check.stdout.contains(line), "{check}");
    assert!(
        check.stdout.contains("calls used and 50 % of them may be"),
        "{check}"
    );
}

#[test]
fn what_a_new_deal_cannot_do_without_is_told_before_anything_is_sent() {
    let place = place("", "id,score,risk,note\nD1,4,low,\n");
    let fields = "deal_key = 'id'\nrenewal_likelihood = 'score'";
    let settings = "matching = 'upsert'\nignore = ['risk', 'note']";
    let job = write_back("scores", "deals", settings, fields);
    place.file("schedules/job.toml", &job);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    for name in ["dealname", "dealstage", "pipeline"] {
        assert!(check.stderr.contains(&format!("`{name}`")), "{check}");
    }
    let named = format!(
        "{job}dealname = {{ string = 'Renewal' }}\npipeline = {{ string = 'default' }}\ndealstage = {{ string = 'closedwonn' }}\n"
    );
    place.file("schedules/job.toml", &named);
    let run = place.run();
    assert_ne!(run.code, 0, "{run}");
    assert!(format!("{run}").contains("closedwon"), "{run}");
    place.file(
        "schedules/job.toml",
        &named.replace("closedwonn", "closedwon"),
    );
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 inserted", "{run}");
    let again = again(&place);
    assert_eq!(again.summary(), "1 read = 1 unchanged", "{again}");
}

#[test]
fn a_company_is_found_by_its_id() {
    let place = place("", "");
    let schema = SCHEMA.replace("id VARCHAR(18)", "id BIGINT");
    place.scores(&schema, "id,score,risk,note\n101,4,low,\n999,5,low,\n");
    let job = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &job.replace("account_id", "hs_object_id"),
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 skipped", "{run}");
    assert_eq!(scores(&place), ["A1,4,low", "A2,80,low", "A3,,"]);
}

/// By a property that others may share, through a search that is behind.
#[test]
fn what_the_search_does_not_know_yet_is_not_made_twice() {
    let portal = format!("{RULE}[portal]\nsearch_lag = '600ms'\n");
    let place = place_as(&portal, "", "id,score,risk,note\nnew.example.com,4,low,\n");
    place.file("writeback.toml", &project("search_lag = '600ms'"));
    name_companies(&place, "matching = 'upsert'");
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &job.replace("account_id", "domain"));
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let words = "may stand on several records: a row that somebody else creates at the same moment is there twice";
    assert!(check.stderr.contains(words), "{check}");
    let made = || {
        let sql = "SELECT count(*) AS n FROM documents WHERE kind = 'companies' \
                   AND json_extract(body, '$.properties.domain') = 'new.example.com'";
        place.query_file(".writeback/practice/crm.db", sql)
    };
    let portal = Portal::serve(&place, &["--faults", "drop_after:create=@1"]);
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 inserted", "{run}");
    assert_eq!(made(), "n\n1\n", "its answer was lost: {run}");
    drop(portal);
    let second = again(&place);
    assert_eq!(second.summary(), "1 read = 1 unchanged", "{second}");
    assert_eq!(made(), "n\n1\n", "{second}");
}

#[test]
fn a_scope_that_is_missing_is_named_before_anything_is_written() {
    let scopes = "scopes = ['crm.schemas.companies.read', 'crm.objects.companies.read']";
    let place = place_as(&format!("[portal]\n{scopes}\n"), "", SCORES);
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("crm.objects.companies.write"), "{run}");
    assert_eq!(scores(&place), ["A1,12.5,high", "A2,80,low", "A3,,"]);
}

#[test]
fn a_run_waits_out_the_ten_seconds_whatever_way_it_is_told_to() {
    for told in ["milliseconds", "none"] {
        let portal = format!("[portal]\nten_seconds_calls = 6\nretry_after = '{told}'\n");
        let source: String = (0..250)
            .map(|number| format!("N{number},1,low,\n"))
            .collect();
        let place = place_as(
            &portal,
            "batch_size = 50",
            &format!("id,score,risk,note\nA1,5,low,\n{source}"),
        );
        let run = place.run();
        assert_eq!(
            run.summary(),
            "251 read = 1 updated + 250 skipped",
            "{told}: {run}"
        );
        assert_eq!(scores(&place), ["A1,5,low", "A2,80,low", "A3,,"], "{told}");
    }
}

#[test]
fn ten_thousand_updates_take_as_few_calls_as_they_can() {
    let mut companies = String::from("hs_object_id,name,account_id\n");
    for number in 0..10_000 {
        companies += &format!("{},N{number},C-{number:05}\n", 1_000_000 + number);
    }
    let portal = "[portal]\nten_seconds_calls = 10000\n";
    let place = place_as(portal, "compare = 'last_written'", &ten_thousand(false));
    place.file("portal/companies.csv", &companies);
    let run = place.run();
    assert_eq!(run.summary(), "10000 read = 10000 updated", "{run}");
    let used = calls(&place);
    assert!(used <= 202, "{used} calls");
    place.file("data/scores.csv", &ten_thousand(true));
    let next = place.run();
    let summary = "10000 read = 100 updated + 9900 unchanged";
    assert_eq!(next.summary(), summary, "{next}");
    let partial = calls(&place) - used;
    assert!(partial * 50 <= 202, "{partial} calls after {used}: {next}");
}

/// Scores of ten thousand companies or accounts, of which one percent may be other ones.
pub(crate) fn ten_thousand(one_percent_differs: bool) -> String {
    let mut scores = String::from("id,score,risk,note\n");
    for number in 0..10_000 {
        let half = if one_percent_differs && number % 100 == 3 {
            "75"
        } else {
            "5"
        };
        scores += &format!("C-{number:05},{}.{half},low,\n", number % 100);
    }
    scores
}

/// The job gives each company a name as well.
fn name_companies(place: &Workspace, settings: &str) {
    let fields = format!("{FIELDS}\nname = {{ string = 'Made here' }}");
    let job = write_back("scores", "companies", settings, &fields);
    place.file("schedules/job.toml", &job);
}

#[test]
fn a_company_that_is_archived_between_look_up_and_write_is_never_made_again() {
    let place = place("", "id,score,risk,note\nA1,20.5,low,\nA2,81,low,\n");
    let portal = Portal::serve(&place, &["--faults", "latency=300ms"]);
    let arguments = ["run", "job", "--json"];
    let child = place.start(&arguments);
    let reads = || {
        portal.counts()["calls"]["read"]
            .as_u64()
            .unwrap_or_default()
    };
    wait_until("records to be looked up", || reads() >= 1);
    portal.batch("archive", &json!({ "inputs": [{ "id": "102" }] }));
    let run = Ran::of(&arguments, &child.wait_with_output().expect("a child"));
    let summary = "2 read = 1 updated + 1 skipped";
    assert_eq!(run.summary(), summary, "{run}");
    drop(portal);
    let held = scores(&place);
    assert_eq!(held, ["A1,20.5,low", "A3,,"]);
}

#[test]
fn a_stage_only_goes_forward_and_an_undo_takes_it_back() {
    let place = Portal::place("");
    place.file("writeback.toml", &project(""));
    place.scores(
        "id VARCHAR(9) PRIMARY KEY, stage VARCHAR(30), note VARCHAR(9)",
        "id,stage,note\nA1,lead,x\nA2,customer,y\n",
    );
    let fields = "account_id = 'id'\nlifecyclestage = 'stage'\nhealth_note = 'note'";
    let job = write_back("scores", "companies", "", fields);
    place.file("schedules/job.toml", &job);
    let stages = || {
        let sql = "SELECT json_extract(body, '$.properties.lifecyclestage'), json_extract(body, '$.properties.health_note')
                   FROM documents WHERE kind = 'companies' ORDER BY id";
        let csv = place.query_file(".writeback/practice/crm.db", sql);
        csv.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    let words =
        "`lifecyclestage` only goes forward: it is `customer`, and `lead` comes before that";
    assert!(rejected.contains(words), "{rejected}");
    assert_eq!(stages(), [",", "customer,old note", "customer,y"]);
    let undone = place.command(&["undo", &run.run().to_string(), "--json"]);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    assert_eq!(stages(), [",", "customer,old note", "lead,"]);
}

/// A company with a note is a customer, and the job makes a lead of it.
fn stepping_back(portal: &str, note: &str) -> Workspace {
    let place = Portal::place(portal);
    place.file("writeback.toml", &project(""));
    place.scores(
        "id VARCHAR(9) PRIMARY KEY, stage VARCHAR(30), note VARCHAR(9)",
        &format!("id,stage,note\nA1,lead,{note}\n"),
    );
    let fields = "account_id = 'id'\nlifecyclestage = { column = 'stage', backwards = 'clear_first' }\nhealth_note = 'note'";
    let job = write_back("scores", "companies", "", fields);
    place.file("schedules/job.toml", &job);
    place
}

/// Stage and note of the company.
fn stage(place: &Workspace) -> String {
    let sql = "SELECT json_extract(body, '$.properties.lifecyclestage'), json_extract(body, '$.properties.health_note')
               FROM documents WHERE kind = 'companies' AND id = '101'";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    csv.lines().nth(1).expect("a company").to_owned()
}

#[test]
fn a_stage_goes_back_past_being_empty_where_the_field_says_so_and_never_stays_there() {
    let place = stepping_back("", "x");
    let run = place.run();
    assert_eq!(run.summary(), "1 read = 1 updated", "{run}");
    assert_eq!(stage(&place), "lead,x");
    let undone = place.command(&["undo", &run.run().to_string(), "--json"]);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    assert_eq!(stage(&place), "customer,old note");

    // A lead without a note is refused, behind the call that emptied both.
    let rule = "[[rule]]\nobject = 'companies'\nkind = 'conditional'\nproperty = 'health_note'\n\
                when = { property = 'lifecyclestage', value = 'lead' }\n";
    let place = stepping_back(rule, "");
    let refused = place.run();
    assert_eq!(refused.summary(), "1 read = 1 rejected", "{refused}");
    let rejected = place.rejected(refused.run());
    assert!(
        rejected.contains("is required because of a conditional property rule"),
        "{rejected}"
    );
    assert_eq!(
        stage(&place),
        "customer,old note",
        "all is as it was: {refused}"
    );

    let job = place
        .text("schedules/job.toml")
        .replace("lifecyclestage =", "health_note =");
    let job = job.replacen("health_note = 'note'", "lifecyclestage = 'note'", 1);
    place.file("schedules/job.toml", &job);
    let check = place.command(&["check", "job"]);
    assert!(
        check
            .stderr
            .contains("`backwards` of `health_note` means nothing"),
        "{check}"
    );
}

#[test]
fn killed_while_a_stage_is_empty_the_next_run_writes_it() {
    let mut deaths = 0;
    for point in 1..80 {
        let place = stepping_back("", "x");
        let at = point.to_string();
        let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", &at)]);
        // Only the moment between the two calls is of interest.
        if !killed.stderr.contains("a stage emptied") {
            if killed.code == 0 {
                break;
            }
            continue;
        }
        assert_eq!(stage(&place), ",x", "{killed}");
        let run = place.run();
        assert_eq!(run.json()["status"], "succeeded", "{run}");
        assert_eq!(stage(&place), "lead,x", "{run}");
        deaths += 1;
    }
    assert_eq!(deaths, 1, "it dies there once");
}

#[test]
fn a_company_that_was_merged_into_another_is_told_and_the_other_is_not_written() {
    let place = place("", "");
    let schema = SCHEMA.replace("id VARCHAR(18)", "id BIGINT");
    place.scores(&schema, "id,score,risk,note\n102,4,low,\n103,5,low,\n");
    let job = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &job.replace("account_id", "hs_object_id"),
    );
    let portal = Portal::serve(&place, &[]);
    portal.command(
        "merge",
        r#"{"object":"companies","winner":101,"loser":102}"#,
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 skipped", "{run}");
    assert!(run.stderr.contains("102 into 101"), "{run}");
    let held = portal.held(&["101", "103"], &["health_score"]);
    assert_eq!(held, ["12.5", "5"], "{run}");
}

#[test]
fn a_refresh_token_that_is_dead_is_told() {
    let app = "[[app]]\nclient_id = 'app'\nclient_secret = 'canary-7f'\nrefresh_token = 'canary-8e'\nrotate = true\n";
    let place = place_as(&format!("{app}{RULE}"), "", SCORES);
    let portal = Portal::serve(&place, &["--faults", "expire=@3"]);
    let live = format!(
        "[connections.files]\nkind = 'files'\nfolder = 'data'\n\
         [connections.crm]\nkind = 'hubspot'\nlogin_url = '{}'\naccount = '24281934'\n\
         auth = {{ flow = 'refresh_token', client_id = 'app', client_secret = {{ env = 'SECRET' }}, refresh_token = {{ env = 'REFRESH' }} }}\n",
        portal.url()
    );
    place.file("writeback.toml", &live);
    let environment = [("SECRET", "canary-7f"), ("REFRESH", "canary-8e")];
    let arguments = ["run", "job", "--again", "--json"];
    let run = place.command_with(&arguments, &environment);
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    portal.command("revoke", "{}");
    portal.command("expire", "{}");
    let refused = place.command_with(&["run", "job", "--again"], &environment);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused.stderr.contains("the refresh token is dead"),
        "{refused}"
    );
}

#[test]
fn an_undo_that_dies_between_the_two_calls_of_a_stage_is_gone_on_with() {
    let place = Portal::place("");
    place.file("writeback.toml", &project(""));
    place.scores(
        "id VARCHAR(9) PRIMARY KEY, stage VARCHAR(30), note VARCHAR(9)",
        "id,stage,note\nA2,customer,y\n",
    );
    let fields = "account_id = 'id'\nlifecyclestage = 'stage'\nhealth_note = 'note'";
    let job = write_back("scores", "companies", "", fields);
    place.file("schedules/job.toml", &job);
    let company = || {
        let sql = "SELECT json_extract(body, '$.properties.lifecyclestage'), json_extract(body, '$.properties.health_note')
                   FROM documents WHERE kind = 'companies' AND id = '102'";
        let csv = place.query_file(".writeback/practice/crm.db", sql);
        csv.lines().nth(1).expect("a company").to_owned()
    };
    let run = place.run();
    assert_eq!(company(), "customer,y", "{run}");
    let number = run.run().to_string();
    let undo = ["undo", number.as_str(), "--json"];
    let died = place.command_with(&undo, &[("WRITEBACK_ABORT_AT", "1 a stage emptied")]);
    assert!(died.stderr.contains("dies here"), "{died}");
    assert_eq!(company(), ",", "{died}");
    let undone = place.command(&undo);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    assert_eq!(company(), "lead,", "{undone}");
}
