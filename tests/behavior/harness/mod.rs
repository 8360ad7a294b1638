//! What every test stands on: real servers, a project folder, and the built program run in it.

mod bullhorn;
pub(crate) mod certificates;
mod database;
mod dialect;
mod disk;
mod drivers;
mod file_server;
mod portal;
mod practice;
mod proxy;
mod running;
mod server;
mod serving;
mod sessions;
mod tables;
mod tls;
mod workspace;

#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use bullhorn::Corporation;
pub(crate) use dialect::Does;
pub(crate) use disk::Disk;
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use drivers::{DuckDb, drivers_folder};
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use file_server::{FileServer, KEY_ID, SECRET};
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use portal::Portal;
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use practice::{Practice, PracticeClient, Reply, Served, query_path};
pub(crate) use proxy::{
    Act, At, Edge, Fault, PLANNER, Proxy, Said, Side, WRITER, run_and_meanwhile,
};
pub(crate) use running::{AGAIN, Running, wait_until};
pub(crate) use server::{CANARY, PASSWORD, Server};
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use serving::{Serving, faketime_library};
#[allow(unused_imports, reason = "not every test binary uses all")]
pub(crate) use tls::TlsFront;
pub(crate) use workspace::{Client, FIELDS, Ran, SCORES, Workspace, csv_cells, write_back};
