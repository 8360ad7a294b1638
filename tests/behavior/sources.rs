//! Where records come from: files of three kinds, three databases, tables and models.

use polars::prelude::{Column, DataFrame, ParquetWriter};

use crate::harness::{FIELDS, SCORES, Server, Workspace};

const ROWS: &str = "id,score,note\nA1,1,\nA2,1,\nA3,1,\n";

/// A destination in SQLite for tests about sources.
fn place() -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", SCORES, ROWS)
        .scores(SCORES, "")
        .job("", FIELDS);
    std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
    place
}

#[test]
fn csv_files_may_come_from_any_spreadsheet() {
    for (text, name) in [
        (
            "\u{feff}id,score,note\r\nA1,2,\"a\r\nb\"\r\nA2,2,\"\"\r\nA3,2,\r\n",
            "byte order mark and carriage returns",
        ),
        (
            "note,extra,score,id\n\"a\r\nb\",x,2,A1\n\"\",x,2,A2\n,x,2,A3",
            "another order, one more column, no last line break",
        ),
    ] {
        let place = place();
        place.file("data/scores.csv", text);
        assert_eq!(place.run().summary(), "3 read = 3 updated", "{name}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note\nA1,2,\"a\r\nb\"\nA2,2,\"\"\nA3,2,\n",
            "{name}"
        );
    }
}

#[test]
fn newline_delimited_json_keeps_every_digit() {
    let place = Workspace::on(Server::Postgres);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, score DECIMAL(38,10), note TEXT",
        "id\nA1\nA2\nA3\n",
    );
    place
        .scores(
            "id VARCHAR(18) PRIMARY KEY, score DECIMAL(38,10), note TEXT",
            "",
        )
        .job("", FIELDS);
    std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
    place.file(
        "data/scores.ndjson",
        "{\"id\": \"A1\", \"score\": 1234567890123456789.0123456789, \"note\": \"\\u00e9\\n\"}\n\n\
         {\"note\": null, \"id\": \"A2\", \"score\": 1e-7}\n\
         {\"id\": \"A3\", \"note\": \"\", \"score\": \"5\"}\n{\"id\": \"A4\"\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 3 updated + 1 rejected");
    let expected = "id,score,note\nA1,1234567890123456789.0123456789,\"é\n\"\nA2,0.0000001000,\nA3,5.0000000000,\"\"\n";
    assert_eq!(place.rows("accounts"), expected);
    assert!(
        place.rejected(run.run()).contains("line 5 of"),
        "{}",
        place.rejected(run.run())
    );
}

#[test]
fn parquet_files_keep_their_types() {
    let place = place();
    let mut frame = DataFrame::new(
        3,
        vec![
            Column::new("id".into(), ["A1", "A2", "A9"]),
            Column::new("score".into(), [Some(2_i64), None, Some(3)]),
            Column::new("note".into(), [Some("x"), Some(""), None]),
        ],
    )
    .expect("columns of one length");
    let file = std::fs::File::create(place.path("data/scores.parquet")).expect("a new file");
    ParquetWriter::new(file)
        .finish(&mut frame)
        .expect("a written file");
    assert_eq!(place.run().summary(), "3 read = 2 updated + 1 skipped");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,2,x\nA2,,\"\"\nA3,1,\n"
    );
}

#[test]
fn a_model_over_files_joins_and_calculates() {
    let place = place();
    place
        .file(
            "data/raw.csv",
            "id,points,weight\nA1,10,2\nA2,4,1\nA3,1,9\n",
        )
        .file(
            "data/owners.ndjson",
            "{\"id\": \"A1\", \"owner\": \"o'neil\"}\n{\"id\": \"A2\", \"owner\": null}\n",
        );
    place.file(
        "sql/scores.sql",
        &format!(
            "CREATE TABLE scores ({SCORES});\n-- the model\n\
             SELECT raw.id, CAST(points AS BIGINT) * CAST(weight AS BIGINT) AS score, owner AS note\n\
             FROM raw JOIN owners ON raw.id = owners.id;\n"
        ),
    );
    assert_eq!(place.run().summary(), "2 read = 2 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,20,o'neil\nA2,4,\nA3,1,\n"
    );
}

#[test]
fn a_database_may_be_the_source_by_table_and_by_model() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place.table("accounts", SCORES, ROWS);
        place.table(
            "exported",
            SCORES,
            "id,score,note\nA1,2,\"a,\"\"b\"\"\nc\"\nA2,,\"\"\nA9,3,x\n",
        );
        let table = format!("CREATE TABLE exported ({SCORES});\n");
        place
            .file("sql/scores.sql", &table)
            .job("source = 'crm'", FIELDS);
        assert_eq!(
            place.run().summary(),
            "3 read = 2 updated + 1 skipped",
            "on {server}"
        );
        let expected = "id,score,note\nA1,2,\"a,\"\"b\"\"\nc\"\nA2,,\"\"\nA3,1,\n";
        assert_eq!(place.rows("accounts"), expected, "on {server}");

        let both = server.joined(&["note", "'!'"]);
        place.file(
            "sql/scores.sql",
            &format!("{table}SELECT id, score * 2 AS score, {both} AS note\nFROM exported WHERE score > 1\n"),
        );
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 skipped",
            "on {server}"
        );
        assert!(
            place.rows("accounts").contains("A1,4,\"a,\"\"b\"\"\nc!\""),
            "on {server}: {}",
            place.rows("accounts")
        );
    }
}

#[test]
fn every_type_travels_from_database_to_database() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let (timestamp, instant) = (server.timestamp(), server.instant());
        let float = server.real();
        let columns = format!(
            "id INTEGER PRIMARY KEY, a BIGINT, b DECIMAL(12,4), c DOUBLE PRECISION, d BOOLEAN, e DATE, f {timestamp}, \
             g {instant}, h VARCHAR(40), i {float}"
        );
        let yes = if server == Server::Postgres {
            "true"
        } else {
            "1"
        };
        let zone = if server == Server::MariaDb {
            ""
        } else {
            "+00:00"
        };
        // SQLite keeps a REAL in 64 bits, and the schema's REAL has 32: a tenth is not the same in
        // both.
        let real = if server == Server::Sqlite {
            "0.5"
        } else {
            "0.1"
        };
        let (day, at) = ("2026-11-15", "2026-11-15 06:30:00.000001");
        let row =
            format!("1,9007199254740993,12345678.0625,0.1,{yes},{day},{at},{at}{zone},ü,{real}");
        place.table(
            "exported",
            &columns,
            &format!("id,a,b,c,d,e,f,g,h,i\n{row}\n2,,,,,,,,,\n"),
        );
        place.table("accounts", &columns, "id\n1\n2\n");
        let schema = "id INTEGER PRIMARY KEY, a BIGINT, b DECIMAL(12,4), c DOUBLE PRECISION, d BOOLEAN, e DATE, \
                      f TIMESTAMP, g TIMESTAMP WITH TIME ZONE, h VARCHAR(40), i REAL";
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE exported ({schema});"),
        );
        let fields: String = ["id", "a", "b", "c", "d", "e", "f", "g", "h", "i"]
            .iter()
            .map(|name| format!("{name} = '{name}'\n"))
            .collect();
        place.job("source = 'crm'", &fields);
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 unchanged",
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            place.rows("exported"),
            "on {server}"
        );
        assert_eq!(place.run().summary(), "2 read = 2 unchanged", "on {server}");
    }
}

#[test]
fn what_is_missing_from_a_source_is_named_before_anything_is_written() {
    for (text, word) in [("id,note\nA1,x\n", "score"), ("", "scores.csv")] {
        let place = place();
        place.file("data/scores.csv", text);
        let run = place.run();
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains(word), "{run}");
        assert_eq!(place.rows("accounts"), ROWS);
    }
    let place = place();
    let run = place.run();
    assert!(run.code == 2 && run.stderr.contains("scores"), "{run}");
}

#[test]
fn two_files_for_one_table_are_not_chosen_between() {
    let place = place();
    place
        .file("data/scores.csv", "id,score,note\n")
        .file("data/scores.ndjson", "");
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("scores.csv") && run.stderr.contains("scores.ndjson"),
        "{run}"
    );
}

#[test]
fn a_quote_that_is_never_closed_writes_nothing_and_is_named_by_its_line() {
    for text in [
        "id,score,note\nA1,2,x\nA2,2,\"open\nA3,2,y\n",
        "id,score,note\nA1,2,\"x\nA2,2,y\nA3,2,z",
    ] {
        let place = place();
        place.file("data/scores.csv", text);
        let line = if text.contains("open") { 3 } else { 2 };
        let run = place.run();
        assert_eq!(run.code, 2, "{run}");
        let cause = format!(
            "line {line} of `scores.csv`, cell 3 (`note`): the quote that opens here is never closed"
        );
        assert!(run.stderr.contains(&cause), "{run}");
        assert_eq!(place.rows("accounts"), ROWS);
    }
}

#[test]
fn quotes_and_cells_out_of_place_reject_their_record_by_its_line() {
    let place = place();
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,2,5\" pipe\nA2,2,\"x\"y\nA3,2\nA4,2,x,y\nA3,3,\"5\"\" pipe\"\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "5 read = 1 updated + 4 rejected");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,1,\nA2,1,\nA3,3,\"5\"\" pipe\"\n"
    );
    let rejected = place.rejected(run.run());
    for reason in [
        "line 2 of `scores.csv`, cell 3 (`note`): a quote stands within a cell that is not quoted",
        "line 3 of `scores.csv`, cell 3 (`note`): text follows the closing quote",
        "line 4 of `scores.csv` has 2 cells where the header has 3",
        "line 5 of `scores.csv` has 4 cells where the header has 3",
    ] {
        assert!(rejected.contains(reason), "{rejected}");
    }
}

#[test]
fn both_zeros_are_one_key_that_occurs_twice() {
    let place = Workspace::on(Server::Sqlite);
    place.table(
        "accounts",
        "id REAL PRIMARY KEY, score INTEGER",
        "id,score\n1,1\n",
    );
    place.scores(
        "id DOUBLE PRECISION PRIMARY KEY, score INTEGER",
        "id,score\n0,2\n-0.0,3\n1,4\n",
    );
    place.job("matching = 'upsert'", "id = 'id'\nscore = 'score'");
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected");
    let rejected = place.rejected(run.run());
    assert_eq!(
        rejected
            .matches("the key occurs 2 times in the source")
            .count(),
        2,
        "{rejected}"
    );
}

#[test]
fn a_number_that_json_does_not_have_is_rejected_with_its_key_and_column() {
    let place = place();
    place.file(
        "data/scores.ndjson",
        "{\"id\":\"A1\",\"score\":NaN}\n{\"id\":\"A2\",\"score\":2,\"note\":null}\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected");
    let rejected = place.rejected(run.run());
    let expected = "scores,1,A1,schema,score,line 1 of `scores.ndjson`: NaN is not a number that can be written\n";
    assert_eq!(rejected, expected);
}

#[test]
fn a_model_over_text_orders_numbers_by_their_size() {
    let place = place();
    place.file(
        "data/scores.csv",
        "id,score,note\nA1,9,x\nA2,100,x\nA3,20,x\n",
    );
    let model = |sql: &str| {
        place
            .file(
                "sql/scores.sql",
                &format!("CREATE TABLE scores ({SCORES});\n{sql}\n"),
            )
            .run()
    };
    let run = model("SELECT id, score, note FROM scores ORDER BY score DESC LIMIT 2");
    assert_eq!(run.summary(), "2 read = 2 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,1,\nA2,100,x\nA3,20,x\n"
    );
    assert_eq!(
        model("SELECT id, score, note FROM scores WHERE score > 50").summary(),
        "1 read = 1 unchanged"
    );
    let refused = model("SELECT id, score, note FROM scores WHERE score > '50'");
    assert_eq!(refused.code, 2, "{refused}");
    place.file("data/scores.csv", "id,score,note\nA1,9,x\nA2,many,x\n");
    let refused = model("SELECT id, score, note FROM scores ORDER BY score DESC LIMIT 2");
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused.stderr.contains("record 2, column `score`"),
        "{refused}"
    );
}

#[test]
fn a_mistake_in_a_model_is_told_where_it_stands_and_with_what_to_write() {
    let place = place();
    place.file("data/raw.csv", "id,owner,score\nA1,x,5\nA2,x,7\nA3,x,7\n");
    let model = |sql: &str| {
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores ({SCORES});\n\n-- the model\nSELECT id,\n  {sql};\n"),
        );
        place.command(&["check", "job"])
    };
    for (sql, at, told) in [
        (
            "scroe AS score, owner AS note FROM raw",
            "5:3",
            "unable to find column",
        ),
        ("score, owner AS note FRM raw", "5:24", "found: FRM"),
        (
            "score, shout(owner) AS note FROM raw",
            "5:10",
            "unsupported function 'shout'",
        ),
        (
            "score, RANK() OVER (PARTITION BY owner ORDER BY score DESC) AS note FROM raw",
            "5:10",
            "`MIN(position) OVER (PARTITION BY owner, score)`",
        ),
        (
            "score, NTILE(4) OVER (ORDER BY score) AS note FROM raw",
            "5:10",
            "NTILE is no function",
        ),
        (
            "score, ROW_NUMBER() OVER (ORDER BY score DESC, id) AS note FROM raw",
            "5:10",
            "`-score` turns that of a number",
        ),
    ] {
        let check = model(sql);
        assert_eq!(check.code, 2, "{check}");
        let place = format!("sql/scores.sql:{at}: ");
        assert!(
            check.stderr.contains(&place) && check.stderr.contains(told),
            "{sql}: {check}"
        );
    }
    // What the hint says ranks as RANK does.
    model(
        "MIN(position) OVER (PARTITION BY owner, score) AS score, owner AS note\n  FROM (SELECT id, owner, score, \
         ROW_NUMBER() OVER (PARTITION BY owner ORDER BY score DESC) AS position FROM raw) numbered",
    );
    assert_eq!(place.run().summary(), "3 read = 3 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,3,x\nA2,1,x\nA3,1,x\n"
    );
}
