//! Values at the edges of their types: each arrives exactly, or its record is rejected with the
//! reason and nobody else suffers.

use crate::harness::{FIELDS, Server, Workspace};
use crate::values::source;

/// Values of one type, the column they go to, and which servers can hold each of them.
struct Edges {
    schema: &'static str,
    object: fn(Server) -> &'static str,
    values: &'static [(&'static str, &'static [Server])],
}

const ALL: &[Server] = &Server::ALL;
const NONE: &[Server] = &[];
/// Servers whose decimals have 38 digits; SQLite's are numbers of 64 bits, which keep 15.
const EXACT_DECIMALS: &[Server] = &Server::WITH_USERS;
/// MariaDB's TIMESTAMP ends in 2038.
const LONG_CALENDAR: &[Server] = &[Server::Sqlite, Server::Postgres];
/// PostgreSQL has no text with a NUL, and SQLite's own functions take it for the end.
const NUL_IN_TEXT: &[Server] = &[Server::MariaDb];

const EDGES: &[Edges] = &[
    Edges {
        schema: "DECIMAL(38,0)",
        object: |_| "DECIMAL(38,0)",
        values: &[
            ("99999999999999999999999999999999999999", EXACT_DECIMALS),
            ("-99999999999999999999999999999999999999", EXACT_DECIMALS),
            ("12345678901234567890123456789012345678", EXACT_DECIMALS),
            ("100000000000000000000000000000000000000", NONE),
            ("9223372036854775807", EXACT_DECIMALS),
            ("999999999999999", ALL),
            ("-0", ALL),
        ],
    },
    Edges {
        schema: "DECIMAL(38,10)",
        object: |_| "DECIMAL(38,10)",
        values: &[
            ("1234567890123456789012345678.0123456789", EXACT_DECIMALS),
            ("123456789012345678.91", EXACT_DECIMALS),
            ("0.00000000001", NONE),
            ("0.0000000001", ALL),
            ("1e-7", ALL),
        ],
    },
    Edges {
        schema: "BIGINT",
        object: |_| "BIGINT",
        values: &[
            ("9223372036854775807", ALL),
            ("-9223372036854775808", ALL),
            ("9223372036854775808", NONE),
            ("-9223372036854775809", NONE),
        ],
    },
    Edges {
        schema: "BIGINT",
        object: |_| "DOUBLE PRECISION",
        values: &[
            ("9007199254740991", ALL),
            ("9007199254740992", ALL),
            ("9007199254740993", NONE),
            ("-9007199254740991", ALL),
            ("-9007199254740993", NONE),
        ],
    },
    Edges {
        schema: "DOUBLE PRECISION",
        object: |_| "DOUBLE PRECISION",
        values: &[
            ("9007199254740993e-1", ALL),
            ("1.7976931348623157e308", ALL),
            ("-1.7976931348623157e308", ALL),
            ("2.2250738585072014e-308", ALL),
            ("2.225073858507201e-308", ALL),
            ("5e-324", ALL),
            ("-0.0", ALL),
            ("1e-400", NONE),
            ("1e309", NONE),
            ("NaN", NONE),
            ("Infinity", NONE),
            ("-inf", NONE),
        ],
    },
    Edges {
        schema: "DATE",
        object: |_| "DATE",
        values: &[
            ("0001-01-01", ALL),
            ("9999-12-31", ALL),
            ("0000-12-31", NONE),
            ("10000-01-01", NONE),
            ("-0001-01-01", NONE),
        ],
    },
    Edges {
        schema: "TIME",
        object: Server::time,
        values: &[
            ("00:00:00.000001", ALL),
            ("23:59:59.999999", ALL),
            ("23:59:60", NONE),
            ("24:00:00", NONE),
        ],
    },
    Edges {
        schema: "TIMESTAMP",
        object: Server::timestamp,
        values: &[
            ("0001-01-01 00:00:00", ALL),
            ("0001-01-01 00:00:00.000001", ALL),
            ("1969-12-31 23:59:59.999999", ALL),
            ("9999-12-31 23:59:59.999999", ALL),
            ("9999-12-31 23:59:59.9999999", NONE),
            ("2016-12-31 23:59:60", NONE),
            ("10000-01-01 00:00:00", NONE),
        ],
    },
    Edges {
        schema: "TIMESTAMP WITH TIME ZONE",
        object: Server::instant,
        values: &[
            ("0001-01-01T00:00:00Z", LONG_CALENDAR),
            ("9999-12-31T23:59:59.999999Z", LONG_CALENDAR),
            ("1900-01-01T00:00:00.000001+05:30", LONG_CALENDAR),
            ("1970-01-01T14:00:01+14:00", ALL),
            ("2038-01-19T03:14:07.999999Z", ALL),
            ("0001-01-01T00:00:00+14:00", NONE),
            ("9999-12-31T23:59:59-12:00", NONE),
            ("2026-11-21T12:00:00+25:00", NONE),
        ],
    },
    Edges {
        schema: "TEXT",
        object: |_| "VARCHAR(200)",
        values: &[
            ("a\0b", NUL_IN_TEXT),
            ("\0", NUL_IN_TEXT),
            ("\u{10ffff}\u{fffe}\u{1}", ALL),
            ("\u{202e}rtl\u{200d}", ALL),
            ("é", ALL),
            ("e\u{301}\u{323}", ALL),
            ("e\u{323}\u{301}", ALL),
            ("ﬁ", ALL),
        ],
    },
    Edges {
        schema: "JSON",
        object: |_| "JSON",
        values: &[
            ("{\"n\": 12345678901234567890123456789012345678.5}", ALL),
            ("\"e\u{301}\"", ALL),
            ("{\"a\": NaN}", NONE),
            ("[1,]", NONE),
        ],
    },
];

#[test]
fn a_value_at_the_edge_of_its_type_arrives_exactly_or_is_rejected() {
    let mut strays = Vec::new();
    for server in Server::ALL {
        for edges in EDGES {
            strays.extend(strays_of(server, edges));
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

/// Where a server does otherwise than the table says.
fn strays_of(server: Server, edges: &Edges) -> Vec<String> {
    let object = (edges.object)(server);
    let label = format!("{} to {object} on {server}", edges.schema);
    let place = Workspace::on(server);
    let ids: String = (0..edges.values.len())
        .map(|index| format!("{index}\n"))
        .collect();
    place.table(
        "accounts",
        &format!("id INTEGER PRIMARY KEY, v {object}"),
        &format!("id\n{ids}999\n"),
    );
    let texts: Vec<&str> = edges.values.iter().map(|(text, _)| *text).collect();
    place.scores(
        &format!("id INTEGER PRIMARY KEY, v {}", edges.schema),
        &source(&texts),
    );
    place.job("", "id = 'id'\nv = 'v'");
    let run = place.run();
    let summary = run.summary();
    let rejected = if summary.contains("rejected") {
        place.rejected(run.run())
    } else {
        String::new()
    };
    let mut strays = Vec::new();
    for (index, (value, held_on)) in edges.values.iter().enumerate() {
        let stray = match held_on.contains(&server) {
            true => not_held(&place, edges.schema, index, value),
            false => not_rejected(&place, &rejected, index),
        };
        strays.extend(stray.map(|what| format!("{value:?} of {label}: {what}; {rejected}")));
    }
    // A second run finds what it wrote: nothing was altered on its way in or out.
    let again = place.run().summary();
    if again.contains("updated") {
        strays.push(format!("{label}: first {summary}, then {again}"));
    }
    strays
}

fn not_held(place: &Workspace, schema: &str, id: usize, value: &str) -> Option<String> {
    let condition = place.server.equals(schema, value);
    let count = place.query(&format!(
        "SELECT count(*) AS n FROM accounts WHERE id = {id} AND {condition}"
    ));
    let held = || place.query(&format!("SELECT v FROM accounts WHERE id = {id}"));
    (count != "n\n1\n").then(|| format!("holds {}", held()))
}

fn not_rejected(place: &Workspace, rejected: &str, id: usize) -> Option<String> {
    let line = rejected
        .lines()
        .find(|line| line.starts_with(&format!("scores,{},{id},", id + 1)));
    let explained = line.is_some_and(|line| line.contains(",v,") && !line.ends_with(','));
    let empty = place.query(&format!(
        "SELECT count(*) AS n FROM accounts WHERE id = {id} AND v IS NULL"
    )) == "n\n1\n";
    (!explained || !empty).then(|| format!("is not rejected: {line:?}"))
}

/// A type of a source's, the schema's, and values that the schema's does not hold.
type Oddity = (&'static str, &'static str, &'static [&'static str]);

/// What types of a source hold and nobody else's.
const ODDITIES: [(Server, &[Oddity]); 3] = [
    (
        Server::Postgres,
        &[
            (
                "DOUBLE PRECISION",
                "DOUBLE PRECISION",
                &["'NaN'", "'Infinity'", "'-Infinity'"],
            ),
            ("REAL", "REAL", &["'NaN'", "'Infinity'"]),
            (
                "NUMERIC",
                "DECIMAL",
                &["'NaN'", "'Infinity'", "'-Infinity'"],
            ),
            (
                "DATE",
                "DATE",
                &[
                    "'infinity'",
                    "'-infinity'",
                    "'0044-03-15 BC'",
                    "'12026-01-01'",
                ],
            ),
            (
                "TIMESTAMP",
                "TIMESTAMP",
                &[
                    "'infinity'",
                    "'-infinity'",
                    "'0044-03-15 12:00:00 BC'",
                    "'12026-01-01'",
                ],
            ),
            (
                "TIMESTAMPTZ",
                "TIMESTAMP WITH TIME ZONE",
                &["'infinity'", "'0044-03-15 12:00:00+00 BC'"],
            ),
            ("TIME", "TIME", &["'24:00:00'"]),
        ],
    ),
    (
        Server::MariaDb,
        &[
            (
                "DATE",
                "DATE",
                &["'0000-00-00'", "'2026-00-00'", "'2026-02-00'"],
            ),
            ("DATETIME", "TIMESTAMP", &["'0000-00-00 00:00:00'"]),
            (
                "TIME",
                "TIME",
                &["'-01:00:00'", "'838:59:59'", "'24:00:00'"],
            ),
        ],
    ),
    (
        Server::Sqlite,
        &[
            (
                "DOUBLE PRECISION",
                "DOUBLE PRECISION",
                &["9e999", "-9e999", "'abc'", "x'ff'"],
            ),
            ("INTEGER", "INTEGER", &["'abc'", "1.5", "x'01'", "9e999"]),
            ("TEXT", "TEXT", &["x'ff'", "CAST(x'ff' AS TEXT)"]),
            ("DATE", "DATE", &["'soon'", "1.5"]),
        ],
    ),
];

#[test]
fn what_only_one_kind_of_database_can_hold_is_rejected_when_it_is_read() {
    for (server, oddities) in ODDITIES {
        for (column, schema, literals) in oddities {
            let place = Workspace::on(server);
            if server == Server::MariaDb {
                place.execute("SET SESSION sql_mode = ''");
            }
            place.table(
                "exported",
                &format!("id INTEGER PRIMARY KEY, v {column}"),
                "",
            );
            place.execute("INSERT INTO exported (id, v) VALUES (0, NULL)");
            for (index, literal) in literals.iter().enumerate() {
                place.execute(&format!(
                    "INSERT INTO exported (id, v) VALUES ({}, {literal})",
                    index + 1
                ));
            }
            place.table("accounts", "id INTEGER PRIMARY KEY, v VARCHAR(40)", "");
            place.file(
                "sql/scores.sql",
                &format!("CREATE TABLE exported (id INTEGER PRIMARY KEY, v {schema});"),
            );
            place.job("source = 'crm'\nmatching = 'upsert'", "id = 'id'\nv = 'v'");
            let run = place.run();
            let count = literals.len();
            let label = format!("{column} on {server}: {run}");
            assert_eq!(
                run.summary(),
                format!("{} read = 1 inserted + {count} rejected", count + 1),
                "{label}"
            );
            let rejected = place.rejected(run.run());
            let explained = rejected
                .lines()
                .filter(|line| line.contains(",schema,v,") && !line.ends_with(','));
            assert_eq!(explained.count(), count, "{label}: {rejected}");
            assert_eq!(place.rows("accounts"), "id,v\n0,\n", "{label}");
        }
    }
}

#[test]
fn json_may_hold_no_half_of_a_character() {
    for server in Server::ALL {
        let place =
            Workspace::accounts(server, "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n", "");
        std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
        place.file(
            "data/scores.ndjson",
            "{\"id\": \"A1\", \"score\": 2, \"note\": \"\\ud83d\\ude80\"}\n\
             {\"id\": \"A2\", \"score\": 2, \"note\": \"\\ud83d\"}\n\
             {\"id\": \"A3\", \"score\": 2, \"note\": \"x\\ude80\"}\n",
        );
        let run = place.run();
        assert_eq!(
            run.summary(),
            "3 read = 1 updated + 2 rejected",
            "on {server}"
        );
        let rejected = place.rejected(run.run());
        assert!(
            rejected.lines().all(|line| line.contains("hex escape")),
            "on {server}: {rejected}"
        );
        let expected = "id,score,note,phone\nA1,2,🚀,\nA2,1,,\nA3,1,,\n";
        assert_eq!(place.rows("accounts"), expected, "on {server}");
    }
}

/// Bytes of the largest cell that is promised to be read.
const CELL_BYTES: usize = 64 << 20;

#[test]
fn a_cell_of_64_mib_is_written_or_costs_its_record_alone() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let text = server.long_text();
        place.table(
            "accounts",
            &format!("id VARCHAR(18) PRIMARY KEY, score INTEGER, note {text}"),
            "id\nA1\nA2\nA3\n",
        );
        let cell = "n".repeat(CELL_BYTES);
        let source = format!("id,score,note\nA1,1,small\nA2,2,{cell}\nA3,3,small\n");
        place
            .scores(
                "id VARCHAR(18) PRIMARY KEY, score INTEGER, note TEXT",
                &source,
            )
            .job("", FIELDS);
        drop((cell, source));
        let run = place.run();
        let fits = CELL_BYTES <= server.value_bytes_max();
        let (summary, kept) = if fits {
            ("3 read = 3 updated", format!("{CELL_BYTES}"))
        } else {
            ("3 read = 2 updated + 1 rejected", String::new())
        };
        assert_eq!(run.summary(), summary, "on {server}");
        let lengths = place.query("SELECT id, length(note) AS bytes FROM accounts");
        assert_eq!(
            lengths,
            format!("id,bytes\nA1,5\nA2,{kept}\nA3,5\n"),
            "on {server}"
        );
        if !fits {
            let rejected = place.rejected(run.run());
            assert!(
                rejected.starts_with("scores,2,A2,") && rejected.contains("packet"),
                "{rejected}"
            );
        }
    }
}

#[test]
fn a_record_longer_than_any_may_be_stops_the_run_wherever_it_stands() {
    for before in ["", "A1,1,small\n"] {
        let place = Workspace::accounts(Server::Sqlite, "id,score,note,phone\nA1,7,,\n", "");
        let cell = "n".repeat(CELL_BYTES + (2 << 20));
        place.file(
            "data/scores.csv",
            &format!("id,score,note\n{before}A2,2,{cell}\nA3,3,small\n"),
        );
        let run = place.run();
        assert_eq!(run.code, 2, "{run}");
        let line = if before.is_empty() { 2 } else { 3 };
        assert!(
            run.stderr
                .contains(&format!("the record that begins on line {line} of")),
            "{run}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,7,,\n",
            "nothing is written before all is read"
        );
    }
}

#[test]
fn a_table_as_wide_as_a_database_takes_is_written() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let names: Vec<String> = (1..server.columns_max())
            .map(|column| format!("c{column}"))
            .collect();
        let columns: String = names
            .iter()
            .map(|name| format!(", {name} SMALLINT"))
            .collect();
        place.table(
            "accounts",
            &format!("id INTEGER PRIMARY KEY{columns}"),
            "id\n1\n2\n",
        );
        let line = |id: usize| format!("{id}{}\n", ",7".repeat(names.len()));
        let source = format!("id,{}\n{}{}", names.join(","), line(1), line(2));
        place.scores(&format!("id INTEGER PRIMARY KEY{columns}"), &source);
        place.job(
            "",
            &names.iter().fold("id = 'id'\n".to_owned(), |text, name| {
                text + &format!("{name} = '{name}'\n")
            }),
        );
        assert_eq!(place.run().summary(), "2 read = 2 updated", "on {server}");
        assert_eq!(place.run().summary(), "2 read = 2 unchanged", "on {server}");
        let last = names.last().expect("a column");
        assert_eq!(
            place.query(&format!("SELECT id, {last} FROM accounts")),
            format!("id,{last}\n1,7\n2,7\n")
        );
    }
}

#[test]
fn a_source_may_have_ten_thousand_columns() {
    let place = Workspace::on(Server::Sqlite);
    let names: Vec<String> = (1..10_000).map(|column| format!("c{column}")).collect();
    let columns: String = names
        .iter()
        .map(|name| format!(", {name} SMALLINT"))
        .collect();
    let source = format!(
        "id,{}\n1{}\n2,x{}\n",
        names.join(","),
        ",7".repeat(9_999),
        ",7".repeat(9_998)
    );
    place.table(
        "accounts",
        "id INTEGER PRIMARY KEY, score INTEGER",
        "id\n1\n2\n",
    );
    place.scores(&format!("id INTEGER PRIMARY KEY{columns}"), &source);
    let ignored: Vec<String> = names
        .iter()
        .filter(|name| *name != "c9999")
        .map(|name| format!("'{name}'"))
        .collect();
    place.job(
        &format!("ignore = [{}]", ignored.join(", ")),
        "id = 'id'\nscore = 'c9999'",
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected");
    assert!(
        place
            .rejected(run.run())
            .starts_with("scores,2,2,schema,c1,"),
        "{}",
        place.rejected(run.run())
    );
    assert_eq!(place.rows("accounts"), "id,score\n1,7\n2,\n");
}
