//! Requests whose process is killed: what was answered stands, and what was not is settled.

use super::caller::{Answering, FIELDS, Sent, TOKEN, begin, path_of, place_on, send};
use crate::harness::{Server, Workspace};
use crate::journal_tables::proposed;

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

/// Where the ledger knows that a request is sent, and its transaction is not committed.
const SENT: &str = "record a batch in";

/// Has a request die at a place, and whatever else happens `meanwhile`; gives what is told of it
/// then.
fn told_after(place: &Workspace, death: &str, score: u32, meanwhile: impl FnOnce()) -> String {
    let at = format!("1 {death}");
    let answering = Answering::start_with(place, &[("WRITEBACK_ABORT_AT", &at)]);
    let (path, key) = (path_of("A1"), format!("k{score}"));
    let body = format!(r#"{{"values": {{"score": {score}}}}}"#);
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("Idempotency-Key", &key)];
    let cut = send(&answering.host, "PATCH", &path, &headers, &body);
    assert!(cut.is_none(), "{death}: {cut:?}");
    answering.kill();
    meanwhile();
    let id = format!("SELECT id FROM record_requests WHERE idempotency_key = '{key}'");
    let id = place.query_ledger(&id).expect("a ledger");
    let answering = Answering::start(place);
    let settled = answering.settled(id.trim_start_matches("id\n").trim());
    answering.kill();
    settled["outcome"].as_str().expect("an outcome").to_owned()
}

#[test]
fn what_the_journal_says_of_an_earlier_request_is_not_taken_for_a_later_one() {
    for server in Server::ALL {
        let place = place_on(server);
        place.job("journal_table = 'journal'", FIELDS);
        let check = place.command(&["check"]);
        place.execute(&proposed(&check));
        for (score, death, outcome) in [
            (101, "a batch committed", "updated"),
            (102, SENT, "not_written"),
            (103, "a batch committed", "updated"),
        ] {
            let told = told_after(&place, death, score, || ());
            assert_eq!(told, outcome, "{server} {score}");
        }
        let told = place.query("SELECT old_value, new_value FROM journal ORDER BY new_value");
        assert_eq!(told, "old_value,new_value\n1,101\n101,103\n", "{server}");
        let held = place.query("SELECT score FROM accounts WHERE id = 'A1'");
        assert_eq!(held, "score\n103\n", "{server}");
    }
}

#[test]
fn what_an_undo_wrote_since_is_not_taken_for_what_a_request_wrote() {
    for server in Server::ALL {
        let place = place_on(server);
        for (score, death, outcome) in [
            (101, SENT, "not_written"),
            (102, "a batch committed", "updated"),
        ] {
            place.file(
                "data/scores.csv",
                &format!("id,score,note\nA1,{score}0,a\n"),
            );
            let run = place.command(&["run", "job", "--json", "--again"]);
            assert_eq!(run.summary(), "1 read = 1 updated", "{server} {run}");
            let number = run.run().to_string();
            let told = told_after(&place, death, score, || {
                let undone = place.command(&["undo", &number]);
                assert_eq!(undone.code, 0, "{server} {score}: {undone}");
            });
            assert_eq!(told, outcome, "{server} {score}");
        }
        let held = place.query("SELECT score FROM accounts WHERE id = 'A1'");
        assert_eq!(held, "score\n102\n", "{server}");
    }
}

/// A request is accepted by a process that dies as it begins to carry it out.
fn accept_and_die(place: &Workspace) {
    let at = [("WRITEBACK_ABORT_AT", "1 a transaction begun")];
    let answering = Answering::start_with(place, &at);
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
}

#[test]
fn what_was_accepted_is_carried_out_by_the_next_process() {
    let place = place_on(Server::Sqlite);
    accept_and_die(&place);
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
fn what_was_accepted_before_a_kill_is_not_carried_out_after_what_is_asked_for_later() {
    let place = place_on(Server::Sqlite);
    accept_and_die(&place);
    // The destination comes back a while after the process, which looks for it ever less often.
    let (crm, away) = (place.path("crm.db"), place.path("away.db"));
    std::fs::rename(&crm, &away).expect("a file that is there");
    let answering = Answering::start(&place);
    std::thread::sleep(std::time::Duration::from_secs(4));
    std::fs::rename(&away, &crm).expect("a file that is there");
    let body = r#"{"values": {"score": 8}}"#;
    let later = answering.ask_keyed("later", &path_of("A1"), body);
    assert_eq!(later.told(), (200, "updated".to_owned()), "{later:?}");
    let from = later.json()["destinations"][0]["fields"][0]["from"].clone();
    assert_eq!(from, "7", "the earlier one came first: {later:?}");
    let id = place.query_ledger("SELECT id FROM record_requests WHERE idempotency_key = 'k'");
    let id = id.expect("a ledger");
    let earlier = answering.settled(id.trim_start_matches("id\n").trim());
    assert_eq!(earlier["outcome"], "updated", "{earlier}");
    let written = place.command(&["runs", "1", "--json"]).json();
    assert_eq!(written["write_backs"][0]["updated"], 2, "{written}");
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
