//! A project in a temporary folder, a database of its own, and the built program run in it.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::database::Database;
use super::dialect::Does;
use super::drivers::drivers_folder;
use super::server::{CANARY, PASSWORD, Server, Started, Transport};

/// How long one call of the program may take; the slowest takes seconds in a debug build on a busy
/// machine.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// Columns of the table that most tests write to.
const ACCOUNTS: &str = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40), phone VARCHAR(20) DEFAULT 'unknown'";

/// Columns of the schema that most tests read.
pub(crate) const SCORES: &str = "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40)";

/// Fields of the job that most tests run.
pub(crate) const FIELDS: &str = "id = 'id'\nscore = 'score'\nnote = 'note'";

/// A project whose connection `files` is the folder `data/`, whose connection `crm` is the test's
/// own database, and whose job `job` has one write-back `scores` into `accounts`, unless the test
/// writes other files.
pub(crate) struct Workspace {
    pub(crate) server: Server,
    folder: TempDir,
    database: Database,
    host: Host,
}

/// Where a test's database is.
enum Host {
    File,
    /// A file that is reached through DuckDB's driver.
    DuckDbFile,
    /// A server that other tests use as well.
    Shared(&'static Started),
    Own(RefCell<Started>),
}

impl Host {
    fn port(&self) -> Option<u16> {
        match self {
            Self::File | Self::DuckDbFile => None,
            Self::Shared(started) => Some(started.port()),
            Self::Own(started) => Some(started.borrow().port()),
        }
    }
}

impl Workspace {
    pub(crate) fn on(server: Server) -> Self {
        Self::at(server, server.shared().map_or(Host::File, Host::Shared))
    }

    /// On a DuckDB file, `crm.duckdb`; `server` is then SQLite, whose way of writing names and texts
    /// it shares.
    pub(crate) fn on_duckdb() -> Self {
        let folder = TempDir::new().expect("a folder");
        let database = Database::create_duckdb(&folder.path().join("crm.duckdb"));
        Self {
            server: Server::Sqlite,
            folder,
            database,
            host: Host::DuckDbFile,
        }
        .begun()
    }

    pub(super) fn is_duckdb(&self) -> bool {
        matches!(self.host, Host::DuckDbFile)
    }

    /// On a server that takes connections over the network in TLS only.
    pub(crate) fn on_tls(server: Server) -> Self {
        Self::at(
            server,
            Host::Shared(server.shared_with_tls().expect("a server with users")),
        )
    }

    /// On a server that no other test uses, so that it may be restarted.
    pub(crate) fn on_its_own(server: Server) -> Self {
        Self::at(
            server,
            Host::Own(RefCell::new(server.start(Transport::Plain))),
        )
    }

    fn at(server: Server, host: Host) -> Self {
        let folder = TempDir::new().expect("a folder");
        let database = Database::create(server, host.port(), &folder.path().join("crm.db"));
        let place = Self {
            server,
            folder,
            database,
            host,
        };
        place.begun()
    }

    fn begun(self) -> Self {
        let connections = self.connection("files") + &self.connection("crm");
        self.file("writeback.toml", &connections);
        fs::create_dir(self.path("data")).expect("a new folder");
        self
    }

    /// The plainest write-back there is: the table `accounts` with these rows
    /// (`id,score,note,phone`), the schema `id, score, note`, and a job that maps these three by
    /// name. `phone` is nobody's business.
    pub(crate) fn accounts(server: Server, rows: &str, source: &str) -> Self {
        Self::on(server).with_accounts(rows, source)
    }

    /// Makes what [`Workspace::accounts`] has.
    pub(crate) fn with_accounts(self, rows: &str, source: &str) -> Self {
        self.table("accounts", ACCOUNTS, rows)
            .scores(SCORES, source)
            .job("", FIELDS);
        self
    }

    /// The repository's own example project.
    pub(crate) fn example() -> Self {
        let folder = TempDir::new().expect("a folder");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["writeback.toml", "sql", "schedules", "fixtures"] {
            copy(&repository.join(part), &folder.path().join(part));
        }
        let database = Database::create(Server::Sqlite, None, &folder.path().join("unused.db"));
        Self {
            server: Server::Sqlite,
            folder,
            database,
            host: Host::File,
        }
    }

    /// A `[connections.*]` of `writeback.toml`: `files`, or any other name for the test's database.
    pub(crate) fn connection(&self, name: &str) -> String {
        let table = format!("[connections.{name}]\n");
        match (name, self.host.port()) {
            (name, _) if name != "files" && self.is_duckdb() => {
                let driver = drivers_folder().join("duckdb.toml");
                let driver = driver.display();
                table
                    + &format!(
                        "kind = \"duckdb\"\nfile = \"crm.duckdb\"\ndriver = \"{driver}\"\n\n"
                    )
            }
            ("files", _) => table + "kind = \"files\"\nfolder = \"data\"\n\n",
            (_, None) => table + "kind = \"sqlite\"\nfile = \"crm.db\"\n\n",
            (_, Some(_)) => {
                table
                    + &format!(
                        "url = \"{}\"\npassword = {{ env = \"CRM_PASSWORD\" }}\n\n",
                        self.url("tester")
                    )
            }
        }
    }

    /// Where the test's database is, for `user`, without a password.
    pub(crate) fn url(&self, user: &str) -> String {
        let port = self.port();
        let scheme = if self.server == Server::Postgres {
            "postgres"
        } else {
            "mariadb"
        };
        format!("{scheme}://{user}@127.0.0.1:{port}/{}", self.database.name)
    }

    /// The port that the test's server listens on.
    pub(crate) fn port(&self) -> u16 {
        self.host.port().expect("a server with users")
    }

    /// The Unix-domain socket of the test's server, as a connection's `socket` names it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.started().socket()
    }

    /// The certificate of the private authority that vouches for the test's server.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.started().ca_file()
    }

    fn started(&self) -> &'static Started {
        match &self.host {
            Host::Shared(started) => started,
            Host::File | Host::DuckDbFile | Host::Own(_) => panic!("not on a shared server"),
        }
    }

    /// Lets the test's own server crash and starts it again.
    pub(crate) fn restart_server(&self) {
        match &self.host {
            Host::Own(started) => started.borrow_mut().restart(),
            Host::File | Host::DuckDbFile | Host::Shared(_) => {
                panic!("not on a server of the test's own")
            }
        }
        self.database.reconnect();
    }

    /// Name of the test's database on its server.
    pub(crate) fn database_name(&self) -> &str {
        &self.database.name
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn file(&self, file: &str, text: &str) -> &Self {
        self.bytes(file, text.as_bytes())
    }

    pub(crate) fn bytes(&self, file: &str, bytes: &[u8]) -> &Self {
        let path = self.path(file);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
        self
    }

    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Makes a table of the destination and fills it from CSV, in which an empty cell is NULL and
    /// `""` an empty string.
    pub(crate) fn table(&self, name: &str, columns: &str, csv: &str) -> &Self {
        let table = self.server.quote(name);
        self.execute(&format!("CREATE TABLE {table} ({columns})"));
        let mut lines = csv_cells(csv).into_iter();
        let header = lines.next().unwrap_or_default().into_iter().flatten();
        let header = header
            .map(|column| self.server.quote(&column))
            .collect::<Vec<_>>()
            .join(", ");
        let value = |cell: &Option<String>| {
            cell.as_deref()
                .map_or("NULL".to_owned(), |text| self.server.literal(text))
        };
        let row = |cells: Vec<Option<String>>| {
            format!(
                "({})",
                cells.iter().map(value).collect::<Vec<_>>().join(", ")
            )
        };
        let rows: Vec<String> = lines.map(row).collect();
        if !rows.is_empty() {
            self.execute(&format!(
                "INSERT INTO {table} ({header}) VALUES {}",
                rows.join(", ")
            ));
        }
        self
    }

    /// The schema `sql/scores.sql` with these columns, and `data/scores.csv`.
    pub(crate) fn scores(&self, columns: &str, csv: &str) -> &Self {
        self.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores ({columns});\n"),
        )
        .file("data/scores.csv", csv)
    }

    /// The job `job`: one write-back of `scores` into `accounts` with these further settings and
    /// these fields, both as lines of TOML.
    pub(crate) fn job(&self, settings: &str, fields: &str) -> &Self {
        self.file(
            "schedules/job.toml",
            &write_back("scores", "accounts", settings, fields),
        )
    }

    /// Runs statements in the test's database.
    pub(crate) fn execute(&self, sql: &str) -> &Self {
        self.database.execute(sql);
        self
    }

    /// Another client's own connection to the test's database, which runs one statement at a time.
    pub(crate) fn client(&self) -> Client {
        self.try_client().expect("the server lets one in")
    }

    /// Another program's own connection to a SQLite file of the project.
    pub(crate) fn client_of_file(&self, file: &str) -> Client {
        Client(Database::open_file(&self.path(file)))
    }

    /// As [`Workspace::client`], if the server lets one in.
    pub(crate) fn try_client(&self) -> Option<Client> {
        match self.host.port() {
            Some(port) => Database::try_connect(self.server, port, Some(&self.database.name))
                .ok()
                .map(Client),
            None => Some(Client(Database::open_file(&self.path("crm.db")))),
        }
    }

    /// All rows of a table as CSV under a header, sorted by their bytes: NULL is an empty cell, an
    /// empty string `""`. The header alone counts for nothing: a table without rows is an empty
    /// line.
    pub(crate) fn rows(&self, table: &str) -> String {
        self.query(&format!("SELECT * FROM {}", self.server.quote(table)))
    }

    /// What a query yields, in the form of [`Workspace::rows`].
    pub(crate) fn query(&self, sql: &str) -> String {
        self.database.query(sql).into_csv()
    }

    /// What a query on a SQLite file of the project yields, in the form of [`Workspace::rows`].
    pub(crate) fn query_file(&self, file: &str, sql: &str) -> String {
        Database::open_file(&self.path(file)).query(sql).into_csv()
    }

    /// What a query on the ledger yields, in the form of [`Workspace::rows`]; `None` before there
    /// are runs in it. It looks at a copy: whoever opens a ledger sets right what a killed program
    /// left of it, which is for the program to do.
    pub(crate) fn query_ledger(&self, sql: &str) -> Option<String> {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("ledger.db");
        fs::copy(self.path(".writeback/ledger.db"), &file).ok()?;
        // The log is there only after a kill; the rest of the ledger's files hold nothing.
        drop(fs::copy(
            self.path(".writeback/ledger.db-wal"),
            folder.path().join("ledger.db-wal"),
        ));
        let ledger = Database::open_file(&file);
        let tables = ledger.query("SELECT name FROM sqlite_schema WHERE name = 'runs'");
        (!tables.rows.is_empty()).then(|| ledger.query(sql).into_csv())
    }

    /// Runs statements on a SQLite file of the project.
    pub(crate) fn execute_file(&self, file: &str, sql: &str) -> &Self {
        Database::open_file(&self.path(file)).execute(sql);
        self
    }

    /// Counts from now on how often a row of `table` is inserted, updated or deleted;
    /// [`Workspace::writes`] tells.
    pub(crate) fn count_writes(&self, table: &str) -> &Self {
        self.execute("CREATE TABLE writes (what VARCHAR(10))");
        let table = self.server.quote(table);
        for event in ["INSERT", "UPDATE", "DELETE"] {
            let name = format!("count_{event}");
            let noted = format!("INSERT INTO writes VALUES ('{event}')");
            self.trigger(
                &name,
                &format!("{event} ON {table}"),
                "true",
                Does::Then(&noted),
            );
        }
        self
    }

    /// Row writes since [`Workspace::count_writes`], or since this was last asked.
    pub(crate) fn writes(&self) -> usize {
        let writes = self.database.query("SELECT what FROM writes").rows.len();
        self.execute("DELETE FROM writes");
        writes
    }

    /// `writeback run job --json`.
    pub(crate) fn run(&self) -> Ran {
        self.command(&["run", "job", "--json"])
    }

    /// As [`Workspace::run`], and again while it could not finish, so many times at the most.
    pub(crate) fn run_with_retries(&self, most: usize) -> Ran {
        let mut run = self.run();
        for _ in 0..most {
            if run.code == 2 {
                run = self.run();
            }
        }
        run
    }

    /// Runs the program in the project's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Ran {
        self.command_with(arguments, &[])
    }

    /// Runs the program in the project's folder with further environment variables.
    /// Panics: if the password stands anywhere in what it prints.
    pub(crate) fn command_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = self.prepared(arguments);
        command.envs(environment.iter().copied());
        Ran::of(arguments, &command.output().expect("the program starts"))
    }

    /// As [`Workspace::command_with`], started by another program that is given it as its last
    /// arguments.
    pub(crate) fn command_through(
        &self,
        starter: &[String],
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Ran {
        let (first, others) = starter.split_first().expect("a program");
        let mut words: Vec<&str> = others.iter().map(String::as_str).collect();
        words.push(env!("CARGO_BIN_EXE_writeback"));
        words.extend(arguments);
        let mut command = self.prepared_as(first, &words);
        command.envs(environment.iter().copied());
        Ran::of(arguments, &command.output().expect("the program starts"))
    }

    /// The program, ready to be started.
    fn prepared(&self, arguments: &[&str]) -> assert_cmd::Command {
        self.prepared_as(env!("CARGO_BIN_EXE_writeback"), arguments)
    }

    /// The allocator's thresholds are what the program would give itself, by starting anew: a tenth of
    /// what a short command takes. Tests of memory leave that to it.
    fn prepared_as(&self, program: &str, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .timeout(COMMAND_TIMEOUT);
        command
            .env_remove("RUST_LOG")
            .env_remove("TZ")
            .env("MALLOC_MMAP_THRESHOLD_", "1048576")
            .env("MALLOC_TRIM_THRESHOLD_", "8388608")
            .env("NO_COLOR", "1")
            .env("COLUMNS", "200")
            .env("CRM_PASSWORD", PASSWORD);
        command
    }

    /// Starts the program and lets it run beside the test.
    pub(crate) fn start(&self, arguments: &[&str]) -> std::process::Child {
        self.start_with(arguments, &[])
    }

    /// As [`Workspace::start`], in an environment with these variables.
    pub(crate) fn start_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> std::process::Child {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_writeback"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("CRM_PASSWORD", PASSWORD)
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// `rejected.csv` of a run, `write_back,record,key,stage,column,reason`, without its header.
    /// Places in files and values at fault are left out.
    pub(crate) fn rejected(&self, run: i64) -> String {
        let text = fs::read_to_string(self.run_file(run, "rejected.csv")).expect("a file of text");
        let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let mut writer = csv::Writer::from_writer(Vec::new());
        for (number, line) in (0..).zip(reader.records()) {
            let line = line.expect("CSV");
            let cells: Vec<&str> = line.iter().collect();
            if number == 0 {
                let header = "write_back,record,file,line,key,stage,column,value,reason";
                assert_eq!(cells.join(","), header);
                continue;
            }
            let told = cells.iter().enumerate();
            let told = told.filter(|(cell, _)| ![2, 3, 7].contains(cell));
            writer
                .write_record(told.map(|(_, cell)| *cell))
                .expect("a line");
        }
        String::from_utf8(writer.into_inner().expect("lines")).expect("text")
    }

    /// A file beside a run.
    pub(crate) fn run_file(&self, run: i64, file: &str) -> PathBuf {
        let files = files_under(&self.path(".writeback"));
        let of_run = |path: &&PathBuf| {
            path.ends_with(file)
                && path
                    .components()
                    .any(|part| part.as_os_str() == run.to_string().as_str())
        };
        files
            .iter()
            .find(of_run)
            .unwrap_or_else(|| panic!("no {file} of run {run} in {files:#?}"))
            .clone()
    }

    /// Every file of the program's state, as bytes.
    pub(crate) fn state(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap_or_default());
        files_under(&self.path(".writeback"))
            .into_iter()
            .map(read)
            .collect()
    }
}

/// Another client of a test's database.
pub(crate) struct Client(Database);

impl Client {
    /// Runs statements; tells whether the server took them.
    pub(crate) fn tries(&self, sql: &str) -> bool {
        self.0.try_query(sql).is_ok()
    }
}

/// One `[[write_back]]` of the schema `sql/NAME.sql`, from `files` to `crm`; `settings` and
/// `fields` are lines of TOML, and a setting given there takes the place of the default.
pub(crate) fn write_back(name: &str, table: &str, settings: &str, fields: &str) -> String {
    let defaults = [
        ("name", name.to_owned()),
        ("schema", format!("sql/{name}.sql")),
        ("source", "files".to_owned()),
        ("destination", "crm".to_owned()),
        ("table", table.to_owned()),
    ];
    let given = |key: &str| {
        settings.lines().any(|line| {
            line.split('=')
                .next()
                .is_some_and(|word| word.trim() == key)
        })
    };
    let lines = defaults
        .iter()
        .filter(|(key, _)| !given(key))
        .map(|(key, value)| format!("{key} = '{value}'\n"));
    format!(
        "[[write_back]]\n{}{settings}\n\n[write_back.fields]\n{fields}\n",
        lines.collect::<String>()
    )
}

/// What one call of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(arguments: &[&str], output: &std::process::Output) -> Self {
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8");
        let ran = Self {
            command: arguments.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert!(
            !ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY),
            "the password is printed: {ran}"
        );
        assert!(!ran.stderr.contains("panicked at"), "{ran}");
        ran
    }

    /// Stdout as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The run's number.
    pub(crate) fn run(&self) -> i64 {
        self.json()["run"]
            .as_i64()
            .unwrap_or_else(|| panic!("no run in {self}"))
    }

    /// `2 read = 1 updated + 1 skipped`, one line for each write-back, out of `run --json`. Panics:
    /// if the sums do not balance or the exit code is not that of the status, of a plan, whether
    /// all of it was applied, and of a write-back, whether any record has a row.
    pub(crate) fn summary(&self) -> String {
        let run = self.json();
        let code = match run["status"].as_str() {
            Some("succeeded" | "nothing_new") => 0,
            Some("rejected") => 1,
            Some("failed") => 2,
            Some("guarded") => 3,
            _ => panic!("no status in {self}"),
        };
        let left = |what: &str| run["plan"][what].as_u64().unwrap_or_default() > 0;
        let is_partial = left("changed_since") || left("gone");
        let is_short = code == 0 && (is_partial || self.matched_nothing());
        assert_eq!(self.code, code + i32::from(is_short), "{self}");
        let write_backs = run["write_backs"]
            .as_array()
            .unwrap_or_else(|| panic!("no write-backs in {self}"));
        write_backs
            .iter()
            .map(|write_back| self.sum(write_back))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Whether `run --json` says of a write-back that no record has a row.
    pub(crate) fn matched_nothing(&self) -> bool {
        let run = self.json();
        let mut write_backs = run["write_backs"].as_array().into_iter().flatten();
        write_backs.any(|write_back| write_back["matched_nothing"] == true)
    }

    fn sum(&self, write_back: &Value) -> String {
        let count = |name: &str| {
            write_back[name]
                .as_u64()
                .unwrap_or_else(|| panic!("no `{name}` in {self}"))
        };
        // Only an undo deletes.
        let deletes = write_back.get("deleted").is_some();
        let outcomes = [
            "inserted",
            "updated",
            "unchanged",
            "deleted",
            "skipped",
            "rejected",
        ];
        let outcomes = outcomes
            .into_iter()
            .filter(|name| deletes || *name != "deleted")
            .collect::<Vec<_>>();
        assert_eq!(
            count("read"),
            outcomes.iter().map(|name| count(name)).sum::<u64>(),
            "{self}"
        );
        let terms = outcomes
            .iter()
            .filter(|name| count(name) > 0)
            .map(|name| format!("{} {name}", count(name)));
        match terms.collect::<Vec<_>>().join(" + ") {
            none if none.is_empty() => format!("{} read", count("read")),
            terms => format!("{} read = {terms}", count("read")),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            formatter,
            "`writeback {command}` ended with {code}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        )
    }
}

/// Cells of CSV text; an unquoted empty cell is `None`.
pub(crate) fn csv_cells(csv: &str) -> Vec<Vec<Option<String>>> {
    // The csv crate does not tell `""` from an empty cell, so quoted empty cells travel as a
    // character of their own.
    const EMPTY: &str = "\u{1}";
    let marked = csv
        .replace(",\"\",", &format!(",{EMPTY},"))
        .replace(",\"\"\n", &format!(",{EMPTY}\n"));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(marked.as_bytes());
    let cell = |cell: &str| match cell {
        "" => None,
        EMPTY => Some(String::new()),
        text => Some(text.to_owned()),
    };
    reader
        .records()
        .map(|record| record.expect("CSV").iter().map(cell).collect())
        .collect()
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_under(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Copies a file or a folder, leaving out the demo CRM that a run of the example makes.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).expect("a new folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if !from
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("crm.db"))
    {
        fs::copy(from, to).expect("a file");
    }
}
