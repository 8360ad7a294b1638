//! A new project, from `writeback init` to its first run, as the README it makes says.

use crate::harness::{Server, Workspace};

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
    // What the README leaves to the user: the export, the marker, and a destination that is there.
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
    place
        .execute("CREATE TABLE ACCOUNTS (ACCOUNT_ID VARCHAR(18) PRIMARY KEY, SCORE DECIMAL(5,2), SCORED_AT TIMESTAMP)");
    place.execute("INSERT INTO ACCOUNTS VALUES ('A1', 10, NULL)");
    std::fs::rename(place.path("crm.db"), place.path("project/crm.db")).expect("moved");

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
fn nothing_is_made_in_a_folder_that_holds_something_or_of_answers_that_make_no_sense() {
    let place = Workspace::on(Server::Sqlite);
    place.file("project/notes.txt", "mine");
    let full = place.command(&[&["init", "project"], &FLAGS[..]].concat());
    assert!(
        full.code == 2 && full.stderr.contains("`project` is not empty"),
        "{full}"
    );
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
    let nobody = place.command(&["init", "other"]);
    assert!(
        nobody.code == 2 && nobody.stderr.contains("`--yes` asks nothing"),
        "{nobody}"
    );
}
