//! Random histories of one job. A small world finishes cycles, kills the process, sets the clock,
//! sleeps, and obeys every verdict; what a user is promised is checked after each. Time is counted
//! in seconds, on three clocks: the real one, the steady one, which stands while the machine
//! sleeps, and the wall clock, which people set.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "tests may, and no number here is large or negative where it is converted"
)]

use super::super::gate::{Cron, Gate};
use super::*;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const HISTORIES: u64 = 100_000;
/// Verdicts after which a history whose troubles are over must have come to rest: more than any has
/// cycles and attempts.
const REST_MAX: u32 = 5_000;

/// When histories begin, in seconds since 1970: a Friday at 8 o'clock.
const BEGIN: i64 = 1_800_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

macro_rules! promise {
    ($holds:expr, $($broken:tt)+) => {
        if !$holds {
            return Err(format!($($broken)+));
        }
    };
}

mod promises;

#[test]
fn in_random_histories_each_cycle_runs_once_in_order_or_has_a_reason_not_to() {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let (broken, stop) = (Mutex::new(None), AtomicBool::new(false));
    let mut events = Events::default();
    thread::scope(|scope| {
        let of_thread = |thread| {
            let (broken, stop) = (&broken, &stop);
            scope.spawn(move || {
                let mut events = Events::default();
                for seed in (thread..HISTORIES).step_by(threads as usize) {
                    if let Err(why) = World::new(seed).live(&mut events) {
                        *broken.lock().unwrap() = Some(format!("history {seed}: {why}"));
                        stop.store(true, Ordering::Relaxed);
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                events
            })
        };
        let workers: Vec<_> = (0..threads).map(of_thread).collect();
        workers
            .into_iter()
            .for_each(|worker| events.add(worker.join().unwrap()));
    });
    assert_eq!(broken.into_inner().unwrap(), None);
    events.assert_each_happened_often();
}

/// How often each kind of thing happened: a promise about what never happens is worth nothing.
#[derive(Default)]
struct Events(BTreeMap<&'static str, u64>);

impl Events {
    const ALL: [&str; 22] = [
        "cycle finished",
        "cycle noticed out of order",
        "run begun",
        "run taken up",
        "run tried again",
        "run delivered",
        "run failed",
        "run guarded",
        "run by hand",
        "superseded",
        "superseded in turn",
        "expired",
        "missed",
        "given up",
        "killed",
        "killed between a verdict and its run",
        "clock set back",
        "clock set forward",
        "slept",
        "waited for a gate",
        "no gate left",
        "too few cycles left",
    ];

    fn happened(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn add(&mut self, others: Self) {
        for (what, count) in others.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    fn assert_each_happened_often(&self) {
        for what in Self::ALL {
            let count = self.0.get(what).copied().unwrap_or_default();
            assert!(count >= HISTORIES / 1_000, "{what}: only {count} times");
        }
    }
}

/// SplitMix64. Source: <https://prng.di.unimi.it/splitmix64.c>.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `max`, both included.
    fn upto(&mut self, max: i64) -> i64 {
        (self.next() % (max as u64 + 1)) as i64
    }

    /// A whole number of minutes, in seconds; short ones are as likely as long ones.
    fn span(&mut self, max: i64) -> i64 {
        let max = self.pick(&[max, max / 8, max / 64]);
        self.upto(max / MINUTE) * MINUTE
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.upto(from.len() as i64 - 1) as usize]
    }

    fn percent(&mut self, percent: i64) -> bool {
        self.upto(99) < percent
    }

    fn number(&mut self, max: i64) -> NonZeroU32 {
        NonZeroU32::new(1 + self.upto(max - 1) as u32).unwrap()
    }
}

/// When gates open, so simple that nothing can be wrong with it.
enum Pattern {
    Always,
    At(Vec<i64>),
    /// At each second whose remainder by `period` is `phase`, counted from the beginning of 1970.
    Every {
        period: i64,
        phase: i64,
    },
}

impl Pattern {
    fn random(random: &mut Random) -> Self {
        match random.upto(39) {
            0..20 => Self::Always,
            20..38 => {
                let mut at: Vec<i64> = (0..=random.upto(9))
                    .map(|_| random.upto(8 * DAY / MINUTE) * MINUTE)
                    .collect();
                at.sort_unstable();
                at.dedup();
                Self::At(at)
            }
            _ => {
                let period = random.pick(&[HOUR, DAY, 7 * DAY]);
                Self::Every {
                    period,
                    phase: random.upto(period / MINUTE - 1) * MINUTE,
                }
            }
        }
    }

    fn gates(&self) -> Gates {
        match self {
            Self::Always => Gates::default(),
            Self::At(at) => Gates {
                lines: Vec::new(),
                at: at.iter().copied().map(instant).collect(),
            },
            Self::Every { period, phase } => {
                let (minute, hour, day) = (phase / MINUTE % 60, phase / HOUR % 24, phase / DAY);
                let line = match *period {
                    HOUR => format!("{minute} * * * *"),
                    DAY => format!("{minute} {hour} * * *"),
                    _ => format!(
                        "{minute} {hour} * * {}",
                        ["THU", "FRI", "SAT", "SUN", "MON", "TUE", "WED"][day as usize]
                    ),
                };
                let gate = Gate {
                    cron: Cron::parse(&line).unwrap(),
                    zone: chrono_tz::UTC,
                };
                Gates {
                    lines: vec![gate],
                    at: Vec::new(),
                }
            }
        }
    }

    fn first_from(&self, from: i64) -> Option<i64> {
        match self {
            Self::Always => Some(from),
            Self::At(at) => at.iter().copied().find(|at| *at >= from),
            Self::Every { period, phase } => {
                Some(from + (phase - from - BEGIN).rem_euclid(*period))
            }
        }
    }
}

/// The wall clock's instant of a second.
fn instant(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(BEGIN + second, 0).unwrap()
}

fn second(instant: DateTime<Utc>) -> i64 {
    instant.timestamp() - BEGIN
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs() as i64
}

fn lasting(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0) as u64)
}

fn is_unfinished(fate: Fate) -> bool {
    matches!(fate, Fate::Interrupted | Fate::Failing { .. })
}

fn is_begun(fate: Fate) -> bool {
    is_unfinished(fate) || matches!(fate, Fate::Delivered | Fate::Guarded | Fate::GivenUp { .. })
}

fn is_open(known: &KnownCycle) -> bool {
    known.fate == Fate::New || is_unfinished(known.fate)
}

/// What the ledger keeps of a cycle that is passed over.
fn fate_after(why: &PassedOverWhy) -> Fate {
    match *why {
        PassedOverWhy::Superseded { .. } => Fate::Superseded,
        PassedOverWhy::Expired => Fate::Expired,
        PassedOverWhy::Missed => Fate::Missed,
        PassedOverWhy::GivenUp { attempts } => Fate::GivenUp { attempts },
    }
}

/// An age as it was when first asked about, and the steady time then: a restart forgets both.
#[derive(Clone, Copy, Default)]
struct Age(Option<(i64, i64)>);

impl Age {
    fn of(&mut self, happened: i64, wall: i64, steady: i64) -> i64 {
        let (age, asked) = *self.0.get_or_insert(((wall - happened).max(0), steady));
        age + steady - asked
    }
}

/// What the ledger and the process know about a cycle, beside what the verdict is told.
struct Row {
    completed: i64,
    /// The wall clock's time when it was noticed, as it was kept.
    kept: i64,
    age: Age,
    noticed: i64,
    noticed_at: i64,
    attempts: u32,
    attempted: i64,
    attempt_age: Age,
    was_begun: bool,
    was_delivered: bool,
    superseded_by: Option<String>,
}

/// A run at work.
struct Run {
    cycle: String,
    /// By the process that serves; else by hand, beside it.
    served: bool,
    ends: i64,
}

struct World {
    random: Random,
    cadence: Cadence,
    pattern: Pattern,
    settle: i64,
    real: i64,
    slept: i64,
    /// How far the wall clock is set ahead of the real one.
    ahead: i64,
    known: Vec<KnownCycle>,
    rows: Vec<Row>,
    /// Completion times of cycles that nobody noticed yet.
    unnoticed: Vec<i64>,
    cycles: u32,
    /// Where the cycles begin that the last verdict was told of.
    told: usize,
    run: Option<Run>,
    serving_since: i64,
    /// When it was last up before that, on the wall clock as it is set now.
    absent_since: Option<i64>,
    /// When the process starts again, if it is down.
    starts: Option<i64>,
    cycle_due: i64,
    cycle_pause_max: i64,
    trouble_due: i64,
    trouble_pause_max: i64,
    look_due: i64,
    /// Asked at odd moments too, not only when a wait ends or something happened.
    restless: bool,
    /// When the last wait ends; forgotten when something happened since.
    waits: Option<Option<i64>>,
    was_torn: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let random = &mut random;
        let pattern = Pattern::random(random);
        let settle = if random.percent(40) {
            0
        } else {
            random.span(3 * HOUR)
        };
        let delay_first = MINUTE + random.span(HOUR);
        let cadence = Cadence {
            dashboard: "health".to_owned(),
            settle: lasting(settle),
            gates: pattern.gates(),
            every_cycles: if random.percent(60) {
                NonZeroU32::MIN
            } else {
                random.number(4)
            },
            deadline: random
                .percent(40)
                .then(|| lasting(settle + random.span(2 * DAY))),
            max_silence: None,
            missed: random.pick(&[Missed::Latest, Missed::None, Missed::All]),
            retry: Retry {
                delay_first: lasting(delay_first),
                delay_max: lasting(delay_first + random.span(3 * HOUR)),
                attempts_max: random.number(4),
            },
        };
        let cycle_pause_max = random.pick(&[10 * MINUTE, 2 * HOUR, DAY]);
        let trouble_pause_max = random.pick(&[4 * HOUR, DAY, 50 * DAY]);
        Self {
            cadence,
            pattern,
            settle,
            real: 0,
            slept: 0,
            ahead: 0,
            known: Vec::new(),
            rows: Vec::new(),
            unnoticed: Vec::new(),
            cycles: 0,
            told: 0,
            run: None,
            serving_since: 0,
            absent_since: None,
            starts: None,
            cycle_due: random.span(cycle_pause_max),
            cycle_pause_max,
            trouble_due: random.span(trouble_pause_max),
            trouble_pause_max,
            look_due: 0,
            restless: random.percent(30),
            waits: None,
            was_torn: false,
            random: Random(random.next()),
        }
    }

    fn wall(&self) -> i64 {
        self.real + self.ahead
    }

    fn steady(&self) -> i64 {
        self.real - self.slept
    }

    /// A time of troubles, then one of peace in which everything comes to rest.
    fn live(mut self, events: &mut Events) -> Result<(), String> {
        let steps = 8 + self.random.span(HOUR) / MINUTE;
        for _ in 0..steps {
            self.step(events).map_err(|why| self.told(&why))?;
        }
        self.rest(events).map_err(|why| self.told(&why))
    }

    fn told(&self, why: &str) -> String {
        let cycles: Vec<String> = self
            .known
            .iter()
            .zip(&self.rows)
            .map(|(known, row)| {
                format!(
                    "{} {:?} completed {} noticed {} ago at {}",
                    known.cycle.id, known.fate, row.completed, row.noticed, row.noticed_at
                )
            })
            .collect();
        format!(
            "{why}\nat {} on the wall clock, served since {}\n{:#?}\n{:#?}",
            self.wall(),
            self.serving_since,
            cycles,
            self.cadence
        )
    }

    /// On to the next thing that happens, and a turn of the process after it.
    fn step(&mut self, events: &mut Events) -> Result<(), String> {
        self.real = self.next_event().max(self.real);
        if self.cycle_due <= self.real {
            self.finish_cycle(events);
        }
        self.end_run(events)?;
        if self.trouble_due <= self.real {
            self.trouble_due = self.real + self.random.span(self.trouble_pause_max);
            self.waits = None;
            self.trouble(events)?;
        }
        match self.starts {
            Some(starts) if starts <= self.real => self.start(),
            Some(_) => return Ok(()),
            None => {}
        }
        if self.look_due <= self.real {
            self.look(10, events);
        }
        self.turn(events)
    }

    fn next_event(&mut self) -> i64 {
        let mut next = self.cycle_due.min(self.trouble_due);
        if let Some(run) = &self.run {
            next = next.min(run.ends);
        }
        if let Some(starts) = self.starts {
            return next.min(starts);
        }
        next = next.min(self.look_due);
        if let Some(until) = self.waits.flatten() {
            next = next.min(until - self.ahead);
        }
        if self.restless && next > self.real + 1 {
            self.real + 1 + self.random.upto(next - self.real - 1)
        } else {
            next
        }
    }

    fn finish_cycle(&mut self, events: &mut Events) {
        self.cycle_due = self.real + self.random.span(self.cycle_pause_max);
        let completed = match self.random.upto(9) {
            0 => self.wall() - self.random.span(6 * HOUR),
            1 => self.wall() + self.random.span(HOUR),
            _ => self.wall(),
        };
        self.unnoticed.push(completed);
        events.happened("cycle finished");
    }

    /// Notices finished cycles, but for a share of them that a slow dashboard still hides.
    fn look(&mut self, hidden_percent: i64, events: &mut Events) {
        self.look_due = self.real + 1 + self.random.span(HOUR);
        for completed in std::mem::take(&mut self.unnoticed) {
            if self.random.percent(hidden_percent) {
                self.unnoticed.push(completed);
            } else {
                self.notice(completed.min(self.wall()), events);
            }
        }
    }

    fn notice(&mut self, completed: i64, events: &mut Events) {
        self.waits = None;
        self.cycles += 1;
        let (id, kept) = (format!("c{}", self.cycles), self.wall());
        let position = self.rows.partition_point(|row| row.completed <= completed);
        if position < self.rows.len() {
            events.happened("cycle noticed out of order");
        }
        let cycle = Cycle {
            id,
            completed_at: instant(completed),
        };
        let known = KnownCycle {
            cycle,
            noticed_at: instant(kept),
            noticed: Duration::ZERO,
            fate: Fate::New,
        };
        self.known.insert(position, known);
        let row = Row {
            completed,
            kept,
            age: Age::default(),
            noticed: 0,
            noticed_at: kept,
            attempts: 0,
            attempted: 0,
            attempt_age: Age::default(),
            was_begun: false,
            was_delivered: false,
            superseded_by: None,
        };
        self.rows.insert(position, row);
    }

    fn trouble(&mut self, events: &mut Events) -> Result<(), String> {
        match self.random.upto(5) {
            0 | 1 => {
                events.happened("killed");
                self.kill();
            }
            2 => {
                events.happened("clock set back");
                let by = self.random.span(2 * DAY);
                self.ahead -= by;
                self.serving_since -= by;
                self.absent_since = self.absent_since.map(|since| since - by);
            }
            3 => {
                events.happened("clock set forward");
                self.absent_since = Some(self.wall());
                self.ahead += self.random.span(2 * DAY);
                self.serving_since = self.wall();
            }
            4 => {
                events.happened("slept");
                let by = self.random.span(2 * DAY);
                self.absent_since = Some(self.wall());
                self.real += by;
                self.slept += by;
                self.serving_since = self.wall();
            }
            _ => self.run_by_hand(events)?,
        }
        Ok(())
    }

    fn kill(&mut self) {
        self.absent_since = Some(self.wall());
        self.waits = None;
        self.starts = Some(
            self.real
                + if self.random.percent(50) {
                    0
                } else {
                    self.random.span(2 * DAY)
                },
        );
        if self.run.as_ref().is_some_and(|run| run.served) {
            self.run = None;
        }
    }

    fn start(&mut self) {
        self.starts = None;
        self.serving_since = self.wall();
        self.look_due = self.real;
        for row in &mut self.rows {
            (row.age, row.attempt_age) = (Age::default(), Age::default());
        }
    }

    /// Somebody runs the newest cycle by hand, or approves it, beside the process that serves.
    fn run_by_hand(&mut self, events: &mut Events) -> Result<(), String> {
        let Some(newest) = self.known.last() else {
            return Ok(());
        };
        let (cycle, fate) = (newest.cycle.clone(), newest.fate);
        let may_run = is_open(newest) || matches!(fate, Fate::Guarded | Fate::GivenUp { .. });
        if self.run.is_none() && may_run {
            events.happened("run by hand");
            self.begin(&cycle, false)?;
        }
        Ok(())
    }

    fn begin(&mut self, cycle: &Cycle, served: bool) -> Result<(), String> {
        let position = self.position(&cycle.id)?;
        promise!(self.run.is_none(), "two runs at work");
        promise!(
            !self.rows[position].was_delivered,
            "`{}` runs after it was delivered",
            cycle.id
        );
        let overtaken = self.rows.iter().skip(position + 1).any(|row| row.was_begun);
        promise!(!overtaken, "`{}` runs after a newer cycle", cycle.id);
        self.known[position].fate = Fate::Interrupted;
        self.rows[position].was_begun = true;
        let ends = self.real + self.random.span(3 * HOUR);
        self.run = Some(Run {
            cycle: cycle.id.clone(),
            served,
            ends,
        });
        Ok(())
    }

    fn position(&self, cycle: &str) -> Result<usize, String> {
        self.known
            .iter()
            .position(|known| known.cycle.id == cycle)
            .ok_or(format!("nobody knows `{cycle}`"))
    }

    fn end_run(&mut self, events: &mut Events) -> Result<(), String> {
        let wall = self.wall();
        let Some(run) = self.run.take_if(|run| run.ends <= self.real) else {
            return Ok(());
        };
        self.waits = None;
        let position = self.position(&run.cycle)?;
        let row = &mut self.rows[position];
        self.known[position].fate = match self.random.upto(9) {
            0 => Fate::Interrupted,
            1 => {
                events.happened("run guarded");
                Fate::Guarded
            }
            2..=4 => {
                events.happened("run failed");
                row.attempts += 1;
                (row.attempted, row.attempt_age) = (wall, Age::default());
                Fate::Failing {
                    attempts: row.attempts,
                    last: Duration::ZERO,
                }
            }
            _ => {
                events.happened("run delivered");
                promise!(!row.was_delivered, "`{}` was delivered twice", run.cycle);
                row.was_delivered = true;
                Fate::Delivered
            }
        };
        let overtaken = self
            .rows
            .iter()
            .skip(position + 1)
            .any(|row| row.was_delivered);
        promise!(
            !overtaken,
            "`{}` was delivered after a newer cycle",
            run.cycle
        );
        Ok(())
    }

    /// Where the cycles begin that the ledger tells: at the newest one that a run began with, or
    /// before it at a new one.
    fn told_from(&self) -> usize {
        let begun = self.newest_ever_begun().unwrap_or_default();
        self.known
            .iter()
            .take(begun)
            .position(|known| known.fate == Fate::New)
            .unwrap_or(begun)
    }

    fn newest_ever_begun(&self) -> Option<usize> {
        self.rows.iter().rposition(|row| row.was_begun)
    }

    /// Of those that were told.
    fn newest_begun(&self) -> Option<usize> {
        (self.told..self.known.len())
            .rev()
            .find(|position| is_begun(self.known[*position].fate))
    }

    /// The ages of cycles and attempts, as the process reads them off its clocks.
    fn read_clocks(&mut self) {
        let (wall, steady) = (self.wall(), self.steady());
        for (known, row) in self.known.iter_mut().zip(&mut self.rows).skip(self.told) {
            row.noticed = row.age.of(row.kept, wall, steady);
            row.noticed_at = if row.kept <= wall {
                row.kept
            } else {
                wall - row.noticed
            };
            known.noticed = lasting(row.noticed);
            known.noticed_at = instant(row.noticed_at);
            if let Fate::Failing {
                last: since_last, ..
            } = &mut known.fate
            {
                *since_last = lasting(row.attempt_age.of(row.attempted, wall, steady));
            }
        }
    }

    fn ask(&self) -> Verdict {
        self.cadence.verdict(Situation {
            now: instant(self.wall()),
            serving_since: instant(self.serving_since),
            absent_since: self.absent_since.map(instant),
            cycles: &self.known[self.told..],
            at_work: self.run.is_some(),
        })
    }

    /// Asks what is due, and obeys.
    fn turn(&mut self, events: &mut Events) -> Result<(), String> {
        self.told = self.told_from();
        self.read_clocks();
        let verdict = self.ask();
        for passed in &verdict.passed_over {
            self.pass_over(passed, &verdict.next, events)?;
        }
        if !verdict.passed_over.is_empty() {
            let again = self.ask();
            promise!(
                again.passed_over.is_empty(),
                "asked again it passes over {:?} too",
                again.passed_over
            );
            promise!(
                again.next == verdict.next,
                "asked again it says {:?} after {:?}",
                again.next,
                verdict.next
            );
        }
        self.check_passed_over()?;
        match verdict.next {
            Next::Run(cycle) => {
                self.check_run(&cycle, events)?;
                if self.trouble_due < i64::MAX && self.random.percent(3) {
                    events.happened("killed between a verdict and its run");
                    self.was_torn = true;
                    self.kill();
                    return Ok(());
                }
                self.waits = None;
                self.begin(&cycle, true)
            }
            Next::Wait(wait) => {
                self.check_wait(&wait, events)?;
                self.waits = Some(wait.until().map(second));
                Ok(())
            }
        }
    }

    /// Peace: the process serves, nobody sets a clock, the dashboard finishes nothing more.
    /// Everything comes to an end.
    fn rest(&mut self, events: &mut Events) -> Result<(), String> {
        (self.cycle_due, self.trouble_due, self.restless) = (i64::MAX, i64::MAX, false);
        if self.starts.is_some() {
            self.start();
        }
        self.look(0, events);
        self.waits = None;
        for _ in 0..REST_MAX {
            self.end_run(events)?;
            self.turn(events)?;
            let run_ends = self.run.as_ref().map(|run| run.ends);
            let Some(next) = run_ends.or(self.waits.flatten().map(|until| until - self.ahead))
            else {
                return self.check_end();
            };
            self.real = self.real.max(next);
        }
        Err("it never comes to rest".to_owned())
    }
}
