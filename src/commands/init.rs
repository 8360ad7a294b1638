//! `writeback init`: a new project in an empty folder, by asking or by flags. The questions follow
//! the six steps that a dashboard's guidance for write-backs takes: use case, credentials, fields,
//! schema, destination, test.

use std::fs;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use dialoguer::console::Term;
use dialoguer::{Input, Select};

use crate::config::draft::{
    Draft, DraftCadence, DraftColumn, DraftError, DraftGate, DraftSignal, DraftSystem,
    check_column, check_cron, check_duration, check_name, check_table, check_timezone,
};
use crate::domain::match_rule::MatchMode;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;

/// What stands for "none" in an answer: an empty answer takes what is proposed.
const NONE: &str = "-";

/// Makes a new project in an empty folder, by asking; every flag answers a question in advance
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct InitArguments {
    /// Folder of the new project: empty, or made when absent
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Ask nothing: take the flags, and what would be proposed for the rest
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// What is written back: names the write-back, its schema file and the source's table
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Name of the job: its file in schedules/
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Where records come from: a folder of files, a file of SQLite or DuckDB, or a URL without a
    /// password
    #[arg(long, value_name = "FOLDER|FILE|URL")]
    pub(crate) source: Option<String>,
    /// Environment variable that holds the source's password; `-` for none
    #[arg(long, value_name = "NAME")]
    pub(crate) source_password_env: Option<String>,
    /// Where records go: a SQLite file or a URL without a password
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) destination: Option<String>,
    /// Environment variable that holds the destination's password; `-` for none
    #[arg(long, value_name = "NAME")]
    pub(crate) destination_password_env: Option<String>,
    /// A source column with its type, `"account_id VARCHAR(18) PRIMARY KEY"`; once for each column
    #[arg(long = "column", value_name = "DEFINITION")]
    pub(crate) columns: Vec<String>,
    /// The destination's table, `"CRM"."ACCOUNTS"`
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// Destination column of a source column; one of the same name unless said, `-` to ignore it
    #[arg(long = "field", value_name = "SOURCE_COLUMN=DESTINATION_COLUMN")]
    pub(crate) fields: Vec<String>,
    /// Destination column for the time at which the dashboard's cycle completed; `-` for none
    #[arg(long, value_name = "COLUMN")]
    pub(crate) stamp: Option<String>,
    /// What may be done there: update_only, upsert or create_only
    #[arg(long, value_name = "MODE")]
    pub(crate) matching: Option<String>,
    /// Records in one write
    #[arg(long, value_name = "RECORDS")]
    pub(crate) batch_size: Option<NonZeroUsize>,
    /// File that the dashboard leaves behind when a cycle has finished
    #[arg(long, value_name = "FILE", group = "signal")]
    pub(crate) marker: Option<String>,
    /// Query on the source that yields cycle_id, completed_at and status of the newest cycles
    #[arg(long, value_name = "SELECT", group = "signal")]
    pub(crate) cycle_query: Option<String>,
    /// Finished cycles are announced, with `writeback cycle`
    #[arg(long, group = "signal")]
    pub(crate) announced: bool,
    /// When the dashboard's automation begins, if nothing tells that it has finished: a crontab
    /// line
    #[arg(long, value_name = "CRON", group = "signal")]
    pub(crate) clock: Option<String>,
    /// How long that automation takes at most, as in `2h`
    #[arg(long, value_name = "DURATION", requires = "clock")]
    pub(crate) margin: Option<String>,
    /// How long after a cycle to wait, as in `30m`
    #[arg(long, value_name = "DURATION", requires = "signal")]
    pub(crate) settle: Option<String>,
    /// Write back not before the next of these instants, a crontab line; `-` for none
    #[arg(long, value_name = "CRON", requires = "signal")]
    pub(crate) gate: Option<String>,
    /// Time zone of crontab lines, as in `Europe/Berlin`
    #[arg(long, value_name = "ZONE", requires = "signal")]
    pub(crate) timezone: Option<String>,
}

/// Why no project was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error("`{}` is not empty", folder.display())]
    NotEmpty { folder: PathBuf },
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
            Self::NotEmpty { .. } => {
                Some("name a new folder: `writeback init my-write-backs`".to_owned())
            }
            Self::NoTerminal => {
                Some("`--yes` asks nothing; `writeback init --help` lists the flags".to_owned())
            }
            Self::Answer { .. } | Self::Mistakes(_) | Self::Io { .. } | Self::Asking(_) => None,
        }
    }
}

/// Makes a new project. Overwrites nothing; writes nothing at all unless the whole project can be
/// read back. Returns what was done and what to do next.
pub(crate) fn init(arguments: &InitArguments) -> Result<String, InitError> {
    expect_empty(&arguments.folder)?;
    let asker = match arguments.yes {
        true => Asker::Nobody,
        false if io::stdin().is_terminal() && io::stderr().is_terminal() => Asker::Terminal,
        false => return Err(InitError::NoTerminal),
    };
    let draft = draft(arguments, asker)?;
    let failed = |source: io::Error| InitError::Io {
        folder: arguments.folder.clone(),
        source,
    };
    draft.check().map_err(|error| match error {
        DraftError::Mistakes(problems) => InitError::Mistakes(problems),
        DraftError::Io(source) => failed(source),
    })?;
    let written = draft.write(&arguments.folder).map_err(failed)?;
    Ok(report(&written, &draft, &arguments.folder))
}

/// A folder under version control counts as empty.
fn expect_empty(folder: &Path) -> Result<(), InitError> {
    let failed = |source: io::Error| InitError::Io {
        folder: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        if !entry
            .map_err(failed)?
            .file_name()
            .to_string_lossy()
            .starts_with(".git")
        {
            return Err(InitError::NotEmpty {
                folder: folder.to_owned(),
            });
        }
    }
    Ok(())
}

fn report(written: &[String], draft: &Draft, folder: &Path) -> String {
    let path = |name: &str| printable(&folder.join(name).display().to_string());
    let wrote: String = written
        .iter()
        .map(|name| format!("wrote {}\n", path(name)))
        .collect();
    format!(
        "{wrote}next: read {}, then `writeback check {}`\n",
        path("README.md"),
        draft.job
    )
}

/// Answers every question: by its flag, by asking, or with what is proposed.
fn draft(arguments: &InitArguments, asker: Asker) -> Result<Draft, InitError> {
    asker.tell("Step 1: the use case")?;
    let name = asker.text(
        "What is written back",
        &arguments.name,
        "health_score",
        &check_name,
    )?;
    let job = asker.text("Name of the job", &arguments.job, "weekly", &check_name)?;

    asker.tell("Step 2: the systems, and where their passwords are")?;
    let question =
        "Where records come from (a folder of files, a SQLite file or a url without a password)";
    let source = asker.text(question, &arguments.source, "dashboard", &|text| {
        system(text).map(|_| ())
    })?;
    let source = with_password(
        asker,
        &source,
        &arguments.source_password_env,
        "DASHBOARD_PASSWORD",
    )?;
    let question = "Where they go (a SQLite file or a url without a password)";
    let destination = asker.text(
        question,
        &arguments.destination,
        "crm.db",
        &check_destination,
    )?;
    let destination = with_password(
        asker,
        &destination,
        &arguments.destination_password_env,
        "CRM_PASSWORD",
    )?;

    asker
        .tell("Step 3 and 4: the columns, their types and the unique identifier, for the schema")?;
    let mut columns = columns(arguments, asker)?;

    asker.tell("Step 5: the destination's table, its columns, the rules and the cadence")?;
    let table = asker.text(
        "Table they go to",
        &arguments.table,
        "\"CRM\".\"ACCOUNTS\"",
        &check_table,
    )?;
    fields(arguments, asker, &mut columns)?;
    let question = "Column for the time of the dashboard's cycle (recommended; - for none)";
    let stamp = none(asker.text(question, &arguments.stamp, NONE, &check_column)?);
    let mode = mode(arguments, asker)?;
    let batch_size = arguments.batch_size.map(|records| records.to_string());
    let batch_size = asker.text("Records in one write", &batch_size, "500", &|text| {
        records(text).map(|_| ())
    })?;
    let batch_records_max = records(&batch_size).map_err(|why| refused("batch size", why))?;
    let cadence = cadence(arguments, asker)?;
    Ok(Draft {
        job,
        name,
        source,
        destination,
        columns,
        table,
        mode,
        batch_records_max,
        stamp,
        cadence,
    })
}

fn system(text: &str) -> Result<DraftSystem, String> {
    DraftSystem::parse(text, None)
}

fn check_destination(text: &str) -> Result<(), String> {
    match system(text)?.is_read_only() {
        true => Err(
            "it is read, never written; name a database: a file ending in .db, or a url".to_owned(),
        ),
        false => Ok(()),
    }
}

fn with_password(
    asker: Asker,
    text: &str,
    flag: &Option<String>,
    usual: &str,
) -> Result<DraftSystem, InitError> {
    let refuse = |why| refused("connection", why);
    if !system(text).map_err(refuse)?.is_server() {
        return system(text).map_err(refuse);
    }
    let question = "Environment variable that holds its password (- for none)";
    let variable = none(asker.text(question, flag, usual, &|_| Ok(()))?);
    DraftSystem::parse(text, variable).map_err(refuse)
}

/// The columns given by flags or typed one by one; at least one of them identifies a record.
fn columns(arguments: &InitArguments, asker: Asker) -> Result<Vec<DraftColumn>, InitError> {
    let mut columns = Vec::new();
    for definition in &arguments.columns {
        columns.push(DraftColumn::parse(definition).map_err(|why| refused(definition, why))?);
    }
    if columns.is_empty() {
        for usual in [
            "account_id VARCHAR(18) PRIMARY KEY",
            "health_score DECIMAL(5,2)",
        ] {
            let question = "A column and its type";
            let answer = asker.text(question, &None, usual, &|text| {
                DraftColumn::parse(text).map(|_| ())
            })?;
            columns.push(DraftColumn::parse(&answer).map_err(|why| refused(&answer, why))?);
        }
        let check = |text: &str| {
            if text == NONE {
                Ok(())
            } else {
                DraftColumn::parse(text).map(|_| ())
            }
        };
        while let Some(answer) = none(asker.text(
            "Another column and its type (- for none)",
            &None,
            NONE,
            &check,
        )?) {
            columns.push(DraftColumn::parse(&answer).map_err(|why| refused(&answer, why))?);
        }
    }
    if let (false, Some(first)) = (columns.iter().any(|column| column.key), columns.first_mut()) {
        // The unique identifier usually stands first; the schema file says so and can be changed.
        first.key = true;
    }
    Ok(columns)
}

/// Where each column goes; the unique identifier always goes somewhere.
fn fields(
    arguments: &InitArguments,
    asker: Asker,
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
    for column in columns {
        let flag = given.iter().find(|(name, _)| name.trim() == column.name);
        let flag = flag.map(|(_, goes_to)| goes_to.trim().to_owned());
        let question = format!("Column that `{}` goes to (- for none)", column.name);
        let key = column.key;
        let check = |text: &str| match (key, text) {
            (true, NONE) => Err("it identifies a record: it must go somewhere".to_owned()),
            (_, text) => check_column(text),
        };
        column.goes_to = none(asker.text(&question, &flag, &column.name, &check)?);
    }
    Ok(())
}

fn mode(arguments: &InitArguments, asker: Asker) -> Result<MatchMode, InitError> {
    let names = MatchMode::ALL.map(MatchMode::name);
    let Some(flag) = &arguments.matching else {
        let question = "What may be done there (update_only creates nothing)";
        let index = asker.choice(question, &names)?;
        return Ok(MatchMode::ALL.get(index).copied().unwrap_or_default());
    };
    let mode = MatchMode::ALL.into_iter().find(|mode| mode.name() == flag);
    mode.ok_or_else(|| refused(flag, format!("write one of {}", names.join(", "))))
}

fn cadence(arguments: &InitArguments, asker: Asker) -> Result<Option<DraftCadence>, InitError> {
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
fn signal(arguments: &InitArguments, asker: Asker) -> Result<Option<DraftSignal>, InitError> {
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

fn timezone(arguments: &InitArguments, asker: Asker, usual: &str) -> Result<String, InitError> {
    asker.text(
        "Time zone of its clock, as in Europe/Berlin",
        &arguments.timezone,
        usual,
        &check_timezone,
    )
}

fn records(text: &str) -> Result<NonZeroUsize, String> {
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

/// Who answers what no flag answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Terminal,
    /// What is proposed is taken.
    Nobody,
}

impl Asker {
    fn tell(self, headline: &str) -> Result<(), InitError> {
        match self {
            Self::Terminal => Ok(Term::stderr()
                .write_line(headline)
                .map_err(dialoguer::Error::from)?),
            Self::Nobody => Ok(()),
        }
    }

    /// The flag if it is given, else the answer, else what is proposed; checked in every case.
    fn text(
        self,
        question: &str,
        flag: &Option<String>,
        usual: &str,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, InitError> {
        let given = match (flag, self) {
            (Some(flag), _) => flag.clone(),
            (None, Self::Nobody) => usual.to_owned(),
            (None, Self::Terminal) => {
                let input = Input::new().with_prompt(question).default(usual.to_owned());
                return Ok(input
                    .validate_with(|text: &String| check(text))
                    .interact_text()?);
            }
        };
        match check(&given) {
            Ok(()) => Ok(given),
            // A url among the answers may hold a password, so the question stands for it.
            Err(why) => Err(refused(question, why)),
        }
    }

    fn choice(self, question: &str, choices: &[&str]) -> Result<usize, InitError> {
        match self {
            Self::Nobody => Ok(0),
            Self::Terminal => Ok(Select::new()
                .with_prompt(question)
                .items(choices)
                .default(0)
                .interact()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Project, Signal};

    fn flags(folder: &Path) -> InitArguments {
        InitArguments {
            folder: folder.to_owned(),
            yes: true,
            ..InitArguments::default()
        }
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn what_is_proposed_loads_without_a_problem() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("new/project");
        let told = init(&flags(&folder)).expect("a project");
        let checked = Project::load(&folder)
            .expect("a project")
            .load_job("weekly")
            .expect("a job");
        assert!(checked.warnings.is_empty());
        let told = told.replace(&folder.display().to_string(), "DIR");
        assert_eq!(
            told,
            "wrote DIR/README.md\nwrote DIR/writeback.toml\nwrote DIR/sql/health_score.sql\n\
             wrote DIR/schedules/weekly.toml\nwrote DIR/.gitignore\nnext: read DIR/README.md, then `writeback check weekly`\n"
        );
        assert_eq!(
            fs::read_to_string(folder.join(".gitignore")).expect("text"),
            ".writeback/\n"
        );
    }

    #[test]
    fn what_flags_say_loads_without_a_problem() {
        let place = tempfile::tempdir().expect("a folder");
        let arguments = InitArguments {
            name: Some("order".to_owned()),
            job: Some("täglich".to_owned()),
            source: Some("sqlite:scores.db".to_owned()),
            destination: Some("out of office.db".to_owned()),
            columns: texts(&[
                "region: CHAR(2) primary key",
                "\"Konto-Nr\" BIGINT PRIMARY KEY",
                "score DECIMAL(5,2) NOT NULL",
                "group TEXT",
                "at TIMESTAMP WITH TIME ZONE",
            ]),
            fields: texts(&["score=Health \"Score\"", "group=-", "at='At'"]),
            table: Some("\"CRM\".\"it's\"".to_owned()),
            stamp: Some("SCORED_AT".to_owned()),
            matching: Some("upsert".to_owned()),
            batch_size: NonZeroUsize::new(7),
            marker: Some("done.json".to_owned()),
            settle: Some("1h".to_owned()),
            ..flags(place.path())
        };
        init(&arguments).expect("a project");
        let project = Project::load(place.path()).expect("a project");
        let checked = project.load_job("täglich").expect("a job");
        assert!(checked.warnings.is_empty());
        let write_back = checked.job.write_backs.first().expect("a write-back");
        assert_eq!(checked.job.dashboard(), Some("dashboard"));
        assert_eq!(write_back.schema.key, [0, 1]);
        let fields: Vec<&str> = write_back
            .fields
            .iter()
            .map(|field| field.column.text.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "region",
                "Konto-Nr",
                "Health \"Score\"",
                "'At'",
                "SCORED_AT"
            ]
        );
        assert_eq!(
            (write_back.mode, write_back.batch_records_max.get()),
            (MatchMode::Upsert, 7)
        );
        assert_eq!(write_back.table.to_string(), "\"CRM\".\"it's\"");
    }

    #[test]
    fn each_way_to_notice_a_cycle_loads_without_a_problem() {
        let ways = [
            InitArguments {
                marker: Some("out/it's done.json".to_owned()),
                ..InitArguments::default()
            },
            InitArguments {
                cycle_query: Some("SELECT 'a \"b\"' AS cycle_id".to_owned()),
                ..InitArguments::default()
            },
            InitArguments {
                announced: true,
                ..InitArguments::default()
            },
            InitArguments {
                clock: Some("30 4 * * *".to_owned()),
                margin: Some("3h".to_owned()),
                ..InitArguments::default()
            },
        ];
        let signals: Vec<String> = ways
            .into_iter()
            .map(|way| {
                let place = tempfile::tempdir().expect("a folder");
                let gate = Some("0 6 * * MON".to_owned());
                let timezone = Some("Europe/Berlin".to_owned());
                init(&InitArguments {
                    gate,
                    timezone,
                    folder: place.path().to_owned(),
                    yes: true,
                    ..way
                })
                .expect("a project");
                let project = Project::load(place.path()).expect("a project");
                let checked = project.load_job("weekly").expect("a job");
                assert!(checked.warnings.is_empty());
                let cadence = checked.job.cadence.expect("a cadence");
                assert_eq!(cadence.settle.as_secs(), 30 * 60);
                let gates = cadence
                    .gates
                    .lines
                    .iter()
                    .map(|gate| format!("{} {}", gate.cron, gate.zone));
                assert_eq!(gates.collect::<Vec<_>>(), ["0 6 * * MON Europe/Berlin"]);
                match &project
                    .dashboards
                    .get("dashboard")
                    .expect("a dashboard")
                    .signal
                {
                    Signal::Marker { file } => file
                        .strip_prefix(place.path())
                        .expect("inside")
                        .display()
                        .to_string(),
                    Signal::Query { connection, sql } => format!("{connection}: {sql}"),
                    Signal::Clock { gate, margin } => {
                        format!("{} {} {}h", gate.cron, gate.zone, margin.as_secs() / 3600)
                    }
                    Signal::Announced => "announced".to_owned(),
                }
            })
            .collect();
        let meant = [
            "out/it's done.json",
            "dashboard: SELECT 'a \"b\"' AS cycle_id",
            "announced",
            "30 4 * * * Europe/Berlin 3h",
        ];
        assert_eq!(signals, meant);
    }

    #[test]
    fn servers_get_their_passwords_from_the_environment() {
        let place = tempfile::tempdir().expect("a folder");
        let arguments = InitArguments {
            destination: Some("postgres://writer@db.example.com/crm".to_owned()),
            ..flags(place.path())
        };
        init(&arguments).expect("a project");
        let text = fs::read_to_string(place.path().join("writeback.toml")).expect("text");
        assert!(
            text.contains("password = { env = \"CRM_PASSWORD\" }"),
            "{text}"
        );
    }

    #[test]
    fn a_password_never_reaches_a_file_or_a_message() {
        let place = tempfile::tempdir().expect("a folder");
        let arguments = InitArguments {
            destination: Some("postgres://writer:canary@db.example.com/crm".to_owned()),
            ..flags(place.path())
        };
        let error = init(&arguments).expect_err("a password");
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(fs::read_dir(place.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn nothing_is_overwritten() {
        let place = tempfile::tempdir().expect("a folder");
        fs::write(place.path().join(".gitignore"), "mine\n").expect("a file");
        init(&flags(place.path())).expect("a project");
        assert_eq!(
            fs::read_to_string(place.path().join(".gitignore")).expect("text"),
            "mine\n"
        );
        let error = init(&flags(place.path())).expect_err("no longer empty");
        assert!(matches!(error, InitError::NotEmpty { .. }), "{error}");
    }

    #[test]
    fn answers_that_are_none_are_told() {
        let place = tempfile::tempdir().expect("a folder");
        let told = |arguments: InitArguments| {
            let error = init(&arguments).expect_err("a wrong answer");
            assert_eq!(fs::read_dir(place.path()).expect("a folder").count(), 0);
            error.to_string()
        };
        let usual = || flags(place.path());
        assert_eq!(
            told(InitArguments {
                columns: texts(&["photo BLOB"]),
                ..usual()
            }),
            "photo BLOB: column `photo`: `BLOB` is not a type write-backs carry; types are CHAR, VARCHAR, TEXT, SMALLINT, \
             INTEGER, BIGINT, DECIMAL, REAL, DOUBLE PRECISION, BOOLEAN, DATE, TIME, TIMESTAMP, TIMESTAMP WITH TIME ZONE, \
             UUID and JSON"
        );
        assert_eq!(
            told(InitArguments {
                fields: texts(&["scor=X"]),
                ..usual()
            }),
            "scor=X: there is no column `scor`"
        );
        assert_eq!(
            told(InitArguments {
                matching: Some("update".to_owned()),
                ..usual()
            }),
            "update: write one of update_only, upsert, create_only"
        );
        assert_eq!(
            told(InitArguments {
                destination: Some("folder".to_owned()),
                ..usual()
            }),
            "Where they go (a SQLite file or a url without a password): it is read, never written; name a database: \
             a file ending in .db, or a url"
        );
        let announced = || InitArguments {
            announced: true,
            ..usual()
        };
        assert_eq!(
            told(InitArguments {
                settle: Some("soon".to_owned()),
                ..announced()
            }),
            "How long after the cycle: write it as in 30m"
        );
        assert_eq!(
            told(InitArguments {
                gate: Some("0 6 * * *".to_owned()),
                timezone: Some("Mars".to_owned()),
                ..announced()
            }),
            "Time zone of its clock, as in Europe/Berlin: write it as in Europe/Berlin or UTC"
        );
        let line = told(InitArguments {
            clock: Some("0 5 * *".to_owned()),
            ..usual()
        });
        assert!(
            line.starts_with(
                "When it begins, a crontab line: `0 5 * *` has 4 fields instead of five; "
            ),
            "{line}"
        );
        let twice = InitArguments {
            columns: texts(&["a INT", "A INT"]),
            ..usual()
        };
        assert_eq!(told(twice), "these answers do not make a project");
    }
}
