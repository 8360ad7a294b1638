//! The CRM that scores are written to: one database with the table `crm.accounts`, and how people
//! would write to it by hand, with the client that comes with the database.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fault;
use crate::data::{Accounts, COLUMNS, Export, id_text};
use crate::measure::failure;
use crate::servers::{Folder, Kind, Server, found, postgres_program};

/// Memory for pages per million accounts: their table, its index and a second version of each row
/// fit.
const MEGABYTES_PER_MILLION: u64 = 256;

/// How long MariaDB may take to write down what it holds in memory.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// Words of what a server's program says of its version that name it; what follows tells of its
/// making.
const VERSION_WORDS: usize = 3;

/// Which database the CRM is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Postgres,
    MariaDb,
    Sqlite,
}

impl Database {
    pub(crate) const ALL: [Self; 3] = [Self::Postgres, Self::MariaDb, Self::Sqlite];

    /// Programs it takes that are not there, each with the Debian package that has it.
    pub(crate) fn missing(self) -> Vec<String> {
        let needed: &[(&str, &str)] = match self {
            Self::Postgres => &[
                ("psql", "postgresql-client"),
                ("postgres", "postgresql"),
                ("initdb", "postgresql"),
            ],
            Self::MariaDb => &[
                ("mariadb", "mariadb-client"),
                ("mariadbd", "mariadb-server"),
                ("mariadb-install-db", "mariadb-server"),
            ],
            Self::Sqlite => &[("sqlite3", "sqlite3")],
        };
        needed
            .iter()
            .filter(|(program, _)| {
                !found(program).is_file() && !postgres_program(program).is_file()
            })
            .map(|(program, package)| {
                format!("`{program}` is missing; Debian's package `{package}` has it")
            })
            .collect()
    }

    /// Its name.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::Sqlite => "SQLite",
        }
    }

    /// The server's own words for what it is, and what is set otherwise than it comes, for both
    /// sides.
    pub(crate) fn described(self) -> Result<String, Fault> {
        let megabytes = MEGABYTES_PER_MILLION;
        let (program, settings) = match self {
            Self::Postgres => (
                postgres_program("postgres"),
                format!("shared_buffers = {megabytes}MB for each million accounts, locale C"),
            ),
            Self::MariaDb => (
                found("mariadbd"),
                format!(
                    "innodb_buffer_pool_size = {megabytes}M for each million accounts, utf8mb4_general_ci"
                ),
            ),
            Self::Sqlite => (found("sqlite3"), "journal_mode = WAL".to_owned()),
        };
        let output = Command::new(program).arg("--version").output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        let version: Vec<&str> = told.split_whitespace().take(VERSION_WORDS).collect();
        Ok(format!(
            "{}: {}; all as it comes but {settings}",
            self.title(),
            version.join(" ")
        ))
    }

    fn tables(self) -> &'static str {
        match self {
            Self::Postgres => POSTGRES_TABLES,
            Self::MariaDb => MARIADB_TABLES,
            Self::Sqlite => SQLITE_TABLES,
        }
    }
}

const POSTGRES_TABLES: &str = "
CREATE SCHEMA crm;
CREATE SCHEMA kept;
CREATE TABLE crm.accounts (
    account_id VARCHAR(18) PRIMARY KEY, health_score NUMERIC(5,2) NOT NULL, churn_risk VARCHAR(16),
    usage NUMERIC(12,4), seats INTEGER, note VARCHAR(100), scored_at TIMESTAMP, region VARCHAR(8)
);
CREATE TABLE kept.accounts (LIKE crm.accounts);
";

const MARIADB_TABLES: &str = "
CREATE DATABASE kept;
CREATE TABLE accounts (
    account_id VARCHAR(18) PRIMARY KEY, health_score DECIMAL(5,2) NOT NULL, churn_risk VARCHAR(16),
    `usage` DECIMAL(12,4), seats INT, note VARCHAR(100), scored_at DATETIME, region VARCHAR(8)
);
CREATE TABLE kept.accounts LIKE accounts;
";

const SQLITE_TABLES: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE accounts (
    account_id VARCHAR(18) PRIMARY KEY, health_score DECIMAL(5,2) NOT NULL, churn_risk VARCHAR(16),
    usage DECIMAL(12,4), seats INTEGER, note VARCHAR(100), scored_at TIMESTAMP, region VARCHAR(8)
);
";

/// What people write by hand. It reads CSV with a header from standard input.
const POSTGRES_BY_HAND: &str = r"
BEGIN;
CREATE TEMPORARY TABLE scores (
    account_id VARCHAR(18), health_score NUMERIC(5,2), churn_risk VARCHAR(16), usage NUMERIC(12,4), seats INTEGER,
    note VARCHAR(100), scored_at TIMESTAMP, region VARCHAR(8)
) ON COMMIT DROP;
\copy scores FROM pstdin CSV HEADER
UPDATE crm.accounts AS a
SET health_score = s.health_score, churn_risk = s.churn_risk, usage = s.usage, seats = s.seats
FROM scores AS s
WHERE s.account_id = a.account_id
  AND (a.health_score, a.churn_risk, a.usage, a.seats)
      IS DISTINCT FROM (s.health_score, s.churn_risk, s.usage, s.seats);
COMMIT;
";

/// What people write by hand; `FILE` is a CSV file with a header.
const MARIADB_BY_HAND: &str = r#"
CREATE TEMPORARY TABLE scores (
    account_id VARCHAR(18), health_score DECIMAL(5,2), churn_risk VARCHAR(16), `usage` DECIMAL(12,4), seats INT,
    note VARCHAR(100), scored_at DATETIME, region VARCHAR(8)
);
LOAD DATA LOCAL INFILE 'FILE' INTO TABLE scores
    FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' IGNORE 1 LINES;
UPDATE accounts AS a JOIN scores AS s ON s.account_id = a.account_id
SET a.health_score = s.health_score, a.churn_risk = s.churn_risk, a.`usage` = s.`usage`, a.seats = s.seats;
"#;

/// What people write by hand; `FILE` is a CSV file with a header.
const SQLITE_BY_HAND: &str = "
CREATE TEMPORARY TABLE scores (
    account_id TEXT, health_score NUMERIC, churn_risk TEXT, usage NUMERIC, seats INTEGER,
    note TEXT, scored_at TEXT, region TEXT
);
.import --csv --skip 1 'FILE' scores
BEGIN;
UPDATE accounts
SET health_score = s.health_score, churn_risk = s.churn_risk, usage = s.usage, seats = s.seats
FROM scores AS s
WHERE s.account_id = accounts.account_id;
COMMIT;
";

/// A running CRM.
pub(crate) struct Crm {
    database: Database,
    folder: TempDir,
    server: Option<Server>,
}

impl Crm {
    /// Starts one with room for so many accounts, and without any.
    pub(crate) fn start(database: Database, records: u64, root: &Folder) -> Result<Self, Fault> {
        let start = |kind, client: fn(u16) -> Command| {
            Server::start(kind, megabytes(records), root, |port| {
                execute(client(port), "SELECT 1;")
            })
            .map(Some)
        };
        let server = match database {
            Database::Postgres => start(Kind::Postgres, |port| psql(port, "postgres"))?,
            Database::MariaDb => start(Kind::MariaDb, |port| mariadb(port, "mysql"))?,
            Database::Sqlite => None,
        };
        let crm = Self {
            database,
            folder: root.folder()?,
            server,
        };
        match database {
            Database::Postgres => execute(psql(crm.port(), "postgres"), "CREATE DATABASE crm;")?,
            Database::MariaDb => execute(mariadb(crm.port(), "mysql"), "CREATE DATABASE crm;")?,
            Database::Sqlite => {}
        }
        crm.execute(database.tables())?;
        Ok(crm)
    }

    /// Keeps these accounts aside, for [`Crm::reset`].
    pub(crate) fn keep(&self, accounts: Accounts) -> Result<(), Fault> {
        let file = self.file("accounts.csv");
        accounts.write_originals(&file)?;
        let shown = file.display();
        self.execute(&match self.database {
            Database::Postgres => format!("\\copy kept.accounts FROM '{shown}' CSV HEADER\n"),
            Database::MariaDb => format!(
                "LOAD DATA LOCAL INFILE '{shown}' INTO TABLE kept.accounts \
                 FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES;"
            ),
            Database::Sqlite => format!(".import --csv --skip 1 '{shown}' accounts\nANALYZE;"),
        })?;
        if self.database == Database::Sqlite {
            fs::rename(self.sqlite_file(), self.kept_file())?;
        }
        fs::remove_file(file)?;
        Ok(())
    }

    /// Brings the table back to the accounts kept aside, with nothing left to do for the server.
    pub(crate) fn reset(&self) -> Result<(), Fault> {
        match self.database {
            Database::Postgres => self.execute(
                "TRUNCATE crm.accounts; INSERT INTO crm.accounts SELECT * FROM kept.accounts ORDER BY account_id;",
            )?,
            Database::MariaDb => {
                self.execute("TRUNCATE accounts; INSERT INTO accounts SELECT * FROM kept.accounts;")?;
            }
            Database::Sqlite => {
                for aside in ["crm.db-wal", "crm.db-shm"].map(|name| self.file(name)) {
                    if aside.exists() {
                        fs::remove_file(aside)?;
                    }
                }
                fs::copy(self.kept_file(), self.sqlite_file())?;
                File::open(self.sqlite_file())?.sync_all()?;
            }
        }
        self.settle()
    }

    /// Lets the server do what it would have done by the next day: clean up, count, and write down
    /// what is in memory.
    pub(crate) fn settle(&self) -> Result<(), Fault> {
        match self.database {
            Database::Postgres => self.execute("VACUUM (ANALYZE) crm.accounts; CHECKPOINT;"),
            Database::MariaDb => {
                self.execute("ANALYZE TABLE accounts; SET GLOBAL innodb_max_dirty_pages_pct = 0;")?;
                self.wait_until_clean()?;
                self.execute("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT;")
            }
            Database::Sqlite => Ok(()),
        }
    }

    /// Compares the table with what an export leaves.
    /// Errors: if a single row differs.
    pub(crate) fn compare(&self, accounts: Accounts, export: Export) -> Result<(), Fault> {
        let columns = COLUMNS.map(|column| match (self.database, column) {
            (Database::MariaDb, column) => format!("`{column}`"),
            (Database::Sqlite, "health_score") => "printf('%.2f', health_score)".to_owned(),
            (Database::Sqlite, "usage") => "printf('%.4f', usage)".to_owned(),
            (Database::Postgres | Database::Sqlite, column) => column.to_owned(),
        });
        let select = format!(
            "SELECT {} FROM {} ORDER BY account_id",
            columns.join(", "),
            self.table()
        );
        let mut command = self.client();
        match self.database {
            Database::Postgres => command.args(["-c", &format!("COPY ({select}) TO STDOUT")]),
            Database::MariaDb => {
                command.args(["--skip-column-names", "--raw", "--quick", "-e", &select])
            }
            Database::Sqlite => command.args(["-separator", "\t", &select]),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let rows = child.stdout.take().ok_or("no pipe")?;
        accounts.compare(BufReader::new(rows), export)?;
        let status = child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(failure(&format!("{command:?}"), status, "").into()),
        }
    }

    /// The hand-written way to write an export's CSV file.
    pub(crate) fn by_hand(&self, csv: &Path) -> Result<Vec<Command>, Fault> {
        let script = |text: &str| {
            let file = self.file("by_hand.sql");
            fs::write(
                &file,
                text.replace("'FILE'", &format!("'{}'", csv.display())),
            )?;
            Ok::<_, Fault>(file)
        };
        let mut command = self.client();
        match self.database {
            Database::Postgres => command
                .arg("-f")
                .arg(script(POSTGRES_BY_HAND)?)
                .stdin(File::open(csv)?),
            Database::MariaDb => command.stdin(File::open(script(MARIADB_BY_HAND)?)?),
            Database::Sqlite => command.stdin(File::open(script(SQLITE_BY_HAND)?)?),
        };
        Ok(vec![command])
    }

    /// The hand-written way to write the scores of another database of the same PostgreSQL server.
    pub(crate) fn by_hand_from_dashboard(&self) -> Result<Vec<Command>, Fault> {
        let script = self.file("by_hand.sql");
        fs::write(&script, POSTGRES_BY_HAND)?;
        let (mut reading, mut writing) = (self.dashboard_client(), self.client());
        reading
            .args(["-c", "COPY health_score TO STDOUT CSV HEADER"])
            .stdin(Stdio::null());
        writing.arg("-f").arg(script);
        Ok(vec![reading, writing])
    }

    /// Makes the database `dashboard` on a PostgreSQL server, with a table of the scores in a CSV
    /// file.
    pub(crate) fn add_dashboard(&self, csv: &Path, schema: &str) -> Result<(), Fault> {
        self.execute("CREATE DATABASE dashboard;")?;
        let fill = format!(
            "{schema};\n\\copy health_score FROM '{}' CSV HEADER\n",
            csv.display()
        );
        execute(self.dashboard_client(), &fill)?;
        execute(self.dashboard_client(), "VACUUM (ANALYZE); CHECKPOINT;")
    }

    /// How long the database itself takes to update one account, as its own client tells, one after
    /// the other: each time another account, and forced to disk.
    pub(crate) fn updates_alone(&self, count: u64) -> Result<Vec<Duration>, Fault> {
        let timer = match self.database {
            Database::Postgres => "\\timing on\n",
            Database::Sqlite => ".timer on\n",
            Database::MariaDb => return Err("its client tells no times of a script".into()),
        };
        let mut script = timer.to_owned();
        for number in 0..count {
            script += &format!(
                "UPDATE {} SET health_score = 0.{:02} WHERE account_id = '{}';\n",
                self.table(),
                number % 89,
                id_text(number)
            );
        }
        let file = self.file("alone.sql");
        fs::write(&file, script)?;
        let output = self.client().stdin(File::open(file)?).output()?;
        let told = String::from_utf8(output.stdout)?;
        // `Time: 0.512 ms`, and `Run Time: real 0.001 user …` in seconds.
        let time = |line: &str| {
            let told = line.strip_prefix("Time: ").map(|rest| (rest, 1_000.0));
            let told = told.or(line.strip_prefix("Run Time: real ").map(|rest| (rest, 1.0)));
            let (rest, parts) = told?;
            let value: f64 = rest.split(' ').next()?.parse().ok()?;
            Some(Duration::from_secs_f64(value / parts))
        };
        let times: Vec<Duration> = told.lines().filter_map(time).collect();
        match times.len() as u64 == count {
            true => Ok(times),
            false => Err(format!("{} of {count} updates were timed: {told}", times.len()).into()),
        }
    }

    /// The connection `crm` as `writeback.toml` has it.
    pub(crate) fn connection(&self) -> String {
        let settings = match self.database {
            Database::Postgres => {
                format!("url = 'postgres://postgres@127.0.0.1:{}/crm'", self.port())
            }
            Database::MariaDb => format!("url = 'mysql://root@127.0.0.1:{}/crm'", self.port()),
            Database::Sqlite => {
                format!(
                    "kind = 'sqlite'\nfile = '{}'\ndatabase = 'crm'",
                    self.sqlite_file().display()
                )
            }
        };
        format!("[connections.crm]\n{settings}\n")
    }

    /// The connection `dashboard` to [`Crm::add_dashboard`]'s database.
    pub(crate) fn dashboard_connection(&self) -> String {
        format!(
            "[connections.dashboard]\nurl = 'postgres://postgres@127.0.0.1:{}/dashboard'\n",
            self.port()
        )
    }

    fn execute(&self, script: &str) -> Result<(), Fault> {
        execute(self.client(), script)
    }

    fn client(&self) -> Command {
        match self.database {
            Database::Postgres => psql(self.port(), "crm"),
            Database::MariaDb => mariadb(self.port(), "crm"),
            Database::Sqlite => sqlite3(&self.sqlite_file()),
        }
    }

    fn dashboard_client(&self) -> Command {
        psql(self.port(), "dashboard")
    }

    fn table(&self) -> &'static str {
        match self.database {
            Database::Postgres => "crm.accounts",
            Database::MariaDb | Database::Sqlite => "accounts",
        }
    }

    fn port(&self) -> u16 {
        self.server
            .as_ref()
            .map(|server| server.port)
            .unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sqlite_file(&self) -> PathBuf {
        self.file("crm.db")
    }

    fn kept_file(&self) -> PathBuf {
        self.file("kept.db")
    }

    fn wait_until_clean(&self) -> Result<(), Fault> {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        while Instant::now() < deadline {
            let query = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'";
            let output = self.client().args(["-Ne", query]).output()?;
            if String::from_utf8_lossy(&output.stdout)
                .split_whitespace()
                .last()
                == Some("0")
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("MariaDB does not write down what it holds in memory".into())
    }
}

fn megabytes(records: u64) -> u64 {
    MEGABYTES_PER_MILLION * records.div_ceil(1_000_000).max(1)
}

/// Runs a script through a client.
/// Errors: with what the client said.
fn execute(mut client: Command, script: &str) -> Result<(), Fault> {
    let mut child = client
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    // A client that ends before it has read everything says why itself.
    drop(stdin.write_all(script.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failure(
            &format!("{client:?}"),
            output.status,
            &String::from_utf8_lossy(&output.stderr),
        )
        .into()),
    }
}

fn psql(port: u16, database: &str) -> Command {
    // Debian's `psql` is a script that looks for this one, which takes longer than many a query.
    let mut command = Command::new(postgres_program("psql"));
    command.args([
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        database,
    ]);
    command.args(["-p", &port.to_string()]);
    command
}

fn mariadb(port: u16, database: &str) -> Command {
    let mut command = Command::new("mariadb");
    command.args([
        "--no-defaults",
        "--batch",
        "--local-infile=1",
        "--default-character-set=utf8mb4",
        "-uroot",
    ]);
    command.args(["-h", "127.0.0.1", "-P", &port.to_string(), database]);
    command
}

fn sqlite3(file: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command
        .args(["-batch", "-bail", "-init", "/dev/null"])
        .arg(file);
    command
}
