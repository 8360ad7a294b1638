//! Making a DuckDB file from a script when it is absent.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use adbc_core::error::Error;
use adbc_core::{Connection as _, Database as _, Statement as _};
use adbc_driver_manager::ManagedDatabase;

use super::fault::Failures;
use crate::domain::error::SystemError;
use crate::user_file;

/// Bytes a script may have: it is SQL that people write, or a dump of a small database.
const SCRIPT_BYTES_MAX: u64 = 256 << 20;

/// Makes the file, which `open` opens where it is told.
///
/// The script runs into a file in a folder of its own beside it, which is closed and synced and
/// then linked into place under the real name, unless another process was first: whoever opens the
/// name finds the whole database, and always the same one.
pub(super) fn create(
    failures: &Failures,
    file: &Path,
    script: &Path,
    open: impl FnOnce(&Path) -> Result<ManagedDatabase, SystemError>,
) -> Result<(), SystemError> {
    let making = format!("making `{}`", file.display());
    let failed = |error: io::Error| failures.failed(&making, error);
    let statements = read(script)
        .map_err(|error| failures.failed(&format!("reading `{}`", script.display()), error))?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let aside = tempfile::Builder::new()
        .prefix(".writeback-")
        .tempdir_in(folder)
        .map_err(failed)?;
    let made = aside.path().join("made.duckdb");
    let database = open(&made)?;
    let ran = run(&database, &statements);
    drop(database);
    ran.map_err(|error| failures.of_driver(&format!("running `{}`", script.display()), &error))?;
    let in_place = || {
        File::open(&made)?.sync_all()?;
        match fs::hard_link(&made, file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(folder)?.sync_all(),
        }
    };
    in_place().map_err(failed)
}

fn read(script: &Path) -> io::Result<String> {
    let text = String::from_utf8(user_file::read(script, SCRIPT_BYTES_MAX)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))?;
    match text.contains('\0') {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds a NUL character",
        )),
        false => Ok(text),
    }
}

/// Runs all statements; the driver takes several at once.
fn run(database: &ManagedDatabase, statements: &str) -> Result<(), Error> {
    let mut connection = database.new_connection()?;
    let mut statement = connection.new_statement()?;
    statement.set_sql_query(statements)?;
    statement.execute_update()?;
    statement.set_sql_query("CHECKPOINT")?;
    statement.execute_update().map(|_| ())
}
