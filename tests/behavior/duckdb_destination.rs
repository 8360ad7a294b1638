//! DuckDB files that are written to, through DuckDB's own driver.

use crate::harness::{DuckDb, FIELDS, Ran, Running, SCORES, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\n";
const SOURCE: &str = "id,score,note\nA1,10,y\nA2,2,same\nA3,,z\nN1,7,new\n";
const UPSERTED: &str = "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,,z,\nN1,7,new,unknown\n";

fn place() -> Workspace {
    Workspace::on_duckdb().with_accounts(ROWS, SOURCE)
}

fn upserting(settings: &str) -> Workspace {
    let place = place();
    place.job(&format!("matching = 'upsert'\n{settings}"), FIELDS);
    place
}

/// The connection with these settings, one a line.
fn connect(place: &Workspace, settings: &str) {
    let crm = place.connection("crm");
    let text = format!(
        "{}{}\n{settings}\n",
        place.connection("files"),
        crm.trim_end()
    );
    place.file("writeback.toml", &text);
}

fn undo(place: &Workspace, run: i64, more: &[&str]) -> Ran {
    let run = run.to_string();
    place.command(&[&["undo", &run, "--json"], more].concat())
}

#[test]
fn rows_are_updated_created_left_alone_and_put_back() {
    let place = place();
    let before = place.rows("accounts");
    let checked = place.command(&["check"]);
    assert_eq!(checked.code, 0, "{checked}");
    assert!(!checked.stderr.contains("warning"), "{checked}");
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 2 updated + 1 unchanged + 1 skipped"
    );
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,,z,\n"
    );
    assert_eq!(undo(&place, 1, &[]).summary(), "2 read = 2 updated");
    assert_eq!(place.rows("accounts"), before);

    place.job("matching = 'upsert'", FIELDS);
    let run = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(
        run.summary(),
        "4 read = 1 inserted + 2 updated + 1 unchanged"
    );
    assert_eq!(place.rows("accounts"), UPSERTED);
    let again = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(again.summary(), "4 read = 4 unchanged");
    let undone = undo(&place, run.run(), &["--delete-created"]);
    assert_eq!(undone.code, 0, "{undone}");
    assert_eq!(place.rows("accounts"), before);
}

/// A column: its type in DuckDB, the schema's type, what a row held, what is written, and how DuckDB
/// shows what was written.
const VALUES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "VARCHAR",
        "TEXT",
        "'a' || chr(0) || 'b'",
        "\"x,\"\"y\"\" é😀\"",
        "x,\"y\" é😀",
    ),
    ("DECIMAL(5,2)", "DECIMAL(5,2)", "-0.01", "87.5", "87.50"),
    (
        "DECIMAL(38,10)",
        "DECIMAL(38,10)",
        "'1234567890123456789012345678.0123456789'",
        "-1234567890123456789012345678.9876543211",
        "-1234567890123456789012345678.9876543211",
    ),
    (
        "DECIMAL(38,38)",
        "DECIMAL(38,38)",
        "'0.00000000000000000000000000000000000001'",
        "0.5",
        ".50000000000000000000000000000000000000",
    ),
    ("TINYINT", "SMALLINT", "-128", "127", "127"),
    (
        "UBIGINT",
        "DECIMAL(20,0)",
        "18446744073709551615",
        "18446744073709551614",
        "18446744073709551614",
    ),
    (
        "HUGEINT",
        "DECIMAL",
        "'-170141183460469231731687303715884105728'",
        "170141183460469231731687303715884105727",
        "170141183460469231731687303715884105727",
    ),
    (
        "UHUGEINT",
        "DECIMAL",
        "'340282366920938463463374607431768211455'",
        "1",
        "1",
    ),
    (
        "BIGINT",
        "BIGINT",
        "9223372036854775807",
        "-9223372036854775808",
        "-9223372036854775808",
    ),
    ("FLOAT", "REAL", "'1e-45'", "0.1", "0.1"),
    (
        "DOUBLE",
        "DOUBLE PRECISION",
        "'nan'",
        "0.30000000000000004",
        "0.30000000000000004",
    ),
    ("DOUBLE", "DOUBLE PRECISION", "'-0.0'", "1e22", "1e+22"),
    ("BOOLEAN", "BOOLEAN", "true", "false", "false"),
    (
        "DATE",
        "DATE",
        "'0044-03-15 (BC)'",
        "0001-01-01",
        "0001-01-01",
    ),
    ("DATE", "DATE", "'infinity'", "9999-12-31", "9999-12-31"),
    (
        "TIME",
        "TIME",
        "'24:00:00'",
        "23:59:59.999999",
        "23:59:59.999999",
    ),
    (
        "TIMESTAMP",
        "TIMESTAMP",
        "'-infinity'",
        "9999-12-31 23:59:59.999999",
        "9999-12-31 23:59:59.999999",
    ),
    (
        "TIMESTAMP_S",
        "TIMESTAMP",
        "'1969-12-31 23:59:59'",
        "2026-11-15 06:30:00",
        "2026-11-15 06:30:00",
    ),
    (
        "TIMESTAMP_NS",
        "TIMESTAMP",
        "'2026-01-01 00:00:00.123456789'",
        "2026-11-15 06:30:00.5",
        "2026-11-15 06:30:00.5",
    ),
    (
        "TIMESTAMP WITH TIME ZONE",
        "TIMESTAMP WITH TIME ZONE",
        "'2026-01-01 00:00:00.000001+05:45'",
        "2026-11-15T06:30:00+05:30",
        "2026-11-15 01:00:00+00",
    ),
    (
        "UUID",
        "UUID",
        "'5ef71227-efd7-4200-817c-acc01862c71c'",
        "5EF71227-EFD7-4200-817C-ACC01862C71D",
        "5ef71227-efd7-4200-817c-acc01862c71d",
    ),
    (
        "JSON",
        "JSON",
        "' {\"b\": 1.10,  \"a\":null} '",
        "\"{\"\"b\"\": 1.10}\"",
        "{\"b\": 1.10}",
    ),
    (
        "ENUM('low', 'it''s')",
        "VARCHAR(9)",
        "'it''s'",
        "low",
        "low",
    ),
];

#[test]
fn every_value_is_written_and_put_back_exactly() {
    let place = Workspace::on_duckdb();
    let columns = |of: fn(&(&str, &str, &str, &str, &str)) -> String| -> Vec<String> {
        let all = VALUES.iter().enumerate();
        all.map(|(number, value)| of(value).replace("COLUMN", &format!("c{number}")))
            .collect()
    };
    let declared = columns(|(duckdb, ..)| format!("COLUMN {duckdb}")).join(", ");
    place.execute(&format!(
        "CREATE TABLE accounts (id VARCHAR PRIMARY KEY, {declared})"
    ));
    let held = columns(|(_, _, held, ..)| (*held).to_owned()).join(", ");
    place.execute(&format!("INSERT INTO accounts VALUES ('A1', {held})"));
    place.execute("INSERT INTO accounts (id) VALUES ('A2')");
    let before = place.rows("accounts");
    let schema = columns(|(_, schema, ..)| format!("COLUMN {schema}")).join(", ");
    let names = columns(|_| "COLUMN".to_owned());
    let written = columns(|(_, _, _, written, _)| (*written).to_owned()).join(",");
    place.scores(
        &format!("id VARCHAR(18) PRIMARY KEY, {schema}"),
        &format!("id,{}\nA1,{written}\nA2,{written}\n", names.join(",")),
    );
    let fields: Vec<String> = names
        .iter()
        .map(|name| format!("{name} = '{name}'"))
        .collect();
    place.job("", &format!("id = 'id'\n{}", fields.join("\n")));
    assert_eq!(place.run().summary(), "2 read = 2 updated");
    for (name, (duckdb, _, _, _, shown)) in names.iter().zip(VALUES) {
        let differing = place.query(&format!(
            "SELECT {name} FROM accounts WHERE CAST({name} AS VARCHAR) IS DISTINCT FROM '{shown}'"
        ));
        assert_eq!(differing, "\n", "{duckdb}");
    }
    let again = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(again.summary(), "2 read = 2 unchanged");
    let undone = undo(&place, 1, &[]);
    assert_eq!(undone.summary(), "2 read = 2 updated", "{undone}");
    assert_eq!(place.rows("accounts"), before);
}

#[test]
fn rows_are_found_by_keys_of_any_type_and_by_nothing_but_their_bytes() {
    for (declared, schema, key, other) in [
        ("DECIMAL(5,2)", "DECIMAL(5,2)", "1.50", "1.51"),
        ("HUGEINT", "DECIMAL", "9", "10"),
        ("DATE", "DATE", "2026-11-15", "2026-11-16"),
        (
            "TIMESTAMP",
            "TIMESTAMP",
            "2026-11-15 06:30:00.5",
            "2026-11-15 06:30:00",
        ),
        (
            "UUID",
            "UUID",
            "5ef71227-efd7-4200-817c-acc01862c71c",
            "5ef71227-efd7-4200-817c-acc01862c71d",
        ),
        ("ENUM('a', 'A')", "VARCHAR(9)", "a", "A"),
        ("VARCHAR COLLATE NOCASE", "VARCHAR(9)", "a", "A"),
    ] {
        let place = Workspace::on_duckdb();
        place.execute(&format!(
            "CREATE TABLE accounts (k {declared}, part INTEGER, v VARCHAR)"
        ));
        place.execute(&format!(
            "INSERT INTO accounts VALUES ('{key}', 1, 'old'), ('{other}', 1, 'old'), ('{key}', 2, 'old')"
        ));
        place.scores(
            &format!("k {schema}, part INTEGER, v TEXT, PRIMARY KEY (k, part)"),
            &format!("k,part,v\n{key},1,new\n"),
        );
        place.job("", "k = 'k'\npart = 'part'\nv = 'v'");
        let run = place.run();
        assert_eq!(run.summary(), "1 read = 1 updated", "{declared}: {run}");
        let held = place.query("SELECT CAST(k AS VARCHAR) AS k, part, v FROM accounts");
        assert!(
            held.contains(&format!("\n{key},1,new\n")),
            "{declared}: {held}"
        );
        assert_eq!(held.matches("old").count(), 2, "{declared}: {held}");
    }
}

#[test]
fn a_run_that_is_killed_is_finished_by_the_next_and_writes_nothing_twice() {
    for (death, batch) in [
        ("1 before-images kept", 2),
        ("1 records updated", 2),
        ("1 records inserted", 9),
        ("1 a batch committed", 2),
        ("2 a batch committed", 2),
        ("1 record a commit in", 2),
    ] {
        let place = upserting(&format!("batch_size = {batch}"));
        let before = place.rows("accounts");
        let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", death)]);
        assert_eq!(killed.code, -1, "{death}: {killed}");
        let run = place.run();
        assert_eq!(
            (run.run(), run.summary().as_str()),
            (1, "4 read = 1 inserted + 2 updated + 1 unchanged"),
            "{death}: {run}"
        );
        assert_eq!(place.rows("accounts"), UPSERTED, "{death}");
        let undone = undo(&place, 1, &["--delete-created"]);
        assert_eq!(undone.code, 0, "{death}: {undone}");
        // Nobody knows of a row whether it was created where its commit was in doubt: it stays.
        let created = match death {
            "2 a batch committed" => "N1,7,new,unknown\n",
            _ => "",
        };
        assert_eq!(
            place.rows("accounts"),
            format!("{before}{created}"),
            "{death}: {undone}"
        );
    }
}

#[test]
fn what_is_shown_is_what_is_written_and_a_plan_spares_what_changed_since() {
    let place = upserting("");
    let before = place.rows("accounts");
    let preview = place.command(&["preview", "job", "--out", "job.plan", "--json"]);
    assert_eq!(preview.code, 0, "{preview}");
    let shown = &preview.json()["write_backs"][0];
    let count = |name: &str| shown[name].as_u64();
    assert_eq!(
        [count("inserted"), count("updated"), count("unchanged")],
        [Some(1), Some(2), Some(1)],
        "{preview}"
    );
    assert_eq!(place.rows("accounts"), before);
    place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A1'");
    let run = place.command(&["run", "job", "--plan", "job.plan", "--json"]);
    assert_eq!(
        run.summary(),
        "3 read = 1 inserted + 1 updated + 1 skipped",
        "{run}"
    );
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,1,mine,555\nA2,2,same,\nA3,,z,\nN1,7,new,unknown\n"
    );
}

#[test]
fn a_refused_record_is_told_in_duckdb_s_words_and_the_others_are_written() {
    let place = Workspace::on_duckdb();
    place.execute(
        "CREATE TABLE accounts (id VARCHAR PRIMARY KEY, score INTEGER CHECK (score < 100), \
         code VARCHAR UNIQUE, part INTEGER REFERENCES parts (id), label VARCHAR NOT NULL)"
            .replacen(
                "CREATE",
                "CREATE TABLE parts (id INTEGER PRIMARY KEY); INSERT INTO parts VALUES (1); CREATE",
                1,
            )
            .as_str(),
    );
    place.execute(
        "INSERT INTO accounts VALUES ('A1', 1, 'x', 1, ''), ('A2', 2, 'y', 1, ''), ('A3', 3, 'z', 1, ''), ('A4', 4, 'w', 1, '')",
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, code VARCHAR(9), part INTEGER, label VARCHAR(9)",
        "id,score,code,part,label\nA1,50,x,1,l\nA2,100,y,1,l\nA3,51,w,1,l\nA4,52,w,7,l\n",
    );
    place.job(
        "",
        "id = 'id'\nscore = 'score'\ncode = 'code'\npart = 'part'\nlabel = 'label'",
    );
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 1 updated + 3 rejected", "{run}");
    let rejected = place.rejected(run.run());
    for told in [
        "CHECK constraint failed on table accounts with expression CHECK((score < 100))",
        "Violates foreign key constraint because key",
        "Duplicate key",
    ] {
        assert!(rejected.contains(told), "{told}: {rejected}");
    }
    assert_eq!(rejected.lines().count(), 3, "{rejected}");
    assert_eq!(
        place.query("SELECT id, score FROM accounts"),
        "id,score\nA1,50\nA2,2\nA3,3\nA4,4\n"
    );
}

#[test]
fn a_row_that_others_refer_to_is_updated_beside_its_indexed_columns() {
    let place = Workspace::on_duckdb();
    place.execute(
        "CREATE TABLE accounts (id VARCHAR PRIMARY KEY, code VARCHAR UNIQUE, score INTEGER); \
         CREATE TABLE orders (account VARCHAR REFERENCES accounts (id))",
    );
    place.execute("INSERT INTO accounts VALUES ('A1', 'x', 1), ('A2', 'y', 2)");
    place.execute("INSERT INTO orders VALUES ('A1'), ('A2')");
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, code VARCHAR(9), score INTEGER",
        "id,code,score\nA1,x,10\nA2,z,20\n",
    );
    place.job("", "id = 'id'\ncode = 'code'\nscore = 'score'");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains("is still referenced by a foreign key"),
        "{rejected}"
    );
    assert_eq!(place.rows("accounts"), "id,code,score\nA1,x,10\nA2,y,2\n");
}

#[test]
fn values_that_are_handed_round_are_written_together() {
    let place = Workspace::on_duckdb();
    place.execute("CREATE TABLE accounts (id VARCHAR PRIMARY KEY, code VARCHAR UNIQUE)");
    place.execute("INSERT INTO accounts VALUES ('A1', 'x'), ('A2', 'y'), ('A3', 'z')");
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, code VARCHAR(9)",
        "id,code\nA1,y\nA2,x\nA3,q\n",
    );
    place.job("batch_size = 1", "id = 'id'\ncode = 'code'");
    assert_eq!(place.run().summary(), "3 read = 3 updated");
    assert_eq!(
        place.query("SELECT id, code FROM accounts"),
        "id,code\nA1,y\nA2,x\nA3,q\n"
    );
}

#[test]
fn a_file_that_another_process_has_is_waited_for_and_told_as_what_it_is() {
    let place = place();
    connect(&place, "lock_timeout = '1s'");
    let held = DuckDb::open(&place.path("crm.duckdb"));
    for command in [&["check", "job"][..], &["run", "job", "--json"]] {
        let told = place.command(command);
        assert_eq!(told.code, 2, "{told}");
        assert!(
            told.stderr.contains("`crm` is busy")
                && told.stderr.contains("another process has the file open")
                && told.stderr.contains(&std::process::id().to_string()),
            "{told}"
        );
    }
    connect(&place, "lock_timeout = '60s'");
    let mut waiting = Running::start(&place);
    waiting.wait_until_it_says("waiting for another process");
    drop(held);
    let run = waiting.finish();
    assert_eq!(
        run.summary(),
        "4 read = 2 updated + 1 unchanged + 1 skipped",
        "{run}"
    );
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let place = place();
    place.execute(
        "CREATE TABLE odd (id VARCHAR PRIMARY KEY, l INTEGER[], s STRUCT(a INTEGER), m MAP(VARCHAR, INTEGER), \
         b BLOB, g INTEGER GENERATED ALWAYS AS (1), tz TIME WITH TIME ZONE, score INTEGER)",
    );
    place.execute("CREATE VIEW shown AS SELECT * FROM accounts");
    let refused = |table: &str, settings: &str, fields: &str, told: &str| {
        let job = write_back("scores", table, settings, fields);
        place.file("schedules/job.toml", &job);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{table} {fields}: {check}");
        assert!(check.stderr.contains(told), "{table} {fields}: {check}");
    };
    for (column, declared) in [
        ("l", "INTEGER[]"),
        ("s", "STRUCT(a INTEGER)"),
        ("m", "MAP(VARCHAR, INTEGER)"),
        ("b", "BLOB"),
        ("tz", "TIME WITH TIME ZONE"),
    ] {
        let told = format!("`{column}` is {declared}, a type that write-backs do not write");
        let fields = format!("id = 'id'\n{column} = 'note'");
        refused("odd", "ignore = ['score']", &fields, &told);
    }
    let computed = "`g` is computed by the database and cannot be written";
    refused(
        "odd",
        "ignore = ['note']",
        "id = 'id'\ng = 'score'",
        computed,
    );
    refused(
        "shown",
        "",
        FIELDS,
        "`shown` is a view that cannot be written",
    );
    refused("acounts", "", FIELDS, "did you mean `accounts`?");
    refused("nowhere.accounts", "", FIELDS, "the file is known as `crm`");
    for (settings, told) in [
        (
            "kind = 'duckdb'\nfile = 'none.duckdb'",
            "none.duckdb` does not exist",
        ),
        (
            "kind = 'duckdb'\nfile = 'md:crm'",
            "is read through a driver",
        ),
        (
            "kind = 'duckdb'\nfile = 'crm.duckdb'\ndriver = 'nosuch'",
            "dbc install nosuch",
        ),
        (
            "kind = 'duckdb'\nfile = 'crm.duckdb'\nwriters = 2",
            "means nothing to a connection of kind `duckdb`",
        ),
    ] {
        let connections = format!(
            "{}[connections.crm]\n{settings}\n",
            place.connection("files")
        );
        place.file("writeback.toml", &connections);
        place.job("", FIELDS);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{settings}: {check}");
        assert!(check.stderr.contains(told), "{settings}: {check}");
    }
    assert!(!place.path("none.duckdb").exists(), "a check makes no file");
    place.file("crm.duckdb", "id,score\n");
    connect(&place, "");
    let check = place.command(&["check", "job"]);
    assert!(
        check.code == 2 && check.stderr.contains("not a valid DuckDB database file"),
        "{check}"
    );
}

#[test]
fn a_job_reads_and_writes_one_file() {
    let place = place();
    place.execute(
        "CREATE SCHEMA s; CREATE TABLE s.scores (id VARCHAR, score INTEGER, note VARCHAR)",
    );
    place.execute("INSERT INTO s.scores VALUES ('A1', 10, 'y'), ('A2', 2, 'same')");
    place.file(
        "sql/scores.sql",
        &format!("CREATE TABLE s.scores ({SCORES});"),
    );
    let job = write_back("scores", "crm.main.accounts", "source = 'crm'", FIELDS);
    place.file("schedules/job.toml", &job);
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 unchanged", "{run}");
    // What reads it writes nothing.
    let model = "WITH one AS (SELECT 1) DELETE FROM s.scores USING one RETURNING id, score, note";
    place.file(
        "sql/scores.sql",
        &format!("CREATE TABLE s.scores ({SCORES});\n{model};"),
    );
    let run = place.command(&["run", "job", "--again", "--json"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("read-only"), "{run}");
    assert_eq!(
        place.query("SELECT count(*) AS rows FROM s.scores"),
        "rows\n2\n"
    );
}

#[test]
fn guards_canaries_conflicts_and_single_records_are_as_elsewhere() {
    let place = upserting("max_changed = '10 %'");
    let before = place.rows("accounts");
    let guarded = place.run();
    assert_eq!(guarded.code, 3, "{guarded}");
    for mode in [&["--rollback"][..], &[]] {
        assert_eq!(place.rows("accounts"), before);
        let test = place.command(&[&["test", "job", "--record", "A1", "--json"], mode].concat());
        assert_eq!(test.code, 0, "{test}");
        assert_eq!(
            test.json()["records"][0]["columns"][1]["as_written"],
            true,
            "{test}"
        );
    }
    let keeping = FIELDS.replace(
        "'score'\nnote",
        "{ column = 'score', on_conflict = 'keep' }\nnote",
    );
    place.job("matching = 'upsert'\ncanary = 1", &keeping);
    let run = place.command(&["run", "job", "--again", "--json"]);
    assert!(run.json()["write_backs"][0]["canary"].is_object(), "{run}");
    assert_eq!(place.rows("accounts"), UPSERTED, "{run}");
    let verified = place.command(&["verify", "job"]);
    assert_eq!(verified.code, 0, "{verified}");
    place.execute("UPDATE accounts SET score = 99 WHERE id = 'N1'");
    let verified = place.command(&["verify", "job", "--json"]);
    assert_eq!(
        verified.json()["write_backs"][0]["drifted"],
        1,
        "{verified}"
    );
    place.file("data/scores.csv", &SOURCE.replace("N1,7,new", "N1,8,newer"));
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 1 updated + 3 unchanged", "{run}");
    assert!(place.rows("accounts").contains("N1,99,newer"), "{run}");
    let history = place.command(&["history", "scores", "--record", "N1", "--json"]);
    assert_eq!(history.code, 0, "{history}");
}

#[test]
fn a_file_that_is_absent_is_made_by_its_script_once_and_whole() {
    let place = upserting("");
    connect(&place, "create_from = 'tables.sql'");
    let file = place.path("crm.duckdb");
    let rows = || place.command(&["run", "job", "--json"]);
    for (script, told) in [
        (None, "reading `"),
        (
            Some("CREATE TABLE accounts (id VARCHAR PRIMARY KEY); CREATE TABEL x (y INT);"),
            "tables.sql` failed on `crm`",
        ),
    ] {
        drop(std::fs::remove_file(&file));
        if let Some(script) = script {
            place.file("tables.sql", script);
        }
        let failed = rows();
        assert_eq!(failed.code, 2, "{failed}");
        assert!(failed.stderr.contains(told), "{failed}");
        assert!(!file.exists(), "half of it was left");
    }
    place.file(
        "tables.sql",
        "CREATE TABLE accounts (id VARCHAR PRIMARY KEY, score DECIMAL(9,2), note VARCHAR, phone VARCHAR DEFAULT 'new');\n\
         -- What is there already.\nINSERT INTO accounts (id, score) VALUES ('A1', 1);\n",
    );
    assert_eq!(rows().summary(), "4 read = 3 inserted + 1 updated");
    place.file("tables.sql", "no script any more");
    assert_eq!(rows().summary(), "4 read = 4 unchanged");
    let left: Vec<_> = std::fs::read_dir(place.path("."))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().starts_with(".writeback-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
