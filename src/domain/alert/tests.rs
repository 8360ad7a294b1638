#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may")]

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

fn thresholds() -> Thresholds {
    Thresholds {
        rejected_max: Percent::parse("5 %").map(RecordsMax::Share),
        skipped_max: None,
        read_change_max: Percent::parse("50 %"),
        recent_runs: NonZeroU32::new(10).unwrap(),
    }
}

fn failure(attempts: u32, given_up: bool) -> Facts {
    let failure = Failure {
        cycle: "c1".to_owned(),
        run: Some(7),
        attempts,
        given_up,
        error: "could not reach `crm`".to_owned(),
    };
    Facts {
        history: History {
            failure: Some(failure),
            ..History::default()
        },
        ..Facts::default()
    }
}

fn delivered(run: i64, read: u64, rejected: u64, recent_reads: &[u64]) -> Facts {
    let tally = Tally {
        read,
        rejected,
        updated: read - rejected,
        ..Tally::default()
    };
    let write_back = DeliveredWriteBack {
        name: "scores".to_owned(),
        tally,
        recent_reads: recent_reads.to_vec(),
    };
    let run = DeliveredRun {
        run,
        cycle: "c1".to_owned(),
        write_backs: vec![write_back],
    };
    Facts {
        history: History {
            delivered: Some(run),
            ..History::default()
        },
        ..Facts::default()
    }
}

fn guarded(run: i64) -> History {
    let why = Some("3 of 4 records would change".to_owned());
    History {
        guarded: Some(GuardedRun {
            run,
            cycle: "c2".to_owned(),
            why,
        }),
        ..History::default()
    }
}

/// Kinds and messages of what is wrong.
fn told(facts: &Facts) -> Vec<(AlertKind, String)> {
    alerts_of("weekly", facts, &thresholds())
        .into_iter()
        .map(|alert| (alert.kind, alert.message))
        .collect()
}

fn kinds(facts: &Facts) -> Vec<AlertKind> {
    told(facts).into_iter().map(|(kind, _)| kind).collect()
}

/// What people would be told by and by: each step's changes as `+kind` and `-kind`.
fn story(steps: &[Facts]) -> Vec<String> {
    let mut standing: Vec<StandingAlert> = Vec::new();
    let mut story = Vec::new();
    for (second, facts) in (0..).zip(steps) {
        let ended_run = facts.history.ended_run();
        let mut words = Vec::new();
        for change in changes(
            "weekly",
            &standing,
            alerts_of("weekly", facts, &thresholds()),
            ended_run,
        ) {
            match change {
                AlertChange::Raised(Alert { kind, message, .. }) => {
                    words.push(format!("+{}", kind.name()));
                    let (job, since) = ("weekly".to_owned(), moment(second));
                    standing.push(StandingAlert {
                        job,
                        kind,
                        since,
                        message,
                        ended_run,
                    });
                }
                AlertChange::Recovered { standing: over, .. } => {
                    words.push(format!("-{}", over.kind.name()));
                    standing.retain(|was| *was != over);
                }
            }
        }
        story.push(words.join(" "));
    }
    story
}

#[test]
fn a_job_that_does_well_raises_nothing() {
    assert_eq!(told(&Facts::default()), []);
    assert_eq!(told(&delivered(1, 100, 5, &[100, 100, 100])), []);
    let silence = Some(Silence {
        lasting: HOUR,
        max: HOUR,
    });
    let facts = Facts {
        circumstances: Circumstances {
            silence,
            ..Circumstances::default()
        },
        ..Facts::default()
    };
    assert_eq!(told(&facts), []);
}

#[test]
fn each_alert_says_what_is_wrong() {
    assert_eq!(
        told(&Facts {
            circumstances: Circumstances {
                deadline_nears: true,
                ..Circumstances::default()
            },
            ..failure(1, false)
        }),
        [(
            AlertKind::Failing,
            "job `weekly` could not write cycle `c1` back: could not reach `crm`".to_owned()
        )]
    );
    assert_eq!(
        told(&failure(6, true)),
        [
            (
                AlertKind::Failing,
                "job `weekly` could not write cycle `c1` back after 6 attempts: could not reach `crm`".to_owned()
            ),
            (AlertKind::GivenUp, "job `weekly` gave cycle `c1` up after attempt 6: could not reach `crm`".to_owned()),
        ]
    );
    let circumstances = Circumstances {
        deadline_nears: false,
        silence: Some(Silence {
            lasting: HOUR * 30 + Duration::from_millis(5),
            max: HOUR * 24,
        }),
        broken_file: Some("schedules/weekly.toml:3:1: this is not TOML".to_owned()),
    };
    assert_eq!(
        told(&Facts { circumstances, history: History { expired: Some("c1".to_owned()), ..guarded(9) } }),
        [
            (
                AlertKind::Expired,
                "cycle `c1` of job `weekly` expired: no run of it finished before its deadline".to_owned()
            ),
            (
                AlertKind::Silent,
                "the dashboard of job `weekly` finished no cycle for 1day 6h, and 1day is the most".to_owned()
            ),
            (
                AlertKind::Guarded,
                "a guard stopped run 9 of job `weekly` before its first write: 3 of 4 records would change".to_owned()
            ),
            (
                AlertKind::BrokenFile,
                "the file of job `weekly` cannot be used as it stands: schedules/weekly.toml:3:1: this is not TOML"
                    .to_owned()
            ),
        ]
    );
    assert_eq!(
        told(&delivered(17, 1_000, 60, &[1_000; 3])),
        [(
            AlertKind::Rejected,
            "write-back `scores` of job `weekly` rejected 60 of 1 000 records, and 5 % is the most"
                .to_owned()
        )]
    );
    assert_eq!(
        told(&delivered(17, 10, 0, &[1_000, 900, 1_100])),
        [(
            AlertKind::ReadCount,
            "write-back `scores` of job `weekly` read 10 records, the median of its last 3 runs is 1 000, and a \
             change of 50 % is the most"
                .to_owned()
        )]
    );
}

#[test]
fn a_read_count_is_unusual_only_beyond_the_threshold_and_against_enough_runs() {
    for (read, recent, unusual) in [
        (50, &[100, 100, 100][..], false),
        (49, &[100, 100, 100], true),
        (150, &[100, 100, 100], false),
        (151, &[100, 100, 100], true),
        // The median is 101 and a half, so that 50 is more than half of it away and 51 is not.
        (50, &[1, 101, 102, 9_999], true),
        (51, &[1, 101, 102, 9_999], false),
        (0, &[0, 0, 0], false),
        (1, &[0, 0, 0], true),
        (1, &[100, 100], false),
        (1, &[], false),
        (u64::MAX, &[u64::MAX; 3], false),
        (1, &[u64::MAX; 3], true),
    ] {
        let is_unusual = kinds(&delivered(1, read, 0, recent)) == [AlertKind::ReadCount];
        assert_eq!(is_unusual, unusual, "{read} after {recent:?}");
    }
}

#[test]
fn without_a_threshold_nobody_is_told_of_counts() {
    let none = Thresholds {
        rejected_max: None,
        read_change_max: None,
        ..thresholds()
    };
    assert_eq!(
        alerts_of("weekly", &delivered(1, 100, 100, &[9_999; 5]), &none),
        []
    );
}

#[test]
fn a_failing_job_is_told_of_once_and_recovers_with_a_run_that_ends() {
    let before = delivered(6, 100, 0, &[]);
    let failing = |attempts, given_up| Facts {
        history: History {
            failure: failure(attempts, given_up).history.failure,
            ..before.history.clone()
        },
        ..Facts::default()
    };
    let story = story(&[
        before.clone(),
        failing(1, false),
        failing(2, false),
        failing(3, true),
        // A newer cycle took the place of the one that failed, and its run has not ended yet.
        before.clone(),
        failing(1, false),
        delivered(7, 100, 0, &[]),
        delivered(7, 100, 0, &[]),
        failure(1, false),
    ]);
    assert_eq!(
        story,
        [
            "",
            "",
            "+failing",
            "+given_up",
            "",
            "",
            "-failing -given_up",
            "",
            "",
        ],
        "one failed attempt may be a hiccup"
    );
}

#[test]
fn a_first_failure_is_told_of_when_the_deadline_nears() {
    let mut facts = failure(1, false);
    assert_eq!(alerts_of("weekly", &facts, &thresholds()), []);
    facts.circumstances.deadline_nears = true;
    let told = alerts_of("weekly", &facts, &thresholds());
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].kind, AlertKind::Failing);
}

#[test]
fn a_cycle_that_expires_after_failing_does_not_pass_for_a_recovery() {
    let expired = Facts {
        history: History {
            expired: Some("c1".to_owned()),
            ..History::default()
        },
        ..Facts::default()
    };
    let story = story(&[
        failure(2, false),
        expired,
        Facts::default(),
        delivered(1, 1, 0, &[]),
    ]);
    assert_eq!(story, ["+failing", "+expired", "", "-failing -expired"]);
}

#[test]
fn a_guard_and_counts_are_told_of_once_and_recover() {
    let stopped = Facts {
        history: guarded(8),
        ..Facts::default()
    };
    let story = story(&[
        stopped.clone(),
        stopped,
        delivered(9, 100, 50, &[]),
        delivered(10, 100, 60, &[]),
        delivered(11, 100, 0, &[]),
    ]);
    assert_eq!(
        story,
        ["+guarded", "", "-guarded +rejected", "", "-rejected"]
    );
}

#[test]
fn telling_is_tried_for_about_a_day_with_growing_pauses() {
    let pauses: Vec<u64> = (1..)
        .map_while(retell_pause)
        .map(|pause| pause.as_secs())
        .collect();
    assert_eq!(
        pauses[..10],
        [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600]
    );
    assert_eq!(pauses.len(), 31);
    let hours = pauses.iter().sum::<u64>() / 3_600;
    assert!((20..=26).contains(&hours), "{hours} hours");
    assert_eq!(retell_pause(u32::MAX), None);
}

#[test]
fn a_clock_that_was_set_back_delays_nothing() {
    assert_eq!(telling_instant(moment(60), moment(0)), moment(60));
    assert_eq!(telling_instant(moment(-60), moment(0)), moment(-60));
    assert_eq!(telling_instant(moment(3_660), moment(0)), moment(3_660));
    assert_eq!(telling_instant(moment(7_201), moment(0)), moment(0));
}

#[test]
fn a_run_that_skips_all_it_read_is_told_of_and_one_beyond_its_threshold() {
    let skipping = |skipped| {
        let mut facts = delivered(1, 100, 0, &[]);
        let run = facts.history.delivered.as_mut().unwrap();
        run.write_backs[0].tally.skipped = skipped;
        facts
    };
    let told = |skipped, thresholds: &Thresholds| {
        let alerts = alerts_of("weekly", &skipping(skipped), thresholds);
        alerts.iter().map(|alert| alert.kind).collect::<Vec<_>>()
    };
    assert_eq!(told(99, &thresholds()), []);
    assert_eq!(told(100, &thresholds()), [AlertKind::Skipped]);
    let few = Thresholds {
        skipped_max: Percent::parse("10 %").map(RecordsMax::Share),
        ..thresholds()
    };
    assert_eq!(told(10, &few), []);
    assert_eq!(told(11, &few), [AlertKind::Skipped]);
}
