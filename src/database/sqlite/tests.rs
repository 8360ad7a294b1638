#![expect(clippy::unwrap_used, reason = "tests may")]

use std::path::PathBuf;

use sqlx::Row as _;
use tempfile::TempDir;

use super::*;
use crate::domain::connection::Limits;
use crate::domain::connection::System;

fn connection(folder: &TempDir, database: Option<&str>, script: Option<&str>) -> Connection {
    let create_from = script.map(|script| {
        let file = folder.path().join("crm.sql");
        std::fs::write(&file, script).unwrap();
        file
    });
    let settings = SqliteSettings {
        file: folder.path().join("new/crm.db"),
        database: database.map(str::to_owned),
        create_from,
    };
    let limits = Limits {
        lock_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    Connection {
        name: "crm".to_owned(),
        system: System::Sqlite(settings),
        timezone: None,
        limits,
    }
}

fn files_in(folder: &TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path().join("new"));
    entries
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default()
}

#[tokio::test]
async fn an_absent_file_is_made_from_its_script_once() {
    let folder = tempfile::tempdir().unwrap();
    let connection = connection(
        &folder,
        Some("CRM"),
        Some("CREATE TABLE t (a); INSERT INTO t VALUES (1); -- end"),
    );
    let opened = futures_util::future::join_all(
        (0..8).map(|_| SqliteDatabase::open(&connection, Access::Write)),
    )
    .await;
    for database in opened {
        let mut database = database.unwrap();
        sqlx::raw_sql("INSERT INTO t VALUES (2)")
            .execute(database.connection())
            .await
            .unwrap();
        database.close().await;
    }
    let mut database = SqliteDatabase::open(&connection, Access::Read)
        .await
        .unwrap();
    let count: Result<i64, _> = sqlx::query_scalar("SELECT count(*) FROM \"crm\".t")
        .fetch_one(database.connection())
        .await;
    assert_eq!(count.unwrap(), 9);
    database.close().await;
    assert_eq!(files_in(&folder), [folder.path().join("new/crm.db")]);
}

#[tokio::test]
async fn a_script_that_fails_leaves_nothing() {
    for script in [
        "CREATE TABLE t (a); nonsense",
        "BEGIN; CREATE TABLE t (a);",
        "CREATE TABLE t (a)\0",
        "INSERT INTO u VALUES (1)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = SqliteDatabase::open(&connection(&folder, None, Some(script)), Access::Write)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, SystemError::Failed { doing, .. } if doing.contains("crm.sql")),
            "{error:?}"
        );
        assert_eq!(files_in(&folder), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn an_absent_file_without_a_script_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteDatabase::open(&connection(&folder, None, None), Access::Write)
        .await
        .unwrap_err();
    assert!(
        matches!(error, SystemError::NotFound { hint: Some(_), .. }),
        "{error:?}"
    );
    assert_eq!(files_in(&folder), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_file_that_is_no_database_says_so() {
    for database in [None, Some("CRM")] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("new")).unwrap();
        std::fs::write(
            folder.path().join("new/crm.db"),
            "id,score\nA1,10\n".repeat(100),
        )
        .unwrap();
        let error = SqliteDatabase::open(&connection(&folder, database, None), Access::Write)
            .await
            .unwrap_err();
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("not a SQLite database")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_connection_that_reads() {
    for database in [None, Some("CRM")] {
        let folder = tempfile::tempdir().unwrap();
        let connection = connection(
            &folder,
            database,
            Some("CREATE TABLE t (a); PRAGMA journal_mode = WAL;"),
        );
        let mut database = SqliteDatabase::open(&connection, Access::Read)
            .await
            .unwrap();
        let error = sqlx::raw_sql("INSERT INTO t VALUES (1)")
            .execute(database.connection())
            .await
            .unwrap_err();
        let error = database.sort_error("writing", error);
        assert!(matches!(error, SystemError::Forbidden { .. }), "{error:?}");
        database.close().await;
        assert_eq!(files_in(&folder).len(), 1, "{:?}", files_in(&folder));
    }
}

#[tokio::test]
async fn foreign_keys_and_durability_hold_for_the_attached_file() {
    let folder = tempfile::tempdir().unwrap();
    let script = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p);";
    let mut database = SqliteDatabase::open(
        &connection(&folder, Some("CRM"), Some(script)),
        Access::Write,
    )
    .await
    .unwrap();
    let error = sqlx::raw_sql("INSERT INTO CRM.c VALUES (1)")
        .execute(database.connection())
        .await
        .unwrap_err();
    assert!(matches!(
        database.sort_error("inserting", error),
        SystemError::Refused { .. }
    ));
    let level: i64 = sqlx::query_scalar("PRAGMA CRM.synchronous")
        .fetch_one(database.connection())
        .await
        .unwrap();
    assert_eq!(level, 2);
}

#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    for database in [None, Some("CRM")] {
        let folder = tempfile::tempdir().unwrap();
        let connection = connection(
            &folder,
            database,
            Some("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a);"),
        );
        let error = SqliteDatabase::open(&connection, Access::Read)
            .await
            .unwrap_err();
        assert!(matches!(error, SystemError::Failed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn statements_given_at_once_answer_each_for_itself_and_end_with_the_first_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let script = Some("CREATE TABLE t (a UNIQUE)");
    let connection = connection(&folder, None, script);
    let opened = SqliteDatabase::open(&connection, Access::Write).await;
    let mut database = opened.unwrap();
    let numbers = |rows: &Vec<SqliteRow>| -> Vec<i64> {
        let numbers = rows.iter().map(|row| row.get(0));
        numbers.collect()
    };
    // The second time they are prepared already.
    for _ in ["prepared", "kept"] {
        let statements = sqlx::query(
            "DELETE FROM t; INSERT INTO t VALUES (?), (?); SELECT a FROM t WHERE a > ? ORDER BY a;
             UPDATE t SET a = a + ? RETURNING a",
        );
        let statements = statements.bind(1).bind(2).bind(0).bind(10);
        let answers = at_once(statements, database.connection()).await.unwrap();
        let told: Vec<Vec<i64>> = answers.iter().map(numbers).collect();
        assert_eq!(told, [vec![], vec![], vec![1, 2], vec![11, 12]]);
    }
    let statements = "UPDATE t SET a = 1 WHERE a = ?; INSERT INTO t VALUES (?); DELETE FROM t";
    let statements = sqlx::query(statements).bind(11).bind(1);
    let failed = at_once(statements, database.connection()).await;
    assert!(failed.unwrap_err().to_string().contains("UNIQUE"));
    let left = database.fetch("SELECT a FROM t ORDER BY a".to_owned());
    assert_eq!(numbers(&left.await.unwrap()), [1, 12]);
}
