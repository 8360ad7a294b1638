//! HTTP as web APIs are spoken to with: one request and its answer, the token that it carries, how
//! fast requests may follow one another, and how much of a quota they may use up. Knows no API.

mod client;
mod meter;
mod pace;
mod quota;
mod session;
mod tally;
mod tokens;

pub(crate) use client::{Client, ClientSettings, HttpMethod, Request, Response, SendError};
pub(crate) use meter::CallMeter;
pub(crate) use pace::{Bucket, delays};
pub(crate) use quota::Usage;
pub(crate) use session::{ApiManner, Judgement, Repeat, Session, SessionSettings};
pub(crate) use tally::{CallTally, tallied_alike};
pub(crate) use tokens::{Granted, LoginError, TokenFile, same_site};
