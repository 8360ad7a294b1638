#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use polars::prelude::{Column, DataType, IntoColumn as _, NamedFrom as _, Series, TimeUnit};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnection;
use tempfile::TempDir;

use super::*;
use crate::domain::connection::{Limits, SqliteSettings, System};
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::LayoutField;
use crate::domain::match_rule::MatchMode;
use crate::domain::object::NamePart;
use crate::domain::value::Kind;

/// A database file of a test's own.
struct Place {
    folder: TempDir,
    connection: Connection,
}

impl Place {
    async fn with(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqliteSettings {
            file: folder.path().join("crm.db"),
            database: None,
            create_from: None,
        };
        let system = System::Sqlite(settings);
        let limits = Limits {
            lock_timeout: Duration::from_millis(200),
            ..Limits::default()
        };
        let place = Self {
            connection: Connection {
                name: "crm".to_owned(),
                system,
                timezone: None,
                limits,
            },
            folder,
        };
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(place.file())
            .create_if_missing(true);
        let mut made = options.connect().await.unwrap();
        sqlx::raw_sql(audited(script.to_owned()))
            .execute(&mut made)
            .await
            .unwrap();
        sqlx::Connection::close(made).await.unwrap();
        place
    }

    fn attached_as(mut self, database: &str) -> Self {
        if let System::Sqlite(settings) = &mut self.connection.system {
            settings.database = Some(database.to_owned());
        }
        self
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("crm.db")
    }

    /// A connection of somebody else.
    async fn other(&self) -> SqliteConnection {
        sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.file())
            .connect()
            .await
            .unwrap()
    }

    async fn destination(&self) -> SqliteDestination {
        SqliteDestination::connect(&self.connection).await.unwrap()
    }

    /// The answer of a query with one column of text.
    async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(audited(sql.to_owned()))
            .fetch_all(&mut self.other().await)
            .await
            .unwrap()
    }
}

fn name(parts: &[&str]) -> ObjectName {
    let part = |text: &&str| NamePart {
        text: (*text).to_owned(),
        quoted: false,
    };
    ObjectName {
        parts: parts.iter().map(part).collect(),
    }
}

/// A layout over all the object's columns that `fields` names, the first of them the key.
fn layout(object: &Object, fields: &[&str]) -> Layout {
    let field = |(position, wanted): (usize, &&str)| {
        let column = object
            .columns
            .iter()
            .find(|column| column.name == **wanted)
            .unwrap()
            .clone();
        let kind = column.holds.kind().unwrap();
        LayoutField {
            key: position == 0,
            ..LayoutField::plain(column, kind)
        }
    };
    Layout {
        object: object.clone(),
        mode: MatchMode::UpdateOnly,
        nulls: NullPolicy::Write,
        only_where: Vec::new(),
        fields: fields.iter().enumerate().map(field).collect(),
        key: vec![0],
    }
}

fn texts(name: &str, values: &[Option<&str>]) -> Column {
    Series::new(name.into(), values).into_column()
}

fn batch(columns: Vec<Column>) -> DataFrame {
    DataFrame::new_infer_height(columns).unwrap()
}

const ACCOUNTS: &str = "
    CREATE TABLE ACCOUNTS (ID VARCHAR(18) PRIMARY KEY, NAME TEXT, SCORE DECIMAL(5,2), OWNER TEXT NOT NULL DEFAULT 'nobody');
    INSERT INTO ACCOUNTS VALUES ('A1', 'Alpha', 87.5, 'x'), ('A2', '', NULL, 'x'), ('A3', NULL, 12, 'x');";

async fn written(
    destination: &mut SqliteDestination,
    layout: &Layout,
    batch: &DataFrame,
) -> Result<u64, SystemError> {
    destination.begin().await?;
    match destination.update(layout, batch).await {
        Ok(rows) => destination.commit().await.map(|()| rows),
        Err(error) => {
            destination.rollback().await?;
            Err(error)
        }
    }
}

#[tokio::test]
async fn names_of_one_and_two_parts_find_the_attached_file() {
    let place = Place::with(ACCOUNTS).await.attached_as("CRM");
    let mut destination = place.destination().await;
    for parts in [
        &["ACCOUNTS"][..],
        &["CRM", "ACCOUNTS"],
        &["crm", "accounts"],
    ] {
        let object = destination.describe(&name(parts)).await.unwrap();
        assert_eq!(object.display_name(), "CRM.ACCOUNTS");
        let layout = layout(&object, &["ID", "NAME"]);
        let batch = batch(vec![
            texts("ID", &[Some("A1")]),
            texts("NAME", &[Some("by")]),
        ]);
        assert_eq!(written(&mut destination, &layout, &batch).await.unwrap(), 1);
    }
    for parts in [
        &["main", "ACCOUNTS"][..],
        &["CRM", "ACOUNTS"],
        &["a", "CRM", "ACCOUNTS"],
    ] {
        let error = destination.describe(&name(parts)).await.unwrap_err();
        assert!(
            matches!(error, SystemError::NotFound { hint: Some(_), .. }),
            "{error:?}"
        );
    }
    destination.close().await;
    assert_eq!(place.texts("PRAGMA journal_mode").await, ["wal"]);
}

#[tokio::test]
async fn the_catalogue_tells_keys_indexes_and_loose_columns() {
    let place = Place::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE, a, b INT NOT NULL, c TEXT COLLATE RTRIM,
             g AS (a + b) STORED, h AS (a), d TEXT DEFAULT 'x');
         CREATE INDEX ab ON t (a, b); CREATE INDEX partial ON t (b) WHERE a > 1; CREATE INDEX lowered ON t (lower(c));
         CREATE INDEX misfit ON t (b, code COLLATE RTRIM, a); CREATE UNIQUE INDEX bytes ON t (code COLLATE BINARY, b);
         CREATE TABLE w (x TEXT, y TEXT, PRIMARY KEY (y, x)) WITHOUT ROWID;
         CREATE TABLE s (k INT PRIMARY KEY, v ANY) STRICT;",
    )
    .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["T"])).await.unwrap();
    assert_eq!(object.path, ["t"]);
    assert_eq!(object.primary_key, ["id"]);
    assert_eq!(
        object.unique_keys,
        [vec!["id"], vec!["code", "b"], vec!["code"]]
    );
    assert_eq!(
        object.indexes,
        [
            vec!["id"],
            vec!["code", "b"],
            vec!["b"],
            vec!["a", "b"],
            vec!["code"]
        ]
    );
    let loose: Vec<_> = object
        .columns
        .iter()
        .filter(|column| column.loosely_compared)
        .map(|c| &c.name)
        .collect();
    assert_eq!(loose, ["code", "c"]);
    let computed: Vec<_> = object
        .columns
        .iter()
        .filter(|column| column.generated)
        .map(|c| &c.name)
        .collect();
    assert_eq!(computed, ["g", "h"]);
    let required: Vec<_> = object
        .columns
        .iter()
        .filter(|column| !column.nullable && !column.has_default)
        .map(|c| &c.name)
        .collect();
    assert_eq!(required, ["b"]);

    let object = destination.describe(&name(&["w"])).await.unwrap();
    assert_eq!(object.unique_keys, [vec!["y", "x"]]);
    let object = destination.describe(&name(&["s"])).await.unwrap();
    assert_eq!(object.unique_keys, [vec!["k"]]);
    assert!(
        object
            .columns
            .iter()
            .all(|column| column.holds.kind().is_some())
    );
}

#[tokio::test]
async fn a_second_run_finds_every_type_unchanged() {
    let place = Place::with(
        "CREATE TABLE kinds (id VARCHAR(9) PRIMARY KEY, i INTEGER, d DECIMAL(9,2), whole NUMERIC, r REAL, b BOOLEAN,
             day DATE, t TIME, ts TIMESTAMP, tz TIMESTAMPTZ, u UUID, j JSON, untyped, s STRING, ci TEXT COLLATE NOCASE);
         INSERT INTO kinds (id, d, ci) VALUES ('a', '87.5', 'X'), ('b', 'none', 'y');",
    )
    .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["kinds"])).await.unwrap();
    let fields = [
        "id", "i", "d", "whole", "r", "b", "day", "t", "ts", "tz", "u", "j", "untyped", "s", "ci",
    ];
    let layout = layout(&object, &fields);
    let micros = DataType::Datetime(TimeUnit::Microseconds, None);
    let instants = Series::new("ts".into(), [1_763_188_200_000_000_i64, -1])
        .cast(&micros)
        .unwrap();
    let nanos = Series::new("t".into(), [23_400_000_000_000_i64, 1_000])
        .cast(&DataType::Time)
        .unwrap();
    let days = Series::new("day".into(), [20_000_i32, -1])
        .cast(&DataType::Date)
        .unwrap();
    let batch = batch(vec![
        texts("id", &[Some("a"), Some("b")]),
        Series::new("i".into(), [i64::MAX, i64::MIN]).into_column(),
        texts("d", &[Some("87.50"), Some("-0.01")]),
        texts("whole", &[Some("9007199254740993"), Some("87.00")]),
        Series::new("r".into(), [0.1, 1e300]).into_column(),
        Series::new("b".into(), [true, false]).into_column(),
        days.into_column(),
        nanos.into_column(),
        instants.clone().into_column(),
        instants.with_name("tz".into()).into_column(),
        texts("u", &[Some("00000000-0000-0000-0000-000000000000"), None]),
        texts("j", &[Some("{\"a\": 1.0}"), Some("[1]")]),
        texts("untyped", &[Some("007"), Some("")]),
        texts("s", &[Some("at risk"), Some("fünf")]),
        texts("ci", &[Some("x"), Some("y")]),
    ]);
    let found = destination
        .look_up(&layout, &batch, Before::Unread)
        .await
        .unwrap()
        .found;
    assert!(
        found.iter().all(|found| found.rows == 1 && found.differs),
        "{found:?}"
    );
    assert_eq!(written(&mut destination, &layout, &batch).await.unwrap(), 2);
    let LookedUp { found, before, .. } = destination
        .look_up(&layout, &batch, Before::OfAll)
        .await
        .unwrap();
    assert!(
        found.iter().all(|found| found.rows == 1 && !found.differs),
        "{found:?}"
    );
    let held: Vec<_> = before
        .of(0)
        .unwrap()
        .into_iter()
        .map(Option::unwrap)
        .collect();
    assert_eq!(
        held,
        [
            "a",
            "9223372036854775807",
            "87.5",
            "9007199254740993",
            "0.1",
            "1",
            "2024-10-04",
            "06:30:00",
            "2025-11-15 06:30:00",
            "2025-11-15 06:30:00+00:00",
            "00000000-0000-0000-0000-000000000000",
            "{\"a\": 1.0}",
            "007",
            "at risk",
            "x"
        ]
    );
    let classes = "SELECT typeof(i) || typeof(d) || typeof(whole) || typeof(r) || typeof(ts) || typeof(untyped) FROM kinds";
    let classes = place.texts(classes).await;
    assert_eq!(
        classes,
        [
            "integerrealintegerrealtexttext",
            "integerrealintegerrealtexttext"
        ]
    );
}

#[tokio::test]
async fn text_that_a_column_would_turn_into_a_number_is_refused() {
    let place =
        Place::with("CREATE TABLE t (id STRING PRIMARY KEY, s STRING); INSERT INTO t VALUES ('a', 7), ('7', 'x')")
            .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["t"])).await.unwrap();
    let layout = layout(&object, &["id", "s"]);
    let changed = batch(vec![texts("id", &[Some("a")]), texts("s", &[Some("007")])]);
    assert!(
        destination
            .look_up(&layout, &changed, Before::Unread)
            .await
            .unwrap()
            .found[0]
            .differs
    );
    let error = written(&mut destination, &layout, &changed)
        .await
        .unwrap_err();
    assert!(
        matches!(error, SystemError::Refused { column: Some(ref column), .. } if column == "s"),
        "{error:?}"
    );
    let same = batch(vec![
        texts("id", &[Some("a"), Some("007"), Some("7")]),
        texts("s", &[Some("7"); 3]),
    ]);
    let found = destination
        .look_up(&layout, &same, Before::Unread)
        .await
        .unwrap()
        .found;
    assert_eq!(
        found.iter().map(|found| found.rows).collect::<Vec<_>>(),
        [1, 0, 1]
    );
    assert!(!found[0].differs);
}

#[tokio::test]
async fn empty_and_null_follow_the_rules_of_their_field() {
    let place = Place::with(ACCOUNTS).await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["ACCOUNTS"])).await.unwrap();
    let mut layout = layout(&object, &["ID", "NAME", "SCORE"]);
    layout.fields[1].when = When::IfEmpty;
    let batch = batch(vec![
        texts("ID", &[Some("A1"), Some("A2"), Some("A3"), Some("A9")]),
        texts("NAME", &[Some("n1"), Some("n2"), Some("n3"), Some("n9")]),
        texts("SCORE", &[Some("87.50"), None, None, None]),
    ]);
    layout.nulls = NullPolicy::Keep;
    let found = destination
        .look_up(&layout, &batch, Before::Unread)
        .await
        .unwrap()
        .found;
    let seen: Vec<_> = found
        .iter()
        .map(|found| (found.rows, found.differs))
        .collect();
    assert_eq!(seen, [(1, false), (1, true), (1, true), (0, false)]);
    assert_eq!(written(&mut destination, &layout, &batch).await.unwrap(), 3);
    let held = "SELECT ID || ' ' || NAME || ' ' || coalesce(SCORE, 'NULL') FROM ACCOUNTS";
    assert_eq!(
        place.texts(held).await,
        ["A1 Alpha 87.5", "A2 n2 NULL", "A3 n3 12"]
    );

    layout.nulls = NullPolicy::Write;
    let found = destination
        .look_up(&layout, &batch, Before::Unread)
        .await
        .unwrap()
        .found;
    assert_eq!(
        found.iter().map(|found| found.differs).collect::<Vec<_>>(),
        [false, false, true, false]
    );
    assert_eq!(written(&mut destination, &layout, &batch).await.unwrap(), 3);
    assert_eq!(
        place.texts(held).await,
        ["A1 Alpha 87.5", "A2 n2 NULL", "A3 n3 NULL"]
    );
}

#[tokio::test]
async fn a_stamp_alone_makes_no_difference() {
    let place = Place::with(ACCOUNTS).await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["ACCOUNTS"])).await.unwrap();
    let mut layout = layout(&object, &["ID", "NAME", "OWNER"]);
    layout.fields[2].stamp = true;
    let batch = batch(vec![
        texts("ID", &[Some("A1")]),
        texts("NAME", &[Some("Alpha")]),
        texts("OWNER", &[Some("run 7")]),
    ]);
    assert!(
        !destination
            .look_up(&layout, &batch, Before::Unread)
            .await
            .unwrap()
            .found[0]
            .differs
    );
}

#[tokio::test]
async fn keys_match_by_their_bytes_whatever_the_collation() {
    let place = Place::with(
        "CREATE TABLE t (id TEXT COLLATE NOCASE, v TEXT); CREATE INDEX i ON t (id);
         INSERT INTO t VALUES ('a', ''), ('A', ''), ('b', ''), ('b', ''), ('C', '')",
    )
    .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["t"])).await.unwrap();
    let layout = layout(&object, &["id", "v"]);
    let batch = batch(vec![
        texts("id", &[Some("a"), Some("b"), Some("c")]),
        texts("v", &[Some("1"); 3]),
    ]);
    let LookedUp { found, before, .. } = destination
        .look_up(&layout, &batch, Before::OfAll)
        .await
        .unwrap();
    assert_eq!(
        found.iter().map(|found| found.rows).collect::<Vec<_>>(),
        [1, 2, 0]
    );
    assert!(before.of(0).is_some() && before.of(1).is_none());
}

#[tokio::test]
async fn every_record_of_a_large_batch_is_met_with_and_without_an_index() {
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
    for key in ["INTEGER PRIMARY KEY", "INTEGER"] {
        let script = format!(
            "CREATE TABLE t (id {key}, v TEXT); {numbers} INSERT INTO t SELECT i * 2, 'old' FROM n"
        );
        let place = Place::with(&script).await;
        let mut destination = place.destination().await;
        let object = destination.describe(&name(&["t"])).await.unwrap();
        let layout = layout(&object, &["id", "v"]);
        for records in [1, 4, 5, 1_024, 1_025, 3_001] {
            let ids: Vec<i64> = (0..records).collect();
            let new = format!("new {records}");
            let height = usize::try_from(records).unwrap();
            let batch = batch(vec![
                Series::new("id".into(), ids).into_column(),
                texts("v", &vec![Some(new.as_str()); height]),
            ]);
            let found = destination
                .look_up(&layout, &batch, Before::Unread)
                .await
                .unwrap()
                .found;
            let matched = found
                .iter()
                .filter(|found| found.rows == 1 && found.differs)
                .count();
            assert_eq!(matched, (height - 1) / 2, "{records} records by {key}");
            let updated = written(&mut destination, &layout, &batch).await.unwrap();
            assert_eq!(updated, u64::try_from(matched).unwrap());
            let held = format!("SELECT count(*) || '' FROM t WHERE v = '{new}'");
            assert_eq!(place.texts(&held).await, [matched.to_string()]);
        }
    }
}

/// Values of every storage class, those among them that SQLite itself cannot print exactly.
const STORED: &[&str] = &[
    "NULL",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "0.0",
    "-0.0",
    "1.0",
    "87.5",
    "-87.45",
    "0.1 + 0.2",
    "1e-7",
    "1234.5678",
    "-98765432.125",
    "9007199254740993.0",
    "5e-324",
    "1.7976931348623157e308",
    "9e999",
    "-9e999",
    "''",
    "'5'",
    "'5.0'",
    "'naïve ☃ '",
    "'a' || char(0) || 'b;t3:'",
    "char(0) || 'i:5'",
    "CAST(X'FF00FE' AS TEXT)",
    "X''",
    "X'00FF3B'",
];

#[tokio::test]
async fn before_images_put_together_are_what_each_row_holds() {
    let columns = ["INTEGER", "REAL", "NUMERIC", "TEXT", "", "STRING"];
    let names: Vec<String> = (0..columns.len())
        .map(|column| format!("c{column}"))
        .collect();
    let declared = names.iter().zip(columns);
    let declared: String = declared
        .map(|(name, kind)| format!(", {name} {kind}"))
        .collect();
    let rows: Vec<String> = STORED
        .iter()
        .enumerate()
        .map(|(row, value)| format!("({row}{})", format!(", {value}").repeat(columns.len())))
        .collect();
    let place = Place::with(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY{declared}, v TEXT); \
         INSERT INTO t SELECT *, 'old' FROM (VALUES {})",
        rows.join(", ")
    ))
    .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["t"])).await.unwrap();
    let fields: Vec<&str> = ["id", "v"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let mut layout = layout(&object, &fields);
    layout.fields.iter_mut().skip(2).for_each(|field| {
        field.own_text = true;
        field.kind = Kind::Text;
    });
    let nothing = || vec![None::<&str>; STORED.len()];
    let ids: Vec<i64> = (0..).take(STORED.len()).collect();
    let batch = batch(
        [
            Series::new("id".into(), ids).into_column(),
            texts("v", &vec![Some("new"); STORED.len()]),
        ]
        .into_iter()
        .chain(names.iter().map(|name| texts(name, &nothing())))
        .collect(),
    );
    let by_rows = {
        let mut answer = LookedUpBuilder::new(&layout, &batch);
        let all = positions_from(0, batch.height());
        let read = destination.read_rows(&layout, &batch, &all, Before::OfAll, &mut answer);
        read.await.unwrap();
        answer.finish()
    };
    for before in [Before::OfAll, Before::OfDiffering] {
        let together = destination.look_up(&layout, &batch, before).await.unwrap();
        assert_eq!(together.found, by_rows.found);
        for (record, stored) in STORED.iter().enumerate() {
            for (field, name) in fields.iter().enumerate() {
                let (together, alone) = (&together.before, &by_rows.before);
                assert!(alone.of(record).is_some());
                assert_eq!(
                    together.exact(record, field),
                    alone.exact(record, field),
                    "{stored} in {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn rows_read_ahead_are_surely_unchanged_where_they_hold_the_very_values() {
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
    let columns = "score REAL, share DECIMAL(5,2), seen DATE, note TEXT";
    let row = "i % 7 * 0.5, i % 3, '2026-11-15', CASE WHEN i % 2 THEN 'n' || i END";
    for key in ["INTEGER PRIMARY KEY", "TEXT PRIMARY KEY COLLATE NOCASE"] {
        let place = Place::with(&format!(
            "CREATE TABLE t (id {key}, {columns}); {numbers} INSERT INTO t SELECT 10000 + i, {row} FROM n; \
             UPDATE t SET share = share + 0.01 WHERE id = '10002'; UPDATE t SET note = 'x' WHERE id = '10004'; \
             UPDATE t SET score = 1e300 WHERE id = '10005'; DELETE FROM t WHERE id = '10006'"
        ))
        .await;
        let mut destination = place.destination().await;
        let object = destination.describe(&name(&["t"])).await.unwrap();
        let layout = layout(&object, &["id", "score", "share", "seen", "note"]);
        let records = 10_001_i64..=15_000;
        let is_text = key.starts_with("TEXT");
        let ids = Series::new("id".into(), records.clone().collect::<Vec<_>>());
        let ids = if is_text {
            ids.cast(&DataType::String).unwrap()
        } else {
            ids
        };
        let sent = |value: &dyn Fn(i64) -> Option<String>| -> Vec<Option<String>> {
            records.clone().map(|id| value(id - 10_000)).collect()
        };
        let scores = records
            .clone()
            .map(|id| f64::from(i32::try_from((id - 10_000) % 7).unwrap()) * 0.5);
        let days = vec![20_772_i32; 5_000];
        let batch = batch(vec![
            ids.into_column(),
            Series::new("score".into(), scores.collect::<Vec<_>>()).into_column(),
            Series::new("share".into(), sent(&|i| Some(format!("{}.00", i % 3)))).into_column(),
            Series::new("seen".into(), days)
                .cast(&DataType::Date)
                .unwrap()
                .into_column(),
            Series::new(
                "note".into(),
                sent(&|i| (i % 2 == 1).then(|| format!("n{i}"))),
            )
            .into_column(),
        ]);
        let told = destination
            .surely_unchanged(&layout, &batch, 10_000)
            .await
            .unwrap()
            .unwrap();
        let others: Vec<usize> = (0..5_000)
            .filter(|record| !told[*record])
            .map(|at| at + 1)
            .collect();
        assert_eq!(others, [2, 4, 5, 6], "{key}");
        let few = destination
            .surely_unchanged(&layout, &batch, 3_000)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            few.iter().filter(|told| **told).count(),
            2_996 + 1,
            "{key}: as many rows are read"
        );
    }
}

#[tokio::test]
async fn look_ups_and_updates_search_the_index() {
    for (column, extra) in [
        ("TEXT", ""),
        ("TEXT COLLATE NOCASE", ""),
        ("STRING", ""),
        ("DECIMAL(9,2)", ""),
        ("", ""),
    ] {
        let script = format!("CREATE TABLE t (id {column} PRIMARY KEY, v TEXT{extra})");
        let place = Place::with(&script).await;
        let mut destination = place.destination().await;
        let object = destination.describe(&name(&["t"])).await.unwrap();
        let layout = layout(&object, &["id", "v"]);
        assert!(layout.key_is_indexed() && layout.key_is_unique());
        let sent = Sent::to_write(&layout);
        for sql in [
            statements::look_up("main.t", &layout, &sent, 64, Answer::Packed(Before::OfAll)),
            statements::update("main.t", &layout, &sent, 64, statements::OnConflict::Unsaid)
                .unwrap(),
        ] {
            let plan = destination
                .database
                .fetch(format!("EXPLAIN QUERY PLAN {sql}"))
                .await
                .unwrap();
            let plan: Vec<String> = plan.iter().map(|step| step.get(3)).collect();
            assert!(
                plan.iter()
                    .any(|step| step.starts_with("SEARCH t USING") && step.contains("(id=?)")),
                "{plan:?}"
            );
        }
    }
}

#[tokio::test]
async fn records_are_inserted_and_their_defaults_are_kept() {
    let place = Place::with(ACCOUNTS).await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["ACCOUNTS"])).await.unwrap();
    let layout = layout(&object, &["ID", "NAME"]);
    let new = batch(vec![
        texts("ID", &[Some("B1"), Some("B2")]),
        texts("NAME", &[Some("one"), None]),
    ]);
    destination.begin().await.unwrap();
    assert_eq!(destination.insert(&layout, &new).await.unwrap(), 2);
    destination.commit().await.unwrap();
    let held = "SELECT ID || ' ' || coalesce(NAME, 'NULL') || ' ' || OWNER FROM ACCOUNTS WHERE ID > 'B' ORDER BY ID";
    assert_eq!(place.texts(held).await, ["B1 one nobody", "B2 NULL nobody"]);
    destination.begin().await.unwrap();
    let error = destination.insert(&layout, &new).await.unwrap_err();
    destination.rollback().await.unwrap();
    assert!(
        matches!(error, SystemError::Refused { column: Some(ref column), .. } if column == "ID"),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_the_database_refuses_is_told_in_its_own_words() {
    let place = Place::with(
        "CREATE TABLE t (id TEXT PRIMARY KEY, n TEXT NOT NULL, c TEXT CHECK (c <> 'no'), j TEXT CHECK (json(j) <> ''));
         INSERT INTO t VALUES ('a', 'x', 'y', '1');
         CREATE TRIGGER guard BEFORE UPDATE ON t WHEN NEW.n = 'never' BEGIN SELECT RAISE(ABORT, 'never say never'); END;
         CREATE TRIGGER end BEFORE UPDATE ON t WHEN NEW.n = 'end' BEGIN SELECT RAISE(ROLLBACK, 'all over'); END;",
    )
    .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["t"])).await.unwrap();
    for (field, value, words, column) in [
        ("n", None, "NOT NULL constraint failed: t.n", Some("n")),
        ("c", Some("no"), "CHECK constraint failed: c <> 'no'", None),
        ("n", Some("never"), "never say never", None),
        ("n", Some("end"), "all over", None),
        ("j", Some("{"), "malformed JSON", None),
    ] {
        let layout = layout(&object, &["id", field]);
        let batch = batch(vec![texts("id", &[Some("a")]), texts(field, &[value])]);
        match written(&mut destination, &layout, &batch).await {
            Err(SystemError::Refused {
                message,
                column: named,
                ..
            }) => {
                assert_eq!((message.as_str(), named.as_deref()), (words, column));
            }
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_view_is_written_through_its_triggers() {
    let place = Place::with(
        "CREATE TABLE base (id TEXT PRIMARY KEY, v TEXT, w TEXT); INSERT INTO base VALUES ('a', '1', '1');
         CREATE VIEW fixed AS SELECT * FROM base; CREATE VIEW open AS SELECT * FROM base;
         CREATE TRIGGER u INSTEAD OF UPDATE OF v ON open BEGIN UPDATE base SET v = NEW.v WHERE id = OLD.id; END;",
    )
    .await;
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["fixed"])).await.unwrap();
    assert_eq!(object.kind, ObjectKind::View { updatable: false });
    let object = destination.describe(&name(&["open"])).await.unwrap();
    assert_eq!(object.kind, ObjectKind::View { updatable: true });
    let may: Vec<_> = object
        .columns
        .iter()
        .map(|column| (column.may_update, column.may_insert))
        .collect();
    assert_eq!(may, [(false, false), (true, false), (false, false)]);
    let layout = layout(&object, &["id", "v"]);
    let batch = batch(vec![texts("id", &[Some("a")]), texts("v", &[Some("2")])]);
    assert_eq!(written(&mut destination, &layout, &batch).await.unwrap(), 1);
    assert_eq!(place.texts("SELECT v || w FROM base").await, ["21"]);
}

#[tokio::test]
async fn names_are_quoted_whatever_they_hold() {
    let place = Place::with(
        "CREATE TABLE \"incoming\" (\"n\" TEXT PRIMARY KEY, \"c0\" TEXT, \"se\"\"lect`é]\" TEXT);
         INSERT INTO incoming VALUES ('k', '', '');",
    )
    .await
    .attached_as("my \"db\"");
    let mut destination = place.destination().await;
    let object = destination.describe(&name(&["incoming"])).await.unwrap();
    let fields: Vec<_> = object
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let layout = layout(&object, &fields);
    let batch = batch(vec![
        texts("n", &[Some("k")]),
        texts("c0", &[Some("1")]),
        texts("x", &[Some("'); DROP TABLE incoming; --")]),
    ]);
    assert_eq!(written(&mut destination, &layout, &batch).await.unwrap(), 1);
    assert!(
        !destination
            .look_up(&layout, &batch, Before::Unread)
            .await
            .unwrap()
            .found[0]
            .differs
    );
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_waited_for_and_then_told() {
    let place = Place::with(ACCOUNTS).await;
    let mut destination = place.destination().await;
    let mut other = place.other().await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let error = destination.begin().await.unwrap_err();
    assert!(
        error.is_transient() && matches!(error, SystemError::Contended { .. }),
        "{error:?}"
    );
    assert!(
        destination
            .describe(&name(&["ACCOUNTS"]))
            .await
            .unwrap()
            .columns
            .iter()
            .all(|column| column.may_update)
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    destination.begin().await.unwrap();
    destination.rollback().await.unwrap();
}

#[tokio::test]
async fn a_table_that_was_altered_between_two_transactions_is_known_as_it_is_now() {
    let place = Place::with("CREATE TABLE t (id TEXT PRIMARY KEY, score INTEGER)").await;
    let mut crm = place.destination().await;
    let object = crm.describe(&name(&["t"])).await.unwrap();
    let layout = layout(&object, &["id", "score"]);
    let mut told = Vec::new();
    let columns = [
        "score INTEGER",
        "score TEXT NOT NULL ON CONFLICT IGNORE",
        "score INTEGER UNIQUE ON CONFLICT REPLACE",
    ];
    for column in columns {
        let alter = format!("DROP TABLE t; CREATE TABLE t (id TEXT PRIMARY KEY, {column})");
        let altered = sqlx::raw_sql(audited(alter));
        altered.execute(&mut place.other().await).await.unwrap();
        // Twice, so that it is also told from what is known.
        for _ in ["asked", "known"] {
            crm.begin().await.unwrap();
            let declared = crm.declarations(&object).await.unwrap();
            let on_conflict = crm.on_conflict(&layout).await.unwrap();
            told.push((declared[1].declared.clone(), on_conflict));
            crm.commit().await.unwrap();
        }
    }
    let expected = [
        ("INTEGER".to_owned(), OnConflict::Unsaid),
        ("TEXT".to_owned(), OnConflict::Abort),
        ("INTEGER".to_owned(), OnConflict::Abort),
    ];
    let twice = expected.into_iter().flat_map(|one| [one.clone(), one]);
    assert_eq!(told, twice.collect::<Vec<_>>());
    // Between transactions anybody may alter it.
    let alter = "DROP TABLE t; CREATE TABLE t (id TEXT PRIMARY KEY, score REAL)";
    let altered = sqlx::raw_sql(alter).execute(&mut place.other().await).await;
    altered.unwrap();
    let declared = crm.declarations(&object).await.unwrap();
    assert_eq!(declared[1].declared, "REAL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_writers_take_turns() {
    let place = Place::with(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1, 0)",
    )
    .await;
    let mut first = place.destination().await;
    let object = first.describe(&name(&["t"])).await.unwrap();
    let layout = Arc::new(layout(&object, &["id", "v"]));
    let mut writers = Vec::new();
    for writer in 0..4_i64 {
        let mut destination = place.destination().await;
        let layout = Arc::clone(&layout);
        writers.push(tokio::spawn(async move {
            for turn in 0..25_i64 {
                let id = Series::new("id".into(), [1_i64]).into_column();
                let value = Series::new("v".into(), [writer * 100 + turn]).into_column();
                assert_eq!(
                    written(&mut destination, &layout, &batch(vec![id, value]))
                        .await
                        .unwrap(),
                    1
                );
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // A writer that goes away in the middle of a transaction gives up its turn and its changes.
    first.begin().await.unwrap();
    drop(first);
    let mut last = place.destination().await;
    last.begin().await.unwrap();
    last.rollback().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_stopped() {
    let mut place =
        Place::with("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    place.connection.limits.statement_timeout = Duration::from_millis(50);
    let mut destination = place.destination().await;
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let error = destination
        .database
        .fetch(endless.to_owned())
        .await
        .unwrap_err();
    let error = destination.database.sort_error("counting", error);
    assert!(
        error.hint().unwrap().contains("statement_timeout"),
        "{error:?}"
    );
    destination.begin().await.unwrap();
    destination.rollback().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_the_user_may_not_write_is_known_before_writing() {
    use std::os::unix::fs::PermissionsExt as _;
    for database in [None, Some("CRM")] {
        let mut place = Place::with(ACCOUNTS).await;
        if let Some(database) = database {
            place = place.attached_as(database);
        }
        std::fs::set_permissions(place.file(), std::fs::Permissions::from_mode(0o444)).unwrap();
        // The superuser may write it all the same.
        let may_write = std::fs::OpenOptions::new()
            .append(true)
            .open(place.file())
            .is_ok();
        let mut destination = place.destination().await;
        let object = destination.describe(&name(&["ACCOUNTS"])).await.unwrap();
        assert!(
            object
                .columns
                .iter()
                .all(|column| column.may_update == may_write && column.may_insert == may_write)
        );
        let layout = layout(&object, &["ID", "NAME"]);
        let batch = batch(vec![
            texts("ID", &[Some("A1")]),
            texts("NAME", &[Some("new")]),
        ]);
        match written(&mut destination, &layout, &batch).await {
            Ok(_) => assert!(may_write),
            Err(error) => assert!(
                !may_write && matches!(error, SystemError::Forbidden { .. }),
                "{error:?}"
            ),
        }
    }
}
