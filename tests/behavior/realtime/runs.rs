//! Requests beside runs: a day's requests are a run, which is told of and taken back; and what a
//! person wrote is not overwritten with what was pulled before.

use super::caller::{Answering, place_on};
use crate::harness::Server;

#[test]
fn a_days_requests_are_one_run_that_history_tells_and_undo_takes_back() {
    for server in Server::ALL {
        let place = place_on(server);
        let answering = Answering::start(&place);
        let body = r#"{"values": {"score": 7}, "origin": "profile", "actor": "ann@example.com"}"#;
        assert_eq!(answering.change("A1", body).status, 200);
        let other = r#"{"values": {"note": "n"}, "origin": "form"}"#;
        assert_eq!(answering.change("A1", other).status, 200);
        assert_eq!(
            answering.change("A1", r#"{"values": {"score": 8}}"#).status,
            200
        );
        let one = answering.change("A2", r#"{"values": {"score": 9, "note": "m"}}"#);
        let id = one.json()["id"].as_str().expect("an id").to_owned();
        let runs = place.command(&["runs", "--json"]).json();
        assert_eq!(
            runs["runs"].as_array().map(Vec::len),
            Some(1),
            "{server} {runs}"
        );
        let history = place.command(&["history", "scores", "--record", "A1"]);
        for told in [
            "requests 1 (ann@example.com, profile, portal)",
            "(form, portal)",
        ] {
            assert!(history.stdout.contains(told), "{server} {told}: {history}");
        }
        let undone = place.command(&["undo", "--request", &id]);
        assert_eq!(undone.code, 0, "{server} {undone}");
        let rows = "id,score,note,phone\nA1,8,n,1\nA2,2,b,2\nA3,3,,3\n";
        assert_eq!(place.rows("accounts"), rows, "{server}");
        let undone = place.command(&["undo", "1", "--record", "A1"]);
        assert_eq!(undone.code, 0, "{server} {undone}");
        assert_eq!(
            place.rows("accounts"),
            super::caller::ROWS,
            "{server}: the first before-image counts"
        );
    }
}

#[test]
fn a_run_of_requests_keeps_no_cycle_from_being_delivered() {
    let place = place_on(Server::Sqlite);
    let answering = Answering::start(&place);
    assert_eq!(
        answering.change("A1", r#"{"values": {"score": 7}}"#).status,
        200
    );
    place.file("data/scores.csv", "id,score,note\nA1,4,a\nA2,5,b\n");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    assert_eq!(
        answering.change("A1", r#"{"values": {"score": 8}}"#).status,
        200
    );
    place.file("data/scores.csv", "id,score,note\nA1,4,a\nA2,6,b\n");
    let run = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(
        run.summary(),
        "2 read = 2 updated",
        "a newer package has the last word: {run}"
    );
    let verified = place.command(&["verify", "job"]);
    assert_eq!(verified.code, 0, "{verified}");
}

#[test]
fn a_package_pulled_before_a_request_does_not_put_the_old_value_back() {
    for server in Server::ALL {
        let place = place_on(server);
        place.file("data/scores.csv", "id,score,note\nA1,4,x\nA2,5,y\nA3,6,z\n");
        let answering = Answering::start(&place);
        // The run is stopped where its package stands and nothing is written yet.
        let stopped = place.command_with(
            &["run", "job"],
            &[("WRITEBACK_ABORT_AT", "1 a transaction begun")],
        );
        assert_ne!(stopped.code, 0, "{stopped}");
        let answer = answering.change("A1", r#"{"values": {"score": 7}}"#);
        assert_eq!(answer.status, 200, "{server} {answer:?}");
        let held = answering.change("A2", r#"{"values": {"score": 2, "note": "b"}}"#);
        assert_eq!(held.told(), (200, "unchanged".to_owned()), "{server}");
        let run = place.run();
        assert_eq!(
            run.summary(),
            "3 read = 2 updated + 1 skipped",
            "{server} {run}"
        );
        let rows = "id,score,note,phone\nA1,7,x,1\nA2,2,b,2\nA3,6,z,3\n";
        assert_eq!(
            place.rows("accounts"),
            rows,
            "{server}: what a request wrote stays, and nothing else"
        );
    }
}
