//! Making a database from a script when its file is absent.

use std::fs::File;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};

use super::absolute;
use crate::database::audited;
use crate::domain::connection::SqliteSettings;
use crate::domain::error::SystemError;
use crate::user_file;

/// Bytes a script may have: it is SQL that people write, or a dump of a small database.
const SCRIPT_BYTES_MAX: u64 = 256 << 20;

/// Sees to it that the file is there: makes it from the connection's script if it is absent.
///
/// The script runs into a file of its own beside it, which is synced and then linked into place
/// under the real name, unless another process was first: whoever opens the name finds the whole
/// database, and always the same one.
pub(super) async fn ensure_present(
    connection_name: &str,
    settings: &SqliteSettings,
) -> Result<(), SystemError> {
    let file = absolute(connection_name, &settings.file)?;
    let is_there = file
        .try_exists()
        .map_err(|error| io_failure(connection_name, "finding", &settings.file, error))?;
    if is_there {
        return user_file::expect(&file)
            .map_err(|error| io_failure(connection_name, "opening", &settings.file, error));
    }
    match &settings.create_from {
        Some(script) => create(connection_name, &file, script).await,
        None => Err(absent(connection_name, &settings.file)),
    }
}

fn absent(connection_name: &str, file: &Path) -> SystemError {
    SystemError::NotFound {
        what: format!("the SQLite file `{}`", file.display()),
        hint: Some(format!(
            "correct `file` of `[connections.{connection_name}]`, or name a script that makes it with `create_from`"
        )),
    }
}

async fn create(connection_name: &str, file: &Path, script: &Path) -> Result<(), SystemError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |error| io_failure(connection_name, doing, &path, error)
    };
    let statements = user_file::read(script, SCRIPT_BYTES_MAX).map_err(io("reading", script))?;
    let no_text = |_| {
        io("reading", script)(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it is not UTF-8 text",
        ))
    };
    let statements = String::from_utf8(statements).map_err(no_text)?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(io("making", folder))?;
    let aside = aside_in(folder).map_err(io("making", file))?;
    run_script(connection_name, &aside, script, statements).await?;
    // The connection is closed: opening the file anew cannot release a lock that SQLite holds on
    // it.
    File::open(&aside)
        .and_then(|made| made.sync_all())
        .map_err(io("making", file))?;
    match aside.persist_noclobber(file) {
        Ok(()) => sync_folder(folder).map_err(io("making", file)),
        Err(refused) if refused.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(refused) => Err(io("making", file)(refused.error)),
    }
}

/// An empty file, as readable as the user's other files, which goes away unless it is put in place.
fn aside_in(folder: &Path) -> std::io::Result<tempfile::TempPath> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writeback-").suffix(".db");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    Ok(builder.tempfile_in(folder)?.into_temp_path())
}

/// A name is durable once its folder is.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

async fn run_script(
    connection_name: &str,
    into: &Path,
    script: &Path,
    statements: String,
) -> Result<(), SystemError> {
    let doing = format!("running `{}`", script.display());
    if statements.contains('\0') {
        return Err(script_failure(
            connection_name,
            doing,
            "the script holds a NUL character",
        ));
    }
    let fail = |error: sqlx::Error| {
        let message = error
            .as_database_error()
            .map(|error| error.message().to_owned());
        script_failure(
            connection_name,
            doing.clone(),
            message.unwrap_or_else(|| error.to_string()),
        )
    };
    // The script is the user's own SQL, meant to be run as it is. Nothing here need survive a
    // crash: the file is synced once, when it is whole.
    let options = SqliteConnectOptions::new()
        .filename(into)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(fail)?;
    let made = match sqlx::raw_sql(audited(statements))
        .execute(&mut connection)
        .await
    {
        Ok(_) => {
            sqlx::raw_sql("BEGIN; COMMIT")
                .execute(&mut connection)
                .await
        }
        Err(error) => Err(error),
    };
    let closed = connection.close().await;
    made.map_err(fail)?;
    closed.map_err(fail)
}

fn script_failure(connection_name: &str, doing: String, message: impl Into<String>) -> SystemError {
    SystemError::Failed {
        connection: connection_name.to_owned(),
        doing,
        source: message.into().into(),
        hint: Some("`sqlite3 new.db < SCRIPT` shows the same error with its line".to_owned()),
    }
}

fn io_failure(
    connection_name: &str,
    doing: &str,
    path: &Path,
    error: std::io::Error,
) -> SystemError {
    SystemError::Failed {
        connection: connection_name.to_owned(),
        doing: format!("{doing} `{}`", path.display()),
        source: error.into(),
        hint: None,
    }
}
