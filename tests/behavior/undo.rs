//! An undo leaves rows as they were before a run, where nobody changed them since, and says of
//! every other record why it did not.

use polars::prelude::{ParquetReader, SerReader};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{FIELDS, Ran, Server, Workspace, faketime_library};
use crate::values::TRIPS;

const ROWS: &str = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\n";
const SOURCE: &str = "id,score,note\nA1,10,y\nA2,2,same\nA3,,z\n";

fn place(server: Server) -> Workspace {
    Workspace::accounts(server, ROWS, SOURCE)
}

fn undo(place: &Workspace, run: i64, arguments: &[&str]) -> Ran {
    let run = run.to_string();
    let all: Vec<&str> = ["undo", &run, "--json"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    place.command(&all)
}

/// Outcome and reason of each key in `outcomes.parquet`.
pub(crate) fn outcomes(place: &Workspace, run: i64) -> Vec<String> {
    let file = std::fs::File::open(place.run_file(run, "outcomes.parquet")).expect("a file");
    let rows = ParquetReader::new(file).finish().expect("Parquet");
    let column = |name: &str| {
        rows.column(name)
            .expect("a column")
            .str()
            .expect("text")
            .clone()
    };
    let (keys, outcomes, reasons) = (column("key"), column("outcome"), column("reason"));
    let cell =
        |column: &polars::prelude::StringChunked, at| column.get(at).unwrap_or_default().to_owned();
    let mut rows: Vec<String> = (0..rows.height())
        .map(|at| {
            format!(
                "{} {} {}",
                cell(&keys, at),
                cell(&outcomes, at),
                cell(&reasons, at)
            )
            .trim()
            .to_owned()
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn an_undone_run_leaves_what_was_there_and_can_be_undone_in_turn() {
    for server in Server::ALL {
        let place = place(server);
        let before = place.rows("accounts");
        let run = place.run();
        assert_eq!(
            run.summary(),
            "3 read = 2 updated + 1 unchanged",
            "on {server}"
        );
        let after = place.rows("accounts");
        let undone = undo(&place, 1, &[]);
        assert_eq!(
            (undone.run(), undone.summary().as_str()),
            (2, "2 read = 2 updated"),
            "on {server}: {undone}"
        );
        assert_eq!(place.rows("accounts"), before, "on {server}");
        let again = undo(&place, 1, &[]);
        assert_eq!(
            again.summary(),
            "2 read = 2 unchanged",
            "nothing is left to restore on {server}: {again}"
        );
        let redone = undo(&place, 2, &[]);
        assert_eq!(
            redone.summary(),
            "2 read = 2 updated",
            "on {server}: {redone}"
        );
        assert_eq!(place.rows("accounts"), after, "on {server}");
        let back = undo(&place, redone.run(), &[]);
        assert_eq!(back.summary(), "2 read = 2 updated", "on {server}: {back}");
        assert_eq!(place.rows("accounts"), before, "on {server}");
        assert!(
            place
                .command(&["runs"])
                .stdout
                .contains("succeeded, undo of 1"),
            "on {server}"
        );
        assert!(
            place
                .command(&["runs", "2"])
                .stdout
                .contains("undo of   run 1"),
            "on {server}"
        );
    }
}

#[test]
fn what_somebody_changed_since_is_kept_whole() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        place.execute("UPDATE accounts SET note = 'mine', phone = '1' WHERE id = 'A1'");
        place.execute("UPDATE accounts SET phone = '2' WHERE id = 'A3'");
        let foreseen = undo(&place, 1, &["--preview"]).json();
        let undone = undo(&place, 1, &[]);
        assert_eq!(
            undone.summary(),
            "2 read = 1 updated + 1 skipped",
            "on {server}: {undone}"
        );
        for (part, count) in [("reversed", 1), ("changed_since", 1), ("could_not", 0)] {
            assert_eq!(
                undone.json()["write_backs"][0][part],
                count,
                "{part} on {server}: {undone}"
            );
            assert_eq!(
                foreseen["write_backs"][0][part], count,
                "{part} on {server}: {foreseen}"
            );
        }
        assert_eq!(
            outcomes(&place, 2),
            ["A1 skipped changed since", "A3 updated"],
            "on {server}"
        );
        let rows = "id,score,note,phone\nA1,10,mine,1\nA2,2,same,\nA3,3,\"\",2\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn of_many_batches_that_are_alike_only_the_differing_rows_are_written_and_come_back() {
    for server in Server::ALL {
        let numbered = |row: fn(u32) -> String| (0..600).map(row).collect::<String>();
        let rows = numbered(|id| format!("A{id:03},{},same,555\n", id % 7));
        let source = numbered(|id| format!("A{id:03},{},same\n", id % 7));
        let place = Workspace::accounts(
            server,
            &format!("id,score,note,phone\n{rows}"),
            &format!("id,score,note\n{source}"),
        );
        place.job("batch_size = 20", FIELDS);
        place.execute("UPDATE accounts SET score = 99 WHERE id IN ('A003', 'A321', 'A322')");
        place.execute("UPDATE accounts SET note = NULL WHERE id BETWEEN 'A400' AND 'A459'");
        place.execute("DELETE FROM accounts WHERE id IN ('A005', 'A350', 'A499')");
        let before = place.rows("accounts");
        place.count_writes("accounts");
        let run = place.run();
        assert_eq!(
            run.summary(),
            "600 read = 63 updated + 534 unchanged + 3 skipped",
            "on {server}: {run}"
        );
        assert_eq!(place.writes(), 63, "on {server}");
        assert_eq!(
            place.run().summary(),
            "600 read = 597 unchanged + 3 skipped",
            "on {server}"
        );
        assert_eq!(
            undo(&place, 1, &[]).summary(),
            "63 read = 63 updated",
            "on {server}"
        );
        assert_eq!(place.rows("accounts"), before, "on {server}");
    }
}

#[test]
fn a_preview_of_an_undo_writes_nothing() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        let after = place.rows("accounts");
        let shown = place.command(&["undo", "1", "--preview"]);
        assert!(
            shown.code == 0 && shown.stdout.contains("would come to 2 read = 2 updated"),
            "on {server}: {shown}"
        );
        assert_eq!(place.rows("accounts"), after, "on {server}");
        assert_eq!(
            place
                .query_ledger("SELECT count(*) AS n FROM runs")
                .as_deref(),
            Some("n\n1\n"),
            "on {server}"
        );
    }
}

#[test]
fn chosen_records_are_undone_and_others_are_left() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        let wrong = undo(&place, 1, &["--record", "A2"]);
        assert!(
            wrong.code == 2 && wrong.stderr.contains("run 1 did not write record `A2`"),
            "on {server}: {wrong}"
        );
        let undone = undo(&place, 1, &["--record", "A3", "--write-back", "scores"]);
        assert_eq!(
            undone.summary(),
            "1 read = 1 updated",
            "on {server}: {undone}"
        );
        let rows = "id,score,note,phone\nA1,10,y,555\nA2,2,same,\nA3,3,\"\",\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        let none = undo(&place, 1, &["--write-back", "other"]);
        assert!(
            none.code == 2 && none.stderr.contains("there is no write-back `other`"),
            "on {server}: {none}"
        );
    }
}

#[test]
fn rows_that_the_run_created_go_only_when_asked_and_unchanged() {
    for server in Server::ALL {
        let place = place(server);
        place.job("matching = 'upsert'", FIELDS);
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,10,y\nN1,1,new\nN2,2,\nN3,3,new\n",
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 3 inserted + 1 updated",
            "on {server}"
        );
        place.execute("UPDATE accounts SET note = 'filled' WHERE id = 'N2'");
        place.execute("DELETE FROM accounts WHERE id = 'N3'");
        let kept = place.command(&["undo", "1"]);
        assert!(
            kept.stdout.contains("`writeback undo 1 --delete-created`"),
            "on {server}: {kept}"
        );
        assert!(
            kept.stdout.contains("3 kept: the run created the row"),
            "on {server}: {kept}"
        );
        assert_eq!(
            outcomes(&place, 2)[1..],
            ["N1", "N2", "N3"].map(|key| format!("{key} skipped created by the run"))
        );
        let undone = undo(&place, 1, &["--delete-created"]);
        assert_eq!(
            undone.summary(),
            "4 read = 1 unchanged + 1 deleted + 2 skipped",
            "on {server}: {undone}"
        );
        let expected = [
            "A1 unchanged",
            "N1 deleted",
            "N2 skipped changed since",
            "N3 skipped no match",
        ];
        assert_eq!(outcomes(&place, 3), expected, "on {server}");
        let rows = "id,score,note,phone\nA1,1,,555\nA2,2,same,\nA3,3,\"\",\nN2,2,filled,unknown\n";
        assert_eq!(place.rows("accounts"), rows, "on {server}");
        let redone = undo(&place, 3, &[]);
        assert_eq!(
            redone.summary(),
            "1 read = 1 skipped",
            "a deleted row is the job's to create: {redone}"
        );
    }
}

#[test]
fn every_type_comes_back_value_for_value() {
    for server in Server::ALL {
        for trip in TRIPS {
            let place = trip.place(server);
            let label = trip.label(server);
            let none = place.rows("accounts");
            place.run();
            let first = place.rows("accounts");
            place.file("data/scores.csv", &trip.turned_source());
            let changed = place.run();
            assert!(changed.code == 0, "{label}: {changed}");
            let undone = undo(&place, 2, &[]);
            assert!(
                undone.code == 0 && undone.json()["write_backs"][0]["skipped"] == 0,
                "{label}: {undone}"
            );
            assert_eq!(place.rows("accounts"), first, "{label}");
            let undone = undo(&place, 1, &[]);
            assert!(
                undone.code == 0 && undone.json()["write_backs"][0]["skipped"] == 0,
                "{label}: {undone}"
            );
            assert_eq!(place.rows("accounts"), none, "{label}");
        }
    }
}

/// What a database of its own ways keeps in a column of any type comes back as what it was, not as
/// what it looks like.
#[test]
fn values_of_any_storage_class_come_back_in_sqlite() {
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
    let held = "SELECT id, typeof(a) AS ta, hex(a) AS a, typeof(b) AS tb, hex(b) AS b, typeof(c) AS tc, hex(c) AS c \
                FROM accounts";
    let before = place.query(held);
    let csv: String = (0..values.len())
        .map(|id| format!("{id},w,77,w\n"))
        .collect();
    place.scores(
        "id TEXT PRIMARY KEY, a TEXT, b INTEGER, c TEXT",
        &format!("id,a,b,c\n{csv}"),
    );
    place.job("", "id = 'id'\na = 'a'\nb = 'b'\nc = 'c'");
    assert_eq!(place.run().summary(), "10 read = 10 updated");
    let after = place.query(held);
    assert_ne!(after, before);
    let undone = undo(&place, 1, &[]);
    assert_eq!(undone.summary(), "10 read = 10 updated", "{undone}");
    assert_eq!(place.query(held), before);
    let redone = undo(&place, 2, &[]);
    assert_eq!(redone.summary(), "10 read = 10 updated", "{redone}");
    assert_eq!(place.query(held), after);
}

/// What a row holds of what runs write.
type Held = (Option<i32>, Option<&'static str>);

/// One record's row before the run, what the source brings, and what somebody does to the row after
/// the run.
#[derive(Debug, Clone)]
struct History {
    before: Held,
    source: Held,
    edit: Edit,
}

#[derive(Debug, Clone, PartialEq)]
enum Edit {
    None,
    Score(Option<i32>),
    Note(Option<&'static str>),
    Phone,
    Delete,
}

fn histories() -> impl Strategy<Value = Vec<History>> {
    let score = || prop::option::of(0..3);
    let note = || prop::option::of(prop::sample::select(vec!["x", "y", "z"]));
    let edit = prop_oneof![
        3 => Just(Edit::None),
        2 => score().prop_map(Edit::Score),
        2 => note().prop_map(Edit::Note),
        1 => Just(Edit::Phone),
        1 => Just(Edit::Delete),
    ];
    let history = ((score(), note()), (score(), note()), edit);
    prop::collection::vec(
        history.prop_map(|(before, source, edit)| History {
            before,
            source,
            edit,
        }),
        1..30,
    )
}

impl History {
    /// Whether the run wrote the score and the note, and what it left.
    fn left(&self, keeps_nulls: bool) -> (bool, bool, Held) {
        let score = !keeps_nulls || self.source.0.is_some();
        let note = !keeps_nulls || self.source.1.is_some();
        let left = (
            if score { self.source.0 } else { self.before.0 },
            if note { self.source.1 } else { self.before.1 },
        );
        (score, note, left)
    }

    /// What the row holds in the end; `None` if it is gone.
    fn end(&self, keeps_nulls: bool) -> Option<Held> {
        let (score, note, left) = self.left(keeps_nulls);
        let now = match self.edit {
            Edit::None | Edit::Phone => left,
            Edit::Score(score) => (score, left.1),
            Edit::Note(note) => (left.0, note),
            Edit::Delete => return None,
        };
        let stands = (!score || now.0 == self.source.0) && (!note || now.1 == self.source.1);
        Some(match left != self.before && stands {
            true => (
                if score { self.before.0 } else { now.0 },
                if note { self.before.1 } else { now.1 },
            ),
            false => now,
        })
    }
}

fn line(id: usize, (score, note): Held) -> String {
    format!(
        "{id:02},{},{}\n",
        score.map_or(String::new(), |score| score.to_string()),
        note.unwrap_or_default()
    )
}

fn undo_after(server: Server, histories: &[History], keeps_nulls: bool) {
    let numbered = || histories.iter().enumerate();
    let before: String = numbered()
        .map(|(id, history)| line(id, history.before))
        .collect();
    let source: String = numbered()
        .map(|(id, history)| line(id, history.source))
        .collect();
    let place = Workspace::accounts(
        server,
        &format!("id,score,note\n{before}"),
        &format!("id,score,note\n{source}"),
    );
    place.job(
        if keeps_nulls {
            "nulls = 'keep'\nbatch_size = 7"
        } else {
            "batch_size = 7"
        },
        FIELDS,
    );
    assert_eq!(place.run().code, 0, "on {server}");
    for (id, history) in numbered() {
        let edit = match history.edit {
            Edit::None => continue,
            Edit::Score(score) => {
                let score = score.map_or("NULL".to_owned(), |score| score.to_string());
                format!("UPDATE accounts SET score = {score} WHERE id = '{id:02}'")
            }
            Edit::Note(note) => {
                let note = note.map_or("NULL".to_owned(), |note| format!("'{note}'"));
                format!("UPDATE accounts SET note = {note} WHERE id = '{id:02}'")
            }
            Edit::Phone => format!("UPDATE accounts SET phone = '1' WHERE id = '{id:02}'"),
            Edit::Delete => format!("DELETE FROM accounts WHERE id = '{id:02}'"),
        };
        place.execute(&edit);
    }
    let phones = place.query("SELECT id, phone FROM accounts");
    let undone = undo(&place, 1, &[]);
    match histories
        .iter()
        .any(|history| history.left(keeps_nulls).2 != history.before)
    {
        true => assert!(!undone.summary().is_empty(), "on {server}: {undone}"),
        false => assert_eq!(undone.code, 2, "nothing was written on {server}: {undone}"),
    }
    let expected: String = numbered()
        .filter_map(|(id, history)| Some(line(id, history.end(keeps_nulls)?)))
        .collect();
    let held = place.query("SELECT id, score, note FROM accounts");
    let held = held.strip_prefix("id,score,note\n").unwrap_or_default();
    assert_eq!(
        held, expected,
        "on {server}, keeps NULLs: {keeps_nulls}: {undone}"
    );
    assert_eq!(
        place.query("SELECT id, phone FROM accounts"),
        phones,
        "on {server}"
    );
}

#[test]
fn an_undo_after_random_edits_leaves_what_a_model_says() {
    for server in Server::ALL {
        let config = Config {
            cases: 8,
            failure_persistence: None,
            max_shrink_iters: 40,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(
            &(histories(), any::<bool>()),
            |(histories, keeps_nulls)| {
                undo_after(server, &histories, keeps_nulls);
                Ok(())
            },
        );
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

/// Tells the program behind which change of state it dies.
const ABORT_AT: &str = "WRITEBACK_ABORT_AT";

const CHANGES: [&str; 12] = [
    "1 record a run in",
    "1 a package put in place",
    "1 record a package in",
    "2 a transaction begun",
    "2 records updated",
    "1 before-images kept",
    "3 record a batch in",
    "1 a batch committed",
    "2 a batch committed",
    "2 record a commit in",
    "1 finish a write-back in",
    "1 a report put in place",
];

/// A run of five records, and an undo that takes them in batches of two.
fn five_records(server: Server) -> Workspace {
    let rows: String = (1..6).map(|id| format!("A{id},{id},,\n")).collect();
    let source: String = (1..6).map(|id| format!("A{id},1{id},new\n")).collect();
    let rows = format!("id,score,note,phone\n{rows}");
    let place = Workspace::accounts(server, &rows, &format!("id,score,note\n{source}"));
    let project = place.text("writeback.toml") + "[defaults]\nbatch_size = 2\n";
    place.file("writeback.toml", &project);
    place
}

#[test]
fn an_undo_that_is_killed_anywhere_is_finished_by_the_next() {
    for server in Server::ALL {
        let place = five_records(server);
        let before = place.rows("accounts");
        for (number, change) in CHANGES.into_iter().enumerate() {
            let told = format!("killed behind {change} on {server}");
            let ran = place.run();
            assert_eq!(ran.summary(), "5 read = 5 updated", "not yet {told}");
            let (run, of) = (ran.run(), ran.run().to_string());
            let killed = place.command_with(&["undo", &of, "--json"], &[(ABORT_AT, change)]);
            assert_eq!(killed.code, -1, "no undo was {told}: {killed}");
            let undone = undo(&place, run, &[]);
            assert_eq!(
                (undone.run(), undone.summary().as_str()),
                (run + 1, "5 read = 5 updated"),
                "{told}: {undone}"
            );
            assert_eq!(place.rows("accounts"), before, "{told}");
            assert_eq!(outcomes(&place, undone.run()).len(), 5, "{told}");
            // What the interrupted undo wrote can be undone as well.
            if number % 4 == 3 {
                let redone = undo(&place, undone.run(), &[]);
                assert_eq!(redone.summary(), "5 read = 5 updated", "{told}: {redone}");
                let back = undo(&place, redone.run(), &[]);
                assert_eq!(back.summary(), "5 read = 5 updated", "{told}: {back}");
                assert_eq!(place.rows("accounts"), before, "{told}");
            }
        }
    }
}

#[test]
fn the_next_run_leaves_an_interrupted_undo_behind() {
    for server in Server::ALL {
        let place = five_records(server);
        let before = place.rows("accounts");
        place.run();
        let after = place.rows("accounts");
        place.command_with(&["undo", "1"], &[(ABORT_AT, "1 a batch committed")]);
        let run = place.run();
        assert_eq!(
            (run.run(), place.rows("accounts")),
            (3, after),
            "on {server}: {run}"
        );
        let left = place.command(&["runs", "2"]).stdout;
        assert!(
            left.contains("an undo is taken up only by the same `writeback undo`"),
            "on {server}: {left}"
        );
        let undone = undo(&place, 1, &[]);
        assert_eq!(
            undone.summary(),
            "5 read = 5 updated",
            "on {server}: {undone}"
        );
        assert_eq!(place.rows("accounts"), before, "on {server}");
    }
}

#[test]
fn an_interrupted_run_is_undone_as_far_as_it_came() {
    for server in Server::ALL {
        let place = five_records(server);
        let before = place.rows("accounts");
        place.command_with(&["run", "job"], &[(ABORT_AT, "3 record a commit in")]);
        assert_ne!(place.rows("accounts"), before, "on {server}");
        let undone = undo(&place, 1, &[]);
        assert!(
            undone.code == 0 && undone.json()["write_backs"][0]["skipped"] == 0,
            "on {server}: {undone}"
        );
        assert_eq!(place.rows("accounts"), before, "on {server}");
        assert_eq!(
            place.run().summary(),
            "5 read = 5 updated",
            "the job begins anew on {server}"
        );
    }
}

#[test]
fn damaged_before_images_restore_nothing() {
    let place = place(Server::Sqlite);
    place.run();
    let after = place.rows("accounts");
    let file = place.run_file(1, "before/0001.images");
    let whole = std::fs::read(&file).expect("before-images");
    for at in (0..whole.len()).step_by(whole.len() / 20) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&file, &damaged).expect("a file");
        let undone = undo(&place, 1, &[]);
        assert!(
            undone.code == 2 && undone.stderr.contains("are damaged: a checksum is wrong"),
            "byte {at}: {undone}"
        );
        assert_eq!(place.rows("accounts"), after, "byte {at}");
    }
    std::fs::write(&file, &whole[..whole.len() - 1]).expect("a file");
    assert_eq!(undo(&place, 1, &[]).code, 2);
    std::fs::write(&file, &whole).expect("a file");
    assert_eq!(undo(&place, 1, &[]).code, 0);
}

#[test]
fn a_run_that_cannot_be_undone_says_why() {
    let place = place(Server::Sqlite);
    let none = undo(&place, 7, &[]);
    assert!(
        none.code == 2 && none.stderr.contains("there is no run 7"),
        "{none}"
    );
    place.job("keep_before_images = false", FIELDS);
    let check = place.command(&["check"]).stdout;
    assert!(check.contains("its runs cannot be undone"), "{check}");
    let run = place.command(&["run", "job"]);
    assert!(!run.stdout.contains("undo"), "{run}");
    let unkept = undo(&place, 1, &[]);
    assert!(
        unkept.code == 2 && unkept.stderr.contains("they were not kept"),
        "{unkept}"
    );
    place.job("", FIELDS);
    place.run();
    let unwritten = undo(&place, 2, &[]);
    assert!(
        unwritten.code == 2 && unwritten.stderr.contains("run 2 wrote nothing"),
        "{unwritten}"
    );
    place.file("data/scores.csv", "id,score,note\nA1,11,y\n");
    let run = place.command(&["run", "job"]);
    assert!(
        run.stdout.contains("`writeback undo 3` takes this back\n"),
        "{run}"
    );
    std::fs::remove_dir_all(place.path(".writeback/runs/3/scores/before")).expect("before-images");
    let gone = undo(&place, 3, &[]);
    assert!(
        gone.code == 2 && gone.stderr.contains("removed after the `retention`"),
        "{gone}"
    );
}

#[test]
fn before_images_are_kept_as_long_as_the_job_says() {
    let place = place(Server::Sqlite);
    place.job("retention = '30 days'", FIELDS);
    place.run();
    let run_after = |days: u32| {
        let (library, clock) = (faketime_library(), format!("+{}s", days * 24 * 60 * 60));
        let faked = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", &clock),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        place.command_with(&["run", "job"], &faked)
    };
    let images = place.path(".writeback/runs/1/scores/before");
    let early = run_after(29);
    assert!(early.code == 0 && images.exists(), "{early}");
    let late = run_after(31);
    assert!(late.code == 0 && !images.exists(), "{late}");
}

#[test]
fn records_whose_column_was_altered_are_told_of_and_left() {
    for server in Server::ALL {
        let place = place(server);
        place.run();
        place.execute(&server.retyped("score", "INTEGER", "SMALLINT"));
        let after = place.rows("accounts");
        let foreseen = undo(&place, 1, &["--preview"]);
        let undone = undo(&place, 1, &[]);
        for ran in [&foreseen, &undone] {
            assert_eq!(
                ran.json()["write_backs"][0]["could_not"],
                2,
                "on {server}: {ran}"
            );
        }
        assert_eq!(undone.summary(), "2 read = 2 rejected", "on {server}");
        let rejected = place.rejected(2);
        assert!(
            rejected.contains("A1,mapping,score,column `score` "),
            "on {server}: {rejected}"
        );
        assert_eq!(place.rows("accounts"), after, "on {server}");
    }
}

#[test]
fn a_record_that_is_refused_costs_no_other() {
    for server in Server::ALL {
        let place = five_records(server);
        place.run();
        place.forbid("refuse", "accounts", "score", "= 3");
        let undone = undo(&place, 1, &[]);
        assert_eq!(
            undone.summary(),
            "5 read = 4 updated + 1 rejected",
            "on {server}: {undone}"
        );
        assert!(
            place.rejected(2).contains(",A3,destination,"),
            "on {server}: {}",
            place.rejected(2)
        );
    }
}

#[test]
fn rows_that_were_changed_since_are_restored_only_when_asked() {
    for server in Server::ALL {
        let place = place(server);
        place.job("matching = 'upsert'", FIELDS);
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,10,y\nA3,,z\nN1,1,new\nN2,2,new\n",
        );
        let before = place.rows("accounts");
        assert_eq!(
            place.run().summary(),
            "4 read = 2 inserted + 2 updated",
            "on {server}"
        );
        place.execute("UPDATE accounts SET note = 'mine', phone = '1' WHERE id IN ('A1', 'N1')");
        place.execute("DELETE FROM accounts WHERE id = 'A3'");
        let kept = undo(&place, 1, &["--delete-created", "--preview"]);
        assert_eq!(
            kept.json()["write_backs"][0]["changed_since"],
            2,
            "on {server}: {kept}"
        );
        let foreseen = undo(&place, 1, &["--even-changed", "--preview"]);
        assert_eq!(
            foreseen.json()["write_backs"][0]["changed_since"],
            0,
            "on {server}: {foreseen}"
        );
        let held = place.rows("accounts");
        let undone = undo(&place, 1, &["--even-changed", "--delete-created"]);
        assert_eq!(
            undone.summary(),
            "4 read = 1 updated + 2 deleted + 1 skipped",
            "on {server}: {undone}"
        );
        let expected = [
            "A1 updated",
            "A3 skipped no match",
            "N1 deleted",
            "N2 deleted",
        ];
        assert_eq!(outcomes(&place, undone.run()), expected, "on {server}");
        let restored = before
            .replace("A1,1,,555", "A1,1,,1")
            .replace("A3,3,\"\",\n", "");
        assert_eq!(
            place.rows("accounts"),
            restored,
            "what no run wrote stays, on {server}"
        );
        let redone = undo(&place, undone.run(), &[]);
        assert_eq!(
            redone.summary(),
            "3 read = 1 updated + 2 skipped",
            "on {server}: {redone}"
        );
        let of_first = |rows: &str| {
            rows.lines()
                .find(|row| row.starts_with("A1"))
                .map(str::to_owned)
        };
        assert_eq!(
            of_first(&place.rows("accounts")),
            of_first(&held),
            "on {server}"
        );
    }
}
