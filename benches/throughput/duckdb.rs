//! A dashboard's export in a DuckDB file, made through the driver that `tests/run` fetches.

use std::path::{Path, PathBuf};
use std::process::Command;

use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{
    Connection as _, Database as _, Driver as _, LOAD_FLAG_SEARCH_ENV, Statement as _,
};
use adbc_driver_manager::ManagedDriver;

use crate::Fault;
use crate::project::SCHEMA;

/// The folder with the drivers' manifests.
pub(crate) fn drivers_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers")
}

/// Makes a DuckDB file out of a CSV file, in a process of its own: what DuckDB takes here would
/// count as memory of the programs that are started afterwards.
/// Errors: as [`import`].
pub(crate) fn import_apart(csv: &Path, file: &Path) -> Result<(), Fault> {
    let mut import = Command::new(std::env::current_exe()?);
    import.arg("--import-duckdb").arg(csv).arg(file);
    let output = import.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

/// Makes a DuckDB file with the dashboard's table out of a CSV file.
/// Errors: nobody has fetched the driver, or DuckDB's own.
pub(crate) fn import(csv: &Path, file: &Path) -> Result<(), Fault> {
    let manifest = drivers_folder().join("duckdb.toml");
    if !manifest.exists() {
        return Err(format!("there is no {}: `tests/run` fetches it", manifest.display()).into());
    }
    let (version, places) = (AdbcVersion::V110, LOAD_FLAG_SEARCH_ENV);
    let mut driver = ManagedDriver::load_from_name(&manifest, None, version, places, None)?;
    let path = OptionValue::String(file.display().to_string());
    let database = driver.new_database_with_opts([(OptionDatabase::from("path"), path)])?;
    let mut connection = database.new_connection()?;
    let copy = format!("COPY health_score FROM '{}' (HEADER)", csv.display());
    for sql in [SCHEMA, &copy] {
        let mut statement = connection.new_statement()?;
        statement.set_sql_query(sql)?;
        statement.execute_update()?;
    }
    Ok(())
}
