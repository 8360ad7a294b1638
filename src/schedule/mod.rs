//! When a job is due. So far: which cycle a dashboard finished last, and what the scheduler tells over HTTP.

pub(crate) mod http;
mod metrics;
pub(crate) mod notice;
pub(crate) mod serve_state;
