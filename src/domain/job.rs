//! A job: one file of `schedules/`, checked as far as files alone can tell.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::alert::Thresholds;
use super::cadence::Cadence;
use super::canary::Canary;
use super::compare::Compare;
use super::field::{Field, FieldValue, NullPolicy};
use super::guard::Guards;
use super::match_rule::MatchMode;
use super::object::ObjectName;
use super::problem::Location;
use super::schema::Schema;

/// One file of `schedules/`.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The file's name without its extension.
    pub(crate) name: String,
    /// Absent if the job follows no dashboard: it then runs by hand only.
    pub(crate) cadence: Option<Cadence>,
    /// From where on people are told of its runs.
    pub(crate) thresholds: Thresholds,
    pub(crate) write_backs: Vec<WriteBack>,
}

/// One schema, source, object, fields and match rule.
#[derive(Debug, Clone)]
pub(crate) struct WriteBack {
    pub(crate) name: String,
    pub(crate) schema: Schema,
    /// Name of the connection that records are read from.
    pub(crate) source: String,
    /// Name of the connection that records are written to.
    pub(crate) destination: String,
    pub(crate) table: ObjectName,
    pub(crate) batch_records_max: NonZeroUsize,
    pub(crate) mode: MatchMode,
    pub(crate) nulls: NullPolicy,
    /// What records are compared with.
    pub(crate) compare: Compare,
    pub(crate) guards: Guards,
    /// What goes first; `None`: all goes at once.
    pub(crate) canary: Option<Canary>,
    /// The table of the destination that tells what was written, and where the job says so.
    pub(crate) journal_table: Option<(ObjectName, Location)>,
    /// How long before-images are kept; `None`: not at all, and its runs cannot be undone.
    pub(crate) before_images_kept: Option<Duration>,
    /// XXH3 (128 bits, hexadecimal) of what it writes where: another version, another test. How
    /// much is written at once, how files are laid out, what guards it, what goes first and what
    /// tells of it makes no other version.
    pub(crate) version: String,
    /// In the order of the file. Every schema column stands in exactly one field or is ignored; the
    /// key columns stand in fields of the form [`FieldValue::Column`].
    pub(crate) fields: Vec<Field>,
    /// Of the `[[write_back]]` line.
    pub(crate) location: Location,
    /// Of the `table` line.
    pub(crate) table_location: Location,
}

impl Job {
    /// Name of the `[dashboards.*]` whose cycles the job follows, if it follows one.
    pub(crate) fn dashboard(&self) -> Option<&str> {
        self.cadence
            .as_ref()
            .map(|cadence| cadence.dashboard.as_str())
    }
}

impl WriteBack {
    /// Positions in `fields` of the match key, in the key's order.
    pub(crate) fn key_fields(&self) -> Vec<usize> {
        let field_of = |column: &usize| {
            self.fields.iter().position(
                |field| matches!(&field.value, FieldValue::Column(position) if position == column),
            )
        };
        self.schema.key.iter().filter_map(field_of).collect()
    }
}
