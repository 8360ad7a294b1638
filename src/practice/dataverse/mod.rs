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
