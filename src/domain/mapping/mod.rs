//! Mapping: conformed columns become fields of the destination's object, converted exactly, or their record is
//! rejected at stage `mapping`.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use polars::prelude::DataFrame;

use super::conform::Sifted;
use super::cycle::Cycle;
use super::job::WriteBack;
use super::layout::Layout;
use super::object::Object;
use super::problem::Problem;

/// What methods may know about a run.
#[derive(Debug, Clone)]
pub(crate) struct RunFacts {
    pub(crate) run: i64,
    pub(crate) job: String,
    pub(crate) cycle: Cycle,
    pub(crate) started_at: DateTime<Utc>,
}

/// Where wall clocks hang. A timestamp without a zone becomes an instant only if the source names its zone; an
/// instant is written to a column without a zone as the destination's wall clock, UTC unless it names another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Zones {
    pub(crate) source: Option<Tz>,
    pub(crate) destination: Option<Tz>,
}

/// Turns conformed records into fields.
#[derive(Debug)]
pub(crate) struct Mapping {}

impl Mapping {
    /// Meets a write-back with the object it writes to.
    /// Errors: every mistake and, when there is a mistake, every warning: unknown or doubled columns, types that
    /// cannot fit, columns that cannot be written, rights that are missing, NOT NULL columns an insert leaves out.
    /// Warnings alone come back beside the layout.
    pub(crate) fn plan(
        _write_back: &WriteBack,
        _object: &Object,
        _zones: Zones,
        _facts: &RunFacts,
    ) -> Result<(Layout, Self, Vec<Problem>), Vec<Problem>> {
        unimplemented!()
    }

    /// Names of the columns that hold the match key in what [`Mapping::apply`] yields, in the key's order.
    pub(crate) fn key_columns(&self) -> &[String] {
        unimplemented!()
    }

    /// Renames columns to fields and converts their values.
    /// Shape: `(records, schema columns + RECORD_POSITION)` in; `(records, fields that vary by record +
    /// RECORD_POSITION)` out. Record order is kept.
    pub(crate) fn apply(&self, _conformed: &DataFrame) -> Sifted {
        unimplemented!()
    }

    /// Adds the fields that hold one value for the whole run (strings and stamps) and puts all in the layout's order.
    /// Shape: `(records, fields that vary by record [+ RECORD_POSITION])` in, `(records, fields)` out.
    pub(crate) fn complete(&self, _records: &DataFrame) -> DataFrame {
        unimplemented!()
    }
}
