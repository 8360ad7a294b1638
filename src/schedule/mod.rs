//! When a job is due, who watches for cycles, and the loop that serves a project by itself.

pub(crate) mod alert;
mod clock;
mod due;
mod files;
pub(crate) mod notice;
pub(crate) mod outlook;
pub(crate) mod serve;
