//! Referrals into Salesforce, HubSpot and Dataverse: a contact, what belongs to it, and a note on it,
//! each made once, whatever happens in between.

use std::path::Path;
use std::process::Child;

use serde_json::{Value, json};

use crate::harness::{Portal, Server, Workspace};
use crate::referrals::{SCHEMA, referrals};

/// Esra Okoye is there already.
const REFERRALS: &str = "N-1,Ada,Lovelace,ada@x.example,77,Bo & Co\n\
    N-2,Esra,Okoye,esra@example.com,78,Bo\n\
    N-3,Cy,Ek,cy@x.example,78,Di\n";

const ALL_MADE: &str = "3 read = 2 inserted + 1 skipped\n3 read = 3 inserted\n3 read = 3 inserted";

const ALL_THERE: &str = "3 read = 3 skipped\n3 read = 3 skipped\n3 read = 3 skipped";

/// How far the practice portal's search is behind, and what the connection says of it.
const LAG: &str = "400ms";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Salesforce,
    HubSpot,
    Dataverse,
}

impl Api {
    const ALL: [Self; 3] = [Self::Salesforce, Self::HubSpot, Self::Dataverse];

    fn name(self) -> &'static str {
        match self {
            Self::Salesforce => "salesforce",
            Self::HubSpot => "hubspot",
            Self::Dataverse => "dataverse",
        }
    }

    /// A project with an account of its own, which the referral job writes to.
    fn place(self) -> Workspace {
        let place = match self {
            Self::HubSpot => Portal::place(&format!("[portal]\nsearch_lag = '{LAG}'\n")),
            Self::Salesforce | Self::Dataverse => Workspace::on(Server::Sqlite),
        };
        let folder = match self {
            Self::Salesforce => salesforce_org(&place),
            Self::HubSpot => "portal",
            Self::Dataverse => dataverse_environment(&place),
        };
        let lag = match self {
            Self::HubSpot => format!("search_lag = '{LAG}'\n"),
            Self::Salesforce | Self::Dataverse => String::new(),
        };
        let connection = format!(
            "[connections.files]\nkind = 'files'\nfolder = 'data'\n\
             [connections.crm]\nkind = '{}'\npractice = '{folder}'\nattempts_max = 4\n{lag}",
            self.name()
        );
        place.file("writeback.toml", &connection);
        place.file("sql/referral.sql", SCHEMA);
        place.file("schedules/job.toml", &self.job());
        referrals(&place, REFERRALS);
        place
    }

    fn job(self) -> String {
        let (contact, fields, belongings, about, note) = match self {
            Self::Salesforce => (
                "table = 'Contact'\nexists_by = ['Email']",
                "Email = 'email'\nFirstName = 'first_name'\nLastName = 'last_name'",
                "table = 'Referral__c'\nexists_by = [['Contact__c', 'Job__c']]\n\
                 [write_back.steps.fields]\nContact__c = { id_of = 'contact' }\nJob__c = 'job_id'",
                "table = 'Contact'\n[write_back.fields]\nEmail = 'email'",
                "columns = { marker = 'Marker__c' }\naction = 'Referral'\nlinked = { Status = { string = 'Completed' } }",
            ),
            Self::HubSpot => (
                "table = 'contacts'\nexists_by = ['email']",
                "email = 'email'\nfirstname = 'first_name'\nlastname = 'last_name'",
                "table = 'deals'\nexists_by = [['dealname', 'associated_contacts']]\n\
                 [write_back.steps.fields]\ndealname = 'job_id'\n\
                 associated_contacts = { id_of = 'contact' }\npipeline = { string = 'default' }\ndealstage = { string = 'appointmentscheduled' }",
                "table = 'contacts'\n[write_back.fields]\nemail = 'email'",
                "columns = { marker = 'note_key' }",
            ),
            Self::Dataverse => (
                "table = 'contact'\nexists_by = ['emailaddress1']",
                "emailaddress1 = 'email'\nfirstname = 'first_name'\nlastname = 'last_name'",
                "table = 'cr_submission'\nexists_by = [['cr_customer', 'cr_job']]\n\
                 [write_back.steps.fields]\ncr_customer = { id_of = 'contact' }\ncr_job = 'job_id'",
                "table = 'contact'\n[write_back.fields]\nemailaddress1 = 'email'",
                "action = 'Referral'",
            ),
        };
        let step = "[[write_back.steps]]\nname = ";
        let write_back = "schema = 'sql/referral.sql'\nsource = 'files'\ndestination = 'crm'\n";
        format!(
            "[[write_back]]\nname = 'referral'\nignore = ['referrer']\n{write_back}\
             {step}'contact'\n{contact}\n[write_back.steps.fields]\n{fields}\n\
             {step}'belonging'\n{belongings}\n\
             [[write_back]]\nname = 'note'\n{write_back}{about}\n\
             [write_back.note]\ntext = 'Referred by {{referrer}} for job {{job_id}}.'\n{note}\n"
        )
    }

    /// What the three kinds of records hold: contacts, then what belongs to each of them by its
    /// address, then the notes.
    fn held(self, place: &Workspace) -> [String; 3] {
        let sql = match self {
            Self::Salesforce => SALESFORCE_HELD,
            Self::HubSpot => HUBSPOT_HELD,
            Self::Dataverse => DATAVERSE_HELD,
        };
        sql.map(|sql| {
            let csv = place.query_file(".writeback/practice/crm.db", sql);
            let mut lines: Vec<&str> = csv.lines().skip(1).collect();
            lines.sort_unstable();
            lines.join("\n")
        })
    }

    fn expected(self) -> [String; 3] {
        let ampersand = if self == Self::HubSpot { "&amp;" } else { "&" };
        let contacts = ["ada@x.example", "cy@x.example", "esra@example.com"];
        [
            contacts.join("\n"),
            "ada@x.example,77\ncy@x.example,78\nesra@example.com,78".to_owned(),
            format!(
                "ada@x.example,Referred by Bo {ampersand} Co for job 77.\n\
                 cy@x.example,Referred by Di for job 78.\n\
                 esra@example.com,Referred by Bo for job 78."
            ),
        ]
    }
}

const SALESFORCE_HELD: [&str; 3] = [
    "SELECT json_extract(body, '$.Email') FROM documents WHERE kind = 'Contact'",
    "SELECT json_extract(one.body, '$.Email'), json_extract(it.body, '$.Job__c') FROM documents it
     JOIN documents one ON one.kind = 'Contact' AND json_extract(it.body, '$.Contact__c') = json_extract(one.body, '$.Id')
     WHERE it.kind = 'Referral__c'",
    "SELECT json_extract(one.body, '$.Email'), json_extract(it.body, '$.Description') FROM documents it
     JOIN documents one ON one.kind = 'Contact' AND json_extract(it.body, '$.WhoId') = json_extract(one.body, '$.Id')
     WHERE it.kind = 'Task'",
];

const HUBSPOT_HELD: [&str; 3] = [
    "SELECT json_extract(body, '$.properties.email') FROM documents
     WHERE kind = 'contacts' AND json_extract(body, '$.properties.email') <> 'raj@example.com'",
    "SELECT json_extract(one.body, '$.properties.email'), json_extract(it.body, '$.properties.dealname')
     FROM documents it, documents link, documents one
     WHERE it.kind = 'deals' AND one.kind = 'contacts' AND json_extract(link.body, '$.from[0]') = '0-3'
       AND json_extract(link.body, '$.from[1]') = CAST(it.id AS INTEGER)
       AND json_extract(link.body, '$.to[0]') = '0-1' AND json_extract(link.body, '$.to[1]') = CAST(one.id AS INTEGER)",
    "SELECT json_extract(one.body, '$.properties.email'), json_extract(it.body, '$.properties.hs_note_body')
     FROM documents it, documents link, documents one
     WHERE it.kind = 'notes' AND one.kind = 'contacts' AND json_extract(link.body, '$.from[0]') = '0-46'
       AND json_extract(link.body, '$.from[1]') = CAST(it.id AS INTEGER)
       AND json_extract(link.body, '$.to[0]') = '0-1' AND json_extract(link.body, '$.to[1]') = CAST(one.id AS INTEGER)",
];

const DATAVERSE_HELD: [&str; 3] = [
    "SELECT json_extract(body, '$.emailaddress1') FROM documents WHERE kind = 'contact'",
    "SELECT json_extract(one.body, '$.emailaddress1'), json_extract(it.body, '$.cr_job') FROM documents it
     JOIN documents one ON one.kind = 'contact' AND it.body LIKE '%' || one.id || '%' WHERE it.kind = 'cr_submission'",
    "SELECT json_extract(one.body, '$.emailaddress1'), json_extract(it.body, '$.notetext') FROM documents it
     JOIN documents one ON one.kind = 'contact' AND it.body LIKE '%' || one.id || '%' WHERE it.kind = 'annotation'",
];

fn fixture(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(file);
    let text = std::fs::read_to_string(path).expect(file);
    serde_json::from_str(&text).expect("JSON")
}

/// A copy of the entry of this name, with other members.
fn like(entries: &Value, key: &str, name: &str, members: Value) -> Value {
    let all = entries.as_array().expect("a list");
    let found = all.iter().find(|entry| entry[key] == name);
    let mut copy = found.unwrap_or_else(|| panic!("no {name}")).clone();
    for (member, value) in members.as_object().expect("members") {
        copy[member] = value.clone();
    }
    copy
}

/// An org with contacts, referrals of its own, and tasks.
fn salesforce_org(place: &Workspace) -> &'static str {
    let contact = fixture("salesforce/Contact.json");
    let fields = &contact["fields"];
    let own = |name: &str, prefix: &str, further: Vec<Value>| {
        let system = [
            "Id",
            "IsDeleted",
            "OwnerId",
            "CreatedDate",
            "LastModifiedDate",
            "SystemModstamp",
        ];
        let system = system.map(|name| like(fields, "name", name, json!({})));
        let mut object = contact.clone();
        object["name"] = name.into();
        object["keyPrefix"] = prefix.into();
        object["fields"] = system.into_iter().chain(further).collect();
        place.file(&format!("org/{name}.json"), &object.to_string());
    };
    let text = |name: &str| like(fields, "name", "Title", json!({ "name": name }));
    let link = |name: &str, to: Value| {
        let members = json!({ "name": name, "referenceTo": to, "relationshipName": name.replace("Id", "").replace("__c", "__r") });
        like(fields, "name", "AccountId", members)
    };
    own(
        "Referral__c",
        "a0R",
        vec![link("Contact__c", json!(["Contact"])), text("Job__c")],
    );
    let long = like(fields, "name", "Description", json!({}));
    own(
        "Task",
        "00T",
        vec![
            link("WhoId", json!(["Contact", "Lead"])),
            text("Subject"),
            text("Status"),
            text("Marker__c"),
            long,
        ],
    );
    for file in ["Account.json", "Contact.json", "User.json"] {
        place.file(
            &format!("org/{file}"),
            &fixture(&format!("salesforce/{file}")).to_string(),
        );
    }
    let user = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/salesforce/User.csv");
    place.file(
        "org/User.csv",
        &std::fs::read_to_string(user).expect("users"),
    );
    place.file("org/practice.toml", "");
    place.file(
        "org/Contact.csv",
        "Id,LastName,Email\n003000000000C02,Okoye,esra@example.com\n",
    );
    "org"
}

/// An environment with contacts, submissions of its own, and notes.
fn dataverse_environment(place: &Workspace) -> &'static str {
    let contact = fixture("dataverse/contact.json");
    let attributes = &contact["Attributes"];
    let lookup = |name: &str| {
        let schema_name = name.to_uppercase();
        like(
            attributes,
            "LogicalName",
            "parentcustomerid",
            json!({ "LogicalName": name, "SchemaName": schema_name }),
        )
    };
    let text = |name: &str, length: u64| {
        like(
            attributes,
            "LogicalName",
            "jobtitle",
            json!({ "LogicalName": name, "MaxLength": length }),
        )
    };
    let own = |name: &str, id: &str, lookup_name: &str, further: Vec<Value>| {
        let system = ["createdon", "modifiedon", "ownerid", "versionnumber"];
        let system = system.map(|name| like(attributes, "LogicalName", name, json!({})));
        let key = like(
            attributes,
            "LogicalName",
            "contactid",
            json!({ "LogicalName": id }),
        );
        let links = contact["ManyToOneRelationships"]
            .as_array()
            .expect("relationships");
        let mut links = links.clone();
        for link in &mut links {
            if link["ReferencingAttribute"] == "parentcustomerid" {
                link["ReferencingAttribute"] = lookup_name.into();
                let target = link["ReferencedEntity"].as_str().expect("a table");
                link["ReferencingEntityNavigationPropertyName"] =
                    format!("{lookup_name}_{target}").into();
            }
            link["ReferencingEntity"] = name.into();
        }
        let mut table = contact.clone();
        for (member, value) in [
            ("name", json!(name)),
            ("LogicalName", json!(name)),
            ("EntitySetName", json!(format!("{name}s"))),
            ("PrimaryIdAttribute", json!(id)),
            ("PrimaryNameAttribute", json!(null)),
            ("Keys", json!([])),
            ("ManyToOneRelationships", json!(links)),
            (
                "Attributes",
                std::iter::once(key).chain(system).chain(further).collect(),
            ),
        ] {
            table[member] = value;
        }
        place.file(&format!("environment/{name}.json"), &table.to_string());
    };
    own(
        "cr_submission",
        "cr_submissionid",
        "cr_customer",
        vec![lookup("cr_customer"), text("cr_job", 40)],
    );
    let note = vec![
        lookup("objectid"),
        text("subject", 500),
        text("notetext", 10_000),
    ];
    own("annotation", "annotationid", "objectid", note);
    for table in ["account", "contact", "systemuser", "team"] {
        let text = fixture(&format!("dataverse/{table}.json")).to_string();
        place.file(&format!("environment/{table}.json"), &text);
    }
    place.file("environment/practice.toml", "");
    place.file(
        "environment/contact.csv",
        "contactid,lastname,emailaddress1\n00000000-0000-4000-8000-000000000c02,Okoye,esra@example.com\n",
    );
    "environment"
}

/// The practice in a process of its own, with faults.
struct Faulty(Child);

impl Faulty {
    fn start(place: &Workspace, faults: &str) -> Self {
        let mut child = place.start(&["practice", "crm", "--faults", faults]);
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
            .expect("a line");
        assert!(line.starts_with("practice "), "{line}");
        Self(child)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn referrals_are_written_to_every_web_api_once_and_without_a_needless_warning() {
    for api in Api::ALL {
        let place = api.place();
        let check = place.command(&["check", "job"]);
        assert_eq!(check.code, 0, "{api:?}: {check}");
        assert!(
            !check.stderr.contains("may stand on several records"),
            "{api:?}: {check}"
        );
        let run = place.run();
        assert_eq!(run.summary(), ALL_MADE, "{api:?}: {run}");
        assert_eq!(api.held(&place), api.expected(), "{api:?}: {run}");
        let again = place.command(&["run", "job", "--again", "--json"]);
        assert_eq!(again.summary(), ALL_THERE, "{api:?}: {again}");
        assert_eq!(api.held(&place), api.expected(), "{api:?}: {again}");
    }
}

#[test]
fn lost_answers_of_creates_double_nothing_in_any_web_api() {
    for (api, faults) in [
        (
            Api::Salesforce,
            "drop_after:create=@1@2@4,drop_before:create=@3",
        ),
        (
            Api::HubSpot,
            "drop_after:create=@1@2@4,drop_before:create=@3",
        ),
        (
            Api::Dataverse,
            "drop_after:batch=@1@2@4,drop_before:batch=@3",
        ),
    ] {
        let place = api.place();
        let faulty = Faulty::start(&place, faults);
        let run = place.run_with_retries(4);
        drop(faulty);
        assert_eq!(run.json()["status"], "succeeded", "{api:?}: {run}");
        assert_eq!(api.held(&place), api.expected(), "{api:?}: {run}");
    }
}

#[test]
fn killed_anywhere_no_web_api_has_anything_twice() {
    for api in Api::ALL {
        let place = api.place();
        let mut deaths = 0;
        // Each place is met by one of the APIs, and most of them by several.
        for point in (9..400).step_by(47) {
            let at = point.to_string();
            let killed = place.command_with(&["run", "job"], &[("WRITEBACK_ABORT_AT", &at)]);
            let died = killed.stderr.contains("dies here");
            let run = if died {
                place.command(&["run", "job"])
            } else {
                killed
            };
            assert_eq!(run.code, 0, "{api:?}, behind change {point}: {run}");
            assert_eq!(
                api.held(&place),
                api.expected(),
                "{api:?}, behind change {point}"
            );
            if !died {
                break;
            }
            std::fs::remove_dir_all(place.path(".writeback")).expect("state to remove");
            deaths += 1;
        }
        assert!(deaths > 1, "{api:?}: it died at {deaths} places only");
    }
}
