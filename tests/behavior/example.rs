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
    let second = place.command(&["run", "weekly"]);
    assert_eq!(second.code, 0, "{second}");
    assert_eq!(
        second.stdout,
        "weekly  nothing new: run 1 wrote cycle `2026-W46` back already\n\
         hint: `writeback run weekly --again` writes it once more\n\
         hint: `writeback run weekly --only-rejected` takes rejected records again: 10 are pending\n"
    );
    let again = place.command(&["run", "weekly", "--again", "--json"]);
    let again = again.summary();
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
fn the_other_job_writes_the_scores_into_three_practice_apis_at_once_and_takes_them_back() {
    let place = Workspace::example();
    let run = place.command(&["run", "accounts", "--json"]);
    assert_eq!(run.code, 1, "a few records are there to be rejected: {run}");
    let names: Vec<String> = run.json()["write_backs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected = ["salesforce", "hubspot", "dynamics"].map(|to| format!("account_health@{to}"));
    assert_eq!(names, expected);
    // Salesforce's accounts get their owners as well.
    assert_eq!(
        run.summary(),
        "989 read = 936 updated + 24 unchanged + 23 skipped + 6 rejected\n\
         989 read = 874 updated + 86 unchanged + 23 skipped + 6 rejected\n\
         989 read = 874 updated + 86 unchanged + 23 skipped + 6 rejected"
    );
    let again = place.command(&["run", "accounts", "--again", "--json"]);
    let unchanged = "989 read = 960 unchanged + 23 skipped + 6 rejected";
    assert_eq!(again.summary(), [unchanged; 3].join("\n"));
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    let reversed = |records| undo.stdout.matches(&format!("{records} reversed")).count();
    assert_eq!((reversed(936), reversed(874)), (1, 2), "{undo}");
}

/// What an agency's practice corporation holds of an entity: how many records.
fn records(place: &Workspace, agency: &str, entity: &str) -> String {
    let file = format!(".writeback/practice/ats@referral:{agency}.db");
    let sql = format!("SELECT count(*) AS n FROM documents WHERE kind = '{entity}'");
    place.query_file(&file, &sql).replace("n\n", "")
}

#[test]
fn referrals_of_two_agencies_go_into_practice_bullhorns_and_twice_doubles_nothing() {
    let place = Workspace::example();
    for told in [
        [
            "8 read = 4 inserted + 4 skipped",
            "12 read = 6 inserted + 1 updated + 5 skipped",
        ],
        ["8 read = 8 skipped", "12 read = 2 unchanged + 10 skipped"],
    ] {
        let run = place.command(&["run", "referral"]);
        assert_eq!(run.code, 1, "one referral is of no agency: {run}");
        for told in told {
            assert!(run.stdout.contains(told), "`{told}` is missing: {run}");
        }
        let off = "2 × referral_note: notes are off for Contoso Talent";
        assert!(run.stdout.contains(off), "{run}");
        for (agency, notes) in [("contoso", "0\n"), ("northwind", "3\n")] {
            assert_eq!(records(&place, agency, "JobSubmission"), "2\n", "{agency}");
            assert_eq!(records(&place, agency, "Note"), notes, "{agency}");
        }
        // Alan Turing is there from the start.
        assert_eq!(records(&place, "contoso", "Candidate"), "3\n");
        assert_eq!(records(&place, "northwind", "Candidate"), "2\n");
    }
}
