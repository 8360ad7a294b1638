//! What people read when a file has a mistake, as whole texts, and what files without one come to.

mod alerts;

use crate::domain::problem::Severity;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::secret::Surroundings;
use super::*;
use crate::domain::connection::{System, Tls};
use crate::domain::field::{FieldValue, NullPolicy, When};
use crate::domain::match_rule::MatchMode;

mod scheduling;
mod services;

const PROJECT: &str = r#"[connections.dashboard]
kind = "files"
folder = "fixtures/dashboard"

[connections.crm]
kind = "sqlite"
file = "fixtures/crm.db"
database = "CRM"
create_from = "fixtures/crm.sql"

[connections.production]
url = "postgres://writer@db.example.com:5432/crm"
password = { env = "CRM_PASSWORD" }
timezone = "Europe/Berlin"
connect_timeout = "3s"
writers = 4

[dashboards.customer_health]
marker = "fixtures/dashboard/cycle.json"

[defaults]
batch_size = 700
"#;

const JOB: &str = r#"[cadence]
dashboard = "customer_health"
settle = "30m"
gate = { cron = "0 6 * * MON", timezone = "America/New_York" }

[[write_back]]
name = "health_score"
schema = "sql/health_score.sql"
source = "dashboard"
destination = "crm"
table = '"CRM"."ACCOUNTS"'
batch_size = 500
ignore = ["note"]

[write_back.fields]
ACCOUNT_ID = "account_id"
HEALTH_SCORE = { column = "health_score", when = "if_empty" }
CHURN_RISK = "churn_risk"
SCORE_SOURCE = { string = "customer health dashboard" }
SCORED_AT = { method = "cycle_completed_at" }
RISK_LABEL = { method = "label", column = "risk", labels = [{ below = 40, label = "low" }, { label = "high" }] }
"#;

const SCHEMA: &str = "-- one row per account
CREATE TABLE health_score (
    account_id   VARCHAR(18) PRIMARY KEY,
    health_score DECIMAL(5,2) NOT NULL,
    churn_risk   VARCHAR(16),
    risk         INTEGER,
    note         TEXT
);
";

/// The time in these tests.
fn clock() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

/// A project's folder with the three files above, each changed by replacing texts that must stand
/// in it.
struct Place {
    folder: TempDir,
    environment: Vec<(&'static str, &'static str)>,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let place = Self {
            folder,
            environment: vec![("CRM_PASSWORD", "canary-7f")],
        };
        place.write("writeback.toml", PROJECT);
        place.write("schedules/weekly.toml", JOB);
        place.write("sql/health_score.sql", SCHEMA);
        place
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn project(&self) -> Result<Project, Vec<Problem>> {
        let find = |name: &str| self.environment.iter().find(|(known, _)| *known == name);
        let environment = |name: &str| find(name).map(|(_, value)| OsString::from(value));
        Project::load_within(Surroundings {
            root: self.folder.path(),
            environment: &environment,
            clock,
        })
    }

    fn job(&self) -> Result<CheckedJob, Vec<Problem>> {
        self.project()
            .and_then(|project| project.load_job("weekly"))
    }

    /// What is told of the whole project, job and schema.
    fn told(&self) -> String {
        match self.job() {
            Ok(checked) => text_of(&checked.warnings),
            Err(problems) => text_of(&problems),
        }
    }
}

fn text_of(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let place = problem
            .location
            .as_ref()
            .map(|place| format!("{place}: "))
            .unwrap_or_default();
        let warning = if problem.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        let hint = problem
            .hint
            .as_ref()
            .map(|hint| format!("\n  hint: {hint}"))
            .unwrap_or_default();
        format!("{place}{warning}{}{hint}\n", problem.message)
    };
    problems.iter().map(line).collect()
}

fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` does not stand in the file");
        text.replace(old, new)
    })
}

/// What is told when `writeback.toml` is changed so.
fn project_with(changes: &[(&str, &str)]) -> String {
    let place = Place::new();
    place.write("writeback.toml", &changed(PROJECT, changes));
    place.told()
}

/// What is told when the job is changed so.
fn job_with(changes: &[(&str, &str)]) -> String {
    let place = Place::new();
    place.write("schedules/weekly.toml", &changed(JOB, changes));
    place.told()
}

/// What is told when the schema is changed so.
fn schema_with(changes: &[(&str, &str)]) -> String {
    let place = Place::new();
    place.write("sql/health_score.sql", &changed(SCHEMA, changes));
    place.told()
}

fn schema_of(text: &str) -> Result<(crate::domain::schema::Schema, Vec<Problem>), Vec<Problem>> {
    schema::parse_schema("sql/s.sql", text)
}

fn schema_told(text: &str) -> String {
    text_of(&schema_of(text).map_or_else(|problems| problems, |(_, warnings)| warnings))
}

/// What the production connection's keys come to when the job writes to it.
fn server_with(lines: &str) -> (String, Option<Connection>) {
    let mut place = Place::new();
    place
        .environment
        .push(("CRM_URL", "mysql://writer:canary-7f@db.example.com/crm"));
    place.environment.push((
        "BAD_URL",
        "mysql://writer:canary-7f@db.example.com/crm?canary-7f=canary-7f",
    ));
    let start = PROJECT
        .find("[connections.production]")
        .expect("the connection");
    let end = PROJECT.find("[dashboards").expect("what follows it");
    let text = format!(
        "{}[connections.production]\n{lines}\n{}",
        &PROJECT[..start],
        &PROJECT[end..]
    );
    place.write("writeback.toml", &text);
    place.write(
        "schedules/weekly.toml",
        &changed(JOB, &[("\"crm\"", "\"production\"")]),
    );
    let connection = place
        .project()
        .ok()
        .and_then(|project| project.connections.get("production").cloned());
    (place.told(), connection)
}

mod files_without_a_mistake {
    use super::*;

    #[test]
    fn a_job_is_read_whole() {
        let place = Place::new();
        let checked = place.job().expect("no mistake");
        assert_eq!(text_of(&checked.warnings), "");
        let job = checked.job;
        assert_eq!(
            (job.name.as_str(), job.dashboard()),
            ("weekly", Some("customer_health"))
        );
        let write_back = &job.write_backs[0];
        assert_eq!(write_back.table.to_string(), "\"CRM\".\"ACCOUNTS\"");
        assert_eq!(write_back.batch_records_max.get(), 500);
        assert_eq!(write_back.mode, MatchMode::UpdateOnly);
        assert_eq!(write_back.key_fields(), [0]);
        assert_eq!(write_back.location.to_string(), "schedules/weekly.toml:6:1");
        assert_eq!(
            write_back.table_location.to_string(),
            "schedules/weekly.toml:11:1"
        );
        assert_eq!(write_back.fields.len(), 6);
        assert_eq!(write_back.fields[1].when, When::IfEmpty);
        assert_eq!(write_back.fields[1].value, FieldValue::Column(1));
        assert_eq!(
            write_back.fields[1].location.to_string(),
            "schedules/weekly.toml:17:1"
        );
        assert_eq!(checked.digest.len(), 32);
    }

    #[test]
    fn the_digest_tells_files_apart() {
        let place = Place::new();
        let first = place.job().expect("a job").digest;
        assert_eq!(place.job().expect("a job").digest, first);
        place.write(
            "sql/health_score.sql",
            &changed(SCHEMA, &[("one row", "one line")]),
        );
        assert_ne!(place.job().expect("a job").digest, first);
    }

    #[test]
    fn connections_are_read_whole() {
        let project = Place::new().project().expect("no mistake");
        let production = &project.connections["production"];
        let System::Postgres(settings) = &production.system else {
            panic!("{production:?}")
        };
        assert_eq!(
            (
                settings.host.as_str(),
                settings.port,
                settings.user.as_str()
            ),
            ("db.example.com", 5432, "writer")
        );
        assert_eq!(
            settings.password.as_ref().map(|secret| secret.reveal()),
            Some("canary-7f")
        );
        assert_eq!(settings.tls, Tls::Verified { ca_file: None });
        assert_eq!(
            production.timezone.map(|zone| zone.name()),
            Some("Europe/Berlin")
        );
        assert_eq!(
            (
                production.limits.connect_timeout.as_secs(),
                production.limits.writers
            ),
            (3, 4)
        );
        assert!(!format!("{project:?}").contains("canary-7f"));
        let System::Sqlite(crm) = &project.connections["crm"].system else {
            panic!("not SQLite")
        };
        assert_eq!(crm.file, project.root.join("fixtures/crm.db"));
        assert_eq!(crm.database.as_deref(), Some("CRM"));
    }

    #[test]
    fn defaults_hold_where_a_write_back_does_not_say() {
        let place = Place::new();
        place.write(
            "schedules/weekly.toml",
            &changed(JOB, &[("batch_size = 500\n", "nulls = \"keep\"\n")]),
        );
        let write_back = place.job().expect("no mistake").job.write_backs.remove(0);
        assert_eq!(write_back.batch_records_max.get(), 700);
        assert_eq!(write_back.nulls, NullPolicy::Keep);
    }

    #[test]
    fn jobs_are_found_by_name_and_by_file() {
        let place = Place::new();
        place.write("schedules/daily.toml", JOB);
        place.write("schedules/.hidden.toml", JOB);
        place.write("schedules/notes.txt", "");
        let project = place.project().expect("a project");
        assert_eq!(project.job_names(), ["daily", "weekly"]);
        let absolute = place.folder.path().join("schedules/weekly.toml");
        for job in [
            "weekly",
            "weekly.toml",
            "schedules/weekly.toml",
            "./schedules/weekly.toml",
            absolute.to_str().expect("text"),
        ] {
            assert_eq!(project.load_job(job).expect(job).job.name, "weekly");
        }
    }

    #[test]
    fn a_missing_password_stops_only_who_needs_it() {
        let mut place = Place::new();
        place.environment.clear();
        assert!(place.job().is_ok());
        place.write(
            "schedules/weekly.toml",
            &changed(JOB, &[("\"crm\"", "\"production\"")]),
        );
        insta::assert_snapshot!(place.told(), @r#"
        writeback.toml:13:20: environment variable `CRM_PASSWORD` is not set
          hint: export CRM_PASSWORD=…
        "#);
        let project = place.project().expect("a project");
        assert!(project.connection("production").is_err());
        assert!(project.connection("crm").is_ok());
        insta::assert_snapshot!(text_of(&project.connection("prodction").expect_err("unknown")), @r#"
        there is no connection `prodction` in writeback.toml
          hint: did you mean `production`?
        "#);
    }

    #[test]
    fn schema_types_are_what_standard_sql_means() {
        let types = [
            ("CHAR", "VARCHAR(1)"),
            ("character varying(20)", "VARCHAR(20)"),
            ("VARCHAR", "TEXT"),
            ("string", "TEXT"),
            ("INT2", "SMALLINT"),
            ("int(11)", "INTEGER"),
            ("int8", "BIGINT"),
            ("DECIMAL(38, 10)", "DECIMAL(38,10)"),
            ("NUMERIC(5)", "DECIMAL(5,0)"),
            ("dec", "DECIMAL"),
            ("float4", "REAL"),
            ("FLOAT", "DOUBLE PRECISION"),
            ("FLOAT(24)", "REAL"),
            ("FLOAT(53)", "DOUBLE PRECISION"),
            ("DOUBLE PRECISION", "DOUBLE PRECISION"),
            ("double", "DOUBLE PRECISION"),
            ("float8", "DOUBLE PRECISION"),
            ("bool", "BOOLEAN"),
            ("date", "DATE"),
            ("TIME", "TIME"),
            ("time(3) without time zone", "TIME"),
            ("TIMESTAMP", "TIMESTAMP"),
            ("datetime", "TIMESTAMP"),
            ("TIMESTAMP(6) WITHOUT TIME ZONE", "TIMESTAMP"),
            ("timestamptz", "TIMESTAMP WITH TIME ZONE"),
            ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
            ("uuid", "UUID"),
            ("jsonb", "JSON"),
        ];
        for (written, meant) in types {
            let text = format!("create table t (id int primary key, x {written})");
            let (schema, warnings) =
                schema_of(&text).unwrap_or_else(|problems| panic!("{}", text_of(&problems)));
            assert_eq!(
                schema.columns[1].column_type.to_string(),
                meant,
                "{written}"
            );
            assert!(warnings.is_empty(), "{written}");
        }
    }

    #[test]
    fn a_schema_may_have_a_key_of_several_columns_quoted_names_and_comments() {
        let text = "/* ; */ CREATE TABLE IF NOT EXISTS crm.\"Konto Größe\" (\n  \"Id\" INT, `Région` TEXT, -- ;\n  score REAL COMMENT 'x;y',\n  CONSTRAINT pk PRIMARY KEY (`Région`, \"Id\")\n)";
        let (schema, warnings) = schema_of(text).expect("a schema");
        assert_eq!(text_of(&warnings), "");
        assert_eq!(schema.table, ["crm", "Konto Größe"]);
        assert_eq!(schema.key, [1, 0]);
        assert_eq!(
            schema
                .columns
                .iter()
                .map(|column| column.nullable)
                .collect::<Vec<_>>(),
            [false, false, true]
        );
        assert_eq!(schema.columns[1].location.to_string(), "sql/s.sql:2:13");
        assert_eq!(schema.model, None);
    }

    #[test]
    fn a_model_stays_as_it_is_written() {
        let table = "CREATE TABLE t (id INT PRIMARY KEY);\n";
        for model in [
            "SELECT id FROM t WHERE name <> 'a;b' AND note = \"x;y\"",
            "select id -- one; two\n  from t",
            "WITH a AS (SELECT 1 AS id) SELECT id FROM a",
            "SELECT id FROM t WHERE x = 'it\\'s; here'",
            "SELECT id FROM t WHERE doc @> '{\"a\": 1}' AND x = $$a;b$$",
            "SELECT id FROM t WHERE größe ~* '^x' QUALIFY row_number() OVER (PARTITION BY id) = 1",
        ] {
            for around in [
                format!("{table}{model}"),
                format!("{table}-- the model; really\n{model};\n-- end\n"),
            ] {
                let (schema, warnings) =
                    schema_of(&around).unwrap_or_else(|problems| panic!("{}", text_of(&problems)));
                assert_eq!(schema.model.as_deref(), Some(model));
                assert!(warnings.is_empty());
            }
        }
    }

    #[test]
    fn files_may_begin_with_a_byte_order_mark() {
        let place = Place::new();
        for (file, text) in [
            ("writeback.toml", PROJECT),
            ("schedules/weekly.toml", JOB),
            ("sql/health_score.sql", SCHEMA),
        ] {
            place.write(file, &format!("\u{feff}{text}"));
        }
        assert_eq!(place.told(), "");
    }

    #[test]
    fn servers_are_named_by_url_or_by_parts() {
        let postgres = |lines: &str| match server_with(lines) {
            (
                told,
                Some(Connection {
                    system: System::Postgres(settings),
                    ..
                }),
            ) => (told, settings),
            (told, other) => panic!("{told}{other:?}"),
        };
        let (told, settings) =
            postgres("kind = \"postgres\"\nhost = \"localhost\"\nuser = \"w\"\ndatabase = \"crm\"");
        assert_eq!(
            (told.as_str(), settings.port, settings.tls),
            ("", 5432, Tls::Off)
        );
        let (told, settings) =
            postgres("kind = \"postgres\"\nsocket = \"/run/pg\"\nuser = \"w\"\ndatabase = \"crm\"");
        assert_eq!(
            (told.as_str(), settings.socket, settings.tls),
            ("", Some("/run/pg".into()), Tls::Off)
        );
        let (told, settings) =
            postgres("url = \"postgres://w@127.0.0.2/crm\"\nca_file = \"certs/ca.pem\"");
        let Tls::Verified {
            ca_file: Some(file),
        } = settings.tls
        else {
            panic!("not verified")
        };
        assert_eq!((told.as_str(), file.ends_with("certs/ca.pem")), ("", true));
        let (told, connection) = server_with("url = { env = \"CRM_URL\" }");
        let Some(Connection {
            system: System::Mysql(settings),
            ..
        }) = connection
        else {
            panic!("{told}")
        };
        assert_eq!(
            (told.as_str(), settings.port, settings.database.as_deref()),
            ("", 3306, Some("crm"))
        );
        assert_eq!(
            settings
                .password
                .map(|secret| secret.reveal().to_owned())
                .as_deref(),
            Some("canary-7f")
        );
    }

    #[test]
    fn a_secret_file_loses_one_line_end() {
        let place = Place::new();
        place.write("secret", "canary \n\n");
        place.write(
            "writeback.toml",
            &changed(
                PROJECT,
                &[("{ env = \"CRM_PASSWORD\" }", "{ file = \"secret\" }")],
            ),
        );
        let project = place.project().expect("a project");
        let System::Postgres(settings) = &project.connections["production"].system else {
            panic!("not PostgreSQL")
        };
        assert_eq!(
            settings.password.as_ref().map(|secret| secret.reveal()),
            Some("canary \n")
        );
    }

    #[test]
    fn key_columns_may_repeat_across_write_backs() {
        let second = JOB[JOB.find("[[write_back]]").expect("a write-back")..]
            .replace("\"health_score\"\n", "\"second\"\n");
        let second = [
            "HEALTH_SCORE",
            "CHURN_RISK",
            "SCORE_SOURCE",
            "SCORED_AT",
            "RISK_LABEL",
        ]
        .iter()
        .fold(second, |text, column| {
            text.replace(column, &format!("{column}_2"))
        });
        let place = Place::new();
        place.write("schedules/weekly.toml", &format!("{JOB}\n{second}"));
        assert_eq!(place.told(), "");
    }
}

mod mistakes {
    use super::*;

    #[test]
    fn toml_that_is_not_toml() {
        insta::assert_snapshot!(project_with(&[("kind = \"files\"", "kind = files"), ("[defaults]", "[defaults")]), @r#"
        writeback.toml:2:8: this is not TOML: invalid boolean, expected `false`
          hint: strings stand in quotes
        writeback.toml:21:10: this is not TOML: unclosed table, expected `]`
        "#);
    }

    #[test]
    fn no_project_file() {
        insta::assert_snapshot!({ let place = Place::new(); fs::remove_file(place.folder.path().join("writeback.toml")).expect("a file"); place.told().replace(&place.folder.path().display().to_string(), "FOLDER") }, @r#"
        there is no writeback.toml in `FOLDER`
          hint: `writeback init` makes a new project; `--project DIR` names another folder
        "#);
    }

    #[test]
    fn unknown_tables_and_keys_of_the_project() {
        insta::assert_snapshot!(project_with(&[("[dashboards.", "[dashbords."), ("folder =", "foldr ="), ("batch_size", "batchsize")]), @r#"
        writeback.toml:3:1: `foldr` is not a key of `[connections.dashboard]`
          hint: did you mean `folder`?
        writeback.toml:18:2: `dashbords` is not a key of `writeback.toml`
          hint: did you mean `dashboards`?
        writeback.toml:22:1: `batchsize` is not a key of `[defaults]`
          hint: did you mean `batch_size`?
        "#);
    }

    #[test]
    fn a_key_of_another_kind() {
        insta::assert_snapshot!(project_with(&[("folder =", "port = 5\nfolder =")]), @r#"
        writeback.toml:3:1: `port` means nothing to a connection of kind `files`
          hint: known keys: `kind`, `folder`, `options`, `ca_file`, `connect_timeout`, `request_timeout`, `timezone`, `separator`, `decimal`, `thousands`, `dates`, `encoding`, `nulls`, `tables`
        "#);
    }

    #[test]
    fn a_kind_nobody_knows() {
        insta::assert_snapshot!(project_with(&[("\"files\"", "\"postgress\""), ("\"sqlite\"", "\"mariadb\"")]), @r#"
        writeback.toml:2:8: `postgress` is not a kind of connection
          hint: did you mean `postgres`?
        writeback.toml:6:8: `mariadb` is not a kind of connection
          hint: write `kind = "mysql"`: it serves MariaDB too
        "#);
    }

    #[test]
    fn neither_kind_nor_url() {
        insta::assert_snapshot!(project_with(&[("kind = \"files\"\n", "")]), @r#"
        writeback.toml:1:1: connection `dashboard` has neither `kind` nor `url`
          hint: kinds are `files`, `sqlite`, `postgres`, `mysql`, `adbc`, `duckdb`, `snowflake`, `salesforce`, `bullhorn`, `hubspot`, `dataverse`
        "#);
    }

    #[test]
    fn kind_and_url_that_disagree() {
        insta::assert_snapshot!(project_with(&[("url = ", "kind = \"mysql\"\nurl = ")]), @r#"
        writeback.toml:12:8: `kind` says mysql and the url says postgres
          hint: leave `kind` out
        "#);
    }

    #[test]
    fn what_a_connection_lacks() {
        insta::assert_snapshot!(server_with("kind = \"postgres\"").0, @r#"
        writeback.toml:11:1: connection `production` has no `host`
          hint: write `host = "db.example.com"`, or `socket` for a local server
        writeback.toml:11:1: connection `production` has no `user`
          hint: name the user that writes; least privilege is described in docs/security.md
        writeback.toml:11:1: connection `production` has no `database`
          hint: PostgreSQL connects to one database: name it
        "#);
    }

    #[test]
    fn what_a_files_connection_lacks() {
        insta::assert_snapshot!(project_with(&[("folder = \"fixtures/dashboard\"\n", ""), ("file = \"fixtures/crm.db\"\n", "")]), @r#"
        writeback.toml:1:1: `[connections.dashboard]` has no `folder`
          hint: name the folder that holds the exported files, here or at `s3://`, `gs://`, `az://` or `https://`
        writeback.toml:4:1: `[connections.crm]` has no `file`
          hint: name the database's file
        "#);
    }

    #[test]
    fn wrong_types_and_numbers() {
        insta::assert_snapshot!(project_with(&[("writers = 4", "writers = 99\nattempts_max = \"six\"\nlock_timeout = 5"), ("batch_size = 700", "batch_size = 0\nnulls = \"maybe\"")]), @r#"
        writeback.toml:16:11: `writers` is not a whole number from 1 to 16
        writeback.toml:17:16: `attempts_max` is a string, not a whole number
        writeback.toml:18:16: `lock_timeout` is not a duration
          hint: write a number and its unit: `"10s"`, `"5m"`, `"1h 30m"`
        writeback.toml:24:14: `batch_size` is not a whole number from 1 to 1000000
        writeback.toml:25:9: `nulls` is `maybe`, which is not known
          hint: write one of `write`, `keep`
        "#);
    }

    #[test]
    fn durations_and_time_zones_nobody_knows() {
        insta::assert_snapshot!(project_with(&[("\"3s\"", "\"3 parsecs\"\nlock_timeout = \"0s\""), ("Europe/Berlin", "Europe/Berln")]), @r#"
        writeback.toml:14:12: `Europe/Berln` is not a time zone
          hint: did you mean `Europe/Berlin`?
        writeback.toml:15:19: `connect_timeout` is `3 parsecs`, which is not a duration
          hint: write a number and its unit: `"10s"`, `"5m"`, `"1h 30m"`
        writeback.toml:16:16: `lock_timeout` is not between 1ms and 7days
        "#);
    }

    #[test]
    fn a_url_that_cannot_be_read() {
        insta::assert_snapshot!(server_with("url = \"postgres://writer:can/ary@db.example.com/crm\"").0, @r#"
        writeback.toml:12:7: the url cannot be read
          hint: signs such as `@ : / ? #` within a password are written `%40 %3A %2F %3F %23`; better, give the password as `password = { env = "NAME" }`
        "#);
    }

    #[test]
    fn a_url_with_an_unknown_parameter() {
        insta::assert_snapshot!(server_with("url = \"postgres://writer@db.example.com/crm?aplication_name=canary\"").0, @r#"
        writeback.toml:12:7: the url has a parameter `aplication_name` that is not known here
          hint: parameters are `sslmode`, `sslrootcert`, `host`; other settings are keys of the connection
        "#);
    }

    #[test]
    fn a_bad_url_from_elsewhere() {
        insta::assert_snapshot!(server_with("url = { env = \"BAD_URL\" }").0, @r#"
        writeback.toml:12:7: the url has a parameter that is not known here
          hint: parameters are `ssl-mode`, `ssl-ca`, `socket`; other settings are keys of the connection
        "#);
    }

    #[test]
    fn a_scheme_nobody_knows() {
        insta::assert_snapshot!(server_with("url = \"postgre://writer@db.example.com/crm\"").0, @r#"
        writeback.toml:12:7: the url's scheme is not one known here
          hint: did you mean `postgres`?
        "#);
    }

    #[test]
    fn things_said_twice() {
        insta::assert_snapshot!(server_with("url = \"postgres://writer:canary@db.example.com/crm?sslmode=disable\"\nhost = \"x\"\npassword = \"canary\"\ntls = \"verified\"").0, @r#"
        writeback.toml:13:1: `host` is said twice, here and in the url
          hint: keep one of them
        writeback.toml:14:1: `password` is said twice, here and in the url
          hint: keep one of them
        writeback.toml:15:1: `tls` is said twice, here and in the url
          hint: keep one of them
        "#);
    }

    #[test]
    fn a_secret_in_the_file_is_warned_about() {
        insta::assert_snapshot!(server_with("url = \"postgres://writer:canary@db.example.com/crm\"").0, @r#"
        writeback.toml:12:7: warning: the password of connection `production` stands in this file
          hint: write `password = { env = "PRODUCTION_PASSWORD" }`
        "#);
    }

    #[test]
    fn a_literal_password_is_warned_about() {
        insta::assert_snapshot!(server_with("url = \"postgres://writer@db.example.com/crm\"\npassword = \"canary\"").0, @r#"
        writeback.toml:13:12: warning: the password of connection `production` stands in this file
          hint: write `password = { env = "PRODUCTION_PASSWORD" }`
        "#);
    }

    #[test]
    fn plain_text_to_a_remote_host_is_warned_about() {
        insta::assert_snapshot!(server_with("url = \"mysql://writer@db.example.com/crm\"\ntls = \"off\"").0, @r#"
        writeback.toml:13:7: warning: connection `production` speaks to a remote host in plain text
          hint: write `tls = "verified"`, with `ca_file` for a private authority
        "#);
    }

    #[test]
    fn tls_words_and_contradictions() {
        insta::assert_snapshot!(format!("{}{}", server_with("url = \"mysql://w@h/crm\"\ntls = \"on\"").0, server_with("url = \"mysql://w@h/crm\"\ntls = \"off\"\nca_file = \"ca.pem\"").0), @r#"
        writeback.toml:13:7: `tls` is `on`, which is no way to connect
          hint: write `"verified"` or `"off"`
        writeback.toml:11:1: connection `production` has a `ca_file` and turns TLS off
          hint: keep one of them
        "#);
    }

    #[test]
    fn a_secret_that_is_asked_for_wrongly() {
        insta::assert_snapshot!(project_with(&[("{ env = \"CRM_PASSWORD\" }", "{ env = \"s3cret canary!\" }")]) + &project_with(&[("{ env = \"CRM_PASSWORD\" }", "{ enw = \"CRM_PASSWORD\" }")]) + &project_with(&[("{ env = \"CRM_PASSWORD\" }", "5")]), @r#"
        writeback.toml:13:20: `env` is not the name of an environment variable
          hint: name the variable that holds the value, never the value
        writeback.toml:13:14: `enw` is not a key of `password`
          hint: did you mean `env`?
        writeback.toml:13:12: `password` is neither a string nor a place to find one
          hint: write `password = { env = "NAME" }` or `{ file = "PATH" }`
        "#);
    }

    #[test]
    fn a_secret_file_that_is_not_there() {
        insta::assert_snapshot!(server_with("url = \"mysql://w@localhost/crm\"\npassword = { file = \"nowhere/crm\" }").0, @r#"
        writeback.toml:13:21: `nowhere/crm` does not exist
          hint: write the value alone into `nowhere/crm`
        "#);
    }

    #[test]
    fn a_job_nobody_knows() {
        insta::assert_snapshot!({ let project = Place::new().project().expect("a project"); let place = Place::new(); let here = place.project().expect("a project"); drop(project); ["weekli", "monthly", "../weekly", "schedules/../writeback", "/etc/passwd", "schedules/a/b.toml", ""].iter().map(|job| text_of(&here.load_job(job).expect_err(job))).collect::<String>() }, @r#"
        there is no job `weekli`: schedules/weekli.toml does not exist
          hint: did you mean `weekly`?
        there is no job `monthly`: schedules/monthly.toml does not exist
          hint: jobs are `weekly`
        `../weekly` is not a file of schedules/
          hint: jobs are `weekly`
        `schedules/../writeback` is not a file of schedules/
          hint: jobs are `weekly`
        `/etc/passwd` is not a file of schedules/
          hint: jobs are `weekly`
        there is no job `a`: schedules/a.toml does not exist
          hint: jobs are `weekly`
        `` is not a file of schedules/
          hint: jobs are `weekly`
        "#);
    }

    #[test]
    fn unknown_keys_of_a_job() {
        insta::assert_snapshot!(job_with(&[("settle", "setle"), ("batch_size", "batchsize"), ("when =", "wen ="), ("[cadence]", "title = \"x\"\n[cadence]")]), @r#"
        schedules/weekly.toml:1:1: `title` is not a key of `schedules/weekly.toml`
          hint: known keys: `agencies`, `cadence`, `alerts`, `write_back`
        schedules/weekly.toml:4:1: `setle` is not a key of `[cadence]`
          hint: did you mean `settle`?
        schedules/weekly.toml:13:1: `batchsize` is not a key of write-back `health_score`
          hint: did you mean `batch_size`?
        schedules/weekly.toml:18:43: `wen` is not a key of field `HEALTH_SCORE`
          hint: did you mean `when`?
        "#);
    }

    #[test]
    fn what_a_write_back_lacks() {
        insta::assert_snapshot!(job_with(&[("name = \"health_score\"\n", ""), ("source = \"dashboard\"\n", ""), ("table = '\"CRM\".\"ACCOUNTS\"'\n", "")]), @r#"
        schedules/weekly.toml:6:1: `[[write_back]]` has no `name`
          hint: name the write-back, once in the job
        schedules/weekly.toml:6:1: `[[write_back]]` has no `source`
          hint: name one of the connections of writeback.toml
        schedules/weekly.toml:6:1: `[[write_back]]` has no `table`
          hint: write `table = '"CRM"."ACCOUNTS"'`
        "#);
    }

    #[test]
    fn no_write_back() {
        insta::assert_snapshot!(job_with(&[(&JOB[JOB.find("[[write_back]]").expect("it")..], "")]), @r#"
        schedules/weekly.toml:1:1: `schedules/weekly.toml` has no `write_back`
          hint: a job has one or more `[[write_back]]`
        "#);
    }

    #[test]
    fn a_write_back_that_is_no_list() {
        insta::assert_snapshot!(job_with(&[("[[write_back]]", "[write_back]")]), @r#"
        schedules/weekly.toml:6:2: `[write_back]` is a table, not a list of them
          hint: write `[[write_back]]`
        "#);
    }

    #[test]
    fn two_write_backs_of_one_name_and_two_writers_of_a_column() {
        insta::assert_snapshot!({ let second = JOB[JOB.find("[[write_back]]").expect("it")..].replace("'\"CRM\".\"ACCOUNTS\"'", "'crm.accounts'").replace("CHURN_RISK", "OTHER").replace("RISK_LABEL", "OTHER_LABEL").replace("SCORE", "Score"); let place = Place::new(); place.write("schedules/weekly.toml", &format!("{JOB}\n{second}")); place.told() }, @r#"
        schedules/weekly.toml:24:8: there are two write-backs `health_score`
          hint: give each its own name
        schedules/weekly.toml:34:1: column `HEALTH_Score` of `crm.accounts` has two writers
          hint: the other is in line 17; keep one of them
        schedules/weekly.toml:36:1: column `Score_SOURCE` of `crm.accounts` has two writers
          hint: the other is in line 19; keep one of them
        schedules/weekly.toml:37:1: column `ScoreD_AT` of `crm.accounts` has two writers
          hint: the other is in line 20; keep one of them
        "#);
    }

    #[test]
    fn connections_and_dashboards_nobody_knows() {
        insta::assert_snapshot!(job_with(&[("\"customer_health\"", "\"customer_helth\""), ("source = \"dashboard\"", "source = \"dashbord\""), ("destination = \"crm\"", "destination = \"warehouse\"")]), @r#"
        schedules/weekly.toml:2:13: there is no dashboard `customer_helth` in writeback.toml
          hint: did you mean `customer_health`?
        schedules/weekly.toml:9:10: there is no connection `dashbord` in writeback.toml
          hint: did you mean `dashboard`?
        schedules/weekly.toml:10:15: there is no connection `warehouse` in writeback.toml
          hint: connections are `crm`, `dashboard`, `production`
        "#);
    }

    #[test]
    fn a_destination_of_files() {
        insta::assert_snapshot!(job_with(&[("destination = \"crm\"", "destination = \"dashboard\"")]), @r#"
        schedules/weekly.toml:10:15: destination `dashboard` is a folder of files
          hint: it is read, never written; name a database
        "#);
    }

    #[test]
    fn a_table_that_is_no_name() {
        insta::assert_snapshot!(job_with(&[("'\"CRM\".\"ACCOUNTS\"'", "'\"CRM\".\"ACCOUNTS'")]), @r#"
        schedules/weekly.toml:11:9: `"CRM"."ACCOUNTS` is not a table's name: a quote is not closed
          hint: write `accounts`, `crm.accounts` or `'"CRM"."ACCOUNTS"'`
        "#);
    }

    #[test]
    fn words_nobody_knows() {
        insta::assert_snapshot!(job_with(&[("batch_size = 500", "batch_size = -1\nmatching = \"update\"\nnulls = \"skip\""), ("\"if_empty\"", "\"empty\"")]), @r#"
        schedules/weekly.toml:12:14: `batch_size` is not a whole number from 1 to 1000000
        schedules/weekly.toml:13:12: `matching` is `update`, which is not known
          hint: did you mean `update_only`?
        schedules/weekly.toml:14:9: `nulls` is `skip`, which is not known
          hint: write one of `write`, `keep`
        schedules/weekly.toml:19:50: `when` is `empty`, which is not known
          hint: did you mean `if_empty`?
        "#);
    }

    #[test]
    fn a_schema_file_that_is_not_there() {
        insta::assert_snapshot!(job_with(&[("sql/health_score.sql", "sql/helth_score.sql")]), @r#"
        schedules/weekly.toml:8:10: `sql/helth_score.sql` does not exist
          hint: did you mean `sql/health_score.sql`?
        "#);
    }

    #[test]
    fn schema_columns_unknown_twice_and_nowhere() {
        insta::assert_snapshot!(job_with(&[("\"churn_risk\"", "\"chrun_risk\""), ("ignore = [\"note\"]\n", ""), ("\"cycle_completed_at\" }", "\"upper\", column = \"risk\" }")]), @r#"
        schedules/weekly.toml:14:1: schema column `note` goes nowhere
          hint: give it a field or name it in `ignore`
        schedules/weekly.toml:17:14: schema `sql/health_score.sql` has no column `chrun_risk`
          hint: did you mean `churn_risk`?
        schedules/weekly.toml:19:42: `risk` is INTEGER, which method `upper` does not take
          hint: method `upper` takes text
        schedules/weekly.toml:20:43: schema column `risk` goes to field `SCORED_AT` and to field `RISK_LABEL`
          hint: a column goes to one place; the first is in line 19
        "#);
    }

    #[test]
    fn a_column_ignored_and_used() {
        insta::assert_snapshot!(job_with(&[("[\"note\"]", "[\"note\", \"Risk\", \"note\", \"nothing_alike\"]")]), @r#"
        schedules/weekly.toml:13:19: schema column `risk` goes to field `RISK_LABEL` and to `ignore`
          hint: a column goes to one place; the first is in line 21
        schedules/weekly.toml:13:27: schema column `note` is ignored twice
          hint: a column goes to one place; the first is in line 13
        schedules/weekly.toml:13:35: schema `sql/health_score.sql` has no column `nothing_alike`
          hint: columns are `account_id`, `health_score`, `churn_risk`, `risk`, `note`
        "#);
    }

    #[test]
    fn a_key_without_a_field() {
        insta::assert_snapshot!(job_with(&[("ACCOUNT_ID = \"account_id\"\n", "")]), @r#"
        schedules/weekly.toml:15:1: the unique identifier `account_id` goes nowhere
          hint: give it a field: it is what records are matched on
        "#);
    }

    #[test]
    fn rows_that_are_found_by_other_fields_than_the_key() {
        let found_by = |names: &str| {
            let table = "table = '\"CRM\".\"ACCOUNTS\"'\n";
            (table, format!("{table}found_by = {names}\n"))
        };
        let (table, churn) = found_by("[\"CHURN_RISK\"]");
        let key = ("ACCOUNT_ID = \"account_id\"\n", "");
        assert_eq!(job_with(&[(table, &churn), key]), "");
        let stamped = format!("{churn}matching = \"upsert\"\n");
        insta::assert_snapshot!(job_with(&[(table, &stamped), key]), @r#"
        schedules/weekly.toml:12:1: `found_by` finds rows that are there, and `matching = "upsert"` makes some
          hint: leave `matching` out, or make rows with `steps`, which have `exists_by`
        "#);
        let (_, others) = found_by("[\"SCORE_SOURCE\", \"HEALTH_SCORE\"]");
        let compared = format!("{others}compare = \"last_written\"\n");
        let kept = (
            "\"churn_risk\"",
            "{ column = \"churn_risk\", on_conflict = \"keep\", realtime = true }",
        );
        insta::assert_snapshot!(job_with(&[(table, &compared), key, kept]), @r#"
        schedules/weekly.toml:13:1: `compare` means nothing beside `found_by`
          hint: leave it out: rows are looked up to be found
        schedules/weekly.toml:18:1: `HEALTH_SCORE` is what a row is found by, and is never written
          hint: name its column, and nothing else
        schedules/weekly.toml:19:1: `CHURN_RISK` cannot be written in real time: requests find rows by their key, and this one is found by `found_by`
          hint: leave `realtime` out
        schedules/weekly.toml:20:1: `SCORE_SOURCE` is the same for every record, and a row is found by it
          hint: give it a column of the schema
        "#);
        let (_, unknown) = found_by("\"CHURN\"");
        insta::assert_snapshot!(job_with(&[(table, &unknown), key]), @r#"
        schedules/weekly.toml:12:12: there is no field `CHURN`
          hint: did you mean `CHURN_RISK`?
        "#);
    }

    #[test]
    fn a_key_with_a_when() {
        insta::assert_snapshot!(job_with(&[("\"account_id\"", "{ column = \"account_id\", when = \"if_empty\" }")]), @r#"
        schedules/weekly.toml:16:25: the unique identifier `account_id` has a `when`
          hint: leave `when` out: records are matched on it
        "#);
    }

    #[test]
    fn a_key_through_a_method() {
        insta::assert_snapshot!(job_with(&[("\"account_id\"", "{ method = \"trim\", column = \"account_id\" }")]), @r#"
        schedules/weekly.toml:16:42: the unique identifier `account_id` goes through a method
          hint: name the column itself: records are matched on it
        "#);
    }

    #[test]
    fn a_key_that_is_ignored() {
        insta::assert_snapshot!(job_with(&[("ACCOUNT_ID = \"account_id\"\n", ""), ("[\"note\"]", "[\"note\", \"account_id\"]")]), @r#"
        schedules/weekly.toml:13:19: the unique identifier `account_id` is ignored
          hint: give it a field: it is what records are matched on
        "#);
    }

    #[test]
    fn fields_without_a_value_or_with_two() {
        insta::assert_snapshot!(job_with(&[("{ string = \"customer health dashboard\" }", "5\nA = {}\nB = { string = \"x\", method = \"run_id\" }\nC = { string = \"x\", labels = [] }")]), @r#"
        schedules/weekly.toml:19:16: field `SCORE_SOURCE` names no value
          hint: write a schema column's name, `{ string = "…" }` or `{ method = "…" }`
        schedules/weekly.toml:20:5: field `A` names no value
          hint: write a schema column's name, `{ string = "…" }` or `{ method = "…" }`
        schedules/weekly.toml:21:5: field `B` names more than one value
          hint: write a schema column's name, `{ string = "…" }` or `{ method = "…" }`
        schedules/weekly.toml:22:21: `labels` belongs to the method `label`
          hint: add `method = "label"`
        "#);
    }

    #[test]
    fn methods_nobody_knows_and_methods_misused() {
        insta::assert_snapshot!(job_with(&[("{ method = \"cycle_completed_at\" }", "{ method = \"cycle_complete_at\" }\nA = { method = \"trim\" }\nB = { method = \"run_id\", column = \"note\" }\nC = { method = \"job_name\", labels = [] }\nD = { method = \"label\", column = \"churn_risk\" }")]), @r#"
        schedules/weekly.toml:13:11: schema column `note` goes to field `B` and to `ignore`
          hint: a column goes to one place; the first is in line 22
        schedules/weekly.toml:20:24: there is no method `cycle_complete_at`
          hint: did you mean `cycle_completed_at`?
        schedules/weekly.toml:21:5: method `trim` needs a `column`
          hint: write `column = "schema_column"`
        schedules/weekly.toml:22:26: method `run_id` takes no column
        schedules/weekly.toml:23:28: method `job_name` takes no `labels`
        schedules/weekly.toml:24:16: method `label` needs `labels`
          hint: write `labels = [{ below = 40, label = "low" }, { label = "high" }]`
        schedules/weekly.toml:24:34: `churn_risk` is VARCHAR(16), which method `label` does not take
          hint: method `label` takes numbers
        schedules/weekly.toml:24:34: schema column `churn_risk` goes to field `CHURN_RISK` and to field `D`
          hint: a column goes to one place; the first is in line 18
        "#);
    }

    #[test]
    fn a_method_over_a_type_it_does_not_take() {
        insta::assert_snapshot!(job_with(&[("CHURN_RISK = \"churn_risk\"", "CHURN_RISK = { method = \"percent_of_one\", column = \"churn_risk\" }")]), @r#"
        schedules/weekly.toml:18:52: `churn_risk` is VARCHAR(16), which method `percent_of_one` does not take
          hint: method `percent_of_one` takes DECIMAL and whole numbers
        "#);
    }

    #[test]
    fn labels_out_of_order() {
        insta::assert_snapshot!(job_with(&[("[{ below = 40, label = \"low\" }, { label = \"high\" }]", "[{ below = 40, label = \"a\" }, { below = \"9.5\", label = \"b\" }, { label = \"c\" }, { below = 50, label = \"d\" }]")]), @r#"
        schedules/weekly.toml:21:90: label `b` is never reached: bounds do not rise
          hint: order the labels by `below`, smallest first
        schedules/weekly.toml:21:122: label `c` has no `below` and is not the last
          hint: the last label has no `below`: it takes whatever no earlier bound took
        schedules/weekly.toml:21:139: label `d` is the last and has a `below`
          hint: the last label has no `below`: it takes whatever no earlier bound took
        "#);
    }

    #[test]
    fn labels_that_are_no_labels() {
        insta::assert_snapshot!(job_with(&[("[{ below = 40, label = \"low\" }, { label = \"high\" }]", "[{ below = 1e3, label = \"a\" }, { below = 0x10, labl = \"b\" }, 7]")]) + &job_with(&[("[{ below = 40, label = \"low\" }, { label = \"high\" }]", "[]")]), @r#"
        schedules/weekly.toml:21:71: `below` is `1e3`, which is not a plain decimal number
          hint: write digits, and a point if need be: `40` or `"0.75"`
        schedules/weekly.toml:21:101: `below` is `0x10`, which is not a plain decimal number
          hint: write digits, and a point if need be: `40` or `"0.75"`
        schedules/weekly.toml:21:107: `labl` is not a key of a label
          hint: did you mean `label`?
        schedules/weekly.toml:21:121: an entry of `labels` is a whole number, not a table
        schedules/weekly.toml:21:60: `labels` is empty
          hint: write `[{ below = 40, label = "low" }, { label = "high" }]`
        "#);
    }

    #[test]
    fn a_write_back_of_keys_alone() {
        insta::assert_snapshot!({ let place = Place::new(); let start = JOB.find("HEALTH_SCORE =").expect("it"); place.write("schedules/weekly.toml", &changed(&JOB[..start], &[("[\"note\"]", "[\"note\", \"health_score\", \"churn_risk\", \"risk\"]")])); place.told() }, @r#"
        schedules/weekly.toml:15:1: the write-back has no field but its key, so it would write nothing
          hint: add the fields to update
        "#);
    }

    #[test]
    fn a_schema_that_is_not_sql() {
        insta::assert_snapshot!(schema_told("CREATE TABLE t (id INT PRIMARY KEY, name 'abc)") + &schema_told("CREATE TABLE t (id INT PRIMARY KEY,, name TEXT)") + &schema_told("CREATE TABLE t (\n  id INT PRIMARY KEY"), @r#"
        sql/s.sql:1:42: this is not SQL: unterminated string literal
        sql/s.sql:1:36: this is not a `CREATE TABLE` in standard SQL: expected: column name or constraint definition, found: ,
        sql/s.sql:2:21: this is not a `CREATE TABLE` in standard SQL: expected: ',' or ')' after column definition, found: the end
        "#);
    }

    #[test]
    fn a_schema_without_a_create_table() {
        insta::assert_snapshot!(schema_told("") + &schema_told("-- nothing\nSELECT 1") + &schema_told("CREATE VIEW v AS SELECT 1"), @r#"
        sql/s.sql:1:1: a schema begins with `CREATE TABLE`
          hint: `writeback schema CONNECTION TABLE` prints one to start from
        sql/s.sql:2:1: a schema begins with `CREATE TABLE`
          hint: `writeback schema CONNECTION TABLE` prints one to start from
        sql/s.sql:1:1: a schema begins with `CREATE TABLE`
          hint: `writeback schema CONNECTION TABLE` prints one to start from
        "#);
    }

    #[test]
    fn a_schema_without_a_primary_key() {
        insta::assert_snapshot!(schema_with(&[(" PRIMARY KEY", "")]), @r#"
        sql/health_score.sql:2:14: the schema has no `PRIMARY KEY`
          hint: write `PRIMARY KEY` after the column that identifies a record
        "#);
    }

    #[test]
    fn a_schema_with_two_primary_keys() {
        insta::assert_snapshot!(schema_with(&[("note         TEXT", "note TEXT PRIMARY KEY")]), @r#"
        sql/health_score.sql:7:5: the schema has more than one `PRIMARY KEY`
          hint: an identifier of several columns is written once: `PRIMARY KEY (a, b)`
        "#);
    }

    #[test]
    fn a_primary_key_of_unknown_columns() {
        insta::assert_snapshot!(schema_with(&[(" PRIMARY KEY", ""), ("note         TEXT", "note TEXT, PRIMARY KEY (acount_id, lower(note))")]), @r#"
        sql/health_score.sql:7:29: `PRIMARY KEY` names `acount_id`, which is not a column of the schema
          hint: did you mean `account_id`?
        sql/health_score.sql:7:40: `PRIMARY KEY` names `lower(note)`, which is not a column
        "#);
    }

    #[test]
    fn types_write_backs_do_not_carry() {
        insta::assert_snapshot!(schema_with(&[("INTEGER", "BLOB"), ("VARCHAR(16)", "TINYINT(1)"), ("note         TEXT", "note TIME WITH TIME ZONE")]), @r#"
        sql/health_score.sql:5:5: column `churn_risk`: `TINYINT(1)` is not a type write-backs carry
          hint: write `SMALLINT`
        sql/health_score.sql:6:5: column `risk`: `BLOB` is not a type write-backs carry
          hint: types are CHAR, VARCHAR, TEXT, SMALLINT, INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, UUID and JSON
        sql/health_score.sql:7:5: column `note`: `TIME WITH TIME ZONE` is not a type write-backs carry
          hint: types are CHAR, VARCHAR, TEXT, SMALLINT, INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, UUID and JSON
        "#);
    }

    #[test]
    fn type_numbers_out_of_bounds() {
        insta::assert_snapshot!(schema_with(&[("DECIMAL(5,2)", "DECIMAL(39,2)"), ("VARCHAR(16)", "VARCHAR(0)"), ("INTEGER", "DECIMAL(2,5)"), ("note         TEXT", "note TIMESTAMP(9), a FLOAT(60), b FLOAT(5,2), c DECIMAL(5,-1)")]), @r#"
        sql/health_score.sql:4:5: column `health_score`: its precision is 39
          hint: a precision is 1 to 38; `DECIMAL` alone takes any number of digits
        sql/health_score.sql:5:5: column `churn_risk`: its length is 0
          hint: write a length of at least 1, or `TEXT` for any length
        sql/health_score.sql:6:5: column `risk`: its scale is 5
          hint: a scale is 0 to the precision, here 2
        sql/health_score.sql:7:5: column `note`: its seconds have 9 digits after the point
          hint: at most 6 travel: microseconds
        sql/health_score.sql:7:24: column `a`: its precision is 60
          hint: a float has 1 to 53 binary digits
        sql/health_score.sql:7:37: column `b`: a float has no scale
          hint: write `DECIMAL(p,s)`, `REAL` or `DOUBLE PRECISION`
        sql/health_score.sql:7:51: column `c`: its scale is -1
          hint: a scale is 0 to the precision, here 5
        "#);
    }

    #[test]
    fn columns_that_stand_twice() {
        insta::assert_snapshot!(schema_with(&[("note         TEXT", "note TEXT, Note TEXT")]), @r#"
        sql/health_score.sql:7:16: column `Note` stands here twice
          hint: the first stands in line 7
        "#);
    }

    #[test]
    fn statements_too_many() {
        insta::assert_snapshot!(schema_told("CREATE TABLE t (id INT PRIMARY KEY);\nSELECT 1;\nSELECT 2;") + &schema_told("CREATE TABLE t (id INT PRIMARY KEY);\nDELETE FROM t"), @r#"
        sql/s.sql:3:1: there is a statement too many
          hint: a schema is one `CREATE TABLE` and at most one query
        sql/s.sql:2:1: a model begins with `SELECT` or `WITH`
          hint: what follows the `CREATE TABLE` is the model: one query
        "#);
    }

    #[test]
    fn a_table_made_from_a_query() {
        insta::assert_snapshot!(schema_told("CREATE TABLE t (id INT PRIMARY KEY) AS SELECT 1"), @r#"
        sql/s.sql:1:1: the `CREATE TABLE` does not list its columns alone
          hint: list the columns with their types; a model follows after a `;`
        "#);
    }

    #[test]
    fn clauses_that_say_nothing_here_are_warned_about() {
        insta::assert_snapshot!(schema_with(&[("INTEGER", "INTEGER DEFAULT 5 CHECK (risk > 0)"), ("note         TEXT", "note TEXT REFERENCES notes (id) UNIQUE,\n    FOREIGN KEY (note) REFERENCES notes (id)")]), @r#"
        sql/health_score.sql:6:5: warning: `DEFAULT` says nothing to a write-back and is ignored
        sql/health_score.sql:6:5: warning: `CHECK` says nothing to a write-back and is ignored
        sql/health_score.sql:7:5: warning: `REFERENCES` says nothing to a write-back and is ignored
        sql/health_score.sql:7:5: warning: `UNIQUE` says nothing to a write-back and is ignored
        sql/health_score.sql:8:18: warning: `FOREIGN KEY` says nothing to a write-back and is ignored
        "#);
    }

    #[test]
    fn a_key_that_compares_badly() {
        insta::assert_snapshot!(schema_with(&[("VARCHAR(18)", "DOUBLE PRECISION")]) + &schema_with(&[("VARCHAR(18)", "JSON")]), @r#"
        sql/health_score.sql:3:5: warning: column `account_id` identifies a record and is a float
          hint: floats seldom equal one another exactly; declare it as `DECIMAL` or `BIGINT` if it is one
        sql/health_score.sql:3:5: column `account_id` identifies a record and cannot be JSON
          hint: choose a column of text or numbers
        "#);
    }

    #[test]
    fn bytes_that_are_not_text() {
        insta::assert_snapshot!({ let place = Place::new(); fs::write(place.folder.path().join("sql/health_score.sql"), b"-- caf\xe9\nCREATE TABLE t (id INT)").expect("a file"); place.told() }, @r#"
        sql/health_score.sql:1:7: `sql/health_score.sql` is not UTF-8 text
          hint: save the file as UTF-8 in your editor
        "#);
    }
}

mod arbitrary_text {
    use super::*;

    fn scrambled(text: &'static str) -> impl Strategy<Value = String> {
        // Pieces of a real file in any order reach further into the readers than random letters do.
        let pieces: Vec<&str> = text
            .split_inclusive([' ', '\n', '"', '(', ')', '=', ';', '{', '}'])
            .collect();
        prop_oneof![
            any::<String>(),
            proptest::collection::vec(proptest::sample::select(pieces.clone()), 0..60)
                .prop_map(|pieces| pieces.concat()),
            (0..pieces.len(), 0..pieces.len(), any::<String>()).prop_map(
                move |(cut, other, noise)| {
                    let mut pieces = pieces.clone();
                    pieces.swap(cut, other);
                    pieces.insert(cut, &noise);
                    pieces.concat()
                }
            ),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_project_file_panics_the_reader(text in prop_oneof![scrambled(PROJECT), scrambled(scheduling::DASHBOARDS)]) {
            let surroundings = Surroundings { root: Path::new("/nowhere"), environment: &|_| None, clock };
            let _problems = project_file::read_project(&text, surroundings).err();
        }

        #[test]
        fn no_job_file_panics_the_reader(text in prop_oneof![scrambled(JOB), scrambled(scheduling::WHOLE_CADENCE)]) {
            let place = Place::new();
            let project = place.project().expect("a project");
            let _problems = job::read_job(&project, "weekly", "schedules/weekly.toml", &text, None, clock()).err();
        }

        #[test]
        fn no_schema_panics_the_reader(text in scrambled(SCHEMA)) {
            let _problems = schema_of(&text).err();
        }

        #[test]
        fn no_job_name_leaves_the_folder_of_jobs(name in any::<String>()) {
            let place = Place::new();
            place.write("outside.toml", JOB);
            let project = place.project().expect("a project");
            for name in [name.clone(), format!("../{name}"), format!("schedules/../{name}"), format!("/{name}")] {
                prop_assert!(project.load_job(&name).is_err() || ["weekly", "weekly.toml"].contains(&name.as_str()));
            }
        }
    }

    #[test]
    fn deep_nesting_is_a_mistake_and_no_crash() {
        let depth = 100_000;
        for (open, close) in [
            ("ARRAY<", ">"),
            ("Nullable(", ")"),
            ("INT CHECK (", ")"),
            ("INT DEFAULT -", ""),
            ("INT DEFAULT NOT ", ""),
        ] {
            let text = format!(
                "CREATE TABLE t (id {}INT{})",
                open.repeat(depth),
                close.repeat(depth)
            );
            assert!(schema_of(&text).is_err(), "{open}");
        }
        let surroundings = Surroundings {
            root: Path::new("/nowhere"),
            environment: &|_| None,
            clock,
        };
        for text in [
            format!("a = {}", "[".repeat(depth)),
            format!("a = {}", "{a=".repeat(depth)),
            "a.".repeat(depth),
        ] {
            assert!(project_file::read_project(&text, surroundings).is_err());
        }
    }
}
