//! What a history is to be: a table, who disturbs what, and what is written to it and taken back.

use super::dice::Dice;
use crate::harness::{Act, Server};

/// How the key stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Under a unique index.
    Unique,
    /// Under an index that lets it stand twice.
    Indexed,
    /// Under none.
    Bare,
    /// Under a unique index, and written through a view.
    View,
}

impl Shape {
    pub(crate) fn is_unique(self) -> bool {
        matches!(self, Self::Unique | Self::View)
    }
}

/// A trigger that comes before an update of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    None,
    /// Writes the note in capitals.
    Capitals,
    /// Counts the updates of a row in another column.
    Counts,
    /// Refuses some keys.
    Refuses,
    /// Refuses to write what some keys had at first.
    RefusesBack,
    /// Leaves rows of some keys as they are, and says nothing.
    Ignores,
}

/// A row of the destination as it is at first.
#[derive(Debug, Clone)]
pub(crate) struct FirstRow {
    pub(crate) key: u64,
    pub(crate) score: u64,
}

/// A record of the source.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) key: u64,
    pub(crate) score: Option<u64>,
    pub(crate) note: Option<String>,
}

/// What somebody does to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Note,
    Score,
    /// A column that the job does not write.
    Phone,
    /// The notes of two rows, the later key first.
    Pair,
    Delete,
    /// A new row, where there is none of its key.
    Insert,
    /// As the last, with what the source has of it.
    Twin,
}

/// One transaction of somebody else.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// Milliseconds before it.
    pub(crate) pause: u64,
    pub(crate) change: Change,
    pub(crate) key: u64,
    /// Tells its values from all others.
    pub(crate) serial: u64,
    /// Milliseconds from its statement to its end.
    pub(crate) hold: u64,
    /// Else it is rolled back.
    pub(crate) commits: bool,
}

/// What befalls the program while it works.
#[derive(Debug, Clone)]
pub(crate) enum Disturbance {
    None,
    /// It dies behind a change of state, as `WRITEBACK_ABORT_AT` names it.
    Kill(String),
    /// A connection breaks around its `nth` COMMIT: before it arrives, or before its answer does.
    Cut {
        connection: usize,
        answered: bool,
        nth: usize,
        act: Act,
    },
}

/// One call of the program.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) disturbance: Disturbance,
    /// What others do meanwhile, each on a connection of their own.
    pub(crate) meanwhile: Vec<Vec<Edit>>,
    /// What somebody does before the next call.
    pub(crate) afterwards: Vec<Edit>,
}

impl Attempt {
    pub(crate) fn undisturbed() -> Self {
        Self {
            disturbance: Disturbance::None,
            meanwhile: Vec::new(),
            afterwards: Vec::new(),
        }
    }
}

/// A cycle that is written back.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) records: Vec<Record>,
    pub(crate) attempts: Vec<Attempt>,
    /// Whether the next cycle comes before the run is taken up to its end.
    pub(crate) is_left_behind: bool,
}

/// A history.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) trigger: Trigger,
    pub(crate) mode: &'static str,
    pub(crate) batch_size: u64,
    pub(crate) writers: u64,
    /// Whether a stamp tells the run.
    pub(crate) has_stamp: bool,
    /// Whether a table of the destination tells what is written.
    pub(crate) has_journal: bool,
    /// Whether anybody else writes.
    pub(crate) is_shared: bool,
    pub(crate) rows: Vec<FirstRow>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Of each undo.
    pub(crate) undo_attempts: Vec<Attempt>,
    pub(crate) deletes_created: bool,
    pub(crate) even_changed: bool,
}

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            shape,
            trigger,
            mode,
            batch_size,
            writers,
            has_stamp,
            has_journal,
            is_shared,
            ..
        } = self;
        let Self {
            rows,
            deliveries,
            undo_attempts,
            deletes_created,
            even_changed,
            ..
        } = self;
        writeln!(
            formatter,
            "{shape:?}, {trigger:?}, {mode}, batches of {batch_size}, {writers} writers"
        )?;
        writeln!(
            formatter,
            "stamp: {has_stamp}, journal: {has_journal}, shared: {is_shared}"
        )?;
        writeln!(
            formatter,
            "delete created: {deletes_created}, even changed: {even_changed}"
        )?;
        rows.iter()
            .try_for_each(|row| writeln!(formatter, "{row:?}"))?;
        for (
            cycle,
            Delivery {
                records,
                attempts,
                is_left_behind,
            },
        ) in deliveries.iter().enumerate()
        {
            writeln!(formatter, "cycle c{cycle}, left behind: {is_left_behind}")?;
            records
                .iter()
                .try_for_each(|record| writeln!(formatter, "  {record:?}"))?;
            attempts
                .iter()
                .try_for_each(|attempt| writeln!(formatter, "  {attempt:?}"))?;
        }
        undo_attempts
            .iter()
            .try_for_each(|attempt| writeln!(formatter, "undo {attempt:?}"))
    }
}

/// Ends of keys that triggers see to.
const SEEN_TO: [u64; 2] = [3, 7];

/// Whether triggers see to this key.
pub(crate) fn is_seen_to(key: &str) -> bool {
    SEEN_TO.iter().any(|end| key.ends_with(&end.to_string()))
}

/// As it stands in the table and in the source.
pub(crate) fn key_text(key: u64) -> String {
    format!("K{key:02}")
}

/// Places where a run and an undo die most interestingly: around a batch's commit.
const DEATHS: [&str; 9] = [
    "a batch committed",
    "a batch committed",
    "a batch committed",
    "record a commit in",
    "record a batch in",
    "records updated",
    "records deleted",
    "a batch rolled back",
    "a transaction begun",
];

/// Throws a history.
pub(crate) struct Thrower<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) server: Server,
    serial: u64,
}

impl<'a> Thrower<'a> {
    pub(crate) fn new(dice: &'a mut Dice, server: Server) -> Self {
        Self {
            dice,
            server,
            serial: 0,
        }
    }

    pub(crate) fn case(&mut self) -> Case {
        let shape = self
            .dice
            .pick(&[Shape::Unique, Shape::Indexed, Shape::Bare, Shape::View]);
        let keys = self.dice.pick(&[4, 9, 14]);
        let is_shared = self.dice.below(3) > 0;
        let mut rows: Vec<FirstRow> = Vec::new();
        for key in 0..keys {
            if !self.dice.one_in(4) {
                rows.push(FirstRow {
                    key,
                    score: self.dice.below(3),
                });
            }
        }
        if let (false, Some(row)) = (
            shape.is_unique() || self.dice.one_in(2),
            rows.last().cloned(),
        ) {
            rows.push(row);
        }
        let mut deliveries: Vec<Delivery> = Vec::new();
        for cycle in 0..self.dice.pick(&[1, 2, 2, 3]) {
            let before = deliveries.last().map(|delivery| delivery.records.clone());
            deliveries.push(self.delivery(
                cycle,
                keys,
                before.as_deref(),
                is_shared.then_some(shape),
            ));
        }
        let disturbed_undo = self.dice.one_in(2);
        let undo_attempts =
            (0..u64::from(disturbed_undo)).map(|_| self.attempt(keys, is_shared.then_some(shape)));
        let undo_attempts = undo_attempts.collect();
        Case {
            shape,
            trigger: self.trigger(shape),
            mode: self.dice.pick(&[
                "update_only",
                "update_only",
                "upsert",
                "upsert",
                "create_only",
            ]),
            batch_size: self.dice.pick(&[1, 2, 3, 5]),
            writers: self.dice.pick(&[1, 1, 2]),
            has_stamp: self.dice.one_in(2),
            has_journal: self.dice.one_in(2),
            is_shared,
            rows,
            deliveries,
            undo_attempts,
            deletes_created: self.dice.one_in(2),
            even_changed: !is_shared && self.dice.one_in(3),
        }
    }

    fn trigger(&mut self, shape: Shape) -> Trigger {
        let all = [
            Trigger::None,
            Trigger::None,
            Trigger::Capitals,
            Trigger::Counts,
            Trigger::Refuses,
            Trigger::RefusesBack,
            Trigger::Ignores,
        ];
        match (self.dice.pick(&all), self.server, shape) {
            // It has no trigger that leaves a row out.
            (Trigger::Ignores, Server::MariaDb, _) => Trigger::Refuses,
            // Nobody tells what becomes of rows behind a view's own triggers.
            (Trigger::Ignores, Server::Sqlite, Shape::View) => Trigger::Refuses,
            (trigger, _, _) => trigger,
        }
    }

    fn delivery(
        &mut self,
        cycle: u64,
        keys: u64,
        before: Option<&[Record]>,
        shared: Option<Shape>,
    ) -> Delivery {
        let mut records = Vec::new();
        for key in 0..keys {
            let known = before.and_then(|before| before.iter().find(|record| record.key == key));
            match (self.dice.below(6), known) {
                (0, _) => {}
                (1, Some(known)) => records.push(known.clone()),
                _ => records.push(Record {
                    key,
                    score: (!self.dice.one_in(8)).then(|| self.dice.below(3)),
                    note: (!self.dice.one_in(8))
                        .then(|| format!("c{cycle}{}", key_text(key).to_lowercase())),
                }),
            }
        }
        if records.is_empty() {
            records.push(Record {
                key: 0,
                score: Some(1),
                note: Some(format!("c{cycle}")),
            });
        }
        let attempts = (0..self.dice.below(3))
            .map(|_| self.attempt(keys, shared))
            .collect();
        Delivery {
            records,
            attempts,
            is_left_behind: self.dice.one_in(3),
        }
    }

    fn attempt(&mut self, keys: u64, shared: Option<Shape>) -> Attempt {
        let disturbance = match (self.dice.below(20), self.server) {
            (0..3, _) => Disturbance::None,
            (3..11, Server::Postgres | Server::MariaDb) => Disturbance::Cut {
                connection: usize::try_from(1 + self.dice.below(3)).expect("small"),
                answered: !self.dice.one_in(3),
                nth: usize::try_from(self.dice.below(3)).expect("small"),
                act: self.dice.pick(&[Act::Cut, Act::Reset]),
            },
            (11..13, _) => Disturbance::Kill((1 + self.dice.below(60)).to_string()),
            _ => Disturbance::Kill(format!(
                "{} {}",
                1 + self.dice.below(4),
                self.dice.pick(&DEATHS)
            )),
        };
        let Some(shape) = shared else {
            return Attempt {
                disturbance,
                ..Attempt::undisturbed()
            };
        };
        let others = if self.dice.one_in(3) { 0 } else { 2 };
        let meanwhile = (0..others)
            .map(|_| {
                (0..1 + self.dice.below(4))
                    .map(|_| self.edit(keys, shape.is_unique(), 120))
                    .collect()
            })
            .collect();
        let afterwards = if self.dice.one_in(2) {
            0
        } else {
            1 + self.dice.below(2)
        };
        let afterwards = (0..afterwards)
            .map(|_| Edit {
                commits: true,
                ..self.edit(keys, true, 1)
            })
            .collect();
        Attempt {
            disturbance,
            meanwhile,
            afterwards,
        }
    }

    /// Without a unique index nothing keeps a row from being made twice by two at once, so nobody
    /// makes one then.
    fn edit(&mut self, keys: u64, may_insert: bool, milliseconds_max: u64) -> Edit {
        self.serial += 1;
        let changes = [
            Change::Note,
            Change::Note,
            Change::Score,
            Change::Phone,
            Change::Pair,
            Change::Delete,
            Change::Insert,
            Change::Twin,
        ];
        let change = match self.dice.pick(&changes) {
            Change::Insert | Change::Twin if !may_insert => Change::Note,
            change => change,
        };
        Edit {
            pause: self.dice.below(milliseconds_max),
            change,
            key: self.dice.below(keys),
            serial: self.serial,
            hold: self.dice.below(milliseconds_max),
            commits: !self.dice.one_in(5),
        }
    }
}
