//! MySQL and MariaDB: connecting, the catalogue, and what its errors mean.
