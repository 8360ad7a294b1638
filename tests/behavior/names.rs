//! Names that would break a careless program: quotes, blanks, reserved words, letters that are not
//! Latin.

use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Server, Workspace, write_back};

/// Names that every database takes when quoted; `"` and backticks among them.
const NAMES: &[&str] = &[
    "select",
    "order",
    "Group By",
    "two words",
    " leading",
    "semi;colon",
    "dash--comment",
    "it's",
    "a\"b",
    "a`b",
    "a.b",
    "a,b",
    "50%",
    "ünï",
    "日本",
    "عمود",
    "-1",
    "[x]",
    "/*x*/",
    "$1",
    "?",
    "a\\b",
    "x'); DROP TABLE victim; --",
];

#[test]
fn columns_and_tables_may_have_any_name() {
    for server in Server::ALL {
        let place = place_with_a_victim(server);
        for name in NAMES {
            any_name_works(&place, name);
        }
    }
}

#[test]
fn random_names_work() {
    for server in Server::ALL {
        let place = place_with_a_victim(server);
        let config = Config {
            cases: 8,
            failure_persistence: None,
            max_shrink_iters: 20,
            ..Config::default()
        };
        // A blank at the end is what MariaDB takes from nobody.
        let names = "[a-zA-Z\"'`;.,()\\[\\]{}/*#é漢 _-]{0,12}[a-zA-Z\"'`;é漢]";
        let run = TestRunner::new(config).run(&names, |name| {
            any_name_works(&place, &name);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("on {server}: {error}"));
    }
}

/// A place with a table that injected SQL would go for.
fn place_with_a_victim(server: Server) -> Workspace {
    let place = Workspace::on(server);
    place.table("victim", "id INTEGER", "id\n1\n");
    place
}

/// Writes to a table and a column of this name, from a column of this name.
fn any_name_works(place: &Workspace, name: &str) {
    if name.eq_ignore_ascii_case("id") {
        return; // The table has that one already.
    }
    let (table, server) = (format!("{name}t"), place.server);
    place.execute(&format!("DROP TABLE IF EXISTS {}", server.quote(&table)));
    place.table(
        &table,
        &format!("id VARCHAR(18) PRIMARY KEY, {} INTEGER", server.quote(name)),
        "id\nA1\n",
    );
    place.scores(
        &format!("id VARCHAR(18) PRIMARY KEY, {} INTEGER", sql_name(name)),
        "",
    );
    place.file("data/scores.csv", &format!("id,{}\nA1,7\n", sql_name(name)));
    let settings = format!("table = {}", toml_text(&sql_name(&table)));
    let fields = format!(
        "id = 'id'\n{} = {}",
        toml_text(&sql_name(name)),
        toml_text(name)
    );
    place.file(
        "schedules/job.toml",
        &write_back("scores", "", &settings, &fields),
    );
    assert_eq!(
        place.run().summary(),
        "1 read = 1 updated",
        "{name:?} on {server}"
    );
    assert_eq!(
        place.run().summary(),
        "1 read = 1 unchanged",
        "{name:?} on {server}"
    );
    assert!(
        place.rows(&table).ends_with("\nA1,7\n"),
        "{name:?} on {server}"
    );
    assert_eq!(place.rows("victim"), "id\n1\n", "{name:?} on {server}");
}

/// A name in double quotes, as schema files, job files and the header of a CSV file may write it.
fn sql_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string of TOML.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn an_unquoted_name_finds_the_only_one_that_differs_in_case() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = format!(
            "{} VARCHAR(18) PRIMARY KEY, {} INTEGER",
            server.quote("Id"),
            server.quote("Score")
        );
        place.table("Accounts", &columns, "Id\nA1\n");
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER",
            "ID,Score\nA1,7\n",
        );
        place.job("table = 'ACCOUNTS'", "ID = 'id'\nSCORE = 'score'");
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
    }
}

#[test]
fn a_table_may_be_named_with_its_database_or_schema() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\n",
            "id,score,note\nA1,2,\n",
        );
        let outer = place.schema();
        place.job(
            &format!("table = '\"{outer}\".\"accounts\"'"),
            crate::harness::FIELDS,
        );
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
    }
}

#[test]
fn a_table_that_is_not_there_is_a_mistake_with_a_suggestion() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,1,,\n",
            "id,score,note\nA1,2,\n",
        );
        place.job("table = 'acounts'", crate::harness::FIELDS);
        let run = place.run();
        assert_eq!(run.code, 2, "{run}");
        assert!(
            run.stderr.contains("acounts") && run.stderr.contains("did you mean `accounts`?"),
            "{run}"
        );
    }
}
