//! The repository's own example, as the README runs it.

use crate::harness::Workspace;

const SUMMARY: &str = "989 read = 874 updated + 86 unchanged + 23 skipped + 6 rejected\n\
                       418 read = 162 inserted + 211 updated + 41 unchanged + 4 rejected";

/// The same as people read it, both write-backs together.
const SUM: &str =
    "1 407 read = 162 inserted + 1 085 updated + 127 unchanged + 23 skipped + 10 rejected";

#[test]
fn the_first_command_makes_the_demo_crm_and_writes_the_scores_home() {
    let place = Workspace::example();
    let run = place.command(&["run", "weekly"]);
    assert_eq!(run.code, 1, "a few records are there to be rejected: {run}");
    assert!(run.stdout.contains(SUM), "{run}");

    let places: Vec<String> = place.rejected(1).lines().map(rejection).collect();
    let expected = [
        "health_score,001Hs00003,schema,health_score",
        "health_score,001Hs00003,schema,health_score",
        "health_score,001Hs00003,schema,health_score",
        "health_score,001Hs00003,schema,churn_risk",
        "health_score,001Hs00003,match,",
        "health_score,001Hs00003,match,",
        "workspace_recommendation,001Hs00003,schema,due_on",
        "workspace_recommendation,001Hs00003,mapping,RECOMMENDATION",
        "workspace_recommendation,001Hs00003,destination,",
        "workspace_recommendation,001Hs00003,destination,",
    ];
    assert_eq!(places, expected);
}

/// Write-back, the key's beginning, stage and column of a line of `rejected.csv`.
fn rejection(line: &str) -> String {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    let cells = reader.records().next().expect("a line").expect("CSV");
    let key: String = cells[2].chars().take(10).collect();
    [&cells[0], key.as_str(), &cells[3], &cells[4]].join(",")
}

#[test]
fn a_second_run_finds_everything_delivered() {
    let place = Workspace::example();
    assert_eq!(
        place.command(&["run", "weekly", "--json"]).summary(),
        SUMMARY
    );
    let again = place.command(&["run", "weekly", "--json"]).summary();
    let expected =
        "989 read = 960 unchanged + 23 skipped + 6 rejected\n418 read = 414 unchanged + 4 rejected";
    assert_eq!(again, expected);
}

#[test]
fn what_nobody_mapped_is_as_it_was() {
    let place = Workspace::example();
    assert_eq!(place.command(&["check"]).code, 0);
    let unmapped = |table: &str, columns: &str| {
        place.query_file(
            "fixtures/crm.db",
            &format!("SELECT {columns} FROM {table} ORDER BY 1, 2"),
        )
    };
    let accounts = "ACCOUNT_ID, NAME, INDUSTRY, PHONE, ARR, ACCOUNT_REP, CREATED_AT";
    let recommendations = "ACCOUNT_ID, PLAYBOOK, STATUS, ASSIGNEE";
    let (accounts_before, kept) = (
        unmapped("ACCOUNTS", accounts),
        unmapped("RECOMMENDATIONS", recommendations),
    );
    place.command(&["run", "weekly"]);
    assert_eq!(unmapped("ACCOUNTS", accounts), accounts_before);
    let after = unmapped("RECOMMENDATIONS", recommendations);
    assert!(
        kept.lines().all(|line| after.contains(line)),
        "a recommendation's status changed"
    );

    let filled = "SELECT count(*) AS n FROM ACCOUNTS WHERE OWNER_EMAIL <> lower(OWNER_EMAIL)";
    assert_eq!(place.query_file("fixtures/crm.db", filled), "n\n0\n");
    let stamped = "SELECT DISTINCT SCORED_AT AS at FROM ACCOUNTS WHERE SCORED_AT IS NOT NULL";
    assert_eq!(
        place.query_file("fixtures/crm.db", stamped),
        "at\n2026-11-08 06:30:00\n2026-11-15 06:30:00\n"
    );
    let texts = "SELECT count(*) AS n FROM RECOMMENDATIONS WHERE RECOMMENDATION LIKE '%' || char(10) || '%'";
    assert_ne!(place.query_file("fixtures/crm.db", texts), "n\n0\n");
}

#[test]
fn the_record_its_job_file_names_can_be_tried() {
    let place = Workspace::example();
    let record = "001Hs00003M28iTIAR";
    assert!(place.text("schedules/weekly.toml").contains(record));
    let test = place.command(&[
        "test",
        "weekly",
        "--write-back",
        "health_score",
        "--record",
        record,
        "--rollback",
    ]);
    assert_eq!(test.code, 0, "{test}");
    assert!(
        test.stdout.contains("HEALTH_SCORE") && test.stdout.contains("44.71"),
        "{test}"
    );
}

#[test]
fn the_readme_s_first_command_is_the_one_that_is_run_here() {
    let readme = include_str!("../../README.md");
    let commands = readme
        .lines()
        .skip_while(|line| *line != "```sh")
        .skip(1)
        .take_while(|line| *line != "```");
    let first = commands.collect::<Vec<_>>().join("\n");
    let arguments = first
        .strip_prefix("cargo run -- ")
        .unwrap_or_else(|| panic!("the first command is `{first}`"));
    let place = Workspace::example();
    assert!(
        !place.path("fixtures/crm.db").exists(),
        "the demo CRM is made by the command itself"
    );
    let run = place.command(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains(SUM), "{run}");
    assert!(place.path("fixtures/crm.db").exists());
}

#[test]
fn the_readme_s_careful_run_goes_as_it_stands_there() {
    let readme = include_str!("../../README.md");
    let story = readme
        .split("## A careful run")
        .nth(1)
        .expect("the section");
    let story = story
        .split("```console\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("its commands");
    let place = Workspace::example();
    let job = place.text("schedules/weekly.toml");
    let batch_size = job
        .lines()
        .find(|line| line.starts_with("batch_size"))
        .expect("the first write-back's");
    place.file(
        "schedules/weekly.toml",
        &job.replacen(batch_size, &format!("{batch_size}\ncanary = 20"), 1),
    );
    let mut commands = 0;
    for step in story.split("$ ").skip(1) {
        let (command, expected) = step.split_once('\n').expect("a line");
        commands += 1;
        if let Some(statement) = command.strip_prefix("sqlite3 fixtures/crm.db ") {
            place.execute_file("fixtures/crm.db", statement.trim_matches('"'));
            continue;
        }
        let arguments: Vec<&str> = command
            .strip_prefix("writeback ")
            .expect("a command")
            .split(' ')
            .collect();
        let ran = place.command(&arguments);
        let mut told = ran.stdout.lines().map(timeless);
        let mut is_gap = false;
        for line in expected.lines() {
            match line {
                "…" => is_gap = true,
                line if is_gap => {
                    is_gap = false;
                    assert!(
                        told.any(|told| told == timeless(line)),
                        "`{line}` is missing: {ran}"
                    );
                }
                line => assert_eq!(told.next(), Some(timeless(line)), "{ran}"),
            }
        }
        assert_eq!(told.next(), None, "{ran}");
    }
    assert_eq!(commands, 5);
}

/// A line without how long it took, and when it was, which stand at its end.
fn timeless(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let of_time = match words.last() {
        Some(&"s") => 2,
        Some(&"UTC") => 3,
        _ => 0,
    };
    words.truncate(words.len() - of_time);
    words.join(" ")
}
