//! Web APIs that records are written to. What differs between them is spelling, one folder each;
//! what they share stands here: a request is carried out record by record, nothing holds still
//! meanwhile, and an answer may be lost though the request was carried out.

mod look_up;
mod patience;
pub(crate) mod report;
pub(crate) mod salesforce;

use std::time::Duration;

use polars::prelude::DataFrame;

use super::{Destination, LookUp, LookedUp, RowId, Stored};
use crate::domain::before::Before;
use crate::domain::connection::{Connection, ServiceKind, System};
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::object::{Object, ObjectName};

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

    fn abilities(&self, object: &Object) -> Abilities;
}

/// The closed set of web APIs.
pub(crate) enum AnyService {
    Salesforce(salesforce::SalesforceDestination),
}

impl AnyService {
    /// The system's own description of an object, as it is.
    pub(crate) async fn describe_text(&self, name: &str) -> Result<String, SystemError> {
        match self {
            Self::Salesforce(service) => service.describe_text(name).await,
        }
    }

    /// Tells of the account and of the user that is logged in.
    pub(crate) async fn report(&self) -> Result<report::AccountReport, SystemError> {
        match self {
            Self::Salesforce(service) => service.report().await,
        }
    }
}

impl LookUp for AnyService {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        match self {
            Self::Salesforce(service) => service.look_up(layout, batch, before).await,
        }
    }
}

impl Destination for AnyService {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        match &connection.system {
            System::Service(settings) => Ok(match settings.kind {
                ServiceKind::Salesforce => Self::Salesforce(
                    salesforce::SalesforceDestination::connect(connection, settings).await?,
                ),
            }),
            System::Files { .. }
            | System::Sqlite(_)
            | System::Postgres(_)
            | System::Mysql(_)
            | System::Adbc(_) => Err(SystemError::NotFound {
                what: format!("a web API behind `{}`", connection.name),
                hint: None,
            }),
        }
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        match self {
            Self::Salesforce(service) => service.describe(name).await,
        }
    }

    async fn identity(&mut self) -> Result<String, SystemError> {
        match self {
            Self::Salesforce(service) => Ok(service.identity()),
        }
    }

    async fn close(self) {
        match self {
            // A session ends by itself.
            Self::Salesforce(_) => {}
        }
    }
}

impl Service for AnyService {
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        match self {
            Self::Salesforce(service) => service.apply(layout, records, writes).await,
        }
    }

    fn abilities(&self, object: &Object) -> Abilities {
        match self {
            Self::Salesforce(service) => service.abilities(object),
        }
    }
}
