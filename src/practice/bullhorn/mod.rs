//! A practice Bullhorn: a corporation made of `meta` answers and records, held to what clients of the
//! REST API expect. It knows nothing of HTTP connections, files and faults.
//! Sources: <https://bullhorn.github.io/rest-api-docs/>, and what other clients of it met.

mod auth;
mod corporation;
mod errors;
mod expression;
mod fields;
mod lucene;
mod meta;
mod read;
mod rest;
mod settings;
mod where_clause;
mod write;

pub(crate) use rest::Bullhorn;
pub(crate) use settings::{PASSWORD, USERNAME};

use super::app::{CLIENT_ID, CLIENT_SECRET};

/// How any client is let in, in words.
pub(super) fn way_in(address: std::net::SocketAddr) -> String {
    format!(
        "log-in: GET http://{address}/rest-services/loginInfo?username={USERNAME}, then OAuth with client_id={CLIENT_ID} \
         client_secret={CLIENT_SECRET} username={USERNAME} password={PASSWORD}"
    )
}
