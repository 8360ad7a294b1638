//! A practice HubSpot that runs beside the test, and a plain client of it.

use std::ops::Deref;
use std::path::Path;
use std::process::Child;

use serde_json::{Value, json};

use super::practice::{PracticeClient, Reply, begun};
use super::server::Server;
use super::workspace::Workspace;

/// The token that every practice portal takes.
const TOKEN: &str = "practice";

/// A practice portal, served by a process of its own.
pub(crate) struct Portal {
    process: Option<Child>,
    client: PracticeClient,
}

impl Deref for Portal {
    type Target = PracticeClient;

    fn deref(&self) -> &PracticeClient {
        &self.client
    }
}

impl Portal {
    /// A project with a portal of three companies, which is connected to as `crm`, with these lines
    /// in `practice.toml`.
    pub(crate) fn place(settings: &str) -> Workspace {
        let place = Workspace::on(Server::Sqlite);
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hubspot");
        for file in [
            "companies.json",
            "contacts.json",
            "deals.json",
            "notes.json",
        ] {
            let bytes = std::fs::read(fixtures.join(file)).expect(file);
            place.bytes(&format!("portal/{file}"), &bytes);
        }
        place
            .file("portal/practice.toml", settings)
            .file("portal/owners.csv", OWNERS)
            .file("portal/companies.csv", COMPANIES)
            .file("portal/contacts.csv", CONTACTS)
            .file(
                "writeback.toml",
                "[connections.crm]\nkind = \"hubspot\"\npractice = \"portal\"\n",
            );
        place
    }

    pub(crate) fn serve(place: &Workspace, arguments: &[&str]) -> Self {
        let (process, url) = begun(place, "hubspot", arguments);
        Self {
            process: Some(process),
            client: PracticeClient::at(&url, TOKEN, ""),
        }
    }

    /// A call with the token.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.call(method, path, body)
    }

    /// A batch of companies in the newest version.
    pub(crate) fn batch(&self, op: &str, body: &Value) -> Reply {
        let path = format!("/crm/objects/2026-09/companies/batch/{op}");
        self.ask("POST", &path, body)
    }

    /// What companies hold in these properties, by ids: `one,2|three,4`.
    pub(crate) fn held(&self, ids: &[&str], properties: &[&str]) -> Vec<String> {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({ "properties": properties, "inputs": inputs });
        let told = self.batch("read", &body).json();
        let of = |id: &&str| {
            let results = told["results"].as_array().expect("results");
            let result = results.iter().find(|result| result["id"] == **id);
            let values = properties.iter().map(|name| {
                let value = result.map_or(&Value::Null, |result| &result["properties"][*name]);
                value.as_str().unwrap_or("-").to_owned()
            });
            values.collect::<Vec<_>>().join(",")
        };
        ids.iter().map(of).collect()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.kill();
    }
}

const OWNERS: &str = "id,email,userId,firstName,lastName,archived
41629001,ada@example.com,9586001,Ada,Quist,false
41629018,ben@example.com,9586002,Ben,Okoye,false
41629035,gone@example.com,9586003,Gone,Tran,true
";

const COMPANIES: &str = "hs_object_id,name,domain,account_id,health_score,churn_risk,health_note,lifecyclestage,interests,strategic,hubspot_owner_id
101,One,one.example.com,A1,12.5,high,old note,customer,analytics;security,true,41629001
102,Two,shared.example.com,A2,80,low,,lead,,false,
103,Three,shared.example.com,A3,,,,,,,
";

const CONTACTS: &str =
    "hs_object_id,firstname,lastname,email,hs_additional_emails,contact_key,lifecyclestage
501,Raj,Tran,raj@example.com,r.tran@example.com,K1,lead
502,Esra,Okoye,esra@example.com,,K2,customer
";
