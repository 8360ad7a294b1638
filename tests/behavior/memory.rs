//! Memory stays flat: what a run holds does not grow with what it moves.

use std::fmt::Write;
use std::io::Read;
use std::process::{Child, Output};
use std::thread::JoinHandle;
use std::time::Duration;

use polars::prelude::{ParquetWriter, df};

use crate::harness::{DuckDb, FIELDS, Ran, Server, Workspace, drivers_folder};

/// Characters of text that compresses badly.
const BLOCK_BYTES: usize = 1 << 20;

const RECORDS: u32 = 200_000;

/// What a run may hold, however many records it moves, in KiB.
pub(crate) const MEMORY_MAX: u64 = 256 * 1024;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The most that a process had in memory, in KiB.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    /// Everything, pages of the program's own file included: a debug build's are a third of the
    /// bound. The system remembers it, so only what is taken after the last look goes unseen.
    pub(crate) resident: u64,
    /// What it asked for itself, as of the looks.
    pub(crate) anonymous: u64,
}

/// Inserts the records, each with a note of so many bytes, from CSV into SQLite, and watches.
fn insert_records(note_bytes: usize) -> Peak {
    let place = Workspace::on(Server::Sqlite);
    let note = "n".repeat(note_bytes);
    let mut csv = "id,score,note\n".to_owned();
    for id in 0..RECORDS {
        writeln!(csv, "A{id:06},{},{note}", id % 100).expect("memory");
    }
    let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(2000)";
    place
        .scores(columns, &csv)
        .table("accounts", columns, "")
        .job("matching = 'upsert'", FIELDS);
    drop(csv);

    let mut child = place.start(&["run", "job", "--json"]);
    let peak = watch(&mut child);
    let run = Ran::of(
        &["run", "job", "--json"],
        &child.wait_with_output().expect("the program ends"),
    );
    assert_eq!(
        run.summary(),
        format!("{RECORDS} read = {RECORDS} inserted")
    );
    assert_eq!(
        place.query("SELECT count(*) AS n, sum(score) AS s FROM accounts"),
        "n,s\n200000,9900000\n"
    );
    assert!(
        peak.resident > peak.anonymous && peak.anonymous > 0,
        "it was looked at: {peak:?}"
    );
    peak
}

/// Waits for the end of a process.
/// Source: `VmHWM`, `RssAnon` of <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>.
pub(crate) fn watch(child: &mut Child) -> Peak {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = Peak::default();
    while child.try_wait().expect("a child").is_none() {
        // A process that has just ended has no memory to tell of.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kibibytes = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value
                .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
                .unwrap_or(0)
        };
        peak.resident = peak.resident.max(kibibytes("VmHWM:"));
        peak.anonymous = peak.anonymous.max(kibibytes("RssAnon:"));
        std::thread::sleep(LOOK_INTERVAL);
    }
    peak
}

#[test]
fn two_hundred_thousand_records_stay_within_the_bound() {
    let peak = insert_records(30);
    assert!(peak.resident < MEMORY_MAX, "{peak:?} in KiB");
}

#[test]
fn an_export_larger_than_the_bound_stays_within_it() {
    /// Notes of 300 MB in all.
    const NOTE_BYTES: usize = 1_500;
    let peak = insert_records(NOTE_BYTES);
    assert!(peak.anonymous < MEMORY_MAX, "{peak:?} in KiB");
}

/// A project whose `accounts` have a note of any length, and nothing in them yet.
fn wide_notes(server: Server) -> Workspace {
    let place = Workspace::on(server);
    let note = server.long_text();
    place.table(
        "accounts",
        &format!("id VARCHAR(18) PRIMARY KEY, score INTEGER, note {note}"),
        "",
    );
    place.file(
        "sql/scores.sql",
        "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER, note TEXT);\n",
    );
    place.job("matching = 'upsert'", FIELDS);
    place
}

/// Letters and digits in no order, the same each time.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b"abcdefghijklmnopqrstuvwxyz012345"[(state % 32) as usize])
    };
    (0..bytes).map(|_| next()).collect()
}

/// Runs the program, which is to end with a code, and sees that it stays within the bound.
fn stays_within_the_bound(place: &Workspace, arguments: &[&str], code: i32) -> Ran {
    let mut child = place.start(arguments);
    let (stdout, stderr) = (drained(child.stdout.take()), drained(child.stderr.take()));
    let peak = watch(&mut child);
    let [stdout, stderr] = [stdout, stderr].map(|printed| printed.join().expect("what it printed"));
    let ran = Ran::of(
        arguments,
        &Output {
            status: child.wait().expect("a child"),
            stdout,
            stderr,
        },
    );
    assert_eq!(ran.code, code, "{ran}");
    assert!(
        peak.anonymous < MEMORY_MAX,
        "{arguments:?} on {}: {peak:?} in KiB",
        place.server
    );
    ran
}

/// Reads what a process prints while it runs: values are wider than a pipe.
fn drained(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut printed = Vec::new();
        pipe.expect("a pipe")
            .read_to_end(&mut printed)
            .expect("what it prints");
        printed
    })
}

#[test]
fn wide_rows_of_a_database_stay_within_the_bound() {
    for server in Server::ALL {
        let place = wide_notes(server);
        let note = server.long_text();
        let filled = server.noise(3_000);
        place.execute(&format!(
            "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER, note {note})"
        ));
        place.execute(&format!("INSERT INTO scores {filled}"));
        place.job("source = 'crm'\nmatching = 'upsert'", FIELDS);
        let preview =
            stays_within_the_bound(&place, &["preview", "job", "--json", "--limit", "1"], 0);
        assert_eq!(
            preview.json()["write_backs"][0]["inserted"],
            3_000,
            "on {server}"
        );
    }
}

#[test]
fn wide_rows_of_other_files_stay_within_the_bound() {
    const RECORDS: usize = 3_000;
    let block = noise(BLOCK_BYTES);
    let note = |id: usize| {
        block
            .get(id * 101..id * 101 + 32_768)
            .expect("ASCII")
            .to_owned()
    };
    let ids: Vec<String> = (0..RECORDS).map(|id| format!("A{id:06}")).collect();
    for (format, model) in [
        ("ndjson", ""),
        ("parquet", ""),
        ("ndjson", MODEL),
        ("parquet", MODEL),
    ] {
        let place = wide_notes(Server::Sqlite);
        let file = format!("data/scores.{format}");
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, note TEXT);\n{model}"),
        );
        place.job("matching = 'upsert'", "id = 'id'\nnote = 'note'");
        place.file(&file, "");
        match format {
            "ndjson" => {
                let line =
                    |id: usize| format!("{{\"id\":\"A{id:06}\",\"note\":\"{}\"}}\n", note(id));
                place.file(&file, &(0..RECORDS).map(line).collect::<String>());
            }
            _ => {
                let notes: Vec<String> = (0..RECORDS).map(note).collect();
                let mut frame = df!("id" => &ids, "note" => notes).expect("a frame");
                let written = std::fs::File::create(place.path(&file)).expect("a file");
                ParquetWriter::new(written)
                    .finish(&mut frame)
                    .expect("a written file");
            }
        }
        let preview =
            stays_within_the_bound(&place, &["preview", "job", "--json", "--limit", "1"], 0);
        assert_eq!(
            preview.json()["write_backs"][0]["inserted"],
            RECORDS,
            "{format} {model}"
        );
    }
}

const MODEL: &str = "SELECT id, note FROM scores WHERE id >= 'A';\n";

#[test]
fn a_duckdb_file_that_is_sorted_and_grouped_stays_within_the_bound() {
    const ROWS: u32 = 1_000_000;
    let place = Workspace::on(Server::Sqlite);
    DuckDb::open(&place.path("scores.duckdb")).execute(&format!(
        "CREATE TABLE scores AS SELECT 'A' || i AS id, (i * 7919) % 1000 AS score, \
         repeat(md5(i::VARCHAR), 4) AS note FROM range({ROWS}) t(i)"
    ));
    let scores = "[connections.scores]\nkind = 'duckdb'\nfile = 'scores.duckdb'\n";
    let driver = format!(
        "driver = '{}'\n",
        drivers_folder().join("duckdb.toml").display()
    );
    place
        .table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(200)",
            "",
        )
        .file(
            "writeback.toml",
            &format!("{scores}{driver}{}", place.connection("crm")),
        )
        .file(
            "sql/scores.sql",
            "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(200));\n\
             SELECT max(id) AS id, max(score) AS score, note FROM scores GROUP BY note \
             ORDER BY note DESC LIMIT 50000;\n",
        )
        .job("source = 'scores'\nmatching = 'upsert'", FIELDS);
    let run = stays_within_the_bound(&place, &["run", "job", "--json"], 0);
    assert_eq!(run.summary(), "50000 read = 50000 inserted");
}
