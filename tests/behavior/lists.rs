//! Fields that list rows of other tables: Dataverse's relationships of many to many, and HubSpot's
//! associations with and without labels. They are set, added to, taken from, previewed, verified and
//! taken back as any field is.

use crate::dataverse;
use crate::harness::{Portal, Served, Workspace, write_back};

/// The rows' ids end so; all before that is the same.
const ID: &str = "00000000-0000-4000-8000-000000000";

const MEMBERS: &str = "id VARCHAR(18) PRIMARY KEY, note VARCHAR(255), members VARCHAR(400)";

/// `c01;c02` with the ids written out.
fn ids(short: &str) -> String {
    let ids = short.split(';').filter(|id| !id.is_empty());
    ids.map(|id| format!("{ID}{id}"))
        .collect::<Vec<_>>()
        .join(";")
}

/// An environment of three accounts and three contacts, and a job that says which belong together:
/// an account, a note and ids.
fn environment(list: &str, records: &[(&str, &str, &str)]) -> Workspace {
    let place = dataverse::place("", "id,score,risk,note\n");
    let contacts = ["c01", "c02", "c03"].map(|id| format!("{},{id}\n", ids(id)));
    let accounts = [
        ("a01", "C-1", "c01;c02"),
        ("a02", "C-2", ""),
        ("a03", "C-3", "c03"),
    ]
    .map(|(id, key, members)| format!("{},{id},{key},old,{}\n", ids(id), ids(members)));
    place
        .file(
            "environment/contact.csv",
            &format!("contactid,lastname\n{}", contacts.concat()),
        )
        .file(
            "environment/account.csv",
            &format!(
                "accountid,name,cr_customerid,cr_healthnote,cr_account_contact\n{}",
                accounts.concat()
            ),
        );
    lists(&place, list, records);
    place
}

/// What the job says, in this way.
fn lists(place: &Workspace, list: &str, records: &[(&str, &str, &str)]) {
    let line = |(id, note, members): &(&str, &str, &str)| format!("{id},{note},{members}\n");
    let fields = format!(
        "cr_customerid = 'id'\ncr_healthnote = 'note'\ncr_account_contact = {{ column = 'members'{list} }}"
    );
    let records: String = records.iter().map(line).collect();
    place
        .scores(MEMBERS, &format!("id,note,members\n{records}"))
        .file(
            "schedules/job.toml",
            &write_back("scores", "account", "", &fields),
        );
}

/// `C-1,old,c01,c02` of each account.
fn listed(place: &Workspace) -> String {
    let sql = "SELECT json_extract(body, '$.cr_customerid'), json_extract(body, '$.cr_healthnote'),
               json_extract(body, '$.cr_account_contact') FROM documents WHERE kind = 'account' ORDER BY 1";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let csv = csv.replace(ID, "").replace(['"', '[', ']'], "");
    csv.lines().skip(1).collect::<Vec<_>>().join(" | ")
}

const BEFORE: &str = "C-1,old,c01,c02 | C-2,old, | C-3,old,c03";

#[test]
fn rows_of_another_table_are_listed_previewed_verified_and_taken_back() {
    let upper = format!("{{{}}}", ids("c01").to_uppercase());
    let place = environment(
        "",
        &[
            ("C-1", "new", &ids("c03;c02")),
            ("C-2", "old", &upper),
            ("C-3", "new", ""),
        ],
    );
    // Pages of one: the rest of a list is fetched by the link that leads on.
    let environment = Served::among(&place, "page=1");
    let preview = place.command(&["preview", "job"]);
    assert!(preview.stdout.contains("cr_account_contact"), "{preview}");
    assert_eq!(listed(&place), BEFORE, "{preview}");
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 3 updated", "{run}");
    let after = "C-1,new,c02,c03 | C-2,old,c01 | C-3,new,";
    assert_eq!(listed(&place), after, "{run}");
    let again = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(again.summary(), "3 read = 3 unchanged", "{again}");
    let verify = place.command(&["verify", "job"]);
    assert_eq!(verify.code, 0, "{verify}");
    let history = place.command(&["history", "scores", "--record", "C-1"]);
    assert!(history.stdout.contains("cr_account_contact"), "{history}");
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert_eq!(listed(&place), BEFORE, "{undo}");
    drop(environment);
}

#[test]
fn other_people_s_members_stay_and_what_is_no_row_is_refused() {
    let place = environment(
        ", list = 'add'",
        &[
            ("C-1", "old", &ids("c03")),
            ("C-2", "old", &ids("c99")),
            ("C-3", "old", "Acme"),
        ],
    );
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected", "{run}");
    let added = "C-1,old,c01,c02,c03 | C-2,old, | C-3,old,c03";
    assert_eq!(listed(&place), added, "{run}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains(&format!(
            "Entity 'contact' With Id = {} Does Not Exist",
            ids("c99")
        )) && rejected.contains("`Acme` names no row: write its GUID"),
        "{rejected}"
    );
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert_eq!(listed(&place), BEFORE, "{undo}");
    lists(
        &place,
        ", list = 'remove'",
        &[("C-1", "old", &ids("c01;c03"))],
    );
    let removed = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(removed.summary(), "1 read = 1 updated", "{removed}");
    assert_eq!(listed(&place), "C-1,old,c02 | C-2,old, | C-3,old,c03");
}

#[test]
fn a_list_that_was_not_set_when_the_run_died_is_set_by_the_next_one() {
    let records: [(&str, &str, &str); 2] = [("C-1", "new", "c03"), ("C-2", "new", "c01;c02")];
    let records = records.map(|(id, note, members)| (id, note, ids(members)));
    let records: Vec<(&str, &str, &str)> = records
        .iter()
        .map(|(id, note, members)| (*id, *note, members.as_str()))
        .collect();
    let after = "C-1,new,c01,c02,c03 | C-2,new,c01,c02 | C-3,old,c03";
    let place = environment(", list = 'add'", &records);
    let death = [("WRITEBACK_ABORT_AT", "1 lists set before their rows")];
    let killed = place.command_with(&["run", "job", "--json"], &death);
    assert!(killed.stderr.contains("dies here"), "{killed}");
    let half = "C-1,old,c01,c02,c03 | C-2,old,c01,c02 | C-3,old,c03";
    assert_eq!(listed(&place), half, "{killed}");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    assert_eq!(listed(&place), after, "{run}");
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert_eq!(listed(&place), BEFORE, "{undo}");
    // The answer to what lists them is lost: it is sent again, and finds that it was done.
    let lost = Served::among(&place, "drop_after:batch=@1");
    let again = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(again.summary(), "2 read = 2 updated", "{again}");
    assert_eq!(listed(&place), after, "{again}");
    drop(lost);
}

/// Gives accounts two lists of accounts: those that they supply, and those by which they are supplied.
fn relate_accounts(place: &Workspace) {
    let own = r#""ManyToManyRelationships": [
    {
      "SchemaName": "cr_account_supplies",
      "IntersectEntityName": "cr_account_supplies",
      "Entity1LogicalName": "account",
      "Entity1NavigationPropertyName": "cr_supplies",
      "Entity2LogicalName": "account",
      "Entity2NavigationPropertyName": "cr_supplied_by"
    },"#;
    let definition = place.text("environment/account.json");
    let related = definition.replacen("\"ManyToManyRelationships\": [", own, 1);
    assert_ne!(definition, related);
    place.file("environment/account.json", &related);
}

#[test]
fn accounts_list_accounts_from_either_side() {
    let place = environment("", &[("C-1", "old", &ids("a02;a03")), ("C-2", "old", "")]);
    relate_accounts(&place);
    let job = place.text("schedules/job.toml");
    let supplies = || {
        let sql = "SELECT json_extract(body, '$.cr_customerid') AS of, json_extract(body, '$.cr_supplies') FROM documents
                   WHERE kind = 'account' ORDER BY of";
        let csv = place.query_file(".writeback/practice/crm.db", sql);
        let csv = csv.replace(ID, "").replace(['"', '[', ']'], "");
        csv.lines().skip(1).collect::<Vec<_>>().join(" | ")
    };
    for (name, after) in [
        ("cr_supplies", "C-1,a02,a03 | C-2, | C-3,"),
        ("cr_supplied_by", "C-1, | C-2,a01 | C-3,a01"),
    ] {
        place.file(
            "schedules/job.toml",
            &job.replace("cr_account_contact", name),
        );
        let run = place.command(&["run", "job", "--json", "--again"]);
        assert_eq!(
            run.summary(),
            "2 read = 1 updated + 1 unchanged",
            "{name}: {run}"
        );
        assert_eq!(supplies(), after, "{run}");
        let again = place.command(&["run", "job", "--json", "--again"]);
        assert_eq!(again.summary(), "2 read = 2 unchanged", "{name}: {again}");
        let undo = place.command(&["undo", &run.run().to_string()]);
        assert_eq!(undo.code, 0, "{name}: {undo}");
        assert_eq!(supplies(), "C-1, | C-2, | C-3,", "{undo}");
    }
}

#[test]
fn an_account_is_put_below_another_which_is_edited_from_there() {
    let place = environment("", &[("C-1", "by C-1", "C-2"), ("C-3", "by C-3", "C-9")]);
    let job = |fields: &str| {
        let fields = format!("cr_customerid = 'id'\n{fields}");
        place.file(
            "schedules/job.toml",
            &write_back("scores", "account", "ignore = ['note']\n", &fields),
        );
    };
    let held = || {
        let sql = "SELECT json_extract(body, '$.cr_customerid') AS of, json_extract(body, '$.parentaccountid.id'),
                   json_extract(body, '$.cr_healthnote') FROM documents WHERE kind = 'account' ORDER BY of";
        let csv = place.query_file(".writeback/practice/crm.db", sql);
        let csv = csv.replace(ID, "");
        csv.lines().skip(1).collect::<Vec<_>>().join(" | ")
    };
    job("parentaccountid = { column = 'members', refers_to = 'account.cr_customerid' }");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 1 updated + 1 rejected", "{run}");
    assert_eq!(held(), "C-1,a02,old | C-2,,old | C-3,,old", "{run}");
    job(
        "'parentaccountid.cr_healthnote' = { column = 'note', reference = 'edit', not_found = 'keep' }",
    );
    let text = place.text("schedules/job.toml");
    place.file(
        "schedules/job.toml",
        &text.replace("['note']", "['members']"),
    );
    let edited = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(
        edited.summary(),
        "2 read = 1 updated + 1 skipped",
        "{edited}"
    );
    assert_eq!(held(), "C-1,a02,old | C-2,,by C-1 | C-3,,old", "{edited}");
    for run in [edited.run(), run.run()] {
        let undo = place.command(&["undo", &run.to_string()]);
        assert_eq!(undo.code, 0, "{undo}");
    }
    assert_eq!(held(), "C-1,,old | C-2,,old | C-3,,old");
}

#[test]
fn a_list_that_somebody_added_to_since_is_left_as_it_is_by_undo() {
    let place = environment(
        ", list = 'add'",
        &[("C-1", "old", &ids("c03")), ("C-2", "old", &ids("c01"))],
    );
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    let members = format!("[\"{}\"]", ids("c01;c02").replace(';', "\",\""));
    place.execute_file(
        ".writeback/practice/crm.db",
        &format!(
            "UPDATE documents SET body = json_set(body, '$.cr_account_contact', json('{members}'))
             WHERE kind = 'account' AND json_extract(body, '$.cr_customerid') = 'C-2'"
        ),
    );
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert!(undo.stdout.contains("changed since"), "{undo}");
    assert_eq!(
        listed(&place),
        "C-1,old,c01,c02 | C-2,old,c01,c02 | C-3,old,c03",
        "{undo}"
    );
}

const LABEL: &str =
    "[[label]]\nfrom = 'companies'\nto = 'contacts'\nname = 'Decision maker'\nid = 38\n";

const COMPANIES: &str = "hs_object_id,name,account_id,health_note,associated_contacts
101,One,A1,old,501;502
102,Two,A2,old,
103,Three,A3,old,502
";

const CONTACTS: &str = "hs_object_id,lastname,email,contact_key
501,Raj,raj@example.com,K1
502,Esra,esra@example.com,K2
503,Cy,cy@example.com,K3
";

/// A portal of three companies and three contacts.
fn portal() -> Workspace {
    let place = Portal::place(LABEL);
    place
        .file("portal/companies.csv", COMPANIES)
        .file("portal/contacts.csv", CONTACTS)
        .file(
            "writeback.toml",
            "[connections.files]\nkind = 'files'\nfolder = 'data'\n\
             [connections.crm]\nkind = 'hubspot'\npractice = 'portal'\nattempts_max = 4\n",
        );
    place
}

/// A job that says who belongs to a company, and who decides there.
fn belongings(place: &Workspace, list: &str, records: &str) {
    let fields = format!(
        "account_id = 'id'\nhealth_note = 'note'\nassociated_contacts = {{ column = 'members'{list} }}\n\
         'associated_contacts/Decision maker' = {{ column = 'makers'{list} }}"
    );
    place
        .scores(
            "id VARCHAR(18) PRIMARY KEY, note VARCHAR(255), members VARCHAR(99), makers VARCHAR(99)",
            &format!("id,note,members,makers\n{records}"),
        )
        .file(
            "schedules/job.toml",
            &write_back("scores", "companies", "", &fields),
        );
}

/// `101 501`, and `101 501!` of those who decide.
fn associated(place: &Workspace) -> String {
    let sql =
        "SELECT id FROM documents WHERE kind = '_association' AND id LIKE '0-2 %' ORDER BY id";
    let csv = place.query_file(".writeback/practice/crm.db", sql);
    let one = |line: &str| {
        let parts: Vec<&str> = line.split(' ').collect();
        let sign = if parts[4] == "38" { "!" } else { "" };
        format!("{} {}{sign}", parts[1], parts[3])
    };
    csv.lines().skip(1).map(one).collect::<Vec<_>>().join(" | ")
}

const ASSOCIATED: &str = "101 501 | 101 502 | 103 502";

#[test]
fn a_company_s_contacts_and_their_labels_are_set_and_taken_back() {
    let place = portal();
    belongings(&place, "", "A1,new,502;503,502\nA2,old,501,501\nA3,new,,\n");
    let preview = place.command(&["preview", "job"]);
    assert!(preview.stdout.contains("502;503"), "{preview}");
    assert_eq!(associated(&place), ASSOCIATED, "{preview}");
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 3 updated", "{run}");
    let after = "101 502 | 101 502! | 101 503 | 102 501 | 102 501!";
    assert_eq!(associated(&place), after, "{run}");
    let again = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(again.summary(), "3 read = 3 unchanged", "{again}");
    let verify = place.command(&["verify", "job"]);
    assert_eq!(verify.code, 0, "{verify}");
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert_eq!(associated(&place), ASSOCIATED, "{undo}");
}

#[test]
fn contacts_are_added_across_a_kill_and_what_is_none_is_refused_alone() {
    let place = portal();
    belongings(
        &place,
        ", list = 'add'",
        "A1,new,503,501\nA2,old,999,\nA3,old,Esra,\n",
    );
    let death = [(
        "WRITEBACK_ABORT_AT",
        "1 associations set before their records",
    )];
    let killed = place.command_with(&["run", "job", "--json"], &death);
    assert!(killed.stderr.contains("dies here"), "{killed}");
    assert_ne!(associated(&place), ASSOCIATED, "{killed}");
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected", "{run}");
    let after = "101 501 | 101 501! | 101 502 | 101 503 | 103 502";
    assert_eq!(associated(&place), after, "{run}");
    let rejected = place.rejected(run.run());
    assert!(
        rejected.contains("999 is not a valid ID")
            && rejected.contains("`Esra` is no id of a record"),
        "{rejected}"
    );
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert_eq!(associated(&place), ASSOCIATED, "{undo}");
}

#[test]
fn contacts_that_somebody_added_since_are_left_by_undo() {
    let place = portal();
    belongings(&place, ", list = 'add'", "A1,old,503,\nA2,old,501,\n");
    let run = place.run();
    assert_eq!(run.summary(), "2 read = 2 updated", "{run}");
    let served = Portal::serve(&place, &[]);
    let path = "/crm/objects/2026-09/contacts/502/associations/default/companies/102";
    let added = served.ask("PUT", path, &serde_json::Value::Null);
    assert_eq!(added.status, 201, "{added:?}");
    drop(served);
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert!(undo.stdout.contains("changed since"), "{undo}");
    let left = "101 501 | 101 502 | 102 501 | 102 502 | 103 502";
    assert_eq!(associated(&place), left, "{undo}");
}

#[test]
fn the_company_that_a_contact_belongs_to_is_edited_and_re_pointed() {
    let place = portal();
    place
        .file(
            "portal/companies.csv",
            &COMPANIES.replace("103,Three,A3,old,502", "103,Three,A3,old,503"),
        )
        .scores(
            "id VARCHAR(18) PRIMARY KEY, note VARCHAR(99)",
            "id,note\nK1,by Raj\nK2,by Esra\nK3,by Cy\n",
        )
        .file(
            "schedules/job.toml",
            &write_back(
                "scores",
                "contacts",
                "",
                "contact_key = 'id'\n'associated_companies.health_note' = { column = 'note', reference = 'edit' }",
            ),
        );
    let notes = || {
        let sql = "SELECT json_extract(body, '$.properties.account_id'), json_extract(body, '$.properties.health_note') \
                   FROM documents WHERE kind = 'companies' ORDER BY 1";
        place.query_file(".writeback/practice/crm.db", sql)
    };
    let run = place.run();
    assert_eq!(run.summary(), "3 read = 1 updated + 2 rejected", "{run}");
    assert!(
        notes().contains("A1,old\nA2,old\nA3,by Cy\n"),
        "{}",
        notes()
    );
    let rejected = place.rejected(run.run());
    let shared = "2 of `contacts` refer to `companies` 101 by `associated_companies`";
    assert!(rejected.contains(shared), "{rejected}");
    let undo = place.command(&["undo", &run.run().to_string()]);
    assert_eq!(undo.code, 0, "{undo}");
    assert!(notes().contains("A3,old\n"), "{}", notes());
    let job = write_back(
        "scores",
        "contacts",
        "",
        "contact_key = 'id'\nassociated_companies = { column = 'note', refers_to = 'companies.account_id' }",
    );
    place.file("schedules/job.toml", &job).scores(
        "id VARCHAR(18) PRIMARY KEY, note VARCHAR(99)",
        "id,note\nK1,A3\nK2,A9\n",
    );
    let moved = place.command(&["run", "job", "--json", "--again"]);
    assert_eq!(
        moved.summary(),
        "2 read = 1 updated + 1 rejected",
        "{moved}"
    );
    assert_eq!(associated(&place), "101 502 | 103 501 | 103 503", "{moved}");
}
