//! A user's project for the program under test, with one job that writes scores to the CRM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Fault;
use crate::data::Export;
use crate::duckdb::drivers_folder;
use crate::measure::{Sample, run};

/// The program under test, built by cargo in this benchmark's own profile.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_writeback");

/// What the dashboard exports.
pub(crate) const SCHEMA: &str = "CREATE TABLE health_score (
    account_id VARCHAR(18) PRIMARY KEY, health_score DECIMAL(5,2) NOT NULL, churn_risk VARCHAR(16),
    usage DECIMAL(12,4), seats INTEGER, note VARCHAR(100), scored_at TIMESTAMP, region VARCHAR(8)
)";

const WRITE_BACK: &str = r#"[[write_back]]
name = "health_score"
schema = "sql/health_score.sql"
source = "dashboard"
destination = "crm"
table = "crm.accounts"
ignore = ["note", "scored_at", "region"]
"#;

const FIELDS: &str = r#"[write_back.fields]
account_id = "account_id"
health_score = "health_score"
churn_risk = "churn_risk"
usage = "usage"
seats = "seats"
"#;

/// Whether a run keeps what rows held before, so that it can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BeforeImages {
    Kept,
    NotKept,
}

/// A project in a folder of its own, with the job `scores`.
pub(crate) struct Project {
    folder: PathBuf,
}

/// What `run --json` prints, as far as it matters here.
#[derive(Deserialize)]
pub(crate) struct Printed {
    /// A preview has none.
    #[serde(default)]
    pub(crate) status: Option<String>,
    pub(crate) write_backs: Vec<Counts>,
}

#[derive(Deserialize)]
pub(crate) struct Counts {
    read: u64,
    pub(crate) updated: u64,
    unchanged: u64,
    /// Without what comes before the first record; a preview tells of none.
    #[serde(default)]
    pub(crate) seconds: f64,
    /// Calls of a web API; a database has none.
    pub(crate) calls: Option<u32>,
}

impl Project {
    /// Makes one; `source` is the connection `dashboard` and `crm` the connection `crm`, as
    /// `writeback.toml` has them.
    pub(crate) fn create(
        folder: PathBuf,
        source: &str,
        crm: &str,
        batch_size: u64,
        images: BeforeImages,
    ) -> Result<Self, Fault> {
        let mut settings = format!("batch_size = {batch_size}\n");
        if images == BeforeImages::NotKept {
            settings += "keep_before_images = false\n";
        }
        fs::create_dir_all(folder.join("sql"))?;
        fs::create_dir_all(folder.join("schedules"))?;
        fs::write(folder.join("writeback.toml"), format!("{source}{crm}"))?;
        fs::write(folder.join("sql/health_score.sql"), format!("{SCHEMA};\n"))?;
        fs::write(
            folder.join("schedules/scores.toml"),
            format!("{WRITE_BACK}{settings}{FIELDS}"),
        )?;
        Ok(Self { folder })
    }

    /// The command that runs the job.
    pub(crate) fn command(&self) -> Command {
        let mut command = program();
        command
            .arg("--project")
            .arg(&self.folder)
            .args(["run", "scores", "--json"]);
        command
    }

    /// Runs the job, which must read so many records and update so many of them.
    pub(crate) fn run(&self, export: Export, updated: u64) -> Result<Sample, Fault> {
        let ran = run(vec![self.command()])?;
        check(&ran.stdout, export, updated)?;
        Ok(ran.sample)
    }

    /// Previews the job, of which a run would do as much.
    pub(crate) fn preview(&self, export: Export, updated: u64) -> Result<Sample, Fault> {
        let mut command = program();
        command
            .arg("--project")
            .arg(&self.folder)
            .args(["preview", "scores", "--json"]);
        let ran = run(vec![command])?;
        check(&ran.stdout, export, updated)?;
        Ok(ran.sample)
    }
}

/// The program, with nothing of this process's environment that would change what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env("ADBC_DRIVER_PATH", drivers_folder())
        .env_remove("RUST_LOG")
        .env_remove("WRITEBACK_PROJECT");
    command
}

/// The connection `dashboard` to a folder of files.
pub(crate) fn files_connection(folder: &Path) -> String {
    format!(
        "[connections.dashboard]\nkind = 'files'\nfolder = '{}'\n",
        folder.display()
    )
}

/// The connection `dashboard` to a DuckDB file.
pub(crate) fn duckdb_connection(file: &Path) -> String {
    format!(
        "[connections.dashboard]\nkind = 'duckdb'\nfile = '{}'\n",
        file.display()
    )
}

/// Checks the counts that a run printed.
/// Errors: if they are not those that are expected.
pub(crate) fn check(printed: &str, export: Export, updated: u64) -> Result<(), Fault> {
    let told: Printed = serde_json::from_str(printed)?;
    let right = |counts: &Counts| {
        (counts.read, counts.updated, counts.unchanged)
            == (export.records, updated, export.records - updated)
    };
    match told.status.is_none_or(|status| status == "succeeded")
        && told.write_backs.iter().all(right)
    {
        true => Ok(()),
        false => Err(format!(
            "{} records should be read and {updated} updated: {printed}",
            export.records
        )
        .into()),
    }
}
