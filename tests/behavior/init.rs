//! A new project, from `writeback init` to its first run, as the README it makes says.

use crate::harness::{DuckDb, Ran, Server, Workspace, drivers_folder};

const FLAGS: [&str; 22] = [
    "--yes",
    "--name",
    "health_score",
    "--job",
    "weekly",
    "--source",
    "dashboard",
    "--destination",
    "crm.db",
    "--column",
    "account_id VARCHAR(18) PRIMARY KEY",
    "--column",
    "score DECIMAL(5,2)",
    "--column",
    "internal TEXT",
    "--table",
    "\"CRM\".\"ACCOUNTS\"",
    "--field",
    "account_id=ACCOUNT_ID",
    "--field",
    "internal=-",
    "--stamp=SCORED_AT",
];

#[test]
fn a_new_project_works_as_its_readme_says() {
    let place = Workspace::on(Server::Sqlite);
    place
        .execute("CREATE TABLE ACCOUNTS (ACCOUNT_ID VARCHAR(18) PRIMARY KEY, SCORE DECIMAL(5,2), SCORED_AT TIMESTAMP)")
        .execute("INSERT INTO ACCOUNTS VALUES ('A1', 10, NULL)");
    std::fs::create_dir(place.path("project")).expect("a new folder");
    std::fs::rename(place.path("crm.db"), place.path("project/crm.db")).expect("moved");
    let made = place.command(
        &[
            &["init", "project"],
            &FLAGS[..],
            &["--marker", "dashboard/done.json"],
        ]
        .concat(),
    );
    assert_eq!(made.code, 0, "{made}");
    for file in [
        "README.md",
        "writeback.toml",
        "sql/health_score.sql",
        "schedules/weekly.toml",
    ] {
        assert!(
            made.stdout.contains(&format!("wrote project/{file}\n")),
            "{made}"
        );
    }
    // What the README leaves to the user: the export and the marker.
    let readme = place.text("project/README.md");
    assert!(
        readme.contains("Put the export into `dashboard` as `health_score.csv`"),
        "{readme}"
    );
    place.file(
        "project/dashboard/health_score.csv",
        "account_id,score,internal\nA1,61.50,x\nA9,1,\n",
    );
    let marker = readme
        .split('`')
        .find(|text| text.contains("\"cycle_id\""))
        .expect("an example of the marker");
    assert!(readme.contains("`dashboard/done.json`"), "{readme}");
    place.file("project/dashboard/done.json", marker);

    // Its last steps are commands, in this order; the last of them goes on for ever.
    let commands: Vec<&str> = readme
        .split('`')
        .filter_map(|text| text.strip_prefix("writeback "))
        .collect();
    let steps = [
        "check weekly",
        "preview weekly",
        "test weekly --record KEY",
        "run weekly",
        "serve",
    ];
    assert_eq!(
        commands
            .iter()
            .rev()
            .take(steps.len())
            .rev()
            .copied()
            .collect::<Vec<_>>(),
        steps,
        "{readme}"
    );
    for step in &steps[..4] {
        let step = step.replace("--record KEY", "--record A1 --rollback");
        let ran = place.command(
            &[
                &["--project", "project"],
                &step.split(' ').collect::<Vec<_>>()[..],
            ]
            .concat(),
        );
        // A new project wants a test before the first run.
        let untested = step.starts_with("preview");
        assert_eq!(ran.code, if untested { 3 } else { 0 }, "{ran}");
        assert_eq!(
            ran.stdout.contains("`writeback test weekly"),
            untested,
            "{ran}"
        );
    }
    let rows = place.query_file(
        "project/crm.db",
        "SELECT ACCOUNT_ID, SCORE, SCORED_AT FROM ACCOUNTS",
    );
    assert_eq!(
        rows,
        "ACCOUNT_ID,SCORE,SCORED_AT\nA1,61.5,2026-11-15 06:30:00\n"
    );
}

#[test]
fn nothing_is_overwritten_and_nothing_made_of_answers_that_make_no_sense() {
    let place = Workspace::on(Server::Sqlite);
    std::fs::remove_file(place.path("crm.db")).expect("a file");
    place
        .file("project/README.md", "mine")
        .file("project/.gitignore", "target\n.writeback/\n");
    let made = place.command(&[&["init", "project"], &FLAGS[..]].concat());
    assert_eq!(made.code, 0, "{made}");
    assert_eq!(place.text("project/README.md"), "mine");
    assert!(place.text("project/WRITEBACK.md").contains("Next steps"));
    assert!(
        made.stdout.contains("next: read project/WRITEBACK.md"),
        "{made}"
    );
    assert_eq!(place.text("project/.gitignore"), "target\n.writeback/\n");
    assert!(
        made.stdout.contains("add `*.plan`, `preview*.html` to it"),
        "{made}"
    );

    let again = place.command(&[&["init", "project"], &FLAGS[..]].concat());
    assert_eq!(again.code, 2, "{again}");
    assert!(
        again
            .stderr
            .contains("`project/writeback.toml` is there already"),
        "{again}"
    );
    std::fs::remove_file(place.path("project/writeback.toml")).expect("a file");
    let half = place.command(&[&["init", "project"], &FLAGS[..]].concat());
    assert_eq!(half.code, 2, "{half}");
    assert!(!place.path("project/writeback.toml").exists());
    for (flag, value) in [
        ("--column", "score"),
        ("--matching", "replace"),
        ("--field", "scroe=SCORE"),
        ("--clock", "0 5 * *"),
    ] {
        let wrong = place.command(&[&["init", "other", flag, value], &FLAGS[..]].concat());
        assert!(wrong.code == 2 && wrong.stderr.contains(value), "{wrong}");
        assert!(!place.path("other").exists(), "{wrong}");
    }
    let twice = place.command(&[&["init", "other", "--column", "Score TEXT"], &FLAGS[..]].concat());
    assert!(
        twice.code == 2 && twice.stderr.contains("column `Score` stands there twice"),
        "{twice}"
    );
    let nobody = place.command(&["init", "other"]);
    assert!(
        nobody.code == 2 && nobody.stderr.contains("`--yes` asks nothing"),
        "{nobody}"
    );
}

#[test]
fn a_project_is_proposed_from_what_the_systems_hold() {
    let place = Workspace::on(Server::Sqlite);
    place
        .bytes(
            "exports/Kunden 2026.csv",
            b"Stufe;Kundennr;Wert;am\r\n1;00042;1.087,50;30.11.2026\r\n1;00043;7,25;1.12.2026\r\n\
              2;00044;8;2.12.2026\r\n",
        )
        .execute(
            "CREATE TABLE ACCOUNTS (KUNDEN_NR TEXT PRIMARY KEY, WERT DECIMAL(9,2), AM DATE, OWNER TEXT)",
        )
        .execute("INSERT INTO ACCOUNTS VALUES ('00042', 1, NULL, 'x'), ('00044', 1, NULL, 'y')");
    std::fs::remove_file(place.path("writeback.toml")).expect("a file");
    let made = place.command(&[
        "init",
        "--yes",
        "--source",
        "exports/Kunden 2026.csv",
        "--destination",
        "crm.db",
        "--table",
        "ACCOUNTS",
        "--job",
        "weekly",
    ]);
    assert_eq!(made.code, 0, "{made}");
    assert!(
        made.stdout
            .contains("read 4 columns of `Kunden 2026`; `Kundennr` identifies a record"),
        "{made}"
    );
    assert!(
        made.stdout.contains("called like `Stufe`: ignored"),
        "{made}"
    );
    let settings = place.text("writeback.toml");
    for setting in [
        "separator = \";\"",
        "decimal = \",\"",
        "thousands = \".\"",
        "dates = \"day_first\"",
    ] {
        assert!(settings.contains(setting), "{settings}");
    }
    let schema = place.text("sql/Kunden_2026.sql");
    for line in [
        "CREATE TABLE \"Kunden 2026\" (",
        "Kundennr TEXT",
        "Wert DECIMAL(9,2) NOT NULL",
        "PRIMARY KEY (Kundennr)",
    ] {
        assert!(schema.contains(line), "{schema}");
    }
    let tested = place.command(&["test", "weekly", "--record", "00042"]);
    assert_eq!(tested.code, 0, "{tested}");
    assert_eq!(place.command(&["run", "weekly"]).code, 0);
    assert_eq!(
        place.rows("ACCOUNTS"),
        "KUNDEN_NR,WERT,AM,OWNER\n00042,1087.5,2026-11-30,x\n00044,8,2026-12-02,y\n"
    );
}

#[test]
fn the_newest_of_dated_exports_is_what_is_written_back() {
    let place = Workspace::on(Server::Sqlite);
    let header = "Nr;Wert;Risiko\r\n";
    place
        .bytes(
            "exports/scores_2026-11-22.csv",
            format!("{header}A1;1,5;x\r\n").as_bytes(),
        )
        .bytes(
            "exports/scores_2026-11-29.csv",
            format!("{header}A1;2,5;y\r\n").as_bytes(),
        )
        .file("exports/scores_old.csv", header)
        .execute(
            "CREATE TABLE ACCOUNTS (NR TEXT PRIMARY KEY, WERT DECIMAL(9,3), RISIKO VARCHAR(40))",
        )
        .execute("INSERT INTO ACCOUNTS VALUES ('A1', 1, NULL)");
    std::fs::remove_file(place.path("writeback.toml")).expect("a file");
    let made = place.command(&[
        "init",
        "--yes",
        "--source=exports/scores_2026-11-29.csv",
        "--destination=crm.db",
        "--table=ACCOUNTS",
        "--announced",
        "--gate=0 6 * * MON",
        "--timezone=Europe/Berlin",
    ]);
    assert_eq!(made.code, 0, "{made}");
    let told = "note: `scores` is the newest of the files `scores_????-??-??.csv` at each run\n";
    assert!(made.stdout.contains(told), "{made}");
    let settings = place.text("writeback.toml");
    let tables = "scores = { files = \"scores_????-??-??.csv\", take = \"last\" }";
    assert!(settings.contains(tables), "{settings}");
    // Values of one file suggest less than the next may hold: the destination says how much.
    let schema = place.text("sql/scores.sql");
    for line in [
        "CREATE TABLE scores (",
        "Wert DECIMAL(9,3)",
        "Risiko VARCHAR(40)",
    ] {
        assert!(schema.contains(line), "{schema}");
    }
    let job = place.text("schedules/weekly.toml");
    assert!(job.contains("timezone = \"Europe/Berlin\""), "{job}");
    place.bytes(
        "exports/scores_2026-12-06.csv",
        format!("{header}A1;1000,125;z\r\n").as_bytes(),
    );
    assert_eq!(
        place.command(&["cycle", "dashboard", "--id", "W49"]).code,
        0
    );
    let tested = place.command(&["test", "weekly", "--record", "A1"]);
    assert_eq!(tested.code, 0, "{tested}");
    assert_eq!(place.rows("ACCOUNTS"), "NR,WERT,RISIKO\nA1,1000.125,z\n");
}

#[test]
fn a_project_is_proposed_from_one_duckdb_file_for_another() {
    let place = Workspace::on(Server::Sqlite);
    DuckDb::open(&place.path("scores.duckdb"))
        .execute("CREATE SCHEMA marts")
        .execute("CREATE TABLE marts.scores (region VARCHAR NOT NULL, account VARCHAR, score DECIMAL(5,2), PRIMARY KEY (account))")
        .execute("INSERT INTO marts.scores VALUES ('north', 'A1', 7.5), ('south', 'A2', 8)");
    DuckDb::open(&place.path("crm.duckdb"))
        .execute("CREATE TABLE accounts (ACCOUNT VARCHAR PRIMARY KEY, SCORE DECIMAL(5,2))")
        .execute("INSERT INTO accounts VALUES ('A1', 1)");
    let drivers = drivers_folder();
    let command = |arguments: &[&str]| {
        let drivers = drivers.to_str().expect("a plain path");
        place.command_with(arguments, &[("ADBC_DRIVER_PATH", drivers)])
    };
    std::fs::remove_file(place.path("writeback.toml")).expect("a file");
    let made = command(&[
        "init",
        "--yes",
        "--source",
        "scores.duckdb",
        "--destination",
        "crm.duckdb",
        "--table",
        "accounts",
    ]);
    assert_eq!(made.code, 0, "{made}");
    assert!(
        made.stdout
            .contains("read 3 columns of `marts.scores`; `account` identifies a record"),
        "{made}"
    );
    assert!(
        made.stdout.contains("called like `region`: ignored"),
        "{made}"
    );
    let schema = place.text("sql/marts.scores.sql");
    assert!(
        schema.contains("region TEXT NOT NULL") || schema.contains("\"region\" TEXT NOT NULL"),
        "{schema}"
    );
    assert!(schema.contains("CREATE TABLE marts.scores ("), "{schema}");
    let tested = command(&["test", "weekly", "--record", "A1", "--rollback"]);
    assert_eq!(tested.code, 0, "{tested}");
    let run = command(&["run", "weekly"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(
        DuckDb::rows_of(&place.path("crm.duckdb"), "SELECT * FROM accounts"),
        "A1,7.50\n"
    );
}

#[test]
fn what_a_source_holds_twice_or_not_at_all_is_refused_at_once() {
    let place = Workspace::on(Server::Sqlite);
    place
        .file("exports/a.csv", "id,score,ID\n1,2,3\n")
        .file("exports/b.csv", "id,score\n1,2\n");
    let base = ["init", "project", "--yes", "--source", "exports", "--name"];
    let twice = place.command(&[&base[..], &["a"]].concat());
    assert_eq!(twice.code, 2, "{twice}");
    assert!(
        twice.stderr.contains("column `id` stands there twice"),
        "{twice}"
    );
    let none = place.command(&[&base[..], &["c"]].concat());
    assert!(
        none.code == 2 && none.stderr.contains("there are `a`, `b`"),
        "{none}"
    );
    assert!(!place.path("project").exists());
}

#[test]
fn schemas_go_to_a_database_designer_and_back() {
    let place = Workspace::on(Server::Sqlite);
    place
        .scores(
            "region CHAR(2), id BIGINT, score DECIMAL(5,2) NOT NULL, seen TIMESTAMP WITH TIME ZONE, PRIMARY KEY (region, id)",
            "region,id,score,seen\n",
        )
        .job("", "region = 'region'\nid = 'id'\nscore = 'score'\nseen = 'seen'");
    let drawn = place.command(&["schema", "--dbml"]);
    assert_eq!(
        drawn.stdout,
        "Table scores {\n  region VARCHAR(2) [not null]\n  id BIGINT [not null]\n  score DECIMAL(5,2) [not null]\n  \
         seen \"TIMESTAMP WITH TIME ZONE\"\n\n  indexes {\n    (region, id) [pk]\n  }\n\n  Note: 'sql/scores.sql'\n}\n",
        "{drawn}"
    );
    place.file("drawn.dbml", &drawn.stdout);
    let made = place.command(&["init", "project", "--yes", "--from", "drawn.dbml"]);
    assert_eq!(made.code, 0, "{made}");
    let schema = place.text("project/sql/scores.sql");
    assert!(
        schema.contains(
            "CREATE TABLE scores (\n    \"region\" VARCHAR(2),\n    \"id\" BIGINT,\n    score DECIMAL(5,2) NOT NULL,\n    \
             seen TIMESTAMP WITH TIME ZONE,\n    PRIMARY KEY (\"region\", \"id\")\n"
        ),
        "{schema}"
    );
    place.file(
        "wrong.dbml",
        "Table scores {\n  id varchar(18) [pk]\n  photo blob\n}\n",
    );
    let wrong = place.command(&["init", "other", "--yes", "--from", "wrong.dbml"]);
    assert!(
        wrong.code == 2
            && wrong.stderr.contains("wrong.dbml:3:3: ")
            && wrong.stderr.contains("not a type"),
        "{wrong}"
    );
}

/// Where the test's database is, as `init` takes it.
fn destination(place: &Workspace) -> String {
    match place.server {
        Server::Sqlite => "crm.db".to_owned(),
        Server::Postgres | Server::MariaDb => place.url("tester"),
    }
}

fn proposed(place: &Workspace, flags: &[&str]) -> Ran {
    let destination = destination(place);
    let base = ["init", "new", "--yes", "--destination", &destination];
    place.command(&[&base[..], flags].concat())
}

#[test]
fn the_table_that_holds_most_of_the_columns_is_proposed_and_why() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let held = "ACCOUNT_ID VARCHAR(18) NOT NULL, Score DECIMAL(5,2), RISKS VARCHAR(9)";
        place
            .execute(&format!(
                "CREATE TABLE accounts ({held}, PRIMARY KEY (ACCOUNT_ID))"
            ))
            .execute(&format!("CREATE TABLE accounts_of_last_year ({held})"))
            .execute("CREATE TABLE owners (account_id VARCHAR(18) PRIMARY KEY, name VARCHAR(9))")
            .execute("INSERT INTO accounts (ACCOUNT_ID, Score) VALUES ('A1', 1), ('A2', 2)")
            .file(
                "new/out/scores.csv",
                "account_id,score,risk\nA1,7.5,x\nA2,2,y\n",
            );
        let made = proposed(&place, &["--source", "out/scores.csv"]);
        assert_eq!(made.code, 0, "on {server}: {made}");
        let why = "note: `accounts` holds most of these columns among 3 tables: `account_id`, `score`, \
                   `risk` as `";
        assert!(made.stdout.contains(why), "on {server}: {made}");
        let job = place.text("new/schedules/weekly.toml");
        assert!(job.contains("table       = \"accounts\"\n"), "{job}");
        for step in [
            &["test", "weekly", "--record", "A1"][..],
            &["run", "weekly"],
        ] {
            let ran = place.command(&[&["--project", "new"], step].concat());
            assert_eq!(ran.code, 0, "on {server}: {ran}");
        }
        let rows = place
            .query("SELECT ACCOUNT_ID, Score FROM accounts")
            .to_lowercase();
        assert!(rows.contains("\na1,7.5"), "on {server}: {rows}");
    }
}

#[test]
fn a_table_that_does_not_stand_out_is_not_guessed() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place
            .file("scores.csv", "account_id,score\nA1,7.5\n")
            .file("new/.keep", "");
        let empty = proposed(&place, &["--source", "scores.csv"]);
        let wants = |told: &str, ran: &Ran| {
            let is_told = ran.code == 2 && ran.stderr.contains(told);
            assert!(
                is_told && !place.path("new/writeback.toml").exists(),
                "on {server}: {ran}"
            );
        };
        wants(
            "holds no table for them yet; name one with `--table`",
            &empty,
        );
        place.execute("CREATE TABLE people (id INTEGER, name VARCHAR(9))");
        let unlike = proposed(&place, &["--source", "scores.csv"]);
        let told = "no table has columns called like `account_id` and one of the others; there are `people`; \
                    name one with `--table`";
        wants(told, &unlike);
        let held = "(account_id VARCHAR(9) PRIMARY KEY, score DECIMAL(5,2))";
        place
            .execute(&format!("CREATE TABLE this_year {held}"))
            .execute(&format!("CREATE TABLE year_before {held}"));
        let twins = proposed(&place, &["--source", "scores.csv"]);
        wants(
            "`this_year`, `year_before` hold as many of the columns; name one with",
            &twins,
        );

        // A database as the source: one of its tables is named, and it is never the destination.
        let system = destination(&place);
        let source = match server {
            Server::Sqlite => place.path("crm.db").display().to_string(),
            Server::Postgres | Server::MariaDb => system,
        };
        let from = ["--source", &source, "--source-password-env=CRM_PASSWORD"];
        let several = proposed(&place, &from);
        wants(
            "there are `people`, `this_year`, `year_before`; name one with `--name`",
            &several,
        );
        let destination = ["--destination", &source];
        let named = [&from[..], &["--name=this_year"]].concat();
        let made = place.command(&[&["init", "new", "--yes"], &destination[..], &named].concat());
        assert_eq!(made.code, 0, "on {server}: {made}");
        let job = place.text("new/schedules/weekly.toml");
        assert!(job.contains("table       = \"year_before\"\n"), "{job}");
    }
}

#[test]
fn a_table_is_found_by_its_name_in_quotes() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "account_id VARCHAR(9) PRIMARY KEY, score DECIMAL(5,2)";
        place
            .execute(&format!(
                "CREATE TABLE {} ({columns})",
                server.quote("my.accounts")
            ))
            .file("scores.csv", "account_id,score\nA1,7.5\n");
        let described = place.command(&["schema", "crm", "\"my.accounts\""]);
        assert!(
            described.code == 0
                && described
                    .stdout
                    .contains("account_id VARCHAR(9) PRIMARY KEY"),
            "on {server}: {described}"
        );
        let made = proposed(
            &place,
            &["--source=scores.csv", "--table", "\"my.accounts\""],
        );
        assert_eq!(made.code, 0, "on {server}: {made}");
        let other = place.command(&["schema", "crm", "\"my.acounts\""]);
        assert!(
            other.code == 2 && other.stderr.contains("did you mean `my.accounts`?"),
            "on {server}: {other}"
        );
    }
}

#[test]
fn the_zone_of_times_that_become_instants_is_asked_for() {
    let place = Workspace::on(Server::Postgres);
    place
        .execute("CREATE TABLE accounts (account_id VARCHAR(9) PRIMARY KEY, seen TIMESTAMPTZ)")
        .execute("INSERT INTO accounts VALUES ('A1', NULL)")
        .file("scores.csv", "account_id,seen\nA1,2026-07-01 06:00:00\n");
    let said = proposed(&place, &["--source=scores.csv", "--timezone=Europe/Berlin"]);
    assert_eq!(said.code, 0, "{said}");
    for step in [&["test", "weekly", "--record", "A1"][..], &["check"]] {
        let ran = place.command(&[&["--project", "new"], step].concat());
        assert_eq!(ran.code, 0, "{ran}");
    }
    let seen = place.query("SELECT (seen AT TIME ZONE 'UTC')::text AS seen FROM accounts");
    assert_eq!(seen, "seen\n2026-07-01 04:00:00\n");

    std::fs::remove_dir_all(place.path("new")).expect("a folder");
    let unsaid = proposed(&place, &["--source=scores.csv"]);
    let told = "note: `seen` has no time zone and becomes an instant: `--timezone` says which";
    assert!(unsaid.code == 0 && unsaid.stdout.contains(told), "{unsaid}");
    assert!(
        !place.text("new/writeback.toml").contains("timezone"),
        "{unsaid}"
    );
}
