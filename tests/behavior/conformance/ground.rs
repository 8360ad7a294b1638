//! A project with a destination of its own, spoken of in the table's words: the columns of a story
//! are `id`, `score`, `risk`, `note` and so on, whatever a destination calls them.

use crate::harness::{Ran, Served, Server, Workspace, csv_cells, write_back};

use super::subject::{Kind, Service, Subject};

/// Types of the source's columns.
const TYPES: &[(&str, &str)] = &[
    ("id", "VARCHAR(18)"),
    ("score", "DECIMAL(6,2)"),
    ("risk", "VARCHAR(16)"),
    ("note", "VARCHAR(40)"),
    ("shared", "VARCHAR(40)"),
    ("part", "VARCHAR(40)"),
    ("members", "VARCHAR(255)"),
    ("owner", "VARCHAR(80)"),
    ("choice", "VARCHAR(20)"),
];

pub(super) struct Ground {
    pub(super) subject: &'static Subject,
    pub(super) place: Workspace,
}

impl Ground {
    /// A destination that holds these rows, CSV under the table's names.
    pub(super) fn of(subject: &'static Subject, rows: &str) -> Self {
        let place = match &subject.kind {
            Kind::Database(server) => database(subject, Workspace::on(*server), rows),
            Kind::DuckDb => database(subject, Workspace::on_duckdb(), rows),
            Kind::Service(service) => practice(subject, service, rows),
        };
        let ground = Self { subject, place };
        ground.connect("");
        ground
    }

    /// `writeback.toml`, with these further settings of the destination's connection.
    pub(super) fn connect(&self, settings: &str) -> &Self {
        match &self.subject.kind {
            Kind::Database(_) | Kind::DuckDb => {
                let crm = self.place.connection("crm");
                self.project(&format!("{}\n{settings}", crm.trim_end()))
            }
            Kind::Service(_) => self.connect_to(&format!("practice = 'org'\n{settings}")),
        }
    }

    /// As [`Ground::connect`], not to the project's own practice.
    pub(super) fn connect_to(&self, settings: &str) -> &Self {
        let Kind::Service(service) = &self.subject.kind else {
            panic!("{} is no web API", self.subject.name);
        };
        let (kind, own) = (service.kind, service.settings);
        self.project(&format!(
            "[connections.crm]\nkind = '{kind}'\nattempts_max = 4\n{own}{settings}"
        ))
    }

    fn project(&self, crm: &str) -> &Self {
        let project = format!("{}{crm}\n", self.place.connection("files"));
        self.place.file("writeback.toml", &project);
        self
    }

    /// What the source holds, matched on its first column.
    pub(super) fn source(&self, csv: &str) -> &Self {
        let key = csv.split(',').next().expect("a column");
        self.source_by(key, csv)
    }

    /// What the source holds, matched on these columns.
    pub(super) fn source_by(&self, key: &str, csv: &str) -> &Self {
        let header = csv.lines().next().expect("a header");
        let columns: Vec<String> = header.split(',').map(declared).collect();
        let schema = format!("{}, PRIMARY KEY ({key})", columns.join(", "));
        self.place.scores(&schema, csv);
        self
    }

    /// A job that maps these columns by name.
    pub(super) fn job(&self, settings: &str, columns: &str) -> &Self {
        let fields: Vec<(&str, String)> = columns.split(' ').map(plain).collect();
        self.job_of(settings, &fields, "")
    }

    /// A job that maps these columns by name and one in a way of its own.
    pub(super) fn job_with(
        &self,
        settings: &str,
        columns: &str,
        (column, field): (&str, &str),
    ) -> &Self {
        let plain = columns.split(' ').map(plain);
        let fields: Vec<(&str, String)> = plain.chain([(column, field.to_owned())]).collect();
        self.job_of(settings, &fields, "")
    }

    /// A job that may create rows: it fills what they cannot do without.
    pub(super) fn creating_job(&self, settings: &str, columns: &str) -> &Self {
        let fields: Vec<(&str, String)> = columns.split(' ').map(plain).collect();
        self.job_of(settings, &fields, self.subject.new)
    }

    /// A job of these columns, each with how it is filled, and of further lines.
    pub(super) fn job_of(&self, settings: &str, fields: &[(&str, String)], further: &str) -> &Self {
        let lines = fields
            .iter()
            .map(|(column, field)| format!("{} = {field}\n", self.subject.column(column)));
        let fields = format!("{}{further}", lines.collect::<String>());
        let job = write_back("scores", self.subject.object, settings, &fields);
        self.place.file("schedules/job.toml", &job);
        self
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Ran {
        self.place.command(arguments)
    }

    /// A run of the records that the source has now.
    pub(super) fn run(&self) -> Ran {
        self.command(&["run", "job", "--again", "--json"])
    }

    /// Panics: unless a run of the records that the source has now adds up to this.
    pub(super) fn expect_run(&self, summary: &str) -> Ran {
        let run = self.run();
        assert_eq!(run.summary(), summary, "{}: {run}", self.subject.name);
        run
    }

    pub(super) fn undo(&self, run: &Ran, arguments: &[&str]) -> Ran {
        let number = run.run().to_string();
        let all = [&["undo", &number, "--json"], arguments].concat();
        self.command(&all)
    }

    /// Panics: unless the rows hold this, sorted by the first column.
    pub(super) fn expect_held<Row>(&self, columns: &str, rows: &[Row], told: &Ran)
    where
        Row: std::fmt::Debug,
        String: PartialEq<Row>,
    {
        let held = self.held(columns);
        assert_eq!(held, rows, "{}: {told}", self.subject.name);
    }

    /// What the rows hold in these columns, `A1,10.5,low`, in the table's words.
    pub(super) fn held(&self, columns: &str) -> Vec<String> {
        let names: Vec<&str> = columns.split(' ').collect();
        let csv = match &self.subject.kind {
            Kind::Database(_) | Kind::DuckDb => {
                let server = self.place.server;
                let columns: Vec<String> = names.iter().map(|name| server.quote(name)).collect();
                let sql = format!("SELECT {} FROM accounts", columns.join(", "));
                self.place.query(&sql)
            }
            Kind::Service(service) => {
                let path = |name: &&str| service.value(self.subject.column(name));
                let values: Vec<String> = names.iter().map(path).collect();
                let sql = format!(
                    "SELECT {} FROM documents WHERE kind = '{}' AND NOT coalesce({}, 0)",
                    values.join(", "),
                    self.subject.object,
                    service.gone
                );
                self.place.query_file(service.state(), &sql)
            }
        };
        let line = |cells: &Vec<Option<String>>| {
            let values = names.iter().zip(cells);
            let values = values.map(|(name, cell)| {
                let text = cell.as_deref().unwrap_or_default();
                self.subject.told(name, text)
            });
            values.collect::<Vec<_>>().join(",")
        };
        let mut rows: Vec<String> = csv_cells(&csv).iter().skip(1).map(line).collect();
        rows.sort();
        rows
    }

    /// Somebody else writes a value into a row.
    pub(super) fn edit(&self, key: &str, column: &str, value: &str) -> &Self {
        match &self.subject.kind {
            Kind::Database(_) | Kind::DuckDb => {
                let sql = format!("UPDATE accounts SET {column} = '{value}' WHERE id = '{key}'");
                self.place.execute(&sql);
            }
            Kind::Service(service) => {
                let sql = format!(
                    "UPDATE documents SET body = json_set(body, '{}{}', {}{}) \
                     WHERE kind = '{}' AND {} = '{key}'",
                    service.path,
                    self.subject.column(column),
                    self.subject.stored(column, value),
                    service.version,
                    self.subject.object,
                    service.value(self.subject.column("id")),
                );
                self.place.execute_file(service.state(), &sql);
            }
        }
        self
    }

    /// The practice in a process of its own, among these faults.
    pub(super) fn serve(&self, faults: &str) -> Served {
        Served::among(&self.place, faults)
    }
}

fn plain(column: &str) -> (&str, String) {
    (column, format!("'{column}'"))
}

fn declared(column: &str) -> String {
    let known = TYPES.iter().find(|(name, _)| *name == column);
    let (_, kind) = known.unwrap_or_else(|| panic!("no type of `{column}`"));
    format!("{column} {kind}")
}

/// The table `accounts`, in which no score is above 100, and owners.
fn database(subject: &Subject, place: Workspace, rows: &str) -> Workspace {
    let server = place.server;
    let owners = subject.owners.expect("databases have owners");
    let [first, second] = owners.known;
    place.table(
        "owners",
        "id INTEGER PRIMARY KEY, email VARCHAR(80)",
        &format!(
            "id,email\n{},{}\n{},{}\n",
            first.0, first.1, second.0, second.1
        ),
    );
    let words = "'low', 'medium', 'high'";
    // DuckDB computes such a column whenever it is read.
    let is_duckdb = matches!(subject.kind, Kind::DuckDb);
    let stored = if is_duckdb { "" } else { " STORED" };
    let choice = place.one_of("choice", words);
    let columns = format!(
        "id VARCHAR(18) PRIMARY KEY, score DECIMAL(6,2), risk VARCHAR(16), note VARCHAR(40), \
         shared VARCHAR(40), part VARCHAR(40), stamp {}, owner INTEGER, choice {choice}, \
         band VARCHAR(20) GENERATED ALWAYS AS (note){stored}, \
         CONSTRAINT score_limit CHECK (score <= 100), FOREIGN KEY (owner) REFERENCES owners (id)",
        server.instant(),
    );
    place.table("accounts", &columns, rows);
    place
}

/// A folder `org` with descriptions, people and these rows.
fn practice(subject: &Subject, service: &Service, rows: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(service.kind);
    for file in std::fs::read_dir(fixtures).expect("fixtures") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.ends_with(".json") || name == service.people {
            place.bytes(
                &format!("org/{name}"),
                &std::fs::read(&path).expect("bytes"),
            );
        }
    }
    let mut lines = rows.lines();
    let header = lines.next().expect("a header").split(',');
    let header: Vec<&str> = header.map(|column| subject.column(column)).collect();
    let (names, values) = service.further;
    let mut records = format!("{},{},{names}\n", service.id_column, header.join(","));
    for (number, line) in (1..).zip(lines) {
        records += &format!("{},{line},{values}\n", (service.id)(number));
    }
    place.file(&format!("org/{}.csv", subject.object), &records);
    place.file("org/practice.toml", service.rules);
    place
}
