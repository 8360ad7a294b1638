//! What `init` makes loads, and what it cannot make it says.

use std::fs;

use super::*;
use crate::config::{Project, Signal};

/// Carries `init` out.
fn made(arguments: &InitArguments) -> Result<String, InitError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(init(arguments))
}

fn flags(folder: &Path) -> InitArguments {
    InitArguments {
        folder: folder.to_owned(),
        yes: true,
        ..InitArguments::default()
    }
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn what_is_proposed_loads_without_a_problem() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("new/project");
    let told = made(&flags(&folder)).expect("a project");
    let checked = Project::load(&folder)
        .expect("a project")
        .load_job("weekly")
        .expect("a job");
    assert!(checked.warnings.is_empty());
    let told = told.replace(&folder.display().to_string(), "DIR");
    assert_eq!(
        told,
        "note: the source was not looked at (`dashboard` is not there yet): its columns are an example, to be put right\n\
         note: the destination was not looked at (`crm.db` is not there yet): `\"CRM\".\"ACCOUNTS\"` is an example, and \
         columns go to those of the same names\n\
         wrote DIR/README.md\nwrote DIR/writeback.toml\nwrote DIR/sql/health_score.sql\n\
         wrote DIR/schedules/weekly.toml\nwrote DIR/.gitignore\nnext: read DIR/README.md, then `writeback check weekly`\n"
    );
    assert_eq!(
        fs::read_to_string(folder.join(".gitignore")).expect("text"),
        ".writeback/\n*.plan\npreview*.html\n"
    );
}

#[test]
fn what_flags_say_loads_without_a_problem() {
    let place = tempfile::tempdir().expect("a folder");
    let arguments = InitArguments {
        name: Some("order".to_owned()),
        job: Some("täglich".to_owned()),
        source: Some("sqlite:scores.db".to_owned()),
        destination: Some("out of office.db".to_owned()),
        columns: texts(&[
            "region: CHAR(2) primary key",
            "\"Konto-Nr\" BIGINT PRIMARY KEY",
            "score DECIMAL(5,2) NOT NULL",
            "group TEXT",
            "at TIMESTAMP WITH TIME ZONE",
        ]),
        fields: texts(&["score=Health \"Score\"", "group=-", "at='At'"]),
        table: Some("\"CRM\".\"it's\"".to_owned()),
        stamp: Some("SCORED_AT".to_owned()),
        matching: Some("upsert".to_owned()),
        batch_size: NonZeroUsize::new(7),
        marker: Some("done.json".to_owned()),
        settle: Some("1h".to_owned()),
        ..flags(place.path())
    };
    made(&arguments).expect("a project");
    let project = Project::load(place.path()).expect("a project");
    let checked = project.load_job("täglich").expect("a job");
    assert!(checked.warnings.is_empty());
    let write_back = checked.job.write_backs.first().expect("a write-back");
    assert_eq!(checked.job.dashboard(), Some("dashboard"));
    assert_eq!(write_back.schema.key, [0, 1]);
    let fields: Vec<&str> = write_back
        .fields
        .iter()
        .map(|field| field.column.text.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "region",
            "Konto-Nr",
            "Health \"Score\"",
            "'At'",
            "SCORED_AT"
        ]
    );
    assert_eq!(
        (write_back.mode, write_back.batch_records_max.get()),
        (MatchMode::Upsert, 7)
    );
    assert_eq!(write_back.table.to_string(), "\"CRM\".\"it's\"");
}

#[test]
fn each_way_to_notice_a_cycle_loads_without_a_problem() {
    let ways = [
        InitArguments {
            marker: Some("out/it's done.json".to_owned()),
            ..InitArguments::default()
        },
        InitArguments {
            cycle_query: Some("SELECT 'a \"b\"' AS cycle_id".to_owned()),
            ..InitArguments::default()
        },
        InitArguments {
            announced: true,
            ..InitArguments::default()
        },
        InitArguments {
            clock: Some("30 4 * * *".to_owned()),
            margin: Some("3h".to_owned()),
            ..InitArguments::default()
        },
    ];
    let signals: Vec<String> = ways
        .into_iter()
        .map(|way| {
            let place = tempfile::tempdir().expect("a folder");
            let gate = Some("0 6 * * MON".to_owned());
            let timezone = Some("Europe/Berlin".to_owned());
            made(&InitArguments {
                gate,
                timezone,
                folder: place.path().to_owned(),
                yes: true,
                ..way
            })
            .expect("a project");
            let project = Project::load(place.path()).expect("a project");
            let checked = project.load_job("weekly").expect("a job");
            assert!(checked.warnings.is_empty());
            let cadence = checked.job.cadence.expect("a cadence");
            assert_eq!(cadence.settle.as_secs(), 30 * 60);
            let gates = cadence
                .gates
                .lines
                .iter()
                .map(|gate| format!("{} {}", gate.cron, gate.zone));
            assert_eq!(gates.collect::<Vec<_>>(), ["0 6 * * MON Europe/Berlin"]);
            match &project
                .dashboards
                .get("dashboard")
                .expect("a dashboard")
                .signal
            {
                Signal::Marker { file } => file
                    .strip_prefix(place.path())
                    .expect("inside")
                    .display()
                    .to_string(),
                Signal::Query { connection, sql } => format!("{connection}: {sql}"),
                Signal::Clock { gate, margin } => {
                    format!("{} {} {}h", gate.cron, gate.zone, margin.as_secs() / 3600)
                }
                Signal::Announced => "announced".to_owned(),
            }
        })
        .collect();
    let meant = [
        "out/it's done.json",
        "dashboard: SELECT 'a \"b\"' AS cycle_id",
        "announced",
        "30 4 * * * Europe/Berlin 3h",
    ];
    assert_eq!(signals, meant);
}

#[test]
fn servers_get_their_passwords_from_the_environment() {
    let place = tempfile::tempdir().expect("a folder");
    let arguments = InitArguments {
        destination: Some("postgres://writer@db.example.com/crm".to_owned()),
        ..flags(place.path())
    };
    made(&arguments).expect("a project");
    let text = fs::read_to_string(place.path().join("writeback.toml")).expect("text");
    assert!(
        text.contains("password = { env = \"CRM_PASSWORD\" }"),
        "{text}"
    );
}

#[test]
fn a_password_never_reaches_a_file_or_a_message() {
    let place = tempfile::tempdir().expect("a folder");
    let arguments = InitArguments {
        destination: Some("postgres://writer:canary@db.example.com/crm".to_owned()),
        ..flags(place.path())
    };
    let error = made(&arguments).expect_err("a password");
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert_eq!(fs::read_dir(place.path()).expect("a folder").count(), 0);
}

#[test]
fn nothing_is_overwritten() {
    let place = tempfile::tempdir().expect("a folder");
    fs::write(place.path().join(".gitignore"), "mine\n").expect("a file");
    made(&flags(place.path())).expect("a project");
    assert_eq!(
        fs::read_to_string(place.path().join(".gitignore")).expect("text"),
        "mine\n"
    );
    let error = made(&flags(place.path())).expect_err("no longer empty");
    assert!(matches!(error, InitError::InTheWay { .. }), "{error}");
}

#[test]
fn answers_that_are_none_are_told() {
    let place = tempfile::tempdir().expect("a folder");
    let told = |arguments: InitArguments| {
        let error = made(&arguments).expect_err("a wrong answer");
        assert_eq!(fs::read_dir(place.path()).expect("a folder").count(), 0);
        error.to_string()
    };
    let usual = || flags(place.path());
    assert_eq!(
        told(InitArguments {
            columns: texts(&["photo BLOB"]),
            ..usual()
        }),
        "photo BLOB: column `photo`: `BLOB` is not a type write-backs carry; types are CHAR, VARCHAR, TEXT, SMALLINT, \
         INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, \
         UUID and JSON"
    );
    assert_eq!(
        told(InitArguments {
            fields: texts(&["scor=X"]),
            ..usual()
        }),
        "scor=X: there is no column `scor`"
    );
    assert_eq!(
        told(InitArguments {
            matching: Some("update".to_owned()),
            ..usual()
        }),
        "update: write one of update_only, upsert, create_only"
    );
    assert_eq!(
        told(InitArguments {
            destination: Some("folder".to_owned()),
            ..usual()
        }),
        "Where they go (a file of SQLite or DuckDB, or a url without a password): it is read, never written; name a \
         database: a file ending in .db or .duckdb, or a url"
    );
    let announced = || InitArguments {
        announced: true,
        ..usual()
    };
    assert_eq!(
        told(InitArguments {
            settle: Some("soon".to_owned()),
            ..announced()
        }),
        "How long after the cycle: write it as in 30m"
    );
    assert_eq!(
        told(InitArguments {
            gate: Some("0 6 * * *".to_owned()),
            timezone: Some("Mars".to_owned()),
            ..announced()
        }),
        "Time zone of its clock, as in Europe/Berlin: write it as in Europe/Berlin or UTC"
    );
    let line = told(InitArguments {
        clock: Some("0 5 * *".to_owned()),
        ..usual()
    });
    assert!(
        line.starts_with(
            "When it begins, a crontab line: `0 5 * *` has 4 fields instead of five; "
        ),
        "{line}"
    );
    let twice = InitArguments {
        columns: texts(&["a INT", "A INT"]),
        ..usual()
    };
    assert_eq!(told(twice), "A INT: column `a` stands there twice");
}
