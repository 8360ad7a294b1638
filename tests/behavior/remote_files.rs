//! Files that lie elsewhere: behind a web server, or in a store that speaks as S3 does. They are
//! fetched whole, once for each version, and no line that breaks mixes two.

use crate::harness::{FileServer, KEY_ID, SECRET, Server, Workspace};

const SCORES: &str = "id VARCHAR(18) PRIMARY KEY, score INTEGER";
const FIELDS: &str = "id = 'id'\nscore = 'score'";

/// Bytes that are asked for at once.
const PIECE: usize = 8 << 20;

/// Accounts A1 and A2 in SQLite, and their scores in a folder elsewhere.
fn place(folder: &str, settings: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", SCORES, "id,score\nA1,1\nA2,1\n")
        .scores(SCORES, "")
        .job("", FIELDS);
    announce(&place, folder, settings);
    place
}

fn announce(place: &Workspace, folder: &str, settings: &str) {
    let files = format!("[connections.files]\nkind = 'files'\nfolder = '{folder}'\n{settings}\n");
    place.file(
        "writeback.toml",
        &format!("{files}{}", place.connection("crm")),
    );
}

/// Options of a store that speaks as S3 does.
fn options(server: &FileServer) -> String {
    format!(
        "[connections.files.options]\nendpoint = '{}'\nregion = 'eu-central-1'\n\
         access_key_id = '{KEY_ID}'\nsecret_access_key = {{ env = 'STORE_SECRET' }}\n",
        server.url("").trim_end_matches('/')
    )
}

/// A file of more than one piece: a column that nobody wants makes it so.
fn large(score: &str) -> Vec<u8> {
    let padding = "x".repeat(PIECE / 500);
    let mut text = String::from("id,score,padding\n");
    text += &format!("A1,{score},{padding}\nA2,{score},{padding}\n");
    for record in 0..600 {
        text += &format!("B{record},0,{padding}\n");
    }
    text.into_bytes()
}

#[test]
fn a_file_behind_a_web_server_is_fetched_once_for_each_version() {
    let server = FileServer::start(&[("exports/scores.csv", b"id,score\nA1,5\n")]);
    let place = place(&server.url("exports/scores.csv"), "");
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert_eq!(
        server.asked(),
        ["GET /exports/scores.csv bytes=0-8388607 206"]
    );
    assert_eq!(place.run().summary(), "1 read = 1 unchanged");
    assert_eq!(
        server.asked(),
        ["GET /exports/scores.csv bytes=0-8388607 304"]
    );
    // What somebody did to the copy is no file of the server's.
    for (path, _) in place.state() {
        if path.to_string_lossy().contains("files/") && path.extension().is_none() {
            std::fs::write(place.path(".writeback").join(&path), "id,score\nA1,6\n")
                .expect("a file");
        }
    }
    assert_eq!(place.run().summary(), "1 read = 1 unchanged");
    let newer = b"id,score\nA1,5\nA2,7\n".to_vec();
    server
        .shelf()
        .files
        .insert("exports/scores.csv".to_owned(), newer);
    assert_eq!(place.run().summary(), "2 read = 1 updated + 1 unchanged");
}

#[test]
fn files_of_a_folder_behind_a_web_server_are_named() {
    let server = FileServer::start(&[("exports/of today.csv", b"id,score\nA1,5\n")]);
    server.shelf().authorization = Some("Bearer s3cr3t-token".to_owned());
    let tables = "tables = { scores = 'of today.csv' }\n[connections.files.options]\n\
                  authorization = { env = 'STORE_SECRET' }";
    let place = place(&server.url("exports/"), tables);
    let run =
        |secret: &str| place.command_with(&["run", "job", "--json"], &[("STORE_SECRET", secret)]);
    let refused = run("Bearer other-t0ken");
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("does not allow it"), "{refused}");
    assert!(!refused.stderr.contains("other-t0ken"), "{refused}");
    assert_eq!(run("Bearer s3cr3t-token").summary(), "1 read = 1 updated");
    server.shelf().files.clear();
    let gone = run("Bearer s3cr3t-token");
    assert!(gone.stderr.contains("`of today.csv` of `http://"), "{gone}");
}

#[test]
fn a_line_that_breaks_costs_a_piece_and_never_mixes_two_versions() {
    let server = FileServer::start(&[("scores.csv", &large("5"))]);
    let place = place(&server.url("scores.csv"), "");
    server.shelf().breaks_after = Some(1);
    let broken = place.run();
    assert_eq!(broken.code, 2, "{broken}");
    let asked = server.asked();
    let second = "GET /scores.csv bytes=8388608-16777215 206";
    assert_eq!(
        asked.first().map(String::as_str),
        Some("GET /scores.csv bytes=0-8388607 206")
    );
    assert!(
        asked.len() > 2 && asked[1..].iter().all(|asked| asked == second),
        "{asked:?}"
    );
    // The next run goes on where that one ended.
    server.shelf().breaks_after = None;
    assert_eq!(place.run().summary(), "602 read = 2 updated + 600 skipped");
    assert_eq!(server.asked(), [second]);
    // Another version in the middle of it.
    server
        .shelf()
        .files
        .insert("scores.csv".to_owned(), large("6"));
    server.shelf().overwrites = Some(("scores.csv".to_owned(), large("7")));
    let mixed = place.run();
    assert_eq!(mixed.code, 2, "{mixed}");
    assert!(
        mixed.stderr.contains("it changed while it was fetched"),
        "{mixed}"
    );
    assert_eq!(place.rows("accounts"), "id,score\nA1,5\nA2,5\n");
    assert_eq!(place.run().summary(), "602 read = 2 updated + 600 skipped");
    assert_eq!(place.rows("accounts"), "id,score\nA1,7\nA2,7\n");
}

#[test]
fn a_prefix_of_part_files_in_a_store_is_one_table() {
    let server = FileServer::start(&[
        ("exports/daily/scores/_SUCCESS", b""),
        ("exports/daily/scores/part-0.csv", b"id,score\nA1,5\n"),
        ("exports/daily/scores/part-1.csv", b"id,score\nA2,6\n"),
        ("exports/daily/risks.csv", b"id,score\nA1,9\n"),
        ("exports/other.csv", b"id,score\nA1,8\n"),
    ]);
    let place = place("s3://exports/daily", &options(&server));
    let run =
        |secret: &str| place.command_with(&["run", "job", "--json"], &[("STORE_SECRET", secret)]);
    let refused = run("another-secret");
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.stderr.contains("does not allow it"), "{refused}");
    assert!(!refused.stderr.contains("another-secret"), "{refused}");
    server.asked();
    assert_eq!(run(SECRET).summary(), "2 read = 2 updated");
    assert_eq!(place.rows("accounts"), "id,score\nA1,5\nA2,6\n");
    let fetched = |asked: Vec<String>| asked.iter().filter(|asked| asked.contains("part-")).count();
    assert_eq!(fetched(server.asked()), 2);
    // Only what changed is fetched again.
    let part = "exports/daily/scores/part-1.csv";
    server
        .shelf()
        .files
        .insert(part.to_owned(), b"id,score\nA2,7\n".to_vec());
    assert_eq!(run(SECRET).summary(), "2 read = 1 updated + 1 unchanged");
    assert_eq!(fetched(server.asked()), 1);
    // A part that is overwritten while the others are fetched makes no table with them.
    server
        .shelf()
        .files
        .insert(part.to_owned(), b"id,score\nA2,8\n".to_vec());
    server.shelf().overwrites = Some((part.to_owned(), b"id,score\nA2,9\n".to_vec()));
    let changed = run(SECRET);
    assert_eq!(changed.code, 2, "{changed}");
    assert!(
        changed.stderr.contains("changed while they were read"),
        "{changed}"
    );
    // Tables are listed, and a name that is none is told.
    place.file(
        "sql/scores.sql",
        &format!("CREATE TABLE score ({SCORES});\n"),
    );
    let wrong = run(SECRET);
    assert!(wrong.stderr.contains("did you mean `scores`?"), "{wrong}");
}

#[test]
fn a_folder_elsewhere_is_named_rightly_or_refused() {
    let place = place("data", "");
    for (folder, settings, told) in [
        (
            "ftp://host/exports",
            "",
            "folders are not read from `ftp://`",
        ),
        (
            "http://files.example/scores.csv",
            "",
            "would be read in the clear",
        ),
        (
            "https://me:pw@files.example/s.csv",
            "",
            "holds more than a place",
        ),
        (
            "https://files.example/s.csv?sig=1",
            "",
            "holds more than a place",
        ),
        (
            "https://files.example/exports/",
            "",
            "a web server does not list its files",
        ),
        (
            "s3://exports",
            "options = { regio = 'x' }",
            "there is no option `regio`",
        ),
        (
            "s3://exports",
            "options = { bucket = 'x' }",
            "option `bucket` is not for",
        ),
        (
            "data",
            "request_timeout = '5s'",
            "means nothing for a folder on this machine",
        ),
    ] {
        announce(&place, folder, settings);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{folder}: {check}");
        assert!(check.stderr.contains(told), "{folder}: {check}");
    }
}
