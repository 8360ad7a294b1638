#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use chrono::TimeDelta;
use sqlx::{Connection, SqliteConnection};

use super::super::tests::{begin, cycle, ledger};
use super::*;
use crate::ledger::NewRun;
use crate::ledger::sqlite::connect;

const HEALTH: &str = "customer_health";

/// Later than all that these tests tell of.
fn late() -> DateTime<Utc> {
    DateTime::from_timestamp(253_402_300_799, 0).unwrap()
}

/// A moment on the day of `cycle(_, days)`, some hours after it completed.
fn moment_on(days: i64, hours: i64) -> DateTime<Utc> {
    cycle("any", days).completed_at + TimeDelta::hours(hours)
}

async fn see(ledger: &Ledger, id: &str, days: i64) -> Cycle {
    ledger
        .see_cycle(HEALTH, &cycle(id, days), moment_on(days, 1))
        .await
        .unwrap()
        .cycle
}

/// `id fate` for each cycle that the job has to decide about.
async fn fates(ledger: &Ledger) -> Vec<(String, StoredFate)> {
    let cycles = ledger.job_cycles("weekly", HEALTH, late()).await.unwrap();
    cycles
        .into_iter()
        .map(|known| (known.cycle.id, known.fate))
        .collect()
}

async fn fate_of(ledger: &Ledger, id: &str) -> StoredFate {
    fates(ledger)
        .await
        .into_iter()
        .find(|(cycle, _)| cycle == id)
        .unwrap()
        .1
}

async fn passed_over(
    ledger: &Ledger,
    job: &str,
    cycles_max: u32,
) -> Result<Vec<PassedOverEntry>, LedgerError> {
    let mut all = ledger.for_nothing_of(&[job], cycles_max).await?;
    Ok(all.remove(job).unwrap_or_default().cycles)
}

async fn told_gates(ledger: &Ledger, job: &str, gates_max: u32) -> Vec<GateEntry> {
    let mut all = ledger.for_nothing_of(&[job], gates_max).await.unwrap();
    all.remove(job).unwrap_or_default().gates
}

async fn execute(ledger: &Ledger, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement)
        .execute(&mut *ledger.connection.lock().await)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_cycle_is_recorded_once_and_stays_as_it_was_first_seen() {
    let (_folder, ledger) = ledger().await;
    let first = ledger
        .see_cycle(HEALTH, &cycle("c1", 0), moment_on(0, 1))
        .await
        .unwrap();
    assert_eq!(
        first,
        Noticed {
            cycle: cycle("c1", 0),
            noticed_at: moment_on(0, 1),
            new: true
        }
    );
    let again = ledger
        .see_cycle(HEALTH, &cycle("c1", 3), moment_on(4, 0))
        .await
        .unwrap();
    assert_eq!(
        again,
        Noticed {
            new: false,
            ..first.clone()
        }
    );
    let other = ledger
        .see_cycle("churn", &cycle("c1", 3), moment_on(4, 0))
        .await
        .unwrap();
    assert!(other.new, "dashboards have cycles of their own");
    assert_eq!(
        ledger.cycle_named(HEALTH, "c1").await.unwrap(),
        Some(Noticed {
            new: false,
            ..first
        })
    );
    assert_eq!(ledger.cycle_named(HEALTH, "c2").await.unwrap(), None);
}

#[tokio::test]
async fn a_cycle_dated_in_the_future_counts_as_completed_when_it_was_noticed() {
    let (_folder, ledger) = ledger().await;
    let noticed = ledger
        .see_cycle(HEALTH, &cycle("c9", 30_000), moment_on(0, 1))
        .await
        .unwrap();
    assert_eq!(noticed.cycle.completed_at, moment_on(0, 1));
    see(&ledger, "c1", 1).await;
    assert_eq!(
        ledger
            .newest_cycle(HEALTH, late())
            .await
            .unwrap()
            .unwrap()
            .cycle,
        cycle("c1", 1)
    );
}

#[tokio::test]
async fn a_cycle_is_newer_than_those_known_though_the_clock_was_set_back() {
    let (_folder, ledger) = ledger().await;
    see(&ledger, "c1", 5).await;
    let noticed = ledger
        .see_cycle(HEALTH, &cycle("c2", 6), moment_on(1, 0))
        .await
        .unwrap();
    assert_eq!(noticed.cycle.completed_at, cycle("c1", 5).completed_at);
    assert_eq!(
        ledger
            .newest_cycle(HEALTH, late())
            .await
            .unwrap()
            .unwrap()
            .cycle
            .id,
        "c2"
    );
}

#[tokio::test]
async fn the_newest_cycle_is_newest_by_completion_and_then_by_notice() {
    let (_folder, ledger) = ledger().await;
    assert_eq!(ledger.newest_cycle(HEALTH, late()).await.unwrap(), None);
    for (id, days) in [("c2", 2), ("c3", 2), ("c1", 1)] {
        see(&ledger, id, days).await;
    }
    assert_eq!(
        ledger
            .newest_cycle(HEALTH, late())
            .await
            .unwrap()
            .unwrap()
            .cycle,
        cycle("c3", 2)
    );
    let order: Vec<String> = fates(&ledger).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, ["c1", "c2", "c3"]);
}

#[tokio::test]
async fn a_cycle_that_completed_later_than_now_stands_before_those_noticed_after_it() {
    let (_folder, ledger) = ledger().await;
    see(&ledger, "c1", 1).await;
    // A clock ten years ahead.
    let ahead = see(&ledger, "ahead", 3_650).await;
    begin(&ledger, "weekly", &ahead).await;
    let now = moment_on(3, 0);
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", Some(HEALTH), now)
            .await
            .unwrap(),
        None
    );
    see(&ledger, "c2", 2).await;
    see(&ledger, "c3", 3).await;
    let order = async |now| {
        let cycles = ledger.job_cycles("weekly", HEALTH, now).await.unwrap();
        cycles
            .into_iter()
            .map(|known| known.cycle.id)
            .collect::<Vec<_>>()
    };
    let newest = async |now| {
        ledger
            .newest_cycle(HEALTH, now)
            .await
            .unwrap()
            .unwrap()
            .cycle
            .id
    };
    for now in [now, moment_on(30, 0)] {
        assert_eq!(order(now).await, ["c1", "ahead", "c2", "c3"]);
        assert_eq!(newest(now).await, "c3");
    }
    assert_eq!(
        (order(late()).await, newest(late()).await),
        (
            vec!["c1", "c2", "c3", "ahead"]
                .into_iter()
                .map(str::to_owned)
                .collect(),
            "ahead".to_owned()
        )
    );
    // One that nobody told of, named while the clock was ahead, keeps nothing back.
    begin(&ledger, "daily", &cycle("by hand", 3_650)).await;
    assert_eq!(
        ledger
            .newest_begun_cycle("daily", Some(HEALTH), now)
            .await
            .unwrap(),
        None
    );
    assert!(
        !ledger
            .job_cycles("daily", HEALTH, now)
            .await
            .unwrap()
            .iter()
            .any(|known| known.cycle.id == "by hand")
    );
}

#[tokio::test]
async fn a_job_has_one_row_for_a_cycle() {
    let (_folder, ledger) = ledger().await;
    see(&ledger, "c1", 1).await;
    begin(&ledger, "weekly", &cycle("c1", 1)).await;
    begin(&ledger, "weekly", &cycle("c1", 1)).await;
    assert_eq!(
        fates(&ledger).await,
        [("c1".to_owned(), StoredFate::Interrupted)]
    );
    let twice = "INSERT INTO job_cycles (job, cycle, fate, decided_at) VALUES ('weekly', 'c1', 'begun', '')";
    let error = execute(&ledger, twice).await.unwrap_err();
    assert!(
        error.as_database_error().unwrap().is_unique_violation(),
        "{error}"
    );
    let unknown = "UPDATE job_cycles SET fate = 'forgotten'";
    assert!(
        execute(&ledger, unknown)
            .await
            .unwrap_err()
            .as_database_error()
            .unwrap()
            .is_check_violation()
    );
}

#[tokio::test]
async fn the_fate_of_a_cycle_follows_its_runs() {
    let (_folder, ledger) = ledger().await;
    let weekly = see(&ledger, "c1", 1).await;
    assert_eq!(fate_of(&ledger, "c1").await, StoredFate::New);
    let run = begin(&ledger, "weekly", &weekly).await;
    assert_eq!(fate_of(&ledger, "c1").await, StoredFate::Interrupted);

    ledger.stop_run(run, "unreachable").await.unwrap();
    let finished_at = ledger.run(run).await.unwrap().finished_at.unwrap();
    assert_eq!(
        fate_of(&ledger, "c1").await,
        StoredFate::Failing {
            attempts: 1,
            last: finished_at
        },
        "the process died before it could count the attempt"
    );
    ledger
        .attempt_failed("weekly", &weekly, moment_on(1, 2), "unreachable")
        .await
        .unwrap();
    let failing = StoredFate::Failing {
        attempts: 1,
        last: moment_on(1, 2),
    };
    assert_eq!(fate_of(&ledger, "c1").await, failing);

    ledger.take_up_run(run).await.unwrap();
    assert_eq!(fate_of(&ledger, "c1").await, StoredFate::Interrupted);
    ledger
        .interrupt_run(run, "it was asked to stop", true)
        .await
        .unwrap();
    assert_eq!(
        fate_of(&ledger, "c1").await,
        StoredFate::Interrupted,
        "to stop on request is no failure"
    );
    assert_eq!(
        ledger.unfinished_run("weekly").await.unwrap().unwrap().run,
        run
    );
    ledger
        .attempt_failed("weekly", &weekly, moment_on(1, 3), "unreachable")
        .await
        .unwrap();
    let failing = StoredFate::Failing {
        attempts: 2,
        last: moment_on(1, 3),
    };
    assert_eq!(
        fate_of(&ledger, "c1").await,
        failing,
        "one that failed before it went on waits like any other"
    );

    let run = begin(&ledger, "weekly", &weekly).await;
    ledger
        .finish_run(run, RunStatus::Guarded, None)
        .await
        .unwrap();
    assert_eq!(fate_of(&ledger, "c1").await, StoredFate::Guarded);
    let run = begin(&ledger, "weekly", &weekly).await;
    ledger
        .finish_run(run, RunStatus::Rejected, None)
        .await
        .unwrap();
    assert_eq!(fate_of(&ledger, "c1").await, StoredFate::Delivered);
    let run = begin(&ledger, "weekly", &weekly).await;
    ledger
        .finish_run(run, RunStatus::Failed, None)
        .await
        .unwrap();
    assert_eq!(
        fate_of(&ledger, "c1").await,
        StoredFate::Delivered,
        "what is delivered stays so"
    );
}

#[tokio::test]
async fn a_run_that_was_asked_to_stop_and_cannot_be_taken_up_did_not_fail_either() {
    let (_folder, ledger) = ledger().await;
    let run = begin(&ledger, "weekly", &see(&ledger, "c1", 1).await).await;
    ledger
        .interrupt_run(run, "it was asked to stop", false)
        .await
        .unwrap();
    assert_eq!(ledger.unfinished_run("weekly").await.unwrap(), None);
    assert_eq!(fate_of(&ledger, "c1").await, StoredFate::Interrupted);
    ledger
        .finish_run(run, RunStatus::Failed, Some("the job was changed"))
        .await
        .unwrap();
    assert!(matches!(
        fate_of(&ledger, "c1").await,
        StoredFate::Failing { attempts: 1, .. }
    ));
}

#[tokio::test]
async fn attempts_that_failed_before_a_run_began_count() {
    let (_folder, ledger) = ledger().await;
    let weekly = see(&ledger, "c1", 1).await;
    for (attempts, hours) in [(1, 2), (2, 3)] {
        ledger
            .attempt_failed("weekly", &weekly, moment_on(1, hours), "no such table")
            .await
            .unwrap();
        let failing = StoredFate::Failing {
            attempts,
            last: moment_on(1, hours),
        };
        assert_eq!(fate_of(&ledger, "c1").await, failing);
    }
    let given_up = PassedOver {
        cycle: "c1".to_owned(),
        why: PassedOverWhy::GivenUp { attempts: 2 },
    };
    ledger
        .pass_over("weekly", std::slice::from_ref(&given_up), moment_on(1, 4))
        .await
        .unwrap();
    assert_eq!(
        fate_of(&ledger, "c1").await,
        StoredFate::GivenUp { attempts: 2 }
    );
    let entry = PassedOverEntry {
        passed: given_up,
        decided_at: moment_on(1, 4),
        error: Some("no such table".to_owned()),
    };
    assert_eq!(passed_over(&ledger, "weekly", 10).await.unwrap(), [entry]);

    let run = begin(&ledger, "weekly", &weekly).await;
    assert_eq!(
        fate_of(&ledger, "c1").await,
        StoredFate::Interrupted,
        "somebody tries it by hand"
    );
    ledger
        .finish_run(run, RunStatus::Failed, Some("no such table"))
        .await
        .unwrap();
    ledger
        .attempt_failed("weekly", &weekly, moment_on(1, 5), "no such table")
        .await
        .unwrap();
    let failing = StoredFate::Failing {
        attempts: 1,
        last: moment_on(1, 5),
    };
    assert_eq!(
        fate_of(&ledger, "c1").await,
        failing,
        "and begins to count anew"
    );
}

#[tokio::test]
async fn cycles_passed_over_keep_the_reason() {
    let (_folder, ledger) = ledger().await;
    let whys = [
        (
            "c1",
            PassedOverWhy::Superseded {
                by: "c4".to_owned(),
            },
            StoredFate::Superseded,
        ),
        ("c2", PassedOverWhy::Expired, StoredFate::Expired),
        ("c3", PassedOverWhy::Missed, StoredFate::Missed),
    ];
    for (days, (id, why, fate)) in (1..).zip(whys) {
        see(&ledger, id, days).await;
        let passed = PassedOver {
            cycle: id.to_owned(),
            why,
        };
        ledger
            .pass_over("weekly", std::slice::from_ref(&passed), moment_on(days, 2))
            .await
            .unwrap();
        assert_eq!(fate_of(&ledger, id).await, fate);
        let latest = passed_over(&ledger, "weekly", 1).await.unwrap();
        assert_eq!(
            latest,
            [PassedOverEntry {
                passed,
                decided_at: moment_on(days, 2),
                error: None
            }]
        );
    }
    assert_eq!(passed_over(&ledger, "weekly", 10).await.unwrap().len(), 3);
    assert_eq!(passed_over(&ledger, "daily", 10).await.unwrap(), []);
    let run = begin(&ledger, "weekly", &cycle("c3", 3)).await;
    ledger
        .finish_run(run, RunStatus::Succeeded, None)
        .await
        .unwrap();
    assert_eq!(
        passed_over(&ledger, "weekly", 10).await.unwrap().len(),
        2,
        "one that was written back after all"
    );
}

#[tokio::test]
async fn a_job_is_told_of_cycles_from_the_newest_begun_on_and_of_older_ones_without_a_fate() {
    let (_folder, ledger) = ledger().await;
    for (id, days) in [("c1", 1), ("c2", 2), ("c3", 3), ("c4", 4)] {
        see(&ledger, id, days).await;
    }
    let expired = PassedOver {
        cycle: "c2".to_owned(),
        why: PassedOverWhy::Expired,
    };
    ledger
        .pass_over("weekly", &[expired], moment_on(3, 0))
        .await
        .unwrap();
    let run = begin(&ledger, "weekly", &cycle("c3", 3)).await;
    ledger
        .finish_run(run, RunStatus::Succeeded, None)
        .await
        .unwrap();
    let expected = [
        ("c1", StoredFate::New),
        ("c3", StoredFate::Delivered),
        ("c4", StoredFate::New),
    ];
    assert_eq!(
        fates(&ledger).await,
        expected.map(|(id, fate)| (id.to_owned(), fate))
    );
    assert_eq!(
        ledger
            .job_cycles("daily", HEALTH, late())
            .await
            .unwrap()
            .len(),
        4,
        "another job knows all of them as new"
    );
    assert_eq!(
        ledger
            .job_cycles("weekly", "churn", late())
            .await
            .unwrap()
            .len(),
        1,
        "another dashboard has none of them"
    );
}

#[tokio::test]
async fn of_very_many_cycles_a_job_is_told_of_the_newest() {
    let (_folder, ledger) = ledger().await;
    let cycles: Vec<Cycle> = (0..1_200)
        .map(|days| cycle(&format!("c{days}"), days))
        .collect();
    ledger
        .see_cycles(HEALTH, &cycles, moment_on(1_200, 0))
        .await
        .unwrap();
    let told = ledger.job_cycles("weekly", HEALTH, late()).await.unwrap();
    assert_eq!(
        (
            told.len(),
            told[0].cycle.id.as_str(),
            told[999].cycle.id.as_str()
        ),
        (1_000, "c200", "c1199")
    );
}

#[tokio::test]
async fn a_dashboards_oldest_cycles_are_forgotten_in_the_end() {
    let (_folder, ledger) = ledger().await;
    let kept = i64::from(CYCLES_KEPT);
    let cycles: Vec<Cycle> = (0..kept)
        .map(|days| cycle(&format!("c{days}"), days))
        .collect();
    ledger
        .see_cycles(HEALTH, &cycles, moment_on(kept, 0))
        .await
        .unwrap();
    ledger
        .see_cycle("churn", &cycle("c1", 0), moment_on(0, 1))
        .await
        .unwrap();
    let missed = |id: &str| PassedOver {
        cycle: id.to_owned(),
        why: PassedOverWhy::Missed,
    };
    ledger
        .pass_over("weekly", &[missed("c0"), missed("c1")], moment_on(kept, 0))
        .await
        .unwrap();
    see(&ledger, "newest", kept).await;
    assert_eq!(ledger.cycle_named(HEALTH, "c0").await.unwrap(), None);
    assert!(ledger.cycle_named(HEALTH, "c1").await.unwrap().is_some());
    assert!(ledger.cycle_named("churn", "c1").await.unwrap().is_some());
    let passed: Vec<PassedOverEntry> = passed_over(&ledger, "weekly", 10).await.unwrap();
    assert_eq!(
        passed
            .iter()
            .map(|entry| entry.passed.cycle.as_str())
            .collect::<Vec<_>>(),
        ["c1"]
    );
}

#[tokio::test]
async fn the_newest_begun_cycle_stands_before_older_ones_whatever_became_of_it() {
    let (_folder, ledger) = ledger().await;
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", Some(HEALTH), late())
            .await
            .unwrap(),
        None
    );
    let runs = [
        ("c2", 2, RunStatus::Rejected),
        ("c4", 4, RunStatus::Failed),
        ("c3", 3, RunStatus::Guarded),
    ];
    for (id, days, status) in runs {
        let run = begin(&ledger, "weekly", &cycle(id, days)).await;
        ledger.finish_run(run, status, None).await.unwrap();
    }
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", Some(HEALTH), late())
            .await
            .unwrap(),
        Some(cycle("c4", 4))
    );
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", None, late())
            .await
            .unwrap(),
        Some(cycle("c4", 4))
    );
    assert_eq!(
        ledger
            .newest_begun_cycle("daily", None, late())
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_cycle_that_only_a_run_knows_stands_among_those_of_the_dashboard() {
    let (_folder, ledger) = ledger().await;
    see(&ledger, "c1", 1).await;
    let run = begin(&ledger, "weekly", &cycle("by-hand", 2)).await;
    ledger
        .finish_run(run, RunStatus::Succeeded, None)
        .await
        .unwrap();
    see(&ledger, "c3", 3).await;
    let expected = [
        ("c1", StoredFate::New),
        ("by-hand", StoredFate::Delivered),
        ("c3", StoredFate::New),
    ];
    assert_eq!(
        fates(&ledger).await,
        expected.map(|(id, fate)| (id.to_owned(), fate))
    );
}

#[tokio::test]
async fn a_cycle_run_by_hand_before_it_was_noticed_counts_with_the_time_the_dashboard_tells() {
    let (_folder, ledger) = ledger().await;
    let run = begin(&ledger, "weekly", &cycle("c1", 5)).await;
    ledger
        .finish_run(run, RunStatus::Succeeded, None)
        .await
        .unwrap();
    see(&ledger, "c1", 1).await;
    see(&ledger, "c2", 2).await;
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", Some(HEALTH), late())
            .await
            .unwrap(),
        Some(cycle("c1", 1))
    );
    let expected = [("c1", StoredFate::Delivered), ("c2", StoredFate::New)];
    assert_eq!(
        fates(&ledger).await,
        expected.map(|(id, fate)| (id.to_owned(), fate))
    );
}

#[tokio::test]
async fn a_run_of_one_write_back_delivers_nothing_for_the_job_and_still_keeps_older_cycles_out() {
    let (_folder, ledger) = ledger().await;
    see(&ledger, "c1", 1).await;
    let weekly = see(&ledger, "c2", 2).await;
    let run = NewRun {
        job: "weekly",
        cycle: &weekly,
        started_at: moment_on(2, 2),
        write_backs: vec!["health_score"],
        versions: Vec::new(),
        of_records: false,
        job_digest: "digest health_score",
        write_back: Some("health_score"),
        retry_of: None,
        undo_of: None,
        plan: None,
    };
    let run = ledger.begin_run(&run).await.unwrap();
    ledger
        .finish_run(run, RunStatus::Succeeded, None)
        .await
        .unwrap();
    let expected = [("c1", StoredFate::New), ("c2", StoredFate::New)];
    assert_eq!(
        fates(&ledger).await,
        expected.map(|(id, fate)| (id.to_owned(), fate))
    );
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", Some(HEALTH), late())
            .await
            .unwrap(),
        Some(weekly)
    );
}

#[tokio::test]
async fn gates_that_opened_for_nothing_are_kept_newest_first_and_not_forever() {
    let (_folder, ledger) = ledger().await;
    for days in 0..i64::from(GATES_KEPT) + 5 {
        ledger
            .gate_opened_for_nothing("weekly", moment_on(days, 0), "no new cycle")
            .await
            .unwrap();
    }
    ledger
        .gate_opened_for_nothing("daily", moment_on(0, 0), "no new cycle")
        .await
        .unwrap();
    ledger
        .gate_opened_for_nothing("daily", moment_on(0, 0), "told twice")
        .await
        .unwrap();
    let gates = told_gates(&ledger, "weekly", GATES_KEPT * 2).await;
    assert_eq!(
        (gates.len(), gates[0].opened_at, gates[999].opened_at),
        (1_000, moment_on(1_004, 0), moment_on(5, 0))
    );
    let daily = GateEntry {
        opened_at: moment_on(0, 0),
        reason: "no new cycle".to_owned(),
    };
    assert_eq!(told_gates(&ledger, "daily", 10).await, [daily]);
}

#[tokio::test]
async fn what_a_dashboard_said_and_who_serves_is_kept_until_it_is_said_anew() {
    let (_folder, ledger) = ledger().await;
    ledger
        .watched(HEALTH, moment_on(0, 0), "cycle `c1`")
        .await
        .unwrap();
    ledger
        .watched("churn", moment_on(0, 0), "nothing yet")
        .await
        .unwrap();
    ledger
        .watched(HEALTH, moment_on(0, 1), "could not read marker file")
        .await
        .unwrap();
    let said: Vec<_> = ledger
        .watches()
        .await
        .unwrap()
        .into_iter()
        .map(|watch| (watch.dashboard, watch.saw))
        .collect();
    let expected = [
        ("churn", "nothing yet"),
        (HEALTH, "could not read marker file"),
    ];
    assert_eq!(
        said,
        expected.map(|(dashboard, saw)| (dashboard.to_owned(), saw.to_owned()))
    );

    assert_eq!(ledger.server().await.unwrap(), None);
    let server = Server {
        process: 4_711,
        host: None,
        since: moment_on(0, 0),
        watching_since: moment_on(0, 0),
        absent_since: None,
        version: "0.1.0".to_owned(),
    };
    ledger.serving(&server, moment_on(0, 0)).await.unwrap();
    let next = Server {
        process: 4_712,
        host: Some("crm-1".to_owned()),
        absent_since: Some(moment_on(0, 0)),
        ..server
    };
    ledger.serving(&next, moment_on(0, 1)).await.unwrap();
    assert_eq!(
        ledger.server().await.unwrap(),
        Some((next, moment_on(0, 1)))
    );
}

#[tokio::test]
async fn one_process_serves_at_a_time() {
    let (folder, ledger) = ledger().await;
    let other = Ledger::open(&folder.path().join(".writeback"))
        .await
        .unwrap();
    assert!(!ledger.is_served().unwrap() && !ledger.is_running("weekly").unwrap());
    let lock = ledger.lock_serving().unwrap();
    let error = other.lock_serving().unwrap_err();
    let process = Some(std::process::id());
    assert!(
        matches!(error, LedgerError::AlreadyServing { process: holder } if holder == process),
        "{error:?}"
    );
    assert!(error.hint().is_some());
    let _job = ledger.lock_job("%serve").expect("a job may have any name");
    assert!(other.is_served().unwrap() && other.is_running("%serve").unwrap());
    drop(lock);
    assert!(!other.is_served().unwrap());
    let _lock = other.lock_serving().unwrap();
}

#[tokio::test]
async fn a_ledger_of_the_previous_version_is_brought_up_to_date() {
    const PREVIOUS: i64 = 2;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    std::fs::File::create_new(&file).unwrap();
    let mut connection: SqliteConnection = connect(&file).await.unwrap();
    sqlx::migrate!("sql/ledger")
        .run_direct(Some(PREVIOUS), &mut connection, false)
        .await
        .unwrap();
    let rows = [
        ("weekly", "c1", "succeeded", "digest", None),
        ("weekly", "c2", "succeeded", "digest health_score", None),
        (
            "weekly",
            "c3",
            "failed",
            "digest",
            Some("it was asked to stop"),
        ),
        (
            "weekly",
            "c3",
            "failed",
            "digest",
            Some("it was asked to stop"),
        ),
        ("daily", "c1", "failed", "digest", Some("unreachable")),
    ];
    for (day, (job, id, status, digest, error)) in (1..).zip(rows) {
        let begun = moment_text(cycle(id, day).completed_at);
        let insert = sqlx::query(
            "INSERT INTO runs (job, cycle, cycle_completed_at, status, started_at, finished_at, error, job_digest)
             VALUES (?1, ?2, ?3, ?4, ?3, ?3, ?5, ?6)",
        );
        let insert = insert
            .bind(job)
            .bind(id)
            .bind(begun)
            .bind(status)
            .bind(error)
            .bind(digest);
        insert.execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();

    let ledger = Ledger::open(folder.path()).await.unwrap();
    for (id, days) in [("c1", 1), ("c2", 2), ("c3", 4)] {
        see(&ledger, id, days).await;
    }
    assert_eq!(ledger.runs(None, 10).await.unwrap().len(), rows.len());
    assert_eq!(
        fates(&ledger).await,
        [("c3".to_owned(), StoredFate::Interrupted)],
        "older ones are decided"
    );
    assert_eq!(
        ledger
            .newest_begun_cycle("weekly", Some(HEALTH), late())
            .await
            .unwrap(),
        Some(cycle("c3", 4))
    );
    let daily = ledger.job_cycles("daily", HEALTH, late()).await.unwrap();
    let attempts = 1;
    let failing = StoredFate::Failing {
        attempts,
        last: cycle("c1", 5).completed_at,
    };
    assert_eq!((daily[0].cycle.id.as_str(), daily[0].fate), ("c1", failing));
    execute(&ledger, "DELETE FROM runs WHERE cycle = 'c3'")
        .await
        .unwrap();
    assert_eq!(
        fate_of(&ledger, "c2").await,
        StoredFate::New,
        "only one of its write-backs was run"
    );
}

#[tokio::test]
async fn fates_that_no_version_writes_are_damage() {
    let (_folder, ledger) = ledger().await;
    begin(&ledger, "weekly", &see(&ledger, "c1", 1).await).await;
    execute(&ledger, "UPDATE runs SET status = 'failed'")
        .await
        .unwrap();
    assert!(matches!(
        ledger.job_cycles("weekly", HEALTH, late()).await,
        Err(LedgerError::Damaged { .. })
    ));
    execute(&ledger, "UPDATE job_cycles SET fate = 'superseded'")
        .await
        .unwrap();
    assert!(matches!(
        passed_over(&ledger, "weekly", 1).await,
        Err(LedgerError::Damaged { .. })
    ));
}
