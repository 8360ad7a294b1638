//! A practice Salesforce: an org made of describe answers and records, held to what clients of the
//! REST API and of Bulk API 2.0 expect. It knows nothing of HTTP connections, files and faults.

mod auth;
mod bulk;
mod bulk_job;
mod collections;
mod composite;
mod cursor;
mod describe;
mod errors;
mod evaluate;
mod object;
mod org;
mod query;
mod rest;
mod rows;
mod settings;
mod soql;
mod table;
mod value;
mod write;

pub(crate) use rest::Salesforce;

use super::app::{CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN};

/// How any client is let in, in words.
pub(super) fn way_in(address: std::net::SocketAddr) -> String {
    format!(
        "token: POST http://{address}/services/oauth2/token with client_id={CLIENT_ID} client_secret={CLIENT_SECRET} \
         (grant_type=client_credentials), or refresh_token={REFRESH_TOKEN}"
    )
}
