//! When a job is due, who watches for cycles, the loop that serves a project by itself, and what it
//! tells over HTTP.

pub(crate) mod alert;
pub(crate) mod announce;
mod clock;
mod due;
mod files;
pub(crate) mod http;
mod metrics;
pub(crate) mod notice;
pub(crate) mod outlook;
pub(crate) mod requested;
pub(crate) mod serve;
pub(crate) mod serve_state;
