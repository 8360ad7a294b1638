//! ADBC drivers: where `tests/run` puts them, and DuckDB files made through one of them, in this
//! process.

use std::path::{Path, PathBuf};

use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{
    Connection as _, Database as _, Driver as _, LOAD_FLAG_SEARCH_ENV, Statement as _,
};
use adbc_driver_manager::{ManagedConnection, ManagedDriver};
use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;

use super::database::Rows;

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

    /// What a query of a file yields, a row a line.
    #[allow(dead_code, reason = "not every test binary uses all")]
    pub(crate) fn rows_of(file: &Path, sql: &str) -> String {
        let rows = Self::open(file).try_query(sql).expect("a query").rows;
        let cells = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default);
        rows.into_iter()
            .map(|row| cells(row).collect::<Vec<_>>().join(",") + "\n")
            .collect()
    }

    /// Runs statements; of what a query yields every value as DuckDB's own text.
    pub(super) fn try_query(&mut self, sql: &str) -> Result<Rows, String> {
        let is_query = sql.trim_start().starts_with("SELECT");
        let sql = match is_query {
            true => format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({sql})"),
            false => sql.to_owned(),
        };
        let mut statement = self.0.new_statement().expect("a statement");
        let told = |error: adbc_core::error::Error| error.message;
        statement.set_sql_query(&sql).map_err(told)?;
        if !is_query {
            statement.execute_update().map_err(told)?;
            return Ok(Rows::default());
        }
        let mut rows = Rows::default();
        for batch in statement.execute().map_err(told)? {
            let batch = batch.map_err(|error| error.to_string())?;
            let fields = batch.schema();
            rows.header = fields.fields().iter().map(|f| f.name().clone()).collect();
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter().map(|column| {
                    let texts = column.as_string::<i32>();
                    texts.is_valid(row).then(|| texts.value(row).to_owned())
                });
                rows.rows.push(cells.collect());
            }
        }
        Ok(rows)
    }
}
