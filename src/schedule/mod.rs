//! When a job is due. So far: which cycle a dashboard finished last.

pub(crate) mod alert;
pub(crate) mod notice;
