//! A batch on its way to a writer: the records of one write, who they are, and what is known of an
//! earlier writing.

use std::collections::BTreeSet;
use std::sync::Arc;

use polars::prelude::{DataFrame, IdxSize};

use crate::domain::outcome::{Outcome, Rejection, Stage};
use crate::domain::record::Identities;
use crate::ledger::BatchSpan;
use crate::run::conflicts::LastValues;
use crate::run::outcomes::UnderWay;
use crate::run::settled::{LookedUpOnly, Settled};
use crate::run::write::terms::ExpectedRow;

/// The records of one write.
pub(super) struct Batch {
    pub(super) span: BatchSpan,
    /// Shape: `(records, fields)`, in the layout's order.
    pub(super) records: DataFrame,
    /// Of the whole partition, for the records that are rejected.
    pub(super) identities: Arc<Identities>,
    /// Held until the batch has ended, and with it every part of it.
    pub(super) under_way: UnderWay,
    /// What an earlier writing of this span, whose commit nobody can vouch for, said of each
    /// record.
    pub(super) sent: Option<Vec<Outcome>>,
    /// Absent, all are looked up.
    pub(super) looked_up: Option<Box<LookedUpOnly>>,
    /// What was last written into fields in which someone else's values are kept, if there are such
    /// fields.
    pub(super) last_written: Option<Box<LastValues>>,
    /// Of the one record of a request.
    pub(super) request: Option<Box<RequestTerms>>,
}

/// What a request says of its record's row.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestTerms {
    /// What it is to hold before it is written; `None`: anything.
    pub(super) expected: Option<Arc<ExpectedRow>>,
    /// Whether it is no request but a test, which is written as a run writes, and told of in full.
    pub(super) is_test: bool,
}

impl Batch {
    /// Whether the end of a request tells the ledger that it is committed.
    pub(super) fn ends_with_its_request(&self) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| !request.is_test)
    }

    /// The rejection of the record at `index` of the batch.
    pub(super) fn reject(
        &self,
        index: u32,
        stage: Stage,
        column: Option<String>,
        reason: String,
    ) -> Rejection {
        let index_in_partition = usize::try_from(self.span.first + index).unwrap_or(usize::MAX);
        self.identities
            .reject(index_in_partition, stage, column, reason)
    }

    /// The match key of the record at `index` of the batch.
    pub(super) fn key(&self, index: usize) -> String {
        let first = usize::try_from(self.span.first).unwrap_or(usize::MAX);
        self.identities
            .key(first.saturating_add(index))
            .unwrap_or_default()
    }

    /// The match keys of its records.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        (0..self.records.height())
            .map(|index| self.key(index))
            .collect()
    }

    /// Why the record at `index` of the batch is not looked up; `None` if it is.
    pub(super) fn settled(&self, index: u32) -> Option<Settled> {
        let only = self.looked_up.as_ref()?;
        let is_looked_up = only.positions.binary_search(&index).is_ok();
        (!is_looked_up).then_some(only.others)
    }

    /// Whether no record of it is looked up.
    pub(super) fn is_settled(&self) -> bool {
        self.looked_up().is_some_and(<[IdxSize]>::is_empty)
    }

    /// Positions of the records that are looked up, if they are not all.
    pub(super) fn looked_up(&self) -> Option<&[IdxSize]> {
        let only = self.looked_up.as_ref();
        only.map(|only| only.positions.as_slice())
    }

    /// Two halves of a batch, as to the records that are looked up; one of them alone stands by
    /// itself in the end. A batch of one comes back whole.
    #[allow(
        clippy::result_large_err,
        reason = "it is what was given, and is moved once"
    )]
    pub(super) fn halve(self) -> Result<(Self, Self), Self> {
        if self.span.records < 2 {
            return Err(self);
        }
        let left_records = match self.looked_up() {
            Some([only]) => (*only).max(1),
            Some(positions) => {
                let middle = positions.get(positions.len() / 2).copied();
                middle.unwrap_or_default().max(1)
            }
            None => self.span.records / 2,
        };
        Ok((
            self.part(0, left_records),
            self.part(left_records, self.span.records - left_records),
        ))
    }

    fn part(&self, first: u32, records: u32) -> Self {
        let size = usize::try_from(records).unwrap_or(usize::MAX);
        Self {
            span: BatchSpan {
                first: self.span.first + first,
                records,
                ..self.span
            },
            records: self.records.slice(i64::from(first), size),
            last_written: self
                .last_written
                .as_ref()
                .map(|last| Box::new(last.slice(i64::from(first), size))),
            identities: Arc::clone(&self.identities),
            under_way: self.under_way.clone(),
            sent: None,
            looked_up: self.looked_up.as_ref().map(|only| {
                let within = first..first + records;
                let positions = only.positions.iter().filter(|at| within.contains(at));
                Box::new(LookedUpOnly {
                    positions: positions.map(|at| at - first).collect(),
                    others: only.others,
                })
            }),
            request: None,
        }
    }
}
