//! The rules of a cadence, in the order in which they are applied. An older cycle is never written
//! once a newer one was begun; of what remains, the cadence's policy says which cycle is next.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Cadence, Fate, KnownCycle, Missed, Next, PassedOver, PassedOverWhy, Retry, Situation, Verdict,
    Wait,
};
use crate::domain::gate::Gates;

impl Cadence {
    /// Decides what is to be done about a job now. Once what it passes over is recorded, asking
    /// again at the same instant gives the same `next`. A deadline that goes by may change the
    /// verdict before its wait is over.
    pub(crate) fn verdict(&self, situation: Situation<'_>) -> Verdict {
        let mut docket = Docket::open(self, situation);
        docket.expire();
        if situation.at_work {
            return docket.close(Next::Wait(Wait::Run));
        }
        docket.supersede_overtaken();
        docket.miss();
        let next = docket.next();
        docket.close(next)
    }

    /// Pause after the last of so many failed attempts.
    fn pause_after(&self, attempts: u32) -> Duration {
        let Retry {
            delay_first,
            delay_max,
            ..
        } = self.retry;
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1));
        doubled.map_or(delay_max, |factor| {
            delay_first.saturating_mul(factor).min(delay_max)
        })
    }
}

impl KnownCycle {
    /// Time since its completion: up to when it was noticed on the wall clock, from then on on the
    /// one that nobody sets.
    fn age(&self) -> Duration {
        let unnoticed = (self.noticed_at - self.cycle.completed_at)
            .to_std()
            .unwrap_or_default();
        self.noticed.saturating_add(unnoticed)
    }
}

impl Fate {
    /// Whether a run with the cycle has begun, so that nothing older may be written any more.
    fn is_begun(self) -> bool {
        match self {
            Self::Interrupted
            | Self::Failing { .. }
            | Self::Delivered
            | Self::Guarded
            | Self::GivenUp { .. } => true,
            Self::New | Self::Superseded | Self::Expired | Self::Missed => false,
        }
    }

    fn is_unfinished(self) -> bool {
        matches!(self, Self::Interrupted | Self::Failing { .. })
    }
}

impl PassedOverWhy {
    fn fate(&self) -> Fate {
        match *self {
            Self::Superseded { .. } => Fate::Superseded,
            Self::Expired => Fate::Expired,
            Self::Missed => Fate::Missed,
            Self::GivenUp { attempts } => Fate::GivenUp { attempts },
        }
    }
}

/// A cycle and what the verdict says about it so far.
struct Entry<'a> {
    known: &'a KnownCycle,
    passed_over: Option<PassedOverWhy>,
}

impl Entry<'_> {
    /// As it will be once the verdict is recorded.
    fn fate(&self) -> Fate {
        self.passed_over
            .as_ref()
            .map_or(self.known.fate, PassedOverWhy::fate)
    }

    fn is_new(&self) -> bool {
        self.fate() == Fate::New
    }

    /// Whether it may still be written back without a person's word.
    fn is_live(&self) -> bool {
        self.is_new() || self.fate().is_unfinished()
    }

    fn pass_over(&mut self, why: PassedOverWhy) {
        self.passed_over = Some(why);
    }

    fn id(&self) -> String {
        self.known.cycle.id.clone()
    }
}

/// A new cycle that may be the next, by its position, and what it waits for; nothing if it is due.
struct Candidate<'a> {
    position: usize,
    known: &'a KnownCycle,
    obstacle: Option<Wait>,
}

/// The cycles of a job while their verdict is found.
struct Docket<'a> {
    cadence: &'a Cadence,
    situation: Situation<'a>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Docket<'a> {
    fn open(cadence: &'a Cadence, situation: Situation<'a>) -> Self {
        let entries = situation
            .cycles
            .iter()
            .map(|known| Entry {
                known,
                passed_over: None,
            })
            .collect();
        Self {
            cadence,
            situation,
            entries,
        }
    }

    fn close(self, next: Next) -> Verdict {
        let passed_over = |entry: Entry<'_>| {
            let why = entry.passed_over?;
            Some(PassedOver {
                cycle: entry.known.cycle.id.clone(),
                why,
            })
        };
        Verdict {
            passed_over: self.entries.into_iter().filter_map(passed_over).collect(),
            next,
        }
    }

    /// What is older than an expired cycle has expired too: clocks may say otherwise, and a run of
    /// the newer one may have written. A run at work may finish after its deadline: meanwhile only
    /// cycles that none has begun with expire.
    fn expire(&mut self) {
        let (deadline, at_work) = (self.cadence.deadline, self.situation.at_work);
        let mut newer_expired = false;
        for entry in self.entries.iter_mut().rev() {
            let may_expire = entry.is_new() || (entry.is_live() && !at_work);
            let is_late = deadline.is_some_and(|deadline| entry.known.age() > deadline);
            if may_expire && (is_late || newer_expired) {
                entry.pass_over(PassedOverWhy::Expired);
            }
            newer_expired |= entry.fate() == Fate::Expired;
        }
    }

    /// An older cycle is never written over a newer one; a run of one that was superseded may have
    /// written too.
    fn supersede_overtaken(&mut self) {
        let overtakes =
            |entry: &Entry<'_>| entry.fate().is_begun() || entry.fate() == Fate::Superseded;
        if let Some(newest) = self.entries.iter().rposition(overtakes) {
            self.supersede_older_than(newest);
        }
    }

    fn supersede_older_than(&mut self, position: usize) {
        let Some(by) = self.entries.get(position).map(Entry::id) else {
            return;
        };
        for entry in self
            .entries
            .iter_mut()
            .take(position)
            .filter(|entry| entry.is_live())
        {
            entry.pass_over(PassedOverWhy::Superseded { by: by.clone() });
        }
    }

    /// What would have been due before anybody served is missed, if the cadence makes up for none.
    fn miss(&mut self) {
        if self.cadence.missed != Missed::None {
            return;
        }
        let first = self.candidates_from();
        let mut openings = Openings::of(&self.cadence.gates);
        for position in first..self.entries.len() {
            if let Some(entry) = self.entries.get(position).filter(|entry| entry.is_new())
                && self.was_missed(entry.known, &mut openings)
                && let Some(entry) = self.entries.get_mut(position)
            {
                entry.pass_over(PassedOverWhy::Missed);
            }
        }
    }

    /// In turn, a cycle that was begun is finished before a newer one; else a newer one that is due
    /// takes its place.
    fn next(&mut self) -> Next {
        if self.cadence.missed == Missed::All
            && let Some(next) = self.try_again()
        {
            return next;
        }
        let candidates = self.candidates();
        if let Some(due) = candidates
            .iter()
            .rev()
            .find(|candidate| candidate.obstacle.is_none())
        {
            self.supersede_older_than(due.position);
            return Next::Run(due.known.cycle.clone());
        }
        let obstacles = candidates
            .into_iter()
            .filter_map(|candidate| candidate.obstacle);
        match self.try_again() {
            Some(Next::Wait(retry)) => Next::Wait(self.wait(obstacles.chain([retry]))),
            Some(run) => run,
            None => Next::Wait(self.wait(obstacles)),
        }
    }

    /// What is to be done about the newest begun cycle, if it is unfinished and not given up now.
    fn try_again(&mut self) -> Option<Next> {
        let cadence = self.cadence;
        let now = self.situation.now;
        let entry = self
            .newest_begun()
            .and_then(|begun| self.entries.get_mut(begun))?;
        match entry.fate() {
            Fate::Interrupted => Some(Next::Run(entry.known.cycle.clone())),
            Fate::Failing { attempts, .. } if attempts >= cadence.retry.attempts_max.get() => {
                entry.pass_over(PassedOverWhy::GivenUp { attempts });
                None
            }
            Fate::Failing {
                attempts,
                last: since_last,
            } => match cadence.pause_after(attempts).checked_sub(since_last) {
                None | Some(Duration::ZERO) => Some(Next::Run(entry.known.cycle.clone())),
                Some(rest) => Some(Next::Wait(Wait::Retry {
                    cycle: entry.id(),
                    attempts,
                    until: later(now, rest),
                })),
            },
            Fate::New
            | Fate::Delivered
            | Fate::Guarded
            | Fate::GivenUp { .. }
            | Fate::Superseded
            | Fate::Expired
            | Fate::Missed => None,
        }
    }

    /// The earliest of several waits that end; where none ends by itself, what people can do
    /// something about.
    fn wait(&self, waits: impl Iterator<Item = Wait>) -> Wait {
        let (ending, mut endless): (Vec<Wait>, Vec<Wait>) =
            waits.partition(|wait| wait.until().is_some());
        let earliest = ending.into_iter().min_by_key(Wait::until);
        earliest.unwrap_or_else(|| self.idle(endless.pop()))
    }

    fn idle(&self, endless: Option<Wait>) -> Wait {
        let new = self.entries.len() - self.positions_begun();
        let needed = self.cycles_needed();
        let begun = self
            .newest_begun()
            .and_then(|begun| self.entries.get(begun));
        match (begun.map(|entry| (entry.id(), entry.fate())), endless) {
            (Some((cycle, Fate::Guarded)), _) => Wait::Approval { cycle },
            (_, Some(endless)) => endless,
            _ if 0 < new && new < needed => Wait::MoreCycles {
                new: count(new),
                needed: count(needed),
            },
            (Some((cycle, Fate::GivenUp { attempts })), _) => {
                Wait::CycleAfterFailure { cycle, attempts }
            }
            _ => Wait::Cycle,
        }
    }

    fn newest_begun(&self) -> Option<usize> {
        self.entries
            .iter()
            .rposition(|entry| entry.fate().is_begun())
    }

    /// How many cycles there are up to the newest begun one, itself included.
    fn positions_begun(&self) -> usize {
        self.newest_begun().map_or(0, |begun| begun + 1)
    }

    /// How many cycles after the newest begun one the next must be; the very first needs no others
    /// before it.
    fn cycles_needed(&self) -> usize {
        let every = usize::try_from(self.cadence.every_cycles.get()).unwrap_or(usize::MAX);
        if self.newest_begun().is_some() {
            every
        } else {
            1
        }
    }

    /// The first position at which there are cycles enough; those passed over count.
    fn candidates_from(&self) -> usize {
        self.positions_begun()
            .saturating_add(self.cycles_needed() - 1)
    }

    /// New cycles that may be the next, oldest first.
    fn candidates(&self) -> Vec<Candidate<'a>> {
        let mut openings = Openings::of(&self.cadence.gates);
        let entries = self
            .entries
            .iter()
            .enumerate()
            .skip(self.candidates_from())
            .filter(|(_, entry)| entry.is_new());
        let candidates = entries.map(|(position, &Entry { known, .. })| {
            let obstacle = self.obstacle(known, &mut openings);
            Candidate {
                position,
                known,
                obstacle,
            }
        });
        match self.cadence.missed {
            Missed::Latest | Missed::None => candidates.collect(),
            Missed::All => Self::in_turn(candidates),
        }
    }

    /// The oldest candidate only, except that one for which no gate will ever open holds back no
    /// other.
    fn in_turn(candidates: impl Iterator<Item = Candidate<'a>>) -> Vec<Candidate<'a>> {
        let mut hopeless = None;
        for candidate in candidates {
            match candidate.obstacle {
                Some(Wait::Nothing { .. }) => hopeless = Some(candidate),
                _ => return vec![candidate],
            }
        }
        hopeless.into_iter().collect()
    }

    /// Whether a cycle would have been due while nobody served. A gate that opened before the cycle
    /// was noticed lets it through only if it opened while nobody could notice: else a cycle waits
    /// for the next gate from when it was noticed.
    fn was_missed(&self, known: &KnownCycle, openings: &mut Openings<'_>) -> bool {
        let Situation {
            serving_since,
            absent_since,
            ..
        } = self.situation;
        let nominal = later(known.cycle.completed_at, self.cadence.settle);
        if self.cadence.gates.is_empty() {
            return nominal < serving_since;
        }
        let mut first_from = |from| openings.first_from(from).filter(|due| *due < serving_since);
        let absent_since = absent_since.unwrap_or(serving_since);
        let unnoticed = first_from(nominal.max(absent_since));
        let noticed = || first_from(later(known.noticed_at, self.cadence.settle));
        unnoticed.or_else(noticed).is_some()
    }

    /// What a new cycle waits for, if it is not due.
    fn obstacle(&self, known: &KnownCycle, openings: &mut Openings<'_>) -> Option<Wait> {
        let (now, cycle) = (self.situation.now, || known.cycle.id.clone());
        let Some(settled_since) = known.noticed.checked_sub(self.cadence.settle) else {
            let rest = self.cadence.settle.saturating_sub(known.noticed);
            return Some(Wait::Settle {
                cycle: cycle(),
                until: later(now, rest),
            });
        };
        // What was missed is made up for without waiting for another gate.
        if self.was_missed(known, openings) {
            return None;
        }
        // Both clocks are believed: the wall clock may have been set back since, the other one
        // stands while a machine sleeps.
        let settled_at =
            later(known.noticed_at, self.cadence.settle).min(earlier(now, settled_since));
        match openings.first_from(settled_at) {
            None => Some(Wait::Nothing { cycle: cycle() }),
            Some(opening) if opening > now => Some(Wait::Gate {
                cycle: cycle(),
                until: opening,
            }),
            Some(_) => None,
        }
    }
}

/// Gates that are asked about many instants, mostly in order: the last answer often holds for the
/// next.
struct Openings<'a> {
    gates: &'a Gates,
    last: Option<Opening>,
}

/// From `from` on, the first instant at which a gate opens is `first`.
struct Opening {
    from: DateTime<Utc>,
    first: Option<DateTime<Utc>>,
}

impl<'a> Openings<'a> {
    fn of(gates: &'a Gates) -> Self {
        Self { gates, last: None }
    }

    /// The first instant at or after `from` at which nothing is held back.
    fn first_from(&mut self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.gates.is_empty() {
            return Some(from);
        }
        let holds =
            |last: &&Opening| last.from <= from && last.first.is_none_or(|first| from <= first);
        if let Some(last) = self.last.as_ref().filter(holds) {
            return last.first;
        }
        let first = self.gates.first_from(from);
        self.last = Some(Opening { from, first });
        first
    }
}

/// Later by so much, as far as instants go.
fn later(instant: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let sum = TimeDelta::from_std(by)
        .ok()
        .and_then(|by| instant.checked_add_signed(by));
    sum.unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Earlier by so much, as far as instants go.
fn earlier(instant: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let difference = TimeDelta::from_std(by)
        .ok()
        .and_then(|by| instant.checked_sub_signed(by));
    difference.unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn count(cycles: usize) -> u32 {
    u32::try_from(cycles).unwrap_or(u32::MAX)
}
