//! A program that is killed behind any change of state, once and again: the runs after it leave what one run that
//! nobody killed leaves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use polars::prelude::{ParquetReader, SerReader};

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace};

/// Tells the program at which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Nothing but the program keeps a key from being created twice; the check refuses a record in each mode.
const COLUMNS: &str = "id VARCHAR(18) NOT NULL, score INTEGER CHECK (score < 1000), note VARCHAR(40), \
     phone VARCHAR(20) DEFAULT 'unknown'";

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,,\nA4,4,,\n";

/// Written, unchanged, refused by the destination, unknown to it, not of the schema, and of one key.
const SOURCE: &str =
    "id,score,note\nA4,40,x\nB2,1000,\nA1,10,y\nA2,2,same\nB1,7,new\nA3,1000,\nA5,x,\nD1,1,\nD1,2,\nB3,8,\n";

const MODES: [&str; 3] = ["update_only", "upsert", "create_only"];

/// Every change of state that a run which nobody disturbs makes, so that a place where nobody is killed is missed.
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

/// Those that only some modes make.
const WRITES: [&str; 2] = ["records inserted", "records updated"];

fn place(server: Server, mode: &str) -> Workspace {
    let place = Workspace::on(server);
    place.table("accounts", COLUMNS, ROWS).scores(SCORES, SOURCE);
    place.execute("CREATE INDEX accounts_id ON accounts (id)").execute("CREATE TABLE fresh AS SELECT * FROM accounts");
    place.job(&format!("matching = '{mode}'\nbatch_size = 3"), FIELDS);
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
            path.components()
                .any(|part| part.as_os_str() == "package" || part.as_os_str().to_string_lossy().ends_with(".partial"))
        };
        Self {
            accounts: place.rows("accounts"),
            runs: ledger("SELECT run, status, read, finished FROM runs JOIN write_backs USING (run)"),
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
    let frame =
        ParquetReader::new(file).finish().expect("Parquet").sort(["record"], Default::default()).expect("sorted");
    (0..frame.height()).map(|row| format!("{:?}", frame.get(row).expect("a row"))).collect()
}

/// Whether a run of the job stands in history as finished. It looks at a copy: whoever opens a ledger sets right what
/// a killed program left of it, which is for the program to do.
fn is_finished(place: &Workspace) -> bool {
    let copy = |file: &str| std::fs::copy(place.path(&format!(".writeback/{file}")), place.path(file)).is_ok();
    let copied = ["ledger.db", "ledger.db-wal"].map(copy);
    let tables = "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'runs'";
    let finished = copied[0]
        && place.query_file("ledger.db", tables) == "n\n1\n"
        && place.query_file("ledger.db", "SELECT status FROM runs") == "status\nrejected\n";
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        drop(std::fs::remove_file(place.path(file)));
    }
    finished
}

fn run_until(place: &Workspace, change: u64) -> Ran {
    place.command_with(&["run", "job", "--json"], &[(ABORT_AT, &change.to_string())])
}

/// What the program said it had just done when it died; `None` if it lived.
fn died_behind(run: &Ran) -> Option<String> {
    let last = run.stderr.lines().find_map(|line| line.strip_prefix("dies here: "));
    assert_eq!(last.is_some(), run.code == -1, "{run}");
    last.map(str::to_owned)
}

/// Kills a run behind its first, second, third … change of state until one lives to its end; each time the next run
/// is killed as well, sooner or later, and the one after that is not.
fn kill_everywhere(server: Server, mode: &str) {
    let place = place(server, mode);
    let clean = place.run();
    let expected = Left::of(&place);
    assert!(expected.packages.is_empty(), "on {server}: {expected:?}");
    let mut killed_behind = BTreeSet::new();
    for change in 1.. {
        begin_anew(&place);
        let first = run_until(&place, change);
        let Some(behind) = died_behind(&first) else {
            assert_eq!(first.summary(), clean.summary(), "on {server}");
            break;
        };
        if !is_finished(&place) {
            run_until(&place, change * 7 % 17 + 1);
        }
        if !is_finished(&place) {
            let last = place.run();
            assert_eq!(
                (last.run(), last.summary()),
                (1, clean.summary()),
                "{mode} behind {behind} on {server}: {last}"
            );
        }
        let left = Left { packages: Vec::new(), ..Left::of(&place) };
        assert_eq!(left, expected, "{mode}, killed behind change {change}, {behind}, on {server}");
        killed_behind.insert(behind);
    }
    let writes = WRITES.into_iter().filter(|write| killed_behind.contains(*write)).count();
    assert_eq!(writes, if mode == "upsert" { 2 } else { 1 }, "{mode} on {server}: {killed_behind:?}");
    let missed: Vec<_> = CHANGES.into_iter().filter(|change| !killed_behind.contains(*change)).collect();
    assert_eq!(missed, [""; 0], "nobody was killed there: {mode} on {server}");
}

#[test]
fn a_run_killed_anywhere_is_finished_by_the_next_on_sqlite() {
    MODES.into_iter().for_each(|mode| kill_everywhere(Server::Sqlite, mode));
}

#[test]
fn a_run_killed_anywhere_is_finished_by_the_next_on_postgres() {
    MODES.into_iter().for_each(|mode| kill_everywhere(Server::Postgres, mode));
}

#[test]
fn a_run_killed_anywhere_is_finished_by_the_next_on_mariadb() {
    MODES.into_iter().for_each(|mode| kill_everywhere(Server::MariaDb, mode));
}

/// How long the server takes for a commit: far longer than the next run takes to come to the same batch.
const COMMIT_SECONDS: u32 = 8;

/// The server learns that its client is dead only when it has committed.
#[test]
fn a_commit_that_outlives_the_killed_run_creates_nothing_twice() {
    for (mode, matching) in [("create_only", "1 inserted"), ("upsert", "1 inserted"), ("update_only", "1 updated")] {
        let place = Workspace::on(Server::Postgres);
        place.table("accounts", COLUMNS, if mode == "update_only" { "id,score,note,phone\nB1,0,,\n" } else { "id\n" });
        place.scores(SCORES, "id,score,note\nB1,1,x\n").job(&format!("matching = '{mode}'"), FIELDS);
        place.execute(&format!(
            "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({COMMIT_SECONDS}); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER linger AFTER INSERT OR UPDATE ON accounts \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION linger()"
        ));
        let mut run = place.start(&["run", "job", "--json"]);
        let lingers = "SELECT count(*) AS n FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'";
        wait_until("the commit is under way", || place.query(lingers) == "n\n1\n");
        run.kill().expect("it still runs");
        run.wait().expect("it is dead");
        let next = place.run();
        assert_eq!((next.run(), next.summary()), (1, format!("1 read = {matching}")), "{mode}: {next}");
        assert_eq!(place.query("SELECT id, score FROM accounts"), "id,score\nB1,1\n", "{mode}: {next}");
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}
