//! What came of it, as a table for people and as JSON.

use std::fs;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::extras::{Point, Start};
use crate::measure::{Samples, Spread};
use crate::project::PROGRAM;
use crate::works::Compared;

/// The most memory the program may take at any size, in bytes.
const PEAK_MAX: u64 = 256 << 20;

/// How much more time a record may take among ten times as many.
const RECORD_TIME_RATIO_MAX: f64 = 1.15;

/// The ratios are to be reached with so many records: with fewer, making ready weighs more on both
/// sides.
const JUDGED_RECORDS_MIN: u64 = 1_000_000;

const FIRST_BATCH_MAX: Duration = Duration::from_millis(200);
const HELP_MAX: Duration = Duration::from_millis(20);

/// All that was measured; what was not chosen is absent.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) place: Vec<String>,
    pub(crate) records: u64,
    pub(crate) repeats: usize,
    pub(crate) optimised: bool,
    pub(crate) works: Vec<Compared>,
    pub(crate) sizes: Vec<Size>,
    pub(crate) batch_sizes: Vec<Point>,
    pub(crate) start: Option<Start>,
}

/// CSV to PostgreSQL, all different, at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Size {
    pub(crate) records: u64,
    pub(crate) samples: Samples,
}

impl Size {
    #[expect(clippy::cast_precision_loss, reason = "there are not so many records")]
    fn seconds_per_record(&self) -> f64 {
        self.samples.elapsed().median.as_secs_f64() / self.records as f64
    }
}

/// The program, the machine and what the databases are, in lines.
pub(crate) fn place(databases: Vec<String>) -> Vec<String> {
    let bytes = fs::metadata(PROGRAM)
        .map(|file| file.len())
        .unwrap_or_default();
    let processors = std::thread::available_parallelism()
        .map(usize::from)
        .unwrap_or_default();
    let mut lines = vec![
        format!(
            "writeback {}, {} of program file",
            env!("CARGO_PKG_VERSION"),
            mebibytes(bytes)
        ),
        format!(
            "{processors} processors ({}), {}",
            told("/proc/cpuinfo", "model name"),
            told("/proc/meminfo", "MemTotal")
        ),
    ];
    lines.extend(databases);
    lines
}

/// What a file of Linux tells under a name, or that it does not.
fn told(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_once(':'));
    line.map_or_else(
        || format!("{name} unknown"),
        |(_, value)| value.trim().to_owned(),
    )
}

/// The report as people read it.
pub(crate) fn text(report: &Report) -> String {
    let mut parts = vec![report.place.join("\n")];
    if !report.optimised {
        parts.push(NOT_OPTIMISED.to_owned());
    }
    let (records, repeats) = (grouped(report.records), report.repeats);
    if !report.works.is_empty() {
        let lead = format!(
            "{records} records; medians of {repeats} and, in brackets, the least and the most; seconds"
        );
        parts.push(format!(
            "{lead}\n{}",
            works(&report.works, report.records >= JUDGED_RECORDS_MIN)
        ));
    }
    if !report.sizes.is_empty() {
        parts.push(format!(
            "CSV → PostgreSQL, all different, by size\n{}",
            sizes(&report.sizes)
        ));
    }
    if !report.batch_sizes.is_empty() {
        parts.push(format!(
            "CSV → PostgreSQL, all different, by batch size\n{}",
            batch_sizes(&report.batch_sizes)
        ));
    }
    if let Some(start) = &report.start {
        parts.push(format!("Start\n{}", started(start)));
    }
    parts.join("\n\n") + "\n"
}

pub(crate) const NOT_OPTIMISED: &str = "THE PROGRAM UNDER TEST IS NOT OPTIMISED: the ratios mean nothing. `cargo bench` builds it as users have it.";

fn works(works: &[Compared], are_judged: bool) -> Table {
    let mut table = table(&[
        "work",
        "against",
        "at most",
        "ratio",
        "writeback",
        "other side",
        "CPU",
        "peak",
    ]);
    for work in works {
        let at_most = if are_judged {
            format!("{:.2}", work.ratio_max)
        } else {
            String::new()
        };
        let mut row = vec![work.work.to_owned(), work.against.to_owned(), at_most];
        row.extend(match work.ratio {
            None => vec!["not measured".to_owned()],
            Some(ratio) => vec![
                judged(
                    format!("{ratio:.2}"),
                    !are_judged || ratio <= work.ratio_max,
                ),
                spread(work.side.elapsed()),
                spread(work.other_side.elapsed()),
                format!("{:.2}", work.side.processor().median.as_secs_f64()),
                mebibytes(work.side.peak()),
            ],
        });
        table.add_row(row);
    }
    table
}

fn sizes(sizes: &[Size]) -> Table {
    let mut table = table(&["records", "seconds", "per record", "peak", "at most"]);
    let first = sizes.first().map(Size::seconds_per_record);
    for size in sizes {
        let ratio = size.seconds_per_record() / first.unwrap_or(f64::NAN);
        let per_record = format!(
            "{:.2} µs, ratio {ratio:.2}",
            size.seconds_per_record() * 1e6
        );
        let peak = size.samples.peak();
        table.add_row([
            grouped(size.records),
            spread(size.samples.elapsed()),
            judged(per_record, ratio <= RECORD_TIME_RATIO_MAX),
            judged(mebibytes(peak), peak <= PEAK_MAX),
            format!("ratio {RECORD_TIME_RATIO_MAX}, {}", mebibytes(PEAK_MAX)),
        ]);
    }
    table
}

fn batch_sizes(points: &[Point]) -> Table {
    let mut table = table(&[
        "batch_size",
        "records",
        "seconds",
        "records per second",
        "peak",
    ]);
    for point in points {
        table.add_row([
            grouped(point.batch_size),
            grouped(point.records),
            spread(point.samples.elapsed()),
            format!("{:.0}", point.records_per_second()),
            mebibytes(point.samples.peak()),
        ]);
    }
    table
}

fn started(start: &Start) -> Table {
    let mut table = table(&["what", "at most", "seconds"]);
    let job = format!("job of {} records", grouped(start.records));
    let mut row = |what: String, spread: Spread, bound: Option<Duration>| {
        let shown = format!(
            "{:.3} ({:.3}–{:.3})",
            seconds(spread.median),
            seconds(spread.min),
            seconds(spread.max)
        );
        let reached = bound.is_none_or(|bound| spread.median <= bound);
        let bound = bound.map_or_else(String::new, |bound| format!("{:.3}", seconds(bound)));
        table.add_row([what, bound, judged(shown, reached)]);
    };
    row(
        format!("{job}, until a batch is written"),
        start.first_batch,
        Some(FIRST_BATCH_MAX),
    );
    row(format!("{job}, as a whole"), start.whole_job, None);
    row("--help".to_owned(), start.help, Some(HELP_MAX));
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table
}

fn judged(value: String, reached: bool) -> String {
    if reached {
        value
    } else {
        format!("{value} MISSED")
    }
}

fn spread(spread: Spread) -> String {
    format!(
        "{:.2} ({:.2}–{:.2})",
        seconds(spread.median),
        seconds(spread.min),
        seconds(spread.max)
    )
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{} {:03}", grouped(thousands), number % 1000),
    }
}
