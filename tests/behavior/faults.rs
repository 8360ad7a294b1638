//! What goes wrong in the middle of a run: it is tried again, it is said, and in the end the destination holds what one
//! clean run would have left.

use crate::harness::{AGAIN, FIELDS, Running, Server, Workspace, wait_until};

const SOURCE: &str = "id,score,note\nA1,2,\nA2,2,\nA3,2,\n";
const WRITTEN: &str = "id,score\nA1,2\nA2,2\nA3,2\n";

/// Three accounts that a run updates, and many that it does not know: in a table of three rows MariaDB reads, and
/// locks, all of them.
fn rows() -> String {
    let others: String = (0..1000).map(|id| format!("Z{id},1,,\n")).collect();
    format!("id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n{others}")
}

/// One writer, which waits for locks as long as `lock_timeout`, and batches of `batch_size`.
fn prepare(place: &Workspace, lock_timeout: &str, attempts_max: u32, batch_size: u32) {
    let limits = format!("\nlock_timeout = '{lock_timeout}'\nattempts_max = {attempts_max}\nwriters = 1\n");
    let crm = place.connection("crm").trim_end().to_owned() + &limits;
    place.file("writeback.toml", &(place.connection("files") + &crm));
    place.job(&format!("batch_size = {batch_size}"), FIELDS);
}

/// Takes a lock that the run will wait for: on the account `A3`, in SQLite on the whole file.
fn lock(place: &Workspace) {
    match place.server {
        // The journal must be what the program wants before the file is held.
        Server::Sqlite => place.execute("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE"),
        Server::Postgres | Server::MariaDb => {
            place.execute("BEGIN; UPDATE accounts SET phone = 'held' WHERE id = 'A3'")
        }
    };
}

fn accounts(place: &Workspace) -> String {
    place.query("SELECT id, score FROM accounts WHERE id < 'B'")
}

/// The server's number of the connection on which the run waits for a lock.
fn waiting(place: &Workspace) -> String {
    let database = place.database_name();
    let sql = match place.server {
        Server::Sqlite => unreachable!("a file has no connections"),
        Server::Postgres => "SELECT DISTINCT pid FROM pg_locks \
             WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            .to_owned(),
        Server::MariaDb => format!(
            "SELECT id FROM information_schema.innodb_trx JOIN information_schema.processlist \
             ON id = trx_mysql_thread_id WHERE db = '{database}' AND trx_state = 'LOCK WAIT'"
        ),
    };
    place.query(&sql).lines().nth(1).unwrap_or_default().to_owned()
}

fn wait_for_its_waiting(place: &Workspace) -> String {
    wait_until("the run waits for the lock", || !waiting(place).is_empty());
    waiting(place)
}

/// Ends the connection on which the run waits, as its administrator could.
fn cut(place: &Workspace, connection: &str) {
    match place.server {
        Server::Sqlite => unreachable!("a file has no connections"),
        Server::Postgres => place.query(&format!("SELECT pg_terminate_backend({connection})")),
        Server::MariaDb => place.query(&format!("KILL CONNECTION {connection}")),
    };
}

#[test]
fn a_connection_that_is_cut_is_made_anew_and_the_run_goes_on() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "50s", 6, 1);
        lock(&place);
        let mut run = Running::start(&place);
        let first = wait_for_its_waiting(&place);
        cut(&place, &first);
        run.wait_until_it_tries_again();
        wait_until("it waits on another connection", || !["", &first].contains(&waiting(&place).as_str()));
        place.execute("ROLLBACK");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert!(run.stderr.contains("could not reach `crm`"), "it says why on {server}: {run}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

#[test]
fn a_lock_that_is_released_in_time_only_delays_a_run() {
    for server in Server::ALL {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "1s", 30, 1);
        lock(&place);
        let mut run = Running::start(&place);
        run.wait_until_it_tries_again();
        place.execute("ROLLBACK");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert!(run.stderr.contains("`crm` is busy"), "it says why on {server}: {run}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

#[test]
fn a_run_out_of_attempts_names_the_connection_and_the_next_one_finishes_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "50s", 2, 1);
        lock(&place);
        let mut run = Running::start(&place);
        let first = wait_for_its_waiting(&place);
        cut(&place, &first);
        run.wait_until_it_tries_again();
        wait_until("it waits on another connection", || !["", &first].contains(&waiting(&place).as_str()));
        cut(&place, &waiting(&place));
        let run = run.finish();
        assert_eq!(run.code, 2, "on {server}: {run}");
        for words in ["could not write `scores` to `crm`", "could not reach `crm`", "[connections.crm]"] {
            assert!(run.stderr.contains(words), "no `{words}` on {server}: {run}");
        }
        place.execute("ROLLBACK");
        place.count_writes("accounts");
        let next = place.run();
        assert_eq!(next.summary(), "3 read = 3 updated", "it goes on with the same run on {server}");
        assert_eq!(place.writes(), 1, "batches that were in are not written again on {server}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
    }
}

#[test]
fn a_deadlock_with_somebody_else_is_lost_once_and_tried_again() {
    for server in Server::WITH_USERS {
        let place = Workspace::accounts(server, &rows(), SOURCE);
        prepare(&place, "50s", 6, 3);
        match server {
            Server::Sqlite => unreachable!("one lock makes no deadlock"),
            // Whoever has waited for longest looks whether there is a deadlock, and is the one to give way.
            Server::Postgres => place.execute(&format!(
                "ALTER DATABASE {} SET deadlock_timeout = '5s'; SET deadlock_timeout = '1h'",
                place.database_name()
            )),
            // Whoever has changed fewer rows gives way.
            Server::MariaDb => place.execute("SET SESSION innodb_lock_wait_timeout = 50"),
        };
        place.execute("BEGIN; UPDATE accounts SET phone = 'theirs' WHERE id >= 'A3'");
        let run = Running::start(&place);
        wait_for_its_waiting(&place);
        // The run holds `A1` by now: this waits for it, and it waits for `A3`.
        place.execute("UPDATE accounts SET phone = 'theirs' WHERE id = 'A1'; COMMIT");
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        let told = run.stderr.to_lowercase();
        assert!(told.contains(AGAIN) && told.contains("deadlock"), "on {server}: {run}");
        let rows = place.query("SELECT id, score, phone FROM accounts WHERE id < 'B'");
        assert_eq!(rows, "id,score,phone\nA1,2,theirs\nA2,2,\nA3,2,theirs\n", "on {server}");
    }
}

#[test]
fn a_server_that_restarts_is_waited_for() {
    for server in Server::WITH_USERS {
        let place = Workspace::on_its_own(server).with_accounts(&rows(), SOURCE);
        // Ten attempts wait for half a minute and more, longer than a server takes.
        prepare(&place, "50s", 10, 1);
        lock(&place);
        let run = Running::start(&place);
        wait_for_its_waiting(&place);
        place.restart_server();
        let run = run.finish();
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert!(run.stderr.contains(AGAIN), "on {server}: {run}");
        assert_eq!(accounts(&place), WRITTEN, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}
