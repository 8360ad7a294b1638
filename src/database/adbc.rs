//! What sources and destinations share about ADBC drivers: which are known, and what their errors
//! mean.

pub(crate) mod drivers;
pub(crate) mod fault;
