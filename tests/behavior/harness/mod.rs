//! What every test stands on: real servers, a project folder, and the built program run in it.

mod database;
mod server;
mod workspace;

pub(crate) use server::{PASSWORD, Server};
pub(crate) use workspace::{Ran, Workspace};
