//! What sources and destinations share about ADBC drivers: which are known, how a connection is
//! made, and what their errors mean.
//!
//! Everything here blocks its caller: it is called on threads of its own.

mod creation;
pub(crate) mod drivers;
pub(crate) mod fault;
mod file;

use std::path::Path;
use std::time::Duration;

use adbc_core::error::Error;
use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{Connection as _, Database as _};
use adbc_core::{
    Driver as _, LOAD_FLAG_SEARCH_ENV, LOAD_FLAG_SEARCH_SYSTEM, LOAD_FLAG_SEARCH_USER,
    Statement as _,
};
use adbc_driver_manager::profile::{
    ConnectionProfile as _, ConnectionProfileProvider as _, FilesystemProfileProvider,
    process_profile_value,
};
use adbc_driver_manager::{ManagedConnection, ManagedDatabase, ManagedDriver};

use self::drivers::{KnownDriver, known};
use self::fault::Failures;
pub(crate) use self::file::FileAccess;
use self::file::Lease;
use crate::domain::connection::{AdbcDriver, AdbcSettings, OptionValue as Given};
use crate::domain::error::SystemError;

/// Whom a thread works for.
pub(crate) struct AdbcClient {
    pub(crate) settings: AdbcSettings,
    pub(crate) failures: Failures,
}

/// A connection through a driver. Its parts are dropped in this order: a file is given back when
/// nothing is open in it any more.
pub(crate) struct Opened {
    pub(crate) connection: ManagedConnection,
    pub(crate) known: &'static KnownDriver,
    _lease: Option<Lease>,
}

/// Loads the driver and connects.
pub(crate) fn open(asked: &AdbcClient, access: FileAccess) -> Result<Opened, SystemError> {
    let AdbcClient { settings, failures } = asked;
    let (name, options) = driver_and_options(asked)?;
    let known = known(&name);
    let connecting = |error: Error| failures.of_driver("connecting", &error);
    let Some(file) = &settings.file else {
        let database = load(failures, &name, options)?.map_err(connecting)?;
        let connection = database.new_connection().map_err(connecting)?;
        return Ok(Opened {
            connection,
            known,
            _lease: None,
        });
    };
    if let Some(script) = settings.create_from.as_ref().filter(|_| !file.exists()) {
        let writing = FileAccess::Write {
            patience: Duration::ZERO,
        };
        creation::create(failures, file, script, |aside| {
            let options = with_path(with_access(options.clone(), writing), aside);
            load(failures, &name, options)?.map_err(connecting)
        })?;
    }
    let lease = lease(failures, file, wanted(settings, access), |access| {
        let opened = load(failures, &name, with_access(options.clone(), access))?;
        opened.map_err(|error| match access {
            FileAccess::Read => connecting(error),
            FileAccess::Write { .. } => failures.of_opening_for_writing(&error),
        })
    })?;
    let mut connection = lease.connect().map_err(connecting)?;
    if access == FileAccess::Read && lease.is_written() {
        // Somebody of this process writes to the file, and nobody opens it a second time.
        let mut statement = connection.new_statement().map_err(connecting)?;
        let begun = statement
            .set_sql_query("BEGIN TRANSACTION READ ONLY")
            .and_then(|()| statement.execute_update());
        begun.map_err(connecting)?;
    }
    Ok(Opened {
        connection,
        known,
        _lease: Some(lease),
    })
}

/// A job that reads the file it writes to opens it once, for both.
fn wanted(settings: &AdbcSettings, access: FileAccess) -> FileAccess {
    match (access, settings.is_written_meanwhile) {
        (FileAccess::Read, true) => FileAccess::Write {
            patience: Duration::ZERO,
        },
        (access, _) => access,
    }
}

fn lease(
    failures: &Failures,
    file: &Path,
    access: FileAccess,
    database: impl Fn(FileAccess) -> Result<ManagedDatabase, SystemError>,
) -> Result<Lease, SystemError> {
    // A driver would make a file that is not there.
    if matches!(access, FileAccess::Write { .. }) && !file.exists() {
        return Err(SystemError::NotFound {
            what: format!("the file `{}`", file.display()),
            hint: Some(
                "make it and its tables with DuckDB first, such as `duckdb FILE < tables.sql`, or name a \
                 script that makes it with `create_from`"
                    .to_owned(),
            ),
        });
    }
    Lease::take(failures, file, access, || database(access))
}

/// The options with the way in which a file is opened.
fn with_access(mut options: Vec<(String, Given)>, access: FileAccess) -> Vec<(String, Given)> {
    const ACCESS_MODE: &str = "access_mode";
    let mode = match access {
        FileAccess::Read => "READ_ONLY",
        FileAccess::Write { .. } => "READ_WRITE",
    };
    options.retain(|(option, _)| option != ACCESS_MODE);
    options.push((ACCESS_MODE.to_owned(), Given::Plain(mode.to_owned())));
    // By its own measure DuckDB takes four fifths of the machine's memory.
    if access == FileAccess::Read && !options.iter().any(|(option, _)| is_memory_bound(option)) {
        options.push((
            MEMORY_LIMIT.to_owned(),
            Given::Plain(READER_MEMORY.to_owned()),
        ));
    }
    options
}

/// DuckDB's name for the memory that it may take, which has a second one.
const MEMORY_LIMIT: &str = "memory_limit";

/// What whoever reads a DuckDB file lets it take, unless the connection says otherwise, so that a
/// run takes as much whatever the file's size. Sorting and grouping more than that goes to disk;
/// with half of it DuckDB 1.5 cannot group ten million records any more.
const READER_MEMORY: &str = "128MB";

fn is_memory_bound(option: &str) -> bool {
    [MEMORY_LIMIT, "max_memory"]
        .iter()
        .any(|name| option.eq_ignore_ascii_case(name))
}

/// The options with another file.
fn with_path(mut options: Vec<(String, Given)>, file: &Path) -> Vec<(String, Given)> {
    const PATH: &str = "path";
    options.retain(|(option, _)| option != PATH);
    let file = file.to_string_lossy().into_owned();
    options.push((PATH.to_owned(), Given::Plain(file)));
    options
}

/// The driver's name and all its options, those that keep values exact among them.
fn driver_and_options(asked: &AdbcClient) -> Result<(String, Vec<(String, Given)>), SystemError> {
    let AdbcClient { settings, failures } = asked;
    let (name, mut options) = match &settings.driver {
        AdbcDriver::Named(name) => (name.clone(), Vec::new()),
        AdbcDriver::Profile(profile) => {
            of_profile(profile).map_err(|error| failures.no_driver(&error))?
        }
    };
    // What the connection says counts before what its profile says.
    options.retain(|(option, _)| !settings.options.iter().any(|(own, _)| own == option));
    options.extend(settings.options.iter().cloned());
    let known = known(&name);
    if let Some(kind) = known.instead {
        let hint = format!("write `kind = \"{kind}\"`: the program reads it itself, exactly");
        return Err(SystemError::Failed {
            connection: failures.connection().to_owned(),
            doing: format!("loading the ADBC driver `{name}`"),
            source: "its values do not come through as they are".into(),
            hint: Some(hint),
        });
    }
    let options = known
        .pinned(options)
        .map_err(|why| failures.failed("setting the driver up", why))?;
    Ok((name, options))
}

/// Loads a driver, and has it open a database. Errors: it cannot be loaded; what it says itself.
fn load(
    failures: &Failures,
    name: &str,
    options: Vec<(String, Given)>,
) -> Result<Result<ManagedDatabase, Error>, SystemError> {
    let option = |(name, value): (String, Given)| {
        (
            OptionDatabase::from(name.as_str()),
            OptionValue::String(value.reveal().to_owned()),
        )
    };
    let places = LOAD_FLAG_SEARCH_ENV | LOAD_FLAG_SEARCH_USER | LOAD_FLAG_SEARCH_SYSTEM;
    let driver = ManagedDriver::load_from_name(name, None, AdbcVersion::V110, places, None);
    let mut driver = driver.map_err(|error| failures.no_driver(&error))?;
    Ok(driver.new_database_with_opts(options.into_iter().map(option)))
}

/// A profile's driver and options, those that stand in the environment read from there.
fn of_profile(name: &str) -> Result<(String, Vec<(String, Given)>), Error> {
    let profile = FilesystemProfileProvider::default().get_profile(name)?;
    let (driver, _) = profile.get_driver_name()?;
    let mut options = Vec::new();
    for (option, value) in profile.get_options()? {
        let text = match value {
            OptionValue::String(text) => value_of_profile(&text)?,
            OptionValue::Int(number) => number.to_string(),
            OptionValue::Double(number) => number.to_string(),
            OptionValue::Bytes(_) | _ => return Err(no_text(option.as_ref())),
        };
        options.push((option.as_ref().to_owned(), Given::Plain(text)));
    }
    Ok((driver.to_owned(), options))
}

/// A text of a profile with what stands in the environment in its place.
fn value_of_profile(text: &str) -> Result<String, Error> {
    if let OptionValue::String(text) = process_profile_value(text)? {
        Ok(text)
    } else {
        Err(no_text("a value of the profile"))
    }
}

fn no_text(what: &str) -> Error {
    Error::with_message_and_status(
        format!("`{what}` is no text"),
        adbc_core::error::Status::InvalidArguments,
    )
}
