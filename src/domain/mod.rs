//! What the product is about: schemas, fields, match rules, decisions, outcomes. No I/O, no async,
//! no clock: time is given, never asked for. Every other module may use this one; it uses none of
//! them.

pub(crate) mod access;
pub(crate) mod alert;
pub(crate) mod allowance;
pub(crate) mod alteration;
pub(crate) mod before;
pub(crate) mod cadence;
pub(crate) mod canary;
pub(crate) mod certificate;
pub(crate) mod channel;
mod columnar;
pub(crate) mod compare;
pub(crate) mod conform;
pub(crate) mod connection;
pub(crate) mod conversion;
pub(crate) mod counted;
pub(crate) mod cycle;
pub(crate) mod decimal;
pub(crate) mod doubt;
pub(crate) mod error;
pub(crate) mod field;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod guard;
pub(crate) mod job;
pub(crate) mod journal_table;
pub(crate) mod json;
pub(crate) mod layout;
pub(crate) mod mapping;
pub(crate) mod match_rule;
pub(crate) mod method;
pub(crate) mod moment;
pub(crate) mod object;
pub(crate) mod outcome;
pub(crate) mod parking;
pub(crate) mod printable;
pub(crate) mod problem;
pub(crate) mod record;
pub(crate) mod sameness;
pub(crate) mod schema;
pub(crate) mod share;
mod sieve;
pub(crate) mod template;
pub(crate) mod value;
pub(crate) mod zone;
