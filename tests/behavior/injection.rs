//! Names and values made of what SQL is injected with: they are written as they stand, and no other
//! table is touched.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{FIELDS, Server, Workspace, write_back};

/// What attacks are made of, in every dialect.
const FRAGMENTS: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    ";",
    ")",
    "(",
    ",",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!50000",
    "$1",
    "?",
    ":x",
    "@x",
    "$$",
    "$x$",
    "E'",
    "N'",
    "x'27'",
    "0x27",
    "%s",
    "{0}",
    " ",
    "=",
    "OR 1=1",
    "UNION SELECT * FROM victim",
    "DROP TABLE victim",
    "DELETE FROM victim",
    "UPDATE victim SET id = 2",
    "TRUNCATE victim",
    "COMMIT",
    "accounts",
    "CAST(",
    "NULL",
    "é",
    "漢",
    "\u{202e}",
    "\u{200b}",
    "＇",
];

fn attacks(fragments_max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(FRAGMENTS), 1..=fragments_max)
        .prop_map(|parts| parts.concat())
}

/// A place with a table that injected SQL would go for.
fn place_with_a_victim(server: Server) -> Workspace {
    let place = Workspace::on(server);
    place.table("victim", "id INTEGER", "id\n1\n");
    place
}

#[test]
fn no_value_is_taken_for_sql() {
    for server in Server::ALL {
        let place = place_with_a_victim(server);
        let config = Config {
            cases: 10,
            failure_persistence: None,
            max_shrink_iters: 60,
            ..Config::default()
        };
        let records = prop::collection::btree_map(attacks(5), attacks(8), 1..12);
        let run = TestRunner::new(config).run(&records, |records| {
            let records: Vec<(String, String)> = records
                .into_iter()
                .filter(|(key, _)| key.len() < 120)
                .collect();
            values_stay_values(&place, &records);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

/// Half of the records are there already, the others are created; then all are, and a second run
/// finds them.
fn values_stay_values(place: &Workspace, records: &[(String, String)]) {
    let server = place.server;
    place.execute("DROP TABLE IF EXISTS accounts");
    // Byte by byte also in MariaDB, whose own collations take blanks at the end for nothing.
    let binary = if server == Server::MariaDb {
        " COLLATE utf8mb4_nopad_bin"
    } else {
        ""
    };
    let columns = format!("id VARCHAR(400){binary} PRIMARY KEY, score INTEGER, note VARCHAR(800)");
    place.table("accounts", &columns, "");
    for (key, _) in records.iter().step_by(2) {
        place.execute(&format!(
            "INSERT INTO accounts (id) VALUES ({})",
            server.literal(key)
        ));
    }
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    writer
        .write_record(["id", "score", "note"])
        .expect("memory");
    for (key, note) in records {
        writer
            .write_record([key.as_str(), "7", note])
            .expect("memory");
    }
    place.scores("id TEXT PRIMARY KEY, score INTEGER, note TEXT", "");
    place
        .bytes("data/scores.csv", &writer.into_inner().expect("memory"))
        .job("matching = 'upsert'", FIELDS);
    let (count, there) = (records.len(), records.len().div_ceil(2));
    let inserted = if count > there {
        format!("{} inserted + ", count - there)
    } else {
        String::new()
    };
    let expected = match count {
        0 => "0 read".to_owned(),
        _ => format!("{count} read = {inserted}{there} updated"),
    };
    assert_eq!(place.run().summary(), expected, "{records:?}");
    for (key, note) in records {
        let exact = if server == Server::MariaDb {
            "BINARY "
        } else {
            ""
        };
        let (key_text, note_text) = (server.literal(key), server.literal(note));
        let query = format!(
            "SELECT count(*) AS n FROM accounts WHERE {exact}id = {key_text} AND {exact}note = {note_text}"
        );
        assert_eq!(place.query(&query), "n\n1\n", "{key:?} {note:?}");
    }
    assert_eq!(
        place.query("SELECT count(*) AS n FROM accounts"),
        format!("n\n{count}\n"),
        "{records:?}"
    );
    if let Some((key, _)) = records.first() {
        let test = place.command(&["test", "job", &format!("--record={}", record_argument(key))]);
        assert_eq!(test.code, 0, "{key:?}: {test}");
    }
    assert_eq!(place.rows("victim"), "id\n1\n", "{records:?}");
}

/// A key of one column as `--record` takes it: as CSV, quoted where it holds a comma or a quote.
fn record_argument(key: &str) -> String {
    match key.contains([',', '"', '\n', '\r']) || key.starts_with(' ') || key.ends_with(' ') {
        true => format!("\"{}\"", key.replace('"', "\"\"")),
        false => key.to_owned(),
    }
}

#[test]
fn no_name_is_taken_for_sql() {
    for server in Server::ALL {
        let place = place_with_a_victim(server);
        let config = Config {
            cases: 10,
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(&(attacks(3), attacks(3)), |(table, column)| {
            names_stay_names(
                &place,
                &short(&format!("t{table}")),
                &short(&format!("c{column}")),
            );
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

/// What every server takes as a name: at most 60 bytes, and no blank at the end.
fn short(name: &str) -> String {
    let end = (0..=name.len().min(60))
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}x", &name[..end])
}

fn names_stay_names(place: &Workspace, table: &str, column: &str) {
    let server = place.server;
    let (quoted_table, quoted_column) = (server.quote(table), server.quote(column));
    place.execute(&format!("DROP TABLE IF EXISTS {quoted_table}"));
    place.table(
        table,
        &format!("{quoted_column} VARCHAR(18) PRIMARY KEY, score INTEGER"),
        "",
    );
    place.execute(&format!(
        "INSERT INTO {quoted_table} ({quoted_column}) VALUES ('A1')"
    ));
    let sql_name = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let toml_text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    place.scores(
        &format!(
            "{} VARCHAR(18) PRIMARY KEY, score INTEGER",
            sql_name(column)
        ),
        "",
    );
    place.file(
        "data/scores.csv",
        &format!("{},score\nA1,7\nA2,8\n", sql_name(column)),
    );
    let settings = format!(
        "matching = 'upsert'\ntable = {}",
        toml_text(&sql_name(table))
    );
    let fields = format!(
        "{} = {}\nscore = 'score'",
        toml_text(&sql_name(column)),
        toml_text(column)
    );
    place.file(
        "schedules/job.toml",
        &write_back("scores", "", &settings, &fields),
    );
    let label = format!("table {table:?} column {column:?} on {server}");
    assert_eq!(
        place.run().summary(),
        "2 read = 1 inserted + 1 updated",
        "{label}"
    );
    assert_eq!(place.run().summary(), "2 read = 2 unchanged", "{label}");
    assert_eq!(
        place.query(&format!("SELECT score FROM {quoted_table}")),
        "score\n7\n8\n",
        "{label}"
    );
    let name = if server == Server::MariaDb {
        table.to_owned()
    } else {
        sql_name(table)
    };
    let schema = place.command(&["schema", "crm", "--", &name]);
    assert_eq!(schema.code, 0, "{label}: {schema}");
    assert_eq!(place.rows("victim"), "id\n1\n", "{label}");
    place.execute(&format!("DROP TABLE {quoted_table}"));
}
