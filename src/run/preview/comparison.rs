//! A batch beside the rows it meets, value by value and as text: what a row holds and what it will
//! hold.

use polars::prelude::{DataFrame, StringChunked};

use super::Change;
use crate::domain::before::BeforeImages;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::record::column_texts;
use crate::domain::sameness::same;
use crate::run::conflicts::Conflicts;

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Update,
    Insert,
}

impl Write {
    pub(super) fn of(decision: &Decision) -> Option<Self> {
        match decision {
            Decision::Update => Some(Self::Update),
            Decision::Insert => Some(Self::Insert),
            Decision::Leave | Decision::Delete | Decision::Skip(_) | Decision::Reject(_) => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Insert => "insert",
        }
    }
}

/// A batch and what was found of it.
#[derive(Clone, Copy)]
pub(in crate::run) struct Met<'a> {
    pub(in crate::run) layout: &'a Layout,
    pub(in crate::run) batch: &'a DataFrame,
    pub(in crate::run) before: &'a BeforeImages,
    pub(in crate::run) conflicts: &'a Conflicts,
}

/// The same as text.
pub(super) struct Comparison<'a> {
    pub(super) layout: &'a Layout,
    before: &'a BeforeImages,
    conflicts: &'a Conflicts,
    /// What is sent, field by field.
    sent: Vec<StringChunked>,
}

impl<'a> Comparison<'a> {
    pub(super) fn of(
        &Met {
            layout,
            batch,
            before,
            conflicts,
        }: &Met<'a>,
    ) -> Self {
        let texts = batch
            .columns()
            .iter()
            .map(column_texts)
            .collect::<Result<_, _>>();
        let sent = texts.expect("a batch has its values in their kinds' representations");
        Self {
            layout,
            before,
            conflicts,
            sent,
        }
    }

    /// What the row held in a field; `None` for NULL, and of an insert.
    pub(super) fn before(&self, record: usize, field: usize) -> Option<&str> {
        self.before.value(record, field)
    }

    /// What the row holds in a field once the record is written.
    pub(super) fn after(
        &self,
        record: usize,
        position: usize,
        field: &LayoutField,
        write: Write,
    ) -> Option<&str> {
        let sent = self.sent.get(position).and_then(|texts| texts.get(record));
        match write {
            Write::Insert => sent,
            Write::Update if self.conflicts.keeps(record, position) => {
                self.before(record, position)
            }
            Write::Update => self
                .layout
                .after_update(field, self.before(record, position), sent),
        }
    }

    /// What writing a record changes, column by column; of an insert, every column.
    pub(super) fn changes(&self, record: usize, write: Write) -> Vec<Change> {
        let change = |(position, field): (usize, &LayoutField)| {
            let (before, after) = (
                self.before(record, position),
                self.after(record, position, field, write),
            );
            let differs = write == Write::Insert || !same(field.kind, before, after);
            differs.then(|| Change {
                column: field.column.name.clone(),
                before: before.map(str::to_owned),
                after: after.map(str::to_owned),
            })
        };
        self.layout
            .fields
            .iter()
            .enumerate()
            .filter_map(change)
            .collect()
    }
}
