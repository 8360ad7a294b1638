//! Parquet as others write it: every type and encoding is read exactly or refused by name,
//! checksums are held against what they stand for, and no file takes more memory than it may.
//! `tests/parquet/make.py` made the files.

use std::process::Child;

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace};
use crate::memory::{MEMORY_MAX, watch};

/// A file of `tests/parquet`.
fn made(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/parquet/{name}.parquet",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A destination in SQLite without a record, and the source `data/scores.parquet`.
fn place(bytes: &[u8]) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", SCORES, "")
        .scores(SCORES, "")
        .job("matching = 'upsert'", FIELDS);
    std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
    place.bytes("data/scores.parquet", bytes);
    place
}

/// The columns of `types.parquet` that can be read: the type in a schema, and in PostgreSQL.
const TYPES: [(&str, &str, &str); 24] = [
    ("id", "VARCHAR(18) PRIMARY KEY", "varchar(18) PRIMARY KEY"),
    ("i8", "SMALLINT", "smallint"),
    ("u8", "SMALLINT", "smallint"),
    ("u16", "INTEGER", "integer"),
    ("u32", "BIGINT", "bigint"),
    ("i64", "BIGINT", "bigint"),
    ("u64", "DECIMAL(20,0)", "numeric(20,0)"),
    ("f16", "REAL", "real"),
    ("f32", "REAL", "real"),
    ("f64", "DOUBLE PRECISION", "double precision"),
    ("flag", "BOOLEAN", "boolean"),
    ("d5", "DECIMAL(5,2)", "numeric(5,2)"),
    ("d38", "DECIMAL(38,10)", "numeric(38,10)"),
    ("day", "DATE", "date"),
    ("t32", "TIME", "time"),
    ("t64", "TIME", "time"),
    ("wall", "TIMESTAMP", "timestamp"),
    ("instant", "TIMESTAMP WITH TIME ZONE", "timestamptz"),
    ("offset", "TIMESTAMP WITH TIME ZONE", "timestamptz"),
    ("zone", "TIMESTAMP WITH TIME ZONE", "timestamptz"),
    ("label", "VARCHAR(8)", "varchar(8)"),
    ("uuid", "UUID", "uuid"),
    ("json", "JSON", "json"),
    ("nothing", "TEXT", "text"),
];

const FIRST: &str = "A1,-128,0,0,0,-9223372036854775808,0,0.5,0.1,0.1,true,-123.45,\
                     -9999999999999999999999999999.9999999999,0001-01-01,00:00:00,00:00:00.000001,\
                     2026-11-15 06:30:00.123,2026-11-15 06:30:00.123+00,2026-11-15 06:30:00.123+00,\
                     2026-11-15 06:30:00.123+00,red,00000000-0000-0000-0000-000000000001,\"{\"\"a\"\": 1}\",";

const SECOND: &str = "A2,,,,,,,5.9604645e-08,,,,,,,,,,,,,,,,";

const THIRD: &str = "A3,127,255,65535,4294967295,9223372036854775807,18446744073709551615,-65504,-1e+30,\
                     -1.2345678901234568e-10,false,0.01,0.0000000001,9999-12-31,23:59:59.999,23:59:59.999999,\
                     1999-12-31 23:59:59,1999-12-31 23:59:59+00,1999-12-31 23:59:59+00,1999-12-31 23:59:59+00,red,\
                     ffffffff-ffff-ffff-ffff-ffffffffffff,[],";

#[test]
fn every_type_is_read_exactly_beside_columns_that_cannot_be_read() {
    let place = Workspace::on(Server::Postgres);
    let list =
        |column: fn(&(&str, &str, &str)) -> String| TYPES.iter().map(column).collect::<Vec<_>>();
    let declared = list(|(name, schema, _)| format!("{name} {schema}")).join(", ");
    place.table(
        "accounts",
        &list(|(name, _, there)| format!("\"{name}\" {there}")).join(", "),
        "",
    );
    place
        .file(
            "sql/scores.sql",
            &format!("CREATE TABLE types ({declared});"),
        )
        .bytes("data/types.parquet", &made("types"));
    place.job(
        "matching = 'upsert'",
        &list(|(name, ..)| format!("{name} = '{name}'")).join("\n"),
    );
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    assert_eq!(place.run().summary(), "3 read = 3 inserted");
    let names: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
    let texts = list(|(name, ..)| format!("\"{name}\"::text")).join(", ");
    let expected = format!("{}\n{FIRST}\n{SECOND}\n{THIRD}\n", names.join(","));
    assert_eq!(
        place.query(&format!(
            "SET timezone = 'UTC'; SELECT {texts} FROM accounts ORDER BY id"
        )),
        expected
    );
    let described = place.command(&["schema", "files", "types"]);
    assert_eq!(described.code, 0, "{described}");
    assert!(described.stdout.contains("uuid"), "{described}");
}

#[test]
fn a_column_that_cannot_be_read_is_named_with_its_type_where_it_is_wanted() {
    for (column, data_type) in [
        ("raw", "binary"),
        ("fixed", "binary of 3 bytes"),
        ("span", "duration"),
        ("list", "list"),
        ("struct", "struct"),
        ("map", "map"),
        ("wide", "DECIMAL(60,2) in 26 bytes"),
    ] {
        let place = place(&made("types"));
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, {column} TEXT);"),
        );
        place.job("", &format!("id = 'id'\nnote = '{column}'"));
        let named =
            format!("column `{column}` is of type {data_type}, which write-backs do not carry");
        for command in [&["check"][..], &["run", "job"]] {
            let refused = place.command(command);
            assert!(refused.code > 0, "{refused}");
            assert!(refused.to_string().contains(&named), "{column}: {refused}");
        }
        let model = format!(
            "CREATE TABLE scores ({SCORES});\nSELECT id, i8 AS score, label AS note FROM scores"
        );
        place
            .file("sql/scores.sql", &model)
            .job("matching = 'upsert'", FIELDS);
        assert_eq!(
            place.run().summary(),
            "3 read = 3 inserted",
            "a model that does not mean `{column}`"
        );
        place.file(
            "sql/scores.sql",
            &model.replace("label", &format!("\"{column}\"")),
        );
        let refused = place.run();
        let named = format!(
            "column `{column}` of `scores.parquet` is of type {data_type}, which cannot be read"
        );
        assert!(
            refused.code == 2 && refused.stderr.contains(&named),
            "{column}: {refused}"
        );
    }
}

/// What the files of the same sixty scores hold.
fn scores() -> String {
    let cell = |number: u32| {
        let score = if number % 7 == 3 {
            String::new()
        } else {
            (number * 3).to_string()
        };
        let note = if number % 5 == 2 {
            String::new()
        } else {
            format!("\"note {}, at length\"", number % 9)
        };
        format!("A{number:02},{score},{note}\n")
    };
    "id,score,note\n".to_owned() + &(0..60).map(cell).collect::<String>()
}

#[test]
fn every_compression_and_encoding_holds_the_same_scores() {
    for name in [
        "snappy",
        "gzip",
        "zstd",
        "lz4",
        "brotli",
        "deltas",
        "second_version",
        "split",
        "pages",
    ] {
        let place = place(&made(name));
        assert_eq!(place.run().summary(), "60 read = 60 inserted", "{name}");
        assert_eq!(place.rows("accounts"), scores(), "{name}");
    }
}

#[test]
fn times_of_older_writers_keep_years_far_away() {
    let place = Workspace::on(Server::Postgres);
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, wall timestamp, far timestamp",
        "",
    );
    place.file(
        "sql/scores.sql",
        "CREATE TABLE int96 (id VARCHAR(18) PRIMARY KEY, wall TIMESTAMP, far TIMESTAMP);",
    );
    place.bytes("data/int96.parquet", &made("int96"));
    place.job(
        "matching = 'upsert'",
        "id = 'id'\nwall = 'wall'\nfar = 'far'",
    );
    assert_eq!(place.run().summary(), "3 read = 3 inserted");
    let expected = "id,wall,far\nA1,2026-11-15 06:30:00.123,9999-12-31 00:00:00\nA2,,\nA3,1999-12-31 23:59:59,\n";
    assert_eq!(
        place.query("SELECT id, wall::text, far::text FROM accounts"),
        expected
    );
}

#[test]
fn a_flipped_bit_in_a_page_is_told_and_nothing_is_written() {
    let whole = made("pages");
    let place = place(&whole);
    // Within the texts of the first pages.
    let text = b"note 0, at length";
    let at = whole
        .windows(text.len())
        .position(|window| window == text)
        .expect("a text of the file");
    let mut flipped = whole.clone();
    flipped[at + 5] ^= 1;
    place.bytes("data/scores.parquet", &flipped);
    let refused = place.run();
    assert_eq!(refused.code, 2, "{refused}");
    let (column, cause) = (
        "column `note`, row group 0: its page at byte ",
        " is damaged: its checksum is another one",
    );
    assert!(
        refused.stderr.contains(column) && refused.stderr.contains(cause),
        "{refused}"
    );
    assert_eq!(place.query("SELECT count(*) AS n FROM accounts"), "n\n0\n");
}

#[test]
fn what_is_no_whole_parquet_file_is_told_as_such() {
    let whole = made("pages");
    let encrypted = [b"PARE", &whole[4..whole.len() - 4], b"PARE"].concat();
    let too_long = [
        &whole[..whole.len() - 8],
        &[0xFF, 0xFF, 0xFF, 0x7F],
        b"PAR1",
    ]
    .concat();
    for (bytes, cause) in [
        (&[][..], "it is not a Parquet file: it is too short for one"),
        (
            b"id,score,note\nA1,1,x\n",
            "it is not a Parquet file: it does not begin as one does",
        ),
        (
            &whole[..whole.len() / 2],
            "it is not a Parquet file: it does not end as one does",
        ),
        (&encrypted, "its footer is encrypted"),
        (
            &too_long,
            "its footer is damaged: it is longer than the file",
        ),
    ] {
        let place = place(bytes);
        for command in [
            &["check"][..],
            &["run", "job"],
            &["schema", "files", "scores"],
        ] {
            let refused = place.command(command);
            assert!(
                refused.code > 0 && refused.to_string().contains(cause),
                "{cause}: {refused}"
            );
            assert!(refused.to_string().contains("scores.parquet"), "{refused}");
            assert!(!refused.to_string().contains("panicked"), "{refused}");
        }
    }
}

#[test]
fn a_small_file_of_large_texts_takes_no_more_memory_than_any() {
    let place = place(&made("bomb"));
    place.file(
        "sql/scores.sql",
        "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, note VARCHAR(40));",
    );
    place.job("", "id = 'id'\nnote = 'note'");
    let mut child: Child = place.start(&["run", "job", "--json"]);
    let peak = watch(&mut child);
    let run = Ran::of(
        &["run", "job", "--json"],
        &child.wait_with_output().expect("the program ends"),
    );
    assert_eq!(run.summary(), "400 read = 400 rejected");
    assert!(peak.anonymous < MEMORY_MAX, "{peak:?} in KiB");
}

#[test]
fn a_folder_of_part_files_is_one_table() {
    let part = |ids: &str| format!("id,score,note\n{ids},1,x\n");
    let place = place(&[]);
    std::fs::remove_file(place.path("data/scores.parquet")).expect("a file");
    for (kind, first, second) in [
        ("csv", part("A1").into_bytes(), part("A2").into_bytes()),
        (
            "json",
            b"{\"id\":\"A1\",\"score\":1,\"note\":\"x\"}\n".to_vec(),
            b"{\"id\":\"A2\",\"score\":1,\"note\":\"x\"}".to_vec(),
        ),
    ] {
        let folder = place.path("data/scores");
        drop(std::fs::remove_dir_all(&folder));
        place.execute("DELETE FROM accounts");
        place.bytes(&format!("data/scores/part-00000-c000.{kind}"), &first);
        place.bytes(&format!("data/scores/part-00001-c000.{kind}"), &second);
        place
            .bytes(&format!("data/scores/.part-00000-c000.{kind}.crc"), b"crc")
            .bytes("data/scores/_SUCCESS", b"");
        assert_eq!(place.run().summary(), "2 read = 2 inserted", "{kind}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note\nA1,1,x\nA2,1,x\n",
            "{kind}"
        );
        let model = format!(
            "CREATE TABLE scores ({SCORES});\nSELECT id, CAST(score AS INTEGER) AS score, note FROM scores"
        );
        place.file("sql/scores.sql", &model);
        assert_eq!(place.run().summary(), "2 read = 2 unchanged", "{kind}");
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores ({SCORES});"),
        );
    }
    let folder = "data/scores.parquet";
    std::fs::remove_dir_all(place.path("data/scores")).expect("a folder");
    place.bytes(&format!("{folder}/part-0.snappy.parquet"), &made("snappy"));
    place.bytes(&format!("{folder}/part-1.parquet"), &made("pages"));
    assert_eq!(place.run().summary(), "120 read = 120 rejected");
    place.bytes(&format!("{folder}/part-2.parquet"), &made("types"));
    let refused = place.run();
    assert!(
        refused.code == 2 && refused.stderr.contains("`scores.parquet/part-2.parquet`"),
        "{refused}"
    );
}

#[test]
fn a_folder_that_is_no_table_says_why() {
    for (file, cause) in [
        (
            "part-0.parquet",
            "it holds files of more than one kind, `part-0.parquet` among them",
        ),
        (
            "part-0.csv.xz",
            "it holds `part-0.csv.xz`, which is no .csv, .parquet, .ndjson or .jsonl file",
        ),
        (
            "_temporary/0/x",
            "it is still being written: it holds `_temporary`",
        ),
        (
            "day=1/part-0.csv",
            "it holds the folder `day=1`, and tables in partitions are not read",
        ),
        (
            "part-1.csv",
            "its header line is another one than that of `scores.csv/a.csv`",
        ),
    ] {
        let place = place(&[]);
        std::fs::remove_file(place.path("data/scores.parquet")).expect("a file");
        place
            .file("data/scores.csv/a.csv", "id,score,note\nA1,1,x\n")
            .file(&format!("data/scores.csv/{file}"), "id\n");
        let refused = place.run();
        assert!(
            refused.code == 2 && refused.stderr.contains(cause),
            "{cause}: {refused}"
        );
    }
}
