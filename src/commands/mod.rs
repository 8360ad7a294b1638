//! One file per command: each wires parts together and holds no rules of its own.

pub(crate) mod init;
