//! What must hold of every history, told from the account of all changes.

use std::collections::BTreeMap;

use super::case::{Case, Record, Trigger, is_seen_to, key_text};
use super::course::{Call, Course, Ending, Work};
use super::ground::{Entry, Row, Rows};

/// Everything that does not hold, in words.
pub(crate) fn complaints(case: &Case, course: &Course) -> Vec<String> {
    let judge = Judge { case, course };
    let mut complaints = course.complaints.clone();
    complaints.extend(judge.account());
    complaints.extend(judge.nothing_twice());
    for change in course.changes.iter().filter(|change| change.by_program) {
        complaints.extend(judge.change(change));
    }
    for (position, call) in course.calls.iter().enumerate() {
        complaints.extend(judge.end(position, call));
    }
    if case.has_journal {
        complaints.extend(judge.journal());
    }
    complaints
}

struct Judge<'a> {
    case: &'a Case,
    course: &'a Course,
}

/// Of a value in the journal: run, key and column.
type Place<'a> = (u64, &'a str, &'a str);

/// What a run sent of a record, stamp and all.
struct Sent {
    score: String,
    note: String,
    run: Option<String>,
}

impl Judge<'_> {
    /// Rows after the change of this number.
    fn rows_at(&self, number: u64) -> Rows {
        let mut rows = self.course.first.clone();
        for change in self
            .course
            .changes
            .iter()
            .filter(|change| change.number <= number)
        {
            match &change.after {
                Some(row) => drop(rows.insert(change.row, row.clone())),
                None => drop(rows.remove(&change.row)),
            }
        }
        rows
    }

    /// The call that a change of the program's came from.
    fn call_of(&self, change: &Entry) -> Option<&Call> {
        self.course
            .calls
            .iter()
            .find(|call| call.before < change.number && change.number <= call.last)
    }

    /// What the program wrote in a delivering run.
    fn writes_of(&self, run: u64) -> impl Iterator<Item = &Entry> {
        self.course.changes.iter().filter(move |change| {
            change.by_program
                && self
                    .call_of(change)
                    .is_some_and(|call| call.run == run && matches!(call.work, Work::Deliver(_)))
        })
    }

    /// Where the first call of the same run began.
    fn beginning_of(&self, call: &Call) -> u64 {
        let same = |other: &&Call| other.run == call.run && other.work == call.work;
        self.course
            .calls
            .iter()
            .find(same)
            .map_or(call.before, |first| first.before)
    }

    fn sent(&self, delivery: usize, run: u64, id: &str) -> Option<Sent> {
        let record = self.case.deliveries[delivery]
            .records
            .iter()
            .find(|record| key_text(record.key) == id)?;
        let Record { score, note, .. } = record;
        Some(Sent {
            score: score.map_or("~".to_owned(), |score| score.to_string()),
            note: note.clone().unwrap_or("~".to_owned()),
            run: self.case.has_stamp.then(|| run.to_string()),
        })
    }

    /// Whether a row holds what was sent, but for the stamp; `altered`: or what the trigger makes
    /// of it.
    fn holds(&self, row: &Row, sent: &Sent, altered: bool) -> bool {
        let capitals = altered && self.case.trigger == Trigger::Capitals;
        row.score == sent.score
            && (row.note == sent.note || capitals && row.note == sent.note.to_uppercase())
    }

    /// Whether two rows hold the same in all columns that are written.
    fn are_alike(&self, one: &Row, other: &Row) -> bool {
        let capitals = self.case.trigger == Trigger::Capitals
            && one.note.to_uppercase() == other.note.to_uppercase();
        let stamps = !self.case.has_stamp || one.run == other.run;
        one.score == other.score && (one.note == other.note || capitals) && stamps
    }

    /// The account tells all there is.
    fn account(&self) -> Option<String> {
        let told = self.rows_at(u64::MAX);
        (told != self.course.last).then(|| {
            format!(
                "the account is not that of the table: {told:#?} and {:#?}",
                self.course.last
            )
        })
    }

    /// No run writes a record twice, nor does an undo.
    fn nothing_twice(&self) -> Vec<String> {
        let mut writes: BTreeMap<(u64, &str), Vec<&Entry>> = BTreeMap::new();
        // What a trigger makes of it may be what was there: nobody can tell that it was written,
        // and nothing is lost.
        let own = self
            .course
            .changes
            .iter()
            .filter(|change| change.by_program && change.before != change.after);
        for change in own {
            let Some(call) = self.call_of(change) else {
                continue;
            };
            let id = change
                .after
                .as_ref()
                .or(change.before.as_ref())
                .map_or("", |row| row.id.as_str());
            let earlier = writes.entry((call.run, id)).or_default();
            if !earlier
                .last()
                .is_some_and(|earlier| self.is_put_back(earlier, change, id))
            {
                earlier.push(change);
            }
        }
        let twice = writes.into_iter().filter(|(_, writes)| writes.len() > 1);
        twice
            .map(|((run, id), writes)| format!("run {run} wrote `{id}` {} times", writes.len()))
            .collect()
    }

    /// Whether somebody made the row what it was before a write in doubt, so that nobody can tell
    /// that it was written.
    fn is_put_back(&self, write: &Entry, next: &Entry, id: &str) -> bool {
        let is_as_before = |change: &Entry| match (&change.after, &write.before) {
            (Some(after), Some(before)) => self.are_alike(after, before),
            (after, before) => after.is_none() && before.is_none(),
        };
        let between = self
            .course
            .changes
            .iter()
            .filter(|change| write.number < change.number && change.number < next.number);
        self.is_in_doubt(write)
            && between
                .filter(|change| !change.by_program && change.is_of(id))
                .any(is_as_before)
    }

    /// Judges one change that the program made.
    fn change(&self, change: &Entry) -> Vec<String> {
        let Some(call) = self.call_of(change) else {
            return vec![format!("nobody called for {change:?}")];
        };
        let mut complaints = match call.work {
            Work::Deliver(delivery) => self.delivered(delivery, call, change),
            Work::Undo(run) => self.undone(run, change),
        };
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && (before.id != after.id
                || before.phone != after.phone
                || !self.case.has_stamp && before.run != after.run)
        {
            complaints.push(format!("a column that is not written was: {change:?}"));
        }
        complaints
    }

    fn delivered(&self, delivery: usize, call: &Call, change: &Entry) -> Vec<String> {
        let Some(after) = &change.after else {
            return vec![format!("a run deleted: {change:?}")];
        };
        let mut complaints = Vec::new();
        match self.sent(delivery, call.run, &after.id) {
            None => complaints.push(format!(
                "run {} wrote what the source has not: {change:?}",
                call.run
            )),
            Some(sent)
                if !self.holds(after, &sent, true)
                    || sent.run.as_ref().is_some_and(|run| *run != after.run) =>
            {
                complaints.push(format!(
                    "run {} wrote something else than the source has: {change:?}",
                    call.run
                ));
            }
            Some(_) => {}
        }
        let before = self.rows_at(change.number - 1);
        let alike = before.values().filter(|row| row.id == after.id).count();
        let began_with = self.rows_at(call.before);
        let had = |rows: &Rows| rows.values().filter(|row| row.id == after.id).count();
        match &change.before {
            None if self.case.mode == "update_only" => {
                complaints.push(format!("it was created: {change:?}"))
            }
            // What others make meanwhile may not be seen yet.
            None if alike > 0 && had(&began_with) > 0 => {
                complaints.push(format!("it was created twice: {change:?}"))
            }
            None => {}
            Some(_) if self.case.mode == "create_only" => {
                complaints.push(format!("it was updated: {change:?}"))
            }
            Some(_) if alike > 1 && had(&began_with) > 1 => {
                complaints.push(format!("one of several: {change:?}"))
            }
            Some(_) => {}
        }
        complaints
    }

    /// An undo writes only where the row is as the run left it, and restores what was there before.
    fn undone(&self, run: u64, change: &Entry) -> Vec<String> {
        let Some(before) = &change.before else {
            return vec![format!("an undo created: {change:?}")];
        };
        // A row is known by its key: one that somebody put in the place of another, with the same
        // values, is as it.
        let is_meant = |written: &&Entry| {
            let has_the_key = written
                .after
                .as_ref()
                .is_some_and(|row| row.id == before.id)
                && change.after.is_some();
            (written.row == change.row || has_the_key) && written.number < change.number
        };
        let written = self.writes_of(run).find(is_meant);
        let Some(written) = written else {
            return vec![format!(
                "an undo of run {run} changed a row that the run did not write: {change:?}"
            )];
        };
        let mut complaints = Vec::new();
        let left = written.after.as_ref().expect("a run deletes nothing");
        let is_exact = left.score == before.score && left.note == before.note;
        if !(self.case.even_changed || is_exact && self.are_alike(left, before)) {
            complaints.push(format!(
                "an undo of run {run} destroyed what somebody wrote since: {change:?} after {written:?}"
            ));
        }
        match (&written.before, &change.after) {
            (None, None) if self.case.deletes_created => {}
            (Some(held), Some(restored)) if self.are_alike(held, restored) => {}
            _ => complaints.push(format!(
                "an undo of run {run} did not restore what was there: {change:?} after {written:?}"
            )),
        }
        complaints
    }

    /// Judges what a call left that came to its end.
    fn end(&self, position: usize, call: &Call) -> Vec<String> {
        let counts = match &call.ending {
            Ending::Unfinished => return Vec::new(),
            Ending::Finished(counts) => Some(counts),
            Ending::Over | Ending::NothingToDo => None,
        };
        let mut complaints = match call.work {
            Work::Deliver(delivery) if counts.is_some() || matches!(call.ending, Ending::Over) => {
                self.landed(delivery, call)
            }
            Work::Deliver(_) => Vec::new(),
            Work::Undo(run) => self.taken_back(run, call),
        };
        let Some(counts) = counts else {
            return complaints;
        };
        let is_own = |change: &&Entry| {
            change.by_program
                && self
                    .call_of(change)
                    .is_some_and(|of| of.run == call.run && of.work == call.work)
        };
        let own: Vec<&Entry> = self.course.changes.iter().filter(is_own).collect();
        let count =
            |holds: fn(&Entry) -> bool| own.iter().filter(|change| holds(change)).count() as u64;
        let again = count(|change| change.before == change.after);
        let told = [counts.inserted, counts.updated, counts.deleted];
        let made = [
            count(|change| change.before.is_none()),
            count(|change| change.before.is_some() && change.after.is_some()),
            count(|change| change.after.is_none()),
        ];
        // Of a batch whose commit is unknown nobody can tell who changed the row since.
        let is_wrong = match self.case.is_shared {
            true => made
                .iter()
                .zip(&told)
                .any(|(made, told)| *made > told + again),
            false => made
                .iter()
                .zip(&told)
                .any(|(made, told)| made < told || *made > told + again),
        };
        if is_wrong {
            complaints.push(format!(
                "call {position} of run {} counts {told:?} rows inserted, updated, deleted, and made {made:?}",
                call.run
            ));
        }
        complaints
    }

    /// Whether anybody else changed a row of this key in between.
    fn is_touched(&self, id: &str, after: u64, last: u64) -> bool {
        let within =
            |change: &&Entry| !change.by_program && after < change.number && change.number <= last;
        self.course
            .changes
            .iter()
            .filter(within)
            .any(|change| change.is_of(id))
    }

    /// Every record that nobody else had to do with is where it belongs.
    fn landed(&self, delivery: usize, call: &Call) -> Vec<String> {
        let began = self.beginning_of(call);
        let (first, last) = (self.rows_at(began), self.rows_at(call.last));
        let mut complaints = Vec::new();
        for record in &self.case.deliveries[delivery].records {
            let id = key_text(record.key);
            if self.is_touched(&id, began, call.last) {
                continue;
            }
            let sent = self.sent(delivery, call.run, &id).expect("a record");
            let of = |rows: &Rows| {
                rows.values()
                    .filter(|row| row.id == id)
                    .cloned()
                    .collect::<Vec<Row>>()
            };
            let (first, last) = (of(&first), of(&last));
            let is_left = match (first.as_slice(), self.case.mode) {
                ([], "update_only") | ([_], "create_only") | ([_, _, ..], _) => true,
                ([row], _) => self.is_refused(&id, row, &sent),
                ([], _) => false,
            };
            let holds = match is_left {
                true => first == last,
                false => matches!(last.as_slice(), [row] if self.holds(row, &sent, true)),
            };
            if !holds {
                complaints.push(format!(
                    "run {} left `{id}` as {last:?}, which was {first:?}",
                    call.run
                ));
            }
        }
        complaints
    }

    fn is_refused(&self, id: &str, row: &Row, sent: &Sent) -> bool {
        let refuses = matches!(self.case.trigger, Trigger::Refuses | Trigger::Ignores);
        refuses && is_seen_to(id) && !self.holds(row, sent, false)
    }

    /// Every row that is as the run left it holds again what it held before.
    fn taken_back(&self, run: u64, call: &Call) -> Vec<String> {
        let began = match call.ending {
            Ending::NothingToDo => call.before,
            _ => self.beginning_of(call),
        };
        let (first, last) = (self.rows_at(began), self.rows_at(call.last));
        let mut complaints = Vec::new();
        for written in self.writes_of(run) {
            let left = written.after.as_ref().expect("a run deletes nothing");
            let alike = first.values().filter(|row| row.id == left.id).count();
            let Some(row) = first.get(&written.row).filter(|_| alike == 1) else {
                continue;
            };
            let delivery = self.call_of(written).map(|call| call.work);
            let Some(Work::Deliver(delivery)) = delivery else {
                continue;
            };
            let sent = self.sent(delivery, run, &left.id);
            let is_altered = !sent.is_some_and(|sent| self.holds(left, &sent, false));
            let is_same = row.note == left.note && self.are_alike(row, left);
            if self.is_touched(&left.id, began, call.last)
                || !self.case.even_changed && (is_altered || !is_same)
            {
                continue;
            }
            let now = last.get(&written.row);
            let holds = match (&written.before, now) {
                // Somebody may have made a row as the run would have, when nothing tells whose it
                // is.
                (None, Some(now)) if self.is_in_doubt(written) && now == row => true,
                (None, now) if self.case.deletes_created => now.is_none(),
                (None, now) => now == Some(row),
                (Some(held), Some(now)) if self.is_refused_back(held, row) => {
                    now == row || self.are_alike(held, now)
                }
                (Some(held), now) => now.is_some_and(|now| self.are_alike(held, now)),
            };
            if !holds {
                complaints.push(format!("the undo of run {run} left {now:?}: {written:?}"));
            }
        }
        complaints
    }

    /// Whether the program was cut off when it had written this, and the destination has no journal
    /// to tell.
    fn is_in_doubt(&self, written: &Entry) -> bool {
        let is_finished = |call: &Call| matches!(call.ending, Ending::Finished(_));
        !self.case.has_journal && !self.call_of(written).is_some_and(is_finished)
    }

    fn is_refused_back(&self, held: &Row, row: &Row) -> bool {
        is_seen_to(&held.id)
            && match self.case.trigger {
                Trigger::RefusesBack => held.note.starts_with('I') && !row.note.starts_with('I'),
                // A row that was made by a run, and one of these keys, cannot be updated at all.
                Trigger::Refuses | Trigger::Ignores => true,
                Trigger::None | Trigger::Capitals | Trigger::Counts => false,
            }
    }

    /// The journal has one line for each value that was changed, in the very transaction.
    fn journal(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut lines: BTreeMap<Place<'_>, Vec<(&str, &str)>> = BTreeMap::new();
        for (run, key, column, old, new) in &self.course.journal {
            lines
                .entry((*run, key, column))
                .or_default()
                .push((old, new));
        }
        for ((run, key, column), values) in &lines {
            if values.len() > 1 {
                complaints.push(format!(
                    "the journal tells of run {run}, `{key}`, `{column}` more than once: {values:?}"
                ));
            }
            let is_it = |change: &&Entry| {
                change.by_program
                    && change.is_of(key)
                    && self.call_of(change).is_some_and(|call| call.run == *run)
            };
            let Some(change) = self.course.changes.iter().find(is_it) else {
                complaints.push(format!(
                    "the journal tells of run {run}, `{key}`, which it did not write"
                ));
                continue;
            };
            let held = change.before.as_ref().map_or("~", |row| match *column {
                "score" => &row.score,
                "note" => &row.note,
                "run" => &row.run,
                _ => &row.id,
            });
            if values.iter().any(|(old, _)| *old != held) {
                complaints
                    .push(format!("the journal tells another old value of run {run}, `{key}`: {values:?}, {change:?}"));
            }
        }
        for change in self
            .course
            .changes
            .iter()
            .filter(|change| change.by_program)
        {
            let (Some(call), Some(after)) = (self.call_of(change), &change.after) else {
                continue;
            };
            let before = change.before.as_ref();
            // Nobody tells of a NULL where there was nothing.
            let held = before.map_or(("~", "~"), |before| (&before.score, &before.note));
            let is_changed = held != (&*after.score, &*after.note);
            if is_changed
                && !lines
                    .keys()
                    .any(|(run, key, _)| *run == call.run && *key == after.id)
            {
                complaints.push(format!(
                    "the journal does not tell of run {}: {change:?}",
                    call.run
                ));
            }
        }
        complaints
    }
}
