//! The folder a connection names: which file holds a table, or which folder of part files does;
//! opening them safely, fetched if they lie elsewhere, and noticing that they changed while they
//! were read. Knows nothing of what stands in the files.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::remote::{Awaited, Remote};
use crate::domain::error::SystemError;
use crate::domain::files::{
    Compression, CsvDialect, EXTENSIONS, FileFormat, FileName, FilePattern, FilesSettings, Take,
};
use crate::domain::object::{NameError, NamePart, resolve_name};
use crate::domain::problem::did_you_mean;
use crate::user_file;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Names that one message lists; more would hide the message.
const NAMES_LISTED_MAX: usize = 30;

/// Part files of one table. An engine writes one for each of its workers, some hundreds.
const PARTS_MAX: usize = 10_000;

/// What an engine leaves in a folder that it has not finished.
const UNFINISHED: &str = "_temporary";

/// Where a folder's files lie.
#[derive(Debug, Clone)]
enum Ground {
    Here,
    Elsewhere(Arc<Remote>),
}

/// A file or a folder, as its folder lists it.
struct Entry {
    path: PathBuf,
    is_folder: bool,
}

impl Ground {
    fn entries(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        if let Self::Elsewhere(remote) = self {
            let entries = remote.entries(folder).into_iter();
            return Ok(entries
                .map(|(path, is_folder)| Entry { path, is_folder })
                .collect());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_folder = path.is_dir();
            entries.push(Entry { path, is_folder });
        }
        Ok(entries)
    }

    /// Where a file can be read from: one that lies elsewhere is fetched.
    fn bring(&self, path: &Path) -> Result<PathBuf, SystemError> {
        match self {
            Self::Here => Ok(path.to_owned()),
            Self::Elsewhere(remote) => remote.bring(path),
        }
    }
}

/// A folder's tables.
#[derive(Debug)]
pub(super) struct Folder {
    connection: String,
    tables: Vec<TableFile>,
}

/// A table of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileTable {
    pub(crate) table: String,
    /// The name of the one file that holds it, if one does.
    pub(crate) file: Option<String>,
}

/// A file that holds a table, or a folder whose files do together.
#[derive(Debug, Clone)]
pub(super) struct TableFile {
    pub(super) connection: String,
    /// The file's name without its extension.
    pub(super) table: String,
    /// The file's name, as messages give it.
    pub(super) name: Arc<str>,
    pub(super) format: FileFormat,
    pub(super) compression: Compression,
    /// How it is written, if it is CSV.
    pub(super) dialect: Arc<CsvDialect>,
    ground: Ground,
    path: PathBuf,
    /// The files of a folder, or of a pattern; `None` for a file.
    parts: Option<Parts>,
    /// The pattern that the parts match.
    pattern: Option<FilePattern>,
}

/// What a folder of part files holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts {
    /// Sorted by name.
    names: Vec<String>,
    /// Why it cannot be read as one table.
    flaw: Option<String>,
}

impl Folder {
    /// Lists the tables of `folder`, sorted by their files' names.
    pub(super) fn list(connection: &str, settings: &FilesSettings) -> Result<Self, SystemError> {
        Self::list_for(connection, settings, Awaited::always())
    }

    /// As [`Folder::list`]; what lies elsewhere is fetched as long as somebody waits for it.
    pub(super) fn list_for(
        connection: &str,
        settings: &FilesSettings,
        awaited: Awaited,
    ) -> Result<Self, SystemError> {
        let folder = settings.folder.as_path();
        let ground = match &settings.remote {
            None => Ground::Here,
            Some(place) => {
                let remote = Remote::list(connection, settings, place, awaited)?;
                Ground::Elsewhere(Arc::new(remote))
            }
        };
        let shown = folder.display().to_string();
        let failed = |error| io_error(connection, &format!("the folder `{shown}`"), error);
        let dialect = Arc::new(settings.dialect.clone());
        let maker = TableMaker {
            connection,
            ground: &ground,
            dialect: &dialect,
        };
        let (mut tables, mut unmarked) = (Vec::new(), Vec::new());
        for entry in ground.entries(folder).map_err(failed)? {
            match maker.at(&entry) {
                Some(table) => tables.push(table),
                None => unmarked.extend(maker.of_folder(&entry)),
            }
        }
        // What a connection says of its tables goes before what names of files say.
        let patterned = |table: &TableFile| {
            let mut names = settings.tables.iter().map(|(name, _)| name);
            names.any(|name| *name == table.table)
        };
        tables.retain(|file: &TableFile| !patterned(file));
        tables.extend(
            settings
                .tables
                .iter()
                .map(|(name, pattern)| maker.of_pattern(folder, name, pattern)),
        );
        // A folder that only its files make a table of gives way to a file that says so itself.
        unmarked.retain(|folder: &TableFile| tables.iter().all(|file| file.table != folder.table));
        tables.extend(unmarked);
        tables.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Self {
            connection: connection.to_owned(),
            tables,
        })
    }

    /// Finds the file that holds `table`: by its exact name, else by the only name that differs in
    /// case. Errors: `NotFound` with what is there; `Failed` if several files could be meant.
    pub(super) fn find(&self, table: &str) -> Result<&TableFile, SystemError> {
        if table.is_empty()
            || table == "."
            || table.contains("..")
            || table.contains(['/', '\\', '\0'])
        {
            let cause = "a table's name is a file's name without its extension, never a path";
            return Err(self.failed(table, cause.to_owned(), None));
        }
        let wanted = NamePart {
            text: table.to_owned(),
            quoted: false,
        };
        match resolve_name(&wanted, self.names()) {
            Ok(name) => self.only_file(name),
            Err(NameError::Unknown) => Err(self.not_found(table)),
            // Two formats of one name are one candidate twice; only_file names both.
            Err(NameError::Ambiguous { candidates }) => match candidates.split_first() {
                Some((first, others)) if others.iter().all(|other| other == first) => {
                    self.only_file(first)
                }
                _ => Err(self.failed(
                    table,
                    format!(
                        "{} differ from it only in case",
                        list_names(candidates.iter().map(String::as_str))
                    ),
                    Some("spell the table as its file is spelled".to_owned()),
                )),
            },
        }
    }

    /// Names of the tables, sorted by those of their files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.tables.iter().map(|file| file.table.as_str())
    }

    /// The tables, sorted by the names of their files.
    pub(super) fn tables(&self) -> impl Iterator<Item = FileTable> {
        self.tables.iter().map(|table| FileTable {
            table: table.table.clone(),
            file: table.parts.is_none().then(|| table.name.to_string()),
        })
    }

    fn only_file(&self, table: &str) -> Result<&TableFile, SystemError> {
        let files: Vec<&TableFile> = self
            .tables
            .iter()
            .filter(|file| file.table == table)
            .collect();
        match files.as_slice() {
            [file] => Ok(file),
            [] => Err(self.not_found(table)),
            several => Err(self.failed(
                table,
                format!(
                    "{} all hold it",
                    list_names(several.iter().map(|file| &*file.name))
                ),
                Some("keep one of the files".to_owned()),
            )),
        }
    }

    fn not_found(&self, table: &str) -> SystemError {
        let there = match self.tables.is_empty() {
            true => format!("the folder holds no {EXTENSIONS} file"),
            false => format!(
                "there are {}",
                list_names(self.names().collect::<BTreeSet<_>>().into_iter())
            ),
        };
        SystemError::NotFound {
            what: format!("table `{table}` of `{}`", self.connection),
            hint: Some(did_you_mean(table, self.names()).unwrap_or(there)),
        }
    }

    fn failed(&self, table: &str, cause: String, hint: Option<String>) -> SystemError {
        let doing = format!("finding table `{}`", table.escape_debug());
        SystemError::Failed {
            connection: self.connection.clone(),
            doing,
            source: cause.into(),
            hint,
        }
    }
}

/// What all tables of a folder have in common.
struct TableMaker<'a> {
    connection: &'a str,
    ground: &'a Ground,
    dialect: &'a Arc<CsvDialect>,
}

impl TableMaker<'_> {
    /// The table that is named by a file's extension, or a folder's.
    fn at(&self, entry: &Entry) -> Option<TableFile> {
        let name = entry.path.file_name()?.to_str()?;
        let FileName {
            table,
            format,
            compression,
        } = FileName::parse(name)?;
        let parts = entry
            .is_folder
            .then(|| Parts::of(self.ground, &entry.path, Some(format)).0);
        Some(TableFile {
            compression,
            parts,
            ..self.file(table, name, format, &entry.path)
        })
    }

    /// The table that a folder without such a name holds.
    fn of_folder(&self, entry: &Entry) -> Option<TableFile> {
        let name = entry.path.file_name()?.to_str()?;
        if !entry.is_folder || name.starts_with(['.', '_']) {
            return None;
        }
        let (parts, format) = Parts::of(self.ground, &entry.path, None);
        Some(TableFile {
            parts: Some(parts),
            ..self.file(name, name, format?, &entry.path)
        })
    }

    /// The table that the files of a pattern make.
    fn of_pattern(&self, folder: &Path, table: &str, pattern: &FilePattern) -> TableFile {
        TableFile {
            parts: Some(Parts::matching(self.ground, folder, pattern)),
            pattern: Some(pattern.clone()),
            ..self.file(table, pattern.text(), pattern.format, folder)
        }
    }

    fn file(&self, table: &str, name: &str, format: FileFormat, path: &Path) -> TableFile {
        TableFile {
            connection: self.connection.to_owned(),
            table: table.to_owned(),
            name: name.into(),
            format,
            compression: Compression::None,
            dialect: Arc::clone(self.dialect),
            ground: self.ground.clone(),
            path: path.to_owned(),
            parts: None,
            pattern: None,
        }
    }
}

impl TableFile {
    /// Opens the table's files for one pull. Errors: anything but regular files is refused before
    /// it is opened, since opening a FIFO would wait for ever.
    pub(super) fn open(&self) -> Result<OpenTable, SystemError> {
        let (mut parts, mut empty) = (Vec::new(), Vec::new());
        match &self.parts {
            None => parts.push(OpenPart::of(self.clone())?),
            Some(Parts {
                flaw: Some(flaw), ..
            }) => {
                let hint = match &self.pattern {
                    Some(_) => format!("see `tables` of `[connections.{}]`", self.connection),
                    None => "a folder of part files of one kind is read as one table, in the order of their names".to_owned(),
                };
                return Err(self.failed_with_hint(flaw.clone(), Some(hint)));
            }
            Some(Parts { names, flaw: None }) => {
                for name in names {
                    parts.push(OpenPart::of(self.part(name))?);
                }
                self.check_brought(names)?;
            }
        }
        // A worker without records leaves a file without even a header line.
        if self.format == FileFormat::Csv && parts.len() > 1 {
            let mut filled = Vec::new();
            for part in parts {
                match part.is_empty()? {
                    true => empty.push(part),
                    false => filled.push(part),
                }
            }
            parts = filled;
            if parts.is_empty() {
                std::mem::swap(&mut parts, &mut empty);
            }
        }
        Ok(OpenTable {
            table: self.clone(),
            parts,
            empty,
        })
    }

    /// Files that were fetched one after another are of one table only if nobody wrote to it
    /// meanwhile. Errors: somebody did.
    fn check_brought(&self, names: &[String]) -> Result<(), SystemError> {
        let Ground::Elsewhere(remote) = &self.ground else {
            return Ok(());
        };
        let Some(now) = remote.listed_again()? else {
            return Ok(());
        };
        let now = Arc::new(now);
        let listed = self.listed(&Ground::Elsewhere(Arc::clone(&now)));
        let is_same = |name: &String| {
            let path = self.path.join(name);
            remote.version(&path) == now.version(&path)
        };
        match listed.names == names && names.iter().all(is_same) {
            true => Ok(()),
            false => Err(self.changed_within()),
        }
    }

    /// What the table's folder, or pattern, holds by now.
    fn listed(&self, ground: &Ground) -> Parts {
        match &self.pattern {
            Some(pattern) => Parts::matching(ground, &self.path, pattern),
            None => Parts::of(ground, &self.path, Some(self.format)).0,
        }
    }

    fn changed_within(&self) -> SystemError {
        self.failed_with_hint(
            format!("the files in `{}` changed while they were read", self.name),
            Some("run again, when whoever writes them has finished".to_owned()),
        )
    }

    fn part(&self, name: &str) -> Self {
        let compression = FileName::parse_pattern(name).map(|name| name.compression);
        Self {
            name: match self.pattern {
                Some(_) => name.into(),
                None => format!("{}/{name}", self.name).into(),
            },
            path: self.path.join(name),
            compression: compression.unwrap_or(self.compression),
            parts: None,
            pattern: None,
            ..self.clone()
        }
    }

    /// An error of the file system while this file was read.
    pub(super) fn io_failed(&self, error: io::Error) -> SystemError {
        io_error(&self.connection, &format!("`{}`", self.name), error)
    }

    /// What went wrong while this file was read.
    pub(super) fn failed(&self, cause: impl Into<Cause>) -> SystemError {
        self.failed_with_hint(cause, None)
    }

    pub(super) fn failed_with_hint(
        &self,
        cause: impl Into<Cause>,
        hint: Option<String>,
    ) -> SystemError {
        let doing = format!("reading `{}`", self.name);
        SystemError::Failed {
            connection: self.connection.clone(),
            doing,
            source: cause.into(),
            hint,
        }
    }

    /// Finds the columns meant by `wanted` among those the file has, each by its exact name, else
    /// by the only one that differs in case. Shape: one position in `there` per wanted name.
    /// Errors: `NotFound` with what is there; `Failed` if several columns could be meant.
    pub(super) fn resolve_columns(
        &self,
        wanted: &[String],
        there: &[String],
    ) -> Result<Vec<usize>, SystemError> {
        resolve_columns(&format!("`{}`", self.name), wanted, there).map_err(|error| {
            error.into_system_error(&self.connection, &format!("reading `{}`", self.name))
        })
    }
}

impl Parts {
    /// What a folder holds, and the format of its files. Those that begin with a dot or an
    /// underscore are an engine's own.
    fn of(
        ground: &Ground,
        folder: &Path,
        wanted: Option<FileFormat>,
    ) -> (Self, Option<FileFormat>) {
        let mut entries = ground.entries(folder).unwrap_or_default();
        entries.sort_by(|left, right| left.path.cmp(&right.path));
        let mut parts = Self::default();
        let mut format = wanted;
        for Entry { path, is_folder } in &entries {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                parts.fails("it holds a file whose name is not UTF-8".to_owned());
                continue;
            };
            let shown = name.escape_debug();
            let format_of = FileName::parse_part(name).map(|name| name.format);
            match (name.starts_with(['.', '_']), format_of) {
                (true, _) if name == UNFINISHED => {
                    parts.fails(format!(
                        "it is still being written: it holds `{UNFINISHED}`"
                    ));
                }
                (true, _) => {}
                (false, _) if *is_folder => {
                    parts.fails(format!(
                        "it holds the folder `{shown}`, and tables in partitions are not read"
                    ));
                }
                (false, Some(other)) if format.is_some_and(|format| format != other) => {
                    parts.fails(format!(
                        "it holds files of more than one kind, `{shown}` among them"
                    ));
                }
                (false, Some(found)) => {
                    format = Some(found);
                    parts.names.push(name.to_owned());
                }
                (false, None) => {
                    parts.fails(format!("it holds `{shown}`, which is no {EXTENSIONS} file"))
                }
            }
        }
        match parts.names.len() {
            0 => parts.fails("it is a folder without part files".to_owned()),
            PARTS_MAX.. => parts.fails(format!("it holds more than {PARTS_MAX} part files")),
            _ => {}
        }
        let format = format.filter(|_| wanted.is_some() || !parts.names.is_empty());
        (parts, format)
    }

    /// The files of a folder whose names a pattern matches.
    fn matching(ground: &Ground, folder: &Path, pattern: &FilePattern) -> Self {
        let entries = ground.entries(folder).unwrap_or_default();
        let mut parts = Self {
            names: entries
                .iter()
                .filter_map(|entry| entry.path.file_name()?.to_str())
                .filter(|name| pattern.matches(name))
                .map(str::to_owned)
                .collect(),
            flaw: None,
        };
        parts.names.sort();
        match parts.names.len() {
            0 => parts.fails("no file has such a name".to_owned()),
            PARTS_MAX.. if pattern.take == Take::All => {
                parts.fails(format!("more than {PARTS_MAX} files have such names"));
            }
            length if pattern.take == Take::Last => drop(parts.names.drain(..length - 1)),
            _ => {}
        }
        parts
    }

    fn fails(&mut self, flaw: String) {
        self.flaw.get_or_insert(flaw);
    }
}

/// A table whose files are known for the whole pull, with what they looked like at the beginning.
#[derive(Debug)]
pub(super) struct OpenTable {
    pub(super) table: TableFile,
    parts: Vec<OpenPart>,
    /// Part files that hold nothing.
    empty: Vec<OpenPart>,
}

#[derive(Debug)]
struct OpenPart {
    table: TableFile,
    stamp: Stamp,
}

impl OpenPart {
    fn of(mut table: TableFile) -> Result<Self, SystemError> {
        table.path = table.ground.bring(&table.path)?;
        let metadata = fs::metadata(&table.path).map_err(|error| table.io_failed(error))?;
        match metadata.is_file() {
            true => Ok(Self {
                stamp: Stamp::of(&metadata),
                table,
            }),
            false => Err(table.failed("it is not a regular file")),
        }
    }

    /// Whether nothing stands in it. Errors: it cannot be read.
    fn is_empty(&self) -> Result<bool, SystemError> {
        if self.stamp.length == 0 || self.table.compression == Compression::None {
            return Ok(self.stamp.length == 0);
        }
        Ok(self.open()?.head()?.is_empty())
    }

    /// Errors: `Failed` if it is no longer what it was.
    fn open(&self) -> Result<OpenFile, SystemError> {
        if !self.is_unchanged() {
            return Err(self.changed());
        }
        let file =
            user_file::open(&self.table.path).map_err(|error| self.table.io_failed(error))?;
        let metadata = file
            .metadata()
            .map_err(|error| self.table.io_failed(error))?;
        match Stamp::of(&metadata) == self.stamp {
            true => Ok(OpenFile {
                table: self.table.clone(),
                file,
                length: metadata.len(),
            }),
            false => Err(self.changed()),
        }
    }

    fn changed(&self) -> SystemError {
        self.table.failed_with_hint(
            format!("`{}` changed while it was read", self.table.name),
            Some(
                "run again; let the dashboard write the file aside and rename it into place"
                    .to_owned(),
            ),
        )
    }

    fn is_unchanged(&self) -> bool {
        fs::metadata(&self.table.path).is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
    }
}

impl OpenTable {
    /// The file of this position; `None` behind the last.
    /// Errors: `Failed` if it is no longer what it was.
    pub(super) fn part(&self, position: usize) -> Result<Option<OpenFile>, SystemError> {
        self.parts.get(position).map(OpenPart::open).transpose()
    }

    /// The first file.
    pub(super) fn first(&self) -> Result<OpenFile, SystemError> {
        self.part(0)?
            .ok_or_else(|| self.table.failed("it is a folder without part files"))
    }

    /// Whether what was read is one snapshot. Errors: `Failed` if a file was written to, or another
    /// one put in its place, since the table was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), SystemError> {
        if let Some(changed) = self
            .parts
            .iter()
            .chain(&self.empty)
            .find(|part| !part.is_unchanged())
        {
            return Err(changed.changed());
        }
        let now = self.table.parts.as_ref();
        let now = now.map(|_| self.table.listed(&self.table.ground));
        match now == self.table.parts {
            true => Ok(()),
            false => Err(self.table.changed_within()),
        }
    }
}

/// An open file of a table.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) table: TableFile,
    pub(super) file: File,
    /// Bytes.
    pub(super) length: u64,
}

impl OpenFile {
    /// A handle that reads from the beginning. All handles of a file share one place in it: use one
    /// at a time.
    pub(super) fn reader(&self) -> Result<File, SystemError> {
        let rewound = || -> io::Result<File> {
            let mut reader = self.file.try_clone()?;
            reader.rewind()?;
            Ok(reader)
        };
        rewound().map_err(|error| self.table.io_failed(error))
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
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            inode: inode(metadata),
        }
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
            Self::Missing { what, hint } => SystemError::NotFound {
                what,
                hint: Some(hint),
            },
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
pub(super) fn resolve_columns(
    place: &str,
    wanted: &[String],
    there: &[String],
) -> Result<Vec<usize>, ColumnError> {
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
    let part = NamePart {
        text: wanted.to_owned(),
        quoted: false,
    };
    let found = match resolve_name(&part, there.iter().map(String::as_str)) {
        Ok(found) => found,
        Err(NameError::Unknown) => return Ok(None),
        Err(NameError::Ambiguous { candidates }) => {
            let names = list_names(candidates.iter().map(String::as_str));
            return Err(ColumnError::Ambiguous(format!(
                "column `{wanted}` could be any of {names}"
            )));
        }
    };
    let mut alike = there
        .iter()
        .enumerate()
        .filter(|(_, name)| *name == found)
        .map(|(position, _)| position);
    match (alike.next(), alike.next()) {
        (position, None) => Ok(position),
        (_, Some(_)) => Err(ColumnError::Ambiguous(format!(
            "there is more than one column `{found}`"
        ))),
    }
}

fn missing_columns(place: &str, first: &str, others: &[&str], there: &[String]) -> ColumnError {
    let likewise = match others {
        [] => String::new(),
        others => format!(" (likewise {})", list_names(others.iter().copied())),
    };
    let listed = format!(
        "the columns are {}",
        list_names(there.iter().map(String::as_str))
    );
    let hint = match did_you_mean(first, there.iter().map(String::as_str)) {
        Some(meant) => format!("{meant} {listed}"),
        None => listed,
    };
    ColumnError::Missing {
        what: format!("column `{first}`{likewise} of {place}"),
        hint,
    }
}

/// Names as messages list them: `` `a`, `b` ``, cut where nobody reads on.
pub(super) fn list_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut quoted: Vec<String> = names
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
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
        return SystemError::NotFound {
            what: format!("{what} of `{connection}`"),
            hint,
        };
    }
    let connection = connection.to_owned();
    if error.kind() == io::ErrorKind::PermissionDenied {
        let hint = format!("let the user that runs writeback read {what}");
        return SystemError::Forbidden {
            connection,
            source: error.into(),
            hint,
        };
    }
    SystemError::Failed {
        connection,
        doing: format!("reading {what}"),
        source: error.into(),
        hint: None,
    }
}
