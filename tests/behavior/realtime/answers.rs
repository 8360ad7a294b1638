//! Who may ask, what is understood, and what is answered: every status by a request.

use super::caller::{Answering, FIELDS, Sent, TOKEN, path_of, place_on, place_with, send};
use crate::harness::{Server, Workspace};

const CHANGE: &str = r#"{"values": {"score": 7}}"#;

#[test]
fn nobody_is_answered_who_does_not_prove_who_it_is() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    for headers in [
        &[][..],
        &[("Authorization", "Bearer wrong")],
        &[("Authorization", TOKEN)],
        &[
            ("X-Writeback-Signature", "v1=00"),
            ("X-Writeback-Timestamp", "0"),
        ],
    ] {
        let answer = answering.send("PATCH", &path_of("A1"), headers, CHANGE);
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
    let log = answering.log();
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_stranger_is_refused_before_it_has_sent_anything_to_keep() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let (host, path) = (&answering.host, path_of("A1"));
    for stranger in [
        "Authorization: Bearer wrong\r\n",
        "X-Writeback-Signature: v1=00\r\nX-Writeback-Timestamp: 0\r\n",
        "",
    ] {
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n{stranger}\r\n"
        );
        let answer = Sent::of(host, head.as_bytes()).and_then(Sent::answer);
        assert_eq!(answer.expect("an answer").status, 401, "{stranger}");
    }
}

#[test]
fn a_caller_writes_what_its_table_names_and_is_told_where_to_change_that() {
    let place = place_on(Server::Sqlite);
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}fields = ['score']\norigins = ['form']\n"),
    );
    let answering = Answering::start(&place);
    let change = |values: &str, origin: &str| {
        answering.change("A1", &format!(r#"{{"values": {values}{origin}}}"#))
    };
    let form = r#", "origin": "form""#;
    for (answer, told) in [
        (change(r#"{"note": "x"}"#, form), "may not write `note`"),
        (change(r#"{"score": 7}"#, ""), "without an `origin`"),
        (
            change(r#"{"score": 7}"#, r#", "origin": "task""#),
            "from this `origin`",
        ),
        (
            answering.ask(
                "PATCH",
                "/v1/jobs/job/write-backs/others/records/A1",
                CHANGE,
            ),
            "may not use this write-back",
        ),
    ] {
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains(told), "{answer:?}");
        assert!(answer.body.contains("[http.callers.portal]"), "{answer:?}");
    }
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
    assert_eq!(change(r#"{"score": 7}"#, form).status, 200);
}

#[test]
fn a_field_that_nobody_switched_on_is_refused_with_where_to_do_it() {
    let fields = "id = 'id'\nscore = 'score'\nnote = { column = 'note', realtime = true }";
    let place = place_with("", fields);
    let answering = Answering::start(&place);
    let off = answering.change("A1", CHANGE);
    assert_eq!(off.status, 403, "{off:?}");
    assert!(
        off.body
            .contains("`score = { column = \\\"score\\\", realtime = true }`"),
        "{}",
        off.body
    );
    let key = answering.change("A1", r#"{"values": {"id": "A2"}}"#);
    assert_eq!(key.status, 403, "{key:?}");
    assert!(key.body.contains("records are matched on it"), "{key:?}");
    let unknown = answering.change("A1", r#"{"values": {"scroe": 1}}"#);
    assert_eq!(unknown.status, 400, "{unknown:?}");
    let told = answering
        .ask("GET", "/v1/jobs/job/write-backs/scores", "")
        .json();
    let fields = told["fields"].as_array().expect("fields").iter();
    let fields: Vec<_> = fields
        .map(|field| {
            (
                field["field"].as_str().unwrap(),
                field["real_time"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        fields,
        [("id", false), ("score", false), ("note", true)],
        "{told}"
    );
    assert_eq!(told["fields"][1]["type"], "INTEGER");
}

#[test]
fn what_is_not_understood_is_told_and_nothing_of_it_is_logged() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    for body in [
        "",
        "canary",
        r#"{"values": {"note": "canary""#,
        r#"{"values": {"note": ["canary"]}}"#,
        r#"{"values": {}}"#,
        r#"{"values": {"note": "canary"}, "orign": "x"}"#,
    ] {
        let answer = answering.change("A1", body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(!answer.body.contains("canary"), "{answer:?}");
    }
    answering.change("A1", r#"{"values": {"note": "canary value", "score": 5}}"#);
    answering.change("A1", r#"{"values": {"score": "canary text"}}"#);
    assert_eq!(answering.ask("GET", "/elsewhere", "").status, 404);
    assert_eq!(answering.ask("DELETE", &path_of("A1"), "").status, 405);
    let large = format!(
        r#"{{"values": {{"note": "{}"}}}}"#,
        "canary".repeat(200_000)
    );
    let token = format!("Bearer {TOKEN}");
    if let Some(answer) = send(
        &answering.host,
        "PATCH",
        &path_of("A1"),
        &[("Authorization", &token)],
        &large,
    ) {
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
    let (code, log) = answering.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("canary"), "{log}");
    assert!(log.contains("a request"), "{log}");
}

#[test]
fn the_same_idempotency_key_gives_the_same_answer_and_never_another_write() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let first = answering.ask_keyed("k1", &path_of("A1"), CHANGE);
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'A1'");
    let second = answering.ask_keyed("k1", &path_of("A1"), CHANGE);
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.json(), second.json());
    assert_eq!(
        place.query("SELECT score FROM accounts WHERE id = 'A1'"),
        "score\n99\n"
    );
    let other = answering.ask_keyed("k1", &path_of("A1"), r#"{"values": {"score": 8}}"#);
    assert_eq!(other.status, 409, "{other:?}");
    let elsewhere = answering.ask_keyed("k1", &path_of("A2"), CHANGE);
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    let (code, log) = answering.stop();
    assert_eq!(code, Some(0), "{log}");
    let answering = Answering::start(&place);
    let third = answering.ask_keyed("k1", &path_of("A1"), CHANGE);
    assert_eq!(third.json(), first.json(), "a restart forgets nothing");
}

#[test]
fn a_request_that_is_accepted_first_is_carried_out_and_can_be_asked_for() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let token = format!("Bearer {TOKEN}");
    let headers = [
        ("Authorization", token.as_str()),
        ("Prefer", "respond-async"),
    ];
    let accepted = answering.send("PATCH", &path_of("A1"), &headers, CHANGE);
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let id = accepted.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        accepted.header("location"),
        Some(format!("/v1/outcomes/{id}").as_str())
    );
    let outcome = answering.settled(&id);
    assert_eq!(outcome["status"], 200, "{outcome}");
    assert_eq!(
        place.query("SELECT score FROM accounts WHERE id = 'A1'"),
        "score\n7\n"
    );
    assert_eq!(answering.ask("GET", "/v1/outcomes/nobody", "").status, 404);
}

#[test]
fn an_unreachable_destination_is_told_and_certainly_nothing_is_written() {
    let place = place_on(Server::Postgres);
    let answering = Answering::start(&place);
    assert_eq!(answering.change("A1", CHANGE).status, 200);
    place.execute("ALTER TABLE accounts RENAME TO gone");
    let answer = answering.change("A1", r#"{"values": {"score": 8}}"#);
    assert_eq!(answer.status, 502, "{answer:?}");
    place.execute("ALTER TABLE gone RENAME TO accounts");
    assert_eq!(
        answering.change("A1", r#"{"values": {"score": 8}}"#).status,
        200
    );
}

#[test]
fn check_says_what_cannot_be_real_time_and_serve_says_what_is_missing() {
    let fields = "id = { column = 'id', realtime = true }
score = { column = 'score', realtime = true }
note = { string = 'x', realtime = true }
phone = { column = 'note', on_conflict = 'keep', realtime = true }";
    let place = place_with("", fields);
    let checked = place.command(&["check", "job"]);
    assert_eq!(checked.code, 2, "{checked}");
    for told in [
        "records are matched on it",
        "it holds the same text for every record",
        "it keeps what someone else wrote",
    ] {
        assert!(checked.to_string().contains(told), "{told}: {checked}");
    }
    let place = place_on(Server::Sqlite);
    let served = place.command(&["serve"]);
    assert_eq!(served.code, 2, "{served}");
    assert!(served.to_string().contains("PORTAL_TOKEN"), "{served}");
    let open = |listen: &str| {
        let place = Workspace::accounts(Server::Sqlite, super::caller::ROWS, "id,score,note\n");
        place.job("", FIELDS);
        let connections = place.connection("files") + &place.connection("crm");
        let http = super::caller::CALLER.replace("127.0.0.1:0", listen);
        place.file("writeback.toml", &format!("{connections}{http}"));
        place.command(&["check", "job"])
    };
    let everywhere = open("0.0.0.0:8700");
    assert!(
        everywhere.to_string().contains("without TLS"),
        "{everywhere}"
    );
    assert_eq!(open("127.0.0.1:8700").code, 0);
}

#[test]
fn what_can_be_read_in_two_ways_is_not_guessed() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    let whole = "/v1/jobs/job/write-backs/scores/records";
    for (path, body, told) in [
        (
            format!("{whole}?id=A1&id=A2"),
            CHANGE,
            "the address names `id` twice",
        ),
        (
            format!("{whole}/A1?id=A2"),
            CHANGE,
            "something stands in the query",
        ),
        (
            format!("{whole}/A1"),
            r#"{"values": {"score": 7, "score": 8}}"#,
            "the body names a column twice",
        ),
    ] {
        let answer = answering.ask("PATCH", &path, body);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body.contains(told), "{path}: {answer:?}");
    }
    assert_eq!(place.rows("accounts"), super::caller::ROWS);
}
