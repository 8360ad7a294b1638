//! Files the program makes and files it is told of: whose they are, and where they may be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::harness::{FIELDS, PASSWORD, Ran, Server, Workspace, write_back};

const ROWS: &str = "id,score,note,phone\nA1,1,,\n";
const WRITTEN: &str = "id,score,note,phone\nA1,2,,\n";
const SOURCE: &str = "id,score,note\nA1,2,\nA2,x,\n";

/// A folder and everything under it, links themselves and not what they lead to.
fn all_under(folder: &Path) -> Vec<PathBuf> {
    let mut paths = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match fs::symlink_metadata(&path).expect("there").is_dir() {
            true => paths.extend(all_under(&path)),
            false => paths.push(path),
        }
    }
    paths
}

#[test]
fn what_the_program_keeps_is_for_its_user_alone() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    // However generous the user's shell is.
    let program = env!("CARGO_BIN_EXE_writeback");
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        &format!("umask 000 && exec '{program}' run job --json"),
    ]);
    shell
        .current_dir(place.path(""))
        .env("CRM_PASSWORD", PASSWORD);
    let run = Ran::of(&["run", "job", "--json"], &shell.output().expect("a shell"));
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected");
    let paths = all_under(&place.path(".writeback"));
    for name in ["ledger.db", "rejected.csv", "outcomes.parquet"] {
        assert!(
            paths.iter().any(|path| path.ends_with(name)),
            "no {name} in {paths:#?}"
        );
    }
    for path in paths {
        let metadata = fs::symlink_metadata(&path).expect("there");
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(
            metadata.permissions().mode() & 0o777,
            mode,
            "{}",
            path.display()
        );
    }
}

#[test]
fn state_is_never_kept_behind_a_link() {
    let links = [
        ".writeback",
        ".writeback/ledger.db",
        ".writeback/locks",
        ".writeback/locks/job.lock",
        ".writeback/runs",
    ];
    for link in links {
        let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
        fs::create_dir(place.path("elsewhere")).expect("a new folder");
        let path = place.path(link);
        fs::create_dir_all(path.parent().expect("within the project")).expect("a folder");
        let is_file = path.extension().is_some() && link != ".writeback";
        let leads_to = if is_file {
            place.path("elsewhere/file")
        } else {
            place.path("elsewhere")
        };
        symlink(&leads_to, &path).expect("a link");
        let run = place.run();
        assert_eq!(run.code, 2, "{link}: {run}");
        assert!(run.stderr.contains("symbolic link"), "{link}: {run}");
        let found = all_under(&place.path("elsewhere"));
        assert_eq!(
            found,
            [place.path("elsewhere")],
            "{link}: nothing is made where it leads"
        );
        assert_eq!(place.rows("accounts"), ROWS, "{link}");
    }
}

#[test]
fn a_link_in_place_of_a_run_s_folder_is_refused() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.run();
    fs::create_dir(place.path("elsewhere")).expect("a new folder");
    symlink(place.path("elsewhere"), place.path(".writeback/runs/2")).expect("a link");
    place.file("data/scores.csv", "id,score,note\nA1,3,\n");
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("symbolic link"), "{run}");
    assert_eq!(
        all_under(&place.path("elsewhere")),
        [place.path("elsewhere")]
    );
    assert_eq!(place.rows("accounts"), WRITTEN);
}

#[test]
fn a_job_is_a_file_of_schedules_and_nothing_else() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let job = place.text("schedules/job.toml");
    place
        .file("outside.toml", &job)
        .file("schedules/inner/deep.toml", &job)
        .file("schedules/.hidden.toml", &job);
    for name in [
        "../outside",
        "../outside.toml",
        "schedules/../outside.toml",
        "outside.toml/",
        "inner/deep",
        "/etc/passwd",
        ".hidden",
        "..",
        ".",
    ] {
        for command in [&["run", name][..], &["preview", name], &["check", name]] {
            let ran = place.command(command);
            assert_eq!(ran.code, 2, "{ran}");
            assert_eq!(place.rows("accounts"), ROWS, "{ran}");
        }
    }
}

#[test]
fn a_write_back_s_name_never_leads_out_of_its_run() {
    for name in [
        "../escape",
        "..",
        ".",
        "a/b",
        "/tmp/x",
        "",
        "a\\u0000b",
        ".hidden",
        "~/x",
    ] {
        let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
        let job = write_back("scores", "accounts", "", FIELDS)
            .replace("name = 'scores'", &format!("name = \"{name}\""));
        place.file("schedules/job.toml", &job);
        let run = place.run();
        assert_eq!(run.code, 2, "{name:?}: {run}");
        assert!(
            run.stderr.contains("schedules/job.toml:2"),
            "{name:?}: {run}"
        );
        assert_eq!(place.rows("accounts"), ROWS, "{name:?}");
    }
}

#[test]
fn a_table_of_files_never_leads_out_of_its_folder() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    place.file("secret.csv", "id,score,note\nA1,2,\n");
    for table in ["../secret", "..", "data/../../secret", "/etc/passwd"] {
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE \"{table}\" ({});\n", crate::harness::SCORES),
        );
        let run = place.run();
        assert_eq!(run.code, 2, "{table}: {run}");
        assert_eq!(place.rows("accounts"), ROWS, "{table}");
    }
}

/// Whoever writes the project's files is the user: schemas, sources, markers and databases may be
/// kept anywhere, as teams that share them do.
#[test]
fn what_the_project_s_files_name_may_be_outside_of_the_project() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, "");
    let shared = tempfile::TempDir::new().expect("a folder");
    let up = format!("{}{}", "../".repeat(20), shared.path().display());
    fs::write(shared.path().join("scores.csv"), "id,score,note\nA1,2,\n").expect("a file");
    fs::rename(
        place.path("sql/scores.sql"),
        shared.path().join("scores.sql"),
    )
    .expect("a file");
    fs::write(
        shared.path().join("make.sql"),
        format!("CREATE TABLE accounts ({});\n", crate::harness::SCORES),
    )
    .expect("a file");
    let project = format!(
        "[connections.files]\nkind = 'files'\nfolder = '{up}'\n\n\
         [connections.crm]\nkind = 'sqlite'\nfile = '{up}/made.db'\ncreate_from = '{up}/make.sql'\n"
    );
    place.file("writeback.toml", &project);
    place.job(
        &format!("schema = '{up}/scores.sql'\nmatching = 'upsert'"),
        FIELDS,
    );
    assert_eq!(place.run().summary(), "1 read = 1 inserted");
    assert!(shared.path().join("made.db").exists());
}

#[test]
fn a_marker_that_is_no_regular_file_announces_nothing() {
    let place = Workspace::accounts(Server::Sqlite, ROWS, SOURCE);
    let marker = "{\"cycle_id\": \"c1\", \"completed_at\": \"2026-11-20T06:00:00Z\"}";
    place.file("elsewhere/cycle.json", marker);
    symlink(place.path("elsewhere/cycle.json"), place.path("cycle.json")).expect("a link");
    let project = place.text("writeback.toml") + "[dashboards.health]\nmarker = 'cycle.json'\n";
    let job = "[cadence]\ndashboard = 'health'\n\n".to_owned() + &place.text("schedules/job.toml");
    place
        .file("writeback.toml", &project)
        .file("schedules/job.toml", &job);
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains("cycle.json") && run.stderr.contains("not a regular file"),
        "{run}"
    );
    assert_eq!(place.rows("accounts"), ROWS);
    fs::remove_file(place.path("cycle.json")).expect("a link");
    place.file("cycle.json", marker);
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 rejected");
}
