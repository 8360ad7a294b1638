//! Where a field's value comes from and how it becomes what the destination's column holds.

use crate::harness::{Server, Workspace};

#[test]
fn a_field_may_be_one_text_for_every_record() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,1,,\nA2,1,\"it's a \"\"test\"\"\",\n";
        let place = Workspace::accounts(server, rows, "id,score,note\nA1,1,\nA2,1,\n");
        place.job(
            "ignore = ['note']",
            "id = 'id'\nscore = 'score'\nnote = { string = \"it's a \\\"test\\\"\" }",
        );
        assert_eq!(
            place.run().summary(),
            "2 read = 1 updated + 1 unchanged",
            "on {server}"
        );
    }
}

#[test]
fn stamps_tell_run_job_and_cycle() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let stamps = format!(
            "run VARCHAR(20), job VARCHAR(20), cycle VARCHAR(20), done {0}, began {0}",
            server.timestamp()
        );
        let columns = format!("id VARCHAR(18) PRIMARY KEY, score INTEGER, {stamps}");
        place.table("accounts", &columns, "id,score\nA1,1\n");
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, score INTEGER",
            "id,score\nA1,2\n",
        );
        place.file(
            "data/cycle.json",
            r#"{"cycle_id": "W46", "completed_at": "2026-11-15T08:30:00+02:00", "status": "succeeded"}"#,
        );
        let settings =
            place.text("writeback.toml") + "[dashboards.health]\nmarker = 'data/cycle.json'\n";
        place.file("writeback.toml", &settings);
        place.job(
            "",
            "id = 'id'\nscore = 'score'\nrun = { method = 'run_id' }\njob = { method = 'job_name' }\n\
             cycle = { method = 'cycle_id' }\ndone = { method = 'cycle_completed_at' }\n\
             began = { method = 'run_started_at' }",
        );
        let job = place.text("schedules/job.toml");
        place.file(
            "schedules/job.toml",
            &format!("[cadence]\ndashboard = 'health'\n\n{job}"),
        );
        assert_eq!(place.run().summary(), "1 read = 1 updated", "on {server}");
        let row = place.query("SELECT id, score, run, job, cycle, done FROM accounts");
        let done = if server == Server::MariaDb {
            "2026-11-15 06:30:00.000000"
        } else {
            "2026-11-15 06:30:00"
        };
        assert_eq!(
            row,
            format!("id,score,run,job,cycle,done\nA1,2,1,job,W46,{done}\n"),
            "on {server}"
        );
        let today =
            place.query("SELECT count(*) AS n FROM accounts WHERE began > '2026-01-01 00:00:00'");
        assert_eq!(today, "n\n1\n", "on {server}");
    }
}

#[test]
fn value_methods_work_on_a_column() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let columns = "id VARCHAR(18) PRIMARY KEY, a VARCHAR(40), b VARCHAR(40), c VARCHAR(40), d VARCHAR(40), e VARCHAR(40)";
        place.table("accounts", columns, "id\nA1\nA2\nA3\nA4\n");
        place.scores(
            "id VARCHAR(18) PRIMARY KEY, a TEXT, b TEXT, c TEXT, d DECIMAL(7,3), e DECIMAL(5,2)",
            "id,a,b,c,d,e\nA1,\" x y\u{2003}\",ÄB,straße,12.345,39.99\n\
             A2,,,,100,40\nA3,\"\",Σ,ﬁ,-50,40.01\nA4,x,y,z,,\n",
        );
        place.job(
            "",
            "id = 'id'\na = { method = 'trim', column = 'a' }\nb = { method = 'lower', column = 'b' }\n\
             c = { method = 'upper', column = 'c' }\nd = { method = 'part_of_one', column = 'd' }\n\
             e = { method = 'label', column = 'e', labels = [{ below = 40, label = 'low' }, \
             { below = '40.01', label = 'mid' }, { label = 'high' }] }",
        );
        assert_eq!(place.run().summary(), "4 read = 4 updated", "on {server}");
        let expected = "id,a,b,c,d,e\nA1,x y,äb,STRASSE,0.12345,low\nA2,,,,1.00000,mid\nA3,\"\",σ,FI,-0.50000,high\nA4,x,y,Z,,\n";
        assert_eq!(place.rows("accounts"), expected, "on {server}");
        assert_eq!(place.run().summary(), "4 read = 4 unchanged", "on {server}");
    }
}

#[test]
fn several_columns_make_one_field_and_one_makes_several() {
    let place = Workspace::on(Server::Sqlite);
    let columns =
        "id VARCHAR(18) PRIMARY KEY, name TEXT, given TEXT, family TEXT, dial TEXT, told TEXT";
    place.table("accounts", columns, "id\nA1\nA2\nA3\nA4\n");
    place.scores(
        "id VARCHAR(18) PRIMARY KEY, title TEXT, full_name TEXT, mobile TEXT, phone TEXT, job TEXT",
        "id,title,full_name,mobile,phone,job\n\
         A1,Dr,\"Lovelace, Ada\",,(212) 736-5000,cook\nA2,,Grace Hopper,+49 30 902690,,\n\
         A3,Ms,Plato,,call me,cook\nA4,Mx,,,,cook\n",
    );
    place.job(
        "ignore = ['mobile']",
        "id = 'id'\nname = { method = 'join', columns = ['title', 'full_name'], with = ' ' }\n\
         given = { method = 'given_name', column = 'full_name' }\n\
         family = { method = 'family_name', column = 'full_name' }\n\
         dial = { method = 'phone', column = 'phone', region = 'US' }\n\
         told = { text = '{{{title | \"-\"}}} {full_name}: {job | \"any job\"}' }",
    );
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 2 updated + 2 rejected");
    let expected = "id,name,given,family,dial,told\n\
         A1,\"Dr Lovelace, Ada\",Ada,Lovelace,+12127365000,\"{Dr} Lovelace, Ada: cook\"\n\
         A2,Grace Hopper,Grace,Hopper,,{-} Grace Hopper: any job\nA3,,,,,\nA4,,,,,\n";
    assert_eq!(place.rows("accounts"), expected);
    let rejected = place.rejected(1);
    for part in ["A3,mapping,dial,is not a phone number", "A4,mapping,told"] {
        assert!(rejected.contains(part), "`{part}` is missing: {rejected}");
    }
}

#[test]
fn a_value_that_the_column_cannot_hold_exactly_is_rejected() {
    for server in Server::ALL {
        for (schema, object, held, not_held) in [
            ("TEXT", "VARCHAR(3)", "añb", "añbc"),
            ("INTEGER", "SMALLINT", "-32768", "40000"),
            ("BIGINT", "INTEGER", "2147483647", "3000000000"),
            ("DECIMAL(10,4)", "DECIMAL(6,2)", "9999.99", "9999.999"),
            ("DECIMAL(10,4)", "DECIMAL(6,2)", "1.2000", "10000"),
            ("DECIMAL(10,4)", "INTEGER", "17.0000", "17.5"),
            (
                "BIGINT",
                "DOUBLE PRECISION",
                "9007199254740992",
                "9007199254740993",
            ),
        ] {
            // SQLite's INTEGER has 64 bits.
            if server == Server::Sqlite && schema == "BIGINT" && object == "INTEGER" {
                continue;
            }
            let place = Workspace::on(server);
            place.table(
                "accounts",
                &format!("id VARCHAR(18) PRIMARY KEY, score {object}"),
                "id\nA1\nA2\n",
            );
            let source = format!("id,score\nA1,{held}\nA2,{not_held}\n");
            place.scores(
                &format!("id VARCHAR(18) PRIMARY KEY, score {schema}"),
                &source,
            );
            place.job("", "id = 'id'\nscore = 'score'");
            let run = place.run();
            assert_eq!(
                run.summary(),
                "2 read = 1 updated + 1 rejected",
                "{schema} to {object} on {server}"
            );
            let rejected = place.rejected(run.run());
            assert!(
                rejected.starts_with("scores,2,A2,mapping,score,"),
                "{schema} to {object} on {server}: {rejected}"
            );
            assert!(
                !rejected.contains(not_held),
                "a record's value is printed: {rejected}"
            );
            let left = place.query("SELECT count(*) AS n FROM accounts WHERE score IS NULL");
            assert_eq!(left, "n\n1\n", "{schema} to {object} on {server}");
        }
    }
}

#[test]
fn values_become_text_where_the_column_is_text() {
    for server in Server::ALL {
        for (schema, value, text) in [
            ("INTEGER", "007", "7"),
            ("DECIMAL(6,2)", "12.50", "12.50"),
            ("BOOLEAN", "yes", "true"),
            ("DATE", "2026-11-15", "2026-11-15"),
            (
                "TIMESTAMP",
                "2026-11-15T06:30:00.25",
                "2026-11-15 06:30:00.25",
            ),
            (
                "UUID",
                "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            ),
        ] {
            let place = Workspace::on(server);
            place.table(
                "accounts",
                "id VARCHAR(18) PRIMARY KEY, score VARCHAR(40)",
                "id\nA1\n",
            );
            place.scores(
                &format!("id VARCHAR(18) PRIMARY KEY, score {schema}"),
                &format!("id,score\nA1,{value}\n"),
            );
            place.job("", "id = 'id'\nscore = 'score'");
            assert_eq!(
                place.run().summary(),
                "1 read = 1 updated",
                "{schema} on {server}"
            );
            assert!(
                place
                    .rows("accounts")
                    .starts_with(&format!("id,score\nA1,{text}")),
                "{schema} on {server}: {}",
                place.rows("accounts")
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
fn a_wall_clock_becomes_an_instant_only_where_the_source_names_its_zone() {
    for server in Server::WITH_USERS {
        let place = Workspace::on(server);
        place.table(
            "accounts",
            &format!("id VARCHAR(18) PRIMARY KEY, score {}", server.instant()),
            "id\nA1\nA2\nA3\n",
        );
        let source =
            "id,score\nA1,2026-07-01 12:00:00\nA2,2026-03-29 02:30:00\nA3,2026-10-25 02:30:00\n";
        place
            .scores("id VARCHAR(18) PRIMARY KEY, score TIMESTAMP", source)
            .job("", "id = 'id'\nscore = 'score'");
        let refused = place.run();
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains("timezone"), "{refused}");

        let settings =
            place.connection("files") + "timezone = 'Europe/Berlin'\n\n" + &place.connection("crm");
        place.file(
            "writeback.toml",
            &settings.replace("\n\ntimezone", "\ntimezone"),
        );
        // The second stands in the gap of spring, the third happened twice in autumn.
        let run = place.run();
        assert_eq!(
            run.summary(),
            "3 read = 1 updated + 2 rejected",
            "on {server}"
        );
        let at = server.in_utc("score");
        let row = place.query(&format!("SELECT {at} AS at FROM accounts WHERE id = 'A1'"));
        assert!(
            row.starts_with("at\n2026-07-01 10:00:00"),
            "on {server}: {row}"
        );
    }
}
