//! HubSpot as a destination, against the practice portal that is part of the program: records are
//! looked up by a property that no two share, compared, and updated by their ids.

use serde_json::{Value, json};

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

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

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
fn only_what_is_there_and_differs_is_written_and_a_second_run_changes_nothing() {
    let place = place("", SCORES);
    let run = place.run();
    let summary = "3 read = 1 updated + 1 unchanged + 1 skipped";
    assert_eq!(run.summary(), summary, "{run}");
    assert_eq!(scores(&place), ["A1,11.25,medium", "A2,80,low", "A3,,"]);
    let second = again(&place);
    assert_eq!(
        second.summary(),
        "3 read = 2 unchanged + 1 skipped",
        "{second}"
    );
}

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
fn a_key_that_finds_several_companies_is_rejected_with_their_ids() {
    let place = place(
        "",
        "id,score,risk,note\nshared.example.com,1,low,\none.example.com,4,low,\n",
    );
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &job.replace("account_id", "domain"));
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains("102") && rejected.contains("103"),
        "{rejected}"
    );
    assert_eq!(scores(&place), ["A1,4,low", "A2,80,low", "A3,,"]);
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
fn check_tells_of_the_portal_and_another_one_is_refused_before_any_read() {
    let place = place("", SCORES);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let line = "crm: portal `24281934` (DEVELOPER_TEST), version 2026-09 (promised until 2028-03 at least)";
    assert!(check.stdout.contains(line), "{check}");
    assert!(
        check.stdout.contains("calls used and 50 % of them may be"),
        "{check}"
    );
    place.file("writeback.toml", &project("account = '4711'"));
    let before = calls(&place);
    for command in [["check", "job"], ["run", "job"], ["preview", "job"]] {
        let refused = place.command(&command);
        assert_eq!(refused.code, 2, "{refused}");
        let words = "the token leads to portal `24281934`, not to `4711`";
        assert!(refused.stderr.contains(words), "{refused}");
    }
    assert!(
        calls(&place) <= before + 3,
        "each asked which portal it is, and no more"
    );
}

#[test]
fn what_cannot_be_had_there_is_said_with_its_reason() {
    let place = place("journal_table = \"journal\"\n", SCORES);
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    let words = "`journal_table` cannot be kept in `hubspot`";
    assert!(check.stderr.contains(words), "{check}");
    let job = place.text("schedules/job.toml");
    let job = job.replace("journal_table = \"journal\"\n", "");
    for (wrong, words) in [
        (
            job.replace("health_note =", "days_to_close ="),
            "`days_to_close` is computed",
        ),
        (
            job.replace("health_note =", "num_associated_contacts ="),
            "`num_associated_contacts` is computed by the system",
        ),
        (
            job.replace("'companies'", "'companys'"),
            "did you mean `companies`?",
        ),
        (
            job.replace("health_score", "helth_score"),
            "did you mean `health_score`?",
        ),
    ] {
        place.file("schedules/job.toml", &wrong);
        let check = place.command(&["check"]);
        assert_eq!(check.code, 2, "{check}");
        assert!(check.stderr.contains(words), "{check}");
    }
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

#[test]
fn what_could_be_made_twice_is_not_made() {
    let place = place("", "id,score,risk,note\nnew.example.com,4,low,\n");
    name_companies(&place, "matching = 'upsert'");
    let job = place.text("schedules/job.toml");
    place.file("schedules/job.toml", &job.replace("account_id", "domain"));
    let check = place.command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    let words = "a create that is repeated would make a second one";
    assert!(check.stderr.contains(words), "{check}");
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

/// A run among these faults leaves what one without them would have left.
fn expect_delivered_among(faults: &str) {
    let place = place("", SCORES);
    let portal = Portal::serve(&place, &["--faults", faults]);
    let run = place.run_with_retries(3);
    assert_eq!(run.json()["status"], "succeeded", "{faults}: {run}");
    drop(portal);
    let expected = ["A1,11.25,medium", "A2,80,low", "A3,,"];
    assert_eq!(scores(&place), expected, "{faults}: {run}");
}

#[test]
fn a_run_goes_on_among_locks_moves_and_broken_answers() {
    for faults in [
        "expire=@2@5",
        "503=@2@4,502=@3",
        "concurrent:read=@1",
        "too_long:update=@1",
        "lock:update=@1",
        "drop_after:update=@1",
        "cut_json=@3@4",
        "drop_before=@2@4",
        "500=@3,unavailable=@4,bare_error=@5",
        "login_page=@4",
        "short_page:update=@1,short_page:read=@1",
    ] {
        expect_delivered_among(faults);
    }
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
fn calls_run_out_before_they_cross_the_share_and_the_next_run_says_when() {
    let place = place_as("[portal]\ndaily_calls = 20\n", "", SCORES);
    place.file("writeback.toml", &project("quota_share = '10 %'"));
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    let words = "calls are used up, and 10 % of them may be";
    assert!(run.stderr.contains(words), "{run}");
    assert!(
        run.stderr.contains("ends at midnight of its time zone, 20"),
        "{run}"
    );
    let held = scores(&place);
    assert_eq!(
        held,
        ["A1,12.5,high", "A2,80,low", "A3,,"],
        "nothing was written"
    );
}

#[test]
fn ten_thousand_updates_take_as_few_calls_as_they_can() {
    let mut companies = String::from("hs_object_id,name,account_id\n");
    let mut scores = String::from("id,score,risk,note\n");
    for number in 0..10_000 {
        companies += &format!("{},N{number},C-{number:05}\n", 1_000_000 + number);
        scores += &format!("C-{number:05},{}.5,low,\n", number % 100);
    }
    let place = place_as("[portal]\nten_seconds_calls = 10000\n", "", &scores);
    place.file("portal/companies.csv", &companies);
    let run = place.run();
    assert_eq!(run.summary(), "10000 read = 10000 updated", "{run}");
    let used = calls(&place);
    assert!(used <= 202, "{used} calls");
}

#[test]
fn descriptions_are_saved_as_the_portal_gives_them() {
    let place = place("", SCORES);
    let saved = place.command(&["describe", "crm", "companies", "--out", "saved"]);
    assert_eq!(saved.code, 0, "{saved}");
    let described: Value = serde_json::from_str(&place.text("saved/COMPANY.json")).expect("JSON");
    assert_eq!(described["objectTypeId"], "0-2");
    let unknown = place.command(&["describe", "crm", "company", "--out", "saved"]);
    assert_eq!(unknown.code, 0, "a name of the same object: {unknown}");
    let unknown = place.command(&["describe", "crm", "compnies", "--out", "saved"]);
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.stderr.contains("did you mean `companies`?"),
        "{unknown}"
    );
}

/// The job gives each company a name as well.
fn name_companies(place: &Workspace, settings: &str) {
    let fields = format!("{FIELDS}\nname = {{ string = 'Made here' }}");
    let job = write_back("scores", "companies", settings, &fields);
    place.file("schedules/job.toml", &job);
}

/// New companies, so many.
fn new_companies(count: usize) -> String {
    let lines = (0..count).map(|number| format!("N-{number:04},{}.5,low,\n", number % 100));
    format!("id,score,risk,note\n{}", lines.collect::<String>())
}

/// Panics: unless each of so many new companies is there, once.
fn expect_each_once(place: &Workspace, count: usize, told: &Ran) {
    let held = scores(place);
    let new: Vec<&String> = held.iter().filter(|held| held.starts_with("N-")).collect();
    let mut once = new.clone();
    once.dedup();
    assert_eq!((new.len(), once.len()), (count, count), "{told}");
}

#[test]
fn upsert_makes_what_is_not_there_and_create_only_leaves_what_is() {
    for (matching, expected, nothing) in [
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
        let place = place("", "id,score,risk,note\nA1,20.5,low,\nA9,1,low,\n");
        name_companies(&place, &format!("matching = '{matching}'"));
        let first = place.run();
        assert_eq!(first.summary(), expected, "{first}");
        assert_eq!(again(&place).summary(), nothing);
        assert_eq!(scores(&place).len(), 4);
        let undone = place.command(&[
            "undo",
            &first.run().to_string(),
            "--delete-created",
            "--json",
        ]);
        assert_eq!(undone.code, 0, "{undone}");
        assert_eq!(scores(&place), ["A1,12.5,high", "A2,80,low", "A3,,"]);
    }
}

#[test]
fn companies_are_created_once_though_answers_are_lost_after_the_write() {
    let place = place("", &new_companies(200));
    name_companies(&place, "matching = 'upsert'\nbatch_size = 20");
    let _portal = Portal::serve(&place, &["--faults", "seed=11,drop_after=20%"]);
    let run = place.run_with_retries(8);
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    expect_each_once(&place, 200, &run);
}

#[test]
fn companies_are_created_once_though_the_program_is_killed() {
    let place = place("", &new_companies(60));
    name_companies(&place, "matching = 'upsert'\nbatch_size = 20");
    for death in ["1 a request answered", "2 a request answered"] {
        let killed = place.command_with(&["run", "job", "--json"], &[(ABORT_AT, death)]);
        assert!(killed.stderr.contains("dies here"), "{killed}");
    }
    let run = place.run();
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    expect_each_once(&place, 60, &run);
}

#[test]
fn a_run_that_is_killed_leaves_with_the_next_what_one_clean_run_leaves() {
    for change in [
        "1 before-images kept",
        "1 an intent recorded",
        "1 a request answered",
        "1 record a commit in",
    ] {
        let place = place(
            "",
            "id,score,risk,note\nA1,20.5,low,\nA2,81,low,\nN1,1,low,\n",
        );
        name_companies(&place, "matching = 'upsert'\nbatch_size = 2");
        let killed = place.command_with(&["run", "job", "--json"], &[(ABORT_AT, change)]);
        assert_ne!(killed.code, 0, "{change}: {killed}");
        let resumed = place.run();
        let summary = "3 read = 1 inserted + 2 updated";
        assert_eq!(resumed.summary(), summary, "{change}: {resumed}");
        let written = ["A1,20.5,low", "A2,81,low", "A3,,", "N1,1,low"];
        assert_eq!(scores(&place), written, "{change}");
    }
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

#[test]
fn a_preview_writes_nothing_and_a_run_can_be_verified_and_undone() {
    let place = place("", "id,score,risk,note\nA1,20.5,low,\nA2,80,low,\n");
    let preview = place.command(&["preview", "job", "--json"]);
    assert_eq!(preview.code, 0, "{preview}");
    let before = scores(&place);
    assert_eq!(before, ["A1,12.5,high", "A2,80,low", "A3,,"], "{preview}");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 unchanged", "{run}");
    let verified = place.command(&["verify", "job"]);
    assert_eq!(verified.code, 0, "{verified}");
    let undone = place.command(&["undo", &run.run().to_string(), "--json"]);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    assert_eq!(scores(&place), before);
}

#[test]
fn a_saved_plan_is_applied_where_records_hold_what_was_shown() {
    let place = place("", "id,score,risk,note\nA1,20.5,low,\nA2,81,low,\n");
    let portal = Portal::serve(&place, &[]);
    let preview = place.command(&["preview", "job", "--out", "plan"]);
    assert_eq!(preview.code, 0, "{preview}");
    let edit = json!({ "inputs": [{ "id": "102", "properties": { "health_score": "3" } }] });
    assert_eq!(portal.batch("update", &edit).status, 200);
    let applied = place.command(&["run", "job", "--plan", "plan", "--json"]);
    let summary = "2 read = 1 updated + 1 skipped";
    assert_eq!(applied.summary(), summary, "{applied}");
    assert_eq!(scores(&place), ["A1,20.5,low", "A2,3,low", "A3,,"]);
}

#[test]
fn values_that_other_people_changed_are_kept_where_the_job_says_so() {
    let place = place("", "id,score,risk,note\nA1,20.5,low,\nA2,81,low,\n");
    let fields = "account_id = 'id'\nhealth_score = 'score'\n\
                  churn_risk = { column = 'risk', on_conflict = 'keep' }";
    let job = write_back("scores", "companies", "ignore = ['note']", fields);
    place.file("schedules/job.toml", &job);
    let first = place.run();
    assert_eq!(first.summary(), "2 read = 2 updated", "{first}");
    let portal = Portal::serve(&place, &[]);
    let edit = json!({ "inputs": [{ "id": "102", "properties": { "churn_risk": "medium" } }] });
    assert_eq!(portal.batch("update", &edit).status, 200);
    let source = "id,score,risk,note\nA1,21,high,\nA2,82,high,\n";
    place.file("data/scores.csv", source);
    let second = again(&place);
    assert_eq!(second.summary(), "2 read = 2 updated", "{second}");
    assert_eq!(scores(&place), ["A1,21,high", "A2,82,medium", "A3,,"]);
}

#[test]
fn a_canary_is_looked_at_and_a_guard_stops_a_run_before_it_writes() {
    let canary = place(
        "canary = 1",
        "id,score,risk,note\nA1,20.5,low,\nA2,81,low,\n",
    );
    let run = canary.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    let guarded = place(
        "max_changed = '10 %'",
        "id,score,risk,note\nA1,20.5,low,\nA2,81,low,\n",
    );
    let stopped = guarded.run();
    assert_eq!(stopped.code, 3, "{stopped}");
    assert_eq!(scores(&guarded), ["A1,12.5,high", "A2,80,low", "A3,,"]);
}

#[test]
fn neither_secret_nor_token_is_told_or_kept() {
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
    let environment = [
        ("SECRET", "canary-7f"),
        ("REFRESH", "canary-8e"),
        ("RUST_LOG", "trace"),
    ];
    for _ in 0..2 {
        let arguments = ["run", "job", "--again", "--json"];
        let run = place.command_with(&arguments, &environment);
        assert_eq!(run.json()["status"], "succeeded", "{run}");
        let sql = "SELECT id FROM documents WHERE kind = '_token'";
        let tokens = place.query_file(".writeback/practice/crm.db", sql);
        let secrets: Vec<&str> = tokens
            .lines()
            .skip(1)
            .chain(["canary-7f", "canary-8e"])
            .collect();
        assert!(secrets.len() > 2, "a log-in: {secrets:?}");
        let kept = |file: &std::path::Path| {
            let mut parts = file.components();
            parts.any(|part| part.as_os_str() == "practice" || part.as_os_str() == "tokens")
        };
        for secret in secrets {
            let told = run.stdout.contains(secret) || run.stderr.contains(secret);
            assert!(!told, "{secret}");
            for (file, bytes) in place.state().iter().filter(|(file, _)| !kept(file)) {
                let text = String::from_utf8_lossy(bytes);
                assert!(!text.contains(secret), "{secret} in {}", file.display());
            }
        }
    }
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
fn members_are_added_and_taken_out_beside_those_of_others() {
    let place = place("", "id,interests\nA1,analytics;security\nA2,\n");
    let write = |settings: &str, records: &str| {
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, interests VARCHAR(255)",
            &format!("id,interests\n{records}"),
        );
        let fields =
            format!("account_id = 'id'\ninterests = {{ column = 'interests', {settings} }}");
        let job = write_back("scores", "companies", "", &fields);
        place.file("schedules/job.toml", &job);
        again(&place)
    };
    let held = || {
        let sql = "SELECT json_extract(body, '$.properties.account_id') AS id, json_extract(body, '$.properties.interests') AS held
                   FROM documents WHERE kind = 'companies' AND NOT json_extract(body, '$.archived') ORDER BY 1";
        place.query_file(".writeback/practice/crm.db", sql)
    };
    let first = write("list = 'replace'", "A1,security;analytics\n");
    assert_eq!(first.summary(), "1 read = 1 unchanged", "{first}");
    let added = write(
        "list = 'add', separator = ','",
        "A1,\"training, security\"\nA2,training\nA3,\n",
    );
    assert_eq!(
        added.summary(),
        "3 read = 2 updated + 1 unchanged",
        "{added}"
    );
    assert!(
        held().contains("A1,analytics;security;training\nA2,training\nA3,"),
        "{}",
        held()
    );
    let removed = write("list = 'remove'", "A1,security\nA2,security\n");
    assert_eq!(
        removed.summary(),
        "2 read = 1 updated + 1 unchanged",
        "{removed}"
    );
    assert!(
        held().contains("A1,analytics;training\nA2,training\n"),
        "{}",
        held()
    );
    for run in [&removed, &added] {
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "{undo}");
    }
    assert!(
        held().contains("A1,analytics;security\nA2,\n"),
        "{}",
        held()
    );
}
