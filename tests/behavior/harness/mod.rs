//! What every test stands on: real servers, a project folder, and the built program run in it.

pub(crate) mod certificates;
mod database;
mod server;
mod serving;
#[cfg(test)]
mod tests;
mod workspace;

pub(crate) use server::{CANARY, PASSWORD, Server};
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use serving::{Serving, faketime_library};
pub(crate) use workspace::{FIELDS, Ran, SCORES, Workspace, write_back};
