//! Web APIs that records are written to. What differs between them is spelling, one folder each;
//! what they share stands here: a request is carried out record by record, nothing holds still
//! meanwhile, and an answer may be lost though the request was carried out.

mod access;
pub(crate) mod bullhorn;
pub(crate) mod dataverse;
mod descriptions;
#[cfg(test)]
mod garbled;
pub(crate) mod hubspot;
mod look_up;
mod patience;
pub(crate) mod report;
pub(crate) mod salesforce;
pub(crate) mod seam;
mod token;
mod values;

use futures_util::future::join_all;
use polars::prelude::{DataFrame, Series};

use self::seam::{Abilities, Reply, Service, ServiceWrite};
use super::seam::{Destination, LookUp, LookedUp};
use crate::domain::before::Before;
use crate::domain::connection::{Connection, ServiceKind, ServiceSettings};
use crate::domain::error::SystemError;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{Object, ObjectColumn, ObjectName};
use crate::domain::referral::{ReferenceColumn, Referents, Referral, ValuesSeen};
use crate::http::Usage;

/// The closed set of web APIs.
pub(crate) enum AnyService {
    Salesforce(salesforce::SalesforceDestination),
    Bullhorn(bullhorn::BullhornDestination),
    HubSpot(hubspot::HubSpotDestination),
    Dataverse(dataverse::DataverseDestination),
}

/// Asks the same of whichever web API it is.
macro_rules! whichever {
    ($any:ident, $service:ident => $answer:expr) => {
        match $any {
            AnyService::Salesforce($service) => $answer,
            AnyService::Bullhorn($service) => $answer,
            AnyService::HubSpot($service) => $answer,
            AnyService::Dataverse($service) => $answer,
        }
    };
}

impl AnyService {
    /// The system's own description of an object, as it is.
    pub(crate) async fn describe_text(&self, name: &str) -> Result<String, SystemError> {
        whichever!(self, service => service.describe_text(name).await)
    }

    /// As [`super::AnyDestination::follow`].
    pub(super) fn follow(&mut self, settings: &ServiceSettings) {
        match self {
            Self::Salesforce(service) => service.follow(settings),
            Self::Dataverse(service) => service.follow(settings),
            Self::Bullhorn(_) | Self::HubSpot(_) => {}
        }
    }

    /// As [`super::AnyDestination::foresee`]. What cannot be described is told when it is asked for.
    pub(super) async fn foresee(&self, names: &[ObjectName]) {
        let described = names.iter().map(async |name| {
            whichever!(self, service => drop(service.describe(name).await));
        });
        join_all(described).await;
    }

    /// As [`super::AnyDestination::completed`].
    pub(super) async fn completed(
        &self,
        object: Object,
        names: &[&str],
    ) -> Result<Object, SystemError> {
        if let Self::HubSpot(service) = self {
            service.completed(object, names).await
        } else {
            Ok(object)
        }
    }

    /// As [`super::AnyDestination::values_seen`].
    pub(super) async fn values_seen(
        &self,
        object: &Object,
        column: &str,
    ) -> Result<ValuesSeen, SystemError> {
        if let Self::Bullhorn(service) = self {
            return service.values_seen(object, column).await;
        }
        Ok(ValuesSeen::new())
    }

    /// Tells of the account and of the user that is logged in.
    pub(crate) async fn report(&self) -> Result<report::AccountReport, SystemError> {
        match self {
            Self::Salesforce(service) => service.report().await,
            Self::Bullhorn(service) => service.report().await,
            Self::HubSpot(service) => Ok(service.report()),
            Self::Dataverse(service) => service.report().await,
        }
    }
}

/// Gives back what hosts have few of and this process does not use: for the end of a piece of work,
/// which connects many times over. Other sessions end by themselves.
pub(crate) async fn give_back_sessions() {
    bullhorn::give_back_sessions().await;
}

/// The id of a record of an object, as a field that names it holds it.
pub(crate) fn reference_text(
    kind: ServiceKind,
    column: &ObjectColumn,
    object: &str,
    id: &str,
) -> String {
    match kind {
        ServiceKind::Dataverse => dataverse::reference_text(column, object, id),
        ServiceKind::Salesforce | ServiceKind::Bullhorn | ServiceKind::HubSpot => id.to_owned(),
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
        whichever!(self, service => service.look_up(layout, batch, before).await)
    }
}

impl Destination for AnyService {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        let settings = connection.system.service();
        let settings = settings.ok_or_else(|| SystemError::NotFound {
            what: format!("a web API behind `{}`", connection.name),
            hint: None,
        })?;
        Ok(match settings.kind {
            ServiceKind::Salesforce => Self::Salesforce(
                salesforce::SalesforceDestination::connect(connection, settings).await?,
            ),
            ServiceKind::Bullhorn => {
                Self::Bullhorn(bullhorn::BullhornDestination::connect(connection, settings).await?)
            }
            ServiceKind::HubSpot => {
                Self::HubSpot(hubspot::HubSpotDestination::connect(connection, settings).await?)
            }
            ServiceKind::Dataverse => Self::Dataverse(
                dataverse::DataverseDestination::connect(connection, settings).await?,
            ),
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        whichever!(self, service => service.describe(name).await)
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        whichever!(self, service => service.object_names().await)
    }

    async fn identity(&mut self) -> Result<String, SystemError> {
        whichever!(self, service => Ok(service.identity()))
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        match self {
            Self::Salesforce(service) => service.references(object).await,
            Self::Bullhorn(service) => service.references(object).await,
            Self::HubSpot(service) => Ok(service.references(object)),
            Self::Dataverse(service) => service.references(object).await,
        }
    }

    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        let mut found =
            whichever!(self, service => look_up::refer(service, referral, values).await)?;
        if let Self::Dataverse(_) = self {
            dataverse::tell_tables(referral, &mut found);
        }
        Ok(found)
    }

    /// Sessions stay, for whoever connects next: see [`give_back_sessions`].
    async fn close(self) {}
}

impl Service for AnyService {
    async fn apply(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        whichever!(self, service => service.apply(layout, records, writes).await)
    }

    async fn refused_unsent(
        &self,
        layout: &Layout,
        records: &DataFrame,
        writes: &[ServiceWrite<'_>],
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        whichever!(self, service => service.refused_unsent(layout, records, writes).await)
    }

    async fn settle(
        &mut self,
        layout: &Layout,
        records: usize,
        in_doubt: bool,
    ) -> Result<(), SystemError> {
        // The others carry out what they are asked while it is waited for.
        if let Self::Salesforce(service) = self {
            service.settle(layout, records, in_doubt).await
        } else {
            Ok(())
        }
    }

    fn abilities(&self, object: &Object) -> Abilities {
        whichever!(self, service => service.abilities(object))
    }

    fn empties_first(&self, field: &LayoutField) -> bool {
        whichever!(self, service => service.empties_first(field))
    }

    fn goes_in_steps(&self, layout: &Layout) -> bool {
        whichever!(self, service => service.goes_in_steps(layout))
    }

    fn update_calls(&self, object: &Object, updates: usize, guarded: bool) -> u64 {
        whichever!(self, service => service.update_calls(object, updates, guarded))
    }

    fn insert_calls(&self, object: &Object, inserts: usize) -> u64 {
        whichever!(self, service => service.insert_calls(object, inserts))
    }

    fn calls_used(&self) -> Option<Usage> {
        whichever!(self, service => service.calls_used())
    }
}
