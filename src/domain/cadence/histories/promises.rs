//! What is promised, and how the world would decide: by looking at every cycle and every gate.

use super::*;

impl World {
    /// Records that a cycle will not be written back, if there is a reason.
    pub(super) fn pass_over(
        &mut self,
        passed: &PassedOver,
        next: &Next,
        events: &mut Events,
    ) -> Result<(), String> {
        let position = self.position(&passed.cycle)?;
        let (fate, id) = (self.known[position].fate, &passed.cycle);
        promise!(
            is_open(&self.known[position]),
            "`{id}` is passed over though it is {fate:?}"
        );
        if self.run.is_some() {
            let harmless = fate == Fate::New && passed.why == PassedOverWhy::Expired;
            promise!(
                harmless,
                "`{id}` is passed over while a run is at work: {}",
                passed.why
            );
        }
        match &passed.why {
            PassedOverWhy::Expired => {
                events.happened("expired");
                promise!(
                    self.is_expired(position) || self.newer_expires(position),
                    "`{id}` expires before its time"
                );
            }
            PassedOverWhy::Missed => {
                events.happened("missed");
                promise!(
                    self.cadence.missed == Missed::None && fate == Fate::New,
                    "`{id}` is missed"
                );
                promise!(
                    self.was_missed(position),
                    "`{id}` is missed though it was served"
                );
            }
            PassedOverWhy::GivenUp { attempts } => {
                events.happened("given up");
                let failed =
                    matches!(fate, Fate::Failing { attempts: failed, .. } if failed == *attempts);
                promise!(
                    failed && *attempts >= self.cadence.retry.attempts_max.get(),
                    "`{id}` is given up after {attempts}"
                );
            }
            PassedOverWhy::Superseded { by } => {
                events.happened("superseded");
                let by_position = self.position(by)?;
                promise!(
                    by_position > position,
                    "`{id}` is superseded by `{by}`, which is older"
                );
                let runs = matches!(next, Next::Run(cycle) if cycle.id == *by);
                let by_row = &self.rows[by_position];
                let by_is_superseded = self.known[by_position].fate == Fate::Superseded;
                promise!(
                    by_row.was_begun || runs || by_is_superseded,
                    "`{id}` is superseded by `{by}`, which never runs"
                );
                if self.cadence.missed == Missed::All
                    && self.cadence.every_cycles == NonZeroU32::MIN
                {
                    events.happened("superseded in turn");
                    let late = self.rows.iter().skip(position + 1).any(|row| row.was_begun)
                        || by_is_superseded;
                    promise!(
                        late || !self.has_hope(position),
                        "`{id}` is superseded though each is to run"
                    );
                }
                self.rows[position].superseded_by = Some(by.clone());
            }
        }
        self.known[position].fate = fate_after(&passed.why);
        Ok(())
    }

    fn is_expired(&self, position: usize) -> bool {
        let row = &self.rows[position];
        let age = row.noticed + (row.noticed_at - row.completed).max(0);
        self.cadence
            .deadline
            .is_some_and(|deadline| age > seconds(deadline))
    }

    /// Whether a newer cycle has expired or expires now: then the older one does too.
    fn newer_expires(&self, position: usize) -> bool {
        let expires = |newer: usize| {
            let known = &self.known[newer];
            known.fate == Fate::Expired || (is_open(known) && self.is_expired(newer))
        };
        (position + 1..self.rows.len()).any(expires)
    }

    /// Whether a gate opened for it while nobody served: one that it waited for, or one that
    /// opened when nobody could notice it. Without gates whatever came before anybody served was.
    fn was_missed(&self, position: usize) -> bool {
        let row = &self.rows[position];
        let opened_from = |from| {
            let first = self.pattern.first_from(from);
            first.is_some_and(|opened| opened < self.serving_since)
        };
        let nominal = row.completed + self.settle;
        match (&self.pattern, self.absent_since) {
            (Pattern::Always, _) => nominal < self.serving_since,
            (_, Some(absent)) if opened_from(absent.max(nominal)) => true,
            _ => opened_from(row.noticed_at + self.settle),
        }
    }

    /// What was to be passed over was.
    pub(super) fn check_passed_over(&self) -> Result<(), String> {
        for (position, known) in self.known.iter().enumerate().skip(self.told) {
            let may = known.fate == Fate::New || (is_unfinished(known.fate) && self.run.is_none());
            promise!(
                !may || !self.is_expired(position),
                "`{}` does not expire",
                known.cycle.id
            );
        }
        let makes_up = self.run.is_some() || self.cadence.missed != Missed::None;
        let missed = self.candidates().any(|position| self.was_missed(position));
        promise!(
            makes_up || !missed,
            "it makes up for a cycle that was missed"
        );
        Ok(())
    }

    /// When a cycle had settled, if it has.
    fn settled_at(&self, position: usize) -> Option<i64> {
        let row = &self.rows[position];
        let on_steady_clock = self.wall() - (row.noticed - self.settle);
        (row.noticed >= self.settle).then(|| on_steady_clock.min(row.noticed_at + self.settle))
    }

    /// When a settled cycle is due, if ever. One that was missed waits for no gate.
    fn due_at(&self, position: usize) -> Option<i64> {
        let settled = self.settled_at(position)?;
        if self.was_missed(position) {
            Some(settled)
        } else {
            self.pattern.first_from(settled)
        }
    }

    fn is_due(&self, position: usize) -> bool {
        self.due_at(position).is_some_and(|due| due <= self.wall())
    }

    fn has_hope(&self, position: usize) -> bool {
        self.settled_at(position).is_none() || self.due_at(position).is_some()
    }

    /// The first position that counts cycles enough.
    fn enough_from(&self) -> usize {
        let every = self.cadence.every_cycles.get() as usize;
        self.newest_begun().map_or(self.told, |begun| begun + every)
    }

    /// New cycles that may run once they are due.
    fn candidates(&self) -> impl DoubleEndedIterator<Item = usize> {
        (self.enough_from()..self.known.len())
            .filter(|position| self.known[*position].fate == Fate::New)
    }

    /// Which of them runs now.
    fn due_candidate(&self) -> Option<usize> {
        if self.cadence.missed != Missed::All {
            return self
                .candidates()
                .rev()
                .find(|position| self.is_due(*position));
        }
        let unfinished = self
            .newest_begun()
            .is_some_and(|begun| is_unfinished(self.known[begun].fate));
        let oldest = self.candidates().find(|position| self.has_hope(*position));
        oldest.filter(|position| !unfinished && self.is_due(*position))
    }

    /// How long a cycle whose run failed still pauses.
    fn rests(&self, position: usize) -> Option<i64> {
        let Fate::Failing {
            attempts,
            last: since_last,
        } = self.known[position].fate
        else {
            return None;
        };
        let retry = self.cadence.retry;
        let mut pause = seconds(retry.delay_first);
        for _ in 1..attempts {
            pause *= 2;
        }
        Some(pause.min(seconds(retry.delay_max)) - seconds(since_last))
    }

    pub(super) fn check_run(&self, cycle: &Cycle, events: &mut Events) -> Result<(), String> {
        let (position, id) = (self.position(&cycle.id)?, &cycle.id);
        let row = &self.rows[position];
        promise!(
            cycle.completed_at == instant(row.completed),
            "`{id}` was completed at another time"
        );
        promise!(
            !self
                .known
                .iter()
                .take(position)
                .skip(self.told)
                .any(is_open),
            "`{id}` runs and an older one is still open"
        );
        if let (None, Some(until)) = (self.cadence.deadline, self.waits) {
            let promised = until.is_some_and(|until| until <= self.wall());
            promise!(
                promised,
                "`{id}` runs before the wait was over that ends at {until:?}"
            );
        }
        match self.known[position].fate {
            Fate::New => {
                events.happened("run begun");
                promise!(
                    self.due_candidate() == Some(position),
                    "`{id}` runs instead of {:?}",
                    self.due_candidate()
                );
            }
            Fate::Interrupted => events.happened("run taken up"),
            Fate::Failing { attempts, .. } => {
                events.happened("run tried again");
                promise!(
                    attempts < self.cadence.retry.attempts_max.get(),
                    "`{id}` is tried too often"
                );
                promise!(
                    self.rests(position).is_some_and(|rest| rest <= 0),
                    "`{id}` is tried again too early"
                );
            }
            fate @ (Fate::Delivered
            | Fate::Guarded
            | Fate::GivenUp { .. }
            | Fate::Superseded
            | Fate::Expired
            | Fate::Missed) => {
                return Err(format!("`{id}` runs though it is {fate:?}"));
            }
        }
        let taken_up = self.newest_begun() == Some(position);
        let newer = self.due_candidate().is_some_and(|due| due != position);
        promise!(
            !(taken_up && newer),
            "`{id}` runs though a newer one is due"
        );
        Ok(())
    }

    pub(super) fn check_wait(&self, wait: &Wait, events: &mut Events) -> Result<(), String> {
        if self.run.is_some() {
            promise!(
                *wait == Wait::Run,
                "it waits for {wait:?} while a run is at work"
            );
            return Ok(());
        }
        promise!(*wait != Wait::Run, "it waits for a run that is not at work");
        promise!(
            self.due_candidate().is_none(),
            "{:?} is due, and it waits for {wait:?}",
            self.due_candidate()
        );
        let begun = self.newest_begun();
        let fate = begun.map(|begun| self.known[begun].fate);
        promise!(
            fate != Some(Fate::Interrupted),
            "a run waits to be taken up"
        );
        let rest = begun.and_then(|begun| self.rests(begun));
        promise!(
            rest.is_none_or(|rest| rest > 0),
            "a failed run waits to be tried again"
        );
        let ends = self.wait_ends(rest);
        promise!(
            wait.until().map(second) == ends,
            "{wait:?} does not end at {ends:?}"
        );
        promise!(
            ends.is_none_or(|ends| ends > self.wall()),
            "{wait:?} is over already"
        );
        match wait {
            Wait::Gate { .. } => events.happened("waited for a gate"),
            Wait::Nothing { .. } => events.happened("no gate left"),
            Wait::MoreCycles { new, needed } => {
                events.happened("too few cycles left");
                promise!(
                    0 < *new && new < needed && *needed == self.cadence.every_cycles.get(),
                    "{wait:?}"
                );
            }
            Wait::Approval { .. } => {
                promise!(fate == Some(Fate::Guarded), "{wait:?} after {fate:?}")
            }
            Wait::CycleAfterFailure { .. } => {
                promise!(
                    matches!(fate, Some(Fate::GivenUp { .. })),
                    "{wait:?} after {fate:?}"
                );
            }
            Wait::Run
            | Wait::Cycle
            | Wait::Settle { .. }
            | Wait::Retry { .. }
            | Wait::Paused(_) => {}
        }
        Ok(())
    }

    /// When something can come due again without anything else happening.
    fn wait_ends(&self, rest: Option<i64>) -> Option<i64> {
        let retry = rest.map(|rest| self.wall() + rest);
        let ends = |position: usize| match self.settled_at(position) {
            None => Some(self.wall() + self.settle - self.rows[position].noticed),
            Some(_) => self.due_at(position),
        };
        if self.cadence.missed != Missed::All {
            return self.candidates().filter_map(ends).chain(retry).min();
        }
        retry.or_else(|| self.candidates().find_map(ends))
    }

    pub(super) fn check_end(&self) -> Result<(), String> {
        let enough_from = self.enough_from();
        for (position, known) in self.known.iter().enumerate() {
            let (id, row) = (&known.cycle.id, &self.rows[position]);
            let overtaken = self.newest_ever_begun() > Some(position);
            promise!(
                overtaken || !is_unfinished(known.fate),
                "`{id}` is never finished"
            );
            if known.fate == Fate::New {
                let counted = self.newest_begun().is_none_or(|begun| begun < position);
                promise!(
                    counted && (position < enough_from || !self.has_hope(position)),
                    "`{id}` never runs"
                );
            }
            promise!(
                (known.fate == Fate::Delivered) == row.was_delivered,
                "`{id}` lost its delivery"
            );
            if known.fate == Fate::Superseded {
                self.check_superseded(position)?;
            }
        }
        Ok(())
    }

    /// In place of a superseded cycle a newer one was begun. Only a kill between the record of the
    /// one and the begin of the other leaves room for the newer one to be passed over too.
    fn check_superseded(&self, position: usize) -> Result<(), String> {
        let mut position = position;
        while let Some(by) = &self.rows[position].superseded_by {
            let newer = self.position(by)?;
            promise!(newer > position, "`{by}` supersedes a newer cycle");
            position = newer;
            if self.rows[position].was_begun {
                return Ok(());
            }
        }
        promise!(
            self.was_torn,
            "`{}` was to supersede another and never ran",
            self.known[position].cycle.id
        );
        Ok(())
    }
}
