//! The description of what can be asked for, held against what is answered; and a thousand at once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::caller::{Answering, TOKEN, place_on, send};
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

#[test]
fn a_thousand_at_once_are_answered_or_told_to_come_back_and_every_one_is_accounted_for() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let body = |half: usize| {
        let record = |number: usize| json!({"key": {"id": format!("A{}", 1 + number % 3)}, "values": {"score": number + half * 200}});
        json!({"records": (0..200).map(record).collect::<Vec<Value>>()}).to_string()
    };
    let statuses: Vec<u64> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..5)
            .map(|half| {
                let (answering, body) = (&answering, body(half));
                scope.spawn(move || {
                    answering.ask("POST", "/v1/jobs/job/write-backs/scores/records", &body)
                })
            })
            .collect();
        let answers = asking
            .into_iter()
            .map(|asking| asking.join().expect("an answer").json());
        let records =
            answers.flat_map(|answer| answer["records"].as_array().cloned().expect("records"));
        records
            .map(|record| record["status"].as_u64().expect("a status"))
            .collect()
    });
    assert_eq!(statuses.len(), 1000);
    let of = |wanted: u64| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(of(200) + of(429), 1000, "{statuses:?}");
    assert!(of(200) > 0 && of(429) > 0, "{} and {}", of(200), of(429));
    let runs = place.command(&["runs", "1", "--json"]).json();
    let read = runs["write_backs"][0]["read"].as_u64();
    assert_eq!(read, Some(of(200) as u64), "{runs}");
}
