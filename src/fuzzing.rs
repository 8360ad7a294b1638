//! What fuzz targets call: each takes any bytes for something that a user, a file or a disk gives
//! to the program, and reads it as a command would. None of them may panic, whatever the bytes are.
//! Only for `tests/fuzz`, which builds the program with the feature `fuzzing`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use polars::df;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Project, draft};
use crate::domain::connection::Connection;
use crate::domain::job::WriteBack;
use crate::domain::value::Kind;
use crate::ledger::{self, ImageSegment};
use crate::run::images::{self, ImageField, Segment};
use crate::run::saved_plan::{self, SavedPlan};
use crate::source::{AnySource, Source, files};

/// Reads bytes as one kind of thing.
pub type Target = fn(&Bench, &[u8]) -> io::Result<()>;

/// Every target by its name.
pub const TARGETS: [(&str, Target); 9] = [
    ("csv", |bench, data| bench.pull("scores.csv", data)),
    ("ndjson", |bench, data| bench.pull("scores.ndjson", data)),
    ("parquet", |bench, data| bench.pull("scores.parquet", data)),
    ("saved_plan", saved_plan),
    ("segment", segment),
    ("ledger_outcomes", ledger_outcomes),
    ("crontab", crontab),
    ("job_file", job_file),
    ("schema_file", schema_file),
];

const PROJECT: &str = "[connections.dashboard]\nkind = \"files\"\nfolder = \"data\"\n\
    [connections.crm]\nkind = \"sqlite\"\nfile = \"crm.db\"\n";
const SCHEMA: &str =
    "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score DECIMAL(9,2), at TIMESTAMP);\n";
const JOB: &str = "[[write_back]]\nname = \"scores\"\nschema = \"sql/scores.sql\"\n\
    source = \"dashboard\"\ndestination = \"crm\"\ntable = \"accounts\"\n\
    [write_back.fields]\nid = \"id\"\nscore = \"score\"\nat = \"at\"\n";

/// A project in a folder of its own, whose files the targets write.
#[derive(Debug)]
pub struct Bench {
    folder: TempDir,
    runtime: Runtime,
    /// Of the project as it was made.
    dashboard: Connection,
    write_backs: Vec<WriteBack>,
    /// What the ledger says of [`whole_segment`].
    segment: ImageSegment,
}

impl Bench {
    /// Makes the project. Errors: its files cannot be written.
    pub fn new() -> io::Result<Self> {
        let folder = TempDir::new()?;
        for name in ["data", "sql", "schedules"] {
            fs::create_dir(folder.path().join(name))?;
        }
        restore(folder.path())?;
        let invalid = |problems| io::Error::other(format!("{problems:?}"));
        let project = Project::load(folder.path()).map_err(invalid)?;
        let checked = project.load_job("job").map_err(invalid)?;
        let (dashboard, _) = project.connection("dashboard").map_err(invalid)?;
        let whole = whole_segment()?;
        Ok(Self {
            segment: ImageSegment {
                file: "segment".to_owned(),
                offset: 0,
                bytes: whole.len() as u64,
                xxh3: xxh3_64(&whole),
                keys: None,
            },
            dashboard: dashboard.clone(),
            write_backs: checked.job.write_backs,
            folder,
            runtime: Runtime::new()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load_job(&self) {
        drop(Project::load(self.folder.path()).map(|project| project.load_job("job")));
    }

    /// Describes and pulls the table that a file is.
    fn pull(&self, file: &str, data: &[u8]) -> io::Result<()> {
        let path = self.path("data").join(file);
        fs::write(&path, data)?;
        self.runtime.block_on(async {
            drop(files::describe_table(&self.dashboard, "scores").await);
            for write_back in &self.write_backs {
                let Ok(mut source) = AnySource::open(&self.dashboard, &write_back.schema).await
                else {
                    continue;
                };
                while let Ok(Some(pulled)) = source.next_chunk().await {
                    drop(pulled);
                }
            }
        });
        fs::remove_file(path)
    }
}

fn restore(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("writeback.toml"), PROJECT)?;
    fs::write(folder.join("sql/scores.sql"), SCHEMA)?;
    fs::write(folder.join("schedules/job.toml"), JOB)
}

/// What stands in a plan beside its records, under a digest that is right.
fn saved_plan(bench: &Bench, data: &[u8]) -> io::Result<()> {
    let path = bench.path("plan");
    fs::write(&path, saved_plan::sealed(data))?;
    if let Ok(plan) = SavedPlan::open(&path) {
        drop((plan.cycle(), plan.write_back().map(str::to_owned)));
    }
    Ok(())
}

/// A disk that gives back other bytes than those of the segment that the ledger knows.
fn segment(bench: &Bench, data: &[u8]) -> io::Result<()> {
    fs::write(bench.path("segment"), data)?;
    if let Ok(segment) = Segment::read(bench.folder.path(), &bench.segment) {
        drop((segment.frame(), segment.sent_keys()));
    }
    Ok(())
}

/// A segment of two records, to begin with. Errors: none that could be mended.
pub fn whole_segment() -> io::Result<Vec<u8>> {
    let [sent, before, written] = [
        images::sent_column,
        images::before_column,
        images::written_column,
    ]
    .map(|name| name("id"));
    let frame = df!(
        images::RECORD => [0_u32, 1],
        images::CREATED => [false, true],
        sent.as_str() => ["A1", "A2"],
        before.as_str() => [Some("A1"), None],
        written.as_str() => [false, true],
    );
    let field = ImageField {
        name: "id".to_owned(),
        kind: Kind::Text,
        own_text: false,
        key: Some(0),
    };
    frame
        .and_then(|frame| images::segment_bytes(frame, &[field]))
        .map_err(io::Error::other)
}

fn ledger_outcomes(_: &Bench, data: &[u8]) -> io::Result<()> {
    drop(ledger::decode_outcomes(data, Vec::new()));
    Ok(())
}

fn crontab(_: &Bench, data: &[u8]) -> io::Result<()> {
    drop(draft::check_cron(&String::from_utf8_lossy(data)));
    Ok(())
}

fn job_file(bench: &Bench, data: &[u8]) -> io::Result<()> {
    with_file(bench, Path::new("schedules/job.toml"), data)
}

fn schema_file(bench: &Bench, data: &[u8]) -> io::Result<()> {
    with_file(bench, Path::new("sql/scores.sql"), data)
}

fn with_file(bench: &Bench, file: &Path, data: &[u8]) -> io::Result<()> {
    fs::write(bench.folder.path().join(file), data)?;
    bench.load_job();
    restore(bench.folder.path())
}
