//! A batch beside the rows it meets, value by value and as text: what a row holds and what it will
//! hold.

use serde::Serialize;

use crate::domain::layout::LayoutField;
use crate::domain::match_rule::Decision;
use crate::domain::sameness::{in_words, same};
use crate::run::write::effect::Effect;

/// One column of a record, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ColumnChange {
    pub(crate) column: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

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

/// What writing a record changes, column by column; of an insert, every column.
pub(super) fn changes(effect: &Effect<'_>, record: usize, write: Write) -> Vec<ColumnChange> {
    let change = |(position, field): (usize, &LayoutField)| {
        let before = effect.before(record, position);
        let after = effect.after(record, position);
        let differs = write == Write::Insert || !same(field.kind, before, after);
        differs.then(|| ColumnChange {
            column: field.column.name.clone(),
            before: in_words(field.kind, before),
            after: in_words(field.kind, after),
        })
    };
    let fields = effect.layout().fields.iter().enumerate();
    fields.filter_map(change).collect()
}
