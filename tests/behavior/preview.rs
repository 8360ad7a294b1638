//! What a run would do is shown before it happens, and showing it writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{FIELDS, SCORES, Server, Workspace};

/// One column of every sort: name, type of the schema, and what it may hold.
const COLUMNS: &[(&str, &str, [&str; 4])] = &[
    ("label", "VARCHAR(20)", ["", "low", "high", "Low"]),
    ("whole", "INTEGER", ["", "0", "-7", "2147483647"]),
    ("exact", "DECIMAL(12,4)", ["", "87.5", "-0.0001", "87.5001"]),
    ("single", "REAL", ["", "0.1", "16777216", "-1.5e20"]),
    (
        "wide",
        "DOUBLE PRECISION",
        ["", "1e22", "1.5e-300", "0.30000000000000004"],
    ),
    ("flag", "BOOLEAN", ["", "true", "false", "true"]),
    (
        "day",
        "DATE",
        ["", "2026-11-15", "2026-11-16", "1999-12-31"],
    ),
    (
        "at",
        "TIMESTAMP",
        [
            "",
            "2026-11-15 06:30:00",
            "2026-11-15 06:30:00.5",
            "2026-11-15 06:30:00.500001",
        ],
    ),
    (
        "moment",
        "TIMESTAMP WITH TIME ZONE",
        [
            "",
            "2026-11-15T06:30:00Z",
            "2026-11-15T07:30:00Z",
            "2026-11-15T06:30:00.1Z",
        ],
    ),
    ("doc", "JSON", ["", "{\"a\": 1}", "[1, 2]", "{\"b\": 1}"]),
];

/// The same columns in the destination.
fn columns_of(server: Server) -> String {
    let declared = |kind: &'static str| match (kind, server) {
        ("TIMESTAMP", _) => server.timestamp(),
        ("TIMESTAMP WITH TIME ZONE", _) => server.instant(),
        ("REAL", Server::MariaDb) => "FLOAT",
        _ => kind,
    };
    let columns = COLUMNS
        .iter()
        .map(|(name, kind, _)| format!(", {} {}", server.quote(name), declared(kind)));
    format!("id VARCHAR(18) PRIMARY KEY{}", columns.collect::<String>())
}

/// Sixteen records, in which each column holds what `choose` says for the record and the column,
/// out of four values.
fn records(choose: impl Fn(usize, usize) -> usize) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = COLUMNS.iter().map(|(name, ..)| *name);
    writer
        .write_record(["id"].into_iter().chain(names))
        .expect("memory");
    for record in 0..16 {
        let values = COLUMNS
            .iter()
            .enumerate()
            .map(|(column, (.., values))| values[choose(record, column) % 4]);
        writer
            .write_record([format!("A{record:02}").as_str()].into_iter().chain(values))
            .expect("memory");
    }
    String::from_utf8(writer.into_inner().expect("memory")).expect("text")
}

/// Each row's values by column; no text is empty here.
fn rows_of(place: &Workspace) -> Vec<BTreeMap<String, Option<String>>> {
    let text = place.rows("accounts");
    let rows = csv::Reader::from_reader(text.as_bytes()).into_deserialize();
    rows.map(|row| row.expect("a row")).collect()
}

/// What became of each column between two looks: changed, now NULL, no longer NULL.
fn counted(
    before: &[BTreeMap<String, Option<String>>],
    after: &[BTreeMap<String, Option<String>>],
) -> Value {
    let count = |name: &str, counts: fn(&Option<String>, &Option<String>) -> bool| {
        before
            .iter()
            .zip(after)
            .filter(|(before, after)| counts(&before[name], &after[name]))
            .count()
    };
    let column = |(name, ..): &(&str, &str, [&str; 4])| {
        json!({
            "column": name,
            "changed": count(name, |before, after| before != after),
            "becomes_null": count(name, |before, after| before.is_some() && after.is_none()),
            "stops_being_null": count(name, |before, after| before.is_none() && after.is_some()),
        })
    };
    COLUMNS.iter().map(column).collect()
}

#[test]
fn preview_counts_of_each_column_what_the_run_then_changes() {
    for server in Server::ALL {
        for (nulls, when) in [
            ("write", "always"),
            ("keep", "always"),
            ("write", "if_empty"),
        ] {
            let place = Workspace::on(server);
            let schema = COLUMNS
                .iter()
                .map(|(name, kind, _)| format!(", {name} {kind}"))
                .collect::<String>();
            place.table("accounts", &columns_of(server), "");
            let field = |(name, ..): &(&str, &str, [&str; 4])| {
                let when = if *name == "label" || *name == "exact" {
                    when
                } else {
                    "always"
                };
                format!("\n{name} = {{ column = '{name}', when = '{when}' }}")
            };
            let fields = format!("id = 'id'{}", COLUMNS.iter().map(field).collect::<String>());
            place.scores(
                &format!("id VARCHAR(18) PRIMARY KEY{schema}"),
                &records(|record, _| record),
            );
            place.job("matching = 'upsert'", &fields);
            assert_eq!(
                place.run().summary(),
                "16 read = 16 inserted",
                "on {server}"
            );

            place.file(
                "data/scores.csv",
                &records(|record, column| record / 4 + column),
            );
            place.job(&format!("nulls = '{nulls}'\nbatch_size = 5"), &fields);
            let preview = place.command(&["preview", "job", "--json"]).json();
            let before = rows_of(&place);
            place.run();
            let columns = preview["write_backs"][0]["columns"]
                .as_array()
                .expect("columns")
                .iter()
                .map(|column| {
                    json!({
                        "column": column["column"],
                        "changed": column["changed"],
                        "becomes_null": column["becomes_null"],
                        "stops_being_null": column["stops_being_null"],
                    })
                });
            let expected = counted(&before, &rows_of(&place));
            assert_eq!(
                columns.collect::<Value>(),
                expected,
                "{nulls}, {when} on {server}"
            );
            assert_ne!(expected[0]["changed"], 0, "something changes");
        }
    }
}

#[test]
fn preview_tells_numbers_and_frequent_changes_before_and_after() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,low,\nA2,20,low,\nA3,40,,\nA4,,high,\nA5,7,low,\n";
        let source = "id,score,note\nA1,1,high\nA2,2,high\nA3,,low\nA4,4,\nA5,7,low\nA9,100,new\n";
        let place = Workspace::accounts(server, rows, source);
        place.job("matching = 'upsert'\nbatch_size = 2", FIELDS);
        let preview = place.command(&["preview", "job", "--json"]).json();
        let write_back = &preview["write_backs"][0];
        assert_eq!(
            write_back["statements"],
            json!({ "look_ups": 3, "updates": 2, "inserts": 1 }),
            "on {server}"
        );
        let [score, note] = write_back["columns"]
            .as_array()
            .expect("columns")
            .as_slice()
        else {
            panic!("{preview:#}");
        };
        let spread = |records: u64, minimum: f64, median: f64, maximum: f64| json!({ "records": records, "minimum": minimum, "median": median, "maximum": maximum, "about": false });
        // A5 is unchanged, so that it counts nowhere; A9 is created.
        assert_eq!(
            score["numbers"]["before"],
            spread(3, 10.0, 20.0, 40.0),
            "on {server}"
        );
        assert_eq!(
            score["numbers"]["after"],
            spread(4, 1.0, 3.0, 100.0),
            "on {server}"
        );
        for (side, records) in [("before", 3), ("after", 4)] {
            let bars = score["numbers"]["histogram"][side]
                .as_array()
                .expect("bars");
            assert_eq!(
                bars.iter().filter_map(Value::as_u64).sum::<u64>(),
                records,
                "{side} on {server}"
            );
        }
        let pair = |before: Option<&str>, after: Option<&str>, records: u64| json!({ "before": before, "after": after, "records": records });
        let pairs = [
            pair(Some("low"), Some("high"), 2),
            pair(None, Some("low"), 1),
            pair(Some("high"), None, 1),
        ];
        assert_eq!(
            note["pairs"],
            json!({ "most_frequent": pairs, "distinct": 3 }),
            "on {server}"
        );
        assert_eq!(note["numbers"], Value::Null);

        let text = place.command(&["preview", "job"]).stdout;
        for part in [
            "3 look-ups, 2 updates, 1 insert",
            "10, 20, 40",
            "→ 1, 3, 100",
            "low → high (2)",
        ] {
            assert!(
                text.contains(part),
                "`{part}` is missing on {server}:\n{text}"
            );
        }
    }
}

#[test]
fn how_long_a_run_will_take_goes_by_earlier_runs_once_there_are_some() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    let expected = || {
        place.command(&["preview", "job", "--json"]).json()["write_backs"][0]["expected"].clone()
    };
    assert_eq!(expected()["from"], "reading");
    assert!(
        place
            .command(&["preview", "job"])
            .stdout
            .contains("no finished run to go by")
    );
    for runs in 1..=2 {
        place.run();
        assert_eq!(
            (&expected()["from"], &expected()["runs"]),
            (&json!("runs"), &json!(runs))
        );
    }
    assert!(
        place
            .command(&["preview", "job"])
            .stdout
            .contains("by the pace of its last 2 runs")
    );
    // Ten times as many records take ten times as long.
    let seconds = expected()["seconds"].as_f64().expect("seconds");
    let records: String = (1..=10).map(|id| format!("A{id},2,\n")).collect();
    place.file("data/scores.csv", &format!("id,score,note\n{records}"));
    let longer = expected()["seconds"].as_f64().expect("seconds");
    assert!((longer / seconds - 10.0).abs() < 1e-6, "{seconds} {longer}");
}

/// What a page is made of.
const TAGS: &str = "!DOCTYPE body caption code desc details div figcaption figure h1 h2 h3 head header html i line main \
    meta p polygon polyline rect section span strong style summary svg table tbody td text th thead time title tr";

#[test]
fn the_page_shows_every_value_as_text_and_loads_nothing() {
    for server in Server::ALL {
        let hostile = "\"><img src=x onerror=alert(1)>";
        let column = "<b>note</b>";
        let place = Workspace::on(server);
        let columns = format!(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, {} VARCHAR(40)",
            server.quote(column)
        );
        let quoted = hostile.replace('"', "\"\"");
        place.table(
            "accounts",
            &columns,
            &format!("id,score,{column}\n<script>x</script>,1,\nA2,2,\"{quoted}\"\nA3,3,x\n"),
        );
        place.scores(
            SCORES,
            &format!("id,score,note\n<script>x</script>,10,\"{quoted}\"\nA2,20,\nA3,30,</svg><script>\nA4,x,y\n"),
        );
        place.job(
            "",
            &format!("id = 'id'\nscore = 'score'\n'{column}' = 'note'"),
        );
        place.count_writes("accounts");
        let preview = place.command(&[
            "preview",
            "job",
            "--html",
            "page.html",
            "--cycle",
            "<u>now</u>",
        ]);
        assert_eq!(preview.code, 1, "a record would be rejected: {preview}");
        assert!(preview.stdout.contains("page: page.html"), "{preview}");
        assert_eq!(place.writes(), 0, "on {server}");

        let page = place.text("page.html");
        let tags = page
            .split('<')
            .skip(1)
            .map(|tag| tag.trim_start_matches('/').split([' ', '>', '/']).next());
        let foreign: Vec<&str> = tags
            .flatten()
            .filter(|tag| !TAGS.split(' ').any(|known| known == *tag))
            .collect();
        assert!(foreign.is_empty(), "{foreign:?} on {server}");
        assert!(
            !page.contains("url(") && !page.contains("@import"),
            "on {server}"
        );
        for part in [
            "&lt;script&gt;x&lt;/script&gt;",
            "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;",
            "&lt;b&gt;note&lt;/b&gt;",
            "&lt;u&gt;now&lt;/u&gt;",
            "default-src 'none'",
            "prefers-color-scheme: dark",
            "3 updated",
        ] {
            assert!(
                page.contains(part),
                "`{part}` is missing in the page on {server}"
            );
        }
        // Outcomes, the numbers of `score`, and the pairs of the note.
        assert_eq!(page.matches("<svg").count(), 3, "on {server}");
        let mode = fs::metadata(place.path("page.html"))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "values of records are their owner's");
    }
}

#[test]
fn a_page_takes_the_place_of_an_older_one_and_leaves_nothing_beside_it() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    place.file("pages/page.html", "an older one");
    assert_eq!(
        place
            .command(&["preview", "job", "--html", "pages/page.html", "--json"])
            .code,
        0
    );
    assert!(place.text("pages/page.html").starts_with("<!DOCTYPE html>"));
    assert_eq!(
        fs::read_dir(place.path("pages")).expect("a folder").count(),
        1
    );
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_that_says_what_to_do() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    place.count_writes("accounts");
    for (file, hint) in [
        (
            "none/page.html",
            "make the folder first, or name a file in one that is there",
        ),
        (
            "writeback.toml/page.html",
            "make the folder first, or name a file in one that is there",
        ),
        ("data", "that is a folder; name a file in it"),
    ] {
        let preview = place.command(&["preview", "job", "--html", file]);
        assert_eq!(
            (preview.code, preview.stdout.as_str()),
            (2, ""),
            "{preview}"
        );
        for part in [&format!("could not write `{file}`"), hint] {
            assert!(
                preview.stderr.contains(part),
                "`{part}` is missing: {preview}"
            );
        }
    }
    assert_eq!(place.writes(), 0);
    assert!(place.path("data").is_dir() && !place.path("data.partial").exists());
}

#[test]
fn preview_shows_counts_batches_and_old_and_new_values_and_writes_nothing() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,old,555\nA2,11,same,\nA5,1,,\n";
        let source = "id,score,note\nA1,20,new\nA2,11,same\nA9,30,x\nA5,x,\n";
        let place = Workspace::accounts(server, rows, source);
        place.count_writes("accounts");
        let preview = place.command(&["preview", "job"]);
        assert_eq!(preview.code, 1, "a record would be rejected: {preview}");
        for part in [
            "1 updated",
            "1 unchanged",
            "1 skipped",
            "1 rejected",
            "10",
            "20",
            "old",
            "new",
        ] {
            assert!(
                preview.stdout.contains(part),
                "`{part}` is missing on {server}: {preview}"
            );
        }
        assert_eq!(
            (place.rows("accounts"), place.writes()),
            (rows.to_owned(), 0),
            "on {server}"
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 1 updated + 1 unchanged + 1 skipped + 1 rejected",
            "on {server}"
        );
    }
}

#[test]
fn preview_tells_machines_the_same_numbers_that_the_run_will() {
    for server in Server::ALL {
        for mode in ["update_only", "upsert", "create_only"] {
            let rows = "id,score,note,phone\nA1,10,old,555\nA2,11,same,\nA5,1,,\n";
            let source = "id,score,note\nA1,20,new\nA2,11,same\nA9,30,x\nA5,x,\nA7,1,\nA7,2,\n";
            let place = Workspace::accounts(server, rows, source);
            place.job(&format!("matching = '{mode}'\nbatch_size = 2"), FIELDS);
            let preview = place.command(&["preview", "job", "--json"]);
            let run = place.run();
            for count in [
                "read",
                "inserted",
                "updated",
                "unchanged",
                "skipped",
                "rejected",
                "batches",
            ] {
                let of = |ran: &crate::harness::Ran| ran.json()["write_backs"][0][count].clone();
                assert_eq!(
                    of(&preview),
                    of(&run),
                    "`{count}` of {mode} on {server}: {preview}\n{run}"
                );
            }
        }
    }
}

#[test]
fn a_preview_is_not_a_run_in_history() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    assert_eq!(place.command(&["preview", "job"]).code, 0);
    assert_eq!(
        place.command(&["runs", "--json"]).json()["runs"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    assert_eq!(place.run().run(), 1);
}
