//! The description of what can be asked for, held against what is answered; and a thousand at once.

use std::collections::BTreeSet;

use serde_json::json;

use super::caller::{Answering, TOKEN, begin, path_of, place_on, send};
use crate::harness::Server;

/// Values of a parameter in a path, most of them wrong.
fn values_of(name: &str) -> &'static [&'static str] {
    match name {
        "job" => &["job", "no", "%00", "..%2F"],
        "write_back" => &["scores", "no", "%ff"],
        "key" => &["A1", "A9", "a,b", "%22", "%E2%82%AC"],
        "id" => &["1", "no", "%27"],
        other => panic!("`{other}` is a parameter that nobody knows"),
    }
}

/// The paths that a path with parameters stands for.
fn paths_of(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (name, after) = rest.split_once('}').expect("a parameter ends");
    let paths = values_of(name).iter();
    paths
        .flat_map(|value| paths_of(&format!("{before}{value}{after}")))
        .collect()
}

/// Bodies, most of them wrong.
fn bodies() -> Vec<String> {
    let values = [
        json!({"score": 1}),
        json!({"score": -0.0}),
        json!({"score": 1e300}),
        json!({"score": null, "note": "\u{0}"}),
        json!({"note": "x".repeat(10_000)}),
        json!({"id": "A2"}),
        json!({"nobody": []}),
        json!([]),
    ];
    let mut bodies: Vec<String> = Vec::new();
    for value in values {
        bodies.push(json!({"values": value}).to_string());
        bodies.push(json!({"values": value, "expected": value, "origin": "\n"}).to_string());
        bodies.push(json!({"records": [{"key": {"id": "A1"}, "values": value}, {"key": {}, "values": value}]}).to_string());
    }
    bodies.extend(
        [
            "",
            "{",
            "null",
            "{\"values\":{\"score\":1}}x",
            "{\"records\":[]}",
        ]
        .map(str::to_owned),
    );
    bodies
}

#[test]
fn whatever_is_asked_for_is_answered_as_described_and_never_with_a_fault() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let described = answering.ask("GET", "/v1/openapi.json", "");
    assert_eq!(described.status, 200);
    let described = described.json();
    let token = format!("Bearer {TOKEN}");
    let mut asked = 0;
    let mut met = BTreeSet::new();
    for (path, item) in described["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if !["get", "patch", "post"].contains(&method.as_str()) {
                continue;
            }
            let documented = operation["responses"].as_object().expect("responses");
            let bodies = match method.as_str() {
                "get" => vec![String::new()],
                _ => bodies(),
            };
            for (number, concrete) in paths_of(path).into_iter().enumerate() {
                // Each path meets some bodies, and all paths together meet each.
                let of_path = bodies.iter().enumerate().filter(|(body, _)| {
                    concrete.contains("job/write-backs/scores") && concrete.ends_with("A1")
                        || body % 7 == number % 7
                });
                for (_, body) in of_path {
                    let headers = [("Authorization", token.as_str())];
                    let answer = send(
                        &answering.host,
                        &method.to_uppercase(),
                        &concrete,
                        &headers,
                        body,
                    );
                    let answer = answer.unwrap_or_else(|| panic!("{method} {concrete} {body}"));
                    let status = answer.status.to_string();
                    assert!(
                        documented.contains_key(&status),
                        "{method} {concrete} {body}: {answer:?}"
                    );
                    assert!(
                        answer.status < 500,
                        "{method} {concrete} {body}: {answer:?}"
                    );
                    met.insert(answer.status);
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 100, "{asked}");
    assert!(
        met.is_superset(&BTreeSet::from([200, 400, 403, 404, 422])),
        "{met:?}"
    );
}

/// Memory that a thousand requests at once may take, whatever a process takes that has none.
const BYTES_MAX: u64 = 192 << 20;

#[test]
fn a_thousand_at_once_in_bounded_memory_are_answered_or_told_to_come_back() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let first = answering.change("A1", r#"{"values": {"score": 0}}"#);
    assert_eq!(first.status, 200, "{first:?}");
    let before = answering.peak_bytes();
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str())];
    // All are sent before the first answer is read.
    let sent: Vec<_> = (1..=1000)
        .map(|number| {
            let path = path_of(&format!("A{}", 1 + number % 3));
            let body = json!({"values": {"score": number}}).to_string();
            begin(&answering.host, "PATCH", &path, &headers, &body).expect("a connection")
        })
        .collect();
    let answers = sent
        .into_iter()
        .map(|sent| sent.answer().expect("an answer"));
    let statuses: Vec<u16> = answers.map(|answer| answer.status).collect();
    let taken = answering.peak_bytes().saturating_sub(before);
    let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(of(200) + of(429), 1000, "{statuses:?}");
    assert!(of(200) > 0, "{statuses:?}");
    assert!(taken < BYTES_MAX, "{taken} bytes");
    let runs = place.command(&["runs", "1", "--json"]).json();
    let read = runs["write_backs"][0]["read"].as_u64();
    assert_eq!(read, Some(1 + of(200) as u64), "{runs}");
}

#[test]
fn whoever_reads_the_description_knows_how_to_prove_itself_and_to_name_a_record() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let described = answering.send("GET", "/v1/openapi.json", &[], "");
    assert_eq!(described.status, 200);
    let head = answering.send("HEAD", "/v1/openapi.json", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let described = described.json();
    let schemes = &described["components"]["securitySchemes"];
    assert_eq!(schemes["token"]["scheme"], "bearer", "{schemes}");
    let names = ["signature", "timestamp"].map(|name| schemes[name]["name"].clone());
    assert_eq!(names, ["X-Writeback-Signature", "X-Writeback-Timestamp"]);
    let ways = json!([{"token": []}, {"timestamp": [], "signature": []}]);
    assert_eq!(described["security"], ways);
    let open = &described["paths"]["/v1/openapi.json"]["get"]["security"];
    assert_eq!(open, &json!([{}]));
    let records = "/v1/jobs/{job}/write-backs/{write_back}/records";
    let parameters = &described["paths"][records]["patch"]["parameters"];
    let mut parameters = parameters.as_array().expect("parameters").iter();
    let key = parameters.find(|one| one["name"] == "key").expect("a key");
    assert_eq!(
        (&key["in"], &key["style"], &key["explode"]),
        (&json!("query"), &json!("form"), &json!(true))
    );
    let asked = answering.ask(
        "PATCH",
        &format!("{}?id=A1", path_of("").trim_end_matches('/')),
        r#"{"values": {"score": 5}}"#,
    );
    assert_eq!(asked.status, 200, "{asked:?}");
}

#[test]
fn a_bulk_names_its_records_in_its_body_alone() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let body = r#"{"records": [{"key": {"id": "A1"}, "values": {"score": 7}}]}"#;
    let path = path_of("?id=A2").replace("/?", "?");
    let answer = answering.ask("POST", &path, body);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
}

#[test]
fn the_name_of_a_token_s_scheme_is_spelt_in_any_case() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    for (scheme, status) in [("bearer", 200), ("BEARER", 200), ("Basic", 401)] {
        let told = format!("{scheme} {TOKEN}");
        let path = "/v1/jobs/job/write-backs/scores";
        let answer = answering.send("GET", path, &[("Authorization", &told)], "");
        assert_eq!(answer.status, status, "{scheme}: {answer:?}");
    }
}
