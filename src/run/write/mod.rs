//! Writing a batch: records are looked up and decided about ([`judge`]), what writing them does to
//! their rows is told field by field ([`effect`]), and that is carried out in a transaction of a
//! database ([`transaction`]) or by requests to a web API ([`service`]).

mod account;
pub(crate) mod effect;
pub(crate) mod judge;
pub(crate) mod mask;
pub(crate) mod service;
pub(crate) mod terms;
pub(crate) mod transaction;
