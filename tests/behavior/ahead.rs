//! Where a package covers a good part of a table, its rows are read ahead of the look-ups, and
//! records whose rows hold their very values need none. Nothing else comes of it: counts, outcomes
//! and rows are what they are where every record is looked up.

use std::fs::File;
use std::time::{Duration, Instant};

use polars::prelude::{ParquetReader, SerReader};

use crate::harness::{FIELDS, Ran, Server, Workspace, write_back};
use crate::values::TRIPS;

/// How many records there must be for rows to be read ahead.
const AHEAD_FROM: &str = "WRITEBACK_AHEAD_FROM";
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const ALWAYS: &[(&str, &str)] = &[(AHEAD_FROM, "1")];
const NEVER: &[(&str, &str)] = &[(AHEAD_FROM, "1000000")];

fn run(place: &Workspace, environment: &[(&str, &str)]) -> Ran {
    place.command_with(&["run", "job", "--again", "--json"], environment)
}

/// Of each record of a run its key and outcome.
fn outcomes(place: &Workspace, run: i64) -> Vec<String> {
    let file = File::open(place.run_file(run, "outcomes.parquet")).expect("a file");
    let rows = ParquetReader::new(file).finish().expect("Parquet");
    let texts = ["key", "outcome"].map(|name| {
        let column = rows.column(name).expect("a column");
        column.str().expect("texts").clone()
    });
    let line = |row: usize| {
        let cells = texts.iter().map(|texts| texts.get(row).unwrap_or_default());
        cells.collect::<Vec<_>>().join(",")
    };
    (0..rows.height()).map(line).collect()
}

/// Batches of a run, of which there are fewer where records are not looked up.
fn batches(place: &Workspace, run: i64) -> String {
    let counted = place.query_ledger(&format!(
        "SELECT count(*) FROM batches WHERE write_back = {run}"
    ));
    let counted = counted.expect("a ledger");
    counted.lines().nth(1).unwrap_or_default().to_owned()
}

/// Records with a value of every type there is, as many as one type has values; the others have
/// theirs several times, and every seventh value is NULL.
fn records() -> (usize, String) {
    let count = TRIPS.iter().map(|trip| trip.values.len()).max();
    let count = count.expect("types");
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = (0..TRIPS.len()).map(|column| format!("v{column}"));
    writer
        .write_record(std::iter::once("id".to_owned()).chain(names))
        .expect("memory");
    for record in 0..count {
        let values = TRIPS
            .iter()
            .enumerate()
            .map(|(column, trip)| match (record + column) % 7 {
                6 => "",
                _ => trip.values[record % trip.values.len()],
            });
        let record = record.to_string();
        let cells: Vec<&str> = std::iter::once(record.as_str()).chain(values).collect();
        writer.write_record(cells).expect("memory");
    }
    let source = String::from_utf8(writer.into_inner().expect("memory"));
    (count, source.expect("UTF-8"))
}

/// A table with a column of every type, empty but for the keys.
fn every_type(server: Server) -> Workspace {
    let place = Workspace::on(server);
    let (count, source) = records();
    let columns = |declared: &dyn Fn(usize) -> &'static str| {
        let columns = (0..TRIPS.len()).map(|column| format!(", v{column} {}", declared(column)));
        format!("id INTEGER PRIMARY KEY{}", columns.collect::<String>())
    };
    let ids: String = (0..count).map(|id| format!("{id}\n")).collect();
    place.table(
        "accounts",
        &columns(&|column| (TRIPS[column].object)(server)),
        &format!("id\n{ids}"),
    );
    place.scores(&columns(&|column| TRIPS[column].schema), &source);
    let fields: String = (0..TRIPS.len())
        .map(|column| format!("v{column} = 'v{column}'\n"))
        .collect();
    place.job("batch_size = 2", &format!("id = 'id'\n{fields}"));
    place
}

/// Whether every value there is can be read ahead. Of very large and very small reals SQLite does
/// not tell exactly what they are; there is one in every other record here.
fn tells_all(server: Server) -> bool {
    server != Server::Sqlite
}

#[test]
fn rows_that_were_read_ahead_say_what_a_look_up_says_of_every_type() {
    for server in Server::ALL {
        let place = every_type(server);
        let (count, _) = records();
        let first = run(&place, ALWAYS);
        assert_eq!(
            first.summary(),
            format!("{count} read = {count} updated"),
            "on {server}"
        );
        let again = run(&place, ALWAYS);
        assert_eq!(
            again.summary(),
            format!("{count} read = {count} unchanged"),
            "on {server}"
        );
        if tells_all(server) {
            assert_eq!(batches(&place, 2), "1", "nothing was looked up on {server}");
        }
        let foreign = "UPDATE accounts SET v0 = 'theirs' WHERE id = 3; \
             UPDATE accounts SET v4 = NULL WHERE id = 8; UPDATE accounts SET v1 = 5 WHERE v1 IS NULL AND id < 7; \
             DELETE FROM accounts WHERE id = 11";
        let mut told = Vec::new();
        for environment in [ALWAYS, NEVER] {
            place.execute(foreign);
            let foreseen = place.command_with(&["preview", "job", "--json"], environment);
            let foreseen = foreseen.json()["write_backs"][0].clone();
            let counts = ["read", "updated", "unchanged", "skipped", "rejected"];
            let foreseen = counts.map(|count| foreseen[count].clone());
            let ran = run(&place, environment);
            let run = ran.run();
            told.push((
                foreseen,
                ran.summary(),
                outcomes(&place, run),
                place.rows("accounts"),
            ));
        }
        assert_eq!(told[0], told[1], "on {server}");
        assert!(
            told[0].1.contains("updated + "),
            "on {server}: {}",
            told[0].1
        );
        let (ahead, looked_up) = (batches(&place, 3), batches(&place, 4));
        assert!(
            !tells_all(server)
                || ahead.parse::<u32>().expect("a number") < looked_up.parse().expect("a number"),
            "{ahead} and {looked_up} on {server}"
        );
    }
}

#[test]
fn a_row_of_nearly_the_same_key_and_a_second_row_are_no_match_that_was_read_ahead() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,a,\na2,20,b,\nA3,30,c,\nA4,40,d,\n";
        let source = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,C\nA4,40,d\n";
        let place = Workspace::accounts(server, rows, source);
        let ran = run(&place, ALWAYS);
        assert_eq!(
            ran.summary(),
            "4 read = 1 updated + 2 unchanged + 1 skipped",
            "on {server}"
        );
        let expected = ["A1,unchanged", "A2,skipped", "A3,updated", "A4,unchanged"];
        assert_eq!(outcomes(&place, 1), expected, "on {server}");
        place.table(
            "doubles",
            "id VARCHAR(18), score INTEGER, note VARCHAR(40)",
            "id,score,note\nA1,10,a\nA1,10,a\nA2,20,b\nA3,30,C\nA4,40,d\n",
        );
        let job = write_back("scores", "doubles", "", FIELDS);
        let plain = place.text("schedules/job.toml");
        let head = plain.split("[[write_back]]").next().unwrap_or_default();
        place.file("schedules/job.toml", &format!("{head}{job}"));
        let ran = run(&place, ALWAYS);
        assert_eq!(
            ran.summary(),
            "4 read = 3 unchanged + 1 rejected",
            "on {server}"
        );
    }
}

#[test]
fn a_write_is_decided_by_the_row_as_it_is_then() {
    let rows = "id,score,note,phone\nA1,1,a,\nA2,20,b,\nA3,3,c,\n";
    let source = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\n";
    let place = Workspace::accounts(Server::Sqlite, rows, source);
    let settings = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &settings.replace("[connections.crm]\n", "[connections.crm]\nwriters = 1\n"),
    );
    place.job("batch_size = 1", FIELDS);
    place.execute(
        "CREATE TRIGGER meanwhile AFTER UPDATE ON accounts WHEN new.id = 'A1' BEGIN \
         UPDATE accounts SET score = 21 WHERE id = 'A2'; UPDATE accounts SET score = 30 WHERE id = 'A3'; END",
    );
    let ran = run(&place, ALWAYS);
    assert_eq!(ran.summary(), "3 read = 1 updated + 2 unchanged", "{ran}");
    let held = place.query("SELECT id, score FROM accounts");
    assert_eq!(
        held, "id,score\nA1,10\nA2,21\nA3,30\n",
        "A2 was unchanged when it was read"
    );
    let again = run(&place, ALWAYS);
    assert_eq!(
        again.summary(),
        "3 read = 1 updated + 2 unchanged",
        "{again}"
    );
}

#[test]
fn what_was_sent_and_not_known_to_be_written_is_told_as_it_was_sent() {
    let rows = "id,score,note,phone\nA1,1,a,\nA2,20,b,\nA3,30,c,\nA4,40,d,\n";
    let source = "id,score,note\nA1,10,a\nA2,20,b\nA3,30,c\nA4,40,d\n";
    let place = Workspace::accounts(Server::Sqlite, rows, source);
    place.job("batch_size = 1", FIELDS);
    let killed = [ALWAYS[0], ("WRITEBACK_ABORT_AT", "1 a batch committed")];
    let died = run(&place, &killed);
    assert_ne!(died.code, 0, "{died}");
    let ran = place.command_with(&["run", "job", "--json"], ALWAYS);
    assert_eq!(ran.summary(), "4 read = 1 updated + 3 unchanged", "{ran}");
    let expected = ["A1,updated", "A2,unchanged", "A3,unchanged", "A4,unchanged"];
    assert_eq!(outcomes(&place, ran.run()), expected);
}

/// Whoever waits for the file's lock while nobody takes its rows would keep it from all others of
/// its run: those who read ahead wait for it as those do who write.
#[test]
fn a_file_that_others_keep_writing_to_holds_up_no_run_that_reads_ahead() {
    const RECORDS: usize = 1_500;
    const OTHERS: usize = 40;
    let note = "n".repeat(20_000);
    let columns = "id INTEGER PRIMARY KEY, score INTEGER, note TEXT";
    let rows = (0..RECORDS).map(|id| format!("{id},1,\n"));
    let sent = (0..RECORDS).map(|id| format!("{id},2,{note}\n"));
    let place = Workspace::on(Server::Sqlite);
    place.table(
        "accounts",
        columns,
        &format!("id,score,note\n{}", rows.collect::<String>()),
    );
    place.scores(
        columns,
        &format!("id,score,note\n{}", sent.collect::<String>()),
    );
    place.job("batch_size = 10", FIELDS);
    place.execute("PRAGMA journal_mode = WAL");
    place.execute("CREATE TABLE others (n INTEGER)");
    let arguments = ["run", "job", "--json"];
    let mut child = place.start_with(&arguments, ALWAYS);
    for _ in 0..OTHERS {
        place.execute(
            "INSERT INTO others WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) \
             SELECT max(n) FROM c",
        );
    }
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("it still runs");
            panic!("nobody writes any more, and the run does not end");
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let ran = Ran::of(&arguments, &child.wait_with_output().expect("it ended"));
    assert_eq!(
        ran.summary(),
        format!("{RECORDS} read = {RECORDS} updated"),
        "{ran}"
    );
    let others = place.query("SELECT count(*) AS n FROM others");
    assert_eq!(others, format!("n\n{OTHERS}\n"), "they wrote, too");
}
