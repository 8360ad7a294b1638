//! The folder a connection names: which file holds a table, opening it safely, and noticing that it changed while it
//! was read. Knows nothing of what stands in the files.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::domain::error::SystemError;
use crate::domain::object::{NameError, NamePart, resolve_name};
use crate::domain::problem::did_you_mean;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Names that one message lists; more would hide the message.
const NAMES_LISTED_MAX: usize = 30;

/// How a file holds its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Ndjson,
    Parquet,
}

impl Format {
    fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// A folder's tables.
#[derive(Debug)]
pub(super) struct Folder {
    connection: String,
    tables: Vec<TableFile>,
}

/// A file that holds a table.
#[derive(Debug, Clone)]
pub(super) struct TableFile {
    pub(super) connection: String,
    /// The file's name without its extension.
    pub(super) table: String,
    /// The file's name, as messages give it.
    pub(super) name: String,
    pub(super) format: Format,
    path: PathBuf,
}

impl Folder {
    /// Lists the tables of `folder`, sorted by their files' names.
    pub(super) fn list(connection: &str, folder: &Path) -> Result<Self, SystemError> {
        let shown = folder.display().to_string();
        let failed = |error| io_error(connection, &format!("the folder `{shown}`"), error);
        let mut tables = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            tables.extend(TableFile::at(connection, entry.map_err(failed)?.path()));
        }
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Self { connection: connection.to_owned(), tables })
    }

    /// Finds the file that holds `table`: by its exact name, else by the only name that differs in case.
    /// Errors: `NotFound` with what is there; `Failed` if several files could be meant.
    pub(super) fn find(&self, table: &str) -> Result<&TableFile, SystemError> {
        if table.is_empty() || table == "." || table.contains("..") || table.contains(['/', '\\', '\0']) {
            let cause = "a table's name is a file's name without its extension, never a path";
            return Err(self.failed(table, cause.to_owned(), None));
        }
        let wanted = NamePart { text: table.to_owned(), quoted: false };
        match resolve_name(&wanted, self.names()) {
            Ok(name) => self.only_file(name),
            Err(NameError::Unknown) => Err(self.not_found(table)),
            // Two formats of one name are one candidate twice; only_file names both.
            Err(NameError::Ambiguous { candidates }) => match candidates.split_first() {
                Some((first, others)) if others.iter().all(|other| other == first) => self.only_file(first),
                _ => Err(self.failed(
                    table,
                    format!("{} differ from it only in case", list_names(candidates.iter().map(String::as_str))),
                    Some("spell the table as its file is spelled".to_owned()),
                )),
            },
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tables.iter().map(|file| file.table.as_str())
    }

    fn only_file(&self, table: &str) -> Result<&TableFile, SystemError> {
        let files: Vec<&TableFile> = self.tables.iter().filter(|file| file.table == table).collect();
        match files.as_slice() {
            [file] => Ok(file),
            [] => Err(self.not_found(table)),
            several => Err(self.failed(
                table,
                format!("{} all hold it", list_names(several.iter().map(|file| file.name.as_str()))),
                Some("keep one of the files".to_owned()),
            )),
        }
    }

    fn not_found(&self, table: &str) -> SystemError {
        let there = match self.tables.is_empty() {
            true => "the folder holds no .csv, .parquet, .ndjson or .jsonl file".to_owned(),
            false => format!("there are {}", list_names(self.names().collect::<BTreeSet<_>>().into_iter())),
        };
        SystemError::NotFound {
            what: format!("table `{table}` of `{}`", self.connection),
            hint: Some(did_you_mean(table, self.names()).unwrap_or(there)),
        }
    }

    fn failed(&self, table: &str, cause: String, hint: Option<String>) -> SystemError {
        let doing = format!("finding table `{}`", table.escape_debug());
        SystemError::Failed { connection: self.connection.clone(), doing, source: cause.into(), hint }
    }
}

impl TableFile {
    fn at(connection: &str, path: PathBuf) -> Option<Self> {
        let format = Format::of_extension(path.extension()?.to_str()?)?;
        let table = path.file_stem()?.to_str()?.to_owned();
        let name = path.file_name()?.to_str()?.to_owned();
        Some(Self { connection: connection.to_owned(), table, name, format, path })
    }

    /// Opens the file for one pull.
    /// Errors: anything but a regular file is refused before it is opened, since opening a FIFO would wait for ever.
    pub(super) fn open(&self) -> Result<OpenFile, SystemError> {
        let failed = |error| self.io_failed(error);
        if !fs::metadata(&self.path).map_err(failed)?.is_file() {
            return Err(self.failed("it is not a regular file"));
        }
        let file = File::open(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(self.failed("it is not a regular file"));
        }
        Ok(OpenFile { table: self.clone(), file, stamp: Stamp::of(&metadata) })
    }

    /// An error of the file system while this file was read.
    pub(super) fn io_failed(&self, error: io::Error) -> SystemError {
        io_error(&self.connection, &format!("`{}`", self.name), error)
    }

    /// What went wrong while this file was read.
    pub(super) fn failed(&self, cause: impl Into<Cause>) -> SystemError {
        self.failed_with_hint(cause, None)
    }

    pub(super) fn failed_with_hint(&self, cause: impl Into<Cause>, hint: Option<String>) -> SystemError {
        let doing = format!("reading `{}`", self.name);
        SystemError::Failed { connection: self.connection.clone(), doing, source: cause.into(), hint }
    }

    /// Finds the columns meant by `wanted` among those the file has, each by its exact name, else by the only one that
    /// differs in case.
    /// Shape: one position in `there` per wanted name.
    /// Errors: `NotFound` with what is there; `Failed` if several columns could be meant.
    pub(super) fn resolve_columns(&self, wanted: &[String], there: &[String]) -> Result<Vec<usize>, SystemError> {
        resolve_columns(&format!("`{}`", self.name), wanted, there)
            .map_err(|error| error.into_system_error(&self.connection, &format!("reading `{}`", self.name)))
    }
}

/// A file kept open for the whole pull, with what it looked like at the beginning.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) table: TableFile,
    file: File,
    stamp: Stamp,
}

impl OpenFile {
    pub(super) fn length(&self) -> u64 {
        self.stamp.length
    }

    /// A handle that reads from the beginning. All handles of a file share one place in it: use one at a time.
    pub(super) fn reader(&self) -> Result<File, SystemError> {
        let rewound = || -> io::Result<File> {
            let mut reader = self.file.try_clone()?;
            reader.rewind()?;
            Ok(reader)
        };
        rewound().map_err(|error| self.table.io_failed(error))
    }

    /// Whether what was read is one snapshot.
    /// Errors: `Failed` if the file was written to, or another one put in its place, since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), SystemError> {
        let ours = self.file.metadata().map(|metadata| Stamp::of(&metadata));
        let named = fs::metadata(&self.table.path).map(|metadata| Stamp::of(&metadata));
        match (ours, named) {
            (Ok(ours), Ok(named)) if ours == self.stamp && named == self.stamp => Ok(()),
            _ => Err(self.table.failed_with_hint(
                format!("`{}` changed while it was read", self.table.name),
                Some("run again; let the dashboard write the file aside and rename it into place".to_owned()),
            )),
        }
    }
}

/// What tells that a file is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// Bytes.
    length: u64,
    modified: Option<SystemTime>,
    /// Device and number; absent on systems without such numbers.
    inode: Option<(u64, u64)>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok(), inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Why the wanted columns could not be found.
#[derive(Debug)]
pub(super) enum ColumnError {
    Missing {
        what: String,
        hint: String,
    },
    /// Several columns could be meant, in words.
    Ambiguous(String),
}

impl ColumnError {
    pub(super) fn into_system_error(self, connection: &str, doing: &str) -> SystemError {
        match self {
            Self::Missing { what, hint } => SystemError::NotFound { what, hint: Some(hint) },
            Self::Ambiguous(cause) => SystemError::Failed {
                connection: connection.to_owned(),
                doing: doing.to_owned(),
                source: cause.into(),
                hint: Some("give each column a name of its own".to_owned()),
            },
        }
    }
}

/// Finds the columns meant by `wanted` among those `there`; `place` names where that is.
pub(super) fn resolve_columns(place: &str, wanted: &[String], there: &[String]) -> Result<Vec<usize>, ColumnError> {
    let mut missing = Vec::new();
    let mut positions = Vec::with_capacity(wanted.len());
    for name in wanted {
        match resolve_column(name, there)? {
            Some(position) => positions.push(position),
            None => missing.push(name.as_str()),
        }
    }
    match missing.split_first() {
        None => Ok(positions),
        Some((first, others)) => Err(missing_columns(place, first, others, there)),
    }
}

fn resolve_column(wanted: &str, there: &[String]) -> Result<Option<usize>, ColumnError> {
    let part = NamePart { text: wanted.to_owned(), quoted: false };
    let found = match resolve_name(&part, there.iter().map(String::as_str)) {
        Ok(found) => found,
        Err(NameError::Unknown) => return Ok(None),
        Err(NameError::Ambiguous { candidates }) => {
            let names = list_names(candidates.iter().map(String::as_str));
            return Err(ColumnError::Ambiguous(format!("column `{wanted}` could be any of {names}")));
        }
    };
    let mut alike = there.iter().enumerate().filter(|(_, name)| *name == found).map(|(position, _)| position);
    match (alike.next(), alike.next()) {
        (position, None) => Ok(position),
        (_, Some(_)) => Err(ColumnError::Ambiguous(format!("there is more than one column `{found}`"))),
    }
}

fn missing_columns(place: &str, first: &str, others: &[&str], there: &[String]) -> ColumnError {
    let likewise = match others {
        [] => String::new(),
        others => format!(" (likewise {})", list_names(others.iter().copied())),
    };
    let listed = format!("the columns are {}", list_names(there.iter().map(String::as_str)));
    let hint = match did_you_mean(first, there.iter().map(String::as_str)) {
        Some(meant) => format!("{meant} {listed}"),
        None => listed,
    };
    ColumnError::Missing { what: format!("column `{first}`{likewise} of {place}"), hint }
}

/// Names as messages list them: `` `a`, `b` ``, cut where nobody reads on.
pub(super) fn list_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut quoted: Vec<String> = names.map(|name| format!("`{}`", name.escape_debug())).collect();
    if quoted.len() > NAMES_LISTED_MAX {
        let left_out = quoted.len() - NAMES_LISTED_MAX;
        quoted.truncate(NAMES_LISTED_MAX);
        quoted.push(format!("and {left_out} more"));
    }
    quoted.join(", ")
}

/// An error of the file system, sorted by what can be done about it.
pub(super) fn io_error(connection: &str, what: &str, error: io::Error) -> SystemError {
    if error.kind() == io::ErrorKind::NotFound {
        let hint = Some(format!("see `folder` of `[connections.{connection}]`"));
        return SystemError::NotFound { what: format!("{what} of `{connection}`"), hint };
    }
    let connection = connection.to_owned();
    if error.kind() == io::ErrorKind::PermissionDenied {
        let hint = format!("let the user that runs writeback read {what}");
        return SystemError::Forbidden { connection, source: error.into(), hint };
    }
    SystemError::Failed { connection, doing: format!("reading {what}"), source: error.into(), hint: None }
}
