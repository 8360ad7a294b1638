//! The network between the program and a server: cut, reset, silent or slow at any point of a
//! batch, and above all while a commit is under way. The run tries again by itself, and what it
//! leaves and counts is what a clean run would.

use std::time::{Duration, Instant};

use crate::harness::{
    AGAIN, Act, At, Edge, FIELDS, Fault, PLANNER, Proxy, Ran, Running, Said, Server, Side, WRITER,
    Workspace,
};

/// Faults of each kind that are tried on each side of a conversation.
const TRIALS_PER_SIDE: usize = 40;

/// Projects that share the points of a side, since a run mostly waits for the disk.
const LANES: usize = 2;

/// Limits that let a silence be noticed soon.
const SHORT_LIMITS: &str = "connect_timeout = '2s'\nstatement_timeout = '2s'\nlock_timeout = '2s'";

/// When set, every point of a conversation is tried.
const THOROUGH: &str = "WRITEBACK_TEST_THOROUGH";

const BEFORE: &str = "id,score,note,phone\nA1,1,old,\nA2,1,,+1\nA3,2,new,+3\nZ9,7,,+9\n";
const SOURCE: &str = "id,score,note\nA1,2,new\nA2,2,\nA3,2,new\nN1,2,new\n";

/// One match mode and what a clean run does with [`SOURCE`].
struct Case {
    mode: &'static str,
    summary: &'static str,
    after: &'static str,
}

const UPSERT: Case = Case {
    mode: "upsert",
    summary: "4 read = 1 inserted + 2 updated + 1 unchanged",
    after: "id,score,note,phone\nA1,2,new,\nA2,2,,+1\nA3,2,new,+3\nN1,2,new,unknown\nZ9,7,,+9\n",
};

const CASES: [Case; 3] = [
    UPSERT,
    Case {
        mode: "update_only",
        summary: "4 read = 2 updated + 1 unchanged + 1 skipped",
        after: "id,score,note,phone\nA1,2,new,\nA2,2,,+1\nA3,2,new,+3\nZ9,7,,+9\n",
    },
    Case {
        mode: "create_only",
        summary: "4 read = 1 inserted + 3 skipped",
        after: "id,score,note,phone\nA1,1,old,\nA2,1,,+1\nA3,2,new,+3\nN1,2,new,unknown\nZ9,7,,+9\n",
    },
];

/// A project whose destination is reached through a proxy only.
struct Wire {
    place: Workspace,
    proxy: Proxy,
}

impl Wire {
    /// One writer, one batch, and these further settings of the connection.
    fn on(server: Server, case: &Case, limits: &str) -> Self {
        let place = Workspace::accounts(server, BEFORE, SOURCE);
        let crm = format!(
            "{}\nwriters = 1\n{limits}\n",
            place.connection("crm").trim_end()
        );
        place.file("writeback.toml", &(place.connection("files") + &crm));
        let proxy = Proxy::before(&place);
        place.job(&format!("matching = '{}'", case.mode), FIELDS);
        Self { place, proxy }
    }

    /// Puts the table back and runs into these faults.
    fn run_into(&self, faults: Vec<Fault>) -> Ran {
        let rows = "('A1', 1, 'old', NULL), ('A2', 1, NULL, '+1'), ('A3', 2, 'new', '+3'), ('Z9', 7, NULL, '+9')";
        self.place.execute("DELETE FROM accounts");
        self.place.execute(&format!(
            "INSERT INTO accounts (id, score, note, phone) VALUES {rows}"
        ));
        self.proxy.arm(faults);
        self.place.run()
    }

    /// What is said on the connection that writes when nothing goes wrong.
    fn clean_conversation(&self, case: &Case) -> Vec<Said> {
        let clean = self.run_into(Vec::new());
        self.expect(&clean, case, "a clean run");
        let said = self.proxy.said();
        said.into_iter()
            .filter(|said| said.connection == WRITER)
            .collect()
    }

    fn expect(&self, run: &Ran, case: &Case, what: &str) {
        let server = self.place.server;
        assert_eq!(run.summary(), case.summary, "{what} on {server}: {run}");
        assert_eq!(
            self.place.rows("accounts"),
            case.after,
            "{what} on {server}: {run}"
        );
    }
}

fn on_writer(at: At, act: Act) -> Fault {
    Fault {
        connection: Some(WRITER),
        at,
        act,
    }
}

/// The points around every message of a side, or an even choice of them.
fn points(conversation: &[Said], side: Side) -> Vec<At> {
    let messages = conversation.iter().filter(|said| said.side == side).count();
    let all: Vec<At> = (0..messages)
        .flat_map(|number| Edge::ALL.map(|edge| At::Message { side, number, edge }))
        // Nothing is said after the last message.
        .filter(|at| !matches!(at, At::Message { number, edge: Edge::Beyond, .. } if number + 1 == messages))
        .collect();
    if std::env::var_os(THOROUGH).is_some() || all.len() <= TRIALS_PER_SIDE {
        return all;
    }
    let even = |trial: usize| all[trial * (all.len() - 1) / (TRIALS_PER_SIDE - 1)].clone();
    (0..TRIALS_PER_SIDE).map(even).collect()
}

/// Runs into a fault at every point of a batch's conversation, on both servers at once.
fn try_every_point(side: Side, act: Act) {
    std::thread::scope(|scope| {
        for server in Server::WITH_USERS {
            for lane in 0..LANES {
                scope.spawn(move || try_points(server, side, act, lane));
            }
        }
    });
}

/// One lane's share of the points.
fn try_points(server: Server, side: Side, act: Act, lane: usize) {
    let wire = Wire::on(server, &UPSERT, "");
    let points = points(&wire.clean_conversation(&UPSERT), side);
    assert!(
        points.len() >= TRIALS_PER_SIDE,
        "only {} points on {server}",
        points.len()
    );
    for at in points.into_iter().skip(lane).step_by(LANES) {
        let what = format!("{act:?} at {at:?}");
        let run = wire.run_into(vec![on_writer(at, act)]);
        assert_eq!(wire.proxy.met(), 1, "{what} on {server} happens: {run}");
        wire.expect(&run, &UPSERT, &what);
    }
}

#[test]
fn a_connection_cut_at_any_point_of_what_the_program_says_leaves_what_a_clean_run_leaves() {
    try_every_point(Side::Program, Act::Cut);
}

#[test]
fn a_connection_reset_at_any_point_of_what_the_server_says_leaves_what_a_clean_run_leaves() {
    try_every_point(Side::Server, Act::Reset);
}

/// What happens to a commit of which the program never hears.
const LOST_COMMITS: [(&str, At, Act); 4] = [
    (
        "the answer to COMMIT is swallowed",
        At::Answered {
            words: "COMMIT",
            nth: 0,
        },
        Act::Cut,
    ),
    (
        "the answer to COMMIT is swallowed by a reset",
        At::Answered {
            words: "COMMIT",
            nth: 0,
        },
        Act::Reset,
    ),
    (
        "COMMIT never arrives",
        At::Asked {
            words: "COMMIT",
            nth: 0,
        },
        Act::Cut,
    ),
    (
        "the answer to COMMIT never comes",
        At::Answered {
            words: "COMMIT",
            nth: 0,
        },
        Act::Silence,
    ),
];

#[test]
fn a_commit_whose_answer_is_lost_counts_once_and_is_written_once() {
    std::thread::scope(|scope| {
        for server in Server::WITH_USERS {
            for case in &CASES {
                scope.spawn(move || lose_commits(server, case));
            }
        }
    });
}

fn lose_commits(server: Server, case: &Case) {
    let wire = Wire::on(server, case, SHORT_LIMITS);
    for (what, at, act) in LOST_COMMITS {
        let run = wire.run_into(vec![on_writer(at, act)]);
        assert_eq!(wire.proxy.met(), 1, "{what} on {server}: {run}");
        assert!(run.stderr.contains(AGAIN), "{what} on {server}: {run}");
        wire.expect(&run, case, what);
        let committed = wire
            .proxy
            .said()
            .iter()
            .filter(|said| said.ends_with("COMMIT"))
            .count();
        assert!(
            committed >= 2,
            "{what} on {server}: the batch is sent again"
        );
    }
}

/// Longest time that a run with [`SHORT_LIMITS`] may take when a connection falls silent once: the
/// limits, the grace for an answer, and much for a busy machine.
const SILENCE_ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Points of each side of a conversation at which it falls silent; each costs a dozen seconds of
/// waiting.
const SILENCES_PER_SIDE: usize = 4;

#[test]
fn a_connection_that_falls_silent_is_given_up_within_its_limits_and_the_run_goes_on() {
    std::thread::scope(|scope| {
        for server in Server::WITH_USERS {
            for side in [Side::Program, Side::Server] {
                for silence in 0..SILENCES_PER_SIDE {
                    scope.spawn(move || fall_silent(server, side, silence));
                }
            }
        }
    });
}

fn fall_silent(server: Server, side: Side, silence: usize) {
    let wire = Wire::on(server, &UPSERT, SHORT_LIMITS);
    let conversation = wire.clean_conversation(&UPSERT);
    let said = conversation
        .iter()
        .filter(|said| said.side == side)
        .enumerate();
    // Where the server has what it needs to answer: it waits without end for the rest of a question
    // it began to hear. The goodbye is the program's last message: nobody waits for what follows
    // it.
    let complete = said.filter(|(_, said)| {
        server == Server::MariaDb || !said.text.starts_with(['P', 'B', 'D', 'E', 'C', 'X'])
    });
    let numbers: Vec<usize> = complete.map(|(number, _)| number).collect();
    let number = numbers[silence * (numbers.len() - 1) / (SILENCES_PER_SIDE - 1)];
    let at = At::Message {
        side,
        number,
        edge: Edge::Whole,
    };
    let begun = Instant::now();
    let run = wire.run_into(vec![on_writer(at.clone(), Act::Silence)]);
    let elapsed = begun.elapsed();
    let what = format!("silence at {at:?}");
    wire.expect(&run, &UPSERT, &what);
    assert!(
        elapsed < SILENCE_ENDS_WITHIN,
        "{what} on {server} lasted {elapsed:?}: {run}"
    );
}

#[test]
fn a_network_that_stays_silent_ends_a_run_that_says_what_it_waited_for_and_the_next_one_finishes_it()
 {
    std::thread::scope(|scope| {
        for server in Server::WITH_USERS {
            scope.spawn(move || stay_silent(server));
        }
    });
}

fn stay_silent(server: Server) {
    let wire = Wire::on(
        server,
        &UPSERT,
        &format!("{SHORT_LIMITS}\nattempts_max = 2"),
    );
    let commit = At::Answered {
        words: "COMMIT",
        nth: 0,
    };
    let mut faults = vec![Fault {
        connection: None,
        at: commit,
        act: Act::Silence,
    }];
    if server == Server::Postgres {
        // It tells that the first commit came about, and there is no second one.
        let again = At::Answered {
            words: "BEGIN ISOLATION LEVEL READ COMMITTED",
            nth: 0,
        };
        faults.push(Fault {
            connection: Some(WRITER + 1),
            at: again,
            act: Act::Silence,
        });
    }
    let run = wire.run_into(faults);
    assert_eq!((run.code, wire.proxy.met()), (2, 2), "on {server}: {run}");
    let waited = if server == Server::Postgres {
        "12s"
    } else {
        "14s"
    };
    let told = format!("no answer within {waited} while committing");
    assert!(run.stderr.contains(&told), "on {server}: {run}");
    wire.proxy.arm(Vec::new());
    wire.expect(&wire.place.run(), &UPSERT, "the next run");
}

#[test]
fn a_network_that_hands_over_one_byte_at_a_time_only_delays_a_run() {
    std::thread::scope(|scope| {
        for server in Server::WITH_USERS {
            scope.spawn(move || {
                let wire = Wire::on(server, &UPSERT, "");
                wire.proxy.drip();
                wire.expect(&wire.place.run(), &UPSERT, "a drip");
            });
        }
    });
}

/// Points of what the server says to a run that is planned at which it is cut.
const PLANNING_CUTS: usize = 5;

#[test]
fn a_connection_cut_while_a_run_is_planned_fails_it_before_anything_is_written() {
    for server in Server::WITH_USERS {
        let wire = Wire::on(server, &UPSERT, "");
        wire.run_into(Vec::new());
        let said = wire.proxy.said();
        let messages = said
            .iter()
            .filter(|said| said.connection == PLANNER && said.side == Side::Server)
            .count();
        for cut in 0..PLANNING_CUTS {
            let number = cut * (messages - 1) / (PLANNING_CUTS - 1);
            let at = At::Message {
                side: Side::Server,
                number,
                edge: Edge::Short,
            };
            let run = wire.run_into(vec![Fault {
                connection: Some(PLANNER),
                at,
                act: Act::Cut,
            }]);
            assert_eq!((run.code, wire.proxy.met()), (2, 1), "on {server}: {run}");
            assert!(
                run.stderr.contains("could not reach `crm`"),
                "on {server}: {run}"
            );
            assert_eq!(wire.place.rows("accounts"), BEFORE, "on {server}: {run}");
        }
        wire.proxy.arm(Vec::new());
        wire.expect(&wire.place.run(), &UPSERT, "the next run");
    }
}

#[test]
fn a_record_that_somebody_else_creates_while_a_commit_is_in_doubt_is_left_as_it_is() {
    for server in Server::WITH_USERS {
        let case = &CASES[2];
        assert_eq!(case.mode, "create_only");
        let wire = Wire::on(server, case, "");
        let lost = on_writer(
            At::Asked {
                words: "COMMIT",
                nth: 0,
            },
            Act::Cut,
        );
        let again = At::Message {
            side: Side::Program,
            number: 0,
            edge: Edge::Short,
        };
        let retried = Fault {
            connection: Some(WRITER + 1),
            at: again,
            act: Act::Hold,
        };
        wire.proxy.arm(vec![lost, retried]);
        let run = Running::start(&wire.place);
        wire.proxy.wait_until_met(2);
        wire.place
            .execute("INSERT INTO accounts (id, score) VALUES ('N1', 5)");
        wire.proxy.release();
        let run = run.finish();
        // This server tells that the commit did not come about; of the other a record in doubt
        // counts as it was sent.
        let summary = if server == Server::Postgres {
            "4 read = 4 skipped"
        } else {
            case.summary
        };
        assert_eq!(run.summary(), summary, "on {server}: {run}");
        let row = wire
            .place
            .query("SELECT id, score, note FROM accounts WHERE id = 'N1'");
        assert_eq!(row, "id,score,note\nN1,5,\n", "on {server}: {run}");
    }
}
