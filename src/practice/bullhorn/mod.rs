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
