//! Values arrive exactly as they left, on every database, or their record is rejected.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Server, Workspace};

/// One type: what the schema says, what each server's column is, values, and the texts that servers
/// give them back as where they differ from the value.
pub(crate) struct Trip {
    pub(crate) schema: &'static str,
    pub(crate) object: fn(Server) -> &'static str,
    pub(crate) values: &'static [&'static str],
}

impl Trip {
    /// A job whose records 0, 1, … bring the values, and 999 a NULL, to rows of `accounts` that
    /// hold nothing in `v`.
    pub(crate) fn place(&self, server: Server) -> Workspace {
        let place = Workspace::on(server);
        let ids: String = (0..self.values.len())
            .map(|index| format!("{index}\n"))
            .collect();
        let columns = format!("id INTEGER PRIMARY KEY, v {}", (self.object)(server));
        place.table("accounts", &columns, &format!("id\n{ids}999\n"));
        place.scores(
            &format!("id INTEGER PRIMARY KEY, v {}", self.schema),
            &source(self.values),
        );
        place.job("", "id = 'id'\nv = 'v'");
        place
    }

    pub(crate) fn label(&self, server: Server) -> String {
        format!("{} to {} on {server}", self.schema, (self.object)(server))
    }

    /// The values, each in its neighbour's place.
    pub(crate) fn turned(&self) -> Vec<&'static str> {
        let mut turned = self.values.to_vec();
        turned.rotate_left(1);
        turned
    }

    /// A source in which every value gives way to its neighbour, and the NULL to a value.
    pub(crate) fn turned_source(&self) -> String {
        let plain = self
            .values
            .iter()
            .find(|value| !value.contains(['"', ',', '\n', '\r']))
            .unwrap_or(&"");
        let csv = source(&self.turned());
        let turned = csv.strip_suffix("999,\n").expect("NULL comes last");
        format!("{turned}999,{plain}\n")
    }
}

pub(crate) const TRIPS: &[Trip] = &[
    Trip {
        schema: "TEXT",
        object: |_| "VARCHAR(200)",
        values: &[
            "plain",
            " blanks ",
            "it's",
            "say \"hi\"",
            "a,b",
            "line\nbreak",
            "cr\r\nlf",
            "back\\slash",
            "tab\t",
            "%_",
            "日本語",
            "عربي",
            "🚀",
            "e\u{301}",
            "\u{feff}bom",
            "NULL",
            "true",
            "-0",
            "00123",
            "$1",
            "${x}",
            "?",
            "'; DROP TABLE accounts; --",
        ],
    },
    Trip {
        schema: "SMALLINT",
        object: |_| "SMALLINT",
        values: &["0", "-32768", "32767"],
    },
    Trip {
        schema: "INTEGER",
        object: |_| "INTEGER",
        values: &["0", "-2147483648", "2147483647"],
    },
    Trip {
        schema: "BIGINT",
        object: |_| "BIGINT",
        values: &[
            "-9223372036854775808",
            "9223372036854775807",
            "9007199254740993",
        ],
    },
    Trip {
        schema: "DECIMAL(5,2)",
        object: |_| "DECIMAL(5,2)",
        values: &["0.01", "-999.99", "999.99", "87.5", "1.1"],
    },
    Trip {
        schema: "DOUBLE PRECISION",
        object: |_| "DOUBLE PRECISION",
        values: &["0.1", "1.5e300", "-2.5e-300", "3.141592653589793", "1e22"],
    },
    Trip {
        schema: "REAL",
        object: Server::real,
        values: &["0.1", "-1.5", "16777216"],
    },
    Trip {
        schema: "BOOLEAN",
        object: |_| "BOOLEAN",
        values: &["true", "false"],
    },
    Trip {
        schema: "DATE",
        object: |_| "DATE",
        values: &["2026-11-15", "1000-01-01", "9999-12-31", "2024-02-29"],
    },
    Trip {
        schema: "TIME",
        object: Server::time,
        values: &["00:00:00", "23:59:59.999999", "06:30:00.5"],
    },
    Trip {
        schema: "TIMESTAMP",
        object: Server::timestamp,
        values: &[
            "2026-11-15 06:30:00",
            "1970-01-01 00:00:00.000001",
            "9999-12-31 23:59:59.999999",
            "2026-03-29 02:30:00",
        ],
    },
    Trip {
        schema: "TIMESTAMP WITH TIME ZONE",
        object: Server::instant,
        values: &[
            "2026-11-15 06:30:00+00:00",
            "2026-11-15T06:30:00.25-05:00",
            "2037-12-31 23:59:59.999999Z",
        ],
    },
    Trip {
        schema: "UUID",
        object: |_| "UUID",
        values: &["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
    },
    Trip {
        schema: "JSON",
        object: |_| "JSON",
        values: &[
            r#"{"a": [1, 2.50, null], "b": "x'\"y"}"#,
            "[]",
            "\"text\"",
            "[12345678901234567890.123]",
        ],
    },
];

#[test]
fn every_type_arrives_and_is_then_unchanged() {
    for server in Server::ALL {
        for trip in TRIPS {
            let place = trip.place(server);
            let count = trip.values.len();
            let label = trip.label(server);
            assert_eq!(
                place.run().summary(),
                format!("{} read = {count} updated + 1 unchanged", count + 1),
                "{label}"
            );
            assert_eq!(
                place.run().summary(),
                format!("{0} read = {0} unchanged", count + 1),
                "{label}, again"
            );
            for (index, value) in trip.values.iter().enumerate() {
                let query = format!(
                    "SELECT count(*) AS n FROM accounts WHERE id = {index} AND {}",
                    server.equals(trip.schema, value)
                );
                assert_eq!(
                    place.query(&query),
                    "n\n1\n",
                    "{value:?} of {label}: {}",
                    place.rows("accounts")
                );
            }
        }
    }
}

/// The records of [`every_type_arrives_and_is_then_unchanged`]: the values, numbered, and a NULL.
pub(crate) fn source(values: &[&str]) -> String {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Necessary)
        .from_writer(Vec::new());
    writer.write_record(["id", "v"]).expect("memory");
    for (index, value) in values.iter().enumerate() {
        writer
            .write_record([index.to_string().as_str(), value])
            .expect("memory");
    }
    String::from_utf8(writer.into_inner().expect("memory")).expect("UTF-8") + "999,\n"
}

#[test]
fn what_a_type_cannot_hold_is_rejected_by_the_schema() {
    let place = Workspace::on(Server::Sqlite);
    place.table("accounts", "id INTEGER PRIMARY KEY, v TEXT", "");
    for (schema, values) in [
        ("VARCHAR(3)", &["abcd"][..]),
        ("SMALLINT", &["32768", "1.0", "", "x", " 1"]),
        ("INTEGER", &["2147483648", "1e3", "0x10"]),
        ("BIGINT", &["9223372036854775808"]),
        (
            "DECIMAL(5,2)",
            &["1000", "1.005", "NaN", "1,000", "Infinity"],
        ),
        ("DOUBLE PRECISION", &["NaN", "inf", "1e999", "abc"]),
        ("BOOLEAN", &["maybe", "2"]),
        ("DATE", &["2026-02-29", "15.11.2026", "2026-13-01"]),
        (
            "TIME",
            &["24:00:00", "12:60:00", "12:00:60", "12:00:00.0000001"],
        ),
        (
            "TIMESTAMP",
            &[
                "2026-11-15 06:30:00Z",
                "2026-11-15",
                "2026-11-15 06:30:00.1234567",
            ],
        ),
        ("TIMESTAMP WITH TIME ZONE", &["2026-11-15 06:30:00"]),
        ("UUID", &["not-a-uuid"]),
        ("JSON", &["{", "{'a': 1}"]),
    ] {
        let rows: String = values
            .iter()
            .enumerate()
            .map(|(id, value)| format!("{id},\"{value}\"\n"))
            .collect();
        place.scores(
            &format!("id INTEGER PRIMARY KEY, v {schema}"),
            &format!("id,v\n{rows}"),
        );
        place.job("", "id = 'id'\nv = 'v'");
        let run = place.run();
        assert_eq!(
            run.summary(),
            format!("{0} read = {0} rejected", values.len()),
            "{schema}"
        );
        let rejected = place.rejected(run.run());
        assert!(
            rejected.lines().all(|line| line.contains(",schema,v,")),
            "{schema}: {rejected}"
        );
    }
}

#[test]
fn random_decimals_and_texts_arrive_exactly_or_are_rejected() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let config = Config {
            cases: 12,
            failure_persistence: None,
            max_shrink_iters: 60,
            ..Config::default()
        };
        let texts = prop::collection::vec(
            any::<String>().prop_map(|text| text.chars().take(20).collect::<String>()),
            1..20,
        );
        let decimals = prop::collection::vec("-?[0-9]{1,9}(\\.[0-9]{1,6})?", 1..20);
        let run = TestRunner::new(config).run(&(texts, decimals), |(texts, decimals)| {
            random_values_arrive(&place, &texts, &decimals);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

fn random_values_arrive(place: &Workspace, texts: &[String], decimals: &[String]) {
    place.execute("DROP TABLE IF EXISTS accounts");
    let count = texts.len().min(decimals.len());
    let ids: String = (0..count).map(|id| format!("{id}\n")).collect();
    place.table(
        "accounts",
        "id INTEGER PRIMARY KEY, v VARCHAR(40), d DECIMAL(12,4)",
        &format!("id\n{ids}"),
    );
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    writer.write_record(["id", "v", "d"]).expect("memory");
    for (id, (text, decimal)) in texts.iter().zip(decimals).enumerate() {
        writer
            .write_record([id.to_string().as_str(), text, decimal])
            .expect("memory");
    }
    place
        .scores("id INTEGER PRIMARY KEY, v TEXT, d DECIMAL", "")
        .bytes("data/scores.csv", &writer.into_inner().expect("memory"));
    place.job("", "id = 'id'\nv = 'v'\nd = 'd'");
    let run = place.run();
    let summary = run.summary();
    let rejected = place.rejected(run.run());
    let is_rejected = |id: usize| {
        rejected
            .lines()
            .any(|line| line.starts_with(&format!("scores,{},{id},", id + 1)))
    };
    for (id, (text, decimal)) in texts.iter().zip(decimals).enumerate() {
        let fits =
            decimal_fits(decimal) && (place.server == Server::MariaDb || !text.contains('\0'));
        assert_eq!(
            fits,
            !is_rejected(id),
            "{text:?} {decimal} after {summary}: {rejected}"
        );
        let condition = format!("{} AND d = {decimal}", place.server.equals("TEXT", text));
        let left = if fits {
            format!("SELECT count(*) AS n FROM accounts WHERE id = {id} AND {condition}")
        } else {
            format!(
                "SELECT count(*) AS n FROM accounts WHERE id = {id} AND v IS NULL AND d IS NULL"
            )
        };
        assert_eq!(place.query(&left), "n\n1\n", "{text:?} {decimal}");
    }
    let again = place.run().summary();
    assert!(!again.contains("updated"), "{again}");
}

/// Whether a decimal's text fits `DECIMAL(12,4)`: at most 8 digits before the point and 4 after,
/// zeros aside.
fn decimal_fits(decimal: &str) -> bool {
    let (whole, fraction) = decimal
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or((decimal.trim_start_matches('-'), ""));
    whole.trim_start_matches('0').len() <= 8 && fraction.trim_end_matches('0').len() <= 4
}
