//! A write-back as it is put together: what it says whatever it writes, and what it writes.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::fields::Asking;
use super::questions::QuestionsSchema;
use crate::domain::canary::Canary;
use crate::domain::compare::Compare;
use crate::domain::condition::Condition;
use crate::domain::connection::{DataverseOptions, SalesforceOptions, ServiceKind};
use crate::domain::dependent::ReadBack;
use crate::domain::field::{Field, NullPolicy};
use crate::domain::guard::Guards;
use crate::domain::job::{Creation, RecordsOf, WriteBack};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::ObjectName;
use crate::domain::problem::Location;
use crate::domain::schema::Schema;

/// What a write-back says whatever it writes, and all of its steps have in common.
pub(super) struct Common {
    pub(super) name: Option<String>,
    pub(super) common_name: Option<String>,
    pub(super) schema: Option<Schema>,
    pub(super) source: Option<String>,
    pub(super) destination: Option<String>,
    /// The web API that it writes to, if it is one.
    pub(super) service: Option<ServiceKind>,
    pub(super) batch_records_max: NonZeroUsize,
    pub(super) nulls: NullPolicy,
    pub(super) before_images_kept: Option<Duration>,
    pub(super) journal_table: Option<(ObjectName, Location)>,
    pub(super) salesforce: SalesforceOptions,
    pub(super) dataverse: DataverseOptions,
    pub(super) enabled: bool,
    pub(super) version: Option<String>,
    pub(super) location: Location,
    /// Position of the schema column that tells whose a record is.
    pub(super) agency_column: Option<usize>,
    pub(super) records_of: RecordsOf,
    pub(super) guards: Guards,
    /// Whether an agency's file is laid over the base, which may take fields out.
    pub(super) of_agency: bool,
    /// Where the questions stand, and which of them fields take.
    pub(super) questions: Option<(QuestionsSchema, Asking)>,
}

/// What a write-back writes, and where.
pub(super) struct Own {
    pub(super) name: String,
    pub(super) table: (ObjectName, Location),
    pub(super) mode: MatchMode,
    pub(super) fields: Vec<Field>,
    pub(super) canary: Option<Canary>,
    pub(super) compare: Compare,
    pub(super) creation: Option<Creation>,
    pub(super) only_where: Vec<Condition>,
    pub(super) read_back: ReadBack,
}

impl Common {
    /// The write-back, if nothing is missing.
    pub(super) fn with(&self, own: Own) -> Option<WriteBack> {
        let (table, table_location) = own.table;
        Some(WriteBack {
            name: own.name,
            common_name: self.common_name.clone(),
            salesforce: self.salesforce,
            dataverse: self.dataverse.clone(),
            schema: self.schema.clone()?,
            records_of: self.records_of.clone(),
            questions: self
                .questions
                .as_ref()
                .map(|(questions, asking)| questions.with(asking)),
            source: self.source.clone()?,
            destination: self.destination.clone()?,
            table,
            batch_records_max: self.batch_records_max,
            mode: own.mode,
            nulls: self.nulls,
            guards: self.guards.clone(),
            canary: own.canary,
            compare: own.compare,
            journal_table: self.journal_table.clone(),
            before_images_kept: self.before_images_kept,
            version: self.version.clone()?,
            fields: own.fields,
            enabled: self.enabled,
            creation: own.creation,
            way: None,
            only_where: own.only_where,
            read_back: own.read_back,
            location: self.location.clone(),
            table_location,
        })
    }
}
