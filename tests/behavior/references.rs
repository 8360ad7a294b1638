//! References: a record brings what a row of another object is known by, and what is written is
//! that row's id; never a guess, never half a look-up, and taken back as anything else.

use crate::harness::{
    Act, At, Edge, Fault, Proxy, Ran, Server, Side, WRITER, Workspace, write_back,
};

const OWNERS: &str = "id,email,team
1,ada@example.com,success
2,bob@example.com,success
3,desk@example.com,support
4,desk@example.com,success
5,two@example.com,success
6,two@example.com,success
";

const ACCOUNTS: &str = "id,score,owner_id
A1,10,2
A2,20,2
A3,30,
A4,40,1
";

const SCHEMA: &str = "id VARCHAR(18) PRIMARY KEY, score INTEGER, owner VARCHAR(80)";

const OWNER: &str = "owner_id = { column = 'owner', refers_to = 'owners.email' }";

/// Accounts that are to be assigned to owners whom the source knows by their address.
pub(crate) fn place(server: Server, owner: &str, source: &str) -> Workspace {
    let place = Workspace::on(server);
    place
        .table(
            "owners",
            "id INTEGER PRIMARY KEY, email VARCHAR(80), team VARCHAR(20)",
            OWNERS,
        )
        .table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, score INTEGER, owner_id INTEGER, FOREIGN KEY (owner_id) REFERENCES owners (id)",
            ACCOUNTS,
        )
        .scores(SCHEMA, source)
        .job("", &format!("id = 'id'\nscore = 'score'\n{owner}"));
    place
}

const SOURCE: &str = "id,score,owner
A1,11,ada@example.com
A2,20,bob@example.com
A3,30,
A4,40,eve@example.com
";

#[test]
fn a_record_finds_its_owner_by_another_value_and_undo_puts_the_old_one_back() {
    for server in Server::ALL {
        let place = place(server, OWNER, SOURCE);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "4 read = 1 updated + 2 unchanged + 1 rejected",
            "on {server}: {run}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,owner_id\nA1,11,1\nA2,20,2\nA3,30,\nA4,40,1\n",
            "on {server}"
        );
        let rejected = place.rejected(run.run());
        assert!(
            rejected.starts_with("scores,4,A4,match,owner_id,no `")
                && rejected.ends_with("owners` has this `email`\n"),
            "on {server}: {rejected}"
        );
        let again = place.command(&["run", "job", "--json", "--again"]);
        assert_eq!(
            again.summary(),
            "4 read = 3 unchanged + 1 rejected",
            "on {server}: {again}"
        );
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "on {server}: {undo}");
        assert_eq!(place.rows("accounts"), ACCOUNTS, "on {server}");
    }
}

#[test]
fn an_address_of_several_owners_is_refused_with_their_ids_unless_only_one_fits() {
    for server in Server::ALL {
        let place = place(
            server,
            "owner_id = { column = 'owner', refers_to = 'owners.email', only_where = { team = ['success', 'sales'] } }",
            "id,score,owner\nA1,10,desk@example.com\nA2,20,two@example.com\n",
        );
        let run = place.run();
        assert_eq!(
            run.summary(),
            "2 read = 1 updated + 1 rejected",
            "on {server}: {run}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,owner_id\nA1,10,4\nA2,20,2\nA3,30,\nA4,40,1\n",
            "on {server}"
        );
        let rejected = place.rejected(run.run());
        assert!(
            rejected.ends_with("have this `email` among those of `only_where`: 5, 6\"\n"),
            "on {server}: {rejected}"
        );
    }
}

#[test]
fn an_owner_who_is_not_there_is_kept_or_emptied_as_the_job_says() {
    for server in Server::ALL {
        for (word, held) in [("keep", "1"), ("null", "")] {
            let owner = format!(
                "owner_id = {{ column = 'owner', refers_to = 'owners.email', not_found = '{word}' }}"
            );
            let source = "id,score,owner\nA2,21,two@example.com\nA4,41,eve@example.com\n";
            let place = place(server, &owner, source);
            let run = place.run();
            assert_eq!(
                run.summary(),
                "2 read = 1 updated + 1 rejected",
                "{word} on {server}: {run}"
            );
            let accounts = place.rows("accounts");
            assert!(
                accounts.contains(&format!("A4,41,{held}\n")),
                "{word} on {server}: {accounts}"
            );
            assert!(accounts.contains("A2,20,2\n"), "several are never guessed");
        }
    }
}

#[test]
fn a_path_over_a_foreign_key_means_the_same() {
    for server in Server::ALL {
        for path in ["owner_id.email", "owners.email"] {
            let place = place(server, &format!("'{path}' = 'owner'"), SOURCE);
            let run = place.run();
            assert_eq!(
                run.summary(),
                "4 read = 1 updated + 2 unchanged + 1 rejected",
                "{path} on {server}: {run}"
            );
        }
    }
}

#[test]
fn values_that_would_end_a_statement_are_values() {
    for server in Server::ALL {
        let hostile = "x'; DROP TABLE owners; --";
        let place = place(
            server,
            OWNER,
            &format!("id,score,owner\nA1,10,{hostile}\nA2,20,\\\nA4,40,ADA@EXAMPLE.COM\n"),
        );
        place.execute(&format!(
            "INSERT INTO owners (id, email) VALUES (9, {})",
            server.literal(hostile)
        ));
        let run = place.run();
        assert_eq!(
            run.summary(),
            "3 read = 1 updated + 2 rejected",
            "on {server}: {run}"
        );
        assert!(place.rows("accounts").contains("A1,10,9\n"), "on {server}");
    }
}

#[test]
fn preview_shows_the_owner_that_would_be_written_and_a_plan_writes_that_one() {
    let place = place(Server::Sqlite, OWNER, SOURCE);
    let preview = place.command(&["preview", "job", "--out", "job.plan"]);
    assert!(preview.stdout.contains("owner_id"), "{preview}");
    // Somebody else takes the address over: the plan writes what was shown.
    place.execute("UPDATE owners SET email = 'gone' WHERE id = 1");
    let run = place.command(&["run", "job", "--json", "--plan", "job.plan"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(place.rows("accounts").contains("A1,11,1\n"), "{run}");
}

#[test]
fn one_record_is_tried_with_its_owner_looked_up() {
    let place = place(Server::Sqlite, OWNER, SOURCE);
    let test = place.command(&["test", "job", "--record", "A1", "--json"]);
    assert_eq!(test.code, 0, "{test}");
    assert!(place.rows("accounts").contains("A1,11,1\n"), "{test}");
    let refused = place.command(&["test", "job", "--record", "A4", "--json"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stdout.contains("has this `email`"), "{refused}");
}

/// What is asked first after planning is what references mean; its answer, or the new connection
/// that is made then, may be lost too.
#[test]
fn a_destination_that_is_lost_while_owners_are_looked_up_is_waited_for() {
    const LOOKING: usize = WRITER;
    for server in Server::WITH_USERS {
        let place = place(server, OWNER, SOURCE);
        let proxy = Proxy::before(&place);
        place.run();
        let again = ["run", "job", "--json", "--again"];
        let asks = |connection: usize| {
            let said = proxy.said();
            let of_program = said
                .iter()
                .filter(|said| said.connection == connection && said.side == Side::Program);
            of_program.count()
        };
        proxy.arm(Vec::new());
        let clean = place.command(&again).summary();
        assert_eq!(clean, "4 read = 3 unchanged + 1 rejected", "on {server}");
        // The last one is the farewell.
        let points = asks(LOOKING) - 1;
        assert!(points > 2, "owners are asked for on {server}");
        for number in 0..points {
            let cut = |connection, number, edge| Fault {
                connection: Some(connection),
                at: At::Message {
                    side: Side::Program,
                    number,
                    edge,
                },
                act: Act::Cut,
            };
            proxy.arm(vec![
                cut(LOOKING, number, Edge::Whole),
                cut(LOOKING + 1, 0, Edge::Short),
            ]);
            let run = place.command(&again);
            assert_eq!(run.summary(), clean, "message {number} on {server}: {run}");
            assert_eq!(proxy.met(), 2, "message {number} on {server}: {run}");
            assert!(
                run.stderr.contains("looking up references again"),
                "message {number} on {server}: {run}"
            );
        }
    }
}

#[test]
fn a_mistaken_reference_hides_no_mistake_of_another_field() {
    for server in Server::ALL {
        let place = place(server, OWNER, SOURCE);
        let owner = OWNER.replace("email", "emial");
        place.job(
            "matching = 'upsert'",
            &format!("id = 'id'\nscroe = 'score'\n{owner}"),
        );
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "on {server}: {check}");
        for part in [
            "job `job` has 2 problems",
            "column `emial` is not in",
            "column `scroe` is not in",
            "did you mean `score`?",
        ] {
            assert!(check.stderr.contains(part), "{part} on {server}: {check}");
        }
    }
}

#[test]
fn check_tells_of_references_that_lead_nowhere_all_at_once() {
    for server in Server::ALL {
        let place = place(
            server,
            "owner_id = { column = 'owner', refers_to = 'owners.emial', only_where = { tem = 'x' } }",
            SOURCE,
        );
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "on {server}: {check}");
        assert!(
            check.stderr.contains("column `emial` is not in")
                && check.stderr.contains("did you mean `email`?"),
            "on {server}: {check}"
        );
        let told = |owner: &str| {
            let fields = format!("id = 'id'\nscore = 'score'\n{owner}");
            place.job("", &fields);
            let check = place.command(&["check", "job"]);
            assert_eq!(check.code, 2, "on {server}: {check}");
            check.stderr
        };
        let nowhere = told("owner_id = { column = 'owner', refers_to = 'owner.email' }");
        assert!(nowhere.contains("owners"), "on {server}: {nowhere}");
        let elsewhere = told("owner_id = { column = 'owner', refers_to = 'accounts.id' }");
        assert!(
            elsewhere.contains("`owner_id` leads to"),
            "on {server}: {elsewhere}"
        );
        let no_path = told("'owner.email' = 'owner'");
        assert!(
            no_path.contains("it has no reference `owner`"),
            "on {server}: {no_path}"
        );
        let stray = told("owner_id = { column = 'owner', not_found = 'keep' }");
        assert!(
            stray.contains("`not_found` belongs to a reference"),
            "on {server}: {stray}"
        );
        let key = place.job(
            "",
            "'owners.email' = 'id'\nscore = 'score'\nowner_id = 'owner'",
        );
        let check = key.command(&["check", "job"]);
        assert!(
            check.stderr.contains("it is the match key"),
            "on {server}: {check}"
        );
    }
}

#[test]
fn a_run_that_was_killed_goes_on_with_the_owners_it_had_found() {
    let place = place(Server::Sqlite, OWNER, SOURCE);
    let killed = place.command_with(
        &["run", "job", "--json"],
        &[("WRITEBACK_ABORT_AT", "1 records updated")],
    );
    assert_ne!(killed.code, 0, "{killed}");
    // The address goes to somebody else: what was found before counts.
    place.execute("UPDATE owners SET email = 'gone' WHERE id = 1");
    let run = place.run();
    assert_eq!(
        run.summary(),
        "4 read = 1 updated + 2 unchanged + 1 rejected",
        "{run}"
    );
    assert_eq!(
        place.rows("accounts"),
        "id,score,owner_id\nA1,11,1\nA2,20,2\nA3,30,\nA4,40,1\n"
    );
}

#[test]
fn rows_that_do_not_fit_are_skipped_and_said_so() {
    for server in Server::ALL {
        for matching in ["update_only", "upsert"] {
            let place = Workspace::accounts(
                server,
                "id,score,note,phone\nA1,10,customer,1\nA2,20,prospect,2\nA3,30,,3\n",
                "id,score,note\nA1,11,x\nA2,21,x\nA3,30,x\n",
            );
            place.scores(
                "id VARCHAR(18) PRIMARY KEY, score INTEGER, note VARCHAR(40)",
                "id,score,note\nA1,11,x\nA2,21,x\nA3,31,x\n",
            );
            let settings = format!(
                "matching = '{matching}'\nonly_where = {{ note = ['customer', 'partner'] }}\nignore = ['note']"
            );
            place.job(&settings, "id = 'id'\nscore = 'score'");
            let run = place.run();
            assert_eq!(
                run.summary(),
                "3 read = 1 updated + 2 skipped",
                "{matching} on {server}: {run}"
            );
            assert_eq!(
                place.rows("accounts"),
                "id,score,note,phone\nA1,11,customer,1\nA2,20,prospect,2\nA3,30,,3\n",
                "{matching} on {server}"
            );
            let skipped = std::fs::read_to_string(place.run_file(run.run(), "skipped.csv"));
            let skipped = skipped.expect("a file");
            assert!(
                skipped.contains("2,A2,does not fit `only_where`")
                    && skipped.contains("3,A3,does not fit `only_where`"),
                "{matching} on {server}: {skipped}"
            );
            let again = place.command(&["run", "job", "--json", "--again"]);
            assert_eq!(
                again.summary(),
                "3 read = 1 unchanged + 2 skipped",
                "{matching} on {server}: {again}"
            );
        }
    }
}

/// A project with a practice org: accounts that are owned by users.
pub(crate) fn org(users: &str, fields: &str, source: &str) -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["Account.json", "User.json"] {
        let text = std::fs::read_to_string(repository.join("fixtures/salesforce").join(file));
        place.file(&format!("org/{file}"), &text.expect(file));
    }
    let connection = "[connections.crm]\nkind = 'salesforce'\npractice = 'org'\n";
    place
        .file("org/User.csv", users)
        .file("org/practice.toml", "")
        .file("writeback.toml", &(place.connection("files") + connection))
        .scores(
            "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), owner VARCHAR(80)",
            source,
        )
        .file(
            "schedules/job.toml",
            &write_back("scores", "Account", "", fields),
        );
    place
}

pub(crate) const USERS: &str = "Id,Username,LastName,Email,Alias,IsActive,Title,UserType
005000000000U01,one@x.example,One,one@example.com,one,true,,Standard
005000000000U02,two@x.example,Two,two@example.com,two,true,,Standard
005000000000U03,old@x.example,Old,two@example.com,old,false,,Standard
005000000000U04,d1@x.example,Desk,desk@example.com,d1,true,,Standard
005000000000U05,d2@x.example,Desk,desk@example.com,d2,true,,Standard
";

const ORG_FIELDS: &str = "Customer_Id__c = 'id'
Health_Score__c = 'score'
OwnerId = { column = 'owner', refers_to = 'User.Email', only_where = { IsActive = true } }";

pub(crate) fn org_accounts(count: usize) -> String {
    let account = |number: usize| {
        format!("001{number:09}AAA,Account {number},C-{number},1,005000000000U01\n")
    };
    let header = "Id,Name,Customer_Id__c,Health_Score__c,OwnerId\n";
    header.to_owned() + &(1..=count).map(account).collect::<String>()
}

pub(crate) fn owners(place: &Workspace) -> String {
    let sql = "SELECT json_extract(body, '$.Customer_Id__c') AS id, json_extract(body, '$.OwnerId') AS owner \
               FROM documents WHERE kind = 'Account' ORDER BY 1";
    place.query_file(".writeback/practice/crm.db", sql)
}

/// Queries that the org was asked with.
fn calls(place: &Workspace) -> u64 {
    let sql = "SELECT json_extract(body, '$.used') AS used FROM documents WHERE kind = '_counters'";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    csv.lines()
        .nth(1)
        .and_then(|used| used.parse().ok())
        .expect("a count")
}

#[test]
fn accounts_are_assigned_by_their_owner_s_address() {
    let source = "id,score,owner\nC-1,1,two@example.com\nC-2,1,DESK@example.com\nC-3,1,eve@example.com\nC-4,1,ONE@example.com\n";
    for fields in [
        ORG_FIELDS,
        "Customer_Id__c = 'id'\nHealth_Score__c = 'score'\n\
         'Owner.Email' = { column = 'owner', only_where = { IsActive = true } }",
    ] {
        let place = org(USERS, fields, source);
        place.file("org/Account.csv", &org_accounts(4));
        let run = place.run();
        assert_eq!(run.code, 1, "{run}");
        let found = owners(&place);
        assert!(found.contains("C-1,005000000000U02"), "{found}");
        assert!(found.contains("C-3,005000000000U01"), "{found}");
        assert_eq!(
            run.summary(),
            "4 read = 1 updated + 1 unchanged + 2 rejected"
        );
        let rejected = place.rejected(run.run());
        assert!(
            rejected.contains("scores,3,C-3,match,OwnerId,no `User` has this `Email`")
                && rejected.contains("005000000000U04AAE, 005000000000U05AAE"),
            "{rejected}"
        );
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "{undo}");
        assert!(owners(&place).contains("C-1,005000000000U01"), "{undo}");
    }
}

#[test]
fn ten_thousand_records_with_fifty_owners_take_one_look_up_of_owners() {
    let user = |number: usize| {
        format!(
            "005{number:09}UAA,u{number}@x.example,U{number},u{number}@example.com,u{number},true,,Standard\n"
        )
    };
    let users = "Id,Username,LastName,Email,Alias,IsActive,Title,UserType\n\
                 005000000000U01,one@x.example,One,one@example.com,one,true,,Standard\n"
        .to_owned()
        + &(1..=50).map(user).collect::<String>();
    let record = |number: usize| format!("C-{number},1,u{}@example.com\n", number % 50 + 1);
    let source = "id,score,owner\n".to_owned() + &(1..=10_000).map(record).collect::<String>();
    let used = |fields: &str| {
        let place = org(&users, fields, &source);
        place.file("org/Account.csv", &org_accounts(0));
        let run = place.run();
        assert_eq!(run.summary(), "10000 read = 10000 skipped", "{run}");
        calls(&place)
    };
    let without =
        used("Customer_Id__c = 'id'\nHealth_Score__c = 'score'\nHealth_Note__c = 'owner'");
    let with = used(ORG_FIELDS);
    // The description of the user, and the one look-up.
    assert_eq!(
        with - without,
        2,
        "{with} calls and {without} without owners"
    );
}

#[test]
fn only_customers_of_an_org_are_written() {
    let source = "id,score,owner\nC-1,2,x\nC-2,2,x\n";
    let place = org(
        USERS,
        "Customer_Id__c = 'id'\nHealth_Score__c = 'score'",
        source,
    );
    place
        .file(
            "org/Account.csv",
            "Id,Name,Customer_Id__c,Health_Score__c,OwnerId,Type\n\
             001000000000A01,One,C-1,1,005000000000U01,Customer\n\
             001000000000A02,Two,C-2,1,005000000000U01,Prospect\n",
        )
        .file(
            "schedules/job.toml",
            &write_back(
                "scores",
                "Account",
                "only_where = { Type = 'Customer', IsDeleted = false }\nignore = ['owner']",
                "Customer_Id__c = 'id'\nHealth_Score__c = 'score'",
            ),
        );
    let run: Ran = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 skipped", "{run}");
}
