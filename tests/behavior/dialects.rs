//! CSV as programs other than this one write it: separators, marks, dates, encodings, words for
//! NULL, compression, and tables of several files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{Server, Workspace};

const COLUMNS: &str =
    "id VARCHAR(18) PRIMARY KEY, score DECIMAL(9,2), note VARCHAR(40), at TIMESTAMP";
const FIELDS: &str = "id = 'id'\nscore = 'score'\nnote = 'note'\nat = 'at'";

/// The settings for CSV as Excel writes it in Germany.
const GERMAN: &str = "separator = ';'\ndecimal = ','\nthousands = '.'\ndates = 'day_first'\n\
                      encoding = 'windows-1252'\nnulls = ['NULL', '#NV']\n";

/// Three accounts in SQLite, and settings of the connection to `data/`.
fn place(settings: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", COLUMNS, "id,score\nA1,1\nA2,1\nA3,1\n")
        .scores(COLUMNS, "")
        .job("", FIELDS);
    std::fs::remove_file(place.path("data/scores.csv")).expect("a file");
    announce(&place, settings);
    place
}

fn announce(place: &Workspace, settings: &str) {
    let files = "[connections.files]\nkind = 'files'\nfolder = 'data'\n";
    let text = format!("{files}{settings}\n{}", place.connection("crm"));
    place.file("writeback.toml", &text);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn a_file_of_a_german_spreadsheet_is_read_to_the_letter() {
    let place = place(GERMAN);
    place.bytes(
        "data/scores.csv",
        b"id;score;note;at\r\nA1;1.087,5;\"K\xF6ln; 3\x80\";30.11.2026 6:05\r\n\
          A2;NULL;\"NULL\";#NV\r\nA3;1.5;x;\r\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 2 updated + 1 rejected");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,at\nA1,1087.5,Köln; 3€,2026-11-30 06:05:00\nA2,,NULL,\nA3,1,,\n"
    );
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains(
            "line 4 of `scores.csv`, cell 2 (`score`): its digits do not stand in groups of three"
        ),
        "{rejected}"
    );
}

#[test]
fn what_is_not_announced_is_named_before_anything_is_read() {
    let place = place("");
    for (bytes, told) in [
        (&b"id;score;note;at\nA1;2;x;\n"[..], "separator = \";\""),
        (b"sep=;\nid;score;note;at\n", "separator = \";\""),
        (
            b"id,score,note,at,gr\xF6\xDFe\n",
            "encoding = \"windows-1252\"",
        ),
        (b"\xFF\xFEi\0d\0", "encoding = \"utf-16\""),
    ] {
        place.bytes("data/scores.csv", bytes);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{check}");
        assert!(check.stderr.contains(told), "{check}");
    }
    // And announced where it is not.
    announce(&place, "separator = ';'");
    place.file("data/scores.csv", "id,score,note,at\nA1,2,x,\n");
    let check = place.command(&["check", "job"]);
    assert!(check.stderr.contains("separator = \",\""), "{check}");
}

#[test]
fn a_comma_in_a_number_is_refused_record_by_record_and_says_what_to_write() {
    let place = place("separator = ';'");
    place.bytes(
        "data/scores.csv",
        b"id;score;note;at\nA1;87,5;x;\nA2;88;K\xF6ln;\nA3;3.5;x;\n",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected");
    let rejected = place.rejected(run.run());
    for told in [
        "A1",
        "decimal = ",
        "A2",
        "`encoding` of `[connections.files]`",
    ] {
        assert!(rejected.contains(told), "{told}: {rejected}");
    }
}

#[test]
fn a_spreadsheet_s_unicode_text_is_read_by_its_mark() {
    let place =
        place("separator = \"\\t\"\nencoding = 'utf-16'\ntables = { scores = 'scores.txt' }");
    let text = "\u{feff}id\tscore\tnote\tat\r\nA1\t2\t\"Łódź\"\t\r\n";
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.bytes("data/scores.txt", &bytes);
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert!(place.rows("accounts").contains("A1,2,Łódź,"));
}

#[test]
fn compressed_files_are_read_as_they_are_and_damaged_ones_refused() {
    let text = "id,score,note,at\nA1,2,x,\nA2,3,y,\n";
    let place = place("");
    place.bytes("data/scores.csv.gz", &gzip(text));
    assert_eq!(place.run().summary(), "2 read = 2 updated");
    std::fs::remove_file(place.path("data/scores.csv.gz")).expect("a file");

    let zstd = zstd::encode_all(text.replace("A1,2", "A1,4").as_bytes(), 0).expect("in memory");
    place.bytes("data/scores.csv.zst", &zstd);
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 unchanged");
    std::fs::remove_file(place.path("data/scores.csv.zst")).expect("a file");

    let whole = gzip("{\"id\": \"A1\", \"score\": 5, \"note\": \"x\", \"at\": null}\n");
    place.bytes("data/scores.ndjson.gz", &whole);
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    place.bytes("data/scores.ndjson.gz", &whole[..whole.len() - 9]);
    let cut = place.run();
    assert_eq!(cut.code, 2, "{cut}");
    assert!(cut.stderr.contains("scores.ndjson.gz"), "{cut}");
    assert!(place.rows("accounts").contains("A1,5,x,"));
}

#[test]
fn a_table_may_be_all_files_of_a_pattern_or_the_last_of_them() {
    let place = place("tables = { scores = 'scores-*.csv' }");
    place
        .file("data/scores-2026-11-29.csv", "id,score,note,at\nA1,2,x,\n")
        .file("data/scores-2026-11-30.csv", "id,score,note,at\nA2,3,y,\n")
        .bytes("data/scores-2026-11-28.csv", b"")
        .file("data/other.csv", "id\n");
    assert_eq!(place.run().summary(), "2 read = 2 updated");

    announce(
        &place,
        "tables.scores = { files = 'scores-*.csv', take = 'last' }",
    );
    assert_eq!(place.run().summary(), "1 read = 1 unchanged");

    announce(
        &place,
        "tables.scores = { files = 'score_*.csv', take = 'last' }",
    );
    let none = place.command(&["check", "job"]);
    assert!(none.stderr.contains("no file has such a name"), "{none}");
    assert!(
        none.stderr
            .contains("see `tables` of `[connections.files]`"),
        "{none}"
    );
}

#[test]
fn part_files_of_an_engine_may_be_compressed_and_empty() {
    let place = place("");
    place
        .bytes("data/scores/part-0.csv.gz", &gzip(""))
        .bytes(
            "data/scores/part-1.csv.gz",
            &gzip("id,score,note,at\nA1,2,x,\n"),
        )
        .bytes(
            "data/scores/part-2.csv.gz",
            &gzip("id,score,note,at\nA2,3,y,\n"),
        )
        .file("data/scores/_SUCCESS", "");
    assert_eq!(place.run().summary(), "2 read = 2 updated");
}

#[test]
fn a_model_reads_what_the_dialect_means() {
    let place = place(GERMAN);
    place
        .bytes(
            "data/raw.csv",
            b"id;score;note\r\nA1;87,5;K\xF6ln\r\nA2;100,25;x\r\nA3;9;y\r\n",
        )
        .file(
            "sql/scores.sql",
            &format!(
                "CREATE TABLE scores ({COLUMNS});\n\
                 SELECT id, score, note, CAST(NULL AS VARCHAR) AS at FROM raw WHERE score > 50 ORDER BY score DESC;\n"
            ),
        );
    assert_eq!(place.run().summary(), "2 read = 2 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,at\nA1,87.5,Köln,\nA2,100.25,x,\nA3,1,,\n"
    );
}

#[test]
fn mistakes_of_a_dialect_are_told_with_their_places() {
    let place = place(
        "separator = ';;'\ndecimal = '-'\nthousands = 'x'\ndates = 'dmy'\nencoding = 'cp9999'\n\
         tables = { a = '../x-*.csv', b = 'x-*', c = { files = 'x-*.csv', take = 'newest' } }",
    );
    let check = place.command(&["check", "job"]);
    for told in [
        "writeback.toml:4:13: `;;` cannot separate cells",
        "writeback.toml:5:11: `-` is no mark within numbers",
        "writeback.toml:6:13: `x` is no mark within numbers",
        "writeback.toml:7:9: `dmy` is no order of dates",
        "writeback.toml:8:12: `cp9999` is no encoding known here",
        "a pattern is of names within the folder, never a path",
        "a pattern ends in .csv",
        "`newest` is neither",
    ] {
        assert!(check.stderr.contains(told), "{told}: {check}");
    }
}
