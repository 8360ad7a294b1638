//! Fields of rows that a record's own row refers to: edited or re-pointed over any number of
//! references, never for more rows than the job says, never with two values, and taken back as
//! anything else.

use crate::bullhorn;
use crate::dataverse;
use crate::harness::{Server, Workspace, write_back};
use crate::references::{USERS, org, org_accounts};

const OWNERS: &str = "id,email,team
1,ada@example.com,success
2,bob@example.com,support
";

const ACCOUNTS: &str = "id,phone,owner_id
10,111,1
20,222,2
30,333,
40,444,1
";

const CONTACTS: &str = "id,title,account_id
C1,a,10
C2,a,20
C3,a,30
C4,a,30
C5,a,
";

const SCHEMA: &str =
    "id VARCHAR(18) PRIMARY KEY, title VARCHAR(20), phone VARCHAR(20), owner VARCHAR(80)";

const FIELDS: &str = "id = 'id'
title = 'title'
'account_id.phone' = { column = 'phone', reference = 'edit' }
'account_id.owners.email' = 'owner'";

/// Contacts of accounts, which have owners.
fn place(server: Server, fields: &str, source: &str) -> Workspace {
    let place = Workspace::on(server);
    let reference = |column: &str, table: &str| {
        format!("{column} INTEGER, FOREIGN KEY ({column}) REFERENCES {table} (id)")
    };
    place
        .table(
            "owners",
            "id INTEGER PRIMARY KEY, email VARCHAR(80), team VARCHAR(20)",
            OWNERS,
        )
        .table(
            "accounts",
            &format!(
                "id INTEGER PRIMARY KEY, phone VARCHAR(20), {}",
                reference("owner_id", "owners")
            ),
            ACCOUNTS,
        )
        .table(
            "contacts",
            &format!(
                "id VARCHAR(18) PRIMARY KEY, title VARCHAR(20), {}",
                reference("account_id", "accounts")
            ),
            CONTACTS,
        )
        .scores(SCHEMA, source)
        .file(
            "schedules/job.toml",
            &write_back("scores", "contacts", "", fields),
        );
    place
}

const SOURCE: &str = "id,title,phone,owner
C1,b,112,bob@example.com
C2,a,222,bob@example.com
C3,b,334,ada@example.com
C5,b,9,ada@example.com
C9,b,9,ada@example.com
";

#[test]
fn the_row_that_a_record_refers_to_is_edited_and_re_pointed_and_taken_back() {
    for server in Server::ALL {
        let place = place(server, FIELDS, SOURCE);
        let run = place.run();
        assert_eq!(
            run.summary(),
            "5 read = 3 updated + 1 unchanged + 1 skipped\n\
             5 read = 1 updated + 1 unchanged + 1 skipped + 2 rejected",
            "on {server}: {run}"
        );
        assert_eq!(
            place.rows("accounts"),
            "id,phone,owner_id\n10,112,2\n20,222,2\n30,333,\n40,444,1\n",
            "on {server}"
        );
        let rejected = place.rejected(run.run());
        assert!(
            rejected.contains("scores.account_id,3,C3,match,account_id,\"2 of `")
                && rejected.contains("` 30 by `account_id`, and `shared_max` is 1")
                && rejected.contains("scores.account_id,4,C5,match,account_id,`account_id` of `"),
            "on {server}: {rejected}"
        );
        let file = std::fs::read_to_string(place.run_file(run.run(), "rejected.csv"));
        assert!(
            file.expect("a file").contains("scores.csv,4,C3,"),
            "on {server}"
        );
        let again = place.command(&["run", "job", "--json", "--again"]);
        assert_eq!(
            again.summary(),
            "5 read = 4 unchanged + 1 skipped\n5 read = 2 unchanged + 1 skipped + 2 rejected",
            "on {server}: {again}"
        );
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "on {server}: {undo}");
        assert_eq!(place.rows("accounts"), ACCOUNTS, "on {server}");
        assert_eq!(place.rows("contacts"), CONTACTS, "on {server}");
    }
}

const EDIT: &str = "id = 'id'
title = 'title'
'account_id.phone' = { column = 'phone', reference = 'edit', shared_max = 2, not_found = 'keep' }";

#[test]
fn records_of_one_row_write_it_once_or_are_refused_by_name() {
    for server in Server::ALL {
        let fields = &format!(
            "{EDIT}\n'account_id.owner_id' = {{ column = 'owner', refers_to = 'owners.email', reference = 'edit' }}"
        );
        let source = "id,title,phone,owner
C1,a,112,ada@example.com
C1,a,112,ada@example.com
C3,a,334,ada@example.com
C4,a,334,ada@example.com
";
        let place = place(server, fields, source);
        let same = place.run();
        assert_eq!(
            same.summary(),
            "4 read = 2 unchanged + 2 rejected\n4 read = 1 updated + 1 skipped + 2 rejected",
            "on {server}: {same}"
        );
        assert!(place.rows("accounts").contains("30,334,1\n"), "on {server}");
        let skipped = std::fs::read_to_string(place.run_file(same.run(), "skipped.csv"));
        let skipped = skipped.expect("a file");
        assert!(
            skipped.contains("4,C4,record `C3` writes the same to `"),
            "on {server}: {skipped}"
        );
        place.scores(SCHEMA, &source.replace("C4,a,334", "C4,a,335"));
        let differing = place.command(&["run", "job", "--json", "--again"]);
        assert_eq!(
            differing.summary(),
            "4 read = 2 unchanged + 2 rejected\n4 read = 4 rejected",
            "on {server}: {differing}"
        );
        assert!(place.rows("accounts").contains("30,334,1\n"), "on {server}");
        let rejected = place.rejected(differing.run());
        assert!(
            rejected.contains("C3,match,phone,record `C4` brings another value for the same row")
                && rejected.contains("C4,match,phone,record `C3` brings another value"),
            "on {server}: {rejected}"
        );
    }
}

#[test]
fn what_a_preview_shows_a_plan_writes_and_verify_and_history_know() {
    let source = "id,title,phone,owner\nC1,a,112,\nC3,a,334,\nC5,a,9,\n";
    let place = place(
        Server::Sqlite,
        &format!("ignore = ['owner']\n{EDIT}"),
        source,
    );
    place.file(
        "schedules/job.toml",
        &write_back("scores", "contacts", "ignore = ['owner']", EDIT),
    );
    let preview = place.command(&["preview", "job", "--out", "job.plan"]);
    assert!(
        preview
            .stdout
            .contains("leads to 2 rows of `accounts`, to which 3 rows refer")
            && preview
                .stdout
                .contains("1 record that is left alone:\n  C5  `account_id` of"),
        "{preview}"
    );
    let test = place.command(&["test", "job", "--record", "C1", "--json"]);
    assert_eq!(test.code, 0, "{test}");
    assert!(place.rows("accounts").contains("10,112,"), "{test}");
    let run = place.command(&["run", "job", "--json", "--plan", "job.plan"]);
    assert!(place.rows("accounts").contains("30,334,"), "{run}");
    let verify = place.command(&["verify", "job"]);
    assert_eq!(verify.code, 0, "{verify}");
    place.execute("UPDATE accounts SET phone = '0' WHERE id = 30");
    let drifted = place.command(&["verify", "job"]);
    assert!(
        drifted.stdout.contains("phone") && drifted.code != 0,
        "{drifted}"
    );
    let history = place.command(&["history", "scores.account_id", "--record", "30"]);
    assert!(history.stdout.contains("334"), "{history}");
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_rows_it_had_found() {
    for at in [
        "1 records updated",
        "2 records updated",
        "2 a package's manifest written",
        "3 a package put in place",
    ] {
        let place = place(Server::Sqlite, FIELDS, SOURCE);
        let killed = place.command_with(&["run", "job", "--json"], &[("WRITEBACK_ABORT_AT", at)]);
        assert!(killed.stderr.contains("dies here"), "{at}: {killed}");
        let run = place.run();
        assert_eq!(run.code, 1, "{at}: {run}");
        assert_eq!(
            place.rows("accounts"),
            "id,phone,owner_id\n10,112,2\n20,222,2\n30,333,\n40,444,1\n",
            "{at}"
        );
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "{at}: {undo}");
        assert_eq!(place.rows("accounts"), ACCOUNTS, "{at}");
    }
}

#[test]
fn rows_that_do_not_fit_lead_nowhere() {
    let place = place(Server::Sqlite, FIELDS, SOURCE);
    place.file(
        "schedules/job.toml",
        &write_back(
            "scores",
            "contacts",
            "only_where = { title = 'x' }\nignore = ['title', 'owner']",
            "id = 'id'\n'accounts.phone' = { column = 'phone', reference = 'edit' }",
        ),
    );
    let run = place.run();
    let only = &run.json()["write_backs"][0];
    assert_eq!(only["name"], "scores.accounts", "{run}");
    assert_eq!(only["left"]["does not fit `only_where`"], 4, "{run}");
    assert_eq!(place.rows("accounts"), ACCOUNTS);
}

#[test]
fn check_refuses_ways_that_would_be_guessed() {
    let place = place(Server::Sqlite, FIELDS, SOURCE);
    let told = |settings: &str, fields: &str| {
        let fields = format!("id = 'id'\ntitle = 'title'\n{fields}");
        let settings = format!("{settings}\nignore = ['owner', 'phone']");
        place.file(
            "schedules/job.toml",
            &write_back("scores", "contacts", &settings, &fields),
        );
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{fields}: {check}");
        check.stderr
    };
    let edit = "{ string = 'x', reference = 'edit' }";
    for (settings, fields, why) in [
        (
            "",
            format!("phone = {edit}"),
            "`reference` belongs to a reference",
        ),
        (
            "",
            format!("'x.phone' = {edit}"),
            "it has no reference `x` that leads to one record",
        ),
        (
            "",
            format!("'account_id.x.phone' = {edit}"),
            "it has no reference `x`",
        ),
        (
            "",
            format!("'account_id.telephone' = {edit}"),
            "column `telephone` is not in",
        ),
        (
            "",
            "'account_id.phone' = { string = 'x', reference = 'edit', shared_max = 0 }".to_owned(),
            "is not a whole number from 1",
        ),
        (
            "",
            "'account_id.phone' = { string = 'x', reference = 'edit', not_found = 'null' }"
                .to_owned(),
            "this edits a row",
        ),
        (
            "",
            "'account_id.phone' = { string = 'x', reference = 'edit', on_conflict = 'keep' }"
                .to_owned(),
            "is of fields of the record's own row",
        ),
        (
            "",
            format!("'account_id.phone' = {edit}\n'accounts.phone' = {edit}"),
            "is written by",
        ),
        (
            "",
            format!("'account_id.phone' = {edit}\naccount_id = {{ string = '10' }}"),
            "leads over `account_id` of",
        ),
        (
            "matching = 'create_only'",
            format!("'account_id.phone' = {edit}"),
            "updates none",
        ),
        (
            "",
            format!(
                "'account_id.phone' = {edit}\n'account_id.owner_id' = {{ string = '1', reference = 'edit', shared_max = 2 }}\n'account_id.id' = {{ string = '1', reference = 'edit', shared_max = 3 }}"
            ),
            "say different `shared_max`",
        ),
    ] {
        let stderr = told(settings, &fields);
        assert!(stderr.contains(why), "{fields}: {stderr}");
    }
}

#[test]
fn an_org_s_accounts_are_edited_and_assigned_from_their_contacts() {
    let fields = "Contact_Key__c = 'id'
'Account.Health_Score__c' = { column = 'score', reference = 'edit' }
'Account.Owner.Email' = 'owner'";
    let source = "id,score,owner\nK-1,7,TWO@example.com\nK-2,7,one@example.com\nK-3,7,one@example.com\nK-4,7,one@example.com\n";
    let users = USERS.replace("two@example.com,old", "old@example.com,old");
    let place = org(&users, fields, source);
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let contact = std::fs::read_to_string(repository.join("fixtures/salesforce/Contact.json"));
    place
        .file("org/Contact.json", &contact.expect("a describe"))
        .file("org/Account.csv", &org_accounts(3))
        .file(
            "org/Contact.csv",
            "Id,AccountId,LastName,Contact_Key__c\n\
             003000000001AAA,001000000001AAA,One,K-1\n\
             003000000002AAA,001000000002AAA,Two,K-2\n\
             003000000003AAA,001000000002AAA,Three,K-3\n\
             003000000004AAA,,Four,K-4\n",
        )
        .file(
            "schedules/job.toml",
            &write_back("scores", "Contact", "", fields),
        );
    let run = place.run();
    assert_eq!(run.summary(), "4 read = 1 updated + 3 rejected", "{run}");
    let accounts = || {
        let sql = "SELECT json_extract(body, '$.Customer_Id__c') AS id, json_extract(body, '$.OwnerId') AS owner, \
                   CAST(json_extract(body, '$.Health_Score__c') AS INTEGER) AS score \
                   FROM documents WHERE kind = 'Account' ORDER BY 1";
        place.query_file(".writeback/practice/crm.db", sql)
    };
    let held = accounts();
    assert!(
        held.contains("C-1,005000000000U02AAE,7\n") || held.contains("C-1,005000000000U02,7\n"),
        "{held}"
    );
    assert!(held.contains("C-2,005000000000U01"), "{held}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected
            .contains("K-2,match,AccountId,\"2 of `Contact` refer to `Account` 001000000002AAAAA2")
            && rejected.contains("K-4,match,AccountId,`AccountId` of `Contact` is empty"),
        "{rejected}"
    );
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert!(
        accounts().contains(",1\n") && !accounts().contains(",7\n"),
        "{}",
        accounts()
    );
}

#[test]
fn a_candidate_is_edited_from_its_submission() {
    let place = bullhorn::place_with("");
    let fields = "id = 'id'\n'candidate.customText1' = { column = 'tier', reference = 'edit' }";
    let job = write_back("scores", "JobSubmission", "", fields);
    place
        .scores(
            "id INTEGER PRIMARY KEY, tier VARCHAR(20)",
            "id,tier\n900,gold\n901,gold\n902,gold\n",
        )
        .file("schedules/job.toml", &job)
        .file(
            "ats/JobSubmission.csv",
            "id,candidate,jobOrder,status,isDeleted\n\
             900,10,79,Submission,false\n\
             901,11,79,Submission,false\n\
             902,11,78,Submission,false\n",
        );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected", "{run}");
    let tiers = bullhorn::tiers(&place);
    assert!(tiers.contains("R-1,gold\nR-2,\n"), "{tiers}");
    let rejected = place.rejected(run.run());
    let why = "2 of `JobSubmission` refer to `Candidate` 11 by `candidate`";
    assert!(rejected.contains(why), "{rejected}");
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert!(bullhorn::tiers(&place).contains("R-1,\n"), "{undo}");
}

#[test]
fn rows_of_dataverse_are_edited_and_assigned_along_lookups() {
    let place = dataverse::place("", "id,score,risk,note\n");
    let fields = "cr_customerid = 'id'
ownerid = { column = 'owner', refers_to = 'systemuser.internalemailaddress' }
'cr_manager.internalemailaddress' = 'manager'
'primarycontactid.jobtitle' = { column = 'title', reference = 'edit', not_found = 'keep' }";
    place
        .file(
            "environment/systemuser.csv",
            "systemuserid,fullname,internalemailaddress\n\
             00000000-0000-4000-8000-000000000e01,Ada,ada@example.com\n\
             00000000-0000-4000-8000-000000000e02,Bob,bob@example.com\n",
        )
        .scores(
            "id VARCHAR(18) PRIMARY KEY, owner VARCHAR(80), manager VARCHAR(80), title VARCHAR(40)",
            "id,owner,manager,title\n\
             C-1,ada@example.com,bob@example.com,Buyer\n\
             C-2,bob@example.com,bob@example.com,x\n",
        )
        .file(
            "schedules/job.toml",
            &write_back("scores", "account", "", fields),
        );
    let titles = || {
        let sql = "SELECT json_extract(body, '$.lastname'), json_extract(body, '$.jobtitle') \
                   FROM documents WHERE kind = 'contact' ORDER BY 1";
        place.query_file(".writeback/practice/crm.db", sql)
    };
    let run = place.run();
    assert_eq!(
        run.summary(),
        "2 read = 2 updated\n2 read = 1 updated + 1 skipped",
        "{run}"
    );
    assert!(titles().contains("Okoye,\nQuist,Buyer\n"), "{}", titles());
    let again = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(
        again.summary(),
        "2 read = 2 unchanged\n2 read = 1 unchanged + 1 skipped",
        "{again}"
    );
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert!(titles().contains("Okoye,\nQuist,\n"), "{}", titles());
}
