//! What a web API is to whoever writes to it, record by record.

use std::time::Duration;

use polars::prelude::DataFrame;

use crate::destination::seam::{LookUp, RowId, Stored};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::Object;
use crate::http::Usage;

/// What one write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceVerb<'a> {
    /// `marker` makes it repeatable, where the object can hold one.
    Create {
        marker: Option<&'a str>,
    },
    /// A `guarded` one is refused if the record changed since it was looked up.
    Update {
        row: &'a Stored,
        guarded: bool,
    },
    Delete {
        row: &'a RowId,
    },
}

/// One record's write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceWrite<'a> {
    /// Position of the record in the frame.
    pub(crate) record: usize,
    pub(crate) verb: ServiceVerb<'a>,
    /// Positions in the layout of the fields that are sent.
    pub(crate) fields: Vec<usize>,
}

/// What a system says of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Done {
        id: RowId,
    },
    /// Not carried out, nor will it be until the record or the system changes: in its own words.
    Refused {
        message: String,
        column: Option<String>,
    },
    /// Not carried out; it may be later.
    Again {
        after: Option<Duration>,
        why: String,
    },
    /// Not carried out, for the record is another one than was looked up.
    ChangedSince,
    /// Not carried out, for the record is no longer there.
    Gone,
    /// Nobody can say: sent and not answered, or left out of the answer.
    Unknown,
}

/// How surely a guarded write is refused where somebody changed the record meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardStrength {
    /// A change within the same second slips through.
    WholeSeconds,
    /// The record is looked at again just before it is written: a change in between slips through.
    ComparedBefore,
    /// Not a single change slips through.
    Exact,
}

/// What a system can do for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Writes of one request.
    pub(crate) writes_max: usize,
    /// Guarded updates of one request.
    pub(crate) guarded_max: usize,
    /// `None` where nothing tells that a record changed.
    pub(crate) guard: Option<GuardStrength>,
    /// Whether creates can carry a marker, by which a repeated one is known.
    pub(crate) marks_creates: bool,
}

impl Abilities {
    /// Calls that so many updates take.
    pub(crate) fn update_calls(&self, updates: usize, guarded: bool) -> u64 {
        let updates_max = match guarded && self.guard.is_some() {
            true => self.guarded_max,
            false => self.writes_max,
        };
        u64::try_from(updates.div_ceil(updates_max.max(1))).unwrap_or(u64::MAX)
    }
}

/// A web API that records are written to. Waiting, renewing of tokens, throttling and quota are
/// seen to below it: what comes up is for good, or for the next try of the whole.
pub(crate) trait Service: LookUp<Error = SystemError> {
    /// Carries out one request's worth of writes, all of one verb and no more than
    /// [`Abilities::writes_max`]; returns one reply a write, in their order. Errors: of the request
    /// as a whole; where it may have been carried out, `Unanswered`, else nothing of it was.
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError>;

    /// Which of these writes would be refused before they are sent, for what is known of their
    /// records: the replies of those. Shape: one a write.
    async fn refused_unsent(
        &self,
        _layout: &Layout,
        _records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        Ok(vec![None; writes.len()])
    }

    /// Waits for what this program asked of the account before and what is still being carried out
    /// there, so that it is not overtaken: before so many records are written, or looked at again
    /// because they are `in_doubt`.
    async fn settle(
        &mut self,
        _layout: &Layout,
        _records: usize,
        _in_doubt: bool,
    ) -> Result<(), SystemError> {
        Ok(())
    }

    fn abilities(&self, object: &Object) -> Abilities;

    /// Whether a field is emptied before it is written, so that a write that is cut off leaves it empty.
    fn empties_first(&self, _field: &LayoutField) -> bool {
        false
    }

    /// Whether a record is written in several steps, so that a write that is cut off leaves it half
    /// way.
    fn goes_in_steps(&self, layout: &Layout) -> bool {
        layout.fields.iter().any(|field| self.empties_first(field))
    }

    /// Calls that so many updates of one batch take at the most.
    fn update_calls(&self, object: &Object, updates: usize, guarded: bool) -> u64 {
        self.abilities(object).update_calls(updates, guarded)
    }

    /// Calls that so many creates of one batch take.
    fn insert_calls(&self, object: &Object, inserts: usize) -> u64 {
        self.abilities(object).update_calls(inserts, false)
    }

    /// The account's calls as they were told last, other programs' use counted too; `None` where
    /// nothing tells.
    fn calls_used(&self) -> Option<Usage>;
}
