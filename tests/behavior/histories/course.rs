//! How a history goes: every call of the program, what befell it, and what the account said before
//! and after.

use std::sync::atomic::{AtomicBool, Ordering};

use super::case::{Attempt, Case, Record};
use super::ground::{Entry, Ground, Rows, live, make};
use crate::harness::Ran;

/// How often a call that nothing disturbs is made before it must have come to its end.
const CALLS_MAX: usize = 3;

/// What a call of the program was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Of the delivery of this position.
    Deliver(usize),
    /// Takes this run back.
    Undo(u64),
}

/// What a call that came to its end says it did.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// It was killed, or failed.
    Unfinished,
    Finished(Counts),
    /// It was killed when its run was over by the ledger.
    Over,
    /// The run was over before, or there was nothing to take back.
    NothingToDo,
}

/// One call of the program.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) work: Work,
    /// The newest run of the ledger behind it.
    pub(crate) run: u64,
    /// Changes after this one and up to `last` came while it worked.
    pub(crate) before: u64,
    pub(crate) last: u64,
    pub(crate) ending: Ending,
}

/// A history as it went.
pub(crate) struct Course {
    pub(crate) first: Rows,
    pub(crate) changes: Vec<Entry>,
    pub(crate) calls: Vec<Call>,
    pub(crate) last: Rows,
    pub(crate) journal: Vec<(u64, String, String, String, String)>,
    /// What was found to be wrong on the way.
    pub(crate) complaints: Vec<String>,
    /// For people.
    pub(crate) told: Vec<String>,
}

/// A history at work.
struct Going<'a> {
    ground: &'a mut Ground,
    case: &'a Case,
    calls: Vec<Call>,
    complaints: Vec<String>,
    told: Vec<String>,
}

/// Lets a history happen.
pub(crate) fn go(ground: &mut Ground, case: &Case) -> Course {
    ground.prepare(case);
    let first = ground.rows();
    let mut going = Going {
        ground,
        case,
        calls: Vec::new(),
        complaints: Vec::new(),
        told: Vec::new(),
    };
    for (position, delivery) in case.deliveries.iter().enumerate() {
        going.ground.offer(&delivery.records);
        going.deliver(position);
    }
    going.take_back();
    let Going {
        ground,
        calls,
        complaints,
        told,
        ..
    } = going;
    Course {
        first,
        changes: ground.changes(),
        calls,
        last: ground.rows(),
        journal: if case.has_journal {
            ground.journal()
        } else {
            Vec::new()
        },
        complaints,
        told,
    }
}

impl Going<'_> {
    fn deliver(&mut self, position: usize) {
        let delivery = &self.case.deliveries[position];
        let cycle = format!("c{position}");
        let arguments = ["run", "job", "--json", "--cycle", &cycle];
        for attempt in &delivery.attempts {
            if self.call(
                Work::Deliver(position),
                &arguments,
                attempt,
                &delivery.records,
            ) {
                return;
            }
        }
        if delivery.is_left_behind && !delivery.attempts.is_empty() {
            return;
        }
        self.finish(Work::Deliver(position), &arguments, &delivery.records);
    }

    /// Takes every run back, the newest first.
    fn take_back(&mut self) {
        let case = self.case;
        let records = &case.deliveries.last().expect("a delivery").records;
        for run in self.runs() {
            let number = run.to_string();
            let mut arguments = vec!["undo", &number, "--json"];
            arguments.extend(case.deletes_created.then_some("--delete-created"));
            arguments.extend(case.even_changed.then_some("--even-changed"));
            let mut ended = false;
            for attempt in &case.undo_attempts {
                ended = ended || self.call(Work::Undo(run), &arguments, attempt, records);
            }
            if !ended {
                self.finish(Work::Undo(run), &arguments, records);
            }
        }
    }

    /// Runs that were no undo, the newest first.
    fn runs(&self) -> Vec<u64> {
        let runs = self
            .ground
            .place
            .query_ledger("SELECT run FROM runs WHERE undo_of IS NULL");
        let mut runs: Vec<u64> = runs
            .iter()
            .flat_map(|runs| runs.lines().skip(1))
            .filter_map(|run| run.parse().ok())
            .collect();
        runs.sort_by_key(|run| std::cmp::Reverse(*run));
        runs
    }

    /// Calls the program until it has come to its end.
    fn finish(&mut self, work: Work, arguments: &[&str], records: &[Record]) {
        for _ in 0..CALLS_MAX {
            if self.call(work, arguments, &Attempt::undisturbed(), records) {
                return;
            }
        }
        self.complaints.push(format!(
            "`{}` does not come to its end: {}",
            arguments.join(" "),
            self.told.join("\n")
        ));
    }

    /// Calls the program once; tells whether it came to its end.
    fn call(
        &mut self,
        work: Work,
        arguments: &[&str],
        attempt: &Attempt,
        records: &[Record],
    ) -> bool {
        let server = self.ground.place.server;
        let before = self.ground.last_change();
        let environment = self.ground.arm(&attempt.disturbance);
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let ended = AtomicBool::new(false);
        let Ground { place, people, .. } = &mut *self.ground;
        let place = &*place;
        let ran = std::thread::scope(|scope| {
            for (client, edits) in people.iter_mut().zip(&attempt.meanwhile) {
                let ended = &ended;
                scope.spawn(move || live(server, client, edits, records, ended));
            }
            let ran = place.command_with(arguments, &environment);
            ended.store(true, Ordering::Relaxed);
            ran
        });
        self.ground.wait_until_alone();
        let last = self.ground.last_change();
        let newest = "SELECT coalesce(max(run), 0) AS run FROM runs";
        let run = self
            .ground
            .place
            .query_ledger(newest)
            .and_then(|run| run.trim_start_matches("run\n").trim().parse().ok());
        let mut ending = ending(&ran);
        if matches!(ending, Ending::Unfinished) && self.is_over(work, run.unwrap_or_default()) {
            ending = Ending::Over;
        }
        let is_over = !matches!(ending, Ending::Unfinished);
        self.told.push(format!(
            "changes {before} to {last}, {:?}, {ran}",
            attempt.disturbance
        ));
        self.calls.push(Call {
            work,
            run: run.unwrap_or_default(),
            before,
            last,
            ending,
        });
        if !is_over {
            for edit in &attempt.afterwards {
                make(server, &self.ground.people[0], edit, records);
            }
        }
        is_over
    }

    /// Whether the ledger says that the run is over, though its program was killed.
    fn is_over(&self, work: Work, run: u64) -> bool {
        let of = match work {
            Work::Deliver(position) => format!("undo_of IS NULL AND cycle = 'c{position}'"),
            Work::Undo(run) => format!("undo_of = {run}"),
        };
        let over = format!(
            "SELECT count(*) AS n FROM runs WHERE run = {run} AND status IN ('succeeded', 'rejected') AND {of}"
        );
        self.ground.place.query_ledger(&over).as_deref() == Some("n\n1\n")
    }
}

/// Panics: if the sums do not balance.
fn ending(ran: &Ran) -> Ending {
    if ran.code == 2 && ran.stderr.contains("wrote nothing that could be undone") {
        return Ending::NothingToDo;
    }
    if !matches!(ran.code, 0 | 1) {
        return Ending::Unfinished;
    }
    ran.summary();
    let json = ran.json();
    if json["status"] == "nothing_new" {
        return Ending::NothingToDo;
    }
    let write_back = &json["write_backs"][0];
    let count = |name: &str| write_back[name].as_u64().unwrap_or_default();
    Ending::Finished(Counts {
        inserted: count("inserted"),
        updated: count("updated"),
        deleted: count("deleted"),
    })
}
