//! The flags of `init`, each of which answers a question.

use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Makes a new project, by asking; every flag answers a question in advance
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct InitArguments {
    /// Folder of the new project, made when absent; what stands in it stays as it is
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Ask nothing: take the flags, and what would be proposed for the rest
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// What is written back: the source's table, which names the write-back and its schema file
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Name of the job: its file in schedules/
    #[arg(long, value_name = "NAME")]
    pub(crate) job: Option<String>,
    /// Where records come from: a file of records, a folder of them, a file of SQLite or DuckDB, or
    /// a URL without a password
    #[arg(long, value_name = "FILE|FOLDER|URL")]
    pub(crate) source: Option<String>,
    /// Environment variable that holds the source's password; `-` for none
    #[arg(long, value_name = "NAME")]
    pub(crate) source_password_env: Option<String>,
    /// Where records go: a file of SQLite or DuckDB, or a URL without a password
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) destination: Option<String>,
    /// Environment variable that holds the destination's password; `-` for none
    #[arg(long, value_name = "NAME")]
    pub(crate) destination_password_env: Option<String>,
    /// A diagram of a database designer, in DBML: columns, types and the unique identifier are taken
    /// from its table of the name that is written back
    #[arg(long, value_name = "FILE", conflicts_with = "columns")]
    pub(crate) from: Option<PathBuf>,
    /// A source column with its type, `"account_id VARCHAR(18) PRIMARY KEY"`; once for each column,
    /// read from the source unless said
    #[arg(long = "column", value_name = "DEFINITION")]
    pub(crate) columns: Vec<String>,
    /// The destination's table, `"CRM"."ACCOUNTS"`
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// Destination column of a source column; one of the same or a near name unless said, `-` to
    /// ignore it
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
    /// Time zone of crontab lines: that on whose clock times are told, a flag of every command.
    #[arg(skip)]
    pub(crate) timezone: Option<String>,
}
