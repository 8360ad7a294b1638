//! How fast `writeback` is against the SQL that people write by hand: both sides in turn, on
//! private servers, in one run, with a look at every row afterwards. `cargo bench -- --help` tells
//! more.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what a benchmark is for"
)]

mod api;
mod crm;
mod data;
mod duckdb;
mod extras;
mod measure;
mod plot;
mod project;
mod realtime;
mod report;
mod servers;
mod works;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::data::Accounts;
use crate::report::{NOT_OPTIMISED, Report, Size};
use crate::servers::Folder;
use crate::works::{Measured, Part};

/// Whatever keeps the benchmark from its end.
pub(crate) type Fault = Box<dyn std::error::Error>;

/// Of so many more records is the large run.
const TIMES_LARGER: u64 = 10;

/// Measure writeback against SQL written by hand.
///
/// Data, servers and all else are made in a temporary folder (TMPDIR says where) and removed at the
/// end; a full run takes about ten gigabytes there. The servers keep their own settings for what is
/// forced to disk. Wrong rows and failing programs end the benchmark with exit code 1; a ratio that
/// is missed does not, since machines are noisy.
#[derive(Debug, Parser)]
#[command(name = "throughput", bin_name = "cargo bench --", after_help = EXAMPLES)]
struct Options {
    /// `api` measures web APIs instead of databases: 10 000 records unless `--records` says otherwise;
    /// `realtime` measures requests: what they take beyond the destination's own, and how many a second
    #[arg(value_enum)]
    what: Option<What>,

    /// 100 000 records, three repeats, and not ten times the records; takes less than five minutes
    #[arg(long)]
    quick: bool,

    /// Accounts, and records of an export [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    records: Option<u64>,

    /// How often each side is measured, after a warm-up [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: Option<u16>,

    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    only: Vec<Part>,

    /// The data are a function of it
    #[arg(long, value_name = "N", default_value_t = 5)]
    seed: u64,

    /// Write all that was measured to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw the batch size curve as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// Make a DuckDB file of a CSV file: see [`duckdb::import_apart`]
    #[arg(long, hide = true, num_args = 2)]
    import_duckdb: Option<Vec<PathBuf>>,

    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured instead of databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Api,
    Realtime,
}

/// Records that are written to a web API.
const API_RECORDS: u64 = 10_000;

const EXAMPLES: &str = "Examples:
  cargo bench                                          everything; about twenty minutes
  cargo bench -- api                                   web APIs: calls, latency and memory
  cargo bench -- realtime                              requests: added latency, and how many a second
  cargo bench -- --quick
  cargo bench -- --only postgres,unchanged --repeats 9
  cargo bench -- --json figures.json --plot docs/batch-size.svg";

impl Options {
    fn records(&self) -> u64 {
        self.records
            .unwrap_or(if self.quick { 100_000 } else { 1_000_000 })
    }

    fn repeats(&self) -> usize {
        self.repeats
            .map_or(if self.quick { 3 } else { 5 }, usize::from)
    }

    /// The parts to measure: those that are named, or all.
    fn parts(&self) -> Vec<Part> {
        let all = Part::value_variants().iter().copied();
        match self.only.is_empty() {
            true => all
                .filter(|part| !(self.quick && *part == Part::TenTimes))
                .collect(),
            false => all.filter(|part| self.only.contains(part)).collect(),
        }
    }
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Fault> {
    if let Some([csv, file]) = options.import_duckdb.as_deref() {
        return duckdb::import(csv, file);
    }
    if cfg!(debug_assertions) {
        progress(NOT_OPTIMISED);
    }
    match options.what {
        Some(What::Api) => {
            let records = options.records.unwrap_or(API_RECORDS);
            println!("{}", api::measure(records, &Folder::create()?)?);
            return Ok(());
        }
        Some(What::Realtime) => {
            println!("{}", realtime::measure(&Folder::create()?)?);
            return Ok(());
        }
        None => {}
    }
    let report = measured(options)?;
    println!("{}", report::text(&report));
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    match &options.plot {
        Some(file) if !report.batch_sizes.is_empty() => plot::draw(&report.batch_sizes, file),
        Some(_) => Err("the plot is of `batch-size`, which was not measured".into()),
        None => Ok(()),
    }
}

fn measured(options: &Options) -> Result<Report, Fault> {
    let (parts, repeats) = (options.parts(), options.repeats());
    let accounts = Accounts::new(options.records(), options.seed);
    let databases = works::databases(&parts);
    let missing: Vec<String> = databases
        .iter()
        .flat_map(|database| database.missing())
        .collect();
    if !missing.is_empty() {
        return Err(missing.join("\n").into());
    }
    let root = Folder::create()?;
    let mut measured = Measured::default();
    for database in &databases {
        works::measure(
            *database,
            &works::sides(&parts),
            accounts,
            repeats,
            &root,
            &mut measured,
        )?;
    }
    let described = databases.iter().map(|database| database.described());
    let mut report = Report {
        place: report::place(described.collect::<Result<_, _>>()?),
        records: accounts.records,
        repeats,
        optimised: !cfg!(debug_assertions),
        works: measured.compared(&parts),
        ..Report::default()
    };
    let first_run = measured.first_run();
    if !first_run.is_empty() {
        report.sizes.push(Size {
            records: accounts.records,
            samples: first_run,
        });
    }
    measure_alone(&parts, accounts, repeats, &root, &mut report)?;
    Ok(report)
}

/// Measures what is not held against another side.
fn measure_alone(
    parts: &[Part],
    accounts: Accounts,
    repeats: usize,
    root: &Folder,
    report: &mut Report,
) -> Result<(), Fault> {
    if parts.contains(&Part::TenTimes) {
        let accounts = accounts.with_records(accounts.records * TIMES_LARGER);
        let samples = extras::large(accounts, repeats, root)?;
        report.sizes.push(Size {
            records: accounts.records,
            samples,
        });
    }
    if parts.contains(&Part::BatchSize) {
        report.batch_sizes = extras::curve(accounts, repeats, root)?;
    }
    if parts.contains(&Part::Start) {
        report.start = Some(extras::start(accounts, root)?);
    }
    Ok(())
}

/// Tells how far it has come, on stderr.
pub(crate) fn progress(what: &str) {
    eprintln!("{what}");
}
