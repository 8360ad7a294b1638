//! How little a request takes: what is said to a server, and how often the ledger is written.

use super::caller::{Answering, place_on};
use crate::harness::{Proxy, Said, Server, Side};

/// A request that finds everything prepared asks the server this often: for a transaction, for its
/// own place in it, for the row's lock, for the row, for its declaration, for the update, for the
/// transaction's number, for the commit, and for the row as it is then.
const ROUND_TRIPS: usize = 9;

/// Of the program's messages, those that a server answers: a simple query, and the end of an
/// extended one.
fn is_answered(said: &Said) -> bool {
    said.side == Side::Program && (said.text.starts_with('Q') || said.text.starts_with("S\0"))
}

#[test]
fn a_request_that_finds_all_prepared_asks_postgresql_nine_times_and_plans_nothing() {
    let place = place_on(Server::Postgres);
    let proxy = Proxy::before(&place);
    let answering = Answering::start(&place);
    let change = |score: usize| {
        let body = format!(r#"{{"values": {{"score": {score}}}}}"#);
        let answer = answering.change("A1", &body);
        assert_eq!(answer.told(), (200, "updated".to_owned()), "{answer:?}");
    };
    (10..13).for_each(change);
    let before = proxy.said().len();
    change(20);
    let said = proxy.said().split_off(before);
    let asked = said.iter().filter(|said| is_answered(said)).count();
    let texts: Vec<&str> = said.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(asked, ROUND_TRIPS, "{texts:?}");
    let plans = |text: &&str| text.starts_with('P') || text.contains("plan_cache_mode");
    let planned: Vec<&str> = texts.iter().copied().filter(plans).collect();
    assert!(planned.is_empty(), "{planned:?}");
}
