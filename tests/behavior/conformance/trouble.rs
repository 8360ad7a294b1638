//! What goes wrong on the way: the destination holds in the end what one clean run leaves.

use crate::harness::{AGAIN, Act, At, DuckDb, Fault, Proxy, Ran, Running, WRITER};

use super::subject::{Faults, Kind};
use super::{Chapter, Ground, Row, Story, Subject};

pub(super) const CHAPTER: Chapter = Chapter {
    title: "What goes wrong on the way",
    stories: &[
        Story::of(&[Row::Killed], a_killed_run_is_gone_on_with),
        Story::unless_refused(
            &[Row::AnswerLost],
            what_is_created_without_an_answer_is_created_once,
            |subject| setting_is_asked_for(subject, "host = '127.0.0.1'"),
        ),
        Story::of(
            &[Row::ThousandCreated],
            a_thousand_creates_give_a_thousand_rows,
        ),
        Story::unless_refused(&[Row::SessionEnded], a_session_is_begun_anew, |subject| {
            setting_is_asked_for(subject, "user = 'ada'")
        }),
        Story::of(&[Row::Busy], a_busy_destination_is_waited_for),
        Story::unless_refused(
            &[Row::BrokenAnswers],
            broken_answers_are_got_over,
            |subject| setting_is_asked_for(subject, "port = 5432"),
        ),
    ],
};

const ROWS: &str = "id,score\nA1,1\nA2,2\nA3,3\n";

/// A job that updates a row and creates so many, in batches of `batch_size`.
fn creating_ground(subject: &'static Subject, rows: usize, batch_size: usize) -> Ground {
    let ground = Ground::of(subject, ROWS);
    let settings = format!("matching = 'upsert'\nbatch_size = {batch_size}");
    ground
        .source(&format!("id,score\nA1,11\n{}\n", new_rows(rows).join("\n")))
        .creating_job(&settings, "id score");
    ground
}

fn new_rows(count: usize) -> Vec<String> {
    let row = |row: usize| format!("N{row:03},{}", row % 100);
    (0..count).map(row).collect()
}

/// Panics: unless each of so many new rows is there, once.
fn expect_created_once(ground: &Ground, rows: usize, run: &Ran) {
    let there = ["A1,11", "A2,2", "A3,3"].map(str::to_owned);
    let all = [&there[..], &new_rows(rows)].concat();
    ground.expect_held("id score", &all, run);
}

fn a_killed_run_is_gone_on_with(subject: &'static Subject) {
    let ground = creating_ground(subject, 5, 2);
    for death in subject.deaths {
        let died = ground
            .place
            .command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", death)]);
        assert!(died.stderr.contains("dies here"), "{death}: {died}");
    }
    let run = ground.place.run();
    assert_eq!(run.json()["status"], "succeeded", "{run}");
    expect_created_once(&ground, 5, &run);
    assert_eq!(run.run(), 1, "it is the same run: {run}");
}

fn what_is_created_without_an_answer_is_created_once(subject: &'static Subject) {
    let ground = creating_ground(subject, 60, 10);
    let run = match &subject.kind {
        Kind::Database(_) | Kind::DuckDb => run_with_fault(
            &ground,
            At::Answered {
                words: "COMMIT",
                nth: 0,
            },
        ),
        Kind::Service(service) => {
            let _served = ground.serve(service.faults.lost);
            ground.place.run_with_retries(8)
        }
    };
    assert_eq!(run.json()["status"], "succeeded", "{}: {run}", subject.name);
    expect_created_once(&ground, 60, &run);
}

/// Changes of state behind which a run dies, one time after the other: at random, and the same ones
/// each time.
const DEATHS: [&str; 6] = ["23", "61", "8", "97", "40", "5"];

fn a_thousand_creates_give_a_thousand_rows(subject: &'static Subject) {
    let ground = creating_ground(subject, 1000, 20);
    let is_service = matches!(subject.kind, Kind::Service(_));
    let faults = "seed=4,drop_after=5%,500_after=1%,drop_before=1%";
    let served = is_service.then(|| ground.serve(faults));
    let mut deaths = 0;
    for death in DEATHS {
        let run = ground
            .place
            .command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", death)]);
        deaths += usize::from(run.stderr.contains("dies here"));
    }
    assert!(deaths > 3, "{}: it died {deaths} times", subject.name);
    let run = ground.place.run_with_retries(8);
    assert_eq!(run.json()["status"], "succeeded", "{}: {run}", subject.name);
    assert_eq!(run.run(), 1, "it is the same run: {run}");
    drop(served);
    expect_created_once(&ground, 1000, &run);
}

/// A run whose connection for writing is cut here.
fn run_with_fault(ground: &Ground, at: At) -> Ran {
    ground.connect("writers = 1");
    let proxy = Proxy::before(&ground.place);
    proxy.arm(vec![Fault {
        connection: Some(WRITER),
        at,
        act: Act::Cut,
    }]);
    let run = ground.place.run();
    assert_eq!(proxy.met(), 1, "{run}");
    run
}

fn a_session_is_begun_anew(subject: &'static Subject) {
    let faults = |faults: &Faults| faults.session;
    expect_delivered(subject, faults, |ground| {
        let words = ground.place.server.begins_to_write();
        run_with_fault(ground, At::Asked { words, nth: 0 })
    });
}

fn broken_answers_are_got_over(subject: &'static Subject) {
    let faults = |faults: &Faults| faults.broken;
    expect_delivered(subject, faults, |ground| {
        let words = "COMMIT";
        run_with_fault(ground, At::Asked { words, nth: 0 })
    });
}

fn a_busy_destination_is_waited_for(subject: &'static Subject) {
    let faults = |faults: &Faults| faults.busy;
    expect_delivered(subject, faults, |ground| {
        if let Kind::DuckDb = ground.subject.kind {
            return run_beside_another_process(ground);
        }
        ground.connect("writers = 1\nlock_timeout = '1s'\nattempts_max = 30");
        ground.place.hold("A1");
        let mut run = Running::start(&ground.place);
        run.wait_until_it_says(AGAIN);
        ground.place.execute("ROLLBACK");
        run.finish()
    });
}

/// A run that waits until another process lets go of the file.
fn run_beside_another_process(ground: &Ground) -> Ran {
    ground.connect("lock_timeout = '60s'");
    let held = DuckDb::open(&ground.place.path("crm.duckdb"));
    let mut run = Running::start(&ground.place);
    run.wait_until_it_says("waiting for another process");
    drop(held);
    run.finish()
}

/// A run of a database's own, or one among each of a practice's faults, delivers.
fn expect_delivered(
    subject: &'static Subject,
    faults: fn(&Faults) -> &'static [&'static str],
    of_database: fn(&Ground) -> Ran,
) {
    let ground = Ground::of(subject, ROWS);
    ground
        .source("id,score\nA1,11\nA2,12\nA3,3\n")
        .job("", "id score");
    match &subject.kind {
        Kind::Database(_) | Kind::DuckDb => {
            let run = of_database(&ground);
            let summary = "3 read = 2 updated + 1 unchanged";
            assert_eq!(run.summary(), summary, "{}: {run}", subject.name);
            ground.expect_held("id score", &["A1,11", "A2,12", "A3,3"], &run);
        }
        Kind::Service(service) => {
            for (turn, spec) in (21..).zip(faults(&service.faults)) {
                expect_delivered_among(&ground, spec, turn);
            }
        }
    }
}

fn expect_delivered_among(ground: &Ground, faults: &str, score: u32) {
    ground.source(&format!("id,score\nA1,{score}\nA2,{score}\nA3,3\n"));
    let served = ground.serve(faults);
    let mut run = ground.run();
    for _ in 0..3 {
        if run.code == 2 {
            run = ground.place.run();
        }
    }
    let counts = served.counts();
    let struck = counts["faults"].as_u64().unwrap_or_default();
    drop(served);
    let name = ground.subject.name;
    let told = &run.json()["calls"][0]["made"];
    assert_eq!(told, &counts["total"], "{name} {faults}: {counts} {run}");
    let meant = faults.matches('@').count();
    assert!(
        usize::try_from(struck).is_ok_and(|struck| struck >= meant),
        "{name}: {struck} faults of `{faults}` struck: {run}"
    );
    assert_eq!(run.json()["status"], "succeeded", "{name} {faults}: {run}");
    let rows = [
        format!("A1,{score}"),
        format!("A2,{score}"),
        "A3,3".to_owned(),
    ];
    assert_eq!(ground.held("id score"), rows, "{name} {faults}: {run}");
}

fn setting_is_asked_for(subject: &'static Subject, setting: &str) -> Ran {
    let ground = Ground::of(subject, ROWS);
    ground.source("id,score\nA1,11\n").job("", "id score");
    ground.connect(setting).command(&["check"])
}
