//! A saved plan is applied as it was shown: no row gets anything else, and none that somebody
//! changed since gets anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{FIELDS, Ran, SCORES, Server, Workspace, faketime_library, write_back};
use crate::journal_tables::with_journal;
use crate::undo::outcomes;
use crate::values::TRIPS;

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\nA4,4,old,\n";
const SOURCE: &str = "id,score,note\nA1,10,y\nA2,2,same\nA3,,z\nA4,40,old\nN1,7,new\n";

fn place(server: Server) -> Workspace {
    let place = Workspace::accounts(server, ROWS, SOURCE);
    place.job("matching = 'upsert'", FIELDS);
    place
}

fn save(place: &Workspace) -> Ran {
    let saved = place.command(&["preview", "job", "--out", "job.plan", "--json"]);
    assert_eq!(saved.code, 0, "{saved}");
    saved
}

fn apply(place: &Workspace) -> Ran {
    place.command(&["run", "job", "--plan", "job.plan", "--json"])
}

#[test]
fn a_plan_is_applied_as_it_was_shown_and_a_second_time_changes_nothing() {
    for server in Server::ALL {
        let place = place(server);
        let before = place.rows("accounts");
        let shown = place.command(&["preview", "job", "--limit", "1", "--out", "job.plan"]);
        let told =
            "plan: `writeback run job --plan job.plan` applies what is shown, and nothing else\n";
        assert!(
            shown.code == 0 && shown.stdout.contains(told),
            "on {server}: {shown}"
        );
        assert_eq!(place.rows("accounts"), before, "on {server}");
        let mode = fs::metadata(place.path("job.plan"))
            .expect("a plan")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "it holds values of records");
        // Whatever the source says by now, and whether it is there at all.
        fs::remove_file(place.path("data/scores.csv")).expect("the source");
        let run = apply(&place);
        assert_eq!(
            run.summary(),
            "4 read = 1 inserted + 3 updated",
            "on {server}: {run}"
        );
        let rows =
            "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,,z,\nA4,40,old,\nN1,7,new,unknown\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        place.count_writes("accounts");
        let again = apply(&place);
        assert_eq!(
            (again.run(), again.summary().as_str()),
            (2, "4 read = 4 unchanged"),
            "on {server}: {again}"
        );
        assert_eq!(place.writes(), 0, "on {server}");
        let listed = place.command(&["runs"]).stdout;
        assert_eq!(
            listed.matches("succeeded, of a plan").count(),
            2,
            "on {server}: {listed}"
        );
        let digest = run.json()["plan"]["sha256"]
            .as_str()
            .expect("a digest")
            .to_owned();
        let shown = place.command(&["runs", "1"]).stdout;
        assert!(
            shown.contains(&format!("plan      SHA-256 {digest}")),
            "on {server}: {shown}"
        );
    }
}

#[test]
fn rows_that_somebody_changed_since_are_kept_and_told_of() {
    for server in Server::ALL {
        let place = place(server);
        place.scores(SCORES, &format!("{SOURCE}N2,8,new\nN3,9,new\n"));
        save(&place);
        place.execute("UPDATE accounts SET note = 'mine', phone = '1' WHERE id = 'A1'");
        place.execute("UPDATE accounts SET phone = '2' WHERE id = 'A2'");
        place.execute("UPDATE accounts SET phone = '3' WHERE id = 'A3'");
        // A field that would get the value it had is shown as it was, too.
        place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A4'");
        place.execute(
            "INSERT INTO accounts VALUES ('N1', 7, 'mine', NULL), ('N2', 8, 'new', 'theirs')",
        );
        let run = apply(&place);
        let summary = "6 read = 1 inserted + 1 updated + 1 unchanged + 3 skipped";
        assert_eq!(
            (run.code, run.summary().as_str()),
            (1, summary),
            "on {server}: {run}"
        );
        assert_eq!(
            (
                &run.json()["plan"]["changed_since"],
                &run.json()["plan"]["gone"]
            ),
            (&3.into(), &0.into())
        );
        let told = [
            "A1 skipped changed since",
            "A3 updated",
            "A4 skipped changed since",
        ];
        assert_eq!(outcomes(&place, 1)[..3], told, "on {server}");
        let told = ["N1 skipped changed since", "N2 unchanged", "N3 inserted"];
        assert_eq!(outcomes(&place, 1)[3..], told, "on {server}");
        let rows = "id,score,note,phone\nA1,1,mine,1\nA2,2,same,2\nA3,,z,3\nA4,4,mine,\nN1,7,mine,\nN2,8,new,theirs\n\
                    N3,9,new,unknown\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        let run = place.command(&["run", "job", "--plan", "job.plan"]);
        let told = "3 kept: the row no longer holds what the plan was made for";
        assert!(
            run.code == 1 && run.stdout.contains(told),
            "on {server}: {run}"
        );
    }
}

#[test]
fn a_planned_run_is_undone_as_any_other() {
    for server in Server::ALL {
        let place = place(server);
        let before = place.rows("accounts");
        let (shown, run) = (save(&place).json(), apply(&place).json());
        assert_eq!(
            shown["plan"]["sha256"], run["plan"]["sha256"],
            "on {server}"
        );
        assert_eq!(shown["plan"]["file"], "job.plan", "on {server}");
        let undone = place.command(&["undo", "1", "--delete-created", "--json"]);
        assert_eq!(
            undone.summary(),
            "4 read = 3 updated + 1 deleted",
            "on {server}: {undone}"
        );
        assert_eq!(place.rows("accounts"), before, "on {server}");
        let again = apply(&place);
        assert_eq!(
            again.summary(),
            "4 read = 1 inserted + 3 updated",
            "on {server}: {again}"
        );
        let history = place
            .command(&["history", "scores", "--record", "A1"])
            .stdout;
        assert!(
            history.contains("plan 1, undone by run 2") && history.contains("plan 3"),
            "on {server}: {history}"
        );
    }
}

#[test]
fn what_a_row_keeps_a_plan_leaves_and_so_does_its_undo() {
    for server in Server::ALL {
        let place = place(server);
        let fields = "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }";
        place.job("nulls = 'keep'", fields);
        let before = place.rows("accounts");
        save(&place);
        // What is not written is nobody's business: A3's score, which NULL would take, and A2's and
        // A4's notes.
        place.execute("UPDATE accounts SET score = 33 WHERE id = 'A3'");
        place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A4'");
        let run = apply(&place);
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        let rows = "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,33,z,\nA4,40,mine,\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        assert_eq!(
            place.command(&["undo", "1", "--json"]).summary(),
            "3 read = 3 updated",
            "on {server}"
        );
        let left = before
            .replace("A3,3,", "A3,33,")
            .replace("A4,4,old", "A4,4,mine");
        assert_eq!(place.rows("accounts"), left, "on {server}");
    }
}

#[test]
fn a_plan_is_of_all_write_backs_or_of_one() {
    for server in Server::ALL {
        let place = place(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER";
        place.table("scores", columns, "id,score\nA1,0\nA2,0\n");
        let both = write_back("scores", "accounts", "", FIELDS)
            + &write_back(
                "scores",
                "scores",
                "name = 'second'\nignore = ['note']",
                "id = 'id'\nscore = 'score'",
            );
        place.file("schedules/job.toml", &both);
        let (accounts, scores) = (place.rows("accounts"), place.rows("scores"));
        place.command(&[
            "preview",
            "job",
            "--write-back",
            "second",
            "--out",
            "job.plan",
        ]);
        assert_eq!(apply(&place).summary(), "2 read = 2 updated", "on {server}");
        assert_eq!(
            place.rows("scores"),
            "id,score\nA1,10\nA2,2\n",
            "on {server}"
        );
        assert_eq!(place.rows("accounts"), accounts, "on {server}");
        place.execute("UPDATE scores SET score = 0");
        save(&place);
        place.execute("UPDATE scores SET score = 1 WHERE id = 'A2'");
        let run = apply(&place);
        assert_eq!(
            run.summary(),
            "3 read = 3 updated\n2 read = 1 updated + 1 skipped",
            "on {server}: {run}"
        );
        assert_eq!(
            place.rows("scores"),
            scores.replace("A1,0", "A1,10").replace("A2,0", "A2,1"),
            "on {server}"
        );
    }
}

/// More records than a segment of the plan holds.
#[test]
fn a_long_plan_is_applied_whole() {
    let place = Workspace::on(Server::Sqlite);
    place.execute(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, score INTEGER, note TEXT);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45000)
         INSERT INTO accounts SELECT printf('%06d', i), i, NULL FROM n",
    );
    let source: String = (1..=45_000)
        .map(|id| format!("{id:06},{},\n", -id))
        .collect();
    place
        .scores(SCORES, &format!("id,score,note\n{source}"))
        .job("", FIELDS);
    save(&place);
    place.execute("UPDATE accounts SET note = 'mine' WHERE id % 1000 = 0");
    assert_eq!(
        apply(&place).summary(),
        "45000 read = 44955 updated + 45 skipped"
    );
    let left = "SELECT count(*) AS n FROM accounts WHERE score = CASE WHEN note IS NULL THEN -id ELSE +id END";
    assert_eq!(place.query(left), "n\n45000\n");
}

/// What a database of its own ways keeps in a column of any type is what was shown, not what looks
/// like it.
#[test]
fn values_of_any_storage_class_are_told_apart_in_sqlite() {
    let place = Workspace::on(Server::Sqlite);
    place.execute("CREATE TABLE accounts (id TEXT PRIMARY KEY, a, b INTEGER, c STRING)");
    let values = [
        "5",
        "'5'",
        "5.0",
        "'5.0'",
        "X'00FF'",
        "'X''00FF'''",
        "''",
        "NULL",
        "1e300",
        "'a' || char(0) || 'i:5'",
    ];
    for (id, value) in values.iter().enumerate() {
        place.execute(&format!(
            "INSERT INTO accounts VALUES ('{id}', {value}, {value}, {value})"
        ));
    }
    let csv: String = (0..values.len())
        .map(|id| format!("{id},w,77,w\n"))
        .collect();
    place.scores(
        "id TEXT PRIMARY KEY, a TEXT, b INTEGER, c TEXT",
        &format!("id,a,b,c\n{csv}"),
    );
    place.job("", "id = 'id'\na = 'a'\nb = 'b'\nc = 'c'");
    save(&place);
    place.execute(
        "UPDATE accounts SET a = '5' WHERE id = '0'; UPDATE accounts SET a = 5 WHERE id = '1'",
    );
    assert_eq!(apply(&place).summary(), "10 read = 8 updated + 2 skipped");
}

#[test]
fn every_type_is_applied_value_for_value() {
    for server in Server::ALL {
        for trip in TRIPS {
            let place = trip.place(server);
            let label = trip.label(server);
            place.run();
            let first = place.rows("accounts");
            place.file("data/scores.csv", &trip.turned_source());
            let shown = save(&place).json()["write_backs"][0]["updated"]
                .as_u64()
                .expect("a count");
            let run = apply(&place);
            assert_eq!(
                run.summary(),
                format!("{shown} read = {shown} updated"),
                "{label}: {run}"
            );
            let second = place.rows("accounts");
            assert_ne!(second, first, "{label}");
            assert_eq!(
                place.run().json()["write_backs"][0]["updated"],
                0,
                "{label}"
            );
            assert_eq!(place.rows("accounts"), second, "{label}");
        }
    }
}

/// What a row holds of what runs write.
type Held = (Option<i32>, Option<&'static str>);

/// One record: its row at the preview, what the source brings, and what somebody does to the row
/// before the run.
#[derive(Debug, Clone)]
struct History {
    before: Option<Held>,
    source: Option<Held>,
    edit: Edit,
}

#[derive(Debug, Clone, PartialEq)]
enum Edit {
    None,
    Score(Option<i32>),
    Note(Option<&'static str>),
    Phone,
    Delete,
    Insert(Held),
}

/// A job's settings, as far as they decide what is written.
#[derive(Debug, Clone, Copy)]
struct Settings {
    matching: &'static str,
    keeps_nulls: bool,
    fills_notes: bool,
}

fn settings() -> impl Strategy<Value = Settings> {
    let matching = prop::sample::select(vec!["update_only", "upsert", "create_only"]);
    (matching, any::<bool>(), any::<bool>()).prop_map(|(matching, keeps_nulls, fills_notes)| {
        Settings {
            matching,
            keeps_nulls,
            fills_notes,
        }
    })
}

fn histories() -> impl Strategy<Value = Vec<History>> {
    let score = || prop::option::of(0..3);
    let note = || prop::option::of(prop::sample::select(vec!["x", "y", "z"]));
    let held = || (score(), note());
    let edit = prop_oneof![
        4 => Just(Edit::None),
        2 => score().prop_map(Edit::Score),
        2 => note().prop_map(Edit::Note),
        1 => Just(Edit::Phone),
        1 => Just(Edit::Delete),
        2 => held().prop_map(Edit::Insert),
    ];
    let history = (
        prop::option::weighted(0.7, held()),
        prop::option::weighted(0.9, held()),
        edit,
    );
    prop::collection::vec(
        history.prop_map(|(before, source, edit)| History {
            before,
            source,
            edit,
        }),
        1..30,
    )
}

/// What the plan has of a record.
#[derive(Debug, PartialEq)]
enum Planned {
    Nothing,
    Insert(Held),
    /// Whether the score is written, whether the note is, and what is sent to them.
    Update(bool, bool, Held),
}

impl History {
    fn planned(&self, settings: Settings) -> Planned {
        let Some(source) = self.source else {
            return Planned::Nothing;
        };
        let (updates, inserts) = (
            settings.matching != "create_only",
            settings.matching != "update_only",
        );
        match self.before {
            None if inserts => Planned::Insert(source),
            Some(before) if updates => {
                let score = !settings.keeps_nulls || source.0.is_some();
                let note = (!settings.keeps_nulls || source.1.is_some())
                    && (!settings.fills_notes || before.1.is_none_or(str::is_empty));
                let differs = score && source.0 != before.0 || note && source.1 != before.1;
                if differs {
                    Planned::Update(score, note, source)
                } else {
                    Planned::Nothing
                }
            }
            None | Some(_) => Planned::Nothing,
        }
    }

    /// What the row holds when somebody has edited it.
    fn edited(&self) -> Option<Held> {
        match (self.before, &self.edit) {
            (None, Edit::Insert(held)) => Some(*held),
            (None, _) | (_, Edit::Delete) => None,
            (Some(before), Edit::Score(score)) => Some((*score, before.1)),
            (Some(before), Edit::Note(note)) => Some((before.0, *note)),
            (Some(before), Edit::None | Edit::Phone | Edit::Insert(_)) => Some(before),
        }
    }

    /// What the row holds in the end, and what the plan's run says of the record, if it has it.
    fn end(&self, settings: Settings) -> (Option<Held>, Option<&'static str>) {
        let now = self.edited();
        match (self.planned(settings), now) {
            (Planned::Nothing, _) => (now, None),
            (Planned::Insert(sent), None) => (Some(sent), Some("inserted")),
            (Planned::Insert(sent), Some(held)) if held == sent => (now, Some("unchanged")),
            (Planned::Insert(_), Some(_)) => (now, Some("skipped changed since")),
            (Planned::Update(..), None) => (None, Some("skipped no match")),
            (Planned::Update(score, note, sent), Some(held)) => {
                let before = self.before.unwrap_or_default();
                let holds =
                    |side: Held| (!score || held.0 == side.0) && (!note || held.1 == side.1);
                let left = (
                    if score { sent.0 } else { held.0 },
                    if note { sent.1 } else { held.1 },
                );
                match (holds(before), holds(sent)) {
                    (true, _) => (Some(left), Some("updated")),
                    (false, true) => (now, Some("unchanged")),
                    (false, false) => (now, Some("skipped changed since")),
                }
            }
        }
    }

    fn edit(&self, id: usize) -> Option<String> {
        let sql = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
        let score = |score: Option<i32>| sql(score.map(|score| score.to_string()));
        let note = |note: Option<&str>| sql(note.map(|note| format!("'{note}'")));
        match self.edit {
            Edit::Score(to) => Some(format!(
                "UPDATE accounts SET score = {} WHERE id = '{id:02}'",
                score(to)
            )),
            Edit::Note(to) => Some(format!(
                "UPDATE accounts SET note = {} WHERE id = '{id:02}'",
                note(to)
            )),
            Edit::Phone => Some(format!(
                "UPDATE accounts SET phone = '1' WHERE id = '{id:02}'"
            )),
            Edit::Delete => Some(format!("DELETE FROM accounts WHERE id = '{id:02}'")),
            Edit::Insert(held) if self.before.is_none() => {
                let (score, note) = (score(held.0), note(held.1));
                Some(format!(
                    "INSERT INTO accounts (id, score, note) VALUES ('{id:02}', {score}, {note})"
                ))
            }
            Edit::None | Edit::Insert(_) => None,
        }
    }
}

fn line(id: usize, (score, note): Held) -> String {
    format!(
        "{id:02},{},{}\n",
        score.map_or(String::new(), |score| score.to_string()),
        note.unwrap_or_default()
    )
}

fn lines(histories: &[History], held: impl Fn(&History) -> Option<Held>) -> String {
    let lines = histories
        .iter()
        .enumerate()
        .filter_map(|(id, history)| Some(line(id, held(history)?)));
    format!("id,score,note\n{}", lines.collect::<String>())
}

fn apply_after_edits(place: &Workspace, histories: &[History], settings: Settings) {
    place.execute("DROP TABLE accounts");
    let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20)";
    place.table(
        "accounts",
        columns,
        &lines(histories, |history| history.before),
    );
    place.file(
        "data/scores.csv",
        &lines(histories, |history| history.source),
    );
    let nulls = if settings.keeps_nulls {
        "keep"
    } else {
        "write"
    };
    let lines_of_job = format!(
        "matching = '{}'\nnulls = '{nulls}'\nbatch_size = 7\nmin_read = 0",
        settings.matching
    );
    let when = if settings.fills_notes {
        "if_empty"
    } else {
        "always"
    };
    place.job(
        &lines_of_job,
        &format!("id = 'id'\nscore = 'score'\nnote = {{ column = 'note', when = '{when}' }}"),
    );
    save(place);
    histories
        .iter()
        .enumerate()
        .filter_map(|(id, history)| history.edit(id))
        .for_each(|sql| {
            place.execute(&sql);
        });
    let phones = "SELECT id, phone FROM accounts WHERE phone IS NOT NULL";
    let phones_before = place.query(phones);
    let run = apply(place);
    let told: Vec<String> = histories
        .iter()
        .enumerate()
        .filter_map(|(id, history)| Some(format!("{id:02} {}", history.end(settings).1?)))
        .collect();
    assert_eq!(
        outcomes(place, run.run()),
        told,
        "on {}: {run}",
        place.server
    );
    assert!(!run.summary().is_empty());
    let expected = lines(histories, |history| history.end(settings).0);
    let held = place.query("SELECT id, score, note FROM accounts");
    let rows = |csv: &str| csv.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&held), rows(&expected), "on {}: {run}", place.server);
    assert_eq!(place.query(phones), phones_before, "on {}", place.server);
}

#[test]
fn random_plans_after_random_edits_leave_what_a_model_says() {
    for server in Server::ALL {
        let place = place(server);
        let config = Config {
            cases: 34,
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        };
        let run =
            TestRunner::new(config).run(&(histories(), settings()), |(histories, settings)| {
                apply_after_edits(&place, &histories, settings);
                Ok(())
            });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

/// Refused with these words, and nothing is written or entered into the ledger.
fn refused(place: &Workspace, words: &str) {
    let before = place.rows("accounts");
    let refused = apply(place);
    assert!(
        refused.code == 2 && refused.stderr.contains(words),
        "on {}, {words}: {refused}",
        place.server
    );
    assert_eq!(
        place.rows("accounts"),
        before,
        "on {}, {words}",
        place.server
    );
    let runs = place.query_ledger("SELECT count(*) AS n FROM runs");
    assert!(
        runs.is_none_or(|runs| runs == "n\n0\n"),
        "on {}, {words}",
        place.server
    );
}

#[test]
fn what_was_altered_since_is_refused() {
    for server in Server::ALL {
        let place = place(server);
        save(&place);
        let (job, schema) = (
            place.text("schedules/job.toml"),
            place.text("sql/scores.sql"),
        );
        place.file("schedules/job.toml", &format!("{job}# more\n"));
        refused(&place, "`schedules/job.toml` was changed since the preview");
        place
            .file("schedules/job.toml", &job)
            .file("sql/scores.sql", &format!("{schema}-- more\n"));
        refused(&place, "`sql/scores.sql` was changed since the preview");
        place
            .file("sql/scores.sql", &schema)
            .file("schedules/other.toml", &job);
        let other = place.command(&["run", "other", "--plan", "job.plan"]);
        assert!(
            other.code == 2 && other.stderr.contains("it is of job `job`, not of `other`"),
            "{other}"
        );
        let project = place.text("writeback.toml");
        place.file(
            "writeback.toml",
            &format!("{project}[defaults]\nnulls = 'keep'\n"),
        );
        refused(&place, "write-back `scores` is another");
        place.file("writeback.toml", &project);
        place.execute(&server.retyped("note", "VARCHAR(40)", "VARCHAR(41)"));
        refused(&place, "was altered since the preview");
    }
}

#[test]
fn a_plan_of_which_any_byte_was_altered_is_refused() {
    let place = place(Server::Sqlite);
    save(&place);
    let whole = fs::read(place.path("job.plan")).expect("a plan");
    let last = whole.len() - 1;
    for at in (0..whole.len())
        .step_by(whole.len() / 40)
        .chain([16, last - 39, last - 33, last])
    {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        place.bytes("job.plan", &altered);
        refused(
            &place,
            "`writeback preview JOB --out FILE` writes a new one",
        );
    }
    for length in [0, 10, 17, 40, whole.len() / 2, last] {
        place.bytes("job.plan", &whole[..length]);
        refused(
            &place,
            "`writeback preview JOB --out FILE` writes a new one",
        );
    }
    place.bytes("job.plan", &[whole.as_slice(), b"\n"].concat());
    refused(&place, "was altered");
    place.bytes("job.plan", b"writeback plan 2\nwhatever comes");
    refused(&place, "has format 2, which this version does not know");
    place.file("job.plan", "hello\n");
    refused(&place, "is no saved plan");
    fs::remove_file(place.path("job.plan")).expect("a file");
    refused(&place, "could not open `job.plan`");
    fs::create_dir(place.path("job.plan")).expect("a folder");
    refused(&place, "could not open `job.plan`");
    fs::remove_dir(place.path("job.plan")).expect("a folder");
    place.bytes("job.plan", &whole);
    assert_eq!(apply(&place).summary(), "4 read = 1 inserted + 3 updated");
}

#[test]
fn a_preview_that_fails_leaves_the_plan_that_was_there() {
    let place = place(Server::Sqlite);
    place.file("job.plan", "mine");
    fs::remove_file(place.path("data/scores.csv")).expect("the source");
    let failed = place.command(&["preview", "job", "--out", "job.plan"]);
    assert!(
        failed.code == 2 && place.text("job.plan") == "mine",
        "{failed}"
    );
    assert!(!place.path("job.plan.partial").exists(), "{failed}");
    let nowhere = place.command(&["preview", "job", "--out", "none/job.plan"]);
    assert!(
        nowhere.code == 2 && nowhere.stderr.contains("make the folder first"),
        "{nowhere}"
    );
}

#[test]
fn choices_that_a_plan_has_made_cannot_be_made_again() {
    let place = place(Server::Sqlite);
    save(&place);
    for other in [
        &["--cycle", "c1"][..],
        &["--only-rejected"],
        &["--write-back", "scores"],
    ] {
        let arguments = [&["run", "job", "--plan", "job.plan"], other].concat();
        let refused = place.command(&arguments);
        assert!(
            refused.code == 2 && refused.stderr.contains("cannot be used with"),
            "{refused}"
        );
    }
}

#[test]
fn a_plan_is_of_the_cycle_that_was_previewed_and_no_older_one_is_applied() {
    for server in Server::ALL {
        let place = place(server);
        place.command(&["preview", "job", "--cycle", "c1", "--out", "job.plan"]);
        let newer = place.command(&["run", "job", "--cycle", "c2", "--json"]);
        assert_eq!(
            newer.summary(),
            "5 read = 1 inserted + 3 updated + 1 unchanged",
            "on {server}"
        );
        let rows = place.rows("accounts");
        let old = apply(&place);
        let told = "it is of cycle `c1`, and a newer one, `c2`, has begun since";
        assert!(
            old.code == 2 && old.stderr.contains(told),
            "on {server}: {old}"
        );
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        place.execute("UPDATE accounts SET score = 0");
        place.command(&["preview", "job", "--cycle", "c2", "--out", "job.plan"]);
        let applied = apply(&place);
        assert_eq!(applied.json()["cycle"], "c2", "on {server}: {applied}");
        assert_eq!(applied.summary(), "5 read = 5 updated", "on {server}");
    }
}

#[test]
fn stamps_of_the_run_are_its_own_and_all_others_as_shown() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let instant = server.instant();
        let columns = format!(
            "id VARCHAR(9) PRIMARY KEY, v INTEGER, cycle VARCHAR(9), run INTEGER, at {instant}"
        );
        place.table("accounts", &columns, "id,v\nA1,1\nA2,2\nA3,3\n");
        place.scores(
            "id VARCHAR(9) PRIMARY KEY, v INTEGER",
            "id,v\nA1,10\nA2,20\nA3,30\n",
        );
        let fields = "id = 'id'\nv = 'v'\ncycle = { method = 'cycle_id' }\nrun = { method = 'run_id' }\n\
                      at = { method = 'cycle_completed_at' }";
        place.job("", fields);
        place.command(&["run", "job", "--cycle", "c1"]);
        place.execute("UPDATE accounts SET v = 0");
        place.command(&["preview", "job", "--cycle", "c2", "--out", "job.plan"]);
        // A stamp that somebody else set is no change: stamps are written along, and never
        // compared.
        place.execute("UPDATE accounts SET cycle = 'c0' WHERE id = 'A2'");
        let applied = apply(&place);
        assert_eq!(
            applied.summary(),
            "3 read = 3 updated",
            "on {server}: {applied}"
        );
        let held = place.query("SELECT id, v, cycle, run FROM accounts");
        assert_eq!(
            held, "id,v,cycle,run\nA1,10,c2,2\nA2,20,c2,2\nA3,30,c2,2\n",
            "on {server}"
        );
        assert_eq!(
            place.query("SELECT count(DISTINCT at) AS n FROM accounts"),
            "n\n1\n",
            "on {server}"
        );
        assert_eq!(
            apply(&place).summary(),
            "3 read = 3 unchanged",
            "on {server}"
        );
    }
}

#[test]
fn guards_judge_what_was_shown_and_a_person_may_approve_it() {
    for server in Server::ALL {
        let place = place(server);
        place.job("matching = 'upsert'\nmax_changed = 3", FIELDS);
        let shown = place.command(&["preview", "job", "--out", "job.plan"]);
        assert!(
            shown.code == 3 && place.path("job.plan").exists(),
            "on {server}: {shown}"
        );
        let before = place.rows("accounts");
        let stopped = apply(&place);
        assert_eq!(
            (stopped.code, place.rows("accounts")),
            (3, before),
            "on {server}: {stopped}"
        );
        let command = "writeback run job --plan job.plan --approve";
        assert_eq!(stopped.json()["approve"], command, "on {server}: {stopped}");
        let approved = place.command(&["run", "job", "--plan", "job.plan", "--approve", "--json"]);
        assert_eq!(
            approved.summary(),
            "4 read = 1 inserted + 3 updated",
            "on {server}: {approved}"
        );
    }
}

#[test]
fn a_record_that_is_parked_since_is_left_alone() {
    for server in Server::ALL {
        let place = place(server);
        save(&place);
        place.command(&[
            "park", "job", "--record", "A1", "--until", "changed", "--reason", "merger",
        ]);
        let applied = apply(&place);
        assert_eq!(
            applied.summary(),
            "4 read = 1 inserted + 2 updated + 1 skipped",
            "on {server}: {applied}"
        );
        assert_eq!(
            outcomes(&place, 1)[0],
            "A1 skipped parked until changed: merger",
            "on {server}"
        );
        assert!(
            place.rows("accounts").contains("A1,1,,555\n"),
            "on {server}"
        );
        // What the source brought was not looked at: the next run does, and leaves the record alone
        // as it is then.
        assert_eq!(
            place.run().summary(),
            "5 read = 4 unchanged + 1 skipped",
            "on {server}"
        );
        place.file("data/scores.csv", &SOURCE.replace("A1,10", "A1,11"));
        assert_eq!(
            place.run().summary(),
            "5 read = 1 updated + 4 unchanged",
            "on {server}"
        );
    }
}

#[test]
fn a_plan_leaves_the_records_that_are_owed_to_the_job() {
    let place = place(Server::Sqlite);
    place.file("data/scores.csv", &format!("{SOURCE}A9,many,bad\n"));
    assert_eq!(
        place.run().summary(),
        "6 read = 1 inserted + 3 updated + 1 unchanged + 1 rejected"
    );
    place.execute("UPDATE accounts SET score = 0");
    let saved = place.command(&["preview", "job", "--out", "job.plan"]);
    assert_eq!(saved.code, 1, "{saved}");
    assert_eq!(apply(&place).summary(), "5 read = 5 updated");
    place.file("data/scores.csv", "id,score,note\nA9,9,good\n");
    let retried = place.command(&["run", "job", "--only-rejected", "--json"]);
    assert_eq!(retried.summary(), "1 read = 1 inserted", "{retried}");
}

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

const CHANGES: [&str; 10] = [
    "1 record a run in",
    "1 a package put in place",
    "1 record a package in",
    "2 records updated",
    "1 before-images kept",
    "3 record a batch in",
    "1 a batch committed",
    "2 a batch committed",
    "1 finish a write-back in",
    "1 a report put in place",
];

const FIVE: &str = "id,score,note,phone\nA1,1,,\nA2,2,,\nA3,3,,\nA4,4,,\n";

/// A plan of five records, to be applied in batches of two.
fn five_records(server: Server) -> Workspace {
    let source = "id,score,note\nA1,11,new\nA2,12,new\nA3,13,new\nA4,14,new\nN1,15,new\n";
    let place = Workspace::accounts(server, FIVE, source);
    place.job("matching = 'upsert'\nbatch_size = 2", FIELDS);
    place
}

#[test]
fn a_plan_whose_run_is_killed_anywhere_is_applied_by_the_next() {
    for server in Server::ALL {
        let place = five_records(server);
        let before = place.rows("accounts");
        let insert = "INSERT INTO accounts (id, score, note, phone) VALUES ('A1', 1, NULL, NULL), ('A2', 2, NULL, NULL), \
                      ('A3', 3, NULL, NULL), ('A4', 4, NULL, NULL)";
        for (number, change) in CHANGES.into_iter().enumerate() {
            let told = format!("killed behind {change} on {server}");
            save(&place);
            let killed =
                place.command_with(&["run", "job", "--plan", "job.plan"], &[(ABORT_AT, change)]);
            assert_eq!(killed.code, -1, "no run was {told}: {killed}");
            let applied = apply(&place);
            assert_eq!(
                applied.summary(),
                "5 read = 1 inserted + 4 updated",
                "{told}: {applied}"
            );
            assert_eq!(outcomes(&place, applied.run()).len(), 5, "{told}");
            assert_eq!(
                place.query_ledger("SELECT count(*) AS n FROM runs WHERE error IS NOT NULL"),
                Some("n\n0\n".to_owned())
            );
            // What the killed run wrote can be undone as well.
            if number % 4 == 3 {
                let undone = place.command(&[
                    "undo",
                    &applied.run().to_string(),
                    "--delete-created",
                    "--json",
                ]);
                // Only the one server tells that what it was asked to commit was committed.
                let in_doubt = undone.json()["write_backs"][0]["created_in_doubt"] == 1;
                let created = if in_doubt { "skipped" } else { "deleted" };
                assert_eq!(
                    undone.summary(),
                    format!("5 read = 4 updated + 1 {created}"),
                    "{told}: {undone}"
                );
                if in_doubt {
                    assert_ne!(server, Server::Postgres, "{told}");
                    place.execute("DELETE FROM accounts WHERE id = 'N1'");
                }
            } else {
                place.execute("DELETE FROM accounts").execute(insert);
            }
            assert_eq!(place.rows("accounts"), before, "{told}");
        }
    }
}

#[test]
fn another_run_leaves_an_interrupted_plan_behind_and_a_plan_another_run() {
    for server in Server::ALL {
        let place = five_records(server);
        save(&place);
        place.command_with(
            &["run", "job", "--plan", "job.plan"],
            &[(ABORT_AT, "1 a batch committed")],
        );
        let run = place.run();
        assert_eq!(
            (run.run(), run.json()["write_backs"][0]["read"].as_u64()),
            (2, Some(5)),
            "on {server}: {run}"
        );
        let left = place.command(&["runs", "1"]).stdout;
        assert!(
            left.contains("taken up only by a run of the same plan"),
            "on {server}: {left}"
        );
        place.execute("UPDATE accounts SET score = 0");
        place.command_with(&["run", "job"], &[(ABORT_AT, "1 a batch committed")]);
        place.execute("UPDATE accounts SET score = 1");
        save(&place);
        let applied = apply(&place);
        assert_eq!(
            (applied.run(), applied.summary().as_str()),
            (4, "5 read = 5 updated"),
            "on {server}: {applied}"
        );
        let left = place.command(&["runs", "3"]).stdout;
        assert!(
            left.contains("a saved plan is applied instead"),
            "on {server}: {left}"
        );
    }
}

#[test]
fn a_plan_s_canary_goes_first_and_its_writes_are_journaled() {
    for server in Server::ALL {
        let place = place(server);
        with_journal(&place, "");
        let fields = "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }";
        place.job(
            "matching = 'upsert'\nnulls = 'keep'\ncanary = 4\njournal_table = 'journal'",
            fields,
        );
        save(&place);
        // Values that the plan keeps are nobody's business, and no reason for a canary to be in
        // trouble.
        place.execute("UPDATE accounts SET note = 'mine' WHERE id = 'A4'");
        let run = apply(&place);
        assert_eq!(
            run.summary(),
            "4 read = 1 inserted + 3 updated",
            "on {server}: {run}"
        );
        assert_eq!(
            run.json()["write_backs"][0]["canary"]["records"],
            4,
            "on {server}: {run}"
        );
        assert!(
            place.rows("accounts").contains("A4,40,mine,\n"),
            "on {server}"
        );
        let told =
            place.query("SELECT match_key, column_name, old_value, new_value FROM journal WHERE match_key = 'A4'");
        assert_eq!(
            told, "match_key,column_name,old_value,new_value\nA4,score,4,40\n",
            "on {server}"
        );
    }
}

#[test]
fn values_that_a_preview_leaves_alone_a_plan_leaves_too() {
    for server in Server::ALL {
        let place = place(server);
        let fields = "id = 'id'\nscore = { column = 'score', on_conflict = 'keep' }\nnote = 'note'";
        place.job("canary = 2", fields);
        place.run();
        place.execute("UPDATE accounts SET score = 77 WHERE id = 'A1'");
        place.file("data/scores.csv", "id,score,note\nA1,11,new\nA2,12,new\n");
        save(&place);
        let run = apply(&place);
        assert_eq!(run.summary(), "2 read = 2 updated", "on {server}: {run}");
        let held = place.query("SELECT id, score, note FROM accounts WHERE note = 'new'");
        assert_eq!(held, "id,score,note\nA1,77,new\nA2,12,new\n", "on {server}");
    }
}

#[test]
fn a_record_that_is_refused_costs_no_other() {
    for server in Server::ALL {
        let place = five_records(server);
        save(&place);
        place.forbid("refuse", "accounts", "score", "= 13");
        let applied = apply(&place);
        let summary = "5 read = 1 inserted + 3 updated + 1 rejected";
        assert_eq!(applied.summary(), summary, "on {server}: {applied}");
        assert!(
            place.rejected(1).contains(",A3,destination,"),
            "on {server}: {}",
            place.rejected(1)
        );
    }
}

#[test]
fn a_run_without_a_dashboard_applies_a_plan_of_another_day() {
    let place = five_records(Server::Sqlite);
    save(&place);
    let (library, clock) = (faketime_library(), "+172800s");
    let faked = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", clock),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let applied = place.command_with(&["run", "job", "--plan", "job.plan", "--json"], &faked);
    assert_eq!(
        applied.summary(),
        "5 read = 1 inserted + 4 updated",
        "{applied}"
    );
}
