//! Which web APIs there are, and what is known of each without asking it.

use std::num::NonZeroU16;

use strum::{EnumCount, VariantArray};

/// The web APIs that records are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
pub(crate) enum ServiceKind {
    Salesforce,
    Bullhorn,
    HubSpot,
    Dataverse,
}

impl ServiceKind {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As `kind = "…"` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Salesforce => "salesforce",
            Self::Bullhorn => "bullhorn",
            Self::HubSpot => "hubspot",
            Self::Dataverse => "dataverse",
        }
    }

    /// Records of a batch at the most: those that one request takes, or that one look-up finds where
    /// a request takes a single one.
    /// Sources: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm>,
    /// <https://bullhorn.github.io/rest-api-docs/#get-search> (`count`),
    /// <https://developers.hubspot.com/docs/api-reference/crm-objects-v3/guide>,
    /// <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/bulk-operations>.
    pub(crate) fn request_records_max(self) -> NonZeroU16 {
        match self {
            Self::Salesforce => const { NonZeroU16::new(200).expect("200 is not zero") },
            Self::Bullhorn | Self::Dataverse => {
                const { NonZeroU16::new(500).expect("500 is not zero") }
            }
            Self::HubSpot => const { NonZeroU16::new(100).expect("100 is not zero") },
        }
    }

    /// Where the API's admins give its users rights.
    pub(crate) fn right_given_by(self) -> &'static str {
        match self {
            Self::Salesforce => {
                "let a permission set of the user give it, by its object settings or field-level security"
            }
            Self::Bullhorn => {
                "have an admin give the user's type the entitlement: Menu › Admin › User Types"
            }
            Self::HubSpot => "let the scopes of the private app give it",
            Self::Dataverse => {
                "let a security role of the application user give it, or a column security profile"
            }
        }
    }

    /// How the API is made to refuse a second record with a key.
    pub(crate) fn made_unique_by(self) -> &'static str {
        match self {
            Self::Salesforce => {
                "have Salesforce refuse a second one: mark the field as unique there"
            }
            Self::Bullhorn => {
                "Bullhorn keeps nothing unique: let nobody else make records with this key, and merge those that share one"
            }
            Self::HubSpot => {
                "match by a property that HubSpot keeps unique, such as one that was made with unique values"
            }
            Self::Dataverse => {
                "have the environment refuse a second one: define an alternate key over it"
            }
        }
    }
}
