//! Whole pulls from folders of files.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use std::fs;
use std::io::Write;

use polars::prelude::*;

use super::super::{AnySource, Source, describe_table};
use crate::domain::connection::{Connection, Limits, System};
use crate::domain::error::SystemError;
use crate::domain::files::{CsvDialect, FilesSettings};
use crate::domain::outcome::Rejection;
use crate::domain::problem::Location;
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::{DecimalSize, Schema as WriteBackSchema, SchemaColumn, SchemaType};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    fn parquet(self, name: &str, frame: &mut DataFrame) -> Self {
        self.parquet_in_row_groups(name, frame, 50_000)
    }

    fn parquet_in_row_groups(self, name: &str, frame: &mut DataFrame, records: usize) -> Self {
        let file = fs::File::create(self.folder.path().join(name)).unwrap();
        ParquetWriter::new(file)
            .with_row_group_size(Some(records))
            .finish(frame)
            .unwrap();
        self
    }

    fn connection(&self) -> Connection {
        Connection {
            name: "dashboard".to_owned(),
            system: System::Files(FilesSettings {
                folder: self.folder.path().to_owned(),
                remote: None,
                dialect: CsvDialect::default(),
                tables: Vec::new(),
            }),
            timezone: None,
            limits: Limits::default(),
        }
    }

    fn pull(&self, schema: &WriteBackSchema) -> Result<Yield, SystemError> {
        runtime().block_on(async {
            let mut source = AnySource::open(&self.connection(), schema).await?;
            let mut yielded = Yield {
                records: DataFrame::empty(),
                rejections: Vec::new(),
                read: 0,
                chunks: 0,
            };
            while let Some(pulled) = source.next_chunk().await? {
                assert!(pulled.records.height() <= super::super::CHUNK_RECORDS_MAX);
                yielded.read += pulled.read;
                yielded.chunks += 1;
                yielded.rejections.extend(pulled.rejections);
                match yielded.records.width() {
                    0 => yielded.records = pulled.records,
                    _ => drop(yielded.records.vstack_mut(&pulled.records).unwrap()),
                }
            }
            Ok(yielded)
        })
    }

    fn describe(&self, table: &str) -> Result<Vec<String>, SystemError> {
        let description = runtime().block_on(describe_table(&self.connection(), table))?;
        let column = |column: &super::super::DescribedColumn| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            let key = if description.primary_key.contains(&column.name) {
                " KEY"
            } else {
                ""
            };
            let column_type = column
                .column_type
                .map_or("?".to_owned(), |column_type| column_type.to_string());
            format!("{} {column_type}{null}{key}", column.name)
        };
        Ok(description.columns.iter().map(column).collect())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

#[derive(Debug)]
struct Yield {
    records: DataFrame,
    rejections: Vec<Rejection>,
    read: u64,
    chunks: usize,
}

impl Yield {
    fn texts(&self, column: &str) -> Vec<Option<&str>> {
        self.records
            .column(column)
            .unwrap()
            .str()
            .unwrap()
            .iter()
            .collect()
    }

    fn positions(&self) -> Vec<u64> {
        self.records
            .column(RECORD_POSITION)
            .unwrap()
            .u64()
            .unwrap()
            .iter()
            .flatten()
            .collect()
    }

    fn reasons(&self) -> Vec<&str> {
        self.rejections
            .iter()
            .map(|rejection| rejection.reason.as_str())
            .collect()
    }
}

fn schema(table: &str, columns: &[&str], model: Option<&str>) -> WriteBackSchema {
    let location = Location {
        file: "sql/x.sql".into(),
        line: 1,
        column: 1,
    };
    let column = |name: &&str| SchemaColumn {
        name: (*name).to_owned(),
        column_type: SchemaType::Text {
            characters_max: None,
        },
        nullable: true,
        location: location.clone(),
    };
    WriteBackSchema {
        table: vec![table.to_owned()],
        columns: columns.iter().map(column).collect(),
        key: vec![0],
        model: model.map(str::to_owned),
        model_location: None,
        file: "sql/x.sql".into(),
    }
}

fn explain(error: &SystemError) -> String {
    let cause = std::error::Error::source(error)
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    format!("{error}{cause} | {}", error.hint().unwrap_or_default())
}

#[test]
fn columns_come_in_the_schema_s_order_and_spelling() {
    let place = Place::with(&[("Scores.csv", "note,ID,score\nx,1,\ny,2,9\n")]);
    let yielded = place
        .pull(&schema("scores", &["id", "Score"], None))
        .unwrap();
    let names: Vec<String> = yielded
        .records
        .get_column_names()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["id", "Score", RECORD_POSITION]);
    assert_eq!(yielded.texts("id"), [Some("1"), Some("2")]);
    assert_eq!(yielded.texts("Score"), [None, Some("9")]);
    assert_eq!((yielded.positions(), yielded.read), (vec![0, 1], 2));
}

#[test]
fn a_large_file_comes_in_chunks_whose_positions_go_on() {
    let mut text = "id,score\n".to_owned();
    for record in 0..100_000 {
        text.push_str(&format!("A{record},{record}.50\n"));
        if record == 70_000 {
            text.push_str("one cell\n");
        }
    }
    let place = Place::with(&[("scores.csv", &text)]);
    let yielded = place
        .pull(&schema("scores", &["id", "score"], None))
        .unwrap();
    assert_eq!(
        (yielded.read, yielded.chunks, yielded.records.height()),
        (100_001, 4, 100_000)
    );
    assert_eq!(
        yielded.reasons(),
        ["line 70003 of `scores.csv` has 1 cell where the header has 2"]
    );
    assert_eq!(yielded.rejections[0].record, 70_001);
    let expected: Vec<u64> = (0..100_001)
        .filter(|position| *position != 70_001)
        .collect();
    assert_eq!(yielded.positions(), expected);
}

#[test]
fn a_table_that_is_not_there_or_there_twice_is_explained() {
    let place = Place::with(&[
        ("health_score.csv", "id\n"),
        ("b.csv", "id\n"),
        ("b.ndjson", ""),
        ("notes.txt", ""),
    ]);
    let fails = |table: &str| explain(&place.pull(&schema(table, &["id"], None)).unwrap_err());
    assert_eq!(
        fails("health_scores"),
        "table `health_scores` of `dashboard` does not exist | did you mean `health_score`?"
    );
    assert_eq!(
        fails("zzz"),
        "table `zzz` of `dashboard` does not exist | there are `b`, `health_score`"
    );
    assert_eq!(
        fails("B"),
        "finding table `b` failed on `dashboard`: `b.csv`, `b.ndjson` all hold it | keep one of the files"
    );
    for path in ["../health_score", "/etc/passwd", "a\\b", ""] {
        assert!(fails(path).contains("never a path"), "{path}");
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    let place = Place::with(&[]);
    fs::create_dir(place.folder.path().join("folder.csv")).unwrap();
    fs::create_dir(place.folder.path().join("unmarked")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.folder.path().join("zeros.csv")).unwrap();
    std::os::unix::net::UnixListener::bind(place.folder.path().join("socket.csv")).unwrap();
    for (table, cause) in [
        ("folder", "it is a folder without part files"),
        ("unmarked", "table `unmarked` of `dashboard` does not exist"),
        ("zeros", "it is not a regular file"),
        ("socket", "it is not a regular file"),
    ] {
        let error = explain(&place.pull(&schema(table, &["id"], None)).unwrap_err());
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn a_folder_of_part_files_gives_way_to_a_file_and_its_positions_go_on() {
    let place = Place::with(&[("t.csv", "id\nfile\n")]);
    let part = |folder: &str, name: &str, text: &str| {
        fs::create_dir_all(place.folder.path().join(folder)).unwrap();
        fs::write(place.folder.path().join(folder).join(name), text).unwrap();
    };
    part("t", "part-0.csv", "id\nfolder\n");
    assert_eq!(
        place.pull(&schema("t", &["id"], None)).unwrap().texts("id"),
        [Some("file")]
    );
    part("u", "b.csv", "id\n3\n4");
    part("u", "a.csv", "id\n1\n2,x\n");
    part("u", "0.csv", "");
    part("u", "c.csv", "");
    let yielded = place.pull(&schema("u", &["id"], None)).unwrap();
    assert_eq!(
        (yielded.texts("id"), yielded.positions()),
        (vec![Some("1"), Some("3"), Some("4")], vec![0, 2, 3])
    );
    assert_eq!(
        yielded.reasons(),
        ["line 3 of `u/a.csv` has 2 cells where the header has 1"]
    );
    part("n", "a.ndjson", "{\"id\":1}\n");
    part("n", "b.ndjson", "{\"id\":2,\"late\":3}\n");
    let yielded = place.pull(&schema("n", &["id", "late"], None)).unwrap();
    assert_eq!(yielded.texts("late"), [None, Some("3")]);
    assert_eq!(
        place.describe("n").unwrap(),
        ["id INTEGER NOT NULL KEY", "late INTEGER"]
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_no_snapshot() {
    let mut text = "id\n".to_owned();
    (0..300_000).for_each(|record| text.push_str(&format!("{record}\n")));
    let place = Place::with(&[("t.csv", &text)]);
    let error = runtime().block_on(async {
        let mut source = AnySource::open(&place.connection(), &schema("t", &["id"], None))
            .await
            .unwrap();
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(place.folder.path().join("t.csv"))
            .unwrap();
        file.write_all(b"7\n").unwrap();
        loop {
            match source.next_chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the change was not noticed"),
                Err(error) => break error,
            }
        }
    });
    assert!(
        explain(&error).contains("`t.csv` changed while it was read"),
        "{error}"
    );
}

#[test]
fn json_values_keep_every_digit_and_their_own_text() {
    let lines = concat!(
        "{\"id\":\"A\\u00e9\\n\",\"score\":123456789012345678901.50,\"tags\":[1, \"x\"],\"on\":true}\r\n",
        "\n",
        "{\"score\":1e3,\"ID\":7,\"on\":null}\n",
        "{\"id\":\"\",\"score\":-0.10,\"tags\":{\"a\":1},\"on\":false}",
    );
    let place = Place::with(&[("t.jsonl", &format!("\u{feff}{lines}"))]);
    let yielded = place
        .pull(&schema("t", &["id", "score", "tags", "on"], None))
        .unwrap();
    assert_eq!(yielded.texts("id"), [Some("Aé\n"), Some("7"), Some("")]);
    assert_eq!(
        yielded.texts("score"),
        [Some("123456789012345678901.50"), Some("1e3"), Some("-0.10")]
    );
    assert_eq!(
        yielded.texts("tags"),
        [Some("[1, \"x\"]"), None, Some("{\"a\":1}")]
    );
    assert_eq!(yielded.texts("on"), [Some("true"), None, Some("false")]);
    assert_eq!(yielded.positions(), [0, 1, 2]);
}

#[test]
fn a_line_that_is_no_object_is_rejected() {
    let bytes = concat!(
        "{\"id\":1}\n[1]\n{\"id\":2\n{\"id\":1,\"id\":2}\n{\"id\":\"\\ud800\"}\n{\"id\":[\"\\udc00\"]}\n{\"id\":3} x\n",
        "{\"x\":1,\"x\":2}\n{\"Id\":1,\"ID\":2}\n\n{\"id\":9}\n",
    );
    let not_utf8 = format!(
        "line 12 of `t.ndjson`: not UTF-8 at byte {} of the file",
        bytes.len() + 7
    );
    let place = Place::with(&[("t.ndjson", bytes)]);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(place.folder.path().join("t.ndjson"))
        .unwrap();
    file.write_all(b"{\"id\":\"\xFF\"}").unwrap();
    let yielded = place.pull(&schema("t", &["id"], None)).unwrap();
    assert_eq!(yielded.texts("id"), [Some("1"), Some("9")]);
    assert_eq!(yielded.positions(), [0, 9]);
    assert_eq!(yielded.read, 11);
    assert_eq!(
        yielded.reasons(),
        [
            "line 2 of `t.ndjson` is not a JSON object",
            "line 3 of `t.ndjson`, column 7: EOF while parsing an object",
            "line 4 of `t.ndjson`, column 12: a key occurs twice in one object",
            "line 5 of `t.ndjson`: unexpected end of hex escape",
            "line 6 of `t.ndjson`: lone leading surrogate in hex escape",
            "line 7 of `t.ndjson`, column 10: trailing characters",
            "line 8 of `t.ndjson`, column 10: a key occurs twice in one object",
            "line 9 of `t.ndjson`, column 15: two keys differ from a column's name only in case",
            not_utf8.as_str(),
        ]
    );
}

#[test]
fn a_column_that_no_json_object_has_is_a_mistake() {
    let place = Place::with(&[
        ("t.ndjson", "{\"id\":1,\"score\":null}\n"),
        ("empty.ndjson", ""),
    ]);
    let error = place
        .pull(&schema("t", &["id", "scores"], None))
        .unwrap_err();
    assert_eq!(
        explain(&error),
        "column `scores` of `t.ndjson`, in any of its records, does not exist | did you mean `score`?"
    );
    assert!(place.pull(&schema("t", &["id", "score"], None)).is_ok());
    assert_eq!(place.pull(&schema("empty", &["id"], None)).unwrap().read, 0);
}

fn typed_frame(records: i64) -> DataFrame {
    let numbers: Vec<i64> = (0..records).collect();
    let names: Vec<String> = numbers
        .iter()
        .map(|number| format!("account {number}"))
        .collect();
    let labels: Vec<Option<&str>> = numbers
        .iter()
        .map(|number| (number % 2 == 0).then_some("high"))
        .collect();
    let mut frame =
        df!("id" => &numbers, "name" => names, "label" => labels, "extra" => &numbers).unwrap();
    let mut cast = |name: &str, from: &str, data_type: DataType| {
        let column = frame
            .column(from)
            .unwrap()
            .cast(&data_type)
            .unwrap()
            .with_name(name.into());
        frame.with_column(column).unwrap();
    };
    cast("score", "id", DataType::Decimal(20, 2));
    cast("day", "id", DataType::Int32);
    cast("day", "day", DataType::Date);
    cast(
        "at",
        "id",
        DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)),
    );
    cast(
        "wall",
        "id",
        DataType::Datetime(TimeUnit::Milliseconds, None),
    );
    cast(
        "kind",
        "label",
        DataType::from_categories(Categories::global()),
    );
    frame
}

#[test]
fn parquet_keeps_native_types_over_row_groups_and_slices() {
    let mut frame = typed_frame(180_000);
    let place = Place::with(&[]).parquet("t.parquet", &mut frame);
    let yielded = place
        .pull(&schema(
            "t",
            &["kind", "id", "score", "at", "wall", "day", "NAME"],
            None,
        ))
        .unwrap();
    assert_eq!(yielded.records.height(), 180_000);
    let numbers: Vec<i64> = yielded
        .records
        .column("id")
        .unwrap()
        .i64()
        .unwrap()
        .iter()
        .flatten()
        .collect();
    assert_eq!(numbers, (0..180_000).collect::<Vec<i64>>());
    assert_eq!(yielded.positions(), (0..180_000).collect::<Vec<u64>>());
    assert_eq!(yielded.texts("NAME")[179_999], Some("account 179999"));
    assert_eq!(
        yielded.texts("kind")[..3],
        [Some("high"), None, Some("high")]
    );
    let types: Vec<DataType> = yielded.records.dtypes();
    assert_eq!(types[2], DataType::Decimal(20, 2));
    assert_eq!(
        types[3],
        DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC))
    );
    assert_eq!(types[4], DataType::Datetime(TimeUnit::Milliseconds, None));
    assert_eq!(types[5], DataType::Date);
}

#[test]
fn a_parquet_file_that_cannot_be_read_is_an_error() {
    let mut binary = df!("id" => [1], "raw" => [b"x".as_slice()]).unwrap();
    let place = Place::with(&[
        ("broken.parquet", "PAR1 this is none PAR1"),
        ("empty.parquet", ""),
    ])
    .parquet("binary.parquet", &mut binary);
    for table in ["broken", "empty"] {
        assert!(matches!(
            place.pull(&schema(table, &["id"], None)),
            Err(SystemError::Failed { .. })
        ));
    }
    let error = explain(&place.pull(&schema("binary", &["raw"], None)).unwrap_err());
    assert!(
        error.contains("column `raw` is of type binary, which write-backs do not carry"),
        "{error}"
    );
    assert_eq!(
        place.pull(&schema("binary", &["id"], None)).unwrap().read,
        1
    );
    let error = explain(&place.pull(&schema("binary", &["idd"], None)).unwrap_err());
    assert_eq!(
        error,
        "column `idd` of `binary.parquet` does not exist | did you mean `id`? the columns are `id`, `raw`"
    );
}

#[test]
fn a_parquet_file_damaged_anywhere_ends_in_an_error_or_in_records() {
    let mut frame = typed_frame(200);
    let place = Place::with(&[]).parquet("t.parquet", &mut frame);
    let path = place.folder.path().join("t.parquet");
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xFF;
        fs::write(&path, &damaged).unwrap();
        if let Ok(yielded) = place.pull(&schema("t", &["id", "name", "score"], None)) {
            assert_eq!(yielded.read, 200);
        }
        fs::write(&path, &whole[..at]).unwrap();
        assert!(place.pull(&schema("t", &["id"], None)).is_err());
    }
}

/// What a pull of a Parquet file of sixty scores yields, record by record.
fn scores_of(bytes: &[u8]) -> Result<Vec<String>, SystemError> {
    let place = Place::with(&[]);
    fs::write(place.folder.path().join("t.parquet"), bytes).unwrap();
    let yielded = place.pull(&schema("t", &["id", "score", "note"], None))?;
    let columns = yielded.records.columns();
    Ok((0..yielded.records.height())
        .map(|record| {
            columns
                .iter()
                .map(|column| format!("{:?} ", column.get(record).unwrap()))
                .collect()
        })
        .collect())
}

#[test]
fn no_flipped_bit_of_a_file_with_checksums_changes_a_value() {
    let whole = include_bytes!("../../../tests/parquet/pages.parquet");
    let expected = scores_of(whole).unwrap();
    assert_eq!(expected.len(), 60);
    let mut told = 0;
    for at in 0..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        match scores_of(&flipped) {
            Ok(scores) => assert_eq!(scores, expected, "byte {at}"),
            Err(error) => {
                let told_as = explain(&error);
                assert!(
                    !told_as.contains("a library could not"),
                    "byte {at}: {told_as}"
                );
                told += 1;
            }
        }
        if at % 8 == 0 {
            assert!(scores_of(&whole[..at]).is_err(), "cut at byte {at}");
        }
    }
    assert!(told > 1_000, "{told}");
}

#[test]
fn a_number_that_json_does_not_have_is_told_with_its_key_and_column() {
    let lines = concat!(
        "{\"id\":\"A1\",\"score\":NaN}\n{\"id\":\"A2\",\"score\":[1,-Infinity]}\n{\"other\":NaN,\"id\":\"A3\",\"score\":1}\n",
        "{\"id\":\"NaN\",\"score\":\"\\\"NaN\"}\n{\"id\":\"A5\",\"score\":Nan}\n",
    );
    let yielded = Place::with(&[("t.ndjson", lines)])
        .pull(&schema("t", &["id", "score"], None))
        .unwrap();
    assert_eq!(yielded.texts("id"), [Some("A3"), Some("NaN")]);
    assert_eq!(yielded.texts("score"), [Some("1"), Some("\"NaN")]);
    let told = |rejection: &Rejection| (rejection.key.clone(), rejection.column.clone());
    let at_score = |key: &str| (Some(key.to_owned()), Some("score".to_owned()));
    assert_eq!(
        yielded.rejections.iter().map(told).collect::<Vec<_>>(),
        [at_score("A1"), at_score("A2"), (None, None)]
    );
    assert_eq!(
        yielded.reasons()[0],
        "line 1 of `t.ndjson`: NaN is not a number that can be written"
    );
    assert_eq!(
        yielded.reasons()[1],
        "line 2 of `t.ndjson`: -Infinity is not a number that can be written"
    );
}

#[test]
fn files_of_other_encodings_and_line_ends_are_told_as_what_they_are() {
    let returns = "{\"id\":1}\r{\"id\":2}\r";
    let place = Place::with(&[
        ("r.ndjson", returns),
        ("r.csv", ""),
        ("fine.ndjson", "{\"id\":\r1}\r\n{\"id\":2}\r\n"),
    ]);
    fs::remove_file(place.folder.path().join("r.csv")).unwrap();
    let error = explain(&place.pull(&schema("r", &["id"], None)).unwrap_err());
    assert!(
        error.contains("its lines end with carriage returns alone"),
        "{error}"
    );
    assert_eq!(
        place
            .pull(&schema("fine", &["id"], None))
            .unwrap()
            .texts("id"),
        [Some("1"), Some("2")]
    );
    let wide: Vec<u8> = "\u{feff}id\n1\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(place.folder.path().join("w.csv"), wide).unwrap();
    let error = explain(&place.pull(&schema("w", &["id"], None)).unwrap_err());
    assert!(error.contains("it is written in UTF-16"), "{error}");
}

#[test]
fn a_model_joins_and_casts_over_files_of_every_format() {
    let mut accounts = df!("account" => ["A1", "A2", "A3"], "seats" => [10_i64, 20, 30]).unwrap();
    let place = Place::with(&[
        ("scores.csv", "id,score\nA1,87.50\nA2,12.25\nA9,1\n"),
        (
            "Labels.ndjson",
            "{\"id\":\"A1\",\"label\":\"x\"}\n{\"id\":\"A2\",\"other\":1}\n",
        ),
        ("unused.csv", ""),
    ])
    .parquet("accounts.parquet", &mut accounts);
    let sql = "WITH high AS (SELECT * FROM scores WHERE CAST(score AS DECIMAL(5,2)) > 10)
        SELECT a.account AS ID, CAST(h.score AS DECIMAL(5,2)) AS score, a.seats AS seats, l.label AS label
        FROM high h JOIN accounts a ON a.account = h.id LEFT JOIN labels l ON l.id = h.id ORDER BY a.account";
    let yielded = place
        .pull(&schema(
            "ignored",
            &["score", "id", "seats", "label"],
            Some(sql),
        ))
        .unwrap();
    assert_eq!(yielded.texts("id"), [Some("A1"), Some("A2")]);
    assert_eq!(yielded.texts("label"), [Some("x"), None]);
    assert_eq!(
        yielded.records.column("score").unwrap().dtype(),
        &DataType::Decimal(5, 2)
    );
    let seats: Vec<i64> = yielded
        .records
        .column("seats")
        .unwrap()
        .i64()
        .unwrap()
        .iter()
        .flatten()
        .collect();
    assert_eq!(seats, [10, 20]);
    assert_eq!(yielded.positions(), [0, 1]);
}

#[test]
fn a_model_over_many_records_keeps_their_order_and_counts_them_on() {
    let mut text = "id\n".to_owned();
    (0..100_000).for_each(|record| text.push_str(&format!("{record}\n")));
    let place = Place::with(&[("t.csv", &text)]);
    let yielded = place
        .pull(&schema(
            "x",
            &["id"],
            Some("SELECT id FROM t WHERE id <> '5'"),
        ))
        .unwrap();
    assert_eq!(yielded.read, 99_999);
    assert!(yielded.chunks >= 4);
    assert_eq!(yielded.texts("id")[4..7], [Some("4"), Some("6"), Some("7")]);
    assert_eq!(yielded.texts("id")[99_998], Some("99999"));
    assert_eq!(yielded.positions(), (0..99_999).collect::<Vec<u64>>());
}

#[test]
fn a_model_reads_parquet_of_large_row_groups_as_it_reads_others() {
    let mut frame = typed_frame(600_000);
    let place = Place::with(&[]).parquet_in_row_groups("t.parquet", &mut frame, 300_000);
    let sql = "SELECT id, score, kind, at FROM t WHERE id >= 100";
    let yielded = place
        .pull(&schema("x", &["id", "score", "kind", "at"], Some(sql)))
        .unwrap();
    let numbers: Vec<i64> = yielded
        .records
        .column("id")
        .unwrap()
        .i64()
        .unwrap()
        .iter()
        .flatten()
        .collect();
    assert_eq!(numbers, (100..600_000).collect::<Vec<i64>>());
    assert_eq!(yielded.texts("kind")[..2], [Some("high"), None]);
    assert_eq!(
        yielded.records.column("score").unwrap().dtype(),
        &DataType::Decimal(20, 2)
    );
}

#[test]
fn a_model_that_cannot_run_is_explained() {
    let place = Place::with(&[
        ("t.csv", "id,score\n1,secret-value\n"),
        ("bad.csv", "id\n1,2\n"),
    ]);
    let fails = |sql: &str| {
        explain(
            &place
                .pull(&schema("x", &["id", "score"], Some(sql)))
                .unwrap_err(),
        )
    };
    assert_eq!(
        fails("SELECT * FROM tt"),
        "table `tt` of `dashboard` does not exist | did you mean `t`?"
    );
    assert!(
        fails("SELECT * FROM bad")
            .contains("line 2 of `bad.csv` has 2 cells where the header has 1")
    );
    assert!(
        fails("SELECT id, nothing FROM t")
            .starts_with("the model of `sql/x.sql` failed on `dashboard`")
    );
    assert!(fails("SELECT id FROM").starts_with("the model of `sql/x.sql` failed on `dashboard`"));
    assert!(fails("SELECT * FROM read_parquet('/tmp/x')").contains("is a table function"));
    assert!(fails("SELECT * FROM main.t").contains("has more than one part"));
    assert_eq!(
        fails("SELECT id, score AS scores FROM t"),
        "column `score` of what the model of `sql/x.sql` yields does not exist | \
         did you mean `scores`? the columns are `id`, `scores`"
    );
    let cast = fails("SELECT id, CAST(score AS INTEGER) AS score FROM t");
    assert!(
        cast.starts_with("the model of `sql/x.sql` failed"),
        "{cast}"
    );
    assert!(!cast.contains("secret-value"), "{cast}");
}

/// A schema of typed columns, with a model.
fn typed_schema(columns: &[(&str, SchemaType)], model: &str) -> WriteBackSchema {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut schema = schema("ignored", &names, Some(model));
    for (column, (_, column_type)) in schema.columns.iter_mut().zip(columns) {
        column.column_type = *column_type;
    }
    schema
}

const TEXT: SchemaType = SchemaType::Text {
    characters_max: None,
};
const NUMBER: SchemaType = SchemaType::Decimal {
    size: Some(DecimalSize {
        precision: 5,
        scale: 2,
    }),
};

#[test]
fn a_model_over_text_compares_numbers_as_the_schema_declares_them() {
    let csv = "id,score,rank\nA1,9.50,7\nA2,100.00,10\nA3,20,9\nA4,,8\n";
    let ndjson = "{\"id\":\"A1\",\"score\":9.5,\"rank\":7}\n{\"id\":\"A2\",\"score\":\"100.00\",\"rank\":10}\n\
                  {\"id\":\"A3\",\"score\":20,\"rank\":9}\n{\"id\":\"A4\",\"score\":null,\"rank\":8}\n";
    for (file, text) in [("t.csv", csv), ("t.ndjson", ndjson)] {
        let place = Place::with(&[(file, text)]);
        let ids = |columns: &[(&str, SchemaType)], model: &str| {
            let yielded = place
                .pull(&typed_schema(columns, model))
                .map_err(|error| explain(&error))?;
            Ok::<Vec<String>, String>(
                yielded
                    .texts("id")
                    .into_iter()
                    .flatten()
                    .map(str::to_owned)
                    .collect(),
            )
        };
        let columns = [("id", TEXT), ("score", NUMBER)];
        for (model, expected) in [
            (
                "SELECT id, score FROM t WHERE score IS NOT NULL ORDER BY score DESC LIMIT 2",
                &["A2", "A3"][..],
            ),
            ("SELECT id, score FROM t WHERE score > 50", &["A2"]),
            (
                "SELECT id, score FROM t WHERE score >= 9.5 ORDER BY id",
                &["A1", "A2", "A3"],
            ),
            (
                "SELECT id, score FROM t WHERE score BETWEEN 10 AND 50",
                &["A3"],
            ),
            (
                "WITH s AS (SELECT id, score AS points FROM t) SELECT id, points AS score FROM s WHERE points > 50",
                &["A2"],
            ),
            (
                "SELECT id, CAST(score AS DOUBLE) AS score FROM t WHERE CAST(score AS DOUBLE) > 50",
                &["A2"],
            ),
            ("SELECT id, score FROM t WHERE score LIKE '9%'", &["A1"]),
        ] {
            assert_eq!(ids(&columns, model).unwrap(), expected, "{file}: {model}");
        }
        let ranked = [("id", TEXT), ("place", SchemaType::Integer { bits: 32 })];
        let model = "SELECT id, rank AS place FROM t ORDER BY place DESC LIMIT 1";
        assert_eq!(ids(&ranked, model).unwrap(), ["A2"], "{file}: {model}");
        let refused = ids(&columns, "SELECT id, score FROM t WHERE score > '50'").unwrap_err();
        assert!(
            refused.contains("the model of `sql/x.sql` failed"),
            "{refused}"
        );
    }
}

#[test]
fn a_model_that_compares_a_value_its_column_cannot_hold_is_refused() {
    let place = Place::with(&[("t.csv", "id,score\nA1,1.005\nA2,n/a\n")]);
    let pull = |model: &str| place.pull(&typed_schema(&[("id", TEXT), ("score", NUMBER)], model));
    let error = explain(&pull("SELECT id, score FROM t ORDER BY score").unwrap_err());
    assert!(
        error.starts_with("reading `t.csv` failed on `dashboard`: record 1, column `score`: "),
        "{error}"
    );
    assert!(
        error.contains("CAST(NULLIF(score, …) AS DECIMAL(5,2))"),
        "{error}"
    );
    // What is only handed on is judged record by record.
    assert_eq!(
        pull("SELECT id, score FROM t").unwrap().texts("score"),
        [Some("1.005"), Some("n/a")]
    );
}

#[test]
fn dropping_a_pull_stops_its_thread() {
    let mut text = "id\n".to_owned();
    (0..400_000).for_each(|record| text.push_str(&format!("{record}\n")));
    let place = Place::with(&[("t.csv", &text)]);
    runtime().block_on(async {
        for model in [None, Some("SELECT id FROM t")] {
            let mut source = AnySource::open(&place.connection(), &schema("t", &["id"], model))
                .await
                .unwrap();
            assert!(source.next_chunk().await.unwrap().is_some());
            let AnySource::Files(files) = source else {
                panic!("another source")
            };
            let sender = files.messages;
            drop(sender);
        }
    });
}

#[test]
fn text_files_are_described_by_what_their_records_suggest() {
    let header = "account_id,seats,score,zip,day,at,instant,active,ref,ratio,note,payload,nothing";
    let uuid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let records = format!(
        "A1,3,87.5,00123,2026-01-05,2026-01-05 10:00:00,2026-01-05T10:00:00Z,true,{uuid},1e-3,\"a, b\",\"[1]\",\n\
         A2,5000000000,1234.25,12345,2026-01-06,2026-01-05T10:00:00.5,2026-01-05T10:00:00+02:00,false,{uuid},2,,{{}},\n"
    );
    let place = Place::with(&[
        ("t.csv", &format!("{header}\n{records}")),
        ("none.csv", "id,name\n"),
    ]);
    assert_eq!(
        place.describe("main.T").unwrap(),
        [
            "account_id VARCHAR(16) NOT NULL KEY",
            "seats BIGINT NOT NULL",
            "score DECIMAL(6,2) NOT NULL",
            "zip VARCHAR(16) NOT NULL",
            "day DATE NOT NULL",
            "at TIMESTAMP NOT NULL",
            "instant TIMESTAMP WITH TIME ZONE NOT NULL",
            "active BOOLEAN NOT NULL",
            "ref UUID NOT NULL",
            "ratio DOUBLE PRECISION NOT NULL",
            "note VARCHAR(16)",
            "payload JSON NOT NULL",
            "nothing TEXT",
        ]
    );
    assert_eq!(place.describe("none").unwrap(), ["id TEXT", "name TEXT"]);
}

#[test]
fn json_and_parquet_files_are_described() {
    let mut frame = typed_frame(10);
    let place = Place::with(&[("j.ndjson", "{\"id\":1,\"a\":\"x\"}\n{\"id\":1,\"b\":[2]}\n")])
        .parquet("p.parquet", &mut frame);
    assert_eq!(
        place.describe("j").unwrap(),
        ["id INTEGER NOT NULL", "a VARCHAR(16)", "b JSON"]
    );
    assert_eq!(
        place.describe("p").unwrap(),
        [
            "id BIGINT NOT NULL KEY",
            "name TEXT",
            "label TEXT",
            "extra BIGINT",
            "score DECIMAL(20,2)",
            "day DATE",
            "at TIMESTAMP WITH TIME ZONE",
            "wall TIMESTAMP",
            "kind TEXT",
        ]
    );
    let decimal = SchemaType::Decimal {
        size: Some(DecimalSize {
            precision: 20,
            scale: 2,
        }),
    };
    assert_eq!(decimal.to_string(), "DECIMAL(20,2)");
}
