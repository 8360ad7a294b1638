//! What goes wrong in the middle of a run: it is tried again, it is said, and in the end the
//! destination holds what one clean run would have left.

use std::time::{Duration, Instant};

use crate::harness::{
    AGAIN, Client, FIELDS, PASSWORD, Proxy, Ran, Running, Server, Workspace, run_and_meanwhile,
    wait_until,
};

const SOURCE: &str = "id,score,note\nA1,2,\nA2,2,\nA3,2,\n";
const WRITTEN: &str = "id,score\nA1,2\nA2,2\nA3,2\n";

/// Three accounts that a run updates, and many that it does not know: in a table of three rows
/// MariaDB reads, and locks, all of them.
fn rows() -> String {
    let others: String = (0..1000).map(|id| format!("Z{id},1,,\n")).collect();
    format!("id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n{others}")
}

/// One writer, which waits for locks as long as `lock_timeout`, and batches of `batch_size`.
fn prepare(place: &Workspace, lock_timeout: &str, attempts_max: u32, batch_size: u32) {
    let limits =
        format!("\nlock_timeout = '{lock_timeout}'\nattempts_max = {attempts_max}\nwriters = 1\n");
    let crm = place.connection("crm").trim_end().to_owned() + &limits;
    place.file("writeback.toml", &(place.connection("files") + &crm));
    place.job(&format!("batch_size = {batch_size}"), FIELDS);
}

fn accounts(place: &Workspace) -> String {
    place.query("SELECT id, score FROM accounts WHERE id < 'B'")
}

#[test]
fn a_connection_that_is_cut_is_made_anew_and_the_run_goes_on() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "50s", 6, 1);
        place.hold("A3");
        let mut run = Running::start(&place);
        let first = place.wait_for_its_waiting();
        place.end_connection(&place.client(), &first);
        run.wait_until_it_says(AGAIN);
        wait_until("it waits on another connection", || {
            !["", &first].contains(&place.waiting().as_str())
        });
        place.execute("ROLLBACK");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert!(
            run.stderr.contains("could not reach `crm`"),
            "it says why on {server}: {run}"
        );
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

#[test]
fn a_lock_that_is_released_in_time_only_delays_a_run() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "1s", 30, 1);
        place.hold("A3");
        let mut run = Running::start(&place);
        run.wait_until_it_says(AGAIN);
        place.execute("ROLLBACK");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert!(
            run.stderr.contains("`crm` is busy"),
            "it says why on {server}: {run}"
        );
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

#[test]
fn a_run_out_of_attempts_names_the_connection_and_the_next_one_finishes_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "50s", 2, 1);
        place.hold("A3");
        let mut run = Running::start(&place);
        let first = place.wait_for_its_waiting();
        place.end_connection(&place.client(), &first);
        run.wait_until_it_says(AGAIN);
        wait_until("it waits on another connection", || {
            !["", &first].contains(&place.waiting().as_str())
        });
        place.end_connection(&place.client(), &place.waiting());
        let run = run.finish();
        assert_eq!(run.code, 2, "on {server}: {run}");
        for words in [
            "could not write `scores` to `crm`",
            "could not reach `crm`",
            "[connections.crm]",
        ] {
            assert!(
                run.stderr.contains(words),
                "no `{words}` on {server}: {run}"
            );
        }
        place.execute("ROLLBACK");
        place.count_writes("accounts");
        let next = place.run();
        assert_eq!(
            next.summary(),
            "3 read = 3 updated",
            "it goes on with the same run on {server}"
        );
        assert_eq!(
            place.writes(),
            1,
            "batches that were in are not written again on {server}"
        );
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
    }
}

#[test]
fn a_deadlock_with_somebody_else_is_lost_once_and_tried_again() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "50s", 6, 3);
        place.win_deadlocks();
        place.execute("BEGIN; UPDATE accounts SET phone = 'theirs' WHERE id >= 'A3'");
        let run = Running::start(&place);
        place.wait_for_its_waiting();
        // The run holds `A1` by now: this waits for it, and it waits for `A3`.
        place.execute("UPDATE accounts SET phone = 'theirs' WHERE id = 'A1'; COMMIT");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        let told = run.stderr.to_lowercase();
        assert!(
            told.contains(AGAIN) && told.contains("deadlock"),
            "on {server}: {run}"
        );
        let rows = place.query("SELECT id, score, phone FROM accounts WHERE id < 'B'");
        assert_eq!(
            rows, "id,score,phone\nA1,2,theirs\nA2,2,\nA3,2,theirs\n",
            "on {server}"
        );
    }
}

#[test]
fn a_server_that_restarts_is_waited_for() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_its_own(server).with_accounts(&rows(), SOURCE);
        // Ten attempts wait for half a minute and more, longer than a server takes.
        prepare(&place, "50s", 10, 1);
        place.hold("A3");
        let run = Running::start(&place);
        place.wait_for_its_waiting();
        place.restart_server();
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert!(run.stderr.contains(AGAIN), "on {server}: {run}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

/// Accounts of the runs that are disturbed again and again.
const MANY: usize = 300;

/// Many accounts and a new score for each, in batches of `batch_size`.
fn many(server: Server, writers: usize, batch_size: u32) -> Workspace {
    let lines = |rest: &str| {
        (0..MANY)
            .map(|id| format!("A{id:04}{rest}\n"))
            .collect::<String>()
    };
    let rows = format!("id,score,note,phone\n{}", lines(",1,,"));
    let place = Workspace::accounts(server, &rows, &format!("id,score,note\n{}", lines(",2,")));
    prepare(&place, "5s", 30, batch_size);
    place.file(
        "writeback.toml",
        &place
            .text("writeback.toml")
            .replace("writers = 1", &format!("writers = {writers}")),
    );
    place
}

fn expect_all_written(place: &Workspace, run: &Ran) {
    let server = place.server;
    assert_eq!(
        run.summary(),
        format!("{MANY} read = {MANY} updated"),
        "on {server}: {run}"
    );
    let scores = place.query("SELECT score, count(*) AS accounts FROM accounts GROUP BY score");
    assert_eq!(
        scores,
        format!("score,accounts\n2,{MANY}\n"),
        "on {server}: {run}"
    );
}

/// Lets the program come as a user who may do what a write-back needs and no more; returns its
/// name.
fn come_as_writer(place: &Workspace) -> String {
    let name = place.new_user("writer", PASSWORD);
    place.grant("SELECT, INSERT, UPDATE", "accounts", &name);
    place.file(
        "writeback.toml",
        &place
            .text("writeback.toml")
            .replace("//tester@", &format!("//{name}@")),
    );
    name
}

#[test]
fn a_run_whose_connections_are_ended_again_and_again_finishes_all_the_same() {
    /// More would only make the run wait for longer.
    const KILLS_MAX: usize = 20;
    for server in Server::WITH_USERS {
        let place = many(server, 2, 5);
        let writer = come_as_writer(&place);
        let mut run = Running::start(&place);
        wait_until("the first batch is in", || {
            place.query("SELECT id FROM accounts WHERE score = 2") != "\n"
        });
        let mut kills = 0;
        while run.is_at_work() && kills < KILLS_MAX {
            kills += place.end_connections(&writer);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(kills > 0, "on {server}");
        expect_all_written(&place, &run.finish());
        assert_eq!(
            place.run().summary(),
            format!("{MANY} read = {MANY} unchanged"),
            "on {server}"
        );
    }
}

/// Transactions of somebody else's that a run must get past; more only make it wait for longer.
const ROUNDS_MAX: usize = 30;

#[test]
fn somebody_who_updates_the_other_way_round_only_delays_a_run() {
    for server in Server::WITH_USERS {
        let place = many(server, 2, 100);
        if server == Server::Postgres {
            place.execute(&format!(
                "ALTER DATABASE {} SET deadlock_timeout = '20ms'",
                place.database_name()
            ));
        }
        let adversary = place.client();
        let mut run = Running::start(&place);
        let mut rounds = 0..ROUNDS_MAX;
        while run.is_at_work()
            && let Some(round) = rounds.next()
        {
            go_the_other_way(&adversary, round);
        }
        expect_all_written(&place, &run.finish());
        let phones = place.query("SELECT DISTINCT phone FROM accounts");
        assert_eq!(
            phones.lines().count(),
            2,
            "what they wrote stands whole on {server}: {phones}"
        );
    }
}

/// Updates all accounts from the last to the first in one transaction, if the server lets it.
fn go_the_other_way(adversary: &Client, round: usize) {
    let update = |id: usize| {
        adversary.tries(&format!(
            "UPDATE accounts SET phone = '{round}' WHERE id = 'A{id:04}'"
        ))
    };
    let all = adversary.tries("BEGIN") && (0..MANY).rev().all(update);
    adversary.tries(if all { "COMMIT" } else { "ROLLBACK" });
}

#[test]
fn a_lock_that_is_never_released_ends_the_run_which_names_its_holder_and_holds_up_nobody() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "2s", 2, 3);
        place.hold("A3");
        let other = place.client();
        let run = Running::start(&place);
        place.wait_for_its_waiting();
        // The run holds `A1` and waits for `A3`: whoever wants `A1` waits no longer than the run
        // does.
        let begun = Instant::now();
        assert!(
            other.tries("UPDATE accounts SET phone = 'theirs' WHERE id = 'A1'"),
            "on {server}"
        );
        let waited = begun.elapsed();
        let run = run.finish();
        assert!(
            waited < Duration::from_secs(30),
            "waited {waited:?} on {server}: {run}"
        );
        assert_eq!(run.code, 2, "on {server}: {run}");
        let holder = place.as_holder();
        for words in ["`crm` is busy", "see who holds the lock", &holder] {
            assert!(
                run.stderr.contains(words),
                "no `{words}` on {server}: {run}"
            );
        }
        place.execute("ROLLBACK");
        assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
    }
}

#[test]
fn a_server_that_lets_in_one_connection_at_a_time_is_slower_not_wrong() {
    for server in Server::WITH_USERS {
        let place = many(server, 4, 2);
        // Fewer attempts than the run takes for, so that waiting for one another is no attempt.
        place.file(
            "writeback.toml",
            &place
                .text("writeback.toml")
                .replace("attempts_max = 30", "attempts_max = 4"),
        );
        let writer = come_as_writer(&place);
        place.execute(&server.one_connection(&writer));
        // What reads rows ahead comes first, and gives its connection up.
        let ahead = [("WRITEBACK_AHEAD_FROM", "1")];
        expect_all_written(
            &place,
            &place.command_with(&["run", "job", "--json"], &ahead),
        );
    }
}

#[test]
fn a_server_without_a_connection_left_is_waited_for() {
    for server in Server::WITH_USERS {
        let place = Workspace::with_limits(server).with_accounts(&rows(), SOURCE);
        prepare(&place, "50s", 10, 1);
        let writer = come_as_writer(&place);
        place.hold("A3");
        let mut run = Running::start(&place);
        let connection = place.wait_for_its_waiting();
        let administrator = place.client();
        let limit = |connections| server.connections_max(&writer, connections);
        assert!(administrator.tries(&limit(0)), "on {server}");
        let crowd: Vec<Client> = if server.limits_everybody() {
            std::iter::from_fn(|| place.try_client()).collect()
        } else {
            Vec::new()
        };
        place.end_connection(&administrator, &connection);
        run.wait_until_it_says("`crm` has reached a limit");
        assert!(administrator.tries(&limit(100)), "on {server}");
        drop(crowd);
        place.execute("ROLLBACK");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
    }
}

#[test]
fn a_server_that_becomes_read_only_ends_a_run_that_says_what_to_do_and_the_next_one_finishes_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::with_limits(server).with_accounts(&rows(), SOURCE);
        prepare(&place, "5s", 2, 1);
        let writer = come_as_writer(&place);
        let proxy = Proxy::before(&place);
        let read_only = |word| place.read_only(&writer, word);
        let run = run_and_meanwhile(&place, &proxy, || read_only("on"));
        assert_eq!(run.code, 2, "on {server}: {run}");
        for words in [
            "`crm` is read-only",
            "wait until the server takes writes again",
            "the next run goes on",
        ] {
            assert!(
                run.stderr.contains(words),
                "no `{words}` on {server}: {run}"
            );
        }
        assert_eq!(
            accounts(&place),
            "id,score\nA1,2\nA2,1\nA3,1\n",
            "on {server}"
        );
        read_only("off");
        assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
    }
}
