//! Where a history takes place: a table, a project that writes to it, people who do as well, and an
//! account of every change that anybody made.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::case::{Case, Change, Disturbance, Edit, Record, Shape, Trigger, key_text};
use crate::harness::{
    At, Client, Does, Fault, PASSWORD, Proxy, SCORES, Server, Workspace, csv_cells,
};

/// How many people write beside the program.
const PEOPLE: usize = 2;

/// How long a server may take to notice that the program is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// A row's cells as texts, `~` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) score: String,
    pub(crate) note: String,
    /// The stamp.
    pub(crate) run: String,
    /// Nobody maps it.
    pub(crate) phone: String,
}

impl Row {
    fn parse(text: &str) -> Self {
        let mut cells = text.split('|').map(str::to_owned);
        let mut next = || {
            cells
                .next()
                .unwrap_or_else(|| panic!("five cells in `{text}`"))
        };
        Self {
            id: next(),
            score: next(),
            note: next(),
            run: next(),
            phone: next(),
        }
    }

    /// As an expression of SQL; `of` names the row.
    fn expression(server: Server, of: &str) -> String {
        let cell = |column: &str| {
            let text = server.as_text(&format!("{of}{column}"));
            format!("coalesce({text}, '~')")
        };
        let cells = ["id", "score", "note", "run", "phone"].map(cell);
        let texts: Vec<&str> = cells.iter().flat_map(|cell| ["'|'", cell]).collect();
        server.joined(&texts[1..])
    }
}

/// A row that was changed for good, as the destination's own triggers tell.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Of the changes of one row the order in which they were made.
    pub(crate) number: u64,
    pub(crate) by_program: bool,
    /// Which row, whatever its key.
    pub(crate) row: u64,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
}

impl Entry {
    /// Whether it is about a row of this key.
    pub(crate) fn is_of(&self, id: &str) -> bool {
        [&self.before, &self.after]
            .into_iter()
            .flatten()
            .any(|row| row.id == id)
    }
}

/// The rows of the table by their own number.
pub(crate) type Rows = BTreeMap<u64, Row>;

/// A project and its destination.
pub(crate) struct Ground {
    pub(crate) place: Workspace,
    /// The user whom the program writes as, on a server that has users.
    program: String,
    pub(crate) people: Vec<Client>,
    proxy: Option<Proxy>,
    /// `writeback.toml` with one writer.
    settings: String,
}

const LIMITS: &str = "writers = 1\nattempts_max = 5\nconnect_timeout = '5s'\nstatement_timeout = '10s'\nlock_timeout = '2s'";

impl Ground {
    pub(crate) fn on(server: Server) -> Self {
        let place = Workspace::on(server);
        let mut crm = place.connection("crm");
        let mut program = String::new();
        if server != Server::Sqlite {
            program = place.new_user("runner", PASSWORD);
            place.grant_all(&program);
            crm = crm.replace("tester@", &format!("{program}@"));
        }
        place.file(
            "writeback.toml",
            &format!(
                "{}{}\n{LIMITS}\n",
                place.connection("files"),
                crm.trim_end()
            ),
        );
        let proxy = (server != Server::Sqlite).then(|| Proxy::before(&place));
        let people = (0..PEOPLE).map(|_| place.client()).collect();
        let settings = place.text("writeback.toml");
        Self {
            place,
            program,
            people,
            proxy,
            settings,
        }
    }

    /// Makes everything anew, as a case has it at first.
    pub(crate) fn prepare(&self, case: &Case) {
        let (place, server) = (&self.place, self.place.server);
        self.wait_until_alone();
        drop(std::fs::remove_dir_all(place.path(".writeback")));
        for thing in [
            "VIEW IF EXISTS seen",
            "TABLE IF EXISTS accounts",
            "TABLE IF EXISTS changes",
            "TABLE IF EXISTS journal",
        ] {
            place.execute(&format!("DROP {thing}"));
        }
        let counted = server.counted();
        place.execute(&format!(
            "CREATE TABLE accounts (rid {counted}, id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40), run BIGINT, \
             phone VARCHAR(20) DEFAULT 'none', stamped INTEGER)"
        ));
        match case.shape {
            Shape::Unique | Shape::View => {
                place.execute("CREATE UNIQUE INDEX accounts_id ON accounts (id)");
            }
            Shape::Indexed => {
                place.execute("CREATE INDEX accounts_id ON accounts (id)");
            }
            Shape::Bare => {}
        }
        let value = |row: &super::case::FirstRow| {
            format!("('{}', {}, 'I{}')", key_text(row.key), row.score, row.key)
        };
        if !case.rows.is_empty() {
            let values = case.rows.iter().map(value).collect::<Vec<_>>().join(", ");
            place.execute(&format!(
                "INSERT INTO accounts (id, score, note) VALUES {values}"
            ));
        }
        place.execute(&format!(
            "CREATE TABLE changes (number {counted}, by_program INTEGER NOT NULL, rid INTEGER NOT NULL, was VARCHAR(200), \
             becomes VARCHAR(200))"
        ));
        for statement in account(server, &self.program, case.trigger)
            .into_iter()
            .chain(trigger(server, case.trigger))
        {
            place.execute(&statement);
        }
        if case.shape == Shape::View {
            place.execute("CREATE VIEW seen AS SELECT id, score, note, run FROM accounts");
            if server == Server::Sqlite {
                place.execute(VIEW_TRIGGERS);
            }
        }
        if case.has_journal {
            place.execute(&journal(server));
        }
        place.file(
            "writeback.toml",
            &self
                .settings
                .replace("writers = 1", &format!("writers = {}", case.writers)),
        );
        place.file(
            "sql/scores.sql",
            &format!("CREATE TABLE scores ({SCORES});\n"),
        );
        let table = if case.shape == Shape::View {
            "seen"
        } else {
            "accounts"
        };
        let journal = if case.has_journal {
            "journal_table = 'journal'\n"
        } else {
            ""
        };
        let settings = format!(
            "table = '{table}'\nmatching = '{}'\nbatch_size = {}\n{journal}",
            case.mode, case.batch_size
        );
        let stamp = if case.has_stamp {
            "run = { method = 'run_id' }\n"
        } else {
            ""
        };
        place.job(
            &settings,
            &format!("id = 'id'\nscore = 'score'\nnote = 'note'\n{stamp}"),
        );
    }

    /// The records of a cycle are what the source has now.
    pub(crate) fn offer(&self, records: &[Record]) {
        let line = |record: &Record| {
            let score = record
                .score
                .map_or(String::new(), |score| score.to_string());
            format!(
                "{},{score},{}\n",
                key_text(record.key),
                record.note.as_deref().unwrap_or_default()
            )
        };
        let lines: String = records.iter().map(line).collect();
        self.place
            .file("data/scores.csv", &format!("id,score,note\n{lines}"));
    }

    /// Lets a disturbance come; returns what the program's environment is to say of it.
    pub(crate) fn arm(&self, disturbance: &Disturbance) -> Vec<(&'static str, String)> {
        let faults = match disturbance {
            Disturbance::Cut {
                connection,
                answered,
                nth,
                act,
            } => {
                let at = match answered {
                    true => At::Answered {
                        words: "COMMIT",
                        nth: *nth,
                    },
                    false => At::Asked {
                        words: "COMMIT",
                        nth: *nth,
                    },
                };
                vec![Fault {
                    connection: Some(*connection),
                    at,
                    act: *act,
                }]
            }
            Disturbance::None | Disturbance::Kill(_) => Vec::new(),
        };
        if let Some(proxy) = &self.proxy {
            proxy.arm(faults);
        }
        match disturbance {
            Disturbance::Kill(death) => vec![("WRITEBACK_ABORT_AT", death.clone())],
            Disturbance::None | Disturbance::Cut { .. } => Vec::new(),
        }
    }

    /// Waits until the server has noticed that the program is gone, and has ended what it was at.
    pub(crate) fn wait_until_alone(&self) {
        if self.place.server == Server::Sqlite {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.place.connections_of(&self.program).is_empty() {
            assert!(Instant::now() < deadline, "the program's sessions stay");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn rows(&self) -> Rows {
        let row = Row::expression(self.place.server, "");
        let cells = csv_cells(
            &self
                .place
                .query(&format!("SELECT rid, {row} AS cells FROM accounts")),
        );
        let text = |cell: &Option<String>| cell.clone().expect("no NULL");
        cells
            .iter()
            .skip(1)
            .map(|cells| (number(&cells[0]), Row::parse(&text(&cells[1]))))
            .collect()
    }

    /// All changes since the case was prepared, in their order.
    pub(crate) fn changes(&self) -> Vec<Entry> {
        let changes = self
            .place
            .query("SELECT number, by_program, rid, was, becomes FROM changes");
        let row = |cell: &Option<String>| cell.as_deref().map(Row::parse);
        let entry = |cells: &Vec<Option<String>>| Entry {
            number: number(&cells[0]),
            by_program: number(&cells[1]) == 1,
            row: number(&cells[2]),
            before: row(&cells[3]),
            after: row(&cells[4]),
        };
        let mut entries: Vec<Entry> = csv_cells(&changes).iter().skip(1).map(entry).collect();
        entries.sort_by_key(|entry| entry.number);
        entries
    }

    /// The number of the last change.
    pub(crate) fn last_change(&self) -> u64 {
        let last = self
            .place
            .query("SELECT coalesce(max(number), 0) AS n FROM changes");
        last.trim_start_matches("n\n")
            .trim()
            .parse()
            .expect("a number")
    }

    /// `RUN KEY COLUMN` → old and new value, `~` for NULL; a line that stands twice is told apart
    /// by its place.
    pub(crate) fn journal(&self) -> Vec<(u64, String, String, String, String)> {
        let rows = self.place.query(
            "SELECT run, match_key, column_name, coalesce(old_value, '~') AS o, coalesce(new_value, '~') AS n FROM journal",
        );
        let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
        let line = |cells: &Vec<Option<String>>| {
            (
                number(&cells[0]),
                text(&cells[1]),
                text(&cells[2]),
                text(&cells[3]),
                text(&cells[4]),
            )
        };
        csv_cells(&rows).iter().skip(1).map(line).collect()
    }
}

fn number(cell: &Option<String>) -> u64 {
    cell.as_deref().expect("no NULL").parse().expect("a number")
}

/// Makes somebody's edits one after the other, until the program has ended.
pub(crate) fn live(
    server: Server,
    client: &Client,
    edits: &[Edit],
    records: &[Record],
    ended: &AtomicBool,
) {
    for edit in edits {
        std::thread::sleep(Duration::from_millis(edit.pause));
        if ended.load(Ordering::Relaxed) {
            return;
        }
        make(server, client, edit, records);
    }
}

/// One transaction; what the destination refuses is left.
pub(crate) fn make(server: Server, client: &Client, edit: &Edit, records: &[Record]) {
    let begin = if server == Server::Sqlite {
        "BEGIN IMMEDIATE; UPDATE at_work SET program = 0"
    } else {
        "BEGIN"
    };
    let taken = client.tries(begin)
        && statements(edit, records)
            .iter()
            .all(|statement| client.tries(statement));
    std::thread::sleep(Duration::from_millis(edit.hold));
    let end = match (taken && edit.commits, server) {
        (true, Server::Sqlite) => "UPDATE at_work SET program = 1; COMMIT",
        (true, Server::Postgres | Server::MariaDb) => "COMMIT",
        (false, _) => "ROLLBACK",
    };
    client.tries(end);
}

fn statements(edit: &Edit, records: &[Record]) -> Vec<String> {
    let Edit {
        serial,
        change,
        key,
        ..
    } = edit;
    let id = key_text(*key);
    let note = |id: &str, mark: &str| {
        format!("UPDATE accounts SET note = '{mark}{serial}' WHERE id = '{id}'")
    };
    let insert = |score: String, note: String| {
        format!(
            "INSERT INTO accounts (id, score, note) SELECT '{id}', {score}, {note} FROM (SELECT 1 AS one) AS one \
             WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE id = '{id}')"
        )
    };
    match change {
        Change::Note => vec![note(&id, "F")],
        Change::Score => vec![format!(
            "UPDATE accounts SET score = {} WHERE id = '{id}'",
            5000 + serial
        )],
        Change::Phone => vec![format!(
            "UPDATE accounts SET phone = 'P{serial}' WHERE id = '{id}'"
        )],
        Change::Pair => vec![note(&key_text(key + 1), "F"), note(&id, "G")],
        Change::Delete => vec![format!("DELETE FROM accounts WHERE id = '{id}'")],
        Change::Insert => vec![insert((5000 + serial).to_string(), format!("'F{serial}'"))],
        Change::Twin => match records.iter().find(|record| record.key == *key) {
            Some(Record { score, note, .. }) => {
                let score = score.map_or("NULL".to_owned(), |score| score.to_string());
                let note = note
                    .as_ref()
                    .map_or("NULL".to_owned(), |note| format!("'{note}'"));
                vec![insert(score, note)]
            }
            None => Vec::new(),
        },
    }
}

/// Statements that keep an account of every change of the table.
fn account(server: Server, program: &str, trigger: Trigger) -> Vec<String> {
    let (old, new) = (
        Row::expression(server, "OLD."),
        Row::expression(server, "NEW."),
    );
    let is_file = server == Server::Sqlite;
    let by_program = match is_file {
        true => "(SELECT program FROM at_work)".to_owned(),
        false => server.is_user(program),
    };
    let noted = |row: &str, was: &str, becomes: &str| {
        format!(
            "INSERT INTO changes (by_program, rid, was, becomes) \
             VALUES ({by_program}, {row}.rid, {was}, {becomes})"
        )
    };
    // In SQLite, what a trigger alters is a change of its own.
    let (mut updated, mut whole) = ("UPDATE", "true");
    let mut statements = Vec::new();
    if is_file {
        updated = "UPDATE OF id, score, note, run, phone";
        statements.push(AT_WORK.to_owned());
    }
    if is_file && trigger == Trigger::Capitals {
        whole = "NEW.note IS upper(NEW.note) AND (SELECT rewrites FROM at_work) = 0";
        statements.push(capitals(&noted(
            "NEW",
            &old,
            &new.replace("NEW.note", "upper(NEW.note)"),
        )));
    }
    let changes = [
        (
            "account_insert",
            "INSERT",
            "true",
            noted("NEW", "NULL", &new),
        ),
        ("account_update", updated, whole, noted("NEW", &old, &new)),
        (
            "account_delete",
            "DELETE",
            "true",
            noted("OLD", &old, "NULL"),
        ),
    ];
    for (name, event, when, statement) in changes {
        let change = format!("{event} ON accounts");
        statements.push(server.trigger(name, &change, when, Does::Then(&statement)));
    }
    statements
}

/// Whether the program is at work on a file, and whether a trigger writes a row again.
const AT_WORK: &str = "DROP TABLE IF EXISTS at_work; \
     CREATE TABLE at_work (program INTEGER, rewrites INTEGER); INSERT INTO at_work VALUES (1, 0)";

/// SQLite's trigger for capitals, which can only write a row again: the account tells what came of
/// both.
fn capitals(noted: &str) -> String {
    format!(
        "CREATE TRIGGER capitals AFTER UPDATE OF id, score, note, run, phone ON accounts \
         WHEN NEW.note IS NOT upper(NEW.note) BEGIN {noted}; UPDATE at_work SET rewrites = 1; \
         UPDATE accounts SET note = upper(NEW.note) WHERE rid = NEW.rid; UPDATE at_work SET rewrites = 0; END"
    )
}

/// The trigger of a case.
fn trigger(server: Server, trigger: Trigger) -> Option<String> {
    let seen_to = "(NEW.id LIKE '%3' OR NEW.id LIKE '%7')";
    let back = format!("{seen_to} AND NEW.note LIKE 'I%' AND OLD.note NOT LIKE 'I%'");
    let closed = "it is closed";
    let (when, does) = match trigger {
        Trigger::None => return None,
        // The account of a file writes capitals itself.
        Trigger::Capitals if server == Server::Sqlite => return None,
        Trigger::Capitals => ("true", Does::Set("note", "upper(NEW.note)")),
        Trigger::Counts => ("true", Does::Set("stamped", "coalesce(OLD.stamped, 0) + 1")),
        Trigger::Refuses => (seen_to, Does::Refuse(closed)),
        Trigger::RefusesBack => (&*back, Does::Refuse(closed)),
        Trigger::Ignores => (seen_to, Does::Skip),
    };
    Some(server.trigger("see_to", "UPDATE ON accounts", when, does))
}

const VIEW_TRIGGERS: &str = "CREATE TRIGGER seen_update INSTEAD OF UPDATE ON seen BEGIN \
     UPDATE accounts SET score = NEW.score, note = NEW.note, run = NEW.run WHERE id = OLD.id; END; \
     CREATE TRIGGER seen_insert INSTEAD OF INSERT ON seen BEGIN \
     INSERT INTO accounts (id, score, note, run) VALUES (NEW.id, NEW.score, NEW.note, NEW.run); END; \
     CREATE TRIGGER seen_delete INSTEAD OF DELETE ON seen BEGIN DELETE FROM accounts WHERE id = OLD.id; END";

/// The statement that makes the journal.
fn journal(server: Server) -> String {
    let (text, moment) = (server.long_text(), server.timestamp());
    let texts = [
        "job",
        "write_back",
        "cycle",
        "object",
        "match_key",
        "column_name",
        "change_kind",
    ];
    let texts = texts
        .map(|name| format!("{name} {text} NOT NULL"))
        .join(", ");
    format!(
        "CREATE TABLE journal (run bigint NOT NULL, {texts}, old_value {text}, new_value {text}, \
         written_at {moment} NOT NULL)"
    )
}
