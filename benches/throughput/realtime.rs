//! Real time: how much longer an answer takes than the destination itself, with 50 clients who ask
//! now and then, and how many requests a second are answered when they ask without a pause.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::crm::{Crm, Database};
use crate::data::{Accounts, id_text};
use crate::progress;
use crate::project::program;
use crate::servers::Folder;

const CLIENTS: u64 = 50;
/// Clients who ask now and then: five times a second each, 250 requests a second in all.
const PAUSE: Duration = Duration::from_millis(200);
/// How long each half is measured.
const DURATION: Duration = Duration::from_secs(10);
const ACCOUNTS: u64 = 10_000;
/// Updates of the destination's own, one after the other.
const OWN_UPDATES: u64 = 500;

/// What is wanted.
const ADDED_MAX: Duration = Duration::from_millis(20);
const PER_SECOND_MIN: u64 = 500;

const TOKEN: &str = "token-of-the-benchmark-0123456789";

const JOB: &str = r#"[[write_back]]
name = "health_score"
schema = "sql/health_score.sql"
source = "dashboard"
destination = "crm"
table = "crm.accounts"

[write_back.fields]
account_id = "account_id"
health_score = { column = "health_score", realtime = true }
"#;

const HTTP: &str = "
[http]
listen = '127.0.0.1:0'
[http.callers.bench]
token = { env = 'BENCH_TOKEN' }
write_backs = ['scores.health_score']
";

/// A table of both databases.
pub(crate) fn measure(root: &Folder) -> Result<String, Fault> {
    let mut told = format!(
        "{CLIENTS} clients; wanted: at most {} ms added at p95, at least {PER_SECOND_MIN} requests a second\n\
         {:<12} {:>12} {:>14} {:>12} {:>14} {:>8}\n",
        ADDED_MAX.as_millis(),
        "",
        "own p95, ms",
        "answer p95, ms",
        "added, ms",
        "requests a s",
        "refused"
    );
    for database in [Database::Sqlite, Database::Postgres] {
        let missing = database.missing();
        if !missing.is_empty() {
            return Err(missing.join("\n").into());
        }
        progress(&format!("{}, real time", database.title()));
        let crm = Crm::start(database, ACCOUNTS, root)?;
        crm.keep(Accounts::new(ACCOUNTS, 5))?;
        crm.reset()?;
        let folder = root.folder()?;
        lay_out(folder.path(), &crm)?;
        let own = p95(crm.updates_alone(OWN_UPDATES)?);
        let serving = Serving::start(folder.path())?;
        let now_and_then = serving.ask_for(DURATION, PAUSE)?;
        let answer = p95(now_and_then.latencies);
        let without_pause = serving.ask_for(DURATION, Duration::ZERO)?;
        let seconds = DURATION.as_secs();
        let answered = u64::try_from(without_pause.latencies.len())?;
        told += &format!(
            "{:<12} {:>12.1} {:>14.1} {:>12.1} {:>14} {:>8}\n",
            database.title(),
            milliseconds(own),
            milliseconds(answer),
            milliseconds(answer.saturating_sub(own)),
            answered / seconds,
            now_and_then.refused + without_pause.refused
        );
    }
    Ok(told)
}

fn lay_out(folder: &Path, crm: &Crm) -> Result<(), Fault> {
    for part in ["sql", "schedules", "data"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let files = "[connections.dashboard]\nkind = 'files'\nfolder = 'data'\n";
    let project = format!("{files}{}{HTTP}", crm.connection());
    fs::write(folder.join("writeback.toml"), project)?;
    let schema = "CREATE TABLE health_score (account_id VARCHAR(18) PRIMARY KEY, health_score DECIMAL(5,2));\n";
    fs::write(folder.join("sql/health_score.sql"), schema)?;
    Ok(fs::write(folder.join("schedules/scores.toml"), JOB)?)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The time that 95 of 100 keep below.
fn p95(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    let place = latencies.len() * 95 / 100;
    latencies
        .get(place)
        .or(latencies.last())
        .copied()
        .unwrap_or_default()
}

/// What clients came to.
#[derive(Default)]
struct Asked {
    /// Of requests that were carried out.
    latencies: Vec<Duration>,
    /// Told to come back.
    refused: u64,
}

/// The program, answering.
struct Serving {
    child: Child,
    host: String,
}

impl Serving {
    fn start(folder: &Path) -> Result<Self, Fault> {
        let mut command: Command = program();
        command
            .arg("serve")
            .current_dir(folder)
            .env("BENCH_TOKEN", TOKEN)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let log = child.stderr.take().ok_or("no pipe")?;
        let mut lines = BufReader::new(log).lines();
        let host = loop {
            let line = lines.next().ok_or("the program ended")??;
            let address = line
                .split("http://")
                .nth(1)
                .filter(|_| line.contains("answering requests"));
            if let Some(address) = address {
                let digits = |sign: &char| sign.is_ascii_digit() || ".:".contains(*sign);
                break address.chars().take_while(digits).collect();
            }
        };
        // What else it says must be taken, or it waits.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self { child, host })
    }

    /// Lets all clients ask for so long.
    /// Errors: an answer that is no answer.
    fn ask_for(&self, duration: Duration, pause: Duration) -> Result<Asked, Fault> {
        let asked = Mutex::new(Asked::default());
        let number = AtomicU64::new(0);
        let end = Instant::now() + duration;
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (asked, number) = (&asked, &number);
                    let client = move || {
                        let mut own = Asked::default();
                        // They do not all ask at once.
                        thread::sleep(pause * u32::try_from(client)? / u32::try_from(CLIENTS)?);
                        let mut connection = Connection::open(&self.host)?;
                        while Instant::now() < end {
                            let begun = Instant::now();
                            match connection.change(number.fetch_add(1, Ordering::Relaxed))? {
                                200 => own.latencies.push(begun.elapsed()),
                                429 => own.refused += 1,
                                status => return Err(format!("an answer {status}").into()),
                            }
                            thread::sleep(pause.saturating_sub(begun.elapsed()));
                        }
                        let mut all = asked.lock().map_err(|_| "a client failed")?;
                        all.latencies.append(&mut own.latencies);
                        all.refused += own.refused;
                        Ok(())
                    };
                    scope.spawn(move || client().map_err(|error: Fault| error.to_string()))
                })
                .collect();
            let ended = clients.into_iter().map(|client| {
                client
                    .join()
                    .unwrap_or_else(|_| Err("a client failed".to_owned()))
            });
            ended.collect::<Result<Vec<()>, String>>()
        })?;
        Ok(asked.into_inner().map_err(|_| "a client failed")?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client's connection, which it keeps.
struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    fn open(host: &str) -> Result<Self, Fault> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
        })
    }

    /// Gives an account another score, which it has not; returns the status.
    fn change(&mut self, number: u64) -> Result<u16, Fault> {
        let account = id_text(number % ACCOUNTS);
        let score = 1 + number % 97;
        let body = format!(
            "{{\"values\": {{\"health_score\": {score}.{:02}}}}}",
            number % 89
        );
        let request = format!(
            "PATCH /v1/jobs/scores/write-backs/health_score/records/{account} HTTP/1.1\r\nHost: {}\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).ok_or("no status")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(status)
    }
}
