//! A few histories on each database; `tests/soak` makes many.

use super::happen;
use crate::harness::Server;

/// Histories of each database: less than half a minute on a quiet machine.
const ROUNDS: u64 = 20;

fn hold(server: Server) {
    let toll = happen(server, 1, ROUNDS, &mut |_, _| {});
    assert!(
        toll.changes > ROUNDS,
        "something happens on {server}: {toll:?}"
    );
    let seeds: Vec<u64> = toll.violations.iter().map(|(seed, _)| *seed).collect();
    let first = toll
        .violations
        .first()
        .map_or("", |(_, violation)| violation);
    assert!(
        seeds.is_empty(),
        "violated on {server} with the seeds {seeds:?}; the first: {first}"
    );
}

#[test]
fn whatever_befalls_runs_nothing_is_written_twice_or_destroyed_on_sqlite() {
    hold(Server::Sqlite);
}

#[test]
fn whatever_befalls_runs_nothing_is_written_twice_or_destroyed_on_postgres() {
    hold(Server::Postgres);
}

#[test]
fn whatever_befalls_runs_nothing_is_written_twice_or_destroyed_on_mariadb() {
    hold(Server::MariaDb);
}
