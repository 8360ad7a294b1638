//! What a run would do to each destination column, counted record by record in memory that does not
//! grow with them.

use serde::Serialize;

use super::comparison::Write;
use super::numbers::{NumberCollector, Numbers, Unit};
use super::pairs::{FrequentPairs, PairCounter};
use crate::domain::layout::Layout;
use crate::domain::sameness::{same, worded};
use crate::domain::value::Kind;
use crate::run::write::effect::Effect;

/// What the records that would be written do to one column. Rows that would be created count in
/// `numbers` alone.
#[derive(Debug, Serialize)]
pub(crate) struct ColumnPreview {
    pub(crate) column: String,
    /// What the column's values are, which says how they are drawn.
    #[serde(skip)]
    pub(crate) kind: Kind,
    /// Rows whose value becomes another one, or NULL, or stops being NULL.
    pub(crate) changed: u64,
    pub(crate) becomes_null: u64,
    pub(crate) stops_being_null: u64,
    /// Of a column of numbers.
    pub(crate) numbers: Option<Numbers>,
    /// Of the rows that change.
    pub(crate) pairs: FrequentPairs,
}

/// Counts what happens to each column that is written.
pub(super) struct ColumnCounters {
    counters: Vec<Counter>,
}

impl ColumnCounters {
    pub(super) fn new(layout: &Layout) -> Self {
        let fields = layout
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| !field.key);
        let counters =
            fields.map(|(position, field)| Counter::new(position, &field.column.name, field.kind));
        Self {
            counters: counters.collect(),
        }
    }

    /// Counts the records of a batch that would be written, given by their positions in it.
    pub(super) fn add(&mut self, effect: &Effect<'_>, writes: &[(usize, Write)]) {
        for counter in &mut self.counters {
            counter.add(effect, writes);
        }
    }

    /// In the layout's order.
    pub(super) fn finish(self) -> Vec<ColumnPreview> {
        self.counters.into_iter().map(Counter::finish).collect()
    }
}

struct Counter {
    /// Of the field in the layout.
    position: usize,
    report: ColumnPreview,
    numbers: Option<NumberCollector>,
    pairs: PairCounter,
}

impl Counter {
    fn new(position: usize, column: &str, kind: Kind) -> Self {
        let report = ColumnPreview {
            column: column.to_owned(),
            kind,
            changed: 0,
            becomes_null: 0,
            stops_being_null: 0,
            numbers: None,
            pairs: FrequentPairs::default(),
        };
        Self {
            position,
            report,
            numbers: unit(kind).map(NumberCollector::new),
            pairs: PairCounter::default(),
        }
    }

    fn add(&mut self, effect: &Effect<'_>, writes: &[(usize, Write)]) {
        for (record, write) in writes {
            let after = effect.after(*record, self.position);
            if let Some(numbers) = &mut self.numbers {
                numbers.add_after(after);
            }
            if *write == Write::Update {
                self.add_update(effect.before(*record, self.position), after);
            }
        }
    }

    fn add_update(&mut self, before: Option<&str>, after: Option<&str>) {
        if let Some(numbers) = &mut self.numbers {
            numbers.add_before(before);
        }
        if same(self.report.kind, before, after) {
            return;
        }
        self.report.changed += 1;
        self.report.becomes_null += u64::from(after.is_none());
        self.report.stops_being_null += u64::from(before.is_none());
        let in_words = |text| worded(self.report.kind, text);
        let (before, after) = (before.map(in_words), after.map(in_words));
        self.pairs.add(before, after);
    }

    fn finish(self) -> ColumnPreview {
        let numbers = self.numbers.map(NumberCollector::finish);
        ColumnPreview {
            numbers,
            pairs: self.pairs.finish(),
            ..self.report
        }
    }
}

fn unit(kind: Kind) -> Option<Unit> {
    match kind {
        Kind::Integer => Some(Unit::Whole),
        Kind::Decimal | Kind::Float32 | Kind::Float64 => Some(Unit::Fraction),
        Kind::Text
        | Kind::Boolean
        | Kind::Date
        | Kind::Time
        | Kind::Timestamp
        | Kind::Instant
        | Kind::Uuid
        | Kind::Json => None,
    }
}
