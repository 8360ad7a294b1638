//! ADBC drivers: where `tests/run` puts them, and DuckDB files made through one of them, in this
//! process.

use std::path::{Path, PathBuf};

use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{
    Connection as _, Database as _, Driver as _, LOAD_FLAG_SEARCH_ENV, Statement as _,
};
use adbc_driver_manager::{ManagedConnection, ManagedDriver};

/// The folder with the drivers' manifests; the program looks there for those that connections name.
/// Panics: if nobody has fetched them.
pub(crate) fn drivers_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers");
    assert!(
        folder.join("duckdb.toml").exists(),
        "there are no drivers in {}: `tests/run` fetches them",
        folder.display()
    );
    folder
}

/// A DuckDB file that this process has open for writing: as long as it has, no other process may
/// read it.
pub(crate) struct DuckDb(ManagedConnection);

impl DuckDb {
    pub(crate) fn open(file: &Path) -> Self {
        let manifest = drivers_folder().join("duckdb.toml");
        let driver = ManagedDriver::load_from_name(
            &manifest,
            None,
            AdbcVersion::V110,
            LOAD_FLAG_SEARCH_ENV,
            None,
        );
        let path = OptionValue::String(file.to_str().expect("a plain path").to_owned());
        let options = [(OptionDatabase::from("path"), path)];
        let database = driver
            .expect("a driver")
            .new_database_with_opts(options)
            .expect("a database");
        Self(database.new_connection().expect("a connection"))
    }

    pub(crate) fn execute(&mut self, sql: &str) -> &mut Self {
        let mut statement = self.0.new_statement().expect("a statement");
        statement.set_sql_query(sql).expect("a statement takes SQL");
        statement
            .execute_update()
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        self
    }
}
