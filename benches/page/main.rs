//! How fast the page answers with a long history: many runs, and very many rejected records, made
//! by the program itself. `cargo bench --bench page -- --help` tells more.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is what a benchmark is for"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use sqlx::{ConnectOptions as _, Connection as _};

/// Whatever keeps the benchmark from its end.
type Fault = Box<dyn std::error::Error>;

/// Within which the first byte of a page is to come when it is asked for the first time.
const COLD_BUDGET: Duration = Duration::from_millis(300);
/// The same when it was asked for before, in 95 of 100 cases.
const BUDGET: Duration = Duration::from_millis(50);
/// The same for a search in all rejected records.
const SEARCH_BUDGET: Duration = Duration::from_millis(200);
/// How many bytes a page may have.
const BYTES_BUDGET: usize = 100_000;
/// How much memory the page may take, in MiB.
const MEMORY_BUDGET: u64 = 50;
/// How long the page may take to stand.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measure the page.
///
/// A project and its history are made in a temporary folder (TMPDIR says where) by running the
/// program, and removed at the end. Pages that are not answered end the benchmark with exit code 1;
/// a budget that is missed does not, since machines are noisy.
#[derive(Debug, Parser)]
#[command(name = "page", bin_name = "cargo bench --bench page --")]
struct Options {
    /// Runs in the history
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    runs: u32,

    /// Rejected records of one run
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    rejected: u32,

    /// How often each page is asked for
    #[arg(long, value_name = "N", default_value_t = 100)]
    repeats: u32,

    /// As `cargo bench` calls it
    #[arg(long, hide = true)]
    bench: bool,
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
    if cfg!(debug_assertions) {
        println!("not optimised: these figures tell nothing about a release");
    }
    let folder = tempfile::tempdir()?;
    let place = Place::make(folder.path(), options)?;
    let page = Page::show(&place)?;
    println!(
        "{:<44} {:>8} {:>6} {:>8} {:>8} {:>6} {:>7} {:>7}",
        "page", "cold ms", "budget", "p50 ms", "p95 ms", "budget", "bytes", "budget"
    );
    let mut over = 0;
    let pages = [
        "/",
        "/jobs/many",
        "/jobs/many/scores",
        "/jobs/many/scores/records/A1",
        "/runs",
        "/runs?job=many&before=100",
        "/runs.csv?before=100",
        "/runs/1",
        "/activity",
        "/problems",
        "/files/schedules/many.toml",
    ];
    for path in pages {
        over += page.time(path, options.repeats, BUDGET)?;
    }
    let rejected = format!("/runs/{}/scores/rejected", place.rejecting_run);
    over += page.time(&rejected, options.repeats, BUDGET)?;
    let search = format!("{rejected}?q=N99");
    over += page.time(&search, options.repeats, SEARCH_BUDGET)?;
    if let Some(memory) = page.mib("VmHWM") {
        let missed = memory > MEMORY_BUDGET;
        over += u32::from(missed);
        let told = if missed { "  over budget" } else { "" };
        println!("\nthe page held {memory} MiB at most, of a budget of {MEMORY_BUDGET}{told}");
    }
    if let (Some(own), Some(file)) = (page.mib("RssAnon"), page.mib("RssFile")) {
        println!(
            "in the end {own} MiB of its own, and {file} MiB of its program's file, which the system takes back at need"
        );
    }
    match over {
        0 => println!("all figures are within their budgets"),
        1 => println!("1 figure is over its budget"),
        _ => println!("{over} figures are over their budgets"),
    }
    Ok(())
}

/// A project with a history.
struct Place {
    root: PathBuf,
    rejecting_run: u32,
}

const FIELDS: &str = "[write_back.fields]\nid = \"id\"\nscore = \"score\"\n";

impl Place {
    fn make(root: &Path, options: &Options) -> Result<Self, Fault> {
        let database = root.join("crm.db");
        accounts(&database)?;
        for folder in ["data", "sql", "schedules"] {
            fs::create_dir(root.join(folder))?;
        }
        let project = "[connections.files]\nkind = \"files\"\nfolder = \"data\"\n\n\
                       [connections.crm]\nkind = \"sqlite\"\nfile = \"crm.db\"\n";
        fs::write(root.join("writeback.toml"), project)?;
        let schema = |name: &str| {
            format!("CREATE TABLE {name} (id VARCHAR(18) PRIMARY KEY, score INTEGER);\n")
        };
        for name in ["many", "rejecting"] {
            fs::write(root.join(format!("sql/{name}.sql")), schema(name))?;
            let job = format!(
                "[[write_back]]\nname = \"scores\"\nschema = \"sql/{name}.sql\"\nsource = \"files\"\n\
                 destination = \"crm\"\ntable = \"accounts\"\n\n{FIELDS}"
            );
            fs::write(root.join(format!("schedules/{name}.toml")), job)?;
        }
        let mut rows = "id,score\n".to_owned();
        for number in 0..options.rejected {
            writeln!(rows, "N{number:06},n/a")?;
        }
        fs::write(root.join("data/rejecting.csv"), rows)?;
        let place = Self {
            root: root.to_owned(),
            rejecting_run: options.runs + 1,
        };
        let begun = Instant::now();
        for run in 0..options.runs {
            fs::write(
                root.join("data/many.csv"),
                format!("id,score\nA1,{run}\nA2,2\n"),
            )?;
            place.command(&["run", "many"], &[0])?;
        }
        place.command(&["run", "rejecting"], &[1])?;
        println!(
            "{} runs and {} rejected records took {:.0} s to make\n",
            options.runs,
            options.rejected,
            begun.elapsed().as_secs_f64()
        );
        Ok(place)
    }

    fn program(&self) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_writeback"));
        program.current_dir(&self.root).env("NO_COLOR", "1");
        program
    }

    fn command(&self, arguments: &[&str], codes: &[i32]) -> Result<String, Fault> {
        let output = self.program().args(arguments).output()?;
        match output.status.code() {
            Some(code) if codes.contains(&code) => Ok(String::from_utf8(output.stdout)?),
            _ => Err(format!(
                "{arguments:?} ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
        }
    }
}

fn accounts(database: &Path) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(true);
        let mut connection = options.connect().await?;
        sqlx::raw_sql(
            "CREATE TABLE accounts (id TEXT PRIMARY KEY, score INTEGER);
             INSERT INTO accounts VALUES ('A1', -1), ('A2', -1);",
        )
        .execute(&mut connection)
        .await?;
        connection.close().await
    })?;
    Ok(())
}

/// The page at work; ended when dropped.
struct Page {
    child: Child,
    url: String,
    cookie: String,
    agent: ureq::Agent,
}

impl Page {
    fn show(place: &Place) -> Result<Self, Fault> {
        let log = place.root.join("page.log");
        let child = place
            .program()
            .args(["page", "--at", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let config = ureq::Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        let mut page = Self {
            child,
            url: String::new(),
            cookie: String::new(),
            agent: config.into(),
        };
        let deadline = Instant::now() + PATIENCE;
        while page.url.is_empty() {
            let text = fs::read_to_string(&log)?;
            let url = text.split("showing the page url=").nth(1);
            if let Some((url, _)) = url.and_then(|rest| rest.split_once('\n')) {
                url.trim().clone_into(&mut page.url);
            } else if Instant::now() > deadline {
                return Err(format!("no page is shown: {text}").into());
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let link = place.command(&["page", "link", "--role", "admin"], &[0])?;
        let entered = page
            .agent
            .post(link.trim())
            .header("Sec-Fetch-Site", "same-origin")
            .send_empty()?;
        let cookie = entered.headers().get("set-cookie");
        let cookie = cookie.ok_or("no session begins")?.to_str()?;
        cookie
            .split(';')
            .next()
            .unwrap_or_default()
            .clone_into(&mut page.cookie);
        Ok(page)
    }

    /// Asks for a page, and returns how long its first byte took, and how many there were.
    fn ask(&self, path: &str) -> Result<(Duration, usize), Fault> {
        let begun = Instant::now();
        let answer = self
            .agent
            .get(format!("{}{path}", self.url))
            .header("Cookie", &self.cookie)
            .call();
        let mut answer = answer?;
        let first = begun.elapsed();
        if answer.status() != 200 {
            return Err(format!("{path} is answered with {}", answer.status()).into());
        }
        Ok((first, answer.body_mut().read_to_string()?.len()))
    }

    /// How much memory its process holds (`RssAnon`, `RssFile`), or has held at most (`VmHWM`), as
    /// far as the system tells.
    fn mib(&self, name: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let size = line.strip_prefix(':')?;
        let kib: u64 = size.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024)
    }

    /// Measures a page, and returns how many of its figures are over their budgets.
    fn time(&self, path: &str, repeats: u32, budget: Duration) -> Result<u32, Fault> {
        let (cold, bytes) = self.ask(path)?;
        let mut times = Vec::new();
        for _ in 0..repeats.max(1) {
            times.push(self.ask(path)?.0);
        }
        times.sort();
        let at = |part: usize| {
            let index = (times.len() * part / 100).min(times.len() - 1);
            times.get(index).copied().unwrap_or_default()
        };
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1_000.0);
        let missed = [cold > COLD_BUDGET, at(95) > budget, bytes > BYTES_BUDGET];
        let over = missed.into_iter().map(u32::from).sum();
        let told = if over > 0 { "  over budget" } else { "" };
        println!(
            "{path:<44} {:>8} {:>6} {:>8} {:>8} {:>6} {bytes:>7} {BYTES_BUDGET:>7}{told}",
            ms(cold),
            COLD_BUDGET.as_millis(),
            ms(at(50)),
            ms(at(95)),
            budget.as_millis()
        );
        Ok(over)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
