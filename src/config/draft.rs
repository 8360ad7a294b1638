//! The texts of a new project: what the readers beside this module read back without a problem.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use chrono::Utc;
use chrono_tz::Tz;
use sqlparser::keywords::ALL_KEYWORDS;

use super::address::Address;
use super::dbml::DbmlColumn;
use super::names::{is_plain_name, parse_column_name};
use super::project_file::read_project;
use super::schema::parse_schema;
use super::secret::Surroundings;
use super::{PROJECT_FILE, Project, SCHEDULES_FOLDER};
use crate::domain::connection::{Connection, SystemKind};
use crate::domain::files::{CsvDialect, NumberMarks};
use crate::domain::gate::{Cron, CronMistake};
use crate::domain::match_rule::MatchMode;
use crate::domain::object_name::parse_object_name;
use crate::domain::problem::Problem;
use crate::domain::schema::SchemaType;

/// Name of the source in a new project.
const SOURCE: &str = "dashboard";
/// Name of the destination in a new project.
const DESTINATION: &str = "crm";

/// A system as one text names it: a folder, a file of SQLite or DuckDB, or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DraftSystem {
    Folder(String),
    SqliteFile(String),
    DuckdbFile(String),
    /// A server's URL without a password, and the environment variable that holds the password, if
    /// it has one.
    Server {
        url: String,
        password: Option<String>,
    },
}

/// One schema column of a new project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftColumn {
    pub(crate) name: String,
    pub(crate) column_type: SchemaType,
    pub(crate) nullable: bool,
    pub(crate) key: bool,
    /// The destination column it goes to; `None` ignores it.
    pub(crate) goes_to: Option<String>,
}

/// When the job of a new project is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftCadence {
    pub(crate) signal: DraftSignal,
    /// How long after the cycle.
    pub(crate) settle: String,
    pub(crate) gate: Option<DraftGate>,
}

/// How a finished cycle of the dashboard is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DraftSignal {
    /// By this file.
    Marker(String),
    /// By this query on the source.
    Query(String),
    /// By the clock, so long after it has begun.
    Clock {
        begins: DraftGate,
        margin: String,
    },
    Announced,
}

/// A crontab line and its time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftGate {
    pub(crate) cron: String,
    pub(crate) timezone: String,
}

/// All that a new project says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) job: String,
    /// Of the write-back and its schema file.
    pub(crate) name: String,
    pub(crate) source: DraftSystem,
    /// What is pulled.
    pub(crate) source_table: String,
    /// The files that it is the newest of, by a pattern of their names.
    pub(crate) pattern: Option<String>,
    /// Whether the table is there: the columns were read from it.
    pub(crate) source_is_there: bool,
    /// How the source's CSV is written.
    pub(crate) dialect: CsvDialect,
    /// Where the source's times without a zone hang.
    pub(crate) timezone: Option<String>,
    pub(crate) destination: DraftSystem,
    pub(crate) columns: Vec<DraftColumn>,
    pub(crate) table: String,
    pub(crate) mode: MatchMode,
    pub(crate) batch_records_max: NonZeroUsize,
    /// The destination column that the cycle's completion time is written to.
    pub(crate) stamp: Option<String>,
    pub(crate) cadence: Option<DraftCadence>,
}

impl DraftSystem {
    /// Reads a folder, a file of SQLite or DuckDB, or a URL.
    /// Errors: why it is none of them; no part of a URL is told.
    pub(crate) fn parse(text: &str, password: Option<String>) -> Result<Self, String> {
        let text = text.trim();
        let is_database = [".db", ".sqlite", ".sqlite3"]
            .iter()
            .any(|ending| text.ends_with(ending));
        if text.is_empty() || text.contains(char::is_control) {
            return Err("name a folder, a file of SQLite or DuckDB, or a url".to_owned());
        }
        if !text.contains("://") && !text.starts_with("sqlite:") {
            let path = text.strip_prefix("files:").unwrap_or(text).to_owned();
            return Ok(match is_database {
                true => Self::SqliteFile(path),
                false if text.ends_with(".duckdb") => Self::DuckdbFile(path),
                false => Self::Folder(path),
            });
        }
        let address =
            Address::parse(text).map_err(|error| format!("{}; {}", error.message, error.hint))?;
        match (address.kind, address.file) {
            (_, Some(file)) => Ok(Self::SqliteFile(file.display().to_string())),
            (SystemKind::Postgres | SystemKind::Mysql, None) if address.password.is_some() => {
                Err("leave the password out of the url: it would stand in a file".to_owned())
            }
            (SystemKind::Postgres | SystemKind::Mysql, None) => Ok(Self::Server {
                url: text.to_owned(),
                password,
            }),
            (_, None) => Err("name the file of the database".to_owned()),
        }
    }

    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// Whether nothing can be written to it.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// The folder or file; a server has none.
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            Self::Folder(path) | Self::SqliteFile(path) | Self::DuckdbFile(path) => Some(path),
            Self::Server { .. } => None,
        }
    }

    /// Whether both lead to one database.
    pub(crate) fn is_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Server { url, .. }, Self::Server { url: other, .. }) => url == other,
            (one, other) => one == other,
        }
    }

    /// The connection to look at it from a project in `root`. `table` tells under which name a
    /// file of SQLite is attached. Errors: it cannot be had now, such as for want of a password.
    pub(crate) fn connect(
        &self,
        root: &Path,
        table: Option<&str>,
        dialect: &CsvDialect,
    ) -> Result<Connection, Vec<Problem>> {
        let attached = table.and_then(attached_name);
        let text = self.connection(SOURCE, attached.as_deref(), dialect);
        let environment = |name: &str| std::env::var_os(name);
        let surroundings = Surroundings {
            root,
            environment: &environment,
            clock: Utc::now,
        };
        let project = read_project(&text, surroundings)?;
        let (connection, _) = project.connection(SOURCE)?;
        Ok(connection.clone())
    }

    /// The table of a connection in the project's file.
    fn connection(&self, name: &str, attached: Option<&str>, dialect: &CsvDialect) -> String {
        let settings = match self {
            Self::Folder(folder) => {
                let dialect = dialect_settings(dialect);
                format!("kind   = \"files\"\nfolder = {}\n{dialect}", string(folder))
            }
            Self::SqliteFile(file) => {
                let database = attached.map(|name| format!("database = {}\n", string(name)));
                format!(
                    "kind     = \"sqlite\"\nfile     = {}\n{}",
                    string(file),
                    database.unwrap_or_default()
                )
            }
            Self::DuckdbFile(file) => {
                format!("kind   = \"duckdb\"\nfile   = {}\n", string(file))
            }
            Self::Server { url, password } => {
                let password = password
                    .as_ref()
                    .map(|name| format!("password = {{ env = {} }}\n", string(name)));
                format!(
                    "url      = {}\n{}",
                    string(url),
                    password.unwrap_or_default()
                )
            }
        };
        format!("[connections.{name}]\n{settings}")
    }
}

/// The settings in which a dialect is not the usual one.
fn dialect_settings(dialect: &CsvDialect) -> String {
    let usual = CsvDialect::default();
    let CsvDialect {
        separator,
        marks: NumberMarks { decimal, thousands },
        dates,
        encoding,
        nulls: _,
    } = dialect;
    let sign = |sign: char| string(&sign.to_string());
    let mut settings = String::new();
    if *separator != usual.separator {
        settings += &format!("separator = {}\n", sign(char::from(*separator)));
    }
    if *decimal != usual.marks.decimal {
        settings += &format!("decimal = {}\n", sign(*decimal));
    }
    if let Some(thousands) = thousands {
        settings += &format!("thousands = {}\n", sign(*thousands));
    }
    if *dates != usual.dates {
        settings += &format!("dates = \"{}\"\n", dates.name());
    }
    if *encoding != usual.encoding {
        settings += &format!("encoding = \"{}\"\n", encoding.name().to_lowercase());
    }
    settings
}

/// The first part of a table of two, under which a SQLite file is attached.
fn attached_name(table: &str) -> Option<String> {
    let name = parse_object_name(table).ok()?;
    match name.parts.as_slice() {
        [database, _] => Some(database.text.clone()),
        _ => None,
    }
}

impl DraftColumn {
    /// A column of a diagram. Errors: what is wrong with its type.
    pub(crate) fn of_diagram(column: &DbmlColumn) -> Result<Self, String> {
        let null = if column.nullable { "" } else { " NOT NULL" };
        let parsed = Self::parse(&format!("c {}{null}", column.declared))?;
        Ok(Self {
            name: column.name.clone(),
            key: column.key,
            goes_to: Some(column.name.clone()),
            ..parsed
        })
    }

    /// The column as it is declared, for whoever is asked whether it is meant.
    pub(crate) fn definition(&self) -> String {
        let ending = match (self.key, self.nullable) {
            (true, _) => " PRIMARY KEY",
            (false, false) => " NOT NULL",
            (false, true) => "",
        };
        format!("{} {}{ending}", quoted(&self.name), self.column_type)
    }

    /// Reads `health_score DECIMAL(5,2) NOT NULL` or `account_id VARCHAR(18) PRIMARY KEY`; a colon
    /// may follow the name. Errors: what is wrong with it.
    pub(crate) fn parse(definition: &str) -> Result<Self, String> {
        const FORM: &str = "write a name and a type: `health_score DECIMAL(5,2)`";
        let definition = definition.trim();
        let (name, declared) = split_definition(definition).ok_or(FORM)?;
        let (declared, key) = without_key(declared.trim());
        // Declared beside another key, so that it is read just as a schema file would declare it.
        let text = format!(
            "CREATE TABLE t ({} {declared}, \"another column\" INT PRIMARY KEY)",
            quoted(name)
        );
        let (schema, _) =
            parse_schema("sql", &text).map_err(|problems| first_message(&problems))?;
        match schema.columns.as_slice() {
            [column, _] if column.name == name => Ok(Self {
                name: name.to_owned(),
                column_type: column.column_type,
                nullable: column.nullable && !key,
                key,
                goes_to: Some(name.to_owned()),
            }),
            _ => Err(FORM.to_owned()),
        }
    }
}

/// The name and what follows it.
fn split_definition(definition: &str) -> Option<(&str, &str)> {
    if let Some(rest) = definition.strip_prefix('"') {
        return rest
            .split_once('"')
            .map(|(name, declared)| (name, declared.trim_start_matches(':')));
    }
    let end = definition.find(|sign: char| sign.is_whitespace() || sign == ':')?;
    let (name, declared) = definition.split_at(end);
    Some((name, declared.trim_start_matches(':')))
}

/// What is declared without `PRIMARY KEY` at its end, and whether it stood there.
fn without_key(declared: &str) -> (&str, bool) {
    const KEY: &str = "PRIMARY KEY";
    let end = declared.len().saturating_sub(KEY.len());
    match declared.get(end..) {
        Some(last) if last.eq_ignore_ascii_case(KEY) => {
            (declared.get(..end).unwrap_or_default(), true)
        }
        _ => (declared, false),
    }
}

fn first_message(problems: &[Problem]) -> String {
    let told = |problem: &Problem| match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.message),
        None => problem.message.clone(),
    };
    problems.first().map(told).unwrap_or_default()
}

/// Checks the name of a job or a write-back. Errors: what it may hold.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    is_plain_name(name)
        .then_some(())
        .ok_or_else(|| super::names::PLAIN_NAME_HINT.to_owned())
}

/// Checks a destination's table. Errors: what is wrong with it.
pub(crate) fn check_table(table: &str) -> Result<(), String> {
    parse_object_name(table).map(|_| ())
}

/// Checks a destination column. Errors: what is wrong with it.
pub(crate) fn check_column(column: &str) -> Result<(), String> {
    parse_column_name(column).map(|_| ())
}

/// Checks a crontab line. Errors: what is wrong with it.
pub(crate) fn check_cron(line: &str) -> Result<(), String> {
    Cron::parse(line)
        .map(|_| ())
        .map_err(|CronMistake { message, hint }| format!("{message}; {hint}"))
}

/// Checks the name of a time zone. Errors: how one is written.
pub(crate) fn check_timezone(name: &str) -> Result<(), String> {
    Tz::from_str_insensitive(name)
        .map(|_| ())
        .map_err(|_| "write it as in Europe/Berlin or UTC".to_owned())
}

/// Checks a time to wait. Errors: how one is written.
pub(crate) fn check_duration(text: &str) -> Result<(), String> {
    humantime::parse_duration(text)
        .map(|_| ())
        .map_err(|_| "write it as in 30m".to_owned())
}

impl Draft {
    /// Checks the draft by reading it back.
    /// Errors: every mistake in what it would write.
    pub(crate) fn check(&self) -> Result<(), DraftError> {
        let folder = tempfile::TempDir::new().map_err(DraftError::Io)?;
        self.write(folder.path()).map_err(DraftError::Io)?;
        let read = Project::load(folder.path()).and_then(|project| project.read_job(&self.job));
        read.map(|_| ()).map_err(DraftError::Mistakes)
    }

    /// The files that would be made in `folder` and are there already; all but a `.gitignore`.
    pub(crate) fn in_the_way(&self, folder: &Path) -> Option<String> {
        let mut names = self.files(folder).into_iter().map(|(name, _)| name);
        names.find(|name| name != GIT_IGNORE && folder.join(name).exists())
    }

    /// What is to be added to a `.gitignore` that is there already.
    pub(crate) fn to_be_ignored(folder: &Path) -> Vec<&'static str> {
        let Ok(there) = fs::read_to_string(folder.join(GIT_IGNORE)) else {
            return Vec::new();
        };
        let is_there = |line: &str| there.lines().any(|other| other.trim() == line);
        IGNORED.lines().filter(|line| !is_there(line)).collect()
    }

    /// Writes the files into `folder` and returns their names. Overwrites nothing: a `.gitignore`
    /// that is there stays, any other file that is there is an error.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut written = Vec::new();
        for (name, text) in self.files(folder) {
            let path = folder.join(&name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => file.write_all(text.as_bytes())?,
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && name == GIT_IGNORE =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            }
            written.push(name);
        }
        Ok(written)
    }

    /// The page that says what to do next; beside somebody's README, one of its own name.
    pub(crate) fn guide(folder: &Path) -> &'static str {
        match folder.join("README.md").exists() {
            true => "WRITEBACK.md",
            false => "README.md",
        }
    }

    /// Names and texts of the files, in the order in which people read them.
    fn files(&self, folder: &Path) -> Vec<(String, String)> {
        vec![
            (Self::guide(folder).to_owned(), self.readme()),
            (PROJECT_FILE.to_owned(), self.project()),
            (format!("sql/{}.sql", self.name), self.schema()),
            (format!("{SCHEDULES_FOLDER}/{}.toml", self.job), self.job()),
            (GIT_IGNORE.to_owned(), IGNORED.to_owned()),
        ]
    }

    fn project(&self) -> String {
        let dashboard = self
            .cadence
            .as_ref()
            .map(|cadence| cadence.signal.dashboard());
        format!(
            "# Where records come from, where they go, and how a finished cycle is noticed. Paths are relative to this file.\n\
             # What is done with them stands in {SCHEDULES_FOLDER}/, one file for each job.\n\n\
             {}{}{}\n{}{}{DEFAULTS}",
            self.source.connection(SOURCE, None, &self.dialect),
            self.clock(),
            self.tables(),
            self.destination.connection(
                DESTINATION,
                attached_name(&self.table).as_deref(),
                &CsvDialect::default()
            ),
            dashboard.unwrap_or_default(),
        )
    }

    /// What the connection says of times without a zone.
    fn clock(&self) -> String {
        let line = |zone| format!("timezone = {}   # of times without a zone\n", string(zone));
        self.timezone.as_deref().map(line).unwrap_or_default()
    }

    /// What the connection says of a table that is the newest of several files.
    fn tables(&self) -> String {
        let Some(pattern) = &self.pattern else {
            return String::new();
        };
        format!(
            "\n[connections.{SOURCE}.tables]   # a `?` stands for any one sign; of names that hold a date the last is the newest\n\
             {} = {{ files = {}, take = \"last\" }}\n",
            key(&self.source_table),
            string(pattern)
        )
    }

    /// The source's table as a schema names it. A file's name may hold points; in a database they
    /// stand between schema and table.
    fn source_path(&self) -> String {
        match (&self.source, parse_object_name(&self.source_table)) {
            (DraftSystem::Folder(_), _) | (_, Err(_)) => quoted(&self.source_table),
            (_, Ok(name)) => {
                let parts = name.parts.iter().map(|part| quoted(&part.text));
                parts.collect::<Vec<_>>().join(".")
            }
        }
    }

    fn schema(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            let null = if column.nullable || column.key {
                ""
            } else {
                " NOT NULL"
            };
            format!(
                "    {} {}{null},\n",
                quoted(&column.name),
                column.column_type
            )
        });
        let key = self
            .columns
            .iter()
            .filter(|column| column.key)
            .map(|column| quoted(&column.name));
        let key = key.collect::<Vec<_>>().join(", ");
        format!(
            "-- What the source yields: columns, their types, and the unique identifier that records are matched by.\n\
             -- After a `;` a SELECT in the source's own dialect may follow; without one the table is pulled as it is.\n\
             CREATE TABLE {} (\n{}    PRIMARY KEY ({key})\n);\n",
            self.source_path(),
            columns.collect::<String>(),
        )
    }

    fn job(&self) -> String {
        let cadence = self
            .cadence
            .as_ref()
            .map(DraftCadence::table)
            .unwrap_or_default();
        let ignored = self
            .columns
            .iter()
            .filter(|column| column.goes_to.is_none())
            .map(|column| string(&column.name));
        let ignored = ignored.collect::<Vec<_>>().join(", ");
        let ignore = if ignored.is_empty() {
            String::new()
        } else {
            format!("ignore      = [{ignored}]\n")
        };
        format!(
            "{cadence}[[write_back]]\n\
             name        = {}\n\
             schema      = {}\n\
             source      = \"{SOURCE}\"   # a [connections.*] of {PROJECT_FILE}\n\
             destination = \"{DESTINATION}\"\n\
             table       = {}\n\
             batch_size  = {}   # records in one write\n\
             matching    = \"{}\"   # update_only, upsert or create_only\n\
             {ignore}\n\
             [write_back.fields]   # destination column = where its value comes from\n{}",
            string(&self.name),
            string(&format!("sql/{}.sql", self.name)),
            string(&self.table),
            self.batch_records_max,
            self.mode.name(),
            self.fields(),
        )
    }

    fn fields(&self) -> String {
        let columns = self.columns.iter().filter_map(|column| {
            let goes_to = column.goes_to.as_ref()?;
            Some(format!("{} = {}\n", key(goes_to), string(&column.name)))
        });
        let stamp = self
            .stamp
            .iter()
            .map(|stamp| format!("{} = {{ method = \"cycle_completed_at\" }}\n", key(stamp)));
        columns.chain(stamp).collect()
    }

    fn readme(&self) -> String {
        let job = &self.job;
        let mut steps = Vec::new();
        if !self.source_is_there {
            steps.push(self.export_step());
        }
        steps.extend(
            [&self.source, &self.destination]
                .into_iter()
                .filter_map(password_step),
        );
        if let Some(cadence) = &self.cadence {
            steps.push(cadence.signal.step());
        }
        steps.extend([
            format!("`writeback check {job}` looks at everything and writes nothing."),
            format!("`writeback preview {job}` shows what a run would do."),
            format!(
                "`writeback test {job} --record KEY` takes one record the whole way and shows it before and after."
            ),
            format!("`writeback run {job}` does it."),
        ]);
        if self.cadence.is_some() {
            steps.push(
                "`writeback serve` does it after each cycle, as long as it is left running."
                    .to_owned(),
            );
        }
        let steps = steps
            .iter()
            .enumerate()
            .map(|(index, step)| format!("{}. {step}\n", index + 1));
        format!(
            "# {} to `{}`\n\nA write-back project. {PROJECT_FILE} says where the systems are, `sql/{}.sql` what the source yields,\n\
             `{SCHEDULES_FOLDER}/{job}.toml` which column goes where. Edit them as you like; `writeback check` tells every mistake.\n\n\
             ## Next steps\n\n{}",
            self.name,
            self.table,
            self.name,
            steps.collect::<String>(),
        )
    }

    fn export_step(&self) -> String {
        match &self.source {
            DraftSystem::Folder(folder) => {
                format!(
                    "Put the export into `{folder}` as `{0}.csv`, `{0}.parquet` or `{0}.ndjson`.",
                    self.source_table
                )
            }
            DraftSystem::SqliteFile(_)
            | DraftSystem::DuckdbFile(_)
            | DraftSystem::Server { .. } => {
                format!(
                    "See that the source has a table `{}`, or add a SELECT to `sql/{}.sql`.",
                    self.source_table, self.name
                )
            }
        }
    }
}

impl DraftCadence {
    fn table(&self) -> String {
        let gate = self.gate.as_ref().map(|DraftGate { cron, timezone }| {
            format!(
                "gate      = {{ cron = {}, timezone = {} }}   # not before the next of these instants\n",
                string(cron),
                string(timezone)
            )
        });
        format!(
            "[cadence]\ndashboard = \"{SOURCE}\"   # a [dashboards.*] of {PROJECT_FILE}\n\
             settle    = {}   # some time after the cycle has finished\n{}\n",
            string(&self.settle),
            gate.unwrap_or_default(),
        )
    }
}

impl DraftSignal {
    fn dashboard(&self) -> String {
        let (comment, keys) = match self {
            Self::Marker(file) => (
                "The dashboard leaves this file behind when a cycle has finished.",
                format!("marker = {}\n", string(file)),
            ),
            Self::Query(sql) => (
                "This query on the source tells which cycles have finished.",
                format!("source = \"{SOURCE}\"\nquery  = {}\n", string(sql)),
            ),
            Self::Clock {
                begins: DraftGate { cron, timezone },
                margin,
            } => (
                "The dashboard tells nothing: it begins at these instants and has finished `margin` later.",
                format!(
                    "cron     = {}\ntimezone = {}\nmargin   = {}\n",
                    string(cron),
                    string(timezone),
                    string(margin)
                ),
            ),
            Self::Announced => (
                "Whoever runs the dashboard's automation says when a cycle has finished.",
                "announced = true\n".to_owned(),
            ),
        };
        format!("\n# {comment}\n[dashboards.{SOURCE}]\n{keys}")
    }

    /// What is left for the user to do.
    fn step(&self) -> String {
        match self {
            Self::Marker(file) => format!(
                "When a cycle has finished, let the dashboard leave `{file}` behind:\n   `{{\"cycle_id\": \"2026-11-15\", \
                 \"completed_at\": \"2026-11-15T06:30:00Z\", \"status\": \"succeeded\"}}`."
            ),
            Self::Query(_) => format!(
                "See that the query of `[dashboards.{SOURCE}]` in {PROJECT_FILE} yields `cycle_id`, `completed_at` and `status`."
            ),
            Self::Clock { begins, margin } => format!(
                "See that the dashboard, which begins at `{}` ({}), has always finished {margin} later.",
                begins.cron, begins.timezone
            ),
            Self::Announced => format!(
                "When a cycle has finished, let whoever knows call `writeback cycle {SOURCE} --id ID`, with an id of its own for each cycle."
            ),
        }
    }
}

/// Guards of a new project. How many records change from one cycle to the next its users learn from
/// a few runs.
const DEFAULTS: &str = "
# For write-backs that do not say it themselves. Guards stop a run before its first write.
[defaults]
require_test = true       # what was never tested with `writeback test` does not run
min_read     = 1          # an empty source stops
max_rejected = \"50 %\"
max_nulls    = \"50 %\"     # of the values that a column holds, lost to NULL
# max_changed = \"30 %\"   # records inserted or updated; a first run changes nearly all
";

const GIT_IGNORE: &str = ".gitignore";

/// What a project's folder holds that is nobody else's business: the program's own state, plans and
/// pages, of which all hold values of records.
const IGNORED: &str = ".writeback/\n*.plan\npreview*.html\n";

fn password_step(system: &DraftSystem) -> Option<String> {
    match system {
        DraftSystem::Server {
            password: Some(name),
            ..
        } => Some(format!("`export {name}=…` sets the password.")),
        DraftSystem::Server { password: None, .. }
        | DraftSystem::Folder(_)
        | DraftSystem::SqliteFile(_)
        | DraftSystem::DuckdbFile(_) => None,
    }
}

/// Why a draft cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    #[error("could not write a file for trying out")]
    Io(#[source] io::Error),
    #[error("these answers do not make a project")]
    Mistakes(Vec<Problem>),
}

/// A TOML string.
fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A TOML key, bare where it can be.
fn key(name: &str) -> String {
    let bare = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        string(name)
    }
}

/// A name in SQL, in double quotes where it needs them.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let word = ALL_KEYWORDS.contains(&name.to_ascii_uppercase().as_str());
    match starts_well && name.chars().all(plain) && !word {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
