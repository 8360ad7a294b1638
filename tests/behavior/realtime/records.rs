//! One record, written at once: what is written, what is not, and what of it is told.

use serde_json::json;

use super::caller::{Answering, FIELDS, place_on, place_with};
use crate::harness::Server;

#[test]
fn a_field_is_written_at_once_and_the_answer_tells_old_new_and_what_is_there_now() {
    for server in Server::ALL {
        let place = place_on(server);
        let answering = Answering::start(&place);
        let body = r#"{"values": {"score": 7}, "origin": "profile", "actor": "ann"}"#;
        let answer = answering.change("A1", body);
        assert_eq!(
            answer.told(),
            (200, "updated".to_owned()),
            "{server} {answer:?}"
        );
        let told = answer.json();
        assert_eq!(told["record"], "A1");
        assert_eq!(told["run"], 1);
        let destination = &told["destinations"][0];
        let fields = json!([{"field": "score", "from": "1", "to": "7", "outcome": "updated"}]);
        assert_eq!(destination["fields"], fields, "{server}");
        assert_eq!(destination["read_back"], json!({"score": "7"}), "{server}");
        let rows = "id,score,note,phone\nA1,7,a,1\nA2,2,b,2\nA3,3,,3\n";
        assert_eq!(
            place.rows("accounts"),
            rows,
            "{server}: the other field is left alone"
        );
        let again = answering.change("A1", r#"{"values": {"score": 7}}"#);
        assert_eq!(again.told(), (200, "unchanged".to_owned()), "{server}");
        let null = answering.change("A1", r#"{"values": {"note": null, "score": 8}}"#);
        assert_eq!(null.told(), (200, "updated".to_owned()), "{server}");
        let rows = "id,score,note,phone\nA1,8,,1\nA2,2,b,2\nA3,3,,3\n";
        assert_eq!(place.rows("accounts"), rows, "{server}");
        let runs = place.command(&["runs", "1", "--json"]).json();
        let scores = &runs["write_backs"][0];
        assert_eq!(
            (&scores["read"], &scores["updated"]),
            (&json!(3), &json!(2)),
            "{runs}"
        );
        assert_eq!(scores["unchanged"], 1, "{runs}");
    }
}

#[test]
fn what_is_not_there_or_does_not_fit_is_told_with_the_reason_and_nothing_is_written() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let absent = answering.change("A9", r#"{"values": {"score": 7}}"#);
    assert_eq!(absent.told(), (404, "skipped".to_owned()));
    assert_eq!(absent.json()["destinations"][0]["reason"], "no match");
    assert_eq!(
        absent.header("content-type"),
        Some("application/problem+json")
    );
    let text = answering.change("A1", r#"{"values": {"score": "much"}}"#);
    assert_eq!(text.told(), (422, "rejected".to_owned()));
    let told = text.json();
    let destination = &told["destinations"][0];
    assert_eq!(
        (&destination["stage"], &destination["column"]),
        (&json!("schema"), &json!("score"))
    );
    let long = format!(r#"{{"values": {{"note": "{}"}}}}"#, "x".repeat(41));
    assert_eq!(answering.change("A1", &long).status, 422);
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
    let rejected = place.command(&["runs", "1", "--json"]).json();
    assert_eq!(rejected["write_backs"][0]["rejected"], 2, "{rejected}");
    assert_eq!(rejected["status"], "rejected");
}

#[test]
fn a_record_that_is_not_as_expected_is_left_and_both_values_are_told() {
    for server in Server::ALL {
        let place = place_on(server);
        let answering = Answering::start(&place);
        let body = r#"{"values": {"score": 7}, "expected": {"score": 2}}"#;
        let answer = answering.change("A1", body);
        assert_eq!(answer.told(), (409, "conflict".to_owned()), "{server}");
        let told = answer.json();
        let destination = &told["destinations"][0];
        let (held, expected) = (&destination["fields"][0]["from"], &destination["expected"]);
        assert_eq!(
            (held, expected),
            (&json!("1"), &json!({"score": "2"})),
            "{server} {told}"
        );
        assert_eq!(place.rows("accounts"), super::caller::ROWS, "{server}");
        let body = r#"{"values": {"score": 7}, "expected": {"score": 1}}"#;
        assert_eq!(answering.change("A1", body).status, 200, "{server}");
        let body = r#"{"values": {"note": "n"}, "expected": {"note": null}}"#;
        assert_eq!(answering.change("A3", body).status, 200, "{server}");
        assert_eq!(answering.change("A3", body).status, 409, "{server}");
    }
}

#[test]
fn a_record_that_is_gone_is_not_made_anew_for_whoever_expects_it_to_hold_something() {
    for server in Server::ALL {
        let place = place_on(server);
        place.job("matching = 'upsert'", FIELDS);
        let answering = Answering::start(&place);
        place.execute("DELETE FROM accounts WHERE id = 'A1'");
        let body = r#"{"values": {"score": 7}, "expected": {"score": 1}}"#;
        let answer = answering.change("A1", body);
        assert_eq!(answer.told(), (409, "conflict".to_owned()), "{server}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA2,2,b,2\nA3,3,,3\n",
            "{server}"
        );
        let body = r#"{"values": {"score": 7}, "expected": {"score": null}}"#;
        let answer = answering.change("A1", body);
        assert_eq!(answer.told(), (200, "created".to_owned()), "{server}");
    }
}

#[test]
fn the_rules_of_the_job_hold_for_requests_too() {
    let fields = "id = 'id'
score = { column = 'score', realtime = true }
note = { column = 'note', when = 'if_empty', realtime = true }";
    let place = place_with("nulls = 'keep'", fields);
    let answering = Answering::start(&place);
    let kept = answering.change("A1", r#"{"values": {"note": "x", "score": 5}}"#);
    assert_eq!(kept.told(), (200, "updated".to_owned()));
    let told = kept.json();
    let outcomes = told["destinations"][0]["fields"]
        .as_array()
        .expect("fields")
        .iter();
    let outcomes: Vec<&str> = outcomes
        .map(|field| field["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["updated", "kept"], "{told}");
    answering.change("A1", r#"{"values": {"score": null}}"#);
    assert_eq!(
        place.query("SELECT score, note FROM accounts WHERE id = 'A1'"),
        "score,note\n5,a\n"
    );
}

#[test]
fn a_key_of_several_columns_is_named_in_the_path_or_in_the_query() {
    let place = place_on(Server::Sqlite);
    place.table(
        "parts",
        "region TEXT, id TEXT, score INTEGER, PRIMARY KEY (region, id)",
        "region,id,score\nEU,1,1\nUS,1,2\n",
    );
    place.file(
        "sql/scores.sql",
        "CREATE TABLE scores (region TEXT, id TEXT, score INTEGER, PRIMARY KEY (region, id));\n",
    );
    place.file("data/scores.csv", "region,id,score\n");
    let fields = "region = 'region'\nid = 'id'\nscore = { column = 'score', realtime = true }";
    place.file(
        "schedules/job.toml",
        &crate::harness::write_back("scores", "parts", "", fields),
    );
    let answering = Answering::start(&place);
    let records = "/v1/jobs/job/write-backs/scores/records";
    let path = answering.ask(
        "PATCH",
        &format!("{records}/EU,1"),
        r#"{"values": {"score": 7}}"#,
    );
    assert_eq!(path.told(), (200, "updated".to_owned()), "{path:?}");
    let query = answering.ask(
        "PATCH",
        &format!("{records}?id=1&region=US"),
        r#"{"values": {"score": 8}}"#,
    );
    assert_eq!(query.told(), (200, "updated".to_owned()), "{query:?}");
    for (address, told) in [("region=%FF&id=1", "%FF"), ("region=US&%C3=1", "%C3")] {
        let path = format!("{records}?{address}");
        let garbled = answering.ask("PATCH", &path, r#"{"values": {"score": 9}}"#);
        assert_eq!(garbled.status, 400, "{garbled:?}");
        assert!(garbled.body.contains(told), "{garbled:?}");
    }
    let half = answering.ask(
        "PATCH",
        &format!("{records}?id=1"),
        r#"{"values": {"score": 8}}"#,
    );
    assert_eq!(half.status, 400, "{half:?}");
    assert_eq!(place.rows("parts"), "region,id,score\nEU,1,7\nUS,1,8\n");
}

#[test]
fn several_records_are_written_in_one_request_each_by_itself() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let body = r#"{"origin": "segment", "records": [
        {"key": {"id": "A1"}, "values": {"score": 11}},
        {"key": {"id": "A9"}, "values": {"score": 12}},
        {"key": {"id": "A2"}, "values": {"score": "much"}},
        {"key": {"id": "A3"}, "values": {"id": "A4"}},
        {"key": {"id": "A3"}, "values": {"note": "n"}}
    ]}"#;
    let answer = answering.ask("POST", "/v1/jobs/job/write-backs/scores/records", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    let statuses = told["records"].as_array().expect("records").iter();
    let statuses: Vec<u64> = statuses
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 404, 422, 403, 200], "{told}");
    let rows = "id,score,note,phone\nA1,11,a,1\nA2,2,b,2\nA3,3,n,3\n";
    assert_eq!(place.rows("accounts"), rows);
    let many = r#"{"key": {"id": "A1"}, "values": {"score": 1}},"#.repeat(201);
    let many = format!(r#"{{"records": [{}]}}"#, many.trim_end_matches(','));
    let answer = answering.ask("POST", "/v1/jobs/job/write-backs/scores/records", &many);
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn a_parked_record_is_left_alone() {
    let place = place_with("", FIELDS);
    let parked = place.command(&[
        "park",
        "job",
        "--write-back",
        "scores",
        "--record",
        "A1",
        "--until",
        "2099-01-01",
        "--reason",
        "merger",
    ]);
    assert_eq!(parked.code, 0, "{parked}");
    let answering = Answering::start(&place);
    let answer = answering.change("A1", r#"{"values": {"score": 7}}"#);
    assert_eq!(answer.told(), (409, "conflict".to_owned()));
    let reason = answer.json()["destinations"][0]["reason"].clone();
    assert!(
        reason
            .as_str()
            .is_some_and(|reason| reason.contains("merger")),
        "{reason}"
    );
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
}

#[test]
fn a_record_that_is_parked_under_another_spelling_of_its_key_is_left_alone() {
    for (source, destination, parked, asked) in [
        ("INTEGER", "INTEGER", "007", "7"),
        ("INTEGER", "INTEGER", "7", "07"),
        ("INTEGER", "VARCHAR(18)", "07", "007"),
        ("DECIMAL(6,2)", "DECIMAL(8,4)", "1.5", "1.50"),
    ] {
        let place = place_on(Server::Sqlite);
        place.execute("DROP TABLE accounts");
        let key = if asked.contains('.') { "1.5000" } else { "7" };
        place
            .table(
                "accounts",
                &format!("id {destination} PRIMARY KEY, score INTEGER, note TEXT"),
                &format!("id,score,note\n{key},1,\n"),
            )
            .scores(
                &format!("id {source} PRIMARY KEY, score INTEGER, note TEXT"),
                "id,score,note\n",
            );
        let park = [
            "park", "job", "--record", parked, "--until", "changed", "--reason", "merger",
        ];
        let told = place.command(&park);
        assert_eq!(told.code, 0, "{told}");
        let answering = Answering::start(&place);
        let answer = answering.change(asked, r#"{"values": {"score": 7}}"#);
        assert_eq!(
            answer.told(),
            (409, "conflict".to_owned()),
            "{source} to {destination}: {parked}, {asked}"
        );
        let lifted = place.command(&["park", "job", "--record", asked, "--lift"]);
        assert_eq!(lifted.code, 0, "{lifted}");
        let answer = answering.change(asked, r#"{"values": {"score": 7}}"#);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
