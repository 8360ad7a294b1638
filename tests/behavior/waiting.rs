//! Somebody edits a row while a run is at work. What the run then writes over is what they left:
//! its undo brings that back.

use crate::harness::{FIELDS, PASSWORD, Ran, SCORES, Server, Workspace};

/// What a write-back goes to, and what finds a row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Unique,
    Index,
    NoIndex,
    View,
    /// Shows groups of rows and is written through a trigger.
    Groups,
    /// Shows rows by a common table expression, into which no lock of rows reaches, and is written
    /// through a trigger.
    Expression,
    /// Shows groups of rows and is written by a rule.
    Rule,
    Partitions,
    Heirs,
    /// A table of another server.
    Foreign,
}

const EVERYWHERE: [Object; 4] = [Object::Unique, Object::Index, Object::NoIndex, Object::View];
const IN_POSTGRES: [Object; 6] = [
    Object::Groups,
    Object::Expression,
    Object::Rule,
    Object::Partitions,
    Object::Heirs,
    Object::Foreign,
];

fn objects(server: Server) -> Vec<Object> {
    let own = if server == Server::Postgres {
        IN_POSTGRES.as_slice()
    } else {
        &[]
    };
    EVERYWHERE.iter().chain(own).copied().collect()
}

/// Through one writer, from a source that makes 2 of every score.
const WRITTEN: &str = "A1,2,\nA2,2,\nA3,2,\n";

impl Object {
    /// The rows in `accounts`, and the object, which the job writes to, before them.
    fn place(self, server: Server, rows: &str) -> Workspace {
        let place = Workspace::on(server);
        let end = if matches!(self, Self::Index | Self::NoIndex | Self::Heirs) {
            ""
        } else {
            ", PRIMARY KEY (id)"
        };
        let columns = format!(
            "id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40), phone VARCHAR(20){end}"
        );
        let others: String = (0..1000).map(|id| format!("Z{id},1,,\n")).collect();
        let rows = format!("id,score,note,phone\n{rows}{others}");
        let table = if self == Self::Partitions {
            "filled"
        } else {
            "accounts"
        };
        place
            .table(table, &columns, &rows)
            .scores(SCORES, &format!("id,score,note\n{WRITTEN}"));
        let made = self.made(&place);
        if !made.is_empty() {
            place.execute(&made);
        }
        let crm =
            place.connection("crm").trim_end().to_owned() + "\nwriters = 1\nlock_timeout = '60s'\n";
        place.file("writeback.toml", &(place.connection("files") + &crm));
        place
    }

    fn made(self, place: &Workspace) -> String {
        let written = "UPDATE accounts SET score = new.score, note = new.note WHERE id = old.id";
        let trigger = format!(
            "CREATE FUNCTION write_object() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {written}; RETURN new; END $$; \
             CREATE TRIGGER write_object INSTEAD OF UPDATE OR DELETE ON object FOR EACH ROW EXECUTE FUNCTION write_object()"
        );
        let groups = "SELECT id, max(score) AS score, max(note) AS note FROM accounts GROUP BY id";
        match self {
            Self::Unique | Self::NoIndex => String::new(),
            Self::Index => "CREATE INDEX by_id ON accounts (id)".to_owned(),
            Self::View => "CREATE VIEW object AS SELECT id, score, note FROM accounts WHERE id < 'Z5'".to_owned(),
            Self::Groups => format!("CREATE VIEW object AS {groups}; {trigger}"),
            Self::Expression => {
                let expression = "WITH a AS MATERIALIZED (SELECT * FROM accounts) SELECT id, score, note FROM a";
                format!("CREATE VIEW object AS {expression}; {trigger}")
            }
            Self::Rule => {
                format!(
                    "CREATE VIEW object AS {groups}; CREATE RULE u AS ON UPDATE TO object DO INSTEAD {written}; \
                     CREATE RULE d AS ON DELETE TO object DO INSTEAD NOTHING"
                )
            }
            Self::Partitions => "CREATE TABLE accounts (LIKE filled) PARTITION BY LIST (left(id, 1)); \
                 CREATE TABLE first PARTITION OF accounts FOR VALUES IN ('A'); \
                 CREATE TABLE others PARTITION OF accounts DEFAULT; INSERT INTO accounts SELECT * FROM filled"
                .to_owned(),
            Self::Heirs => "CREATE TABLE heirs () INHERITS (accounts); \
                 WITH moved AS (DELETE FROM ONLY accounts WHERE id = 'A2' RETURNING *) INSERT INTO heirs SELECT * FROM moved"
                .to_owned(),
            Self::Foreign => format!(
                "CREATE EXTENSION postgres_fdw; \
                 CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw \
                 OPTIONS (host '127.0.0.1', port '{}', dbname '{}'); \
                 CREATE USER MAPPING FOR tester SERVER far OPTIONS (user 'tester', password '{PASSWORD}'); \
                 CREATE FOREIGN TABLE object (id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40)) \
                 SERVER far OPTIONS (table_name 'accounts')",
                place.port(),
                place.database_name()
            ),
        }
    }

    fn job(self, place: &Workspace, settings: &str, fields: &str) {
        let table = match self {
            Self::Unique | Self::Index | Self::NoIndex | Self::Partitions | Self::Heirs => {
                "accounts"
            }
            Self::View | Self::Groups | Self::Expression | Self::Rule | Self::Foreign => "object",
        };
        place.job(&format!("table = '{table}'\n{settings}"), fields);
    }
}

const ROWS: &str = "A1,1,,\nA2,1,,\nA3,1,,\n";

/// What the accounts hold whose names begin with an `A`.
fn held(place: &Workspace) -> String {
    let held = place.query("SELECT id, score, note FROM accounts WHERE id < 'B'");
    held.strip_prefix("id,score,note\n")
        .unwrap_or_default()
        .to_owned()
}

/// Runs the job while somebody, whom it has to wait for, edits what `A2` holds.
fn run_during(place: &Workspace, edit: &str) -> Ran {
    command_during(place, edit, &["run", "job", "--json"])
}

#[test]
fn an_edit_that_a_run_waits_for_is_what_its_undo_brings_back() {
    for server in Server::WITH_USERS {
        for object in objects(server) {
            let label = format!("{object:?} on {server}");
            let place = object.place(server, ROWS);
            object.job(&place, "", FIELDS);
            let ran = run_during(&place, "score = 99, note = 'mine'");
            assert_eq!(ran.summary(), "3 read = 3 updated", "{label}: {ran}");
            assert_eq!(held(&place), WRITTEN, "{label}");
            let undone = place.command(&["undo", "1", "--json"]);
            assert_eq!(undone.summary(), "3 read = 3 updated", "{label}: {undone}");
            assert_eq!(held(&place), "A1,1,\nA2,99,mine\nA3,1,\n", "{label}");
        }
    }
}

#[test]
fn an_edit_is_brought_back_that_a_run_waits_for_where_few_records_differ() {
    for server in Server::WITH_USERS {
        for object in objects(server) {
            let label = format!("{object:?} on {server}");
            let rows = "A1,2,,\nA11,2,,\nA12,2,,\nA13,2,,\nA2,1,,\nA3,2,,\nA4,2,,\nA5,2,,\n";
            let place = object.place(server, rows);
            object.job(&place, "batch_size = 4", FIELDS);
            let source = rows.replace(",1,,", ",2,,").replace(",,\n", ",\n");
            place.file("data/scores.csv", &format!("id,score,note\n{source}"));
            let ran = run_during(&place, "score = 99");
            assert_eq!(
                ran.summary(),
                "8 read = 1 updated + 7 unchanged",
                "{label}: {ran}"
            );
            assert_eq!(held(&place), source, "{label}");
            let undone = place.command(&["undo", "1", "--json"]);
            assert_eq!(undone.summary(), "1 read = 1 updated", "{label}: {undone}");
            assert_eq!(held(&place), source.replace("A2,2", "A2,99"), "{label}");
        }
    }
}

#[test]
fn an_edit_that_makes_a_record_needless_leaves_its_row_as_it_is() {
    for server in Server::WITH_USERS {
        for object in objects(server) {
            for settings in ["", "keep_before_images = false"] {
                let label = format!("{object:?} on {server} {settings}");
                let place = object.place(server, &ROWS.replace("A2,1", "A2,"));
                let fields =
                    "id = 'id'\nscore = { column = 'score', when = 'if_empty' }\nnote = 'note'";
                object.job(&place, settings, fields);
                let ran = run_during(&place, "score = 99");
                assert_eq!(ran.summary(), "3 read = 3 unchanged", "{label}: {ran}");
                assert_eq!(held(&place), "A1,1,\nA2,99,\nA3,1,\n", "{label}");
            }
        }
    }
}

/// Runs the program while somebody, whom it has to wait for, edits what `A2` holds.
fn command_during(place: &Workspace, edit: &str, arguments: &[&str]) -> Ran {
    place.execute(&format!(
        "BEGIN; UPDATE accounts SET {edit} WHERE id = 'A2'"
    ));
    let child = place.start(arguments);
    place.wait_for_its_waiting();
    place.execute("COMMIT");
    Ran::of(arguments, &child.wait_with_output().expect("it ends"))
}

#[test]
fn an_edit_that_a_plan_or_an_undo_waits_for_is_kept() {
    for server in Server::WITH_USERS {
        for object in objects(server) {
            let label = format!("{object:?} on {server}");
            let place = object.place(server, ROWS);
            object.job(&place, "", FIELDS);
            place.command(&["preview", "job", "--out", "job.plan"]);
            let applied = command_during(
                &place,
                "score = 99",
                &["run", "job", "--plan", "job.plan", "--json"],
            );
            assert_eq!(
                applied.summary(),
                "3 read = 2 updated + 1 skipped",
                "{label}: {applied}"
            );
            assert_eq!(held(&place), "A1,2,\nA2,99,\nA3,2,\n", "{label}");
            assert_eq!(
                place.run().summary(),
                "3 read = 1 updated + 2 unchanged",
                "{label}"
            );
            let undone = command_during(&place, "score = 77", &["undo", "2", "--json"]);
            assert_eq!(undone.summary(), "1 read = 1 skipped", "{label}: {undone}");
            assert_eq!(held(&place), "A1,2,\nA2,77,\nA3,2,\n", "{label}");
        }
    }
}

#[test]
fn a_test_of_one_record_shows_the_edit_that_it_waited_for() {
    for server in Server::WITH_USERS {
        // A test is one attempt, and a transaction with another server ends when a row of its
        // snapshot is edited.
        for object in objects(server)
            .into_iter()
            .filter(|object| *object != Object::Foreign)
        {
            let label = format!("{object:?} on {server}");
            let place = object.place(server, ROWS);
            object.job(&place, "", FIELDS);
            let ran = command_during(
                &place,
                "score = 99",
                &["test", "job", "--record", "A2", "--json"],
            );
            let columns = ran.json()["records"][0]["columns"]
                .as_array()
                .expect("columns")
                .clone();
            let score = columns
                .iter()
                .find(|column| column["column"] == "score")
                .expect("the score");
            assert_eq!(
                (&score["before"], &score["after"]),
                (&"99".into(), &"2".into()),
                "{label}: {ran}"
            );
        }
    }
}

#[test]
fn a_user_who_may_not_lock_what_must_be_locked_whole_is_told_before_anything_is_written() {
    let object = Object::Groups;
    let place = object.place(Server::Postgres, ROWS);
    object.job(&place, "", FIELDS);
    let user = format!("writer_{}", place.database_name());
    place.execute(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'writer'; GRANT SELECT, UPDATE (score, note) ON object TO {user}"
    ));
    let crm = format!(
        "[connections.crm]\nurl = \"{}\"\npassword = {{ env = 'WRITER_PASSWORD' }}\n",
        place.url(&user)
    );
    place.file("writeback.toml", &(place.connection("files") + &crm));
    let check = place.command_with(&["check"], &[("WRITER_PASSWORD", "writer")]);
    let told = "`public.object` is a view whose rows can only be locked all together, and the user may not lock them";
    assert!(check.code == 2 && check.stderr.contains(told), "{check}");
    place.execute(&format!(
        "GRANT UPDATE ON object TO {user}; GRANT UPDATE, SELECT ON accounts TO {user}"
    ));
    let ran = place.command_with(&["run", "job", "--json"], &[("WRITER_PASSWORD", "writer")]);
    assert_eq!(ran.summary(), "3 read = 3 updated", "{ran}");
}

#[test]
fn rows_that_two_may_create_at_once_are_warned_of_until_the_proposed_index_is_there() {
    for server in Server::ALL {
        for mode in ["upsert", "create_only"] {
            let place = Workspace::on(server);
            place.table(
                "accounts",
                "id VARCHAR(18), score INTEGER, note VARCHAR(40)",
                "id,score,note\nA1,1,\n",
            );
            place
                .scores(SCORES, "id,score,note\nA1,2,x\n")
                .execute("CREATE INDEX by_id ON accounts (id)");
            place.job(&format!("matching = '{mode}'"), FIELDS);
            let check = place.command(&["check"]);
            let mut lines = check
                .stderr
                .lines()
                .skip_while(|line| !line.contains("a row that somebody else creates"));
            assert!(
                check.code == 0 && lines.next().is_some(),
                "{mode} on {server}: {check}"
            );
            place.execute(
                lines
                    .next()
                    .and_then(|hint| hint.trim().strip_prefix("hint: "))
                    .expect("a hint"),
            );
            let check = place.command(&["check"]);
            assert_eq!(
                (check.code, check.stderr.as_str()),
                (0, ""),
                "{mode} on {server}: {check}"
            );
        }
    }
}
