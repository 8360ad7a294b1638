//! `writeback init`: a new project, by asking or by flags. The questions follow the six steps that
//! a dashboard's guidance for write-backs takes: use case, credentials, fields, schema,
//! destination, test. What the systems themselves can say is read and proposed.

mod asking;
mod proposal;
mod reading;

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use self::asking::{Asker, Who};
use self::proposal::{Proposal, propose};
use self::reading::{
    Look, NamedSource, Offer, SeenTable, Unseen, here_or_there, list, look, name_of, near_names,
    tables, widened,
};
use crate::cli::init::InitArguments;
use crate::config::PROJECT_FILE;
use crate::config::dbml::{DbmlTable, read_dbml};
use crate::config::draft::{
    Draft, DraftCadence, DraftColumn, DraftError, DraftGate, DraftSignal, DraftSystem,
    check_column, check_cron, check_duration, check_name, check_table, check_timezone,
};
use crate::domain::files::CsvDialect;
use crate::domain::match_rule::MatchMode;
use crate::domain::printable::printable;
use crate::domain::problem::{Problem, did_you_mean, quoted_list};
use crate::domain::schema::SchemaType;
use crate::source::ListedTable;
use crate::user_file;

/// What stands for "none" in an answer: an empty answer takes what is proposed.
const NONE: &str = "-";

/// Bytes a diagram may have: people draw them by hand.
const DIAGRAM_BYTES_MAX: u64 = 1 << 20;

/// Why no project was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error("`{}` is there already", file.display())]
    InTheWay { file: PathBuf },
    #[error("there is no terminal to ask on")]
    NoTerminal,
    /// An answer given by a flag that is none.
    #[error("{answer}: {why}")]
    Answer { answer: String, why: String },
    /// What the answers make together cannot be read.
    #[error("these answers do not make a project")]
    Mistakes(Vec<Problem>),
    #[error("could not write the project into `{}`", folder.display())]
    Io { folder: PathBuf, source: io::Error },
    #[error("could not ask")]
    Asking(#[from] dialoguer::Error),
}

impl InitError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::InTheWay { .. } => Some(
                "nothing is overwritten: name another folder, `writeback init my-write-backs`"
                    .to_owned(),
            ),
            Self::NoTerminal => {
                Some("`--yes` asks nothing; `writeback init --help` lists the flags".to_owned())
            }
            Self::Answer { .. } | Self::Mistakes(_) | Self::Io { .. } | Self::Asking(_) => None,
        }
    }
}

/// Makes a new project. Overwrites nothing; writes nothing at all unless the whole project can be
/// read back. Returns what was done and what to do next.
pub(crate) async fn init(arguments: &InitArguments) -> Result<String, InitError> {
    let folder = &arguments.folder;
    refuse_what_is_there(folder.join(PROJECT_FILE))?;
    let who = match arguments.yes {
        true => Who::Nobody,
        false if io::stdin().is_terminal() && io::stderr().is_terminal() => Who::Terminal,
        false => return Err(InitError::NoTerminal),
    };
    let mut asker = Asker::new(who);
    let failed = |source: io::Error| InitError::Io {
        folder: folder.clone(),
        source,
    };
    let (draft, notes) = loop {
        let mut notes = Vec::new();
        let draft = draft(arguments, &asker, &mut notes).await?;
        match draft.check() {
            Ok(()) => break (draft, notes),
            Err(DraftError::Io(source)) => return Err(failed(source)),
            Err(DraftError::Mistakes(problems)) if asker.is_nobody() => {
                return Err(InitError::Mistakes(problems));
            }
            Err(DraftError::Mistakes(problems)) => ask_again(&mut asker, &problems)?,
        }
    };
    if let Some(file) = draft.in_the_way(folder) {
        refuse_what_is_there(folder.join(file))?;
    }
    let guide = Draft::guide(folder);
    let to_be_ignored = Draft::to_be_ignored(folder);
    let written = draft.write(folder).map_err(failed)?;
    let mut told = notes.concat();
    told += &report(&written, &draft, folder, guide);
    if !to_be_ignored.is_empty() {
        let lines = quoted_list(to_be_ignored.iter().copied());
        told += &format!("note: your .gitignore stays as it is; add {lines} to it\n");
    }
    Ok(told)
}

fn refuse_what_is_there(file: PathBuf) -> Result<(), InitError> {
    match file.exists() {
        true => Err(InitError::InTheWay { file }),
        false => Ok(()),
    }
}

/// Tells the mistakes; the questions come again, each with its last answer.
fn ask_again(asker: &mut Asker, problems: &[Problem]) -> Result<(), InitError> {
    asker.tell("These answers do not make a project:")?;
    for problem in problems {
        asker.tell(&format!("  {}", problem.message))?;
        if let Some(hint) = &problem.hint {
            asker.tell(&format!("    hint: {hint}"))?;
        }
    }
    asker.tell("Once more; Enter keeps what you answered.")?;
    asker.asks_again = true;
    Ok(())
}

/// Lines as a terminal may be given them: names in them may be anything.
fn lines_of(text: &str) -> String {
    text.lines().map(|line| printable(line) + "\n").collect()
}

fn report(written: &[String], draft: &Draft, folder: &Path, guide: &str) -> String {
    let path = |name: &str| printable(&folder.join(name).display().to_string());
    let wrote: String = written
        .iter()
        .map(|name| format!("wrote {}\n", path(name)))
        .collect();
    format!(
        "{wrote}next: read {}, then `writeback check {}`\n",
        path(guide),
        draft.job
    )
}

/// Answers every question: by its flag, by reading, by asking, or with what is proposed. What was
/// read is told in `notes`.
async fn draft(
    arguments: &InitArguments,
    asker: &Asker,
    notes: &mut Vec<String>,
) -> Result<Draft, InitError> {
    let folder = arguments.folder.as_path();
    asker.tell("Step 1: the systems, and where their passwords are")?;
    let question = "Where records come from (a file or folder of records, a file of SQLite or DuckDB, \
                    or a url without a password)";
    let source = asker.text(question, &arguments.source, "dashboard", &|text| {
        system(text).map(|_| ())
    })?;
    let named = NamedSource::parse(&source, folder);
    let password = &arguments.source_password_env;
    let source = with_password(asker, "it", &named.system, password, "DASHBOARD_PASSWORD")?;
    let question = "Where they go (a file of SQLite or DuckDB, or a url without a password)";
    let destination = asker.text(
        question,
        &arguments.destination,
        "crm.db",
        &check_destination,
    )?;
    let destination = match (&arguments.destination, asker.is_nobody()) {
        (None, true) => destination,
        _ => here_or_there(&destination, folder),
    };
    let password = &arguments.destination_password_env;
    let destination = with_password(asker, "that", &destination, password, "CRM_PASSWORD")?;

    asker.tell("Step 2: the use case")?;
    let diagram = arguments.from.as_deref().map(diagram).transpose()?;
    let Records {
        table: source_table,
        pattern,
        mut columns,
        dialect,
        is_there: source_is_there,
        is_guessed,
    } = records(
        arguments,
        asker,
        &source,
        named.table,
        diagram.as_deref(),
        notes,
    )
    .await?;
    let job = asker.text("Name of the job", &arguments.job, "weekly", &check_name)?;

    asker.tell("Step 5: the destination's table, its columns, the rules and the cadence")?;
    let seen = match is_guessed {
        true => Seen::Values,
        false => Seen::Declared,
    };
    let own = source
        .is_place_of(&destination)
        .then_some(source_table.as_str());
    let usual = match arguments.table {
        Some(_) => String::new(),
        None => proposed_destination(arguments, asker, &destination, own, &columns, notes).await?,
    };
    let Going { table, instants } = destination_table(
        arguments,
        asker,
        &destination,
        usual,
        &mut columns,
        seen,
        notes,
    )
    .await?;
    fields(arguments, asker, &mut columns)?;
    let timezone = clock_of_source(arguments, asker, &columns, &instants, notes)?;
    let question = "Column for the time of the dashboard's cycle (recommended; - for none)";
    let stamp = none(asker.text(question, &arguments.stamp, NONE, &check_column)?);
    let mode = mode(arguments, asker)?;
    let batch_size = arguments.batch_size.map(|records| records.to_string());
    let batch_size = asker.text("Records in one write", &batch_size, "500", &|text| {
        count(text).map(|_| ())
    })?;
    let batch_records_max = count(&batch_size).map_err(|why| refused("batch size", why))?;
    let cadence = cadence(arguments, asker)?;
    Ok(Draft {
        job,
        name: plain_name(&source_table),
        source,
        source_table,
        pattern,
        source_is_there,
        dialect,
        timezone,
        destination,
        columns,
        table,
        mode,
        batch_records_max,
        stamp,
        cadence,
    })
}

/// The tables of a diagram.
fn diagram(file: &Path) -> Result<Vec<DbmlTable>, InitError> {
    let shown = file.display().to_string();
    let refuse = |why: String| refused(&shown, why);
    let bytes =
        user_file::read(file, DIAGRAM_BYTES_MAX).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8 text".to_owned()))?;
    let tables = read_dbml(&shown, &text).map_err(|problem| InitError::Mistakes(vec![problem]))?;
    match tables.is_empty() {
        true => Err(refuse("it holds no table".to_owned())),
        false => Ok(tables),
    }
}

/// What is written back.
struct Records {
    table: String,
    /// The files that it is the newest of, by a pattern of their names.
    pattern: Option<String>,
    columns: Vec<DraftColumn>,
    /// How it is written.
    dialect: CsvDialect,
    is_there: bool,
    /// Whether only values of a file suggest what its columns hold.
    is_guessed: bool,
}

/// The source's table, its columns, how it is written, and whether it is there: as a diagram or
/// flags say, as the source itself does, or as somebody answers.
async fn records(
    arguments: &InitArguments,
    asker: &Asker,
    source: &DraftSystem,
    named: Option<String>,
    diagram: Option<&[DbmlTable]>,
    notes: &mut Vec<String>,
) -> Result<Records, InitError> {
    let folder = arguments.folder.as_path();
    let there = tables(source, folder).await;
    let mut flag = arguments.name.clone();
    let named = named.or_else(|| flag.clone());
    let mut usual = proposed_table(asker, named, diagram, &there)?;
    loop {
        let question = SOURCE_QUESTION;
        let table = asker.text(question, &flag, &usual, &check_source_table)?;
        let offer = there.iter().find(|offer| offer.table == table);
        let pattern = offer.and_then(|offer| offer.pattern.clone());
        if let Some(tables) = diagram {
            let columns = columns_of_diagram(tables, &table)?;
            let looked = look(source, folder, &table, pattern.as_deref()).await;
            let (dialect, is_there) = match looked {
                Look::Seen(seen) => (seen.dialect, true),
                Look::NoTable(_) | Look::Unseen(_) => (CsvDialect::default(), false),
            };
            return Ok(Records {
                table,
                pattern,
                columns,
                dialect,
                is_there,
                is_guessed: false,
            });
        }
        match look(source, folder, &table, pattern.as_deref()).await {
            Look::Seen(seen) => {
                tell_newest(asker, &table, pattern.as_deref(), notes)?;
                let is_read = arguments.columns.is_empty();
                let columns = match is_read {
                    true => read_columns(asker, &seen, notes)?,
                    false => columns(arguments, asker)?,
                };
                return Ok(Records {
                    table,
                    pattern,
                    columns,
                    dialect: seen.dialect,
                    is_there: true,
                    is_guessed: is_read && source.is_read_only(),
                });
            }
            Look::NoTable(why) if arguments.columns.is_empty() => {
                if asker.is_nobody() {
                    return Err(refused(question, why));
                }
                asker.tell(&why)?;
                (flag, usual) = (None, table);
            }
            Look::Unseen(Unseen {
                why,
                is_mistake: true,
            }) if arguments.columns.is_empty() && asker.is_nobody() => {
                return Err(refused(question, why));
            }
            Look::NoTable(why) | Look::Unseen(Unseen { why, .. }) => {
                let what = match arguments.columns.is_empty() && asker.is_nobody() {
                    true => "its columns are an example, to be put right",
                    false => "its columns are taken as they are said",
                };
                let note = format!("note: the source was not looked at ({why}): {what}\n");
                asker.tell(note.trim_end())?;
                if arguments.columns.is_empty() {
                    notes.push(lines_of(&note));
                }
                let columns = columns(arguments, asker)?;
                return Ok(Records {
                    table,
                    pattern: None,
                    columns,
                    dialect: CsvDialect::default(),
                    is_there: false,
                    is_guessed: false,
                });
            }
        }
    }
}

/// Says that each run takes the newest of some files, if so it is.
fn tell_newest(
    asker: &Asker,
    table: &str,
    pattern: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(), InitError> {
    let Some(pattern) = pattern else {
        return Ok(());
    };
    let note = format!("note: `{table}` is the newest of the files `{pattern}` at each run\n");
    asker.tell(note.trim_end())?;
    notes.push(lines_of(&note));
    Ok(())
}

const SOURCE_QUESTION: &str = "What is written back: a table's name";

/// Names of tables as messages list them, the first of them if there are many.
fn few<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const NAMES_MAX: usize = 12;
    let names: Vec<&str> = names.into_iter().collect();
    let shown = quoted_list(names.iter().copied().take(NAMES_MAX));
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The table that is proposed: the one that was named, else one of those that are there.
fn proposed_table(
    asker: &Asker,
    named: Option<String>,
    diagram: Option<&[DbmlTable]>,
    there: &[Offer],
) -> Result<String, InitError> {
    let drawn = diagram.unwrap_or_default().iter();
    let drawn: Vec<Offer> = drawn
        .map(|table| Offer::of_table(table.name.clone()))
        .collect();
    let known = match drawn.is_empty() {
        true => there,
        false => &drawn,
    };
    let chosen = match (named, known) {
        (Some(named), _) => {
            let offer = known.iter().find(|offer| offer.holds(&named));
            return Ok(offer.map_or(named, |offer| offer.table.clone()));
        }
        (None, []) => return Ok("health_score".to_owned()),
        (None, [_]) => 0,
        (None, several) if asker.is_nobody() => {
            let names = several.iter().map(|offer| offer.table.as_str());
            let why = format!("there are {}; name one with `--name`", few(names));
            return Err(refused(SOURCE_QUESTION, why));
        }
        (None, several) => asker.choice("Which of these is written back", several)?,
    };
    Ok(known
        .get(chosen)
        .map_or_else(String::new, |offer| offer.table.clone()))
}

fn check_source_table(table: &str) -> Result<(), String> {
    match table.trim().is_empty() || table.contains(char::is_control) {
        true => Err("name a table, or a file without its extension".to_owned()),
        false => check_name(&plain_name(table)),
    }
}

/// The name of a table as write-backs and files are named.
fn plain_name(table: &str) -> String {
    if check_name(table).is_ok() {
        return table.to_owned();
    }
    let sign = |sign: char| match sign {
        _ if sign.is_alphanumeric() => sign,
        '-' => '-',
        _ => '_',
    };
    let name: String = table.chars().map(sign).collect();
    name.trim_matches('_').to_owned()
}

fn columns_of_diagram(tables: &[DbmlTable], name: &str) -> Result<Vec<DraftColumn>, InitError> {
    let names = || tables.iter().map(|table| table.name.as_str());
    let Some(table) = tables.iter().find(|table| table.name == name) else {
        let hint = did_you_mean(name, names());
        let hint = hint.unwrap_or_else(|| format!("there are {}", quoted_list(names())));
        return Err(refused(
            name,
            format!("the diagram has no such table; {hint}"),
        ));
    };
    let mut columns = Vec::new();
    for column in &table.columns {
        let drawn = DraftColumn::of_diagram(column);
        let drawn = drawn.map_err(|why| refused(&column.location.to_string(), why))?;
        check_new_column(&columns, &drawn)
            .map_err(|why| refused(&column.location.to_string(), why))?;
        columns.push(drawn);
    }
    with_key(&mut columns);
    Ok(columns)
}

/// The columns that the source has, if they are taken so.
fn read_columns(
    asker: &Asker,
    seen: &SeenTable,
    notes: &mut Vec<String>,
) -> Result<Vec<DraftColumn>, InitError> {
    let mut read = seen.columns();
    with_key(&mut read);
    let mut columns: Vec<DraftColumn> = Vec::new();
    for column in read {
        check_new_column(&columns, &column).map_err(|why| refused(&column.name, why))?;
        columns.push(column);
    }
    let key = columns.iter().filter(|column| column.key);
    let key = quoted_list(key.map(|column| column.name.as_str()));
    let mut note = format!(
        "read {} columns of `{}`; {key} identifies a record\n",
        columns.len(),
        seen.table.name.join(".")
    );
    if !seen.left_out().is_empty() {
        let left_out = quoted_list(seen.left_out());
        note += &format!("  left out, since write-backs do not carry their types: {left_out}\n");
    }
    asker.tell(note.trim_end())?;
    for column in &columns {
        asker.tell(&format!("  {}", column.definition()))?;
    }
    notes.push(lines_of(&note));
    let choices = ["take them so", "change them one by one"];
    if asker.choice("Steps 3 and 4: these columns and types", &choices)? == 0 {
        return Ok(columns);
    }
    let usual: Vec<String> = columns.iter().map(DraftColumn::definition).collect();
    asked_columns(asker, &usual)
}

/// Errors: the column is there already, be it in other letters.
fn check_new_column(columns: &[DraftColumn], new: &DraftColumn) -> Result<(), String> {
    let is_same = |column: &&DraftColumn| column.name.to_lowercase() == new.name.to_lowercase();
    match columns.iter().find(is_same) {
        Some(column) => Err(format!("column `{}` stands there twice", column.name)),
        None => Ok(()),
    }
}

/// The unique identifier usually stands first; the schema file says so and can be changed.
fn with_key(columns: &mut [DraftColumn]) {
    if let (false, Some(first)) = (columns.iter().any(|column| column.key), columns.first_mut()) {
        (first.key, first.nullable) = (true, false);
    }
}

/// How the types of columns are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Declared,
    /// The values of one file suggest them, and the next file may hold longer ones.
    Values,
}

const TABLE_QUESTION: &str = "Table they go to";

/// A table of a destination that nobody has seen.
const TABLE_EXAMPLE: &str = "\"CRM\".\"ACCOUNTS\"";

/// The table that is proposed for the destination: of those that are there the one that suits best,
/// never the one that records are read from. Nothing is chosen that does not stand out, unless
/// somebody chooses.
async fn proposed_destination(
    arguments: &InitArguments,
    asker: &Asker,
    destination: &DraftSystem,
    own: Option<&str>,
    columns: &[DraftColumn],
    notes: &mut Vec<String>,
) -> Result<String, InitError> {
    let there = match list(destination, &arguments.folder).await {
        Ok(there) => there,
        Err(unseen) if unseen.is_mistake && asker.is_nobody() => {
            return Err(refused(TABLE_QUESTION, unseen.why));
        }
        // Why it was not looked at is told when the table is to be looked at.
        Err(_) => return Ok(TABLE_EXAMPLE.to_owned()),
    };
    let others = there
        .into_iter()
        .filter(|table| Some(name_of(table).as_str()) != own);
    let there: Vec<ListedTable> = others.collect();
    let (several, why) = match propose(columns, &there) {
        Proposal::Table { name, why } => {
            let note = format!("note: `{name}` {why}; `--table` names another\n");
            asker.tell(&format!("`{name}` {why}"))?;
            notes.push(lines_of(&note));
            return Ok(name);
        }
        Proposal::OneOf(several) => {
            let why = format!(
                "{} hold as many of the columns",
                few(several.iter().map(String::as_str))
            );
            (several, why)
        }
        Proposal::None if there.is_empty() => {
            let why = "the destination holds no table for them yet".to_owned();
            (Vec::new(), why)
        }
        Proposal::None => {
            let names: Vec<String> = there.iter().map(name_of).collect();
            let key = columns.iter().filter(|column| column.key);
            let key = quoted_list(key.map(|column| column.name.as_str()));
            let listed = few(names.iter().map(String::as_str));
            let why = format!(
                "no table has columns called like {key} and one of the others; there are {listed}"
            );
            (names, why)
        }
    };
    if asker.is_nobody() {
        return Err(refused(
            TABLE_QUESTION,
            format!("{why}; name one with `--table`"),
        ));
    }
    asker.tell(&why)?;
    match several.is_empty() {
        true => Ok(TABLE_EXAMPLE.to_owned()),
        false => {
            let chosen = asker.choice("Which of these do they go to", &several)?;
            Ok(several.into_iter().nth(chosen).unwrap_or_default())
        }
    }
}

/// Where records go.
struct Going {
    table: String,
    /// Columns of it that hold instants, as far as it was seen.
    instants: Vec<String>,
}

/// The zone in which times hang that have none and become instants; `None` where there are none, or
/// where nobody says.
fn clock_of_source(
    arguments: &InitArguments,
    asker: &Asker,
    columns: &[DraftColumn],
    instants: &[String],
    notes: &mut Vec<String>,
) -> Result<Option<String>, InitError> {
    let hanging = columns.iter().filter(|column| {
        let goes_to = column.goes_to.as_ref();
        column.column_type == SchemaType::Timestamp
            && goes_to.is_some_and(|goes_to| instants.contains(goes_to))
    });
    let hanging: Vec<&str> = hanging.map(|column| column.name.as_str()).collect();
    let what = quoted_list(hanging.iter().copied());
    match (hanging.is_empty(), &arguments.timezone) {
        (true, _) => Ok(None),
        (false, None) if asker.is_nobody() => {
            let note = format!(
                "note: {what} has no time zone and becomes an instant: `--timezone` says which, or `timezone` of \
                 `[connections.dashboard]`\n"
            );
            notes.push(lines_of(&note));
            Ok(None)
        }
        (false, flag) => {
            let question = format!("Time zone in which {what} is told, as in Europe/Berlin");
            asker.text(&question, flag, UTC, &check_timezone).map(Some)
        }
    }
}

/// The destination's table. Where it can be looked at, columns go where near names lead, and are as
/// wide as those there.
async fn destination_table(
    arguments: &InitArguments,
    asker: &Asker,
    destination: &DraftSystem,
    mut usual: String,
    columns: &mut [DraftColumn],
    types: Seen,
    notes: &mut Vec<String>,
) -> Result<Going, InitError> {
    let mut flag = arguments.table.clone();
    loop {
        let question = TABLE_QUESTION;
        let table = asker.text(question, &flag, &usual, &check_table)?;
        match look(destination, &arguments.folder, &table, None).await {
            Look::Seen(seen) => {
                let there = seen.table.columns.iter();
                let there: Vec<String> = there.map(|column| column.name.clone()).collect();
                let near = near_names(columns, &there);
                for (column, near) in columns.iter_mut().zip(near) {
                    column.goes_to = near;
                }
                if types == Seen::Values {
                    widen(columns, &seen);
                }
                let lost = columns.iter().filter(|column| column.goes_to.is_none());
                let lost: Vec<&str> = lost.map(|column| column.name.as_str()).collect();
                if !lost.is_empty() {
                    let note = format!(
                        "note: no column of {table} is called like {}: ignored unless you say where\n",
                        quoted_list(lost)
                    );
                    asker.tell(note.trim_end())?;
                    notes.push(lines_of(&note));
                }
                let instants = seen.table.columns.into_iter();
                let instants = instants
                    .filter(|column| column.column_type == Some(SchemaType::TimestampWithZone));
                return Ok(Going {
                    table,
                    instants: instants.map(|column| column.name).collect(),
                });
            }
            Look::NoTable(why) if asker.is_nobody() => return Err(refused(question, why)),
            Look::NoTable(why) => {
                asker.tell(&why)?;
                (flag, usual) = (None, table);
            }
            Look::Unseen(Unseen {
                why,
                is_mistake: true,
            }) if asker.is_nobody() => return Err(refused(question, why)),
            Look::Unseen(Unseen { why, .. }) => {
                let example = match arguments.table {
                    None if table == TABLE_EXAMPLE => format!("`{table}` is an example, and "),
                    _ => String::new(),
                };
                let note = format!(
                    "note: the destination was not looked at ({why}): {example}columns go to those of the same names\n"
                );
                asker.tell(note.trim_end())?;
                notes.push(lines_of(&note));
                return Ok(Going {
                    table,
                    instants: Vec::new(),
                });
            }
        }
    }
}

/// Makes columns as wide as those that they go to. Keys stay of their kind.
fn widen(columns: &mut [DraftColumn], destination: &SeenTable) {
    for column in columns {
        let there = destination.table.columns.iter();
        let mut there = there.filter(|there| Some(&there.name) == column.goes_to.as_ref());
        let declared = there.next().and_then(|there| there.column_type);
        let wider = declared.and_then(|declared| widened(column.column_type, declared));
        let is_alike = |wider: &SchemaType| wider.kind() == column.column_type.kind();
        if let Some(wider) = wider.filter(|wider| !column.key || is_alike(wider)) {
            column.column_type = wider;
        }
    }
}

fn system(text: &str) -> Result<DraftSystem, String> {
    DraftSystem::parse(text, None)
}

fn check_destination(text: &str) -> Result<(), String> {
    match system(text)?.is_read_only() {
        true => Err(
            "it is read, never written; name a database: a file ending in .db or .duckdb, or a url"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

fn with_password(
    asker: &Asker,
    whose: &str,
    text: &str,
    flag: &Option<String>,
    usual: &str,
) -> Result<DraftSystem, InitError> {
    let refuse = |why| refused("connection", why);
    if !system(text).map_err(refuse)?.is_server() {
        return system(text).map_err(refuse);
    }
    // Questions differ, so that each keeps its own answer.
    let question = format!("Environment variable that holds the password for {whose} (- for none)");
    let variable = none(asker.text(&question, flag, usual, &|_| Ok(()))?);
    DraftSystem::parse(text, variable).map_err(refuse)
}

/// The columns given by flags or typed one by one; at least one of them identifies a record.
fn columns(arguments: &InitArguments, asker: &Asker) -> Result<Vec<DraftColumn>, InitError> {
    asker.tell(
        "Steps 3 and 4: the columns, their types and the unique identifier, for the schema",
    )?;
    if arguments.columns.is_empty() || asker.asks_again {
        let usual = match arguments.columns.is_empty() {
            true => vec![
                "account_id VARCHAR(18) PRIMARY KEY".to_owned(),
                "health_score DECIMAL(5,2)".to_owned(),
            ],
            false => arguments.columns.clone(),
        };
        return asked_columns(asker, &usual);
    }
    let mut columns = Vec::new();
    for definition in &arguments.columns {
        let column = new_column(&columns, definition).map_err(|why| refused(definition, why))?;
        columns.push(column);
    }
    with_key(&mut columns);
    Ok(columns)
}

/// Asks for columns one by one; these are proposed, and more may follow.
fn asked_columns(asker: &Asker, usual: &[String]) -> Result<Vec<DraftColumn>, InitError> {
    let mut columns = Vec::new();
    for number in 1.. {
        let proposed = usual.get(number - 1).map_or(NONE, String::as_str);
        let question = match columns.is_empty() {
            true => format!("Column {number} and its type"),
            false => format!("Column {number} and its type (- for none)"),
        };
        let check = |text: &str| match text {
            NONE if !columns.is_empty() => Ok(()),
            text => new_column(&columns, text).map(|_| ()),
        };
        let answer = asker.text(&question, &None, proposed, &check)?;
        match none(answer) {
            Some(answer) => {
                let column = new_column(&columns, &answer);
                columns.push(column.map_err(|why| refused(&answer, why))?);
            }
            // One of those that were proposed is left out; the others are still asked for.
            None if number < usual.len() => {}
            None => break,
        }
    }
    with_key(&mut columns);
    Ok(columns)
}

fn new_column(columns: &[DraftColumn], definition: &str) -> Result<DraftColumn, String> {
    let column = DraftColumn::parse(definition)?;
    check_new_column(columns, &column).map(|()| column)
}

/// Where each column goes; the unique identifier always goes somewhere, and no two to one.
fn fields(
    arguments: &InitArguments,
    asker: &Asker,
    columns: &mut [DraftColumn],
) -> Result<(), InitError> {
    let mut given = Vec::new();
    for field in &arguments.fields {
        let pair = field
            .split_once('=')
            .ok_or_else(|| refused(field, "write SOURCE_COLUMN=DESTINATION_COLUMN".to_owned()))?;
        if !columns.iter().any(|column| column.name == pair.0.trim()) {
            return Err(refused(
                field,
                format!("there is no column `{}`", pair.0.trim()),
            ));
        }
        given.push(pair);
    }
    let mut taken: Vec<(String, String)> = Vec::new();
    for column in columns {
        let flag = given.iter().find(|(name, _)| name.trim() == column.name);
        let flag = flag.map(|(_, goes_to)| goes_to.trim().to_owned());
        let question = format!("Column that `{}` goes to (- for none)", column.name);
        let key = column.key;
        let check = |text: &str| {
            if text == NONE && key {
                return Err("it identifies a record: it must go somewhere".to_owned());
            }
            match taken
                .iter()
                .find(|(_, goes_to)| text != NONE && goes_to == text)
            {
                Some((other, _)) => Err(format!("`{other}` goes to `{text}` already")),
                None => check_column(text),
            }
        };
        let usual = column.goes_to.as_deref().unwrap_or(NONE);
        column.goes_to = none(asker.text(&question, &flag, usual, &check)?);
        let goes_to = column.goes_to.iter().cloned();
        taken.extend(goes_to.map(|goes_to| (column.name.clone(), goes_to)));
    }
    Ok(())
}

fn mode(arguments: &InitArguments, asker: &Asker) -> Result<MatchMode, InitError> {
    let names = MatchMode::ALL.map(MatchMode::name);
    let Some(flag) = &arguments.matching else {
        let question = "What may be done there (update_only creates nothing)";
        let index = asker.choice(question, &names)?;
        return Ok(MatchMode::ALL.get(index).copied().unwrap_or_default());
    };
    let mode = MatchMode::ALL.into_iter().find(|mode| mode.name() == flag);
    mode.ok_or_else(|| refused(flag, format!("write one of {}", names.join(", "))))
}

fn cadence(arguments: &InitArguments, asker: &Asker) -> Result<Option<DraftCadence>, InitError> {
    let Some(signal) = signal(arguments, asker)? else {
        return Ok(None);
    };
    let settle = asker.text(
        "How long after the cycle",
        &arguments.settle,
        "30m",
        &check_duration,
    )?;
    let question =
        "Not before the next of these instants, a crontab line such as 0 6 * * MON (- for at once)";
    let check = |text: &str| {
        if text == NONE {
            Ok(())
        } else {
            check_cron(text)
        }
    };
    let gate = match none(asker.text(question, &arguments.gate, NONE, &check)?) {
        Some(cron) => {
            // Gate and dashboard mostly hang by the same clock.
            let usual = if let DraftSignal::Clock { begins, .. } = &signal {
                &begins.timezone
            } else {
                UTC
            };
            Some(DraftGate {
                cron,
                timezone: timezone(arguments, asker, usual)?,
            })
        }
        None => None,
    };
    Ok(Some(DraftCadence {
        signal,
        settle,
        gate,
    }))
}

/// How a finished cycle is noticed, as a flag tells it or by asking; `None` if runs are started by
/// hand.
fn signal(arguments: &InitArguments, asker: &Asker) -> Result<Option<DraftSignal>, InitError> {
    const CHOICES: [&str; 5] = [
        "not at all: runs are started by hand",
        "the dashboard leaves a file behind",
        "a query on the source tells",
        "whoever runs the dashboard announces it, with `writeback cycle`",
        "nothing tells: the dashboard begins at fixed times",
    ];
    let choice = match arguments {
        InitArguments {
            marker: Some(_), ..
        } => 1,
        InitArguments {
            cycle_query: Some(_),
            ..
        } => 2,
        InitArguments {
            announced: true, ..
        } => 3,
        InitArguments { clock: Some(_), .. } => 4,
        _ => asker.choice("How a finished cycle of the dashboard is noticed", &CHOICES)?,
    };
    let any = |_: &str| Ok(());
    Ok(Some(match choice {
        1 => DraftSignal::Marker(asker.text(
            "The file",
            &arguments.marker,
            "dashboard/cycle.json",
            &any,
        )?),
        2 => DraftSignal::Query(asker.text(
            "The query",
            &arguments.cycle_query,
            USUAL_QUERY,
            &any,
        )?),
        3 => DraftSignal::Announced,
        4 => {
            let question = "When it begins, a crontab line";
            let cron = asker.text(question, &arguments.clock, "0 5 * * *", &check_cron)?;
            let begins = DraftGate {
                cron,
                timezone: timezone(arguments, asker, UTC)?,
            };
            let question = "How long it takes at most";
            DraftSignal::Clock {
                begins,
                margin: asker.text(question, &arguments.margin, "2h", &check_duration)?,
            }
        }
        _ => return Ok(None),
    }))
}

/// Cycles as a dashboard may keep them in a table of its own.
const USUAL_QUERY: &str =
    "SELECT cycle_id, completed_at, status FROM cycles ORDER BY completed_at DESC LIMIT 10";

/// The time zone proposed where nothing tells of another.
const UTC: &str = "UTC";

fn timezone(arguments: &InitArguments, asker: &Asker, usual: &str) -> Result<String, InitError> {
    asker.text(
        "Time zone of its clock, as in Europe/Berlin",
        &arguments.timezone,
        usual,
        &check_timezone,
    )
}

fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "write a whole number, at least 1".to_owned())
}

fn none(answer: String) -> Option<String> {
    (answer != NONE).then_some(answer)
}

fn refused(answer: &str, why: String) -> InitError {
    InitError::Answer {
        answer: answer.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
