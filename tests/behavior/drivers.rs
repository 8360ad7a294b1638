//! Sources that are read through drivers: DuckDB and PostgreSQL by theirs, and Snowflake's where it
//! was fetched.

use std::path::Path;

use crate::harness::{
    CANARY, DuckDb, FIELDS, PASSWORD, Ran, SCORES, Server, Workspace, drivers_folder, wait_until,
};

const ROWS: &str = "id,score,note\nA1,1,\nA2,1,\nA3,1,\n";

/// A destination on a server, and a DuckDB file `data/scores.duckdb` as the source of the job.
fn place(server: Server, columns: &str, sql: &[&str]) -> Workspace {
    let place = Workspace::on(server);
    place.scores(columns, "").job("source = 'scores'", FIELDS);
    let connection = "[connections.scores]\nkind = \"duckdb\"\nfile = \"data/scores.duckdb\"\n\n";
    place.file(
        "writeback.toml",
        &(connection.to_owned() + &place.connection("crm")),
    );
    let mut duckdb = DuckDb::open(&place.path("data/scores.duckdb"));
    for sql in sql {
        duckdb.execute(sql);
    }
    place
}

fn command(place: &Workspace, arguments: &[&str]) -> Ran {
    let folder = drivers_folder();
    place.command_with(
        arguments,
        &[("ADBC_DRIVER_PATH", folder.to_str().expect("a plain path"))],
    )
}

fn run(place: &Workspace) -> Ran {
    command(place, &["run", "job", "--json"])
}

fn model(place: &Workspace, columns: &str, model: &str) {
    place.file(
        "sql/scores.sql",
        &format!("CREATE TABLE scores ({columns});\n{model}\n"),
    );
}

/// A job of one column `v` of this type, whose values a model selects.
fn run_values(place: &Workspace, schema: &str, values: &[&str]) -> (Ran, String) {
    let rows: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(row, value)| format!("SELECT 'A{row}' AS id, {value} AS v"))
        .collect();
    model(
        place,
        &format!("id VARCHAR(18) PRIMARY KEY, v {schema}"),
        &rows.join("\nUNION ALL\n"),
    );
    let run = run(place);
    let rows = place.query("SELECT id, v FROM accounts");
    (run, rows)
}

#[test]
fn every_value_of_duckdb_arrives_as_it_is_or_is_refused() {
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        (
            "DECIMAL(38,10)",
            "numeric",
            &["1234567890123456789012345678.0123456789::DECIMAL(38,10)"],
            &["1234567890123456789012345678.0123456789"],
        ),
        (
            "DECIMAL",
            "numeric",
            &["170141183460469231731687303715884105727::HUGEINT"],
            &["170141183460469231731687303715884105727"],
        ),
        (
            "DECIMAL",
            "numeric",
            &["340282366920938463463374607431768211455::UHUGEINT"],
            &["340282366920938463463374607431768211455"],
        ),
        (
            "DECIMAL(20,0)",
            "numeric(20)",
            &["18446744073709551615::UBIGINT"],
            &["18446744073709551615"],
        ),
        (
            "BIGINT",
            "bigint",
            &["(-9223372036854775808)::BIGINT"],
            &["-9223372036854775808"],
        ),
        (
            "TIMESTAMP",
            "timestamp",
            &["TIMESTAMP '9999-12-31 23:59:59.999999'"],
            &["9999-12-31 23:59:59.999999"],
        ),
        (
            "TIMESTAMP",
            "timestamp",
            &["TIMESTAMP '0001-01-01 00:00:00'"],
            &["0001-01-01 00:00:00"],
        ),
        (
            "TIMESTAMP",
            "timestamp",
            &["TIMESTAMP_S '1969-12-31 23:59:59'"],
            &["1969-12-31 23:59:59"],
        ),
        (
            "TIMESTAMP",
            "timestamp",
            &["TIMESTAMP_NS '2026-01-01 00:00:00.123456'"],
            &["2026-01-01 00:00:00.123456"],
        ),
        (
            "TIMESTAMP WITH TIME ZONE",
            "timestamptz",
            &["TIMESTAMPTZ '2026-01-01 00:00:00+05:30'"],
            &["2025-12-31 18:30:00+00"],
        ),
        (
            "DATE",
            "date",
            &["DATE '0001-01-01'", "DATE '9999-12-31'"],
            &["0001-01-01", "9999-12-31"],
        ),
        (
            "TIME",
            "time",
            &["TIME '23:59:59.999999'"],
            &["23:59:59.999999"],
        ),
        (
            "UUID",
            "uuid",
            &["'5ef71227-efd7-4200-817c-acc01862c71c'::UUID"],
            &["5ef71227-efd7-4200-817c-acc01862c71c"],
        ),
        (
            "JSON",
            "json",
            &["'{\"b\": 1.10, \"a\": null}'::JSON"],
            &["\"{\"\"b\"\": 1.10, \"\"a\"\": null}\""],
        ),
        (
            "BOOLEAN",
            "boolean",
            &["true", "false", "NULL::BOOLEAN"],
            &["t", "f", ""],
        ),
        (
            "DOUBLE PRECISION",
            "double precision",
            &["0.1::DOUBLE", "-0.0::DOUBLE"],
            &["0.1", "-0"],
        ),
        ("REAL", "real", &["0.1::FLOAT"], &["0.1"]),
        (
            "TEXT",
            "text",
            &["'a,\"b\"\n'", "''", "NULL::VARCHAR"],
            &["\"a,\"\"b\"\"\n\"", "\"\"", ""],
        ),
        ("VARCHAR(9)", "text", &["'b'::ENUM('a', 'b')"], &["b"]),
        ("TEXT", "text", &["'bytes'::BLOB"], &["bytes"]),
        (
            "SMALLINT",
            "smallint",
            &["255::UTINYINT", "(-128)::TINYINT"],
            &["255", "-128"],
        ),
    ];
    let place = place(Server::Postgres, SCORES, &["CREATE TABLE t (i INTEGER)"]);
    place.job(
        "source = 'scores'\nmatching = 'upsert'",
        "id = 'id'\nv = 'v'",
    );
    place.execute("SET TIME ZONE 'UTC'");
    for (schema, column, values, expected) in cases {
        place.execute(&format!(
            "DROP TABLE IF EXISTS accounts; CREATE TABLE accounts (id varchar(18) primary key, v {column})"
        ));
        let (run, rows) = run_values(&place, schema, values);
        assert_eq!(
            run.summary(),
            format!("{0} read = {0} inserted", values.len()),
            "{values:?}: {run}"
        );
        let expected: String = expected
            .iter()
            .enumerate()
            .map(|(row, value)| format!("A{row},{value}\n"))
            .collect();
        assert_eq!(rows, format!("id,v\n{expected}"), "{values:?}");
    }
}

#[test]
fn values_that_no_type_holds_reject_their_record_or_name_their_column() {
    let place = place(Server::Sqlite, SCORES, &["CREATE TABLE t (i INTEGER)"]);
    place.job(
        "source = 'scores'\nmatching = 'upsert'",
        "id = 'id'\nv = 'v'",
    );
    place.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY, v TEXT)");
    for (schema, value) in [
        ("TIMESTAMP", "TIMESTAMP 'infinity'"),
        ("DATE", "DATE 'infinity'"),
        ("TIMESTAMP", "TIMESTAMP_NS '2026-01-01 00:00:00.123456789'"),
        ("TIME", "TIME '24:00:00'"),
        ("DOUBLE PRECISION", "'nan'::DOUBLE"),
        ("TEXT", "'\\xFF'::BLOB"),
    ] {
        let (run, _) = run_values(&place, schema, &[value]);
        assert_eq!(run.summary(), "1 read = 1 rejected", "{value}: {run}");
    }
    for (schema, value, held) in [
        (
            "TIME",
            "'12:00:00+02'::TIMETZ",
            "the database's type `time_tz`",
        ),
        (
            "TEXT",
            "INTERVAL 1 DAY",
            "Arrow's type Interval(MonthDayNano)",
        ),
        ("TEXT", "[1, 2]", "Arrow's type List(Int32"),
        ("TEXT", "'101'::BIT", "the database's type `bit`"),
    ] {
        let (run, _) = run_values(&place, schema, &[value]);
        assert_eq!(run.code, 2, "{value}: {run}");
        assert!(
            run.stderr.contains("column `v` of `sql/scores.sql`") && run.stderr.contains(held),
            "{value}: {run}"
        );
        assert!(run.stderr.contains("CAST(x AS VARCHAR)"), "{value}: {run}");
    }
    assert_eq!(place.rows("accounts"), "\n");
}

#[test]
fn a_model_goes_to_the_database_word_by_word() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &[
            "CREATE TABLE raw (id VARCHAR, score INTEGER, day TIMESTAMP)",
            "INSERT INTO raw VALUES ('A1', 1, '2026-01-01'), ('A1', 7, '2026-01-02'), ('A2', 5, '2026-01-01'), ('A3', 1, '2026-01-01')",
        ],
    );
    place.table("accounts", SCORES, ROWS);
    model(
        &place,
        SCORES,
        "WITH latest AS (SELECT *, row_number() OVER (PARTITION BY id ORDER BY day DESC) AS place FROM raw)\n\
        SELECT id, score AS SCORE, 'q' || score AS note FROM latest WHERE place = 1 ORDER BY score DESC LIMIT 2; -- the best two",
    );
    assert_eq!(run(&place).summary(), "2 read = 2 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,7,q7\nA2,5,q5\nA3,1,\n"
    );
}

#[test]
fn a_table_is_pulled_by_its_name_and_described_for_a_schema_file() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &[
            "CREATE SCHEMA s",
            "CREATE TABLE s.\"the scores\" (\"id\" VARCHAR, score DECIMAL(5,2), note VARCHAR, odd INTERVAL)",
            "INSERT INTO s.\"the scores\" VALUES ('A1', 2, 'x', NULL)",
        ],
    );
    place.table("accounts", SCORES, ROWS);
    place.file(
        "sql/scores.sql",
        &format!(
            "CREATE TABLE s.\"the scores\" ({});",
            SCORES.replace("INTEGER", "DECIMAL(5,2)")
        ),
    );
    assert_eq!(run(&place).summary(), "1 read = 1 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note\nA1,2,x\nA2,1,\nA3,1,\n"
    );
    let schema = command(&place, &["schema", "scores", "s.\"the scores\""]);
    assert_eq!(schema.code, 0, "{schema}");
    for line in ["id", "score", "DECIMAL(5,2)", "note", "TEXT"] {
        assert!(schema.stdout.contains(line), "{schema}");
    }
}

#[test]
fn check_names_the_driver_and_runs_the_model_unless_it_is_to_be_quick() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &[
            "CREATE TABLE scores (id VARCHAR, score INTEGER, note VARCHAR)",
            "INSERT INTO scores VALUES ('A1', 2, 'x')",
        ],
    );
    place.table("accounts", SCORES, ROWS);
    let check = command(&place, &["check"]);
    assert_eq!(check.code, 0, "{check}");
    assert!(
        check.stdout.contains("read by ADBC DuckDB Driver v1."),
        "{check}"
    );
    model(
        &place,
        SCORES,
        "SELECT id, score, error('it ran') AS note FROM scores",
    );
    assert_eq!(command(&place, &["check", "--quick"]).code, 0);
    let check = command(&place, &["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(check.stderr.contains("it ran"), "{check}");
    model(&place, SCORES, "SELECT id, scor, note FROM scores");
    let check = command(&place, &["check"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(check.stderr.contains("scor"), "{check}");
    model(
        &place,
        SCORES,
        "SELECT id, score AS scores, note FROM scores",
    );
    let check = command(&place, &["check"]);
    assert!(
        check
            .stderr
            .contains("column `score` of `sql/scores.sql` does not exist"),
        "{check}"
    );
    assert!(check.stderr.contains("did you mean `scores`?"), "{check}");
}

#[test]
fn a_file_that_another_process_writes_to_is_told_as_what_it_is() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &[
            "CREATE TABLE scores (id VARCHAR, score INTEGER, note VARCHAR)",
            "INSERT INTO scores VALUES ('A1', 9, NULL)",
        ],
    );
    place.table("accounts", SCORES, ROWS);
    let open = DuckDb::open(&place.path("data/scores.duckdb"));
    let run = run(&place);
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr
            .contains("another process has the file open for writing"),
        "{run}"
    );
    drop(open);
    assert_eq!(self::run(&place).code, 0);
}

#[test]
fn nothing_is_written_to_a_duckdb_file_that_is_a_source() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &["CREATE TABLE scores (id VARCHAR, score INTEGER, note VARCHAR)"],
    );
    place.table("accounts", SCORES, ROWS);
    let before = std::fs::read(place.path("data/scores.duckdb")).expect("a file");
    model(
        &place,
        SCORES,
        "DELETE FROM scores RETURNING id, score, note",
    );
    let run = run(&place);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(
        std::fs::read(place.path("data/scores.duckdb")).expect("a file"),
        before
    );
}

#[test]
fn a_driver_that_is_not_there_is_named_with_the_way_to_get_it() {
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", SCORES, ROWS)
        .scores(SCORES, "")
        .job("source = 'lake'", FIELDS);
    let lake = |settings: &str| {
        format!(
            "[connections.lake]\nkind = \"adbc\"\n{settings}\n{}",
            place.connection("crm")
        )
    };
    for (settings, told, hint) in [
        (
            "driver = 'nosuch'",
            "loading the ADBC driver `nosuch`",
            "dbc install nosuch",
        ),
        (
            "profile = 'nosuch'",
            "loading the ADBC profile `nosuch`",
            "ADBC_PROFILE_PATH",
        ),
        (
            "driver = 'drivers/none.so'",
            "loading the ADBC driver `",
            "from the project's folder",
        ),
        (
            "driver = 'sqlite'",
            "values do not come through",
            "kind = \"sqlite\"",
        ),
    ] {
        place.file("writeback.toml", &lake(settings));
        let check = command(&place, &["check"]);
        assert_eq!(check.code, 2, "{check}");
        assert!(
            check.stderr.contains(told) && check.stderr.contains(hint),
            "{settings}: {check}"
        );
    }
    place.file("broken/empty.toml", "");
    place.file("writeback.toml", &lake("driver = 'broken/empty.toml'"));
    let check = command(&place, &["check"]);
    assert_eq!(check.code, 2, "{check}");
}

#[test]
fn mistakes_of_a_connection_through_a_driver_are_told_before_anything_is_asked() {
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", SCORES, ROWS)
        .scores(SCORES, "")
        .job("source = 'lake'", FIELDS);
    for (connection, told) in [
        ("kind = 'adbc'", "has no `driver`"),
        (
            "kind = 'adbc'\ndriver = 'x'\nprofile = 'y'",
            "names both a driver and a profile",
        ),
        (
            "kind = 'adbc'\ndriver = 'x'\npasswort = 'y'",
            "did you mean `password`?",
        ),
        (
            "kind = 'adbc'\ndriver = 'x'\nhost = 'y'",
            "`host` means nothing to a connection of kind `adbc`",
        ),
        ("kind = 'duckdb'", "has no `file`"),
        ("kind = 'duckdb'\nfile = ':memory:'", "is not a file"),
        (
            "kind = 'duckdb'\nfile = 'x'\n[connections.lake.options]\naccess_mode = 'READ_WRITE'",
            "is said twice",
        ),
        (
            "kind = 'duckdb'\nfile = 'x'\n[connections.lake.options]\nthreads = [1]",
            "not a string, a number, true or false",
        ),
        (
            "kind = 'snowflake'\naccount = 'a'\nuser = 'u'",
            "has no way to log in",
        ),
        (
            "kind = 'snowflake'\nuser = 'u'\npassword = 'p'",
            "has no `account`",
        ),
        (
            "kind = 'snowflake'\naccount = 'a'\nuser = 'u'\npassword = 'p'\ntoken = 't'",
            "has several ways to log in",
        ),
        (
            "kind = 'snowflake'\naccount = 'a'\nuser = 'u'\npassword = 'p'\nauth = 'pat'",
            "`auth = \"pat\"` goes with `token`",
        ),
        (
            "kind = 'snowflake'\naccount = 'a'\nuser = 'u'\npassword = 'p'\nauth = 'mfa'",
            "is `mfa`, which is not known",
        ),
        (
            "kind = 'snowflake'\naccount = 'a'\nuser = 'u'\npassword = 'plain'",
            "the password of connection `lake` stands in this file",
        ),
        (
            "kind = 'adbc'\ndriver = 'x'\nuri = 'grpc://u:p@h'",
            "the uri of connection `lake` stands in this file",
        ),
        (
            "kind = 'adbc'\ndriver = 'x'\nuri = { env = 'NO_SUCH' }",
            "`NO_SUCH` is not set",
        ),
    ] {
        place.file(
            "writeback.toml",
            &format!(
                "{}[connections.lake]\n{connection}\n",
                place.connection("crm")
            ),
        );
        let check = command(&place, &["check"]);
        assert_eq!(check.code, 2, "{connection}: {check}");
        assert!(check.stderr.contains(told), "{connection}: {check}");
    }
}

/// PostgreSQL as a source through its ADBC driver; the destination is in the same database.
fn postgres(columns: &str, settings: &str) -> Workspace {
    let place = Workspace::on(Server::Postgres);
    let port = place.port();
    let password: String = PASSWORD
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let uri = format!(
        "postgresql://tester:{password}@127.0.0.1:{port}/{}",
        place.database_name()
    );
    place.scores(columns, "").job("source = 'lake'", FIELDS);
    place.file("uri", &uri);
    let lake = format!(
        "[connections.lake]\nkind = \"adbc\"\ndriver = \"postgresql\"\nuri = {{ file = \"uri\" }}\n{settings}\n\n"
    );
    place.file("writeback.toml", &(lake + &place.connection("crm")));
    place
}

#[test]
fn values_of_postgresql_come_through_its_driver_exactly() {
    let place = postgres(SCORES, "");
    place.job("source = 'lake'\nmatching = 'upsert'", "id = 'id'\nv = 'v'");
    for (schema, column, value, expected) in [
        (
            "DECIMAL",
            "numeric",
            "1234567890123456789012345678901234567890.000000000000000000001",
            "1234567890123456789012345678901234567890.000000000000000000001",
        ),
        ("BIGINT", "bigint", "3000000000::oid", "3000000000"),
        (
            "UUID",
            "uuid",
            "'5ef71227-efd7-4200-817c-acc01862c71c'::uuid",
            "5ef71227-efd7-4200-817c-acc01862c71c",
        ),
        (
            "TIMESTAMP",
            "timestamp",
            "timestamp '9999-12-31 23:59:59.999999'",
            "9999-12-31 23:59:59.999999",
        ),
        (
            "JSON",
            "json",
            "'{\"b\": 1.10}'::json",
            "\"{\"\"b\"\": 1.10}\"",
        ),
    ] {
        place.execute(&format!(
            "DROP TABLE IF EXISTS accounts; CREATE TABLE accounts (id varchar(18) primary key, v {column})"
        ));
        let (run, rows) = run_values(&place, schema, &[value]);
        assert_eq!(run.summary(), "1 read = 1 inserted", "{value}: {run}");
        assert_eq!(rows, format!("id,v\nA0,{expected}\n"), "{value}");
    }
    for (schema, value, held) in [
        ("DECIMAL(9,2)", "'12.34'::money", "money"),
        ("TIME", "'12:00+02'::timetz", "`timetz`"),
        ("TEXT", "'1.2.3.4'::inet", "`inet`"),
    ] {
        place.execute(
            "DROP TABLE accounts; CREATE TABLE accounts (id varchar(18) primary key, v text)",
        );
        let (run, _) = run_values(&place, schema, &[value]);
        assert_eq!(run.code, 2, "{value}: {run}");
        assert!(run.stderr.contains(held), "{value}: {run}");
    }
}

#[test]
fn a_statement_that_takes_too_long_is_ended_on_the_server() {
    let place = postgres(SCORES, "statement_timeout = \"1s\"");
    place.table("accounts", SCORES, ROWS);
    model(
        &place,
        SCORES,
        "SELECT 'A1' AS id, 2 AS score, pg_sleep(600)::text AS note",
    );
    let run = run(&place);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("no answer within 1s"), "{run}");
    let at_work = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
    wait_until("the server has ended the statement", || {
        place.query(at_work) == "n\n0\n"
    });
}

#[test]
fn a_server_that_goes_away_in_the_middle_is_an_error_and_never_a_short_pull() {
    let place = postgres(SCORES, "");
    place.table("accounts", SCORES, ROWS);
    model(
        &place,
        SCORES,
        "SELECT 'A' || i AS id, CASE WHEN i = 300000 THEN pg_terminate_backend(pg_backend_pid())::int ELSE 2 END AS score, \
        repeat('x', 30) AS note FROM generate_series(1, 300001) AS i",
    );
    let run = run(&place);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(place.rows("accounts"), ROWS, "{run}");
}

#[test]
fn no_secret_stands_in_what_a_driver_says() {
    let place = postgres(SCORES, "");
    place.table("accounts", SCORES, ROWS);
    for uri in [
        format!("postgresql://tester:{CANARY}@127.0.0.1:1/none"),
        format!("postgresql://tester:{CANARY}@127.0.0.1:port/none?x=y"),
        format!("{CANARY}://%zz"),
    ] {
        place.file("uri", &uri);
        let check = command(&place, &["check", "-vv"]);
        assert_eq!(check.code, 2, "{check}");
    }
}

#[test]
fn cycles_are_noticed_by_a_query_through_a_driver() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &[
            "CREATE TABLE scores (id VARCHAR, score INTEGER, note VARCHAR)",
            "INSERT INTO scores VALUES ('A1', 9, NULL)",
            "CREATE TABLE cycles AS SELECT 7 AS cycle_id, TIMESTAMPTZ '2026-11-15 06:30:00+01' AS completed_at, 'succeeded' AS status",
        ],
    );
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), at TIMESTAMP",
        "id,score\nA1,1\n",
    );
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &(project + "[dashboards.d]\nsource = \"scores\"\nquery = \"SELECT * FROM cycles\"\n"),
    );
    place.file(
        "schedules/job.toml",
        &format!(
            "[cadence]\ndashboard = 'd'\n\n{}",
            crate::harness::write_back(
                "scores",
                "accounts",
                "source = 'scores'",
                &format!("{FIELDS}\nat = {{ method = 'cycle_completed_at' }}")
            )
        ),
    );
    let run = run(&place);
    assert_eq!(run.summary(), "1 read = 1 updated", "{run}");
    assert_eq!(run.json()["cycle"], "7", "{run}");
    assert!(
        place
            .query("SELECT at FROM accounts")
            .contains("2026-11-15 05:30:00"),
        "{}",
        place.rows("accounts")
    );
}

/// Snowflake's driver against an emulator that `tests/run` installs when it is asked for one.
#[test]
fn numbers_and_instants_of_snowflake_never_wrap() {
    let Ok(port) = std::env::var("WRITEBACK_TEST_SNOWFLAKE") else {
        // Nobody asked for it: the emulator takes three hundred megabytes.
        return;
    };
    let place = Workspace::on(Server::Sqlite);
    place.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY, v TEXT)");
    place.job(
        "source = 'warehouse'\nmatching = 'upsert'",
        "id = 'id'\nv = 'v'",
    );
    let warehouse = format!(
        "[connections.warehouse]\nkind = 'snowflake'\naccount = 'fakesnow'\nuser = 'fake'\npassword = {{ env = 'FAKE' }}\ndatabase = 'DB1'\nschema = 'SCHEMA1'\n\
         [connections.warehouse.options]\n'adbc.snowflake.sql.uri.protocol' = 'http'\n'adbc.snowflake.sql.uri.host' = '127.0.0.1'\n\
         'adbc.snowflake.sql.uri.port' = {port}\n'adbc.snowflake.sql.client_option.disable_telemetry' = true\n\n"
    );
    place.file("writeback.toml", &(warehouse + &place.connection("crm")));
    let folder = drivers_folder();
    let environment = [
        ("ADBC_DRIVER_PATH", folder.to_str().expect("a plain path")),
        ("FAKE", "unguessed"),
    ];
    let run = |schema: &str, value: &str| {
        model(
            &place,
            &format!("id VARCHAR(18) PRIMARY KEY, v {schema}"),
            &format!("SELECT 'A1' AS id, {value} AS v"),
        );
        place.command_with(&["run", "job", "--json"], &environment)
    };
    for (schema, value, expected) in [
        // The emulator takes numbers without decimals for integers of 64 bits.
        (
            "DECIMAL(38,10)",
            "99999999999999999999::NUMBER(38,10)",
            "99999999999999999999.0000000000",
        ),
        ("DECIMAL(5,2)", "1.50::NUMBER(5,2)", "1.50"),
        ("TEXT", "''", "\"\""),
    ] {
        let ran = run(schema, value);
        assert_eq!(ran.code, 0, "{value}: {ran}");
        assert_eq!(
            place.query("SELECT v FROM accounts"),
            format!("v\n{expected}\n"),
            "{value}"
        );
    }
    let wrapped = run("TIMESTAMP", "'9999-12-31 23:59:59'::TIMESTAMP_NTZ");
    assert_eq!(wrapped.code, 2, "{wrapped}");
    assert!(wrapped.stderr.contains("overflow"), "{wrapped}");
}

/// A path is one of the project's, wherever the program was started.
#[test]
fn a_driver_may_be_named_by_its_path() {
    let place = place(
        Server::Sqlite,
        SCORES,
        &[
            "CREATE TABLE scores (id VARCHAR, score INTEGER, note VARCHAR)",
            "INSERT INTO scores VALUES ('A1', 9, NULL)",
        ],
    );
    place.table("accounts", SCORES, ROWS);
    let text = std::fs::read_to_string(drivers_folder().join("duckdb.toml")).expect("a manifest");
    place.file("drivers/duckdb.toml", &text);
    let project = place.text("writeback.toml").replace(
        "kind = \"duckdb\"",
        "kind = \"duckdb\"\ndriver = \"drivers/duckdb.toml\"",
    );
    place.file("writeback.toml", &project);
    assert!(Path::new(&place.path("drivers/duckdb.toml")).exists());
    assert_eq!(place.run().summary(), "1 read = 1 updated");
}
