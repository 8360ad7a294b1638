//! What every test stands on: real servers, a project folder, and the built program run in it.

mod certificates;
mod database;
mod proxy;
mod running;
mod server;
#[cfg(test)]
mod tests;
mod workspace;

pub(crate) use proxy::{Act, At, Edge, Fault, PLANNER, Proxy, Said, Side, WRITER, run_and_meanwhile};
pub(crate) use running::{AGAIN, Running, wait_until};
pub(crate) use server::{CANARY, PASSWORD, Server};
pub(crate) use workspace::{Client, FIELDS, Ran, SCORES, Workspace, write_back};
