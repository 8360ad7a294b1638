//! Settings of servers, databases and users that would change what is read or written: a run is
//! exact all the same, or refuses before it writes anything.

use std::fmt::Write as _;

use crate::harness::{FIELDS, PASSWORD, SCORES, Server, Workspace};

/// Records of the tests that count them.
const RECORDS: usize = 3_000;

/// `SET GLOBAL` statements that would cut, round, hide or refuse.
const HOSTILE: [&str; 16] = [
    "sql_select_limit = 10",
    "max_join_size = 1",
    "group_concat_max_len = 4",
    "max_recursive_iterations = 3",
    "sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'",
    "sql_auto_is_null = ON",
    "sql_safe_updates = ON",
    "sql_notes = OFF",
    "note_verbosity = ''",
    "max_error_count = 0",
    "completion_type = 'RELEASE'",
    "autocommit = OFF",
    "foreign_key_checks = OFF",
    "check_constraint_checks = OFF",
    "time_zone = '+05:30'",
    "idle_write_transaction_timeout = 1",
];

/// A MariaDB server of its own.
fn hostile() -> Workspace {
    let place = Workspace::on_its_own(Server::MariaDb);
    for setting in HOSTILE {
        place.execute(&format!("SET GLOBAL {setting}"));
    }
    place
}

#[test]
fn no_setting_of_mariadb_changes_what_is_read() {
    let place = hostile();
    place.table("accounts", SCORES, "id,score,note\n");
    place.execute(&format!(
        "CREATE TABLE scores (id CHAR(8) PRIMARY KEY, score INTEGER, note VARCHAR(40)); \
         INSERT INTO scores SELECT CONCAT('A', seq), seq, 'x' FROM seq_1_to_{RECORDS}"
    ));
    place
        .scores(SCORES, "")
        .job("source = 'crm'\nmatching = 'upsert'", FIELDS);
    let all = format!("{RECORDS} read = {RECORDS} inserted");
    let run = place.run();
    assert_eq!(run.summary(), all, "{run}");
    assert_eq!(
        place.query("SELECT CAST(COUNT(*) AS CHAR) AS n FROM accounts WHERE id LIKE '% '"),
        "n\n0\n"
    );

    let model = "SELECT 'A1' AS id, MAX(n) AS score, GROUP_CONCAT(n ORDER BY n) AS note FROM \
                 (WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 12) SELECT n FROM c) AS counted";
    place.file(
        "sql/scores.sql",
        &format!("CREATE TABLE scores ({SCORES});\n{model};\n"),
    );
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert_eq!(
        place.query("SELECT * FROM accounts WHERE id = 'A1'"),
        "id,score,note\nA1,12,\"1,2,3,4,5,6,7,8,9,10,11,12\"\n"
    );
}

#[test]
fn no_setting_of_mariadb_changes_what_is_written() {
    let place = hostile();
    place.execute(
        "CREATE TABLE owners (id VARCHAR(18) PRIMARY KEY); INSERT INTO owners VALUES ('O1')",
    );
    place.table(
        "accounts",
        "id VARCHAR(18) PRIMARY KEY, owner VARCHAR(18), score DECIMAL(6,2), low INTEGER CHECK (low < 10), \
         at TIMESTAMP NULL, FOREIGN KEY (owner) REFERENCES owners (id)",
        "id\nA1\nA2\nA3\n",
    );
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, owner VARCHAR(18), score DECIMAL(6,2), low INTEGER, at TIMESTAMP WITH TIME ZONE",
        "id,owner,score,low,at\nA1,O1,1.25,1,2026-11-15T06:30:00Z\nA2,O9,1.25,1,\nA3,O1,1.25,11,\n",
    );
    place.job(
        "",
        "id = 'id'\nowner = 'owner'\nscore = 'score'\nlow = 'low'\nat = 'at'",
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected", "{run}");
    let epoch = "SELECT id, score, CAST(UNIX_TIMESTAMP(at) AS CHAR) AS at FROM accounts WHERE owner IS NOT NULL";
    assert_eq!(place.query(epoch), "id,score,at\nA1,1.25,1794724200\n");
    assert_eq!(
        place.command(&["undo", "1", "--json"]).summary(),
        "1 read = 1 updated"
    );
    assert_eq!(
        place.query(epoch),
        "\n",
        "committed, though the server's commits would end connections"
    );
}

#[test]
fn rows_as_they_once_were_are_not_read_for_those_of_now() {
    let place = Workspace::on_its_own(Server::MariaDb);
    place.table("accounts", SCORES, "id,score,note\nA1,1,\n");
    place.execute(
        "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40)) WITH SYSTEM VERSIONING",
    );
    place.execute("INSERT INTO scores VALUES ('A1', 2, 'x')");
    place.scores(SCORES, "").job("source = 'crm'", FIELDS);
    place.execute("SET GLOBAL system_versioning_asof = '2001-01-01 00:00:00'");
    let run = place.command(&["run", "job", "--json"]);
    match run.code {
        0 => assert_eq!(place.rows("accounts"), "id,score,note\nA1,2,x\n"),
        _ => {
            assert_eq!(run.code, 2, "{run}");
            assert!(run.stderr.contains("system_versioning_asof"), "{run}");
            assert_eq!(place.rows("accounts"), "id,score,note\nA1,1,\n");
        }
    }
}

/// Settings of a database that would spell, cut or reinterpret.
const MISLEADING: [&str; 12] = [
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "timezone = 'Asia/Kolkata'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "transform_null_equals = on",
    "exit_on_error = on",
    "synchronous_commit = off",
    "session_replication_role = replica",
    "default_transaction_isolation = 'serializable'",
];

#[test]
fn no_setting_of_a_postgresql_database_changes_what_is_read_or_written() {
    let place = Workspace::on(Server::Postgres);
    place.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')");
    place.execute(
        "CREATE TABLE owners (id VARCHAR(18) PRIMARY KEY); INSERT INTO owners VALUES ('O1')",
    );
    let columns = "id VARCHAR(18) PRIMARY KEY, owner VARCHAR(18), score DOUBLE PRECISION, mood {mood}, day DATE, \
                   at TIMESTAMP WITH TIME ZONE";
    let with_mood = |mood: &str| columns.replace("{mood}", mood);
    place.table("accounts", &with_mood("mood"), "id\nA1\nA2\n");
    place.execute("ALTER TABLE accounts ADD FOREIGN KEY (owner) REFERENCES owners (id)");
    place.table(
        "scores",
        &with_mood("mood"),
        "id,owner,score,mood,day,at\n\
        A1,O1,0.1234567890123456,glad,2026-03-04,2026-11-15 06:30:00+00\nA2,O9,1,sad,2026-03-04,\n",
    );
    place.file(
        "sql/scores.sql",
        &format!("CREATE TABLE scores ({});\n", with_mood("VARCHAR(8)")),
    );
    for setting in MISLEADING {
        place.execute(&format!(
            "ALTER DATABASE {} SET {setting}",
            place.database_name()
        ));
    }
    let fields =
        "id = 'id'\nowner = 'owner'\nscore = 'score'\nmood = 'mood'\nday = 'day'\nat = 'at'";
    place.job("source = 'crm'", fields);
    assert_eq!(
        place.run().summary(),
        "2 read = 1 updated + 1 rejected",
        "foreign keys are checked"
    );
    let same = "SELECT a.id FROM accounts AS a JOIN scores AS s ON a = s WHERE a.owner = 'O1'";
    assert_eq!(place.query(same), "id\nA1\n");
    assert_eq!(place.run().summary(), "2 read = 1 unchanged + 1 rejected");
    assert_eq!(
        place.command(&["undo", "1", "--json"]).summary(),
        "1 read = 1 updated"
    );
}

#[test]
fn a_function_of_the_user_s_does_not_take_the_place_of_the_server_s() {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note\nA1,1,\n",
        "id,score,note\nA1,2,x\n",
    );
    let database = place.database_name();
    place.execute("CREATE AGGREGATE count(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '1000')");
    place.execute(&format!(
        "ALTER DATABASE {database} SET search_path = public, pg_catalog"
    ));
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert_eq!(
        place.rows("accounts"),
        "id,score,note,phone\nA1,2,x,unknown\n"
    );
}

/// A superuser may have set for a user what that user may not take back.
#[test]
fn a_user_whose_triggers_are_turned_off_is_refused() {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note\nA1,1,\n",
        "id,score,note\nA1,2,x\n",
    );
    let user = format!("writer_{}", place.database_name());
    place.execute(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'writer'; GRANT ALL ON accounts TO {user}; \
         ALTER ROLE {user} SET session_replication_role = replica"
    ));
    let crm = format!(
        "[connections.crm]\nurl = \"{}\"\npassword = {{ env = 'WRITER' }}\n",
        place.url(&user)
    );
    place.file("writeback.toml", &(place.connection("files") + &crm));
    for arguments in [&["check"][..], &["run", "job"]] {
        let ran = place.command_with(arguments, &[("WRITER", "writer")]);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("session_replication_role"), "{ran}");
        assert!(
            ran.stderr.contains(&format!("ALTER ROLE \"{user}\" RESET")),
            "{ran}"
        );
    }
    assert_eq!(place.query("SELECT score FROM accounts"), "score\n1\n");
}

/// `pgbouncer` before a project's server, in a pool mode, with this many sessions of the server.
struct Pool {
    child: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Pool {
    fn before(place: &Workspace, mode: &str, sessions: usize, further: &str) -> Self {
        let folder = tempfile::TempDir::new().expect("a folder");
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("an address").port()
        };
        let mut settings = String::new();
        let password = PASSWORD.replace('\'', "''");
        write!(
            settings,
            "[databases]\n* = host=127.0.0.1 port={} user=tester password='{password}'\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             default_pool_size = {sessions}\nignore_startup_parameters = extra_float_digits\n{further}\n",
            place.port()
        )
        .expect("a text");
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("a file");
        let mut command = std::process::Command::new("sh");
        // It refuses to run as root.
        let start = "PATH=\"$PATH:/usr/sbin:/usr/local/sbin\"; as=; \
                     if [ \"$(id -u)\" = 0 ]; then chown -R postgres \"$(dirname \"$1\")\"; as='-u postgres'; fi; \
                     exec pgbouncer -q $as \"$1\"";
        command.args(["-c", start, "sh"]).arg(&file);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let pool = Self {
            child: command.spawn().expect("`sh` starts"),
            _folder: folder,
        };
        crate::harness::wait_until("the pool listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let settings = place.text("writeback.toml");
        place.file(
            "writeback.toml",
            &settings.replace(&format!(":{}/", place.port()), &format!(":{port}/")),
        );
        pool
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_pool_that_gives_each_transaction_another_session_is_refused() {
    for further in ["", "server_round_robin = 1"] {
        let place = Workspace::accounts(
            Server::Postgres,
            "id,score,note\nA1,1,\n",
            "id,score,note\nA1,2,x\n",
        );
        let _pool = Pool::before(&place, "transaction", 20, further);
        for arguments in [
            &["check"][..],
            &["run", "job"],
            &["schema", "crm", "accounts"],
        ] {
            let ran = place.command(arguments);
            assert_eq!(ran.code, 2, "{further}: {ran}");
            assert!(
                ran.stderr
                    .contains("a pool in between gives each transaction another session"),
                "{further}: {ran}"
            );
            assert!(
                ran.stderr
                    .contains("name the server itself, or a pool in session mode"),
                "{further}: {ran}"
            );
        }
        assert_eq!(place.query("SELECT score FROM accounts"), "score\n1\n");
    }
}

#[test]
fn so_is_one_with_a_single_session() {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note\nA1,1,\n",
        "id,score,note\nA1,2,x\n",
    );
    let settings = format!(
        "{}\nconnect_timeout = '2s'\n",
        place.connection("crm").trim_end()
    );
    place.file("writeback.toml", &(place.connection("files") + &settings));
    let _pool = Pool::before(&place, "transaction", 1, "");
    let ran = place.command(&["run", "job"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr
            .contains("while looking for a pool between here and the server"),
        "{ran}"
    );
    assert_eq!(place.query("SELECT score FROM accounts"), "score\n1\n");
}

#[test]
fn a_pool_in_session_mode_is_as_good_as_the_server() {
    let place = Workspace::accounts(
        Server::Postgres,
        "id,score,note\nA1,1,\n",
        "id,score,note\nA1,2,x\n",
    );
    let _pool = Pool::before(&place, "session", 20, "");
    assert_eq!(place.command(&["check"]).code, 0);
    assert_eq!(place.run().summary(), "1 read = 1 updated");
    assert_eq!(place.run().summary(), "1 read = 1 unchanged");
}
