//! What is seen before anything is written, and what keeps it from being written.

use crate::harness::{CANARY, Ran};
use crate::journal_tables::proposed;

use super::subject::{Kind, Live, Service};
use super::{Chapter, Ground, Row, Story, Subject};

pub(super) const CHAPTER: Chapter = Chapter {
    title: "What is seen before, and what keeps a run from writing",
    stories: &[
        Story::of(&[Row::SavedPlan], a_saved_plan_is_carried_out),
        Story::of(&[Row::OneRecord], one_record_is_tried),
        Story::unless_refused(
            &[Row::OneRecordRolledBack],
            one_record_is_tried_and_taken_back,
            one_record_is_to_be_taken_back,
        ),
        Story::of(
            &[Row::Guard, Row::Canary, Row::LastWritten],
            a_run_is_held_back,
        ),
        Story::unless_refused(
            &[Row::Pinned],
            another_account_is_refused,
            an_account_is_named,
        ),
        Story::unless_refused(&[Row::Quota], calls_are_left_to_others, a_share_is_named),
        Story::unless_refused(
            &[Row::Secrets],
            secrets_are_told_to_nobody,
            a_password_is_named,
        ),
        Story::unless_refused(
            &[Row::Described],
            descriptions_are_saved,
            descriptions_are_asked_for,
        ),
        Story::unless_refused(
            &[Row::JournalTable],
            each_change_is_told_in_a_table,
            a_journal_table_is_asked_for,
        ),
    ],
};

const ROWS: &str = "id,score\nA1,1\nA2,2\n";
const SOURCE: &str = "id,score\nA1,11\nA2,12\n";

fn ground(subject: &'static Subject, settings: &str) -> Ground {
    let ground = Ground::of(subject, ROWS);
    ground.source(SOURCE).job(settings, "id score");
    ground
}

fn a_saved_plan_is_carried_out(subject: &'static Subject) {
    let ground = ground(subject, "");
    let preview = ground.command(&["preview", "job", "--out", "plan"]);
    assert_eq!(preview.code, 0, "{preview}");
    ground.expect_held("id score", &["A1,1", "A2,2"], &preview);
    ground.edit("A2", "score", "3");
    ground.source("id,score\nA1,77\nA2,77\n");
    let run = ground.command(&["run", "job", "--plan", "plan", "--json"]);
    let name = subject.name;
    assert_eq!(run.summary(), "2 read = 1 updated + 1 skipped", "{name}");
    ground.expect_held("id score", &["A1,11", "A2,3"], &run);
}

fn one_record_is_tried(subject: &'static Subject) {
    let ground = ground(subject, "");
    let test = ground.command(&["test", "job", "--record", "A1", "--json"]);
    assert_eq!(test.code, 0, "{test}");
    let column = &test.json()["records"][0]["columns"][1];
    assert_eq!(column["column"], subject.column("score"), "{test}");
    assert_eq!(column["as_written"], true, "{test}");
    ground.expect_held("id score", &["A1,11", "A2,2"], &test);
}

fn one_record_is_tried_and_taken_back(subject: &'static Subject) {
    let ground = ground(subject, "");
    let test = ground.command(&["test", "job", "--record", "A1", "--rollback", "--json"]);
    assert_eq!(test.code, 0, "{test}");
    ground.expect_held("id score", &["A1,1", "A2,2"], &test);
}

fn one_record_is_to_be_taken_back(subject: &'static Subject) -> Ran {
    let ground = ground(subject, "");
    let test = ground.command(&["test", "job", "--record", "A1", "--rollback"]);
    ground.expect_held("id score", &["A1,1", "A2,2"], &test);
    test
}

fn a_run_is_held_back(subject: &'static Subject) {
    let ground = ground(subject, "max_changed = '10 %'");
    let stopped = ground.run();
    assert_eq!(stopped.code, 3, "{stopped}");
    ground.expect_held("id score", &["A1,1", "A2,2"], &stopped);

    ground.job("canary = 1\ncompare = 'last_written'", "id score");
    let run = ground.expect_run("2 read = 2 updated");
    let canary = &run.json()["write_backs"][0]["canary"];
    assert!(canary.is_object(), "{run}");
    ground.expect_held("id score", &["A1,11", "A2,12"], &run);

    // What somebody else wrote is not looked at.
    ground.edit("A1", "score", "99");
    ground.source("id,score\nA1,11\nA2,13\n");
    ground.job("compare = 'last_written'", "id score");
    let run = ground.expect_run("2 read = 1 updated + 1 unchanged");
    let as_written = &run.json()["write_backs"][0]["as_written"];
    assert_eq!(as_written, 1, "{}: {run}", subject.name);
    ground.expect_held("id score", &["A1,99", "A2,13"], &run);
}

fn another_account_is_refused(subject: &'static Subject) {
    let ground = ground(subject, "");
    let service = service(subject);
    let stranger = service.stranger;
    ground.connect(&format!("account = '{stranger}'"));
    let served = ground.serve("");
    for command in [["check", "job"], ["run", "job"], ["preview", "job"]] {
        let refused = ground.command(&command);
        assert_eq!(refused.code, 2, "{refused}");
        let words = format!(", not to `{stranger}`");
        assert!(
            refused.stderr.contains(&words),
            "{}: {refused}",
            subject.name
        );
    }
    let counts = served.counts();
    let calls = counts["calls"].as_object().expect("calls");
    assert!(!calls.is_empty(), "{}: {counts}", subject.name);
    let read: Vec<&String> = calls
        .keys()
        .filter(|kind| !service.asks_who.contains(&kind.as_str()))
        .collect();
    assert!(read.is_empty(), "{}: {counts}", subject.name);
}

fn an_account_is_named(subject: &'static Subject) -> Ran {
    let ground = ground(subject, "");
    ground.connect("account = '4711'").command(&["check"])
}

fn service(subject: &'static Subject) -> &'static Service {
    match &subject.kind {
        Kind::Service(service) => service,
        Kind::Database(_) | Kind::DuckDb => panic!("{} is no web API", subject.name),
    }
}

fn calls_are_left_to_others(subject: &'static Subject) {
    calls_are_told_before_and_after(subject);
    let ground = ground(subject, "");
    let (rules, settings) = service(subject).scarce;
    ground.place.file("org/practice.toml", rules);
    let run = ground.connect(settings).run();
    assert_eq!(run.code, 2, "{run}");
    for words in ["calls are used up, and ", "run again then"] {
        assert!(run.stderr.contains(words), "{}: {run}", subject.name);
    }
    ground.expect_held("id score", &["A1,1", "A2,2"], &run);
}

fn calls_are_told_before_and_after(subject: &'static Subject) {
    let ground = ground(subject, "");
    let name = subject.name;
    let foreseen = ground.command(&["preview", "job", "--json"]);
    let foreseen = &foreseen.json()["write_backs"][0]["calls"];
    let run = ground.command(&["run", "job", "--json"]);
    let told = run.json();
    let of_records = &told["write_backs"][0]["calls"];
    assert_eq!(&foreseen["total"], of_records, "{name}: {foreseen} {run}");
    let calls = &told["calls"][0];
    assert!(
        calls["made"].as_u64() >= of_records.as_u64(),
        "what finds account and object comes on top in {name}: {run}"
    );
    let is_told = name != "Dataverse";
    assert_eq!(calls["allowed"].is_u64(), is_told, "{name}: {run}");
    let number = run.run().to_string();
    let kept = ground.command(&["runs", &number, "--json"]);
    assert_eq!(kept.json()["calls"], told["calls"], "{name}: {kept}");
    let line = format!("  calls     {} to `crm`", calls["made"]);
    let kept = ground.command(&["runs", &number]);
    assert!(kept.stdout.contains(&line), "{name}: {kept}");
    let undo = ground.command(&["undo", &number]);
    assert!(undo.stdout.contains("calls made: "), "{name}: {undo}");
}

fn a_share_is_named(subject: &'static Subject) -> Ran {
    let ground = ground(subject, "");
    ground.connect("quota_share = '10 %'").command(&["check"])
}

fn secrets_are_told_to_nobody(subject: &'static Subject) {
    let ground = ground(subject, "");
    let arguments = ["run", "job", "--json"];
    let (run, secrets) = match &subject.kind {
        Kind::Database(_) | Kind::DuckDb => {
            let run = ground
                .place
                .command_with(&arguments, &[("RUST_LOG", "trace")]);
            (run, vec![CANARY.to_owned()])
        }
        Kind::Service(service) => {
            let Live {
                rules,
                settings,
                environment,
                expiring,
                tokens,
            } = &service.live;
            ground.place.file("org/practice.toml", rules);
            let served = ground.serve(expiring);
            ground.connect_to(&settings.replace("URL", served.url()));
            let environment = [environment, &[("RUST_LOG", "trace")][..]].concat();
            let run = ground.place.command_with(&arguments, &environment);
            let sql = format!("SELECT id FROM documents WHERE kind = '{tokens}'");
            let tokens = ground.place.query_file(service.state(), &sql);
            assert!(tokens.lines().count() > 1, "{}: {run}", subject.name);
            let given = environment.iter().map(|(_, secret)| (*secret).to_owned());
            let given = given.filter(|word| word.starts_with("canary"));
            let tokens = tokens.lines().skip(1).map(str::to_owned);
            (run, tokens.chain(given).collect())
        }
    };
    assert_eq!(run.summary(), "2 read = 2 updated", "{}", subject.name);
    let state = ground.place.state();
    for secret in &secrets {
        assert!(!run.stdout.contains(secret), "{secret}");
        assert!(!run.stderr.contains(secret), "{secret}");
        for (file, bytes) in state.iter().filter(|(file, _)| !keeps_secrets(file)) {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(secret), "{secret} in {}", file.display());
        }
    }
}

/// Whether a file is of the practice, or where tokens are kept on purpose.
fn keeps_secrets(file: &std::path::Path) -> bool {
    let mut parts = file.components().map(std::path::Component::as_os_str);
    parts.any(|part| part == "practice" || part == "tokens")
}

fn a_password_is_named(subject: &'static Subject) -> Ran {
    let ground = ground(subject, "");
    let password = "password = { env = 'CRM_PASSWORD' }";
    ground.connect(password).command(&["check"])
}

fn descriptions_are_saved(subject: &'static Subject) {
    let ground = ground(subject, "");
    let saved = ground.command(&["describe", "crm", "--out", "saved"]);
    assert_eq!(saved.code, 0, "{saved}");
    let file = saved.stdout.split_whitespace().next().expect("a file");
    let text = ground.place.text(file);
    assert!(text.contains(subject.column("score")), "{saved}");
    let misspelt = &subject.object[1..];
    let unknown = ground.command(&["describe", "crm", misspelt, "--out", "saved"]);
    assert_eq!(unknown.code, 2, "{unknown}");
    let hint = format!("did you mean `{}`?", subject.object);
    assert!(unknown.stderr.contains(&hint), "{unknown}");
}

fn descriptions_are_asked_for(subject: &'static Subject) -> Ran {
    ground(subject, "").command(&["describe", "crm", "--out", "saved"])
}

fn each_change_is_told_in_a_table(subject: &'static Subject) {
    let ground = ground(subject, "journal_table = 'journal'");
    let check = ground.command(&["check"]);
    ground.place.execute(&proposed(&check));
    ground.expect_run("2 read = 2 updated");
    let told = "SELECT match_key, column_name, old_value, new_value FROM journal";
    let told = ground.place.query(told);
    assert_eq!(told.lines().count(), 3, "{}: {told}", subject.name);
    assert!(told.contains("A1,score,1"), "{}: {told}", subject.name);
}

fn a_journal_table_is_asked_for(subject: &'static Subject) -> Ran {
    assert!(matches!(subject.kind, Kind::Service(_)));
    ground(subject, "journal_table = 'journal'").command(&["check"])
}
