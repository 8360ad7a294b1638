use super::*;

use chrono::TimeDelta;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// The time in all of these tests.
const NOW: i64 = 0;

/// An instant so many minutes from now.
fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("an instant") + TimeDelta::minutes(minutes)
}

/// Settles for half an hour, no gate, every cycle, no deadline, the latest, three attempts ten
/// minutes apart at first.
fn cadence() -> Cadence {
    Cadence {
        dashboard: "health".to_owned(),
        settle: 30 * MINUTE,
        gates: Gates::default(),
        every_cycles: NonZeroU32::MIN,
        deadline: None,
        max_silence: None,
        missed: Missed::Latest,
        retry: Retry {
            delay_first: 10 * MINUTE,
            delay_max: 60 * MINUTE,
            attempts_max: number(3),
        },
    }
}

fn gated(minutes: &[i64]) -> Cadence {
    Cadence {
        gates: Gates {
            lines: Vec::new(),
            at: minutes.iter().map(|m| at(*m)).collect(),
        },
        ..cadence()
    }
}

fn every(cycles: u32) -> Cadence {
    Cadence {
        every_cycles: number(cycles),
        ..cadence()
    }
}

fn in_turn(cadence: Cadence) -> Cadence {
    Cadence {
        missed: Missed::All,
        ..cadence
    }
}

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

/// A cycle that was completed and noticed so many minutes from now.
fn cycle(id: &str, minutes: i64, fate: Fate) -> KnownCycle {
    noticed_later(id, minutes, minutes, fate)
}

fn noticed_later(id: &str, completed: i64, noticed: i64, fate: Fate) -> KnownCycle {
    let cycle = Cycle {
        id: id.to_owned(),
        completed_at: at(completed),
    };
    let since = (at(NOW) - at(noticed))
        .to_std()
        .expect("noticed before now");
    KnownCycle {
        cycle,
        noticed_at: at(noticed),
        noticed: since,
        fate,
    }
}

fn failing(attempts: u32, minutes_since: u32) -> Fate {
    Fate::Failing {
        attempts,
        last: minutes_since * MINUTE,
    }
}

/// The verdict on these cycles, served for long, as one line: what is passed over, then what is
/// next.
fn verdict(cadence: &Cadence, cycles: &[KnownCycle]) -> String {
    told(&cadence.verdict(situation(cycles)))
}

fn situation(cycles: &[KnownCycle]) -> Situation<'_> {
    Situation {
        now: at(NOW),
        serving_since: at(-100_000),
        absent_since: None,
        cycles,
        at_work: false,
    }
}

fn told(verdict: &Verdict) -> String {
    let mut told = String::new();
    for PassedOver { cycle, why } in &verdict.passed_over {
        told += &format!("{cycle}: {why}; ");
    }
    told += &match &verdict.next {
        Next::Run(cycle) => format!("run {}", cycle.id),
        Next::Wait(wait) => match wait.until() {
            Some(until) => format!("{wait}, {} min", (until - at(NOW)).num_minutes()),
            None => wait.to_string(),
        },
    };
    told
}

#[test]
fn without_a_new_cycle_nothing_runs() {
    assert_eq!(verdict(&cadence(), &[]), "no new cycle");
    for fate in [
        Fate::Delivered,
        Fate::Superseded,
        Fate::Expired,
        Fate::Missed,
    ] {
        assert_eq!(
            verdict(&cadence(), &[cycle("a", -100, fate)]),
            "no new cycle",
            "{fate:?}"
        );
    }
    assert_eq!(
        verdict(&gated(&[0]), &[cycle("a", -100, Fate::Delivered)]),
        "no new cycle"
    );
}

#[test]
fn a_cycle_runs_once_it_has_settled() {
    assert_eq!(
        verdict(&cadence(), &[cycle("a", -29, Fate::New)]),
        "cycle `a` settles, 1 min"
    );
    assert_eq!(verdict(&cadence(), &[cycle("a", -30, Fate::New)]), "run a");
    assert_eq!(
        verdict(&cadence(), &[noticed_later("a", -500, -10, Fate::New)]),
        "cycle `a` settles, 20 min"
    );
    let at_once = Cadence {
        settle: Duration::ZERO,
        ..cadence()
    };
    assert_eq!(verdict(&at_once, &[cycle("a", 0, Fate::New)]), "run a");
}

#[test]
fn a_cycle_settles_on_the_clock_that_nobody_sets() {
    let set_forward = KnownCycle {
        noticed: 5 * MINUTE,
        ..cycle("a", -600, Fate::New)
    };
    assert_eq!(
        verdict(&cadence(), &[set_forward]),
        "cycle `a` settles, 25 min"
    );
    let set_back = KnownCycle {
        noticed: HOUR,
        ..cycle("a", 0, Fate::New)
    };
    assert_eq!(verdict(&cadence(), &[set_back]), "run a");
}

#[test]
fn a_settled_cycle_waits_for_the_next_gate() {
    let cycles = [cycle("a", -90, Fate::New)];
    assert_eq!(
        verdict(&gated(&[-61, 45, 99]), &cycles),
        "cycle `a` waits for the gate, 45 min"
    );
    assert_eq!(verdict(&gated(&[-60, 45]), &cycles), "run a");
    assert_eq!(verdict(&gated(&[0]), &cycles), "run a");
    assert_eq!(
        verdict(&gated(&[-61]), &cycles),
        "no gate opens any more for cycle `a`"
    );
    assert_eq!(
        verdict(&gated(&[-5, 5]), &[cycle("a", -20, Fate::New)]),
        "cycle `a` settles, 10 min"
    );
}

/// The gate opened while the clock said so and the cycle had settled, whatever the clocks did
/// before or after.
#[test]
fn a_gate_is_not_lost_to_a_clock_that_was_set_or_a_machine_that_slept() {
    let slept_since_noticing = KnownCycle {
        noticed: 40 * MINUTE,
        ..cycle("a", -900, Fate::New)
    };
    assert_eq!(
        verdict(&gated(&[-600, 600]), &[slept_since_noticing]),
        "run a"
    );
    let set_back_since = KnownCycle {
        noticed: 50 * MINUTE,
        ..cycle("a", 0, Fate::New)
    };
    assert_eq!(
        verdict(&gated(&[-1, 600]), std::slice::from_ref(&set_back_since)),
        "run a"
    );
    assert_eq!(
        verdict(&gated(&[-21, 600]), &[set_back_since]),
        "cycle `a` waits for the gate, 600 min"
    );
}

#[test]
fn the_newest_due_cycle_supersedes_older_ones() {
    let cycles = [
        cycle("a", -300, Fate::New),
        cycle("b", -200, failing(1, 0)),
        cycle("c", -100, Fate::New),
    ];
    assert_eq!(
        verdict(&cadence(), &cycles),
        "a: superseded by cycle `b`; b: superseded by cycle `c`; run c"
    );
    let cycles = ["a", "b", "c"].map(|id| cycle(id, -100, Fate::New));
    assert_eq!(
        verdict(&cadence(), &cycles),
        "a: superseded by cycle `c`; b: superseded by cycle `c`; run c"
    );
}

#[test]
fn a_cycle_that_still_settles_holds_back_no_older_one() {
    let cycles = [cycle("a", -40, Fate::New), cycle("b", -10, Fate::New)];
    assert_eq!(verdict(&cadence(), &cycles), "run a");
    let cycles = [
        cycle("a", -40, Fate::Delivered),
        cycle("b", -20, Fate::New),
        cycle("c", -10, Fate::New),
    ];
    assert_eq!(verdict(&cadence(), &cycles), "cycle `b` settles, 10 min");
}

#[test]
fn a_cycle_older_than_one_that_was_begun_never_runs() {
    for missed in [Missed::Latest, Missed::None, Missed::All] {
        let cadence = Cadence {
            missed,
            ..cadence()
        };
        let late = noticed_later("a", -300, -40, Fate::New);
        let told = verdict(&cadence, &[late.clone(), cycle("b", -200, Fate::Delivered)]);
        assert_eq!(
            told, "a: superseded by cycle `b`; no new cycle",
            "{missed:?}"
        );
        let told = verdict(&cadence, &[late.clone(), cycle("b", -200, Fate::Guarded)]);
        assert_eq!(
            told, "a: superseded by cycle `b`; cycle `b` waits for approval",
            "{missed:?}"
        );
        let told = verdict(
            &cadence,
            &[
                cycle("a", -300, failing(1, 50)),
                cycle("b", -200, Fate::Interrupted),
            ],
        );
        assert_eq!(told, "a: superseded by cycle `b`; run b", "{missed:?}");
    }
}

#[test]
fn a_cycle_older_than_a_superseded_one_never_runs() {
    let late = noticed_later("a", -300, -40, Fate::New);
    let cycles = [
        late,
        cycle("b", -200, Fate::Superseded),
        cycle("c", -1, Fate::New),
    ];
    assert_eq!(
        verdict(&cadence(), &cycles),
        "a: superseded by cycle `b`; cycle `c` settles, 29 min"
    );
}

#[test]
fn what_is_older_than_an_expired_cycle_has_expired() {
    for fate in [Fate::New, failing(1, 50), Fate::Interrupted] {
        let cycles = [
            noticed_later("a", -300, -40, fate),
            cycle("b", -200, Fate::Expired),
        ];
        assert_eq!(
            verdict(&cadence(), &cycles),
            "a: its deadline went by; no new cycle",
            "{fate:?}"
        );
    }
}

#[test]
fn a_cycle_expires_once_it_is_older_than_the_deadline() {
    let cadence = Cadence {
        deadline: Some(3 * HOUR),
        ..cadence()
    };
    assert_eq!(verdict(&cadence, &[cycle("a", -180, Fate::New)]), "run a");
    for fate in [Fate::New, failing(1, 60), failing(3, 60), Fate::Interrupted] {
        assert_eq!(
            verdict(&cadence, &[cycle("a", -181, fate)]),
            "a: its deadline went by; no new cycle",
            "{fate:?}"
        );
    }
    assert_eq!(
        verdict(&cadence, &[cycle("a", -181, Fate::Guarded)]),
        "cycle `a` waits for approval"
    );
    let noticed_late = noticed_later("a", -181, -60, Fate::New);
    assert_eq!(
        verdict(&cadence, &[noticed_late]),
        "a: its deadline went by; no new cycle"
    );
    let set_back = KnownCycle {
        noticed: 181 * MINUTE,
        ..cycle("a", 0, Fate::New)
    };
    assert_eq!(
        verdict(&cadence, &[set_back]),
        "a: its deadline went by; no new cycle"
    );
    let from_the_future = KnownCycle {
        noticed: HOUR,
        ..noticed_later("a", 500, -60, Fate::New)
    };
    assert_eq!(verdict(&cadence, &[from_the_future]), "run a");
}

#[test]
fn while_a_run_is_at_work_only_new_cycles_expire() {
    let cadence = Cadence {
        deadline: Some(3 * HOUR),
        ..cadence()
    };
    let cycles = [
        noticed_later("a", -170, -10, Fate::New),
        cycle("b", -200, Fate::Interrupted),
        cycle("c", -190, Fate::New),
        cycle("d", -60, Fate::New),
    ];
    let at_work = Situation {
        at_work: true,
        ..situation(&cycles)
    };
    assert_eq!(
        told(&cadence.verdict(at_work)),
        "a: its deadline went by; c: its deadline went by; its run is at work"
    );
    assert_eq!(cadence.verdict(at_work).next, Next::Wait(Wait::Run));
}

#[test]
fn what_was_due_before_anybody_served_is_missed_only_if_asked_for() {
    let cycles = [
        cycle("a", -300, Fate::New),
        cycle("b", -200, Fate::New),
        cycle("c", -100, Fate::New),
    ];
    let served_since = |missed, minutes| {
        let cadence = Cadence {
            missed,
            ..cadence()
        };
        told(&cadence.verdict(Situation {
            serving_since: at(minutes),
            ..situation(&cycles)
        }))
    };
    let missed = "it was due while nobody served";
    assert_eq!(
        served_since(Missed::None, -69),
        format!("a: {missed}; b: {missed}; c: {missed}; no new cycle"),
        "c was due at -70"
    );
    assert_eq!(
        served_since(Missed::None, -70),
        format!("a: {missed}; b: {missed}; run c")
    );
    assert_eq!(
        served_since(Missed::Latest, NOW),
        "a: superseded by cycle `c`; b: superseded by cycle `c`; run c"
    );
    assert_eq!(served_since(Missed::All, NOW), "run a");
}

#[test]
fn a_gate_that_opened_while_nobody_served_is_missed() {
    let cadence = Cadence {
        missed: Missed::None,
        ..gated(&[-50, 50])
    };
    let since = |minutes| Situation {
        serving_since: at(minutes),
        ..situation(&[])
    };
    let cycles = [cycle("a", -100, Fate::New), cycle("b", -79, Fate::New)];
    let told_since = |minutes| {
        told(&cadence.verdict(Situation {
            cycles: &cycles,
            ..since(minutes)
        }))
    };
    assert_eq!(told_since(-50), "run a");
    assert_eq!(
        told_since(-49),
        "a: it was due while nobody served; cycle `b` waits for the gate, 50 min"
    );
}

#[test]
fn a_gate_that_opened_while_nobody_served_is_made_up_for() {
    let cadence = gated(&[-50, 50]);
    let cycles = [
        cycle("a", -300, Fate::Delivered),
        noticed_later("b", -100, -30, Fate::New),
    ];
    let served_since = |absent: Option<i64>, minutes| {
        told(&cadence.verdict(Situation {
            serving_since: at(minutes),
            absent_since: absent.map(at),
            ..situation(&cycles)
        }))
    };
    let waits = "cycle `b` waits for the gate, 50 min";
    assert_eq!(
        served_since(Some(-60), -40),
        "run b",
        "the gate opened while nobody served"
    );
    assert_eq!(
        served_since(Some(-45), -40),
        waits,
        "it opened while somebody served, before the cycle was noticed"
    );
    assert_eq!(served_since(None, -40), waits, "nobody ever served before");
    assert_eq!(
        served_since(None, -60),
        waits,
        "it opened before the cycle was noticed"
    );
}

#[test]
fn a_cycle_noticed_long_after_it_completed_waits_for_the_next_gate() {
    let week = 7 * 24 * 60;
    // A gate a week ago, and the next in a day; the cycle completed just before the former.
    let cadence = gated(&[24 * 60 - week, 24 * 60]);
    let cycles = [noticed_later("a", 24 * 60 - week - 60, -90, Fate::New)];
    let waits = "cycle `a` waits for the gate, 1440 min";
    for (absent, since) in [(None, -95), (None, -week), (Some(-100), -95), (None, NOW)] {
        let verdict = cadence.verdict(Situation {
            serving_since: at(since),
            absent_since: absent.map(at),
            ..situation(&cycles)
        });
        assert_eq!(told(&verdict), waits, "served since {since}");
    }
}

#[test]
fn a_gate_behind_which_a_noticed_cycle_waited_is_made_up_for_when_nobody_served() {
    let cadence = gated(&[-50, 50]);
    let cycles = [cycle("a", -100, Fate::New)];
    for missed in [Missed::Latest, Missed::All, Missed::None] {
        let cadence = Cadence {
            missed,
            ..cadence.clone()
        };
        let verdict = told(&cadence.verdict(Situation {
            serving_since: at(-1),
            ..situation(&cycles)
        }));
        let expected = match missed {
            Missed::Latest | Missed::All => "run a",
            Missed::None => "a: it was due while nobody served; no new cycle",
        };
        assert_eq!(verdict, expected);
    }
}

#[test]
fn a_run_that_was_begun_is_not_missed() {
    let cadence = Cadence {
        missed: Missed::None,
        ..cadence()
    };
    let cycles = [cycle("a", -300, Fate::Interrupted)];
    assert_eq!(
        told(&cadence.verdict(Situation {
            serving_since: at(-1),
            ..situation(&cycles)
        })),
        "run a"
    );
}

#[test]
fn in_turn_each_cycle_runs_and_none_is_superseded() {
    let cadence = in_turn(cadence());
    let after = |first| {
        [
            cycle("a", -300, first),
            cycle("b", -200, Fate::New),
            cycle("c", -100, Fate::New),
        ]
    };
    assert_eq!(verdict(&cadence, &after(Fate::New)), "run a");
    assert_eq!(verdict(&cadence, &after(Fate::Delivered)), "run b");
    assert_eq!(verdict(&cadence, &after(Fate::Interrupted)), "run a");
    assert_eq!(
        verdict(&cadence, &after(failing(1, 4))),
        "cycle `a` failed once and waits for the next attempt, 6 min"
    );
    assert_eq!(
        verdict(&cadence, &after(failing(3, 0))),
        "a: it failed 3 times and was given up; run b"
    );
    assert_eq!(verdict(&cadence, &after(Fate::Guarded)), "run b");
}

#[test]
fn in_turn_a_cycle_noticed_late_is_waited_for_unless_no_gate_opens_for_it() {
    let cycles = [
        noticed_later("a", -200, -40, Fate::New),
        cycle("b", -100, Fate::New),
    ];
    assert_eq!(
        verdict(&in_turn(gated(&[-50, 60])), &cycles),
        "cycle `a` waits for the gate, 60 min"
    );
    assert_eq!(
        verdict(&in_turn(gated(&[-50])), &cycles),
        "a: superseded by cycle `b`; run b"
    );
    assert_eq!(
        verdict(&in_turn(gated(&[-90])), &cycles),
        "no gate opens any more for cycle `b`"
    );
}

#[test]
fn of_so_many_cycles_one_runs() {
    let three = every(3);
    assert_eq!(
        verdict(&three, &[cycle("a", -300, Fate::New)]),
        "run a",
        "the very first waits for no others"
    );
    let mut cycles = vec![
        cycle("a", -300, Fate::Delivered),
        cycle("b", -200, Fate::New),
    ];
    assert_eq!(verdict(&three, &cycles), "1 of 3 new cycles");
    cycles.push(cycle("c", -190, Fate::Expired));
    cycles.push(cycle("d", -10, Fate::New));
    assert_eq!(
        verdict(&three, &cycles),
        "b: its deadline went by; cycle `d` settles, 20 min",
        "cycles passed over count as well"
    );
    let cycles = ["a", "b", "c", "d", "e", "f", "g"].map(|id| {
        let minutes = -300 + 10 * id.bytes().map(i64::from).sum::<i64>();
        cycle(
            id,
            minutes - 1_000,
            if id == "a" {
                Fate::Delivered
            } else {
                Fate::New
            },
        )
    });
    assert!(verdict(&three, &cycles).ends_with("f: superseded by cycle `g`; run g"));
    assert_eq!(
        verdict(&in_turn(three), &cycles),
        "b: superseded by cycle `d`; c: superseded by cycle `d`; run d"
    );
}

#[test]
fn an_unfinished_run_expires_and_no_longer_counts() {
    let cadence = Cadence {
        deadline: Some(3 * HOUR),
        ..every(3)
    };
    let cycles = [
        cycle("a", -900, Fate::Delivered),
        cycle("b", -800, Fate::Superseded),
        cycle("c", -500, failing(2, 1)),
        cycle("d", -100, Fate::New),
    ];
    assert_eq!(verdict(&cadence, &cycles), "c: its deadline went by; run d");
}

#[test]
fn a_failed_run_is_tried_again_after_pauses_that_double() {
    let cadence = Cadence {
        retry: Retry {
            attempts_max: number(9),
            ..cadence().retry
        },
        ..cadence()
    };
    for (attempts, pause) in [(1, 10), (2, 20), (3, 40), (4, 60), (8, 60)] {
        let told = verdict(&cadence, &[cycle("a", -900, failing(attempts, pause - 1))]);
        assert!(
            told.ends_with("waits for the next attempt, 1 min"),
            "{attempts}: {told}"
        );
        assert_eq!(
            verdict(&cadence, &[cycle("a", -900, failing(attempts, pause))]),
            "run a"
        );
    }
}

#[test]
fn pauses_have_a_bound_however_many_attempts_there_were() {
    let retry = Retry {
        delay_first: MINUTE,
        delay_max: Duration::MAX,
        attempts_max: NonZeroU32::MAX,
    };
    let cadence = Cadence { retry, ..cadence() };
    for attempts in [0, 1, 31, 32, 33, 34, 1_000, u32::MAX - 1] {
        let told = verdict(&cadence, &[cycle("a", -900, failing(attempts, 0))]);
        assert!(told.contains("waits for the next attempt"), "{told}");
    }
}

#[test]
fn a_run_that_failed_too_often_is_given_up() {
    assert_eq!(
        verdict(&cadence(), &[cycle("a", -900, failing(3, 0))]),
        "a: it failed 3 times and was given up; no new cycle since `a` failed 3 times and was given up"
    );
    let given_up = Fate::GivenUp { attempts: 1 };
    assert_eq!(
        verdict(&cadence(), &[cycle("a", -900, given_up)]),
        "no new cycle since `a` failed once and was given up"
    );
    assert_eq!(
        verdict(
            &cadence(),
            &[cycle("a", -900, given_up), cycle("b", -90, Fate::New)]
        ),
        "run b"
    );
    assert_eq!(
        verdict(
            &every(3),
            &[cycle("a", -900, given_up), cycle("b", -90, Fate::New)]
        ),
        "1 of 3 new cycles"
    );
}

#[test]
fn a_newer_due_cycle_takes_the_place_of_one_that_fails() {
    let with_newer = |failing, minutes| {
        verdict(
            &cadence(),
            &[cycle("a", -900, failing), cycle("b", minutes, Fate::New)],
        )
    };
    assert_eq!(
        with_newer(failing(3, 0), -40),
        "a: superseded by cycle `b`; run b"
    );
    assert_eq!(
        with_newer(failing(1, 5), -22),
        "cycle `a` failed once and waits for the next attempt, 5 min"
    );
    assert_eq!(with_newer(failing(1, 5), -27), "cycle `b` settles, 3 min");
    assert_eq!(with_newer(failing(1, 10), -27), "run a");
    assert_eq!(with_newer(Fate::Interrupted, -27), "run a");
    assert_eq!(
        with_newer(Fate::Interrupted, -40),
        "a: superseded by cycle `b`; run b"
    );
}

#[test]
fn a_guarded_cycle_waits_for_a_person_and_holds_back_no_newer_one() {
    let guarded = cycle("a", -900, Fate::Guarded);
    assert_eq!(
        verdict(&cadence(), std::slice::from_ref(&guarded)),
        "cycle `a` waits for approval"
    );
    assert_eq!(
        verdict(&cadence(), &[guarded.clone(), cycle("b", -40, Fate::New)]),
        "run b"
    );
    assert_eq!(
        verdict(&every(3), &[guarded, cycle("b", -40, Fate::New)]),
        "cycle `a` waits for approval"
    );
}

#[test]
fn instants_at_the_ends_of_time_have_a_verdict() {
    let instants = [DateTime::<Utc>::MIN_UTC, at(NOW), DateTime::<Utc>::MAX_UTC];
    let durations = [Duration::ZERO, Duration::MAX];
    for (now, completed_at) in instants
        .iter()
        .flat_map(|now| instants.map(|completed_at| (*now, completed_at)))
    {
        for (settle, noticed) in durations
            .iter()
            .flat_map(|settle| durations.map(|noticed| (*settle, noticed)))
        {
            for missed in [Missed::Latest, Missed::None, Missed::All] {
                let cadence = Cadence {
                    settle,
                    missed,
                    deadline: Some(Duration::MAX),
                    ..gated(&[0])
                };
                let cycle = Cycle {
                    id: "a".to_owned(),
                    completed_at,
                };
                let known = KnownCycle {
                    cycle,
                    noticed_at: now,
                    noticed,
                    fate: Fate::New,
                };
                let cycles = [
                    known.clone(),
                    KnownCycle {
                        fate: failing(1, 0),
                        ..known.clone()
                    },
                    known,
                ];
                let verdict = cadence.verdict(Situation {
                    now,
                    serving_since: now,
                    ..situation(&cycles)
                });
                assert_eq!(
                    verdict,
                    cadence.verdict(Situation {
                        now,
                        serving_since: now,
                        ..situation(&cycles)
                    })
                );
            }
        }
    }
}
