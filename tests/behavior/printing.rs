//! Names, keys, values and messages that would do something to a terminal are printed as what they
//! are.

use serde_json::Value;

use crate::harness::{Does, FIELDS, Ran, Server, Workspace, csv_cells};

/// Sets a window's title, colors, clears, rings, returns, begins a line of its own, turns the
/// direction of writing, hides.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[31m\u{9b}2J\r\n\terror: FORGED\u{202e}\u{2066}\u{200f}\u{2028}\u{7f}\u{feff}";

/// Panics: if what is printed does anything but begin new lines of the program's own.
fn assert_harmless(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let acts = |letter: &char| {
            (letter.is_control() && *letter != '\n')
                || matches!(letter, '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        assert_eq!(
            text.chars().find(acts),
            None,
            "{:?} in {ran}",
            text.chars().find(acts)
        );
        let forged = |line: &str| line.trim_start().starts_with("error: FORGED");
        assert!(!text.lines().any(forged), "{ran}");
    }
}

fn literal(place: &Workspace, text: &str) -> String {
    place.server.literal(text)
}

/// Rows whose key and note are hostile, and a trigger, a constraint and a further column with
/// hostile names.
fn place(server: Server) -> Workspace {
    let place = Workspace::on(server);
    let source = format!(
        "id,score,note\n\"A1{HOSTILE}\",2,\"{HOSTILE}\"\n\"A2{HOSTILE}\",99,x\n\"A3{HOSTILE}\",y,x\n"
    );
    let columns = "id VARCHAR(60) PRIMARY KEY, score INTEGER, note VARCHAR(60)";
    place.scores(columns, &source).job("", FIELDS);
    let name = server.quote(HOSTILE);
    place.execute(&format!(
        "CREATE TABLE accounts ({columns}, {name} INTEGER, CONSTRAINT {} CHECK (score < 50))",
        server.quote(&HOSTILE.chars().take(30).collect::<String>())
    ));
    for key in ["A1", "A2", "A3"] {
        let key = literal(&place, &format!("{key}{HOSTILE}"));
        place.execute(&format!(
            "INSERT INTO accounts (id, score, note) VALUES ({key}, 1, {key})"
        ));
    }
    let trigger = server.quote(&format!("t{HOSTILE}"));
    let altered = Does::Set("note", "'altered'");
    place.trigger(&trigger, "UPDATE ON accounts", "true", altered);
    place
}

#[test]
fn no_command_prints_what_would_act_on_a_terminal() {
    for server in Server::ALL {
        let place = place(server);
        let record = csv_line(&format!("A1{HOSTILE}"));
        let until = ["--until", "changed", "--reason", HOSTILE];
        let commands: [&[&str]; 22] = [
            &["check"],
            &["check", HOSTILE],
            &["preview", "job"],
            &["preview", "job", "--html", "page.html", "--out", "job.plan"],
            &["preview", "job", "--out", HOSTILE],
            &["test", "job", "--record", &record, "--rollback"],
            &["test", "job", "--record", HOSTILE],
            &["test", HOSTILE, "--record", HOSTILE],
            &["run", "job"],
            &["run", "job", "--cycle", HOSTILE],
            &["run", "job", "--write-back", HOSTILE],
            &["run", "job", "--plan", HOSTILE],
            &["runs"],
            &["runs", "1"],
            &["history", "scores", "--record", &record],
            &["history", HOSTILE, "--record", HOSTILE, "--field", HOSTILE],
            &["verify", "job"],
            &["cycle", "health", "--id", HOSTILE],
            &["schema", "crm", "accounts"],
            &["schema", "crm", HOSTILE],
            &["schema", "files", HOSTILE],
            &["status", HOSTILE],
        ];
        for arguments in commands {
            assert_harmless(&place.command_with(arguments, &[("RUST_LOG", "trace")]));
            let json = [arguments, &["--log-format", "json"]].concat();
            assert_harmless(&place.command_with(&json, &[("RUST_LOG", "trace")]));
        }
        let park = [&["park", "job", "--record", &record][..], &until].concat();
        assert_harmless(&place.command(&park));
        for arguments in [
            &["park", "job"][..],
            &["run", "job"],
            &["preview", "job"],
            &["undo", "1", "--preview"],
            &["undo", "1"],
        ] {
            assert_harmless(&place.command(arguments));
        }
        let page = place.text("page.html");
        assert!(
            !page.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{2066}']),
            "{page}"
        );
    }
}

/// A key as users type it.
fn csv_line(key: &str) -> String {
    format!("\"{}\"", key.replace('"', "\"\""))
}

#[test]
fn what_machines_read_stays_exact() {
    for server in Server::ALL {
        let place = place(server);
        let previewed = place.command(&["preview", "job", "--json"]);
        assert_harmless(&previewed);
        let keys = |samples: &Value| -> Vec<String> {
            let samples = samples.as_array().expect("a list").iter();
            samples
                .map(|sample| sample["key"].as_str().expect("a key").to_owned())
                .collect()
        };
        let key = |name: &str| format!("{name}{HOSTILE}");
        let write_back = &previewed.json()["write_backs"][0];
        let shown = keys(&write_back["samples"]);
        let expected = csv_line(&key("A1"));
        assert!(
            shown.contains(&expected),
            "{shown:?} lacks {expected:?} on {server}"
        );
        let ran = place.command(&["run", "job", "--json"]);
        assert_eq!(ran.code, 1, "on {server}: {ran}");
        assert_harmless(&ran);
        let rejected = csv_cells(&place.rejected(1));
        let expected = |name: &str| csv_line(&key(name));
        let of = |name: &str| {
            rejected
                .iter()
                .any(|cells| cells[2] == Some(expected(name)))
        };
        assert!(of("A2") && of("A3"), "{rejected:?} on {server}");
    }
}

#[test]
fn files_and_markers_print_nothing_that_acts() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\nA1,1,,\n",
        "id,score,note\nA1,2,\n",
    );
    place.file(&format!("data/{}.csv", HOSTILE.replace('/', "")), "id\n1\n");
    place.file(
        &format!("schedules/{}.toml", HOSTILE.replace('/', "")),
        "nonsense",
    );
    let toml = HOSTILE
        .chars()
        .map(|letter| format!("\\U{:08x}", u32::from(letter)))
        .collect::<String>();
    let usual = place.text("writeback.toml");
    let job = place.text("schedules/job.toml");
    place.file(
        "writeback.toml",
        &(usual.clone() + "[dashboards.health]\nmarker = 'cycle.json'\n"),
    );
    place.file(
        "schedules/job.toml",
        &("[cadence]\ndashboard = 'health'\n\n".to_owned() + &job),
    );
    let marker =
        serde_json::json!({ "cycle_id": HOSTILE, "completed_at": HOSTILE, "status": HOSTILE });
    for marker in [
        marker.to_string(),
        format!("{{\"{HOSTILE}"),
        HOSTILE.to_owned(),
    ] {
        place.file("cycle.json", &marker);
        for arguments in [
            &["check"][..],
            &["run", "job"],
            &["status"],
            &["schema", "files", "nothing"],
        ] {
            assert_harmless(&place.command(arguments));
        }
    }
    for project in [
        format!("{usual}\"{toml}\" = 1\n"),
        format!("{usual}[connections.\"{toml}\"]\nkind = 'files'\nfolder = \"{toml}\"\n"),
        format!("{usual}[dashboards.\"{toml}\"]\nmarker = \"{toml}\"\n"),
        format!("[connections.crm]\nurl = \"{toml}://{toml}\"\n"),
        HOSTILE.to_owned(),
    ] {
        place.file("writeback.toml", &project);
        assert_harmless(&place.command(&["check"]));
        assert_harmless(&place.command(&["run", "job"]));
    }
    place.file("writeback.toml", &usual);
    for text in [
        job.replace("table = ", &format!("table = \"{toml}\" #")),
        job.replace("score = 'score'", &format!("\"{toml}\" = \"{toml}\"")),
        job.replace("name = ", &format!("name = \"{toml}\" #")),
        job.clone() + &format!("\"{toml}\" = \"{toml}\"\n"),
        HOSTILE.to_owned(),
    ] {
        place.file("schedules/job.toml", &text);
        assert_harmless(&place.command(&["check", "job"]));
        assert_harmless(&place.command(&["check", "job", "--json"]));
    }
    place.file("schedules/job.toml", &job);
    for schema in [
        format!("CREATE TABLE \"{HOSTILE}\" (id INTEGER)"),
        HOSTILE.to_owned(),
    ] {
        place.file("sql/scores.sql", &schema);
        assert_harmless(&place.command(&["check", "job"]));
    }
}
