//! A practice HubSpot: a portal made of schemas and records, held to what clients of the CRM API
//! expect. It knows nothing of HTTP connections, files and faults.

mod associations;
mod auth;
mod errors;
mod limits;
mod object;
mod portal;
mod read;
mod rest;
mod search;
mod settings;
mod table;
mod value;
mod write;

pub(crate) use rest::HubSpot;
pub(crate) use settings::TOKEN;

/// How any client is let in, in words.
pub(super) fn way_in() -> String {
    format!("token: Authorization: Bearer {TOKEN}")
}
