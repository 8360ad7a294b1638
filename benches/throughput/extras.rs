//! What is measured of the program alone, on PostgreSQL: ten times the records, batch sizes, and
//! how soon it begins.

use std::fs;
use std::time::Duration;

use serde::Serialize;
use tempfile::TempDir;

use crate::Fault;
use crate::crm::{Crm, Database};
use crate::data::{Accounts, Export};
use crate::measure::{Samples, Spread, run, run_until_said};
use crate::progress;
use crate::project::{BeforeImages, Project, check, files_connection, program};
use crate::servers::Folder;
use crate::works::BATCH_SIZE;

/// The sizes of the curve, and the most batches of each: a batch of one record takes as long as one
/// of a hundred.
const BATCH_SIZES: [u64; 6] = [1, 10, 100, 1000, 5000, 20_000];
const BATCHES_MAX: u64 = 2000;

/// Rounds that say enough where nothing is compared with another side.
const ROUNDS_MAX: usize = 3;

/// Records of a small job, the most accounts of its CRM, and how often it and `--help` are run.
const SMALL_RECORDS: u64 = 1000;
const SMALL_ACCOUNTS_MAX: u64 = 100_000;
const START_ROUNDS: usize = 20;

/// What the log says of each batch, with `-vv`.
const BATCH_WRITTEN: &str = "wrote batch";

/// One size of the curve.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    pub(crate) batch_size: u64,
    pub(crate) records: u64,
    pub(crate) samples: Samples,
}

impl Point {
    #[expect(clippy::cast_precision_loss, reason = "there are not so many records")]
    pub(crate) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.samples.elapsed().median.as_secs_f64()
    }
}

/// How soon the program begins, and ends a small job.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Start {
    pub(crate) records: u64,
    /// From the start of the process until it says that a batch was written.
    pub(crate) first_batch: Spread,
    pub(crate) whole_job: Spread,
    pub(crate) help: Spread,
}

/// A CRM in PostgreSQL and a project that writes an export to it.
struct Stand {
    accounts: Accounts,
    crm: Crm,
    folder: TempDir,
}

/// Runs the job with so many accounts, all of them different, once or twice.
pub(crate) fn large(accounts: Accounts, repeats: usize, root: &Folder) -> Result<Samples, Fault> {
    progress(&format!("{} records: making the data", accounts.records));
    let stand = Stand::start(accounts, root)?;
    let export = accounts.different();
    let project = stand.project(export, BATCH_SIZE)?;
    let mut samples = Samples::default();
    for _ in 0..repeats.min(2) {
        stand.crm.reset()?;
        let sample = project.run(export, export.changed)?;
        stand.crm.compare(accounts, export)?;
        progress(&format!(
            "{} records: {:.2} s",
            accounts.records,
            sample.elapsed.as_secs_f64()
        ));
        samples.push(sample);
    }
    Ok(samples)
}

/// Runs the job with each batch size, in turn.
pub(crate) fn curve(
    accounts: Accounts,
    repeats: usize,
    root: &Folder,
) -> Result<Vec<Point>, Fault> {
    progress("batch sizes: making the data");
    let stand = Stand::start(accounts, root)?;
    let records = |batch_size: u64| accounts.records.min(batch_size * BATCHES_MAX);
    let mut points = BATCH_SIZES.map(|batch_size| Point {
        batch_size,
        records: records(batch_size),
        samples: Samples::default(),
    });
    let mut projects = Vec::new();
    for point in &points {
        let export = Export {
            records: point.records,
            changed: point.records,
        };
        projects.push((export, stand.project(export, point.batch_size)?));
    }
    for round in 0..=repeats.min(ROUNDS_MAX) {
        for (point, (export, project)) in points.iter_mut().zip(&projects) {
            stand.crm.reset()?;
            let sample = project.run(*export, export.changed)?;
            stand.crm.compare(accounts, *export)?;
            progress(&format!(
                "batch size {}: {:.2} s",
                point.batch_size,
                sample.elapsed.as_secs_f64()
            ));
            if round > 0 {
                point.samples.push(sample);
            }
        }
    }
    Ok(points.into())
}

/// Runs a small job and `--help` many times, after a warm-up.
pub(crate) fn start(accounts: Accounts, root: &Folder) -> Result<Start, Fault> {
    progress("start: making the data");
    let accounts = accounts.with_records(accounts.records.min(SMALL_ACCOUNTS_MAX));
    let stand = Stand::start(accounts, root)?;
    let records = accounts.records.min(SMALL_RECORDS);
    let export = Export {
        records,
        changed: records,
    };
    let project = stand.project(export, BATCH_SIZE)?;
    let (mut first_batches, mut whole_jobs, mut helps) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=START_ROUNDS {
        let (first_batch, whole_job) = stand.start_once(&project, export)?;
        let help = help()?;
        if round > 0 {
            first_batches.push(first_batch);
            whole_jobs.push(whole_job);
            helps.push(help);
        }
    }
    let [first_batch, whole_job, help] =
        [first_batches, whole_jobs, helps].map(|all| Spread::of(all.into_iter()));
    Ok(Start {
        records,
        first_batch,
        whole_job,
        help,
    })
}

fn help() -> Result<Duration, Fault> {
    let mut command = program();
    command.arg("--help");
    Ok(run(vec![command])?.sample.elapsed)
}

impl Stand {
    fn start(accounts: Accounts, root: &Folder) -> Result<Self, Fault> {
        let crm = Crm::start(Database::Postgres, accounts.records, root)?;
        crm.keep(accounts)?;
        Ok(Self {
            accounts,
            crm,
            folder: root.folder()?,
        })
    }

    fn project(&self, export: Export, batch_size: u64) -> Result<Project, Fault> {
        let folder = self.folder.path().join(batch_size.to_string());
        fs::create_dir(&folder)?;
        self.accounts
            .write_csv(export, &folder.join("health_score.csv"))?;
        let source = files_connection(&folder);
        Project::create(
            folder.join("project"),
            &source,
            &self.crm.connection(),
            batch_size,
            BeforeImages::NotKept,
        )
    }

    fn start_once(&self, project: &Project, export: Export) -> Result<(Duration, Duration), Fault> {
        self.crm.reset()?;
        let mut command = project.command();
        command.arg("-vv");
        let (first_batch, ran) = run_until_said(command, BATCH_WRITTEN)?;
        check(&ran.stdout, export, export.changed)?;
        self.crm.compare(self.accounts, export)?;
        Ok((first_batch, ran.sample.elapsed))
    }
}
