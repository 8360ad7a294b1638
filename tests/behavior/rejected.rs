//! Records that are not written: who says so, why, and that nobody else suffers.

use polars::prelude::{ParquetReader, SerReader};

use crate::harness::{Does, FIELDS, SCORES, Server, Workspace};

#[test]
fn every_rejection_names_record_key_stage_column_and_reason() {
    let place = Workspace::on(Server::Sqlite);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), note VARCHAR(10)",
        "id\nA1\nA2\nA3\nA4\nA5\nA6\n",
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2) NOT NULL, note TEXT",
        "id,score,note\nA1,101.555,x\nA2,n/a,x\nA3,,x\nA4,1,a text too long\n,1,x\nA6,6,six\n",
    );
    place.job("", FIELDS);
    let run = place.run();
    assert_eq!(run.summary(), "6 read = 1 updated + 5 rejected");
    let places: Vec<String> = place
        .rejected(run.run())
        .lines()
        .map(|line| line.split(',').take(5).collect::<Vec<_>>().join(","))
        .collect();
    let expected = [
        "scores,1,A1,schema,score",
        "scores,2,A2,schema,score",
        "scores,3,A3,schema,score",
        "scores,4,A4,mapping,note",
        "scores,5,,schema,id",
    ];
    assert_eq!(places, expected);
    for value in ["101.555", "n/a", "a text too long"] {
        assert!(
            !place.rejected(run.run()).contains(value),
            "a record's value is printed"
        );
    }
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,,\nA2,,\nA3,,\nA4,,\nA5,,\nA6,6,six\n"
    );
}

#[test]
fn a_refused_batch_loses_only_the_records_at_fault() {
    for server in Server::ALL {
        for batch_size in [1, 3, 5000] {
            let place = Workspace::on(server);
            let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, CONSTRAINT score_limit CHECK (score < 100)";
            let ids: Vec<String> = (10..30).map(|number| format!("A{number}")).collect();
            place.table("accounts", columns, &format!("id\n{}\n", ids.join("\n")));
            let bad = ["A10", "A17", "A18", "A29"];
            let score = |id: &String| if bad.contains(&id.as_str()) { 100 } else { 7 };
            let source: String = ids
                .iter()
                .map(|id| format!("{id},{}\n", score(id)))
                .collect();
            place.scores(
                "id VARCHAR(18) PRIMARY KEY, score INTEGER",
                &format!("id,score\n{source}"),
            );
            place.job(
                &format!("batch_size = {batch_size}"),
                "id = 'id'\nscore = 'score'",
            );
            let run = place.run();
            assert_eq!(
                run.summary(),
                "20 read = 16 updated + 4 rejected",
                "batches of {batch_size} on {server}"
            );
            let rejected = place.rejected(run.run());
            for (line, id) in rejected.lines().zip(bad) {
                assert!(
                    line.contains(&format!(",{id},destination,")),
                    "{id} on {server}: {line}"
                );
                assert!(
                    line.contains("score_limit"),
                    "the database's own words are missing on {server}: {line}"
                );
            }
            let count = place.query("SELECT count(*) AS n FROM accounts WHERE score = 7");
            assert_eq!(count, "n\n16\n", "batches of {batch_size} on {server}");
        }
    }
}

#[test]
fn a_trigger_may_refuse_a_record_in_its_own_words() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\nA2,1,,\n",
            "id,score,note\nA1,2,\nA2,13,\n",
        );
        let refused = Does::Refuse("we do not do thirteen");
        place.trigger("unlucky", "UPDATE ON accounts", "NEW.score = 13", refused);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "2 read = 1 updated + 1 rejected",
            "on {server}"
        );
        assert!(
            place.rejected(run.run()).contains("we do not do thirteen"),
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,2,,\nA2,1,,\n",
            "on {server}"
        );
    }
}

#[test]
fn every_record_of_a_run_may_be_rejected() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\n",
            "id,score,note\nA1,x,\nA2,y,\n",
        );
        assert_eq!(place.run().summary(), "2 read = 2 rejected", "on {server}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,1,,\n",
            "on {server}"
        );
    }
}

#[test]
fn a_spreadsheet_takes_nothing_in_rejected_csv_for_a_formula() {
    let formulas = [
        "=1+1",
        "=HYPERLINK(\"http://x\")",
        "+1",
        "-1",
        "@SUM",
        "\tx",
        "\rx",
        "a,\"b\"",
    ];
    for server in Server::ALL {
        let place = Workspace::on(server);
        let mut writer = csv::WriterBuilder::new()
            .quote_style(csv::QuoteStyle::Always)
            .from_writer(Vec::new());
        writer
            .write_record(["id", "score", "note"])
            .expect("memory");
        for formula in formulas {
            writer
                .write_record([formula, "x", formula])
                .expect("memory");
            writer
                .write_record([&format!("{formula}."), "7", formula])
                .expect("memory");
        }
        place.table(
            "accounts",
            "id VARCHAR(60) PRIMARY KEY, score INTEGER, note VARCHAR(60)",
            "",
        );
        place.scores(
            "id VARCHAR(60) PRIMARY KEY, score INTEGER, note VARCHAR(60)",
            "",
        );
        place
            .bytes("data/scores.csv", &writer.into_inner().expect("memory"))
            .job("matching = 'upsert'", FIELDS);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "16 read = 8 inserted + 8 rejected",
            "on {server}"
        );
        let file = std::fs::read(place.run_file(run.run(), "rejected.csv")).expect("a file");
        let mut cells = csv::Reader::from_reader(file.as_slice())
            .into_records()
            .map(|record| record.expect("CSV"));
        assert!(cells.all(|record| {
            record
                .iter()
                .all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r']))
        }));
        // The data itself is never altered, nor is what machines read.
        let outcomes =
            std::fs::File::open(place.run_file(run.run(), "outcomes.parquet")).expect("a file");
        let outcomes = ParquetReader::new(outcomes).finish().expect("Parquet");
        let keys = outcomes
            .column("key")
            .expect("a column")
            .str()
            .expect("text")
            .clone();
        for formula in formulas {
            let key = if formula.contains(',') {
                "\"a,\"\"b\"\"\"".to_owned()
            } else {
                formula.to_owned()
            };
            let quoted = format!("\"{}\"", formula.replace('"', "\"\""));
            assert!(
                keys.iter()
                    .flatten()
                    .any(|text| text == key || text == quoted),
                "{formula:?} on {server}: {keys:?}"
            );
            let (id, note) = (
                server.literal(&format!("{formula}.")),
                server.literal(formula),
            );
            let query = format!(
                "SELECT count(*) AS n FROM accounts WHERE id = {id} AND note = {note} AND score = 7"
            );
            assert_eq!(place.query(&query), "n\n1\n", "{formula:?} on {server}");
        }
    }
}

#[test]
fn a_malformed_line_of_a_file_is_one_rejected_record() {
    let place = Workspace::accounts(Server::Sqlite, "id,score,note,phone\nA1,1,,\nA4,1,,\n", "");
    place.bytes(
        "data/scores.csv",
        b"id,score,note\nA1,2,x\nA2,2\nA3,2,\xff\xfe\nA4,2,y\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 2 updated + 2 rejected");
    let rejected = place.rejected(run.run());
    let reasons = [
        "line 3 of `scores.csv` has 2 cells where the header has 3",
        "not UTF-8 at byte 31 of the file",
    ];
    assert!(
        reasons.iter().all(|reason| rejected.contains(reason)),
        "{rejected}"
    );
}

#[test]
fn a_quote_that_is_never_closed_refuses_the_file_by_its_line_and_nothing_is_written() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,1,,\nA2,1,,\nA3,1,,\n";
        let place = Workspace::accounts(server, rows, "");
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,2,\"x\"\nA2,2,\"never closed\nA3,2,y\n",
        );
        let run = place.run();
        assert_eq!(run.code, 2, "on {server}: {run}");
        let reason =
            "line 3 of `scores.csv`, cell 3 (`note`): the quote that opens here is never closed";
        assert!(run.stderr.contains(reason), "on {server}: {run}");
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn a_file_of_a_header_alone_has_no_records_and_changes_nothing() {
    for (file, text) in [
        ("scores.csv", "id,score,note\n"),
        ("scores.csv", "\u{feff}id,score,note"),
        ("scores.ndjson", ""),
    ] {
        let rows = "id,score,note,phone\nA1,1,,\n";
        let place = Workspace::accounts(Server::Sqlite, rows, "");
        std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
        place.file(&format!("data/{file}"), text);
        assert_eq!(
            place.run().code,
            3,
            "nobody said that the source may be empty: {file} {text:?}"
        );
        place.job("min_read = 0", FIELDS);
        assert_eq!(place.run().summary(), "0 read", "{file} {text:?}");
        assert_eq!(place.rows("accounts"), rows, "{file} {text:?}");
    }
}

#[test]
fn a_violated_foreign_key_rejects_the_record_alone() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table("owners", "id INTEGER PRIMARY KEY", "id\n1\n2\n");
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), \
                       CONSTRAINT known_owner FOREIGN KEY (score) REFERENCES owners (id)";
        place.table("accounts", columns, "id,score\nA1,1\nA2,1\n");
        place
            .scores(SCORES, "id,score,note\nA1,2,\nA2,9,\nA3,2,\nA4,9,\n")
            .job("matching = 'upsert'", FIELDS);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "4 read = 1 inserted + 1 updated + 2 rejected",
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note\nA1,2,\nA2,1,\nA3,2,\n",
            "on {server}"
        );
    }
}

#[test]
fn rejected_csv_shows_each_value_at_fault_and_the_screen_sums_reasons_up() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\nA2,2,,\nA3,3,,\n",
        "",
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(4)",
        "id,score,note\nA1,x1,far too long\nA2,-x2,n\nA3,3,n\nA9,4,n\n",
    );
    let run = place.command(&["run", "job"]);
    assert_eq!(run.code, 1, "{run}");
    let file = std::fs::read_to_string(place.run_file(1, "rejected.csv")).expect("text");
    assert_eq!(
        file,
        "\u{feff}write_back,record,file,line,key,stage,column,value,reason\n\
         scores,1,scores.csv,2,A1,schema,score,x1,not a number\n\
         scores,1,scores.csv,2,A1,schema,note,far too long,\"12 characters, VARCHAR(4) holds 4\"\n\
         scores,2,scores.csv,3,A2,schema,score,'-x2,not a number\n"
    );
    assert!(
        run.stdout.contains("        2 × score: not a number\n"),
        "{run}"
    );
    let skipped = std::fs::read_to_string(place.run_file(1, "scores/skipped.csv")).expect("text");
    assert_eq!(skipped, "\u{feff}record,key,reason\n4,A9,no match\n");
    assert!(
        run.stdout
            .contains("skipped records: .writeback/runs/1/scores/skipped.csv"),
        "{run}"
    );
}

#[test]
fn records_without_a_row_are_named_before_and_after_and_none_with_one_is_no_success() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nB1,1,,\n",
        "id,score,note,phone\nA1,1,,\nA2,2,,\n",
    );
    let preview = place.command(&["preview", "job", "--limit", "1"]);
    assert_eq!(preview.code, 0, "{preview}");
    assert!(
        preview
            .stdout
            .contains("2 skipped records, the first 1:\n  A1  no match\n"),
        "{preview}"
    );
    let run = place.command(&["run", "job"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stdout
            .contains("scores: no record has a row in the destination\nhint: compare a key"),
        "{run}"
    );
    let again = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(again.code, 1, "{again}");
    assert_eq!(again.json()["write_backs"][0]["matched_nothing"], true);
    let told = place.command(&["runs", "1"]);
    let lines: Vec<&str> = told.stdout.lines().map(str::trim_end).collect();
    assert!(
        lines.ends_with(&[
            " write-back  record  key  skipped",
            " scores           1  A1   no match",
            " scores           2  A2   no match",
        ]),
        "{told}"
    );
    let machines = place.command(&["runs", "1", "--json"]).json();
    assert_eq!(
        machines["skipped"][1],
        serde_json::json!({ "write_back": "scores", "record": 2, "key": "A2", "reason": "no match" })
    );
}

#[test]
fn times_are_told_on_the_readers_clock_and_to_machines_in_utc() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note,phone\nA1,2,,\n",
    );
    let run = place.command(&["run", "job"]);
    assert_eq!(run.code, 0, "{run}");
    let in_utc = place.command(&["runs"]);
    assert!(in_utc.stdout.contains("started (UTC)"), "{in_utc}");
    // Two zones without summer time.
    let (india, gulf) = (("Asia/Kolkata", " IST "), ("Asia/Dubai", " +04 "));
    let asked = place.command_with(&["runs", "--timezone", india.0], &[("TZ", gulf.0)]);
    assert!(
        asked.stdout.contains(india.1) && !asked.stdout.contains("(UTC)"),
        "{asked}"
    );
    let of_process = place.command_with(&["runs"], &[("TZ", gulf.0)]);
    assert!(of_process.stdout.contains(gulf.1), "{of_process}");
    let unknown = place.command_with(&["runs"], &[("TZ", "CET-1CEST")]);
    assert_eq!(unknown.stdout, in_utc.stdout);
    let machines = place.command_with(&["runs", "--json"], &[("TZ", gulf.0)]);
    assert_eq!(machines.stdout, place.command(&["runs", "--json"]).stdout);
    let wrong = place.command(&["runs", "--timezone", "Mars/Olympus"]);
    assert_eq!(wrong.code, 2, "{wrong}");
    assert!(
        wrong.stderr.contains("a time zone is a name such as UTC"),
        "{wrong}"
    );
}

/// File and line of each record in `rejected.csv`, with its key.
fn lines(place: &Workspace, run: i64) -> Vec<String> {
    let text = std::fs::read_to_string(place.run_file(run, "rejected.csv")).expect("text");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let of_line = |line: csv::Result<csv::StringRecord>| {
        let line = line.expect("CSV");
        let cells: Vec<&str> = [4, 2, 3].iter().map(|cell| &line[*cell]).collect();
        cells.join(" ")
    };
    reader.records().map(of_line).collect()
}

#[test]
fn a_rejected_record_is_found_by_file_and_line_whoever_refused_it() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\nA2,2,,\nA3,3,,\nB1,1,,\nB2,2,,\n",
        "",
    );
    let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note TEXT";
    place.scores(columns, "");
    std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
    // A record of three lines, an empty line, a malformed one, and one that only the table refuses.
    place
        .file(
            "data/scores/part-0.csv",
            "id,score,note\nA1,1,\"three\nlines\n.\"\n\nA2,x,n\nA3,3\n",
        )
        .file("data/scores/part-1.csv", "id,score,note\nB1,5,n\nB2,7,n\n")
        .execute(
            "CREATE TRIGGER guard BEFORE UPDATE ON accounts WHEN new.score = 7 \
             BEGIN SELECT RAISE(ABORT, 'no seven'); END",
        );
    let run = place.command(&["run", "job"]);
    assert_eq!(run.code, 1, "{run}");
    let expected = [
        "A2 scores/part-0.csv 6",
        " scores/part-0.csv 7",
        "B2 scores/part-1.csv 3",
    ];
    assert_eq!(lines(&place, 1), expected, "{run}");

    std::fs::remove_dir_all(place.path("data/scores")).expect("a folder");
    place.file(
        "data/scores.ndjson",
        "{\"id\": \"A1\", \"score\": 2, \"note\": null}\n\n{\"id\": \"B2\", \"score\": 7}\n",
    );
    let run = place.command(&["run", "job", "--again"]);
    assert_eq!(run.code, 1, "{run}");
    assert_eq!(lines(&place, 2), ["B2 scores.ndjson 3"], "{run}");

    std::fs::remove_file(place.path("data/scores.ndjson")).expect("a file");
    let mut frame = polars::prelude::df!(
        "id" => ["A1", "A3", "B2"], "score" => [4_i64, 5, 7], "note" => ["", "", ""],
    )
    .expect("columns");
    let file = std::fs::File::create(place.path("data/scores.parquet")).expect("a file");
    polars::prelude::ParquetWriter::new(file)
        .finish(&mut frame)
        .expect("Parquet");
    let run = place.command(&["run", "job", "--again"]);
    assert_eq!(run.code, 1, "{run}");
    assert_eq!(lines(&place, 3), ["B2 scores.parquet 3"], "{run}");
}
