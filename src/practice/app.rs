//! The app that every practice lets in.

pub(crate) const CLIENT_ID: &str = "practice";
pub(crate) const CLIENT_SECRET: &str = "practice";
pub(crate) const REFRESH_TOKEN: &str = "practice";
