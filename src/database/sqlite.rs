//! SQLite: connecting, the catalogue, and what its errors mean.
