//! The documents in `docs/deploy/` work as they stand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{PASSWORD, Server, Workspace};

/// The least exposed a systemd service can be is 0, in tenths of a point; an unguarded one has 96.
const EXPOSURE_MAX: &str = "20";

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/deploy")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The text under `key: |` in a manifest, without its indentation.
fn block(manifest: &str, key: &str) -> String {
    let mut lines = manifest
        .lines()
        .skip_while(|line| line.trim() != format!("{key}: |"));
    let indentation = 2 + lines.next().expect(key).find(key).expect(key);
    let inside =
        lines.take_while(|line| line.is_empty() || line.starts_with(&" ".repeat(indentation)));
    inside
        .map(|line| line.get(indentation..).unwrap_or_default().to_owned() + "\n")
        .collect()
}

#[test]
fn the_project_in_the_kubernetes_manifest_runs_as_it_stands() {
    let manifest = document("kubernetes.yaml");
    let place = Workspace::on(Server::Postgres);
    place.file("password", PASSWORD);
    let mut settings = block(&manifest, "writeback.toml");
    for (shown, here) in [
        (
            "postgres://reader@warehouse.example.com:5432/analytics",
            place.url("tester"),
        ),
        (
            "postgres://writer@crm.example.com:5432/crm",
            place.url("tester"),
        ),
        ("/secrets/warehouse_password", "password".to_owned()),
        ("/secrets/crm_password", "password".to_owned()),
    ] {
        assert!(settings.contains(shown), "{settings}");
        settings = settings.replace(shown, &here);
    }
    place.file("writeback.toml", &settings);
    place.file("schedules/weekly.toml", &block(&manifest, "weekly.toml"));
    place.file(
        "sql/health_score.sql",
        &block(&manifest, "health_score.sql"),
    );
    place.execute("CREATE SCHEMA crm");
    place.execute(
        r#"CREATE TABLE crm."ACCOUNTS" ("ACCOUNT_ID" text PRIMARY KEY, "HEALTH_SCORE" numeric(5,2), "CHURN_RISK" text)"#,
    );
    place.execute(r#"INSERT INTO crm."ACCOUNTS" VALUES ('A1', 1, 'high'), ('A2', 2, 'low')"#);
    place.execute(
        "CREATE TABLE dashboard_runs (cycle_id text, completed_at timestamptz, status text)",
    );
    place.execute(
        "INSERT INTO dashboard_runs VALUES ('2026-W46', '2026-11-15T06:30:00Z', 'succeeded')",
    );
    place.execute(
        "CREATE TABLE health_score (account_id text, health_score numeric(5,2), churn_risk text)",
    );
    place.execute("INSERT INTO health_score VALUES ('A1', 91.5, 'low'), ('A3', 5, 'high')");

    let check = place.command(&["check", "weekly"]);
    assert_eq!(check.code, 0, "{check}");
    let run = place.command(&["run", "weekly", "--json"]);
    assert_eq!(run.summary(), "2 read = 1 updated + 1 skipped", "{run}");
    let scores =
        place.query(r#"SELECT "ACCOUNT_ID", "HEALTH_SCORE" FROM crm."ACCOUNTS" ORDER BY 1"#);
    assert_eq!(scores, "ACCOUNT_ID,HEALTH_SCORE\nA1,91.50\nA2,2.00\n");
}

/// Command lines of the program, without its name.
fn command_lines() -> Vec<(&'static str, Vec<String>)> {
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let listed = |line: &str| words(&line.replace(['[', ']', ',', '"'], " "));
    let mut found = Vec::new();
    for line in document("writeback.service").lines() {
        found.extend(
            line.strip_prefix("ExecStart=/usr/local/bin/writeback")
                .map(|rest| ("writeback.service", words(rest))),
        );
    }
    for line in document("kubernetes.yaml").lines() {
        found.extend(
            line.trim()
                .strip_prefix("args:")
                .map(|rest| ("kubernetes.yaml", listed(rest))),
        );
    }
    for line in document("Dockerfile").lines() {
        found.extend(
            line.strip_prefix("CMD")
                .map(|rest| ("Dockerfile", listed(rest))),
        );
    }
    found
}

#[test]
fn every_command_line_in_the_deployment_documents_is_understood() {
    let place = Workspace::on(Server::Sqlite);
    let lines = command_lines();
    for document in ["writeback.service", "kubernetes.yaml", "Dockerfile"] {
        assert!(
            lines.iter().any(|(from, _)| *from == document),
            "{document} has a command line"
        );
    }
    for (document, words) in lines {
        let help = place.command(&[&words[0], "--help"]);
        assert_eq!(help.code, 0, "{document}: writeback {}: {help}", words[0]);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.stdout.contains(&format!("{flag} ")),
                "{document}: {flag} of writeback {}: {help}",
                words[0]
            );
        }
    }
}

/// The unit in a folder of its own, with the built program for the installed one, which has to be
/// there.
#[cfg(target_os = "linux")]
fn unit(folder: &Path) -> PathBuf {
    let installed = "ExecStart=/usr/local/bin/writeback ";
    let text = document("writeback.service");
    assert!(text.contains(installed), "{text}");
    let path = folder.join("writeback.service");
    let built = format!("ExecStart={} ", env!("CARGO_BIN_EXE_writeback"));
    std::fs::write(&path, text.replace(installed, &built)).unwrap();
    path
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_unit_and_finds_it_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    for arguments in [
        vec!["verify"],
        vec!["security", "--offline=true", &threshold],
    ] {
        let output = Command::new("systemd-analyze")
            .args(&arguments)
            .arg(&unit)
            .output();
        let output =
            output.expect("systemd-analyze is installed: on Debian, `apt-get install systemd`");
        let told = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {told}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {told}");
    }
}

/// The system that the compiler builds for, as it calls it.
fn host() -> String {
    let told = Command::new("rustc").arg("-vV").output().expect("rustc");
    let told = String::from_utf8(told.stdout).expect("text");
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("a line `host: …`").to_owned()
}

#[test]
fn the_image_is_built_from_all_that_cargo_asks_for() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Workspace::on(Server::Sqlite);
    let dockerfile = document("Dockerfile");
    let copied = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"));
    for line in copied {
        let paths: Vec<&str> = line.split(' ').collect();
        let (to, from) = paths.split_last().expect("a path");
        for from in from {
            let to = match to.ends_with('/') {
                true => place.path("image").join(to).join(from),
                false => place.path("image").join(to),
            };
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            let ran = Command::new("cp")
                .arg("-R")
                .arg(repository.join(from))
                .arg(to)
                .status();
            assert!(ran.expect("cp").success(), "{line}");
        }
    }
    // A workspace of its own, whatever stands in the folders above.
    let manifest = place.text("image/Cargo.toml") + "\n[workspace]\n";
    place.file("image/Cargo.toml", &manifest);
    let read = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        // What other systems need was never fetched.
        .args(["--filter-platform", &host()])
        .current_dir(place.path("image"))
        .output()
        .expect("cargo");
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
}

#[test]
fn a_package_holds_the_program_and_says_what_is_inside() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Workspace::on(Server::Sqlite);
    let out = place.path("package");
    let made = Command::new(repository.join("docs/deploy/package"))
        .args(["--binary", env!("CARGO_BIN_EXE_writeback"), "--out"])
        .arg(&out)
        .args(["sbom", "checksums"])
        .output()
        .expect("bash");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let files: Vec<String> = String::from_utf8_lossy(&made.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    let [list, sums] = files.as_slice() else {
        panic!("{files:?}")
    };
    let list = std::fs::read_to_string(list).expect("a list");
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let crates = list["components"].as_array().expect("a list");
    let polars = crates
        .iter()
        .find(|inside| inside["name"] == "polars")
        .expect("polars");
    assert_eq!(polars["licenses"][0]["expression"], "MIT");
    assert_eq!(
        polars["hashes"][0]["content"].as_str().map(str::len),
        Some(64)
    );
    assert!(crates.iter().all(|inside| inside["name"] != "insta"));
    let sums = std::fs::read_to_string(sums).expect("checksums");
    assert!(sums.trim_end().ends_with(".cdx.json"), "{sums}");
}
