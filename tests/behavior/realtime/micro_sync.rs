//! Micro-sync: what depends on a reference is told as soon as that is pointed elsewhere, and stands
//! in the source's own row.

use serde_json::{Value, json};

use super::caller::{Answering, CALLER, TOKEN, path_of, send};
use crate::harness::{Server, Workspace, write_back};
use crate::references::{self, USERS, org_accounts};

const OWNER: &str = "id = 'id'
score = 'score'
owner_id = { column = 'owner', refers_to = 'owners.email', realtime = true }";

const MIRRORED: &str = "source = 'crm'
read_back = ['score']
mirror = { team = 'owners.team' }";

/// Accounts whose source is a table of the same database, which has a column for the owner's team.
fn place(server: Server) -> Workspace {
    let place = references::place(server, "", "id,score,owner\n");
    place.table(
        "scores",
        "id VARCHAR(18) PRIMARY KEY, score INTEGER, owner VARCHAR(80), team VARCHAR(20)",
        "id,score,owner,team\nA1,10,bob@example.com,old\nA2,20,bob@example.com,old\n",
    );
    let project = place.text("writeback.toml");
    place.file("writeback.toml", &format!("{project}\n{CALLER}"));
    place.job(MIRRORED, OWNER);
    place
}

fn owned_by(address: &str) -> String {
    json!({"values": {"owner": address}}).to_string()
}

fn teams(place: &Workspace) -> String {
    place.query("SELECT id, team FROM scores ORDER BY id")
}

#[test]
fn what_depends_on_an_owner_is_told_at_once_and_stands_in_the_source() {
    for server in Server::ALL {
        let place = place(server);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 0, "{server} {check}");
        let told = "and are told score, owners.team; team of `crm` take what they hold";
        assert!(check.stdout.contains(told), "{server} {check}");
        let answering = Answering::start(&place);
        let listed = answering.ask("GET", "/v1/jobs/job/write-backs/scores", "");
        let listed = listed.json();
        assert_eq!(listed["read_back"], json!(["score", "owners.team"]));
        assert_eq!(listed["mirror"], json!({"team": "owners.team"}));

        let answer = answering.change("A1", &owned_by("ada@example.com"));
        assert_eq!(answer.status, 200, "{server} {answer:?}");
        let told = answer.json()["destinations"][0].clone();
        let read_back = json!({"owner_id": "1", "owners.team": "success", "score": "10"});
        assert_eq!(told["read_back"], read_back, "{server} {told}");
        let mirrored = json!({"outcome": "mirrored", "fields": {"team": "success"}});
        assert_eq!(told["mirror"], mirrored, "{server} {told}");
        assert_eq!(teams(&place), "id,team\nA1,success\nA2,old\n", "{server}");
        let again = answering.change("A1", &owned_by("ada@example.com")).json();
        let mirror = &again["destinations"][0]["mirror"];
        assert_eq!(mirror["outcome"], "unchanged", "{server} {again}");

        // Many at once: one is owned by nobody, and one is not in the source.
        let bulk = json!({"records": [
            {"key": {"id": "A2"}, "values": {"owner": null}},
            {"key": {"id": "A4"}, "values": {"owner": "bob@example.com"}}]});
        let path = "/v1/jobs/job/write-backs/scores/records";
        let bulk = answering.ask("POST", path, &bulk.to_string()).json();
        let mirror = |place: usize| bulk["records"][place]["destinations"][0]["mirror"].clone();
        let emptied = json!({"outcome": "mirrored", "fields": {"team": null}});
        assert_eq!(mirror(0), emptied, "{server} {bulk}");
        assert_eq!(bulk["records"][1]["outcome"], "updated", "{server} {bulk}");
        let absent = "the source has no row with this key";
        assert_eq!(
            mirror(1),
            json!({"outcome": "not_mirrored", "reason": absent})
        );
        assert_eq!(teams(&place), "id,team\nA1,success\nA2,\n", "{server}");

        // Whatever the source is like, the request itself is written.
        place.execute("ALTER TABLE scores DROP COLUMN team");
        let answer = answering.change("A1", &owned_by("bob@example.com"));
        assert_eq!(
            answer.told(),
            (200, "updated".to_owned()),
            "{server} {answer:?}"
        );
        let mirror = answer.json()["destinations"][0]["mirror"].clone();
        assert_eq!(mirror["outcome"], "not_mirrored", "{server} {mirror}");
        assert!(mirror["reason"].is_string(), "{server} {mirror}");
    }
}

#[test]
fn a_request_that_is_settled_after_a_kill_is_mirrored_all_the_same() {
    let place = place(Server::Sqlite);
    let at = [("WRITEBACK_ABORT_AT", "1 a batch committed")];
    let answering = Answering::start_with(&place, &at);
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("Idempotency-Key", "k")];
    let body = owned_by("ada@example.com");
    let cut = send(&answering.host, "PATCH", &path_of("A1"), &headers, &body);
    assert!(cut.is_none(), "{cut:?}");
    answering.kill();
    let answering = Answering::start(&place);
    let told = answering.ask_keyed("k", &path_of("A1"), &body).json();
    let told = answering.settled(told["id"].as_str().expect("an id"));
    let told = &told["destinations"][0];
    assert_eq!(told["outcome"], "updated", "{told}");
    assert_eq!(told["read_back"]["owners.team"], "success", "{told}");
    assert_eq!(told["mirror"]["outcome"], "mirrored", "{told}");
    assert_eq!(teams(&place), "id,team\nA1,success\nA2,old\n");
}

#[test]
fn check_says_what_cannot_be_read_back_or_mirrored() {
    let place = place(Server::Sqlite);
    let mirror = |mirror: &str| format!("source = 'crm'\nmirror = {mirror}");
    let cases = [
        (
            "mirror = { team = 'owners.team' }".to_owned(),
            "`mirror` writes into source `files`, which is a folder of files",
        ),
        (mirror("{ id = 'owners.team' }"), "is found by"),
        (
            mirror("{ nowhere = 'owners.team' }"),
            "column `nowhere` is not in",
        ),
        (
            "read_back = ['owner.team']".to_owned(),
            "it has no reference `owner`",
        ),
        (
            "read_back = ['owners.taem']".to_owned(),
            "did you mean `team`?",
        ),
        (
            "read_back = ['id']".to_owned(),
            "is what records are found by",
        ),
    ];
    for (settings, told) in cases {
        place.job(&settings, OWNER);
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 2, "{settings}: {check}");
        assert!(check.stderr.contains(told), "{settings}: {check}");
    }
    place.file(
        "sql/scores.sql",
        "CREATE TABLE scores (id VARCHAR(18) PRIMARY KEY, score INTEGER, owner VARCHAR(80));\n\
         SELECT id, score, owner FROM scores;\n",
    );
    place.job(MIRRORED, OWNER);
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    assert!(check.stderr.contains("reads a query"), "{check}");
}

/// A web API whose record is pointed to another one.
struct Pointed {
    place: fn() -> Workspace,
    table: &'static str,
    fields: &'static str,
    record: &'static str,
    owner: &'static str,
    read_back: (&'static str, &'static str),
}

const ANNA: &str = "05ea9d5b-4ecd-568e-944c-aa49f9c651d8";

const POINTED: [Pointed; 4] = [
    Pointed {
        place: || {
            let place = references::org(USERS, "", "id,score,owner\n");
            place.file("org/Account.csv", &org_accounts(2));
            place
        },
        table: "Account",
        fields: "Customer_Id__c = 'id'
Health_Score__c = 'score'
'Owner.Email' = { column = 'owner', only_where = { IsActive = true }, realtime = true }",
        record: "C-1",
        owner: "two@example.com",
        read_back: ("Owner.Name", "Two"),
    },
    Pointed {
        place: || environment("UUID"),
        table: "account",
        fields: "cr_customerid = 'id'
cr_healthscore = 'score'
cr_manager = { column = 'owner', realtime = true }",
        record: "C-1",
        owner: ANNA,
        read_back: ("cr_manager.fullname", "Anna Kowalska"),
    },
    Pointed {
        place: || environment("VARCHAR(80)"),
        table: "account",
        fields: "cr_customerid = 'id'
cr_healthscore = 'score'
ownerid = { column = 'owner', refers_to = 'systemuser.domainname', realtime = true }",
        record: "C-1",
        owner: "anna.kowalska@practice.example",
        read_back: ("ownerid.fullname", "Anna Kowalska"),
    },
    Pointed {
        place: || {
            let place = crate::bullhorn::place_with("");
            place.scores(
                "id VARCHAR(50) PRIMARY KEY, score INTEGER, owner INTEGER",
                "id,score,owner\n",
            );
            place
        },
        table: "Candidate",
        fields: "externalID = 'id'
owner = { column = 'owner', realtime = true }",
        record: "R-2",
        owner: "2",
        read_back: ("owner.name", "Ada Brook"),
    },
];

fn environment(owner: &str) -> Workspace {
    let place = crate::dataverse::place("", "id,score,owner\n");
    let users = format!(
        "systemuserid,fullname,domainname,isdisabled\n{ANNA},Anna Kowalska,anna.kowalska@practice.example,false\n"
    );
    place.file("environment/systemuser.csv", &users);
    let columns = format!("id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), owner {owner}");
    place.scores(&columns, "id,score,owner\n");
    place
}

#[test]
fn a_web_api_tells_the_name_of_the_record_that_was_pointed_to() {
    for pointed in POINTED {
        let place = (pointed.place)();
        let (field, name) = pointed.read_back;
        let project = place.text("writeback.toml");
        place.file("writeback.toml", &format!("{project}\n{CALLER}"));
        let settings = format!("read_back = ['{field}']\nignore = ['score']");
        let settings = match pointed.fields.contains("'score'") {
            true => settings.replace("\nignore = ['score']", ""),
            false => settings,
        };
        let job = write_back("scores", pointed.table, &settings, pointed.fields);
        place.file("schedules/job.toml", &job);
        let answering = Answering::start(&place);
        let answer = answering.change(pointed.record, &owned_by(pointed.owner));
        assert_eq!(
            answer.told(),
            (200, "updated".to_owned()),
            "{field} {answer:?}"
        );
        let told = answer.json()["destinations"][0].clone();
        assert_eq!(told["read_back"][field], name, "{field} {told}");
        assert_eq!(told["mirror"], Value::Null, "{field} {told}");
    }
}

#[test]
fn nothing_is_read_back_over_references_of_hubspot_and_check_says_so() {
    let place = crate::hubspot::place("", "id,score,risk,note\n");
    let fields = "account_id = 'id'
health_score = { column = 'score', realtime = true }
churn_risk = 'risk'
health_note = 'note'";
    let job = write_back("scores", "companies", "read_back = ['owner.name']", fields);
    place.file("schedules/job.toml", &job);
    let check = place.command(&["check", "job"]);
    assert_eq!(check.code, 2, "{check}");
    let why = "`owner.name`: nothing is read back over references of HubSpot";
    assert!(check.stderr.contains(why), "{check}");
}
