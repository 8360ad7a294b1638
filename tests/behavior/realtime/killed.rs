//! Requests whose process is killed: what was answered stands, and what was not is settled.

use super::caller::{Answering, Sent, TOKEN, begin, path_of, place_on, send};
use crate::harness::Server;

const CHANGE: &str = r#"{"values": {"score": 7}}"#;

/// Places where the process dies while it carries out a request.
const DEATHS: [&str; 6] = [
    "record a request in",
    "a transaction begun",
    "before-images kept",
    "record a batch in",
    "a batch committed",
    "end a request in",
];

#[test]
fn a_request_that_was_cut_off_and_is_asked_again_is_carried_out_once() {
    for server in [Server::Sqlite, Server::Postgres, Server::MariaDb] {
        let place = place_on(server);
        for (score, death) in (100..).zip(DEATHS) {
            let at = format!("1 {death}");
            let answering = Answering::start_with(&place, &[("WRITEBACK_ABORT_AT", &at)]);
            let body = format!(r#"{{"values": {{"score": {score}}}}}"#);
            let token = format!("Bearer {TOKEN}");
            let key = format!("k{score}");
            let headers = [("Authorization", token.as_str()), ("Idempotency-Key", &key)];
            let cut = send(&answering.host, "PATCH", &path_of("A1"), &headers, &body);
            assert!(cut.is_none(), "{server} {death}: {cut:?}");
            answering.kill();
            let answering = Answering::start(&place);
            let told = answering.ask_keyed(&key, &path_of("A1"), &body);
            let told = answering.settled(told.json()["id"].as_str().expect("an id"));
            let held = place.query("SELECT score FROM accounts WHERE id = 'A1'");
            assert_eq!(told["outcome"], "updated", "{server} {death}: {told}");
            assert_eq!(
                held,
                format!("score\n{score}\n"),
                "{server} {death}: once, in the end"
            );
            answering.kill();
        }
        let written = place.command(&["runs", "1", "--json"]).json();
        let updated = &written["write_backs"][0]["updated"];
        assert_eq!(*updated, DEATHS.len(), "{server} {written}");
        let undone = place.command(&["undo", "1"]);
        assert_eq!(undone.code, 0, "{server} {undone}");
        assert_eq!(place.rows("accounts"), super::caller::ROWS, "{server}");
    }
}

#[test]
fn what_was_accepted_is_carried_out_by_the_next_process() {
    let place = place_on(Server::Sqlite);
    let at = [("WRITEBACK_ABORT_AT", "1 a transaction begun")];
    let answering = Answering::start_with(&place, &at);
    let token = format!("Bearer {TOKEN}");
    let headers = [
        ("Authorization", token.as_str()),
        ("Prefer", "respond-async"),
        ("Idempotency-Key", "k"),
    ];
    // Whether it was answered before the process died does not matter: it was recorded.
    drop(send(
        &answering.host,
        "PATCH",
        &path_of("A1"),
        &headers,
        CHANGE,
    ));
    answering.kill();
    let answering = Answering::start(&place);
    let told = answering.ask_keyed("k", &path_of("A1"), CHANGE).json();
    let outcome = answering.settled(told["id"].as_str().expect("an id"));
    assert_eq!(outcome["outcome"], "updated", "{outcome}");
    assert_eq!(
        place.query("SELECT score FROM accounts WHERE id = 'A1'"),
        "score\n7\n"
    );
}

#[test]
fn whatever_was_answered_before_a_kill_among_many_stands_and_nothing_is_done_twice() {
    let place = place_on(Server::Sqlite);
    place.count_writes("accounts");
    let answering = Answering::start(&place);
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str())];
    let mut sent = Vec::new();
    for score in 100..160 {
        let path = path_of(&format!("A{}", 1 + score % 3));
        let body = format!(r#"{{"values": {{"score": {score}}}}}"#);
        sent.push(begin(&answering.host, "PATCH", &path, &headers, &body).expect("a connection"));
    }
    let mut sent = sent.into_iter();
    let first: Vec<_> = sent.by_ref().take(12).map(Sent::answer).collect();
    answering.kill();
    // Some of the others were answered too, before the process was gone.
    let answers = first.into_iter().chain(sent.map(Sent::answer)).flatten();
    let written: Vec<_> = answers.filter(|answer| answer.status == 200).collect();
    assert!(!written.is_empty());
    let answering = Answering::start(&place);
    for answer in &written {
        let told = answer.json();
        let outcome = answering.settled(told["id"].as_str().expect("an id"));
        assert_eq!(outcome["outcome"], told["outcome"], "{outcome}");
        assert_eq!(outcome["destinations"], told["destinations"]);
    }
    // What was under way is settled: the ledger has as many updates as there were.
    place.wait_until("an end of all requests", |place| {
        let open = "SELECT count(*) AS n FROM record_requests WHERE ended_at IS NULL";
        place
            .query_ledger(open)
            .is_some_and(|open| open == "n\n0\n")
    });
    let runs = place.command(&["runs", "1", "--json"]).json();
    let updated = runs["write_backs"][0]["updated"].as_u64();
    assert_eq!(updated, Some(place.writes() as u64), "{runs}");
}
