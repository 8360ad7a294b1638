//! What a row held is kept to the last byte, whatever finds the row and whichever way it is
//! written: a run, a plan, a run that keeps what others wrote, an undo and the undo of that.

use crate::harness::{Ran, Server, Workspace};
use crate::journal_tables::proposed;

/// A column, its type in the schema and in the table, values that are hard to keep, and what takes
/// their place.
struct Held {
    name: &'static str,
    schema: &'static str,
    object: fn(Server) -> &'static str,
    values: [&'static str; ROWS],
    then: &'static str,
}

const ROWS: usize = 8;

const HELD: &[Held] = &[
    Held {
        name: "f64",
        schema: "DOUBLE PRECISION",
        object: |_| "DOUBLE PRECISION",
        values: [
            "-3.248139967705735e-163",
            "-1.2345678901234568e-10",
            "1.7976931348623157e308",
            "-2.2250738585072014e-308",
            "5e-324",
            "0.1",
            "-9007199254740991",
            "-1.2345678901234567e-123",
        ],
        then: "0",
    },
    Held {
        name: "f32",
        schema: "REAL",
        object: Server::real,
        values: [
            "-1.1754944e-38",
            "3.4028235e38",
            "0.1",
            "16777216",
            "-1.2345679e-10",
            "8388609.5",
            "-0.3",
            "1e-30",
        ],
        then: "0",
    },
    Held {
        name: "fraction",
        schema: "DECIMAL(5,5)",
        object: |_| "DECIMAL(5,5)",
        values: [
            "-0.12347", "-0.99999", "0.99999", "-0.00001", "0.1", "-0.1", "0.00001", "-0.5",
        ],
        then: "0",
    },
    Held {
        name: "money",
        schema: "DECIMAL(15,10)",
        object: |_| "DECIMAL(15,10)",
        values: [
            "-12345.0123456789",
            "99999.9999999999",
            "-99999.9999999999",
            "0.0000000001",
            "-0.0000000001",
            "1",
            "-1.5",
            "12345.6789",
        ],
        then: "0",
    },
    Held {
        name: "whole",
        schema: "BIGINT",
        object: |_| "BIGINT",
        values: [
            "-9223372036854775808",
            "9223372036854775807",
            "-1",
            "1",
            "9007199254740993",
            "-9007199254740993",
            "7",
            "-7",
        ],
        then: "0",
    },
    Held {
        name: "said",
        schema: "TEXT",
        object: |_| "VARCHAR(400)",
        values: [
            " blanks ",
            "it's \\ \"said\"",
            "日本語 🚀 e\u{301} ﬁ",
            "B",
            "a",
            "line\nbreak\ttab",
            "-3.248139967705735e-163",
            "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
        ],
        then: "new",
    },
    Held {
        name: "flag",
        schema: "BOOLEAN",
        object: |_| "BOOLEAN",
        values: ["true", "", "true", "", "true", "", "true", ""],
        then: "false",
    },
    Held {
        name: "day",
        schema: "DATE",
        object: |_| "DATE",
        values: [
            "1000-01-01",
            "9999-12-31",
            "2024-02-29",
            "2026-11-15",
            "",
            "1969-12-31",
            "1582-10-15",
            "2000-01-01",
        ],
        then: "2001-01-01",
    },
    Held {
        name: "clock",
        schema: "TIME",
        object: Server::time,
        values: [
            "00:00:00",
            "23:59:59.999999",
            "06:30:00.5",
            "12:00:00.000001",
            "",
            "01:02:03",
            "23:00:00",
            "05:05:05.050505",
        ],
        then: "11:11:11",
    },
    Held {
        name: "moment",
        schema: "TIMESTAMP",
        object: Server::timestamp,
        values: [
            "1000-01-01 00:00:00.000001",
            "9999-12-31 23:59:59.999999",
            "1969-12-31 23:59:59.999999",
            "2026-03-29 02:30:00",
            "",
            "2024-02-29 12:00:00.5",
            "2000-01-01 00:00:00",
            "1970-01-01 00:00:00",
        ],
        then: "2001-01-01 00:00:00",
    },
    Held {
        name: "instant",
        schema: "TIMESTAMP WITH TIME ZONE",
        object: Server::instant,
        values: [
            "2037-12-31 23:59:59.999999Z",
            "1970-01-01 00:00:01Z",
            "2026-03-29 01:30:00Z",
            "2026-10-25 00:30:00.000001Z",
            "",
            "2026-10-25 01:30:00Z",
            "2000-01-01 00:00:00Z",
            "2024-02-29 12:00:00.5Z",
        ],
        then: "2001-01-01 00:00:00Z",
    },
    Held {
        name: "tag",
        schema: "UUID",
        object: |_| "UUID",
        values: [
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "00000000-0000-4000-8000-000000000001",
            "",
            "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
            "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
            "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ],
        then: "11111111-1111-4111-8111-111111111111",
    },
    Held {
        name: "facts",
        schema: "JSON",
        object: |_| "JSON",
        values: [
            r#"{"b": 1, "a":  [2.50, null]}"#,
            r#"{"a": "x", "aa":  2}"#,
            "[12345678901234567890.123]",
            "\"é\\u00e9\"",
            "",
            "[ ]",
            "[-3.248139967705735e-163]",
            "true",
        ],
        then: "{}",
    },
];

/// What finds a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Unique,
    Index,
    NoIndex,
    Composite,
    CompositeWithoutIndex,
    View,
}

const KEYS: [Key; 6] = [
    Key::Unique,
    Key::Index,
    Key::NoIndex,
    Key::Composite,
    Key::CompositeWithoutIndex,
    Key::View,
];

impl Key {
    fn is_composite(self) -> bool {
        matches!(self, Self::Composite | Self::CompositeWithoutIndex)
    }

    /// `accounts` with a column for each of [`HELD`], and rows that hold nothing but their key.
    fn place(self, server: Server) -> Workspace {
        let place = Workspace::on(server);
        let columns: String = HELD
            .iter()
            .map(|held| format!(", {} {}", held.name, (held.object)(server)))
            .collect();
        let end = match self {
            Self::Unique | Self::View => ", PRIMARY KEY (id)",
            Self::Composite => ", PRIMARY KEY (id, part)",
            Self::Index | Self::NoIndex | Self::CompositeWithoutIndex => "",
        };
        let table = if self == Self::View {
            "kept"
        } else {
            "accounts"
        };
        let columns = format!("id VARCHAR(18) NOT NULL, part INTEGER NOT NULL{columns}{end}");
        let rows: String = (1..=ROWS).map(|row| format!("A{row},{row}\n")).collect();
        place.table(table, &columns, &format!("id,part\n{rows}"));
        match self {
            Self::Index => drop(place.execute("CREATE INDEX by_id ON accounts (id)")),
            Self::View => make_view(&place),
            Self::Unique | Self::NoIndex | Self::Composite | Self::CompositeWithoutIndex => {}
        }
        let types: String = HELD
            .iter()
            .map(|held| format!(", {} {}", held.name, held.schema))
            .collect();
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores ({}{types});\n", self.schema_key()),
        );
        let crm = place.connection("crm").trim_end().to_owned() + "\nwriters = 1\n";
        place.file("writeback.toml", &(place.connection("files") + &crm));
        place
    }

    fn schema_key(self) -> &'static str {
        match self.is_composite() {
            true => "id VARCHAR(18), part INTEGER, PRIMARY KEY (id, part)",
            false => "id VARCHAR(18) PRIMARY KEY",
        }
    }

    /// The job, whose fields beside the key have this setting.
    fn job(self, place: &Workspace, settings: &str, of_field: &str) {
        let key = if self.is_composite() {
            "id = 'id'\npart = 'part'\n"
        } else {
            "id = 'id'\n"
        };
        let field = |held: &Held| format!("{0} = {{ column = '{0}'{of_field} }}\n", held.name);
        let fields: String = HELD.iter().map(field).collect();
        place.job(
            &format!("batch_size = 4\n{settings}"),
            &format!("{key}{fields}"),
        );
    }

    /// Lets the source bring the hard values to the first `hard` rows, and the plain ones to all
    /// others.
    fn bring(self, place: &Workspace, hard: usize) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let key = |row: usize| match self.is_composite() {
            true => vec![format!("A{row}"), row.to_string()],
            false => vec![format!("A{row}")],
        };
        let names = if self.is_composite() {
            vec!["id", "part"]
        } else {
            vec!["id"]
        };
        writer
            .write_record(names.into_iter().chain(HELD.iter().map(|held| held.name)))
            .expect("memory");
        for row in 1..=ROWS {
            let value = |held: &Held| {
                if row <= hard {
                    held.values[row - 1]
                } else {
                    held.then
                }
                .to_owned()
            };
            writer
                .write_record(key(row).into_iter().chain(HELD.iter().map(value)))
                .expect("memory");
        }
        place.bytes("data/scores.csv", &writer.into_inner().expect("memory"));
    }
}

fn make_view(place: &Workspace) {
    place.execute("CREATE VIEW accounts AS SELECT * FROM kept");
    if place.server == Server::Sqlite {
        let assignments: Vec<String> = HELD
            .iter()
            .map(|held| format!("{0} = new.{0}", held.name))
            .collect();
        place.execute(&format!(
            "CREATE TRIGGER write_accounts INSTEAD OF UPDATE ON accounts BEGIN UPDATE kept SET {} WHERE id = old.id; END",
            assignments.join(", ")
        ));
    }
}

/// All that the rows hold, told apart to the last bit.
fn exactly(place: &Workspace) -> String {
    let column = |held: &Held| match (place.server, held.schema) {
        (Server::Sqlite, _) => format!("typeof({0}) || ' ' || quote({0}) AS {0}", held.name),
        (Server::MariaDb, "REAL") => format!("{0} + 0e0 AS {0}", held.name),
        (Server::MariaDb, "TEXT" | "JSON") => format!("hex({0}) AS {0}", held.name),
        (Server::MariaDb | Server::Postgres, _) => held.name.to_owned(),
    };
    let columns: Vec<String> = HELD.iter().map(column).collect();
    place.query(&format!("SELECT id, {} FROM accounts", columns.join(", ")))
}

/// What reading the row of `A1` alone gives, column by column; nothing where a text is not all that
/// there is of a number.
fn read_alone(place: &Workspace) -> Vec<(&'static str, String)> {
    let read = |held: &'static Held| {
        let text = match (place.server, held.schema) {
            (Server::Sqlite, "DOUBLE PRECISION" | "REAL" | "DECIMAL(5,5)" | "DECIMAL(15,10)")
            | (Server::MariaDb, "REAL") => return None,
            (Server::MariaDb, _) => format!("CAST({} AS CHAR)", held.name),
            (Server::Sqlite | Server::Postgres, _) => format!("CAST({} AS TEXT)", held.name),
        };
        let cells = crate::harness::csv_cells(
            &place.query(&format!("SELECT {text} AS v FROM accounts WHERE id = 'A1'")),
        );
        Some((held.name, cells[1][0].clone().unwrap_or_default()))
    };
    HELD.iter().filter_map(read).collect()
}

fn undo(place: &Workspace, run: &Ran, label: &str) -> Ran {
    let undone = place.command(&["undo", &run.run().to_string(), "--json"]);
    let rejected = if undone.code == 1 {
        place.rejected(undone.run())
    } else {
        String::new()
    };
    let is_whole = undone.code == 0 && undone.json()["write_backs"][0]["skipped"] == 0;
    assert!(is_whole, "{label}: {undone}{rejected}");
    undone
}

/// The texts that history, the preview's samples or the journal tell of as what `A1` held.
fn told_before(changes: &serde_json::Value) -> Vec<(String, String)> {
    let changes = changes.as_array().expect("changes").iter();
    let text = |change: &serde_json::Value, name: &str| {
        change[name].as_str().unwrap_or_default().to_owned()
    };
    changes
        .map(|change| (text(change, "column"), text(change, "before")))
        .collect()
}

/// What was read alone is told as it was read; a truth is told in words, whatever a database has
/// for one.
fn expect_told(told: &[(String, String)], alone: &[(&'static str, String)], label: &str) {
    for (column, text) in alone {
        let found = told.iter().find(|(name, _)| name == column);
        let text = match (*column, text.as_str()) {
            ("flag", "0") => "false",
            ("flag", "1") => "true",
            (_, text) => text,
        };
        assert_eq!(
            found.map(|(_, told)| told.as_str()),
            Some(text),
            "{column}, {label}: {told:?}"
        );
    }
}

fn every_way_is_exact(server: Server, key: Key) {
    let label = format!("{key:?} on {server}");
    let place = key.place(server);
    let nothing = exactly(&place);
    key.job(&place, "", "");
    key.bring(&place, ROWS);
    let first = place.run();
    let rejected = if first.code == 1 {
        place.rejected(first.run())
    } else {
        String::new()
    };
    assert_eq!(first.summary(), "8 read = 8 updated", "{label}: {rejected}");
    let (hard, alone) = (exactly(&place), read_alone(&place));
    key.bring(&place, 0);

    let shown = place.command(&["preview", "job", "--out", "job.plan", "--json"]);
    expect_told(
        &told_before(&shown.json()["write_backs"][0]["samples"][0]["changes"]),
        &alone,
        &format!("preview, {label}"),
    );
    let planned = place.command(&["run", "job", "--plan", "job.plan", "--json"]);
    assert_eq!(
        planned.summary(),
        "8 read = 8 updated",
        "{label}: {planned}"
    );
    let plain = exactly(&place);
    undo(&place, &planned, &label);
    assert_eq!(exactly(&place), hard, "a plan's undo, {label}");

    let run = place.run();
    assert_eq!(
        (run.summary().as_str(), exactly(&place)),
        ("8 read = 8 updated", plain.clone()),
        "{label}: {run}"
    );
    let undone = undo(&place, &run, &label);
    assert_eq!(exactly(&place), hard, "an undo, {label}");
    let redone = undo(&place, &undone, &label);
    assert_eq!(exactly(&place), plain, "an undo of an undo, {label}");
    undo(&place, &redone, &label);
    assert_eq!(exactly(&place), hard, "an undo of that, {label}");
    let record = if key.is_composite() { "A1,1" } else { "A1" };
    let history = place
        .command(&["history", "scores", "--record", record, "--json"])
        .json();
    let of_run = |entry: &&serde_json::Value| entry["run"] == run.run();
    let entry = history["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .find(of_run)
        .expect("the run's entry");
    expect_told(
        &told_before(&entry["changes"]),
        &alone,
        &format!("history, {label}"),
    );

    // Most records are as they are, so that those which are not are looked for first.
    key.bring(&place, 4);
    let few = place.run();
    assert_eq!(
        few.summary(),
        "8 read = 4 updated + 4 unchanged",
        "{label}: {few}"
    );
    undo(&place, &few, &label);
    assert_eq!(exactly(&place), hard, "a run in which few differ, {label}");

    // What was last written is known by now, and rows are locked to be held against it.
    key.job(&place, "", ", on_conflict = 'keep'");
    key.bring(&place, 0);
    let keeping = place.run();
    assert_eq!(
        keeping.summary(),
        "8 read = 8 updated",
        "{label}: {keeping}"
    );
    undo(&place, &keeping, &label);
    assert_eq!(
        exactly(&place),
        hard,
        "a run that keeps what others wrote, {label}"
    );

    key.job(&place, "journal_table = 'journal'", "");
    place.execute(&proposed(&place.command(&["check"])));
    let journaled = place.run();
    assert_eq!(
        journaled.summary(),
        "8 read = 8 updated",
        "{label}: {journaled}"
    );
    for (column, text) in &alone {
        let condition = format!("column_name = '{column}' AND match_key LIKE 'A1%'");
        let told = place.query(&format!("SELECT old_value FROM journal WHERE {condition}"));
        assert_eq!(
            crate::harness::csv_cells(&told)[1][0].as_ref(),
            Some(text),
            "{column} of the journal, {label}"
        );
    }
    undo(&place, &journaled, &label);
    assert_eq!(exactly(&place), hard, "a journaled run, {label}");
    undo(&place, &first, &label);
    assert_eq!(exactly(&place), nothing, "the first run, {label}");
}

#[test]
fn every_way_of_writing_is_taken_back_to_the_byte_in_sqlite() {
    KEYS.into_iter()
        .for_each(|key| every_way_is_exact(Server::Sqlite, key));
}

#[test]
fn every_way_of_writing_is_taken_back_to_the_byte_in_postgres() {
    KEYS.into_iter()
        .for_each(|key| every_way_is_exact(Server::Postgres, key));
}

#[test]
fn every_way_of_writing_is_taken_back_to_the_byte_in_mariadb() {
    KEYS.into_iter()
        .for_each(|key| every_way_is_exact(Server::MariaDb, key));
}

/// The test of one record shows what its row held, however many characters that takes.
#[test]
fn a_test_of_one_record_shows_to_the_byte_what_was_there() {
    for key in [Key::Unique, Key::NoIndex, Key::View] {
        let place = key.place(Server::MariaDb);
        key.job(&place, "", "");
        key.bring(&place, ROWS);
        place.run();
        let (hard, alone) = (exactly(&place), read_alone(&place));
        key.bring(&place, 0);
        let tested = place.command(&["test", "job", "--record", "A1", "--rollback", "--json"]);
        expect_told(
            &told_before(&tested.json()["records"][0]["columns"]),
            &alone,
            &format!("{key:?}: {tested}"),
        );
        assert_eq!(exactly(&place), hard, "{key:?}");
    }
}
