//! Requests made out of the API's description and out of the page's routes: whatever they hold, they
//! are answered, and never with a fault of the page's own.

use serde_json::{Map, Value, json};

use crate::fixture::{self, HOSTILE};
use crate::roles::TABLE;
use crate::shown::{Answer, OWN, Shown};

/// The same numbers in the same order, every time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.throw(all.len())]
    }
}

/// Texts that are something to somebody.
const TEXTS: [&str; 22] = [
    "job",
    "nightly",
    "scores",
    "A1",
    "1",
    "3",
    "health",
    "schedules/job.toml",
    "2026-12-01",
    "changed",
    "",
    "0",
    "-1",
    "9223372036854775807",
    "18446744073709551615",
    "..",
    "a/b",
    "x\u{0}y",
    "' OR 1=1 --",
    "%_%",
    "ä\u{202e}\n\t",
    HOSTILE,
];

fn text(dice: &mut Dice) -> String {
    match dice.throw(TEXTS.len() + 1) {
        0 => "long ".repeat(400),
        _ => (*dice.of(&TEXTS)).to_owned(),
    }
}

fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("%{byte:02X}"));
    bytes.collect()
}

/// A route with something in place of each part that has a name.
fn path_of(route: &str, dice: &mut Dice) -> String {
    let mut parts = route.split('{');
    let mut path = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap();
        let apt = [
            ("job", "job"),
            ("write_back", "scores"),
            ("key", "A1"),
            ("run", "1"),
            ("look", "1"),
            ("dashboard", "health"),
        ];
        let apt = apt.iter().find(|(known, _)| *known == name);
        // More often than not what is there, so that what lies behind it is reached.
        match apt.filter(|_| dice.throw(3) > 0) {
            Some((_, apt)) => path += apt,
            None => path += &encoded(&text(dice)),
        }
        path += rest;
    }
    path
}

/// A route with a number in place of each part that has a name.
fn plain_path(route: &str) -> String {
    let mut parts = route.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |path, part| {
        path + "1" + part.split_once('}').unwrap().1
    })
}

/// Something that is said to be of a schema, and mostly is.
fn value_of(schema: &Value, document: &Value, dice: &mut Dice) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return value_of(&document["components"]["schemas"][name], document, dice);
    }
    if dice.throw(6) == 0 {
        let odd = [
            json!(null),
            json!(-1),
            json!(1.5e300),
            json!({ "a": [{}] }),
            json!([[]]),
            json!(true),
            json!(HOSTILE),
        ];
        return dice.of(&odd).clone();
    }
    let kind = &schema["type"];
    let kinds = kind.as_array().cloned();
    let kinds = kinds.unwrap_or_else(|| vec![kind.clone()]);
    match dice.of(&kinds).as_str() {
        Some("object") => {
            let mut object = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if dice.throw(5) > 0 {
                    object.insert(name.clone(), value_of(property, document, dice));
                }
            }
            Value::Object(object)
        }
        Some("integer") => json!(*dice.of(&[0, 1, 3, i64::MAX, i64::MIN])),
        Some("boolean") => json!(dice.throw(2) == 0),
        Some("array") => json!([value_of(&schema["items"], document, dice)]),
        Some("null") => Value::Null,
        _ => json!(text(dice)),
    }
}

/// The query that an operation takes, with something in each part.
fn query_of(operation: &Value, dice: &mut Dice) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named = parameters.filter(|one| one["in"] == "query");
    let pairs =
        named.map(|one| format!("{}={}", one["name"].as_str().unwrap(), encoded(&text(dice))));
    pairs.collect::<Vec<_>>().join("&")
}

fn expect_an_answer(answer: &Answer, asked: &str) {
    assert!(
        answer.status < 500,
        "{asked}: {} {}",
        answer.status,
        answer.body
    );
    if answer.status >= 400 && asked.contains("/api/") {
        let kind = answer.header("content-type");
        assert_eq!(
            kind,
            Some("application/problem+json"),
            "{asked}: {}",
            answer.body
        );
        assert_eq!(answer.json()["status"], answer.status, "{asked}");
    }
}

/// What an operation is answered with is described, status by status but for refusals, which are
/// described at once; and is of the kind that is described.
fn expect_described(operation: &Value, answer: &Answer, asked: &str) {
    let status = answer.status.to_string();
    let described = &operation["responses"];
    let known = described.get(&status).or_else(|| {
        let refused = (400..500).contains(&answer.status);
        described.get("4XX").filter(|_| refused)
    });
    let known =
        known.unwrap_or_else(|| panic!("{asked} is answered with {status}: {}", answer.body));
    if answer.status >= 400 {
        let problem = &known["content"]["application/problem+json"];
        assert!(problem["schema"].is_object(), "{asked}: {known}");
        for member in ["type", "title", "status"] {
            assert!(!answer.json()[member].is_null(), "{asked}: {}", answer.body);
        }
    }
    match answer.status {
        202 => {
            let place = answer.header("location").unwrap();
            assert!(place.starts_with("/api/v1/"), "{asked}: {place}");
        }
        204 => assert_eq!(answer.body, "", "{asked}"),
        200 | 201 => assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{asked}"
        ),
        _ => {}
    }
}

const TRIES: usize = 6;

#[test]
fn whatever_a_program_asks_for_is_answered() {
    let place = fixture::place();
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("{project}[page]\nedit = true\n"));
    let shown = Shown::page(&place);
    let token = shown.token("robot", "admin", &[]);
    let headers = [("Authorization", token.as_str()), ("If-Match", "0")];
    let document = place.command(&["page", "openapi"]).json();
    let mut dice = Dice(34);
    let (mut asked, mut done) = (0, 0);
    for (route, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for _ in 0..TRIES {
                let path = format!(
                    "{}?{}",
                    path_of(route, &mut dice),
                    query_of(operation, &mut dice)
                );
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                let body = match (schema, dice.throw(8)) {
                    (Value::Null, _) => String::new(),
                    (_, 0) => {
                        (*dice.of(&["", "{", "[]", "\u{0}", "null", "{\"a\": 1}"])).to_owned()
                    }
                    (schema, _) => value_of(schema, &document, &mut dice).to_string(),
                };
                let method = method.to_uppercase();
                let answer = shown.send_json(&method, &path, &headers, &body);
                let what = format!("{method} {path} {body}");
                expect_an_answer(&answer, &what);
                expect_described(operation, &answer, &what);
                asked += 1;
                done += usize::from(answer.status < 300);
            }
        }
        // What is not described is not there.
        let path = plain_path(route);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if methods.get(method.to_lowercase()).is_none() {
                let answer = shown.send_json(method, &path, &headers, "{}");
                assert_eq!(answer.status, 405, "{method} {path}");
            }
        }
    }
    assert!(asked > 200 && done > 60, "{done} of {asked} were done");
}

#[test]
fn whatever_a_form_holds_is_answered() {
    let place = fixture::place();
    let shown = Shown::page(&place);
    let cookie = shown.cookie("admin");
    let headers = [OWN, ("Cookie", cookie.as_str())];
    let names = [
        "key",
        "cycle",
        "write_back",
        "look",
        "reason",
        "records",
        "until",
        "because",
        "stage",
        "column",
        "q",
        "before",
        "after",
        "tz",
        "zone",
        "keys",
        "base",
        "text",
        "keep",
        "what",
        "field",
        "source",
        "value",
    ];
    let mut dice = Dice(35);
    let table = TABLE.iter().filter(|(_, route, _)| {
        !route.starts_with("/api/") && !["/events", "/sessions/{session}/end"].contains(route)
    });
    for (method, route, _) in table {
        for _ in 0..3 {
            let path = path_of(route.split('?').next().unwrap(), &mut dice);
            let pairs = names.map(|name| format!("{name}={}", encoded(&text(&mut dice))));
            let form = pairs.join("&");
            let (path, body) = match *method {
                "GET" => (format!("{path}?{form}"), String::new()),
                _ => (path, form),
            };
            let answer = shown.send(method, &path, &headers, &body);
            expect_an_answer(&answer, &format!("{method} {path} {body}"));
        }
    }
}
