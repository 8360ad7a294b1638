//! What somebody meets who has just begun: names that a shell proposes, and one broken job beside
//! others.

use crate::harness::{FIELDS, Server, Workspace};

#[test]
fn a_shell_proposes_the_names_of_the_project_at_hand() {
    let place = Workspace::accounts(Server::Sqlite, "id,score\nA1,1\n", "id,score,note\nA1,2,\n");
    assert_eq!(place.run().code, 0);
    let script = place.command(&["completions", "bash"]);
    assert!(
        script.stdout.contains("WRITEBACK_COMPLETE=\"bash\""),
        "{script}"
    );
    for (words, proposed) in [
        (&["run", ""][..], "job"),
        (&["undo", ""], "1"),
        (&["run", "job", "--write-back", ""], "scores"),
        (&["schema", ""], "crm"),
        (&["previ"], "preview"),
    ] {
        let line = [&["--", "writeback"], words].concat();
        let index = words.len().to_string();
        let asked = place.command_with(
            &line,
            &[
                ("WRITEBACK_COMPLETE", "bash"),
                ("_CLAP_COMPLETE_INDEX", &index),
                ("_CLAP_IFS", "\n"),
            ],
        );
        let lines: Vec<&str> = asked.stdout.lines().collect();
        assert!(lines.contains(&proposed), "{words:?}: {asked}");
    }
    // Elsewhere there is nothing to propose, and nothing is made.
    let nowhere = place.command_with(
        &["--", "writeback", "--project", "data", "undo", ""],
        &[
            ("WRITEBACK_COMPLETE", "bash"),
            ("_CLAP_COMPLETE_INDEX", "4"),
            ("_CLAP_IFS", "\n"),
        ],
    );
    assert!(!nowhere.stdout.lines().any(|line| line == "1"), "{nowhere}");
    assert!(!place.path("data/.writeback").exists());
}

#[test]
fn one_broken_job_leaves_the_status_of_the_others() {
    let place = Workspace::accounts(Server::Sqlite, "id,score\nA1,1\n", "id,score,note\nA1,2,\n");
    place
        .job("max_changed = '10 %'", FIELDS)
        .file("schedules/broken.toml", "[[write_back]]\nname = 'x'\n");
    assert_eq!(place.run().code, 3);
    for command in ["status", "next"] {
        let told = place.command(&[command]);
        assert_eq!(told.code, 2, "{told}");
        assert!(told.stdout.contains("job"), "{told}");
        assert!(told.stderr.contains("schedules/broken.toml:1"), "{told}");
    }
    let status = place.command(&["status"]);
    assert!(
        status.stdout.contains(
            "job: guards stopped run 1; `writeback runs 1` says why,\n  `writeback run job --approve` lets it go ahead\n"
        ),
        "{status}"
    );
    assert_eq!(place.command(&["run", "job", "--approve"]).code, 0);
    assert!(
        !place
            .command(&["status", "job"])
            .stdout
            .contains("--approve")
    );
}
