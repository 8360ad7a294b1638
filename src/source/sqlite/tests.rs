#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use std::path::PathBuf;

use sqlx::ConnectOptions as _;
use tempfile::TempDir;

use super::*;
use crate::domain::connection::{Limits, SqliteSettings, System};
use crate::domain::object_name::parse_object_name;
use crate::domain::problem::Location;
use crate::domain::record::RECORD_POSITION;
use crate::domain::schema::{SchemaColumn, SchemaType};

struct Place {
    folder: TempDir,
    connection: Connection,
}

impl Place {
    async fn with(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dashboard.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let mut made = options.connect().await.unwrap();
        sqlx::raw_sql(audited(script.to_owned()))
            .execute(&mut made)
            .await
            .unwrap();
        sqlx::Connection::close(made).await.unwrap();
        let system = System::Sqlite(SqliteSettings {
            file,
            database: None,
            create_from: None,
        });
        let connection = Connection {
            name: "dashboard".to_owned(),
            system,
            timezone: None,
            limits: Limits::default(),
        };
        Self { folder, connection }
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

fn schema(table: &[&str], columns: &[&str], model: Option<&str>) -> Schema {
    let column = |name: &&str| SchemaColumn {
        name: (*name).to_owned(),
        column_type: SchemaType::Text {
            characters_max: None,
        },
        nullable: true,
        location: Location {
            file: "sql/scores.sql".into(),
            line: 1,
            column: 1,
        },
    };
    Schema {
        table: table.iter().map(|part| (*part).to_owned()).collect(),
        columns: columns.iter().map(column).collect(),
        key: vec![0],
        model: model.map(str::to_owned),
        model_location: None,
        file: "sql/scores.sql".into(),
    }
}

async fn pull(place: &Place, schema: &Schema) -> Vec<Pulled> {
    let mut source = SqliteSource::open(&place.connection, schema).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = source.next_chunk().await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

fn column(pulled: &Pulled, name: &str) -> Vec<Option<String>> {
    let series = pulled
        .records
        .column(name)
        .unwrap()
        .as_materialized_series()
        .clone();
    series
        .str()
        .unwrap()
        .iter()
        .map(|text| text.map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn values_become_text_exactly() {
    let place = Place::with(
        "CREATE TABLE scores (id TEXT, v);
         INSERT INTO scores VALUES ('00123', 9223372036854775807), ('2', 87.5), ('3', 0.1), ('4', 1e16), ('5', 1e-9),
             ('6', NULL), ('7', ''), ('8', 'Ünïcode, \"x\"' || char(10)), ('9', 87.0), (10, -0.5)",
    )
    .await;
    let chunks = pull(&place, &schema(&["Scores"], &["ID", "v"], None)).await;
    assert_eq!(chunks.len(), 1);
    let expected = [
        "9223372036854775807",
        "87.5",
        "0.1",
        "10000000000000000",
        "0.000000001",
        "",
        "",
        "Ünïcode, \"x\"\n",
        "87",
        "-0.5",
    ];
    let mut expected: Vec<_> = expected
        .iter()
        .map(|text| Some((*text).to_owned()))
        .collect();
    expected[5] = None;
    assert_eq!(column(&chunks[0], "v"), expected);
    assert_eq!(column(&chunks[0], "ID")[0].as_deref(), Some("00123"));
    assert_eq!(chunks[0].read, 10);
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn what_is_no_text_and_no_number_rejects_its_record() {
    let place = Place::with(
        "CREATE TABLE scores (id, v); INSERT INTO scores VALUES ('a', 1), ('b', x'00'), (3, CAST(x'ff41' AS TEXT)), (x'01', 2)",
    )
    .await;
    let chunks = pull(&place, &schema(&["scores"], &["id", "v"], None)).await;
    let positions = chunks[0]
        .records
        .column(RECORD_POSITION)
        .unwrap()
        .as_materialized_series()
        .clone();
    assert_eq!(
        positions.u64().unwrap().iter().collect::<Vec<_>>(),
        [Some(0)]
    );
    let told: Vec<_> = chunks[0]
        .rejections
        .iter()
        .map(|rejection| {
            (
                rejection.record,
                rejection.key.as_deref(),
                rejection.column.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [(1, Some("b"), "v"), (2, Some("3"), "v"), (3, None, "id")]
    );
    assert_eq!(chunks[0].read, 4);
}

#[tokio::test]
async fn a_model_is_pulled_in_chunks_and_leaves_no_trace() {
    let place =
        Place::with("CREATE TABLE n (i INTEGER PRIMARY KEY); PRAGMA journal_mode = WAL;").await;
    let model = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000)
                 SELECT 'A' || i AS ID, i * 2 AS \"dou\"\"ble\" FROM n; -- the end";
    let model = model.replace("; -- the end", " -- the end");
    let chunks = pull(
        &place,
        &schema(&["anything"], &["id", "dou\"ble"], Some(&model)),
    )
    .await;
    let sizes: Vec<_> = chunks
        .iter()
        .map(|chunk| (chunk.read, chunk.records.height()))
        .collect();
    assert_eq!(sizes, [(32_768, 32_768), (32_768, 32_768), (4_464, 4_464)]);
    assert_eq!(
        column(&chunks[2], "dou\"ble").last().unwrap().as_deref(),
        Some("140000")
    );
    let positions = chunks[2]
        .records
        .column(RECORD_POSITION)
        .unwrap()
        .as_materialized_series()
        .clone();
    assert_eq!(positions.u64().unwrap().get(0), Some(65_536));
    let mut waited = 0;
    while place.files().len() > 1 && waited < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        waited += 1;
    }
    assert_eq!(place.files().len(), 1, "{:?}", place.files());
}

#[tokio::test]
async fn what_is_missing_is_told_with_what_is_there() {
    let place = Place::with("CREATE TABLE scores (id TEXT, health_score REAL)").await;
    for (table, columns, model, what, hint) in [
        (
            "score",
            vec!["id"],
            None,
            "table `score`",
            "did you mean `scores`?",
        ),
        (
            "scores",
            vec!["id", "healthscore"],
            None,
            "column `healthscore` of",
            "`health_score`",
        ),
        (
            "scores",
            vec!["x", "y"],
            None,
            "each of the columns `x`, `y`",
            "there are `id`, `health_score`",
        ),
        (
            "scores",
            vec!["id"],
            Some("SELECT id FROM nowhere"),
            "table `nowhere` in the model",
            "`scores`",
        ),
    ] {
        let error = SqliteSource::open(&place.connection, &schema(&[table], &columns, model))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, SystemError::NotFound { .. }), "{error:?}");
        assert!(
            error.to_string().contains(what) && error.hint().unwrap().contains(hint),
            "{error} {:?}",
            error.hint()
        );
    }
    for model in [
        "SELEC id FROM scores",
        "SELECT idd FROM scores",
        "\0",
        "SELECT 1) UNION SELECT * FROM (SELECT 2",
    ] {
        let opened =
            SqliteSource::open(&place.connection, &schema(&["t"], &["id"], Some(model))).await;
        assert!(opened.is_err(), "{model}");
    }
}

#[tokio::test]
async fn a_pull_sees_nothing_that_is_written_meanwhile() {
    let place = Place::with(
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v INT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO t SELECT i, 0 FROM n",
    )
    .await;
    let mut source = SqliteSource::open(&place.connection, &schema(&["t"], &["id", "v"], None))
        .await
        .unwrap();
    let file = place.folder.path().join("dashboard.db");
    let mut other = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("UPDATE t SET v = 1; DELETE FROM t WHERE id > 50000")
        .execute(&mut other)
        .await
        .unwrap();
    let mut read = 0;
    while let Some(chunk) = source.next_chunk().await.unwrap() {
        read += chunk.read;
        assert!(
            column(&chunk, "v")
                .iter()
                .all(|value| value.as_deref() == Some("0"))
        );
    }
    assert_eq!(read, 100_000);
}

#[tokio::test]
async fn a_pull_that_is_given_up_ends() {
    let place = Place::with("CREATE TABLE t (id)").await;
    let model =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n";
    let mut source = SqliteSource::open(&place.connection, &schema(&["t"], &["id"], Some(model)))
        .await
        .unwrap();
    assert!(source.next_chunk().await.unwrap().is_some());
    drop(source);
}

#[tokio::test]
async fn a_table_is_described_for_a_schema_file() {
    let place = Place::with(
        "CREATE TABLE \"my.scores\" (id VARCHAR(18) PRIMARY KEY, n SMALLINT NOT NULL, d DECIMAL(5,2), b BLOB, at TIMESTAMP)",
    )
    .await;
    let name = parse_object_name("\"my.scores\"").unwrap();
    let description = describe_table(&place.connection, &name).await.unwrap();
    assert_eq!(description.name, ["my.scores"]);
    assert_eq!(description.primary_key, ["id"]);
    let lines: Vec<_> = description
        .columns
        .iter()
        .map(|column| {
            let column_type = column
                .column_type
                .map(|column_type| column_type.to_string());
            format!(
                "{} {} {}",
                column.name,
                column_type.unwrap_or_default(),
                column.nullable
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "id VARCHAR(18) false",
            "n SMALLINT false",
            "d DECIMAL(5,2) true",
            "b  true",
            "at TIMESTAMP true"
        ]
    );
}
