//! Rows hold values that the database would not take today, or that no source can bring: an undo
//! writes them back as they were, or leaves what is there alone and says so.

use crate::harness::{Ran, SCORES, Server, Workspace};

fn undo(place: &Workspace, run: i64) -> Ran {
    place.command(&["undo", &run.to_string(), "--json"])
}

/// A place whose `accounts` have these columns beside `id`, these rows in SQL, and a job that
/// writes `then` into every row.
struct Held {
    server: Server,
    schema: &'static str,
    table: &'static str,
    rows: &'static [&'static str],
    names: &'static [&'static str],
    then: &'static str,
    /// Tells values apart to the last bit.
    exactly: &'static str,
}

impl Held {
    fn place(&self, key: &str) -> Workspace {
        let place = Workspace::on(self.server);
        if self.server == Server::MariaDb {
            place.execute("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'");
        }
        place.execute(&format!(
            "CREATE TABLE accounts (id VARCHAR(18) NOT NULL, {}{key})",
            self.table
        ));
        for (row, values) in self.rows.iter().enumerate() {
            place.execute(&format!("INSERT INTO accounts VALUES ('A{row}', {values})"));
        }
        let lines: String = (0..self.rows.len())
            .map(|row| format!("A{row},{}\n", self.then))
            .collect();
        place.scores(
            &format!("id VARCHAR(18) PRIMARY KEY, {}", self.schema),
            &format!("id,{}\n{lines}", self.names.join(",")),
        );
        let fields: String = self
            .names
            .iter()
            .map(|name| format!("{name} = '{name}'\n"))
            .collect();
        place.job("", &format!("id = 'id'\n{fields}"));
        place
    }

    fn expect_all_back(&self) {
        for key in [", PRIMARY KEY (id)", ""] {
            let label = format!("on {} with {key:?}", self.server);
            let place = self.place(key);
            let exactly = || place.query(&format!("SELECT id, {} FROM accounts", self.exactly));
            let (before, count) = (exactly(), self.rows.len());
            let whole = format!("{count} read = {count} updated");
            let run = place.run();
            assert_eq!(run.summary(), whole, "{label}: {run}");
            let after = exactly();
            for (run, expected) in [(1, &before), (2, &after), (3, &before)] {
                let undone = undo(&place, run);
                let rejected = if undone.code == 1 {
                    place.rejected(undone.run())
                } else {
                    String::new()
                };
                assert_eq!(undone.summary(), whole, "{label}: {undone}{rejected}");
                assert_eq!(exactly(), *expected, "{label}: {undone}");
            }
            place.command(&["preview", "job", "--out", "job.plan"]);
            let planned = place.command(&["run", "job", "--plan", "job.plan", "--json"]);
            assert_eq!(
                (planned.summary(), exactly()),
                (whole.clone(), after.clone()),
                "{label}: {planned}"
            );
            assert_eq!(
                undo(&place, planned.run()).summary(),
                whole,
                "a plan's undo {label}"
            );
            assert_eq!(exactly(), before, "{label}");
        }
    }
}

#[test]
fn what_a_laxer_mode_let_in_comes_back_in_mariadb() {
    let held = Held {
        server: Server::MariaDb,
        schema: "day DATE, moment TIMESTAMP, stamp TIMESTAMP WITH TIME ZONE, clock TIME, label TEXT, must DATE",
        table: "day DATE, moment DATETIME(6), stamp TIMESTAMP(6) NULL, clock TIME(6), label ENUM('a', 'b'), must DATE NOT NULL",
        rows: &[
            "'0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '-838:59:59', '', '0000-00-00'",
            "'2020-00-15', '2020-00-15 12:00:00.5', '2020-01-01 00:00:00', '838:59:59', 'a', '2020-00-15'",
            "'2020-02-31', '2020-02-31 12:00:00', NULL, '24:00:00', 'b', '2020-02-31'",
            "'0000-01-01', '2020-06-00 00:00:00.000001', '1970-01-01 00:00:01', '00:00:00', NULL, '2020-01-01'",
            "NULL, NULL, '2038-01-19 03:14:07.999999', NULL, 'b', '0000-00-00'",
        ],
        names: &["day", "moment", "stamp", "clock", "label", "must"],
        then: "2001-01-01,2001-01-01 00:00:00,2001-01-01 00:00:00Z,11:11:11,a,2001-01-01",
        exactly: "day, moment, stamp, clock, label, label + 0 AS n, must",
    };
    held.expect_all_back();
}

#[test]
fn a_date_that_is_none_stays_where_it_is_kept_in_mariadb() {
    let held = Held {
        server: Server::MariaDb,
        schema: "day DATE, moment TIMESTAMP, stamp TIMESTAMP WITH TIME ZONE, score INTEGER",
        table: "day DATE, moment DATETIME(6), stamp TIMESTAMP(6) NULL, score INTEGER",
        rows: &["'0000-00-00', '2020-02-31 12:00:00', '0000-00-00 00:00:00', 1"],
        names: &["day", "moment", "stamp", "score"],
        then: ",,,7",
        exactly: "CAST(day AS CHAR) AS day, CAST(moment AS CHAR) AS moment, CAST(stamp AS CHAR) AS stamp",
    };
    let fields = |settings: &str| {
        let moments = ["day", "moment", "stamp"]
            .map(|name| format!("{name} = {{ column = '{name}'{settings} }}\n"));
        format!("id = 'id'\nscore = 'score'\n{}", moments.concat())
    };
    for key in [", PRIMARY KEY (id)", ""] {
        let place = held.place(key);
        let exactly = || place.query(&format!("SELECT {} FROM accounts", held.exactly));
        let before = exactly();
        place.job("nulls = 'keep'", &fields(""));
        assert_eq!(place.run().summary(), "1 read = 1 updated");
        assert_eq!(exactly(), before, "NULLs keep, {key:?}");
        place.job("", &fields(", when = 'if_empty'")).file(
            "data/scores.csv",
            "id,day,moment,stamp,score\nA0,2001-01-01,2001-01-01 00:00:00,2001-01-01 00:00:00Z,8\n",
        );
        assert_eq!(place.run().summary(), "1 read = 1 updated");
        assert_eq!(exactly(), before, "what is filled is not empty, {key:?}");
        assert_eq!(place.query("SELECT score FROM accounts"), "score\n8\n");
    }
}

#[test]
fn what_no_source_can_bring_comes_back_in_postgres() {
    let held = Held {
        server: Server::Postgres,
        schema: "day DATE, moment TIMESTAMP, stamp TIMESTAMP WITH TIME ZONE, clock TIME, n DECIMAL, d DOUBLE PRECISION, \
                 r REAL, c TEXT, j JSON",
        table: "day DATE, moment TIMESTAMP, stamp TIMESTAMPTZ, clock TIME, n NUMERIC, d DOUBLE PRECISION, r REAL, \
                c CHAR(5), j JSONB",
        rows: &[
            "'infinity', 'infinity', 'infinity', '24:00:00', 'NaN', 'NaN', 'NaN', 'ab', '{\"b\": 1.50, \"a\": null}'",
            "'-infinity', '-infinity', '-infinity', '00:00:00', 'Infinity', 'Infinity', '-Infinity', '', '1e400'",
            "'0044-03-15 BC', '4713-01-01 00:00:00.000001 BC', '4713-01-01 00:00:00 BC', '23:59:59.999999', \
             '-Infinity', '-0', '-0', 'äöü', '\"x\"'",
            "'5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', NULL, \
             '1e-400', '5e-324', '1e-45', NULL, '[]'",
        ],
        names: &["day", "moment", "stamp", "clock", "n", "d", "r", "c", "j"],
        then: "2001-01-01,2001-01-01 00:00:00,2001-01-01 00:00:00Z,11:11:11,1,1,1,new,{}",
        exactly: "day, moment, stamp, clock, n, encode(float8send(d), 'hex') AS d, encode(float4send(r), 'hex') AS r, c, j",
    };
    held.expect_all_back();
}

const ODD: &[&str] = &[
    "'five', X'00FF', CAST(X'FF41' AS TEXT), 'not a day', 3.5",
    "5.5, 'say' || char(0), X'', 20260101, 'yes'",
    "'5', CAST(X'C328' AS TEXT), CAST(X'00' AS TEXT), X'FF', -7",
    "9e999, -9e999, 'plain', '', '1'",
    "X'78', X'62', CAST(X'80' AS TEXT), NULL, CAST(X'FE' AS TEXT)",
];

#[test]
fn what_a_column_was_not_made_for_comes_back_in_sqlite() {
    let held = Held {
        server: Server::Sqlite,
        schema: "n INTEGER, a TEXT, t TEXT, day DATE, flag BOOLEAN",
        table: "n INTEGER, a, t TEXT, day DATE, flag BOOLEAN",
        rows: ODD,
        names: &["n", "a", "t", "day", "flag"],
        then: "77,w,w,2001-01-01,true",
        exactly: "typeof(n) || hex(n) || quote(n) AS n, typeof(a) || hex(a) AS a, typeof(t) || hex(t) AS t, \
                  typeof(day) || hex(day) AS day, typeof(flag) || hex(flag) AS flag",
    };
    held.expect_all_back();
}

#[test]
fn any_value_of_a_strict_table_comes_back_in_sqlite() {
    let place = Workspace::on(Server::Sqlite);
    place.execute(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, a ANY, t TEXT) STRICT, WITHOUT ROWID",
    );
    for (row, a) in [
        "5",
        "'5'",
        "5.0",
        "X'78FF'",
        "CAST(X'FF41' AS TEXT)",
        "NULL",
        "''",
    ]
    .iter()
    .enumerate()
    {
        place.execute(&format!(
            "INSERT INTO accounts VALUES ('A{row}', {a}, CAST(X'80' AS TEXT))"
        ));
    }
    let exactly = || {
        place.query("SELECT id, typeof(a) || hex(a) AS a, typeof(t) || hex(t) AS t FROM accounts")
    };
    let before = exactly();
    let lines: String = (0..7).map(|row| format!("A{row},w,w\n")).collect();
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, a TEXT, t TEXT",
        &format!("id,a,t\n{lines}"),
    );
    place.job("", "id = 'id'\na = 'a'\nt = 't'");
    assert_eq!(place.run().summary(), "7 read = 7 updated");
    let undone = undo(&place, 1);
    assert_eq!(undone.summary(), "7 read = 7 updated", "{undone}");
    assert_eq!(exactly(), before);
}

/// A constraint that came later was put there on purpose: it is not got round.
#[test]
fn what_a_later_constraint_forbids_is_left_alone_and_said() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let ids = "id,score,note\nA1,-1,\nA2,1,\n";
        place.table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40)",
            ids,
        );
        place
            .scores(SCORES, "id,score,note\nA1,5,x\nA2,5,x\n")
            .job("", crate::harness::FIELDS);
        assert_eq!(place.run().summary(), "2 read = 2 updated", "on {server}");
        place.forbid("positive", "accounts", "score", "<= 0");
        let undone = undo(&place, 1);
        assert_eq!(
            undone.summary(),
            "2 read = 1 updated + 1 rejected",
            "on {server}: {undone}"
        );
        assert_eq!(
            undone.json()["write_backs"][0]["could_not"],
            1,
            "on {server}: {undone}"
        );
        assert!(
            place.rejected(2).contains("positive"),
            "on {server}: {}",
            place.rejected(2)
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note\nA1,5,x\nA2,1,\n",
            "on {server}"
        );
    }
}
