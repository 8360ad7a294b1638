//! Which rows a record finds, and what may be done to them.

use crate::harness::{FIELDS, Server, Workspace};

#[test]
fn update_only_skips_a_record_without_a_match() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,10,old,555\n",
            "id,score,note\nA1,20,new\nA9,30,new\n",
        );
        assert_eq!(place.run().summary(), "2 read = 1 updated + 1 skipped");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,20,new,555\n",
            "on {server}"
        );
    }
}

#[test]
fn rows_and_columns_that_nobody_mapped_stay_as_they_are() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,old,555\nA2,11,,\nA3,,\"\",\"\"\n";
        let place = Workspace::accounts(server, rows, "id,score,note\nA1,20,new\n");
        place.count_writes("accounts");
        assert_eq!(place.run().summary(), "1 read = 1 updated");
        assert_eq!(
            place.rows("accounts"),
            rows.replace("A1,10,old", "A1,20,new"),
            "on {server}"
        );
        assert_eq!(place.writes(), 1, "on {server}");
    }
}

#[test]
fn upsert_creates_what_is_missing_and_leaves_defaults_to_the_database() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,10,old,555\n",
            "id,score,note\nA1,20,new\nA9,30,\n",
        );
        place.job("matching = 'upsert'", FIELDS);
        assert_eq!(place.run().summary(), "2 read = 1 inserted + 1 updated");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,20,new,555\nA9,30,,unknown\n",
            "on {server}"
        );
    }
}

#[test]
fn create_only_leaves_what_is_there_alone() {
    for server in Server::ALL {
        let place = Workspace::accounts(
            server,
            "id,score,note,phone\nA1,10,old,555\n",
            "id,score,note\nA1,20,new\nA9,30,new\n",
        );
        place.job("matching = 'create_only'", FIELDS);
        assert_eq!(place.run().summary(), "2 read = 1 inserted + 1 skipped");
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,10,old,555\nA9,30,new,unknown\n",
            "on {server}"
        );
    }
}

#[test]
fn a_key_that_matches_two_rows_is_refused_in_every_mode() {
    for server in Server::ALL {
        for mode in ["update_only", "upsert", "create_only"] {
            let place = Workspace::on(server);
            let rows = "id,score,note\nA1,1,x\nA1,2,y\nA2,3,z\n";
            place.table(
                "accounts",
                "id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40)",
                rows,
            );
            place
                .scores(crate::harness::SCORES, "id,score,note\nA1,9,n\n")
                .job(&format!("matching = '{mode}'"), FIELDS);
            let run = place.run();
            assert_eq!(run.summary(), "1 read = 1 rejected", "{mode} on {server}");
            let reason = "scores,1,A1,match,,the key matches 2 rows of the destination\n";
            assert_eq!(place.rejected(run.run()), reason, "{mode} on {server}");
            assert_eq!(place.rows("accounts"), rows, "{mode} on {server}");
        }
    }
}

#[test]
fn a_key_that_occurs_twice_in_the_source_is_never_guessed_about() {
    for server in Server::ALL {
        let source = "id,score,note\nA1,20,x\nA2,21,x\nA1,22,x\nA1,23,x\n";
        let place = Workspace::accounts(server, "id,score,note,phone\nA1,1,,\nA2,1,,\n", source);
        let run = place.run();
        assert_eq!(run.summary(), "4 read = 1 updated + 3 rejected");
        let line =
            |record| format!("scores,{record},A1,match,,the key occurs 3 times in the source\n");
        assert_eq!(
            place.rejected(run.run()),
            [line(1), line(3), line(4)].concat(),
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note,phone\nA1,1,,\nA2,21,x,\n",
            "on {server}"
        );
    }
}

#[test]
fn several_key_columns_match_together() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns =
            "region VARCHAR(4), number INTEGER, score INTEGER, PRIMARY KEY (region, number)";
        place.table(
            "accounts",
            columns,
            "region,number,score\nEU,1,1\nEU,2,1\nUS,1,1\n",
        );
        place.scores(
            "number INTEGER, region VARCHAR(4), score INTEGER, PRIMARY KEY (region, number)",
            "region,number,score\nEU,2,5\nUS,2,6\nUS,1,1\n",
        );
        place.job("", "region = 'region'\nnumber = 'number'\nscore = 'score'");
        assert_eq!(
            place.run().summary(),
            "3 read = 1 updated + 1 unchanged + 1 skipped"
        );
        assert_eq!(
            place.rows("accounts"),
            "region,number,score\nEU,1,1\nEU,2,5\nUS,1,1\n",
            "on {server}"
        );
    }
}

#[test]
fn a_key_matches_byte_by_byte_whatever_the_collation_thinks() {
    for server in Server::ALL {
        let near_misses =
            "id,score,note\na1,9,n\nA1 ,9,n\n A1,9,n\nCAFÉ,9,n\nCafé,9,n\n00123,9,n\n";
        let rows = "id,score,note,phone\n123,1,,\nA1,1,,\nCafe,1,,\nCafe\u{301},1,,\n";
        let place = Workspace::on(server);
        // Some collations take two of these for one, so no key may be unique here.
        let accounts =
            "id VARCHAR(18) NOT NULL, score INTEGER, note VARCHAR(40), phone VARCHAR(20)";
        place
            .table("accounts", accounts, rows)
            .execute("CREATE INDEX by_id ON accounts (id)");
        place
            .scores(crate::harness::SCORES, near_misses)
            .job("", FIELDS);
        assert_eq!(place.run().summary(), "6 read = 6 skipped", "on {server}");
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn a_key_that_its_column_would_hold_without_a_blank_creates_no_row_at_each_run() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let accounts = "id CHAR(5), score INTEGER, note VARCHAR(40), phone VARCHAR(20)";
        place
            .table("accounts", accounts, "id,score,note,phone\nA1,1,,\n")
            .scores(
                crate::harness::SCORES,
                "id,score,note\n\"A1 \",9,n\nA2,9,n\n",
            )
            .job("matching = 'upsert'", FIELDS);
        let keeps_blanks = server == Server::Sqlite;
        let (first, second) = match keeps_blanks {
            true => ("2 read = 2 inserted", "2 read = 2 unchanged"),
            false => (
                "2 read = 1 inserted + 1 rejected",
                "2 read = 1 unchanged + 1 rejected",
            ),
        };
        let run = place.run();
        assert_eq!(run.summary(), first, "on {server}");
        assert_eq!(place.run().summary(), second, "on {server}");
        if !keeps_blanks {
            let why = "mapping,id,\"ends in a blank, which char";
            let rejected = place.rejected(1);
            assert!(rejected.contains(why), "on {server}: {rejected}");
        }
    }
}

#[test]
fn keys_may_be_numbers_and_dates() {
    for server in Server::ALL {
        for (schema, object, old, new) in [
            ("BIGINT", "BIGINT", "9007199254740993", "9007199254740993"),
            ("INTEGER", "DECIMAL(12,0)", "17", "17"),
            ("DECIMAL(6,2)", "DECIMAL(6,2)", "12.5", "12.50"),
            ("DATE", "DATE", "2026-11-15", "2026-11-15"),
        ] {
            let place = Workspace::on(server);
            place.table(
                "accounts",
                &format!("id {object} PRIMARY KEY, score INTEGER"),
                &format!("id,score\n{old},1\n"),
            );
            place.scores(
                &format!("id {schema} PRIMARY KEY, score INTEGER"),
                &format!("id,score\n{new},2\n"),
            );
            place.job("", "id = 'id'\nscore = 'score'");
            assert_eq!(
                place.run().summary(),
                "1 read = 1 updated",
                "{schema} on {server}"
            );
            assert_eq!(
                place.run().summary(),
                "1 read = 1 unchanged",
                "{schema} on {server}"
            );
        }
    }
}

#[test]
fn a_second_run_writes_nothing() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,old,555\nA2,,,\nA3,1,\"\",\n";
        let place = Workspace::accounts(
            server,
            rows,
            "id,score,note\nA1,20,new\nA2,,\"\"\nA3,1,\nA4,4,four\n",
        );
        place.job("matching = 'upsert'", FIELDS);
        place.count_writes("accounts");
        assert_eq!(
            place.run().summary(),
            "4 read = 1 inserted + 3 updated",
            "on {server}"
        );
        assert_eq!(place.writes(), 4, "on {server}");
        assert_eq!(place.run().summary(), "4 read = 4 unchanged", "on {server}");
        assert_eq!(place.writes(), 0, "on {server}");
    }
}

#[test]
fn a_change_of_case_or_of_trailing_blanks_is_a_change() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,1,note,\nA2,1,note,\nA3,1,Cafe\u{301},\n";
        let place = Workspace::accounts(
            server,
            rows,
            "id,score,note\nA1,1,Note\nA2,1,\"note \"\nA3,1,Café\n",
        );
        assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
        let expected = "id,score,note,phone\nA1,1,Note,\nA2,1,note ,\nA3,1,Café,\n";
        assert_eq!(place.rows("accounts"), expected, "on {server}");
        assert_eq!(place.run().summary(), "3 read = 3 unchanged", "on {server}");
    }
}

#[test]
fn a_stamp_alone_never_causes_a_write() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, score INTEGER, run INTEGER";
        place
            .table("accounts", columns, "id,score,run\nA1,1,\nA2,2,\n")
            .count_writes("accounts");
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER",
            "id,score\nA1,1\nA2,3\n",
        );
        place.job(
            "",
            "id = 'id'\nscore = 'score'\nrun = { method = 'run_id' }",
        );
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 unchanged",
            "on {server}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,run\nA1,1,\nA2,3,1\n",
            "on {server}"
        );
        assert_eq!(place.run().summary(), "2 read = 2 unchanged", "on {server}");
        assert_eq!(
            place.rows("accounts"),
            "id,score,run\nA1,1,\nA2,3,1\n",
            "on {server}"
        );
        assert_eq!(place.writes(), 1, "on {server}");
    }
}

#[test]
fn if_empty_fills_gaps_and_overwrites_nothing() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,1,people wrote this,\nA2,1,,\nA3,1,\"\",\nA4,,kept,\n";
        let place = Workspace::accounts(
            server,
            rows,
            "id,score,note\nA1,1,new\nA2,1,new\nA3,1,new\nA4,4,new\n",
        );
        place.job(
            "",
            "id = 'id'\nscore = 'score'\nnote = { column = 'note', when = 'if_empty' }",
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 3 updated + 1 unchanged",
            "on {server}"
        );
        let expected =
            "id,score,note,phone\nA1,1,people wrote this,\nA2,1,new,\nA3,1,new,\nA4,4,kept,\n";
        assert_eq!(place.rows("accounts"), expected, "on {server}");
        assert_eq!(place.run().summary(), "4 read = 4 unchanged", "on {server}");
    }
}

#[test]
fn a_choice_without_a_letter_is_empty_and_an_undo_knows_it() {
    for server in Server::WITH_USERS {
        let place = Workspace::on(server);
        let mood = match server {
            Server::Postgres => {
                place.execute("CREATE TYPE mood AS ENUM ('a', '')");
                "mood"
            }
            Server::MariaDb | Server::Sqlite => "ENUM('a', '')",
        };
        let columns = format!("id VARCHAR(18) PRIMARY KEY, score INTEGER, mood {mood}");
        let rows = "id,score,mood\nA1,1,\"\"\nA2,2,a\nA3,3,\"\"\n";
        place.table("accounts", &columns, rows);
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, mood TEXT",
            "id,score,mood\nA1,10,a\nA2,20,\"\"\nA3,30,\n",
        );
        place.job(
            "",
            "id = 'id'\nscore = 'score'\nmood = { column = 'mood', when = 'if_empty' }",
        );
        assert_eq!(place.run().summary(), "3 read = 3 updated", "on {server}");
        let filled = "id,score,mood\nA1,10,a\nA2,20,a\nA3,30,\n";
        assert_eq!(place.rows("accounts"), filled, "on {server}");
        let undone = place.command(&["undo", "1", "--json"]);
        assert_eq!(undone.summary(), "3 read = 3 updated", "on {server}");
        assert_eq!(place.rows("accounts"), rows, "on {server}");
    }
}

#[test]
fn null_is_written_by_default_and_keeps_the_old_value_if_asked_to() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,old,555\nA2,11,old,555\n";
        let source = "id,score,note\nA1,,\nA2,12,\n";
        let written = Workspace::accounts(server, rows, source);
        assert_eq!(written.run().summary(), "2 read = 2 updated", "on {server}");
        assert_eq!(
            written.rows("accounts"),
            "id,score,note,phone\nA1,,,555\nA2,12,,555\n",
            "on {server}"
        );

        let kept = Workspace::accounts(server, rows, source);
        kept.job("nulls = 'keep'", FIELDS);
        assert_eq!(
            kept.run().summary(),
            "2 read = 1 updated + 1 unchanged",
            "on {server}"
        );
        assert_eq!(
            kept.rows("accounts"),
            "id,score,note,phone\nA1,10,old,555\nA2,12,old,555\n",
            "on {server}"
        );
    }
}

#[test]
fn an_empty_text_is_neither_null_nor_missing() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,1,,\nA2,1,\"\",\nA3,1,x,\nA4,1,\"\",\n";
        let place = Workspace::accounts(
            server,
            rows,
            "id,score,note\nA1,1,\"\"\nA2,1,\nA3,1,\"\"\nA4,1,\"\"\n",
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 3 updated + 1 unchanged",
            "on {server}"
        );
        let expected = "id,score,note,phone\nA1,1,\"\",\nA2,1,,\nA3,1,\"\",\nA4,1,\"\",\n";
        assert_eq!(place.rows("accounts"), expected, "on {server}");
    }
}

#[test]
fn check_warns_of_a_key_that_sqlite_keeps_as_a_number() {
    let place = Workspace::accounts(
        Server::Sqlite,
        "id,score,note,phone\n",
        "id,score,note\n00123,2,\n456,2,\n",
    );
    place.execute("DROP TABLE accounts; CREATE TABLE accounts (id STRING PRIMARY KEY, score INTEGER, note TEXT)");
    place.execute("INSERT INTO accounts VALUES ('00123', 1, NULL), ('456', 1, NULL)");
    let check = place.command(&["check"]);
    assert_eq!(check.code, 0, "{check}");
    let told = "warning: `id` is declared STRING, which makes SQLite keep texts that look like numbers as numbers: a key \
        such as `00123` or `1e5` is no longer itself there, and a record whose key looks like a number is not written\n    \
        hint: declare the column TEXT, or VARCHAR(n), in the database";
    assert!(check.stderr.contains(told), "{check}");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 skipped + 1 rejected", "{run}");
    assert!(run.stderr.contains("is declared STRING"), "{run}");
    assert_eq!(place.rows("accounts"), "id,score,note\n123,1,\n456,1,\n");
    place.execute("DROP TABLE accounts; CREATE TABLE accounts (id TEXT PRIMARY KEY, score INTEGER, note TEXT)");
    let check = place.command(&["check"]);
    assert_eq!((check.code, check.stderr.as_str()), (0, ""), "{check}");
}
