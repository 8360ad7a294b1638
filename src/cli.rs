//! The command line.

mod completion;
pub(crate) mod init;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::ArgValueCandidates;

use self::init::InitArguments;
use crate::config::job_of;
use crate::domain::access::Role;
use crate::domain::cycle::{ID_CHARACTERS_MAX, is_cycle_id};
use crate::domain::parking::{REASON_CHARACTERS_MAX, Until};
use crate::domain::zone::Zone;
use crate::page::{self, PagePlace};
use crate::practice::Faults;
use crate::schedule::outlook::OPENINGS_USUAL;
use crate::telemetry::LogFormat;

/// Columns that help takes at most: those of a plain terminal.
const HELP_COLUMNS_MAX: usize = 80;

/// Writes a dashboard's scores back into the systems where people work.
///
/// A project is a folder with `writeback.toml` (connections), `sql/` (write-back schemas) and
/// `schedules/` (jobs). By default a write-back updates only what is already there, and every
/// record read is accounted for.
#[derive(Debug, Parser)]
#[command(
    name = "writeback",
    version,
    arg_required_else_help = true,
    after_help = EXIT_CODES,
    max_term_width = HELP_COLUMNS_MAX
)]
pub(crate) struct Cli {
    /// The project's folder
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".",
        env = "WRITEBACK_PROJECT"
    )]
    pub(crate) project: PathBuf,

    /// How log lines on stderr are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,

    /// Log more: -v what happens, -vv each batch; RUST_LOG says it more finely
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// On whose clock times are told, as in Europe/Berlin, and for `init` also by whose clock
    /// crontab lines go; JSON is in UTC always [default: the zone that TZ names, else UTC]
    #[arg(long, global = true, value_name = "ZONE", value_parser = Zone::parse)]
    pub(crate) timezone: Option<Zone>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  everything was delivered, or there was nothing new
  1  finished, and some records were rejected or none has a row in the destination, a test found its row altered, verify found drift, or rows had changed
     since the plan that was applied
  2  could not run or finish
  3  stopped by a guard before the first write";

impl Cli {
    /// How much is logged: nobody looks on while a project is served, so that its log tells what
    /// happens.
    pub(crate) fn verbosity(&self) -> u8 {
        let shows_page = |arguments: &PageArguments| arguments.command.is_none();
        let nobody_looks_on = matches!(self.command, Command::Serve(_))
            || matches!(&self.command, Command::Page(arguments) if shows_page(arguments));
        self.verbose.saturating_add(u8::from(nobody_looks_on))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check files, schemas, connections and rights; writes nothing
    #[command(
        after_help = "Examples:\n  writeback check\n  writeback check weekly --json\n  writeback check --alert"
    )]
    Check(CheckArguments),
    /// Show what a run would do: counts, how long, each column before and after; writes nothing
    #[command(
        after_help = "Examples:\n  writeback preview weekly\n  writeback preview weekly --limit 20 --json\n  \
        writeback preview weekly --html preview.html\n  writeback preview weekly --out weekly.plan"
    )]
    Preview(PreviewArguments),
    /// List a job's agencies, with what each has switched on and what it changed of the base; add one
    #[command(
        after_help = "Examples:\n  writeback agencies referral\n  writeback agencies referral --json\n  \
        writeback agencies referral --add acme --called \"Acme Staffing\"\n\n\
        An agency is a file in the folder of its job's name, schedules/referral/acme.toml, that says what\n\
        differs for it: `--add` writes one, with every switch and connection to fill in. Taking the file\n\
        away takes the agency away."
    )]
    Agencies(AgenciesArguments),
    /// Show every setting of the project's files, or those of a name: default and meaning
    #[command(
        after_help = "Examples:\n  writeback settings\n  writeback settings batch_size\n  writeback settings hubspot\n\n\
        They are those of the pages in docs/, which need not be at hand."
    )]
    Settings(SettingsArguments),
    /// List the questions that a job's records answer: id, words, agencies, and how many answer it
    #[command(
        after_help = "Examples:\n  writeback questions referral\n  writeback questions referral --json"
    )]
    Questions(QuestionsArguments),
    /// Show every setting of a job with its file and line, and which objects its destinations have
    #[command(
        after_help = "Examples:\n  writeback show weekly\n  writeback show referral --agency northwind\n  \
        writeback show referral --agency northwind --object Note\n\n\
        A line that begins with `*` is what the agency changed. Secrets are not shown."
    )]
    Show(ShowArguments),
    /// Take one record the whole way and show its row before and after
    #[command(
        after_help = "Examples:\n  writeback test weekly --record 001Qk00000AbCdEIAV --rollback\n  \
        writeback test weekly --write-back workspace_recommendation --record 001Qk00000AbCdEIAV,renewal\n\n\
        A key of several columns is one line of CSV: its parts in the order of PRIMARY KEY, between commas."
    )]
    Test(TestArguments),
    /// Run a job now
    #[command(
        after_help = "Examples:\n  writeback run weekly\n  writeback run weekly --write-back health_score --json\n  \
        writeback run weekly --cycle 2026-W46 --approve\n  writeback run weekly --only-rejected\n  \
        writeback run weekly --plan weekly.plan"
    )]
    Run(RunArguments),
    /// Show who wrote one record's fields: which run, of which cycle, old and new values
    #[command(
        after_help = "Examples:\n  writeback history health_score --record 001Qk00000AbCdEIAV\n  \
        writeback history health_score --record 001Qk00000AbCdEIAV --field HEALTH_SCORE --json\n\n\
        It is told from before-images, which are kept for the `retention` of the job."
    )]
    History(HistoryArguments),
    /// Compare the destination with what was last written back; writes nothing
    #[command(
        after_help = "Examples:\n  writeback verify weekly\n  writeback verify weekly --write-back health_score --json\n\n\
        Exit code 1: some values or rows are no longer what was written."
    )]
    Verify(VerifyArguments),
    /// Leave one record alone for a while, list what is left alone, or take it up again
    #[command(
        after_help = "Examples:\n  writeback park weekly --record 001Qk00000AbCdEIAV --until 2026-12-01 --reason 'merger under way'\n  \
        writeback park weekly --record 001Qk00000AbCdEIAV --until changed --reason 'wrong in the source'\n  \
        writeback park weekly\n  writeback park weekly --record 001Qk00000AbCdEIAV --lift"
    )]
    Park(ParkArguments),
    /// Let nothing run a job for a while, tell whether it is paused, or end that
    #[command(
        after_help = "Examples:\n  writeback pause weekly --reason 'the CRM moves house'\n  \
        writeback pause weekly --until 2026-12-01T06:00:00Z --reason 'the CRM moves house'\n  \
        writeback pause weekly\n  writeback pause weekly --lift\n\n\
        What is at work goes on to its end. Previews, tests and undos are still done."
    )]
    Pause(PauseArguments),
    /// Announce that a dashboard finished a cycle
    #[command(
        after_help = "Examples:\n  writeback cycle customer_health --id 2026-W46\n  \
        writeback cycle customer_health --id 2026-W46 --completed-at 2026-11-15T06:30:00Z\n\n\
        Meant for people, and for the last step of another scheduler such as Airflow or dbt. A cycle that is known\n\
        already stays as it is, so announcing it again does no harm."
    )]
    Cycle(CycleArguments),
    /// Run jobs by themselves: after each cycle of their dashboard, as their cadence says
    #[command(
        after_help = "Examples:\n  writeback serve\n  writeback serve --listen 127.0.0.1:9464 --log-format json\n\n\
        SIGTERM or Ctrl-C: batches in hand are finished and the rest is left to the next start. SIGHUP: the files are \
        read again at once."
    )]
    Serve(ServeArguments),
    /// Serve the practice stand-in of a web API, for any client of it to rehearse with
    #[command(
        after_help = "Examples:\n  writeback practice salesforce\n  writeback practice salesforce --listen 127.0.0.1:8080 \\\n    \
        --faults seed=7,latency=150ms,drop_after=2%,503=1%\n\n\
        It prints where it listens and how to log in, and serves until Ctrl-C. What it holds is kept in .writeback/practice/."
    )]
    Practice(PracticeArguments),
    /// Show the page of the project without serving it, and decide who may see it
    #[command(
        after_help = "Examples:\n  writeback page link --role operator\n  writeback page user add ada --role operator\n  \
        writeback page token add airflow --role operator --job weekly --expires 90d\n  writeback page --at 127.0.0.1:9465"
    )]
    Page(PageArguments),
    /// Show what people and programs did, newest first
    #[command(
        after_help = "Examples:\n  writeback activity\n  writeback activity --who ada --refused\n  \
        writeback activity --verify"
    )]
    Activity(ActivityArguments),
    /// Show each job's last run, its next instant, and why it runs now or does not
    #[command(after_help = "Examples:\n  writeback status\n  writeback status weekly --json")]
    Status(StatusArguments),
    /// Show when jobs may run next, and why each would or would not run now
    #[command(after_help = "Examples:\n  writeback next\n  writeback next weekly --limit 10")]
    Next(NextArguments),
    /// Show earlier runs, or one run in full
    #[command(
        after_help = "Examples:\n  writeback runs\n  writeback runs 17\n  writeback runs --job weekly --json"
    )]
    Runs(RunsArguments),
    /// Take a run back: restore what its rows held before, where nobody changed them since
    #[command(
        after_help = "Examples:\n  writeback undo 17 --preview\n  writeback undo 17\n  \
        writeback undo 17 --write-back health_score --record 001Qk00000AbCdEIAV\n  writeback undo 17 --delete-created\n\n\
        An undo is a run of its own: interrupted, the same command goes on with it, and it can be undone."
    )]
    Undo(UndoArguments),
    /// Print a CREATE TABLE to start a schema file from, or the project's schemas as a diagram
    #[command(
        after_help = "Examples:\n  writeback schema dashboard health_score > sql/health_score.sql\n  \
        writeback schema warehouse analytics.health_score\n  \
        writeback schema --dbml > write-backs.dbml"
    )]
    Schema(SchemaArguments),
    /// Save a web API's descriptions of its objects, to rehearse against
    #[command(
        after_help = "Examples:\n  writeback describe crm --out fixtures/crm\n  \
        writeback describe crm Account Contact --out fixtures/crm"
    )]
    Describe(DescribeArguments),
    /// List the value methods, each with its purpose and an example
    Methods(MethodsArguments),
    /// Make a new project, from what the systems themselves say
    #[command(
        after_help = "Examples:\n  writeback init\n  writeback init scores --source exports/scores.csv --destination crm.db\n  \
        writeback init scores --yes --source exports/scores.csv --table accounts \\\n    \
        --destination postgres://writer@crm.example.com/crm --announced\n  \
        writeback init scores --from write-backs.dbml"
    )]
    Init(Box<InitArguments>),
    /// Print a shell's completion script
    #[command(
        after_help = "Example:\n  writeback completions bash > /etc/bash_completion.d/writeback"
    )]
    Completions(CompletionsArguments),
    /// Print the man page, or write a page for each command into a folder
    #[command(
        after_help = "Examples:\n  writeback man | man -l -\n  writeback man --output /usr/local/share/man/man1"
    )]
    Man(ManArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Jobs to check: names or files in schedules/; all of them if none is named
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) jobs: Vec<String>,

    /// Send a test alert through each channel of `[alerts]` and say how it went
    #[arg(long)]
    pub(crate) alert: bool,

    /// Leave records alone: no cycle is asked for, no model is run, nothing is looked up
    #[arg(long)]
    pub(crate) quick: bool,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SettingsArguments {
    /// A setting, such as batch_size, or the system or section that it is of, such as hubspot
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuestionsArguments {
    /// A job whose records answer questions
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AgenciesArguments {
    /// The base of agencies: a job with `[agencies]`
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// Write the file of a new agency, which is called so in files and commands
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    pub(crate) add: Option<String>,

    /// As the records name the new agency [default: its NAME]
    #[arg(long, value_name = "TEXT", requires = "add")]
    pub(crate) called: Option<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// A job's name or its file in schedules/
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// As this agency of the job has it
    #[arg(long, value_name = "NAME")]
    pub(crate) agency: Option<String>,

    /// Show the fields of this object of its destinations instead: types, and the words that each takes
    #[arg(long, value_name = "NAME")]
    pub(crate) object: Option<String>,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// A job, and perhaps only one of its write-backs.
#[derive(Debug, Args)]
pub(crate) struct JobArguments {
    /// A job's name or its file in schedules/
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// Only this one of the job's agencies; JOB/NAME says the same
    #[arg(long, value_name = "NAME")]
    pub(crate) agency: Option<String>,

    /// Only this one of the job's write-backs
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::write_backs))]
    pub(crate) write_back: Option<String>,

    /// Write back this cycle of the dashboard instead of the newest finished one
    #[arg(long, value_name = "ID", value_parser = cycle_id)]
    pub(crate) cycle: Option<String>,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

impl JobArguments {
    /// The job that is meant: the agency's, if one is named.
    pub(crate) fn named(&self) -> String {
        named(&self.job, self.agency.as_deref())
    }
}

impl ShowArguments {
    /// As [`JobArguments::named`].
    pub(crate) fn named(&self) -> String {
        named(&self.job, self.agency.as_deref())
    }
}

fn named(job: &str, agency: Option<&str>) -> String {
    match agency {
        Some(agency) => job_of(job.strip_suffix(".toml").unwrap_or(job), agency),
        None => job.to_owned(),
    }
}

#[derive(Debug, Args)]
pub(crate) struct PreviewArguments {
    #[command(flatten)]
    pub(crate) job: JobArguments,

    /// How many records to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) limit: usize,

    /// Also write a page with plots, to be opened in a browser; it holds values of records
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Also save a plan: all that would be written, to be applied by `writeback run JOB --plan
    /// FILE`; it holds values of records
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    #[command(flatten)]
    pub(crate) job: JobArguments,

    /// The record's match key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) record: String,

    /// Roll the write back after reading it, so that nothing is left
    #[arg(long)]
    pub(crate) rollback: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) job: JobArguments,

    /// Let the run that guards stopped go ahead, this once: it is recorded who did
    #[arg(long)]
    pub(crate) approve: bool,

    /// Take only records that were rejected before and have not landed since
    #[arg(long)]
    pub(crate) only_rejected: bool,

    /// Of these, only the record with this match key; as often as you like
    #[arg(
        long = "record",
        value_name = "KEY",
        requires = "only_rejected",
        allow_hyphen_values = true
    )]
    pub(crate) records: Vec<String>,

    /// Write a cycle back once more that is delivered already
    #[arg(long, conflicts_with_all = ["only_rejected", "plan"])]
    pub(crate) again: bool,

    /// Apply a plan that `preview --out` saved: exactly what was shown, where rows still hold what
    /// was shown
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cycle", "write_back", "only_rejected"])]
    pub(crate) plan: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ParkArguments {
    /// A job's name or its file in schedules/
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// The record's match key, as often as you like; without it, the job's parked records are listed
    #[arg(long = "record", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) records: Vec<String>,

    /// Only in this one of the job's write-backs
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::write_backs))]
    pub(crate) write_back: Option<String>,

    /// When it is taken up again: a date (its first moment in UTC), a time such as
    /// 2026-12-01T06:00:00Z, or `changed`, when its values in the source are no longer what they
    /// were when it was first left alone
    #[arg(long, value_name = "DATE|changed", value_parser = Until::parse, requires = "records", requires = "reason")]
    pub(crate) until: Option<Until>,

    /// Why, for all who read a report
    #[arg(long, value_name = "TEXT", requires = "until", value_parser = reason)]
    pub(crate) reason: Option<String>,

    /// Take it up again now
    #[arg(long, requires = "records", conflicts_with_all = ["until", "reason"])]
    pub(crate) lift: bool,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArguments {
    /// A job's name or its file in schedules/
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// Why, for all who wonder; without it, it is told whether the job is paused
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<String>,

    /// When it ends by itself, such as 2026-12-01T06:00:00Z; without it, only `--lift` ends it
    #[arg(long, value_name = "TIME", value_parser = instant, requires = "reason")]
    pub(crate) until: Option<DateTime<Utc>>,

    /// End it now
    #[arg(long, conflicts_with_all = ["until", "reason"])]
    pub(crate) lift: bool,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    /// A write-back's name
    #[arg(value_name = "WRITE_BACK", add = ArgValueCandidates::new(completion::write_backs))]
    pub(crate) write_back: String,

    /// The record's match key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) record: String,

    /// The job that is meant, where several have a write-back of this name
    #[arg(long, value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: Option<String>,

    /// Only this column
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// A job's name or its file in schedules/
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: String,

    /// Only this one of the job's write-backs
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::write_backs))]
    pub(crate) write_back: Option<String>,

    /// How many drifted values to show of each column, and how many rows
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) limit: usize,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Errors: it says nothing, or more than a line.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match !text.is_empty()
        && text.chars().count() <= REASON_CHARACTERS_MAX
        && !text.contains(char::is_control)
    {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a reason is one line of 1 to {REASON_CHARACTERS_MAX} characters"
        )),
    }
}

#[derive(Debug, Args)]
pub(crate) struct CycleArguments {
    /// A dashboard of writeback.toml
    #[arg(value_name = "DASHBOARD", add = ArgValueCandidates::new(completion::dashboards))]
    pub(crate) dashboard: String,

    /// Tells the cycle from the next, such as 2026-W46
    #[arg(long, value_name = "ID", value_parser = cycle_id)]
    pub(crate) id: String,

    /// When it completed, such as 2026-11-15T06:30:00Z; now if not given
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) completed_at: Option<DateTime<Utc>>,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Answer /healthz, /readyz and /metrics at this address
    #[arg(long, value_name = "ADDRESS", env = "WRITEBACK_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Show the page at this address, such as 127.0.0.1:9465; whoever wants to see it signs in. Or
    /// at unix:/run/writeback/page.sock, behind a proxy that signs people in
    #[arg(long, value_name = "ADDRESS", env = "WRITEBACK_PAGE", value_parser = PagePlace::parse)]
    pub(crate) page: Option<PagePlace>,

    /// Jobs that run at the same time at most
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) runs_at_once: u16,

    /// How long runs may take to finish their batches when this process is asked to stop
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) grace: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct PracticeArguments {
    /// A connection of writeback.toml with `practice = "FOLDER"`
    #[arg(value_name = "CONNECTION")]
    pub(crate) connection: String,

    /// Listen at this address; port 0 leaves the port to the system
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// What goes wrong, and how slow it is, such as `seed=7,latency=150ms,drop_after:upsert=5%,503=@3`
    #[arg(
        long,
        value_name = "SPEC",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) faults: Faults,

    /// Forget what was written, and begin again from the folder's records
    #[arg(long)]
    pub(crate) fresh: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PageArguments {
    /// Where it is shown
    #[arg(long, value_name = "ADDRESS", default_value = page::ADDRESS_USUAL, env = "WRITEBACK_PAGE", value_parser = PagePlace::parse)]
    pub(crate) at: PagePlace,

    #[command(subcommand)]
    pub(crate) command: Option<PageCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PageCommand {
    /// Print a link that lets you in, once, within five minutes
    Link {
        /// What you may do
        #[arg(long, default_value = "operator", value_parser = Role::parse)]
        role: Role,
        /// The only job that you see, with its agencies
        #[arg(long, value_name = "JOB")]
        job: Option<String>,
    },
    /// People who sign in with a name and a password
    #[command(subcommand)]
    User(UserCommand),
    /// Programs, which bring a token
    #[command(subcommand)]
    Token(TokenCommand),
    /// Who is signed in
    #[command(subcommand)]
    Session(SessionCommand),
    /// Print the OpenAPI description of /api/v1
    Openapi,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Let somebody in; the password is asked for, or read from stdin
    Add {
        #[arg(value_name = "NAME")]
        name: String,
        /// viewer, operator or admin
        #[arg(long, value_parser = Role::parse)]
        role: Role,
        /// The only job that they see, with its agencies
        #[arg(long, value_name = "JOB")]
        job: Option<String>,
    },
    /// Who may sign in
    List,
    /// Let somebody in no more; their sessions end at once
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it; it is not shown again
    Add {
        #[arg(value_name = "NAME")]
        name: String,
        /// viewer, operator or admin
        #[arg(long, value_parser = Role::parse)]
        role: Role,
        /// The only job it is good for, with its agencies
        #[arg(long, value_name = "JOB")]
        job: Option<String>,
        /// How long it is good
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = humantime::parse_duration)]
        expires: Duration,
    },
    /// Which tokens there are
    List,
    /// Make a token good for nothing
    Remove {
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Who is signed in
    List,
    /// Sign somebody out
    #[command(name = "remove", alias = "end")]
    Remove {
        /// The session's number, as `list` shows it
        #[arg(value_name = "NUMBER")]
        session: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ActivityArguments {
    /// How many acts to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    /// Only acts of this name: approve, undo, …
    #[arg(long, value_name = "ACT")]
    pub(crate) act: Option<String>,

    /// Only acts of this person or program
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,

    /// Only acts on what has this in its name: a job, a file, a run's number
    #[arg(long, value_name = "TEXT")]
    pub(crate) target: Option<String>,

    /// Only acts that were refused
    #[arg(long)]
    pub(crate) refused: bool,

    /// Only look whether the account is as it was written
    #[arg(long, conflicts_with_all = ["act", "who", "target", "refused"])]
    pub(crate) verify: bool,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Jobs to show: names or files in schedules/; all of them if none is named
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) jobs: Vec<String>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NextArguments {
    /// Jobs to show: names or files in schedules/; all of them if none is named
    #[arg(value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) jobs: Vec<String>,

    /// How many instants to show
    #[arg(long, value_name = "N", default_value_t = OPENINGS_USUAL)]
    pub(crate) limit: usize,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Errors: a cycle cannot have this id.
fn cycle_id(text: &str) -> Result<String, String> {
    match is_cycle_id(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "an id is one line of 1 to {ID_CHARACTERS_MAX} characters, such as 2026-W46"
        )),
    }
}

/// Errors: it is no time, or has no zone.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(text);
    let parsed =
        parsed.map_err(|_| "write a time with its zone, such as 2026-11-15T06:30:00Z".to_owned());
    parsed.map(|instant| instant.to_utc())
}

#[derive(Debug, Args)]
pub(crate) struct RunsArguments {
    /// A run's number: shows it in full, batch by batch
    #[arg(
        value_name = "RUN",
        conflicts_with_all = ["job", "limit"],
        add = ArgValueCandidates::new(completion::runs)
    )]
    pub(crate) run: Option<i64>,

    /// Only this job's runs
    #[arg(long, value_name = "JOB", add = ArgValueCandidates::new(completion::jobs))]
    pub(crate) job: Option<String>,

    /// How many runs to show, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UndoArguments {
    /// The run's number, as `writeback runs` lists it
    #[arg(value_name = "RUN", required_unless_present = "request", add = ArgValueCandidates::new(completion::runs))]
    pub(crate) run: Option<i64>,

    /// Only what this request wrote, by the id that its caller was told
    #[arg(long, value_name = "ID", conflicts_with_all = ["run", "write_back", "records"])]
    pub(crate) request: Option<String>,

    /// Only this one of its write-backs
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::write_backs))]
    pub(crate) write_back: Option<String>,

    /// Only this record, by its match key; may be given several times
    #[arg(long = "record", value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) records: Vec<String>,

    /// Also delete rows that the run created, where they still hold all that it wrote
    #[arg(long)]
    pub(crate) delete_created: bool,

    /// Also restore rows that no longer hold what the run wrote, whoever changed them
    #[arg(long)]
    pub(crate) even_changed: bool,

    /// Show what would be restored; write nothing
    #[arg(long)]
    pub(crate) preview: bool,

    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// A connection of writeback.toml
    #[arg(
        value_name = "CONNECTION",
        add = ArgValueCandidates::new(completion::connections),
        required_unless_present = "dbml",
        requires = "table"
    )]
    pub(crate) connection: Option<String>,

    /// A table of it; in a folder of files, a file's name without its extension
    #[arg(value_name = "TABLE", required_unless_present = "dbml")]
    pub(crate) table: Option<String>,

    /// Print the schemas of all write-backs in DBML, for a database designer; the unique
    /// identifier of each is marked
    #[arg(long, conflicts_with = "connection")]
    pub(crate) dbml: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArguments {
    /// A connection of writeback.toml to a web API
    #[arg(value_name = "CONNECTION")]
    pub(crate) connection: String,

    /// Objects of it, by their API names; without any, those that the project's jobs write to
    #[arg(value_name = "OBJECT")]
    pub(crate) objects: Vec<String>,

    /// A folder for the descriptions, one file each; those that are there are replaced
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MethodsArguments {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// A folder that is there
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    /// Arguments of a command and of those below it that are called as one of every command is:
    /// what is said to the one would be taken for the other.
    fn taken_twice(command: &Command, of_all: &[String]) -> Vec<String> {
        let own = command.get_arguments().filter(|argument| {
            let id = argument.get_id().to_string();
            !argument.is_global_set() && of_all.contains(&id)
        });
        let own = own.map(|argument| format!("{} {}", command.get_name(), argument.get_id()));
        let below = command
            .get_subcommands()
            .flat_map(|below| taken_twice(below, of_all));
        own.chain(below).collect()
    }

    #[test]
    fn no_command_has_an_argument_of_the_name_of_one_that_all_have() {
        let command = Cli::command();
        let of_all = command.get_arguments().filter(|one| one.is_global_set());
        let of_all: Vec<String> = of_all.map(|one| one.get_id().to_string()).collect();
        assert!(of_all.contains(&"timezone".to_owned()));
        assert_eq!(taken_twice(&command, &of_all), Vec::<String>::new());
    }
}
