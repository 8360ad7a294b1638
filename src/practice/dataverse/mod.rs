//! A practice Dataverse: an environment made of table definitions and rows, held to what clients of
//! the Web API expect. It knows nothing of HTTP connections, files and faults.

mod auth;
mod batch;
mod bulk;
mod describe;
mod environment;
mod errors;
mod filter;
mod limits;
mod lists;
mod read;
mod rest;
mod settings;
mod table;
mod value;
mod write;

pub(crate) use rest::Dataverse;
pub(crate) use settings::TENANT;

use super::app::{CLIENT_ID, CLIENT_SECRET};

/// How any client is let in, in words.
pub(super) fn way_in(address: std::net::SocketAddr) -> String {
    format!(
        "token: POST http://{address}/{TENANT}/oauth2/v2.0/token with client_id={CLIENT_ID} client_secret={CLIENT_SECRET} \
         scope=http://{address}/.default (grant_type=client_credentials)"
    )
}
