//! A dashboard's export in a DuckDB file, made through the driver that `tests/run` fetches.

use std::path::{Path, PathBuf};

use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{
    Connection as _, Database as _, Driver as _, LOAD_FLAG_SEARCH_ENV, Statement as _,
};
use adbc_driver_manager::ManagedDriver;

use crate::Fault;

/// The folder with the drivers' manifests.
pub(crate) fn drivers_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers")
}

/// Makes a DuckDB file with one table, which `schema` creates, out of a CSV file.
/// Errors: nobody has fetched the driver, or DuckDB's own.
pub(crate) fn import(csv: &Path, schema: &str, table: &str, file: &Path) -> Result<(), Fault> {
    let manifest = drivers_folder().join("duckdb.toml");
    if !manifest.exists() {
        return Err(format!("there is no {}: `tests/run` fetches it", manifest.display()).into());
    }
    let (version, places) = (AdbcVersion::V110, LOAD_FLAG_SEARCH_ENV);
    let mut driver = ManagedDriver::load_from_name(&manifest, None, version, places, None)?;
    let path = OptionValue::String(file.display().to_string());
    let database = driver.new_database_with_opts([(OptionDatabase::from("path"), path)])?;
    let mut connection = database.new_connection()?;
    let copy = format!("COPY {table} FROM '{}' (HEADER)", csv.display());
    for sql in [schema, &copy] {
        let mut statement = connection.new_statement()?;
        statement.set_sql_query(sql)?;
        statement.execute_update()?;
    }
    Ok(())
}
