//! A program that is killed behind any change of state, once and again: the runs after it leave
//! what one run that nobody killed leaves.

use std::time::{Duration, Instant};

use polars::prelude::{ParquetReader, SerReader};

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace};

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Nothing but the program keeps a key from being created twice; the check refuses a record in each
/// mode.
const COLUMNS: &str = "id VARCHAR(18) NOT NULL, score INTEGER CHECK (score < 1000), note VARCHAR(40), \
     phone VARCHAR(20) DEFAULT 'unknown'";

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,,\n";

/// Written, unchanged, refused by the destination, unknown to it, not of the schema, and of one
/// key.
const SOURCE: &str =
    "id,score,note\nB2,1000,\nA1,10,y\nA2,2,same\nB1,7,new\nA3,1000,\nA5,x,\nD1,1,\nD1,2,\n";

const MODES: [&str; 3] = ["update_only", "upsert", "create_only"];

/// Every change of state that a run makes.
const CHANGES: [&str; 18] = [
    "a batch committed",
    "a batch rolled back",
    "a package put in place",
    "a package removed",
    "a package's manifest written",
    "a partition written",
    "a report put in place",
    "a report written aside",
    "a transaction begun",
    "begin a pull again in",
    "finish a run in",
    "finish a write-back in",
    "record a batch in",
    "record a commit in",
    "record a package in",
    "record a run in",
    "record rejected records in",
    "records spooled",
];

fn place(server: Server, mode: &str) -> Workspace {
    let place = Workspace::on(server);
    place
        .table("accounts", COLUMNS, ROWS)
        .scores(SCORES, SOURCE);
    place
        .execute("CREATE INDEX accounts_id ON accounts (id)")
        .execute("CREATE TABLE fresh AS SELECT * FROM accounts");
    place.job(&format!("matching = '{mode}'\nbatch_size = 2"), FIELDS);
    place
}

/// As if nothing had ever run.
fn begin_anew(place: &Workspace) {
    std::fs::remove_dir_all(place.path(".writeback")).expect("state to remove");
    place.execute("DELETE FROM accounts; INSERT INTO accounts SELECT * FROM fresh");
}

/// All that runs leave, in the destination and beside themselves.
#[derive(Debug, PartialEq)]
struct Left {
    accounts: String,
    /// `run,status,read,finished`, one line for each run.
    runs: String,
    counts: String,
    rejected: String,
    outcomes: Vec<String>,
    packages: Vec<std::path::PathBuf>,
}

impl Left {
    fn of(place: &Workspace) -> Self {
        let ledger = |sql: &str| place.query_file(".writeback/ledger.db", sql);
        let files = place.state().into_iter().map(|(path, _)| path);
        let is_package = |path: &std::path::PathBuf| {
            path.components().any(|part| {
                part.as_os_str() == "package"
                    || part.as_os_str().to_string_lossy().ends_with(".partial")
            })
        };
        Self {
            accounts: place.rows("accounts"),
            runs: ledger(
                "SELECT run, status, read, finished FROM runs JOIN write_backs USING (run)",
            ),
            counts: ledger(
                "SELECT min(committed) AS committed, sum(inserted) AS inserted, sum(updated) AS updated, \
                 sum(unchanged) AS unchanged, sum(skipped) AS skipped, sum(rejected) AS rejected FROM batches",
            ),
            rejected: place.rejected(1),
            outcomes: outcomes(place),
            packages: files.filter(is_package).collect(),
        }
    }
}

/// Rows of `outcomes.parquet`, by position.
fn outcomes(place: &Workspace) -> Vec<String> {
    let file = std::fs::File::open(place.run_file(1, "outcomes.parquet")).expect("a file");
    let frame = ParquetReader::new(file)
        .finish()
        .expect("Parquet")
        .sort(["record"], Default::default())
        .expect("sorted");
    (0..frame.height())
        .map(|row| format!("{:?}", frame.get(row).expect("a row")))
        .collect()
}

/// Whether a run of the job stands in history as finished.
fn is_finished(place: &Workspace) -> bool {
    place.query_ledger("SELECT status FROM runs").as_deref() == Some("status\nrejected\n")
}

fn run_until(place: &Workspace, change: &str) -> Ran {
    place.command_with(&["run", "job", "--json"], &[(ABORT_AT, change)])
}

/// Kills a run behind one of its changes of state.
fn kill_behind(place: &Workspace, pass: u32, change: &str) {
    let run = run_until(place, &format!("{pass} {change}"));
    assert_eq!(died_behind(&run).as_deref(), Some(change), "{run}");
}

/// What the program said it had just done when it died; `None` if it lived.
fn died_behind(run: &Ran) -> Option<String> {
    let last = run
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("dies here: "));
    assert_eq!(last.is_some(), run.code == -1, "{run}");
    last.map(str::to_owned)
}

/// Whether every mode meets every death on every database; else each death is met by one mode of
/// each database, and the first of its kind by all.
fn is_thorough() -> bool {
    std::env::var_os("WRITEBACK_TEST_THOROUGH").is_some()
}

/// Kills runs behind every change of state there is.
fn kill_everywhere(server: Server, mode: &str) {
    let place = place(server, mode);
    let clean = place.run();
    let expected = Left::of(&place);
    assert!(expected.packages.is_empty(), "on {server}: {expected:?}");
    for change in CHANGES {
        let kills = kill_behind_each(&place, change, &clean, &expected);
        assert!(kills > 0, "{mode} on {server}: no run came past `{change}`");
    }
    let writes = ["records inserted", "records updated"]
        .map(|change| kill_behind_each(&place, change, &clean, &expected));
    assert_eq!(
        writes.map(|kills| kills > 0),
        [mode != "update_only", mode != "create_only"],
        "{mode} on {server}"
    );
}

/// Kills a run behind its first, second, third … change of this name until one lives to its end.
/// Every other time the next run is killed as well, sooner or later; the last one never is. Returns
/// how many runs were killed so.
fn kill_behind_each(place: &Workspace, change: &str, clean: &Ran, expected: &Left) -> u64 {
    let modes = MODES.len() as u64;
    let turn = MODES
        .iter()
        .position(|mode| place.text("schedules/job.toml").contains(mode))
        .expect("a mode") as u64;
    for pass in (1..).filter(|pass| is_thorough() || *pass == 1 || pass % modes == turn) {
        begin_anew(place);
        let first = run_until(place, &format!("{pass} {change}"));
        let told = format!(
            "killed behind pass {pass} of `{change}` on {}",
            place.server
        );
        if died_behind(&first).is_none() {
            assert_eq!(first.summary(), clean.summary(), "not {told}");
            return pass - 1;
        }
        if pass % 2 == 0 && !is_finished(place) {
            run_until(place, &(pass * 7 % 17).to_string());
        }
        if !is_finished(place) {
            let last = place.run();
            assert_eq!(
                (last.run(), last.summary()),
                (1, clean.summary()),
                "{told}: {last}"
            );
        }
        let left = Left {
            packages: Vec::new(),
            ..Left::of(place)
        };
        assert_eq!(&left, expected, "{told}");
    }
    unreachable!("every run makes finitely many changes")
}

#[test]
fn a_run_killed_anywhere_is_finished_by_the_next_on_sqlite() {
    MODES
        .into_iter()
        .for_each(|mode| kill_everywhere(Server::Sqlite, mode));
}

#[test]
fn a_run_killed_anywhere_is_finished_by_the_next_on_postgres() {
    MODES
        .into_iter()
        .for_each(|mode| kill_everywhere(Server::Postgres, mode));
}

#[test]
fn a_run_killed_anywhere_is_finished_by_the_next_on_mariadb() {
    MODES
        .into_iter()
        .for_each(|mode| kill_everywhere(Server::MariaDb, mode));
}

/// How long the server takes for a commit: far longer than the next run takes to come to the same
/// batch.
const COMMIT_SECONDS: u32 = 5;

/// The server learns that its client is dead only when it has committed.
#[test]
fn a_commit_that_outlives_the_killed_run_creates_nothing_twice() {
    std::thread::scope(|scope| {
        scope.spawn(|| outlive("create_only", "id\n", "1 inserted"));
        scope.spawn(|| outlive("upsert", "id\n", "1 inserted"));
        scope.spawn(|| outlive("update_only", "id,score,note,phone\nB1,0,,\n", "1 updated"));
    });
}

fn outlive(mode: &str, rows: &str, outcome: &str) {
    let place = Workspace::on(Server::Postgres);
    place
        .table("accounts", COLUMNS, rows)
        .scores(SCORES, "id,score,note\nB1,1,x\n");
    place
        .job(&format!("matching = '{mode}'"), FIELDS)
        .execute(&format!(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep({COMMIT_SECONDS}); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER linger AFTER INSERT OR UPDATE ON accounts \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()"
        ));
    let mut run = place.start(&["run", "job", "--json"]);
    let commits = "SELECT count(*) AS n FROM pg_stat_activity \
         WHERE query = 'COMMIT' AND state = 'active' AND datname = current_database()";
    wait_until("the commit is under way", || {
        place.query(commits) == "n\n1\n"
    });
    run.kill().expect("it still runs");
    run.wait().expect("it is dead");
    let next = place.run();
    assert_eq!(
        (next.run(), next.summary()),
        (1, format!("1 read = {outcome}")),
        "{mode}: {next}"
    );
    assert_eq!(
        place.query("SELECT id, score FROM accounts"),
        "id,score\nB1,1\n",
        "{mode}: {next}"
    );
}

/// As above where no table can hold a commit up, but a backup does.
#[test]
fn a_commit_that_waits_for_a_backup_while_its_run_is_killed_creates_nothing_twice() {
    let place = Workspace::on_its_own(Server::MariaDb);
    place
        .table("accounts", COLUMNS, "id\n")
        .scores(SCORES, "id,score,note\nB1,1,x\n");
    place.job("matching = 'create_only'", FIELDS);
    // Whoever waits for the backup gives up after this time, which must be longer than the test.
    let settings = place.text("writeback.toml").replace(
        "\npassword =",
        "\nlock_timeout = \"10m\"\nstatement_timeout = \"10m\"\npassword =",
    );
    assert!(settings.contains("lock_timeout"), "{settings}");
    place.file("writeback.toml", &settings);
    let at_work = |statement: &str| {
        let of_others = "SELECT count(*) AS n FROM information_schema.processlist \
             WHERE command IN ('Query', 'Execute') AND user = 'tester' AND id <> connection_id()";
        place.query(&format!("{of_others} AND info LIKE '{statement}'"))
    };
    for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
        place.execute(&format!("BACKUP STAGE {stage}"));
    }
    let mut run = place.start(&["run", "job", "--json"]);
    wait_until("the commit is under way", || at_work("COMMIT") == "n\n1\n");
    run.kill().expect("it still runs");
    run.wait().expect("it is dead");
    let next = place.start(&["run", "job", "--json"]);
    wait_until("the next run comes to the batch", || {
        at_work("%GET_LOCK%") == "n\n1\n"
    });
    assert_eq!(
        at_work("COMMIT"),
        "n\n1\n",
        "the commit outlives the run that asked for it"
    );
    place.execute("BACKUP STAGE END");
    let next = Ran::of(
        &["run", "job", "--json"],
        &next.wait_with_output().expect("the program ends"),
    );
    assert_eq!(
        (next.run(), next.summary().as_str()),
        (1, "1 read = 1 inserted"),
        "{next}"
    );
    assert_eq!(
        place.query("SELECT id, score FROM accounts"),
        "id,score\nB1,1\n",
        "{next}"
    );
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

#[test]
fn records_prepared_for_an_object_that_was_altered_since_are_pulled_anew() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\nA2,1,,\n",
            "id,score,note\nA1,2,abc\nA2,2,abcd\n",
        );
        place.job("batch_size = 1", FIELDS);
        kill_behind(&place, 1, "record a package in");
        place.execute(&server.retyped("note", "VARCHAR(40)", "VARCHAR(3)"));
        let run = place.run();
        assert_eq!(
            (run.run(), run.summary().as_str()),
            (2, "2 read = 1 updated + 1 rejected"),
            "on {server}: {run}"
        );
        assert!(
            place.rejected(2).contains("scores,2,A2,mapping,note,"),
            "on {server}: {}",
            place.rejected(2)
        );
        let left = place.command(&["runs", "1", "--json"]).json();
        let error = left["error"].as_str().unwrap_or_default().to_owned();
        assert!(
            error.ends_with("was altered before it could be taken up"),
            "on {server}: {left}"
        );
    }
}

#[test]
fn packages_that_nothing_will_take_up_go_when_a_later_run_finishes() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let packages = |place: &Workspace| {
        let files = place.state().into_iter().map(|(path, _)| path);
        files
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "arrow")
            })
            .count()
    };
    // Killed, then left behind because its job was edited; killed again, in the middle of a pull;
    // and, the last time, when the run was over but its package still stood.
    kill_behind(&place, 1, "record a package in");
    place.job("batch_size = 7", FIELDS);
    kill_behind(&place, 1, "a partition written");
    place.job("batch_size = 8", FIELDS);
    kill_behind(&place, 1, "record a batch in");
    assert_eq!(packages(&place), 3);
    place.job("batch_size = 9", FIELDS);
    // It first says that the one before is left behind.
    kill_behind(&place, 2, "finish a run in");
    assert_eq!(packages(&place), 1, "only its own");
    let run = place.run();
    assert_eq!(
        (run.run(), run.summary().as_str()),
        (5, "1 read = 1 unchanged"),
        "{run}"
    );
    assert_eq!(packages(&place), 0);
}

/// What a run says that is not taken up for its destination is another one.
const ELSEWHERE: &str =
    "`crm` leads to another database, or to one that was restored, since it began";

#[test]
fn a_run_is_not_taken_up_in_another_database_than_it_began_in() {
    for server in Server::WITH_USERS {
        let rows = "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n";
        let place = Workspace::accounts(server, rows, "id,score,note\nA1,2,\nA2,2,\nA3,2,\n");
        let other = Workspace::accounts(server, rows, "id,score,note\n");
        place.job("batch_size = 1", FIELDS);
        kill_behind(&place, 2, "record a commit in");
        let settings = place
            .text("writeback.toml")
            .replace(&place.url("tester"), &other.url("tester"));
        place.file("writeback.toml", &settings);
        let run = place.run();
        assert_eq!(
            (run.run(), run.summary().as_str()),
            (2, "3 read = 3 updated"),
            "on {server}: {run}"
        );
        assert!(run.stderr.contains(ELSEWHERE), "on {server}: {run}");
        assert_eq!(
            other.rows("accounts"),
            rows.replace(",1,,", ",2,,"),
            "on {server}"
        );
        let left = place.command(&["runs", "1", "--json"]).json();
        assert!(
            left["error"]
                .as_str()
                .is_some_and(|error| error.ends_with(ELSEWHERE)),
            "on {server}: {left}"
        );
    }
}

#[test]
fn a_run_is_not_taken_up_in_a_file_that_was_put_back() {
    let rows = "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n";
    let place = Workspace::accounts(Server::Sqlite, rows, "id,score,note\nA1,2,\nA2,2,\nA3,2,\n");
    place.job("batch_size = 1", FIELDS);
    std::fs::copy(place.path("crm.db"), place.path("backup.db")).expect("a copy");
    kill_behind(&place, 2, "record a commit in");
    for beside in ["crm.db-wal", "crm.db-shm"] {
        drop(std::fs::remove_file(place.path(beside)));
    }
    std::fs::rename(place.path("backup.db"), place.path("crm.db")).expect("a file put back");
    let run = place.run();
    assert_eq!(
        (run.run(), run.summary().as_str()),
        (2, "3 read = 3 updated"),
        "{run}"
    );
    assert!(run.stderr.contains(ELSEWHERE), "{run}");
    assert_eq!(
        place.query_file("crm.db", "SELECT * FROM accounts"),
        rows.replace(",1,,", ",2,,")
    );
}

#[test]
fn an_undo_is_not_taken_up_in_another_database_than_it_began_in() {
    // Elsewhere the object's path names the database, wherever the connection leads.
    let server = Server::Postgres;
    let rows = "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n";
    let written = rows.replace(",1,,", ",2,,");
    let place = Workspace::accounts(server, rows, "id,score,note\nA1,2,\nA2,2,\nA3,2,\n");
    let other = Workspace::accounts(server, &written, "id,score,note\n");
    place.job("batch_size = 1", FIELDS);
    assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
    let defaults = place.text("writeback.toml") + "\n[defaults]\nbatch_size = 1\n";
    place.file("writeback.toml", &defaults);
    let killed = place.command_with(&["undo", "1"], &[(ABORT_AT, "2 record a commit in")]);
    assert_eq!(killed.code, -1, "on {server}: {killed}");
    place.file(
        "writeback.toml",
        &defaults.replace(&place.url("tester"), &other.url("tester")),
    );
    let undo = place.command(&["undo", "1", "--json"]);
    assert_eq!(
        (undo.run(), undo.summary().as_str()),
        (3, "3 read = 3 updated"),
        "on {server}: {undo}"
    );
    assert!(undo.stderr.contains(ELSEWHERE), "on {server}: {undo}");
    assert_eq!(other.rows("accounts"), rows, "on {server}");
}
